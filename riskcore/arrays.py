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
    """Raise InputError naming the first row where `ok` is false, of a table its column too.

    Examples
    --------
    >>> table = np.array([[1.0, 2.0], [3.0, -4.0]])
    >>> require(table > 0, table, "must be positive", "depth")
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 1, column depth[1]: must be positive (found -4.0)
    """
    if not ok.all():
        row, *place = (int(k) for k in np.argwhere(~ok)[0])
        value = values[(row, *place)].item()
        raise InputError(problem, row=row, column=column + "".join(f"[{k}]" for k in place), value=value)


def require_shape(values: NDArray[np.generic], shape: tuple[int, ...], column: str) -> None:
    """Raise InputError if an array has another shape.

    Examples
    --------
    >>> require_shape(np.ones(2), (3,), "price")
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: column price: has shape (2,), expected (3,)
    """
    if values.shape != shape:
        raise InputError(f"has shape {values.shape}, expected {shape}", column=column)


def require_unique(names: Sequence[str], column: str) -> None:
    """Raise InputError for the first name that stands there before.

    Examples
    --------
    >>> require_unique(("BTC", "ETH", "BTC"), "symbols")
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 2, column symbols: is listed twice (found 'BTC')
    """
    seen: set[str] = set()
    for row, name in enumerate(names):
        if name in seen:
            raise InputError("is listed twice", row=row, column=column, value=name)
        seen.add(name)


def group_sums(group: IntArray, values: FloatArray, groups: int) -> FloatArray:
    """Sum of the values of each group 0 .. groups - 1, added in the order given.

    Examples
    --------
    >>> group_sums(np.array([0, 2, 0]), np.array([1.0, 5.0, 2.0]), 3).tolist()
    [3.0, 0.0, 5.0]
    """
    return np.asarray(np.bincount(group, weights=values, minlength=groups), dtype=np.float64)


def table_sums(row: IntArray, column: IntArray, values: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Sum of the values of each row and column of a table, added in the order given.

    Examples
    --------
    >>> table_sums(np.array([0, 1, 0]), np.array([1, 0, 1]), np.array([1.0, 5.0, 2.0]), (2, 2)).tolist()
    [[0.0, 3.0], [5.0, 0.0]]
    """
    return group_sums(row * shape[1] + column, values, shape[0] * shape[1]).reshape(shape)


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
