"""First passage: against a plain loop over the documented rule, blocks against every bar, and what it must not see."""

import datetime as dt
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import linearise_at
from margincast.riskcore.first_passage import first_passage
from margincast.riskcore.instruments import INVERSE, InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import UNIT_INDEX, MarketHistory, MarketState
from margincast.riskcore.passage_kernel import BREACHED, CENSORED, DATA_END, GAP
from margincast.riskcore.price_pyramid import build_pyramid
from margincast.riskcore.priced_bars import priced_bars
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SEEDS = st.integers(0, 2**32 - 1)


def highest(floors, amount):
    """The last of the rising floors that `amount` has reached."""
    place = 0
    for k, floor in enumerate(floors):
        if floor <= amount:
            place = k
    return place


def headroom_by_the_rule(book, pool, rules, price, index, paid):
    """Equity and headroom of one pool; `paid` is the funding each position has paid, settlement asset."""
    table, held, needed = book.instruments, {}, 0.0
    for k in range(book.balance_pointer[pool], book.balance_pointer[pool + 1]):
        held[book.balance_asset[k]] = held.get(book.balance_asset[k], 0.0) + book.balance[k]
    for k in range(book.position_pointer[pool], book.position_pointer[pool + 1]):
        i = book.position_instrument[k]
        asset, size, entry = table.settlement[i], book.quantity[k] * table.multiplier[i], book.entry_price[k]
        if table.kind[i] == INVERSE:
            profit, notional = size / entry - size / price[i], abs(size) / price[i]
        else:
            profit, notional = size * price[i] - size * entry, abs(size) * price[i]
        held[asset] = held.get(asset, 0.0) + profit - paid[k]
        tiers = rules.schedules[table.symbols[i]]
        tier = highest(tiers.floors, notional)
        needed += (notional * (tiers.rates[tier] + rules.closing_fee) - tiers.deductions[tier]) * index[asset]
    equity = 0.0
    for asset, amount in held.items():
        value = amount * index[asset]
        haircut = rules.haircuts[table.assets[asset]]
        counted, left = 0.0, value
        for floor, rate in reversed(list(zip(haircut.floors, haircut.rates, strict=True))):
            if left > floor:
                counted += (left - floor) * rate
                left = floor
        equity += counted if value > 0 else value
    return equity, equity - needed


def end_by_the_rule(book, pool, history, rules, start, horizon, points):
    """Bar, ending and equity of one pool, looked at bar by bar."""
    legs = range(book.position_pointer[pool], book.position_pointer[pool + 1])
    paid = dict.fromkeys(legs, 0.0)
    for bar in range(start, start + horizon):
        if bar == len(history):
            return -1, DATA_END, math.nan
        for k in legs if bar > start else ():
            i = book.position_instrument[k]
            last = history.close[bar - 1, history.mark_series[i]]
            unit = 1 / last if book.instruments.kind[i] == INVERSE else last
            paid[k] += book.quantity[k] * book.instruments.multiplier[i] * history.funding[bar, i] * unit
        lost = []
        for prices in (history.low[bar], history.high[bar], history.close[bar])[2 if points == "close" else 0 :]:
            index = [1.0 if s == UNIT_INDEX else prices[s] for s in history.index_series]
            equity, headroom = headroom_by_the_rule(book, pool, rules, prices[history.mark_series], index, paid)
            if legs and math.isnan(headroom):
                return bar, GAP, math.nan
            if legs and (headroom < 0 or (headroom == 0 and not rules.strict_trigger)):
                lost.append(equity)
        if lost:
            return bar, BREACHED, min(lost)
    return -1, CENSORED, math.nan


def same(one, other):
    """The same outcome, bit for bit."""
    for name in ("start", "breach_bar", "ended", "equity"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def single(mark=100.0, quantity=1.0, balance=20.0, rate=0.1, deduction=0.0, **rules):
    """A pool with one position from 100, and rules with one tier."""
    table = InstrumentTable.linear_perpetuals(["X"])
    book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [balance], [0, 1], [0], [quantity], [mark], [np.nan])
    schedule = RateSchedule([0.0], [rate], [deduction], [10.0])
    return book, RuleBook("one", dt.date(2024, 1, 1), {"X": schedule}, **rules)


