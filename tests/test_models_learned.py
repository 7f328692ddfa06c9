"""Learned models: scales, account boosters and calibration, against twins, planted truths and themselves reloaded."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from margincast.models.account_boosting import AccountBooster, logit
from margincast.models.booster import booster_from_text, booster_text, raw_scores, train_booster
from margincast.models.calibration import BetaCalibration
from margincast.models.sample import AccountSample
from margincast.models.scale import HarScale, LearnedScale, blended_log_scale
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure

NAMES = ("v1", "v2", "v3", "mood", "noise")


def volatility_rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log volatilities, two further features, and a target with a term that no straight line has."""
    rng = np.random.default_rng(seed)
    level = rng.normal(-4, 0.5, n)
    features = np.column_stack([*(level + 0.2 * rng.normal(size=n) for _ in range(3)), *rng.normal(size=(2, n))])
    target = 0.2 + features[:, :3] @ [0.5, 0.3, 0.1] + 0.4 * (np.abs(features[:, 3]) < 0.7)
    return features, target + 0.3 * rng.normal(size=n)


def test_har_is_least_squares() -> None:
    features, target = volatility_rows(3000, 1)
    features[::7, 2], target[::11] = np.nan, np.nan
    whole = np.isfinite(features[:, :3]).all(axis=1) & np.isfinite(target)
    design = np.column_stack((np.ones(whole.sum()), features[whole, :3]))
    twin = np.linalg.lstsq(design, target[whole], rcond=None)[0]
    model = HarScale().fit(features[:, :3], target, NAMES[:3])
    np.testing.assert_allclose(model.coefficients_, twin, rtol=1e-8)
    np.testing.assert_allclose(model.predict(features[whole, :3]), design @ twin, rtol=1e-10)
    assert np.isnan(model.predict(features[:, :3])).tolist() == np.isnan(features[:, 2]).tolist()
    assert model.names_ == NAMES[:3]


def test_har_finds_planted_coefficients_and_copes_with_a_repeated_column() -> None:
    features, _ = volatility_rows(500, 2)
    target = 1.5 + features[:, :2] @ [0.7, -0.2]
    model = HarScale().fit(features[:, :2], target, NAMES[:2])
    np.testing.assert_allclose(model.coefficients_, [1.5, 0.7, -0.2], rtol=1e-9)
    doubled = np.column_stack((features[:, :2], features[:, 0]))
    again = HarScale().fit(doubled, target, ["a", "b", "c"])
    np.testing.assert_allclose(again.coefficients_, [1.5, 0.35, -0.2, 0.35], rtol=1e-7)


def test_har_state_and_too_few_rows() -> None:
    features, target = volatility_rows(50, 3)
    model = HarScale().fit(features[:, :3], target, NAMES[:3])
    back = HarScale.from_state(model.state())
    assert back.predict(features[:, :3]).tobytes() == model.predict(features[:, :3]).tobytes()
    assert back.names_ == model.names_
    features[4:, 1] = np.nan
    with pytest.raises(InputError, match=r"too few complete rows to fit volatility on \(found 4\)"):
        HarScale().fit(features[:, :3], target, NAMES[:3])


def test_blended_scale_is_the_root_mean_square() -> None:
    log = np.log(np.random.default_rng(4).uniform(0.01, 0.1, (20, 3)))
    np.testing.assert_allclose(np.exp(blended_log_scale(log)) ** 2, (np.exp(log) ** 2).mean(axis=1), rtol=1e-12)
    assert np.isnan(blended_log_scale(np.array([0.0, np.nan])))


def learned(rows: int, threads: int = 1, *, rounds: int) -> LearnedScale:
    features, target = volatility_rows(rows, 5)
    base = HarScale().fit(features[:, :3], target, NAMES[:3]).predict(features[:, :3])
    return LearnedScale(rounds, seed=7, threads=threads).fit(features, base, target, NAMES)


