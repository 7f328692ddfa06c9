"""What accounts do when a liquidation draws near: learned from histories, laid over forecasts of frozen positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..features.accounts.events import AccountEvents, Kind
from ..models.behaviour_kernel import CHANGE_BARS
from ..models.behavioural import MOVING, Standing, behavioural_probability, behavioural_share, moving_columns
from ..models.competing_risks import CauseHazards
from ..models.sample import AccountSample, ScaleField
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import BoolArray, FloatArray, IntArray, group_sums, require_shape
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure
from ..riskcore.instruments import contract_value
from ..riskcore.market import UNIT_INDEX, MarketHistory
from .forecaster import LiquidationForecaster
from .market_view import MarketView
from .replay_accounts import HOUR, HeldHours

CAUSES = ("close", "reduction", "deposit", "increase", "withdrawal")
"""What an account can do within an hour; of several the first of these counts."""
ENDS = np.array([True, True, True, False, False])
"""Causes that end the risk; the others are told apart so that they do not count as nothing, and are not modelled."""
MATERIAL = 0.1
"""Share of the book, or of equity for transfers, from which an act counts."""
PENALTY = 10.0
"""Of the hazards' coefficients: histories are few."""
COLUMNS = (*MOVING, "log_leverage", "log_hours_since_fill", "hour_sin", "hour_cos")
DAY_HOURS = 24


def acts_of(held: HeldHours, events: AccountEvents, equity: FloatArray) -> IntArray:
    """What each account did within the hour from each row's instant: 0 nothing, or 1 + place in `CAUSES`, shape (n,).

    A book is compared with what the account holds an hour later, leg by leg at entry prices: closed (nothing of it is
    left), reduced (by a tenth or more), increased (a tenth or more added). Deposits and withdrawals of the hour count
    from a tenth of equity on. What was undone within the hour is not seen. Hours that end in an official liquidation
    are 0: that is another cause.

    Parameters
    ----------
    held
        Rows of `held_hours`, all accounts, bars of an hour; rows whose next bar is not among them count as closed.
    events
        The events they are from.
    equity
        Equity of each row, base asset; NaN where not known: no transfer is material then.
    """
    require_shape(equity, held.account.shape, "equity")
    kept, added = _changes(held)
    net = _transfers(held, events)
    large = MATERIAL * np.where(np.isnan(equity), np.inf, np.maximum(equity, 0.0))
    transfers = ((net > 0) & (net >= large), (net < 0) & (-net >= large))
    done = (kept == 0.0, kept <= 1.0 - MATERIAL, transfers[0], added >= MATERIAL, transfers[1])
    act = np.zeros(len(held), np.int64)
    for place in reversed(range(len(CAUSES))):
        act[done[place]] = place + 1
    act[_liquidated(held, events)] = 0
    return act


def _changes(held: HeldHours) -> tuple[FloatArray, FloatArray]:
    """Share of each row's book that is left an hour later, and what was added as a share of it, shapes (n,)."""
    later = _next_rows(held)
    then = np.where((later >= 0)[:, None], held.quantity[later], 0.0)
    price = np.where(held.quantity != 0, held.entry, held.entry[later])
    price = np.nan_to_num(price) * held.instruments.multiplier
    left = np.minimum(np.abs(held.quantity), np.abs(then)) * (np.sign(held.quantity) == np.sign(then))
    now, overlap = (price * np.abs(held.quantity)).sum(axis=1), (price * left).sum(axis=1)
    return overlap / now, ((price * np.abs(then)).sum(axis=1) - overlap) / now


def _next_rows(held: HeldHours) -> IntArray:
    """Row of the same account at the next bar; -1 where it holds nothing then."""
    row_of = {(int(a), int(b)): row for row, (a, b) in enumerate(zip(held.account, held.bar, strict=True))}
    following = zip(held.account, held.bar + 1, strict=True)
    return np.array([row_of.get((int(a), int(b)), -1) for a, b in following], np.int64)


def _transfers(held: HeldHours, events: AccountEvents) -> FloatArray:
    """Deposits less withdrawals in the base asset within the hour from each row's instant, shape (n,)."""
    moved = (events.kind == Kind.DEPOSIT) | (events.kind == Kind.WITHDRAWAL)
    rows = np.flatnonzero(moved & (events.asset == 0))
    out = np.zeros(len(held))
    for who in np.unique(events.account[rows]):
        own, mine = rows[events.account[rows] == who], np.flatnonzero(held.account == who)
        total = np.concatenate(([0.0], np.cumsum(events.amount[own])))
        until = [np.searchsorted(events.time[own], held.time[mine] + span, side="right") for span in (0 * HOUR, HOUR)]
        out[mine] = total[until[1]] - total[until[0]]
    return out


