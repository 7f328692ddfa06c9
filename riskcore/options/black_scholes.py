"""European options on a spot with cost of carry: Black-Scholes-Merton values and sensitivities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from ..arrays import FloatArray, frozen
from .black76 import value
from .greeks import Greeks, moneyness, spread_of_density
from .tails import density


@dataclass(frozen=True)
class SpotGreeks(Greeks):
    """Greeks by the spot: delta and gamma are those of the spot, theta and rho hold it fixed.

    Parameters
    ----------
    dividend_rho
        Derivative by the dividend yield, per 1.00.
    elasticity
        Percentage change of the value for one of the spot, delta * spot / value; NaN where the value is 0.
    """

    dividend_rho: FloatArray
    elasticity: FloatArray

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dividend_rho", "elasticity"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))


def spot_value(
    spot: ArrayLike,
    strike: ArrayLike,
    time: ArrayLike,
    volatility: ArrayLike,
    right: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
) -> FloatArray:
    """Value of European options on a spot that pays a continuous yield; arguments broadcast.

    Parameters
    ----------
    spot, strike, time, volatility, right
        As in `black76.value`, of which this is the case forward = spot * exp((rate - dividend_yield) * time).
    rate, dividend_yield
        Continuously compounded, per year; for a coin the yield is what it lends at.

    Notes
    -----
    Merton (1973), "Theory of rational option pricing". NaN in any argument gives NaN.

    Examples
    --------
    Haug, Option Pricing Formulas (1998), p. 6:

    >>> round(float(spot_value(100.0, 95.0, 0.5, 0.2, -1, rate=0.1, dividend_yield=0.05)), 4)
    2.4648
    """
    t = np.asarray(time, np.float64)
    forward = np.asarray(spot) * np.exp(np.subtract(rate, dividend_yield) * t)
    return value(forward, strike, t, volatility, right, np.exp(-np.asarray(rate) * t))


def spot_greeks(
    spot: ArrayLike,
    strike: ArrayLike,
    time: ArrayLike,
    volatility: ArrayLike,
    right: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
) -> SpotGreeks:
    """Black-Scholes-Merton value and sensitivities; arguments as in `spot_value`.

    Examples
    --------
    Haug, Option Pricing Formulas (1998), theta per year and per day:

    >>> g = spot_greeks(430.0, 405.0, 1 / 12, 0.2, -1, rate=0.07, dividend_yield=0.05)
    >>> round(float(g.theta), 4), round(float(g.theta_per_day), 4)
    (-31.1924, -0.0855)
    """
    s, k, t, vol, side, r, q = np.broadcast_arrays(spot, strike, time, volatility, right, rate, dividend_yield)
    forward, carried, paid = s * np.exp((r - q) * t), s * np.exp(-q * t), k * np.exp(-r * t)
    at, root = moneyness(forward, k, t, vol), np.sqrt(np.where(t >= 0, t, np.nan))
    worth = value(forward, k, t, vol, side, np.exp(-r * t))
    held, owed = side * carried * ndtr(side * at.d1), side * paid * ndtr(side * at.d2)
    with np.errstate(divide="ignore", invalid="ignore"):
        elasticity = np.where(worth > 0, held / worth, np.nan)
    return SpotGreeks(
        value=worth,
        delta=held / s,
        gamma=spread_of_density(carried / np.square(s), at.d1, at.deviation),
        vega=carried * density(at.d1) * root,
        theta=q * held - r * owed - spread_of_density(0.5 * carried * vol, at.d1, root),
        rho=t * owed,
        dividend_rho=-t * held,
        elasticity=elasticity,
    )
