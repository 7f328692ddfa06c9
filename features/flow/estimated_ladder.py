"""An estimated ladder of liquidation prices where no book is known: open interest and an assumed mix of leverages.

Nothing here is observed but open interest and prices. Where a book is known use accounts.ladder instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numba
import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow
from ..engine.step import Declaration, State

WITHIN = (0.01, 0.02, 0.05, 0.10)
LEVERAGES: Mapping[float, float] = {5.0: 0.2, 10.0: 0.3, 20.0: 0.25, 50.0: 0.15, 100.0: 0.1}
"""Assumed shares of new positions by leverage: not from data."""
CELL = 0.0025
"""Width of a rung, log price."""
CELLS = 1024
INPUTS = ("high", "low", "close", "open_interest")
HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class EstimatedLadderStep:
    """Estimated share of the open interest that is forced by moves of 1, 2, 5 and 10% down and up.

    Every contract has a long and a short. Both are taken to have been opened at the close of the bar in which the open
    interest grew, with leverages in assumed shares, and to be liquidated 1 / leverage - maintenance away from it. What
    a bar's low or high passes is gone; what is left turns over with a half-life and is opened anew at the close; a fall
    of open interest closes the same share of everything. Rungs are a quarter of a per cent wide.

    Parameters
    ----------
    leverages
        Share of new positions by leverage; shares add up to one.
    maintenance
        Maintenance rate, below 1 / leverage for each.
    half_life_hours
        In which half of the positions are closed and replaced by others.
    known_hours
        How long a report of open interest counts as known.

    Raises
    ------
    InputError
        Shares that are negative or do not add up to one, a leverage the maintenance rate does not allow, a time that is
        not positive.

    Examples
    --------
    All is opened at 100 with ten times leverage, so longs are gone below 100 * (1 - 0.1 + 0.005) = 90.5:

    >>> from ..engine.bars import BarTable
    >>> from ..engine.step import run_step
    >>> one = np.full((2, 1), 100.0)
    >>> columns = {"high": one, "low": one, "close": one, "open_interest": one}
    >>> times = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[ns]")
    >>> step = EstimatedLadderStep({10.0: 1.0})
    >>> found = run_step(step, BarTable(times, np.timedelta64(1, "h"), ("BTC",), columns), np.array([2]))[0, 0]
    >>> [(one.name[17:], round(float(value), 6)) for one, value in zip(step.declarations, found)][2:4]
    [('down_5pct', 0.0), ('down_10pct', 1.0)]
    """

    leverages: Mapping[float, float] = field(default_factory=lambda: dict(LEVERAGES))
    maintenance: float = 0.005
    half_life_hours: float = 72.0
    known_hours: float = 24.0

    def __post_init__(self) -> None:
        for name in ("maintenance", "half_life_hours", "known_hours"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError("must be positive", column=name, value=getattr(self, name))
        shares = list(self.leverages.values())
        if not shares or min(shares) < 0.0 or abs(sum(shares) - 1.0) > 1e-9:
            raise InputError("shares must not be negative and add up to one", column="leverages", value=shares)
        for leverage in self.leverages:
            if not 1.0 < leverage < 1.0 / self.maintenance:
                raise InputError("must be above 1 and below 1 / maintenance", column="leverages", value=leverage)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """Moves down, then moves up, the nearest first."""
        return tuple(
            Declaration(
                f"estimated_forced_{side}_{100 * size:g}pct",
                f"Estimated share of the {held} forced by a move {side} of {100 * size:g}%, from open interest and "
                "assumed leverages",
                "share, 0 to 1, estimated",
                INPUTS,
                self.half_life_hours,
                f"NaN while the price is missing, no open interest was reported for {self.known_hours:g} hours, or a "
                "bar has passed every rung and there was no report since",
            )
            for side, held in (("down", "longs"), ("up", "shorts"))
            for size in WITHIN
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """Nothing held."""
        n = len(symbols)
        return {
            "held": np.zeros((2, n, CELLS)),
            "centre": np.zeros(n, np.int64),
            "begun": np.zeros(n, np.bool_),
            "close": np.full(n, np.nan),
            "age": np.full(n, np.inf),
        }

    def update(self, state: State, row: BarRow) -> None:
        """Take in one bar."""
        hours = float((row.closed - row.opened) / HOUR)
        moves = np.array([1.0 / leverage - self.maintenance for leverage in self.leverages])
        columns = [np.ascontiguousarray(row[name], np.float64) for name in INPUTS]
        for i in range(len(state["close"])):
            high, low, close, interest = (float(column[i]) for column in columns)
            reported = interest >= 0.0
            state["age"][i] = 0.0 if reported else state["age"][i] + hours
            state["close"][i] = close
            if not high >= low > 0.0 or math.isnan(close):
                continue
            held = state["held"][:, i]
            if not state["begun"][i]:
                state["centre"][i], state["begun"][i] = rung_of(close), True
            state["centre"][i] = follow(held, state["centre"][i], rung_of(low), rung_of(high), rung_of(close))
            held *= 0.5 ** (hours / self.half_life_hours)
            if reported:
                open_anew(held, interest, np.log(close), moves, np.array(list(self.leverages.values())))

    def read(self, state: State) -> FloatArray:
        """Shares of each symbol, in the order of the declarations."""
        out = np.full((len(state["close"]), 2 * len(WITHIN)), np.nan)
        known = (state["age"] <= self.known_hours) & ~np.isnan(state["close"]) & state["begun"]
        for i in np.flatnonzero(known):
            out[i] = shares_within(state["held"][:, i], state["centre"][i], np.log(state["close"][i]), np.array(WITHIN))
        return out


def rung_of(price: float) -> int:
    """Number of the rung a price is on.

    Examples
    --------
    >>> rung_of(1.0), rung_of(0.999), rung_of(float(np.exp(0.011)))
    (0, -1, 4)
    """
    return math.floor(math.log(price) / CELL)


@numba.njit(cache=True, nogil=True)
def follow(held: FloatArray, centre: int, low: int, high: int, close: int) -> int:
    """Clear what a bar from `low` to `high` passes, and bring the rings to its close; the new centre.

    A ring holds the rungs from the price to CELLS below (longs) or above (shorts), rung c at place c % CELLS; what
    falls out at its far end is forgotten.
    """
    cells = held.shape[1]
    for rung in range(max(low + 1, centre - cells + 1), centre + 1):
        held[0, rung % cells] = 0.0
    for rung in range(centre, min(high, centre + cells)):
        held[1, rung % cells] = 0.0
    for rung in range(centre + 1, min(close, centre + cells) + 1):
        held[0, rung % cells] = 0.0
    for rung in range(max(close, centre - cells), centre):
        held[1, rung % cells] = 0.0
    return close


@numba.njit(cache=True, nogil=True)
def open_anew(held: FloatArray, interest: float, log_close: float, moves: FloatArray, shares: FloatArray) -> None:
    """Bring both sides to the open interest: what is missing is opened at the close, what is too much is closed."""
    cells = held.shape[1]
    for side in range(2):
        total = held[side].sum()
        if interest <= total:
            held[side] *= interest / total if total > 0.0 else 0.0
            continue
        for k in range(len(moves)):
            away = np.log(1.0 - moves[k]) if side == 0 else np.log(1.0 + moves[k])
            rung = int(np.floor((log_close + away) / CELL))
            held[side, rung % cells] += (interest - total) * shares[k]


@numba.njit(cache=True, nogil=True)
def shares_within(held: FloatArray, centre: int, log_close: float, within: FloatArray) -> FloatArray:
    """Share of each side that a move forces; of the rung the move ends on, the part it passes."""
    cells, out = held.shape[1], np.zeros(2 * len(within))
    for side in range(2):
        total = held[side].sum()
        for k in range(len(within)):
            edge = (log_close + (np.log(1.0 - within[k]) if side == 0 else np.log(1.0 + within[k]))) / CELL
            last, forced = int(np.floor(edge)), 0.0
            if side == 0:
                for rung in range(max(last + 1, centre - cells + 1), centre + 1):
                    forced += held[0, rung % cells]
                forced += held[0, last % cells] * (last + 1.0 - edge) if last > centre - cells else 0.0
            else:
                for rung in range(centre, min(last, centre + cells)):
                    forced += held[1, rung % cells]
                forced += held[1, last % cells] * (edge - last) if last < centre + cells else 0.0
            out[side * len(within) + k] = forced / total if total > 0.0 else np.nan
    return out
