"""What closing every position of a book costs into the depth there is, fraction of notional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, frozen, require
from ..riskcore.errors import InputError
from ..riskcore.instruments import contract_value
from ..riskcore.market import MarketState


@dataclass(frozen=True)
class DepthLadder:
    """What rests within distances of the mid, on each side, at one instant.

    Parameters
    ----------
    level_bps
        Distances, basis points, rising, shape (k,).
    bid, ask
        Quote units that rest within each distance, rising, shape (k,).

    Raises
    ------
    InputError
        Levels that do not rise, depth that is negative or falls with the distance.
    """

    level_bps: FloatArray
    bid: FloatArray
    ask: FloatArray

    def __post_init__(self) -> None:
        for name in ("level_bps", "bid", "ask"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
            column = getattr(self, name)
            if column.shape != self.level_bps.shape or len(column) == 0:
                raise InputError(f"has shape {column.shape}, expected {self.level_bps.shape}", column=name)
            step = np.diff(column, prepend=0.0)
            require(step > 0 if name == "level_bps" else step >= 0, column, "must rise from 0", name)

    def cost(self, size: FloatArray, side: FloatArray) -> FloatArray:
        """Cost of closing positions of these sizes, quote units; longs (side > 0) sell into the bids.

        Fraction of the size, as `execution_cost` has it: linear in the amount between two levels. NaN where the book is
        not that deep.

        Examples
        --------
        >>> ladder = DepthLadder([10.0, 50.0], [100.0, 300.0], [50.0, 60.0])
        >>> ladder.cost(np.array([150.0, 20.0, 100.0]), np.array([1.0, -1.0, -1.0])).round(6).tolist()
        [0.002333, 0.001, nan]
        """
        out = np.empty(len(size))
        for resting, mine in ((self.bid, side > 0), (self.ask, side <= 0)):
            paid = np.cumsum(np.diff(resting, prepend=0.0) * self.level_bps) / 1e4
            amount = np.interp(size[mine], np.append(0.0, resting), np.append(0.0, paid))
            out[mine] = np.where(size[mine] <= resting[-1], amount / size[mine], np.nan)
        return out


def depth_closing_cost(book: AccountBook, market: MarketState, ladders: Mapping[str, DepthLadder]) -> FloatArray:
    """Cost of closing each position of a book by itself, fraction of notional, shape (n_positions,).

    Positions are sized at today's marks, and the cost stays as it is today in every scenario: in a crash depth thins
    out, so it is a lower bound there. NaN for an instrument without a ladder and where the book is not deep enough.
    """
    mark = market.mark[book.position_instrument]
    value = contract_value(book.position_size, mark, book.position_inverse)
    # depth is told in quote units; an inverse contract's face is
    size = np.abs(np.where(book.position_inverse, book.position_size, value))
    out = np.full(len(size), np.nan)
    for i, symbol in enumerate(book.instruments.symbols):
        mine = book.position_instrument == i
        if symbol in ladders and mine.any():
            out[mine] = ladders[symbol].cost(size[mine], book.position_size[mine])
    return out
