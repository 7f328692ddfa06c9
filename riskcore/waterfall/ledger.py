"""Who owns what, in whole units: every step of a waterfall moves units from one owner to another."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..accounts import AccountBook, csr_entries
from ..arrays import IntArray, frozen, require
from ..instruments import INVERSE, InstrumentTable
from .funds import InsuranceFunds
from .money import ceil_of, floor_of, floor_of_all, from_units, require_range, to_units, total_of, unit_value


@dataclass(frozen=True)
class Ledger:
    """Money and contracts of all owners at one moment, int64 units of 1e-8.

    A position is its contracts and what they cost, settlement asset (-m / price a piece for an inverse contract),
    so that its profit is their value less the cost. What an owner has in an asset is its cash less the cost of its
    positions; of this the sum over owners never changes.

    Parameters
    ----------
    instruments
        The contracts.
    cash
        Shape (n_pools, n_assets).
    instrument, contracts, cost
        Positions of the pools, in the order of the book, closed ones with 0 contracts; shape (n_positions,).
    fund_cash, fund_contracts, fund_cost
        Shapes (n_funds, n_assets), (n_funds, n_instruments) twice.
    market_cash, market_contracts
        Of everybody who traded with a liquidation order or bought collateral, since the start.
    fees
        Taken by the venue, shape (n_assets,).
    """

    instruments: InstrumentTable
    cash: IntArray
    instrument: IntArray
    contracts: IntArray
    cost: IntArray
    fund_cash: IntArray
    fund_contracts: IntArray
    fund_cost: IntArray
    market_cash: IntArray
    market_contracts: IntArray
    fees: IntArray

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name != "instruments":
                object.__setattr__(self, name, frozen(getattr(self, name), np.int64))

    def money(self) -> tuple[int, ...]:
        """Units of each asset over all owners: cash less cost of positions, funds, market and fees included; exact."""
        settlement, out = self.instruments.settlement, []
        for asset in range(len(self.instruments.assets)):
            mine = settlement == asset
            held = total_of(self.cash[:, asset]) + total_of(self.fund_cash[:, asset])
            spent = total_of(self.cost[mine[self.instrument]]) + total_of(self.fund_cost[:, mine].ravel())
            out.append(held - spent + int(self.market_cash[asset]) + int(self.fees[asset]))
        return tuple(out)

    def open_contracts(self) -> tuple[int, ...]:
        """Net contracts of each instrument over all owners; exact."""
        return tuple(
            total_of(self.contracts[self.instrument == i])
            + total_of(self.fund_contracts[:, i])
            + int(self.market_contracts[i])
            for i in range(len(self.instruments))
        )


class WorkingLedger:
    """The ledger while a waterfall runs; each method moves units from one owner to another."""

    def __init__(self, book: AccountBook, funds: InsuranceFunds) -> None:
        table = book.instruments
        self.table, self.funds = table, funds
        pools, assets = len(book), len(table.assets)
        self.pool = np.repeat(np.arange(pools), np.diff(book.position_pointer))
        self.instrument = book.position_instrument
        self.contracts = to_units(book.quantity, "quantity")
        require(self.contracts != 0, book.quantity, "is less than half a unit of 1e-8", "quantity")
        self.cost = self._opening_cost(book)
        self.cash = np.zeros((pools, assets), dtype=np.int64)
        holder = np.repeat(np.arange(pools), np.diff(book.balance_pointer))
        held = (holder.tolist(), book.balance_asset.tolist(), to_units(book.balance, "balance").tolist())
        for pool, asset, units in zip(*held, strict=True):
            _add(self.cash, (pool, asset), units, "balance")
        self.fund_cash = to_units(funds.balance, "fund balance")
        self.fund_contracts = to_units(funds.inventory, "fund inventory")
        self.fund_cost = to_units(funds.cost, "fund cost")
        self.market_cash = np.zeros(assets, dtype=np.int64)
        self.market_contracts = np.zeros(len(table), dtype=np.int64)
        self.fees = np.zeros(assets, dtype=np.int64)

    def _opening_cost(self, book: AccountBook) -> IntArray:
        out = np.empty(len(book.quantity), dtype=np.int64)
        one = [unit_value(self.table, i, 1.0) for i in range(len(self.table))]
        columns = (book.position_instrument.tolist(), self.contracts.tolist(), book.entry_price.tolist())
        inverse = (self.table.kind == INVERSE).tolist()
        for row, (instrument, contracts, price) in enumerate(zip(*columns, strict=True)):
            top, bottom = price.as_integer_ratio()[:: -1 if inverse[instrument] else 1]
            worth = contracts * one[instrument].numerator * top
            out[row] = require_range(-(-worth // (one[instrument].denominator * bottom)), "entry value")
        return out

    def snapshot(self) -> Ledger:
        """The ledger as it stands."""
        return Ledger(
            self.table,
            self.cash,
            self.instrument,
            self.contracts,
            self.cost,
            self.fund_cash,
            self.fund_contracts,
            self.fund_cost,
            self.market_cash,
            self.market_contracts,
            self.fees,
        )

    def asset_of(self, position: int) -> int:
        """Settlement asset of a position."""
        return int(self.table.settlement[self.instrument[position]])

    def fund_of(self, position: int) -> int:
        """Fund whose domain a position is in."""
        return int(self.funds.domain[self.instrument[position]])

    def mark_to(self, unit_values: list[Fraction]) -> None:
        """Value the inventory of the funds at these unit values from now on."""
        self.unit_values = unit_values
        self.carried = [[Fraction(0)] * len(self.table.assets) for _ in range(len(self.funds))]
        self.spent = [[0] * len(self.table.assets) for _ in range(len(self.funds))]
        for fund, i in np.argwhere(self.fund_contracts | self.fund_cost).tolist():
            asset = int(self.table.settlement[i])
            self.carried[fund][asset] += int(self.fund_contracts[fund, i]) * unit_values[i]
            self.spent[fund][asset] += int(self.fund_cost[fund, i])

    def give_up(self, position: int, units: int, credited: int) -> None:
        """A pool gives up `units` contracts (signed as its position) and is credited money for them."""
        held, cost, asset = int(self.contracts[position]), int(self.cost[position]), self.asset_of(position)
        spent = -((-cost * units) // held)
        self.contracts[position], self.cost[position] = held - units, cost - spent
        _add(self.cash, (self.pool[position], asset), credited - spent, "balance")

    def sell_to_market(self, position: int, units: int, worth: Fraction) -> int:
        """Close against the order book: the market pays the ceiling, the pool gets the floor, the fund the dust."""
        instrument, asset = int(self.instrument[position]), self.asset_of(position)
        credited, paid = floor_of(worth), ceil_of(worth)
        self.give_up(position, units, credited)
        _add(self.market_cash, asset, -paid, "market")
        _add(self.market_contracts, instrument, units, "market")
        _add(self.fund_cash, (self.fund_of(position), asset), paid - credited, "fund balance")
        return credited

    def take_over(self, position: int, units: int, each: Fraction) -> int:
        """The fund of the domain takes contracts worth `each`, at what the pool is credited for them: the floor."""
        instrument, fund, asset = int(self.instrument[position]), self.fund_of(position), self.asset_of(position)
        credited = floor_of_all(units, each)
        self.give_up(position, units, credited)
        _add(self.fund_contracts, (fund, instrument), units, "fund inventory")
        _add(self.fund_cost, (fund, instrument), credited, "fund cost")
        self.carried[fund][asset] += units * self.unit_values[instrument]
        self.spent[fund][asset] += credited
        if self.fund_contracts[fund, instrument] == 0:
            realised = int(self.fund_cost[fund, instrument])
            self.fund_cost[fund, instrument] = 0
            self.spent[fund][asset] -= realised
            _add(self.fund_cash, (fund, asset), -realised, "fund balance")
        return credited

    def deleverage(self, position: int, against: int, units: int, each: Fraction) -> int:
        """Close two opposite positions against each other; each is credited the floor, the fund gets the dust."""
        credited, other = floor_of_all(units, each), floor_of_all(-units, each)
        self.give_up(position, units, credited)
        self.give_up(against, -units, other)
        _add(self.fund_cash, (self.fund_of(position), self.asset_of(position)), -credited - other, "fund balance")
        return other

    def charge(self, pool: int, asset: int, units: int, fund: int | None) -> None:
        """Units from a pool to a fund, or to the venue's fees."""
        _add(self.cash, (pool, asset), -units, "balance")
        if fund is None:
            _add(self.fees, asset, units, "fees")
        else:
            _add(self.fund_cash, (fund, asset), units, "fund balance")

    def transfer(self, pool: int, other: int, asset: int, units: int) -> None:
        """Units from one pool to another."""
        _add(self.cash, (pool, asset), -units, "balance")
        _add(self.cash, (other, asset), units, "balance")

    def sell_collateral(self, pool: int, asset: int, units: int, into: int, proceeds: int) -> None:
        """Units of one asset to the market for `proceeds` units of another."""
        _add(self.cash, (pool, asset), -units, "balance")
        _add(self.cash, (pool, into), proceeds, "balance")
        _add(self.market_cash, asset, units, "market")
        _add(self.market_cash, into, -proceeds, "market")

    def fund_worth(self, fund: int, asset: int) -> int:
        """Units a fund is worth in one asset, its inventory as last marked, rounded down."""
        return int(self.fund_cash[fund, asset]) + floor_of(self.carried[fund][asset]) - self.spent[fund][asset]

    def closing_funds(self) -> InsuranceFunds:
        """The funds as they stand."""
        held = (from_units(column) for column in (self.fund_cash, self.fund_contracts, self.fund_cost))
        return InsuranceFunds(self.funds.names, self.funds.domain, *held)

    def book_of(self, book: AccountBook, pools: IntArray) -> AccountBook:
        """What these pools of the opening book hold now, in this order; closed positions are left out."""
        taken = book.take(pools)
        entries, _ = csr_entries(book.position_pointer, pools)
        live = self.contracts[entries] != 0
        counts = np.bincount(
            np.repeat(np.arange(len(pools)), np.diff(taken.position_pointer))[live], minlength=len(pools)
        )
        cash = self.cash[pools]
        row, asset = np.nonzero(cash)
        return AccountBook(
            self.table,
            taken.account,
            taken.sub_account,
            taken.isolated,
            np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(pools))))),
            asset,
            from_units(cash[row, asset]),
            np.concatenate(([0], np.cumsum(counts))),
            self.instrument[entries][live],
            from_units(self.contracts[entries][live]),
            taken.entry_price[live],
            taken.leverage[live],
        )


def _add(column: IntArray, place: int | tuple[int, int], units: int, name: str) -> None:
    column[place] = require_range(int(column[place]) + units, name)
