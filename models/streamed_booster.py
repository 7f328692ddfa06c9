"""LightGBM trained on rows of a file, block by block: the trees of the whole matrix, without the matrix in memory.

LightGBM finds its bins from a sample of rows (`bin_construct_sample_cnt`, 200,000 unless set), drawn by number whether
the rows come as a matrix or one block after another. From the same seed the sample is the same, so are the bins, and
with them the trees, bit for bit. In memory are the sample, one block, the bins (a byte a value) and what boosting keeps
a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from .account_boosting import ACCOUNT_PARAMETERS, AccountBooster, logit
from .booster import PARALLEL_ROWS, REPRODUCIBLE, THREAD_COUNT, Booster, booster_text
from .row_file import RowFile

BLOCK_ROWS = 32_768
"""Rows read at a time: 8 MB of 60 columns."""


class FileRows:
    """Some rows of a file as LightGBM asks for them: by slice, or one by one for the sample.

    Parameters
    ----------
    file
        The rows.
    chosen
        Numbers of the rows, rising.
    """

    batch_size = BLOCK_ROWS

    def __init__(self, file: RowFile, chosen: IntArray) -> None:
        self.file, self.chosen = file, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, wanted: int | slice) -> NDArray[np.float32] | FloatArray:
        if isinstance(wanted, slice):
            rows = self.chosen[wanted]
            return np.asarray(self.file.read(int(rows[0]), int(rows[-1]) + 1)[rows - rows[0]])
        row = int(self.chosen[wanted])
        # bins are found in float64
        return np.asarray(self.file.read(row, row + 1)[0], np.float64)


def sample_seed(seed: int) -> int:
    """Seed of the sample for the bins that LightGBM derives from `seed`, but not where rows come block by block.

    The first draw of its generator, x -> 214013 x + 2531011 modulo 2^32, of which it takes bits 16 to 30.

    Examples
    --------
    214013 + 2531011 is 41 * 2^16 + 58,048:

    >>> sample_seed(1)
    41
    """
    return ((214_013 * seed + 2_531_011) % 2**32 >> 16) % 2**15 % (2**15 - 1)


def train_booster_on_file(
    file: RowFile,
    target: FloatArray,
    *,
    parameters: Mapping[str, Any],
    rounds: int,
    seed: int,
    chosen: IntArray | None = None,
    offset: FloatArray | None = None,
    threads: int = 1,
) -> Booster:
    """`train_booster` on rows of a file: the same trees as of the matrix of these rows.

    Parameters
    ----------
    file
        Features; its columns name them.
    target, offset
        Of each chosen row.
    parameters, rounds, seed, threads
        As for `train_booster`; `bin_construct_sample_cnt` among the parameters counts for the bins here.
    chosen
        Numbers of the rows trained on, rising; None: all.

    Raises
    ------
    InputError
        No row, not one target a row, fewer than one tree, a file that has been cut.
    """
    chosen = np.arange(len(file)) if chosen is None else chosen
    if len(chosen) == 0 or len(target) != len(chosen):
        raise InputError(f"needs one of each of {len(chosen)} rows, and a row", column="target", value=len(target))
    if rounds < 1:
        raise InputError("must be at least one tree", column="rounds", value=rounds)
    lightgbm: Any = import_module("lightgbm")
    lightgbm.Sequence.register(FileRows)
    useful = threads if len(chosen) >= PARALLEL_ROWS else 1
    settings = {"data_random_seed": sample_seed(seed), **REPRODUCIBLE, **parameters}
    settings |= {"seed": seed, "num_threads": useful}
    rows = FileRows(file, chosen)
    data = lightgbm.Dataset(rows, target, init_score=offset, feature_name=list(file.columns), params={"verbose": -1})
    return Booster(THREAD_COUNT.sub("", lightgbm.train(settings, data, rounds).model_to_string()))


def fit_account_booster_on_file(
    file: RowFile,
    breached: FloatArray,
    offset: FloatArray | None = None,
    *,
    directions: Mapping[str, int],
    rounds: Sequence[int],
    seed: int = 0,
    threads: int = 1,
) -> AccountBooster:
    """`AccountBooster.fit` on rows of a file: the same boosters as of a sample of them.

    Parameters
    ----------
    file
        Features, its columns those of the booster.
    breached, offset
        As for `AccountBooster.fit`, (n, n_horizons).
    directions, rounds, seed, threads
        As for `AccountBooster`.

    Raises
    ------
    InputError
        As `AccountBooster.fit`; not one outcome a row.
    """
    if strange := sorted(set(directions) - set(file.columns)):
        raise InputError("has a direction and is not among the columns", column="directions", value=strange[0])
    if breached.shape != (len(file), len(rounds)):
        raise InputError(f"has shape {breached.shape}, expected {(len(file), len(rounds))}", column="breached")
    constraints = [directions.get(name, 0) for name in file.columns]
    bases, texts = [], []
    for k, trees in enumerate(rounds):
        start = None if offset is None else offset[:, k]
        chosen = np.flatnonzero(np.isfinite(breached[:, k]) & (True if start is None else np.isfinite(start)))
        if len(chosen) == 0:
            raise InputError("has no row whose outcome and offset are known", column="breached", value=f"horizon {k}")
        base = float(logit(breached[chosen, k].mean())) if start is None else 0.0
        booster = train_booster_on_file(
            file,
            breached[chosen, k],
            parameters={**ACCOUNT_PARAMETERS, "monotone_constraints": constraints, "boost_from_average": False},
            rounds=trees,
            seed=seed + k,
            chosen=chosen,
            offset=np.full(len(chosen), base) if start is None else start[chosen],
            threads=threads,
        )
        bases.append(base)
        texts.append(booster_text(booster))
    state = {"columns": list(file.columns), "directions": dict(directions), "rounds": list(rounds), "seed": seed}
    model = AccountBooster.from_state(state | {"base": bases, "boosters": texts})
    model.threads = threads
    return model
