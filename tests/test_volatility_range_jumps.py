"""Range and jump estimators: twins in pandas and loops, processes whose answer is known, and as compiled formulas."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from margincast.features.engine.bars import BarTable
from margincast.features.engine.expression import column
from margincast.features.engine.formula import Formula
from margincast.features.engine.program import Program
from margincast.features.engine.step import run_step
from margincast.features.volatility import jumps
from margincast.features.volatility.estimators import log_returns, parkinson, realised_volatility
from margincast.features.volatility.range_estimators import rogers_satchell, yang_zhang

ROWS, COINS = 300, 3


@pytest.fixture(scope="module")
def bars():
    rng = np.random.default_rng(17)
    close = 100.0 * np.exp(np.cumsum(rng.standard_t(4, (ROWS, COINS)) * 0.01, axis=0))
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.002, close.shape))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.004, close.shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.004, close.shape)))
    out = {"open": open_, "high": high, "low": low, "close": close}
    for values in out.values():
        values[150:153, 1] = np.nan
        values[:40, 2] = np.nan
    return out


@pytest.fixture(scope="module")
def returns(bars):
    values = log_returns(bars["close"])
    values[200:202, 0] = 0.0
    return values


def same(found, expected, **tolerance):
    options = {"rtol": 1e-9, "atol": 1e-15} | tolerance
    np.testing.assert_allclose(found, np.asarray(expected), equal_nan=True, **options)


def rolled(frame, window):
    return frame.rolling(window).mean()


def walk(rng, bars, steps, sigma, drift=0.0, gap=0.0):
    """Bars of a random walk: volatility `sigma` and log drift `drift` a bar, and a normal gap before each open."""
    inside = np.cumsum(rng.normal(drift / steps, sigma / np.sqrt(steps), (bars, steps)), axis=1)
    gaps = rng.normal(0.0, gap, bars) if gap else np.zeros(bars)
    opened = np.cumsum(gaps + np.concatenate(([0.0], inside[:-1, -1])))
    high, low = opened + np.maximum(inside.max(axis=1), 0.0), opened + np.minimum(inside.min(axis=1), 0.0)
    return [np.exp(x)[:, None] for x in (opened, high, low, opened + inside[:, -1])]


@pytest.mark.parametrize("window", [2, 24])
def test_range_estimators_against_their_formulas(bars, window):
    o, h, low, c = (np.log(pd.DataFrame(bars[name])) for name in ("open", "high", "low", "close"))
    steady = rolled((h - o) * (h - c) + (low - o) * (low - c), window)
    found = rogers_satchell(*bars.values(), window)
    same(found, np.sqrt(steady))
    k = 0.34 / (1.34 + (window + 1) / (window - 1))
    between, within = (o - c.shift()).rolling(window).var(), (c - o).rolling(window).var()
    expected = np.sqrt(between + k * within + (1 - k) * steady)
    same(yang_zhang(*bars.values(), window), expected, rtol=1e-7)


def test_neither_is_fooled_by_a_drift_that_fools_parkinson():
    o, h, low, c = walk(np.random.default_rng(3), 2000, 1500, sigma=0.01, drift=0.03)
    assert rogers_satchell(o, h, low, c, 2000)[-1, 0] == pytest.approx(0.01, rel=0.05)
    assert yang_zhang(o, h, low, c, 1999)[-1, 0] == pytest.approx(0.01, rel=0.05)
    assert parkinson(h, low, 2000)[-1, 0] > 0.018


def test_yang_zhang_counts_the_gaps_between_bars():
    o, h, low, c = walk(np.random.default_rng(4), 2000, 1500, sigma=0.01, gap=0.02)
    assert yang_zhang(o, h, low, c, 1999)[-1, 0] == pytest.approx(math.hypot(0.01, 0.02), rel=0.05)
    assert rogers_satchell(o, h, low, c, 1999)[-1, 0] == pytest.approx(0.01, rel=0.05)


def test_bars_that_cannot_be_are_unknown():
    one = np.ones((3, 1))
    assert np.isnan(rogers_satchell(one, one * 1.2, one, one * 2, 1)).all()
    assert np.isnan(yang_zhang(one, one * 1.2, one, one * 2, 2)).all()


def sizes_in(values, k, back):
    return [abs(values[k - j]) for j in range(back)]


moves = st.one_of(st.floats(-0.3, 0.3).map(lambda x: round(x, 6)), st.just(np.nan))
MU = stats.norm.expect(lambda z: abs(z) ** (4 / 3))
LOOPS = {
    jumps.bipower_variance: lambda v, k: math.pi / 2 * np.prod(sizes_in(v, k, 2)),
    jumps.min_variance: lambda v, k: math.pi / (math.pi - 2) * np.min(sizes_in(v, k, 2)) ** 2,
    jumps.median_variance: lambda v, k: math.pi / (6 - 4 * math.sqrt(3) + math.pi) * np.median(sizes_in(v, k, 3)) ** 2,
    jumps.realised_quarticity: lambda v, k: v[k] ** 4 / 3,
    jumps.tripower_quarticity: lambda v, k: np.prod(np.array(sizes_in(v, k, 3)) ** (4 / 3)) / MU**3,
}
REACH = {jumps.bipower_variance: 1, jumps.min_variance: 1, jumps.median_variance: 2, jumps.tripower_quarticity: 2}


@pytest.mark.parametrize("estimator", LOOPS, ids=lambda f: f.__name__)
@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(moves, min_size=1, max_size=25),
    window=st.integers(1, 8),
)
def test_each_against_a_loop_over_its_formula(estimator, values, window):
    found = estimator(np.array(values)[:, None], window)[:, 0]
    for k in range(len(values)):
        first = k - window + 1 - REACH.get(estimator, 0)
        known = first >= 0 and not np.isnan(values[first : k + 1]).any()
        terms = [LOOPS[estimator](values, j) for j in range(k - window + 1, k + 1)] if known else [np.nan]
        same(found[k], np.mean(terms), rtol=1e-8, atol=1e-25)


def test_tripower_scale_is_the_normal_moment():
    moment, _ = integrate.quad(lambda z: abs(z) ** (4 / 3) * stats.norm.pdf(z), -12, 12, points=[0.0])
    assert jumps.TRIPOWER_SCALE == pytest.approx(moment**-3, rel=1e-7)


def test_all_find_the_variance_of_a_diffusion_and_the_robust_ones_pass_over_jumps():
    rng = np.random.default_rng(8)
    calm = rng.normal(0, 0.01, (60_000, 1))
    jumpy = calm.copy()
    jumpy[::200] += 0.1
    rows = len(calm) - 100
    variance = realised_volatility(jumpy, rows)[-1, 0] ** 2
    assert variance == pytest.approx(1e-4 + 0.1**2 / 200, rel=0.05)
    for estimator, bias in ((jumps.bipower_variance, 0.15), (jumps.min_variance, 0.03), (jumps.median_variance, 0.03)):
        assert estimator(calm, rows)[-1, 0] == pytest.approx(1e-4, rel=0.02)
        assert estimator(jumpy, rows)[-1, 0] == pytest.approx(1e-4, rel=bias)
    for estimator in (jumps.realised_quarticity, jumps.tripower_quarticity):
        assert estimator(calm, rows)[-1, 0] == pytest.approx(1e-8, rel=0.04)
    assert jumps.truncated_variance(jumpy, rows - 300, 200)[-1, 0] == pytest.approx(1e-4, rel=0.03)


def test_median_and_min_do_not_move_at_all_with_a_lone_jump():
    steady = np.full((20, 1), 0.01)
    steady[1::2] = -0.012
    jumped = steady.copy()
    jumped[10] = 0.5
    for estimator in (jumps.min_variance, jumps.median_variance):
        low, high = estimator(steady, 15)[-1, 0], estimator(jumped, 15)[-1, 0]
        assert high == pytest.approx(low, rel=0.1)
    assert jumps.bipower_variance(jumped, 15)[-1, 0] > 5 * jumps.bipower_variance(steady, 15)[-1, 0]


def test_truncation_judges_a_return_by_the_bars_before_it(returns):
    window, usual = 12, 30
    frame = pd.DataFrame(np.abs(returns))
    before = (math.pi / 2 * frame * frame.shift()).rolling(usual).mean().shift()
    kept = (frame**2).where(frame <= 3.0 * np.sqrt(before), 0.0).where(frame.notna() & before.notna())
    same(jumps.truncated_variance(returns, window, usual, multiple=3.0), rolled(kept, window))


def test_jump_statistic_against_its_formula(returns):
    window = 48
    r = pd.DataFrame(np.abs(returns))
    rv, bv = (r**2).rolling(window).sum(), math.pi / 2 * (r * r.shift()).rolling(window).sum()
    tq = window * MU**-3 * ((r * r.shift() * r.shift(2)) ** (4 / 3)).rolling(window).sum()
    root = np.sqrt((math.pi**2 / 4 + math.pi - 5) / window * np.maximum(1.0, tq / bv**2))
    same(jumps.jump_statistic(returns, window), (1 - bv / rv) / root, rtol=1e-7)


def test_jump_statistic_is_normal_without_jumps_and_large_with_one():
    rng = np.random.default_rng(2)
    moves = rng.normal(0, 0.01, (400, 2000))
    last = jumps.jump_statistic(moves, 390)[-1]
    assert np.mean(last) == pytest.approx(0.0, abs=0.12)
    assert np.std(last) == pytest.approx(1.0, abs=0.08)
    assert np.mean(last > stats.norm.ppf(0.95)) == pytest.approx(0.05, abs=0.02)
    moves[200] += 0.15
    assert np.mean(jumps.jump_statistic(moves, 390)[-1] > 3.09) > 0.9


def test_prices_that_stand_still_have_no_statistic():
    assert np.isnan(jumps.jump_statistic(np.zeros((10, 1)), 5)).all()
    assert jumps.median_variance(np.zeros((10, 1)), 5)[-1, 0] == 0.0


def everything(open_, high, low, close):
    moves = log_returns(close)
    yield rogers_satchell(open_, high, low, close, 24)
    yield yang_zhang(open_, high, low, close, 24)
    for estimator in (*LOOPS, jumps.jump_statistic):
        yield estimator(moves, 24)
    yield jumps.truncated_variance(moves, 24, 50)


def test_each_is_the_same_as_a_compiled_formula(bars):
    hour = np.timedelta64(1, "h")
    times = np.datetime64("2024-01-01", "ns") + np.arange(ROWS) * hour
    formulas = [
        Formula(f"f{k}", expression, "as an expression", "none")
        for k, expression in enumerate(everything(*(column(name) for name in bars)))
    ]
    table = BarTable(times, hour, ("A", "B", "C"), bars)
    compiled = run_step(Program(formulas, hour), table, np.arange(1, ROWS + 1))
    for k, expected in enumerate(everything(*bars.values())):
        same(compiled[:, :, k], expected, rtol=1e-9)
