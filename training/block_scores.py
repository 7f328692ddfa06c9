"""Scoring models on the newest block of a market: the figures that a promotion is decided by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from ..features.volatility.estimators import log_returns, realised_volatility
from ..models.sample import AccountSample
from ..riskcore.arrays import BoolArray, FloatArray, IntArray
from ..riskcore.errors import InputError
from ..riskcore.market import MarketHistory
from ..riskcore.rulebook import RuleBook
from ..riskcore.what_if import with_deposit
from .calibration_excess import calibration_excess
from .dataset import Dataset, sample_of, simulated_dataset
from .forecaster import LiquidationForecaster
from .market_view import MarketView
from .score import with_columns
from .scores import (
    DayBlocks,
    Skill,
    brier_scores,
    expected_calibration_error,
    log_losses,
    reliability_curve,
)

CHALLENGER, CHAMPION, FHS = "challenger", "champion", "fhs"
STRESS_HOURS, STRESS_QUANTILE = 24, 0.8
STRESS_ROWS = 200
"""Fewer rows in stress give no calibration error worth a decision."""
PROBED = 400
"""Rows whose headroom is raised to see that no probability rises."""
MORE_HEADROOM = (0.001, 0.02, 0.2)
"""Deposits that it is raised by, in gross exposures."""
TOLERANCE = 1e-9
"""Rounding of a probability that counts as no rise."""


@dataclass(frozen=True)
class Block:
    """Bars [first, last) that models are judged on; no label looks at `last` or later.

    Parameters
    ----------
    first, last
        Bars.
    start, end
        First and last day (UTC).
    """

    first: int
    last: int
    start: date
    end: date


def newest_block(history: MarketHistory, start: date, longest: int) -> Block:
    """The bars from the open of a day to the end of the market.

    Raises
    ------
    InputError
        A start after which the market does not last for the longest horizon, in bars.
    """
    first, last = int(np.searchsorted(history.times, np.datetime64(start, "ns"))), len(history)
    end = history.times[-1].astype("datetime64[D]").astype(object)
    if first < 1 or last - first <= longest:
        raise InputError(f"leaves nothing to judge on: the market ends {end}", column="start", value=str(start))
    return Block(first, last, history.times[first].astype("datetime64[D]").astype(object), end)


def first_unseen_day(model: LiquidationForecaster) -> date:
    """The day after the last that a model's training looked at."""
    return date.fromisoformat(model.about_["train_end"]) + timedelta(days=1)


@dataclass(frozen=True)
class BlockForecasts:
    """Simulated accounts of a block and what each model says of them.

    Parameters
    ----------
    data
        The accounts and what became of them.
    said
        Probabilities by "challenger", "fhs" and, if there is one, "champion".
    stressed
        Rows seen when the market was in stress.
    names
        Names of the horizons.
    not_monotone
        Rows of the challenger whose probability falls with the horizon, and probed rows in which it rises with
        headroom, by "horizon" and "headroom"; with the number probed as "probed".
    """

    data: Dataset
    said: Mapping[str, FloatArray]
    stressed: BoolArray
    names: tuple[str, ...]
    not_monotone: Mapping[str, int]


def forecast_block(
    challenger: LiquidationForecaster,
    champion: LiquidationForecaster | None,
    view: MarketView,
    rules: RuleBook,
    block: Block,
    *,
    accounts: int,
    seed: int,
    threads: int = 1,
) -> BlockForecasts:
    """Simulate accounts on a block and ask the models; FHS is the challenger's own, fitted on the same history."""
    horizons = challenger.horizons
    data = simulated_dataset(
        view,
        rules,
        horizons,
        accounts=accounts,
        first_bar=block.first,
        last_bar=block.last,
        seed=seed,
        threads=threads,
    )
    judged = challenger.aligned(view.data.symbols)
    both = _ask(judged, view, data.sample)
    said = {CHALLENGER: both["hybrid"], FHS: both["fhs"]}
    if champion is not None:
        said[CHAMPION] = _ask(champion.aligned(view.data.symbols), view, data.sample)["hybrid"]
    broken = _not_monotone(judged, view, rules, data, said[CHALLENGER])
    stressed = market_in_stress(view, block.first)[data.sample.bar]
    return BlockForecasts(data, said, stressed, tuple(challenger.about_["horizons"]), broken)


def _ask(model: LiquidationForecaster, view: MarketView, sample: AccountSample) -> dict[str, FloatArray]:
    fields = model.scales_.fields(view.data, view.frame, sample.bar)
    return model.predict(with_columns(sample, model.columns_), fields)


