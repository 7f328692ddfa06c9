"""Drift v2 liquidations: how much is closed or transferred, the fees, how fast, and who bears a bankruptcy.

Source: drift-labs/protocol-v2, programs/drift/src/math/liquidation.rs. Amounts a liquidator must bring are rounded up
where the protocol does, amounts taken from the user down. Where nothing would free collateral the protocol answers the
largest number of its type, which here are U64 and U128.
"""

from __future__ import annotations

from typing import Final

from ..errors import InputError
from .drift import BASE, FEE, PRICE, QUOTE, WEIGHT
from .integers import divide, in_range, power_of_ten, require_naturals, whole

U64: Final = 2**64 - 1
U128: Final = 2**128 - 1
FEE_PER_RATIO: Final = FEE // WEIGHT
SHARE: Final = 10_000
"""Scale of the share of a shortage that may be liquidated."""
SMALL_SHORTAGE: Final = 50 * QUOTE
FUNDING_PER_QUOTE: Final = 1_000
"""Funding rates (1e-9) per quote (1e-6)."""


def base_to_cover_shortage(
    shortage: int, margin_ratio: int, liquidation_fee: int, insurance_fee: int, price: int, quote_price: int
) -> int:
    """Perpetual base (1e-9) whose closing frees the shortage (1e-6 USD), rounded down; U64 where nothing does.

    shortage / (price * quote price * (margin ratio - fee) - price * insurance fee).

    Examples
    --------
    >>> base_to_cover_shortage(10_000_000, 1_000, 10_000, 0, 100_000_000, 1_000_000)
    1111111111
    """
    require_naturals(shortage=shortage, margin_ratio=margin_ratio, liquidation_fee=liquidation_fee)
    require_naturals(insurance_fee=insurance_fee, price=price, quote_price=quote_price)
    ratio = margin_ratio * FEE_PER_RATIO
    if price == 0 or ratio <= liquidation_fee:
        return U64
    freed = price * quote_price // PRICE * (ratio - liquidation_fee) // FEE - price * insurance_fee // FEE
    return U64 if freed <= 0 else shortage * (BASE * PRICE // QUOTE) // freed


def liability_to_cover_shortage(
    shortage: int,
    asset_weight: int,
    asset_multiplier: int,
    liability_weight: int,
    liability_multiplier: int,
    decimals: int,
    price: int,
    insurance_fee: int,
) -> int:
    """Borrowed tokens whose repayment out of collateral frees the shortage, at least 1; U128 where nothing does.

    shortage / (price * (liability weight - asset weight * asset multiplier / liability multiplier - insurance fee *
    liability weight)), rounded down.

    Examples
    --------
    >>> liability_to_cover_shortage(10_000_000, 8_000, 1_100_000, 12_000, 900_000, 9, 100_000_000, 0)
    449984250
    """
    require_naturals(shortage=shortage, asset_weight=asset_weight, asset_multiplier=asset_multiplier, price=price)
    require_naturals(liability_weight=liability_weight, insurance_fee=insurance_fee, decimals=decimals)
    in_range(liability_multiplier, "liability_multiplier", 1)
    asset, liability = asset_weight * 10 * asset_multiplier // liability_multiplier, liability_weight * 10
    if asset_weight >= liability_weight or asset >= liability:
        return U128
    freed = price * (liability - asset) - price * insurance_fee // FEE * liability
    if freed <= 0:
        return U128
    scale, unscale = _scales(decimals, 6)
    return max(shortage * scale * PRICE * WEIGHT * 10 // freed // unscale, 1)


def _scales(to: int, come: int) -> tuple[int, int]:
    return (power_of_ten(to - come), 1) if to > come else (1, power_of_ten(come - to))


def liability_for_asset(
    asset: int,
    asset_multiplier: int,
    asset_decimals: int,
    asset_price: int,
    liability_multiplier: int,
    liability_decimals: int,
    liability_price: int,
) -> int:
    """Borrowed tokens a liquidator repays for an amount of the collateral, rounded up.

    Examples
    --------
    >>> liability_for_asset(10_000_000, 1_010_000, 6, 1_000_000, 990_000, 9, 100_000_000)
    98019802
    """
    require_naturals(asset=asset, asset_price=asset_price, liability_multiplier=liability_multiplier)
    in_range(asset_multiplier, "asset_multiplier", 1)
    in_range(liability_price, "liability_price", 1)
    scale, unscale = _scales(liability_decimals, asset_decimals)
    value = asset * scale * asset_price * liability_multiplier
    return divide(divide(value, liability_price * asset_multiplier, "ceil"), unscale, "ceil")


def asset_for_liability(
    asset: int,
    asset_multiplier: int,
    asset_decimals: int,
    asset_price: int,
    liability: int,
    liability_multiplier: int,
    liability_decimals: int,
    liability_price: int,
) -> int:
    """Collateral a liquidator takes for repaying `liability`, rounded down, at least 1.

    All of the deposit `asset` where that is within a dollar, either way, so that no dust is left.

    Examples
    --------
    >>> asset_for_liability(200_000_000, 1_000_000, 6, 1_000_000, 100_000, 1_000_000, 5, 1_000_000)
    1000000
    """
    require_naturals(asset=asset, liability=liability, liability_price=liability_price)
    require_naturals(asset_multiplier=asset_multiplier, asset_decimals=asset_decimals)
    in_range(asset_price, "asset_price", 1)
    in_range(liability_multiplier, "liability_multiplier", 1)
    scale, unscale = _scales(asset_decimals, liability_decimals)
    value = liability * scale * liability_price * asset_multiplier
    taken = max(value // (asset_price * liability_multiplier) // unscale, 1)
    scale, unscale = _scales(asset_decimals, 6)
    left = abs(taken - asset) * asset_price // PRICE * scale // unscale
    return asset if left < QUOTE else taken


def perp_insurance_fee(
    shortage: int, base: int, margin_ratio: int, liquidator_fee: int, price: int, quote_price: int, max_fee: int
) -> int:
    """Share of a closed perpetual the insurance fund takes, 1e-6, rounded down at each step.

    min(max fee, 95% of what the margin ratio leaves after the liquidator's fee and shortage / (base * price)); nothing
    where a price or the position is zero.

    Examples
    --------
    >>> perp_insurance_fee(20_000_000, 10_000_000_000, 500, 10_000, 100_000_000, 1_000_000, 50_000)
    19000
    """
    require_naturals(shortage=shortage, base=base, margin_ratio=margin_ratio, liquidator_fee=liquidator_fee)
    require_naturals(price=price, quote_price=quote_price, max_fee=max_fee)
    ratio = margin_ratio * FEE_PER_RATIO
    valued = price * quote_price // PRICE
    if base == 0 or valued == 0 or ratio <= liquidator_fee:
        return 0
    needed = shortage * BASE // base * PRICE // valued
    return min(max_fee, max(ratio - liquidator_fee - needed, 0) * 19 // 20)


def spot_insurance_fee(
    shortage: int,
    amount: int,
    asset_weight: int,
    asset_multiplier: int,
    liability_weight: int,
    liability_multiplier: int,
    decimals: int,
    price: int,
    max_fee: int,
) -> int:
    """Share of a repaid loan the insurance fund takes, 1e-6, rounded down at each step.

    min(max fee, (liability weight - asset weight * multipliers - shortage / (amount * price)) / liability weight);
    nothing where the weights free no collateral, or a price, amount or multiplier is zero.

    Examples
    --------
    >>> spot_insurance_fee(5_000_000, 1_000_000_000, 10_000, 1_010_000, 11_000, 1_000_000, 9, 100_000_000, 50_000)
    36363
    """
    require_naturals(shortage=shortage, amount=amount, asset_weight=asset_weight, asset_multiplier=asset_multiplier)
    require_naturals(liability_weight=liability_weight, liability_multiplier=liability_multiplier, price=price)
    require_naturals(max_fee=max_fee, decimals=decimals)
    if asset_weight >= liability_weight or 0 in (price, amount, liability_multiplier):
        return 0
    liability, asset = liability_weight * FEE_PER_RATIO, asset_weight * FEE_PER_RATIO
    spare = max(liability - asset * asset_multiplier // liability_multiplier, 0)
    needed = shortage * FEE * power_of_ten(decimals) // amount // price
    return min(max_fee, max(spare - needed, 0) * FEE // liability)


def liquidation_fee(base_fee: int, max_fee: int, slots: int, grace_slots: int, increase_per_slot: int) -> int:
    """Liquidator's fee, 1e-6: the base fee in the slots of grace, then rising with every slot since the last activity.

    Examples
    --------
    >>> liquidation_fee(20_000, 50_000, 1_500, 1_500, 1)
    21500
    """
    require_naturals(base_fee=base_fee, max_fee=max_fee, slots=slots, grace_slots=grace_slots)
    require_naturals(increase_per_slot=increase_per_slot)
    return base_fee if slots < grace_slots else min(base_fee + slots * increase_per_slot, max_fee)


def largest_share(shortage: int, freed: int, slots: int, initial_share: int, duration: int) -> int:
    """Share of a shortage that may be liquidated now, 1e-4, rounded down.

    It grows from the initial share to everything over `duration` slots; what earlier steps freed counts as used. A
    shortage below 50 USD goes at once.

    Examples
    --------
    >>> largest_share(1_000_000_000, 0, 75, 1_000, 150), largest_share(49_999_999, 0, 0, 1_000, 150)
    (6000, 10000)
    """
    require_naturals(shortage=shortage, freed=freed, slots=slots, initial_share=initial_share, duration=duration)
    if shortage < SMALL_SHORTAGE:
        return SHARE
    elapsed = SHARE if duration == 0 else slots * SHARE // duration
    share = min(elapsed + initial_share, SHARE)
    most = (shortage + freed) * share // SHARE
    return max(most - freed, 0) * SHARE // shortage


def funding_to_socialise(loss: int, base_long: int, base_short: int) -> int:
    """Rise of the funding longs pay and shorts receive less of (1e-9) that spreads a perpetual's loss (1e-6 USD).

    Rounded up: the market never takes in less than the loss.

    Raises
    ------
    InputError
        A market in which nobody holds anything: there is no one to bear the loss.

    Examples
    --------
    >>> funding_to_socialise(-100_000_000, 5 * BASE, -5 * BASE)
    10000000000
    """
    total = abs(whole(base_long, "base_long")) + abs(whole(base_short, "base_short"))
    if total == 0:
        raise InputError("nobody holds the market", column="base_long", value=base_long)
    return divide(abs(whole(loss, "loss")) * BASE, total, "ceil") * FUNDING_PER_QUOTE


def deposit_interest_to_socialise(borrow: int, deposits: int, cumulative_interest: int) -> int:
    """Fall of the deposit interest index (1e-10) that spreads an unpaid loan over the depositors, rounded up.

    At most all but one of the index, so that balances stay defined when everything is lost; nothing without deposits.

    Examples
    --------
    >>> deposit_interest_to_socialise(100, 1_000, 10_000_000_000)
    1000000000
    """
    require_naturals(borrow=borrow, deposits=deposits)
    in_range(cumulative_interest, "cumulative_interest", 1)
    if deposits == 0:
        return 0
    return min(divide(cumulative_interest * borrow, deposits, "ceil"), cumulative_interest - 1)
