"""dYdX v4 margin of many accounts at once: the same whole numbers as `dydx`, in arrays of 64 bits, or a refusal.

Products are split so that what fits the answer fits on the way: |q| * p / 10^k is (|q| // 10^k) * p + (|q| % 10^k) * p
// 10^k. Where a figure could pass 2^62 in an intermediate step the call is refused and the plain twin has to be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import BoolArray, IntArray, frozen, positions_of, require, require_pointers
from ..errors import InputError
from .dydx import Perpetual
from .integers import PPM, power_of_ten

SAFE = 2.0**62
"""Magnitude, as a float, that no intermediate figure may reach."""


@dataclass(frozen=True)
class SubaccountTable:
    """Subaccounts in columns: balances an account, positions in CSR form.

    Parameters
    ----------
    quote_balance
        Quote quantums, shape (n_accounts,).
    offsets
        Shape (n_accounts + 1,); positions of account i are offsets[i] to offsets[i + 1].
    perpetual, quantums, funding_index
        A position each, as `Position`.
    user_margin_ppm
        Initial margin fraction chosen by each account; shape (n_accounts,), zeros where left out.
    """

    quote_balance: IntArray
    offsets: IntArray
    perpetual: IntArray
    quantums: IntArray
    funding_index: IntArray
    user_margin_ppm: IntArray | None = None

    def __post_init__(self) -> None:
        chosen = np.zeros(len(self.quote_balance), np.int64) if self.user_margin_ppm is None else self.user_margin_ppm
        object.__setattr__(self, "user_margin_ppm", chosen)
        for name in self.__dataclass_fields__:
            object.__setattr__(self, name, _whole(getattr(self, name), name))
        require_pointers(self.offsets, len(self.quote_balance), len(self.quantums), "offsets")
        for name in ("perpetual", "funding_index"):
            if getattr(self, name).shape != self.quantums.shape:
                raise InputError("must have one value a position", column=name)
        ppm = np.asarray(self.user_margin_ppm)
        if ppm.shape != self.quote_balance.shape:
            raise InputError("must have one value an account", column="user_margin_ppm")
        require((ppm >= 0) & (ppm <= PPM), ppm, "must be in [0, 1000000]", "user_margin_ppm")


@dataclass(frozen=True)
class RiskArrays:
    """Net collateral and requirements of accounts, quote quantums, shape (n_accounts,); exact."""

    net_collateral: IntArray
    maintenance: IntArray
    initial: IntArray

    @property
    def is_liquidatable(self) -> BoolArray:
        """As `Risk.is_liquidatable`."""
        return (self.maintenance > 0) & (self.maintenance > self.net_collateral)

    @property
    def is_initially_collateralised(self) -> BoolArray:
        """As `Risk.is_initially_collateralised`."""
        return self.net_collateral >= self.initial


def _whole(values: ArrayLike, column: str) -> IntArray:
    given = np.asarray(values)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise InputError("must be a list of whole numbers of 64 bits", column=column, value=str(given.dtype))
    if given.dtype.kind == "u":
        require(given <= np.uint64(2**63 - 1), given, "does not fit 64 bits", column)
    require(np.abs(given.astype(np.float64)) < SAFE, given, "does not fit the arithmetic of 64 bits", column)
    return frozen(given, np.int64)


def risk_of(table: SubaccountTable, markets: Mapping[int, Perpetual]) -> RiskArrays:
    """Net collateral with funding settled, maintenance and initial margin of every account.

    Raises
    ------
    InputError
        A perpetual without a market, or figures too large for the arithmetic: never a wrapped number.

    Examples
    --------
    >>> from .dydx import LiquidityTier
    >>> markets = {7: Perpetual(5_000_000_000, -5, -8, LiquidityTier(200_000, 500_000))}
    >>> table = SubaccountTable([-4_501_000_000, 10], [0, 1, 1], [7], [10_000_000], [0])
    >>> risk = risk_of(table, markets)
    >>> risk.net_collateral.tolist(), risk.maintenance.tolist(), risk.is_liquidatable.tolist()
    ([499000000, 10], [500000000, 0], [True, False])
    """
    keys = tuple(markets)
    known, inverse = np.unique(table.perpetual, return_inverse=True)
    places = positions_of([str(key) for key in keys], [str(key) for key in known], "perpetual")[inverse]
    columns = [_market_columns(markets[key]) for key in keys] or [(0, 1, 1, 0, 0, 0, 0)]
    price, up, down, base, fraction, scaled, index = np.array(columns, np.int64).T[:, places]
    size = np.abs(table.quantums)
    notional = _product(_quotient(size, price, down), up, "notional")
    owner = np.repeat(np.arange(len(table.quote_balance)), np.diff(table.offsets))
    user = np.asarray(table.user_margin_ppm)[owner]
    funding = _settled(table, index - table.funding_index)
    parts = (np.sign(table.quantums) * notional, _ceil_ppm(_ceil_ppm(notional, base), fraction))
    initial = _ceil_ppm(notional, np.maximum(scaled, user))
    net, maintenance, required = (_sums(part, table.offsets) for part in (*parts, initial))
    return RiskArrays(_sum(table.quote_balance, net, funding), maintenance, required)


def _market_columns(market: Perpetual) -> tuple[int, ...]:
    up, down = power_of_ten(max(market.exponent, 0)), power_of_ten(max(-market.exponent, 0))
    interest = market.notional(market.open_interest)
    tier = market.tier
    margins = (tier.initial_margin_ppm, tier.maintenance_fraction_ppm, tier.scaled_initial_margin_ppm(interest))
    figures = (market.price, up, down, *margins, market.funding_index)
    if max(map(abs, figures)) >= SAFE:
        raise InputError("does not fit 64 bits", column="market", value=max(figures, key=abs))
    return figures


def _product(first: IntArray, second: IntArray, column: str) -> IntArray:
    reach = np.abs(first.astype(np.float64)) * np.abs(second.astype(np.float64))
    require(reach < SAFE, first, "does not fit the arithmetic of 64 bits", column)
    return first * second


def _quotient(size: IntArray, price: IntArray, down: IntArray) -> IntArray:
    whole, rest = np.divmod(size, down)
    high, low = _product(whole, price, "quantums"), _product(rest, price, "quantums")
    return np.asarray(high + low // down)


def _ceil_ppm(value: IntArray, ppm: IntArray) -> IntArray:
    whole, rest = np.divmod(value, PPM)
    return np.asarray(whole * ppm - (-(rest * ppm) // PPM))


def _settled(table: SubaccountTable, change: IntArray) -> IntArray:
    """Funding of each account: minus the change of index times size, summed exactly, in ppm rounded down."""
    whole, rest = np.divmod(table.quantums, PPM)
    high, low = _product(-change, whole, "funding_index"), _product(-change, rest, "funding_index")
    return _sum(_sums(high, table.offsets), _sums(low, table.offsets) // PPM)


def _sums(values: IntArray, offsets: IntArray) -> IntArray:
    reach = np.concatenate(([0.0], np.cumsum(np.abs(values.astype(np.float64)))))
    if reach[-1] >= SAFE:
        return _account_sums(values, offsets)
    running = np.concatenate((np.zeros(1, np.int64), np.cumsum(values)))
    return np.asarray(running[offsets[1:]] - running[offsets[:-1]])


def _account_sums(values: IntArray, offsets: IntArray) -> IntArray:
    """Sums where a running total over all accounts would not fit: exact, or refused at the account that does not."""
    totals = [sum(values[start:end].tolist()) for start, end in zip(offsets[:-1], offsets[1:], strict=True)]
    for row, total in enumerate(totals):
        if abs(total) >= SAFE:
            raise InputError("does not fit the arithmetic of 64 bits", row=row, column="account", value=total)
    return np.array(totals, np.int64)


def _sum(first: IntArray, *others: IntArray) -> IntArray:
    reach = sum((np.abs(other.astype(np.float64)) for other in others), np.abs(first.astype(np.float64)))
    require(np.asarray(reach) < SAFE, first, "does not fit the arithmetic of 64 bits", "quote_balance")
    return np.asarray(first + sum(others))
