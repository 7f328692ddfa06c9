"""Validation: every test of the protocol, one after the other, its scores, and the goals they are held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..riskcore.rulebook import RuleBook
from .atomic import make_folder
from .evaluate import BASELINES, forecast_split, provenance
from .evaluated_rows import EvaluatedRows, evaluated_rows
from .goals import goals_of
from .market_view import MarketView
from .plan import parse_horizons
from .protocol_parts import code_hash, load_part, part_on_disk, part_path, save_part
from .protocol_runs import ACCOUNTS, CRASH, WALK_FORWARD, Protocol, Run, protocol_runs, skipped_crashes, split_of
from .provenance import market_stamp
from .score_tables import score_table
from .skill_ledger import append_record, is_entered, ledger_record, model_hash
from .slices import CHIEF, COMPARED

Say = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """One test that is done: its rows, and what is told about them."""

    run: Run
    rows: EvaluatedRows
    about: Mapping[str, Any]


def validate(
    view: MarketView,
    rules: RuleBook,
    protocol: Protocol,
    folder: Path,
    *,
    store: Path | None = None,
    now: Callable[[], datetime] | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Run every test of a protocol and score them one by one, together, and against the goals.

    Parameters
    ----------
    view, rules, protocol
        The market, the rules and what is asked.
    folder
        Keeps each finished test: run again with the same settings, data and code, they are not done again, but for
        one whose file is damaged, which is kept beside the new one.
    store, now
        Where and with which clock each test enters the skill ledger; None: none does.
    say
        Is told, in words, what is being done.

    Returns
    -------
    dict
        "walk_forward": by block and seed, "crashes" by day and "account_kinds" by kind: each with "horizons"
        (`score_table`) and "data" (what it was measured on); "pooled" by seed: all its blocks together; "seeds": mean
        and spread over seeds of the pooled skill; "goals"; "protocol", "stamp" and "crashes_skipped".
    """
    runs = protocol_runs(protocol, view.history)
    make_folder(folder)
    names = tuple(h.name for h in parse_horizons(protocol.horizons, view.history.step))
    stamp, code = market_stamp(view.data.report, rules), code_hash()
    done = []
    for place, run in enumerate(runs, 1):
        path = part_path(folder, run, stamp, code)
        title = f"{run.kind} {run.name}, seed {run.plan.seed} ({place} of {len(runs)})"
        stored = part_on_disk(path, _prefixed(say, title))
        if stored is not None:
            say(f"{title}: done before, {path.name}")
        else:
            finished = run_test(view, rules, run, say=_prefixed(say, title))
            save_part(path, finished.rows, finished.about)
            stored = load_part(path)
        done.append(Finished(run, *stored))
        if store is not None and now is not None:
            _enter(store, done[-1], names, now())
    say("scoring")
    skipped = [str(day) for day in skipped_crashes(protocol, view.history)]
    if skipped:
        say(f"too near to an end of the market to be left out: {', '.join(skipped)}")
    return summary(done, protocol, names) | {"stamp": stamp, "crashes_skipped": skipped}


def _prefixed(say: Say, title: str) -> Say:
    return lambda step: say(f"{title}: {step}")


def run_test(view: MarketView, rules: RuleBook, run: Run, *, say: Say = lambda _: None) -> Finished:
    """Fit and forecast one test."""
    split = split_of(run, view)
    tested = forecast_split(view, rules, run.plan, split, say=say)
    rows = evaluated_rows(view, tested.data, tested.probabilities)
    falling = (np.diff(tested.probabilities[CHIEF], axis=1) < 0).any(axis=1)
    data = provenance(view, rules, run.plan, tested.data, split.trained, split.tested)
    if split.learned_from is not None:
        data["left_out"] = f"{run.tested[0]} to {run.tested[1]}, {run.embargo_days} days and the horizon around it"
    about = {"model_sha256": model_hash(tested.model), "rows_falling": int(falling.sum()), "data": data}
    return Finished(run, rows, about)


def _enter(store: Path, finished: Finished, names: Sequence[str], at: datetime) -> None:
    """Add a test to the ledger unless it is there: a validation killed in between adds it when it goes on."""
    run, about = finished.run, finished.about
    what, model = f"{run.kind} {run.name}", about["model_sha256"]
    if not is_entered(store, run.plan, what=what, model_sha256=model, stamp=about["data"]["stamp"]):
        scores = {"horizons": _tables(finished.rows, names, run.plan.seed), "data": about["data"]}
        append_record(store, ledger_record(scores, run.plan, what=what, model_sha256=model, at=at))


def _tables(rows: EvaluatedRows, names: Sequence[str], seed: int) -> dict[str, Any]:
    return {name: score_table(rows, k, BASELINES, seed) for k, name in enumerate(names)}


def summary(done: Sequence[Finished], protocol: Protocol, names: Sequence[str]) -> dict[str, Any]:
    """Scores of finished tests one by one and together, and the goals; `names` of the horizons. See `validate`."""
    scored = [
        (one.run, {"horizons": _tables(one.rows, names, one.run.plan.seed), "data": one.about["data"]}) for one in done
    ]
    blocks: dict[str, dict[str, Any]] = {}
    for run, scores in scored:
        if run.kind == WALK_FORWARD:
            blocks.setdefault(run.name, {})[str(run.plan.seed)] = scores
    crashes = {run.name: scores for run, scores in scored if run.kind == CRASH}
    pooled = {str(seed): {"horizons": _pooled(done, names, seed)} for seed in protocol.seeds}
    goals = goals_of(
        [one["horizons"] for one in pooled.values()],
        [scores["horizons"] for by_seed in blocks.values() for scores in by_seed.values()],
        [scores["horizons"] for scores in crashes.values()],
        sum(int(one.about["rows_falling"]) for one in done),
    )
    return {
        "protocol": asdict(protocol),
        "walk_forward": blocks,
        "pooled": pooled,
        "seeds": _over_seeds([one["horizons"] for one in pooled.values()]),
        "crashes": crashes,
        "account_kinds": {run.name: scores for run, scores in scored if run.kind == ACCOUNTS},
        "goals": [goal.as_dict() for goal in goals],
    }


def _pooled(done: Sequence[Finished], names: Sequence[str], seed: int) -> dict[str, Any]:
    mine = [one.rows for one in done if one.run.kind == WALK_FORWARD and one.run.plan.seed == seed]
    return _tables(EvaluatedRows.joined(mine), names, seed)


def _over_seeds(pooled: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, standard deviation (NaN of one seed), least and most over seeds of the hybrid's pooled skill."""
    out: dict[str, Any] = {}
    for horizon in pooled[0]:
        entries = [table[horizon]["models"][CHIEF]["skill_vs"] for table in pooled]
        out[horizon] = {
            base: {
                measure: _spread([entry[base][field] for entry in entries])
                for measure, field in (("log_loss", "log_loss_value"), ("brier", "value"))
            }
            for base in COMPARED
        }
    return out


def _spread(values: Sequence[float]) -> dict[str, float]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "spread": spread, "least": min(values), "most": max(values)}
