"""Reading a long history from a venue page by page: no row lost or read twice, holes asked for again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray

Ask = Callable[[int, int], FloatArray]
"""Rows of a venue from a start up to, but not at, an end (milliseconds): shape (n, k), column 0 rising times."""


HOLES_ASKED = 20
"""Holes of one window that are asked for again; a venue with more of them leaves out bars without trades."""


@dataclass(frozen=True)
class Pace:
    """How far apart the rows of a history are, milliseconds.

    Parameters
    ----------
    spacing
        A bar's length; of events the longest time that usually lies between two.
    shortest
        No two rows are closer; of bars the same.
    """

    spacing: int
    shortest: int

    @property
    def regular(self) -> bool:
        """Whether rows are bars, each a spacing after the one before."""
        return self.spacing == self.shortest


def history_pages(
    ask: Ask, since: int, until: int, pace: Pace, most: int, *, ahead: bool = True
) -> Iterator[FloatArray]:
    """Pages of a history from `since` up to, but not at, `until`, in the order of time; together each row once.

    Parameters
    ----------
    ask
        Asks the venue. It may cut off what does not fit in a reply, at either end.
    since, until
        Milliseconds since 1970.
    pace
        How far apart rows are.
    most
        Rows that fit in one reply: the window of a page holds as many spacings.
    ahead
        Whether an empty reply to a window of any length says that all of it is empty.

    Notes
    -----
    A window with a hole (at its beginning, inside, or at its end) is asked again for the hole, until that brings
    nothing new: whatever a venue cuts off is found, and a hole that stays is the venue's. With `ahead` empty stretches,
    such as the years before a listing, are crossed in windows that double, and the first row after one is searched by
    halving; without it window by window.

    Examples
    --------
    A venue of 7 hourly bars whose replies hold the latest 2 of a window:

    >>> hours = np.arange(7.0)[:, None] * 3_600_000
    >>> def ask(start, end):
    ...     return hours[(hours[:, 0] >= start) & (hours[:, 0] < end)][-2:]
    >>> pages = history_pages(ask, 0, 7 * 3_600_000, Pace(3_600_000, 3_600_000), 4)
    >>> [(page[:, 0] / 3_600_000).tolist() for page in pages]
    [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    """
    start, width = since, pace.spacing * most
    while start < until:
        end = min(start + width, until)
        rows = whole_window(ask, start, end, pace)
        if len(rows):
            yield rows
            start = end
        else:
            start = _next_held(ask, end, until, width) if ahead else end


def whole_window(ask: Ask, start: int, end: int, pace: Pace) -> FloatArray:
    """Rows of one window; each hole in it is asked for again until that brings nothing new."""
    rows = ask(start, end)
    stayed: set[int] = set()
    while len(stayed) < HOLES_ASKED:
        hole = next((h for h in _open_parts(rows[:, 0], start, end, pace) if h[0] not in stayed), None)
        if hole is None:
            break
        again = ask(*hole)
        new = again[~np.isin(again[:, 0], rows[:, 0])]
        if not len(new):
            stayed.add(hole[0])
            continue
        rows = np.concatenate([rows, new])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return rows


def holes(times: FloatArray, spacing: float) -> list[tuple[float, float]]:
    """Neighbouring times more than one and a half spacings apart: where rows are missing between them.

    Examples
    --------
    >>> holes(np.array([0.0, 1.0, 4.0, 5.0]), 1.0)
    [(1.0, 4.0)]
    """
    wide = np.flatnonzero(np.diff(times) > 1.5 * spacing)
    return [(float(times[i]), float(times[i + 1])) for i in wide]


def usual_spacing(times: FloatArray, longest: int) -> float:
    """The shortest time between neighbours, which events of a venue keep to, at most `longest`; that of fewer than two.

    Examples
    --------
    >>> usual_spacing(np.array([0.0, 4.0, 8.0, 16.0]), 8), usual_spacing(np.array([3.0]), 8)
    (4.0, 8)
    """
    return float(min(np.diff(times).min(), longest)) if len(times) > 1 else longest


def _open_parts(times: FloatArray, start: int, end: int, pace: Pace) -> list[tuple[int, int]]:
    """Holes of a window: before its first row and after its last one, where replies are cut, then between rows."""
    if not len(times):
        return [(start, end)]
    first, last = int(times[0]), int(times[-1])
    front = [(start, first)] if first - start >= pace.shortest else []
    back = [(last + 1, end)] if end - last > pace.shortest else []
    inside = holes(times, usual_spacing(times, pace.spacing))
    return [*front, *back, *((int(before) + 1, int(after)) for before, after in inside)]


def _next_held(ask: Ask, start: int, until: int, width: int) -> int:
    """A time with nothing before it since `start`, at most `width` before the venue's next row; `until` if none."""
    reach = 2 * width
    while start < until and not len(ask(start, min(start + reach, until))):
        start, reach = start + reach, 2 * reach
    while start < until and reach > width:
        reach //= 2
        if not len(ask(start, min(start + reach, until))):
            start += reach
    return min(start, until)
