"""The command line: each verb on a small market, the JSON contracts, the same bytes twice, help at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_market as small

import margincast
from margincast import __main__ as command_line
from margincast.training import demo
from margincast.training.evaluate import BASELINES
from margincast.training.forecaster import NAMES
from margincast.training.store import save_state

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:alembic"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]
VERBS = (
    "demo",
    "train",
    "promote",
    "rollback",
    "monitor",
    "card",
    "behaviour",
    "evaluate",
    "score",
    "explain",
    "tune",
    "backtest",
    "stress",
    "selfcheck",
    "fetch",
    "import",
    "features",
)
PERIOD = ["--train-end", "2022-04-20", "--test-start", "2022-04-22"]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command line in this process, standing in an empty folder: exit code, output and error output."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["margincast", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A stored model, as `train` leaves it."""
    folder, fitted = tmp_path_factory.mktemp("cli") / "model", small.fitted()
    fitted.about_ |= {"train_end": "2022-04-20", "venue": "binance_usdm", "accounts": "simulated"}
    save_state(fitted.state(), folder)
    return folder


@pytest.fixture(scope="module")
def accounts(tmp_path_factory) -> Path:
    """Three accounts, four pools."""
    price = small.data().mark("close")[-1]
    records = [
        {
            "account": "alice",
            "balances": {"USDT": 0.03 * price[0], "ETH": 0.1},
            "positions": [
                {"symbol": "BTCUSDT", "quantity": 1.0, "entry_price": price[0]},
                {
                    "symbol": "SOL",
                    "quantity": -9,
                    "entry_price": price[2],
                    "mode": "isolated",
                    "isolated_margin": price[2],
                },
            ],
        },
        {
            "account": "bob [x]",
            "balances": {"USDT": price[1]},
            "positions": [{"symbol": "ETH", "quantity": -2, "entry_price": price[1]}],
        },
        {"account": "carol", "balances": {"USDT": 100.0}},
    ]
    path = tmp_path_factory.mktemp("accounts") / "accounts.json"
    path.write_text(json.dumps(records))
    return path


def strict(path: Path) -> dict:
    """JSON without the NaN that Python would let pass."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0 and "Usage" in out and "--help" in out


@pytest.mark.parametrize(
    ("verb", "option", "said"),
    [
        ("train", "--train-end", "Last day trained on, inclusive"),
        ("evaluate", "--test-start", "First day tested on, inclusive"),
        ("evaluate", "--test-end", "Last day tested on, inclusive, UTC; default: the end of the market"),
        ("monitor", "--since", "First day looked at, inclusive"),
        ("tune", "--start", "First day, inclusive"),
        ("tune", "--end", "Last day, inclusive"),
    ],
)
def test_help_says_which_day_an_option_means(verb, option, said):
    import typer

    command = typer.main.get_command(command_line.app).commands[verb]
    assert next(one for one in command.params if option in one.opts).help.startswith(said)


def test_help_names_every_verb_and_an_unknown_one_is_refused(run):
    code, out, _ = run("--help")
    assert code == 0 and all(verb in out for verb in VERBS)
    assert run("predict")[0] == 2


@pytest.mark.parametrize("day", ["yesterday", "2022-13-01"])
def test_a_date_that_is_none_is_refused(run, day):
    code, _, err = run("evaluate", "--market", small.folder(), "--train-end", day, "--test-start", day)
    assert code == 2 and "is not a date" in err


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "margincast", "selfcheck"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "differs" not in done.stdout and "agrees" in done.stdout and done.stderr == ""


def test_a_figure_that_differs_fails_the_selfcheck(run, monkeypatch):
    from margincast.training import selfcheck

    wrong = selfcheck.Finding("a figure", "nowhere", 1.0, 2.0, 0.1)
    monkeypatch.setattr(selfcheck, "run_selfcheck", lambda shared: [wrong])
    code, out, _ = run("selfcheck")
    assert code == 1 and "differs" in out


def test_published_back_tests_are_reproduced(run):
    shared = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
    if not (shared / "var_tables").is_dir():
        pytest.skip(f"no published back-tests at {shared / 'var_tables'}")
    code, out, err = run("selfcheck", "--shared", shared)
    assert code == 0, err
    assert "rows of EWMA that agree" in out and "differs" not in out


# -- evaluate -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two runs of the same evaluation, as programs of their own would do it."""
    folder, runner = tmp_path_factory.mktemp("evaluated"), pytest.importorskip("typer.testing").CliRunner()
    results = []
    for name in ("one.json", "two.json"):
        options = ["--horizons", "1h,4h", "--accounts", "300", "--train-accounts", "250", "--threads", "1"]
        options += ["--json", str(folder / name)]
        results.append(
            runner.invoke(command_line.app, ["evaluate", "--market", str(small.folder()), *PERIOD, *options])
        )
    assert [result.exit_code for result in results] == [0, 0], results[0].output
    return folder, results[0].output


