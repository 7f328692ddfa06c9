"""Rows cut into partitions that are labelled apart, and put together again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..models.sample import AccountSample
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import IntArray
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure
from ..riskcore.first_passage import Outcome
from .dataset import Dataset


def account_partitions(accounts: int, partitions: int) -> list[IntArray]:
    """Rows of each partition: runs of neighbouring rows, as even as can be, none empty, at most `partitions` of them.

    Neighbours stay together because simulated accounts rise in time: a partition looks at few bars of the market.

    Examples
    --------
    >>> [rows.tolist() for rows in account_partitions(5, 2)], len(account_partitions(2, 8))
    ([[0, 1], [2, 3, 4]], 2)
    """
    if accounts < 1 or partitions < 1:
        raise InputError("must be at least one", column="partitions", value=min(accounts, partitions))
    edges = np.arange(min(accounts, partitions) + 1) * accounts // min(accounts, partitions)
    return [np.arange(first, last) for first, last in zip(edges[:-1], edges[1:], strict=True)]


def joined_datasets(parts: Sequence[Dataset]) -> Dataset:
    """The rows of all parts, one part after the other; a single part comes back as it is.

    Raises
    ------
    InputError
        No part, or parts of other instruments, horizons or features than the first.
    """
    if not parts:
        raise InputError("needs at least one part", column="parts", value=0)
    if len(parts) == 1:
        return parts[0]
    first = parts[0].sample
    for row, part in enumerate(parts):
        if part.sample.horizons != first.horizons or part.sample.feature_names != first.feature_names:
            raise InputError("has other horizons or features than the first", row=row, column="parts")
        if part.book.instruments.symbols != parts[0].book.instruments.symbols:
            raise InputError("has other instruments than the first", row=row, column="parts")
    return Dataset(
        _books([part.book for part in parts]),
        _samples([part.sample for part in parts]),
        _outcomes([part.outcome for part in parts]),
        np.concatenate([part.breached for part in parts]),
        np.concatenate([part.day for part in parts]),
    )


def _books(books: list[AccountBook]) -> AccountBook:
    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(book, name) for book in books])

    return AccountBook(
        books[0].instruments,
        column("account"),
        column("sub_account"),
        column("isolated"),
        _pointers([book.balance_pointer for book in books]),
        column("balance_asset"),
        column("balance"),
        _pointers([book.position_pointer for book in books]),
        column("position_instrument"),
        column("quantity"),
        column("entry_price"),
        column("leverage"),
    )


def _samples(samples: list[AccountSample]) -> AccountSample:
    return AccountSample(
        np.concatenate([sample.bar for sample in samples]),
        _exposures([sample.exposure for sample in samples]),
        samples[0].horizons,
        np.concatenate([sample.features for sample in samples]),
        samples[0].feature_names,
    )


def _exposures(exposures: list[Exposure]) -> Exposure:
    columns = ("series", "weight", "headroom", "equity", "maintenance")
    return Exposure(
        _pointers([one.pointer for one in exposures]),
        *(np.concatenate([getattr(one, name) for one in exposures]) for name in columns),
    )


def _outcomes(outcomes: list[Outcome]) -> Outcome:
    return Outcome(
        np.concatenate([one.start for one in outcomes]),
        np.concatenate([one.breach_bar for one in outcomes]),
        np.concatenate([one.ended for one in outcomes]),
        np.concatenate([one.equity for one in outcomes]),
        outcomes[0].horizon,
    )


def _pointers(parts: list[IntArray]) -> IntArray:
    """CSR pointers of parts put one after the other."""
    return np.concatenate(([0], np.cumsum(np.concatenate([np.diff(part) for part in parts]))))
