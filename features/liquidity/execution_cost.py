"""What it costs to close a position into the book: average price and impact, or why it cannot be said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.errors import InputError
from .book_levels import BID, BookLevels
from .depth_measures import BASIS_POINTS

NO_BOOK, NOT_DEEP_ENOUGH = "one-sided book", "not deep enough as far as the book is known"


@dataclass(frozen=True)
class ExecutionCost:
    """A market order against the book.

    Parameters
    ----------
    average_price
        Quote units; NaN where the order cannot be filled.
    impact_bps
        How much worse than the mid that is, basis points of the mid, zero or more; NaN likewise.
    worst_price
        Price of the last level taken.
    reason
        Why the cost is NaN; empty where it is known.
    """

    average_price: float
    impact_bps: float
    worst_price: float
    reason: str = ""


def execution_cost(book: BookLevels, side: int, notional: float) -> ExecutionCost:
    """Walk a side of the book until a position worth so much at the mid is filled.

    The quantity is Q = notional / mid. With q_k the sizes from the best price on, cut where they add up to Q, the
    average price is sum(p_k q_k) / Q and the impact |average - mid| / mid. It is the cost of an order sent at once: no
    fee, no delay, nobody pulling orders and nothing coming back.

    Parameters
    ----------
    book
        The book.
    side
        `BID` to sell (close a long), `ASK` to buy (close a short).
    notional
        Worth of the position at the mid, quote units, positive.

    Returns
    -------
    ExecutionCost
        NaN with a reason where the side ends, or is not known, before the position is filled. Nothing is extrapolated.

    Raises
    ------
    InputError
        A notional that is not positive and finite.

    Examples
    --------
    Five coins at a mid of 100: two at 99 and three at 98.

    >>> from .book_levels import ASK
    >>> book = BookLevels.of_prices([[99.0, 2.0], [98.0, 4.0]], [[101.0, 1.0]])
    >>> cost = execution_cost(book, BID, 500.0)
    >>> cost.average_price, round(cost.impact_bps, 9), cost.worst_price
    (98.4, 160.0, 98.0)
    >>> execution_cost(book, ASK, 500.0).reason
    'not deep enough as far as the book is known'
    """
    if not 0.0 < notional < np.inf:
        raise InputError("must be positive and finite", column="notional", value=notional)
    if not book.two_sided:
        return ExecutionCost(np.nan, np.nan, np.nan, NO_BOOK)
    prices, sizes = book.side(side)
    quantity = notional / book.mid
    filled = np.cumsum(sizes)
    last = int(np.searchsorted(filled, quantity))
    known = book.bid_ticks >= book.bid_edge if side == BID else book.ask_ticks <= book.ask_edge
    if last >= int(known.sum()):
        return ExecutionCost(np.nan, np.nan, np.nan, NOT_DEEP_ENOUGH)
    before = float(filled[last - 1]) if last else 0.0
    paid = float(np.cumsum(prices[:last] * sizes[:last])[-1]) if last else 0.0
    average = (paid + float(prices[last]) * (quantity - before)) / quantity
    impact = BASIS_POINTS * abs(average - book.mid) / book.mid
    return ExecutionCost(average, impact, float(prices[last]))
