"""The validation protocol: which tests, on what; nothing leaks, a killed run goes on; goals by hand."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_market as small
from sklearn.metrics import log_loss

from margincast.riskcore.errors import InputError
from margincast.training import protocol as protocol_file
from margincast.training import protocol_parts as parts_file
from margincast.training import protocol_runs as runs_file
from margincast.training.console_protocol import show_validation
from margincast.training.evaluate import BASELINES, forecast_split
from margincast.training.forecaster import NAMES, LiquidationForecaster
from margincast.training.goals import Goal, goals_of
from margincast.training.population import simulate_accounts
from margincast.training.protocol import run_test, validate
from margincast.training.protocol_parts import code_hash, load_part, part_on_disk, part_path, save_part
from margincast.training.protocol_runs import (
    ACCOUNTS,
    CRASH,
    WALK_FORWARD,
    Protocol,
    protocol_runs,
    skipped_crashes,
    split_of,
)
from margincast.training.skill_ledger import LEDGER, read_ledger

CRASH_DAY = dt.date(2022, 3, 10)
PROTOCOL = Protocol(
    dt.date(2022, 4, 1),
    "quarter",
    (1, 2),
    horizons="1h,4h",
    accounts=400,
    train_accounts=400,
    threads=1,
    rounds=3,
    embargo_days=2,
    window_days=4,
)
STAMP = {"inputs": "a", "rules": "b", "core": "c"}


@pytest.fixture(autouse=True)
def crash(monkeypatch):
    """A day of the small market in place of the crashes of history."""
    monkeypatch.setattr(runs_file, "CRASHES", (CRASH_DAY, dt.date(2022, 1, 20), dt.date(2022, 5, 29)))


def clock() -> dt.datetime:
    return dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """A whole validation, its folder and what was said."""
    folder, said = tmp_path_factory.mktemp("validated"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_file, "CRASHES", (CRASH_DAY,))
        result = validate(
            small.view(), small.RULES, PROTOCOL, folder / "parts", store=folder / "store", now=clock, say=said.append
        )
    return result, folder, said


# -- which tests --------------------------------------------------------------------------------------------------


def test_every_test_a_market_allows_is_run_in_order():
    found = [(run.kind, run.name, run.plan.seed) for run in protocol_runs(PROTOCOL, small.data().history)]
    assert found == [
        (WALK_FORWARD, "2022-04", 1),
        (WALK_FORWARD, "2022-04", 2),
        (CRASH, str(CRASH_DAY), 1),
        *((ACCOUNTS, name, 1) for name in runs_file.KINDS),
    ]


def test_crashes_that_cannot_be_left_out_are_told(validated):
    result, _, said = validated
    assert result["crashes_skipped"] == [] and not any("too near" in one for one in said)
    edge = [dt.date(2022, 1, 20), dt.date(2022, 5, 29)]
    assert skipped_crashes(PROTOCOL, small.data().history) == edge
    assert skipped_crashes(replace(PROTOCOL, crashes=False), small.data().history) == []


def test_blocks_follow_one_another_to_the_end_of_the_market():
    history = small.data().history
    days = np.arange("2020-02-10", "2023-08-15", dtype="datetime64[D]").astype("datetime64[ns]")
    times = days[0] + np.arange(24 * len(days)) * np.timedelta64(1, "h")
    long = replace(history, times=times, **{n: np.resize(getattr(history, n), (len(times), 3)) for n in BARS})
    for folds, count, first in (("year", 3, "2021"), ("half", 6, "2021-01"), ("quarter", 11, "2021-01")):
        protocol = replace(PROTOCOL, start=dt.date(2021, 1, 1), folds=folds, seeds=(1,), crashes=False, kinds=False)
        found = protocol_runs(protocol, long)
        assert len(found) == count and found[0].name == first
        for one, other in zip(found[:-1], found[1:], strict=True):
            assert other.tested[0] == one.tested[1] + dt.timedelta(days=1)
        assert found[0].tested[0] == dt.date(2021, 1, 1) and found[-1].tested[1] == dt.date(2023, 8, 14)
        assert all(run.plan.train_end == run.tested[0] - dt.timedelta(days=3) for run in found)


BARS = ("open", "high", "low", "close", "funding")


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"folds": "month"}, "folds"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"embargo_days": -1}, "embargo_days"),
        ({"window_days": 0}, "window_days"),
        ({"start": dt.date(2022, 4, 2)}, "start"),
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused(changes, column):
    with pytest.raises(InputError) as caught:
        replace(PROTOCOL, **changes)
    assert caught.value.column == column


@pytest.mark.parametrize(("start", "column"), [(dt.date(2023, 1, 1), "start"), (dt.date(2022, 1, 1), "train_end")])
def test_a_start_that_leaves_nothing_is_refused(start, column):
    with pytest.raises(InputError) as caught:
        protocol_runs(replace(PROTOCOL, start=start), small.data().history)
    assert caught.value.column == column


def test_training_ends_a_horizon_and_an_embargo_before_the_test():
    run = protocol_runs(PROTOCOL, small.data().history)[0]
    split, times = split_of(run, small.view()), small.data().times
    assert split.learned_from is None
    # no training label looks at bar `trained[1]` or later, so the horizon is left out already
    assert times[split.trained[1]] == np.datetime64("2022-03-30T00:00")
    assert times[split.tested[0]] == np.datetime64("2022-04-01T00:00")


def test_a_crash_is_left_out_with_embargo_and_horizon_on_both_sides():
    run = protocol_runs(PROTOCOL, small.data().history)[2]
    split, times = split_of(run, small.view()), small.data().times
    assert [str(times[bar])[:13] for bar in split.tested] == ["2022-03-06T00", "2022-03-15T00"]
    lost = np.flatnonzero(np.isnan(split.learned_from.history.close).all(axis=1))
    assert [str(times[bar])[:13] for bar in lost[[0, -1]]] == ["2022-03-04T00", "2022-03-17T03"]
    assert split.trained[1] == len(times)


def test_nothing_that_happened_in_a_crash_reaches_the_model_that_is_tested_on_it():
    """All bars of the window changed: another model's data, the same training market."""
    run = protocol_runs(PROTOCOL, small.data().history)[2]
    split = split_of(run, small.view())
    inside = slice(*split.tested)
    history = small.data().history
    prices = {n: np.array(getattr(history, n)) for n in ("open", "high", "low", "close")}
    for values in prices.values():
        values[inside] *= 1.5
    other = replace(small.view(), data=replace(small.data(), history=replace(history, **prices)))
    again = split_of(run, other)
    np.testing.assert_array_equal(split.learned_from.history.close, again.learned_from.history.close)
    np.testing.assert_array_equal(split.learned_from.frame.values, again.learned_from.frame.values)


