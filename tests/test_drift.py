"""Drift monitors against hand calculation, SciPy and their guarantees; falling back to FHS shows in every score."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import small_market as small
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import ks_2samp, kstest

from margincast.models.sample import ScaleField
from margincast.riskcore.errors import InputError
from margincast.riskcore.records import book_from_records
from margincast.training.abstention import MOST_MISSING, SCALE_SLACK, out_of_range
from margincast.training.advice import advise
from margincast.training.coverage_tests import kupiec
from margincast.training.drift import DriftLimits, FreshLabels, assess_drift
from margincast.training.exchangeability import (
    conformal_p_values,
    excess_day_losses,
    log_simple_mixture,
    watch,
)
from margincast.training.feature_drift import feature_drift, gap_significance, largest_gap, stability_index
from margincast.training.liquidation_counts import count_test
from margincast.training.population import simulate_accounts
from margincast.training.reasons import explain
from margincast.training.reference import Reference, bin_shares, day_stride, training_reference
from margincast.training.score import Scorer, with_columns
from margincast.training.store import load_state, save_state

# -- stability index and Kolmogorov-Smirnov -----------------------------------------------------------------------


def test_the_stability_index_by_hand():
    """Bins 50/30/20 turn 40/30/30: (-.1)(ln .8) + 0 + (.1)(ln 1.5) = .0223144 + .0405465."""
    found = stability_index(np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3]))
    assert found == pytest.approx(0.0223144 + 0.0405465, abs=1e-6)


def test_an_empty_bin_is_finite():
    assert stability_index(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(
        -0.5 * np.log(0.5) + 0.4999 * np.log(0.5 / 1e-4)
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8), st.randoms())
def test_the_stability_index_is_symmetric_and_not_negative(weights, random):
    a = np.array(weights) / sum(weights)
    b = np.array(random.sample(weights, len(weights))) / sum(weights)
    assert stability_index(a, b) == pytest.approx(stability_index(b, a)) and stability_index(a, b) >= 0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-5, 5), min_size=2, max_size=40),
    st.lists(st.integers(-5, 5), min_size=2, max_size=40),
)
def test_the_largest_gap_is_scipys(first, second):
    a, b = np.array(first, dtype=float), np.array(second, dtype=float)
    reference = ks_2samp(a, b, method="asymp")
    assert largest_gap(a, np.append(b, np.nan)) == pytest.approx(reference.statistic, abs=1e-12)
    assert gap_significance(reference.statistic, len(a), len(b)) == pytest.approx(reference.pvalue, rel=1e-9)


def reference_of(values, **changes) -> Reference:
    """A reference of made-up columns."""
    rng = np.random.default_rng(0)
    sample = small.dataset().sample.take(np.arange(len(values)))
    named = replace(sample, features=values, feature_names=tuple(f"x{k}" for k in range(values.shape[1])))
    shape = (len(values), 3)
    arguments = {"probability": np.full(shape, 0.5), "outcome": rng.integers(0, 2, shape).astype(float)}
    scale = ScaleField(np.ones((int(sample.bar.max()) + 1, 3, 3)), (1, 4, 24))
    day = np.arange(len(values)) // 4
    return training_reference(named, day, scale, judged_day=day, stride=2, **arguments | changes)


def test_a_reference_of_a_few_hundred_points_says_what_the_whole_sample_says():
    rng = np.random.default_rng(1)
    old, new = rng.normal(size=(400, 2)), rng.normal(0.5, 1.3, size=(300, 2))
    old[:40, 1] = np.nan
    reference = reference_of(old)
    first, second = feature_drift(reference, new, ("x0", "x1"), 30)
    assert first.ks == pytest.approx(ks_2samp(old[:, 0], new[:, 0]).statistic, abs=1 / 256 + 1e-9)
    assert (first.missing, second.missing) == (0.0, 0.0) and reference.shares[1, -1] == 0.1
    edges = np.quantile(old[:, 0], np.arange(1, 10) / 10, method="lower")
    plain = [np.histogram(v, bins=[-np.inf, *edges, np.inf])[0] / len(v) for v in (old[:, 0], new[:, 0])]
    assert first.psi == pytest.approx(stability_index(*plain))


def test_a_feature_that_goes_missing_has_shifted_and_the_same_rows_have_not():
    values = np.random.default_rng(2).normal(size=(400, 2))
    same = feature_drift(reference_of(values), values, ("x0", "x1"), 100)
    assert max(d.psi for d in same) == 0.0 and max(d.ks for d in same) < 1 / 256 + 1e-9
    gone = feature_drift(reference_of(values), values[:, :1], ("x0",), 100)[1]
    assert gone.psi > 5 and gone.missing == 1.0 and np.isnan(gone.ks) and np.isnan(gone.ks_p)


def test_bins_hold_ties_and_constants():
    values = np.column_stack((np.repeat([0.0, 1.0], 200), np.full(400, 3.0), np.full(400, np.nan)))
    assert max(d.psi for d in feature_drift(reference_of(values), values, ("x0", "x1", "x2"), 100)) == 0.0
    assert bin_shares(np.array([3.0, 3.0]), np.full(9, 3.0))[-2] == 1.0


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="no row to compare"):
        feature_drift(reference_of(np.zeros((40, 1))), np.empty((0, 1)), ("x0",), 1)


def test_a_reference_is_stored_and_comes_back(tmp_path):
    reference = reference_of(np.random.default_rng(3).normal(size=(400, 2)))
    save_state(reference.state(), tmp_path / "state")
    again = Reference.from_state(load_state(tmp_path / "state"))
    for name, value in vars(reference).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert reference.rows_per_day == 4 and len(reference.day_scores) == 50


# -- the martingale -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.floats(0.0, 80.0))
def test_the_mixture_is_the_integral(count, total):
    by_quadrature = quad(lambda e: np.exp(count * np.log(e) + (1 - e) * total), 0, 1, epsabs=0, epsrel=1e-10, limit=200)
    assert np.exp(log_simple_mixture(total, count)) == pytest.approx(by_quadrature[0], rel=1e-7)


def test_both_forms_of_the_mixture_meet():
    """The series is used below n + 1, the incomplete gamma function from there on."""
    for count in (1, 10, 200):
        around = [log_simple_mixture((count + 1) * (1 + shift), count) for shift in (-1e-9, 1e-9)]
        assert around[0] == pytest.approx(around[1], abs=1e-6)


def test_p_values_of_exchangeable_scores_are_uniform_even_with_ties():
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 5, 600).astype(float)
    p = conformal_p_values(scores[:100], scores[100:], seed=5)
    assert kstest(p, "uniform").pvalue > 0.01


def test_a_p_value_by_hand():
    """Of 1, 2, 3 and the new 2.5 one is above; the new one itself counts u times."""
    u = np.random.default_rng(0).random(1)[0]
    assert conformal_p_values(np.array([1.0, 2.0, 3.0]), np.array([2.5]), seed=0)[0] == pytest.approx((1 + u) / 4)


@pytest.mark.parametrize("threshold", [5.0, 20.0])
def test_exchangeable_days_alarm_no_more_often_than_ville_allows(threshold):
    """P(sup M >= c) <= 1 / c: of 1,000 series of heavy-tailed days, with three standard errors of room."""
    rng, runs = np.random.default_rng(6), 1000
    alarms = 0
    for seed in range(runs):
        scores = rng.standard_t(2, size=80)
        alarms += watch(scores[:40], scores[40:], seed=seed).highest >= threshold
    assert alarms / runs <= 1 / threshold + 3 * np.sqrt(1 / threshold / runs)


def test_a_shift_is_caught():
    rng = np.random.default_rng(7)
    caught = [watch(rng.normal(size=60), rng.normal(1.5, 1, size=40), seed=s).highest >= 100 for s in range(50)]
    assert np.mean(caught) > 0.9


def test_no_fresh_day_leaves_the_capital_at_one():
    assert watch(np.arange(5.0), np.array([]), seed=0).highest == 1.0


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="must be finite"):
        watch(np.array([np.nan]), np.array([1.0]), seed=0)


def test_calibrated_days_score_zero_on_average_whatever_their_level():
    rng = np.random.default_rng(8)
    day = np.repeat(np.arange(400), 50)
    p = np.repeat(rng.uniform(0.01, 0.6, 400), 50)[:, None]
    y = (rng.random(p.shape) < p).astype(float)
    scores = excess_day_losses(p, y, day, stride=1)
    assert abs(scores.mean()) < 3 * scores.std() / np.sqrt(400)
    assert excess_day_losses(p * 0.5, y, day, stride=1).mean() > 5 * scores.std() / np.sqrt(400)


def test_days_are_spaced_and_rows_counted():
    p, y, day = np.full((12, 1), 0.5), np.ones((12, 1)), np.repeat(np.arange(4), 3)
    assert len(excess_day_losses(p, y, day, stride=2)) == 2 and day_stride(24) == 2
    p[:, 0] = np.tile([0.5, 0.9, 0.5], 4)
    at_most_two = excess_day_losses(p, y, day, stride=2, most_rows=2)
    assert at_most_two.tolist() == pytest.approx([0.0, 0.0])  # first and last of each day: -log(.5) as expected
    y[0] = np.nan
    assert np.isfinite(excess_day_losses(p, y, day, stride=2)).all()


# -- the number of liquidations -----------------------------------------------------------------------------------


def clustered(rng, days=60, rows=40, spread=1.0):
    """Rows whose chance is 10% forecast, but moves with a shock that all rows of a day share."""
    shock = rng.lognormal(-(spread**2) / 2, spread, days)  # mean one: right over days
    day = np.repeat(np.arange(days), rows)
    chance = np.minimum(0.1 * np.repeat(shock, rows), 1.0)
    return np.full(len(day), 0.1), (rng.random(len(day)) < chance).astype(float), day


def test_clustered_counts_are_rejected_about_as_often_as_said_where_kupiecs_plain_test_rejects_far_more():
    rng, runs = np.random.default_rng(9), 300
    mine = plain = 0
    for _ in range(runs):
        p, y, day = clustered(rng, spread=0.7)
        mine += count_test(p, y, day).test.p_value < 0.05
        plain += kupiec(int(y.sum()), len(y), 0.1).p_value < 0.05
    assert mine / runs < 0.12
    assert plain / runs > 0.25


def test_twice_as_many_liquidations_as_forecast_are_caught():
    p, y, day = clustered(np.random.default_rng(10), days=90, spread=0.5)
    assert count_test(p / 2, y, day).test.p_value < 1e-4


def test_independent_rows_give_kupiecs_own_test():
    """Forecasts all alike and every day as forecast: no day varies, the binomial variance stands, effect 1."""
    p, y, day = np.full(100, 0.2), np.tile([1.0, 0, 0, 0, 0], 20), np.repeat(np.arange(20), 5)
    found = count_test(p, y, day)
    assert found.design_effect == pytest.approx(1.0) and (found.found, found.expected) == (20, pytest.approx(20.0))
    assert found.test == kupiec(20, 100, float(p.mean()))


def test_certain_forecasts_are_right_or_wrong():
    day = np.arange(4)
    assert count_test(np.zeros(4), np.zeros(4), day).test.p_value == 1.0
    assert count_test(np.zeros(4), np.array([0.0, 0, 1, 0]), day).test.p_value == 0.0


# -- the decision -------------------------------------------------------------------------------------------------


def rows_of(p, y, day):
    p, y = np.tile(p[:, None], 3), np.tile(y[:, None], 3)
    return FreshLabels(p, np.full_like(p, float(y.mean())), y, day, ("1h", "4h", "24h"), (1.0, 4.0, 24.0))


@pytest.fixture(scope="module")
def calm():
    """A reference and new rows alike, whose forecasts are right and no better than the base rate's."""
    rng = np.random.default_rng(11)
    values = rng.normal(size=(400, 4))
    p, y, day = clustered(rng, days=60, rows=8, spread=0.1)
    reference = reference_of(values)
    sample = small.dataset().sample.take(np.arange(400))
    sample = replace(sample, features=rng.permutation(values), feature_names=reference.columns)
    scores = excess_day_losses(np.tile(p[:, None], 3), np.tile(y[:, None], 3), day, stride=2)
    return replace(reference, day_scores=scores, rows_per_day=8), sample, clustered(rng, days=40, rows=8, spread=0.1)


