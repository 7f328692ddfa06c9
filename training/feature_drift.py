"""Whether the features of new rows are distributed as in training: stability index and Kolmogorov-Smirnov."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kstwo

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .reference import Reference, bin_shares

LEAST_SHARE = 1e-4
"""An empty bin counts as this share: the logarithm of nothing is no number."""


@dataclass(frozen=True)
class FeatureDrift:
    """One feature: stability index, largest gap of the distributions and its significance, share without a value."""

    name: str
    psi: float
    ks: float
    ks_p: float
    missing: float


def stability_index(expected: FloatArray, found: FloatArray) -> float:
    """Population stability index: sum over bins of (found - expected) log(found / expected).

    Below 0.1 nothing of note, from 0.25 on a shift, by the convention of credit scoring (Siddiqi, Credit Risk
    Scorecards, 2006). It is the symmetric Kullback-Leibler divergence of the binned distributions.

    Parameters
    ----------
    expected, found
        Shares by bin, each adding to 1; empty bins count as 1e-4.

    Examples
    --------
    From halves to 60:40, .1 log(1.2) - .1 log(.8) = .1 log(1.5):

    >>> round(stability_index(np.array([0.5, 0.5]), np.array([0.6, 0.4])), 6)
    0.040547
    """
    e, f = np.maximum(expected, LEAST_SHARE), np.maximum(found, LEAST_SHARE)
    return float(((f - e) * np.log(f / e)).sum())


def largest_gap(first: FloatArray, second: FloatArray) -> float:
    """Kolmogorov-Smirnov statistic: largest gap between two empirical distributions; NaN where one is empty.

    NaN values are left out.

    Examples
    --------
    >>> largest_gap(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0]))
    0.5
    """
    a, b = np.sort(first[~np.isnan(first)]), np.sort(second[~np.isnan(second)])
    if len(a) == 0 or len(b) == 0:
        return float("nan")
    both = np.concatenate((a, b))
    gap = np.searchsorted(a, both, side="right") / len(a) - np.searchsorted(b, both, side="right") / len(b)
    return float(np.abs(gap).max())


def gap_significance(gap: float, first: int, second: int) -> float:
    """Probability of at least such a gap between samples of these sizes from one distribution; NaN for a NaN gap.

    The sizes are to be numbers of independent observations: days, not rows, where rows share their day's market.
    """
    if np.isnan(gap):
        return float("nan")
    return float(kstwo.sf(gap, max(1, round(first * second / (first + second)))))


def feature_drift(
    reference: Reference, features: FloatArray, names: Sequence[str], days: int
) -> tuple[FeatureDrift, ...]:
    """Drift of every feature of the reference, in its order; a column that is not there counts as missing.

    Parameters
    ----------
    features, names
        New rows, shape (n, n_columns), at least one, and the names of their columns.
    days
        Distinct days of the new rows: the significance of a gap counts days.
    """
    if len(features) == 0:
        raise InputError("hold no row to compare with the training sample", column="features")
    place = {name: k for k, name in enumerate(names)}
    nothing = np.full(len(features), np.nan)
    columns = [features[:, place[name]] if name in place else nothing for name in reference.columns]
    return tuple(_drift(reference, k, column, days) for k, column in enumerate(columns))


def _drift(reference: Reference, k: int, values: FloatArray, days: int) -> FeatureDrift:
    found = bin_shares(values, reference.edges[k])
    gap = largest_gap(reference.points[k], values)
    significance = gap_significance(gap, reference.days, days)
    psi = stability_index(reference.shares[k], found)
    return FeatureDrift(reference.columns[k], psi, gap, significance, float(found[-1]))
