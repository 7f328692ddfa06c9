"""The day or month an archive file's name says, and what of it is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import IntArray
from ...riskcore.errors import InputError

STEPS = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "6h": 21_600,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
}
"""Bar lengths of archives in seconds. Bars of 3 days, a week or a month do not begin where a day or month does."""


@dataclass(frozen=True)
class Period:
    """A day (2024-03-01) or a month (2024-03), in UTC or on a clock `ahead` nanoseconds ahead of it.

    Parameters
    ----------
    text
        As it stands in the name.
    ahead
        How far the venue's clock is ahead of UTC, nanoseconds.

    Raises
    ------
    InputError
        No such day or month.

    Examples
    --------
    >>> month = Period("2024-02")
    >>> (month.end - month.start) // (86400 * 10**9), str(month.next_text), month.bars("1h")
    (29, '2024-03', 696)
    """

    text: str
    ahead: int = 0

    def __post_init__(self) -> None:
        try:
            self._date(0)
        except ValueError:
            raise InputError("is no day or month", column="period", value=self.text) from None

    @property
    def unit(self) -> str:
        """Its length: "day" or "month"."""
        return "day" if len(self.text) == 10 else "month"

    @property
    def start(self) -> int:
        """Its first instant, nanoseconds since 1970."""
        return int(self._date(0).astype("datetime64[ns]").astype(np.int64)) - self.ahead

    @property
    def end(self) -> int:
        """The first instant after it."""
        return int(self._date(1).astype("datetime64[ns]").astype(np.int64)) - self.ahead

    @property
    def next_text(self) -> str:
        """The day or month after it."""
        return str(self._date(1))

    def bars(self, interval: str) -> int:
        """How many bars of a length of `STEPS` it has."""
        return (self.end - self.start) // (STEPS[interval] * 10**9)

    def _date(self, later: int) -> np.datetime64:
        return np.datetime64(self.text) + later


def missing_bars(opened: IntArray, period: Period, interval: str) -> tuple[str, ...]:
    """Say how many of a period's bars are not among those that opened; nothing where all are."""
    expected = period.bars(interval)
    missing = expected - len(np.unique(opened))
    return (f"{missing} of the {expected} bars of {period.text} are not there",) if missing > 0 else ()


def missing_periods(texts: Iterable[str]) -> tuple[str, ...]:
    """Days (or months) that lack between the first and the last of the same length.

    Examples
    --------
    >>> missing_periods(["2024-02-28", "2024-03-02", "2024-03-01"]), missing_periods(["2023-12", "2024-01"])
    (('2024-02-29',), ())
    """
    missing = []
    for length in (7, 10):
        known = sorted({text for text in texts if len(text) == length})
        for before, after in zip(known, known[1:], strict=False):
            day = Period(before).next_text
            while day < after:
                missing.append(day)
                day = Period(day).next_text
    return tuple(missing)
