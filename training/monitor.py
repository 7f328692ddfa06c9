"""Monitoring a stored model on what came after its training: drift report, decision, and its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ..riskcore.errors import InputError, MargincastError
from ..riskcore.rulebook import RuleBook
from .block_scores import first_unseen_day, newest_block
from .champions import market_of
from .dataset import simulated_dataset
from .drift import DriftLimits, DriftReport, FreshLabels, assess_drift
from .forecaster import LiquidationForecaster
from .market_view import MarketView
from .reference import Reference
from .registry import REGISTERED, iso, open_registry
from .report_page import plain_values
from .score import with_columns
from .train import load_model

Say = Callable[[str], None]
DRIFT_FOLDER = "drift"


@dataclass(frozen=True)
class MonitorRequest:
    """What is monitored, on which market, since when.

    Parameters
    ----------
    market, store
        Market folder and model store.
    model
        Model folder or registry address.
    since
        First day of what is new.
    accounts, seed, threads
        Of the simulated accounts.
    """

    market: Path
    store: Path
    model: str
    since: date
    accounts: int = 20_000
    seed: int = 2001
    threads: int = 1


def monitor_model(
    request: MonitorRequest,
    rules: RuleBook,
    at: datetime,
    *,
    limits: DriftLimits | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Run the drift monitors; of a registered model the decision to fall back is set or lifted in the registry.

    Too few fresh labels lift nothing: a look that could not test the forecasts is not a calm one. Too few days decide
    nothing at all ("decided" false): what the registry says stays.

    Returns
    -------
    dict
        The report as plain values (`DriftReport`), "fall_back" the reason or None, "model", "since", "until", "at",
        "accounts" (that they are simulated) and "recorded": whether the registry knows.
    """
    registered = not Path(request.model).is_dir()
    version = _version(request) if registered else ""  # an alias may move while this looks
    say("loading the model")
    address = f"models:/{REGISTERED}/{version}" if registered else request.model
    model = load_model(address, store=request.store, threads=request.threads)
    say(f"reading {request.market}")
    view = market_of(request.market, model)
    say(f"looking at simulated accounts since {request.since}")
    report = drift_of(model, view, rules, request, limits)
    reason = None if report.fall_back is None else report.fall_back.reason
    found = dict(plain_values(report.as_dict())) | {
        "fall_back": reason,
        "model": request.model,
        "since": request.since.isoformat(),
        "until": str(view.history.times[-1])[:10],
        "at": iso(at),
        "accounts": "simulated by margincast on the prices since; no real account",
        "recorded": registered,
    }
    if registered:
        say("recording the decision")
        _record(request, version, found, bool(report.counts), at)
    return found


def _version(request: MonitorRequest) -> str:
    with open_registry(request.store) as registry:
        return str(registry.find(request.model).version)


def _record(request: MonitorRequest, version: str, found: dict[str, Any], tested: bool, at: datetime) -> None:
    """Keep what was found and the decision; `tested`: whether labels were enough to lift an earlier one."""
    with open_registry(request.store) as registry:
        present = registry.fall_back(version)
        if found["fall_back"] is None and present is not None and not tested:
            found["fall_back"] = present
            found["warnings"] = [*found["warnings"], f"the fall-back stays, too few labels to lift it: {present}"]
        text = json.dumps(found, indent=1, sort_keys=True)
        registry.attach(version, {f"{DRIFT_FOLDER}/{iso(at).replace(':', '')}.json": text})
        registry.set_fall_back(version, found["fall_back"], at)


def drift_of(
    model: LiquidationForecaster,
    view: MarketView,
    rules: RuleBook,
    request: MonitorRequest,
    limits: DriftLimits | None = None,
) -> DriftReport:
    """The drift report of a fitted model on simulated accounts seen since a day.

    Raises
    ------
    InputError
        A day that the training has seen, or that leaves nothing to look at.
    MargincastError
        A model stored without a reference of its training sample.
    """
    reference = model.reference_
    if not isinstance(reference, Reference):
        raise MargincastError(f"{request.model}: was stored without a reference of its training sample; train it anew")
    if request.since < (unseen := first_unseen_day(model)):
        problem = f"the training has seen this day; what is new begins {unseen}"
        raise InputError(problem, column="since", value=str(request.since))
    block = newest_block(view.history, request.since, model.horizons[-1])
    data = simulated_dataset(
        view,
        rules,
        model.horizons,
        accounts=request.accounts,
        first_bar=block.first,
        last_bar=block.last,
        seed=request.seed,
        threads=request.threads,
    )
    aligned = model.aligned(view.data.symbols)
    sample = with_columns(data.sample, aligned.columns_)
    said = aligned.predict(sample, aligned.scales_.fields(view.data, view.frame, sample.bar))
    hours = tuple(bars * view.data.bar_hours for bars in model.horizons)
    labels = FreshLabels(said["hybrid"], said["fhs"], data.breached, data.day, tuple(model.about_["horizons"]), hours)
    return assess_drift(reference, sample, data.day, labels, seed=request.seed, limits=limits)