def test_nothing_new_is_no_alarm(calm):
    reference, sample, (p, y, day) = calm
    report = assess_drift(reference, sample, day, rows_of(p, y, day), seed=0)
    assert report.fall_back is None and report.alarms == () and report.shifted == 0
    assert set(report.counts) == {"1h", "4h", "24h"} and report.martingale.days == 20
    json.dumps(report.as_dict())


def test_a_reference_of_too_few_days_leaves_the_martingale_out_and_says_so(calm):
    reference, sample, (p, y, day) = calm
    short = replace(reference, day_scores=reference.day_scores[:9])
    report = assess_drift(short, sample, day, rows_of(p, y, day), seed=0)
    assert report.martingale is None and report.counts
    assert report.warnings == ("no loss martingale: validation left 9 days to compare with",)


def test_losses_that_mount_make_it_fall_back(calm):
    reference, sample, (p, y, day) = calm
    worse = np.where(np.random.default_rng(12).random(len(y)) < 0.35, 1.0, y)
    report = assess_drift(reference, sample, day, rows_of(p, worse, day), seed=0)
    assert report.fall_back is not None and "martingale" in report.fall_back.reason
    assert "liquidations within 4h against" in report.fall_back.reason
    assert "; ".join(report.alarms) == report.fall_back.reason


