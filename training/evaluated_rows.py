"""Forecasts and outcomes of tested accounts with what slices are cut by: all that scores are made of, in arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..riskcore.accounts import CROSS
from ..riskcore.arrays import BoolArray, FloatArray, IntArray, group_sums
from ..riskcore.errors import InputError
from ..riskcore.instruments import INVERSE
from ..riskcore.market import UNIT_INDEX
from .dataset import Dataset
from .market_regime import volatility_rank
from .market_view import MarketView

TRAITS = ("distance", "leverage", "legs", "coin", "isolated", "net", "volatility_rank")


@dataclass(frozen=True)
class EvaluatedRows:
    """Rows that models are judged on; those of several tests can be joined.

    Parameters
    ----------
    said
        Probabilities by model, each (n, n_horizons).
    breached
        1, 0 or NaN (not known), (n, n_horizons).
    day
        Day number of each row, (n,).
    lead_hours
        Hours from the forecast to the liquidation within the longest horizon; NaN where there was none, (n,).
    shortfall
        Loss beyond collateral at that liquidation, base asset, (n,).
    traits
        What slices are cut by, by the names of TRAITS, each (n,); NaN where not known. `legs` is a number, `coin` and
        `isolated` are 0 or 1, `net` is the signed notional of the positions.
    """

    said: Mapping[str, FloatArray]
    breached: FloatArray
    day: IntArray
    lead_hours: FloatArray
    shortfall: FloatArray
    traits: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.day)

    def known(self, horizon: int) -> BoolArray:
        """Rows whose outcome and every forecast are known at a horizon, by its place."""
        said = np.column_stack([p[:, horizon] for p in self.said.values()])
        return np.asarray(np.isfinite(self.breached[:, horizon]) & np.isfinite(said).all(axis=1))

    def take(self, rows: IntArray) -> EvaluatedRows:
        """These rows, in this order."""
        return EvaluatedRows(
            {name: p[rows] for name, p in self.said.items()},
            self.breached[rows],
            self.day[rows],
            self.lead_hours[rows],
            self.shortfall[rows],
            {name: values[rows] for name, values in self.traits.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[EvaluatedRows]) -> EvaluatedRows:
        """The rows of several tests, one after the other; all must hold the same models."""
        first = parts[0]
        if any(set(part.said) != set(first.said) for part in parts):
            raise InputError("are not the same in every part", column="models")
        return cls(
            {name: np.concatenate([part.said[name] for part in parts]) for name in first.said},
            np.concatenate([part.breached for part in parts]),
            np.concatenate([part.day for part in parts]),
            np.concatenate([part.lead_hours for part in parts]),
            np.concatenate([part.shortfall for part in parts]),
            {name: np.concatenate([part.traits[name] for part in parts]) for name in TRAITS},
        )

    def arrays(self) -> dict[str, Any]:
        """What `from_arrays` needs, flat: names and arrays."""
        plain = {name: getattr(self, name) for name in ("breached", "day", "lead_hours", "shortfall")}
        said = {f"said.{name}": p for name, p in self.said.items()}
        return plain | said | {f"trait.{name}": values for name, values in self.traits.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], file: Path | None = None) -> EvaluatedRows:
        """The rows that `arrays` was made of; `file` is named where something is missing."""
        plain = ("breached", "day", "lead_hours", "shortfall")
        missing = [n for n in (*plain, *(f"trait.{t}" for t in TRAITS)) if n not in arrays]
        if missing:
            raise InputError("lacks an array of evaluated rows", file=file, column=missing[0])
        return cls(
            said={n.removeprefix("said."): np.asarray(v) for n, v in arrays.items() if n.startswith("said.")},
            traits={name: np.asarray(arrays[f"trait.{name}"]) for name in TRAITS},
            **{name: np.asarray(arrays[name]) for name in plain},
        )


def evaluated_rows(view: MarketView, data: Dataset, said: Mapping[str, FloatArray]) -> EvaluatedRows:
    """Rows of a data set with what each model said of them."""
    outcome, longest = data.outcome, data.sample.horizons[-1]
    breached = outcome.within(longest)
    # to the end of the bar of the breach: within an hourly bar the lead may be an hour shorter
    lead = (outcome.breach_bar - outcome.start + 1) * view.data.bar_hours
    return EvaluatedRows(
        dict(said),
        data.breached,
        data.day,
        np.where(breached, lead, np.nan),
        np.where(breached, outcome.shortfall, 0.0),
        account_traits(view, data),
    )


def account_traits(view: MarketView, data: Dataset) -> dict[str, FloatArray]:
    """What slices are cut by, as known when each account was seen."""
    book, sample, history = data.book, data.sample, view.history
    table, pool = book.instruments, book.position_pool
    mark = history.close[sample.bar[pool] - 1, history.mark_series[book.position_instrument]]
    price = np.where(table.kind[book.position_instrument] == INVERSE, 1.0, mark)
    notional = book.quantity * table.multiplier[book.position_instrument] * price
    in_coin = history.index_series[book.balance_asset] != UNIT_INDEX
    holder = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer))
    coins = group_sums(holder, (in_coin & (book.balance != 0)).astype(np.float64), len(book))
    return {
        "distance": sample.column("distance_ewma"),
        "leverage": sample.column("leverage"),
        "legs": np.diff(book.position_pointer).astype(np.float64),
        "coin": (coins > 0).astype(np.float64),
        "isolated": (book.isolated != CROSS).astype(np.float64),
        "net": group_sums(pool, notional, len(book)),
        "volatility_rank": volatility_rank(view.data)[sample.bar],
    }
