"""The skill ledger: what goes in comes back, damage is named, records of old evaluations are never touched."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest
import small_market as small

from margincast.riskcore.errors import InputError, MargincastError
from margincast.training.console_protocol import show_ledger
from margincast.training.skill_ledger import (
    LEDGER,
    append_record,
    enter_evaluation,
    is_entered,
    ledger_record,
    ledger_table,
    model_hash,
    read_ledger,
)
from margincast.training.store import save_state

AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def record(what: str = "evaluate") -> dict:
    scores = small.evaluation().scores
    return ledger_record(scores, small.plan(accounts=3000), what=what, model_sha256="ab" * 32, at=AT)


def test_a_record_comes_back_as_a_table_of_every_horizon_and_slice(tmp_path):
    append_record(tmp_path / "store", record())
    append_record(tmp_path / "store", record("again"))
    records = read_ledger(tmp_path / "store")
    assert [one["what"] for one in records] == ["evaluate", "again"]
    table = ledger_table(records)
    horizons = small.evaluation().scores["horizons"]
    slices = 1 + sum(len(parts) for parts in horizons["4h"]["slices"].values())
    assert len(table) == 2 * len(horizons) * slices and not table.duplicated(["what", "horizon", "slice"]).any()
    row = table[(table["what"] == "evaluate") & (table["horizon"] == "4h") & (table["slice"] == "legs/3+")].iloc[0]
    part = horizons["4h"]["slices"]["legs"]["3+"]
    assert row["n"] == part["n"] and row["events"] == part["events"] and row["at"].startswith("2026-01-02T03:04:05")
    assert row["log_loss_fhs_har_low"] == part["skill_vs"]["fhs_har"]["log_loss_low"]
    assert row["brier_fhs"] == part["skill_vs"]["fhs"]["value"] and row["ece_fhs"] == part["ece"]["fhs"]
    whole = table[(table["horizon"] == "24h") & (table["slice"] == "all")].iloc[0]
    assert whole["log_loss_fhs"] == horizons["24h"]["models"]["hybrid"]["skill_vs"]["fhs"]["log_loss_value"]
    assert whole["n"] == horizons["24h"]["n"] and whole["seed"] == 1


def test_a_record_says_of_what_and_on_what():
    found = record()
    assert found["stamp"] == small.evaluation().scores["data"]["stamp"]
    assert found["plan"]["train_end"] == "2022-04-20" and "threads" not in found["plan"]
    assert found["test"] == small.evaluation().scores["data"]["test"]


def test_what_could_not_be_scored_is_null_in_the_file_and_nan_in_the_table(tmp_path):
    one = record()
    one["skills"]["1h"]["all"]["ece"]["hybrid"] = float("nan")
    one["skills"]["1h"]["all"]["log_loss"] = {}
    append_record(tmp_path, one)
    json.loads((tmp_path / LEDGER).read_text(), parse_constant=lambda word: pytest.fail(word))
    row = ledger_table(read_ledger(tmp_path)).query("horizon == '1h' and slice == 'all'").iloc[0]
    assert np.isnan(row["ece"]) and np.isnan(row["log_loss_fhs"]) and np.isfinite(row["brier_fhs"])


def test_a_record_only_adds_to_the_file(tmp_path):
    append_record(tmp_path, record())
    before = (tmp_path / LEDGER).read_bytes()
    append_record(tmp_path, record("later"))
    assert (tmp_path / LEDGER).read_bytes().startswith(before)


def test_a_record_after_a_line_cut_short_stands_on_a_line_of_its_own(tmp_path):
    append_record(tmp_path, record())
    cut = (tmp_path / LEDGER).read_bytes()[:-40]
    (tmp_path / LEDGER).write_bytes(cut)
    append_record(tmp_path, record("later"))
    lines = (tmp_path / LEDGER).read_bytes().split(b"\n")
    assert lines[0] == cut and json.loads(lines[1])["what"] == "later" and lines[2:] == [b""]
    with pytest.raises(InputError, match="row 1"):
        read_ledger(tmp_path)


def test_the_same_evaluation_on_other_inputs_is_another(tmp_path):
    one = record()
    append_record(tmp_path, one)
    known = {"what": "evaluate", "model_sha256": one["model_sha256"], "stamp": one["stamp"]}
    assert is_entered(tmp_path, small.plan(accounts=3000), **known)
    assert not is_entered(tmp_path, small.plan(accounts=3001), **known)
    changed = {"what": "again", "model_sha256": "cd" * 32, "stamp": one["stamp"] | {"inputs": "other"}}
    for name, value in changed.items():
        assert not is_entered(tmp_path, small.plan(accounts=3000), **(known | {name: value}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[:-40], "row 2.*cut short"),
        (lambda text: text.replace('"skills"', '"skillz"'), "row 1, column skills"),
        (lambda text: "[]\n" + text, "row 1, column at"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, damage, words):
    for _ in range(2):
        append_record(tmp_path, record())
    path = tmp_path / LEDGER
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=words) as caught:
        read_ledger(tmp_path)
    assert LEDGER in str(caught.value) and "\n" not in str(caught.value)


def test_a_store_without_a_ledger_has_no_records_and_an_empty_table(tmp_path, capsys):
    assert read_ledger(tmp_path) == []
    show_ledger(ledger_table([]))
    out = capsys.readouterr().out
    assert "0 rows" in out and "`evaluate --store` and `validate` write it" in out


def test_a_slice_that_no_record_has_is_refused():
    with pytest.raises(InputError, match=r"column slice: is in no record; there are all, .*regime/stressed.*'stresed'"):
        show_ledger(ledger_table([record()]), "stresed")


def test_horizons_rise_also_where_the_file_has_sorted_their_names(tmp_path):
    append_record(tmp_path, record())
    table = ledger_table(read_ledger(tmp_path))
    assert list(dict.fromkeys(table["horizon"])) == ["1h", "4h", "24h"]


def test_a_store_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(MargincastError, match="could not be written"):
        append_record(tmp_path / "store", record())


def test_the_hash_of_a_model_is_that_of_its_folder(tmp_path):
    model = small.fitted()
    assert model_hash(model) == save_state(model.state(), tmp_path / "model")


def test_an_evaluation_enters_with_its_model(tmp_path):
    evaluation = small.evaluation()
    enter_evaluation(tmp_path, evaluation.scores, evaluation.model, small.plan(accounts=3000), AT)
    assert read_ledger(tmp_path) == json.loads(json.dumps([record() | {"model_sha256": model_hash(evaluation.model)}]))


def test_the_ledger_fits_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    show_ledger(ledger_table([record("walk-forward 2022"), record("crash 2022-11-09")]), "regime/stressed")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80 and "…" not in out
    assert "crash 2022-11-09" in out and "abababab" in out and "regime/stressed" in out
