"""How much of its headroom a pool loses in the worst of a set of scenarios."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...riskcore.arrays import FloatArray, IntArray, frozen, require, require_shape
from ...riskcore.errors import InputError
from ...riskcore.portfolio.scenario_margin import ScenarioMargin
from ..engine.step import Declaration

MOVES = (0.04, 0.08, 0.12, 0.16)
"""Moves of the scenario grids of portfolio margin for large coins, up and down (OKX, Bybit: 4, 8, 12%; 16% beyond)."""


@dataclass(frozen=True)
class ScenarioSet:
    """Named relative moves of all price series.

    Parameters
    ----------
    names
        One a scenario.
    moves
        Shape (k, n_series), above -1.

    Raises
    ------
    InputError
        No scenario, as many names as moves, a move that is not above -1.

    Examples
    --------
    >>> ScenarioSet.twists(3, [0], [0.1]).moves.tolist()
    [[0.1, -0.1, -0.1], [-0.1, 0.1, 0.1]]
    """

    names: tuple[str, ...]
    moves: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "moves", frozen(self.moves, np.float64))
        if not self.names or self.moves.ndim != 2 or len(self.moves) != len(self.names):
            raise InputError(f"has {len(self.names)} names for moves of shape {self.moves.shape}", column="names")
        require((self.moves > -1.0) & np.isfinite(self.moves), self.moves, "must be above -1", "moves")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def parallel(cls, series: int, moves: ArrayLike = MOVES) -> ScenarioSet:
        """All prices by the same move, up and down."""
        sizes = [sign * float(move) for move in np.atleast_1d(moves) for sign in (1, -1)]
        return cls(tuple(f"all {size:+.0%}" for size in sizes), np.array(sizes)[:, None] * np.ones(series))

    @classmethod
    def twists(cls, series: int, leaders: ArrayLike, moves: ArrayLike = MOVES) -> ScenarioSet:
        """Some series by a move and all others by as much the other way: what hurts a book hedged across coins."""
        way = np.full(series, -1.0)
        way[np.atleast_1d(leaders)] = 1.0
        sizes = [sign * float(move) for move in np.atleast_1d(moves) for sign in (1, -1)]
        return cls(tuple(f"leaders {size:+.0%}, others {-size:+.0%}" for size in sizes), np.array(sizes)[:, None] * way)

    @classmethod
    def single(cls, names: tuple[str, ...], moves: ArrayLike = MOVES) -> ScenarioSet:
        """Each series alone."""
        sizes = [sign * float(move) for move in np.atleast_1d(moves) for sign in (1, -1)]
        rows = [
            (f"{name} {size:+.0%}", size * (np.arange(len(names)) == k))
            for size in sizes
            for k, name in enumerate(names)
        ]
        return cls(tuple(name for name, _ in rows), np.array([move for _, move in rows]))

    def __add__(self, other: ScenarioSet) -> ScenarioSet:
        """Both sets of scenarios."""
        return ScenarioSet(self.names + other.names, np.vstack((self.moves, other.moves)))


@dataclass(frozen=True)
class ScenarioUsage:
    """What the worst scenario takes of each pool's headroom; shape (p,).

    Parameters
    ----------
    usage
        Largest loss of headroom over the headroom there is, 0 where no scenario costs anything; from 1 on it
        liquidates. Infinite for a pool without headroom that can lose; NaN where the headroom in a scenario is.
    worst
        The scenario, the first of equals.
    breached
        Share of the scenarios that leave no headroom.
    """

    usage: FloatArray
    worst: IntArray
    breached: FloatArray


def scenario_usage(headroom: FloatArray, under: FloatArray) -> ScenarioUsage:
    """Usage of headroom from what scenarios leave of it.

    Parameters
    ----------
    headroom
        Now, shape (p,).
    under
        In each scenario, shape (p, k): from `headroom_under`, or headroom + profit in the scenarios of a venue's own
        grid (riskcore.portfolio).

    Raises
    ------
    InputError
        Shapes that disagree, no scenario.

    Examples
    --------
    >>> found = scenario_usage(np.array([10.0, 10.0]), np.array([[12.0, 4.0], [11.0, -5.0]]))
    >>> found.usage.tolist(), found.worst.tolist(), found.breached.tolist()
    ([0.6, 1.5], [1, 1], [0.0, 0.5])
    """
    pools, scenarios = under.shape
    require_shape(headroom, (pools,), "headroom")
    if not scenarios:
        raise InputError("needs a scenario", column="under")
    worst = np.argmin(under, axis=1)
    loss = np.maximum(headroom - under[np.arange(pools), worst], 0.0)
    positive = headroom > 0.0
    beyond = np.where(np.isnan(loss) | (loss == 0.0), loss, np.inf)
    usage = np.where(positive, loss / np.where(positive, headroom, 1.0), beyond)
    breached = np.where(np.isnan(loss), np.nan, (under <= 0.0).mean(axis=1))
    return ScenarioUsage(usage, worst, breached)


def venue_usage(headroom: FloatArray, margin: ScenarioMargin) -> FloatArray:
    """Loss in the worst scenario of the venue's own grid, netted as the venue nets it, over the headroom, shape (p,).

    Parameters
    ----------
    headroom
        Equity above the venue's maintenance margin, shape (p,).
    margin
        Portfolio margin of the same pools, from `scenario_margin`.

    Examples
    --------
    A straddle sold loses 9.29 in the worst of six scenarios:

    >>> import datetime as dt
    >>> from ...riskcore.portfolio.contracts import OPTION, PositionBook, contract_prices, contract_table
    >>> from ...riskcore.portfolio.portfolio_rule import PortfolioRule, UnitRule
    >>> from ...riskcore.portfolio.risk_arrays import risk_arrays
    >>> from ...riskcore.portfolio.scenario_grid import DOWN, UP, ScenarioGrid, VolatilityShock
    >>> from ...riskcore.portfolio.scenario_margin import scenario_margin
    >>> unit = UnitRule(ScenarioGrid.product([-0.1, 0.0, 0.1], [UP, DOWN]), VolatilityShock(0.5, 0.25, 0.3, 0.13))
    >>> rule = PortfolioRule("example", dt.date(2024, 1, 1), {"X": unit})
    >>> table = contract_table(["C", "P"], ["X", "X"], OPTION, units=["X"], strike=100.0, right=[1, -1],
    ...                        expiry="2024-01-31")
    >>> prices = contract_prices(np.datetime64("2024-01-01"), [100.0, 100.0], volatility=0.6)
    >>> margin = scenario_margin(PositionBook([0, 2], [0, 1], [-1.0, -1.0]), risk_arrays(table, prices, rule), rule)
    >>> venue_usage(np.array([18.5872]), margin).round(4).tolist()
    [0.5]
    """
    return scenario_usage(headroom, (headroom - margin.netted)[:, None]).usage


DECLARATIONS = (
    Declaration(
        "worst_scenario_usage",
        "Loss of headroom in the worst of a set of scenarios over the headroom",
        "fraction of headroom",
        ("close",),
        0.0,
        "NaN where a price of the pool is missing; infinite without headroom",
    ),
    Declaration(
        "breached_scenarios",
        "Share of the scenarios that leave no headroom",
        "share, 0 to 1",
        ("close",),
        0.0,
        "NaN where a price of the pool is missing",
    ),
)
"""What `ScenarioUsage.usage` and `.breached` say of themselves."""
