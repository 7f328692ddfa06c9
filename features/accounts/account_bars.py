"""What accounts did within each bar, and what they were worth at its close: the table behavioural features are fed."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from ...riskcore.accounts import AccountBook
from ...riskcore.arrays import BoolArray, FloatArray, IntArray, group_sums, require_shape
from ...riskcore.exposure import linearise
from ...riskcore.instruments import require_same_instruments
from ...riskcore.margin import evaluate
from ...riskcore.market import MarketHistory, MarketState
from ...riskcore.rulebook import RuleBook
from ..engine.bars import BarTable
from ..engine.step import State
from .events import AccountEvents
from .rebuild import apply_events, book_of, start_accounts
from .replay_kernel import NEVER

FLOW_COLUMNS = ("deposits", "withdrawals", "trades", "turnover", "reducing", "wins", "losses", "liquidations")

ACCOUNT_COLUMNS: dict[str, str] = {
    "deposits": "deposited within the bar in the base asset, base asset",
    "withdrawals": "withdrawn within the bar in the base asset, base asset",
    "trades": "fills within the bar, count",
    "turnover": "notional of the fills in contracts that settle in the base asset, base asset",
    "reducing": "fills within the bar that reduced a position, count",
    "wins": "fills within the bar that realised a profit, count",
    "losses": "fills within the bar that realised a loss, count",
    "liquidations": "liquidations of the account reported within the bar, count",
    "deposit_age": "hours from the last deposit to the close; NaN before the first",
    "equity": "equity at the close, base asset; NaN where a position or balance has no price then",
    "maintenance": "maintenance margin at the close, base asset; NaN as equity",
    "notional": "sum of absolute notionals at the close, base asset; NaN as equity",
    "risk": "standard deviation of equity less maintenance over an hour, base asset; NaN where not known",
}
"""Columns of `account_bars` and their units; one row a bar, one column an account."""


def account_bars(
    events: AccountEvents, history: MarketHistory, rules: RuleBook, covariance: FloatArray | None = None
) -> BarTable:
    """Flows of each bar and margin at its close, for every account: bars as features are fed them.

    Bar k holds the events after its open and up to its close, so that row k is known at the close of bar k. Events up
    to the first open are applied before.

    Parameters
    ----------
    events
        The events.
    history
        Marks, on the instruments of the events.
    rules
        Rules that hold throughout.
    covariance
        Of the log returns a bar of each price series, as known at the close of each bar, shape (T, n_series, n_series);
        NaN where not known. None: the column `risk` is NaN throughout.

    Returns
    -------
    BarTable
        Columns of `ACCOUNT_COLUMNS`; its symbols are the accounts.

    Raises
    ------
    InputError
        Events on other instruments than the history's, an instrument without a rate schedule, a covariance of another
        shape.

    Examples
    --------
    Long 2 from 100 with 50 at 10% maintenance; at 110 equity is 50 + 20, maintenance 22:

    >>> import datetime as dt
    >>> from ...riskcore.instruments import InstrumentTable
    >>> from ...riskcore.rulebook import RateSchedule
    >>> from .events import Kind
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> hours = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
    >>> price = np.array([[100.0], [110.0]])
    >>> history = MarketHistory(table, hours, price, price, price, price, [0], [-1], np.zeros((2, 1)))
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> minutes = hours[0] + np.array([10, 20]) * np.timedelta64(1, "m")
    >>> events = AccountEvents.of(table, ["a"], minutes, [0, 0], [Kind.DEPOSIT, Kind.TRADE], instrument=[-1, 0],
    ...     quantity=[np.nan, 2.0], price=[np.nan, 100.0], amount=[50.0, 0.0])
    >>> bars = account_bars(events, history, rules)
    >>> for name in ("deposits", "turnover", "equity", "maintenance"):
    ...     print(name, bars.columns[name][:, 0].tolist())
    deposits [50.0, 0.0]
    turnover [200.0, 0.0]
    equity [50.0, 70.0]
    maintenance [20.0, 22.0]
    """
    require_same_instruments(events.instruments, history.instruments)
    if covariance is not None:
        series = history.close.shape[1]
        require_shape(covariance, (len(history), series, series), "covariance")
    state = start_accounts(len(events.accounts), events.instruments)
    seen = events.until(history.times[0])
    apply_events(state, events, 0, seen)
    clear_flows(state)
    rows = []
    for bar in range(len(history)):
        upto = events.until(history.times[bar] + history.step)
        apply_events(state, events, seen, upto)
        seen = max(seen, upto)
        moves = None if covariance is None else covariance[bar]
        rows.append(close_bar(state, events.accounts, events.lots, history, history.state_at(bar + 1), rules, moves))
    columns = {name: np.stack([row[name] for row in rows]) for name in ACCOUNT_COLUMNS}
    return BarTable(history.times, history.step, events.accounts, columns)


def clear_flows(state: State) -> None:
    """Begin a new bar: what is counted within it starts at zero."""
    state["flow"][:] = 0.0


def close_bar(
    state: State,
    accounts: Sequence[str],
    lots: FloatArray,
    history: MarketHistory,
    market: MarketState,
    rules: RuleBook,
    covariance: FloatArray | None = None,
) -> dict[str, FloatArray]:
    """The row of a bar that closes now, and the beginning of the next: what a stream calls at every close.

    Parameters
    ----------
    state
        Accounts after all events up to the close; its flows are cleared.
    accounts, lots
        As in `AccountEvents`.
    history
        Which series marks which instrument, and the length of a bar; its prices are not looked at.
    market
        Marks and indices at the close.
    rules, covariance
        As in `account_bars`, `covariance` for this bar.
    """
    row = {name: state["flow"][:, place].copy() for place, name in enumerate(FLOW_COLUMNS)}
    clear_flows(state)
    row["deposit_age"] = _hours_since(state["last_deposit"], market.time)
    book = book_of(state, accounts, history.instruments, lots)
    priced = np.flatnonzero(is_priced(book, market))
    row |= {name: np.full(len(accounts), np.nan) for name in ("equity", "maintenance", "notional", "risk")}
    if len(priced):
        own = book.take(priced)
        margin = evaluate(own, market, rules)
        row["equity"][priced], row["maintenance"][priced] = margin.equity, margin.maintenance
        row["notional"][priced] = group_sums(own.position_pool, margin.leg_notional, len(own))
        if covariance is not None:
            hours = float(history.step / np.timedelta64(1, "h"))
            row["risk"][priced] = _risk(own, market, history, rules, covariance) / np.sqrt(hours)
    return row


def _hours_since(instant: IntArray, now: np.datetime64) -> FloatArray:
    past = np.asarray(now, "datetime64[ns]").astype(np.int64) - np.where(instant == NEVER, 0, instant)
    return np.where(instant == NEVER, np.nan, past / 3.6e12)


def is_priced(book: AccountBook, market: MarketState) -> BoolArray:
    """Whether every position of a pool has a mark and every balance an index price, shape (n_pools,)."""
    marks = np.isnan(market.mark[book.position_instrument]) | np.isnan(market.index[book.position_asset])
    indices = np.isnan(market.index[book.balance_asset])
    missing = group_sums(book.position_pool, marks.astype(np.float64), len(book))
    return np.asarray(missing + group_sums(book.balance_pool, indices.astype(np.float64), len(book)) == 0)


def _risk(
    book: AccountBook, market: MarketState, history: MarketHistory, rules: RuleBook, covariance: FloatArray
) -> FloatArray:
    exposure = linearise(book, market, history, rules)
    out = np.empty(len(book))
    _deviation(exposure.pointer, exposure.series, exposure.weight, np.ascontiguousarray(covariance), out)
    return out


@numba.njit(cache=True, nogil=True)
def _deviation(
    pointer: IntArray, series: IntArray, weight: FloatArray, covariance: FloatArray, out: FloatArray
) -> None:
    """Root of w' C w for each pool; legs without weight do not count."""
    for pool in range(len(out)):
        total = 0.0
        for a in range(pointer[pool], pointer[pool + 1]):
            for b in range(pointer[pool], pointer[pool + 1]):
                total += weight[a] * weight[b] * covariance[series[a], series[b]]
        out[pool] = np.sqrt(total) if not total < 0.0 else 0.0
