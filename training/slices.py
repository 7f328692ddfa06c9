"""Slices of tested accounts: by leverage, legs, collateral, mode, side, regime and distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..riskcore.arrays import BoolArray, FloatArray, IntArray
from .calibration_excess import calibration_excess
from .evaluated_rows import EvaluatedRows
from .market_regime import REGIMES, regime_of
from .scores import DayBlocks, ForecastTotals, Skill, expected_calibration_error

STRATA = 10
LEAST_ROWS, LEAST_DAYS = 200, 10
"""Fewer rows or days give neither a calibration error nor an interval worth reading."""
CHIEF, FHS = "hybrid", "fhs"
COMPARED = (FHS, "fhs_har")


@dataclass(frozen=True)
class Cut:
    """One way to cut rows into slices: their names, and which each row falls in; -1: in none, not known."""

    names: tuple[str, ...]
    place: IntArray

    def rows(self, name: str) -> BoolArray:
        """Rows of one slice."""
        return np.asarray(self.place == self.names.index(name))

    def take(self, rows: IntArray) -> Cut:
        """The cut of these rows, in this order, at the edges it had."""
        return Cut(self.names, self.place[rows])


def cuts_of(rows: EvaluatedRows) -> dict[str, Cut]:
    """Every way to cut these rows, by name: leverage, legs, collateral, mode, side, regime, distance.

    Leverage is cut at thirds and distance at tenths of the rows themselves.
    """
    traits = rows.traits
    tenths = tuple(f"tenth {k + 1}" for k in range(STRATA))
    return {
        "leverage": Cut(("low", "middle", "high"), quantile_place(traits["leverage"], 3)),
        "legs": Cut(("1", "2", "3+"), np.clip(traits["legs"], 0, 3).astype(np.int64) - 1),
        "collateral": Cut(("base only", "part coin"), traits["coin"].astype(np.int64)),
        "mode": Cut(("cross", "isolated"), traits["isolated"].astype(np.int64)),
        "side": Cut(("net long", "net short"), np.where(traits["net"] == 0, -1, (traits["net"] < 0).astype(np.int64))),
        "regime": Cut(REGIMES, regime_of(traits["volatility_rank"])),
        "distance": Cut(tenths, strata_of(traits["distance"])),
    }


def strata_of(distance: FloatArray) -> IntArray:
    """Tenth of the distance to liquidation each row falls in; -1 where it is NaN."""
    return quantile_place(distance, STRATA)


def quantile_place(values: FloatArray, parts: int) -> IntArray:
    """Which of `parts` equal shares of the known values each value falls in; -1 where it is NaN.

    Examples
    --------
    >>> quantile_place(np.array([1.0, 2.0, 3.0, 4.0, np.nan]), 2).tolist()
    [0, 0, 1, 1, -1]
    """
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(values), -1)
    edges = np.quantile(values[known], np.linspace(0, 1, parts + 1)[1:-1])
    return np.where(known, np.searchsorted(edges, values, side="right"), -1)


def slice_table(said: Mapping[str, FloatArray], outcome: FloatArray, day: IntArray, seed: int) -> dict[str, Any]:
    """Scores of one slice at one horizon.

    Parameters
    ----------
    said
        Probabilities by model, (n,); the hybrid, fhs and fhs_har are looked at.
    outcome, day
        0 or 1, and the day number, (n,).
    seed
        Of the resampled days.

    Returns
    -------
    dict
        n, days, events; "skill_vs": of the hybrid over fhs and fhs_har as in an evaluation, empty where there are
        fewer than 10 days or no event; "ece" of the hybrid and fhs and "ece_over_fhs", the difference with its 90%
        interval: NaN of fewer than 200 rows.
    """
    events, days, enough = int(outcome.sum()), len(np.unique(day)), len(outcome) >= LEAST_ROWS
    skills, excess = {}, Skill(float("nan"), float("nan"), float("nan"))
    if days >= LEAST_DAYS and events:
        blocks = DayBlocks(day, seed=seed)
        totals = {name: ForecastTotals.of(said[name], outcome, blocks) for name in (CHIEF, *COMPARED)}
        skills = {base: totals[CHIEF].entry_over(totals[base]) for base in COMPARED}
        excess = calibration_excess(said[CHIEF], said[FHS], outcome, blocks) if enough else excess
    return {
        "n": len(outcome),
        "days": days,
        "events": events,
        "skill_vs": skills,
        "ece": {name: ece_of(said[name], outcome) for name in (CHIEF, FHS)},
        "ece_over_fhs": {"value": excess.value, "low": excess.low, "high": excess.high},
    }


def ece_of(probability: FloatArray, outcome: FloatArray) -> float:
    """Expected calibration error; NaN of fewer than 200 rows."""
    return expected_calibration_error(probability, outcome) if len(outcome) >= LEAST_ROWS else float("nan")
