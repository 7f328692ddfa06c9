"""What `fetch` is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..riskcore.errors import InputError
from .fetch_tables import HISTORIES, iso
from .order_books import LEVELS

TABLES = (*HISTORIES, "depth", "tiers", "account")
"""Histories, and what is only known as it is now."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class FetchPlan:
    """What to download.

    Parameters
    ----------
    symbols
        Coins or unified symbols, see `live.symbols`; not needed for "account" alone.
    tables
        Some of `TABLES`.
    since, until
        First instant, and the one before which to stop, milliseconds since 1970. Without `since` each table goes on
        from its last stored row; without `until` it goes to now.
    step
        Length of a bar, as venues write it: 1m, 5m, 1h, ...
    quote
        Asset in which the perpetuals of coins are quoted and settled.
    account
        What the account of the table "account" is called here.
    levels
        Distances from the mid of depth bands, basis points.

    Raises
    ------
    InputError
        A table that is none, twice or no table at all; an end that is not after the start.

    Examples
    --------
    >>> FetchPlan(("BTC",), ("perp", "trades"))
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: column tables: is not a table that can be fetched; there are perp, mark,
    index, funding, open_interest, depth, tiers, account (found 'trades')
    """

    symbols: tuple[str, ...]
    tables: tuple[str, ...]
    since: int | None = None
    until: int | None = None
    step: str = "1h"
    quote: str = "USDT"
    account: str = "main"
    levels: tuple[float, ...] = LEVELS

    def __post_init__(self) -> None:
        for table in self.tables:
            if table not in TABLES:
                problem = f"is not a table that can be fetched; there are {', '.join(TABLES)}"
                raise InputError(problem, column="tables", value=table)
        if not self.tables or len(set(self.tables)) < len(self.tables):
            raise InputError("must name each table once", column="tables", value=",".join(self.tables))
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InputError("must be after since", column="until", value=iso(self.until))
