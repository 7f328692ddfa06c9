"""An order book at one instant: its levels, best first, and how far it is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray, frozen
from ...riskcore.errors import InputError
from .price_grid import PriceGrid

BID, ASK = 0, 1
UNBOUNDED = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class BookLevels:
    """Both sides of a book.

    Parameters
    ----------
    symbol
        Instrument.
    time
        When this was last known to be the venue's book, nanoseconds since 1970.
    grid
        What a tick is.
    bid_ticks, bid_sizes
        Bids, best (highest) first.
    ask_ticks, ask_sizes
        Asks, best (lowest) first.
    bid_edge, ask_edge
        Lowest tick down to which bids, and highest up to which asks are known. Levels beyond may stand here, others may
        be missing.

    Raises
    ------
    InputError
        Prices that are not best first, or sides that cross.

    Examples
    --------
    >>> book = BookLevels.of_prices([[100.0, 2.0], [99.5, 4.0]], [[100.5, 1.0]])
    >>> book.mid, book.bid_prices.tolist(), book.known_to(BID)
    (100.25, [100.0, 99.5], 99.5)
    """

    symbol: str
    time: int
    grid: PriceGrid
    bid_ticks: IntArray
    bid_sizes: FloatArray
    ask_ticks: IntArray
    ask_sizes: FloatArray
    bid_edge: int
    ask_edge: int

    def __post_init__(self) -> None:
        for name, dtype in (("bid_ticks", np.int64), ("ask_ticks", np.int64)):
            object.__setattr__(self, name, frozen(getattr(self, name), dtype))
        for name in ("bid_sizes", "ask_sizes"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        if (np.diff(self.bid_ticks) >= 0).any() or (np.diff(self.ask_ticks) <= 0).any():
            raise InputError("levels must stand best first", column="bids, asks")
        if self.two_sided and self.bid_ticks[0] >= self.ask_ticks[0]:
            value = float(self.bid_prices[0])
            raise InputError("best bid must be below the best ask", column="bids", value=value)

    @classmethod
    def of_prices(cls, bids: object, asks: object, *, symbol: str = "", time: int = 0) -> BookLevels:
        """A book from (k, 2) tables of price and size, best first, known as far as they reach."""
        sides = [np.asarray(side, np.float64).reshape(-1, 2) for side in (bids, asks)]
        grid = PriceGrid.of_prices(np.concatenate(sides)[:, 0])
        ticks = [grid.ticks(side[:, 0]) for side in sides]
        edges = (int(ticks[0].min(initial=UNBOUNDED)), int(ticks[1].max(initial=0)))
        return cls(symbol, time, grid, ticks[0], sides[0][:, 1], ticks[1], sides[1][:, 1], *edges)

    @property
    def two_sided(self) -> bool:
        """Whether there is a bid and an ask, and so a mid."""
        return len(self.bid_ticks) > 0 and len(self.ask_ticks) > 0

    @property
    def bid_prices(self) -> FloatArray:
        """Quote units, best first."""
        return self.grid.prices(self.bid_ticks)

    @property
    def ask_prices(self) -> FloatArray:
        """Quote units, best first."""
        return self.grid.prices(self.ask_ticks)

    @property
    def twice_mid(self) -> int:
        """Best bid plus best ask, ticks."""
        return int(self.bid_ticks[0] + self.ask_ticks[0])

    @property
    def mid(self) -> float:
        """Middle of best bid and ask, quote units; NaN where a side is empty."""
        return self.twice_mid * self.grid.units / (2 * self.grid.scale) if self.two_sided else np.nan

    def side(self, side: int) -> tuple[FloatArray, FloatArray]:
        """Prices and sizes of a side, best first."""
        return (self.bid_prices, self.bid_sizes) if side == BID else (self.ask_prices, self.ask_sizes)

    def known_to(self, side: int) -> float:
        """Price up to which a side is known."""
        return (self.bid_edge if side == BID else self.ask_edge) * self.grid.units / self.grid.scale

    def as_seen(self) -> BookLevels:
        """The same book with its levels taken for all there are: depth far from the mid is then a lower bound."""
        return replace(self, bid_edge=0, ask_edge=UNBOUNDED)
