"""Liquidation procedures as dated TOML files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ..dated_files import list_rulebooks, read_dated, rulebook_in_force
from ..errors import InputError
from ..toml_section import Section, located
from .procedure import AdlRanking, LiquidationProcedure, Policy

MODEL = "waterfall"
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "partial": ("policy", "target", "share", "share_above", "cooldown_rounds", "fill_or_kill", "limit_at_bankruptcy"),
    "takeover": ("takeover_ratio",),
    "fees": ("fee_to_fund", "fee_to_venue"),
    "adl": ("adl_ranking", "adl_profitable_only"),
    "simulation": ("impact_weight", "max_rounds"),
}
"""Sections of a procedure file and their keys, all required; each also has `source` and `date`."""
TEXTS, WHOLES, FLAGS = (
    ("policy", "adl_ranking"),
    ("cooldown_rounds", "max_rounds"),
    ("fill_or_kill", "limit_at_bankruptcy", "adl_profitable_only"),
)


def load_procedure(venue: str, at: dt.date | None = None) -> LiquidationProcedure:
    """The liquidation procedure of a venue in force on a day (UTC); None takes the newest there is.

    Raises
    ------
    InputError
        An unknown venue, or a day before its first procedure.

    Examples
    --------
    >>> load_procedure("hyperliquid").share, load_procedure("bitmex").policy
    (0.2, 'tier_step_down')
    """
    known = sorted({file.venue.removeprefix(f"{MODEL}_") for file in list_rulebooks(MODEL)})
    if venue not in known:
        raise InputError(f"unknown venue; there are procedures of {', '.join(known)}", column="venue", value=venue)
    return read_procedure(rulebook_in_force(f"{MODEL}_{venue}", at).path)


def read_procedure(path: str | Path) -> LiquidationProcedure:
    """Read and check a liquidation procedure.

    Raises
    ------
    InputError
        A file of another model, a key or section that is unknown or missing, a value of the wrong type or out of range.
    """
    top, venue, first_day = read_dated(path, MODEL, *SECTIONS)
    sections = {name: top.sourced(name, *keys) for name, keys in SECTIONS.items()}
    values = {key: _value(sections[name], key) for name, keys in SECTIONS.items() for key in keys}
    told = {name: section.told for name, section in sections.items()}
    with located(top):
        return LiquidationProcedure(
            venue,
            first_day,
            cast(Policy, values.pop("policy")),
            cast(AdlRanking, values.pop("adl_ranking")),
            **values,
            sources=told,
        )


def _value(section: Section, key: str) -> Any:
    if key in TEXTS:
        return section.get(key, str)
    if key in FLAGS:
        return section.get(key, bool)
    return section.whole(key) if key in WHOLES else section.number(key)
