"""Features that depend on the time alone: the same for every symbol, always known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray, TimeArray
from .bars import BarRow, BarTable
from .step import Declaration, State


class TimeStep(ABC):
    """A step whose features at the close of a bar follow from that instant; NaN before the first bar."""

    declarations: ClassVar[tuple[Declaration, ...]]

    @staticmethod
    @abstractmethod
    def values(times: TimeArray) -> dict[str, FloatArray]:
        """The features by name at each instant, each of shape (m,), in the order of `declarations`."""

    def start(self, symbols: tuple[str, ...]) -> State:
        """No instant yet."""
        return {"values": np.full((len(symbols), len(self.declarations)), np.nan)}

    def update(self, state: State, row: BarRow) -> None:
        """Move to the close of a bar."""
        state["values"][:] = [values[0] for values in self.values(np.array([row.closed])).values()]

    def read(self, state: State) -> FloatArray:
        """The features, shape (n_symbols, len(declarations))."""
        return state["values"].copy()

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """All wanted rows at once."""
        out = np.repeat(state["values"][None], len(at), axis=0)
        closed = at > 0
        values = self.values(table.times[at[closed] - 1] + table.step)
        out[closed] = np.stack(list(values.values()), axis=1)[:, None, :]
        state["values"][:] = out[-1]
        return out
