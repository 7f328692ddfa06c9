"""What ends a risk before it strikes: cumulative incidence of competing causes, and their hazards by state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..riskcore.arrays import FloatArray, IntArray, require, require_shape
from ..riskcore.errors import InputError

FLAT = 1e-12
"""Standard deviation below which a column does not count: it says nothing."""


@dataclass(frozen=True)
class Incidence:
    """Cumulative incidence over time.

    Parameters
    ----------
    time
        Times at which something happened, rising, shape (m,).
    survival
        Probability that no cause has struck up to and including each time, shape (m,).
    incidence
        Probability that each cause was the first to strike by each time, (m, causes); with `survival` it adds up to 1.
    """

    time: FloatArray
    survival: FloatArray
    incidence: FloatArray

    def at(self, time: float) -> FloatArray:
        """Incidence of each cause by a time, (causes,); 0 before the first."""
        row = int(np.searchsorted(self.time, time, side="right")) - 1
        return self.incidence[row] if row >= 0 else np.zeros(self.incidence.shape[1])


def cumulative_incidence(
    time: ArrayLike, cause: ArrayLike, causes: int, *, weight: ArrayLike | None = None
) -> Incidence:
    """Aalen-Johansen estimate of the cumulative incidence of competing causes, some observations being censored.

    F_k(t) = sum over times s <= t of S(s-) * d_k(s) / n(s), with d_k(s) events of cause k at s among n(s) still
    watched, and S the Kaplan-Meier estimate of being free of all causes. Who is censored at s is watched at s.

    Source: Aalen and Johansen (1978), An empirical transition matrix for non-homogeneous Markov chains based on
    censored observations, Scandinavian Journal of Statistics 5, 141-150.

    Parameters
    ----------
    time
        When each was struck or last watched, not negative, shape (n,).
    cause
        1 .. causes; 0: censored.
    causes
        How many there are.
    weight
        How often each counts (draws of a resampling); 1 if left out.

    Raises
    ------
    InputError
        Nobody, a negative or missing time, an unknown cause, a negative weight.

    Examples
    --------
    Four, of whom one is struck by cause 1 at 1, one is lost at 2, one struck by cause 2 at 3, and one still watched at
    4: F_1 = 1/4, and F_2 = 3/4 * 1/2.

    >>> found = cumulative_incidence([1.0, 2.0, 3.0, 4.0], [1, 0, 2, 0], 2)
    >>> found.time.tolist(), found.incidence[-1].tolist(), found.survival[-1].item()
    ([1.0, 3.0], [0.25, 0.375], 0.375)
    """
    when, what = np.asarray(time, np.float64), np.asarray(cause, np.int64)
    times_counted = np.ones(len(when)) if weight is None else np.asarray(weight, np.float64)
    if len(when) == 0:
        raise InputError("holds nobody", column="time")
    require_shape(what, when.shape, "cause")
    require_shape(times_counted, when.shape, "weight")
    require(np.isfinite(when) & (when >= 0), when, "must be a number that is not negative", "time")
    require((what >= 0) & (what <= causes), what, f"must be 0 (censored) to {causes}", "cause")
    require(times_counted >= 0, times_counted, "must not be negative", "weight")
    struck = np.unique(when[(what > 0) & (times_counted > 0)])
    watched = np.array([times_counted[when >= s].sum() for s in struck])
    events = np.zeros((len(struck), causes))
    hit = (what > 0) & (times_counted > 0)
    np.add.at(events, (np.searchsorted(struck, when[hit]), what[hit] - 1), times_counted[hit])
    survival, incidence = accumulated((events / watched[:, None])[None])
    return Incidence(struck, survival[0], incidence[0])


def accumulated(hazard: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Survival (n, steps) and incidence (n, steps, causes) of hazards by step: (n, steps, causes), each sum at most 1.

    Examples
    --------
    >>> survival, incidence = accumulated(np.array([[[0.5, 0.0], [0.2, 0.4]]]))
    >>> survival.round(6).tolist(), incidence.round(6).tolist()
    ([[0.5, 0.2]], [[[0.5, 0.0], [0.6, 0.2]]])
    """
    survival = np.cumprod(1.0 - hazard.sum(axis=2), axis=1)
    before = np.concatenate((np.ones((len(hazard), 1)), survival[:, :-1]), axis=1)
    return survival, np.cumsum(hazard * before[:, :, None], axis=1)


