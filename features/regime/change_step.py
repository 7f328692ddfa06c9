"""Change-points of the market's volatility as features: how likely a recent one is, and how far volatility ran away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from ..correlation.blocks import Block, BlockStep
from ..correlation.pair_moments import decay_of
from ..engine.step import Declaration, State
from .cusum import add_score
from .observation import bars_a_period, gather_ranges, market_log_volatility, period_ends, usual_period
from .run_lengths import MEAN, NormalGamma, absorb, fresh_runs

KAPPA, ALPHA, DEVIATION = 0.2, 30.0, 0.4
"""Belief on a run of log volatility: deviation within it, its level a deviation / sqrt(kappa) from the usual."""
ADAMS = "R. Adams and D. MacKay, Bayesian online changepoint detection, arXiv:0710.3742 (2007)"
PAGE = "E. Page, Continuous inspection schemes, Biometrika 41 (1954)"
SEEN, SINCE_RISE, SINCE_FALL = 0, 1, 2
"""Places in the state's counts: volatilities seen; periods since the last alarm up and down, -1 before the first."""


@dataclass(frozen=True)
class ChangePointStep(BlockStep):
    """Bayesian run lengths and cumulative sums of the log of the median coin's Parkinson volatility, period by period.

    Both see a period's volatility beside the usual one: mean and deviation of those before it with a half-life of
    `usual_days`. Volatility clusters, so that alarms are more frequent than the tables for independent values say.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    period_hours
        Length of a period: whole bars, a part of a day.
    expected_run_days
        How long a level lasts before anything is seen; its inverse is the hazard.
    longest_days
        Where run lengths are cut.
    recent_days
        What counts as a recent change.
    usual_days
        Half-life of the usual volatility.
    slack, threshold
        Of the cumulative sums, in usual deviations, see `cusum`.
    least_days
        Volatilities seen before anything is said.

    Raises
    ------
    InputError
        A period that is not whole bars, days or sums out of range.
    """

    bar_hours: float
    period_hours: float = 6.0
    expected_run_days: float = 365.0
    longest_days: int = 120
    recent_days: int = 3
    usual_days: float = 30.0
    slack: float = 0.5
    threshold: float = 8.0
    least_days: int = 5

    inputs: ClassVar[tuple[str, ...]] = ("high", "low")

    def __post_init__(self) -> None:
        bars_a_period(self.period_hours, self.bar_hours)
        if not 0 < self.recent_days < self.longest_days:
            raise InputError("needs 0 < recent_days < longest_days", column="recent_days", value=self.recent_days)
        for name in ("usual_days", "threshold", "least_days"):
            if not getattr(self, name) > 0:
                raise InputError("must be positive", column=name, value=getattr(self, name))
        if not self.expected_run_days * self.periods_a_day > 1.0:
            problem = "must be longer than a period"
            raise InputError(problem, column="expected_run_days", value=self.expected_run_days)
        if not self.slack >= 0.0:
            raise InputError("must not be below 0", column="slack", value=self.slack)

    @classmethod
    def usual(cls, bar_hours: float) -> ChangePointStep:
        """With the period that `usual_period` gives for bars of this length."""
        return cls(bar_hours, usual_period(bar_hours))

    @property
    def periods_a_day(self) -> int:
        """Volatilities a day."""
        return round(24.0 / self.period_hours)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        recent, hours = self.recent_days, "hours"
        told = (
            (
                f"change_probability_{recent}d",
                f"probability that volatility changed within {recent} days",
                "probability",
            ),
            ("run_length", f"expected time since the last change, cut at {self.longest_days} days", hours),
            ("volatility_shift", "expected log volatility of the present run less the usual one", "log"),
            ("cusum_up", "cumulative sum of volatility above the usual", "usual deviations"),
            ("cusum_down", "cumulative sum of volatility below the usual", "usual deviations"),
            ("cusum_up_age", f"time since volatility ran {self.threshold:g} deviations up", hours),
            ("cusum_down_age", f"time since volatility ran {self.threshold:g} deviations down", hours),
        )
        rule = (
            f"NaN until {self.least_days} days have a volatility, ages until the first alarm; stays between the ends "
            "of periods and where a period has no prices"
        )
        back = 24.0 * self.longest_days
        return tuple(
            Declaration(name, what, unit, self.inputs, back, rule, PAGE if name.startswith("cusum") else ADAMS)
            for name, what, unit in told
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: the period's ranges, usual volatility, run lengths, sums, what they say."""
        probability, statistics = fresh_runs(self.longest_days * self.periods_a_day, _belief(0.0))
        return {
            "ranges": np.zeros((2, len(symbols))),
            "usual": np.zeros(3),
            "probability": probability,
            "statistics": statistics,
            "sums": np.zeros(2),
            "counts": np.array([0, -1, -1], np.int64),
            "told": np.full(len(self.declarations), np.nan),
        }

    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""
        first, bars = 0, bars_a_period(self.period_hours, self.bar_hours)
        for end in period_ends(block.closed, self.bar_hours, self.period_hours).tolist():
            gather_ranges(block["high"][first : end + 1], block["low"][first : end + 1], state["ranges"])
            self._observe(state, market_log_volatility(state["ranges"], bars, self.bar_hours))
            first = end + 1
        gather_ranges(block["high"][first:], block["low"][first:], state["ranges"])

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 7)."""
        return np.repeat(state["told"][None, :], state["ranges"].shape[1], axis=0)

    def _observe(self, state: State, value: float) -> None:
        """End of a period: its log volatility."""
        counts, usual = state["counts"], state["usual"]
        counts[SINCE_RISE:] += counts[SINCE_RISE:] >= 0
        if not np.isnan(value):
            if counts[SEEN] >= self.least_days * self.periods_a_day:
                self._judge(state, value, float(usual[1] / usual[0]))
            counts[SEEN] += 1
            decay = decay_of(self.usual_days * self.periods_a_day)
            usual[:] = decay * usual + (1.0, value, value * value)
        state["told"][5:] = np.where(counts[SINCE_RISE:] >= 0, counts[SINCE_RISE:] * self.period_hours, np.nan)

    def _judge(self, state: State, value: float, mean: float) -> None:
        """Run lengths and sums after a volatility beside the usual mean."""
        probability, statistics, usual = state["probability"], state["statistics"], state["usual"]
        if state["counts"][SEEN] == self.least_days * self.periods_a_day:
            statistics[MEAN] = mean
        hazard = 1.0 / (self.expected_run_days * self.periods_a_day)
        absorb(probability, statistics, value, hazard, _belief(mean).as_array())
        deviation = np.sqrt(max(usual[2] / usual[0] - mean * mean, 0.0))
        add_score(state["sums"], (value - mean) / deviation if deviation > 0.0 else np.nan, self.slack, self.threshold)
        state["counts"][SINCE_RISE:][state["sums"] > self.threshold] = 0
        lengths = np.arange(len(probability))
        state["told"][:5] = (
            probability[: self.recent_days * self.periods_a_day + 1].sum(),
            (probability * lengths).sum() * self.period_hours,
            (probability * statistics[MEAN]).sum() - mean,
            *state["sums"],
        )


def _belief(mean: float) -> NormalGamma:
    return NormalGamma(mean, KAPPA, ALPHA, ALPHA * DEVIATION * DEVIATION)
