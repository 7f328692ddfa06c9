"""The number policy of integer protocols: exact whole numbers, and a named rounding wherever something is divided.

Python integers have no width, so nothing overflows on the way; what a protocol stores in 64 bits is checked where it
is stored. Each protocol module says which way each of its quotients is rounded: against the user, in the protocol's
favour, is the rule, and the exceptions are named.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Final, Literal, SupportsIndex, get_args

from ..errors import InputError

Rounding = Literal["floor", "ceil", "trunc", "away"]
"""Towards minus infinity, towards plus infinity, towards zero, away from zero."""

PPM: Final = 1_000_000
"""Parts per million in one."""


def whole(value: SupportsIndex, column: str) -> int:
    """`value` as an exact Python integer; a float, a bool or a text is refused.

    Examples
    --------
    >>> whole(5_000_000_000, "price")
    5000000000
    >>> whole(0.5, "price")  # type: ignore[arg-type]
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: column price: must be a whole number (found 0.5)
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError("must be a whole number", column=column, value=value)
    return int(value)


def in_range(value: SupportsIndex, column: str, low: int, high: int | None = None) -> int:
    """`value` as an exact integer in [low, high]; no upper end where `high` is None.

    Examples
    --------
    >>> in_range(1_000_001, "initial_margin_ppm", 0, PPM)
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: column initial_margin_ppm: must be in [0, 1000000] (found 1000001)
    """
    exact = whole(value, column)
    if exact < low or (high is not None and exact > high):
        problem = f"must be at least {low}" if high is None else f"must be in [{low}, {high}]"
        raise InputError(problem, column=column, value=exact)
    return exact


def require_naturals(**values: int) -> None:
    """Refuse the first of the named values that is not a whole number of at least zero."""
    for name, value in values.items():
        in_range(value, name, 0)


def units(figure: float, precision: int, column: str) -> int:
    """A decimal figure as a whole number of 1 / precision; one that is not exact is refused, never rounded.

    A float is read as the shortest decimal that prints it.

    Examples
    --------
    >>> units(0.01, 1_000_000, "fee")
    10000
    >>> units(0.0000001, 1_000_000, "fee")
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: column fee: is not a whole number of 1/1000000 (found 1e-07)
    """
    try:
        exact = Fraction(repr(figure)) * precision
    except ValueError:
        raise InputError("must be a finite number", column=column, value=figure) from None
    if exact.denominator != 1:
        raise InputError(f"is not a whole number of 1/{precision}", column=column, value=figure)
    return exact.numerator


def divide(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Quotient of two whole numbers, rounded as named; exact however large they are.

    Raises
    ------
    InputError
        A denominator of zero, or a rounding that is none.

    Examples
    --------
    >>> [divide(-7, 2, how) for how in ("floor", "ceil", "trunc", "away")]
    [-4, -3, -3, -4]
    """
    if denominator == 0:
        raise InputError("cannot be divided by zero", column="denominator", value=denominator)
    if rounding not in get_args(Rounding):
        raise InputError(f"must be one of {', '.join(get_args(Rounding))}", column="rounding", value=rounding)
    positive = (numerator < 0) == (denominator < 0)
    upward = rounding == "ceil" or rounding == ("away" if positive else "trunc")
    return -(-numerator // denominator) if upward else numerator // denominator


def times_ppm(value: int, ppm: int, rounding: Rounding) -> int:
    """Parts per million of a value, rounded as named.

    Examples
    --------
    >>> times_ppm(123_456, 567_243, "ceil")
    70030
    """
    return divide(value * ppm, PPM, rounding)


def power_of_ten(exponent: int) -> int:
    """10^exponent of an exponent in [0, 4096], exact."""
    return int(10 ** in_range(exponent, "exponent", 0, 4096))


def times_power_of_ten(value: int, exponent: int, rounding: Rounding) -> int:
    """A value moved by a power of ten, rounded as named where the exponent is negative.

    Examples
    --------
    >>> times_power_of_ten(50, 3, "trunc"), times_power_of_ten(-1999, -3, "trunc")
    (50000, -1)
    """
    return value * power_of_ten(exponent) if exponent >= 0 else divide(value, power_of_ten(-exponent), rounding)


def root(value: int) -> int:
    """Whole part of the square root of a number that is not negative, exact.

    Examples
    --------
    >>> root(10**30 - 1)
    999999999999999
    """
    if value < 0:
        raise InputError("must not be negative", column="value", value=value)
    return isqrt(value)
