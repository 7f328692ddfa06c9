"""Distance to liquidation less what it would cost to get out: a large book is nearer to its end than it looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...riskcore.accounts import AccountBook
from ...riskcore.arrays import FloatArray, IntArray, require, require_shape, table_sums
from ...riskcore.exposure import Exposure
from ...riskcore.instruments import contract_value
from ..engine.step import Declaration

MEAN_OF_PEAK = 2.0 / 3.0
"""What is paid on average while impact grows with the square root of the size: two thirds of the last price's."""


def net_notional(book: AccountBook, mark: FloatArray, index: FloatArray) -> FloatArray:
    """Value of each pool's position in each instrument, legs of both sides netted, base asset, (p, n_instruments).

    Parameters
    ----------
    book
        The pools.
    mark, index
        Price of the instrument and of the settlement asset of each position, shape (n_positions,).

    Examples
    --------
    >>> from ...riskcore.instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> names, nan = (["a"], ["m"], [""]), np.nan
    >>> book = AccountBook(table, *names, [0, 0], [], [], [0, 2], [0, 0], [3.0, -1.0], [90.0, 90.0], [nan, nan])
    >>> net_notional(book, np.full(2, 100.0), np.ones(2)).tolist()
    [[200.0]]
    """
    value = contract_value(book.position_size, mark, book.position_inverse) * index
    return table_sums(book.position_pool, book.position_instrument, value, (len(book), len(book.instruments)))


def liquidation_cost(
    notional: FloatArray,
    row: IntArray,
    volatility: ArrayLike,
    volume: ArrayLike,
    spread: ArrayLike,
    coefficient: float = 1.0,
) -> FloatArray:
    """Cost of closing each pool at once, base asset: half the spread, and impact by the square-root law.

    Closing Q of an instrument that trades V a day at a daily volatility s moves its price by Y s sqrt(Q / V) and costs
    two thirds of that on average. Source: B. Toth et al., Anomalous price impact and the critical nature of liquidity
    in financial markets, Physical Review X 1 (2011); Y is about one. Instruments are closed side by side: what one
    does to another's price is left out.

    Parameters
    ----------
    notional
        From `net_notional`, shape (p, n).
    row
        Row of the next three for each pool, shape (p,).
    volatility, volume, spread
        Standard deviation of daily log returns, traded value a day in the base asset, and bid-ask spread as a fraction
        of the price, each of shape (m, n).
    coefficient
        Y.

    Returns
    -------
    FloatArray
        Shape (p,). NaN where a figure of an instrument the pool holds is missing; infinite where nothing is traded.

    Raises
    ------
    InputError
        Shapes that disagree, a figure that is negative.

    Examples
    --------
    1% of the daily volume at 4% a day: two thirds of 0.4% and half a spread of 0.1%.

    >>> one = np.ones((1, 1))
    >>> liquidation_cost(100.0 * one, np.array([0]), 0.04 * one, 1e4 * one, 0.001 * one).round(6).tolist()
    [0.316667]
    """
    figures = [np.asarray(array, np.float64) for array in (volatility, volume, spread)]
    for name, array in zip(("volatility", "volume", "spread"), figures, strict=True):
        require_shape(array, (len(array), notional.shape[1]), name)
        require(~(array < 0.0), array, "must not be negative", name)
    sigma, traded, wide = (array[row] for array in figures)
    size = np.abs(notional)
    held = size > 0.0
    with np.errstate(divide="ignore"):
        impact = coefficient * sigma * np.sqrt(np.where(held, size, 0.0) / np.where(held, traded, 1.0))
    return np.asarray(np.where(held, size * (0.5 * wide + MEAN_OF_PEAK * impact), 0.0).sum(axis=1))


def liquidity_adjusted(distance: FloatArray, exposure: Exposure, cost: FloatArray) -> FloatArray:
    """Distances scaled to the headroom that is left once the book has been closed: distance * (1 - cost / headroom).

    Parameters
    ----------
    distance
        In standard deviations, shape (p, v): of `account_geometry` or `direction_distance`.
    exposure
        The pools' headroom.
    cost
        From `liquidation_cost`, shape (p,).

    Returns
    -------
    FloatArray
        Shape (p, v); negative where closing costs more than there is. A pool in breach keeps its distance.

    Examples
    --------
    >>> one = np.array([30.0]), np.array([40.0]), np.array([10.0])
    >>> exposure = Exposure(np.array([0, 1]), np.array([0]), np.array([300.0]), *one)
    >>> liquidity_adjusted(np.array([[10.0]]), exposure, np.array([6.0])).tolist()
    [[8.0]]
    """
    require_shape(cost, (len(exposure),), "cost")
    positive = exposure.headroom > 0.0
    kept = np.where(positive, 1.0 - cost / np.where(positive, exposure.headroom, 1.0), 1.0)
    with np.errstate(invalid="ignore"):
        return np.where(cost[:, None] == 0.0, distance, distance * kept[:, None])


DECLARATIONS = (
    Declaration(
        "liquidity_distance",
        "Distance to liquidation with the cost of closing the book taken off the headroom",
        "standard deviations of an hour",
        ("close", "volume", "high", "low"),
        24.0,
        "NaN where volatility, volume or spread of a held instrument is not known",
        "Toth et al. (2011)",
    ),
    Declaration(
        "liquidation_cost_share",
        "Cost of closing the book by half-spread and square-root impact, over the headroom",
        "fraction of headroom",
        ("close", "volume", "high", "low"),
        24.0,
        "NaN where volatility, volume or spread of a held instrument is not known",
        "Toth et al. (2011)",
    ),
)
"""What `liquidity_adjusted` and cost over headroom say of themselves."""
