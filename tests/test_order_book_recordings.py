"""Books rebuilt from real recordings: against the venue's own snapshots and best quotes, and a plain twin."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from order_book_twin import BTC, ETH, ROWS, XRP, PlainBook, sides_of

from margincast.features.liquidity.book_levels import ASK, BID
from margincast.features.liquidity.book_sequence import BINANCE_FUTURES, BYBIT, WHOLE_BOOKS
from margincast.features.liquidity.depth_measures import depth_within
from margincast.features.liquidity.execution_cost import execution_cost
from margincast.features.liquidity.order_book import OrderBook
from margincast.features.readers.book_feed_binance import BinanceRecording
from margincast.features.readers.book_feed_bybit import read_bybit_archive
from margincast.features.readers.book_feed_events import BestQuote, BookUpdate
from margincast.features.readers.book_feed_parquet import LevelTable

needs_binance = pytest.mark.skipif(not (BTC.is_file() and ETH.is_file()), reason=f"needs the recordings {BTC}")
needs_bybit = pytest.mark.skipif(not XRP.is_file(), reason=f"needs the archive {XRP}")
needs_rows = pytest.mark.skipif(not ROWS.is_file(), reason=f"needs the table {ROWS}")


@pytest.fixture(scope="module", params=["BTCUSDT", "ETHUSDT"])
def recording(request):
    events = list(BinanceRecording(BTC if request.param == "BTCUSDT" else ETH))
    return request.param, [e for e in events if isinstance(e, BookUpdate)], events


def joins(updates):
    """Place of the recording's only snapshot."""
    (place,) = (k for k, update in enumerate(updates) if update.kind == "snapshot")
    return place


@needs_binance
def test_the_recordings_hold_what_was_counted_by_hand(recording):
    symbol, _, events = recording
    kinds = Counter(type(event).__name__ for event in events)
    counted = {"BTCUSDT": (6552, 66089, 21313), "ETHUSDT": (6587, 53992, 14076)}
    assert tuple(kinds[name] for name in ("BookUpdate", "BestQuote", "TradePrint")) == counted[symbol]


@needs_binance
def test_after_every_diff_best_prices_and_sizes_are_those_the_venue_quoted(recording):
    """Quotes carry the book's id: the last one up to a diff's id must be the top of the book after that diff."""
    symbol, updates, events = recording
    quotes = sorted((e for e in events if isinstance(e, BestQuote)), key=lambda quote: quote.last)
    ids = np.array([quote.last for quote in quotes])
    book, seen = OrderBook(symbol, BINANCE_FUTURES, "0.1" if symbol == "BTCUSDT" else "0.01"), 0
    book.apply(updates[: joins(updates) + 1])
    for update in updates[joins(updates) + 1 :]:
        book.apply([update])
        assert book.status == "valid" and book.last_id == update.last
        quote = quotes[np.searchsorted(ids, update.last, "right") - 1]
        levels = book.levels()
        best = [side[k] for rows in (levels.side(BID), levels.side(ASK)) for side in rows for k in (0,)]
        assert best == [quote.bid, quote.bid_size, quote.ask, quote.ask_size]
        seen += 1
    assert seen > 6500
    counts = book.counts
    assert (counts.sequence_gaps, counts.crossed, counts.exchange_clock_back, counts.receipt_clock_back) == (0,) * 4
    assert counts.sent_after_receipt == len(updates), "the recorder's clock is 1.2 s behind the venue's"


@needs_binance
def test_the_snapshot_agrees_with_the_diffs_that_came_before_it(recording):
    """A level last changed by a diff up to its id has that size in it; the others changed in the diff that joins it."""
    symbol, updates, _ = recording
    snapshot = updates[joins(updates)]
    whole = OrderBook(symbol, BINANCE_FUTURES)
    whole.apply([snapshot])
    levels = whole.levels()
    assert sides_of(levels) == tuple(dict(side.tolist()) for side in (snapshot.bids, snapshot.asks))
    joining = [u for u in updates if u.kind == "diff" and u.first <= snapshot.last <= u.last]
    assert len(joining) == 1
    compared = different = 0
    for side, name in ((BID, "bids"), (ASK, "asks")):
        last = {
            p: s for u in updates if u.kind == "diff" and u.last <= snapshot.last for p, s in getattr(u, name).tolist()
        }
        there, edge = sides_of(levels)[side], levels.known_to(side)
        spanned = set(getattr(joining[0], name)[:, 0].tolist())
        for price, size in last.items():
            if price >= edge if side == BID else price <= edge:
                compared += 1
                if there.get(price, 0.0) != size:
                    different += 1
                    assert price in spanned and joining[0].last > snapshot.last
    assert (compared, different) == {"BTCUSDT": (183, 7), "ETHUSDT": (212, 0)}[symbol]


