"""Some features of a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from .bars import BarRow, BarTable
from .fingerprint import fingerprint
from .step import Declaration, State, Step, run_on


class Selected:
    """A step of which only some features are kept, in the order asked for.

    Parameters
    ----------
    step
        The step.
    names
        Features to keep.

    Raises
    ------
    InputError
        A name that is not one of the step's features.
    """

    def __init__(self, step: Step, names: Sequence[str]) -> None:
        known = [one.name for one in step.declarations]
        strange = [name for name in names if name not in known]
        if strange:
            raise InputError("is not a feature of this step", column="name", value=strange[0])
        self._step, self._places = step, np.array([known.index(name) for name in names], np.int64)
        self.declarations: tuple[Declaration, ...] = tuple(step.declarations[place] for place in self._places)
        self.fingerprint = fingerprint([step])

    def start(self, symbols: tuple[str, ...]) -> State:
        """State of the whole step."""
        return self._step.start(symbols)

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        self._step.update(state, row)

    def read(self, state: State) -> FloatArray:
        """The kept features as now known."""
        return self._step.read(state)[:, self._places]

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """Go on from a state, see `run_on`: in blocks where the step does so."""
        return run_on(self._step, state, table, at)[:, :, self._places]
