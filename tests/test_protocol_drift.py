"""Drift v2: weights, margin, liquidation and interest in whole numbers."""

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
from margincast.riskcore.protocols.drift_balances import (
    YEAR,
    accrued_interest,
    borrow_rate,
    scaled_balance,
    token_amount,
    utilisation,
)
from margincast.riskcore.protocols.drift_liquidation import (
    U64,
    U128,
    asset_for_liability,
    base_to_cover_shortage,
    deposit_interest_to_socialise,
    funding_to_socialise,
    largest_share,
    liability_for_asset,
    liability_to_cover_shortage,
    liquidation_fee,
    perp_insurance_fee,
    spot_insurance_fee,
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


# --- liquidation ------------------------------------------------------------------------------------------------------


@FEW
@given(
    st.integers(1, 10**12),
    st.integers(100, 10_000),
    st.integers(0, 9_000),
    st.integers(0, 900),
    st.integers(10, 10**10),
)
def test_closing_what_covers_a_shortage_frees_no_more_than_it(shortage, ratio, fee, insurance, price):
    base = base_to_cover_shortage(shortage, ratio, fee, insurance, price, PRICE)
    share = Fraction(ratio * 100 - fee - insurance, 10**6)
    if base == U64:
        assert price * (ratio * 100 - fee) // 10**6 <= price * insurance // 10**6
        return
    freed = Fraction(base * price, BASE) * share
    assert freed <= shortage * (1 + Fraction(2, max(int(price * share), 1)))


@FEW
@given(st.integers(1, 10**12), st.integers(1, 9_999), st.integers(10_001, 20_000), st.integers(6, 9), prices)
def test_repaying_what_covers_a_shortage_frees_it(shortage, asset, liability, decimals, price):
    found = liability_to_cover_shortage(shortage, asset, 10**6, liability, 10**6, decimals, price, 0)
    exact = Fraction(shortage * 10**decimals * WEIGHT, price * (liability - asset))
    assert found == max(math.floor(exact), 1)


@FEW
@given(st.integers(1, 10**12), st.integers(900_000, 1_100_000), st.integers(0, 9), prices, st.integers(0, 9), prices)
def test_transfers_round_against_the_liquidator(asset, multiplier, first, asset_price, second, liability_price):
    side = (multiplier, first, asset_price)
    repaid = liability_for_asset(asset, *side, 1_000_000, second, liability_price)
    exact = Fraction(asset * asset_price * 10**6 * 10**second, liability_price * multiplier * 10**first)
    assert exact <= repaid < exact + 2
    taken = asset_for_liability(10**30, *side, repaid, 1_000_000, second, liability_price)
    paid = Fraction(repaid * liability_price * multiplier * 10**first, asset_price * 10**6 * 10**second)
    assert taken == max(math.floor(paid), 1)


def test_a_deposit_within_a_dollar_goes_whole():
    side = (1_000_000, 6, PRICE)
    take = [
        asset_for_liability(held, *side, 5_000_000, 1_000_000, 6, PRICE) for held in (5_999_999, 6_000_000, 4_500_000)
    ]
    assert take == [5_999_999, 5_000_000, 4_500_000]


@FEW
@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 300), st.integers(0, 10_000), st.integers(0, 300))
def test_the_share_grows_with_time_and_never_beyond_all(shortage, freed, slots, initial, duration):
    share = largest_share(shortage, freed, slots, initial, duration)
    assert 0 <= share <= 10_000
    assert share <= largest_share(shortage, freed, slots + 1, initial, duration)
    if shortage < 50_000_000 or slots >= duration:
        assert share == 10_000
    elif freed == 0 and shortage % 10_000 == 0:
        assert share == min(initial + slots * 10_000 // duration, 10_000)


def test_fees_stay_within_their_bounds():
    fees = [liquidation_fee(20_000, 50_000, slots, 1_500, 1) for slots in (0, 1_499, 1_500, 10**9)]
    assert fees == [20_000, 20_000, 21_500, 50_000]
    assert perp_insurance_fee(0, BASE, 500, 10_000, PRICE, PRICE, 10**6) == 38_000
    assert perp_insurance_fee(0, BASE, 500, 10_000, PRICE, PRICE, 30_000) == 30_000
    assert perp_insurance_fee(0, BASE, 500, 10_000, 1, 1, 30_000) == 0
    assert spot_insurance_fee(0, BASE, 10_000, 10**6, 12_500, 10**6, 9, PRICE, 10**6) == 200_000


def test_where_nothing_is_freed_the_answer_is_the_largest_number():
    assert base_to_cover_shortage(1, 100, 10_000, 0, PRICE, PRICE) == U64
    assert base_to_cover_shortage(1, 1_000, 0, 0, 0, PRICE) == U64
    assert base_to_cover_shortage(1, 1_000, 50_000, 50_000, PRICE, PRICE) == U64
    assert liability_to_cover_shortage(1, 10_000, 10**6, 10_000, 10**6, 6, PRICE, 0) == U128
    assert liability_to_cover_shortage(1, 9_000, 12 * 10**5, 10_000, 10**6, 6, PRICE, 0) == U128
    assert liability_to_cover_shortage(1, 9_000, 10**6, 10_000, 10**6, 6, PRICE, 200_000) == U128


@FEW
@given(st.integers(-(10**15), 0), st.integers(0, 10**15), st.integers(0, 10**15).filter(bool))
def test_socialised_losses_are_paid_in_full(loss, long, short):
    rise = funding_to_socialise(loss, long, -short)
    assert rise % 1_000 == 0
    paid = Fraction(rise * (long + short), 1_000 * BASE)
    assert -loss <= paid < -loss + Fraction(long + short, BASE) + 1


@FEW
@given(st.integers(0, 10**15), st.integers(1, 10**15), st.integers(10**10, 10**12))
def test_depositors_bear_an_unpaid_loan(borrow, deposits, index):
    fall = deposit_interest_to_socialise(borrow, deposits, index)
    assert 0 <= fall < index
    if borrow < deposits * (index - 1) // index:
        assert Fraction(fall * deposits, index) >= borrow


# --- balances ---------------------------------------------------------------------------------------------------------


@FEW
@given(st.integers(0, 10**15), st.integers(10**10, 10**12), st.integers(0, 12))
def test_balances_never_return_more_than_was_put_in(amount, index, decimals):
    deposited = token_amount(scaled_balance(amount, index, decimals, False), index, decimals, False)
    borrowed = token_amount(scaled_balance(amount, index, decimals, True), index, decimals, True)
    assert deposited <= amount
    assert borrowed >= amount or scaled_balance(amount, index, decimals, False) == 0


@FEW
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 849_999), factors, factors)
def test_the_rate_never_falls_with_use(first, second, optimal, rate, rise):
    low, high = sorted((first, second))
    curve = (optimal, rate, rate + rise)
    rates = [borrow_rate(used, *curve) for used in (low, high, 10**6)]
    assert rates == sorted(rates) and rate + rise - 6 <= rates[-1] <= rate + rise
    assert borrow_rate(low, *curve, min_rate=10**9) == 10**9