def test_evaluate_writes_what_the_contract_says(evaluated):
    content = strict(evaluated[0] / "one.json")
    assert set(content) == {"horizons", "data"} and set(content["horizons"]) == {"1h", "4h"}
    for table in content["horizons"].values():
        assert {"n", "base_rate", "models"} <= set(table) and set(table["models"]) == set(NAMES)
        for name, model in table["models"].items():
            assert {"brier", "log_loss", "auc_within_strata", "ece", "calibration_slope", "skill_vs"} <= set(model)
            assert set(model["skill_vs"]) == set(BASELINES) - {name}
            for entry in model["skill_vs"].values():
                assert set(entry) == {"value", "low", "high", "log_loss_value", "log_loss_low", "log_loss_high"}
                assert entry["low"] <= entry["high"] and entry["log_loss_low"] <= entry["log_loss_high"]


def test_evaluate_twice_gives_the_same_bytes(evaluated):
    assert (evaluated[0] / "one.json").read_bytes() == (evaluated[0] / "two.json").read_bytes()


def test_evaluate_says_what_it_is_measured_on(evaluated):
    folder, output = evaluated
    data = strict(folder / "one.json")["data"]
    assert data["market"] == "simulated" and "simulated" in data["accounts"] and data["seed"] == 1
    assert data["accounts_trained"] == 250 and data["accounts_tested"] == 300
    assert data["train"][1] == "2022-04-20T23:00" and data["test"][0] == "2022-04-22T00:00"
    assert "simulated" in output and "hybrid" in output
    assert data["sources"]["tables"], "provenance of the files"


@pytest.fixture(scope="module")
def perp_only(tmp_path_factory) -> Path:
    """The small market with nothing but its last prices."""
    folder = tmp_path_factory.mktemp("perp")
    shutil.copy(small.folder() / "perp.parquet", folder)
    return folder


def test_an_evaluation_of_one_day_has_no_interval_and_says_what_is_missing(run, perp_only, tmp_path):
    period = ["--train-end", "2022-04-20", "--test-start", "2022-05-30"]
    options = ["--horizons", "1h", "--accounts", 200, "--train-accounts", 200, "--threads", 1]
    code, out, err = run("evaluate", "--market", perp_only, *period, *options, "--json", tmp_path / "e.json")
    assert code == 0, err
    content = strict(tmp_path / "e.json")
    assert content["data"]["test_days"] == 1
    assert content["data"]["warnings"] == ["1 day: skill has no interval; 20 or more are needed"]
    entry = content["horizons"]["1h"]["models"]["hybrid"]["skill_vs"]["fhs"]
    assert set(entry) == {"value", "low", "high", "log_loss_value", "log_loss_low", "log_loss_high"}
    assert {entry[name] for name in entry if name.endswith(("low", "high"))} == {None}
    assert isinstance(entry["value"], float) and "1 day: skill has no interval" in out and "[— —]" in out
    assert out.count("no mark table: marks are last prices") == out.count("no funding table: no funding") == 1


def test_a_longer_evaluation_has_intervals_and_no_warning(evaluated):
    data = strict(evaluated[0] / "one.json")["data"]
    assert data["test_days"] >= 20 and data["warnings"] == [] and "say little" not in evaluated[1]


# -- train, score, explain ----------------------------------------------------------------------------------------


def test_train_without_tracking_writes_a_model_folder(run, tmp_path):
    options = ["--horizons", "1h", "--accounts", 200, "--threads", 1, "--no-track", "--out", tmp_path / "model"]
    done = run(
        "train", "--market", small.folder(), "--train-end", "2022-04-20", *options, "--json", tmp_path / "t.json"
    )
    assert done[0] == 0, done[2]
    content = strict(tmp_path / "t.json")
    assert content == {"folder": str(tmp_path / "model"), "sha256": content["sha256"], "address": None}
    assert content["sha256"] in done[1] and (tmp_path / "model" / "manifest.json").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "t.json"]


