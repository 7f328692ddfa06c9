"""What a training or evaluation run is asked to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ..riskcore.errors import InputError
from ..riskcore.market import MarketHistory

UNITS = {"m": np.timedelta64(1, "m"), "h": np.timedelta64(1, "h"), "d": np.timedelta64(1, "D")}


@dataclass(frozen=True)
class Horizon:
    """A forecast horizon: its name ("4h") and its length in bars."""

    name: str
    bars: int


def parse_horizons(text: str, step: np.timedelta64) -> tuple[Horizon, ...]:
    """Horizons from text such as "1h,4h,24h", rising; each must be a whole number of bars.

    Examples
    --------
    >>> parse_horizons("1h,1d", np.timedelta64(1, "h"))
    (Horizon(name='1h', bars=1), Horizon(name='1d', bars=24))
    """
    found = []
    for name, length in _lengths(text).items():
        bars = length / step
        if bars < 1 or bars != int(bars):
            problem = f"must be a whole number of bars of {step.astype('timedelta64[m]')}"
            raise InputError(problem, column="horizons", value=name)
        found.append(Horizon(name, int(bars)))
    return tuple(found)


def _lengths(text: str) -> dict[str, np.timedelta64]:
    """Lengths of horizons by name, whatever the bars."""
    found: dict[str, np.timedelta64] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})([mhd])\s*", part)
        if match is None or not int(match[1]):
            raise InputError('must look like "1h,4h,24h" (m, h or d)', column="horizons", value=part)
        length = int(match[1]) * UNITS[match[2]]
        if any(length <= shorter for shorter in found.values()):
            raise InputError("must rise and not repeat", column="horizons", value=text)
        found[f"{int(match[1])}{match[2]}"] = length
    return found


@dataclass(frozen=True)
class Plan:
    """A run: what is trained on, what is tested on, on how many simulated accounts.

    Parameters
    ----------
    train_end
        Last day (UTC, inclusive) of the training data: no training label looks beyond it.
    test_start, test_end
        First and last day (inclusive) on which tested accounts are seen; None: the day after training, and the end.
    horizons
        As text, "1h,4h,24h".
    accounts
        Simulated accounts to test on.
    seed, threads
        Seed of everything drawn; threads change no result.
    rounds
        Trees of the volatility forecasts.
    train_accounts
        Simulated accounts to train on; None: as many as the training period is worth (`accounts_to_train_on`).
    """

    train_end: date
    test_start: date | None = None
    test_end: date | None = None
    horizons: str = "1h,4h,24h"
    accounts: int = 20_000
    seed: int = 1
    threads: int = 2
    rounds: int = 250
    train_accounts: int | None = None

    def __post_init__(self) -> None:
        start = self.first_test_day
        if start <= self.train_end:
            problem = f"must be after the last day of training, {self.train_end}"
            raise InputError(problem, column="test_start", value=str(start))
        if self.test_end is not None and self.test_end < start:
            problem = f"must not be before the first tested day, {start}"
            raise InputError(problem, column="test_end", value=str(self.test_end))
        _lengths(self.horizons)
        for name in ("accounts", "threads", "rounds", "train_accounts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError("must be at least 1", column=name, value=value)

    @property
    def first_test_day(self) -> date:
        """Day of the first tested accounts."""
        return self.train_end + timedelta(days=1) if self.test_start is None else self.test_start


ACCOUNTS_A_DAY, MOST_ACCOUNTS = 200, 300_000
"""Accounts trained on for each day, and at most: more gain nothing (docs/experiments.md)."""
LEAST_ACCOUNTS = 50
"""Fewer may all be seen on one day of the validation block, the last fifth, which then gives no interval."""


def accounts_to_train_on(plan: Plan, bars: tuple[int, int], step: np.timedelta64) -> int:
    """How many accounts to simulate over bars [first, last): as the plan says, or 200 a day, at most 300,000.

    Where the plan does not say, never fewer than are tested.

    Examples
    --------
    >>> hour = np.timedelta64(1, "h")
    >>> accounts_to_train_on(Plan(date(2023, 12, 31)), (0, 365 * 24), hour)
    73000
    >>> accounts_to_train_on(Plan(date(2023, 12, 31), train_accounts=1_000), (0, 365 * 24), hour)
    1000

    Raises
    ------
    InputError
        Fewer than 50.
    """
    days = (bars[1] - bars[0]) * step / np.timedelta64(1, "D")
    count = plan.train_accounts or max(plan.accounts, min(round(ACCOUNTS_A_DAY * days), MOST_ACCOUNTS))
    if count < LEAST_ACCOUNTS:
        raise InputError(f"{count} simulated accounts are too few to train on; {LEAST_ACCOUNTS} or more are needed")
    return count


WARM_UP_DAYS = 31
LEAST_BARS = 100


def training_bars(plan: Plan, history: MarketHistory, longest: int) -> tuple[int, int]:
    """First bar after the warm-up, and the bar after the last that a training label may look at.

    Raises
    ------
    InputError
        A training period that the market does not cover.
    """
    warm_up = int(np.timedelta64(WARM_UP_DAYS, "D") / history.step)
    last = _bar_after(history, plan.train_end)
    begin, end = (np.datetime_as_string(history.times[bar], "D") for bar in (0, -1))
    if str(plan.train_end) > end:
        raise InputError(f"is after the last day of the market, {end}", column="train_end", value=str(plan.train_end))
    if last - longest <= warm_up + LEAST_BARS:
        problem = (
            f"leaves too little to train on: the market runs from {begin} to {end}, {WARM_UP_DAYS} days warm it up"
        )
        if last > warm_up + LEAST_BARS:  # a shorter horizon would do
            raise InputError(f"{problem}, training ends {plan.train_end}", column="horizons", value=plan.horizons)
        raise InputError(problem, column="train_end", value=str(plan.train_end))
    return warm_up, last


def require_trainable(plan: Plan, history: MarketHistory) -> None:
    """Raise InputError for horizons, a training period or a number of accounts that nothing can be trained on."""
    bars = training_bars(plan, history, parse_horizons(plan.horizons, history.step)[-1].bars)
    accounts_to_train_on(plan, bars, history.step)


def tested_bars(plan: Plan, history: MarketHistory, longest: int) -> tuple[int, int]:
    """Bars [first, last) at which tested accounts are seen, early enough for the longest horizon to be known.

    Raises
    ------
    InputError
        A test period that the market does not cover.
    """
    first = int(np.searchsorted(history.times, np.datetime64(plan.first_test_day, "ns")))
    last = len(history) if plan.test_end is None else _bar_after(history, plan.test_end)
    fitting = min(last, len(history) - longest + 1)
    end = str(history.times[-1])[:10]
    if fitting <= first < min(last, len(history)):
        problem = f"leaves nothing to test on from {plan.first_test_day}: the longest must be over when the market ends"
        raise InputError(f"{problem}, {end}", column="horizons", value=plan.horizons)
    if first >= fitting:
        raise InputError(
            f"leaves nothing to test on: the market ends {end}", column="test_start", value=str(plan.first_test_day)
        )
    return first, fitting


def _bar_after(history: MarketHistory, day: date) -> int:
    return int(np.searchsorted(history.times, np.datetime64(day, "ns") + np.timedelta64(1, "D")))
