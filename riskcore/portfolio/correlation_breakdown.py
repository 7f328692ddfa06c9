"""Correlation breakdown: what a portfolio margin becomes when the correlations it nets by do not hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..arrays import FloatArray
from ..errors import InputError
from .contracts import PositionBook
from .portfolio_rule import SUM, CorrelationTable, PortfolioRule
from .risk_arrays import RiskArrays
from .scenario_margin import margin_of_losses, unit_losses

AS_GIVEN, ALL_ONE, ZERO, REVERSED, NO_NETTING = "as given", "all one", "zero", "reversed", "no netting"
REGIMES = (AS_GIVEN, ALL_ONE, ZERO, REVERSED, NO_NETTING)
"""What the correlations are taken to be; the last adds the worst loss of each unit whatever its side."""


def broken_correlation(correlation: FloatArray, regime: str) -> FloatArray:
    """A correlation matrix under a regime: as it is, all one, zero, or with every sign reversed off the diagonal.

    Reversed matrices of three and more units need not be positive semi-definite: a negative square of a loss counts 0.

    Examples
    --------
    >>> broken_correlation(np.array([[1.0, 0.8], [0.8, 1.0]]), REVERSED).tolist()
    [[1.0, -0.8], [-0.8, 1.0]]
    """
    same = np.eye(len(correlation), dtype=bool)
    off = {AS_GIVEN: correlation, ALL_ONE: np.ones_like(correlation), ZERO: 0.0 * correlation, REVERSED: -correlation}
    return np.where(same, 1.0, off[regime])


@dataclass(frozen=True)
class CorrelationBreakdown:
    """Maintenance requirement of each pool under each regime of correlation; base asset.

    Parameters
    ----------
    regimes
        Names, as in `REGIMES`.
    maintenance
        Shape (n_pools, n_regimes).
    """

    regimes: tuple[str, ...]
    maintenance: FloatArray

    def of(self, regime: str) -> FloatArray:
        """Requirement of each pool under one regime."""
        return np.ascontiguousarray(self.maintenance[:, self.regimes.index(regime)])

    @property
    def worst(self) -> list[str]:
        """Regime in which each pool needs most; the first of equals."""
        return [self.regimes[place] for place in np.argmax(self.maintenance, axis=1)]

    @property
    def shortfall(self) -> FloatArray:
        """What the worst regime asks above the correlations as given."""
        return np.asarray(self.maintenance.max(axis=1) - self.of(AS_GIVEN))


def correlation_breakdown(
    book: PositionBook,
    arrays: RiskArrays,
    rule: PortfolioRule,
    correlation: CorrelationTable | None = None,
    *,
    threads: int = 1,
) -> CorrelationBreakdown:
    """Requirement of each pool with the correlations of its risk units as given, all one, zero, reversed, not used.

    Parameters
    ----------
    book, arrays, rule
        As for `scenario_margin`.
    correlation
        The correlations to break; None takes those of the rule.

    Raises
    ------
    InputError
        Neither the rule nor the caller gives correlations.

    Examples
    --------
    Long one unit against a short of another, each losing 10 in its worst scenario:

    >>> import datetime as dt
    >>> from .contracts import LINEAR, contract_prices, contract_table
    >>> from .portfolio_rule import UnitRule
    >>> from .risk_arrays import risk_arrays
    >>> from .scenario_grid import SAME, ScenarioGrid, VolatilityShock
    >>> unit = UnitRule(ScenarioGrid.product([-0.1, 0.0, 0.1], SAME), VolatilityShock(0, 0, 0, 0))
    >>> rule = PortfolioRule("example", dt.date(2024, 1, 1), {"X": unit, "Y": unit})
    >>> table = contract_table(["A", "B"], ["X", "Y"], LINEAR, units=["X", "Y"])
    >>> arrays = risk_arrays(table, contract_prices(np.datetime64("2024-01-01"), [100.0, 100.0]), rule)
    >>> given = CorrelationTable(("X", "Y"), np.array([[1.0, 0.5], [0.5, 1.0]]))
    >>> found = correlation_breakdown(PositionBook([0, 2], [0, 1], [1.0, -1.0]), arrays, rule, given)
    >>> dict(zip(found.regimes, found.maintenance[0].round(4).tolist(), strict=True))
    {'as given': 10.0, 'all one': 0.0, 'zero': 14.1421, 'reversed': 17.3205, 'no netting': 20.0}
    """
    table = rule.correlation if correlation is None else correlation
    if table is None:
        raise InputError(f"the {rule.venue} rule has no correlations and none are given", column="correlation")
    losses = unit_losses(book, arrays, threads=threads)
    given = table.of(arrays.contracts.units)
    columns = [
        margin_of_losses(book, losses, arrays, rule, correlation=broken_correlation(given, regime)).maintenance
        for regime in REGIMES[:-1]
    ]
    plain = replace(rule, netting=SUM, correlation=None, offsets=())
    columns.append(margin_of_losses(book, losses, arrays, plain).maintenance)
    return CorrelationBreakdown(REGIMES, np.stack(columns, axis=1))
