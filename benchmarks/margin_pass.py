"""Margin of 100,000 accounts with five positions each: plain objects, pandas and numpy against the compiled pass.

Every way is given the same book, laid out beforehand as suits it best, and the same marks, which move a little from one
repeat to the next; each answers with equity and maintenance margin of every account. One thread unless told otherwise.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from machine import machine, options, say_goals, say_machine, timed, write_json

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.compiled import compile_book, compile_rules
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import live_margin
from margincast.riskcore.margin_layout import lay_out
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

INSTRUMENTS, COINS, TIERS = 50, 9, 10
GOALS = {"plain objects": 90.0, "pandas": 20.0, "numpy": 10.0}
Answer = tuple[np.ndarray, np.ndarray]
Way = Callable[[MarketState], Answer]


def draw_rules(rng: np.random.Generator) -> RuleBook:
    """Ten marginal tiers for each of fifty contracts, three haircut slices for each of nine coins."""
    floors = np.array([0, 5e3, 2.5e4, 1e5, 5e5, 2e6, 1e7, 2.5e7, 1e8, 3e8])
    rates = np.array([0.004, 0.005, 0.0065, 0.01, 0.02, 0.025, 0.05, 0.1, 0.125, 0.15])
    leverage = np.array([125, 100, 75, 50, 25, 20, 10, 5, 4, 3])
    schedules = {
        f"C{i:02d}": RateSchedule.marginal(floors * rng.choice([1, 2, 5, 10]), rates * rng.uniform(1, 2.5), leverage)
        for i in range(INSTRUMENTS)
    }
    haircut = HaircutSchedule(np.array([0, 1e6, 1e7]), np.array([0.95, 0.9, 0.8]))
    return RuleBook("drawn", dt.date(2024, 1, 1), schedules, {f"C{i:02d}": haircut for i in range(COINS)})


def draw_book(rng: np.random.Generator, accounts: int, prices: np.ndarray) -> AccountBook:
    """Accounts with 1 to 20 positions, five on average, and two collaterals on average, never the same one twice."""
    symbols = [f"C{i:02d}" for i in range(INSTRUMENTS)]
    legs = np.clip(rng.poisson(5, accounts), 1, 20)
    instrument, notional = rng.integers(0, INSTRUMENTS, legs.sum()), rng.lognormal(8.5, 2, legs.sum())
    rows = rng.integers(1, 4, accounts)
    account = np.repeat(np.arange(accounts), rows)
    place = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
    asset = np.where(place == 0, 0, 1 + (rng.integers(0, COINS, accounts)[account] + place) % COINS)
    gross = np.bincount(np.repeat(np.arange(accounts), legs), notional)
    value = gross[account] / rows[account] * rng.lognormal(-1.5, 0.7, rows.sum())
    return AccountBook(
        InstrumentTable.linear_perpetuals(symbols, collateral=symbols[:COINS]),
        np.array([f"a{i}" for i in range(accounts)]),
        np.full(accounts, "main"),
        np.full(accounts, ""),
        np.append(0, np.cumsum(rows)),
        asset,
        value / np.append(1.0, prices[:COINS])[asset],
        np.append(0, np.cumsum(legs)),
        instrument,
        notional / prices[instrument] * rng.choice([-1, 1], legs.sum()),
        prices[instrument] * rng.lognormal(0, 0.05, legs.sum()),
        np.full(legs.sum(), np.nan),
    )


@dataclass(slots=True)
class Contract:
    mark: float
    floors: list[float]
    rates: list[float]
    deductions: list[float]

    def maintenance(self, notional: float) -> float:
        tier = bisect_right(self.floors, notional) - 1
        return notional * self.rates[tier] - self.deductions[tier]


@dataclass(slots=True)
class Asset:
    index: float
    floors: list[float]
    rates: list[float]
    offsets: list[float]

    def value(self, amount: float) -> float:
        worth = amount * self.index
        if worth <= 0.0:
            return worth
        part = bisect_right(self.floors, worth) - 1
        return worth * self.rates[part] + self.offsets[part]


@dataclass(slots=True)
class Position:
    contract: Contract
    size: float
    entry: float


@dataclass(slots=True)
class Account:
    cash: float
    coins: list[tuple[Asset, float]]
    positions: list[Position]

    def margin(self) -> tuple[float, float]:
        equity, needed = self.cash, 0.0
        for position in self.positions:
            contract, size = position.contract, position.size
            equity += size * (contract.mark - position.entry)
            needed += contract.maintenance(abs(size) * contract.mark)
        for asset, amount in self.coins:
            equity += asset.value(amount)
        return equity, needed


def plain_objects(book: AccountBook, rules: RuleBook) -> Way:
    """An object a position and a method call an account, in floats; tiers by bisection."""
    schedules = [rules.schedule_of(symbol) for symbol in book.instruments.symbols]
    contracts = [Contract(0.0, s.floors.tolist(), s.rates.tolist(), s.deductions.tolist()) for s in schedules]
    haircuts = [rules.haircut_of(asset, book.instruments.base) for asset in book.instruments.assets]
    assets = [Asset(1.0, h.floors.tolist(), h.rates.tolist(), h.offsets.tolist()) for h in haircuts]
    accounts = []
    columns = (book.balance_asset, book.balance, book.position_instrument, book.quantity, book.entry_price)
    asset, amount, instrument, quantity, entry = (column.tolist() for column in columns)
    for a in range(len(book)):
        rows = range(book.balance_pointer[a], book.balance_pointer[a + 1])
        legs = range(book.position_pointer[a], book.position_pointer[a + 1])
        cash = sum(amount[r] for r in rows if asset[r] == 0)
        coins = [(assets[asset[r]], amount[r]) for r in rows if asset[r] > 0]
        accounts.append(Account(cash, coins, [Position(contracts[instrument[p]], quantity[p], entry[p]) for p in legs]))

    def run(market: MarketState) -> Answer:
        for contract, mark in zip(contracts, market.mark.tolist(), strict=True):
            contract.mark = mark
        for asset, index in zip(assets, market.index.tolist(), strict=True):
            asset.index = index
        both = [account.margin() for account in accounts]
        return np.array([equity for equity, _ in both]), np.array([needed for _, needed in both])

    return run


class Columns:
    """The book and the tables as flat columns, for pandas and numpy."""

    def __init__(self, book: AccountBook, rules: RuleBook) -> None:
        schedules = [rules.schedule_of(symbol) for symbol in book.instruments.symbols]
        self.accounts = len(book)
        self.pointer, self.instrument = book.position_pointer[:-1], book.position_instrument
        self.account = np.repeat(np.arange(len(book)), np.diff(book.position_pointer))
        self.size, self.magnitude = book.quantity, np.abs(book.quantity)
        self.entry_value = book.quantity * book.entry_price
        self.floors, self.rates, self.deductions = (
            np.array([getattr(s, name) for s in schedules]) for name in ("floors", "rates", "deductions")
        )
        holder, coin = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer)), book.balance_asset > 0
        self.cash = np.bincount(holder[~coin], book.balance[~coin], len(book))
        self.holder, self.asset, self.amount = holder[coin], book.balance_asset[coin], book.balance[coin]
        haircut = rules.haircuts["C00"]
        self.slice_rates, self.slice_offsets = haircut.rates, haircut.offsets

    def coins(self, market: MarketState) -> np.ndarray:
        """Collateral value of each coin row: the haircut is concave, so the least of its lines."""
        worth = self.amount * market.index[self.asset]
        out = worth * self.slice_rates[0] + self.slice_offsets[0]
        for rate, offset in zip(self.slice_rates[1:], self.slice_offsets[1:], strict=True):
            np.minimum(out, worth * rate + offset, out=out)
        return out

    def by_comparison(self, notional: np.ndarray) -> np.ndarray:
        """Maintenance margin of each leg by counting the floors it has reached."""
        tier = np.zeros(len(notional), dtype=np.int64)
        for k in range(1, TIERS):
            tier += notional >= self.floors[self.instrument, k]
        return notional * self.rates[self.instrument, tier] - self.deductions[self.instrument, tier]

    def by_maximum(self, notional: np.ndarray) -> np.ndarray:
        """Maintenance margin of each leg as the highest of its tiers' lines: marginal schedules are convex."""
        out = notional * self.rates[:, 0][self.instrument] - self.deductions[:, 0][self.instrument]
        for k in range(1, TIERS):
            np.maximum(
                out, notional * self.rates[:, k][self.instrument] - self.deductions[:, k][self.instrument], out=out
            )
        return out


