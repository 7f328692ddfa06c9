"""Bad input at the command line: one line that says where, exit code 2, no traceback, nothing half-written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_market as small

from margincast import __main__ as command_line
from margincast.training import atomic
from margincast.training.market_simulator import simulate_market, write_market_folder
from margincast.training.store import save_state

Tables = dict[str, pd.DataFrame]
PERIOD = ["--train-end", "2022-04-20", "--test-start", "2022-04-22"]


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Run a command line that must fail; returns its one error line. Nothing may be left in the folder it stands in."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["margincast", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        err = capsys.readouterr().err
        assert ended.value.code == 2, err
        told = [line for line in err.splitlines() if line.startswith("margincast: ")]
        assert len(told) == 1 and err.splitlines()[-1] == told[0], err
        assert "Traceback" not in err and "Warning" not in err
        assert list(here.rglob("*")) == []
        return told[0].removeprefix("margincast: ")

    return call


# -- market folders -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables() -> Tables:
    return simulate_market(1, days=4, symbols=("BTC", "ETH"))


def set_cell(table: str, row: int, column: str, value: object) -> Callable[[Tables], None]:
    def edit(tables: Tables) -> None:
        tables[table].loc[row, column] = value

    return edit


def without_rows(first: int, last: int) -> Callable[[Tables], None]:
    def edit(tables: Tables) -> None:
        tables["perp"] = tables["perp"].drop(index=range(first, last)).reset_index(drop=True)

    return edit


def doubled(tables: Tables) -> None:
    perp = tables["perp"]
    tables["perp"] = pd.concat([perp.iloc[:8], perp.iloc[7:]], ignore_index=True)


def unsorted(tables: Tables) -> None:
    perp = tables["perp"]
    order = list(range(len(perp)))
    order[10], order[11] = order[11], order[10]
    tables["perp"] = perp.iloc[order].reset_index(drop=True)


def naive(tables: Tables) -> None:
    tables["perp"]["timestamp"] = tables["perp"]["timestamp"].dt.tz_localize(None)


def in_low(tables: Tables) -> None:
    tables["perp"].loc[5, "high"] = tables["perp"].loc[5, "low"] * 0.99


def no_column(tables: Tables) -> None:
    tables["perp"] = tables["perp"].drop(columns="low")


def no_perp(tables: Tables) -> None:
    del tables["perp"]


BAD_MARKETS = {
    "NaN price": (set_cell("perp", 5, "close", np.nan), "perp.parquet, row 5, column close: price must be positive"),
    "zero price": (set_cell("perp", 6, "low", 0.0), "perp.parquet, row 6, column low: price must be positive"),
    "negative price": (set_cell("perp", 7, "open", -3.0), "perp.parquet, row 7, column open: price must be positive"),
    "infinite price": (set_cell("mark", 8, "high", np.inf), "mark.parquet, row 8, column high: price must be positive"),
    "high below low": (in_low, "perp.parquet, row 5, column high: high is below the low"),
    "duplicate time": (doubled, "perp.parquet, row 8, column timestamp: timestamp and symbol stand there twice"),
    "unsorted times": (unsorted, "perp.parquet, row 11, column timestamp: timestamps of a symbol must rise"),
    "naive times": (naive, "perp.parquet, row 0, column timestamp: timestamp has no time zone"),
    "long gap": (without_rows(20, 80), "perp.parquet, row 20, column timestamp: 60 bars of BTC are missing"),
    "column missing": (no_column, "perp.parquet, column low: is missing"),
    "no symbol": (set_cell("perp", 3, "symbol", ""), "perp.parquet, row 3, column symbol: must not be empty"),
    "no perp": (no_perp, "has no perp.parquet"),
    "mad funding": (set_cell("funding", 2, "funding_rate", 5.0), "funding.parquet, row 2, column funding_rate"),
}


@pytest.mark.parametrize("name", BAD_MARKETS)
def test_a_bad_market_is_refused_by_file_row_and_column(refused, tables, tmp_path, name):
    edit, told = BAD_MARKETS[name]
    changed = {key: table.copy() for key, table in tables.items()}
    edit(changed)
    market = write_market_folder(changed, tmp_path / "market", {})
    assert told in refused("evaluate", "--market", market, *PERIOD, "--json", "out.json")
    assert told in refused(
        "tune", "--market", market, "--start", "2022-01-01", "--end", "2022-01-03", "--json", "t.json"
    )


def test_a_market_folder_that_is_not_there_is_refused(refused, tmp_path):
    assert "no such market folder" in refused("evaluate", "--market", tmp_path / "none", *PERIOD)


@pytest.mark.parametrize("part", [0.0, 0.4, 0.999])
def test_a_truncated_parquet_file_is_refused(refused, tables, tmp_path, part):
    market = write_market_folder(tables, tmp_path / "market", {})
    content = (market / "mark.parquet").read_bytes()
    (market / "mark.parquet").write_bytes(content[: int(part * len(content))])
    told = refused("train", "--market", market, "--train-end", "2022-01-03", "--out", "model", "--no-track")
    assert told.startswith("mark.parquet: is not a whole Parquet file")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--train-end", "2021-01-01", "--test-start", "2022-04-22"], "too little to train on"),
        (
            ["--train-end", "2031-01-01", "--test-start", "2031-02-01"],
            "--train-end: is after the last day of the",
        ),
        (["--train-end", "2022-04-20", "--test-start", "2023-01-01"], "nothing to test on"),
        (
            ["--train-end", "2022-04-20", "--test-start", "2022-04-20"],
            "--test-start: must be after the last day",
        ),
        ([*PERIOD, "--test-end", "2022-04-21"], "--test-end: must not be before the first tested day, 2022-04-22"),
        ([*PERIOD, "--horizons", "4h,1h"], "--horizons: must rise"),
        ([*PERIOD, "--horizons", "90m"], "--horizons: must be a whole number of bars of 60 minutes (found '90m')"),
        ([*PERIOD, "--horizons", "1h,2000h"], "--horizons: leaves too little to train on"),
        ([*PERIOD, "--horizons", "1h,1000h"], "--horizons: leaves nothing to test on from 2022-04-22"),
        ([*PERIOD, "--train-accounts", 10], "10 simulated accounts are too few to train on; 50 or more are needed"),
        ([*PERIOD, "--venue", "mtgox"], "mtgox"),
        ([*PERIOD, "--venue", "none.toml"], "none.toml: cannot be read"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(refused, options, told):
    assert told in refused("evaluate", "--market", small.folder(), "--accounts", 50, "--json", "out.json", *options)


@pytest.mark.parametrize("horizons", ["4h,1h", "90m", "1x", "0h", "1h,2000h"])
def test_an_option_is_looked_at_before_the_folder(refused, tmp_path, horizons):
    options = ["--train-end", "2022-04-20", "--horizons", horizons, "--out", tmp_path]
    assert refused("train", "--market", small.folder(), *options).startswith("--horizons: ")


def test_the_year_that_was_typed_is_blamed_for_the_days_made_from_it(refused):
    common = ["validate", "--market", small.folder(), "--parts", "..", "--start-year"]
    assert refused(*common, 2022).startswith("--start-year: leaves too little to train on")
    assert refused(*common, 2031).endswith("the market ends 2022-05-30 (found 2031)")


def test_an_end_beyond_the_market_is_refused_by_tune_as_by_train(refused):
    told = refused("tune", "--market", small.folder(), "--start", "2022-04-20", "--end", "2022-05-31")
    assert told == "--end: is after the last day of the market, 2022-05-30 (found '2022-05-31')"


# -- accounts -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder, fitted = tmp_path_factory.mktemp("bad") / "model", small.fitted()
    fitted.about_ |= {"train_end": "2022-04-20", "venue": "binance_usdm", "accounts": "simulated"}
    save_state(fitted.state(), folder)
    return folder


def account(name: str = "bad", **changes: object) -> dict[str, object]:
    price = float(small.data().mark("close")[-1, 0])
    position = {"symbol": "BTC", "quantity": 1.0, "entry_price": price}
    return {"account": name, "balances": {"USDT": 0.1 * price}, "positions": [position]} | changes


def with_symbol(symbol: object) -> dict[str, object]:
    return account(positions=[{"symbol": symbol, "quantity": 1.0, "entry_price": 100.0}])


BAD_ACCOUNTS = {
    "unknown instrument": (lambda: with_symbol("SHIB"), "row 1, column positions[0].symbol: unknown name"),
    "unknown collateral": (lambda: account(balances={"GOLD": 1}), "row 1, column balances: unknown name"),
    "zero equity": (
        lambda: account(balances={}),
        "row 1, column balances of bad/main: has positions and an equity of zero",
    ),
    "twice": (lambda: account("good"), "row 1, column account: account and sub-account appear twice"),
    "empty": (lambda: account(balances={}, positions=[]), "row 1, column account: has neither balances nor positions"),
}


@pytest.fixture
def score(refused, model, tmp_path):
    def call(content: object, *options: object, verb: tuple[str, ...] = ("score",)) -> str:
        path = tmp_path / "accounts.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        common = ["--accounts", path, "--market", small.folder(), "--model", model, "--json", "out.json"]
        told = refused(*verb, *common, *options)
        assert str(path) in told or options
        return told

    return call


@pytest.mark.parametrize("name", BAD_ACCOUNTS)
def test_a_bad_account_is_refused_by_file_row_and_column(score, name):
    bad, told = BAD_ACCOUNTS[name]
    assert told in score([account("good"), bad()])


def test_zero_equity_in_a_csv_file_names_the_account(refused, model, tmp_path):
    path = tmp_path / "accounts.csv"
    path.write_text("account,asset,balance,symbol,quantity,entry_price\ngood,USDT,1,,,\nbad,,,BTC,1,1\nbad,USDT,0,,,\n")
    price = small.data().mark("close")[-1, 0]
    path.write_text(path.read_text().replace("BTC,1,1", f"BTC,1,{price!r}".replace("np.float64(", "").replace(")", "")))
    told = refused("score", "--accounts", path, "--market", small.folder(), "--model", model)
    assert told.startswith(f"{path}, column balances of bad/main: has positions and an equity of zero")


def test_zero_equity_is_placed_in_the_file_by_explain_too(score):
    told = score([account("good"), BAD_ACCOUNTS["zero equity"][0]()], verb=("explain", "bad"))
    assert "row 1, column balances of bad/main" in told


@pytest.mark.parametrize(("content", "told"), [("", "is not JSON"), ("[]", "holds no account"), ("{}", "needs a list")])
def test_an_empty_file_or_book_is_refused(score, content, told):
    assert told in score(content)


def test_an_account_that_is_not_there_cannot_be_explained(score):
    assert "holds no such account (found 'nobody')" in score([account("good")], verb=("explain", "nobody"))


@pytest.mark.parametrize("at", ["yesterday", "NaT", "", "2022-05-20T12:30", "2021-01-01", "2030-01-01", "2022-01-01"])
def test_an_instant_that_is_not_on_the_markets_grid_is_refused(score, at):
    told = score([account()], "--at", at)
    assert told.startswith("--at: ") or "bar" in told


@pytest.mark.parametrize("verb", [("score",), ("explain", "bad")])
def test_an_instant_beyond_the_market_says_when_that_ends(score, verb):
    told = score([account()], "--at", "2022-06-05", verb=verb)
    assert told == "--at: is after the market ends, 2022-05-31T00:00:00 (found '2022-06-05')"
    told = score([account()], "--at", "2021-12-05", verb=verb)
    assert told == "--at: is before the market begins, 2022-01-01T00:00:00 (found '2021-12-05')"


def test_stress_says_so_too(refused, tmp_path):
    (tmp_path / "accounts.json").write_text(json.dumps([account()]))
    common = ["--accounts", tmp_path / "accounts.json", "--market", small.folder()]
    assert refused("stress", *common, "--at", "2022-06-05").startswith("--at: is after the market ends, 2022-05-31")


def test_a_monitor_that_looks_beyond_the_market_names_its_option(refused, model):
    common = ["--market", small.folder(), "--model", model, "--accounts", 50]
    told = refused("monitor", *common, "--since", "2022-06-05")
    assert told == "--since: leaves nothing to judge on: the market ends 2022-05-30 (found '2022-06-05')"


def test_an_instant_before_the_volatility_is_known_is_refused(score):
    price = float(small.data().mark("close")[4 * 24 - 1, 0])
    early = account(positions=[{"symbol": "BTC", "quantity": 1.0, "entry_price": price}])
    assert "BTC has 96 bars before it, 721 are needed" in score([early], "--at", "2022-01-05T00:00")


def test_a_missing_tier_table_is_refused(refused, model, tmp_path):
    """BTC is not in this rule-book: the account that holds it is named."""
    (tmp_path / "accounts.json").write_text(json.dumps([account("good", positions=[]), account()]))
    rules = tmp_path / "rules.toml"
    rules.write_text(
        """venue = "little"
