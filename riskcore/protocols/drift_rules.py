"""Rules of Drift v2, and their dated files: weights of tokens and perpetuals, and how the protocol liquidates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from ..toml_section import located
from .drift import FEE, WEIGHT
from .drift_liquidation import SHARE, largest_share, liquidation_fee
from .drift_margin import PerpMarket, SpotMarket
from .integers import in_range
from .named_tables import read_figures, read_named_tables

MODEL = "drift_v2"
"""Name of the model in rule-book files, and of the venue that comes with margincast."""


@dataclass(frozen=True)
class DriftLiquidation:
    """How accounts are liquidated.

    Parameters
    ----------
    margin_buffer
        Share of the liabilities, 1e-4, by which a liquidation restores more than the requirement.
    initial_share, duration_slots
        Share of the shortage that may be liquidated at once, 1e-4, and the slots until all of it may.
    liquidator_fee, max_fee
        1e-6 of what is closed: at first, and at most.
    grace_slots, fee_increase_per_slot
        Slots since the account's last action before the fee rises, and by how much a slot.
    insurance_fee
        Most the insurance fund takes, 1e-6.
    """

    margin_buffer: int
    initial_share: int
    duration_slots: int
    liquidator_fee: int
    max_fee: int
    grace_slots: int
    fee_increase_per_slot: int
    insurance_fee: int

    def __post_init__(self) -> None:
        in_range(self.margin_buffer, "margin_buffer", 0, WEIGHT)
        in_range(self.initial_share, "initial_share", 1, SHARE)
        for name in ("duration_slots", "grace_slots", "fee_increase_per_slot"):
            in_range(getattr(self, name), name, 0)
        in_range(self.max_fee, "max_fee", 0, FEE)
        in_range(self.liquidator_fee, "liquidator_fee", 0, self.max_fee)
        in_range(self.insurance_fee, "insurance_fee", 0, FEE)

    def fee(self, slots: int) -> int:
        """Liquidator's fee after slots without an action of the account, 1e-6."""
        return liquidation_fee(self.liquidator_fee, self.max_fee, slots, self.grace_slots, self.fee_increase_per_slot)

    def share(self, shortage: int, freed: int, slots: int) -> int:
        """Share of a shortage that may be liquidated after so many slots, 1e-4."""
        return largest_share(shortage, freed, slots, self.initial_share, self.duration_slots)


@dataclass(frozen=True)
class DriftRules:
    """Markets by name and the liquidation terms in force from a day; `sources` by section."""

    venue: str
    effective_from: dt.date
    spot: Mapping[str, SpotMarket]
    perps: Mapping[str, PerpMarket]
    liquidation: DriftLiquidation
    sources: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, token in self.spot.items():
            ordered = token.initial_asset_weight <= token.maintenance_asset_weight
            if not ordered or token.maintenance_liability_weight > token.initial_liability_weight:
                raise InputError("initial weights must be the stricter ones", column="spot", value=name)
        for name, perp in self.perps.items():
            if perp.maintenance_ratio > perp.initial_ratio:
                raise InputError("maintenance_ratio must not exceed initial_ratio", column="perps", value=name)


def read_drift_rules(path: str | Path) -> DriftRules:
    """Rules from a file with `model = "drift_v2"`; what is wrong with it is an InputError that names file and key."""
    top, venue, start = read_dated(path, MODEL, "spot", "perps", "liquidation")
    spot, perps = top.sourced("spot", "table"), top.sourced("perps", "table")
    liquidation = top.sourced("liquidation", *DriftLiquidation.__dataclass_fields__)
    with located(top):
        return DriftRules(
            venue,
            start,
            read_named_tables(spot, "table", SpotMarket, "deposits"),
            read_named_tables(perps, "table", PerpMarket, "net_unsettled_profit", "settled"),
            read_figures(liquidation, DriftLiquidation),
            {part.name: part.told for part in (spot, perps, liquidation)},
        )


def load_drift_rules(at: dt.date | None = None) -> DriftRules:
    """The rules that come with margincast in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> rules = load_drift_rules()
    >>> rules.perps["default"].initial_ratio, rules.liquidation.fee(slots=1_500)
    (1000, 11500)
    """
    return read_drift_rules(rulebook_in_force(MODEL, at).path)
