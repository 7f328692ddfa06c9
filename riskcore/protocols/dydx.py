"""dYdX v4: margin of a perpetual position in whole quantums, and the small value that carries an account's risk.

Money is in quote quantums (1e-6 USDC), sizes in base quantums (10^atomic_resolution of the coin), prices are whole
numbers of 10^price_exponent USD. Source of the rules: dydxprotocol/v4-chain, protocol/lib/margin and
protocol/x/perpetuals. Requirements are rounded up, against the account; notional is rounded towards zero on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cmp_to_key

from ..errors import InputError
from .integers import PPM, divide, in_range, power_of_ten, times_power_of_ten, times_ppm, whole

QUOTE_RESOLUTION = -6
"""A quote quantum is 10^-6 USDC."""


@dataclass(frozen=True)
class Risk:
    """What an account or a position is worth and must hold, in quote quantums.

    Risks add, so an account is the sum of its positions. Ratios are compared by cross-multiplication: nothing divides
    by a requirement that may be zero.

    Parameters
    ----------
    net_collateral
        Balance plus signed notional; may be negative.
    maintenance, initial
        Margin requirements, not negative.

    Examples
    --------
    >>> account = Risk(100, 150, 300) + Risk(20, 0, 0)
    >>> account.net_collateral, account.is_liquidatable, account.is_initially_collateralised
    (120, True, False)
    """

    net_collateral: int = 0
    maintenance: int = 0
    initial: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "net_collateral", whole(self.net_collateral, "net_collateral"))
        for name in ("maintenance", "initial"):
            object.__setattr__(self, name, in_range(getattr(self, name), name, 0))

    def __add__(self, other: Risk) -> Risk:
        return Risk(
            self.net_collateral + other.net_collateral,
            self.maintenance + other.maintenance,
            self.initial + other.initial,
        )

    @property
    def is_liquidatable(self) -> bool:
        """Whether something must be held and the account is worth less; worth exactly as much is safe."""
        return self.maintenance > 0 and self.maintenance > self.net_collateral

    @property
    def is_initially_collateralised(self) -> bool:
        """Whether the account may open more."""
        return self.net_collateral >= self.initial

    @property
    def is_bankrupt(self) -> bool:
        """Whether the account owes more than it has."""
        return self.net_collateral < 0

    def compare(self, other: Risk) -> int:
        """1 where this account is the riskier of the two, -1 where it is the safer, 0 where neither is.

        The lower net collateral per maintenance requirement is riskier; at equal ratios the larger requirement; with
        no requirement on either side, the lower net collateral.

        Examples
        --------
        >>> Risk(100, 150).compare(Risk(100, 100)), Risk(0, 50).compare(Risk(0, 100)), Risk(5).compare(Risk(9))
        (1, -1, 1)
        """
        cross = other.net_collateral * self.maintenance - self.net_collateral * other.maintenance
        return (
            _sign(cross)
            or _sign(self.maintenance - other.maintenance)
            or (0 if self.maintenance else _sign(other.net_collateral - self.net_collateral))
        )


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def riskiest_first(risks: Iterable[Risk]) -> list[int]:
    """Positions of the risks from the riskiest to the safest; equals keep their order.

    Examples
    --------
    >>> riskiest_first([Risk(100, 50), Risk(-1, 50), Risk(60, 50)])
    [1, 2, 0]
    """
    listed = list(risks)
    riskiness = cmp_to_key(_safer)
    return sorted(range(len(listed)), key=lambda place: riskiness(listed[place]))


def _safer(first: Risk, second: Risk) -> int:
    return second.compare(first)


@dataclass(frozen=True)
class LiquidityTier:
    """Margin fractions of a class of perpetuals.

    Parameters
    ----------
    initial_margin_ppm
        Base initial margin, parts per million of notional, in [0, 1e6].
    maintenance_fraction_ppm
        Maintenance as a share of base initial margin, ppm, in [0, 1e6].
    lower_cap, upper_cap
        Open interest, quote quantums, at which initial margin starts to rise and has risen to the whole notional; an
        upper cap of 0 switches the scaling off.

    Examples
    --------
    >>> tier = LiquidityTier(200_000, 500_000, 1_000_000, 2_000_000)
    >>> tier.maintenance_margin_ppm, tier.scaled_initial_margin_ppm(1_234_567)
    (100000, 387653)
    """

    initial_margin_ppm: int
    maintenance_fraction_ppm: int
    lower_cap: int = 0
    upper_cap: int = 0

    def __post_init__(self) -> None:
        for name in ("initial_margin_ppm", "maintenance_fraction_ppm"):
            object.__setattr__(self, name, in_range(getattr(self, name), name, 0, PPM))
        for name in ("lower_cap", "upper_cap"):
            object.__setattr__(self, name, in_range(getattr(self, name), name, 0))
        if self.lower_cap > self.upper_cap:
            raise InputError("must not exceed upper_cap", column="lower_cap", value=self.lower_cap)

    @property
    def maintenance_margin_ppm(self) -> int:
        """Maintenance margin, ppm of notional, rounded down: for showing; requirements round at each step instead."""
        return times_ppm(self.initial_margin_ppm, self.maintenance_fraction_ppm, "floor")

    def scaled_initial_margin_ppm(self, open_interest: int) -> int:
        """Initial margin at an open interest in quote quantums, ppm; the rise between the caps is rounded down."""
        if 0 < self.upper_cap <= open_interest:
            return PPM
        if self.upper_cap == 0 or open_interest <= self.lower_cap:
            return self.initial_margin_ppm
        rise = (PPM - self.initial_margin_ppm) * (open_interest - self.lower_cap)
        return self.initial_margin_ppm + divide(rise, self.upper_cap - self.lower_cap, "floor")

    def initial_margin(self, notional: int, open_interest: int = 0, user_margin_ppm: int = 0) -> int:
        """Initial margin of an absolute notional, quote quantums, rounded up.

        A fraction the user chose, `user_margin_ppm`, can only raise it.

        Examples
        --------
        >>> LiquidityTier(567_243, 500_000).initial_margin(123_456)
        70030
        """
        chosen = in_range(user_margin_ppm, "user_margin_ppm", 0, PPM)
        return times_ppm(notional, max(self.scaled_initial_margin_ppm(open_interest), chosen), "ceil")

    def maintenance_margin(self, notional: int) -> int:
        """Maintenance of an absolute notional, quote quantums: base initial margin rounded up, its share rounded up.

        Open interest and what the user chose do not move it.
        """
        return times_ppm(times_ppm(notional, self.initial_margin_ppm, "ceil"), self.maintenance_fraction_ppm, "ceil")


@dataclass(frozen=True)
class Perpetual:
    """A market at one instant.

    Parameters
    ----------
    price
        Oracle price, whole number of 10^price_exponent USD, not negative.
    price_exponent, atomic_resolution
        Powers of ten of the price and of a base quantum (BTC: -5 and -8).
    tier
        Its liquidity tier.
    open_interest
        Base quantums.
    funding_index
        Funding index now, ppm of quote quantums per base quantum.
    isolated
        Whether it is margined in a pool of its own.

    Examples
    --------
    Half a bitcoin at 42,000 USD, 5% initial and 3% maintenance:

    >>> bitcoin = Perpetual(4_200_000_000, -5, -8, LiquidityTier(50_000, 600_000))
    >>> bitcoin.risk(50_000_000)
    Risk(net_collateral=21000000000, maintenance=630000000, initial=1050000000)
    """

    price: int
    price_exponent: int
    atomic_resolution: int
    tier: LiquidityTier
    open_interest: int = 0
    funding_index: int = 0
    isolated: bool = False

    def __post_init__(self) -> None:
        for name in ("price", "open_interest"):
            object.__setattr__(self, name, in_range(getattr(self, name), name, 0))
        for name in ("price_exponent", "atomic_resolution", "funding_index"):
            object.__setattr__(self, name, whole(getattr(self, name), name))

    @property
    def exponent(self) -> int:
        """Power of ten from base quantums times price to quote quantums."""
        return self.price_exponent + self.atomic_resolution - QUOTE_RESOLUTION

    def notional(self, quantums: int) -> int:
        """Signed value of a size, quote quantums, rounded towards zero."""
        return times_power_of_ten(whole(quantums, "quantums") * self.price, self.exponent, "trunc")

    def base_quantums(self, notional: int) -> int:
        """Size worth a notional, rounded towards zero; a price of zero raises InputError."""
        if self.price == 0:
            raise InputError("must be positive", column="price", value=self.price)
        scale = power_of_ten(abs(self.exponent))
        up, down = (1, scale) if self.exponent > 0 else (scale, 1)
        return divide(notional * up, self.price * down, "trunc")

    def risk(self, quantums: int, user_margin_ppm: int = 0) -> Risk:
        """Net notional and margin requirements of a position."""
        value = self.notional(quantums)
        interest = self.notional(self.open_interest)
        return Risk(
            value,
            self.tier.maintenance_margin(abs(value)),
            self.tier.initial_margin(abs(value), interest, user_margin_ppm),
        )

    def at(self, price: int) -> Perpetual:
        """The same market at another oracle price."""
        return replace(self, price=price)


def settlement_ppm(funding_index: int, position_index: int, quantums: int) -> int:
    """Funding a position has earned since its index, ppm of quote quantums; longs pay a rise of the index.

    Examples
    --------
    >>> settlement_ppm(100, -100, 30_000)
    -6000000
    """
    return -(whole(funding_index, "funding_index") - whole(position_index, "position_index")) * whole(
        quantums, "quantums"
    )