def test_learned_scale_beats_the_autoregression_on_what_it_cannot_say() -> None:
    features, target = volatility_rows(8000, 5)
    har = HarScale().fit(features[:, :3], target, NAMES[:3])
    later, truth = volatility_rows(4000, 6)
    base = har.predict(later[:, :3])
    error = np.square(learned(8000, rounds=250).predict(later, base) - truth).mean()
    assert error < 0.85 * np.square(base - truth).mean()
    assert error < 1.1 * 0.3**2  # the noise that was planted


def test_learned_scale_is_the_same_bits_at_any_thread_count_and_reloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("margincast.models.booster.PARALLEL_ROWS", 1)
    later, _ = volatility_rows(3000, 8)
    base = later[:, :3].mean(axis=1)
    one, two = learned(3000, rounds=8), learned(3000, threads=2, rounds=8)
    said = one.predict(later, base)
    assert two.predict(later, base).tobytes() == said.tobytes()
    assert json.dumps(two.state()) == json.dumps(one.state())
    back = LearnedScale.from_state(json.loads(json.dumps(one.state())))
    assert back.predict(later, base).tobytes() == said.tobytes()
    assert back.state() == one.state()


def test_learned_scale_is_nan_where_the_base_is_and_takes_missing_features() -> None:
    model = learned(2000, rounds=60)
    features, _ = volatility_rows(4, 9)
    features[1] = np.nan
    base = np.array([-4.0, -4.0, np.nan, -4.0])
    assert np.isnan(model.predict(features, base)).tolist() == [False, False, True, False]
    assert np.isnan(model.predict(features, np.full(4, np.nan))).all()


def test_without_rows_nothing_is_learned() -> None:
    features, target = volatility_rows(30, 10)
    with pytest.raises(InputError, match="target: has no row to train on"):
        LearnedScale().fit(features, np.full(30, np.nan), target, NAMES)
    with pytest.raises(InputError, match=r"rounds: must be at least one tree \(found 0\)"):
        LearnedScale(0).fit(features, target, target, NAMES)


def test_booster_text_says_nothing_of_threads_and_reads_back() -> None:
    features, target = volatility_rows(1000, 11)
    options = {"parameters": {"objective": "regression"}, "rounds": 3, "seed": 1}
    text = booster_text(train_booster(features, target, NAMES, **options))
    assert "num_threads" not in text
    assert booster_text(booster_from_text(text)) == text
    weighted = train_booster(features, target, NAMES, weight=np.linspace(0, 5, 1000), **options)
    assert booster_text(weighted) != text


COLUMNS = ("distance", "usage", "mood", "noise")
HORIZONS = (1, 4)