@pytest.fixture
def scored(run, model, accounts, tmp_path):
    def call(*options: object) -> tuple[dict, str]:
        path = tmp_path / "scores.json"
        common = ["--accounts", accounts, "--market", small.folder(), "--model", model, "--json", path]
        code, out, err = run("score", *common, *options)
        assert code == 0, err
        return strict(path), out

    return call


def test_score_lists_every_pool_by_danger_with_reasons_and_advice(scored):
    content, out = scored("--top", 2)
    records = content["accounts"]
    assert {(r["account"], r["pool"]) for r in records} == {
        ("alice", "cross"),
        ("alice", "SOL"),
        ("bob [x]", "cross"),
        ("carol", "cross"),
    }
    danger = [record["probabilities"]["24h"] for record in records]
    assert danger == sorted(danger, reverse=True) and danger[-1] == 0.0
    assert [("reasons" in r, "advice" in r) for r in records] == [(True, True)] * 2 + [(False, False)] * 2
    for record in records:
        p = record["probabilities"]
        assert p["1h"] <= p["4h"] <= p["24h"]
        assert record["headroom"] == pytest.approx(record["equity"] - record["maintenance"])
    assert content["horizons"] == ["1h", "4h", "24h"] and content["at"] == "2022-05-31T00:00:00"
    assert set(content) == {"accounts", "outlook", "at", "horizons", "model", "rules", "stamp", "data", "warnings"}
    assert content["data"]["simulated"] is True and len(content["rules"]["sha256"]) == 64
    assert "alice" in out


def test_score_says_that_marks_are_last_prices(run, model, accounts, perp_only):
    code, out, err = run("score", "--accounts", accounts, "--market", perp_only, "--model", model, "--top", 1)
    assert code == 0, err
    assert out.count("no mark table: marks are last prices") == 1 and "and 3 pools less endangered, not shown" in out


def test_names_with_brackets_are_shown_as_they_are(scored):
    assert "bob [x]" in scored("--top", 4)[1]


def test_score_twice_and_with_two_threads_gives_the_same_bytes(scored, tmp_path):
    scored()
    first = (tmp_path / "scores.json").read_bytes()
    scored("--threads", 2)
    assert (tmp_path / "scores.json").read_bytes() == first


def test_score_at_an_earlier_instant_looks_at_no_later_price(scored):
    content, _ = scored("--at", "2022-05-20T12:00")
    assert content["at"] == "2022-05-20T12:00:00"
    price = small.data().mark("close")[small.data().history.bar_of(np.datetime64("2022-05-20T12:00")) - 1]
    last = small.data().mark("close")[-1]
    bob = next(r for r in content["accounts"] if r["account"] == "bob [x]")
    assert bob["equity"] == pytest.approx(last[1] - 2 * (price[1] - last[1]))


def test_explain_gives_reasons_at_every_horizon(run, model, accounts, tmp_path):
    common = ["--accounts", accounts, "--market", small.folder(), "--model", model]
    code, out, err = run("explain", "alice", *common, "--json", tmp_path / "why.json")
    assert code == 0, err
    pools = strict(tmp_path / "why.json")["accounts"]
    assert [pool["pool"] for pool in pools] == ["cross", "SOL"]
    for pool in pools:
        for horizon, reasons in pool["reasons_by_horizon"].items():
            p = np.clip(pool["probabilities"][horizon], 1e-7, 1 - 1e-7)
            assert sum(r["effect"] for r in reasons) == pytest.approx(np.log(p / (1 - p)), abs=1e-6)
    assert "distance to liquidation" in out


