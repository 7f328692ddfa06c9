"""OKX's portfolio margin parameters by group of underlyings, read from a dated file: `model = "okx_portfolio"`."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, frozen, require
from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from ..toml_section import Section, located
from .okx_charges import marginal_tier_charge
from .scenario_grid import DOWN, SAME, UP, ScenarioGrid

MODEL = "okx_portfolio"
VENUE = "okx_portfolio"


@dataclass(frozen=True)
class OkxGroup:
    """Parameters of the risk units of one group of underlyings.

    Parameters
    ----------
    spot_moves
        Sizes of the price moves of MR1, fractions, rising from 0; each is taken up and down.
    extreme_move
        Size of the price move of MR6.
    annual_basis
        Annualised basis of MR4.
    charge_caps, charge_multipliers
        Tiers of the minimum charge MR7: upper bounds, USD, the last inf, and their multipliers.

    Examples
    --------
    >>> group = OkxGroup([0.0, 0.04], 0.24, 0.05, [10_000.0, np.inf], [1.0, 2.0])
    >>> group.spot_grid.move.tolist(), float(group.minimum_charge(30_000.0))
    ([-0.04, -0.04, -0.04, 0.0, 0.0, 0.0, 0.04, 0.04, 0.04], 50000.0)
    """

    spot_moves: FloatArray
    extreme_move: float
    annual_basis: float
    charge_caps: FloatArray
    charge_multipliers: FloatArray

    def __post_init__(self) -> None:
        for name in ("spot_moves", "charge_caps", "charge_multipliers"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        moves = self.spot_moves
        rises = np.concatenate(([len(moves) > 0 and moves[0] == 0], np.diff(moves) > 0))[: max(len(moves), 1)]
        if len(moves) == 0:
            raise InputError("needs at least the move 0", column="spot_moves")
        require(rises & (moves < 1), moves, "must rise from 0 and stay below 1", "spot_moves")
        if not moves[-1] < self.extreme_move < 1:
            raise InputError("must be above the spot moves and below 1", column="extreme_move", value=self.extreme_move)
        if not 0 <= self.annual_basis < math.inf:
            raise InputError("must not be negative", column="annual_basis", value=self.annual_basis)
        if len(self.charge_caps) == 0 or self.charge_caps[-1] != np.inf:
            raise InputError("the last tier must be open, inf", column="charge_caps")
        marginal_tier_charge(0.0, self.charge_caps, self.charge_multipliers)

    @property
    def spot_grid(self) -> ScenarioGrid:
        """Scenarios of MR1: every move, up and down, with volatility down, same and up."""
        moves = np.concatenate((-self.spot_moves[:0:-1], self.spot_moves))
        return ScenarioGrid.product(moves, [DOWN, SAME, UP])

    @property
    def extreme_grid(self) -> ScenarioGrid:
        """Scenarios of MR6: the extreme move down and up, volatility up."""
        return ScenarioGrid.product([-self.extreme_move, self.extreme_move], [UP])

    def minimum_charge(self, raw: ArrayLike) -> FloatArray:
        """Minimum charge MR7 of risk units, USD, from the charge before its tiers."""
        return marginal_tier_charge(raw, self.charge_caps, self.charge_multipliers)


@dataclass(frozen=True)
class OkxPortfolioRules:
    """Parameters of all groups, and which underlyings each group holds.

    Parameters
    ----------
    effective_from
        First day they held (UTC).
    groups
        Parameters by name of the group.
    members
        Group of each underlying named; any other belongs to `others`.
    others
        Name of the group of all other underlyings.
    initial_multiple
        Initial over maintenance margin of a risk unit.
    sources
        Where the figures come from, by what they are.
    """

    effective_from: dt.date
    groups: Mapping[str, OkxGroup]
    members: Mapping[str, str]
    others: str
    initial_multiple: float
    sources: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in (self.others, *self.members.values()):
            if name not in self.groups:
                raise InputError(f"is not one of {', '.join(self.groups)}", column="group", value=name)
        if not 1 <= self.initial_multiple < math.inf:
            raise InputError("must be at least 1", column="initial_multiple", value=self.initial_multiple)

    def group_of(self, underlying: str) -> OkxGroup:
        """Parameters of an underlying, such as "BTC"; contracts on USDT, USDC and USD are one risk unit."""
        return self.groups[self.members.get(underlying, self.others)]


def load_okx_portfolio_rules(at: dt.date | None = None) -> OkxPortfolioRules:
    """The parameters in force on a day; None takes the newest there are.

    Examples
    --------
    >>> rules = load_okx_portfolio_rules()
    >>> rules.group_of("BTC").extreme_move, rules.group_of("NEWCOIN").extreme_move
    (0.24, 0.5)
    """
    return read_okx_portfolio_rules(rulebook_in_force(VENUE, at).path)


def read_okx_portfolio_rules(path: str | Path) -> OkxPortfolioRules:
    """Read and check a file of parameters.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong.
    """
    top, _, effective_from = read_dated(path, MODEL, "initial", "groups")
    initial = top.sourced("initial", "multiple")
    parts = top.part("groups")
    groups: dict[str, OkxGroup] = {}
    members: dict[str, str] = {}
    others = ""
    for name in parts.values:
        part = parts.sourced(name, "underlyings", "spot_moves", "extreme_move", "annual_basis", "charge_tiers")
        groups[name] = _group(part)
        for underlying in part.get("underlyings", list) if "underlyings" in part.values else []:
            if not isinstance(underlying, str) or underlying in members:
                raise part.error("must be names, each in one group", "underlyings", underlying)
            members[underlying] = name
        others = others if "underlyings" in part.values else name
    if len(groups) - len(set(members.values())) != 1:
        raise top.error("needs exactly one group without underlyings, for all others", "groups")
    sources = {"initial": initial.told} | {name: parts.part(name).told for name in groups}
    with located(top):
        return OkxPortfolioRules(effective_from, groups, members, others, initial.get("multiple", float), sources)


def _group(part: Section) -> OkxGroup:
    rows = part.get("charge_tiers", list)
    for row, pair in enumerate(rows):
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(one) in (int, float) for one in pair):
            problem = "must be [cap, multiplier]"
            raise InputError(problem, file=part.file, row=row, column=f"{part.name} charge_tiers", value=pair)
    caps, multipliers = np.array(rows, np.float64).reshape(-1, 2).T
    with located(part):
        return OkxGroup(
            np.array(part.numbers("spot_moves", 0.0, 1.0)),
            part.get("extreme_move", float),
            part.get("annual_basis", float),
            caps,
            multipliers,
        )
