"""First passage of hedged, multi-collateral and option books over a year of minutes: blocks against every bar.

Hedged: net about zero over ten strongly correlated contracts, where legs' worst cases do not come together. Collateral:
the same with most of the equity in coins under haircuts. Options: one to four short or long options and a perpetual
against them. Every bar is looked at for a sample only, and its time for all is extrapolated.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

import numpy as np
from machine import machine, options, say_goals, say_machine, write_json

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.first_passage import Outcome, first_passage
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import MarketHistory
from margincast.riskcore.options.option_holdings import OptionHoldings
from margincast.riskcore.options.option_table import OptionTable
from margincast.riskcore.options.passage import OptionSeries, option_first_passage
from margincast.riskcore.options.short_option import load_short_option_rules
from margincast.riskcore.price_pyramid import PricePyramid, build_pyramid
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

SERIES, MINUTES_A_YEAR = 10, 525_600
GOAL = 100.0
RUNS = 3
COINS = tuple(f"C{i}" for i in range(SERIES))
TABLE = InstrumentTable.linear_perpetuals(COINS, collateral=COINS)
RULES = RuleBook(
    "drawn",
    dt.date(2023, 1, 1),
    {coin: RateSchedule.marginal([0.0, 1e5, 1e6], [0.005, 0.01, 0.05], [100, 50, 10]) for coin in COINS},
    {coin: HaircutSchedule(np.array([0.0, 1e5]), np.array([0.95, 0.9])) for coin in COINS},
)


def draw_history(rng: np.random.Generator, bars: int) -> MarketHistory:
    """Ten prices that share most of their moves (70% a year), and a volatility for each that rises as they fall."""
    shock, own = rng.standard_normal((bars, 1)), rng.standard_normal((bars, SERIES))
    moves = (np.sqrt(0.85) * shock + np.sqrt(0.15) * own) * 0.7 / np.sqrt(MINUTES_A_YEAR)
    price = 100.0 * np.exp(np.cumsum(moves, axis=0))
    wave = np.cumsum(rng.standard_normal((bars, SERIES)) * 1e-3, axis=0)
    volatility = 0.7 * np.exp(0.4 * np.sin(wave) - 2.0 * (price / 100.0 - 1.0).clip(-0.4, 0.4))
    close = np.hstack((price, volatility))
    opened = np.vstack((close[:1], close[:-1]))
    reach = np.exp(np.abs(rng.standard_normal((bars, 2 * SERIES), dtype=np.float32)) * 2e-4)
    high, low = np.maximum(opened, close) * reach, np.minimum(opened, close) / reach
    funding = np.zeros((bars, SERIES))
    funding[::480] = 1e-4
    times = np.datetime64("2023-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "m")
    return MarketHistory(
        TABLE, times, opened, high, low, close, np.arange(SERIES), np.append(-1, np.arange(SERIES)), funding
    )


def book_of(legs: np.ndarray, quantity: np.ndarray, instrument: np.ndarray, entry: np.ndarray, cash: np.ndarray,
            coins: np.ndarray) -> AccountBook:  # fmt: skip
    """Pools with cash, one coin each and these legs."""
    pools = len(legs)
    held = np.column_stack((np.zeros(pools, int), 1 + np.arange(pools) % SERIES)).ravel()
    return AccountBook(
        TABLE, np.array([f"a{i}" for i in range(pools)]), np.full(pools, "main"), np.full(pools, ""),
        np.arange(pools + 1) * 2, held, np.column_stack((cash, coins)).ravel(), np.append(0, np.cumsum(legs)),
        instrument, quantity, entry, np.full(len(quantity), np.nan),
    )  # fmt: skip


def hedged(
    rng: np.random.Generator, history: MarketHistory, pools: int, start: np.ndarray, coins: float
) -> AccountBook:
    """Four legs that net to zero at the start, at a gross leverage around 10; `coins` of the equity in a coin."""
    legs = np.full(pools, 4)
    instrument = (rng.integers(0, SERIES, pools)[:, None] + [0, 1, 2, 3]).ravel() % SERIES
    price = history.open[np.repeat(start, 4), instrument]
    notional = (rng.lognormal(9, 1, pools)[:, None] * [1, -1, 1, -1]).ravel()
    equity = np.abs(notional).reshape(pools, 4).sum(axis=1) / rng.lognormal(2.3, 0.4, pools)
    coin = history.open[start, np.arange(pools) % SERIES]
    return book_of(legs, notional / price, instrument, price, equity * (1 - coins), equity * coins / coin)


def with_options(
    rng: np.random.Generator, history: MarketHistory, pools: int, start: np.ndarray
) -> tuple[AccountBook, OptionHoldings, OptionSeries]:
    """One to four options of a month to half a year around the money, a perpetual of a third of their size."""
    underlying = rng.integers(0, SERIES, pools)
    price = history.open[start, underlying]
    legs = rng.integers(1, 5, pools)
    holder = np.repeat(np.arange(pools), legs)
    size = rng.lognormal(0, 1, len(holder)) * rng.choice([-1, -1, 1], len(holder))
    net = np.bincount(holder, size, pools) / 3
    cash = np.bincount(holder, np.abs(size) * price[holder], pools) * rng.lognormal(-0.9, 0.4, pools)
    book = book_of(np.ones(pools, int), -net, underlying, price, cash, np.full(pools, 1e-6))
    step = np.timedelta64(1, "m")
    strike, right = price[holder] * rng.lognormal(0, 0.1, len(holder)), rng.choice([-1, 1], len(holder))
    expiry = history.times[0] + (start[holder] + rng.integers(43_200, 259_200, len(holder))) * step
    names, coins = [f"option {k}" for k in range(len(holder))], [COINS[u] for u in underlying[holder]]
    contracts = OptionTable(names, coins, expiry, strike, right, np.ones(len(holder)))
    series = OptionSeries(underlying[holder], SERIES + underlying[holder], rng.uniform(0.9, 1.2, len(holder)))
    return book, OptionHoldings(contracts, np.append(0, np.cumsum(legs)), np.arange(len(holder)), size), series


Way = Callable[[np.ndarray, bool], Outcome]


def timed(run: Callable[[], Outcome], runs: int) -> tuple[float, Outcome]:
    """Median seconds of a few runs and the outcome."""
    spent = []
    for _ in range(runs):
        begun = time.perf_counter()
        outcome = run()
        spent.append(time.perf_counter() - begun)
    return float(np.median(spent)), outcome


def compare(name: str, pools: int, way: Way, sample: np.ndarray) -> dict[str, float]:
    """Blocks for all, every bar for the sample; the sample's answers must be the same bits."""
    blocks, outcome = timed(lambda: way(np.arange(pools), True), RUNS)
    every, plain = timed(lambda: way(sample, False), 1)
    for column in ("breach_bar", "ended", "equity"):
        np.testing.assert_array_equal(getattr(plain, column), getattr(outcome, column)[sample])
    rate, plain_rate, ended = pools / blocks, len(sample) / every, float((outcome.ended == 1).mean())
    print(f"{name:11} {ended:10.1%} {blocks:9.2f} {rate:12,.0f} {plain_rate:13,.1f} {rate / plain_rate:9,.0f}x")
    return {"liquidated": ended, "blocks_s": blocks, "every_bar_accounts_per_s": plain_rate, "ratio": rate / plain_rate}


