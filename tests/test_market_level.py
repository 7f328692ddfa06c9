"""Joint forecasts of a venue: planted factors, closed forms, the structural engine itself, and a small market."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import small_market
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr, ndtri

from margincast.models.calibration import PlattScaling
from margincast.models.frailty import FactorFrailty, _Cells
from margincast.models.historical import FilteredHistorical
from margincast.models.joint_losses import JointLosses, joint_losses
from margincast.models.joint_paths import path_probabilities, path_severity, with_marginals
from margincast.models.paths import PathLibrary, breach_probability
from margincast.models.sample import ScaleField
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure
from margincast.training.liquidation_share import expected_liquidation_share
from margincast.training.market_level import (
    METHODS,
    JointModel,
    fit_frailty,
    market_forecast,
    pit_distance,
    score_market,
    simulated_venue,
    tilt_of,
)
from margincast.training.scales import ScaleForecaster

HORIZONS = (1, 4)


def frailty_of(shared: float, side: float) -> FactorFrailty:
    return FactorFrailty.from_state({"shared": shared, "side": side, "groups": 1})


def falls(groups: int, accounts: int, shared: float, side: float, seed: int):
    """Return probabilities, outcomes, tilts and groups of the model itself, drawn from its definition."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 5, (groups, accounts))
    tilt = rng.choice([-1.0, -0.3, 0.0, 0.5, 1.0], (groups, accounts))
    size, direction = rng.normal(size=(2, groups, 1))
    own = np.sqrt(1 - shared**2 - (side * tilt) ** 2) * rng.normal(size=p.shape)
    y = (shared * size + side * tilt * direction + own > -ndtri(p)).astype(np.float64)
    return p.ravel(), y.ravel(), tilt.ravel(), np.repeat(np.arange(groups), accounts)


@pytest.mark.parametrize(("shared", "side"), [(0.3, 0.6), (0.5, 0.2), (0.0, 0.7)])
def test_loadings_are_recovered(shared: float, side: float) -> None:
    model = FactorFrailty().fit(*falls(80, 60, shared, side, seed=1))
    # tilts are rounded to 0.5 in fitting
    assert model.shared_**2 == pytest.approx(shared**2, abs=0.06)
    assert model.side_**2 == pytest.approx(side**2, abs=0.08)
    assert model.groups_ == 80


def test_independent_accounts_have_no_factors() -> None:
    model = FactorFrailty().fit(*falls(150, 40, 0.0, 0.0, seed=4))
    assert model.shared_**2 + model.side_**2 < 0.04


def test_likelihood_is_that_of_the_plain_integral() -> None:
    """Two accounts, one hit: the double integral on a fine grid."""
    p, y, tilt, group = np.array([0.2, 0.05]), np.array([1.0, 0.0]), np.array([1.0, -1.0]), np.zeros(2, np.int64)
    shared, side = 0.5, 0.4

    points, step = np.linspace(-8, 8, 801, retstep=True)
    s, d = np.meshgrid(points, points)
    own = math.sqrt(1 - shared**2 - side**2)
    q = [ndtr((ndtri(a) + shared * s + side * t * d) / own) for a, t in zip(p, tilt, strict=True)]
    plain = (q[0] * (1 - q[1]) * stats.norm.pdf(s) * stats.norm.pdf(d)).sum() * step**2
    assert -_Cells(p, y, tilt, group).loss(np.array([shared, side])) == pytest.approx(math.log(plain), abs=2e-4)


@settings(max_examples=25, deadline=None)
@given(shared=st.floats(0.0, 0.8), side=st.floats(0.0, 0.5), tilt=st.floats(-1.0, 1.0))
def test_factors_keep_each_probability_and_correlate_pairs(shared: float, side: float, tilt: float) -> None:
    model = frailty_of(shared, side)
    p, tilts = np.array([0.02, 0.3]), np.array([tilt, 1.0])
    given_factors = model.conditional(p, tilts, model.draw(20_000, seed=0))
    np.testing.assert_allclose(given_factors.mean(axis=0), p, atol=0.004)
    both = (given_factors[:, 0] * given_factors[:, 1]).mean()
    rho = shared**2 + side**2 * tilt
    exact = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf(ndtri(p))
    assert both == pytest.approx(float(exact), abs=0.003)


