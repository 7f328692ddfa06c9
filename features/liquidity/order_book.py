"""An order book kept from a venue's messages: exact, and unknown as soon as one was missed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...riskcore.arrays import BoolArray, FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.step import State
from ..readers.book_feed_events import BookUpdate
from .book_kernel import (
    COUNTS,
    CROSSED,
    LAST,
    MEMORY,
    NOWHERE,
    STATUS,
    UNKNOWN,
    VALID,
    VALID_AT,
    WAITING,
    BookState,
    Messages,
    Rule,
    Trace,
    load_side,
    replay,
)
from .book_ladder import LEVELS, NUMBERS, best_first, empty
from .book_levels import ASK, BID, BookLevels
from .book_messages import joined, laid_out, levels_of, no_messages, on_grid, tail
from .book_sequence import SequenceRule
from .price_grid import PriceGrid

MOST_KEPT = 1024
"""Messages kept so that a snapshot fetched apart can be joined to them: many times what comes while one is fetched."""

WIDTH = 1 << 14
"""Ticks of a side whose sizes are kept by tick: 3/4 of them worse than the best price. Others are kept in a list."""

STATUSES: tuple[Literal["waiting", "valid", "gap"], ...] = ("waiting", "valid", "gap")


@dataclass(frozen=True)
class BookCounts:
    """What a book has been through.

    Parameters
    ----------
    snapshots
        The book was set to them.
    old_snapshots
        Passed over: something is missing between them and the diffs that came before them.
    diffs
        Applied as they came.
    old_diffs
        Passed over: all they say was in the book.
    held_diffs
        Came while the book was unknown; those that a later snapshot needs are applied with it.
    sequence_gaps
        Diffs that did not follow what was there.
    exchange_clock_back, receipt_clock_back
        Messages whose time was before that of the message before.
    engine_back
        Diffs numbered by the matching engine before what was there.
    crossed
        Diffs after which the best bid was not below the best ask.
    sent_after_receipt
        Messages received before they were sent: the recorder's clock is behind the venue's. Says nothing of the book.
    seconds_waiting, seconds_valid, seconds_gap
        Time between messages in each status.
    """

    snapshots: int
    old_snapshots: int
    diffs: int
    old_diffs: int
    held_diffs: int
    sequence_gaps: int
    exchange_clock_back: int
    receipt_clock_back: int
    engine_back: int
    crossed: int
    sent_after_receipt: int
    seconds_waiting: float
    seconds_valid: float
    seconds_gap: float


@dataclass(frozen=True, eq=False)
class BookTrace:
    """The book after each of some messages.

    Parameters
    ----------
    seen
        When the message was seen, nanoseconds, shape (m,).
    usable
        Whether the book was valid, two-sided and not crossed.
    bid, ask
        Best prices; NaN where not usable.
    within
        Notional resting within the band of the mid, quote units, bids and asks, shape (m, 2); NaN where not usable or
        where the book is not known that far.
    """

    seen: IntArray
    usable: BoolArray
    bid: FloatArray
    ask: FloatArray
    within: FloatArray


class OrderBook:
    """One instrument's book, kept from snapshots and diffs.

    It waits for a snapshot, joins diffs to it by the venue's rule and is valid until a diff does not follow, or a clock
    or the matching engine's number goes back; then there is a gap until the next snapshot. A snapshot that was fetched
    apart from the stream, and so is older than diffs that have come, is brought up to date with them (`MOST_KEPT`); one
    that cannot be is passed over. Nothing is ever filled in. Taking in messages one by one or many at once gives the
    same bits.

    Parameters
    ----------
    symbol
        Instrument; a message of another one is refused.
    rule
        How the venue numbers its messages.
    tick
        Tick size, against which prices are checked; None: found from the prices.

    Examples
    --------
    >>> from .book_sequence import BYBIT
    >>> bids, asks, none = np.array([[100.0, 2.0]]), np.array([[100.5, 1.0]]), np.zeros((0, 2))
    >>> book = OrderBook("BTC", BYBIT)
    >>> book.apply([BookUpdate("BTC", "snapshot", 1, -1, 7, 7, -1, bids, asks)])
    >>> book.apply([BookUpdate("BTC", "diff", 2, -1, 8, 8, -1, np.array([[99.5, 3.0]]), none)])
    >>> book.status, book.levels().bid_prices.tolist()
    ('valid', [100.0, 99.5])
    >>> book.apply([BookUpdate("BTC", "diff", 3, -1, 10, 10, -1, bids, none)])
    >>> book.status, book.counts.sequence_gaps
    ('gap', 1)
    """

    def __init__(self, symbol: str, rule: SequenceRule, tick: float | str | None = None) -> None:
        self.symbol, self.rule = symbol, rule
        self._grid = None if tick is None else PriceGrid.of_tick(tick)
        self._kept: deque[Messages] = deque()
        self._kept_messages = 0
        self._state = BookState(
            np.zeros((2, WIDTH)),
            np.zeros((2, 0), np.int64),
            np.zeros((2, 0)),
            np.zeros((2, NUMBERS), np.int64),
            np.full(2, NOWHERE),
            np.full(MEMORY, UNKNOWN),
            np.zeros(COUNTS, np.int64),
            np.zeros(len(STATUSES), np.int64),
        )
        for side in range(2):
            empty(self._state.window[side], self._state.numbers[side])
        self._state.memory[[STATUS, CROSSED]] = 0

    @property
    def status(self) -> Literal["waiting", "valid", "gap"]:
        """No snapshot yet, the venue's book, or something was missed since the last snapshot."""
        return STATUSES[int(self._state.memory[STATUS])]

    @property
    def usable(self) -> bool:
        """Whether the book is valid, has both sides and they do not cross."""
        memory = self._state.memory
        return bool(memory[STATUS] == VALID and memory[CROSSED] == 0 and self._two_sided)

    @property
    def _two_sided(self) -> bool:
        return bool(self._state.numbers[:, LEVELS].all())

    @property
    def last_valid(self) -> int:
        """When the levels were last known to be the venue's, nanoseconds; -1 where they never were or are crossed."""
        crossed = self._state.memory[CROSSED] or not self._two_sided
        return UNKNOWN if crossed else int(self._state.memory[VALID_AT])

    @property
    def last_id(self) -> int:
        """Sequence id up to which the levels are the venue's."""
        return int(self._state.memory[LAST])

    @property
    def tick(self) -> float:
        """Tick size given, or the coarsest that holds all prices so far; NaN before the first."""
        return np.nan if self._grid is None else self._grid.tick

    @property
    def counts(self) -> BookCounts:
        """What the book has been through so far."""
        return BookCounts(*self._state.counts.tolist(), *(self._state.spent / 1e9).tolist())

    def apply(self, updates: Sequence[BookUpdate]) -> None:
        """Take in messages in the order they came.

        Raises
        ------
        InputError
            A message of another symbol, or a price that is no multiple of the given tick; nothing is taken in then.
        """
        self._replay(updates, 0.0, Trace(np.zeros(0, np.bool_), np.zeros((0, 2), np.int64), np.zeros((0, 2))))

    def trace(self, updates: Sequence[BookUpdate], band_bps: float) -> BookTrace:
        """Take in messages, and say what the book was after each, with its depth within a band of the mid."""
        n = len(updates)
        trace = Trace(np.zeros(n, np.bool_), np.zeros((n, 2), np.int64), np.full((n, 2), np.nan))
        self._replay(updates, band_bps, trace)
        best = np.full((n, 2), np.nan)
        if self._grid is not None:
            best[trace.usable] = self._grid.prices(np.abs(trace.best[trace.usable]))
        seen = np.array([update.seen for update in updates], np.int64)
        return BookTrace(seen, trace.usable, best[:, 0], best[:, 1], trace.within)

    def levels(self) -> BookLevels:
        """The book as it is, or after a gap as it last was.

        Raises
        ------
        InputError
            There was no snapshot yet, or the sides cross.
        """
        if self._grid is None or self._state.memory[STATUS] == WAITING:
            raise InputError("the book has had no snapshot yet", column="symbol", value=self.symbol)
        bid_keys, bid_sizes = self._best_first(BID)
        ask_keys, ask_sizes = self._best_first(ASK)
        bid_edge, ask_edge = self._state.edge.tolist()
        edges = bid_edge, 0 if ask_edge == NOWHERE else -ask_edge
        seen = int(self._state.memory[VALID_AT])
        return BookLevels(self.symbol, seen, self._grid, bid_keys, bid_sizes, -ask_keys, ask_sizes, *edges)

    def _best_first(self, side: int) -> tuple[IntArray, FloatArray]:
        state = self._state
        return best_first(state.window[side], state.far_keys[side], state.far_sizes[side], state.numbers[side])

    def checkpoint(self) -> State:
        """All the book remembers, as arrays: `restored` takes it up with the same bits."""
        grid = self._grid
        numbers = [0, 0, 0] if grid is None else [grid.units, grid.scale, grid.given]
        kept = joined(self._kept) if self._kept else no_messages()
        state = {name: getattr(self._state, name).copy() for name in BookState._fields}
        return state | {"grid": np.array(numbers)} | {f"kept_{name}": getattr(kept, name) for name in Messages._fields}

    @classmethod
    def restored(cls, state: State, symbol: str, rule: SequenceRule) -> OrderBook:
        """The book of a checkpoint."""
        book = cls(symbol, rule)
        units, scale, given = state["grid"].tolist()
        book._grid = PriceGrid(units, scale, bool(given)) if scale else None
        book._state = BookState(*(state[name].copy() for name in BookState._fields))
        book._keep(Messages(*(state[f"kept_{name}"].copy() for name in Messages._fields)))
        return book

    def _replay(self, updates: Sequence[BookUpdate], band: float, trace: Trace) -> None:
        if not updates:
            return
        messages = self._laid_out(updates)
        before = self._kept if messages.snapshot.any() else []
        batch = joined([*before, messages])
        self._make_room(len(batch.keys))
        kept = len(batch.snapshot) - len(messages.snapshot)
        units, scale = (1, 1) if self._grid is None else (self._grid.units, self._grid.scale)
        replay(self._state, self._numbers(), batch, kept, band, units, scale, trace)
        if self.rule.join is not None:
            self._keep(tail(messages, max(len(messages.snapshot) - MOST_KEPT, 0)))

    def _laid_out(self, updates: Sequence[BookUpdate]) -> Messages:
        for row, update in enumerate(updates):
            if update.symbol != self.symbol:
                raise InputError(f"is not {self.symbol}", row=row, column="symbol", value=update.symbol)
        levels = levels_of(updates)
        grid, ticks = on_grid(self._grid, levels[:, 0])
        if self._grid is not None and grid is not None and grid is not self._grid:
            self._refine(self._grid.in_ticks_of(grid))
        self._grid = grid
        return laid_out(updates, ticks, levels[:, 1].copy())

    def _numbers(self) -> Rule:
        rule = self.rule
        join = -1 if rule.join is None else rule.join
        return Rule(rule.linked_by_previous, join, rule.rising, rule.keeps_window, MOST_KEPT)

    def _make_room(self, more: int) -> None:
        needed = int(self._state.numbers[:, LEVELS].max()) + more
        room = self._state.far_keys.shape[1]
        if needed > room:
            width = max(needed, 2 * room) - room
            far_keys = np.concatenate((self._state.far_keys, np.zeros((2, width), np.int64)), axis=1)
            far_sizes = np.concatenate((self._state.far_sizes, np.zeros((2, width))), axis=1)
            self._state = self._state._replace(far_keys=far_keys, far_sizes=far_sizes)

    def _refine(self, factor: int) -> None:
        """Go over to a grid with `factor` ticks to one of the present."""
        for side in range(2):
            keys, sizes = self._best_first(side)
            edge = self._state.edge[side]
            load_side(self._state, side, keys * factor, sizes)
            self._state.edge[side] = edge if edge == NOWHERE else edge * factor
        for part in self._kept:
            part.keys[:] *= factor

    def _keep(self, messages: Messages) -> None:
        self._kept.append(messages)
        self._kept_messages += len(messages.snapshot)
        while self._kept_messages - len(self._kept[0].snapshot) >= MOST_KEPT:
            self._kept_messages -= len(self._kept.popleft().snapshot)