def test_a_crash_inside_the_training_period_is_forecast_by_the_whole_model():
    """Not by the folds that scales of training rows come from; a stored model has none, and says the same."""
    run = protocol_runs(PROTOCOL, small.data().history)[2]
    split = split_of(run, small.view())
    tested = forecast_split(small.view(), small.RULES, run.plan, split)
    stored = LiquidationForecaster.from_state(tested.model.state())
    fields = stored.scales_.fields(small.data(), small.view().frame, tested.data.sample.bar)
    again = stored.predict(tested.data.sample, fields)
    assert split.trained[0] < split.tested[0] < split.tested[1] < split.trained[1]
    for name in ("fhs_learned", "hybrid"):
        assert again[name].tobytes() == tested.probabilities[name].tobytes(), name


def test_kinds_of_accounts_are_held_out():
    runs = {run.name: run for run in protocol_runs(PROTOCOL, small.data().history) if run.kind == ACCOUNTS}
    legs, hedged = (run_test(small.view(), small.RULES, runs[name]).rows.traits for name in runs_file.KINDS)
    assert (legs["legs"] >= 3).all() and (hedged["legs"] >= 2).all()
    trained = {name: split_of(run, small.view()).train_population for name, run in runs.items()}
    assert trained["3+ legs, trained on 1 and 2"].legs == (0.6, 0.4)
    assert trained["hedged, trained on one side only"].follow_share == 1.0


