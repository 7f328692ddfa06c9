"""Scores of forecasts for accounts followed over time, with intervals that resample whole accounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import BoolArray, FloatArray, IntArray, group_sums, require_shape
from ..riskcore.errors import InputError

RESAMPLES = 2000
LEVELS = (0.05, 0.95)
REARM_HOURS = 24


@dataclass(frozen=True)
class Interval:
    """A figure with its 90% interval over resampled accounts, and the share of resamples in which it is above zero."""

    value: float
    low: float
    high: float
    positive: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class AccountBlocks:
    """Accounts that are resampled together with all their rows: rows of one account share what it is.

    Parameters
    ----------
    account
        Account of each row, shape (n,).
    seed
        Seed of the draws.

    Examples
    --------
    >>> blocks = AccountBlocks(np.array([4, 4, 9]), seed=0)
    >>> blocks.mean(np.array([1.0, 1.0, 1.0])).low, blocks.auc(np.array([0.9, 0.1, 0.2]), np.array([1, 0, 0])).value
    (1.0, 1.0)
    """

    def __init__(self, account: IntArray, *, seed: int, resamples: int = RESAMPLES) -> None:
        names, self.block = np.unique(account, return_inverse=True)
        even = np.full(len(names), 1 / len(names))
        self.draws = np.random.default_rng(seed).multinomial(len(names), even, size=resamples).astype(np.float64)

    def mean(self, values: FloatArray) -> Interval:
        """Mean of a value over rows."""
        return self.ratio(values, np.ones(len(values)))

    def ratio(self, part: FloatArray, whole: FloatArray) -> Interval:
        """Sum of one value over the sum of another."""
        return self._interval(*self._ratios(part, whole))

    def difference(self, values: FloatArray, others: FloatArray) -> Interval:
        """Mean of one value less that of another."""
        return self.mean(np.asarray(values) - np.asarray(others))

    def auc(self, score: FloatArray, outcome: FloatArray, stratum: IntArray | None = None) -> Interval:
        """Chance that a row with the outcome outranks one without (of its stratum); ties count half."""
        return self._interval(*self._aucs(score, outcome, stratum))

    def auc_gain(
        self, score: FloatArray, other: FloatArray, outcome: FloatArray, stratum: IntArray | None = None
    ) -> Interval:
        """AUC of one score less that of another, in the same resamples."""
        mine, theirs = self._aucs(score, outcome, stratum), self._aucs(other, outcome, stratum)
        return self._interval(mine[0] - theirs[0], mine[1] - theirs[1])

    def _ratios(self, part: FloatArray, whole: FloatArray) -> tuple[float, FloatArray]:
        above, below = self._sums(part), self._sums(whole)
        # einsum sums in one order whatever the number of threads; BLAS may not
        resampled = _divided(np.einsum("ra,a->r", self.draws, above), np.einsum("ra,a->r", self.draws, below))
        return float(_divided(above.sum(), below.sum())), resampled

    def _sums(self, values: FloatArray) -> FloatArray:
        require_shape(np.asarray(values), self.block.shape, "values")
        return group_sums(self.block, np.asarray(values, np.float64), self.draws.shape[1])

    def _aucs(self, score: FloatArray, outcome: FloatArray, stratum: IntArray | None) -> tuple[float, FloatArray]:
        owners, won, pairs = self._pairs(score, outcome, stratum)
        above, below = (
            (self.draws[:, owners] * np.einsum("ab,rb->ra", one, self.draws)).sum(axis=1) for one in (won, pairs)
        )
        return float(_divided(won.sum(), pairs.sum())), _divided(above, below)

    def _pairs(
        self, score: FloatArray, outcome: FloatArray, stratum: IntArray | None
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Pairs won and all pairs, by account with the outcome and account without, (owners, accounts)."""
        label = np.zeros(len(score), np.int64) if stratum is None else stratum
        hit = np.asarray(outcome) > 0.5
        owners = np.unique(self.block[hit])
        won = np.zeros((len(owners), self.draws.shape[1]))
        pairs = np.zeros_like(won)
        for one in np.unique(label[hit]):
            rest = np.flatnonzero(~hit & (label == one))
            for row in np.flatnonzero(hit & (label == one)):
                place = np.searchsorted(owners, self.block[row])
                beats = (score[row] > score[rest]) + 0.5 * (score[row] == score[rest])
                won[place] += group_sums(self.block[rest], beats, won.shape[1])
                pairs[place] += group_sums(self.block[rest], np.ones(len(rest)), won.shape[1])
        return owners, won, pairs

    def _interval(self, value: float, resampled: FloatArray) -> Interval:
        known = resampled[np.isfinite(resampled)]
        if len(known) == 0:
            return Interval(value, float("nan"), float("nan"), float("nan"))
        low, high = np.quantile(known, LEVELS)
        return Interval(value, float(low), float(high), float((known > 0).mean()))


def _divided(above: FloatArray, below: FloatArray) -> FloatArray:
    over, under = np.asarray(above, np.float64), np.asarray(below, np.float64)
    out = np.full(np.broadcast(over, under).shape, np.nan)
    return np.asarray(np.divide(over, under, out=out, where=under != 0))


