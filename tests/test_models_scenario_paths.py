"""Scenarios through exact margin: against riskcore's own first passage, plain evaluation, and closed forms."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import replace

import numpy as np
import pytest
import QuantLib
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from margincast.models.closing_cost import DepthLadder, depth_closing_cost
from margincast.models.historical import FilteredHistorical
from margincast.models.liquidation_cost import execution_cost
from margincast.models.paths import PathLibrary
from margincast.models.sample import AccountSample, ScaleField
from margincast.models.scenario_kernel import LIVES, UNKNOWN
from margincast.models.scenario_passage import option_scenario_passage, passage_by_evaluation, scenario_passage
from margincast.models.scenario_paths import ScenarioPaths, funding_ahead, scenario_paths
from margincast.models.severity import severity_of
from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import linearise_at
from margincast.riskcore.first_passage import first_passage
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.options.option_holdings import OptionHoldings, evaluate_options
from margincast.riskcore.options.option_table import OptionTable
from margincast.riskcore.options.passage import OptionSeries, option_first_passage
from margincast.riskcore.options.short_option import load_short_option_rules
from margincast.riskcore.passage_kernel import GAP
from margincast.riskcore.portfolio.contracts import PositionBook, contract_prices, contracts_of_instruments
from margincast.riskcore.portfolio.portfolio_rule import PortfolioRule, UnitRule
from margincast.riskcore.portfolio.risk_arrays import risk_arrays
from margincast.riskcore.portfolio.scenario_grid import SAME, ScenarioGrid, VolatilityShock
from margincast.riskcore.portfolio.scenario_margin import scenario_margin
from margincast.riskcore.price_pyramid import build_pyramid
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

START, HOUR = np.datetime64("2024-01-01", "ns"), np.timedelta64(1, "h")
TABLE = InstrumentTable(
    ("BTC", "ETH", "BTC_COIN"), [LINEAR, LINEAR, INVERSE], [1.0, 1.0, 1.0], [0, 0, 1], ("USDT", "BTC", "ETH")
)
MARKS, INDICES = np.array([0, 1, 0]), np.array([-1, 0, 1])
TIERED = RuleBook(
    "test",
    dt.date(2024, 1, 1),
    {
        "BTC": RateSchedule.marginal([0.0, 150.0, 400.0], [0.02, 0.05, 0.1], [50, 20, 10]),
        "ETH": RateSchedule.cliff([0.0, 200.0], [0.03, 0.06], [30, 15]),
        "BTC_COIN": RateSchedule.marginal([0.0, 2.0], [0.02, 0.04], [50, 20]),
    },
    {"BTC": HaircutSchedule([0.0, 80.0], [0.95, 0.8]), "ETH": HaircutSchedule([0.0], [0.9])},
)
DERIBIT = load_short_option_rules("deribit_options")


def paths_of(low, high, close, now, table=TABLE, marks=MARKS, indices=INDICES, funding=None) -> ScenarioPaths:
    charged = np.zeros((close.shape[1], len(table))) if funding is None else funding
    return ScenarioPaths(table, START, HOUR, now, low, high, close, marks, indices, charged)


def random_paths(rng, paths: int, horizon: int, series: int = 2) -> ScenarioPaths:
    """Joint paths that move a few percent a bar, some funding, and one path that misses a series."""
    now = 100.0 * np.exp(rng.normal(0, 0.2, series))
    close = now * np.exp(np.cumsum(0.04 * rng.standard_t(4, (paths, horizon, series)), axis=1))
    wick = np.abs(rng.normal(0, 0.02, (2, paths, horizon, series)))
    low, high = close * np.exp(-wick[0]), close * np.exp(wick[1])
    for part in (low, high, close):
        part[-1, :, 1] = np.nan
    funding = np.where(np.arange(horizon)[:, None] % 3 == 0, rng.normal(0, 0.01, (horizon, len(TABLE))), 0.0)
    return paths_of(low, high, close, now, funding=funding)


def random_book(rng, pools: int, now) -> AccountBook:
    """Pools with cash, both coins and up to three positions; one in eight has none."""
    legs = rng.integers(0, 4, pools)
    chosen = np.concatenate([rng.choice(3, size=k, replace=False) for k in legs] or [[]]).astype(int)
    price = np.asarray(now)[MARKS[chosen]]
    size = rng.normal(0, 3, len(chosen)) * np.where(chosen == 2, price, 1.0)
    cash = np.column_stack((rng.normal(60, 80, pools), rng.exponential(0.4, (pools, 2))))
    names = [f"a{k}" for k in range(pools)]
    return AccountBook(
        TABLE,
        names,
        ["m"] * pools,
        [""] * pools,
        np.arange(pools + 1) * 3,
        np.tile([0, 1, 2], pools),
        cash.ravel(),
        np.append(0, np.cumsum(legs)),
        chosen,
        np.where(size == 0, 1.0, size),
        price * np.exp(rng.normal(0, 0.05, len(chosen))),
        np.full(len(chosen), np.nan),
    )


def one_path_history(paths: ScenarioPaths, path: int) -> MarketHistory:
    """A path as a history: the instant's prices as the bar before it, then its bars."""

    def bars(part):
        return np.vstack((paths.now, part[path]))

    low, high, close = bars(paths.low), bars(paths.high), bars(paths.close)
    times = START + (np.arange(len(close)) - 1) * HOUR
    funding = np.vstack((np.zeros(len(paths.instruments)), paths.funding))
    return MarketHistory(paths.instruments, times, close, high, low, close, MARKS, INDICES, funding)


