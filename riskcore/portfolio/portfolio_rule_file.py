"""Portfolio rules as dated TOML files of the model "portfolio": reading, checking, choosing by date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..dated_files import read_dated, rulebook_in_force
from ..toml_section import Section, located
from .portfolio_rule import (
    MEASURES,
    NO_CHARGES,
    SUM,
    Charges,
    CorrelationTable,
    OffsetGroup,
    PortfolioRule,
    UnitRule,
)
from .scenario_grid import DOWN, SAME, UP, ScenarioGrid, VolatilityShock
from .volatility_rule import VolatilityPoints, VolatilityRule

MODEL = "portfolio"
WAYS = {"down": DOWN, "same": SAME, "up": UP}
POWER = ("up", "down", "short_power", "long_power", "floor_days", "least_up", "least_factor")
POINTS = ("up", "down", "least")
FACTORS = ("maintenance_factor", "initial_factor", "initial_contingency_factor", "pool_minimum")
UNIT_KEYS = (
    ("underlyings", "generic", "moves", "volatilities", "weights", "tails", "horizon_days", "net_rights")
    + ("volatility", "contingencies", "minimum")
)  # fmt: skip


def load_portfolio_rule(venue: str, at: dt.date | None = None) -> PortfolioRule:
    """The portfolio rule of a venue in force on a day (UTC); None takes the newest there is."""
    return read_portfolio_rule(rulebook_in_force(venue, at, MODEL).path)


def read_portfolio_rule(path: str | Path) -> PortfolioRule:
    """Read and check a portfolio rule.

    The file has, beside venue, effective_from and model = "portfolio":

    ``[units.NAME]``
        One or more: `underlyings` (list of risk units) or `generic` = true for all others; `moves` (fractions),
        `volatilities` (list of "up", "same", "down"), `weights` (one a move; absent: 1), `tails` (rows of
        [move, volatility, weight]), `horizon_days`, `net_rights`; tables `volatility` (`kind` "power" with the
        parameters of `VolatilityShock`, or "points" with those of `VolatilityPoints`), `contingencies` and `minimum`
        (rates of `Charges`).
    ``[requirement]``
        `maintenance_factor`, `initial_factor`, `initial_contingency_factor` and `pool_minimum`, each optional.
    ``[netting]``
        `kind` "sum", "correlation" (with `units` and `matrix`) or "offset" (with `groups`, each of `units` and
        `share`); absent: "sum".

    Every one of these tables has `source` and `date`.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong.
    """
    return portfolio_rule_of(*read_dated(path, MODEL, "units", "requirement", "netting"))


def portfolio_rule_of(top: Section, venue: str, effective_from: dt.date) -> PortfolioRule:
    """The portfolio rule in the sections of a file, which may hold others of a model that adds to it."""
    parts = top.part("units")
    told: dict[str, str] = {}
    units: dict[str, UnitRule] = {}
    generic: UnitRule | None = None
    for name in parts.values:
        section = parts.sourced(name, *UNIT_KEYS)
        rule, fallback = _unit_rule(section, told), _flag(section, "generic", False)
        named = _names(section, "underlyings") if "underlyings" in section.values else []
        if not named and not fallback:
            raise section.error("needs underlyings or generic = true", "underlyings")
        if fallback and generic is not None:
            raise section.error("a second generic unit", "generic", True)
        generic = rule if fallback else generic
        for underlying in named:
            if underlying in units:
                raise section.error("is named twice", "underlyings", underlying)
            units[underlying] = rule
    return _portfolio_rule(top, venue, effective_from, units, generic, told)


def _portfolio_rule(
    top: Section,
    venue: str,
    effective_from: dt.date,
    units: Mapping[str, UnitRule],
    generic: UnitRule | None,
    told: dict[str, str],
) -> PortfolioRule:
    requirement = top.sourced("requirement", *FACTORS)
    told["requirement"] = requirement.told
    factors = {name: requirement.number(name) for name in FACTORS if name in requirement.values}
    kind, correlation, offsets = SUM, None, ()
    if "netting" in top.values:
        netting = top.sourced("netting", "kind", "units", "matrix", "groups")
        told["netting"] = netting.told
        kind = netting.get("kind", str)
        correlation = _correlation(netting) if {"units", "matrix"} & netting.values.keys() else None
        offsets = _offsets(netting) if "groups" in netting.values else ()  # type: ignore[assignment]
    with located(top):
        return PortfolioRule(venue, effective_from, units, generic, kind, correlation, offsets, sources=told, **factors)


def _unit_rule(section: Section, told: dict[str, str]) -> UnitRule:
    told[section.name] = section.told
    grid = _grid(section)
    charges = {}
    for name in ("contingencies", "minimum"):
        charges[name] = NO_CHARGES
        if name in section.values:
            part = section.sourced(name, *MEASURES)
            told[part.name] = part.told
            rates = {key: part.number(key) for key in MEASURES if key in part.values}
            with located(part):
                charges[name] = Charges(**rates)
    days = section.number("horizon_days") if "horizon_days" in section.values else 0.0
    with located(section):
        return UnitRule(grid, _volatility(section, told), **charges, horizon_days=days, net_rights=_nets(section))


def _nets(section: Section) -> bool:
    return _flag(section, "net_rights", True)


def _flag(section: Section, key: str, absent: bool) -> bool:
    return section.get(key, bool) if key in section.values else absent


def _grid(section: Section) -> ScenarioGrid:
    moves = section.numbers("moves")
    ways = [_way(section, way) for way in _names(section, "volatilities")]
    weights = section.numbers("weights") if "weights" in section.values else (1.0,) * len(moves)
    if len(weights) != len(moves):
        raise section.error(f"needs one weight a move, {len(moves)}", "weights", list(weights))
    tails = section.get("tails", list) if "tails" in section.values else []
    for place, row in enumerate(tails):
        shaped = isinstance(row, list) and len(row) == 3 and isinstance(row[1], str)
        if not shaped or any(type(number) not in (int, float) for number in row[::2]):
            raise section.error("must be [move, volatility, weight]", f"tails[{place}]", row)
    with located(section):
        grid = ScenarioGrid.product(moves, ways, weights)
        return ScenarioGrid(
            np.append(grid.move, [row[0] for row in tails]),
            np.append(grid.volatility, [_way(section, row[1]) for row in tails]),
            np.append(grid.weight, [row[2] for row in tails]),
        )


def _way(section: Section, way: str) -> int:
    if way not in WAYS:
        raise section.error('must be "up", "same" or "down"', "volatilities", way)
    return WAYS[way]


def _volatility(section: Section, told: dict[str, str]) -> VolatilityRule:
    part = section.sourced("volatility", "kind", *POWER, "least")
    told[part.name] = part.told
    kind = part.get("kind", str)
    known = {"power": POWER, "points": POINTS}
    if kind not in known:
        raise part.error('must be "power" or "points"', "kind", kind)
    part.allow("kind", *known[kind], "source", "date")
    needed = 4 if kind == "power" else 2
    values = {key: part.number(key) for k, key in enumerate(known[kind]) if k < needed or key in part.values}
    with located(part):
        return VolatilityShock(**values) if kind == "power" else VolatilityPoints(**values)


def _correlation(netting: Section) -> CorrelationTable:
    units = _names(netting, "units")
    rows = netting.get("matrix", list)
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(units) or any(type(one) not in (int, float) for one in row):
            raise netting.error(f"must be {len(units)} numbers", f"matrix[{place}]", row)
    with located(netting):
        return CorrelationTable(tuple(units), np.array(rows, np.float64))


def _offsets(netting: Section) -> tuple[OffsetGroup, ...]:
    groups = []
    for place, values in enumerate(netting.get("groups", list)):
        if not isinstance(values, dict):
            raise netting.error("must be a table with units and share", f"groups[{place}]", values)
        group = replace(netting, name=f"netting.groups[{place}]", values=values)
        group.allow("units", "share")
        with located(group):
            groups.append(OffsetGroup(tuple(_names(group, "units")), group.number("share")))
    return tuple(groups)


def _names(section: Section, key: str) -> list[str]:
    names = section.get(key, list)
    for name in names:
        if not isinstance(name, str) or not name:
            raise section.error("must be names", key, name)
    if not names:
        raise section.error("needs at least one name", key, names)
    return names
