"""Implied volatility: there and back, at the bounds, and outside them."""

from __future__ import annotations

import numpy as np
import pytest
import QuantLib as ql

from margincast.riskcore.errors import InputError
from margincast.riskcore.options.black76 import CALL, PUT, time_value, value
from margincast.riskcore.options.implied_volatility import implied_volatility


def test_round_trip_over_every_kind_of_contract() -> None:
    rng = np.random.default_rng(5)
    n = 20_000
    forward, time = np.exp(rng.uniform(-3, 11, n)), 10 ** rng.uniform(-3, 1, n)
    deviation = 10 ** rng.uniform(-5, 0.9, n)
    strike = forward * np.exp(-np.clip(rng.uniform(-36, 36, n), -20 / deviation, 20 / deviation) * deviation)
    right = np.where(strike > forward, CALL, PUT)
    price = value(forward, strike, time, deviation / np.sqrt(time), right, 0.97)
    told = (price > 1e-290 * forward) & (price < 0.97 * 0.999 * np.minimum(forward, strike))
    found = implied_volatility(price, forward, strike, time, right, 0.97)
    assert told.sum() > 0.9 * n
    np.testing.assert_allclose((found * np.sqrt(time))[told], deviation[told], rtol=1e-11)


def test_price_comes_back_even_where_volatility_is_hardly_told() -> None:
    deviation = np.array([3.0, 6.0, 9.0, 12.0])
    price = time_value(100.0, 120.0, deviation)
    found = implied_volatility(price, 100.0, 120.0, 1.0, CALL)
    np.testing.assert_allclose(time_value(100.0, 120.0, found), price, rtol=1e-14)
    np.testing.assert_allclose(found, deviation, rtol=1e-5)


def test_agrees_with_quantlib() -> None:
    for strike, volatility in ((80.0, 0.3), (100.0, 0.05), (150.0, 0.9)):
        price = ql.blackFormula(ql.Option.Call, strike, 100.0, volatility * np.sqrt(0.5), 0.98)
        deviation = ql.blackFormulaImpliedStdDev(ql.Option.Call, strike, 100.0, price, 0.98, 0.0, 0.2, 1e-14)
        found = implied_volatility(price, 100.0, strike, 0.5, CALL, 0.98)
        assert float(found) == pytest.approx(deviation / np.sqrt(0.5), rel=1e-9)


def test_bounds_are_zero_and_infinite() -> None:
    assert implied_volatility([0.0, 10.0, 100.0, np.nan], 100.0, [110.0, 90.0, 90.0, 90.0], 1.0, CALL).tolist()[:3] == [
        0.0,
        0.0,
        np.inf,
    ]
    assert np.isnan(implied_volatility(np.nan, 100.0, 90.0, 1.0, CALL))
    assert implied_volatility(value(100.0, 90.0, 1.0, 0.2, PUT), 100.0, 90.0, 1.0, PUT).shape == ()


@pytest.mark.parametrize(("price", "right"), [(9.9, CALL), (100.1, CALL), (-0.1, PUT), (90.1, PUT)])
def test_price_no_volatility_gives(price: float, right: int) -> None:
    prices = [20.0, price]
    with pytest.raises(InputError, match=r"row 1, column price: is outside what any volatility can give"):
        implied_volatility(prices, 100.0, 90.0, 1.0, right)
    found = implied_volatility(prices, 100.0, 90.0, 1.0, right, outside="nan")
    assert found[0] > 0 and np.isnan(found[1])


@pytest.mark.parametrize(
    ("name", "bad"),
    [("forward", 0.0), ("strike", -1.0), ("time", 0.0), ("time", np.nan), ("discount", 0.0), ("right", 2)],
)
def test_what_is_no_live_option_is_refused(name: str, bad: float) -> None:
    good = {"forward": 100.0, "strike": 90.0, "time": 1.0, "right": 1, "discount": 1.0}
    with pytest.raises(InputError, match=rf"row 0, column {name}: must be"):
        implied_volatility(12.0, **good | {name: bad})


def test_unknown_way_with_outsiders() -> None:
    with pytest.raises(InputError, match="column outside: must be raise or nan"):
        implied_volatility(12.0, 100.0, 90.0, 1.0, CALL, outside="clip")