def breached_now(book: AccountBook, paths: ScenarioPaths) -> np.ndarray:
    index = np.where(INDICES == -1, 1.0, paths.now[INDICES])
    state = evaluate(book, MarketState(START, paths.now[MARKS], index), TIERED)
    return (state.headroom < 0) & (np.diff(book.position_pointer) > 0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), horizon=st.integers(1, 7))
def test_every_path_ends_as_riskcores_first_passage_says(seed: int, horizon: int) -> None:
    rng = np.random.default_rng(seed)
    paths = random_paths(rng, 12, horizon)
    book = random_book(rng, 30, paths.now)
    book = book.take(np.flatnonzero(~breached_now(book, paths)))
    found = scenario_passage(book, paths, TIERED)
    for path in range(len(paths)):
        pyramid = build_pyramid(one_path_history(paths, path))
        outcome = first_passage(book, pyramid, TIERED, 1, horizon=horizon, use_blocks=False)
        bar = np.where(outcome.within(horizon), outcome.breach_bar - 1, LIVES)
        np.testing.assert_array_equal(found.bar[:, path], np.where(outcome.ended == GAP, UNKNOWN, bar))
        np.testing.assert_allclose(found.equity[:, path], outcome.equity, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.loss[:, path], outcome.shortfall, rtol=1e-9, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_kernel_equals_its_plain_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    paths = replace(random_paths(rng, 6, 4), funding=np.zeros((4, 3)))
    paths = paths.thinned(5)
    whole = np.isfinite(paths.close).all(axis=(1, 2))
    paths = replace(paths, low=paths.low[whole], high=paths.high[whole], close=paths.close[whole])
    book = random_book(rng, 20, paths.now)
    book = book.take(np.flatnonzero(~breached_now(book, paths) & (np.diff(book.position_pointer) > 0)))

    def margin_at(bar: int, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        market = MarketState(START + (bar + 1) * HOUR, price[MARKS], np.where(INDICES == -1, 1.0, price[INDICES]))
        state = evaluate(book, market, TIERED)
        return state.equity, state.headroom

    plain, fast = passage_by_evaluation(paths, margin_at), scenario_passage(book, paths, TIERED)
    np.testing.assert_array_equal(fast.bar, plain.bar)
    np.testing.assert_allclose(fast.equity, plain.equity, rtol=1e-9, atol=1e-9)


def random_options(rng, book: AccountBook, now, horizon: int) -> tuple[OptionHoldings, OptionSeries]:
    """Twelve contracts of both coins, some expiring on the way, shared by the pools."""
    n, coin = 12, rng.integers(0, 2, 12)
    expiry = START + rng.integers(1, 3 * horizon + 2, n) * HOUR
    strike, right = np.asarray(now)[coin] * np.exp(rng.normal(0, 0.1, n)), rng.choice([-1, 1], n)
    contracts = OptionTable([f"o{k}" for k in range(n)], ["x"] * n, expiry, strike, right, np.full(n, 0.5))
    legs = rng.integers(0, 4, len(book))
    held = OptionHoldings(contracts, np.append(0, np.cumsum(legs)), rng.integers(0, n, legs.sum()),
                          rng.normal(0, 4, legs.sum()))  # fmt: skip
    return held, OptionSeries(coin, np.full(n, 2), rng.uniform(0.7, 1.4, n))


def with_volatility(rng, paths: ScenarioPaths) -> ScenarioPaths:
    """The paths with a third series: a volatility that moves."""
    close = 0.9 * np.exp(np.cumsum(0.1 * rng.standard_normal((len(paths), paths.horizon, 1)), axis=1))
    parts = [np.concatenate((part, close * f), axis=2) for part, f in
             ((paths.low, 0.97), (paths.high, 1.03), (paths.close, 1.0))]  # fmt: skip
    return replace(paths, now=np.append(paths.now, 0.9), low=parts[0], high=parts[1], close=parts[2])


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), horizon=st.integers(1, 6), long_counts=st.booleans())
def test_option_books_end_as_riskcores_option_first_passage_says(seed: int, horizon: int, long_counts: bool) -> None:
    rng = np.random.default_rng(seed)
    paths = with_volatility(rng, random_paths(rng, 8, horizon))
    book = random_book(rng, 25, paths.now)
    held, series = random_options(rng, book, paths.now, horizon)
    found = option_scenario_passage(book, held, series, paths, TIERED, DERIBIT, long_counts=long_counts)
    at_once = option_scenario_passage(book, held, series, replace(paths, **dict.fromkeys(
        ("low", "high", "close"), np.broadcast_to(paths.now, paths.close.shape))), TIERED, DERIBIT,
        long_counts=long_counts)  # fmt: skip
    lives = at_once.bar[:, 0] != 0
    for path in range(len(paths)):
        pyramid = build_pyramid(one_path_history(paths, path))
        outcome = option_first_passage(
            book, held, series, pyramid, TIERED, DERIBIT, 1, horizon=horizon, long_counts=long_counts, use_blocks=False
        )
        bar = np.where(outcome.within(horizon), outcome.breach_bar - 1, LIVES)
        bar = np.where(outcome.ended == GAP, UNKNOWN, bar)
        np.testing.assert_array_equal(found.bar[lives, path], bar[lives])
        np.testing.assert_allclose(found.equity[lives, path], outcome.equity[lives], rtol=1e-8, atol=1e-8)


