"""How the ISDA SIMM adds weighted sensitivities: within buckets, across them, and the curvature of options.

Formulas of the ISDA SIMM methodology (version 2.6, sections 7 to 12).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ..arrays import BoolArray, FloatArray, IntArray
from .simm_parameters import MILLION, RESIDUAL


@dataclass(frozen=True)
class WeightedSensitivities:
    """Weighted sensitivities of one risk class and measure, ready to be added.

    Parameters
    ----------
    amount
        WS (or CVR for curvature) of each risk factor; shape (n,).
    bucket
        Place of its bucket in `names`; shape (n,).
    names
        Buckets; that called `RESIDUAL` is added without diversification.
    within
        rho of each pair of factors, with the share f of their concentrations; only pairs of one bucket are read;
        shape (n, n).
    across
        gamma of each pair of buckets, with the share g; shape (n_buckets, n_buckets).
    """

    amount: FloatArray
    bucket: IntArray
    names: tuple[str, ...]
    within: FloatArray
    across: FloatArray

    @property
    def residual(self) -> BoolArray:
        """Which bucket is the residual one."""
        return np.array([name == RESIDUAL for name in self.names], dtype=np.bool_)


@dataclass(frozen=True)
class Aggregate:
    """A margin and what each bucket would need alone.

    Parameters
    ----------
    margin
        Of all buckets.
    names, bucket_margin
        Buckets and their K; shape (n_buckets,).
    """

    margin: float
    names: tuple[str, ...]
    bucket_margin: FloatArray


def concentration(sums: FloatArray, thresholds: FloatArray) -> FloatArray:
    """max(1, sqrt(|sum| / threshold)), thresholds in millions.

    Examples
    --------
    >>> concentration(np.array([4e6, -9e6, 1.0]), np.array([1.0, 1.0, 1.0])).tolist()
    [2.0, 3.0, 1.0]
    """
    return np.maximum(1.0, np.sqrt(np.abs(sums) / (thresholds * MILLION)))


def concentration_share(factor: FloatArray) -> FloatArray:
    """The smaller over the larger concentration factor of each pair; shape (n, n)."""
    return np.minimum.outer(factor, factor) / np.maximum.outer(factor, factor)


def quadratic(amount: FloatArray, correlation: FloatArray) -> float:
    """Sum over all pairs of correlation times both amounts, never below zero, added in a fixed order.

    Examples
    --------
    >>> quadratic(np.array([3.0, -3.0]), np.ones((2, 2))), quadratic(np.array([3.0, 4.0]), np.eye(2))
    (0.0, 25.0)
    """
    return max(float(np.sum(np.multiply.outer(amount, amount) * correlation)), 0.0)


def aggregate(weighted: WeightedSensitivities) -> Aggregate:
    """Delta, vega or base correlation margin.

    K of a bucket is the root of its quadratic form, S the sum of its amounts limited to [-K, K]; the margin is
    sqrt(sum of K^2 + sum of gamma S S over pairs) plus the K of the residual bucket.
    """
    k, s = _buckets(weighted, weighted.within)
    open_ = ~weighted.residual
    margin = _across(k[open_], s[open_], weighted.across[np.ix_(open_, open_)])
    return Aggregate(margin + float(np.sum(k[~open_])), weighted.names, k)


def aggregate_curvature(weighted: WeightedSensitivities) -> Aggregate:
    """Curvature margin: max(0, sum of CVR + lambda times the quadratic form with squared correlations).

    theta = min(0, sum of CVR / sum of |CVR|), lambda = (N^-1(0.995)^2 - 1)(1 + theta) - theta; the residual bucket has
    its own theta and lambda.
    """
    k, s = _buckets(weighted, weighted.within**2)
    residual, margin = weighted.residual, 0.0
    for group in (~residual, residual):
        chosen = group[weighted.bucket]
        if chosen.any():
            spread = _across(k[group], s[group], weighted.across[np.ix_(group, group)] ** 2)
            margin += _curved(weighted.amount[chosen], spread)
    return Aggregate(margin, weighted.names, k)


def curvature_multiplier(theta: float) -> float:
    """Lambda of the curvature margin.

    Examples
    --------
    >>> round(curvature_multiplier(0.0), 6), curvature_multiplier(-1.0)
    (5.634897, 1.0)
    """
    return float((ndtri(0.995) ** 2 - 1) * (1 + theta) - theta)


def scaling_days(tenor: str) -> float:
    """Days of an expiry: weeks of seven, months and years of a year of 365.

    Examples
    --------
    >>> scaling_days("2w"), scaling_days("6m"), scaling_days("5y")
    (14.0, 182.5, 1825.0)
    """
    return int(tenor[:-1]) * {"w": 7.0, "m": 365 / 12, "y": 365.0}[tenor[-1]]


def _buckets(weighted: WeightedSensitivities, within: FloatArray) -> tuple[FloatArray, FloatArray]:
    k, s = np.zeros(len(weighted.names)), np.zeros(len(weighted.names))
    for place in np.unique(weighted.bucket):
        rows = np.flatnonzero(weighted.bucket == place)
        k[place] = np.sqrt(quadratic(weighted.amount[rows], within[np.ix_(rows, rows)]))
        s[place] = np.clip(np.sum(weighted.amount[rows]), -k[place], k[place])
    return k, s


def _across(k: FloatArray, s: FloatArray, gamma: FloatArray) -> float:
    pairs = np.multiply.outer(s, s) * np.where(np.eye(len(s), dtype=bool), 0.0, gamma)
    return float(np.sqrt(max(float(np.sum(k**2)) + float(np.sum(pairs)), 0.0)))


def _curved(amount: FloatArray, spread: float) -> float:
    total, gross = float(np.sum(amount)), float(np.sum(np.abs(amount)))
    theta = min(total / gross, 0.0) if gross > 0 else 0.0
    return max(total + curvature_multiplier(theta) * spread, 0.0)
