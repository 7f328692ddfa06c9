"""Reading one table of a market folder from its Parquet or CSV file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from .schemas import COLUMNS, SourceTable, validated
from .store_records import is_stored
from .stored_tables import read_stored_table
from .table_files import csv_rows, damage_is_said, only_path, parquet_rows, read_bytes

SUFFIXES = (".parquet", ".csv")
HOURLY_FUNDING = "funding_rate_1h"


def read_table(folder: Path, name: str) -> SourceTable | None:
    """Read and check one table of a market folder; None where it has no such file.

    Parameters
    ----------
    folder
        The market folder, or a store.
    name
        One of `COLUMNS` or series/NAME; the file is NAME.parquet or NAME.csv, of a store the folder NAME.

    Raises
    ------
    InputError
        Two of these there, a file that cannot be read, or rows that are not as the table's columns must be.
    """
    path = table_path(folder, name)
    if path is None:
        return None
    return read_stored_table(folder, name) if path.is_dir() else _read(path, name)


def table_path(folder: Path, name: str) -> Path | None:
    """Where a table of a market folder or store stands, as `read_table` finds it."""
    found = [folder / f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").is_file()]
    found += [folder / name] if is_stored(folder, name) else []
    return only_path(found)


def unread_files(folder: Path) -> list[str]:
    """Data files of the folder that are not a table of a market folder, by name."""
    files = (p for p in folder.iterdir() if p.is_file() and p.suffix in SUFFIXES)
    return sorted(p.name for p in files if p.stem not in COLUMNS)


def _read(path: Path, name: str) -> SourceTable:
    content = read_bytes(path)
    file = f"{name}{path.suffix}"
    frame, notes = documented_names(_parsed(content, file), name)
    frame = validated(frame, name, file)
    return SourceTable(name, file, hashlib.sha256(content).hexdigest(), frame, notes)


def _parsed(content: bytes, file: str) -> pd.DataFrame:
    if file.endswith(".csv"):
        with damage_is_said("is not a CSV file", file):
            rows = csv_rows(content)
        return rows
    with damage_is_said("is not a whole Parquet file", file):
        rows = parquet_rows(content)
    return plain_columns(rows)


def plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a named index as columns, its rows numbered from 0."""
    named = any(label is not None for label in frame.index.names)
    return frame.reset_index(drop=not named)


def documented_names(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The frame with the hourly funding column named as any other, and what is said of that."""
    if name == "funding" and HOURLY_FUNDING in frame and "funding_rate" not in frame:
        note = f"column {HOURLY_FUNDING} read as funding_rate, charged at each of its timestamps"
        return frame.rename(columns={HOURLY_FUNDING: "funding_rate"}), (note,)
    return frame, ()
