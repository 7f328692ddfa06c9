"""Drift v2: margin requirement and total collateral of an account of spot balances, orders and perpetuals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .drift import (
    BASE,
    MOST_INITIAL_PROFIT,
    OPEN_ORDER_MARGIN,
    PRICE,
    WEIGHT,
    MarginType,
    StrictPrice,
    perp_liability_value,
    scaled_asset_weight,
    size_discount_weight,
    size_premium_weight,
    strict_token_value,
    token_value,
    weight_for,
    worst_case_base,
)
from .integers import divide, in_range, power_of_ten, require_naturals, whole


@dataclass(frozen=True)
class SpotMarket:
    """Weights of one token, 1e-4; the quote asset has all four at 10,000 and no factor.

    Parameters
    ----------
    decimals
        Of the token.
    initial_asset_weight, maintenance_asset_weight, initial_liability_weight, maintenance_liability_weight
        Before the size is looked at.
    imf_factor
        1e-6, how fast size moves the weights.
    scale_start
        Value of all deposits, 1e-6 USD, from which the initial asset weight is scaled down; 0 for never.
    deposits
        All deposits of the token, in its units.
    """

    decimals: int
    initial_asset_weight: int = WEIGHT
    maintenance_asset_weight: int = WEIGHT
    initial_liability_weight: int = WEIGHT
    maintenance_liability_weight: int = WEIGHT
    imf_factor: int = 0
    scale_start: int = 0
    deposits: int = 0

    def __post_init__(self) -> None:
        require_naturals(**vars(self))
        in_range(self.decimals, "decimals", 0, 19)

    def size(self, amount: int) -> int:
        """Token amount as a size of 1e-9."""
        scale = power_of_ten(self.decimals)
        return abs(amount) // (scale // BASE) if scale > BASE else abs(amount) * BASE // scale

    def asset_weight(self, amount: int, price: int, margin: MarginType) -> int:
        """Weight of a deposit at an oracle price."""
        value = token_value(self.deposits, self.decimals, price)
        initial = scaled_asset_weight(self.initial_asset_weight, value, self.scale_start)
        weight = weight_for(margin, initial, self.maintenance_asset_weight)
        return size_discount_weight(self.size(amount), self.imf_factor, weight)

    def liability_weight(self, amount: int, margin: MarginType) -> int:
        """Weight of a debt."""
        weight = weight_for(margin, self.initial_liability_weight, self.maintenance_liability_weight)
        return size_premium_weight(self.size(amount), self.imf_factor, weight)

    def weighted(self, amount: int, value: int, price: int, margin: MarginType, user_ratio: int = 0) -> int:
        """Signed value times its weight, rounded towards zero.

        A ratio the user chose (1e-4, initial margin only) can only lower an asset's weight and raise a debt's.
        """
        if value > 0:
            weight = self.asset_weight(amount, price, margin)
            weight = min(weight, max(WEIGHT - user_ratio, 0)) if user_ratio else weight
        else:
            weight = self.liability_weight(amount, margin)
            weight = max(weight, WEIGHT + user_ratio) if user_ratio else weight
        return divide(value * weight, WEIGHT, "trunc")


@dataclass(frozen=True)
class SpotPosition:
    """A token balance (negative: borrowed) and what is open in the book; asks are not positive."""

    market: SpotMarket
    price: StrictPrice
    amount: int
    open_bids: int = 0
    open_asks: int = 0
    open_orders: int = 0
    is_quote: bool = False

    def __post_init__(self) -> None:
        whole(self.amount, "amount")
        require_naturals(open_bids=self.open_bids, open_orders=self.open_orders, open_asks=-self.open_asks)


@dataclass(frozen=True)
class PerpMarket:
    """Margin of one perpetual: ratios and profit weights 1e-4, factors 1e-6.

    `initial_profit_weight` and `maintenance_profit_weight` are what unrealised profit counts for; losses count in full.
    `max_imbalance` is the net unsettled profit of all users, 1e-6 USD, above which the weight shrinks; 0 for never.
    """

    initial_ratio: int
    maintenance_ratio: int
    imf_factor: int = 0
    profit_imf_factor: int = 0
    initial_profit_weight: int = 0
    maintenance_profit_weight: int = WEIGHT
    max_imbalance: int = 0
    net_unsettled_profit: int = 0
    prediction: bool = False
    settled: bool = False

    def __post_init__(self) -> None:
        counts = {name: value for name, value in vars(self).items() if type(value) is not bool}
        whole(counts.pop("net_unsettled_profit"), "net_unsettled_profit")
        require_naturals(**counts)

    def margin_ratio(self, size: int, margin: MarginType) -> int:
        """Margin ratio of a size of 1e-9; nothing once the market is settled."""
        ratio = weight_for(margin, self.initial_ratio, self.maintenance_ratio)
        return 0 if self.settled else size_premium_weight(abs(size), self.imf_factor, ratio)

    def profit_weight(self, profit: int, margin: MarginType) -> int:
        """What an unrealised profit (1e-6 USD) counts for."""
        if profit <= 0 or margin == "maintenance":
            return WEIGHT if profit <= 0 else self.maintenance_profit_weight
        weight = self.initial_profit_weight
        if 0 < self.max_imbalance < self.net_unsettled_profit:
            weight = weight * self.max_imbalance // self.net_unsettled_profit
        return size_discount_weight(profit * (BASE // PRICE), self.profit_imf_factor, weight)


@dataclass(frozen=True)
class PerpPosition:
    """Base (1e-9), quote with cost and fees (1e-6), unsettled funding and open orders of one perpetual.

    `quote_price` is that of the asset it settles in; `user_ratio` (1e-4) is the initial margin the user chose.
    """

    market: PerpMarket
    price: int
    quote_price: StrictPrice
    base: int
    quote: int
    open_bids: int = 0
    open_asks: int = 0
    open_orders: int = 0
    funding: int = 0

    def __post_init__(self) -> None:
        for name in ("base", "quote", "funding"):
            whole(getattr(self, name), name)
        require_naturals(price=self.price, open_bids=self.open_bids, open_orders=self.open_orders)
        require_naturals(open_asks=-self.open_asks)

    @property
    def unrealised(self) -> int:
        """Profit if closed at the oracle price, with funding; value rounded towards zero."""
        return divide(self.base * self.price, BASE, "trunc") + self.quote + self.funding


@dataclass(frozen=True)
class AccountMargin:
    """Total collateral against margin requirement, 1e-6 USD; parts add. `liabilities` carry the liquidation buffer.

    Examples
    --------
    >>> AccountMargin(total_collateral=100, margin_requirement=100).is_liquidatable
    False
    """

    total_collateral: int = 0
    margin_requirement: int = 0
    liabilities: int = 0

    def __add__(self, other: AccountMargin) -> AccountMargin:
        return AccountMargin(
            self.total_collateral + other.total_collateral,
            self.margin_requirement + other.margin_requirement,
            self.liabilities + other.liabilities,
        )

    @property
    def is_liquidatable(self) -> bool:
        """Whether collateral falls short; to be asked of maintenance margin."""
        return self.total_collateral < self.margin_requirement

    @property
    def free_collateral(self) -> int:
        """Collateral beyond the requirement, not below zero."""
        return max(self.total_collateral - self.margin_requirement, 0)

    def shortage(self, buffer: int) -> int:
        """What a liquidation has to free: up to the requirement and `buffer` (1e-4) of the liabilities."""
        return max(self.margin_requirement + self.liabilities * buffer // WEIGHT - self.total_collateral, 0)


def spot_margin(position: SpotPosition, margin: MarginType, user_ratio: int = 0) -> AccountMargin:
    """What a balance and its orders add to collateral and requirement.

    Of all bids filled and all asks filled the one that leaves less counts: the token weighted, the other leg of the
    trade as quote at full value. The quote asset itself counts at its value.
    """
    market, price = position.market, position.price
    value = strict_token_value(position.amount, market.decimals, price)
    if position.is_quote:
        return AccountMargin(max(value, 0), max(-value, 0), max(-value, 0))
    sides = [
        _filled(position, value, position.amount + filled, filled, margin, user_ratio)
        for filled in (position.open_asks, position.open_bids)
    ]
    weighted, token, orders = min(sides, key=lambda side: side[0] + side[2])
    orders_margin = AccountMargin(0, position.open_orders * OPEN_ORDER_MARGIN)
    quote = AccountMargin(max(orders, 0), max(-orders, 0), max(-orders, 0))
    return AccountMargin(max(weighted, 0), max(-weighted, 0), max(-token, 0)) + quote + orders_margin


def _filled(
    position: SpotPosition, value: int, amount: int, filled: int, margin: MarginType, user_ratio: int
) -> tuple[int, int, int]:
    orders = token_value(-filled, position.market.decimals, position.price.high)
    token = value - orders
    weighted = position.market.weighted(amount, token, position.price.current, margin, user_ratio)
    return weighted, token, orders


def perp_margin(position: PerpPosition, margin: MarginType, user_ratio: int = 0) -> AccountMargin:
    """What a perpetual adds: the requirement of its worst case of orders, and its weighted profit or loss."""
    market, prediction = position.market, position.market.prediction
    base = worst_case_base(position.base, position.open_bids, position.open_asks, position.price, prediction)
    liability = perp_liability_value(base, position.price, prediction) * position.quote_price.high // PRICE
    ratio = 0 if market.settled else max(market.margin_ratio(base, margin), user_ratio)
    requirement = liability * ratio // WEIGHT + position.open_orders * OPEN_ORDER_MARGIN
    return AccountMargin(weighted_profit(position, margin), requirement, liability)


def weighted_profit(position: PerpPosition, margin: MarginType) -> int:
    """Unrealised profit as it counts, 1e-6 USD: weighted, at the worse quote price, capped for initial margin.

    Rounded towards zero at both steps, as the protocol does.
    """
    profit = position.unrealised
    price = position.quote_price.low if profit > 0 else position.quote_price.high
    weighted = divide(profit * position.market.profit_weight(profit, margin), WEIGHT, "trunc")
    counted = divide(weighted * price, PRICE, "trunc")
    return min(counted, MOST_INITIAL_PROFIT) if margin == "initial" else counted


def account_margin(
    spot: Iterable[SpotPosition], perps: Iterable[PerpPosition], margin: MarginType, user_ratio: int = 0
) -> AccountMargin:
    """Total collateral and margin requirement of an account; `user_ratio` (1e-4) counts for initial margin only.

    Examples
    --------
    10,000 USDC and a bid for 500 coins at 100 USD, weights 0.8 and 1.2:

    >>> usdc = SpotPosition(SpotMarket(6), StrictPrice(PRICE), 10_000_000_000, is_quote=True)
    >>> coin = SpotMarket(9, 8_000, 9_000, 12_000, 11_000)
    >>> bid = SpotPosition(coin, StrictPrice(100 * PRICE), 0, open_bids=500 * BASE, open_orders=1)
    >>> account_margin([usdc, bid], [], "initial").margin_requirement
    50000010000
    """
    chosen = user_ratio if margin == "initial" else 0
    total = AccountMargin()
    for balance in spot:
        total += spot_margin(balance, margin, chosen)
    for position in perps:
        total += perp_margin(position, margin, chosen)
    return total