def test_hedged_books_hold_both_sides_and_those_trained_on_one():
    name, history = "hedged, trained on one side only", small.data().history
    drawn = {"accounts": 200, "first_bar": 40 * 24, "last_bar": 80 * 24, "horizons": (1, 24), "seed": 3}
    sides = []
    for spec in runs_file.KINDS[name]:
        book = simulate_accounts(history, small.RULES, spec=spec, **drawn).book
        sides.append([set(np.sign(q)) for q in np.split(book.quantity, book.position_pointer[1:-1])])
    assert all(len(one) == 1 for one in sides[0]) and all(len(one) == 2 for one in sides[1])


# -- the whole ----------------------------------------------------------------------------------------------------


def test_a_validation_scores_every_model_on_every_test(validated):
    result, folder, said = validated
    assert set(result["walk_forward"]) == {"2022-04"} and set(result["walk_forward"]["2022-04"]) == {"1", "2"}
    assert set(result["crashes"]) == {str(CRASH_DAY)} and set(result["account_kinds"]) == set(runs_file.KINDS)
    one = result["crashes"][str(CRASH_DAY)]
    for table in one["horizons"].values():
        assert set(table["models"]) == set(NAMES) and set(table["models"]["hybrid"]["skill_vs"]) == set(BASELINES)
        assert table["slices"]["regime"]
    assert "2022-03-06 to 2022-03-14" in one["data"]["left_out"]
    assert any("crash 2022-03-10, seed 1 (3 of 5): fitting" in line for line in said)
    assert len(list((folder / "parts").iterdir())) == 5


def test_the_pool_is_all_rows_of_the_blocks_and_seeds_are_averaged(validated):
    result, folder, _ = validated
    skills = []
    for seed in (1, 2):
        path = next((folder / "parts").glob(f"walk-forward-2022-04-seed{seed}-*"))
        rows, _ = load_part(path)
        known = rows.known(1)
        y, p, base = rows.breached[known, 1], rows.said["hybrid"][known, 1], rows.said["fhs_har"][known, 1]
        losses = [log_loss(y, np.clip(q, 1e-6, 1 - 1e-6)) for q in (p, base)]
        found = result["pooled"][str(seed)]["horizons"]["4h"]
        assert found["n"] == known.sum()
        skills.append(1 - losses[0] / losses[1])
        assert found["models"]["hybrid"]["skill_vs"]["fhs_har"]["log_loss_value"] == pytest.approx(skills[-1], rel=1e-9)
    spread = result["seeds"]["4h"]["fhs_har"]["log_loss"]
    assert spread["mean"] == pytest.approx(np.mean(skills)) and spread["spread"] == pytest.approx(
        np.std(skills, ddof=1)
    )
    assert [spread["least"], spread["most"]] == pytest.approx(sorted(skills))


def test_every_test_enters_the_ledger_once(validated):
    result, folder, _ = validated
    records = read_ledger(folder / "store")
    assert [one["what"] for one in records][2] == f"crash {CRASH_DAY}" and len(records) == 5
    assert len({one["model_sha256"] for one in records}) == 5
    whole = records[0]["skills"]["1h"]["all"]["log_loss"]["fhs"][0]
    scores = result["walk_forward"]["2022-04"]["1"]["horizons"]["1h"]["models"]["hybrid"]
    assert whole == scores["skill_vs"]["fhs"]["log_loss_value"]


def test_a_second_run_does_nothing_again_and_says_the_same(validated, monkeypatch, tmp_path):
    result, folder, _ = validated
    monkeypatch.setattr(runs_file, "CRASHES", (CRASH_DAY,))
    monkeypatch.setattr(protocol_file, "run_test", lambda *a, **k: pytest.fail("done again"))
    entered = read_ledger(folder / "store")
    again = validate(small.view(), small.RULES, PROTOCOL, folder / "parts", store=folder / "store", now=clock)
    assert json.dumps(again, default=str) == json.dumps(result, default=str)
    assert read_ledger(folder / "store") == entered
    # killed after the third test was finished and before it was entered
    kept = (folder / "store" / LEDGER).read_text().splitlines(keepends=True)
    (tmp_path / LEDGER).write_text("".join(kept[:2]))
    validate(small.view(), small.RULES, PROTOCOL, folder / "parts", store=tmp_path, now=clock)
    assert read_ledger(tmp_path) == entered


