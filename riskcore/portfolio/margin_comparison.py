"""Isolated, cross and portfolio margin of the same accounts side by side, and what netting saves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..accounts import CROSS, AccountBook
from ..arrays import FloatArray, IntArray, NameArray, group_sums
from ..errors import InputError
from ..margin import evaluate
from ..market import MarketState
from ..rulebook import RuleBook
from .contracts import ContractTable, PositionBook, contract_prices
from .portfolio_rule import PortfolioRule
from .risk_arrays import risk_arrays
from .scenario_margin import scenario_margin


@dataclass(frozen=True)
class MarginComparison:
    """What each account needs under three ways of margining; base asset, shape (n_accounts,).

    Isolated: every position stands alone, and profits of one do not pay for losses of another. Cross: one pool an
    account under the same tiered rules. Portfolio: the scenario margin of that pool.

    Parameters
    ----------
    account
        Names, in the order in which the book first names them.
    isolated_maintenance, cross_maintenance, portfolio_maintenance
        Maintenance requirements.
    isolated_initial, cross_initial, portfolio_initial
        Initial requirements.
    isolated_collateral, cross_collateral, portfolio_collateral
        Collateral value, after haircuts, that just meets the maintenance requirement: the requirement less unrealised
        profit or plus loss, not below 0; for isolated positions one by one.
    """

    account: NameArray
    isolated_maintenance: FloatArray
    cross_maintenance: FloatArray
    portfolio_maintenance: FloatArray
    isolated_initial: FloatArray
    cross_initial: FloatArray
    portfolio_initial: FloatArray
    isolated_collateral: FloatArray
    cross_collateral: FloatArray
    portfolio_collateral: FloatArray

    @property
    def saved_by_cross(self) -> FloatArray:
        """Collateral that sharing profits and losses sets free, against isolated positions."""
        return self.isolated_collateral - self.cross_collateral

    @property
    def saved_by_portfolio(self) -> FloatArray:
        """Collateral that netting risk sets free, against cross margin; negative where the scenarios ask more."""
        return self.cross_collateral - self.portfolio_collateral


def compare_margins(
    book: AccountBook, market: MarketState, rules: RuleBook, contracts: ContractTable, rule: PortfolioRule
) -> MarginComparison:
    """Margin every account three ways.

    Parameters
    ----------
    book, market, rules
        Accounts, prices and tiered rules, as for `riskcore.margin.evaluate`; how the book divides positions among
        pools is not looked at.
    contracts
        The book's instruments with their risk units, as from `contracts_of_instruments`.
    rule
        The portfolio rule.

    Raises
    ------
    InputError
        Contracts that are not the book's instruments, and whatever `evaluate` and `scenario_margin` refuse.

    Examples
    --------
    Long 1 BTC on one contract and short 1 BTC on another, maintenance 1% and a scan of 10%:

    >>> import datetime as dt
    >>> from ..instruments import InstrumentTable
    >>> from ..rulebook import RateSchedule
    >>> from .contracts import contracts_of_instruments
    >>> from .portfolio_rule import Charges, UnitRule
    >>> from .scenario_grid import SAME, ScenarioGrid, VolatilityShock
    >>> table = InstrumentTable.linear_perpetuals(["BTC-A", "BTC-B"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 2], [0, 1], [1.0, -1.0],
    ...                    [50_000.0, 60_000.0], [np.nan, np.nan])
    >>> tiers = RateSchedule.marginal([0.0], [0.01], [50.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC-A": tiers, "BTC-B": tiers})
    >>> unit = UnitRule(ScenarioGrid.product([-0.1, 0.1], SAME), VolatilityShock(0, 0, 0, 0), Charges(offset=0.002))
    >>> rule = PortfolioRule("example", dt.date(2024, 1, 1), {"BTC": unit})
    >>> found = compare_margins(book, MarketState(np.datetime64("2024-01-01"), [60_000.0, 60_000.0], [1.0]), rules,
    ...                         contracts_of_instruments(table, ["BTC", "BTC"]), rule)
    >>> found.cross_maintenance.tolist(), found.portfolio_maintenance.tolist()
    ([1200.0], [120.0])
    >>> found.isolated_collateral.tolist(), found.cross_collateral.tolist()
    ([600.0], [0.0])
    """
    _require_same(book, contracts)
    names, account = account_pools(book)
    shared = by_account(book, account)
    state = evaluate(shared, market, rules)
    accounts = len(names)
    of_leg = np.repeat(np.arange(accounts), np.diff(shared.position_pointer))
    prices = contract_prices(market.time, market.mark, market.index)
    positions = PositionBook.of_accounts(shared)
    arrays = risk_arrays(contracts, prices, rule, held=np.unique(positions.contract))
    scenario = scenario_margin(positions, arrays, rule)
    profit = group_sums(of_leg, state.leg_profit, accounts)
    maintenance, initial = (group_sums(of_leg, one, accounts) for one in (state.leg_maintenance, state.leg_initial))
    alone = np.maximum(state.leg_maintenance - state.leg_profit, 0.0)
    return MarginComparison(
        account=names,
        isolated_maintenance=maintenance,
        cross_maintenance=state.maintenance,
        portfolio_maintenance=scenario.maintenance,
        isolated_initial=initial,
        cross_initial=state.initial,
        portfolio_initial=scenario.initial,
        isolated_collateral=group_sums(of_leg, alone, accounts),
        cross_collateral=np.maximum(state.maintenance - profit, 0.0),
        portfolio_collateral=np.maximum(scenario.maintenance - profit, 0.0),
    )


def account_pools(book: AccountBook) -> tuple[NameArray, IntArray]:
    """Names of the accounts in the order of the book, and the account of each pool."""
    names, first, inverse = np.unique(book.account, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return names[order], place[inverse.ravel()]


def by_account(book: AccountBook, account: IntArray) -> AccountBook:
    """The same positions and balances with one cross pool an account."""
    taken = book.take(np.argsort(account, kind="stable"))
    counts = np.append(0, np.cumsum(np.bincount(account)))
    names, n = taken.account[counts[:-1]], len(counts) - 1
    return AccountBook(
        book.instruments,
        names,
        np.full(n, "all"),
        np.full(n, CROSS),
        taken.balance_pointer[counts],
        taken.balance_asset,
        taken.balance,
        taken.position_pointer[counts],
        taken.position_instrument,
        taken.quantity,
        taken.entry_price,
        taken.leverage,
    )


def _require_same(book: AccountBook, contracts: ContractTable) -> None:
    table = book.instruments
    same = (
        table.symbols == contracts.symbols
        and table.assets == contracts.assets
        and np.array_equal(table.kind, contracts.kind)
        and np.array_equal(table.multiplier, contracts.multiplier)
        and np.array_equal(table.settlement, contracts.settlement)
    )
    if not same:
        raise InputError("the contracts are not the instruments of the book", column="contracts")
