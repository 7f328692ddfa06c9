"""The values of the core refuse what cannot be used, and say where it stands."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.arrays import frozen, positions_of
from margincast.riskcore.compiled import compile_book, compile_rules
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.margin_layout import CAP, FLOOR, OFFSET, RATE, WIDTH, lay_out
from margincast.riskcore.market import UNIT_INDEX, MarketHistory, MarketState
from margincast.riskcore.price_pyramid import build_pyramid
from margincast.riskcore.records import book_from_records
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

TABLE = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC"])
NOW = np.datetime64("2024-01-01")
SCHEDULE = RateSchedule.cliff([0.0], [0.1], [10.0])
POSITION = {"symbol": "BTC", "quantity": 1.0, "entry_price": 100.0}


def book(**changes):
    columns = {
        "account": ["a", "b"], "sub_account": ["m", "m"], "isolated": ["", ""],
        "balance_pointer": [0, 1, 2], "balance_asset": [0, 1], "balance": [1000.0, 1.0],
        "position_pointer": [0, 1, 2], "position_instrument": [0, 1], "quantity": [1.0, -2.0],
        "entry_price": [100.0, 50.0], "leverage": [np.nan, 3.0],
    }  # fmt: skip
    return AccountBook(TABLE, **(columns | changes))


def rules(**changes):
    told = {"schedules": {"BTC": SCHEDULE, "ETH": SCHEDULE}, "haircuts": {"BTC": HaircutSchedule([0], [0.9])}}
    return RuleBook("made", dt.date(2024, 1, 1), **(told | changes))


def history(**changes):
    bars = np.full((3, 1), 100.0)
    columns = {
        "instruments": InstrumentTable.linear_perpetuals(["BTC"]), "times": NOW + np.arange(3) * np.timedelta64(1, "h"),
        "open": bars, "high": bars, "low": bars, "close": bars, "mark_series": [0], "index_series": [UNIT_INDEX],
        "funding": np.zeros((3, 1)),
    }  # fmt: skip
    return MarketHistory(**(columns | changes))


def changed(row, value):
    bars = np.full((3, 1), 100.0)
    bars[row] = value
    return bars


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"position_instrument": [0, 2]},
            r"row 1, column position_instrument: unknown instrument position \(found 2\)",
        ),
        ({"position_instrument": [-1, 0]}, r"row 0, column position_instrument: unknown"),
        ({"balance_asset": [0, 5]}, r"row 1, column balance_asset: unknown asset position \(found 5\)"),
        ({"quantity": [1.0, np.nan]}, r"row 1, column quantity: must be a finite number other than zero \(found nan\)"),
        ({"quantity": [0.0, 1.0]}, r"row 0, column quantity: .* \(found 0.0\)"),
        ({"entry_price": [100.0, -50.0]}, r"row 1, column entry_price: must be positive \(found -50.0\)"),
        ({"entry_price": [np.inf, 50.0]}, r"row 0, column entry_price: must be positive"),
        ({"balance": [np.inf, 1.0]}, r"row 0, column balance: must be a finite number \(found inf\)"),
        ({"leverage": [0.0, 3.0]}, r"row 0, column leverage: must be positive \(found 0.0\)"),
        ({"position_pointer": [0, 2, 1]}, r"column position_pointer: is not a CSR pointer over 2 rows and 2 entries"),
        ({"position_pointer": [0, 2]}, r"column position_pointer: is not a CSR pointer"),
        ({"balance_pointer": [0, 3, 2]}, r"column balance_pointer: is not a CSR pointer"),
        ({"sub_account": ["m"]}, r"column sub_account: has shape \(1,\), expected \(2,\)"),
        ({"leverage": [np.nan]}, r"column leverage: has shape \(1,\), expected \(2,\)"),
        ({"balance_asset": [0]}, r"column balance_asset: has shape \(1,\), expected \(2,\)"),
    ],
)
def test_a_book_that_cannot_be_used(changes, words):
    with pytest.raises(InputError, match=words):
        book(**changes)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"positions": [POSITION | {"symbol": "DOGE"}]},
            r"f.json, row 1, column positions\[0\].symbol: unknown name; known are BTC, ETH \(found 'DOGE'\)",
        ),
        ({"positions": [POSITION | {"symbol": ["BTC"]}]}, r"column positions\[0\].symbol: unknown name"),
        ({"balances": {"DOGE": 1.0}}, r"row 1, column balances: unknown name; known are USDT, BTC \(found 'DOGE'\)"),
        ({"balances": {"USDT": math.nan}}, r"column balances.USDT: must be a finite number \(found nan\)"),
        ({"balances": {"USDT": "much"}}, r"column balances.USDT: must be a number \(found 'much'\)"),
        ({"balances": {"USDT": None}}, r"column balances.USDT: must be a number \(found 'nothing'\)"),
        ({"balances": [1.0]}, r"column balances: must be a mapping"),
        ({"positions": POSITION}, r"column positions: must be a list"),
        ({"positions": "BTC"}, r"column positions: must be a list \(found 'BTC'\)"),
        ({"positions": ["BTC"]}, r"column positions\[0\]: must be a mapping \(found 'BTC'\)"),
        ({"positions": [POSITION | {"quantity": 0}]}, r"column positions\[0\].quantity: must not be zero"),
        (
            {"positions": [POSITION | {"entry_price": -1}]},
            r"column positions\[0\].entry_price: must be positive \(found -1.0\)",
        ),
        ({"positions": [POSITION | {"leverage": 0}]}, r"column positions\[0\].leverage: must be positive"),
        (
            {"positions": [POSITION | {"mode": "portfolio"}]},
            r'column positions\[0\].mode: must be "cross" or "isolated"',
        ),
        ({"positions": [POSITION | {"mode": "isolated"}]}, r"column positions\[0\].isolated_margin: must be a number"),
        (
            {"account": "a", "balances": {"USDT": 1}},
            r"row 1, column account: account and sub-account appear twice \(found 'a/main'\)",
        ),
        ({"account": " "}, r"row 1, column account: every account needs a name"),
        ({"account": None}, r"row 1, column account: every account needs a name"),
        ({}, r"row 1, column account: has neither balances nor positions \(found 'b'\)"),
    ],
)
def test_a_record_that_cannot_be_used(record, words):
    with pytest.raises(InputError, match=words):
        book_from_records(
            [{"account": "a", "balances": {"USDT": 1.0}}, {"account": "b"} | record], TABLE, source="f.json"
        )


def test_records_without_an_account():
    with pytest.raises(InputError, match="f.json: holds no account"):
        book_from_records([], TABLE, source="f.json")
    with pytest.raises(InputError, match=r"row 0, column account: must be a mapping \(found 'b'\)"):
        book_from_records(["b"], TABLE)


def test_records_make_a_pool_of_each_isolated_position():
    isolated = POSITION | {"symbol": "ETH", "mode": "isolated", "isolated_margin": "12.5", "leverage": 4}
    made = book_from_records(
        [
            {"account": "a", "sub_account": "s", "balances": {"BTC": 2}, "positions": [POSITION, isolated]},
            {"account": "a", "balances": None, "positions": [isolated]},
        ],
        TABLE,
    )
    assert list(zip(made.account.tolist(), made.sub_account.tolist(), made.isolated.tolist(), strict=True)) == [
        ("a", "s", ""), ("a", "s", "ETH"), ("a", "main", ""), ("a", "main", "ETH"),
    ]  # fmt: skip
    assert (made.balance_pointer.tolist(), made.balance_asset.tolist(), made.balance.tolist()) == (
        [0, 1, 2, 2, 3], [1, 0, 0], [2.0, 12.5, 12.5],
    )  # fmt: skip
    assert made.position_pointer.tolist() == [0, 1, 2, 2, 3]
    np.testing.assert_array_equal(made.leverage, [np.nan, 4.0, 4.0])


@pytest.mark.parametrize(
    ("mark", "index", "words"),
    [
        ([100.0, np.nan], [1.0, 100.0], r"row 1, column account b: has no mark price at 2024-01-01 \(found 'ETH'\)"),
        ([100.0, 50.0], [1.0, np.nan], r"row 1, column account b: has no index price at 2024-01-01 \(found 'BTC'\)"),
        ([100.0], [1.0, 100.0], r"column mark: has shape \(1,\), expected \(2,\)"),
        ([100.0, 50.0], [1.0], r"column index: has shape \(1,\), expected \(2,\)"),
        ([100.0, -50.0], [1.0, 100.0], r"row 1, column mark: price must be positive \(found -50.0\)"),
        ([100.0, 50.0], [1.0, 0.0], r"row 1, column index: price must be positive \(found 0.0\)"),
    ],
)
def test_a_market_that_cannot_be_used(mark, index, words):
    with pytest.raises(InputError, match=words):
        evaluate(book(), MarketState(NOW, mark, index), rules())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedules": {"BTC": SCHEDULE}}, r"row 1, column symbol: .* no tier table for it; --generic .*found 'ETH'"),
        ({"haircuts": {}}, r"row 1, column asset: .* does not accept it as collateral; --generic .* \(found 'BTC'\)"),
        ({"maintenance_at": "close"}, r'column maintenance_at: must be "price", "mark" or "entry"'),
        ({"closing_fee": -0.1}, r"column closing_fee: must be in \[0, 1\)"),
        ({"closing_fee": math.nan}, r"column closing_fee"),
        ({"warning_ratio": 0.0}, r"column warning_ratio: must be in \(0, 1\] \(found 0.0\)"),
        ({"reduce_only_ratio": 1.5}, r"column reduce_only_ratio: must be in"),
    ],
)
def test_rules_that_cannot_be_used(changes, words):
    with pytest.raises(InputError, match=words):
        evaluate(book(), MarketState(NOW, [100.0, 50.0], [1.0, 100.0]), rules(**changes))


def test_what_no_account_holds_needs_neither_tiers_nor_collateral_rules():
    only_btc = book(position_instrument=[0, 0], balance_asset=[0, 0])
    bare = RuleBook("made", dt.date(2024, 1, 1), {"BTC": SCHEDULE})
    state = evaluate(only_btc, MarketState(NOW, [100.0, np.nan], [1.0, np.nan]), bare)
    assert state.maintenance.tolist() == [10.0, 20.0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RateSchedule([], [], [], []), "column floors: a schedule needs at least one tier"),
        (lambda: RateSchedule.marginal([0, 10], [0.1], [10, 5]), "column rates: has 1 tiers, floors have 2"),
        (lambda: RateSchedule.cliff([0, 10], [0.1, 0.2], [10]), "column max_leverage: has 1 tiers, floors have 2"),
        (
            lambda: RateSchedule.cliff([5], [0.1], [10]),
            r"row 0, column floors: tier floors must rise from 0 \(found 5.0\)",
        ),
        (lambda: RateSchedule.cliff([0, 10, 10], [0.1] * 3, [10] * 3), "row 2, column floors: tier floors must rise"),
        (lambda: RateSchedule.cliff([0, np.nan], [0.1] * 2, [10] * 2), "row 1, column floors"),
        (lambda: RateSchedule.cliff([0], [0.0], [10]), r"row 0, column rates: must be in \(0, 1\]"),
        (lambda: RateSchedule.cliff([0], [0.1], [0]), "row 0, column max_leverage: must be positive"),
        (lambda: RateSchedule([0], [0.1], [np.nan], [10]), "row 0, column deductions: must be finite"),
        (
            lambda: RateSchedule([0, 10], [0.1] * 2, [0] * 2, [10] * 2, limit=10),
            "column limit: must be above the floor",
        ),
        (lambda: HaircutSchedule([0], []), "column rates: has 0 rates for 1 floors"),
        (lambda: HaircutSchedule([1], [0.9]), "row 0, column floors: haircut floors must rise from 0"),
        (lambda: HaircutSchedule([0], [1.1]), r"row 0, column rates: must be in \[0, 1\] \(found 1.1\)"),
        (
            lambda: InstrumentTable.linear_perpetuals(["A", "B", "A"]),
            r"row 2, column symbols: is listed twice \(found 'A'\)",
        ),
        (lambda: InstrumentTable(("A",), [2], [1], [0], ("U",)), "row 0, column kind: kind must be 0 or 1"),
        (lambda: InstrumentTable(("A",), [0], [0], [0], ("U",)), "row 0, column multiplier: must be positive"),
        (lambda: InstrumentTable(("A",), [0], [1], [1], ("U",)), "row 0, column settlement: is not an asset position"),
        (lambda: InstrumentTable(("A",), [0, 0], [1], [0], ("U",)), r"column kind: has shape \(2,\), expected \(1,\)"),
        (lambda: InstrumentTable((), [], [], [], ()), "column assets: needs at least the base asset"),
        (
            lambda: TABLE.index_of(["ETH", "DOGE"]),
            r"row 1, column symbol: unknown symbol; known are BTC, ETH \(found 'DOGE'\)",
        ),
        (lambda: TABLE.asset_index_of(["DOGE"]), "row 0, column asset: unknown asset; known are USDT, BTC"),
        (lambda: positions_of([f"s{i}" for i in range(12)], ["x"], "name"), "known are s0, .*, s7 and 4 more"),
    ],
)
def test_tables_that_cannot_be_used(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"close": changed(1, -1.0)}, r"row 1, column close\[0\]: price must be positive \(found -1.0\)"),
        ({"open": changed(2, 0.0)}, r"row 2, column open\[0\]: price must be positive"),
        ({"high": changed(2, np.inf)}, r"row 2, column high\[0\]: price must be positive"),
        ({"high": changed(1, 99.0)}, r"row 1, column high\[0\]: high is below low \(found 99.0\)"),
        ({"high": changed(1, 110.0), "close": changed(1, 111.0)}, r"row 1, column close\[0\]: close is outside"),
        ({"low": changed(1, 90.0), "close": changed(1, 89.0)}, r"row 1, column close\[0\]: close is outside"),
        ({"low": changed(1, np.nan)}, r"row 1, column low\[0\]: a bar is whole or NaN throughout \(found nan\)"),
        ({"funding": changed(1, np.nan)}, r"row 1, column funding\[0\]: funding must be a finite number"),
        (
            {"times": NOW + np.array([0, 2, 1]) * np.timedelta64(1, "h")},
            r"row 2, column times: times must rise \(found '2024-01-01T01",
        ),
        ({"times": NOW + np.array([0, 1, 1]) * np.timedelta64(1, "h")}, r"row 2, column times: times must rise"),
        (
            {"times": NOW + np.array([0, 1, 3]) * np.timedelta64(1, "h")},
            r"row 2, column times: bars must be equally spaced",
        ),
        ({"close": np.full(3, 100.0)}, r"column close: has shape \(3,\), expected \(n_bars, n_series\)"),
        ({"low": np.full((2, 1), 100.0)}, r"column low: has shape \(2, 1\), expected \(3, 1\)"),
        ({"funding": np.zeros((3, 2))}, r"column funding: has shape"),
        ({"mark_series": [1]}, r"row 0, column mark_series: is not one of 1 price series \(found 1\)"),
        ({"mark_series": [-1]}, r"row 0, column mark_series"),
        ({"index_series": [-2]}, r"row 0, column index_series"),
    ],
)
def test_a_history_that_cannot_be_used(changes, words):
    with pytest.raises(InputError, match=words):
        history(**changes)


@pytest.mark.parametrize("bar", [0, 4])
def test_a_state_before_the_first_bar_or_after_the_last(bar):
    with pytest.raises(InputError, match="column bar: needs a bar from 1 to 3"):
        history().state_at(bar)


@pytest.mark.parametrize("time", ["2024-01-01T00:30", "2023-12-31T23:00", "2024-01-01T04:00", "NaT"])
def test_an_instant_off_the_grid(time):
    grid = "is not on the bar grid from 2024-01-01T00:00:00 to 2024-01-01T03:00:00 "
    with pytest.raises(InputError, match=f"{grid}.found '[2N]"):
        history().bar_of(np.datetime64(time))
    assert history().bar_of(np.datetime64("2024-01-01T03:00")) == 3


def test_one_bar_has_no_length():
    one = {name: np.full((1, 1), 100.0) for name in ("open", "high", "low", "close", "funding")}
    with pytest.raises(InputError, match="needs at least two bars"):
        _ = history(times=[NOW], **one).step


def test_values_do_not_change_when_their_source_does():
    quantity = np.array([1.0, -2.0])
    made = book(quantity=quantity)
    quantity[0] = 5.0
    assert made.quantity[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        made.quantity[0] = 5.0
    assert frozen([1, 2], np.int64).tolist() == [1, 2]


@given(st.integers(0, 2**32 - 1))
def test_banded_tables_are_the_schedules(draw, seed):
    """Every band says what the schedule it was made of says, at its floor and between its floor and its cap."""
    world = draw.world(seed)
    table = world.book.instruments
    layout = lay_out(compile_book(world.book), compile_rules(world.rules, table, world.book))
    for i in np.unique(world.book.position_instrument):
        schedule = world.rules.schedules[table.symbols[i]]
        for band in layout.tiers[layout.tier_pointer[i] : layout.tier_pointer[i + 1]].reshape(-1, WIDTH):
            at = np.array(
                [band[FLOOR], 0.5 * (band[FLOOR] + min(band[CAP], 2 * band[FLOOR] + 1)), np.nextafter(band[CAP], 0)]
            )
            at = at[np.isfinite(at) & (at < 1e300)]
            asked = schedule.maintenance(at) + at * world.rules.closing_fee
            np.testing.assert_allclose(at * band[RATE] + band[OFFSET], asked, rtol=1e-12, atol=1e-9)
    assert (layout.slices[layout.slice_pointer[:-1] + FLOOR] == -np.inf).all()
    assert (layout.slices[layout.slice_pointer[1:] - WIDTH + CAP] == np.inf).all()


@given(st.integers(0, 2**32 - 1), st.lists(st.floats(1e-6, 1e7), min_size=2, max_size=30))
def test_maintenance_stays_within_its_rise_and_drop(draw, seed, notionals):
    world = draw.world(seed)
    table = world.book.instruments
    compiled = compile_rules(world.rules, table, world.book)
    at = np.sort(notionals)
    for i in np.unique(world.book.position_instrument):
        needed = world.rules.schedules[table.symbols[i]].maintenance(at) + at * world.rules.closing_fee
        slack = 1e-9 * at[-1]
        assert (np.maximum.accumulate(needed) <= needed + compiled.drop[i] + slack).all()
        steepest = compiled.least_rate[table.settlement[i]]
        if np.isfinite(compiled.rise[i]):
            assert (
                np.subtract.outer(needed, needed)
                <= np.abs(np.subtract.outer(at, at)) * steepest + compiled.rise[i] + compiled.drop[i] + slack
            ).all()


@pytest.mark.parametrize(
    ("floors", "rates", "haircut", "rise", "drop"),
    [
        ([0, 100, 200], [0.01, 0.02, 0.05], 0.9, 100 * 0.01 + 200 * 0.03, 0.0),
        ([0, 100, 200], [0.01, 0.02, 0.05], 0.04, np.inf, 0.0),  # a haircut below the highest rate
        ([0, 100, 120], [0.5, 0.1, 0.02], 0.9, 0.0, 50 - 2.4),  # from the first peak to the last valley
        ([0, 100], [0.1, 0.1], 0.9, 0.0, 0.0),
    ],
)
def test_the_jumps_of_a_cliff_schedule(floors, rates, haircut, rise, drop):
    table = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC"])
    jumpy = RateSchedule.cliff(floors, rates, [5.0] * len(floors))
    told = rules(schedules={"BTC": jumpy, "ETH": SCHEDULE}, haircuts={"USDT": HaircutSchedule([0], [haircut])})
    told = compile_rules(told, table, book(balance_asset=[0, 0]))
    assert (told.rise[0], told.drop[0]) == (pytest.approx(rise), pytest.approx(drop))


@pytest.mark.parametrize("bars", [1, 5, 15, 16, 17, 64, 65, 257, 1030])
def test_blocks_hold_the_lows_and_highs_of_their_bars(draw, bars):
    whole = draw.history(bars, bars, gaps=0.01)
    pyramid = build_pyramid(whole).arrays
    funding = pyramid.paid[pyramid.charge]
    ends = np.append(pyramid.level_start[2:], len(pyramid.block_low))
    for start, end, size in zip(pyramid.level_start[1:], ends, pyramid.level_bars[1:], strict=False):
        assert end - start == -(-bars // size)
        for block in range(end - start):
            mine = slice(block * size, (block + 1) * size)
            for column, bound, extreme in (
                (whole.low, pyramid.block_low, np.min), (whole.high, pyramid.block_high, np.max),
                (funding, pyramid.block_paid_low, np.min), (funding, pyramid.block_paid_high, np.max),
            ):  # fmt: skip
                np.testing.assert_array_equal(bound[start + block], extreme(column[mine], axis=0))


def test_funding_accrues_bar_by_bar(draw):
    bars = draw.history(3, 60)
    pyramid = build_pyramid(bars).arrays
    before = np.vstack((np.full((1, 6), np.nan), bars.close[:-1, :6]))
    unit = np.where(bars.instruments.kind == 1, 1 / before, before)
    due = np.where(np.arange(60)[:, None] > 0, bars.funding * unit, 0.0)
    np.testing.assert_allclose(pyramid.paid[pyramid.charge], np.cumsum(due, axis=0), rtol=1e-12, atol=1e-12)
