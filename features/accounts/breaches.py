"""When rebuilt accounts would have been liquidated: the bars in which each of their states was in breach."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...riskcore.accounts import AccountBook, csr_pointers
from ...riskcore.arrays import BoolArray, FloatArray, IntArray, TimeArray
from ...riskcore.first_passage import first_passage
from ...riskcore.instruments import InstrumentTable, require_same_instruments
from ...riskcore.market import MarketHistory
from ...riskcore.passage_kernel import BREACHED
from ...riskcore.price_pyramid import build_pyramid
from ...riskcore.rulebook import RuleBook
from .events import AccountEvents, Kind
from .rebuild import apply_events, balances, start_accounts


@dataclass(frozen=True)
class StateSpans:
    """States accounts were in and the bars through which each lasted.

    Parameters
    ----------
    account
        Account of each span, shape (n,).
    time
        Instant from which the state held.
    first, last
        Bars, both included.
    in_bar
        The state began within bar `first`, and this is what was left of that bar. The bars after are a span of their
        own.
    changed
        The state ended within bar `last`, when the account changed again.
    lots, entry, money
        Signed lots and entry prices, (n, I), and balances, (n, S).
    """

    account: IntArray
    time: TimeArray
    first: IntArray
    last: IntArray
    in_bar: BoolArray
    changed: BoolArray
    lots: IntArray
    entry: FloatArray
    money: FloatArray

    def __len__(self) -> int:
        return len(self.account)

    def take(self, rows: IntArray) -> StateSpans:
        """These spans."""
        return StateSpans(**{name: values[rows] for name, values in vars(self).items()})


class Episode(NamedTuple):
    """Bars on end in which one account was in breach.

    `certain` unless all of it is `partial`; `equity` is the lowest, base asset.
    """

    account: int
    first: int
    last: int
    certain: bool
    equity: float


@dataclass(frozen=True)
class Breaches:
    """Every bar in which a state of an account was in breach, in order of account and bar.

    Parameters
    ----------
    account, bar, time
        Which account, in which bar, and the bar's open.
    equity
        Lowest equity of those states of the bar's prices that are in breach, base asset.
    partial
        The state held in a part of the bar only: whether the bar's extremes fell into it is not known.
    unpriced
        Bars in which each account held a position without a mark, shape (A,): nothing is known of those.
    """

    account: IntArray
    bar: IntArray
    time: TimeArray
    equity: FloatArray
    partial: BoolArray
    unpriced: IntArray

    def __len__(self) -> int:
        return len(self.account)

    def episodes(self) -> list[Episode]:
        """Bars on end taken together: the first of an episode is when the account would have been liquidated."""
        if not len(self):
            return []
        apart = (np.diff(self.account) != 0) | (np.diff(self.bar) > 1)
        edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(self)]
        return [self._episode(slice(*pair)) for pair in pairwise(edges)]

    def _episode(self, rows: slice) -> Episode:
        bars = self.bar[rows]
        certain, lowest = not self.partial[rows].all(), float(self.equity[rows].min())
        return Episode(int(self.account[rows][0]), int(bars[0]), int(bars[-1]), certain, lowest)


def state_spans(events: AccountEvents, history: MarketHistory) -> StateSpans:
    """Every state with positions that accounts were in during the history, one for each instant at which one changed.

    A state that began within a bar gives two spans: the rest of that bar (`in_bar`), and the bars from the next on up
    to the one in which the account changed again.
    """
    require_same_instruments(events.instruments, history.instruments)
    account, time, lots, entry, money = _snapshots(events)
    offset = time - history.times[0]
    bar, on_open = offset // history.step, offset % history.step == np.timedelta64(0)
    changes_again = np.append(account[1:] == account[:-1], False)
    next_on_open = np.roll(on_open, -1)
    until = np.where(changes_again, np.roll(bar, -1) - next_on_open, len(history) - 1)
    whose = np.tile(np.arange(len(account)), 2)
    first, last = np.concatenate((bar + ~on_open, bar)), np.concatenate((until, bar))
    in_bar = np.repeat([False, True], len(account))
    kept = np.where(in_bar, ~on_open[whose] & (bar[whose] >= 0), last >= np.maximum(first, 0))
    kept &= (first < len(history)) & (lots[whose] != 0).any(axis=1)
    first, last = np.maximum(first, 0), np.minimum(last, len(history) - 1)
    changed, owner = (changes_again & ~next_on_open)[whose], account[whose]
    spans = StateSpans(owner, time[whose], first, last, in_bar, changed, lots[whose], entry[whose], money[whose])
    rows = np.flatnonzero(kept)
    return spans.take(rows[np.lexsort((~in_bar[rows], time[whose][rows], owner[rows]))])


def _snapshots(events: AccountEvents) -> tuple[IntArray, TimeArray, IntArray, FloatArray, FloatArray]:
    """Account, instant, lots, entry prices and balances after each instant at which an account changed."""
    state = start_accounts(len(events.accounts), events.instruments)
    edges = np.append(
        np.flatnonzero(np.diff(events.time, prepend=events.time[:1] - 1) != np.timedelta64(0)), len(events)
    )
    who, when, lots, entry, money = [], [], [], [], []
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        apply_events(state, events, first, last)
        own = np.unique(events.account[first:last][events.kind[first:last] <= Kind.WITHDRAWAL])
        who.append(own)
        when.append(np.full(len(own), events.time[first]))
        lots.append(state["lots"][own])
        entry.append(state["entry"][own])
        money.append(balances(state)[own])
    if not who:
        empty = np.zeros(0, np.int64)
        return empty, events.time, state["lots"][:0], state["entry"][:0], balances(state)[:0]
    account = np.concatenate(who)
    order = np.argsort(account, kind="stable")
    held, owned = np.concatenate(lots)[order], np.concatenate(money)[order]
    return account[order], np.concatenate(when)[order], held, np.concatenate(entry)[order], owned


def find_breaches(events: AccountEvents, history: MarketHistory, rules: RuleBook) -> Breaches:
    """Every bar in which a state that accounts went through is in breach.

    Parameters
    ----------
    events
        The events.
    history
        Marks on the instruments of the events. Funding is charged as it says; funding among the events is in the
        balances already, so a history used with those has none.
    rules
        Rules that hold throughout.

    Returns
    -------
    Breaches
        Within a bar, a state is looked at with every price at its low, at its high and at its close (`first_passage`).
        A bar without a mark that is needed is passed over and counted. A state in breach is looked at again in the next
        bar: an account that was not liquidated lived on.

    Examples
    --------
    Long 1 from 100 with 20 at 10% maintenance, liquidated below 80 / 0.9 = 88.9; the first bar only has what came
    before the trade at half past:

    >>> import datetime as dt
    >>> from ...riskcore.rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> start = np.datetime64("2024-01-01", "ns")
    >>> close = np.array([[100.0], [95.0], [85.0]])
    >>> low = np.array([[88.0], [95.0], [84.0]])
    >>> history = MarketHistory(table, start + np.arange(3) * np.timedelta64(1, "h"), close, close, low, close,
    ...     [0], [-1], np.zeros((3, 1)))
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> events = AccountEvents.of(table, ["a"], [start, start + np.timedelta64(30, "m")], [0, 0],
    ...     [Kind.DEPOSIT, Kind.TRADE], instrument=[-1, 0], quantity=[np.nan, 1.0], price=[np.nan, 100.0],
    ...     amount=[20.0, 0.0])
    >>> found = find_breaches(events, history, rules)
    >>> found.bar.tolist(), found.partial.tolist(), found.equity.tolist()
    ([0, 2], [True, False], [8.0, 4.0])
    """
    spans = state_spans(events, history)
    pyramid = build_pyramid(history)
    known = _known_bars(spans, history)
    unpriced = np.zeros(len(events.accounts), np.int64)
    for row in np.flatnonzero(~spans.in_bar):
        bars = slice(spans.first[row], spans.last[row] + 1)
        unpriced[spans.account[row]] += np.count_nonzero(~known[row][bars])
    start, found = spans.first.copy(), []
    pending = np.arange(len(spans))
    while len(pending):
        start[pending] = [_next_known(known[row], start[row]) for row in pending]
        pending = pending[start[pending] <= spans.last[pending]]
        if not len(pending):
            break
        own = spans.take(pending)
        horizon = int((own.last - start[pending]).max()) + 1
        book = _book_of_spans(own, events.instruments, events.lots)
        outcome = first_passage(book, pyramid, rules, start[pending], horizon=horizon)
        inside = (outcome.breach_bar >= 0) & (outcome.breach_bar <= own.last)
        hit = inside & (outcome.ended == BREACHED)
        found += [*zip(pending[hit], outcome.breach_bar[hit], outcome.equity[hit], strict=True)]
        start[pending[inside]] = outcome.breach_bar[inside] + 1
        pending = pending[inside]
    return _breaches(found, spans, history, unpriced)


def _known_bars(spans: StateSpans, history: MarketHistory) -> BoolArray:
    """Whether every position of each span has a mark in each bar, shape (n_spans, T)."""
    absent = np.isnan(history.close[:, history.mark_series])
    return (
        np.stack([~absent[:, held].any(axis=1) for held in spans.lots != 0]) if len(spans) else np.empty((0, 0), bool)
    )


def _next_known(known: BoolArray, bar: int) -> int:
    """First bar from `bar` on with all prices; the number of bars where there is none."""
    rest = known[bar:]
    return int(bar + np.argmax(rest)) if rest.any() else len(known)


def _book_of_spans(spans: StateSpans, instruments: InstrumentTable, lots: FloatArray) -> AccountBook:
    holder, asset = np.nonzero(spans.money)
    owner, place = np.nonzero(spans.lots)
    n = len(spans)
    return AccountBook(
        instruments,
        spans.account.astype(np.str_),
        np.full(n, "main"),
        np.full(n, ""),
        csr_pointers(holder, n),
        asset,
        spans.money[holder, asset],
        csr_pointers(owner, n),
        place,
        spans.lots[owner, place] / lots[place],
        spans.entry[owner, place],
        np.full(len(place), np.nan),
    )


def _breaches(
    found: list[tuple[int, int, float]], spans: StateSpans, history: MarketHistory, unpriced: IntArray
) -> Breaches:
    row = np.array([one[0] for one in found], np.int64)
    bar = np.array([one[1] for one in found], np.int64)
    equity = np.array([one[2] for one in found], np.float64)
    order = np.lexsort((row, bar, spans.account[row]))
    row, bar = row[order], bar[order]
    partial = spans.in_bar[row] | (spans.changed[row] & (bar == spans.last[row]))
    return Breaches(spans.account[row], bar, history.times[bar], equity[order], partial, unpriced)
