"""From a venue's name of a market to the name a store knows it by, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...riskcore.errors import InputError

QUOTES = {
    "linear": ("USDT", "USDC", "BUSD", "FDUSD", "USD1", "BTC", "ETH"),
    "inverse": ("USD",),
    "spot": ("USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USDP", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY"),
}
"""Quote assets by kind of market: what a name without a separator may end in."""

MANY = re.compile(r"(10{3,}|1M)(?=[A-Z])")


@dataclass(frozen=True)
class Market:
    """One market: what is traded, against what, and for a perpetual in what it settles.

    Parameters
    ----------
    coin, quote
        Such as BTC and USDT.
    settle
        Asset profits are paid in: the quote of a linear perpetual, the coin of an inverse one; "" for spot.
    native
        The venue's own name.

    Examples
    --------
    >>> linear, inverse = Market("BTC", "USDT", "USDT", "BTCUSDT"), Market("BTC", "USD", "BTC", "BTCUSD_PERP")
    >>> linear.symbol("USDT"), inverse.symbol("USDT"), Market("BTC", "USDT", "", "BTCUSDT").symbol("USDT")
    ('BTC', 'BTC/USD:BTC', 'BTC_USDT')
    """

    coin: str
    quote: str
    settle: str
    native: str

    def symbol(self, quote: str) -> str:
        """Name in a store whose perpetuals are quoted and settled in `quote`: the coin, of others ccxt's unified name.

        A spot market is named COIN_QUOTE.
        """
        if not self.settle:
            return f"{self.coin}_{self.quote}"
        own = (self.quote, self.settle) == (quote, quote)
        return self.coin if own else f"{self.coin}/{self.quote}:{self.settle}"

    def notes(self, quote: str) -> tuple[str, ...]:
        """What the name hides: the venue's own name, and a unit that is many coins."""
        many = MANY.match(self.coin)
        notes = [f"{self.native} is named {self.symbol(quote)}"]
        if many:
            unit = f"{many[0]} {self.coin.removeprefix(many[0])}"
            notes.append(f"a unit of {self.coin} is {unit}: prices and quantities are as published")
        return tuple(notes)


def joined_market(name: str, kind: str, file: str, suffix: str = "") -> Market:
    """A market whose venue writes coin and quote as one word.

    Parameters
    ----------
    name
        Such as "BTCUSDT".
    kind
        "linear", "inverse" or "spot".
    file
        For the error text.
    suffix
        What the venue puts at the end of a perpetual, such as "_PERP".

    Raises
    ------
    InputError
        A dated future, or a quote that is none of `QUOTES`.

    Examples
    --------
    >>> joined_market("1000SHIBUSDT", "linear", "a.zip").notes("USDT")[1]
    'a unit of 1000SHIB is 1000 SHIB: prices and quantities are as published'
    """
    stem = name.removesuffix(suffix)
    if stem + suffix != name or not stem.isalnum():
        raise InputError("is no perpetual: a dated future has no place in a market folder", file=file, value=name)
    for quote in QUOTES[kind]:
        if stem.endswith(quote) and stem != quote:
            coin = stem.removesuffix(quote)
            return Market(coin, quote, _settle(kind, coin, quote), name)
    raise InputError(f"ends in none of the quote assets {', '.join(QUOTES[kind])}", file=file, value=name)


def dashed_market(name: str, file: str) -> Market:
    """A market as OKX writes it: BTC-USDT is spot, BTC-USDT-SWAP and BTC-USD-SWAP are perpetuals.

    Raises
    ------
    InputError
        A dated future or an option.

    Examples
    --------
    >>> dashed_market("BTC-USD-SWAP", "a.zip").symbol("USDT")
    'BTC/USD:BTC'
    """
    match name.split("-"):
        case [coin, quote]:
            return Market(coin, quote, "", name)
        case [coin, quote, "SWAP"]:
            return Market(coin, quote, _settle("inverse" if quote == "USD" else "linear", coin, quote), name)
    raise InputError("is neither spot nor a perpetual", file=file, value=name)


def _settle(kind: str, coin: str, quote: str) -> str:
    return {"linear": quote, "inverse": coin, "spot": ""}[kind]
