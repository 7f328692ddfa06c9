"""Drift v2: what a liquidation closes and takes, its fees, who bears a bankruptcy, and the interest on balances."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.drift import BASE, PRICE, WEIGHT
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

FEW = settings(max_examples=60, deadline=None)

factors = st.integers(0, 10**6)
prices = st.integers(1, 10**12)


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


def test_a_debt_is_rounded_up_to_a_token_and_a_deposit_down():
    assert [token_amount(3 * 10**3, 10**10 + 1, 6, borrowed) for borrowed in (True, False)] == [4, 3]


@pytest.mark.parametrize(
    ("call", "told"),
    [
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
