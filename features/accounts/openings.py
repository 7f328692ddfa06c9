"""Positions and balances that must have been there before the first event: inferred on request only, and flagged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...riskcore.arrays import IntArray
from ..engine.step import State
from .events import NONE, AccountEvents, Kind
from .rebuild import balances, rebuild, start_accounts
from .replay_kernel import NEVER


class OpeningPosition(NamedTuple):
    """A position held before the first event: account, instrument, signed lots, entry price, and who says so."""

    account: int
    instrument: int
    lots: int
    entry: float
    reported: bool


class OpeningBalance(NamedTuple):
    """A balance before the first event: account, asset, and units of the asset."""

    account: int
    asset: int
    amount: float


@dataclass(frozen=True)
class Openings:
    """What accounts held and owned before their first event, as far as later events tell.

    Looking back from later events is not point in time: it serves a study of the past, not a feature.

    Parameters
    ----------
    positions
        Positions; `reported` where a snapshot says so, otherwise the least that the trades need.
    balances
        Balances, from the first balance snapshot of an account and asset.
    unresolved
        (account, instrument) whose trades no opening position fits, or that has one without any price.
    """

    positions: tuple[OpeningPosition, ...]
    balances: tuple[OpeningBalance, ...]
    unresolved: tuple[tuple[int, int], ...]


def start_from(openings: Openings, events: AccountEvents) -> State:
    """State before the first event with what was inferred; its positions are flagged in `inferred`."""
    state = start_accounts(len(events.accounts), events.instruments)
    for held in openings.positions:
        place = held.account, held.instrument
        state["lots"][place], state["entry"][place], state["inferred"][place] = held.lots, held.entry, True
        state["opened"][place] = NEVER
        state["open_positions"][held.account] += 1
    for money in openings.balances:
        state["opening"][money.account, money.asset] = money.amount
    return state


def infer_openings(events: AccountEvents) -> Openings:
    """Positions and balances without which the events cannot have been.

    A position is what the first snapshot of it reports less what was traded until then; without a snapshot, the
    smallest from which every trade that can only reduce (`AccountEvents.closes`) finds enough to close. Its entry price
    is the snapshot's where nothing was traded before it, else the price of the first trade: what it had gained until
    then is part of a balance that is not known either. A balance is what the first snapshot of it reports less what
    the events until then make of nothing.

    Examples
    --------
    >>> from ...riskcore.instruments import InstrumentTable
    >>> times = np.array(["2024-01-01T00:00", "2024-01-01T00:05"], "datetime64[ns]")
    >>> events = AccountEvents.of(InstrumentTable.linear_perpetuals(["BTC"]), ["a"], times, [0, 0],
    ...     [Kind.TRADE, Kind.TRADE], instrument=[0, 0], quantity=[0.5, -2.0], price=[100.0, 90.0],
    ...     closes=[False, True])
    >>> infer_openings(events).positions
    (OpeningPosition(account=0, instrument=0, lots=150000000, entry=100.0, reported=False),)
    >>> with_it = rebuild(events, state=start_from(infer_openings(events), events))
    >>> rebuild(events)["realised"].tolist(), with_it["realised"].tolist()
    ([[-5.0]], [[-20.0]])
    """
    positions, unresolved = [], []
    for own in _by_position(events):
        account, instrument = int(events.account[own[0]]), int(events.instrument[own[0]])
        found = _reported(events, own) or _least(events, own)
        if found is None or (found[0] != 0 and np.isnan(found[1])):
            unresolved.append((account, instrument))
        elif found[0] != 0:
            positions.append(OpeningPosition(account, instrument, *found))
    held = Openings(tuple(positions), (), tuple(unresolved))
    return Openings(held.positions, _opening_balances(events, held), held.unresolved)


def _by_position(events: AccountEvents) -> list[IntArray]:
    """Rows of trades and snapshots of each account and instrument, in order."""
    moves = ((events.kind == Kind.TRADE) | (events.kind == Kind.POSITION)) & (events.instrument != NONE)
    rows = np.flatnonzero(moves)
    keys = events.account[rows] * len(events.instruments) + events.instrument[rows]
    order = np.argsort(keys, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(keys[order])) + 1) if len(rows) else []


def _reported(events: AccountEvents, own: IntArray) -> tuple[int, float, bool] | None:
    """Lots and entry price from the first snapshot; None where there is none."""
    told = np.flatnonzero(events.kind[own] == Kind.POSITION)
    if not len(told):
        return None
    before = own[: told[0]]
    lots = int(events.quantity_lots[own[told[0]]]) - int(events.quantity_lots[before].sum())
    price = float(events.price[own[told[0]]]) if not len(before) else float(events.price[own[0]])
    return lots, _first_price(events, own) if np.isnan(price) else price, True


def _first_price(events: AccountEvents, own: IntArray) -> float:
    traded = own[events.kind[own] == Kind.TRADE]
    return float(events.price[traded[0]]) if len(traded) else float("nan")


def _least(events: AccountEvents, own: IntArray) -> tuple[int, float, bool] | None:
    """The smallest opening, in lots, that leaves every reducing trade enough to close; None where none does."""
    traded = events.quantity_lots[own]
    before = np.cumsum(traded) - traded
    sells = before[events.closes[own] & (traded < 0)] + traded[events.closes[own] & (traded < 0)]
    buys = before[events.closes[own] & (traded > 0)] + traded[events.closes[own] & (traded > 0)]
    least = -int(sells.min()) if len(sells) else np.iinfo(np.int64).min
    most = -int(buys.max()) if len(buys) else np.iinfo(np.int64).max
    if least > most:
        return None
    return min(max(0, least), most), float(events.price[own[0]]), False


def _opening_balances(events: AccountEvents, held: Openings) -> tuple[OpeningBalance, ...]:
    """What the first balance snapshot of each account and asset reports beyond what the events make of nothing."""
    told = np.flatnonzero(events.kind == Kind.BALANCE)
    keys = events.account[told] * len(events.instruments.assets) + events.asset[told]
    _, first = np.unique(keys, return_index=True)
    found, state, seen = [], start_from(held, events), 0
    for row in np.sort(told[first]):
        rebuild(events.take(np.arange(seen, row)), state=state)
        account, asset = int(events.account[row]), int(events.asset[row])
        missing = float(events.amount[row] - balances(state)[account, asset])
        if missing != 0.0:
            found.append(OpeningBalance(account, asset, missing))
        seen = int(row)
    return tuple(found)
