"""What every benchmark says of itself: the machine, the versions, how long things take. Run alone: the first two."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "pandas", "numba", "llvmlite", "margincast")


@dataclass(frozen=True)
class Timing:
    """Median and least of several repeats, seconds."""

    median: float
    least: float


def timed(calls: dict[str, tuple[Callable[[int], Any], int]], rounds: int) -> dict[str, Timing]:
    """Time each call, so many times a round, with a counter; in turn, so that a busy machine is busy for all alike."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call, times in calls.values():
        call(rounds * times)
    for turn in range(rounds):
        for name, (call, times) in calls.items():
            for k in range(times):
                start = time.perf_counter()
                call(turn * times + k)
                spent[name].append(time.perf_counter() - start)
    return {name: Timing(statistics.median(taken), min(taken)) for name, taken in spent.items()}


def machine() -> dict[str, Any]:
    """The processor, its load and the versions in use."""
    cpu = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    } | {name: importlib.metadata.version(name) for name in LIBRARIES}


def options(description: str | None) -> argparse.Namespace:
    """The options all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="a small size, to see that it runs: its ratios mean nothing"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    return parser.parse_args()


def say_machine(found: dict[str, Any]) -> None:
    """Print the machine on two lines."""
    print(f"{found['processor']}, {found['cores']} cores, load {found['load']}, {found['system']}")
    print(", ".join(f"{name} {found[name]}" for name in ("python", *LIBRARIES)))


def say_goals(goals: dict[str, tuple[float, float]], quick: bool) -> dict[str, Any]:
    """Print each ratio beside its goal, and whether all are met; the same as a dict."""
    met = {name: ratio >= goal for name, (ratio, goal) in goals.items()}
    for name, (ratio, goal) in goals.items():
        print(f"  {name}: {ratio:,.1f}x, goal {goal:,.0f}x: {'pass' if met[name] else 'short'}")
    print(f"goals: {'not judged at this size' if quick else 'pass' if all(met.values()) else 'short'}")
    return {name: {"ratio": ratio, "goal": goal, "met": met[name]} for name, (ratio, goal) in goals.items()}


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures if a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    say_machine(machine())