class CauseHazards:
    """Chance that each of several causes strikes within the next step: a multinomial logistic regression.

    In steps of an hour this is the discrete-time version of cause-specific hazards: with x the state at the start of a
    step, P(cause k) = exp(a_k + b_k x) / (1 + sum over causes j of exp(a_j + b_j x)).

    Source: Tutz and Schmid (2016), Modeling discrete time-to-event data, chapter 8.

    Parameters
    ----------
    causes
        Names; cause k of the outcomes (from 1) is causes[k - 1].
    penalty
        Weight of the squared coefficients of the standardised columns.

    Attributes
    ----------
    columns_
        Names of the columns.
    intercept_, slope_
        Log odds against nothing happening, (causes,) and (causes, columns), on the columns as given; a cause that never
        struck has an intercept of minus infinity.
    """

    def __init__(self, causes: Sequence[str], penalty: float = 1.0) -> None:
        self.causes, self.penalty = tuple(causes), penalty

    def fit(self, columns: FloatArray, cause: IntArray, names: Sequence[str]) -> CauseHazards:
        """Fit on states (n, k) and what came of each: 0 nothing, or 1 .. causes. Rows with NaN are left out.

        Raises
        ------
        InputError
            An unknown cause, other names than columns, or no rows with and without an event.
        """
        from sklearn.linear_model import LogisticRegression

        require_shape(columns, (len(cause), len(names)), "columns")
        require((cause >= 0) & (cause <= len(self.causes)), cause, f"must be 0 to {len(self.causes)}", "cause")
        known = np.isfinite(columns).all(axis=1)
        x, y = columns[known], cause[known]
        present = np.unique(y)
        if len(present) < 2 or present[0] != 0:
            raise InputError("needs steps in which something happened and steps in which nothing did", column="cause")
        mean, spread = x.mean(axis=0), x.std(axis=0)
        spread = np.where(spread > FLAT, spread, np.inf)
        model = LogisticRegression(C=1.0 / self.penalty, max_iter=2000, tol=1e-8)
        model.fit((x - mean) / spread, y)
        slope, intercept = _against_nothing(model.coef_, model.intercept_, len(present))
        self.columns_ = tuple(names)
        self.slope_ = np.zeros((len(self.causes), len(names)))
        self.intercept_ = np.full(len(self.causes), -np.inf)
        self.slope_[present[1:] - 1] = slope / spread
        self.intercept_[present[1:] - 1] = intercept - (slope * (mean / spread)).sum(axis=1)
        return self

    def log_odds(self, columns: FloatArray) -> FloatArray:
        """Log odds of each cause against nothing, (..., causes), for states (..., columns); NaN where one is."""
        return np.asarray(np.einsum("...c,kc->...k", columns, self.slope_) + self.intercept_)

    def predict(self, columns: FloatArray) -> FloatArray:
        """Chance of each cause within a step, (..., causes), for states (..., columns).

        Examples
        --------
        >>> model = CauseHazards(["close"])
        >>> model.slope_, model.intercept_ = np.array([[np.log(3.0)]]), np.array([0.0])
        >>> model.predict(np.array([[0.0], [1.0]])).round(6).tolist()
        [[0.5], [0.75]]
        """
        return shares(self.log_odds(columns))

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {
            "causes": list(self.causes),
            "penalty": self.penalty,
            "columns": list(self.columns_),
            "intercept": self.intercept_,
            "slope": self.slope_,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> CauseHazards:
        """The model as it was when `state` was taken."""
        model = cls(tuple(state["causes"]), float(state["penalty"]))
        model.columns_ = tuple(state["columns"])
        model.intercept_ = np.asarray(state["intercept"], np.float64)
        model.slope_ = np.asarray(state["slope"], np.float64)
        return model


def _against_nothing(slope: FloatArray, intercept: FloatArray, classes: int) -> tuple[FloatArray, FloatArray]:
    """Coefficients of each class but the first against the first; of two classes scikit-learn gives just that."""
    if classes == 2:
        return slope, intercept
    return slope[1:] - slope[0], intercept[1:] - intercept[0]


def shares(log_odds: FloatArray) -> FloatArray:
    """Chances from log odds against nothing happening, over the last axis.

    Examples
    --------
    >>> shares(np.array([0.0, -np.inf])).tolist()
    [0.5, 0.0]
    """
    most = np.maximum(log_odds.max(axis=-1, keepdims=True), 0.0)
    raised = np.exp(log_odds - most)
    return np.asarray(raised / (np.exp(-most) + raised.sum(axis=-1, keepdims=True)))
