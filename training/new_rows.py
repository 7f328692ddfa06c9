"""Which rows of an append are new, which the store has already, and which contradict it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..features.readers.schemas import KEYS
from ..riskcore.arrays import BoolArray, IntArray
from ..riskcore.errors import InputError

PLAIN_KEY = ("timestamp", "symbol")


@dataclass(frozen=True)
class NewRows:
    """Rows that are not in the store yet.

    Parameters
    ----------
    frame
        The new rows, sorted by symbol and time.
    duplicates
        Rows left out: equal to a stored one, or to one above.
    unsorted
        Rows that stood below a later one of their symbol.
    notes
        What else had to be left out.
    """

    frame: pd.DataFrame
    duplicates: int
    unsorted: int
    notes: tuple[str, ...]


def new_rows(table: str, rows: pd.DataFrame, stored: pd.DataFrame, file: str) -> NewRows:
    """Tell new rows from those that are there already.

    Parameters
    ----------
    table
        Name of the table, whose key tells rows apart.
    rows
        Rows offered, checked; their index is the row position in `file`.
    stored
        All stored rows with keys that `rows` may have.
    file
        Where the rows come from, for errors.

    Raises
    ------
    InputError
        A row whose key is there with another number: names row, column, new and old value.
    """
    unsorted = _unsorted(rows)
    both = pd.concat([stored, rows], ignore_index=True) if len(stored) else rows
    first = _first_equal(table, both, len(stored))
    own = np.arange(len(both))
    again = (first != own) & (own >= len(stored))
    notes = _compared(both, first, again, len(stored), file)
    kept = rows[~again[len(stored) :]]
    by = [column for column in ("symbol", "timestamp", *KEYS.get(table, ())) if column in kept]
    return NewRows(kept.sort_values(list(dict.fromkeys(by)), kind="stable"), int(again.sum()), unsorted, notes)


def _unsorted(rows: pd.DataFrame) -> int:
    stamps = rows["timestamp"].groupby(rows["symbol"]) if "symbol" in rows else rows[["timestamp"]]
    latest = stamps.cummax() if "symbol" in rows else rows["timestamp"].cummax()
    return int((rows["timestamp"] < latest).sum())


def _first_equal(table: str, both: pd.DataFrame, stored: int) -> IntArray:
    """Position of the first row with the same key, for every row."""
    key = [column for column in KEYS.get(table, PLAIN_KEY) if column in both]
    keyed = both[key] if key else _numbered(both, stored)
    group = keyed.groupby(list(keyed), sort=False, dropna=False).ngroup().to_numpy(np.int64)
    _, first = np.unique(group, return_index=True)
    positions: IntArray = first[group].astype(np.int64)
    return positions


def _numbered(both: pd.DataFrame, stored: int) -> pd.DataFrame:
    """The rows with a number that tells equal ones apart, counted anew in the rows that come in."""
    incoming = np.arange(len(both)) >= stored
    equal = both.groupby([*(both[column] for column in both), incoming], sort=False, dropna=False)
    return both.assign(occurrence=equal.cumcount())


def _compared(both: pd.DataFrame, first: IntArray, again: BoolArray, stored: int, file: str) -> tuple[str, ...]:
    """Raise InputError where a row differs from the first with its key; say what the first lacks."""
    notes = []
    rows = np.flatnonzero(again)
    for column in both.columns if len(rows) else ():
        old, new = (both[column].iloc[where].reset_index(drop=True) for where in (first[rows], rows))
        differs = ((old != new) & old.notna() & new.notna()).to_numpy()
        if differs.any():
            place = int(np.flatnonzero(differs)[0])
            raise _conflict(both, column, int(first[rows[place]]), int(rows[place]), stored, file)
        lacking = int((old.isna() & new.notna()).sum())
        if lacking:
            notes.append(f"{lacking} of them bring a {column} that the first lacks: left out")
    return tuple(notes)


def _conflict(both: pd.DataFrame, column: str, first: int, row: int, stored: int, file: str) -> InputError:
    key = " ".join(str(both[name].iloc[row]) for name in PLAIN_KEY if name in both)
    where = "the store" if first < stored else f"row {first - stored}"
    problem = f"differs from the {_plain(both, column, first)!r} that {where} has for {key}"
    return InputError(problem, file=file, row=row - stored, column=column, value=_plain(both, column, row))


def _plain(frame: pd.DataFrame, column: str, row: int) -> object:
    value = frame[column].iloc[row]
    return getattr(value, "item", lambda: value)()
