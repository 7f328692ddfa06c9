"""Scenario margin of many pools at once: losses by risk unit and scenario, netting, contingencies, requirement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray, group_sums
from ..errors import InputError
from ..margin import in_chunks
from .contracts import PositionBook
from .exposures import UnitRows, charged_measures, exposures, leg_exposures, unit_rows
from .netting import MOST_SIDES, offset_losses
from .netting_kernel import netting_pass
from .portfolio_rule import OFFSET, PortfolioRule, UnitRule
from .risk_arrays import RiskArrays
from .scenario_kernel import scenario_pass


@dataclass(frozen=True)
class UnitLosses:
    """Losses of each pool in each of its risk units; base asset, one row a pool and unit.

    Parameters
    ----------
    rows
        Which pool and unit each row is.
    profit
        Weighted profit in every scenario, shape (n_rows, width), zeros behind the unit's own scenarios.
    scan, scenario
        Largest loss (0 where there is none) and the first scenario in which it is made.
    down, down_scenario, up, up_scenario
        The same among scenarios that do not rise, and among those that do not fall.
    """

    rows: UnitRows
    profit: FloatArray
    scan: FloatArray
    scenario: IntArray
    down: FloatArray
    down_scenario: IntArray
    up: FloatArray
    up_scenario: IntArray


@dataclass(frozen=True)
class ScenarioMargin:
    """Portfolio margin of every pool; base asset.

    Parameters
    ----------
    units
        Names of the risk units.
    losses
        Losses by pool and unit.
    active, netted_part
        Scenario of each row in the netted loss of its pool, and what the row adds to it (negative: it offsets others).
    minimum, contingency
        Charges of each row.
    netted, core, contingencies
        Of each pool: netted scan loss; the larger of that with the excesses of minima, and the sum of minima; the sum
        of contingencies.
    maintenance, initial
        Requirements of each pool, see `PortfolioRule`.

    Notes
    -----
    `netted` is added in the order of rows; nothing depends on the number of threads.
    """

    units: tuple[str, ...]
    losses: UnitLosses
    active: IntArray
    netted_part: FloatArray
    minimum: FloatArray
    contingency: FloatArray
    netted: FloatArray
    core: FloatArray
    contingencies: FloatArray
    maintenance: FloatArray
    initial: FloatArray

    @property
    def excess(self) -> FloatArray:
        """What the minimum of each row has above its scan loss."""
        return np.maximum(self.minimum - self.losses.scan, 0.0)

    def worst(self, rule: PortfolioRule) -> list[str]:
        """The scenario of each row that its pool's requirement rests on, in words."""
        rows = zip(self.losses.rows.unit, self.active, strict=True)
        return [f"{self.units[u]}: {rule.unit_rule(self.units[u]).scenario_name(int(s))}" for u, s in rows]


def scenario_margin(book: PositionBook, arrays: RiskArrays, rule: PortfolioRule, *, threads: int = 1) -> ScenarioMargin:
    """Portfolio margin of every pool of a book.

    Parameters
    ----------
    book
        Pools of positions in the contracts of `arrays`.
    arrays
        Risk arrays made under the same rule.
    threads
        Number of threads; the result does not depend on it.

    Raises
    ------
    InputError
        A contract the arrays do not have, a risk unit without a rule or correlation, arrays of other grids.

    Examples
    --------
    A straddle sold on a perpetual's underlying, stressed by 10% and by volatility up or down:

    >>> import datetime as dt
    >>> from .contracts import LINEAR, OPTION, contract_prices, contract_table
    >>> from .portfolio_rule import UnitRule
    >>> from .risk_arrays import risk_arrays
    >>> from .scenario_grid import DOWN, UP, ScenarioGrid, VolatilityShock
    >>> unit = UnitRule(ScenarioGrid.product([-0.1, 0.0, 0.1], [UP, DOWN]), VolatilityShock(0.5, 0.25, 0.3, 0.13))
    >>> rule = PortfolioRule("example", dt.date(2024, 1, 1), {"X": unit}, initial_factor=1.25)
    >>> table = contract_table(["C", "P"], ["X", "X"], OPTION, units=["X"], strike=100.0, right=[1, -1],
    ...                        expiry="2024-01-31")
    >>> prices = contract_prices(np.datetime64("2024-01-01"), [100.0, 100.0], volatility=0.6)
    >>> arrays = risk_arrays(table, prices, rule)
    >>> margin = scenario_margin(PositionBook([0, 2], [0, 1], [-1.0, -1.0]), arrays, rule)
    >>> margin.worst(rule), round(float(margin.maintenance[0]), 4), round(float(margin.initial[0]), 4)
    (['X: price +10%, volatility up'], 9.2936, 11.617)
    """
    return margin_of_losses(book, unit_losses(book, arrays, threads=threads), arrays, rule)


