"""The correlation steps: batch is stream, and every value is what a plain twin over the whole past says."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factor_bars import factor_bars
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from step_parity import hold

from margincast.features.correlation.absorption import AbsorptionStep, absorption_ratio
from margincast.features.correlation.downside import DownsideStep
from margincast.features.correlation.ewma import average_correlation, ewma_correlation, largest_eigenvalue_share
from margincast.features.correlation.lead_lag import LeadLagStep
from margincast.features.correlation.matrix_step import CorrelationStep
from margincast.features.correlation.tails import TailDependenceStep
from margincast.features.correlation.turbulence import TurbulenceStep
from margincast.features.engine.bars import BarTable
from margincast.features.engine.step import run_on, run_step
from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
HALF_LIFE = 24.0
DECAY = 0.5 ** (1.0 / HALF_LIFE)
STEPS = (
    CorrelationStep(1.0, HALF_LIFE),
    AbsorptionStep(1.0, HALF_LIFE, recent_days=2, history_days=12, least_days=4),
    TurbulenceStep(1.0, 12.0, HALF_LIFE),
    DownsideStep(1.0, HALF_LIFE),
    TailDependenceStep(1.0, 48.0, 0.1),
    LeadLagStep(1.0, HALF_LIFE, 2),
)


def returns_of(table):
    return np.diff(np.log(table.columns["close"]), axis=0, prepend=np.nan)


def column(step, values, name):
    """One feature by the start of its name."""
    place = [one.name.startswith(name) for one in step.declarations].index(True)
    return values[..., place]


def close(actual, expected, rtol=1e-9, atol=1e-11):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def since_gap(*series):
    """Rows since one of the series was last NaN, and their weights; no rows where that is under a half-life."""
    bad = np.flatnonzero(np.isnan(np.sum(series, axis=0)))
    rows = np.arange(bad[-1] + 1 if len(bad) else 0, len(series[0]))
    if len(rows) < HALF_LIFE:
        return None, None
    return rows, DECAY ** (len(series[0]) - 1 - rows)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_each_step_keeps_its_contract(step):
    hold(step, factor_bars(260, seed=2), 180)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_one_coin_has_no_correlation_and_two_do(step):
    table = factor_bars(400, ("A", "B"), seed=4)
    both = run_step(step, table, np.array([400]))[0]
    alone = BarTable(table.times, table.step, ("A",), {k: v[:, :1] for k, v in table.columns.items()})
    one = run_step(step, alone, np.array([400]))[0]
    assert not np.isnan(both).any()
    kept = {"market_correlation", "market_beta", "leader_correlation", "leader_beta", "downside_correlation"}
    kept |= {"downside_beta"}
    for place, told in enumerate(step.declarations):
        assert np.isnan(one[0, place]) or told.name.rsplit("_", 1)[0] in kept


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_tables_one_after_the_other_give_what_one_gives(step):
    table = factor_bars(200, seed=2, gaps=0.002)
    whole = run_step(step, table, np.arange(201))
    state, found = step.start(table.symbols), []
    for first, last in ((0, 1), (1, 90), (90, 200)):
        found.append(run_on(step, state, table.part(first, last), np.arange(last - first)))
    np.testing.assert_array_equal(np.concatenate(found), whole[:-1])
    np.testing.assert_array_equal(step.read(state), whole[-1])


def test_the_matrix_step_is_the_functions_of_the_whole_past():
    table, step = factor_bars(300, seed=3, gaps=0.004), STEPS[0]
    values = run_step(step, table, np.arange(301))
    returns = returns_of(table)
    whole = ewma_correlation(returns, HALF_LIFE, np.arange(300))
    close(column(step, values, "absorption")[1:, 0], largest_eigenvalue_share(whole))
    close(column(step, values, "average_correlation")[1:, 2], average_correlation(whole))
    for row in (40, 110, 207, 299):
        matrix, now = whole[row], values[row + 1]
        known = np.flatnonzero(~np.isnan(np.diag(matrix)))
        if len(known) < 2:
            continue
        part = matrix[np.ix_(known, known)]
        off = part[np.triu_indices(len(known), 1)]
        close(column(step, now, "distance_to_one")[0], np.sqrt(np.mean((1 - off) ** 2)))
        eigen = np.linalg.eigvalsh(part)
        close(column(step, now, "smallest_eigenvalue")[0], eigen[0], atol=1e-12)
        shares = np.maximum(eigen, 0) / np.maximum(eigen, 0).sum()
        shares = shares[shares > 0]
        close(column(step, now, "effective_bets")[0], np.exp(-(shares * np.log(shares)).sum()))
        mine = (part.sum(axis=0) - 1) / (len(known) - 1)
        close(column(step, now, "coin_correlation")[known], mine)


def test_correlation_and_beta_to_market_and_leader_by_weighted_sums():
    table, step = factor_bars(300, seed=7, gaps=0.004), STEPS[0]
    values, returns = run_step(step, table, np.arange(301)), returns_of(table)
    traded = np.nan_to_num(table.columns["last_close"] * table.columns["volume"])
    seen = 0
    for row in range(30, 300, 9):
        past, market = returns[: row + 1], np.full(row + 1, np.nan)
        some = ~np.isnan(past).all(axis=1)
        market[some] = np.nanmean(past[some], axis=1)
        leader = np.argmax(DECAY ** np.arange(row, -1, -1) @ traded[: row + 1])
        for coin in range(4):
            for other, name in ((market, "market"), (past[:, leader], "leader")):
                rows, w = since_gap(past[:, coin], other)
                now = values[row + 1, coin]
                found = column(step, now, f"{name}_correlation"), column(step, now, f"{name}_beta")
                if rows is None:
                    assert np.isnan(found).all()
                    continue
                x, y = past[rows, coin], other[rows]
                cross, own, base = (w * x * y).sum(), (w * x * x).sum(), (w * y * y).sum()
                close(found, [cross / np.sqrt(own * base), cross / base])
                seen += 1
    assert seen > 50


def test_the_leader_is_the_coin_most_traded_of_late():
    table = factor_bars(200, seed=1)
    volume = np.where(np.arange(200)[:, None] < 100, [1e9, 1.0, 1.0, 1.0], [1.0, 1.0, 1e9, 1.0])
    table = replace(table, columns={**table.columns, "volume": volume})
    beta = column(STEPS[0], run_step(STEPS[0], table, np.array([100, 200])), "leader_beta")
    assert beta[0, 0] == 1.0 and beta[0, 2] != 1.0
    assert beta[1, 2] == 1.0 and beta[1, 0] != 1.0


def test_the_matrix_step_is_the_functions_of_the_whole_past_on_real_marks(tmp_path):
    source = SHARED / "data" / "binance_1h"
    if not (source / "perp.parquet").is_file():
        pytest.skip(f"no {source}/perp.parquet")
    folder = tmp_path / "market"
    folder.mkdir()
    for name in ("perp", "mark"):
        bars = pd.read_parquet(source / f"{name}.parquet")
        window = (bars["timestamp"] >= "2020-01-15") & (bars["timestamp"] < "2020-07-01")
        bars[window].to_parquet(folder / f"{name}.parquet")
    data = read_market_folder(folder)
    columns = {"close": data.mark("close"), "last_close": data.trade["close"], "volume": data.trade["volume"]}
    table = BarTable(data.times, data.history.step, data.symbols, columns)
    step, rows = CorrelationStep(data.bar_hours), np.arange(4, len(table), 5)
    values = run_step(step, table, rows + 1)
    whole = ewma_correlation(returns_of(table), 72.0, rows)
    for name, expected in (
        ("absorption_72h", largest_eigenvalue_share(whole)),
        ("average_correlation_72h", average_correlation(whole)),
    ):
        assert np.isfinite(expected).mean() > 0.5
        close(column(step, values, name), np.repeat(expected[:, None], len(data.symbols), axis=1), rtol=0, atol=1e-9)


def test_absorption_shift_by_its_formula():
    step = STEPS[1]
    table = factor_bars(24 * 20, ("A", "B", "C", "D", "E", "F", "G"), seed=5)
    values, returns = run_step(step, table, np.arange(len(table) + 1)), returns_of(table)
    ratios = np.full(len(table), np.nan)
    for row in range(24, len(table)):
        w = DECAY ** np.arange(row - 1, -1, -1)
        past = returns[1 : row + 1]
        eigen = np.linalg.eigvalsh((past.T * w) @ past / w.sum())
        ratios[row] = eigen[-2:].sum() / eigen.sum()  # seven coins: a fifth, rounded up, is two components
    close(column(step, values, "absorption_ratio")[1:, 0], ratios)
    notes = ratios[23::24]
    notes = notes[~np.isnan(notes)]
    expected = (notes[-2:].mean() - notes[-12:].mean()) / notes[-12:].std(ddof=1)
    close(column(step, values, "absorption_shift")[-1], expected)
    first = np.flatnonzero(~np.isnan(column(step, values, "absorption_shift")[:, 0]))[0]
    assert first == 24 * 5  # four days after the first, which has no half-life of returns yet


def test_absorption_ratio_bounds_and_reference():
    rng = np.random.default_rng(0)
    for n in (2, 5, 9):
        x = rng.normal(size=(50, n)) @ rng.normal(size=(n, n))
        covariance = np.cov(x.T)
        _, singular, _ = np.linalg.svd(x - x.mean(axis=0))
        for k in (1, n):
            close(absorption_ratio(covariance[None], k), (singular**2)[:k].sum() / (singular**2).sum())
    with pytest.raises(InputError, match="components"):
        absorption_ratio(np.eye(3)[None], 4)


def test_turbulence_is_scipys_mahalanobis_with_the_covariance_before():
    step, table = STEPS[2], factor_bars(220, seed=6, gaps=0.002)
    values, returns = run_step(step, table, np.arange(221)), returns_of(table)
    seen = 0
    for row in range(40, 220, 7):
        window, before = returns[row - 11 : row + 1], returns[: row - 11]
        moments = [[since_gap(before[:, i], before[:, j]) for j in range(4)] for i in range(4)]
        coins = [i for i in range(4) if moments[i][i][0] is not None and not np.isnan(window[:, i]).any()]
        if len(coins) < 2:
            assert np.isnan(values[row + 1]).all()
            continue
        covariance = np.array(
            [
                [np.average(before[r, i] * before[r, j], weights=w) for j in coins for r, w in [moments[i][j]]]
                for i in coins
            ]
        )
        zero, inverse = np.zeros(len(coins)), np.linalg.inv(covariance)
        found = np.array([mahalanobis(zero, move, inverse) ** 2 for move in window[:, coins]])
        plain = (window[:, coins] ** 2 / np.diag(covariance)).sum(axis=1)
        expected = [found[-1] / len(coins), found.mean() / len(coins), found.sum() / plain.sum()]
        close(values[row + 1], np.tile(expected, (4, 1)), rtol=1e-8)
        seen += 1
    assert seen > 15


def test_turbulence_is_one_in_usual_times_and_says_nothing_of_a_singular_market():
    rng = np.random.default_rng(1)
    table = factor_bars(3000, seed=1)
    table = replace(table, columns={"close": np.exp(np.cumsum(rng.normal(0, 0.01, (3000, 4)), axis=0))})
    step = TurbulenceStep(1.0, 24.0, 500.0)
    values = run_step(step, table, np.arange(1000, 3000, 24))[:, 0]
    assert abs(column(step, values, "turbulence_24h").mean() - 1) < 0.05
    assert abs(column(step, values, "correlation_surprise").mean() - 1) < 0.02
    twins = replace(table, columns={"close": np.repeat(table.columns["close"][:, :1], 4, axis=1)})
    assert np.isnan(run_step(step, twins, np.array([3000]))).all()


def test_downside_by_weighted_sums_over_falls():
    step, table = STEPS[3], factor_bars(300, seed=8, gaps=0.003)
    values, returns = run_step(step, table, np.arange(301)), returns_of(table)
    market = np.array([np.nanmean(r) if not np.isnan(r).all() else np.nan for r in returns])

    def falling(x, y, row):
        rows, w = since_gap(x[: row + 1], y[: row + 1])
        if rows is None:
            return np.nan, np.nan
        keep = market[rows] < 0
        c = np.cov(np.stack((x[rows][keep], y[rows][keep])), aweights=w[keep], ddof=0)
        return c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]), c[0, 1] / c[1, 1]

    for row in range(60, 300, 37):
        pairs = [falling(returns[:, i], returns[:, j], row)[0] for i in range(4) for j in range(i)]
        known = [value for value in pairs if not np.isnan(value)]
        average = np.mean(known) if known else np.nan
        close(column(step, values[row + 1], "average_downside"), np.full(4, average))
        for coin in range(4):
            close(values[row + 1, coin, 1:], falling(returns[:, coin], market, row))


def test_tail_dependence_by_sorting():
    step, table = STEPS[4], factor_bars(200, seed=9, gaps=0.002)
    values, returns = run_step(step, table, np.arange(201)), np.round(returns_of(table), 3)
    rounded = replace(table, columns={"close": 100 * np.exp(np.nancumsum(returns, axis=0))})
    for bars, moves in ((table, returns_of(table)), (rounded, returns_of(rounded))):
        values = run_step(step, bars, np.arange(201))
        for row in range(50, 200, 13):
            window = moves[row - 47 : row + 1]
            known = [i for i in range(4) if not np.isnan(window[:, i]).any()]
            worst = [set(np.argsort(window[:, i], kind="stable")[:5]) for i in known]
            shares = np.array([[len(a & b) / 5 for b in worst] for a in worst])
            if len(known) < 2:
                assert np.isnan(values[row + 1]).all()
                continue
            mine = np.full(4, np.nan)
            mine[known] = (shares.sum(axis=1) - 1) / (len(known) - 1)
            close(values[row + 1, :, 0], mine)
            close(values[row + 1, :, 1], np.full(4, np.nanmean(mine)))


def test_tail_dependence_is_one_together_and_the_share_alone():
    rng = np.random.default_rng(3)
    own = rng.normal(0, 0.01, (4000, 6))
    table = factor_bars(4000, ("A", "B", "C", "D", "E", "F"))
    step = TailDependenceStep(1.0, 3990.0, 0.05)
    apart = replace(table, columns={"close": np.exp(np.cumsum(own, axis=0))})
    assert abs(run_step(step, apart, np.array([4000]))[0, 0, 1] - 0.05) < 0.02
    scales = np.arange(1.0, 7.0)
    together = replace(table, columns={"close": np.exp(np.cumsum(own[:, :1] * scales, axis=0))})
    assert (run_step(step, together, np.array([4000])) == 1.0).all()


def test_lead_lag_by_weighted_sums():
    step, table = STEPS[5], factor_bars(200, seed=10, gaps=0.003)
    values, returns = run_step(step, table, np.arange(201)), returns_of(table)
    rest = np.full(returns.shape, np.nan)
    for row, coin in np.ndindex(returns.shape):
        others = np.delete(returns[row], coin)
        if not np.isnan(others).all():
            rest[row, coin] = np.nanmean(others)

    def shifted(x, y, lag, row):
        rows, w = since_gap(x[: row + 1 - lag], y[lag : row + 1])
        if rows is None:
            return np.nan
        a, b = x[: row + 1 - lag][rows], y[lag : row + 1][rows]
        return (w * a * b).sum() / np.sqrt((w * a * a).sum() * (w * b * b).sum())

    for row in range(40, 200, 31):
        for coin in range(4):
            mine, other = returns[:, coin], rest[:, coin]
            expected = [shifted(*pair, lag, row) for lag in (1, 2) for pair in ((mine, other), (other, mine))]
            close(values[row + 1, coin, 1:], expected)
            lead, lag = abs(expected[0]) + abs(expected[2]), abs(expected[1]) + abs(expected[3])
            close(values[row + 1, coin, 0], (lead - lag) / (lead + lag))


def test_a_leader_leads_and_a_follower_follows():
    table = factor_bars(2000, seed=11, shift=2)  # the last coin does what the others did two bars before
    step = LeadLagStep(1.0, 500.0, 3)
    values = run_step(step, table, np.array([2000]))[0]
    score = column(step, values, "lead_score")
    assert score[3] < -0.4 and (score[:3] > score[3]).all()
    lags = [column(step, values, f"lag_correlation_{lag}bar")[3] for lag in (1, 2, 3)]
    assert np.argmax(lags) == 1 and lags[1] > 0.3


@given(st.integers(0, 1000), st.floats(0.1, 10.0))
@settings(max_examples=10)
def test_correlations_do_not_depend_on_the_size_of_moves(seed, scale):
    table = factor_bars(80, seed=seed)
    larger = replace(table, columns={**table.columns, "close": table.columns["close"] ** scale})
    for step in (STEPS[0], STEPS[3], STEPS[5]):
        one, two = (run_step(step, bars, np.array([80])) for bars in (table, larger))
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: CorrelationStep(1.0, 1.0), "two bars"),
        (lambda: CorrelationStep(0.0), "positive"),
        (lambda: AbsorptionStep(1.0, least_days=10), "least_days"),
        (lambda: TailDependenceStep(1.0, share=0.7), "share"),
        (lambda: LeadLagStep(1.0, lags=0), "lags"),
        (
            lambda: run_step(STEPS[0], BarTable(factor_bars(3).times, factor_bars(3).step, ("A",), {}), np.array([1])),
            "close",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, word):
    with pytest.raises(InputError, match=word):
        make()
