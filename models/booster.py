"""LightGBM, set up so that the same data give the same trees on any number of threads, and stored as text.

It is imported where it is used: the margin models of this floor do without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError

REPRODUCIBLE: Mapping[str, Any] = {"deterministic": True, "force_row_wise": True, "verbose": -1}
PARALLEL_ROWS = 500_000
"""Fewer rows are trained on with one thread: LightGBM's threads meet dozens of times a tree, and on a busy machine each
meeting waits for a scheduler's slice, which made small trainings several times slower on two threads than on one."""
THREAD_COUNT = re.compile(r"^\[num_threads: -?\d+\]\n", re.MULTILINE)


class Booster(Protocol):
    """What is asked of `lightgbm.Booster`."""

    def predict(self, data: NDArray[np.float32], **options: Any) -> Any:
        """Scores or contributions of each row."""
        ...

    def model_to_string(self) -> str:
        """LightGBM's text format."""
        ...


def train_booster(
    features: FloatArray,
    target: FloatArray,
    names: Sequence[str],
    *,
    parameters: Mapping[str, Any],
    rounds: int,
    seed: int,
    offset: FloatArray | None = None,
    weight: FloatArray | None = None,
    threads: int = 1,
) -> Booster:
    """Train a booster; `offset` (raw score units) is where each row starts from, and is not part of its predictions.

    Without rows, or with fewer rounds than one, InputError.
    """
    import lightgbm as lgb

    if len(target) == 0:
        raise InputError("has no row to train on", column="target")
    if rounds < 1:
        raise InputError("must be at least one tree", column="rounds", value=rounds)
    useful = threads if len(target) >= PARALLEL_ROWS else 1
    settings = {**REPRODUCIBLE, **parameters, "seed": seed, "num_threads": useful}
    data = lgb.Dataset(
        np.ascontiguousarray(features, dtype=np.float32),
        target,
        weight=weight,
        init_score=offset,
        feature_name=list(names),
        params={"verbose": -1},
    )
    return lgb.train(settings, data, rounds)


def raw_scores(booster: Booster, features: FloatArray, *, trees: int = -1, threads: int = 1) -> FloatArray:
    """Raw scores (before any link) of each row, float64; of the first `trees` trees, -1 for all, 0 for none."""
    if trees == 0:
        return np.zeros(len(features))
    rows = np.ascontiguousarray(features, dtype=np.float32)
    scores = booster.predict(rows, raw_score=True, num_iteration=trees, num_threads=threads)
    return np.asarray(scores, dtype=np.float64)


def contributions(booster: Booster, features: FloatArray, *, threads: int = 1) -> FloatArray:
    """TreeSHAP contributions of each feature, last column the base value; rows sum to the raw score."""
    rows = np.ascontiguousarray(features, dtype=np.float32)
    return np.asarray(booster.predict(rows, pred_contrib=True, num_threads=threads), dtype=np.float64)


def booster_text(booster: Booster) -> str:
    """The booster as text, the only form it is stored in, without the number of threads it was trained on."""
    return THREAD_COUNT.sub("", booster.model_to_string())


def booster_from_text(text: str) -> Booster:
    """A booster from LightGBM's text format."""
    import lightgbm as lgb

    return lgb.Booster(model_str=text)
