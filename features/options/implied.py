"""Implied volatilities of a chain recomputed from its prices, and which of them can be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ...riskcore.arrays import BoolArray, FloatArray, frozen
from ...riskcore.options.greeks import greeks
from ...riskcore.options.implied_volatility import implied_volatility
from .chain import OptionChain
from .quality import ChainQuality, QualityRules, price_flags

UNSOUND = ("crossed", "no_forward", "below_intrinsic", "above_bound", "worthless", "stale", "tiny_vega")


@dataclass(frozen=True)
class ImpliedSurface:
    """Black-76 volatilities of every option of a chain, per year, as fractions.

    Parameters
    ----------
    chain
        The chain, with the forwards that could be inferred.
    mark, bid, ask
        Volatility of the mark (of the mid where there is no mark), the bid and the ask, shape (n,). NaN where there is
        no such price or no volatility gives it.
    delta
        Forward delta at the mark's volatility, N(d1) for a call and N(d1) - 1 for a put.
    vega
        At the mark's volatility, per 1.00 of volatility, as a fraction of the forward.
    sound
        Out of the money (or at it), with a volatility of the mark, and none of the rules `UNSOUND` applies.
    flags
        Masks by rule of `quality.RULES`.
    """

    chain: OptionChain
    mark: FloatArray
    bid: FloatArray
    ask: FloatArray
    delta: FloatArray
    vega: FloatArray
    sound: BoolArray
    flags: Mapping[str, BoolArray]

    def __post_init__(self) -> None:
        for name in ("mark", "bid", "ask", "delta", "vega"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        object.__setattr__(self, "sound", frozen(self.sound, np.bool_))
        object.__setattr__(self, "flags", MappingProxyType(dict(self.flags)))

    @property
    def quality(self) -> ChainQuality:
        """Rows by rule, with the rows that were left out of the chain."""
        dropped = {"expired": self.chain.expired, "duplicate": self.chain.duplicates}
        counts = {rule: int(mask.sum()) for rule, mask in self.flags.items()}
        rows = len(self.chain) + sum(dropped.values())
        return ChainQuality(rows, int(self.sound.sum()), counts | dropped)


def implied_surface(chain: OptionChain, rules: QualityRules | None = None) -> ImpliedSurface:
    """Recompute the implied volatilities of a chain from its prices.

    Each option is valued on the forward told with its own quote, over exact seconds of a year of 365 days and without
    discounting (venues of inverse and stablecoin options price on the forward with a rate of zero).

    Parameters
    ----------
    chain
        The chain; forwards it lacks are inferred first (`with_forwards`) by whoever makes it.
    rules
        Where the quality rules draw their lines.

    Examples
    --------
    One expiry 73 days ahead; a call struck at the forward is worth 2 N(v / 2) - 1 coins with v = volatility sqrt(time).

    >>> from .chain_rows import chain_from_rows
    >>> rows = {"expiry": ["2024-03-14"], "strike": [5e4], "right": [1], "mark": [0.10673], "forward": [5e4]}
    >>> surface = implied_surface(chain_from_rows("BTC", np.datetime64("2024-01-01"), rows))
    >>> surface.mark.round(4).tolist(), surface.delta.round(4).tolist(), surface.quality.lines()[0]
    ([0.6], [0.5534], '1 quotes, 1 sound (100.00%)')
    """
    rules = rules or QualityRules()
    bid, ask, mark = (chain.per_forward(price) for price in (chain.bid, chain.ask, chain.mark))
    mid = np.where((bid > 0) & (bid <= ask), 0.5 * (bid + ask), np.nan)
    price = np.where(np.isnan(mark), mid, mark)
    volatility, of_bid, of_ask = volatilities(chain, np.stack((price, bid, ask)))
    told = greeks(1.0, chain.strike / chain.forward, chain.years, volatility, chain.right)
    flags = price_flags(chain, price, rules)
    flags["tiny_vega"] = told.vega < rules.least_vega
    sound = chain.out_of_the_money & np.isfinite(volatility)
    for rule in UNSOUND:
        sound &= ~flags[rule]
    return ImpliedSurface(chain, volatility, of_bid, of_ask, told.delta, told.vega, sound, flags)


def volatilities(chain: OptionChain, price: FloatArray) -> FloatArray:
    """Volatilities of prices given as fractions of the forward.

    Parameters
    ----------
    price
        Shape (..., n).

    Returns
    -------
    FloatArray
        Same shape; NaN where there is no price or forward, the price is zero, or no volatility gives it.
    """
    out = np.full(price.shape, np.nan)
    asked = np.isfinite(chain.forward) & (price > 0)
    columns = (chain.strike / chain.forward, chain.years, chain.right)
    ratio, years, right = (np.broadcast_to(column, price.shape)[asked] for column in columns)
    found = implied_volatility(price[asked], 1.0, ratio, years, right, outside="nan")
    out[asked] = np.where((found > 0) & np.isfinite(found), found, np.nan)
    return out