def test_interval_holds_the_share_of_factors_it_says() -> None:
    model = frailty_of(0.4, 0.5)
    p, tilt = np.array([0.01, 0.2, 0.7]), np.array([-1.0, 0.0, 0.6])
    low, high = model.interval(p, tilt, 0.9)
    drawn = model.conditional(p, tilt, model.draw(50_000, seed=1))
    np.testing.assert_allclose(((drawn >= low) & (drawn <= high)).mean(axis=0), 0.9, atol=0.01)
    low, high = model.interval(np.array([0.0, 1.0, np.nan]), np.zeros(3))
    np.testing.assert_array_equal(low, [0.0, 1.0, np.nan])
    np.testing.assert_array_equal(high, [0.0, 1.0, np.nan])


def test_frailty_state_and_refusals() -> None:
    p, y, tilt, group = falls(30, 20, 0.4, 0.4, seed=3)
    model = FactorFrailty().fit(p, y, tilt, group)
    assert FactorFrailty.from_state(json.loads(json.dumps(model.state()))).state() == model.state()
    holes = np.where(np.arange(len(p)) % 5 == 0, np.nan, p)
    known = np.isfinite(holes)
    assert (
        FactorFrailty().fit(holes, y, tilt, group).state()
        == FactorFrailty().fit(p[known], y[known], tilt[known], group[known]).state()
    )
    with pytest.raises(InputError, match="needs a group with two known rows"):
        FactorFrailty().fit(p[:3], y[:3], tilt[:3], np.arange(3))
    with pytest.raises(InputError, match=r"row 1, column tilt: must be between -1 and 1 \(found 1.5\)"):
        FactorFrailty().fit(p[:2], y[:2], np.array([0.0, 1.5]), np.zeros(2, np.int64))
    with pytest.raises(InputError, match="level"):
        model.interval(p, tilt, 1.0)


def some_pools(n: int, seed: int) -> tuple[Exposure, PathLibrary, np.ndarray]:
    rng = np.random.default_rng(seed)
    moves = np.cumsum(rng.normal(0, 0.7, (200, 2, 9)), axis=2).astype(np.float32)
    moves[7, 1] = np.nan
    series = np.tile([0, 1], n)
    weight = rng.normal(0, 100.0, 2 * n)
    headroom = rng.uniform(0.3, 6.0, n)
    headroom[0] = -1.0
    exposure = Exposure(np.arange(n + 1) * 2, series, weight, headroom, headroom + 10, np.full(n, 10.0))
    return exposure, PathLibrary(np.arange(200), moves, 3), np.full(2 * n, 0.02)


def test_severities_average_to_the_probability_of_the_simulation() -> None:
    exposure, library, scale = some_pools(12, seed=4)
    severity = path_severity(exposure, library, scale)
    assert severity.shape == (200, 12)
    assert np.isnan(severity[7]).all() and np.isnan(severity[:, 0]).all()
    mean = np.nanmean(path_probabilities(severity[:, 1:]), axis=0)
    expected, count = breach_probability(exposure, library, scale=scale)
    np.testing.assert_allclose(mean, expected[1:], atol=2e-6)
    assert (count == 199).all()
    # a plain twin of one pool on one path
    z = library.moves[3, :, :].astype(np.float64) * 0.02
    gains = exposure.weight[2] * np.expm1(z[0]) + exposure.weight[3] * np.expm1(z[1])
    assert severity[3, 1] == pytest.approx(np.log(max(-gains.min(), 1e-300) / exposure.headroom[1]), abs=1e-3)
    with pytest.raises(InputError, match="is not one of the library's 2"):
        bad = Exposure(exposure.pointer, exposure.series + 1, exposure.weight, *[exposure.headroom] * 3)
        path_severity(bad, library, scale)


