"""From an account file, a market folder and a stored model to scores, reasons and advice as plain values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..features.readers.folder import read_market_folder
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import IntArray
from ..riskcore.errors import InputError, MargincastError
from ..riskcore.market import MarketHistory
from ..riskcore.rulebook import RuleBook
from .accounts_file import read_accounts
from .advice import advise
from .behaviour_files import behavioural_of
from .block_scores import first_unseen_day
from .market_view import view_market
from .outlook import outlook
from .provenance import book_stamp, rules_record
from .reasons import explain
from .registry import CHAMPION, REGISTERED, open_registry, parse_address
from .score import Scorer, warnings_of
from .train import load_model

Say = Callable[[str], None]
MOST_REASONS = 5
"""Reasons for falling back that the warnings name, the most frequent first."""


@dataclass(frozen=True)
class ScoreRequest:
    """What is scored, on which market, when, by which model.

    Parameters
    ----------
    accounts, market
        Account file and market folder.
    at
        Instant (UTC) on the market's bar grid; None: the end of the market.
    model, store
        Model folder or registry address; None: the champion in the store's registry.
    target
        Probability that advice brings to, at the longest horizon.
    top
        How many of the most endangered are explained and advised.
    threads
        Change no result.
    fall_back
        Score by historical simulation alone, for this reason; None: as the registry says of the model.
    history, behaviour
        Folders of account events and of learned hazards: records then tell the behavioural probability as well.
    cash
        Most that an account can deposit, base asset: beyond it the cheapest advice cuts or hedges.
    """

    accounts: Path
    market: Path
    at: str | None
    model: str | None
    store: Path
    target: float
    top: int
    threads: int = 1
    fall_back: str | None = None
    history: Path | None = None
    behaviour: Path | None = None
    cash: float = math.inf

    def __post_init__(self) -> None:
        if (self.history is None) != (self.behaviour is None):
            raise InputError("needs the other: --history and --behaviour go together", column="behaviour")


def score_file(request: ScoreRequest, rules: RuleBook, *, say: Say = lambda _: None) -> dict[str, Any]:
    """Score every account of a file; the most endangered come with reasons and advice.

    Returns
    -------
    dict
        "accounts": a record for each pool by falling danger (`Forecast.record`; the first `top` with "reasons" and
        "advice"), "outlook" (`outlook.outlook`), "at", "model", "rules", "stamp", "data" and "warnings".
    """
    scorer, book = _prepare(request, rules, say)
    say(f"scoring {len(book):,} pools")
    with located_in(request.accounts, book, np.arange(len(book))):
        forecast = scorer.forecast(book)
    order = forecast.most_endangered(len(book))
    records = [forecast.record(int(pool)) for pool in order]
    if request.history is not None and request.behaviour is not None:
        said = behavioural_of(scorer, forecast, request.history, request.behaviour)
        for record, pool in zip(records, order, strict=True):
            record["behavioural"] = dict(zip(scorer.horizons, said[pool].tolist(), strict=True))
    say(f"explaining the {min(request.top, len(book))} most endangered")
    shown = order[: request.top]
    for record, extra in zip(records, _explained(scorer, book, shown, request), strict=False):
        record |= extra
    return {"accounts": records, "outlook": outlook(scorer, forecast), **_about(book, scorer, records)}


def explain_account(
    request: ScoreRequest, rules: RuleBook, account: str, *, say: Say = lambda _: None
) -> dict[str, Any]:
    """Score one account of a file and explain each of its pools at every horizon."""
    scorer, book = _prepare(request, rules, say)
    pools = np.flatnonzero(book.account == account)
    if len(pools) == 0:
        raise InputError("holds no such account", file=request.accounts, column="account", value=account)
    mine = book.take(pools)
    with located_in(request.accounts, book, pools):
        forecast = scorer.forecast(mine)
    records = []
    for pool in range(len(mine)):
        one = mine.take(np.array([pool]))
        by_horizon = {name: explain(scorer, one, name)[0] for name in scorer.horizons}
        extra = _explained(scorer, mine, np.array([pool]), request)[0]
        records.append(forecast.record(pool) | extra | {"reasons_by_horizon": by_horizon})
    return {"accounts": records, **_about(book, scorer, records)}


def _prepare(request: ScoreRequest, rules: RuleBook, say: Say) -> tuple[Scorer, AccountBook]:
    say("loading the model")
    address, fall_back = _resolved(request)
    model = load_model(address, store=request.store, threads=request.threads)
    say(f"reading {request.market}")
    view = view_market(read_market_folder(request.market))
    if float(model.about_["bar_hours"]) != view.data.bar_hours:
        problem = f"has bars of {view.data.bar_hours} h, the model was fitted on bars of {model.about_['bar_hours']} h"
        raise InputError(problem, file=request.market)
    bar = bar_at(view.history, request.at)
    book = read_accounts(request.accounts, view.history.instruments, rules.aliases)
    return Scorer(model, view, rules, bar, fall_back=fall_back), book


@contextmanager
def located_in(path: Path, book: AccountBook, pools: IntArray) -> Iterator[None]:
    """Give errors about one of these pools the account file and the account, and of JSON the row of its record."""
    try:
        yield
    except InputError as error:
        pool = error.row
        if not isinstance(pool, int) or error.file is not None:
            raise
        owners = list(zip(book.account.tolist(), book.sub_account.tolist(), strict=True))
        row = None if path.suffix.lower() == ".csv" else list(dict.fromkeys(owners)).index(owners[pools[pool]])
        column = f"{error.column} of {'/'.join(owners[pools[pool]])}"
        raise InputError(error.problem, file=path, row=row, column=column, value=error.value) from None


def _resolved(request: ScoreRequest) -> tuple[str, str | None]:
    """The model's address, of a version and not an alias that may move, and why it is not trusted.

    That is what the caller says, else what a monitor wrote beside the version in the registry.
    """
    address = request.model or CHAMPION
    if Path(address).is_dir():
        return address, request.fall_back
    if request.model is None and not request.store.is_dir():
        raise MargincastError(f"{request.store}: no model store here; train one first, or name a folder with --model")
    parse_address(address)  # what is no address at all is said before the store is looked for
    with open_registry(request.store) as registry:
        version = str(registry.find(address).version)
        why = registry.fall_back(version) if request.fall_back is None else request.fall_back
    return f"models:/{REGISTERED}/{version}", why


def _fallen_back(records: list[dict[str, Any]]) -> list[str]:
    """How many pools were scored by historical simulation, a line a reason."""
    counts = Counter(record["fallback_reason"] for record in records if record["source"] == "fhs")
    return [
        f"{count:,} of {len(records):,} pools scored by historical simulation (FHS) instead of the hybrid: {reason}"
        for reason, count in counts.most_common(MOST_REASONS)
    ]


def bar_at(history: MarketHistory, at: str | None) -> int:
    """The bar at whose open a book is seen at an instant in ISO form, UTC; None: the end of the market.

    Raises
    ------
    InputError
        An instant outside of the market, or not on its bar grid.
    """
    if at is None:
        return len(history)
    instant, first, last = instant_of(at), history.times[0], history.times[-1] + history.step
    if instant < first:
        raise InputError(f"is before the market begins, {str(first)[:19]}", column="at", value=at)
    if instant > last:
        raise InputError(f"is after the market ends, {str(last)[:19]}", column="at", value=at)
    try:
        return history.bar_of(instant)
    except InputError as error:
        raise InputError(error.problem, column="at", value=at) from None


def instant_of(text: str) -> np.datetime64:
    """An instant in ISO form, UTC; anything else is an InputError."""
    instant: np.datetime64
    try:
        instant = np.datetime64(text.removesuffix("Z"), "ns")
    except ValueError:
        instant = np.datetime64("NaT", "ns")
    if np.isnat(instant):
        raise InputError("is not an instant such as 2025-08-01T12:00", column="at", value=text)
    return instant


def _explained(scorer: Scorer, book: AccountBook, pools: IntArray, request: ScoreRequest) -> list[dict[str, Any]]:
    chosen, horizon = book.take(pools), scorer.horizons[-1]
    reasons = explain(scorer, chosen, horizon)
    advice = advise(scorer, chosen, horizon=horizon, target=request.target, cash=request.cash)
    base = scorer.view.history.instruments.base
    return [
        {"reasons": reasons[i], "advice": advice.lines(i, base, request.target, horizon)} | advice.record(i)
        for i in range(len(chosen))
    ]


def _about(book: AccountBook, scorer: Scorer, records: list[dict[str, Any]]) -> dict[str, Any]:
    rules, data = scorer.rules, scorer.view.data
    return {
        "at": str(scorer.market.time)[:19],
        "horizons": list(scorer.horizons),
        "model": {k: scorer.model.about_[k] for k in ("train_end", "venue", "market", "accounts", "symbols")},
        "rules": rules_record(rules),
        "stamp": book_stamp(book, scorer.market, rules),
        "data": {"marks": scorer.view.history.source, "simulated": data.simulated, "tables": data.report.as_dict()},
        "warnings": [*warnings_of(scorer.model, scorer.view, rules), *_foreseen(scorer), *_fallen_back(records)],
    }


def _foreseen(scorer: Scorer) -> list[str]:
    """A line where the model's training has seen what it is asked to forecast."""
    if scorer.market.time >= np.datetime64(first_unseen_day(scorer.model), "ns"):
        return []
    return [
        f"the model's training reaches to {scorer.model.about_['train_end']}, beyond this instant: no true forecast"
    ]
