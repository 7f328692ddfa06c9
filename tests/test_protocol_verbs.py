"""The verbs validate and ledger, as the command line runs them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import pytest
import small_market as small

from margincast.live.commands.protocol_verbs import verbs
from margincast.riskcore.errors import MargincastError
from margincast.training import protocol_runs
from margincast.training.skill_ledger import LEDGER

SKILL = {"n": 1, "days": 1, "events": 0, "log_loss": {}, "brier": {}, "ece": {"hybrid": None, "fhs": None}}
RECORD = {
    "at": "2026-01-01T00:00:00Z",
    "what": "evaluate",
    "model_sha256": "0" * 64,
    "stamp": {},
    "plan": {"seed": "1"},
    "test": ["2025-01-01T00:00", "2025-01-02T00:00"],
    "skills": {"1h": {"all": SKILL}},
}
PERIOD = ["--market", str(small.folder()), "--start-year", "2022"]


@pytest.fixture
def run():
    runner = pytest.importorskip("typer.testing").CliRunner()
    return lambda *arguments: runner.invoke(verbs, [str(one) for one in arguments])


def test_validate_and_ledger(run, tmp_path, monkeypatch):
    """The small market is not even half a year long: what the verb asks for is run from April on."""
    tests = protocol_runs.protocol_runs

    def from_april(protocol, history):
        assert (protocol.start, protocol.folds, protocol.seeds) == (dt.date(2022, 1, 1), "quarter", (1, 2))
        return tests(replace(protocol, start=dt.date(2022, 4, 1), rounds=3), history)

    monkeypatch.setattr("margincast.training.protocol.protocol_runs", from_april)
    options = [
        "--horizons",
        "1h",
        "--accounts",
        200,
        "--train-accounts",
        150,
        "--threads",
        1,
        "--no-crashes",
        "--no-kinds",
    ]
    where = ["--store", tmp_path / "store", "--json", tmp_path / "v.json"]
    done = run("validate", *PERIOD, "--folds", "quarter", "--seeds", "1,2", *options, *where)
    assert done.exit_code == 0, done.output
    assert "goals met" in done.output and "2022-04, seed 2" in done.output
    result = json.loads((tmp_path / "v.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert set(result["walk_forward"]["2022-04"]) == {"1", "2"} and result["goals"]
    assert len(list((tmp_path / "store" / "validation").iterdir())) == 2
    assert len((tmp_path / "store" / LEDGER).read_text().splitlines()) == 2
    shown = run("ledger", "--store", tmp_path / "store", "--slice", "legs/1", "--json", tmp_path / "l.json")
    assert shown.exit_code == 0 and "2 rows" in shown.output
    rows = json.loads((tmp_path / "l.json").read_text(), parse_constant=lambda word: pytest.fail(word))["rows"]
    assert {row["slice"] for row in rows} >= {"all", "legs/1", "regime/calm"}


def test_a_ledger_that_is_not_there_is_told_from_one_without_entries(run, tmp_path):
    typo = run("ledger", "--store", tmp_path / "typo", "--json", tmp_path / "l.json")
    assert typo.exit_code != 0 and isinstance(typo.exception, MargincastError)
    assert str(typo.exception).startswith(f"{tmp_path / 'typo'}: no store here")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "store").mkdir()
    empty = run("ledger", "--store", tmp_path / "store")
    assert empty.exit_code == 0 and "no ledger here yet" in empty.output


def test_a_slice_that_is_not_there_leaves_no_file(run, tmp_path):
    (tmp_path / LEDGER).write_text(json.dumps(RECORD) + "\n")
    done = run("ledger", "--store", tmp_path, "--slice", "moon", "--json", tmp_path / "l.json")
    assert isinstance(done.exception, MargincastError) and "is in no record" in str(done.exception)
    assert not (tmp_path / "l.json").exists()


@pytest.mark.parametrize("seeds", ["one", "1,x"])
def test_seeds_must_be_numbers(run, seeds):
    done = run("validate", *PERIOD, "--seeds", seeds)
    assert done.exit_code == 2 and "whole numbers" in done.output
