"""Mark price from several feeds: the weighted median of those that can be used, and the interval of doubt around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import FloatArray, frozen
from ..errors import InputError
from .feeds import FeedRules, FeedState, PriceFeeds, feed_weights, judge, told


@dataclass(frozen=True)
class MarkPrice:
    """Mark of each instrument at one instant, quote units, shape (n_instruments,) where not said.

    Parameters
    ----------
    time
        The instant, datetime64[ns], UTC.
    symbols
        Names of the instruments.
    mark
        Weighted median of the feeds used; NaN where too few are (only if asked for, see `mark_from_feeds`).
    low, high
        Interval of doubt, low <= mark <= high.
    state
        `FeedState` of each feed, shape (n_feeds, n_instruments).
    age
        Seconds since the newest quote used.
    """

    time: np.datetime64
    symbols: tuple[str, ...]
    mark: FloatArray
    low: FloatArray
    high: FloatArray
    state: NDArray[np.int8]
    age: FloatArray

    def __post_init__(self) -> None:
        for name in ("mark", "low", "high", "age"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        object.__setattr__(self, "state", frozen(self.state, np.int8))

    def worst_for(self, quantity: ArrayLike, instrument: ArrayLike) -> FloatArray:
        """The price of the interval that is worst for each position: low for longs, high for shorts."""
        place = np.asarray(instrument, np.int64)
        return np.where(np.asarray(quantity, np.float64) > 0, self.low[place], self.high[place])


def mark_from_feeds(feeds: PriceFeeds, rules: FeedRules, at: np.datetime64, *, allow_outage: bool = False) -> MarkPrice:
    """Mark of every instrument from its feeds.

    Feeds that are absent, from the future, stale, crossed or shallow are left out, then those far from the median of
    the rest are clamped or left out (`FeedRules.when_far`).

    Parameters
    ----------
    feeds, rules, at
        The quotes, which of them are used, and the instant.
    allow_outage
        True: NaN where fewer than `rules.min_feeds` are used, as a stress needs it; `MarketState` takes such a mark
        and refuses a position in it. False: an error.

    Raises
    ------
    InputError
        Too few feeds for an instrument: named with the reason for each feed that is left out.

    Notes
    -----
    With "clamp" the mark lies between the lowest and the highest honest price as long as the manipulated feeds hold
    less than half of the weight used (breakdown point 1/2 of the median). With "reject" honest feeds may be left out
    too: the mark lies in that range widened by `max_deviation`.

    Examples
    --------
    Three feeds agree, one is 10% off and one is old.

    >>> now = np.datetime64("2024-01-01T00:01:00")
    >>> times = np.array([[0], [0], [0], [0], [90]]) * np.timedelta64(-1, "s") + now
    >>> prices = [[100.0], [101.0], [100.5], [110.0], [100.2]]
    >>> feeds = PriceFeeds.of_prices(["a", "b", "c", "d", "e"], ["BTC"], times, prices)
    >>> found = mark_from_feeds(feeds, FeedRules(np.timedelta64(10, "s"), when_far="reject"), now)
    >>> found.mark.tolist(), told(feeds, found.state, 0)
    ([100.5], 'd far from median, e stale')
    """
    state = judge(feeds, rules, at)
    price = np.where(state == FeedState.USED, feeds.price, np.nan)
    middle = weighted_median(price, feed_weights(feeds, rules, state == FeedState.USED))
    far = np.abs(price - middle) > rules.max_deviation * middle
    state[far] = FeedState.FAR_FROM_MEDIAN
    few = (state == FeedState.USED).sum(axis=0) < rules.min_feeds
    used = (state == FeedState.USED) | (far & (rules.when_far == "clamp"))
    if few.any() and not allow_outage:
        raise _too_few(feeds, rules, state, int(np.flatnonzero(few)[0]))
    weight = np.where(few, 0.0, feed_weights(feeds, rules, used))
    low_cap, high_cap = middle * (1 - rules.max_deviation), middle * (1 + rules.max_deviation)
    bid, clamped, ask = (np.clip(p, low_cap, high_cap) for p in (feeds.bid, feeds.price, feeds.ask))
    age = _age(feeds, used, at)
    mark = weighted_median(clamped, weight)
    widening = 0.0 if rules.drift == 0 else rules.drift * np.sqrt(age)
    low = np.minimum(weighted_quantile(bid, weight, rules.doubt), mark) * np.maximum(1 - widening, 0.0)
    high = -np.minimum(weighted_quantile(-ask, weight, rules.doubt), -mark) * (1 + widening)
    return MarkPrice(at, feeds.symbols, mark, low, high, state, np.where(few, np.nan, age))


def weighted_median(values: ArrayLike, weights: ArrayLike) -> FloatArray:
    """Weighted median of each column; NaN where no weight is left.

    The mean of the lower one (the least value with at least half of the weight at or below it) and the upper one (the
    same from above): they differ only if a value splits the weight in exact halves, so the order of feeds never
    matters. Values of no weight, NaN among them, do not count.

    Examples
    --------
    >>> weighted_median([[1.0], [2.0], [9.0]], [[1.0], [1.0], [1.0]]).tolist()
    [2.0]
    >>> weighted_median([[1.0], [2.0], [9.0]], [[1.0], [1.0], [2.0]]).tolist()
    [5.5]
    """
    value = np.asarray(values, np.float64)
    lower, upper = weighted_quantile(value, weights, 0.5), -weighted_quantile(-value, weights, 0.5)
    return np.asarray(lower + (upper - lower) / 2)


def weighted_quantile(values: ArrayLike, weights: ArrayLike, level: float) -> FloatArray:
    """Least value of each column with at least the share `level` of the weight at or below it; NaN without weight.

    Examples
    --------
    >>> weighted_quantile([[1.0], [2.0], [9.0]], [[1.0], [1.0], [2.0]], 0.25).tolist()
    [1.0]
    """
    value, weight = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    value = np.where(weight > 0, value, np.inf)
    order = np.argsort(value, axis=0, kind="stable")
    reached = np.cumsum(np.take_along_axis(weight, order, axis=0), axis=0)
    total = reached[-1]
    enough = (reached >= level * total) & (reached > 0)
    place = np.argmax(enough, axis=0)
    found = np.take_along_axis(np.take_along_axis(value, order, axis=0), place[None], axis=0)[0]
    return np.where(total > 0, found, np.nan)


def _age(feeds: PriceFeeds, used: NDArray[np.bool_], at: np.datetime64) -> FloatArray:
    seconds = (np.asarray(at, "datetime64[ns]") - feeds.time) / np.timedelta64(1, "s")
    newest = np.where(used, seconds, np.inf).min(axis=0)
    return np.where(np.isinf(newest), np.nan, newest)


def _too_few(feeds: PriceFeeds, rules: FeedRules, state: NDArray[np.int8], instrument: int) -> InputError:
    usable = int((state[:, instrument] == FeedState.USED).sum())
    problem = f"{usable} of {len(feeds.feeds)} feeds can be used, {rules.min_feeds} are needed"
    return InputError(f"{problem}: {told(feeds, state, instrument)}", column="mark", value=feeds.symbols[instrument])
