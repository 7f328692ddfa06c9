"""Lending pools: health factor, what a liquidation takes, liquidation prices, interest, rule-books."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.health_factor import (
    YEAR,
    CloseFactor,
    InterestCurve,
    LendingTerms,
    debt_growth,
    deposit_growth,
    lending_state,
    liquidate,
    liquidation_price,
)
from margincast.riskcore.protocols.health_factor_rules import load_aave_rules, read_aave_rules
from margincast.riskcore.protocols.mango import TokenTable, health

FEW = settings(max_examples=60, deadline=None)
TERMS = LendingTerms(
    [2_000.0, 30_000.0, 1.0], [0.80, 0.70, 0.74], [0.825, 0.75, 0.76], [0.05, 0.0625, 0.045], [0.1, 0.1, 0.2]
)
amounts = st.lists(st.floats(0.0, 1_000.0), min_size=3, max_size=3)
HALF = CloseFactor(0.5, 0.95, of_account=False, small=0.0)
SINCE_3_3 = CloseFactor(0.5, 0.95, of_account=True, small=2_000.0)


@FEW
@given(amounts, amounts, st.integers(0, 2), st.floats(0.0, 100.0))
def test_deposits_help_and_debts_hurt(deposits, debts, asset, more):
    grown = [amount + more * (place == asset) for place, amount in enumerate(deposits)]
    owing = [amount + more * (place == asset) for place, amount in enumerate(debts)]
    bare, richer, poorer = (
        lending_state(held, owed, TERMS).headroom[0]
        for held, owed in ((deposits, debts), (grown, debts), (deposits, owing))
    )
    assert poorer <= bare + 1e-6 and bare <= richer + 1e-6


@FEW
@given(amounts, amounts)
def test_health_factor_and_headroom_say_the_same(deposits, debts):
    state = lending_state(deposits, debts, TERMS)
    assert (state.headroom[0] < 0) == state.is_liquidatable[0]
    if state.debt[0] > 1e-9 and abs(state.headroom[0]) > 1e-6:
        assert (state.health_factor[0] < 1) == state.is_liquidatable[0]
    assert (state.borrowing_power <= state.threshold_value + 1e-9).all()


@FEW
@given(amounts, amounts, st.integers(0, 2))
def test_at_the_liquidation_price_the_health_factor_is_one(deposits, debts, asset):
    price = liquidation_price(deposits, debts, TERMS, asset)[0]
    if np.isnan(price) or not 1e-9 < price < 1e12:
        return
    moved = dataclasses.replace(TERMS, price=np.where(np.arange(3) == asset, price, TERMS.price))
    state = lending_state(deposits, debts, moved)
    assert state.headroom[0] == pytest.approx(0.0, abs=1e-6 * (1 + state.debt[0]))


def test_liquidation_prices_in_words():
    long_ether = liquidation_price([10.0, 0.0, 0.0], [0.0, 0.0, 15_000.0], TERMS, 0)
    assert long_ether[0] == pytest.approx(15_000 / (10 * 0.825))
    short_ether = liquidation_price([0.0, 0.0, 30_000.0], [10.0, 0.0, 0.0], TERMS, 0)
    assert short_ether[0] == pytest.approx(30_000 * 0.76 / 10)
    assert np.isnan(liquidation_price([10.0, 0.0, 0.0], [0.0, 0.0, 0.0], TERMS, 0)[0])
    assert np.isnan(liquidation_price([10.0, 0.0, 0.0], [0.0, 0.0, 9.0], TERMS, 1)[0])


def test_health_is_mangos_with_equal_weights():
    tokens = TokenTable(TERMS.price, TERMS.liquidation_threshold, TERMS.liquidation_threshold, [1.0] * 3, [1.0] * 3)
    deposits, debts = [3.0, 0.5, 0.0], [0.0, 0.0, 17_000.0]
    state = lending_state(deposits, debts, TERMS)
    assert health(np.subtract(deposits, debts), tokens)[0] == pytest.approx(state.headroom[0])


def test_a_deposit_that_is_not_enabled_does_not_count():
    state = lending_state([10.0, 1.0, 0.0], [0.0, 0.0, 5.0], TERMS, enabled=[[True, False, True]])
    assert state.collateral.tolist() == [20_000.0] and state.available_borrow.tolist() == [15_995.0]


def states(threshold, debts):
    found = lending_state(np.zeros((len(debts), 3)), np.column_stack([np.zeros((len(debts), 2)), debts]), TERMS)
    return dataclasses.replace(found, threshold_value=np.full(len(debts), threshold))


def test_close_factors():
    """Health factors of 1.05, 1, 0.98, 0.95 and 0.8."""
    owed = np.array([9_500.0, 10_000.0, 10_204.0, 10_000.0 / 0.95, 12_500.0])
    state = states(10_000.0, owed)
    assert HALF.repayable(state, owed, np.inf).tolist() == [0.0, 0.0, 5_102.0, owed[3], 12_500.0]
    part = np.full(5, 4_000.0)
    assert HALF.repayable(state, part, np.inf).tolist() == [0.0, 0.0, 2_000.0, 4_000.0, 4_000.0]
    assert SINCE_3_3.repayable(state, part, np.inf).tolist() == [0.0, 0.0, 4_000.0, 4_000.0, 4_000.0]
    assert SINCE_3_3.repayable(state, owed, 1_999.0)[2] == owed[2]
    assert SINCE_3_3.repayable(state, np.full(5, 1_999.0), np.inf)[2] == 1_999.0


@FEW
@given(st.floats(0.0, 1e6), st.floats(0.0, 1e3))
def test_a_liquidation_takes_the_debt_and_the_bonus(repay, deposit):
    done = liquidate(repay, deposit, TERMS, 0, 2)
    assert 0 <= done.taken <= deposit and 0 <= done.repaid <= repay * (1 + 1e-12)
    assert done.taken * 2_000.0 == pytest.approx(done.repaid * 1.05)
    assert done.protocol * 2_000.0 == pytest.approx(done.repaid * 0.05 * 0.1)
    assert done.taken == deposit or done.repaid == repay


@FEW
@given(st.floats(0.30, 0.99))
def test_a_liquidation_helps_where_threshold_and_bonus_leave_room(cover):
    deposits, debts = np.array([10.0, 0.0, 0.0]), np.array([0.0, 0.0, 17_000.0])
    before = lending_state(deposits, debts, TERMS)
    assert before.is_liquidatable[0]
    done = liquidate(cover * 17_000.0, 10.0, TERMS, 0, 2)
    after = lending_state(deposits - [done.taken, 0, 0], debts - [0, 0, done.repaid], TERMS)
    assert after.headroom[0] > before.headroom[0]


def test_an_efficiency_mode_changes_its_members_only():
    rules = load_aave_rules()
    names, price = ["WETH", "USDC", "wstETH"], [2_000.0, 1.0, 2_400.0]
    plain, mode = rules.terms(names, price), rules.terms(names, price, "ETH_correlated")
    assert mode.liquidation_threshold.tolist() == [0.95, plain.liquidation_threshold[1], 0.95]
    assert mode.liquidation_bonus.tolist() == [0.01, plain.liquidation_bonus[1], 0.01]
    with pytest.raises(InputError, match="unknown mode; known are ETH_correlated"):
        rules.terms(names, price, "gold")


def test_interest():
    curve = InterestCurve(0.01, 0.04, 0.6, 0.9)
    used = np.linspace(0.0, 1.0, 101)
    rates = curve.borrow_rate(used)
    assert (np.diff(rates) > 0).all() and rates[0] == 0.01 and rates[-1] == pytest.approx(0.65)
    assert curve.borrow_rate(0.9) == pytest.approx(0.05)
    assert (curve.supply_rate(used, 0.1) <= rates * used * 0.9 + 1e-15).all()
    assert debt_growth(0.05, YEAR) == pytest.approx((1 + 0.05 / YEAR) ** YEAR, rel=1e-6)
    assert debt_growth(0.05, YEAR) > deposit_growth(0.05, YEAR) == 1.05
    assert debt_growth(0.0, YEAR) == deposit_growth(0.3, 0.0) == 1.0


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: lending_state([1.0], [1.0], TERMS), "column deposits: must have a column an asset"),
        (lambda: lending_state([1.0, np.nan, 0.0], [0.0] * 3, TERMS), "row 0, column deposits: must be numbers"),
        (lambda: lending_state([0.0] * 3, [1.0, -1.0, 0.0], TERMS), "row 0, column debts: must be numbers"),
        (lambda: dataclasses.replace(TERMS, price=[1.0, 0.0, 1.0]), "row 1, column price: must be positive"),
        (lambda: dataclasses.replace(TERMS, loan_to_value=[0.9] * 3), "row 0, column loan_to_value: must not exceed"),
        (lambda: dataclasses.replace(TERMS, protocol_fee=[0.1, 2.0, 0.1]), "row 1, column protocol_fee"),
        (lambda: dataclasses.replace(TERMS, protocol_fee=[0.1]), "column protocol_fee: must have one value an asset"),
        (lambda: TERMS.with_category(0.9, 0.95, 0.01, [True]), "column members: must have one value an asset"),
        (lambda: liquidate(-1.0, 1.0, TERMS, 0, 2), "column repay: must be numbers and not negative"),
        (lambda: liquidate(np.nan, 1.0, TERMS, 0, 2), "column repay: must be numbers and not negative"),
        (lambda: CloseFactor(1.5, 0.95, False, 0.0), "column standard"),
        (lambda: CloseFactor(0.5, np.nan, False, 0.0), "column full_at"),
        (lambda: InterestCurve(0.0, 0.1, 0.2, 1.0), "column kink"),
        (lambda: InterestCurve(0.0, -0.1, 0.2, 0.8), "column slope"),
        (lambda: InterestCurve(0.0, 0.1, 0.2, 0.8).borrow_rate(1.1), "column used"),
        (lambda: load_aave_rules().terms(["DOGE"], [1.0]), "unknown asset; known are WETH"),
    ],
)
def test_what_makes_no_sense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_rules_are_those_of_the_day():
    first, later = load_aave_rules(dt.date(2025, 2, 24)), load_aave_rules(dt.date(2025, 2, 25))
    assert (first.close_factor, later.close_factor) == (HALF, SINCE_3_3)
    assert "memory" in later.sources["assets"]
    with pytest.raises(InputError, match="before the first aave_v3 rule-book"):
        load_aave_rules(dt.date(2022, 1, 1))


GOOD = Path(__file__).resolve().parents[1].joinpath("riskcore/venues/aave_v3_2023-01-27.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("loan_to_value = 0.8\n", "", "column assets.table.WETH loan_to_value: must be given as a number"),
        ("loan_to_value = 0.8\n", "loan_to_value = 0.9\n", "assets.table.WETH loan_to_value: must not exceed"),
        ("liquidation_bonus = 0.05\n", "liquidation_bonus = 0.5\n", "assets.table.WETH liquidation_bonus: must not be"),
        ("protocol_fee = 0.10", "protocol_fee = 1.10", "assets.table.WETH protocol_fee: must be in"),
        ("protocol_fee", "fee", "column assets.table.WETH fee: unknown key"),
        ('members = ["WETH", "wstETH"]', "members = []", "ETH_correlated members: must be names of assets"),
        ('members = ["WETH", "wstETH"]', 'members = ["WETH", "rETH"]', "unknown members; known are WETH"),
        ("loan_to_value = 0.9\n", "loan_to_value = 0.95\n", "modes.table.ETH_correlated loan_to_value: must be in"),
        ("kink = 0.90", "kink = 1.0", "column interest.table.USDC kink: must be in"),
        ("[interest.table.USDC]", "[interest.table.GOLD]", "unknown interest; known are WETH"),
        ("standard = 0.5\n", "", "column close_factor standard: must be given as a number"),
        ("of_account = false", "of_account = 0", "column close_factor of_account: must be given as a bool"),
        ("[close_factor]", "[close]", "column close: unknown key"),
    ],
)
def test_malformed_rule_books_are_refused(tmp_path, old, new, told):
    assert old in GOOD
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=told) as refusal:
        read_aave_rules(path)
    assert "\n" not in str(refusal.value) and str(path) in str(refusal.value)
