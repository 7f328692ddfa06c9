"""Liquidation of a Derive subaccount: a Dutch auction of slices while it is worth something, then at the module's cost.

Source: derivexyz/v2-core, DutchAuction. Margins are net margins (safe at 0 and above); figures of accounts are arrays,
a row an account, or single numbers, and broadcast.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import BoolArray, FloatArray, require
from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from .derive_portfolio import DerivePortfolio
from .derive_terms import SHARE, Terms, read_terms

MODEL = "derive_auction"
"""Name of the model in rule-book files, and of the venue that comes with margincast."""


@dataclass(frozen=True)
class SolventAuction(Terms):
    """The auction of an account worth something: the share of its value asked falls fast, then slowly to 0.

    Parameters
    ----------
    start, cutoff
        Share of mark to market asked at the start, and where the fast part ends; in [0, 1].
    fast_seconds, slow_seconds
        Lengths of the two parts; positive.
    buffer
        Liquidation goes on until net margin is this share of the maintenance requirement above maintenance.
    whole_below
        Mark to market, USD, below which an account is sold whole; not negative (`mtmCutoff` of the contract).

    Examples
    --------
    >>> auction = SolventAuction(start=0.98, cutoff=0.8, fast_seconds=100.0, slow_seconds=14400.0, buffer=0.2)
    >>> auction.discount([0.0, 50.0, 100.0, 7300.0, 14500.0]).round(6).tolist()
    [0.98, 0.89, 0.8, 0.4, 0.0]
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"start": SHARE, "cutoff": SHARE}
    start: float
    cutoff: float
    fast_seconds: float
    slow_seconds: float
    buffer: float
    whole_below: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.start >= self.cutoff, "must not be below cutoff", "start")
        for name in ("fast_seconds", "slow_seconds"):
            self.require(getattr(self, name) > 0, "must be positive", name)

    def discount(self, elapsed: ArrayLike) -> FloatArray:
        """Share of mark to market asked, `elapsed` seconds after the start; 0 when the auction is over."""
        seconds = _elapsed(elapsed)
        fast = self.start - (self.start - self.cutoff) * seconds / self.fast_seconds
        slow = self.cutoff * (1.0 - (seconds - self.fast_seconds) / self.slow_seconds)
        return np.where(seconds < self.fast_seconds, fast, np.maximum(slow, 0.0))

    def buffer_margin(self, mark_to_market: ArrayLike, maintenance: ArrayLike) -> FloatArray:
        """Net margin to which an account is liquidated: maintenance less a share of the maintenance requirement."""
        margin = np.asarray(maintenance, np.float64)
        return np.asarray(margin + self.buffer * np.subtract(margin, mark_to_market))

    def largest_fraction(
        self, mark_to_market: ArrayLike, maintenance: ArrayLike, elapsed: ArrayLike, reserved: ArrayLike = 0.0
    ) -> FloatArray:
        """The share of an account whose sale brings its buffer margin to 0; all of one worth less than `whole_below`.

        B / (B - M * d - R * (1 - d)), with buffer margin B, mark to market M, discount d and reserved cash R.
        """
        value, kept = np.asarray(mark_to_market, np.float64), np.asarray(reserved, np.float64)
        short = np.maximum(-self.buffer_margin(value, maintenance), 0.0)
        asked = self.discount(elapsed)
        gained = short + value * asked + kept * (1.0 - asked)
        share = np.divide(short, gained, out=np.zeros(np.broadcast(short, gained).shape), where=gained != 0)
        return np.where(value < self.whole_below, 1.0, share)

    def fee(self, mark_to_market: ArrayLike, maintenance: ArrayLike, rate: float) -> FloatArray:
        """Paid to the security module at the start: a rate on what would be sold at the mark."""
        worth = replace(self, start=1.0, cutoff=1.0)
        return np.asarray(worth.largest_fraction(mark_to_market, maintenance, 0.0) * np.abs(mark_to_market) * rate)


