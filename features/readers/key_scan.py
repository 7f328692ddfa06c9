"""A pass over the keys of a table that is too large to be held: its order, symbols, spacing and grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray, IntArray
from ...riskcore.errors import InputError
from .grid import BarGrid
from .schemas import SERIES
from .table_streams import TableStream
from .time_merge import stamps_of

NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class _Keys:
    """A piece of the keys: timestamps, the time since the row before of the symbol, and whether there is one."""

    frame: pd.DataFrame
    stamps: IntArray
    steps: IntArray
    follows: BoolArray


@dataclass
class KeyScan:
    """What a pass over the keys of a table found.

    Parameters
    ----------
    symbols
        All symbols.
    inside
        Those with a row on the bars that were asked for.
    steps
        How often each time between rows of a symbol occurs, nanoseconds.
    levels
        Values of level_bps, of a depth table.
    first, last
        Earliest and latest timestamp, nanoseconds since 1970.
    """

    symbols: set[str] = field(default_factory=set)
    inside: set[str] = field(default_factory=set)
    steps: Counter[int] = field(default_factory=Counter)
    levels: set[float] = field(default_factory=set)
    first: int = np.iinfo(np.int64).max
    last: int = np.iinfo(np.int64).min

    def usual_step(self) -> int:
        """The commonest positive step, the shorter of equals; 0 where there is none."""
        return max(sorted(self.steps), key=self.steps.__getitem__, default=0)


def scan_keys(stream: TableStream, grid: BarGrid | None = None, *, may_repeat: bool = False) -> KeyScan:
    """Pass over the keys of a table.

    Parameters
    ----------
    stream
        The table.
    grid
        Bars on which to look for symbols.
    may_repeat
        Whether a symbol may have several rows at one instant.

    Raises
    ------
    InputError
        No rows; a symbol's timestamps that do not rise.
    """
    found = KeyScan()
    for keys in _keys(stream, "level_bps"):
        _require_rising(keys, stream.file, may_repeat)
        frame, stamps = keys.frame, keys.stamps
        found.symbols.update(frame["symbol"].unique())
        values, counts = np.unique(keys.steps[keys.steps > 0], return_counts=True)
        found.steps.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        found.first, found.last = min(found.first, int(stamps.min())), max(found.last, int(stamps.max()))
        if grid is not None:
            found.inside.update(frame["symbol"][(grid.bar_of(stamps) >= 0) & (grid.bar_of(stamps) < grid.bars)])
        if "level_bps" in frame:
            found.levels.update(frame["level_bps"].astype(np.float64).unique())
    if not found.symbols:
        raise InputError(f"the {stream.name} table has no rows", file=stream.file)
    return found


def scan_grid(stream: TableStream, step: int) -> BarGrid:
    """The grid that most bars of a table stand on, as `grid_of` finds it; `step` 0: there are no two of a symbol.

    Raises
    ------
    InputError
        No two bars of any symbol.
    """
    if step == 0:
        raise InputError("needs two bars of a symbol to know their length", file=stream.file, column="timestamp")
    spans: dict[int, tuple[int, int, int]] = {}
    for frame in stream.keys():
        stamps = stamps_of(frame)
        for phase in np.unique(stamps % step).tolist():
            own = stamps[stamps % step == phase]
            count, first, last = spans.get(phase, (0, int(own[0]), int(own[0])))
            spans[phase] = count + len(own), min(first, int(own.min())), max(last, int(own.max()))
    phase = max(sorted(spans), key=lambda one: spans[one][0])
    _, first, last = spans[phase]
    return BarGrid(first, step, (last - first) // step + 1)


def require_bars(stream: TableStream, grid: BarGrid, max_gap: int) -> None:
    """Raise InputError for a bar off the grid, or before which more than `max_gap` bars of its symbol are missing."""
    for keys in _keys(stream):
        off = (keys.stamps - grid.start) % grid.step != 0
        if off.any():
            raise _at(keys.frame, off, f"is off the grid of {grid.step / 60e9:g} min bars", stream.file)
        missing = keys.steps // grid.step - 1
        if (missing > max_gap).any():
            row = int((missing > max_gap).argmax())
            gap = f"{int(missing[row])} bars of {keys.frame['symbol'].iloc[row]} are missing before this row"
            raise _at(keys.frame, missing > max_gap, f"{gap}, more than {max_gap}", stream.file)


def _keys(stream: TableStream, *columns: str) -> Iterator[_Keys]:
    last: dict[str, int] = {}
    for frame in stream.keys("symbol", *columns):
        if "symbol" not in frame:
            if not stream.name.startswith(SERIES):
                raise InputError(f"is missing; the {stream.name} table needs it", file=stream.file, column="symbol")
            frame = frame.assign(symbol="")
        stamps = stamps_of(frame)
        own = pd.Series(stamps, index=frame.index).groupby(frame["symbol"])
        before = own.shift(1, fill_value=NEVER).to_numpy(np.int64, copy=True)
        first = before == NEVER
        before[first] = [last.get(symbol, NEVER) for symbol in frame["symbol"][first]]
        last.update((str(symbol), int(stamp)) for symbol, stamp in own.last().items())
        follows = before != NEVER
        yield _Keys(frame, stamps, np.where(follows, stamps - np.where(follows, before, 0), 0), follows)


def _require_rising(keys: _Keys, file: str, may_repeat: bool) -> None:
    twice = keys.follows & (keys.steps == 0)
    if not may_repeat and twice.any():
        raise _at(keys.frame, twice, "timestamp and symbol stand there twice", file)
    if (keys.steps < 0).any():
        raise _at(keys.frame, keys.steps < 0, "timestamps of a symbol must rise", file)


def _at(frame: pd.DataFrame, wrong: BoolArray, problem: str, file: str) -> InputError:
    row = int(wrong.argmax())
    value = str(frame["timestamp"].iloc[row])
    return InputError(problem, file=file, row=int(frame.index[row]), column="timestamp", value=value)