def test_an_option_pool_in_breach_now_is_liquidated_at_once_with_what_it_has_now() -> None:
    paths = paths_of(*[np.full((3, 2, 2), 100.0)] * 3, [100.0, 100.0]).with_constants(0.5)
    book = random_book(np.random.default_rng(0), 1, [100.0, 100.0])
    book = replace(book, balance=np.array([5.0, 0.0, 0.0]), position_pointer=[0, 0], position_instrument=[],
                   quantity=[], entry_price=[], leverage=[])  # fmt: skip
    put = OptionTable(["p"], ["BTC"], [START + 24 * HOUR], [100.0], [-1], [1.0])
    held, series = OptionHoldings(put, [0, 1], [0], [-1.0]), OptionSeries([0], [2], [1.2])
    found = option_scenario_passage(book, held, series, paths, TIERED, DERIBIT)
    worth = QuantLib.blackFormula(QuantLib.Option.Put, 100.0, 100.0, 0.6 * np.sqrt(1 / 365))
    assert found.bar.tolist() == [[0, 0, 0]]
    np.testing.assert_allclose(found.equity, 5.0 - worth, rtol=1e-12)


def one_state_paths(terminal: np.ndarray, now: float, constants=()) -> ScenarioPaths:
    """Paths of one bar whose states are all the same price of the one series of a BTC perpetual."""
    close = np.asarray(terminal, np.float64)[:, None, None]
    table = InstrumentTable.linear_perpetuals(["BTC"])
    paths = paths_of(close, close, close, [now], table, np.array([0]), np.array([-1]))
    return paths.with_constants(constants) if len(constants) else paths


def book_of(cash, size=(), entry=100.0) -> AccountBook:
    cash, size = np.atleast_1d(np.asarray(cash, np.float64)), np.asarray(size, np.float64)
    n, held = len(cash), int(len(size) > 0)
    names = [f"a{k}" for k in range(n)]
    entries = np.full(len(size), entry)
    return AccountBook(InstrumentTable.linear_perpetuals(["BTC"]), names, ["m"] * n, [""] * n, np.arange(n + 1),
                       np.zeros(n), cash, np.arange(n + 1) * held, np.zeros(len(size)), size, entries,
                       np.full(len(size), np.nan))  # fmt: skip


def quantiles(n: int) -> np.ndarray:
    return ndtri((np.arange(n) + 0.5) / n)


CLIFF = RuleBook("test", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})


