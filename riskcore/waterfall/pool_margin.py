"""Margin of one pool while a waterfall changes it: the bits `evaluate` gives, without compiling a book each time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from ..accounts import AccountBook
from ..arrays import FloatArray, IntArray
from ..compiled import compile_rules
from ..instruments import INVERSE
from ..market import MarketState
from ..rulebook import RuleBook


class Bands(NamedTuple):
    """A function that is rate * x + offset from each floor on; below the first it is that of the first."""

    floor: list[float]
    rate: list[float]
    offset: list[float]

    def place(self, value: float) -> int:
        """Band a value is in."""
        return max(bisect_right(self.floor, value) - 1, 0)


class Leg(NamedTuple):
    """A position: contract, signed contracts, entry price; `leverage` only decides between equals."""

    instrument: int
    quantity: float
    entry: float
    leverage: float


class OnePool(NamedTuple):
    """What `evaluate` says of a pool, base asset; the legs in the order given."""

    equity: float
    maintenance: float
    notional: list[float]
    profit: list[float]
    leg_maintenance: list[float]


class PoolRules:
    """Contract map and rule tables of a book in plain lists, compiled once for many looks at single pools."""

    def __init__(self, book: AccountBook, rules: RuleBook) -> None:
        table, found = book.instruments, compile_rules(rules, book.instruments, book)
        self.multiplier, self.settlement = table.multiplier.tolist(), table.settlement.tolist()
        self.inverse = (table.kind == INVERSE).tolist()
        self.tiers = _bands(found.tier_pointer, found.tier_floor, found.tier_rate, 0.0 - found.tier_deduction)
        self.collateral = _bands(found.haircut_pointer, found.haircut_floor, found.haircut_rate, found.haircut_offset)

    def margin(self, legs: Sequence[Leg], cash: Sequence[tuple[int, float]], market: MarketState) -> OnePool:
        """Margin of a pool of these legs and amounts of assets, each asset once.

        Sums run in the order of `CompiledBook`: by asset, then contract, size, entry price and leverage.
        """
        mark, index = market.mark, market.index
        order = sorted(range(len(legs)), key=lambda k: self._canonical(legs[k]))
        held, equity, maintenance = dict(cash), 0.0, 0.0
        for asset in sorted({*held, *(self.settlement[leg.instrument] for leg in legs)}):
            mine = [legs[k] for k in order if self.settlement[legs[k].instrument] == asset]
            total, required = self._row(mine, held.get(asset, 0.0), mark)
            price = float(index[asset])
            equity += self._collateral_value(asset, total * price)
            maintenance += required * price
        split = [self._leg(leg, float(mark[leg.instrument]), index) for leg in legs]
        notional, profit, needed = ([row[k] for row in split] for k in range(3))
        return OnePool(equity, maintenance, notional, profit, needed)

    def _canonical(self, leg: Leg) -> tuple[float, ...]:
        size = leg.quantity * self.multiplier[leg.instrument]
        last = math.inf if math.isnan(leg.leverage) else leg.leverage
        return leg.instrument, size, leg.entry, last

    def _row(self, legs: Sequence[Leg], cash: float, mark: FloatArray) -> tuple[float, float]:
        """Amount and maintenance margin of a pool in one asset, as `margin_kernel.margin_pass` adds them up."""
        fixed, required = 0.0, 0.0
        sizes = [leg.quantity * self.multiplier[leg.instrument] for leg in legs]
        for leg, size in zip(legs, sizes, strict=True):
            fixed += size / leg.entry if self.inverse[leg.instrument] else -size * leg.entry
        total = cash + fixed
        for leg, size in zip(legs, sizes, strict=True):
            price, bands = float(mark[leg.instrument]), self.tiers[leg.instrument]
            value = size * (-1.0 / price if self.inverse[leg.instrument] else price)
            total += value
            band = bands.place(abs(value))
            required += abs(value) * bands.rate[band] + bands.offset[band]
        return total, required

    def _collateral_value(self, asset: int, value: float) -> float:
        if value < 0:
            return value
        bands = self.collateral[asset]
        band = bands.place(value)
        return value * bands.rate[band] + bands.offset[band]

    def _leg(self, leg: Leg, mark: float, index: FloatArray) -> tuple[float, float, float]:
        """Notional, profit and maintenance margin of a leg, as `margin.evaluate` splits them."""
        size, entry = leg.quantity * self.multiplier[leg.instrument], leg.entry
        if self.inverse[leg.instrument]:
            notional, profit = abs(size / mark), size * (1 / entry - 1 / mark)
        else:
            notional, profit = abs(size * mark), size * (mark - entry)
        bands, price = self.tiers[leg.instrument], float(index[self.settlement[leg.instrument]])
        band = bands.place(notional)
        needed = notional * bands.rate[band] + bands.offset[band]
        return notional * price, profit * price, needed * price


def _bands(pointer: IntArray, *columns: FloatArray) -> list[Bands]:
    floor, rate, offset = (column.tolist() for column in columns)
    return [Bands(floor[a:b], rate[a:b], offset[a:b]) for a, b in zip(pointer[:-1], pointer[1:], strict=True)]
