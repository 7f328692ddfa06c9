"""How each model looks in every figure and table of the report: its name in words, its colour and its symbol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .report_html import escaped


@dataclass(frozen=True)
class ModelLook:
    """Name in words, colour on a light and on a dark page, and plotly marker symbol."""

    label: str
    light: str
    dark: str
    symbol: str


LOOKS: Mapping[str, ModelLook] = {
    "hybrid": ModelLook("Hybrid", "#c4401a", "#ff8157", "circle"),
    "lightgbm": ModelLook("LightGBM", "#0a7659", "#34c79b", "square"),
    "fhs_learned": ModelLook("FHS, learned volatility", "#1f5fbf", "#72abff", "diamond"),
    "fhs_har": ModelLook("FHS, HAR volatility", "#8346a0", "#ca93e6", "triangle-up"),
    "fhs_harq": ModelLook("FHS, HARQ volatility", "#5b57c7", "#a8a5ff", "triangle-left"),
    "fhs_realized_garch": ModelLook("FHS, Realized GARCH", "#2b7c8f", "#6fc6da", "triangle-right"),
    "fhs": ModelLook("FHS, EWMA blend", "#2a2f37", "#e8eaee", "cross"),
    "garch_t": ModelLook("GARCH-t Monte Carlo", "#7a4b22", "#d3a276", "hexagon"),
    "ewma_reflection": ModelLook("EWMA reflection", "#96680a", "#e2b449", "triangle-down"),
    "touch_366d": ModelLook("Touch frequency, 366 d", "#ad3c77", "#f29ac5", "pentagon"),
    "health_factor": ModelLook("Health factor", "#4c6b1f", "#a9c971", "star-diamond"),
    "climatology": ModelLook("Climatology", "#6d7682", "#a3acb8", "hourglass"),
}
"""From the one that matters most to the plainest baseline; figures and tables keep this order."""

OTHER = ModelLook("", "#4d6570", "#9fb8c3", "star")


def look_of(name: str) -> ModelLook:
    """How a model looks; a name not in LOOKS keeps its name and shares one colour with other such.

    Examples
    --------
    >>> look_of("fhs").label, look_of("mine").label
    ('FHS, EWMA blend', 'mine')
    """
    return LOOKS.get(name) or ModelLook(name, OTHER.light, OTHER.dark, OTHER.symbol)


def colour_of(name: str) -> str:
    """The style variable that carries the model's colour; the page resolves it for light and dark.

    Examples
    --------
    >>> colour_of("hybrid"), colour_of("mine")
    ('--model-hybrid', '--model-other')
    """
    return f"--model-{name.replace('_', '-')}" if name in LOOKS else "--model-other"


def in_order(names: Iterable[str]) -> list[str]:
    """Model names in the order of LOOKS, others after them as they come.

    Examples
    --------
    >>> in_order(["mine", "climatology", "hybrid"])
    ['hybrid', 'climatology', 'mine']
    """
    found = list(names)
    return [name for name in LOOKS if name in found] + [name for name in found if name not in LOOKS]


def colour_rules(dark: bool) -> str:
    """The style declarations of all model colours."""
    looks = {**LOOKS, "other": OTHER}
    return "".join(
        f"--model-{name.replace('_', '-')}:{look.dark if dark else look.light};" for name, look in looks.items()
    )


def shown_first(names: Iterable[str]) -> set[str]:
    """The few models drawn at first where all of them would hide each other.

    Examples
    --------
    >>> sorted(shown_first(["hybrid", "lightgbm", "fhs_learned", "fhs_har", "fhs", "climatology"]))
    ['fhs', 'hybrid', 'lightgbm']
    """
    found = in_order(names)
    chosen = set(found) & {"hybrid", "lightgbm", "fhs"}
    return chosen if len(chosen) > 1 and len(found) > 4 else set(found)


def trace_style(name: str, names: Iterable[str], *, in_legend: bool) -> dict[str, Any]:
    """What a plotly trace of a model has in every figure; models not shown first wait in the legend."""
    rank = list(LOOKS).index(name) if name in LOOKS else len(LOOKS)
    look = {"name": escaped(look_of(name).label), "legendgroup": name, "showlegend": in_legend, "legendrank": rank}
    return look if name in shown_first(names) else {**look, "visible": "legendonly"}
