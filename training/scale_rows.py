"""The rows the learned scale is fitted on: perpetuals, and beside them spot markets, which go back further."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray, TimeArray


@dataclass(frozen=True)
class ScaleRows:
    """One row a series and instant.

    Parameters
    ----------
    features, target
        Features, shape (n, k), and what the log scale was, (n,).
    opens, ends
        Instant of the forecast and end of what it forecasts.
    """

    features: FloatArray
    target: FloatArray
    opens: TimeArray
    ends: TimeArray

    def outside(self, first: np.datetime64, last: np.datetime64) -> ScaleRows:
        """Rows that end before `first`, or open at least their own length after `last`: nothing of [first, last)."""
        return self.take(np.flatnonzero((self.ends <= first) | (self.opens - (self.ends - self.opens) >= last)))

    def take(self, rows: IntArray) -> ScaleRows:
        """These rows."""
        return ScaleRows(self.features[rows], self.target[rows], self.opens[rows], self.ends[rows])

    @classmethod
    def joined(cls, parts: list[ScaleRows]) -> ScaleRows:
        """The rows of several markets, one after the other."""
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.target for part in parts]),
            np.concatenate([part.opens for part in parts]),
            np.concatenate([part.ends for part in parts]),
        )
