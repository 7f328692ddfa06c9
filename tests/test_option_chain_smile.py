"""Raw SVI against published examples, QuantLib and general optimisers; static arbitrage found where it was put."""

from itertools import pairwise

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st
from option_chain_cases import chain_of, smile_of
from scipy.optimize import least_squares, lsq_linear

from margincast.features.options import svi_kernel
from margincast.features.options.arbitrage import count_arbitrage
from margincast.features.options.implied import implied_surface
from margincast.features.options.skew import money_curvature, money_slope
from margincast.features.options.smile import Smile, smiles
from margincast.features.options.svi import SviSmile, fit_svi

# A. Vogt's parameters, example 3.1 of Gatheral and Jacquier (2014): a smile with a butterfly arbitrage.
VOGT = SviSmile(1.0, -0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
PLAIN = SviSmile(0.25, 0.01, 0.1, -0.3, 0.05, 0.2)
K = np.linspace(-1.5, 1.5, 61)


def smile_from(svi, k, noise=0.0, seed=0):
    moved = svi.volatility(k) * np.exp(noise * np.random.default_rng(seed).normal(size=len(k)))
    return Smile(svi.years, 100.0, 100.0 * np.exp(k), moved, np.full(len(k), np.nan))


@pytest.mark.parametrize("svi", [VOGT, PLAIN])
def test_total_variance_agrees_with_quantlib(svi):
    section = ql.SviSmileSection(svi.years, 100.0, [svi.a, svi.b, svi.sigma, svi.rho, svi.m])
    theirs = [section.volatility(float(strike)) for strike in 100.0 * np.exp(K)]
    np.testing.assert_allclose(svi.volatility(K), theirs, rtol=1e-12)


def test_the_published_arbitrage_is_seen_and_a_tame_smile_has_none():
    assert VOGT.has_butterfly_arbitrage(-1.5, 1.5)
    falls = K[VOGT.butterfly(K) < 0]
    assert falls.min() > 0.5 and falls.max() < 1.3  # their figure 1: between about 0.6 and 1.2
    assert not VOGT.has_butterfly_arbitrage(-1.5, 0.5)
    assert not PLAIN.has_butterfly_arbitrage(-1.5, 1.5)


def test_g_is_the_density_of_the_priced_options():
    from margincast.riskcore.options.black76 import CALL, value

    k, h = np.array([-0.3, 0.0, 0.2]), 1e-3
    strike = np.exp(k)

    def call(at):
        return value(1.0, at, PLAIN.years, PLAIN.volatility(np.log(at)), CALL)

    density = (call(strike + h) - 2 * call(strike) + call(strike - h)) / h**2
    root = np.sqrt(PLAIN.total_variance(k))
    lower = -k / root - 0.5 * root
    lognormal = np.exp(-0.5 * lower**2) / np.sqrt(2 * np.pi) / (strike * root)
    np.testing.assert_allclose(density / lognormal, PLAIN.butterfly(k), rtol=1e-4)


def test_slope_and_curvature_are_the_derivatives_of_the_volatility():
    h = 1e-4
    below, at, above = PLAIN.volatility(np.array([-h, 0.0, h]))
    assert money_slope(PLAIN) == pytest.approx((above - below) / (2 * h), rel=1e-6)
    assert money_curvature(PLAIN) == pytest.approx((above - 2 * at + below) / h**2, rel=1e-4)


def best_linear_plain(k, w, weight, m, sigma):
    """The bounded linear problem by scipy's general solver."""
    y = (k - m) / sigma
    root, scale = np.sqrt(y * y + 1.0), np.sqrt(weight)
    design = np.stack((np.ones_like(y), root + y, root - y), axis=1) * scale[:, None]
    found = lsq_linear(design, w * scale, ([-np.inf, 0, 0], [np.inf, sigma, sigma]), method="bvls", tol=1e-14)
    return 2.0 * found.cost, *found.x


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**20),
    m=st.floats(-0.6, 0.6),
    sigma=st.floats(0.02, 2.0),
    noise=st.floats(0.0, 0.3),
    points=st.integers(5, 40),
)
def test_the_inner_problem_agrees_with_a_general_solver(seed, m, sigma, noise, points):
    k = np.linspace(-0.7, 0.7, points)
    smile = smile_from(PLAIN, k, noise, seed)
    w, weight = smile.total_variance, 1.0 / smile.total_variance
    plain = best_linear_plain(smile.moneyness, w, weight, m, sigma)
    compiled = svi_kernel.best_linear(smile.moneyness, w, weight, m, sigma)
    scale = float(weight @ (w * w))
    assert compiled[0] == pytest.approx(plain[0], abs=1e-9 * scale)
    assert 0 <= compiled[2] <= sigma and 0 <= compiled[3] <= sigma


