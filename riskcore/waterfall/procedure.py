"""Liquidation procedures: what one venue does with a pool in breach, step by step. Pure data, checked when made."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..errors import InputError

Policy = Literal[
    "whole", "tier_step_down", "close_to_target", "largest_risk_first", "pro_rata", "fixed_share", "max_portion"
]
AdlRanking = Literal[
    "pnl_times_margin_ratio", "return_times_leverage", "gain_times_leverage", "least_net_collateral", "absolute_profit"
]
POLICIES: tuple[str, ...] = get_args(Policy)
RANKINGS: tuple[str, ...] = get_args(AdlRanking)


@dataclass(frozen=True)
class LiquidationProcedure:
    """From the breach of a pool to the loss nobody covers, at one venue from one date on.

    Parameters
    ----------
    venue, effective_from
        Whose procedure, and the first day it held (UTC).
    policy
        What is sent to the order book. "whole": every leg. "tier_step_down": the leg with most maintenance margin down
        to the cap of its next lower tier, again and again. "close_to_target": leg after leg, most maintenance margin
        first, of the last only the smallest part that brings equity back to `target` times maintenance margin.
        "largest_risk_first": the same, in the order of margin freed for each unit of loss. "pro_rata": the smallest
        equal share of all legs that does it. "fixed_share": `share` of each leg above `share_above`, whole legs below.
        "max_portion": as "close_to_target", but at most `share` of a leg a round.
    adl_ranking
        Who is deleveraged first; see `adl.adl_order`.
    target
        At least 1.
    share, share_above
        In (0, 1], and a notional in the base asset.
    cooldown_rounds
        Rounds a pool is left alone after a partial order; its next order is for the whole.
    fill_or_kill
        An order that cannot be filled whole is not filled at all.
    limit_at_bankruptcy
        Orders do not trade at prices worse than the leg's bankruptcy price.
    takeover_ratio
        A pool still in breach after its order is taken over if equity <= takeover_ratio * maintenance margin; one that
        is bankrupt always is. 1: at once.
    fee_to_fund, fee_to_venue
        Fees on what is closed in the order book, fractions of its value: to the insurance fund and to the venue.
    adl_profitable_only
        Only positions in profit are deleveraged.
    impact_weight
        How much of the way from the mark to the last price traded the mark moves after a round, in [0, 1].
    max_rounds
        After this many rounds it stops and says so.
    sources
        Where the figures come from, by section.

    Raises
    ------
    InputError
        An unknown policy or ranking, a figure out of its range.
    """

    venue: str
    effective_from: dt.date
    policy: Policy
    adl_ranking: AdlRanking
    target: float = 1.0
    share: float = 1.0
    share_above: float = 0.0
    cooldown_rounds: int = 0
    fill_or_kill: bool = False
    limit_at_bankruptcy: bool = True
    takeover_ratio: float = 1.0
    fee_to_fund: float = 0.0
    fee_to_venue: float = 0.0
    adl_profitable_only: bool = True
    impact_weight: float = 0.0
    max_rounds: int = 100
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, known in (("policy", POLICIES), ("adl_ranking", RANKINGS)):
            if getattr(self, name) not in known:
                raise InputError(f"must be one of {', '.join(known)}", column=name, value=getattr(self, name))
        self._check("target", 1, 1e6)
        self._check("share_above", 0, 1e300)
        for name in ("takeover_ratio", "impact_weight"):
            self._check(name, 0, 1)
        for name in ("fee_to_fund", "fee_to_venue"):
            self._check(name, 0, 0.5)
        self._check("share", 0, 1)
        if self.share == 0:
            raise InputError("must be above 0", column="share", value=self.share)
        for name, least in (("cooldown_rounds", 0), ("max_rounds", 1)):
            found = getattr(self, name)
            if type(found) is not int or found < least:
                raise InputError(f"must be a whole number from {least}", column=name, value=found)

    def _check(self, name: str, low: float, high: float) -> None:
        found = getattr(self, name)
        if not (low <= found <= high and math.isfinite(found)):
            raise InputError(f"must be in [{low:g}, {high:g}]", column=name, value=found)