def bars_of(close, low=None, high=None, funding=None):
    """A history of one series."""
    close = np.asarray(close, dtype=float)[:, None]
    low, high = (close if p is None else np.asarray(p, dtype=float)[:, None] for p in (low, high))
    times = np.datetime64("2024-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "h")
    funding = np.zeros((len(close), 1)) if funding is None else np.asarray(funding, dtype=float)[:, None]
    table = InstrumentTable.linear_perpetuals(["X"])
    return MarketHistory(table, times, close, high, low, close, [0], [UNIT_INDEX], funding)


@given(SEEDS, st.integers(1, 90), st.sampled_from(["extremes", "close"]), st.sampled_from([0.0, 0.002]))
@settings(max_examples=120)
def test_equal_to_a_plain_loop_over_the_rule(draw, seed, bars, points, gaps):
    rng = np.random.default_rng(seed)
    book, rules = draw.book(seed, 8, leverage=float(rng.choice([2.0, 6.0]))), draw.rules(seed)
    history = draw.history(seed, bars, volatility=float(rng.choice([0.002, 0.02])), gaps=gaps)
    start, horizon = rng.integers(0, bars + 1, 8), int(rng.integers(1, bars + 9))
    outcome = first_passage(book, build_pyramid(history), rules, start, horizon=horizon, points=points)
    for pool in range(8):
        bar, ended, equity = end_by_the_rule(book, pool, history, rules, int(start[pool]), horizon, points)
        assert (outcome.breach_bar[pool], outcome.ended[pool]) == (bar, ended)
        assert outcome.equity[pool] == pytest.approx(equity, rel=1e-9, abs=1e-3, nan_ok=True)


def test_the_plain_loop_meets_every_ending(draw):
    """The comparison above is worth what its cases are worth."""
    met = []
    for seed in range(40):
        book, rules, history = draw.book(seed, 8), draw.rules(seed), draw.history(seed, 60, gaps=0.002)
        outcome = first_passage(book, build_pyramid(history), rules, 20, horizon=30 + seed % 20)
        met += list(outcome.ended)
        assert ((outcome.breach_bar >= 20) == np.isin(outcome.ended, (BREACHED, GAP))).all()
    assert min(np.bincount(met, minlength=4)) > 10


@given(
    SEEDS, st.sampled_from([1, 2, 15, 16, 17, 63, 64, 65, 257, 1025, 3000]), st.sampled_from(["extremes", "close"]),
    st.sampled_from([(0.0, 0.003), (1e-4, 0.003), (0.0, 0.0008)]), st.booleans(),
)  # fmt: skip
@settings(max_examples=100)
def test_blocks_skip_no_breach(draw, seed, bars, points, shape, funding):
    rng = np.random.default_rng(seed)
    book, rules = draw.book(seed, 40, leverage=float(rng.choice([1.0, 3.0, 10.0]))), draw.rules(seed)
    history = draw.history(seed, bars, gaps=shape[0], volatility=shape[1], funding=funding)
    pyramid, start = build_pyramid(history), rng.integers(0, bars + 1, 40)
    horizon = int(rng.choice([1, 7, 40, 500, 5000]))
    skipping = first_passage(book, pyramid, rules, start, horizon=horizon, points=points)
    same(skipping, first_passage(book, pyramid, rules, start, horizon=horizon, points=points, use_blocks=False))


@given(SEEDS)
@settings(max_examples=40)
def test_blocks_skip_no_breach_of_hedged_books(draw, seed):
    """Long one contract and short another on the same coin, so that legs' worst cases do not coincide."""
    rng = np.random.default_rng(seed)
    n = 30
    one, other = rng.choice([0, 3, 4], n), rng.choice([0, 3, 4], n)
    worth, mark = rng.lognormal(10, 1, n), np.array([50_000.0, 0, 0, 50_100.0, 49_900.0, 0])
    unit = np.array([50_000.0, 0, 0, 50_100.0, 100.0, 0])
    book = AccountBook(
        draw.table, np.arange(n).astype(str), ["m"] * n, [""] * n, np.arange(n + 1), rng.integers(0, 2, n),
        np.where(rng.random(n) < 0.5, 0.3, 1.0) * worth / np.where(rng.random(n) < 0.5, 1.0, 50_000.0),
        2 * np.arange(n + 1), np.column_stack((one, other)).ravel(),
        np.column_stack((worth / unit[one], -rng.uniform(0.7, 1.3, n) * worth / unit[other])).ravel(),
        np.column_stack((mark[one], mark[other])).ravel(), np.full(2 * n, np.nan),
    )  # fmt: skip
    rules = replace(draw.rules(seed), haircuts={a: HaircutSchedule([0], [0.9]) for a in draw.table.assets})
    pyramid = build_pyramid(draw.history(seed, 1500, volatility=0.004))
    outcome = first_passage(book, pyramid, rules, 3, horizon=1400)
    same(outcome, first_passage(book, pyramid, rules, 3, horizon=1400, use_blocks=False))


@pytest.mark.parametrize("use_blocks", [True, False])
def test_a_floor_belongs_to_the_tier_above_it(use_blocks):
    """A short is worth 110 at the second bar, where half of it is asked for and not 1%."""
    book, rules = single(quantity=-1.0, balance=40.0)
    rules = replace(rules, schedules={"X": RateSchedule.cliff([0, 110], [0.01, 0.5], [10, 2])})
    for close, bar in (([100, 110, 100], 1), ([100, np.nextafter(110, 0), 100], -1)):
        outcome = first_passage(book, build_pyramid(bars_of(close)), rules, 0, horizon=3, use_blocks=use_blocks)
        assert outcome.breach_bar[0] == bar


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_same_bits_at_any_thread_count(draw, threads):
    book, rules, pyramid = draw.book(2, 300), draw.rules(2), build_pyramid(draw.history(2, 900, volatility=0.004))
    start = np.random.default_rng(2).integers(0, 900, 300)
    one = first_passage(book, pyramid, rules, start, horizon=400)
    same(one, first_passage(book, pyramid, rules, start, horizon=400, threads=threads))
    assert len(set(one.ended)) == 3


@given(SEEDS)
@settings(max_examples=25)
def test_a_breach_is_where_the_margin_pass_sees_one(draw, seed):
    """Without funding, the equity of the breach is a value of `evaluate`, bit for bit."""
    book, rules, history = draw.book(seed, 20), draw.rules(seed), draw.history(seed, 200, funding=False)
    outcome = first_passage(book, build_pyramid(history), rules, 1, horizon=150, points="close")
    for pool in np.flatnonzero(outcome.ended == BREACHED)[:4]:
        bar = int(outcome.breach_bar[pool])
        at = [evaluate(book.take(np.array([pool])), history.state_at(k + 1), rules) for k in (bar - 1, bar)]
        assert at[1].equity[0] == outcome.equity[pool]
        assert at[1].headroom[0] < 0 or (at[1].headroom[0] == 0 and not rules.strict_trigger)
        assert bar == 1 or at[0].headroom[0] >= 0


@pytest.mark.parametrize(("strict", "bar"), [(True, 3), (False, 2)])
def test_equality_ends_a_pool_where_the_trigger_is_not_strict(strict, bar):
    book, rules = single(
        rate=0.125, balance=20.0, mark=97.5, strict_trigger=strict
    )  # 20 + p - 97.5 = p / 8 at 88.571...
    book, rules = single(rate=0.125, balance=30.0, mark=100.0, strict_trigger=strict)  # 30 + p - 100 = p / 8 at p = 80
    outcome = first_passage(book, build_pyramid(bars_of([100, 90, 80, 79])), rules, 0, horizon=4)
    assert (outcome.breach_bar[0], outcome.ended[0]) == (bar, BREACHED)


@pytest.mark.parametrize(("points", "bar"), [("extremes", 1), ("close", 3)])
def test_lows_and_highs_count_unless_only_closes_are_asked(points, bar):
    history = bars_of([100, 95, 95, 85], low=[100, 88, 95, 85], high=[100, 100, 95, 90])
    book, rules = single()
    assert first_passage(book, build_pyramid(history), rules, 0, horizon=4, points=points).breach_bar[0] == bar


def test_funding_is_charged_at_the_opens_after_the_start():
    """1% of 100 a bar on a long with 14.5 at 10%: 4.5 of headroom is gone with the fifth charge, at bar 7's open."""
    history = bars_of(np.full(20, 100.0), funding=np.full(20, 0.01))
    book, rules = single(balance=14.5)
    for use_blocks in (True, False):
        outcome = first_passage(book, build_pyramid(history), rules, 2, horizon=18, use_blocks=use_blocks)
        assert (outcome.breach_bar[0], round(outcome.equity[0], 9)) == (7, 9.5)
    short = replace(book, quantity=np.array([-1.0]))
    assert first_passage(short, build_pyramid(history), rules, 2, horizon=18).ended[0] == CENSORED


def test_an_inverse_position_pays_funding_in_coin():
    table = InstrumentTable(("X",), [INVERSE], [100.0], [1], ("USD", "COIN"))
    times = np.datetime64("2024-01-01", "ns") + np.arange(9) * np.timedelta64(1, "h")
    p = np.full((9, 1), 50.0)
    history = MarketHistory(table, times, p, p, p, p, [0], [UNIT_INDEX, 0], np.full((9, 1), 0.01))
    # 100 USD at 50 are 2 coins: 0.02 a bar, and 0.2 of maintenance; 0.25 coins last for two charges, not for three.
    book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [1], [0.25], [0, 1], [0], [1.0], [50.0], [np.nan])
    rules = RuleBook(
        "hand", dt.date(2024, 1, 1), {"X": RateSchedule.cliff([0.0], [0.1], [10.0])},
        {"COIN": HaircutSchedule([0], [1.0])}, base="USD",
    )  # fmt: skip
    outcome = first_passage(book, build_pyramid(history), rules, 0, horizon=9)
    assert (outcome.breach_bar[0], round(outcome.equity[0], 9)) == (3, round(50 * (0.25 - 0.06), 9))


