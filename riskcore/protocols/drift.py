"""Drift v2: the weights of spot balances and perpetuals, prices when in doubt, and token values, all in whole numbers.

Precisions: quote and price 1e-6 USD, base and size 1e-9, weights and margin ratios 1e-4, IMF factors and liquidation
fees 1e-6, tokens 10^-decimals. Source of the rules: drift-labs/protocol-v2, programs/drift/src/math/margin.rs,
spot_balance.rs, state/spot_market.rs and perp_market.rs. Weights and values are rounded down, liabilities therefore
away from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ..errors import InputError
from .integers import divide, in_range, power_of_ten, require_naturals, root, whole

MarginType = Literal["initial", "fill", "maintenance"]

PRICE: Final = 1_000_000
QUOTE: Final = 1_000_000
BASE: Final = 1_000_000_000
WEIGHT: Final = 10_000
IMF: Final = 1_000_000
FEE: Final = 1_000_000

OPEN_ORDER_MARGIN: Final = 10_000
"""Margin of every open order: one cent."""
MOST_INITIAL_PROFIT: Final = 100 * QUOTE
"""Most unrealised profit of a perpetual that counts towards initial margin."""
SQUARE_ROOT: Final = 100_000
"""Scale of the square root of ten times a size of 1e-9."""


def size_premium_weight(size: int, imf_factor: int, weight: int) -> int:
    """Liability weight or margin ratio of a size: max(w, 0.8 w + imf * sqrt(size)), 1e-4.

    Parameters
    ----------
    size
        1e-9 of the coin, not negative.
    imf_factor
        1e-6; 0 leaves the weight.
    weight
        Liability weight (1.1 is 11,000) or margin ratio (10% is 1,000), 1e-4.

    Examples
    --------
    A thousand coins at a factor of 1%:

    >>> size_premium_weight(1_000_000_000_000, 10_000, 11_000)
    11962
    """
    require_naturals(size=size, imf_factor=imf_factor, weight=weight)
    if imf_factor == 0:
        return weight
    premium = root(size * 10 + 1) * imf_factor // (SQUARE_ROOT * IMF // WEIGHT)
    return max(weight, weight - weight // 5 + premium)


def size_discount_weight(size: int, imf_factor: int, weight: int) -> int:
    """Asset weight of a size: min(w, 1.1 / (1 + imf * sqrt(size))), 1e-4.

    Examples
    --------
    >>> size_discount_weight(1_000_000_000_000, 10_000, 9_000)
    8357
    """
    require_naturals(size=size, imf_factor=imf_factor, weight=weight)
    if imf_factor == 0:
        return weight
    return min(weight, (IMF + IMF // 10) * WEIGHT // (IMF + root(size * 10 + 1) * imf_factor // SQUARE_ROOT))


def scaled_asset_weight(weight: int, deposit_value: int, start: int) -> int:
    """Initial asset weight when all deposits of a token are worth more than `start`: weight * start / value.

    Values are in 1e-6 USD; a start of 0 switches the scaling off.

    Examples
    --------
    >>> scaled_asset_weight(9_000, 1_500_000_000_000, 500_000_000_000)
    3000
    """
    require_naturals(weight=weight, deposit_value=deposit_value, start=start)
    return weight if start == 0 or deposit_value < start else weight * start // deposit_value


def weight_for(margin: MarginType, initial: int, maintenance: int) -> int:
    """Weight of a kind of margin; that of a fill is the mean of the other two, rounded down.

    Examples
    --------
    >>> weight_for("fill", 1_500, 7_500)
    4500
    """
    if margin not in get_args(MarginType):
        raise InputError(f"must be one of {', '.join(get_args(MarginType))}", column="margin", value=margin)
    return {"initial": initial, "fill": (initial + maintenance) // 2, "maintenance": maintenance}[margin]


@dataclass(frozen=True)
class StrictPrice:
    """An oracle price and, when in doubt, its five-minute average: assets take the lower, liabilities the higher.

    Parameters
    ----------
    current, average
        1e-6 USD, positive; without an average the current price is both.

    Examples
    --------
    >>> price = StrictPrice(25_000_000, 24_000_000)
    >>> price.low, price.high
    (24000000, 25000000)
    """

    current: int
    average: int | None = None

    def __post_init__(self) -> None:
        in_range(self.current, "current", 1)
        if self.average is not None:
            in_range(self.average, "average", 1)

    @property
    def low(self) -> int:
        """Price an asset is valued at."""
        return self.current if self.average is None else min(self.current, self.average)

    @property
    def high(self) -> int:
        """Price a liability is valued at."""
        return self.current if self.average is None else max(self.current, self.average)


def token_value(amount: int, decimals: int, price: int) -> int:
    """Value of a signed token amount, 1e-6 USD, rounded down: a debt is never worth less.

    Examples
    --------
    >>> token_value(-1, 9, 25_000_000), token_value(1, 9, 25_000_000)
    (-1, 0)
    """
    in_range(decimals, "decimals", 0, 19)
    return divide(whole(amount, "amount") * in_range(price, "price", 0), power_of_ten(decimals), "floor")


def strict_token_value(amount: int, decimals: int, price: StrictPrice) -> int:
    """Value of a signed token amount at the price that is worse for its holder."""
    return token_value(amount, decimals, price.low if amount > 0 else price.high)


def perp_liability_value(base: int, price: int, prediction: bool = False) -> int:
    """What a perpetual position may still lose, 1e-6 USD, rounded down.

    |base| * price; in a prediction market, which settles at 0 or 1, a short can lose 1 - price.

    Examples
    --------
    >>> perp_liability_value(-1_000_000_000, 250_000, prediction=True)
    750000
    """
    in_range(price, "price", 0, PRICE if prediction else None)
    at_risk = PRICE - price if prediction and base < 0 else price
    return abs(whole(base, "base")) * at_risk // BASE


def worst_case_base(base: int, open_bids: int, open_asks: int, price: int, prediction: bool = False) -> int:
    """Position with either all bids or all asks filled, whichever may lose more; asks where they may lose the same.

    Bids are not negative, asks not positive, 1e-9.

    Examples
    --------
    >>> worst_case_base(5, 10, -30, 1_000_000_000), worst_case_base(0, 10, -10, 1_000_000_000)
    (-25, -10)
    """
    in_range(open_bids, "open_bids", 0)
    in_range(open_asks, "open_asks", -(10**30), 0)
    bids, asks = base + open_bids, base + open_asks
    more = perp_liability_value(bids, price, prediction) > perp_liability_value(asks, price, prediction)
    return bids if more else asks
