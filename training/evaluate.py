"""Evaluation: every model on accounts seen after the training period, against every baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..features.releases import outside_calendar
from ..riskcore.arrays import FloatArray, TimeArray
from ..riskcore.rulebook import RuleBook
from .alerts import alert_economics
from .cost_curves import cost_curves
from .dataset import Dataset, simulated_dataset
from .evaluated_rows import EvaluatedRows, evaluated_rows
from .fit import fit_on_accounts
from .flapping import WATCHED_MODELS, Watch, alert_threshold, flapping, watch_accounts
from .forecaster import NAMES, STRUCTURAL, LiquidationForecaster
from .market_view import MarketView
from .plan import Plan, accounts_to_train_on, parse_horizons, tested_bars, training_bars
from .population import PopulationSpec
from .provenance import market_stamp, rules_record
from .score_tables import score_table
from .scores import reliability_curve
from .structural_models import STRUCTURAL_MODELS
from .unseen import require_unseen

BASELINES = ("climatology", "touch_366d", "ewma_reflection", *STRUCTURAL, *STRUCTURAL_MODELS)
ALERTED_MODELS = ("ewma_reflection", "fhs", "fhs_learned", "hybrid")

ENOUGH_DAYS = 20
"""Tested days from which on intervals that resample them are worth reading."""

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
    rows
        The same in the arrays that scores are made of.
    """

    scores: dict[str, Any]
    reliability: dict[str, Any]
    alert_economics: dict[str, Any]
    model: LiquidationForecaster
    data: Dataset
    probabilities: Mapping[str, FloatArray]
    rows: EvaluatedRows


@dataclass(frozen=True)
class Split:
    """What is learned from and what is tested on.

    Parameters
    ----------
    trained
        Bars [first, last) of the training period: no label looks at `last` or later.
    tested
        Bars [first, last) at which tested accounts are seen.
    learned_from
        The market that is learned from, with the bars of the tested one; None: the tested market itself.
    train_population, test_population
        Distributions of the accounts; None: the usual ones.
    """

    trained: tuple[int, int]
    tested: tuple[int, int]
    learned_from: MarketView | None = None
    train_population: PopulationSpec | None = None
    test_population: PopulationSpec | None = None


@dataclass(frozen=True)
class Tested:
    """A fitted model, the accounts it was tested on and what every model said of them."""

    model: LiquidationForecaster
    data: Dataset
    probabilities: Mapping[str, FloatArray]


def evaluate_market(view: MarketView, rules: RuleBook, plan: Plan, *, say: Say = lambda _: None) -> Evaluation:
    """Fit on a market up to `plan.train_end` and score every model on simulated accounts seen from `plan.test_start`.

    `say` is told, in words, what is being done.
    """
    horizons = parse_horizons(plan.horizons, view.history.step)
    longest = horizons[-1].bars
    split = Split(training_bars(plan, view.history, longest), tested_bars(plan, view.history, longest))
    tested = forecast_split(view, rules, plan, split, say=say)
    say("scoring")
    rows = evaluated_rows(view, tested.data, tested.probabilities)
    watch = watch_accounts(tested.model, view, rules, tested.data)
    tables, curves, alerts = {}, {}, {}
    for k, horizon in enumerate(horizons):
        alerts[horizon.name] = alerts_table(rows, k, horizon.bars * view.data.bar_hours)
        tables[horizon.name] = score_table(rows, k, BASELINES, plan.seed) | {"alerts": _alerts(rows, k, watch)}
        known = rows.known(k)
        curves[horizon.name] = {
            name: reliability_curve(p[known, k], rows.breached[known, k]) for name, p in rows.said.items()
        }
    scores = {"horizons": tables, "data": provenance(view, rules, plan, tested.data, split.trained, split.tested)}
    return Evaluation(scores, curves, alerts, tested.model, tested.data, tested.probabilities, rows)


