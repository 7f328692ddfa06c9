"""Unified accounts: one equity and one ratio over contracts, spot and loans (Binance portfolio margin, Bybit, OKX)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .accounts import AccountBook
from .arrays import FloatArray, table_sums
from .asset_totals import asset_totals
from .compiled import by_value
from .errors import InputError
from .leg_margin import closing_reserve, pool_totals
from .margin import Stage, evaluate
from .market import MarketState
from .priced_tiers import priced_rules, priced_schedule
from .rulebook import RateSchedule, RuleBook

Borrowed = Literal["equity", "balance"]


@dataclass(frozen=True)
class StatusBands:
    """Stages of an account by its ratio equity / maintenance margin: at or below each level, the stage is reached.

    Parameters
    ----------
    warned, reduce_only, liquidation
        Ratios, falling; `reduce_only` None where the venue has no such stage.
    bankrupt
        At or below this the venue may claim the loss; 0: only when equity is negative.

    Examples
    --------
    >>> bands = StatusBands(warned=1.5, reduce_only=1.2, liquidation=1.05)
    >>> [Stage(stage).name for stage in bands.stage([160.0, 150.0, 110.0, 105.0, -1.0], 100.0)]
    ['HEALTHY', 'WARNED', 'REDUCE_ONLY', 'LIQUIDATION', 'BANKRUPT']
    """

    warned: float
    reduce_only: float | None
    liquidation: float
    bankrupt: float = 0.0

    def __post_init__(self) -> None:
        levels = [self.warned, self.reduce_only, self.liquidation, self.bankrupt]
        told = [level for level in levels if level is not None]
        if not all(np.isfinite(told)) or told != sorted(told, reverse=True) or self.bankrupt < 0:
            raise InputError("levels must fall from warned to bankrupt", column="bands", value=levels)

    def stage(self, equity: ArrayLike, maintenance: ArrayLike) -> NDArray[np.int8]:
        """Stage of each account; ratios compare by cross-multiplication, so no margin is needed."""
        own, required = np.asarray(equity, np.float64), np.asarray(maintenance, np.float64)
        stage = np.full(np.broadcast(own, required).shape, Stage.HEALTHY, dtype=np.int8)
        levels = (self.warned, self.reduce_only, self.liquidation, self.bankrupt)
        stages = (Stage.WARNED, Stage.REDUCE_ONLY, Stage.LIQUIDATION, Stage.BANKRUPT)
        for level, reached in zip(levels, stages, strict=True):
            if level:
                stage[(own <= level * required) & (required > 0)] = reached
        stage[own < 0] = Stage.BANKRUPT
        return stage


@dataclass(frozen=True)
class UnifiedRules:
    """How a venue margins a unified account.

    Parameters
    ----------
    venue, effective_from
        Whose rules, and the first day they held (UTC).
    contracts
        Tiers of the contracts, haircuts of the assets; its triggers are not used.
    bands
        Stages by equity / maintenance margin.
    loans
        Margin of borrowed amounts by asset, tiers in value or in amount of the asset.
    other_loans
        The same for assets without an entry, or None: borrowing those is then an error.
    borrowed
        What counts as a loan: "equity", an asset's balance and unrealised profit when they are negative together (OKX
        and Bybit borrow by themselves); "balance", the negative entries of its balances alone, so that a loan beside
        cash of the same asset asks for margin (Binance).
    taker_fee
        Fee rate of the estimated fee to close that both margins include, told at the bankruptcy price; 0 where the
        venue has none (a fee on notional is the closing fee of `contracts`).
    sources
        Where the figures come from, by what they are.
    """

    venue: str
    effective_from: dt.date
    contracts: RuleBook
    bands: StatusBands
    loans: Mapping[str, RateSchedule] = field(default_factory=dict)
    other_loans: RateSchedule | None = None
    borrowed: Borrowed = "equity"
    taker_fee: float = 0.0
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.taker_fee < 1:
            raise InputError("must be in [0, 1)", column="taker_fee", value=self.taker_fee)
        if self.borrowed not in ("equity", "balance"):
            raise InputError('must be "equity" or "balance"', column="borrowed", value=self.borrowed)

    def loan_of(self, asset: str) -> RateSchedule:
        """Margin schedule of borrowing an asset; without one, InputError."""
        schedule = self.loans.get(asset, self.other_loans)
        if schedule is None:
            raise InputError(f"the {self.venue} rule-book has no margin for borrowing it", column="asset", value=asset)
        return schedule


@dataclass(frozen=True)
class UnifiedState:
    """Totals of unified accounts at one instant, base asset, shape (n_pools,).

    Parameters
    ----------
    equity
        Collateral value of each account's net holding of every asset, unrealised profit and loss included.
    adjusted_equity
        Equity less what open orders could lose.
    contract_maintenance, loan_maintenance
        The two parts of maintenance margin; fees to close belong to the first.
    contract_initial, loan_initial
        The same of initial margin.
    ratio
        Adjusted equity / maintenance margin (Binance's uniMMR, OKX's margin ratio; Bybit's account MM rate is its
        inverse); NaN without maintenance margin.
    stage
        `Stage` by the venue's bands.
    """

    equity: FloatArray
    adjusted_equity: FloatArray
    contract_maintenance: FloatArray
    loan_maintenance: FloatArray
    contract_initial: FloatArray
    loan_initial: FloatArray
    ratio: FloatArray
    stage: NDArray[np.int8]

    @property
    def maintenance(self) -> FloatArray:
        """Maintenance margin of contracts and loans."""
        return self.contract_maintenance + self.loan_maintenance

    @property
    def initial(self) -> FloatArray:
        """Initial margin of contracts and loans."""
        return self.contract_initial + self.loan_initial


def evaluate_unified(
    book: AccountBook, market: MarketState, rules: UnifiedRules, *, open_loss: ArrayLike = 0.0
) -> UnifiedState:
    """Equity, margin, ratio and stage of every unified account.

    Parameters
    ----------
    book, market, rules
        Accounts, prices and rules. A negative balance is a loan.
    open_loss
        What the open orders of each account could lose at their limits, base asset, shape () or (n_pools,).

    Raises
    ------
    InputError
        Those of `evaluate`; a loan in an asset without a loan margin; an `open_loss` that is negative or NaN.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> from .unified_file import load_unified
    >>> table = InstrumentTable.linear_perpetuals([], base="USD", collateral=["BTC"])
    >>> book = AccountBook(table, ["a"], ["m"], [""], [0, 2], [1, 1], [0.1, -0.04], [0, 0], [], [], [], [])
    >>> market = MarketState(np.datetime64("2024-01-01"), [], [1.0, 40_000.0])
    >>> state = evaluate_unified(book, market, load_unified("binance_portfolio"))
    >>> state.equity.round(6).tolist(), state.maintenance.round(6).tolist(), state.ratio.round(4).tolist()
    ([2280.0], [160.0], [14.25])
    """
    contracts = priced_rules(rules.contracts, book.instruments, market)
    state = evaluate(book, market, contracts)
    loss = np.broadcast_to(np.asarray(open_loss, np.float64), state.equity.shape)
    if not (loss >= 0).all():
        raise InputError("must not be negative", row=int(np.argmax(~(loss >= 0))), column="open_loss")
    required, asked = state.maintenance, state.initial
    if rules.taker_fee:
        reserve = pool_totals(book, closing_reserve(book, market, contracts, rules.taker_fee))
        required, asked = required + reserve, asked + reserve
    loan_maintenance, loan_initial = loan_margin(book, market, rules)
    adjusted, total = state.equity - loss, required + loan_maintenance
    ratio = np.full(len(book), np.nan)
    with np.errstate(over="ignore"):
        np.divide(adjusted, total, out=ratio, where=total != 0)
    stage = rules.bands.stage(adjusted, total)
    return UnifiedState(state.equity, adjusted, required, loan_maintenance, asked, loan_initial, ratio, stage)


def loan_margin(book: AccountBook, market: MarketState, rules: UnifiedRules) -> tuple[FloatArray, FloatArray]:
    """Maintenance and initial margin of what each account has borrowed, base asset, shape (n_pools,)."""
    owed = _borrowed_amounts(book, market, rules.borrowed)
    maintenance, initial = np.zeros(len(book)), np.zeros(len(book))
    for asset in np.flatnonzero(owed.any(axis=0)):
        name, index = book.instruments.assets[asset], float(market.index[asset])
        schedule = by_value(priced_schedule(rules.loan_of(name), index), "asset", name)
        pools = np.flatnonzero(owed[:, asset])
        value = owed[pools, asset] * index
        maintenance[pools] += schedule.maintenance(value)
        initial[pools] += value / schedule.max_leverage[schedule.tier_of(value)]
    return maintenance, initial


def _borrowed_amounts(book: AccountBook, market: MarketState, borrowed: Borrowed) -> FloatArray:
    """What each account owes of each asset, units of it, not negative; shape (n_pools, n_assets)."""
    if borrowed == "equity":
        return np.maximum(-asset_totals(book, market), 0.0)
    owed = np.maximum(-book.balance, 0.0)
    return table_sums(book.balance_pool, book.balance_asset, owed, (len(book), len(book.instruments.assets)))
