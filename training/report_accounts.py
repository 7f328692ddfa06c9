"""The accounts most in danger: margin, probabilities, why, and what would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .report_html import cell, escaped, is_missing, number, probability

FIXED = (
    ("account", "Account", ""),
    ("pool", "Pool", ""),
    ("stage", "Stage", ""),
    ("equity", "Equity", "num"),
    ("maintenance", "Maintenance", "num"),
    ("headroom", "Headroom", "num"),
)


def account_table(accounts: Sequence[Mapping[str, Any]]) -> str:
    """A table that sorts by any column; beneath each account stand its reasons and the advice.

    Parameters
    ----------
    accounts
        Mappings with account, pool, stage, equity, maintenance, headroom, probabilities and structural (both horizon to
        probability), reasons (list of text and effect) and advice (list of texts). All text is escaped.
    """
    horizons = list(dict.fromkeys(h for account in accounts for h in account.get("probabilities") or {}))
    heads = [(text, kind) for _, text, kind in FIXED] + [(f"P({escaped(h)})", "num") for h in horizons]
    head = "".join(
        f'<th scope="col" class="{kind}" aria-sort="none">'
        f'<button type="button" data-column="{place}">{text}</button></th>'
        for place, (text, kind) in enumerate(heads)
    )
    bodies = "".join(_account(account, horizons) for account in accounts)
    return f'<div class="scroll"><table class="sortable"><thead><tr>{head}</tr></thead>{bodies}</table></div>'


def _account(account: Mapping[str, Any], horizons: Sequence[str]) -> str:
    cells = [_fixed(account, field) for field, _, _ in FIXED]
    cells += [_chance(account, horizon) for horizon in horizons]
    explained = _explained(account)
    span = len(cells)
    more = f'<tr class="why"><td colspan="{span}">{explained}</td></tr>' if explained else ""
    return f"<tbody><tr>{''.join(cells)}</tr>{more}</tbody>"


def _fixed(account: Mapping[str, Any], field: str) -> str:
    value = account.get(field)
    if field in ("equity", "maintenance", "headroom"):
        return cell(number(value, 2), sort=value, kind="num")
    text = "–" if value is None or value == "" else escaped(value)
    if field == "stage":
        return cell(
            f'<span class="stage" data-stage="{text.lower()}">{text.replace("_", " ").lower()}</span>', sort=value
        )
    return cell(f"<b>{text}</b>" if field == "account" else text, sort=value, kind="name")


def _chance(account: Mapping[str, Any], horizon: str) -> str:
    value = (account.get("probabilities") or {}).get(horizon)
    structural = (account.get("structural") or {}).get(horizon)
    below = "" if is_missing(structural) else f"<small>structural {probability(structural)}</small>"
    heat = 0.0 if is_missing(value) or value is None else min(max(float(value), 0.0), 1.0)
    shown = f'<span class="heat" style="--heat:{heat:.3f}">{probability(value)}</span>{below}'
    return cell(shown, sort=value, kind="num chance")


def _explained(account: Mapping[str, Any]) -> str:
    reasons = list(account.get("reasons") or ())
    advice = [escaped(text) for text in account.get("advice") or ()]
    most = max((abs(r["effect"]) for r in reasons if not is_missing(r.get("effect"))), default=0.0)
    parts = []
    if reasons:
        parts.append(f'<ul class="reasons">{"".join(_reason(reason, most) for reason in reasons)}</ul>')
    if advice:
        parts.append(f'<ul class="advice">{"".join(f"<li>{text}</li>" for text in advice)}</ul>')
    return f'<div class="explained">{"".join(parts)}</div>' if parts else ""


def _reason(reason: Mapping[str, Any], most: float) -> str:
    effect = reason.get("effect")
    text = escaped(reason["text"])
    if effect is None or is_missing(effect):
        return f"<li>{text}</li>"
    share = abs(effect) / most if most else 0.0
    kind = "raises" if effect > 0 else "lowers"
    bar = f'<span class="bar"><i class="effect {kind}" style="--share:{share:.3f}"></i></span>'
    return f'<li>{bar}<span class="by">{number(effect, 2, sign=True)}</span>{text}</li>'
