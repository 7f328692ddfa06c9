"""Portfolio margin split among legs: what each loses in the scenario that binds, and the charges it causes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray, group_sums
from .contracts import PositionBook
from .exposures import charged_measures, leg_exposures
from .portfolio_rule import PortfolioRule
from .risk_arrays import RiskArrays
from .scenario_margin import ScenarioMargin


@dataclass(frozen=True)
class MarginAttribution:
    """Maintenance requirement of each pool by leg; base asset, in the order of the book's positions.

    The four parts add up to the leg's share, and the shares of a pool's legs to its maintenance requirement. A negative
    share is what a leg saves: it hedges the others.

    Parameters
    ----------
    scan
        Loss of the leg in the scenario that binds, as netted between risk units.
    minimum
        Part in what minimum charges have above the scan loss.
    contingency
        Part in the contingencies.
    floor
        Part in what the pool's stated minimum has above all that, by notional.
    scenario
        Scenario of the leg's risk unit that the requirement rests on.
    """

    scan: FloatArray
    minimum: FloatArray
    contingency: FloatArray
    floor: FloatArray
    scenario: IntArray

    @property
    def share(self) -> FloatArray:
        """Share of each leg in the maintenance requirement of its pool."""
        return self.scan + self.minimum + self.contingency + self.floor


def attribute_margin(
    book: PositionBook, arrays: RiskArrays, rule: PortfolioRule, margin: ScenarioMargin
) -> MarginAttribution:
    """Split the maintenance requirement of each pool among its legs.

    The requirement is homogeneous in positions: by Euler's theorem a leg's share is its quantity times the derivative,
    which for a scan loss is the leg's own loss in the worst scenario.

    Examples
    --------
    Long two contracts and short one, stressed by 10%:

    >>> import datetime as dt
    >>> from .contracts import LINEAR, contract_prices, contract_table
    >>> from .portfolio_rule import Charges, UnitRule
    >>> from .risk_arrays import risk_arrays
    >>> from .scenario_grid import SAME, ScenarioGrid, VolatilityShock
    >>> from .scenario_margin import scenario_margin
    >>> unit = UnitRule(ScenarioGrid.product([-0.1, 0.1], SAME), VolatilityShock(0, 0, 0, 0), Charges(future=0.01))
    >>> rule = PortfolioRule("example", dt.date(2024, 1, 1), {"X": unit})
    >>> table = contract_table(["A", "B"], ["X", "X"], LINEAR, units=["X"], expiry=["NaT", "2024-06-28"])
    >>> arrays = risk_arrays(table, contract_prices(np.datetime64("2024-01-01"), [100.0, 100.0]), rule)
    >>> book = PositionBook([0, 2], [0, 1], [2.0, -1.0])
    >>> margin = scenario_margin(book, arrays, rule)
    >>> margin.maintenance.tolist(), attribute_margin(book, arrays, rule, margin).share.tolist()
    ([11.0], [20.0, -9.0])
    """
    rows = margin.losses.rows
    row, held = rows.row_of_entry, book.contract
    rules = rule.unit_rules(arrays.contracts.units)
    parts = leg_exposures(book, arrays, rows, charged_measures(rules))
    unit = rows.unit[row]
    minimum = (parts * np.stack([one.minimum.rates for one in rules])[unit]).sum(axis=1)
    contingency = (parts * np.stack([one.contingencies.rates for one in rules])[unit]).sum(axis=1)
    scenario = margin.active[row]
    netted = book.quantity * -arrays.profit[held, scenario] * _part_of_loss(margin)[row]
    excess = minimum * _ratio(margin.excess, margin.minimum)[row]
    pool = book.pool_of_entry
    of_minimum = _sum_of_minima_binds(margin, len(book))[pool]
    scan = rule.maintenance_factor * np.where(of_minimum, 0.0, netted)
    least = rule.maintenance_factor * np.where(of_minimum, minimum, excess)
    return MarginAttribution(scan, least, contingency, _floor(book, arrays, rule, margin), scenario)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole != 0)


def _part_of_loss(margin: ScenarioMargin) -> FloatArray:
    """How much of its loss in the active scenario each row adds to the netted loss."""
    loss = -margin.losses.profit[np.arange(len(margin.active)), margin.active]
    return _ratio(margin.netted_part, loss)


def _sum_of_minima_binds(margin: ScenarioMargin, pools: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    pool = margin.losses.rows.pool
    with_excess = margin.netted + group_sums(pool, margin.excess, pools)
    return group_sums(pool, margin.minimum, pools) > with_excess


def _floor(book: PositionBook, arrays: RiskArrays, rule: PortfolioRule, margin: ScenarioMargin) -> FloatArray:
    missing = margin.maintenance - (rule.maintenance_factor * margin.core + margin.contingencies)
    pool = book.pool_of_entry
    size = np.abs(book.quantity) * arrays.notional[book.contract]
    total = group_sums(pool, size, len(book))[pool]
    entries = np.diff(book.pool_pointer)[pool]
    return missing[pool] * np.where(total > 0, _ratio(size, total), 1.0 / entries)
