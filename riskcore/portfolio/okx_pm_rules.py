"""What OKX's portfolio margin is made of: figures of the classes of underlyings, and of each of its components."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray
from ..errors import InputError
from .portfolio_rule import Charges, UnitRule
from .scenario_grid import DOWN, SAME, UP, ScenarioGrid
from .volatility_rule import VolatilityRule


@dataclass(frozen=True)
class TermVolatility:
    """A shift of implied volatility whose size falls with the days to expiry, linear between the days given.

    Parameters
    ----------
    days
        Rising from 0; beyond the last the size stays.
    size
        At each of those days: annual volatility (0.3: thirty points), or a fraction of the volatility there is.
    relative
        Whether the size is such a fraction.

    Examples
    --------
    >>> points = TermVolatility((0.0, 30.0), (0.3, 0.2), relative=False)
    >>> points.shocked([0.5, 0.5, 0.1], [15.0, 90.0, 90.0], [UP, UP, DOWN]).round(6).tolist()
    [0.75, 0.7, 0.0]
    """

    days: tuple[float, ...]
    size: tuple[float, ...]
    relative: bool

    def __post_init__(self) -> None:
        for name in ("days", "size"):
            object.__setattr__(self, name, tuple(float(one) for one in getattr(self, name)))
        if len(self.days) != len(self.size):
            raise InputError(f"has {len(self.size)} sizes for {len(self.days)} days", column="size")
        _rising("days", self.days, first=0.0)
        for value in self.size:
            if not 0 <= value < math.inf:
                raise InputError("must not be negative", column="size", value=value)

    def shocked(self, volatility: ArrayLike, days: ArrayLike, direction: ArrayLike) -> FloatArray:
        """Volatility after the shift, not below 0."""
        now = np.asarray(volatility, np.float64)
        shift = np.interp(np.asarray(days, np.float64), self.days, self.size) * (now if self.relative else 1.0)
        return np.asarray(np.maximum(now + shift * np.asarray(direction), 0.0))


@dataclass(frozen=True)
class Tiers:
    """Amounts by tiers: upper bounds, the last open, and a rate or multiplier each."""

    caps: tuple[float, ...]
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("caps", "rates"):
            object.__setattr__(self, name, tuple(float(one) for one in getattr(self, name)))
        if len(self.caps) != len(self.rates):
            raise InputError(f"has {len(self.rates)} rates for {len(self.caps)} tiers", column="rates")
        _ascending("caps", (0.0, *self.caps), row=0)
        for value in self.rates:
            if not 0 < value < math.inf:
                raise InputError("must be positive", column="rates", value=value)


@dataclass(frozen=True)
class OkxUnit:
    """Figures of a class of risk units.

    Parameters
    ----------
    moves
        Price moves of MR1, each taken both ways, fractions; 0 among them.
    extreme_move
        Price move of MR6, taken both ways.
    basis
        Move of the basis of MR4, fraction a year.
    charges
        Minimum charge of MR7 before its tiers.
    multipliers
        Tiers of MR7.
    """

    moves: tuple[float, ...]
    extreme_move: float
    basis: float
    charges: Charges
    multipliers: Tiers

    def __post_init__(self) -> None:
        object.__setattr__(self, "moves", tuple(float(one) for one in self.moves))
        _rising("moves", self.moves, first=0.0)
        for name, value in (("moves", self.moves[-1]), ("extreme_move", self.extreme_move)):
            if not 0 < value < 1:
                raise InputError("must be between 0 and 1", column=name, value=value)
        if not 0 <= self.basis < math.inf:
            raise InputError("must not be negative", column="basis", value=self.basis)

    def spot_shock(self, volatility: VolatilityRule) -> UnitRule:
        """The scenarios of MR1; the three without a price move stand at `OkxUnit.still`."""
        ahead = self.moves[1:]
        moves = [-one for one in reversed(ahead)] + [0.0, *ahead]
        return UnitRule(ScenarioGrid.product(moves, [UP, SAME, DOWN]), volatility)

    @property
    def still(self) -> int:
        """Place of the scenario of MR1 without a price move and with volatility up; down is two further on."""
        return 3 * (len(self.moves) - 1)

    def decay(self, volatility: VolatilityRule, days: float) -> UnitRule:
        """The one scenario of MR2: time passes."""
        return UnitRule(ScenarioGrid.product([0.0], [SAME]), volatility, horizon_days=days)

    def extreme(self, volatility: VolatilityRule, share: float) -> UnitRule:
        """The scenarios of MR6, and the charges of MR7."""
        grid = ScenarioGrid.product([-self.extreme_move, self.extreme_move], [SAME], share)
        return UnitRule(grid, volatility, minimum=self.charges)


@dataclass(frozen=True)
class OkxRules:
    """OKX's portfolio margin from one date on.

    Parameters
    ----------
    venue, effective_from
        Whose rule, and the first day it held (UTC).
    units
        Figures of each risk unit by name.
    generic
        Figures of units that have none of their own, or None: such a unit is then an error.
    points, fraction
        The two ways volatility is shocked in MR1, which takes the worse.
    decay_days
        Days that pass in MR2.
    vega_share
        Share of the vega losses that gains of other expiries pay for in MR1 which MR3 takes back.
    rate_shift
        Parallel shift of the rate of MR5, taken both ways, annual.
    extreme_share
        Share of the loss of MR6 that counts.
    initial_multiple
        Initial over maintenance margin, borrowing aside.
    uses_spot
        Whether spot counts only as far as it hedges the derivatives of its unit.
    depeg
        Tiers of MR9, or None where there is none.
    loans, initial_loans
        Tiers of MR8: maintenance and initial rates; None where the file has none.
    sources
        Where the figures come from, by what they are.
    """

    venue: str
    effective_from: dt.date
    units: Mapping[str, OkxUnit]
    generic: OkxUnit | None
    points: TermVolatility
    fraction: TermVolatility
    decay_days: float
    vega_share: float
    rate_shift: float
    extreme_share: float
    initial_multiple: float
    uses_spot: bool = True
    depeg: Tiers | None = None
    loans: Tiers | None = None
    initial_loans: Tiers | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.units and self.generic is None:
            raise InputError("needs figures of at least one risk unit", column="units")
        for name, high in (("decay_days", math.inf), ("vega_share", 1.0), ("rate_shift", 1.0), ("extreme_share", 1.0)):
            if not (0 <= getattr(self, name) <= high and math.isfinite(getattr(self, name))):
                raise InputError(f"must be in [0, {high:g}]", column=name, value=getattr(self, name))
        if not 1 <= self.initial_multiple < math.inf:
            raise InputError("must be at least 1", column="initial_multiple", value=self.initial_multiple)

    def unit(self, name: str) -> OkxUnit:
        """Figures of a risk unit; an unknown one without generic figures raises InputError."""
        found = self.units.get(name, self.generic)
        if found is None:
            problem = f"the {self.venue} rule does not know it; known are {', '.join(sorted(self.units))}"
            raise InputError(problem, column="unit", value=name)
        return found


def _rising(name: str, values: tuple[float, ...], first: float) -> None:
    if not values or values[0] != first:
        raise InputError(f"must begin with {first:g}", column=name, value=list(values))
    _ascending(name, values, row=1)


def _ascending(name: str, values: tuple[float, ...], row: int) -> None:
    """Refuse values that do not rise; the second is that of `row`."""
    for place, (low, high) in enumerate(zip(values[:-1], values[1:], strict=True)):
        if not low < high < math.inf:
            raise InputError("must rise", row=place + row, column=name, value=high)
