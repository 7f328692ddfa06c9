"""Accounts that fall together: a common factor behind liquidations, with every account's own probability kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr, ndtri
from scipy.stats import norm

from ..riskcore.arrays import FloatArray, IntArray, group_sums, require, require_shape
from ..riskcore.errors import InputError
from .frailty_kernel import log_likelihood

REACH, STEPS = 4.5, 28
"""Each factor is integrated over this many evenly spaced points within +-4.5, three to a standard deviation."""
TABLE_REACH, TABLE_STEPS = 12.0, 24_001
START = np.array([[0.3, 0.4], [0.5, 0.4], [0.3, 0.6]])
PROBIT_WIDTH, TILT_WIDTH = 0.25, 0.5
"""Rows of a group whose probits and tilts round to the same multiples are counted together in fitting."""
MOST = 0.98
"""Share of a latent variable's variance that the factors may take, at most."""


class FactorFrailty:
    """Two common factors: one that endangers everyone, one that endangers longs and relieves shorts.

    Account i is liquidated if a standard normal variable exceeds the quantile of 1 - p_i. That variable is

        shared * S + side * tilt_i * D + sqrt(1 - shared^2 - side^2 * tilt_i^2) * own_i

    with independent standard normal S (the size of moves), D (their direction) and own_i. Each account keeps its
    probability p_i exactly, whatever the loadings; they say how much accounts share.

    Source: Vasicek (2002), "The distribution of loan portfolio value", with a second factor for direction.

    Attributes
    ----------
    shared_, side_
        Loadings; shared_^2 is the correlation of the latent variables of accounts without a side.
    groups_
        Groups it was fitted on.

    Examples
    --------
    A probability of 0.5, seen at factors one standard deviation to the bad: ndtr(0.6 / 0.8).

    >>> model = FactorFrailty.from_state({"shared": 0.6, "side": 0.0, "groups": 1})
    >>> model.conditional(np.array([0.5]), np.array([1.0]), np.array([[1.0, 1.0]])).round(4).tolist()
    [[0.7734]]
    """

    def fit(self, probability: FloatArray, outcome: FloatArray, tilt: FloatArray, group: IntArray) -> FactorFrailty:
        """Loadings of the highest likelihood, the factors integrated out group by group.

        Parameters
        ----------
        probability, outcome
            Of each account, shape (n,); rows where either is NaN are left out.
        tilt
            1 for an account hurt by falling prices alone, -1 by rising ones, 0 for one without a side.
        group
            Number of the time each account was seen at: rows of a group share their factors, groups do not.

        Raises
        ------
        InputError
            No group with two known rows, shapes that differ, or a tilt outside [-1, 1].
        """
        for values, name in ((outcome, "outcome"), (tilt, "tilt"), (group, "group")):
            require_shape(values, probability.shape, name)
        _require_tilt(tilt)
        known = np.isfinite(probability) & np.isfinite(outcome) & (probability > 0) & (probability < 1)
        cells = _Cells(probability[known], outcome[known], tilt[known], group[known])
        found = minimize(
            cells.loss,
            START[0],
            method="Nelder-Mead",
            options={"xatol": 0.004, "fatol": 0.02, "initial_simplex": START},
        )
        self.shared_, self.side_ = _loadings(found.x)
        self.groups_ = cells.groups
        return self

    def conditional(self, probability: FloatArray, tilt: FloatArray, factors: FloatArray) -> FloatArray:
        """Probability of each account given the factors, `factors` (m, 2) of S and D; shape (m, n).

        0, 1 and NaN stay.
        """
        _require_tilt(tilt)
        loading = self.side_ * tilt
        own = np.sqrt(1.0 - self.shared_**2 - loading**2)
        move = self.shared_ * factors[:, :1] + loading * factors[:, 1:]
        return np.asarray(ndtr((ndtri(probability) + move) / own))

    def interval(self, probability: FloatArray, tilt: FloatArray, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Between what bounds the frequency among many accounts alike lies at one time, with probability `level`.

        The factors of an account add up to one normal variable; at its lower and upper quantile the probability is
        lowest and highest. 0, 1 and NaN stay.
        """
        if not 0 < level < 1:
            raise InputError("must be between 0 and 1", column="level", value=level)
        _require_tilt(tilt)
        share = self.shared_**2 + (self.side_ * tilt) ** 2
        away = np.sqrt(share) * norm.ppf(0.5 + level / 2)
        centre, own = ndtri(probability), np.sqrt(1.0 - share)
        return np.asarray(ndtr((centre - away) / own)), np.asarray(ndtr((centre + away) / own))

    def draw(self, scenarios: int, seed: int) -> FloatArray:
        """Factors of as many scenarios, shape (scenarios, 2): standard normal quantiles of a scrambled lattice.

        Evenly spread over the square, so that tails are met as often as they should be.
        """
        rng = np.random.default_rng(seed)
        first = (np.arange(scenarios) + rng.random(scenarios)) / scenarios
        second = (rng.permutation(scenarios) + rng.random(scenarios)) / scenarios
        return np.column_stack((ndtri(first), ndtri(second)))

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"shared": self.shared_, "side": self.side_, "groups": self.groups_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FactorFrailty:
        """The model as it was when `state` was taken."""
        model = cls()
        model.shared_, model.side_ = float(state["shared"]), float(state["side"])
        model.groups_ = int(state["groups"])
        return model


class _Cells:
    """Rows counted by group, probit and tilt, and the likelihood of what became of them."""

    def __init__(self, probability: FloatArray, outcome: FloatArray, tilt: FloatArray, group: IntArray) -> None:
        probit = ndtri(probability)
        key = np.column_stack((group, np.rint(probit / PROBIT_WIDTH), np.rint(tilt / TILT_WIDTH)))
        cells, place, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
        self.groups = len(np.unique(group))
        if self.groups == len(group):
            raise InputError("needs a group with two known rows", column="group", value=len(group))
        self.hits = group_sums(place.ravel(), outcome, len(cells))
        self.misses = count - self.hits
        self.probit = group_sums(place.ravel(), probit, len(cells)) / count
        self.tilt = group_sums(place.ravel(), tilt, len(cells)) / count
        self.first = np.append(np.flatnonzero(np.diff(cells[:, 0], prepend=np.nan)), len(cells))
        self.points = np.linspace(-REACH, REACH, STEPS)
        self.log_weight = norm.logpdf(self.points) + np.log(2 * REACH / (STEPS - 1))
        self.table = np.asarray(log_ndtr(np.linspace(-TABLE_REACH, TABLE_REACH, TABLE_STEPS)))

    def loss(self, theta: FloatArray) -> float:
        """Minus the log likelihood."""
        shared, side = _loadings(theta)
        args = (shared, side, self.points, self.log_weight, self.table, TABLE_REACH)
        return -log_likelihood(self.probit, self.tilt, self.hits, self.misses, self.first, *args)


def _loadings(theta: FloatArray) -> tuple[float, float]:
    """Loadings from any two real numbers: without their signs, and so that their squares add up to `MOST` at most."""
    shared, side = np.abs(theta)
    shrink = np.sqrt(MOST / max(MOST, float(shared**2 + side**2)))
    return float(shared * shrink), float(side * shrink)


def _require_tilt(tilt: FloatArray) -> None:
    require(np.abs(tilt) <= 1, tilt, "must be between -1 and 1", "tilt")
