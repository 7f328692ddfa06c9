"""The behavioural probability of a live book: what a score shows beside the frozen one where histories are supplied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..features.accounts.events import AccountEvents, Kind
from ..models.competing_risks import CauseHazards
from ..riskcore.arrays import FloatArray
from ..riskcore.rulebook import RuleBook
from .account_behaviour import PENALTY, BehaviouralForecaster, acts_of, behaviour_rows, fit_hazards
from .dataset import sample_of
from .market_view import MarketView
from .replay_accounts import HOUR, book_on, held_hours, is_on_market
from .score import Forecast, Scorer


def hours_since_fill(events: AccountEvents, accounts: Sequence[str], at: np.datetime64) -> FloatArray:
    """Hours from each account's last fill up to an instant, (n,); NaN for accounts without one.

    Examples
    --------
    >>> from ..riskcore.instruments import InstrumentTable
    >>> times = np.array(["2024-01-01T00:00", "2024-01-01T05:00"], "datetime64[ns]")
    >>> events = AccountEvents.of(InstrumentTable.linear_perpetuals(["BTC"]), ["a"], times, [0, 0],
    ...     [Kind.TRADE, Kind.TRADE], instrument=[0, 0], quantity=[1.0, 1.0], price=[100.0, 100.0])
    >>> hours_since_fill(events, ["a", "b"], np.datetime64("2024-01-01T03:00")).tolist()
    [3.0, nan]
    """
    known = events.until(at)
    place = {name: k for k, name in enumerate(events.accounts)}
    last = np.full(len(events.accounts), np.datetime64("NaT", "ns"))
    fills = np.flatnonzero(events.kind[:known] == Kind.TRADE)
    last[events.account[fills]] = events.time[fills]
    hours = (np.asarray(at, "datetime64[ns]") - last) / HOUR
    return np.array([hours[place[name]] if name in place else np.nan for name in accounts])


def learn_hazards(
    view: MarketView, rules: RuleBook, events: AccountEvents, first_bar: int, last_bar: int, penalty: float = PENALTY
) -> CauseHazards:
    """Hazards of what accounts do, from their histories at the opens of bars in [first_bar, last_bar) and an hour on.

    Hours in which a leg has no price, or the money is known not to be whole, are left out.

    Raises
    ------
    InputError
        Bars that are not an hour long, or histories without an act or without an idle hour.
    """
    every = held_hours(events, view.history, first_bar, last_bar + 1)
    priced = np.flatnonzero(is_on_market(every, view.history) & every.cash_known & (every.bar < last_bar))
    hours = every.take(priced)
    book = book_on(hours, view.history)
    sample = sample_of(view, book, hours.bar, rules, (1,))
    equity = np.full(len(every), np.nan)
    equity[priced] = sample.exposure.equity
    rows = behaviour_rows(view, book, sample, hours.since_fill)
    return fit_hazards(rows, acts_of(every, events, equity)[priced], penalty)


def behavioural_forecast(
    scorer: Scorer, behaviour: BehaviouralForecaster, forecast: Forecast, since_fill: FloatArray
) -> FloatArray:
    """Probability that each pool of a forecast is liquidated when its owner may act, (n_pools, n_horizons).

    Nowhere above the forecast's own, with positions frozen; 1 where in breach already; 0 without positions; NaN where
    the account has no history (`hours_since_fill`).

    Parameters
    ----------
    scorer, forecast
        The scorer, with bars of an hour, and what it said of a book.
    behaviour
        Hazards of acting and how they are laid over paths.
    since_fill
        Hours since each account's last fill, (n_pools,).
    """
    book = forecast.book
    sample = scorer.sample(book)
    rows = behaviour_rows(scorer.view, book, sample, since_fill)
    said = behaviour.predict(scorer.model, rows, sample, scorer.fields, forecast.probability)
    held = (np.diff(book.position_pointer) > 0)[:, None]
    return np.where(held, said, 0.0)
