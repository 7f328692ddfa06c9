"""What OKX's portfolio margin makes of the parts of a risk unit: their combination and the minimum charge by tiers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, require
from ..errors import InputError


def marginal_tier_charge(raw: ArrayLike, caps: ArrayLike, multipliers: ArrayLike) -> FloatArray:
    """Minimum charge (MR7) of risk units: each slice of the raw charge at the multiplier of its tier.

    Parameters
    ----------
    raw
        Charge before scaling, USD, not negative; any shape.
    caps
        Upper bound of each tier, rising, USD; what is above the last is charged at the last multiplier. Shape (k,).
    multipliers
        Multiplier of each tier; shape (k,), or those of each charge in the last axis.

    Raises
    ------
    InputError
        Tiers that do not rise, a count that differs, a negative or NaN charge.

    Notes
    -----
    Source: OKX help centre 4417291853837, scaling of the liquidation cost module by tiers.

    Examples
    --------
    OKX's own: 30,000 USD is 10,000 once and 20,000 twice.

    >>> float(marginal_tier_charge(30_000.0, [10_000, 70_000, 170_000], [1, 2, 4]))
    50000.0
    """
    amount, cap, times = (np.asarray(values, np.float64) for values in (raw, caps, multipliers))
    if cap.ndim != 1 or cap.shape != times.shape[-1:] or len(cap) == 0:
        raise InputError(f"has {times.size} multipliers for {cap.size} caps", column="multipliers")
    floors = np.concatenate(([0.0], cap[:-1]))
    require(cap > floors, cap, "caps of tiers must rise from 0", "caps")
    require((times > 0) & np.isfinite(times), times, "must be positive", "multipliers")
    if not (amount >= 0).all():
        raise InputError("must not be negative", column="raw", value=float(amount[~(amount >= 0)][0]))
    ends = np.append(cap[:-1], np.inf)
    slices = np.clip(amount[..., None], floors, ends) - floors
    return np.asarray((slices * times).sum(axis=-1))


def unit_margin(
    spot: ArrayLike,
    decay: ArrayLike = 0.0,
    vega: ArrayLike = 0.0,
    basis: ArrayLike = 0.0,
    rate: ArrayLike = 0.0,
    extreme: ArrayLike = 0.0,
) -> FloatArray:
    """Margin of risk units before the minimum charge: max(MR1, MR2, MR6) + MR3 + MR4 + MR5; arguments broadcast.

    Parameters
    ----------
    spot, decay, vega, basis, rate, extreme
        MR1 spot shock, MR2 theta decay, MR3 vega term structure, MR4 basis, MR5 interest rate, MR6 extreme move; USD.

    Notes
    -----
    Source: OKX help centre 4417291853837, illustration.

    Examples
    --------
    >>> float(unit_margin(30_000.0, 2_000.0, vega=4_000.0, basis=5_000.0, rate=1_000.0, extreme=20_000.0))
    40000.0
    """
    parts = (np.asarray(part, np.float64) for part in (spot, decay, vega, basis, rate, extreme))
    mr1, mr2, mr3, mr4, mr5, mr6 = parts
    return np.asarray(np.maximum(np.maximum(mr1, mr2), mr6) + mr3 + mr4 + mr5)


def unit_maintenance(margin: ArrayLike, charge: ArrayLike) -> FloatArray:
    """Maintenance margin of risk units: the greater of their margin and the minimum charge MR7 after its tiers.

    Examples
    --------
    >>> float(unit_maintenance(40_000.0, 50_000.0))
    50000.0
    """
    return np.maximum(np.asarray(margin, np.float64), np.asarray(charge, np.float64))


def currency_hedges(cash_delta: ArrayLike, pairs: ArrayLike) -> FloatArray:
    """Notional hedged across each pair of currencies (MR9), pair after pair, each using up what it hedges.

    Parameters
    ----------
    cash_delta
        Cash delta of risk units by currency, USD; shape (n_units, n_currencies).
    pairs
        Positions of the two currencies of each pair, in order; shape (n_pairs, 2).

    Notes
    -----
    Source: OKX help centre, portfolio margin mode with merged risk units: min(|USDT delta|, |USD delta|) where the two
    have opposite signs, else nothing. The order of the pairs is from memory.

    Examples
    --------
    Long 100 in USDT, short 80 in USD and 30 in USDC; USDT against USD first, then USDT against USDC:

    >>> currency_hedges([[100.0, -30.0, -80.0]], [[0, 2], [0, 1], [1, 2]]).tolist()
    [[80.0, 20.0, 0.0]]
    """
    left = np.array(cash_delta, np.float64, ndmin=2, copy=True)
    hedged = np.zeros((len(left), len(np.asarray(pairs))))
    for place, (one, other) in enumerate(np.asarray(pairs, np.int64)):
        opposite = left[:, one] * left[:, other] < 0
        amount = np.where(opposite, np.minimum(np.abs(left[:, one]), np.abs(left[:, other])), 0.0)
        hedged[:, place] = amount
        for side in (one, other):
            left[:, side] -= np.sign(left[:, side]) * amount
    return hedged


def depeg_charge(hedged: ArrayLike, caps: ArrayLike, rates: ArrayLike, distance: ArrayLike = 0.0) -> FloatArray:
    """Depeg charge (MR9) on notionals hedged across two currencies: each slice at the rate of its tier.

    Parameters
    ----------
    hedged
        USD, not negative; any shape.
    caps, rates
        Upper bound of each tier and its least rate; what is above the last cap is charged at the last rate.
    distance
        How far the price of one currency in the other is from 1; a tier's rate is never below it. Broadcasts with
        `hedged`.

    Notes
    -----
    Source: OKX help centre: the factor of a tier depends on the index price and has a least value (0.5% in the first
    tier, 1% in the second). That it is otherwise the distance from the peg is from memory.

    Examples
    --------
    >>> float(depeg_charge(3e6, [1e6, 5e6], [0.005, 0.01])), float(depeg_charge(1e6, [1e6], [0.005], distance=0.03))
    (25000.0, 30000.0)
    """
    away = np.asarray(distance, np.float64)
    return marginal_tier_charge(hedged, caps, np.maximum(np.asarray(rates, np.float64), away[..., None]))


def borrowing_margin(borrowed: ArrayLike, caps: ArrayLike, rates: ArrayLike) -> FloatArray:
    """Borrowing margin (MR8): the rate of the tier a loan has reached, on the whole loan.

    Parameters
    ----------
    borrowed
        USD of each currency borrowed, not negative; any shape.
    caps, rates
        Upper bound of each tier, rising, and its rate; a loan above the last cap takes the last rate.

    Examples
    --------
    >>> borrowing_margin([50_000.0, 150_000.0], [100_000, 200_000], [0.02, 0.03]).tolist()
    [1000.0, 4500.0]
    """
    amount, cap, rate = (np.asarray(values, np.float64) for values in (borrowed, caps, rates))
    if not (amount >= 0).all():
        raise InputError("must not be negative", column="borrowed", value=float(amount[~(amount >= 0)][0]))
    tier = np.minimum(np.searchsorted(cap, amount, side="left"), len(cap) - 1)
    return np.asarray(amount * rate[tier])
