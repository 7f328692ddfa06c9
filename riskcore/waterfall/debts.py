"""Debts of pools without positions: their collateral pays, then the funds, then those in profit, then nobody."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ..margin import Stage
from .events import Event, EventKind
from .money import ceil_of, floor_of, pro_rata, total_of
from .payers import Payers
from .run_state import Debt, PoolView, Run


def claim_debts(run: Run, view: PoolView) -> bool:
    """Pay what a pool owes after its last position was closed with its collateral, and note the rest; if there is any.

    A debt is that of the domains in which closing brought less than the bankruptcy price (`Run.missing`), pro rata.
    """
    _sell_collateral(run, view.pool)
    debts = np.flatnonzero(run.ledger.cash[view.pool] < 0).tolist()
    for asset in debts:
        owed = -int(run.ledger.cash[view.pool, asset])
        for fund, part in _by_fund(run, view, asset, owed).items():
            run.claims.setdefault((fund, asset), []).append(Debt(view.pool, part))
    run.missing.pop(view.pool, None)
    if debts:
        run.worst[view.pool] = Stage.BANKRUPT
    return bool(debts)


def settle_claims(run: Run, payers: Payers) -> None:
    """At the end of a round: each fund pays the debts of its domain, then pools in profit there, the rest is uncovered.

    Debts are paid in the order they were made. What the fund cannot pay is shared pro rata to open profit, at most all
    of that, over all debts at once.
    """
    for (fund, asset), debts in sorted(run.claims.items()):
        left = [debt for debt in (_fund_pays(run, fund, asset, one) for one in debts) if debt.units]
        left = _socialise(run, fund, asset, left, payers) if left else left
        for debt in left:
            run.log(Event(0, EventKind.UNCOVERED, debt.pool, fund=fund, asset=asset, units=debt.units))
    run.claims.clear()


def sweep(run: Run, view: PoolView) -> None:
    """What rounding left in a pool without haircuts goes to the fund."""
    for asset in np.flatnonzero(run.ledger.cash[view.pool] > 0).tolist():
        units, fund = int(run.ledger.cash[view.pool, asset]), _first_fund(run, view, asset)
        run.ledger.charge(view.pool, asset, units, fund)
        run.log(Event(0, EventKind.SURPLUS, view.pool, fund=fund, asset=asset, units=units))


def _by_fund(run: Run, view: PoolView, asset: int, owed: int) -> dict[int, int]:
    """A debt, units, by the fund whose domain it was made in; what is not known of goes to the first leg's."""
    missing = run.missing.get(view.pool)
    if not missing:
        return {_first_fund(run, view, asset): owed}
    parts = zip(missing, pro_rata(owed, [Fraction(amount) for amount in missing.values()]), strict=True)
    return {fund: part for fund, part in parts if part}


def _first_fund(run: Run, view: PoolView, asset: int) -> int:
    """The fund of the pool's first leg that settled in an asset, or of its first leg."""
    settled = [int(p) for p in view.positions if run.ledger.asset_of(int(p)) == asset]
    return run.ledger.fund_of(settled[0] if settled else int(view.positions[0]))


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


def _fund_pays(run: Run, fund: int, asset: int, debt: Debt) -> Debt:
    """What a debt is after the fund paid what it can."""
    paid = min(debt.units, max(0, run.ledger.fund_worth(fund, asset)))
    if paid:
        run.ledger.charge(debt.pool, asset, -paid, fund)
        run.log(Event(0, EventKind.FUND_PAID, debt.pool, fund=fund, asset=asset, units=paid))
    return Debt(debt.pool, debt.units - paid)


def _socialise(run: Run, fund: int, asset: int, debts: list[Debt], payers: Payers) -> list[Debt]:
    """Share debts over the pools in profit in the fund's domain, pro rata to profit; what is left of each."""
    pools, profits = payers.profits(fund, asset)
    free, owed = total_of(profits.tolist()), total_of(debt.units for debt in debts)
    due = min(owed, free)
    if not due:
        return debts
    shares = pro_rata(due, profits.tolist())
    covered = pro_rata(due, [debt.units for debt in debts])
    payers.pay(pools, fund, asset, np.array(shares))
    for debtor, payer, units in _matched(covered, shares):
        pool, one = debts[debtor].pool, int(pools[payer])
        run.ledger.transfer(one, pool, asset, units)
        run.log(Event(0, EventKind.SOCIALISED, pool, counterparty=one, fund=fund, asset=asset, units=units))
    left = (Debt(debt.pool, debt.units - part) for debt, part in zip(debts, covered, strict=True))
    return [debt for debt in left if debt.units]


def _matched(owed: list[int], paid: list[int]) -> Iterator[tuple[int, int, int]]:
    """Who gets how much from whom, when both are gone through in order; both have the same sum."""
    debtor, open_ = 0, owed[0]
    for payer, left in enumerate(paid):
        while left:
            while not open_:
                debtor += 1
                open_ = owed[debtor]
            units = min(left, open_)
            yield debtor, payer, units
            left, open_ = left - units, open_ - units
