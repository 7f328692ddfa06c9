"""Fitting the forecaster: scales, simulations, boosters and calibration.

What one learns does not spoil the training period for the next: learned scales come from folds, the calibration is
fitted on a block that its boosters had not seen. Two small exceptions: simulations hold the paths of all training
windows, a row's own future among them (.02 to .08% of log loss), and HARQ under the folds is fitted on all bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from ..models.account_boosting import AccountBooster
from ..models.calibration import TemperatureScaling
from ..models.climatology import Climatology
from ..models.historical import FilteredHistorical
from ..models.intervals import DayBlockInterval
from ..models.sample import AccountSample, ScaleField
from ..models.structural_logit import StructuralLogit
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.rulebook import RuleBook
from .account_features import BENDING, DIRECTIONS, boosted_columns, structural_directions
from .dataset import Dataset, simulated_before
from .forecaster import (
    STACKED,
    STRUCTURAL,
    LiquidationForecaster,
    stacked_scores,
    structural_odds,
    with_structural,
)
from .market_view import MarketView
from .plan import Plan, accounts_to_train_on
from .reference import day_stride, training_reference
from .scales import ScaleForecaster
from .scores import log_losses
from .structural_models import fit_structural_models
from .volatility_spikes import spike_errors
from .workplace import ThisMachine, Workplace

VALIDATION_SHARE = 0.2
"""Part of the training period, at its end, on which the calibration is fitted."""
CALIBRATION_DAYS = 400.0
"""Days of forecasts that the wish to change nothing weighs in calibration: a calm validation block misleads."""
INTERVAL_LEVEL = 0.9
TREES = {"lightgbm": 150, "correction": 50}
"""Fixed: a count chosen on a calm validation block was too small for the months after it (docs/experiments.md)."""


@dataclass(frozen=True)
class _Block:
    """Rows of a training set: fitted on `fit`, judged on `judge`, with the days between them left out."""

    fit: IntArray
    judge: IntArray


def fit_forecaster(
    view: MarketView,
    rules: RuleBook,
    plan: Plan,
    first_bar: int,
    last_bar: int,
    horizons: tuple[int, ...],
    place: Workplace | None = None,
) -> LiquidationForecaster:
    """Fit everything on bars from `first_bar` on and before `last_bar`; `place` is where, by default this machine.

    Calibration is fitted on the last fifth of the training period, to boosters fitted before it (with the longest
    horizon left out between); then the boosters are refitted on the whole.
    """
    place = ThisMachine() if place is None else place
    count = accounts_to_train_on(plan, (first_bar, last_bar), view.history.step)
    drawn = simulated_before(
        view, rules, horizons, accounts=count, first_bar=first_bar, last_bar=last_bar, seed=plan.seed
    )
    data = place.labelled(view, rules, horizons, drawn, threads=plan.threads)
    return fit_on_accounts(view, plan, data, first_bar, last_bar, place)


def fit_on_accounts(
    view: MarketView, plan: Plan, data: Dataset, first_bar: int, last_bar: int, place: Workplace | None = None
) -> LiquidationForecaster:
    """`fit_forecaster` with accounts that are there already: none is seen, and no label looks, outside these bars."""
    place = ThisMachine() if place is None else place
    model = LiquidationForecaster(data.sample.horizons, plan.threads)
    fields = _fit_structure(model, view, plan, first_bar, last_bar)
    model.baselines_ = fit_structural_models(view, data, first_bar, last_bar, seed=plan.seed, threads=plan.threads)
    judged = _fit_accounts(model, plan, data, model.structural(data.sample, fields), place)
    model.intervals_ = _intervals(**judged)
    stride = day_stride(model.horizons[-1] * view.data.bar_hours)
    model.reference_ = training_reference(data.sample, data.day, fields["learned"], stride=stride, **judged)
    return model


def _fit_structure(
    model: LiquidationForecaster, view: MarketView, plan: Plan, first_bar: int, last_bar: int
) -> dict[str, ScaleField]:
    """Fit the scales and the simulations that use them; the scales of the training bars, each from an unseen fold."""
    model.scales_ = ScaleForecaster(model.horizons, plan.rounds, plan.seed, plan.threads)
    model.scales_.fit(view.data, view.frame, first_bar, last_bar)
    fields = model.scales_.fields(view.data, view.frame, np.arange(last_bar + 1))
    model.spike_errors_ = spike_errors(view.data, fields["learned"], first_bar, last_bar)
    for name, scale in STRUCTURAL.items():
        simulation = FilteredHistorical(threads=plan.threads)
        model.historical_[name] = simulation.fit(view.history, fields[scale], first_bar, last_bar)
    model.scales_.folds_ = {}  # they know bars by number: on another market they would stand in for the whole
    return fields


def _fit_accounts(
    model: LiquidationForecaster, plan: Plan, data: Dataset, structural: dict[str, FloatArray], place: Workplace
) -> dict[str, Any]:
    """Fit climatology, the boosters and the calibration; what the hybrid said of the judged rows, and their outcome."""
    model.climatology_ = Climatology().fit(data.sample, data.breached)
    model.columns_ = data.sample.feature_names
    block = _validation_block(data, model.horizons[-1])
    model.stack_ = _fit_stack(data, structural, np.arange(len(data)))
    start = model.stacked(data.sample, structural)
    trial_start = stacked_scores(_fit_stack(data, structural, block.fit), data.sample, structural)
    trial = {"stacked": expit(trial_start[block.judge])}
    columns = boosted_columns(data.sample.feature_names)
    plain = _Task(data.sample, data.breached, None, None, columns, DIRECTIONS, place)
    model.lightgbm_, trial["lightgbm"] = _fit_booster(plain, block, plan, TREES["lightgbm"])
    rich = with_structural(data.sample, structural)
    directions = DIRECTIONS | structural_directions(rich.feature_names)
    columns = boosted_columns(rich.feature_names)
    corrected = _Task(rich, data.breached, start, trial_start, columns, directions, place)
    model.correction_, trial["correction"] = _fit_booster(corrected, block, plan, TREES["correction"])
    mixed, judged = model.mix(trial), data.breached[block.judge]
    model.calibration_ = _calibrations(mixed, judged, data.day[block.judge])
    trial["hybrid"] = model.calibrated(mixed, data.sample.take(block.judge))
    model.about_ = {
        "rows": len(data),
        "trees": TREES,
        "validation_log_loss": {n: np.nanmean(log_losses(p, judged), axis=0).tolist() for n, p in trial.items()},
    }
    return {"probability": trial["hybrid"], "outcome": judged, "judged_day": data.day[block.judge]}


def _calibrations(mixed: FloatArray, judged: FloatArray, day: IntArray) -> list[TemperatureScaling]:
    shrinkage = CALIBRATION_DAYS * len(day) / len(np.unique(day))
    return [TemperatureScaling(shrinkage).fit(mixed[:, k], judged[:, k]) for k in range(judged.shape[1])]


def _intervals(probability: FloatArray, outcome: FloatArray, judged_day: IntArray) -> list[DayBlockInterval]:
    return [
        DayBlockInterval(INTERVAL_LEVEL).fit(probability[:, k], outcome[:, k], judged_day)
        for k in range(outcome.shape[1])
    ]


@dataclass(frozen=True)
class _Task:
    """What an account booster learns: rows, outcomes, log odds to start from, columns and directions; and where.

    The trial starts from log odds that the judged rows had no part in.
    """

    sample: AccountSample
    breached: FloatArray
    offset: FloatArray | None
    trial_offset: FloatArray | None
    columns: tuple[str, ...]
    directions: dict[str, int]
    place: Workplace

    def booster(self, offset: FloatArray | None, rounds: tuple[int, ...], plan: Plan, rows: IntArray) -> AccountBooster:
        offset = None if offset is None else offset[rows]
        model = AccountBooster(self.columns, self.directions, rounds, plan.seed, plan.threads)
        return self.place.fitted(model, self.sample.take(rows), self.breached[rows], offset)


def _fit_booster(task: _Task, block: _Block, plan: Plan, trees: int) -> tuple[AccountBooster, FloatArray]:
    """The booster of all rows, and what one fitted before the judged rows said of those, (n_judged, n_horizons)."""
    rounds = (trees,) * task.breached.shape[1]
    offset = None if task.trial_offset is None else task.trial_offset[block.judge]
    trial = task.booster(task.trial_offset, rounds, plan, block.fit)
    said = trial.predict(task.sample.take(block.judge), offset)
    return task.booster(task.offset, rounds, plan, np.arange(len(task.sample))), said


def _fit_stack(data: Dataset, structural: dict[str, FloatArray], rows: IntArray) -> list[StructuralLogit]:
    """One regression a horizon on the log odds of the structural models, fitted on these rows."""
    columns = tuple(name for name in BENDING if name in data.sample.feature_names)
    features, said = data.sample.columns(columns)[rows], {name: p[rows] for name, p in structural.items()}
    return [
        StructuralLogit(len(STACKED)).fit(structural_odds(said, k), features, columns, data.breached[rows, k])
        for k in range(data.breached.shape[1])
    ]


def _validation_block(data: Dataset, longest: int) -> _Block:
    """The last fifth of the rows to judge on; rows whose longest horizon reaches into it are left out of fitting."""
    cut = int(data.sample.bar[int(len(data) * (1 - VALIDATION_SHARE))])
    return _Block(np.flatnonzero(data.sample.bar + longest <= cut), np.flatnonzero(data.sample.bar >= cut))
