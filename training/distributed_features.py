"""The feature panel over a Dask cluster, in blocks of bars: the panel of one machine, bit for bit.

A feature's state goes on from block to block, so the blocks of one step are a chain; the steps of the panel run beside
each other, and no worker holds more than a block and the states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..features.engine.bars import BarTable
from ..features.engine.feature_set import FeatureSet
from ..features.frame import FeatureFrame
from ..features.panel import panel_features
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .cluster import Cluster

BLOCK_BARS = 10_000


def bar_blocks(table: BarTable, bars: int = BLOCK_BARS) -> Iterator[BarTable]:
    """A table in blocks of so many bars, the last maybe shorter."""
    if bars < 1:
        raise InputError("must be at least one bar", column="bars", value=bars)
    return (table.part(first, min(first + bars, len(table))) for first in range(0, len(table), bars))


def distributed_features(cluster: Cluster, blocks: Iterable[BarTable]) -> FeatureFrame:
    """The panel at every bar, computed on the workers: `build_features` of the whole market bit for bit.

    Parameters
    ----------
    cluster
        The cluster's client.
    blocks
        Bars in order: `bar_blocks(bar_table(data))`, or `market_blocks(folder, bars)` for a folder larger than memory.

    Raises
    ------
    InputError
        No block, blocks that do not follow each other or differ in symbols.
    """
    times: list[np.ndarray] = []
    states: list[Any] = []
    values: list[list[Any]] = []
    for table in blocks:
        features = panel_features(table)
        states = states or [None] * len(features.steps)
        sent = cluster.scatter(table, hash=False)
        done = [cluster.submit(_run, sent, step, state, pure=False) for step, state in enumerate(states)]
        states = [cluster.submit(_first, one, pure=False) for one in done]
        values.append([cluster.submit(_second, one, pure=False) for one in done])
        times.append(table.times + table.step)
    if not times:
        raise InputError("needs at least one block", column="blocks", value=0)
    computed = np.concatenate([np.concatenate(block, axis=2) for block in cluster.gather(values)])
    return FeatureFrame(np.concatenate(times), np.arange(1, len(computed) + 1), table.symbols, features.names, computed)


def _run(table: BarTable, step: int, state: bytes | None) -> tuple[bytes, FloatArray]:
    """One step of the panel over a block, from the state it had before; its state after, and its values."""
    features = FeatureSet([panel_features(table).steps[step]])
    live = features.live(table.symbols) if state is None else features.restored(state)
    frame = live.run(table)
    return live.checkpoint(), frame.values


def _first(done: tuple[bytes, FloatArray]) -> bytes:
    return done[0]


def _second(done: tuple[bytes, FloatArray]) -> FloatArray:
    return done[1]
