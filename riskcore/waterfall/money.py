"""Money and contracts as whole numbers of the smallest unit: exact trade values, each rounded against who trades."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import InputError
from ..instruments import INVERSE, InstrumentTable

DECIMALS = 8
UNIT = 10**DECIMALS
"""Units in one of an asset and in one contract: every amount and quantity here counts 1e-8."""
LARGEST = 2**63 - 1


def require_range(units: int, column: str) -> int:
    """The number itself, if int64 can hold it.

    Raises
    ------
    InputError
        It cannot.
    """
    if not -LARGEST <= units <= LARGEST:
        raise InputError("is more than int64 holds in units of 1e-8", column=column, value=units)
    return units


def to_units(values: FloatArray, column: str) -> IntArray:
    """Whole units nearest to each value; an empty one stays empty.

    Raises
    ------
    InputError
        A value that is not finite, or more than int64 holds.

    Examples
    --------
    >>> to_units(np.array([0.1, -2.5]), "balance").tolist()
    [10000000, -250000000]
    """
    scaled = np.rint(np.asarray(values, np.float64) * UNIT)
    fits = np.isfinite(scaled) & (np.abs(scaled) < float(2**63))
    if not fits.all():
        row = int(np.flatnonzero(~fits.ravel())[0])
        value = float(np.ravel(values)[row])
        raise InputError("is not finite or more than int64 holds in units of 1e-8", row=row, column=column, value=value)
    return np.asarray(scaled, dtype=np.int64)


def from_units(units: IntArray) -> FloatArray:
    """The amounts nearest to whole units.

    Examples
    --------
    >>> from_units(np.array([10000000])).tolist()
    [0.1]
    """
    return np.asarray(np.asarray(units, np.int64) / UNIT, dtype=np.float64)


def total_of(units: Iterable[int]) -> int:
    """Exact sum, however large."""
    return sum(int(one) for one in units)


def unit_value(table: InstrumentTable, instrument: int, price: float) -> Fraction:
    """What one contract is worth at a price, settlement asset, exactly: m * p if linear, -m / p if inverse.

    The profit of q contracts between two prices is q times the difference of their unit values, for both kinds.

    Examples
    --------
    >>> table = InstrumentTable(("C", "I"), [0, 1], [0.1, 100.0], [0, 1], ("USDT", "BTC"))
    >>> float(unit_value(table, 0, 50.0)), float(unit_value(table, 1, 50.0))
    (5.0, -2.0)
    """
    multiplier, at = Fraction(float(table.multiplier[instrument])), Fraction(float(price))
    return -multiplier / at if table.kind[instrument] == INVERSE else multiplier * at


def price_of(table: InstrumentTable, instrument: int, value: Fraction) -> float:
    """The price at which one contract has this unit value; NaN where no positive price does.

    Examples
    --------
    >>> table = InstrumentTable(("C", "I"), [0, 1], [0.1, 100.0], [0, 1], ("USDT", "BTC"))
    >>> price_of(table, 0, Fraction(5)), price_of(table, 1, Fraction(-2)), price_of(table, 1, Fraction(2))
    (50.0, 50.0, nan)
    """
    multiplier = Fraction(float(table.multiplier[instrument]))
    if table.kind[instrument] == INVERSE:
        return float(-multiplier / value) if value < 0 else float("nan")
    return float(value / multiplier) if value > 0 else float("nan")


def exact_rate(rate: float) -> Fraction:
    """A rate as the decimal or simple fraction it was written as, so that 20% of 10 is 2 and not a unit more.

    Examples
    --------
    >>> exact_rate(0.2), Fraction(0.2) == Fraction(1, 5)
    (Fraction(1, 5), False)
    """
    return Fraction(rate).limit_denominator(10**12)


def floor_of(exact: Fraction) -> int:
    """Largest whole number not above: what who gives up contracts worth `exact` is credited."""
    return exact.numerator // exact.denominator


def ceil_of(exact: Fraction) -> int:
    """Least whole number not below: what who owes `exact` is charged."""
    return -(-exact.numerator // exact.denominator)


def pro_rata(whole: int, weights: Sequence[Fraction | int]) -> list[int]:
    """Whole units shared by weights of 0 or more, exactly; the odd ones go to the first that get less than their part.

    Examples
    --------
    >>> pro_rata(10, [1, 1, 1]), pro_rata(7, [0, 2])
    ([4, 3, 3], [0, 7])
    """
    total = sum(weights, Fraction(0))
    shares = [floor_of(Fraction(whole * weight) / total) for weight in weights]
    short = whole - sum(shares)
    for place, weight in enumerate(weights):
        if short and shares[place] * total != whole * weight:
            shares[place] += 1
            short -= 1
    return shares


def floor_of_all(units: int, each: Fraction) -> int:
    """`floor_of(units * each)`, without reducing the product first."""
    return units * each.numerator // each.denominator
