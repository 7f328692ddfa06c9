"""Amounts of several assets told in one, with the index price that was used and its age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import FloatArray, frozen, positions_of, require, require_shape
from ..errors import InputError
from ..instruments import InstrumentTable
from ..market import MarketState


@dataclass(frozen=True)
class IndexPrices:
    """Index prices of assets in the base asset and when each was made; the base asset's is 1 at any time.

    Parameters
    ----------
    assets
        Names, the base asset first, as in `InstrumentTable.assets`.
    price
        Base asset per unit, shape (n_assets,); NaN where there is none.
    time
        When it was made, datetime64[ns], UTC, shape (n_assets,).

    Raises
    ------
    InputError
        A shape that disagrees, a price that is not positive, a base asset that is not worth 1, a price without a time.
    """

    assets: tuple[str, ...]
    price: FloatArray
    time: NDArray[np.datetime64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "assets", tuple(str(a) for a in self.assets))
        object.__setattr__(self, "price", frozen(self.price, np.float64))
        object.__setattr__(self, "time", frozen(self.time, "datetime64[ns]"))
        for name in ("price", "time"):
            require_shape(getattr(self, name), (len(self.assets),), name)
        require(
            np.isnan(self.price) | ((self.price > 0) & np.isfinite(self.price)),
            self.price,
            "price must be positive",
            "price",
        )
        if not len(self.price) or self.price[0] != 1:
            raise InputError("the base asset, which is first, must be worth 1", column="price")
        timed = np.isnan(self.price) | ~np.isnat(self.time)
        timed[0] = True
        require(timed, self.price, "has no time", "price")


@dataclass(frozen=True)
class Conversion:
    """Amounts in the base asset and what they were converted with; shape (n,).

    Parameters
    ----------
    asset
        Name of the asset of each amount.
    amount, value
        Units of the asset, and of the base asset.
    index
        Price used, base asset per unit.
    index_time, age
        When that price was made (UTC), and how many seconds before the conversion; 0 for the base asset.
    base
        The base asset.
    """

    asset: tuple[str, ...]
    amount: FloatArray
    value: FloatArray
    index: FloatArray
    index_time: NDArray[np.datetime64]
    age: FloatArray
    base: str

    def __post_init__(self) -> None:
        for name in ("amount", "value", "index", "age"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        object.__setattr__(self, "index_time", frozen(self.index_time, "datetime64[ns]"))


def convert(
    assets: Sequence[str], amounts: ArrayLike, prices: IndexPrices, at: np.datetime64, max_age: np.timedelta64
) -> Conversion:
    """Amounts of assets told in the base asset at an instant.

    Raises
    ------
    InputError
        An unknown asset, an amount that is no number, an asset without an index price, a price that is from after `at`
        or older than `max_age`.

    Examples
    --------
    >>> now = np.datetime64("2024-01-01T00:01:00", "ns")
    >>> prices = IndexPrices(("USDT", "BTC"), [1.0, 40_000.0], [now, now - np.timedelta64(5, "s")])
    >>> made = convert(["BTC", "USDT"], [0.5, 100.0], prices, now, np.timedelta64(10, "s"))
    >>> made.value.tolist(), made.age.tolist()
    ([20000.0, 100.0], [5.0, 0.0])
    """
    place = positions_of(prices.assets, assets, "asset")
    amount = np.asarray(amounts, np.float64)
    require_shape(amount, place.shape, "amount")
    require(np.isfinite(amount), amount, "must be a finite number", "amount")
    now = np.asarray(at, "datetime64[ns]")
    time = np.where(place == 0, now, prices.time[place])
    age = (now - time) / np.timedelta64(1, "s")
    _require_fresh(assets, prices.price[place], age, max_age / np.timedelta64(1, "s"))
    index = prices.price[place]
    return Conversion(tuple(assets), amount, amount * index, index, time, age, prices.assets[0])


def _require_fresh(assets: Sequence[str], price: FloatArray, age: FloatArray, limit: float) -> None:
    for row, asset in enumerate(assets):
        if np.isnan(price[row]):
            raise InputError("has no index price", row=row, column="asset", value=asset)
        if age[row] < 0:
            raise InputError(f"index price is {-age[row]:g} s from the future", row=row, column="asset", value=asset)
        if not age[row] <= limit:
            problem = f"index price is {age[row]:g} s old, at most {limit:g} s is allowed"
            raise InputError(problem, row=row, column="asset", value=asset)


def market_from_indices(
    table: InstrumentTable, mark: ArrayLike, prices: IndexPrices, at: np.datetime64, max_age: np.timedelta64
) -> MarketState:
    """`MarketState` whose index prices are all fresh; those of assets without a price stay NaN.

    Examples
    --------
    >>> now = np.datetime64("2024-01-01", "ns")
    >>> table = InstrumentTable.linear_perpetuals(["BTC"], collateral=["BTC"])
    >>> prices = IndexPrices(("USDT", "BTC"), [1.0, 40_000.0], [now, now])
    >>> market_from_indices(table, [40_010.0], prices, now, np.timedelta64(1, "s")).index.tolist()
    [1.0, 40000.0]
    """
    if prices.assets != table.assets:
        raise InputError("are not those of the instruments", column="assets", value=", ".join(prices.assets))
    priced = [asset for asset, price in zip(prices.assets, prices.price, strict=True) if not np.isnan(price)]
    convert(priced, np.ones(len(priced)), prices, at, max_age)
    return MarketState(at, np.asarray(mark, np.float64), prices.price)
