"""The waterfall against a plain ledger that knows nothing of it: fractions, one rule a kind of event."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from waterfall_cases import draw_case

from margincast.riskcore.instruments import INVERSE
from margincast.riskcore.margin import Stage, evaluate
from margincast.riskcore.waterfall.events import EventKind
from margincast.riskcore.waterfall.waterfall import run_waterfall

SEEDS = st.integers(0, 10_000)
UNIT = 10**8


def value(table, instrument, price):
    """Settlement asset a contract is worth, up to a constant."""
    m, p = Fraction(float(table.multiplier[instrument])), Fraction(float(price))
    return -m / p if table.kind[instrument] == INVERSE else m * p


class Plain:
    """Wealth of pools, funds, market and venue in each asset, by what each trade is worth at the last marks."""

    def __init__(self, book, funds, mark):
        self.table, self.mark, self.domain = book.instruments, mark, funds.domain
        self.pool = np.repeat(np.arange(len(book)), np.diff(book.position_pointer)).tolist()
        self.instrument = book.position_instrument.tolist()
        self.open = [round(q * UNIT) for q in book.quantity.tolist()]
        assets = len(self.table.assets)
        self.pools = [[Fraction(0)] * assets for _ in range(len(book))]
        holder = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer)).tolist()
        for pool, asset, amount in zip(holder, book.balance_asset.tolist(), book.balance.tolist(), strict=True):
            self.pools[pool][asset] += round(amount * UNIT)
        for row, entry in enumerate(book.entry_price.tolist()):
            gain = self.open[row] * (self.at_mark(row) - value(self.table, self.instrument[row], entry))
            self.pools[self.pool[row]][self.asset(row)] += gain
        self.funds = [[Fraction(round(x * UNIT)) for x in row] for row in funds.balance.tolist()]
        self.fees = [Fraction(0)] * assets

    def asset(self, row):
        return int(self.table.settlement[self.instrument[row]])

    def at_mark(self, row):
        return value(self.table, self.instrument[row], self.mark[self.instrument[row]])

    def replay(self, e):
        """One event: (kind, pool, position, counterparty, fund, contracts, asset, units)."""
        kind, pool, position, other, fund, contracts, asset, units = e
        if kind == EventKind.FILL:
            self.pools[pool][asset] += units - contracts * self.at_mark(position)
            self.open[position] -= contracts
        elif kind == EventKind.FEE:
            self.pools[pool][asset] -= units
            to = self.fees if fund < 0 else self.funds[fund]
            to[asset] += units
        elif kind == EventKind.TAKEOVER:
            assert fund == self.domain[self.instrument[position]]
            self.pools[pool][asset] -= units
            self.funds[fund][asset] += units
            self.open[position] -= contracts
        elif kind == EventKind.ADL:
            assert self.instrument[position] == self.instrument[other] and self.pool[other] != pool
            self.pools[pool][asset] += units
            self.pools[self.pool[other]][asset] -= units
            self.open[position] -= contracts
            self.open[other] += contracts
        elif kind == EventKind.COLLATERAL_SOLD:
            self.pools[pool][asset] += units
        elif kind in (EventKind.SURPLUS, EventKind.FUND_PAID):
            sign = 1 if kind == EventKind.FUND_PAID else -1
            self.pools[pool][asset] += sign * units
            self.funds[fund][asset] -= sign * units
        elif kind == EventKind.SOCIALISED:
            self.pools[pool][asset] += units
            self.pools[other][asset] -= units


def rows(events):
    names = ("kind", "pool", "position", "counterparty", "fund", "contracts", "asset", "units")
    return list(zip(*(getattr(events, name).tolist() for name in names), strict=True))


def closing_worth(result, mark):
    """Units each pool and fund is worth at the end, by asset, from the closing ledger."""
    ledger, table = result.closing, result.closing.instruments
    pools = [[Fraction(int(x)) for x in row] for row in ledger.cash]
    pool = np.repeat(np.arange(len(pools)), np.diff(result.start.position_pointer))
    for row, i in enumerate(ledger.instrument.tolist()):
        worth = int(ledger.contracts[row]) * value(table, i, mark[i]) - int(ledger.cost[row])
        pools[pool[row]][table.settlement[i]] += worth
    funds = [[Fraction(int(x)) for x in row] for row in ledger.fund_cash]
    for f, i in np.argwhere((ledger.fund_contracts != 0) | (ledger.fund_cost != 0)).tolist():
        worth = int(ledger.fund_contracts[f, i]) * value(table, i, mark[i]) - int(ledger.fund_cost[f, i])
        funds[f][table.settlement[i]] += worth
    return pools, funds


class Ran:
    """A drawn case without impact on the mark, run, and the plain ledger after all its events."""

    def __init__(self, draw, seed, **fixed):
        case = draw_case(draw, seed, **({"impact_weight": 0.0} | fixed))
        self.case, self.start, self.market = case, case[0], case[1]
        self.result = run_waterfall(*case)
        self.closing = self.result.closing
        self.plain = Plain(case[0], case[5], case[1].mark)
        self.before = [list(row) for row in self.plain.pools]
        self.events = rows(self.result.events)
        for event in self.events:
            self.plain.replay(event)


@settings(max_examples=20)
@given(SEEDS)
def test_every_owner_ends_with_what_the_events_gave_him(draw, seed):
    ran = Ran(draw, seed)
    assert ran.plain.open == ran.closing.contracts.tolist()
    pools, funds = closing_worth(ran, ran.market.mark)
    bound = 2 * len(ran.events) + len(ran.start.quantity) + 2
    sold = {event[1] for event in ran.events if event[0] == EventKind.COLLATERAL_SOLD}
    for pool, (found, told) in enumerate(zip(pools, ran.plain.pools, strict=True)):
        gaps = [abs(a - b) for a, b in zip(found, told, strict=True)]
        assert pool in sold or max(gaps) <= bound
    for found, told in zip(funds, ran.plain.funds, strict=True):
        assert all(-bound <= a - b <= bound for a, b in zip(found, told, strict=True))
    assert [int(x) for x in ran.plain.fees] == ran.closing.fees.tolist()


@settings(max_examples=20)
@given(SEEDS)
def test_nobody_sound_is_made_bankrupt_by_others(draw, seed):
    """One round: in the next, who lost a hedge to ADL may be liquidated on his own account."""
    ran = Ran(draw, seed, max_rounds=1)
    first = evaluate(ran.start, ran.market, ran.case[2])
    last = evaluate(ran.result.book, ran.market, ran.case[2])
    sound = (first.stage < Stage.LIQUIDATION) & (first.equity > 0)
    scale = 1e-8 * (np.abs(first.equity) + 1)
    assert (last.equity[sound] >= -scale[sound]).all()


@settings(max_examples=20)
@given(SEEDS)
def test_nobody_pays_more_of_a_debt_than_his_open_profit(draw, seed):
    ran = Ran(draw, seed)
    table, domain = ran.start.instruments, ran.case[5].domain
    paid = {}
    for kind, _, _, other, fund, _, asset, units in ran.events:
        if kind == EventKind.SOCIALISED:
            paid[other, fund, asset] = paid.get((other, fund, asset), 0) + units
    pool = np.repeat(np.arange(len(ran.start)), np.diff(ran.start.position_pointer))
    opening = ran.result.opening
    for (payer, fund, asset), units in paid.items():
        gains = 0
        for row in np.flatnonzero(pool == payer).tolist():
            i = int(opening.instrument[row])
            if domain[i] == fund and table.settlement[i] == asset:
                gains += max(0, int(opening.contracts[row]) * ran.plain.at_mark(row) - int(opening.cost[row]))
        assert units <= gains + 1


@settings(max_examples=20)
@given(SEEDS)
def test_a_debt_stays_with_the_domains_it_was_made_in(draw, seed):
    """A fund, and those in profit in its domain, pay only for pools that had a position in it."""
    ran = Ran(draw, seed)
    pool = np.repeat(np.arange(len(ran.start)), np.diff(ran.start.position_pointer))
    held = {(int(p), int(ran.case[5].domain[i])) for p, i in zip(pool, ran.start.position_instrument, strict=True)}
    for kind, debtor, _, _, fund, _, _, _ in ran.events:
        if kind in (EventKind.FUND_PAID, EventKind.SOCIALISED):
            assert (debtor, fund) in held


@settings(max_examples=20)
@given(SEEDS)
def test_a_pool_that_liquidation_leaves_without_positions_owes_nothing_that_was_not_told(draw, seed):
    ran = Ran(draw, seed)
    touched = {e[1] for e in ran.events if e[0] in (EventKind.FILL, EventKind.TAKEOVER, EventKind.ADL)}
    pool = np.repeat(np.arange(len(ran.start)), np.diff(ran.start.position_pointer))
    uncovered = {}
    for kind, debtor, _, _, _, _, asset, units in ran.events:
        if kind == EventKind.UNCOVERED:
            uncovered[debtor, asset] = uncovered.get((debtor, asset), 0) + units
    for one in touched:
        if not ran.closing.contracts[pool == one].any():
            owed = np.minimum(ran.closing.cash[one], 0)
            assert [-uncovered.get((one, asset), 0) for asset in range(len(owed))] == owed.tolist()


@settings(max_examples=15)
@given(SEEDS)
def test_the_order_of_pools_decides_nothing_but_the_last_units(draw, seed):
    """Pools the other way round: the same owners end with the same, but for the odd units of a debt that is shared.

    The ranking is one in which no two positions are equal; equals are deleveraged in the order of the book.
    """
    case = draw_case(draw, seed, adl_ranking="return_times_leverage")
    back = np.arange(len(case[0]))[::-1]
    one, two = run_waterfall(*case), run_waterfall(case[0].take(back), *case[1:])
    odd = len(one.events)
    assert np.abs(one.closing.cash - two.closing.cash[::-1]).max() <= odd
    assert np.abs(one.closing.fund_cash - two.closing.fund_cash).max() <= odd
    assert np.abs(one.uncovered - two.uncovered).max() <= odd
    assert one.market.mark.tolist() == two.market.mark.tolist()
    assert one.worst_stage.tolist() == two.worst_stage[::-1].tolist()
