"""The stresses every venue should run: what each does to prices, depth, volatility, oracle and trading.

Sizes are arguments with defaults; a default that is not an event of record is margincast's choice and says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, require
from ..errors import InputError
from ..instruments import InstrumentTable
from ..market import UNIT_INDEX, MarketHistory
from .path import StressPath, price_path


def flash_crash(
    table: InstrumentTable, beta: ArrayLike, *, fall: float = 0.3, steps: int = 10, recovery: float = 0.5
) -> StressPath:
    """Prices fall in `steps` even log steps, depth thins to a tenth, then part of the fall is regained.

    Parameters
    ----------
    beta
        What each contract moves for a log move of one of the market, shape (n_instruments,).
    fall
        Fall of the market, fraction in (0, 1). 0.3 is margincast's choice.
    recovery
        Share of the log fall that is regained at the end.

    Examples
    --------
    >>> path = flash_crash(InstrumentTable.linear_perpetuals(["BTC", "ALT"]), [1.0, 2.0], fall=0.5, steps=1)
    >>> path.mark.round(4).tolist(), path.depth.tolist()
    ([[0.5, 0.25], [0.7071, 0.5]], [0.1, 0.5])
    """
    _steps("steps", steps)
    _within("recovery", recovery, 0.0, 1.0)
    down = np.log1p(-_share("fall", fall)) * np.append(np.arange(1, steps + 1) / steps, 1 - recovery)
    depth = np.append(np.linspace(1.0, 0.1, steps + 1)[1:], 0.5)
    told = f"the market falls {fall:.0%} in {steps} steps, depth to a tenth, then {recovery:.0%} of it is regained"
    return price_path("flash crash", told, _moved(down, beta, table), table, depth=depth, volatility=2.0)


def volatility_spike(
    table: InstrumentTable, sigma: ArrayLike, *, multiple: float = 3.0, deviations: float = 2.0, swings: int = 4
) -> StressPath:
    """Volatility rises to `multiple` of itself and prices swing up and down by `deviations` of it.

    Parameters
    ----------
    sigma
        Usual standard deviation of each contract's log move over a step, shape (n_instruments,).
    """
    _within("multiple", multiple, 1.0, np.inf)
    _within("deviations", deviations, 0.0, np.inf)
    _steps("swings", swings)
    reach = multiple * deviations * _of(table, sigma, "sigma")
    factors = np.exp(np.array([reach * (1 if k % 2 else -1) for k in range(swings)]))
    told = f"volatility times {multiple:g}: {swings} swings of {deviations:g} new standard deviations, down first"
    return price_path("volatility spike", told, factors, table, depth=1 / multiple, volatility=multiple)


def liquidity_drought(
    table: InstrumentTable, beta: ArrayLike, *, fall: float = 0.1, depth: float = 0.05, steps: int = 4
) -> StressPath:
    """A moderate fall while almost nobody quotes: what liquidations do to prices when books are thin."""
    _steps("steps", steps)
    _within("depth", depth, 0.0, 1.0)
    down = np.log1p(-_share("fall", fall)) * np.arange(1, steps + 1) / steps
    told = f"the market falls {fall:.0%} with {depth:.0%} of the usual depth"
    return price_path("liquidity drought", told, _moved(down, beta, table), table, depth=depth)


def correlation_to_one(table: InstrumentTable, sigma: ArrayLike, *, deviations: float = 5.0) -> StressPath:
    """Every contract falls by the same number of its own standard deviations: hedges across coins still hold."""
    _within("deviations", deviations, 0.0, np.inf)
    told = f"every contract falls {deviations:g} of its own standard deviations"
    moves = np.exp(-deviations * _of(table, sigma, "sigma"))
    return price_path("correlation to one", told, moves[None, :], table, depth=0.3)


def correlation_reversed(table: InstrumentTable, sigma: ArrayLike, *, deviations: float = 3.0) -> list[StressPath]:
    """Contracts that moved together move apart: odd ones up and even ones down, and the other way round.

    Odd and even are taken by falling volatility, so that the calm and the wild are on both sides.
    """
    _within("deviations", deviations, 0.0, np.inf)
    spread = _of(table, sigma, "sigma")
    place = np.empty(len(table), dtype=np.int64)
    place[np.argsort(-spread, kind="stable")] = np.arange(len(table))
    told = f"contracts taken in turn by volatility move {deviations:g} of their standard deviations apart"
    return [
        price_path(name, told, np.exp(np.where(place % 2, 1, -1) * side * deviations * spread)[None, :], table)
        for name, side in (("correlation reversed", 1), ("correlation reversed, other way", -1))
    ]


def depeg(table: InstrumentTable, asset: str, *, fall: float = 0.13) -> StressPath:
    """A coin taken as collateral loses part of its value; nothing else moves.

    The default is what USDC lost on 11 March 2023, when it traded at 0.87 to 0.88 (CoinDesk and others of that day).
    """
    place = int(table.asset_index_of([asset])[0])
    if place == 0:
        raise InputError("equity is told in it: it cannot lose its peg to itself", column="asset", value=asset)
    flat = price_path(f"{asset} loses its peg", f"{asset} falls {_share('fall', fall):.0%}", [1.0], table)
    index = flat.index.copy()
    index[:, place] = 1 - fall
    return StressPath(flat.name, flat.told, flat.mark, index, flat.depth, flat.volatility, flat.oracle, flat.trading)


def oracle_outage(table: InstrumentTable, beta: ArrayLike, *, fall: float = 0.15, steps: int = 3) -> StressPath:
    """The venue goes on with old marks while the market falls, and sees all of it at once when the oracle is back."""
    _steps("steps", steps)
    down = np.log1p(-_share("fall", fall)) * np.append(np.arange(1, steps + 1) / steps, 1.0)
    oracle = np.append(np.zeros(steps, dtype=np.bool_), True)
    told = f"marks stand still for {steps} steps while the market falls {fall:.0%}"
    return price_path("oracle outage", told, _moved(down, beta, table), table, oracle=oracle, depth=0.5)


def exchange_outage(table: InstrumentTable, beta: ArrayLike, *, fall: float = 0.15, steps: int = 3) -> StressPath:
    """Marks are seen, but nothing is matched or liquidated until the end of the fall."""
    _steps("steps", steps)
    down = np.log1p(-_share("fall", fall)) * np.append(np.arange(1, steps + 1) / steps, 1.0)
    trading = np.append(np.zeros(steps, dtype=np.bool_), True)
    told = f"no matching for {steps} steps while the market falls {fall:.0%}"
    return price_path("exchange outage", told, _moved(down, beta, table), table, trading=trading, depth=0.5)


def historical_replay(history: MarketHistory, start: np.datetime64, end: np.datetime64) -> StressPath:
    """What prices did from one bar's open to another's, close by close, applied to a book of today.

    Raises
    ------
    InputError
        Instants off the bar grid or in the wrong order, a contract or asset without a price on the way (named).

    Examples
    --------
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(1, "h")
    >>> p = np.array([[100.0], [90.0], [80.0], [95.0]])
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1], np.zeros((4, 1)))
    >>> historical_replay(history, times[1], times[3]).mark.tolist()
    [[0.9], [0.8]]
    """
    first, last = history.bar_of(start), history.bar_of(end)
    if not 1 <= first < last:
        raise InputError(f"a replay needs a bar before it and an end after {start}", column="end", value=str(end))
    table = history.instruments
    closes = history.close[first - 1 : last]
    mark = closes[:, history.mark_series]
    index = np.where(history.index_series == UNIT_INDEX, 1.0, closes[:, history.index_series])
    for name, prices, names in (("mark", mark, table.symbols), ("index", index, table.assets)):
        gap = np.isnan(prices).any(axis=0)
        if gap.any():
            who = names[int(np.argmax(gap))]
            raise InputError(f"has no {name} price throughout {start} to {end}", column="symbol", value=who)
    steps = np.ones(last - first)
    told = f"closes of {history.source} from {np.datetime_as_string(start, 'm')} to {np.datetime_as_string(end, 'm')}"
    return StressPath(
        f"replay {np.datetime_as_string(start, 'D')}", told, mark[1:] / mark[0], index[1:] / index[0],
        steps, steps, steps == 1, steps == 1,
    )  # fmt: skip


def standard_stresses(
    table: InstrumentTable, beta: ArrayLike, sigma: ArrayLike, *, pegged: Sequence[str] = ()
) -> list[StressPath]:
    """Every stress above at its defaults; `pegged` assets lose their pegs one by one.

    Parameters
    ----------
    beta, sigma
        As in `flash_crash` and `volatility_spike`; sigma over a day is what the defaults mean.
    """
    return [
        flash_crash(table, beta),
        volatility_spike(table, sigma),
        liquidity_drought(table, beta),
        correlation_to_one(table, sigma),
        *correlation_reversed(table, sigma),
        oracle_outage(table, beta),
        exchange_outage(table, beta),
        *(depeg(table, asset) for asset in pegged),
    ]


def _share(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise InputError("must be in (0, 1)", column=name, value=value)
    return value


def _within(name: str, value: float, low: float, high: float) -> None:
    if not (low <= value <= high and np.isfinite(value)):
        raise InputError(f"must be a number in [{low:g}, {high:g}]", column=name, value=value)


def _steps(name: str, value: int) -> None:
    if type(value) is not int or value < 1:
        raise InputError("must be a whole number from 1", column=name, value=value)


def _of(table: InstrumentTable, values: ArrayLike, name: str) -> FloatArray:
    column = np.asarray(values, np.float64)
    if column.shape != (len(table),):
        raise InputError(f"has shape {column.shape}, expected ({len(table)},)", column=name)
    require(np.isfinite(column), column, "must be a finite number", name)
    return column


def _moved(log_market: FloatArray, beta: ArrayLike, table: InstrumentTable) -> FloatArray:
    return np.exp(np.outer(log_market, _of(table, beta, "beta")))
