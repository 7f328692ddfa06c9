"""What in an account's history cannot have been: said and counted, never mended."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from ...riskcore.arrays import BoolArray
from ..engine.step import State


class Fault(IntEnum):
    """What does not add up; the events are applied as they stand all the same, but for the part that cannot be."""

    OVERDRAWN = 0
    UNFUNDED = 1
    NEGATIVE = 2
    UNSEEN_POSITION = 3
    UNKNOWN_COIN = 4
    BALANCE_DIFFERS = 5
    POSITION_DIFFERS = 6


MEANING: dict[Fault, tuple[str, str]] = {
    Fault.OVERDRAWN: ("withdrew more than it had", "left below zero"),
    Fault.UNFUNDED: ("opened a position before any money came in", "notional"),
    Fault.NEGATIVE: ("traded itself below zero", "left below zero"),
    Fault.UNSEEN_POSITION: ("closed a position that was not there", "contracts that were not closed"),
    Fault.UNKNOWN_COIN: ("traded or held a coin that is not in the table of instruments", "not known"),
    Fault.BALANCE_DIFFERS: ("has another balance than was reported", "apart"),
    Fault.POSITION_DIFFERS: ("has another position than was reported", "contracts apart"),
}
"""What each fault says of an account, and what its amount is."""

CASH = (Fault.OVERDRAWN, Fault.UNFUNDED, Fault.NEGATIVE, Fault.UNKNOWN_COIN, Fault.BALANCE_DIFFERS)
"""Faults after which the money of an account is not known."""


class HistoryFault(NamedTuple):
    """One kind of fault of one account.

    `first` is when it was seen first, `times` how often, `largest` the largest amount (see `MEANING`).
    """

    account: str
    fault: Fault
    times: int
    first: np.datetime64
    largest: float

    def __str__(self) -> str:
        told, amount = MEANING[self.fault]
        more = f", {self.largest:.6g} {amount}" if self.largest else ""
        return f"{self.account} {told} ({self.times} times, first at {self.first.astype('datetime64[s]')}{more})"


def history_faults(state: State, accounts: Sequence[str]) -> list[HistoryFault]:
    """Everything that does not add up in a state, by account and kind.

    Examples
    --------
    >>> from ...riskcore.instruments import InstrumentTable
    >>> from .events import AccountEvents, Kind
    >>> from .rebuild import rebuild
    >>> times = np.array(["2024-01-01T00:00", "2024-01-01T00:05"], "datetime64[ns]")
    >>> events = AccountEvents.of(InstrumentTable.linear_perpetuals(["BTC"]), ["a"], times, [0, 0],
    ...     [Kind.DEPOSIT, Kind.WITHDRAWAL], amount=[500.0, -502.5])
    >>> print(*history_faults(rebuild(events), events.accounts))
    a withdrew more than it had (1 times, first at 2024-01-01T00:05:00, 2.5 left below zero)
    """
    found = []
    for account, kind in np.argwhere(state["fault_count"] > 0):
        first = np.datetime64(int(state["fault_first"][account, kind]), "ns")
        times, largest = int(state["fault_count"][account, kind]), float(state["fault_largest"][account, kind])
        found.append(HistoryFault(accounts[account], Fault(kind), times, first, largest))
    return found


def cash_known(state: State, *, above: float = 0.0) -> BoolArray:
    """Whether the money of each account still adds up, shape (A,).

    Parameters
    ----------
    state
        The state.
    above
        Amounts below zero, or apart from a reported balance, up to here are let pass: the scale of what the source
        leaves out, such as funding.

    Examples
    --------
    An account that once withdrew 2.5 more than it had:

    >>> state = {"fault_count": np.zeros((1, len(Fault)), np.int64), "fault_largest": np.zeros((1, len(Fault)))}
    >>> state["fault_count"][0, Fault.OVERDRAWN], state["fault_largest"][0, Fault.OVERDRAWN] = 1, 2.5
    >>> cash_known(state).tolist(), cash_known(state, above=5.0).tolist()
    ([False], [True])
    """
    known = np.ones(len(state["fault_count"]), np.bool_)
    for fault in CASH:
        there = state["fault_count"][:, fault] > 0
        certain = fault in (Fault.UNFUNDED, Fault.UNKNOWN_COIN)
        known &= ~(there & (certain | (state["fault_largest"][:, fault] > above)))
    return known
