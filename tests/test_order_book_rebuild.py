"""The order book: what it says is the venue's book or that it does not know, whatever is lost, late or sent twice."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_book_twin import NOTHING, TICK, PlainBook, at, draw_stream, sides_of
from step_parity import stored_and_loaded

from margincast.features.liquidity import order_book
from margincast.features.liquidity.book_ladder import (
    BASE,
    BEST,
    LEVELS,
    NUMBERS,
    best_first,
    empty,
    least_key,
    notional_above,
    set_level,
    set_levels,
)
from margincast.features.liquidity.book_sequence import BINANCE_FUTURES, BINANCE_SPOT, BYBIT, OKX, WHOLE_BOOKS
from margincast.features.liquidity.depth_measures import depth_within
from margincast.features.liquidity.order_book import OrderBook
from margincast.features.readers.book_feed_events import UNKNOWN, BookUpdate
from margincast.riskcore.errors import InputError

RULES = {"binance futures": BINANCE_FUTURES, "binance spot": BINANCE_SPOT, "bybit": BYBIT, "okx": OKX}
FETCHED = ("binance futures", "binance spot")
venues = st.sampled_from(sorted(RULES))
seeds = st.integers(0, 2**32 - 1)


def feed_of(rng, venue, faults):
    """A stream with snapshots of the true book fetched at ids of their own, and messages lost, late or sent twice."""
    stream = draw_stream(rng, venue)
    messages = list(stream.messages)
    if faults:
        for _ in range(int(rng.integers(1, 4))):
            place, fault = int(rng.integers(len(messages) - 1)), rng.choice(["lost", "late", "twice"])
            message = messages.pop(place) if fault != "twice" else messages[place]
            if fault != "lost":
                messages.insert(place + 1, message)
    ids = sorted(stream.truth)
    for place in sorted(rng.choice(len(messages), 3, replace=False).tolist(), reverse=True):
        known = messages[place].last if messages[place].kind == "diff" else ids[0]
        if venue in FETCHED:
            reach = min(len(ids) - 1, max(0, ids.index(known) + int(rng.integers(-6, 4))))
            known = ids[reach]
        messages.insert(place + 1, stream.snapshot(known, 5))
    return [at(message, 100 + k) for k, message in enumerate(messages)], stream.truth


@given(venue=venues, seed=seeds, faults=st.booleans())
def test_valid_means_the_true_book_and_the_plain_twin_agrees(venue, seed, faults):
    messages, truth = feed_of(np.random.default_rng(seed), venue, faults)
    book, twin, ever = OrderBook("X", RULES[venue]), PlainBook(venue), False
    for message in messages:
        book.apply([message])
        twin.take(message)
        ever |= twin.valid
        assert faults or twin.valid == ever, "without a fault nothing ends a valid book, an old snapshot neither"
        assert (book.status == "valid") == twin.valid
        if twin.valid:
            assert sides_of(book.levels()) == twin.sides() == truth[book.last_id]
            assert book.last_id == twin.last


@given(venue=venues, seed=seeds, place=st.integers(5, 27))
def test_a_lost_diff_is_always_seen_at_the_next_one(venue, seed, place):
    stream = draw_stream(np.random.default_rng(seed), venue)
    first = stream.snapshot(min(stream.truth), 1)
    book = OrderBook("X", RULES[venue])
    book.apply([first, *stream.messages[:place]])
    assert book.status == "valid" and book.counts.sequence_gaps == 0
    for late in stream.messages[place + 1 :]:
        book.apply([late])
        assert (book.status, book.counts.sequence_gaps) == ("gap", 1)
    again = stream.snapshot(stream.messages[-1].last, 99)
    book.apply([again])
    assert book.status == "valid" and sides_of(book.levels()) == stream.truth[again.last]


@given(venue=venues, seed=seeds, faults=st.booleans(), cuts=st.lists(st.integers(0, 33), max_size=5))
def test_any_portions_and_restarts_give_the_same_bits(venue, seed, faults, cuts):
    messages, _ = feed_of(np.random.default_rng(seed), venue, faults)
    whole, parts = OrderBook("X", RULES[venue], TICK), OrderBook("X", RULES[venue], TICK)
    trace = whole.trace(messages, 50.0)
    pieces = []
    for low, high in itertools.pairwise([0, *sorted(cuts), len(messages)]):
        pieces.append(parts.trace(messages[low:high], 50.0))
        parts = OrderBook.restored(stored_and_loaded(parts.checkpoint()), "X", RULES[venue])
    assert whole.counts == parts.counts and whole.status == parts.status
    for name in ("seen", "usable", "bid", "ask", "within"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        assert joined.tobytes() == getattr(trace, name).tobytes(), name
    if whole.status != "waiting":
        assert sides_of(whole.levels()) == sides_of(parts.levels())
        assert whole.levels().bid_edge == parts.levels().bid_edge


@given(venue=venues, seed=seeds, band=st.integers(1, 900))
def test_depth_traced_is_that_of_the_formula_to_the_edge_of_what_is_known(venue, seed, band):
    messages, _ = feed_of(np.random.default_rng(seed), venue, False)
    book = OrderBook("X", RULES[venue], TICK)
    for message in messages:
        trace = book.trace([message], float(band))
        expected = depth_within(book.levels(), [band])[:, 0] if book.usable else np.full(2, np.nan)
        assert trace.within[0].tobytes() == expected.tobytes() and trace.usable[0] == book.usable


@given(seed=seeds, width=st.sampled_from([4, 16, 64]), portion=st.integers(1, 9))
def test_levels_set_together_are_those_set_one_by_one(seed, width, portion):
    rng = np.random.default_rng(seed)
    keys, sizes = rng.integers(0, 90, 120), rng.integers(0, 3, 120).astype(float)
    ladders = [(np.zeros(width), np.zeros(200, np.int64), np.zeros(200), np.zeros(NUMBERS, np.int64)) for _ in range(2)]
    for one in ladders:
        empty(one[0], one[3])
    for first in range(0, 120, portion):
        set_levels(*ladders[0], keys[first : first + portion], sizes[first : first + portion])
    for key, size in zip(keys.tolist(), sizes.tolist(), strict=True):
        set_level(*ladders[1], key, size)
    assert all((a == b).all() for a, b in zip(best_first(*ladders[0]), best_first(*ladders[1]), strict=True))
    assert (ladders[0][3] == ladders[1][3]).all()


@given(seed=seeds, width=st.sampled_from([4, 16, 64]), reach=st.sampled_from([10, 40, 1000]))
def test_a_ladder_holds_its_levels_wherever_they_go(seed, width, reach):
    """Prices that walk, jump and leave the window on either side; removals of what is there and of what is not."""
    rng, plain, middle = np.random.default_rng(seed), {}, 0
    window, numbers = np.zeros(width), np.zeros(NUMBERS, np.int64)
    far_keys, far_sizes = np.zeros(400, np.int64), np.zeros(400)
    side = window, far_keys, far_sizes, numbers
    empty(window, numbers)
    for _ in range(250):
        middle += int(rng.integers(-3, 4)) if rng.random() < 0.95 else int(rng.integers(-reach, reach))
        key, size = middle - int(rng.integers(0, reach)), float(rng.integers(0, 3))
        if plain and rng.random() < 0.3:
            key, size = max(plain) if rng.random() < 0.5 else int(rng.choice(list(plain))), 0.0
        set_levels(*side, np.array([key]), np.array([size]))
        plain.pop(key, None)
        if size:
            plain[key] = size
        keys, sizes = best_first(*side)
        assert list(zip(keys.tolist(), sizes.tolist(), strict=True)) == sorted(plain.items(), reverse=True)
        assert numbers[LEVELS] == len(plain)
        if plain:
            assert numbers[BASE] + numbers[BEST] == max(plain) and least_key(far_keys, numbers) == min(plain)
            least = int(rng.choice(list(plain))) + int(rng.integers(-1, 2))
            inside = np.cumsum([abs(k) * 1 / 10 * s for k, s in sorted(plain.items(), reverse=True) if k >= least])
            assert notional_above(*side, least, 1, 10) == (inside[-1] if len(inside) else 0.0)


def diff(
    last, bids=(), asks=(), *, first=None, previous=UNKNOWN, sent=None, received=None, engine=UNKNOWN, kind="diff"
):
    sent = last if sent is None else sent
    received = last if received is None else received
    levels = [np.array(side, float).reshape(-1, 2) for side in (bids, asks)]
    first = last if first is None else first
    return BookUpdate("X", kind, sent, received, first, last, previous, *levels, engine)


def snapshot(last, **options):
    return diff(last, [(100.0, 1.0), (99.0, 2.0)], [(101.0, 1.0), (102.0, 3.0)], kind="snapshot", **options)


@pytest.mark.parametrize(
    ("clocks", "counted"),
    [({"sent": 8}, "exchange_clock_back"), ({"received": 8}, "receipt_clock_back"), ({"engine": 3}, "engine_back")],
)
def test_a_clock_that_goes_back_leaves_the_book_unknown_until_the_next_snapshot(clocks, counted):
    book = OrderBook("X", BYBIT)
    book.apply([snapshot(10, engine=5), diff(11, engine=6)])
    assert book.status == "valid"
    book.apply([diff(12, [(98.0, 1.0)], **{"engine": 7, **clocks})])
    assert book.status == "gap" and getattr(book.counts, counted) == 1
    book.apply([diff(13, sent=14, received=14, engine=8)])
    assert book.status == "gap"
    book.apply([snapshot(20, sent=20, received=20), diff(21, engine=1 + UNKNOWN)])
    assert book.status == "valid"


def test_a_fetched_snapshot_may_have_been_made_before_the_diffs_that_came_first():
    book = OrderBook("X", BINANCE_FUTURES)
    book.apply([diff(30, first=20, previous=19, sent=30, received=30), diff(40, first=32, previous=30, received=40)])
    book.apply([snapshot(25, sent=25, received=50)])
    assert book.status == "valid" and book.last_id == 40
    assert book.counts.exchange_clock_back == 0 and book.counts.held_diffs == 2


def test_a_snapshot_older_than_the_diffs_kept_is_passed_over_and_a_newer_one_taken():
    book = OrderBook("X", BINANCE_FUTURES)
    kept = [diff(30, first=20, previous=19), diff(40, [(98.0, 5.0)], first=32, previous=30)]
    book.apply([*kept, snapshot(10, sent=10, received=50)])
    assert book.status == "waiting" and book.last_valid == UNKNOWN and book.counts.old_snapshots == 1
    book.apply([snapshot(33, sent=33, received=60)])
    assert book.status == "valid" and book.last_id == 40 and 98.0 in book.levels().bid_prices
    assert book.counts.snapshots == 1 and book.counts.held_diffs == 2 and book.counts.diffs == 0


def test_snapshots_fetched_now_and_then_never_set_a_valid_book_back():
    book = OrderBook("X", BINANCE_FUTURES)
    book.apply([snapshot(10)] + [diff(k, [(90.0, float(k))], first=k, previous=k - 1) for k in range(11, 30)])
    book.apply([snapshot(20, sent=30, received=30)])
    assert book.status == "valid" and book.last_id == 29 and book.counts.snapshots == 2
    assert sides_of(book.levels())[0][90.0] == 29.0
    book.apply([snapshot(5, sent=31, received=31)])
    assert book.status == "valid" and book.last_id == 29 and book.counts.old_snapshots == 1


def test_messages_are_kept_only_so_long(monkeypatch):
    monkeypatch.setattr(order_book, "MOST_KEPT", 3)
    diffs = [diff(k, first=k, previous=k - 1) for k in range(20, 30)]
    for snapshot_at, status in ((26, "valid"), (25, "waiting")):
        late = snapshot(snapshot_at, sent=29, received=29)
        one_by_one, at_once, restarted = (OrderBook("X", BINANCE_FUTURES) for _ in range(3))
        for message in (*diffs, late):
            one_by_one.apply([message])
            restarted.apply([message])
            restarted = OrderBook.restored(stored_and_loaded(restarted.checkpoint()), "X", BINANCE_FUTURES)
        at_once.apply([*diffs, late])
        assert one_by_one.status == at_once.status == restarted.status == status


def test_time_is_told_by_status():
    book, second = OrderBook("X", BYBIT), 1_000_000_000
    times = [1, 4, 6, 11]
    messages = [diff(5), snapshot(6), diff(7), diff(9)]
    book.apply([at(m, t * second) for m, t in zip(messages, times, strict=True)])
    book.apply([at(diff(10), 13 * second)])
    counts = book.counts
    assert (counts.seconds_waiting, counts.seconds_valid, counts.seconds_gap) == (3.0, 7.0, 2.0)


def test_a_crossed_book_is_counted_and_not_used_until_it_uncrosses():
    book = OrderBook("X", BYBIT)
    book.apply([snapshot(1), diff(2, [(101.0, 1.0)])])
    assert book.status == "valid" and not book.usable and book.counts.crossed == 1 and book.last_valid == UNKNOWN
    with pytest.raises(InputError, match="best bid must be below the best ask"):
        book.levels()
    book.apply([diff(3, [(101.0, 0.0)])])
    assert book.usable and book.last_valid == 3 and book.counts.crossed == 1


def test_a_book_of_one_side_is_not_used():
    book = OrderBook("X", BYBIT)
    book.apply([snapshot(1), diff(2, [], [(101.0, 0.0), (102.0, 0.0)])])
    assert book.status == "valid" and not book.usable and np.isnan(book.levels().mid)


def test_after_a_gap_the_levels_are_those_before_it():
    book = OrderBook("X", BYBIT)
    book.apply([snapshot(1), diff(2, [(99.5, 4.0)]), diff(9, [(99.75, 7.0)])])
    assert book.status == "gap" and book.last_valid == 2 and book.levels().time == 2
    assert book.levels().bid_prices.tolist() == [100.0, 99.5, 99.0]


def test_how_far_the_book_is_known():
    fetched, window = OrderBook("X", BINANCE_SPOT, 0.5), OrderBook("X", BYBIT, 0.5)
    for book in (fetched, window):
        book.apply([snapshot(1), diff(2, [(97.0, 1.0)], [(105.0, 1.0)])])
    assert [fetched.levels().known_to(side) for side in (0, 1)] == [99.0, 102.0]
    assert [window.levels().known_to(side) for side in (0, 1)] == [97.0, 105.0]
    window.apply([diff(3, [(97.0, 0.0)], [(105.0, 0.0)])])
    assert [window.levels().known_to(side) for side in (0, 1)] == [99.0, 102.0]


def test_snapshots_without_ids_follow_each_other_and_a_diff_among_them_does_not():
    book = OrderBook("X", WHOLE_BOOKS)
    book.apply([at(snapshot(UNKNOWN + 0, sent=1, received=1), 1), at(snapshot(UNKNOWN + 0, sent=1, received=1), 2)])
    assert book.status == "valid" and book.counts.snapshots == 2
    book.apply([diff(UNKNOWN, sent=3, received=3)])
    assert book.status == "gap"


def test_a_given_tick_is_checked_and_nothing_is_taken_in_when_it_is_wrong():
    book = OrderBook("X", BYBIT, "0.5")
    book.apply([snapshot(1)])
    with pytest.raises(InputError, match=r"row 1, column price: is no multiple of the tick 0.5 \(found 98.25\)"):
        book.apply([diff(2, [(98.5, 1.0), (98.25, 1.0)])])
    assert book.last_id == 1 and len(book.levels().bid_ticks) == 2
    with pytest.raises(InputError, match="column symbol: is not X"):
        OrderBook("X", BYBIT).apply([BookUpdate("Y", "diff", 1, 1, 1, 1, 0, NOTHING, NOTHING)])


def test_a_found_tick_gets_finer_as_prices_ask_for_it():
    book = OrderBook("X", BINANCE_SPOT)
    assert np.isnan(book.tick)
    book.apply([diff(2, [(97.3, 7.0)], first=2), diff(4, [(96.0, 2.0)], first=3)])
    book.apply([snapshot(2)])
    assert book.tick == 0.1 and sides_of(book.levels())[0] == {100.0: 1.0, 99.0: 2.0, 96.0: 2.0}
    book.apply([diff(5, [(99.25, 3.0)], first=5)])
    assert book.tick == 0.05
    assert sides_of(book.levels()) == ({100.0: 1.0, 99.25: 3.0, 99.0: 2.0, 96.0: 2.0}, {101.0: 1.0, 102.0: 3.0})
    assert book.levels().known_to(0) == 99.0


def test_there_is_no_book_before_a_snapshot():
    book = OrderBook("X", OKX)
    book.apply([diff(2, [(97.0, 1.0)])])
    assert book.status == "waiting" and not book.usable
    with pytest.raises(InputError, match="the book has had no snapshot yet"):
        book.levels()


def test_okx_ids_may_start_anew():
    book = OrderBook("X", OKX)
    book.apply([snapshot(10), diff(15, previous=10), diff(3, [(98.0, 1.0)], previous=15, sent=20, received=20)])
    assert book.status == "valid" and book.last_id == 3
    book.apply([diff(3, previous=3, sent=21, received=21), diff(5, previous=4, sent=22, received=22)])
    assert book.status == "gap"


def test_a_spot_diff_that_spans_the_snapshot_joins_it():
    book = OrderBook("X", BINANCE_SPOT)
    book.apply([snapshot(10), diff(9, first=5, received=11), diff(13, first=8), diff(14, first=14)])
    assert book.status == "valid" and book.counts.old_diffs == 1 and book.counts.diffs == 2


def test_orders_of_messages_are_all_right_or_unknown():
    """Four diffs of Bybit in every order, each of the 24: never a wrong book that says it is valid."""
    levels = [[(98.0, 1.0)], [(98.0, 2.0)], [(97.0, 3.0)], [(98.0, 0.0)]]
    truth = {1: {}, 2: {98.0: 1.0}, 3: {98.0: 2.0}, 4: {98.0: 2.0, 97.0: 3.0}, 5: {97.0: 3.0}}
    for order in itertools.permutations(range(4)):
        book = OrderBook("X", BYBIT)
        book.apply([snapshot(1)])
        for time, k in enumerate(order):
            book.apply([diff(k + 2, levels[k], sent=10 + time, received=10 + time)])
            if book.status == "valid":
                found = sides_of(book.levels())[0]
                assert {p: s for p, s in found.items() if p < 99.0} == truth[book.last_id]