def pandas_groupby(columns: Columns) -> Way:
    """A frame of positions and one of collateral, a column at a time and a groupby each."""
    legs = pd.DataFrame({"account": columns.account, "instrument": columns.instrument, "size": columns.size})
    legs["entry_value"] = columns.entry_value
    held = pd.DataFrame({"account": columns.holder})

    def run(market: MarketState) -> Answer:
        value = legs["size"] * market.mark[columns.instrument]
        legs["profit"] = value - legs["entry_value"]
        legs["needed"] = columns.by_comparison(value.abs().to_numpy())
        sums = legs.groupby("account", sort=False)[["profit", "needed"]].sum()
        held["value"] = columns.coins(market)
        coins = held.groupby("account", sort=False)["value"].sum()
        equity = (columns.cash + sums["profit"]).add(coins, fill_value=0.0)
        return equity.to_numpy(), sums["needed"].to_numpy()

    return run


def numpy_columns(columns: Columns, needed_by: Callable[[np.ndarray], np.ndarray]) -> Way:
    """Flat arrays, summed with reduceat."""

    def run(market: MarketState) -> Answer:
        mark = market.mark[columns.instrument]
        profit = columns.size * mark - columns.entry_value
        needed = needed_by(columns.magnitude * mark)
        coins = np.bincount(columns.holder, columns.coins(market), columns.accounts)
        equity = columns.cash + np.add.reduceat(profit, columns.pointer) + coins
        return equity, np.add.reduceat(needed, columns.pointer)

    return run


