"""The volatility at which a European option is worth its price."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from ..arrays import BoolArray, FloatArray, require
from ..errors import InputError
from .black76 import log_ratio, time_value
from .tails import density

STEPS = 100
CLOSE = 4e-16


def implied_volatility(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    time: ArrayLike,
    right: ArrayLike,
    discount: ArrayLike = 1.0,
    *,
    outside: str = "raise",
) -> FloatArray:
    """Black-76 volatility of option prices, per year; arguments broadcast.

    Parameters
    ----------
    price
        In the unit of the forward, discounted.
    forward, strike, time, right, discount
        As in `black76.value`; forward, strike, time and discount positive.
    outside
        What to do with a price that no volatility gives: "raise" an InputError that names the row, or put "nan".

    Returns
    -------
    FloatArray
        0 where the price is what exercise at the forward pays, infinite where it is the most an option can be worth
        (the forward of a call, the strike of a put, discounted). A NaN price gives NaN.

    Raises
    ------
    InputError
        A price outside the no-arbitrage bounds (with outside="raise"), a forward, strike, time or discount that is
        not positive and finite, a right other than 1 and -1.

    Notes
    -----
    Newton's steps on the logarithm of the time value (of its complement in the upper half) against the logarithm of
    the deviation, kept inside a bracket that halves. The time value of an option deep in the money is the difference
    of price and intrinsic value, so its volatility is known no better than that difference.

    Examples
    --------
    >>> round(float(implied_volatility(7.965567455405804, 100.0, 100.0, 1.0, 1)), 12)
    0.2
    """
    columns = np.broadcast_arrays(price, forward, strike, time, right, discount)
    p, f, k, t, side, df = (np.atleast_1d(np.asarray(column, np.float64)) for column in columns)
    require_contract(f.ravel(), k.ravel(), t.ravel(), side.ravel(), df.ravel())
    most = np.minimum(f, k)
    left = p / df - np.maximum(side * (f - k), 0.0)
    inside = (left >= 0) & (left <= most) | np.isnan(p)
    if outside == "raise":
        require(inside.ravel(), p.ravel(), "is outside what any volatility can give", "price")
    elif outside != "nan":
        raise InputError("must be raise or nan", column="outside", value=outside)
    solvable = inside & (left > 0) & (left < most)
    found = np.select([left == 0, left == most, ~solvable], [0.0, np.inf, np.nan])
    found[solvable] = solve(left[solvable], f[solvable], k[solvable])
    return np.asarray(np.reshape(found / np.sqrt(t), columns[0].shape), dtype=np.float64)


def require_contract(
    forward: FloatArray, strike: FloatArray, time: FloatArray, right: FloatArray, discount: FloatArray
) -> None:
    """Raise InputError naming the first row that is no live option."""
    columns = {"forward": forward, "strike": strike, "time": time, "discount": discount}
    for name, column in columns.items():
        require((column > 0) & np.isfinite(column), column, "must be positive", name)
    require(np.abs(right) == 1, right, "must be 1 (call) or -1 (put)", "right")


def solve(target: FloatArray, forward: FloatArray, strike: FloatArray) -> FloatArray:
    """Deviation at which the time value is the target, which lies between 0 and the lesser of forward and strike.

    Examples
    --------
    >>> target = time_value([100.0], [110.0], [0.2])
    >>> round(float(solve(target, np.array([100.0]), np.array([110.0]))[0]), 12)
    0.2
    """
    distance = np.abs(log_ratio(forward, strike))
    most = np.minimum(forward, strike)
    upper = target > 0.5 * most
    low = np.maximum(distance / 40.0, 2.5 * target / most)
    high = 40.0 + np.sqrt(1600.0 + 2.0 * distance)
    guess = np.clip(np.sqrt(2.0 * distance), low, high)
    goal = np.log(np.where(upper, most - target, target))
    still = np.arange(len(target))
    for _ in range(STEPS):
        rows = (guess[still], forward[still], strike[still], distance[still], upper[still], goal[still])
        guess[still], low[still], high[still], settled = stepped(*missed(*rows), guess[still], low[still], high[still])
        still = still[~settled]
        if not len(still):
            break
    return np.asarray(guess)


def stepped(
    miss: FloatArray, slope: FloatArray, guess: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Next guess, bracket, and whether the guess has come to rest."""
    low, high = np.where(miss <= 0, guess, low), np.where(miss >= 0, guess, high)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        newton = guess * np.exp(-miss / slope)
    step = np.where((newton > low) & (newton < high), newton, np.sqrt(low * high))
    settled = (miss == 0) | (np.abs(step - guess) <= CLOSE * guess)
    return np.where(miss == 0, guess, step), low, high, settled


def missed(
    deviation: FloatArray,
    forward: FloatArray,
    strike: FloatArray,
    distance: FloatArray,
    upper: BoolArray,
    goal: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """How far the logarithm of the time value is above its goal, and its slope by the logarithm of the deviation.

    In the upper half it is the complement to the most an option can be worth that is looked at, with its sign turned.
    """
    less, more = np.minimum(forward, strike), np.maximum(forward, strike)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        d1 = -distance / deviation + 0.5 * deviation
        worth = time_value(forward, strike, deviation)
        short = less * ndtr(-d1) + more * ndtr(d1 - deviation)
        looked = np.where(upper, short, worth)
        miss = np.where(upper, goal - np.log(looked), np.log(looked) - goal)
        return miss, deviation * less * density(d1) / looked
