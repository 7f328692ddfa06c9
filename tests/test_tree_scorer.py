"""The compiled scorer against LightGBM, bit for bit: every kind of tree it reads, and rows that lie on the edges."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.models.booster import (
    booster_from_text,
    booster_text,
    contributions,
    native_scores,
    raw_scores,
    train_booster,
)
from margincast.models.scale import LearnedScale
from margincast.models.tree_scorer import FEW_ROWS, TreeScorer
from margincast.models.tree_text import UnsupportedModelError, read_trees
from margincast.riskcore.errors import InputError

FEATURES = 6
BASE = {"verbose": -1, "num_threads": 1, "deterministic": True, "seed": 1, "min_data_in_leaf": 2}
MODELS = {
    "usual": ({"objective": "regression", "num_leaves": 31}, 40),
    "two leaves": ({"objective": "regression", "num_leaves": 2}, 30),
    "32 leaves": ({"objective": "regression", "num_leaves": 32}, 9),
    "33 leaves": ({"objective": "regression", "num_leaves": 33}, 9),
    "64 leaves": ({"objective": "regression", "num_leaves": 64}, 11),
    "65 leaves": ({"objective": "regression", "num_leaves": 65}, 9),
    "300 leaves": ({"objective": "regression", "num_leaves": 300}, 10),
    "one tree": ({"objective": "regression", "num_leaves": 16}, 1),
    "500 trees": ({"objective": "regression", "num_leaves": 8}, 500),
    "absolute error": ({"objective": "regression_l1", "num_leaves": 15}, 12),
    "huber": ({"objective": "huber", "num_leaves": 15}, 12),
    "quantile": ({"objective": "quantile", "alpha": 0.9, "num_leaves": 15}, 12),
    "binary": ({"objective": "binary", "num_leaves": 15}, 12),
    "binary from nothing": ({"objective": "binary", "boost_from_average": False, "num_leaves": 15}, 12),
    "monotone": ({"objective": "regression", "monotone_constraints": [1, -1, 0, 0, 0, 0], "num_leaves": 15}, 12),
    "dart": ({"objective": "regression", "boosting": "dart", "num_leaves": 15, "drop_rate": 0.5}, 12),
    "missing not used": ({"objective": "regression", "use_missing": False, "num_leaves": 31}, 15),
    "zero is missing": ({"objective": "regression", "zero_as_missing": True, "num_leaves": 31}, 15),
    "zero is missing, 65 leaves": ({"objective": "regression", "zero_as_missing": True, "num_leaves": 65}, 9),
    "many thresholds": ({"objective": "regression", "num_leaves": 60, "max_bin": 4000, "min_data_in_bin": 1}, 60),
}
WIDE = ("many thresholds",)
"""Models whose codes are of 16 bits: tried with float64 rows only, to compile less."""


def table(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features with NaN, zeros, a column of few values and one that is mostly zero, and a target that turns on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, FEATURES)) * [1, 1e-3, 1e6, 1, 1, 1e-36]
    x[:, 3] = np.round(x[:, 3])
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < [0.0, 0.1, 0.1, 0.0, 0.8, 0.1]] = 0.0
    known = np.nan_to_num(x, nan=0.0)
    y = known[:, 0] + np.abs(known[:, 1]) * 1e3 + 2 * (known[:, 4] > 0) + np.isnan(x[:, 2]) + (known[:, 3] == 0)
    return x, y + np.sin(known[:, 2] / 2e5) + 0.1 * rng.normal(size=rows)


@functools.cache
def model(name: str) -> tuple[lgb.Booster, TreeScorer, str]:
    parameters, rounds = MODELS[name]
    x, y = table(1500, 1)
    target = y > 1 if parameters["objective"] == "binary" else y
    booster = lgb.train({**BASE, **parameters}, lgb.Dataset(x, target), rounds)
    return loaded(booster.model_to_string())


def loaded(text: str) -> tuple[lgb.Booster, TreeScorer, str]:
    return lgb.Booster(model_str=text), TreeScorer.from_text(text), text


def edge_rows(text: str, count: int, dtype: type, seed: int) -> np.ndarray:
    """Rows drawn from what is hard: thresholds and their neighbours, zeros of every size, infinities, NaN."""
    rng, trees = np.random.default_rng(seed), read_trees(text)
    small = np.finfo(dtype).smallest_subnormal
    zeros = np.array([0.0, -0.0, small, -small, 1e-36, -1e-36, 1e-35, -1e-35], dtype=dtype)
    zeros = np.concatenate((zeros, [np.nextafter(z, far) for z in zeros[-2:] for far in dtype([-1, 1])]))
    huge = np.array([np.inf, -np.inf, np.nan, np.nan, np.finfo(dtype).max, np.finfo(dtype).min])
    out = np.empty((count, trees.features), dtype=dtype)
    with np.errstate(over="ignore"):
        for k in range(trees.features):
            hit = np.append(trees.threshold[trees.feature == k], 1.0).astype(dtype)
            near = [hit, np.nextafter(hit, dtype(-np.inf)), np.nextafter(hit, dtype(np.inf))]
            pool = np.concatenate(
                [*near, np.resize(zeros, len(hit)), np.resize(huge, len(hit)), table(50, seed)[0][:, k]]
            )
            out[:, k] = rng.choice(pool.astype(dtype), count)
    return out


def require_equal(booster: lgb.Booster, scorer: TreeScorer, rows: np.ndarray, trees: int = -1) -> np.ndarray:
    """Batch, few rows and single rows, all LightGBM's bits."""
    said = booster.predict(rows, raw_score=True, num_iteration=trees, num_threads=1)
    assert scorer.raw_scores(rows, trees=trees).tobytes() == said.tobytes()
    few = min(FEW_ROWS, 9)
    assert scorer.raw_scores(rows[:few], trees=trees).tobytes() == said[:few].tobytes()
    assert [scorer.single(row, trees=trees).hex() for row in rows[:few]] == [float(v).hex() for v in said[:few]]
    return said


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_lightgbm(name: str, dtype: type) -> None:
    if name in WIDE and dtype is np.float32:
        pytest.skip("codes of 16 bits are compiled for float64 only, to keep this quick")
    booster, scorer, text = model(name)
    said = require_equal(booster, scorer, edge_rows(text, 1001, dtype, 2))
    assert len(np.unique(said)) > 1
    require_equal(booster, scorer, table(300, 3)[0].astype(dtype))