def test_train_tracks_and_score_finds_the_champion(run, accounts, tmp_path):
    """As a program: progress and no warning of any library on the error stream, nothing but the store left behind."""
    options = ["--horizons", "1h", "--accounts", "200", "--threads", "1", "--store", str(tmp_path / "store")]
    command = ["train", "--market", str(small.folder()), "--train-end", "2022-04-20", *options]
    done = subprocess.run(
        [sys.executable, "-m", "margincast", *command],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "models:/margincast/1" in done.stdout
    told = done.stderr.splitlines()
    assert len(told) == 2 and told[0].startswith("fitting on") and told[1].startswith("tracking in"), done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["store"]
    common = ["--accounts", accounts, "--market", small.folder(), "--store", tmp_path / "store"]
    code, _, err = run("score", *common, "--json", tmp_path / "scores.json")
    assert code == 0, err
    assert strict(tmp_path / "scores.json")["horizons"] == ["1h"]


# -- tune, backtest -----------------------------------------------------------------------------------------------


def test_tune_writes_what_the_contract_says(run, tmp_path):
    period = ["--start", "2022-04-20", "--end", "2022-05-25"]
    code, out, err = run("tune", "--market", small.folder(), *period, "--json", tmp_path / "tune.json")
    assert code == 0, err
    content = strict(tmp_path / "tune.json")
    assert {"instruments", "baselines"} <= set(content) and set(content["instruments"]) == set(small.SYMBOLS)
    for entry in content["instruments"].values():
        assert {"current", "proposed", "coverage", "mean_margin", "rise_5d", "peak_to_trough"} <= set(entry)
    assert "BTC" in out and "coverage" in out


def test_progress_on_a_terminal_shows_names_as_they_are(run, monkeypatch, tmp_path):
    """A folder b] inside a folder [ is no markup."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    (tmp_path / "[").mkdir()
    (tmp_path / "[" / "b]").symlink_to(small.folder())
    code, _, err = run("tune", "--market", "[/b]", "--start", "2022-04-20", "--end", "2022-05-25")
    assert code == 0 and "- reading [/b]" in err


def test_backtest_writes_what_the_contract_says(run, tmp_path):
    rng = np.random.default_rng(0)
    dates = pd.date_range("2015-01-01", periods=900, freq="D")
    frame = pd.DataFrame({"symbol": "AAA", "date": dates, "log_return": 0.01 * rng.standard_t(5, 900)})
    frame.to_parquet(tmp_path / "returns.parquet")
    options = ["--returns", tmp_path / "returns.parquet", "--level", 0.01, "--json", tmp_path / "b.json"]
    code, out, err = run("backtest", *options)
    assert code == 0, err
    content = strict(tmp_path / "b.json")
    assert set(content) == {"AAA"} and {"Hist-Sim", "EWMA"} <= set(content["AAA"])
    needed = {"n_test", "violations", "violations_conformal", "conformal_shift", "kupiec_p", "quantile_score"}
    assert all(needed <= set(row) for row in content["AAA"].values())
    assert "AAA" in out


# -- demo ---------------------------------------------------------------------------------------------------------


def test_demo_does_the_whole_job_and_says_that_all_is_simulated(run, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "SIMULATED_DAYS", 110)
    monkeypatch.setattr(demo, "SIMULATED_SYMBOLS", ("BTC", "ETH"))
    monkeypatch.setattr(demo, "LIVE_ACCOUNTS", 40)
    code, out, err = run("demo", "--out", tmp_path / "out", "--accounts", 300, "--threads", 1)
    assert code == 0, err
    assert {"market", "report.html", "accounts.json", "store"} == {p.name for p in (tmp_path / "out").iterdir()}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "imulated market, seed 1" in page and "hybrid" in page
    assert "report" in out and "skill over FHS" in out and "simulating 110 days of 2 hourly markets" in err
    # what it says to try next works
    tried = next(line for line in out.splitlines() if "margincast score" in line).split()[1:]
    code, out, err = run(*tried)
    assert code == 0, err
    assert "24h" in out


def test_demo_on_a_market_of_the_users(run, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "LIVE_ACCOUNTS", 40)
    options = ["--market", small.folder(), "--out", tmp_path / "deep" / "out", "--accounts", 200, "--threads", 1]
    code, _, err = run("demo", *options)
    assert code == 0, err
    assert {p.name for p in (tmp_path / "deep" / "out").iterdir()} == {"report.html", "accounts.json", "store"}


def test_the_version_is_printed(run):
    code, out, _ = run("--version")
    assert code == 0 and out.strip() == f"margincast {margincast.__version__}"


@pytest.mark.parametrize(("reason", "code"), [("share of shifted features 60%", 1), (None, 0)])
def test_a_monitor_that_alarms_exits_with_one(run, monkeypatch, reason, code):
    monkeypatch.setattr("margincast.training.monitor.monitor_model", lambda *_, **__: {"fall_back": reason})
    monkeypatch.setattr("margincast.training.console_models.show_drift", lambda report: None)
    assert run("monitor", "--market", small.folder(), "--since", "2022-05-01")[0] == code
