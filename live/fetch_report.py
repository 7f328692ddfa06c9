"""What a run of `fetch` brought: rows new and known, and the gaps that are the venue's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..riskcore.arrays import FloatArray
from .paging import Pace, holes


@dataclass(frozen=True)
class Gap:
    """A stretch in which the venue has no rows: the rows around it, milliseconds, and how many are missing."""

    after: int
    before: int
    missing: int


@dataclass(frozen=True)
class Fetched:
    """One table of one symbol.

    Parameters
    ----------
    table, symbol
        As the user asked for it, and as it is stored.
    new, duplicates
        Rows added to the store, and rows that it had already or that came twice.
    gaps
        Of the whole range asked for, whether stored now or before.
    first, last
        Of the rows that the store now holds in that range, milliseconds; None where there are none.
    notes
        What has to be said besides: an endpoint the venue lacks, a start it does not go back to.
    """

    table: str
    symbol: str
    new: int = 0
    duplicates: int = 0
    gaps: tuple[Gap, ...] = ()
    first: int | None = None
    last: int | None = None
    notes: tuple[str, ...] = ()

    def noted(self, *notes: str) -> Fetched:
        """The same with more to be said."""
        return replace(self, notes=(*self.notes, *notes))

    def covering(self, first: int, last: int, gaps: tuple[Gap, ...]) -> Fetched:
        """The same with the rows that the store now holds of the range."""
        return replace(self, first=first, last=last, gaps=gaps)


@dataclass(frozen=True)
class FetchReport:
    """All tables of a run, in the order they were fetched, and where they are."""

    venue: str
    folder: str
    rows: tuple[Fetched, ...]
    notes: tuple[str, ...] = ()


def gaps_of(times: FloatArray, pace: Pace) -> tuple[Gap, ...]:
    """Gaps between neighbouring rows.

    Parameters
    ----------
    times
        Rising, milliseconds.
    pace
        How far apart rows are. Events keep an interval that may change (funding every eight hours, later every four):
        a gap is then a step more than one and a half times the longer of the steps beside it; at either end, where one
        of them is not known, it counts as the longest there is.

    Examples
    --------
    >>> gaps_of(np.array([0.0, 1.0, 4.0]), Pace(1, 1))
    (Gap(after=1, before=4, missing=2),)
    >>> gaps_of(np.array([0.0, 8.0, 16.0, 20.0, 24.0, 32.0, 36.0, 40.0]), Pace(8, 1))
    (Gap(after=24, before=32, missing=1),)
    """
    if pace.regular:
        wide = [(after, before, float(pace.spacing)) for after, before in holes(times, pace.spacing)]
    else:
        steps = np.diff(times)
        around = np.r_[pace.spacing, steps, pace.spacing]
        beside = np.maximum(around[:-2], around[2:])
        wide = [(times[i], times[i + 1], beside[i]) for i in np.flatnonzero(steps > 1.5 * beside)]
    return tuple(Gap(int(after), int(before), round((before - after) / step) - 1) for after, before, step in wide)


def said_gaps(gaps: Sequence[Gap]) -> str:
    """Gaps in a few words.

    Examples
    --------
    >>> said_gaps([Gap(0, 3, 2), Gap(5, 9, 3)]), said_gaps([])
    ('2 (5 rows)', '-')
    """
    return f"{len(gaps)} ({sum(gap.missing for gap in gaps)} rows)" if gaps else "-"
