"""Liquidation orders: what is sent to the order book for a pool in breach, and what it brings."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from .bankruptcy import bankruptcy_price
from .depth import Side
from .events import Event, EventKind
from .money import UNIT, ceil_of, exact_rate, price_of, unit_value
from .partial_close import ClosingLeg, by_risk, remaining_share, step_down_share
from .run_state import PoolView, Run

SLACK_UNITS, SLACK = 8, 1e-12
"""What a cure leaves over for rounding: units a leg, and a share of all amounts the pool is made of."""


def attempt_cure(run: Run, view: PoolView) -> PoolView:
    """Send orders by the policy until the pool is out of breach or the policy has no more; the pool after it."""
    policy = run.procedure.policy
    if policy == "tier_step_down":
        return _step_down(run, view)
    if policy == "pro_rata":
        return _pro_rata(run, view)
    if policy in ("whole", "fixed_share"):
        return _by_share(run, view)
    return _leg_by_leg(run, view)


def _by_share(run: Run, view: PoolView) -> PoolView:
    """Whole legs, or a share of large ones the first time; the most maintenance margin first."""
    whole = run.procedure.policy == "whole" or view.pool in run.wait_until
    share = Fraction(1) if whole else exact_rate(run.procedure.share)
    for leg in np.argsort(-view.leg_maintenance, kind="stable"):
        held = abs(int(run.ledger.contracts[view.positions[leg]]))
        large = view.leg_notional[leg] > run.procedure.share_above
        send_order(run, view, int(leg), ceil_of(held * share) if large else held)
        after = run.view(view.pool)
        if not after.breached:
            return after
    if not whole:
        run.wait_until[view.pool] = run.round + 1 + run.procedure.cooldown_rounds
    return run.view(view.pool)


def _step_down(run: Run, view: PoolView) -> PoolView:
    while view.breached:
        legs = closing_legs(run, view)
        shares = [step_down_share(leg) for leg in legs]
        ranked = [leg for leg in np.argsort(-view.leg_maintenance, kind="stable") if not math.isnan(shares[leg])]
        if not ranked or not send_order(run, view, int(ranked[0]), _to_close(run, view, int(ranked[0]), shares)):
            return view
        view = run.view(view.pool)
    return view


def _leg_by_leg(run: Run, view: PoolView) -> PoolView:
    by_loss = run.procedure.policy == "largest_risk_first"
    order = by_risk(closing_legs(run, view)) if by_loss else np.argsort(-view.leg_maintenance, kind="stable")
    most = exact_rate(run.procedure.share if run.procedure.policy == "max_portion" else 1.0)
    for position in view.positions[order]:
        held = abs(int(run.ledger.contracts[position]))
        leg = int(np.flatnonzero(view.positions == position)[0])
        others = view.maintenance - float(view.leg_maintenance[leg])
        share = remaining_share(
            (_closing_leg(run, view, leg),), view.equity - _slack(run, view), others, run.procedure.target
        )
        send_order(run, view, leg, min(_units(held, share), ceil_of(held * most)))
        view = run.view(view.pool)
        if not view.breached:
            return view
    return view


def _pro_rata(run: Run, view: PoolView) -> PoolView:
    legs = closing_legs(run, view)
    share = remaining_share(legs, view.equity - _slack(run, view), 0.0, run.procedure.target)
    for leg, position in enumerate(view.positions):
        send_order(run, view, leg, _units(abs(int(run.ledger.contracts[position])), share))
    return run.view(view.pool)


def _to_close(run: Run, view: PoolView, leg: int, shares: list[float]) -> int:
    return _units(abs(int(run.ledger.contracts[view.positions[leg]])), shares[leg])


def _units(held: int, share: float) -> int:
    """Units to close so that no more than `share` stays; all where no share is enough."""
    stays = 0 if math.isnan(share) else int(held * Fraction(share))
    return held - max(0, stays - 1) if stays < held else 0


def _slack(run: Run, view: PoolView) -> float:
    coarsest = max(run.index_of(int(position)) for position in view.positions)
    scale = abs(view.equity) + float(view.leg_notional.sum()) + abs(run.wallet(view.pool))
    return float(SLACK_UNITS * len(view.positions) * coarsest / UNIT + SLACK * scale)


def closing_legs(run: Run, view: PoolView) -> tuple[ClosingLeg, ...]:
    """What closing a part of each leg frees by the rules, and costs in the order book as it stands."""
    return tuple(_closing_leg(run, view, leg) for leg in range(len(view.positions)))


def _closing_leg(run: Run, view: PoolView, leg: int) -> ClosingLeg:
    position = int(view.positions[leg])
    table, instrument = run.book.instruments, int(run.ledger.instrument[position])
    schedule, index = run.rules.schedule_of(table.symbols[instrument]), run.index_of(position)
    long, mark = run.ledger.contracts[position] > 0, float(run.mark_value(position))
    side = run.depth.against(instrument, bool(long))
    fees, reach, cost = run.procedure.fee_to_fund + run.procedure.fee_to_venue, [], []
    for price, units in _levels(side, _limit(run, view, leg)):
        value = float(unit_value(table, instrument, price))
        reach.append(units / UNIT * abs(mark) * index)
        cost.append(((mark - value) * (1 if long else -1) + fees * abs(value)) / abs(mark))
    reached = np.cumsum(reach)
    rising = np.diff(reached, prepend=0.0) > 0
    return ClosingLeg(
        float(view.leg_notional[leg]),
        schedule.floors * index,
        schedule.rates + run.rules.closing_fee,
        schedule.deductions * index,
        reached[rising],
        np.array(cost)[rising],
    )


def _levels(side: Side, limit: float | None) -> list[tuple[float, int]]:
    """Price and units of the levels within the limit; what lies beyond the ladder as one level at its worst price."""
    levels = [(p, n) for p, n in side.available if limit is None or (p >= limit if side.falling else p <= limit)]
    beyond = side.could_take(limit) - sum(units for _, units in levels)
    return [*levels, (side.worst_beyond(beyond), beyond)] if beyond else levels


def _limit(run: Run, view: PoolView, leg: int) -> float | None:
    """The bankruptcy price of a leg where orders are limited to it."""
    if not run.procedure.limit_at_bankruptcy:
        return None
    position = int(view.positions[leg])
    table, instrument = run.book.instruments, int(run.ledger.instrument[position])
    size = run.ledger.contracts[position] / UNIT * table.multiplier[instrument]
    share = view.leg_estate[leg] / run.index_of(position)
    inverse = bool(table.kind[instrument])
    price = float(bankruptcy_price(run.market.mark[instrument], size, share, inverse))
    return None if math.isnan(price) else price


def send_order(run: Run, view: PoolView, leg: int, units: int) -> bool:
    """Close up to `units` of a leg in the order book; whether anything was filled."""
    position = int(view.positions[leg])
    instrument, held = int(run.ledger.instrument[position]), int(run.ledger.contracts[position])
    side, limit = run.depth.against(instrument, held > 0), _limit(run, view, leg)
    who = Event(0, EventKind.KILLED, view.pool, position, instrument=instrument)
    if run.procedure.fill_or_kill and side.could_take(limit) < units:
        run.log(who._replace(contracts=units if held > 0 else -units))
        return False
    pieces = side.take(units, limit)
    if pieces:
        kept = Fraction(float(view.leg_estate[leg])) / Fraction(run.index_of(position)) * UNIT / held
        _settle(run, who, [(n if held > 0 else -n, price) for n, price in pieces], run.mark_value(position) - kept)
        last = pieces[-1][1]
        run.traded[instrument] = side.last_price() if side.is_beyond(last) else last
    return bool(pieces)


def _settle(run: Run, who: Event, pieces: list[tuple[int, float]], at_bankruptcy: Fraction) -> None:
    """Book a fill, and its fees: all of them, or what the pool still has."""
    table, asset = run.book.instruments, run.ledger.asset_of(who.position)
    units = sum(n for n, _ in pieces)
    worth = sum((n * unit_value(table, who.instrument, price) for n, price in pieces), Fraction(0))
    credited = run.ledger.sell_to_market(who.position, units, worth)
    price = price_of(table, who.instrument, worth / units)
    run.log(who._replace(kind=EventKind.FILL, contracts=units, price=price, asset=asset, units=credited))
    run.add_missing(who.pool, who.position, float(units * at_bankruptcy - worth))
    fund = run.ledger.fund_of(who.position)
    for rate, to in ((run.procedure.fee_to_fund, fund), (run.procedure.fee_to_venue, None)):
        fee = min(ceil_of(abs(worth) * exact_rate(rate)), run.units_left(who.pool, asset)) if rate else 0
        if fee > 0:
            run.ledger.charge(who.pool, asset, fee, to)
            run.log(who._replace(kind=EventKind.FEE, fund=-1 if to is None else to, asset=asset, units=fee))
