"""Deribit's portfolio margin as dated TOML files of the model "deribit_portfolio"."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from ..dated_files import read_dated, rulebook_in_force
from ..toml_section import Section, located
from .deribit_pm import DeribitRules, DeribitUnit
from .scenario_grid import VolatilityShock

MODEL = "deribit_portfolio"
VENUE = "deribit_pm"
SHOCK = ("up", "down", "short_power", "long_power", "floor_days", "least_up")
FIGURES = (
    ("price_range", "extended_factor", "dampener", "least_move", "annualised_move", "delta_threshold")
    + ("delta_increment", "most_delta_shock", "profit_share", "most_profit")
)  # fmt: skip


def load_deribit_rules(at: dt.date | None = None) -> DeribitRules:
    """Deribit's portfolio margin in force on a day (UTC); None takes the newest there is.

    Days of the first portfolio margin are read with `portfolio_rule_file.load_portfolio_rule`.
    """
    return read_deribit_rules(rulebook_in_force(VENUE, at).path)


def read_deribit_rules(path: str | Path) -> DeribitRules:
    """Read and check a file of the model "deribit_portfolio".

    The file has, beside venue, effective_from and model:

    ``[units.NAME]``
        One or more risk units with the parameters of `DeribitUnit`; `volatility` is a table of those of
        `VolatilityShock`.
    ``[requirement]``
        `maintenance_factor`.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong.

    Examples
    --------
    >>> load_deribit_rules(dt.date(2024, 7, 1)).units["BTC"].price_range
    0.16
    """
    top, venue, effective_from = read_dated(path, MODEL, "units", "requirement")
    requirement = top.sourced("requirement", "maintenance_factor")
    told = {"requirement": requirement.told}
    parts = top.part("units")
    units = {}
    for name in parts.values:
        section = parts.sourced(name, "settlement", "buckets", "extended", "volatility", *FIGURES)
        told[section.name] = section.told
        units[name] = _unit(section)
    factor = requirement.number("maintenance_factor")
    with located(top):
        return DeribitRules(venue, effective_from, units, factor, told)


def _unit(section: Section) -> DeribitUnit:
    shock = section.part("volatility")
    shock.allow(*SHOCK)
    figures = {name: section.number(name) for name in FIGURES}
    extended = section.numbers("extended")
    values = {name: shock.number(name) for name in SHOCK}
    with located(shock):
        volatility = VolatilityShock(**values)
    settlement, buckets = section.get("settlement", str), section.whole("buckets")
    with located(section):
        return DeribitUnit(settlement=settlement, buckets=buckets, extended=extended, volatility=volatility, **figures)
