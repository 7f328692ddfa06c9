"""A page of a report: sections, figures and tables in one HTML file that asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..riskcore.errors import MargincastError
from .atomic import write_atomically
from .report_html import escaped, is_missing
from .report_panels import Figure
from .report_script import SCRIPT
from .report_style import style_sheet

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
"""What the browser lets the page do: nothing over the network."""


@dataclass
class Page:
    """Sections as they are made, and the figures that the script will draw into them.

    Parameters
    ----------
    title, subtitle
        Heading, and what everything was measured on, in a line: it is repeated under each section.
    warnings
        Lines shown on top.
    """

    title: str
    subtitle: str
    warnings: Sequence[str] = ()
    parts: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    figures: dict[str, list[Figure]] = field(default_factory=dict)

    def section(self, name: str, title: str, lead: str, body: str) -> None:
        """Add a section; `lead` and `body` are HTML."""
        self.links.append(f'<a href="#{name}">{title}</a>')
        source = f'<p class="source">{escaped(self.subtitle)}</p>'
        self.parts.append(f'<section id="{name}"><h2>{title}</h2><p class="lead">{lead}</p>{body}{source}</section>')

    def figure(self, name: str, variants: Mapping[str, Figure], label: str) -> str:
        """The place of a figure as HTML; of several variants the reader chooses one by its name."""
        self.figures[name] = list(variants.values())
        options = "".join(f'<option value="{place}">{escaped(text)}</option>' for place, text in enumerate(variants))
        choose = f'<label class="choose">Show <select>{options}</select></label>' if len(variants) > 1 else ""
        plot = f'<div class="plot" role="img" aria-label="{escaped(label)}"></div>'
        return f'<figure data-figure="{name}">{choose}{plot}</figure>'

    def html(self) -> str:
        """The whole page."""
        from plotly.offline import get_plotlyjs

        warned = "".join(f"<li>{escaped(text)}</li>" for text in self.warnings)
        warnings = f'<div class="warnings" role="note"><b>Warnings</b><ul>{warned}</ul></div>' if warned else ""
        figures = json.dumps(plain_values(self.figures), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        scripts = "".join(
            f"<script{kind}>{text}</script>\n"
            for kind, text in (
                ("", get_plotlyjs() if self.figures else ""),
                (' type="application/json" id="figures"', figures),
                ("", SCRIPT),
            )
        )
        return (
            '<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{escaped(self.title)}</title><style>{style_sheet()}</style></head>\n<body>"
            f'<header class="top"><div class="brand">margincast</div><h1>{escaped(self.title)}</h1>'
            f'<p class="subtitle">{escaped(self.subtitle)}</p>{warnings}</header>'
            f'<nav aria-label="Sections"><div>{"".join(self.links)}</div></nav>\n<main>'
            "<noscript><p>Figures and sorting need JavaScript; the tables do not.</p></noscript>"
            f"{chr(10).join(self.parts)}</main>\n"
            "<footer>Written by margincast. This page holds all it shows and makes no network request.</footer>\n"
            f"{scripts}</body></html>\n"
        )

    def write(self, path: str | Path) -> None:
        """Write the page as one HTML file; MargincastError where it cannot be, and what stood there before stays."""
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise MargincastError(f"{target}: could not be written ({failure.strerror or failure})") from failure
        write_atomically(target, self.html().encode("utf-8"))


def tiles(figures: Sequence[tuple[str, str]]) -> str:
    """Headline figures as tiles, from (label, text); what stands in brackets at a text's end is set small."""
    columns = min((5, 4, 3), key=lambda wide: (-len(figures) % wide, -wide))
    return f'<dl class="tiles" style="--columns:{columns}">{"".join(_tile(*entry) for entry in figures)}</dl>'


def _tile(label: str, text: str) -> str:
    figure, bracket, rest = text.partition(" (")
    more = f"<small>{escaped(rest.removesuffix(')'))}</small>" if bracket else ""
    return f"<div><dt>{escaped(label)}</dt><dd>{escaped(figure)}{more}</dd></div>"


def plain_values(value: Any) -> Any:
    """Values as JSON can carry them: no NaN, no numpy."""
    if isinstance(value, Mapping):
        return {str(name): plain_values(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain_values(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if is_missing(value) else value
