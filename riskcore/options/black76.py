"""European options on a forward: Black-76 values, right to rounding from the money to the last representable tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from ..arrays import FloatArray
from .tails import density, mills_gap

CALL, PUT = 1, -1
CANCELS = 1e-3


def value(
    forward: ArrayLike,
    strike: ArrayLike,
    time: ArrayLike,
    volatility: ArrayLike,
    right: ArrayLike,
    discount: ArrayLike = 1.0,
) -> FloatArray:
    """Value of European options, in the unit of the forward; arguments broadcast.

    Parameters
    ----------
    forward, strike
        Forward price for the expiry and strike; positive.
    time
        Years to expiry; at 0 the value is what exercise pays.
    volatility
        Annual volatility, a fraction; at 0 the forward is certain.
    right
        CALL (1) or PUT (-1).
    discount
        Price now of one unit paid at expiry.

    Notes
    -----
    Black (1976), "The pricing of commodity contracts". NaN in any argument gives NaN, and so do a negative time,
    volatility, forward or strike: an `OptionTable` refuses those by row.
    The value is what exercise at the forward would pay plus the `time_value`, so that neither a deep tail nor a small
    deviation loses digits to the subtraction in Black's formula.

    Examples
    --------
    >>> round(float(value(100.0, 100.0, 1.0, 0.2, CALL)), 6)
    7.965567
    >>> f"{value(100.0, 200.0, 0.1, 0.1, CALL):.10g}"  # 22 deviations out of the money
    '1.729742303e-107'
    """
    f, k, t, vol, side, df = np.broadcast_arrays(forward, strike, time, volatility, right, discount)
    with np.errstate(invalid="ignore"):
        deviation = np.where(vol >= 0, vol * np.sqrt(t), np.nan)
    return np.asarray(df * (np.maximum(side * (f - k), 0.0) + time_value(f, k, deviation)), dtype=np.float64)


def time_value(forward: ArrayLike, strike: ArrayLike, deviation: ArrayLike) -> FloatArray:
    """Value of whichever of call and put is out of the money, undiscounted; both have it above exercise.

    Parameters
    ----------
    forward, strike
        Positive.
    deviation
        Volatility times the square root of the years to expiry.

    Notes
    -----
    With a the lesser and b the greater of forward and strike, d1 = ln(a/b)/v + v/2 and d2 = d1 - v, the value is
    a N(d1) - b N(d2). Where the two nearly cancel it is a n(d1) (Y(-d1) - Y(-d2)) with Y the Mills ratio, since
    a n(d1) = b n(d2); "nearly" grows with the square of d1, as the rounding of N does.

    Examples
    --------
    >>> round(float(time_value(100.0, 110.0, 0.2)), 6), round(float(time_value(110.0, 100.0, 0.2)), 6)
    (4.292011, 4.292011)
    """
    f, k, v = (np.asarray(a, np.float64) for a in np.broadcast_arrays(forward, strike, deviation))
    less, more = np.where(np.minimum(f, k) >= 0, np.minimum(f, k), np.nan), np.maximum(f, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        d1 = log_ratio(less, more) / v + 0.5 * v
        held = less * ndtr(d1)
        plain = np.asarray(held - more * ndtr(d1 - v))
        thin = np.flatnonzero(~(plain > CANCELS * (1.0 + np.square(np.minimum(d1, 0.0))) * held) & (v > 0))
        if thin.size:
            d, width, lesser = (column.ravel()[thin] for column in (d1, v, less))
            plain.flat[thin] = lesser * density(d) * mills_gap(-d, width)
    return np.where((v == 0) & (less > 0), 0.0, plain)


def log_ratio(numerator: ArrayLike, denominator: ArrayLike) -> FloatArray:
    """Logarithm of a ratio of positive numbers, to full precision where they are nearly equal.

    Examples
    --------
    >>> float(log_ratio(1.0 + 2.0**-50, 1.0)) * 2.0**50
    0.9999999999999996
    """
    up, down = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = up / down
        return np.where(np.abs(ratio - 1.0) < 0.5, np.log1p((up - down) / down), np.log(ratio))
