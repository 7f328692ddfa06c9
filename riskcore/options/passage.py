"""When pools that hold options are first liquidated over a history of prices and volatilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..accounts import AccountBook
from ..arrays import FloatArray, IntArray, frozen, require
from ..compiled import compile_book, compile_rules
from ..errors import InputError
from ..first_passage import Outcome, starts_of
from ..instruments import require_same_instruments
from ..margin import in_chunks
from ..margin_layout import lay_out
from ..price_pyramid import PricePyramid
from ..rulebook import RuleBook
from .option_holdings import OptionHoldings, require_options_fit
from .passage_kernel import OptionLegs, option_passage_pass
from .short_option import RATES, ShortOptionRules

YEAR = np.timedelta64(365, "D")


@dataclass(frozen=True)
class OptionSeries:
    """How a history prices each contract of an `OptionTable`.

    Parameters
    ----------
    price, volatility
        Columns of the history: the forward, and the volatility the contract follows (fraction a year), shape
        (n_contracts,).
    ratio
        The contract's own implied volatility over that series, kept as the series moves: an assumption about the smile.

    Raises
    ------
    InputError
        Columns of different lengths, a ratio that is not positive.
    """

    price: IntArray
    volatility: IntArray
    ratio: FloatArray

    def __post_init__(self) -> None:
        for name, kind in (("price", np.int64), ("volatility", np.int64), ("ratio", np.float64)):
            object.__setattr__(self, name, frozen(getattr(self, name), kind))
            if getattr(self, name).shape != self.price.shape:
                found = getattr(self, name).shape
                raise InputError(f"has shape {found}, expected {self.price.shape}", column=name)
        require((self.ratio > 0) & np.isfinite(self.ratio), self.ratio, "must be positive", "ratio")


def option_first_passage(
    book: AccountBook,
    held: OptionHoldings,
    series: OptionSeries,
    pyramid: PricePyramid,
    rules: RuleBook,
    short_rules: ShortOptionRules,
    start: ArrayLike,
    *,
    horizon: int,
    long_counts: bool = True,
    threads: int = 1,
    use_blocks: bool = True,
) -> Outcome:
    """First bar in which the headroom of each pool, its options included, is gone.

    `first_passage` for pools that also hold options: within a bar every price and volatility is at its low, at its high
    or at its close; an option that expires is exercised at the close before. Option values are Black-76, undiscounted.

    Parameters
    ----------
    book, pyramid, rules, start, horizon, threads, use_blocks
        As in `first_passage`; the history holds the volatilities among its series.
    held, series
        The options of each pool, and how the history prices them.
    short_rules, long_counts
        As in `evaluate_options`.

    Raises
    ------
    InputError
        What `first_passage` refuses; an expiry off the bar grid, an option that has expired at the start of a pool
        that holds it, a series the history lacks, a base asset with a haircut (an option's value would be cut too).

    Examples
    --------
    Short one call struck at 100 with 60 of cash. At 130 it is worth 30 and must hold 9.75 more, at 170 70 and 12.75:

    >>> import datetime as dt
    >>> from ..instruments import InstrumentTable
    >>> from ..market import MarketHistory
    >>> from ..price_pyramid import build_pyramid
    >>> from .option_table import OptionTable
    >>> from .short_option import load_short_option_rules
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(1, "h")
    >>> p = np.column_stack(([100.0, 130.0, 170.0, 170.0], [1e-9] * 4))
    >>> history = MarketHistory(InstrumentTable.linear_perpetuals([]), times, p, p, p, p, [], [-1], np.zeros((4, 0)))
    >>> book = AccountBook(history.instruments, ["a"], ["m"], [""], [0, 1], [0], [60.0], [0, 0], [], [], [], [])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {})
    >>> call = OptionTable(("C",), ("BTC",), [np.datetime64("2024-01-02")], [100.0], [1], [1.0])
    >>> held, series = OptionHoldings(call, [0, 1], [0], [-1.0]), OptionSeries([0], [1], [1.0])
    >>> deribit = load_short_option_rules("deribit_options")
    >>> outcome = option_first_passage(book, held, series, build_pyramid(history), rules, deribit, 1, horizon=3)
    >>> outcome.breach_bar.tolist(), outcome.equity.round(6).tolist()
    ([2], [-10.0])
    """
    require_same_instruments(book.instruments, pyramid.history.instruments)
    if horizon < 1:
        raise InputError("must be at least one bar", column="horizon", value=horizon)
    require_options_fit(book, held, rules)
    starts = starts_of(start, len(book), pyramid.bars)
    legs = _legs(held, series, pyramid, starts, short_rules, long_counts)
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    breach_bar, ended = np.empty(len(book), dtype=np.int64), np.empty(len(book), dtype=np.int8)
    equity = np.empty(len(book))

    def run(first: int, last: int) -> None:
        option_passage_pass(
            first,
            last,
            layout,
            legs,
            pyramid.arrays,
            starts,
            horizon,
            rules.strict_trigger,
            use_blocks,
            breach_bar,
            ended,
            equity,
        )

    in_chunks(run, len(book), threads)
    return Outcome(starts, breach_bar, ended, equity, horizon)


def _legs(
    held: OptionHoldings,
    series: OptionSeries,
    pyramid: PricePyramid,
    starts: IntArray,
    short_rules: ShortOptionRules,
    long_counts: bool,
) -> OptionLegs:
    history, terms = pyramid.history, held.contracts
    if len(series.price) != len(terms):
        raise InputError(f"has {len(series.price)} contracts, the table {len(terms)}", column="price")
    for name in ("price", "volatility"):
        column = getattr(series, name)
        require((column >= 0) & (column < history.close.shape[1]), column, "is not a series of the history", name)
    away = (terms.expiry - history.times[0]) / history.step
    require(away == np.floor(away), terms.expiry, "expiry is not the open of a bar", "expiry")
    expiry_bar = away.astype(np.int64)
    alive = expiry_bar[held.contract] > starts[held.pool]
    require(alive, terms.expiry[held.contract], "option has expired at the start", "expiry")
    rates = short_rules.call_maintenance, short_rules.put_maintenance
    return OptionLegs(
        held.pointer,
        held.contract,
        held.units,
        series.price,
        series.volatility,
        series.ratio,
        terms.strike,
        terms.right.astype(np.float64),
        expiry_bar,
        np.array([[getattr(rate, name) for name in RATES] for rate in rates]),
        float(history.step / YEAR),
        float(long_counts),
    )