def test_the_models_are_of_the_kinds_they_are_meant_to_be() -> None:
    paths = {name: model(name)[1].path for name in MODELS}
    assert paths["32 leaves"] == paths["usual"] == "masks of 32 leaves"
    assert paths["33 leaves"] == paths["64 leaves"] == "masks of 64 leaves"
    assert paths["65 leaves"] == paths["300 leaves"] == "walk"
    kinds = {name: read_trees(model(name)[2]) for name in MODELS}
    assert [np.diff(kinds[f"{n} leaves"].leaf_pointer).max() for n in (32, 33, 64, 65)] == [32, 33, 64, 65]
    assert set(kinds["usual"].missing) == {0, 2} or set(kinds["usual"].missing) == {2}
    assert set(kinds["missing not used"].missing) == {0}
    assert 1 in kinds["zero is missing"].missing
    for name in ("usual", "zero is missing"):
        assert set(kinds[name].default_left) == {False, True}
    assert np.isinf(kinds["usual"].threshold).any(), "no split parts NaN from all else"
    wide = kinds["many thresholds"]
    assert max(len(np.unique(wide.threshold[wide.feature == k])) for k in range(FEATURES)) > 255


@pytest.mark.parametrize("name", ["usual", "64 leaves", "300 leaves"])
@pytest.mark.parametrize("trees", [1, 2, 7, 8, 9, 10_000])
def test_scores_of_the_first_trees(name: str, trees: int) -> None:
    booster, scorer, text = model(name)
    require_equal(booster, scorer, edge_rows(text, 130, np.float64, trees), trees)
    assert not scorer.raw_scores(table(40, 1)[0], trees=0).any()


@pytest.mark.parametrize("rows", [0, 1, FEW_ROWS, FEW_ROWS + 1, 63, 64, 65, 128, 129])
def test_any_number_of_rows_and_the_place_of_a_row_changes_nothing(rows: int) -> None:
    booster, scorer, text = model("usual")
    x = edge_rows(text, 129, np.float64, 5)
    said = booster.predict(x, raw_score=True, num_threads=1)
    assert scorer.raw_scores(x[:rows]).tobytes() == said[:rows].tobytes()
    assert scorer.raw_scores(x[129 - rows :]).tobytes() == said[129 - rows :].tobytes()


