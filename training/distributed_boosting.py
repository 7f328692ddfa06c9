"""Account boosters trained over a Dask cluster by lightgbm.dask: the same model within noise, not to the bit.

Each worker finds the bins of its share of the features from its own rows, draws its own bag, and the histograms of all
are added in the order of the network. So trees depend on which rows stand where, as those of one machine do not.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ..models.account_boosting import ACCOUNT_PARAMETERS, AccountBooster, logit
from ..models.booster import REPRODUCIBLE, THREAD_COUNT
from ..riskcore.errors import InputError
from .account_partitions import account_partitions
from .booster_rows import BoosterRows, KnownRows
from .cluster import Cluster, usual_partitions

NETWORK = re.compile(r"^\[(?:machines|num_machines|local_listen_port|time_out): .*\]\n", re.MULTILINE)
"""Lines of LightGBM's text that say on which machines it was trained: no part of the model."""


def scattered_rows(cluster: Cluster, rows: BoosterRows, partitions: int | None = None) -> list[Any]:
    """Rows held here, cut and sent to the workers; futures of `BoosterRows`. None: see `usual_partitions`."""
    wanted = usual_partitions(cluster, len(rows.breached)) if partitions is None else partitions
    return [
        cluster.scatter(
            BoosterRows(rows.features[p], rows.breached[p], None if rows.offset is None else rows.offset[p]),
            hash=False,
        )
        for p in account_partitions(len(rows.breached), wanted)
    ]


def fit_account_booster(
    cluster: Cluster,
    parts: Sequence[Any],
    *,
    columns: Sequence[str],
    directions: Mapping[str, int],
    rounds: Sequence[int],
    seed: int = 0,
) -> AccountBooster:
    """Fit an `AccountBooster` on rows that lie on the workers; it is stored and asked like any other.

    Parameters
    ----------
    cluster
        The cluster's client; its workers must be processes.
    parts
        Futures of `BoosterRows`, all with offsets or all without.
    columns, directions, rounds, seed
        As for `AccountBooster`; one count of trees a horizon.

    Raises
    ------
    InputError
        No part, a direction for a column that is not used, a horizon without known rows, fewer trees than one.
    """
    if strange := sorted(set(directions) - set(columns)):
        raise InputError("has a direction and is not among the columns", column="directions", value=strange[0])
    if not parts or min(rounds) < 1:
        raise InputError("needs rows and at least one tree a horizon", column="rounds", value=tuple(rounds))
    constraints = [directions.get(name, 0) for name in columns]
    bases, texts = [], []
    for k, trees in enumerate(rounds):
        settings = {"n_estimators": trees, "seed": seed + k, "monotone_constraints": constraints}
        base, text = _fit_one(cluster, parts, k, tuple(columns), settings)
        bases.append(base)
        texts.append(text)
    state = {"columns": list(columns), "directions": dict(directions), "rounds": list(rounds), "seed": seed}
    return AccountBooster.from_state(state | {"base": bases, "boosters": texts})


def _fit_one(
    cluster: Cluster, parts: Sequence[Any], horizon: int, columns: tuple[str, ...], settings: dict[str, Any]
) -> tuple[float, str]:
    """The starting log odds and the booster's text for one horizon."""
    known = [cluster.submit(BoosterRows.known, part, horizon, pure=False) for part in parts]
    counts = cluster.gather([cluster.submit(KnownRows.counts, one, pure=False) for one in known])
    rows, hits = (sum(found) for found in zip(*counts, strict=True))
    if not rows:
        raise InputError("has no row whose outcome and offset are known", column="breached", value=f"horizon {horizon}")
    from_base = cluster.gather(cluster.submit(_has_no_offset, parts[0], pure=False))
    base = float(logit(np.array(hits / rows))) if from_base else 0.0
    pieces = [(one, n) for one, (n, _) in zip(known, counts, strict=True) if n]
    return base, _trained(cluster, pieces, base, columns, settings)


def _trained(
    cluster: Cluster, pieces: list[tuple[Any, int]], base: float, columns: tuple[str, ...], settings: dict[str, Any]
) -> str:
    """LightGBM's text, of rows (futures of `KnownRows`, and how many each holds) on the workers that hold them."""
    lightgbm: Any = import_module("lightgbm")
    options = {**REPRODUCIBLE, **ACCOUNT_PARAMETERS, "boost_from_average": False, **settings}
    # the classifier would number the classes anew on each worker, wrongly where one holds a single class
    model = lightgbm.DaskLGBMRegressor(client=cluster, **options)
    features = _stacked(cluster, pieces, KnownRows.matrix, np.float32, (len(columns),))
    outcome = _stacked(cluster, pieces, KnownRows.target, np.float64)
    start = _stacked(cluster, pieces, KnownRows.start, np.float64, (), base)
    with warnings.catch_warnings():
        # each worker uses its own threads; LightGBM says so of a default that nobody set
        warnings.filterwarnings("ignore", message="Parameter n_jobs will be ignored", category=UserWarning)
        model.fit(features, outcome, init_score=start, feature_name=list(columns))
    return NETWORK.sub("", THREAD_COUNT.sub("", model.booster_.model_to_string()))


def _stacked(
    cluster: Cluster,
    pieces: list[tuple[Any, int]],
    column: Callable[..., Any],
    dtype: type[np.floating[Any]],
    width: tuple[int, ...] = (),
    *arguments: float,
) -> Any:
    """One column or matrix of all pieces as a Dask array, a chunk a piece, where the pieces are."""
    array: Any = import_module("dask.array")
    chunks = [
        array.from_delayed(cluster.submit(column, piece, *arguments, pure=False), (rows, *width), dtype)
        for piece, rows in pieces
    ]
    return array.concatenate(chunks)


def _has_no_offset(rows: BoosterRows) -> bool:
    return rows.offset is None
