"""Synthetix v3 perps: margins that grow with size and skew, the price impact of opening, and throttled liquidation.

Markets are columns, accounts rows. Source: Synthetixio/synthetix-v3, markets/perps-market, PerpsMarketConfiguration,
PerpsAccount, PerpsMarket and GlobalPerpsMarketConfiguration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import BoolArray, FloatArray, frozen, require
from ..errors import InputError


@dataclass(frozen=True)
class MarketTerms:
    """Terms of the markets, every column of shape (n_markets,).

    Parameters
    ----------
    price
        Index price, USD, positive.
    skew_scale
        Size at which skew moves the price by all of it; base units, positive.
    initial_fraction, least_initial_ratio
        Initial ratio is |size| / skew_scale * initial_fraction + least_initial_ratio.
    maintenance_scalar
        Maintenance as a share of initial, in (0, 1].
    reward_ratio
        Of notional, paid to whoever flags the account.
    least_margin
        USD, added to the margin of every open position.
    """

    price: FloatArray
    skew_scale: FloatArray
    initial_fraction: FloatArray
    least_initial_ratio: FloatArray
    maintenance_scalar: FloatArray
    reward_ratio: FloatArray
    least_margin: FloatArray

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            column = frozen(np.atleast_1d(getattr(self, name)), np.float64)
            object.__setattr__(self, name, column)
            if column.shape != self.price.shape or column.ndim != 1:
                raise InputError("must have one value a market", column=name, value=column.shape)
            least = column > 0 if name in ("price", "skew_scale") else column >= 0
            require(least & np.isfinite(column), column, "must be a number and not negative, prices positive", name)
        scalar = self.maintenance_scalar
        require((scalar > 0) & (scalar <= 1), scalar, "must be in (0, 1]", "maintenance_scalar")


def fill_price(price: ArrayLike, skew: ArrayLike, skew_scale: ArrayLike, size: ArrayLike) -> FloatArray:
    """Price of an order: the index moved by the skew halfway through it, price * (1 + (skew + size/2) / skew_scale).

    Examples
    --------
    >>> fill_price(30_000.0, 0.0, 100.0, -2.0).item()
    29700.0
    """
    if np.less_equal(skew_scale, 0).any():
        raise InputError("must be positive", column="skew_scale")
    halfway = np.add(skew, np.multiply(size, 0.5)) / skew_scale
    return np.asarray(np.multiply(price, 1.0 + halfway))


@dataclass(frozen=True)
class Requirements:
    """What accounts must hold, USD, shape (n_accounts,); `reward` is that of flagging all positions."""

    initial: FloatArray
    maintenance: FloatArray
    reward: FloatArray


def requirements(terms: MarketTerms, sizes: ArrayLike) -> Requirements:
    """Initial and maintenance margin without reward, and the reward, of accounts.

    Parameters
    ----------
    terms
        The markets.
    sizes
        Signed base units, shape (n_accounts, n_markets), or (n_markets,) for one account.

    Examples
    --------
    >>> terms = MarketTerms(30_000.0, 100.0, 2.0, 0.01, 0.5, 0.05, 1_000.0)
    >>> needed = requirements(terms, [-2.0])
    >>> needed.initial.tolist(), needed.maintenance.tolist(), needed.reward.tolist()
    ([4000.0], [2500.0], [3000.0])
    """
    size = np.abs(_sizes(terms, sizes))
    notional = size * terms.price
    initial = notional * (size / terms.skew_scale * terms.initial_fraction + terms.least_initial_ratio)
    least = np.where(size > 0, terms.least_margin, 0.0)
    return Requirements(
        (initial + least).sum(axis=1),
        (initial * terms.maintenance_scalar + least).sum(axis=1),
        (notional * terms.reward_ratio).sum(axis=1),
    )


def _sizes(terms: MarketTerms, sizes: ArrayLike) -> FloatArray:
    held = np.atleast_2d(np.asarray(sizes, np.float64))
    if held.ndim != 2 or held.shape[1] != len(terms.price):
        raise InputError("must have a column a market", column="sizes", value=held.shape)
    require(np.asarray(np.isfinite(held).all(axis=1)), held.sum(axis=1), "must be numbers", "sizes")
    return held


def available_margin(
    terms: MarketTerms, collateral: ArrayLike, sizes: ArrayLike, entry: ArrayLike, funding: ArrayLike = 0.0
) -> FloatArray:
    """Discounted collateral plus profit at the index price plus funding earned, USD, shape (n_accounts,).

    Positions are marked at the index, not at a fill: opening against the skew costs its impact at once.

    Examples
    --------
    >>> terms = MarketTerms(30_000.0, 100.0, 2.0, 0.01, 0.5, 0.05, 1_000.0)
    >>> available_margin(terms, 100_000.0, [-2.0], 29_700.0).tolist()
    [99400.0]
    """
    profit = _sizes(terms, sizes) * (terms.price - np.asarray(entry, np.float64)) + np.asarray(funding, np.float64)
    return np.asarray(np.add(collateral, profit.sum(axis=1)))


def withdrawable_margin(available: ArrayLike, needed: Requirements, reward: ArrayLike | None = None) -> FloatArray:
    """Available margin beyond initial margin and reward; negative where an account may not withdraw.

    `reward` replaces the sum of the flagging rewards where it was capped by `keeper_reward`.
    """
    return np.asarray(np.subtract(available, needed.initial + _reward(needed, reward)))


def _reward(needed: Requirements, reward: ArrayLike | None) -> FloatArray:
    return needed.reward if reward is None else np.asarray(reward, np.float64)


def is_liquidatable(available: ArrayLike, needed: Requirements, reward: ArrayLike | None = None) -> BoolArray:
    """Whether available margin is below maintenance margin and reward; exactly as much is safe."""
    return np.less(available, needed.maintenance + _reward(needed, reward))


def keeper_reward(
    rewards: ArrayLike,
    cost: ArrayLike,
    available: ArrayLike,
    least: float = 0.0,
    profit_ratio: float = 0.0,
    most: float = np.inf,
    scaling: float = np.inf,
) -> FloatArray:
    """Reward an account's liquidation pays, USD: its own with the cost of execution, between two bounds.

    At least max(cost + least, cost * (1 + profit_ratio)); at most min(scaling * available, most), or `most` where
    nothing is available.

    Examples
    --------
    >>> keeper_reward([2.0, 500.0], 10.0, 1_000.0, least=5.0, profit_ratio=0.3, most=100.0).tolist()
    [15.0, 100.0]
    """
    floor = np.maximum(np.add(cost, least), np.multiply(cost, 1.0 + profit_ratio))
    held = np.asarray(available, np.float64)
    scaled = np.where(held > 0, held, 1.0) * scaling
    cap = np.where(held > 0, np.minimum(scaled, most), most)
    return np.minimum(np.maximum(floor, np.add(rewards, cost)), cap)


def collateral_discount(
    amount: ArrayLike, skew_scale: ArrayLike, scalar: ArrayLike, least: ArrayLike, most: ArrayLike
) -> FloatArray:
    """Share of a collateral's value that does not count: amount / skew_scale * scalar, held within [least, most].

    Examples
    --------
    >>> collateral_discount([1.0, 50.0, 500.0], 1_000.0, 2.0, 0.01, 0.2).tolist()
    [0.01, 0.1, 0.2]
    """
    if np.less_equal(skew_scale, 0).any() or np.greater(least, most).any():
        raise InputError("skew_scale must be positive and least not above most", column="skew_scale")
    return np.asarray(np.clip(np.divide(amount, skew_scale) * scalar, least, most))


def window_capacity(maker: float, taker: float, skew_scale: float, seconds: float, multiplier: float) -> float:
    """Most size one window may liquidate: (maker + taker fee) * skew_scale * seconds * multiplier.

    Examples
    --------
    >>> window_capacity(0.007, 0.003, 1_000.0, 10.0, 1.0)
    100.0
    """
    for name, value in {"fees": maker + taker, "skew_scale": skew_scale, "seconds": seconds}.items():
        if not 0 <= value < np.inf:
            raise InputError("must be a number and not negative", column=name, value=value)
    return (maker + taker) * skew_scale * seconds * multiplier


@dataclass(frozen=True)
class LiquidationWindow:
    """A market's throttle: what a window may liquidate, and what was liquidated when.

    Parameters
    ----------
    capacity
        Size a window may liquidate; 0 switches the throttle off.
    seconds
        Length of the window.
    amounts, ages
        What was liquidated and how many seconds ago.
    most_deviation
        Skew per skew scale below which one more window is granted once the capacity is used, though not twice in a
        block; 0 for never.

    Examples
    --------
    >>> LiquidationWindow(100.0, 10.0, (100.0,), (0.0,)).liquidatable(50.0)
    0.0
    >>> LiquidationWindow(100.0, 10.0, (100.0,), (10.0,)).liquidatable(150.0)
    100.0
    """

    capacity: float
    seconds: float
    amounts: Sequence[float] = ()
    ages: Sequence[float] = ()
    most_deviation: float = 0.0

    def __post_init__(self) -> None:
        values = np.array([self.capacity, self.seconds, self.most_deviation, *self.amounts, *self.ages], np.float64)
        require((values >= 0) & np.isfinite(values), values, "must be numbers and not negative", "window")
        if len(self.amounts) != len(self.ages):
            raise InputError("must be as many as amounts", column="ages", value=len(self.ages))

    @property
    def left(self) -> float:
        """Capacity that liquidations younger than the window have left."""
        used = sum(amount for amount, age in zip(self.amounts, self.ages, strict=True) if age < self.seconds)
        return max(self.capacity - used, 0.0)

    def liquidatable(self, requested: float, deviation: float = np.inf, endorsed: bool = False) -> float:
        """How much of a requested size may be liquidated now.

        `deviation` is |skew| / skew_scale; an endorsed liquidator is not throttled.
        """
        if endorsed or self.capacity == 0:
            return requested
        if self.left > 0:
            return min(self.left, requested)
        another = deviation < self.most_deviation and 0.0 not in self.ages
        return min(self.capacity, requested) if another else 0.0

    def size_after(self, size: float, deviation: float = np.inf, endorsed: bool = False) -> float:
        """Signed size a liquidation leaves of a position.

        Examples
        --------
        >>> LiquidationWindow(100.0, 10.0).size_after(-150.0)
        -50.0
        """
        closed = self.liquidatable(abs(size), deviation, endorsed)
        return size - float(np.copysign(closed, size)) if closed else size
