"""The selfcheck: every published figure is met, and code that is wrong misses some."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError, MargincastError
from margincast.training import selfcheck as selfcheck_file
from margincast.training import selfcheck_backtests as backtests
from margincast.training import selfcheck_options as options
from margincast.training import selfcheck_risk as risk
from margincast.training import selfcheck_volatility as volatility
from margincast.training.selfcheck import Finding, run_selfcheck, var_tables_in
from margincast.training.shortfall_test import acerbi_szekely

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="module")
def findings():
    return run_selfcheck()


def test_every_published_figure_is_met(findings):
    assert [(one.what, one.published, one.ours) for one in findings if not one.agrees] == []
    assert len({one.what for one in findings}) == len(findings) > 80
    assert all(one.source and np.isfinite(one.published) and one.tolerance >= 0 for one in findings)


def test_it_is_quick_and_the_same_twice(findings):
    start = time.process_time()
    assert run_selfcheck() == findings
    assert time.process_time() - start < 10.0


def test_the_published_regression_on_vix_is_met(monkeypatch):
    if not (SHARED / "data" / "daily_regimes").is_dir():
        pytest.skip(f"no daily data at {SHARED / 'data' / 'daily_regimes'}")
    monkeypatch.setattr(volatility, "_efficiency", list)
    monkeypatch.setattr(volatility, "_jumps", list)
    found = volatility.volatility_findings(SHARED / "data")
    assert len(found) == 4 and all(one.agrees for one in found)
    assert volatility.volatility_findings(SHARED / "data" / "var_tables") == []


def test_a_folder_without_the_columns_is_refused(tmp_path):
    import pandas as pd

    (tmp_path / "daily_regimes").mkdir()
    pd.DataFrame({"close": [1.0]}).to_parquet(tmp_path / "daily_regimes" / "arch_vix.parquet")
    with pytest.raises(InputError, match="column vix: is missing"):
        volatility.volatility_findings(tmp_path)


def test_a_folder_is_looked_at_before_anything_is_computed(monkeypatch, tmp_path):
    def worked() -> None:
        raise AssertionError("computed first")

    monkeypatch.setattr(selfcheck_file, "venue_findings", worked)
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(MargincastError, match=r"holds no published back-tests; name the folder of var_tables"):
            run_selfcheck(folder)


def test_the_back_tests_are_found_at_and_below_a_folder(tmp_path):
    tables = tmp_path / "data" / "var_tables"
    tables.mkdir(parents=True)
    for name in ("returns.parquet", "published.csv"):
        (tables / name).touch()
    assert {var_tables_in(one) for one in (tmp_path, tmp_path / "data", tables)} == {tables}


def scaled(call, factor):
    return lambda *arguments, **named: call(*arguments, **named) * factor


@pytest.mark.parametrize(
    ("file", "name", "wrong", "find"),
    [
        (backtests, "kupiec", lambda x, n, tail, call=backtests.kupiec: call(x, n + 9, tail), backtests._kupiec),
        (backtests, "kupiec", lambda x, n, tail, call=backtests.kupiec: call(x, n + 1, tail), backtests._jorion),
        (backtests, "basel_zone", lambda x, n, tail, call=backtests.basel_zone: call(x + 1, n, tail), backtests._basel),
        (backtests, "clustered_hits", lambda: np.arange(253) % 12 == 1, backtests._jorion),
        (backtests, "gap_significance", scaled(backtests.gap_significance, 1.001), backtests._miller),
        (backtests, "acerbi_szekely", scaled(acerbi_szekely, 1.1), backtests._acerbi),
        (options, "spot_value", scaled(options.spot_value, 1.001), options._values),
        (options, "touch_probability", scaled(options.touch_probability, 1.02), lambda: [options._shift()]),
        (options, "touch_probability", scaled(options.touch_probability, 1.00001), lambda: [options._reflection()]),
        (risk, "value_at_risk", scaled(risk.value_at_risk, 1.001), risk.risk_findings),
        (risk, "expected_shortfall", scaled(risk.expected_shortfall, 1.001), risk.risk_findings),
        (risk, "RELAPSED", (0, *risk.RELAPSED[1:]), risk._survival),
        (volatility, "parkinson", scaled(volatility.parkinson, 1.02), volatility._efficiency),
        (volatility, "garman_klass", scaled(volatility.garman_klass, 1.02), volatility._efficiency),
        (volatility, "rogers_satchell", scaled(volatility.rogers_satchell, 1.02), volatility._efficiency),
        (volatility, "min_variance", scaled(volatility.min_variance, 1.04), volatility._jumps),
        (volatility, "bipower_variance", scaled(volatility.bipower_variance, 1.04), volatility._jumps),
    ],
)
def test_code_that_is_wrong_misses_a_figure(monkeypatch, file, name, wrong, find):
    assert all(one.agrees for one in find())
    monkeypatch.setattr(file, name, wrong)
    assert not all(one.agrees for one in find())


@pytest.mark.parametrize(
    ("file", "table", "entry", "figure"),
    [(risk, "NORMAL_VAR", "0.99", 294.5), (backtests, "BASEL_CUMULATIVE", "5", 95.87), (risk, "SURVIVAL", "16", 0.629)],
)
def test_a_figure_that_is_wrong_fails_the_selfcheck(monkeypatch, file, table, entry, figure):
    monkeypatch.setattr(file, table, getattr(file, table) | {entry: figure})
    monkeypatch.setattr(selfcheck_file, "volatility_findings", lambda shared: [])
    monkeypatch.setattr(selfcheck_file, "option_findings", list)
    wrong = [one for one in run_selfcheck() if not one.agrees]
    assert [one.published for one in wrong] == [figure]


def test_a_figure_that_is_not_known_agrees_with_nothing():
    assert not Finding("a figure", "nowhere", 1.0, float("nan"), 1e9).agrees


def test_regression_is_that_of_least_squares():
    level = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.05, 400)))
    rows = range(22, 400)
    x = np.array([[1.0, level[t - 1], level[t - 5 : t].mean(), level[t - 22 : t].mean()] for t in rows])
    expected = np.linalg.lstsq(x, level[22:], rcond=None)[0]
    np.testing.assert_allclose(volatility.har_coefficients(level), expected, rtol=1e-7, atol=1e-9)


def test_days_drawn_have_the_range_of_brownian_motion():
    """Feller (1951): mean range sqrt(8 / pi), mean square 4 ln 2."""
    open_, high, low, close = volatility.brownian_days(40_000, 16, np.random.default_rng(2))
    assert (high >= np.maximum(open_, close)).all() and (low <= np.minimum(open_, close)).all()
    span = np.log(high / low)
    assert span.mean() == pytest.approx(np.sqrt(8 / np.pi), rel=0.01)
    assert (span**2).mean() == pytest.approx(4 * np.log(2), rel=0.02)
    assert np.log(close).std() == pytest.approx(1.0, rel=0.02)


def test_the_hits_of_the_textbook_have_its_table():
    hit = backtests.clustered_hits()
    pairs = list(zip(hit[:-1].tolist(), hit[1:].tolist(), strict=True))
    counts = [pairs.count(pair) for pair in ((False, False), (False, True), (True, False), (True, True))]
    assert counts == [218, 14, 14, 6]


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    st.floats(0.1, 3),
    st.floats(1.0, 3.0),
    st.floats(0.01, 0.5),
)
def test_the_shortfall_statistic_is_its_formula_and_knows_no_unit(losses, level, more, tail):
    shortfall = level * more
    total = sum(loss / shortfall for loss in losses if loss > level)
    found = acerbi_szekely(losses, level, shortfall, tail)
    assert found == pytest.approx(1 - total / (len(losses) * tail), rel=1e-9, abs=1e-9)
    again = acerbi_szekely(np.array([losses]) * 2.0, 2.0 * level, 2.0 * shortfall, tail)
    assert again.shape == (1,) and again[0] == found


def test_the_shortfall_statistic_refuses_what_it_cannot_use():
    with pytest.raises(InputError, match="column tail"):
        acerbi_szekely([1.0], 1.0, 2.0, 0.0)
    with pytest.raises(InputError, match="column losses: needs at least one period"):
        acerbi_szekely([], 1.0, 2.0, 0.1)
    with pytest.raises(InputError, match="column shortfall: must be positive"):
        acerbi_szekely([1.0], 1.0, 0.0, 0.1)
    assert np.isnan(acerbi_szekely([[1.0, np.nan], [1.0, 1.0]], 2.0, 3.0, 0.1)).tolist() == [True, False]
