"""Drift monitors put together: what they found on new data, and whether the model is to fall back to FHS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..models.sample import AccountSample
from ..riskcore.arrays import FloatArray, IntArray
from .exchangeability import Martingale, excess_day_losses, watch
from .feature_drift import FeatureDrift, feature_drift
from .liquidation_counts import CountTest, count_test
from .reference import Reference, day_stride
from .scores import DayBlocks, Skill, log_losses


@dataclass(frozen=True)
class DriftLimits:
    """When a monitor warns, when it alarms.

    Parameters
    ----------
    psi_moderate, psi_large
        Stability index from which a feature has moved, and has shifted: the convention of credit scoring.
    shifted_warning, shifted_alarm
        Share of shifted features from which the features warn and alarm. A month of a market never looks like years
        of it, so single features alarm no one.
    martingale_warning, martingale_alarm
        Values of the loss martingale: reached by chance with probability at most 1/20 and 1/100 (Ville).
    count_level
        Level of the test of the number of liquidations, over all horizons together (divided among them: Bonferroni).
    least_days
        Fewer days of fresh labels are not tested; of fewer days of new rows nothing is decided: the features of a day
        or two always differ from those of years.
    """

    psi_moderate: float = 0.1
    psi_large: float = 0.25
    shifted_warning: float = 0.25
    shifted_alarm: float = 0.5
    martingale_warning: float = 20.0
    martingale_alarm: float = 100.0
    count_level: float = 0.01
    least_days: int = 10


@dataclass(frozen=True)
class FreshLabels:
    """What became of forecasts made since a release.

    Parameters
    ----------
    hybrid, fhs
        Forecasts, (n, n_horizons).
    outcome
        1, 0 or NaN (not known yet), (n, n_horizons).
    day
        Day number of each row.
    names, hours
        Horizons by name and in hours.
    """

    hybrid: FloatArray
    fhs: FloatArray
    outcome: FloatArray
    day: IntArray
    names: tuple[str, ...]
    hours: tuple[float, ...]


@dataclass(frozen=True)
class FallBack:
    """The decision to score with FHS alone, and why."""

    reason: str


@dataclass(frozen=True)
class DriftReport:
    """What the monitors found.

    Parameters
    ----------
    rows, days
        New rows looked at.
    features
        Drift of each feature, the most shifted first.
    shifted
        Share of features whose stability index is large.
    martingale
        Of the daily losses; None where labels or the reference's are too few.
    counts
        Test of the number of liquidations by horizon; empty where labels are too few.
    skill
        Log-loss skill of the hybrid over FHS on the fresh labels, all horizons added up; None where too few.
    warnings, alarms
        Lines, each saying which limit was reached; without a decision none is an alarm.
    decided
        Whether there were days enough to decide; if not, whatever was decided before stays.
    fall_back
        The decision; None: the hybrid stays.
    """

    rows: int
    days: int
    features: tuple[FeatureDrift, ...]
    shifted: float
    martingale: Martingale | None
    counts: Mapping[str, CountTest]
    skill: Skill | None
    warnings: tuple[str, ...]
    alarms: tuple[str, ...]
    decided: bool
    fall_back: FallBack | None

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


def assess_drift(
    reference: Reference,
    sample: AccountSample,
    day: IntArray,
    labels: FreshLabels,
    *,
    seed: int,
    limits: DriftLimits | None = None,
) -> DriftReport:
    """Run every monitor on new rows and decide; on fewer than `least_days` days nothing is decided.

    The model falls back if any monitor alarms, unless the fresh labels prove the hybrid better than FHS all the same
    (the 90% interval of its skill, days resampled, lies above zero): in a crisis FHS often suffers more.

    Parameters
    ----------
    reference
        What was kept of the training sample.
    sample, day
        New rows and their days; labels need not be known.
    labels
        Rows whose outcome is known by now.
    seed
        Of what is drawn: ties of the martingale, resampled days.
    limits
        Default: `DriftLimits()`.
    """
    limits = limits or DriftLimits()
    days = len(np.unique(day))
    drifts = feature_drift(reference, sample.features, sample.feature_names, days)
    shifted = float(np.mean([drift.psi >= limits.psi_large for drift in drifts]))
    found = _Labels(reference, labels, seed, limits)
    martingale, counts, skill = found.martingale(), found.counts(), found.skill()
    warnings, alarms = _told(limits, shifted, martingale, counts)
    decided = days >= limits.least_days
    if not decided:
        warnings, alarms = [f"too few days to decide: {days}, {limits.least_days} needed", *warnings, *alarms], []
    elif not counts:
        warnings.append(f"fewer than {limits.least_days} days of fresh labels: only features were looked at")
    elif martingale is None:
        warnings.append(f"no loss martingale: validation left {len(reference.day_scores)} days to compare with")
    ordered = tuple(sorted(drifts, key=lambda drift: (-drift.psi, drift.name)))
    decision = _decide(alarms, skill)
    if alarms and decision is None and skill is not None:
        warnings.append(f"the hybrid stays: still better than FHS, log-loss skill {skill.value:+.1%}, low above zero")
    said = (tuple(warnings), tuple(alarms), decided, decision)
    return DriftReport(len(sample), days, ordered, shifted, martingale, counts, skill, *said)


@dataclass(frozen=True)
class _Labels:
    """The monitors that need labels."""

    reference: Reference
    fresh: FreshLabels
    seed: int
    limits: DriftLimits

    @property
    def _known(self) -> IntArray:
        columns = (self.fresh.hybrid, self.fresh.fhs, self.fresh.outcome)
        return np.flatnonzero(np.isfinite(np.hstack(columns)).all(axis=1))

    def _enough(self) -> bool:
        return len(np.unique(self.fresh.day[self._known])) >= self.limits.least_days

    def martingale(self) -> Martingale | None:
        if not self._enough() or len(self.reference.day_scores) < self.limits.least_days:
            return None
        known = self._known
        scores = excess_day_losses(
            self.fresh.hybrid[known],
            self.fresh.outcome[known],
            self.fresh.day[known],
            stride=day_stride(self.fresh.hours[-1]),
            most_rows=max(1, self.reference.rows_per_day),
        )
        return watch(self.reference.day_scores, scores, seed=self.seed)

    def counts(self) -> dict[str, CountTest]:
        if not self._enough():
            return {}
        known, fresh = self._known, self.fresh
        return {
            name: count_test(
                fresh.hybrid[known, k], fresh.outcome[known, k], fresh.day[known], lags=math.ceil(fresh.hours[k] / 24)
            )
            for k, name in enumerate(fresh.names)
        }

    def skill(self) -> Skill | None:
        if not self._enough():
            return None
        known, fresh = self._known, self.fresh
        outcome = fresh.outcome[known]
        mine, other = (log_losses(p[known], outcome).sum(axis=1) for p in (fresh.hybrid, fresh.fhs))
        return DayBlocks(fresh.day[known], seed=self.seed).skill(mine, other)


def _told(
    limits: DriftLimits, shifted: float, martingale: Martingale | None, counts: Mapping[str, CountTest]
) -> tuple[list[str], list[str]]:
    """Warnings and alarms in words."""
    warnings: list[str] = []
    alarms: list[str] = []
    if shifted >= limits.shifted_warning:
        said = f"{shifted:.0%} of the features have shifted (stability index {limits.psi_large:g} or more)"
        (alarms if shifted >= limits.shifted_alarm else warnings).append(said)
    if martingale is not None and martingale.highest >= limits.martingale_warning:
        said = f"losses stopped resembling those of validation: martingale {martingale.highest:,.0f}"
        (alarms if martingale.highest >= limits.martingale_alarm else warnings).append(said)
    for name, test in counts.items():
        if test.test.p_value < limits.count_level / len(counts):
            said = f"{test.found:,} liquidations within {name} against {test.expected:,.0f} forecast"
            alarms.append(f"{said} (p = {test.test.p_value:.2g}, days clustered)")
    return warnings, alarms


def _decide(alarms: list[str], skill: Skill | None) -> FallBack | None:
    if not alarms or (skill is not None and skill.low > 0):
        return None
    return FallBack("; ".join(alarms))
