"""How the losses of several risk units add up: correlation of their moves, offsets within a scenario."""

from __future__ import annotations

from itertools import product

import numpy as np

from ..arrays import FloatArray, IntArray

MOST_SIDES = 10
"""Units that lose on both sides and are tried on each; further, smaller ones are added in full."""


def netted_losses(down: FloatArray, up: FloatArray, correlation: FloatArray) -> tuple[float, FloatArray, IntArray]:
    """Loss of several risk units together: sqrt(x' R x), x the loss of each signed by the side on which it is made.

    One pool; `netting_kernel` does the same for many, to the rounding of the sums.

    Two units that lose on the same side stand with +R_ij and on opposite sides with -R_ij, so a long nets against a
    short of a correlated unit. A unit that loses on both sides (short options, a loss by volatility alone) is taken on
    the side that makes the whole worst.

    Parameters
    ----------
    down, up
        Worst loss of each unit over the scenarios that do not rise, and over those that do not fall; base asset, not
        negative.
    correlation
        Of the moves of the units, R; shape (n, n).

    Returns
    -------
    The loss; each unit's contribution, adding up to it (Euler); the side of each, -1 down, 1 up, 0 where it loses
    on neither.

    Notes
    -----
    With more than ten units that lose on both sides, the smallest beyond are added in full: by the triangle inequality
    an upper bound.

    Examples
    --------
    Long one unit and short another, losing 3 and 4; the sides are down and up:

    >>> rho = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> loss, parts, side = netted_losses(np.array([3.0, 0.0]), np.array([0.0, 4.0]), rho)
    >>> round(loss, 6), parts.round(6).tolist(), side.tolist()
    (3.605551, [0.83205, 2.773501], [-1, 1])
    """
    worse = np.maximum(down, up)
    both = np.flatnonzero((down > 0) & (up > 0))
    both = both[np.argsort(-worse[both], kind="stable")]
    tried, in_full = both[:MOST_SIDES], both[MOST_SIDES:]
    signed = np.where(up > down, up, -down)
    signed[in_full] = 0.0
    best, chosen = -np.inf, signed
    for sides in product((False, True), repeat=len(tried)):
        candidate = signed.copy()
        candidate[tried] = np.where(sides, up[tried], -down[tried])
        square = float((correlation * np.multiply.outer(candidate, candidate)).sum())
        if square > best:
            best, chosen = square, candidate
    loss = float(np.sqrt(max(best, 0.0)))
    parts = chosen * (correlation * chosen).sum(axis=1) / loss if loss > 0 else np.zeros(len(down))
    parts[in_full] = worse[in_full]
    side = np.where(chosen != 0, np.sign(chosen), np.where(worse > 0, np.where(up > down, 1, -1), 0)).astype(np.int64)
    return loss + float(worse[in_full].sum()), parts, side


def offset_losses(profit: FloatArray, share: FloatArray, pool: IntArray) -> tuple[FloatArray, IntArray]:
    """What each unit adds to the loss of its pool in the worst scenario of all its units together, and which that is.

    In each scenario losses count in full and profits by their unit's share; the parts are 0 where no scenario loses.

    Parameters
    ----------
    profit
        Of each row (pool and unit) in each scenario, shape (n_rows, n_scenarios).
    share
        Share of each row's profit that counts.
    pool
        Pool of each row, 0 .. n_pools - 1.

    Returns
    -------
    Parts and scenarios, shape (n_rows,); the rows of one pool have the same scenario, the first of equally bad ones.

    Examples
    --------
    >>> parts, scenario = offset_losses(np.array([[-10.0, 8.0], [5.0, -6.0]]), np.array([0.9, 0.9]), np.array([0, 0]))
    >>> parts.tolist(), scenario.tolist()
    ([10.0, -4.5], [0, 0])
    """
    counted = np.where(profit < 0, profit, share[:, None] * profit)
    total = np.zeros((int(pool.max(initial=-1)) + 1, profit.shape[1]))
    np.add.at(total, pool, counted)
    worst = np.argmin(total, axis=1)[pool]
    loses = total[pool, worst] < 0
    return np.where(loses, -counted[np.arange(len(profit)), worst], 0.0), worst
