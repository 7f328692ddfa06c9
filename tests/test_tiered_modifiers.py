"""Modifiers beside tier schedules: rates by leverage, size, open interest and skew, fees to close, weights."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.basis import annual_basis, carried_forward
from margincast.riskcore.collateral.weights import (
    pool_scaled_asset,
    pool_scaled_liability,
    size_discounted,
    size_premium,
)
from margincast.riskcore.dated_files import rulebook_in_force
from margincast.riskcore.errors import InputError
from margincast.riskcore.fee_to_close import (
    account_bankruptcy_price,
    fee_to_close,
    inverse_cross_liquidation_price,
    position_bankruptcy_price,
)
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.leg_margin import closing_reserve, equity_with_weighted_profit, restate
from margincast.riskcore.margin import Stage, evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.portfolio.deribit_charges import (
    offset_contingency,
    short_option_contingency,
    volatility_change,
)
from margincast.riskcore.portfolio.okx_charges import (
    marginal_tier_charge,
    unit_maintenance,
    unit_margin,
)
from margincast.riskcore.portfolio.scenario_grid import UP, VolatilityShock
from margincast.riskcore.rate_modifiers import (
    leverage_rate,
    leveraged_rate,
    open_interest_rate,
    skew_rate,
    weighted_profit,
)
from margincast.riskcore.rulebook import NO_HAIRCUT, RateSchedule, RuleBook
from margincast.riskcore.size_rates import SizeRate, evaluate_by_size, load_size_rates, read_size_rates
from margincast.riskcore.venue_replies import available_equity, currency_equity, profit_ratio

NOW = np.datetime64("2024-01-01", "ns")
TABLE = InstrumentTable(("L", "I"), [LINEAR, INVERSE], [2.0, 100.0], [0, 1], ("USD", "BTC"))
RULES = RuleBook("x", dt.date(2024, 1, 1), {"L": RateSchedule.marginal([0, 500], [0.01, 0.02], [50, 25]),
                                            "I": RateSchedule.cliff([0], [0.01], [50])},
                 {"BTC": NO_HAIRCUT})  # fmt: skip
MARKET = MarketState(NOW, [100.0, 50_000.0], [1.0, 50_000.0])


def two_pools(leverage=(10.0, math.nan, 20.0)):
    return AccountBook(TABLE, ["a", "b"], ["m", "m"], [CROSS, CROSS], [0, 1, 2], [0, 1], [3e3, 0.1], [0, 2, 3],
                       [0, 1, 0], [3.0, -40.0, -1.0], [90.0, 40_000.0, 95.0], leverage)  # fmt: skip


# --- fee to close -------------------------------------------------------------------------------------------------


@given(st.floats(1, 1e5), st.sampled_from([1.0, -1.0]), st.floats(1.5, 125), st.sampled_from([LINEAR, INVERSE]))
def test_at_the_bankruptcy_price_the_initial_margin_is_gone(entry, side, leverage, kind):
    price = float(position_bankruptcy_price(entry, side, leverage, kind))
    if kind == LINEAR:
        profit, margin = side * (price - entry), entry / leverage
    else:
        profit, margin = side * (1 / entry - 1 / price), 1 / entry / leverage
    assert profit + margin == pytest.approx(0, abs=1e-9 * margin * leverage)


def test_fee_to_close_of_the_recorded_bybit_position():
    """nautilus_trader ws_account_position.json: both margins hold it; 3e-4 for a mark that is not the venue's own."""
    fee, value = float(fee_to_close(-0.01, 3641.33, 30.0, 0.00055)), 0.01 * 3641.33
    assert value / 30 + fee == pytest.approx(1.23480936, rel=6e-4)
    assert value * 0.005 + fee == pytest.approx(0.20281586, rel=6e-4)
    assert fee_to_close(0.01, 3641.33, 30.0, 0.00055) < fee
    assert fee_to_close([100.0, -100.0], 50_000.0, 10.0, 0.001, INVERSE).round(12).tolist() == [2.2e-06, 1.8e-06]


def test_bybit_inverse_cross_example():
    """help.bybit.com 360039261334: 10,000 long at 8,000 with 0.5 BTC; it prints the price on its tick of 0.5."""
    assert account_bankruptcy_price(10_000, 8_000, 0.5, 0.00075) == pytest.approx(5718.57, abs=0.005)
    price = inverse_cross_liquidation_price(10_000, 8_000, 0.5, 0.005, 0.00075)
    assert math.ceil(price / 0.5) * 0.5 == 5739.5


