"""Drift v2: weights and margin in whole numbers, and rule-books."""

import dataclasses
import datetime as dt
import math
from decimal import Decimal, getcontext
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.drift import (
    BASE,
    PRICE,
    WEIGHT,
    StrictPrice,
    perp_liability_value,
    scaled_asset_weight,
    size_discount_weight,
    size_premium_weight,
    strict_token_value,
    token_value,
    weight_for,
    worst_case_base,
)
from margincast.riskcore.protocols.drift_margin import (
    AccountMargin,
    PerpMarket,
    PerpPosition,
    SpotMarket,
    SpotPosition,
    account_margin,
    perp_margin,
    spot_margin,
    weighted_profit,
)
from margincast.riskcore.protocols.drift_rules import load_drift_rules, read_drift_rules

getcontext().prec = 60
FEW = settings(max_examples=60, deadline=None)
ONE = StrictPrice(PRICE)
COIN = SpotMarket(9, 8_000, 9_000, 12_000, 11_000)
PERP = PerpMarket(1_000, 500)
KINDS = ("initial", "fill", "maintenance")

sizes = st.integers(0, 10**18)
factors = st.integers(0, 10**6)
prices = st.integers(1, 10**12)
amounts = st.integers(-(10**15), 10**15)


# --- weights ----------------------------------------------------------------------------------------------------------


@FEW
@given(sizes, factors, st.integers(0, 20_000))
def test_weights_are_their_formulas_to_a_unit(size, factor, weight):
    scale = Decimal(factor) / 10**6 * (Decimal(size) / BASE).sqrt()
    premium = Decimal(weight) * 4 / 5 + scale * WEIGHT
    expected = max(Decimal(weight), premium) if factor else weight
    assert abs(size_premium_weight(size, factor, weight) - expected) <= 3 + scale / 10**4
    discount = Decimal(11_000) / (1 + scale)
    expected = min(Decimal(weight), discount) if factor else weight
    assert abs(size_discount_weight(size, factor, weight) - expected) <= 2


@FEW
@given(sizes, sizes, factors, st.integers(0, 20_000))
def test_size_only_makes_weights_worse(first, second, factor, weight):
    small, large = sorted((first, second))
    premium = [size_premium_weight(size, factor, weight) for size in (small, large)]
    discount = [size_discount_weight(size, factor, weight) for size in (small, large)]
    assert weight <= premium[0] <= premium[1]
    assert weight >= discount[0] >= discount[1] >= 0


@FEW
@given(st.integers(0, WEIGHT), st.integers(0, 10**18), st.integers(0, 10**18))
def test_scaled_deposits_never_count_for_more_than_at_the_start(weight, value, start):
    scaled = scaled_asset_weight(weight, value, start)
    assert scaled <= weight
    if start and value >= start:
        assert scaled * value <= weight * start < (scaled + 1) * value
    else:
        assert scaled == weight


@FEW
@given(amounts, st.integers(0, 19), prices, prices)
def test_value_is_rounded_against_the_holder(amount, decimals, current, average):
    exact = Fraction(amount * current, 10**decimals)
    assert token_value(amount, decimals, current) == math.floor(exact)
    strict = strict_token_value(amount, decimals, StrictPrice(current, average))
    assert strict <= token_value(amount, decimals, current)
    assert strict == min(token_value(amount, decimals, p) for p in (current, average))


def test_fill_weight_lies_halfway():
    assert [weight_for(kind, 1_500, 7_500) for kind in KINDS] == [1_500, 4_500, 7_500]
    assert SpotMarket(9, 1_500, 7_500, imf_factor=100_000).asset_weight(10**14, PRICE, "fill") == 337


def test_total_deposits_scale_the_initial_weight_only():
    market = dataclasses.replace(COIN, scale_start=500_000 * PRICE, deposits=60_000 * BASE)
    weights = {kind: market.asset_weight(BASE, 25 * PRICE, kind) for kind in KINDS}
    assert weights == {"initial": 2_666, "fill": (2_666 + 9_000) // 2, "maintenance": 9_000}


def test_sizes_of_other_decimals_weigh_alike():
    weigh = [SpotMarket(d, imf_factor=10_000).liability_weight(1_000 * 10**d, "initial") for d in (5, 6, 9, 12)]
    assert len(set(weigh)) == 1 and weigh[0] > WEIGHT


# --- margin -----------------------------------------------------------------------------------------------------------


@FEW
@given(st.integers(-(10**13), 10**13), st.integers(0, 10**13), st.integers(0, 10**13), st.integers(0, PRICE))
def test_the_worst_case_of_orders_is_no_better_than_either_side(base, bids, asks, price):
    for prediction in (False, True):
        worst = worst_case_base(base, bids, -asks, price, prediction)
        assert worst in (base + bids, base - asks)
        most = max(perp_liability_value(side, price, prediction) for side in (base + bids, base - asks))
        assert perp_liability_value(worst, price, prediction) == most


@FEW
@given(amounts, st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 10**9), st.sampled_from(KINDS))
def test_spot_orders_never_help_and_deposits_never_hurt(amount, bids, asks, price, kind):
    def free(amount, bids=0, asks=0, orders=0):
        position = SpotPosition(COIN, StrictPrice(price), amount, bids, -asks, orders)
        margin = spot_margin(position, kind)
        return margin.total_collateral - margin.margin_requirement

    bare = free(amount)
    assert free(amount, bids, asks, 2) <= bare - 20_000 + 2
    assert free(amount + 10**6) >= bare - 1