def test_a_hybrid_that_is_proven_better_all_the_same_stays(calm):
    reference, sample, (p, y, day) = calm
    worse = np.where(np.random.default_rng(12).random(len(y)) < 0.35, 1.0, y)
    labels = rows_of(p, worse, day)
    report = assess_drift(reference, sample, day, replace(labels, fhs=np.full_like(labels.fhs, 0.001)), seed=0)
    assert report.alarms and report.fall_back is None and report.skill.low > 0
    assert any("the hybrid stays" in line for line in report.warnings)


def test_features_alone_decide_where_labels_are_few(calm):
    reference, sample, (p, y, day) = calm
    few = day < 5
    labels = rows_of(p[few], y[few], day[few])
    quiet = assess_drift(reference, sample, day, labels, seed=0)
    assert quiet.fall_back is None and quiet.martingale is None and quiet.skill is None and quiet.counts == {}
    assert "only features" in quiet.warnings[-1]
    moved = replace(sample, features=sample.features + np.array([3.0, 3.0, 3.0, 0.0]))
    assert "75% of the features have shifted" in assess_drift(reference, moved, day, labels, seed=0).fall_back.reason
    one = replace(sample, features=sample.features + np.array([3.0, 0.0, 0.0, 0.0]))
    report = assess_drift(reference, one, day, labels, seed=0)
    assert report.fall_back is None and "25% of the features" in report.warnings[0]
    strict = DriftLimits(shifted_alarm=0.2)
    assert assess_drift(reference, one, day, labels, seed=0, limits=strict).fall_back is not None


