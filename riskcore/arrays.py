"""Array types of the public signatures, and the checks every value object makes on its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TimeArray = NDArray[np.datetime64]
NameArray = NDArray[np.str_]
ScalarT = TypeVar("ScalarT", bound=np.generic)


@overload
def frozen(values: ArrayLike, dtype: type[ScalarT]) -> NDArray[ScalarT]: ...
@overload
def frozen(values: ArrayLike, dtype: str) -> NDArray[np.generic]: ...
def frozen(values: ArrayLike, dtype: type[np.generic] | str) -> NDArray[np.generic]:
    """Contiguous read-only copy of `values`; a caller's later writes do not reach it."""
    array = np.array(values, dtype=dtype, order="C", copy=True)
    array.setflags(write=False)
    return array


def require(ok: BoolArray, values: NDArray[np.generic], problem: str, column: str) -> None:
    """Raise InputError naming the first row where `ok` is false."""
    if not ok.all():
        row = int(np.flatnonzero(~ok)[0])
        raise InputError(problem, row=row, column=column, value=values[row].item())


def group_sums(group: IntArray, values: FloatArray, groups: int) -> FloatArray:
    """Sum of the values of each group 0 .. groups - 1, added in the order given.

    Examples
    --------
    >>> group_sums(np.array([0, 2, 0]), np.array([1.0, 5.0, 2.0]), 3).tolist()
    [3.0, 0.0, 5.0]
    """
    return np.asarray(np.bincount(group, weights=values, minlength=groups), dtype=np.float64)


def require_pointers(pointers: IntArray, rows: int, entries: int, column: str) -> None:
    """Check a CSR pointer array: `rows + 1` non-falling offsets from 0 to `entries`."""
    if len(pointers) != rows + 1 or pointers[0] != 0 or pointers[-1] != entries or (np.diff(pointers) < 0).any():
        raise InputError(f"is not a CSR pointer over {rows} rows and {entries} entries", column=column)


def positions_of(names: Sequence[str], wanted: Sequence[str], column: str) -> IntArray:
    """Position of each wanted name among `names`; an unknown one raises InputError with its row.

    Examples
    --------
    >>> positions_of(("BTC", "ETH"), ["ETH", "BTC", "ETH"], "symbol").tolist()
    [1, 0, 1]
    """
    place = {name: i for i, name in enumerate(names)}
    out = np.empty(len(wanted), dtype=np.int64)
    for row, name in enumerate(wanted):
        if name not in place:
            problem = f"unknown {column}; known are {_shortened(names)}"
            raise InputError(problem, row=row, column=column, value=str(name))
        out[row] = place[name]
    return out


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
