"""The contract every feature keeps: declared once, fed bar by bar, the same bits in batch and in stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from .bars import BarRow, BarTable

State = dict[str, np.ndarray]
"""All a step remembers: named arrays and nothing else, so that a checkpoint is these arrays and no code."""


@dataclass(frozen=True)
class Declaration:
    """What one feature says of itself.

    Parameters
    ----------
    name
        Column name, unique among all features.
    summary
        What it is, one sentence in the field's words.
    unit
        Unit of the value, e.g. "log of volatility per hour", "fraction of the price", "share, 0 to 1".
    inputs
        Columns of `BarTable` it reads.
    lookback_hours
        How far back it looks: the length of its window, or the half-life of an exponential one; 0 for the bar alone.
    missing
        The missing-data rule: when the value is NaN and how it comes back.
    source
        Publication of the formula, empty for plain arithmetic.
    lag_hours
        How long after the bar's close the value is known; 0: with the close. Inputs that are published late come late
        themselves (see `external`), so that no feature here needs more.
    """

    name: str
    summary: str
    unit: str
    inputs: tuple[str, ...]
    lookback_hours: float
    missing: str
    source: str = ""
    lag_hours: float = 0.0


@runtime_checkable
class Step(Protocol):
    """Features that are computed together, bar by bar.

    A step holds no state of its own: `start` makes it, `update` changes it in place, `read` looks at it. What `read`
    says after bars 0 .. i - 1 is what was known at the open of bar i. The state is arrays, so that it can be stored
    after any bar and taken up again with the same bits.
    """

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        ...

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar, for these instruments."""
        ...

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        ...

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, len(declarations)); NaN by each feature's missing-data rule."""
        ...


def run_step(step: Step, table: BarTable, at: IntArray) -> FloatArray:
    """Run a step over a whole table of bars: the batch twin of feeding it bar by bar, and equal to it in every bit.

    Parameters
    ----------
    step
        The step.
    table
        Bars 0 .. T - 1.
    at
        Rows wanted, rising, of 0 .. T, shape (m,): row i is as known at the open of bar i, once bars 0 .. i - 1 have
        closed.

    Returns
    -------
    FloatArray
        Shape (m, n_symbols, len(step.declarations)).

    Raises
    ------
    InputError
        Rows that do not rise, or that the table does not have.
    """
    return run_on(step, step.start(table.symbols), table, at)


def run_on(step: Step, state: State, table: BarTable, at: IntArray) -> FloatArray:
    """Go on from a state over a table of bars that follow what it has seen; the state is then that after the last bar.

    Row i counts from the table's first bar: row 0 is what the state says before it. Otherwise as `run_step`. A step
    that has a method `run(state, table, at)` is run by that, for speed; it must give the same bits, and is asked for
    the row after the last bar too.
    """
    require_rows(at, len(table))
    run = getattr(step, "run", None)
    if run is not None:
        rows = np.append(at, len(table)) if not len(at) or at[-1] < len(table) else np.asarray(at)
        whole: FloatArray = run(state, table, rows.astype(np.int64))
        return whole[: len(at)]
    out = np.full((len(at), len(table.symbols), len(step.declarations)), np.nan)
    wanted = 0
    for bar in range(len(table) + 1):
        if wanted < len(at) and at[wanted] == bar:
            out[wanted] = step.read(state)
            wanted += 1
        if bar < len(table):
            step.update(state, table.row(bar))
    return out


def require_rows(at: IntArray, bars: int) -> None:
    """Raise InputError unless the rows rise and are among 0 .. bars."""
    rows = np.asarray(at, np.int64)
    ok = (rows >= 0) & (rows <= bars)
    ok[1:] &= np.diff(rows) > 0
    if not ok.all():
        row = int(np.argmin(ok))
        raise InputError(f"rows must rise, from 0 to {bars} at most", row=row, column="at", value=int(rows[row]))
