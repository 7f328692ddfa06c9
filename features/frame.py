"""Features as a value: what was knowable of each instrument at each of a list of times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray, TimeArray, frozen
from ..riskcore.errors import InputError


@dataclass(frozen=True)
class FeatureFrame:
    """Features of every instrument at every as-of time; NaN where a value was not knowable or had too little history.

    Parameters
    ----------
    times
        As-of times, datetime64[ns], UTC, rising, shape (m,). A row uses only bars that had closed by then.
    bars
        Position i of each row on the market's time grid: `times[row]` is the open of bar i, bars 0 .. i - 1 are known.
    symbols, names
        Instruments and features.
    values
        Shape (m, len(symbols), len(names)); made read-only, not copied.

    Raises
    ------
    InputError
        Shapes that disagree, or bars that do not rise.

    Examples
    --------
    >>> times = np.array(["2024-01-01T01", "2024-01-01T02"], "datetime64[ns]")
    >>> frame = FeatureFrame(times, [1, 2], ("BTC",), ("sigma",), np.array([[[0.1]], [[0.2]]]))
    >>> frame.column("sigma").tolist(), frame.at([2]).tolist()
    ([[0.1], [0.2]], [[[0.2]]])
    """

    times: TimeArray
    bars: IntArray
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    values: FloatArray

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "times", frozen(self.times, "datetime64[ns]"))
        set_(self, "bars", frozen(self.bars, np.int64))
        set_(self, "symbols", tuple(self.symbols))
        set_(self, "names", tuple(self.names))
        values = np.asarray(self.values, np.float64).view()
        values.setflags(write=False)
        set_(self, "values", values)
        expected = (len(self.times), len(self.symbols), len(self.names))
        if values.shape != expected or self.bars.shape != self.times.shape:
            raise InputError(f"has shape {values.shape}, expected {expected}", column="values")
        if (np.diff(self.bars) <= 0).any():
            raise InputError("bars must rise", column="bars")

    def __len__(self) -> int:
        return len(self.times)

    def column(self, name: str) -> FloatArray:
        """One feature, shape (m, n_symbols); an unknown name raises InputError."""
        if name not in self.names:
            raise InputError("is not a feature of this market", column="name", value=name)
        return self.values[:, :, self.names.index(name)]

    def rows_of(self, bars: IntArray) -> IntArray:
        """Row of each of these bars; a bar without a row raises InputError."""
        wanted = np.asarray(bars, np.int64)
        rows = np.minimum(np.searchsorted(self.bars, wanted), len(self.bars) - 1)
        strange = np.flatnonzero(self.bars[rows] != wanted)
        if len(strange):
            raise InputError(
                "has no row of features", row=int(strange[0]), column="bars", value=int(wanted[strange[0]])
            )
        return rows

    def at(self, bars: IntArray) -> FloatArray:
        """Features as known at the opens of these bars, shape (len(bars), n_symbols, n_names)."""
        return self.values[self.rows_of(bars)]
