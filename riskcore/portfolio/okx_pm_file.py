"""OKX's portfolio margin as dated TOML files of the model "okx_pm"."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from ..dated_files import read_dated, rulebook_in_force
from ..toml_section import Section, located
from .okx_pm_rules import OkxRules, OkxUnit, TermVolatility, Tiers
from .portfolio_rule import MEASURES, Charges

MODEL = "okx_pm"
VENUE = "okx_pm"
COMPONENTS = ("decay_days", "vega_share", "rate_shift", "extreme_share", "initial_multiple")
UNIT_KEYS = ("underlyings", "generic", "moves", "extreme_move", "basis", "minimum_charge", "caps", "multipliers")


def load_okx_rules(at: dt.date | None = None) -> OkxRules:
    """OKX's portfolio margin in force on a day (UTC); None takes the newest there is."""
    return read_okx_rules(rulebook_in_force(VENUE, at).path)


def read_okx_rules(path: str | Path) -> OkxRules:
    """Read and check a file of the model "okx_pm".

    The file has, beside venue, effective_from and model:

    ``[units.NAME]``
        Classes of risk units: `underlyings` (list) or `generic` = true, `moves`, `extreme_move`, `basis`,
        `minimum_charge` (rates of `Charges`), `caps` and `multipliers` of its tiers.
    ``[volatility]``
        `days`, `points` and `fraction`.
    ``[components]``
        `decay_days`, `vega_share`, `rate_shift`, `extreme_share`, `initial_multiple`, `uses_spot`.
    ``[depeg]``
        `caps` and `rates`; optional.
    ``[borrowing]``
        `caps`, `rates` and `initial_rates`; optional.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong.

    Examples
    --------
    >>> load_okx_rules(dt.date(2024, 12, 1)).unit("BTC-USDT").moves, load_okx_rules().unit("BTC").moves
    ((0.0, 0.05, 0.1, 0.15), (0.0, 0.04, 0.08, 0.12))
    """
    top, venue, effective_from = read_dated(path, MODEL, "units", "volatility", "components", "depeg", "borrowing")
    told: dict[str, str] = {}
    units, generic = _units(top.part("units"), told)
    volatility = top.sourced("volatility", "days", "points", "fraction")
    components = top.sourced("components", *COMPONENTS, "uses_spot")
    told |= {one.name: one.told for one in (volatility, components)}
    days = volatility.numbers("days")
    with located(volatility):
        points = TermVolatility(days, volatility.numbers("points"), relative=False)
        fraction = TermVolatility(days, volatility.numbers("fraction"), relative=True)
    decay, vega, rate, extreme, initial = (components.number(name) for name in COMPONENTS)
    depeg = _tiers(top, "depeg", "rates", told)
    loans, initial_loans = (_tiers(top, "borrowing", rates, told) for rates in ("rates", "initial_rates"))
    uses_spot = components.get("uses_spot", bool)
    with located(top):
        return OkxRules(
            venue=venue,
            effective_from=effective_from,
            units=units,
            generic=generic,
            points=points,
            fraction=fraction,
            decay_days=decay,
            vega_share=vega,
            rate_shift=rate,
            extreme_share=extreme,
            initial_multiple=initial,
            uses_spot=uses_spot,
            depeg=depeg,
            loans=loans,
            initial_loans=initial_loans,
            sources=told,
        )


def _units(parts: Section, told: dict[str, str]) -> tuple[dict[str, OkxUnit], OkxUnit | None]:
    units: dict[str, OkxUnit] = {}
    generic: OkxUnit | None = None
    for name in parts.values:
        section = parts.sourced(name, *UNIT_KEYS)
        told[section.name] = section.told
        unit = _unit(section)
        if "generic" in section.values:
            if not section.get("generic", bool) or "underlyings" in section.values or generic is not None:
                raise section.error("one class may be generic = true, without underlyings", "generic")
            generic = unit
            continue
        for underlying in section.get("underlyings", list):
            if not isinstance(underlying, str) or not underlying or underlying in units:
                raise section.error("must be names, each named once", "underlyings", underlying)
            units[underlying] = unit
    return units, generic


def _unit(section: Section) -> OkxUnit:
    minimum = section.part("minimum_charge")
    minimum.allow(*MEASURES)
    with located(minimum):
        charges = Charges(**{name: minimum.number(name) for name in minimum.values})
    caps, multipliers = section.numbers("caps"), section.numbers("multipliers")
    moves, extreme, basis = section.numbers("moves"), section.number("extreme_move"), section.number("basis")
    with located(section):
        return OkxUnit(moves, extreme, basis, charges, Tiers(caps, multipliers))


def _tiers(top: Section, name: str, rates: str, told: dict[str, str]) -> Tiers | None:
    if name not in top.values:
        return None
    section = top.sourced(name, "caps", "rates", *(("initial_rates",) if name == "borrowing" else ()))
    told[section.name] = section.told
    caps, values = section.numbers("caps"), section.numbers(rates)
    with located(section):
        return Tiers(caps, values)