@pytest.mark.parametrize("name", ["usual", "300 leaves"])
def test_threads_and_memory_order_change_no_bit(name: str) -> None:
    _, scorer, text = model(name)
    x = edge_rows(text, 2000, np.float32, 6)
    one = scorer.raw_scores(x)
    for other in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        assert scorer.raw_scores(other, threads=2).tobytes() == one.tobytes()
    assert scorer.single(np.asfortranarray(x)[4]) == one[4]
    if name == "usual":
        x.flags.writeable = False
        assert scorer.raw_scores(x, threads=3).tobytes() == one.tobytes()


def test_trees_of_one_leaf() -> None:
    x, y = table(60, 1)
    constant = lgb.train({**BASE, "objective": "regression"}, lgb.Dataset(x, np.full(60, 4.25)), 3)
    booster, scorer, text = loaded(constant.model_to_string())
    assert (require_equal(booster, scorer, table(100, 2)[0]) == 4.25).all()
    first = text[text.index("Tree=0") : text.index("end of trees")]
    many = "".join(first.replace("Tree=0", f"Tree={k}") for k in range(9))
    sizes = " ".join(str(len(first)) for _ in range(9))
    nine = re.sub(r"tree_sizes=.*", f"tree_sizes={sizes}", text.replace(first, many))
    assert (require_equal(*loaded(nine)[:2], table(100, 2)[0]) == 9 * 4.25).all()
    options = {**BASE, "objective": "regression", "num_leaves": 4, "min_data_in_leaf": 2}
    stop = lgb.train({**options, "min_gain_to_split": 60.0}, lgb.Dataset(x, y), 5)
    require_equal(*loaded(stop.model_to_string())[:2], table(100, 2)[0])


def test_one_feature_whose_missing_values_are_treated_in_three_ways() -> None:
    """Training that goes on with other settings leaves trees of each kind side by side."""
    x, y = table(1500, 1)
    booster = None
    for settings_ in ({}, {"zero_as_missing": True}, {"use_missing": False}):
        data = lgb.Dataset(x, y, params=settings_, free_raw_data=False)
        options = {**BASE, "objective": "regression", "num_leaves": 20, **settings_}
        booster = lgb.train(options, data, 8, init_model=booster)
    assert booster is not None
    native, scorer, text = loaded(booster.model_to_string())
    trees = read_trees(text)
    assert set(trees.missing[trees.feature == 1]) == {0, 1, 2}
    require_equal(native, scorer, edge_rows(text, 1500, np.float64, 7))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    leaves=st.integers(2, 70),
    rounds=st.integers(1, 20),
    missing=st.sampled_from([{}, {"zero_as_missing": True}, {"use_missing": False}]),
    trees=st.integers(1, 21),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_model_on_any_rows(
    seed: int, leaves: int, rounds: int, missing: dict[str, bool], trees: int, dtype: type
) -> None:
    x, y = table(400, seed)
    options = {**BASE, "objective": "regression", "num_leaves": leaves, "feature_fraction": 0.7, **missing}
    booster = lgb.train(options, lgb.Dataset(x.astype(dtype), y), rounds)
    native, scorer, text = loaded(booster.model_to_string())
    rows = edge_rows(text, 90, dtype, seed)
    require_equal(native, scorer, rows)
    require_equal(native, scorer, rows, trees)


