"""Rule-books whose tiers count contracts or coins, made into schedules on value at the prices of one instant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .errors import InputError
from .instruments import INVERSE, InstrumentTable, contract_value
from .market import MarketState
from .rulebook import HaircutSchedule, RateSchedule, RuleBook


def priced_schedule(schedule: RateSchedule, unit_value: float) -> RateSchedule:
    """A schedule on notional from one that counts contracts worth `unit_value` each; one on notional stays as it is.

    A cliff schedule keeps its rates; the deductions of a marginal one scale with its floors.

    Examples
    --------
    >>> counted = RateSchedule([0, 500], [0.01, 0.015], [0, 2.5], [50, 20], 1_000.0, "amount")
    >>> schedule = priced_schedule(counted, 40.0)
    >>> schedule.floors.tolist(), schedule.deductions.tolist(), schedule.limit, schedule.unit
    ([0.0, 20000.0], [0.0, 100.0], 40000.0, 'value')
    """
    if schedule.unit == "value":
        return schedule
    if not 0 < unit_value < np.inf:
        raise InputError("tiers that count contracts need the value of one", column="unit_value", value=unit_value)
    return replace(
        schedule,
        floors=schedule.floors * unit_value,
        deductions=schedule.deductions * unit_value,
        limit=schedule.limit * unit_value,
        unit="value",
    )


def priced_haircut(haircut: HaircutSchedule, index: float) -> HaircutSchedule:
    """A haircut schedule on value from one on amounts of an asset worth `index` base units each.

    Examples
    --------
    >>> haircut = priced_haircut(HaircutSchedule([0, 10], [0.98, 0.95], "amount"), 60_000.0)
    >>> haircut.floors.tolist()
    [0.0, 600000.0]
    """
    if haircut.unit == "value":
        return haircut
    if not 0 < index < np.inf:
        raise InputError("slices that count an asset need its price", column="index", value=index)
    return replace(haircut, floors=haircut.floors * index, unit="value")


def priced_rules(rules: RuleBook, table: InstrumentTable, market: MarketState) -> RuleBook:
    """The same rules with every schedule on value, exact at the prices of `market` and only there.

    A tier told in contracts does not move with the price, one told in notional does: as soon as marks move, price the
    rules again. Contracts and assets the table does not list, and those without a price, keep their schedules. A
    contract that shares the tiers of another one under an alias gets its own, since its contracts are worth another
    amount.

    Examples
    --------
    >>> import datetime as dt
    >>> table = InstrumentTable(("BTC-USDT-SWAP",), [0], [0.01], [0], ("USDT",))
    >>> tiers = RateSchedule([0, 500], [0.004, 0.005], [0, 0], [100, 75], 1_000.0, "amount")
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC-USDT-SWAP": tiers})
    >>> market = MarketState(np.datetime64("2024-01-01"), [60_000.0], [1.0])
    >>> priced_rules(rules, table, market).schedules["BTC-USDT-SWAP"].floors.tolist()
    [0.0, 300000.0]
    """
    unit = contract_value(table.multiplier, market.mark, np.asarray(table.kind == INVERSE))
    schedules, haircuts, aliases = dict(rules.schedules), dict(rules.haircuts), dict(rules.aliases)
    for symbol, value in zip(table.symbols, unit.tolist(), strict=True):
        schedule = rules.schedules.get(aliases.get(symbol, symbol))
        if schedule is not None and schedule.unit == "amount" and np.isfinite(value):
            schedules[symbol] = priced_schedule(schedule, value)
            aliases.pop(symbol, None)
    for asset, index in zip(table.assets, market.index.tolist(), strict=True):
        if asset in haircuts and np.isfinite(index):
            haircuts[asset] = priced_haircut(rules.haircuts[asset], index)
    return replace(rules, schedules=schedules, haircuts=haircuts, aliases=aliases)
