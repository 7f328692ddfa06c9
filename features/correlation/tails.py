"""Tail dependence: how often coins have their worst bars together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.step import Declaration, State
from .blocks import Block, BlockStep, bars_of, span
from .pair_moments import take_returns

SOURCE = "empirical copula at (q, q) over q: R. Schmidt and U. Stadtmueller, Scand. J. Statistics 33 (2006)"


@dataclass(frozen=True)
class TailDependenceStep(BlockStep):
    """Share of one coin's worst bars that are among another's worst too, over a trailing window.

    With the k = share * window lowest returns of each coin (the earlier of equals), lambda_ij = bars in both sets / k:
    the empirical lower tail dependence of Schmidt and Stadtmueller 2006 at that share; about `share` for independent
    coins, 1 where all crash together.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    window_hours
        Trailing window.
    share
        Which part of the bars is the tail; rounded to whole bars, at least one.

    Raises
    ------
    InputError
        A share that is not between 0 and 1/2.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)
    bar_hours: float
    window_hours: float = 720.0
    share: float = 0.05

    def __post_init__(self) -> None:
        bars_of(self.window_hours, self.bar_hours, "window_hours")
        if not 0.0 < self.share <= 0.5:
            raise InputError("must be above 0 and at most 1/2", column="share", value=self.share)

    @property
    def window(self) -> int:
        """Window in bars."""
        return round(self.window_hours / self.bar_hours)

    @property
    def tail(self) -> int:
        """Bars in the tail."""
        return max(round(self.share * self.window), 1)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        name, hours, worst = span(self.window_hours), self.window_hours, f"worst {self.share:.0%}"
        rule = "coins with a gap in the window are left out and NaN; all are NaN where fewer than two are left"
        mine = f"share of the coin's {worst} of bars that are among another's, mean over the others"
        mean = f"mean over pairs of the share of {worst} of bars in common"
        return (
            Declaration(f"tail_dependence_{name}", mine, "share, 0 to 1", self.inputs, hours, rule, SOURCE),
            Declaration(f"average_tail_dependence_{name}", mean, "share, 0 to 1", self.inputs, hours, rule, SOURCE),
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: a ring of returns and how many bars there were."""
        n = len(symbols)
        return {
            "last": np.full(n, np.nan),
            "ring": np.full((self.window, n), np.nan),
            "seen": np.zeros(1, np.int64),
        }

    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""
        _advance(block["close"], state["last"], state["ring"], state["seen"])

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 2)."""
        out = np.full((len(state["last"]), 2), np.nan)
        _read(state["ring"], int(state["seen"][0]), self.tail, out)
        return out


@numba.njit(cache=True, nogil=True)
def _advance(close: FloatArray, last: FloatArray, ring: FloatArray, seen: IntArray) -> None:
    for row in range(len(close)):
        take_returns(close[row], last, ring[seen[0] % len(ring)])
        seen[0] += 1


@numba.njit(cache=True, nogil=True)
def _lowest(ring: FloatArray, coin: int, seen: int, lowest: IntArray) -> bool:
    """Places of the coin's lowest returns, oldest first among equals; False where the window has a gap."""
    rows, k, found = len(ring), len(lowest), 0
    values = np.empty(k)
    for age in range(rows):
        place = (seen + age) % rows
        value = ring[place, coin]
        if np.isnan(value):
            return False
        if found == k and value >= values[k - 1]:
            continue
        at = found if found < k else k - 1
        while at > 0 and values[at - 1] > value:
            values[at], lowest[at] = values[at - 1], lowest[at - 1]
            at -= 1
        values[at], lowest[at] = value, place
        found = min(found + 1, k)
    return True


@numba.njit(cache=True, nogil=True)
def _read(ring: FloatArray, seen: int, k: int, out: FloatArray) -> None:
    rows, n = ring.shape
    lowest = np.zeros((n, k), np.int64)
    worst, known = np.zeros((n, rows), np.bool_), np.zeros(n, np.bool_)
    for i in range(n):
        known[i] = _lowest(ring, i, seen, lowest[i])
        if known[i]:
            worst[i, lowest[i]] = True
    coins = known.sum()
    if coins < 2:
        return
    whole = 0.0
    for i in range(n):
        if known[i]:
            common = 0
            for j in range(n):
                if known[j] and j != i:
                    common += worst[j, lowest[i]].sum()
            out[i, 0] = common / (k * (coins - 1))
            whole += out[i, 0]
    out[:, 1] = whole / coins
