"""Lending pools: the health factor of an account, what a liquidation takes, prices at which it begins, interest.

Assets are columns, accounts rows. Source of the rule: Aave v3 (aave-dao/aave-v3-origin, GenericLogic, LiquidationLogic,
MathUtils, DefaultReserveInterestRateStrategyV2), in floats; Mango's health is the same sum as a difference, see
`mango.health`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import BoolArray, FloatArray, frozen, require
from ..errors import InputError

YEAR = 31_536_000.0


@dataclass(frozen=True)
class LendingTerms:
    """Terms of the assets, every column of shape (n_assets,).

    Parameters
    ----------
    price
        In the base currency, positive.
    loan_to_value, liquidation_threshold
        Share of a deposit that may be borrowed, and at which it is liquidated; in [0, 1], the first not above the
        second.
    liquidation_bonus
        What a liquidator takes beyond the debt repaid, share (0.05: 105% is taken); not negative.
    protocol_fee
        Share of the bonus the protocol keeps, in [0, 1].

    Examples
    --------
    >>> terms = LendingTerms([2_000.0, 1.0], [0.80, 0.75], [0.825, 0.78], [0.05, 0.045], [0.1, 0.1])
    >>> terms.with_category(loan_to_value=0.93, liquidation_threshold=0.95, liquidation_bonus=0.01,
    ...                     members=[True, False]).liquidation_threshold.tolist()
    [0.95, 0.78]
    """

    price: FloatArray
    loan_to_value: FloatArray
    liquidation_threshold: FloatArray
    liquidation_bonus: FloatArray
    protocol_fee: FloatArray

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            column = frozen(np.atleast_1d(getattr(self, name)), np.float64)
            object.__setattr__(self, name, column)
            if column.shape != self.price.shape or column.ndim != 1:
                raise InputError("must have one value an asset", column=name, value=column.shape)
            require(np.isfinite(column) & (column >= 0), column, "must be a number and not negative", name)
        require(self.price > 0, self.price, "must be positive", "price")
        for name in ("liquidation_threshold", "protocol_fee"):
            require(getattr(self, name) <= 1, getattr(self, name), "must be in [0, 1]", name)
        below = self.loan_to_value <= self.liquidation_threshold
        require(below, self.loan_to_value, "must not exceed liquidation_threshold", "loan_to_value")

    def with_category(
        self, loan_to_value: float, liquidation_threshold: float, liquidation_bonus: float, members: ArrayLike
    ) -> LendingTerms:
        """Terms of an account in an efficiency mode: those of the category for its members, the others unchanged."""
        inside = np.asarray(members, bool)
        if inside.shape != self.price.shape:
            raise InputError("must have one value an asset", column="members", value=inside.shape)
        return LendingTerms(
            self.price,
            np.where(inside, loan_to_value, self.loan_to_value),
            np.where(inside, liquidation_threshold, self.liquidation_threshold),
            np.where(inside, liquidation_bonus, self.liquidation_bonus),
            self.protocol_fee,
        )


@dataclass(frozen=True)
class LendingState:
    """Accounts of a lending pool, base currency, every column of shape (n_accounts,).

    `borrowing_power` is what deposits allow to borrow, `threshold_value` what they hold against liquidation.
    """

    collateral: FloatArray
    debt: FloatArray
    borrowing_power: FloatArray
    threshold_value: FloatArray

    @property
    def health_factor(self) -> FloatArray:
        """Threshold value per debt; infinite without debt."""
        infinite = np.full_like(self.debt, np.inf)
        return np.divide(self.threshold_value, self.debt, out=infinite, where=self.debt > 0)

    @property
    def headroom(self) -> FloatArray:
        """Threshold value less debt: the same as a difference, below zero where an account may be liquidated."""
        return self.threshold_value - self.debt

    @property
    def is_liquidatable(self) -> BoolArray:
        """Whether the health factor is below one; asked without dividing."""
        return self.debt > self.threshold_value

    @property
    def available_borrow(self) -> FloatArray:
        """What may still be borrowed."""
        return np.maximum(self.borrowing_power - self.debt, 0.0)


def lending_state(
    deposits: ArrayLike, debts: ArrayLike, terms: LendingTerms, enabled: ArrayLike = True
) -> LendingState:
    """Value of deposits and debts of accounts.

    Parameters
    ----------
    deposits, debts
        Tokens, not negative, shape (n_accounts, n_assets) or (n_assets,) for one account.
    terms
        The assets.
    enabled
        Whether a deposit is used as collateral, broadcasts to the deposits.

    Raises
    ------
    InputError
        An amount that is negative or no number, a shape that does not fit.

    Examples
    --------
    >>> terms = LendingTerms([2_000.0, 1.0], [0.80, 0.75], [0.825, 0.78], [0.05, 0.045], [0.1, 0.1])
    >>> lending_state([10.0, 0.0], [0.0, 15_000.0], terms).health_factor.tolist()
    [1.1]
    """
    held = _amounts(deposits, terms, "deposits") * np.asarray(enabled, bool)
    value, owed = held * terms.price, _amounts(debts, terms, "debts") * terms.price
    return LendingState(
        value.sum(axis=1),
        owed.sum(axis=1),
        (value * terms.loan_to_value).sum(axis=1),
        (value * terms.liquidation_threshold).sum(axis=1),
    )


def _amounts(values: ArrayLike, terms: LendingTerms, column: str) -> FloatArray:
    amounts = np.atleast_2d(np.asarray(values, np.float64))
    if amounts.ndim != 2 or amounts.shape[1] != len(terms.price):
        raise InputError("must have a column an asset", column=column, value=amounts.shape)
    sound = np.asarray((np.isfinite(amounts) & (amounts >= 0)).all(axis=1))
    require(sound, amounts.min(axis=1), "must be numbers and not negative", column)
    return amounts


@dataclass(frozen=True)
class CloseFactor:
    """How much of a debt one liquidation may repay.

    Parameters
    ----------
    standard
        Share that may be repaid while the health factor is above `full_at`.
    full_at
        Health factor at or below which all of the debt may be repaid.
    of_account
        Whether the share is of everything the account owes (Aave from 3.3 on) or of the one debt.
    small
        Value of the debt or of the deposit, base currency, below which all may be repaid; 0 for no such rule.
    """

    standard: float
    full_at: float
    of_account: bool
    small: float

    def __post_init__(self) -> None:
        for name, least, most in (("standard", 0.0, 1.0), ("full_at", 0.0, 1.0), ("small", 0.0, np.inf)):
            value = getattr(self, name)
            if not (least <= value <= most and np.isfinite(value)):
                raise InputError(f"must be in [{least:g}, {most:g}]", column=name, value=value)

    def repayable(self, state: LendingState, debt: ArrayLike, deposit: ArrayLike) -> FloatArray:
        """Value of one debt that may be repaid out of one deposit, base currency; 0 for an account that is safe.

        Examples
        --------
        >>> owed = np.array([90.0, 78.0, 60.0])
        >>> state = LendingState(np.full(3, 100.0), owed, np.full(3, 70.0), np.full(3, 75.0))
        >>> CloseFactor(0.5, 0.95, of_account=False, small=0.0).repayable(state, owed, 100.0).tolist()
        [90.0, 39.0, 0.0]
        """
        value = np.broadcast_to(np.asarray(debt, np.float64), state.debt.shape)
        full = (state.threshold_value <= self.full_at * state.debt) | (value < self.small)
        full |= np.less(deposit, self.small)
        cap = np.minimum(self.standard * (state.debt if self.of_account else value), value)
        return np.where(state.is_liquidatable, np.where(full, value, cap), 0.0)


@dataclass(frozen=True)
class Liquidation:
    """What a liquidation moves: debt repaid, collateral taken from the account, and the part the protocol keeps."""

    repaid: FloatArray
    taken: FloatArray
    protocol: FloatArray


def liquidate(
    repay: ArrayLike, deposit: ArrayLike, terms: LendingTerms, collateral_asset: int, debt_asset: int
) -> Liquidation:
    """Amounts of a liquidation that repays at most `repay` of one debt out of one deposit, tokens.

    The liquidator takes the debt's value and the bonus; where the deposit is too small all of it goes, and less is
    repaid. The protocol's fee comes out of the bonus.

    Examples
    --------
    >>> terms = LendingTerms([2_000.0, 1.0], [0.80, 0.75], [0.825, 0.78], [0.05, 0.045], [0.1, 0.1])
    >>> done = liquidate(2_000.0, [10.0, 0.5], terms, 0, 1)
    >>> done.taken.tolist(), done.repaid.round(6).tolist()
    ([1.05, 0.5], [2000.0, 952.380952])
    """
    price, bonus = terms.price, 1.0 + terms.liquidation_bonus[collateral_asset]
    asked, held = np.broadcast_arrays(np.asarray(repay, np.float64), np.asarray(deposit, np.float64))
    if not ((asked >= 0).all() and (held >= 0).all()):
        raise InputError("must be numbers and not negative", column="repay")
    wanted = asked * (price[debt_asset] / price[collateral_asset]) * bonus
    taken = np.minimum(wanted, held)
    repaid = np.where(wanted > held, held * (price[collateral_asset] / price[debt_asset]) / bonus, asked)
    return Liquidation(repaid, taken, (taken - taken / bonus) * terms.protocol_fee[collateral_asset])


def liquidation_price(deposits: ArrayLike, debts: ArrayLike, terms: LendingTerms, asset: int) -> FloatArray:
    """Price of one asset at which the health factor is one, all others fixed; shape (n_accounts,).

    NaN where the asset's price does not matter or no positive price does it. An asset both deposited and owed counts
    with its threshold on the one side and in full on the other: where more is owed than counts, the price is one above
    which the account is liquidated.

    Examples
    --------
    >>> terms = LendingTerms([2_000.0, 1.0], [0.80, 0.75], [0.825, 0.78], [0.05, 0.045], [0.1, 0.1])
    >>> liquidation_price([10.0, 0.0], [0.0, 15_000.0], terms, 0).round(6).tolist()
    [1818.181818]
    """
    weight = _amounts(deposits, terms, "deposits") * terms.liquidation_threshold - _amounts(debts, terms, "debts")
    others = np.delete(weight * terms.price, asset, axis=1).sum(axis=1)
    own = weight[:, asset]
    price = np.divide(-others, own, out=np.full(len(own), np.nan), where=own != 0)
    return np.where(price > 0, price, np.nan)


@dataclass(frozen=True)
class InterestCurve:
    """Yearly borrow rate over utilisation: linear to a kink, steeper beyond it; all as fractions.

    Examples
    --------
    >>> curve = InterestCurve(base=0.0, slope=0.04, steep_slope=0.75, kink=0.8)
    >>> curve.borrow_rate([0.0, 0.4, 0.8, 1.0]).round(6).tolist()
    [0.0, 0.02, 0.04, 0.79]
    """

    base: float
    slope: float
    steep_slope: float
    kink: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise InputError("must be a number and not negative", column=name, value=value)
        if not 0 < self.kink < 1:
            raise InputError("must be in (0, 1)", column="kink", value=self.kink)

    def borrow_rate(self, used: ArrayLike) -> FloatArray:
        """Rate of a loan at a utilisation in [0, 1]."""
        share = np.asarray(used, np.float64)
        if not ((share >= 0) & (share <= 1)).all():
            raise InputError("must be in [0, 1]", column="used")
        gentle = np.minimum(share, self.kink) / self.kink * self.slope
        steep = np.maximum(share - self.kink, 0.0) / (1.0 - self.kink) * self.steep_slope
        return np.asarray(self.base + gentle + steep)

    def supply_rate(self, used: ArrayLike, reserve_factor: float = 0.0) -> FloatArray:
        """Rate of a deposit: the loans' rate times utilisation, less what the protocol keeps."""
        return self.borrow_rate(used) * np.asarray(used, np.float64) * (1.0 - reserve_factor)


def debt_growth(rate: ArrayLike, seconds: ArrayLike) -> FloatArray:
    """What a debt grows to per unit after a time, rate compounding every second: (1 + rate / year)^seconds.

    The chain sums the first terms of the series: less by 4e-6 for a year at 10%.

    Examples
    --------
    >>> debt_growth(0.10, YEAR).round(6).item()
    1.105171
    """
    return np.asarray(np.exp(np.multiply(seconds, np.log1p(np.divide(rate, YEAR)))))


def deposit_growth(rate: ArrayLike, seconds: ArrayLike) -> FloatArray:
    """What a deposit grows to per unit after a time, rate not compounding between updates: 1 + rate * seconds / year.

    Examples
    --------
    >>> deposit_growth(0.04, YEAR / 2).item()
    1.02
    """
    return np.asarray(1.0 + np.multiply(rate, seconds) / YEAR)
