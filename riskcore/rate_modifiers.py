"""Modifiers of a margin rate: by leverage, size, open interest and skew. Rates are fractions of notional."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FloatArray


def leveraged_rate(rate: ArrayLike, leverage: ArrayLike) -> FloatArray:
    """Rate of a venue that asks the instrument's rate of notional / leverage, not of notional.

    Source: the leveraged margin model of nautilus (documentation, accounting): margin = notional / leverage * rate.

    Examples
    --------
    >>> float(leveraged_rate(0.03, 50.0)) * 1_000_000
    600.0
    """
    return np.asarray(np.asarray(rate, np.float64) / np.asarray(leverage, np.float64))


def leverage_rate(rate: ArrayLike, leverage: ArrayLike) -> FloatArray:
    """Initial rate of a position with a chosen leverage: max(1 / leverage, rate).

    A leverage of NaN leaves the rate; a rate of NaN gives NaN.

    Examples
    --------
    >>> leverage_rate(0.02, [10.0, 100.0, np.nan]).tolist()
    [0.1, 0.02, 0.02]
    """
    base, chosen = np.asarray(rate, np.float64), 1.0 / np.asarray(leverage, np.float64)
    return np.where(np.isnan(chosen), base, np.maximum(base, chosen))


def open_interest_rate(base: ArrayLike, open_interest: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> FloatArray:
    """Initial rate that rises linearly from `base` to 1 while open interest goes from `lower` to `upper`.

    base + (1 - base) * (open interest - lower) / (upper - lower), clamped to [base, 1]; `base` where upper <= lower,
    which is how dYdX turns it off. Source: dYdX v4 open-interest-scaled initial margin fraction, without its integers.

    Examples
    --------
    >>> open_interest_rate(0.05, [10e6, 37.5e6, 60e6], 25e6, 50e6).tolist()
    [0.05, 0.525, 1.0]
    """
    rate, low, high = (np.asarray(values, np.float64) for values in (base, lower, upper))
    on = high > low
    share = np.clip((np.asarray(open_interest, np.float64) - low) / np.where(on, high - low, 1.0), 0.0, 1.0)
    return np.asarray(np.where(on, rate + (1.0 - rate) * share, rate))


def skew_rate(size: ArrayLike, skew_scale: ArrayLike, fraction: ArrayLike, minimum: ArrayLike) -> FloatArray:
    """Initial rate of a position told against the depth of its market: |size| / skew_scale * fraction + minimum.

    `size` and `skew_scale` are in underlying units. Source: Synthetix v3 perps, initial margin ratio.

    Examples
    --------
    >>> float(skew_rate(-50.0, 10_000.0, 2.0, 0.01))
    0.02
    """
    held, scale, slope = (np.asarray(values, np.float64) for values in (size, skew_scale, fraction))
    return np.asarray(np.abs(held) / scale * slope + np.asarray(minimum, np.float64))


def weighted_profit(profit: ArrayLike, positive: ArrayLike, negative: ArrayLike = 1.0) -> FloatArray:
    """Unrealised profit as it counts: profits at the weight `positive`, losses at `negative`.

    The same for a holding: an asset at its asset weight, a debt at its liability weight (Binance's min(v, v * rate) has
    a liability weight of 1).

    Examples
    --------
    >>> weighted_profit([100.0, -100.0], 0.0).tolist()
    [0.0, -100.0]
    """
    amount = np.asarray(profit, np.float64)
    return np.asarray(amount * np.where(amount > 0, positive, negative))
