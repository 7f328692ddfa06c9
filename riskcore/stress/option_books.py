"""Stresses of pools that hold options: what a path of prices and volatilities leaves of their headroom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..accounts import AccountBook
from ..arrays import BoolArray, FloatArray, IntArray, frozen
from ..errors import InputError
from ..margin import Stage
from ..market import MarketState
from ..options.option_holdings import OptionHoldings, evaluate_options
from ..options.short_option import ShortOptionRules
from ..rulebook import RuleBook
from .path import StressPath


@dataclass(frozen=True)
class OptionSetting:
    """What a stress of option books starts from.

    Parameters
    ----------
    book, held
        The pools: balances, futures and perpetuals, and their options.
    market
        Marks of the futures and indices.
    volatility
        Implied volatility of each contract now, fraction a year, shape (n_contracts,).
    rules, short_rules
        Margin of the futures, and of short options.
    """

    book: AccountBook
    held: OptionHoldings
    market: MarketState
    volatility: FloatArray
    rules: RuleBook
    short_rules: ShortOptionRules

    @property
    def underlying(self) -> IntArray:
        """The instrument whose mark is the forward of each contract: that of the name of its underlying."""
        return self.book.instruments.index_of(self.held.contracts.underlying)


@dataclass(frozen=True)
class OptionStressOutcome:
    """What a stress leaves, step by step, if nobody acts; base asset, shape (n_steps, n_pools).

    Parameters
    ----------
    equity, headroom
        Of each pool in each step, at the true prices.
    breached
        Whether it would be liquidated there.
    """

    path: StressPath
    equity: FloatArray
    headroom: FloatArray
    breached: BoolArray

    def __post_init__(self) -> None:
        for name, kind in (("equity", np.float64), ("headroom", np.float64), ("breached", np.bool_)):
            object.__setattr__(self, name, frozen(getattr(self, name), kind))

    @property
    def first_breach(self) -> IntArray:
        """First step in which each pool is in breach, -1 if in none, shape (n_pools,)."""
        return np.where(self.breached.any(axis=0), self.breached.argmax(axis=0), -1)


def stress_options(setting: OptionSetting, path: StressPath) -> OptionStressOutcome:
    """Margin of pools that hold options along a stress; every volatility is multiplied by the path's.

    Options are valued by Black-76 on the mark of their underlying, which stands for their forward; no time passes.

    Raises
    ------
    InputError
        What `evaluate_options` refuses; an underlying that is no instrument of the book, a volatility that is missing
        or negative (named), a path of other instruments.

    Examples
    --------
    A short call struck at 100, a year long, at 50% volatility is worth 19.7 and must hold 7.5 more. If volatility
    doubles it is worth 38.3:

    >>> import datetime as dt
    >>> from ..instruments import InstrumentTable
    >>> from ..options.option_table import OptionTable
    >>> from ..options.short_option import load_short_option_rules
    >>> from ..rulebook import RateSchedule
    >>> from .path import price_path
    >>> futures = InstrumentTable.linear_perpetuals(["BTC"], base="USD")
    >>> book = AccountBook(futures, ["a"], ["m"], [""], [0, 1], [0], [40.0], [0, 0], [], [], [], [])
    >>> calls = OptionTable(("C",), ("BTC",), [np.datetime64("2025-01-01")], [100.0], [1], [1.0])
    >>> held = OptionHoldings(calls, [0, 1], [0], [-1.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])}, base="USD")
    >>> market = MarketState(np.datetime64("2024-01-02"), [100.0], [1.0])
    >>> setting = OptionSetting(book, held, market, [0.5], rules, load_short_option_rules("deribit_options"))
    >>> spike = price_path("spike", "", [1.0, 1.0], futures, volatility=np.array([1.0, 2.0]))
    >>> outcome = stress_options(setting, spike)
    >>> outcome.equity.round(1).tolist(), outcome.first_breach.tolist()
    ([[20.3], [1.7]], [1])
    """
    volatility, underlying = np.asarray(setting.volatility, np.float64), setting.underlying
    wanted, found = len(setting.book.instruments), path.mark.shape[1]
    if found != wanted:
        raise InputError(f"the stress {path.name} has {found} columns, the book {wanted}", column="mark")
    shape = (len(path), len(setting.book))
    equity, headroom, breached = np.empty(shape), np.empty(shape), np.empty(shape, dtype=np.bool_)
    for step in range(len(path)):
        market = path.at(setting.market, step)
        spot = market.mark[underlying]
        premium = setting.held.contracts.value(market.time, spot, volatility * path.volatility[step])
        given = setting.book, setting.held, market, spot, premium, setting.rules, setting.short_rules
        pools = evaluate_options(*given).pools
        equity[step], headroom[step] = pools.equity, pools.headroom
        breached[step] = pools.stage >= Stage.LIQUIDATION
    return OptionStressOutcome(path, equity, headroom, breached)
