"""When price scenarios liquidate each account, by exact margin, and what it then owes beyond its collateral."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import BoolArray, FloatArray, IntArray, group_sums, require, require_shape
from ..riskcore.compiled import CompiledBook, compile_book, compile_rules
from ..riskcore.errors import InputError
from ..riskcore.instruments import contract_value, require_same_instruments
from ..riskcore.margin import evaluate, in_chunks, is_breached
from ..riskcore.margin_layout import lay_out
from ..riskcore.market import UNIT_INDEX, MarketState
from ..riskcore.options.option_holdings import OptionHoldings, evaluate_options, require_options_fit
from ..riskcore.options.option_table import OptionTable
from ..riskcore.options.passage import OptionSeries
from ..riskcore.options.short_option import ShortOptionRules
from ..riskcore.price_pyramid import PyramidArrays
from ..riskcore.rulebook import RuleBook
from .paths import STATES
from .scenario_kernel import LIVES, UNKNOWN, ClosingCost, scenario_pass
from .scenario_options import OptionTerms, PricedOptions, option_terms, price_options
from .scenario_paths import ScenarioPaths

MOST_PRICED = 2_000_000
"""Option prices that are kept at a time: 48 MB."""


@dataclass(frozen=True)
class ScenarioPassage:
    """What every scenario makes of every pool, positions frozen; amounts in the base asset.

    Parameters
    ----------
    horizon
        Bars looked at.
    bar
        Bar of each path, from 0, in which each pool is liquidated; LIVES (-1) or UNKNOWN (-2: a price it needs is
        missing) otherwise, shape (n_pools, n_paths).
    equity
        What is left of its equity there, closing costs paid: the lowest of the states of the bar that are in breach,
        as in `riskcore.first_passage`; NaN elsewhere.
    """

    horizon: int
    bar: NDArray[np.int16]
    equity: FloatArray

    def __len__(self) -> int:
        return len(self.bar)

    def until(self, bars: int) -> ScenarioPassage:
        """The same paths looked at for fewer bars; more than `horizon` raises InputError."""
        if not 1 <= bars <= self.horizon:
            raise InputError(f"needs a horizon from 1 to the {self.horizon} bars there are", column="bars", value=bars)
        later = self.bar >= bars
        return ScenarioPassage(bars, np.where(later, LIVES, self.bar), np.where(later, np.nan, self.equity))

    @property
    def breached(self) -> BoolArray:
        """Which paths liquidate each pool, shape (n_pools, n_paths)."""
        return np.asarray(self.bar >= 0)

    @property
    def known(self) -> BoolArray:
        """Which paths have every price that each pool needs, shape (n_pools, n_paths)."""
        return np.asarray(self.bar != UNKNOWN)

    @property
    def loss(self) -> FloatArray:
        """What each pool owes beyond its collateral on each path, 0 where it is not liquidated."""
        return np.where(self.breached, np.maximum(-self.equity, 0.0), 0.0)

    @property
    def probability(self) -> FloatArray:
        """Share of the paths with prices on which each pool is liquidated, shape (n_pools,); NaN without any."""
        return np.asarray(self.first_passage.sum(axis=1))

    @property
    def first_passage(self) -> FloatArray:
        """Share of the paths on which each pool is first liquidated in each bar, shape (n_pools, horizon)."""
        counts = np.stack([(self.bar == k).sum(axis=1) for k in range(self.horizon)], axis=1)
        known = self.known.sum(axis=1)[:, None]
        return np.where(known > 0, counts / np.maximum(known, 1), np.nan)


def scenario_passage(
    book: AccountBook,
    paths: ScenarioPaths,
    rules: RuleBook,
    *,
    closing_cost: FloatArray | None = None,
    threads: int = 1,
) -> ScenarioPassage:
    """First state along each path in which each pool's exact headroom is gone, and its equity there.

    What `riskcore.first_passage` does on the real path, on every simulated one: tiers, haircut slices, coins and
    funding as the rules have them. The paths are the same for all pools. A pool already in breach is liquidated at
    once on all of them.

    Parameters
    ----------
    book, rules
        The pools, seen at the instant the paths start from, and the rules.
    paths
        From `scenario_paths`.
    closing_cost
        Cost of closing each position, fraction of its notional, shape (n_positions,), such as `depth_closing_cost`;
        none if left out. NaN makes what the pool owes NaN, not whether it is liquidated.
    threads
        Does not change the result.

    Raises
    ------
    InputError
        A book of other instruments, a price or a tier table that is missing, costs of another shape or negative.

    Notes
    -----
    Cost: one bound for each pool and path, and an exact look at the bars it cannot clear; about 0.5 s on one core for
    1,000 accounts with five prices and 1,388 paths of 24 bars. Ten bytes are kept for each pool and path.

    Examples
    --------
    A long of 1 BTC from 100 with 20 USDT at 10% maintenance, liquidated below 88.9; at 75 it owes 5:

    >>> import datetime as dt
    >>> from ..riskcore.instruments import InstrumentTable
    >>> from ..riskcore.rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [20.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> p = np.array([[95.0, 75.0], [95.0, 90.0], [85.0, 99.0], [120.0, 99.0]])[:, :, None]
    >>> start = np.datetime64("2024-01-01", "ns"), np.timedelta64(1, "h"), [100.0]
    >>> paths = ScenarioPaths(table, *start, p, p, p, np.array([0]), np.array([-1]), np.zeros((2, 1)))
    >>> passage = scenario_passage(book, paths, rules)
    >>> passage.bar.tolist(), passage.loss.tolist(), passage.first_passage.tolist()
    ([[1, -1, 0, -1]], [[5.0, 0.0, 0.0, 0.0]], [[0.25, 0.25]])
    """
    none = np.zeros((len(paths) * paths.horizon, STATES, 0))
    extremes = np.zeros((len(paths), 0))
    nobody = np.zeros(len(book) + 1, np.int64), np.zeros(0, np.int64), np.zeros(0)
    engine = _Engine(book, paths, rules, closing_cost, threads)
    margin = evaluate(book, engine.market, rules)
    engine.run(PricedOptions(*nobody, none, none, none, extremes, extremes, 0, 0), 0, len(paths))
    return engine.passage(margin.equity, margin.maintenance, np.diff(book.position_pointer) > 0)


def option_scenario_passage(
    book: AccountBook,
    held: OptionHoldings,
    series: OptionSeries,
    paths: ScenarioPaths,
    rules: RuleBook,
    short_rules: ShortOptionRules,
    *,
    long_counts: bool = True,
    closing_cost: FloatArray | None = None,
    threads: int = 1,
) -> ScenarioPassage:
    """`scenario_passage` of pools that also hold options, by standard margin.

    Options are valued by Black-76, undiscounted, each contract once in each state; its implied volatility keeps its
    ratio to the volatility series it follows (`OptionSeries`; see `ScenarioPaths.with_constants` where there is none).
    One that expires is exercised at the close before. Closing costs are those of the futures.

    Parameters
    ----------
    book, paths, rules, closing_cost, threads
        As in `scenario_passage`.
    held, series, short_rules, long_counts
        As in `riskcore.options.option_first_passage`.

    Raises
    ------
    InputError
        What `scenario_passage` and `evaluate_options` refuse; an expiry off the bar grid, a series the paths lack.

    Notes
    -----
    Cost: about 50 ns for each contract and state, once for all accounts, then two products for each leg and state that
    is looked at: 4 s on one core for 1,000 accounts with 20 positions each in 200 contracts, on 1,388 paths of 24 bars.
    """
    require_options_fit(book, held, rules)
    engine = _Engine(book, paths, rules, closing_cost, threads)
    terms = option_terms(held, series, paths, short_rules, long_counts)
    spot, premium = _options_now(held.contracts, terms, paths)
    given = book, held, engine.market, spot, premium, rules, short_rules
    margin = evaluate_options(*given, long_counts=long_counts).pools
    block = max(1, MOST_PRICED // max(1, len(held.contracts) * STATES * paths.horizon))
    for first in range(0, len(paths), block):
        last = min(first + block, len(paths))
        engine.run(price_options(held, terms, engine.arrays, paths.horizon, first, last, threads), first, last)
    holds = (np.diff(book.position_pointer) > 0) | (np.diff(held.pointer) > 0)
    return engine.passage(margin.equity, margin.maintenance, holds)


MarginAt = Callable[[int, FloatArray], tuple[FloatArray, FloatArray]]


def passage_by_evaluation(paths: ScenarioPaths, margin_at: MarginAt, *, strict: bool = True) -> ScenarioPassage:
    """First passage by any margin engine, portfolio margin among them: it is asked once for each state of each path.

    Parameters
    ----------
    paths
        The scenarios; `thinned` for engines that take long: paths * horizon * 3 evaluations of the whole book are made,
        fewer where a path has liquidated every pool.
    margin_at
        From the bar, counted from 0, and the price of each series in one of its states, equity and headroom of every
        pool, each of shape (n_pools,); headroom inf for a pool without positions. The bar closes at
        `paths.time + (bar + 1) * paths.step`. Funding and closing costs are up to it.
    strict
        Whether a pool with a headroom of exactly zero lives.

    Examples
    --------
    An engine that asks for 10 of margin at any price, and a pool that holds one unit bought at 100 with 20 of cash:

    >>> from ..riskcore.instruments import InstrumentTable
    >>> p = np.array([[95.0, 75.0], [95.0, 91.0]])[:, :, None]
    >>> start = np.datetime64("2024-01-01", "ns"), np.timedelta64(1, "h"), [100.0]
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> paths = ScenarioPaths(table, *start, p, p, p, np.array([0]), np.array([-1]), np.zeros((2, 1)))
    >>> passage = passage_by_evaluation(paths, lambda bar, price: (price - 80.0, price - 90.0))
    >>> passage.bar.tolist(), passage.equity.tolist()
    ([[1, -1]], [[-5.0, nan]])
    """
    columns = [_evaluated_path(paths, path, margin_at, strict) for path in range(len(paths))]
    bars, equities = zip(*columns, strict=True)
    return ScenarioPassage(paths.horizon, np.stack(bars, axis=1).astype(np.int16), np.stack(equities, axis=1))


def _evaluated_path(paths: ScenarioPaths, path: int, margin_at: MarginAt, strict: bool) -> tuple[IntArray, FloatArray]:
    """Bar and equity of the first breach of every pool on one path."""
    states = (paths.low, paths.high, paths.close)
    for k in range(paths.horizon):
        equity, headroom = (np.stack(part) for part in zip(*(margin_at(k, s[path, k]) for s in states), strict=True))
        breach = (headroom < 0) if strict else (headroom <= 0)
        if k == 0:
            bar, left = np.full(equity.shape[1], LIVES), np.full(equity.shape[1], np.nan)
        hit, lost = breach.any(axis=0) & (bar == LIVES), np.isnan(headroom).any(axis=0) & (bar == LIVES)
        left = np.where(hit, np.where(breach, equity, np.inf).min(axis=0), left)
        bar = np.where(hit, k, np.where(lost, UNKNOWN, bar))
        if (bar != LIVES).all():
            break
    return bar, left


class _Engine:
    """A book laid out on scenarios, and the results being filled in."""

    def __init__(
        self, book: AccountBook, paths: ScenarioPaths, rules: RuleBook, cost: FloatArray | None, threads: int
    ) -> None:
        require_same_instruments(book.instruments, paths.instruments)
        index = np.where(paths.index_series == UNIT_INDEX, 1.0, paths.now[paths.index_series])
        self.market = MarketState(paths.time, paths.now[paths.mark_series], index)
        compiled = compile_book(book)
        self.layout = lay_out(compiled, compile_rules(rules, book.instruments, book))
        self.arrays: PyramidArrays = paths.arrays()
        self.rules, self.horizon, self.threads = rules, paths.horizon, threads
        self.cost = _cost_of_legs(book, compiled, cost)
        self.closing = _cost_now(book, self.market, cost)
        self.bar = np.empty((len(book), len(paths)), np.int16)
        self.equity = np.empty(self.bar.shape)

    def run(self, options: PricedOptions, first_path: int, last_path: int) -> None:
        """Fill in the results of some paths."""

        def run(first: int, last: int) -> None:
            scenario_pass(
                first,
                last,
                self.layout,
                self.arrays,
                options,
                self.cost,
                first_path,
                last_path,
                self.horizon,
                self.rules.strict_trigger,
                self.bar,
                self.equity,
            )

        in_chunks(run, len(self.bar), self.threads)

    def passage(self, equity: FloatArray, maintenance: FloatArray, holds: BoolArray) -> ScenarioPassage:
        """The results; a pool in breach by its equity and maintenance now is so on every path that has its prices."""
        now = (is_breached(equity, maintenance, self.rules) & holds)[:, None] & (self.bar != UNKNOWN)
        left = np.where(now, (equity - self.closing)[:, None], self.equity)
        return ScenarioPassage(self.horizon, np.where(now, np.int16(0), self.bar), left)


def _cost_of_legs(book: AccountBook, compiled: CompiledBook, cost: FloatArray | None) -> ClosingCost:
    rate = np.zeros(len(book.quantity)) if cost is None else np.asarray(cost, np.float64)
    require_shape(rate, (len(book.quantity),), "closing_cost")
    require(~(rate < 0), rate, "must not be negative", "closing_cost")
    return ClosingCost(rate[compiled.leg_position], compiled.leg_pointer[compiled.row_pointer[:-1]])


def _cost_now(book: AccountBook, market: MarketState, cost: FloatArray | None) -> FloatArray:
    if cost is None:
        return np.zeros(len(book))
    value = contract_value(book.position_size, market.mark[book.position_instrument], book.position_inverse)
    amount = cost * np.abs(value) * market.index[book.position_asset]
    return group_sums(book.position_pool, amount, len(book))


def _options_now(contracts: OptionTable, terms: OptionTerms, paths: ScenarioPaths) -> tuple[FloatArray, FloatArray]:
    """Forward and premium of each contract at the instant the paths start from."""
    forward, volatility = paths.now[terms.price], paths.now[terms.volatility] * terms.ratio
    return forward, contracts.value(paths.time, forward, volatility)
