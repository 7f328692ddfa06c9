"""Scores of every model on evaluated rows, horizon by horizon, as `evaluate --json` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray
from .evaluated_rows import EvaluatedRows
from .scores import (
    DayBlocks,
    ForecastTotals,
    auc_within_strata,
    brier_scores,
    calibration_line,
    expected_calibration_error,
    log_losses,
)
from .slices import Cut, cuts_of, ece_of, slice_table


def score_table(rows: EvaluatedRows, horizon: int, baselines: Sequence[str], seed: int) -> dict[str, Any]:
    """Scores at one horizon, by its place, on the rows all models can be judged on.

    Returns
    -------
    dict
        n, events, base_rate; "models": for each model brier, log_loss, auc_within_strata, ece (also by regime),
        calibration_slope, calibration_intercept and "skill_vs" the baselines; "slices": `slice_table` by cut and slice.
    """
    known = np.flatnonzero(rows.known(horizon))
    cuts = {name: cut.take(known) for name, cut in cuts_of(rows).items()}
    judged = rows.take(known)
    said = {name: p[:, horizon] for name, p in judged.said.items()}
    outcome, days = judged.breached[:, horizon], DayBlocks(judged.day, seed=seed)
    totals = {name: ForecastTotals.of(p, outcome, days) for name, p in said.items()}
    models = {
        name: _calibration(p, outcome, cuts["regime"])
        | {
            "brier": float(brier_scores(p, outcome).mean()),
            "log_loss": float(log_losses(p, outcome).mean()),
            "auc_within_strata": auc_within_strata(p, outcome, cuts["distance"].place),
            "skill_vs": {base: totals[name].entry_over(totals[base]) for base in baselines if base != name},
        }
        for name, p in said.items()
    }
    return {
        "n": len(outcome),
        "events": int(outcome.sum()),
        "base_rate": float(outcome.mean()),
        "models": models,
        "slices": _slices(said, outcome, judged.day, cuts, seed),
    }


def _calibration(probability: FloatArray, outcome: FloatArray, regime: Cut) -> dict[str, Any]:
    slope, intercept = calibration_line(probability, outcome)
    return {
        "ece": expected_calibration_error(probability, outcome),
        "ece_by_regime": {r: ece_of(probability[regime.rows(r)], outcome[regime.rows(r)]) for r in regime.names},
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }


def _slices(
    said: Mapping[str, FloatArray], outcome: FloatArray, day: IntArray, cuts: Mapping[str, Cut], seed: int
) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for name, cut in cuts.items():
        out[name] = {}
        for part in cut.names:
            own = cut.rows(part)
            out[name][part] = slice_table({m: p[own] for m, p in said.items()}, outcome[own], day[own], seed)
    return out
