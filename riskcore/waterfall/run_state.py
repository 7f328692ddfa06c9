"""What a waterfall works on while it runs: the ledger, the order books, the marks, and pools looked at one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

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
from .money import UNIT, from_units, unit_value
from .procedure import LiquidationProcedure


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

    @property
    def estate(self) -> float:
        """Equity a takeover shares out over the legs."""
        return self.equity if self.equity >= 0 else min(0.0, self.gross)

    @property
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
    """A waterfall in progress."""

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

    @property
    def marks(self) -> list[Fraction]:
        """Unit value of each instrument at its mark; 0 where it has none."""
        table, mark = self.book.instruments, self.market.mark
        return [unit_value(table, i, mark[i]) if mark[i] > 0 else Fraction(0) for i in range(len(table))]

    def mark_value(self, position: int) -> Fraction:
        """Unit value of a position's instrument at the mark."""
        instrument = int(self.ledger.instrument[position])
        return unit_value(self.book.instruments, instrument, self.market.mark[instrument])

    def index_of(self, position: int) -> float:
        """Price of a position's settlement asset in the base asset."""
        return float(self.market.index[self.ledger.asset_of(position)])

    def log(self, event: Event) -> None:
        """Add an event of this round."""
        self.events.append(event._replace(round=self.round))

    def current_book(self) -> AccountBook:
        """The whole book as it stands."""
        return self.ledger.book_of(self.book, np.arange(len(self.book)))

    def view(self, pool: int) -> PoolView:
        """One pool as it stands, at the marks of the round."""
        small = self.ledger.book_of(self.book, np.array([pool]))
        state = evaluate(small, self.market, self.rules)
        entries = np.arange(self.book.position_pointer[pool], self.book.position_pointer[pool + 1])
        positions = entries[self.ledger.contracts[entries] != 0]
        bankrupt = len(positions) > 0 and float(state.equity[0]) < 0
        self.worst[pool] = max(self.worst[pool], Stage.BANKRUPT if bankrupt else 0)
        breach = bool(is_breached(state.equity, state.maintenance, self.rules)[0]) and len(positions) > 0
        return PoolView(
            pool,
            positions,
            float(state.equity[0]),
            float(state.maintenance[0]),
            self.wallet(pool) + float(state.leg_profit.sum()),
            breach,
            bankrupt,
            state.leg_notional,
            state.leg_maintenance,
        )

    def wallet(self, pool: int) -> float:
        """Value of a pool's balances without haircuts."""
        cash = self.ledger.cash[pool]
        return float(sum(from_units(cash[a]) * self.market.index[a] for a in np.flatnonzero(cash)))

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
        marks, (funds, assets) = self.marks, self.ledger.fund_cash.shape
        return np.array([[self.ledger.fund_worth(f, a, marks) for a in range(assets)] for f in range(funds)])

    def move_marks(self) -> bool:
        """Let the marks follow the prices traded in the round; whether any moved."""
        mark, weight = self.market.mark.copy(), self.procedure.impact_weight
        for instrument, price in self.traded.items():
            mark[instrument] += weight * (price - mark[instrument])
        self.traded = {}
        moved = not np.array_equal(mark, self.market.mark, equal_nan=True)
        self.market = replace(self.market, mark=mark)
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
