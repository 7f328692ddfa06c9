"""Scores of a stored booster, 500 trees of 31 leaves on 60 features, a twentieth missing: LightGBM against our scorer.

Batches of 100,000 rows, and one row at a time; every way is given the same float32 rows and answers with the same bits.
`Booster.predict` is what a user calls; LightGBM's fast call for single rows is its C interface with everything set up
beforehand. One thread unless told otherwise.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
from machine import machine, options, say_goals, say_machine, timed, write_json

from margincast.models.tree_scorer import TreeScorer

FEATURES, LEAVES = 60, 31
BATCH, BATCH_TWO = "a batch, Booster.predict", "a batch, Booster.predict, 2 threads each"
ROW, ROW_P99, ROW_FAST = "one row, Booster.predict", "one row at p99, Booster.predict", "one row, LightGBM's fast call"
GOALS = {BATCH: 10.0, BATCH_TWO: 10.0, ROW: 2.0, ROW_P99: 2.0, ROW_FAST: 2.0}


def draw_rows(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Normal features, a twentieth missing."""
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


def train(rng: np.random.Generator, rows: int, trees: int) -> str:
    """A model text of that many trees on a target that leaves something to each of them."""
    x = draw_rows(rng, rows)
    known = np.nan_to_num(x)
    y = known[:, :20] @ rng.normal(size=20) + 2 * np.sin(3 * known[:, 20]) + known[:, 3] * known[:, 7]
    settings = {"objective": "regression", "num_leaves": LEAVES, "learning_rate": 0.05, "verbose": -1}
    return lgb.train(
        {**settings, "num_threads": 1}, lgb.Dataset(x, y + 2 * rng.normal(size=rows)), trees
    ).model_to_string()


def fast_call(booster: lgb.Booster) -> Callable[[np.ndarray], float]:
    """LightGBM's C interface for one float32 row, set up once."""
    library, config = lgb.basic._LIB, ctypes.c_void_p()
    arguments = [1, 0, -1, 0, FEATURES, b"num_threads=1"]  # raw score, all trees, float32
    kinds = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int32, ctypes.c_char_p)
    made = [kind(value) for kind, value in zip(kinds, arguments, strict=True)]
    told = library.LGBM_BoosterPredictForMatSingleRowFastInit(booster._handle, *made, ctypes.byref(config))
    assert told == 0, library.LGBM_GetLastError()
    score, length = ctypes.c_double(), ctypes.c_int64()
    score_at, length_at, predict = (
        ctypes.byref(score),
        ctypes.byref(length),
        library.LGBM_BoosterPredictForMatSingleRowFast,
    )

    def run(row: np.ndarray) -> float:
        predict(config, ctypes.c_void_p(row.ctypes.data), length_at, score_at)
        return score.value

    return run


def time_rows(ways: dict[str, Callable[[np.ndarray], Any]], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Seconds each way takes for each row, 200 rows in turn: one row after the other, both of LightGBM's ways would
    find what the other had just left in the caches."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for block in np.split(rows, range(200, len(rows), 200)):
        for name, way in ways.items():
            for row in block:
                start = time.perf_counter()
                way(row)
                spent[name].append(time.perf_counter() - start)
    return {name: np.array(taken) for name, taken in spent.items()}


def main() -> None:
    """Score in every way and print rows per second, microseconds a row, ratios and goals."""
    asked, found = options(__doc__), machine() | {"lightgbm": lgb.__version__}
    say_machine(found)
    rows, trees, rounds, singles = (4_000, 40, 2, 200) if asked.quick else (100_000, 500, 5, 4_000)
    rng = np.random.default_rng(1)
    text = train(rng, 2_000 if asked.quick else 30_000, trees)
    booster, x = lgb.Booster(model_str=text), draw_rows(rng, rows)
    start = time.perf_counter()
    scorer = TreeScorer.from_text(text)
    load = time.perf_counter() - start
    print(
        f"{rows:,} rows, {scorer.trees} trees of {LEAVES} leaves, {FEATURES} features; {scorer.path}; {rounds} rounds"
    )

    def native(threads: int) -> np.ndarray:
        return np.asarray(booster.predict(x, raw_score=True, num_threads=threads))

    one_row: dict[str, Callable[[np.ndarray], Any]] = {
        "Booster.predict": lambda row: booster.predict(row[None], raw_score=True, num_threads=1)[0],
        "LightGBM's fast call": fast_call(booster),
        "margincast": scorer.single,
    }
    said = native(1)
    assert all(scorer.raw_scores(x, threads=threads).tobytes() == said.tobytes() for threads in (1, 2))
    assert all([way(row) for row in x[:50]] == said[:50].tolist() for way in one_row.values())

    spent = timed(
        {
            "Booster.predict": (lambda k: native(1), 1),
            "Booster.predict, 2 threads": (lambda k: native(2), 1),
            "margincast": (lambda k: scorer.raw_scores(x), 3),
            "margincast, 2 threads": (lambda k: scorer.raw_scores(x, threads=2), 3),
        },
        rounds,
    )
    print(f"{'a batch':28} {'median ms':>10} {'least ms':>10} {'rows/s':>12}")
    for name, taken in spent.items():
        print(f"{name:28} {taken.median * 1e3:10.1f} {taken.least * 1e3:10.1f} {rows / taken.median:12,.0f}")
    alone = time_rows(one_row, x[:singles])
    centiles = {name: np.percentile(taken, [50, 99]) for name, taken in alone.items()}
    print(f"{'one row':28} {'p50 us':>10} {'p99 us':>10}")
    for name, (p50, p99) in centiles.items():
        print(f"{name:28} {p50 * 1e6:10.1f} {p99 * 1e6:10.1f}")
    print(f"the scorer is made from the text in {load * 1e3:.0f} ms")
    ours = centiles["margincast"]
    ratios = {
        BATCH: spent["Booster.predict"].median / spent["margincast"].median,
        BATCH_TWO: spent["Booster.predict, 2 threads"].median / spent["margincast, 2 threads"].median,
        ROW: float(centiles["Booster.predict"][0] / ours[0]),
        ROW_P99: float(centiles["Booster.predict"][1] / ours[1]),
        ROW_FAST: float(centiles["LightGBM's fast call"][0] / ours[0]),
    }
    judged = say_goals({name: (ratios[name], goal) for name, goal in GOALS.items()}, asked.quick)
    batches = {name: {"median_s": taken.median, "least_s": taken.least} for name, taken in spent.items()}
    singly = {name: {"p50_s": float(p50), "p99_s": float(p99)} for name, (p50, p99) in centiles.items()}
    figures = {"rows": rows, "trees": trees, "batches": batches, "one_row": singly, "load_s": load}
    write_json(asked.json, {"machine": found, **figures, "goals": judged})


if __name__ == "__main__":
    main()
