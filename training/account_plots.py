"""Equity and maintenance margin of accounts over time, with their liquidations, as one HTML file that stands alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray, TimeArray
from ..riskcore.errors import InputError
from .atomic import make_folder, write_atomically
from .report_html import cell, escaped, number, table
from .report_panels import Figure, Panels, legend
from .report_script import SCRIPT
from .report_style import style_sheet

COLUMNS = 3
HEIGHT = 170.0
TIME_AXIS: dict[str, Any] = {
    "type": "date", "nticks": 4, "tickangle": 0,
    "tickformatstops": [
        {"dtickrange": [None, 86_399_999], "value": "%H:%M\n%d %b"},
        {"dtickrange": [86_400_000, None], "value": "%d %b"},
    ],
}  # fmt: skip
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


@dataclass(frozen=True)
class AccountPath:
    """What one panel shows.

    Parameters
    ----------
    title, note
        Heading of the panel and the line beneath it in the table, e.g. what the marks are from.
    times
        Instants, UTC, rising, shape (n,).
    equity, maintenance
        Base asset, shape (n,); NaN where not known: the line is broken there.
    official
        Instants of liquidations as the venue told them, and the equity it told at each.
    official_equity
        Equity told at each of them, base asset.
    found
        Instants from which the margin core finds the account in breach.
    """

    title: str
    note: str
    times: TimeArray
    equity: FloatArray
    maintenance: FloatArray
    official: TimeArray
    official_equity: FloatArray
    found: TimeArray


def write_account_page(
    views: Mapping[str, Sequence[AccountPath]], path: str | Path, *, title: str, subtitle: str, lead: str
) -> None:
    """Write accounts' paths as one HTML file that opens from disk and asks the network for nothing.

    Parameters
    ----------
    views
        By name, panels to choose between: the same accounts near by and from afar, say.
    path
        File to write; its folder is made where it is missing.
    title, subtitle, lead
        Heading, what everything was measured on, and what is shown.

    Raises
    ------
    InputError
        A path whose arrays disagree in length, or nothing to show.
    MargincastError
        The file cannot be written.
    """
    target = Path(path)
    page = account_page(views, title=title, subtitle=subtitle, lead=lead)
    make_folder(target.parent)
    write_atomically(target, page.encode("utf-8"))


def account_page(views: Mapping[str, Sequence[AccountPath]], *, title: str, subtitle: str, lead: str) -> str:
    """The page as text; see `write_account_page`."""
    from plotly.offline import get_plotlyjs

    if not any(views.values()):
        raise InputError("has no account to show", column="views")
    figures = json.dumps({"accounts": [path_figure(paths) for paths in views.values()]}, allow_nan=False)
    options = "".join(f'<option value="{place}">{escaped(name)}</option>' for place, name in enumerate(views))
    choose = f'<label class="choose">Show <select>{options}</select></label>' if len(views) > 1 else ""
    plot = f'<div class="plot" role="img" aria-label="{escaped(title)}"></div>'
    body = f'<figure data-figure="accounts">{choose}{plot}</figure>'
    notes = "".join(_table(name, paths) for name, paths in views.items())
    scripts = "".join(
        f"<script{kind}>{text}</script>\n"
        for kind, text in (
            ("", get_plotlyjs()),
            (' type="application/json" id="figures"', figures.replace("<", "\\u003c")),
            ("", SCRIPT),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{style_sheet()}</style></head>\n<body>"
        f'<header class="top"><div class="brand">margincast</div><h1>{escaped(title)}</h1>'
        f'<p class="subtitle">{escaped(subtitle)}</p></header>\n<main>'
        f'<section><p class="lead">{escaped(lead)}</p>{body}{notes}'
        f'<p class="source">{escaped(subtitle)}</p></section></main>\n{scripts}</body></html>\n'
    )


def path_figure(paths: Sequence[AccountPath]) -> Figure:
    """Small panels, three in a row, one a path."""
    rows = -(-len(paths) // COLUMNS)
    panels = Panels([""] * COLUMNS, [""] * rows, [HEIGHT] * rows, left=52, top=74, between=62)
    for place, path in enumerate(paths):
        row, column = divmod(place, COLUMNS)
        for trace in _traces(path, in_legend=place == 0):
            panels.add(row, column, trace)
        panels.note(row, column, escaped(path.title), x=0, y=1, xanchor="left", yanchor="bottom", yshift=6)
        panels.set_axes(row, column, TIME_AXIS, {"rangemode": "tozero", "nticks": 5})
    for place in range(len(paths), rows * COLUMNS):
        panels.set_axes(*divmod(place, COLUMNS), {"visible": False}, {"visible": False})
    return panels.figure(**legend())


def _traces(path: AccountPath, *, in_legend: bool) -> list[dict[str, Any]]:
    lengths = {len(path.times), len(path.equity), len(path.maintenance)}
    if len(lengths) > 1 or len(path.official) != len(path.official_equity):
        raise InputError("arrays disagree in length", column="paths", value=path.title)
    at_found = [_last_known(path, time) for time in path.found]
    return [
        _line("Equity", path.times, path.equity, "--text", in_legend),
        _line("Maintenance margin", path.times, path.maintenance, "--alarm", in_legend, dash="dot"),
        _marks(
            "Found in breach (opening of the bar)", path.found, at_found, "--accent", "triangle-down-open", in_legend
        ),
        _marks("Official liquidation", path.official, path.official_equity.tolist(), "--alarm", "x", in_legend),
    ]


def _last_known(path: AccountPath, time: np.datetime64) -> float | None:
    place = int(np.searchsorted(path.times, time, side="right")) - 1
    return None if place < 0 or np.isnan(path.equity[place]) else float(path.equity[place])


def _line(
    name: str, times: TimeArray, values: FloatArray, colour: str, in_legend: bool, dash: str = "solid"
) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": name, "legendgroup": name, "showlegend": in_legend,
        "x": _stamps(times), "y": [None if np.isnan(v) else float(f"{v:.6g}") for v in values], "connectgaps": False,
        "line": {"color": colour, "width": 1.4, "dash": dash},
        "hovertemplate": f"{name} %{{y:,.2f}}<br>%{{x|%d %b %H:%M}}<extra></extra>",
    }  # fmt: skip


def _marks(
    name: str, times: TimeArray, values: Sequence[float | None], colour: str, symbol: str, in_legend: bool
) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name, "legendgroup": name, "showlegend": in_legend,
        "x": _stamps(times), "y": list(values), "marker": {"color": colour, "symbol": symbol, "size": 10},
        "hovertemplate": f"{name}<br>%{{x|%d %b %H:%M}}<extra></extra>",
    }  # fmt: skip


def _stamps(times: TimeArray) -> list[str]:
    return [str(time) for time in times.astype("datetime64[s]")]


def _table(name: str, paths: Sequence[AccountPath]) -> str:
    heads = [("Panel", ""), ("Official liquidations", ""), ("Official equity", "num"), ("Note", "")]
    rows = [
        [
            cell(escaped(path.title)),
            cell("<br>".join(str(time.astype("datetime64[m]")).replace("T", " ") for time in path.official)),
            cell("<br>".join(number(float(value)) for value in path.official_equity), kind="num"),
            cell(escaped(path.note)),
        ]
        for path in paths
    ]
    return f"<details><summary>{escaped(name)}: what each panel shows</summary>{table(heads, rows)}</details>"
