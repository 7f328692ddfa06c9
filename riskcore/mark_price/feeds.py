"""Price feeds of several sources, and why one of them is not used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    frozen,
    positions_of,
    require,
    require_shape,
    require_unique,
)
from ..errors import InputError

WhenFar = Literal["clamp", "reject"]


class FeedState(IntEnum):
    """Whether a feed is used for an instrument, or the first reason why not."""

    USED = 0
    ABSENT = 1
    FROM_THE_FUTURE = 2
    STALE = 3
    CROSSED = 4
    SHALLOW = 5
    FAR_FROM_MEDIAN = 6


@dataclass(frozen=True)
class PriceFeeds:
    """Quotes of several feeds for several instruments; shape (n_feeds, n_instruments) where not said.

    Parameters
    ----------
    feeds, symbols
        Names, shapes (n_feeds,) and (n_instruments,).
    time
        When each quote was made, datetime64[ns], UTC; NaT where the feed has none.
    bid, ask
        Quote units; equal where a feed gives one price. NaN where the feed has none. A crossed quote (bid > ask) is
        kept here: it is not used, and said, by `mark_from_feeds`.
    depth
        Notional resting near the touch, quote units; NaN where it is not known.
    weight
        How much each feed counts, positive, shape (n_feeds,).

    Raises
    ------
    InputError
        No feed, a shape that disagrees, a name twice, a price that is not positive, a negative depth, a weight that is
        not positive.
    """

    feeds: tuple[str, ...]
    symbols: tuple[str, ...]
    time: NDArray[np.datetime64]
    bid: FloatArray
    ask: FloatArray
    depth: FloatArray
    weight: FloatArray

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in ("feeds", "symbols"):
            set_(self, name, tuple(str(n) for n in getattr(self, name)))
            require_unique(getattr(self, name), name)
        set_(self, "time", frozen(self.time, "datetime64[ns]"))
        for name in ("bid", "ask", "depth", "weight"):
            set_(self, name, frozen(getattr(self, name), np.float64))
        self._check()

    def _check(self) -> None:
        if not self.feeds:
            raise InputError("needs at least one feed", column="feeds")
        for name in ("time", "bid", "ask", "depth"):
            require_shape(getattr(self, name), (len(self.feeds), len(self.symbols)), name)
        require_shape(self.weight, (len(self.feeds),), "weight")
        require((self.weight > 0) & np.isfinite(self.weight), self.weight, "must be positive", "weight")
        for name in ("bid", "ask"):
            values = getattr(self, name)
            self._refuse(name, "price must be positive", (values <= 0) | np.isinf(values))
        self._refuse("depth", "must not be negative", self.depth < 0)

    def _refuse(self, name: str, problem: str, wrong: BoolArray) -> None:
        if wrong.any():
            feed, instrument = (int(place) for place in np.argwhere(wrong)[0])
            column = f"{name} of {self.symbols[instrument]} from {self.feeds[feed]}"
            raise InputError(problem, row=feed, column=column, value=float(getattr(self, name)[feed, instrument]))

    @classmethod
    def of_prices(
        cls,
        feeds: Sequence[str],
        symbols: Sequence[str],
        time: ArrayLike,
        price: ArrayLike,
        weight: ArrayLike | None = None,
    ) -> PriceFeeds:
        """Feeds that give one price and no depth; `time` may be one instant for all.

        Examples
        --------
        >>> now = np.datetime64("2024-01-01")
        >>> PriceFeeds.of_prices(["a", "b"], ["BTC"], now, [[100.0], [101.0]]).price.tolist()
        [[100.0], [101.0]]
        """
        prices = np.asarray(price, np.float64)
        times = np.broadcast_to(np.asarray(time, "datetime64[ns]"), prices.shape)
        weights = np.ones(len(feeds)) if weight is None else np.asarray(weight, np.float64)
        return cls(tuple(feeds), tuple(symbols), times, prices, prices, np.full(prices.shape, np.nan), weights)

    @property
    def price(self) -> FloatArray:
        """Middle of bid and ask."""
        return self.bid + (self.ask - self.bid) / 2

    def rows_of(self, names: Sequence[str]) -> IntArray:
        """Rows of feeds by name; an unknown name raises InputError."""
        return positions_of(self.feeds, names, "feed")


@dataclass(frozen=True)
class FeedRules:
    """Which feeds are used, and how.

    Parameters
    ----------
    max_age
        A quote older than this is stale.
    max_deviation
        A feed further than this fraction from the weighted median of the live feeds is far; inf for no cap.
    when_far
        "clamp": a far feed counts at the edge of the cap, which leaves a weighted median where it is. "reject": it is
        left out and the median is taken again, as Binance gives such an exchange no weight (help page 360033525071,
        5%). Either way it is said: `FeedState.FAR_FROM_MEDIAN`.
    min_feeds
        Fewest feeds that must be usable and not far.
    depth_cap
        A feed's weight is multiplied by min(depth, depth_cap) / depth_cap; inf leaves weights as they are, and depths
        unread.
    min_depth
        A feed with less depth (or none known) is shallow; 0 for no limit.
    doubt
        The interval of doubt runs from the weighted quantile `doubt` of the bids used to that at 1 - doubt of the
        asks: 0 is from the lowest bid to the highest ask.
    drift
        The interval widens by drift * sqrt(age in seconds of the newest quote used), a fraction of price.

    Raises
    ------
    InputError
        A limit out of range.
    """

    max_age: np.timedelta64
    max_deviation: float = 0.05
    when_far: WhenFar = "clamp"
    min_feeds: int = 2
    depth_cap: float = np.inf
    min_depth: float = 0.0
    doubt: float = 0.25
    drift: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_age", np.timedelta64(self.max_age).astype("timedelta64[ns]"))
        if not self.max_age >= np.timedelta64(0, "ns"):
            raise InputError("must not be negative", column="max_age", value=str(self.max_age))
        if self.when_far not in ("clamp", "reject"):
            raise InputError('must be "clamp" or "reject"', column="when_far", value=self.when_far)
        if self.min_feeds < 1:
            raise InputError("must be at least 1", column="min_feeds", value=self.min_feeds)
        for name in ("max_deviation", "depth_cap"):
            if not getattr(self, name) > 0:
                raise InputError("must be positive", column=name, value=getattr(self, name))
        for name, high in (("min_depth", np.inf), ("doubt", 0.5), ("drift", np.inf)):
            value = getattr(self, name)
            if not (0 <= value <= high and np.isfinite(value)):
                raise InputError(f"must be in [0, {high:g}]", column=name, value=value)


def judge(feeds: PriceFeeds, rules: FeedRules, at: np.datetime64) -> NDArray[np.int8]:
    """`FeedState` of each feed and instrument by what it says of itself: all but FAR_FROM_MEDIAN, which needs the rest.

    Examples
    --------
    >>> now = np.datetime64("2024-01-01T00:01:00")
    >>> feeds = PriceFeeds.of_prices(["a", "b"], ["BTC"], [[now], [now - np.timedelta64(30, "s")]], [[100.0], [99.0]])
    >>> judge(feeds, FeedRules(np.timedelta64(10, "s")), now).tolist()
    [[0], [3]]
    """
    now = np.asarray(at, "datetime64[ns]")
    if np.isnat(now):
        raise InputError("needs a time", column="at", value=str(at))
    depth = np.where(np.isnan(feeds.depth), 0.0, feeds.depth)
    needs_depth = rules.min_depth > 0 or np.isfinite(rules.depth_cap)
    reasons: list[tuple[FeedState, BoolArray]] = [
        (FeedState.SHALLOW, (depth < rules.min_depth) | ((depth == 0) & needs_depth)),
        (FeedState.CROSSED, feeds.bid > feeds.ask),
        (FeedState.STALE, now - feeds.time > rules.max_age),
        (FeedState.FROM_THE_FUTURE, feeds.time > now),
        (FeedState.ABSENT, np.isnat(feeds.time) | np.isnan(feeds.bid) | np.isnan(feeds.ask)),
    ]
    state = np.full(feeds.bid.shape, FeedState.USED, np.int8)
    for reason, met in reasons:
        state[met] = reason
    return state


def told(feeds: PriceFeeds, state: NDArray[np.int8], instrument: int) -> str:
    """Each feed that is not used for an instrument and why, in words."""
    rows = [
        f"{feeds.feeds[row]} {FeedState(code).name.lower().replace('_', ' ')}"
        for row, code in enumerate(state[:, instrument])
        if code != FeedState.USED
    ]
    return ", ".join(rows) if rows else "none is left out"


def feed_weights(feeds: PriceFeeds, rules: FeedRules, used: BoolArray) -> FloatArray:
    """Weight of each feed for each instrument: 0 where it is not used, scaled by its depth where the rules cap it."""
    weight = np.broadcast_to(feeds.weight[:, None], used.shape)
    if np.isfinite(rules.depth_cap):
        weight = weight * np.minimum(np.nan_to_num(feeds.depth), rules.depth_cap) / rules.depth_cap
    return np.where(used, weight, 0.0)
