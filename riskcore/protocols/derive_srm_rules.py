"""Rules of Derive's standard manager (SRM), and their dated files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..dated_files import read_dated, rulebook_in_force
from .derive_terms import SHARE, PegTerms, Terms, read_terms

MODEL = "derive_srm"
"""Name of the model in rule-book files, and of the venue that comes with margincast."""


@dataclass(frozen=True)
class SrmPerpTerms(Terms):
    """Margin of perpetuals, as shares of notional at the perpetual's price."""

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"initial": SHARE, "maintenance": SHARE}
    initial: float
    maintenance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.initial >= self.maintenance, "must not be below maintenance", "initial")


@dataclass(frozen=True)
class SrmOptionTerms(Terms):
    """Isolated margin of short options, and the charge on calls no long call covers.

    Parameters
    ----------
    initial_most, initial_least
        Initial margin as a share of spot: most at the money, falling by the share by which the option is out of the
        money, never below least.
    maintenance_call, maintenance_put
        Maintenance margin as a share of spot.
    maintenance_put_mark
        Least maintenance of a put as a share of its mark value.
    initial_over_maintenance
        Initial margin of a put is at least this multiple of its maintenance margin; at least 1.
    unpaired_initial, unpaired_maintenance
        Of the forward price, charged in the bounded-loss margin for each call short beyond those held long.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"initial_over_maintenance": (1.0, 10.0)}
    initial_most: float
    initial_least: float
    maintenance_call: float
    maintenance_put: float
    maintenance_put_mark: float
    initial_over_maintenance: float
    unpaired_initial: float
    unpaired_maintenance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.initial_most >= self.initial_least, "must not be below initial_least", "initial_most")
        ordered = self.initial_least >= self.maintenance_call
        self.require(ordered, "must not be below maintenance_call", "initial_least")
        ordered = self.unpaired_initial >= self.unpaired_maintenance
        self.require(ordered, "must not be below unpaired_maintenance", "unpaired_initial")


@dataclass(frozen=True)
class SrmBaseTerms(Terms):
    """What the base asset counts for: share of its value, and of that share for initial margin."""

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"factor": SHARE, "initial_scale": SHARE}
    factor: float
    initial_scale: float = 1.0


@dataclass(frozen=True)
class SrmOracleTerms(Terms):
    """Charge on feeds of low confidence, initial margin only: (1 - confidence) * factor * notional below a threshold.

    The confidence is the least of spot and perpetual, of spot, forward and volatility surface, or of spot.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = dict.fromkeys(("perp", "option", "base"), SHARE)
    perp: float
    option: float
    base: float
    factor: float

    def charge(self, confidence: float, threshold: float, notional: float) -> float:
        """USD charged on a notional, USD."""
        return (1.0 - confidence) * self.factor * notional if confidence < threshold else 0.0


@dataclass(frozen=True)
class DeriveSrmRules:
    """Rules of the standard manager, the same for every market of a subaccount.

    Parameters
    ----------
    venue, effective_from
        As in the file.
    perp, option, base, oracle, depeg
        Groups of figures; the depeg charge is on short options and perpetuals, by size times spot.
    """

    venue: str
    effective_from: dt.date
    perp: SrmPerpTerms
    option: SrmOptionTerms
    base: SrmBaseTerms
    oracle: SrmOracleTerms
    depeg: PegTerms


def read_derive_srm_rules(path: str | Path) -> DeriveSrmRules:
    """Rules from a file with `model = "derive_srm"`; what is wrong with it is an InputError that names file and key."""
    top, venue, start = read_dated(path, MODEL, "perp", "option", "base", "oracle", "depeg")
    return DeriveSrmRules(
        venue,
        start,
        read_terms(top, "perp", SrmPerpTerms),
        read_terms(top, "option", SrmOptionTerms),
        read_terms(top, "base", SrmBaseTerms),
        read_terms(top, "oracle", SrmOracleTerms),
        read_terms(top, "depeg", PegTerms),
    )


def load_derive_srm_rules(at: dt.date | None = None) -> DeriveSrmRules:
    """The rules that come with margincast in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> rules = load_derive_srm_rules()
    >>> rules.perp.initial, rules.option.initial_most
    (0.065, 0.15)
    """
    return read_derive_srm_rules(rulebook_in_force(MODEL, at).path)
