"""Steps put together: one batch over a table, or one live state that is fed bar by bar, stored and taken up again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..frame import FeatureFrame
from .bars import BarRow, BarTable
from .step import Declaration, State, Step, run_on, run_step

FORMAT = 1
ABOUT = "about"


class FeatureSet:
    """Several steps as one.

    Parameters
    ----------
    steps
        Steps; names of features must differ between them.

    Raises
    ------
    InputError
        No step, or two features of one name.

    Examples
    --------
    >>> from .expression import column
    >>> from .formula import Formula
    >>> from .program import Program
    >>> hour = np.timedelta64(1, "h")
    >>> mid = Formula("mid", (column("high") + column("low")) / 2, "Middle of the range", "quote units")
    >>> features = FeatureSet([Program([mid], hour)])
    >>> times = np.array(["2024-01-01T00"], "datetime64[ns]")
    >>> table = BarTable(times, hour, ("BTC",), {"high": np.array([[3.0]]), "low": np.array([[1.0]])})
    >>> features.batch(table).column("mid").tolist()
    [[2.0]]
    >>> live = features.live(("BTC",))
    >>> live.update(table.row(0))
    >>> live.read()["mid"].tolist()
    [2.0]
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        if not steps:
            raise InputError("a feature set needs a step")
        self.steps = tuple(steps)
        self.declarations: tuple[Declaration, ...] = tuple(one for step in steps for one in step.declarations)
        self.names = tuple(one.name for one in self.declarations)
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise InputError("two features have this name", column="name", value=twice[0])

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns the features read, in alphabetical order."""
        return tuple(sorted({name for one in self.declarations for name in one.inputs}))

    def batch(self, table: BarTable, at: IntArray | None = None) -> FeatureFrame:
        """Features at the opens of bars `at` (default: of every bar 1 .. T), see `run_step`.

        Raises
        ------
        InputError
            The table lacks a column that a feature reads.
        """
        self.require(table.columns)
        rows = np.arange(1, len(table) + 1) if at is None else np.asarray(at, np.int64)
        return self.frame(table, rows, np.concatenate([run_step(step, table, rows) for step in self.steps], axis=2))

    def frame(self, table: BarTable, rows: IntArray, values: FloatArray) -> FeatureFrame:
        """Values at these rows of a table, shape (m, n_symbols, n_features), as a frame."""
        times = table.times[0] + rows * table.step
        return FeatureFrame(times, rows, table.symbols, self.names, values)

    def live(self, symbols: Sequence[str]) -> LiveFeatures:
        """A state before the first bar, for these instruments."""
        names = tuple(symbols)
        return LiveFeatures(self, names, [step.start(names) for step in self.steps])

    def restored(self, content: bytes) -> LiveFeatures:
        """The state that `LiveFeatures.checkpoint` wrote: it goes on with the same bits.

        Raises
        ------
        InputError
            Bytes that are not a whole checkpoint, or one of other features.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            about = json.loads(arrays.pop(ABOUT).tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise InputError("is not a whole checkpoint of features") from None
        if about["format"] != FORMAT or about["names"] != list(self.names):
            raise InputError("is a checkpoint of other features", column="names", value=len(about["names"]))
        symbols = tuple(about["symbols"])
        states = [step.start(symbols) for step in self.steps]
        for number, state in enumerate(states):
            for name in state:
                state[name] = _same_kind(arrays, f"{number}/{name}", state[name])
        closed = None if about["closed"] is None else np.datetime64(about["closed"], "ns")
        return LiveFeatures(self, symbols, states, closed)

    def require(self, columns: Mapping[str, object]) -> None:
        """Raise InputError unless every column that a feature reads is there."""
        lacking = [name for name in self.inputs if name not in columns]
        if lacking:
            users = [one.name for one in self.declarations if lacking[0] in one.inputs]
            raise InputError(f"the bars lack it; {users[0]} reads it", column=lacking[0])


def _same_kind(arrays: Mapping[str, np.ndarray], name: str, fresh: np.ndarray) -> np.ndarray:
    if name not in arrays or arrays[name].dtype != fresh.dtype or arrays[name].ndim != fresh.ndim:
        raise InputError("is a checkpoint of other features", column=name)
    return arrays[name]


class LiveFeatures:
    """Features of a running market: the state of every step of a `FeatureSet`.

    Parameters
    ----------
    features
        The steps.
    symbols
        Instruments, in the order of each row's columns.
    states
        One for each step.
    closed
        Close of the last bar taken in; None before the first.
    """

    def __init__(
        self,
        features: FeatureSet,
        symbols: tuple[str, ...],
        states: list[State],
        closed: np.datetime64 | None = None,
    ) -> None:
        self.features, self.symbols, self.closed = features, symbols, closed
        self._states = states

    def update(self, row: BarRow) -> None:
        """Take in the bar that follows; a missing one comes as a row of NaN, see `feed.BarFeed`.

        Raises
        ------
        InputError
            The bar does not open where the last one closed. Nothing has been taken in then.
        """
        if self.closed is not None and row.opened != self.closed:
            expected = f"a bar must open where the last one closed, at {self.closed}"
            raise InputError(expected, column="opened", value=str(row.opened))
        for step, state in zip(self.features.steps, self._states, strict=True):
            step.update(state, row)
        self.closed = row.closed

    def values(self) -> FloatArray:
        """All features as now known, shape (n_symbols, n_features), in the order of `features.names`."""
        read = [step.read(state) for step, state in zip(self.features.steps, self._states, strict=True)]
        return np.concatenate(read, axis=1)

    def read(self) -> dict[str, FloatArray]:
        """Each feature by name, shape (n_symbols,)."""
        values = self.values()
        return {name: values[:, place] for place, name in enumerate(self.features.names)}

    def run(self, table: BarTable, at: IntArray | None = None) -> FeatureFrame:
        """Take in a whole table of bars that follow what has been seen, and give features as `FeatureSet.batch` does.

        Tables one after the other give what one table of all their bars does: a market larger than memory in blocks,
        or a history before a stream begins.

        Parameters
        ----------
        table
            Bars; the first opens where the last one closed.
        at
            Rows wanted, counted from the table's first bar; default: one a bar, 1 .. T.

        Raises
        ------
        InputError
            The table has other symbols, lacks a column, or does not begin where the last bar closed. Nothing has been
            taken in then.
        """
        if table.symbols != self.symbols:
            raise InputError("the table has other symbols", column="symbols", value=", ".join(table.symbols))
        if self.closed is not None and len(table) and table.times[0] != self.closed:
            expected = f"bars must go on at {self.closed}"
            raise InputError(expected, row=0, column="times", value=str(table.times[0]))
        self.features.require(table.columns)
        rows = np.arange(1, len(table) + 1) if at is None else np.asarray(at, np.int64)
        pairs = zip(self.features.steps, self._states, strict=True)
        values = np.concatenate([run_on(step, state, table, rows) for step, state in pairs], axis=2)
        if len(table):
            self.closed = table.times[-1] + table.step
        return self.features.frame(table, rows, values)

    def checkpoint(self) -> bytes:
        """The state as bytes (an .npz file, no pickle) for `FeatureSet.restored`."""
        about = {
            "format": FORMAT,
            "names": list(self.features.names),
            "symbols": list(self.symbols),
            "closed": None if self.closed is None else str(self.closed.astype("datetime64[ns]")),
        }
        arrays = {ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}
        for number, state in enumerate(self._states):
            arrays |= {f"{number}/{name}": values for name, values in state.items()}
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        return content.getvalue()
