"""Scores of probability forecasts, with intervals that resample whole days."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from ..riskcore.arrays import FloatArray, IntArray, frozen, group_sums

CLIP = 1e-6
RESAMPLES = 2000
NEWTON_STEPS, HALVINGS = 100, 40


def log_losses(probability: FloatArray, outcome: FloatArray) -> FloatArray:
    """Log loss of each row; probabilities are kept within [1e-6, 1 - 1e-6] so that one certain miss stays finite.

    NaN where the outcome is not known.

    Examples
    --------
    >>> log_losses(np.array([0.5]), np.array([1.0])).round(6).tolist()
    [0.693147]
    """
    p = np.clip(probability, CLIP, 1 - CLIP)
    return np.asarray(-(outcome * np.log(p) + (1 - outcome) * np.log1p(-p)))


def brier_scores(probability: FloatArray, outcome: FloatArray) -> FloatArray:
    """Squared error of each row."""
    return np.asarray((probability - outcome) ** 2)


def expected_calibration_error(probability: FloatArray, outcome: FloatArray, bins: int = 15) -> float:
    """Mean absolute gap between forecast and frequency over bins of equal count; equal forecasts share a bin.

    Examples
    --------
    >>> round(expected_calibration_error(np.full(100, 0.3), np.repeat([0.0, 1.0], 50)), 6)
    0.2
    """
    edges = np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(edges, probability, side="right")
    parts = [np.flatnonzero(place == k) for k in range(bins)]
    curve = _curve([part for part in parts if len(part)], probability, outcome)
    count = np.array(curve["count"], dtype=np.float64)
    gap = np.abs(np.array(curve["predicted"]) - np.array(curve["observed"]))
    return float((gap * count).sum() / count.sum())


def reliability_curve(probability: FloatArray, outcome: FloatArray, bins: int = 12) -> dict[str, list[float]]:
    """Mean forecast, frequency and count in bins of forecasts that add up to the same number of expected events.

    Bins of equal count would leave most bins of a rare event empty of events.
    """
    order = np.argsort(probability, kind="stable")
    mass = np.cumsum(probability[order])
    edges = np.searchsorted(mass, mass[-1] * np.linspace(0, 1, bins + 1)[1:-1])
    return _curve([part for part in np.split(order, edges) if len(part)], probability, outcome)


def _curve(parts: list[IntArray], probability: FloatArray, outcome: FloatArray) -> dict[str, list[float]]:
    return {
        "predicted": [float(probability[p].mean()) for p in parts],
        "observed": [float(outcome[p].mean()) for p in parts],
        "count": [len(p) for p in parts],
    }


def calibration_line(probability: FloatArray, outcome: FloatArray) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of the outcome on the forecast's log odds; 1 and 0 are ideal.

    NaN where all forecasts or all outcomes are the same, and where no line is best: a forecast that separates the
    liquidated from the others would be made steeper without end.

    Examples
    --------
    Forecast 20% and 80%; a quarter and three quarters happened: the line through both log odds, log 3 / log 4.

    >>> slope, intercept = calibration_line(np.repeat([0.2, 0.8], 4), np.array([0, 0, 0, 1, 0, 1, 1, 1.0]))
    >>> round(slope, 6), abs(round(intercept, 6))
    (0.792481, 0.0)
    """
    if np.ptp(probability) == 0 or np.ptp(outcome) == 0:
        return float("nan"), float("nan")
    p = np.clip(probability, CLIP, 1 - CLIP)
    # sums by numpy's own loops: a BLAS rounds them differently on another number of threads
    design = np.column_stack((np.log(p) - np.log1p(-p), np.ones(len(p))))
    theta = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        fitted = expit(np.einsum("ij,j->i", design, theta))
        curvature = np.einsum("ij,ik,i->jk", design, design, np.maximum(fitted * (1 - fitted), 1e-12))
        slope = np.einsum("ij,i->j", design, outcome - fitted)
        step = _downhill(design, outcome, theta, np.linalg.solve(curvature, slope))
        theta = theta + step
        if np.abs(step).max() < 1e-8 * max(1.0, np.abs(theta).max()):
            return float(theta[0]), float(theta[1])
    return float("nan"), float("nan")


def _downhill(design: FloatArray, outcome: FloatArray, theta: FloatArray, step: FloatArray) -> FloatArray:
    """The step, halved until the loss does not rise: far from its least a full Newton step overshoots and diverges."""
    loss = _line_loss(design, outcome, theta)
    for _ in range(HALVINGS):
        if _line_loss(design, outcome, theta + step) <= loss:
            return step
        step = step / 2
    return np.zeros_like(step)


