"""The verb `features`: every feature of a market folder, streamed into one Parquet file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..features.catalogue import choose
from ..features.engine.bars import BarTable
from ..features.engine.feature_set import FeatureSet, LiveFeatures
from ..features.frame import FeatureFrame
from ..features.readers.blocks import market_blocks
from ..features.readers.tables import unread_files
from ..riskcore.arrays import IntArray
from ..riskcore.errors import InputError, MargincastError

Say = Callable[[str], None]
BLOCK_BARS = 256
"""Bars read, computed and written at a time: what bounds the memory, whatever the size of the folder."""
SAID_EVERY = 16
"""Blocks between two words on how far it is."""


@dataclass(frozen=True)
class Exported:
    """What was computed, and how much of it is known.

    Parameters
    ----------
    file
        The Parquet file; None where none was asked for.
    symbols, rows
        Instruments, and instants a row was written for.
    first, last
        First and last of these instants.
    known
        Share of rows in which each feature is known.
    left_out
        Features that the market does not allow, and why.
    declarations
        Name, unit, summary, inputs, lookback and missing-data rule of each feature.
    notes
        What is to be known of the market: bars that are missing, marks that are last prices, files that are no table.
    """

    file: Path | None
    symbols: tuple[str, ...]
    rows: int
    first: str
    last: str
    known: dict[str, float]
    left_out: dict[str, str]
    declarations: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "file": None if self.file is None else str(self.file),
            "symbols": list(self.symbols),
            "rows": self.rows,
            "first": self.first,
            "last": self.last,
            "features": [one | {"known": self.known[one["name"]]} for one in self.declarations],
            "left_out": self.left_out,
            "notes": list(self.notes),
            "version": __version__,
        }


def export_features(
    market: Path, out: Path | None = None, every: int = 1, *, block: int = BLOCK_BARS, say: Say = lambda _: None
) -> Exported:
    """Compute every feature of a market folder block by block and write it as one row an instant and symbol.

    Parameters
    ----------
    market
        Market folder; may be larger than memory.
    out
        Parquet file to write: timestamp (UTC, the instant the row was known), symbol, a column a feature. It appears
        whole or not at all.
    every
        Distance between rows, bars.
    block
        Bars read at a time.

    Raises
    ------
    InputError
        `every` below one; what the reader refuses.
    MargincastError
        The file cannot be written.
    """
    if every < 1:
        raise InputError("must be at least one bar", column="every", value=every)
    blocks = market_blocks(market, block)
    first = next(blocks)
    choice = choose(first)
    features = FeatureSet(choice.steps)
    live, counted = features.live(first.symbols), _Counted(features.names)
    with _written(out) as write:
        for number, table in enumerate(chain([first], blocks)):
            frame = live.run(table, _wanted(counted.bars, len(table), every))
            counted.add(frame, table)
            write(frame)
            if number % SAID_EVERY == 0:
                say(f"{str(table.times[-1])[:10]}: {counted.rows:,} rows")
    return counted.exported(out, live, dict(choice.left_out), _told_of(market, first))


def _told_of(market: Path, table: BarTable) -> list[str]:
    other = unread_files(market)
    notes = [f"not a table of a market folder, not read: {', '.join(other)}"] if other else []
    return notes if "mark_close" in table.columns else [*notes, "no mark table: marks are last prices"]


def _wanted(done: int, bars: int, every: int) -> IntArray:
    """Rows of a block such that rows of the whole market stand `every` bars apart, the first after bar `every`."""
    rows: IntArray = np.arange(1, bars + 1)
    chosen: IntArray = rows[(rows + done) % every == 0]
    return chosen


class _Counted:
    """Rows so far, and in how many each feature was known."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names, self.bars, self.rows = names, 0, 0
        self.known = np.zeros(len(names))
        self.missing: dict[str, int] = {}
        self.instants: list[np.datetime64] = []

    def add(self, frame: FeatureFrame, table: BarTable) -> None:
        """Count a block."""
        self.bars += len(table)
        for symbol, missing in zip(table.symbols, np.isnan(table.columns["close"]).sum(axis=0), strict=True):
            self.missing[symbol] = self.missing.get(symbol, 0) + int(missing)
        self.rows += frame.values.shape[0] * frame.values.shape[1]
        self.known += (~np.isnan(frame.values)).sum(axis=(0, 1))
        if len(frame):
            self.instants = [*self.instants[:1], frame.times[0], frame.times[-1]]

    def exported(self, out: Path | None, live: LiveFeatures, left_out: dict[str, str], notes: list[str]) -> Exported:
        """What the counting came to."""
        shares = self.known / max(self.rows, 1)
        told = tuple(vars(one) | {"inputs": list(one.inputs)} for one in live.features.declarations)
        first, last = (str(self.instants[k])[:19] if self.instants else "" for k in (0, -1))
        known = {name: float(share) for name, share in zip(self.names, shares, strict=True)}
        gaps = ", ".join(f"{symbol} {count:,}" for symbol, count in self.missing.items() if count)
        notes = [*notes, f"bars missing, before the first too: {gaps}"] if gaps else notes
        return Exported(out, live.symbols, self.rows, first, last, known, left_out, told, tuple(notes))


@contextmanager
def _written(out: Path | None) -> Iterator[Callable[[FeatureFrame], None]]:
    """A function that appends a block of features to a file, which takes its name when all is done."""
    if out is None:
        yield lambda frame: None
        return
    import pyarrow.parquet as pq

    writer: Any = None

    def write(frame: FeatureFrame) -> None:
        nonlocal writer
        table = _table(frame)
        with _writing(out):
            writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
            writer.write_table(table)

    with _writing(out):
        handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        os.close(handle)
    try:
        yield write
        with _writing(out):
            if writer is not None:
                writer.close()
            os.chmod(temporary, 0o644)
            os.replace(temporary, out)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise MargincastError(f"{out}: could not be written ({failure.strerror or failure})") from failure


def _table(frame: FeatureFrame) -> Any:
    import pyarrow as pa

    instants, symbols, features = frame.values.shape
    times = pa.array(np.repeat(frame.times, symbols)).cast(pa.timestamp("ns", "UTC"))
    names = pa.array(list(frame.symbols) * instants, pa.string())
    columns = frame.values.reshape(instants * symbols, features)
    arrays = [pa.array(np.ascontiguousarray(columns[:, place])) for place in range(features)]
    return pa.table([times, names, *arrays], ["timestamp", "symbol", *frame.names])
