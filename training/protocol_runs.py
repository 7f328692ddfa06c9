"""The tests a model must stand: years ahead of it, crashes it never saw, accounts of a kind it never saw."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from ..riskcore.errors import InputError
from ..riskcore.market import MarketHistory
from .evaluate import Split
from .left_out import market_without
from .market_view import MarketView, view_market
from .plan import WARM_UP_DAYS, Plan, parse_horizons, tested_bars, training_bars
from .population import PopulationSpec

WALK_FORWARD, CRASH, ACCOUNTS = "walk-forward", "crash", "accounts"
CRASHES = (
    date(2020, 3, 12),
    date(2021, 5, 19),
    date(2022, 5, 12),
    date(2022, 6, 13),
    date(2022, 11, 9),
    date(2024, 8, 5),
)
"""Days of the largest falls: Covid, China's ban on mining, Terra, Celsius, FTX, the yen carry trade."""
MONTHS = {"year": 12, "half": 6, "quarter": 3}
KINDS = {
    "3+ legs, trained on 1 and 2": (PopulationSpec(legs=(0.6, 0.4)), PopulationSpec(legs=(0.0, 0.0, 0.5, 0.3, 0.2))),
    "hedged, trained on one side only": (
        PopulationSpec(follow_share=1.0),
        PopulationSpec(legs=(0.0, 0.5, 0.25, 0.15, 0.1), follow_share=0.0),
    ),
}
"""Kinds of accounts held out: those trained on, and those tested on."""


@dataclass(frozen=True)
class Protocol:
    """What a validation is asked to do.

    Parameters
    ----------
    start
        First tested day: the first of a month.
    folds
        Length of a block: "year", "half" or "quarter".
    seeds
        Walk-forward blocks are tested with each; crashes and kinds of accounts with the first.
    crashes, kinds
        Whether to leave out each crash, and each kind of account.
    horizons, accounts, threads, rounds, train_accounts
        As in `Plan`.
    embargo_days
        Days left out between training and test, on each side, beyond the longest horizon.
    window_days
        Days before and after a crash that accounts are tested on.
    """

    start: date
    folds: str = "year"
    seeds: tuple[int, ...] = (1,)
    crashes: bool = True
    kinds: bool = True
    horizons: str = "1h,4h,24h"
    accounts: int = 20_000
    threads: int = 2
    rounds: int = 250
    embargo_days: int = 2
    window_days: int = 10
    train_accounts: int | None = None

    def __post_init__(self) -> None:
        if self.folds not in MONTHS:
            raise InputError(f"must be one of {', '.join(MONTHS)}", column="folds", value=self.folds)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError("must be at least one, each once", column="seeds", value=self.seeds)
        if self.start.day != 1:
            raise InputError("must be the first of a month", column="start", value=str(self.start))
        for name, least in (("embargo_days", 0), ("window_days", 1)):
            if getattr(self, name) < least:
                raise InputError(f"must be at least {least}", column=name, value=getattr(self, name))

    def plan(self, train_end: date, seed: int, test: tuple[date, date] | None = None) -> Plan:
        """One run's plan."""
        first, last = (None, None) if test is None else test
        sizes = (self.horizons, self.accounts, seed, self.threads, self.rounds, self.train_accounts)
        return Plan(train_end, first, last, *sizes)


@dataclass(frozen=True)
class Run:
    """One test.

    Parameters
    ----------
    kind, name
        WALK_FORWARD, CRASH or ACCOUNTS; and the block, the day or the kind of accounts.
    plan
        Training and tested days; of a crash, training runs to the end of the market.
    tested
        First and last day on which tested accounts are seen.
    embargo_days
        Of a crash: days left out on each side of those tested.
    accounts
        Accounts trained on and tested on; None: the usual ones.
    """

    kind: str
    name: str
    plan: Plan
    tested: tuple[date, date]
    embargo_days: int = 0
    accounts: tuple[PopulationSpec, PopulationSpec] | None = None

    def settings(self) -> dict[str, Any]:
        """What decides the result besides market, rules and code."""
        own = {name: str(value) for name, value in asdict(self).items() if name != "plan"}
        return own | {"plan": {name: str(value) for name, value in asdict(self.plan).items() if name != "threads"}}


