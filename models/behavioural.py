"""Probability of liquidation when accounts may act: the frozen one times the chance that nobody has acted by then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import BoolArray, FloatArray, IntArray, require, require_shape
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure
from ..riskcore.margin import in_chunks
from .behaviour_kernel import CHANGE_BARS, CHANGE_MOST, PROFIT_MOST, behaviour_pass
from .paths import PathLibrary
from .sample import never_falling

MOVING = ("log_distance", "change_6h", "profit")
"""Columns of the hazards that move along a path; all others are known beforehand."""


@dataclass(frozen=True)
class Standing:
    """Where pools stand, as the hazards see them; amounts in the base asset.

    Parameters
    ----------
    risk
        Standard deviation of headroom over a bar of an hour, shape (n,).
    past
        Value of the present book at the opens 1 .. CHANGE_BARS bars ago less its value now, (n, CHANGE_BARS).
    profit
        Profit since entry, shape (n,).
    """

    risk: FloatArray
    past: FloatArray
    profit: FloatArray

    def take(self, rows: IntArray | BoolArray) -> Standing:
        """These pools, in this order."""
        return Standing(self.risk[rows], self.past[rows], self.profit[rows])


def moving_columns(exposure: Exposure, standing: Standing) -> FloatArray:
    """The columns `MOVING` of pools as they stand now, (n, 3); NaN where the risk or a past price is not known.

    Distance is log(1 + headroom / risk), with no headroom below zero; change is what the last six bars brought, over
    risk * sqrt(6), within 5; profit is over the sum of absolute exposures, within 0.2.

    Examples
    --------
    Headroom 10 at a risk of 5, 2 more than six hours ago, profit 9 on 90:

    >>> exposure = Exposure(np.array([0, 1]), np.array([0]), np.array([90.0]), np.array([10.0]), np.array([11.0]),
    ...     np.array([1.0]))
    >>> standing = Standing(np.array([5.0]), np.full((1, 6), -2.0), np.array([9.0]))
    >>> moving_columns(exposure, standing).round(4).tolist()
    [[1.0986, 0.1633, 0.1]]
    """
    risk = np.where(standing.risk > 0, standing.risk, np.nan)
    gross = np.where(exposure.gross > 0, exposure.gross, np.nan)
    change = -standing.past[:, CHANGE_BARS - 1] / (risk * np.sqrt(CHANGE_BARS))
    return np.column_stack(
        (
            np.log1p(np.maximum(exposure.headroom, 0.0) / risk),
            np.clip(change, -CHANGE_MOST, CHANGE_MOST),
            np.clip(standing.profit / gross, -PROFIT_MOST, PROFIT_MOST),
        )
    )


def behavioural_share(
    exposure: Exposure,
    standing: Standing,
    library: PathLibrary,
    scale: FloatArray,
    fixed: FloatArray,
    slope: FloatArray,
    ends: BoolArray,
    *,
    bandwidth: float = 0.08,
    threads: int = 1,
) -> FloatArray:
    """Share of the frozen probability that is left when accounts may act, for horizons of 1, 2, .. bars.

    On a path, G_j is the degree to which the worst loss by bar j exceeds the headroom (`FilteredHistorical`) and a_j
    the chance of an ending cause within bar j, given the state at its start on this path. The share by bar h is

        sum over paths, j <= h of (G_j - G_{j-1}) * (1 - a_1) .. (1 - a_{j-1}) * (1 - a_j / 2)
        --------------------------------------------------------------------------------------
                               sum over paths of G_h

    so within a bar act and breach are taken to come in either order alike. Only causes that end the risk count: the
    share is never above 1. Who acts is out of it for good; who would add risk is not modelled.

    Parameters
    ----------
    exposure, standing
        The pools, shape n.
    library, scale
        Standardised paths of one-hour bars, and the scale over their horizon at each exposure entry.
    fixed
        Log odds of each cause in each bar but for the columns `MOVING`, (n, bars, causes).
    slope
        Slopes on `MOVING`, (causes, 3).
    ends
        Which causes end the risk, (causes,).
    bandwidth, threads
        As for `breach_probability`.

    Returns
    -------
    FloatArray
        Shape (n, bars). 1 where the pool is in breach already and where no path comes near one; NaN where the state,
        the scale or a price is not known.

    Raises
    ------
    InputError
        Arrays that do not fit, or an exposure to a series the library does not have.
    """
    n, bars, causes = len(exposure), library.horizon, len(ends)
    for name, values, shape in (
        ("fixed", fixed, (n, bars, causes)),
        ("slope", slope, (causes, len(MOVING))),
        ("past", standing.past, (n, CHANGE_BARS)),
        ("scale", scale, exposure.weight.shape),
    ):
        require_shape(values, shape, name)
    if not bandwidth > 0:
        raise InputError("must be positive", column="bandwidth", value=bandwidth)
    require(exposure.series < library.moves.shape[1], exposure.series, "is not one of the library's", "series")
    frozen, acting = np.empty((n, bars)), np.empty((n, bars))
    lowest, highest = library.moves.min(axis=2), library.moves.max(axis=2)

    def run(first: int, last: int) -> None:
        behaviour_pass(
            first,
            last,
            exposure.pointer,
            exposure.series,
            exposure.weight,
            np.ascontiguousarray(scale, np.float64),
            exposure.headroom,
            library.moves,
            lowest,
            highest,
            bandwidth,
            exposure.gross,
            standing.risk,
            np.ascontiguousarray(standing.past, np.float64),
            standing.profit,
            np.ascontiguousarray(fixed, np.float64),
            np.ascontiguousarray(slope, np.float64),
            ends,
            frozen,
            acting,
        )

    in_chunks(run, n, threads)
    share = np.divide(acting, frozen, out=np.ones_like(acting), where=frozen > 0)
    share[~_is_known(exposure, standing, scale, fixed)] = np.nan
    share[exposure.headroom < 0] = 1.0
    return np.minimum(share, 1.0)


def _is_known(exposure: Exposure, standing: Standing, scale: FloatArray, fixed: FloatArray) -> BoolArray:
    known = np.asarray(np.isfinite(moving_columns(exposure, standing)).all(axis=1))
    known &= ~np.isnan(fixed).any(axis=(1, 2))
    known[exposure.pool[~np.isfinite(scale)]] = False
    return known


def behavioural_probability(frozen: FloatArray, share: FloatArray) -> FloatArray:
    """Frozen probabilities times the shares left, (n, horizons), made never to fall with the horizon.

    Nowhere above the frozen ones, if those do not fall with the horizon either; NaN where either is.

    Examples
    --------
    >>> behavioural_probability(np.array([[0.2, 0.4]]), np.array([[1.0, 0.25]])).tolist()
    [[0.2, 0.2]]
    """
    require_shape(share, frozen.shape, "share")
    return never_falling(frozen * share)
