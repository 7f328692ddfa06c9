"""What a writer remembers of a stored table, kept up with its records as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..features.readers.store_records import AppendRecord, CompactionRecord, Record, StoredPart, table_records


class TableLog:
    """The records of one table, and what is looked up in them at each append.

    Parameters
    ----------
    store
        The store.
    table
        The table; it need not be there yet.

    Attributes
    ----------
    records
        How many records there are.
    columns
        Columns that any append brought.
    hashes
        Of the bytes that were appended.
    parts
        By symbol, the parts that hold its rows.
    lasts
        By symbol, the timestamp of its latest row, nanoseconds since 1970.
    """

    def __init__(self, store: Path, table: str) -> None:
        self.store, self.table = store, table
        self.records = 0
        self.columns: set[str] = set()
        self.hashes: set[str] = set()
        self.parts: dict[str, dict[str, StoredPart]] = {}
        self.lasts: dict[str, int] = {}

    def refreshed(self) -> TableLog:
        """Take in what this and other processes have written since."""
        for record in table_records(self.store, self.table, self.records):
            self.add(record)
        return self

    def add(self, record: Record) -> None:
        """Take in the next record."""
        self.records += 1
        if isinstance(record, CompactionRecord):
            replaced = set(record.replaces)
            for own in self.parts.values():
                for path in own.keys() & replaced:
                    del own[path]
        if isinstance(record, AppendRecord):
            self.columns.update(record.columns)
            self.hashes.add(record.source.sha256)
        for part in record.parts:
            self.parts.setdefault(part.symbol, {})[part.path] = part
            self.lasts[part.symbol] = max(part.last, self.lasts.get(part.symbol, part.last))

    def overlapping(self, spans: Iterable[tuple[str, int, int]]) -> list[StoredPart]:
        """Parts that may hold rows of a symbol from a first to a last instant, for each of `spans`."""
        return [
            part
            for symbol, first, last in spans
            for part in self.parts.get(symbol, {}).values()
            if part.last >= first and part.firsts[0] <= last
        ]

    def crowded(self) -> Iterator[list[StoredPart]]:
        """Yield the parts of each symbol and month that has more than one, in the order of symbol and month."""
        for symbol in sorted(self.parts):
            months: dict[str, list[StoredPart]] = {}
            for path, part in self.parts[symbol].items():
                months.setdefault(path.rpartition("/")[0], []).append(part)
            yield from (parts for _, parts in sorted(months.items()) if len(parts) > 1)

    def all_parts(self) -> list[StoredPart]:
        """The parts that hold the table's rows."""
        return [part for own in self.parts.values() for part in own.values()]
