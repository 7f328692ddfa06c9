"""The number policy of integer protocols: exact whole numbers and named roundings."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.integers import divide, in_range, root, times_power_of_ten, units, whole

FEW = settings(max_examples=60, deadline=None)


@FEW
@given(st.integers(-(10**30), 10**30), st.integers(-(10**20), 10**20).filter(bool))
def test_named_roundings_are_those_of_exact_rationals(numerator, denominator):
    exact = Fraction(numerator, denominator)
    assert divide(numerator, denominator, "floor") == math.floor(exact)
    assert divide(numerator, denominator, "ceil") == math.ceil(exact)
    assert divide(numerator, denominator, "trunc") == math.trunc(exact)
    away = divide(numerator, denominator, "away")
    assert abs(away) == math.ceil(abs(exact)) and away * exact >= 0


@FEW
@given(st.integers(0, 10**40))
def test_root_is_the_whole_part(value):
    assert root(value) ** 2 <= value < (root(value) + 1) ** 2


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: divide(1, 0, "floor"), "divided by zero"),
        (lambda: divide(1, 2, "up"), "must be one of floor, ceil, trunc, away"),
        (lambda: whole(1.0, "size"), r"column size: must be a whole number \(found 1.0\)"),
        (lambda: whole(True, "size"), "must be a whole number"),
        (lambda: whole("1", "size"), "must be a whole number"),
        (lambda: in_range(-1, "price", 0), "must be at least 0"),
        (lambda: root(-1), "must not be negative"),
        (lambda: units(float("nan"), 100, "price"), "must be a finite number"),
        (lambda: units(0.001, 100, "price"), "is not a whole number of 1/100"),
        (lambda: times_power_of_ten(1, 5_000, "trunc"), r"must be in \[0, 4096\]"),
    ],
)
def test_numbers_that_are_none_are_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_whole_numbers_of_numpy_are_exact():
    assert whole(np.int64(2**62), "size") == 2**62 and type(whole(np.int64(1), "size")) is int