@given(st.sampled_from([1.0, -1.0]), st.floats(0.01, 3.0), st.floats(0.001, 0.05), st.floats(0, 0.002))
def test_inverse_cross_price_uses_up_the_balance(side, balance, rate, fee):
    size, entry = side * 10_000.0, 8_000.0
    price = inverse_cross_liquidation_price(size, entry, balance, rate, fee)
    bankrupt = account_bankruptcy_price(size, entry, balance, fee)
    if math.isnan(price):
        return
    left = balance + size * (1 / entry - 1 / price)
    assert left == pytest.approx(abs(size) / entry * rate + abs(size) / bankrupt * fee, rel=1e-9, abs=1e-12)
    own = balance + size * (1 / entry - 1 / bankrupt)
    assert own == pytest.approx(abs(size) / bankrupt * fee, rel=1e-9, abs=1e-12)


def test_an_inverse_short_with_much_coin_has_no_such_price():
    assert math.isnan(account_bankruptcy_price(-10_000.0, 8_000.0, 1.3))
    assert math.isnan(inverse_cross_liquidation_price(-10_000.0, 8_000.0, 1.3, 0.005, 0.00075))


def test_closing_reserve_uses_the_tier_leverage_where_none_is_chosen():
    book = two_pools()
    fees = closing_reserve(book, MARKET, RULES, 0.001)
    by_hand = [6 * 100 * 0.9 * 0.001, 4_000 / (50_000 * 50 / 49) * 0.001 * 50_000, 2 * 100 * 1.05 * 0.001]
    np.testing.assert_allclose(fees, by_hand, rtol=1e-12)


# --- restated states ----------------------------------------------------------------------------------------------


def test_restating_nothing_changes_nothing():
    book = two_pools()
    state = evaluate(book, MARKET, RULES)
    same = restate(state, book, RULES, leg_maintenance=state.leg_maintenance, leg_initial=state.leg_initial)
    np.testing.assert_allclose(same.maintenance, state.maintenance, rtol=1e-14)
    np.testing.assert_array_equal(same.initial, state.initial)
    np.testing.assert_array_equal(same.stage, state.stage)


def test_restated_margin_decides_totals_and_stage():
    book = two_pools()
    state = evaluate(book, MARKET, RULES)
    more = restate(
        state, book, RULES, leg_maintenance=state.leg_maintenance + [1.0, 2.0, 1e6], leg_initial=[1.0, 2.0, 3.0]
    )
    np.testing.assert_allclose(more.maintenance - state.maintenance, [3.0, 1e6])
    assert more.initial.tolist() == [3.0, 3.0]
    assert more.stage.tolist() == [Stage.HEALTHY, Stage.LIQUIDATION]
    assert restate(state, book, RULES, equity=[-1.0, 5_000.0]).stage.tolist() == [Stage.BANKRUPT, Stage.HEALTHY]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leg_maintenance": [1.0]}, r"column leg_maintenance: has shape \(1,\), expected \(3,\)"),
        ({"leg_maintenance": [1.0, np.nan, 1.0]}, "row 1, column leg_maintenance: must be a number"),
        ({"leg_initial": [1.0, 1.0, -1.0]}, "row 2, column leg_initial: must be a number and, margin, not negative"),
        ({"equity": [1.0, np.nan]}, "row 1, column equity: must be a number"),
    ],
)
def test_bad_columns_are_refused(change, message):
    book = two_pools()
    with pytest.raises(InputError, match=message):
        restate(evaluate(book, MARKET, RULES), book, RULES, **change)


def test_weighted_profit_by_sign():
    book = two_pools()
    state = evaluate(book, MARKET, RULES)
    profits = [6 * 10.0, -4_000 * (1 / 40_000 - 1 / 50_000) * 50_000, -2 * 5.0]
    np.testing.assert_allclose(state.leg_profit, profits)
    np.testing.assert_allclose(equity_with_weighted_profit(state, book, 1.0), state.equity)
    np.testing.assert_allclose(equity_with_weighted_profit(state, book, 0.0), state.equity - [60.0, 0.0])
    np.testing.assert_allclose(equity_with_weighted_profit(state, book, 0.5, 2.0), state.equity + [-30 - 1000, -10.0])
    assert weighted_profit([3.0, -3.0, 0.0], 0.5, 2.0).tolist() == [1.5, -6.0, 0.0]


# --- rates --------------------------------------------------------------------------------------------------------


def test_rates_by_leverage():
    """nautilus tests: one million at 3% is 30,000, with leverage 50 it is 600."""
    assert 1_000_000 * leveraged_rate(0.03, 50) == pytest.approx(600.0)
    assert leverage_rate([0.02, 0.02], [10.0, math.nan]).tolist() == [0.1, 0.02]


