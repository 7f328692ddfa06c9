"""Advice as a value: the measures found for each pool, as plain values and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray, NameArray
from .advice_costs import AdviceCosts
from .advice_trades import CUT


@dataclass(frozen=True)
class ChosenTrades:
    """One trade a pool.

    Parameters
    ----------
    symbol
        What is traded; "" where there is no such trade.
    share
        Share of the position that is closed; NaN of a hedge.
    quantity
        Contracts traded; positive buys, negative sells.
    probability
        The forecast after it.
    """

    symbol: NameArray
    share: FloatArray
    quantity: FloatArray
    probability: FloatArray

    def record(self, pool: int) -> dict[str, Any] | None:
        """The trade of a pool as plain values; None where there is none."""
        if not self.symbol[pool]:
            return None
        share = {} if np.isnan(self.share[pool]) else {"share": float(self.share[pool])}
        traded = {"symbol": str(self.symbol[pool]), **share, "quantity": float(self.quantity[pool])}
        return traded | {"probability_after": float(self.probability[pool])}

    def words(self, pool: int) -> str:
        """The trade of a pool in words."""
        symbol, quantity = self.symbol[pool], self.quantity[pool]
        verb = "buy" if quantity > 0 else "sell"
        if np.isnan(self.share[pool]):
            return f"{verb} {abs(quantity):.6g} {symbol} as a hedge"
        return f"close {self.share[pool]:.1%} of {symbol} ({verb} {abs(quantity):.6g})"


@dataclass(frozen=True)
class Cheapest:
    """The cheapest mix of a deposit and at most one cut or hedge, one row a pool.

    Parameters
    ----------
    deposit, cut
        Base asset, and share of every position; 0 where it is no part of the mix, NaN where nothing is enough.
    trade
        Cut of one leg or hedge in the mix.
    kind
        What is mixed with the deposit: "position_cut", "leg_cut", "hedge", or "".
    cost
        Of the mix, base asset.
    probability
        The forecast after it.
    costs
        What was assumed.
    """

    deposit: FloatArray
    cut: FloatArray
    trade: ChosenTrades
    kind: NameArray
    cost: FloatArray
    probability: FloatArray
    costs: AdviceCosts

    def record(self, pool: int) -> dict[str, Any] | None:
        """The mix of a pool as plain values; None where nothing is enough."""
        if np.isnan(self.deposit[pool]):
            return None
        kind = str(self.kind[pool])
        measure: dict[str, Any] = {}
        if kind == CUT:
            measure = {CUT: float(self.cut[pool])}
        elif kind:
            measure = {kind: self.trade.record(pool)}
        return {
            "deposit": float(self.deposit[pool]),
            **measure,
            "cost": float(self.cost[pool]),
            "costs_assumed": self.costs.record(),
            "probability_after": float(self.probability[pool]),
        }

    def words(self, pool: int, base: str) -> str:
        """The mix of a pool in words."""
        parts = [f"deposit {self.deposit[pool]:,.2f} {base}"] if self.deposit[pool] > 0 else []
        if self.kind[pool] == CUT:
            parts.append(f"close {self.cut[pool]:.1%} of every position")
        elif self.kind[pool]:
            parts.append(self.trade.words(pool))
        said = f"cheapest: {' and '.join(parts)}, about {self.cost[pool]:,.2f} {base}"
        return f"{said} (forecast then {self.probability[pool]:.2%}; {self.costs.words()})"


@dataclass(frozen=True)
class Advice:
    """Smallest measures that bring each pool's probability at a horizon to a target, verified; one row a pool.

    Parameters
    ----------
    deposit
        Of the base asset, in whole cents; NaN where none up to twice the gross exposure does.
    cut
        Share of every position to close at the mark, in steps of 0.1%; NaN where even 99% is not enough.
    deposit_probability, cut_probability
        The forecast after each measure.
    leg
        Smallest cut of a single position, by notional; of pools that have several.
    hedge
        Smallest position in another instrument, by notional; of cross pools.
    cheapest
        What costs least.
    """

    deposit: FloatArray
    cut: FloatArray
    deposit_probability: FloatArray
    cut_probability: FloatArray
    leg: ChosenTrades
    hedge: ChosenTrades
    cheapest: Cheapest

    def record(self, pool: int) -> dict[str, Any]:
        """The measures for one pool as plain values; None where none is enough, or none is needed."""
        values = {
            "deposit": self.deposit[pool],
            "position_cut": self.cut[pool],
            "deposit_probability_after": self.deposit_probability[pool],
            "position_cut_probability_after": self.cut_probability[pool],
        }
        return {
            **{name: None if np.isnan(value) else float(value) for name, value in values.items()},
            "leg_cut": self.leg.record(pool),
            "hedge": self.hedge.record(pool),
            "cheapest": self.cheapest.record(pool),
        }

    def lines(self, pool: int, base: str, target: float, horizon: str) -> list[str]:
        """The advice for one pool in words."""
        goal = f"for at most {target:.2%} within {horizon}"
        deposit, cut = self.deposit[pool], self.cut[pool]
        if deposit == 0 and cut == 0:
            return [f"nothing needed {goal}"]
        said = [
            f"no deposit up to twice the gross exposure is enough {goal}"
            if np.isnan(deposit)
            else f"deposit {deposit:,.2f} {base} {goal} (forecast then {self.deposit_probability[pool]:.2%})",
            f"closing 99% of every position is not enough {goal}"
            if np.isnan(cut)
            else f"close {cut:.1%} of every position {goal} (forecast then {self.cut_probability[pool]:.2%})",
        ]
        for trades in (self.leg, self.hedge):
            if trades.symbol[pool]:
                said.append(f"{trades.words(pool)} {goal} (forecast then {trades.probability[pool]:.2%})")
        if not np.isnan(self.cheapest.deposit[pool]):
            said.append(self.cheapest.words(pool, base))
        return said
