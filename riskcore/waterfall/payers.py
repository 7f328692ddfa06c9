"""What sound pools can still bear in a round: losses by ADL and shares of debts, at most what each is worth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..arrays import BoolArray, IntArray
from ..instruments import INVERSE
from ..margin import Stage
from .adl import AdlCandidates, adl_order
from .bankruptcy import share_equity
from .money import LARGEST, UNIT, floor_of_all
from .run_state import RoundState, Run

MOST = float(2**62)
SAFETY, ROUNDINGS = 1e-9, 4
"""Share of its equity, and units, a pool is left by what others cost it, so that rounding does not make it bankrupt."""


class Payers:
    """The pools that were not in breach when a round began and had equity, and what they paid since.

    What a pool is worth falls by no more than what it pays, whatever its haircuts: `left` is never above its equity.
    """

    def __init__(self, run: Run, seen: RoundState) -> None:
        self.run, self.seen, self.settlement = run, seen, run.book.instruments.settlement
        sound = (seen.stage < Stage.LIQUIDATION) & (seen.equity > 0)
        self.left = np.where(sound, seen.equity * (1.0 - SAFETY), 0.0)
        self.sound: BoolArray = sound[run.ledger.pool]
        self._queues: dict[tuple[int, int], list[int]] = {}

    def to_deleverage(self, instrument: int, sign: int) -> Iterator[int]:
        """Positions of sound pools on one side of a contract, first in the ranking first; none that is used up."""
        if (instrument, sign) not in self._queues:
            self._queues[instrument, sign] = self._ranked(instrument, sign)
        queue, ledger, asset = self._queues[instrument, sign], self.run.ledger, int(self.settlement[instrument])
        usable: list[int] = []
        looked_at = 0
        try:
            for row in queue:
                looked_at += 1
                if ledger.contracts[row] and self.room(int(ledger.pool[row]), asset):
                    usable.append(row)
                    yield row
        finally:
            queue[:looked_at] = usable

    def _ranked(self, instrument: int, sign: int) -> list[int]:
        contracts, ledger = self.run.ledger.contracts, self.run.ledger
        fit = (ledger.instrument == instrument) & self.sound & (contracts < 0 if sign < 0 else contracts > 0)
        if self.run.procedure.adl_profitable_only:
            fit &= self.seen.leg_profit > 0
        rows = np.flatnonzero(fit)
        order = adl_order(self.run.procedure.adl_ranking, self._candidates(rows, instrument))
        ranked: list[int] = rows[order].tolist()
        return ranked

    def _candidates(self, rows: IntArray, instrument: int) -> AdlCandidates:
        """The positions as they were when the round began, which is what they are ranked by."""
        run, seen, pool = self.run, self.seen, self.run.ledger.pool[rows]
        leg_equity = share_equity(seen.equity, run.ledger.pool, seen.leg_maintenance)[rows]
        mark, entry = run.market.mark[instrument], run.book.entry_price[rows]
        grown = mark / entry if run.book.instruments.kind[instrument] == INVERSE else entry / mark
        return AdlCandidates(
            seen.leg_notional[rows],
            seen.leg_notional[rows] * grown,
            seen.leg_profit[rows],
            np.maximum(leg_equity, 1e-12 * seen.leg_notional[rows]),
            seen.wallet[pool],
            seen.equity[pool],
            seen.maintenance[pool],
        )

    def room(self, pool: int, asset: int) -> int:
        """Units of an asset a pool can still lose before it is worth nothing."""
        worth = float(self.left[pool]) / float(self.run.market.index[asset]) * UNIT
        return max(int(min(worth, MOST)) - ROUNDINGS, 0)

    def _rooms(self, pools: IntArray, asset: int) -> IntArray:
        worth = self.left[pools] / self.run.market.index[asset] * UNIT
        return np.asarray(np.maximum(np.minimum(worth, MOST).astype(np.int64) - ROUNDINGS, 0))

    def lose(self, pool: int, asset: int, units: int) -> None:
        """A pool lost units of an asset."""
        cost = units / UNIT * float(self.run.market.index[asset])
        self.left[pool] = max(0.0, float(self.left[pool]) - cost)

    def pay(self, pools: IntArray, fund: int, asset: int, units: IntArray) -> None:
        """Pools paid units of an asset out of their open profit in a fund's domain."""
        cost = units / UNIT * self.run.market.index[asset]
        self.left[pools] = np.maximum(0.0, self.left[pools] - cost)
        self._tapped(fund, asset)[pools] += units

    def profits(self, fund: int, asset: int) -> tuple[IntArray, IntArray]:
        """Sound pools and the units each has open in profit in a fund's domain, settled in an asset, where positive.

        What a pool paid of it before is taken off, and it is at most what the pool is worth.
        """
        pools, profits = self._all_profits(fund, asset)
        free = np.minimum(profits - self._tapped(fund, asset)[pools], self._rooms(pools, asset))
        return pools[free > 0], free[free > 0]

    def _tapped(self, fund: int, asset: int) -> IntArray:
        return self.run.tapped.setdefault((fund, asset), np.zeros(len(self.run.book), dtype=np.int64))

    def _all_profits(self, fund: int, asset: int) -> tuple[IntArray, IntArray]:
        open_ = self.run.ledger.contracts != 0
        rows = np.flatnonzero(self._covered(fund, asset)[self.run.ledger.instrument] & self.sound & open_)
        pools, first = np.unique(self.run.ledger.pool[rows], return_index=True)
        parts = np.split(rows, first[1:]) if len(rows) else []
        return pools, np.array([self._profit(part, fund, asset) for part in parts], dtype=np.int64)

    def _covered(self, fund: int, asset: int) -> BoolArray:
        table = self.run.book.instruments
        return np.asarray((self.run.ledger.funds.domain == fund) & (table.settlement == asset))

    def _profit(self, rows: IntArray, fund: int, asset: int) -> int:
        """Units of unrealised profit of positions, of those in a fund's domain that settle in an asset."""
        ledger, covered = self.run.ledger, self._covered(fund, asset)
        mine = rows[covered[ledger.instrument[rows]]]
        held = zip(mine.tolist(), ledger.contracts[mine].tolist(), ledger.cost[mine].tolist(), strict=True)
        worth: int = sum(floor_of_all(contracts, self.run.mark_value(row)) - cost for row, contracts, cost in held)
        return max(-LARGEST, min(LARGEST, worth))
