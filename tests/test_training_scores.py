"""Scores against sklearn, statistics by hand and plain loops; intervals that cover; alerts; what a plan refuses."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import MarketHistory
from margincast.training import scores
from margincast.training.alerts import alert_economics
from margincast.training.plan import Horizon, Plan, parse_horizons, training_bars
from margincast.training.plan import tested_bars as bars_tested
from margincast.training.scores import (
    CLIP,
    RESAMPLES,
    DayBlocks,
    auc_within_strata,
    brier_scores,
    calibration_line,
    expected_calibration_error,
    log_losses,
    reliability_curve,
)
from margincast.training.slices import strata_of

HOUR = np.timedelta64(1, "h")


def forecasts(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.6, 2.0, n)
    return p, (rng.random(n) < p**1.2).astype(np.float64)


# -- row scores ---------------------------------------------------------------------------------------------------


def test_log_loss_and_brier_score_agree_with_sklearn():
    p, y = forecasts()
    p = np.clip(p, CLIP, 1 - CLIP)
    assert log_losses(p, y).mean() == pytest.approx(log_loss(y, p), rel=1e-12)
    assert brier_scores(p, y).mean() == pytest.approx(brier_score_loss(y, p), rel=1e-12)


def test_a_certain_miss_stays_finite_and_an_unknown_outcome_does_not():
    losses = log_losses(np.array([1.0, 0.0, 0.3]), np.array([0.0, 1.0, np.nan]))
    assert losses[:2] == pytest.approx([-math.log(CLIP)] * 2, rel=1e-9)
    assert np.isnan(losses[2])


def test_auc_of_one_stratum_agrees_with_sklearn_ties_counted_half():
    p, y = forecasts()
    p = p.round(1)
    assert auc_within_strata(p, y, np.zeros(len(p), dtype=np.int64)) == pytest.approx(roc_auc_score(y, p), rel=1e-12)


def test_auc_within_strata_counts_every_pair_of_a_stratum_once():
    p, y = forecasts(300, seed=2)
    stratum = np.random.default_rng(1).integers(0, 7, len(p))
    won = pairs = 0.0
    for hit in np.flatnonzero(y == 1):
        for miss in np.flatnonzero((y == 0) & (stratum == stratum[hit])):
            pairs += 1
            won += 1.0 if p[hit] > p[miss] else 0.5 if p[hit] == p[miss] else 0.0
    assert auc_within_strata(p, y, stratum) == pytest.approx(won / pairs, rel=1e-12)


def test_auc_without_a_pair_is_not_a_number():
    assert math.isnan(auc_within_strata(np.array([0.1, 0.9]), np.array([1.0, 0.0]), np.array([0, 1])))


def test_calibration_line_agrees_with_an_unpenalised_logistic_regression():
    p, y = forecasts()
    p = np.clip(p, 1e-4, 1 - 1e-4)
    odds = np.log(p / (1 - p))[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds, y)
    slope, intercept = calibration_line(p, y)
    assert slope == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert intercept == pytest.approx(model.intercept_[0], abs=1e-4)


def logistic_line(p: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    odds = np.log(p) - np.log1p(-p)
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(odds[:, None], y)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: np.clip(p**8, CLIP, 1 - CLIP),
        lambda p: np.clip(1 - (1 - p) ** 8, CLIP, 1 - CLIP),
        lambda p: np.where(p > 0.02, 1 - CLIP, CLIP),
        lambda p: np.clip(1 - p, 1e-3, 1 - 1e-3),
    ],
    ids=["far too low", "far too high", "all or nothing", "upside down"],
)
def test_calibration_line_is_found_from_forecasts_far_off(wrong):
    """A full Newton step from (1, 0) overshoots on some of these, and never came back."""
    p, y = forecasts(3000, seed=8)
    said = wrong(p)
    slope, intercept = calibration_line(said, y)
    expected = logistic_line(said, y)
    assert slope == pytest.approx(expected[0], rel=1e-3) and intercept == pytest.approx(expected[1], rel=1e-3, abs=1e-3)


def test_calibration_line_diverges_without_damping(monkeypatch):
    """The canary above can sing: full steps lose their way on a rare event that is forecast as nearly certain."""
    rng = np.random.default_rng(2)
    p = np.where(rng.random(4000) < 0.5, 1 - CLIP, 0.9)
    y = (rng.random(4000) < 0.01 + 0.01 * (p > 0.95)).astype(np.float64)
    slope, intercept = calibration_line(p, y)
    rates = [y[p < 0.95].mean(), y[p > 0.95].mean()]
    said = np.log([9.0, (1 - CLIP) / CLIP])
    assert slope * said + intercept == pytest.approx(np.log(rates) - np.log1p(-np.array(rates)), rel=1e-6)
    monkeypatch.setattr(scores, "_downhill", lambda design, outcome, theta, step: step)
    with np.errstate(all="ignore"):
        try:
            undamped = calibration_line(p, y)
        except np.linalg.LinAlgError:
            undamped = (math.nan, math.nan)
    assert not np.isfinite(undamped).all() or abs(undamped[0] - slope) > 1e-3


def test_a_forecast_that_separates_has_no_calibration_line():
    slope, intercept = calibration_line(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0, 1, 1]))
    assert math.isnan(slope) and math.isnan(intercept)


def test_calibration_line_recovers_planted_overconfidence():
    rng = np.random.default_rng(4)
    true = rng.normal(-1.0, 1.0, 200_000)
    y = (rng.random(len(true)) < 1 / (1 + np.exp(-true))).astype(np.float64)
    said = 1 / (1 + np.exp(-(2 * true + 0.4)))
    slope, intercept = calibration_line(said, y)
    assert slope == pytest.approx(0.5, abs=0.01)
    assert intercept == pytest.approx(-0.2, abs=0.02)


def test_calibration_line_of_constants_is_not_a_number():
    p, y = forecasts(50)
    assert all(math.isnan(v) for v in calibration_line(np.full(50, 0.2), y))
    assert all(math.isnan(v) for v in calibration_line(p, np.zeros(50)))


def test_calibration_error_equals_a_plain_loop_over_bins_of_equal_count():
    p, y = forecasts(150)
    order, gaps = sorted(range(150), key=lambda i: p[i]), []
    for b in range(15):
        rows = order[10 * b : 10 * b + 10]
        gaps.append(abs(sum(p[i] for i in rows) / 10 - sum(y[i] for i in rows) / 10))
    assert expected_calibration_error(p, y) == pytest.approx(sum(gaps) / 15, rel=1e-12)


def test_calibration_error_of_a_perfect_forecast_is_sampling_noise_and_of_a_biased_one_is_its_bias():
    rng = np.random.default_rng(5)
    p = rng.uniform(0.1, 0.6, 100_000)
    y = (rng.random(len(p)) < p).astype(np.float64)
    assert expected_calibration_error(p, y) < 0.01
    assert expected_calibration_error(p + 0.2, y) == pytest.approx(0.2, abs=0.01)


def test_reliability_bins_hold_equal_expected_events_and_every_row_once():
    p, y = forecasts(20_000)
    curve = reliability_curve(p, y, bins=8)
    mass = np.array(curve["predicted"]) * np.array(curve["count"])
    assert sum(curve["count"]) == len(p)
    assert mass == pytest.approx(np.full(8, p.sum() / 8), abs=1.5)
    assert (np.diff(curve["predicted"]) > 0).all()
    assert np.dot(curve["observed"], curve["count"]) == pytest.approx(y.sum())


def test_strata_are_tenths_and_follow_the_distance():
    distance = np.random.default_rng(0).permutation(np.arange(1000.0))
    strata = strata_of(distance)
    assert np.bincount(strata).tolist() == [100] * 10
    assert (strata == (distance // 100)).all()


# -- intervals ----------------------------------------------------------------------------------------------------


def test_skill_equals_a_loop_that_puts_whole_days_together_with_the_same_draws():
    rng = np.random.default_rng(6)
    day = rng.integers(100, 112, 90)
    mine, other = rng.exponential(1.0, 90), rng.exponential(1.3, 90)
    blocks = DayBlocks(day, seed=9)
    days = np.unique(day)
    draws = np.random.default_rng(9).multinomial(len(days), np.full(len(days), 1 / len(days)), size=RESAMPLES)
    skills = []
    for draw in draws:
        rows = np.concatenate([np.tile(np.flatnonzero(day == d), times) for d, times in zip(days, draw, strict=True)])
        skills.append(1 - mine[rows].sum() / other[rows].sum())
    skill = blocks.skill(mine, other)
    assert skill.value == pytest.approx(1 - mine.sum() / other.sum(), rel=1e-12)
    assert [skill.low, skill.high] == pytest.approx(np.quantile(skills, [0.05, 0.95]).tolist(), rel=1e-9)


def test_the_interval_covers_the_true_skill_about_nine_times_in_ten():
    rng, covered, trials, days, rows = np.random.default_rng(7), 0, 200, 60, 20
    day = np.repeat(np.arange(days), rows)
    for trial in range(trials):
        shock = rng.exponential(1.0, days)[day]  # what the rows of a day share: rows are not independent
        other = shock * rng.uniform(0.5, 1.5, len(day))
        mine = 0.8 * other + 0.3 * (rng.normal(0, 1, days)[day])
        skill = DayBlocks(day, seed=trial).skill(mine, other)
        covered += skill.low <= 0.2 <= skill.high
    # two-sided 99.9% range of a binomial with 0.9, and two points for the bootstrap's own shortfall at 60 days
    assert 0.81 <= covered / trials <= 0.97


def test_a_model_has_no_skill_over_itself():
    skill = DayBlocks(np.arange(30), seed=1).skill(np.ones(30), np.ones(30))
    assert (skill.value, skill.low, skill.high) == (0.0, 0.0, 0.0)


def test_one_day_has_a_skill_and_no_interval():
    skill = DayBlocks(np.full(5, 3), seed=1).skill(np.ones(5), np.full(5, 2.0))
    assert skill.value == 0.5 and math.isnan(skill.low) and math.isnan(skill.high)


# -- alerts -------------------------------------------------------------------------------------------------------


def test_alerts_by_hand():
    """Two days; a budget of one alerts the 0.9 (caught, loss 30 of 40) and the 0.4 (missed)."""
    probability = np.array([0.9, 0.8, 0.1, 0.4, 0.3])
    breached = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    shortfall = np.array([30.0, 10.0, 0.0, 0.0, 0.0])
    lead = np.array([2.0, 5.0, np.nan, np.nan, 1.0])
    one, two = alert_economics(probability, breached, shortfall, lead, np.array([0, 0, 0, 1, 1]), (1, 2))
    assert one == {
        "budget_per_day": 1,
        "precision": 0.5,
        "share_of_events_caught": pytest.approx(1 / 3),
        "share_of_shortfall_caught": 0.75,
        "median_lead_hours": 2.0,
        "p10_lead_hours": 2.0,
    }
    assert two["precision"] == 0.75 and two["share_of_events_caught"] == 1.0 and two["median_lead_hours"] == 2.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_alerts_equal_a_loop_over_days(seed, budget):
    rng = np.random.default_rng(seed)
    n = 60
    probability, day = rng.permutation(n) / n, rng.integers(0, 9, n)
    breached = (rng.random(n) < 0.4).astype(np.float64)
    shortfall = breached * rng.exponential(1.0, n) * (rng.random(n) < 0.5)
    lead = np.where(breached > 0, rng.integers(1, 24, n), np.nan)
    alerted = [i for d in set(day) for i in sorted(np.flatnonzero(day == d), key=lambda i: -probability[i])[:budget]]
    caught = [i for i in alerted if breached[i]]
    row = alert_economics(probability, breached, shortfall, lead, day, (budget,))[0]
    assert row["precision"] == pytest.approx(len(caught) / len(alerted))
    assert row["share_of_events_caught"] == pytest.approx(len(caught) / breached.sum())
    if shortfall.sum() > 0:
        assert row["share_of_shortfall_caught"] == pytest.approx(shortfall[caught].sum() / shortfall.sum())
    if caught:
        assert row["median_lead_hours"] == pytest.approx(np.median(lead[caught]))


def test_alerts_with_nothing_to_catch_say_none():
    row = alert_economics(np.array([0.2]), np.zeros(1), np.zeros(1), np.array([np.nan]), np.zeros(1, int), (1,))[0]
    assert row["precision"] == 0.0
    assert [row[k] for k in row if k.startswith(("share", "median", "p10"))] == [None] * 4


# -- plan ---------------------------------------------------------------------------------------------------------


def hourly(days: int) -> MarketHistory:
    bars = 24 * days
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * HOUR
    prices = np.full((bars, 1), 100.0)
    table = InstrumentTable.linear_perpetuals(["BTC"])
    return MarketHistory(table, times, prices, prices, prices, prices, [0], [-1], np.zeros((bars, 1)))


def test_horizons_are_read_with_their_units():
    assert parse_horizons(" 15m, 2h ,1d", np.timedelta64(15, "m")) == (
        Horizon("15m", 1),
        Horizon("2h", 8),
        Horizon("1d", 96),
    )


@pytest.mark.parametrize(
    "text", ["", "1", "h", "1h,,4h", "-1h", "1.5h", "0h", "30m", "90m", "4h,1h", "60m,1h", "1w", "9" * 30 + "d"]
)
def test_horizons_that_cannot_be_forecast_are_refused(text):
    with pytest.raises(InputError, match="horizons") as caught:
        parse_horizons(text, HOUR)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"test_start": dt.date(2024, 2, 1)}, "test_start"),
        ({"test_start": dt.date(2024, 1, 1)}, "test_start"),
        ({"test_start": dt.date(2024, 3, 1), "test_end": dt.date(2024, 2, 20)}, "test_end"),
        ({"accounts": 0}, "accounts"),
        ({"threads": 0}, "threads"),
        ({"rounds": 0}, "rounds"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(changes, column):
    with pytest.raises(InputError) as caught:
        Plan(dt.date(2024, 2, 1), **changes)
    assert caught.value.column == column


def test_periods_hold_whole_days_and_no_label_looks_beyond_them():
    history = hourly(120)
    plan = Plan(dt.date(2024, 2, 29), dt.date(2024, 3, 10), dt.date(2024, 3, 12))
    first, last = training_bars(plan, history, 24)
    assert first == 31 * 24
    assert history.times[last - 1] == np.datetime64("2024-02-29T23:00")
    first, last = bars_tested(plan, history, 24)
    assert history.times[first] == np.datetime64("2024-03-10T00:00")
    assert history.times[last - 1] == np.datetime64("2024-03-12T23:00")


def test_the_last_tested_bar_leaves_room_for_the_longest_horizon():
    history = hourly(120)
    _, last = bars_tested(Plan(dt.date(2024, 2, 29)), history, 24)
    assert last - 1 + 24 == len(history)


def test_by_default_testing_starts_the_day_after_training():
    history = hourly(120)
    plan = Plan(dt.date(2024, 2, 29))
    assert bars_tested(plan, history, 1)[0] == training_bars(plan, history, 1)[1]


@pytest.mark.parametrize("day", [dt.date(2023, 1, 1), dt.date(2024, 1, 31), dt.date(2024, 2, 4)])
def test_too_little_to_train_on_is_refused(day):
    with pytest.raises(InputError, match="too little to train on") as caught:
        training_bars(Plan(day), hourly(120), 24)
    assert caught.value.column == "train_end"


def test_nothing_to_test_on_is_refused():
    with pytest.raises(InputError, match="nothing to test on"):
        bars_tested(Plan(dt.date(2024, 3, 1), dt.date(2025, 1, 1)), hourly(120), 24)