def numpy_by_instrument(columns: Columns) -> Way:
    """Positions sorted by instrument, a searchsorted for each instrument, sums with bincount."""
    order = np.argsort(columns.instrument, kind="stable")
    edges = np.searchsorted(columns.instrument[order], np.arange(INSTRUMENTS + 1))
    account, size, entry_value = columns.account[order], columns.size[order], columns.entry_value[order]
    value, needed = np.empty(len(size)), np.empty(len(size))

    def run(market: MarketState) -> Answer:
        for i, mark in enumerate(market.mark):
            mine = slice(edges[i], edges[i + 1])
            np.multiply(size[mine], mark, out=value[mine])
            notional = np.abs(value[mine])
            tier = np.searchsorted(columns.floors[i], notional, side="right") - 1
            needed[mine] = notional * columns.rates[i][tier] - columns.deductions[i][tier]
        coins = np.bincount(columns.holder, columns.coins(market), columns.accounts)
        equity = columns.cash + np.bincount(account, value - entry_value, columns.accounts) + coins
        return equity, np.bincount(account, needed, columns.accounts)

    return run


def ours_cold(book: AccountBook, rules: RuleBook) -> Way:
    """A book never seen before: put in order, its rules flattened, every tier searched."""

    def run(market: MarketState) -> Answer:
        return live_margin(lay_out(compile_book(book), compile_rules(rules, book.instruments, book)), market)

    return run


def ours_warm(book: AccountBook, rules: RuleBook, threads: int) -> Way:
    """A book that stays from tick to tick."""
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    return lambda market: live_margin(layout, market, threads=threads)


