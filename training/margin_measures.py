"""What a margin path was worth against the losses that came: coverage, loss and procyclicality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .coverage_tests import Zone, basel_zone, christoffersen, kupiec, pinball

PROCYCLICALITY_DAYS = (1, 5, 30)


@dataclass(frozen=True)
class MarginMeasures:
    """Measures of one margin path. NaN where the path is too short for one.

    Parameters
    ----------
    n_test, violations, coverage
        Periods with a loss and a margin, those in which the loss was larger, and the share of the others.
    kupiec_p, independence_p, basel_zone
        Tests of coverage, see `coverage_tests`.
    mean_margin
        Mean of the path, fraction of notional.
    pinball
        Mean quantile score.
    mean_excess
        Mean of loss - margin over the violations; 0 without any.
    rise_1d, rise_5d, rise_30d
        Largest relative change of the path over that many days.
    es95_rise_5d
        Mean of the largest 5% of the relative changes over 5 days.
    peak_to_trough
        Largest margin over smallest, minus 1.
    """

    n_test: int
    violations: int
    coverage: float
    kupiec_p: float
    independence_p: float
    basel_zone: Zone
    mean_margin: float
    pinball: float
    mean_excess: float
    rise_1d: float
    rise_5d: float
    rise_30d: float
    es95_rise_5d: float
    peak_to_trough: float


def measure(margin: FloatArray, losses: FloatArray, level: float, periods_per_day: float) -> MarginMeasures:
    """Measures of a path of margins, shape (m,), against the losses of the same periods, shape (m,) or (m, sides).

    Periods without a loss or without a margin do not count for coverage. With several sides each loss counts as one
    test; those of one period are not independent, which Kupiec's test does not know.

    Raises
    ------
    InputError
        No period with both.

    Examples
    --------
    >>> out = measure(np.array([0.1, 0.1, 0.2, 0.2]), np.array([0.0, 0.15, 0.1, np.nan]), 0.99, 1)
    >>> out.n_test, out.violations, out.rise_1d, out.peak_to_trough
    (3, 1, 1.0, 1.0)
    """
    # Side after side, so that within a side successive tests are successive periods.
    sides = losses.size // len(margin) if len(margin) else 1
    charged, lost = np.tile(margin, sides), losses.ravel(order="F")
    both = np.isfinite(charged) & np.isfinite(lost)
    if not both.any():
        raise InputError("no period has both a margin and a loss", column="margin")
    charged, lost = charged[both], lost[both]
    hits = lost > charged
    violations, n = int(hits.sum()), len(hits)
    rises = {days: relative_changes(margin, days, periods_per_day) for days in PROCYCLICALITY_DAYS}
    return MarginMeasures(
        n_test=n,
        violations=violations,
        coverage=1 - violations / n,
        kupiec_p=kupiec(violations, n, 1 - level).p_value,
        independence_p=christoffersen(hits, 1 - level).independence.p_value,
        basel_zone=basel_zone(violations, n, 1 - level),
        mean_margin=float(charged.mean()),
        pinball=float(pinball(lost, charged, level).mean()),
        mean_excess=float((lost - charged)[hits].mean()) if violations else 0.0,
        rise_1d=_largest(rises[1]),
        rise_5d=_largest(rises[5]),
        rise_30d=_largest(rises[30]),
        es95_rise_5d=_mean_of_largest(rises[5], 0.05),
        peak_to_trough=float(charged.max() / charged.min() - 1) if charged.min() > 0 else np.nan,
    )


def relative_changes(margin: FloatArray, days: int, periods_per_day: float) -> FloatArray:
    """Relative change of a path over a number of days, from each period that has both ends."""
    lag = max(1, round(days * periods_per_day))
    changes = margin[lag:] / margin[:-lag] - 1
    return np.asarray(changes[np.isfinite(changes)])


@dataclass(frozen=True)
class PooledMeasures:
    """Means of the measures over paths (instruments and sides), and what a mean would hide.

    Parameters
    ----------
    paths
        How many paths.
    kupiec_rejections
        Paths whose coverage Kupiec rejects at 5%.
    least_coverage
        Coverage of the worst path.

    Notes
    -----
    `kupiec_p` is the test of all violations together. Paths of one market are not independent, so it is stricter than
    it looks; `kupiec_rejections` is the safer reading.
    """

    paths: int
    n_test: int
    violations: int
    coverage: float
    least_coverage: float
    kupiec_p: float
    kupiec_rejections: int
    mean_margin: float
    pinball: float
    mean_excess: float
    rise_1d: float
    rise_5d: float
    rise_30d: float
    es95_rise_5d: float
    peak_to_trough: float


def pooled(paths: Sequence[MarginMeasures], level: float) -> PooledMeasures:
    """Pool the measures of several paths: counts add up, the rest is the mean over paths that have it."""
    n, violations = sum(p.n_test for p in paths), sum(p.violations for p in paths)
    return PooledMeasures(
        paths=len(paths),
        n_test=n,
        violations=violations,
        coverage=1 - violations / n,
        least_coverage=min(p.coverage for p in paths),
        kupiec_p=kupiec(violations, n, 1 - level).p_value,
        kupiec_rejections=sum(p.kupiec_p < 0.05 for p in paths),
        **{name: _mean([getattr(p, name) for p in paths]) for name in _MEANS},
    )


_MEANS = (
    "mean_margin",
    "pinball",
    "mean_excess",
    "rise_1d",
    "rise_5d",
    "rise_30d",
    "es95_rise_5d",
    "peak_to_trough",
)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if v == v]
    return float(np.mean(known)) if known else np.nan


def _largest(changes: FloatArray) -> float:
    return float(changes.max()) if len(changes) else np.nan


def _mean_of_largest(changes: FloatArray, share: float) -> float:
    if not len(changes):
        return np.nan
    count = max(1, int(share * len(changes)))
    return float(np.sort(changes)[-count:].mean())
