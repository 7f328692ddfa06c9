"""Margin now against margin proposed: bars and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .report_html import cell, escaped, is_missing, number, percent, table
from .report_panels import Figure, Panels, legend

REJECTED_BELOW = 0.05
SERIES = (("current", "Now", "--now"), ("proposed", "Proposed", "--accent"))
HEADS = (
    ("Symbol", ""), ("Side", ""), ("Now", "num"), ("Proposed", "num"), ("Change", "num"), ("Coverage", "num"),
    ("Violations", "num"), ("Tests", "num"), ("Kupiec p", "num"),
    ("", ""),
)  # fmt: skip


def margin_figure(proposal: Sequence[Mapping[str, Any]]) -> Figure:
    """Bars of the maintenance rate by symbol, a panel a side, in percent of notional."""
    sides = list(dict.fromkeys(str(row.get("side", "")) for row in proposal))
    headings = [f"<b>{escaped(side)}</b>" for side in sides]
    panels = Panels(headings, ["Maintenance rate"], [230], left=52, top=84, bottom=40)
    top = max((row[name] for row in proposal for name, _, _ in SERIES if not is_missing(row.get(name))), default=0.01)
    for column, side in enumerate(sides):
        rows = [row for row in proposal if str(row.get("side", "")) == side]
        symbols = [escaped(row["symbol"]) for row in rows]
        for name, label, colour in SERIES:
            rates = [None if is_missing(row.get(name)) else row.get(name) for row in rows]
            panels.add(0, column, _bars(symbols, rates, label, colour, in_legend=column == 0))
        y = {"tickformat": ".1~%", "range": [0, top * 1.12], "showticklabels": column == 0, "nticks": 6}
        panels.set_axes(0, column, {"type": "category", "showgrid": False, "ticks": ""}, y)
    return panels.figure(**legend(), barmode="group", bargap=0.28, bargroupgap=0.06)


def _bars(symbols: Sequence[str], rates: Sequence[Any], label: str, colour: str, *, in_legend: bool) -> dict[str, Any]:
    return {
        "type": "bar", "x": list(symbols), "y": list(rates), "name": label, "legendgroup": label,
        "showlegend": in_legend, "marker": {"color": colour},
        "hovertemplate": f"%{{x}}: {label.lower()} %{{y:.2%}}<extra></extra>",
    }  # fmt: skip


def margin_table(proposal: Sequence[Mapping[str, Any]]) -> str:
    """One row a symbol and side; a coverage that Kupiec's test rejects at 5% says so."""
    return table(HEADS, [_row(row) for row in proposal])


def _row(row: Mapping[str, Any]) -> list[str]:
    change = row.get("change")
    direction = "" if is_missing(change) or not change else "up" if change > 0 else "down"
    p = row.get("kupiec_p")
    rejected = p is not None and not is_missing(p) and p < REJECTED_BELOW
    figures = [percent(row.get("current"), 2), f"<b>{percent(row.get('proposed'), 2)}</b>"]
    figures += [f'<span class="{direction}">{percent(change, 2, sign=True)}</span>', percent(row.get("coverage"), 2)]
    figures += [number(row.get("violations"), 0), number(row.get("n"), 0), number(p, 3)]
    names = [cell(f"<b>{escaped(row['symbol'])}</b>"), cell(escaped(row.get("side", "")))]
    verdict = cell('<span class="flag">rejected at 5%</span>' if rejected else "")
    return [*names, *(cell(text, kind="num") for text in figures), verdict]
