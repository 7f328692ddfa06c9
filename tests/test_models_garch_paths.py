"""GARCH-t Monte Carlo against the reflection principle, arch, finely stepped simulation and its plain twin."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from margincast.features.volatility.garch_kernel import garch_bar
from margincast.models.garch_fit import fit_garch_t, garch_variance, student_likelihood
from margincast.models.garch_path_kernel import simulate_series
from margincast.models.garch_paths import GarchPaths, watched_bars
from margincast.models.sample import AccountSample
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SIGMA = 0.01
NORMAL = 1e7
"""Degrees of freedom at which Student's t is normal."""
BROADIE_GLASSERMAN_KOU = 0.5826
"""-zeta(1/2) / sqrt(2 pi): a barrier watched at steps acts as if this many step deviations further off (1997)."""


def sample_of(legs: list[dict[int, float]], headroom: list[float], bar: list[int] | int, horizons: tuple[int, ...]):
    room = np.array(headroom, dtype=np.float64)
    series = np.array([s for pool in legs for s in sorted(pool)], dtype=np.int64)
    weight = np.array([pool[s] for pool in legs for s in sorted(pool)], dtype=np.float64)
    pointer = np.concatenate(([0], np.cumsum([len(pool) for pool in legs]))).astype(np.int64)
    exposure = Exposure(pointer, series, weight, room, room, np.zeros(len(room)))
    bars = np.broadcast_to(np.asarray(bar, dtype=np.int64), room.shape).copy()
    return AccountSample(bars, exposure, horizons, np.zeros((len(room), 0)), ())


def model_of(parameters: list[list[float]], correlation: float, horizons: tuple[int, ...], paths: int, seed: int = 1):
    n = len(parameters)
    state = {
        "horizons": list(horizons),
        "seed": seed,
        "paths": paths,
        "parameters": np.array(parameters),
        "fitted": np.ones(n, dtype=bool),
        "correlation": np.full((n, n), correlation) + (1.0 - correlation) * np.eye(n),
    }
    return GarchPaths.from_state(state)


CONSTANT = [0.0, 0.0, 1.0, NORMAL, SIGMA**2]
CLUSTERED = [[2e-6, 0.10, 0.85, 5.0, 1e-4], [4e-6, 0.05, 0.90, 8.0, 2e-4], [1e-6, 0.20, 0.75, 4.0, 1e-4]]


