"""LightGBM, set up so that the same data give the same trees on any number of threads, and stored as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np

from ..riskcore.arrays import FloatArray

REPRODUCIBLE: Mapping[str, Any] = {"deterministic": True, "force_row_wise": True, "verbose": -1}


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
) -> lgb.Booster:
    """Train a booster; `offset` (raw score units) is where each row starts from, and is not part of its predictions."""
    settings = {**REPRODUCIBLE, **parameters, "seed": seed, "num_threads": threads}
    data = lgb.Dataset(
        np.ascontiguousarray(features, dtype=np.float32),
        target,
        weight=weight,
        init_score=offset,
        feature_name=list(names),
        params={"verbose": -1},
    )
    return lgb.train(settings, data, rounds)


def raw_scores(booster: lgb.Booster, features: FloatArray, *, trees: int = -1, threads: int = 1) -> FloatArray:
    """Raw scores (before any link) of each row, float64; of the first `trees` trees, -1 for all."""
    rows = np.ascontiguousarray(features, dtype=np.float32)
    scores = booster.predict(rows, raw_score=True, num_iteration=trees, num_threads=threads)
    return np.asarray(scores, dtype=np.float64)


def contributions(booster: lgb.Booster, features: FloatArray, *, threads: int = 1) -> FloatArray:
    """TreeSHAP contributions of each feature, last column the base value; rows sum to the raw score."""
    rows = np.ascontiguousarray(features, dtype=np.float32)
    return np.asarray(booster.predict(rows, pred_contrib=True, num_threads=threads), dtype=np.float64)


def booster_text(booster: lgb.Booster) -> str:
    """The booster as LightGBM's text format, the only form it is stored in."""
    return booster.model_to_string()


def booster_from_text(text: str) -> lgb.Booster:
    """A booster from LightGBM's text format."""
    return lgb.Booster(model_str=text)
