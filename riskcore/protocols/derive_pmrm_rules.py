"""Rules of Derive's portfolio margin, first version (PMRM) and second (PMRM_2), and their dated files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from ..arrays import positions_of
from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from ..portfolio.scenario_grid import VolatilityShock
from ..toml_section import Section, located, replace_values
from .derive_scenarios import BasisTerms, DeriveScenarios, DiscountTerms, SkewShock, StressTerms
from .derive_terms import SHARE, ConfidenceTerms, PegTerms, Terms, read_terms

PMRM, PMRM_2 = "derive_pmrm", "derive_pmrm2"
"""Names of the models in rule-book files, and of the venues that come with margincast."""
COMMON = ("scenarios", "volatility", "basis", "confidence", "peg", "factors", "contingency")


@dataclass(frozen=True)
class PmrmContingency(Terms):
    """Static contingency of the first version, shares of spot for each unit of perpetual, base, naked short option."""

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = dict.fromkeys(("perp", "base", "option"), SHARE)
    perp: float
    base: float
    option: float


@dataclass(frozen=True)
class PmrmFactors(Terms):
    """What the worst loss and the static contingency are multiplied by for initial margin; at least 1."""

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"initial": (1.0, 10.0)}
    initial: float


@dataclass(frozen=True)
class DerivePmrmRules:
    """Rules of the first version of portfolio margin.

    Parameters
    ----------
    venue, effective_from
        As in the file.
    stress
        Scenarios, shocks, basis and static discount.
    confidence, peg, factors, contingency
        Groups of figures.
    """

    venue: str
    effective_from: dt.date
    stress: StressTerms
    confidence: ConfidenceTerms
    peg: PegTerms
    factors: PmrmFactors
    contingency: PmrmContingency


@dataclass(frozen=True)
class Pmrm2Contingency(Terms):
    """Contingency of the second version, shares of spot for each unit of perpetual and naked short option.

    Initial margin is charged maintenance and initial shares together.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "maintenance_perp": (0.0, 3.0),
        "initial_perp": (0.0, 3.0),
        "maintenance_option": (0.0, 2.0),
        "initial_option": (0.0, 2.0),
    }
    maintenance_perp: float
    initial_perp: float
    maintenance_option: float
    initial_option: float


@dataclass(frozen=True)
class Pmrm2Factors(Terms):
    """What the worst loss is multiplied by for maintenance and for initial margin."""

    maintenance: float
    initial: float


