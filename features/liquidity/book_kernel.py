"""The compiled heart of an order book: levels kept in order, messages checked for continuity and applied."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ...riskcore.arrays import FloatArray, IntArray

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

    Sides are rows 0 (bids, key = tick) and 1 (asks, key = -tick): in both the best level has the greatest key and
    stands last, so that the top of the book changes without much being moved. `rows` are each side's rows and those of
    them that are empty, see `set_level`; `edge` is the least key down to which a side is known; `spent` nanoseconds in
    each status.
    """

    keys: IntArray
    sizes: FloatArray
    rows: IntArray
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
def find(keys: IntArray, rows: int, key: int, near: int) -> int:
    """First row whose key is not below `key`, looked for in doubling steps from a row near it."""
    low, high, step = 0, rows, 1
    if near < rows and keys[near] < key:
        low = near + 1
        while low + step < rows and keys[low + step] < key:
            low += step + 1
            step <<= 1
        high = min(low + step, rows)
    elif near < rows:
        high = near
        while high - step >= 0 and keys[high - step] >= key:
            high -= step
            step <<= 1
        low = max(high - step, 0)
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True, nogil=True)
def set_level(keys: IntArray, sizes: FloatArray, counts: IntArray, key: int, size: float, near: int) -> int:
    """Set, insert or (size 0) remove one level of a side; returns its row.

    `counts` are the side's rows and those among them that are empty: a removed level leaves a row of size 0, which is
    filled again when the price comes back, as it mostly does. Empty rows at the top go at once, the others when they
    outnumber the levels.
    """
    rows = counts[0]
    row = find(keys, rows, key, near)
    if row < rows and keys[row] == key:
        counts[1] += (size == 0.0) - (sizes[row] == 0.0)
        sizes[row] = size
    elif size > 0.0:
        for place in range(rows, row, -1):
            keys[place], sizes[place] = keys[place - 1], sizes[place - 1]
        keys[row], sizes[row] = key, size
        counts[0] += 1
    while counts[0] > 0 and sizes[counts[0] - 1] == 0.0:
        counts[0] -= 1
        counts[1] -= 1
    if counts[1] > counts[0] // 2 + 8:
        _close_up(keys, sizes, counts)
    return row


@numba.njit(cache=True, nogil=True)
def _close_up(keys: IntArray, sizes: FloatArray, counts: IntArray) -> None:
    kept = 0
    for row in range(counts[0]):
        if sizes[row] > 0.0:
            keys[kept], sizes[kept] = keys[row], sizes[row]
            kept += 1
    counts[0], counts[1] = kept, 0


@numba.njit(cache=True, nogil=True)
def within_bound(
    keys: IntArray, sizes: FloatArray, rows: int, edge: int, bound: float, units: int, scale: int
) -> float:
    """Price times size of the levels with 20,000 key >= bound, best first; NaN where the side is not known that far.

    Mid less b basis points is (bid + ask) (10,000 - b) / 20,000 in ticks, so both sides of the comparison are whole
    numbers for a whole b, and a level that stands on the edge of the band is in it.
    """
    if 20_000.0 * (edge - 1) >= bound:
        return np.nan
    total = 0.0
    for place in range(rows - 1, -1, -1):
        if 20_000.0 * keys[place] < bound:
            break
        total += abs(keys[place]) * units / scale * sizes[place]
    return total


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
            _load(state, rule, messages, m)
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
def _load(state: BookState, rule: Rule, messages: Messages, m: int) -> None:
    """Let the book be a snapshot."""
    for side in range(2):
        start, end = messages.bounds[m, side], messages.bounds[m, side + 1]
        state.rows[side], state.edge[side] = 0, NOWHERE
        for row in np.argsort(messages.keys[start:end]):
            key, size = messages.keys[start + row], messages.sizes[start + row]
            state.edge[side] = min(state.edge[side], key)
            set_level(state.keys[side], state.sizes[side], state.rows[side], key, size, state.rows[side, 0])
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
        keys, sizes, rows, near = state.keys[side], state.sizes[side], state.rows[side], 0
        for row in range(messages.bounds[m, side], messages.bounds[m, side + 1]):
            near = set_level(keys, sizes, rows, messages.keys[row], messages.sizes[row], near)
        if rule.keeps_window:
            state.edge[side] = _least_key(keys, sizes, rows[0])
    bids, asks = state.rows[0, 0], state.rows[1, 0]
    crossed = bids > 0 and asks > 0 and state.keys[0, bids - 1] >= -state.keys[1, asks - 1]
    state.memory[CROSSED] = crossed
    state.counts[CROSSED_BOOKS] += crossed


@numba.njit(cache=True, nogil=True)
def _least_key(keys: IntArray, sizes: FloatArray, rows: int) -> int:
    for row in range(rows):
        if sizes[row] > 0.0:
            return int(keys[row])
    return NOWHERE


@numba.njit(cache=True, nogil=True)
def _trace(state: BookState, band: float, units: int, scale: int, trace: Trace, row: int) -> None:
    bids, asks = state.rows[0, 0], state.rows[1, 0]
    usable = state.memory[STATUS] == VALID and state.memory[CROSSED] == 0 and bids > 0 and asks > 0
    trace.usable[row] = usable
    for side in range(2):
        trace.best[row, side] = state.keys[side, state.rows[side, 0] - 1] if usable else 0
        trace.within[row, side] = np.nan
    if usable:
        twice_mid = float(trace.best[row, 0] - trace.best[row, 1])
        for side in range(2):
            bound = twice_mid * (10_000.0 - band) if side == 0 else -twice_mid * (10_000.0 + band)
            keys, sizes, edge = state.keys[side], state.sizes[side], state.edge[side]
            trace.within[row, side] = within_bound(keys, sizes, state.rows[side, 0], edge, bound, units, scale)