@pytest.mark.parametrize(("right", "size"), [(1, -1.0), (-1, -2.0), (1, 3.0)])
def test_an_option_book_is_liquidated_with_the_probability_that_the_forward_crosses_a_level(right, size) -> None:
    """Headroom is monotone in the forward, so its probability is that of a level solved for with QuantLib's Black."""
    now, sigma, volatility, hours, n = 100.0, 0.25, 0.8, 24 * 30, 40_000
    paths = one_state_paths(now * np.exp(sigma * quantiles(n)), now, [volatility])
    expiry = START + hours * HOUR
    option = OptionTable(["o"], ["BTC"], [expiry], [105.0], [right], [1.0])
    held, series = OptionHoldings(option, [0, 1], [0], [size]), OptionSeries([0], [1], [1.0])
    cash = 60.0 if size < 0 else -0.4 * size * 12.0
    kind = QuantLib.Option.Call if right == 1 else QuantLib.Option.Put

    def headroom(forward: float) -> float:
        worth = QuantLib.blackFormula(kind, 105.0, forward, volatility * np.sqrt((hours - 1) / 8760))
        if size > 0:
            return cash + size * worth
        rate = 0.075 if right == 1 else max(0.075, 0.075 * worth / forward)
        return cash + size * (worth + rate * forward)

    level = brentq(headroom, 20.0, 200.0)
    beyond = ndtr(np.log(level / now) / sigma)
    expected = 1 - beyond if right * size < 0 else beyond
    assert 0.01 < expected < 0.5
    found = option_scenario_passage(book_of([cash]), held, series, paths, CLIFF, DERIBIT)
    assert found.probability[0] == pytest.approx(expected, abs=1.5 / n)


def brownian_paths(rng, n: int, steps: int, sigma: float) -> ScenarioPaths:
    close = 100.0 * np.exp(np.cumsum(sigma / np.sqrt(steps) * rng.standard_normal((n, steps, 1)), axis=1))
    return paths_of(close, close, close, [100.0], InstrumentTable.linear_perpetuals(["BTC"]), np.array([0]),
                    np.array([-1]))  # fmt: skip


def test_fine_brownian_paths_obey_the_reflection_principle() -> None:
    """2 Phi(-d), the barrier moved by 0.5826 steps for looking at steps only (Broadie, Glasserman and Kou 1997)."""
    n, steps, sigma = 6_000, 300, 0.1
    paths = brownian_paths(np.random.default_rng(3), n, steps, sigma)
    cash = np.array([13.0, 17.0, 22.0])
    found = scenario_passage(book_of(cash, np.ones(3)), paths, CLIFF)
    barrier = np.log(100.0 / ((100.0 - cash) / 0.9))
    arrived = np.cumsum(found.first_passage, axis=1)
    for bars in (60, 150, 300):
        shifted = barrier / sigma + 0.5826 / np.sqrt(steps)
        expected = 2 * ndtr(-shifted * np.sqrt(steps / bars))
        error = np.sqrt(expected * (1 - expected) / n)
        assert (np.abs(arrived[:, bars - 1] - expected) < 4 * error).all()
        np.testing.assert_allclose(found.until(bars).probability, arrived[:, bars - 1], rtol=1e-12)
        cut = found.until(bars)
        np.testing.assert_array_equal(cut.bar, np.where(found.bar < bars, found.bar, LIVES))
        np.testing.assert_array_equal(np.isfinite(cut.equity), cut.breached)
    np.testing.assert_allclose(arrived[:, -1], found.probability, rtol=1e-12)


def test_the_premium_is_the_put_struck_at_the_bankruptcy_price() -> None:
    """Terminal prices lognormal with mean 100: what a long owes is (entry - cash - S)+, a Black-76 put."""
    sigma, n = 0.2, 40_000
    paths = one_state_paths(100.0 * np.exp(sigma * quantiles(n) - sigma**2 / 2), 100.0)
    cash = np.array([12.0, 20.0, 35.0])
    found = severity_of([scenario_passage(book_of(cash, np.ones(3)), paths, CLIFF)], level=0.9)
    for k, strike in enumerate(100.0 - cash):
        put = QuantLib.blackFormula(QuantLib.Option.Put, strike, 100.0, sigma)
        assert found.premium[k, 0] == pytest.approx(put, rel=2e-4)
        touched = ndtr(np.log(strike / 0.9 / 100.0) / sigma + sigma / 2)
        assert found.probability[k, 0] == pytest.approx(touched, abs=1.5 / n)
        # the worst tenth of liquidations: prices below their quantile q, all of them bankrupt here
        q = 100.0 * np.exp(sigma * ndtri(0.1 * touched) - sigma**2 / 2)
        tail = QuantLib.blackFormula(QuantLib.Option.Put, q, 100.0, sigma) / (0.1 * touched) + strike - q
        assert q < strike
        assert found.expected_shortfall[k, 0] == pytest.approx(tail, rel=1e-3)


