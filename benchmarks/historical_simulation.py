"""Historical simulation of 20,000 accounts over 1, 4 and 24 bars: windows side by side against a loop over paths.

Both are compiled, in single precision along the paths, and smooth a breach alike. The loop takes one path at a time: it
passes over those whose extremes clear the headroom by far, and walks the points of the others only if there is more
than one leg. Accounts hold 1 to 5 coins, two thirds of them all long or all short. One thread; probabilities agree to
1e-12.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from machine import machine, options, say_goals, say_machine, timed, write_json

from margincast.models.historical import window_count
from margincast.models.path_kernel import REACH, gain
from margincast.models.paths import PathLibrary, breach_probability, collect_paths
from margincast.riskcore.exposure import Exposure
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import UNIT_INDEX, MarketHistory

COINS, BARS, BANDWIDTH = 5, 30_000, 0.08
GOALS = {1: 6.0, 4: 5.0, 24: 3.0}


def draw_history(rng: np.random.Generator) -> MarketHistory:
    """Hours of coins that move together, 0.8% an hour, heavy in the tails."""
    step = 0.005 * (rng.standard_t(4, (BARS, 1)) + 0.6 * rng.standard_t(4, (BARS, COINS)))
    close = 100.0 * np.exp(np.cumsum(step, axis=0))
    opened = np.vstack((np.full((1, COINS), 100.0), close[:-1]))
    wick = np.exp(0.003 * rng.exponential(1.0, (2, BARS, COINS)))
    low, high = np.minimum(opened, close) / wick[0], np.maximum(opened, close) * wick[1]
    table = InstrumentTable.linear_perpetuals([f"C{k}" for k in range(COINS)])
    times = np.datetime64("2020-01-01", "ns") + np.arange(BARS) * np.timedelta64(1, "h")
    still = np.zeros((BARS, COINS))
    return MarketHistory(table, times, opened, high, low, close, np.arange(COINS), [UNIT_INDEX], still)


def draw_exposure(rng: np.random.Generator, accounts: int) -> Exposure:
    """Accounts with headroom of 0.3% to 30% of what they hold."""
    legs = np.minimum(rng.geometric(0.4, accounts), COINS)
    pointer = np.append(0, np.cumsum(legs))
    held = rng.permuted(np.tile(np.arange(COINS), (accounts, 1)), axis=1)
    series = np.concatenate([np.sort(coins[:n]) for coins, n in zip(held, legs, strict=True)])
    side = np.repeat(rng.choice([-1, 1], accounts), legs)
    turned = np.repeat(rng.random(accounts) < 1 / 3, legs)
    side = np.where(turned, rng.choice([-1, 1], len(series)), side)
    weight = side * rng.lognormal(8.5, 1.0, len(series))
    room = np.add.reduceat(np.abs(weight), pointer[:-1]) * np.exp(rng.uniform(np.log(0.003), np.log(0.3), accounts))
    return Exposure(pointer, series, weight, room, room, np.zeros(accounts))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def loop(
    pointer: np.ndarray,
    series: np.ndarray,
    weight: np.ndarray,
    scale: np.ndarray,
    headroom: np.ndarray,
    paths: np.ndarray,
    lowest: np.ndarray,
    highest: np.ndarray,
    bandwidth: float,
    probability: np.ndarray,
) -> None:
    """Write each account's probability, one path after the other."""
    value = np.empty(paths.shape[2], dtype=np.float32)
    far = math.exp(REACH * bandwidth)
    for row in range(len(headroom)):
        total, begin, end = 0.0, pointer[row], pointer[row + 1]
        for path in range(len(paths)):
            bound = np.float32(0.0)
            for leg in range(begin, end):
                extreme = lowest[path, series[leg]] if weight[leg] > 0.0 else highest[path, series[leg]]
                bound += np.float32(weight[leg]) * gain(np.float32(scale[leg]) * extreme)
            loss = -float(bound)
            if loss * far < headroom[row]:
                continue
            if end - begin > 1:
                value[:] = 0.0
                for leg in range(begin, end):
                    z = paths[path, series[leg]]
                    s, w = np.float32(scale[leg]), np.float32(weight[leg])
                    for k in range(len(value)):
                        value[k] += w * gain(s * z[k])
                worst = np.float32(0.0)
                for k in range(len(value)):
                    worst = min(worst, value[k])
                loss = -float(worst)
            if loss > far * headroom[row]:
                total += 1.0
            elif loss * far > headroom[row]:
                total += 1.0 / (1.0 + math.exp(math.log(headroom[row] / loss) / bandwidth))
        probability[row] = total / len(paths)


def loop_probability(exposure: Exposure, library: PathLibrary, scale: np.ndarray) -> np.ndarray:
    """The loop over all accounts."""
    e, moves, out = exposure, library.moves, np.empty(len(exposure))
    extremes = moves.min(axis=2), moves.max(axis=2)
    loop(e.pointer, e.series, e.weight, scale, e.headroom, moves, *extremes, BANDWIDTH, out)
    return out


def compare(exposure: Exposure, library: PathLibrary, scale: np.ndarray, rounds: int) -> dict[str, float]:
    """Microseconds an account of both ways, whose answers must be the same."""

    def blocks(_: int) -> np.ndarray:
        return breach_probability(exposure, library, scale=scale, bandwidth=BANDWIDTH)[0]

    def plain(_: int) -> np.ndarray:
        return loop_probability(exposure, library, scale)

    said = blocks(0)
    np.testing.assert_allclose(plain(0), said, rtol=0, atol=1e-12)
    spent = timed({"blocks": (blocks, 1), "loop": (plain, 1)}, rounds)
    figures = {"windows": len(library.start), "mean": float(said.mean())}
    return figures | {f"{name}_us": taken.median / len(exposure) * 1e6 for name, taken in spent.items()}


def main() -> None:
    """Check that both ways agree, time them in turn and print microseconds an account and ratios."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    accounts, rounds = (500, 1) if asked.quick else (20_000, 5)
    rng = np.random.default_rng(1)
    history, exposure = draw_history(rng), draw_exposure(rng, accounts)
    scale = np.exp(rng.normal(0.0, 0.3, len(exposure.series)))
    print(f"{'bars':>5} {'windows':>8} {'mean':>7} {'blocks us':>10} {'loop us':>10}")
    figures = {}
    for horizon in GOALS:
        starts = np.linspace(1, BARS - horizon, window_count(horizon)).astype(np.int64)
        took = compare(exposure, collect_paths(history, starts, horizon), scale, rounds)
        print(f"{horizon:5} {took['windows']:8,} {took['mean']:7.3f} {took['blocks_us']:10.2f} {took['loop_us']:10.2f}")
        figures[f"loop over paths, bars ahead: {horizon}"] = took
    times = {name: took["loop_us"] / took["blocks_us"] for name, took in figures.items()}
    goals = dict(zip(figures, zip(times.values(), GOALS.values(), strict=True), strict=True))
    judged = say_goals(goals, asked.quick)
    write_json(asked.json, {"machine": found, "accounts": accounts, "ways": figures, "goals": judged})


if __name__ == "__main__":
    main()
