"""Trees laid out for the compiled scorer: values become codes, splits become masks of leaves or steps of a walk.

A code is the number of a feature's thresholds that lie below the value, so that a split asks only whether code > its
rank. Missing values cost the trees nothing: each way a feature's missing values are treated (which values are missing,
where they go) is a column of its own, in which they get the code that goes the default way at every split.

Sources: Lucchese et al. (2015), "QuickScorer", for the masks; Asadi, Lin & de Vries (2014), "Runtime optimizations for
tree-based machine learning models", for walking several trees at a time without branches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray
from .tree_text import MISSING_NONE, Trees, UnsupportedModelError, tree_of

MASK_LEAVES = 64
MOST_CODES, MOST_COLUMNS = 2**16 - 1, 2**16
LEAF_RANK = 2**16 - 1


class Codes(NamedTuple):
    """How values become codes; made by `lay_out`.

    Parameters
    ----------
    feature
        The features that are split on, rising, shape (n_used,).
    start, step
        Of each, where its thresholds begin, and the first step of the search among them: a power of two.
    thresholds, single
        Thresholds of each feature, rising and filled up with infinity to 2 * step - 1; rounded down to float32, which
        a float32 value is above exactly when it is above the threshold itself.
    column
        Where the columns of each used feature begin, shape (n_used + 1,).
    missing, missing_code
        Of each column, which values are missing, and the code they get.
    """

    feature: IntArray
    start: IntArray
    step: IntArray
    thresholds: FloatArray
    single: NDArray[np.float32]
    column: IntArray
    missing: IntArray
    missing_code: NDArray[Any]


class Masks(NamedTuple):
    """Trees of at most 64 leaves: a row ends in the first leaf that no split has struck out.

    Parameters
    ----------
    pointer, column, rank
        Splits of each tree; a split sends right where the code of its column is above its rank.
    keep
        Of each split, the leaves that are left when it sends right, bit k the k-th leaf from the left.
    leaf_pointer, leaf_value
        Leaves of each tree, from the left.
    """

    pointer: IntArray
    column: IntArray
    rank: NDArray[Any]
    keep: NDArray[Any]
    leaf_pointer: IntArray
    leaf_value: FloatArray


class Walk(NamedTuple):
    """Trees of any size: slots, of which the two that follow a split stand side by side.

    Parameters
    ----------
    root
        First slot of each tree.
    slot
        Of each slot, in one word: column (bits 0-15), rank (16-31), slot where the code is not above it (32-63). Of a
        leaf the rank is LEAF_RANK, which no code is above, and the slot itself follows: a walk that came there stays.
    value
        What a leaf's slot adds.
    """

    root: IntArray
    slot: NDArray[np.uint64]
    value: FloatArray


def lay_out(trees: Trees) -> tuple[Codes, Masks | None, Walk]:
    """Lay trees out; without masks where a tree has more than 64 leaves.

    Raises
    ------
    UnsupportedModelError
        More thresholds of a feature, or more columns, than codes can tell apart.
    """
    codes, column, rank = _codes(trees)
    widest = int(np.diff(trees.leaf_pointer).max(initial=1))
    masks = _masks(trees, column, rank.astype(codes.missing_code.dtype)) if widest <= MASK_LEAVES else None
    return codes, masks, _walk(trees, column, rank)


def _codes(trees: Trees) -> tuple[Codes, IntArray, IntArray]:
    """How values become codes, and the column and rank of each split."""
    used, place = np.unique(trees.feature, return_inverse=True)
    pairs, pair = np.unique(np.column_stack((place, trees.threshold)), axis=0, return_inverse=True)
    owner, values = pairs[:, 0].astype(np.int64), pairs[:, 1]
    count = np.bincount(owner, minlength=len(used))
    first = np.cumsum(count) - count
    default = np.where(trees.missing == MISSING_NONE, 0, 2 * trees.missing + trees.default_left)
    keys, column = np.unique(8 * place + default, return_inverse=True)
    most = int(count.max(initial=0))
    if most > MOST_CODES or len(keys) > MOST_COLUMNS:
        raise UnsupportedModelError(f"has over {MOST_CODES} thresholds of a feature, or {MOST_COLUMNS} columns")
    kind = np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16
    step = 1 << (np.frexp(count)[1].astype(np.int64) - 1)
    room = 2 * step - 1
    start = np.cumsum(room) - room
    thresholds = np.full(int(room.sum()), np.inf)
    thresholds[start[owner] + np.arange(len(owner)) - first[owner]] = values
    missing_code = np.where(keys % 2 == 1, 0, np.iinfo(kind).max).astype(kind)
    pointer = np.searchsorted(keys // 8, np.arange(len(used) + 1))
    codes = Codes(used, start, step, thresholds, _rounded_down(thresholds), pointer, keys % 8 // 2, missing_code)
    return codes, column, pair - first[place]


def _rounded_down(values: FloatArray) -> NDArray[np.float32]:
    """Largest float32 that is not above each value.

    Examples
    --------
    >>> float(_rounded_down(np.array([0.1]))[0]) < 0.1 < float(np.float32(0.1))
    True
    """
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


class _Shape:
    """How each tree branches, found level by level of the splits' numbers, all trees at once.

    Attributes
    ----------
    first, left_leaves
        Of each split, its first leaf counted from the left, and how many leaves its left branch has.
    leaf_place
        Place of each leaf, counted from the left.
    """

    def __init__(self, trees: Trees) -> None:
        self.trees = trees
        self.first = np.zeros(len(trees.feature), dtype=np.int64)
        self.leaf_place = np.zeros(len(trees.leaf_value), dtype=np.int64)
        counts = np.diff(trees.split_pointer)
        levels = [np.flatnonzero(counts > k) for k in range(int(counts.max(initial=0)))]
        below = np.zeros(len(trees.feature), dtype=np.int64)
        self.left_leaves = np.zeros(len(trees.feature), dtype=np.int64)
        for k, tree in reversed(list(enumerate(levels))):
            split = trees.split_pointer[tree] + k
            left, right = (self._leaves(below, child[split], tree) for child in (trees.left, trees.right))
            self.left_leaves[split], below[split] = left, left + right
        for k, tree in enumerate(levels):
            split = trees.split_pointer[tree] + k
            self._place(trees.left[split], tree, self.first[split])
            self._place(trees.right[split], tree, self.first[split] + self.left_leaves[split])

    def _leaves(self, below: IntArray, child: IntArray, tree: IntArray) -> IntArray:
        return np.where(child >= 0, below[self.trees.split_pointer[tree] + np.maximum(child, 0)], 1)

    def _place(self, child: IntArray, tree: IntArray, place: IntArray) -> None:
        split = child >= 0
        self.first[(self.trees.split_pointer[tree] + child)[split]] = place[split]
        self.leaf_place[(self.trees.leaf_pointer[tree] + ~child)[~split]] = place[~split]


def _masks(trees: Trees, column: IntArray, rank: NDArray[Any]) -> Masks:
    shape = _Shape(trees)
    kind = np.uint32 if np.diff(trees.leaf_pointer).max(initial=1) <= 32 else np.uint64
    one = np.uint64(1)
    struck = ((one << shape.left_leaves.astype(np.uint64)) - one) << shape.first.astype(np.uint64)
    values = np.empty(len(trees.leaf_value))
    values[trees.leaf_pointer[tree_of(trees.leaf_pointer)] + shape.leaf_place] = trees.leaf_value
    return Masks(trees.split_pointer, column, rank, (~struck).astype(kind), trees.leaf_pointer, values)


def _walk(trees: Trees, column: IntArray, rank: IntArray) -> Walk:
    """Slot 0 of a tree is its root, slots 2s + 1 and 2s + 2 are what its split s leads to."""
    root = trees.split_pointer[:-1] + trees.leaf_pointer[:-1]
    slots = len(trees.feature) + len(trees.leaf_value)
    owner, leaf_owner = tree_of(trees.split_pointer), tree_of(trees.leaf_pointer)
    at, leaf_at = root[owner].copy(), root[leaf_owner].copy()
    follows = root[owner] + 2 * (np.arange(len(owner)) - trees.split_pointer[owner]) + 1
    for side, child in enumerate((trees.left, trees.right)):
        split = child >= 0
        at[(trees.split_pointer[owner] + child)[split]] = (follows + side)[split]
        leaf_at[(trees.leaf_pointer[owner] + ~child)[~split]] = (follows + side)[~split]
    slot, value = np.empty(slots, dtype=np.uint64), np.zeros(slots)
    slot[at] = (column | rank << 16 | follows << 32).astype(np.uint64)
    slot[leaf_at] = np.uint64(LEAF_RANK << 16) | leaf_at.astype(np.uint64) << np.uint64(32)
    value[leaf_at] = trees.leaf_value
    return Walk(root, slot, value)
