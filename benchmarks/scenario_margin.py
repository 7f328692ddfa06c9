"""Scenario margin of 1,000 accounts with 200 option positions over 99 scenarios: risk arrays, or pricing positions.

All ways give the scenario losses of every account. Ours prices each of 2,000 contracts once a scenario and multiplies
by the positions; the others price every position: a compiled loop for all of them, QuantLib's Python objects for a
sample, whose time for all is extrapolated. All on one thread and at the same values.
"""

from __future__ import annotations

import datetime as dt
import math
import time

import numba
import numpy as np
import QuantLib as ql
from machine import Timing, machine, options, say_goals, say_machine, timed, write_json

from margincast.riskcore.arrays import FloatArray, IntArray
from margincast.riskcore.portfolio.contracts import (
    DAYS_A_YEAR,
    OPTION,
    ContractPrices,
    ContractTable,
    PositionBook,
    contract_prices,
    contract_table,
)
from margincast.riskcore.portfolio.portfolio_rule import PortfolioRule, UnitRule
from margincast.riskcore.portfolio.risk_arrays import risk_arrays
from margincast.riskcore.portfolio.scenario_grid import DOWN, SAME, UP, ScenarioGrid, VolatilityShock
from margincast.riskcore.portfolio.scenario_kernel import scenario_pass
from margincast.riskcore.portfolio.scenario_margin import scenario_margin, unit_losses

NOW = np.datetime64("2024-01-01", "ns")
SHOCK = VolatilityShock(0.45, 0.3, 0.3, 0.13)
GOALS = {"QuantLib objects": 1_000.0, "compiled loop over positions": 40.0}


def draw_rule() -> PortfolioRule:
    """33 price moves within 40%, each with volatility down, same and up."""
    grid = ScenarioGrid.product(np.linspace(-0.4, 0.4, 33), [DOWN, SAME, UP])
    return PortfolioRule("drawn", dt.date(2024, 1, 1), {"BTC": UnitRule(grid, SHOCK)})


def draw_contracts(rng: np.random.Generator, contracts: int) -> tuple[ContractTable, ContractPrices]:
    """European options of ten expiries within a year on one underlying."""
    days = rng.choice([2, 7, 14, 21, 30, 60, 91, 182, 273, 364], contracts)
    table = contract_table(
        [f"O{i}" for i in range(contracts)],
        ["BTC"] * contracts,
        OPTION,
        units=["BTC"],
        strike=np.round(60_000 * np.exp(0.4 * rng.standard_normal(contracts)), -2),
        right=rng.choice([-1, 1], contracts),
        expiry=NOW + days * np.timedelta64(1, "D"),
    )
    forward = 60_000 * np.exp(0.05 * days / DAYS_A_YEAR)
    return table, contract_prices(NOW, forward, volatility=rng.uniform(0.4, 0.9, contracts))


def draw_book(rng: np.random.Generator, accounts: int, positions: int, contracts: int) -> PositionBook:
    """As many positions in each account, of either side."""
    n = accounts * positions
    quantity = rng.choice([-1.0, 1.0], n) * rng.integers(1, 50, n)
    return PositionBook(np.arange(accounts + 1) * positions, rng.integers(0, contracts, n), quantity)


@numba.njit(cache=True, nogil=True)
def black(forward: float, strike: float, years: float, volatility: float, right: float) -> float:
    deviation = volatility * np.sqrt(years)
    d1 = np.log(forward / strike) / deviation + 0.5 * deviation
    root = np.sqrt(0.5)
    first = 0.5 * math.erfc(-right * d1 * root)
    second = 0.5 * math.erfc(-right * (d1 - deviation) * root)
    return right * (forward * first - strike * second)


@numba.njit(cache=True, nogil=True)
def price_positions(
    pointer: IntArray,
    contract: IntArray,
    quantity: FloatArray,
    terms: FloatArray,
    move: FloatArray,
    shocked: FloatArray,
    out: FloatArray,
) -> None:
    """The compiled way without risk arrays: every position priced in every scenario."""
    for row in range(len(pointer) - 1):
        out[row] = 0.0
        for entry in range(pointer[row], pointer[row + 1]):
            forward, strike, years, volatility, right = terms[contract[entry]]
            now = black(forward, strike, years, volatility, right)
            for s in range(len(move)):
                then = black(forward * (1.0 + move[s]), strike, years, shocked[contract[entry], s], right)
                out[row, s] += quantity[entry] * (then - now)


