"""The venue's own margin figures of an account beside those of the margin core; the difference is said, never used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ...riskcore.accounts import CROSS
from ...riskcore.arrays import FloatArray
from ...riskcore.liquidation_price import liquidation_price
from ...riskcore.margin import MarginState, evaluate
from ...riskcore.rulebook import RuleBook
from .snapshot_values import AccountSnapshot

FROM_REPLY, BY_CCXT = "the venue's reply", "worked out by ccxt"


@dataclass(frozen=True)
class FigureComparison:
    """One figure twice.

    Parameters
    ----------
    subject
        "account", or the position's instrument and side.
    figure
        equity, maintenance, liquidation_price.
    venue, ours
        The venue's and the margin core's; NaN where one of them has none (no price liquidates).
    source
        Where the venue's figure comes from.
    """

    subject: str
    figure: str
    venue: float
    ours: float
    source: str = FROM_REPLY

    @property
    def difference(self) -> float:
        """Ours less the venue's; NaN where one is missing, 0 where both are."""
        return 0.0 if math.isnan(self.ours) and math.isnan(self.venue) else self.ours - self.venue

    def within(self, relative: float) -> bool:
        """Whether the figures agree to a share of the venue's.

        Examples
        --------
        >>> FigureComparison("BTC long", "maintenance", 100.0, 100.4).within(0.005)
        True
        >>> FigureComparison("BTC long", "liquidation_price", float("nan"), 12.0).within(0.5)
        False
        """
        return self.difference == 0 or abs(self.difference) <= relative * abs(self.venue)

    def __str__(self) -> str:
        share = f" ({self.difference / self.venue:+.3%})" if self.venue and not math.isnan(self.difference) else ""
        said = f"{self.subject} {self.figure}: {self.venue:.8g} in {self.source}, {self.ours:.8g} here"
        return f"{said}, {self.difference:+.3g}{share}"


def compare_with_venue(
    snapshot: AccountSnapshot, rules: RuleBook, index: Mapping[str, float] | None = None
) -> tuple[FigureComparison, ...]:
    """Margin the account by a rule-book at the venue's marks and put the figures beside the venue's.

    Parameters
    ----------
    snapshot
        The account.
    rules
        Rules of the venue at that time.
    index
        Prices of assets in the base asset, see `AccountSnapshot.market`.

    Returns
    -------
    tuple of FigureComparison
        For each position its maintenance margin and liquidation price, then totals of the account: only figures that
        the venue's reply has, and liquidation prices that only we have. Figures of a position are in its settlement
        asset and quote units, totals in the base asset.

    Raises
    ------
    InputError
        A position without a mark or a tier table, a balance without a price.
    """
    market = snapshot.market(index)
    state = evaluate(snapshot.book, market, rules)
    prices = liquidation_price(snapshot.book, market, rules)
    rate = market.index[snapshot.book.position_asset]
    positions = _positions(snapshot, state.leg_maintenance / rate, prices)
    return (*positions, *_totals(snapshot, state))


def _positions(snapshot: AccountSnapshot, maintenance: FloatArray, prices: FloatArray) -> Iterator[FigureComparison]:
    book, theirs = snapshot.book, snapshot.figures
    for place, quantity in enumerate(book.quantity):
        name = book.instruments.symbols[book.position_instrument[place]]
        subject = f"{name} {'long' if quantity > 0 else 'short'}"
        for figure, ours in (("maintenance", maintenance), ("liquidation_price", prices)):
            venue = float(getattr(theirs, figure)[place])
            if figure == "liquidation_price" or not math.isnan(venue):
                source = BY_CCXT if figure in theirs.by_ccxt else FROM_REPLY
                yield FigureComparison(subject, figure, venue, float(ours[place]), source)


def _totals(snapshot: AccountSnapshot, state: MarginState) -> Iterator[FigureComparison]:
    cross = snapshot.book.isolated == CROSS
    for total in snapshot.totals:
        own = getattr(state, total.figure)
        chosen = cross if total.cross_only else np.ones_like(cross)
        yield FigureComparison("account", total.figure, total.value, float(own[chosen].sum()))
