"""Wrong-way risk: collateral that loses value when the position it secures does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..accounts import AccountBook
from ..arrays import FloatArray, require, require_shape, table_sums
from ..errors import InputError
from ..instruments import contract_value
from ..margin import require_prices
from ..market import MarketState
from .concentration import balance_values


def instrument_deltas(book: AccountBook, market: MarketState) -> FloatArray:
    """Profit of each pool for a relative move of each mark by one, base asset, shape (n_pools, n_instruments).

    size * mark * index for a linear contract; size / mark * index for an inverse one, to first order.

    Raises
    ------
    InputError
        A position without a mark or in an expired contract, a balance without an index price.

    Examples
    --------
    >>> from ..instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 0], [], [], [0, 1], [0], [-2.0], [100.0], [np.nan])
    >>> instrument_deltas(book, MarketState(np.datetime64("2024-01-01"), [110.0], [1.0])).tolist()
    [[-220.0]]
    """
    require_prices(book, market)
    instrument = book.position_instrument
    value = contract_value(book.position_size, market.mark[instrument], book.position_inverse)
    delta = value * market.index[book.position_asset]
    return table_sums(book.position_pool, instrument, delta, (len(book), len(book.instruments)))


def wrong_way_add_on(
    book: AccountBook,
    market: MarketState,
    correlation: ArrayLike,
    stress: ArrayLike,
    *,
    threshold: float = 0.5,
) -> FloatArray:
    """Requirement added for collateral that falls with the position, base asset, shape (n_pools,).

    Parameters
    ----------
    book, market
        The pools and the prices.
    correlation
        Of the returns of each asset with those of each instrument, in [-1, 1], shape (n_assets, n_instruments).
    stress
        Loss of value of each asset in the joint stress that its haircut does not cover, fraction in [0, 1], shape
        (n_assets,).
    threshold
        Correlation from which the add-on starts, in [0, 1).

    Notes
    -----
    sum over assets a and instruments i of w * stress_a * min(collateral_a, |delta_i|), where w rises from 0 at the
    threshold to 1 at a correlation of 1, and the correlation counts with the sign of the position: a short secured by
    the coin it is short of is right-way and adds nothing. For one asset the amounts are capped by its value in all. The
    base asset never adds. A rule of margincast, after the general principle (BCBS-IOSCO margin requirements 2020,
    requirement 4: no collateral with significant wrong-way risk); not a venue's.

    Raises
    ------
    InputError
        A shape that disagrees, a correlation, stress or threshold out of range.

    Examples
    --------
    A long of 220 secured by 100 of a token with a correlation of 0.8: w = 0.6, and 0.6 * 0.5 * 100 = 30.

    >>> from ..instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["TOK"], collateral=["TOK"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [1], [1.0], [0, 1], [0], [2.2], [100.0], [np.nan])
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0, 100.0])
    >>> wrong_way_add_on(book, market, [[0.0], [0.8]], [0.0, 0.5]).round(9).tolist()
    [30.0]
    """
    table = book.instruments
    rho, worst = np.asarray(correlation, np.float64), np.asarray(stress, np.float64)
    require_shape(rho, (len(table.assets), len(table)), "correlation")
    require_shape(worst, (len(table.assets),), "stress")
    require(np.abs(rho) <= 1, rho, "must be in [-1, 1]", "correlation")
    require((worst >= 0) & (worst <= 1), worst, "must be in [0, 1]", "stress")
    if not 0 <= threshold < 1:
        raise InputError("must be in [0, 1)", column="threshold", value=threshold)
    held = np.maximum(balance_values(book, market), 0.0)
    held[:, 0] = 0.0
    delta = instrument_deltas(book, market)
    total = np.zeros(len(book))
    for asset in range(1, len(table.assets)):
        weight = np.maximum(np.sign(delta) * rho[asset] - threshold, 0.0) / (1 - threshold)
        exposed = (weight * np.minimum(held[:, [asset]], np.abs(delta))).sum(axis=1)
        total += worst[asset] * np.minimum(exposed, held[:, asset])
    return total


def joint_shock(
    market: MarketState, moves: ArrayLike, correlation: ArrayLike, volatility: ArrayLike, driver_volatility: ArrayLike
) -> MarketState:
    """The market after each mark moves, and each asset by what it is expected to move given them.

    Parameters
    ----------
    market
        The prices before.
    moves
        Relative move of each mark, shape (n_instruments,).
    correlation
        As in `wrong_way_add_on`; zeros move no collateral, which is the stress without wrong-way risk.
    volatility, driver_volatility
        Of the log returns of each asset, shape (n_assets,), and of each instrument, over one time.

    Notes
    -----
    An asset's log move is rho * volatility / driver volatility times that of the instrument it is most correlated with
    in absolute value (the first of equals), a regression on that one. The base asset stays at 1.

    Raises
    ------
    InputError
        A move that is not above -1, a shape that disagrees, a volatility that is not positive.

    Examples
    --------
    A fall by a half and a token twice as volatile with a correlation of one: it falls to a quarter.

    >>> before = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0, 8.0])
    >>> after = joint_shock(before, [-0.5], [[0.0], [1.0]], [1.0, 0.8], [0.4])
    >>> after.mark.tolist(), after.index.round(9).tolist()
    ([50.0], [1.0, 2.0])
    """
    move, rho = np.asarray(moves, np.float64), np.asarray(correlation, np.float64)
    sigma, driver = np.asarray(volatility, np.float64), np.asarray(driver_volatility, np.float64)
    shapes = {
        "moves": (move, market.mark.shape),
        "correlation": (rho, market.index.shape + market.mark.shape),
        "volatility": (sigma, market.index.shape),
        "driver_volatility": (driver, market.mark.shape),
    }
    for name, (array, shape) in shapes.items():
        require_shape(array, shape, name)
    require((move > -1) & np.isfinite(move), move, "must be above -1", "moves")
    require(np.abs(rho) <= 1, rho, "must be in [-1, 1]", "correlation")
    require((sigma >= 0) & np.isfinite(sigma), sigma, "must be a number not below 0", "volatility")
    require((driver > 0) & np.isfinite(driver), driver, "must be positive", "driver_volatility")
    leader = np.argmax(np.abs(rho), axis=1)
    beta = rho[np.arange(len(rho)), leader] * sigma / driver[leader]
    beta[0] = 0.0
    return MarketState(market.time, market.mark * (1 + move), market.index * np.exp(beta * np.log1p(move[leader])))
