"""When 100,000 accounts with five positions each are first liquidated in a year of minutes: blocks against every bar.

Both ways are the same compiled margin at the same three states a bar, and stop at the breach; one skips the blocks of
bars that a bound clears. Every bar is looked at for a sample of accounts only, and its time for all is extrapolated.
"""

from __future__ import annotations

import datetime as dt
import time

import numpy as np
from machine import machine, options, say_goals, say_machine, write_json

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.first_passage import Outcome, first_passage
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import UNIT_INDEX, MarketHistory
from margincast.riskcore.price_pyramid import PricePyramid, build_pyramid
from margincast.riskcore.rulebook import RateSchedule, RuleBook

SERIES, MINUTES_A_YEAR, DAY = 50, 525_600, 1_440
GOAL = 1_000.0
RUNS = 3


def draw_history(rng: np.random.Generator, bars: int) -> MarketHistory:
    """Correlated random walks of 50% to 120% a year with a shared shock; one basis point of funding every 8 hours."""
    volatility = rng.uniform(0.5, 1.2, SERIES) / np.sqrt(MINUTES_A_YEAR)
    start = rng.lognormal(3, 2.5, SERIES)
    close = rng.standard_normal((bars, SERIES))
    close *= np.sqrt(0.4)
    close += np.sqrt(0.6) * rng.standard_normal((bars, 1))
    close *= volatility
    np.exp(np.cumsum(close, axis=0, out=close), out=close)
    close *= start
    opened = np.vstack((start, close[:-1]))
    reach = rng.standard_normal((bars, SERIES), dtype=np.float32)
    reach = np.exp(np.abs(reach, out=reach) * (0.4 * volatility).astype(np.float32))
    high, low = np.maximum(opened, close) * reach, np.minimum(opened, close) / reach
    funding = np.zeros((bars, SERIES))
    funding[::480] = 1e-4
    times = np.datetime64("2023-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "m")
    table = InstrumentTable.linear_perpetuals([f"C{i:02d}" for i in range(SERIES)])
    return MarketHistory(table, times, opened, high, low, close, np.arange(SERIES), [UNIT_INDEX], funding)


def draw_rules(rng: np.random.Generator) -> RuleBook:
    """Ten marginal tiers for each contract."""
    floors = np.array([0, 5e3, 2.5e4, 1e5, 5e5, 2e6, 1e7, 2.5e7, 1e8, 3e8])
    rates = np.array([0.004, 0.005, 0.0065, 0.01, 0.02, 0.025, 0.05, 0.1, 0.125, 0.15])
    leverage = np.array([125, 100, 75, 50, 25, 20, 10, 5, 4, 3])
    schedules = {
        f"C{i:02d}": RateSchedule.marginal(floors, rates * rng.uniform(1, 2.5), leverage) for i in range(SERIES)
    }
    return RuleBook("drawn", dt.date(2023, 1, 1), schedules)


def draw_book(rng: np.random.Generator, history: MarketHistory, accounts: int, start: np.ndarray) -> AccountBook:
    """Accounts with 1 to 20 positions of either side, opened at their start, at a gross leverage around 3."""
    legs = np.clip(rng.poisson(5, accounts), 1, 20)
    instrument, notional = rng.integers(0, SERIES, legs.sum()), rng.lognormal(8.5, 2, legs.sum())
    account = np.repeat(np.arange(accounts), legs)
    price = history.open[start[account], instrument]
    names = np.array([f"a{i}" for i in range(accounts)])
    return AccountBook(
        history.instruments,
        names,
        np.full(accounts, "main"),
        np.full(accounts, ""),
        np.arange(accounts + 1),
        np.zeros(accounts, dtype=np.int64),
        np.bincount(account, notional) / rng.lognormal(1.0, 0.8, accounts),
        np.append(0, np.cumsum(legs)),
        instrument,
        notional / price * rng.choice([-1, 1], legs.sum()),
        price,
        np.full(legs.sum(), np.nan),
    )


def timed_runs(
    book: AccountBook, pyramid: PricePyramid, rules: RuleBook, start: np.ndarray, horizon: int, **how: object
) -> tuple[float, float, Outcome]:
    """Median and least seconds of a few runs, and the outcome."""
    spent = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        outcome = first_passage(book, pyramid, rules, start, horizon=horizon, **how)  # type: ignore[arg-type]
        spent.append(time.perf_counter() - begun)
    return float(np.median(spent)), min(spent), outcome


def compare(
    name: str,
    book: AccountBook,
    pyramid: PricePyramid,
    rules: RuleBook,
    start: np.ndarray,
    horizon: int,
    sample: np.ndarray,
) -> dict[str, float]:
    """One window both ways: blocks for all accounts, every bar for the sample, whose answers must be the same."""
    blocks, blocks_least, outcome = timed_runs(book, pyramid, rules, start, horizon)
    few = book.take(sample)
    brute, brute_least, plain = timed_runs(few, pyramid, rules, start[sample], horizon, use_blocks=False)
    for column in ("breach_bar", "ended", "equity"):
        np.testing.assert_array_equal(getattr(plain, column), getattr(outcome, column)[sample])
    rate, plain_rate = len(book) / blocks, len(sample) / brute
    ended = float((outcome.ended == 1).mean())
    print(f"{name:9} {ended:10.1%} {blocks:10.3f} {rate:14,.0f} {plain_rate:14,.1f} {len(book) / plain_rate:14,.0f} "
          f"{rate / plain_rate:9,.0f}x {len(sample):7,}")  # fmt: skip
    return {
        "liquidated": ended, "blocks_s": blocks, "blocks_least_s": blocks_least, "blocks_accounts_per_s": rate,
        "sample": len(sample), "every_bar_sample_s": brute, "every_bar_sample_least_s": brute_least,
        "every_bar_accounts_per_s": plain_rate, "ratio": rate / plain_rate,
    }  # fmt: skip


def main() -> None:
    """Run both ways over a day, a month and a year, and print accounts per second, ratios and the goal."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    bars, accounts = (20_000, 2_000) if asked.quick else (MINUTES_A_YEAR, 100_000)
    rng = np.random.default_rng(1)
    history, rules = draw_history(rng, bars), draw_rules(rng)
    begun = time.perf_counter()
    pyramid = build_pyramid(history)
    built = time.perf_counter() - begun
    held = sum(a.nbytes for a in (pyramid.arrays.block_low, pyramid.arrays.block_high)) / 1e6
    print(f"{accounts:,} accounts, {bars:,} one-minute bars of {SERIES} contracts; {RUNS} runs each, medians")
    print(f"pyramid built in {built:.2f} s, {held:.0f} MB beside the prices")
    windows = {"day": (DAY, 2_000), "month": (min(30 * DAY, bars), 100), "year": (bars, 24)}
    warm_up = draw_book(rng, history, 10, np.zeros(10, dtype=np.int64))
    first_passage(warm_up, pyramid, rules, 0, horizon=100)
    print(f"{'window':9} {'liquidated':>10} {'blocks s':>10} {'accounts/s':>14} {'every bar /s':>14} {'all, s*':>14} "
          f"{'ratio':>10} {'sample':>7}")  # fmt: skip
    figures = {}
    for name, (horizon, sampled) in windows.items():
        start = rng.integers(0, bars - horizon + 1, accounts)
        book = draw_book(rng, history, accounts, start)
        sample = np.sort(rng.choice(accounts, min(sampled, accounts), replace=False))
        figures[name] = compare(name, book, pyramid, rules, start, horizon, sample)
    print("* every bar for all accounts, extrapolated from the sample; on the sample both ways give the same answers")
    judged = say_goals({"a year, against every bar": (figures["year"]["ratio"], GOAL)}, asked.quick)
    write_json(
        asked.json,
        {"machine": found, "accounts": accounts, "bars": bars, "pyramid_s": built, "windows": figures, "goals": judged},
    )


if __name__ == "__main__":
    main()
