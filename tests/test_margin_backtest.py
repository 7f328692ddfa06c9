"""The back-test of one-day quantiles against published results, and bad files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from margincast.models.margin_quantiles import HistoricalSimulation, LossSeries
from margincast.riskcore.errors import InputError
from margincast.training.coverage_tests import kupiec
from margincast.training.margin_backtest import METHODS, backtest, backtest_series, var_table_check
from margincast.training.return_table import read_returns

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="module")
def var_tables() -> Path:
    folder = SHARED / "data" / "var_tables"
    if not (folder / "published.csv").is_file():
        pytest.skip(f"no {folder}")
    return folder


def test_published_var_results_are_reproduced(var_tables: Path) -> None:
    found = var_table_check(var_tables)
    assert len(found) == 16
    assert [row for row in found if not row.agrees] == []


def test_published_kupiec_p_values_are_reproduced(var_tables: Path) -> None:
    """All methods: the test needs only their counts."""
    for row in pd.read_csv(var_tables / "published.csv").to_dict("records"):
        for which in ("raw", "conformal"):
            found = kupiec(row[f"violations_{which}"], row["n_test"], row["alpha"]).p_value
            assert found == pytest.approx(row[f"kupiec_p_{which}"], rel=1e-6)


def table(path: Path, rows: int = 900, **columns: object) -> Path:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "symbol": "A",
            "date": pd.date_range("2020-01-01", periods=rows).strftime("%Y-%m-%d"),
            "log_return": 0.01 * rng.standard_t(4, rows),
        }
    ).assign(**columns)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def test_the_contract_of_the_json(tmp_path: Path) -> None:
    found = backtest(table(tmp_path / "r.parquet"), 0.05)
    assert list(found) == ["A"]
    assert list(found["A"]) == list(METHODS)
    keys = {"n_test", "violations", "violations_conformal", "conformal_shift", "kupiec_p", "quantile_score"}
    assert all(keys <= set(row) for row in found["A"].values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    methods = {"Hist-Sim": METHODS["Hist-Sim"]}
    first, second = (backtest(table(tmp_path / name), 0.01, methods) for name in ("r.csv", "r.parquet"))
    assert first["A"]["Hist-Sim"]["violations"] == second["A"]["Hist-Sim"]["violations"]
    assert first["A"]["Hist-Sim"]["quantile_score"] == pytest.approx(second["A"]["Hist-Sim"]["quantile_score"])


def test_a_row_is_its_definition() -> None:
    returns = 0.01 * np.random.default_rng(2).standard_t(4, 700)
    row = backtest_series(returns, HistoricalSimulation(100), 0.05)
    quantile = np.array([np.quantile(returns[t - 100 : t], 0.05) for t in range(100, 700)])
    realised = returns[100:]
    scores = np.sort((quantile - realised)[:420])
    shift = scores[int(np.ceil(421 * 0.95)) - 1]
    missed = realised[420:] < quantile[420:]
    assert (row.n_calibration, row.n_test, row.violations) == (420, 180, missed.sum())
    assert row.conformal_shift == pytest.approx(shift)
    assert row.violations_conformal == (realised[420:] < quantile[420:] - shift).sum()
    score = ((0.05 - missed) * (realised[420:] - quantile[420:])).mean()
    assert row.quantile_score == pytest.approx(score)


def test_the_shift_is_not_learned_on_the_test() -> None:
    returns = 0.01 * np.random.default_rng(3).standard_t(4, 700)
    before = backtest_series(returns, HistoricalSimulation(100), 0.05)
    returns[520:] *= 5
    after = backtest_series(returns, HistoricalSimulation(100), 0.05)
    assert before.conformal_shift == after.conformal_shift
    assert after.violations > before.violations


def test_a_right_quantile_is_rarely_rejected_and_a_wrong_one_is() -> None:
    class Normal:
        def __init__(self, scale: float) -> None:
            self.name, self.scale = "normal", scale

        def predict(self, series: LossSeries, level: float) -> np.ndarray:
            return np.full(len(series) + 1, self.scale * stats.norm.ppf(level))

    rng = np.random.default_rng(4)
    paths = [rng.normal(0, 1, 4000) for _ in range(40)]
    right = [backtest_series(p, Normal(1.0), 0.05).kupiec_p for p in paths]
    wrong = [backtest_series(p, Normal(0.7), 0.05).kupiec_p for p in paths]
    assert np.mean(np.array(right) < 0.05) < 0.2
    assert max(wrong) < 0.05


def test_dates_may_be_timestamps(tmp_path: Path) -> None:
    days = pd.date_range("2020-01-01", periods=3)
    for number, dates in enumerate((days, days.tz_localize("UTC"), days.date)):
        found = read_returns(table(tmp_path / f"{number}.parquet", 3, date=dates))
        np.testing.assert_array_equal(found.dates["A"], days.to_numpy().astype("datetime64[ns]"))


def test_large_returns_are_left_out_and_counted(tmp_path: Path) -> None:
    path = table(tmp_path / "r.parquet", 3, log_return=[0.1, 0.6, -0.2])
    found = read_returns(path)
    assert found.returns["A"].tolist() == [0.1, -0.2]
    assert found.dropped == {"A": 1}


@pytest.mark.parametrize(
    ("columns", "row", "column"),
    [
        ({"log_return": [0.1, np.nan, 0.1]}, 1, "log_return"),
        ({"log_return": [0.1, 0.1, np.inf]}, 2, "log_return"),
        ({"log_return": ["0.1", "much", "0.1"]}, 1, "log_return"),
        ({"date": ["2020-01-01", "soon", "2020-01-03"]}, 1, "date"),
        ({"date": ["2020-01-01", "2020-01-03", "2020-01-03"]}, 2, "date"),
        ({"symbol": ["A", None, "A"]}, 1, "symbol"),
        ({"date": ["2020-01-02", "2020-01-01", "2020-01-03"]}, 1, "date"),
    ],
)
def test_a_bad_value_is_located(tmp_path: Path, columns: dict[str, list[object]], row: int, column: str) -> None:
    for suffix in (".csv", ".parquet"):
        with pytest.raises(InputError) as caught:
            read_returns(table(tmp_path / f"r{suffix}", 3, **columns))
        assert (caught.value.file, caught.value.row, caught.value.column) == (f"r{suffix}", row, column)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    whole = table(tmp_path / "r.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "head.csv").write_text("symbol,date,log_return\n")
    (tmp_path / "other.csv").write_text("symbol,date\nA,2020-01-01\n")
    for name in ("cut.parquet", "empty.csv", "head.csv", "other.csv", "missing.parquet"):
        with pytest.raises(InputError, match=name):
            read_returns(tmp_path / name)


@pytest.mark.parametrize("level", [0.0, 0.5, 0.99, -1.0])
def test_a_level_that_is_no_tail_is_refused(tmp_path: Path, level: float) -> None:
    with pytest.raises(InputError, match=r"0\.01"):
        backtest(table(tmp_path / "r.parquet"), level)


def test_too_short_a_series_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A: 0 forecast days"):
        backtest(table(tmp_path / "r.parquet", 100))
