"""Sensitivities of European options on a forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from ..arrays import FloatArray, frozen
from .black76 import log_ratio, value
from .tails import density


@dataclass(frozen=True)
class Greeks:
    """Value of options and its sensitivities, all arrays of one shape; what is held fixed is said by `greeks`.

    Parameters
    ----------
    value
        In the unit of the forward.
    delta, gamma
        First and second derivative by the forward.
    vega
        By volatility, per 1.00 (not per point).
    theta
        By the passing of time, per year: negative when the option decays.
    rho
        By the rate, per 1.00.
    """

    value: FloatArray
    delta: FloatArray
    gamma: FloatArray
    vega: FloatArray
    theta: FloatArray
    rho: FloatArray

    def __post_init__(self) -> None:
        for name in ("value", "delta", "gamma", "vega", "theta", "rho"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))

    @property
    def theta_per_day(self) -> FloatArray:
        """Theta for one of the 365 days of a year."""
        return self.theta / 365.0


class Moneyness(NamedTuple):
    """Deviation v = volatility * sqrt(time), d1 and d2 = d1 - v of Black's formula, with their limits at v = 0."""

    deviation: FloatArray
    d1: FloatArray
    d2: FloatArray


def moneyness(forward: ArrayLike, strike: ArrayLike, time: ArrayLike, volatility: ArrayLike) -> Moneyness:
    """The arguments of the normal distribution in Black's formula; a negative time or volatility gives NaN.

    Examples
    --------
    >>> [round(float(x), 9) for x in moneyness(100.0, 100.0, 1.0, 0.2)]
    [0.2, 0.1, -0.1]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.where(np.asarray(volatility) >= 0, volatility * np.sqrt(np.asarray(time, np.float64)), np.nan)
        distance = log_ratio(forward, strike)
        scaled = np.where(distance == 0, deviation * 0.0, distance / deviation)
        return Moneyness(deviation, scaled + 0.5 * deviation, scaled - 0.5 * deviation)


def spread_of_density(scale: FloatArray, d1: FloatArray, width: FloatArray) -> FloatArray:
    """Scale * n(d1) / width, which is 0 where the density vanishes even if the width does.

    Examples
    --------
    >>> spread_of_density(np.ones(2), np.array([np.inf, 0.0]), np.array([0.0, 2.0])).round(6).tolist()
    [0.0, 0.199471]
    """
    bell = density(d1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bell == 0, 0.0, scale * bell / width)


def greeks(
    forward: ArrayLike,
    strike: ArrayLike,
    time: ArrayLike,
    volatility: ArrayLike,
    right: ArrayLike,
    discount: ArrayLike = 1.0,
) -> Greeks:
    """Black-76 value and sensitivities; arguments as in `black76.value`, and broadcast.

    Notes
    -----
    The forward convention throughout: delta is discount * N(d1) for a call, per unit of the forward (of the spot where
    the two are equal); theta and rho hold the forward fixed and take the rate as -ln(discount) / time, so rho is
    -time * value. At zero deviation gamma is 0 off the money and infinite at it, where delta is a half.
    NaN in any argument gives NaN; a discount other than 1 at zero time has no rate and gives a NaN theta.

    Examples
    --------
    >>> g = greeks(100.0, 100.0, 1.0, 0.2, 1)
    >>> round(float(g.delta), 6), round(float(g.gamma), 6), round(float(g.vega), 6), round(float(g.theta), 6)
    (0.539828, 0.019848, 39.695255, -3.969525)
    """
    f, k, t, vol, side, df = np.broadcast_arrays(forward, strike, time, volatility, right, discount)
    worth = value(f, k, t, vol, side, df)
    at = moneyness(f, k, t, vol)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(t)
        rate = np.where(df == 1, 0.0, np.where(t > 0, -np.log(df) / t, np.nan))
    return Greeks(
        value=worth,
        delta=df * side * ndtr(side * at.d1),
        gamma=spread_of_density(df / f, at.d1, at.deviation),
        vega=df * f * density(at.d1) * root,
        theta=rate * worth - spread_of_density(0.5 * df * f * vol, at.d1, root),
        rho=-t * worth,
    )
