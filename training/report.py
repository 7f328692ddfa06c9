"""The report: one HTML file that carries everything it shows and asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..riskcore.errors import MargincastError
from .atomic import write_atomically
from .report_accounts import account_table
from .report_alerts import alert_figure, alert_table
from .report_html import absent, escaped, is_missing
from .report_margin import margin_figure, margin_table
from .report_panels import Figure
from .report_provenance import nested
from .report_reliability import reliability_figure
from .report_scores import score_table
from .report_script import SCRIPT
from .report_skill import skill_figures
from .report_style import style_sheet

Rows = Sequence[Mapping[str, Any]]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
"""What the browser lets the page do: nothing over the network."""


@dataclass(frozen=True)
class ReportContent:
    """Everything the report shows. What is None or empty is said to be absent.

    Parameters
    ----------
    title, subtitle
        Heading, and what everything was measured on, in a line ("Simulated market, seed 1; accounts simulated"): it is
        repeated under each section.
    summary
        Headline figures as (label, text).
    evaluation
        What `evaluate --json` writes.
    reliability
        By horizon and model: lists predicted, observed, count.
    alert_economics
        By horizon and model: rows with budget_per_day, precision, share_of_events_caught, share_of_shortfall_caught,
        median_lead_hours, p10_lead_hours.
    endangered
        Accounts with account, pool, stage, equity, maintenance, headroom (base asset), probabilities and structural by
        horizon, reasons (text and effect on the log-odds), advice (texts).
    proposal
        Rows with symbol, side, current, proposed, change, coverage (fractions), kupiec_p, violations, n.
    provenance
        Nested mapping: files and hashes, ranges, rule-book and its sources, versions, notes.
    warnings
        Lines shown on top.
    """

    title: str
    subtitle: str
    summary: Sequence[tuple[str, str]] = ()
    evaluation: Mapping[str, Any] | None = None
    reliability: Mapping[str, Any] | None = None
    alert_economics: Mapping[str, Any] | None = None
    endangered: Rows | None = None
    proposal: Rows | None = None
    provenance: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()


@dataclass
class _Page:
    """Sections as they are made, and the figures that the script will draw into them."""

    subtitle: str
    parts: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    figures: dict[str, list[Figure]] = field(default_factory=dict)

    def section(self, name: str, title: str, lead: str, body: str) -> None:
        self.links.append(f'<a href="#{name}">{title}</a>')
        source = f'<p class="source">{escaped(self.subtitle)}</p>'
        self.parts.append(f'<section id="{name}"><h2>{title}</h2><p class="lead">{lead}</p>{body}{source}</section>')

    def figure(self, name: str, variants: Mapping[str, Figure], label: str) -> str:
        self.figures[name] = list(variants.values())
        options = "".join(f'<option value="{place}">{escaped(text)}</option>' for place, text in enumerate(variants))
        choose = f'<label class="choose">Show <select>{options}</select></label>' if len(variants) > 1 else ""
        plot = f'<div class="plot" role="img" aria-label="{escaped(label)}"></div>'
        return f'<figure data-figure="{name}">{choose}{plot}</figure>'


def write_report(content: ReportContent, path: str | Path) -> None:
    """Write the report as one HTML file that opens from disk.

    The same content gives the same bytes. Text is escaped: an account may be called anything.

    Parameters
    ----------
    content
        What to show.
    path
        File to write; its folder is made where it is missing.

    Raises
    ------
    MargincastError
        The file cannot be written; what stood there before still does.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise MargincastError(f"{target}: could not be written ({failure.strerror or failure})") from failure
    write_atomically(target, report_html(content).encode("utf-8"))


def report_html(content: ReportContent) -> str:
    """The report as text; see `write_report`.

    Examples
    --------
    >>> html = report_html(ReportContent("Trial <1>", "Simulated market, seed 1; accounts simulated"))
    >>> "Trial &lt;1&gt;" in html, html.count("Absent:")
    (True, 7)
    """
    page = _Page(content.subtitle)
    _add_headline(page, content)
    _add_skill(page, content.evaluation or {})
    _add_reliability(page, content.reliability or {})
    _add_alerts(page, content.alert_economics or {})
    _add_accounts(page, content.endangered or ())
    _add_margin(page, content.proposal or ())
    _add_provenance(page, content)
    return _document(content, page)


def _add_headline(page: _Page, content: ReportContent) -> None:
    tiles = "".join(_tile(label, text) for label, text in content.summary)
    columns = min((5, 4, 3), key=lambda wide: (-len(content.summary) % wide, -wide))
    body = f'<dl class="tiles" style="--columns:{columns}">{tiles}</dl>' if tiles else absent("headline figures")
    page.section("headline", "Headline", "What this run found.", body)


def _tile(label: str, text: str) -> str:
    figure, bracket, rest = text.partition(" (")
    more = f"<small>{escaped(rest.removesuffix(')'))}</small>" if bracket else ""
    return f"<div><dt>{escaped(label)}</dt><dd>{escaped(figure)}{more}</dd></div>"


