"""Oracle failure and manipulation: feeds that freeze or are moved, and how far the mark follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray
from ..errors import InputError
from .feeds import FeedRules, FeedState, PriceFeeds, feed_weights, judge
from .mark import mark_from_feeds, weighted_quantile


def freeze_feeds(feeds: PriceFeeds, past: PriceFeeds, names: Sequence[str], *, restamped: bool = False) -> PriceFeeds:
    """The feeds with those named still giving what they gave in `past`.

    With `restamped` they claim the time of today, so a limit on age does not see it; without, it does.

    Raises
    ------
    InputError
        An unknown feed, feeds or instruments that are not those of `past`.
    """
    if (feeds.feeds, feeds.symbols) != (past.feeds, past.symbols):
        raise InputError("has other feeds or instruments", column="past")
    rows = feeds.rows_of(names)
    columns: dict[str, Any] = {}
    for name in ("bid", "ask", "depth") if restamped else ("bid", "ask", "depth", "time"):
        columns[name] = np.array(getattr(feeds, name))
        columns[name][rows] = getattr(past, name)[rows]
    return replace(feeds, **columns)


def shift_feeds(feeds: PriceFeeds, names: Sequence[str], move: float) -> PriceFeeds:
    """The feeds with the prices of those named multiplied by 1 + move.

    Examples
    --------
    >>> feeds = PriceFeeds.of_prices(["a", "b"], ["BTC"], np.datetime64("2024-01-01"), [[100.0], [100.0]])
    >>> shift_feeds(feeds, ["b"], -0.5).price.tolist()
    [[100.0], [50.0]]
    """
    if not (np.isfinite(move) and move > -1):
        raise InputError("must be above -1", column="move", value=move)
    factor = np.ones(len(feeds.feeds))
    factor[feeds.rows_of(names)] = 1 + move
    return replace(feeds, bid=feeds.bid * factor[:, None], ask=feeds.ask * factor[:, None])


def drop_feeds(feeds: PriceFeeds, names: Sequence[str]) -> PriceFeeds:
    """The feeds with those named giving nothing: an outage."""
    time = np.array(feeds.time)
    time[feeds.rows_of(names)] = np.datetime64("NaT")
    return replace(feeds, time=time)


@dataclass(frozen=True)
class ManipulationReach:
    """How far the holders of some feeds can move each mark, shape (n_instruments,).

    Parameters
    ----------
    share
        Share of the usable weight that they hold.
    low, high
        Least and greatest mark they can cause by quoting anything, quote units; 0 and inf once they hold more than
        half. With exactly half they are half-way between an honest price and anything, so 0 or inf as well.
    """

    share: FloatArray
    low: FloatArray
    high: FloatArray


def manipulation_reach(
    feeds: PriceFeeds, rules: FeedRules, at: np.datetime64, names: Sequence[str]
) -> ManipulationReach:
    """Reach of whoever controls the feeds named, over all quotes that look usable; exact for `when_far` "clamp".

    The mark is a weighted median, so the most they can do is to put all their weight at one end: the mark is then a
    quantile of the honest prices. The cap on deviation does not matter, since it is around the same median.

    Raises
    ------
    InputError
        An unknown feed, or rules that reject far feeds, under which honest feeds may be rejected too: try moves with
        `mark_path` there.

    Examples
    --------
    Two of five equal feeds reach the second of three honest prices from either side, and no further than the ends.

    >>> now = np.datetime64("2024-01-01")
    >>> feeds = PriceFeeds.of_prices(list("abcde"), ["BTC"], now, [[99.0], [100.0], [101.0], [100.0], [100.0]])
    >>> reach = manipulation_reach(feeds, FeedRules(np.timedelta64(1, "s")), now, ["d", "e"])
    >>> reach.share.tolist(), reach.low.tolist(), reach.high.tolist()
    ([0.4], [99.0], [101.0])
    """
    if rules.when_far != "clamp":
        raise InputError('is exact for "clamp" only', column="when_far", value=rules.when_far)
    weight = feed_weights(feeds, rules, judge(feeds, rules, at) == FeedState.USED)
    theirs = np.zeros(len(feeds.feeds), np.bool_)
    theirs[feeds.rows_of(names)] = True
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore"):
        share = np.where(total > 0, weight[theirs].sum(axis=0) / total, np.nan)
    up = np.where(theirs[:, None], np.inf, feeds.price)
    high = -weighted_quantile(-up, weight, 0.5)
    low = weighted_quantile(np.where(theirs[:, None], 0.0, feeds.price), weight, 0.5)
    return ManipulationReach(share, _end(low, up, weight, lowest=True), _end(high, up, weight, lowest=False))


def _end(extreme: FloatArray, up: FloatArray, weight: FloatArray, *, lowest: bool) -> FloatArray:
    """The median whose one half is `extreme`: the mean of the lower and the upper one where neither is at an end."""
    if lowest:
        other = -weighted_quantile(-np.where(np.isinf(up), 0.0, up), weight, 0.5)
        return np.where(extreme == 0, 0.0, extreme + (other - extreme) / 2)
    other = weighted_quantile(up, weight, 0.5)
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(extreme), np.inf, other + (extreme - other) / 2)


def mark_path(
    feeds: PriceFeeds, rules: FeedRules, at: np.datetime64, names: Sequence[str], moves: ArrayLike
) -> FloatArray:
    """Mark of every instrument when the feeds named are moved by each of `moves`, shape (n_moves, n_instruments).

    NaN where too few feeds remain.

    Examples
    --------
    >>> now = np.datetime64("2024-01-01")
    >>> feeds = PriceFeeds.of_prices(list("abc"), ["BTC"], now, [[99.0], [100.0], [101.0]])
    >>> mark_path(feeds, FeedRules(np.timedelta64(1, "s")), now, ["b"], [-0.5, 0.0, 0.5]).ravel().tolist()
    [99.0, 100.0, 101.0]
    """
    marks = [
        mark_from_feeds(shift_feeds(feeds, names, float(move)), rules, at, allow_outage=True).mark
        for move in np.atleast_1d(np.asarray(moves, np.float64))
    ]
    return np.stack(marks) if marks else np.empty((0, len(feeds.symbols)))


def smallest_coalition(feeds: PriceFeeds, rules: FeedRules, at: np.datetime64) -> list[tuple[str, ...]]:
    """For each instrument the fewest feeds that together hold half of the usable weight: who must fail to move it.

    Equal weights are taken in the order of the feeds.

    Examples
    --------
    >>> now = np.datetime64("2024-01-01")
    >>> feeds = PriceFeeds.of_prices(list("abc"), ["BTC"], now, [[99.0], [100.0], [101.0]], [1.0, 3.0, 1.0])
    >>> smallest_coalition(feeds, FeedRules(np.timedelta64(1, "s")), now)
    [('b',)]
    """
    weight = feed_weights(feeds, rules, judge(feeds, rules, at) == FeedState.USED)
    coalitions = []
    for column in weight.T:
        order = np.argsort(-column, kind="stable")
        held = np.cumsum(column[order])
        count = int(np.argmax(held >= held[-1] / 2)) + 1 if held[-1] > 0 else 0
        coalitions.append(tuple(feeds.feeds[row] for row in order[:count]))
    return coalitions
