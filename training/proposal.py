"""A margin proposal: current and proposed rates per instrument and regime, and what they were measured on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from .margin_measures import MarginMeasures, PooledMeasures


@dataclass(frozen=True)
class SideProposal:
    """The rate one side of an instrument would have by itself.

    Parameters
    ----------
    proposed
        Rate at the end: the quantile within the guard-rail, and the cost of liquidation where it is known.
    liquidation_cost
        Cost of liquidating the size the proposal is for, fraction of notional; None without depth.
    measures
        Of the rate without the cost of liquidation, against the moves that came.
    """

    proposed: float
    liquidation_cost: float | None
    measures: MarginMeasures


@dataclass(frozen=True)
class RegimeRate:
    """The rate of a table with a row for each regime: the quantile of past losses of the same regime.

    Parameters
    ----------
    rate
        Rate at the end, the larger of both sides'; NaN where the regime had too few periods.
    n_test, coverage
        Losses of both sides in the tested periods of the regime, and the share that the rate of the day covered.
    """

    rate: float
    n_test: int
    coverage: float


@dataclass(frozen=True)
class InstrumentProposal:
    """Current and proposed maintenance rate of one instrument; one rate for both sides, the larger.

    Parameters
    ----------
    current
        First-tier maintenance rate of the rule-book, without closing fee.
    generic
        Whether that is the rule-book's generic schedule, not the venue's figure.
    proposed, target
        Rate at the end within the guard-rail, and without it; both with the cost of liquidation where it is known.
    next_day, days_to_reach
        Where the guard-rail lets the current rate go in a day, and in how many it reaches the proposed one.
    measures
        Of the one rate against the losses of both sides, without the cost of liquidation.
    sides, regime, regimes
        Each side by itself; the regime at the end, and the rate of each.
    """

    current: float
    generic: bool
    proposed: float
    target: float
    next_day: float
    days_to_reach: int
    measures: MarginMeasures
    sides: Mapping[str, SideProposal]
    regime: str
    regimes: Mapping[str, RegimeRate]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        own = {
            "current": self.current,
            "current_is_generic": self.generic,
            "proposed": self.proposed,
            "target": self.target,
            "next_day": self.next_day,
            "days_to_reach": self.days_to_reach,
        }
        sides = {
            name: {"proposed": side.proposed, "liquidation_cost": side.liquidation_cost, **asdict(side.measures)}
            for name, side in self.sides.items()
        }
        regimes = {name: asdict(rate) for name, rate in self.regimes.items()}
        return {**own, **asdict(self.measures), "sides": sides, "regime": self.regime, "regimes": regimes}


@dataclass(frozen=True)
class MarginProposal:
    """Proposed maintenance rates of a market, walked forward over the tested span.

    Parameters
    ----------
    instruments
        By symbol.
    pooled
        The proposal over all instruments and sides, each side at its own rate: what baselines compare with.
    baselines
        The same measures of each baseline method.
    loss_against
        For each baseline, the proposal's mean quantile score over its own minus 1, and the two-sided p-value of
        Diebold and Mariano.
    coverage_by_year
        Coverage of the pooled proposal in each year.
    data
        What it was measured on: settings, market folder, files and their hashes, periods, what was left out.
    """

    instruments: Mapping[str, InstrumentProposal]
    pooled: PooledMeasures
    baselines: Mapping[str, PooledMeasures]
    loss_against: Mapping[str, Mapping[str, float]]
    coverage_by_year: Mapping[str, float]
    data: Mapping[str, object]

    def as_dict(self) -> dict[str, object]:
        """The JSON of `margincast tune`; NaN becomes null."""
        plain = {
            "instruments": {symbol: proposal.as_dict() for symbol, proposal in self.instruments.items()},
            "pooled": {**asdict(self.pooled), "coverage_by_year": dict(self.coverage_by_year)},
            "baselines": {
                name: {**asdict(measures), "proposal_loss": dict(self.loss_against[name])}
                for name, measures in self.baselines.items()
            },
            "data": dict(self.data),
        }
        return {key: _without_nan(value) for key, value in plain.items()}

    def rows(self) -> list[dict[str, object]]:
        """One row an instrument and side, as the report's table of current against proposed shows them."""
        return [
            {
                "symbol": symbol,
                "side": name,
                "current": proposal.current,
                "proposed": side.proposed,
                "change": side.proposed / proposal.current - 1,
                "coverage": side.measures.coverage,
                "kupiec_p": side.measures.kupiec_p,
                "violations": side.measures.violations,
                "n": side.measures.n_test,
            }
            for symbol, proposal in self.instruments.items()
            for name, side in proposal.sides.items()
        ]


def _without_nan(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return value
