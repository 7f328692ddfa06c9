"""Watching losses as they come: a conformal test martingale that grows when new days stop resembling the old."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaln

from ..models.historical import thinned
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from .scores import log_losses


@dataclass(frozen=True)
class Martingale:
    """A conformal test martingale over fresh days: its highest value, its last, and how many days it bet on.

    By Ville's inequality it reaches c with probability at most 1 / c as long as fresh and reference days are
    exchangeable: 20 is significant at 5%, 100 at 1%, however often one looks.
    """

    highest: float
    last: float
    days: int


def excess_day_losses(
    probability: FloatArray, outcome: FloatArray, day: IntArray, *, stride: int, most_rows: int | None = None
) -> FloatArray:
    """Score of each day: mean over its rows of log loss less what the forecast itself expects of it, over all horizons.

    Days and not rows are scored since the rows of a day share their prices. It is near zero on a calm and on a wild
    day alike if the forecast is calibrated, positive where liquidations come against it.

    Parameters
    ----------
    probability, outcome
        Shape (n, n_horizons); rows with any NaN are left out.
    day
        Day number of each row.
    stride
        Only every so many days count, so that the horizons of one do not reach into the next.
    most_rows
        Rows of a day that count, evenly spaced: a mean of more rows varies less, and must not be compared with one
        of fewer.

    Examples
    --------
    >>> p, y = np.array([[0.5], [0.5]]), np.array([[1.0], [0.0]])
    >>> excess_day_losses(p, y, np.array([3, 4]), stride=1).round(9).tolist()
    [0.0, 0.0]
    """
    known = np.isfinite(probability).all(axis=1) & np.isfinite(outcome).all(axis=1)
    excess = (log_losses(probability, outcome) - log_losses(probability, probability)).sum(axis=1)
    days = np.unique(day[known])
    kept = days[(days - days[0]) % stride == 0] if len(days) else days
    rows = [np.flatnonzero(known & (day == one)) for one in kept]
    chosen = [mine if most_rows is None else thinned(mine, most_rows) for mine in rows]
    return np.array([float(excess[mine].mean()) for mine in chosen])


def conformal_p_values(reference: FloatArray, fresh: FloatArray, *, seed: int) -> FloatArray:
    """Smoothed conformal p-value of each fresh score, among the reference and the fresh ones up to it.

    p = (number of scores above + u * number equal, itself included) / number, u uniform: independent and uniform on
    (0, 1) if all scores are exchangeable. Small means unusually large.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), section 7.1.

    Examples
    --------
    The largest of ten scores is among the top tenth:

    >>> p = conformal_p_values(np.arange(9.0), np.array([9.0]), seed=0)
    >>> bool(0 <= p[0] <= 0.1)
    True
    """
    if not (np.isfinite(reference).all() and np.isfinite(fresh).all()):
        raise InputError("must be finite", column="scores")
    tie = np.random.default_rng(seed).random(len(fresh))
    out = np.empty(len(fresh))
    for k, score in enumerate(fresh):
        bag = np.concatenate((reference, fresh[: k + 1]))
        out[k] = ((bag > score).sum() + tie[k] * (bag == score).sum()) / len(bag)
    return out


def log_simple_mixture(total: float, count: int) -> float:
    """Log of the integral over e in (0, 1) of the product of e p^(e - 1): the power martingales, mixed evenly.

    With S = - sum of log p over n p-values it is e^S S^-(n + 1) gamma(n + 1, S), gamma the lower incomplete one.

    Parameters
    ----------
    total
        S, not negative.
    count
        n.

    Notes
    -----
    Source: Vovk, Nouretdinov and Gammerman, Testing exchangeability on-line, ICML (2003).

    Examples
    --------
    One p-value of 1 halves the capital; one of exp(-1) gives e - 2:

    >>> [round(float(np.exp(log_simple_mixture(total, 1))), 6) for total in (0.0, 1.0)]
    [0.5, 0.718282]
    """
    order = count + 1
    if total < order:
        # the power series of the same: sum over k of S^k / (a (a + 1) ... (a + k)), a = n + 1, every ratio below one
        term, whole, k = 1.0 / order, 0.0, 0
        while term > 1e-17 * whole:
            whole, k = whole + term, k + 1
            term *= total / (order + k)
        return float(np.log(whole))
    return float(total - order * np.log(total) + gammaln(order) + np.log(gammainc(order, total)))


def watch(reference: FloatArray, fresh: FloatArray, *, seed: int) -> Martingale:
    """Bet against the exchangeability of fresh scores with those of the reference, day by day.

    Parameters
    ----------
    reference, fresh
        `excess_day_losses` of days the model was judged on before it was released, and of the days since.
    seed
        Of the draws that break ties.
    """
    p = np.maximum(conformal_p_values(reference, fresh, seed=seed), np.finfo(np.float64).tiny)
    totals = np.cumsum(-np.log(p))
    logs = [log_simple_mixture(float(total), k + 1) for k, total in enumerate(totals)]
    # beyond e^700 a number has no room for it, and no one needs it
    capital = np.exp(np.minimum(np.array([0.0, *logs]), 700.0))
    return Martingale(float(capital.max()), float(capital[-1]), len(fresh))
