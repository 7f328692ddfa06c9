"""Memory of training on 5 million rows of 60 float32 features, 50 trees: rows from a file against the matrix at once.

Rows are drawn at random in chunks, with an outcome that depends on a few of them; both ways run in a process of their
own, begin with the same chunks and must give the same trees. One stores each chunk and trains from the file, the other
puts the chunks into one float32 matrix first, so that the matrix exists once in the best of cases. Peak memory is the
most that was resident (ru_maxrss), Python and its libraries included.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, say_machine, write_json
from numpy.typing import NDArray

from margincast.models.account_boosting import ACCOUNT_PARAMETERS
from margincast.models.booster import booster_text, train_booster
from margincast.models.row_file import RowFile
from margincast.models.streamed_booster import train_booster_on_file

GOAL_GIB = 3.0
COLUMNS, TREES, CHUNK = 60, 50, 100_000
NAMES = [f"x{k}" for k in range(COLUMNS)]
ASKED: dict[str, Any] = {"parameters": ACCOUNT_PARAMETERS, "rounds": TREES, "seed": 1}


def chunks(rows: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Features and outcomes, so many rows at a time, each chunk from a seed of its own."""
    for first in range(0, rows, CHUNK):
        rng = np.random.default_rng([1, first])
        x = rng.standard_normal((min(CHUNK, rows - first), COLUMNS), dtype=np.float32)
        score = x[:, :5].sum(axis=1) + 2 * (x[:, 5] > 1) * x[:, 6] - 3
        yield x, (rng.random(len(x)) < 1 / (1 + np.exp(-score))).astype(np.float64)


def from_file(rows: int, threads: int) -> str:
    """Train from a file; the text of the booster."""
    with tempfile.TemporaryDirectory() as folder, RowFile(Path(folder) / "rows", NAMES) as file:
        outcomes = []
        for x, y in chunks(rows):
            file.append(x)
            outcomes.append(y)
        return booster_text(train_booster_on_file(file, np.concatenate(outcomes), **ASKED, threads=threads))


def from_matrix(rows: int, threads: int) -> str:
    """Train from one matrix; the text of the booster."""
    matrix, target = np.empty((rows, COLUMNS), np.float32), np.empty(rows)
    for number, (x, y) in enumerate(chunks(rows)):
        first = number * CHUNK
        matrix[first : first + len(x)], target[first : first + len(x)] = x, y
    return booster_text(train_booster(matrix, target, NAMES, **ASKED, threads=threads))


WAYS = {"file": from_file, "matrix": from_matrix}


def measured(way: str, rows: int, threads: int) -> dict[str, Any]:
    """Run one way in a process of its own."""
    command = [sys.executable, __file__, "--way", way, "--rows", str(rows), "--threads", str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(way: str, rows: int, threads: int) -> None:
    """Train one way, and print what it took."""
    start = time.perf_counter()
    text = WAYS[way](rows, threads)
    spent = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    trees = hashlib.sha256(text.split("\nparameters:")[0].encode()).hexdigest()
    print(json.dumps({"seconds": spent, "peak_gib": peak / 2**30, "trees_sha256": trees}))


def main() -> None:
    """Measure both ways, and print memory, time and the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it runs")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--way", choices=sorted(WAYS), help="run this way only, in this process")
    asked = parser.parse_args()
    if asked.way:
        run(asked.way, asked.rows, asked.threads)
        return
    found, rows = machine(), 200_000 if asked.quick else asked.rows
    say_machine(found)
    print(f"{rows:,} rows x {COLUMNS} float32 features, {TREES} trees, {asked.threads} threads")
    ways = {way: measured(way, rows, asked.threads) for way in WAYS}
    assert len({one["trees_sha256"] for one in ways.values()}) == 1, "the two ways gave different trees"
    for way, one in ways.items():
        print(f"  {way:8} {one['peak_gib']:6.2f} GiB {one['seconds']:8.1f} s")
    met = ways["file"]["peak_gib"] <= GOAL_GIB
    verdict = "not judged at this size" if rows < 5_000_000 else "pass" if met else "short"
    print(f"goal: at most {GOAL_GIB:.0f} GiB from the file: {verdict}; the trees are the same")
    write_json(asked.json, {"machine": found, "rows": rows, "ways": ways, "goals": {"GiB": GOAL_GIB, "met": met}})


if __name__ == "__main__":
    main()