UNSUPPORTED = {
    "categorical splits": {"objective": "regression", "min_data_per_group": 1, "cat_smooth": 1.0},
    "linear leaves": {"objective": "regression", "linear_tree": True},
    "averages its trees": {"objective": "regression", "boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
    "several scores a row": {"objective": "multiclass", "num_class": 3},
}


@pytest.mark.parametrize("reason", UNSUPPORTED)
def test_other_models_are_left_to_lightgbm(reason: str) -> None:
    x, y = table(600, 1)
    x[:, 3] = np.abs(np.nan_to_num(x[:, 3]))
    y = y + 5.0 * (x[:, 3] == 1)
    target = np.clip(np.round(np.abs(y)), 0, 2) if "num_class" in UNSUPPORTED[reason] else y
    categories = [3] if reason == "categorical splits" else []
    data = lgb.Dataset(x.astype(np.float32), target, categorical_feature=categories)
    own = lgb.train({**BASE, **UNSUPPORTED[reason]}, data, 5)
    text = own.model_to_string()
    with pytest.raises(UnsupportedModelError, match=reason):
        TreeScorer.from_text(text)
    booster = booster_from_text(text)
    assert booster.scorer is None
    assert reason in str(booster.fallback_reason)
    said = own.predict(x.astype(np.float32), raw_score=True)
    assert raw_scores(booster, x).tobytes() == said.tobytes()
    assert raw_scores(booster, x, trees=2).tobytes() != said.tobytes()
    with pytest.raises(InputError, match="model text"):
        booster_from_text(text[: text.index("end of trees")])


def test_another_version_is_left_to_lightgbm() -> None:
    _, scorer, text = model("one tree")
    booster = booster_from_text(text.replace("version=v4", "version=v3"))
    assert booster.fallback_reason == "is of version v3, not v4"
    x = table(50, 2)[0]
    assert raw_scores(booster, x).tobytes() == scorer.raw_scores(x.astype(np.float32)).tobytes()


def test_a_booster_of_ours_is_scored_by_the_scorer_and_checked_by_lightgbm() -> None:
    x, y = table(1200, 1)
    names = [f"f{k}" for k in range(FEATURES)]
    ours = train_booster(x, y, names, parameters={"objective": "regression", "num_leaves": 31}, rounds=20, seed=1)
    back = booster_from_text(booster_text(ours))
    rows = table(700, 2)[0]
    assert (ours.fallback_reason, back.fallback_reason) == (None, None)
    for trees in (-1, 0, 3):
        said = native_scores(ours, rows, trees=trees)
        for booster in (ours, back):
            assert raw_scores(booster, rows, trees=trees, threads=2).tobytes() == said.tobytes()
    np.testing.assert_allclose(contributions(back, rows).sum(axis=1), raw_scores(ours, rows), rtol=1e-9)


SCORE_STORED = """
import json, pathlib, sys
import numpy as np
from margincast.models.scale import LearnedScale
model = LearnedScale.from_state(json.loads(pathlib.Path(sys.argv[1]).read_text()))
rows = np.load(sys.argv[2])
print(model.predict(rows, rows[:, 0]).tobytes().hex())
print(sorted({"lightgbm", "sklearn"} & set(sys.modules)))
"""


def test_a_stored_model_is_scored_without_importing_lightgbm(tmp_path: Path) -> None:
    x, y = (np.nan_to_num(column) for column in table(800, 1))
    scale = LearnedScale(rounds=5).fit(x, x[:, 0], y, [f"f{k}" for k in range(FEATURES)])
    (tmp_path / "state.json").write_text(json.dumps(scale.state()), encoding="utf-8")
    np.save(tmp_path / "rows.npy", x)
    command = [sys.executable, "-c", SCORE_STORED, str(tmp_path / "state.json"), str(tmp_path / "rows.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said, imported = done.stdout.split("\n")[:2]
    assert said == scale.predict(x, x[:, 0]).tobytes().hex()
    assert imported == "[]"


WITHIN_BOUNDS = """
import pathlib, sys
import numpy as np
from margincast.models.tree_scorer import TreeScorer
rows = np.load(sys.argv[1])
for name in sys.argv[2:]:
    scorer = TreeScorer.from_text(pathlib.Path(name).read_text())
    print(scorer.raw_scores(rows).tobytes().hex(), scorer.raw_scores(rows[:3]).tobytes().hex())
"""


def test_no_kernel_reaches_outside_its_arrays(tmp_path: Path) -> None:
    rows = edge_rows(model("usual")[2], 70, np.float32, 8)
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "usual.txt").write_text(model("usual")[2], encoding="utf-8")
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", WITHIN_BOUNDS, str(tmp_path / "rows.npy"), str(tmp_path / "usual.txt")]
    done = subprocess.run(command, env=checked, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    whole, few = (bytes.fromhex(part) for part in done.stdout.split())
    said = model("usual")[0].predict(rows, raw_score=True)
    assert (whole, few) == (said.tobytes(), said[:3].tobytes())


@settings(max_examples=60)
@given(data=st.data())
def test_a_text_that_is_cut_off_is_refused(data: st.DataObject) -> None:
    text = model("two leaves")[2]
    end = data.draw(st.integers(0, text.index("end of trees") + len("end of tree")))
    with pytest.raises(InputError, match="model text"):
        booster_from_text(text[:end])


@settings(max_examples=60)
@given(data=st.data())
def test_a_text_that_lost_a_part_of_its_trees_is_refused(data: st.DataObject) -> None:
    text = model("two leaves")[2]
    begin, end = sorted(
        data.draw(
            st.lists(st.integers(text.index("Tree=0"), text.index("end of trees")), min_size=2, max_size=2, unique=True)
        )
    )
    with pytest.raises(InputError, match="model text"):
        TreeScorer.from_text(text[:begin] + text[end:])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (r"^tree\n", "bush\n", r"model text: is not the text of a LightGBM model \(found 'bush"),
        (r"\nmax_feature_idx=5\n", "\n", "model text, column max_feature_idx: is missing"),
        (r"\nmax_feature_idx=5\n", "\nmax_feature_idx=x\n", r"max_feature_idx: is not a list of numbers \(found 'x'"),
        (r"\nmax_feature_idx=5\n", "\nmax_feature_idx=0\n", "row 0, column split_feature: is not one of 1 features"),
        (r"tree_sizes=\d+", "tree_sizes=9", "row 1, column Tree: does not begin where the sizes of the trees say"),
        (r"tree_sizes=(\d+) .*\n", r"tree_sizes=\1\n", "row 1, column Tree: does not end where the sizes"),
        (r"num_leaves=\d+", "num_leaves=0", "row 0, column num_leaves: must be at least one"),
        (r"num_leaves=(\d+)", "num_leaves=1", r"row 0, column decision_type: needs 0 numbers \(found "),
        (r"threshold=\S+", "threshold=abc", r"row 0, column threshold: is not a list of numbers \(found 'abc"),
        (r"threshold=\S+", "threshold=nan", r"row 0, column threshold: is not a number \(found nan"),
        (r"leaf_value=\S+", "leaf_value=inf", r"row 0, column leaf_value: is not finite \(found inf"),
        (r"leaf_value=\S+ ", "leaf_value=", r"row 0, column leaf_value: needs \d+ numbers"),
        (r"decision_type=\d+", "decision_type=14", r"row 0, column decision_type: is unknown \(found 3"),
        (r"left_child=\d+", "left_child=0", r"row 0, column left_child: is not a later split or a leaf"),
        (r"left_child=\d+", "left_child=99", r"row 0, column left_child: is not a later split or a leaf"),
        (r"left_child=\d+", "left_child=-99", r"row 0, column left_child: is not a later split or a leaf"),
        (r"left_child=\d+", "left_child=-1", "does not hang on one"),
        (r"num_cat=0", "num_cat", r"row 0, column Tree: has a line that is not name=value \(found 'num_cat'"),
    ],
)
def test_a_corrupt_text_is_refused_where_it_is_corrupt(old: str, new: str, problem: str) -> None:
    """Changed once, and the size of the first tree told anew, so that it is the field itself that is found out."""
    text = re.sub(old, new, model("usual")[2], count=1)
    if "tree_sizes" not in new:
        size = text.index("Tree=1\n") - text.index("Tree=0\n")
        text = re.sub(r"tree_sizes=\d+", f"tree_sizes={size}", text, count=1)
    with pytest.raises(InputError, match=problem):
        booster_from_text(text)


def test_rows_that_do_not_fit_are_refused() -> None:
    scorer = model("usual")[1]
    with pytest.raises(InputError, match=r"features: has shape \(3, 5\), expected \(n, 6\)"):
        scorer.raw_scores(np.zeros((3, 5)))
    with pytest.raises(InputError, match=r"features: has shape \(6,\), expected \(n, 6\)"):
        scorer.raw_scores(np.zeros(6))
    with pytest.raises(InputError, match=r"row: has shape \(5,\), expected \(6,\)"):
        scorer.single(np.zeros(5))
    with pytest.raises(InputError, match=r"features: must be float64 or float32 \(found 'int64'\)"):
        scorer.raw_scores(np.zeros((2, 6), dtype=np.int64))
    with pytest.raises(InputError, match=r"trees: must be a number of trees, or -1 for all \(found -2\)"):
        scorer.raw_scores(np.zeros((2, 6)), trees=-2)
