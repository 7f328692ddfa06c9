"""Margin of pools by value at risk or expected shortfall over joint scenarios, with anti-procyclicality options."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray, frozen, group_sums, require
from ..errors import InputError
from ..margin import in_chunks
from .contracts import PositionBook
from .scenario_kernel import scenario_pass
from .value_at_risk import Tails, pool_tails, require_confidence
from .value_at_risk_scenarios import ScenarioSet

VAR, ES = "var", "es"
POOLS_A_BLOCK = 4096


@dataclass(frozen=True)
class TailRule:
    """What a margin covers, and how it is kept from following the market down.

    Parameters
    ----------
    measure
        "var" or "es".
    confidence
        In (0, 1). Commission Delegated Regulation (EU) 153/2013, article 24: at least 0.995 for OTC derivatives, 0.99
        for others.
    buffer
        Share put on top of the margin, which may be used up in stress; article 28(1)(a) asks 0.25.
    stressed_weight
        Probability of the stressed scenarios; article 28(1)(b) asks 0.25. Zero where none are used.

    Examples
    --------
    >>> TailRule("median", 0.99)
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: column measure: must be var or es (found 'median')
    """

    measure: str
    confidence: float
    buffer: float = 0.0
    stressed_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.measure not in (VAR, ES):
            raise InputError(f"must be {VAR} or {ES}", column="measure", value=self.measure)
        require_confidence(self.confidence)
        if not 0 <= self.buffer < np.inf:
            raise InputError("must not be below zero", column="buffer", value=self.buffer)
        if not 0 <= self.stressed_weight <= 1:
            raise InputError("must be in [0, 1]", column="stressed_weight", value=self.stressed_weight)

    def of(self, tails: Tails) -> FloatArray:
        """The measure of each pool, never below zero."""
        return np.maximum(tails.level if self.measure == VAR else tails.shortfall, 0.0)


@dataclass(frozen=True)
class TailMargin:
    """Margin of each pool and where it comes from.

    Parameters
    ----------
    margin
        What is asked: the larger of measured and floor, with the buffer; shape (n_pools,).
    measured, floor, buffer
        The measure over the scenarios (stressed ones weighed in), that over the long history (zero without one), and
        the buffer's amount.
    shortfall
        Expected shortfall over the scenarios, whatever the measure; what `leg` adds to. Below zero for a pool that
        gains in its own tail.
    leg
        Euler contribution of each entry of the book to its pool's shortfall; shape (n_entries,).
    worst
        Row of the largest loss of each pool, -1 for a pool without positions; rows of stressed scenarios follow those
        of the current ones.
    """

    margin: FloatArray
    measured: FloatArray
    floor: FloatArray
    buffer: FloatArray
    shortfall: FloatArray
    leg: FloatArray
    worst: IntArray

    def __post_init__(self) -> None:
        for name in ("margin", "measured", "floor", "buffer", "shortfall", "leg"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        object.__setattr__(self, "worst", frozen(self.worst, np.int64))


def pool_profits(book: PositionBook, scenarios: ScenarioSet, *, threads: int = 1) -> FloatArray:
    """Profit of each pool in each scenario, entries added in their order; shape (n_pools, n_scenarios).

    Examples
    --------
    >>> scenarios = ScenarioSet.equally_likely([[1.0, 2.0], [-3.0, 0.5]])
    >>> pool_profits(PositionBook([0, 2], [0, 1], [10.0, -2.0]), scenarios).tolist()
    [[6.0, -31.0]]
    """
    instruments = scenarios.unit_profit.shape[1]
    known = (book.contract >= 0) & (book.contract < instruments)
    require(known, book.contract, f"unknown instrument; the scenarios are of {instruments}", "contract")
    profit, out = np.ascontiguousarray(scenarios.unit_profit.T), np.empty((len(book), len(scenarios)))

    def run(first: int, last: int) -> None:
        scenario_pass(first, last, book.pool_pointer, book.contract, book.quantity, profit, out)

    in_chunks(run, len(book), threads)
    return out


def tail_margin(
    book: PositionBook,
    scenarios: ScenarioSet,
    rule: TailRule,
    *,
    stressed: ScenarioSet | None = None,
    long: ScenarioSet | None = None,
    threads: int = 1,
) -> TailMargin:
    """Margin of every pool of a book.

    Parameters
    ----------
    book
        Positions; their instruments are the columns of the scenarios.
    scenarios
        The lookback period, over the margin period of risk.
    rule
        Measure, confidence and options.
    stressed
        Scenarios of a stressed period, weighed in by `rule.stressed_weight`; given if and only if that is not zero.
    long
        Scenarios of a long history: margin is not below the measure over them (article 28(1)(c): 10 years).

    Raises
    ------
    InputError
        An instrument the scenarios lack, a stressed weight without stressed scenarios or the other way round.

    Examples
    --------
    >>> book = PositionBook([0, 1], [0], [10.0])
    >>> scenarios = ScenarioSet.equally_likely([[-1.0], [-2.0], [3.0], [4.0]])
    >>> found = tail_margin(book, scenarios, TailRule("es", 0.5, buffer=0.25))
    >>> found.measured.tolist(), found.margin.tolist(), found.worst.tolist()
    ([15.0], [18.75], [1])
    """
    if (stressed is not None) != (rule.stressed_weight > 0):
        raise InputError("needs stressed scenarios, and they need a weight", column="stressed_weight")
    mixed = scenarios if stressed is None else scenarios.with_stress(stressed, rule.stressed_weight)
    blocks = [_block(part, mixed, rule, long, threads) for part in _parts(book)]
    measured, floor, shortfall, leg, worst = (np.concatenate(column) for column in zip(*blocks, strict=True))
    base = np.maximum(measured, floor)
    return TailMargin(base * (1 + rule.buffer), measured, floor, base * rule.buffer, shortfall, leg, worst)


def _parts(book: PositionBook) -> list[PositionBook]:
    """The book in parts of a few thousand pools, which bounds the memory of their tables of profits."""
    parts = []
    for first in range(0, max(len(book), 1), POOLS_A_BLOCK):
        pointer = book.pool_pointer[first : first + POOLS_A_BLOCK + 1]
        entries = slice(pointer[0], pointer[-1])
        parts.append(PositionBook(pointer - pointer[0], book.contract[entries], book.quantity[entries]))
    return parts


def _block(
    book: PositionBook, scenarios: ScenarioSet, rule: TailRule, long: ScenarioSet | None, threads: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray]:
    profit = pool_profits(book, scenarios, threads=threads)
    tails = pool_tails(profit, rule.confidence, scenarios.probability)
    floor = np.zeros(len(book))
    if long is not None:
        floor = rule.of(pool_tails(pool_profits(book, long, threads=threads), rule.confidence, long.probability))
    leg = _mean_tail_profit(tails, scenarios, threads)[book.pool_of_entry, book.contract] * -book.quantity
    shortfall = group_sums(book.pool_of_entry, leg, len(book))
    worst = np.where(np.diff(book.pool_pointer) == 0, -1, np.argmin(profit, axis=1))
    return rule.of(tails), floor, shortfall, leg, worst


def _mean_tail_profit(tails: Tails, scenarios: ScenarioSet, threads: int) -> FloatArray:
    """Mean profit of one contract of each instrument in the tail of each pool; shape (n_pools, n_instruments)."""
    pool, scenario = np.nonzero(tails.weights)
    pointer = np.searchsorted(pool, np.arange(len(tails.level) + 1))
    out, weights = np.empty((len(tails.level), scenarios.unit_profit.shape[1])), tails.weights[pool, scenario]

    def run(first: int, last: int) -> None:
        scenario_pass(first, last, pointer, scenario, weights, scenarios.unit_profit, out)

    in_chunks(run, len(out), threads)
    return out
