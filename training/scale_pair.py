"""The learned scale of one horizon: the mean of a model that sees levels of volatility and one that does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..features.levels import relative_to_level
from ..models.scale import LearnedScale
from ..riskcore.arrays import FloatArray

BASE = "log_scale_base"
"""Column of the log scale the trees start from."""


class ScalePair:
    """Two boosted models on the same rows, one told them as they are and one all relative to the last 30 days.

    Either alone is worse where training is short, the first at long horizons, the second at short ones
    (docs/experiments.md).

    Parameters
    ----------
    rounds, seed, threads, leaf_rows
        Of each model (models.scale.LearnedScale).
    """

    def __init__(self, rounds: int = 250, seed: int = 0, threads: int = 1, leaf_rows: int = 100) -> None:
        self.models = tuple(LearnedScale(rounds, seed, threads, leaf_rows) for _ in range(2))

    def fit(self, features: FloatArray, target: FloatArray, names: Sequence[str]) -> ScalePair:
        """Fit on rows (n, k) whose BASE, a column by name, and `target`, the log scale, are known.

        Without any such row InputError.
        """
        self.names_ = tuple(names)
        base = features[:, self.names_.index(BASE)]
        for model, columns in zip(self.models, self._views(features), strict=True):
            model.fit(columns, base, target, self.names_)
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Log scale of each row, features by the names of `fit`; NaN where BASE is."""
        base = features[:, self.names_.index(BASE)]
        said = [model.predict(x, base) for model, x in zip(self.models, self._views(features), strict=True)]
        return np.asarray(np.mean(said, axis=0))

    def _views(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        return features, relative_to_level(features, self.names_)

    def set_threads(self, threads: int) -> None:
        """Predict on this many threads; changes no result."""
        for model in self.models:
            model.threads = threads

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"names": list(self.names_), "models": [model.state() for model in self.models]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ScalePair:
        """The pair as it was when `state` was taken."""
        pair = cls()
        pair.names_ = tuple(state["names"])
        pair.models = tuple(LearnedScale.from_state(model) for model in state["models"])
        return pair
