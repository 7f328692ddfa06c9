"""Insurance funds: several domains, each with its own money and the inventory it took over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray, frozen, positions_of, require
from ..errors import InputError
from ..instruments import InstrumentTable


@dataclass(frozen=True)
class InsuranceFunds:
    """Funds of one venue; a domain is the set of instruments whose losses one of them covers.

    Parameters
    ----------
    names
        Name of each fund, unique, shape (n_funds,).
    domain
        For each instrument the fund that covers it, shape (n_instruments,). No other fund ever pays for it.
    balance
        Money of each fund in each asset, shape (n_funds, n_assets); not negative when made by hand.
    inventory
        Contracts each fund carries, signed, shape (n_funds, n_instruments).
    cost
        What the inventory was taken over for, settlement asset, shape (n_funds, n_instruments); the fund's unrealised
        profit is the value of the inventory at the mark less this.

    Raises
    ------
    InputError
        A name twice, an instrument of an unknown fund, shapes that disagree, a value that is not finite.

    Examples
    --------
    >>> table = InstrumentTable(("BTC", "ETH", "NEW"), [0, 0, 0], [1.0, 1.0, 1.0], [0, 1, 0], ("USDT", "USDC"))
    >>> funds = InsuranceFunds.by_settlement(table, {"USDT": 1000.0, "USDC": 50.0})
    >>> funds.domain.tolist(), funds.balance.tolist()
    ([0, 1, 0], [[1000.0, 0.0], [0.0, 50.0]])
    """

    names: tuple[str, ...]
    domain: IntArray
    balance: FloatArray
    inventory: FloatArray
    cost: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        object.__setattr__(self, "domain", frozen(self.domain, np.int64))
        for name in ("balance", "inventory", "cost"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        if not self.names or len(set(self.names)) != len(self.names):
            raise InputError("funds need names of their own", column="names", value=self.names)
        require((self.domain >= 0) & (self.domain < len(self.names)), self.domain, "is not a fund", "domain")
        shape = (len(self.names), len(self.domain))
        for name in ("inventory", "cost", "balance"):
            found = getattr(self, name)
            if found.shape != shape if name != "balance" else found.shape[:1] != shape[:1] or found.ndim != 2:
                raise InputError(f"has shape {found.shape}, expected {shape[0]} funds", column=name)
            require(np.isfinite(found).ravel(), found.ravel(), "must be a finite number", name)

    @classmethod
    def of(
        cls, table: InstrumentTable, domains: Mapping[str, str], balances: Mapping[str, Mapping[str, float]]
    ) -> InsuranceFunds:
        """Funds from the name of the one that covers each symbol, and the money of each by asset.

        Raises
        ------
        InputError
            A symbol without a fund, an unknown fund or asset, a balance that is negative.
        """
        names = tuple(balances)
        missing = [symbol for symbol in table.symbols if symbol not in domains]
        if missing:
            raise InputError("is covered by no fund", column="symbol", value=missing[0])
        domain = positions_of(names, [domains[symbol] for symbol in table.symbols], "fund")
        money = np.zeros((len(names), len(table.assets)))
        for row, held in enumerate(balances.values()):
            for asset, amount in held.items():
                if not amount >= 0:
                    raise InputError("must not be negative", row=row, column=f"balance {asset}", value=amount)
                money[row, table.asset_index_of([asset])[0]] = amount
        nothing = np.zeros((len(names), len(table)))
        return cls(names, domain, money, nothing, nothing)

    @classmethod
    def by_settlement(cls, table: InstrumentTable, balances: Mapping[str, float]) -> InsuranceFunds:
        """One fund for each settlement asset, named after it."""
        domains = {symbol: table.assets[table.settlement[i]] for i, symbol in enumerate(table.symbols)}
        needed = sorted(set(domains.values()), key=table.assets.index)
        return cls.of(table, domains, {asset: {asset: balances.get(asset, 0.0)} for asset in needed})

    @classmethod
    def by_instrument(cls, table: InstrumentTable, balances: Mapping[str, float]) -> InsuranceFunds:
        """One fund for each instrument, as venues have for isolated markets; balances in the settlement asset."""
        held = {
            symbol: {table.assets[table.settlement[i]]: balances.get(symbol, 0.0)}
            for i, symbol in enumerate(table.symbols)
        }
        return cls.of(table, {symbol: symbol for symbol in table.symbols}, held)

    def __len__(self) -> int:
        return len(self.names)