effective_from = 2024-01-01
base = "USDT"
[trigger]
strict = true
warning_ratio = 0.8
source = "made up"
date = 2024-01-01
[liquidation_price]
maintenance_at = "price"
closing_fee = 0.0
source = "made up"
date = 2024-01-01
[tiers]
kind = "marginal"
source = "made up"
date = 2024-01-01
tables = [{ symbols = ["DOGE"], rows = [[0, 1000000, 0.01, 50]] }]
"""
    )
    common = ["--accounts", tmp_path / "accounts.json", "--market", small.folder(), "--model", model]
    told = refused("score", *common, "--venue", rules, "--json", "out.json")
    assert "accounts.json, row 1, column symbol of bad/main" in told
    assert "the little rule-book has no tier table for it; --generic (with_generic) assumes one (found 'BTC')" in told


# -- models -------------------------------------------------------------------------------------------------------


@pytest.fixture
def score_with(refused, tmp_path):
    def call(*options: object) -> str:
        (tmp_path / "accounts.json").write_text(json.dumps([account()]))
        common = ["--accounts", tmp_path / "accounts.json", "--market", small.folder(), "--json", "out.json"]
        return refused("score", *common, *options)

    return call


def test_a_model_with_a_changed_byte_is_refused(score_with, model):
    path = model / "state.historical.fhs.libraries.4.moves.npy"
    good = path.read_bytes()
    path.write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    told = score_with("--model", model)
    path.write_bytes(good)
    assert told == f"{path}: does not hold the bytes that were written (SHA-256 differs)"


def test_a_model_that_is_not_there_is_refused(score_with, tmp_path):
    assert "none: is no model folder, and a registered model is" in score_with("--model", tmp_path / "none")
    assert "there is no model store here; train a model first" in score_with("--model", "models:/margincast/1")
    assert "no model store here; train one first" in score_with()
    (tmp_path / "folder").mkdir()
    assert "folder: is no model folder, it has no manifest.json" in score_with("--model", tmp_path / "folder")


def test_a_market_of_other_bars_than_the_models_is_refused(refused, model, tmp_path):
    tables = simulate_market(1, days=3, symbols=("BTC",), step="30min")
    market = write_market_folder(tables, tmp_path / "market", {})
    (tmp_path / "accounts.json").write_text(json.dumps([account()]))
    told = refused("score", "--accounts", tmp_path / "accounts.json", "--market", market, "--model", model)
    assert "has bars of 0.5 h, the model was fitted on bars of 1.0 h" in told


# -- output that cannot be written --------------------------------------------------------------------------------


@pytest.fixture
def returns(tmp_path) -> Path:
    frame = pd.DataFrame({"symbol": "AAA", "date": pd.date_range("2015-01-01", periods=600, freq="D")})
    frame["log_return"] = 0.01 * np.random.default_rng(0).standard_normal(600)
    frame.to_parquet(tmp_path / "returns.parquet")
    return tmp_path / "returns.parquet"


def test_json_that_cannot_be_written_is_said_in_one_line(refused, returns):
    told = refused("backtest", "--returns", returns, "--json", "nowhere/out.json")
    assert told == "nowhere/out.json: could not be written (No such file or directory)"


def test_a_full_disk_leaves_no_json(refused, returns, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(atomic.os, "fsync", full)
    told = refused("backtest", "--returns", returns, "--json", "out.json")
    assert told == "out.json: could not be written (No space left on device)"


def test_a_place_below_a_file_is_said_in_one_line(refused, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    out = tmp_path / "file" / "out"
    assert str(out) in refused("demo", "--out", out, "--accounts", 100)


def test_as_a_program_the_error_is_one_line_too(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "margincast", "evaluate", "--market", str(tmp_path / "none"), *PERIOD],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"margincast: {tmp_path / 'none'}: there is no such market folder\n"
