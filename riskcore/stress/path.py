"""A stress as a path: what prices do step by step, how deep the books are, and whether oracle and venue are there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..arrays import BoolArray, FloatArray, frozen, require
from ..errors import InputError
from ..instruments import INVERSE, InstrumentTable
from ..market import MarketState


@dataclass(frozen=True)
class StressPath:
    """A path of shocks to a market, relative to where it starts.

    Parameters
    ----------
    name, told
        Its name, and in a sentence what happens and where the figures come from.
    mark
        Mark of each instrument over its mark at the start, shape (n_steps, n_instruments); positive.
    index
        The same for the price of each asset, shape (n_steps, n_assets). The base asset's may move too: what is told in
        it is then worth so much less (a depeg of the settlement coin shows in all other prices, not here).
    depth
        Depth of the books over the usual, shape (n_steps,); 0: nobody quotes.
    volatility
        Implied volatility over the usual, shape (n_steps,).
    oracle
        Whether the venue sees the prices of the step; if not it goes on with the last it saw.
    trading
        Whether the venue liquidates and matches in the step.

    Raises
    ------
    InputError
        Shapes that disagree, no step, a factor that is not positive, a depth that is negative.
    """

    name: str
    told: str
    mark: FloatArray
    index: FloatArray
    depth: FloatArray
    volatility: FloatArray
    oracle: BoolArray
    trading: BoolArray

    def __post_init__(self) -> None:
        for name in ("mark", "index", "depth", "volatility"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        for name in ("oracle", "trading"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.bool_))
        if self.mark.ndim != 2 or self.index.ndim != 2 or len(self.mark) == 0:
            raise InputError("needs at least one step of marks and indices", column="mark")
        for name in ("index", "depth", "volatility", "oracle", "trading"):
            if len(getattr(self, name)) != len(self.mark):
                problem = f"has {len(getattr(self, name))} steps, the marks have {len(self.mark)}"
                raise InputError(problem, column=name)
        for name in ("mark", "index", "volatility"):
            column = getattr(self, name).ravel()
            require((column > 0) & np.isfinite(column), column, "must be positive", name)
        require((self.depth >= 0) & np.isfinite(self.depth), self.depth, "must not be negative", "depth")

    def __len__(self) -> int:
        return len(self.mark)

    def at(self, market: MarketState, step: int) -> MarketState:
        """The market as it truly is in a step."""
        return MarketState(market.time, market.mark * self.mark[step], market.index * self.index[step])

    def seen(self, market: MarketState, step: int) -> MarketState:
        """The market as the venue sees it in a step: that of the last step with an oracle, or of the start."""
        live = np.flatnonzero(self.oracle[: step + 1])
        return self.at(market, int(live[-1])) if len(live) else market

    def scaled(self, size: float) -> StressPath:
        """The same path with every price move `size` times as large, in logs; depth and outages stay.

        Examples
        --------
        >>> path = price_path("fall", "halves", [0.5], InstrumentTable.linear_perpetuals(["BTC"]))
        >>> path.scaled(2.0).mark.tolist(), path.scaled(0.0).mark.tolist()
        ([[0.25]], [[1.0]])
        """
        told = self.told if size == 1 else f"{self.told}, times {size:.3g}"
        return replace(self, told=told, mark=self.mark**size, index=self.index**size, volatility=self.volatility**size)


def price_path(
    name: str,
    told: str,
    factor: FloatArray | list[float] | list[list[float]],
    table: InstrumentTable,
    *,
    depth: float | FloatArray = 1.0,
    volatility: float | FloatArray = 1.0,
    oracle: bool | BoolArray = True,
    trading: bool | BoolArray = True,
) -> StressPath:
    """A path on which assets move with the contract of the same name; others keep their price.

    An asset without one moves with the first inverse contract that settles in it, whose mark is its price.

    Parameters
    ----------
    factor
        Price over the price at the start, shape (n_steps,) for all contracts or (n_steps, n_instruments).
    table
        The contracts.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["ETH", "GOLD"])
    >>> path = price_path("fall", "ETH halves", [[1.0, 0.5]], table)
    >>> path.index.tolist()
    [[1.0, 0.5, 1.0]]
    """
    moves = np.asarray(factor, np.float64)
    mark = np.broadcast_to(moves if moves.ndim == 2 else moves[:, None], (len(moves), len(table)))
    index = np.ones((len(mark), len(table.assets)))
    for place, asset in enumerate(table.assets[1:], 1):
        coined = np.flatnonzero((table.kind == INVERSE) & (table.settlement == place)).tolist()
        mover = [table.symbols.index(asset)] if asset in table.symbols else coined
        if mover:
            index[:, place] = mark[:, mover[0]]
    steps = np.ones(len(mark))
    return StressPath(
        name, told, mark, index, depth * steps, volatility * steps, steps * oracle == 1, steps * trading == 1
    )