def take_options(held: OptionHoldings, rows: np.ndarray) -> OptionHoldings:
    """The positions of these pools, over the same contracts."""
    places = [np.arange(held.pointer[r], held.pointer[r + 1]) for r in rows]
    chosen = np.concatenate(places)
    pointer = np.append(0, np.cumsum([len(p) for p in places]))
    return OptionHoldings(held.contracts, pointer, held.contract[chosen], held.quantity[chosen])


def ways(
    rng: np.random.Generator, pyramid: PricePyramid, pools: int, start: np.ndarray, horizon: int
) -> dict[str, Way]:
    """First passage of each kind of book, for chosen pools."""
    history = pyramid.history
    plain, coins = hedged(rng, history, pools, start, 0.0), hedged(rng, history, pools, start, 0.8)
    deribit = load_short_option_rules("deribit_options")
    book, held, series = with_options(rng, history, pools, start)

    def linear(full: AccountBook) -> Way:
        return lambda rows, blocks: first_passage(
            full.take(rows), pyramid, RULES, start[rows], horizon=horizon, use_blocks=blocks
        )

    def optional(rows: np.ndarray, blocks: bool) -> Outcome:
        few = take_options(held, rows)
        return option_first_passage(
            book.take(rows), few, series, pyramid, RULES, deribit, start[rows], horizon=horizon, use_blocks=blocks
        )

    return {"hedged": linear(plain), "collateral": linear(coins), "options": optional}


def main() -> None:
    """Print seconds and ratios for each kind of book."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    bars, pools = (20_000, 500) if asked.quick else (MINUTES_A_YEAR, 20_000)
    horizon = bars - bars // 8
    rng = np.random.default_rng(1)
    pyramid = build_pyramid(draw_history(rng, bars))
    start = rng.integers(1, bars // 8, pools)
    print(f"{pools:,} accounts, up to {horizon:,} one-minute bars of {SERIES} contracts and their volatilities")
    print(f"{'book':11} {'liquidated':>10} {'blocks s':>9} {'accounts/s':>12} {'every bar /s':>13} {'ratio':>10}")
    all_ways = ways(rng, pyramid, pools, start, horizon)
    for way in all_ways.values():
        way(np.arange(2), True)
    sample = np.sort(rng.choice(pools, 24, replace=False))
    figures = {name: compare(name, pools, way, sample) for name, way in all_ways.items()}
    judged = say_goals({name: (figure["ratio"], GOAL) for name, figure in figures.items()}, asked.quick)
    write_json(asked.json, {"machine": found, "accounts": pools, "bars": bars, "books": figures, "goals": judged})


if __name__ == "__main__":
    main()
