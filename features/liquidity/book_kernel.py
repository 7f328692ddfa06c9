"""The compiled heart of an order book: messages checked for continuity and applied."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ...riskcore.arrays import FloatArray, IntArray
from .book_ladder import BASE, BEST, LEVELS, empty, least_key, notional_above, set_levels

WAITING, VALID, GAP = 0, 1, 2
"""Status: no snapshot yet; the levels are the venue's; something was missed since, and the levels are those before."""

UNKNOWN = -1
NOWHERE = np.iinfo(np.int64).max
"""Edge of a side of which nothing is known."""

STATUS, JOINED, LAST, ENGINE, SENT, RECEIVED, SEEN, VALID_AT, CROSSED = range(9)
"""Places of `BookState.memory`: status; whether a diff has joined the snapshot; last sequence id; last number of the
matching engine; exchange time of the last diff, receipt time of the last message; when that was seen; when the levels
were last known to be the venue's; whether best bid and ask cross."""
MEMORY = 9

(
    SNAPSHOTS,
    OLD_SNAPSHOTS,
    DIFFS,
    OLD_DIFFS,
    HELD_DIFFS,
    SEQUENCE_GAPS,
    EXCHANGE_CLOCK_BACK,
    RECEIPT_CLOCK_BACK,
    ENGINE_BACK,
    CROSSED_BOOKS,
    SENT_AFTER_RECEIPT,
) = range(11)
"""Places of `BookState.counts`."""
COUNTS = 11

GOES_ON, IS_OLD, LEAVES_GAP = range(3)
"""What a diff is to a book: it follows, all it says is there, or something before it is missing."""


class BookState(NamedTuple):
    """All an order book remembers.

    Sides are rows 0 (bids, key = tick) and 1 (asks, key = -tick) of a ladder's window, far list and numbers, see
    `book_ladder`; `edge` is the least key down to which a side is known; `spent` nanoseconds in each status.
    """

    window: FloatArray
    far_keys: IntArray
    far_sizes: FloatArray
    numbers: IntArray
    edge: IntArray
    memory: IntArray
    counts: IntArray
    spent: IntArray


class Messages(NamedTuple):
    """Messages as columns.

    `ids` are (first, last, previous, engine sequence), `times` (exchange, receipt, seen); message m has its bids at
    rows bounds[m, 0] .. bounds[m, 1] of `keys` and `sizes`, its asks from there to bounds[m, 2].
    """

    snapshot: NDArray[np.bool_]
    ids: IntArray
    times: IntArray
    bounds: IntArray
    keys: IntArray
    sizes: FloatArray


class Rule(NamedTuple):
    """A `SequenceRule` in numbers; join is -1 where there is none."""

    linked_by_previous: bool
    join: int
    rising: bool
    keeps_window: bool
    most_kept: int


class Trace(NamedTuple):
    """What the book was after each message: whether it could be used, best keys, notional within a band per side."""

    usable: NDArray[np.bool_]
    best: IntArray
    within: FloatArray


@numba.njit(cache=True, nogil=True)
def replay(
    state: BookState, rule: Rule, messages: Messages, kept: int, band: float, units: int, scale: int, trace: Trace
) -> None:
    """Take in messages; the first `kept` of them were taken in before, and are there for a snapshot to be joined to."""
    memory, counts = state.memory, state.counts
    for m in range(kept, len(messages.snapshot)):
        _spend(state, messages.times[m, 2])
        if _clock_went_back(state, messages, m) and memory[STATUS] == VALID:
            memory[STATUS] = GAP
        if messages.snapshot[m]:
            _take_snapshot(state, rule, messages, max(m - rule.most_kept, 0), m)
        elif memory[STATUS] == VALID:
            _take_diff(state, rule, messages, m)
        else:
            counts[HELD_DIFFS] += 1
        if memory[STATUS] == VALID:
            memory[VALID_AT] = messages.times[m, 2]
        if len(trace.usable):
            _trace(state, band, units, scale, trace, m - kept)


@numba.njit(cache=True, nogil=True)
def _spend(state: BookState, seen: int) -> None:
    memory = state.memory
    if memory[SEEN] != UNKNOWN and seen > memory[SEEN]:
        state.spent[memory[STATUS]] += seen - memory[SEEN]
    memory[SEEN] = seen


@numba.njit(cache=True, nogil=True)
def _clock_went_back(state: BookState, messages: Messages, m: int) -> bool:
    """A snapshot is fetched apart from the stream: only its receipt is in order with the diffs."""
    memory, counts = state.memory, state.counts
    sent, received = messages.times[m, 0], messages.times[m, 1]
    back = False
    if received != UNKNOWN:
        back = received < memory[RECEIVED]
        counts[RECEIPT_CLOCK_BACK] += back
        counts[SENT_AFTER_RECEIPT] += sent > received
        memory[RECEIVED] = received
    if sent != UNKNOWN and not messages.snapshot[m]:
        counts[EXCHANGE_CLOCK_BACK] += sent < memory[SENT]
        back |= sent < memory[SENT]
        memory[SENT] = sent
    return back


@numba.njit(cache=True, nogil=True)
def _ladder(state: BookState, side: int) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    return state.window[side], state.far_keys[side], state.far_sizes[side], state.numbers[side]


@numba.njit(cache=True, nogil=True)
def load_side(state: BookState, side: int, keys: IntArray, sizes: FloatArray) -> None:
    """Let a side be these levels, known as far as they reach."""
    empty(state.window[side], state.numbers[side])
    order = np.argsort(-keys)
    set_levels(*_ladder(state, side), keys[order], sizes[order])
    state.edge[side] = keys.min() if len(keys) else NOWHERE


