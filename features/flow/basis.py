"""Basis and premium: what a perpetual or a future costs over its reference, a year, and against its own past."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import lagged
from .carry import basis
from .funding import YEAR_HOURS


def premium(price: FloatArray, reference: FloatArray) -> FloatArray:
    """Price over its reference, less one, as venues tell it; positive where it trades above.

    Examples
    --------
    >>> premium(np.array([[101.0]]), np.array([[100.0]])).round(6).tolist()
    [[0.01]]
    """
    return price / reference - 1.0


def annualised_premium(price: FloatArray, reference: FloatArray, funding_hours: float = 8.0) -> FloatArray:
    """What a perpetual's premium would cost a year if it stayed: it is paid once in `funding_hours`.

    Eight hours is the time over which the funding formulas of Binance, Bybit, OKX and Hyperliquid spread the premium,
    at whatever interval they charge.

    Examples
    --------
    0.01% above spot is 10.95% a year.

    >>> annualised_premium(np.array([[100.01]]), np.array([[100.0]])).round(6).tolist()
    [[0.1095]]
    """
    return premium(price, reference) * (YEAR_HOURS / funding_hours)


def annualised_basis(price: FloatArray, reference: FloatArray, years: FloatArray) -> FloatArray:
    """Basis of a dated future, a year: log(price / reference) / time to expiry.

    Parameters
    ----------
    price, reference
        Of the future and of what it is on, shape (T, n).
    years
        Time to expiry, years, shape (T, n) or one number.

    Returns
    -------
    FloatArray
        Shape (T, n); NaN from expiry on.

    Examples
    --------
    >>> annualised_basis(np.array([[102.5]]), np.array([[100.0]]), np.array([[0.25]])).round(4).tolist()
    [[0.0988]]
    """
    return basis(price, reference) / np.where(years > 0.0, years, np.nan)


def basis_change(price: FloatArray, reference: FloatArray, window: int) -> FloatArray:
    """Change of the basis over a window of bars, log units.

    Examples
    --------
    >>> price = np.array([[101.0], [100.0]])
    >>> basis_change(price, np.full((2, 1), 100.0), 1)[-1].round(6).tolist()
    [-0.00995]
    """
    now = basis(price, reference)
    return now - lagged(now, window)
