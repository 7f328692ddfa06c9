"""Portfolio rules: how one venue turns scenario losses into a requirement. Pure data, checked when made."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from ..arrays import FloatArray, IntArray, frozen, positions_of, require
from ..errors import InputError
from .scenario_grid import ScenarioGrid
from .volatility_rule import VolatilityRule

SUM, CORRELATION, OFFSET = "sum", "correlation", "offset"
"""How losses of risk units add up: one by one; by a correlation matrix; profits of a group against its losses."""


@dataclass(frozen=True)
class Charges:
    """A linear charge on what a pool holds in one risk unit: the sum of each rate times its measure.

    Used twice in a `UnitRule`: as contingencies, which are added to the scenario loss, and as a minimum, which it does
    not fall below. Rates are fractions of a notional in the base asset unless said; not negative.

    Parameters
    ----------
    short_option
        Of the underlying value of net short options, strike by strike and expiry by expiry.
    short_option_amount
        Amount, base asset, per unit of underlying of the same.
    delta
        Of the absolute net delta.
    perpetual
        Of the gross notional of contracts without expiry other than spot.
    future
        Of the gross notional of futures with an expiry.
    offset
        Of the notional in which long and short futures, perpetuals and spot of the unit offset each other.
    option
        Of the gross underlying value of options, long and short.
    contract
        Amount, base asset, per contract of anything.
    option_contract
        Amount, base asset, per option contract, long or short.
    hedged
        Of the lesser of long and short deltas of everything in the unit, options too.

    Examples
    --------
    >>> Charges(short_option=0.01, contract=0.375).rates.tolist()
    [0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.375, 0.0, 0.0]
    """

    short_option: float = 0.0
    short_option_amount: float = 0.0
    delta: float = 0.0
    perpetual: float = 0.0
    future: float = 0.0
    offset: float = 0.0
    option: float = 0.0
    contract: float = 0.0
    option_contract: float = 0.0
    hedged: float = 0.0

    def __post_init__(self) -> None:
        for name in MEASURES:
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError("must not be negative", column=name, value=getattr(self, name))

    @property
    def rates(self) -> FloatArray:
        """Rates in the order of `MEASURES`."""
        return np.array([getattr(self, name) for name in MEASURES])


MEASURES = tuple(one.name for one in fields(Charges))
"""What charges are levied on, in the order of the columns of `exposures`."""
NO_CHARGES = Charges()


@dataclass(frozen=True)
class UnitRule:
    """How one risk unit is stressed and charged.

    Parameters
    ----------
    grid
        The scenarios; a weight below one makes an extended tail count in part.
    volatility
        What UP and DOWN mean for implied volatility.
    contingencies
        Charges added to the scenario loss.
    minimum
        Charges the scenario loss does not fall below.
    horizon_days
        Days that pass in every scenario, taken off the time to expiry.
    net_rights
        Whether calls and puts of one strike and expiry net when short options are counted.

    Examples
    --------
    >>> from .scenario_grid import UP, DOWN, VolatilityShock
    >>> shock = VolatilityShock(0.5, 0.25, 0.3, 0.13)
    >>> rule = UnitRule(ScenarioGrid.product([-0.15, 0.0, 0.15], [UP, DOWN]), shock, Charges(short_option=0.01))
    >>> rule.scenario_name(4)
    'price +15%, volatility up'
    """

    grid: ScenarioGrid
    volatility: VolatilityRule
    contingencies: Charges = NO_CHARGES
    minimum: Charges = NO_CHARGES
    horizon_days: float = 0.0
    net_rights: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.horizon_days < math.inf:
            raise InputError("must not be negative", column="horizon_days", value=self.horizon_days)

    def scenario_name(self, scenario: int) -> str:
        """A scenario in words."""
        move, way = self.grid.move[scenario], int(self.grid.volatility[scenario])
        weight = self.grid.weight[scenario]
        told = f"price {100 * move:+.4g}%"
        told += ("", ", volatility up", ", volatility down")[way]
        return told if weight == 1 else f"{told}, weight {weight:.4g}"


@dataclass(frozen=True)
class OffsetGroup:
    """Risk units whose profits pay for each other's losses in the same scenario, up to a share.

    Parameters
    ----------
    units
        Names of the units; their grids have the same number of scenarios, taken one by one as the same state of the
        market.
    share
        Share of a unit's profit that counts against the losses of the others, in [0, 1] (OCC product groups: 0.9 for
        broad indices).
    """

    units: tuple[str, ...]
    share: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", tuple(self.units))
        if len(self.units) < 2 or len(set(self.units)) < len(self.units):
            raise InputError("needs two or more different units", column="units", value=list(self.units))
        if not 0 <= self.share <= 1:
            raise InputError("must be in [0, 1]", column="share", value=self.share)


@dataclass(frozen=True)
class CorrelationTable:
    """Correlation of the moves of risk units.

    Parameters
    ----------
    units
        Names, unique.
    matrix
        Symmetric, ones on the diagonal, entries in [-1, 1], positive semi-definite; shape (n_units, n_units).

    Examples
    --------
    >>> table = CorrelationTable(("BTC", "ETH"), [[1.0, 0.8], [0.8, 1.0]])
    >>> table.of(("ETH", "BTC")).tolist()
    [[1.0, 0.8], [0.8, 1.0]]
    """

    units: tuple[str, ...]
    matrix: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", tuple(self.units))
        object.__setattr__(self, "matrix", frozen(self.matrix, np.float64))
        n, rho = len(self.units), self.matrix
        if rho.shape != (n, n) or n == 0 or len(set(self.units)) < n:
            raise InputError(f"has shape {rho.shape}, expected one row and column a unit", column="matrix")
        require((rho >= -1) & (rho <= 1), rho, "must be in [-1, 1]", "matrix")
        require(~np.eye(n, dtype=bool) | (rho == 1), rho, "must be 1 on the diagonal", "matrix")
        require(rho == rho.T, rho, "must be symmetric", "matrix")
        lowest = float(np.linalg.eigvalsh(rho)[0])
        if lowest < -1e-9:
            raise InputError("must be positive semi-definite; lowest eigenvalue", column="matrix", value=lowest)

    def of(self, units: tuple[str, ...]) -> FloatArray:
        """The matrix over the given units; an unknown one raises InputError."""
        place = positions_of(self.units, units, "unit")
        return np.ascontiguousarray(self.matrix[np.ix_(place, place)])


@dataclass(frozen=True)
class PortfolioRule:
    """How one venue margins a portfolio from one date on.

    For each pool and risk unit the scan loss is the largest weighted loss over the unit's grid, 0 if there is none.
    Scan losses of the units are netted; what a unit's minimum has above its own scan loss is added in full. So is the
    unit's contingency. With core = max(netted scan + excesses, sum of minima):

        maintenance = max(maintenance_factor * core + contingencies, floor of a pool with positions)
        initial     = max(initial_factor * core + initial_contingency_factor * contingencies, maintenance)

    Parameters
    ----------
    venue, effective_from
        Whose rule, and the first day it held (UTC).
    units
        Rule of each risk unit by name.
    generic
        Rule of units that have none of their own, or None: such a unit is then an error.
    netting
        SUM, CORRELATION or OFFSET.
    correlation
        What CORRELATION needs; see `netted_losses`.
    offsets
        What OFFSET needs: disjoint groups; a unit in none of them stands alone.
    maintenance_factor, initial_factor, initial_contingency_factor
        Multiples as above; positive.
    pool_minimum
        Least requirement of a pool with positions, base asset.
    sources
        Where the figures come from, by what they are.
    """

    venue: str
    effective_from: dt.date
    units: Mapping[str, UnitRule]
    generic: UnitRule | None = None
    netting: str = SUM
    correlation: CorrelationTable | None = None
    offsets: tuple[OffsetGroup, ...] = ()
    maintenance_factor: float = 1.0
    initial_factor: float = 1.0
    initial_contingency_factor: float = 1.0
    pool_minimum: float = 0.0
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", tuple(self.offsets))
        if self.netting not in (SUM, CORRELATION, OFFSET):
            raise InputError('must be "sum", "correlation" or "offset"', column="netting", value=self.netting)
        if (self.netting == CORRELATION) != (self.correlation is not None):
            raise InputError('netting "correlation" and a correlation matrix go together', column="correlation")
        if (self.netting == OFFSET) != bool(self.offsets):
            raise InputError('netting "offset" and offset groups go together', column="offsets")
        for name in ("maintenance_factor", "initial_factor", "initial_contingency_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError("must be positive", column=name, value=getattr(self, name))
        if not 0 <= self.pool_minimum < math.inf:
            raise InputError("must not be negative", column="pool_minimum", value=self.pool_minimum)
        if not self.units and self.generic is None:
            raise InputError("needs the rule of at least one risk unit", column="units")
        self._check_groups()

    def _check_groups(self) -> None:
        named = [unit for group in self.offsets for unit in group.units]
        for row, unit in enumerate(named):
            if unit in named[:row]:
                raise InputError("is in two offset groups", row=row, column="offsets", value=unit)
        for group in self.offsets:
            lengths = {len(self.unit_rule(unit).grid) for unit in group.units}
            if len(lengths) > 1:
                raise InputError("units of an offset group need grids of one length", column="offsets")

    def unit_rule(self, unit: str) -> UnitRule:
        """The rule of a risk unit; without one and without a generic one, InputError."""
        rule = self.units.get(unit, self.generic)
        if rule is None:
            known = ", ".join(sorted(self.units))
            raise InputError(f"the {self.venue} rule does not know it; known are {known}", column="unit", value=unit)
        return rule

    def unit_rules(self, units: tuple[str, ...]) -> tuple[UnitRule, ...]:
        """Rules of risk units in the order given."""
        return tuple(self.unit_rule(unit) for unit in units)

    def group_of(self, units: tuple[str, ...]) -> tuple[IntArray, FloatArray]:
        """Offset group of each unit and the share of profit that counts in it; a unit in no group is one of its own."""
        of_unit = {unit: place for place, group in enumerate(self.offsets) for unit in group.units}
        alone = len(self.offsets)
        group = np.array([of_unit.get(unit, alone + row) for row, unit in enumerate(units)], np.int64)
        share = [self.offsets[place].share if place < alone else 0.0 for place in group]
        return group, np.array(share, np.float64)