def _add_skill(page: _Page, evaluation: Mapping[str, Any]) -> None:
    lead = (
        "Skill is 1 − score / score of the baseline: right of the line is better than the baseline. Whiskers are 90% "
        "intervals by blocks of days, since accounts of one hour share one price path. A triangle at the left edge "
        "stands for a value off the axis. Log loss is judged first."
    )
    if not evaluation.get("horizons"):
        return page.section("skill", "Skill against baselines", lead, absent("evaluation against the baselines"))
    variants = skill_figures(evaluation)
    body = page.figure("skill", variants, "Skill with 90% intervals") if variants else absent("skill with intervals")
    body += f"<details><summary>All scores in numbers</summary>{score_table(evaluation)}</details>"
    page.section("skill", "Skill against baselines", lead, body)


def _add_reliability(page: _Page, reliability: Mapping[str, Any]) -> None:
    lead = (
        "On the diagonal, what is forecast at 1% happens once in a hundred times; above it, the forecast was too low. "
        "Both axes are logarithmic since liquidations are rare; an open triangle on the lower edge marks a bin "
        "in which none came. Models pale in the legend appear on a click."
    )
    found = {horizon: block for horizon, block in reliability.items() if block}
    figure = {"": reliability_figure(found)} if found else {}
    body = page.figure("reliability", figure, "Reliability diagrams") if found else absent("reliability diagrams")
    page.section("reliability", "Reliability", lead, body)


def _add_alerts(page: _Page, economics: Mapping[str, Any]) -> None:
    lead = (
        "If the k most endangered accounts of each day are alerted: how many alerts come true, how much of what was "
        "lost beyond collateral they cover, and how early they come."
    )
    found = {horizon: block for horizon, block in economics.items() if any(block.values())}
    body = absent("alert economics")
    if found:
        body = page.figure("alerts", {"": alert_figure(found)}, "Alert economics by budget")
        body += f"<details><summary>In numbers</summary>{alert_table(found)}</details>"
    page.section("alerts", "Alert economics", lead, body)


def _add_accounts(page: _Page, accounts: Rows) -> None:
    lead = (
        "Probability of liquidation within each horizon with positions as they are; beneath it, what the structural "
        "model alone says. Amounts in the base asset. Select a heading to sort."
    )
    key = (
        '<p class="legend"><i class="effect raises"></i>raises the log-odds <i class="effect lowers"></i>lowers them; '
        "&rarr; what would help, checked by the margin core</p>"
    )
    body = key + account_table(accounts) if accounts else absent("endangered accounts")
    page.section("accounts", "Most endangered accounts", lead, body)


def _add_margin(page: _Page, proposal: Rows) -> None:
    lead = (
        "Maintenance rates as a share of notional. Coverage is the share of back-tested moves that the proposed rate "
        "covers; Kupiec's test says whether the number of violations fits the level asked for."
    )
    rates = [row for row in proposal if not is_missing(row.get("proposed"))]
    body = page.figure("margin", {"": margin_figure(rates)}, "Margin now and proposed") if rates else ""
    body += margin_table(proposal) if proposal else absent("margin proposal")
    page.section("margin", "Margin now against proposed", lead, body)


def _add_provenance(page: _Page, content: ReportContent) -> None:
    data = (content.evaluation or {}).get("data") or {}
    body = nested(content.provenance) if content.provenance else absent("provenance")
    body += f"<details><summary>Evaluation data</summary>{nested(data)}</details>" if data else ""
    page.section("provenance", "Data provenance", "What every figure on this page was measured on.", body)


def _document(content: ReportContent, page: _Page) -> str:
    from plotly.offline import get_plotlyjs

    warned = "".join(f"<li>{escaped(text)}</li>" for text in content.warnings)
    warnings = f'<div class="warnings" role="note"><b>Warnings</b><ul>{warned}</ul></div>' if warned else ""
    figures = json.dumps(_plain(page.figures), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    scripts = "".join(
        f"<script{kind}>{text}</script>\n"
        for kind, text in (
            ("", get_plotlyjs() if page.figures else ""),
            (' type="application/json" id="figures"', figures),
            ("", SCRIPT),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(content.title)}</title><style>{style_sheet()}</style></head>\n<body>"
        f'<header class="top"><div class="brand">margincast</div><h1>{escaped(content.title)}</h1>'
        f'<p class="subtitle">{escaped(content.subtitle)}</p>{warnings}</header>'
        f'<nav aria-label="Sections"><div>{"".join(page.links)}</div></nav>\n<main>'
        "<noscript><p>Figures and sorting need JavaScript; the tables do not.</p></noscript>"
        f"{chr(10).join(page.parts)}</main>\n"
        "<footer>Written by margincast. This page holds all it shows and makes no network request.</footer>\n"
        f"{scripts}</body></html>\n"
    )


def _plain(value: Any) -> Any:
    """Values as JSON can carry them: no NaN, no numpy."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if is_missing(value) else value
