"""Eigenvalues and eigenvectors of small symmetric matrices in a fixed order of operations.

A library's eigensolver may give other last bits on another number of threads or another processor; these features must
not. Householder tridiagonalisation, then the implicit symmetric QR iteration with Wilkinson's shift: G. Golub and C.
Van Loan, Matrix Computations, 4th ed. (2013), sections 8.3.1 to 8.3.3.
"""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, require_shape
from ...riskcore.errors import InputError

EPSILON = 2.220446049250313e-16
SWEEPS = 30
"""Iterations allowed for each eigenvalue; two or three are usual."""


def symmetric_eigenvalues(matrices: FloatArray) -> FloatArray:
    """Eigenvalues of symmetric matrices, rising.

    Parameters
    ----------
    matrices
        Shape (m, n, n).

    Returns
    -------
    FloatArray
        Shape (m, n); NaN for a matrix that holds a NaN or an infinity.

    Examples
    --------
    >>> symmetric_eigenvalues(np.array([[[1.0, 0.5], [0.5, 1.0]]])).round(12).tolist()
    [[0.5, 1.5]]
    """
    require_shape(matrices, (len(matrices), matrices.shape[-1], matrices.shape[-1]), "matrices")
    work = np.array(matrices, np.float64, order="C", copy=True)
    out = np.full(work.shape[:2], np.nan)
    for matrix, values in zip(work, out, strict=True):
        eigenvalues_into(matrix, values)
    return out


