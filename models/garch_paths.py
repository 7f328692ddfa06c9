"""GARCH-t Monte Carlo: liquidation on simulated joint paths whose volatility clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import chdtri, ndtri
from scipy.stats import kendalltau

from ..riskcore.arrays import FloatArray, IntArray, require, require_shape
from ..riskcore.errors import InputError
from ..riskcore.margin import in_chunks
from .garch_fit import GarchFit, fit_garch_t, garch_variance
from .garch_path_kernel import Float32Array, touch_pass
from .sample import AccountSample, certain_where_breached, never_falling

MOST_POINTS = 48_000
"""Bars simulated of a series from one variance, at most: longest horizon times paths."""
MOST_PATHS, LEAST_PATHS = 2000, 500
FIELDS = ("omega", "alpha", "beta", "freedom", "start")


def path_count(longest: int) -> int:
    """How many paths are simulated: 2,000 up to 24 bars, fewer where they are longer, at least 500.

    Examples
    --------
    >>> path_count(24), path_count(48), path_count(288)
    (2000, 1000, 500)
    """
    return int(np.clip(MOST_POINTS // longest, LEAST_PATHS, MOST_PATHS))


def watched_bars(horizons: tuple[int, ...]) -> IntArray:
    """Bars after whose close paths are looked at: each horizon, and between them ever more sparsely.

    Examples
    --------
    >>> watched_bars((1, 4, 24)).tolist()
    [1, 2, 3, 4, 6, 9, 13, 19, 24]
    """
    bars, bar = set(horizons), 1
    while bar < horizons[-1]:
        bars.add(bar)
        bar = max(bar + 1, bar * 3 // 2)
    return np.array(sorted(bars), dtype=np.int64)


class GarchPaths:
    """Probability of liquidation by simulation from GARCH(1,1) with Student's t, one for each series.

    Within a bar every log price is a Brownian motion whose variance is the conditional one times a mixing variable
    (nu - 2) / chi-squared(nu), so that its move over the bar is Student's t. The mixing variables of all series come
    from one uniform number a bar, the motions are correlated: the grouped t copula. A pool between two closes is a
    Brownian bridge, which touches without being seen at a close; it need not be watched more closely.

    The same shocks serve all pools, bars and variances. They are stratified: in every bar each series has one shock in
    each of as many slices of equal probability as there are paths.

    Source: Bollerslev (1987) for the variance; S. Daul, E. De Giorgi, F. Lindskog and A. McNeil, The grouped t-copula
    with an application to credit risk, Risk 16 (2003); correlation from Kendall's tau as sin(pi tau / 2).

    Parameters
    ----------
    horizons
        In bars; the longest is simulated to, any up to it may be asked for.
    seed
        Of the shocks.
    paths
        Their number; `path_count` of the longest horizon if left out.
    threads
        Does not change the result.

    Attributes
    ----------
    parameters_
        omega, alpha, beta, degrees of freedom and variance to start from, (n_series, 5).
    fitted_
        Whether each series' parameters are its own, or (with fewer than 500 known returns) medians of the others'.
    correlation_
        Of the motions, (n_series, n_series).
    """

    def __init__(self, horizons: tuple[int, ...], seed: int = 0, paths: int | None = None, threads: int = 1) -> None:
        self.horizons, self.seed, self.threads = horizons, seed, threads
        self.paths = path_count(horizons[-1]) if paths is None else paths

    def fit(self, returns: FloatArray, first_bar: int, last_bar: int) -> GarchPaths:
        """Maximum likelihood on the log returns of bars [first_bar, last_bar), shape (n_bars, n_series).

        Raises
        ------
        InputError
            No series with 500 known returns that moved.
        """
        past = returns[first_bar:last_bar]
        fits = [fit_garch_t(past[:, s]) for s in range(past.shape[1])]
        self.fitted_ = np.array([one is not None for one in fits])
        if not self.fitted_.any():
            raise InputError(
                "leaves no series with 500 known returns to fit GARCH on", column="last_bar", value=last_bar
            )
        self.parameters_ = _with_medians(np.array([_row(one) for one in fits]))
        self.correlation_ = _correlation(past / np.sqrt(self.variance(past)[:-1]))
        self._draw()
        return self

    def variance(self, returns: FloatArray) -> FloatArray:
        """Variance of every bar as known at its open, (n_bars + 1, n_series), from log returns (n_bars, n_series).

        NaN where the return of the bar before is not known.
        """
        require_shape(returns, (len(returns), len(self.parameters_)), "returns")
        omega, alpha, beta, _, start = np.ascontiguousarray(self.parameters_.T)
        return np.asarray(garch_variance(omega, alpha, beta, start, returns))

    def predict(self, sample: AccountSample, variance: FloatArray) -> FloatArray:
        """Probability of liquidation of each row at each horizon, (n, n_horizons).

        Parameters
        ----------
        sample
            The pools.
        variance
            As `variance` gives it for the market they are seen in, (n_bars + 1, n_series). NaN there gives NaN.

        Raises
        ------
        InputError
            A horizon beyond the longest, or an exposure to a series that was not fitted.
        """
        if sample.horizons[-1] > self.horizons[-1]:
            problem = f"is beyond the simulated {self.horizons[-1]} bars"
            raise InputError(problem, column="horizon", value=sample.horizons[-1])
        exposure, series = sample.exposure, len(self.parameters_)
        require(exposure.series < series, exposure.series, f"is not one of the {series} fitted", "series")
        require_shape(variance, (len(variance), series), "variance")
        require(sample.bar < len(variance), sample.bar, f"is not one of the {len(variance)} of variance", "bar")
        order = np.argsort(sample.bar, kind="stable").astype(np.int64)
        horizons = np.array(sample.horizons, dtype=np.int64)
        probability = np.empty((len(sample), len(horizons)))

        def run(first: int, last: int) -> None:
            touch_pass(
                first,
                last,
                order,
                sample.bar,
                exposure.pointer,
                exposure.series,
                exposure.weight,
                exposure.headroom,
                variance,
                self.parameters_[:, :3].astype(np.float32),
                self.correlation_.astype(np.float32),
                self.shocks_,
                self.spread_,
                watched_bars(sample.horizons),
                horizons,
                probability,
            )

        in_chunks(run, len(sample), self.threads)
        return certain_where_breached(never_falling(probability), exposure)

    def _draw(self) -> None:
        """Shocks and the spread of the motion within each bar, (n_series, longest horizon, paths)."""
        n, steps = len(self.parameters_), self.horizons[-1]
        uniform = _strata(np.random.default_rng(self.seed), (steps, n + 1), self.paths)
        motion = np.einsum("ij,kjp->ikp", np.linalg.cholesky(self.correlation_), ndtri(uniform[:, :n]))
        freedom = self.parameters_[:, 3, None, None]
        spread = np.sqrt((freedom - 2.0) / chdtri(freedom, uniform[None, :, n]))
        shocks = spread * motion
        # like paths stand together, so that the kernel can pass over whole blocks of them
        order = np.argsort(shocks.sum(axis=(0, 1)), kind="stable")
        self.spread_: Float32Array = np.broadcast_to(spread, shocks.shape)[:, :, order].astype(np.float32)
        self.shocks_: Float32Array = shocks[:, :, order].astype(np.float32)

    def reordered(self, places: IntArray) -> GarchPaths:
        """The same for series in another order: series j was places[j] in fitting, or -1: not there.

        One that was not there gets the medians of the parameters, and on each path the shocks of one of the others.
        """
        out = GarchPaths(self.horizons, self.seed, self.paths, self.threads)
        there, fitted = places >= 0, len(self.parameters_)
        donor = np.where(
            there[:, None], places[:, None], (np.arange(len(places))[:, None] + np.arange(self.paths)) % fitted
        )
        out.parameters_ = _with_medians(np.where(there[:, None], self.parameters_[places], np.nan), self.parameters_)
        out.fitted_ = np.where(there, self.fitted_[places], False)
        share = np.stack([(donor == s).mean(axis=1) for s in range(fitted)], axis=1)
        out.correlation_ = np.einsum("is,st,jt->ij", share, self.correlation_, share)
        np.fill_diagonal(out.correlation_, 1.0)
        path = np.arange(self.paths)
        out.shocks_ = np.stack([self.shocks_[d, :, path].T for d in donor])
        out.spread_ = np.stack([self.spread_[d, :, path].T for d in donor])
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs; the shocks follow from the seed."""
        return {
            "horizons": list(self.horizons),
            "seed": self.seed,
            "paths": self.paths,
            "parameters": self.parameters_,
            "fitted": self.fitted_,
            "correlation": self.correlation_,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> GarchPaths:
        """The model as it was when `state` was taken."""
        model = cls(tuple(int(h) for h in state["horizons"]), int(state["seed"]), int(state["paths"]))
        model.parameters_ = np.asarray(state["parameters"], dtype=np.float64)
        model.fitted_ = np.asarray(state["fitted"], dtype=np.bool_)
        model.correlation_ = np.asarray(state["correlation"], dtype=np.float64)
        model._draw()
        return model


def _row(fit: GarchFit | None) -> list[float]:
    return [np.nan] * len(FIELDS) if fit is None else [getattr(fit, name) for name in FIELDS]


def _with_medians(parameters: FloatArray, fitted: FloatArray | None = None) -> FloatArray:
    """Rows that are NaN replaced by the medians of the others, or of `fitted`."""
    medians = np.nanmedian(parameters if fitted is None else fitted, axis=0)
    return np.where(np.isnan(parameters), medians, parameters)


def _correlation(residuals: FloatArray) -> FloatArray:
    """sin(pi tau / 2) of every pair's common bars, made positive definite; 0 where a pair has too few."""
    n = residuals.shape[1]
    out, known = np.eye(n), np.isfinite(residuals)
    for i in range(n):
        for j in range(i):
            both = known[:, i] & known[:, j]
            if both.sum() > 2:
                tau = float(kendalltau(residuals[both, i], residuals[both, j]).statistic)
                out[i, j] = out[j, i] = np.sin(0.5 * np.pi * tau) if np.isfinite(tau) else 0.0
    return _positive_definite(out)


def _positive_definite(correlation: FloatArray, least: float = 1e-6) -> FloatArray:
    values, vectors = np.linalg.eigh(correlation)
    if values[0] >= least:
        return correlation
    raised = np.einsum("ik,k,jk->ij", vectors, np.maximum(values, least), vectors)
    root = np.sqrt(np.diag(raised))
    return np.asarray(raised / root[:, None] / root)


def _strata(rng: np.random.Generator, shape: tuple[int, int], paths: int) -> FloatArray:
    """Uniform numbers, (*shape, paths), one in each of `paths` slices of (0, 1), in random order along the last axis.

    Source: M. McKay, R. Beckman and W. Conover, A comparison of three methods for selecting values of input variables,
    Technometrics 21 (1979): Latin hypercube sampling.
    """
    slices = np.broadcast_to(np.arange(paths, dtype=np.float64), (*shape, paths))
    uniform = (rng.permuted(slices, axis=2) + rng.random((*shape, paths))) / paths
    return np.clip(uniform, 1e-12, 1.0 - 1e-12)
