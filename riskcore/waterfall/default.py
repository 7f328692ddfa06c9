"""Default: takeover at the bankruptcy price, insurance fund, auto-deleveraging, socialised loss, in this order."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..arrays import BoolArray, IntArray
from ..instruments import INVERSE
from ..margin import Stage
from .adl import AdlCandidates, adl_order
from .bankruptcy import share_equity
from .events import Event, EventKind
from .money import UNIT, ceil_of, floor_of, price_of
from .run_state import PoolView, RoundState, Run

NO_HAIRCUT = 1e-9
"""Of a pool whose equity is within this share of its worth without haircuts, a takeover leaves nothing behind."""


ROUNDINGS = 3
"""Units an amount can lose to rounding in a takeover and the sale of collateral after it."""


class _Takeover(NamedTuple):
    """A leg to be taken over: the unit value at the mark, that at the bankruptcy price, and the price itself."""

    view: PoolView
    position: int
    instrument: int
    at_mark: Fraction
    at_bankruptcy: Fraction
    price: float


def take_over(run: Run, view: PoolView, seen: RoundState) -> None:
    """Take every leg of a pool over at its bankruptcy price, and settle what is left of the pool."""
    scale = abs(view.gross) + float(view.leg_notional.sum())
    nothing_left = view.gross - view.estate <= NO_HAIRCUT * scale
    kept = _allowance(run, view) if nothing_left and not _in_one_asset(run, view) else 0.0
    for leg, estate in enumerate(view.leg_estate * (1.0 - kept)):
        _take_leg(run, _bankrupt_leg(run, view, leg, float(estate), exact=nothing_left), seen)
    _sell_collateral(run, view.pool)
    _cover_debts(run, view, seen)
    if nothing_left:
        _sweep(run, view)


def _bankrupt_leg(run: Run, view: PoolView, leg: int, estate: float, *, exact: bool) -> _Takeover:
    position = int(view.positions[leg])
    instrument, held = int(run.ledger.instrument[position]), int(run.ledger.contracts[position])
    at_mark = run.mark_value(position)
    if exact and leg == len(view.positions) - 1 and _in_one_asset(run, view):
        owned = int(run.ledger.cash[view.pool, run.ledger.asset_of(position)]) - int(run.ledger.cost[position])
        at_bankruptcy = Fraction(-owned, held)
    else:
        at_bankruptcy = at_mark - Fraction(estate) / Fraction(run.index_of(position)) * UNIT / held
    price = price_of(run.book.instruments, instrument, at_bankruptcy)
    return _Takeover(view, position, instrument, at_mark, at_bankruptcy, price)


def _allowance(run: Run, view: PoolView) -> float:
    """Share of a positive estate in several assets that is left, to be swept, so that rounding makes no debt."""
    if view.estate <= 0:
        return 0.0
    held = np.flatnonzero(run.ledger.cash[view.pool])
    coarsest = max([run.index_of(int(p)) for p in view.positions] + run.market.index[held].tolist())
    scale = float(view.leg_notional.sum()) + abs(view.gross) + abs(run.wallet(view.pool))
    dust = ROUNDINGS * (len(view.positions) + len(held)) * coarsest / UNIT + 1e-12 * scale
    return float(min(1.0, dust / view.estate))


def _in_one_asset(run: Run, view: PoolView) -> bool:
    """Whether all of a pool is in one asset: its last leg can then be priced to leave exactly nothing."""
    assets = {run.ledger.asset_of(int(position)) for position in view.positions}
    return len(assets | set(np.flatnonzero(run.ledger.cash[view.pool]).tolist())) == 1


def _take_leg(run: Run, leg: _Takeover, seen: RoundState) -> None:
    held = int(run.ledger.contracts[leg.position])
    loss = (leg.at_bankruptcy - leg.at_mark) * held
    taken = held
    if loss > 0:
        asset, fund = run.ledger.asset_of(leg.position), run.ledger.fund_of(leg.position)
        room = max(0, run.ledger.fund_worth(fund, asset, run.marks))
        taken = held if room >= ceil_of(loss) else int(held * Fraction(room) / ceil_of(loss))
    if taken:
        _fund_takes(run, leg, taken, leg.at_bankruptcy)
    if taken != held:
        _deleverage(run, leg, seen)
    left = int(run.ledger.contracts[leg.position])
    if left:
        _fund_takes(run, leg, left, leg.at_mark)


def _fund_takes(run: Run, leg: _Takeover, units: int, unit_worth: Fraction) -> None:
    asset, fund = run.ledger.asset_of(leg.position), run.ledger.fund_of(leg.position)
    credited = run.ledger.take_over(leg.position, units, units * unit_worth)
    gained = floor_of(units * leg.at_mark) - credited
    price = leg.price if unit_worth == leg.at_bankruptcy else float(run.market.mark[leg.instrument])
    run.log(
        Event(0, EventKind.TAKEOVER, leg.view.pool, leg.position, -1, fund, leg.instrument, units, price, asset, gained)
    )


def _deleverage(run: Run, leg: _Takeover, seen: RoundState) -> None:
    """Close what is left of a leg against the positions first in the ranking, at the bankruptcy price."""
    if math.isnan(leg.price):
        return
    rows = _opposite(run, leg, seen)
    for place in adl_order(run.procedure.adl_ranking, _candidates(run, rows, seen)):
        left, other = int(run.ledger.contracts[leg.position]), int(rows[place])
        units = min(abs(left), abs(int(run.ledger.contracts[other]))) * (1 if left > 0 else -1)
        if not units:
            continue
        credited = run.ledger.deleverage(leg.position, other, units, units * leg.at_bankruptcy)
        lost = ceil_of(-units * leg.at_mark) - credited
        asset = run.ledger.asset_of(leg.position)
        run.log(
            Event(
                0, EventKind.ADL, leg.view.pool, leg.position, other, -1, leg.instrument, units, leg.price, asset, lost
            )
        )


def _opposite(run: Run, leg: _Takeover, seen: RoundState) -> IntArray:
    """Positions on the other side, of pools that are not in breach themselves."""
    contracts, ledger = run.ledger.contracts, run.ledger
    other_side = contracts < 0 if contracts[leg.position] > 0 else contracts > 0
    fit = (ledger.instrument == leg.instrument) & other_side & _sound(run, seen)
    if run.procedure.adl_profitable_only:
        fit &= seen.leg_profit > 0
    return np.flatnonzero(fit)


def _sound(run: Run, seen: RoundState) -> BoolArray:
    """Positions of pools that were not in breach when the round began and have equity."""
    pool = run.ledger.pool
    return (seen.stage[pool] < Stage.LIQUIDATION) & (seen.equity[pool] > 0)


def _candidates(run: Run, rows: IntArray, seen: RoundState) -> AdlCandidates:
    table, pool, instrument = run.book.instruments, run.ledger.pool, run.ledger.instrument[rows]
    leg_equity = share_equity(seen.equity, pool, seen.leg_maintenance)[rows]
    mark, entry = run.market.mark[instrument], run.book.entry_price[rows]
    grown = np.where(table.kind[instrument] == INVERSE, mark / entry, entry / mark)
    return AdlCandidates(
        seen.leg_notional[rows],
        seen.leg_notional[rows] * grown,
        seen.leg_profit[rows],
        np.maximum(leg_equity, 1e-12 * seen.leg_notional[rows]),
        seen.wallet[pool[rows]],
        seen.equity[pool[rows]],
        seen.maintenance[pool[rows]],
    )


def _sell_collateral(run: Run, pool: int) -> None:
    """Sell what a pool holds for what it owes, at the index prices; the pool pays the rounding."""
    cash = run.ledger.cash[pool]
    for debt in np.flatnonzero(cash < 0):
        for held in np.flatnonzero(cash > 0):
            rate = Fraction(float(run.market.index[held])) / Fraction(float(run.market.index[debt]))
            owed, whole = -int(cash[debt]), int(cash[held])
            if not owed:
                break
            sold = min(whole, ceil_of(owed / rate))
            received = min(owed, floor_of(sold * rate))
            run.ledger.sell_collateral(pool, int(held), sold, int(debt), received)
            run.log(Event(0, EventKind.COLLATERAL_SOLD, pool, asset=int(debt), units=received))


def _cover_debts(run: Run, view: PoolView, seen: RoundState) -> None:
    """What a pool without positions still owes: the fund pays what it has, then those in profit, then nobody."""
    for asset in np.flatnonzero(run.ledger.cash[view.pool] < 0).tolist():
        fund = _fund_for(run, view, asset)
        owed = -int(run.ledger.cash[view.pool, asset])
        paid = min(owed, max(0, run.ledger.fund_worth(fund, asset, run.marks)))
        if paid:
            run.ledger.charge(view.pool, asset, -paid, fund)
            run.log(Event(0, EventKind.FUND_PAID, view.pool, fund=fund, asset=asset, units=paid))
        left = owed - paid - _socialise(run, view.pool, fund, asset, owed - paid, seen)
        if left:
            run.log(Event(0, EventKind.UNCOVERED, view.pool, fund=fund, asset=asset, units=left))


def _fund_for(run: Run, view: PoolView, asset: int) -> int:
    """The fund of the pool's first leg that settled in an asset, or of its first leg."""
    settled = [int(p) for p in view.positions if run.ledger.asset_of(int(p)) == asset]
    return run.ledger.fund_of(settled[0] if settled else int(view.positions[0]))


