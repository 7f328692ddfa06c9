"""The stamp of a result: fingerprints of what went in, of the rules and of the core that made it."""

from __future__ import annotations

from dataclasses import dataclass

from .. import __version__
from .accounts import AccountBook
from .content_hash import content_hash
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
    >>> import numpy as np
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
    """SHA-256 of all of a book, its instruments and a market: their `content_hash`."""
    return content_hash(book, market)
