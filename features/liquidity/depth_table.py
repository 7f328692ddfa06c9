"""From an order-book feed to the depth table of a market folder: one snapshot an interval, absent where unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from ..readers.book_feed_events import FeedEvent
from .book_sampler import BookSample, BookSampler, IntervalCounts
from .book_sequence import SequenceRule
from .depth_measures import depth_within
from .order_book import BookCounts

SIDES = ("bid", "ask")
PORTION = 512
SECOND = np.timedelta64(1, "s")
COLUMNS = ("timestamp", "symbol", "side", "level_bps", "notional")


@dataclass(frozen=True, eq=False)
class DepthTable:
    """A depth table and what it leaves out.

    Parameters
    ----------
    frame
        Columns timestamp (UTC: when the book was seen), symbol, side (bid, ask), level_bps and notional (quote units
        resting within that many basis points of the mid), as a market folder's depth table has them.
    intervals
        What became of each symbol's intervals.
    books
        What each symbol's book has been through.
    beyond_known
        Rows left out because the band reaches beyond what is known of the side, by symbol.
    """

    frame: pd.DataFrame
    intervals: dict[str, IntervalCounts]
    books: dict[str, BookCounts]
    beyond_known: dict[str, int]


def depth_table(
    feed: Iterable[FeedEvent],
    rule: SequenceRule,
    bands: Sequence[float],
    *,
    step: np.timedelta64 = SECOND,
    tick: float | str | None = None,
    max_silence_seconds: float = 5.0,
    beyond_known: bool = False,
) -> DepthTable:
    """Depth within bands, one snapshot an interval: the last valid book in it.

    Parameters
    ----------
    feed
        Events of one instrument or several, as a reader of `readers` yields them; taken in as they come, once.
    rule
        How the venue numbers its messages.
    bands
        Distances from the mid, basis points.
    step, tick, max_silence_seconds
        As for `BookSampler`.
    beyond_known
        Whether a band that reaches beyond what is known of a side is given all the same, with the levels seen there: a
        lower bound, for levels that have not changed since the last snapshot are missing. By default it is left out.

    Returns
    -------
    DepthTable
        Intervals without a valid book have no row. The interval the feed ends in counts as whole.

    Raises
    ------
    InputError
        What the reader raises, no event at all, a band that cannot be, see `depth_within`.
    """
    samplers: dict[str, BookSampler] = {}
    rows: list[tuple[object, ...]] = []
    left_out: Counter[str] = Counter()

    def start(symbol: str) -> BookSampler:
        return BookSampler(symbol, rule, step, tick=tick, max_silence_seconds=max_silence_seconds)

    for sample in sampled(feed, start, samplers):
        found, unknown = _rows(sample, sorted(bands), beyond_known)
        rows += found
        left_out[sample.levels.symbol] += unknown
    return DepthTable(
        _frame(rows),
        {symbol: sampler.intervals for symbol, sampler in samplers.items()},
        {symbol: sampler.book.counts for symbol, sampler in samplers.items()},
        {symbol: left_out[symbol] for symbol in samplers},
    )


def sampled(
    feed: Iterable[FeedEvent], start: Callable[[str], BookSampler], samplers: dict[str, BookSampler]
) -> Iterator[BookSample]:
    """Samples of all instruments of a feed, each by a sampler of its own.

    Parameters
    ----------
    feed
        Events, taken in as they come.
    start
        Makes the sampler of a symbol at its first event.
    samplers
        Filled with them; samplers that are there already go on.

    Raises
    ------
    InputError
        What the reader raises, or no event at all.
    """
    portions: dict[str, list[FeedEvent]] = {}
    for event in feed:
        if event.symbol not in samplers:
            samplers[event.symbol] = start(event.symbol)
        portion = portions.setdefault(event.symbol, [])
        portion.append(event)
        if len(portion) == PORTION:
            yield from samplers[event.symbol].advance(portion)
            portion.clear()
    if not portions:
        raise InputError("the feed has no event", column="feed")
    for symbol, portion in portions.items():
        yield from samplers[symbol].advance(portion)
        yield from samplers[symbol].finish()


def _rows(sample: BookSample, bands: list[float], beyond_known: bool) -> tuple[list[tuple[object, ...]], int]:
    levels = sample.levels.as_seen() if beyond_known else sample.levels
    depth = depth_within(levels, bands)
    rows: list[tuple[object, ...]] = [
        (sample.time, levels.symbol, side, band, float(depth[s, b]))
        for s, side in enumerate(SIDES)
        for b, band in enumerate(bands)
        if not np.isnan(depth[s, b])
    ]
    return rows, int(np.isnan(depth).sum())


def _frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    stamps = pd.to_datetime(frame["timestamp"].to_numpy(np.int64), unit="ns", utc=True)
    frame = frame.assign(timestamp=stamps).astype({"level_bps": np.float64, "notional": np.float64})
    return frame.sort_values(["timestamp", "symbol"], kind="stable", ignore_index=True)
