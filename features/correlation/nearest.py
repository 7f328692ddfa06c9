"""The nearest correlation matrix to one that is none: pairs estimated apart need not fit together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray, require_shape
from ...riskcore.errors import InputError
from .eigen import symmetric_eigen, symmetric_eigenvalues

ROUNDS = 1000
"""Alternating projections allowed; they converge linearly and tens are usual."""


@dataclass(frozen=True)
class NearestCorrelation:
    """A correlation matrix and what was done to get it.

    Parameters
    ----------
    correlation
        Positive semidefinite to within rounding, ones on the diagonal, shape (n, n).
    repaired
        Whether the matrix given was not positive semidefinite.
    distance
        Frobenius norm of the change; 0 where nothing was repaired.
    """

    correlation: FloatArray
    repaired: bool
    distance: float


def nearest_correlation(matrix: FloatArray, tolerance: float = 1e-10) -> NearestCorrelation:
    """The correlation matrix nearest in the Frobenius norm, by alternating projections with Dykstra's correction.

    Source: N. Higham, Computing the nearest correlation matrix - a problem from finance, IMA J. Numerical Analysis 22
    (2002), algorithm 3.3 with unit weights.

    Parameters
    ----------
    matrix
        Symmetric, ones on the diagonal, shape (n, n).
    tolerance
        Eigenvalues down to minus this are taken for rounding and the matrix is returned as it is; otherwise projections
        end when the two kinds differ by less.

    Returns
    -------
    NearestCorrelation
        With `repaired` telling whether it is another matrix than was given.

    Raises
    ------
    InputError
        A value that is not finite, a matrix that is not symmetric or has another diagonal, or projections that do not
        meet.

    Examples
    --------
    The example of Higham's paper:

    >>> found = nearest_correlation(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]))
    >>> found.repaired, found.correlation.round(4).tolist()
    (True, [[1.0, 0.7607, 0.1573], [0.7607, 1.0, 0.7607], [0.1573, 0.7607, 1.0]])
    """
    require_shape(matrix, (len(matrix), len(matrix)), "matrix")
    if not np.isfinite(matrix).all():
        raise InputError("must hold finite numbers", column="matrix")
    if (matrix != matrix.T).any() or (np.diagonal(matrix) != 1.0).any():
        raise InputError("must be symmetric with ones on its diagonal", column="matrix")
    if symmetric_eigenvalues(matrix[None])[0, 0] >= -tolerance:
        return NearestCorrelation(matrix.copy(), False, 0.0)
    found = _project(matrix, tolerance)
    return NearestCorrelation(found, True, float(np.sqrt(((found - matrix) ** 2).sum())))


def _project(matrix: FloatArray, tolerance: float) -> FloatArray:
    current, correction = matrix.copy(), np.zeros_like(matrix)
    for _ in range(ROUNDS):
        shifted = current - correction
        positive = _positive_part(shifted)
        correction = positive - shifted
        current = positive.copy()
        np.fill_diagonal(current, 1.0)
        if np.abs(current - positive).max() <= tolerance:
            # a matrix with a unit diagonal by scaling stays positive semidefinite, one with it put there need not
            scale = np.sqrt(np.diagonal(positive))
            nearest: FloatArray = positive / np.outer(scale, scale)
            np.fill_diagonal(nearest, 1.0)
            return nearest
    raise InputError(f"no nearest correlation matrix within {ROUNDS} projections", column="matrix")


def _positive_part(matrix: FloatArray) -> FloatArray:
    """The matrix without its negative eigenvalues; sums in a fixed order."""
    values, vectors = symmetric_eigen(matrix)
    kept = np.flatnonzero(values > 0.0)
    out = np.zeros_like(matrix)
    for k in kept:
        out += values[k] * np.outer(vectors[:, k], vectors[:, k])
    return out
