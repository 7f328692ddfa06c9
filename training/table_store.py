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
    CompactionRecord,
    Record,
    StoredPart,
    part_path,
    record_content,
    record_path,
    stored_table_names,
    table_folder,
)
from ..features.readers.stored_tables import no_rows, part_batches
from ..features.readers.time_merge import stamps_of
from ..riskcore.errors import InputError
from .atomic import make_folder, write_atomically
from .new_rows import NewRows, new_rows
from .store_log import TableLog
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
        self._logs: dict[str, TableLog] = {}
        self._seen: set[str] = set()

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
            log = self._cleared(table)
            _require_same_kind(rows, log, source.origin)
            found = new_rows(table, rows, self._overlapping(rows, log), source.origin)
            late = _late(found.frame, log)
            notes = _notes(found, late)
            if len(found.frame) or source.sha256 not in log.hashes:
                self._commit(log, found, source, notes)
        return AppendReport(table, len(frame), len(found.frame), found.duplicates, late, notes)

    def last(self, table: str, symbol: str = "") -> np.datetime64 | None:
        """Timestamp of the latest row of a symbol (of a series without symbols: ""), None where there is none."""
        lasts = self._log(table).refreshed().lasts
        return np.datetime64(lasts[symbol], "ns") if symbol in lasts else None

    def holds(self, sha256: str, *tables: str) -> bool:
        """Whether bytes of this hash have been appended to each of `tables`; without these, to any table."""
        if tables:
            return all(sha256 in self._log(table).refreshed().hashes for table in tables)
        return any(sha256 in self._log(table).refreshed().hashes for table in stored_table_names(self.folder))

    def compact(self, table: str) -> int:
        """Put the parts of each symbol and month together; many small appends read faster afterwards.

        The rows and the provenance of their appends stay as they are. A process that is killed leaves either state. A
        reader in another process that had begun before may find its parts gone and must begin again.

        Returns
        -------
        int
            How many files there are less than before.
        """
        with self._locked():
            log = self._cleared(table)
            replaced, parts = [], []
            for crowd in log.crowded():
                replaced += crowd
                parts.append(self._put_together(log, crowd))
            if replaced:
                paths = tuple(part.path for part in replaced)
                self._write_record(log, CompactionRecord(log.records + 1, paths, tuple(parts)))
                _remove_leftovers(table_folder(self.folder, table), log.all_parts())
        return len(replaced) - len(parts)

    def _log(self, table: str) -> TableLog:
        return self._logs.setdefault(table, TableLog(self.folder, table))

    def _cleared(self, table: str) -> TableLog:
        """The table's log, under the lock; the first time what a killed process left is removed."""
        log = self._log(table).refreshed()
        if table not in self._seen:
            _remove_leftovers(table_folder(self.folder, table), log.all_parts())
            self._seen.add(table)
        return log

    def _overlapping(self, rows: pd.DataFrame, log: TableLog) -> pd.DataFrame:
        """Stored rows of the symbols of `rows` from the first to the last instant of `rows`."""
        stamps = pd.Series(stamps_of(rows), index=rows.index)
        spans = stamps.groupby(_symbols(rows)).agg(["min", "max"])
        parts = log.overlapping(spans.itertuples(name=None))
        columns = tuple(column for column in columns_of(log.table) if column in log.columns or column in rows)
        frames = part_batches(self.folder, log.table, columns, parts, int(stamps.min()), int(stamps.max()) + 1)
        return next(frames, no_rows(columns))

    def _commit(self, log: TableLog, found: NewRows, source: Source, notes: tuple[str, ...]) -> None:
        number = log.records + 1
        parts = [
            self._write_part(log, rows, part_path(symbol, month, number), symbol)
            for symbol, month, rows in split_into_parts(found.frame)
        ]
        columns = tuple(column for column in columns_of(log.table) if column in found.frame)
        offered = len(found.frame) + found.duplicates
        self._write_record(log, AppendRecord(number, source, offered, found.duplicates, columns, notes, tuple(parts)))

    def _put_together(self, log: TableLog, crowd: Sequence[StoredPart]) -> StoredPart:
        columns = tuple(column for column in columns_of(log.table) if column in log.columns)
        first, last = min(part.firsts[0] for part in crowd), max(part.last for part in crowd)
        rows = next(part_batches(self.folder, log.table, columns, crowd, first, last + 1))
        ((symbol, month, whole),) = split_into_parts(rows)
        return self._write_part(log, whole, part_path(symbol, month, log.records + 1), symbol)

    def _write_part(self, log: TableLog, rows: pd.DataFrame, path: str, symbol: str) -> StoredPart:
        content, part = part_content(rows, path, symbol)
        file = table_folder(self.folder, log.table) / path
        make_folder(file.parent)
        write_atomically(file, content)
        return part

    def _write_record(self, log: TableLog, record: Record) -> None:
        path = record_path(self.folder, log.table, record.number)
        make_folder(path.parent)
        write_atomically(path, record_content(record))
        log.add(record)

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


def _require_same_kind(rows: pd.DataFrame, log: TableLog, file: str) -> None:
    if log.columns and ("symbol" in log.columns) != ("symbol" in rows):
        kind = "is" if "symbol" in log.columns else "is not"
        raise InputError(f"the series {kind} one of several symbols in the store", file=file, column="symbol")


def _symbols(rows: pd.DataFrame) -> pd.Series[str]:
    symbols: pd.Series[str] = rows["symbol"] if "symbol" in rows else pd.Series("", index=rows.index)
    return symbols


def _late(rows: pd.DataFrame, log: TableLog) -> int:
    before = _symbols(rows).map(log.lasts).to_numpy(np.float64, na_value=np.nan)
    return int((stamps_of(rows) < before).sum())


def _notes(found: NewRows, late: int) -> tuple[str, ...]:
    notes = [f"{found.duplicates} exact duplicate rows dropped"] if found.duplicates else []
    notes += [f"{found.unsorted} rows stood below a later one of their symbol: sorted"] if found.unsorted else []
    notes += (
        [f"{late} rows are earlier than the store's last of their symbol: sorted into their months"] if late else []
    )
    return (*notes, *found.notes)


def _remove_leftovers(folder: Path, parts: Sequence[StoredPart]) -> None:
    """Remove half-written files and those that hold none of `parts`."""
    listed = {folder / part.path for part in parts}
    for file in [*folder.rglob("part-*.parquet"), *folder.rglob(".part-*"), *folder.glob(f"{APPENDS}/.*")]:
        if file not in listed:
            file.unlink(missing_ok=True)