def price_objects(entries: IntArray, quantity: FloatArray, terms: FloatArray, move: FloatArray, shocked: FloatArray
                  ) -> tuple[float, FloatArray]:  # fmt: skip
    """Seconds and profits of QuantLib options made once, priced by moving the quotes of forward and volatility."""
    today = ql.Date(1, 1, 2024)
    ql.Settings.instance().evaluationDate = today
    day = ql.Actual365Fixed()
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, day))
    made = []
    for i in entries:
        forward, strike, years, volatility, right = terms[i]
        quote, vol = ql.SimpleQuote(forward), ql.SimpleQuote(volatility)
        surface = ql.BlackVolTermStructureHandle(
            ql.BlackConstantVol(today, ql.NullCalendar(), ql.QuoteHandle(vol), day)
        )
        process = ql.BlackProcess(ql.QuoteHandle(quote), flat, surface)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
        option = ql.VanillaOption(payoff, ql.EuropeanExercise(today + round(years * DAYS_A_YEAR)))
        option.setPricingEngine(ql.AnalyticEuropeanEngine(process))
        made.append((option, quote, vol, option.NPV()))
    out = np.empty((len(entries), len(move)))
    moved = [(terms[i, 0] * (1.0 + move)).tolist() for i in entries]
    volatilities = shocked[entries].tolist()
    begun = time.perf_counter()
    for k, (option, quote, vol, now) in enumerate(made):
        for s in range(len(move)):
            quote.setValue(moved[k][s])
            vol.setValue(volatilities[k][s])
            out[k, s] = option.NPV() - now
    return time.perf_counter() - begun, out * quantity[:, None]


def main() -> None:
    """Run all ways, check that they agree, and print revaluations per second, ratios and the goals."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    accounts, positions, contracts, rounds = (50, 20, 100, 2) if asked.quick else (1_000, 200, 2_000, 7)
    rng = np.random.default_rng(1)
    rule, (table, prices) = draw_rule(), draw_contracts(rng, contracts)
    book = draw_book(rng, accounts, positions, contracts)
    grid = rule.unit_rule("BTC").grid
    years = prices.years(table)
    shocked = SHOCK.shocked(prices.volatility[:, None], years[:, None] * DAYS_A_YEAR, grid.volatility)
    terms = np.stack([prices.price, table.strike, years, prices.volatility, table.right.astype(float)], axis=1)
    arrays = risk_arrays(table, prices, rule)
    looped, product = np.empty((accounts, len(grid))), np.empty((accounts, arrays.profit.shape[1]))

    def loop(_: int) -> None:
        price_positions(book.pool_pointer, book.contract, book.quantity, terms, grid.move, shocked, looped)

    def multiply(_: int) -> None:
        scenario_pass(0, accounts, book.pool_pointer, book.contract, book.quantity, arrays.profit, product)

    def reprice_and_multiply(_: int) -> None:
        fresh = risk_arrays(table, prices, rule)
        scenario_pass(0, accounts, book.pool_pointer, book.contract, book.quantity, fresh.profit, product)

    took = timed(
        {
            "reprice and multiply": (reprice_and_multiply, 3),
            "multiply, risk arrays kept": (multiply, 3),
            "whole margin, risk arrays kept": (lambda _: scenario_margin(book, arrays, rule), 1),
            "compiled loop over positions": (loop, 1),
        },
        rounds,
    )
    sample = rng.choice(len(book.contract), min(200, len(book.contract)), replace=False)
    entries, quantity = book.contract[sample], book.quantity[sample]
    runs = [price_objects(entries, quantity, terms, grid.move, shocked) for _ in range(3)]
    spent = [seconds * len(book.contract) / len(sample) for seconds, _ in runs]
    took["QuantLib objects"] = Timing(float(np.median(spent)), min(spent))
    losses = unit_losses(book, arrays).profit
    np.testing.assert_array_equal(losses, product)
    scale = np.abs(looped).max()
    np.testing.assert_allclose(looped, losses[:, : len(grid)], rtol=1e-9, atol=1e-12 * scale)
    np.testing.assert_allclose(
        runs[0][1], quantity[:, None] * arrays.profit[entries, : len(grid)], rtol=1e-9, atol=1e-6
    )
    say(took, accounts, positions, contracts, len(grid), len(sample), rounds)
    base = took["reprice and multiply"].median
    goals = say_goals({name: (took[name].median / base, goal) for name, goal in GOALS.items()}, asked.quick)
    figures = {name: {"median_s": one.median, "least_s": one.least} for name, one in took.items()}
    write_json(asked.json, {"machine": found, "accounts": accounts, "positions": positions, "contracts": contracts,
                            "scenarios": len(grid), "ways": figures, "goals": goals})  # fmt: skip


def say(
    took: dict[str, Timing], accounts: int, positions: int, contracts: int, scenarios: int, sample: int, rounds: int
) -> None:
    """Print the table."""
    work = accounts * positions * scenarios
    print(
        f"{accounts:,} accounts x {positions} positions in {contracts:,} options x {scenarios} scenarios = {work:,} "
        f"revaluations, one thread, medians of {rounds} rounds"
    )
    print(f"{'way':34} {'ms':>12} {'least ms':>12} {'revaluations/s':>16}")
    for name, one in took.items():
        print(f"{name:34} {1e3 * one.median:12.2f} {1e3 * one.least:12.2f} {work / one.median:16.3g}")
    print(f"QuantLib: {sample} positions priced, the time for all extrapolated")
    print("all ways agree: the compiled loop to 1e-9 of each loss, QuantLib on its sample likewise")


if __name__ == "__main__":
    main()
