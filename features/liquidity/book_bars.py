"""From an order-book feed to bar columns: what the book says of each interval, and what streams beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from ..readers.book_feed_events import FeedEvent
from .book_levels import ASK, BID
from .book_sampler import BookSample, BookSampler, IntervalCounts
from .book_sequence import SequenceRule
from .depth_measures import (
    BASIS_POINTS,
    depth_elasticity,
    depth_within,
    imbalance,
    microprice,
    price_slope,
    spread_bps,
    top_imbalance,
)
from .depth_table import sampled
from .execution_cost import execution_cost
from .order_book import BookCounts
from .price_impact import ImpactSettings
from .resilience import ResilienceSettings

MILLION = 1e6
MINUTE = np.timedelta64(1, "m")
SIDES = ((BID, "bid"), (ASK, "ask"))


@dataclass(frozen=True)
class BookMeasures:
    """Which columns are made of a book.

    Parameters
    ----------
    bands
        Distances from the mid, basis points, rising: bid_Lbps and ask_Lbps (notional within), imbalance_Lbps, and over
        all bands elasticity_bid and elasticity_ask.
    notionals
        Worth of positions, quote units, whole: sell_N_bps and buy_N_bps, what closing one costs against the mid.
    slope_levels
        Levels of slope_bid and slope_ask.
    microprice_band
        Band of microprice_bps, how far the depth-weighted microprice is above the mid; None: the best sizes.

    Besides there are mid (quote units), spread_bps, imbalance_top, half_life_bid and half_life_ask (seconds, see
    `Resilience`) and impact_bps_per_million (see `PriceImpact`).

    Examples
    --------
    >>> BookMeasures((5.0, 10.0), (1e5,)).columns[-3:]
    ('half_life_bid', 'half_life_ask', 'impact_bps_per_million')
    """

    bands: tuple[float, ...]
    notionals: tuple[float, ...] = ()
    slope_levels: int = 5
    microprice_band: float | None = None

    def __post_init__(self) -> None:
        if len(self.bands) < 2 or list(self.bands) != sorted(set(self.bands)):
            raise InputError("must be at least two and rise", column="bands", value=self.bands)
        if any(notional <= 0.0 or notional != int(notional) for notional in self.notionals):
            raise InputError("must be whole and positive", column="notionals", value=self.notionals)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names, in order."""
        depth = [f"{side}_{band:g}bps" for band in self.bands for side in ("bid", "ask", "imbalance")]
        costs = [f"{way}_{notional:.0f}_bps" for notional in self.notionals for way in ("sell", "buy")]
        sides = [f"{name}_{side}" for name in ("elasticity", "slope") for _, side in SIDES]
        streamed = ["half_life_bid", "half_life_ask", "impact_bps_per_million"]
        return ("mid", "spread_bps", "microprice_bps", "imbalance_top", *depth, *sides, *costs, *streamed)

    def values(self, sample: BookSample, reasons: Counter[str]) -> list[float]:
        """The columns' values for one sample; why a cost is not known is counted in `reasons`."""
        book = sample.levels
        price = microprice(book, self.microprice_band)
        depth = depth_within(book, self.bands)
        leaning = imbalance(depth[BID], depth[ASK])
        costs = [execution_cost(book, side, worth) for worth in self.notionals for side in (BID, ASK)]
        reasons.update(cost.reason for cost in costs if cost.reason)
        return [
            book.mid,
            spread_bps(book),
            BASIS_POINTS * (price - book.mid) / book.mid,
            top_imbalance(book),
            *np.stack((depth[BID], depth[ASK], leaning), axis=1).ravel().tolist(),
            *(float(depth_elasticity(self.bands, list(depth[side, :, None]))[0]) for side in (BID, ASK)),
            *(price_slope(book, side, self.slope_levels) for side in (BID, ASK)),
            *(cost.impact_bps for cost in costs),
            *sample.half_life.tolist(),
            BASIS_POINTS * MILLION * sample.impact,
        ]


@dataclass(frozen=True, eq=False)
class BookBars:
    """Bar columns of an order-book feed.

    Parameters
    ----------
    frame
        Columns timestamp (UTC: open of the bar; all is known at its close), symbol and `BookMeasures.columns`. Bars
        without a valid book are absent.
    intervals, books
        As in `DepthTable`.
    reasons
        How many costs are NaN, by symbol and reason.
    """

    frame: pd.DataFrame
    intervals: dict[str, IntervalCounts]
    books: dict[str, BookCounts]
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)


def book_bars(
    feed: Iterable[FeedEvent],
    rule: SequenceRule,
    measures: BookMeasures,
    *,
    step: np.timedelta64 = MINUTE,
    tick: float | str | None = None,
    max_silence_seconds: float = 5.0,
    resilience: ResilienceSettings | None = None,
    impact: ImpactSettings | None = None,
) -> BookBars:
    """What the last valid book of each bar says, and how resilience and price impact stand at its close.

    Parameters
    ----------
    feed, rule, step, tick, max_silence_seconds
        As for `depth_table`. Price impact needs the feed's trades.
    measures
        Which columns.
    resilience, impact
        Settings of the two estimates; None: the defaults.

    Returns
    -------
    BookBars
        One row a bar and symbol that had a valid book; the bar the feed ends in counts as whole.

    Raises
    ------
    InputError
        As for `depth_table`.
    """
    samplers: dict[str, BookSampler] = {}
    reasons: dict[str, Counter[str]] = {}

    def start(symbol: str) -> BookSampler:
        reasons[symbol] = Counter()
        return BookSampler(
            symbol,
            rule,
            step,
            tick=tick,
            max_silence_seconds=max_silence_seconds,
            resilience=resilience or ResilienceSettings(),
            impact=impact or ImpactSettings(),
        )

    rows = [
        (sample.opened, sample.levels.symbol, *measures.values(sample, reasons[sample.levels.symbol]))
        for sample in sampled(feed, start, samplers)
    ]
    return BookBars(
        _frame(rows, measures),
        {symbol: sampler.intervals for symbol, sampler in samplers.items()},
        {symbol: sampler.book.counts for symbol, sampler in samplers.items()},
        {symbol: dict(counted) for symbol, counted in reasons.items()},
    )


def _frame(rows: Sequence[tuple[object, ...]], measures: BookMeasures) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["timestamp", "symbol", *measures.columns])
    stamps = pd.to_datetime(frame["timestamp"].to_numpy(np.int64), unit="ns", utc=True)
    frame = frame.assign(timestamp=stamps).astype(dict.fromkeys(measures.columns, np.float64))
    return frame.sort_values(["timestamp", "symbol"], kind="stable", ignore_index=True)
