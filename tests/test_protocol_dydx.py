"""dYdX v4: margin and riskiness in whole quantums, the arrays held to them, and rule-books."""

import dataclasses
import datetime as dt
import json
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.dydx import LiquidityTier, Perpetual, Risk, riskiest_first
from margincast.riskcore.protocols.dydx_accounts import Position, Subaccount
from margincast.riskcore.protocols.dydx_arrays import SubaccountTable, risk_of
from margincast.riskcore.protocols.dydx_rules import load_dydx_rules, read_dydx_rules

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FEW = settings(max_examples=60, deadline=None)
BITCOIN = Perpetual(5_000_000_000, -5, -8, LiquidityTier(200_000, 500_000))
ETHER = Perpetual(3_000_000_000, -6, -9, LiquidityTier(200_000, 500_000))
MARKETS = {0: BITCOIN, 1: ETHER}

sizes = st.integers(-(10**12), 10**12)
ppm = st.integers(0, 1_000_000)


@st.composite
def perpetuals(draw):
    lower = draw(st.integers(0, 10**14))
    upper = draw(st.sampled_from([0, lower + 1, lower + 10**13]))
    tier = LiquidityTier(draw(ppm), draw(ppm), lower if upper else 0, upper)
    price = draw(st.integers(0, 10**11))
    exponents = (draw(st.integers(-9, 0)), draw(st.integers(-10, -5)))
    return Perpetual(price, *exponents, tier, draw(st.integers(0, 10**12)), draw(st.integers(-(10**6), 10**6)))


@st.composite
def accounts(draw, markets):
    held = draw(st.lists(st.sampled_from(sorted(markets)), unique=True, max_size=len(markets)))
    positions = [Position(key, draw(sizes.filter(bool)), draw(st.integers(-(10**6), 10**6))) for key in held]
    return Subaccount(draw(st.integers(-(10**15), 10**15)), tuple(positions), draw(ppm))


# --- margin -----------------------------------------------------------------------------------------------------------


@FEW
@given(perpetuals(), sizes, sizes)
def test_maintenance_never_falls_with_size(market, first, second):
    small, large = sorted((first, second), key=abs)
    assert market.risk(small).maintenance <= market.risk(large).maintenance
    assert market.risk(small).initial <= market.risk(large).initial


@FEW
@given(perpetuals(), sizes, ppm)
def test_requirements_are_never_below_the_exact_figure(market, size, chosen):
    notional = abs(Fraction(size) * market.price * Fraction(10) ** market.exponent)
    risk, tier = market.risk(size, chosen), market.tier
    floor = math.floor(notional)
    exact = Fraction(tier.initial_margin_ppm * tier.maintenance_fraction_ppm, 10**12) * floor
    assert abs(risk.net_collateral) == floor
    assert exact <= risk.maintenance <= exact + 2
    assert risk.initial >= Fraction(max(tier.initial_margin_ppm, chosen), 10**6) * floor
    assert risk.initial >= risk.maintenance and risk.initial <= floor


@FEW
@given(perpetuals(), st.integers(0, 10**15), st.integers(0, 10**15))
def test_open_interest_only_raises_initial_margin(market, less, more):
    low, high = sorted((less, more))
    scaled = [market.tier.scaled_initial_margin_ppm(interest) for interest in (0, low, high)]
    assert scaled == sorted(scaled) and scaled[-1] <= 1_000_000


def test_scaling_reaches_the_whole_notional_at_the_upper_cap():
    tier = LiquidityTier(200_000, 500_000, 1_000_000, 2_000_000)
    at = {interest: tier.scaled_initial_margin_ppm(interest) for interest in (0, 1_000_000, 1_500_000, 2_000_000, 9**9)}
    assert list(at.values()) == [200_000, 200_000, 600_000, 1_000_000, 1_000_000]
    cliff = LiquidityTier(200_000, 500_000, 5, 5)
    assert [cliff.scaled_initial_margin_ppm(interest) for interest in (4, 5)] == [200_000, 1_000_000]


@FEW
@given(st.data())
def test_risk_adds_over_positions_and_pools(data):
    markets = {0: data.draw(perpetuals()), 1: data.draw(perpetuals())}
    account = data.draw(accounts(markets))
    settled = account.settled(markets)
    parts = [Risk(settled.quote_balance)]
    parts += [markets[held.perpetual].risk(held.quantums, account.user_margin_ppm) for held in account.positions]
    total = Risk()
    for part in reversed(parts):
        total = total + part
    assert account.risk(markets) == total
    assert settled.risk(markets) == total
    flipped = dataclasses.replace(account, positions=account.positions[::-1])
    assert flipped.risk(markets) == total


