"""The dated rule-book files that come with margincast, and which of them is in force on a day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NamedTuple

from .errors import InputError
from .toml_section import Section, read_toml

VENUES = Path(__file__).parent / "venues"


class RuleBookFile(NamedTuple):
    """A rule-book that comes with margincast."""

    venue: str
    effective_from: dt.date
    path: Path


def list_rulebooks(model: str | None = None) -> list[RuleBookFile]:
    """Rule-books that come with margincast, by venue and date.

    Parameters
    ----------
    model
        Only those of this margin model, such as `TIERED`; None lists all.

    Examples
    --------
    >>> [book.effective_from.isoformat() for book in list_rulebooks() if book.venue == "hyperliquid"]
    ['2023-02-26', '2024-03-01', '2025-06-01']
    >>> sorted({book.venue for book in list_rulebooks("size_rates")})
    ['deribit_futures', 'paradex_perpetuals']
    """
    found = []
    for path in VENUES.glob("*_????-??-??.toml"):
        venue, _, date = path.stem.rpartition("_")
        if model is None or model == model_of(read_toml(path)):
            found.append(RuleBookFile(venue, dt.date.fromisoformat(date), path))
    return sorted(found)


def rulebook_in_force(venue: str, at: dt.date | None = None, model: str | None = None) -> RuleBookFile:
    """The file of a venue in force on a day (UTC); None takes the newest there is.

    `model` is what the caller reads: who asks for an unknown venue is told the venues of that model only.

    Raises
    ------
    InputError
        An unknown venue, or a day before its first rule-book.

    Examples
    --------
    >>> rulebook_in_force("hyperliquid", dt.date(2024, 12, 24)).effective_from.isoformat()
    '2024-03-01'
    """
    dated = [book for book in list_rulebooks() if book.venue == venue]
    if not dated:
        known = ", ".join(sorted({book.venue for book in list_rulebooks(model)}))
        raise InputError(f"unknown venue; there are rule-books for {known}", column="venue", value=venue)
    day = at.date() if isinstance(at, dt.datetime) else at
    in_force = [book for book in dated if day is None or book.effective_from <= day]
    if not in_force:
        problem = f"is before the first {venue} rule-book, of {dated[0].effective_from}"
        raise InputError(problem, column="at", value=str(day))
    return in_force[-1]


TIERED = "tiered"
"""The model of a rule-book file that does not name one: rate schedules on notional."""


def model_of(top: Section) -> str:
    """The margin model a rule-book file names, tiered if it names none."""
    return top.get("model", str) if "model" in top.values else TIERED


def read_dated(path: str | Path, model: str, *keys: str) -> tuple[Section, str, dt.date]:
    """A rule-book file of one margin model as a section that may hold `keys`, with its venue and first day.

    Raises
    ------
    InputError
        A file that cannot be read or is of another model, an unknown key, a venue or first day that is missing.
    """
    top = read_toml(path)
    found = model_of(top)
    if found != model:
        raise top.error(f"the rules asked for are of the model {model}", "model", found)
    top.allow("venue", "effective_from", "model", "note", *keys)
    return top, top.get("venue", str), top.get("effective_from", dt.date)
