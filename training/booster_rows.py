"""Rows as boosters are trained on them: float32 features, outcomes and offsets by horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..models.sample import AccountSample
from ..riskcore.arrays import FloatArray


@dataclass(frozen=True)
class BoosterRows:
    """Rows to train on: features, outcomes (1, 0, NaN) and offsets (log odds; None: the base rate) by horizon."""

    features: NDArray[np.float32]
    breached: FloatArray
    offset: FloatArray | None

    def known(self, horizon: int) -> KnownRows:
        """Rows whose outcome and offset at a horizon are known; without offsets the offset is 0."""
        y = self.breached[:, horizon]
        start = np.zeros(len(y)) if self.offset is None else self.offset[:, horizon]
        rows = np.isfinite(y) & np.isfinite(start)
        return KnownRows(self.features[rows], y[rows], start[rows])


@dataclass(frozen=True)
class KnownRows:
    """Rows of one horizon whose outcome is known."""

    features: NDArray[np.float32]
    outcome: FloatArray
    offset: FloatArray

    def counts(self) -> tuple[int, float]:
        """How many rows, and how many of them were liquidated."""
        return len(self.outcome), float(self.outcome.sum())

    def matrix(self) -> NDArray[np.float32]:
        """The features, (n, n_columns)."""
        return self.features

    def target(self) -> FloatArray:
        """The outcomes."""
        return self.outcome

    def start(self, base: float) -> FloatArray:
        """Log odds that boosting starts from."""
        return self.offset + base


def booster_rows(
    sample: AccountSample, columns: Sequence[str], breached: FloatArray, offset: FloatArray | None = None
) -> BoosterRows:
    """Rows of a sample with these columns, in float32."""
    features = np.empty((len(sample), len(columns)), np.float32)
    for place, name in enumerate(columns):
        features[:, place] = sample.column(name)
    return BoosterRows(features, breached, offset)