def _line_loss(design: FloatArray, outcome: FloatArray, theta: FloatArray) -> float:
    odds = np.einsum("ij,j->i", design, theta)
    return float((np.logaddexp(0.0, odds) - outcome * odds).sum())


def auc_within_strata(probability: FloatArray, outcome: FloatArray, stratum: IntArray) -> float:
    """Chance that a liquidated row outranks a surviving one of the same stratum, all such pairs equal; NaN without any.

    Pooled AUC mostly says that distance matters; within strata of distance it says what the forecast adds.

    Examples
    --------
    >>> auc_within_strata(np.array([0.1, 0.2, 0.9, 0.8]), np.array([0, 1, 0, 1.0]), np.array([0, 0, 1, 1]))
    0.5
    """
    won = pairs = 0.0
    for label in np.unique(stratum):
        mine = stratum == label
        y = outcome[mine] > 0.5
        hits, misses = int(y.sum()), int((~y).sum())
        if hits and misses:
            ranks = rankdata(probability[mine])
            won += float(ranks[y].sum()) - hits * (hits + 1) / 2
            pairs += hits * misses
    return won / pairs if pairs else float("nan")


@dataclass(frozen=True)
class Skill:
    """1 - score / score of the baseline, with a 90% interval over resampled days; NaN bounds where there is one day."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LossTotals:
    """Sum of a forecast's losses over all days, and over each draw of resampled days, shape (n_draws,).

    The draws of a single day are NaN: all are that day, and an interval without width would look like certainty.
    """

    total: float
    resampled: FloatArray

    def skill_over(self, baseline: LossTotals) -> Skill:
        """Skill over a baseline with the same rows and draws, with its 90% interval."""
        low, high = np.quantile(1 - self.resampled / baseline.resampled, [0.05, 0.95])
        return Skill(1 - self.total / baseline.total, float(low), float(high))


class DayBlocks:
    """Days that are resampled together: rows of one day share their prices, so days are drawn, not rows.

    Parameters
    ----------
    day
        Day number of each row, shape (n,).
    seed
        Seed of the draws.

    Examples
    --------
    >>> DayBlocks(np.array([0, 1]), seed=0).skill(np.array([1.0, 1.0]), np.array([2.0, 2.0])).value
    0.5
    """

    def __init__(self, day: IntArray, *, seed: int) -> None:
        days, self.block = np.unique(day, return_inverse=True)
        self.draws = _day_draws(len(days), seed)

    def skill(self, losses: FloatArray, baseline: FloatArray) -> Skill:
        """Skill of one set of losses over another, rows as in `day`, with its 90% interval."""
        return self.totals(losses).skill_over(self.totals(baseline))

    def totals(self, losses: FloatArray) -> LossTotals:
        """Losses added up over all days and over each draw, rows as in `day`."""
        by_day = group_sums(self.block, losses, self.draws.shape[1])
        if len(by_day) == 1:
            return LossTotals(float(by_day.sum()), np.full(len(self.draws), np.nan))
        # einsum sums in one order whatever the number of threads; BLAS may not
        return LossTotals(float(by_day.sum()), np.einsum("rd,d->r", self.draws, by_day))


@lru_cache(maxsize=8)
def _day_draws(days: int, seed: int) -> FloatArray:
    """How often each day is drawn, (RESAMPLES, days); kept, as slices of one test mostly have the same days."""
    drawn = np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), size=RESAMPLES)
    return frozen(drawn, np.float64)


@dataclass(frozen=True)
class ForecastTotals:
    """Brier and log losses of a forecast, added up."""

    brier: LossTotals
    log_loss: LossTotals

    @classmethod
    def of(cls, probability: FloatArray, outcome: FloatArray, days: DayBlocks) -> ForecastTotals:
        """Losses of a forecast of the rows that `days` was made for."""
        return cls(days.totals(brier_scores(probability, outcome)), days.totals(log_losses(probability, outcome)))

    def entry_over(self, baseline: ForecastTotals) -> dict[str, float]:
        """Skill over a baseline in Brier score and log loss, as `evaluate --json` writes it.

        Returns
        -------
        dict
            value, low, high of the Brier skill, and the same of the log loss with the prefix log_loss_.
        """
        brier, log_loss = self.brier.skill_over(baseline.brier), self.log_loss.skill_over(baseline.log_loss)
        return {
            "value": brier.value,
            "low": brier.low,
            "high": brier.high,
            "log_loss_value": log_loss.value,
            "log_loss_low": log_loss.low,
            "log_loss_high": log_loss.high,
        }
