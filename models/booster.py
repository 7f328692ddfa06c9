"""LightGBM, set up so that the same data give the same trees on any number of threads, and stored as text.

It is imported where it is used: to train, to explain, and to score the few kinds of model our own scorer does not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .tree_scorer import TreeScorer
from .tree_text import UnsupportedModelError

REPRODUCIBLE: Mapping[str, Any] = {
    "deterministic": True,
    # column by column one thread sums each histogram; row by row threads each sum a part, and the bits depend on them
    "force_col_wise": True,
    "verbose": -1,
    # of rows in a file LightGBM cannot know beforehand which features never split: it must not pass them over elsewhere
    "feature_pre_filter": False,
}
PARALLEL_ROWS = 500_000
"""Fewer rows are trained on with one thread: LightGBM's threads meet dozens of times a tree, and on a busy machine each
meeting waits for a scheduler's slice, which made small trainings several times slower on two threads than on one."""
THREAD_COUNT = re.compile(r"^\[num_threads: -?\d+\]\n", re.MULTILINE)


class Booster:
    """A trained model, as the text it is stored in; scored by our own scorer, or by LightGBM where that does not do.

    Parameters
    ----------
    text
        LightGBM's text format.

    Attributes
    ----------
    scorer
        What scores it, or None if that is LightGBM.
    fallback_reason
        Why it is LightGBM, or None.

    Raises
    ------
    InputError
        A text that is cut off or corrupt.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.scorer: TreeScorer | None = None
        self.fallback_reason: str | None = None
        try:
            self.scorer = TreeScorer.from_text(text)
        except UnsupportedModelError as reason:
            self.fallback_reason = str(reason)
            _ = self.native  # refuses what it cannot read

    @cached_property
    def native(self) -> Any:
        """The `lightgbm.Booster`, made when it is first asked for."""
        import lightgbm as lgb

        try:
            return lgb.Booster(model_str=self.text)
        except lgb.basic.LightGBMError as error:
            raise InputError("is not a model LightGBM can read", column="text", value=str(error)) from error


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
    return Booster(THREAD_COUNT.sub("", lgb.train(settings, data, rounds).model_to_string()))


def raw_scores(booster: Booster, features: FloatArray, *, trees: int = -1, threads: int = 1) -> FloatArray:
    """Raw scores (before any link) of each row, float64; of the first `trees` trees, -1 for all, 0 for none.

    Rows are taken as float32, as in training. The bits are LightGBM's, whichever of the two does it.
    """
    if booster.scorer is None:
        return native_scores(booster, features, trees=trees, threads=threads)
    rows = np.ascontiguousarray(features, dtype=np.float32)
    return booster.scorer.raw_scores(rows, trees=trees, threads=threads)


def native_scores(booster: Booster, features: FloatArray, *, trees: int = -1, threads: int = 1) -> FloatArray:
    """What `raw_scores` says, by LightGBM itself: the fall-back, and the check."""
    if trees == 0:
        return np.zeros(len(features))
    rows = np.ascontiguousarray(features, dtype=np.float32)
    scores = booster.native.predict(rows, raw_score=True, num_iteration=trees, num_threads=threads)
    return np.asarray(scores, dtype=np.float64)


def contributions(booster: Booster, features: FloatArray, *, threads: int = 1) -> FloatArray:
    """TreeSHAP contributions of each feature by LightGBM, last column the base value; rows sum to the raw score."""
    rows = np.ascontiguousarray(features, dtype=np.float32)
    return np.asarray(booster.native.predict(rows, pred_contrib=True, num_threads=threads), dtype=np.float64)


def booster_text(booster: Booster) -> str:
    """The booster as text, the only form it is stored in, without the number of threads it was trained on."""
    return booster.text


def booster_from_text(text: str) -> Booster:
    """A booster from LightGBM's text format; InputError if it is cut off or corrupt."""
    return Booster(text)
