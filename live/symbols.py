"""From the names a user writes to a venue's perpetuals, and to the names a store knows them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..riskcore.errors import InputError


@dataclass(frozen=True)
class Listing:
    """One perpetual: what the store calls it, ccxt's unified symbol and the venue's own name.

    Parameters
    ----------
    symbol
        Its coin, such as "BTC"; the unified symbol where it is not quoted and settled in the run's quote asset.
    unified
        Such as "BTC/USDT:USDT".
    native
        Such as "BTCUSDT" or "BTC-USDT-SWAP".
    """

    symbol: str
    unified: str
    native: str

    def __str__(self) -> str:
        return f"{self.symbol} is {self.unified} ({self.native})"


def listings(markets: Mapping[str, Any], asked: Sequence[str], quote: str, venue: str) -> tuple[Listing, ...]:
    """Find the perpetuals a user asks for.

    Parameters
    ----------
    markets
        ccxt's markets of the venue, by unified symbol.
    asked
        Coins ("BTC") or unified symbols ("BTC/USDT:USDT"). A coin means its linear perpetual quoted and settled in
        `quote`.
    quote
        Asset in which the perpetuals of the run are quoted.
    venue
        Its name, for error messages.

    Raises
    ------
    InputError
        Nothing asked for; a name that is no perpetual of the venue, with those of its coin; two names for one.

    Examples
    --------
    >>> perpetual = {"id": "BTCUSDT", "base": "BTC", "quote": "USDT", "settle": "USDT", "swap": True}
    >>> markets = {"BTC/USDT:USDT": perpetual, "BTC/USDC:USDC": perpetual | {"quote": "USDC", "settle": "USDC"}}
    >>> print(*listings(markets, ["BTC"], "USDT", "binanceusdm"))
    BTC is BTC/USDT:USDT (BTCUSDT)
    >>> print(*listings(markets, ["BTC/USDC:USDC"], "USDT", "binanceusdm"))
    BTC/USDC:USDC is BTC/USDC:USDC (BTCUSDT)
    """
    names = [name.strip() for name in asked if name.strip()]
    if not names:
        raise InputError("no symbol is named", column="symbols")
    found = [_listing(markets, name, quote, venue) for name in names]
    for place, listing in enumerate(found):
        if listing in found[:place]:
            raise InputError("is named twice", column="symbols", value=names[place])
    return tuple(found)


def _listing(markets: Mapping[str, Any], name: str, quote: str, venue: str) -> Listing:
    unified = name if "/" in name else f"{name}/{quote}:{quote}"
    market = markets.get(unified)
    if market is None or not market.get("swap"):
        coin = name.split("/")[0]
        others = sorted(u for u, m in markets.items() if m.get("swap") and str(m.get("base")).upper() == coin.upper())
        known = f"it has {', '.join(others[:6])}" if others else "it has none of that coin"
        raise InputError(f"{venue} lists no perpetual {unified}; {known}", column="symbols", value=name)
    own = (market["quote"], market["settle"]) == (quote, quote)
    return Listing(str(market["base"]) if own else unified, unified, str(market["id"]))
