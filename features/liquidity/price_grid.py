"""Prices as whole numbers of ticks: exact in both directions, the tick given or found from the prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import gcd

import numpy as np

from ...riskcore.arrays import BoolArray, FloatArray, IntArray
from ...riskcore.errors import InputError

MOST_DECIMALS = 10
LARGEST = 2.0**53


@dataclass(frozen=True)
class PriceGrid:
    """Multiples of a tick of `units / scale` quote units, `scale` a power of ten.

    A price is `tick * units / scale`, rounded once: the double nearest to the decimal the venue wrote, so a price goes
    to ticks and back without a change.

    Parameters
    ----------
    units, scale
        The tick as a fraction in whole numbers.
    given
        Whether the tick is the user's, against which prices are checked, or one found from the prices so far.

    Examples
    --------
    >>> grid = PriceGrid.of_tick("0.5")
    >>> grid.ticks(np.array([100.5, 101.0])).tolist(), grid.prices(np.array([201])).tolist(), grid.tick
    ([201, 202], [100.5], 0.5)
    >>> grid.ticks(np.array([100.3]))
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 0, column price: is no multiple of the tick 0.5 (found 100.3)
    """

    units: int
    scale: int
    given: bool

    @classmethod
    def of_tick(cls, tick: float | str) -> PriceGrid:
        """The grid of a venue's tick size; not a positive decimal of at most 10 places raises InputError."""
        try:
            decimal = Decimal(str(tick))
            if not 0 < decimal < Decimal("Infinity"):
                raise InvalidOperation
        except InvalidOperation:
            raise InputError("must be a positive number", column="tick", value=tick) from None
        numerator, denominator = decimal.as_integer_ratio()
        scale = next((10**k for k in range(MOST_DECIMALS + 1) if 10**k % denominator == 0), 0)
        if scale == 0:
            raise InputError(f"must have at most {MOST_DECIMALS} decimals", column="tick", value=tick)
        return cls(numerator * scale // denominator, scale, True)

    @classmethod
    def of_prices(cls, prices: FloatArray) -> PriceGrid:
        """The coarsest grid that holds all of these prices.

        Examples
        --------
        >>> PriceGrid.of_prices(np.array([100.25, 101.0, 99.5])).tick
        0.25
        """
        scale = _scale_of(prices)
        wholes = _wholes(prices, scale)
        return cls(int(np.gcd.reduce(wholes)) if len(wholes) else 1, scale, False)

    @property
    def tick(self) -> float:
        """The tick in quote units."""
        return self.units / self.scale

    def nearest(self, prices: FloatArray) -> tuple[IntArray, BoolArray]:
        """Nearest ticks of prices, and which of the prices are off the grid."""
        ticks = np.rint(prices * (self.scale / self.units)).astype(np.int64)
        return ticks, self.prices(ticks) != prices

    def ticks(self, prices: FloatArray) -> IntArray:
        """Ticks of prices on the grid, shape as given; one off the grid raises InputError with its row."""
        nearest, off = self.nearest(prices)
        if off.any():
            row = int(np.flatnonzero(off)[0])
            problem = f"is no multiple of the tick {self.tick:g}"
            raise InputError(problem, row=row, column="price", value=float(prices[row]))
        return nearest

    def prices(self, ticks: IntArray) -> FloatArray:
        """Prices of ticks."""
        exact: FloatArray = (ticks * self.units) / self.scale
        return exact

    def refined(self, prices: FloatArray) -> PriceGrid:
        """The coarsest grid that holds these prices and everything on this one."""
        other = PriceGrid.of_prices(prices)
        scale = max(self.scale, other.scale)
        units = gcd(self.units * (scale // self.scale), other.units * (scale // other.scale))
        return PriceGrid(units, scale, False)

    def in_ticks_of(self, finer: PriceGrid) -> int:
        """How many ticks of a finer grid make one of this."""
        return self.units * (finer.scale // self.scale) // finer.units


def _scale_of(prices: FloatArray) -> int:
    for decimals in range(MOST_DECIMALS + 1):
        wholes = np.rint(prices * 10.0**decimals)
        if (wholes < LARGEST).all() and (wholes / 10.0**decimals == prices).all():
            return int(10**decimals)
    bad = np.flatnonzero(np.rint(prices * 10.0**MOST_DECIMALS) / 10.0**MOST_DECIMALS != prices)
    row = int(bad[0]) if len(bad) else 0
    problem = f"is no decimal of at most {MOST_DECIMALS} places and 15 digits"
    raise InputError(problem, row=row, column="price", value=float(prices[row]))


def _wholes(prices: FloatArray, scale: int) -> IntArray:
    return np.rint(prices * float(scale)).astype(np.int64)
