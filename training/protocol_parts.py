"""Finished tests of a validation on disk, one file each, so that a killed validation goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..riskcore.errors import InputError
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
        raise InputError("is not a finished test of a validation; delete it to run it again", file=path) from failure
    return EvaluatedRows.from_arrays(arrays, path), dict(about)
