"""Rule-books of unified accounts as dated TOML files: `model = "unified"`."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path

from .dated_files import read_dated, rulebook_in_force
from .errors import InputError
from .rulebook import RateSchedule, RuleBook
from .rulebook_file import haircuts_of, in_unit, load_rulebook, schedule_of_rows, schedules_of
from .toml_section import Section, located, replace_values
from .unified_margin import StatusBands, UnifiedRules

MODEL = "unified"
SECTIONS = {
    "bands": ("warned", "reduce_only", "liquidation", "bankrupt"),
    "haircuts": ("unit", "assets"),
    "tiers": ("kind", "unit", "tables"),
    "loans": ("kind", "unit", "borrowed", "tables", "other"),
    "fees": ("taker", "closing"),
}
"""Sections of a file of unified-account rules and their keys; each also has `source` and `date`."""


def load_unified(venue: str, at: dt.date | None = None, contracts: Sequence[RuleBook] | None = None) -> UnifiedRules:
    """The unified-account rules of a venue in force on a day.

    Parameters
    ----------
    venue
        Name of the venue, as in `list_rulebooks`.
    at
        The day (UTC); None takes the newest rules there are.
    contracts
        Rule-books whose tiers the contracts have; None: those the file names, in force on the same day.

    Raises
    ------
    InputError
        An unknown venue, or a day before its first rule-book or the first of its contracts.

    Examples
    --------
    >>> load_unified("binance_portfolio").bands.liquidation
    1.05
    >>> load_unified("binance_portfolio", dt.date(2022, 6, 1), []).bands.liquidation
    1.2
    """
    return read_unified(rulebook_in_force(venue, at, MODEL).path, at, contracts)


def read_unified(
    path: str | Path, at: dt.date | None = None, contracts: Sequence[RuleBook] | None = None
) -> UnifiedRules:
    """Read and check a file of unified-account rules; docs/rulebooks.md describes the format.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong; a contract with two tier tables.
    """
    top, venue, effective_from = read_dated(path, MODEL, "base", "contracts", *SECTIONS)
    named = _names(top) if contracts is None else ()
    books = [load_rulebook(name, at) for name in named] if contracts is None else list(contracts)
    parts = {name: top.sourced(name, *keys) for name, keys in SECTIONS.items() if name in top.values or name == "bands"}
    loans, fees = parts.get("loans"), parts.get("fees")
    with located(top):
        return UnifiedRules(
            venue=venue,
            effective_from=effective_from,
            contracts=_contracts(top, parts, books, venue, effective_from),
            bands=_bands(parts["bands"]),
            loans={} if loans is None or "tables" not in loans.values else schedules_of(loans)[0],
            other_loans=_other_loans(loans),
            borrowed="equity" if loans is None else loans.get("borrowed", str),  # type: ignore[arg-type]  # checked there
            taker_fee=_optional(fees, "taker"),
            sources={name: part.told for name, part in parts.items()},
        )


def _names(top: Section) -> list[str]:
    names = top.get("contracts", list) if "contracts" in top.values else []
    for name in names:
        if not isinstance(name, str):
            raise top.error("must be names of venues", "contracts", name)
    return names


def _contracts(
    top: Section, parts: dict[str, Section], books: list[RuleBook], venue: str, effective_from: dt.date
) -> RuleBook:
    schedules, aliases = schedules_of(parts["tiers"]) if "tiers" in parts else ({}, {})
    sources: dict[str, str] = {}
    for book in books:
        twice = sorted({*book.schedules, *book.aliases} & {*schedules, *aliases})
        if twice:
            raise top.error("has two tier tables", "contracts", twice[0])
        schedules, aliases = {**schedules, **book.schedules}, {**aliases, **book.aliases}
        sources |= {f"{book.venue} {name}": told for name, told in book.sources.items()}
    return RuleBook(
        venue=venue,
        effective_from=effective_from,
        schedules=schedules,
        haircuts=haircuts_of(parts["haircuts"]) if "haircuts" in parts else {},
        base=top.get("base", str),
        aliases=aliases,
        strict_trigger=False,
        closing_fee=_optional(parts.get("fees"), "closing"),
        sources=sources | {name: part.told for name, part in parts.items()},
    )


def _bands(bands: Section) -> StatusBands:
    reduce_only = bands.get("reduce_only", float) if "reduce_only" in bands.values else None
    with located(bands):
        return StatusBands(
            bands.get("warned", float), reduce_only, bands.get("liquidation", float), _optional(bands, "bankrupt")
        )


def _optional(section: Section | None, key: str) -> float:
    return section.get(key, float) if section is not None and key in section.values else 0.0


def _other_loans(loans: Section | None) -> RateSchedule | None:
    if loans is None or "other" not in loans.values:
        return None
    rows = replace_values(Section(loans.file, "loans other", {}), {"rows": loans.get("other", list)})
    schedule = schedule_of_rows(rows, loans.get("kind", str))
    if "unit" in loans.values and len(schedule.floors) > 1:
        raise InputError("is for any asset, so it has one tier", file=loans.file, column="loans other")
    return in_unit(schedule, loans) if math.isfinite(schedule.limit) else schedule
