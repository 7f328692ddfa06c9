"""Figure of reliability: whether what is forecast at 1% happens once in a hundred times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .report_html import escaped, is_missing, probability
from .report_models import colour_of, in_order, look_of, trace_style
from .report_panels import Figure, Panels, legend

DECADES = {1e-5: "0.001%", 1e-4: "0.01%", 1e-3: "0.1%", 1e-2: "1%", 1e-1: "10%", 1.0: "100%"}
ROWS = ("Observed frequency", "Observed over predicted", "Number of forecasts")
WORST_RATIO = 4.0
"""Ratios beyond this, either way, are drawn at the edge."""


@dataclass(frozen=True)
class _Bin:
    """Forecasts of one bin: their mean, how often the event came, how many they are."""

    predicted: float
    observed: float
    count: float


def reliability_figure(reliability: Mapping[str, Any]) -> Figure:
    """Observed against predicted frequency on logarithmic axes, over the number of forecasts in each bin.

    Parameters
    ----------
    reliability
        By horizon and model: lists predicted, observed and count, an entry a bin. A bin without an event has no place
        on a logarithmic axis: it is drawn as an open triangle on the lower edge.
    """
    bins = {h: {name: _bins(entry) for name, entry in block.items()} for h, block in reliability.items()}
    names = in_order(dict.fromkeys(name for block in bins.values() for name in block))
    panels = Panels([f"<b>{escaped(h)}</b>" for h in bins], ROWS, [270, 120, 70], left=58, top=112, between=48)
    for column, block in enumerate(bins.values()):
        low = _floor(found for entry in block.values() for found in entry)
        panels.add(0, column, _guide([low, 1.0], [low, 1.0]))
        panels.add(1, column, _guide([low, 1.0], [1.0, 1.0]))
        for name in reversed(in_order(block)):
            for place, (row, trace) in enumerate(_traces(name, block[name], low)):
                panels.add(row, column, trace_style(name, names, in_legend=column == place == 0) | trace)
        _set_axes(panels, column, low)
    return panels.figure(**legend())


def _bins(entry: Mapping[str, Any]) -> list[_Bin]:
    rows = zip(entry["predicted"], entry["observed"], entry["count"], strict=True)
    return [_Bin(p, o, n) for p, o, n in rows if not (is_missing(p) or is_missing(o)) and p > 0 and n > 0]


def _floor(found: Any) -> float:
    """Lower edge of both axes: half the smallest positive frequency, no lower than 0.001%."""
    positive = [value for entry in found for value in (entry.predicted, entry.observed) if value > 0]
    return max(min(positive, default=0.01) / 2, 1e-5)


def _guide(x: list[float], y: list[float]) -> dict[str, Any]:
    line = {"color": "--axis", "width": 1.5, "dash": "dash"}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, "hoverinfo": "skip", "showlegend": False}


def _traces(name: str, bins: list[_Bin], low: float) -> list[tuple[int, dict[str, Any]]]:
    """Traces of one model with the row each belongs to; the first one stands in the legend."""
    observed = [max(b.observed, low) for b in bins]
    ratio = [min(max(b.observed / b.predicted, 1 / WORST_RATIO), WORST_RATIO) for b in bins]
    curves = [(0, _curve(name, bins, observed, low)), (1, _curve(name, bins, ratio, low))]
    curves += [(row, _empty_bins(name, bins, edge, low)) for row, edge in ((0, low), (1, 1 / WORST_RATIO))]
    line = {"color": colour_of(name), "width": 2, "shape": "hvh"}
    counts = {"type": "scatter", "mode": "lines", "x": [b.predicted for b in bins], "y": [b.count for b in bins]}
    curves.append((2, {**counts, "line": line, "hovertemplate": "%{y:,.0f} forecasts<extra></extra>"}))
    return curves


def _curve(name: str, bins: list[_Bin], heights: list[float], low: float) -> dict[str, Any]:
    most = max((b.count for b in bins), default=1.0)
    # A bin without an event is drawn by _empty_bins.
    sizes = [6 + 5 * (b.count / most) ** 0.5 if b.observed > 0 else 0 for b in bins]
    line = {"color": "--card", "width": 1}
    marker = {"color": colour_of(name), "symbol": look_of(name).symbol, "size": sizes, "line": line, "opacity": 1}
    place = {"x": [max(b.predicted, low) for b in bins], "y": heights, "line": {"color": colour_of(name), "width": 2}}
    return {"type": "scatter", "mode": "lines+markers", **place, "marker": marker, **_hover(name, bins)}


def _empty_bins(name: str, bins: list[_Bin], edge: float, low: float) -> dict[str, Any]:
    empty = [b for b in bins if b.observed == 0]
    marker = {"color": colour_of(name), "symbol": "triangle-down-open", "size": 10}
    place = {"x": [max(b.predicted, low) for b in empty], "y": [edge] * len(empty)}
    return {"type": "scatter", "mode": "markers", **place, "marker": marker, **_hover(name, empty)}


def _hover(name: str, bins: list[_Bin]) -> dict[str, Any]:
    text = [
        f"predicted {probability(b.predicted)}, observed {probability(b.observed)}, {b.count:,.0f} forecasts"
        for b in bins
    ]
    template = f"{escaped(look_of(name).label)}<br>%{{text}}<extra></extra>"
    return {"text": text, "hovertemplate": template, "cliponaxis": False}


def _set_axes(panels: Panels, column: int, low: float) -> None:
    ticks = {value: text for value, text in DECADES.items() if value >= low}
    scale: dict[str, Any] = {"type": "log", "tickvals": list(ticks), "ticktext": list(ticks.values())}
    bounds = {**scale, "range": [math.log10(low), 0.06]}
    ratio = {"type": "log", "tickvals": [0.25, 0.5, 1, 2, 4], "ticktext": ["¼", "½", "1", "2", "4"]}
    panels.set_axes(0, column, bounds, bounds)
    panels.set_axes(1, column, bounds, {**ratio, "range": [-math.log10(WORST_RATIO), math.log10(WORST_RATIO)]})
    panels.set_axes(
        2, column, {**bounds, "title": "predicted probability"}, {"type": "log", "dtick": 1, "tickformat": "~s"}
    )
