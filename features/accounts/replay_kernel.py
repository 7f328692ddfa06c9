"""The arithmetic of one event after another: positions, averages of entry, money and what does not add up."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ...riskcore.arrays import BoolArray, FloatArray, IntArray

NEVER = np.iinfo(np.int64).min
"""In columns of instants (nanoseconds since 1970): it has not happened."""
CASH_ROUNDING = 1e-10
"""Share of all money moved so far below which a balance under zero is taken for rounding."""

DEPOSIT, FUNDING, TRADE, LIQUIDATION, WITHDRAWAL, BALANCE, POSITION = range(7)
OVERDRAWN, UNFUNDED, NEGATIVE, UNSEEN_POSITION, UNKNOWN_COIN, BALANCE_DIFFERS, POSITION_DIFFERS = range(7)
FAULTS = 7
FLOW_DEPOSITS, FLOW_WITHDRAWALS, FLOW_TRADES, FLOW_TURNOVER, FLOW_REDUCING, FLOW_WINS, FLOW_LOSSES, FLOW_FORCED = range(
    8
)
FLOWS = 8


class EventArrays(NamedTuple):
    """Columns of `AccountEvents` as the kernel reads them, and its contract map."""

    time: IntArray
    account: IntArray
    kind: NDArray[np.int8]
    instrument: IntArray
    asset: IntArray
    lots: IntArray
    price: FloatArray
    amount: FloatArray
    closes: BoolArray
    lots_a_contract: FloatArray
    multiplier: FloatArray
    inverse: BoolArray
    settlement: IntArray


class StateArrays(NamedTuple):
    """All that is known of A accounts after some events, over I instruments and S assets; see `start_accounts`."""

    lots: IntArray
    entry: FloatArray
    opened: IntArray
    inferred: BoolArray
    open_positions: IntArray
    opening: FloatArray
    deposited: FloatArray
    withdrawn: FloatArray
    realised: FloatArray
    fees: FloatArray
    funding: FloatArray
    moved: FloatArray
    by_kind: IntArray
    without_fee: IntArray
    last_deposit: IntArray
    fault_count: IntArray
    fault_first: IntArray
    fault_largest: FloatArray
    flow: FloatArray
    last: IntArray


@numba.njit(cache=True, nogil=True)
def replay(events: EventArrays, state: StateArrays, first: int, last: int) -> None:
    """Apply events first .. last - 1 to the state, in place."""
    for row in range(first, last):
        a, kind = events.account[row], events.kind[row]
        state.by_kind[a, kind] += 1
        state.last[0] = events.time[row]
        if kind == TRADE:
            _trade(events, state, row, a)
        elif kind == DEPOSIT or kind == WITHDRAWAL or kind == FUNDING:
            _transfer(events, state, row, a, kind)
        elif kind == LIQUIDATION:
            state.flow[a, FLOW_FORCED] += 1.0
        elif kind == BALANCE:
            _reported_balance(events, state, row, a)
        else:
            _reported_position(events, state, row, a)


@numba.njit(cache=True, nogil=True)
def balance_of(state: StateArrays, a: int, asset: int) -> float:
    """Balance of an account in one asset: what was there, what came in less what went out, profit, fees, funding."""
    money: float = state.opening[a, asset] + state.deposited[a, asset]
    money -= state.withdrawn[a, asset]
    money += state.realised[a, asset]
    money -= state.fees[a, asset]
    money += state.funding[a, asset]
    return money


@numba.njit(cache=True, nogil=True)
def _fault(state: StateArrays, a: int, fault: int, time: int, amount: float) -> None:
    if state.fault_count[a, fault] == 0:
        state.fault_first[a, fault] = time
    state.fault_count[a, fault] += 1
    state.fault_largest[a, fault] = max(state.fault_largest[a, fault], abs(amount))


@numba.njit(cache=True, nogil=True)
def _transfer(events: EventArrays, state: StateArrays, row: int, a: int, kind: int) -> None:
    asset, amount = events.asset[row], events.amount[row]
    state.moved[a, asset] += abs(amount)
    if kind == DEPOSIT:
        state.deposited[a, asset] += amount
        state.last_deposit[a] = events.time[row]
        if asset == 0:
            state.flow[a, FLOW_DEPOSITS] += amount
    elif kind == FUNDING:
        state.funding[a, asset] += amount
    else:
        state.withdrawn[a, asset] -= amount
        if asset == 0:
            state.flow[a, FLOW_WITHDRAWALS] -= amount
        _require_money(events, state, row, a, asset, OVERDRAWN)


@numba.njit(cache=True, nogil=True)
def _require_money(events: EventArrays, state: StateArrays, row: int, a: int, asset: int, fault: int) -> None:
    """A flat account that owes money, and holds none of another asset, has had money that was not seen."""
    money = balance_of(state, a, asset)
    if state.open_positions[a] > 0 or money >= -CASH_ROUNDING * state.moved[a, asset]:
        return
    for other in range(state.moved.shape[1]):
        if other != asset and balance_of(state, a, other) > 0.0:
            return
    _fault(state, a, fault, events.time[row], money)


@numba.njit(cache=True, nogil=True)
def _against(one: int, other: int) -> bool:
    """Whether two numbers of lots are of opposite sign; their product could overflow."""
    return (one > 0 and other < 0) or (one < 0 and other > 0)


@numba.njit(cache=True, nogil=True)
def _size(events: EventArrays, i: int, lots: int) -> float:
    size: float = lots / events.lots_a_contract[i] * events.multiplier[i]
    return size


@numba.njit(cache=True, nogil=True)
def _profit(events: EventArrays, i: int, lots: int, entry: float, price: float) -> float:
    if events.inverse[i]:
        return _size(events, i, lots) * (1.0 / entry - 1.0 / price)
    return _size(events, i, lots) * (price - entry)


@numba.njit(cache=True, nogil=True)
def _average(events: EventArrays, i: int, held: int, entry: float, more: int, price: float) -> float:
    """Entry price after `more` lots of the same sign were added: the mean by size, of an inverse contract harmonic."""
    if events.inverse[i]:
        return (held + more) / (held / entry + more / price)
    return (held * entry + more * price) / (held + more)


@numba.njit(cache=True, nogil=True)
def _trade(events: EventArrays, state: StateArrays, row: int, a: int) -> None:
    i, price, time = events.instrument[row], events.price[row], events.time[row]
    _fee(events, state, row, a)
    if i < 0:
        _fault(state, a, UNKNOWN_COIN, time, 0.0)
        return
    held, more = state.lots[a, i], events.lots[row]
    if events.closes[row] and (not _against(held, more) or abs(more) > abs(held)):
        allowed = -held if _against(held, more) else 0
        _fault(state, a, UNSEEN_POSITION, time, (more - allowed) / events.lots_a_contract[i])
        more = allowed
    asset = events.settlement[i]
    _count_trade(events, state, i, a, held, more, price)
    if _against(held, more):
        _reduce(events, state, i, a, asset, held, more, price)
    if more != 0:
        _hold(events, state, i, a, held, more, price, time)
    if held == 0 and more != 0 and state.by_kind[a, DEPOSIT] == 0 and balance_of(state, a, asset) <= 0.0:
        _fault(state, a, UNFUNDED, time, _size(events, i, more) * price)
    if state.open_positions[a] == 0:
        _require_money(events, state, row, a, asset, NEGATIVE)


@numba.njit(cache=True, nogil=True)
def _fee(events: EventArrays, state: StateArrays, row: int, a: int) -> None:
    amount = events.amount[row]
    if np.isnan(amount):
        state.without_fee[a] += 1
    else:
        state.fees[a, events.asset[row]] -= amount
        state.moved[a, events.asset[row]] += abs(amount)


@numba.njit(cache=True, nogil=True)
def _count_trade(events: EventArrays, state: StateArrays, i: int, a: int, held: int, more: int, price: float) -> None:
    state.flow[a, FLOW_TRADES] += 1.0
    if events.settlement[i] == 0:
        size = abs(_size(events, i, more))
        state.flow[a, FLOW_TURNOVER] += size / price if events.inverse[i] else size * price
    if _against(held, more):
        state.flow[a, FLOW_REDUCING] += 1.0


@numba.njit(cache=True, nogil=True)
def _reduce(
    events: EventArrays, state: StateArrays, i: int, a: int, asset: int, held: int, more: int, price: float
) -> None:
    closed = held if abs(more) >= abs(held) else -more
    profit = _profit(events, i, closed, state.entry[a, i], price)
    state.realised[a, asset] += profit
    state.moved[a, asset] += abs(profit)
    if profit > 0.0:
        state.flow[a, FLOW_WINS] += 1.0
    elif profit < 0.0:
        state.flow[a, FLOW_LOSSES] += 1.0


@numba.njit(cache=True, nogil=True)
def _hold(
    events: EventArrays, state: StateArrays, i: int, a: int, held: int, more: int, price: float, time: int
) -> None:
    """The position after a trade: entry averaged where it grew, kept where it shrank, new where it turned."""
    after = held + more
    if held == 0:
        state.open_positions[a] += 1
    if held == 0 or _against(held, after):
        state.entry[a, i], state.opened[a, i], state.inferred[a, i] = price, time, False
    elif not _against(held, more):
        state.entry[a, i] = _average(events, i, held, state.entry[a, i], more, price)
    if after == 0:
        state.entry[a, i], state.opened[a, i], state.inferred[a, i] = np.nan, NEVER, False
        state.open_positions[a] -= 1
    state.lots[a, i] = after


@numba.njit(cache=True, nogil=True)
def _reported_balance(events: EventArrays, state: StateArrays, row: int, a: int) -> None:
    asset = events.asset[row]
    apart = events.amount[row] - balance_of(state, a, asset)
    if abs(apart) > CASH_ROUNDING * max(state.moved[a, asset], abs(events.amount[row])):
        _fault(state, a, BALANCE_DIFFERS, events.time[row], apart)


@numba.njit(cache=True, nogil=True)
def _reported_position(events: EventArrays, state: StateArrays, row: int, a: int) -> None:
    i = events.instrument[row]
    if i < 0:
        _fault(state, a, UNKNOWN_COIN, events.time[row], 0.0)
    elif events.lots[row] != state.lots[a, i]:
        apart = (events.lots[row] - state.lots[a, i]) / events.lots_a_contract[i]
        _fault(state, a, POSITION_DIFFERS, events.time[row], apart)
