"""Steps written as kernels over blocks of consecutive bars: a stream brings blocks of one bar, a table longer ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow, BarTable
from ..engine.step import Declaration, State


@dataclass(frozen=True)
class Block:
    """Some consecutive closed bars.

    Parameters
    ----------
    closed
        Closes of the bars, nanoseconds since 1970 UTC, shape (rows,).
    columns
        By name, each (rows, n_symbols) float64 and C-contiguous.
    """

    closed: IntArray
    columns: Mapping[str, FloatArray]

    def __getitem__(self, column: str) -> FloatArray:
        return self.columns[column]


class BlockStep(ABC):
    """A step (see `engine.step`) that takes in whole blocks of bars; what it makes of them does not depend on the cut.

    `update` is `advance` by one bar and `run` is `advance` from one wanted row to the next, so that batch and stream
    run the same compiled code on the same state.
    """

    @property
    @abstractmethod
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Columns of bars that `advance` reads."""

    @abstractmethod
    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar, for these instruments."""

    @abstractmethod
    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""

    @abstractmethod
    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, len(declarations))."""

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        closed = np.array([row.closed], "datetime64[ns]").view(np.int64)
        self.advance(state, Block(closed, {name: _one_row(row, name) for name in self.inputs}))

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """Go on from a state over a table, see `run_on`, which asks for the row after the last bar too.

        Raises
        ------
        InputError
            A table without one of the columns.
        """
        for name in self.inputs:
            if name not in table.columns:
                raise InputError("the bars lack a column that a feature reads", column=name)
        closed, done = (table.times + table.step).view(np.int64), 0
        out = np.full((len(at), len(table.symbols), len(self.declarations)), np.nan)
        for place, bar in enumerate(at.tolist()):
            if bar > done:
                columns = {name: table.columns[name][done:bar] for name in self.inputs}
                self.advance(state, Block(closed[done:bar], columns))
                done = bar
            out[place] = self.read(state)
        return out


class HalfLifeStep(BlockStep):
    """A block step whose weights halve every `half_life_hours`: the fields it needs and their check.

    Raises
    ------
    InputError
        A bar without length, or a half-life shorter than two bars.
    """

    bar_hours: float
    half_life_hours: float

    def __post_init__(self) -> None:
        bars_of(self.half_life_hours, self.bar_hours, "half_life_hours")

    @property
    def half_life(self) -> float:
        """Half-life in bars."""
        return self.half_life_hours / self.bar_hours


def _one_row(row: BarRow, name: str) -> FloatArray:
    return np.ascontiguousarray(row[name], np.float64)[None, :]


def bars_of(hours: float, bar_hours: float, column: str) -> float:
    """Length of a window or half-life in bars.

    Raises
    ------
    InputError
        A bar without length, or a window shorter than two bars.

    Examples
    --------
    >>> bars_of(72.0, 0.5, "half_life_hours")
    144.0
    """
    if not 0.0 < bar_hours < np.inf:
        raise InputError("must be a positive number of hours", column="bar_hours", value=bar_hours)
    bars = hours / bar_hours
    if not 2.0 <= bars < np.inf:
        raise InputError(f"must hold two bars of {bar_hours:g} h", column=column, value=hours)
    return bars


def span(hours: float) -> str:
    """Hours as names of features give them: whole days from a week on.

    Examples
    --------
    >>> span(72.0), span(720.0), span(168.0), span(1.5)
    ('72h', '30d', '7d', '1.5h')
    """
    whole_days = hours % 24.0 == 0.0 and hours >= 168.0
    return f"{hours / 24.0:g}d" if whole_days else f"{hours:g}h"