@FEW
@given(st.data())
def test_a_deposit_never_hurts_and_trades_undo(data):
    markets = {0: data.draw(perpetuals()), 1: data.draw(perpetuals())}
    account = data.draw(accounts(markets))
    gift, trade = data.draw(st.integers(0, 10**12)), data.draw(sizes)
    richer = account.after(markets, {}, gift)
    assert account.risk(markets).compare(richer.risk(markets)) >= 0
    assert not (richer.risk(markets).is_liquidatable and not account.risk(markets).is_liquidatable)
    back = account.after(markets, {0: trade}, 7).after(markets, {0: -trade}, -7)
    assert back.risk(markets) == account.risk(markets)


def test_funding_is_settled_down():
    market = dataclasses.replace(BITCOIN, funding_index=1)
    for quantums, balance in ((1, -1), (-1, 0), (10**6, -1), (-(10**6), 1)):
        assert Subaccount(0, (Position(0, quantums),)).settled({0: market}).quote_balance == balance
    both = Subaccount(0, (Position(0, 500_000), Position(1, -500_000)))
    assert both.settled({0: market, 1: dataclasses.replace(ETHER, funding_index=1)}).quote_balance == 0


def test_the_user_may_only_raise_initial_margin():
    held = (Position(0, 10_000_000),)
    plain, careful, bold = (Subaccount(0, held, chosen).risk(MARKETS) for chosen in (0, 500_000, 100_000))
    assert (careful.initial, careful.maintenance) == (2_500_000_000, plain.maintenance)
    assert bold == plain


risks = st.builds(Risk, st.integers(-50, 50), st.integers(0, 20))


@FEW
@given(risks, risks, risks)
def test_riskiness_is_an_order(first, second, third):
    assert first.compare(second) == -second.compare(first)
    if first.maintenance and second.maintenance:
        ratios = [Fraction(risk.net_collateral, risk.maintenance) for risk in (first, second)]
        if ratios[0] != ratios[1]:
            assert first.compare(second) == (1 if ratios[0] < ratios[1] else -1)
        if second.maintenance and third.maintenance and first.compare(second) >= 0 and second.compare(third) >= 0:
            assert first.compare(third) >= 0
    order = riskiest_first([first, second, third])
    assert sorted(order) == [0, 1, 2]


def test_isolated_markets_have_pools_of_their_own():
    markets = {**MARKETS, 2: dataclasses.replace(BITCOIN, isolated=True)}
    assert Subaccount(5).pool(markets) == "cross"
    assert Subaccount(5, (Position(0, 1), Position(1, 1))).pool(markets) == "cross"
    assert Subaccount(5, (Position(2, 1),)).pool(markets) == "isolated:2"
    with pytest.raises(InputError, match="isolated market cannot be held with another"):
        Subaccount(5, (Position(2, 1), Position(0, 1))).pool(markets)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Subaccount(0, (Position(0, 5), Position(0, 6))), "row 1, column perpetual: holds a perpetual twice"),
        (lambda: Subaccount(0.5), "column quote_balance: must be a whole number"),
        (lambda: Perpetual(-1, -5, -8, BITCOIN.tier), "column price: must be at least 0"),
        (lambda: LiquidityTier(1_000_001, 0), "column initial_margin_ppm: must be in"),
        (lambda: LiquidityTier(0, 0, 5, 4), "column lower_cap: must not exceed upper_cap"),
        (lambda: Risk(0, -1), "column maintenance: must be at least 0"),
        (lambda: BITCOIN.at(0).base_quantums(5), "column price: must be positive"),
        (lambda: load_dydx_rules().tier("Mega"), "unknown liquidity tier; known are Large-Cap"),
    ],
)
def test_what_makes_no_sense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


# --- arrays -----------------------------------------------------------------------------------------------------------


def table_of(book):
    held = [position for account in book for position in account.positions]
    offsets = np.cumsum([0, *(len(account.positions) for account in book)])
    columns = [[getattr(position, name) for position in held] for name in ("perpetual", "quantums", "funding_index")]
    chosen = [account.user_margin_ppm for account in book]
    return SubaccountTable([account.quote_balance for account in book], offsets, *columns, chosen)


@FEW
@given(st.data())
def test_arrays_hold_the_same_whole_numbers(data):
    markets = {5: data.draw(perpetuals()), 2: data.draw(perpetuals())}
    book = [data.draw(accounts(markets)) for _ in range(4)]
    try:
        found = risk_of(table_of(book), markets)
    except InputError as refusal:
        assert "64 bits" in str(refusal)
        largest = max(abs(m.price) * 10 ** max(m.exponent, 0) for m in markets.values()) * 10**12
        assert largest >= 2**60
        return
    for row, account in enumerate(book):
        risk = account.risk(markets)
        assert (found.net_collateral[row], found.maintenance[row], found.initial[row]) == (
            risk.net_collateral,
            risk.maintenance,
            risk.initial,
        )
        assert found.is_liquidatable[row] == risk.is_liquidatable
        assert found.is_initially_collateralised[row] == risk.is_initially_collateralised


