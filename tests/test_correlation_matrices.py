"""Matrices of correlations: eigenvalues, shrinkage, repair and rolling windows against outside references."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.covariance
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.correlation.eigen import symmetric_eigen, symmetric_eigenvalues
from margincast.features.correlation.nearest import nearest_correlation
from margincast.features.correlation.rolling import rolling_correlation
from margincast.features.correlation.shrinkage import (
    ledoit_wolf,
    ledoit_wolf_constant_correlation,
    oracle_approximating,
    shrunk_covariances,
)
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
REFERENCE = json.loads((Path(__file__).parent / "published" / "ledoit_wolf_constant_correlation.json").read_text())
SEEDS = st.integers(0, 2**32 - 1)


def symmetric(seed, n):
    rng = np.random.default_rng(seed)
    kind = seed % 5
    if kind == 0:
        return np.corrcoef(rng.normal(size=(2 * n + 2, n)).T).reshape(n, n)
    if kind == 1:
        return np.outer(*[rng.normal(size=n)] * 2)
    if kind == 2:
        return np.diag(rng.integers(-2, 3, n).astype(float))
    if kind == 3:
        return np.full((n, n), rng.normal() * 1e-6)
    upper = np.triu(rng.normal(size=(n, n)))
    return upper + upper.T


@given(SEEDS, st.integers(1, 40))
@settings(max_examples=60)
def test_eigenvalues_and_vectors_are_lapacks(seed, n):
    matrix = symmetric(seed, n)
    size = np.abs(matrix).max() + 1e-300
    expected = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(symmetric_eigenvalues(matrix[None])[0], expected, rtol=0, atol=1e-14 * n * size)
    values, vectors = symmetric_eigen(matrix)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-14 * n * size)
    np.testing.assert_allclose((vectors * values) @ vectors.T, matrix, rtol=0, atol=2e-14 * n * size)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), rtol=0, atol=1e-14 * n)


def test_eigenvalues_of_what_is_not_finite_are_not_numbers():
    matrices = np.stack((np.eye(3), np.full((3, 3), np.nan)))
    assert np.isnan(symmetric_eigenvalues(matrices)).all(axis=1).tolist() == [False, True]
    with pytest.raises(InputError, match="finite"):
        symmetric_eigen(matrices[1])


def drawn(seed, rows, n):
    rng = np.random.default_rng(seed)
    return (rng.standard_t(3, (rows, 1)) * rng.uniform(0, 1, n) + rng.normal(size=(rows, n))) * 0.01 + 1e-3


@given(SEEDS, st.integers(2, 80), st.integers(1, 20))
@settings(max_examples=60)
def test_shrinkage_to_the_identity_is_scikit_learns(seed, rows, n):
    returns = drawn(seed, rows, n)
    for ours, theirs in ((ledoit_wolf, sklearn.covariance.ledoit_wolf), (oracle_approximating, sklearn.covariance.oas)):
        found, (covariance, intensity) = ours(returns), theirs(returns)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-10, atol=1e-16)
        assert found.intensity == pytest.approx(intensity, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: f"{case['rows']}x{case['columns']}")
def test_shrinkage_to_constant_correlation_is_the_authors(case):
    t, i = np.arange(1, case["rows"] + 1)[:, None], np.arange(1, case["columns"] + 1)[None, :]
    found = ledoit_wolf_constant_correlation(
        np.sin(t * t / 7 + i) + 0.5 * np.cos(3.3 * t * i) + 0.3 * i * np.sin(2.1 * t)
    )
    assert found.intensity == pytest.approx(case["shrinkage"], rel=1e-10)
    np.testing.assert_allclose(found.covariance, case["covariance"], rtol=1e-10, atol=1e-13)


@given(SEEDS, st.integers(3, 60), st.integers(2, 12))
@settings(max_examples=40)
def test_shrunk_matrices_are_positive_definite_and_keep_the_trace(seed, rows, n):
    returns = drawn(seed, rows, n)
    sample = np.cov(returns.T, ddof=0)
    for estimator in (ledoit_wolf, oracle_approximating, ledoit_wolf_constant_correlation):
        found = estimator(returns)
        assert 0.0 <= found.intensity <= 1.0
        assert np.trace(found.covariance) == pytest.approx(np.trace(sample), rel=1e-9)
        assert np.linalg.eigvalsh(found.covariance)[0] >= -1e-15
    np.testing.assert_allclose(np.diag(found.covariance), np.diag(sample), rtol=1e-9)


@pytest.mark.parametrize(
    ("common", "estimator"),
    [(0.0, ledoit_wolf), (0.0, oracle_approximating), (0.5, ledoit_wolf_constant_correlation)],
)
def test_shrinkage_to_a_right_target_is_nearer_to_the_truth_than_the_sample(common, estimator):
    truth = np.full((10, 10), common) + (1.0 - common) * np.eye(10)
    factor, rng = np.linalg.cholesky(truth), np.random.default_rng(1)
    errors = np.zeros(2)
    for _ in range(40):
        returns = rng.normal(size=(20, 10)) @ factor.T
        both = np.cov(returns.T, ddof=0), estimator(returns).covariance
        errors += [((covariance - truth) ** 2).sum() for covariance in both]
    assert errors[1] < 0.8 * errors[0]


def test_windows_leave_out_what_is_not_there():
    returns = drawn(1, 40, 4)
    returns[20, 2], returns[30:, 1] = np.nan, 0.0
    rows = np.array([3, 9, 25, 39])
    covariance, intensity = shrunk_covariances(returns, 10, rows, ledoit_wolf)
    assert np.isnan(covariance[0]).all() and np.isnan(intensity[0])
    for place, coins in ((1, [0, 1, 2, 3]), (2, [0, 1, 3]), (3, [0, 2, 3])):
        expected = sklearn.covariance.ledoit_wolf(returns[rows[place] - 9 : rows[place] + 1, coins])
        np.testing.assert_allclose(covariance[place][np.ix_(coins, coins)], expected[0], rtol=1e-10)
        assert intensity[place] == pytest.approx(expected[1], rel=1e-10)
        gone = np.setdiff1d(np.arange(4), coins)
        assert np.isnan(covariance[place][gone]).all() and np.isnan(covariance[place][:, gone]).all()


def test_what_cannot_be_shrunk_is_refused():
    with pytest.raises(InputError, match=r"row 1, column returns\[0\]"):
        ledoit_wolf(np.array([[1.0], [np.nan], [2.0]]))
    with pytest.raises(InputError, match="did not move"):
        ledoit_wolf_constant_correlation(np.array([[1.0, 1.0], [2.0, 1.0]]))
    with pytest.raises(InputError, match="two coins"):
        ledoit_wolf_constant_correlation(np.ones((3, 1)))
    with pytest.raises(InputError, match="two rows"):
        oracle_approximating(np.ones((1, 3)))
    with pytest.raises(InputError, match="is not one of 5"):
        shrunk_covariances(np.ones((5, 2)), 3, np.array([5]), ledoit_wolf)
    with pytest.raises(InputError, match="window"):
        shrunk_covariances(np.ones((5, 2)), 1, np.array([4]), ledoit_wolf)


@given(SEEDS, st.integers(3, 12), st.floats(0.1, 0.9))
@settings(max_examples=25)
def test_the_nearest_correlation_keeps_the_conditions_of_the_nearest(seed, n, noise):
    rng = np.random.default_rng(seed)
    wrong = np.triu(np.corrcoef(drawn(seed, 3 * n, n).T) + rng.uniform(-noise, noise, (n, n)), 1)
    wrong = np.clip(wrong + wrong.T, -1, 1) + np.eye(n)
    found = nearest_correlation(wrong)
    assert found.repaired == (np.linalg.eigvalsh(wrong)[0] < -1e-10)
    if not found.repaired:
        np.testing.assert_array_equal(found.correlation, wrong)
        return
    assert np.linalg.eigvalsh(found.correlation)[0] > -1e-12
    assert (np.diag(found.correlation) == 1).all() and (found.correlation == found.correlation.T).all()
    assert found.distance == pytest.approx(np.linalg.norm(found.correlation - wrong))
    # the conditions of H. Qi and D. Sun, SIAM J. Matrix Analysis 28 (2006): what was added, but for its diagonal, is
    # positive semidefinite and orthogonal to the result
    added = found.correlation - wrong
    added -= np.diag(np.diag(added @ found.correlation))
    assert np.abs(added @ found.correlation).max() < 1e-7
    assert np.linalg.eigvalsh(added)[0] > -1e-7


def test_what_is_no_correlation_matrix_is_refused():
    for matrix, word in (
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "symmetric"),
        (np.array([[2.0, 0.5], [0.5, 1.0]]), "diagonal"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
    ):
        with pytest.raises(InputError, match=word):
            nearest_correlation(matrix)


def pandas_rolling(values, window, rows):
    n = values.shape[1]
    return pd.DataFrame(values).rolling(window).corr().to_numpy().reshape(len(values), n, n)[rows]


@pytest.mark.parametrize(("window", "every"), [(48, 12), (48, 1), (30, 7), (6, 6), (36, 48), (97, 3)])
def test_rolling_correlations_are_pandas(window, every):
    values = drawn(window, 400, 5)
    values[130, 2], values[:60, 4] = np.nan, np.nan
    found = rolling_correlation(values, window, every)
    assert found.rows.tolist() == list(range(window - 1, 400, every))
    expected = pandas_rolling(values, window, found.rows)
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-10)


def test_rolling_correlations_of_real_returns_are_numpys():
    path = SHARED / "data" / "binance_30m" / "perp.parquet"
    if not path.is_file():
        pytest.skip(f"no {path}")
    bars = pd.read_parquet(path, columns=["timestamp", "symbol", "close"])
    bars = bars[bars["timestamp"] < "2023-03-01"]
    returns = np.log(bars.pivot(index="timestamp", columns="symbol", values="close")).diff().to_numpy()
    found = rolling_correlation(returns, 336, 48)
    assert returns.shape[1] > 15 and len(found.rows) > 40
    for row, matrix in zip(found.rows, found.values, strict=True):
        whole = ~np.isnan(returns[row - 335 : row + 1]).any(axis=0)
        expected = np.corrcoef(returns[row - 335 : row + 1, whole].T)
        np.testing.assert_allclose(matrix[np.ix_(whole, whole)], expected, rtol=0, atol=1e-10)
        assert np.isnan(matrix[~whole]).all()


def test_a_price_that_stands_still_has_no_correlation():
    values = drawn(3, 60, 3) + 100.0
    values[20:40, 1] = 103.7  # another level than the first: what is left of its variance is rounding
    found = rolling_correlation(values, 15)
    inside = (found.rows >= 34) & (found.rows < 40)
    assert np.isnan(found.values[inside, 1]).all() and not np.isnan(found.values[inside][:, 0, 2]).any()
    assert not np.isnan(found.values[~inside]).any()


def test_bits_do_not_depend_on_threads_or_on_what_comes_later():
    values = drawn(5, 3000, 50)
    whole = rolling_correlation(values, 240, 60)
    early = rolling_correlation(values[:1300], 240, 60)
    np.testing.assert_array_equal(early.values, whole.values[: len(early.rows)])
    code = (
        "import numpy as np, hashlib\n"
        "from margincast.features.correlation.rolling import rolling_correlation\n"
        "from margincast.features.correlation.eigen import symmetric_eigenvalues\n"
        "x = np.random.default_rng(0).normal(size=(2000, 50))\n"
        "r = rolling_correlation(x, 240, 60).values\n"
        "print(hashlib.sha256(r.tobytes() + symmetric_eigenvalues(r).tobytes()).hexdigest())\n"
    )
    told = set()
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        told.add(done.stdout)
    assert len(told) == 1


def test_windows_that_cannot_be_are_refused():
    values = drawn(0, 10, 2)
    for call, word in (
        (lambda: rolling_correlation(values, 1), "window"),
        (lambda: rolling_correlation(values, 3, 0), "every"),
        (lambda: rolling_correlation(values[0], 3), "shape"),
        (
            lambda: rolling_correlation(np.where(values == values[4, 1], np.inf, values), 3),
            r"row 4, column values\[1\]",
        ),
    ):
        with pytest.raises(InputError, match=word):
            call()
    assert len(rolling_correlation(values, 11).rows) == 0
