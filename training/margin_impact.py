"""What a change of margin rates does to the accounts that live under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import BoolArray
from ..riskcore.errors import InputError
from ..riskcore.margin import evaluate, is_breached
from ..riskcore.market import MarketState
from ..riskcore.rulebook import RateSchedule, RuleBook


def rules_with_rates(rules: RuleBook, rates: Mapping[str, float]) -> RuleBook:
    """The same rules with other first-tier maintenance rates.

    Higher tiers are lifted to the new rate where they ask less, deductions follow, and the highest leverage is cut to
    what the rate allows.

    Parameters
    ----------
    rules
        Rules to change.
    rates
        New first-tier rate by symbol, fraction of notional in (0, 1].

    Raises
    ------
    InputError
        A symbol without a tier table, a rate outside (0, 1].

    Examples
    --------
    >>> import datetime as dt
    >>> schedule = RateSchedule.marginal([0, 50_000, 250_000], [0.004, 0.005, 0.02], [125, 100, 25])
    >>> rules = RuleBook("x", dt.date(2024, 1, 1), {"BTC": schedule})
    >>> changed = rules_with_rates(rules, {"BTC": 0.01}).schedule_of("BTC")
    >>> changed.rates.tolist(), changed.deductions.tolist(), changed.max_leverage.tolist()
    ([0.01, 0.01, 0.02], [0.0, 0.0, 2500.0], [100.0, 100.0, 25.0])
    """
    changed = {rules.aliases.get(s, s): _with_rate(rules.schedule_of(s), rate) for s, rate in rates.items()}
    return replace(rules, schedules={**rules.schedules, **changed})


def _with_rate(schedule: RateSchedule, rate: float) -> RateSchedule:
    if not 0 < rate <= 1:
        raise InputError("must be in (0, 1]", column="rate", value=rate)
    lifted = np.concatenate(([rate], np.maximum(schedule.rates[1:], rate)))
    leverage = np.minimum(schedule.max_leverage, 1 / lifted)
    make = RateSchedule.marginal if schedule.deductions.any() else RateSchedule.cliff
    return replace(make(schedule.floors, lifted, leverage), limit=schedule.limit)


def newly_in_breach(book: AccountBook, market: MarketState, rules: RuleBook, changed: RuleBook) -> BoolArray:
    """Pools that would be liquidated under the changed rules and are not under the present ones, shape (n_pools,)."""
    before, after = (evaluate(book, market, each) for each in (rules, changed))
    held = np.diff(book.position_pointer) > 0
    breached = is_breached(after.equity, after.maintenance, changed)
    return held & breached & ~is_breached(before.equity, before.maintenance, rules)