@needs_binance
def test_the_whole_book_is_the_plain_twins(recording):
    symbol, updates, _ = recording
    book, twin = OrderBook(symbol, BINANCE_FUTURES), PlainBook("binance futures")
    book.apply(updates)
    for update in updates:
        twin.take(update)
    assert twin.valid and sides_of(book.levels()) == twin.sides()
    assert {"BTCUSDT": (5018, 4578), "ETHUSDT": (3181, 3013)}[symbol] == tuple(len(s) for s in twin.sides())


@needs_binance
def test_depth_traced_by_the_kernel_is_that_of_the_formula(recording):
    symbol, updates, _ = recording
    few, band = updates[: joins(updates) + 200], 7.5
    whole, book = OrderBook(symbol, BINANCE_FUTURES), OrderBook(symbol, BINANCE_FUTURES)
    trace = whole.trace(few, band)
    for k, update in enumerate(few):
        book.apply([update])
        assert book.usable == trace.usable[k]
        if book.usable:
            levels = book.levels()
            assert depth_within(levels, [band])[:, 0].tobytes() == trace.within[k].tobytes()
            assert (trace.bid[k], trace.ask[k]) == (levels.bid_prices[0], levels.ask_prices[0])
    assert trace.usable.sum() == 200


@needs_binance
@pytest.mark.parametrize("place", [3, 50])
def test_a_diff_taken_out_of_a_real_recording_is_seen_at_once(recording, place):
    symbol, updates, _ = recording
    cut = updates.copy()
    lost = cut.pop(joins(updates) + place)
    book = OrderBook(symbol, BINANCE_FUTURES)
    book.apply(cut[: joins(updates) + place])
    assert book.status == "valid" and book.last_id == lost.previous
    book.apply(cut)
    assert book.status == "gap" and book.counts.sequence_gaps >= 1


@needs_bybit
def test_bybit_keeps_500_levels_a_side_and_so_do_we():
    book, twin, updates = OrderBook("XRPUSDT", BYBIT, "0.0001"), PlainBook("bybit"), list(read_bybit_archive(XRP))
    assert len(updates) == 50 and [u.kind for u in updates] == ["snapshot"] + ["diff"] * 49
    for update in updates:
        book.apply([update])
        twin.take(update)
        levels = book.levels()
        assert (len(levels.bid_ticks), len(levels.ask_ticks)) == (500, 500)
        assert sides_of(levels) == twin.sides() and book.usable
        assert levels.known_to(BID) == levels.bid_prices[-1] and levels.known_to(ASK) == levels.ask_prices[-1]
    assert book.counts.diffs == 49 and book.counts.seconds_gap == 0.0


@needs_rows
def test_every_row_of_whole_books_is_rebuilt_level_by_level():
    frame = pd.read_parquet(ROWS)
    table = LevelTable(ROWS)
    books = {symbol: OrderBook(symbol, WHOLE_BOOKS) for symbol in frame["symbol"].unique()}
    rows = (frame.loc[k] for k in frame.index)
    before, snapshots, compared = {}, 0, 0
    for update in table:
        for row in rows:
            if before.get(row.symbol) != (row.b, row.a):
                break
        before[row.symbol] = (row.b, row.a)
        books[row.symbol].apply([update])
        stated = tuple({float(p): float(s) for p, s in json.loads(text)} for text in (row.b, row.a))
        assert sides_of(books[row.symbol].levels()) == stated
        snapshots, compared = snapshots + row.snp, compared + 1
    assert (compared + table.repeated.total(), compared, snapshots) == (1331, 1277, 24)
    assert dict(table.repeated) == {"BTCUSDT": 54}, "the recorder's BTC book stood still for half a minute"
    assert all(book.usable for book in books.values())


@needs_binance
def test_real_costs_rise_with_the_order_and_the_impact_is_that_of_the_walk(recording):
    symbol, updates, _ = recording
    book = OrderBook(symbol, BINANCE_FUTURES)
    book.apply(updates[: joins(updates) + 100])
    levels = book.levels()
    for side in (BID, ASK):
        costs = [execution_cost(levels, side, notional) for notional in np.geomspace(1e3, 5e6, 30)]
        assert all(a.impact_bps <= b.impact_bps + 1e-9 for a, b in pairwise(costs)) and not any(c.reason for c in costs)
        prices, sizes = levels.side(side)
        taken = prices <= costs[-1].worst_price if side == ASK else prices >= costs[-1].worst_price
        assert sizes[taken].sum() >= 5e6 / levels.mid > sizes[taken][:-1].sum()
        known = prices >= levels.known_to(BID) if side == BID else prices <= levels.known_to(ASK)
        most = float(sizes[known].sum()) * levels.mid
        assert not execution_cost(levels, side, most * (1 - 1e-9)).reason
        beyond = execution_cost(levels, side, most * (1 + 1e-9))
        assert np.isnan(beyond.impact_bps) and beyond.reason == "not deep enough as far as the book is known"
        assert not execution_cost(levels.as_seen(), side, most * (1 + 1e-9)).reason
