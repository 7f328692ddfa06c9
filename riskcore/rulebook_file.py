"""Rule-books as dated TOML files: reading, checking, choosing by date, and their fingerprint."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .compiled import ScheduleT
from .content_hash import content_hash
from .dated_files import TIERED, read_dated, rulebook_in_force
from .errors import InputError
from .rulebook import HaircutSchedule, RateSchedule, RuleBook
from .tier_tables import risk_limit_steps, schedule_from_tiers
from .toml_section import Section, located

GENERIC_VENUE = "generic_usdm"

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "trigger": ("strict", "warning_ratio", "reduce_only_ratio"),
    "liquidation_price": ("maintenance_at", "closing_fee"),
    "tiers": ("kind", "unit", "tables"),
    "generic": ("kind", "rows", "haircut"),
    "haircuts": ("unit", "assets"),
}
"""Sections of a rule-book file and their keys; each also has `source` and `date`."""
REQUIRED = ("trigger", "liquidation_price")


def load_rulebook(venue: str, at: dt.date | None = None) -> RuleBook:
    """The rules of a venue in force on a day.

    Parameters
    ----------
    venue
        Name of the venue, as in `list_rulebooks`.
    at
        The day (UTC); None takes the newest rules there are.

    Raises
    ------
    InputError
        An unknown venue, or a day before its first rule-book.

    Examples
    --------
    >>> rules = load_rulebook("hyperliquid", dt.date(2023, 7, 1))
    >>> rules.effective_from.isoformat(), rules.maintenance_at
    ('2023-02-26', 'mark')
    """
    return read_rulebook(rulebook_in_force(venue, at, TIERED).path)


def with_generic(rules: RuleBook) -> RuleBook:
    """The same rules, with margincast's own schedule for contracts and haircut for assets they do not list.

    The generic figures are an assumption of margincast and not a venue's; `generic_symbols` and `generic_assets` of the
    result name what they are used for, which whoever shows figures has to say.

    Examples
    --------
    >>> rules = with_generic(load_rulebook("binance_usdm"))
    >>> rules.generic_symbols(("BTC", "NEWCOIN")), float(rules.schedule_of("NEWCOIN").maintenance(10_000.0))
    (('NEWCOIN',), 150.0)
    """
    generic = load_rulebook(GENERIC_VENUE)
    return replace(
        rules,
        generic=generic.generic if rules.generic is None else rules.generic,
        generic_haircut=generic.generic_haircut if rules.generic_haircut is None else rules.generic_haircut,
        sources={**generic.sources, **rules.sources},
    )


def rulebook_hash(rules: RuleBook) -> str:
    """SHA-256 of all that decides a margin figure: two rule-books with the same hash margin alike.

    It is their `content_hash`: notes and sources are left out, floats enter with all their bits.

    Examples
    --------
    >>> rules = load_rulebook("binance_usdm")
    >>> rulebook_hash(rules) == rulebook_hash(replace(rules, sources={})), len(rulebook_hash(rules))
    (True, 64)
    >>> rulebook_hash(rules) == rulebook_hash(replace(rules, closing_fee=0.0005))
    False
    """
    return content_hash(rules)


def read_rulebook(path: str | Path) -> RuleBook:
    """Read and check a rule-book file; docs/rulebooks.md describes the format.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong, and the row of a tier table.
    """
    top, venue, effective_from = read_dated(path, TIERED, "base", *SECTIONS)
    return rulebook_of(top, venue, effective_from)


def rulebook_of(
    top: Section, venue: str, effective_from: dt.date, schedules: Mapping[str, RateSchedule] | None = None
) -> RuleBook:
    """The rule-book in the sections of a file of any model; `schedules` are given where it holds no tier tables.

    Raises
    ------
    InputError
        As `read_rulebook`.
    """
    sections = {name: top.sourced(name, *SECTIONS[name]) for name in SECTIONS if name in top.values or name in REQUIRED}
    if schedules is None and not {"tiers", "generic"} & sections.keys():
        raise top.error("needs a [tiers] or a [generic] section", "")
    read, aliases = schedules_of(sections["tiers"]) if "tiers" in sections else ({}, {})
    trigger, liquidation_price = sections["trigger"], sections["liquidation_price"]
    with located(top):
        return RuleBook(
            venue=venue,
            effective_from=effective_from,
            schedules={**(schedules or {}), **read},
            haircuts=haircuts_of(sections["haircuts"]) if "haircuts" in sections else {},
            generic=_generic_schedule(sections.get("generic")),
            generic_haircut=_generic_haircut(sections.get("generic")),
            base=top.get("base", str),
            aliases=aliases,
            strict_trigger=trigger.get("strict", bool),
            maintenance_at=liquidation_price.get("maintenance_at", str),  # type: ignore[arg-type]  # checked there
            closing_fee=liquidation_price.get("closing_fee", float),
            warning_ratio=trigger.get("warning_ratio", float),
            reduce_only_ratio=trigger.get("reduce_only_ratio", float)
            if "reduce_only_ratio" in trigger.values
            else None,
            sources={name: part.told for name, part in sections.items()},
        )


def schedules_of(tiers: Section) -> tuple[dict[str, RateSchedule], dict[str, str]]:
    """Schedules and aliases of a section of tier tables: its `kind`, `unit` and `tables`."""
    kind = tiers.get("kind", str)
    schedules: dict[str, RateSchedule] = {}
    aliases: dict[str, str] = {}
    for place, values in enumerate(tiers.get("tables", list)):
        if not isinstance(values, dict):
            raise tiers.error("must be a table with symbols and rows", f"tables[{place}]", values)
        table = Section(tiers.file, f"{tiers.name}.tables[{place}]", values)
        table.allow("symbols", "aliases", "rows", "steps")
        symbols = _names(table, "symbols", table.get("symbols", list))
        others = _names(table, "aliases", table.get("aliases", list) if "aliases" in table.values else [])
        if not symbols or (others and len(symbols) > 1):
            raise table.error("needs one symbol, or several without aliases", "symbols", symbols)
        table = replace(table, name=f"{table.name} {symbols[0]}")
        schedule = in_unit(schedule_of_rows(table, kind), tiers)
        for name in (*symbols, *others):
            if name in schedules or name in aliases:
                raise table.error("is named twice", "symbols", name)
            schedules.update({name: schedule} if name in symbols else {})
            aliases.update({name: symbols[0]} if name in others else {})
    return schedules, aliases


def _names(table: Section, key: str, names: list[object]) -> list[str]:
    for name in names:
        if not isinstance(name, str) or not name:
            raise table.error("must be names", key, name)
    return [str(name) for name in names]


def in_unit(schedule: ScheduleT, section: Section) -> ScheduleT:
    """A schedule in the `unit` its section names, if it names one."""
    if "unit" not in section.values:
        return schedule
    with located(section):
        return replace(schedule, unit=section.get("unit", str))  # type: ignore[arg-type]  # checked there


def schedule_of_rows(table: Section, kind: str) -> RateSchedule:
    """Schedule of the `rows`, and `steps` if any, of a table."""
    rows = table.get("rows", list)
    for row, values in enumerate(rows):
        if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
            raise InputError("a tier is a list of numbers", file=table.file, row=row, column=table.name, value=values)
    if "steps" in table.values:
        rows = [*rows, *_stepped(table, rows)]
    return schedule_from_tiers(rows, kind, file=table.file, table=table.name)  # type: ignore[arg-type]  # checked there


def _stepped(table: Section, rows: list[Any]) -> list[tuple[float, float, float, float]]:
    steps = table.part("steps")
    steps.allow("size", "rate", "initial", "count")
    if not rows or len(rows[-1]) < 4:
        raise table.error("steps need a tier to go on from", "rows", rows)
    size, rate, initial = (steps.get(key, float) for key in ("size", "rate", "initial"))
    with located(table):
        return risk_limit_steps(rows[-1], size, rate, initial, steps.get("count", int))


def _generic_schedule(generic: Section | None) -> RateSchedule | None:
    return None if generic is None else schedule_of_rows(generic, generic.get("kind", str))


def _generic_haircut(generic: Section | None) -> HaircutSchedule | None:
    return _haircut(generic, "haircut") if generic is not None and "haircut" in generic.values else None


def haircuts_of(haircuts: Section) -> dict[str, HaircutSchedule]:
    """Haircut schedules of a section: its `unit` and `assets`."""
    assets = replace(haircuts, name="haircuts.assets", values=haircuts.get("assets", dict))
    return {name: in_unit(_haircut(assets, name), haircuts) for name in assets.values}


def _haircut(section: Section, key: str) -> HaircutSchedule:
    rows = section.get(key, list)
    for row, values in enumerate(rows):
        pair = isinstance(values, list) and len(values) == 2 and all(type(v) in (int, float) for v in values)
        if not pair or (row and not values[1] <= rows[row - 1][1]):
            problem = "must be [floor, rate] with rates that do not rise"
            raise InputError(problem, file=section.file, row=row, column=f"{section.name} {key}", value=values)
    with located(replace(section, name=f"{section.name} {key}")):
        return HaircutSchedule(*np.array(rows, np.float64).reshape(-1, 2).T)