def protocol_runs(protocol: Protocol, history: MarketHistory) -> list[Run]:
    """Every test of a protocol that a market allows, in order: blocks by seed, then crashes, then kinds of accounts.

    Crashes too near to an end of the market to be left out are not among them.

    Raises
    ------
    InputError
        A first day that leaves nothing to test on or too little to train on.
    """
    blocks = walk_forward_blocks(protocol, history)
    runs = [_block_run(protocol, block, seed) for seed in protocol.seeds for block in blocks]
    for run in runs[: len(blocks)]:
        training_bars(run.plan, history, parse_horizons(protocol.horizons, history.step)[-1].bars)
    if protocol.crashes:
        runs += [_crash_run(protocol, day, history) for day in CRASHES if _covers(protocol, day, history)]
    if protocol.kinds:
        newest = _block_run(protocol, blocks[-1], protocol.seeds[0])
        runs += [replace(newest, kind=ACCOUNTS, name=name, accounts=specs) for name, specs in KINDS.items()]
    return runs


def skipped_crashes(protocol: Protocol, history: MarketHistory) -> list[date]:
    """Crashes of the list that a validation was asked to leave out and cannot: too near to an end of the market."""
    return [day for day in CRASHES if protocol.crashes and not _covers(protocol, day, history)]


def walk_forward_blocks(protocol: Protocol, history: MarketHistory) -> list[tuple[date, date]]:
    """First and last day of each tested block, the last one cut at the end of the market."""
    end, length = _last_day(history), MONTHS[protocol.folds]
    if protocol.start > end:
        problem = f"leaves nothing to test on: the market ends {end}"
        raise InputError(problem, column="start", value=str(protocol.start))
    months = range(_month(protocol.start), _month(end) + 1, length)
    firsts = [date(month // 12, month % 12 + 1, 1) for month in (*months, months[-1] + length)]
    return [(a, min(b - timedelta(days=1), end)) for a, b in pairwise(firsts)]


def _block_run(protocol: Protocol, block: tuple[date, date], seed: int) -> Run:
    train_end = block[0] - timedelta(days=1 + protocol.embargo_days)
    return Run(WALK_FORWARD, block_name(protocol, block[0]), protocol.plan(train_end, seed, block), block)


def _month(day: date) -> int:
    return 12 * day.year + day.month - 1


def block_name(protocol: Protocol, first: date) -> str:
    """Name of a block: its year, or its first month.

    Examples
    --------
    >>> block_name(Protocol(date(2022, 1, 1)), date(2023, 1, 1))
    '2023'
    >>> block_name(Protocol(date(2022, 1, 1), "quarter"), date(2022, 7, 1))
    '2022-07'
    """
    return f"{first.year}" if protocol.folds == "year" and first.month == 1 else f"{first:%Y-%m}"


def _crash_run(protocol: Protocol, day: date, history: MarketHistory) -> Run:
    window = timedelta(days=protocol.window_days)
    plan = protocol.plan(_last_day(history), protocol.seeds[0])
    return Run(CRASH, str(day), plan, (day - window, day + window), protocol.embargo_days)


def _covers(protocol: Protocol, day: date, history: MarketHistory) -> bool:
    """Whether the market holds the window, the embargo and, before them, what warms up an account's features."""
    first = history.times[0].astype("datetime64[D]").astype(object)
    window = timedelta(days=protocol.window_days + protocol.embargo_days)
    return bool(first + timedelta(days=WARM_UP_DAYS) <= day - window and day + window < _last_day(history))


def _last_day(history: MarketHistory) -> date:
    day: date = history.times[-1].astype("datetime64[D]").astype(object)
    return day


def split_of(run: Run, view: MarketView) -> Split:
    """What a run learns from and what it tests, in bars; of a crash, the market without it and its embargo."""
    history = view.history
    longest = parse_horizons(run.plan.horizons, history.step)[-1].bars
    trained = training_bars(run.plan, history, longest)
    if run.kind != CRASH:
        train_population, test_population = run.accounts or (None, None)
        return Split(trained, tested_bars(run.plan, history, longest), None, train_population, test_population)
    first, last = (int(np.searchsorted(history.times, np.datetime64(day, "ns"))) for day in _window(run))
    margin = np.timedelta64(run.embargo_days, "D")
    gap = history.times[first] - margin, history.times[last] + longest * history.step + margin
    return Split(trained, (first, last), view_market(market_without(view.data, *gap)))


def _window(run: Run) -> tuple[date, date]:
    return run.tested[0], run.tested[1] + timedelta(days=1)
