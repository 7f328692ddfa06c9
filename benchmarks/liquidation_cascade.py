"""A liquidation cascade over 100,000 accounts: lrvx against the compiled cascade, same accounts, order book and mark.

Every account has one long in one contract and cash; maintenance margin is 0.5% at any size, so that lrvx, which looks
its one ladder up on the account's total notional, and margincast, which has a ladder for each contract, ask for the
same. The mark falls to 97. What each side evaluates:

* lrvx: closes every account whose equity is below maintenance margin at the mark, each through a market order into the
  order book, then takes the mark from what is left of the book ("book_only"), and begins again until none is below.
  Once with accounts attached as cross-margin pools (`Account`), once with positions of the engine (`open_position`).
* margincast: keeps the accounts in the order of their exact liquidation prices, closes the next one the mark has passed
  through the order book, moves the mark to the last price traded after each close, until it has passed none. "warm" is
  given the order, which changes only with the positions; "cold" also computes the liquidation prices and sorts them.

Building the accounts is not timed on either side. Closes differ a little between the two, because lrvx moves the mark
after a round and margincast after each close; each is told with its own number, and rates are closes per second.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from lrvx import _lrvx as lrvx
from machine import Timing, machine, options, say_goals, say_machine, write_json

from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.rulebook import RateSchedule
from margincast.riskcore.waterfall.cascade import SingleLegPools, queue_up, run_cascade
from margincast.riskcore.waterfall.depth import DepthBook

MARK, RATE, LEVELS = 97.0, 0.005, 200
GOALS = {"lrvx, cross accounts": 17.0, "lrvx, positions of the engine": 17.0}
Ladder = list[tuple[float, float]]


def draw_pools(rng: np.random.Generator, accounts: int) -> SingleLegPools:
    """Longs from around 100 with 5 to 100 times leverage."""
    size, entry = rng.lognormal(0, 1, accounts), 100 * np.exp(rng.normal(0, 0.01, accounts))
    return SingleLegPools(size, entry, size * entry / rng.uniform(5, 100, accounts))


def draw_ladders(pools: SingleLegPools) -> tuple[Ladder, Ladder]:
    """Bids over 20% under the mark that can take 4/3 of all longs."""
    prices = MARK * (1 - np.arange(1, LEVELS + 1) * 1e-3)
    bids = [(float(p), float(pools.size.sum() / (0.75 * LEVELS))) for p in prices]
    return bids, [(MARK * (1 + k * 1e-4), 1e6) for k in range(1, 11)]


def lrvx_engine(pools: SingleLegPools, ladders: tuple[Ladder, Ladder], cross: bool) -> tuple[Any, list[Any]]:
    """An engine with all accounts, its fund too large to run dry, no ADL, no limit to the cascade."""
    engine, executor = lrvx.LiquidationEngine(), lrvx.SimulatedExecutor()
    engine.add_tier(0.0, RATE)
    engine.set_insurance_fund_capital(1e12)
    engine.set_adl_enabled(False)
    engine.set_mark_impact_model("book_only")
    engine.set_max_cascade_depth(10**9)
    engine.set_executor(executor)
    executor.on_book_snapshot(1, *ladders)
    kept: list[Any] = [executor]
    rows = zip(pools.size.tolist(), pools.entry.tolist(), pools.cash.tolist(), strict=True)
    for name, (size, entry, cash) in enumerate(rows):
        if cross:
            account = lrvx.Account(name, cash)
            account.open_position(1, size, entry)
            engine.attach_account(account)
            kept.append(account)
        else:
            engine.open_position(name, 1, size, entry, cash)
    return engine, kept


def time_lrvx(pools: SingleLegPools, ladders: tuple[Ladder, Ladder], cross: bool) -> tuple[float, int]:
    """Seconds and closes of one cascade."""
    engine, _kept = lrvx_engine(pools, ladders, cross)
    start = time.perf_counter()
    answer = engine.on_mark(1, MARK)
    return time.perf_counter() - start, int(answer["liquidations_count"])


def all_ways(pools: SingleLegPools, ladders: tuple[Ladder, Ladder]) -> dict[str, Callable[[], tuple[float, int]]]:
    """Every way, as a call that gives its seconds and closes."""
    schedule = RateSchedule.marginal([0.0], [RATE], [1 / RATE])
    depth = DepthBook.of(InstrumentTable.linear_perpetuals(["BTC"]), {"BTC": ladders})
    queues = queue_up(pools, schedule)

    def warm() -> tuple[float, int]:
        start = time.perf_counter()
        result = run_cascade(pools, queues, depth, MARK)
        return time.perf_counter() - start, len(result.order)

    def cold() -> tuple[float, int]:
        start = time.perf_counter()
        result = run_cascade(pools, queue_up(pools, schedule), depth, MARK)
        return time.perf_counter() - start, len(result.order)

    return {
        "lrvx, cross accounts": lambda: time_lrvx(pools, ladders, True),
        "lrvx, positions of the engine": lambda: time_lrvx(pools, ladders, False),
        "margincast, cold": cold,
        "margincast, warm": warm,
    }


def main() -> None:
    """Run every way in turn and print closes per second, ratios and goals."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    print(f"lrvx {importlib.metadata.version('lrvx')}")
    accounts, rounds = (2_000, 3) if asked.quick else (100_000, 7)
    pools = draw_pools(np.random.default_rng(1), accounts)
    ways = all_ways(pools, draw_ladders(pools))
    print(f"{accounts:,} accounts, one long each, {LEVELS} levels of bids; the mark falls to {MARK:g}; {rounds} rounds")
    spent: dict[str, list[float]] = {name: [] for name in ways}
    closes: dict[str, int] = {}
    for run in ways.values():
        run()
    for _ in range(rounds):
        for name, run in ways.items():
            for _ in range(5 if name.startswith("margincast") else 1):
                seconds, closes[name] = run()
                spent[name].append(seconds)
    timings = {name: Timing(statistics.median(taken), min(taken)) for name, taken in spent.items()}
    rate = {name: closes[name] / taken.median for name, taken in timings.items()}
    print(f"{'':32} {'closes':>8} {'median ms':>10} {'least ms':>10} {'closes/s':>14} {'warm':>9} {'cold':>8}")
    for name, taken in timings.items():
        times = f"{closes[name]:8,} {taken.median * 1e3:10.2f} {taken.least * 1e3:10.2f} {rate[name]:14,.0f}"
        faster = [rate[f"margincast, {kind}"] / rate[name] for kind in ("warm", "cold")]
        print(f"{name:32} {times} {faster[0]:8.1f}x {faster[1]:7.1f}x")
    goals = {
        f"{name}, {kind}": (rate[f"margincast, {kind}"] / rate[name], goal)
        for name, goal in GOALS.items()
        for kind in ("warm", "cold")
    }
    judged = say_goals(goals, asked.quick)
    figures = {
        name: {"median_s": taken.median, "least_s": taken.least, "closes": closes[name], "closes_per_s": rate[name]}
        for name, taken in timings.items()
    }
    write_json(asked.json, {"machine": found, "accounts": accounts, "ways": figures, "goals": judged})


if __name__ == "__main__":
    main()
