"""Figure and table of alert economics: what a budget of alerts a day buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .report_html import cell, escaped, number, percent, table
from .report_models import colour_of, in_order, look_of, trace_style
from .report_panels import Figure, Panels, legend

MEASURES = (
    ("precision", "Precision of alerts"),
    ("share_of_events_caught", "Liquidations caught"),
    ("share_of_shortfall_caught", "Shortfall caught"),
    ("median_lead_hours", "Lead time, h: median (dotted: 10th pct)"),
)
HEADS = ("Alerts a day", "Precision", "Liquidations caught", "Shortfall caught", "Median lead, h", "10th pct lead, h")
EVEN_SPREAD = 12.0


def alert_figure(economics: Mapping[str, Any]) -> Figure:
    """Precision, what is caught and how early, against the budget of alerts a day.

    Parameters
    ----------
    economics
        By horizon and model: rows with budget_per_day, precision, share_of_events_caught, share_of_shortfall_caught,
        median_lead_hours and p10_lead_hours.
    """
    names = in_order(dict.fromkeys(name for block in economics.values() for name in block))
    headings = [f"<b>{escaped(horizon)}</b>" for horizon in economics]
    panels = Panels(headings, [text for _, text in MEASURES], [118] * len(MEASURES), left=52, top=112, between=48)
    for column, block in enumerate(economics.values()):
        budgets = sorted({row["budget_per_day"] for rows in block.values() for row in rows})
        for place, (measure, _) in enumerate(MEASURES):
            for name in reversed(in_order(block)):
                style = trace_style(name, names, in_legend=column == place == 0)
                panels.add(place, column, {**_curve(name, block[name], measure), **style})
                if measure == "median_lead_hours":
                    panels.add(place, column, {**_curve(name, block[name], "p10_lead_hours", dash="dot"), **style})
            x = _budget_axis(budgets) | ({"title": "alerts a day"} if place == len(MEASURES) - 1 else {})
            hours = {"rangemode": "tozero", "nticks": 5}
            share = {"range": [0, 1.04], "tickvals": [0, 0.25, 0.5, 0.75, 1], "tickformat": ".0%"}
            panels.set_axes(place, column, x, hours if measure == "median_lead_hours" else share)
    return panels.figure(**legend())


def _curve(name: str, rows: Sequence[Mapping[str, Any]], measure: str, dash: str = "solid") -> dict[str, Any]:
    colour, look = colour_of(name), look_of(name)
    shown = "%{y:.1f} h" if measure.endswith("hours") else "%{y:.1%}"
    ordered = sorted(rows, key=lambda row: float(row["budget_per_day"]))
    return {
        "type": "scatter", "mode": "lines" if dash == "dot" else "lines+markers",
        "x": [row["budget_per_day"] for row in ordered], "y": [row.get(measure) for row in ordered],
        "line": {"color": colour, "width": 2, "dash": dash},
        "marker": {"color": colour, "symbol": look.symbol, "size": 7, "line": {"color": "--card", "width": 1}},
        "hovertemplate": f"{escaped(look.label)}, %{{x}} a day: {shown}<extra></extra>",
    }  # fmt: skip


def _budget_axis(budgets: Sequence[float]) -> dict[str, Any]:
    wide = len(budgets) > 1 and budgets[0] > 0 and budgets[-1] / budgets[0] > EVEN_SPREAD
    return {"type": "log" if wide else "linear", "tickvals": list(budgets), "ticktext": [f"{b:g}" for b in budgets]}


def alert_table(economics: Mapping[str, Any]) -> str:
    """The figures of `alert_figure` in numbers."""
    heads = [("Horizon", ""), ("Model", ""), *((text, "num") for text in HEADS)]
    rows = [
        [cell(escaped(horizon)), cell(escaped(look_of(name).label)), *_cells(row)]
        for horizon, block in economics.items()
        for name in in_order(block)
        for row in block[name]
    ]
    return table(heads, rows)


def _cells(row: Mapping[str, Any]) -> list[str]:
    shares = [percent(row.get(measure)) for measure, _ in MEASURES[:3]]
    leads = [number(row.get(name), 1) for name in ("median_lead_hours", "p10_lead_hours")]
    shown = [f"{row['budget_per_day']:g}", *shares, *leads]
    return [cell(text, kind="num") for text in shown]
