"""The validation report of a model: its card, its figures and the gate's verdict as one HTML file, read offline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .horizon_order import with_rising_horizons
from .report_html import absent, cell, escaped, is_missing, number, percent, table
from .report_page import Page, tiles
from .report_provenance import nested
from .report_reliability import reliability_figure
from .report_scores import score_table
from .report_skill import skill_figures

NAMES = {"challenger": "hybrid"}
"""In a verdict the model that was judged is called the challenger; figures know it as the hybrid."""
CODE = re.compile(r"`([^`]+)`")


def validation_html(
    card: Mapping[str, Any],
    *,
    evaluation: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> str:
    """The report as text: parts that were not measured are said to be absent.

    Parameters
    ----------
    card
        `model_card.model_card` of the model.
    evaluation, verdict
        As they were given to the card.

    Examples
    --------
    >>> from .model_card import model_card
    >>> html = validation_html(model_card({"train_end": "2024-01-31", "horizons": ["1h"]}))
    >>> "Validation report" in html, html.count("Absent:")
    (True, 5)
    """
    return _page(card, evaluation, verdict).html()


def write_validation_report(
    card: Mapping[str, Any],
    path: Path,
    *,
    evaluation: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> None:
    """Write the report as one HTML file; MargincastError where it cannot be written."""
    _page(card, evaluation, verdict).write(path)


def _page(card: Mapping[str, Any], evaluation: Mapping[str, Any] | None, verdict: Mapping[str, Any] | None) -> Page:
    evaluation, verdict = with_rising_horizons(evaluation), with_rising_horizons(verdict)
    training, data = card["training"], card["data"]
    subtitle = f"Market: {data['market']}; all accounts simulated; trained to {training['train_end']} UTC"
    page = Page("Validation report", subtitle, _warnings(card, verdict))
    _add_verdict(page, verdict, card["rolled_back"])
    _add_block(page, verdict)
    _add_skill(page, card, evaluation)
    _add_reliability(page, verdict)
    _add_use(page, card)
    _add_provenance(page, card, evaluation)
    return page


def _warnings(card: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> list[str]:
    said = []
    if verdict is None:
        said.append("this model has not been through the gate")
    elif not verdict["promoted"]:
        said.append("refused by the gate: it is not to be scored with")
    if card["rolled_back"] is not None:
        said.append(f"rolled back since: {card['rolled_back']}")
    if card["data"]["market"] == "simulated":
        said.append("trained on a simulated market")
    return said


def _add_verdict(page: Page, verdict: Mapping[str, Any] | None, rolled_back: str | None) -> None:
    lead = "Whether the model may become champion: it has to beat FHS on the newest block, which it has not trained on."
    if verdict is None:
        return page.section("verdict", "Verdict", lead, absent("verdict of the gate"))
    block = verdict["block"]
    shown = [
        ("verdict", f"{'promoted' if verdict['promoted'] else 'refused'} ({verdict['at']})"),
        ("block judged on", f"{block['start']} (to {block['end']})"),
    ]
    if rolled_back is not None:
        shown.append(("rolled back since", rolled_back))
    if "pooled" in verdict:
        shown += [
            (f"log-loss skill over {base}, all horizons", _tile(s["log_loss"])) for base, s in verdict["pooled"].items()
        ]
    reasons = "".join(f"<li>{escaped(reason)}</li>" for reason in verdict["reasons"])
    limits = f"<details><summary>Limits of the gate</summary>{nested(verdict['limits'])}</details>"
    page.section("verdict", "Verdict", lead, f"{tiles(shown)}<ul>{reasons}</ul>{limits}")


def _add_block(page: Page, verdict: Mapping[str, Any] | None) -> None:
    lead = (
        "Every model on the same simulated accounts. Stress: bars at which the 24 h volatility of the market lies in "
        "the top fifth of all before the block. Skill is of the model over the one in the row; 90% intervals, days "
        "resampled."
    )
    if not (verdict and "horizons" in verdict):
        return page.section("block", "Newest block and calibration by regime", lead, absent("figures of a block"))
    heads = [("Horizon", ""), ("Model", "")]
    heads += [
        (text, "num") for text in ("Log loss", "Brier", "ECE", "ECE calm", "ECE stress", "Skill over it, log loss")
    ]
    rows = [
        _block_row(horizon, name, scores, block["skill"].get(name))
        for horizon, block in verdict["horizons"].items()
        for name, scores in block["models"].items()
    ]
    wrong = verdict["not_monotone"]
    order = (
        f"<p>Of all probabilities {wrong['horizon']:,} fall with the horizon; of {wrong['probed']:,} probed "
        f"{wrong['headroom']:,} rise with headroom.</p>"
    )
    page.section("block", "Newest block and calibration by regime", lead, table(heads, rows) + order)


def _block_row(horizon: str, name: str, scores: Mapping[str, Any], skill: Mapping[str, Any] | None) -> Sequence[str]:
    figures = [(scores["log_loss"], 5), (scores["brier"], 5)]
    figures += [(scores[field], 4) for field in ("ece", "ece_calm", "ece_stress")]
    cells = [cell(escaped(horizon)), cell(escaped(NAMES.get(name, name)))]
    cells += [cell(number(value, decimals), kind="num") for value, decimals in figures]
    return [*cells, cell(_interval(skill["log_loss"]) if skill else "", kind="num")]


def _interval(skill: Mapping[str, Any]) -> str:
    value, low, high = (percent(skill[part], sign=True) for part in ("value", "low", "high"))
    return f"{value} <small>{low} to {high}</small>"


def _tile(skill: Mapping[str, Any]) -> str:
    if is_missing(skill["value"]):
        return "not known"
    return f"{skill['value']:+.1%} (90%: {skill['low']:+.1%} to {skill['high']:+.1%})"


def _add_skill(page: Page, card: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> None:
    lead = (
        "Skill is 1 − score / score of the baseline, on a period after the training. Whiskers are 90% intervals by "
        "blocks of days."
    )
    if not (evaluation and evaluation.get("horizons")):
        return page.section("skill", "Skill against baselines", lead, absent("evaluation against the baselines"))
    lead += f" {_prose(card['metrics']['whose'])}"
    body = page.figure("skill", skill_figures(evaluation), "Skill with 90% intervals")
    body += f"<details><summary>All scores in numbers</summary>{score_table(evaluation)}</details>"
    page.section("skill", "Skill against baselines", lead, body)


def _add_reliability(page: Page, verdict: Mapping[str, Any] | None) -> None:
    lead = "Forecast against frequency on the newest block; both axes are logarithmic since liquidations are rare."
    curves = {
        horizon: {NAMES.get(name, name): curve for name, curve in block.items()}
        for horizon, block in ((verdict or {}).get("reliability") or {}).items()
    }
    if not curves:
        return page.section("reliability", "Reliability", lead, absent("reliability diagrams"))
    body = page.figure("reliability", {"": reliability_figure(curves)}, "Reliability diagrams")
    page.section("reliability", "Reliability", lead, body)


def _add_use(page: Page, card: Mapping[str, Any]) -> None:
    def listed(lines: Sequence[str]) -> str:
        return f"<ul>{''.join(f'<li>{_prose(line)}</li>' for line in lines)}</ul>"

    body = f"<p>{_prose(card['intended_use'])}</p><p>{_prose(card['not_intended'])}</p>"
    body += f"<h3>Limits</h3>{listed(card['limits'])}<h3>Known failures</h3>{listed(card['known_failures'])}"
    body += f"<h3>Falling back</h3><p>{_prose(card['falling_back'])}</p>"
    body += f"<h3>Rolling back</h3><p>{_prose(card['rolling_back'])}</p>"
    page.section("use", "Use, limits and the way back", "What it is for, when not to trust it, what to do then.", body)


def _prose(text: str) -> str:
    """Text for HTML, what stands between backticks as code."""
    return CODE.sub(r"<code>\1</code>", escaped(text))


def _add_provenance(page: Page, card: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> None:
    shown = {name: card[name] for name in ("model", "data", "training")}
    body = nested(shown)
    tested = (evaluation or {}).get("data")
    body += (
        f"<details><summary>Evaluation data</summary>{nested(tested)}</details>"
        if tested
        else absent("evaluation data")
    )
    page.section("provenance", "Data provenance", "What the model was made from, and what it was measured on.", body)
