"""The methods every margin proposal is shown against."""

from __future__ import annotations

from collections.abc import Sequence

from ..models.margin_conformal import AdaptiveConformal, RollingConformal
from ..models.margin_quantiles import (
    EwmaNormal,
    FilteredHistorical,
    HistoricalSimulation,
    QuantileModel,
    StaticRate,
)
from ..models.procyclicality import LongFloor, MarginTool, StressBuffer, StressWeight
from .margin_walk import SideWalk, Walked

TEMPERED: Sequence[QuantileModel] = (
    HistoricalSimulation(250),
    HistoricalSimulation(500),
    EwmaNormal(),
    FilteredHistorical(decay=0.97),
    FilteredHistorical(decay=0.99),
)
"""Shown bare and with each of the `TOOLS`."""

TOOLS: Sequence[MarginTool] = (StressBuffer(), StressWeight(), LongFloor())

CONFORMAL: Sequence[QuantileModel] = (RollingConformal(EwmaNormal()), AdaptiveConformal(EwmaNormal()))


def baseline_walks(walk: SideWalk, current: float) -> dict[str, Walked | None]:
    """Every baseline walked on one side, by name; None where it has no forecast in the tested span.

    Parameters
    ----------
    walk
        The side.
    current
        Rate of the rules in force, which is the baseline "static".
    """
    series, level = walk.series, walk.level
    out = {"static": walk.judged(StaticRate(current).predict(series, level))}
    for model in TEMPERED:
        path = model.predict(series, level)
        out[model.name] = walk.judged(path)
        out |= {f"{model.name}+{tool.name}": walk.judged(tool.apply(path, series, level)) for tool in TOOLS}
    return out | {model.name: walk.judged(model.predict(series, level)) for model in CONFORMAL}