@dataclass(frozen=True)
class InsolventAuction(Terms):
    """The auction of an account worth nothing: the module pays bidders from its loss up to its maintenance margin.

    Parameters
    ----------
    seconds
        Over which the payment grows; positive.

    Examples
    --------
    >>> InsolventAuction(600.0).payment([-100.0, 50.0], [-300.0, -300.0], [12.0, 900.0]).tolist()
    [104.0, 300.0]
    """

    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.seconds > 0, "must be positive", "seconds")

    def payment(self, mark_to_market: ArrayLike, maintenance: ArrayLike, elapsed: ArrayLike) -> FloatArray:
        """Paid to who takes a whole account; 0 where its maintenance margin is not below 0."""
        margin, lost = np.asarray(maintenance, np.float64), np.minimum(mark_to_market, 0.0)
        share = np.minimum(_elapsed(elapsed) / self.seconds, 1.0)
        return np.where(margin >= 0, 0.0, -(lost + (margin - lost) * share))


@dataclass(frozen=True)
class DeriveAuctionRules:
    """Rules of the liquidation auction; `fee` is the rate of `SolventAuction.fee`."""

    venue: str
    effective_from: dt.date
    solvent: SolventAuction
    insolvent: InsolventAuction
    fee: float


@dataclass(frozen=True)
class SolventBid:
    """What a bid gets, a row an account.

    Parameters
    ----------
    buffer_margin, discount, largest_fraction
        As `SolventAuction` tells them.
    fraction
        Share of the account taken; 0 where the auction takes no bids.
    price
        Cash the bidder pays into the account.
    bidder_cash
        What the bidder must hold: the price and the buffer margin of the slice.
    open
        Whether the auction took the bid: the account is below its buffer margin, worth more than the cash reserved, and
        the time is not over.
    ends
        Whether the auction ends with this bid.
    """

    buffer_margin: FloatArray
    discount: FloatArray
    largest_fraction: FloatArray
    fraction: FloatArray
    price: FloatArray
    bidder_cash: FloatArray
    open: BoolArray
    ends: BoolArray


def solvent_bid(
    mark_to_market: ArrayLike,
    maintenance: ArrayLike,
    elapsed: ArrayLike,
    wanted: ArrayLike,
    auction: SolventAuction,
    reserved: ArrayLike = 0.0,
) -> SolventBid:
    """Outcome of a bid for a share of an account as it stands.

    Parameters
    ----------
    mark_to_market, maintenance
        Value with cash, and net maintenance margin, of the account just before the bid, USD.
    elapsed
        Seconds since the auction started; not negative.
    wanted
        Share of the account bid for; in (0, 1].
    auction
        The rules.
    reserved
        Cash earlier bidders paid in: not for sale.

    Raises
    ------
    InputError
        A share outside (0, 1], a negative time or reserve, a margin that is not a number.

    Examples
    --------
    >>> auction = SolventAuction(0.98, 0.8, 100.0, 14400.0, 0.2)
    >>> bid = solvent_bid(100.0, -50.0, 0.0, 0.1, auction)
    >>> float(bid.buffer_margin), round(float(bid.price), 6), bool(bid.ends)
    (-80.0, 9.8, False)
    """
    value, margin, kept, share = (np.asarray(x, np.float64) for x in (mark_to_market, maintenance, reserved, wanted))
    _require_all((share > 0) & (share <= 1), share, "must be in (0, 1]", "wanted")
    _require_all((kept >= 0) & np.isfinite(kept), kept, "must not be negative", "reserved")
    _require_all(np.isfinite(value), value, "must be finite", "mark_to_market")
    _require_all(np.isfinite(margin), margin, "must be finite", "maintenance")
    buffer, asked = auction.buffer_margin(value, margin), auction.discount(elapsed)
    largest = auction.largest_fraction(value, margin, elapsed, kept)
    takes = (buffer < 0) & (value > kept) & (asked > 0)
    fraction = np.where(takes, np.minimum(share, largest), 0.0)
    price = fraction * (value - kept) * asked
    secured = price + fraction * np.abs(buffer - kept)
    return SolventBid(buffer, asked, largest, fraction, price, secured, takes, takes & (share >= largest))