@FEW
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, YEAR))
def test_lenders_never_earn_more_than_borrowers_pay(used, rate, seconds):
    paid, earned = accrued_interest(10**10, 10**10, used, rate, seconds)
    assert 0 <= earned * 10**6 <= paid * 10**6
    assert Fraction(earned) <= Fraction(paid * used, 10**6)
    assert utilisation(10**6, used) == used


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
        (lambda: funding_to_socialise(-5, 0, 0), "nobody holds the market"),
        (lambda: deposit_interest_to_socialise(1, 1, 0), "column cumulative_interest"),
        (lambda: liability_for_asset(1, 0, 6, 1, 1, 6, 1), "column asset_multiplier"),
        (lambda: asset_for_liability(1, 1, 6, 0, 1, 1, 6, 1), "column asset_price"),
        (lambda: borrow_rate(0, 850_000, 1, 2), "column optimal"),
        (lambda: borrow_rate(0, 800_000, 3, 2), "column max_rate: must not be below optimal_rate"),
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


def test_in_doubt_orders_and_perpetuals_are_valued_at_the_higher_price():
    doubtful = StrictPrice(90 * PRICE, 100 * PRICE)
    bid = spot_margin(SpotPosition(COIN, doubtful, 0, open_bids=BASE, open_orders=1), "initial")
    assert (bid.total_collateral, bid.margin_requirement) == (80 * PRICE, 100_010_000)
    held = PerpPosition(PERP, 100 * PRICE, StrictPrice(PRICE, 1_100_000), BASE, -100 * PRICE)
    assert perp_margin(held, "initial").margin_requirement == 11 * PRICE


def test_a_debt_is_rounded_up_to_a_token_and_a_deposit_down():
    assert [token_amount(3 * 10**3, 10**10 + 1, 6, borrowed) for borrowed in (True, False)] == [4, 3]
