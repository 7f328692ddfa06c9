"""Value at risk and expected shortfall against published examples, closed forms and plain twins; margin of pools."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import norm

from margincast.riskcore.errors import InputError
from margincast.riskcore.options.black76 import value
from margincast.riskcore.portfolio import value_at_risk_margin
from margincast.riskcore.portfolio.contracts import PositionBook
from margincast.riskcore.portfolio.scenario_plain import plain_scenario_profit
from margincast.riskcore.portfolio.value_at_risk import (
    expected_shortfall,
    shortfall_by_leg,
    tail_weights,
    value_at_risk,
)
from margincast.riskcore.portfolio.value_at_risk_margin import TailRule, pool_profits, tail_margin
from margincast.riskcore.portfolio.value_at_risk_scenarios import (
    ScenarioSet,
    filtered_returns,
    forecast_volatility,
    linear_scenarios,
    overlapping_returns,
    root_time_returns,
)

CONFIDENCE = st.sampled_from([0.5, 0.6, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999])
PROFITS = st.lists(st.integers(-1000, 1000), min_size=1, max_size=60).map(lambda v: np.array(v, float))


def weights_of(rng, n):
    weights = rng.integers(1, 9, n).astype(float)
    return weights / weights.sum()


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (0.05, 100),
        (0.1, 100),
        (0.2, 60),
        (0.3, 140 / 3),
        (0.4, 40),
        (0.5, 32),
        (0.6, 80 / 3),
        (0.8, 20),
        (0.9, 110 / 9),
    ],
)
def test_expected_shortfall_of_the_wikipedia_example(tail, expected):
    """Expected shortfall, example 2 of the article: paid 100, worth 0, 80, 100 or 150."""
    profit, probability = np.array([-100.0, -20.0, 0.0, 50.0]), np.array([0.1, 0.3, 0.4, 0.2])
    assert expected_shortfall(profit, 1 - tail, probability) == pytest.approx(expected, rel=1e-12)


def test_expected_shortfall_of_the_prmia_question():
    """PRMIA exam 8008: 250 observations, 98%: the mean of the five largest losses 20, 19, 19, 17 and 16 is 18.2."""
    profit = np.concatenate((np.linspace(-15.9, 30, 245), [-17.0, -20.0, -16.0, -19.0, -19.0]))
    assert expected_shortfall(profit, 0.98) == pytest.approx(18.2, rel=1e-12)
    assert value_at_risk(profit, 0.98) == 15.9


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_closed_forms_of_the_normal(level):
    profit = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    assert value_at_risk(profit, level) == pytest.approx(norm.ppf(level), abs=2e-3)
    assert expected_shortfall(profit, level) == pytest.approx(norm.pdf(norm.ppf(level)) / (1 - level), abs=1e-3)


@given(PROFITS, CONFIDENCE, st.integers(0, 99))
def test_value_at_risk_is_numpys_inverted_distribution(profit, level, seed):
    weights = weights_of(np.random.default_rng(seed), len(profit))
    for probability in (None, weights):
        found = value_at_risk(profit, level, probability)
        # Weights meet the level to rounding only: numpy just below and just above it bounds ours.
        low, high = (np.quantile(-profit, level + d, weights=probability, method="inverted_cdf") for d in (-1e-9, 1e-9))
        assert low <= found <= high


@given(PROFITS, CONFIDENCE, st.integers(0, 99))
def test_expected_shortfall_is_the_least_of_rockafellar_and_uryasev(profit, level, seed):
    """ES = min over c of c + E[(loss - c)+] / (1 - level) (2000), reached at one of the losses."""
    weights = weights_of(np.random.default_rng(seed), len(profit))
    for probability in (np.full(len(profit), 1 / len(profit)), weights):
        least = min(c + np.dot(probability, np.maximum(-profit - c, 0)) / (1 - level) for c in -profit)
        assert expected_shortfall(profit, level, probability) == pytest.approx(least, rel=1e-9, abs=1e-9)


@given(PROFITS, CONFIDENCE)
def test_expected_shortfall_is_the_mean_of_the_tail_with_a_fraction(profit, level):
    loss, left, total = sorted(-profit, reverse=True), (1 - level) * len(profit), 0.0
    for one in loss:
        part = min(left, 1.0)
        total, left = total + part * one, left - part
    expected = total / ((1 - level) * len(profit))
    assert expected_shortfall(profit, level) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(PROFITS, CONFIDENCE, st.floats(0.01, 100), st.floats(-1e4, 1e4), st.randoms())
def test_axioms(profit, level, factor, cash, random):
    shortfall, at_risk = expected_shortfall(profit, level), value_at_risk(profit, level)
    assert shortfall >= at_risk - 1e-9
    assert tail_weights(profit, level).sum() == pytest.approx(1, abs=1e-12)
    for measure, found in ((expected_shortfall, shortfall), (value_at_risk, at_risk)):
        assert measure(factor * profit, level) == pytest.approx(factor * found, rel=1e-9, abs=1e-9)
        assert measure(profit + cash, level) == pytest.approx(found - cash, rel=1e-9, abs=1e-7)
        shuffled = list(profit)
        random.shuffle(shuffled)
        assert measure(np.array(shuffled), level) == pytest.approx(found, rel=1e-12, abs=1e-9)
        assert measure(profit - 1, level) > found
        assert measure(profit, 0.5) <= measure(profit, 0.999) + 1e-9


@given(st.integers(0, 10_000), CONFIDENCE)
def test_shortfall_is_subadditive_and_legs_add_to_it(seed, level):
    rng = np.random.default_rng(seed)
    # Whole numbers add exactly in any order, so scenarios that tie do so whatever the order of legs.
    legs = np.round(rng.standard_t(3, (int(rng.integers(2, 80)), int(rng.integers(1, 6)))) * 10 ** rng.integers(0, 3))
    probability = weights_of(rng, len(legs))
    whole = expected_shortfall(legs.sum(axis=1), level, probability)
    alone = [expected_shortfall(leg, level, probability) for leg in legs.T]
    contributions = shortfall_by_leg(legs, level, probability)
    assert whole <= sum(alone) + 1e-9
    assert contributions.sum() == pytest.approx(whole, rel=1e-12, abs=1e-12)
    assert (contributions <= np.array(alone) + 1e-9).all()
    swapped = rng.permutation(legs.shape[1])
    np.testing.assert_allclose(
        shortfall_by_leg(legs[:, swapped], level, probability), contributions[swapped], atol=1e-9
    )


def test_value_at_risk_is_not_subadditive_but_shortfall_is():
    """Two bonds that default with 4% each, apart: at 95% each has no VaR, together they have."""
    states = [(a, b, (0.04 if a else 0.96) * (0.04 if b else 0.96)) for a in (0, 1) for b in (0, 1)]
    legs, probability = np.array([(-100.0 * a, -100.0 * b) for a, b, _ in states]), np.array([p for *_, p in states])
    assert [value_at_risk(leg, 0.95, probability) for leg in legs.T] == [0.0, 0.0]
    assert value_at_risk(legs.sum(axis=1), 0.95, probability) == 100.0
    assert [expected_shortfall(leg, 0.95, probability) for leg in legs.T] == pytest.approx([80.0, 80.0])
    # 0.16% lose 200 and 4.84% of the 5% tail lose 100.
    assert expected_shortfall(legs.sum(axis=1), 0.95, probability) == pytest.approx(
        (0.0016 * 200 + 0.0484 * 100) / 0.05
    )


@pytest.mark.parametrize("steps", [1, 3])
def test_overlapping_returns_are_over_each_window(steps):
    prices = np.exp(np.random.default_rng(1).normal(0, 0.1, (12, 2)).cumsum(axis=0))
    found = overlapping_returns(prices, steps)
    assert found.tolist() == [(prices[t + steps] / prices[t] - 1).tolist() for t in range(12 - steps)]


def test_root_time_is_the_overlapping_deviation_of_independent_steps():
    moves = np.random.default_rng(8).choice([-0.001, 0.001], (40_000, 1))
    prices = np.exp(moves.cumsum(axis=0))
    rooted, overlapping = root_time_returns(overlapping_returns(prices, 1), 9), overlapping_returns(prices, 9)
    assert rooted.std() == pytest.approx(0.003, rel=1e-3)
    assert overlapping.std() == pytest.approx(rooted.std(), rel=0.05)
    trending = np.exp(0.001 * np.arange(20.0))[:, None]
    assert overlapping_returns(trending, 9).max() > 2.9 * root_time_returns(overlapping_returns(trending, 1), 9).max()


def test_forecast_volatility_is_the_recursion_of_scipy():
    returns = np.random.default_rng(2).normal(0, 0.02, (200, 3))
    decay, burn_in = 0.94, 25
    start = (returns[:burn_in] ** 2).mean(axis=0)
    filtered, _ = lfilter([1 - decay], [1, -decay], returns[burn_in:] ** 2, axis=0, zi=decay * start[None])
    np.testing.assert_allclose(
        forecast_volatility(returns, decay, burn_in), np.sqrt(np.vstack((start, filtered))), rtol=1e-12
    )


@pytest.mark.parametrize("steps", [1, 5])
def test_filtered_returns_equal_a_plain_loop(steps):
    rng = np.random.default_rng(3)
    prices = 100 * np.exp(rng.normal(0, 0.03, (60, 2)).cumsum(axis=0))
    found = filtered_returns(prices, steps, 0.9, 20)
    for i in range(2):
        moves = [math.log(b / a) for a, b in zip(prices[:-1, i], prices[1:, i], strict=True)]
        variance = [sum(m * m for m in moves[:20]) / 20]
        for move in moves[20:]:
            variance.append(0.9 * variance[-1] + 0.1 * move * move)
        scaled = [m * math.sqrt(variance[-1] / v) for m, v in zip(moves[20:], variance, strict=False)]
        windows = [math.exp(sum(scaled[t : t + steps])) - 1 for t in range(len(scaled) - steps + 1)]
        np.testing.assert_allclose(found[:, i], windows, rtol=1e-12, atol=1e-14)


def test_filtering_raises_calm_history_to_a_wild_present():
    rng = np.random.default_rng(4)
    moves = rng.normal(0, 1, (500, 1)) * np.where(np.arange(500) < 450, 0.01, 0.05)[:, None]
    prices = 100 * np.exp(np.vstack((np.zeros((1, 1)), moves)).cumsum(axis=0))
    plain, filtered = overlapping_returns(prices, 1)[30:440], filtered_returns(prices, 1)[:410]
    assert 3 < filtered.std() / plain.std() < 7


def scenarios_of(seed, n=250, instruments=5):
    rng = np.random.default_rng(seed)
    return ScenarioSet(rng.standard_t(4, (n, instruments)), weights_of(rng, n))


def book_of(seed, pools=40, instruments=5):
    rng = np.random.default_rng([seed, 9])
    counts = rng.integers(0, 7, pools)
    n = int(counts.sum())
    return PositionBook(np.append(0, counts.cumsum()), rng.integers(0, instruments, n), rng.normal(0, 3, n))


def test_pool_profits_equal_the_plain_product_bit_for_bit_at_any_thread_count():
    book, scenarios = book_of(1), scenarios_of(1)
    plain = plain_scenario_profit(book.pool_pointer, book.contract, book.quantity, scenarios.unit_profit.T)
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(pool_profits(book, scenarios, threads=threads), plain)


@pytest.mark.parametrize("measure", ["var", "es"])
def test_margin_is_the_measure_of_each_pool(measure):
    book, scenarios = book_of(2), scenarios_of(2)
    found = tail_margin(book, scenarios, TailRule(measure, 0.99))
    of = value_at_risk if measure == "var" else expected_shortfall
    for pool in range(len(book)):
        mine = slice(book.pool_pointer[pool], book.pool_pointer[pool + 1])
        legs = scenarios.unit_profit[:, book.contract[mine]] * book.quantity[mine]
        total = legs.sum(axis=1)
        assert found.margin[pool] == pytest.approx(max(of(total, 0.99, scenarios.probability), 0), rel=1e-12)
        assert found.leg[mine].sum() == pytest.approx(found.shortfall[pool], rel=1e-12, abs=1e-12)
        assert found.shortfall[pool] == pytest.approx(expected_shortfall(total, 0.99, scenarios.probability), rel=1e-10)
        assert found.worst[pool] == (np.argmin(total) if legs.shape[1] else -1)
    empty = np.diff(book.pool_pointer) == 0
    assert empty.any() and (found.margin[empty] == 0).all()


def test_pools_are_independent_of_each_other():
    book, scenarios, rule = book_of(3, 3), scenarios_of(3), TailRule("es", 0.975, buffer=0.25)
    whole = tail_margin(book, scenarios, rule).margin
    for pool in range(3):
        mine = slice(book.pool_pointer[pool], book.pool_pointer[pool + 1])
        alone = PositionBook([0, mine.stop - mine.start], book.contract[mine], book.quantity[mine])
        assert tail_margin(alone, scenarios, rule).margin[0] == whole[pool]


def test_blocks_of_pools_and_threads_change_no_bit(monkeypatch):
    book, scenarios, rule = book_of(4, 50), scenarios_of(4), TailRule("es", 0.99, buffer=0.25)
    whole = tail_margin(book, scenarios, rule, long=scenarios_of(5))
    monkeypatch.setattr(value_at_risk_margin, "POOLS_A_BLOCK", 7)
    parts = tail_margin(book, scenarios, rule, long=scenarios_of(5), threads=3)
    for name in ("margin", "measured", "floor", "buffer", "shortfall", "leg", "worst"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    none = tail_margin(PositionBook([0], [], []), scenarios, rule)
    assert len(none.margin) == len(none.leg) == 0


def test_stressed_weight_floor_and_buffer_by_hand():
    """Losses 1 to 4 now, 10 in the stressed scenario; 25% of weight on it is the whole 25% tail."""
    book = PositionBook([0, 1], [0], [1.0])
    calm, stress = (ScenarioSet.equally_likely(np.array(v)[:, None]) for v in ([-1.0, -2.0, -3.0, -4.0], [-10.0]))
    plain = tail_margin(book, calm, TailRule("es", 0.75))
    assert plain.margin.tolist() == [4.0]
    weighed = tail_margin(book, calm, TailRule("es", 0.75, stressed_weight=0.25), stressed=stress)
    assert weighed.margin.tolist() == [10.0] and weighed.worst.tolist() == [4]
    half = tail_margin(book, calm, TailRule("es", 0.5, stressed_weight=0.25), stressed=stress)
    # A tail of 50%: 25% at 10, 18.75% at 4 and 6.25% at 3.
    assert half.margin[0] == pytest.approx((0.25 * 10 + 0.1875 * 4 + 0.0625 * 3) / 0.5, rel=1e-12)
    floored = tail_margin(book, calm, TailRule("es", 0.75, buffer=0.25), long=stress)
    assert (floored.measured[0], floored.floor[0], floored.buffer[0], floored.margin[0]) == (4.0, 10.0, 2.5, 12.5)
    higher = tail_margin(book, calm, TailRule("es", 0.75), long=ScenarioSet.equally_likely(np.array([[-0.5]])))
    assert (higher.floor[0], higher.margin[0]) == (0.5, 4.0)


def test_a_pool_that_only_gains_needs_no_margin():
    found = tail_margin(
        PositionBook([0, 1], [0], [1.0]), ScenarioSet.equally_likely([[1.0], [2.0]]), TailRule("es", 0.5)
    )
    assert (found.margin[0], found.shortfall[0], found.leg[0]) == (0.0, -1.0, -1.0)


def test_options_are_repriced_in_each_scenario():
    """A short straddle loses on both sides; its shortfall is that of Black-76 values in the scenarios."""
    forward, strike, time = 100.0, 100.0, 0.1
    shocked = forward * (1 + np.linspace(-0.2, 0.2, 41))
    sigma = 0.5 + np.abs(np.linspace(-0.2, 0.2, 41))
    unit = np.column_stack(
        [value(shocked, strike, time, sigma, side) - value(forward, strike, time, 0.5, side) for side in (1, -1)]
    )
    book = PositionBook([0, 2], [0, 1], [-3.0, -3.0])
    found = tail_margin(book, ScenarioSet.equally_likely(unit), TailRule("es", 0.9))
    profit = -3 * unit.sum(axis=1)
    assert found.margin[0] == pytest.approx(expected_shortfall(profit, 0.9), rel=1e-12)
    assert found.worst[0] in (0, 40) and found.margin[0] > 30


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_margin_scales_and_hedges(seed, factor):
    scenarios, rule = scenarios_of(seed, 80, 3), TailRule("es", 0.95)
    one = PositionBook([0, 2], [0, 1], [2.0, -1.0])
    many = PositionBook([0, 2], [0, 1], [2.0 * factor, -factor])
    flat = PositionBook([0, 2], [0, 0], [2.0, -2.0])
    margin = tail_margin(one, scenarios, rule).margin[0]
    assert tail_margin(many, scenarios, rule).margin[0] == pytest.approx(factor * margin, rel=1e-9)
    assert tail_margin(flat, scenarios, rule).margin[0] == 0.0


GOOD = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: value_at_risk(np.array([1.0, math.nan]), 0.9),
            "row 1, column profit: must be a finite number .found nan.",
        ),
        (lambda: value_at_risk(np.array([]), 0.9), "column profit: needs at least one scenario"),
        (lambda: value_at_risk(GOOD, 0.9), "column profit: must be one profit a scenario"),
        (lambda: expected_shortfall(GOOD[0], 1.0), r"column confidence: must be in \(0, 1\) .found 1.0."),
        (lambda: value_at_risk(GOOD[0], 0.9, np.array([0.5, 0.6])), "column probability: must add to one"),
        (
            lambda: value_at_risk(GOOD[0], 0.9, np.array([-0.5, 1.5])),
            "row 0, column probability: must not be below zero",
        ),
        (lambda: value_at_risk(GOOD[0], 0.9, np.ones(3) / 3), "needs one weight for each of 2 scenarios"),
        (lambda: ScenarioSet.equally_likely(np.zeros((0, 2))), "at least one scenario"),
        (
            lambda: ScenarioSet.equally_likely([[1.0, math.inf]]),
            r"row 0, column unit_profit\[1\]: must be a finite number",
        ),
        (lambda: ScenarioSet.equally_likely([1.0]), "column unit_profit: must be a table"),
        (
            lambda: ScenarioSet.equally_likely(GOOD).with_stress(ScenarioSet.equally_likely([[1.0]])),
            "other instruments",
        ),
        (
            lambda: ScenarioSet.equally_likely(GOOD).with_stress(ScenarioSet.equally_likely(GOOD), 1.5),
            "stressed_weight",
        ),
        (
            lambda: overlapping_returns(np.array([[1.0], [0.0], [2.0]]), 1),
            r"row 1, column prices\[0\]: must be above zero",
        ),
        (lambda: overlapping_returns(np.array([[1.0], [math.nan]]), 1), r"row 1, column prices\[0\]: must be a finite"),
        (lambda: overlapping_returns(GOOD, 3), r"column steps: must be in \[1, 2\] .found 3."),
        (lambda: overlapping_returns(GOOD, 0), r"column steps: must be in \[1, 2\] .found 0."),
        (lambda: root_time_returns(GOOD, 0.0), "column steps: must be above zero"),
        (lambda: forecast_volatility(GOOD, 1.0, 1), "column decay"),
        (lambda: forecast_volatility(GOOD, 0.9, 3), r"column burn_in: must be in \[1, 2\]"),
        (lambda: forecast_volatility(np.zeros((3, 1)), 0.9, 1), r"column returns\[0\]: does not move"),
        (lambda: filtered_returns(GOOD, 2, burn_in=1), "column steps: must be at most 1"),
        (lambda: linear_scenarios(GOOD, np.ones(3)), "column unit_value: needs one value an instrument"),
        (lambda: TailRule("es", 0.0), "column confidence"),
        (lambda: TailRule("es", 0.9, buffer=-0.1), "column buffer"),
        (lambda: TailRule("es", 0.9, stressed_weight=math.nan), "column stressed_weight"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(InputError, match=message) as found:
        call()
    assert "\n" not in str(found.value)


def test_a_book_the_scenarios_do_not_fit_is_refused():
    scenarios = ScenarioSet.equally_likely(GOOD)
    with pytest.raises(
        InputError, match="row 1, column contract: unknown instrument; the scenarios are of 2 .found 2."
    ):
        pool_profits(PositionBook([0, 2], [0, 2], [1.0, 1.0]), scenarios)
    book = PositionBook([0, 1], [0], [1.0])
    for rule, stressed in ((TailRule("es", 0.9), scenarios), (TailRule("es", 0.9, stressed_weight=0.25), None)):
        with pytest.raises(InputError, match="needs stressed scenarios, and they need a weight"):
            tail_margin(book, scenarios, rule, stressed=stressed)
