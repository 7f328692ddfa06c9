"""European options on a forward: Black-76 values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from ..arrays import FloatArray

CALL, PUT = 1, -1


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
    Black (1976), "The pricing of commodity contracts". NaN in any argument gives NaN.

    Examples
    --------
    >>> round(float(value(100.0, 100.0, 1.0, 0.2, CALL)), 6)
    7.965567
    """
    f, k, t, vol, side, df = np.broadcast_arrays(forward, strike, time, volatility, right, discount)
    deviation = vol * np.sqrt(t)
    with np.errstate(divide="ignore", invalid="ignore"):
        d1 = np.log(f / k) / deviation + 0.5 * deviation
        alive = side * (f * ndtr(side * d1) - k * ndtr(side * (d1 - deviation)))
    return np.asarray(df * np.where(deviation == 0, np.maximum(side * (f - k), 0.0), alive), dtype=np.float64)
