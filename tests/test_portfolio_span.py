"""SPAN: the textbook's figures, every charge by hand, Black-76 arrays against QuantLib, and what scan risk must do."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.portfolio.span import scan_risk, span_margin, span_positions
from margincast.riskcore.portfolio.span_arrays import SpanScan, futures_array, options_array
from margincast.riskcore.portfolio.span_file import load_span_rules, read_span_rules
from margincast.riskcore.portfolio.span_rules import (
    DeliveryCharge,
    SpanCommodity,
    SpanRules,
    SpanTier,
    SpreadCharge,
    SpreadCredit,
    SpreadLeg,
)
from margincast.riskcore.portfolio.span_spreads import spread_charges, spread_credits

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FUTURE = [0, 0, 3330, 3330, -3330, -3330, 6670, 6670, -6670, -6670, 10000, 10000, -10000, -10000, 7000, -7000]
CALL = [460, -610, 2640, 1730, -1270, -2340, 5210, 4540, -2540, -3430, 8060, 7640, -3380, -3990, 3130, -1500]
SCAN = SpanScan(20.0)


def rules_of(credits: tuple[SpreadCredit, ...] = (), ratio: float = 1.0, **commodities: SpanCommodity) -> SpanRules:
    return SpanRules("test", dt.date(2024, 1, 1), commodities, credits, ratio)


def test_the_textbook_cases() -> None:
    path = SHARED / "vectors" / "span_textbook.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        given, expected = case["inputs"], case["expected"]
        if "array" in expected:
            found = futures_array(given["scan_range"], given["extreme"])
            np.testing.assert_allclose(found, expected["array"], rtol=0, atol=case["tolerance"])
        else:
            held = given["quantities"]
            assert scan_risk(list(held.values()), [given["arrays"][k] for k in held]).risk == expected["requirement"]


@pytest.mark.parametrize(
    ("future", "call", "expected", "scenario"),
    [(1, 0, 10_000, 12), (0, 1, 3_990, 13), (1, -1, 6_620, 12), (-1, 0, 10_000, 10), (0, -1, 8_060, 10)],
)
def test_scan_risk_of_mcmillan(future: int, call: int, expected: float, scenario: int) -> None:
    """Options as a Strategic Investment, ch. 34, p. 668-670; the last two read off the same arrays."""
    scan = scan_risk([future, call], [FUTURE, CALL])
    assert (scan.risk, scan.active) == (expected, scenario)


def test_futures_array_of_the_textbook_rules() -> None:
    scan = load_span_rules("span_textbook").commodities["SP"].scan
    np.testing.assert_allclose(scan.moves * scan.weights * 500.0, futures_array(10_000.0, 7_000.0), rtol=1e-12)


def test_option_arrays_are_quantlib_values() -> None:
    scan = SpanScan(12.0, 0.04, extreme_multiple=3.0, extreme_cover=0.33, lookahead_days=1.0)
    up_down = [1, -1] * 7 + [0, 0]
    fractions = [0, 0, 1 / 3, 1 / 3, -1 / 3, -1 / 3, 2 / 3, 2 / 3, -2 / 3, -2 / 3, 1, 1, -1, -1, 3, -3]
    strikes, rights = [90.0, 100.0, 120.0, 100.0], [1, 1, 1, -1]
    found = options_array(scan, 100.0, strikes, 60 / 365, 0.25, rights, multiplier=50.0, discount=0.99)
    for row, (strike, right) in enumerate(zip(strikes, rights, strict=True)):
        kind = ql.Option.Call if right > 0 else ql.Option.Put
        now = ql.blackFormula(kind, strike, 100.0, 0.25 * math.sqrt(60 / 365))
        for s in range(16):
            vol = (0.25 + 0.04 * up_down[s]) * math.sqrt(59 / 365)
            then = ql.blackFormula(kind, strike, 100.0 + 12.0 * fractions[s], vol)
            expected = 50.0 * 0.99 * (0.33 if s >= 14 else 1.0) * (then - now)
            assert found[row, s] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_volatility_range_as_a_share() -> None:
    points = options_array(SpanScan(5.0, 0.05), 100.0, 100.0, 0.5, 0.2, 1)
    share = options_array(SpanScan(5.0, 0.25, volatility_relative=True), 100.0, 100.0, 0.5, 0.2, 1)
    np.testing.assert_allclose(points, share, rtol=1e-13)


TIERS = (SpanTier("near", 202403, 202406), SpanTier("far", 202409, 202412))


def leg(of: str, ratio: float, side: str) -> SpreadLeg:
    return SpreadLeg(of, ratio, side)


def across(one: str, other: str) -> tuple[SpreadLeg, ...]:
    return leg(one, 1, "A"), leg(other, 1, "B")


def test_spreads_in_their_order_of_priority_and_delivery() -> None:
    """Long 10 March, short 4 June, short 9 December: 4 spreads in the near tier at 80, then 6 across at 130.

    March is in delivery: its 10 deltas are all in spreads, at 7 each.
    """
    commodity = SpanCommodity(
        SCAN,
        TIERS,
        (
            SpreadCharge((leg("near", 1, "A"), leg("near", 1, "B")), 80.0),
            SpreadCharge((leg("near", 1, "A"), leg("far", 1, "B")), 130.0),
        ),
        (DeliveryCharge(202403, 7.0, 50.0), DeliveryCharge(202412, 1.0, 20.0)),
    )
    periods = np.array([202403, 202406, 202412])
    found = spread_charges(commodity, periods, np.array([10.0, -4.0, -9.0]))
    assert found.charge == 4 * 80 + 6 * 130
    assert found.used.tolist() == [10, 4, 6] and found.left.tolist() == [0, 0, 3]
    assert found.delivery == 10 * 7 + 6 * 1 + 3 * 20
    mirrored = spread_charges(commodity, periods, np.array([-10.0, 4.0, 9.0]))
    assert (mirrored.charge, mirrored.delivery) == (found.charge, found.delivery)


def test_a_butterfly_takes_two_of_its_body() -> None:
    tiers = tuple(SpanTier(name, k, k) for k, name in enumerate("abc"))
    fly = SpreadCharge((leg("a", 1, "A"), leg("b", 2, "B"), leg("c", 1, "A")), 10.0)
    found = spread_charges(SpanCommodity(SCAN, tiers, (fly,)), np.arange(3), np.array([3.0, -5.0, 9.0]))
    assert found.charge == 25.0 and found.left.tolist() == [0.5, 0.0, 6.5]


def test_the_whole_requirement_by_hand() -> None:
    """Two commodities: X is 10 long near against 4 short far, Y 3 short; half of the offset price risk is credited.

    X: scan 6 * 100 = 600, four spreads at 20; net delta 6. Y: scan 3 * 150 = 450. Two X against one Y: 3 spreads use 6
    of X and 3 of Y, credits 0.5 * 600 and 0.5 * 450.
    """
    rates = (SpreadCredit((leg("X", 2, "A"), leg("Y", 1, "B")), 0.5),)
    tiers = SpreadCharge((leg("near", 1, "A"), leg("far", 1, "B")), 20.0)
    rules = rules_of(rates, 1.1, X=SpanCommodity(SpanScan(1.0), TIERS, (tiers,)), Y=SpanCommodity(SpanScan(1.0)))
    arrays = [futures_array(100.0, 70.0), futures_array(100.0, 70.0), futures_array(150.0, 105.0)]
    held = span_positions(["X", "X", "Y"], [10, -4, -3], arrays, period=[202403, 202409, 202403], delta=1.0)
    found = span_margin(held, rules)
    np.testing.assert_allclose(found.scan, [600, 450])
    np.testing.assert_allclose(found.spread_charge, [80, 0])
    np.testing.assert_allclose(found.credit, [300, 225])
    np.testing.assert_allclose(found.risk, [380, 225])
    assert found.maintenance == pytest.approx(605) and found.initial == pytest.approx(605 * 1.1)


def test_credits_follow_priority() -> None:
    first = SpreadCredit((leg("X", 1, "A"), leg("Y", 1, "B")), 0.8)
    second = SpreadCredit((leg("X", 1, "A"), leg("Z", 1, "B")), 0.5)
    found = spread_credits([first, second], {"X": 5.0, "Y": -3.0, "Z": -9.0}, {"X": 10.0, "Y": 10.0, "Z": 10.0})
    assert found == pytest.approx({"X": 0.8 * 30 + 0.5 * 20, "Y": 24.0, "Z": 10.0})
    assert spread_credits([first], {"X": 5.0, "Y": 3.0}, {"X": 10.0, "Y": 10.0}) == {"X": 0.0, "Y": 0.0}


@pytest.mark.parametrize(("method", "least"), [("gross", 5 * 90.0), ("max", 3 * 90.0)])
def test_short_option_minimum_of_far_options(method: str, least: float) -> None:
    """Short options so far out that the scan finds nothing are charged all the same; long ones do not count."""
    rules = rules_of(X=SpanCommodity(SCAN, short_option_minimum=90.0, short_option_method=method))
    held = span_positions(["X"] * 3, [-3, -2, 4], np.zeros((3, 16)), right=[1, -1, 1])
    found = span_margin(held, rules)
    assert found.short_option_minimum[0] == found.maintenance == least
    covered = span_positions(["X"] * 2, [1, -1], [FUTURE, CALL], right=[0, 1])
    assert span_margin(covered, rules).maintenance == 6_620


@pytest.mark.parametrize(("limited", "expected"), [(False, 500.0), (True, 3_000.0)])
def test_net_option_value(limited: bool, expected: float) -> None:
    """A long option worth 5,500 with a risk of 3,000: what it is worth beyond pays for another commodity or not."""
    zero_delta = [np.full(16, -3_000.0), np.full(16, -3_000.0)]
    rules = rules_of(X=SpanCommodity(SCAN, limit_option_value=limited), Y=SpanCommodity(SCAN))
    held = span_positions(["X", "Y"], [1, 1], zero_delta, right=[1, 0], value=[5_500.0, 0.0])
    assert span_margin(held, rules).maintenance == expected
    short = span_positions(["X"], [-1], [np.full(16, -3_000.0)], right=[1], value=5_500.0)
    assert span_margin(short, rules).maintenance == 5_500.0


def test_price_risk_leaves_volatility_and_time_out() -> None:
    """Short a call: 8,060 and 7,640 at the top, 460 and -610 where the price stays."""
    scan = scan_risk([-1.0], [CALL])
    assert scan.price_risk == pytest.approx((8_060 + 7_640) / 2 - (460 - 610) / 2)
    for method, expected in (("normal", 2 * 100.0), ("scan_range", 2 * 60.0), ("scan_range_cap", 2 * 60.0)):
        how = SpanCommodity(SCAN, price_risk=method, scan_range=60.0)
        rate = (SpreadCredit((leg("X", 1, "A"), leg("Y", 1, "B")), 1.0),)
        held = span_positions(["X", "Y"], [2, -2], [futures_array(100.0, 70.0)] * 2, delta=1.0)
        assert span_margin(held, rules_of(rate, X=how, Y=SpanCommodity(SCAN))).credit[0] == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 50.0))
def test_scan_risk_is_subadditive_and_scales(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    arrays = rng.normal(0, 1000, (6, 16))
    one, two = rng.integers(-9, 10, (2, 6)).astype(float)
    together = scan_risk(one + two, arrays).risk
    assert together <= scan_risk(one, arrays).risk + scan_risk(two, arrays).risk + 1e-9
    assert scan_risk(scale * one, arrays).risk == pytest.approx(
        scale * scan_risk(one, arrays).risk, rel=1e-12, abs=1e-9
    )
    assert scan_risk(one - one, arrays).risk == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_spreads_use_no_more_than_there_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tiers = tuple(SpanTier(name, 3 * k, 3 * k + 2) for k, name in enumerate("abc"))
    spreads = tuple(
        SpreadCharge((leg(x, int(rng.integers(1, 3)), "A"), leg(y, 1, "B")), 1.0) for x in "abc" for y in "abc"
    )
    period, delta = rng.integers(0, 9, 12), rng.normal(0, 5, 12)
    found = spread_charges(SpanCommodity(SCAN, tiers, spreads), period, delta)
    net = np.array([delta[period == one].sum() for one in found.periods])
    assert (found.left >= -1e-12).all() and (found.used >= -1e-12).all() and found.charge >= 0
    np.testing.assert_allclose(found.left + found.used, np.abs(net), atol=1e-9)
    assert min(found.left[net > 0].sum(), found.left[net < 0].sum()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SpanScan(0.0), "column price_range: must be positive"),
        (lambda: SpanScan(1.0, extreme_cover=1.5), "column extreme_cover: must be in"),
        (lambda: SpanScan(1.0, -0.1), "column volatility_range: must not be negative"),
        (lambda: futures_array(-1.0, 1.0), "column scan_range: must be positive"),
        (lambda: options_array(SCAN, 100.0, 100.0, -0.1, 0.2, 1), "row 0, column years"),
        (lambda: options_array(SCAN, 100.0, 100.0, 0.1, np.nan, 1), "row 0, column volatility"),
        (lambda: options_array(SCAN, 30.0, 100.0, 0.1, 0.2, 1), "moves to or below zero"),
        (lambda: SpanTier("x", 5, 4), "ends before it begins"),
        (lambda: SpreadLeg("x", 0, "A"), "must be positive"),
        (lambda: SpreadLeg("x", 1, "C"), 'must be "A" or "B"'),
        (lambda: SpreadCharge((leg("x", 1, "A"),), 1.0), "needs legs on both sides"),
        (lambda: SpreadCredit((leg("x", 1, "A"), leg("x", 1, "B")), 0.5), "names a commodity twice"),
        (lambda: SpreadCredit((leg("x", 1, "A"), leg("y", 1, "B")), 1.5), "column rate: must be in"),
        (lambda: SpanCommodity(SCAN, (TIERS[0], TIERS[0])), "is listed twice"),
        (lambda: SpanCommodity(SCAN, (TIERS[0], SpanTier("x", 202406, 202407))), "overlaps another tier"),
        (lambda: SpanCommodity(SCAN, TIERS, (SpreadCharge(across("q", "near"), 1.0),)), "is not a tier"),
        (lambda: SpanCommodity(SCAN, short_option_method="net"), 'must be "gross" or "max"'),
        (lambda: SpanCommodity(SCAN, price_risk="scan_range"), "column scan_range"),
        (lambda: rules_of(), "needs at least one combined commodity"),
        (lambda: rules_of((SpreadCredit(across("X", "Y"), 0.5),), X=SpanCommodity(SCAN)), "column credits"),
        (lambda: rules_of(ratio=0.9, X=SpanCommodity(SCAN)), "must be at least 1"),
        (lambda: span_positions(["X"], [1.0], [[0.0] * 15]), "column array: has shape"),
        (lambda: span_positions(["X"], [np.nan], [FUTURE]), "row 0, column quantity"),
        (lambda: span_positions(["X"], [1.0], [[np.nan] * 16]), "row 0, column array"),
        (lambda: span_margin(span_positions(["Q"], [1], [FUTURE]), rules_of(X=SpanCommodity(SCAN))), "column commod"),
        (lambda: scan_risk([1.0, 2.0], [FUTURE]), "column array: has shape"),
    ],
)  # fmt: skip
def test_bad_input_is_one_error(make: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()


FILE = """
venue = "house"
effective_from = 2024-01-01
model = "span"
[commodities.X]
price_range = 2.5
volatility_range = 0.04
extreme_multiple = 3.0
extreme_cover = 0.33
short_option_minimum = 25.0
short_option_method = "max"
tiers = [["near", 202403, 202406], ["far", 202409, 202412]]
spreads = [{charge = 80.0, legs = [["near", 1, "A"], ["far", 1, "B"]]}]
delivery = [[202403, 7.0, 50.0]]
source = "s"
date = 2024-01-01
[commodities.Y]
price_range = 1.5
source = "s"
date = 2024-01-01
[credits]
rows = [{rate = 0.5, legs = [["X", 2, "A"], ["Y", 1, "B"]]}]
source = "s"
date = 2024-01-01
[requirement]
initial_ratio = 1.1
source = "s"
date = 2024-01-01
"""


def read(tmp_path: Path, text: str) -> SpanRules:
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return read_span_rules(path)


def test_a_file_says_what_it_means(tmp_path: Path) -> None:
    rules = read(tmp_path, FILE)
    near_far = SpreadCharge((leg("near", 1, "A"), leg("far", 1, "B")), 80.0)
    scan = SpanScan(2.5, 0.04, 3.0, 0.33)
    x = SpanCommodity(scan, TIERS, (near_far,), (DeliveryCharge(202403, 7.0, 50.0),), 25.0, "max")
    assert rules.commodities == {"X": x, "Y": SpanCommodity(SpanScan(1.5))}
    assert rules.credits == (SpreadCredit((leg("X", 2, "A"), leg("Y", 1, "B")), 0.5),)
    assert (rules.initial_ratio, rules.venue, len(rules.sources)) == (1.1, "house", 4)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('model = "span"', 'model = "portfolio"', "column model"),
        ("price_range = 2.5", "", "commodities.X price_range: must be given"),
        ("price_range = 2.5", "price_range = -2.5", "commodities.X price_range: must be positive"),
        ("price_range = 2.5", "price_rnage = 2.5", "unknown key"),
        ('source = "s"\ndate = 2024-01-01\n[commodities.Y]', "[commodities.Y]", "commodities.X source: must be given"),
        ("[202403, 7.0, 50.0]", '["March", 7.0, 50.0]', r"delivery\[0\]: must be \[int, number, number\]"),
        ('["near", 1, "A"]', '["near", 1]', r"legs\[0\]: must be \[str, number, str\]"),
        ("202406], [", '202410], [', "overlaps another tier"),
        ("rate = 0.5", "rate = 50", "column credits.rows"),
        ("{rate = 0.5, legs", "{rate = 0.5, leg", "unknown key"),
        ('["Y", 1, "B"]', '["Z", 1, "B"]', "is not a combined commodity"),
        ("initial_ratio = 1.1", "initial_ratio = 0.5", "must be at least 1"),
        ('short_option_method = "max"', "short_option_method = 3", "must be given as a str"),
        ("extreme_cover = 0.33", "extreme_cover = true", "must be given as a number"),
    ],
)  # fmt: skip
def test_every_malformed_file_is_one_error(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in FILE
    with pytest.raises(InputError, match=told) as error:
        read(tmp_path, FILE.replace(old, new, 1))
    assert "rules.toml" in str(error.value) and "\n" not in str(error.value)
