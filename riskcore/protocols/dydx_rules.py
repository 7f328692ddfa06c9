"""Rules of dYdX v4, and their dated files: liquidity tiers, and how the protocol liquidates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from .dydx import LiquidityTier
from .dydx_liquidation import LiquidationConfig
from .named_tables import read_figures, read_named_tables

MODEL = "dydx_v4"
"""Name of the model in rule-book files, and of the venue that comes with margincast."""


@dataclass(frozen=True)
class DydxRules:
    """Tiers by name and the liquidation config in force from a day; `sources` by section."""

    venue: str
    effective_from: dt.date
    tiers: Mapping[str, LiquidityTier]
    liquidation: LiquidationConfig
    sources: Mapping[str, str]

    def tier(self, name: str) -> LiquidityTier:
        """A tier by its name; InputError names the known ones."""
        if name not in self.tiers:
            raise InputError(f"unknown liquidity tier; known are {', '.join(self.tiers)}", column="tier", value=name)
        return self.tiers[name]


def read_dydx_rules(path: str | Path) -> DydxRules:
    """Rules from a file with `model = "dydx_v4"`; what is wrong with it is an InputError that names file and key."""
    top, venue, start = read_dated(path, MODEL, "tiers", "liquidation")
    tiers = top.sourced("tiers", "table")
    liquidation = top.sourced("liquidation", *LiquidationConfig.__dataclass_fields__)
    config = read_figures(liquidation, LiquidationConfig)
    sources = {part.name: part.told for part in (tiers, liquidation)}
    return DydxRules(venue, start, read_named_tables(tiers, "table", LiquidityTier), config, sources)


def load_dydx_rules(at: dt.date | None = None) -> DydxRules:
    """The rules that come with margincast in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> rules = load_dydx_rules()
    >>> rules.tier("Mid-Cap").maintenance_margin_ppm, rules.liquidation.max_liquidation_fee_ppm
    (30000, 15000)
    """
    return read_dydx_rules(rulebook_in_force(MODEL, at).path)