def test_a_gap_ends_only_the_pools_that_need_the_price(draw):
    history = draw.history(4, 300, volatility=0.0005)
    close = np.array(history.close)
    close[150, 1] = np.nan
    holed = replace(
        history,
        **{n: np.where(np.isnan(close), np.nan, getattr(history, n)) for n in ("open", "high", "low")},
        close=close,
    )
    book, rules = draw.book(4, 60, leverage=1.0), draw.rules(4)
    before, after = (first_passage(book, build_pyramid(h), rules, 10, horizon=200) for h in (history, holed))
    pool, holder = (np.repeat(np.arange(60), np.diff(p)) for p in (book.position_pointer, book.balance_pointer))
    needs = np.isin(np.arange(60), pool[np.isin(book.position_instrument, (1, 5))])  # ETH itself, or settled in it
    needs |= np.isin(np.arange(60), holder[book.balance_asset == 2])
    needs &= np.isin(np.arange(60), pool)
    hit = needs & ~((before.ended == BREACHED) & (before.breach_bar <= 150))
    assert hit.any() and not hit.all()
    assert (after.ended[hit] == GAP).all() and (after.breach_bar[hit] == 150).all()
    np.testing.assert_array_equal(after.ended[~hit], before.ended[~hit])


@given(SEEDS)
@settings(max_examples=60)
def test_outcomes_are_known_as_far_as_first_passage_finds_prices(draw, seed):
    """Where no breach comes before, the bar at which first passage stops is the first without a price."""
    rng, bars, horizon = np.random.default_rng(seed), 90, 60
    book, rules, whole = draw.book(seed, 12, leverage=1.0), draw.rules(seed), draw.history(seed, bars, volatility=1e-3)
    start = rng.integers(1, bars + 1, len(book))
    hole = rng.random(whole.close.shape) < 0.005
    bar = ("open", "low", "high", "close")
    holed = replace(whole, **{name: np.where(hole, np.nan, getattr(whole, name)) for name in bar})
    found = priced_bars(linearise_at(book, start, whole, rules), holed, start)
    outcome = first_passage(book, build_pyramid(holed), rules, start, horizon=horizon)
    held = np.diff(book.position_pointer) > 0
    gap, end, lived = (held & (outcome.ended == ending) for ending in (GAP, DATA_END, CENSORED))
    assert (found[gap] == (outcome.breach_bar - start)[gap]).all()
    assert (found[end] == (bars - start)[end]).all()
    assert (found[lived] >= horizon).all()


