"""dYdX v4 subaccounts: settled funding, net collateral and requirements, trades on paper, pools of isolated markets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import InputError
from .dydx import Perpetual, Risk, settlement_ppm
from .integers import PPM, divide, in_range, whole

CROSS_POOL = "cross"
"""Name of the collateral pool all markets share that are not isolated."""


@dataclass(frozen=True)
class Position:
    """Size held in one perpetual, base quantums, and the funding index it was last settled at."""

    perpetual: int
    quantums: int
    funding_index: int = 0

    def __post_init__(self) -> None:
        for name in ("perpetual", "quantums", "funding_index"):
            object.__setattr__(self, name, whole(getattr(self, name), name))


@dataclass(frozen=True)
class Subaccount:
    """A USDC balance and positions that are margined together.

    Parameters
    ----------
    quote_balance
        Quote quantums; negative where the account owes.
    positions
        At most one a perpetual.
    user_margin_ppm
        Initial margin fraction the user chose; raises the initial requirement, never the maintenance.

    Examples
    --------
    >>> from .dydx import LiquidityTier
    >>> markets = {0: Perpetual(5_000_000_000, -5, -8, LiquidityTier(200_000, 500_000))}
    >>> account = Subaccount(-4_501_000_000, (Position(0, 10_000_000),))
    >>> account.risk(markets)
    Risk(net_collateral=499000000, maintenance=500000000, initial=1000000000)
    """

    quote_balance: int
    positions: tuple[Position, ...] = ()
    user_margin_ppm: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "quote_balance", whole(self.quote_balance, "quote_balance"))
        object.__setattr__(self, "user_margin_ppm", in_range(self.user_margin_ppm, "user_margin_ppm", 0, PPM))
        object.__setattr__(self, "positions", tuple(self.positions))
        seen: set[int] = set()
        for row, position in enumerate(self.positions):
            if position.perpetual in seen:
                raise InputError("holds a perpetual twice", row=row, column="perpetual", value=position.perpetual)
            seen.add(position.perpetual)

    def size_of(self, perpetual: int) -> int:
        """Signed size in a perpetual; 0 where none is held."""
        return next((held.quantums for held in self.positions if held.perpetual == perpetual), 0)

    def settled(self, markets: Mapping[int, Perpetual]) -> Subaccount:
        """The account with all funding paid into its balance.

        The sum over the positions, in parts per million of a quantum, is rounded down: the account never gets the
        fraction.

        Raises
        ------
        InputError
            A perpetual there is no market for.
        """
        earned = sum(
            settlement_ppm(market_of(markets, held.perpetual).funding_index, held.funding_index, held.quantums)
            for held in self.positions
        )
        positions = tuple(replace(held, funding_index=markets[held.perpetual].funding_index) for held in self.positions)
        return replace(self, quote_balance=self.quote_balance + divide(earned, PPM, "floor"), positions=positions)

    def after(self, markets: Mapping[int, Perpetual], deltas: Mapping[int, int], quote_delta: int = 0) -> Subaccount:
        """The settled account after sizes and the balance change; a position of no size is gone.

        Examples
        --------
        >>> from .dydx import LiquidityTier
        >>> markets = {0: Perpetual(5_000_000_000, -5, -8, LiquidityTier(0, 0))}
        >>> Subaccount(1, (Position(0, 100),)).after(markets, {0: -100}, quote_delta=5)
        Subaccount(quote_balance=6, positions=(), user_margin_ppm=0)
        """
        settled = self.settled(markets)
        sizes = {held.perpetual: held.quantums for held in settled.positions}
        for perpetual, delta in deltas.items():
            market_of(markets, perpetual)
            sizes[perpetual] = sizes.get(perpetual, 0) + whole(delta, "delta")
        positions = tuple(Position(key, size, markets[key].funding_index) for key, size in sizes.items() if size)
        return replace(
            self, quote_balance=settled.quote_balance + whole(quote_delta, "quote_delta"), positions=positions
        )

    def risk(self, markets: Mapping[int, Perpetual]) -> Risk:
        """Net collateral with funding settled, and the sum of the requirements of the positions."""
        settled = self.settled(markets)
        total = Risk(settled.quote_balance)
        for held in settled.positions:
            total += markets[held.perpetual].risk(held.quantums, self.user_margin_ppm)
        return total

    def pool(self, markets: Mapping[int, Perpetual]) -> str:
        """Collateral pool the account belongs to: that of its isolated market, or the cross pool.

        Raises
        ------
        InputError
            An isolated market held together with another: the protocol lets no account do that.
        """
        isolated = [held.perpetual for held in self.positions if market_of(markets, held.perpetual).isolated]
        if isolated and len(self.positions) > 1:
            problem = "an isolated market cannot be held with another in one account"
            raise InputError(problem, column="perpetual", value=isolated[0])
        return f"isolated:{isolated[0]}" if isolated else CROSS_POOL


def market_of(markets: Mapping[int, Perpetual], perpetual: int) -> Perpetual:
    """The market of a perpetual; InputError where there is none."""
    if perpetual not in markets:
        raise InputError("there is no market of this perpetual", column="perpetual", value=perpetual)
    return markets[perpetual]
