"""The margin pass: against its plain twin and hand-made cases, and by the properties a margin rule must have."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.compiled import compile_book, compile_rules
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin import Stage, evaluate, is_breached, live_margin, pool_margin, stage_of
from margincast.riskcore.margin_layout import lay_out
from margincast.riskcore.margin_plain import plain_margin
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

SEEDS = st.integers(0, 2**32 - 1)
NOW = np.datetime64("2024-01-01")


def bits(state):
    return [np.asarray(column).tobytes() for column in (state.equity, state.maintenance, state.initial, state.stage)]


def shuffled(book, rng):
    """The same pools with their positions and balances listed in another order."""
    order = [
        rng.permutation(np.arange(a, b)) for a, b in zip(book.position_pointer, book.position_pointer[1:], strict=False)
    ]
    held = [
        rng.permutation(np.arange(a, b)) for a, b in zip(book.balance_pointer, book.balance_pointer[1:], strict=False)
    ]
    order, held = (np.concatenate([[], *parts]).astype(int) for parts in (order, held))
    positions = {
        name: getattr(book, name)[order] for name in ("position_instrument", "quantity", "entry_price", "leverage")
    }
    return replace(book, **positions, balance_asset=book.balance_asset[held], balance=book.balance[held])


def joined(a, b):
    """One book of the pools of two."""
    columns = {}
    for name in AccountBook.__dataclass_fields__:
        if name == "instruments":
            continue
        one, other = getattr(a, name), getattr(b, name)
        columns[name] = np.concatenate((one, other[1:] + one[-1] if name.endswith("pointer") else other))
    return AccountBook(a.instruments, **columns)


@given(SEEDS)
@settings(max_examples=150)
def test_kernel_equals_the_plain_twin(draw, seed):
    world = draw.world(seed)
    state = evaluate(world.book, world.market, world.rules)
    plain = np.array([plain_margin(world.book, world.market, world.rules, p) for p in range(len(world.book))])
    assert (np.abs(state.equity - plain[:, 0]) <= 1e-12 * world.gross).all()
    assert (np.abs(state.maintenance - plain[:, 1]) <= 1e-12 * world.gross).all()


@given(SEEDS)
@settings(max_examples=60)
def test_the_leg_split_adds_up(draw, seed):
    world = draw.world(seed)
    rules = replace(world.rules, haircuts={a: HaircutSchedule([0], [1.0]) for a in world.book.instruments.assets})
    book, state = world.book, evaluate(world.book, world.market, rules)
    pool = np.repeat(np.arange(len(book)), np.diff(book.position_pointer))
    holder = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer))
    worth = np.bincount(pool, state.leg_profit, len(book))
    worth += np.bincount(holder, book.balance * world.market.index[book.balance_asset], len(book))
    assert (np.abs(worth - state.equity) <= 1e-12 * world.gross).all()
    for whole, legs in ((state.maintenance, state.leg_maintenance), (state.initial, state.leg_initial)):
        assert (np.abs(np.bincount(pool, legs, len(book)) - whole) <= 1e-12 * world.gross).all()
    np.testing.assert_array_equal(state.headroom, state.equity - state.maintenance)


@given(SEEDS)
@settings(max_examples=60)
def test_order_of_positions_and_balances_does_not_matter(draw, seed):
    world = draw.world(seed)
    other = shuffled(world.book, np.random.default_rng(seed))
    assert bits(evaluate(other, world.market, world.rules)) == bits(evaluate(world.book, world.market, world.rules))


@given(SEEDS)
@settings(max_examples=60)
def test_independent_accounts_are_margined_independently(draw, seed):
    a, b = draw.world(seed), draw.book(seed, 9)
    apart = [evaluate(book, a.market, a.rules) for book in (a.book, b)]
    for both in (evaluate(joined(a.book, b), a.market, a.rules),):
        for name in ("equity", "maintenance", "initial", "stage", "leg_profit", "leg_maintenance"):
            np.testing.assert_array_equal(
                getattr(both, name), np.concatenate([getattr(state, name) for state in apart]), strict=True
            )
    rows = np.random.default_rng(seed).permutation(len(a.book))[:5]
    np.testing.assert_array_equal(evaluate(a.book.take(rows), a.market, a.rules).equity, apart[0].equity[rows])


@pytest.mark.parametrize("pools", [1, 2, 400])
def test_same_bits_at_any_thread_count(draw, pools):
    world = draw.world(5, pools=pools)
    one = bits(evaluate(world.book, world.market, world.rules, threads=1))
    for threads in (2, 3, 16):
        assert bits(evaluate(world.book, world.market, world.rules, threads=threads)) == one


@given(SEEDS)
@settings(max_examples=40)
def test_what_a_layout_remembers_changes_no_result(draw, seed):
    world = draw.world(seed)
    compiled = compile_book(world.book)
    tables = compile_rules(world.rules, world.book.instruments, world.book)
    layout = lay_out(compiled, tables)
    for tick in range(4):
        market = draw.market(seed + tick)
        shocked = MarketState(NOW, market.mark * (1.0, 0.2, 5.0, 1.0)[tick], market.index)
        for one, fresh in zip(live_margin(layout, shocked), pool_margin(compiled, tables, shocked), strict=True):
            assert one.tobytes() == fresh.tobytes()


@given(SEEDS, st.integers(-6, 6))
@settings(max_examples=40)
def test_scaling_every_amount_scales_margin(draw, seed, power):
    """Powers of two scale without rounding: sizes, balances and floors times c make everything c times as large."""
    world, c = draw.world(seed), 2.0**power
    big = evaluate(
        replace(world.book, quantity=world.book.quantity * c, balance=world.book.balance * c),
        world.market,
        scaled(world.rules, c),
    )
    state = evaluate(world.book, world.market, world.rules)
    for name in ("equity", "maintenance", "initial", "leg_profit", "leg_notional"):
        np.testing.assert_array_equal(getattr(big, name), getattr(state, name) * c)
    np.testing.assert_array_equal(big.stage, state.stage)


@given(SEEDS, st.integers(-6, 6))
@settings(max_examples=40)
def test_scaling_every_price_scales_margin_of_linear_books(draw, seed, power):
    c = 2.0**power
    book, market, rules = draw.book(seed, 12, instruments=range(3)), draw.market(seed), draw.rules(seed)
    in_base = book.balance_asset == 0
    index = np.append(1.0, market.index[1:] * c)
    state = evaluate(book, market, rules)
    big = evaluate(
        replace(book, entry_price=book.entry_price * c, balance=np.where(in_base, book.balance * c, book.balance)),
        MarketState(NOW, market.mark * c, index),
        scaled(rules, c),
    )
    for name in ("equity", "maintenance", "initial"):
        np.testing.assert_array_equal(getattr(big, name), getattr(state, name) * c)


def scaled(rules, c):
    return replace(
        rules,
        schedules={
            name: RateSchedule(s.floors * c, s.rates, s.deductions * c, s.max_leverage)
            for name, s in rules.schedules.items()
        },
        haircuts={name: HaircutSchedule(h.floors * c, h.rates) for name, h in rules.haircuts.items()},
    )


@given(SEEDS, st.floats(0.5, 0.999), st.integers(0, 5))
@settings(max_examples=60)
def test_equity_of_a_one_sided_book_moves_with_its_price(draw, seed, fall, instrument):
    world = draw.world(seed)
    sign = -1 if seed % 2 else 1
    book = replace(world.book, quantity=sign * np.abs(world.book.quantity))
    mark = np.array(world.market.mark)
    mark[instrument] *= fall
    before = evaluate(book, world.market, world.rules).equity
    after = evaluate(book, replace(world.market, mark=mark), world.rules).equity
    assert (sign * (before - after) >= -1e-12 * world.gross).all()
    assert (before != after).any() or instrument not in book.position_instrument


@given(SEEDS, st.integers(0, 3), st.floats(0.0, 1e7))
@settings(max_examples=60)
def test_more_collateral_never_lowers_equity(draw, seed, asset, value):
    world = draw.world(seed)
    book, n = world.book, len(world.book)
    gift = AccountBook(
        book.instruments, book.account, book.sub_account, book.isolated,
        book.balance_pointer + np.arange(n + 1),
        np.insert(book.balance_asset, book.balance_pointer[1:], asset),
        np.insert(book.balance, book.balance_pointer[1:], value / world.market.index[asset]),
        book.position_pointer, book.position_instrument, book.quantity, book.entry_price, book.leverage,
    )  # fmt: skip
    poor, rich = (evaluate(b, world.market, world.rules) for b in (book, gift))
    assert (rich.equity >= poor.equity - 1e-12 * (world.gross + value)).all()
    assert (rich.equity <= poor.equity + value + 1e-12 * (world.gross + value)).all()
    np.testing.assert_array_equal(rich.maintenance, poor.maintenance)


def test_an_inverse_contract_by_hand():
    """1,000 contracts of 100 USD from 50,000, marked at 40,000: 2.5 coin of notional, 0.5 coin lost."""
    table = InstrumentTable(("BTC_INV",), [INVERSE], [100.0], [1], ("USD", "BTC"))
    book = AccountBook(
        table, ["long", "short"], ["m"] * 2, [""] * 2, [0, 1, 2], [1, 1], [3.0, 3.0],
        [0, 1, 2], [0, 0], [1000.0, -1000.0], [50_000.0] * 2, [np.nan] * 2,
    )  # fmt: skip
    rules = RuleBook(
        "hand", dt.date(2024, 1, 1), {"BTC_INV": RateSchedule.marginal([0, 2], [0.004, 0.01], [100, 50])},
        {"BTC": HaircutSchedule([0, 80_000], [0.95, 0.5])}, base="USD",
    )  # fmt: skip
    state = evaluate(book, MarketState(NOW, [40_000.0], [1.0, 40_000.0]), rules)
    # Long: 2.5 coin, 100,000: 80,000 at 95% and 20,000 at 50%. Short: 3.5 coin, 140,000. Margin: 2 x 0.4% + 0.5 x 1%.
    np.testing.assert_allclose(state.equity, [86_000.0, 106_000.0], rtol=1e-14)
    np.testing.assert_allclose(state.maintenance, (2 * 0.004 + 0.5 * 0.01) * 40_000, rtol=1e-13)
    np.testing.assert_allclose(state.leg_profit, [-20_000.0, 20_000.0], rtol=1e-13)
    np.testing.assert_allclose(state.initial, 2.5 * 40_000 / 50, rtol=1e-13)


@pytest.mark.parametrize(
    ("balance", "strict", "stage"),
    [
        (40.0, True, Stage.WARNED),  # equity 20, maintenance margin 20: equal
        (40.0, False, Stage.LIQUIDATION),
        (40.0 - 2**-20, True, Stage.LIQUIDATION),
        (20.0, True, Stage.LIQUIDATION),  # equity 0
        (20.0 - 2**-20, True, Stage.BANKRUPT),
        (45.0, True, Stage.HEALTHY),  # 20 / 25 is the warning ratio itself
        (45.0 - 2**-20, True, Stage.WARNED),
    ],
)
def test_stages_at_their_thresholds(balance, strict, stage):
    """A long of 2 units from 90, marked at 80: 20 lost, 12.5% of 160 asked; all of it without rounding."""
    table = InstrumentTable(("X",), [LINEAR], [2.0], [0], ("USDT",))
    book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [balance], [0, 1], [0], [1.0], [90.0], [np.nan])
    schedule = RateSchedule([0.0], [0.125], [0.0], [10.0])
    rules = RuleBook("hand", dt.date(2024, 1, 1), {"X": schedule}, strict_trigger=strict)
    state = evaluate(book, MarketState(NOW, [80.0], [1.0]), rules)
    assert state.maintenance.tolist() == [20.0]
    assert Stage(state.stage[0]) is stage
    assert is_breached(state.equity, state.maintenance, rules).tolist() == [stage >= Stage.LIQUIDATION]


@pytest.mark.parametrize("before", [50.0, 100.0, 200.0, 400.0])
def test_a_floor_belongs_to_the_tier_above_it(before):
    """Tiers from 0, 100 and 300 at 1%, 2% and 4%, a jump at each; the same from whichever tier is remembered."""
    table = InstrumentTable(("X",), [LINEAR], [1.0], [0], ("USDT",))
    book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [50.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    rules = RuleBook(
        "hand", dt.date(2024, 1, 1), {"X": RateSchedule.cliff([0, 100, 300], [0.01, 0.02, 0.04], [9, 8, 7])}
    )
    layout = lay_out(compile_book(book), compile_rules(rules, table, book))
    for mark, needed in ((100.0, 2.0), (300.0, 12.0), (np.nextafter(300.0, 0), 6.0), (np.nextafter(100.0, 0), 1.0)):
        live_margin(layout, MarketState(NOW, [before], [1.0]))
        assert live_margin(layout, MarketState(NOW, [mark], [1.0]))[1][0] == pytest.approx(needed, rel=1e-12)
        assert evaluate(book, MarketState(NOW, [mark], [1.0]), rules).leg_maintenance[0] == pytest.approx(
            needed, rel=1e-12
        )


def test_reduce_only_stands_between_warning_and_liquidation():
    rules = RuleBook("hand", dt.date(2024, 1, 1), {}, warning_ratio=0.5, reduce_only_ratio=0.75)
    equity, held = np.array([100.0, 100.0, 100.0, 100.0, -5.0, -5.0]), np.array([1, 1, 1, 1, 1, 0], dtype=bool)
    stage = stage_of(equity, np.array([50.0, 75.0, 75.5, 100.5, 1.0, 0.0]), held, rules)
    names = ["HEALTHY", "WARNED", "REDUCE_ONLY", "LIQUIDATION", "BANKRUPT", "HEALTHY"]
    assert [Stage(s).name for s in stage] == names


def test_a_missing_price_is_nan_for_the_pools_that_need_it_only(draw):
    world = draw.world(1, pools=40)
    mark = np.where(np.arange(6) == 2, np.nan, world.market.mark)
    layout = lay_out(compile_book(world.book), compile_rules(world.rules, world.book.instruments, world.book))
    whole = live_margin(layout, world.market)
    pool = np.repeat(np.arange(40), np.diff(world.book.position_pointer))
    needs = np.isin(np.arange(40), pool[world.book.position_instrument == 2])
    assert needs.any() and not needs.all()
    for partial, full in zip(live_margin(layout, replace(world.market, mark=mark)), whole, strict=True):
        assert np.isnan(partial[needs]).all()
        np.testing.assert_array_equal(partial[~needs], full[~needs])
    for again, full in zip(live_margin(layout, world.market), whole, strict=True):
        np.testing.assert_array_equal(again, full)


def test_pools_without_anything_and_no_pools_at_all(draw):
    world = draw.world(3)
    none = np.zeros(0, dtype=np.int64)
    empty = evaluate(world.book.take(none), world.market, world.rules)
    assert empty.equity.shape == empty.leg_profit.shape == (0,)
    bare = AccountBook(
        draw.table, ["a"], ["m"], [""], [0, 0], none, none, [0, 0], none, none, none, none
    )  # fmt: skip
    state = evaluate(bare, world.market, world.rules)
    assert (state.equity[0], state.maintenance[0], Stage(state.stage[0])) == (0.0, 0.0, Stage.HEALTHY)
