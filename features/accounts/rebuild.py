"""Accounts rebuilt from their events: what each held and owned at any instant, whole histories or event by event.

Numbers: quantities are counted as integers of lots, so a position is flat or it is not; money and entry prices are
floating-point numbers added in the order of the events, with an error below 1e-10 of the money moved. Batch and stream
run the same arithmetic in the same order and agree in every bit, also through a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ...riskcore.accounts import AccountBook, csr_pointers
from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ...riskcore.instruments import InstrumentTable
from ..engine.step import State
from .events import AccountEvents, Kind
from .replay_kernel import CASH_ROUNDING, FAULTS, FLOWS, NEVER, StateArrays, replay


def start_accounts(accounts: int, instruments: InstrumentTable) -> State:
    """State of accounts before their first event: flat, without money.

    Parameters
    ----------
    accounts
        How many accounts there are, A.
    instruments
        The contracts, I of them, and S assets.

    Returns
    -------
    State
        Named arrays, and nothing else, so that `np.savez` is a checkpoint:

        * lots, entry, opened, inferred: (A, I), signed lots, entry price (NaN: flat), instant the position was opened
          in nanoseconds since 1970, and whether it was inferred (`infer_openings`);
        * opening, deposited, withdrawn, realised, fees, funding, moved: (A, S), sums in units of the asset;
        * by_kind: (A, kinds), number of events; without_fee, last_deposit, open_positions: (A,);
        * fault_count, fault_first, fault_largest: (A, faults), see `history_faults`;
        * flow: (A, flows), sums since they were last cleared, see `account_bars`;
        * last: (1,), instant of the last event.
    """
    held, money = (accounts, len(instruments)), (accounts, len(instruments.assets))
    sums = ("opening", "deposited", "withdrawn", "realised", "fees", "funding", "moved")
    return {
        "lots": np.zeros(held, np.int64),
        "entry": np.full(held, np.nan),
        "opened": np.full(held, NEVER),
        "inferred": np.zeros(held, np.bool_),
        "open_positions": np.zeros(accounts, np.int64),
        **{name: np.zeros(money) for name in sums},
        "by_kind": np.zeros((accounts, len(Kind)), np.int64),
        "without_fee": np.zeros(accounts, np.int64),
        "last_deposit": np.full(accounts, NEVER),
        "fault_count": np.zeros((accounts, FAULTS), np.int64),
        "fault_first": np.full((accounts, FAULTS), NEVER),
        "fault_largest": np.zeros((accounts, FAULTS)),
        "flow": np.zeros((accounts, FLOWS)),
        "last": np.full(1, NEVER),
    }


def with_more_accounts(state: State, more: int, instruments: InstrumentTable) -> State:
    """The state with `more` accounts behind those it has: a stream may bring new ones.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> with_more_accounts(start_accounts(2, table), 3, table)["lots"].shape
    (5, 1)
    """
    new = start_accounts(more, instruments)
    return {name: values if name == "last" else np.concatenate((values, new[name])) for name, values in state.items()}


def apply_events(state: State, events: AccountEvents, first: int = 0, last: int | None = None) -> None:
    """Apply events first .. last - 1 to a state, in place; `last` None: to the end.

    Raises
    ------
    InputError
        An event before the last one the state has seen, or a state of other accounts or instruments.
    """
    end = len(events) if last is None else last
    if state["lots"].shape != (len(events.accounts), len(events.instruments)):
        raise InputError("is of other accounts or instruments than the events", column="state")
    if first >= end:
        return
    time = events.time[first]
    if time.astype(np.int64) < state["last"][0]:
        raise InputError("is before the last event applied", row=first, column="time", value=str(time))
    replay(events.arrays, StateArrays(**state), first, end)


def rebuild(events: AccountEvents, *, state: State | None = None) -> State:
    """State after all events; from `state` on, which is changed, or from the start.

    Examples
    --------
    Bought 1 at 100 and 1 at 110, sold 3 at 120: 2 * (120 - 105) = 30 realised, and short 1 from 120.

    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(1, "m")
    >>> kinds, places = [Kind.DEPOSIT, Kind.TRADE, Kind.TRADE, Kind.TRADE], [-1, 0, 0, 0]
    >>> events = AccountEvents.of(table, ["a"], times, [0] * 4, kinds, instrument=places,
    ...     quantity=[np.nan, 1, 1, -3], price=[np.nan, 100, 110, 120], amount=[50.0, np.nan, np.nan, np.nan])
    >>> state = rebuild(events)
    >>> float(state["realised"][0, 0]), float(state["entry"][0, 0]), balances(state).tolist()
    (30.0, 120.0, [[80.0]])
    """
    state = start_accounts(len(events.accounts), events.instruments) if state is None else state
    apply_events(state, events)
    return state


def balances(state: State) -> FloatArray:
    """Balance of each account in each asset, (A, S): opening, deposits less withdrawals, profit, less fees, funding.

    What is smaller than the rounding of the money moved (1e-10 of it) is zero: an account that was emptied is empty.
    """
    money = state["opening"] + state["deposited"]
    money = money - state["withdrawn"]
    money = money + state["realised"]
    money = money - state["fees"]
    money = money + state["funding"]
    return np.where(np.abs(money) > CASH_ROUNDING * state["moved"], money, 0.0)


def book_of(
    state: State, accounts: Sequence[str], instruments: InstrumentTable, lots: FloatArray, rows: IntArray | None = None
) -> AccountBook:
    """The accounts of a state as the margin core reads them: one cross pool each, balances of zero left out.

    Parameters
    ----------
    state, accounts, instruments
        The state, and what it is of.
    lots
        Lots a contract, as in `AccountEvents`.
    rows
        Accounts wanted; None: all.
    """
    wanted = np.arange(len(accounts)) if rows is None else np.asarray(rows, np.int64)
    money, held = balances(state)[wanted], state["lots"][wanted]
    holder, asset = np.nonzero(money)
    owner, place = np.nonzero(held)
    return AccountBook(
        instruments,
        np.asarray(accounts, np.str_)[wanted],
        np.full(len(wanted), "main"),
        np.full(len(wanted), ""),
        csr_pointers(holder, len(wanted)),
        asset,
        money[holder, asset],
        csr_pointers(owner, len(wanted)),
        place,
        held[owner, place] / lots[place],
        state["entry"][wanted][owner, place],
        np.full(len(place), np.nan),
    )


def states_at(events: AccountEvents, times: ArrayLike, *, state: State | None = None) -> list[AccountBook]:
    """The accounts as they stood at some instants, every event at or before it counted.

    Parameters
    ----------
    events
        The events.
    times
        Instants, UTC, not falling.
    state
        Where to start from, which is changed; None: before the first event.

    Returns
    -------
    list of AccountBook
        A book an instant with one pool for every account of the events, in their order.

    Raises
    ------
    InputError
        Instants that fall.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.array(["2024-01-01T00:00", "2024-01-01T00:05"], "datetime64[ns]")
    >>> events = AccountEvents.of(table, ["a"], times, [0, 0], [Kind.DEPOSIT, Kind.TRADE], instrument=[-1, 0],
    ...     quantity=[np.nan, 0.3], price=[np.nan, 40_000.0], amount=[500.0, -6.0])
    >>> before, after = states_at(events, ["2024-01-01T00:04:59", "2024-01-01T00:05"])
    >>> before.quantity.tolist(), after.quantity.tolist(), after.balance.tolist()
    ([], [0.3], [494.0])
    """
    wanted = np.asarray(times, "datetime64[ns]")
    falls = np.diff(wanted) < np.timedelta64(0)
    if falls.any():
        row = int(np.argmax(falls)) + 1
        raise InputError("must not fall", row=row, column="times", value=str(wanted[row]))
    state = start_accounts(len(events.accounts), events.instruments) if state is None else state
    books, seen = [], 0
    for time in wanted:
        upto = events.until(time)
        apply_events(state, events, seen, upto)
        books.append(book_of(state, events.accounts, events.instruments, events.lots))
        seen = max(seen, upto)
    return books
