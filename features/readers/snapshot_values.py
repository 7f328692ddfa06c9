"""What a venue replied of one account: the book, the venue's own figures beside it, and how it was to be read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...riskcore.accounts import AccountBook
from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from ...riskcore.instruments import InstrumentTable
from ...riskcore.market import MarketState
from .venue_accounts import Total


@dataclass(frozen=True)
class VenueFigures:
    """What the venue says of each position, in the order of the book's positions; NaN where it says nothing.

    Parameters
    ----------
    mark
        Mark price, quote units.
    maintenance
        Maintenance margin, settlement asset.
    liquidation_price
        Quote units.
    profit
        Unrealised profit, settlement asset.
    margin_ratio
        As ccxt gives it; venues define it differently.
    by_ccxt
        Which of maintenance and liquidation_price ccxt worked out because the raw reply has none that is known.
    """

    mark: FloatArray
    maintenance: FloatArray
    liquidation_price: FloatArray
    profit: FloatArray
    margin_ratio: FloatArray
    by_ccxt: frozenset[str]


@dataclass(frozen=True)
class AccountSnapshot:
    """One account as a venue replied.

    Parameters
    ----------
    venue, account
        ccxt's name of the venue, and what the account is called here.
    retrieved
        When the replies came, UTC, datetime64[ns].
    sha256
        Of the snapshot's bytes.
    record
        The account as `book_from_records` reads it; with it several snapshots make one book.
    book
        The account.
    figures, totals
        The venue's own figures, of each position and of the account.
    notes
        What was left out or read in a way that has to be said.
    """

    venue: str
    account: str
    retrieved: np.datetime64
    sha256: str
    record: Mapping[str, Any]
    book: AccountBook
    figures: VenueFigures
    totals: tuple[Total, ...]
    notes: tuple[str, ...]

    def market(self, index: Mapping[str, float] | None = None) -> MarketState:
        """Marks as the venue gave them with the positions, and prices of assets in the base asset.

        Parameters
        ----------
        index
            Price of each asset but the base asset that the account holds or settles in.

        Raises
        ------
        InputError
            Two positions of one instrument with different marks.
        """
        table = self.book.instruments
        mark = np.full(len(table), np.nan)
        for position, place in enumerate(self.book.position_instrument):
            seen, own = mark[place], self.figures.mark[position]
            if not math.isnan(seen) and seen != own:
                problem = f"has another mark than its other side, {seen:g}"
                raise InputError(problem, row=position, column=table.symbols[place], value=float(own))
            mark[place] = own
        prices = {table.base: 1.0, **(index or {})}
        return MarketState(self.retrieved, mark, np.array([prices.get(asset, np.nan) for asset in table.assets]))


@dataclass(frozen=True)
class SnapshotRules:
    """How to read a snapshot.

    Parameters
    ----------
    instruments
        Contracts and assets that may appear; None takes those of the snapshot.
    aliases
        From ccxt's unified symbols to names of `instruments`. Without an entry a perpetual quoted and settled in the
        base asset is named by its coin, others by their unified symbol.
    margin_mode
        "cross" or "isolated" for positions whose reply does not say, as Bybit's unified account.
    balances_hold_profit
        For a venue whose raw reply is not known: whether ccxt's totals hold the unrealised profit.
    now, oldest
        The instant the snapshot is needed for, and how old it may be then; None: any age.
    """

    instruments: InstrumentTable | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    margin_mode: str | None = None
    balances_hold_profit: bool | None = None
    now: np.datetime64 | None = None
    oldest: np.timedelta64 | None = None
