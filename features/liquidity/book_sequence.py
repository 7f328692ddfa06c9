"""How venues number the messages of an order book, as data: what shows that none was lost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SequenceRule:
    """When a diff follows what the book has, where a snapshot joins the diffs, and how far a snapshot knows the book.

    A diff follows a book whose last id is L if its `previous` is L (`linked_by_previous`), else if its `first` is
    L + 1. After a snapshot with id L, diffs up to it are passed over and the first one applied either follows it or
    spans it: first <= L + join <= last.

    Parameters
    ----------
    name
        Venue and stream.
    source
        The venue's page that says so.
    linked_by_previous
        Whether a message names the one before it.
    join
        0 or 1 where the snapshot comes from elsewhere (a REST request) and lies within some diff; None where it comes
        in the stream, so that the next diff follows it.
    rising
        Whether ids only rise, so that a diff at or below the last id is an old one and is passed over.
    keeps_window
        Whether the venue keeps the book at a number of levels: it sends what moves in and out, so the worst level in
        the book is as far as the book is known. Otherwise the book is known as far as its last snapshot reached: a
        level beyond it that has not changed since is not there.

    Examples
    --------
    >>> BINANCE_FUTURES.linked_by_previous, BINANCE_SPOT.join
    (True, 1)
    """

    name: str
    source: str
    linked_by_previous: bool
    join: int | None
    rising: bool
    keeps_window: bool


BINANCE_FUTURES = SequenceRule(
    "Binance USD-M and COIN-M futures, diff. book depth",
    "developers.binance.com, derivatives, How to manage a local order book correctly",
    linked_by_previous=True,
    join=0,
    rising=True,
    keeps_window=False,
)
BINANCE_SPOT = SequenceRule(
    "Binance spot, diff. depth",
    "developers.binance.com, spot, WebSocket streams, How to manage a local order book correctly",
    linked_by_previous=False,
    join=1,
    rising=True,
    keeps_window=False,
)
BYBIT = SequenceRule(
    "Bybit v5, orderbook.DEPTH.SYMBOL",
    "bybit-exchange.github.io/docs/v5/websocket/public/orderbook: u rises by one a message, a snapshot replaces all",
    linked_by_previous=False,
    join=None,
    rising=True,
    keeps_window=True,
)
OKX = SequenceRule(
    "OKX v5, books: 400 levels",
    "www.okx.com/docs-v5, order book channel: prevSeqId is the seqId before; ids may start anew below it",
    linked_by_previous=True,
    join=None,
    rising=False,
    keeps_window=True,
)
WHOLE_BOOKS = SequenceRule(
    "Snapshots alone, without ids",
    "none: there is nothing to join",
    linked_by_previous=False,
    join=None,
    rising=False,
    keeps_window=True,
)