@FEW
@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), st.integers(1, 10**9), st.integers(0, 10**12))
def test_more_orders_never_lower_a_perpetual_requirement(base, quote, price, more):
    market = dataclasses.replace(PERP, imf_factor=1_000)
    for kind in KINDS:
        bare = perp_margin(PerpPosition(market, price, ONE, base, quote), kind)
        working = PerpPosition(market, price, ONE, base, quote, open_bids=more, open_asks=-more, open_orders=1)
        busy = perp_margin(working, kind)
        assert busy.margin_requirement >= bare.margin_requirement + 10_000
        assert busy.total_collateral == bare.total_collateral


@FEW
@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), st.integers(1, 10**9))
def test_initial_margin_is_the_stricter(base, quote, price):
    position = PerpPosition(PERP, price, ONE, base, quote)
    initial, fill, maintenance = (perp_margin(position, kind) for kind in KINDS)
    assert initial.margin_requirement >= fill.margin_requirement >= maintenance.margin_requirement
    assert initial.total_collateral <= maintenance.total_collateral
    if position.unrealised < 0:
        assert initial.total_collateral == maintenance.total_collateral == position.unrealised


def test_profit_counts_by_its_weight_and_losses_in_full():
    half = dataclasses.replace(PERP, initial_profit_weight=5_000)
    won = PerpPosition(half, 2 * PRICE, ONE, 60 * BASE, -60 * PRICE)
    assert [weighted_profit(won, kind) for kind in KINDS] == [30 * PRICE, 30 * PRICE, 60 * PRICE]
    rich = dataclasses.replace(won, base=600 * BASE, quote=-600 * PRICE)
    assert [weighted_profit(rich, kind) for kind in KINDS] == [100 * PRICE, 300 * PRICE, 600 * PRICE]
    crowded = dataclasses.replace(half, max_imbalance=10 * PRICE, net_unsettled_profit=40 * PRICE)
    assert weighted_profit(dataclasses.replace(won, market=crowded), "initial") == 60 * PRICE * 1_250 // WEIGHT
    doubtful = StrictPrice(PRICE, 1_100_000)
    lost = dataclasses.replace(won, quote=-180 * PRICE, quote_price=doubtful)
    assert weighted_profit(lost, "initial") == -66 * PRICE
    assert weighted_profit(dataclasses.replace(won, quote_price=doubtful), "maintenance") == 60 * PRICE


def test_a_settled_market_asks_for_no_margin():
    position = PerpPosition(dataclasses.replace(PERP, settled=True), PRICE, ONE, BASE, 0)
    assert perp_margin(position, "initial", user_ratio=5_000).margin_requirement == 0


def test_a_ratio_the_user_chose_counts_for_initial_margin_only():
    balances = [SpotPosition(COIN, ONE, 10 * BASE), SpotPosition(COIN, ONE, -10 * BASE)]
    perps = [PerpPosition(PERP, PRICE, ONE, 10 * BASE, -10 * PRICE)]
    plain = account_margin(balances, perps, "initial")
    assert (plain.total_collateral, plain.margin_requirement) == (8 * PRICE, 13 * PRICE)
    careful = account_margin(balances, perps, "initial", user_ratio=5_000)
    assert (careful.total_collateral, careful.margin_requirement) == (5 * PRICE, 20 * PRICE)
    mild = account_margin(balances, perps, "initial", user_ratio=500)
    assert mild == plain
    lazy = account_margin(balances, perps, "maintenance", user_ratio=5_000)
    assert lazy == account_margin(balances, perps, "maintenance")


