"""Features of 50 assets: a year of minutes at once against pandas, and one bar at a time in a stream.

Eight features: EWMA volatility, realised volatility over 5, 15, 60, 240 and 1,440 bars, Parkinson and Garman-Klass
over 60. pandas runs its own rolling and ewm over the same wide arrays, one column an asset, logarithms by NumPy; both
answers are compared. The stream's time a tick is of `update` and `read` of all 50 assets, eight features and the whole
panel of formulas (its longest tick is the one a month that makes a 30-day window's tails); the pandas tick computes one
feature anew over its window, as a loop without state must.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from machine import machine, options, say_goals, say_machine, write_json

from margincast.features.engine.bars import BarRow, BarTable, ColumnMatrix
from margincast.features.engine.expression import column
from margincast.features.engine.formula import Formula
from margincast.features.engine.program import Program
from margincast.features.engine.step import run_step
from margincast.features.families import PANEL, FormulaBars
from margincast.features.volatility.estimators import (
    ewma_volatility,
    garman_klass,
    log_returns,
    parkinson,
    realised_volatility,
)

ASSETS, MINUTES_A_YEAR, HALF_LIFE, WINDOWS, RANGE = 50, 525_600, 60.0, (5, 15, 60, 240, 1440), 60
BATCH_GOAL, TICK_GOAL = 5.0, 10.0
PRICES = ("open", "high", "low", "close")
ROUNDS, TICKS = 3, 4000


def draw_table(bars: int) -> BarTable:
    """Random walks of minutes, with the ranges and volumes a market has."""
    rng = np.random.default_rng(1)
    close = np.exp(np.cumsum(rng.standard_normal((bars, ASSETS)) * 1e-3, axis=0)) * 100.0
    opened = np.vstack([np.full((1, ASSETS), 100.0), close[:-1]])
    reach = 1.0 + np.abs(rng.standard_normal((bars, ASSETS))) * 5e-4
    columns = {"open": opened, "close": close, "high": np.maximum(opened, close) * reach}
    columns["low"] = np.minimum(opened, close) / reach
    times = np.datetime64("2023-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "m")
    return BarTable(times, np.timedelta64(1, "m"), tuple(f"C{k:02d}" for k in range(ASSETS)), columns)


def eight() -> list[Formula]:
    """The eight features as formulas."""
    open_, high, low, close = (column(name) for name in PRICES)
    returns = log_returns(close)
    values = {"ewma": ewma_volatility(returns, HALF_LIFE)}
    values |= {f"realised_{window}": realised_volatility(returns, window) for window in WINDOWS}
    values |= {"parkinson": parkinson(high, low, RANGE), "garman_klass": garman_klass(open_, high, low, close, RANGE)}
    return [Formula(name, value, name, "volatility per bar") for name, value in values.items()]


def by_pandas(table: BarTable) -> dict[str, pd.DataFrame]:
    """The same eight, as one would write them in pandas."""
    open_, high, low, close = (np.log(table.columns[name]) for name in PRICES)
    returns = pd.DataFrame(close).diff()
    squares = returns**2
    out = {"ewma": np.sqrt(squares.ewm(halflife=HALF_LIFE, min_periods=int(HALF_LIFE)).mean())}
    out |= {f"realised_{window}": np.sqrt(squares.rolling(window).mean()) for window in WINDOWS}
    span, move = pd.DataFrame(high - low), pd.DataFrame(close - open_)
    out["parkinson"] = np.sqrt((span**2).rolling(RANGE).mean() / (4.0 * np.log(2.0)))
    klass = 0.5 * span**2 - (2.0 * np.log(2.0) - 1.0) * move**2
    out["garman_klass"] = np.sqrt(klass.rolling(RANGE).mean())
    return out


def resident(what: str) -> float:
    """Resident memory of this process in MB: VmRSS now, VmHWM at most since `forget_peak`; 0 where Linux is not."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith(what)), 0.0)


def forget_peak() -> None:
    """Let VmHWM count from now on."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def seconds(call: Callable[[], object]) -> float:
    """Time of one call; what it returns is let go."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def check(table: BarTable) -> None:
    """Both ways say the same on a stretch of the table."""
    bars = min(len(table), 20_000)
    short = table.part(0, bars)
    found = run_step(Program(eight(), table.step), short, np.arange(1, bars + 1))
    for place, (name, said) in enumerate(by_pandas(short).items()):
        np.testing.assert_allclose(found[2000:, :, place], said.to_numpy()[2000:], rtol=1e-6, err_msg=name)