def test_a_pool_without_positions_is_never_liquidated():
    book, rules = single(strict_trigger=False)
    debtor = AccountBook(
        book.instruments, ["a", "b"], ["m"] * 2, [""] * 2, [0, 1, 1], [0], [-5.0], [0, 0, 0], [], [], [], []
    )  # fmt: skip
    outcome = first_passage(debtor, build_pyramid(bars_of([100, 90])), rules, 0, horizon=2)
    assert outcome.ended.tolist() == [CENSORED, CENSORED]


def test_starts_at_the_very_end():
    book, rules = single()
    pyramid = build_pyramid(bars_of([100, 100, 80]))
    outcome = [first_passage(book, pyramid, rules, start, horizon=1) for start in (1, 2, 3)]
    assert [(o.ended[0], o.breach_bar[0]) for o in outcome] == [(CENSORED, -1), (BREACHED, 2), (DATA_END, -1)]


def test_what_an_outcome_knows():
    book, rules = single()
    history = bars_of([100, 100, 100, 80, 100, 100])
    outcome = first_passage(book, build_pyramid(history), rules, 1, horizon=5)
    assert [outcome.within(k)[0] for k in (1, 2, 3, 5)] == [False, False, True, True]
    assert outcome.shortfall[0] == 0.0
    deep = first_passage(book, build_pyramid(bars_of([100, 70])), rules, 0, horizon=2)
    assert (deep.equity[0], deep.shortfall[0]) == (-10.0, 10.0)
    with pytest.raises(InputError, match="horizon from 1 to the 5 bars"):
        outcome.within(6)
    with pytest.raises(InputError, match="horizon from 1 to the 5 bars"):
        outcome.within(0)


