"""The skill ledger: what every evaluation found, slice by slice, kept in one file of the store and read as a table."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ..riskcore.errors import InputError, MargincastError
from .atomic import make_folder
from .forecaster import LiquidationForecaster
from .plan import UNITS, Plan
from .registry import iso
from .slices import CHIEF, COMPARED, FHS
from .store import save_state

LEDGER = "skill_ledger.jsonl"
ALL = "all"
KEYS = ("at", "what", "model_sha256", "stamp", "plan", "test", "skills")
MEASURES = {"log_loss": "log_loss_", "brier": ""}
"""Measures of skill, and the prefix of each in an evaluation's entries."""


def ledger_record(
    scores: Mapping[str, Any], plan: Plan, *, what: str, model_sha256: str, at: datetime
) -> dict[str, Any]:
    """What is kept of an evaluation.

    Parameters
    ----------
    scores
        As `evaluate --json` writes it.
    plan
        What was asked for.
    what
        Its name in words: "evaluate", "walk-forward 2022", "crash 2022-11-09".
    model_sha256
        Of the model, see `model_hash`.
    at
        When it was done.

    Returns
    -------
    dict
        KEYS; "skills" by horizon and slice ("all" or "cut/slice"): n, days, events, log_loss and brier skill of the
        hybrid over fhs and fhs_har as [value, low, high], ece of the hybrid and fhs.
    """
    data = scores["data"]
    skills = {name: {ALL: _whole(table, data)} | _sliced(table["slices"]) for name, table in scores["horizons"].items()}
    found = (iso(at), what, model_sha256, data["stamp"], _asked(plan), data["test"], skills)
    return dict(zip(KEYS, found, strict=True))


def _asked(plan: Plan) -> dict[str, str]:
    return {key: str(value) for key, value in asdict(plan).items() if key != "threads"}


def _whole(table: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    models = table["models"]
    ece = {name: models[name]["ece"] for name in (CHIEF, FHS)}
    whole = {"n": table["n"], "days": data["test_days"], "events": table["events"], "ece": ece}
    return _row(whole | {"skill_vs": models[CHIEF]["skill_vs"]})


def _sliced(slices: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{cut}/{name}": _row(part) for cut, parts in slices.items() for name, part in parts.items()}


def _row(part: Mapping[str, Any]) -> dict[str, Any]:
    skill = {
        measure: {
            base: [part["skill_vs"][base][f"{prefix}{end}"] for end in ("value", "low", "high")]
            for base in COMPARED
            if base in part["skill_vs"]
        }
        for measure, prefix in MEASURES.items()
    }
    return {**{key: part[key] for key in ("n", "days", "events")}, **skill, "ece": dict(part["ece"])}


def model_hash(model: LiquidationForecaster) -> str:
    """Hash of a model as `train` would store it."""
    with tempfile.TemporaryDirectory(prefix="margincast-") as scratch:
        return save_state(model.state(), Path(scratch) / "model")


def append_record(store: Path, record: Mapping[str, Any]) -> None:
    """Add a record to the store's ledger, in one write that is on disk when this returns; on a line of its own.

    Raises
    ------
    MargincastError
        The store cannot be written.
    """
    make_folder(store)
    line = json.dumps(_without_nan(record), sort_keys=True, allow_nan=False) + "\n"
    path = store / LEDGER
    try:
        with path.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read() == b"\n" else "\n" + line
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as failure:
        raise MargincastError(f"{path}: could not be written ({failure.strerror or failure})") from failure


def is_entered(store: Path, plan: Plan, *, what: str, model_sha256: str, stamp: Mapping[str, str]) -> bool:
    """Whether the store's ledger has this evaluation of this model on these inputs already."""
    sought = (what, model_sha256, dict(stamp), _asked(plan))
    found = (tuple(one[key] for key in ("what", "model_sha256", "stamp", "plan")) for one in read_ledger(store))
    return sought in found


def enter_evaluation(
    store: Path, scores: Mapping[str, Any], model: LiquidationForecaster, plan: Plan, at: datetime
) -> None:
    """Add what `evaluate_market` found to the store's ledger."""
    append_record(store, ledger_record(scores, plan, what="evaluate", model_sha256=model_hash(model), at=at))


def _without_nan(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_ledger(store: Path) -> list[dict[str, Any]]:
    """The records of the store's ledger, oldest first; none if there is no ledger.

    Raises
    ------
    InputError
        A line that is not a whole record, with its number.
    """
    path = store / LEDGER
    if not path.exists():
        return []
    return [_parsed(line, path, row) for row, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)]


def _parsed(line: str, path: Path, row: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        raise InputError("is not a whole record: cut short or damaged", file=path, row=row) from None
    missing = [key for key in KEYS if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputError("lacks a field of a skill record", file=path, row=row, column=missing[0])
    return dict(record)


def ledger_table(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a record, horizon and slice.

    Returns
    -------
    DataFrame
        at, what, model_sha256, seed, test_start, test_end, horizon, slice, n, days, events; log_loss_fhs and
        brier_fhs, log_loss_fhs_har and brier_fhs_har, each also with _low and _high (NaN where none could be given);
        ece and ece_fhs.
    """
    return pd.DataFrame([_flat(r, h, s) for r in records for h in _rising(r["skills"]) for s in r["skills"][h]])


def _rising(horizons: Iterable[str]) -> list[str]:
    return sorted(horizons, key=lambda name: int(name[:-1]) * UNITS[name[-1]])


def slice_of(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one slice.

    Raises
    ------
    InputError
        A slice that no record has.
    """
    rows = table[table["slice"] == name] if len(table) else table
    if len(table) and not len(rows):
        known = ", ".join(sorted(set(table["slice"])))
        raise InputError(f"is in no record; there are {known}", column="slice", value=name)
    return rows


def _flat(record: Mapping[str, Any], horizon: str, name: str) -> dict[str, Any]:
    row = record["skills"][horizon][name]
    known = {key: record[key] for key in ("at", "what", "model_sha256")} | {"seed": int(record["plan"]["seed"])}
    where = {"test_start": record["test"][0], "test_end": record["test"][1], "horizon": horizon, "slice": name}
    counts = {key: row[key] for key in ("n", "days", "events")}
    skill: dict[str, float] = {}
    for base in COMPARED:
        for measure in MEASURES:
            values = [math.nan if v is None else v for v in row[measure].get(base, [math.nan] * 3)]
            skill |= dict(zip((f"{measure}_{base}{end}" for end in ("", "_low", "_high")), values, strict=True))
    ece = {"ece": row["ece"][CHIEF], "ece_fhs": row["ece"][FHS]}
    return known | where | counts | skill | {key: math.nan if v is None else v for key, v in ece.items()}
