"""Tables of a market folder read piece by piece: their keys in the order of the file, their rows in that of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd

from ...riskcore.errors import InputError
from .schemas import KEYS, utc_timestamps, validated
from .stored_tables import BATCH_ROWS, stored_batches
from .tables import documented_names, plain_columns, read_table, table_path
from .time_merge import Piece, in_time_order, stamps_of

HELD_ROWS = 2_000_000
"""Rows of a file that may overlap in time and so be in memory at once."""


@dataclass(frozen=True)
class TableStream:
    """A table that is not read whole.

    Parameters
    ----------
    name
        Which table it is.
    file
        Its file, for errors.
    keys
        Yields, piece by piece in the order of the file, the named columns besides timestamp (UTC); the index is the
        row position in the file.
    batches
        Yields the rows in the order of time, as `in_time_order` does, checked; the index is the row position.
    """

    name: str
    file: str
    keys: Callable[..., Iterator[pd.DataFrame]]
    batches: Callable[[], Iterator[pd.DataFrame]]


def open_stream(folder: Path, name: str) -> TableStream | None:
    """Open a table of a market folder or store; None where it has no such table.

    Parquet is read a row group at a time, a store as `stored_batches` does; CSV is read whole.

    Raises
    ------
    InputError
        The table stands there as two files.
    """
    path = table_path(folder, name)
    if path is None:
        return None
    if path.suffix == ".parquet":
        return _of_parquet(path, name)
    return _of_store(folder, name) if path.is_dir() else _of_csv(folder, name)


def _of_store(folder: Path, name: str) -> TableStream:
    def batches() -> Iterator[pd.DataFrame]:
        row = 0
        for batch in stored_batches(folder, name):
            batch.index += row
            row += len(batch)
            yield validated(batch, name, name)

    def keys(*columns: str) -> Iterator[pd.DataFrame]:
        return (batch[[column for column in ("timestamp", *columns) if column in batch]] for batch in batches())

    return TableStream(name, name, keys, batches)


def _of_csv(folder: Path, name: str) -> TableStream:
    def whole() -> Iterator[pd.DataFrame]:
        table = read_table(folder, name)
        if table is not None:
            yield table.frame

    def keys(*columns: str) -> Iterator[pd.DataFrame]:
        return (frame[[column for column in ("timestamp", *columns) if column in frame]] for frame in whole())

    def batches() -> Iterator[pd.DataFrame]:
        return (frame.sort_values(_order(name, frame), kind="stable") for frame in whole())

    return TableStream(name, f"{name}.csv", keys, batches)


def _of_parquet(path: Path, name: str) -> TableStream:
    file = f"{name}.parquet"
    reader = _RowGroups(path, name, file)
    return TableStream(name, file, reader.keys, reader.batches)


def _order(name: str, frame: pd.DataFrame) -> list[str]:
    return [column for column in KEYS.get(name) or ("timestamp", "symbol") if column in frame]


class _RowGroups:
    """The row groups of a Parquet file."""

    def __init__(self, path: Path, name: str, file: str) -> None:
        self.path, self.name, self.file = path, name, file

    def keys(self, *columns: str) -> Iterator[pd.DataFrame]:
        for group in range(len(self._offsets)):
            frame = self._read(group, ["timestamp", *columns])
            yield frame.assign(timestamp=utc_timestamps(frame["timestamp"], self.file))

    def batches(self) -> Iterator[pd.DataFrame]:
        spans = [(int(own.min()), int(own.max()), len(own)) for own in map(stamps_of, self.keys())]
        self._require_little_overlap(spans)
        pieces = [Piece(first, partial(self._checked, group)) for group, (first, _, _) in enumerate(spans)]
        columns = KEYS.get(self.name) or ("timestamp", "symbol")
        by = [column for column in columns if column in self._opened.schema_arrow.names]
        return in_time_order(pieces, by, BATCH_ROWS)

    def _require_little_overlap(self, spans: list[tuple[int, int, int]]) -> None:
        """Refuse a file of which more than HELD_ROWS rows would have to be in memory at once."""
        ends = sorted([(first, rows) for first, _, rows in spans] + [(last + 1, -rows) for _, last, rows in spans])
        most = max(accumulate(rows for _, rows in ends), default=0)
        if most > HELD_ROWS:
            problem = (
                f"{most} rows overlap in time, too many to stream: sort the rows by timestamp and write row groups of "
                f"at most {BATCH_ROWS} rows (sort_values('timestamp').to_parquet(..., row_group_size={BATCH_ROWS}))"
            )
            raise InputError(problem, file=self.file, column="timestamp")

    def _checked(self, group: int) -> pd.DataFrame:
        frame, _ = documented_names(self._read(group, None), self.name)
        return validated(frame, self.name, self.file)

    def _read(self, group: int, columns: list[str] | None) -> pd.DataFrame:
        from pyarrow import ArrowException

        names = self._opened.schema_arrow.names
        wanted = None if columns is None else [column for column in columns if column in names]
        if "timestamp" not in names:
            raise InputError(f"is missing; the {self.name} table needs it", file=self.file, column="timestamp")
        place, before = self._offsets[group]
        try:
            frame = plain_columns(self._opened.read_row_group(place, columns=wanted).to_pandas())
        except (OSError, ArrowException) as failure:
            raise InputError(f"is not a whole Parquet file: {failure}", file=self.file) from None
        frame.index += before
        return frame

    @cached_property
    def _offsets(self) -> list[tuple[int, int]]:
        """The row groups that have rows: their places in the file, and how many rows stand before them."""
        rows = [self._opened.metadata.row_group(k).num_rows for k in range(self._opened.metadata.num_row_groups)]
        before = accumulate(rows, initial=0)
        return [(place, first) for place, (first, own) in enumerate(zip(before, rows, strict=False)) if own]

    @cached_property
    def _opened(self) -> Any:
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        try:
            return pq.ParquetFile(self.path)
        except (OSError, ArrowException) as failure:
            raise InputError(f"is not a whole Parquet file: {failure}", file=self.file) from None
