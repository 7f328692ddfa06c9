"""dYdX v4 liquidations: what a closing trade costs at bankruptcy, the price it is offered at, who pays, and how much.

Source: dydxprotocol/v4-chain, protocol/x/clob/keeper/liquidations.go and deleveraging.go. Signed amounts of quote are
what the liquidated account receives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..errors import InputError
from .dydx import Perpetual, Risk
from .dydx_accounts import Subaccount, market_of
from .integers import PPM, divide, in_range, times_power_of_ten, times_ppm, whole

UINT64 = 2**64 - 1


@dataclass(frozen=True)
class LiquidationConfig:
    """How the protocol liquidates.

    Parameters
    ----------
    max_liquidation_fee_ppm
        Most of the value of a closing trade the insurance fund takes.
    bankruptcy_adjustment_ppm
        How fast the offered price moves with the account's trouble; at least 1e6.
    spread_to_maintenance_margin_ratio_ppm
        Widest distance of the offered price from the oracle, share of the position's maintenance; positive.
    min_position_notional, max_portion_ppm
        Least notional, quote quantums, and largest share of a position closed in a block.
    max_notional_liquidated, max_insurance_lost
        Most notional an account has closed, and most the fund pays for it, in a block; quote quantums.
    """

    max_liquidation_fee_ppm: int = 5_000
    bankruptcy_adjustment_ppm: int = PPM
    spread_to_maintenance_margin_ratio_ppm: int = 100_000
    min_position_notional: int = 1_000
    max_portion_ppm: int = PPM
    max_notional_liquidated: int = 100_000_000_000_000
    max_insurance_lost: int = 100_000_000_000_000

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_liquidation_fee_ppm", 0, PPM),
            ("bankruptcy_adjustment_ppm", PPM, None),
            ("spread_to_maintenance_margin_ratio_ppm", 1, None),
            ("min_position_notional", 1, None),
            ("max_portion_ppm", 1, PPM),
            ("max_notional_liquidated", 1, None),
            ("max_insurance_lost", 1, None),
        ):
            object.__setattr__(self, name, in_range(getattr(self, name), name, low, high))


def require_closing(size: int, delta: int) -> None:
    """Refuse a delta that does not reduce the position, or goes through zero."""
    if size * whole(delta, "delta_quantums") >= 0 or abs(delta) > abs(size):
        problem = f"must close part or all of a position of {size}"
        raise InputError(problem, column="delta_quantums", value=delta)


def bankruptcy_value(account: Subaccount, markets: Mapping[int, Perpetual], perpetual: int, delta: int) -> int:
    """Quote the account must receive for a closing delta to be left with its share of nothing; quote quantums.

    -dNNV - floor(TNC * |dMMR| / TMMR): the account's net collateral, negative or not, is shared between its positions
    in proportion to the maintenance they free. Rounded up, so that closing at this value never asks the insurance fund
    for the fraction.

    Parameters
    ----------
    account, markets
        The account and the markets it is in.
    perpetual, delta
        What is closed: base quantums against the position, not beyond zero.

    Raises
    ------
    InputError
        A delta that does not close, a market that is missing, an account with no maintenance requirement.

    Examples
    --------
    >>> from .dydx import LiquidityTier
    >>> from .dydx_accounts import Position
    >>> markets = {0: Perpetual(5_000_000_000, -5, -8, LiquidityTier(200_000, 500_000))}
    >>> bankruptcy_value(Subaccount(-5_100_000_000, (Position(0, 10_000_000),)), markets, 0, -10_000_000)
    5100000000
    """
    size = account.size_of(perpetual)
    require_closing(size, delta)
    market, total = market_of(markets, perpetual), account.risk(markets)
    before, after = market.risk(size), market.risk(size + delta)
    freed = before.maintenance - after.maintenance
    shared = divide(total.net_collateral * freed, _positive(total), "floor")
    return before.net_collateral - after.net_collateral - shared


def _positive(total: Risk) -> int:
    if total.maintenance <= 0:
        raise InputError("must be positive", column="maintenance", value=total.maintenance)
    return total.maintenance


def fillable_price(
    account: Subaccount, markets: Mapping[int, Perpetual], perpetual: int, delta: int, config: LiquidationConfig
) -> Fraction:
    """Price a liquidation order is offered at, quote quantums per base quantum, an exact rational.

    (PNNV - clamp(BA * (1 - TNC/TMMR), 0, 1) * SMMR * PMMR) / PS: the oracle price, moved against the account by a
    share of the position's maintenance that grows as net collateral falls from the requirement to nothing.

    Raises
    ------
    InputError
        As `bankruptcy_value`, and a price below zero.
    """
    size = account.size_of(perpetual)
    require_closing(size, delta)
    position, total = market_of(markets, perpetual).risk(size), account.risk(markets)
    trouble = Fraction(config.bankruptcy_adjustment_ppm, PPM) * (1 - Fraction(total.net_collateral, _positive(total)))
    spread = Fraction(config.spread_to_maintenance_margin_ratio_ppm, PPM) * position.maintenance
    price = (position.net_collateral - min(max(trouble, Fraction(0)), Fraction(1)) * spread) / size
    if price < 0:
        raise InputError("the fillable price is negative", column="price", value=str(price))
    return price


def fill_value(subticks: int, quantums: int, quantum_conversion_exponent: int) -> int:
    """Quote quantums of a fill: subticks * quantums * 10^exponent, rounded down.

    Examples
    --------
    >>> fill_value(56_100_000_000, 10_000_000, -8)
    5610000000
    """
    amount = in_range(subticks, "subticks", 0) * in_range(quantums, "quantums", 0)
    return times_power_of_ten(amount, quantum_conversion_exponent, "floor")


def price_in_subticks(price: Fraction, exponent: int, closing_long: bool, subticks_per_tick: int = 1) -> int:
    """An exact price as a multiple of a tick: up where a long is sold, down where a short is bought back.

    That is in the account's favour, and bounded by what 64 bits and a tick hold.

    Examples
    --------
    >>> price_in_subticks(Fraction(49_999, 100), -8, True, 1_000_000)
    49999000000
    """
    tick = in_range(subticks_per_tick, "subticks_per_tick", 1, UINT64)
    exact = price / Fraction(10) ** exponent / tick
    ticks = divide(exact.numerator, exact.denominator, "ceil" if closing_long else "floor")
    return min(max(ticks, 1), UINT64 // tick) * tick


def insurance_delta(
    account: Subaccount,
    markets: Mapping[int, Perpetual],
    perpetual: int,
    is_buy: bool,
    quantums: int,
    quote: int,
    max_liquidation_fee_ppm: int,
) -> int:
    """What the insurance fund receives (negative: pays) when a liquidation fills; quote quantums.

    Above the bankruptcy value the fund takes min(floor(fee * value), what is left over); below it the fund pays all
    that is missing.

    Parameters
    ----------
    account, markets, perpetual
        Whose position is closed, and where.
    is_buy, quantums, quote
        Side of the closing trade, its size and its value, both as absolute amounts.
    max_liquidation_fee_ppm
        Most of the value the fund takes.

    Raises
    ------
    InputError
        A size of zero or one that does not close.
    """
    side = 1 if is_buy else -1
    bankruptcy = bankruptcy_value(account, markets, perpetual, side * in_range(quantums, "quantums", 0))
    left_over = -side * in_range(quote, "quote", 0) - bankruptcy
    if left_over <= 0:
        return left_over
    return min(times_ppm(quote, max_liquidation_fee_ppm, "floor"), left_over)


def notional_limits(market: Perpetual, quantums: int, config: LiquidationConfig) -> tuple[int, int]:
    """Least and most notional of a position that one block may liquidate, quote quantums.

    The least is no more than the position; the most no less than the least.

    Examples
    --------
    >>> from .dydx import LiquidityTier
    >>> bitcoin = Perpetual(5_000_000_000, -5, -8, LiquidityTier(200_000, 500_000))
    >>> notional_limits(bitcoin, 100_000_000, LiquidationConfig(min_position_notional=100, max_portion_ppm=500_000))
    (100, 25000000000)
    """
    notional = abs(market.notional(quantums))
    least = min(config.min_position_notional, notional)
    return least, max(least, times_ppm(notional, config.max_portion_ppm, "floor"))


def block_allowance(limit: int, used: int, column: str) -> int:
    """What is left of a block limit; InputError where more than the limit was used."""
    return limit - in_range(used, column, 0, limit)


def closing_size(
    market: Perpetual, quantums: int, config: LiquidationConfig, already_liquidated: int = 0, step: int = 1
) -> int:
    """Delta one block may close of a position, base quantums against its sign.

    All of it where the limits allow or it is no more than a step; else what the most notional buys, whole steps.

    Examples
    --------
    >>> from .dydx import LiquidityTier
    >>> bitcoin = Perpetual(5_000_000_000, -5, -8, LiquidityTier(200_000, 500_000))
    >>> closing_size(bitcoin, -100_000_000, LiquidationConfig(max_portion_ppm=500_000), step=30_000_000)
    30000000
    """
    left = block_allowance(config.max_notional_liquidated, already_liquidated, "already_liquidated")
    most = min(notional_limits(market, quantums, config)[1], left)
    size, side = abs(quantums), 1 if quantums > 0 else -1
    if abs(market.notional(quantums)) <= most or size <= step:
        return -quantums
    steps = market.base_quantums(most) // in_range(step, "step", 1) * step
    return -side * min(max(steps, step), size)


@dataclass(frozen=True)
class Deleveraging:
    """A position closed against others: the accounts afterwards, and what was closed against each.

    `closed` are base quantums of the counterparties in their order; `unfilled` is what found none.
    """

    account: Subaccount
    counterparties: tuple[Subaccount, ...]
    closed: tuple[int, ...]
    unfilled: int


def deleverage(
    account: Subaccount,
    counterparties: Sequence[Subaccount],
    markets: Mapping[int, Perpetual],
    perpetual: int,
    delta: int,
) -> Deleveraging:
    """Close a delta against the opposite positions of others, in the order given, at the bankruptcy price.

    Each part is valued from the account as the part before left it; what one side pays the other receives. The
    protocol takes counterparties from a pseudo-random start, so their order is the caller's to give. A counterparty on
    the same side is passed over.
    """
    require_closing(account.size_of(perpetual), delta)
    left, after, closed = abs(delta), [], []
    direction = 1 if delta > 0 else -1
    for other in counterparties:
        size = min(left, max(other.size_of(perpetual) * direction, 0))
        closed.append(-direction * size)
        if size:
            quote = bankruptcy_value(account, markets, perpetual, direction * size)
            account = account.after(markets, {perpetual: direction * size}, quote)
            other = other.after(markets, {perpetual: -direction * size}, -quote)
            left -= size
        after.append(other)
    return Deleveraging(account, tuple(after), tuple(closed), direction * left)
