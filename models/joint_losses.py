"""The distribution of what a whole venue's accounts lose together, from probabilities scenario by scenario."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray, require, require_shape
from ..riskcore.errors import InputError


@dataclass(frozen=True)
class JointLosses:
    """Draws of a total over accounts, such as the notional liquidated within a horizon, equally likely.

    Parameters
    ----------
    total
        Sorted, shape (n_draws,).
    """

    total: FloatArray

    @classmethod
    def of(cls, totals: FloatArray) -> JointLosses:
        """Totals in any order and shape."""
        return cls(np.sort(totals.ravel()))

    @property
    def mean(self) -> float:
        """Expected total."""
        return float(self.total.mean())

    def quantile(self, level: float) -> float:
        """The smallest drawn total that at least `level` of the draws do not exceed."""
        if not 0 <= level <= 1:
            raise InputError("must be between 0 and 1", column="level", value=level)
        place = int(np.ceil(level * len(self.total) - 1e-9)) - 1
        return float(self.total[max(place, 0)])

    def interval(self, level: float) -> tuple[float, float]:
        """Central interval: as much is left out below as above."""
        return self.quantile(0.5 - level / 2), self.quantile(0.5 + level / 2)

    def exceedance(self, amount: float) -> float:
        """Probability of a total of at least `amount`."""
        return float(1.0 - np.searchsorted(self.total, amount, side="left") / len(self.total))

    def pit(self, realised: float, uniform: float) -> float:
        """Probability integral transform: even on [0, 1] if totals follow the draws.

        Where draws tie with what happened (often at 0) it lies `uniform` of the way through them, itself drawn from
        [0, 1].
        """
        below = np.searchsorted(self.total, realised, side="left")
        upto = np.searchsorted(self.total, realised, side="right")
        return float((below + uniform * (upto - below)) / len(self.total))

    def crps(self, realised: float) -> float:
        """Continuous ranked probability score, in units of the total: mean |X - y| less half the mean |X - X'|.

        Source: Gneiting and Raftery (2007), equation 21.

        Examples
        --------
        >>> JointLosses(np.array([0.0, 2.0])).crps(1.0)
        0.5
        """
        n = len(self.total)
        rank = 2.0 * np.arange(1, n + 1) - n - 1
        return float(np.abs(self.total - realised).mean() - (rank * self.total).sum() / n**2)


def joint_losses(conditional: FloatArray, amount: FloatArray, draws: int, seed: int) -> JointLosses:
    """Totals when accounts are independent once the scenario is given; see `scenario_totals`.

    Examples
    --------
    Two accounts that always fall together, on one path of two:

    >>> joint_losses(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([3.0, 4.0]), 1, seed=0).total.tolist()
    [0.0, 7.0]
    """
    return JointLosses.of(scenario_totals(conditional, amount, draws, seed))


def scenario_totals(conditional: FloatArray, amount: FloatArray, draws: int, seed: int) -> FloatArray:
    """Totals drawn in each scenario, (draws, n_scenarios); those of several groups of accounts may be added.

    Parameters
    ----------
    conditional
        Probability of each account in each scenario, scenarios equally likely, shape (n_scenarios, n_accounts). One
        scenario alone: independent accounts.
    amount
        What each account adds to the total if it is liquidated, shape (n_accounts,): its notional, or 1 to count.
    draws
        Totals drawn in each scenario.
    seed
        Of the draws.

    Raises
    ------
    InputError
        A probability that is NaN or outside [0, 1], an amount that is NaN or negative.
    """
    require((conditional >= 0) & (conditional <= 1), conditional, "must be a probability", "conditional")
    require_shape(amount, conditional.shape[1:], "amount")
    require(amount >= 0, amount, "must not be negative", "amount")
    rng = np.random.default_rng(seed)
    totals = np.empty((draws, len(conditional)))
    for k in range(draws):
        falls = rng.random(conditional.shape) < conditional
        totals[k] = np.where(falls, amount, 0.0).sum(axis=1)
    return totals