def _liquidated(held: HeldHours, events: AccountEvents) -> BoolArray:
    out = np.zeros(len(held), np.bool_)
    for row in np.flatnonzero(events.kind == Kind.LIQUIDATION):
        time = events.time[row]
        out |= (held.account == events.account[row]) & (held.time < time) & (time <= held.time + HOUR)
    return out


def held_to_breach(held: HeldHours, act: IntArray, breach_bar: IntArray) -> FloatArray:
    """Whether each account still held what it held when its frozen book was breached: what the share is to forecast.

    Parameters
    ----------
    held, act
        All rows of an account and what it did within each hour (`acts_of`).
    breach_bar
        Bar in which each row's book with positions frozen was breached (`first_passage`); negative: it was not.

    Returns
    -------
    FloatArray
        Shape (n,): 1 if no cause that ends the risk came in a bar before, 0 if one did, 1/2 if the first came in the
        very bar; 0 without a breach.
    """
    out = np.zeros(len(held))
    ending = np.concatenate(([False], ENDS))[act]
    for who in np.unique(held.account):
        mine = np.flatnonzero(held.account == who)
        bars = np.append(held.bar[mine][ending[mine]], np.iinfo(np.int64).max)
        first = bars[np.searchsorted(bars, held.bar[mine])]
        breach = breach_bar[mine]
        out[mine] = np.where(breach < 0, 0.0, np.where(first > breach, 1.0, np.where(first == breach, 0.5, 0.0)))
    return out


@dataclass(frozen=True)
class BehaviourRows:
    """What the hazards see of pools at bars.

    Parameters
    ----------
    exposure, standing
        The pools.
    leverage, since_fill
        Sum of absolute exposures over equity, and hours since the last fill, shape (n,).
    hour
        Hour of the day (UTC) at which each is seen, shape (n,).
    """

    exposure: Exposure
    standing: Standing
    leverage: FloatArray
    since_fill: FloatArray
    hour: FloatArray

    def __len__(self) -> int:
        return len(self.hour)

    def take(self, rows: IntArray) -> BehaviourRows:
        """These pools, in this order."""
        return BehaviourRows(
            self.exposure.take(rows),
            self.standing.take(rows),
            self.leverage[rows],
            self.since_fill[rows],
            self.hour[rows],
        )

    def columns(self) -> FloatArray:
        """The columns `COLUMNS` now, (n, 7); NaN where not known, such as leverage without equity."""
        return np.hstack((moving_columns(self.exposure, self.standing), self._fixed(0)))

    def fixed_log_odds(self, model: CauseHazards, bars: int) -> FloatArray:
        """Log odds of each cause in each of the coming bars but for the columns `MOVING`, (n, bars, causes).

        Hours pass; leverage stays as it is.
        """
        slope = model.slope_[:, len(MOVING) :]
        steps = [np.einsum("nc,kc->nk", self._fixed(bar), slope) + model.intercept_ for bar in range(bars)]
        return np.stack(steps, axis=1)

    def _fixed(self, ahead: int) -> FloatArray:
        angle = 2 * np.pi * (self.hour + ahead) / DAY_HOURS
        leverage = np.where(self.leverage > 0, self.leverage, np.nan)
        return np.column_stack((np.log(leverage), np.log1p(self.since_fill + ahead), np.sin(angle), np.cos(angle)))


def behaviour_rows(view: MarketView, book: AccountBook, sample: AccountSample, since_fill: FloatArray) -> BehaviourRows:
    """What the hazards see of pools, each at its bar's open, from the book and what was known of it.

    Parameters
    ----------
    view
        Market with bars of an hour.
    book, sample
        The pools and their sample (`sample_of`), which gives the risk of an hour.
    since_fill
        Hours since each account's last fill, from its history, shape (n,).

    Raises
    ------
    InputError
        Bars that are not an hour long.
    """
    if view.data.bar_hours != 1.0:
        raise InputError("must be an hour for behaviour", column="bar_hours", value=view.data.bar_hours)
    require_shape(since_fill, (len(sample),), "since_fill")
    exposure = sample.exposure
    distance = sample.column("distance_ewma")
    risk = exposure.headroom / np.where(distance != 0, distance, np.nan)
    standing = Standing(risk, _past_values(exposure, sample.bar, view.history), _profit(book, sample.bar, view.history))
    equity = np.where(exposure.equity > 0, exposure.equity, np.nan)
    since_day = view.history.times[0] + sample.bar * view.history.step - np.datetime64(0, "D")
    hour = np.asarray(since_day / HOUR % DAY_HOURS, np.float64)
    return BehaviourRows(exposure, standing, exposure.gross / equity, np.asarray(since_fill, np.float64), hour)


