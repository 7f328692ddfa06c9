"""Losses over the margin period of risk: one period after another, never overlapping, counted back from the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..models.margin_quantiles import LossSeries
from ..riskcore.arrays import BoolArray, FloatArray, TimeArray
from ..riskcore.errors import InputError

SIDES = ("long", "short")


@dataclass(frozen=True)
class PeriodLosses:
    """What each side of one instrument lost in each period, if its price stood at the period's start.

    Parameters
    ----------
    starts
        As-of time of each period, shape (m,); the price before it is known, nothing after.
    long, short
        Worst adverse excursion of the side within the period, fraction of the price at its start, not below 0; NaN
        where a bar is missing.
    squares, realised
        Squared log return of the period, and the sum of its bars' squared log returns; NaN likewise.
    end
        As-of time of the period after the last one: when the last forecast is made.
    """

    starts: TimeArray
    long: FloatArray
    short: FloatArray
    squares: FloatArray
    realised: FloatArray
    end: np.datetime64

    @property
    def known(self) -> BoolArray:
        """Periods without a missing bar, shape (m,)."""
        return np.asarray(np.isfinite(self.long) & np.isfinite(self.short) & np.isfinite(self.realised))

    def losses(self, side: str) -> FloatArray:
        """Losses of "long" or "short", shape (m,)."""
        if side not in SIDES:
            raise InputError('must be "long" or "short"', column="side", value=side)
        return self.long if side == "long" else self.short

    def series(self, side: str) -> LossSeries:
        """The known periods as an estimator reads them."""
        known = self.known
        return LossSeries(self.losses(side)[known], self.squares[known], self.realised[known], excursion=True)

    def spread(self, forecasts: FloatArray) -> FloatArray:
        """Forecasts over the known periods, shape (n_known + 1,), laid over all periods, shape (m + 1,).

        In a period with a missing bar the forecast is that from the periods known by then.
        """
        seen = np.concatenate(([0], np.cumsum(self.known)))
        return np.asarray(forecasts[seen])


def period_losses(
    times: TimeArray, high: FloatArray, low: FloatArray, close: FloatArray, bars: int, end: np.datetime64
) -> PeriodLosses:
    """Losses of one instrument over periods of `bars` bars, from the last that ends by `end` back to the first.

    Parameters
    ----------
    times
        Bar opens, equally spaced, shape (T,).
    high, low, close
        Prices, shape (T,); NaN where there is no bar.
    bars
        Bars in a period.
    end
        Nothing that became known after it is used.

    Raises
    ------
    InputError
        Fewer bars before `end` than one period and the bar before it.

    Examples
    --------
    >>> hours = np.datetime64("2024-01-01", "ns") + np.arange(3) * np.timedelta64(1, "h")
    >>> low, close = np.array([99.0, 95.0, 90.0]), np.array([100.0, 98.0, 105.0])
    >>> out = period_losses(hours, close + 5, low, close, 2, hours[-1] + np.timedelta64(1, "h"))
    >>> [float(v[0].round(3)) for v in (out.long, out.short)]
    [0.1, 0.1]
    """
    if bars < 1:
        raise InputError("must be at least one bar", column="mpor_hours", value=bars)
    stop = int(np.searchsorted(times, end - (times[1] - times[0]), side="right"))
    count = (stop - 1) // bars
    if count < 1:
        raise InputError(
            f"has {stop} bars by the end, fewer than a period of {bars} and the bar before", column="times"
        )
    first = stop - count * bars
    blocks = (count, bars)
    entry = close[first - 1 : stop - 1 : bars]
    moves = np.diff(np.log(close[first - 1 : stop])).reshape(blocks)
    return PeriodLosses(
        starts=times[first:stop:bars],
        long=np.maximum(1 - low[first:stop].reshape(blocks).min(axis=1) / entry, 0.0),
        short=np.maximum(high[first:stop].reshape(blocks).max(axis=1) / entry - 1, 0.0),
        squares=moves.sum(axis=1) ** 2,
        realised=(moves**2).sum(axis=1),
        end=times[stop - 1] + (times[1] - times[0]),
    )
