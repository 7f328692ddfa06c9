"""How an account behaves: its deposits, trading, leverage and answers to stress, as known at the open of each bar."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import BoolArray, FloatArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow
from ..engine.logarithm import log_into
from ..engine.step import Declaration, State

DAY, WEEK, SLOW = 24, 168, 6
"""Windows in hours."""
HIGH_LEVERAGE = 10.0
"""Notional over equity from which an account counts as highly leveraged."""
STRESS = 0.5
"""Maintenance margin over equity from which an account counts as under stress."""

FULL = "NaN until the window has been seen in full, and while a bar in it is NaN"
WORTH = "NaN where equity is not known or not positive"

_DECLARATIONS = (
    Declaration(
        "hours_since_deposit",
        "Time since the last deposit.",
        "hours",
        ("deposit_age",),
        0,
        "NaN before the first deposit",
    ),
    Declaration(
        "net_deposits_24h",
        "Deposits less withdrawals of the last day over equity.",
        "fraction of equity",
        ("deposits", "withdrawals", "equity"),
        DAY,
        f"{FULL}; {WORTH}; transfers in other assets than the base asset are not counted",
    ),
    Declaration(
        "net_deposits_7d",
        "Deposits less withdrawals of the last week over equity.",
        "fraction of equity",
        ("deposits", "withdrawals", "equity"),
        WEEK,
        f"{FULL}; {WORTH}; transfers in other assets than the base asset are not counted",
    ),
    Declaration("trade_rate_24h", "Fills of the last day an hour.", "1 / hour", ("trades",), DAY, FULL),
    Declaration(
        "turnover_24h",
        "Notional traded in the last day over equity.",
        "multiple of equity",
        ("turnover", "equity"),
        DAY,
        f"{FULL}; {WORTH}",
    ),
    Declaration(
        "turnover_7d",
        "Notional traded in the last week over equity, a day.",
        "multiple of equity / day",
        ("turnover", "equity"),
        WEEK,
        f"{FULL}; {WORTH}",
    ),
    Declaration(
        "reducing_share_7d",
        "Share of the last week's fills that reduced a position.",
        "share, 0 to 1",
        ("reducing", "trades"),
        WEEK,
        f"{FULL}; NaN without a fill",
    ),
    Declaration(
        "leverage_change_24h",
        "Log of leverage over leverage a day before; leverage is notional over equity.",
        "log",
        ("notional", "equity"),
        DAY,
        "NaN where either leverage is not known or not positive (a flat account has none)",
    ),
    Declaration(
        "headroom_change_1h",
        "Headroom (equity less maintenance margin) less that an hour before, over the present standard deviation of an "
        "hour; `headroom_velocity` is the mean over time of such changes, each over the risk of its own time.",
        "sigmas / hour",
        ("equity", "maintenance", "risk"),
        1,
        "NaN where either headroom or the risk is not known, or there is no risk",
    ),
    Declaration(
        "headroom_change_6h",
        "Headroom less that six hours before, an hour, over the present standard deviation of an hour.",
        "sigmas / hour",
        ("equity", "maintenance", "risk"),
        SLOW,
        "NaN where either headroom or the risk is not known, or there is no risk",
    ),
    Declaration(
        "win_rate",
        "Share of the fills that realised something, so far, that realised a profit.",
        "share, 0 to 1",
        ("wins", "losses"),
        np.inf,
        "NaN before the first; a bar that is NaN is left out",
    ),
    Declaration(
        "high_leverage_share_7d",
        f"Share of the last week's closes with a leverage of {HIGH_LEVERAGE:g} or more, or positions without equity.",
        "share, 0 to 1",
        ("notional", "equity"),
        WEEK,
        "closes at which it is not known are left out; NaN without a known one",
    ),
    Declaration(
        "past_liquidations",
        "Liquidations of the account so far.",
        "count",
        ("liquidations",),
        np.inf,
        "0 before the first; a bar that is NaN is left out",
    ),
    Declaration(
        "stress_deposit_share",
        f"Share of the spells of stress so far in which money was added; stress is maintenance margin over equity of "
        f"{STRESS:g} or more.",
        "share, 0 to 1",
        ("deposits", "equity", "maintenance"),
        np.inf,
        "NaN before the first spell; a close at which it is not known neither begins nor ends one",
    ),
)

DEPOSITED, TRADED, TURNED_OVER, REDUCED = range(4)


class AccountBehaviour:
    """Behavioural features as a step over the bars of `account_bars`: its symbols are accounts.

    Parameters
    ----------
    bar_hours
        Length of a bar in hours; a whole number of bars must make an hour.

    Raises
    ------
    InputError
        Bars that do not make an hour.

    Examples
    --------
    Twice 100 traded in a day with an equity of 50, one of two fills reducing:

    >>> from ..engine.bars import BarTable
    >>> from .account_bars import ACCOUNT_COLUMNS
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(168) * np.timedelta64(1, "h")
    >>> columns = {name: np.zeros((168, 1)) for name in ACCOUNT_COLUMNS}
    >>> columns["equity"][:] = 50.0
    >>> columns["turnover"][[150, 160]], columns["trades"][[150, 160]], columns["reducing"][160] = 100.0, 1.0, 1.0
    >>> table = BarTable(times, np.timedelta64(1, "h"), ("a",), columns)
    >>> step = AccountBehaviour(table.bar_hours)
    >>> state = step.start(table.symbols)
    >>> for bar in range(168):
    ...     step.update(state, table.row(bar))
    >>> values = dict(zip((one.name for one in step.declarations), step.read(state)[0].tolist()))
    >>> values["turnover_24h"], values["reducing_share_7d"], values["high_leverage_share_7d"]
    (4.0, 0.5, 0.0)
    """

    def __init__(self, bar_hours: float) -> None:
        self.bars_an_hour = round(1.0 / bar_hours)
        if self.bars_an_hour < 1 or self.bars_an_hour * bar_hours != 1.0:
            raise InputError("must go into an hour", column="bar_hours", value=bar_hours)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        return _DECLARATIONS

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar, for these accounts."""
        n, hour = len(symbols), self.bars_an_hour
        return {
            "place": np.zeros(1, np.int64),
            "flow": np.full((WEEK * hour, n, 4), np.nan),
            "high": np.full((WEEK * hour, n), np.nan),
            "leverage": np.full((DAY * hour + 1, n), np.nan),
            "headroom": np.full((SLOW * hour + 1, n), np.nan),
            "now": np.full((4, n), np.nan),
            "so_far": np.zeros((3, n)),
            "stress": np.zeros((4, n)),
        }

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        place, equity, notional = int(state["place"][0]), row["equity"], row["notional"]
        net = row["deposits"] - row["withdrawals"]
        flow = state["flow"]
        flow[place % len(flow)] = np.stack((net, row["trades"], row["turnover"], row["reducing"]), axis=-1)
        high = (notional >= HIGH_LEVERAGE * equity) & (notional > 0.0)
        state["high"][place % len(flow)] = np.where(np.isnan(equity) | np.isnan(notional), np.nan, high)
        state["leverage"][place % len(state["leverage"])] = _log_ratio(notional, equity)
        state["headroom"][place % len(state["headroom"])] = equity - row["maintenance"]
        state["now"][:] = row["deposit_age"], equity, row["risk"], state["headroom"][place % len(state["headroom"])]
        state["so_far"] += np.nan_to_num(np.stack((row["wins"], row["losses"], row["liquidations"])), nan=0.0)
        _note_stress(state["stress"], row["deposits"], equity, row["maintenance"])
        state["place"][0] = place + 1

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_accounts, len(declarations))."""
        day, week = self._sums(state, DAY), self._sums(state, WEEK)
        age, equity, risk, headroom = state["now"]
        worth = np.where(equity > 0.0, equity, np.nan)
        sigma = np.where(risk > 0.0, risk, np.nan)
        wins, losses, liquidations = state["so_far"]
        _, _, spells, answered = state["stress"]
        known = ~np.isnan(state["high"])
        columns = (
            age,
            day[:, DEPOSITED] / worth,
            week[:, DEPOSITED] / worth,
            day[:, TRADED] / DAY,
            day[:, TURNED_OVER] / worth,
            week[:, TURNED_OVER] / worth / (WEEK / DAY),
            _share(week[:, REDUCED], week[:, TRADED]),
            self._before(state, "leverage", 0) - self._before(state, "leverage", DAY),
            (headroom - self._before(state, "headroom", 1)) / sigma,
            (headroom - self._before(state, "headroom", SLOW)) / sigma / SLOW,
            _share(wins, wins + losses),
            _share(np.where(known, state["high"], 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64)),
            liquidations.copy(),
            _share(answered, spells),
        )
        return np.stack(columns, axis=-1)

    def _sums(self, state: State, hours: int) -> FloatArray:
        """Sums over the last hours, oldest bar first, shape (n_accounts, 4); NaN until they have been seen."""
        flow, bars = state["flow"], hours * self.bars_an_hour
        last = int(state["place"][0])
        rows = np.arange(last - bars, last) % len(flow)
        return np.asarray(np.add.reduce(flow[rows], axis=0))

    def _before(self, state: State, name: str, hours: int) -> FloatArray:
        """A value some hours before the last close; NaN where that is before the first bar."""
        ring, place = state[name], int(state["place"][0]) - 1 - hours * self.bars_an_hour
        return np.asarray(ring[place % len(ring)]) if place >= 0 else np.full(ring.shape[1], np.nan)


def _log_ratio(value: FloatArray, base: FloatArray) -> FloatArray:
    ratio = np.where(value > 0.0, value, np.nan) / np.where(base > 0.0, base, np.nan)
    out = np.empty_like(ratio)
    log_into(ratio, out)
    return out


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.asarray(part / np.where(whole > 0.0, whole, np.nan))


def _note_stress(stress: FloatArray, deposits: FloatArray, equity: FloatArray, maintenance: FloatArray) -> None:
    """Bring up to date: under stress now, money added in this spell, spells so far, spells with money added."""
    under, added, spells, answered = stress
    adds: BoolArray = (under > 0.0) & (added == 0.0) & (deposits > 0.0)
    added[adds] = 1.0
    answered[adds] += 1.0
    known = ~np.isnan(equity) & ~np.isnan(maintenance)
    stressed = (maintenance > 0.0) & (maintenance >= STRESS * equity)
    begins = known & stressed & (under == 0.0)
    spells[begins] += 1.0
    added[begins] = 0.0
    under[known] = stressed[known]