def fitted(rng, horizons, n=400, series=2, scale=0.02) -> tuple[FilteredHistorical, ScaleField]:
    model = FilteredHistorical()
    model.libraries_ = {}
    for h in horizons:
        moves = np.cumsum(rng.standard_t(5, (n, series, 3 * h)) / np.sqrt(3 * h), axis=2).astype(np.float32)
        ordered = np.sort(moves.reshape(n, series, h, 3), axis=3)[:, :, :, [0, 2, 1]]
        model.libraries_[h] = PathLibrary(np.arange(1, n + 1), ordered.reshape(n, series, 3 * h).copy(), h)
    sigma = scale * np.sqrt(horizons) * np.ones((40, series, 1))
    return model, ScaleField(sigma, tuple(horizons))


def flat_history(bars: int, prices=(100.0, 50.0), table=TABLE, marks=MARKS, indices=INDICES) -> MarketHistory:
    close = np.tile(prices, (bars, 1))
    times = START + np.arange(bars) * HOUR
    return MarketHistory(table, times, close, close, close, close, marks, indices, np.zeros((bars, len(table))))


def test_linear_books_have_filtered_historicals_probability_as_its_smoothing_vanishes() -> None:
    """Within one tier and haircut slice; what is left is its cubic for the exponential and single precision."""
    rng = np.random.default_rng(5)
    model, field = fitted(rng, (1, 6))
    history = flat_history(39)
    wide = RuleBook("test", dt.date(2024, 1, 1), {s: RateSchedule.cliff([0.0], [0.03], [30]) for s in TABLE.symbols},
                    {"BTC": HaircutSchedule([0.0], [0.9]), "ETH": HaircutSchedule([0.0], [0.8])})  # fmt: skip
    book = random_book(rng, 200, history.close[-1])
    linear = ~np.isin(np.arange(200), book.position_pool[book.position_instrument == 2])
    book = book.take(np.flatnonzero(linear & (np.diff(book.position_pointer) > 0)))
    bars = np.full(len(book), 30)
    exposure = linearise_at(book, bars, history, wide)
    sample = AccountSample(bars, exposure, (1, 6), np.zeros((len(book), 0)), ())
    exact = np.column_stack(
        [scenario_passage(book, scenario_paths(model, field, history, 30, h), wide).probability for h in (1, 6)]
    )
    exact = np.maximum.accumulate(exact, axis=1)
    gaps = {}
    for bandwidth in (0.08, 1e-4):
        model.bandwidth = bandwidth
        gaps[bandwidth] = np.abs(model.predict(sample, field) - exact)
    assert 0.1 < exact.mean() < 0.9
    assert gaps[1e-4].max() <= 2 / 400
    assert gaps[1e-4].mean() < 1e-4 < gaps[0.08].mean()


def test_pools_do_not_depend_on_their_order_on_each_other_or_on_threads(monkeypatch) -> None:
    rng = np.random.default_rng(7)
    paths = with_volatility(rng, random_paths(rng, 40, 5))
    book = random_book(rng, 60, paths.now)
    held, series = random_options(rng, book, paths.now, 5)
    whole = option_scenario_passage(book, held, series, paths, TIERED, DERIBIT)
    monkeypatch.setattr(sys.modules[scenario_passage.__module__], "MOST_PRICED", 12 * 3 * 5 * 7)
    again = option_scenario_passage(book, held, series, paths, TIERED, DERIBIT, threads=2)
    np.testing.assert_array_equal(whole.bar, again.bar)
    np.testing.assert_array_equal(whole.equity, again.equity)
    plain = scenario_passage(book, paths, TIERED)
    order = rng.permutation(60)
    for part, threads in ((order, 2), (order[:7], 1)):
        found = scenario_passage(book.take(part), paths, TIERED, threads=threads)
        np.testing.assert_array_equal(found.bar, plain.bar[part])
        np.testing.assert_array_equal(found.equity, plain.equity[part])
    without = OptionHoldings(held.contracts, np.zeros(61, int), [], [])
    same = option_scenario_passage(book, without, series, paths, TIERED, DERIBIT)
    np.testing.assert_array_equal(same.bar, plain.bar)
    np.testing.assert_array_equal(same.equity, plain.equity)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.25, 2.0, 16.0]))
def test_a_book_twice_as_large_owes_twice_as_much(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    paths = random_paths(rng, 20, 3)
    book = random_book(rng, 20, paths.now)
    rules = replace(TIERED, schedules={s: RateSchedule.cliff([0.0], [0.03], [30]) for s in TABLE.symbols},
                    haircuts=dict.fromkeys(("BTC", "ETH"), HaircutSchedule([0.0], [0.9])))  # fmt: skip
    larger = replace(book, balance=book.balance * factor, quantity=book.quantity * factor)
    once, more = scenario_passage(book, paths, rules), scenario_passage(larger, paths, rules)
    np.testing.assert_array_equal(once.bar, more.bar)
    np.testing.assert_allclose(once.equity * factor, more.equity, rtol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), extra=st.floats(0.01, 100.0))
