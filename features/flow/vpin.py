"""VPIN: how one-sided the flow is in buckets of equal volume, buys and sells told apart in bulk by the price change."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow
from ..engine.step import Declaration, State

SOURCE = (
    "D. Easley, M. Lopez de Prado and M. O'Hara, Flow toxicity and liquidity in a high-frequency world, "
    "Review of Financial Studies 25 (2012)"
)
DAY = np.timedelta64(1, "D")
INPUTS = ("last_close", "volume")
ROOT_2 = math.sqrt(2.0)


@dataclass(frozen=True)
class VpinStep:
    """Volume-synchronised probability of informed trading (VPIN), updated at every bar.

    Of a bar's volume the share Phi(r / sigma) is taken as bought, r its log return and sigma the standard deviation of
    the returns before it. Volume is filled into buckets of a `buckets_a_day`-th of the mean daily volume so far, and
    VPIN is the mean of |bought - sold| / volume over the last `buckets` of them. The paper takes one sigma and one
    bucket size from its whole sample; here both are exponential means of the past, so that nothing looks ahead. Bars
    should be short against a bucket: one that fills several gives them all the same side.

    Parameters
    ----------
    buckets
        Over which it is averaged.
    buckets_a_day
        What share of a day's volume a bucket holds.
    half_life_hours
        Of the mean volume and of the variance of returns.

    Raises
    ------
    InputError
        A number that is not positive.

    Examples
    --------
    The price stands still, so half of all is taken as bought:

    >>> from ..engine.bars import BarTable
    >>> from ..engine.step import run_step
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(99) * np.timedelta64(1, "h")
    >>> price = 100.0 + (np.arange(99) < 40)[:, None] * np.array([1.0, -1.0] * 50)[:99, None]
    >>> table = BarTable(times, np.timedelta64(1, "h"), ("BTC",), {"last_close": price, "volume": np.ones((99, 1))})
    >>> run_step(VpinStep(10, 6, 24.0), table, np.array([99]))[0, 0].tolist()
    [0.0]
    """

    buckets: int = 50
    buckets_a_day: float = 50.0
    half_life_hours: float = 720.0

    def __post_init__(self) -> None:
        for name in ("buckets", "buckets_a_day", "half_life_hours"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError("must be positive", column=name, value=getattr(self, name))

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """VPIN alone."""
        return (
            Declaration(
                "vpin",
                f"Mean one-sidedness of the last {self.buckets} volume buckets, sides by bulk classification",
                "share, 0 to 1",
                INPUTS,
                24.0 * self.buckets / self.buckets_a_day,
                "a bar without price or volume is passed over, and so is the return after it; NaN until a half-life of "
                "bars and the buckets have been filled",
                SOURCE,
            ),
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """Empty buckets."""
        n = len(symbols)
        return {
            "price": np.full(n, np.nan),
            "square": np.zeros(n),
            "volume": np.zeros(n),
            "weight": np.zeros(n),
            "hours": np.zeros(n),
            "size": np.full(n, np.nan),
            "filled": np.zeros((n, 2)),
            "full": np.zeros((n, self.buckets)),
            "number": np.zeros(n, np.int64),
        }

    def update(self, state: State, row: BarRow) -> None:
        """Take in one bar."""
        hours = float((row.closed - row.opened) / np.timedelta64(1, "h"))
        _take_bar(
            np.ascontiguousarray(row["last_close"], np.float64),
            np.ascontiguousarray(row["volume"], np.float64),
            hours,
            0.5 ** (hours / self.half_life_hours),
            self.half_life_hours,
            self.buckets_a_day,
            state["price"],
            state["square"],
            state["volume"],
            state["weight"],
            state["hours"],
            state["size"],
            state["filled"],
            state["full"],
            state["number"],
        )

    def read(self, state: State) -> FloatArray:
        """VPIN of each symbol, shape (n, 1)."""
        enough = state["number"] >= self.buckets
        return np.where(enough, state["full"].mean(axis=1), np.nan)[:, None]


@numba.njit(cache=True, nogil=True)
def _take_bar(
    price: FloatArray,
    volume: FloatArray,
    hours: float,
    decay: float,
    least_hours: float,
    buckets_a_day: float,
    last: FloatArray,
    square: FloatArray,
    mean_volume: FloatArray,
    weight: FloatArray,
    seen: FloatArray,
    size: FloatArray,
    filled: FloatArray,
    full: FloatArray,
    number: IntArray,
) -> None:
    for i in range(len(price)):
        move = np.log(price[i] / last[i])
        last[i] = price[i]
        if np.isnan(move) or np.isnan(volume[i]):
            continue
        if seen[i] >= least_hours and square[i] > 0.0 and mean_volume[i] > 0.0:
            sigma = np.sqrt(square[i] / weight[i])
            bucket = mean_volume[i] / weight[i] * (24.0 / hours) / buckets_a_day
            size[i] = bucket if np.isnan(size[i]) else size[i]
            _fill(i, volume[i], 0.5 * math.erfc(-move / sigma / ROOT_2), bucket, size, filled, full, number)
        square[i] = decay * square[i] + (1.0 - decay) * move * move
        mean_volume[i] = decay * mean_volume[i] + (1.0 - decay) * volume[i]
        weight[i] = decay * weight[i] + (1.0 - decay)
        seen[i] += hours


@numba.njit(cache=True, nogil=True)
def _fill(
    i: int,
    volume: float,
    bought: float,
    next_size: float,
    size: FloatArray,
    filled: FloatArray,
    full: FloatArray,
    number: IntArray,
) -> None:
    """Pour a bar's volume into buckets; `filled` holds what is in the open one, in all and bought.

    A bar that would fill all buckets and one more fills no more than that.
    """
    left = min(volume, size[i] + full.shape[1] * next_size)
    while left > 0.0:
        room = size[i] - filled[i, 0]
        part = min(left, room)
        filled[i, 0] += part
        filled[i, 1] += part * bought
        left -= part
        if part < room:
            return
        full[i, number[i] % full.shape[1]] = abs(2.0 * filled[i, 1] - size[i]) / size[i]
        number[i] += 1
        filled[i, 0], filled[i, 1], size[i] = 0.0, 0.0, next_size
