"""Default: takeover at the bankruptcy price, insurance fund, auto-deleveraging, socialised loss, in this order."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .debts import claim_debts, sweep
from .events import Event, EventKind
from .money import UNIT, ceil_of, floor_of_all, price_of
from .payers import Payers
from .run_state import PoolView, Run

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


def take_over(run: Run, view: PoolView, payers: Payers) -> None:
    """Take every leg of a pool over at its bankruptcy price, and settle what is left of the pool."""
    scale = abs(view.gross) + float(view.leg_notional.sum())
    nothing_left = view.gross - view.estate <= NO_HAIRCUT * scale
    one_asset = nothing_left and _in_one_asset(run, view)
    kept = _allowance(run, view) if nothing_left and not one_asset else 0.0
    exact = one_asset
    for leg, estate in enumerate((view.leg_estate * (1.0 - kept)).tolist()):
        last = exact and leg == len(view.positions) - 1
        exact &= _take_leg(run, _bankrupt_leg(run, view, leg, estate, exact=last), payers)
    claim_debts(run, view)
    if nothing_left:
        sweep(run, view)


def _bankrupt_leg(run: Run, view: PoolView, leg: int, estate: float, *, exact: bool) -> _Takeover:
    """A leg at its share of the estate, or at what leaves exactly nothing of the pool."""
    position = int(view.positions[leg])
    instrument, held = int(run.ledger.instrument[position]), int(run.ledger.contracts[position])
    at_mark = run.mark_value(position)
    if exact:
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


def _take_leg(run: Run, leg: _Takeover, payers: Payers) -> bool:
    """Close a leg at its bankruptcy price with the fund and by ADL, the rest at the mark; whether there was no rest."""
    held = int(run.ledger.contracts[leg.position])
    loss = (leg.at_bankruptcy - leg.at_mark) * held
    taken = held
    if loss > 0:
        asset, fund = run.ledger.asset_of(leg.position), run.ledger.fund_of(leg.position)
        room = max(0, run.ledger.fund_worth(fund, asset))
        taken = held if room >= ceil_of(loss) else int(held * Fraction(room) / ceil_of(loss))
    if taken:
        _fund_takes(run, leg, taken, leg.at_bankruptcy)
    if taken != held:
        _deleverage(run, leg, payers)
    left = int(run.ledger.contracts[leg.position])
    if left:
        run.add_missing(leg.view.pool, leg.position, float((leg.at_bankruptcy - leg.at_mark) * left))
        _fund_takes(run, leg, left, leg.at_mark)
    return not left


def _fund_takes(run: Run, leg: _Takeover, units: int, unit_worth: Fraction) -> None:
    asset, fund = run.ledger.asset_of(leg.position), run.ledger.fund_of(leg.position)
    credited = run.ledger.take_over(leg.position, units, unit_worth)
    gained = floor_of_all(units, leg.at_mark) - credited
    price = leg.price if unit_worth == leg.at_bankruptcy else float(run.market.mark[leg.instrument])
    who = Event(0, EventKind.TAKEOVER, leg.view.pool, leg.position, fund=fund, instrument=leg.instrument)
    run.log(who._replace(contracts=units, price=price, asset=asset, units=gained))


def _deleverage(run: Run, leg: _Takeover, payers: Payers) -> None:
    """Close what is left of a leg against the positions first in the ranking, at the bankruptcy price.

    Nobody is closed further than its pool can bear: what it loses against the mark is at most its equity.
    """
    if math.isnan(leg.price):
        return
    asset, sign = run.ledger.asset_of(leg.position), 1 if run.ledger.contracts[leg.position] > 0 else -1
    each = abs(leg.at_bankruptcy - leg.at_mark)
    for other in payers.to_deleverage(leg.instrument, -sign):
        left, held = abs(int(run.ledger.contracts[leg.position])), abs(int(run.ledger.contracts[other]))
        if not left:
            return
        pool = int(run.ledger.pool[other])
        room = payers.room(pool, asset)
        units = sign * min(left, held, room * each.denominator // each.numerator if each else held)
        if not units:
            continue
        credited = run.ledger.deleverage(leg.position, other, units, leg.at_bankruptcy)
        lost = -floor_of_all(units, leg.at_mark) - credited
        payers.lose(pool, asset, lost)
        who = Event(0, EventKind.ADL, leg.view.pool, leg.position, other, instrument=leg.instrument)
        run.log(who._replace(contracts=units, price=leg.price, asset=asset, units=lost))
