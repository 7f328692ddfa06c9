"""Figure of skill: dots with 90% intervals, a panel a horizon, log loss over Brier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .report_html import escaped, is_missing, number, percent, probability
from .report_models import colour_of, in_order, look_of
from .report_panels import Figure, Panels

MEASURES = (("Skill in log loss", "log_loss_"), ("Skill in Brier score", ""))
DOT = {"type": "scatter", "mode": "markers", "showlegend": False, "cliponaxis": False}


@dataclass(frozen=True)
class _Row:
    """One dot of a panel: its label, and the skill with its interval."""

    label: str
    model: str
    value: float
    low: float
    high: float


def skill_figures(evaluation: Mapping[str, Any]) -> dict[str, Figure]:
    """One figure a question, by its wording: the chief model over every baseline, then every model over each baseline.

    Parameters
    ----------
    evaluation
        What `evaluate --json` writes. Skill is 1 - score / score of the baseline, as a fraction.
    """
    horizons = evaluation.get("horizons") or {}
    compared = {
        (horizon, model): entry.get("skill_vs") or {}
        for horizon, block in horizons.items()
        for model, entry in (block.get("models") or {}).items()
    }
    models = in_order(dict.fromkeys(model for _, model in compared))
    baselines = in_order(dict.fromkeys(name for entry in compared.values() for name in entry))
    with_skill = [model for model in models if any(compared.get((h, model)) for h in horizons)]
    figures = {}
    if with_skill:
        chief = with_skill[0]
        pairs = [(base, chief, base) for base in baselines if base != chief]
        figures[f"{look_of(chief).label} over every baseline"] = _figure(horizons, pairs)
    for base in baselines:
        pairs = [(model, model, base) for model in with_skill if model != base]
        figures[f"Every model over {look_of(base).label}"] = _figure(horizons, pairs)
    return figures


def _figure(horizons: Mapping[str, Any], pairs: Sequence[tuple[str, str, str]]) -> Figure:
    """Each pair is (the name a row bears, the model whose skill it shows, the baseline)."""
    height = 24.0 * len(pairs) + 16
    panels = Panels(
        [_heading(horizon, block) for horizon, block in horizons.items()],
        [text for text, _ in MEASURES],
        [height] * len(MEASURES),
        gap=0.08,
        right=0.06,
        bottom=30,
        left=176,
    )
    for row, (_, prefix) in enumerate(MEASURES):
        for column, block in enumerate(horizons.values()):
            _draw(panels, row, column, [found for pair in pairs if (found := _row(block, pair, prefix))], pairs)
    return panels.figure()


def _heading(horizon: str, block: Mapping[str, Any]) -> str:
    rows, rate = block.get("n"), block.get("base_rate")
    counts = f"n = {number(rows, 0)}, base rate {probability(rate)}" if not is_missing(rows) else ""
    return f"<b>{escaped(horizon)}</b>  {counts}"


def _row(block: Mapping[str, Any], pair: tuple[str, str, str], prefix: str) -> _Row | None:
    named, model, base = pair
    entry = ((block.get("models") or {}).get(model) or {}).get("skill_vs", {}).get(base)
    if entry is None:
        return None
    value, low, high = (entry.get(f"{prefix}{part}") for part in ("value", "low", "high"))
    if is_missing(value):
        return None
    return _Row(look_of(named).label, model, value, *(value if is_missing(v) else v for v in (low, high)))


def _draw(panels: Panels, row: int, column: int, rows: Sequence[_Row], pairs: Sequence[tuple[str, str, str]]) -> None:
    low, high = axis_range(rows)
    panels.add(row, column, _zero_line(len(pairs)))
    labels = [escaped(look_of(named).label) for named, _, _ in pairs]
    for found in rows:
        place = labels.index(escaped(found.label))
        panels.add(row, column, _dot(found, place, low, low + 0.025 * (high - low)))
        where = {"x": 1.02, "xanchor": "left", "yref": f"y{panels.place(row, column)}", "y": place}
        panels.note(row, column, percent(found.value, sign=True), **where)
    y = {
        "range": [len(pairs) - 0.4, -0.6], "tickvals": list(range(len(pairs))), "ticktext": labels, "ticks": "",
        "showticklabels": column == 0, "showgrid": True, "showline": False, "automargin": False,
        "ticklabelstandoff": 8,
    }  # fmt: skip
    panels.set_axes(row, column, {"range": [low, high], "tickformat": ".1~%", "nticks": 6, "zeroline": False}, y)


def axis_range(rows: Sequence[Any]) -> tuple[float, float]:
    """Range of a skill axis: all whiskers near zero are inside, what is far below zero does not squeeze them.

    Parameters
    ----------
    rows
        Objects with `low` and `high`, fractions.

    Examples
    --------
    >>> from types import SimpleNamespace as Row
    >>> low, high = axis_range([Row(low=-0.9, high=-0.8), Row(low=0.01, high=0.05)])
    >>> round(low, 3), round(high, 3)
    (-0.058, 0.058)
    """
    top = max([row.high for row in rows] + [0.0])
    bottom = min([row.low for row in rows] + [0.0])
    left = max(bottom, -top) if top > 0.004 else bottom
    pad = 0.08 * (top - left) or 0.01
    return left - pad, top + pad


def _zero_line(rows: int) -> dict[str, Any]:
    ends = {"x": [0, 0], "y": [-0.6, rows - 0.4]}
    return {"type": "scatter", "mode": "lines", **ends, "line": {"color": "--text", "width": 1.5}, "hoverinfo": "skip"}


def _dot(row: _Row, place: int, lowest: float, edge: float) -> dict[str, Any]:
    colour = colour_of(row.model)
    value, low, high = (percent(figure, 2, sign=True) for figure in (row.value, row.low, row.high))
    text = f"{escaped(row.label)}<br>{value}, 90% interval {low} to {high}"
    hover = {"hovertemplate": f"{text}<extra></extra>"}
    if row.value < lowest:  # off the axis: an arrow at its edge, the number beside the panel says how far
        arrow = {"symbol": "triangle-left", "size": 11, "color": colour}
        return {**DOT, **hover, "x": [edge], "y": [place], "marker": arrow}
    whisker = {"type": "data", "symmetric": False, "thickness": 2.5, "width": 0, "color": colour}
    bars = {"array": [row.high - row.value], "arrayminus": [min(row.value - row.low, row.value - lowest)]}
    symbol = look_of(row.model).symbol
    marker = {"symbol": symbol, "size": 9, "color": colour, "line": {"color": "--card", "width": 1}}
    return {**DOT, **hover, "x": [row.value], "y": [place], "marker": marker, "error_x": {**whisker, **bars}}