@dataclass(frozen=True)
class AlertRun:
    """Alerts raised hour by hour at one threshold.

    Parameters
    ----------
    threshold
        Score from which an account is alerted.
    raised
        Rows at which an alert was raised: the score is at the threshold and the account had no alert for a day.
    crossings
        Rows at which the score came up to the threshold from below, or from no position.
    """

    threshold: float
    raised: IntArray
    crossings: IntArray

    @property
    def flapping(self) -> float:
        """Times the score came up to the threshold for each alert raised; 1: it never wavered."""
        return len(self.crossings) / len(self.raised) if len(self.raised) else float("nan")


def raise_alerts(score: FloatArray, account: IntArray, hour: IntArray, threshold: float) -> AlertRun:
    """Alert an account in the first hour in which its score is at the threshold; then not again for a day.

    Rows are in order of hour; only the score of the hour itself decides.

    Examples
    --------
    >>> run = raise_alerts(np.array([0.1, 0.6, 0.2, 0.7]), np.zeros(4, int), np.array([0, 1, 2, 3]), 0.5)
    >>> run.raised.tolist(), run.crossings.tolist(), run.flapping
    ([1], [1, 3], 2.0)
    """
    order = np.lexsort((hour, account))
    who, when, above = account[order], hour[order], score[order] >= threshold
    follows = np.zeros(len(order), np.bool_)
    follows[1:] = (who[1:] == who[:-1]) & (when[1:] == when[:-1] + 1) & above[:-1]
    raised: list[int] = []
    for row in np.flatnonzero(above):
        last = raised[-1] if raised else -1
        if last < 0 or who[last] != who[row] or when[row] - when[last] >= REARM_HOURS:
            raised.append(int(row))
    rows = np.array(raised, np.int64)
    return AlertRun(threshold, np.sort(order[rows]), np.sort(order[above & ~follows]))


def run_at_budget(score: FloatArray, account: IntArray, hour: IntArray, a_day: float) -> AlertRun:
    """The run of the lowest threshold that raises at most `a_day` alerts a day, from the first hour to the last.

    It is found by halving the ranks of the scores: alerts grow as the threshold falls, but for a few that merge. The
    threshold is chosen knowing all scores, but no outcome: every forecast is given as many alerts.
    """
    if not a_day > 0:
        raise InputError("must be positive", column="a_day", value=a_day)
    allowed = a_day * (hour.max() - hour.min() + 1) / 24.0
    ranked = np.unique(score)[::-1]
    best = AlertRun(np.inf, np.zeros(0, np.int64), np.zeros(0, np.int64))
    low, high = 0, len(ranked)
    while low < high:
        middle = (low + high) // 2
        run = raise_alerts(score, account, hour, float(ranked[middle]))
        if len(run.raised) <= allowed:
            best, low = run, middle + 1
        else:
            high = middle
    return best


@dataclass(frozen=True)
class AlertScore:
    """What alerts were worth; see `score_alerts`."""

    alerts: int
    precision: Interval
    caught: Interval
    median_lead: float
    p10_lead: float
    flapping: float


def score_alerts(
    run: AlertRun,
    account: IntArray,
    hour: IntArray,
    ahead: FloatArray,
    within: float,
    counted: BoolArray,
    *,
    seed: int,
) -> AlertScore:
    """Precision, share of liquidations caught and lead time of alerts.

    Parameters
    ----------
    run
        The alerts.
    account, hour, ahead
        Account and hour of each row, and hours to its next official liquidation (infinite: none), shape (n,).
    within
        Hours within which a liquidation makes an alert right.
    counted
        Rows from whose instant on `within` hours are known; alerts at others are left out.
    seed
        Of the resampling of accounts, the threshold held.

    Returns
    -------
    AlertScore
        `caught` is over the liquidations that some row sees within `within` hours; lead is from the first alert within
        `within` hours before to the liquidation, median and 10th percentile over those caught, hours.
    """
    blocks = AccountBlocks(account, seed=seed)
    alerted = np.zeros(len(account))
    alerted[run.raised] = 1.0
    alerted[~counted] = 0.0
    right = alerted * (ahead <= within)
    seen, caught, lead = _liquidations(alerted, account, hour, ahead, within)
    return AlertScore(
        int(alerted.sum()),
        blocks.ratio(right, alerted),
        blocks.ratio(caught, seen),
        float(np.median(lead)) if len(lead) else float("nan"),
        float(np.quantile(lead, 0.1)) if len(lead) else float("nan"),
        run.flapping,
    )


def _liquidations(
    alerted: FloatArray, account: IntArray, hour: IntArray, ahead: FloatArray, within: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A mark at the first row that sees each liquidation, one there if it was alerted, and the leads in hours."""
    seen, caught, leads = np.zeros(len(account)), np.zeros(len(account)), []
    rows = np.flatnonzero(ahead <= within)
    rows = rows[np.lexsort((hour[rows], account[rows]))]
    seconds = np.rint((hour[rows] + ahead[rows]) * 3600).astype(np.int64)
    changes = np.flatnonzero((np.diff(account[rows]) != 0) | (np.diff(seconds) != 0)) + 1
    for part in np.split(rows, changes) if len(rows) else []:
        seen[part[0]] = 1.0
        hits = part[alerted[part] > 0]
        if len(hits):
            caught[part[0]] = 1.0
            leads.append(float(ahead[hits[0]]))
    return seen, caught, np.array(leads)
