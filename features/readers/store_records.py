"""How a local store lies on disk: tables, parts, and the records that say which parts count.

A store is a folder. Each table is a folder in it (perp, mark, ..., series/NAME), its rows are Parquet parts in
`symbol=NAME/YYYY-MM/`, and each append is one JSON record in `appends/` that lists its parts with their hashes and
says where they come from. A part that no record lists does not exist for a reader: the record, written last and in one
step, is what makes an append happen. Many small parts are put together by a compaction, a record of its own in the same
row of numbers, which names the parts it replaces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from ...riskcore.errors import InputError
from .provenance import Source, source_from_dict

APPENDS = "appends"
FORMAT = 1


@dataclass(frozen=True)
class StoredPart:
    """One Parquet file of a table.

    Parameters
    ----------
    path
        Relative to the table's folder.
    symbol
        The symbol of all its rows; "" in a series without symbols.
    rows
        How many, sorted by time.
    firsts
        Timestamp of the first row of each row group, nanoseconds since 1970.
    last
        Timestamp of the last row.
    sha256
        Of the file's bytes.
    """

    path: str
    symbol: str
    rows: int
    firsts: tuple[int, ...]
    last: int
    sha256: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "firsts", tuple(self.firsts))


@dataclass(frozen=True)
class AppendRecord:
    """One append to a table: what came in, from where, and the parts that hold what was new.

    Parameters
    ----------
    number
        1, 2, ... in the order of the appends.
    source
        Where the rows come from.
    rows, duplicates
        Rows that were offered, and those among them that the store had already or that came twice.
    columns
        Columns of the parts.
    notes
        What the store did to the rows, beside the source's own `cleaning`.
    parts
        The new rows.
    """

    number: int
    source: Source
    rows: int
    duplicates: int
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    parts: tuple[StoredPart, ...]


@dataclass(frozen=True)
class CompactionRecord:
    """Parts put together: the same rows in fewer files.

    Parameters
    ----------
    number
        Its place among the table's records.
    replaces
        Paths of the parts that no longer count.
    parts
        Those that hold their rows now.
    """

    number: int
    replaces: tuple[str, ...]
    parts: tuple[StoredPart, ...]


Record = AppendRecord | CompactionRecord


def record_content(record: Record) -> bytes:
    """The bytes of a record's file."""
    return json.dumps({"format": FORMAT, **asdict(record)}, indent=1).encode()


def table_folder(store: Path, table: str) -> Path:
    """Folder of a table of a store."""
    return store.joinpath(*table.split("/"))


def is_stored(store: Path, table: str) -> bool:
    """Whether the folder is a store that has the table."""
    return (table_folder(store, table) / APPENDS).is_dir()


def stored_table_names(store: str | Path) -> tuple[str, ...]:
    """Names of the tables of a store, in alphabetical order; empty where the folder is none.

    Examples
    --------
    >>> stored_table_names("no such folder")
    ()
    """
    root = Path(store)
    found = (*root.glob(f"*/{APPENDS}"), *root.glob(f"series/*/{APPENDS}"))
    return tuple(sorted(folder.parent.relative_to(root).as_posix() for folder in found))


def part_path(symbol: str, month: str, number: int) -> str:
    """Path of a part below its table's folder.

    Examples
    --------
    >>> part_path("BTC", "2024-03", 7), part_path("", "2024-03", 7), part_path("A/B", "2024-03", 7)[:11]
    ('symbol=BTC/2024-03/part-00000007.parquet', '2024-03/part-00000007.parquet', 'symbol=A%2F')
    """
    name = f"{month}/part-{number:08d}.parquet"
    return f"symbol={quote(symbol, safe='')}/{name}" if symbol else name


def record_path(store: Path, table: str, number: int) -> Path:
    """File of an append's record."""
    return table_folder(store, table) / APPENDS / f"{number:08d}.json"


def table_records(store: str | Path, table: str, after: int = 0) -> list[Record]:
    """Records of a table in their order, from number `after + 1` on; empty where the store has no such table.

    Raises
    ------
    InputError
        A record that is missing or cannot be read.
    """
    root = Path(store)
    found: list[Record] = []
    while (path := record_path(root, table, after + len(found) + 1)).is_file():
        found.append(_read_record(path))
    if after == 0:
        later = [file.name for file in path.parent.glob("*.json") if file.stem.isdigit() and file.name > path.name]
        if later:
            raise InputError(f"the record of an append is missing, though {min(later)} is there", file=path.name)
    return found


def append_records(store: str | Path, table: str) -> list[AppendRecord]:
    """Appends to a table in their order; see `table_records`."""
    return [record for record in table_records(store, table) if isinstance(record, AppendRecord)]


def live_parts(records: Iterable[Record]) -> list[StoredPart]:
    """The parts that hold a table's rows: those of its records but those that a compaction has replaced."""
    parts: dict[str, StoredPart] = {}
    for record in records:
        if isinstance(record, CompactionRecord):
            for path in record.replaces:
                parts.pop(path, None)
        parts.update((part.path, part) for part in record.parts)
    return list(parts.values())


def stored_sources(store: str | Path, table: str) -> list[Source]:
    """Provenance of a table: the source of each append in their order, with what reader and store did to the rows."""
    return [record.source.cleaned(*record.notes) for record in append_records(store, table)]


def require_whole(file: Path, part: StoredPart) -> None:
    """Raise InputError where a part is missing or its bytes are not those that were written."""
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as failure:
        raise InputError(f"cannot be read: {failure.strerror}", file=str(file)) from None
    if found != part.sha256:
        problem = f"the bytes are not those that were stored: sha256 {part.sha256[:12]} was recorded"
        raise InputError(problem, file=str(file), value=found[:12])


def nanoseconds_of(instant: object) -> int:
    """An instant given as text, datetime or datetime64 (UTC where it names no zone), in nanoseconds since 1970.

    Examples
    --------
    >>> import numpy as np
    >>> nanoseconds_of("1970-01-01T00:00:01Z"), nanoseconds_of(np.datetime64("1970-01-02"))
    (1000000000, 86400000000000)
    """
    try:
        stamp = pd.to_datetime(instant, utc=True)  # type: ignore[call-overload]
    except (ValueError, TypeError):
        stamp = pd.NaT
    if not isinstance(stamp, pd.Timestamp):
        raise InputError("is not an instant", value=str(instant))
    return int(stamp.as_unit("ns").value)


def _read_record(path: Path) -> Record:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return _record(plain, path.name)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as failure:
        raise InputError(f"is not the record of an append: {failure!r}", file=str(path)) from None


def _record(plain: Mapping[str, Any], file: str) -> Record:
    if plain["format"] != FORMAT:
        raise InputError(f"is of a format other than {FORMAT}", file=file, column="format", value=plain["format"])
    parts = tuple(StoredPart(**part) for part in plain["parts"])
    if "replaces" in plain:
        return CompactionRecord(plain["number"], tuple(plain["replaces"]), parts)
    source = source_from_dict(plain["source"], file)
    columns, notes = tuple(plain["columns"]), tuple(plain["notes"])
    return AppendRecord(plain["number"], source, plain["rows"], plain["duplicates"], columns, notes, parts)
