"""Interest on borrowed assets as venues charge it: by begun periods, or at snapshots, simple or compounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .accounts import AccountBook
from .arrays import FloatArray, require
from .errors import InputError


def hourly_interest(borrowed: ArrayLike, daily_rate: ArrayLike, hours: ArrayLike) -> FloatArray:
    """Interest of a loan charged for every hour begun, at a twenty-fourth of the daily rate.

    borrowed * daily_rate / 24 * ceil(hours), units of what is borrowed. Source: Binance cross margin loans.

    Examples
    --------
    >>> float(hourly_interest(60.0, 0.0005, 10 / 60))
    0.00125
    """
    begun = np.ceil(np.asarray(hours, np.float64))
    return np.asarray(np.multiply(borrowed, daily_rate) / 24.0 * begun)


def rollover_interest(borrowed: ArrayLike, rate: ArrayLike, hours: ArrayLike, period: float = 4.0) -> FloatArray:
    """Interest of a loan charged once at opening and again for every period begun.

    borrowed * rate * (1 + ceil(hours / period)), units of what is borrowed; `rate` is that of one period.
    Source: Kraken margin opening and rollover fees, period 4 hours.

    Examples
    --------
    >>> float(rollover_interest(60.0, 0.00025, 25.0))
    0.12
    """
    periods = np.ceil(np.asarray(hours, np.float64) / period)
    return np.asarray(np.multiply(borrowed, rate) * (1.0 + periods))


def snapshots_between(start: np.datetime64, end: np.datetime64, period_hours: float = 1.0) -> int:
    """Number of whole periods of the UTC clock passed in (start, end]: a loan of 14:55 to 14:57 meets none.

    Source: OKX and crypto.com, interest recorded at the top of every hour.

    Examples
    --------
    >>> snapshots_between(np.datetime64("2024-01-01T12:05"), np.datetime64("2024-01-01T14:15"))
    2
    """
    step = round(period_hours * 3.6e12)
    first, last = (int(np.asarray(at, "datetime64[ns]").astype(np.int64)) for at in (start, end))
    if np.isnat(start) or np.isnat(end) or last < first or step <= 0:
        raise InputError(
            "needs an end that is not before the start, and a positive period", column="end", value=str(end)
        )
    return last // step - first // step


def simple_interest(borrowed: ArrayLike, daily_rate: ArrayLike, snapshots: ArrayLike) -> FloatArray:
    """Interest on what was borrowed alone: borrowed * daily_rate / 24 * snapshots, units of what is borrowed.

    Examples
    --------
    >>> float(simple_interest(1_000.0, 0.00024, 24))
    0.24
    """
    return np.asarray(np.multiply(borrowed, daily_rate) / 24.0 * np.asarray(snapshots, np.float64))


def compound_interest(borrowed: ArrayLike, daily_rate: ArrayLike, snapshots: ArrayLike) -> FloatArray:
    """Interest charged at each snapshot on what is owed then: borrowed * ((1 + daily_rate / 24) ** snapshots - 1).

    Source: crypto.com help 4642940; Bybit's unified account and OKX add interest to the liability hourly
    alike.

    Examples
    --------
    >>> round(float(compound_interest(1_000.0, 0.00052, 2)), 5)
    0.04333
    """
    growth = np.expm1(np.asarray(snapshots, np.float64) * np.log1p(np.asarray(daily_rate, np.float64) / 24.0))
    return np.asarray(np.asarray(borrowed, np.float64) * growth)


def interest_bearing(borrowed: ArrayLike, free: ArrayLike, *, whole: bool = False) -> FloatArray:
    """Part of a loan that bears interest: what is above the interest-free quota, or all of it once it is above.

    Sources: OKX help, "Interest calculation" (what is above); BIT help 10876258909721 (`whole`).

    Examples
    --------
    >>> interest_bearing([0.5, 1.5], 1.0).tolist(), interest_bearing([0.5, 1.5], 1.0, whole=True).tolist()
    ([0.0, 0.5], [0.0, 1.5])
    """
    owed, quota = np.asarray(borrowed, np.float64), np.asarray(free, np.float64)
    return np.where(owed > quota, owed if whole else owed - quota, 0.0)


def with_interest(book: AccountBook, daily_rate: ArrayLike, snapshots: int, *, compound: bool = True) -> AccountBook:
    """The book after interest on its negative balances has been added to them.

    Parameters
    ----------
    book
        Accounts; a negative balance is a loan.
    daily_rate
        Rate of each asset of the book's instruments, fraction a day, shape () or (n_assets,); NaN for one that cannot
        be borrowed, which is an error if it is.
    snapshots
        Number of hourly snapshots.
    compound
        Whether each snapshot charges the interest of those before.

    Raises
    ------
    InputError
        A loan in an asset without a rate, a negative number of snapshots.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals([], collateral=["BTC"])
    >>> book = AccountBook(table, ["a"], ["m"], [""], [0, 2], [0, 1], [-2400.0, 1.0], [0, 0], [], [], [], [])
    >>> with_interest(book, [0.01, 0.02], 1).balance.tolist()
    [-2401.0, 1.0]
    """
    if snapshots < 0:
        raise InputError("must not be negative", column="snapshots", value=snapshots)
    rates = np.broadcast_to(np.asarray(daily_rate, np.float64), (len(book.instruments.assets),))
    rate, owed = rates[book.balance_asset], np.maximum(-book.balance, 0.0)
    charged = owed > 0
    require(
        ~charged | (np.isfinite(rate) & (rate >= 0)), rate, "a loan needs a rate that is not negative", "daily_rate"
    )
    charge = compound_interest if compound else simple_interest
    return replace(book, balance=book.balance - np.where(charged, charge(owed, rate, snapshots), 0.0))
