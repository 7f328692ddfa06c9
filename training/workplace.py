"""Where accounts are labelled and boosters fitted: on this machine, or over a cluster."""

from __future__ import annotations

from typing import Protocol

from ..models.account_boosting import AccountBooster
from ..models.sample import AccountSample
from ..riskcore.arrays import FloatArray
from ..riskcore.rulebook import RuleBook
from .account_partitions import joined_datasets
from .booster_rows import booster_rows
from .cluster import Cluster
from .dataset import Dataset, labelled_dataset
from .distributed import labelled_partitions
from .distributed_boosting import fit_account_booster, scattered_rows
from .market_view import MarketView
from .population import Population


class Workplace(Protocol):
    """What fitting a forecaster asks of where it is done."""

    def labelled(
        self, view: MarketView, rules: RuleBook, horizons: tuple[int, ...], drawn: Population, *, threads: int
    ) -> Dataset:
        """See `labelled_dataset`; the same rows, bit for bit, wherever it is done."""
        ...

    def fitted(
        self, model: AccountBooster, sample: AccountSample, breached: FloatArray, offset: FloatArray | None
    ) -> AccountBooster:
        """The booster fitted on rows; see `AccountBooster.fit`."""
        ...


class ThisMachine:
    """The default: the same inputs give the same bytes."""

    def labelled(
        self, view: MarketView, rules: RuleBook, horizons: tuple[int, ...], drawn: Population, *, threads: int
    ) -> Dataset:
        """See `labelled_dataset`."""
        return labelled_dataset(view, rules, horizons, drawn.book, drawn.bar, threads=threads)

    def fitted(
        self, model: AccountBooster, sample: AccountSample, breached: FloatArray, offset: FloatArray | None
    ) -> AccountBooster:
        """See `AccountBooster.fit`."""
        return model.fit(sample, breached, offset)


class OverCluster:
    """Labels and boosters over a Dask cluster: the same rows, boosters the same within noise.

    Parameters
    ----------
    cluster
        The cluster's client, from `dask_cluster`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def labelled(
        self, view: MarketView, rules: RuleBook, horizons: tuple[int, ...], drawn: Population, *, threads: int
    ) -> Dataset:
        """See `labelled_partitions`; a worker uses one thread a partition, whatever `threads`."""
        parts = labelled_partitions(self.cluster, view, rules, horizons, drawn.book, drawn.bar)
        return joined_datasets(self.cluster.gather(parts))

    def fitted(
        self, model: AccountBooster, sample: AccountSample, breached: FloatArray, offset: FloatArray | None
    ) -> AccountBooster:
        """See `fit_account_booster`; rows go from here to the workers as float32."""
        out = fit_account_booster(
            self.cluster,
            scattered_rows(self.cluster, booster_rows(sample, model.columns, breached, offset)),
            columns=model.columns,
            directions=model.directions,
            rounds=model.rounds,
            seed=model.seed,
        )
        out.threads = model.threads
        return out
