"""What it is expected to cost to close a position that is bankrupt, as venues set it aside in advance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FloatArray
from .instruments import INVERSE, contract_value


def position_bankruptcy_price(
    price: ArrayLike, side: ArrayLike, leverage: ArrayLike, kind: ArrayLike = 0
) -> FloatArray:
    """Price at which a position opened at `price` has lost its initial margin 1 / leverage; arguments broadcast.

    Linear: price * (1 - side / leverage). Inverse: price * leverage / (leverage + side). `side` is 1 for longs and -1
    for shorts (any signed quantity serves). No price takes more than a linear long or an inverse short is worth: at a
    leverage of 1 and below it is 0 for the one and inf for the other. NaN in gives NaN.
    Source: Bybit help centre, "Bankruptcy Price" (USDT and inverse contracts).

    Examples
    --------
    >>> position_bankruptcy_price(8000.0, [1, -1], 50.0).tolist()
    [7840.0, 8160.0]
    >>> position_bankruptcy_price(8000.0, [1, -1], 50.0, INVERSE).round(4).tolist()
    [7843.1373, 8163.2653]
    """
    paid, way, times = (np.asarray(values, np.float64) for values in (price, np.sign(side), leverage))
    with np.errstate(divide="ignore"):
        inverse = paid * times / np.maximum(times + way, 0.0)
    return np.asarray(np.where(np.asarray(kind) == INVERSE, inverse, paid * np.maximum(1.0 - way / times, 0.0)))


def fee_to_close(
    size: ArrayLike, price: ArrayLike, leverage: ArrayLike, taker_fee: float, kind: ArrayLike = 0
) -> FloatArray:
    """Taker fee of closing at the bankruptcy price, settlement asset; arguments broadcast.

    Parameters
    ----------
    size
        Signed size: underlying units of a linear contract, quote units of an inverse one.
    price
        The price the bankruptcy price is told from: the entry price, or the mark (Bybit's unified account).
    leverage
        Leverage of the position.
    taker_fee
        Fraction of the value closed.
    kind
        LINEAR (0) or INVERSE (1).

    Notes
    -----
    |size| * bankruptcy price * taker fee, for inverse |size| / bankruptcy price * taker fee. Source: Bybit help centre,
    "Initial Margin" and "Maintenance Margin" (fee to close).

    Examples
    --------
    >>> float(fee_to_close(-0.01, 3641.33, 30.0, 0.00055).round(9))
    0.020694892
    """
    close = position_bankruptcy_price(price, size, leverage, kind)
    held = np.abs(np.asarray(size, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):  # of the branch that is not taken, at a price of 0 or inf
        return np.asarray(contract_value(held, close, np.asarray(kind) == INVERSE) * taker_fee)


def account_bankruptcy_price(size: float, entry: float, balance: float, taker_fee: float = 0.0) -> float:
    """Price at which an inverse position has lost a whole balance, and the fee of closing there; coin.

    size * (1/entry - 1/price) + balance = fee * |size| / price, so price = (size + fee * |size|) / (size/entry +
    balance); NaN where no positive price does. `size` is signed, quote units.
    Source: Bybit help centre 360039261334, cross margin.

    Examples
    --------
    >>> round(account_bankruptcy_price(10_000.0, 8_000.0, 0.5, 0.00075), 2)
    5718.57
    """
    lost, held = size + taker_fee * abs(size), size / entry + balance
    return lost / held if lost * held > 0 else float("nan")


def inverse_cross_liquidation_price(size: float, entry: float, balance: float, rate: float, taker_fee: float) -> float:
    """Liquidation price of the only position of an inverse cross account with maintenance frozen at the entry price.

    The loss at the price uses up the balance but for maintenance margin |size| / entry * rate and the fee of closing at
    the account's bankruptcy price: price = size / (size/entry + balance - maintenance - fee). NaN where there is none.

    Parameters
    ----------
    size, entry
        Signed size, quote units, and entry price.
    balance
        Account balance less what orders hold, coin.
    rate, taker_fee
        Maintenance margin rate and taker fee, fractions.

    Notes
    -----
    Source: Bybit help centre 360039261334, "How to calculate Liquidation Price (Inverse Contract)", cross margin; its
    example prints 5739.50, the next tick of 0.5.

    Examples
    --------
    >>> round(inverse_cross_liquidation_price(10_000.0, 8_000.0, 0.5, 0.005, 0.00075), 2)
    5739.08
    """
    bankrupt = account_bankruptcy_price(size, entry, balance, taker_fee)
    if np.isnan(bankrupt):
        return bankrupt
    reserve = abs(size) / entry * rate + abs(size) * taker_fee / bankrupt
    held = size / entry + balance - reserve
    return size / held if size * held > 0 else float("nan")
