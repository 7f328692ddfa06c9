"""From rows in any order to an option chain: sorted, what has expired or repeats left out, forwards inferred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...riskcore.arrays import BoolArray
from ...riskcore.errors import InputError
from .chain import COIN, NUMBERS, OptionChain, require_option
from .parity_forward import with_forwards

KINDS: dict[str, type[np.generic] | str] = {
    "expiry": "datetime64[ns]",
    "right": np.int8,
    **{name: np.float64 for name in NUMBERS},
    "quoted": "datetime64[ns]",
}
"""Columns of rows and their types; expiry, strike and right are needed."""


def chain_from_rows(
    underlying: str,
    time: np.datetime64,
    columns: Mapping[str, ArrayLike],
    *,
    unit: str = COIN,
    known: np.datetime64 | None = None,
) -> OptionChain:
    """A chain from its rows.

    Parameters
    ----------
    underlying, time, unit, known
        As in `OptionChain`; without `known` the chain is known at its time.
    columns
        Columns of `KINDS`, one entry a row or one for all; expiry, strike and right are needed, what else is left out
        is not known.

    Returns
    -------
    OptionChain
        Sorted. Rows at or past their expiry and exact repetitions are left out and counted; forwards that are missing
        are inferred and marked (`with_forwards`).

    Raises
    ------
    InputError
        A column that is missing or unknown; an expiry, strike or right that is none; an option that stands there twice
        with different quotes; as `OptionChain`.

    Examples
    --------
    >>> rows = {"expiry": "2024-01-02", "strike": 100.0, "right": [1, -1, 1], "mark": [0.25, 0.05, 0.25]}
    >>> chain = chain_from_rows("BTC", np.datetime64("2024-01-01"), rows)
    >>> chain.duplicates, chain.right.tolist(), chain.forward.tolist(), chain.forward_inferred.tolist()
    (1, [-1, 1], [125.0, 125.0], [True, True])
    """
    rows = _complete(columns)
    require_option(rows["expiry"], rows["strike"], rows["right"])
    live = rows["expiry"] > np.asarray(time, "datetime64[ns]")
    kept = np.flatnonzero(live)
    order = kept[np.lexsort((rows["right"][kept], rows["strike"][kept], rows["expiry"][kept]))]
    ordered = {name: values[order] for name, values in rows.items()}
    again = repeated(ordered)
    clash = np.flatnonzero(again & ~_same_as_before(ordered, tuple(ordered)))
    if len(clash):
        problem, row = "option stands there twice with different quotes", int(order[clash[0]])
        raise InputError(problem, row=row, column="strike", value=float(rows["strike"][row]))
    first = {name: values[~again] for name, values in ordered.items()}
    chain = OptionChain(
        underlying,
        time,
        time if known is None else known,
        unit,
        forward_inferred=np.zeros(len(first["strike"]), bool),
        expired=int((~live).sum()),
        duplicates=int(again.sum()),
        **first,
    )
    return with_forwards(chain)


def repeated(rows: Mapping[str, NDArray[Any]]) -> BoolArray:
    """Whether a row is of the same option as the row before; rows sorted by expiry, strike and right.

    Examples
    --------
    >>> same = {"expiry": np.array(["2024-01-02"] * 2, "datetime64[ns]"), "strike": np.ones(2), "right": np.ones(2)}
    >>> repeated(same).tolist()
    [False, True]
    """
    return _same_as_before(rows, ("expiry", "strike", "right"))


def _same_as_before(rows: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> BoolArray:
    same = np.zeros(len(rows["strike"]), bool)
    same[1:] = True
    for name in names:
        values = rows[name]
        same[1:] &= (values[1:] == values[:-1]) | ((values[1:] != values[1:]) & (values[:-1] != values[:-1]))
    return same


def _complete(columns: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    unknown = next((name for name in columns if name not in KINDS), None)
    if unknown is not None:
        raise InputError(f"is none of {', '.join(KINDS)}", column=unknown)
    missing = next((name for name in ("expiry", "strike", "right") if name not in columns), None)
    if missing is not None:
        raise InputError("is needed", column=missing)
    n = _rows(columns)
    empty = {name: "NaT" if kind == "datetime64[ns]" else np.nan for name, kind in KINDS.items()}
    return {
        name: np.broadcast_to(np.asarray(columns.get(name, empty[name]), kind), (n,)) for name, kind in KINDS.items()
    }


def _rows(columns: Mapping[str, ArrayLike]) -> int:
    lengths = {name: np.size(values) for name, values in columns.items() if np.ndim(values)}
    if not lengths:
        return 1
    n = max(lengths.values())
    short = next((name for name, length in lengths.items() if length != n), None)
    if short is not None:
        raise InputError(f"has {lengths[short]} rows, expected {n}", column=short)
    return n
