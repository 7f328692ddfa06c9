"""What a liquidation feed that shows at most one event a second hides: estimates of count and amount, with intervals.

Arrivals within a block of seconds are taken as Poisson with one rate. A second shows an event where it had one at
least, so with a share p of seconds showing, the rate is -ln(1 - p) a second, and a shown event stands for more than
one. Which of a second's events is shown is the choice of the venue and an assumption here (`Shown`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.special import ndtri

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError

Shown = Literal["latest", "largest"]
"""Which event of a second is shown: its latest (Binance since 2021; any choice that does not look at the size is the
same here) or its largest."""


def arrival_rate(shown: FloatArray, seconds: float) -> FloatArray:
    """Events a second behind a feed that shows at most one of them: -ln(1 - shown / seconds).

    Parameters
    ----------
    shown
        Events that were shown.
    seconds
        Length of the time in which they were, seconds.

    Returns
    -------
    FloatArray
        The estimate of maximum likelihood; NaN where every second showed one: any rate above some bound would do that.

    Examples
    --------
    Where half of the seconds showed an event there were ln 2 a second.

    >>> arrival_rate(np.array([0.0, 30.0, 60.0]), 60.0).round(6).tolist()
    [0.0, 0.693147, nan]
    """
    return np.log(seconds / np.where(shown < seconds, seconds - shown, np.nan))


def count_variance(shown: FloatArray, seconds: float) -> FloatArray:
    """Variance of the true number of events around its estimate, seconds * (e^r - 1 - r) with r the `arrival_rate`.

    It counts both what is not known of the rate and what happened in the seconds that showed one: per second,
    Var(N) + Var(1[N > 0]) e^(2r) - 2 Cov(N, 1[N > 0]) e^r for N Poisson with mean r.

    Examples
    --------
    >>> count_variance(np.array([30.0]), 60.0).round(4).tolist()
    [18.4112]
    """
    rate = arrival_rate(shown, seconds)
    return seconds * (np.exp(rate) - 1.0 - rate)


def least_count(shown: FloatArray, seconds: float, level: float) -> FloatArray:
    """Lower confidence bound of the expected number of events, also where every second showed one.

    Through the lower Wilson limit of the share of seconds that show an event.

    Parameters
    ----------
    shown, seconds
        As in `arrival_rate`.
    level
        Of the two-sided interval whose lower end this is.

    Examples
    --------
    60 of 60 seconds: with 95% the share is above 60 / (60 + 1.96^2), the rate above 2.81 a second.

    >>> least_count(np.array([60.0]), 60.0, 0.95).round(1).tolist()
    [168.6]
    """
    squared = _quantile(level) ** 2
    share = np.minimum(shown / seconds, 1.0)
    spread = np.sqrt(squared * (share * (1.0 - share) / seconds + squared / (4.0 * seconds * seconds)))
    low = (share + squared / (2.0 * seconds) - spread) / (1.0 + squared / seconds)
    return -np.log(1.0 - np.maximum(low, 0.0)) * seconds


class ShownEvents(NamedTuple):
    """Events of a feed and the blocks of seconds they were shown in.

    Parameters
    ----------
    block
        Block of each event, shape (e,).
    size
        What is to be added up, e.g. notional, shape (e,); NaN where unknown.
    blocks
        Number of blocks.
    seconds
        Length of a block.
    """

    block: IntArray
    size: FloatArray
    blocks: int
    seconds: float

    @property
    def shown(self) -> FloatArray:
        """Events of each block."""
        return np.bincount(self.block, minlength=self.blocks).astype(np.float64)


def event_weights(events: ShownEvents, which: Shown = "latest", *, least: float | None = None) -> FloatArray:
    """How many events each shown one stands for, shape (e,); they add up to the estimated count of each block.

    With n seconds and k events in the block, "latest": all alike, (n / k) ln(n / (n - k)). "largest": the i-th smallest
    stands for n ln((n - k + i) / (n - k + i - 1)), the estimate of Nelson and Aalen for the times (here sizes) of which
    only the greatest is seen; small ones stand for more, since they are hidden more often.

    Parameters
    ----------
    events
        The events shown.
    which
        The assumption.
    least
        None: the estimate; NaN in a block in which every second showed one. A level, e.g. 0.95: weights at a rate no
        higher than the lower confidence bound of `least_count`, which every block has.

    Examples
    --------
    One second of two showed an event; it stands for 2 ln 2. Two of three, by size: 3 ln(2 / 1) and 3 ln(3 / 2).

    >>> event_weights(ShownEvents(np.array([0]), np.ones(1), 1, 2.0)).round(4).tolist()
    [1.3863]
    >>> two = ShownEvents(np.array([0, 0]), np.array([5.0, 9.0]), 1, 3.0)
    >>> event_weights(two, "largest").round(4).tolist()
    [2.0794, 1.2164]
    """
    if which not in ("latest", "largest"):
        raise InputError('must be "latest" or "largest"', column="shown", value=which)
    shown = np.minimum(events.shown, events.seconds)
    seconds = np.full(events.blocks, float(events.seconds))
    if least is not None:
        # as many seconds as would make the share its lower limit
        share = -np.expm1(-least_count(shown, events.seconds, least) / events.seconds)
        seconds = np.where(shown > 0.0, shown / np.where(shown > 0.0, share, 1.0), seconds)
    empty = np.where(shown < seconds, seconds - shown, np.nan)
    if which == "latest":
        return (events.seconds * np.log(seconds / empty) / np.maximum(shown, 1.0))[events.block]
    behind = empty[events.block] + _ranks(events) - 1.0
    return events.seconds * np.log((behind + 1.0) / behind)


def amount_variance(events: ShownEvents, weights: FloatArray, which: Shown = "latest") -> FloatArray:
    """Variance of the true amount of each block around sum(weights * size), shape (blocks,).

    "latest": the events' sizes vary around their mean m with w (w - 1) sum (size - m)^2 k / (k - 1), and their number
    with m^2 `count_variance`; "largest": sum size^2 w (w - 1). `size` may be zero for events that are not to be counted
    (of the other side): they still say how often events are shown.

    Examples
    --------
    Equal sizes leave the uncertainty of the count, 4 * (2 * (2 - 1 - ln 2)):

    >>> one = ShownEvents(np.array([0]), np.array([2.0]), 1, 2.0)
    >>> amount_variance(one, event_weights(one)).round(4).tolist()
    [2.4548]
    """
    beyond = weights * (weights - 1.0)
    if which == "largest":
        return _block_sums(events, events.size**2 * beyond)
    shown = events.shown
    mean = _block_sums(events, events.size) / np.maximum(shown, 1.0)
    spread = _block_sums(events, (events.size - mean[events.block]) ** 2 * beyond)
    bessel = np.where(shown > 1.0, shown / np.maximum(shown - 1.0, 1.0), 1.0)
    return spread * bessel + mean**2 * count_variance(shown, events.seconds)


def interval(estimate: FloatArray, variance: FloatArray, least: FloatArray, level: float) -> tuple[FloatArray, ...]:
    """Normal interval around an estimate, whose lower end is not below what was shown.

    Examples
    --------
    >>> [end.round(2).tolist() for end in interval(np.array([10.0]), np.array([4.0]), np.array([8.0]), 0.95)]
    [[8.0], [13.92]]
    """
    reach = _quantile(level) * np.sqrt(variance)
    return np.maximum(estimate - reach, least), estimate + reach


def _quantile(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise InputError("must be between 0 and 1", column="level", value=level)
    return float(ndtri(0.5 + 0.5 * level))


def _ranks(events: ShownEvents) -> FloatArray:
    """Rank of each event's size within its block, from 1; equal sizes in the order given."""
    order = np.lexsort((events.size, events.block))
    first = np.searchsorted(events.block[order], np.arange(events.blocks))
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order)) - first[events.block[order]] + 1.0
    return ranks


def _block_sums(events: ShownEvents, values: FloatArray) -> FloatArray:
    return np.bincount(events.block, values, events.blocks).astype(np.float64)
