"""The default waterfall: from the pools in breach to the loss nobody covers, round after round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..accounts import AccountBook
from ..arrays import IntArray, frozen
from ..market import MarketState
from ..rulebook import RuleBook
from .debts import claim_debts, settle_claims
from .default import take_over
from .depth import DepthBook
from .events import Event, EventKind, EventLog
from .funds import InsuranceFunds
from .ledger import Ledger
from .orders import attempt_cure
from .partial_close import riskiest_first
from .payers import Payers
from .procedure import LiquidationProcedure
from .run_state import PoolView, RoundState, Run


@dataclass(frozen=True)
class WaterfallResult:
    """What a waterfall left behind.

    Parameters
    ----------
    book
        The pools after it, in the same order; entry prices of what stays are unchanged.
    market
        The marks after it.
    depth
        What is left of the order books.
    funds
        The insurance funds, with the inventory they carry.
    stage, worst_stage
        `Stage` of each pool at the end, and the worst it was seen in; shape (n_pools,).
    events
        All that happened, in order. `events.of_kind(EventKind.FILL)` are the fills, `ADL` the positions deleveraged.
    socialised
        What each pool paid for the debts of others, int64 units of 1e-8, shape (n_pools, n_assets).
    uncovered
        Debts left, units, shape (n_assets,).
    fund_worth_before, fund_worth_after
        What each fund is worth in each asset, its inventory at the marks before and after; units, rounded down, shape
        (n_funds, n_assets).
    opening, closing
        The ledger before and after: `opening.money() == closing.money()`, and `open_contracts` likewise.
    rounds
        How many were run.
    settled
        No pool is in breach at the end; false where the round limit or a lack of depth ended it.
    """

    book: AccountBook
    market: MarketState
    depth: DepthBook
    funds: InsuranceFunds
    stage: NDArray[np.int8]
    worst_stage: NDArray[np.int8]
    events: EventLog
    socialised: IntArray
    uncovered: IntArray
    fund_worth_before: IntArray
    fund_worth_after: IntArray
    opening: Ledger
    closing: Ledger
    rounds: int
    settled: bool

    def __post_init__(self) -> None:
        for name, kind in (("stage", np.int8), ("worst_stage", np.int8)):
            object.__setattr__(self, name, frozen(getattr(self, name), kind))
        for name in ("socialised", "uncovered", "fund_worth_before", "fund_worth_after"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.int64))


def run_waterfall(
    book: AccountBook,
    market: MarketState,
    rules: RuleBook,
    procedure: LiquidationProcedure,
    depth: DepthBook,
    funds: InsuranceFunds,
) -> WaterfallResult:
    """Liquidate the pools in breach by a venue's procedure until none is, or nothing more can be done.

    Parameters
    ----------
    book, market, rules
        The pools, the prices and the margin rules that hold.
    procedure
        What the venue does with a pool in breach.
    depth
        The order books liquidation orders meet.
    funds
        The insurance funds.

    Raises
    ------
    InputError
        What `evaluate` refuses; depth or funds of other instruments; amounts int64 cannot hold in units of 1e-8.

    Notes
    -----
    A round judges all pools at the same marks, the riskiest first. A pool in breach gets orders by the policy of the
    procedure. If it is still in breach and under the takeover ratio, or bankrupt, each leg goes to the insurance fund
    of its domain at the bankruptcy price (its share of equity, pro rata to maintenance margin). Where that price is
    beyond the mark and the fund cannot bear the loss, what it cannot is closed against the opposite positions of sound
    pools in the order of the ADL ranking, each so far as its pool's equity bears the loss; where there are none left,
    the fund takes the contracts at the mark, and what is missing is a debt. At the end of a round marks follow the
    prices traded and books refill.

    A pool without positions that owes, after a takeover or after orders that brought too little, first pays with its
    collateral, sold at the index. A debt belongs to the domains in which legs were closed for less than their
    bankruptcy price: their funds pay what they have, then sound pools in profit there, pro rata, each at most its open
    profit, once, and never more than its equity; the rest is uncovered. What haircuts had kept out of a pool's equity
    stays with it. A fund never pays for a pool that is worth something, and never for another domain. Fees are charged
    so far as the pool has the money. Trades are rounded against both who are in them; the dust goes to the fund.

    Results do not depend on the order of pools, but for equals: the riskiest first, positions of one rank, and the odd
    units of a debt that is shared go by row.

    Examples
    --------
    BitMEX's example of a liquidation, of which nothing meets a bid: 1 contract bought at 100 with 1 of margin is under
    its maintenance margin at 99.4, and taken over at its bankruptcy price of 99.

    >>> import datetime as dt
    >>> from ..instruments import InstrumentTable
    >>> from ..rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["XBT"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [1.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2019, 1, 1), {"XBT": RateSchedule.marginal([0.0], [0.005], [100.0])})
    >>> procedure = LiquidationProcedure("example", dt.date(2019, 1, 1), "tier_step_down", "return_times_leverage")
    >>> depth = DepthBook.of(table, {"XBT": ([(90.0, 5.0)], [(110.0, 5.0)])})
    >>> funds = InsuranceFunds.by_settlement(table, {})
    >>> market = MarketState(np.datetime64("2019-01-01"), [99.4], [1.0])
    >>> result = run_waterfall(book, market, rules, procedure, depth, funds)
    >>> result.events.of_kind(EventKind.TAKEOVER).price.tolist(), result.funds.inventory.tolist(), result.settled
    ([99.0], [[1.0]], True)
    """
    run = Run(book, market, rules, procedure, depth, funds)
    opening, before = run.ledger.snapshot(), run.fund_worth()
    seen = run.look()
    while len(seen.breached) and run.round < procedure.max_rounds:
        acted = _one_round(run, seen)
        moved = run.move_marks()
        run.depth.refill()
        run.round += 1
        seen = run.look()
        if not (acted or moved or _waiting(run)):
            break
    return _result(run, opening, before, seen)


def _one_round(run: Run, seen: RoundState) -> bool:
    """Go through the pools in breach; whether anything was traded or taken over."""
    before, pools, payers = len(run.events), seen.breached, Payers(run, seen)
    for pool in pools[riskiest_first(seen.equity[pools], seen.maintenance[pools])]:
        _liquidate(run, run.first_view(int(pool), seen), payers)
    settle_claims(run, payers)
    return any(event.kind != EventKind.KILLED for event in run.events[before:])


def _liquidate(run: Run, first: PoolView, payers: Payers) -> None:
    view = first
    if not view.bankrupt and run.wait_until.get(view.pool, 0) <= run.round:
        view = attempt_cure(run, view)
    if not len(view.positions) and claim_debts(run, first):
        return
    if not view.breached:
        run.log(Event(0, EventKind.CURED, view.pool))
    elif view.bankrupt or view.equity <= run.procedure.takeover_ratio * view.maintenance:
        take_over(run, view, payers)


def _waiting(run: Run) -> bool:
    """Whether a pool is left alone for now, or an order book fills up again."""
    return run.depth.depth.refill > 0 or any(until >= run.round for until in run.wait_until.values())


def _result(run: Run, opening: Ledger, before: IntArray, seen: RoundState) -> WaterfallResult:
    events = EventLog.of(run.events)
    shape = run.ledger.cash.shape
    socialised, uncovered = np.zeros(shape, dtype=np.int64), np.zeros(shape[1], dtype=np.int64)
    shared, open_ = events.of_kind(EventKind.SOCIALISED), events.of_kind(EventKind.UNCOVERED)
    np.add.at(socialised, (shared.counterparty, shared.asset), shared.units)
    np.add.at(uncovered, open_.asset, open_.units)
    return WaterfallResult(
        book=run.current_book(),
        market=run.market,
        depth=run.depth.remaining(),
        funds=run.ledger.closing_funds(),
        stage=seen.stage.astype(np.int8),
        worst_stage=run.worst.astype(np.int8),
        events=events,
        socialised=socialised,
        uncovered=uncovered,
        fund_worth_before=before,
        fund_worth_after=run.fund_worth(),
        opening=opening,
        closing=run.ledger.snapshot(),
        rounds=run.round,
        settled=not len(seen.breached),
    )
