"""Goals of the forecasts against what a validation measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .slices import CHIEF

SKILL_GOALS = {
    ("fhs", "log_loss_"): {"1h": 0.07, "4h": 0.05, "24h": 0.02},
    ("fhs", ""): {"1h": 0.02, "4h": 0.02, "24h": 0.016},
    ("fhs_har", "log_loss_"): {"1h": 0.03, "4h": 0.02, "24h": 0.01},
}
"""Least skill of the hybrid by baseline and measure (the prefix in an evaluation's entries), and by horizon."""
WORST_CRASH = -0.01
MOST_ECE = {"calm": 0.01, "stressed": 0.03}
WORDS = {"log_loss_": "log-loss", "": "Brier"}


@dataclass(frozen=True)
class Goal:
    """One goal and what was measured.

    Parameters
    ----------
    what, horizon
        In words, and the horizon's name.
    goal, measured
        Both in the same unit; `measured` is NaN where nothing could be measured.
    at_most
        Whether the measured figure may be at most the goal; otherwise it must be at least it.
    """

    what: str
    horizon: str
    goal: float
    measured: float
    at_most: bool = False

    @property
    def distance(self) -> float:
        """How far on the right side of the goal: negative where it is missed.

        Examples
        --------
        >>> Goal("ECE", "1h", 0.01, 0.03, at_most=True).distance
        -0.02
        """
        return round(self.goal - self.measured if self.at_most else self.measured - self.goal, 12)

    @property
    def met(self) -> bool:
        """Whether it is met; what could not be measured is not."""
        return self.distance >= 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        plain = {"what": self.what, "horizon": self.horizon, "goal": self.goal, "measured": self.measured}
        return plain | {"at_most": self.at_most, "met": self.met, "distance": self.distance}


def goals_of(
    pooled: Sequence[Mapping[str, Any]],
    blocks: Sequence[Mapping[str, Any]],
    crashes: Sequence[Mapping[str, Any]],
    falling: int,
) -> list[Goal]:
    """Every goal, horizon by horizon.

    Parameters
    ----------
    pooled
        Tables by horizon of all walk-forward blocks together, one a seed: means over seeds are held to the goals.
    blocks, crashes
        Tables by horizon of each block and seed, and of each left-out crash: the worst is held to the goal.
    falling
        Rows of any test in which the hybrid's probability falls with the horizon.
    """
    goals = []
    for horizon in pooled[0]:
        tables, years, left_out = ([one[horizon] for one in part] for part in (pooled, blocks, crashes))
        goals += _skill_goals(horizon, tables, years)
        if left_out:
            worst = _worst(_skill(one, base, "log_loss_value") for one in left_out for base in ("fhs", "fhs_har"))
            goals.append(Goal("worst left-out crash, log-loss skill", horizon, WORST_CRASH, worst))
        goals += _calibration_goals(horizon, tables)
    goals.append(Goal("rows whose probability falls with the horizon", "all", 0.0, float(falling), at_most=True))
    return goals


def _skill_goals(horizon: str, pooled: Sequence[Mapping[str, Any]], blocks: Sequence[Mapping[str, Any]]) -> list[Goal]:
    goals = []
    for (base, prefix), asked in SKILL_GOALS.items():
        if horizon in asked:
            words = f"{WORDS[prefix]} skill over {base}"
            mean = float(np.mean([_skill(table, base, f"{prefix}value") for table in pooled]))
            lowest = _worst(_skill(table, base, f"{prefix}low") for table in blocks)
            goals += [Goal(words, horizon, asked[horizon], mean), Goal(f"{words}, lowest bound", horizon, 0.0, lowest)]
    return goals


def _calibration_goals(horizon: str, pooled: Sequence[Mapping[str, Any]]) -> list[Goal]:
    def mean(model: str, regime: str) -> float:
        return float(np.mean([table["models"][model]["ece_by_regime"][regime] for table in pooled]))

    goals = []
    for regime, most in MOST_ECE.items():
        ours, fhs = mean(CHIEF, regime), mean("fhs", regime)
        goals.append(Goal(f"ECE, {regime}", horizon, most, ours, at_most=True))
        goals.append(Goal(f"ECE less that of fhs, {regime}", horizon, 0.0, ours - fhs, at_most=True))
        low = float(np.mean([table["slices"]["regime"][regime]["ece_over_fhs"]["low"] for table in pooled]))
        goals.append(Goal(f"ECE less that of fhs, {regime}, lower bound", horizon, 0.0, low, at_most=True))
    return goals


def _worst(values: Iterable[float]) -> float:
    """The least; NaN if any is: `min` would pass it over."""
    return float(np.min(list(values)))


def _skill(table: Mapping[str, Any], base: str, field: str) -> float:
    return float(table["models"][CHIEF]["skill_vs"][base][field])