def _socialise(run: Run, pool: int, fund: int, asset: int, owed: int, seen: RoundState) -> int:
    """Share a debt over the pools in profit in the fund's domain, pro rata to profit, at most that; what was paid."""
    profits = _profits(run, fund, asset, seen) if owed else {}
    total = sum(profits.values())
    due = min(owed, total)
    shares = {one: due * profit // total for one, profit in profits.items()}
    short = due - sum(shares.values())
    for one, share in shares.items():
        more = 1 if short > 0 and share < profits[one] else 0
        short -= more
        if share + more:
            run.ledger.transfer(one, pool, asset, share + more)
            run.log(Event(0, EventKind.SOCIALISED, pool, counterparty=one, fund=fund, asset=asset, units=share + more))
    return due


def _profits(run: Run, fund: int, asset: int, seen: RoundState) -> dict[int, int]:
    """Unrealised profit of each sound pool in the positions of a fund's domain that settle in an asset, if positive."""
    ledger, table = run.ledger, run.book.instruments
    covered = (run.ledger.funds.domain == fund) & (table.settlement == asset)
    rows = np.flatnonzero(covered[ledger.instrument] & (ledger.contracts != 0) & _sound(run, seen))
    found: dict[int, Fraction] = {}
    for row in rows:
        worth = int(ledger.contracts[row]) * run.mark_value(int(row)) - int(ledger.cost[row])
        found[int(ledger.pool[row])] = found.get(int(ledger.pool[row]), Fraction(0)) + worth
    return {pool: floor_of(worth) for pool, worth in found.items() if worth >= 1}


def _sweep(run: Run, view: PoolView) -> None:
    """What rounding left in a pool without haircuts goes to the fund."""
    for asset in np.flatnonzero(run.ledger.cash[view.pool] > 0):
        units, fund = int(run.ledger.cash[view.pool, asset]), _fund_for(run, view, int(asset))
        run.ledger.charge(view.pool, int(asset), units, fund)
        run.log(Event(0, EventKind.SURPLUS, view.pool, fund=fund, asset=int(asset), units=units))