def forecast_split(view: MarketView, rules: RuleBook, plan: Plan, split: Split, *, say: Say = lambda _: None) -> Tested:
    """Fit on one part of a split and ask every model about the other, on accounts that no model has seen.

    Raises
    ------
    InputError
        A period the market does not cover, or an account that stands in both parts.
    """
    learned_from = view if split.learned_from is None else split.learned_from
    bars = tuple(h.bars for h in parse_horizons(plan.horizons, view.history.step))
    count = accounts_to_train_on(plan, split.trained, view.history.step)
    if strange_days := outside_calendar(view.history.times):
        say(strange_days)
    say(f"fitting on {count:,} simulated accounts seen {_period(view, split.trained)}")
    trained = simulated_dataset(
        learned_from,
        rules,
        bars,
        accounts=count,
        first_bar=split.trained[0],
        last_bar=split.trained[1],
        seed=plan.seed,
        threads=plan.threads,
        spec=split.train_population,
    )
    model = fit_on_accounts(learned_from, plan, trained, *split.trained)
    say(f"testing on {plan.accounts:,} simulated accounts seen {_period(view, split.tested)}")
    data = simulated_dataset(
        view,
        rules,
        bars,
        accounts=plan.accounts,
        first_bar=split.tested[0],
        last_bar=split.tested[1] + bars[-1] - 1,
        seed=plan.seed + 1,
        threads=plan.threads,
        spec=split.test_population,
    )
    require_unseen(trained, data)
    fields = model.scales_.fields(view.data, view.frame, data.sample.bar)
    said = model.predict(data.sample, fields, view.data)
    return Tested(model, data, {name: said[name] for name in NAMES})


def _period(view: MarketView, bars: tuple[int, int]) -> str:
    first, last = (str(day)[:10] for day in _dates(view.history.times, *bars))
    return f"from {first} to {last}"


def alerts_table(rows: EvaluatedRows, horizon: int, hours: float) -> dict[str, Any]:
    """Alert economics of ALERTED_MODELS at one horizon, by its place and its length in hours."""
    known = rows.known(horizon)
    within = rows.lead_hours[known] <= hours
    lead = np.where(within, rows.lead_hours[known], np.nan)
    shortfall = np.where(within, rows.shortfall[known], 0.0)
    outcome, day = rows.breached[known, horizon], rows.day[known]
    return {
        name: alert_economics(rows.said[name][known, horizon], outcome, shortfall, lead, day) for name in ALERTED_MODELS
    }


def _alerts(rows: EvaluatedRows, horizon: int, watch: Watch) -> dict[str, Any]:
    """Cost curves, and flapping of alerts at the level that a tenth of the tested accounts reach."""
    known = rows.known(horizon)
    said = {name: rows.said[name][known, horizon] for name in WATCHED_MODELS}
    levels = {name: alert_threshold(p) for name, p in said.items()}
    costs = cost_curves(said, rows.breached[known, horizon])
    return {"cost_curves": costs, "flapping": flapping(watch, horizon, levels)}


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
        "accounts_trained": accounts_to_train_on(plan, trained, history.step),
        "test_days": len(np.unique(data.day)),
        "accounts_tested": len(data),
        "seed": plan.seed,
        "rules": rules_record(rules) | {"generic_schedule_used_for": list(generic)},
        "stamp": market_stamp(view.data.report, rules),
        "intrabar": "all prices at their lows, at their highs and at their closes, bar by bar",
        "intervals": "90%, days resampled",
        "warnings": few_days(len(np.unique(data.day))),
        "sources": view.data.report.as_dict(),
    }


def few_days(days: int) -> list[str]:
    """A line where intervals over resampled days say little.

    Examples
    --------
    >>> few_days(3), few_days(20)
    (['3 days: intervals say little; 20 or more are needed'], [])
    """
    if days >= ENOUGH_DAYS:
        return []
    tested = "1 day: skill has no interval" if days == 1 else f"{days} days: intervals say little"
    return [f"{tested}; {ENOUGH_DAYS} or more are needed"]


def _dates(times: TimeArray, first: int, last: int) -> list[str]:
    return [str(times[first])[:16], str(times[last - 1])[:16]]