@given(st.floats(0.01, 0.5), st.floats(0, 1e9), st.floats(0, 1e9))
def test_open_interest_rate_rises_from_base_to_one(base, one, other):
    low, high = sorted((one, other))
    first, second = open_interest_rate(base, [low, high], 2e8, 8e8)
    assert base <= first <= second <= 1
    assert open_interest_rate(base, 5e8, 2e8, 8e8) == pytest.approx((1 + base) / 2)
    assert open_interest_rate(base, high, 0.0, 0.0) == base


def test_skew_rate_of_synthetix():
    assert skew_rate([100.0, -100.0], 1e6, 200.0, 0.02).tolist() == pytest.approx([0.04, 0.04])


@given(
    st.floats(0.001, 0.5),
    st.floats(0, 1e-4),
    st.floats(0, 0.01),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1e5),
)
def test_size_rates_never_fall_and_stay_within(base, slope, factor, one, other, shift):
    rate = SizeRate(base, slope, factor, shift)
    low, high = rate.rate(sorted((one, other)))
    assert base <= low <= high <= 1
    assert rate.rate(-one) == rate.rate(one)
    assert rate.margin(one, 2.0) == pytest.approx(float(rate.rate(one)) * one * 2.0)


@pytest.mark.parametrize(("size", "initial"), [(0.0, 0.0), (25.0, 0.53125), (350.0, 13.125)])
def test_deribit_examples(size, initial):
    """test.deribit.com/pages/docs/futures: 0, 25 and 350 BTC ask 2%, 2.125% and 3.75%."""
    rules = load_size_rates("deribit_futures")
    table = InstrumentTable(("BTC-PERPETUAL",), [INVERSE], [10.0], [0], ("BTC",))
    held = [0] if size else []
    quantity = [-size * 8_000.0 / 10.0] if size else []
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 1], [0], [20.0], [0, len(held)], held, quantity,
                       [8_000.0] * len(held), [math.nan] * len(held))  # fmt: skip
    state = evaluate_by_size(book, MarketState(NOW, [8_000.0], [1.0]), rules)
    assert state.initial[0] == pytest.approx(initial, abs=1e-12)
    assert state.maintenance[0] == pytest.approx(size * (0.015 + size / 100 * 0.005), abs=1e-12)


def test_paradex_maintenance_is_half_the_initial_margin():
    rules = load_size_rates("paradex_perpetuals")
    sizes = np.geomspace(1, 1e8, 50)
    for name, rate in rules.initial.items():
        np.testing.assert_allclose(rules.maintenance[name].rate(sizes), rate.rate(sizes) / 2, rtol=1e-12)
    assert rules.initial["BODEN-USD-PERP"].rate(1e6) == pytest.approx(0.00071 * math.sqrt(820_000))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("base = 0.02, ", "", "rates.contracts.BTC-PERPETUAL.initial base: must be given as a number"),
        ("base = 0.02", "base = 1.2", "rates.contracts.BTC-PERPETUAL.initial base: must be above 0"),
        ("base = 0.02", "base = nan", "rates.contracts.BTC-PERPETUAL.initial base: must be above 0"),
        ("base = 0.02", "base = 0.01", "column BTC-PERPETUAL: maintenance is above the initial base rate"),
        (
            "base = 0.02, slope = 0.00005",
            "base = 0.02, slope = -1",
            "BTC-PERPETUAL.initial slope: must not be negative",
        ),
        ("base = 0.02, slope", "base = 0.02, incline", "BTC-PERPETUAL.initial incline: unknown key"),
        ("maintenance = {", "maintenence = {", "rates.contracts.BTC-PERPETUAL maintenence: unknown key"),
        ('model = "size_rates"', 'model = "tiered"', "column model: the rules asked for are of the model size_rates"),
        ("[rates.contracts.BTC-PERPETUAL]", "[rates.contract.BTC-PERPETUAL]", "rates contract: unknown key"),
        ("[rates]", "[rate]", "column rate: unknown key"),
    ],
)
def test_bad_size_rate_files_are_refused(tmp_path, old, new, message):
    text = rulebook_in_force("deribit_futures").path.read_text()
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_size_rates(path)
    assert str(caught.value).startswith(str(path)) and message in str(caught.value) and "\n" not in str(caught.value)


# --- collateral ---------------------------------------------------------------------------------------------------


