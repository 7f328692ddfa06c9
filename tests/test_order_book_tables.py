"""Feeds to tables: the last valid book of each interval, what is absent and why, batch = restarted stream."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_book_twin import BTC, ETH, NOTHING, ROWS, XRP, at, draw_stream, sides_of
from step_parity import stored_and_loaded

from margincast.features.liquidity.book_bars import BookMeasures, book_bars
from margincast.features.liquidity.book_depth import book_depth
from margincast.features.liquidity.book_sampler import BookSampler, IntervalCounts
from margincast.features.liquidity.book_sequence import BINANCE_FUTURES, BYBIT, WHOLE_BOOKS
from margincast.features.liquidity.depth_measures import depth_within
from margincast.features.liquidity.depth_table import depth_table
from margincast.features.liquidity.order_book import OrderBook
from margincast.features.liquidity.price_impact import ImpactSettings
from margincast.features.liquidity.resilience import ResilienceSettings
from margincast.features.readers.book_feed_binance import BinanceRecording
from margincast.features.readers.book_feed_bybit import read_bybit_archive
from margincast.features.readers.book_feed_events import UNKNOWN, BookUpdate, TradePrint
from margincast.features.readers.book_feed_parquet import LevelTable
from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import InputError
from margincast.training.market_simulator import simulate_market, write_market_folder

SECOND = 1_000_000_000
ONE = np.timedelta64(1, "s")
BOOK = np.array([[100.0, 1.0], [99.0, 2.0]]), np.array([[101.0, 1.0], [102.0, 3.0]])


def message(kind, last, seconds, bids=(), asks=()):
    levels = BOOK if kind == "snapshot" else [np.array(s, float).reshape(-1, 2) for s in (bids, asks)]
    time = round(seconds * SECOND)
    return BookUpdate("X", kind, time, UNKNOWN, last, last, UNKNOWN, *levels)


def trade(seconds, size=1.0):
    return TradePrint("X", round(seconds * SECOND), UNKNOWN, 100.5, size, True)


def sampled_mids(events, **options):
    sampler = BookSampler("X", BYBIT, ONE, **options)
    samples = sampler.advance(events) + sampler.finish()
    return {s.opened // SECOND: (s.time / SECOND, s.levels.mid) for s in samples}, sampler.intervals


def test_each_interval_has_its_last_valid_book():
    events = [
        message("diff", 4, 0.5),
        message("snapshot", 5, 1.2),
        message("diff", 6, 1.7, [(100.5, 1.0)]),
        message("diff", 7, 2.1, [(100.75, 1.0)]),
        message("diff", 9, 2.6, [(98.0, 1.0)]),
        message("diff", 10, 3.5),
        message("snapshot", 11, 4.9),
    ]
    found, counted = sampled_mids(events)
    assert found == {1: (1.7, 100.75), 2: (2.1, 100.875), 4: (4.9, 100.5)}
    assert counted == IntervalCounts(sampled=3, no_snapshot=1, gap=1, crossed=0, silent=0)


def test_a_quiet_book_stands_and_a_silent_one_does_not():
    events = [message("snapshot", 5, 1.5), message("diff", 6, 9.5)]
    found, counted = sampled_mids(events, max_silence_seconds=3.0)
    assert found == {1: (1.5, 100.5), 2: (2.0, 100.5), 3: (3.0, 100.5), 4: (4.0, 100.5), 9: (9.5, 100.5)}
    assert (counted.sampled, counted.silent) == (5, 4)
    events.insert(1, trade(5.5))
    found, counted = sampled_mids(events, max_silence_seconds=3.0)
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 7, 8, 9] and found[5] == (5.0, 100.5)
    far = [message("snapshot", 5, 1.5), message("diff", 6, 1e8)]
    assert sampled_mids(far)[1].silent == 10**8 - 1 - 6


def test_a_silence_breaks_off_what_is_estimated():
    settings = ResilienceSettings(band_bps=200.0, reference_seconds=1.0, watch_seconds=30.0, least_episodes=1)
    events = [message("snapshot", 5, 1.0), message("diff", 6, 3.0, [(100.0, 0.1), (99.0, 0.1)])]
    events += [trade(4.0), message("diff", 7, 9.0, [(100.0, 1.0), (99.0, 2.0)])]
    for silence, ended in ((3.0, [0, 1]), (30.0, [1, 0])):
        sampler = BookSampler(
            "X", BYBIT, ONE, max_silence_seconds=silence, resilience=settings, impact=ImpactSettings()
        )
        sampler.advance(events)
        assert sampler.resilience.episodes[0].tolist() == ended
        assert sampler.impact.intervals == (1 if silence > 5.0 else 0)


def test_a_crossed_book_has_no_sample():
    events = [
        message("snapshot", 5, 1.5),
        message("diff", 6, 2.5, [(101.0, 1.0)]),
        message("diff", 7, 3.5, [(101.0, 0.0)]),
    ]
    found, counted = sampled_mids(events)
    assert sorted(found) == [1, 3] and counted.crossed == 1


def test_a_clock_that_goes_back_opens_no_closed_interval():
    events = [
        message("snapshot", 5, 3.5),
        message("diff", 6, 4.5),
        message("diff", 7, 2.5),
        message("snapshot", 8, 2.6),
    ]
    events += [message("diff", 9, 2.7), message("diff", 10, 5.5)]
    found, counted = sampled_mids(events)
    assert sorted(found) == [3, 5] and counted == IntervalCounts(2, 0, 1, 0, 0)


def drawn_feed(seed):
    """A Binance stream with a lost diff, two snapshots, trades, a crossed book and a silence."""
    rng = np.random.default_rng(seed)
    stream = draw_stream(rng, "binance futures", events=60)
    messages = list(stream.messages)
    messages.pop(int(rng.integers(20, 40)))
    for place, back in ((50, 1), (3, 0)):
        messages.insert(place, stream.snapshot(messages[place - back - 1].last, 5))
    times = np.cumsum(rng.integers(0, SECOND // 2, len(messages)))
    times[int(rng.integers(10, 50)) :] += int(rng.integers(0, 8)) * SECOND
    feed = [at(m, int(t) + SECOND) for m, t in zip(messages, times, strict=True)]
    for place in sorted(rng.choice(len(feed), 30).tolist(), reverse=True):
        price, size = float(rng.integers(380, 420)) / 4, float(rng.integers(1, 9))
        seen = feed[place].seen
        feed.insert(place + 1, TradePrint("X", seen, seen, price, size, bool(rng.integers(2))))
    return feed


def sampler_of():
    settings = ResilienceSettings(band_bps=100.0, reference_seconds=3.0, watch_seconds=2.0, least_episodes=1)
    impact = ImpactSettings(0.5, 20.0, 2)
    return BookSampler(
        "X", BINANCE_FUTURES, ONE, tick="0.25", max_silence_seconds=4.0, resilience=settings, impact=impact
    )


def bits(sample):
    levels = sample.levels
    arrays = (levels.bid_ticks, levels.bid_sizes, levels.ask_ticks, levels.ask_sizes, sample.half_life)
    numbers = (
        sample.opened,
        sample.time,
        levels.time,
        levels.bid_edge,
        levels.ask_edge,
        np.float64(sample.impact).tobytes(),
    )
    return numbers, tuple(array.tobytes() for array in arrays)


@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 90), max_size=6))
def test_batch_stream_and_restarted_stream_are_the_same_bits(seed, cuts):
    feed, whole, one_by_one, parts = drawn_feed(seed), sampler_of(), sampler_of(), sampler_of()
    expected = [bits(s) for s in whole.advance(feed) + whole.finish()]
    streamed = [bits(s) for event in feed for s in one_by_one.advance([event])]
    streamed += [bits(s) for s in one_by_one.finish()]
    assert streamed == expected and one_by_one.intervals == whole.intervals
    resumed = []
    edges = [0, *sorted(cuts), len(feed)]
    for low, high in zip(edges, edges[1:], strict=False):
        resumed += [bits(s) for s in parts.advance(feed[low:high])]
        fresh = sampler_of()
        fresh.restore(stored_and_loaded(parts.checkpoint()))
        parts = fresh
    resumed += [bits(s) for s in parts.finish()]
    assert resumed == expected and parts.intervals == whole.intervals and parts.book.counts == whole.book.counts


@given(st.integers(0, 2**32 - 1))
def test_nothing_from_after_an_intervals_close_is_in_its_sample(seed):
    feed = drawn_feed(seed)
    whole = sampler_of()
    samples = {s.opened: bits(s) for s in whole.advance(feed)}
    for cut in range(5, len(feed), 9):
        early = sampler_of()
        seen = early.advance(feed[:cut])
        assert all(samples[s.opened] == bits(s) for s in seen)
        assert all(s.opened + SECOND <= feed[cut - 1].seen for s in seen)


needs_binance = pytest.mark.skipif(not (BTC.is_file() and ETH.is_file()), reason=f"needs the recordings {BTC}")


@pytest.fixture(scope="module")
def ether():
    return list(BinanceRecording(ETH))


@needs_binance
def test_the_table_of_a_recording_is_that_of_books_rebuilt_one_message_at_a_time(ether):
    bands = [2.0, 10.0, 40.0]
    table = depth_table(ether, BINANCE_FUTURES, bands)
    book, expected = OrderBook("ETHUSDT", BINANCE_FUTURES), {}
    for update in (e for e in ether if isinstance(e, BookUpdate)):
        book.apply([update])
        if book.usable:
            expected[update.seen // SECOND] = update.seen, depth_within(book.levels(), bands)
    assert len(expected) == 345 == table.intervals["ETHUSDT"].sampled
    wide = table.frame.pivot(index="timestamp", columns=["side", "level_bps"], values="notional")
    assert wide.index.as_unit("ns").asi8.tolist() == [seen for seen, _ in expected.values()]
    for side, name in ((0, "bid"), (1, "ask")):
        truth = np.array([depth[side] for _, depth in expected.values()])
        ours = np.column_stack([wide[(name, band)].to_numpy() for band in bands])
        assert ours.tobytes() == truth.tobytes()
    assert table.beyond_known == {"ETHUSDT": int(sum(np.isnan(d).sum() for _, d in expected.values()))}
    lower = depth_table(ether, BINANCE_FUTURES, bands, beyond_known=True)
    assert len(lower.frame) == 345 * 6 and lower.beyond_known == {"ETHUSDT": 0}


@needs_binance
def test_a_lost_diff_leaves_the_rest_of_a_recording_absent_and_counted(ether):
    seconds = sorted({e.seen // SECOND for e in ether})
    place = next(k for k, e in enumerate(ether) if isinstance(e, BookUpdate) and e.seen // SECOND == seconds[100])
    table = depth_table(ether[:place] + ether[place + 1 :], BINANCE_FUTURES, [5.0])
    counted, book = table.intervals["ETHUSDT"], table.books["ETHUSDT"]
    assert (counted.sampled, counted.gap, counted.silent) == (100, 245, 0), (
        "no message of the second that lacks its first one is known to be right"
    )
    assert book.sequence_gaps == 1 and book.seconds_gap == pytest.approx(245, abs=1.0)
    assert len(table.frame) == 2 * 100


def test_a_market_folder_takes_the_table(tmp_path):
    tables = simulate_market(seed=3, days=40, symbols=("BTC", "ETH"))
    start = int(pd.Timestamp(tables["perp"]["timestamp"].iloc[0]).value)
    feed = [at(message("snapshot", k, 1), start + k * 600 * SECOND) for k in range(200)]
    feed = [replace(one, symbol="BTC") for one in feed]
    table = depth_table(feed, BYBIT, [100.0, 200.0], step=np.timedelta64(1, "h"), max_silence_seconds=3600.0)
    tables["depth"] = table.frame
    data = read_market_folder(write_market_folder(tables, tmp_path / "market", {"seed": 3}))
    depth = book_depth(data.depth, data.times, np.timedelta64(1, "h"), data.symbols)
    hours = table.intervals["BTC"].sampled
    assert hours == 34 and depth.levels.tolist() == [100.0, 200.0]
    assert (depth.bid[:hours, 0, 0] == 100.0).all() and np.isnan(depth.bid[hours:, 0]).all()
    assert np.isnan(depth.bid[:, 1]).all()


@pytest.mark.skipif(not (XRP.is_file() and ROWS.is_file()), reason=f"needs {XRP} and {ROWS}")
def test_tables_of_the_other_feeds():
    table = depth_table(read_bybit_archive(XRP), BYBIT, [10.0, 100.0], step=np.timedelta64(100, "ms"))
    assert table.intervals["XRPUSDT"].sampled == 49 and table.frame["notional"].gt(0).all()
    rows = LevelTable(ROWS)
    many = depth_table(rows, WHOLE_BOOKS, [10.0])
    assert set(many.frame["symbol"]) == set(many.intervals) and len(many.intervals) == 6
    stood_still = {symbol: counted.silent for symbol, counted in many.intervals.items()}
    assert stood_still.pop("BTCUSDT") >= 15 and set(stood_still.values()) == {0}
    assert many.frame["timestamp"].is_monotonic_increasing


@needs_binance
def test_bars_say_what_the_measures_say_of_the_last_book(ether):
    measures = BookMeasures((2.0, 10.0), (1e5, 1e9), microprice_band=2.0)
    step = np.timedelta64(30, "s")
    bars = book_bars(ether, BINANCE_FUTURES, measures, step=step, resilience=ResilienceSettings(band_bps=2.0))
    frame = bars.frame
    assert tuple(frame.columns) == ("timestamp", "symbol", *measures.columns) and len(frame) == 12
    book = OrderBook("ETHUSDT", BINANCE_FUTURES)
    close = int(frame["timestamp"].iloc[4].value) + 30 * SECOND
    book.apply([e for e in ether if isinstance(e, BookUpdate) and e.seen < close])
    row, levels = frame.iloc[4], book.levels()
    depth = depth_within(levels, [2.0, 10.0])
    assert row["mid"] == levels.mid and row["bid_2bps"] == depth[0, 0] and row["ask_10bps"] == depth[1, 1]
    assert row["imbalance_10bps"] == (depth[0, 1] - depth[1, 1]) / (depth[0, 1] + depth[1, 1])
    assert row["elasticity_bid"] == pytest.approx(np.log(depth[0, 1] / depth[0, 0]) / np.log(5.0))
    assert row["spread_bps"] == pytest.approx(0.01 / levels.mid * 1e4, rel=1e-9)
    assert 0.0 < row["sell_100000_bps"] < 5.0 and np.isnan(row["buy_1000000000_bps"])
    assert bars.reasons == {"ETHUSDT": {"not deep enough as far as the book is known": 24}}
    known = frame[["half_life_bid", "half_life_ask", "impact_bps_per_million"]].notna().all(axis=1)
    assert known.iloc[-1] and not known.iloc[0] and sides_of(levels)[0]


@pytest.mark.parametrize(
    ("bands", "notionals", "said"),
    [((5.0,), (), "column bands"), ((5.0, 5.0), (), "column bands"), ((1.0, 2.0), (0.5,), "column notionals")],
)
def test_measures_that_cannot_be(bands, notionals, said):
    with pytest.raises(InputError, match=said):
        BookMeasures(bands, notionals)


def test_feeds_that_cannot_be():
    with pytest.raises(InputError, match="column feed: the feed has no event"):
        depth_table([], BYBIT, [5.0])
    with pytest.raises(InputError, match="column step: must be positive"):
        BookSampler("X", BYBIT, np.timedelta64(0, "s"))
    with pytest.raises(InputError, match="column bands"):
        depth_table([message("snapshot", 1, 1)], BYBIT, [0.0])
    empty = depth_table([message("diff", 1, 1, *([],) * 2)], BYBIT, [5.0])
    assert empty.frame.empty and empty.intervals["X"].no_snapshot == 1 and len(NOTHING) == 0
