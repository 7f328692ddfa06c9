"""Ticks that come late, twice, out of order or not at all: the stream says what a batch over the same bars says."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import step_parity
from hypothesis import given
from hypothesis import strategies as st

from margincast.features.bar_table import bar_table
from margincast.features.engine.bars import BarTable
from margincast.features.engine.expression import column
from margincast.features.engine.external import ExternalSeries, with_series
from margincast.features.engine.feature_set import FeatureSet
from margincast.features.engine.feed import BarFeed, table_of, ticks_of
from margincast.features.engine.formula import Formula
from margincast.features.engine.operations import rolling_mean
from margincast.features.engine.program import Program
from margincast.features.panel import panel_features
from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
HOUR, MINUTE = np.timedelta64(1, "h"), np.timedelta64(1, "m")
START = np.datetime64("2024-01-01T00", "ns")


def at(minutes):
    return START + np.timedelta64(minutes, "m")


def feed_of(*columns, lateness=0, symbols=("BTC", "ETH")):
    return BarFeed(symbols, HOUR, columns, np.timedelta64(lateness, "m"))


# --- one bar ----------------------------------------------------------------------------------------------------------


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=4))
def test_a_bar_does_not_depend_on_the_order_of_its_ticks(order, again):
    price = [100.0, 103.3, 99.1, 101.7, 98.2, 100.9]
    size = [0.1, 0.7, 1e9, 0.3, 1e-7, 0.2]
    columns = ("last_open", "last_high", "last_low", "last_close", "volume", "open_interest")

    def push(feed, k):
        values = dict.fromkeys(columns[:4], price[k]) | {"volume": size[k], "open_interest": price[k]}
        feed.push("BTC", at(7 * k), values)

    plain, mixed = feed_of(*columns), feed_of(*columns)
    for k in range(6):
        push(plain, k)
    for k in [*order, *again]:
        push(mixed, k)
    one, other = (next(iter(feed.advance(at(60)))) for feed in (plain, mixed))
    for name in columns:
        np.testing.assert_array_equal(one[name], other[name])
    assert [float(one[name][0]) for name in columns[:4]] == [100.0, 103.3, 98.2, 100.9]
    assert mixed.counts.duplicates == len(again)
    assert mixed.counts.ticks == 6


def test_ticks_of_a_closed_bar_are_counted_and_left_out():
    feed = feed_of("close", lateness=5)
    feed.push("BTC", at(30), {"close": 100.0})
    assert list(feed.advance(at(64))) == []
    feed.push("BTC", at(59), {"close": 101.0})
    [row] = feed.advance(at(65))
    feed.push("BTC", at(59), {"close": 102.0})
    assert row["close"].tolist()[0] == 101.0 and np.isnan(row["close"][1])
    assert (feed.counts.late, feed.counts.ticks) == (1, 2)
    assert feed.counts.missing == {"BTC": 0, "ETH": 1}


def test_two_trades_of_one_instant_are_told_apart_by_their_number():
    feed = feed_of("volume")
    for number in (1, 2, 2):
        feed.push("BTC", at(1), {"volume": 0.5}, key=number)
    feed.push("BTC", at(1), {"volume": 0.7}, key=2)
    [row] = feed.advance(at(60))
    assert row["volume"][0] == 1.0
    assert (feed.counts.duplicates, feed.counts.conflicts) == (1, 1)


@pytest.mark.parametrize("kind", [int, str, np.int64])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_trades_of_one_instant_follow_their_numbers(kind, order):
    feed = feed_of("last_open", "last_close")
    for number in order:
        price = {1: 101.0, 2: 100.0, 3: 100.5}[number]
        feed.push("BTC", at(1), {"last_open": price, "last_close": price}, key=kind(number))
    [row] = feed.advance(at(60))
    assert (row["last_open"][0], row["last_close"][0]) == (101.0, 100.5)


@pytest.mark.parametrize("key", [7, np.int64(7), "7", None])
def test_a_tick_is_known_again_after_a_restart(key):
    first, second = feed_of("volume"), feed_of("volume")
    first.push("BTC", at(1), {"volume": 2.0}, key=key)
    second.restore(json.loads(json.dumps(first.checkpoint())))
    second.push("BTC", at(1), {"volume": 2.0}, key=key)
    [row] = second.advance(at(60))
    assert (row["volume"][0], second.counts.duplicates) == (2.0, 1)


def test_ticks_of_one_instant_are_not_out_of_order():
    feed = feed_of("last_close")
    for minute, number in ((5, 1), (5, 2), (4, 3), (6, 4)):
        feed.push("BTC", at(minute), {"last_close": 100.0}, key=number)
    assert (feed.counts.ticks, feed.counts.reordered) == (4, 1)


def test_a_feed_goes_on_where_a_history_ended():
    week, monday = np.timedelta64(7, "D"), np.datetime64("2024-01-01", "ns")
    past = BarTable(monday + np.arange(3) * week, week, ("BTC",), {"close": np.ones((3, 1))})
    features = FeatureSet([Program([Formula("mean", rolling_mean(column("close"), 2), "", "")], week)])
    live, feed = features.live(("BTC",)), BarFeed(("BTC",), week, ["close"], first=monday + 3 * week)
    live.run(past)
    feed.push("BTC", monday + 3 * week - HOUR, {"close": 5.0})
    feed.push("BTC", monday + 5 * week, {"close": 9.0})
    again = BarFeed(("BTC",), week, ["close"], first=monday + 3 * week)
    again.restore(json.loads(json.dumps(feed.checkpoint())))
    rows = list(again.advance(monday + 7 * week))
    for row in rows:
        live.update(row)
    assert [row["close"].tolist() for row in rows] == [[pytest.approx(np.nan, nan_ok=True)]] * 2 + [[9.0]] + [
        [pytest.approx(np.nan, nan_ok=True)]
    ]
    assert (again.counts.late, again.counts.outages, live.closed) == (1, 3, monday + 7 * week)
    with pytest.raises(InputError, match="column origin"):
        BarFeed(("BTC",), week, ["close"]).restore(feed.checkpoint())


def test_a_tick_from_years_ahead_is_counted_and_left_out():
    feed = BarFeed(("BTC",), HOUR, ["close"], ahead=5 * MINUTE)
    list(feed.advance(at(10)))
    feed.push("BTC", at(10) + np.timedelta64(3650, "D"), {"close": 1.0})
    feed.push("BTC", at(15), {"close": 2.0})
    feed.push("BTC", at(16), {"close": 3.0})
    [row] = feed.advance(at(60))
    assert row["close"].tolist() == [2.0]
    assert (feed.counts.early, feed.counts.ticks, feed.counts.reordered) == (2, 1, 0)
    assert feed.counts.lines(feed.silent(at(120), HOUR)) == ["1 ticks, 2 early", "BTC: silent for 1.8 h"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: feed_of("close", symbols=()), "column symbols: needs an instrument"),
        (lambda: feed_of("close", symbols=("X", "X")), "column symbols: stands there twice"),
        (lambda: feed_of("close", "close"), "column columns: stands there twice"),
        (lambda: feed_of("close", lateness=-1), "column lateness: must be a positive length"),
        (lambda: BarFeed(("X",), HOUR * 0, ["close"]), "column step: must be a positive length"),
        (lambda: BarFeed(("X",), HOUR, ["close"], ahead=-HOUR), "column ahead: must be a positive length"),
        (lambda: BarFeed(("X",), HOUR, ["close"], first=np.datetime64("NaT")), "column first: is not a time"),
        (lambda: feed_of("close").push("BTC", np.datetime64("NaT"), {"close": 1.0}), "column time: is not a time"),
        (lambda: list(feed_of("close").advance(np.datetime64("NaT"))), "column now: is not a time"),
        (lambda: feed_of("close").restore({}), "column symbols: is a checkpoint of another feed"),
    ],
)
def test_feeds_that_cannot_be_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_checkpoint_of_a_feed_that_is_not_whole_is_refused_and_changes_nothing():
    feed = feed_of("volume")
    feed.push("BTC", at(1), {"volume": 2.0})
    state = feed.checkpoint()
    for lacking in ("next", "clock", "latest", "counts", "ticks"):
        other = feed_of("volume")
        with pytest.raises(InputError, match="is not a whole checkpoint of a feed"):
            other.restore({name: value for name, value in state.items() if name != lacking})
        assert other.checkpoint() == feed_of("volume").checkpoint()


def test_reports_are_zero_where_the_last_price_is_known_as_in_a_batch():
    feed = feed_of("close", "last_close", "liquidated_long")
    feed.push("BTC", at(1), {"close": 100.0})
    feed.push("ETH", at(1), {"last_close": 100.0})
    [row] = feed.advance(at(60))
    assert np.array_equal(row["liquidated_long"], [np.nan, 0.0], equal_nan=True)


def test_an_outage_and_a_symbol_that_disappears_are_said_and_stay_gaps():
    feed = feed_of("close")
    for k in range(3):
        feed.push("BTC", at(60 * k + 1), {"close": 100.0})
        feed.push("ETH", at(60 * k + 1), {"close": 50.0})
    feed.push("BTC", at(60 * 6 + 1), {"close": 90.0})
    rows = list(feed.advance(at(60 * 7)))
    closes = np.stack([row["close"] for row in rows])
    assert closes[:, 0].tolist()[:3] == [100.0] * 3 and np.isnan(closes[3:6]).all() and closes[6, 0] == 90.0
    assert np.isnan(closes[3:, 1]).all()
    assert (feed.counts.outages, feed.counts.missing) == (3, {"BTC": 3, "ETH": 4})
    silent = feed.silent(at(60 * 7), HOUR * 2)
    assert silent == {"ETH": pytest.approx(4 + 59 / 60)}
    said = feed.counts.lines(silent)
    assert said == ["7 ticks", "3 bars without any tick", "BTC: 3 bars missing", "ETH: 4 bars missing", said[-1]]
    assert said[-1] == "ETH: silent for 5.0 h"


def test_a_clock_that_goes_backwards_is_counted_and_changes_nothing():
    feed = feed_of("close")
    feed.push("BTC", at(1), {"close": 100.0})
    assert len(list(feed.advance(at(61)))) == 1
    feed.push("BTC", at(62), {"close": 101.0})
    assert list(feed.advance(at(3))) == []
    assert feed.counts.clock_backwards == 1
    assert len(list(feed.advance(at(120)))) == 1


def test_sums_of_reports_are_zero_where_nothing_was_reported_and_unknown_where_the_market_was_not():
    feed = feed_of("close", "liquidated_long")
    feed.push("BTC", at(1), {"close": 100.0})
    feed.push("BTC", at(121), {"close": 100.0})
    rows = list(feed.advance(at(180)))
    assert [row["liquidated_long"][0] for row in rows[::2]] == [0.0, 0.0]
    assert np.isnan(rows[1]["liquidated_long"][0])


@pytest.mark.parametrize(
    ("symbol", "values", "message"),
    [
        ("DOGE", {"close": 1.0}, "column symbol: is not a symbol of this feed (found 'DOGE')"),
        ("BTC", {"close": float("nan")}, "row BTC, column close: must be finite (found nan)"),
        ("BTC", {"close": -1.0}, "row BTC, column close: price must be positive (found -1.0)"),
        ("BTC", {"volume": -1.0}, "row BTC, column volume: must be zero or more (found -1.0)"),
    ],
)
def test_a_tick_that_cannot_be_is_refused_and_leaves_no_trace(symbol, values, message):
    feed = feed_of("close", "volume")
    with pytest.raises(InputError) as caught:
        feed.push(symbol, at(1), values)
    assert str(caught.value) == message
    assert feed.counts.ticks == 0 and list(feed.advance(at(60))) == []


def test_a_feed_goes_on_after_a_restart_in_the_middle_of_a_bar():
    whole, first = feed_of("last_high", "volume"), feed_of("last_high", "volume")
    ticks = [(at(13 * k), {"last_high": 100.0 + k % 5, "volume": 0.1 * k}) for k in range(30)]
    for time, values in ticks:
        whole.push("BTC", time, values)
    for time, values in ticks[:17]:
        first.push("BTC", time, values, key=None)
    closed = list(first.advance(ticks[16][0]))
    second = feed_of("last_high", "volume")
    second.restore(json.loads(json.dumps(first.checkpoint())))
    for time, values in ticks[15:]:
        second.push("BTC", time, values)
    closed += second.advance(ticks[-1][0])
    expected = list(whole.advance(ticks[-1][0]))
    assert len(closed) == len(expected) == 6
    for one, other in zip(closed, expected, strict=True):
        np.testing.assert_array_equal(one["volume"], other["volume"])
        np.testing.assert_array_equal(one["last_high"], other["last_high"])
    assert second.counts.duplicates == 2
    with pytest.raises(InputError, match="checkpoint of another feed"):
        feed_of("volume").restore(first.checkpoint())


# --- series of one's own ----------------------------------------------------------------------------------------------


def test_a_series_is_known_only_once_it_is_published_and_while_it_is_fresh():
    times = START + np.array([0, 24, 48]) * HOUR
    series = ExternalSeries("fear", times, np.array([1.0, 2.0, 3.0]), max_age=HOUR * 30, lag=HOUR * 3)
    asked = START + np.array([2, 3, 26, 27, 50, 51, 78, 79]) * HOUR
    assert np.array_equal(series.known_at(asked), [np.nan, 1, 1, 2, 2, 3, 3, np.nan], equal_nan=True)


def small_table():
    times = START + np.arange(5) * HOUR
    return BarTable(times, HOUR, ("BTC", "ETH"), {"close": np.ones((5, 2))})


def test_series_join_bars_at_their_close():
    both = ExternalSeries("rate", START + np.array([60, 61]) * MINUTE, np.array([4.0, 5.0]))
    own = ExternalSeries("flow", np.array([START + 90 * MINUTE]), np.array([7.0]), symbol="ETH")
    joined = with_series(small_table(), [both, own])
    assert joined.columns["series_rate"][:2].tolist() == [[4.0, 4.0], [5.0, 5.0]]
    assert np.isnan(joined.columns["series_flow"][:, 0]).all()
    assert np.array_equal(joined.columns["series_flow"][:, 1], [np.nan, 7, 7, 7, 7], equal_nan=True)


def test_a_series_may_be_added_symbol_by_symbol_but_replaces_none():
    one, other = (ExternalSeries("x", [START], [1.0], symbol=name) for name in ("BTC", "ETH"))
    joined = with_series(with_series(small_table(), [one]), [other])
    assert joined.columns["series_x"].tolist() == [[1.0, 1.0]] * 5
    for again in (one, ExternalSeries("x", [START], [2.0])):
        with pytest.raises(InputError, match="two series of this name for one symbol .found 'BTC'"):
            with_series(with_series(small_table(), [one]), [again])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExternalSeries("x", [START, START], [1.0, 2.0]), "x, row 1, column times: times must rise"),
        (
            lambda: ExternalSeries("x", [START, np.datetime64("NaT")], [1.0, 2.0]),
            "x, row 1, column times: times must rise",
        ),
        (lambda: ExternalSeries("x", [START], [1.0], max_age=np.timedelta64("NaT")), "column max_age: must not be"),
        (lambda: ExternalSeries("x", [START], [np.inf]), "x, row 0, column values: must be finite (found inf)"),
        (lambda: ExternalSeries("x", [START], [1.0, 2.0]), "column x: has 2 values for 1 times"),
        (lambda: ExternalSeries("x", [START], [1.0], lag=-HOUR), "column lag: must not be negative"),
        (
            lambda: with_series(small_table(), [ExternalSeries("x", [START], [1.0], symbol="DOGE")]),
            "column x: is a series of a symbol that has no bars (found 'DOGE')",
        ),
        (
            lambda: with_series(small_table(), [ExternalSeries("x", [START], [1.0])] * 2),
            "column x: two series of this name for one symbol (found 'BTC')",
        ),
    ],
)
def test_series_that_cannot_be_are_refused(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value).startswith(message)


# --- a real market ----------------------------------------------------------------------------------------------------


def halves(ticks):
    """Each bar as two messages: its open and range half-way through, the rest at its end."""
    for symbol, time, values in ticks:
        early = {name: value for name, value in values.items() if name.endswith(("open", "high"))}
        yield symbol, time - 30 * MINUTE, early
        yield symbol, time, {name: value for name, value in values.items() if name not in early}


def spoilt(ticks, rng, lost=0.005):
    """Messages as a bad line brings them: some bars lost, some twice, some late in time and some too late."""
    pairs = zip(ticks[::2], ticks[1::2], strict=True)
    kept = [tick for pair in pairs if pair[0][0] not in ("BTC", "XRP") or rng.random() > lost for tick in pair]
    twice = [tick for tick in kept if rng.random() < 0.01]
    delay = [*rng.choice([0, 0, 0, 5, 50], len(kept)), *rng.choice([1, 120], len(twice))]
    sent = [(tick[1] + int(d) * MINUTE, k) for k, (tick, d) in enumerate(zip(kept + twice, delay, strict=True))]
    return [(now, (kept + twice)[k]) for now, k in sorted(sent)]


@pytest.mark.skipif(not (SHARED / "data" / "binance_1h").is_dir(), reason=f"needs real bars in {SHARED}/data")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_week_of_real_bars_through_a_bad_line_is_the_batch_bit_for_bit(seed):
    table = bar_table(read_market_folder(SHARED / "data" / "binance_1h"))
    table = table.part(len(table) - 900, len(table))
    rng = np.random.default_rng(seed)
    features = panel_features(table)
    feed = BarFeed(table.symbols, HOUR, tuple(table.columns), np.timedelta64(55, "m"))
    live, rows, said = features.live(table.symbols), [], []
    for now, (symbol, time, values) in spoilt(list(halves(ticks_of(table))), rng):
        for row in feed.advance(now):
            live.update(row)
            rows.append(row)
            said.append(live.values())
            if rng.random() < 0.02:
                live = features.restored(live.checkpoint())
                state = json.loads(json.dumps(feed.checkpoint()))
                feed = BarFeed(table.symbols, HOUR, tuple(table.columns), np.timedelta64(55, "m"))
                feed.restore(state)
        feed.push(symbol, time, values)
    received = table_of(rows, table.symbols)
    frame = features.batch(received)
    assert step_parity.same(np.stack(said), frame.values).all()
    assert not np.isnan(frame.values[-168:]).all(axis=(0, 1)).any() and len(rows) > 890
    counts = feed.counts
    assert counts.duplicates > 5 and counts.late > 5 and sum(counts.missing.values()) > 2 and counts.reordered > 5
    lost = np.isnan(received.columns["close"])
    assert 0 < lost.sum() == sum(counts.missing.values())
    sent = table.columns["close"][: len(rows)]
    np.testing.assert_array_equal(received.columns["close"][~lost], sent[~lost])


def test_the_panel_of_a_market_with_prices_alone_reads_prices_alone():
    table = small_table()
    prices = {name: table.columns["close"] for name in ("open", "high", "low", "close")}
    features = panel_features(BarTable(table.times, HOUR, table.symbols, prices))
    assert {"close", "high", "low", "open"} == set(features.inputs)