def ticks(program: Program, table: BarTable, count: int) -> dict[str, float]:
    """Microseconds a tick of a stream, after as many bars of warm-up."""
    columns = {name: table.columns[name][: 2 * count] for name in program.inputs}
    matrices = np.stack([columns[name] for name in program.inputs], axis=1)
    state = program.start(table.symbols)
    row = ColumnMatrix(program.inputs, matrices[0].copy())
    taken = []
    for bar in range(2 * count):
        row.matrix[:] = matrices[bar]
        one = BarRow(table.times[bar], table.times[bar] + table.step, row)
        begun = time.perf_counter()
        program.update(state, one)
        program.read(state)
        taken.append(time.perf_counter() - begun)
    spent = np.array(taken[count:]) * 1e6
    return {"p50": float(np.median(spent)), "p99": float(np.quantile(spent, 0.99)), "max": float(spent.max())}


def with_all_columns(table: BarTable, bars: int) -> BarTable:
    """A short table with every column the panel's formulas read."""
    columns = {name: values[:bars] for name, values in table.columns.items()}
    columns |= {f"last_{name}": columns[name] for name in PRICES}
    columns |= {name: columns["close"] for name in ("mark_close", "spot_close", "volume", "open_interest")}
    columns["funding_rate"] = np.full((bars, ASSETS), 1e-4)
    columns |= {f"{side}_{level}bps": columns["close"] for side in ("bid", "ask") for level in (10, 50)}
    return BarTable(table.times[:bars], table.step, table.symbols, columns)


def pandas_tick(table: BarTable) -> float:
    """Microseconds to compute one realised volatility of 50 assets anew from its 1,440 bars."""
    window = pd.DataFrame(table.columns["close"][:1441])
    taken = [seconds(lambda: np.sqrt((np.log(window).diff() ** 2).rolling(1440).mean().iloc[-1])) for _ in range(20)]
    return float(np.median(taken)) * 1e6


def main() -> None:
    """Run both ways in turn, then the streams."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    bars, count = (20_000, 500) if asked.quick else (MINUTES_A_YEAR, TICKS)
    table, program = draw_table(bars), Program(eight(), np.timedelta64(1, "m"))
    check(table)
    rows = np.arange(1, bars + 1)
    forget_peak()
    before = resident("VmRSS")
    own, other = [seconds(lambda: run_step(program, table, rows))], []
    peak = resident("VmHWM")
    for _ in range(ROUNDS):
        own.append(seconds(lambda: run_step(program, table, rows)))
        other.append(seconds(lambda: by_pandas(table)))
    mine, theirs = float(np.median(own[1:])), float(np.median(other))
    size = bars * ASSETS
    print(f"{ASSETS} assets x {bars:,} minutes, eight features: {mine:.2f} s ({size / mine:,.0f} asset-bars/s), "
          f"pandas {theirs:.2f} s ({size / theirs:,.0f})")  # fmt: skip
    output = size * 8 * 8 / 1e6
    state = sum(values.nbytes for values in program.start(table.symbols).values()) / 1e6
    beyond = peak - before - output
    print(f"memory: bars {size * 4 * 8 / 1e6:,.0f} MB, features {output:,.0f} MB, beyond both {beyond:,.0f} MB")
    print(f"state of the stream {state:.1f} MB")
    wide = with_all_columns(table, 2 * count)
    formulas = [one for family in PANEL for one in family(FormulaBars(wide.bar_hours, frozenset(wide.columns)))]
    panel = Program(formulas, wide.step)
    streams = {"eight features": ticks(program, table, count), f"panel, {len(formulas)}": ticks(panel, wide, count)}
    for name, spent in streams.items():
        told = ", ".join(f"{what} {value:,.1f}" for what, value in spent.items())
        print(f"a tick of {ASSETS} assets, {name}, us: {told}")
    anew = pandas_tick(table)
    print(f"pandas, one feature anew: {anew:,.0f} us")
    tick = streams["eight features"]["p50"]
    goals = {
        "a year of minutes, pandas": (theirs / mine, BATCH_GOAL),
        f"a tick of eight features, {TICK_GOAL:g} us over p50": (TICK_GOAL / tick, 1.0),
        "a tick, one feature anew in pandas": (anew / tick, 100.0),
    }
    judged = say_goals(goals, asked.quick)
    figures = {"batch_s": mine, "pandas_s": theirs, "streams_us": streams, "state_mb": state, "beyond_mb": beyond}
    write_json(asked.json, {"machine": found, **figures, "goals": judged})


if __name__ == "__main__":
    main()
