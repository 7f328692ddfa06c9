"""Margin states restated with what tier schedules do not know: other margin by leg, weighted profit, reserves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .accounts import AccountBook
from .arrays import FloatArray, frozen, group_sums, require, require_shape
from .compiled import compile_book
from .fee_to_close import fee_to_close
from .instruments import contract_value
from .margin import MarginState, stage_of
from .market import MarketState
from .rate_modifiers import weighted_profit
from .rulebook import RuleBook


def restate(
    state: MarginState,
    book: AccountBook,
    rules: RuleBook,
    *,
    leg_maintenance: ArrayLike | None = None,
    leg_initial: ArrayLike | None = None,
    equity: ArrayLike | None = None,
) -> MarginState:
    """The state with other margin requirements by leg or another equity by pool, its totals and stages made anew.

    Parameters
    ----------
    state, book, rules
        What `evaluate` returned and was given.
    leg_maintenance, leg_initial
        Margin of each position, base asset, in the order of the book's positions; None keeps it.
    equity
        Equity of each pool, base asset; None keeps it.

    Raises
    ------
    InputError
        A column of the wrong length or one that holds NaN or, margin, a negative figure.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .margin import evaluate
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [2000.0], [0, 1], [0], [1.0], [30000.0], [20.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.004], [125.0])})
    >>> state = evaluate(book, MarketState(np.datetime64("2024-01-01"), [30_000.0], [1.0]), rules)
    >>> restate(state, book, rules, leg_maintenance=state.leg_maintenance + 30.0).maintenance.tolist()
    [150.0]
    """
    required = _column(leg_maintenance, state.leg_maintenance, "leg_maintenance", least=0.0)
    asked = _column(leg_initial, state.leg_initial, "leg_initial", least=0.0)
    own = _column(equity, state.equity, "equity", least=-np.inf)
    maintenance = state.maintenance if leg_maintenance is None else pool_totals(book, required)
    initial = state.initial if leg_initial is None else pool_totals(book, asked)
    return replace(
        state,
        equity=own,
        maintenance=maintenance,
        initial=initial,
        stage=stage_of(own, maintenance, np.diff(book.position_pointer) > 0, rules),
        leg_maintenance=required,
        leg_initial=asked,
    )


def _column(values: ArrayLike | None, kept: FloatArray, name: str, least: float) -> FloatArray:
    if values is None:
        return kept
    column = frozen(values, np.float64)
    require_shape(column, kept.shape, name)
    require(column >= least, column, "must be a number and, margin, not negative", name)
    return column


def pool_totals(book: AccountBook, legs: FloatArray) -> FloatArray:
    """Sum over the positions of each pool, made in an order that does not depend on how they were listed.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> names, nan = ["a", "b"], np.nan
    >>> book = AccountBook(table, names, names, ["", ""], [0, 0, 0], [], [], [0, 0, 1], [0], [1.0], [3.0], [nan])
    >>> pool_totals(book, np.array([7.0])).tolist()
    [0.0, 7.0]
    """
    compiled = compile_book(book)
    return group_sums(compiled.row_pool[compiled.leg_row], legs[compiled.leg_position], len(book))


def closing_reserve(book: AccountBook, market: MarketState, rules: RuleBook, taker_fee: float) -> FloatArray:
    """Fee of closing each position at its bankruptcy price, told from the mark; base asset, shape (n_positions,).

    A position without a chosen leverage is taken at the highest its tier allows. Source: Bybit help centre, unified
    account: initial and maintenance margin include the estimated fee to close.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [2000.0], [0, 1], [0], [-1.0], [30000.0], [20.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.004], [125.0])})
    >>> market = MarketState(np.datetime64("2024-01-01"), [30_000.0], [1.0])
    >>> closing_reserve(book, market, rules, 0.0005).round(9).tolist()
    [15.75]
    """
    table, instrument, size = book.instruments, book.position_instrument, book.position_size
    mark, leverage = market.mark[instrument], book.leverage.copy()
    notional = np.abs(contract_value(size, mark, book.position_inverse))
    for i in np.unique(instrument[np.isnan(leverage)]):
        mine = np.isnan(leverage) & (instrument == i)
        schedule = rules.schedule_of(table.symbols[i])
        leverage[mine] = schedule.max_leverage[schedule.tier_of(notional[mine])]
    fee = fee_to_close(size, mark, leverage, taker_fee, table.kind[instrument])
    return np.asarray(fee * market.index[book.position_asset])


def equity_with_weighted_profit(
    state: MarginState, book: AccountBook, positive: float, negative: float = 1.0
) -> FloatArray:
    """Equity of each pool when unrealised profit counts at `positive` and loss at `negative`, each leg by its sign.

    Exact where the settlement asset counts in full: equity + sum(weighted profit - profit). With positive 0 unrealised
    profit opens no new position, as in the initial margin of Drift and of many brokers.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .margin import evaluate
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [2000.0], [0, 1], [0], [1.0], [30000.0], [20.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.004], [125.0])})
    >>> state = evaluate(book, MarketState(np.datetime64("2024-01-01"), [31_000.0], [1.0]), rules)
    >>> equity_with_weighted_profit(state, book, 0.0).tolist()
    [2000.0]
    """
    change = weighted_profit(state.leg_profit, positive, negative) - state.leg_profit
    return state.equity + pool_totals(book, change)
