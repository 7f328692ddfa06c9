"""Evaluation: every model on accounts seen after the training period, against every baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..riskcore.arrays import BoolArray, FloatArray, IntArray, TimeArray
from ..riskcore.rulebook import RuleBook
from .alerts import alert_economics
from .dataset import Dataset, simulated_dataset
from .fit import fit_forecaster
from .forecaster import NAMES, STRUCTURAL, LiquidationForecaster
from .market_view import MarketView
from .plan import Horizon, Plan, parse_horizons, tested_bars, training_bars
from .provenance import market_stamp, rules_record
from .scores import (
    DayBlocks,
    Skill,
    auc_within_strata,
    brier_scores,
    calibration_line,
    expected_calibration_error,
    log_losses,
    reliability_curve,
)
from .structural_models import STRUCTURAL_MODELS

BASELINES = ("climatology", "touch_366d", "ewma_reflection", *STRUCTURAL, *STRUCTURAL_MODELS)
STRATA = 10
ALERTED_MODELS = ("ewma_reflection", "fhs", "fhs_learned", "hybrid")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Parameters
    ----------
    scores
        As `evaluate --json` writes it.
    reliability
        Curves by horizon and model.
    alert_economics
        Tables by horizon and model.
    model, data, probabilities
        The forecaster, the tested rows and what each model said of them, for whoever goes on from here.
    """

    scores: dict[str, Any]
    reliability: dict[str, Any]
    alert_economics: dict[str, Any]
    model: LiquidationForecaster
    data: Dataset
    probabilities: Mapping[str, FloatArray]


def evaluate_market(view: MarketView, rules: RuleBook, plan: Plan, *, say: Say = lambda _: None) -> Evaluation:
    """Fit on a market up to `plan.train_end` and score every model on simulated accounts seen from `plan.test_start`.

    `say` is told, in words, what is being done.
    """
    horizons = parse_horizons(plan.horizons, view.history.step)
    bars = tuple(h.bars for h in horizons)
    trained, tested = training_bars(plan, view.history, bars[-1]), tested_bars(plan, view.history, bars[-1])
    say(f"fitting on {plan.accounts:,} simulated accounts seen up to {plan.train_end}")
    model = fit_forecaster(view, rules, plan, *trained, bars)
    say(f"testing on {plan.accounts:,} simulated accounts seen from {plan.first_test_day}")
    data = simulated_dataset(
        view,
        rules,
        bars,
        accounts=plan.accounts,
        first_bar=tested[0],
        last_bar=tested[1] + bars[-1] - 1,
        seed=plan.seed + 1,
        threads=plan.threads,
    )
    fields = model.scales_.fields(view.data, view.frame, data.sample.bar)
    probabilities = model.predict(data.sample, fields, view.data)
    say("scoring")
    about = provenance(view, rules, plan, data, trained, tested)
    return _assess(view, plan, horizons, model, data, probabilities, about)


def _assess(
    view: MarketView,
    plan: Plan,
    horizons: tuple[Horizon, ...],
    model: LiquidationForecaster,
    data: Dataset,
    probabilities: Mapping[str, FloatArray],
    about: dict[str, Any],
) -> Evaluation:
    strata = strata_of(data.sample.column("distance_ewma"))
    tables, curves, alerts = {}, {}, {}
    for k, horizon in enumerate(horizons):
        said = {name: probabilities[name][:, k] for name in NAMES}
        known = np.isfinite(data.breached[:, k]) & np.isfinite(np.column_stack(list(said.values()))).all(axis=1)
        rows = _Rows({n: p[known] for n, p in said.items()}, data.breached[known, k], data.day[known], strata[known])
        tables[horizon.name] = rows.table(plan.seed)
        curves[horizon.name] = {name: reliability_curve(p, rows.outcome) for name, p in rows.said.items()}
        alerts[horizon.name] = _alerts(view, data, known, rows, horizon)
    scores = {"horizons": tables, "data": about}
    return Evaluation(scores, curves, alerts, model, data, probabilities)


@dataclass(frozen=True)
class _Rows:
    """Forecasts by model and outcomes of the rows all models can be judged on."""

    said: dict[str, FloatArray]
    outcome: FloatArray
    day: IntArray
    stratum: IntArray

    def table(self, seed: int) -> dict[str, Any]:
        logs = {name: log_losses(p, self.outcome) for name, p in self.said.items()}
        squares = {name: brier_scores(p, self.outcome) for name, p in self.said.items()}
        days = DayBlocks(self.day, seed=seed)
        models = {}
        for name, p in self.said.items():
            slope, intercept = calibration_line(p, self.outcome)
            models[name] = {
                "brier": float(squares[name].mean()),
                "log_loss": float(logs[name].mean()),
                "auc_within_strata": auc_within_strata(p, self.outcome, self.stratum),
                "ece": expected_calibration_error(p, self.outcome),
                "calibration_slope": slope,
                "calibration_intercept": intercept,
                "skill_vs": {
                    base: _entry(days.skill(squares[name], squares[base]), days.skill(logs[name], logs[base]))
                    for base in BASELINES
                    if base != name
                },
            }
        rate = float(self.outcome.mean())
        return {"n": len(self.outcome), "events": int(self.outcome.sum()), "base_rate": rate, "models": models}


def _entry(brier: Skill, log_loss: Skill) -> dict[str, float]:
    return {
        "value": brier.value,
        "low": brier.low,
        "high": brier.high,
        "log_loss_value": log_loss.value,
        "log_loss_low": log_loss.low,
        "log_loss_high": log_loss.high,
    }


def strata_of(distance: FloatArray) -> IntArray:
    """Tenth of the distance to liquidation each row falls in."""
    edges = np.nanquantile(distance, np.linspace(0, 1, STRATA + 1)[1:-1])
    return np.searchsorted(edges, distance, side="right")


def _alerts(view: MarketView, data: Dataset, known: BoolArray, rows: _Rows, horizon: Horizon) -> dict[str, Any]:
    hours = view.data.bar_hours
    lead = np.where(
        data.outcome.within(horizon.bars), (data.outcome.breach_bar - data.outcome.start + 1) * hours, np.nan
    )
    shortfall = np.where(data.outcome.within(horizon.bars), data.outcome.shortfall, 0.0)
    return {
        name: alert_economics(rows.said[name], rows.outcome, shortfall[known], lead[known], rows.day)
        for name in ALERTED_MODELS
    }


def provenance(
    view: MarketView, rules: RuleBook, plan: Plan, data: Dataset, trained: tuple[int, int], tested: tuple[int, int]
) -> dict[str, Any]:
    """What a result was measured on."""
    history = view.history
    generic = rules.generic_symbols(history.instruments.symbols)
    return {
        "accounts": "simulated by margincast on the prices named here (training.population); no real account",
        "market": "simulated" if view.data.simulated else "real bars",
        "marks": history.source,
        "symbols": list(history.instruments.symbols),
        "bar_hours": view.data.bar_hours,
        "train": _dates(history.times, *trained),
        "test": _dates(history.times, *tested),
        "test_days": len(np.unique(data.day)),
        "accounts_tested": len(data),
        "seed": plan.seed,
        "rules": rules_record(rules) | {"generic_schedule_used_for": list(generic)},
        "stamp": market_stamp(view.data.report, rules),
        "intrabar": "all prices at their lows, at their highs and at their closes, bar by bar",
        "intervals": "90%, days resampled",
        "sources": view.data.report.as_dict(),
    }


def _dates(times: TimeArray, first: int, last: int) -> list[str]:
    return [str(times[first])[:16], str(times[last - 1])[:16]]
