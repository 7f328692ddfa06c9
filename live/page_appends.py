"""Pages of a history gathered into whole appends, whatever ends the run."""

from __future__ import annotations

import numpy as np

from ..features.readers.provenance import Source
from ..riskcore.arrays import FloatArray
from ..training.table_store import TableStore
from .fetch_tables import HistoryWindow, iso

PAGES_AN_APPEND = 20
CROWD = 16
"""Appends of a run from which on the table's parts are put together afterwards."""


class PageAppends:
    """Appends the pages of one table and symbol, some at a time; `with` stores the rest, also where Ctrl-C ends it.

    Attributes
    ----------
    new, duplicates
        Rows that the store did not have before, and those it had.
    """

    def __init__(self, store: TableStore, window: HistoryWindow) -> None:
        self.store, self.window = store, window
        self.new = self.duplicates = self.appends = self._read = 0
        self._pages: list[FloatArray] = []
        self._times: list[FloatArray] = [np.empty(0)]
        window.exchange.taken()

    def times(self) -> FloatArray:
        """Times of all rows that were read, milliseconds."""
        return np.concatenate(self._times)

    def add(self, page: FloatArray) -> None:
        """Take a page in."""
        self._pages.append(page)
        if len(self._pages) == PAGES_AN_APPEND:
            self._flush()

    def __enter__(self) -> PageAppends:
        return self

    def __exit__(self, failed: object, *more: object) -> None:
        self._flush()
        if failed is None and self.appends >= CROWD:
            self.store.compact(self.window.kind.stored)

    def _flush(self) -> None:
        if not self._pages:
            return
        rows, self._pages = np.concatenate(self._pages), []
        exchange, window = self.window.exchange, self.window
        read, self._read = window.read - self._read, window.read
        asked = f"{window.origin} from {iso(rows[0, 0])} to {iso(rows[-1, 0])}"
        source = Source(exchange.name, asked, exchange.taken(), exchange.instant(), read)
        report = self.store.append(window.kind.stored, window.frame(rows), source)
        self.appends += 1
        self.new += report.new
        self.duplicates += report.duplicates
        self._times.append(rows[:, 0])