@dataclass(frozen=True)
class CollateralTerms(Terms):
    """Haircuts of one collateral asset, shares of its value; initial margin takes both.

    `moves_with_spot` is whether scenarios move it as they move spot: the asset of the market itself or a wrapped form.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "maintenance_haircut": SHARE,
        "initial_haircut": SHARE,
        "moves_with_spot": SHARE,
    }
    maintenance_haircut: float
    initial_haircut: float
    moves_with_spot: bool = False


@dataclass(frozen=True)
class DerivePmrm2Rules:
    """Rules of the second version of portfolio margin.

    Parameters
    ----------
    venue, effective_from
        As in the file.
    stress
        Scenarios with tails and skew, shocks, basis and static discounts.
    confidence, peg, factors, contingency
        Groups of figures.
    collateral
        Haircuts by market and asset; what is not listed is not taken.
    """

    venue: str
    effective_from: dt.date
    stress: StressTerms
    confidence: ConfidenceTerms
    peg: PegTerms
    factors: Pmrm2Factors
    contingency: Pmrm2Contingency
    collateral: Mapping[str, Mapping[str, CollateralTerms]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "collateral", MappingProxyType(dict(self.collateral)))
        if self.stress.short is None:
            raise InputError("the second version marks up what is owed", column="short")

    def collateral_of(self, market: str, names: Sequence[str]) -> list[CollateralTerms]:
        """Haircuts of assets held beside a market; one the rules do not take there raises InputError with its row."""
        taken = self.collateral.get(market, {})
        rows = positions_of(tuple(taken), names, "collateral")
        return [list(taken.values())[row] for row in rows]


def read_derive_pmrm_rules(path: str | Path) -> DerivePmrmRules:
    """Rules from a file with `model = "derive_pmrm"`; what is wrong with it is an InputError naming file and key."""
    top, venue, start = read_dated(path, PMRM, *COMMON, "discount")
    return DerivePmrmRules(
        venue,
        start,
        _read_stress(top, read_terms(top, "discount", DiscountTerms), None, None),
        read_terms(top, "confidence", ConfidenceTerms),
        read_terms(top, "peg", PegTerms),
        read_terms(top, "factors", PmrmFactors),
        read_terms(top, "contingency", PmrmContingency),
    )


def read_derive_pmrm2_rules(path: str | Path) -> DerivePmrm2Rules:
    """Rules from a file with `model = "derive_pmrm2"`; what is wrong with it is an InputError naming file and key."""
    top, venue, start = read_dated(path, PMRM_2, *COMMON, "long_discount", "short_discount", "skew", "collateral")
    long, short = (read_terms(top, name, DiscountTerms) for name in ("long_discount", "short_discount"))
    return DerivePmrm2Rules(
        venue,
        start,
        _read_stress(top, long, short, read_terms(top, "skew", SkewShock)),
        read_terms(top, "confidence", ConfidenceTerms),
        read_terms(top, "peg", PegTerms),
        read_terms(top, "factors", Pmrm2Factors),
        read_terms(top, "contingency", Pmrm2Contingency),
        _read_collateral(top),
    )


def load_derive_pmrm_rules(at: dt.date | None = None) -> DerivePmrmRules:
    """Rules of the first version in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> rules = load_derive_pmrm_rules()
    >>> len(rules.stress.scenarios), rules.factors.initial
    (21, 1.3)
    """
    return read_derive_pmrm_rules(rulebook_in_force(PMRM, at).path)


def load_derive_pmrm2_rules(at: dt.date | None = None) -> DerivePmrm2Rules:
    """Rules of the second version in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> rules = load_derive_pmrm2_rules()
    >>> len(rules.stress.scenarios), rules.factors.maintenance
    (31, 0.8)
    """
    return read_derive_pmrm2_rules(rulebook_in_force(PMRM_2, at).path)


def _read_stress(top: Section, long: DiscountTerms, short: DiscountTerms | None, skew: SkewShock | None) -> StressTerms:
    with located(top.part("scenarios")):
        scenarios = _read_scenarios(top.sourced("scenarios", "rows"))
        volatility = read_terms(top, "volatility", VolatilityShock, least_factor=0.0)
        return StressTerms(
            scenarios, volatility, read_terms(top, "basis", BasisTerms), long, short, skew, discounted=short is not None
        )


def _read_scenarios(section: Section) -> DeriveScenarios:
    """Rows of price multiple, direction and, where it is not 1, the share that counts."""
    rows = section.get("rows", list)
    price, names, weight = np.ones(len(rows)), [], np.ones(len(rows))
    for place, row in enumerate(rows):
        key = f"rows[{place}]"
        if not isinstance(row, list) or len(row) not in (2, 3):
            raise section.error("must be [price multiple, direction] or [price multiple, direction, share]", key, row)
        entries = replace_values(section, {f"{key}[{n}]": entry for n, entry in enumerate(row)})
        price[place] = entries.number(f"{key}[0]", 0.0)
        names.append(entries.get(f"{key}[1]", str))
        weight[place] = entries.number(f"{key}[2]") if len(row) == 3 else 1.0
    with located(section):
        return DeriveScenarios.of(price, names, weight)


def _read_collateral(top: Section) -> dict[str, dict[str, CollateralTerms]]:
    markets = top.sourced("collateral", "markets").part("markets")
    return {market: _read_haircuts(markets.part(market)) for market in markets.values}


def _read_haircuts(market: Section) -> dict[str, CollateralTerms]:
    terms = {}
    for name in market.values:
        asset = market.part(name)
        asset.allow("maintenance_haircut", "initial_haircut", "moves_with_spot")
        haircuts = [asset.number(f"{kind}_haircut") for kind in ("maintenance", "initial")]
        with located(asset):
            terms[name] = CollateralTerms(haircuts[0], haircuts[1], asset.get("moves_with_spot", bool))
    return terms
