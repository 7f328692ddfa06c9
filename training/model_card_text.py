"""The card of a model as Markdown, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .console_figures import interval
from .plan import WARM_UP_DAYS


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card (`model_card.model_card`) as Markdown.

    Examples
    --------
    >>> from .model_card import model_card
    >>> text = card_markdown(model_card({"train_end": "2024-01-31", "horizons": ["1h"]}))
    >>> print(text.splitlines()[0])
    # Model card: margincast liquidation forecaster
    """
    model, gate = card["model"], card["gate"]
    lines = [f"# Model card: {model['name']}", ""]
    lines += [
        f"{label}: {value}  " for label, value in (("Address", model["address"]), ("SHA-256", model["sha256"])) if value
    ]
    lines += ["", "## Intended use", "", card["intended_use"], "", card["not_intended"], ""]
    lines += ["## Data", "", *_data_lines(card["data"]), "", "## Training", "", *_training_lines(card["training"]), ""]
    lines += ["## Skill over every baseline", "", *_metric_lines(card["metrics"]), ""]
    lines += ["## Calibration by regime", "", *_calibration_lines(card["calibration"]), ""]
    lines += ["## Gate", "", *_gate_lines(gate, card["rolled_back"]), ""]
    lines += [
        "## Limits",
        "",
        *_bullets(card["limits"]),
        "",
        "## Known failures",
        "",
        *_bullets(card["known_failures"]),
        "",
    ]
    lines += ["## Falling back", "", card["falling_back"], "", "## Rolling back", "", card["rolling_back"], ""]
    return "\n".join(lines)


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    plain = [[text.replace("|", "\\|") for text in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (list(heads), ["---"] * len(heads), *plain)]


def _data_lines(data: Mapping[str, Any]) -> list[str]:
    bars = f"{data['bar_hours']:g} h" if data["bar_hours"] else "unknown length"
    lines = [
        f"Market: {data['market']}; bars of {bars}, {data['first']} to {data['last']} UTC.",
        "",
        f"Symbols: {', '.join(data['symbols'])}.",
    ]
    if data["files"]:
        rows = [(f["table"], f["file"], f"{f['rows']:,}", f"`{f['sha256']}`") for f in data["files"]]
        lines += ["", *_table(("Table", "File", "Rows", "SHA-256"), rows)]
    absent = [f"- {table} is absent: {meaning}" for table, meaning in data["absent"].items()]
    return [*lines, "", *absent] if absent else lines


def _training_lines(training: Mapping[str, Any]) -> list[str]:
    rules = training["rules"]
    rows = "an unknown number of" if training["rows"] is None else f"{training['rows']:,}"
    first, last = training["period"]
    return [
        f"Trained on {first} to {last} (UTC), of which the first {WARM_UP_DAYS} days warm it up.",
        f"No label looks beyond. Horizons: {', '.join(training['horizons'])}.",
        "",
        f"{rows} accounts, {training['accounts']}, under the rules of {rules['venue']} (`{rules['sha256']}`).",
    ]


def _metric_lines(metrics: Mapping[str, Any] | None) -> list[str]:
    if metrics is None:
        return ["Not evaluated: `margincast evaluate` writes what belongs here."]
    tested, rows = metrics["tested_on"], []
    for name, table in metrics["horizons"].items():
        for base, entry in table["skill_vs"].items():
            log_loss = interval(entry["log_loss_value"], entry["log_loss_low"], entry["log_loss_high"])
            rows.append((name, base, log_loss, interval(entry["value"], entry["low"], entry["high"])))
    where = f"{tested['market']}, {' to '.join(tested['test'] or ())} UTC, {tested['test_days']} days"
    return [
        f"{tested['accounts_tested']:,} simulated accounts; {where}; 90% intervals, days resampled.",
        "",
        metrics["whose"],
        "",
        *_table(("Horizon", "Baseline", "Log-loss skill, %", "Brier skill, %"), rows),
    ]


def _calibration_lines(calibration: Mapping[str, Any] | None) -> list[str]:
    if calibration is None:
        return ["Not judged on a newest block yet: `margincast promote` does."]
    rows = [
        (name, model, *(_decimals(scores[field]) for field in ("ece", "ece_calm", "ece_stress")))
        for name, table in calibration.items()
        for model, scores in table.items()
        if isinstance(scores, Mapping)
    ]
    return [
        "Expected calibration error, simulated accounts of the newest block; stress: 24 h volatility in the top fifth.",
        "",
        *_table(("Horizon", "Model", "Overall", "Calm", "Stress"), rows),
    ]


def _gate_lines(gate: Mapping[str, Any] | None, rolled_back: str | None) -> list[str]:
    later = [] if rolled_back is None else ["", f"Rolled back since, at {rolled_back}"]
    if gate is None:
        return ["Not judged: this model has not been through the gate.", *later]
    block = gate["block"]
    verdict = "Promoted" if gate["promoted"] else "Refused"
    head = f"{verdict} at {gate['at']} on the block {block['start']} to {block['end']} ({gate['accounts']}):"
    return [head, "", *_bullets(gate["reasons"]), *later]


def _decimals(value: float | None) -> str:
    return "too few rows" if value is None else f"{value:.4f}"