@given(st.floats(0.1, 1), st.floats(0, 0.1), st.floats(0, 1e8), st.floats(0, 1e8))
def test_weights_worsen_with_size_and_pool(weight, factor, one, other):
    small, large = sorted((one, other))
    assert size_discounted(weight, large, factor) <= size_discounted(weight, small, factor) <= weight
    assert size_premium(weight, large, factor) >= size_premium(weight, small, factor) >= weight
    assert pool_scaled_asset(weight, large, 1e6) <= pool_scaled_asset(weight, small, 1e6) <= weight
    assert pool_scaled_liability(weight, large, 1e6) >= pool_scaled_liability(weight, small, 1e6) >= weight


def test_size_weights_by_hand():
    """Drift's form: 1.1 / (1 + imf * sqrt(size)), and 0.8 * w + imf * sqrt(size)."""
    assert size_discounted(1.0, 10_000.0, 0.01) == pytest.approx(0.55)
    assert size_premium(1.2, 10_000.0, 0.01) == pytest.approx(1.96)
    assert pool_scaled_asset(0.8, 2e6, math.inf) == 0.8
    assert pool_scaled_asset(0.8, 0.0, 5.0) == 0.8


# --- charges of risk units ----------------------------------------------------------------------------------------

TIERS = ([10e3, 70e3, 170e3, 300e3, 470e3, 700e3, 1e18], [1, 2, 4, 6, 8, 10, 12])


@pytest.mark.parametrize(
    ("raw", "charge"),
    [(0, 0), (10e3, 10e3), (30e3, 50e3), (70e3, 130e3), (170e3, 530e3), (700e3, 4_970e3), (800e3, 6_170e3)],
)
def test_marginal_charge_tier_by_tier(raw, charge):
    assert marginal_tier_charge(raw, *TIERS) == pytest.approx(charge)


@given(st.floats(0, 1e7), st.floats(0, 1e6))
def test_marginal_charge_rises_at_the_tier_rates(raw, more):
    low, high = marginal_tier_charge([raw, raw + more], *TIERS)
    assert more * (1 - 1e-9) - 1e-6 <= high - low <= 12 * more * (1 + 1e-9) + 1e-6


def test_the_last_tier_is_open():
    assert marginal_tier_charge(50.0, [10.0, 20.0], [1, 3]) == 10 + 40 * 3


@pytest.mark.parametrize(
    ("raw", "caps", "times", "message"),
    [
        (1.0, [10, 10], [1, 2], "row 1, column caps: caps of tiers must rise from 0"),
        (1.0, [10, 20], [1], "column multipliers: has 1 multipliers for 2 caps"),
        (1.0, [10, np.nan], [1, 2], "row 1, column caps"),
        (1.0, [10, 20], [1, -2], "row 1, column multipliers: must be positive"),
        (np.nan, [10], [1], "column raw: must not be negative"),
        ([1.0, -1.0], [10], [1], "column raw: must not be negative"),
    ],
)
def test_bad_charges_are_refused(raw, caps, times, message):
    with pytest.raises(InputError, match=message):
        marginal_tier_charge(raw, caps, times)


def test_risk_units_of_okx():
    units = unit_margin([30.0, 5.0, 1.0], [1.0, 9.0, 1.0], 2.0, 3.0, 4.0, [10.0, 1.0, 20.0])
    assert units.tolist() == [39.0, 18.0, 29.0]
    required = unit_maintenance(units, [50.0, 1.0, 29.0])
    assert required.tolist() == [50.0, 18.0, 29.0]


def test_deribit_contingencies():
    assert short_option_contingency([10, -5], [-20, 5]) == pytest.approx(0.1)
    assert offset_contingency([100, 30], [-100, -50], 0.01).tolist() == [1.0, 0.3]
    shock = VolatilityShock(0.38, 0.0, 0.3, 0.13, floor_days=1.0)
    days = np.array([0.5, 3.0, 30.0, 180.0])
    np.testing.assert_allclose(1 + volatility_change(days, 0.38, 0.3, 0.13, 1.0), shock.factor(days, UP), rtol=1e-14)


@given(st.floats(1, 1e5), st.floats(-0.5, 0.5), st.floats(0.1, 400))
def test_basis_and_forward_are_inverse(index, basis, days):
    assert annual_basis(carried_forward(index, basis, days), index, days) == pytest.approx(basis, abs=1e-9)
    assert math.isnan(annual_basis(index, index, 0.0))


def test_currency_fields_of_okx():
    """Recorded account: cash, unrealised profit, strategy equity and frozen funds of one currency."""
    equity = currency_equity(4750.426970691436, -7.4758, 150.0)
    assert equity == pytest.approx(4892.951170691435)
    assert available_equity(equity, 158.57998) == pytest.approx(4734.371190691435)
    assert available_equity(1.0, 2.0) == 0.0
    assert profit_ratio(-9.932766034e-07, 0.00038966453781) == pytest.approx(-0.0025490556801, rel=1e-9)
