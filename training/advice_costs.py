"""What a deposit, a cut or a hedge is taken to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..features.liquidity.book_depth import book_depth
from ..features.market_data import MarketData
from ..models.closing_cost import DepthLadder
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from ..riskcore.instruments import InstrumentTable, contract_value
from ..riskcore.market import MarketState
from ..riskcore.rulebook import RuleBook

CAPITAL_PER_YEAR = 0.10
TAKER_FEE = 0.0005
"""The regular taker fee of Binance USD-M futures (its fee schedule, VIP 0): a stand-in where no other is told."""
SLIPPAGE = 0.0005
HOURS_A_YEAR = 24 * 365.25


@dataclass(frozen=True)
class AdviceCosts:
    """Costs of measures. The defaults are assumptions, and are said to be (`words`, `record`).

    Parameters
    ----------
    capital_per_year
        Charge on a deposit for a year; it is charged for the horizon.
    fee
        Taker fee, fraction of the notional traded.
    slippage
        Half the spread and market impact, fraction of the notional, of instruments without a ladder.
    ladders
        Depth by symbol: a trade walks out through it (`DepthLadder.cost`) and cannot be larger than what rests there.
    fee_from, slippage_from
        Where they come from, in a word or two.

    Raises
    ------
    InputError
        A cost that is negative or not finite.
    """

    capital_per_year: float = CAPITAL_PER_YEAR
    fee: float = TAKER_FEE
    slippage: float = SLIPPAGE
    ladders: Mapping[str, DepthLadder] = field(default_factory=dict)
    fee_from: str = "default"
    slippage_from: str = "default"

    def __post_init__(self) -> None:
        for name in ("capital_per_year", "fee", "slippage"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise InputError("must be a finite number not below 0", column=name, value=value)

    def of_deposit(self, amount: FloatArray, hours: float) -> FloatArray:
        """Charge on deposits for a horizon.

        Examples
        --------
        >>> AdviceCosts(capital_per_year=0.12).of_deposit(np.array([1000.0]), 8766 / 12).round(9).tolist()
        [10.0]
        """
        return amount * (self.capital_per_year * hours / HOURS_A_YEAR)

    def trade_rates(
        self, table: InstrumentTable, market: MarketState, instrument: IntArray, quantity: FloatArray
    ) -> FloatArray:
        """Fee and slippage of trades at the mark (quantity > 0 buys), fraction of notional; NaN: deeper than the book.

        Examples
        --------
        5 bp of fee, and 10 bp for what rests within 10 bp of the mid:

        >>> table = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
        >>> market = MarketState(np.datetime64("2024-01-01"), [100.0, 50.0], [1.0])
        >>> costs = AdviceCosts(ladders={"BTC": DepthLadder([10.0], [200.0], [200.0])})
        >>> costs.trade_rates(table, market, np.array([0, 0, 1]), np.array([-1.0, 3.0, 1.0])).round(9).tolist()
        [0.0015, nan, 0.001]
        """
        size, mark = table.multiplier[instrument] * np.abs(quantity), market.mark[instrument]
        inverse = table.kind[instrument] != 0
        quote = np.where(inverse, size, contract_value(size, mark, False))
        slipped = np.full(len(quote), self.slippage)
        for place in np.unique(instrument):
            ladder = self.ladders.get(table.symbols[place])
            if ladder is not None:
                mine = (instrument == place) & (quantity != 0)
                slipped[mine] = ladder.cost(quote[mine], -quantity[mine])
        return self.fee + slipped

    def record(self) -> dict[str, Any]:
        """The assumptions as plain values."""
        return {
            "capital_per_year": self.capital_per_year,
            "fee": self.fee,
            "fee_from": self.fee_from,
            "slippage_without_depth": self.slippage,
            "slippage_from": self.slippage_from,
            "depth_known_of": sorted(self.ladders),
        }

    def words(self) -> str:
        """The assumptions in words.

        Examples
        --------
        >>> AdviceCosts().words()
        'capital 10% a year, fee 5 bp (default), slippage 5 bp (default)'
        """
        slipped = f"slippage {1e4 * self.slippage:g} bp ({self.slippage_from})"
        if self.ladders:
            slipped = f"slippage by depth (where unknown {1e4 * self.slippage:g} bp)"
        return (
            f"capital {100 * self.capital_per_year:g}% a year, fee {1e4 * self.fee:g} bp ({self.fee_from}), {slipped}"
        )


def usual_costs(data: MarketData, rules: RuleBook, bar: int) -> AdviceCosts:
    """Costs where nobody names any: the venue's closing fee if it has one, and the depth last seen before a bar."""
    ladders = ladders_before(data, bar)
    if rules.closing_fee > 0:
        return AdviceCosts(fee=rules.closing_fee, fee_from="rule-book", ladders=ladders)
    return AdviceCosts(ladders=ladders)


def ladders_before(data: MarketData, bar: int) -> dict[str, DepthLadder]:
    """Depth by symbol as last seen in the bar before; symbols of which both sides are not known are not among them."""
    if data.depth is None:
        return {}
    history = data.history
    symbols = history.instruments.symbols
    seen = book_depth(data.depth, history.times[bar - 1 : bar], history.step, symbols)
    out = {}
    for place, symbol in enumerate(symbols):
        bid, ask = seen.bid[0, place], seen.ask[0, place]
        there = np.isfinite(bid) & np.isfinite(ask)
        if there.any():
            out[symbol] = DepthLadder(seen.levels[there], bid[there], ask[there])
    return out
