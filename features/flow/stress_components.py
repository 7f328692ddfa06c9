"""What a market-wide stress index is made of: one number a bar from all coins, each rising with stress.

Each component is a compiled function that takes one bar, changes its own memory in place and returns its value, NaN
where no coin (for dispersion and correlation, no two) is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.arrays import FloatArray

Memory = FloatArray
"""What a component remembers of each coin, shape (slots, n)."""
LAST, SQUARE, WEIGHT, SEEN, CROSS, OWN = range(6)


@numba.njit(cache=True, nogil=True)
def median_of_known(values: FloatArray) -> float:
    """Median of the values that are not NaN; NaN where there is none.

    Examples
    --------
    >>> median_of_known(np.array([3.0, np.nan, 1.0])), median_of_known(np.array([np.nan]))
    (2.0, nan)
    """
    ordered = np.sort(values[~np.isnan(values)])
    n = len(ordered)
    return float(0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])) if n else np.nan


@numba.njit(cache=True, nogil=True)
def volatility(memory: Memory, columns: FloatArray, hours: float, half_life: float) -> float:
    """Median over coins of the EWMA volatility of log returns, per hour; columns: close."""
    decay = 0.5 ** (hours / half_life)
    out = np.full(memory.shape[1], np.nan)
    for i in range(memory.shape[1]):
        move = np.log(columns[0, i] / memory[LAST, i])
        memory[LAST, i] = columns[0, i]
        if np.isnan(move):
            continue
        memory[SQUARE, i] = decay * memory[SQUARE, i] + (1.0 - decay) * move * move
        memory[WEIGHT, i] = decay * memory[WEIGHT, i] + (1.0 - decay)
        memory[SEEN, i] += hours
        if memory[SEEN, i] >= half_life:
            out[i] = np.sqrt(memory[SQUARE, i] / memory[WEIGHT, i] / hours)
    return median_of_known(out)


@numba.njit(cache=True, nogil=True)
def correlation(memory: Memory, columns: FloatArray, hours: float, half_life: float) -> float:
    """Mean correlation of pairs of coins: exponential means of the product and of the square of scaled returns.

    Returns are scaled by the EWMA volatility before them. The mean product over pairs is (s^2 - q) / (n (n - 1)) with s
    their sum and q the sum of their squares: no matrix is needed. Columns: close.
    """
    decay = 0.5 ** (hours / half_life)
    total = squares = number = 0.0
    for i in range(memory.shape[1]):
        move = np.log(columns[0, i] / memory[LAST, i])
        memory[LAST, i] = columns[0, i]
        if np.isnan(move):
            continue
        if memory[SEEN, i] >= half_life and memory[SQUARE, i] > 0.0:
            scaled = move / np.sqrt(memory[SQUARE, i] / memory[WEIGHT, i])
            total, squares, number = total + scaled, squares + scaled * scaled, number + 1.0
        memory[SQUARE, i] = decay * memory[SQUARE, i] + (1.0 - decay) * move * move
        memory[WEIGHT, i] = decay * memory[WEIGHT, i] + (1.0 - decay)
        memory[SEEN, i] += hours
    if number < 2.0:
        return np.nan
    memory[CROSS, 0] = decay * memory[CROSS, 0] + (1.0 - decay) * (total * total - squares) / (number * (number - 1.0))
    memory[OWN, 0] = decay * memory[OWN, 0] + (1.0 - decay) * squares / number
    return float(memory[CROSS, 0] / memory[OWN, 0]) if memory[OWN, 0] > 0.0 else np.nan


@numba.njit(cache=True, nogil=True)
def funding_dispersion(memory: Memory, columns: FloatArray, hours: float, half_life: float) -> float:
    """Standard deviation over coins of the funding charged of late, a year; columns: funding_rate.

    Charges are spread over the hours by an exponential mean, so that venues which charge hourly and eight-hourly
    compare. A coin without a charge for four half-lives is not known.
    """
    decay = 0.5 ** (hours / half_life)
    total = squares = number = 0.0
    for i in range(memory.shape[1]):
        charged = columns[0, i]
        memory[LAST, i] = 0.0 if not np.isnan(charged) else memory[LAST, i] + hours
        memory[SQUARE, i] = decay * memory[SQUARE, i] + (1.0 - decay) * (0.0 if np.isnan(charged) else charged / hours)
        memory[WEIGHT, i] = decay * memory[WEIGHT, i] + (1.0 - decay)
        memory[SEEN, i] += hours
        if memory[LAST, i] <= 4.0 * half_life and memory[SEEN, i] >= half_life:
            yearly = 8760.0 * memory[SQUARE, i] / memory[WEIGHT, i]
            total, squares, number = total + yearly, squares + yearly * yearly, number + 1.0
    if number < 2.0:
        return np.nan
    return float(np.sqrt(max(squares / number - (total / number) ** 2, 0.0)))


@numba.njit(cache=True, nogil=True)
def open_interest_drop(memory: Memory, columns: FloatArray, hours: float, half_life: float) -> float:
    """Median over coins of how far log open interest lies below its exponential mean; columns: open_interest.

    Nothing below 0. A report is held until the next one, for up to four half-lives.
    """
    decay = 0.5 ** (hours / half_life)
    out = np.full(memory.shape[1], np.nan)
    for i in range(memory.shape[1]):
        reported = columns[0, i] > 0.0
        memory[LAST, i] = np.log(columns[0, i]) if reported else memory[LAST, i]
        memory[OWN, i] = 0.0 if reported else memory[OWN, i] + hours
        if np.isnan(memory[LAST, i]) or memory[OWN, i] > 4.0 * half_life:
            continue
        memory[SQUARE, i] = decay * memory[SQUARE, i] + (1.0 - decay) * memory[LAST, i]
        memory[WEIGHT, i] = decay * memory[WEIGHT, i] + (1.0 - decay)
        memory[SEEN, i] += hours
        if memory[SEEN, i] >= half_life:
            out[i] = max(memory[SQUARE, i] / memory[WEIGHT, i] - memory[LAST, i], 0.0)
    return median_of_known(out)


@numba.njit(cache=True, nogil=True)
def liquidation_flow(memory: Memory, columns: FloatArray, hours: float, half_life: float) -> float:
    """What was liquidated over what was traded, all coins together, exponential means of both.

    Columns: liquidated_long, liquidated_short, volume, last_close. A coin for which one is missing is left out.
    """
    decay = 0.5 ** (hours / half_life)
    forced = traded = 0.0
    known = False
    for i in range(memory.shape[1]):
        own, turnover = columns[0, i] + columns[1, i], columns[2, i] * columns[3, i]
        if not np.isnan(own + turnover):
            forced, traded, known = forced + own, traded + turnover, True
    if not known:
        return np.nan
    memory[CROSS, 0] = decay * memory[CROSS, 0] + (1.0 - decay) * forced
    memory[OWN, 0] = decay * memory[OWN, 0] + (1.0 - decay) * traded
    return float(memory[CROSS, 0] / memory[OWN, 0]) if memory[OWN, 0] > 0.0 else np.nan


@numba.njit(cache=True, nogil=True)
def depth_thinness(memory: Memory, columns: FloatArray, hours: float, half_life: float) -> float:
    """Median over coins of how far log depth lies below its exponential mean; columns: bid and ask depth."""
    decay = 0.5 ** (hours / half_life)
    out = np.full(memory.shape[1], np.nan)
    for i in range(memory.shape[1]):
        depth = columns[0, i] + columns[1, i]
        if not depth > 0.0:
            continue
        memory[SQUARE, i] = decay * memory[SQUARE, i] + (1.0 - decay) * np.log(depth)
        memory[WEIGHT, i] = decay * memory[WEIGHT, i] + (1.0 - decay)
        memory[SEEN, i] += hours
        if memory[SEEN, i] >= half_life:
            out[i] = memory[SQUARE, i] / memory[WEIGHT, i] - np.log(depth)
    return median_of_known(out)


@dataclass(frozen=True)
class Component:
    """One part of a stress index.

    Parameters
    ----------
    name
        In the field's words.
    columns
        Bar columns it reads, in the order its function takes them.
    half_life_hours
        Of its exponential means.
    take
        The function: memory, columns (shape (k, n)), length of the bar in hours, half-life; returns the value.
    summary
        What it is.
    """

    name: str
    columns: tuple[str, ...]
    half_life_hours: float
    take: Callable[[Memory, FloatArray, float, float], float]
    summary: str

    def start(self, symbols: int) -> Memory:
        """Memory before the first bar."""
        memory = np.zeros((6, symbols))
        memory[LAST] = np.nan
        return memory


LIQUIDATIONS = ("liquidated_long", "liquidated_short", "volume", "last_close")
COMPONENTS = (
    Component("volatility", ("close",), 24.0, volatility, "median volatility"),
    Component("correlation", ("close",), 72.0, correlation, "mean correlation of pairs"),
    Component("funding_dispersion", ("funding_rate",), 24.0, funding_dispersion, "spread of funding over coins"),
    Component("open_interest_drop", ("open_interest",), 24.0, open_interest_drop, "median fall of open interest"),
    Component("liquidation_flow", LIQUIDATIONS, 6.0, liquidation_flow, "share of the turnover that was forced"),
)
"""Components that need no order book; `depth_component` makes that of a depth."""


def depth_component(bid: str, ask: str) -> Component:
    """The thinness of the order book, from the names of two depth columns.

    Examples
    --------
    >>> depth_component("bid_50bps", "ask_50bps").columns
    ('bid_50bps', 'ask_50bps')
    """
    return Component("depth_thinness", (bid, ask), 168.0, depth_thinness, "median thinness of the order book")
