"""Synthetix v3 perps: margins, the price impact of opening, rewards and the throttle of liquidations."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.synthetix import (
    LiquidationWindow,
    MarketTerms,
    available_margin,
    collateral_discount,
    fill_price,
    is_liquidatable,
    keeper_reward,
    requirements,
    window_capacity,
    withdrawable_margin,
)
from margincast.riskcore.protocols.synthetix_rules import load_synthetix_rules, read_synthetix_rules

FEW = settings(max_examples=60, deadline=None)
TERMS = MarketTerms(
    [30_000.0, 2_000.0], [100.0, 1_000.0], [2.0, 2.0], [0.01, 0.02], [0.5, 0.6], [0.05, 0.01], [1e3, 5e2]
)
sizes = st.floats(-50.0, 50.0)


@FEW
@given(st.floats(1.0, 1e5), sizes, st.floats(60.0, 1e6), sizes, sizes)
def test_a_round_trip_through_the_skew_costs_nothing_and_splitting_neither(price, skew, scale, first, second):
    together = fill_price(price, skew, scale, first + second) * (first + second)
    parts = fill_price(price, skew, scale, first) * first + fill_price(price, skew + first, scale, second) * second
    assert parts == pytest.approx(together, abs=1e-6 * price)
    back = fill_price(price, skew + first, scale, -first) * -first
    assert fill_price(price, skew, scale, first) * first + back == pytest.approx(0.0, abs=1e-6 * price)


@FEW
@given(sizes, sizes)
def test_requirements_grow_with_size_and_ignore_its_side(first, second):
    small, large = sorted((abs(first), abs(second)))
    low, high = (requirements(TERMS, [size, 0.0]) for size in (small, -large))
    for name in ("initial", "maintenance", "reward"):
        assert getattr(low, name)[0] <= getattr(high, name)[0] + 1e-9
    assert high.maintenance[0] <= high.initial[0]


@FEW
@given(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=5))
def test_accounts_are_rows_and_markets_add(book):
    found = requirements(TERMS, book)
    for row, (bitcoin, ether) in enumerate(book):
        parts = [requirements(TERMS, held) for held in ([bitcoin, 0.0], [0.0, ether])]
        for name in ("initial", "maintenance", "reward"):
            assert getattr(found, name)[row] == pytest.approx(sum(getattr(part, name)[0] for part in parts))


def test_margin_is_the_sum_in_words():
    needed = requirements(TERMS, [-2.0, 0.0])
    assert needed.initial[0] == pytest.approx(60_000 * (2 / 100 * 2 + 0.01) + 1_000)
    assert needed.maintenance[0] == pytest.approx(60_000 * 0.05 * 0.5 + 1_000)
    assert needed.reward[0] == pytest.approx(3_000)
    available = available_margin(TERMS, 10_000.0, [-2.0, 0.0], [29_000.0, 0.0], funding=[[-50.0, 0.0]])
    assert available[0] == pytest.approx(10_000 - 2_000 - 50)
    assert withdrawable_margin(available, needed)[0] == pytest.approx(7_950 - 4_000 - 3_000)
    assert withdrawable_margin(available, needed, reward=10.0)[0] == pytest.approx(7_950 - 4_000 - 10)
    at_the_edge = needed.maintenance + needed.reward
    assert is_liquidatable(at_the_edge, needed).tolist() == [False]
    assert is_liquidatable(at_the_edge - 0.01, needed).tolist() == [True]
    assert requirements(TERMS, [0.0, 0.0]).initial.tolist() == [0.0]


@FEW
@given(st.floats(0, 1e6), st.floats(0, 1e3), st.floats(0, 1e6))
def test_rewards_keep_to_their_bounds(reward, cost, available):
    found = keeper_reward(reward, cost, available, least=5.0, profit_ratio=0.3, most=500.0, scaling=0.01).item()
    assert found <= 500.0
    if available > 0:
        assert found <= available * 0.01 + 1e-9
    if found < min(500.0, available * 0.01) - 1e-9:
        assert found >= max(cost + 5.0, cost * 1.3, reward + cost) - 1e-9


def test_collateral_counts_less_the_more_there_is():
    discount = collateral_discount(np.linspace(0, 1e4, 50), 1_000.0, 0.5, 0.02, 0.4)
    assert (np.diff(discount) >= 0).all() and discount[0] == 0.02 and discount[-1] == 0.4


@FEW
@given(st.floats(0, 500), st.lists(st.tuples(st.floats(0, 200), st.floats(0, 30)), max_size=4), st.floats(0, 0.2))
def test_a_window_never_liquidates_more_than_its_capacity(size, done, deviation):
    amounts, ages = zip(*done, strict=True) if done else ((), ())
    window = LiquidationWindow(100.0, 10.0, amounts, ages, most_deviation=0.1)
    used = sum(amount for amount, age in done if age < 10.0)
    found = window.liquidatable(size, deviation)
    assert 0 <= found <= min(size, 100.0)
    if used < 100.0:
        assert found == min(size, 100.0 - used)
    else:
        assert found == (min(size, 100.0) if deviation < 0.1 and 0.0 not in ages else 0.0)
    assert abs(window.size_after(-size, deviation)) == pytest.approx(size - found)
    assert window.liquidatable(size, endorsed=True) == size


def test_what_is_as_old_as_the_window_is_out_of_it():
    left = [LiquidationWindow(100.0, 10.0, (70.0,), (age,)).left for age in (0.0, 9.999, 10.0, 11.0)]
    assert left == [30.0, 30.0, 100.0, 100.0]


def test_a_market_without_a_throttle_is_liquidated_whole():
    assert window_capacity(0.0, 0.0, 1e3, 10.0, 1.0) == 0.0
    assert LiquidationWindow(0.0, 10.0).size_after(70.0) == 0.0


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: fill_price(1.0, 0.0, 0.0, 1.0), "column skew_scale: must be positive"),
        (lambda: requirements(TERMS, [1.0]), "column sizes: must have a column a market"),
        (lambda: requirements(TERMS, [1.0, np.nan]), "row 0, column sizes: must be numbers"),
        (lambda: dataclasses.replace(TERMS, price=[1.0, -1.0]), "row 1, column price"),
        (lambda: dataclasses.replace(TERMS, price=[1.0, np.nan]), "row 1, column price"),
        (lambda: dataclasses.replace(TERMS, least_margin=[1.0]), "column least_margin: must have one value a market"),
        (lambda: dataclasses.replace(TERMS, maintenance_scalar=[0.5, 1.5]), "row 1, column maintenance_scalar"),
        (lambda: collateral_discount(1.0, 1.0, 1.0, 0.5, 0.4), "least not above most"),
        (lambda: window_capacity(0.01, 0.01, np.nan, 1.0, 1.0), "column skew_scale"),
        (lambda: LiquidationWindow(1.0, 1.0, (1.0,), ()), "column ages: must be as many as amounts"),
        (lambda: LiquidationWindow(1.0, 1.0, (-1.0,), (1.0,)), "column window"),
        (lambda: load_synthetix_rules(dt.date(2023, 1, 1)), "before the first synthetix_v3 rule-book"),
        (lambda: load_synthetix_rules().terms(["DOGE"], [1.0]), "unknown market; known are BTC, ETH"),
    ],
)
def test_what_makes_no_sense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_rules_give_the_terms():
    rules = load_synthetix_rules()
    terms = rules.terms(["ETH", "BTC"], [2_000.0, 30_000.0])
    assert terms.skew_scale.tolist() == [1_000.0, 100.0] and terms.least_margin.tolist() == [500.0, 1_000.0]
    assert rules.markets["ETH"].window((100.0,), (0.0,)).liquidatable(50.0) == 0.0


GOOD = Path(__file__).resolve().parents[1].joinpath("riskcore/venues/synthetix_v3_2024-01-01.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("skew_scale = 100.0\n", "", "column markets.table.BTC skew_scale: must be given as a number"),
        ("skew_scale = 100.0", "skew_scale = 0.0", "column markets.table.BTC skew_scale: must be positive"),
        ("skew_scale = 100.0", 'skew_scale = "100"', "column markets.table.BTC skew_scale: must be given as a number"),
        ("maintenance_scalar = 0.5", "maintenance_scalar = 1.5", "column markets.table.BTC maintenance_scalar"),
        ("maker_fee = 0.007", "maker_fee = -0.007", "column markets.table.BTC maker_fee: must not be negative"),
        ("maker_fee", "fee", "column markets.table.BTC fee: unknown key"),
        ("[markets]\ndate = 2024-01-01", "[markets]", "column markets date: must be given"),
        ("[markets.table.BTC]", "[markets.others.BTC]", "column markets others: unknown key"),
    ],
)
def test_malformed_rule_books_are_refused(tmp_path, old, new, told):
    assert old in GOOD
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=told) as refusal:
        read_synthetix_rules(path)
    assert "\n" not in str(refusal.value) and str(path) in str(refusal.value)