@pytest.mark.parametrize(("days", "decided"), [(2, False), (9, False), (10, True), (11, True)])
def test_below_the_least_number_of_days_nothing_is_decided(calm, days, decided):
    """Three of four features have shifted, which alarms where there are days enough; labels are unknown."""
    reference, sample, (p, y, day) = calm
    moved = replace(sample, features=sample.features + np.array([3.0, 3.0, 3.0, 0.0]))
    labels = replace(rows_of(p, y, day), outcome=np.full((len(y), 3), np.nan))
    report = assess_drift(reference, moved, np.arange(len(sample)) % days, labels, seed=0)
    shift = "75% of the features have shifted (stability index 0.25 or more)"
    assert report.days == days and report.decided == decided and report.shifted == 0.75
    if decided:
        assert report.alarms == (shift,) and report.fall_back.reason == shift
    else:
        assert report.alarms == () and report.fall_back is None
        assert report.warnings == (f"too few days to decide: {days}, 10 needed", shift)


# -- falling back in scores ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book():
    view = small.view()
    bar = len(view.history)
    return simulate_accounts(
        view.history, small.RULES, accounts=40, first_bar=bar, last_bar=bar + 1, horizons=(1, 24), seed=8
    ).book


@pytest.fixture(scope="module")
def reference():
    """Of the small market's model: its columns, the learned scale of its bars."""
    model, data = small.fitted(), small.evaluation().data
    said = small.evaluation().probabilities["hybrid"]
    fields = model.scales_.fields(small.data(), small.view().frame, data.sample.bar)
    return training_reference(
        with_columns(data.sample, model.columns_),
        data.day,
        fields["learned"],
        probability=said,
        outcome=data.breached,
        judged_day=data.day,
        stride=2,
    )


