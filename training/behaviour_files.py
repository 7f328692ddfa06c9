"""Behaviour from files: hazards learned from account histories and kept, and a book's behavioural probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..features.readers.account_events import read_account_events
from ..features.readers.folder import read_market_folder
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from ..riskcore.rulebook import RuleBook
from .account_behaviour import BehaviouralForecaster
from .atomic import require_new_folder
from .behavioural_score import behavioural_forecast, hours_since_fill, learn_hazards
from .market_view import view_market
from .score import Forecast, Scorer
from .store import load_state, save_state


@dataclass(frozen=True)
class LearnedBehaviour:
    """Where hazards are kept, and what they were learned from."""

    folder: Path
    sha256: str
    accounts: int
    first: np.datetime64
    last: np.datetime64


def learn_behaviour(
    history: Path, market: Path, rules: RuleBook, first: np.datetime64, last: np.datetime64, folder: Path
) -> LearnedBehaviour:
    """Learn the hazards of closing, reducing and depositing from histories seen in [first, last), and keep them.

    Parameters
    ----------
    history
        Folder of account events (`read_account_events`).
    market
        Market folder with bars of an hour.
    folder
        New folder for the hazards.

    Raises
    ------
    InputError
        A period outside the market, or histories without an act or without an idle hour.
    """
    require_new_folder(folder)
    view = view_market(read_market_folder(market))
    events = read_account_events(history, view.history.instruments).events
    begin, end = (int(np.searchsorted(view.history.times, instant)) for instant in (first, last))
    if begin >= end:
        raise InputError("has no bar of this market between it and the end", column="start", value=str(first)[:10])
    hazards = learn_hazards(view, rules, events, max(begin, 1), min(end, len(view.history) - 1))
    fingerprint = save_state(BehaviouralForecaster(hazards).state(), folder)
    return LearnedBehaviour(folder, fingerprint, len(events.accounts), first, last)


def behavioural_of(scorer: Scorer, forecast: Forecast, history: Path, behaviour: Path) -> FloatArray:
    """Probability of liquidation of each pool when its owner may act, (n_pools, n_horizons); NaN without history."""
    events = read_account_events(history, scorer.view.history.instruments).events
    model = BehaviouralForecaster.from_state(load_state(behaviour))
    since = hours_since_fill(events, forecast.book.account.tolist(), scorer.market.time)
    return behavioural_forecast(scorer, model, forecast, since)
