"""Mango v4 health: one number in the reference token, negative where an account may be liquidated.

Tokens and perpetuals are columns, accounts rows, so that many accounts are asked at once. Source:
blockworks-foundation/mango-v4, programs/mango-v4/src/health/cache.rs and state/bank.rs, in floats where the chain has
fixed-point numbers of 48 binary places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, frozen, require
from ..errors import InputError

HealthType = Literal["init", "maint", "liquidation_end"]
"""To open more; to be left alone; to end a liquidation that has begun (initial weights, oracle prices, unscaled)."""


@dataclass(frozen=True)
class TokenTable:
    """Prices, weights and group totals of the tokens; every column has shape (n_tokens,).

    Parameters
    ----------
    price
        Oracle price in the reference token, positive.
    init_asset, maint_asset, init_liability, maint_liability
        Weights: assets in [0, 1] or a little above, liabilities at least 1.
    stable_price
        Slow price that initial health also looks at; the oracle price where it is left out.
    deposits, borrows
        Of the whole group, in tokens.
    deposit_scale_start, borrow_scale_start
        Value of them, in the reference token, from which initial weights shrink or grow; infinite for never.
    potential_deposits
        Tokens in order books that would become deposits if the orders fill; scaled like deposits.
    """

    price: FloatArray
    init_asset: FloatArray
    maint_asset: FloatArray
    init_liability: FloatArray
    maint_liability: FloatArray
    stable_price: FloatArray | None = None
    deposits: FloatArray | None = None
    borrows: FloatArray | None = None
    deposit_scale_start: FloatArray | None = None
    borrow_scale_start: FloatArray | None = None
    potential_deposits: FloatArray | None = None

    def __post_init__(self) -> None:
        price = frozen(self.price, np.float64)
        absent = {
            "stable_price": price,
            "deposits": np.zeros(len(price)),
            "borrows": np.zeros(len(price)),
            "deposit_scale_start": np.full(len(price), np.inf),
            "borrow_scale_start": np.full(len(price), np.inf),
            "potential_deposits": np.zeros(len(price)),
        }
        for name in self.__dataclass_fields__:
            given = getattr(self, name)
            column = frozen(absent[name] if given is None else given, np.float64)
            object.__setattr__(self, name, _checked(column, price.shape, name))
        for name in ("price", "stable_price", "borrow_scale_start"):
            require(getattr(self, name) > 0, getattr(self, name), "must be positive", name)
        require(self.init_asset <= self.maint_asset, self.init_asset, "must not exceed maint_asset", "init_asset")
        liability = self.init_liability >= self.maint_liability
        require(liability, self.init_liability, "must not be below maint_liability", "init_liability")

    def asset_price(self, kind: HealthType) -> FloatArray:
        """Price times weight of a deposit, the lower price for initial health."""
        price = np.minimum(self.price, self.stable_price) if kind == "init" else self.price  # type: ignore[arg-type]
        return price * self._asset_weight(kind, price)

    def liability_price(self, kind: HealthType) -> FloatArray:
        """Price times weight of a loan, the higher price for initial health."""
        price = np.maximum(self.price, self.stable_price) if kind == "init" else self.price  # type: ignore[arg-type]
        return price * self._liability_weight(kind, price)

    def unweighted(self, kind: HealthType) -> tuple[FloatArray, FloatArray]:
        """Prices of an asset and of a liability."""
        if kind != "init":
            return self.price, self.price
        return np.minimum(self.price, self.stable_price), np.maximum(self.price, self.stable_price)  # type: ignore[arg-type]

    def _asset_weight(self, kind: HealthType, price: FloatArray) -> FloatArray:
        if kind != "init":
            return self.maint_asset if kind == "maint" else self.init_asset
        value, start = (self.deposits + self.potential_deposits) * price, self.deposit_scale_start  # type: ignore[operator]
        scaled = np.divide(start, value, out=np.ones_like(price), where=value > start)  # type: ignore[arg-type,operator]
        return self.init_asset * scaled

    def _liability_weight(self, kind: HealthType, price: FloatArray) -> FloatArray:
        if kind != "init":
            return self.maint_liability if kind == "maint" else self.init_liability
        return self.init_liability * np.maximum(self.borrows * price / self.borrow_scale_start, 1.0)  # type: ignore[operator]


def _checked(column: FloatArray, shape: tuple[int, ...], name: str) -> FloatArray:
    if column.shape != shape or column.ndim != 1 or not len(column):
        raise InputError("must have one value a token", column=name, value=column.shape)
    require(np.isfinite(column) | (column == np.inf), column, "must be a number", name)
    require(column >= 0, column, "must not be negative", name)
    return column


@dataclass(frozen=True)
class PerpTerms:
    """Weights of one perpetual market and the token it settles in (its column).

    Profit beyond the base weights counts by `init_overall` or `maint_overall`, a loss in full.
    """

    price: float
    lot_size: float
    init_base_asset: float
    init_base_liability: float
    maint_base_asset: float
    maint_base_liability: float
    init_overall: float
    maint_overall: float
    settle_token: int = 0
    stable_price: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value < np.inf:
                raise InputError("must be a number and not negative", column=name, value=value)


@dataclass(frozen=True)
class PerpPositions:
    """Lots held, quote, and lots bid and offered in one market, a value an account; quote in the settle token."""

    terms: PerpTerms
    base_lots: FloatArray
    quote: FloatArray
    bid_lots: FloatArray
    ask_lots: FloatArray

    def __post_init__(self) -> None:
        for name in ("base_lots", "quote", "bid_lots", "ask_lots"):
            column = frozen(np.atleast_1d(getattr(self, name)), np.float64)
            require(np.isfinite(column), column, "must be a number", name)
            object.__setattr__(self, name, column)
        for name in ("bid_lots", "ask_lots"):
            require(getattr(self, name) >= 0, getattr(self, name), "must not be negative", name)


@dataclass(frozen=True)
class SpotOrders:
    """Funds reserved in the order book of one pair, tokens, a value an account.

    Parameters
    ----------
    base, quote
        Columns of the pair's tokens.
    reserved_base, reserved_quote
        Tokens behind asks and behind bids.
    lowest_ask, highest_bid_inverse
        Price of the lowest ask, and one over that of the highest bid; 0 where the venue does not know it.
    """

    base: int
    quote: int
    reserved_base: FloatArray
    reserved_quote: FloatArray
    lowest_ask: FloatArray | float = 0.0
    highest_bid_inverse: FloatArray | float = 0.0

    def __post_init__(self) -> None:
        for name in ("reserved_base", "reserved_quote", "lowest_ask", "highest_bid_inverse"):
            column = frozen(np.atleast_1d(getattr(self, name)), np.float64)
            require((column >= 0) & np.isfinite(column), column, "must be a number and not negative", name)
            object.__setattr__(self, name, column)

    def as_base(self, tokens: TokenTable, kind: HealthType) -> FloatArray:
        """All reserved funds as base tokens: quote at the worse price, or at the highest bid if that buys less."""
        asset, liability = tokens.unweighted(kind)
        at_oracle = self.reserved_quote * asset[self.quote] / liability[self.base]
        return self.reserved_base + _lesser(at_oracle, self.reserved_quote * self.highest_bid_inverse)

    def as_quote(self, tokens: TokenTable, kind: HealthType) -> FloatArray:
        """All reserved funds as quote tokens: base at the worse price, or at the lowest ask if that brings less."""
        asset, liability = tokens.unweighted(kind)
        at_oracle = self.reserved_base * asset[self.base] / liability[self.quote]
        return self.reserved_quote + _lesser(at_oracle, self.reserved_base * self.lowest_ask)


def _lesser(at_oracle: FloatArray, at_order: FloatArray) -> FloatArray:
    return np.where(at_order != 0, np.minimum(at_oracle, at_order), at_oracle)


def perp_health(position: PerpPositions, kind: HealthType) -> FloatArray:
    """What each account's perpetual adds to its balance of the settle token.

    The worse of all bids and all asks filling, base weighted; a positive result times the overall weight.

    Examples
    --------
    >>> terms = PerpTerms(5.0, 10.0, 0.8, 1.2, 0.9, 1.1, 0.95, 1.0)
    >>> perp_health(PerpPositions(terms, -1.0, 100.0, 0.0, 0.0), "init").tolist()
    [38.0]
    """
    terms, stable = position.terms, position.terms.stable_price
    second = terms.price if kind != "init" or stable is None else stable
    low, high = min(terms.price, second), max(terms.price, second)
    maint = kind == "maint"
    asset = low * (terms.maint_base_asset if maint else terms.init_base_asset)
    liability = high * (terms.maint_base_liability if maint else terms.init_base_liability)

    def filled(lots: FloatArray, price: float) -> FloatArray:
        base = (position.base_lots + lots) * terms.lot_size
        return base * np.where(base < 0, liability, asset) - lots * terms.lot_size * price

    worst = np.minimum(filled(position.bid_lots, high), filled(-position.ask_lots, low))
    result = position.quote + worst
    return np.where(result > 0, result * (terms.maint_overall if maint else terms.init_overall), result)


def health(
    balances: ArrayLike,
    tokens: TokenTable,
    kind: HealthType = "init",
    perps: Sequence[PerpPositions] = (),
    orders: Sequence[SpotOrders] = (),
) -> FloatArray:
    """Health of accounts, reference token; shape (n_accounts,).

    Parameters
    ----------
    balances
        Tokens held (negative: borrowed), shape (n_accounts, n_tokens) or (n_tokens,) for one account.
    tokens, kind
        Prices and weights, and which health is asked for.
    perps, orders
        One entry a market; their columns have a value an account.

    Raises
    ------
    InputError
        A balance that is no number (NaN is never skipped), a shape or a kind that does not fit.

    Examples
    --------
    >>> tokens = TokenTable([1.0, 5.0], [0.8, 0.5], [0.9, 0.7], [1.2, 1.5], [1.1, 1.3])
    >>> health([[100.0, 0.0], [100.0, -10.0]], tokens).tolist()
    [80.0, 5.0]
    """
    effective = effective_balances(balances, tokens, kind, perps)
    total: FloatArray = _weighted(effective, tokens, kind).sum(axis=1)
    most = np.zeros_like(effective)
    reserved = [(order.as_base(tokens, kind), order.as_quote(tokens, kind)) for order in orders]
    for order, (base, quote) in zip(orders, reserved, strict=True):
        most[:, order.base] += base
        most[:, order.quote] += quote
    for order, (base, quote) in zip(orders, reserved, strict=True):
        as_base = _effect(order.base, base, effective + most, tokens, kind)
        as_quote = _effect(order.quote, quote, effective + most, tokens, kind)
        total = total + np.where((base == 0) | (quote == 0), 0.0, np.minimum(as_base, as_quote))
    return total


def effective_balances(
    balances: ArrayLike, tokens: TokenTable, kind: HealthType, perps: Sequence[PerpPositions] = ()
) -> FloatArray:
    """Balances with what the perpetuals add to their settle tokens; shape (n_accounts, n_tokens)."""
    if kind not in get_args(HealthType):
        raise InputError(f"must be one of {', '.join(get_args(HealthType))}", column="kind", value=kind)
    held = np.atleast_2d(np.array(balances, np.float64))
    if held.ndim != 2 or held.shape[1] != len(tokens.price):
        raise InputError("must have a column a token", column="balances", value=held.shape)
    require(np.asarray(np.isfinite(held).all(axis=1)), held.sum(axis=1), "must be numbers", "balances")
    for position in perps:
        held[:, position.terms.settle_token] += perp_health(position, kind)
    return held


def _weighted(balances: FloatArray, tokens: TokenTable, kind: HealthType) -> FloatArray:
    return balances * np.where(balances < 0, tokens.liability_price(kind), tokens.asset_price(kind))


def _effect(token: int, reserved: FloatArray, most: FloatArray, tokens: TokenTable, kind: HealthType) -> FloatArray:
    """Health that reserved funds bring if they come last to a token: a negative balance is filled first."""
    asset = np.clip(most[:, token], 0.0, reserved)
    liability = reserved - asset
    return np.asarray(asset * tokens.asset_price(kind)[token] + liability * tokens.liability_price(kind)[token])
