"""Values and sensitivities of options against QuantLib, and to eighty digits where QuantLib itself loses some."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.options.black76 import CALL, PUT, log_ratio, time_value, value
from margincast.riskcore.options.black_scholes import spot_greeks, spot_value
from margincast.riskcore.options.greeks import greeks
from margincast.riskcore.options.tails import mills_fall, mills_gap

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899863")
CONTRACTS = 5000
AGREED = 1e-10


def upper_tail(x: Decimal) -> Decimal:
    """N(-x) for x >= 0: continued fraction far out, power series near (Abramowitz and Stegun 26.2.14 and 26.2.11)."""
    bell = (-x * x / 2).exp() / (2 * PI).sqrt()
    if x > 5:
        under = Decimal(0)
        for n in range(int(4000 / x) + 60, 0, -1):
            under = n / (x + under)
        return bell / (x + under)
    total, term, n = Decimal(0), x, 0
    while term > Decimal(10) ** -78:
        total, n = total + term, n + 1
        term = term * x * x / (2 * n + 1)
    return Decimal("0.5") - bell * total


def normal(x: Decimal) -> Decimal:
    return upper_tail(-x) if x < 0 else 1 - upper_tail(x)


def mills(x: Decimal) -> Decimal:
    return upper_tail(x) / ((-x * x / 2).exp() / (2 * PI).sqrt())


class Contract(NamedTuple):
    """Black's formula as it stands; at eighty digits nothing cancels that matters."""

    forward: Decimal
    strike: Decimal
    time: Decimal
    volatility: Decimal
    right: int
    rate: Decimal

    def worth(self) -> Decimal:
        deviation = self.volatility * self.time.sqrt()
        d1 = (self.forward / self.strike).ln() / deviation + deviation / 2
        d2 = d1 - deviation
        paid = self.forward * normal(self.right * d1) - self.strike * normal(self.right * d2)
        return (-self.rate * self.time).exp() * self.right * paid

    def moved(self, name: str, by: Decimal) -> Decimal:
        return self._replace(**{name: getattr(self, name) + by}).worth()

    def slope(self, name: str) -> Decimal:
        step = abs(getattr(self, name)) * Decimal("1e-15") + Decimal("1e-25")
        return (self.moved(name, step) - self.moved(name, -step)) / (2 * step)

    def bend(self, name: str) -> Decimal:
        step = abs(getattr(self, name)) * Decimal("1e-15")
        return (self.moved(name, step) - 2 * self.worth() + self.moved(name, -step)) / step**2


def drawn(n: int, seed: int, reach: float, least: float, most: float) -> dict[str, np.ndarray]:
    """Random contracts whose strikes lie up to `reach` deviations off, deviations from 10**least to 10**most."""
    rng = np.random.default_rng(seed)
    forward, time = np.exp(rng.uniform(-3, 11, n)), 10 ** rng.uniform(-3, 1, n)
    deviation = 10 ** rng.uniform(least, most, n)
    strike = forward * np.exp(-rng.uniform(-reach, reach, n) * deviation)
    return {
        "forward": forward,
        "strike": strike,
        "time": time,
        "volatility": deviation / np.sqrt(time),
        "right": rng.choice([CALL, PUT], n),
        "rate": rng.uniform(-0.05, 0.15, n),
        "dividend_yield": rng.uniform(0.0, 0.1, n),
    }


