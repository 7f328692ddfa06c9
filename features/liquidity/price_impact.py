"""How far trades move the price: the slope of the mid's move on what takers bought, from a stream of trades."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.logarithm import log_one
from ..engine.step import State

LOG_MID, START_LOG_MID, FLOW, CROSS, SQUARE = range(5)
BUCKET, TRADED, BUCKETS = range(3)


@dataclass(frozen=True)
class ImpactSettings:
    """Over what time moves and trades are put together.

    Parameters
    ----------
    interval_seconds
        Length of an interval.
    memory_intervals
        Half-life of an interval's weight, in intervals with trades.
    least_intervals
        Intervals with trades before the slope is said.
    """

    interval_seconds: float = 1.0
    memory_intervals: float = 600.0
    least_intervals: int = 30

    def __post_init__(self) -> None:
        for name in ("interval_seconds", "memory_intervals", "least_intervals"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError("must be positive and finite", column=name, value=getattr(self, name))


class PriceImpact:
    """Streaming estimate of Kyle's lambda: log return of the mid per quote unit that takers bought on balance.

    Over intervals k with trades, r_k the log return of the mid from the interval's start to its end and S_k bought less
    sold by takers in quote units, the slope of r_k = lambda S_k by least squares is sum(r_k S_k) / sum(S_k^2), older
    intervals weighing less. Source: A. Kyle, Continuous auctions and insider trading, Econometrica 53 (1985); as a
    regression through the origin in J. Hasbrouck, Trading costs and returns for U.S. equities, J. Finance 64 (2009).

    An interval in which the book was not usable at some time is left out.

    Parameters
    ----------
    settings
        See `ImpactSettings`.

    Examples
    --------
    In each of two seconds takers buy for 1000 and the mid rises by one basis point.

    >>> one = PriceImpact(ImpactSettings(least_intervals=2))
    >>> seconds = np.array([0.9, 1.2, 1.9, 2.5, 2.9, 3.0])
    >>> is_trade = np.array([False, True, False, True, False, False])
    >>> mids, bought = np.exp([0.0, 0.0, 1e-4, 1e-4, 2e-4, 2e-4]), 1000.0
    >>> one.advance((seconds * 1e9).astype(np.int64), is_trade, np.where(is_trade, bought, mids))
    >>> round(one.slope * 1e9, 6)
    100.0
    """

    def __init__(self, settings: ImpactSettings | None = None) -> None:
        self.settings = settings or ImpactSettings()
        self._state: State = {
            "numbers": np.array([np.nan, np.nan, 0.0, 0.0, 0.0]),
            "counts": np.array([-1, 0, 0], np.int64),
        }

    def advance(self, seen: IntArray, is_trade: NDArray[np.bool_], values: FloatArray) -> None:
        """Take in mids and trades in the order they were seen.

        Parameters
        ----------
        seen
            Nanoseconds since 1970, shape (m,).
        is_trade
            Whether a row is a trade, shape (m,).
        values
            Trades: quote units, positive where the buyer was the taker. Others: the mid, NaN where the book is not
            usable.
        """
        s = self.settings
        decay = 0.5 ** (1.0 / s.memory_intervals)
        interval = round(s.interval_seconds * 1e9)
        _advance(self._state["numbers"], self._state["counts"], seen, is_trade, values, interval, decay)

    @property
    def slope(self) -> float:
        """Log return per quote unit; NaN before enough intervals."""
        numbers, counts = self._state["numbers"], self._state["counts"]
        enough = counts[BUCKETS] >= self.settings.least_intervals and numbers[SQUARE] > 0.0
        return float(numbers[CROSS] / numbers[SQUARE]) if enough else np.nan

    @property
    def intervals(self) -> int:
        """Intervals with trades so far."""
        return int(self._state["counts"][BUCKETS])

    def checkpoint(self) -> State:
        """All that is remembered, as arrays."""
        return {name: values.copy() for name, values in self._state.items()}

    @classmethod
    def restored(cls, state: State, settings: ImpactSettings | None = None) -> PriceImpact:
        """The estimate of a checkpoint."""
        one = cls(settings)
        one._state = {name: state[name].copy() for name in one._state}
        return one


@numba.njit(cache=True, nogil=True)
def _advance(
    numbers: FloatArray,
    counts: IntArray,
    seen: IntArray,
    is_trade: NDArray[np.bool_],
    values: FloatArray,
    interval: int,
    decay: float,
) -> None:
    for row in range(len(seen)):
        bucket = seen[row] // interval
        if bucket != counts[BUCKET]:
            moved = numbers[LOG_MID] - numbers[START_LOG_MID]
            if counts[TRADED] and not np.isnan(moved):
                numbers[CROSS] = decay * numbers[CROSS] + moved * numbers[FLOW]
                numbers[SQUARE] = decay * numbers[SQUARE] + numbers[FLOW] * numbers[FLOW]
                counts[BUCKETS] += 1
            counts[BUCKET], counts[TRADED] = bucket, 0
            numbers[FLOW], numbers[START_LOG_MID] = 0.0, numbers[LOG_MID]
        if is_trade[row]:
            numbers[FLOW] += values[row]
            counts[TRADED] = 1
        else:
            numbers[LOG_MID] = log_one(values[row])
            if np.isnan(values[row]):
                numbers[START_LOG_MID] = np.nan
