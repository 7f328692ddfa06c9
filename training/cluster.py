"""A Dask cluster: what is asked of its client, and how one is reached or started on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol

from ..riskcore.errors import InputError, MargincastError

LOCAL = "local"
LOOPBACK = "127.0.0.1"
REACH = "20s"
"""How long a scheduler is waited for."""
PARTITION_ROWS = 50_000
"""Rows of a partition where nothing else is asked for: 60 float64 features of them are 24 MB."""


class Cluster(Protocol):
    """What is asked of `distributed.Client`."""

    def scatter(self, data: Any, **options: Any) -> Any:
        """Send data to a worker, or to all with `broadcast=True`; a future of it."""
        ...

    def submit(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Have a worker call a function on values and futures; a future of what it returns."""
        ...

    def gather(self, futures: Any) -> Any:
        """Results of futures; what a worker raised is raised here."""
        ...

    def ncores(self) -> Any:
        """Threads of each worker, by its address."""
        ...


@contextmanager
def dask_cluster(address: str, workers: int = 2) -> Iterator[Cluster]:
    """A client of the scheduler at an address, or of workers started here, closed when the block is left.

    Parameters
    ----------
    address
        Such as "tcp://10.0.0.5:8786"; "local" starts processes on this machine that listen on loopback only.
    workers
        Processes to start, one thread each; only for "local".

    Raises
    ------
    InputError
        Fewer than one worker.
    MargincastError
        Dask is not installed, or no scheduler answers at the address.
    """
    if workers < 1:
        raise InputError("must be at least one", column="workers", value=workers)
    try:
        dask: Any = import_module("distributed")
    except ImportError:
        raise MargincastError("work over a cluster needs Dask: pip install margincast[scale]") from None
    if address == LOCAL:
        # processes: LightGBM's network is one a process
        options = {"processes": True, "threads_per_worker": 1, "host": LOOPBACK}
        # without an address their pages would stand on every interface, the scheduler's on a fixed port
        options |= {"dashboard_address": f"{LOOPBACK}:0", "worker_dashboard_address": f"{LOOPBACK}:0"}
        with dask.LocalCluster(n_workers=workers, **options) as started, dask.Client(started) as client:
            yield client
        return
    try:
        client = dask.Client(address, timeout=REACH)
    except (OSError, ValueError) as failure:
        problem = "no Dask scheduler answers at this address"
        raise InputError(problem, column="dask", value=address) from failure
    with client:
        yield client


def usual_partitions(cluster: Cluster, rows: int) -> int:
    """Partitions of at most `PARTITION_ROWS` rows, and no fewer than the cluster has threads."""
    threads: int = sum(cluster.ncores().values())
    return max(-(-rows // PARTITION_ROWS), threads)