@given(SEEDS, st.integers(0, 250), st.integers(1, 200))
@settings(max_examples=40)
def test_sees_nothing_before_its_start_nor_after_its_horizon(draw, seed, start, horizon):
    history, other = draw.history(seed, 400, funding=False), draw.history(seed + 1, 400, funding=False)
    inside = ((np.arange(400) >= start) & (np.arange(400) < start + horizon))[:, None]
    mixed = {n: np.where(inside, getattr(history, n), getattr(other, n)) for n in ("open", "high", "low", "close")}
    book, rules = draw.book(seed, 20, leverage=2.0), draw.rules(seed)
    outcomes = [
        first_passage(book, build_pyramid(h), rules, start, horizon=horizon)
        for h in (history, replace(history, **mixed))
    ]
    same(*outcomes)


@given(SEEDS, st.integers(0, 250), st.integers(2, 100))
@settings(max_examples=40)
def test_sees_no_funding_but_that_of_its_life(draw, seed, start, horizon):
    """Funding due at the start or before, or from the end on, changes nothing beyond the rounding of a running sum."""
    history = draw.history(seed, 400)
    inside = ((np.arange(400) > start) & (np.arange(400) < start + horizon))[:, None]
    other = replace(history, funding=np.where(inside, history.funding, history.funding * -3.0 + 0.01))
    book, rules = draw.book(seed, 20, leverage=2.0), draw.rules(seed)
    one, two = (first_passage(book, build_pyramid(h), rules, start, horizon=horizon) for h in (history, other))
    np.testing.assert_array_equal(one.breach_bar, two.breach_bar)
    np.testing.assert_array_equal(one.ended, two.ended)
    np.testing.assert_allclose(one.equity, two.equity, rtol=1e-9, atol=1e-4)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_tighter_pool_goes_first(draw, side):
    """With more collateral a pool lives at least as long."""
    pyramid, n = build_pyramid(draw.history(7, 2000, volatility=0.004)), 50
    tiers = RateSchedule.marginal([0, 5e4, 6e4], [0.01, 0.05, 0.1], [50, 10, 5])
    rules = RuleBook("test", dt.date(2024, 1, 1), {"BTC": tiers})
    book = AccountBook(
        draw.table, np.arange(n).astype(str), ["m"] * n, [""] * n, np.arange(n + 1), np.zeros(n, int),
        np.geomspace(600, 30_000, n), np.arange(n + 1), np.zeros(n, int), np.full(n, side), np.full(n, 50_000.0),
        np.full(n, np.nan),
    )  # fmt: skip
    outcome = first_passage(book, pyramid, rules, 0, horizon=2000)
    life = np.where(outcome.ended == BREACHED, outcome.breach_bar, 2000)
    assert (np.diff(life) >= 0).all() and len(set(life)) > 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": 5}, "column start: is outside the history's 4 bars \\(found 5\\)"),
        ({"start": [-1]}, "row 0, column start: is outside"),
        ({"start": [0, 0]}, "column start: has shape \\(2,\\), expected \\(1,\\)"),
        ({"horizon": 0}, "column horizon: must be at least one bar \\(found 0\\)"),
        ({"points": "open"}, "column points: must be"),
        ({"rules": RuleBook("bare", dt.date(2024, 1, 1), {})}, "row 0, column symbol: .* no tier table"),
    ],
)
def test_bad_questions(change, words):
    book, rules = single()
    asked = {"book": book, "rules": rules, "start": 0, "horizon": 2} | change
    with pytest.raises(InputError, match=words):
        first_passage(pyramid=build_pyramid(bars_of([100, 90, 80, 70])), **asked)


