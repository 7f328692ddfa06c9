"""Scores of a stored booster without LightGBM: the same bits, many times as fast."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from ..riskcore.margin import in_chunks
from .tree_layout import lay_out
from .tree_scorer_kernel import BLOCK, score_blocks, score_row, score_rows
from .tree_text import read_trees

FEW_ROWS = BLOCK // 4
"""Up to so many rows are walked one by one: a block of masks costs the same however few of its rows are in use."""


class TreeScorer:
    r"""Raw scores of a LightGBM model, those of `Booster.predict(raw_score=True)` to the bit.

    Missing values (NaN, or zeros where the model was trained to take them so) go where LightGBM sends them. Nothing
    changes once it is made, so threads may share it.

    Attributes
    ----------
    features, trees
        Columns of a row, number of trees.
    path
        How more than a few rows are scored: "masks of 32 leaves", "masks of 64 leaves" or "walk".

    Examples
    --------
    A tree that adds 0.25 up to 1.5 and 2 beyond, NaN to the left:

    >>> tree = ["Tree=0", "num_leaves=2", "num_cat=0", "split_feature=0", "threshold=1.5", "decision_type=10"]
    >>> tree = "\n".join([*tree, "left_child=-1", "right_child=-2", "leaf_value=0.25 2", ""])
    >>> head = ["tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "max_feature_idx=0"]
    >>> head = "\n".join([*head, f"tree_sizes={len(tree)}", "", ""])
    >>> scorer = TreeScorer.from_text(head + tree + "end of trees")
    >>> scorer.raw_scores(np.array([[1.5], [1.6], [np.nan]])).tolist()
    [0.25, 2.0, 0.25]
    """

    def __init__(self, text: str) -> None:
        trees = read_trees(text)
        self.features, self.trees = trees.features, len(trees)
        self._codes, self._masks, self._walk = lay_out(trees)
        _, _, _, _, _, column, missing, missing_code = codes = self._codes
        self._row_tables = (*codes[:3], column, missing, missing_code, *self._walk)
        self.path = "walk" if self._masks is None else f"masks of {8 * self._masks.keep.itemsize} leaves"

    @classmethod
    def from_text(cls, text: str) -> TreeScorer:
        """The scorer of LightGBM's text format.

        Raises
        ------
        UnsupportedModelError
            A model of a kind that only LightGBM scores.
        InputError
            A text that is cut off or corrupt.
        """
        return cls(text)

    def raw_scores(self, features: NDArray[Any], *, trees: int = -1, threads: int = 1) -> FloatArray:
        """Score of each row, (n,), by the first `trees` trees, -1 for all, 0 for none; threads change no bit.

        Parameters
        ----------
        features
            float64 or float32, (n, n_features); any other type raises InputError, as does any other width.
        """
        trees = self._known(trees)
        if features.ndim != 2 or features.shape[1] != self.features:
            raise InputError(f"has shape {features.shape}, expected (n, {self.features})", column="features")
        rows, thresholds = self._typed(features)
        score = np.empty(len(rows))

        def run(first: int, last: int) -> None:
            if self._masks is None or len(rows) <= FEW_ROWS:
                score_rows(first, last, rows, self._codes, thresholds, self._walk, trees, score)
            else:
                score_blocks(first, last, rows, self._codes, thresholds, self._masks, trees, score)

        in_chunks(run, len(rows), threads if len(rows) > FEW_ROWS else 1)
        return score

    def single(self, row: NDArray[Any], *, trees: int = -1) -> float:
        """Score of one row, (n_features,), float64 or float32: the same bits as among others, in microseconds."""
        if row.shape != (self.features,):
            raise InputError(f"has shape {row.shape}, expected ({self.features},)", column="row")
        values, thresholds = self._typed(row)
        return score_row(values, thresholds, *self._row_tables, self._known(trees))

    def _known(self, trees: int) -> int:
        if trees < -1:
            raise InputError("must be a number of trees, or -1 for all", column="trees", value=trees)
        return self.trees if trees == -1 else min(trees, self.trees)

    def _typed(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Values as they lie in rows, and the thresholds of their type."""
        rows = values if values.flags.c_contiguous else np.ascontiguousarray(values)
        if rows.dtype == np.float32:
            return rows, self._codes.single
        if rows.dtype == np.float64:
            return rows, self._codes.thresholds
        raise InputError("must be float64 or float32", column="features", value=str(rows.dtype))
