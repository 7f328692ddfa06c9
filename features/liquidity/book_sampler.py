"""An order-book feed cut into intervals: the last valid book of each, and what streams beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from ..engine.step import State
from ..readers.book_feed_events import BookUpdate, FeedEvent, TradePrint
from .book_levels import BookLevels
from .book_sequence import SequenceRule
from .order_book import OrderBook
from .price_impact import ImpactSettings, PriceImpact
from .resilience import Resilience, ResilienceSettings

NANOSECONDS = 1_000_000_000
MOST_PENDING = 1024
BEFORE_ALL = -1

SAMPLED, NO_SNAPSHOT, GAPS, CROSSED, SILENT = range(5)


@dataclass(frozen=True)
class IntervalCounts:
    """What became of the intervals from the first message on.

    Parameters
    ----------
    sampled
        Had a valid book.
    no_snapshot
        Before the first snapshot.
    gap
        Something was missed before and no snapshot came, or the clock went back and was not yet where it had been.
    crossed
        Ended with a book that is crossed or one-sided.
    silent
        Nothing had come for longer than `max_silence`.
    """

    sampled: int
    no_snapshot: int
    gap: int
    crossed: int
    silent: int


@dataclass(frozen=True, eq=False)
class BookSample:
    """The last valid book of an interval.

    Parameters
    ----------
    opened
        Open of the interval, nanoseconds since 1970, a multiple of its length.
    time
        When the book was last seen valid within the interval; its open where nothing changed since before.
    levels
        The book.
    half_life
        Seconds in which half of missing depth comes back, bids and asks, as known then; see `Resilience`.
    impact
        Log return per quote unit of taker flow, as known then; see `PriceImpact`.
    """

    opened: int
    time: int
    levels: BookLevels
    half_life: FloatArray
    impact: float


class BookSampler:
    """One instrument's feed, in any portions, to one sample per closed interval.

    An interval's sample is the last valid book seen in it. A book that was valid before and is not contradicted stands,
    unless nothing was heard of the instrument for `max_silence_seconds` before the interval. An interval without is
    absent and counted. Portions do not matter: message by message or all at once gives the same bits.

    Time is when messages were seen: by the recorder, or else by the venue. Where it goes back the book is unknown (see
    `OrderBook`), and intervals that were closed stay closed.

    Parameters
    ----------
    symbol, rule, tick
        As for `OrderBook`.
    step
        Length of an interval.
    max_silence_seconds
        How long a book stands without a message.
    resilience, impact
        Settings of what is estimated on the way; None of both: only the book is kept, which is faster.

    Examples
    --------
    >>> from .book_sequence import BYBIT
    >>> bids, asks = np.array([[100.0, 2.0]]), np.array([[101.0, 1.0]])
    >>> sampler = BookSampler("BTC", BYBIT, np.timedelta64(1, "s"))
    >>> sampler.advance([BookUpdate("BTC", "snapshot", 1_500_000_000, -1, 7, 7, -1, bids, asks)])
    []
    >>> [(one.opened, one.levels.mid) for one in sampler.finish()]
    [(1000000000, 100.5)]
    """

    def __init__(
        self,
        symbol: str,
        rule: SequenceRule,
        step: np.timedelta64,
        *,
        tick: float | str | None = None,
        max_silence_seconds: float = 5.0,
        resilience: ResilienceSettings | None = None,
        impact: ImpactSettings | None = None,
    ) -> None:
        self.step = int(step / np.timedelta64(1, "ns"))
        if self.step <= 0:
            raise InputError("must be positive", column="step", value=str(step))
        self.book = OrderBook(symbol, rule, tick)
        self.resilience = None if resilience is None else Resilience(resilience)
        self.impact = None if impact is None else PriceImpact(impact)
        self._silence = round(max_silence_seconds * NANOSECONDS)
        self._interval, self._heard, self._clock = BEFORE_ALL, BEFORE_ALL, BEFORE_ALL
        self._counts = np.zeros(5, np.int64)
        self._pending: list[FeedEvent] = []

    @property
    def intervals(self) -> IntervalCounts:
        """What became of the intervals closed so far."""
        return IntervalCounts(*self._counts.tolist())

    def advance(self, events: Sequence[FeedEvent]) -> list[BookSample]:
        """Take in events in the order they were seen; returns the samples of intervals that closed.

        Raises
        ------
        InputError
            See `OrderBook.apply`.
        """
        samples: list[BookSample] = []
        for event in events:
            seen = event.seen
            if seen // self.step > self._interval:
                samples += self._close_until(seen // self.step)
            if self._heard != BEFORE_ALL and seen - self._heard > self._silence:
                self._flush()
                self._forget(self._heard)
            self._heard, self._clock = max(self._heard, seen), seen
            self._pending.append(event)
            if len(self._pending) >= MOST_PENDING:
                self._flush()
        self._flush()
        return samples

    def finish(self) -> list[BookSample]:
        """Close the interval that is open, at the end of a recording."""
        return self._close_until(self._interval + 1) if self._interval != BEFORE_ALL else []

    def checkpoint(self) -> State:
        """All that is remembered, as arrays: `restore` takes it up with the same bits."""
        parts: dict[str, OrderBook | Resilience | PriceImpact | None]
        parts = {"book": self.book, "resilience": self.resilience, "impact": self.impact}
        state = {f"{part}.{name}": v for part, o in parts.items() if o for name, v in o.checkpoint().items()}
        return state | {"intervals": np.array([self._interval, self._heard, self._clock, *self._counts])}

    def restore(self, state: State) -> None:
        """Go on from a checkpoint of a sampler made with the same arguments."""
        book, resilience, impact = (
            {name.removeprefix(part): values for name, values in state.items() if name.startswith(part)}
            for part in ("book.", "resilience.", "impact.")
        )
        self.book = OrderBook.restored(book, self.book.symbol, self.book.rule)
        if self.resilience is not None:
            self.resilience = Resilience.restored(resilience, self.resilience.settings)
        if self.impact is not None:
            self.impact = PriceImpact.restored(impact, self.impact.settings)
        self._interval, self._heard, self._clock = state["intervals"][:3].tolist()
        self._counts = state["intervals"][3:].copy()

    def _close_until(self, interval: int) -> list[BookSample]:
        """Close the open interval and those without a message before `interval`."""
        self._flush()
        samples: list[BookSample] = []
        if self._interval != BEFORE_ALL:
            last_standing = (self._heard + self._silence) // self.step
            walked = min(interval, max(self._interval, last_standing) + 1)
            samples = [sample for k in range(self._interval, walked) if (sample := self._sample(k)) is not None]
            self._counts[self._why_not()] += interval - walked
        self._interval = interval
        return samples

    def _sample(self, interval: int) -> BookSample | None:
        opened, valid = interval * self.step, self.book.last_valid
        stands = self.book.usable and not self._behind and opened - self._heard <= self._silence
        if valid < opened and not stands:
            self._counts[self._why_not()] += 1
            return None
        self._counts[SAMPLED] += 1
        half_life = np.full(2, np.nan) if self.resilience is None else self.resilience.half_life
        impact = np.nan if self.impact is None else self.impact.slope
        return BookSample(opened, max(opened, valid), self.book.levels(), half_life, impact)

    @property
    def _behind(self) -> bool:
        """Whether the clock went back and is not yet where it was."""
        return self._clock < self._heard

    def _why_not(self) -> int:
        if self.book.status == "waiting":
            return NO_SNAPSHOT
        if self.book.status == "gap" or self._behind:
            return GAPS
        return SILENT if self.book.usable else CROSSED

    def _flush(self) -> None:
        events, self._pending = self._pending, []
        updates = [event for event in events if isinstance(event, BookUpdate)]
        if self.resilience is None and self.impact is None:
            self.book.apply(updates)
        elif events:
            self._estimate(events, updates)

    def _estimate(self, events: list[FeedEvent], updates: list[BookUpdate]) -> None:
        band = 10.0 if self.resilience is None else self.resilience.settings.band_bps
        trace = self.book.trace(updates, band)
        if self.resilience is not None:
            self.resilience.advance(trace.seen, trace.within)
        if self.impact is None:
            return
        mids = iter((0.5 * (trace.bid + trace.ask)).tolist())
        rows = [
            (event.seen, True, event.price * event.size * (1.0 if event.buyer_took else -1.0))
            if isinstance(event, TradePrint)
            else (event.seen, False, next(mids))
            for event in events
            if isinstance(event, TradePrint | BookUpdate)
        ]
        seen, is_trade, values = zip(*rows, strict=True) if rows else ((), (), ())
        self.impact.advance(np.array(seen, np.int64), np.array(is_trade, np.bool_), np.array(values, np.float64))

    def _forget(self, time: int) -> None:
        """Nothing is known of what happened during a silence."""
        unknown = np.full((1, 2), np.nan)
        if self.resilience is not None:
            self.resilience.advance(np.array([time]), unknown)
        if self.impact is not None:
            self.impact.advance(np.array([time]), np.zeros(1, np.bool_), unknown[0, :1])
