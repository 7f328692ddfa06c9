"""A market that switches between regimes: a Markov chain behind Gaussian observations, filtered and fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray, frozen, require_shape
from ...riskcore.errors import InputError
from .hmm_kernel import filter_all, invert_all, smooth_all

CUTS = ((1.0, 1.0, 1.0), (4.0, 3.0, 1.0), (8.0, 4.0, 1.0), (1.0, 3.0, 1.0))
"""Shares of the lowest, middle and highest observations from which a first fit starts, the best of which is kept."""
STAY = 0.95
"""Probability of staying in a state with which a first fit starts."""
TRIAL_ROUNDS = 15
LEAST_ROWS = 30
"""Whole rows, and half of all, that a further number must be known in to tell something of the state."""


@dataclass(frozen=True)
class RegimeModel:
    """Parameters of a hidden Markov chain with Gaussian observations.

    Parameters
    ----------
    mean, covariance
        Of the observations in each state, shapes (k, d) and (k, d, d).
    transition
        transition[i, j]: probability of state j one period after state i, shape (k, k).
    start
        Probabilities before the first observation, shape (k,).

    Raises
    ------
    InputError
        Shapes that disagree, rows that are no probabilities.
    """

    mean: FloatArray
    covariance: FloatArray
    transition: FloatArray
    start: FloatArray

    def __post_init__(self) -> None:
        states, size = np.shape(self.mean)
        shapes = {"mean": (states, size), "covariance": (states, size, size), "transition": (states, states)}
        for name, shape in {**shapes, "start": (states,)}.items():
            values = frozen(getattr(self, name), np.float64)
            require_shape(values, shape, name)
            object.__setattr__(self, name, values)
        for name in ("transition", "start"):
            rows = getattr(self, name)
            if not ((rows >= 0.0).all() and np.allclose(rows.sum(axis=-1), 1.0, rtol=0, atol=1e-9)):
                raise InputError("must hold probabilities that add up to one", column=name)

    def __len__(self) -> int:
        return len(self.mean)

    def ordered(self) -> RegimeModel:
        """The same model with its states in rising order of the mean of their first number."""
        order = np.argsort(self.mean[:, 0], kind="stable")
        transition = self.transition[np.ix_(order, order)]
        return RegimeModel(self.mean[order], self.covariance[order], transition, self.start[order])


@dataclass(frozen=True)
class Filtered:
    """What was known of the state at each observation, from it and those before.

    Parameters
    ----------
    probability
        After each observation, shape (T, k).
    predicted
        Before it, shape (T, k).
    log_likelihood
        Of all observations.
    """

    probability: FloatArray
    predicted: FloatArray
    log_likelihood: float


@dataclass(frozen=True)
class RegimeFit:
    """A fitted model, the log likelihood after each round of EM, and whether rounds ended because it rose no more."""

    model: RegimeModel
    path: tuple[float, ...]
    converged: bool

    @property
    def log_likelihood(self) -> float:
        """Of the observations under the model."""
        return self.path[-1]


def stationary(transition: FloatArray) -> FloatArray:
    """Long-run probabilities of a chain.

    Examples
    --------
    >>> stationary(np.array([[0.9, 0.1], [0.3, 0.7]])).round(6).tolist()
    [0.75, 0.25]
    """
    states = len(transition)
    balance = np.vstack((transition.T - np.eye(states), np.ones(states)))
    solved = np.maximum(np.linalg.lstsq(balance, np.append(np.zeros(states), 1.0), rcond=None)[0], 0.0)
    shares: FloatArray = solved / solved.sum()
    return shares


def filter_regimes(observations: FloatArray, model: RegimeModel) -> Filtered:
    """Hamilton's filter: the probability of each state given the observations so far.

    Source: J. Hamilton, A new approach to the economic analysis of nonstationary time series and the business cycle,
    Econometrica 57 (1989).

    Parameters
    ----------
    observations
        Shape (T, d), equally spaced in time; NaN where a number was not known. A row of NaN moves probabilities by the
        transition alone.
    model
        The parameters.

    Raises
    ------
    InputError
        Shapes that disagree, an infinite number, a covariance that is not positive definite.

    Examples
    --------
    Two equally likely states at -1 and 1 with variance 1 say 1 / (1 + exp(-2 x)) of an observation x:

    >>> model = RegimeModel([[-1.0], [1.0]], [[[1.0]], [[1.0]]], [[0.5, 0.5], [0.5, 0.5]], [0.5, 0.5])
    >>> filter_regimes(np.array([[1.0], [np.nan]]), model).probability[:, 1].round(4).tolist()
    [0.8808, 0.5]
    """
    work = _Work(_checked(observations, model.mean.shape[1]), len(model))
    total = work.filter(model.mean, model.covariance, model.transition, model.start)
    return Filtered(work.filtered, work.predicted, total)


def fit_regimes(
    series: FloatArray,
    states: int,
    *,
    tied: bool = True,
    before: RegimeModel | None = None,
    prior_weight: float = 0.0,
    rounds: int = 500,
    tolerance: float = 1e-9,
) -> RegimeFit:
    """Fit the model to one series by expectation and maximisation (Baum and Welch), states in rising order of mean.

    Nothing is drawn at random: a first fit starts from several cuts of the series by rank and goes on with the
    likeliest; a later one starts from the model before, and so finds the same states moved, not others.

    Parameters
    ----------
    series
        Shape (T,); NaN where it was not known.
    states
        2 or 3.
    tied
        One variance for all states: then a higher observation never speaks for a lower state. Otherwise one each.
    before
        An earlier model of as many states; its first number is the series.
    prior_weight
        Pseudo-observations of the variance at the overall one / states^2, and of each transition, which keep a state
        that is hardly seen from collapsing. 0 for maximum likelihood.
    rounds, tolerance
        Most rounds, and the change of the log likelihood per observation below which they end.

    Raises
    ------
    InputError
        Fewer than ten known observations a state, observations that do not vary, or a likelihood that is not finite.

    Examples
    --------
    >>> series = np.array([0.0, 0.1, -0.1, 0.05, -0.05] * 4 + [5.0, 5.1, 4.9, 5.05, 4.95] * 4)
    >>> (fit_regimes(series, 2).model.mean[:, 0] + 1.0).round(6).tolist()
    [1.0, 6.0]
    """
    if states not in (2, 3):
        raise InputError("must be 2 or 3", column="states", value=states)
    if before is not None and len(before) != states:
        raise InputError(f"has {len(before)} states, expected {states}", column="before")
    observations = _checked(np.asarray(series)[:, None], 1)
    known = observations[~np.isnan(observations)]
    if len(known) < 10 * states or not np.var(known) > 0.0:
        raise InputError(f"needs {10 * states} observations that vary", column="series", value=len(known))
    prior = float(np.var(known)) / states**2
    work = _Work(observations, states)
    if before is None:
        starts = [_cut(known, shares[:states], prior) for shares in CUTS]
        trials = [work.improve(start, tied, prior, prior_weight, TRIAL_ROUNDS, tolerance) for start in starts]
        start = max(trials, key=lambda fit: fit.log_likelihood).model
    else:
        even = np.full(states, 1.0 / states)  # its own start was for an earlier window, and a zero there would stay
        start = RegimeModel(before.mean[:, :1], before.covariance[:, :1, :1], before.transition, even)
    fit = work.improve(start, tied, prior, prior_weight, rounds, tolerance)
    return RegimeFit(fit.model.ordered(), fit.path, fit.converged)


def with_evidence(model: RegimeModel, observations: FloatArray, prior_weight: float = 0.0) -> RegimeModel:
    """A model of one series extended by what other numbers usually are in its states.

    The states stay those of the first number; given their smoothed probabilities, the others get a mean in each state
    and one covariance for all. (Fitted jointly, a slow series such as a correlation would define the states by itself.)
    A number known in fewer than 30 whole rows or half of all says nothing.

    Parameters
    ----------
    model
        Fitted to the first number with a tied variance.
    observations
        Shape (T, d), the first number first.
    prior_weight
        Pseudo-observations of each state at the overall mean of a number.
    """
    size = observations.shape[1]
    observations = _checked(observations, size)
    work = _Work(np.ascontiguousarray(observations[:, :1]), len(model))
    weight = work.smooth(model)
    mean, covariance = np.zeros((len(model), size)), np.eye(size)
    mean[:, 0], covariance[0, 0] = model.mean[:, 0], model.covariance[0, 0, 0]
    there = ~np.isnan(observations)
    usable = np.flatnonzero(2 * (there & there[:, :1]).sum(axis=0) >= there[:, 0].sum())
    whole = there[:, usable].all(axis=1) & there[:, 0]
    if whole.sum() >= LEAST_ROWS and len(usable) > 1:
        rows, shares = observations[whole][:, usable], weight[whole]
        centres = (shares[:, :, None] * rows[:, None, :]).sum(axis=0) + prior_weight * rows.mean(axis=0)
        centres /= shares.sum(axis=0)[:, None] + prior_weight
        apart = rows[:, None, :] - centres
        spread = (shares[:, :, None, None] * apart[:, :, :, None] * apart[:, :, None, :]).sum(axis=(0, 1)) / len(rows)
        scale = np.where(usable == 0, np.sqrt(covariance[0, 0] / spread[0, 0]), 1.0)
        mean[:, usable[1:]] = centres[:, 1:]
        covariance[np.ix_(usable, usable)] = spread * np.outer(scale, scale)
    return RegimeModel(mean, np.tile(covariance, (len(model), 1, 1)), model.transition, model.start)


def _checked(observations: FloatArray, size: int) -> FloatArray:
    if observations.ndim != 2 or observations.shape[1] != size or not len(observations):
        raise InputError(f"has shape {observations.shape}, expected rows of {size}", column="observations")
    if np.isinf(observations).any():
        row, column = (int(k) for k in np.argwhere(np.isinf(observations))[0])
        raise InputError("must be finite or NaN", row=row, column=f"observations[{column}]")
    return np.ascontiguousarray(observations, np.float64)


def _cut(known: FloatArray, shares: tuple[float, ...], variance: float) -> RegimeModel:
    """States as groups of observations by rank."""
    states, ordered = len(shares), np.sort(known)
    edges = np.round(np.append(0.0, np.cumsum(shares)) / sum(shares) * len(known)).astype(int)
    mean = np.array([[ordered[edges[k] : edges[k + 1]].mean()] for k in range(states)])
    transition = np.where(np.eye(states, dtype=bool), STAY, (1.0 - STAY) / (states - 1))
    return RegimeModel(mean, np.full((states, 1, 1), variance), transition, np.array(shares) / sum(shares))


class _Work:
    """Arrays of one run over some observations."""

    def __init__(self, observations: FloatArray, states: int) -> None:
        rows, size = observations.shape
        self.observations = observations
        self.predicted, self.filtered, self.smoothed = (np.empty((rows, states)) for _ in range(3))
        self.precision, self.constant = np.empty((states, 1 << size, size, size)), np.empty((states, 1 << size))
        self.moves = np.empty((states, states))

    def filter(self, mean: FloatArray, covariance: FloatArray, transition: FloatArray, start: FloatArray) -> float:
        """Filter all observations; the log likelihood."""
        invert_all(covariance, self.precision, self.constant)
        if np.isnan(self.constant).any():
            raise InputError("must be positive definite", column="covariance")
        tables = mean, self.precision, self.constant, transition, start
        return float(filter_all(self.observations, *tables, self.predicted, self.filtered))

    def smooth(self, model: RegimeModel) -> FloatArray:
        """Probabilities given all observations; used to fit, never shown as what was known."""
        self.filter(model.mean, model.covariance, model.transition, model.start)
        smooth_all(model.transition, self.predicted, self.filtered, self.smoothed, self.moves)
        return self.smoothed

    def improve(
        self, model: RegimeModel, tied: bool, prior: float, prior_weight: float, rounds: int, tolerance: float
    ) -> RegimeFit:
        """Rounds of EM from a model of one series."""
        path: list[float] = []
        for _ in range(rounds + 1):
            path.append(self.filter(model.mean, model.covariance, model.transition, model.start))
            if not np.isfinite(path[-1]):
                raise InputError("the likelihood of the regimes is not finite", column="series")
            if len(path) > 1 and abs(path[-1] - path[-2]) < tolerance * len(self.observations):
                return RegimeFit(model, tuple(path), True)
            if len(path) <= rounds:
                smooth_all(model.transition, self.predicted, self.filtered, self.smoothed, self.moves)
                model = self._maximise(model, tied, prior, prior_weight)
        return RegimeFit(model, tuple(path), False)

    def _maximise(self, model: RegimeModel, tied: bool, prior: float, prior_weight: float) -> RegimeModel:
        """The likeliest parameters for the smoothed probabilities; a state nothing belongs to keeps its own."""
        there = ~np.isnan(self.observations[:, 0])
        values, weight = self.observations[there], self.smoothed[there]
        total = weight.sum(axis=0)
        seen = total > 1e-8
        mean = np.where(seen, (weight * values).sum(axis=0) / np.where(seen, total, 1.0), model.mean[:, 0])
        squares = (weight * (values - mean) ** 2).sum(axis=0)
        if tied:
            squares, total, seen = (np.full(len(model), part) for part in (squares.sum(), total.sum(), True))
        variance = (squares + prior_weight * prior) / np.where(seen, total + prior_weight, 1.0)
        variance = np.where(seen, variance, model.covariance[:, 0, 0])
        counts = self.moves + prior_weight
        left = counts.sum(axis=1, keepdims=True)
        transition = np.where(left > 0.0, counts / np.where(left > 0.0, left, 1.0), model.transition)
        start = self.smoothed[0] / self.smoothed[0].sum()
        return RegimeModel(mean[:, None], variance[:, None, None], transition, start)