def test_the_buffer_is_of_the_liabilities():
    position = PerpPosition(PERP, 100 * PRICE, ONE, BASE, -100 * PRICE)
    cash = SpotPosition(SpotMarket(6), ONE, 4 * PRICE, is_quote=True)
    margin = account_margin([cash], [position], "maintenance")
    assert margin.is_liquidatable and margin.shortage(0) == PRICE and margin.shortage(200) == 3 * PRICE
    assert AccountMargin(5, 5).free_collateral == 0 and AccountMargin(9, 5).free_collateral == 4


def test_borrowed_quote_is_a_requirement_of_its_value():
    owed = SpotPosition(SpotMarket(6), StrictPrice(PRICE, 1_010_000), -7 * PRICE, is_quote=True)
    assert spot_margin(owed, "initial") == AccountMargin(0, 7_070_000, 7_070_000)


def test_in_doubt_orders_and_perpetuals_are_valued_at_the_higher_price():
    doubtful = StrictPrice(90 * PRICE, 100 * PRICE)
    bid = spot_margin(SpotPosition(COIN, doubtful, 0, open_bids=BASE, open_orders=1), "initial")
    assert (bid.total_collateral, bid.margin_requirement) == (80 * PRICE, 100_010_000)
    held = PerpPosition(PERP, 100 * PRICE, StrictPrice(PRICE, 1_100_000), BASE, -100 * PRICE)
    assert perp_margin(held, "initial").margin_requirement == 11 * PRICE


# --- refusals and rule-books ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: size_premium_weight(-1, 0, 1), "column size: must be at least 0"),
        (lambda: size_discount_weight(1, 0.5, 1), "column imf_factor: must be a whole number"),
        (lambda: weight_for("final", 1, 2), "column margin: must be one of initial, fill, maintenance"),
        (lambda: StrictPrice(0), "column current: must be at least 1"),
        (lambda: StrictPrice(5, 0), "column average: must be at least 1"),
        (lambda: token_value(1, 20, 1), "column decimals"),
        (lambda: perp_liability_value(1, PRICE + 1, prediction=True), r"column price: must be in \[0, 1000000\]"),
        (lambda: worst_case_base(0, 0, 5, 1), "column open_asks"),
        (lambda: SpotPosition(COIN, ONE, 0, open_asks=5), "column open_asks"),
        (lambda: PerpPosition(PERP, 1, ONE, 0.5, 0), "column base: must be a whole number"),
        (lambda: SpotMarket(9, -1), "column initial_asset_weight"),
        (lambda: PerpMarket(-1, 0), "column initial_ratio"),
    ],
)
def test_what_makes_no_sense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_rules_are_those_of_the_day():
    rules = load_drift_rules(dt.date(2024, 1, 1))
    assert rules.spot["base"] == COIN and rules.perps["prediction"].prediction
    assert rules.liquidation.share(10**9, 0, 75) == 6_000
    with pytest.raises(InputError, match="is before the first drift_v2 rule-book"):
        load_drift_rules(dt.date(2022, 1, 1))


GOOD = Path(__file__).resolve().parents[1].joinpath("riskcore/venues/drift_v2_2022-12-01.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("decimals = 6\n", "", "column spot.table.quote decimals: must be given as a int"),
        ("decimals = 9", "decimals = 21", "column spot.table.base decimals: must be in"),
        ("initial_asset_weight = 8_000", "initial_asset_weight = 0.8", "spot.table.base initial_asset_weight: must be"),
        ("initial_asset_weight = 8_000", "initial_asset_weight = 9_500", "initial weights must be the stricter"),
        ("initial_ratio = 1_000", "initial_ratio = 100", "maintenance_ratio must not exceed initial_ratio"),
        ("prediction = true", "prediction = 1", "perps.table.prediction prediction: must be given as a bool"),
        ("initial_ratio = 1_000", "ratio = 1_000", "column perps.table.default ratio: unknown key"),
        ("initial_share = 1_000", "initial_share = 20_000", "column liquidation initial_share: must be in"),
        ("liquidator_fee = 10_000", "liquidator_fee = 60_000", "column liquidation liquidator_fee: must be in"),
        ("margin_buffer = 200", "margin_buffer = -1", "column liquidation margin_buffer: must be in"),
        ("[perps]\ndate = 2024-06-01", "[perps]", "column perps date: must be given"),
        ('model = "drift_v2"', 'model = "drift_v1"', "the rules asked for are of the model drift_v2"),
        ("[liquidation]", "[liquidations]", "column liquidations: unknown key"),
    ],
)
def test_malformed_rule_books_are_refused(tmp_path, old, new, told):
    assert old in GOOD
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=told) as refusal:
        read_drift_rules(path)
    assert "\n" not in str(refusal.value) and str(path) in str(refusal.value)
