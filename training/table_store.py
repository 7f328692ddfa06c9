"""The local store of tables: appends that happen wholly or not at all, each with its provenance."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..features.readers.provenance import Source
from ..features.readers.schemas import COLUMNS, SERIES, columns_of, validated
from ..features.readers.store_records import (
    APPENDS,
    AppendRecord,
    StoredPart,
    append_records,
    part_path,
    record_path,
    stored_table_names,
    table_folder,
)
from ..features.readers.stored_tables import no_rows, part_batches
from ..features.readers.time_merge import stamps_of
from ..riskcore.errors import InputError
from .atomic import make_folder, write_atomically
from .new_rows import NewRows, new_rows
from .table_parts import part_content, split_into_parts

SERIES_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class AppendReport:
    """What became of the rows of one append.

    Parameters
    ----------
    table
        Name of the table.
    rows
        Rows offered.
    new
        Rows that are now in the store and were not before.
    duplicates
        Rows that the store had already or that came twice, equal in every number; dropped.
    late
        New rows earlier than a row of their symbol that was there before; sorted into their months.
    notes
        All of this in words, as kept with the provenance.
    """

    table: str
    rows: int
    new: int
    duplicates: int
    late: int
    notes: tuple[str, ...]


class TableStore:
    """A folder of tables that only grows.

    Tables, parts and records lie as `features.readers.store_records` says; `features.readers.stored_tables` reads
    them, and `read_market_folder` reads a store as it reads any market folder. A process that is killed at any instant
    leaves a store without its last append. Processes that append at the same time wait for each other.

    Parameters
    ----------
    folder
        The store; made by the first append.

    Examples
    --------
    >>> import tempfile
    >>> from margincast.features.readers.provenance import source_of
    >>> hour = pd.Timestamp("2024-03-01", tz="UTC")
    >>> rates = pd.DataFrame({"timestamp": [hour], "symbol": ["BTC"], "funding_rate": [0.0001]})
    >>> source = source_of(b"...", venue="x", origin="/funding", retrieved="2024-03-01T00:00:09Z", rows=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = TableStore(folder)
    ...     first, again = store.append("funding", rates, source), store.append("funding", rates, source)
    ...     print(first.new, again.new, again.duplicates, store.last("funding", "BTC"))
    1 0 1 2024-03-01T00:00:00.000000000
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._records: dict[str, list[AppendRecord]] = {}

    def append(self, table: str, frame: pd.DataFrame, source: Source) -> AppendReport:
        """Add the rows that the store does not have yet.

        Parameters
        ----------
        table
            perp, mark, spot, funding, open_interest, depth, liquidations, or series/NAME.
        frame
            Rows in the columns of a market folder (timestamp with a time zone), in any order. Bars must be closed: a
            row that is there cannot be changed.
        source
            Where they come from; its origin names them in errors.

        Raises
        ------
        InputError
            An unknown table or column; a row as `validated` refuses it; a row that is there already with another
            number. Nothing is stored then.
        MargincastError
            The folder cannot be written.

        Notes
        -----
        Rows are told apart by timestamp and symbol, of depth also by side and level. Liquidations have no such key:
        a row counts as there already if the store has as many equal rows as came with this append up to it.
        """
        _require_table(table)
        _require_columns(table, frame, source.origin)
        rows = validated(frame.reset_index(drop=True), table, source.origin)
        with self._locked():
            records = self._known(table)
            _require_same_kind(table, rows, records, source.origin)
            found = new_rows(table, rows, self._overlapping(table, rows, records), source.origin)
            late = _late(found.frame, records)
            notes = _notes(found, late)
            if len(found.frame) or source.sha256 not in {record.source.sha256 for record in records}:
                self._commit(table, found, source, notes)
        return AppendReport(table, len(frame), len(found.frame), found.duplicates, late, notes)

    def last(self, table: str, symbol: str = "") -> np.datetime64 | None:
        """Timestamp of the latest row of a symbol (of a series without symbols: ""), None where there is none."""
        lasts = _lasts(self._refreshed(table))
        return np.datetime64(lasts[symbol], "ns") if symbol in lasts else None

    def holds(self, sha256: str) -> bool:
        """Whether bytes of this hash have been appended to any table."""
        tables = stored_table_names(self.folder)
        return any(record.source.sha256 == sha256 for table in tables for record in self._refreshed(table))

    def _refreshed(self, table: str) -> list[AppendRecord]:
        known = self._records.setdefault(table, [])
        known.extend(append_records(self.folder, table, after=len(known)))
        return known

    def _known(self, table: str) -> list[AppendRecord]:
        """Records of the table, under the lock; the first time what a killed process left is removed."""
        first = table not in self._records
        records = self._refreshed(table)
        if first:
            _remove_leftovers(table_folder(self.folder, table), records)
        return records

    def _overlapping(self, table: str, rows: pd.DataFrame, records: list[AppendRecord]) -> pd.DataFrame:
        stamps = stamps_of(rows)
        symbols = rows["symbol"] if "symbol" in rows else pd.Series("", index=rows.index)
        span = pd.Series(stamps, index=rows.index).groupby(symbols).agg(["min", "max"]).T.to_dict()
        parts = [
            part
            for record in records
            for part in record.parts
            if part.symbol in span
            and part.last >= span[part.symbol]["min"]
            and part.firsts[0] <= span[part.symbol]["max"]
        ]
        columns = _columns(table, records, rows)
        frames = list(part_batches(self.folder, table, columns, parts, int(stamps.min()), int(stamps.max()) + 1))
        return frames[0] if frames else no_rows(columns)

    def _commit(self, table: str, found: NewRows, source: Source, notes: tuple[str, ...]) -> None:
        records = self._records[table]
        number, folder = len(records) + 1, table_folder(self.folder, table)
        parts: list[StoredPart] = []
        for symbol, month, rows in split_into_parts(found.frame):
            content, part = part_content(rows, part_path(symbol, month, number), symbol)
            make_folder((folder / part.path).parent)
            write_atomically(folder / part.path, content)
            parts.append(part)
        columns = tuple(column for column in columns_of(table) if column in found.frame)
        rows_offered = len(found.frame) + found.duplicates
        record = AppendRecord(number, source, rows_offered, found.duplicates, columns, notes, tuple(parts))
        make_folder(folder / APPENDS)
        write_atomically(record_path(self.folder, table, number), record.content())
        records.append(record)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the store's lock; the system releases it when a process ends, however it ends."""
        make_folder(self.folder)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _require_table(table: str) -> None:
    if table.startswith(SERIES) and SERIES_NAME.fullmatch(table.removeprefix(SERIES)):
        return
    if table not in COLUMNS:
        known = ", ".join([*COLUMNS, f"{SERIES}NAME (small letters, digits, _ and -)"])
        raise InputError(f"is not a table of a market folder; there are {known}", column="table", value=table)


def _require_columns(table: str, frame: pd.DataFrame, file: str) -> None:
    allowed = columns_of(table)
    unknown = [column for column in frame if column not in allowed]
    if unknown:
        problem = f"is not a column of the {table} table, which may have {', '.join(allowed)}"
        raise InputError(problem, file=file, column=unknown[0])


def _require_same_kind(table: str, rows: pd.DataFrame, records: Sequence[AppendRecord], file: str) -> None:
    columns = next((record.columns for record in records), None)
    if columns is not None and ("symbol" in columns) != ("symbol" in rows):
        kind = "is" if "symbol" in columns else "is not"
        raise InputError(f"the series {kind} one of several symbols in the store", file=file, column="symbol")


def _columns(table: str, records: Sequence[AppendRecord], rows: pd.DataFrame) -> tuple[str, ...]:
    present = {column for record in records for column in record.columns} | set(rows)
    return tuple(column for column in columns_of(table) if column in present)


def _lasts(records: Sequence[AppendRecord]) -> dict[str, int]:
    lasts: dict[str, int] = {}
    for record in records:
        for part in record.parts:
            lasts[part.symbol] = max(part.last, lasts.get(part.symbol, part.last))
    return lasts


def _late(rows: pd.DataFrame, records: Sequence[AppendRecord]) -> int:
    lasts = _lasts(records)
    symbols = rows["symbol"] if "symbol" in rows else pd.Series("", index=rows.index)
    before = symbols.map(lasts).to_numpy(np.float64, na_value=np.nan)
    return int((stamps_of(rows) < before).sum())


def _notes(found: NewRows, late: int) -> tuple[str, ...]:
    notes = [f"{found.duplicates} exact duplicate rows dropped"] if found.duplicates else []
    notes += [f"{found.unsorted} rows stood below a later one of their symbol: sorted"] if found.unsorted else []
    notes += (
        [f"{late} rows are earlier than the store's last of their symbol: sorted into their months"] if late else []
    )
    return (*notes, *found.notes)


def _remove_leftovers(folder: Path, records: Sequence[AppendRecord]) -> None:
    """Remove parts that no record lists and half-written files."""
    listed = {folder / part.path for record in records for part in record.parts}
    for file in [*folder.rglob("part-*.parquet"), *folder.rglob(".part-*"), *folder.glob(f"{APPENDS}/.*")]:
        if file not in listed:
            file.unlink(missing_ok=True)
