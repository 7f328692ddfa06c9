"""Labels and features of accounts over a Dask cluster: the rows of one machine, bit for bit.

Accounts are cut into partitions; the market goes to each worker once. Every row stands on its own, so neither the
number of partitions nor of workers changes a bit.
"""

from __future__ import annotations

from typing import Any

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import IntArray
from ..riskcore.rulebook import RuleBook
from .account_partitions import account_partitions, joined_datasets
from .cluster import Cluster, usual_partitions
from .dataset import Dataset, labelled_dataset, simulated_before
from .market_view import MarketView
from .population import PopulationSpec


def labelled_partitions(
    cluster: Cluster,
    view: MarketView,
    rules: RuleBook,
    horizons: tuple[int, ...],
    book: AccountBook,
    bar: IntArray,
    *,
    partitions: int | None = None,
) -> list[Any]:
    """Label pools and compute their features on the workers; futures of the partitions' `Dataset`, in order of rows.

    Parameters
    ----------
    cluster
        The cluster's client, from `dask_cluster`.
    view, rules, horizons, book, bar
        As for `labelled_dataset`: pools of one's own as well as simulated ones.
    partitions
        How many; None: see `usual_partitions`.

    Raises
    ------
    InputError
        Fewer than one partition, or no pool. What `labelled_dataset` refuses is raised when a future is gathered.
    """
    cut = account_partitions(len(book), usual_partitions(cluster, len(book)) if partitions is None else partitions)
    market = cluster.scatter((view, rules), broadcast=True, hash=False)
    parts = [cluster.scatter((book.take(rows), bar[rows]), hash=False) for rows in cut]
    return [cluster.submit(_label, market, horizons, part, pure=False) for part in parts]


def _label(
    market: tuple[MarketView, RuleBook], horizons: tuple[int, ...], part: tuple[AccountBook, IntArray]
) -> Dataset:
    view, rules = market
    return labelled_dataset(view, rules, horizons, *part)


def distributed_dataset(
    cluster: Cluster,
    view: MarketView,
    rules: RuleBook,
    horizons: tuple[int, ...],
    *,
    accounts: int,
    first_bar: int,
    last_bar: int,
    seed: int,
    spec: PopulationSpec | None = None,
    partitions: int | None = None,
) -> Dataset:
    """`simulated_dataset` with labels and features computed on the workers: equal to it bit for bit.

    The accounts are drawn here, at once, so that they are the same whatever the cluster.
    """
    population = simulated_before(
        view, rules, horizons, accounts=accounts, first_bar=first_bar, last_bar=last_bar, seed=seed, spec=spec
    )
    parts = labelled_partitions(cluster, view, rules, horizons, population.book, population.bar, partitions=partitions)
    return joined_datasets(cluster.gather(parts))
