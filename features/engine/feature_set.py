"""Steps put together: one batch over a table, or one live state that is fed bar by bar, stored and taken up again."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..frame import FeatureFrame
from .bars import BarRow, BarTable, require_symbols
from .fingerprint import fingerprint
from .step import Declaration, State, Step, require_rows, run_on, run_step

FORMAT = 2
ABOUT = "about"
DIGEST = 32
"""Bytes of SHA-256 at the end of a checkpoint."""


class FeatureSet:
    """Several steps as one.

    Parameters
    ----------
    steps
        Steps; names of features must differ between them.

    Attributes
    ----------
    declarations : tuple of Declaration
        Of every feature, in the order of its values.
    names, inputs : tuple of str
        Features; columns they read, in alphabetical order.

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
        self.inputs = tuple(sorted({name for one in self.declarations for name in one.inputs}))
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise InputError("two features have this name", column="name", value=twice[0])

    def batch(self, table: BarTable, at: IntArray | None = None) -> FeatureFrame:
        """Features at the opens of bars `at` (default: of every bar 1 .. T), see `run_step`.

        Raises
        ------
        InputError
            The table lacks a column that a feature reads; rows that do not rise or that it does not have.
        """
        self.require(table.columns)
        rows = np.arange(1, len(table) + 1) if at is None else np.asarray(at, np.int64)
        return self.frame(table, rows, np.concatenate([run_step(step, table, rows) for step in self.steps], axis=2))

    def frame(self, table: BarTable, rows: IntArray, values: FloatArray) -> FeatureFrame:
        """Values at these rows of a table, shape (m, n_symbols, n_features), as a frame."""
        if not len(table) and len(rows):
            raise InputError("the table has no bar, so no row has a time", column="at", value=int(rows[0]))
        times = np.append(table.times, table.times[-1:] + table.step)[rows]
        return FeatureFrame(times, rows, table.symbols, self.names, values)

    def live(self, symbols: Sequence[str]) -> LiveFeatures:
        """A state before the first bar, for these instruments."""
        names = tuple(symbols)
        require_symbols(names)
        return LiveFeatures(self, names, [step.start(names) for step in self.steps])

    def restored(self, content: bytes) -> LiveFeatures:
        """The state that `LiveFeatures.checkpoint` wrote: it goes on with the same bits.

        Raises
        ------
        InputError
            Bytes that are not a whole checkpoint, or one of other features: of other names, windows or formulas.
        """
        stored, digest = content[:-DIGEST], content[-DIGEST:]
        if hashlib.sha256(stored).digest() != digest:
            raise InputError("is not a whole checkpoint of features")
        with np.load(io.BytesIO(stored), allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
        about = json.loads(arrays.pop(ABOUT).tobytes())
        if about["format"] != FORMAT:
            raise InputError(f"is a checkpoint of another format than {FORMAT}", column="format", value=about["format"])
        if about["names"] != list(self.names):
            strange = sorted(set(about["names"]) ^ set(self.names))
            raise InputError("is a checkpoint of other features", column="names", value=", ".join(strange[:3]))
        if about["fingerprint"] != fingerprint(self.steps):
            raise InputError("is a checkpoint of other features: these names, but other formulas or parameters")
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
    if name not in arrays or arrays[name].dtype != fresh.dtype or arrays[name].shape != fresh.shape:
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
        self._states, self._whole = states, True

    def update(self, row: BarRow) -> None:
        """Take in the bar that follows; a missing one comes as a row of NaN, see `feed.BarFeed`.

        Raises
        ------
        InputError
            The bar does not open where the last one closed, lacks a column, or is of another number of symbols. Nothing
            has been taken in then.
        """
        self._require_row(row)
        with self._changing():
            for step, state in zip(self.features.steps, self._states, strict=True):
                step.update(state, row)
        self.closed = row.closed

    def _require_row(self, row: BarRow) -> None:
        if self.closed is not None and row.opened != self.closed:
            problem = f"a bar must open where the last one closed, at {self.closed}"
            raise InputError(problem, column="opened", value=str(row.opened))
        if not row.closed > row.opened:
            raise InputError("a bar must close after it opens", column="closed", value=str(row.closed))
        self.features.require(row.values)
        expected = (len(self.symbols),)
        for name in self.features.inputs:
            if (found := row.values[name].shape) != expected:
                raise InputError(f"has shape {found}, expected {expected}", column=name)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A step that fails half-way leaves a state of no bar: it is neither read, nor stored, nor gone on with."""
        self._require_whole()
        self._whole = False
        yield
        self._whole = True

    def _require_whole(self) -> None:
        if not self._whole:
            raise InputError("a step failed in the middle of a bar: go on from the last checkpoint")

    def values(self) -> FloatArray:
        """All features as now known, shape (n_symbols, n_features), in the order of `features.names`."""
        self._require_whole()
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
            The table has other symbols, lacks a column or a row asked for, or does not begin where the last bar closed.
            Nothing has been taken in then.
        """
        if table.symbols != self.symbols:
            raise InputError("the table has other symbols", column="symbols", value=", ".join(table.symbols))
        if self.closed is not None and len(table) and table.times[0] != self.closed:
            expected = f"bars must go on at {self.closed}"
            raise InputError(expected, row=0, column="times", value=str(table.times[0]))
        self.features.require(table.columns)
        rows = np.arange(1, len(table) + 1) if at is None else np.asarray(at, np.int64)
        require_rows(rows, len(table))
        with self._changing():
            pairs = zip(self.features.steps, self._states, strict=True)
            values = np.concatenate([run_on(step, state, table, rows) for step, state in pairs], axis=2)
        if len(table):
            self.closed = table.times[-1] + table.step
        return self.features.frame(table, rows, values)

    def checkpoint(self) -> bytes:
        """The state as bytes (an .npz file, no pickle, then its SHA-256) for `FeatureSet.restored`."""
        self._require_whole()
        about = {
            "format": FORMAT,
            "names": list(self.features.names),
            "fingerprint": fingerprint(self.features.steps),
            "symbols": list(self.symbols),
            "closed": None if self.closed is None else str(self.closed.astype("datetime64[ns]")),
        }
        arrays = {ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}
        for number, state in enumerate(self._states):
            arrays |= {f"{number}/{name}": values for name, values in state.items()}
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        return content.getvalue() + hashlib.sha256(content.getvalue()).digest()
