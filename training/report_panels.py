"""The grid of small panels that the figures of the report are made of, as plotly figure dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Figure = dict[str, Any]

TEXT = {"color": "--text", "size": 12.5}
FAINT = {"color": "--muted", "size": 12}


@dataclass
class Panels:
    """A figure of rows by columns of panels, each with its own axes.

    Parameters
    ----------
    columns
        Headings of the columns, one a horizon or side.
    rows
        Headings of the rows, one a measure.
    heights
        Height of each row in pixels.
    gap, right
        Room between panels and right of the last one, as shares of the figure's width.
    left, top, bottom, between
        Room for labels, in pixels; `between` separates rows.
    """

    columns: Sequence[str]
    rows: Sequence[str]
    heights: Sequence[float]
    gap: float = 0.06
    right: float = 0.0
    left: float = 56.0
    top: float = 58.0
    bottom: float = 52.0
    between: float = 58.0
    data: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, Any] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def place(self, row: int, column: int) -> str:
        """Suffix of the panel's axes: "" for the first, then "2", "3", ..."""
        position = row * len(self.columns) + column
        return "" if position == 0 else str(position + 1)

    def add(self, row: int, column: int, trace: Mapping[str, Any]) -> None:
        """Draw a trace into a panel."""
        suffix = self.place(row, column)
        self.data.append({"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", **trace})

    def set_axes(self, row: int, column: int, x: Mapping[str, Any], y: Mapping[str, Any]) -> None:
        """Give a panel its axes; domains and common looks are added."""
        suffix = self.place(row, column)
        left, right = self._across(column)
        low, high = self._down(row)
        common = {
            "gridcolor": "--grid", "linecolor": "--axis", "tickcolor": "--axis", "zerolinecolor": "--axis",
            "showline": True, "zeroline": False, "ticks": "outside", "ticklen": 4, "tickfont": FAINT,
            "fixedrange": True, "title": {"font": FAINT},
        }  # fmt: skip
        self.axes[f"xaxis{suffix}"] = {**common, "domain": [left, right], "anchor": f"y{suffix}", **_titled(x)}
        self.axes[f"yaxis{suffix}"] = {**common, "domain": [low, high], "anchor": f"x{suffix}", **_titled(y)}

    def note(self, row: int, column: int, text: str, **where: Any) -> None:
        """Write text in a panel's own coordinates: (0, 0) is its lower left corner, (1, 1) its upper right."""
        suffix = self.place(row, column)
        place = {"xref": f"x{suffix} domain", "yref": f"y{suffix} domain", "showarrow": False, "font": FAINT}
        self.notes.append({"text": text, **place, **where})

    def figure(self, **layout: Any) -> Figure:
        """The finished figure; column and row headings are written over their panels."""
        for column, text in enumerate(self.columns):
            place = {"x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 26, "font": TEXT}
            self.note(0, column, text, **place)
        for row, text in enumerate(self.rows):
            self.note(row, 0, text, x=0, y=1, xanchor="left", yanchor="bottom", yshift=6)
        base = {
            "height": self._height(), "margin": {"l": self.left, "r": 22, "t": self.top, "b": self.bottom},
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font": TEXT, "annotations": self.notes,
            "hoverlabel": {"bgcolor": "--card", "bordercolor": "--axis", "font": TEXT, "align": "left"},
            "showlegend": False, "hovermode": "closest", "dragmode": False,
        }  # fmt: skip
        return {"data": self.data, "layout": {**base, **self.axes, **layout}}

    def _height(self) -> float:
        return sum(self.heights) + self.between * (len(self.rows) - 1) + self.top + self.bottom

    def _across(self, column: int) -> tuple[float, float]:
        width = (1.0 - self.right - self.gap * (len(self.columns) - 1)) / len(self.columns)
        left = column * (width + self.gap)
        return left, left + width

    def _down(self, row: int) -> tuple[float, float]:
        inner = self._height() - self.top - self.bottom
        above = sum(self.heights[:row]) + self.between * row
        return max(0.0, 1.0 - (above + self.heights[row]) / inner), 1.0 - above / inner


def _titled(axis: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"text": value, "font": FAINT, "standoff": 8} if name == "title" else value
        for name, value in axis.items()
    }


def legend() -> dict[str, Any]:
    """Layout of a legend that stands in rows over the panels."""
    place = {"orientation": "h", "x": 0, "xref": "container", "y": 1, "yanchor": "top", "yref": "container"}
    return {"showlegend": True, "legend": {**place, "font": TEXT, "itemsizing": "constant", "bgcolor": "rgba(0,0,0,0)"}}
