"""When each pool is first liquidated over a price history: the labels everything is trained and judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .accounts import AccountBook
from .arrays import BoolArray, FloatArray, IntArray, require
from .compiled import compile_book, compile_rules
from .errors import InputError
from .instruments import require_same_instruments
from .margin import in_chunks
from .margin_layout import lay_out
from .passage_kernel import BREACHED, first_passage_pass
from .price_pyramid import PricePyramid
from .rulebook import RuleBook

Points = Literal["extremes", "close"]


@dataclass(frozen=True)
class Outcome:
    """What became of each pool with its positions frozen from its start on.

    Parameters
    ----------
    start
        Bar at whose open the pool was seen, shape (n_pools,).
    breach_bar
        First bar in breach, or the bar whose price is missing if `ended` is GAP; -1 otherwise.
    ended
        CENSORED (0): lived to the horizon; BREACHED (1); GAP (2): a price it needs is missing; DATA_END (3): the
        history ends before the horizon. A pool without positions cannot be liquidated, whatever it owes.
    equity
        Lowest equity of the states of the bar that are in breach, base asset; NaN where there was none.
    horizon
        Bars that were looked at from the start on.
    """

    start: IntArray
    breach_bar: IntArray
    ended: NDArray[np.int8]
    equity: FloatArray
    horizon: int

    def within(self, bars: int) -> BoolArray:
        """Whether each pool was liquidated in its first `bars` bars; more than `horizon` raises InputError.

        False where a missing price hid it: `priced_bars` says how far ahead it is known.
        """
        if not 1 <= bars <= self.horizon:
            raise InputError(f"needs a horizon from 1 to the {self.horizon} bars looked at", column="bars", value=bars)
        return np.asarray((self.ended == BREACHED) & (self.breach_bar - self.start < bars))

    @property
    def shortfall(self) -> FloatArray:
        """Loss beyond collateral at the breach, base asset: 0 where equity was positive or there was no breach."""
        return np.where(self.ended == BREACHED, np.maximum(-self.equity, 0.0), 0.0)


def first_passage(
    book: AccountBook,
    pyramid: PricePyramid,
    rules: RuleBook,
    start: ArrayLike,
    *,
    horizon: int,
    points: Points = "extremes",
    threads: int = 1,
    use_blocks: bool = True,
) -> Outcome:
    """First bar in which each pool's equity falls below its maintenance margin, positions frozen, funding charged.

    Within a bar a pool is looked at with every price at its low, every price at its high and every price at its close
    (`points="extremes"`): exact for one leg, and for several legs that reach their extremes together. `points="close"`
    looks at closes only. Funding falls due at bar opens after the start.

    Parameters
    ----------
    book
        Pools, one a row; entry prices fix the equity at the start.
    pyramid
        The price history, from `build_pyramid`.
    rules
        Rules in force; the trigger is strict or not as they say.
    start
        Bar at whose open each pool is seen; its first bar of life. Shape (n_pools,) or a scalar.
    horizon
        Bars to look ahead; one pass serves every shorter horizon (`Outcome.within`).
    threads
        Does not change the result.
    use_blocks
        False looks at every bar, the plain way that the bounds are tested against.

    Raises
    ------
    InputError
        A start outside the history, a horizon below one bar, a missing tier table, a book of other instruments than
        the history's.

    Notes
    -----
    Each leg's value less its maintenance margin is monotone in its price but for jumps of its tiers, which are allowed
    for, so the sum of every leg's worst case over a block of bars bounds the pool's headroom; a block whose bound is
    positive holds no breach. Bounds are compared with a slack and only whole blocks are skipped: a breach is always
    decided by the exact margin.

    Examples
    --------
    A long of 1 BTC from 100 with 20 USDT at 10% maintenance is liquidated below 80 / 0.9 = 88.9:

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .market import MarketHistory
    >>> from .price_pyramid import build_pyramid
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(1, "h")
    >>> p = np.array([[100.0], [95.0], [89.0], [88.0]])
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1], np.zeros((4, 1)))
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [20.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> outcome = first_passage(book, build_pyramid(history), rules, 1, horizon=3)
    >>> outcome.breach_bar.tolist(), outcome.equity.tolist(), outcome.within(2).tolist()
    ([3], [8.0], [False])
    """
    require_same_instruments(book.instruments, pyramid.history.instruments)
    if horizon < 1:
        raise InputError("must be at least one bar", column="horizon", value=horizon)
    if points not in ("extremes", "close"):
        raise InputError('must be "extremes" or "close"', column="points", value=points)
    starts = starts_of(start, len(book), pyramid.bars)
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    breach_bar, ended = np.empty(len(book), dtype=np.int64), np.empty(len(book), dtype=np.int8)
    equity = np.empty(len(book))

    def run(first: int, last: int) -> None:
        first_passage_pass(
            first,
            last,
            layout,
            pyramid.arrays,
            starts,
            horizon,
            rules.strict_trigger,
            points == "close",
            use_blocks,
            breach_bar,
            ended,
            equity,
        )

    in_chunks(run, len(book), threads)
    return Outcome(starts, breach_bar, ended, equity, horizon)


def starts_of(start: ArrayLike, pools: int, bars: int) -> IntArray:
    """The start bar of each pool, given as one or as many; InputError where it is outside the history."""
    starts = np.asarray(start, dtype=np.int64)
    if starts.shape not in ((), (pools,)):
        raise InputError(f"has shape {starts.shape}, expected ({pools},)", column="start")
    starts = np.ascontiguousarray(np.broadcast_to(starts, (pools,)))
    require((starts >= 0) & (starts <= bars), starts, f"is outside the history's {bars} bars", "start")
    return starts
