"""Deribit's portfolio margin: risk matrix with a dampened extended table, delta shock and roll shock."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..arrays import FloatArray, IntArray, frozen, group_sums
from ..errors import InputError
from .contracts import INVERSE, INVERSE_OPTION, LINEAR, OPTION, ContractPrices, ContractTable, PositionBook
from .expiry_netting import expiry_nets
from .exposures import UnitRows
from .portfolio_rule import PortfolioRule, UnitRule
from .risk_arrays import RiskArrays, risk_arrays
from .scenario_grid import DOWN, SAME, UP, ScenarioGrid, VolatilityShock
from .scenario_margin import unit_losses

COIN, LINEAR_SETTLED = "coin", "linear"
"""Contracts of a risk unit are all settled in its coin, or all linear (in USDC)."""


@dataclass(frozen=True)
class DeribitUnit:
    """Figures of one risk unit: an index and the currency its contracts settle in.

    Parameters
    ----------
    settlement
        "coin" or "linear".
    price_range
        Largest price move of the standard table, fraction.
    buckets
        Number of moves on each side, evenly spaced; there is one of zero besides.
    extended
        Moves of the extended table, stressed with volatility up only.
    volatility
        Shock of implied volatility.
    extended_factor
        Multiple of the share of profit and loss that counts in the extended table, range / |move|.
    dampener
        USD by which a profit or loss of the extended table shrinks per range beyond the first:
        (|move| / range - 1) * dampener, at most to zero.
    least_move, annualised_move
        Roll shock of the net delta of each expiry: max(least_move, exp(annualised_move * years) - 1).
    delta_threshold
        USD of delta above which there is a delta shock.
    delta_increment, most_delta_shock
        Rate of the delta shock per coin of delta above the threshold, and the largest rate.
    profit_share, most_profit
        Share of this unit's profit that pays for losses of other units in the same scenario, and the most, USD.
    """

    settlement: str
    price_range: float
    buckets: int
    extended: tuple[float, ...]
    volatility: VolatilityShock
    extended_factor: float
    dampener: float
    least_move: float
    annualised_move: float
    delta_threshold: float
    delta_increment: float
    most_delta_shock: float
    profit_share: float
    most_profit: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "extended", tuple(float(move) for move in self.extended))
        if self.settlement not in (COIN, LINEAR_SETTLED):
            raise InputError('must be "coin" or "linear"', column="settlement", value=self.settlement)
        if not 0 < self.price_range < 1:
            raise InputError("must be between 0 and 1", column="price_range", value=self.price_range)
        if self.buckets < 1:
            raise InputError("must be at least 1", column="buckets", value=self.buckets)
        for move in self.extended:
            if not (move > -1 and abs(move) >= self.price_range and math.isfinite(move)):
                raise InputError("moves must be above -1 and beyond the price range", column="extended", value=move)
        for name in ("extended_factor", "dampener", "least_move", "annualised_move", "delta_threshold"):
            self._not_negative(name)
        for name in ("delta_increment", "most_delta_shock", "profit_share", "most_profit"):
            self._not_negative(name)
        if self.profit_share > 1:
            raise InputError("must be in [0, 1]", column="profit_share", value=self.profit_share)

    def _not_negative(self, name: str) -> None:
        if not 0 <= getattr(self, name) < math.inf:
            raise InputError("must not be negative", column=name, value=getattr(self, name))

    @property
    def standard(self) -> int:
        """Number of scenarios of the standard table; those of the extended one follow."""
        return 3 * (2 * self.buckets + 1)

    @property
    def edge(self) -> FloatArray:
        """Price at the end of the range on the side of each extended move, over the price now; 1 for linear contracts.

        A coin-settled profit or loss of the extended table is one in USD, paid in coins at that price.
        """
        beyond = 1.0 + np.sign(self.extended) * self.price_range
        return np.asarray(beyond if self.settlement == COIN else np.ones(len(self.extended)))

    @property
    def unit_rule(self) -> UnitRule:
        """The risk matrix as scenarios, without the dampener."""
        step, far = self.price_range / self.buckets, np.array(self.extended)
        moves = step * np.arange(-self.buckets, self.buckets + 1)
        near = ScenarioGrid.product(moves, [UP, SAME, DOWN])
        in_coin = (1.0 + far) / self.edge if self.settlement == COIN else 1.0
        weight = self.extended_factor * self.price_range / np.abs(far) * in_coin
        grid = ScenarioGrid(
            np.append(near.move, far), np.append(near.volatility, np.full(len(far), UP)), np.append(near.weight, weight)
        )
        return UnitRule(grid, self.volatility)

    @property
    def dampening(self) -> FloatArray:
        """USD by which profits and losses shrink, one a scenario; in coins at the price of the edge."""
        ratio = np.maximum(np.abs(self.extended) / self.price_range, 1.0) - 1.0
        return np.append(np.zeros(self.standard), ratio * self.dampener / self.edge)


@dataclass(frozen=True)
class DeribitRules:
    """Deribit's portfolio margin from one date on.

    Parameters
    ----------
    venue, effective_from
        Whose rule, and the first day it held (UTC).
    units
        Figures of each risk unit by name; their tables have the same number of scenarios.
    maintenance_factor
        Maintenance over initial margin.
    sources
        Where the figures come from, by what they are.
    """

    venue: str
    effective_from: dt.date
    units: Mapping[str, DeribitUnit]
    maintenance_factor: float
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.maintenance_factor <= 1:
            raise InputError("must be in (0, 1]", column="maintenance_factor", value=self.maintenance_factor)
        if not self.units:
            raise InputError("needs at least one risk unit", column="units")
        if len({(one.buckets, len(one.extended)) for one in self.units.values()}) > 1:
            raise InputError("tables of all units need the same number of scenarios", column="units")

    @property
    def portfolio_rule(self) -> PortfolioRule:
        """The risk matrices as a `PortfolioRule`; what it cannot say is the dampener and the two shocks."""
        units = {name: one.unit_rule for name, one in self.units.items()}
        return PortfolioRule(self.venue, self.effective_from, units)

    def unit(self, name: str) -> DeribitUnit:
        """Figures of a risk unit; an unknown one raises InputError."""
        if name not in self.units:
            problem = f"the {self.venue} rule does not know it; known are {', '.join(sorted(self.units))}"
            raise InputError(problem, column="unit", value=name)
        return self.units[name]


@dataclass(frozen=True)
class DeribitMargin:
    """Portfolio margin of every pool, base asset, shape (n_pools,).

    Parameters
    ----------
    worst_loss
        Loss in the worst scenario of the risk matrix.
    scenario
        Which that is: standard table first, moves rising and volatility up, same, down; then the extended one.
    delta_shock, roll_shock
        The two shocks added to it.
    initial, maintenance
        Requirements: the sum of the three, and its `maintenance_factor`.
    """

    worst_loss: FloatArray
    scenario: IntArray
    delta_shock: FloatArray
    roll_shock: FloatArray
    initial: FloatArray
    maintenance: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "scenario", frozen(self.scenario, np.int64))
        for name in ("worst_loss", "delta_shock", "roll_shock", "initial", "maintenance"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))


def deribit_margin(
    book: PositionBook,
    contracts: ContractTable,
    prices: ContractPrices,
    rules: DeribitRules,
    *,
    index: Mapping[str, float],
    base_price: float,
    threads: int = 1,
) -> DeribitMargin:
    """Deribit's portfolio margin of every pool.

    Segregated (S:PM): a book for each settlement currency, which is its base asset. Cross (X:PM): one book over all
    currencies with USD as the base asset and the index prices of the rest in `prices`.

    Parameters
    ----------
    book, contracts, prices
        Pools, their contracts and prices; the quantity of an inverse future is in contracts of `multiplier` USD.
    rules
        Figures; their units are those of `contracts`.
    index
        USD price of one coin of each risk unit that is held.
    base_price
        USD price of one unit of the base asset.
    threads
        Number of threads; the result does not depend on it.

    Raises
    ------
    InputError
        An unknown risk unit, one without an index price, a contract that settles otherwise than its unit says, and what
        `risk_arrays` refuses.

    Notes
    -----
    In a scenario losses of units count in full and profits by `profit_share`. The delta shock is on the net delta of
    futures and short options, reduced but not raised by long options. Sources stand in the rule-book.

    Examples
    --------
    Short 1 ETH of perpetual at 1,949.49 (index 1,949.34), with a range of 18% and a roll shock of 0.5%; the loss at
    +18% is 0.18 / 1.18 coins:

    >>> from .contracts import contract_prices, contract_table
    >>> from .deribit_pm_file import load_deribit_rules
    >>> table = contract_table(["ETH-PERPETUAL"], ["ETH"], INVERSE, units=["ETH"], assets=["ETH"])
    >>> prices = contract_prices(np.datetime64("2026-02-15"), [1949.49])
    >>> margin = deribit_margin(PositionBook([0, 1], [0], [-1949.49]), table, prices, load_deribit_rules(),
    ...                         index={"ETH": 1949.34}, base_price=1949.34)
    >>> margin.worst_loss.round(8).tolist(), margin.initial.round(8).tolist(), margin.maintenance.round(8).tolist()
    ([0.15254237], [0.15754237], [0.1260339])
    """
    if not 0 < base_price < math.inf:
        raise InputError("must be positive", column="base_price", value=base_price)
    figures = [rules.unit(name) for name in contracts.units]
    _check_settlement(book, contracts, figures)
    arrays = risk_arrays(contracts, prices, rules.portfolio_rule, held=np.unique(book.contract))
    losses = unit_losses(book, arrays, threads=threads)
    counted = _counted(losses.profit, losses.rows, figures, base_price)
    total = np.zeros((len(book), counted.shape[1]))
    for unit in np.unique(losses.rows.unit):  # a pool has one row a unit
        own = losses.rows.unit == unit
        total[losses.rows.pool[own]] += counted[own]
    scenario = np.argmin(total, axis=1)
    worst = np.maximum(-total[np.arange(len(book)), scenario], 0.0)
    shocks = (
        _delta_shock(book, arrays, losses.rows, figures, index, base_price),
        _roll_shock(book, arrays, losses.rows, prices, figures),
    )
    delta, roll = (group_sums(losses.rows.pool, one, len(book)) for one in shocks)
    initial = worst + delta + roll
    return DeribitMargin(worst, scenario, delta, roll, initial, rules.maintenance_factor * initial)


def _check_settlement(book: PositionBook, contracts: ContractTable, figures: list[DeribitUnit]) -> None:
    book.check(contracts)
    coin = np.array([one.settlement == COIN for one in figures])[contracts.unit]
    fits = np.where(coin, np.isin(contracts.kind, (INVERSE, INVERSE_OPTION)), np.isin(contracts.kind, (LINEAR, OPTION)))
    wrong = ~fits[book.contract]
    if wrong.any():
        entry = int(np.argmax(wrong))
        name = contracts.symbols[book.contract[entry]]
        raise InputError("does not settle as its risk unit says", row=entry, column="contract", value=name)


def _counted(profit: FloatArray, rows: UnitRows, figures: list[DeribitUnit], base_price: float) -> FloatArray:
    """Profit of each row in each scenario, dampened, and as far as it counts against losses of others."""
    scenarios = figures[0].standard + len(figures[0].extended)
    room = np.stack([one.dampening for one in figures])[rows.unit] / base_price
    plain = profit[:, :scenarios]
    dampened = np.sign(plain) * np.maximum(np.abs(plain) - room, 0.0)
    share, most = (np.array([getattr(one, name) for one in figures]) for name in ("profit_share", "most_profit"))
    gained = np.minimum(share[rows.unit, None] * dampened, most[rows.unit, None] / base_price)
    return np.where(dampened < 0, dampened, gained)


def _delta_shock(
    book: PositionBook,
    arrays: RiskArrays,
    rows: UnitRows,
    figures: list[DeribitUnit],
    index: Mapping[str, float],
    base_price: float,
) -> FloatArray:
    row, held = rows.row_of_entry, book.contract
    own = book.quantity * arrays.delta[held]
    bought = arrays.contracts.is_option[held] & (book.quantity > 0)
    cover, open_ = (group_sums(row, np.where(part, own, 0.0), len(rows)) for part in (bought, ~bought))
    left = np.where(open_ < 0, np.clip(open_ + cover, open_, 0.0), np.clip(open_ + cover, 0.0, open_))
    held_units, place = np.unique(rows.unit, return_inverse=True)
    coin = np.array([_index_of(arrays.contracts.units[unit], index) for unit in held_units])[place]
    threshold, step, most = (
        np.array([getattr(one, name) for one in figures])[rows.unit]
        for name in ("delta_threshold", "delta_increment", "most_delta_shock")
    )
    coins_above = np.maximum(np.abs(left) * base_price - threshold, 0.0) / coin
    return np.asarray(np.minimum(step * coins_above, most) * np.abs(left))


def _index_of(unit: str, index: Mapping[str, float]) -> float:
    price = index.get(unit, math.nan)
    if not 0 < price < math.inf:
        raise InputError("a risk unit needs a positive index price", column="index", value=unit)
    return price


def _roll_shock(
    book: PositionBook, arrays: RiskArrays, rows: UnitRows, prices: ContractPrices, figures: list[DeribitUnit]
) -> FloatArray:
    """Shock of each row: every expiry alone, so that one does not pay for another; perpetuals take the least move."""
    nets = expiry_nets(book, arrays.contracts, prices, rows, book.quantity * arrays.delta[book.contract])
    least, annual = (np.array([getattr(one, n) for one in figures]) for n in ("least_move", "annualised_move"))
    unit = rows.unit[nets.row]
    move = np.maximum(least[unit], np.expm1(annual[unit] * nets.years))
    return group_sums(nets.row, move * np.abs(nets.net), len(rows))