def test_more_cash_never_raises_and_more_time_never_lowers_probability_or_premium(seed: int, extra: float) -> None:
    rng = np.random.default_rng(seed)
    paths = random_paths(rng, 25, 5)
    book = random_book(rng, 25, paths.now)
    richer = book.with_amounts(np.arange(25), np.zeros(25, int), np.full(25, extra))
    poor, rich = (scenario_passage(one, paths, TIERED) for one in (book, richer))
    assert (rich.breached <= poor.breached).all()
    later = [severity_of([one.until(h) for h in (1, 2, 5)]) for one in (poor, rich)]
    for name in ("probability", "premium"):
        of_poor, of_rich = (getattr(one, name) for one in later)
        assert (np.diff(of_poor, axis=1) >= 0).all()
        if name == "probability":
            assert (of_rich <= of_poor).all()


def test_more_cash_never_raises_the_premium_of_one_state_paths() -> None:
    """Along a path more cash may put a breach off to a worse bar, from now to later too; at one state it cannot."""
    rng = np.random.default_rng(2)
    paths = random_paths(rng, 200, 1)
    paths = replace(paths, low=paths.close, high=paths.close)
    book = random_book(rng, 300, paths.now)
    book = book.take(np.flatnonzero(~breached_now(book, paths))[:200])
    losses = [scenario_passage(book.with_amounts(np.arange(200), np.zeros(200, int), np.full(200, extra)), paths,
                               TIERED).loss for extra in (0.0, 5.0, 50.0)]  # fmt: skip
    assert (np.diff(losses, axis=0) <= 1e-9).all()
    assert losses[0].sum() > losses[1].sum() > losses[2].sum() > 0


def test_closing_costs_are_charged_on_the_notional_at_the_breach() -> None:
    paths = one_state_paths([120.0, 85.0, 60.0], 100.0)
    book = book_of([20.0, 20.0], [1.0, 1.0])
    free = scenario_passage(book, paths, CLIFF)
    found = scenario_passage(book, paths, CLIFF, closing_cost=np.array([0.01, np.nan]))
    np.testing.assert_array_equal(found.bar, free.bar)
    np.testing.assert_allclose(free.equity[0], [np.nan, 5.0, -20.0])
    np.testing.assert_allclose(found.equity[0], [np.nan, 5.0 - 0.85, -20.0 - 0.6])
    assert np.isnan(found.equity[1]).all()
    severity = severity_of([found])
    assert severity.probability.tolist() == [[2 / 3], [2 / 3]]
    np.testing.assert_allclose(severity.premium, [[20.6 / 3], [np.nan]])
    gone = scenario_passage(book_of([-1.0], [1.0]), paths, CLIFF, closing_cost=np.array([0.01]))
    assert gone.bar.tolist() == [[0, 0, 0]]
    np.testing.assert_allclose(gone.equity, -2.0)
    coin = paths_of(*[np.full((1, 1, 2), 50.0)] * 3, [100.0, 100.0])
    inverse = replace(random_book(np.random.default_rng(0), 1, [100.0, 100.0]), balance=np.array([0.0, 0.2, 0.0]),
                      position_pointer=[0, 1], position_instrument=[2], quantity=[100.0], entry_price=[100.0],
                      leverage=[np.nan])  # fmt: skip
    at = [scenario_passage(inverse, coin, TIERED, closing_cost=np.array([c])).equity[0, 0] for c in (0.0, 0.01)]
    # 0.2 coins less a loss of one, at 50; closing 100 dollars of face costs one dollar
    np.testing.assert_allclose(at, [-40.0, -41.0])


def test_funding_alone_liquidates_at_the_charge_that_uses_headroom_up() -> None:
    """A long of 100 with 2 of headroom pays 1 a bar from the second on: none is left at the third bar."""
    flat = np.full((2, 6, 1), 100.0)
    rates = np.full((6, 1), 0.01)
    rates[0] = 0.5
    paths = paths_of(flat, flat, flat, [100.0], InstrumentTable.linear_perpetuals(["BTC"]), np.array([0]),
                     np.array([-1]), rates)  # fmt: skip
    found = scenario_passage(book_of([12.0, 12.0], [1.0, -1.0]), paths, CLIFF)
    assert found.bar.tolist() == [[3, 3], [LIVES, LIVES]]
    np.testing.assert_allclose(found.equity[0], 9.0)


