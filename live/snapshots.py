"""What is not a history: an account as it is now, and the leverage tiers of a venue's perpetuals, each a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..training.atomic import make_folder, write_atomically
from .exchange import Exchange, VenueError
from .symbols import Listing
from .venue_limits import MOST_POSITIONS, POSITION_QUERIES, family


def fetch_account(exchange: Exchange, account: str, folder: str | Path) -> Path:
    """Ask for balance and positions of the account whose keys the exchange has, and keep both replies.

    Returns
    -------
    Path
        accounts/VENUE-ACCOUNT-INSTANT.json of the folder, which `features.readers.account_snapshot` reads.

    Raises
    ------
    VenueError
        Keys are not set, the venue lacks an endpoint or refuses the keys, or more positions than a reply holds.
    """
    exchange.require_keys()
    for feature in ("fetchBalance", "fetchPositions"):
        if not exchange.offers(feature):
            raise VenueError(f"{exchange.name} has no such endpoint ({feature})")
    exchange.call("load_markets")
    content = {
        "venue": exchange.name,
        "account": account,
        "retrieved": exchange.instant(),
        "balance": exchange.call("fetch_balance"),
        "positions": _positions(exchange),
    }
    return _kept(Path(folder) / "accounts", f"{exchange.name}-{account}", exchange, content)


def fetch_tiers(exchange: Exchange, listings: Sequence[Listing], folder: str | Path) -> Path:
    """Ask for the leverage tiers of some perpetuals and keep them as ccxt gives them.

    Returns
    -------
    Path
        tiers/VENUE-INSTANT.json of the folder: a mapping that `riskcore.tier_tables.schedules_from_brackets` reads.

    Raises
    ------
    VenueError
        The venue lacks the endpoint, wants keys for it, or gives no tiers of one of the perpetuals.
    """
    names = [listing.unified for listing in listings]
    if exchange.offers("fetchLeverageTiers"):
        tiers = exchange.call("fetch_leverage_tiers", names)
    elif exchange.offers("fetchMarketLeverageTiers"):
        tiers = {name: exchange.call("fetch_market_leverage_tiers", name) for name in names}
    else:
        raise VenueError(f"{exchange.name} has no such endpoint (fetchLeverageTiers)")
    missing = [name for name in names if not tiers.get(name)]
    if missing:
        raise VenueError(f"{exchange.name} gives no leverage tiers of {', '.join(missing)}")
    chosen = {name: tiers[name] for name in names}
    return _kept(Path(folder) / "tiers", exchange.name, exchange, chosen)


def _positions(exchange: Exchange) -> list[Any]:
    venue, found = family(exchange.name), []
    for query in POSITION_QUERIES.get(venue, ({},)):
        positions = exchange.call("fetch_positions", None, query)
        if len(positions) >= MOST_POSITIONS.get(venue, len(positions) + 1):
            raise VenueError(f"{exchange.name} may have more positions than the {len(positions)} of one reply")
        found += positions
    return found


def _kept(folder: Path, name: str, exchange: Exchange, content: Any) -> Path:
    make_folder(folder)
    path = folder / f"{name}-{exchange.instant().replace(':', '')}.json"
    write_atomically(path, f"{json.dumps(content, indent=1, default=str)}\n".encode())
    return path
