"""Forward price of a dated contract from its index and annualised basis, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FloatArray

DAYS_A_YEAR = 365.0


def carried_forward(index: ArrayLike, basis: ArrayLike, days: ArrayLike) -> FloatArray:
    """Forward price index * exp(basis * days / 365), quote units; arguments broadcast, NaN gives NaN.

    Parameters
    ----------
    index
        Index price.
    basis
        Annual rate of carry, continuously compounded, fraction.
    days
        Days to expiry.

    Notes
    -----
    Source: Dederi documentation, RiskControlRules/portfolio_margin, Example Alice.

    Examples
    --------
    >>> round(float(carried_forward(2243.3, 0.08, 20.0)), 2)
    2253.16
    """
    carry = np.multiply(basis, days) / DAYS_A_YEAR
    return np.asarray(np.asarray(index, np.float64) * np.exp(carry))


def annual_basis(forward: ArrayLike, index: ArrayLike, days: ArrayLike) -> FloatArray:
    """Annualised basis at which `index` carries to `forward`: log(forward / index) * 365 / days; NaN at 0 days.

    Examples
    --------
    >>> round(float(annual_basis(2253.15, 2243.3, 20.0)), 4)
    0.08
    """
    left = np.asarray(days, np.float64)
    years = np.where(left > 0, left, np.nan) / DAYS_A_YEAR
    return np.asarray(np.log(np.divide(forward, np.asarray(index, np.float64))) / years)
