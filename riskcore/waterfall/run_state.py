"""What a waterfall works on while it runs: the ledger, the order books, the marks, and pools looked at one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..accounts import AccountBook
from ..arrays import FloatArray, IntArray
from ..errors import InputError
from ..margin import MarginState, Stage, evaluate, is_breached, require_prices
from ..market import MarketState
from ..rulebook import RuleBook
from .bankruptcy import share_equity
from .depth import DepthBook, WorkingDepth
from .events import Event
from .funds import InsuranceFunds
from .ledger import WorkingLedger
from .money import UNIT, floor_of_all, from_units, unit_value
from .pool_margin import Leg, PoolRules
from .procedure import LiquidationProcedure


class Debt(NamedTuple):
    """Units of an asset a pool owes."""

    pool: int
    units: int


@dataclass(frozen=True)
class PoolView:
    """One pool at the marks of the round; amounts in the base asset.

    `gross` is what it is worth without haircuts, `estate` what a takeover shares out: equity by the rules, and of a
    negative one only what is missing without haircuts as well.
    """

    pool: int
    positions: IntArray
    equity: float
    maintenance: float
    gross: float
    breached: bool
    bankrupt: bool
    leg_notional: FloatArray
    leg_maintenance: FloatArray

    @cached_property
    def estate(self) -> float:
        """Equity a takeover shares out over the legs."""
        return self.equity if self.equity >= 0 else min(0.0, self.gross)

    @cached_property
    def leg_estate(self) -> FloatArray:
        """The share of each leg in the estate."""
        return share_equity([self.estate], np.zeros(len(self.positions), np.int64), self.leg_maintenance)


@dataclass(frozen=True)
class RoundState:
    """The whole book at the marks of a round, by row of the opening book; amounts in the base asset, 0 where closed."""

    equity: FloatArray
    maintenance: FloatArray
    stage: IntArray
    wallet: FloatArray
    leg_notional: FloatArray
    leg_profit: FloatArray
    leg_maintenance: FloatArray

    @property
    def breached(self) -> IntArray:
        """Pools in breach."""
        return np.flatnonzero(self.stage >= Stage.LIQUIDATION)


class Run:
    """A waterfall in progress.

    `missing` is by pool and fund what closing legs brought less than their bankruptcy price, `claims` by fund and asset
    the debts of the round, `tapped` by fund, asset and pool what was paid out of open profit.
    """

    def __init__(
        self,
        book: AccountBook,
        market: MarketState,
        rules: RuleBook,
        procedure: LiquidationProcedure,
        depth: DepthBook,
        funds: InsuranceFunds,
    ) -> None:
        _require_fit(book, market, depth, funds)
        self.book, self.market, self.rules, self.procedure = book, market, rules, procedure
        self.ledger, self.depth = WorkingLedger(book, funds), WorkingDepth(depth)
        self.events: list[Event] = []
        self.round = 0
        self.wait_until: dict[int, int] = {}
        self.traded: dict[int, float] = {}
        self.worst = np.zeros(len(book), dtype=np.int64)
        self.claims: dict[tuple[int, int], list[Debt]] = {}
        self.missing: dict[int, dict[int, float]] = {}
        self.tapped: dict[tuple[int, int], IntArray] = {}
        self.pool_rules = PoolRules(self.current_book(), rules)
        self._mark_ledger()

    def _mark_ledger(self) -> None:
        """Value what the ledger values at the marks; 0 where there is none."""
        table, marks = self.book.instruments, enumerate(self.market.mark.tolist())
        self.ledger.mark_to([unit_value(table, i, mark) if mark > 0 else Fraction(0) for i, mark in marks])

    def mark_value(self, position: int) -> Fraction:
        """Unit value of a position's instrument at the mark."""
        return self.ledger.unit_values[int(self.ledger.instrument[position])]

    def index_of(self, position: int) -> float:
        """Price of a position's settlement asset in the base asset."""
        return float(self.market.index[self.ledger.asset_of(position)])

    def add_missing(self, pool: int, position: int, units: float) -> None:
        """Closing a position brought this much less than its share of equity: it is missing in its fund's domain."""
        if units > 0:
            funds, fund = self.missing.setdefault(pool, {}), self.ledger.fund_of(position)
            funds[fund] = funds.get(fund, 0.0) + units * self.index_of(position)

    def log(self, event: Event) -> None:
        """Add an event of this round."""
        self.events.append(Event(self.round, *event[1:]))

    def current_book(self) -> AccountBook:
        """The whole book as it stands."""
        return self.ledger.book_of(self.book, np.arange(len(self.book)))

    def positions_of(self, pool: int) -> IntArray:
        """Rows of the positions a pool still has."""
        entries = np.arange(self.book.position_pointer[pool], self.book.position_pointer[pool + 1])
        return np.asarray(entries[self.ledger.contracts[entries] != 0])

    def first_view(self, pool: int, seen: RoundState) -> PoolView:
        """One pool as the round found it; nothing of it may have changed since."""
        rows = self.positions_of(pool)
        legs = (column[rows] for column in (seen.leg_notional, seen.leg_profit, seen.leg_maintenance))
        return self._viewed(pool, rows, float(seen.equity[pool]), float(seen.maintenance[pool]), *legs)

    def view(self, pool: int) -> PoolView:
        """One pool as it stands, at the marks of the round."""
        rows, book, cash = self.positions_of(pool), self.book, self.ledger.cash[pool]
        held = from_units(self.ledger.contracts[rows]), book.entry_price[rows], book.leverage[rows]
        columns = (self.ledger.instrument[rows], *held)
        legs = [Leg(*leg) for leg in zip(*(column.tolist() for column in columns), strict=True)]
        assets = np.flatnonzero(cash)
        amounts = list(zip(assets.tolist(), from_units(cash[assets]).tolist(), strict=True))
        found = self.pool_rules.margin(legs, amounts, self.market)
        split = (np.array(column) for column in (found.notional, found.profit, found.leg_maintenance))
        return self._viewed(pool, rows, found.equity, found.maintenance, *split)

    def _viewed(
        self,
        pool: int,
        rows: IntArray,
        equity: float,
        maintenance: float,
        notional: FloatArray,
        profit: FloatArray,
        leg_maintenance: FloatArray,
    ) -> PoolView:
        open_ = len(rows) > 0
        bankrupt, met = open_ and equity < 0, is_breached(np.array([equity]), np.array([maintenance]), self.rules)
        self.worst[pool] = max(self.worst[pool], Stage.BANKRUPT if bankrupt else 0)
        gross = self.wallet(pool) + float(profit.sum())
        return PoolView(
            pool, rows, equity, maintenance, gross, open_ and bool(met[0]), bankrupt, notional, leg_maintenance
        )

    def wallet(self, pool: int) -> float:
        """Value of a pool's balances without haircuts."""
        cash = self.ledger.cash[pool]
        return float(sum(from_units(cash[a]) * self.market.index[a] for a in np.flatnonzero(cash)))

    def units_left(self, pool: int, asset: int) -> int:
        """Units of an asset a pool is worth without haircuts, rounded down; at least 0."""
        rows, ledger = self.positions_of(pool), self.ledger
        columns = (rows.tolist(), ledger.contracts[rows].tolist(), ledger.cost[rows].tolist())
        worth: float = self.wallet(pool)
        for row, contracts, cost in zip(*columns, strict=True):
            worth += (floor_of_all(contracts, self.mark_value(row)) - cost) / UNIT * self.index_of(row)
        units: float = worth / float(self.market.index[asset]) * UNIT
        return max(0, math.floor(units))

    def look(self) -> RoundState:
        """The whole book as it stands."""
        state: MarginState = evaluate(self.current_book(), self.market, self.rules)
        self.worst = np.maximum(self.worst, state.stage)
        live = np.flatnonzero(self.ledger.contracts != 0)
        legs = np.zeros((3, len(self.ledger.contracts)))
        legs[:, live] = state.leg_notional, state.leg_profit, state.leg_maintenance
        index = np.where(np.isnan(self.market.index), 0.0, self.market.index)
        return RoundState(
            state.equity,
            state.maintenance,
            state.stage.astype(np.int64),
            (self.ledger.cash / UNIT) @ index,
            *legs,
        )

    def fund_worth(self) -> IntArray:
        """What each fund is worth in each asset at the marks, units, rounded down."""
        funds, assets = self.ledger.fund_cash.shape
        return np.array([[self.ledger.fund_worth(f, a) for a in range(assets)] for f in range(funds)])

    def move_marks(self) -> bool:
        """Let the marks follow the prices traded in the round; whether any moved."""
        mark, weight = self.market.mark.copy(), self.procedure.impact_weight
        for instrument, price in self.traded.items():
            mark[instrument] += weight * (price - mark[instrument])
        self.traded = {}
        moved = not np.array_equal(mark, self.market.mark, equal_nan=True)
        if moved:
            self.market = replace(self.market, mark=mark)
            self._mark_ledger()
        return moved


def _require_fit(book: AccountBook, market: MarketState, depth: DepthBook, funds: InsuranceFunds) -> None:
    table = book.instruments
    if len(depth) != len(table):
        raise InputError(f"holds {len(depth)} instruments, the book has {len(table)}", column="depth")
    shape = (len(funds), len(table.assets))
    if len(funds.domain) != len(table) or funds.balance.shape != shape:
        raise InputError("are not made for the instruments and assets of the book", column="funds")
    require_prices(book, market)
    carried = np.flatnonzero(funds.inventory.any(axis=0) & ~(market.mark > 0))
    if len(carried):
        problem = f"a fund carries it and it has no mark price at {market.time}"
        raise InputError(problem, column="funds", value=table.symbols[carried[0]])
