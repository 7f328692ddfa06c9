"""A history of chains as series: one row a chain and feature, and the same brought to the times of bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...riskcore.arrays import FloatArray, TimeArray, frozen
from ...riskcore.errors import InputError
from .chain import OptionChain
from .declarations import NAMES
from .implied import implied_surface
from .measures import measure
from .quality import ChainQuality, QualityRules


@dataclass(frozen=True)
class ChainSeries:
    """Features of a history of chains, one row a chain.

    Parameters
    ----------
    symbols
        Underlying of each chain, length m.
    quoted, known
        Instant of each chain's quotes, and when the chain could be used, UTC, shape (m,); rising for each symbol.
    values
        Features in the order of `declarations.DECLARATIONS`, shape (m, n_features).
    quality
        What was wrong with the quotes of all of them.

    Raises
    ------
    InputError
        Chains of a symbol that do not come in rising order.
    """

    symbols: tuple[str, ...]
    quoted: TimeArray
    known: TimeArray
    values: FloatArray
    quality: ChainQuality

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        for name in ("quoted", "known"):
            object.__setattr__(self, name, frozen(getattr(self, name), "datetime64[ns]"))
        object.__setattr__(self, "values", frozen(self.values, np.float64))
        for symbol in sorted(set(self.symbols)):
            rows = self.rows_of(symbol)
            for name in ("quoted", "known"):
                falls = np.flatnonzero(np.diff(getattr(self, name)[rows]) <= np.timedelta64(0))
                if len(falls):
                    row = int(rows[falls[0] + 1])
                    raise InputError(f"chains of {symbol} must come in rising order", row=row, column=name)

    def rows_of(self, symbol: str) -> np.ndarray:
        """Numbers of the chains of one underlying."""
        return np.flatnonzero(np.array(self.symbols, np.str_) == symbol)

    def frame(self) -> pd.DataFrame:
        """Rows (timestamp, symbol, name, value), the timestamp being when the chain was known; NaN values left out."""
        rows, columns = np.nonzero(np.isfinite(self.values))
        return pd.DataFrame(
            {
                "timestamp": pd.DatetimeIndex(self.known[rows], tz="UTC"),
                "symbol": np.array(self.symbols, np.str_)[rows],
                "name": np.array(NAMES)[columns],
                "value": self.values[rows, columns],
            }
        )

    def as_of(self, times: TimeArray, symbols: Sequence[str], max_age: np.timedelta64) -> FloatArray:
        """Features as known at instants: what `ChainStep.read` gives there, in every bit.

        Parameters
        ----------
        times
            UTC, shape (t,).
        symbols
            Underlyings wanted; one without chains is NaN.
        max_age
            Age of a chain's quotes beyond which its features are NaN.

        Returns
        -------
        FloatArray
            Shape (t, len(symbols), n_features).
        """
        now = np.asarray(times, "datetime64[ns]")
        out = np.full((len(now), len(symbols), self.values.shape[1]), np.nan)
        for place, symbol in enumerate(symbols):
            rows = self.rows_of(symbol)
            latest = np.searchsorted(self.known[rows], now, side="right") - 1
            seen = np.flatnonzero(latest >= 0)
            chosen = rows[latest[seen]]
            fresh = now[seen] - self.quoted[chosen] <= max_age
            out[seen[fresh], place] = self.values[chosen[fresh]]
        return out


def chain_series(chains: Iterable[OptionChain], rules: QualityRules | None = None) -> ChainSeries:
    """Compute the features of chains, in the order in which they come.

    Raises
    ------
    InputError
        No chains; chains of an underlying that do not come in rising order.

    Examples
    --------
    >>> from .chain_rows import chain_from_rows
    >>> rows = {"expiry": "2024-02-01", "strike": 100.0, "right": [-1, 1], "open_interest": [3.0, 4.0]}
    >>> noon = np.datetime64("2024-01-01T12:00")
    >>> series = chain_series([chain_from_rows("BTC", noon, rows)])
    >>> series.frame().query("name == 'put_call_open_interest'")["value"].tolist()
    [0.75]
    """
    symbols, quoted, known, values, quality = [], [], [], [], ChainQuality(0, 0, {})
    for chain in chains:
        surface = implied_surface(chain, rules)
        symbols.append(chain.underlying)
        quoted.append(chain.time)
        known.append(chain.known)
        values.append(measure(surface))
        quality += surface.quality
    if not symbols:
        raise InputError("there are no chains")
    return ChainSeries(tuple(symbols), np.array(quoted), np.array(known), np.array(values), quality)
