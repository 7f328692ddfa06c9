"""Table of every model's scores, horizon by horizon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .report_html import cell, escaped, is_missing, number, probability
from .report_models import colour_of, in_order, look_of

SCORES = (
    ("log_loss", "Log loss", 5, min),
    ("brier", "Brier", 5, min),
    ("auc_within_strata", "AUC within strata", 3, max),
    ("ece", "ECE", 4, min),
    ("calibration_slope", "Calibration slope", 2, None),
)
"""Field of `evaluate --json`, its name, decimals, and which end of it is the better one."""


def score_table(evaluation: Mapping[str, Any]) -> str:
    """Scores of all models; the best of each horizon and score is set in bold."""
    heads = "".join(f'<th scope="col" class="num">{name}</th>' for _, name, _, _ in SCORES)
    groups = "".join(_group(horizon, block) for horizon, block in (evaluation.get("horizons") or {}).items())
    head = f'<thead><tr><th scope="col">Model</th>{heads}</tr></thead>'
    return f'<div class="scroll"><table class="even">{head}{groups}</table></div>'


def _group(horizon: str, block: Mapping[str, Any]) -> str:
    models = block.get("models") or {}
    best = {field: _best(models, field, better) for field, _, _, better in SCORES}
    rows = "".join(_row(name, models[name], best) for name in in_order(models))
    counts = f"{number(block.get('n'), 0)} forecasts, base rate {probability(block.get('base_rate'))}"
    head = f'<tr><th scope="rowgroup" colspan="{len(SCORES) + 1}">{escaped(horizon)} <small>{counts}</small></th></tr>'
    return f'<tbody class="group">{head}{rows}</tbody>'


def _best(models: Mapping[str, Any], field: str, better: Any) -> float | None:
    values = [entry[field] for entry in models.values() if not is_missing(entry.get(field))]
    return better(values) if values and better else None


def _row(name: str, scores: Mapping[str, Any], best: Mapping[str, float | None]) -> str:
    label = f'<i class="key" style="background:var({colour_of(name)})"></i>{escaped(look_of(name).label)}'
    cells = [cell(label)]
    for field, _, decimals, _ in SCORES:
        value = scores.get(field)
        text = number(value, decimals)
        chief = value is not None and value == best[field]
        cells.append(cell(f"<b>{text}</b>" if chief else text, kind="num"))
    return f"<tr>{''.join(cells)}</tr>"
