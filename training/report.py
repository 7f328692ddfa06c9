"""The report: one HTML file that carries everything it shows and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report_accounts import account_table
from .report_alerts import alert_figure, alert_table
from .report_html import absent, is_missing
from .report_margin import margin_figure, margin_table
from .report_page import Page, tiles
from .report_provenance import nested
from .report_reliability import reliability_figure
from .report_scores import score_table
from .report_skill import skill_figures

Rows = Sequence[Mapping[str, Any]]


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
    _page(content).write(path)


def report_html(content: ReportContent) -> str:
    """The report as text; see `write_report`.

    Examples
    --------
    >>> html = report_html(ReportContent("Trial <1>", "Simulated market, seed 1; accounts simulated"))
    >>> "Trial &lt;1&gt;" in html, html.count("Absent:")
    (True, 7)
    """
    return _page(content).html()


def _page(content: ReportContent) -> Page:
    page = Page(content.title, content.subtitle, content.warnings)
    _add_headline(page, content)
    _add_skill(page, content.evaluation or {})
    _add_reliability(page, content.reliability or {})
    _add_alerts(page, content.alert_economics or {})
    _add_accounts(page, content.endangered or ())
    _add_margin(page, content.proposal or ())
    _add_provenance(page, content)
    return page


def _add_headline(page: Page, content: ReportContent) -> None:
    body = tiles(content.summary) if content.summary else absent("headline figures")
    page.section("headline", "Headline", "What this run found.", body)


def _add_skill(page: Page, evaluation: Mapping[str, Any]) -> None:
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


def _add_reliability(page: Page, reliability: Mapping[str, Any]) -> None:
    lead = (
        "On the diagonal, what is forecast at 1% happens once in a hundred times; above it, the forecast was too low. "
        "Both axes are logarithmic since liquidations are rare; an open triangle on the lower edge marks a bin "
        "in which none came. Models pale in the legend appear on a click."
    )
    found = {horizon: block for horizon, block in reliability.items() if block}
    figure = {"": reliability_figure(found)} if found else {}
    body = page.figure("reliability", figure, "Reliability diagrams") if found else absent("reliability diagrams")
    page.section("reliability", "Reliability", lead, body)


def _add_alerts(page: Page, economics: Mapping[str, Any]) -> None:
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


def _add_accounts(page: Page, accounts: Rows) -> None:
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


def _add_margin(page: Page, proposal: Rows) -> None:
    lead = (
        "Maintenance rates as a share of notional. Coverage is the share of back-tested moves that the proposed rate "
        "covers; Kupiec's test says whether the number of violations fits the level asked for."
    )
    rates = [row for row in proposal if not is_missing(row.get("proposed"))]
    body = page.figure("margin", {"": margin_figure(rates)}, "Margin now and proposed") if rates else ""
    body += margin_table(proposal) if proposal else absent("margin proposal")
    page.section("margin", "Margin now against proposed", lead, body)


def _add_provenance(page: Page, content: ReportContent) -> None:
    data = (content.evaluation or {}).get("data") or {}
    body = nested(content.provenance) if content.provenance else absent("provenance")
    body += f"<details><summary>Evaluation data</summary>{nested(data)}</details>" if data else ""
    page.section("provenance", "Data provenance", "What every figure on this page was measured on.", body)
