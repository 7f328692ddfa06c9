"""Risk arrays: the profit of one long contract of each kind in every scenario of its risk unit, base asset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray, frozen, positions_of, require_shape
from ..basis import DAYS_A_YEAR
from ..errors import InputError
from ..options.greeks import greeks
from .contracts import INVERSE, INVERSE_OPTION, SPOT, ContractPrices, ContractTable
from .portfolio_rule import PortfolioRule, UnitRule
from .scenario_grid import DOWN, SAME, UP
from .scenario_prices import scenario_values

ROWS_AT_ONCE = 128
"""Options priced together: what lies between two steps of a formula stays in the cache."""
LANES = 8
"""Scenarios are laid out in multiples of this many."""


@dataclass(frozen=True)
class RiskArrays:
    """What one long contract makes in each scenario, and its exposure now; base asset.

    Parameters
    ----------
    contracts
        The contracts.
    rules
        Rule of each risk unit of the contracts.
    profit
        Weighted profit (negative: loss) of one contract, shape (n_contracts, width); row i has its unit's scenarios
        first and zeros behind them.
    value
        Present value of an option or spot contract; 0 for the rest, which are settled daily.
    notional
        Value of what one contract is on.
    delta
        Change of the contract's value for a relative move of its underlying, per unit of move.
    """

    contracts: ContractTable
    rules: tuple[UnitRule, ...]
    profit: FloatArray
    value: FloatArray
    notional: FloatArray
    delta: FloatArray

    def __post_init__(self) -> None:
        for name in ("profit", "value", "notional", "delta"):
            column = getattr(self, name)
            if column.flags.writeable or column.dtype != np.float64:
                object.__setattr__(self, name, frozen(column, np.float64))
        n, units = len(self.contracts), len(self.contracts.units)
        longest = max(len(rule.grid) for rule in self.rules) if len(self.rules) == units else None
        if longest is None or self.profit.ndim != 2 or self.profit.shape[0] != n or self.profit.shape[1] < longest:
            raise InputError("needs a rule a unit, and a row a contract as long as the grids", column="profit")
        for name in ("value", "notional", "delta"):
            require_shape(getattr(self, name), (n,), name)

    @property
    def scenarios(self) -> IntArray:
        """Number of scenarios of each risk unit."""
        return np.array([len(rule.grid) for rule in self.rules], np.int64)


def risk_arrays(
    contracts: ContractTable, prices: ContractPrices, rule: PortfolioRule, *, held: IntArray | None = None
) -> RiskArrays:
    """Price every contract once per scenario of its risk unit.

    A scenario moves all prices of the unit by its fraction, and the index prices of assets that follow the unit;
    options are priced by Black-76 on the moved forward and the shocked volatility, `horizon_days` nearer to expiry.
    Settlement amounts are converted to the base asset at the index price of the scenario.

    Parameters
    ----------
    contracts, prices, rule
        What is priced, at which prices, in which scenarios.
    held
        Positions of the contracts to price; None: all. The rest are NaN, and a position in them is an error.

    Raises
    ------
    InputError
        A contract without a price, an option without a volatility or expired, a risk unit the rule does not know.

    Examples
    --------
    Ten contracts of 0.1 BTC at 60,000, up and down 10%:

    >>> import datetime as dt
    >>> from .contracts import LINEAR, contract_prices, contract_table
    >>> from .scenario_grid import SAME, ScenarioGrid, VolatilityShock
    >>> unit = UnitRule(ScenarioGrid.product([-0.1, 0.1], SAME), VolatilityShock(0.5, 0.25, 0.3, 0.13))
    >>> rule = PortfolioRule("example", dt.date(2024, 1, 1), {"BTC": unit})
    >>> table = contract_table(["BTC-PERP"], ["BTC"], LINEAR, units=["BTC"], multiplier=0.1)
    >>> arrays = risk_arrays(table, contract_prices(np.datetime64("2024-01-01"), [60_000.0]), rule)
    >>> arrays.profit[0, :2].tolist(), arrays.notional.tolist()
    ([-600.0, 600.0], [6000.0])
    """
    rules = rule.unit_rules(contracts.units)
    width = -(-max(len(one.grid) for one in rules) // LANES) * LANES
    needed = np.full(len(contracts), held is None)
    needed[slice(0) if held is None else held] = True
    blank = np.where(needed, 0.0, np.nan)
    columns = (np.repeat(blank[:, None], width, axis=1), blank.copy(), blank.copy(), blank.copy())
    return _repriced(contracts, prices, rules, columns, needed)


def reprice(arrays: RiskArrays, prices: ContractPrices, units: Sequence[str]) -> RiskArrays:
    """The same arrays with the contracts of the given risk units priced again; the rest stay as they are.

    A settlement asset whose index moved needs every unit that holds a contract settled in it.
    """
    moved = np.isin(arrays.contracts.unit, positions_of(arrays.contracts.units, units, "unit"))
    columns = (arrays.profit.copy(), arrays.value.copy(), arrays.notional.copy(), arrays.delta.copy())
    return _repriced(arrays.contracts, prices, arrays.rules, columns, moved & ~np.isnan(arrays.notional))


def _repriced(
    contracts: ContractTable,
    prices: ContractPrices,
    rules: tuple[UnitRule, ...],
    columns: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    needed: BoolArray,
) -> RiskArrays:
    prices.check(contracts, needed)
    profit, value, notional, delta = columns
    years = prices.years(contracts)
    for unit, rule in enumerate(rules):
        for option, fill in ((False, _plain_rows), (True, _option_rows)):
            rows = np.flatnonzero(needed & (contracts.unit == unit) & (contracts.is_option == option))
            for first in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[first : first + ROWS_AT_ONCE]
                shocked, value[some] = fill(contracts, prices, years, rule, some)
                profit[some, : shocked.shape[1]] = shocked
    size = _size(contracts, prices) * prices.index[contracts.settlement]
    notional[needed] = size[needed]
    delta[needed] = _delta(contracts, prices, years, size)[needed]
    for column in columns:
        column.setflags(write=False)
    return RiskArrays(contracts, rules, profit, value, notional, delta)


def _size(contracts: ContractTable, prices: ContractPrices) -> FloatArray:
    """Value of what one contract is on, settlement asset; of an inverse option that is the coin itself."""
    per_price = np.where(contracts.kind == INVERSE, 1.0 / prices.price, prices.price)
    return np.asarray(contracts.multiplier * np.where(contracts.kind == INVERSE_OPTION, 1.0, per_price))


def _index_moved(
    contracts: ContractTable, prices: ContractPrices, rule: UnitRule, rows: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Index price of each row's settlement asset now, and in each scenario or in all; shapes (n, 1) and (n, 1 or more).

    Both times the size of the contract: what one unit paid by it is worth.
    """
    asset = contracts.settlement[rows]
    follows = (contracts.asset_unit[asset] == contracts.unit[rows])[:, None]
    now = (contracts.multiplier[rows] * prices.index[asset])[:, None]
    return now, now * np.where(follows, 1.0 + rule.grid.move, 1.0) if follows.any() else now