def simulated_garch(bars: int, seed: int, freedom: float = 5.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.standard_t(freedom, bars) * np.sqrt((freedom - 2) / freedom)
    out, variance = np.empty(bars), 1e-4
    for i in range(bars):
        out[i] = np.sqrt(variance) * z[i]
        variance = 2e-6 + 0.1 * out[i] ** 2 + 0.88 * variance
    return out


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("horizons", [(1, 4, 24), (5, 100)])
def test_at_constant_variance_it_is_the_reflection_principle(side: float, horizons: tuple[int, ...]) -> None:
    paths, distance = 16_000, np.array([0.5, 1.0, 1.5, 2.0, 2.5])
    model = model_of([CONSTANT], 0.0, horizons, paths)
    for k, horizon in enumerate(horizons):
        move = distance * SIGMA * np.sqrt(horizon)
        headroom = -np.expm1(-move) if side > 0 else np.expm1(move)
        said = model.predict(sample_of([{0: side}] * 5, list(headroom), 0, horizons), np.full((1, 1), SIGMA**2))[:, k]
        exact = 2 * stats.norm.sf(distance)
        assert (np.abs(said - exact) < 3.5 * np.sqrt(exact * (1 - exact) / paths)).all()


def test_many_legs_of_one_constant_variance_are_one_brownian_motion() -> None:
    """Small moves, so that relative and log moves are the same: the pool's deviation is sqrt(w' R w) sigma."""
    sigma, weight, correlation = 1e-4, np.array([1.0, -0.7, 0.4]), 0.6
    model = model_of([[0.0, 0.0, 1.0, NORMAL, sigma**2]] * 3, correlation, (1, 24), 16_000)
    matrix = np.full((3, 3), correlation) + 0.4 * np.eye(3)
    room = np.sqrt(weight @ matrix @ weight) * sigma
    legs = [dict(enumerate(weight))] * 2
    said = model.predict(sample_of(legs, [room, 2 * room * np.sqrt(24)], 0, (1, 24)), np.full((1, 3), sigma**2))
    for found, exact in ((said[0, 0], 2 * stats.norm.sf(1.0)), (said[1, 1], 2 * stats.norm.sf(2.0))):
        assert abs(found - exact) < 3.5 * np.sqrt(exact * (1 - exact) / 16_000)


def finely_stepped(model: GarchPaths, variance: np.ndarray, weight: np.ndarray, room: float, bars: int) -> np.ndarray:
    """Frequency of touching by each bar: 50 steps a bar given its mixing variable, other random numbers, one by one."""
    rng, paths, parts = np.random.default_rng(99), 12_000, 50
    root = np.linalg.cholesky(model.correlation_)
    log_price, now, touched = np.zeros((paths, len(weight))), np.tile(variance, (paths, 1)), np.zeros(paths, dtype=bool)
    out, freedom = [], model.parameters_[:, 3]
    for _ in range(bars):
        uniform = rng.random(paths)[:, None]
        within = np.sqrt(now * (freedom - 2) / stats.chi2.ppf(1 - uniform, freedom) / parts)
        start = log_price.copy()
        for _ in range(parts):
            log_price += within * (rng.normal(size=(paths, len(weight))) @ root.T)
            exposed = weight * np.exp(log_price) * within
            deviation = np.sqrt(np.einsum("pi,ij,pj->p", exposed, model.correlation_, exposed))
            value = room + np.expm1(log_price) @ weight
            touched |= value < BROADIE_GLASSERMAN_KOU * deviation
        now = (
            model.parameters_[:, 0] + model.parameters_[:, 1] * (log_price - start) ** 2 + model.parameters_[:, 2] * now
        )
        out.append(touched.mean())
    return np.array(out)


@pytest.mark.parametrize("weight", [[1.0, 0.0, 0.0], [0.8, -0.9, 0.5]])
def test_clustered_variance_agrees_with_a_finely_stepped_simulation(weight: list[float]) -> None:
    """Horizons of 5 and 12 bars, between which the model looks at closes 6 and 9 only."""
    variance, room, paths = np.array([3e-4, 1e-4, 2e-4]), 0.05, 12_000
    model = model_of(CLUSTERED, 0.5, (1, 5, 12), paths)
    legs = {k: w for k, w in enumerate(weight) if w}
    said = model.predict(sample_of([legs], [room], 0, (1, 5, 12)), variance[None])[0]
    exact = finely_stepped(model, variance, np.array(weight), room, 12)[[0, 4, 11]]
    assert exact[0] > 0.003
    assert (np.abs(said - exact) < 3.5 * np.sqrt(2 * exact * (1 - exact) / paths)).all()


def test_paths_are_distributed_as_those_of_arch() -> None:
    from arch.univariate import GARCH, StudentsT, ZeroMean

    omega, alpha, beta, freedom = 0.03, 0.12, 0.85, 5.0
    returns = 100 * simulated_garch(600, 3)
    distribution = StudentsT(seed=np.random.default_rng(4))
    fixed = ZeroMean(returns, volatility=GARCH(1, 0, 1), distribution=distribution).fix([omega, alpha, beta, freedom])
    ahead = fixed.forecast(horizon=24, method="simulation", simulations=6000)
    theirs = np.cumsum(ahead.simulations.values[-1], axis=1) / 100
    variance = float(fixed.forecast(horizon=1).variance.to_numpy()[-1, 0]) / 1e4
    model = model_of([[omega / 1e4, alpha, beta, freedom, variance]], 0.0, (24,), 6000)
    gain, width, extremes = (np.empty(shape, dtype=np.float32) for shape in ((24, 6000), (24, 6000), (2, 6000)))
    own = model.parameters_[0, :3].astype(np.float32)
    watched = np.arange(1, 25)
    simulate_series(np.float32(variance), own, model.shocks_[0], model.spread_[0], watched, gain, width, extremes)
    ours = np.log1p(gain.astype(np.float64)).T
    for name, statistic in {
        "end": lambda x: x[:, -1],
        "low": lambda x: x.min(axis=1),
        "high": lambda x: x.max(axis=1),
    }.items():
        assert stats.ks_2samp(statistic(ours), statistic(theirs)).pvalue > 0.01, name
    for bar in (0, 11, 23):
        spread = [np.quantile(np.abs(x[:, bar]), [0.5, 0.9]) for x in (ours, theirs)]
        np.testing.assert_allclose(*spread, rtol=0.06)


def test_shocks_are_unit_variance_student_with_the_asked_dependence() -> None:
    model = model_of(CLUSTERED, 0.5, (2,), 4000)
    for s, freedom in enumerate([5.0, 8.0, 4.0]):
        law = stats.t(freedom, scale=np.sqrt((freedom - 2) / freedom))
        assert stats.kstest(model.shocks_[s, 1].astype(float), law.cdf).pvalue > 0.05
    tau = stats.kendalltau(model.shocks_[0, 0], model.shocks_[1, 0]).statistic
    assert np.sin(0.5 * np.pi * tau) == pytest.approx(0.5, abs=0.04)
    assert abs(np.corrcoef(model.shocks_[0, 0], model.shocks_[0, 1])[0, 1]) < 0.06


def test_the_fit_is_the_maximum_that_arch_finds() -> None:
    from arch.univariate import GARCH, StudentsT, ZeroMean

    returns = simulated_garch(5000, 5)
    mine = fit_garch_t(returns)
    assert mine is not None
    arch = ZeroMean(100 * returns, volatility=GARCH(1, 0, 1), distribution=StudentsT(), rescale=False)
    best = arch.fit(disp="off")
    at_mine = arch.fix([mine.omega * 1e4, mine.alpha, mine.beta, mine.freedom])
    assert at_mine.loglikelihood > best.loglikelihood - 0.1
    assert mine.log_likelihood == pytest.approx(best.loglikelihood + 5000 * np.log(100), abs=1.0)
    np.testing.assert_allclose([mine.alpha, mine.beta, mine.freedom], best.params.to_numpy()[1:], rtol=0.03)


def test_the_fit_to_real_bars_is_the_one_arch_finds() -> None:
    from arch.univariate import GARCH, StudentsT, ZeroMean

    file = SHARED / "data" / "binance_1h" / "perp.parquet"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    frame = pd.read_parquet(file, columns=["timestamp", "symbol", "close"])
    close = frame[frame["symbol"].str.startswith("BTC")].sort_values("timestamp")["close"].to_numpy()[-8001:]
    returns = np.diff(np.log(close))
    mine = fit_garch_t(returns)
    assert mine is not None
    arch = ZeroMean(100 * returns, volatility=GARCH(1, 0, 1), distribution=StudentsT(), rescale=False)
    best = arch.fit(disp="off")
    at_mine = arch.fix([mine.omega * 1e4, mine.alpha, mine.beta, mine.freedom])
    assert at_mine.loglikelihood > best.loglikelihood - 1.0


def test_the_likelihood_is_the_sum_of_scaled_student_densities() -> None:
    returns = simulated_garch(40, 6)
    returns[[3, 17]] = np.nan
    omega, alpha, beta, freedom, variance, total = 2e-6, 0.2, 0.7, 4.5, 3e-4, 0.0
    for move in returns:
        if np.isnan(move):
            variance = omega + (alpha + beta) * variance
        else:
            total += stats.t(freedom, scale=np.sqrt(variance * (freedom - 2) / freedom)).logpdf(move)
            variance = omega + alpha * move**2 + beta * variance
    assert student_likelihood(omega, alpha, beta, freedom, 3e-4, returns**2) == pytest.approx(total, rel=1e-12)


def test_variances_are_those_of_the_recursion_of_the_features() -> None:
    returns = np.column_stack([simulated_garch(300, seed) for seed in (7, 8)])
    returns[[0, 40, 41], 0] = np.nan
    parameters = np.array(CLUSTERED[:2])
    found = garch_variance(*(np.ascontiguousarray(parameters[:, k]) for k in (0, 1, 2, 4)), returns)
    asymmetric = np.column_stack((parameters[:, :2], np.zeros(2), parameters[:, 2:4]))
    now = parameters[:, 4].copy()
    assert np.isnan(found[0]).all()
    for bar, row in enumerate(returns):
        garch_bar(asymmetric, now, row)
        np.testing.assert_array_equal(found[bar + 1], np.where(np.isnan(row), np.nan, now))


def test_no_variance_or_parameter_knows_what_comes_later() -> None:
    returns = np.column_stack([simulated_garch(900, seed) for seed in (9, 10)])
    changed = returns.copy()
    changed[800:] *= 3.0
    one, other = GarchPaths((4,), paths=500).fit(returns, 0, 800), GarchPaths((4,), paths=500).fit(changed, 0, 800)
    for name, value in one.state().items():
        np.testing.assert_array_equal(value, other.state()[name])
    np.testing.assert_array_equal(one.variance(returns)[:801], one.variance(changed)[:801])
    assert (one.variance(returns)[801] != one.variance(changed)[801]).all()


def test_correlation_of_the_motions_is_recovered() -> None:
    rng = np.random.default_rng(11)
    mixing = np.sqrt(2.0 / rng.chisquare(4.0, 6000))[:, None]
    motion = rng.normal(size=(6000, 2)) @ np.linalg.cholesky(np.array([[1.0, 0.7], [0.7, 1.0]])).T
    model = GarchPaths((1,), paths=500).fit(0.01 * mixing * motion, 0, 6000)
    assert model.correlation_[0, 1] == pytest.approx(0.7, abs=0.03)
    assert model.parameters_[:, 3] == pytest.approx([4.0, 4.0], rel=0.15)


def plain(model: GarchPaths, legs: dict[int, float], room: float, variance: np.ndarray, horizons: tuple[int, ...]):
    """The plain twin: one path and one bar at a time, in double precision."""
    watched, hits = watched_bars(horizons), np.zeros(len(horizons))
    for path in range(model.paths):
        moved, now = np.zeros(len(variance)), variance.copy()
        survival, before, gain = 1.0, room, np.zeros(len(variance))
        within, horizon = np.zeros(len(variance)), 0
        for bar in range(horizons[-1]):
            shock = model.shocks_[:, bar, path].astype(float)
            moved += np.sqrt(now) * shock
            within += now * model.spread_[:, bar, path].astype(float) ** 2
            now = model.parameters_[:, 0] + (model.parameters_[:, 1] * shock**2 + model.parameters_[:, 2]) * now
            if bar + 1 not in watched:
                continue
            last, gain = gain, moved + moved**2 / 2 + moved**3 / 6
            width = np.sqrt(within) * (1 + (last + gain) / 2)
            after = room + sum(w * gain[s] for s, w in legs.items())
            own = np.array([legs.get(s, 0.0) for s in range(len(variance))]) * width
            touched = 1.0 if after <= 0 else np.exp(-2 * before * after / (own @ model.correlation_ @ own))
            survival, before, within = survival * (1 - touched), after, np.zeros(len(variance))
            if bar + 1 == horizons[horizon]:
                hits[horizon] += 1 - survival
                horizon += 1
    return hits / model.paths


def test_the_kernel_is_its_plain_twin() -> None:
    model, horizons = model_of(CLUSTERED, 0.4, (2, 7, 30), 300), (2, 7, 30)
    variance = np.array([[1e-4, 4e-4, 2e-4], [9e-4, 1e-4, 3e-4]])
    legs = [{0: 1.0}, {1: -2000.0}, {0: 0.5, 2: -0.7}, {0: 1.0, 1: 1.0, 2: 1.0}, {0: 3e-6, 1: -2e-6}]
    room, bar = [0.04, 150.0, 0.02, 0.2, 1e-7], [1, 0, 1, 0, 0]
    found = model.predict(sample_of(legs, room, bar, horizons), variance)
    expected = [plain(model, a, b, variance[c], horizons) for a, b, c in zip(legs, room, bar, strict=True)]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert (found[:, 2] > 0.001).all() and (found[:, 0] < 0.5).all()


def random_case(seed: int):
    rng = np.random.default_rng(seed)
    legs = [dict(enumerate(w[: 1 + k % 3])) for k, w in enumerate(rng.normal(size=(150, 3)))]
    return legs, list(rng.uniform(0.0, 0.15, 150)), list(rng.integers(0, 40, 150)), rng.uniform(5e-5, 5e-4, (40, 3))


def test_probabilities_never_fall_with_the_horizon_nor_as_headroom_falls() -> None:
    model, horizons = model_of(CLUSTERED, 0.5, (1, 3, 24), 700), (1, 3, 24)
    legs, room, bar, variance = random_case(12)
    last = np.ones((150, 3))
    for factor in (0.0, 0.5, 0.99, 1.0, 1.00001, 1.5, 4.0, 50.0):
        said = model.predict(sample_of(legs, [r * factor for r in room], bar, horizons), variance)
        assert (np.diff(said, axis=1) >= 0).all()
        assert (said <= last).all() and (said >= 0).all()
        last = said
    assert last.mean() < 0.05


def test_threads_order_company_and_a_restart_change_no_bit() -> None:
    model, horizons = model_of(CLUSTERED, 0.5, (1, 3, 24), 700), (1, 3, 24)
    legs, room, bar, variance = random_case(13)
    sample = sample_of(legs, room, bar, horizons)
    one = model.predict(sample, variance)
    model.threads = 2
    assert model.predict(sample, variance).tobytes() == one.tobytes()
    back = GarchPaths.from_state(model.state())
    assert back.predict(sample, variance).tobytes() == one.tobytes()
    rows = np.random.default_rng(0).permutation(150)[:40]
    assert back.predict(sample.take(rows), variance).tobytes() == one[rows].tobytes()
    assert GarchPaths.from_state(model.state() | {"seed": 2}).predict(sample, variance).tobytes() != one.tobytes()


def test_breach_is_certain_an_empty_pool_safe_and_the_unknown_nan() -> None:
    model = model_of(CLUSTERED, 0.5, (1, 4), 500)
    variance = np.full((2, 3), 1e-4)
    variance[1, 2] = np.nan
    legs = [{0: 1.0}, {}, {0: 1.0, 2: 1.0}, {0: 1.0}, {2: 1.0}]
    said = model.predict(sample_of(legs, [-0.01, 0.1, 0.1, np.nan, -0.1], 1, (1, 4)), variance)
    np.testing.assert_array_equal(said, [[1, 1], [0, 0], [np.nan] * 2, [np.nan] * 2, [1, 1]])


def test_legs_that_hedge_each_other_are_not_touched_by_rounding() -> None:
    """One price under three names: the variance of the hedged pool is zero, in float32 as often below as above."""
    model = model_of([CLUSTERED[0]] * 3, 0.999999999, (1, 24), 500)
    model.correlation_[:] = 1.0
    said = model.predict(sample_of([{0: 1.0, 1: -0.3, 2: -0.7}], [0.01], 0, (1, 24)), np.full((1, 3), 1e-4))
    assert said.max() == 0.0


def test_series_in_another_order_and_series_not_seen() -> None:
    horizons = (1, 6)
    model = model_of(CLUSTERED, 0.5, horizons, 600)
    turned = model.reordered(np.array([2, 0, 1, -1]))
    variance = np.array([[1e-4, 2e-4, 4e-4]])
    before = model.predict(sample_of([{0: 1.0}, {1: 1.0, 2: -0.5}], [0.03, 0.03], 0, horizons), variance)
    moved = sample_of([{1: 1.0}, {2: 1.0, 0: -0.5}], [0.03, 0.03], 0, horizons)
    wider = np.column_stack((variance[:, [2, 0, 1]], [3e-4]))
    np.testing.assert_allclose(turned.predict(moved, wider), before, atol=1e-6)
    np.testing.assert_allclose(turned.parameters_[3], np.median(CLUSTERED, axis=0))
    assert turned.fitted_.tolist() == [True, True, True, False]
    # on a third of the paths the stranger is another series itself, on the others 0.5 correlated with it
    np.testing.assert_allclose(turned.correlation_[3, :3], (1 + 0.5 + 0.5) / 3)
    strange = turned.predict(sample_of([{3: 1.0}], [0.03], 0, horizons), wider)
    assert 0 < strange[0, 0] < strange[0, 1] < 1


def test_a_series_too_short_to_fit_takes_medians_and_is_told() -> None:
    returns = np.column_stack([simulated_garch(900, seed) for seed in (14, 15, 16)])
    returns[:700, 2] = np.nan
    model = GarchPaths((1,), paths=500).fit(returns, 0, 900)
    assert model.fitted_.tolist() == [True, True, False]
    np.testing.assert_allclose(model.parameters_[2], model.parameters_[:2].mean(axis=0))
    assert fit_garch_t(np.zeros(1000)) is None
    with pytest.raises(InputError, match=r"last_bar: leaves no series with 500 known returns .*found 400"):
        GarchPaths((1,)).fit(returns, 0, 400)


def test_what_was_not_fitted_is_refused() -> None:
    model, variance = model_of(CLUSTERED, 0.5, (1, 4), 500), np.full((1, 3), 1e-4)
    with pytest.raises(InputError, match=r"horizon: is beyond the simulated 4 bars \(found 5\)"):
        model.predict(sample_of([{0: 1.0}], [0.1], 0, (5,)), variance)
    with pytest.raises(InputError, match=r"series: is not one of the 3 fitted \(found 3\)"):
        model.predict(sample_of([{3: 1.0}], [0.1], 0, (1,)), variance)
    with pytest.raises(InputError, match=r"bar: is not one of the 1 of variance \(found 1\)"):
        model.predict(sample_of([{0: 1.0}], [0.1], 1, (1,)), variance)
    with pytest.raises(InputError, match=r"variance: has shape \(1, 2\)"):
        model.predict(sample_of([{0: 1.0}], [0.1], 0, (1,)), variance[:, :2])
