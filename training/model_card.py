"""The card of a model: what it is for, what it was made from, how good it is, when not to trust it, the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .abstention import MOST_MISSING, SCALE_SLACK
from .card_evaluation import whose
from .horizon_order import with_rising_horizons
from .report_page import plain_values

CHIEF, JUDGED = "hybrid", "challenger"
INTENDED = (
    "Probability that a margin account of perpetual futures is liquidated within each horizon, positions frozen, for "
    "risk desks of venues, brokers and protocols: ranking accounts, warning them, sizing alerts and insurance funds."
)
NOT_INTENDED = (
    "Not for liquidating anyone by, nor for credit decisions; not for books of options; not for instruments and rules "
    "other than those named here without validation on them."
)
LIMITS = (
    "Fitted and judged on accounts simulated on real or simulated prices; deposits, closes and reductions, "
    "which compete with liquidation, are not in it.",
    "Accounts of one day share their prices: the sample size is days, and every interval resamples days.",
    "One rule-book margins the whole history.",
    "Labels take the legs' extremes of a bar to come together, which overstates liquidations of hedged books.",
)
FAILURES = (
    "A move larger than any of the training history, in units of its forecast volatility, has no scenario.",
    "Depegs, halts and outages of a venue are not in the paths.",
    "Calibration is worse in stress than in calm; see the table by regime.",
)
FALLING_BACK = (
    "A pool is scored by historical simulation (FHS) by itself where a forecast volatility lies more than "
    f"{SCALE_SLACK:g} times beyond the trained range, or more than {MOST_MISSING:.0%} of the usual features are "
    "missing. `margincast monitor` has the whole model fall back when a drift monitor alarms and the hybrid is not "
    'proven better than FHS on fresh labels. Every score says its `source` ("hybrid" or "fhs") and `fallback_reason`.'
)
ROLLING_BACK = (
    "`margincast rollback --store DIR --reason TEXT` makes the champion before this one champion again; scoring by "
    '"champion" uses it from the next call on.'
)


def model_card(
    about: Mapping[str, Any],
    *,
    address: str | None = None,
    sha256: str | None = None,
    evaluation: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
    rolled_back: str | None = None,
) -> dict[str, Any]:
    """The card of a model as plain values, fit for JSON; horizons rise.

    Parameters
    ----------
    about
        What the forecaster says of its training (`about_`).
    address, sha256
        Registry address, and hash of the stored model.
    evaluation
        What `evaluate --json` writes of it, or of a model fitted the same way.
    verdict
        What the gate decided (`Verdict.as_dict`).
    rolled_back
        When and why it was rolled back since, as the registry says it; None: it was not.
    """
    evaluation, verdict = with_rising_horizons(evaluation), with_rising_horizons(verdict)
    card = {
        "model": {"name": "margincast liquidation forecaster", "address": address, "sha256": sha256},
        "intended_use": INTENDED,
        "not_intended": NOT_INTENDED,
        "data": _data(about),
        "training": _training(about),
        "metrics": _metrics(evaluation, sha256),
        "calibration": _calibration(verdict),
        "gate": _gate(verdict),
        "rolled_back": rolled_back,
        "limits": list(LIMITS),
        "known_failures": [*FAILURES, *_measured_failures(about, evaluation, verdict), *_rolled_back(rolled_back)],
        "falling_back": FALLING_BACK,
        "rolling_back": ROLLING_BACK,
    }
    return dict(plain_values(card))


def card_json(card: Mapping[str, Any]) -> str:
    """The card as JSON text; the same card gives the same text."""
    return json.dumps(plain_values(card), indent=1, sort_keys=True, allow_nan=False) + "\n"


def _data(about: Mapping[str, Any]) -> dict[str, Any]:
    data = about.get("data") or {}
    return {
        "market": about.get("market"),
        "symbols": list(about.get("symbols") or ()),
        "bar_hours": about.get("bar_hours"),
        "first": data.get("first"),
        "last": data.get("last"),
        "files": [
            {"table": table["table"], "file": table["file"], "rows": table["rows"], "sha256": table["sha256"]}
            for table in data.get("tables") or ()
        ],
        "absent": dict(data.get("absent") or {}),
    }


def _training(about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "train_end": about.get("train_end"),
        "period": [(about.get("data") or {}).get("first"), about.get("train_end")],
        "horizons": list(about.get("horizons") or ()),
        "accounts": f"{about.get('accounts', 'simulated')} by margincast; no real account",
        "rows": about.get("rows"),
        "trees": about.get("trees"),
        "rules": {"venue": about.get("venue"), "sha256": about.get("rulebook_sha256")},
        "validation_log_loss": about.get("validation_log_loss"),
    }


def _metrics(evaluation: Mapping[str, Any] | None, sha256: str | None) -> dict[str, Any] | None:
    """Log loss, Brier and skill of the hybrid over every baseline by horizon; None without an evaluation."""
    if evaluation is None:
        return None
    tested = evaluation["data"]
    horizons = {}
    for name, table in evaluation["horizons"].items():
        scores = table["models"][CHIEF]
        kept = ("log_loss", "brier", "ece", "auc_within_strata", "calibration_slope", "calibration_intercept")
        horizons[name] = {"n": table["n"], "events": table["events"], "base_rate": table["base_rate"]}
        horizons[name] |= {field: scores[field] for field in kept} | {"skill_vs": scores["skill_vs"]}
    names = ("market", "marks", "train", "test", "test_days", "accounts_tested", "intervals")
    tested_on = {name: tested.get(name) for name in names}
    return {"tested_on": tested_on, "whose": whose(evaluation, sha256), "horizons": horizons}


def _calibration(verdict: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Expected calibration error by horizon, model and regime; None without a judged block."""
    if not (verdict and "horizons" in verdict):
        return None
    names = {JUDGED: CHIEF, "fhs": "fhs", "champion": "champion"}
    fields = ("ece", "ece_calm", "ece_stress")
    return {
        horizon: {names[model]: {field: scores[field] for field in fields} for model, scores in table["models"].items()}
        | {"rows": table["n"], "stress_rows": table["stress_rows"]}
        for horizon, table in verdict["horizons"].items()
    }


def _gate(verdict: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    kept = (
        "at",
        "promoted",
        "reasons",
        "block",
        "trained_to",
        "limits",
        "accounts",
        "market",
        "pooled",
        "not_monotone",
    )
    return {name: verdict[name] for name in kept if name in verdict}


def _measured_failures(
    about: Mapping[str, Any], evaluation: Mapping[str, Any] | None, verdict: Mapping[str, Any] | None
) -> list[str]:
    """What the figures at hand say against the model."""
    said = []
    if about.get("market") == "simulated":
        said.append("Trained on a simulated market: nothing is known of how it does on a real one.")
    for name, table in (evaluation or {}).get("horizons", {}).items():
        for base, entry in table["models"][CHIEF]["skill_vs"].items():
            low, high = entry["log_loss_low"], entry["log_loss_high"]
            if low is None or not low > 0:
                interval = "not known" if low is None or high is None else f"[{low:+.1%} {high:+.1%}]"
                said.append(f"Within {name} it is not proven better than {base}: log-loss skill {interval}.")
    if verdict is not None and not verdict["promoted"]:
        said += [f"Refused by the gate: {reason}." for reason in verdict["reasons"]]
    return said


def _rolled_back(said: str | None) -> list[str]:
    return [] if said is None else [f"Rolled back at {said}."]