def test_a_book_of_other_instruments_is_refused(draw):
    book, rules = single()
    with pytest.raises(InputError, match="not those of the price history"):
        first_passage(book, build_pyramid(draw.history(1, 50)), rules, 0, horizon=2)


@pytest.fixture(scope="module")
def real():
    folder = SHARED / "data" / "binance_1h"
    if not folder.is_dir():
        pytest.skip(f"no real bars at {folder}")
    from margincast.features.readers.folder import read_market_folder

    return read_market_folder(folder).history


def test_real_bars(real):
    """Leveraged books on real hours: blocks against every bar, and the closes of the breaches against `evaluate`."""
    rng = np.random.default_rng(1)
    n, symbols = 300, len(real.instruments)
    start = rng.integers(len(real) - 9000, len(real) - 2000, n)
    instrument = rng.integers(0, symbols, 3 * n)
    mark = real.close[np.repeat(start, 3) - 1, instrument]
    worth = rng.lognormal(9, 1, 3 * n)
    held = np.bincount(np.repeat(np.arange(n), 3), worth) / rng.choice([3.0, 10.0, 20.0], n)
    book = AccountBook(
        real.instruments, np.arange(n).astype(str), ["m"] * n, [""] * n, np.arange(n + 1), np.zeros(n, int), held,
        3 * np.arange(n + 1), instrument, rng.choice([-1, 1], 3 * n) * worth / mark, mark, np.full(3 * n, np.nan),
    )  # fmt: skip
    tiers = RateSchedule.marginal([0, 5e4, 6e5], [0.004, 0.01, 0.025], [100, 50, 20])
    rules = RuleBook("test", dt.date(2024, 1, 1), dict.fromkeys(real.instruments.symbols, tiers))
    pyramid = build_pyramid(real)
    outcome = first_passage(book, pyramid, rules, start, horizon=2000)
    same(outcome, first_passage(book, pyramid, rules, start, horizon=2000, use_blocks=False))
    assert 30 < (outcome.ended == BREACHED).sum() < n
    for pool in np.flatnonzero(outcome.ended == BREACHED)[:10]:
        one, bar = book.take(np.array([pool])), int(outcome.breach_bar[pool])
        states = [
            MarketState(real.times[bar], p[bar][real.mark_series], np.ones(symbols + 1)) for p in (real.low, real.high)
        ]
        assert (
            min(evaluate(one, state, rules).headroom[0] for state in states) < evaluate(one, states[0], rules).equity[0]
        )