def test_the_ladder_costs_what_execution_cost_says() -> None:
    rng = np.random.default_rng(1)
    levels, resting = np.array([5.0, 20.0, 100.0]), np.cumsum(rng.exponential(1e5, (2, 3)), axis=1)
    ladder = DepthLadder(levels, *resting)
    size, side = rng.exponential(1e5, 50), rng.choice([-1.0, 1.0], 50)
    for one, way, found in zip(size, side, ladder.cost(size, side), strict=True):
        expected = execution_cost(levels, resting[[0 if way > 0 else 1]], one)[0]
        assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)
    book = random_book(rng, 5, [100.0, 100.0])
    cost = depth_closing_cost(book, MarketState(START, [100.0, 100.0, 100.0], [1.0, 100.0, 100.0]), {"BTC": ladder})
    assert (np.isnan(cost) == (book.position_instrument != 0)).all()
    for bad in ({"level_bps": [5.0, 5.0, 9.0]}, {"bid": [1.0, 0.5, 2.0]}, {"ask": [-1.0, 0.0, 2.0]}):
        with pytest.raises(InputError, match=f"column {next(iter(bad))}: must rise from 0"):
            DepthLadder(**({"level_bps": levels, "bid": resting[0], "ask": resting[1]} | bad))


def test_portfolio_margin_nets_what_standard_margin_does_not() -> None:
    """Long and short of one coin in two contracts: a scenario grid finds no risk, tiers ask for both legs."""
    table = InstrumentTable(("BTC", "BTC2"), [LINEAR, LINEAR], [1.0, 1.0], [0, 0], ("USDT",))
    close = 100.0 * np.exp(np.random.default_rng(0).normal(0, 0.3, (30, 2, 1)))
    paths = paths_of(close, close, close, [100.0], table, np.array([0, 0]), np.array([-1]))
    names = ["hedged"], ["m"], [""]
    book = AccountBook(table, *names, [0, 1], [0], [25.0], [0, 2], [0, 1], [1.0, -1.0], [100.0] * 2, [np.nan] * 2)
    rules = RuleBook("test", dt.date(2024, 1, 1), dict.fromkeys(table.symbols, RateSchedule.cliff([0.0], [0.1], [10])))
    unit = UnitRule(ScenarioGrid.product([-0.3, 0.0, 0.3], [SAME]), VolatilityShock(0.5, 0.25, 0.3, 0.13))
    rule = PortfolioRule("test", dt.date(2024, 1, 1), {"BTC": unit})
    contracts = contracts_of_instruments(table, ["BTC", "BTC"])
    positions = PositionBook([0, 2], [0, 1], [1.0, -1.0])

    def portfolio(bar: int, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        prices = contract_prices(START + (bar + 1) * HOUR, np.repeat(price, 2))
        asked = scenario_margin(positions, risk_arrays(contracts, prices, rule), rule).maintenance
        return np.array([25.0]), 25.0 - asked

    standard = scenario_passage(book, paths, rules)
    # 0.1 * 2 * price is above 25 from a price of 125 on
    assert standard.probability[0] == pytest.approx((close > 125.0).any(axis=1).mean())
    assert 0 < standard.probability[0] < 1
    assert passage_by_evaluation(paths, portfolio).probability[0] == 0.0


def test_scenarios_are_todays_price_times_the_scaled_past_and_see_nothing_later() -> None:
    rng = np.random.default_rng(9)
    model, field = fitted(rng, (2, 3), n=10)
    history = flat_history(39)
    paths = scenario_paths(model, field, history, 20, 3)
    moves = model.libraries_[3].moves.astype(float)
    for k, part in enumerate((paths.low, paths.high, paths.close)):
        for w in range(10):
            for s, price in enumerate((100.0, 50.0)):
                np.testing.assert_allclose(part[w, :, s], price * np.exp(field.sigma[20, s, 1] * moves[w, s, k::3]))
    assert (paths.time, len(paths.thinned(4)), paths.horizon) == (START + 20 * HOUR, 4, 3)
    later = replace(history, **{n: np.where(np.arange(39)[:, None] >= 20, 9.0, history.close)
                                for n in ("open", "high", "low", "close")})  # fmt: skip
    moved = np.where(np.arange(40)[:, None, None] == 20, field.sigma, 9.0)
    same = scenario_paths(model, ScaleField(moved, (2, 3)), later, 20, 3)
    np.testing.assert_array_equal(same.close, paths.close)


def test_funding_ahead_is_that_of_the_last_day() -> None:
    funding = np.zeros((60, 3))
    funding[::8] = np.arange(8)[:, None]
    history = replace(flat_history(60), funding=funding)
    found = funding_ahead(history, 41, 30)[:, 0]
    # charges of bars 24, 32, 40 fall due again at 48, 56, 64; bar 41 is offset 0
    assert {k: v for k, v in enumerate(found.tolist()) if v} == {7: 3.0, 15: 4.0, 23: 5.0}
    late = replace(history, funding=np.where(np.arange(60)[:, None] >= 41, 9.0, funding))
    np.testing.assert_array_equal(funding_ahead(late, 41, 30)[:, 0], found)
    with pytest.raises(InputError, match=r"bar: needs a day of funding before it \(found 23\)"):
        funding_ahead(history, 23, 5)


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(4)
    model, field = fitted(rng, (2,), n=5)
    history, paths = flat_history(39), random_paths(rng, 3, 2)
    book = random_book(rng, 4, paths.now)
    held, series = random_options(rng, book, paths.now, 2)
    full = with_volatility(rng, paths)
    positions = len(book.quantity)
    late = OptionTable(["o"], ["x"], [START + np.timedelta64(90, "m")], [100.0], [1], [1.0])
    gone = OptionTable(["o"], ["x"], [START], [100.0], [1], [1.0])
    one, nobody = OptionSeries([0], [2], [1.0]), np.zeros(5, int)
    cases = [
        ("horizon: is not one of those fitted", lambda: scenario_paths(model, field, history, 9, 3)),
        ("bar: needs a bar from 1 to 39", lambda: scenario_paths(model, field, history, 40, 2)),
        ("model: was fitted on 2", lambda: scenario_paths(
            model, field, flat_history(39, (1.0,), marks=np.zeros(3, int), indices=np.array([-1, 0, 0])), 9, 2)),
        ("bars: needs a horizon from 1 to the 2", lambda: scenario_passage(book, paths, TIERED).until(3)),
        ("constant: must be positive", lambda: paths.with_constants([0.0])),
        ("funding: has shape", lambda: replace(paths, funding=np.zeros((1, 3)))),
        ("close: needs at least one path", lambda: replace(paths, close=paths.close[:0])),
        (r"close\[0\]\[0\]: close is outside", lambda: replace(paths, high=paths.low)),
        ("closing_cost: has shape", lambda: scenario_passage(book, paths, TIERED, closing_cost=np.zeros(99))),
        ("closing_cost: must not be negative",
         lambda: scenario_passage(book, paths, TIERED, closing_cost=np.full(positions, -0.1))),
        ("instruments", lambda: scenario_passage(book_of([1.0], [1.0]), paths, TIERED)),
        ("volatility: is not a series", lambda: option_scenario_passage(book, held, series, paths, TIERED, DERIBIT)),
        ("price: has 1 contracts", lambda: option_scenario_passage(book, held, one, full, TIERED, DERIBIT)),
        ("expiry: expiry is not the open of a bar", lambda: option_scenario_passage(
            book, OptionHoldings(late, nobody, [], []), one, full, TIERED, DERIBIT)),
        ("expiry: option has expired", lambda: option_scenario_passage(
            book, OptionHoldings(gone, nobody, [], []), one, full, TIERED, DERIBIT)),
    ]  # fmt: skip
    for match, call in cases:
        with pytest.raises(InputError, match=match):
            call()


def test_a_plain_margin_of_options_agrees_with_the_kernel() -> None:
    rng = np.random.default_rng(12)
    paths = replace(random_paths(rng, 7, 3), funding=np.zeros((3, 3))).thinned(6)
    paths = with_volatility(rng, replace(paths, **{n: getattr(paths, n)[:5] for n in ("low", "high", "close")}))
    book = random_book(rng, 30, paths.now)
    held, series = random_options(rng, book, paths.now, 3)
    terms = held.contracts
    far = OptionTable(terms.name, terms.underlying, terms.expiry + 50 * HOUR, terms.strike, terms.right,
                      terms.multiplier)  # fmt: skip
    held = OptionHoldings(far, held.pointer, held.contract, held.quantity)
    idle = (np.diff(book.position_pointer) == 0) & (np.diff(held.pointer) == 0)

    def margin_at(bar: int, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        market = MarketState(START + (bar + 1) * HOUR, price[MARKS], np.where(INDICES == -1, 1.0, price[INDICES]))
        spot = price[series.price]
        premium = far.value(market.time, spot, price[series.volatility] * series.ratio)
        state = evaluate_options(book, held, market, spot, premium, TIERED, DERIBIT).pools
        return state.equity, np.where(idle, np.inf, state.headroom)

    plain = passage_by_evaluation(paths, margin_at)
    fast = option_scenario_passage(book, held, series, paths, TIERED, DERIBIT)
    now = paths.now
    lives = margin_at(-1, now)[1] >= 0
    np.testing.assert_array_equal(fast.bar[lives], plain.bar[lives])
    np.testing.assert_allclose(fast.equity[lives], plain.equity[lives], rtol=1e-8, atol=1e-8)