def test_arrays_refuse_what_would_wrap():
    one = SubaccountTable([0], [0, 1], [0], [10**18], [0])
    with pytest.raises(InputError, match="row 0, column quantums: does not fit the arithmetic of 64 bits"):
        risk_of(one, {0: dataclasses.replace(BITCOIN, price=10**13)})
    with pytest.raises(InputError, match="column funding_index: does not fit"):
        risk_of(one, {0: dataclasses.replace(BITCOIN, price=1, funding_index=10**9)})
    with pytest.raises(InputError, match="unknown perpetual; known are 1"):
        risk_of(one, {1: BITCOIN})
    with pytest.raises(InputError, match="column quantums: must be a list of whole numbers"):
        SubaccountTable([0], [0, 1], [0], [0.5], [0])
    with pytest.raises(InputError, match="column quote_balance: does not fit"):
        SubaccountTable([-(2**63)], [0, 0], [], [], [])
    with pytest.raises(InputError, match="is not a CSR pointer"):
        SubaccountTable([0], [0, 2], [0], [5], [0])


def test_sums_are_exact_where_the_running_total_would_not_fit():
    account = Subaccount(0, (Position(0, 9 * 10**13),))
    market = {0: dataclasses.replace(BITCOIN, price=10**11)}
    found = risk_of(table_of([account] * 9), market)
    assert found.net_collateral.tolist() == [account.risk(market).net_collateral] * 9
    assert sum(found.net_collateral.tolist()) > 2**62


# --- rule-books -------------------------------------------------------------------------------------------------------


def test_shipped_tiers_are_the_published_table():
    path = SHARED / "vectors" / "tiers_dydx.json"
    if not path.is_file():
        pytest.skip(f"no venue vectors at {path}")
    published, rules = json.loads(path.read_text(encoding="utf-8")), load_dydx_rules()
    assert rules.tiers == {row[0]: LiquidityTier(row[1], row[2], row[4], row[5]) for row in published["tiers"]}
    assert published["source"]["commit"] in rules.sources["tiers"]


def test_rules_are_those_of_the_day():
    assert load_dydx_rules(dt.date(2024, 1, 1)).effective_from == dt.date(2023, 10, 26)
    with pytest.raises(InputError, match="is before the first dydx_v4 rule-book"):
        load_dydx_rules(dt.date(2023, 10, 25))


GOOD = Path(__file__).resolve().parents[1].joinpath("riskcore/venues/dydx_v4_2023-10-26.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("max_portion_ppm = 100_000\n", "", "column liquidation max_portion_ppm: must be given as a int"),
        ("max_portion_ppm = 100_000", "max_portion_ppm = 0.1", "liquidation max_portion_ppm: must be given as a int"),
        ("max_portion_ppm = 100_000", "max_portion_ppm = 0", r"column liquidation max_portion_ppm: must be in \[1, 1"),
        ("max_portion_ppm", "max_part", "column liquidation max_part: unknown key"),
        ("initial_margin_ppm = 20_000", "initial_margin_ppm = 2_000_000", "tiers.table.Large-Cap initial_margin_ppm"),
        ("upper_cap = 50_000_000_000_000", "upper_cap = 1", "tiers.table.Small-Cap lower_cap: must not exceed"),
        ("lower_cap = 0\n", "", "column tiers.table.Large-Cap lower_cap: must be given"),
        ("maintenance_fraction_ppm = 600_000", "maintenance_fraction = 0.6", "Large-Cap maintenance_fraction: unknown"),
        ("date = 2024-10-01", "", "column tiers date: must be given"),
        ("date = 2023-10-26", "", "column liquidation date: must be given"),
        ('model = "dydx_v4"', 'model = "tiered"', "the rules asked for are of the model dydx_v4"),
        ("[liquidation]", "[liquidate]", "column liquidate: unknown key"),
        ("effective_from = 2023-10-26", 'effective_from = "today"', "column effective_from: must be given as a date"),
        ("[tiers]", "[tiers", "is not valid TOML"),
    ],
)
def test_malformed_rule_books_are_refused(tmp_path, old, new, told):
    assert old in GOOD
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=told) as refusal:
        read_dydx_rules(path)
    assert "\n" not in str(refusal.value) and str(path) in str(refusal.value)