def accounts(n: int, seed: int) -> tuple[AccountSample, np.ndarray]:
    """Rows whose probability falls with distance and rises with usage; mood matters at the second horizon only."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    room = rng.uniform(0.1, 1.0, n)
    exposure = Exposure(np.arange(n + 1), np.zeros(n, dtype=np.int64), np.ones(n), room, room, np.zeros(n))
    score = -1.0 - 1.2 * x[:, :1] + 0.8 * x[:, 1:2] + np.array([0.0, 1.5]) * (x[:, 2:3] > 0)
    breached = (rng.random((n, 2)) < expit(score)).astype(np.float64)
    return AccountSample(np.ones(n, dtype=np.int64), exposure, HORIZONS, x, COLUMNS), breached


def booster(rounds: tuple[int, ...] = (30, 40), threads: int = 1) -> AccountBooster:
    return AccountBooster(COLUMNS, {"distance": -1, "usage": 1}, rounds, seed=3, threads=threads)


@pytest.fixture(scope="module")
def fitted() -> AccountBooster:
    sample, breached = accounts(6000, 1)
    breached[::9, 1] = np.nan
    return booster().fit(sample, breached)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), column=st.sampled_from([("distance", -1), ("usage", 1)]))
def test_probability_is_monotone_in_the_columns_it_is_told(
    fitted: AccountBooster, seed: int, column: tuple[str, int]
) -> None:
    rng = np.random.default_rng(seed)
    one, _ = accounts(1, seed)
    ladder = one.take(np.zeros(80, dtype=np.int64))
    ladder.features[:] = 2 * rng.normal(size=4)
    ladder.features[:, COLUMNS.index(column[0])] = np.sort(3 * rng.normal(size=80))
    said = fitted.predict(ladder)
    assert (np.diff(said, axis=0) * column[1] >= 0).all()
    assert (np.diff(said, axis=1) >= 0).all()


def test_booster_finds_what_was_planted(fitted: AccountBooster) -> None:
    sample, breached = accounts(4000, 2)
    said = fitted.predict(sample)
    base = breached.mean(axis=0)
    for k in range(2):
        p, y = said[:, k], breached[:, k]
        loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
        plain = -(base[k] * np.log(base[k]) + (1 - base[k]) * np.log(1 - base[k]))
        assert loss < 0.9 * plain
        assert abs(p.mean() - base[k]) < 4 * np.sqrt(base[k] * (1 - base[k]) / 4000)
    mood = sample.column("mood") > 0
    assert said[mood, 1].mean() - said[~mood, 1].mean() > 0.15 > said[mood, 0].mean() - said[~mood, 0].mean()


def test_without_trees_the_offset_or_the_base_rate_comes_back(fitted: AccountBooster) -> None:
    sample, breached = accounts(6000, 3)
    start = np.random.default_rng(4).normal(size=(6000, 2))
    corrected = booster().fit(sample, breached, start)
    assert (corrected.scores(sample, start) != start).any()
    np.testing.assert_array_equal(corrected.scores(sample, start, trees=0), start)
    trained, outcome = accounts(6000, 1)
    outcome[::9, 1] = np.nan
    rate = np.nanmean(outcome, axis=0)
    np.testing.assert_allclose(fitted.scores(trained, trees=0), np.tile(np.log(rate / (1 - rate)), (6000, 1)))


def test_an_offset_that_is_right_leaves_nothing_to_correct_and_a_wrong_one_is_mended() -> None:
    sample, breached = accounts(6000, 5)
    x = sample.features
    mood = 1.5 * (x[:, 2:3] > 0) * np.array([0.0, 1.0])
    truth = -1.0 - 1.2 * x[:, :1] + 0.8 * x[:, 1:2] + mood
    right, wrong = booster().fit(sample, breached, truth), booster().fit(sample, breached, truth - mood)
    assert np.abs(right.scores(sample)).mean() < 0.1
    learned_of_mood = wrong.scores(sample)[:, 1] - right.scores(sample)[:, 1]
    assert 0.8 < learned_of_mood[x[:, 2] > 0].mean() < 1.6
    assert abs(learned_of_mood[x[:, 2] <= 0].mean()) < 0.2
    np.testing.assert_array_equal(wrong.scores(sample, truth), wrong.scores(sample) + truth)


def test_rows_without_an_offset_are_left_out_and_stay_unknown() -> None:
    sample, breached = accounts(3000, 6)
    start = np.zeros((3000, 2))
    start[::3, 1] = np.nan
    model = booster().fit(sample, breached, start)
    kept = np.flatnonzero(np.isfinite(start[:, 1]))
    alone = booster().fit(sample.take(kept), breached[kept], start[kept])
    assert model.scores(sample)[:, 1].tobytes() == alone.scores(sample)[:, 1].tobytes()
    said = model.predict(sample, start)
    np.testing.assert_array_equal(np.isnan(said), np.isnan(start))


def test_explanations_add_up_to_the_score(fitted: AccountBooster) -> None:
    sample, _ = accounts(200, 7)
    for k, horizon in enumerate(HORIZONS):
        parts = fitted.explain(sample, horizon)
        assert parts.shape == (200, 5)
        np.testing.assert_allclose(parts.sum(axis=1), fitted.scores(sample)[:, k], rtol=1e-9)
    usual = np.abs(fitted.explain(sample, 1)).mean(axis=0)
    assert usual[:2].min() > 4 * usual[2:4].max()


def test_booster_state_and_threads_change_no_bit(fitted: AccountBooster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("margincast.models.booster.PARALLEL_ROWS", 1)
    sample, breached = accounts(6000, 1)
    once, twice = (booster((4, 6), threads).fit(sample, breached) for threads in (1, 2))
    text = json.dumps(once.state())
    assert json.dumps(twice.state()) == text
    back = AccountBooster.from_state(json.loads(text))
    for model in (twice, back):
        assert model.predict(sample).tobytes() == once.predict(sample).tobytes()
        assert model.explain(sample, 4).tobytes() == once.explain(sample, 4).tobytes()
    assert fitted.predict(sample, trees=5).tobytes() != fitted.predict(sample).tobytes()


def test_breach_is_certain_whatever_the_trees_say(fitted: AccountBooster) -> None:
    sample, _ = accounts(3, 8)
    sample.exposure.headroom[1] = -0.1
    said = fitted.predict(sample)
    assert (said[1] == 1.0).all()
    assert (said[[0, 2]] < 1.0).all()


def test_bad_input_to_the_booster_is_refused(fitted: AccountBooster) -> None:
    sample, breached = accounts(600, 9)
    with pytest.raises(InputError, match=r"directions: has a direction and is not among .*found 'distanse'"):
        AccountBooster(COLUMNS, {"distanse": -1}, (1, 1)).fit(sample, breached)
    with pytest.raises(InputError, match=r"rounds: needs one for each of 2 horizons \(found \(5,\)\)"):
        booster((5,)).fit(sample, breached)
    with pytest.raises(InputError, match="is not a feature of this sample"):
        AccountBooster(("speed",), {}, (1, 1)).fit(sample, breached)
    with pytest.raises(InputError, match=r"breached: has no row whose outcome and offset are known"):
        booster().fit(sample, breached * [1.0, np.nan])
    with pytest.raises(InputError, match="has no row whose outcome and offset are known"):
        booster().fit(sample, breached, np.full((600, 2), np.nan))
    with pytest.raises(InputError, match=r"horizon: is not one of \[1, 4\] \(found 2\)"):
        fitted.explain(sample, 2)


def test_logit_is_bounded_and_keeps_nan() -> None:
    found = logit(np.array([0.0, 0.5, 1.0, np.nan, 0.2]))
    np.testing.assert_allclose(found, [-np.log(1e7 - 1), 0, np.log(1e7 - 1), np.nan, np.log(0.25)], atol=1e-8)


def planted(n: int, a: float, b: float, c: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.8, 2.0, n)
    return p, (rng.random(n) < expit(a * np.log(p) - b * np.log1p(-p) + c)).astype(np.float64)


@pytest.mark.parametrize("truth", [(1.3, 0.7, 0.4), (0.6, 1.5, -0.3), (1.0, 1.0, 0.0)])
def test_calibration_recovers_what_was_planted(truth: tuple[float, float, float]) -> None:
    p, y = planted(60_000, *truth, seed=1)
    model = BetaCalibration(shrinkage=0.0).fit(p, y)
    design = np.column_stack((np.log(p), -np.log1p(-p), np.ones(len(p))))
    q = expit(design @ truth)
    error = np.sqrt(np.diag(np.linalg.inv(design.T @ (design * (q * (1 - q))[:, None]))))
    assert (np.abs(np.array([model.a_, model.b_, model.c_]) - truth) < 3.5 * error).all()
    said = model.predict(p)
    np.testing.assert_allclose(design.T @ (said - y) / len(p), 0.0, atol=2e-5)  # the maximum of the likelihood


def test_calibration_is_shrunk_towards_changing_nothing() -> None:
    p, y = planted(5000, 0.5, 0.5, 1.0, seed=2)
    grid = np.linspace(0.01, 0.99, 50)
    change = [np.abs(BetaCalibration(s).fit(p, y).predict(grid) - grid).max() for s in (0.0, 500.0, 2000.0, 1e9)]
    assert change == sorted(change, reverse=True)
    assert change[0] > 0.15
    assert change[-1] < 1e-4
    nothing = BetaCalibration().fit(np.full(4, np.nan), y[:4])
    np.testing.assert_allclose(nothing.predict(grid), grid, rtol=1e-12)


def test_calibration_leaves_out_rows_that_are_not_known() -> None:
    p, y = planted(4000, 1.3, 0.7, 0.4, seed=3)
    holes = p.copy(), y.copy()
    holes[0][::5], holes[1][::7] = np.nan, np.nan
    known = np.isfinite(holes[0]) & np.isfinite(holes[1])
    with_holes, without = BetaCalibration().fit(*holes), BetaCalibration().fit(p[known], y[known])
    assert with_holes.state() == without.state()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shrinkage=st.sampled_from([0.0, 20.0, 2000.0]))
def test_calibration_keeps_order_even_on_outcomes_that_reverse_it(seed: int, shrinkage: float) -> None:
    rng = np.random.default_rng(seed)
    p = rng.beta(1.0, 3.0, 400)
    model = BetaCalibration(shrinkage).fit(p, (rng.random(400) < 1 - p).astype(np.float64))
    assert model.a_ >= 0 and model.b_ >= 0
    ladder = np.sort(np.concatenate((p, [0.0, 1e-12, 1e-6, 1 - 1e-6, 1.0])))
    said = model.predict(ladder)
    assert (np.diff(said) >= -1e-15).all()
    assert (said[0], said[-1]) == (0.0, 1.0)


def test_calibration_keeps_certainty_and_nan_and_comes_back_from_its_state() -> None:
    model = BetaCalibration(10.0).fit(*planted(3000, 1.3, 0.7, 0.4, seed=4))
    asked = np.array([0.0, 1.0, np.nan, 0.3, -0.0])
    said = model.predict(asked)
    np.testing.assert_array_equal(said[[0, 1, 2, 4]], [0.0, 1.0, np.nan, 0.0])
    assert said[3] == pytest.approx(expit(model.a_ * np.log(0.3) - model.b_ * np.log(0.7) + model.c_), rel=1e-12)
    back = BetaCalibration.from_state(json.loads(json.dumps(model.state())))
    assert back.state() == model.state()
    assert back.predict(asked).tobytes() == said.tobytes()


FIT_AND_HASH = """
import hashlib
import numpy as np
from margincast.models.calibration import BetaCalibration
from margincast.models.scale import HarScale
rng = np.random.default_rng(0)
x = rng.normal(size=(80000, 11)).cumsum(axis=1) * 0.3 - 4
y = x.sum(axis=1) / 11 + 0.3 * rng.normal(size=80000)
har = HarScale().fit(x, y, [str(k) for k in range(11)])
p = rng.beta(0.5, 5, 100000)
line = BetaCalibration().fit(p, (rng.random(100000) < p**1.2).astype(float))
print(har.coefficients_.tobytes().hex(), line.a_.hex(), line.b_.hex(), line.c_.hex())
"""


def test_the_threads_of_the_linear_algebra_library_change_no_bit() -> None:
    said = []
    for threads in ("1", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", FIT_AND_HASH], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        said.append(hashlib.sha256(done.stdout.encode()).hexdigest())
    assert said[0] == said[1]


def test_raw_scores_of_some_trees_add_up() -> None:
    features, target = volatility_rows(1000, 12)
    model = train_booster(features, target, NAMES, parameters={"objective": "regression"}, rounds=6, seed=1)
    first = raw_scores(model, features, trees=2)
    assert not np.array_equal(first, raw_scores(model, features))
    np.testing.assert_array_equal(raw_scores(model, features, trees=6), raw_scores(model, features))
    np.testing.assert_array_equal(raw_scores(model, features, trees=0), np.zeros(1000))
    assert raw_scores(model, features[:0]).shape == (0,)