def relative(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.abs(found - expected) / np.abs(expected)


def calculators(contracts: dict[str, np.ndarray], forward: np.ndarray, discount: np.ndarray) -> list[object]:
    sides = {CALL: ql.Option.Call, PUT: ql.Option.Put}
    deviation = contracts["volatility"] * np.sqrt(contracts["time"])
    rows = zip(contracts["right"].tolist(), contracts["strike"], forward, deviation, discount, strict=True)
    return [
        ql.BlackCalculator(ql.PlainVanillaPayoff(sides[side], float(k)), float(f), float(v), float(df))
        for side, k, f, v, df in rows
    ]


def test_forward_value_and_greeks_against_quantlib() -> None:
    c = drawn(CONTRACTS, 1, 3.0, -2, 0.2)
    discount = np.exp(-c["rate"] * c["time"])
    found = greeks(c["forward"], c["strike"], c["time"], c["volatility"], c["right"], discount)
    rows = list(zip(calculators(c, c["forward"], discount), c["forward"], c["time"], strict=True))
    expected = {
        "value": [b.value() for b, _, _ in rows],
        "delta": [b.deltaForward() for b, _, _ in rows],
        "gamma": [b.gammaForward() for b, _, _ in rows],
        "vega": [b.vega(t) for b, _, t in rows],
        "theta": [b.theta(f, t) for b, f, t in rows],
        "rho": [b.rho(t) + b.dividendRho(t) for b, _, t in rows],
    }
    worst = {name: relative(getattr(found, name), np.array(figures)).max() for name, figures in expected.items()}
    assert {name: figure for name, figure in worst.items() if figure > AGREED} == {}
    direct = value(c["forward"], c["strike"], c["time"], c["volatility"], c["right"], discount)
    np.testing.assert_array_equal(direct, found.value)


def test_spot_value_and_greeks_against_quantlib() -> None:
    c = drawn(CONTRACTS, 2, 3.0, -2, 0.2)
    carry = np.exp((c["rate"] - c["dividend_yield"]) * c["time"])
    spot, discount = c["forward"] / carry, np.exp(-c["rate"] * c["time"])
    option = (spot, c["strike"], c["time"], c["volatility"], c["right"], c["rate"], c["dividend_yield"])
    found = spot_greeks(*option)
    rows = list(zip(calculators(c, spot * carry, discount), spot, c["time"], strict=True))
    expected = {
        "value": [b.value() for b, _, _ in rows],
        "delta": [b.delta(s) for b, s, _ in rows],
        "gamma": [b.gamma(s) for b, s, _ in rows],
        "vega": [b.vega(t) for b, _, t in rows],
        "theta": [b.theta(s, t) for b, s, t in rows],
        "theta_per_day": [b.thetaPerDay(s, t) for b, s, t in rows],
        "rho": [b.rho(t) for b, _, t in rows],
        "dividend_rho": [b.dividendRho(t) for b, _, t in rows],
        "elasticity": [b.elasticity(s) for b, s, _ in rows],
    }
    worst = {name: relative(getattr(found, name), np.array(figures)).max() for name, figures in expected.items()}
    assert {name: figure for name, figure in worst.items() if figure > AGREED} == {}
    np.testing.assert_array_equal(spot_value(*option), found.value)


@pytest.mark.parametrize(("least", "most"), [(-7, -3), (-3, -0.5), (-0.5, 0.7)])
def test_value_and_greeks_in_deep_tails_to_eighty_digits(least: float, most: float) -> None:
    """QuantLib loses all digits here, so the reference is Black's formula and its differences in decimals."""
    c = drawn(40, 3, 36.0, least, most)
    c["right"] = np.where(c["strike"] > c["forward"], CALL, PUT)
    columns = {name: c[name] for name in ("forward", "strike", "time", "volatility", "right", "rate")}
    discount = np.exp(-c["rate"] * c["time"])
    found = greeks(c["forward"], c["strike"], c["time"], c["volatility"], c["right"], discount)
    looked = 0
    with localcontext() as context:
        context.prec = 80
        for row in range(40):
            contract = Contract(*(Decimal(column[row].item()) for column in columns.values()))
            contract = contract._replace(right=int(c["right"][row]))
            expected = {
                "value": contract.worth(),
                "delta": contract.slope("forward"),
                "gamma": contract.bend("forward"),
                "vega": contract.slope("volatility"),
                "theta": -contract.slope("time"),
                "rho": contract.slope("rate"),
            }
            for name, figure in expected.items():
                if abs(figure) > Decimal("1e-290"):
                    looked += 1
                    assert abs(Decimal(getattr(found, name)[row].item()) / figure - 1) < AGREED, (name, contract)
    assert looked > 200


def test_zero_time_and_zero_volatility_are_the_limits() -> None:
    forward, strike = np.array([90.0, 100.0, 110.0]), 100.0
    for time, volatility in ((0.0, 0.5), (1.0, 0.0), (0.0, 0.0)):
        for right, side in ((CALL, ql.Option.Call), (PUT, ql.Option.Put)):
            found = greeks(forward, strike, time, volatility, right)
            assert found.value.tolist() == [ql.blackFormula(side, strike, f, 0.0) for f in forward.tolist()]
            assert (right * found.delta).tolist() == [float(right < 0), 0.5, float(right > 0)]
            assert found.gamma.tolist() == [0.0, np.inf, 0.0]
            assert found.vega[[0, 2]].tolist() == [0.0, 0.0]
            assert found.theta[[0, 2]].tolist() == [0.0, 0.0]
            spot = spot_greeks(forward, strike, time, volatility, right)
            np.testing.assert_array_equal(spot.delta, found.delta)
            np.testing.assert_array_equal(np.isnan(spot.elasticity), found.value == 0)
    assert greeks(100.0, 100.0, 1.0, 0.0, CALL).vega == pytest.approx(100.0 / np.sqrt(2 * np.pi), rel=1e-15)


def test_what_is_no_option_gives_nan() -> None:
    good = {"forward": 100.0, "strike": 90.0, "time": 1.0, "volatility": 0.2, "right": 1.0, "discount": 1.0}
    for name in good:
        assert np.isnan(value(**good | {name: np.nan})), name
    for name in ("forward", "strike", "time", "volatility"):
        assert np.isnan(value(**good | {name: -0.1})), name
        assert np.isnan(greeks(**good | {name: -0.1}).vega), name
    assert np.isnan(value(-100.0, -90.0, 1.0, 0.2, CALL))
    assert np.isnan(greeks(100.0, 90.0, 0.0, 0.2, CALL, 0.9).theta)
    assert value(0.0, 90.0, 1.0, 0.2, PUT) == 90.0 and value(100.0, 0.0, 1.0, 0.2, CALL) == 100.0


def test_arrays_of_any_layout_get_the_same_bits() -> None:
    forward = np.linspace(60.0, 150.0, 91).reshape(7, 13)
    for deviation in (1e-5, 1e-2, 0.4):
        plain = time_value(forward, 100.0, deviation)
        np.testing.assert_array_equal(time_value(np.asfortranarray(forward), 100.0, deviation), plain)
        np.testing.assert_array_equal(time_value(forward.T, 100.0, deviation), plain.T)
        assert [float(time_value(f, 100.0, deviation)) for f in forward.ravel()] == plain.ravel().tolist()


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 1e6), st.floats(0.2, 5.0), st.floats(1e-4, 10.0), st.floats(1e-3, 3.0), st.floats(0.5, 1.0))
def test_parity_bounds_and_monotonicity(
    forward: float, moneyness: float, time: float, volatility: float, discount: float
) -> None:
    strike = forward * moneyness
    call, put = (value(forward, strike, time, volatility, right, discount) for right in (CALL, PUT))
    assert call - put == pytest.approx(discount * (forward - strike), rel=1e-12, abs=1e-13 * forward)
    assert discount * max(forward - strike, 0) <= call <= discount * forward * (1 + 1e-14)
    up = 1.01
    assert value(forward, strike, time, volatility * up, CALL) >= value(forward, strike, time, volatility, CALL)
    assert value(forward, strike, time * up, volatility, PUT) >= value(forward, strike, time, volatility, PUT)
    assert value(forward * up, strike, time, volatility, CALL) >= value(forward, strike, time, volatility, CALL)
    assert value(forward, strike * up, time, volatility, CALL) <= value(forward, strike, time, volatility, CALL)
    scaled = value(4 * forward, 4 * strike, time, volatility, CALL)
    assert scaled == pytest.approx(4 * float(value(forward, strike, time, volatility, CALL)), rel=1e-15)


def test_the_mills_ratio_loses_no_digits() -> None:
    with localcontext() as context:
        context.prec = 80
        for near in (0.0, 0.7, 4.0, 11.9, 12.0, 20.0, 38.0):
            for width in (1e-9, 1e-2, 1.0):
                gap = mills(Decimal(near)) - mills(Decimal(near) + Decimal(width))
                assert abs(Decimal(mills_gap(np.array(near), np.array(width)).item()) / gap - 1) < 1e-13
            slope = 1 - Decimal(near) * mills(Decimal(near))
            assert abs(Decimal(mills_fall(np.array(near)).item()) / slope - 1) < 1e-13


def test_the_logarithm_of_a_ratio_near_one_is_exact() -> None:
    with localcontext() as context:
        context.prec = 60
        for up, down in ((100.0000001, 100.0), (1.0, 1.0 + 2**-40), (3.0, 7.0), (1e-150, 1e150)):
            exact = (Decimal(up) / Decimal(down)).ln()
            assert abs(Decimal(float(log_ratio(up, down))) / exact - 1) < 4e-16
