"""Reading a long history from a venue page by page: no row lost or read twice, holes asked for again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..riskcore.arrays import FloatArray

Ask = Callable[[int, int], FloatArray]
"""Rows of a venue from a start up to, but not at, an end (milliseconds): shape (n, k), column 0 rising times."""


def history_pages(ask: Ask, since: int, until: int, spacing: int, most: int) -> Iterator[FloatArray]:
    """Pages of a history from `since` up to, but not at, `until`, in the order of time; together each row once.

    Parameters
    ----------
    ask
        Asks the venue. It may cut off what does not fit in a reply, at either end.
    since, until
        Milliseconds since 1970.
    spacing
        Time from one row to the next, milliseconds: the bar's length, or the longest interval of events.
    most
        Rows that fit in one reply, so that the window of a page holds no more bars than that.

    Notes
    -----
    A window with a hole (at its beginning, inside, or at its end) is asked again for the hole, until that brings
    nothing new: whatever a venue cuts off is found, and a hole that stays is the venue's. Empty stretches, such as the
    years before a listing, are crossed in windows that double, and the first row after one is searched by halving.

    Examples
    --------
    A venue of 7 hourly bars whose replies hold the latest 2 of a window:

    >>> hours = np.arange(7.0)[:, None] * 3_600_000
    >>> def ask(start, end):
    ...     return hours[(hours[:, 0] >= start) & (hours[:, 0] < end)][-2:]
    >>> pages = history_pages(ask, 0, 7 * 3_600_000, 3_600_000, 4)
    >>> [(page[:, 0] / 3_600_000).tolist() for page in pages]
    [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    """
    start, width = since, spacing * most
    while start < until:
        end = min(start + width, until)
        rows = whole_window(ask, start, end, spacing)
        if len(rows):
            yield rows
            start = end
        else:
            start = _next_held(ask, end, until, width)


def whole_window(ask: Ask, start: int, end: int, spacing: int) -> FloatArray:
    """Rows of one window; what is missing in it is asked for again until that brings nothing new."""
    rows = ask(start, end)
    while (hole := _missing_part(rows[:, 0], start, end, spacing)) is not None:
        again = ask(*hole)
        new = again[~np.isin(again[:, 0], rows[:, 0])]
        if not len(new):
            break
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


def _missing_part(times: FloatArray, start: int, end: int, spacing: int) -> tuple[int, int] | None:
    """From the first to the last hole of a window, or None where it has none."""
    if not len(times):
        return start, end
    apart = usual_spacing(times, spacing)
    inside = holes(times, apart)
    begins = [int(before) + 1 for before, _ in inside]
    ends = [int(after) for _, after in inside]
    if times[0] - start >= apart:
        begins, ends = [start, *begins], [int(times[0]), *ends]
    if end - times[-1] > apart:
        begins, ends = [*begins, int(times[-1]) + 1], [*ends, end]
    return (begins[0], ends[-1]) if begins else None


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
