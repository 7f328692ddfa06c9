"""Parquet tables with a whole order book in each row, its levels as JSON text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from .book_feed_events import UNKNOWN, BookUpdate
from .book_feed_fields import MILLISECOND
from .book_feed_scan import levels_of, parsed_message
from .table_files import first_line

COLUMNS = ("symbol", "tm", "b", "a")
ROWS = 256


class LevelTable:
    """A table of whole books, read as a stream of snapshots, `ROWS` rows in memory at a time.

    The layout is that of mpanac/binance-futures-orderbook-scraper: symbol, tm (the recorder's clock, milliseconds), b
    and a (JSON text of [price, size], best first, 100 levels) and snp. A row is the whole of the recorder's book,
    whatever snp says: true where the book had just been fetched anew, false where the recorder had kept it up itself.
    So every row is a snapshot, none is a diff, and there are no sequence ids. What the recorder missed between two
    fetches shows only where its book stands still: a row that repeats the levels of its symbol's row before is left out
    and counted, so that a book that stands for long is taken for silence.

    Each of the 100 levels is ten price levels in one: the best price of the ten and their sizes together. Depth within
    a band is therefore exact only to the ten levels at its edge, and is a little nearer to the mid than it really is.

    Parameters
    ----------
    path
        Parquet file.

    Attributes
    ----------
    repeated
        Rows left out by symbol, as counted by the last pass.

    Raises
    ------
    InputError
        While reading, with file and row: not a whole Parquet file, a column that is missing, no rows, a value that
        cannot be (see `BookUpdate`).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.repeated: Counter[str] = Counter()

    def __iter__(self) -> Iterator[BookUpdate]:
        self.repeated = Counter()
        before: dict[object, tuple[object, object]] = {}
        row = 0
        for batch in _batches(self.path):
            columns = [batch.column(name).to_pylist() for name in COLUMNS]
            for symbol, time, bids, asks in zip(*columns, strict=True):
                update = self._checked(row, symbol, time, bids, asks)
                row += 1
                if before.get(symbol) == (bids, asks):
                    self.repeated[symbol] += 1
                    continue
                before[symbol] = (bids, asks)
                yield update
        if row == 0:
            raise InputError("has no rows", file=self.path.name)

    def _checked(self, row: int, symbol: object, time: object, bids: object, asks: object) -> BookUpdate:
        try:
            return _snapshot(symbol, time, bids, asks)
        except InputError as fault:
            where = {"file": self.path.name, "row": row, "column": fault.column, "value": fault.value}
            raise InputError(fault.problem, **where) from None


def _batches(path: Path) -> Iterator[Any]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as table:
            missing = [name for name in COLUMNS if name not in table.schema_arrow.names]
            if missing:
                raise InputError("is missing", file=path.name, column=missing[0])
            yield from table.iter_batches(ROWS, columns=list(COLUMNS))
    except (OSError, ArrowException) as failure:
        raise InputError(f"is not a whole Parquet file: {first_line(failure)}", file=path.name) from None


def _snapshot(symbol: object, time: object, bids: object, asks: object) -> BookUpdate:
    if not isinstance(symbol, str) or not symbol:
        raise InputError("must be a name", column="symbol", value=symbol)
    if not isinstance(time, int) or time < 0:
        raise InputError("must be milliseconds since 1970", column="tm", value=time)
    sides = _side(bids, "b"), _side(asks, "a")
    return BookUpdate(symbol, "snapshot", UNKNOWN, time * MILLISECOND, UNKNOWN, UNKNOWN, UNKNOWN, *sides)


def _side(text: object, column: str) -> FloatArray:
    if not isinstance(text, str):
        raise InputError("must be JSON text", column=column, value=text)
    try:
        message, levels, _ = parsed_message(b'{"b":' + text.encode() + b"}", ("b", "none"))
    except ValueError as failure:
        raise InputError(f"is not JSON: {failure}", column=column) from None
    return levels_of(message["b"], levels, column)
