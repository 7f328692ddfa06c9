"""How bad a liquidation would be: expected loss beyond collateral, its tail, and the fair premium of insuring it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, IntArray, require, require_shape
from ..riskcore.errors import InputError
from ..riskcore.exposure import linearise_at
from ..riskcore.margin import in_chunks
from ..riskcore.market import MarketHistory
from ..riskcore.rulebook import RateSchedule, RuleBook
from .historical import FilteredHistorical
from .sample import AccountSample, ScaleField, certain_where_breached, never_falling
from .scenario_passage import ScenarioPassage
from .severity_kernel import severity_pass, statistics_pass

ROWS = 2_000
"""Rows whose paths are kept at a time: 48 MB at 1,388 paths."""
FREE = RateSchedule.cliff([0.0], [np.finfo(np.float64).tiny], [1.0])
"""A maintenance rate so small that it rounds away."""


@dataclass(frozen=True)
class Severity:
    """Loss of each account beyond its collateral within each horizon; base asset, undiscounted, (n, n_horizons).

    Parameters
    ----------
    horizons
        In bars.
    level
        Of the expected shortfall: 0.95 is the mean of the worst twentieth of liquidations.
    probability
        Of liquidation; never falls with the horizon.
    premium
        Mean over all paths of what the account owes when it is closed out, 0 where it is not liquidated: the fair
        premium of insuring whoever bears the loss. Never falls with the horizon.
    standard_error
        Monte Carlo error of the premium, paths taken as independent. 0 where no path has a loss, which says no more
        than that the probability of one is likely below 3 / paths.
    expected_shortfall
        Mean loss of the worst (1 - level) of liquidations; NaN where no path liquidates.

    Notes
    -----
    Each horizon has paths of its own, so probability and premium are each raised to the largest of the shorter
    horizons. An account is closed at the worst state of the bar in which its headroom is gone, as the labels have it:
    an upper bound that tightens with shorter bars.
    """

    horizons: tuple[int, ...]
    level: float
    probability: FloatArray
    premium: FloatArray
    standard_error: FloatArray
    expected_shortfall: FloatArray

    @property
    def expected_loss(self) -> FloatArray:
        """Expected loss given liquidation: premium / probability; NaN where the probability is 0."""
        some = self.probability > 0
        return np.where(some, self.premium / np.where(some, self.probability, 1.0), np.nan)

    def at_probability(self, probability: FloatArray) -> Severity:
        """The same losses given liquidation under another forecast of its probability, such as a calibrated one.

        Premium and error are scaled with the probability, so the premium may fall with the horizon where the loss given
        liquidation does. Both are NaN where no path liquidates the account although its probability is not 0 (there is
        nothing to take the loss from), and where that is NaN.
        """
        require_shape(probability, self.probability.shape, "probability")
        some = self.probability > 0
        ratio = np.where(
            some, probability / np.where(some, self.probability, 1.0), np.where(probability == 0, 0, np.nan)
        )
        return replace(
            self, probability=probability, premium=self.premium * ratio, standard_error=self.standard_error * ratio
        )


def severity_of(passages: Sequence[ScenarioPassage], level: float = 0.95) -> Severity:
    """Severity from scenarios of rising horizons: each with its own paths, or one of them cut (`until`).

    Raises
    ------
    InputError
        No passage, horizons that do not rise, passages of other pools, a level outside [0, 1).

    Examples
    --------
    Four paths: one loses 5, one loses 1, one is closed with something left, one lives.

    >>> passage = ScenarioPassage(1, np.array([[0, 0, 0, -1]]), np.array([[-5.0, -1.0, 3.0, np.nan]]))
    >>> found = severity_of([passage], level=0.5)
    >>> found.probability.tolist(), found.premium.tolist(), found.expected_loss.tolist()
    ([[0.75]], [[1.5]], [[2.0]])
    >>> found.expected_shortfall.round(6).tolist()  # the worst one and a half of three: (5 + 0.5 * 1) / 1.5
    [[3.666667]]
    """
    horizons = tuple(passage.horizon for passage in passages)
    if not horizons or list(horizons) != sorted(set(horizons)):
        raise InputError("must rise", column="horizons", value=horizons)
    if len({len(passage) for passage in passages}) > 1:
        raise InputError("are of different pools", column="passages", value=[len(passage) for passage in passages])
    columns = [
        _statistics(np.where(passage.known, passage.breached, np.nan), passage.loss, _checked(level))
        for passage in passages
    ]
    return _term_structure(horizons, level, columns)


def linear_severity(
    model: FilteredHistorical,
    sample: AccountSample,
    scale: ScaleField,
    equity_weight: FloatArray,
    *,
    closing_cost: FloatArray | None = None,
    level: float = 0.95,
) -> Severity:
    """Severity from the paths and the linear exposure that `FilteredHistorical.predict` has its probability from.

    Probabilities are those of `predict`; a path that breaches to a degree adds its loss to that degree, so that premium
    = probability * expected loss for each horizon's own paths.

    Parameters
    ----------
    model, sample, scale
        As in `FilteredHistorical.predict`.
    equity_weight
        d(equity) / d log(price) of each exposure entry (`equity_weights`); `Exposure.weight` is that of headroom, which
        differs by maintenance margin.
    closing_cost
        What closing each account would cost, base asset, shape (n,), taken off its equity at close-out; none if left
        out. NaN makes its loss and premium NaN.
    level
        Of the expected shortfall.

    Raises
    ------
    InputError
        A horizon that was not fitted, weights or costs of another shape, a cost below 0, a level outside [0, 1).

    Notes
    -----
    Cost: 0.2 s on one core for 1,000 rows and a horizon, many times that of `predict`, which needs no losses by path.
    """
    exposure = sample.exposure
    require_shape(equity_weight, exposure.weight.shape, "equity_weight")
    if closing_cost is not None:
        require_shape(closing_cost, (len(sample),), "closing_cost")
        require(~(closing_cost < 0), closing_cost, "must not be negative", "closing_cost")
        sample = replace(sample, exposure=replace(exposure, equity=exposure.equity - closing_cost))
    parts = []
    for first in range(0, len(sample), ROWS):
        rows = np.arange(first, min(first + ROWS, len(sample)))
        entries = equity_weight[exposure.pointer[first] : exposure.pointer[rows[-1] + 1]]
        parts.append([_linear(model, sample.take(rows), scale, entries, h, _checked(level)) for h in sample.horizons])
    columns = [
        tuple(np.concatenate(column) for column in zip(*(part[k] for part in parts), strict=True))
        for k in range(len(sample.horizons))
    ]
    found = _term_structure(sample.horizons, level, columns)
    return replace(found, probability=certain_where_breached(found.probability, exposure))


def equity_weights(book: AccountBook, bars: IntArray, history: MarketHistory, rules: RuleBook) -> FloatArray:
    """d(equity) / d log(price) at each entry of `linearise_at` of the same book: its weight without maintenance margin.

    Exact for linear contracts and coins within a haircut slice, as the exposure is.

    Examples
    --------
    A long of 1 BTC at 100: a rise of 1% adds 1 to equity, and 0.9 to headroom at 10% maintenance.

    >>> import datetime as dt
    >>> from ..riskcore.instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
    >>> p = np.full((2, 1), 100.0)
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1], np.zeros((2, 1)))
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [20.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> linearise_at(book, np.array([1]), history, rules).weight, equity_weights(book, np.array([1]), history, rules)
    (array([90.]), array([100.]))
    """
    free = dict.fromkeys(book.instruments.symbols, FREE)
    return linearise_at(book, bars, history, replace(rules, schedules=free, aliases={}, closing_fee=0.0)).weight


_Columns = tuple[FloatArray, ...]


def _linear(
    model: FilteredHistorical,
    sample: AccountSample,
    scale: ScaleField,
    equity_weight: FloatArray,
    horizon: int,
    level: float,
) -> _Columns:
    if horizon not in model.libraries_:
        known = list(model.libraries_)
        raise InputError(f"is not one of those fitted, {known}", column="horizon", value=horizon)
    library, exposure = model.libraries_[horizon], sample.exposure
    sigma = np.ascontiguousarray(scale.of_entries(sample, horizon))
    lowest, highest = library.moves.min(axis=2), library.moves.max(axis=2)
    degree, loss = np.empty((len(sample), len(library.start))), np.empty((len(sample), len(library.start)))

    def run(first: int, last: int) -> None:
        severity_pass(
            first,
            last,
            exposure.pointer,
            exposure.series,
            exposure.weight,
            np.ascontiguousarray(equity_weight),
            sigma,
            exposure.headroom,
            exposure.equity,
            library.moves,
            lowest,
            highest,
            model.bandwidth,
            degree,
            loss,
        )

    in_chunks(run, len(sample), model.threads)
    degree[np.isnan(exposure.headroom)] = np.nan
    gone = (exposure.headroom < 0)[:, None] & ~np.isnan(degree)
    owed = np.maximum(-exposure.equity, 0.0)[:, None]
    degree, loss = np.where(gone, 1.0, degree), np.where(gone | np.isnan(owed), owed, loss)
    still = exposure.gross == 0
    return _statistics(np.where(still[:, None] & ~gone, 0.0, degree), loss, level)


def _statistics(degree: FloatArray, loss: FloatArray, level: float) -> _Columns:
    """Probability, premium, its standard error and the expected shortfall of each row; `degree` NaN where not known."""
    out = np.empty((4, len(degree)))
    statistics_pass(degree, loss, level, *out)
    return tuple(out)


def _term_structure(horizons: tuple[int, ...], level: float, columns: Sequence[_Columns]) -> Severity:
    """Columns of all horizons together, probability and premium raised to those of shorter horizons."""
    probability, premium, error, tail = (np.column_stack(column) for column in zip(*columns, strict=True))
    raised = np.where(np.isnan(premium), np.nan, np.fmax.accumulate(premium, axis=1))
    taken = np.where(premium == raised, np.arange(len(horizons)), 0)
    error = np.take_along_axis(error, np.maximum.accumulate(taken, axis=1), axis=1)
    error = np.where(np.isnan(raised), np.nan, error)
    return Severity(tuple(horizons), level, never_falling(probability), raised, error, tail)


def _checked(level: float) -> float:
    if not 0 <= level < 1:
        raise InputError("must be in [0, 1)", column="level", value=level)
    return level
