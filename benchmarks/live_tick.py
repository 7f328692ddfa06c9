"""One price of fifty moves: re-marking the accounts that hold it, 100,000 accounts with five positions each.

Every way knows beforehand who holds what, and answers with equity and maintenance margin of the holders; a full re-mark
by the compiled pass stands beside them. One thread. Then the memory that a million accounts take.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from machine import machine, options, say_goals, say_machine, timed, write_json
from margin_pass import COINS, INSTRUMENTS, Columns, draw_book, draw_rules, numpy_columns, plain_objects

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.compiled import compile_book, compile_rules
from margincast.riskcore.live_margin import LiveMargin
from margincast.riskcore.margin import live_margin
from margincast.riskcore.margin_layout import lay_out
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import RuleBook

TICKS = 20
GOALS = {"plain objects, holders": 20.0, "numpy, holders": 2.0, "margincast, every account": 1.0}


def holders_of(book: AccountBook) -> list[np.ndarray]:
    """Pools that hold each instrument."""
    pool = np.repeat(np.arange(len(book)), np.diff(book.position_pointer))
    return [np.unique(pool[book.position_instrument == i]) for i in range(INSTRUMENTS)]


def per_holder(
    book: AccountBook, rules: RuleBook, holders: list[np.ndarray], way: Callable[[AccountBook], Callable]
) -> Callable[[int, MarketState], tuple[np.ndarray, np.ndarray]]:
    """One of margin_pass's ways for the book of each instrument's holders."""
    runs = [way(book.take(rows)) for rows in holders]
    return lambda instrument, market: runs[instrument](market)


def held_bytes(book: AccountBook, rules: RuleBook) -> tuple[float, float]:
    """Bytes an account of the book as given, and of the layout that is marked."""
    columns = [v for v in vars(book).values() if isinstance(v, np.ndarray) and v.dtype.kind != "U"]
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    sizes = sum(v.nbytes for v in columns), sum(v.nbytes for v in layout)
    return sizes[0] / len(book), sizes[1] / len(book)


def main() -> None:
    """Tick through the contracts in every way and print microseconds, ratios and memory."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    accounts, rounds = (5_000, 2) if asked.quick else (100_000, 7)
    rng = np.random.default_rng(1)
    prices, rules = rng.lognormal(3, 2.5, INSTRUMENTS), draw_rules(rng)
    book = draw_book(rng, accounts, prices)
    index = np.append(1.0, prices[:COINS])
    holders = holders_of(book)
    live = LiveMargin(book, MarketState(np.datetime64("2024-01-01"), prices, index), rules)
    moves = []
    for _ in range(rounds * TICKS + 1):
        instrument = int(rng.integers(0, INSTRUMENTS))
        prices = prices.copy()
        prices[instrument] *= rng.lognormal(0, 1e-3)
        moves.append((instrument, MarketState(np.datetime64("2024-01-01"), prices, index)))

    objects = per_holder(book, rules, holders, lambda few: plain_objects(few, rules))
    columns = per_holder(
        book, rules, holders, lambda few: (lambda c: numpy_columns(c, c.by_comparison))(Columns(few, rules))
    )
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    for instrument, market in moves[:10]:
        live.tick(instrument, float(market.mark[instrument]))
        whole = live_margin(layout, market)
        assert live.equity.tobytes() == whole[0].tobytes() and live.maintenance.tobytes() == whole[1].tobytes()
        for way in (objects, columns):
            equity, needed = way(instrument, market)
            np.testing.assert_allclose(equity, whole[0][holders[instrument]], rtol=1e-9, atol=1e-5)
            np.testing.assert_allclose(needed, whole[1][holders[instrument]], rtol=1e-9, atol=1e-5)

    def ours(k: int) -> None:
        instrument, market = moves[k]
        live.tick(instrument, float(market.mark[instrument]))

    spent = timed(
        {
            "plain objects, holders": (lambda k: objects(*moves[k]), 2),
            "numpy, holders": (lambda k: columns(*moves[k]), TICKS),
            "margincast, every account": (lambda k: live_margin(layout, moves[k][1]), TICKS),
            "margincast, holders": (ours, TICKS),
        },
        rounds,
    )
    tick = spent["margincast, holders"]
    held = np.mean([len(rows) for rows in holders])
    print(f"{accounts:,} accounts, {len(book.quantity):,} positions; {held:,.0f} hold the contract that moves")
    print(f"{'':28} {'median us':>10} {'least us':>10} {'times a tick':>13}")
    for name, taken in spent.items():
        times = f"{taken.median * 1e6:10,.0f} {taken.least * 1e6:10,.0f}"
        print(f"{name:28} {times} {taken.median / tick.median:12.1f}x")
    given, laid = held_bytes(book, rules)
    print(f"a million such accounts: {given:,.0f} MB of columns, {laid:,.0f} MB laid out to be marked")
    ratios = {name: (spent[name].median / tick.median, goal) for name, goal in GOALS.items()}
    judged = say_goals(ratios, asked.quick)
    figures = {name: {"median_s": taken.median, "least_s": taken.least} for name, taken in spent.items()}
    memory = {"columns_mb_per_million": given, "layout_mb_per_million": laid}
    write_json(asked.json, {"machine": found, "accounts": accounts, "ways": figures, "memory": memory, "goals": judged})


if __name__ == "__main__":
    main()
