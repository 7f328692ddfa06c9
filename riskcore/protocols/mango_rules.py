"""Rules of Mango v4, and their dated files: weights of tokens and perpetuals by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, positions_of
from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from ..toml_section import located
from .mango import PerpTerms, TokenTable
from .named_tables import read_named_tables

MODEL = "mango_v4"
"""Name of the model in rule-book files, and of the venue that comes with margincast."""


@dataclass(frozen=True)
class TokenWeights:
    """Weights of one token, and the group totals (reference token) from which initial weights are scaled; 0: never."""

    init_asset: float
    maint_asset: float
    init_liability: float
    maint_liability: float
    deposit_scale_start: float = 0.0
    borrow_scale_start: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise InputError("must not be negative", column=name, value=value)
        if self.init_asset > self.maint_asset:
            raise InputError("must not exceed maint_asset", column="init_asset", value=self.init_asset)
        if not 1 <= self.maint_liability <= self.init_liability:
            raise InputError("must be in [1, init_liability]", column="maint_liability", value=self.maint_liability)


@dataclass(frozen=True)
class PerpWeights:
    """Weights of one perpetual and the token it settles in."""

    lot_size: float
    init_base_asset: float
    init_base_liability: float
    maint_base_asset: float
    maint_base_liability: float
    init_overall: float
    maint_overall: float
    settle_token: str

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "settle_token" and not 0 <= value < np.inf:
                raise InputError("must not be negative", column=name, value=value)
        if not self.init_base_asset <= self.maint_base_asset <= 1 <= self.maint_base_liability:
            raise InputError("must be ordered about one", column="maint_base_asset", value=self.maint_base_asset)
        if self.maint_base_liability > self.init_base_liability:
            problem = "must not be below maint_base_liability"
            raise InputError(problem, column="init_base_liability", value=self.init_base_liability)


@dataclass(frozen=True)
class MangoRules:
    """Tokens and perpetuals in force from a day; `sources` by section."""

    venue: str
    effective_from: dt.date
    tokens: Mapping[str, TokenWeights]
    perps: Mapping[str, PerpWeights]
    sources: Mapping[str, str]

    def __post_init__(self) -> None:
        positions_of(tuple(self.tokens), [perp.settle_token for perp in self.perps.values()], "settle_token")

    def table(
        self,
        names: Sequence[str],
        price: ArrayLike,
        stable_price: ArrayLike | None = None,
        deposits: ArrayLike | None = None,
        borrows: ArrayLike | None = None,
        potential_deposits: ArrayLike | None = None,
    ) -> TokenTable:
        """Prices and group totals of tokens, in the order named, with their weights."""
        positions_of(tuple(self.tokens), names, "token")
        weights = [self.tokens[name] for name in names]

        def column(key: str) -> FloatArray:
            return np.array([getattr(weight, key) for weight in weights], np.float64)

        weighed = {key: column(key) for key in ("init_asset", "maint_asset", "init_liability", "maint_liability")}
        starts = {key: column(key) for key in ("deposit_scale_start", "borrow_scale_start")}
        totals = {"deposits": deposits, "borrows": borrows, "potential_deposits": potential_deposits}
        given = {"stable_price": stable_price, **totals}
        return TokenTable(
            price=np.asarray(price, np.float64),
            **weighed,
            **{key: np.where(start > 0, start, np.inf) for key, start in starts.items()},
            **{key: np.asarray(value, np.float64) for key, value in given.items() if value is not None},
        )

    def perp(self, name: str, names: Sequence[str], price: float, stable_price: float | None = None) -> PerpTerms:
        """Terms of a perpetual at a price, settled in one of the tokens named."""
        positions_of(tuple(self.perps), [name], "perp")
        held = self.perps[name]
        place = int(positions_of(names, [held.settle_token], "settle_token")[0])
        base = (held.init_base_asset, held.init_base_liability, held.maint_base_asset, held.maint_base_liability)
        return PerpTerms(price, held.lot_size, *base, held.init_overall, held.maint_overall, place, stable_price)


def read_mango_rules(path: str | Path) -> MangoRules:
    """Rules from a file with `model = "mango_v4"`; what is wrong with it is an InputError that names file and key."""
    top, venue, start = read_dated(path, MODEL, "tokens", "perps")
    tokens, perps = top.sourced("tokens", "table"), top.sourced("perps", "table")
    with located(top):
        return MangoRules(
            venue,
            start,
            read_named_tables(tokens, "table", TokenWeights),
            read_named_tables(perps, "table", PerpWeights),
            {part.name: part.told for part in (tokens, perps)},
        )


def load_mango_rules(at: dt.date | None = None) -> MangoRules:
    """The rules that come with margincast in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> rules = load_mango_rules()
    >>> rules.table(["quote", "base"], [1.0, 5.0]).asset_price("init").tolist()
    [0.8, 2.5]
    """
    return read_mango_rules(rulebook_in_force(MODEL, at).path)
