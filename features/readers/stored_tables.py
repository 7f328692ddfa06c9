"""Reading the tables of a local store: whole, or in batches in the order of time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from .schemas import KEYS, TEXT, SourceTable, columns_of, validated
from .store_records import (
    StoredPart,
    append_records,
    is_stored,
    live_parts,
    nanoseconds_of,
    require_whole,
    table_folder,
    table_records,
)
from .time_merge import Piece, in_time_order, stamps_of

BATCH_ROWS = 100_000
FOREVER = np.iinfo(np.int64).max


def read_stored(
    folder: str | Path,
    table: str,
    symbols: Collection[str] | None = None,
    start: object = None,
    end: object = None,
) -> pd.DataFrame:
    """Rows of a table of a store, sorted by timestamp and symbol.

    Parameters
    ----------
    folder
        The store.
    table
        perp, mark, funding, ..., or series/NAME.
    symbols
        Only these; None for all. A symbol the table does not have brings no rows.
    start, end
        Only rows with start <= timestamp < end, as anything pandas reads as an instant, UTC where it names no zone.

    Returns
    -------
    pandas.DataFrame
        timestamp (UTC, ns), symbol and the columns that any append brought; NaN in the rows of those that did not.
        No rows where none fit.

    Raises
    ------
    InputError
        The store has no such table; a part whose bytes are not those that were stored.
    """
    frames = list(stored_batches(folder, table, symbols, start, end, batch_rows=np.inf))
    return frames[0] if frames else no_rows(stored_columns(folder, table))


def stored_batches(
    folder: str | Path,
    table: str,
    symbols: Collection[str] | None = None,
    start: object = None,
    end: object = None,
    *,
    batch_rows: float = BATCH_ROWS,
) -> Iterator[pd.DataFrame]:
    """Yield the rows of `read_stored` from the earliest to the latest, in frames of about `batch_rows` rows.

    In memory are at any time two batches and one row group of each part that has rows at that instant. Rows of one
    instant stay in one frame; what is appended after the first frame was asked for is not seen.
    """
    root = Path(folder)
    low = -FOREVER if start is None else nanoseconds_of(start)
    high = FOREVER if end is None else nanoseconds_of(end)
    columns = stored_columns(root, table)
    parts = [
        part
        for part in live_parts(table_records(root, table))
        if (symbols is None or part.symbol in symbols) and part.last >= low and part.firsts[0] < high
    ]
    yield from part_batches(root, table, columns, parts, low, high, batch_rows)


def part_batches(
    store: Path,
    table: str,
    columns: tuple[str, ...],
    parts: Iterable[StoredPart],
    low: int,
    high: int,
    batch_rows: float = np.inf,
) -> Iterator[pd.DataFrame]:
    """Yield the rows low <= timestamp < high (nanoseconds) of some parts of a table, as `stored_batches` does."""
    reader = _PartReader(table_folder(store, table), columns, low, high)
    by = KEYS.get(table) or [column for column in ("timestamp", "symbol") if column in columns]
    parts = list(parts)
    before = np.cumsum([0, *(part.rows for part in parts)]).tolist()
    pieces = (piece for part, rows in zip(parts, before, strict=False) for piece in reader.pieces(part, rows))
    for batch in in_time_order(pieces, by, batch_rows):
        yield batch.reset_index(drop=True)


def no_rows(columns: Iterable[str]) -> pd.DataFrame:
    """A frame without rows that has the columns of a table and their types.

    Examples
    --------
    >>> no_rows(["timestamp", "close"]).dtypes.astype(str).tolist()
    ['datetime64[ns, UTC]', 'float64']
    """
    kinds = {column: "str" if column in TEXT else "float64" for column in columns} | {
        "timestamp": "datetime64[ns, UTC]"
    }
    return pd.DataFrame({column: pd.Series(dtype=kinds[column]) for column in columns})


def stored_columns(folder: str | Path, table: str) -> tuple[str, ...]:
    """Columns of a stored table: those any append brought, in their usual order.

    Raises
    ------
    InputError
        The store has no such table.
    """
    if not is_stored(Path(folder), table):
        raise InputError("the store has no such table", file=str(folder), value=table)
    present = {column for record in append_records(folder, table) for column in record.columns}
    return tuple(column for column in columns_of(table) if column in present)


def stored_last(folder: str | Path, table: str, symbol: str = "") -> np.datetime64 | None:
    """Timestamp of the latest row of a symbol (of a series without symbols: ""), None where there is none."""
    lasts = [part.last for part in live_parts(table_records(folder, table)) if part.symbol == symbol]
    return np.datetime64(max(lasts), "ns") if lasts else None


def read_stored_table(folder: Path, table: str) -> SourceTable:
    """A stored table as a table of a market folder; its hash is that of its parts' hashes in the order of appends."""
    parts = live_parts(table_records(folder, table))
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    frame = validated(read_stored(folder, table), table, table)
    note = f"read from a store: {len(append_records(folder, table))} appends, {len(parts)} parts"
    return SourceTable(table, table, digest, frame, (note,))


class _PartReader:
    """Reads row groups of parts, having checked each part's bytes once."""

    def __init__(self, folder: Path, columns: tuple[str, ...], low: int, high: int) -> None:
        self.folder, self.columns, self.low, self.high = folder, columns, low, high
        self.whole: set[str] = set()

    def pieces(self, part: StoredPart, before: int) -> Iterator[Piece]:
        lasts = (*part.firsts[1:], part.last)
        for group, (first, last) in enumerate(zip(part.firsts, lasts, strict=True)):
            if first < self.high and last >= self.low:
                yield Piece(first, partial(self._read, part, group, before))

    def _read(self, part: StoredPart, group: int, before: int) -> pd.DataFrame:
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        file = self.folder / part.path
        if part.path not in self.whole:
            require_whole(file, part)
            self.whole.add(part.path)
        try:
            with pq.ParquetFile(file) as opened:
                frame = opened.read_row_group(group).to_pandas()
                frame.index += before + sum(opened.metadata.row_group(k).num_rows for k in range(group))
        except (OSError, ArrowException) as failure:
            raise InputError(f"cannot be read: {failure}", file=str(file)) from None
        stamps = stamps_of(frame)
        inside = frame[(stamps >= self.low) & (stamps < self.high)]
        missing = [column for column in self.columns if column not in frame]
        whole: pd.DataFrame = inside.assign(**dict.fromkeys(missing, np.nan))[list(self.columns)]
        return whole
