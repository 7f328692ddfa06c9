"""Reader of LightGBM's text model, the one form boosters are stored in, as arrays of splits and leaves.

Read is what scoring needs, of models with one score a row, numerical splits and constant leaves; of other models it
says why not. Source of the format: LightGBM 4, `GBDT::SaveModelToString` and `Tree::ToString`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import BoolArray, FloatArray, IntArray
from ..riskcore.errors import InputError, MargincastError

VERSION = "v4"
FILE = "model text"
CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2
NumberT = TypeVar("NumberT", int, float)
HEADER = ("version", "num_class", "num_tree_per_iteration", "max_feature_idx", "tree_sizes")


class UnsupportedModelError(MargincastError):
    """A sound model of a kind that is not read here; the text says which."""


@dataclass(frozen=True)
class Trees:
    """The trees of a booster, one after the other; split s of tree t stands at `split_pointer[t] + s`.

    Parameters
    ----------
    features
        Number of columns of a row.
    split_pointer, leaf_pointer
        Where each tree's splits and leaves begin, shape (n_trees + 1,); a tree of one leaf has no split.
    feature, threshold
        Of each split: a value that is not above the threshold goes left; infinity parts NaN from all else.
    missing
        What goes the default way: nothing (MISSING_NONE), zeros and NaN (MISSING_ZERO) or NaN (MISSING_NAN).
    default_left
        Whether the default way is left.
    left, right
        Split of the same tree that follows; ~leaf where a leaf does. A split comes after the one it hangs on.
    leaf_value
        What each leaf adds to the score.
    """

    features: int
    split_pointer: IntArray
    leaf_pointer: IntArray
    feature: IntArray
    threshold: FloatArray
    missing: IntArray
    default_left: BoolArray
    left: IntArray
    right: IntArray
    leaf_value: FloatArray

    def __len__(self) -> int:
        return len(self.split_pointer) - 1


def read_trees(text: str) -> Trees:
    """Read the trees of a model text; what follows them (importances, parameters) is not looked at.

    Whether a text is whole is seen to first, whatever its kind: LightGBM itself may end the process on one that is not.

    Raises
    ------
    UnsupportedModelError
        Another version, several scores a row, averaged trees, linear leaves or categorical splits.
    InputError
        A text that is cut off or does not hang together, a threshold that is NaN, or a leaf that is not finite.
    """
    header, begin = _header(text)
    features = _integer(header, "max_feature_idx") + 1
    fields = [_fields(block, row) for row, block in enumerate(_blocks(text, header["tree_sizes"], begin))]
    _require_one_sum(header)
    leaves = np.array([_integer(tree, "num_leaves", row) for row, tree in enumerate(fields)], dtype=np.int64)
    for row, tree in enumerate(fields):
        _require_plain(tree, int(leaves[row]), row)
    splits = leaves - 1

    def integers(name: str) -> IntArray:
        return np.array(_column(fields, name, splits, int), dtype=np.int64)

    decision = integers("decision_type")
    if (decision & CATEGORICAL).any():
        raise UnsupportedModelError("has categorical splits")
    trees = Trees(
        features,
        np.append(0, np.cumsum(splits)),
        np.append(0, np.cumsum(leaves)),
        integers("split_feature"),
        np.array(_column(fields, "threshold", splits, float), dtype=np.float64),
        decision >> 2,
        (decision & DEFAULT_LEFT) > 0,
        integers("left_child"),
        integers("right_child"),
        np.array(_column(fields, "leaf_value", leaves, float), dtype=np.float64),
    )
    _require_sound(trees)
    return trees


def _header(text: str) -> tuple[dict[str, str], int]:
    """Lines before the first tree as a dict, and where they end."""
    end = text.find("\n\n")
    lines = text[: max(end, 0)].split("\n")
    if lines[0] != "tree":
        raise InputError("is not the text of a LightGBM model", file=FILE, value=text[:20])
    header = dict(line.partition("=")[::2] for line in lines[1:])
    for name in HEADER:
        if name not in header:
            raise InputError("is missing", file=FILE, column=name)
    if header["version"] != VERSION:
        raise UnsupportedModelError(f"is of version {header['version']}, not {VERSION}")
    return header, end + 2


def _require_one_sum(header: Mapping[str, str]) -> None:
    if header["num_class"] != "1" or header["num_tree_per_iteration"] != "1":
        raise UnsupportedModelError("has several scores a row")
    if "average_output" in header:
        raise UnsupportedModelError("averages its trees")


def _blocks(text: str, sizes: str, begin: int) -> list[str]:
    """The text of each tree; their sizes must lead from one to the next and to the end of the trees."""
    blocks = []
    for row, size in enumerate(_numbers(sizes, int, "tree_sizes")):
        if not text.startswith(f"Tree={row}\n", begin):
            raise InputError("does not begin where the sizes of the trees say", file=FILE, row=row, column="Tree")
        blocks.append(text[begin : begin + size])
        begin += size
    if not text.startswith("end of trees", begin):
        raise InputError("does not end where the sizes of the trees say", file=FILE, row=len(blocks), column="Tree")
    return blocks


def _fields(block: str, row: int) -> dict[str, str]:
    lines = block.rstrip("\n").split("\n")[1:]
    if strange := [line for line in lines if "=" not in line]:
        raise InputError("has a line that is not name=value", file=FILE, row=row, column="Tree", value=strange[0])
    return dict(line.partition("=")[::2] for line in lines)


def _require_plain(tree: Mapping[str, str], leaves: int, row: int) -> None:
    if leaves < 1:
        raise InputError("must be at least one", file=FILE, row=row, column="num_leaves", value=leaves)
    if tree.get("is_linear", "0") != "0":
        raise UnsupportedModelError("has linear leaves")
    if tree.get("num_cat", "0") != "0":
        raise UnsupportedModelError("has categorical splits")


def _column(fields: list[dict[str, str]], name: str, counts: IntArray, kind: Callable[[str], NumberT]) -> list[NumberT]:
    """Numbers called `name` of all trees; each tree must have as many as told."""
    out: list[NumberT] = []
    for row, (tree, count) in enumerate(zip(fields, counts.tolist(), strict=True)):
        found = _numbers(tree.get(name, ""), kind, name, row)
        if len(found) != count:
            raise InputError(f"needs {count} numbers", file=FILE, row=row, column=name, value=len(found))
        out += found
    return out


def _numbers(written: str, kind: Callable[[str], NumberT], name: str, row: int | None = None) -> list[NumberT]:
    try:
        return [kind(word) for word in written.split()]
    except ValueError:
        raise InputError("is not a list of numbers", file=FILE, row=row, column=name, value=written[:40]) from None


def _integer(fields: Mapping[str, str], name: str, row: int | None = None) -> int:
    found = _numbers(fields.get(name, ""), int, name, row)
    if len(found) != 1:
        raise InputError("is not one number", file=FILE, row=row, column=name, value=fields.get(name))
    return found[0]


def tree_of(pointer: IntArray) -> IntArray:
    """Tree of each entry of a pointer."""
    return np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))


def _require_sound(trees: Trees) -> None:
    """Every number in its range, every split and leaf but the first hung on exactly one split before it."""
    owner = tree_of(trees.split_pointer)
    place = np.arange(len(owner)) - trees.split_pointer[owner]
    leaves = np.diff(trees.leaf_pointer)[owner]
    _require(~np.isnan(trees.threshold), owner, "threshold", trees.threshold, "is not a number")
    leaf_owner = tree_of(trees.leaf_pointer)
    _require(np.isfinite(trees.leaf_value), leaf_owner, "leaf_value", trees.leaf_value, "is not finite")
    inside = (trees.feature >= 0) & (trees.feature < trees.features)
    _require(inside, owner, "split_feature", trees.feature, f"is not one of {trees.features} features")
    _require((trees.missing >= 0) & (trees.missing <= MISSING_NAN), owner, "decision_type", trees.missing, "is unknown")
    hung_splits, hung_leaves = np.zeros(len(owner), dtype=np.int64), np.zeros(len(leaf_owner), dtype=np.int64)
    for name, child in (("left_child", trees.left), ("right_child", trees.right)):
        sound = np.where(child >= 0, (child > place) & (child < leaves - 1), ~child < leaves)
        _require(sound, owner, name, child, "is not a later split or a leaf of its tree")
        np.add.at(hung_splits, (trees.split_pointer[owner] + child)[child >= 0], 1)
        np.add.at(hung_leaves, (trees.leaf_pointer[owner] + ~child)[child < 0], 1)
    _require(hung_splits == (place > 0), owner, "left_child", place, "is a split that does not hang on one other")
    grown = np.diff(trees.split_pointer)[leaf_owner] > 0
    leaf = np.arange(len(leaf_owner)) - trees.leaf_pointer[leaf_owner]
    _require(hung_leaves == grown, leaf_owner, "left_child", ~leaf, "is a leaf that does not hang on one split")


def _require(ok: BoolArray, owner: IntArray, name: str, values: NDArray[np.generic], problem: str) -> None:
    if not ok.all():
        at = int(np.argmin(ok))
        raise InputError(problem, file=FILE, row=int(owner[at]), column=name, value=values[at].item())