def market_in_stress(view: MarketView, before: int) -> BoolArray:
    """Whether the market is in stress, as known at each bar's open, (n_bars + 1,).

    Stress is a realised volatility over 24 h, averaged over the series, above four fifths of those seen before the
    bar `before`: the block itself does not set its own yardstick.
    """
    window = max(2, round(STRESS_HOURS / view.data.bar_hours))
    volatility = realised_volatility(log_returns(view.data.mark("close")), window)
    known = np.isfinite(volatility)
    level = np.where(known, volatility, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    past = level[: before - 1][known[: before - 1].any(axis=1)]
    if len(past) == 0:
        raise InputError("leaves no past to tell stress by", column="before", value=before)
    return np.append(False, level > np.quantile(past, STRESS_QUANTILE))


def _not_monotone(
    model: LiquidationForecaster, view: MarketView, rules: RuleBook, data: Dataset, said: FloatArray
) -> dict[str, int]:
    falls = int((np.diff(said, axis=1) < -TOLERANCE).any(axis=1).sum())
    rows = np.unique(np.linspace(0, len(data) - 1, min(PROBED, len(data))).round().astype(np.int64))
    sample, book = data.sample.take(rows), data.book.take(rows)
    rises, before = np.zeros(len(rows), dtype=np.bool_), said[rows]
    for share in MORE_HEADROOM:
        richer = with_deposit(book, share * sample.exposure.gross)
        after = _ask(model, view, sample_of(view, richer, sample.bar, rules, model.horizons))["hybrid"]
        rises |= (after > before + TOLERANCE).any(axis=1)
        before = after
    return {"horizon": falls, "headroom": int(rises.sum()), "probed": len(rows)}


def block_figures(block: BlockForecasts, *, seed: int) -> dict[str, Any]:
    """Scores of every model on the rows all of them can be judged on, horizon by horizon and pooled.

    Returns
    -------
    dict
        "horizons": by name "n", "days", "events", "base_rate", "stress_rows", "models" (log_loss, brier, ece,
        ece_calm and ece_stress; NaN where too few rows are in stress), "ece_over_fhs" (`calibration_excess`, overall
        and in stress) and "skill" of the challenger over each other model (log_loss and brier), each as value, low and
        high (90%, days resampled). "pooled": the same skill with all horizons added up. "not_monotone",
        "unknown" (rows of which FHS knows every probability and the challenger does not) and "reliability" (curves by
        horizon and model).
    """
    data, said = block.data, block.said
    known = np.isfinite(np.hstack([data.breached, *said.values()])).all(axis=1)
    rows = np.flatnonzero(known)
    if len(rows) == 0:
        raise InputError("holds no account whose outcome and forecasts are all known", column="block")
    day = data.day[rows]
    days = DayBlocks(day, seed=seed)
    tables, curves = {}, {}
    for k, name in enumerate(block.names):
        of_horizon = {model: p[rows, k] for model, p in said.items()}
        tables[name] = _table(of_horizon, data.breached[rows, k], days, block.stressed[rows])
        tables[name]["ece_over_fhs"] = _over_fhs(of_horizon, data.breached[rows, k], day, block.stressed[rows], seed)
        curves[name] = {model: reliability_curve(p, data.breached[rows, k]) for model, p in of_horizon.items()}
    every = {model: p[rows] for model, p in said.items()}
    pooled = _skills(every, data.breached[rows], days)
    silent = np.isfinite(said[FHS]).all(axis=1) & ~np.isfinite(said[CHALLENGER]).all(axis=1)
    wrong = {"not_monotone": dict(block.not_monotone), "unknown": int(silent.sum())}
    return {"horizons": tables, "pooled": pooled, **wrong, "reliability": curves}


def _table(said: Mapping[str, FloatArray], outcome: FloatArray, days: DayBlocks, stressed: BoolArray) -> dict[str, Any]:
    models = {
        name: {
            "log_loss": float(log_losses(p, outcome).mean()),
            "brier": float(brier_scores(p, outcome).mean()),
            "ece": expected_calibration_error(p, outcome),
            "ece_calm": _calibration_error(p, outcome, ~stressed),
            "ece_stress": _calibration_error(p, outcome, stressed),
        }
        for name, p in said.items()
    }
    return {
        "n": len(outcome),
        "days": days.draws.shape[1],
        "events": int(outcome.sum()),
        "base_rate": float(outcome.mean()),
        "stress_rows": int(stressed.sum()),
        "models": models,
        "skill": _skills({n: p[:, None] for n, p in said.items()}, outcome[:, None], days),
    }


def _over_fhs(
    said: Mapping[str, FloatArray], outcome: FloatArray, day: IntArray, stressed: BoolArray, seed: int
) -> dict[str, dict[str, float]]:
    """Calibration error of the challenger less that of FHS, overall and in stress; NaN of too few rows."""
    out = {}
    for name, part in (("overall", np.ones(len(outcome), dtype=np.bool_)), ("stress", stressed)):
        excess = Skill(float("nan"), float("nan"), float("nan"))
        if part.sum() >= STRESS_ROWS:
            blocks = DayBlocks(day[part], seed=seed)
            excess = calibration_excess(said[CHALLENGER][part], said[FHS][part], outcome[part], blocks)
        out[name] = _plain(excess)
    return out


def _calibration_error(probability: FloatArray, outcome: FloatArray, part: BoolArray) -> float:
    if part.sum() < STRESS_ROWS:
        return float("nan")
    return expected_calibration_error(probability[part], outcome[part])


def _skills(said: Mapping[str, FloatArray], outcome: FloatArray, days: DayBlocks) -> dict[str, Any]:
    """Skill of the challenger over each other model, losses added over the horizons (last axis)."""
    logs = {name: log_losses(p, outcome).sum(axis=1) for name, p in said.items()}
    squares = {name: brier_scores(p, outcome).sum(axis=1) for name, p in said.items()}
    return {
        other: {
            "log_loss": _plain(days.skill(logs[CHALLENGER], logs[other])),
            "brier": _plain(days.skill(squares[CHALLENGER], squares[other])),
        }
        for other in said
        if other != CHALLENGER
    }


def _plain(skill: Skill) -> dict[str, float]:
    return {"value": skill.value, "low": skill.low, "high": skill.high}
