"""The forward of an expiry from put-call parity, where the venue does not tell it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...riskcore.arrays import FloatArray
from .chain import COIN, OptionChain

PAIRS = 5
"""Strikes nearest the money over which the median is taken."""


def parity_forward(strike: FloatArray, call: FloatArray, put: FloatArray, unit: str) -> float:
    """Forward at which put-call parity holds: the median over the strikes where call and put cost most nearly the same.

    In quote units C - P = F - K, in coin C - P = 1 - K / F, both without discounting (H. Stoll, The relationship
    between put and call option prices, J. Finance 24 (1969); in coin both sides are divided by F).

    Parameters
    ----------
    strike, call, put
        One row a strike, prices in `unit`; NaN where there is none.
    unit
        "coin" or "quote".

    Returns
    -------
    float
        NaN where no strike has both prices.

    Examples
    --------
    >>> parity_forward(np.array([100.0]), np.array([0.25]), np.array([0.05]), "coin")
    125.0
    >>> parity_forward(np.array([100.0]), np.array([30.0]), np.array([5.0]), "quote")
    125.0
    """
    gap = call - put
    known = np.flatnonzero(np.isfinite(gap) & ((gap < 1.0) | (unit != COIN)))
    near = known[np.argsort(np.abs(gap[known]), kind="stable")[:PAIRS]]
    if not len(near):
        return float("nan")
    forwards = strike[near] / (1.0 - gap[near]) if unit == COIN else strike[near] + gap[near]
    return float(np.median(forwards))


def with_forwards(chain: OptionChain) -> OptionChain:
    """The chain with the forwards it lacks, marked as inferred.

    A row without one takes the median of the told forwards of its expiry; where no row of an expiry has one it is the
    `parity_forward` of the marks (of the mids where there is no mark). What cannot be inferred stays NaN.
    """
    missing = np.isnan(chain.forward)
    if not missing.any():
        return chain
    forward = chain.forward.copy()
    for i, told in enumerate(chain.expiry_forward):
        rows = slice(chain.pointer[i], chain.pointer[i + 1])
        fair = told if np.isfinite(told) else _by_parity(chain, rows)
        forward[rows] = np.where(missing[rows], fair, forward[rows])
    return replace(chain, forward=forward, forward_inferred=missing & np.isfinite(forward))


def _by_parity(chain: OptionChain, rows: slice) -> float:
    bid, ask, mark = chain.bid[rows], chain.ask[rows], chain.mark[rows]
    mid = np.where((bid > 0) & (bid <= ask), 0.5 * (bid + ask), np.nan)
    price = np.where(np.isnan(mark), mid, mark)
    strike, place = np.unique(chain.strike[rows], return_inverse=True)
    sides = np.full((2, len(strike)), np.nan)
    sides[(chain.right[rows] < 0).astype(np.int64), place] = price
    return parity_forward(strike, sides[0], sides[1], chain.unit)
