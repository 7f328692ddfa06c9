"""The compiled scorer: codes of 64 rows and masks of leaves, or codes of one row and a walk through its trees.

Each compares as LightGBM does (`Tree::NumericalDecision`) and adds leaves in the order of the trees, so that scores are
those of `Booster.predict(raw_score=True)` to the bit.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray
from .tree_layout import LEAF_RANK, Codes, Masks, Walk
from .tree_text import MISSING_NAN, MISSING_ZERO

BLOCK = 64
ZERO = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold: what is not further from zero is zero."""
U16, U32, LOW = np.uint64(16), np.uint64(32), np.uint64(0xFFFF)


@intrinsic
def _trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Number of zeros below the lowest bit that is set; the word is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(numba.types.boolean, True))

    return word(word), generate


@numba.njit(cache=True, nogil=True)
def _code_block(
    features: NDArray[Any], first: int, count: int, codes: Codes, thresholds: NDArray[Any], coded: NDArray[Any]
) -> None:
    """Codes of `count` rows from `first` on, (n_columns, BLOCK); what stands behind them is of no meaning."""
    value = np.zeros(BLOCK, dtype=features.dtype)
    below = np.empty(BLOCK, dtype=np.int32)
    missing = np.zeros((MISSING_NAN + 1, BLOCK), dtype=np.bool_)
    for used in range(len(codes.feature)):
        feature = codes.feature[used]
        for row in range(count):
            x = features[first + row, feature]
            missing[MISSING_NAN, row] = np.isnan(x)
            missing[MISSING_ZERO, row] = not abs(x) > ZERO
            value[row] = x if abs(x) > ZERO else features.dtype.type(0)
        known = thresholds[codes.start[used] :]
        step = codes.step[used]
        for row in range(BLOCK):
            below[row] = 0
        while step > 0:
            for row in range(BLOCK):
                reach = below[row] + step
                below[row] = reach if known[reach - 1] < value[row] else below[row]
            step >>= 1
        for column in range(codes.column[used], codes.column[used + 1]):
            gone, code = missing[codes.missing[column]], codes.missing_code[column]
            for row in range(BLOCK):
                coded[column, row] = code if gone[row] else coded.dtype.type(below[row])


@numba.njit(cache=True, nogil=True)
def score_blocks(
    first: int,
    last: int,
    features: NDArray[Any],
    codes: Codes,
    thresholds: NDArray[Any],
    masks: Masks,
    trees: int,
    score: FloatArray,
) -> None:
    """Write the score of rows first : last by the first `trees` trees."""
    coded = np.zeros((len(codes.missing), BLOCK), dtype=codes.missing_code.dtype)
    alive = np.empty(BLOCK, dtype=masks.keep.dtype)
    total = np.empty(BLOCK)
    every = ~masks.keep.dtype.type(0)
    for begin in range(first, last, BLOCK):
        count = min(BLOCK, last - begin)
        _code_block(features, begin, count, codes, thresholds, coded)
        total[:] = 0.0
        for tree in range(trees):
            alive[:] = every
            for split in range(masks.pointer[tree], masks.pointer[tree + 1]):
                code, rank, keep = coded[masks.column[split]], masks.rank[split], masks.keep[split]
                for row in range(BLOCK):
                    alive[row] &= keep if code[row] > rank else every
            leaf = masks.leaf_pointer[tree]
            for row in range(BLOCK):
                place: int = _trailing_zeros(alive[row])  # type: ignore[call-arg]
                total[row] += masks.leaf_value[leaf + np.int64(place)]
        score[begin : begin + count] = total[:count]


@numba.njit(cache=True, nogil=True)
def _code_row(row: NDArray[Any], codes: Codes, thresholds: NDArray[Any], coded: NDArray[Any]) -> None:
    """Codes of one row, (n_columns,)."""
    for used in range(len(codes.feature)):
        x = row[codes.feature[used]]
        value = x if abs(x) > ZERO else row.dtype.type(0)
        before, step, below = codes.start[used] - 1, codes.step[used], 0
        while step > 0:
            below = below + step if thresholds[before + below + step] < value else below
            step >>= 1
        for column in range(codes.column[used], codes.column[used + 1]):
            gone = np.isnan(x) if codes.missing[column] == MISSING_NAN else not abs(x) > ZERO
            gone = gone and codes.missing[column] > 0
            coded[column] = codes.missing_code[column] if gone else coded.dtype.type(below)


