"""A market folder larger than memory, read as one block of bars after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray
from ...riskcore.errors import InputError
from ..engine.bars import BarTable
from .block_layers import (
    Columns,
    Layer,
    depth_bands,
    events,
    external_series,
    last_prices,
    liquidations,
    marks,
    spot_closes,
)
from .folder import BASE, MAX_GAP
from .grid import BarGrid
from .key_scan import KeyScan, require_bars, scan_grid, scan_keys
from .layout import coin_of
from .liquidation_bars import LiquidationFeed
from .schemas import SERIES
from .series import series_names
from .table_streams import TableStream, open_stream
from .time_merge import stamps_of


def market_blocks(folder: str | Path, bars_per_block: int, *, max_gap: int = MAX_GAP) -> Iterator[BarTable]:
    """Yield the bars of a market folder or store in blocks, earliest first.

    The blocks, put together, are `bar_table(read_market_folder(folder))` in every bit. In memory are at any time a
    block, and of each table the row groups that overlap in time; passes over the keys of each table come first. CSV is
    read whole.

    Parameters
    ----------
    folder
        The folder.
    bars_per_block
        Bars of a block; the last may have fewer.
    max_gap
        Longest run of missing bars of a symbol of perp, mark or spot that is still read.

    Raises
    ------
    InputError
        As `read_market_folder`; a Parquet file of which too many rows overlap in time, with what to do about it.
    """
    if bars_per_block < 1:
        raise InputError("must be at least one bar", column="bars_per_block", value=bars_per_block)
    market = _Market(Path(folder), max_gap)
    grid = market.grid
    tables = [(_Window(stream), layer, beyond) for stream, layer, beyond in market.layers()]
    for first in range(0, grid.bars, bars_per_block):
        block = BarGrid(grid.start + first * grid.step, grid.step, min(bars_per_block, grid.bars - first))
        end = block.start + block.bars * block.step
        columns: Columns = {}
        for window, layer, beyond in tables:
            columns |= layer(window.until(end + beyond), block, columns)
        yield BarTable(block.times, np.timedelta64(grid.step, "ns"), market.symbols, columns)


class _Market:
    """A folder's tables, once their keys have been looked at."""

    def __init__(self, folder: Path, max_gap: int) -> None:
        if not folder.is_dir():
            raise InputError("there is no such market folder", file=str(folder))
        perp = open_stream(folder, "perp")
        if perp is None:
            raise InputError("the market folder has no perp.parquet or perp.csv", file=str(folder))
        scan = scan_keys(perp)
        self.folder, self.max_gap, self.perp = folder, max_gap, perp
        self.grid = scan_grid(perp, scan.usual_step())
        self.symbols = tuple(sorted(scan.symbols))
        require_bars(perp, self.grid, max_gap)

    def layers(self) -> Iterator[tuple[TableStream, Layer, int]]:
        """Yield each table, how it is laid out, and how far beyond a block's end it is read, nanoseconds."""
        yield self.perp, last_prices(self.symbols), 0
        yield from self._prices()
        for name, column in (("funding", "funding_rate"), ("open_interest", "open_interest")):
            for stream, _ in self._scanned(name):
                yield stream, events(self.symbols, column, add=name == "funding"), 0
        for stream, scan in self._scanned("depth", may_repeat=True):
            yield stream, depth_bands(self.symbols, np.array(sorted(scan.levels)), stream.file), 0
        for stream, scan in self._scanned("liquidations", may_repeat=True):
            feed = LiquidationFeed(frozenset(scan.symbols), scan.first, scan.last)
            yield stream, liquidations(self.symbols, feed), 0
        for name in series_names(self.folder):
            for stream, _ in self._scanned(name):
                yield stream, external_series(self.symbols, name.removeprefix(SERIES)), 1

    def _prices(self) -> Iterator[tuple[TableStream, Layer, int]]:
        for stream, scan in self._scanned("mark"):
            require_bars(stream, self.grid, self.max_gap)
            yield stream, marks(self.symbols, self._flags(scan.symbols), self._flags(scan.inside)), 0
        for stream, scan in self._scanned("spot"):
            require_bars(stream, self.grid, self.max_gap)
            self._require_one_spot(scan, stream.file)
            yield stream, spot_closes(self.symbols, BASE), 0

    def _scanned(self, name: str, *, may_repeat: bool = False) -> Iterator[tuple[TableStream, KeyScan]]:
        stream = open_stream(self.folder, name)
        if stream is not None:
            yield stream, scan_keys(stream, self.grid, may_repeat=may_repeat)

    def _flags(self, names: set[str]) -> BoolArray:
        return np.array([symbol in names for symbol in self.symbols], np.bool_)

    def _require_one_spot(self, scan: KeyScan, file: str) -> None:
        known: dict[str, str] = {}
        for name in sorted(scan.symbols):
            coin = coin_of(name, self.symbols, BASE) or name
            if coin in known:
                raise InputError(f"is a second spot market of {coin}, beside {known[coin]}", file=file, value=name)
            known[coin] = name


class _Window:
    """The rows of a table up to one instant after another."""

    def __init__(self, stream: TableStream) -> None:
        self.batches = stream.batches()
        self.held = next(self.batches)

    def until(self, end: int) -> pd.DataFrame:
        """Rows before `end` that have not been given yet, in the order of time."""
        frames = [self.held]
        while not len(frames[-1]) or stamps_of(frames[-1])[-1] < end:
            batch = next(self.batches, None)
            if batch is None:
                break
            frames.append(batch)
        rows = pd.concat(frames) if len(frames) > 1 else frames[0]
        cut = int(np.searchsorted(stamps_of(rows), end))
        self.held = rows.iloc[cut:].copy()
        return rows.iloc[:cut]