def test_a_killed_run_keeps_what_it_finished(validated, monkeypatch, tmp_path):
    protocol = replace(PROTOCOL, seeds=(1,), crashes=False)
    original, calls = protocol_file.run_test, []

    def killed(view, rules, run, **settings):
        calls.append(run.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(view, rules, run, **settings)

    monkeypatch.setattr(protocol_file, "run_test", killed)
    with pytest.raises(KeyboardInterrupt):
        validate(small.view(), small.RULES, protocol, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    result = validate(small.view(), small.RULES, protocol, tmp_path)
    first, second = runs_file.KINDS
    assert calls == ["2022-04", first, first, second]
    one, other = (r["walk_forward"]["2022-04"]["1"]["horizons"] for r in (result, validated[0]))
    assert json.dumps(one) == json.dumps(other)


# -- parts --------------------------------------------------------------------------------------------------------


def test_a_part_comes_back_to_the_bit(tmp_path):
    rows, path = small.evaluation().rows, tmp_path / "part.npz"
    save_part(path, rows, {"rows_falling": 3})
    again, about = load_part(path)
    assert about == {"rows_falling": 3}
    for name, values in rows.arrays().items():
        assert again.arrays()[name].tobytes() == values.tobytes(), name


def test_a_damaged_part_is_refused(tmp_path):
    path = tmp_path / "part.npz"
    save_part(path, small.evaluation().rows, {})
    content = path.read_bytes()
    for damaged in (content[:-100], b"", content[:2000] + b"\0" * 400 + content[2400:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a finished test") as caught:
            load_part(path)
        assert str(path) in str(caught.value)


def test_a_damaged_part_is_put_aside_and_told(tmp_path):
    path, said = tmp_path / "part.npz", []
    assert part_on_disk(path, said.append) is None and said == []
    save_part(path, small.evaluation().rows, {"rows_falling": 3})
    whole = path.read_bytes()
    found = part_on_disk(path, said.append)
    assert found is not None and found[1] == {"rows_falling": 3} and said == []
    for number, end in (("", -100), ("1", -200)):
        path.write_bytes(whole[:end])
        assert part_on_disk(path, said.append) is None and not path.exists()
        aside = tmp_path / f"part.npz.damaged{number}"
        assert aside.read_bytes() == whole[:end]
        assert said.pop() == f"part.npz is damaged: kept as {aside.name}, and done again"


def test_a_part_that_cannot_be_read_is_not_called_damaged(tmp_path):
    path = tmp_path / "part.npz"
    path.mkdir()
    with pytest.raises(InputError, match="not a finished test"):
        part_on_disk(path, lambda _: None)
    assert path.is_dir()


def test_a_validation_does_a_damaged_test_again(monkeypatch, tmp_path):
    """The other test is taken from the disk; the one done again finds the same."""
    monkeypatch.setattr(protocol_file, "code_hash", lambda: "code")
    protocol, said = replace(PROTOCOL, horizons="1h", crashes=False, kinds=False), []
    first = validate(small.view(), small.RULES, protocol, tmp_path)
    path = next(tmp_path.glob("walk-forward-2022-04-seed2-*"))
    path.write_bytes(path.read_bytes()[:-100])
    again = validate(small.view(), small.RULES, protocol, tmp_path, say=said.append)
    assert sum("seed 2 (2 of 2): " in one and "is damaged: kept as" in one for one in said) == 1
    assert sum("done before" in one for one in said) == 1
    assert json.dumps(again, default=str) == json.dumps(first, default=str)
    assert len(list(tmp_path.iterdir())) == 3


def test_another_setting_market_rule_or_code_is_another_part():
    run = protocol_runs(PROTOCOL, small.data().history)[2]
    folder = Path("x")
    paths = [
        part_path(folder, run, STAMP, "code"),
        part_path(folder, run, STAMP, "other code"),
        part_path(folder, run, STAMP | {"inputs": "other"}, "code"),
        part_path(folder, replace(run, plan=replace(run.plan, accounts=401)), STAMP, "code"),
        part_path(folder, replace(run, embargo_days=3), STAMP, "code"),
        part_path(folder, replace(run, accounts=runs_file.KINDS["3+ legs, trained on 1 and 2"]), STAMP, "code"),
    ]
    assert len(set(paths)) == len(paths)
    assert part_path(folder, replace(run, plan=replace(run.plan, threads=2)), STAMP, "code") == paths[0]
    assert code_hash() == code_hash() and len(code_hash()) == 64


def test_another_rule_book_or_calendar_is_other_code(monkeypatch, tmp_path):
    before = []
    monkeypatch.setattr(parts_file, "PACKAGE", tmp_path)
    for folder in parts_file.DECIDING:
        (tmp_path / folder).mkdir()
    for content in ("a = 1", "a = 2"):
        (tmp_path / "features" / "us_releases.toml").write_text(content)
        before.append(code_hash())
    assert len(set(before)) == 2


# -- goals --------------------------------------------------------------------------------------------------------


def table(fhs: float, har: float, low: float = 0.001, ece: float = 0.005) -> dict:
    def entry(value: float) -> dict[str, float]:
        return {"value": value, "low": low, "log_loss_value": value, "log_loss_low": low}

    regimes = {"calm": ece, "stressed": 2 * ece}
    hybrid = {"skill_vs": {"fhs": entry(fhs), "fhs_har": entry(har)}, "ece_by_regime": regimes}
    models = {"hybrid": hybrid, "fhs": {"ece_by_regime": {"calm": 0.006, "stressed": 0.006}}}
    excess = {"calm": {"ece_over_fhs": {"low": -0.002}}, "stressed": {"ece_over_fhs": {"low": 0.001}}}
    return {"1h": {"models": models, "slices": {"regime": excess}}}


def test_goals_by_hand():
    """Means over seeds, the worst of blocks and crashes."""
    goals = goals_of(
        [table(0.06, 0.04), table(0.10, 0.04)],
        [table(0.0, 0.0, low=0.01), table(0.0, 0.0, low=-0.02)],
        [table(0.03, -0.005), table(0.02, 0.04)],
        0,
    )
    found = {goal.what: goal for goal in goals}
    assert found["log-loss skill over fhs"].measured == pytest.approx(0.08) and found["log-loss skill over fhs"].met
    assert found["log-loss skill over fhs_har"].distance == pytest.approx(0.01)
    bound = found["log-loss skill over fhs, lowest bound"]
    assert bound.measured == -0.02 and not bound.met
    assert found["worst left-out crash, log-loss skill"].measured == -0.005
    assert found["worst left-out crash, log-loss skill"].met
    assert found["ECE, calm"].met and found["ECE less that of fhs, calm"].met
    stressed = found["ECE less that of fhs, stressed"]
    assert found["ECE less that of fhs, calm, lower bound"].met
    assert not found["ECE less that of fhs, stressed, lower bound"].met
    assert not stressed.met and stressed.distance == pytest.approx(-0.004)
    assert found["rows whose probability falls with the horizon"].met


def test_a_block_or_crash_that_could_not_be_scored_is_not_passed_over():
    blank = table(float("nan"), float("nan"), low=float("nan"))
    goals = goals_of([table(0.1, 0.1)], [table(0.1, 0.1), blank], [table(0.1, 0.1), blank], 0)
    worst = [goal for goal in goals if "lowest bound" in goal.what or "crash" in goal.what]
    assert worst and all(np.isnan(goal.measured) and not goal.met for goal in worst)


def test_without_a_crash_there_is_no_goal_for_one_and_what_is_not_measured_is_not_met():
    goals = goals_of([table(0.1, 0.1)], [table(0.1, 0.1)], [], 2)
    assert not any("crash" in goal.what for goal in goals) and not goals[-1].met
    assert not Goal("x", "1h", 0.1, float("nan")).met


def test_a_validation_fits_a_terminal(validated, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    result = validated[0]
    show_validation(result)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80, out
    assert "…" not in out and str(CRASH_DAY) in out
    assert f"{CRASH_DAY}: 9 days: intervals say little; 20 or more are needed" in out and "2022-04, seed 1:" not in out
    assert f"{sum(goal['met'] for goal in result['goals'])} of {len(result['goals'])} goals met" in out
