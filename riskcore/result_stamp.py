"""The stamp of a result: fingerprints of what went in, of the rules and of the core that made it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from .accounts import AccountBook
from .instruments import InstrumentTable
from .market import MarketState
from .rulebook import RuleBook
from .rulebook_file import rulebook_hash


@dataclass(frozen=True)
class Stamp:
    """Where a figure comes from: two results with the same stamp are the same, bit for bit.

    Parameters
    ----------
    inputs
        SHA-256 of book and market, hexadecimal.
    rules
        SHA-256 of the rule-book (`rulebook_hash`).
    core
        Version of margincast.
    """

    inputs: str
    rules: str
    core: str

    def __str__(self) -> str:
        return f"inputs {self.inputs[:12]} rules {self.rules[:12]} margincast {self.core}"


def stamp_of(book: AccountBook, market: MarketState, rules: RuleBook) -> Stamp:
    """Stamp of what `evaluate(book, market, rules)` gives.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> market, rules = MarketState(np.datetime64("2024-01-01"), [1.0], [1.0]), RuleBook("x", dt.date(2024, 1, 1), {})
    >>> stamp = stamp_of(book, market, rules)
    >>> len(stamp.inputs), stamp.rules == rulebook_hash(rules), stamp == stamp_of(book, market, rules)
    (64, True, True)
    """
    return Stamp(inputs_hash(book, market), rulebook_hash(rules), __version__)


def inputs_hash(book: AccountBook, market: MarketState) -> str:
    """SHA-256 of all of a book, its instruments and a market: every float with its bits, every name and shape.

    NaN counts as one value whatever its bits, and -0.0 as itself.
    """
    digest = hashlib.sha256(b"margincast/inputs/1\0")
    for name, value in (*_fields(book), *_fields(book.instruments), *_fields(market)):
        digest.update(json.dumps(name).encode() + b"\0")
        for part in _bytes(value):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def _fields(value: AccountBook | InstrumentTable | MarketState) -> list[tuple[str, object]]:
    kind = type(value).__name__
    fields = sorted(value.__dataclass_fields__)
    return [(f"{kind}.{name}", getattr(value, name)) for name in fields if name != "instruments"]


def _bytes(value: object) -> tuple[bytes, bytes]:
    """What a column is, and its contents, the same on every machine."""
    if isinstance(value, tuple):
        return b"names", json.dumps(value).encode()
    array = np.asarray(value)
    kind = array.dtype.kind
    if kind == "U":
        return b"names", json.dumps(array.tolist()).encode()
    shape = json.dumps([kind, list(array.shape)]).encode()
    return shape, _little_endian(array, kind).tobytes()


def _little_endian(array: NDArray[np.generic], kind: str) -> NDArray[np.generic]:
    if kind == "f":
        return np.where(np.isnan(array.astype(np.float64)), np.nan, array).astype("<f8")
    if kind == "M":
        return array.astype("datetime64[ns]").astype("<i8")
    return array.astype("<i8")
