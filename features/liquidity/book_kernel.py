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
    DIFFS,
    OLD_DIFFS,
    HELD_DIFFS,
    SEQUENCE_GAPS,
    EXCHANGE_CLOCK_BACK,
    RECEIPT_CLOCK_BACK,
    ENGINE_BACK,
    CROSSED_BOOKS,
    SENT_AFTER_RECEIPT,
) = range(10)
"""Places of `BookState.counts`."""
COUNTS = 10


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
    most_held: int


class Trace(NamedTuple):
    """What the book was after each message: whether it could be used, best keys, notional within a band per side."""

    usable: NDArray[np.bool_]
    best: IntArray
    within: FloatArray


@numba.njit(cache=True, nogil=True)
def replay(
    state: BookState, rule: Rule, messages: Messages, held: int, band: float, units: int, scale: int, trace: Trace
) -> int:
    """Take in messages; the first `held` of them are diffs that were kept while there was no book to apply them to.

    Returns
    -------
    int
        From which message on they must be kept again; the number of messages where none must.
    """
    keep_from = 0 if state.memory[STATUS] != VALID else len(messages.snapshot)
    for m in range(held, len(messages.snapshot)):
        _spend(state, messages.times[m, 2])
        if _clock_went_back(state, messages, m) and state.memory[STATUS] == VALID:
            state.memory[STATUS], keep_from = GAP, m
        if messages.snapshot[m]:
            _load(state, messages, m)
            keep_from = _catch_up(state, rule, messages, max(keep_from, m - rule.most_held), m)
        elif state.memory[STATUS] == VALID:
            if not _advance(state, rule, messages, m):
                state.memory[STATUS], keep_from = GAP, m
        else:
            state.counts[HELD_DIFFS] += 1
        if state.memory[STATUS] == VALID:
            state.memory[VALID_AT] = messages.times[m, 2]
            keep_from = len(messages.snapshot)
        if len(trace.usable):
            _trace(state, band, units, scale, trace, m - held)
    return keep_from


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
def _load(state: BookState, messages: Messages, m: int) -> None:
    """Let the book be a snapshot."""
    for side in range(2):
        rows = slice(messages.bounds[m, side], messages.bounds[m, side + 1])
        load_side(state, side, messages.keys[rows], messages.sizes[rows])
    memory = state.memory
    memory[STATUS], memory[JOINED], memory[CROSSED] = VALID, 0, 0
    memory[LAST], memory[ENGINE] = messages.ids[m, 1], messages.ids[m, 3]
    state.counts[SNAPSHOTS] += 1


@numba.njit(cache=True, nogil=True)
def _catch_up(state: BookState, rule: Rule, messages: Messages, first: int, m: int) -> int:
    """Bring a snapshot up to date with the diffs kept before it; returns where they stop fitting, else m + 1."""
    if rule.join < 0:
        return m + 1
    for earlier in range(first, m):
        if not messages.snapshot[earlier] and not _advance(state, rule, messages, earlier):
            state.memory[STATUS], state.memory[VALID_AT] = GAP, UNKNOWN
            return earlier
    return m + 1


@numba.njit(cache=True, nogil=True)
def _advance(state: BookState, rule: Rule, messages: Messages, m: int) -> bool:
    """Apply a diff if it follows, pass over an old one; False where something before it is missing."""
    memory, counts = state.memory, state.counts
    first, last, at = messages.ids[m, 0], messages.ids[m, 1], memory[LAST]
    previous, engine = messages.ids[m, 2], messages.ids[m, 3]
    follows = previous == at if rule.linked_by_previous else first == at + 1
    if not follows and rule.join >= 0 and memory[JOINED] == 0:
        if last < at + rule.join:
            counts[OLD_DIFFS] += 1
            return True
        follows = first <= at + rule.join
    if not follows:
        if rule.rising and last <= at:
            counts[OLD_DIFFS] += 1
            return True
        counts[SEQUENCE_GAPS] += 1
        return False
    if engine != UNKNOWN and engine < memory[ENGINE]:
        counts[ENGINE_BACK] += 1
        return False
    memory[JOINED], memory[LAST], memory[ENGINE] = 1, last, engine
    counts[DIFFS] += 1
    _apply(state, rule, messages, m)
    return True


@numba.njit(cache=True, nogil=True)
def _apply(state: BookState, rule: Rule, messages: Messages, m: int) -> None:
    for side in range(2):
        rows = slice(messages.bounds[m, side], messages.bounds[m, side + 1])
        set_levels(*_ladder(state, side), messages.keys[rows], messages.sizes[rows])
        if rule.keeps_window:
            numbers = state.numbers[side]
            state.edge[side] = least_key(state.far_keys[side], numbers) if numbers[LEVELS] else NOWHERE
    crossed = two_sided(state) and best_key(state, 0) >= -best_key(state, 1)
    state.memory[CROSSED] = crossed
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