def _plain_rows(
    contracts: ContractTable, prices: ContractPrices, years: FloatArray, rule: UnitRule, rows: IntArray
) -> tuple[FloatArray, FloatArray]:
    price, kind = prices.price[rows][:, None], contracts.kind[rows][:, None]
    now, moved = _index_moved(contracts, prices, rule, rows)
    after = price * (1.0 + rule.grid.move)
    paid = np.where(kind == INVERSE, 1.0 / price - 1.0 / after, price * rule.grid.move)
    profit = np.where(kind == SPOT, after * moved - price * now, paid * moved)
    held = np.where(kind == SPOT, price * now, 0.0)
    return profit * rule.grid.weight, held[:, 0]


def _option_rows(
    contracts: ContractTable, prices: ContractPrices, years: FloatArray, rule: UnitRule, rows: IntArray
) -> tuple[FloatArray, FloatArray]:
    forward, volatility = prices.price[rows][:, None], prices.volatility[rows][:, None]
    strike, left = contracts.strike[rows], years[rows]
    right, discount = contracts.right[rows], prices.discount[rows]
    later = np.maximum(left - rule.horizon_days / DAYS_A_YEAR, 0.0)
    after = forward * (1.0 + rule.grid.move)
    shocked = rule.volatility.shocked(volatility, left[:, None] * DAYS_A_YEAR, np.array([DOWN, SAME, UP]))
    then = scenario_values(after, strike, later, shocked, rule.grid.volatility - DOWN, right, discount)
    before = scenario_values(forward, strike, left, volatility, np.zeros(1, np.int64), right, discount)
    inverse = (contracts.kind[rows] == INVERSE_OPTION)[:, None]
    if inverse.any():
        then, before = np.where(inverse, then / after, then), np.where(inverse, before / forward, before)
    now, moved = _index_moved(contracts, prices, rule, rows)
    held = before * now
    then *= moved
    then -= held
    return then * rule.grid.weight, held[:, 0]


def _delta(contracts: ContractTable, prices: ContractPrices, years: FloatArray, notional: FloatArray) -> FloatArray:
    """Change of value for a relative move; that of an inverse option in coin is less by what the coin itself gains."""
    option = contracts.is_option
    out = notional.copy()
    if option.any():
        forward, paid = prices.price[option], prices.discount[option]
        terms = (contracts.strike[option], years[option], prices.volatility[option], contracts.right[option])
        now = greeks(forward, *terms, paid)
        in_coin = (contracts.kind == INVERSE_OPTION) & (contracts.asset_unit[contracts.settlement] < 0)
        out[option] = notional[option] * (now.delta - np.where(in_coin[option], now.value / forward, 0.0))
    return out