@numba.njit(cache=True, nogil=True)
def _next(slot: NDArray[np.uint64], at: np.uint64, coded: NDArray[Any]) -> np.uint64:
    word = slot[at]
    return np.uint64((word >> U32) + np.uint64(coded[word & LOW] > ((word >> U16) & LOW)))


@numba.njit(cache=True, nogil=True)
def _rank(slot: NDArray[np.uint64], at: np.uint64) -> np.uint64:
    return np.uint64((slot[at] >> U16) & LOW)


@numba.njit(cache=True, nogil=True)
def _walk_row(coded: NDArray[Any], walk: Walk, trees: int) -> float:
    """Score of one row by the first `trees` trees.

    Eight trees at a time, written out so that their slots stay in registers: their loads overlap, and nothing branches
    on what is found but, every fourth step, whether all have come to a leaf.
    """
    root, slot, value = walk
    total = 0.0
    whole = trees - trees % 8
    for t in range(0, whole, 8):
        a, b, c, d = np.uint64(root[t]), np.uint64(root[t + 1]), np.uint64(root[t + 2]), np.uint64(root[t + 3])
        e, f, g, h = np.uint64(root[t + 4]), np.uint64(root[t + 5]), np.uint64(root[t + 6]), np.uint64(root[t + 7])
        walking = True
        while walking:
            for _ in range(4):
                a, b, c, d = _next(slot, a, coded), _next(slot, b, coded), _next(slot, c, coded), _next(slot, d, coded)
                e, f, g, h = _next(slot, e, coded), _next(slot, f, coded), _next(slot, g, coded), _next(slot, h, coded)
            common = _rank(slot, a) & _rank(slot, b) & _rank(slot, c) & _rank(slot, d)
            walking = (common & _rank(slot, e) & _rank(slot, f) & _rank(slot, g) & _rank(slot, h)) != LEAF_RANK
        total = total + value[a] + value[b] + value[c] + value[d]
        total = total + value[e] + value[f] + value[g] + value[h]
    for t in range(whole, trees):
        a = np.uint64(root[t])
        while _rank(slot, a) != LEAF_RANK:
            a = _next(slot, a, coded)
        total += value[a]
    return total


@numba.njit(cache=True, nogil=True)
def score_rows(
    first: int,
    last: int,
    features: NDArray[Any],
    codes: Codes,
    thresholds: NDArray[Any],
    walk: Walk,
    trees: int,
    score: FloatArray,
) -> None:
    """Write the score of rows first : last by the first `trees` trees."""
    coded = np.empty(len(codes.missing) + 1, dtype=codes.missing_code.dtype)  # a leaf reads the first
    for row in range(first, last):
        _code_row(features[row], codes, thresholds, coded)
        score[row] = _walk_row(coded, walk, trees)


@numba.njit(cache=True, nogil=True)
def score_row(
    row: NDArray[Any],
    thresholds: NDArray[Any],
    feature: IntArray,
    start: IntArray,
    step: IntArray,
    column: IntArray,
    missing: IntArray,
    missing_code: NDArray[Any],
    root: IntArray,
    slot: NDArray[np.uint64],
    value: FloatArray,
    trees: int,
) -> float:
    """Score of one row by the first `trees` trees; given array by array, which spares a microsecond of unpacking."""
    codes = Codes(feature, start, step, thresholds, thresholds, column, missing, missing_code)
    coded = np.empty(len(missing) + 1, dtype=missing_code.dtype)  # a leaf reads the first
    _code_row(row, codes, thresholds, coded)
    return _walk_row(coded, Walk(root, slot, value), trees)