def symmetric_eigen(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues, rising, and orthonormal eigenvectors of a symmetric matrix: matrix = V diag(values) V'.

    Parameters
    ----------
    matrix
        Shape (n, n).

    Returns
    -------
    values, vectors
        Shapes (n,) and (n, n); vectors in columns.

    Raises
    ------
    InputError
        A number that is NaN or infinite.

    Examples
    --------
    >>> values, vectors = symmetric_eigen(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> values.round(12).tolist(), np.abs(vectors).round(6).tolist()
    ([1.0, 3.0], [[0.707107, 0.707107], [0.707107, 0.707107]])
    """
    require_shape(matrix, (len(matrix), len(matrix)), "matrix")
    if not np.isfinite(matrix).all():
        raise InputError("must hold finite numbers", column="matrix")
    work, values = np.array(matrix, np.float64, order="C", copy=True), np.empty(len(matrix))
    rows = np.eye(len(matrix))
    if not _eigen_into(work, values, rows, True):
        raise InputError("its eigenvalues were not found", column="matrix")
    return values, np.ascontiguousarray(rows.T)


@numba.njit(cache=True, nogil=True)
def eigenvalues_into(matrix: FloatArray, values: FloatArray) -> None:
    """Eigenvalues of a symmetric matrix, rising; the matrix is destroyed. NaN where it is not finite."""
    if not (np.isfinite(matrix).all() and _eigen_into(matrix, values, matrix, False)):
        values[:] = np.nan


@numba.njit(cache=True, nogil=True)
def _eigen_into(matrix: FloatArray, values: FloatArray, rows: FloatArray, wanted: bool) -> bool:
    """Eigenvalues into `values` and, where wanted, eigenvectors into the rows of `rows` (the identity before)."""
    n = len(values)
    beside, factor = np.zeros(n), np.zeros(n)
    _tridiagonalise(matrix, values, beside, factor)
    if wanted:
        for k in range(n - 3, -1, -1):
            for i in range(n):
                along = 0.0
                for j in range(k + 1, n):
                    along += rows[i, j] * matrix[j, k]
                for j in range(k + 1, n):
                    rows[i, j] -= factor[k] * along * matrix[j, k]
    if not _iterate(values, beside, rows, wanted):
        return False
    for k in range(1, n):
        place = k
        while place > 0 and values[place - 1] > values[place]:
            values[place - 1], values[place] = values[place], values[place - 1]
            if wanted:
                for j in range(n):
                    rows[place - 1, j], rows[place, j] = rows[place, j], rows[place - 1, j]
            place -= 1
    return True


@numba.njit(cache=True, nogil=True)
def _tridiagonalise(matrix: FloatArray, diagonal: FloatArray, beside: FloatArray, factor: FloatArray) -> None:
    """Reflections H = 1 - factor v v' bring the matrix to tridiagonal form; v stays in the column it cleared."""
    n = len(diagonal)
    v, p = np.zeros(n), np.zeros(n)
    for k in range(n - 2):
        below = 0.0
        for i in range(k + 2, n):
            below += matrix[i, k] * matrix[i, k]
        first = matrix[k + 1, k]
        if below == 0.0:
            beside[k] = first
            continue
        norm = np.sqrt(first * first + below)
        beside[k] = -norm if first >= 0.0 else norm
        v[k + 1] = first - beside[k]
        for i in range(k + 2, n):
            v[i] = matrix[i, k]
        factor[k] = 2.0 / (v[k + 1] * v[k + 1] + below)
        p[k + 1 :] = 0.0
        for j in range(k + 1, n):
            for i in range(k + 1, n):
                p[i] += v[j] * matrix[j, i]
        along = 0.0
        for i in range(k + 1, n):
            p[i] *= factor[k]
            along += p[i] * v[i]
        for i in range(k + 1, n):
            p[i] -= 0.5 * factor[k] * along * v[i]
        for i in range(k + 1, n):
            for j in range(k + 1, n):
                matrix[i, j] -= v[i] * p[j] + p[i] * v[j]
        for i in range(k + 1, n):
            matrix[i, k] = v[i]
    for k in range(n):
        diagonal[k] = matrix[k, k]
    if n > 1:
        beside[n - 2] = matrix[n - 1, n - 2]


@numba.njit(cache=True, nogil=True)
def _iterate(diagonal: FloatArray, beside: FloatArray, rows: FloatArray, wanted: bool) -> bool:
    """QR iteration on the tridiagonal matrix, last eigenvalue first; False where it does not end."""
    n = len(diagonal)
    size = 0.0
    for k in range(n):
        size = max(size, abs(diagonal[k]) + abs(beside[k]))
    small, last = EPSILON * size, n - 1
    for _ in range(SWEEPS * n):
        while last > 0 and abs(beside[last - 1]) <= small:
            last -= 1
        if last <= 0:
            return True
        first = last - 1
        while first > 0 and abs(beside[first - 1]) > small:
            first -= 1
        _sweep(diagonal, beside, rows, wanted, first, last)
    return last <= 0


@numba.njit(cache=True, nogil=True)
def _sweep(diagonal: FloatArray, beside: FloatArray, rows: FloatArray, wanted: bool, first: int, last: int) -> None:
    """One implicit QR step on the unreduced part first .. last."""
    half, edge = 0.5 * (diagonal[last - 1] - diagonal[last]), beside[last - 1]
    root = np.sqrt(half * half + edge * edge)
    shift = diagonal[last] - edge * edge / (half + root if half >= 0.0 else half - root)
    x, z = diagonal[first] - shift, beside[first]
    for k in range(first, last):
        r = np.sqrt(x * x + z * z)
        c, s = (x / r, z / r) if r > 0.0 else (1.0, 0.0)
        if k > first:
            beside[k - 1] = r
        a, b, g = diagonal[k], beside[k], diagonal[k + 1]
        diagonal[k] = c * c * a + 2.0 * c * s * b + s * s * g
        diagonal[k + 1] = s * s * a - 2.0 * c * s * b + c * c * g
        beside[k] = c * s * (g - a) + (c * c - s * s) * b
        x = beside[k]
        if k < last - 1:
            z = s * beside[k + 1]
            beside[k + 1] = c * beside[k + 1]
        if wanted:
            for j in range(len(diagonal)):
                one, two = rows[k, j], rows[k + 1, j]
                rows[k, j] = c * one + s * two
                rows[k + 1, j] = c * two - s * one
