"""Real accounts bar by bar: what each held at every open, priced on a market, and when it was really liquidated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..features.accounts.events import AccountEvents, Kind
from ..features.accounts.faults import cash_known
from ..features.accounts.rebuild import apply_events, balances, start_accounts
from ..riskcore.accounts import AccountBook, csr_pointers
from ..riskcore.arrays import BoolArray, FloatArray, IntArray, TimeArray
from ..riskcore.errors import InputError
from ..riskcore.instruments import InstrumentTable
from ..riskcore.market import MarketHistory

HOUR = np.timedelta64(1, "h")
CASH_SLACK = 5.0
"""Base asset by which an account may fall below zero before its money counts as unknown: what funding can bring."""


@dataclass(frozen=True)
class HeldHours:
    """Accounts with positions at the opens of bars, a row for each account and bar, in order of bar and account.

    Parameters
    ----------
    instruments, accounts
        What the events call the contracts and the accounts.
    account, bar, time
        Account, bar, and the instant of the bar's open, shape (n,).
    quantity, entry
        Signed contracts (0: none) and entry prices (NaN: none), shape (n, I).
    money
        Balances, shape (n, S).
    since_fill
        Hours since the account's last fill, shape (n,).
    cash_known
        Whether nothing has come to light by then that says the money is not what the events tell, shape (n,).
    """

    instruments: InstrumentTable
    accounts: tuple[str, ...]
    account: IntArray
    bar: IntArray
    time: TimeArray
    quantity: FloatArray
    entry: FloatArray
    money: FloatArray
    since_fill: FloatArray
    cash_known: BoolArray

    def __len__(self) -> int:
        return len(self.account)

    def take(self, rows: IntArray | BoolArray) -> HeldHours:
        """These rows, in this order."""
        own = {name: values[rows] for name, values in vars(self).items() if name not in ("instruments", "accounts")}
        return HeldHours(self.instruments, self.accounts, **own)

    @property
    def entry_notional(self) -> FloatArray:
        """Absolute quantities at their entry prices, (n, I): known also where a coin has no mark."""
        worth = np.abs(self.quantity) * np.where(self.quantity != 0, self.entry, 0.0)
        return np.asarray(worth * self.instruments.multiplier)


def held_hours(
    events: AccountEvents,
    history: MarketHistory,
    first_bar: int,
    last_bar: int,
    *,
    cash_slack: float = CASH_SLACK,
) -> HeldHours:
    """Replay the events and note every account with positions at the open of each bar in [first_bar, last_bar).

    An event at the instant of an open counts as known there; nothing later does.

    Parameters
    ----------
    events
        The events.
    history
        Gives the bars; its prices are not looked at.
    first_bar, last_bar
        Bars, the second left out; the bar after the last (`len(history)`) opens when that closes.
    cash_slack
        Base asset; see `CASH_SLACK`.

    Raises
    ------
    InputError
        Bars outside the history.

    Examples
    --------
    Bought at half past the first bar and sold within the second: held at one open.

    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> start = np.datetime64("2024-01-01", "ns")
    >>> minutes = start + np.array([0, 30, 90]) * np.timedelta64(1, "m")
    >>> events = AccountEvents.of(table, ["a"], minutes, [0, 0, 0], [Kind.DEPOSIT, Kind.TRADE, Kind.TRADE],
    ...     instrument=[-1, 0, 0], quantity=[np.nan, 2.0, -2.0], price=[np.nan, 100.0, 110.0], amount=[50.0, 0.0, 0.0])
    >>> price = np.full((3, 1), 100.0)
    >>> history = MarketHistory(table, start + np.arange(3) * HOUR, price, price, price, price, [0], [-1],
    ...     np.zeros((3, 1)))
    >>> held = held_hours(events, history, 0, 4)
    >>> held.bar.tolist(), held.quantity.tolist(), held.money.tolist(), held.since_fill.tolist()
    ([1], [[2.0]], [[50.0]], [0.5])
    """
    if not 0 <= first_bar <= last_bar <= len(history) + 1:
        raise InputError(f"lie outside the history's {len(history)}", column="bars", value=f"{first_bar}:{last_bar}")
    state, seen = start_accounts(len(events.accounts), events.instruments), 0
    rows: list[tuple[NDArray[Any], ...]] = []
    last_fill = np.full(len(events.accounts), np.datetime64("NaT", "ns"))
    bars = np.arange(first_bar, last_bar)
    for bar, now in zip(bars, opens_of(history, bars), strict=True):
        upto = max(seen, events.until(now))
        apply_events(state, events, seen, upto)
        fills = seen + np.flatnonzero(events.kind[seen:upto] == Kind.TRADE)
        last_fill[events.account[fills]] = events.time[fills]
        seen = upto
        own = np.flatnonzero(state["open_positions"] > 0)
        known = cash_known(state, above=cash_slack)[own]
        taken = (state["lots"][own], state["entry"][own], balances(state)[own])
        rows.append((own, np.full(len(own), bar), np.full(len(own), now), *taken, last_fill[own], known))
    account, bar_of, time, lots, entry, money, filled, known = _stacked(rows, events)
    hours = (time - filled) / HOUR
    return HeldHours(
        events.instruments, events.accounts, account, bar_of, time, lots / events.lots, entry, money, hours, known
    )


def opens_of(history: MarketHistory, bars: IntArray) -> TimeArray:
    """Instants at which bars open; the bar after the last has one too."""
    return np.asarray(history.times[0] + bars * history.step)


def _stacked(rows: Sequence[tuple[NDArray[Any], ...]], events: AccountEvents) -> list[NDArray[Any]]:
    n, s = len(events.instruments), len(events.instruments.assets)
    none = np.zeros(0, np.int64)
    empty = (none, none, np.zeros(0, "datetime64[ns]"), np.zeros((0, n)), np.zeros((0, n)), np.zeros((0, s)))
    columns = zip(*rows, strict=True) if rows else ((one,) for one in (*empty, empty[2], none.astype(np.bool_)))
    return [np.concatenate(column) for column in columns]


def is_on_market(held: HeldHours, history: MarketHistory) -> BoolArray:
    """Whether every position of each row has a price at its bar's open: the close before it, shape (n,)."""
    place = places_on(held.instruments, history)
    priced = np.zeros(held.quantity.shape, np.bool_)
    there = place >= 0
    close = history.close[:, history.mark_series]
    seen = held.bar >= 1
    priced[np.ix_(seen, there)] = np.isfinite(close[np.ix_(held.bar[seen] - 1, place[there])])
    return np.asarray((priced | (held.quantity == 0)).all(axis=1))


