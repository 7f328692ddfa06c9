"""Rules of Aave v3 pools, and their dated files: terms by asset, efficiency modes, close factor, interest curves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import positions_of
from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from ..toml_section import Section, located
from .health_factor import CloseFactor, InterestCurve, LendingTerms
from .named_tables import read_figures, read_named_tables

MODEL = "aave_v3"
"""Name of the model in rule-book files, and of the venue that comes with margincast."""


@dataclass(frozen=True)
class AssetTerms:
    """Terms of one asset, as `LendingTerms`."""

    loan_to_value: float
    liquidation_threshold: float
    liquidation_bonus: float
    protocol_fee: float

    def __post_init__(self) -> None:
        for name in ("loan_to_value", "liquidation_threshold", "protocol_fee"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError("must be in [0, 1]", column=name, value=getattr(self, name))
        if self.loan_to_value > self.liquidation_threshold:
            raise InputError("must not exceed liquidation_threshold", column="loan_to_value", value=self.loan_to_value)
        if self.liquidation_threshold * (1 + self.liquidation_bonus) > 1 or self.liquidation_bonus < 0:
            problem = "must not be negative, and threshold and bonus together not more than the deposit"
            raise InputError(problem, column="liquidation_bonus", value=self.liquidation_bonus)


@dataclass(frozen=True)
class EfficiencyMode:
    """Terms of a category of assets that move together, and its members."""

    loan_to_value: float
    liquidation_threshold: float
    liquidation_bonus: float
    members: tuple[str, ...]


@dataclass(frozen=True)
class AaveRules:
    """Assets, modes and curves in force from a day; `sources` by section."""

    venue: str
    effective_from: dt.date
    assets: Mapping[str, AssetTerms]
    modes: Mapping[str, EfficiencyMode]
    curves: Mapping[str, InterestCurve]
    close_factor: CloseFactor
    sources: Mapping[str, str]

    def __post_init__(self) -> None:
        for mode in self.modes.values():
            positions_of(tuple(self.assets), mode.members, "members")
        positions_of(tuple(self.assets), tuple(self.curves), "interest")

    def terms(self, names: Sequence[str], price: ArrayLike, mode: str | None = None) -> LendingTerms:
        """Terms of assets at prices in the base currency, in the order named, for accounts in a mode or none."""
        positions_of(tuple(self.assets), names, "asset")
        columns = [[getattr(self.assets[name], key) for name in names] for key in AssetTerms.__dataclass_fields__]
        terms = LendingTerms(np.asarray(price, np.float64), *(np.array(column, np.float64) for column in columns))
        if mode is None:
            return terms
        positions_of(tuple(self.modes), [mode], "mode")
        chosen = self.modes[mode]
        members = [name in chosen.members for name in names]
        figures = (chosen.loan_to_value, chosen.liquidation_threshold, chosen.liquidation_bonus)
        return terms.with_category(*figures, members)


def read_aave_rules(path: str | Path) -> AaveRules:
    """Rules from a file with `model = "aave_v3"`; what is wrong with it is an InputError that names file and key."""
    top, venue, start = read_dated(path, MODEL, "assets", "modes", "interest", "close_factor")
    assets, modes, interest = (top.sourced(key, "table") for key in ("assets", "modes", "interest"))
    close = top.sourced("close_factor", *CloseFactor.__dataclass_fields__)
    tables = modes.part("table")
    with located(top):
        return AaveRules(
            venue,
            start,
            read_named_tables(assets, "table", AssetTerms),
            {name: _mode(tables.part(name)) for name in tables.values},
            read_named_tables(interest, "table", InterestCurve),
            read_figures(close, CloseFactor),
            {part.name: part.told for part in (assets, modes, interest, close)},
        )


def _mode(section: Section) -> EfficiencyMode:
    section.allow("loan_to_value", "liquidation_threshold", "liquidation_bonus", "members")
    members = section.get("members", list)
    if not members or not all(isinstance(name, str) for name in members):
        raise section.error("must be names of assets", "members", members)
    threshold = section.number("liquidation_threshold", 0, 1)
    loan = section.number("loan_to_value", 0, threshold)
    return EfficiencyMode(loan, threshold, section.number("liquidation_bonus", 0, 1), tuple(members))


def load_aave_rules(at: dt.date | None = None) -> AaveRules:
    """The rules that come with margincast in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> rules = load_aave_rules(dt.date(2023, 6, 1))
    >>> rules.terms(["WETH", "USDC"], [2_000.0, 1.0]).liquidation_threshold.tolist(), rules.close_factor.small
    ([0.825, 0.76], 0.0)
    """
    return read_aave_rules(rulebook_in_force(MODEL, at).path)
