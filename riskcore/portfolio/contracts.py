"""What a portfolio rule margins: contracts with a risk unit each, their prices, and pools of positions in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..accounts import AccountBook, csr_rows
from ..arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    TimeArray,
    frozen,
    positions_of,
    require,
    require_pointers,
    require_shape,
    require_unique,
)
from ..basis import DAYS_A_YEAR
from ..errors import InputError
from ..instruments import InstrumentTable
from ..options.option_table import OptionTable

LINEAR, INVERSE, SPOT, OPTION, INVERSE_OPTION = 0, 1, 2, 3, 4
"""Kinds of contract; the first two are those of `InstrumentTable`."""
UNSHOCKED = -1
"""In `ContractTable.asset_unit`: the index price of the asset stays where it is in every scenario."""


@dataclass(frozen=True)
class ContractTable:
    """Contracts of a portfolio rule.

    One contract is worth, in its settlement asset, at price p (an option's is the forward for its expiry):

    ==============  =======================================================================================
    LINEAR          profit multiplier * (p - entry); quanto when it settles in an asset other than the quote
    INVERSE         profit multiplier * (1 / entry - 1 / p), a face of `multiplier` quote units, paid in coin
    SPOT            multiplier * p
    OPTION          multiplier * Black-76 value
    INVERSE_OPTION  multiplier * Black-76 value / p, paid in coin
    ==============  =======================================================================================

    Parameters
    ----------
    symbols
        Names, unique, shape (n,).
    kind
        One of the above for each contract.
    multiplier
        Units of the underlying (INVERSE: of the quote currency) per contract; positive.
    settlement
        Position in `assets` of the asset in which profit and loss is paid.
    unit
        Position in `units` of the risk unit whose scenarios move the price.
    strike, right
        Strike (positive) and CALL (1) or PUT (-1) of options; NaN and 0 for the rest.
    expiry
        Instant of expiry, UTC, datetime64; NaT for perpetuals and spot.
    assets
        Names of the settlement assets; the first is the base asset in which margin is told.
    units
        Names of the risk units.
    asset_unit
        Risk unit whose moves the index price of an asset follows, or UNSHOCKED; shape (n_assets,). A coin that settles
        inverse contracts follows its own unit where the venue margins in a currency, and none where it margins in coin.

    Raises
    ------
    InputError
        A duplicate name, an unknown kind, unit or asset, an option without a strike, right or expiry.

    See Also
    --------
    contract_table : the same with fewer words.
    """

    symbols: tuple[str, ...]
    kind: NDArray[np.int8]
    multiplier: FloatArray
    settlement: IntArray
    unit: IntArray
    strike: FloatArray
    right: NDArray[np.int8]
    expiry: TimeArray
    assets: tuple[str, ...]
    units: tuple[str, ...]
    asset_unit: IntArray

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in ("symbols", "assets", "units"):
            set_(self, name, tuple(str(one) for one in getattr(self, name)))
        for name in ("kind", "right"):
            set_(self, name, frozen(getattr(self, name), np.int8))
        for name in ("settlement", "unit", "asset_unit"):
            set_(self, name, frozen(getattr(self, name), np.int64))
        for name in ("multiplier", "strike"):
            set_(self, name, frozen(getattr(self, name), np.float64))
        set_(self, "expiry", frozen(self.expiry, "datetime64[ns]"))
        self._check_names()
        self._check_columns()

    def _check_names(self) -> None:
        for name in ("symbols", "assets", "units"):
            names = getattr(self, name)
            if not names:
                raise InputError("needs at least one name", column=name)
            require_unique(names, name)

    def _check_columns(self) -> None:
        n = len(self.symbols)
        for name in ("kind", "multiplier", "settlement", "unit", "strike", "right", "expiry"):
            require_shape(getattr(self, name), (n,), name)
        require_shape(self.asset_unit, (len(self.assets),), "asset_unit")
        require((self.kind >= LINEAR) & (self.kind <= INVERSE_OPTION), self.kind, "is not a kind of contract", "kind")
        require((self.multiplier > 0) & np.isfinite(self.multiplier), self.multiplier, "must be positive", "multiplier")
        for name, low, high in (
            ("settlement", 0, len(self.assets)),
            ("unit", 0, len(self.units)),
            ("asset_unit", UNSHOCKED, len(self.units)),
        ):
            column, known = getattr(self, name), "an asset" if name == "settlement" else "a risk unit"
            require((column >= low) & (column < high), column, f"is not {known} position", name)
        option = self.is_option
        positive = (self.strike > 0) & np.isfinite(self.strike)
        require(~option | positive, self.strike, "an option needs a positive strike", "strike")
        require(~option | (np.abs(self.right) == 1), self.right, "an option is a CALL (1) or a PUT (-1)", "right")
        require(~option | ~np.isnat(self.expiry), self.expiry, "an option needs an expiry", "expiry")

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def is_option(self) -> BoolArray:
        """Which contracts are options."""
        return self.kind >= OPTION

    def index_of(self, symbols: Sequence[str]) -> IntArray:
        """Positions of contracts by name; an unknown name raises InputError."""
        return positions_of(self.symbols, symbols, "symbol")


def contract_table(
    symbols: Sequence[str],
    underlying: Sequence[str],
    kind: ArrayLike,
    *,
    units: Sequence[str],
    multiplier: ArrayLike = 1.0,
    settlement: Sequence[str] | None = None,
    strike: ArrayLike = np.nan,
    right: ArrayLike = 0,
    expiry: ArrayLike = "NaT",
    assets: Sequence[str] = ("USD",),
    follows: Sequence[tuple[str, str]] = (),
) -> ContractTable:
    """Contracts by the names of their underlyings and settlement assets; single numbers hold for all of them.

    Parameters
    ----------
    underlying
        Risk unit of each contract, one of `units`.
    settlement
        Asset of each contract, one of `assets`; None: the base asset for all.
    follows
        Pairs (asset, unit): the index price of the asset moves with the unit.

    Examples
    --------
    >>> table = contract_table(["BTC-PERP", "BTC-60000-C"], ["BTC", "BTC"], [LINEAR, OPTION], units=["BTC"],
    ...                        strike=[np.nan, 60_000.0], right=[0, 1], expiry=["NaT", "2024-03-29T08:00"])
    >>> len(table), table.is_option.tolist(), table.units
    (2, [False, True], ('BTC',))
    """
    n = len(symbols)
    asset_unit = np.full(len(assets), UNSHOCKED)
    for asset, unit in follows:
        asset_unit[positions_of(assets, [asset], "asset")] = positions_of(units, [unit], "underlying")

    def whole(values: ArrayLike, dtype: str) -> NDArray[np.generic]:
        return np.broadcast_to(np.asarray(values, dtype), (n,)) if np.ndim(values) == 0 else np.asarray(values, dtype)

    return ContractTable(
        tuple(symbols),
        whole(kind, "int8"),  # type: ignore[arg-type]
        whole(multiplier, "float64"),  # type: ignore[arg-type]
        np.zeros(n, np.int64) if settlement is None else positions_of(assets, settlement, "asset"),
        positions_of(units, underlying, "underlying"),
        whole(strike, "float64"),  # type: ignore[arg-type]
        whole(right, "int8"),  # type: ignore[arg-type]
        whole(expiry, "datetime64[ns]"),  # type: ignore[arg-type]
        tuple(assets),
        tuple(units),
        asset_unit,
    )


def contracts_of_instruments(
    table: InstrumentTable, underlying: Sequence[str], follows: Sequence[tuple[str, str]] = ()
) -> ContractTable:
    """The contracts of an `InstrumentTable`, in the same order and of the same expiry, with the underlying of each.

    Examples
    --------
    >>> contracts_of_instruments(InstrumentTable.linear_perpetuals(["BTCUSDT"]), ["BTC"]).units
    ('BTC',)
    """
    settlement = [table.assets[place] for place in table.settlement]
    return contract_table(
        table.symbols,
        underlying,
        table.kind,
        units=tuple(dict.fromkeys(underlying)),
        multiplier=table.multiplier,
        settlement=settlement,
        expiry=table.expiry,
        assets=table.assets,
        follows=follows,
    )


def contracts_of_options(table: OptionTable, *, base: str = "USD") -> ContractTable:
    """The options of an `OptionTable` in the same order, settled in the base asset; its underlyings are the units.

    Examples
    --------
    >>> expiry = np.array(["2024-06-28T08:00"], "datetime64[ns]")
    >>> options = OptionTable(("BTC-28JUN24-60000-C",), ("BTC",), expiry, [60000.0], [1], [1.0])
    >>> contracts_of_options(options).units
    ('BTC',)
    """
    return contract_table(
        table.name,
        table.underlying,
        OPTION,
        units=tuple(dict.fromkeys(table.underlying)),
        multiplier=table.multiplier,
        strike=table.strike,
        right=table.right,
        expiry=table.expiry,
        assets=(base,),
    )


@dataclass(frozen=True)
class ContractPrices:
    """Prices of the contracts of a table at one instant; whatever is needed and missing is an error of who prices.

    Parameters
    ----------
    time
        The instant, UTC.
    price
        Mark of a future, perpetual or spot, forward for the expiry of an option; quote units, shape (n,).
    index
        Price of each settlement asset in the base asset, shape (n_assets,).
    volatility
        Implied volatility of each option, annual fraction; NaN for the rest. Shape (n,).
    discount
        Price now of one unit paid at the expiry of each option; shape (n,).
    """

    time: np.datetime64
    price: FloatArray
    index: FloatArray
    volatility: FloatArray
    discount: FloatArray

    def __post_init__(self) -> None:
        for name in ("price", "index", "volatility", "discount"):
            object.__setattr__(self, name, frozen(np.atleast_1d(getattr(self, name)), np.float64))

    def check(self, table: ContractTable, needed: BoolArray) -> None:
        """Raise InputError for the first needed contract that cannot be priced: no price or volatility, or expired."""
        for name in ("price", "volatility", "discount"):
            require_shape(getattr(self, name), (len(table),), name)
        require_shape(self.index, (len(table.assets),), "index")
        option = table.is_option & needed
        used = np.isin(np.arange(len(self.index)), table.settlement[needed])
        for name, wanted in (("price", needed), ("discount", option), ("index", used)):
            column = getattr(self, name)
            require(~wanted | ((column > 0) & np.isfinite(column)), column, "must be a positive number", name)
        usable = (self.volatility >= 0) & np.isfinite(self.volatility)
        require(~option | usable, self.volatility, "an option needs an implied volatility", "volatility")
        passed = needed & (table.expiry < self.time)
        if passed.any():
            row = int(np.argmax(passed))
            kind = "option" if table.is_option[row] else "future"
            problem, expiry = f"{kind} {table.symbols[row]} has expired", str(table.expiry[row])
            raise InputError(problem, row=row, column="expiry", value=expiry)

    def years(self, table: ContractTable) -> FloatArray:
        """Years of 365 days to each expiry; NaN for contracts without one."""
        left = table.expiry - np.asarray(self.time, "datetime64[ns]")
        return np.asarray(left / np.timedelta64(1, "D") / DAYS_A_YEAR, np.float64)


def contract_prices(
    time: np.datetime64,
    price: ArrayLike,
    index: ArrayLike = 1.0,
    volatility: ArrayLike = np.nan,
    discount: ArrayLike = 1.0,
) -> ContractPrices:
    """Prices where single volatilities and discounts hold for all contracts.

    Examples
    --------
    >>> contract_prices(np.datetime64("2024-01-01"), [100.0, 101.0], volatility=0.5).volatility.tolist()
    [0.5, 0.5]
    """
    level = np.atleast_1d(np.asarray(price, np.float64))
    vol, df = (np.broadcast_to(np.asarray(one, np.float64), level.shape) for one in (volatility, discount))
    return ContractPrices(time, level, np.atleast_1d(np.asarray(index, np.float64)), vol, df)


@dataclass(frozen=True)
class PositionBook:
    """Pools of positions in CSR form: those of pool p are entries pool_pointer[p] : pool_pointer[p + 1].

    Parameters
    ----------
    pool_pointer
        Shape (n_pools + 1,).
    contract
        Position of each entry's contract in the `ContractTable` it is margined with.
    quantity
        Signed number of contracts.

    Examples
    --------
    >>> book = PositionBook([0, 2, 3], [0, 1, 0], [1.0, -2.0, 5.0])
    >>> len(book), book.pool_of_entry.tolist()
    (2, [0, 0, 1])
    """

    pool_pointer: IntArray
    contract: IntArray
    quantity: FloatArray

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "pool_pointer", frozen(self.pool_pointer, np.int64))
        set_(self, "contract", frozen(self.contract, np.int64))
        set_(self, "quantity", frozen(self.quantity, np.float64))
        if self.pool_pointer.ndim != 1 or not len(self.pool_pointer):
            raise InputError("needs at least one offset", column="pool_pointer")
        require_pointers(self.pool_pointer, len(self.pool_pointer) - 1, len(self.quantity), "pool_pointer")
        require_shape(self.contract, (len(self.quantity),), "contract")
        require(np.isfinite(self.quantity), self.quantity, "must be a finite number", "quantity")

    @classmethod
    def of_accounts(cls, book: AccountBook) -> PositionBook:
        """The positions of an account book, whose instruments stand in the order of the contract table."""
        return cls(book.position_pointer, book.position_instrument, book.quantity)

    def __len__(self) -> int:
        return len(self.pool_pointer) - 1

    @property
    def pool_of_entry(self) -> IntArray:
        """Pool of each entry."""
        return csr_rows(self.pool_pointer)

    def check(self, table: ContractTable) -> None:
        """Raise InputError for the first entry whose contract the table does not have."""
        known = (self.contract >= 0) & (self.contract < len(table))
        require(known, self.contract, f"is not one of {len(table)} contracts", "contract")
