"""Drift v2 spot balances: what a scaled balance is worth in tokens, utilisation, and the interest both sides accrue.

Balances are 1e-9, interest indices 1e-10, utilisation and rates 1e-6 a year. Source: drift-labs/protocol-v2,
programs/drift/src/math/spot_balance.rs. Debts are rounded up, deposits down.
"""

from __future__ import annotations

from typing import Final

from ..errors import InputError
from .integers import divide, in_range, power_of_ten, require_naturals

YEAR: Final = 31_536_000
UTILISATION: Final = 1_000_000
RATE: Final = 1_000_000
STEPS: Final = ((850_000, 5), (900_000, 10), (950_000, 15), (990_000, 20), (995_000, 25), (1_000_000, 25))
"""Utilisation at which each part of the rise from optimal to maximum rate is reached, and its per cent of the rise."""


def token_amount(balance: int, cumulative_interest: int, decimals: int, borrowed: bool) -> int:
    """Tokens of a scaled balance: a deposit rounded down, a loan rounded up.

    Examples
    --------
    >>> token_amount(1, 10_000_000_000, 6, borrowed=True), token_amount(1, 10_000_000_000, 6, borrowed=False)
    (1, 0)
    """
    require_naturals(balance=balance, cumulative_interest=cumulative_interest)
    scale = power_of_ten(19 - in_range(decimals, "decimals", 0, 19))
    return divide(balance * cumulative_interest, scale, "ceil" if borrowed else "floor")


def scaled_balance(amount: int, cumulative_interest: int, decimals: int, borrowed: bool) -> int:
    """Scaled balance of a token amount: a new loan is one unit more than the quotient, a deposit the quotient."""
    require_naturals(amount=amount)
    in_range(cumulative_interest, "cumulative_interest", 1)
    balance = amount * power_of_ten(19 - in_range(decimals, "decimals", 0, 19)) // cumulative_interest
    return balance + 1 if borrowed and balance else balance


def utilisation(deposits: int, borrows: int) -> int:
    """Share of the deposits that is lent, 1e-6; loans without deposits count as full use.

    Examples
    --------
    >>> utilisation(1_000, 800), utilisation(0, 0), utilisation(0, 1)
    (800000, 0, 1000000)
    """
    require_naturals(deposits=deposits, borrows=borrows)
    if deposits == 0:
        return UTILISATION if borrows else 0
    return borrows * UTILISATION // deposits


def borrow_rate(used: int, optimal: int, optimal_rate: int, max_rate: int, min_rate: int = 0) -> int:
    """Yearly rate of a loan at a utilisation, 1e-6: linear to the optimum, then ever steeper parts to the maximum.

    Parameters
    ----------
    used, optimal
        Utilisation, 1e-6; the optimum below 85%, where the steeper parts begin.
    optimal_rate, max_rate, min_rate
        1e-6 a year.

    Examples
    --------
    >>> borrow_rate(400_000, 800_000, 100_000, 1_000_000), borrow_rate(1_000_000, 800_000, 100_000, 1_000_000)
    (50000, 1000000)
    """
    require_naturals(used=used, optimal_rate=optimal_rate, min_rate=min_rate)
    in_range(optimal, "optimal", 1, STEPS[0][0] - 1)
    if max_rate < optimal_rate:
        raise InputError("must not be below optimal_rate", column="max_rate", value=max_rate)
    if used <= optimal:
        return max(used * (optimal_rate * UTILISATION // optimal) // UTILISATION, min_rate)
    rate, start, rise = optimal_rate, optimal, max_rate - optimal_rate
    for end, percent in STEPS:
        inside = min(used, end) - start
        rate += rise * percent // 100 * inside // (end - start)
        start = end
        if used <= end:
            break
    return max(rate, min_rate)


def accrued_interest(borrow_index: int, deposit_index: int, used: int, rate: int, seconds: int) -> tuple[int, int]:
    """Rise of the borrow and of the deposit index over a time: a loan grows by a unit more, a deposit by no more.

    Nothing accrues without time or without loans.

    Examples
    --------
    >>> accrued_interest(10_000_000_000, 10_000_000_000, 500_000, 100_000, YEAR)
    (1000000001, 500000000)
    """
    require_naturals(borrow_index=borrow_index, deposit_index=deposit_index, used=used, rate=rate, seconds=seconds)
    if seconds == 0 or used == 0:
        return 0, 0
    borrowed = rate * seconds
    lent = borrowed * used // UTILISATION
    return borrow_index * borrowed // YEAR // RATE + 1, deposit_index * lent // YEAR // RATE
