"""Finished tests of a validation on disk, one file each, so that a killed validation goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ..riskcore.errors import InputError, MargincastError
from .atomic import write_atomically
from .evaluated_rows import EvaluatedRows
from .protocol_runs import Run

PACKAGE = Path(__file__).resolve().parents[1]
DECIDING = ("riskcore", "features", "models", "training")
"""Folders whose code decides what a test finds."""


def code_hash() -> str:
    """Hash of the code, rule-books and calendars that decide what a test finds."""
    digest = hashlib.sha256()
    files = [path for folder in DECIDING for kind in ("*.py", "*.toml") for path in (PACKAGE / folder).rglob(kind)]
    for path in sorted(files):
        digest.update(
            f"{path.relative_to(PACKAGE).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()


def part_path(folder: Path, run: Run, stamp: Mapping[str, str], code: str) -> Path:
    """File of a test: other settings, other data, other rules or other code make another name.

    Parameters
    ----------
    folder
        Of the validation.
    run
        The test.
    stamp
        Of the market and the rules, see `market_stamp`.
    code
        `code_hash`.
    """
    decides = json.dumps([run.settings(), dict(stamp), code], sort_keys=True)
    name = "".join(c if c.isalnum() or c == "-" else "_" for c in f"{run.kind}-{run.name}-seed{run.plan.seed}")
    return folder / f"{name}-{hashlib.sha256(decides.encode()).hexdigest()[:16]}.npz"


def save_part(path: Path, rows: EvaluatedRows, about: Mapping[str, Any]) -> None:
    """Write a finished test: its rows and what is told about them (plain values). Whole or not at all."""
    buffer = io.BytesIO()
    text = np.array(json.dumps(about, sort_keys=True, default=str))
    np.savez_compressed(buffer, **rows.arrays(), about=text)
    write_atomically(path, buffer.getvalue())


def part_on_disk(path: Path, say: Callable[[str], None]) -> tuple[EvaluatedRows, dict[str, Any]] | None:
    """What `load_part` reads; None where there is nothing, or a damaged file, which is put aside and told.

    Raises
    ------
    MargincastError
        A file that cannot be read, or a damaged one that cannot be put aside.
    """
    if not path.exists():
        return None
    try:
        return load_part(path)
    except InputError as error:
        if isinstance(error.__cause__, OSError):  # it could not be read at all: nothing is known of what it holds
            raise
        aside = _free_name(path)
    try:
        path.rename(aside)
    except OSError as failure:
        raise MargincastError(f"{path}: is damaged and cannot be moved ({failure.strerror or failure})") from failure
    say(f"{path.name} is damaged: kept as {aside.name}, and done again")
    return None


def _free_name(path: Path) -> Path:
    """A name beside a damaged file under which nothing is kept yet."""
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in count())
    return next(name for name in names if not name.exists())


def load_part(path: Path) -> tuple[EvaluatedRows, dict[str, Any]]:
    """Read what `save_part` wrote.

    Raises
    ------
    InputError
        A damaged file.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(str(arrays.pop("about")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as failure:
        raise InputError("is not a finished test of a validation", file=path) from failure
    return EvaluatedRows.from_arrays(arrays, path), dict(about)