@numba.njit(cache=True, nogil=True)
def _take_snapshot(state: BookState, rule: Rule, messages: Messages, first: int, m: int) -> None:
    """Let the book be a snapshot brought up to date with the diffs from `first` on, if they lead on from it."""
    if not _leads_on(rule, messages, first, m):
        state.counts[OLD_SNAPSHOTS] += 1
        return
    state.counts[SNAPSHOTS] += 1
    for side in range(2):
        rows = slice(messages.bounds[m, side], messages.bounds[m, side + 1])
        load_side(state, side, messages.keys[rows], messages.sizes[rows])
    memory = state.memory
    memory[STATUS], memory[JOINED], memory[CROSSED] = VALID, 0, 0
    memory[LAST], memory[ENGINE] = messages.ids[m, 1], messages.ids[m, 3]
    if rule.join >= 0:
        for earlier in range(first, m):
            if not messages.snapshot[earlier]:
                ids = messages.ids[earlier]
                if _judged(rule, ids, memory[LAST], memory[JOINED]) == GOES_ON:
                    _apply(state, rule, messages, earlier)


@numba.njit(cache=True, nogil=True)
def _leads_on(rule: Rule, messages: Messages, first: int, m: int) -> bool:
    """Whether the diffs before a snapshot that was fetched apart lead on from it without a gap."""
    at, joined = messages.ids[m, 1], 0
    if rule.join >= 0:
        for earlier in range(first, m):
            if not messages.snapshot[earlier]:
                verdict = _judged(rule, messages.ids[earlier], at, joined)
                if verdict == LEAVES_GAP:
                    return False
                if verdict == GOES_ON:
                    at, joined = messages.ids[earlier, 1], 1
    return True


@numba.njit(cache=True, nogil=True)
def _judged(rule: Rule, ids: IntArray, at: int, joined: int) -> int:
    """What a diff is to a book whose last id is `at`."""
    first, last, previous = ids[0], ids[1], ids[2]
    if (previous if rule.linked_by_previous else first - 1) == at:
        return GOES_ON
    if rule.join >= 0 and joined == 0 and last >= at + rule.join:
        return GOES_ON if first <= at + rule.join else LEAVES_GAP
    return IS_OLD if rule.rising and last <= at else LEAVES_GAP


@numba.njit(cache=True, nogil=True)
def _take_diff(state: BookState, rule: Rule, messages: Messages, m: int) -> None:
    """Apply a diff that follows, pass over an old one; otherwise there is a gap."""
    memory, counts = state.memory, state.counts
    verdict = _judged(rule, messages.ids[m], memory[LAST], memory[JOINED])
    back = verdict == GOES_ON and UNKNOWN != messages.ids[m, 3] < memory[ENGINE]
    counts[OLD_DIFFS] += verdict == IS_OLD
    counts[SEQUENCE_GAPS] += verdict == LEAVES_GAP
    counts[ENGINE_BACK] += back
    if verdict == LEAVES_GAP or back:
        memory[STATUS] = GAP
    elif verdict == GOES_ON:
        counts[DIFFS] += 1
        _apply(state, rule, messages, m)


@numba.njit(cache=True, nogil=True)
def _apply(state: BookState, rule: Rule, messages: Messages, m: int) -> None:
    memory = state.memory
    memory[JOINED], memory[LAST], memory[ENGINE] = 1, messages.ids[m, 1], messages.ids[m, 3]
    for side in range(2):
        rows = slice(messages.bounds[m, side], messages.bounds[m, side + 1])
        set_levels(*_ladder(state, side), messages.keys[rows], messages.sizes[rows])
        if rule.keeps_window:
            numbers = state.numbers[side]
            state.edge[side] = least_key(state.far_keys[side], numbers) if numbers[LEVELS] else NOWHERE
    crossed = two_sided(state) and best_key(state, 0) >= -best_key(state, 1)
    memory[CROSSED] = crossed
    state.counts[CROSSED_BOOKS] += crossed


@numba.njit(cache=True, nogil=True)
def two_sided(state: BookState) -> bool:
    """Whether there is a bid and an ask."""
    return bool(state.numbers[0, LEVELS] > 0 and state.numbers[1, LEVELS] > 0)


@numba.njit(cache=True, nogil=True)
def best_key(state: BookState, side: int) -> int:
    """Key of the best level of a side that has one."""
    return int(state.numbers[side, BASE] + state.numbers[side, BEST])


@numba.njit(cache=True, nogil=True)
def _within(state: BookState, side: int, bound: float, units: int, scale: int) -> float:
    """Notional of the levels with 20,000 key >= bound; NaN where the side is not known that far.

    Mid less b basis points is (bid + ask) (10,000 - b) / 20,000 in ticks, so both sides of the comparison are whole
    numbers for a whole b, and a level that stands on the edge of the band is in it.
    """
    least = int(np.floor(bound / 20_000.0))
    while 20_000.0 * least < bound:
        least += 1
    while 20_000.0 * (least - 1) >= bound:
        least -= 1
    if state.edge[side] > least:
        return np.nan
    return notional_above(*_ladder(state, side), least, units, scale)


@numba.njit(cache=True, nogil=True)
def _trace(state: BookState, band: float, units: int, scale: int, trace: Trace, row: int) -> None:
    usable = state.memory[STATUS] == VALID and state.memory[CROSSED] == 0 and two_sided(state)
    trace.usable[row] = usable
    for side in range(2):
        trace.best[row, side] = best_key(state, side) if usable else 0
        trace.within[row, side] = np.nan
    if usable:
        twice_mid = float(trace.best[row, 0] - trace.best[row, 1])
        trace.within[row, 0] = _within(state, 0, twice_mid * (10_000.0 - band), units, scale)
        trace.within[row, 1] = _within(state, 1, -twice_mid * (10_000.0 + band), units, scale)