@dataclass(frozen=True)
class InsolventBids:
    """What bids on insolvent accounts are paid, in the order they came, shape (n_bids,).

    Parameters
    ----------
    payment
        To the bidder.
    from_module, socialised
        Out of the security module while it lasts, and out of all cash balances.
    module_left
        The module's cash after all of them.
    """

    payment: FloatArray
    from_module: FloatArray
    socialised: FloatArray
    module_left: float


def insolvent_bids(
    mark_to_market: ArrayLike,
    maintenance: ArrayLike,
    elapsed: ArrayLike,
    wanted: ArrayLike,
    auction: InsolventAuction,
    module: float,
) -> InsolventBids:
    """Payments for taking shares of insolvent accounts, one bid after another out of one security module.

    Arguments as in `solvent_bid`; `module` is the security module's cash, USD.

    Examples
    --------
    >>> bids = insolvent_bids([-100.0, -50.0], [-300.0, -90.0], 0.0, [1.0, 0.5], InsolventAuction(600.0), 110.0)
    >>> bids.payment.tolist(), bids.from_module.tolist(), bids.socialised.tolist()
    ([100.0, 25.0], [100.0, 10.0], [0.0, 15.0])
    """
    share = np.asarray(wanted, np.float64)
    _require_all((share > 0) & (share <= 1), share, "must be in (0, 1]", "wanted")
    if not 0 <= module < np.inf:
        raise InputError("must not be negative", column="module", value=module)
    payment = np.atleast_1d(share * auction.payment(mark_to_market, maintenance, elapsed))
    before = np.concatenate(([0.0], np.cumsum(payment)[:-1]))
    paid = np.clip(module - before, 0.0, payment)
    return InsolventBids(payment, paid, payment - paid, max(module - float(payment.sum()), 0.0))


@dataclass(frozen=True)
class AuctionedAccount:
    """A subaccount in a solvent auction, and the part of its cash that bidders paid in.

    Examples
    --------
    >>> from .derive_portfolio import DeriveMarket
    >>> account = AuctionedAccount(DerivePortfolio(200.0, {"ETH": DeriveMarket(1500.0, base=4.0)}), reserved=100.0)
    >>> left, taken = account.after_bid(fraction=0.25, price=30.0)
    >>> left.portfolio.cash, left.reserved, taken.cash, taken.only_market().base
    (205.0, 130.0, 25.0, 1.0)
    """

    portfolio: DerivePortfolio
    reserved: float = 0.0

    def after_bid(self, fraction: float, price: float) -> tuple[AuctionedAccount, DerivePortfolio]:
        """What the account keeps, and the slice the bidder takes: a share of everything but the reserved cash."""
        taken = self.portfolio.scaled(fraction)
        sold = (self.portfolio.cash - self.reserved) * fraction
        left = replace(self.portfolio.scaled(1.0 - fraction), cash=self.portfolio.cash - sold + price)
        return AuctionedAccount(left, self.reserved + price), replace(taken, cash=sold)


def read_derive_auction_rules(path: str | Path) -> DeriveAuctionRules:
    """Rules from a file with `model = "derive_auction"`; what is wrong with it is an InputError naming file and key."""
    top, venue, start = read_dated(path, MODEL, "solvent", "insolvent", "fee")
    fee = top.sourced("fee", "rate").number("rate", *SHARE)
    return DeriveAuctionRules(
        venue, start, read_terms(top, "solvent", SolventAuction), read_terms(top, "insolvent", InsolventAuction), fee
    )


def load_derive_auction_rules(at: dt.date | None = None) -> DeriveAuctionRules:
    """The rules that come with margincast in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> load_derive_auction_rules().solvent.discount(30.0).round(6).tolist()
    0.926
    """
    return read_derive_auction_rules(rulebook_in_force(MODEL, at).path)


def _elapsed(elapsed: ArrayLike) -> FloatArray:
    seconds = np.asarray(elapsed, np.float64)
    _require_all(seconds >= 0, seconds, "must not be negative", "elapsed")
    return seconds


def _require_all(ok: BoolArray | np.bool_, values: FloatArray, problem: str, column: str) -> None:
    require(np.atleast_1d(ok).ravel(), np.atleast_1d(values).ravel(), problem, column)
