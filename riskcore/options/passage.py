"""When pools that hold options are first liquidated over a history of prices and volatilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ..accounts import AccountBook
from ..arrays import FloatArray, IntArray, TimeArray, frozen, require, require_pointers
from ..compiled import compile_book, compile_rules
from ..errors import InputError
from ..first_passage import Outcome, starts_of
from ..instruments import require_same_instruments
from ..margin import in_chunks
from ..margin_layout import lay_out
from ..price_pyramid import PricePyramid
from ..rulebook import NO_HAIRCUT, RuleBook
from .passage_kernel import OptionLegs, option_passage_pass

YEAR = np.timedelta64(365, "D")
DERIBIT_ADD_ON: Mapping[str, tuple[float, float, float]] = {"call": (0.0, 0.075, 0.0), "put": (0.0, 0.075, 0.075)}
"""Maintenance of short options on Deribit (standard margin) beyond their value; source: VENUES.md section 1."""


@dataclass(frozen=True)
class OptionPositions:
    """European options held by the pools of a book, settled in its base asset, and how a history prices them.

    Parameters
    ----------
    pointer, contract, quantity
        Positions in CSR form: those of pool p are pointer[p] : pointer[p + 1]; row of the contract table and signed
        units of the underlying.
    price_series, volatility_series
        Columns of the history: the forward of each contract, and the volatility it follows (fraction a year).
    volatility_ratio
        The contract's own implied volatility over that series, kept as the series moves: an assumption about the smile.
    strike, right, expiry
        Contract terms; right is CALL (1) or PUT (-1), expiry UTC datetime64[ns].
    add_on
        Maintenance of short options beyond their value, by "call" and "put": the largest of rate * price less what it
        is out of the money, least rate * price, and rate * value.
    long_counts
        Whether what a long option is worth counts as equity.

    Raises
    ------
    InputError
        A quantity of zero, a strike or ratio that is not positive, an unknown contract, pointers that do not fit.
    """

    pointer: IntArray
    contract: IntArray
    quantity: FloatArray
    price_series: IntArray
    volatility_series: IntArray
    volatility_ratio: FloatArray
    strike: FloatArray
    right: FloatArray
    expiry: TimeArray
    add_on: Mapping[str, tuple[float, float, float]] = field(default_factory=lambda: DERIBIT_ADD_ON)
    long_counts: bool = True

    def __post_init__(self) -> None:
        kinds = {name: np.int64 for name in ("pointer", "contract", "price_series", "volatility_series")}
        for name in ("quantity", "volatility_ratio", "strike", "right"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        for name, kind in kinds.items():
            object.__setattr__(self, name, frozen(getattr(self, name), kind))
        object.__setattr__(self, "expiry", frozen(self.expiry, "datetime64[ns]"))
        self._check()

    def _check(self) -> None:
        n = len(self.strike)
        for name in ("price_series", "volatility_series", "volatility_ratio", "right", "expiry"):
            if getattr(self, name).shape != (n,):
                raise InputError(f"has shape {getattr(self, name).shape}, expected ({n},)", column=name)
        if self.quantity.shape != self.contract.shape:
            raise InputError(f"has shape {self.quantity.shape}, expected {self.contract.shape}", column="quantity")
        require_pointers(self.pointer, len(self.pointer) - 1, len(self.contract), "pointer")
        require((self.contract >= 0) & (self.contract < n), self.contract, "unknown contract", "contract")
        require(np.isfinite(self.quantity) & (self.quantity != 0), self.quantity, "must not be zero", "quantity")
        for name in ("strike", "volatility_ratio"):
            column = getattr(self, name)
            require((column > 0) & np.isfinite(column), column, "must be positive", name)
        require(np.abs(self.right) == 1, self.right, "must be 1 (call) or -1 (put)", "right")


def option_first_passage(
    book: AccountBook,
    options: OptionPositions,
    pyramid: PricePyramid,
    rules: RuleBook,
    start: ArrayLike,
    *,
    horizon: int,
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
    options
        The options of each pool; what was paid for them is in the balances.

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
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(1, "h")
    >>> p = np.column_stack(([100.0, 130.0, 170.0, 170.0], [1e-9] * 4))
    >>> history = MarketHistory(InstrumentTable.linear_perpetuals([]), times, p, p, p, p, [], [-1], np.zeros((4, 0)))
    >>> book = AccountBook(history.instruments, ["a"], ["m"], [""], [0, 1], [0], [60.0], [0, 0], [], [], [], [])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {})
    >>> call = OptionPositions([0, 1], [0], [-1.0], [0], [1], [1.0], [100.0], [1], [np.datetime64("2024-01-02")])
    >>> outcome = option_first_passage(book, call, build_pyramid(history), rules, 1, horizon=3)
    >>> outcome.breach_bar.tolist(), outcome.equity.round(6).tolist()
    ([2], [-10.0])
    """
    require_same_instruments(book.instruments, pyramid.history.instruments)
    if horizon < 1:
        raise InputError("must be at least one bar", column="horizon", value=horizon)
    if rules.haircut_of(book.instruments.base, book.instruments.base) is not NO_HAIRCUT:
        raise InputError("options need a base asset without a haircut", column="asset", value=book.instruments.base)
    starts = starts_of(start, len(book), pyramid.bars)
    legs = _legs(options, pyramid, starts)
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


def _legs(options: OptionPositions, pyramid: PricePyramid, starts: IntArray) -> OptionLegs:
    history = pyramid.history
    if len(options.pointer) != len(starts) + 1:
        raise InputError(f"has {len(options.pointer) - 1} pools, the book {len(starts)}", column="pointer")
    for name in ("price_series", "volatility_series"):
        series = getattr(options, name)
        require((series >= 0) & (series < history.close.shape[1]), series, "is not a series of the history", name)
    away = (options.expiry - history.times[0]) / history.step
    require(away == np.floor(away), options.expiry, "expiry is not the open of a bar", "expiry")
    expiry_bar = away.astype(np.int64)
    pool = np.repeat(np.arange(len(starts)), np.diff(options.pointer))
    alive = expiry_bar[options.contract] > starts[pool]
    require(alive, options.expiry[options.contract], "option has expired at the start", "expiry")
    return OptionLegs(
        options.pointer,
        options.contract,
        options.quantity,
        options.price_series,
        options.volatility_series,
        options.volatility_ratio,
        options.strike,
        options.right,
        expiry_bar,
        np.array([options.add_on["call"], options.add_on["put"]], np.float64),
        float(history.step / YEAR),
        float(options.long_counts),
    )