def _past_values(exposure: Exposure, bar: IntArray, history: MarketHistory) -> FloatArray:
    """Value of each present book at the opens 1 .. CHANGE_BARS bars ago less its value now, (n, CHANGE_BARS)."""
    out = np.full((len(exposure), CHANGE_BARS), np.nan)
    seen = bar[exposure.pool]
    now = history.close[seen - 1, exposure.series]
    for back in range(1, CHANGE_BARS + 1):
        before = np.where(seen - 1 >= back, history.close[np.maximum(seen - 1 - back, 0), exposure.series], np.nan)
        out[:, back - 1] = group_sums(exposure.pool, exposure.weight * (before / now - 1.0), len(exposure))
    return out


def _profit(book: AccountBook, bar: IntArray, history: MarketHistory) -> FloatArray:
    """Profit of each pool's positions since their entry at its bar's open, base asset."""
    seen = bar[book.position_pool] - 1
    mark = history.close[seen, history.mark_series[book.position_instrument]]
    series = history.index_series[book.position_asset]
    index = np.where(series == UNIT_INDEX, 1.0, history.close[seen, series])
    inverse = book.position_inverse
    size = np.where(inverse, -book.position_size, book.position_size)
    gain = contract_value(size, mark, inverse) - contract_value(size, book.entry_price, inverse)
    return group_sums(book.position_pool, gain * index, len(book))


def fit_hazards(rows: BehaviourRows, act: IntArray, penalty: float = PENALTY) -> CauseHazards:
    """Hazards of `CAUSES` by `COLUMNS`, fitted on what accounts did (`acts_of`)."""
    return CauseHazards(CAUSES, penalty).fit(rows.columns(), act, COLUMNS)


def account_folds(account: IntArray, folds: int, *, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Rows to fit on and rows to judge, fold by fold; all rows of an account are on the same side.

    Examples
    --------
    >>> [(fit.tolist(), judge.tolist()) for fit, judge in account_folds(np.array([7, 7, 9]), 2, seed=0)]
    [([2], [0, 1]), ([0, 1], [2])]
    """
    names = np.unique(account)
    if not 2 <= folds <= len(names):
        raise InputError(f"must be 2 to the number of accounts, {len(names)}", column="folds", value=folds)
    dealt = np.empty(len(names), np.int64)
    dealt[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % folds
    place = dealt[np.searchsorted(names, account)]
    return [(np.flatnonzero(place != fold), np.flatnonzero(place == fold)) for fold in range(folds)]


class BehaviouralForecaster:
    """Lays the hazards of acting over frozen probabilities, along the scenarios of a fitted forecaster.

    Parameters
    ----------
    hazards
        Fitted by `fit_hazards`.
    simulation
        Name of the historical simulation whose paths are used, and `scale` of the field that goes with it.
    """

    def __init__(self, hazards: CauseHazards, simulation: str = "fhs_learned", scale: str = "learned") -> None:
        if hazards.causes != CAUSES or hazards.columns_ != COLUMNS:
            raise InputError("were fitted on other causes or columns", column="hazards", value=hazards.causes)
        self.hazards, self.simulation, self.scale = hazards, simulation, scale

    def share(
        self, model: LiquidationForecaster, rows: BehaviourRows, sample: AccountSample, fields: Mapping[str, ScaleField]
    ) -> FloatArray:
        """Share of the frozen probability left at each horizon of the sample, (n, n_horizons); see `behavioural_share`.

        `model` is aligned to the market of the sample.
        """
        longest = sample.horizons[-1]
        simulation = model.historical_[self.simulation]
        every_bar = behavioural_share(
            rows.exposure,
            rows.standing,
            simulation.libraries_[longest],
            fields[self.scale].of_entries(sample, longest),
            rows.fixed_log_odds(self.hazards, longest),
            self.hazards.slope_[:, : len(MOVING)],
            ENDS,
            bandwidth=simulation.bandwidth,
            threads=simulation.threads,
        )
        return every_bar[:, np.array(sample.horizons) - 1]

    def predict(
        self,
        model: LiquidationForecaster,
        rows: BehaviourRows,
        sample: AccountSample,
        fields: Mapping[str, ScaleField],
        frozen: FloatArray,
    ) -> FloatArray:
        """Probability of liquidation when accounts may act, (n, n_horizons), from any model's frozen one.

        1 where in breach already; never falls with the horizon; nowhere above `frozen`; NaN where the state of an
        account is not known, such as one without positive equity.
        """
        return behavioural_probability(frozen, self.share(model, rows, sample, fields))

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"hazards": self.hazards.state(), "simulation": self.simulation, "scale": self.scale}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BehaviouralForecaster:
        """The forecaster as it was when `state` was taken."""
        return cls(CauseHazards.from_state(state["hazards"]), str(state["simulation"]), str(state["scale"]))
