"""Measures of single expiries brought to constant maturities, and what lies between two of them."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray

DAYS = 365.0


def between(years: FloatArray, values: FloatArray, at: float) -> float:
    """Linear interpolation over time to expiry; never beyond the expiries there are.

    Parameters
    ----------
    years
        Rising, shape (m,).
    values
        Shape (m,); an expiry with NaN is left out.
    at
        Years wanted.

    Returns
    -------
    float
        NaN where no two known expiries enclose `at` (one that is it will do).

    Examples
    --------
    >>> years, total = np.array([0.1, 0.2, 0.3]), np.array([0.02, np.nan, 0.06])
    >>> round(between(years, total, 0.2), 6), between(years, total, 0.05)
    (0.04, nan)
    """
    known = np.isfinite(values)
    x, y = years[known], values[known]
    if not len(x) or at < x[0] or at > x[-1]:
        return float("nan")
    return float(np.interp(at, x, y))


def constant_maturity(years: FloatArray, volatility: FloatArray, days: float) -> float:
    """Volatility at a constant maturity: total variance is linear between the two expiries around it.

    Source: Cboe Volatility Index (white paper, 2019); it assumes the forward variance between the two is even.

    Parameters
    ----------
    years, volatility
        By rising expiry, shape (m,); NaN where an expiry has none.
    days
        The maturity.

    Returns
    -------
    float
        NaN where the maturity lies outside the known expiries.

    Examples
    --------
    Total variances 0.01 and 0.05, half way 0.03 over 0.15 years.

    >>> round(constant_maturity(np.array([0.1, 0.2]), np.sqrt([0.1, 0.25]), 0.15 * 365), 6)
    0.447214
    """
    total = between(years, volatility * volatility * years, days / DAYS)
    return float(np.sqrt(total * DAYS / days))


def forward_variance(near: float, far: float, near_days: float, far_days: float) -> float:
    """Variance per year between two maturities: (far^2 T2 - near^2 T1) / (T2 - T1).

    Negative where the total variance falls with maturity, which is a calendar arbitrage.

    Examples
    --------
    >>> round(forward_variance(0.5, 0.6, 30.0, 90.0), 6)
    0.415
    """
    return (far * far * far_days - near * near * near_days) / (far_days - near_days)