def test_marginals_are_met_and_the_order_of_paths_is_kept() -> None:
    exposure, library, scale = some_pools(10, seed=5)
    keep = np.delete(np.arange(200), 7)
    severity = path_severity(exposure, library, scale)[keep][:, 1:]
    wanted = np.array([1e-5, 0.001, 0.02, 0.1, 0.3, 0.5, 0.6, 0.0, 1.0])
    given_paths = with_marginals(severity, wanted)
    np.testing.assert_allclose(given_paths.mean(axis=0), wanted, atol=2e-4)
    assert given_paths.min() >= 0.0 and given_paths.max() <= 1.0
    for pool in range(1, 7):
        order = np.argsort(severity[:, pool])
        assert (np.diff(given_paths[order, pool]) >= -1e-12).all()
    assert np.isnan(with_marginals(severity, np.full(9, np.nan))).all()
    # paths without prices count for nothing: the others keep the forecast
    holed = np.vstack((np.full((40, 9), np.nan), severity))
    np.testing.assert_array_equal(with_marginals(holed, wanted)[40:], given_paths)
    # no path costs the pool anything: spread evenly
    np.testing.assert_allclose(with_marginals(np.full((50, 1), -np.inf), np.array([0.2])), 0.2, atol=1e-9)


def test_totals_of_independent_accounts_are_binomial() -> None:
    said = joint_losses(np.full((1, 20), 0.3), np.ones(20), 20_000, seed=0)
    for level in (0.05, 0.5, 0.95):
        assert said.quantile(level) == stats.binom(20, 0.3).ppf(level)
    assert said.mean == pytest.approx(6.0, abs=0.05)
    assert said.exceedance(9.0) == pytest.approx(stats.binom(20, 0.3).sf(8), abs=0.01)


def test_totals_under_one_factor_are_vasiceks() -> None:
    """The share of many equal accounts: Vasicek's closed-form distribution of portfolio value."""
    rho, p = 0.25, 0.1
    model = frailty_of(math.sqrt(rho), 0.0)
    scenarios = model.conditional(np.full(2000, p), np.zeros(2000), model.draw(2000, seed=2))
    said = joint_losses(scenarios, np.full(2000, 1 / 2000), 1, seed=3)
    for level in (0.5, 0.9, 0.99):
        exact = ndtr((math.sqrt(rho) * ndtri(level) + ndtri(p)) / math.sqrt(1 - rho))
        assert said.quantile(level) == pytest.approx(float(exact), rel=0.08)


def test_joint_losses_measures() -> None:
    said = JointLosses(np.array([0.0, 0.0, 1.0, 3.0]))
    assert (said.pit(0.0, 0.5), said.pit(2.0, 0.5), said.pit(9.0, 0.1)) == (0.25, 0.75, 1.0)
    assert said.interval(0.5) == (0.0, 1.0)
    x, y = said.total, 1.5
    plain = np.abs(x - y).mean() - 0.5 * np.abs(x[:, None] - x[None, :]).mean()
    assert said.crps(y) == pytest.approx(plain)
    with pytest.raises(InputError, match="must be a probability"):
        joint_losses(np.array([[0.5, np.nan]]), np.ones(2), 1, seed=0)
    with pytest.raises(InputError, match=r"row 1, column amount: must not be negative \(found -1.0\)"):
        joint_losses(np.array([[0.5, 0.5]]), np.array([1.0, -1.0]), 1, seed=0)
    with pytest.raises(InputError, match="level"):
        said.quantile(1.5)
    even = (np.arange(100) + 0.5) / 100
    assert pit_distance(even) == pytest.approx(stats.kstest(even, "uniform").statistic)
    assert pit_distance(even**3) == pytest.approx(stats.kstest(even**3, "uniform").statistic)


