"""Merging pieces of a table into time order with no more of them in memory than overlap in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...riskcore.arrays import IntArray


@dataclass(frozen=True)
class Piece:
    """Rows that are read at once, in any order.

    Parameters
    ----------
    first
        No row of it is earlier, nanoseconds since 1970.
    read
        Reads it: a frame with the column timestamp (UTC, ns).
    """

    first: int
    read: Callable[[], pd.DataFrame]


def stamps_of(frame: pd.DataFrame) -> IntArray:
    """The column timestamp (UTC, ns) as nanoseconds since 1970, in the order of the rows."""
    stamps: IntArray = frame["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ns]").view(np.int64)
    return stamps


def in_time_order(pieces: Iterable[Piece], by: Sequence[str], batch_rows: float) -> Iterator[pd.DataFrame]:
    """Yield the rows of all pieces sorted by time, in frames of about `batch_rows` rows that keep the pieces' index.

    Rows of one instant stay in one frame. In memory are at any time the pieces that overlap in time, and two batches.

    Parameters
    ----------
    pieces
        The pieces, in any order.
    by
        Columns to sort by, timestamp first; rows they do not tell apart are sorted by index.
    batch_rows
        Rows to gather before a frame is yielded; infinite for one frame.
    """
    waiting = sorted(pieces, key=lambda piece: piece.first)
    ends: list[int | None] = [piece.first for piece in waiting[1:]]
    held: list[pd.DataFrame] = []
    wanted = batch_rows
    for piece, end in zip(waiting, [*ends, None], strict=False):
        held.append(piece.read())
        if end is None or sum(map(len, held)) >= wanted:
            known, rest = _split(held, by, end)
            held, wanted = [rest], len(rest) + batch_rows
            if len(known):
                yield known


def _split(held: list[pd.DataFrame], by: Sequence[str], end: int | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All rows sorted, up to the instant from which on others may still come, and the rest."""
    merged = pd.concat(held).sort_index(kind="stable").sort_values(list(by), kind="stable")
    cut = len(merged) if end is None else int(np.searchsorted(stamps_of(merged), end))
    return merged.iloc[:cut], merged.iloc[cut:].copy()
