"""Tools against procyclicality, the guard-rail, the cost of liquidation, and what a change of rates does."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margincast.models.liquidation_cost import execution_cost
from margincast.models.margin_quantiles import LossSeries
from margincast.models.procyclicality import LongFloor, StepLimit, StressBuffer, StressWeight
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import MarketState
from margincast.riskcore.records import book_from_records
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.training.depth_cost import liquidation_cost, size_to_liquidate
from margincast.training.margin_impact import newly_in_breach, rules_with_rates

RATES = arrays(float, st.integers(2, 60), elements=st.floats(0.001, 0.5))
NO_LOSSES = LossSeries(np.zeros(0), np.zeros(0))


@given(RATES)
def test_a_buffer_lies_between_the_model_and_a_quarter_more(margin: np.ndarray) -> None:
    charged = StressBuffer(0.25).apply(margin, NO_LOSSES, 0.99)
    assert (charged >= margin).all()
    assert (charged <= margin * 1.25).all()
    inside = (charged[:-1] >= margin[1:]) & (charged[:-1] <= 1.25 * margin[1:])
    np.testing.assert_array_equal(charged[1:][inside], charged[:-1][inside])


def test_a_buffer_waits_for_the_first_number() -> None:
    charged = StressBuffer().apply(np.array([np.nan, 0.04]), NO_LOSSES, 0.99)
    np.testing.assert_allclose(charged, [np.nan, 0.05])


def test_stress_weight_and_floor_are_their_formulas() -> None:
    losses = np.random.default_rng(1).random(60)
    series, margin = LossSeries(losses, losses**2), np.linspace(0.2, 0.9, 61)
    weighted = StressWeight(0.25, window=20).apply(margin, series, 0.9)
    floored = LongFloor(30, minimum=20).apply(margin, series, 0.9)
    for j in (20, 41, 60):
        worst = max(np.quantile(losses[i - 20 : i], 0.9) for i in range(20, j + 1))
        assert weighted[j] == pytest.approx(0.75 * margin[j] + 0.25 * worst)
        assert floored[j] == pytest.approx(max(margin[j], np.quantile(losses[max(0, j - 30) : j], 0.9)))
    assert np.isnan(weighted[19])
    assert np.isnan(floored[19])


@settings(deadline=None)
@given(RATES, st.integers(1, 4), st.floats(0.01, 1.0), st.floats(0.05, 1.0))
def test_no_step_within_a_day_breaks_the_guard_rail(target: np.ndarray, periods: int, rise: float, part: float) -> None:
    fall = part * rise / (1 + rise)
    path = StepLimit(rise, fall, periods).limited(target)
    for lag in range(1, periods + 1):
        changes = path[lag:] / path[:-lag] - 1
        assert (changes <= rise + 1e-12).all()
        assert (changes >= -fall - 1e-12).all()


def test_the_guard_rail_lets_through_what_it_may_and_gets_there() -> None:
    limit = StepLimit(0.1, 0.05, 1)
    gentle = np.array([1.0, 1.05, 1.0, 1.09])
    np.testing.assert_array_equal(limit.limited(gentle), gentle)
    days = limit.days(1.0, 3.0)
    path = limit.limited(np.array([1.0] + [3.0] * (days + 2)))
    assert path[days] == pytest.approx(3.0)
    assert path[days - 1] < 3.0
    assert path[1] == limit.next_day(1.0, 3.0)
    down = limit.days(1.0, 0.5)
    assert 0.95**down <= 0.5 < 0.95 ** (down - 1)


def test_a_missing_forecast_keeps_the_rate() -> None:
    found = StepLimit(0.1, 0.05).limited(np.array([np.nan, 1.0, np.nan, 1.2]))
    np.testing.assert_allclose(found, [np.nan, 1.0, 1.0, 1.1])


@pytest.mark.parametrize(
    ("rise", "fall", "periods"), [(0.0, 0.1, 1), (0.1, 0.0, 1), (0.1, 0.5, 1), (0.1, 0.05, 0), (np.nan, 0.1, 1)]
)
def test_guard_rails_that_cannot_hold_are_refused(rise: float, fall: float, periods: int) -> None:
    with pytest.raises(InputError):
        StepLimit(rise, fall, periods)


LEVELS = [5.0, 20.0, 100.0]


@given(
    arrays(float, 3, elements=st.floats(1, 1e6)),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
)
def test_liquidating_more_never_costs_less_a_unit(resting: np.ndarray, one: float, other: float) -> None:
    within = np.cumsum(resting)
    costs = [execution_cost(LEVELS, within[None, :], share * within[-1])[0] for share in sorted((one, other))]
    assert 5e-4 * (1 - 1e-9) <= costs[0] <= costs[1] * (1 + 1e-9) <= 1e-2 * (1 + 1e-6)


def test_a_book_that_is_not_deep_enough_has_no_cost() -> None:
    assert np.isnan(execution_cost(LEVELS, [[1.0, 2.0, 3.0]], 3.1)).all()
    assert np.isnan(execution_cost(LEVELS, [[1.0, np.nan, 3.0]], 3.0)).all()


@pytest.mark.parametrize(
    ("levels", "within", "size"),
    [([5, 5], [[1, 2]], 1.0), ([5, 10], [[2, 1]], 1.0), ([5, 10], [[1, 2]], 0.0)],
)
def test_a_book_that_makes_no_sense_is_refused(levels: list[float], within: list[list[float]], size: float) -> None:
    with pytest.raises(InputError):
        execution_cost(levels, within, size)


def snapshots(notional: dict[str, float]) -> pd.DataFrame:
    """Depth of one level by day of January 2024, on the bid."""
    times = pd.to_datetime(list(notional), utc=True)
    return pd.DataFrame(
        {"timestamp": times, "symbol": "BTC", "side": "bid", "level_bps": 10.0, "notional": list(notional.values())}
    )


def test_cost_is_the_median_of_what_was_seen_by_then() -> None:
    depth = pd.concat(
        [
            snapshots({"2024-01-01": 500.0, "2024-01-02": 500.0, "2024-01-03": 10.0}),
            snapshots({"2024-01-04": 10.0, "2024-01-05": 10.0}),
        ]
    )
    early, late = np.datetime64("2024-01-03", "ns"), np.datetime64("2024-01-05", "ns")
    assert liquidation_cost(depth, "BTC", "long", 100.0, early) == pytest.approx(0.001)
    assert liquidation_cost(depth, "BTC", "long", 100.0, late) is None
    assert liquidation_cost(depth, "BTC", "short", 100.0, early) is None
    assert liquidation_cost(depth, "ETH", "long", 100.0, early) is None
    assert liquidation_cost(depth, "BTC", "long", 100.0, np.datetime64("2024-03-01", "ns")) is None
    assert liquidation_cost(None, "BTC", "long", 100.0, early) is None


def test_the_size_is_the_first_tier_unless_asked() -> None:
    tiers = RateSchedule.marginal([0, 50_000], [0.01, 0.02], [50, 20])
    flat = RateSchedule.marginal([0], [0.01], [50])
    assert size_to_liquidate(tiers, None) == 50_000
    assert size_to_liquidate(tiers, 7.0) == 7.0
    assert size_to_liquidate(flat, None) is None


TABLE = InstrumentTable.linear_perpetuals(["BTC"])
RULES = RuleBook(
    "example",
    dt.date(2024, 1, 1),
    {"BTC": RateSchedule.marginal([0, 100_000], [0.004, 0.01], [125, 50])},
    aliases={"BTCUSDT": "BTC"},
)
MARKET = MarketState(np.datetime64("2024-01-01", "ns"), np.array([29_000.0]), np.array([1.0]))


def test_accounts_newly_in_breach_are_those_between_the_two_rates() -> None:
    """One BTC at 29,000: 116 under the present rate, 290 under 1%."""
    long = {"symbol": "BTC", "quantity": 1.0, "entry_price": 29_000.0}
    equities = {"breached already": 100.0, "between": 200.0, "safe": 300.0}
    records = [{"account": name, "balances": {"USDT": e}, "positions": [long]} for name, e in equities.items()]
    book = book_from_records([*records, {"account": "flat", "balances": {"USDT": 1.0}}], TABLE)
    found = newly_in_breach(book, MARKET, RULES, rules_with_rates(RULES, {"BTCUSDT": 0.01}))
    assert found.tolist() == [False, True, False, False]


def test_other_rates_keep_the_schedule_continuous() -> None:
    changed = rules_with_rates(RULES, {"BTC": 0.006}).schedule_of("BTC")
    below, above = changed.maintenance([99_999.999, 100_000.0])
    assert below == pytest.approx(600.0, abs=1e-3)
    assert above == pytest.approx(600.0, abs=1e-3)
    assert changed.rates.tolist() == [0.006, 0.01]
    assert changed.max_leverage.tolist() == [125.0, 50.0]


def test_a_cliff_stays_a_cliff() -> None:
    cliff = RuleBook("x", dt.date(2024, 1, 1), {"A": RateSchedule.cliff([0, 100], [0.1, 0.2], [5, 2])})
    assert rules_with_rates(cliff, {"A": 0.15}).schedule_of("A").deductions.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rates", [{"ETH": 0.01}, {"BTC": 0.0}, {"BTC": 1.5}])
def test_rates_that_cannot_be_set_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(InputError):
        rules_with_rates(RULES, rates)
