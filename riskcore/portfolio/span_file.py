"""SPAN parameters as dated TOML files of the model "span": reading, checking, choosing by date."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..dated_files import read_dated, rulebook_in_force
from ..toml_section import Section, located
from .span_arrays import SpanScan
from .span_rules import DeliveryCharge, SpanCommodity, SpanRules, SpanTier, SpreadCharge, SpreadCredit, SpreadLeg

MODEL = "span"
SCAN_NUMBERS = ("price_range", "volatility_range", "extreme_multiple", "extreme_cover", "lookahead_days")
NUMBERS = ("short_option_minimum", "scan_range")
WORDS = ("short_option_method", "price_risk")
KEYS = (*SCAN_NUMBERS, "volatility_relative", *NUMBERS, *WORDS, "limit_option_value", "tiers", "spreads", "delivery")


def load_span_rules(venue: str, at: dt.date | None = None) -> SpanRules:
    """SPAN parameters of a clearing house in force on a day (UTC); None takes the newest there are.

    Examples
    --------
    >>> load_span_rules("span_textbook").commodities["SP"].scan.moves[-2:].tolist()
    [40.0, -40.0]
    """
    return read_span_rules(rulebook_in_force(venue, at, MODEL).path)


def read_span_rules(path: str | Path) -> SpanRules:
    """Read and check SPAN parameters.

    The file has, beside venue, effective_from and model = "span", tables ``[commodities.NAME]`` with the fields of
    `SpanScan` and `SpanCommodity` (only `price_range` is needed), `tiers` as rows [name, first, last], `spreads` as
    tables of `charge` and `legs`, `delivery` as rows [period, in_spread, outright]; ``[credits]`` with `rows` of `rate`
    and `legs`; ``[requirement]`` with `initial_ratio`. Legs are rows [tier or commodity, ratio, "A" or "B"]. Each of
    these sections has `source` and `date`.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong.
    """
    top, venue, effective_from = read_dated(path, MODEL, "commodities", "credits", "requirement")
    parts, told = top.part("commodities"), {}
    commodities = {}
    for name in parts.values:
        section = parts.sourced(name, *KEYS)
        told[section.name] = section.told
        commodities[name] = _commodity(section)
    credits: tuple[SpreadCredit, ...] = ()
    ratio = 1.0
    if "credits" in top.values:
        section = top.sourced("credits", "rows")
        told["credits"] = section.told
        credits = tuple(_credit(section, place, values) for place, values in enumerate(section.get("rows", list)))
    if "requirement" in top.values:
        section = top.sourced("requirement", "initial_ratio")
        told["requirement"], ratio = section.told, section.number("initial_ratio")
    with located(top):
        return SpanRules(venue, effective_from, commodities, credits, ratio, told)


def _commodity(section: Section) -> SpanCommodity:
    scan = {key: section.number(key) for key in SCAN_NUMBERS if key in section.values or key == "price_range"}
    numbers = {key: section.number(key) for key in NUMBERS if key in section.values}
    words = {key: section.get(key, str) for key in WORDS if key in section.values}
    tiers = [SpanTier(*row) for row in _rows(section, "tiers", str, int, int)]
    delivery = [DeliveryCharge(*row) for row in _rows(section, "delivery", int, float, float)]
    spreads = section.get("spreads", list) if "spreads" in section.values else []
    with located(section):
        return SpanCommodity(
            SpanScan(**scan, volatility_relative=_flag(section, "volatility_relative")),
            tuple(tiers),
            tuple(_spread(section, place, values) for place, values in enumerate(spreads)),
            tuple(delivery),
            limit_option_value=_flag(section, "limit_option_value"),
            **{**numbers, **words},  # type: ignore[arg-type]  # checked there
        )


def _flag(section: Section, key: str) -> bool:
    return section.get(key, bool) if key in section.values else False


def _spread(section: Section, place: int, values: object) -> SpreadCharge:
    part = _table(section, f"spreads[{place}]", values, "charge")
    with located(part):
        return SpreadCharge(_legs(part), part.number("charge"))


def _credit(section: Section, place: int, values: object) -> SpreadCredit:
    part = _table(section, f"rows[{place}]", values, "rate")
    with located(part):
        return SpreadCredit(_legs(part), part.number("rate"))


def _table(section: Section, key: str, values: object, figure: str) -> Section:
    if not isinstance(values, dict):
        raise section.error(f"must be a table with legs and {figure}", key, values)
    part = replace(section, name=f"{section.name}.{key}", values=values)
    part.allow("legs", figure)
    return part


def _legs(part: Section) -> tuple[SpreadLeg, ...]:
    if "legs" not in part.values:
        raise part.error("must be given as a list", "legs")
    return tuple(SpreadLeg(*row) for row in _rows(part, "legs", str, float, str))


def _rows(section: Section, key: str, *kinds: type) -> list[list[Any]]:
    rows = section.get(key, list) if key in section.values else []
    for place, row in enumerate(rows):
        fits = isinstance(row, list) and len(row) == len(kinds)
        if not fits or not all(
            type(one) in (kind, int if kind is float else kind) for one, kind in zip(row, kinds, strict=True)
        ):
            told = ", ".join("number" if kind is float else kind.__name__ for kind in kinds)
            raise section.error(f"must be [{told}]", f"{key}[{place}]", row)
    return rows
