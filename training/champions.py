"""Promotion and rollback in a store: judge, record, and only then move the champion."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ..features.readers.folder import read_market_folder
from ..riskcore.errors import InputError, MargincastError
from ..riskcore.rulebook import RuleBook
from .card_files import GATE_FOLDER, about_model, card_texts
from .forecaster import LiquidationForecaster
from .market_view import MarketView, view_market
from .promotion import GateLimits, Verdict, judge
from .registry import REGISTERED, Event, iso, open_registry
from .report_page import plain_values
from .train import load_model

Say = Callable[[str], None]


@dataclass(frozen=True)
class PromotionRequest:
    """What is judged, on which market.

    Parameters
    ----------
    market, store
        Market folder and model store.
    model
        Registry address of the challenger: "challenger", "models:/margincast/3".
    start
        First day of the block; None: the newest that neither model has seen.
    accounts, seed, threads
        Of the simulated accounts.
    """

    market: Path
    store: Path
    model: str
    start: date | None = None
    accounts: int = 20_000
    seed: int = 1001
    threads: int = 1


@dataclass(frozen=True)
class Promotion:
    """A verdict, on which version, and which one is champion after it."""

    version: str
    champion: str | None
    verdict: Verdict
    at: str

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        found = {"version": self.version, "champion": self.champion, "at": self.at}
        return found | {
            "promoted": self.verdict.promoted,
            "reasons": list(self.verdict.reasons),
            **self.verdict.figures,
        }


def promote_model(
    request: PromotionRequest,
    rules: RuleBook,
    at: datetime,
    *,
    limits: GateLimits | None = None,
    say: Say = lambda _: None,
) -> Promotion:
    """Judge a registered model and make it champion, or record why not.

    The verdict, the card and the report are written beside the model first; the alias `champion` moves last.

    Parameters
    ----------
    at
        Time to record.

    Raises
    ------
    MargincastError
        No such model, the one that is champion already, or another champion than it was judged against by now.
    """
    with open_registry(request.store) as registry:
        version, champion = str(registry.find(request.model).version), registry.champion()
    if version == champion:
        raise MargincastError(f"{request.model}: version {version} is the champion already")
    challenger = _load(version, request)
    reigning = None if champion is None else _load(champion, request)
    say(f"reading {request.market}")
    view = market_of(request.market, challenger)
    verdict = judge(
        challenger,
        reigning,
        view,
        rules,
        start=request.start,
        accounts=request.accounts,
        seed=request.seed,
        threads=request.threads,
        limits=limits,
        say=say,
    )
    say("recording the verdict")
    return _record(request, version, champion, verdict, at)


def _record(request: PromotionRequest, version: str, champion: str | None, verdict: Verdict, at: datetime) -> Promotion:
    address, told = f"models:/{REGISTERED}/{version}", plain_values(verdict.as_dict(at))
    about, sha256 = about_model(address, request.store)
    with open_registry(request.store) as registry:
        registry.require_champion(champion, version)
        evaluation = registry.document(version, "evaluation.json")
        rolled_back = None if verdict.promoted else registry.tags(version).get("rolled_back")
        texts = card_texts(
            about, address=address, sha256=sha256, evaluation=evaluation, verdict=told, rolled_back=rolled_back
        )
        verdict_file = f"{GATE_FOLDER}/{iso(at).replace(':', '')}.json"
        registry.attach(version, texts | {verdict_file: json.dumps(told, indent=1, sort_keys=True)})
        if verdict.promoted:
            registry.promote(version, champion, at, verdict.reasons)
        else:
            registry.refuse(version, at, verdict.reasons)
        return Promotion(version, registry.champion(), verdict, iso(at))


def rollback_model(store: Path, at: datetime, reason: str) -> Event:
    """Make the champion before the present one champion again, and record when and why.

    Raises
    ------
    MargincastError
        No reason is given, there is no store, or nothing to go back to.
    """
    if not reason.strip():
        raise InputError("must say why", column="reason", value=reason)
    with open_registry(store) as registry:
        return registry.rollback(at, reason)


def registry_history(store: Path) -> list[Event]:
    """What happened in a store's registry, oldest first."""
    with open_registry(store) as registry:
        return registry.history()


def market_of(folder: Path, model: LiquidationForecaster) -> MarketView:
    """A market folder made ready for a model; bars of another length than it was fitted on raise InputError."""
    view = view_market(read_market_folder(folder))
    if float(model.about_["bar_hours"]) != view.data.bar_hours:
        problem = f"has bars of {view.data.bar_hours} h, the model was fitted on bars of {model.about_['bar_hours']} h"
        raise InputError(problem, file=folder)
    return view


def _load(version: str, request: PromotionRequest) -> LiquidationForecaster:
    return load_model(f"models:/{REGISTERED}/{version}", store=request.store, threads=request.threads)
