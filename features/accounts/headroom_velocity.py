"""How fast headroom is used up: change an hour, in the book's present standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray, TimeArray, require, require_shape
from ...riskcore.errors import InputError
from ..engine.step import Declaration, State

HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class HeadroomVelocity:
    """Velocity of headroom of accounts, kept over time; a step over accounts as `Step` is over symbols.

    The change of headroom since the account was last seen, over the standard deviation of an hour of its present book
    and the hours passed, in exponential means: for accounts that are seen now and then, at any times. Between two
    closes of bars, over the risk at the second, it is `headroom_change` of `behaviour`. Deposits and losses both move
    it; a change of volatility does not. Accounts come and go: one that has not been seen before has no velocity yet,
    one that is not seen keeps its state.

    Parameters
    ----------
    half_lives
        Hours of the exponential means, by name.
    most_hours
        Longest time between two sights of an account that makes a change; after a longer one it starts anew.

    Raises
    ------
    InputError
        No half-life, or a time that is not positive.

    Examples
    --------
    Headroom falls from 40 to 30 in two hours, with 5 the standard deviation of an hour: one sigma an hour.

    >>> step = HeadroomVelocity({"1h": 1.0})
    >>> state = step.start(2)
    >>> hours = np.datetime64("2024-01-01", "ns") + np.arange(3) * np.timedelta64(1, "h")
    >>> step.update(state, hours[0], np.array([0]), np.array([40.0]), np.array([4.0]))
    >>> step.update(state, hours[2], np.array([0]), np.array([30.0]), np.array([5.0]))
    >>> step.read(state).tolist()
    [[-1.0], [nan]]
    """

    half_lives: dict[str, float]
    most_hours: float = 24.0

    def __post_init__(self) -> None:
        for column, hours in {**self.half_lives, "most_hours": self.most_hours}.items():
            if not 0.0 < hours < np.inf:
                raise InputError("must be positive", column=column, value=hours)
        if not self.half_lives:
            raise InputError("needs a half-life", column="half_lives")

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """One velocity a half-life."""
        return tuple(
            Declaration(
                f"headroom_velocity_{name}",
                f"Exponential mean, half-life {name}, of changes of headroom an hour from one sight of the account to "
                "the next, each over the book's standard deviation of an hour at that time",
                "standard deviations an hour",
                ("close",),
                hours,
                f"NaN until seen twice within {self.most_hours:g} hours with a known, positive risk",
            )
            for name, hours in self.half_lives.items()
        )

    def start(self, accounts: int) -> State:
        """No account seen."""
        means = (accounts, len(self.half_lives))
        return {
            "time": np.full(accounts, "NaT", "datetime64[ns]"),
            "headroom": np.full(accounts, np.nan),
            "mean": np.zeros(means),
            "weight": np.zeros(means),
        }

    def grown(self, state: State, accounts: int) -> State:
        """The state with rows for accounts that are new, behind those there are, up to so many in all."""
        fresh = self.start(accounts - len(state["time"]))
        return {name: np.concatenate((values, fresh[name])) for name, values in state.items()}

    def update(
        self, state: State, time: np.datetime64, accounts: IntArray, headroom: FloatArray, risk: FloatArray
    ) -> None:
        """Take in some accounts as seen at one time.

        Parameters
        ----------
        state
            From `start`; changed in place.
        time
            UTC, later than when any of these accounts was last seen.
        accounts
            Rows of the state, each once, shape (p,).
        headroom
            Base asset, shape (p,).
        risk
            Standard deviation of an hour of the book, base asset, shape (p,): sqrt(w' S w).

        Raises
        ------
        InputError
            Shapes that disagree, an account that is not there or stands there twice, a time that does not rise.
        """
        who = self._checked(state, time, accounts, headroom, risk)
        hours = hours_between(state["time"][who], time)
        pace = (headroom - state["headroom"][who]) / np.where(risk > 0.0, risk, np.nan) / hours
        anew = ~(hours <= self.most_hours)
        known = ~np.isnan(pace) & ~anew
        for k, half_life in enumerate(self.half_lives.values()):
            decay = np.where(known, 0.5 ** (np.where(known, hours, 0.0) / half_life), np.where(anew, 0.0, 1.0))
            added = np.where(known, 1.0 - decay, 0.0)
            state["mean"][who, k] = decay * state["mean"][who, k] + added * np.where(known, pace, 0.0)
            state["weight"][who, k] = decay * state["weight"][who, k] + added
        state["time"][who], state["headroom"][who] = time, headroom

    def _checked(
        self, state: State, time: np.datetime64, accounts: IntArray, headroom: FloatArray, risk: FloatArray
    ) -> IntArray:
        who = np.asarray(accounts, np.int64)
        for column, values in (("headroom", headroom), ("risk", risk)):
            require_shape(values, who.shape, column)
        require((who >= 0) & (who < len(state["time"])), who, "is not there", "accounts")
        seen = state["time"][who]
        require(np.isnat(seen) | (seen < time), seen, f"was last seen not before {time}", "time")
        if len(np.unique(who)) < len(who):
            raise InputError("stands there twice", column="accounts")
        return who

    def read(self, state: State) -> FloatArray:
        """Velocities of every account, shape (accounts, n half-lives)."""
        weight = state["weight"]
        return state["mean"] / np.where(weight > 0.0, weight, np.nan)


def hours_between(earlier: TimeArray, later: np.datetime64) -> FloatArray:
    """Hours from each time to one; NaN where there is no time.

    Examples
    --------
    >>> day = np.array(["2024-01-01", "NaT"], "datetime64[ns]")
    >>> hours_between(day, np.datetime64("2024-01-01T03")).tolist()
    [3.0, nan]
    """
    passed = np.full(earlier.shape, later, "datetime64[ns]") - earlier
    return np.asarray(passed / HOUR, np.float64)