def margin_of_losses(
    book: PositionBook,
    losses: UnitLosses,
    arrays: RiskArrays,
    rule: PortfolioRule,
    *,
    correlation: FloatArray | None = None,
) -> ScenarioMargin:
    """The same from losses that are already there, for rules that differ in charges, factors or netting only.

    `correlation`, over the units of the contracts, nets the losses in place of the rule's own netting.
    """
    rules = rule.unit_rules(arrays.contracts.units)
    if not all(map(_same_stress, arrays.rules, rules)):
        raise InputError("the risk arrays were made under other scenarios", column="rule", value=rule.venue)
    rows, pools = losses.rows, len(book)
    measures = exposures(leg_exposures(book, arrays, rows, charged_measures(rules)), rows)
    minimum, contingency = (
        (measures * np.stack([one.rates for one in charges])[rows.unit]).sum(axis=1)
        for charges in ([one.minimum for one in rules], [one.contingencies for one in rules])
    )
    active, part = _net(losses, arrays, rule, correlation)
    netted = group_sums(rows.pool, part, pools)
    excess = np.maximum(minimum - losses.scan, 0.0)
    core = np.maximum(netted + group_sums(rows.pool, excess, pools), group_sums(rows.pool, minimum, pools))
    added = group_sums(rows.pool, contingency, pools)
    floor = np.where(np.diff(book.pool_pointer) > 0, rule.pool_minimum, 0.0)
    maintenance = np.maximum(rule.maintenance_factor * core + added, floor)
    initial = np.maximum(rule.initial_factor * core + rule.initial_contingency_factor * added, maintenance)
    return ScenarioMargin(
        arrays.contracts.units, losses, active, part, minimum, contingency, netted, core, added, maintenance, initial
    )


def _same_stress(mine: UnitRule, theirs: UnitRule) -> bool:
    same_grid = all(
        np.array_equal(getattr(mine.grid, name), getattr(theirs.grid, name))
        for name in ("move", "volatility", "weight")
    )
    what = (mine.volatility, mine.horizon_days, mine.net_rights)
    return same_grid and what == (theirs.volatility, theirs.horizon_days, theirs.net_rights)


def unit_losses(book: PositionBook, arrays: RiskArrays, *, threads: int = 1) -> UnitLosses:
    """Losses of each pool in each of its risk units: positions times risk arrays."""
    rows = unit_rows(book, arrays.contracts)
    unpriced = np.isnan(arrays.notional[book.contract])
    if unpriced.any():
        entry = int(np.argmax(unpriced))
        name = arrays.contracts.symbols[book.contract[entry]]
        raise InputError("was not priced in the risk arrays", row=entry, column="contract", value=name)
    contract, quantity = book.contract[rows.entry], book.quantity[rows.entry]
    profit = np.empty((len(rows), arrays.profit.shape[1]))

    def run(first: int, last: int) -> None:
        scenario_pass(first, last, rows.pointer, contract, quantity, arrays.profit, profit)

    in_chunks(run, len(rows), threads)
    lost = np.zeros((3, len(rows)))
    where = np.zeros((3, len(rows)), np.int64)
    for unit, rule in enumerate(arrays.rules):
        own = np.flatnonzero(rows.unit == unit)
        move = rule.grid.move
        for k, wanted in enumerate((move == move, move <= 0, move >= 0)):
            scenario = np.flatnonzero(wanted)
            if len(scenario):
                where[k, own] = scenario[np.argmin(profit[np.ix_(own, scenario)], axis=1)]
                lost[k, own] = np.maximum(-profit[own, where[k, own]], 0.0)
    return UnitLosses(rows, profit, lost[0], where[0], lost[1], where[1], lost[2], where[2])


def _net(
    losses: UnitLosses, arrays: RiskArrays, rule: PortfolioRule, correlation: FloatArray | None
) -> tuple[IntArray, FloatArray]:
    """Scenario and part of each row in the netted loss of its pool."""
    if correlation is None and rule.correlation is not None:
        correlation = rule.correlation.of(arrays.contracts.units)
    if correlation is not None:
        return _net_by_correlation(losses, correlation)
    if rule.netting == OFFSET:
        return _net_by_scenario(losses, arrays, rule)
    return losses.scenario, losses.scan


def _net_by_correlation(losses: UnitLosses, correlation: FloatArray) -> tuple[IntArray, FloatArray]:
    rows = losses.rows
    counts = np.bincount(rows.pool)
    pointer = np.append(0, np.cumsum(counts))
    part, side = np.empty(len(rows)), np.empty(len(rows), np.int64)
    netting_pass(
        0, len(counts), pointer, rows.unit, losses.down, losses.up, correlation, MOST_SIDES, part, side
    )  # fmt: skip
    on_side = np.where(side > 0, losses.up_scenario, losses.down_scenario)
    alone = counts[rows.pool] == 1
    return np.where(alone | (side == 0), losses.scenario, on_side), np.where(alone, losses.scan, part)


def _net_by_scenario(losses: UnitLosses, arrays: RiskArrays, rule: PortfolioRule) -> tuple[IntArray, FloatArray]:
    group, share = rule.group_of(arrays.contracts.units)
    active, part = losses.scenario.copy(), losses.scan.copy()
    unit = losses.rows.unit
    for place in range(len(rule.offsets)):
        rows = np.flatnonzero(group[unit] == place)
        _, pool, counts = np.unique(losses.rows.pool[rows], return_inverse=True, return_counts=True)
        rows = rows[counts[pool] > 1]
        if len(rows):
            scenarios = len(arrays.rules[unit[rows[0]]].grid)
            pool = np.unique(losses.rows.pool[rows], return_inverse=True)[1]
            part[rows], active[rows] = offset_losses(losses.profit[rows, :scenarios], share[unit[rows]], pool)
    return active, part
