"""What is wrong with the quotes of option chains: named rules, masks by rule, and counts that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ...riskcore.arrays import BoolArray, FloatArray
from .chain import OptionChain

RULES: dict[str, str] = {
    "expired": "had expired, left out",
    "duplicate": "repeated another row exactly, left out",
    "no_bid": "have no bid",
    "no_ask": "have no ask",
    "no_mark": "have no mark; the mid stands for it where there is a bid and an ask that do not cross",
    "crossed": "have a bid above the ask",
    "no_forward": "have no forward and none could be inferred",
    "forward_inferred": "have a forward that was inferred (told for other rows of the expiry, or put-call parity)",
    "below_intrinsic": "have a mark below what exercise at the forward would pay",
    "above_bound": "have a mark above the most an option can be worth",
    "worthless": "have a mark of zero",
    "tiny_vega": "have a price that hardly depends on volatility",
    "stale": "were quoted too long before the chain",
}
"""Rules by name, as a sentence about rows."""


@dataclass(frozen=True)
class QualityRules:
    """Where the rules that need a number draw the line.

    Parameters
    ----------
    least_vega
        Vega per 1.00 of volatility, as a fraction of the forward, below which a price says too little of volatility.
        At 0.001, half a unit of the sixth decimal of a coin price is 0.05 points of volatility.
    max_quote_age
        Age of a quote at the chain's time above which it is stale; only quotes that tell their time can be.
    """

    least_vega: float = 1e-3
    max_quote_age: np.timedelta64 = np.timedelta64(10, "m")


@dataclass(frozen=True)
class ChainQuality:
    """How many rows each rule names; values add.

    Parameters
    ----------
    rows
        Rows of the source, left-out ones included.
    sound
        Rows fit for a smile: see `ImpliedSurface.sound`.
    counts
        Rows by rule of `RULES`; a row can be counted by several.

    Examples
    --------
    >>> one = ChainQuality(10, 4, {"no_bid": 2})
    >>> print((one + one).lines()[0]); print((one + one).lines()[1])
    20 quotes, 8 sound (40.00%)
    4 (20.00%) have no bid
    """

    rows: int
    sound: int
    counts: Mapping[str, int]

    def __post_init__(self) -> None:
        counts = {rule: int(self.counts.get(rule, 0)) for rule in RULES}
        object.__setattr__(self, "counts", MappingProxyType(counts))

    def __add__(self, other: ChainQuality) -> ChainQuality:
        counts = {rule: count + other.counts[rule] for rule, count in self.counts.items()}
        return ChainQuality(self.rows + other.rows, self.sound + other.sound, counts)

    @property
    def sound_share(self) -> float:
        """Share of the rows that are sound; NaN without rows."""
        return self.sound / self.rows if self.rows else float("nan")

    def lines(self) -> list[str]:
        """For a console, one rule a line; rules that name no row are left out."""
        share = {rule: f"{count} ({count / self.rows:.2%})" for rule, count in self.counts.items() if count}
        head = f"{self.rows} quotes, {self.sound} sound ({self.sound_share:.2%})"
        return [head, *(f"{counted} {RULES[rule]}" for rule, counted in share.items())]


def price_flags(chain: OptionChain, price: FloatArray, rules: QualityRules) -> dict[str, BoolArray]:
    """Masks of the rules that look at quotes alone, each of shape (n,).

    Parameters
    ----------
    price
        Mark (or the mid that stands for it) as a fraction of the forward.
    """
    moneyness = chain.strike / chain.forward
    intrinsic = np.maximum(chain.right * (1.0 - moneyness), 0.0)
    return {
        "no_bid": ~(chain.bid > 0),
        "no_ask": ~(chain.ask > 0),
        "no_mark": np.isnan(chain.mark),
        "crossed": (chain.bid > chain.ask) & (chain.ask > 0),
        "no_forward": np.isnan(chain.forward),
        "forward_inferred": chain.forward_inferred,
        "below_intrinsic": price < intrinsic,
        "above_bound": price >= np.where(chain.right > 0, 1.0, moneyness),
        "worthless": price == 0,
        "stale": chain.time - chain.quoted > rules.max_quote_age,
    }
