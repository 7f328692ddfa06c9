"""Account boosters from more simulated accounts than fit into memory: drawn, labelled and stored chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..models.row_file import RowFile
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from ..riskcore.rulebook import RuleBook
from .booster_rows import BoosterRows
from .dataset import Dataset, simulated_dataset
from .market_view import MarketView
from .population import PopulationSpec

CHUNK_ROWS = 100_000


def simulated_chunks(
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
    chunk: int = CHUNK_ROWS,
) -> Iterator[Dataset]:
    """Simulated accounts, labelled, in chunks of so many; each chunk is drawn from a seed of its own number.

    The accounts depend on `seed` and `chunk` alone, and are others than those that `simulated_dataset` draws at once:
    a draw of its kind needs all accounts in memory.
    """
    if accounts < 1 or chunk < 1:
        raise InputError("must be at least one", column="accounts", value=min(accounts, chunk))
    for number, first in enumerate(range(0, accounts, chunk)):
        yield simulated_dataset(
            view,
            rules,
            horizons,
            accounts=min(chunk, accounts - first),
            first_bar=first_bar,
            last_bar=last_bar,
            seed=chunk_seed(seed, number),
            threads=threads,
            spec=spec,
        )


def chunk_seed(seed: int, number: int) -> int:
    """Seed of a chunk, independent of those of other chunks and seeds (NumPy's SeedSequence).

    Examples
    --------
    >>> len({chunk_seed(seed, number) for seed in range(10) for number in range(10)})
    100
    """
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1, np.uint64)[0])


@dataclass(frozen=True)
class StoredRows:
    """Rows whose features are in a file, and their outcomes and offsets, (n, n_horizons), in memory."""

    file: RowFile
    breached: FloatArray
    offset: FloatArray | None


def store_rows(chunks: Iterable[BoosterRows], file: RowFile) -> StoredRows:
    """Write the features of chunks to a file, one chunk after the other.

    Raises
    ------
    InputError
        No chunk, chunks of other columns than the file's, or some with and some without offsets.
    """
    breached: list[FloatArray] = []
    offsets: list[FloatArray] = []
    for chunk in chunks:
        file.append(chunk.features)
        breached.append(chunk.breached)
        offsets += [] if chunk.offset is None else [chunk.offset]
    if not breached:
        raise InputError("needs at least one chunk", column="chunks", value=0)
    if len(offsets) not in (0, len(breached)):
        raise InputError("some chunks have offsets and some have none", column="offset", value=len(offsets))
    return StoredRows(file, np.concatenate(breached), np.concatenate(offsets) if offsets else None)