def fit_plain(k, w, weight):
    """The outer search in plain Python over the general solver: the compiled search's twin."""
    reach = k.max() - k.min()
    centre, half = np.array([0.5 * (k.max() + k.min()), np.log(0.25 * reach)]), np.array([0.5 * reach, 3.0])
    best, at = np.inf, centre
    for _ in range(svi_kernel.ROUNDS):
        before, start = best, centre.copy()
        for i in np.linspace(-1, 1, svi_kernel.SIDE):
            for j in np.linspace(-1, 1, svi_kernel.SIDE):
                tried = start + half * (i, j)
                loss = best_linear_plain(k, w, weight, tried[0], np.exp(tried[1]))[0]
                if loss < best:
                    best, at = loss, tried
        centre = at
        if (np.abs(centre - start) < 0.99 * half).all() or best == before:
            half = svi_kernel.SHRINK * half
        if half[1] < 0.02:
            break
    return best


def test_the_search_finds_what_its_plain_twin_finds():
    smile = smile_from(PLAIN, np.linspace(-0.6, 0.5, 12), 0.02, 3)
    w, weight = smile.total_variance, 1.0 / smile.total_variance
    fitted = fit_svi(smile)
    loss = float(weight @ (fitted.total_variance(smile.moneyness) - w) ** 2)
    assert loss <= fit_plain(smile.moneyness, w, weight) * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_no_general_optimiser_fits_better(seed):
    rng = np.random.default_rng(seed)
    true = SviSmile(rng.uniform(0.02, 1), rng.uniform(0.005, 0.05), rng.uniform(0.05, 0.3), rng.uniform(-0.8, 0.8),
                    rng.uniform(-0.1, 0.1), rng.uniform(0.05, 0.4))  # fmt: skip
    smile = smile_from(true, np.sort(rng.uniform(-0.8, 0.8, 25)), 0.01, seed)
    k, w = smile.moneyness, smile.total_variance

    def residuals(p):
        return (SviSmile(true.years, *p).total_variance(k) - w) / np.sqrt(w)

    low, high = [-1, 0, -0.999, -2, 1e-3], [2, 2, 0.999, 2, 5]
    starts = [[true.a, true.b, true.rho, true.m, true.sigma], [0.02, 0.1, 0.0, 0.0, 0.2]]
    general = min(2 * least_squares(residuals, x, bounds=(low, high), xtol=1e-12, ftol=1e-12).cost for x in starts)
    fitted = fit_svi(smile)
    ours = float(np.sum(residuals([fitted.a, fitted.b, fitted.rho, fitted.m, fitted.sigma]) ** 2))
    assert ours <= general * 1.001


@settings(max_examples=30)
@given(
    a=st.floats(0.005, 0.05), b=st.floats(0.02, 0.4), rho=st.floats(-0.9, 0.9), m=st.floats(-0.2, 0.2),
    sigma=st.floats(0.05, 0.5), years=st.floats(0.01, 2.0),
)  # fmt: skip
def test_a_smile_that_is_svi_is_found_again(a, b, rho, m, sigma, years):
    true = SviSmile(years, a, b, rho, m, sigma)
    k = np.linspace(-0.8, 0.8, 33)
    fitted = fit_svi(smile_from(true, k))
    np.testing.assert_allclose(fitted.volatility(k), true.volatility(k), rtol=1e-4)
    assert fitted.error(smile_from(true, k)) < 1e-4 * true.volatility(k).max()


def test_flat_surfaces_have_no_arbitrage_and_arbitrage_is_found_where_it_is_put():
    clean = count_arbitrage(smiles(implied_surface(chain_of(smile_of(0.6)))))
    assert clean.butterflies > 50 and clean.calendars > 50
    assert clean.butterfly_violations == clean.calendar_violations == 0
    (smile,) = smiles(implied_surface(chain_of(smile_of(0.6), days=(30,))))
    bumped = smile.volatility.copy()
    bumped[15] += 0.02
    broken = Smile(smile.years, smile.forward, smile.strike, bumped, smile.width)
    assert count_arbitrage((broken,)).butterfly_violations == 1


def test_a_fall_of_total_variance_is_a_calendar_arbitrage():
    near, far = (
        smiles(implied_surface(chain_of(smile_of(level), days=(days,))))[0] for level, days in ((0.8, 30), (0.6, 40))
    )
    assert 0.8**2 * 30 > 0.6**2 * 40
    found = count_arbitrage((near, far))
    assert found.calendar_violations == found.calendars > 10
    assert count_arbitrage((far,)).calendars == 0 and np.isnan(count_arbitrage((far,)).calendar_share)
    tame = [smiles(implied_surface(chain_of(smile_of(0.6), days=(days,))))[0] for days in (30, 40)]
    assert all(count_arbitrage(pair).calendar_violations == 0 for pair in pairwise(tame))