def places_on(instruments: InstrumentTable, history: MarketHistory) -> IntArray:
    """For each contract of the events its place among those of a market, -1 where that has none of its name."""
    there = {symbol: k for k, symbol in enumerate(history.instruments.symbols)}
    return np.array([there.get(symbol, -1) for symbol in instruments.symbols], np.int64)


def book_on(held: HeldHours, history: MarketHistory) -> AccountBook:
    """The rows as pools on a market's contracts, one cross pool a row; its base asset takes the place of the events'.

    Raises
    ------
    InputError
        A position in a contract that the market does not have, or money in another asset than the base.
    """
    place = places_on(held.instruments, history)
    owner, contract = np.nonzero(held.quantity)
    lacking = place[contract] < 0
    if lacking.any():
        entry = int(np.argmax(lacking))
        name = held.instruments.symbols[contract[entry]]
        raise InputError("is not on the market", row=int(owner[entry]), column="symbol", value=name)
    foreign = np.flatnonzero((held.money[:, 1:] != 0).any(axis=1))
    if len(foreign):
        raise InputError("holds money in another asset than the base", row=int(foreign[0]), column="money")
    order = np.lexsort((place[contract], owner))
    owner, contract = owner[order], contract[order]
    holder = np.flatnonzero(held.money[:, 0])
    return AccountBook(
        history.instruments,
        np.asarray(held.accounts, np.str_)[held.account],
        np.full(len(held), "main"),
        np.full(len(held), ""),
        csr_pointers(holder, len(held)),
        np.zeros(len(holder), np.int64),
        held.money[holder, 0],
        csr_pointers(owner, len(held)),
        place[contract],
        held.quantity[owner, contract],
        held.entry[owner, contract],
        np.full(len(owner), np.nan),
    )


def hours_to_liquidation(events: AccountEvents, account: IntArray, time: TimeArray) -> FloatArray:
    """Hours from an instant to the account's next official liquidation after it; infinite where there is none.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.array(["2024-01-01T03:00"], "datetime64[ns]")
    >>> events = AccountEvents.of(table, ["a", "b"], times, [0], [Kind.LIQUIDATION])
    >>> seen = np.array(["2024-01-01T01:30", "2024-01-01T03:00", "2024-01-01T00:00"], "datetime64[ns]")
    >>> hours_to_liquidation(events, np.array([0, 0, 1]), seen).tolist()
    [1.5, inf, inf]
    """
    out = np.full(len(account), np.inf)
    forced = events.kind == Kind.LIQUIDATION
    for who in np.unique(events.account[forced]):
        instants = events.time[forced & (events.account == who)]
        rows = np.flatnonzero(account == who)
        after = np.searchsorted(instants, time[rows], side="right")
        there = after < len(instants)
        out[rows[there]] = (instants[after[there]] - time[rows[there]]) / HOUR
    return out


def known_until(events: AccountEvents, time: TimeArray, hours: float) -> BoolArray:
    """Whether the records reach `hours` beyond each instant: what did not happen by then is known not to have."""
    return np.asarray(time + np.timedelta64(round(hours * 3600), "s") <= events.time[-1])


@dataclass(frozen=True)
class Coverage:
    """How much of what accounts held has a price; rows are accounts at bar opens.

    Parameters
    ----------
    hours, priced, trusted
        Rows; those with a price for every leg; of these, those of accounts whose money is not known to be incomplete.
    notional, priced_notional
        Sum of absolute notionals at entry prices over the rows, and over those priced, base asset.
    liquidations, seen
        Official liquidations in the period, and those of which the account was among the priced and trusted rows at
        the last open before.
    lacking
        Rows that hold each contract without a price, by name.
    """

    hours: int
    priced: int
    trusted: int
    notional: float
    priced_notional: float
    liquidations: int
    seen: int
    lacking: dict[str, int]


def coverage_of(held: HeldHours, history: MarketHistory, events: AccountEvents) -> Coverage:
    """Count what of the held rows can be scored on a market."""
    priced = is_on_market(held, history)
    kept = held.take(priced & held.cash_known)
    last_bar = np.timedelta64(history.step, "ns") / HOUR
    ahead = hours_to_liquidation(events, kept.account, kept.time)
    symbols: Sequence[str] = held.instruments.symbols
    place = places_on(held.instruments, history)
    unpriced = [int((held.quantity[:, k] != 0)[~priced].sum()) if place[k] < 0 else 0 for k in range(len(symbols))]
    worth = held.entry_notional.sum(axis=1)
    inside = (events.kind == Kind.LIQUIDATION) & (events.time >= held.time[0])
    return Coverage(
        len(held),
        int(priced.sum()),
        len(kept),
        float(worth.sum()),
        float(worth[priced].sum()),
        int(inside.sum()),
        int((ahead <= last_bar).sum()),
        {name: count for name, count in zip(symbols, unpriced, strict=True) if count},
    )
