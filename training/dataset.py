"""Simulated accounts with what was known of them and what became of them: the rows models are fitted and judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..models.sample import AccountSample
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.exposure import linearise_at
from ..riskcore.first_passage import Outcome, first_passage
from ..riskcore.priced_bars import priced_bars
from ..riskcore.rulebook import RuleBook
from .account_features import BarRisk, account_features
from .market_view import MarketView
from .population import Population, PopulationSpec, simulate_accounts


@dataclass(frozen=True)
class Dataset:
    """Rows: pools seen at bars, with outcomes.

    Parameters
    ----------
    book, sample, outcome
        The pools, what was known of them, what became of them.
    breached
        1, 0 or NaN (not known) by row and horizon. Not known where a price the pool needs is missing within the
        horizon, even after a breach: else rows before a gap would be known only if they ended badly.
    day
        Day number of each row, for resampling by day.
    """

    book: AccountBook
    sample: AccountSample
    outcome: Outcome
    breached: FloatArray
    day: IntArray

    def __len__(self) -> int:
        return len(self.day)


def sample_of(
    view: MarketView,
    book: AccountBook,
    bar: IntArray,
    rules: RuleBook,
    horizons: tuple[int, ...],
    risk: BarRisk | None = None,
) -> AccountSample:
    """What was known of pools at the bars they are seen at; `risk` spares computing it again."""
    exposure = linearise_at(book, bar, view.history, rules)
    features, names = account_features(view, book, exposure, bar, risk)
    return AccountSample(bar, exposure, horizons, features, names)


def simulated_dataset(
    view: MarketView,
    rules: RuleBook,
    horizons: tuple[int, ...],
    *,
    accounts: int,
    first_bar: int,
    last_bar: int,
    seed: int,
    threads: int = 1,
    spec: PopulationSpec | None = None,
) -> Dataset:
    """Simulate accounts seen in [first_bar, last_bar - longest horizon], and label them through riskcore.

    No label looks at a bar from `last_bar` on.
    """
    population = simulated_before(
        view, rules, horizons, accounts=accounts, first_bar=first_bar, last_bar=last_bar, seed=seed, spec=spec
    )
    return labelled_dataset(view, rules, horizons, population.book, population.bar, threads=threads)


def simulated_before(
    view: MarketView,
    rules: RuleBook,
    horizons: tuple[int, ...],
    *,
    accounts: int,
    first_bar: int,
    last_bar: int,
    seed: int,
    spec: PopulationSpec | None = None,
) -> Population:
    """Accounts seen in [first_bar, last_bar - longest horizon], so that no label looks at a bar from `last_bar` on."""
    return simulate_accounts(
        view.history,
        rules,
        accounts=accounts,
        first_bar=first_bar,
        last_bar=latest_bar(last_bar, horizons),
        horizons=horizons,
        seed=seed,
        spec=spec,
    )


def latest_bar(last_bar: int, horizons: tuple[int, ...]) -> int:
    """The bar before which accounts are seen so that no label looks at a bar from `last_bar` on.

    Examples
    --------
    An account seen at bar 96 lives through bars 96 to 99 in the next four:

    >>> latest_bar(100, (1, 4))
    97
    """
    return last_bar - horizons[-1] + 1


def labelled_dataset(
    view: MarketView,
    rules: RuleBook,
    horizons: tuple[int, ...],
    book: AccountBook,
    bar: IntArray,
    *,
    threads: int = 1,
) -> Dataset:
    """What was known of pools at the bars they are seen at, and what became of them; each row stands on its own.

    Parameters
    ----------
    view, rules
        The market and the rules that margin the pools.
    horizons
        In bars, rising.
    book, bar
        The pools, and the bar at whose open each is seen, shape (n_pools,).
    threads
        Change no result.

    Raises
    ------
    InputError
        As `linearise_at` and `first_passage`: a bar without a price or beyond the history, a missing tier table.
    """
    sample = sample_of(view, book, bar, rules, horizons)
    outcome = first_passage(book, view.pyramid, rules, bar, horizon=horizons[-1], threads=threads)
    priced = priced_bars(sample.exposure, view.history, bar)
    breached = np.column_stack([np.where(priced >= h, outcome.within(h).astype(np.float64), np.nan) for h in horizons])
    step_days = view.history.step / np.timedelta64(1, "D")
    first_day = (view.history.times[0] - np.datetime64(0, "D")) / np.timedelta64(1, "D")
    day = np.floor(first_day + bar * step_days + 1e-9).astype(np.int64)
    return Dataset(book, sample, outcome, breached, day)