def all_ways(book: AccountBook, rules: RuleBook, columns: Columns) -> dict[str, tuple[Way, int]]:
    """Every way, and how often it is timed a round."""
    return {
        "plain Python objects": (plain_objects(book, rules), 1),
        "pandas groupby": (pandas_groupby(columns), 3),
        "numpy, tiers by comparison": (numpy_columns(columns, columns.by_comparison), 3),
        "numpy, highest of the tiers' lines": (numpy_columns(columns, columns.by_maximum), 3),
        "numpy, searchsorted by instrument": (numpy_by_instrument(columns), 5),
        "margincast, cold": (ours_cold(book, rules), 3),
        "margincast, warm": (ours_warm(book, rules, 1), 20),
        "margincast, warm, 2 threads": (ours_warm(book, rules, 2), 20),
    }


def ticks(rng: np.random.Generator, prices: np.ndarray, count: int) -> list[MarketState]:
    """Markets that each move about 0.1% from the one before."""
    out = []
    for _ in range(count):
        prices = prices * rng.lognormal(0, 1e-3, INSTRUMENTS)
        out.append(MarketState(np.datetime64("2024-01-01"), prices, np.append(1.0, prices[:COINS])))
    return out


def require_agreement(ways: dict[str, tuple[Way, int]], market: MarketState, columns: Columns) -> None:
    """Every account's equity and maintenance margin, to 1e-12 of its gross value."""
    equity, needed = ways["plain Python objects"][0](market)
    scale = np.abs(equity) + columns.cash + np.add.reduceat(np.abs(columns.entry_value), columns.pointer)
    for name, (run, _) in ways.items():
        for one, other in zip(run(market), (equity, needed), strict=True):
            assert (np.abs(one - other) <= 1e-12 * scale).all(), f"{name} disagrees"


def main() -> None:
    """Run every way on the same book and print accounts per second, ratios and goals."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    accounts, rounds = (5_000, 3) if asked.quick else (100_000, 9)
    rng = np.random.default_rng(1)
    prices, rules = rng.lognormal(3, 2.5, INSTRUMENTS), draw_rules(rng)
    book = draw_book(rng, accounts, prices)
    columns = Columns(book, rules)
    sizes = f"{accounts:,} accounts, {len(book.quantity):,} positions, {len(book.balance):,} collateral rows"
    print(f"{sizes}, {INSTRUMENTS} instruments, {TIERS} tiers; {rounds} rounds")
    ways, markets = all_ways(book, rules, columns), ticks(rng, prices, 20 * rounds + 1)
    require_agreement(ways, markets[0], columns)
    calls = {name: (lambda k, run=run: run(markets[k]), times) for name, (run, times) in ways.items()}
    spent = timed(calls, rounds)
    warm = spent["margincast, warm"]
    slower = {name: taken.median / warm.median for name, taken in spent.items()}
    print(f"{'':36} {'median ms':>10} {'least ms':>10} {'accounts/s':>12} {'times warm':>11} {'(least)':>9}")
    for name, taken in spent.items():
        times = f"{taken.median * 1e3:10.2f} {taken.least * 1e3:10.2f} {accounts / taken.median:12,.0f}"
        print(f"{name:36} {times} {slower[name]:10.1f}x {taken.least / warm.least:8.1f}x")
    print("all agree on equity and maintenance margin of every account, to 1e-12 of its gross value")
    numpy_best = min(ratio for name, ratio in slower.items() if name.startswith("numpy"))
    ratios = (slower["plain Python objects"], slower["pandas groupby"], numpy_best)
    judged = say_goals(
        {name: (ratio, goal) for (name, goal), ratio in zip(GOALS.items(), ratios, strict=True)}, asked.quick
    )
    figures = {
        name: {"median_s": taken.median, "least_s": taken.least, "accounts_per_s": accounts / taken.median}
        for name, taken in spent.items()
    }
    write_json(asked.json, {"machine": found, "accounts": accounts, "ways": figures, "goals": judged})


if __name__ == "__main__":
    main()
