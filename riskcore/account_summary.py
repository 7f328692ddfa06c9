"""The totals of a margin pool as venues show them to its owner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .accounts import AccountBook
from .arrays import FloatArray, group_sums
from .margin import evaluate
from .market import MarketState
from .rulebook import RuleBook


@dataclass(frozen=True)
class AccountSummary:
    """Totals of each pool, base asset, shape (n_pools,).

    Parameters
    ----------
    equity, initial, maintenance
        As in `MarginState`.
    notional
        Sum of the absolute notionals of its positions.
    available
        Equity above initial margin, what could be withdrawn; 0 where there is none.
    coverage
        Equity / maintenance margin (OKX's margin ratio); liquidation is at 1. NaN where there is no maintenance margin.
    """

    equity: FloatArray
    notional: FloatArray
    initial: FloatArray
    maintenance: FloatArray
    available: FloatArray
    coverage: FloatArray


def summarise(book: AccountBook, market: MarketState, rules: RuleBook) -> AccountSummary:
    """Totals of every pool at one instant; errors are those of `evaluate`.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [2000.0], [0, 1], [0], [-1.0], [30000.0], [20.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.004], [125.0])})
    >>> summary = summarise(book, MarketState(np.datetime64("2024-01-01"), [30_000.0], [1.0]), rules)
    >>> summary.notional.tolist(), summary.available.tolist(), summary.coverage.round(4).tolist()
    ([30000.0], [500.0], [16.6667])
    """
    state = evaluate(book, market, rules)
    coverage = np.full(len(book), np.nan)
    np.divide(state.equity, state.maintenance, out=coverage, where=state.maintenance != 0)
    return AccountSummary(
        equity=state.equity,
        notional=group_sums(book.position_pool, state.leg_notional, len(book)),
        initial=state.initial,
        maintenance=state.maintenance,
        available=np.maximum(state.equity - state.initial, 0.0),
        coverage=coverage,
    )