def test_a_venue_on_the_small_market() -> None:
    view, last = small_market.view(), 2600
    past, asked = np.arange(1000, last - 24, 50), np.arange(2650, 3500, 60)
    venue = simulated_venue(view, small_market.RULES, HORIZONS, past, accounts=25, seed=1)
    later = simulated_venue(view, small_market.RULES, HORIZONS, asked, accounts=40, seed=500)
    assert len(venue.time) == 25 * len(past) and (venue.data.sample.bar == past[venue.time]).all()
    again = simulated_venue(view, small_market.RULES, HORIZONS, past[:2], accounts=25, seed=1)
    assert again.notional.tobytes() == venue.notional[:50].tobytes()
    book, close = later.data.book, view.history.close
    first = slice(*book.position_pointer[3:5])
    marks = close[later.data.sample.bar[3] - 1, view.history.mark_series[book.position_instrument[first]]]
    assert later.notional[3] == pytest.approx(np.abs(book.quantity[first] * marks).sum())
    single = np.diff(later.data.sample.exposure.pointer) == 1
    np.testing.assert_allclose(np.abs(later.tilt[single]), 1.0)

    scales = ScaleForecaster(HORIZONS, rounds=10).fit(view.data, view.frame, 31 * 24, last)
    scale = scales.fields(view.data, view.frame)["learned"]
    simulation = FilteredHistorical().fit(view.history, scale, 31 * 24, last)
    joint = JointModel(simulation, scale, fit_frailty(venue, simulation.predict(venue.data.sample, scale)))
    said = PlattScaling.from_state({"shrinkage": 0.0, "slope": 1.0, "intercept": 0.3}).predict(
        simulation.predict(later.data.sample, scale)
    )
    rows = later.rows_at(2)
    given_scenarios = joint.conditionals(later, rows, said[rows, 1], 1)
    assert tuple(given_scenarios) == METHODS
    for name in ("independent", "frailty", "hybrid_paths"):
        np.testing.assert_allclose(given_scenarios[name].mean(axis=0), said[rows, 1], atol=0.012)
    spread = {
        name: np.ptp(market_forecast(values, later.notional[rows], 0).interval(0.9))
        for name, values in given_scenarios.items()
    }
    assert spread["hybrid_paths"] > spread["independent"]
    scores = score_market(later, joint, said, 1)
    fell = later.data.breached[:, 1] > 0.5
    assert scores.realised.sum() == pytest.approx(later.notional[fell].sum())
    table = scores.table()
    assert table["independent"]["crps_skill"] == 0.0
    for name in METHODS:
        assert list(table[name]["coverage"]) == [0.5, 0.9, 0.99]
        assert scores.expected[name].sum() == pytest.approx((said[:, 1] * later.notional).sum(), rel=0.25)
    assert table["hybrid_paths"]["pit_distance"] < table["independent"]["pit_distance"]
    counts = score_market(later, joint, said, 1, count=True)
    assert counts.realised.sum() == fell.sum()


def test_a_venue_needs_room_for_its_horizon_and_exposure_a_side() -> None:
    last = len(small_market.view().history)
    with pytest.raises(InputError, match=r"row 1, column bars: leaves no room for the longest horizon"):
        simulated_venue(
            small_market.view(), small_market.RULES, HORIZONS, np.array([2000, last - 2]), accounts=2, seed=0
        )
    none = Exposure(np.array([0, 0]), np.empty(0, np.int64), np.empty(0), np.ones(1), np.ones(1), np.zeros(1))
    assert tilt_of(none).tolist() == [0.0]


def test_expected_share_of_a_ladder_by_hand() -> None:
    """Paths that fall or rise by 15%: longs and shorts of 10x are lost on half of them each, those of 3x never."""
    falls_, rises = np.full((1, 1, 3), math.log(0.85)), np.full((1, 1, 3), math.log(1.15))
    simulation = FilteredHistorical(bandwidth=0.01)
    moves = np.concatenate((falls_, rises)).astype(np.float32)
    simulation.libraries_ = {1: PathLibrary(np.arange(2), moves, 1)}
    scale = ScaleField(np.array([[[1.0]], [[0.1]], [[np.nan]]]), (1,))
    found = expected_liquidation_share(simulation, scale, np.array([0, 1, 2]), 1, leverages=(3.0, 10.0))
    np.testing.assert_allclose(found[:, 0], [0.25, 0.0, np.nan], atol=1e-6)
    with pytest.raises(InputError, match=r"row 1, column leverage: leaves no headroom at entry \(found 100.0\)"):
        expected_liquidation_share(simulation, scale, np.array([0]), 1, leverages=(3.0, 100.0))
    with pytest.raises(InputError, match="column horizon: is not one of those fitted"):
        expected_liquidation_share(simulation, scale, np.array([0]), 4)