def scorer(reference=None, **settings) -> Scorer:
    model = copy.copy(small.fitted())
    model.reference_ = reference
    return Scorer(model, small.view(), small.RULES, len(small.view().history), **settings)


def test_within_the_trained_range_the_hybrid_speaks(book, reference):
    forecast = scorer(reference).forecast(book)
    assert (forecast.fallback_reason == "").all()
    assert forecast.record(3)["source"] == "hybrid" and forecast.record(3)["fallback_reason"] is None
    assert forecast.probability.tobytes() == small.scorer().predict(book)["hybrid"].tobytes()


def test_a_monitors_word_makes_every_score_fhs_and_says_so(book):
    fallen = scorer(fall_back="loss martingale 150")
    said, forecast = fallen.predict(book), fallen.forecast(book)
    assert forecast.probability.tobytes() == said["fhs"].tobytes()
    assert (forecast.probability != said["hybrid"]).any()
    record = forecast.record(0)
    assert record["source"] == "fhs" and record["fallback_reason"] == "loss martingale 150"
    assert (forecast.low <= forecast.probability).all() and (forecast.probability <= forecast.high).all()
    json.dumps(record)


def test_advice_and_reasons_are_of_the_score_that_is_shown(book):
    fallen = scorer(fall_back="drift")
    advice = advise(fallen, book, horizon="24h", target=0.05)
    said = fallen.predict(book)["forecast"][:, -1]
    assert ((advice.deposit == 0) == (said <= 0.05)).all()
    for row, parts in enumerate(explain(fallen, book, "24h")):
        p = np.clip(said[row], 1e-7, 1 - 1e-7)
        assert sum(part["effect"] for part in parts) == pytest.approx(np.log(p / (1 - p)), abs=1e-6)
        assert "fall_back" in {part["code"] for part in parts}


def test_a_scale_beyond_the_trained_range_falls_back_for_those_pools_only(reference):
    made = scorer(reference)
    price = made.market.mark
    records = [
        {
            "account": symbol,
            "balances": {"USDT": 0.1 * price[k]},
            "positions": [{"symbol": symbol, "quantity": 1.0, "entry_price": price[k]}],
        }
        for k, symbol in enumerate(("BTC", "SOL"))
    ]
    book = book_from_records(records, made.view.history.instruments)
    learned = made.fields["learned"]
    sigma = learned.sigma.copy()
    sigma[made.bar, 0, 1] = reference.scale_range[1, 1] * SCALE_SLACK * 1.01
    made.fields = made.fields | {"learned": ScaleField(sigma, learned.horizons)}
    forecast = made.forecast(book)
    assert forecast.record(0)["source"] == "fhs" and forecast.record(1)["source"] == "hybrid"
    assert "volatility over 4h" in forecast.fallback_reason[0]
    sigma[made.bar, 0, 1] = reference.scale_range[1, 1] * SCALE_SLACK * 0.99
    assert made.forecast(book).record(0)["source"] == "hybrid"
    sigma[made.bar, 0, 1] = reference.scale_range[1, 0] / SCALE_SLACK * 0.99
    assert made.forecast(book).record(0)["source"] == "fhs"


def test_missing_features_fall_back_past_the_limit(reference):
    data, names = small.evaluation().data, ("1h", "4h", "24h")
    sample = with_columns(data.sample, small.fitted().columns_).take(np.arange(2))
    field = ScaleField(np.full((len(small.view().history) + 1, 3, 3), np.nan), small.HORIZONS)
    usual = np.flatnonzero(reference.usually_known)
    assert (out_of_range(reference, sample, field, names) == "").all()
    features = sample.features.copy()
    features[1, usual[: int(MOST_MISSING * len(usual)) + 1]] = np.nan
    first, second = out_of_range(reference, replace(sample, features=features), field, names)
    assert first == "" and "of the features that training rows had are missing" in second
    features[1, usual[0]] = 0.0
    assert out_of_range(reference, replace(sample, features=features), field, names)[1] == ""
