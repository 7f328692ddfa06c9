"""Features as a scikit-learn transformer: bars in a DataFrame in, features in a DataFrame out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..riskcore.errors import InputError
from .engine.bars import BarTable
from .engine.feature_set import FeatureSet
from .panel import panel_features

KEYS = ("timestamp", "symbol")
LAST = ("open", "high", "low", "close")


class FeatureTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Features of bars in long form, one row in, one row out, as known when the row's bar closed.

    There is nothing to learn: `fit` only looks at which columns, symbols and bar length there are. `transform` sees the
    bars it is given and no others, so a window needs its history among them. Pipelines, `set_output` and cloning work.

    Parameters
    ----------
    features
        Makes the feature set for a table; default: the panel the shipped models are fed.
    names
        Features to keep, in this order; default: all.

    Attributes
    ----------
    feature_set_ : FeatureSet
        The features of the fitted bars.
    columns_ : tuple of str
        Bar columns that were there at fit, which `transform` needs too.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=30, freq="h", tz="UTC")
    >>> bars = pd.DataFrame({"timestamp": times, "symbol": "BTC", "volume": 1.0})
    >>> bars = bars.assign(**{name: 100.0 + np.arange(30.0) for name in ("open", "high", "low", "close")})
    >>> one = FeatureTransformer(names=["return_24h"]).fit_transform(bars)
    >>> float(one[-1, 0].round(6)) == float(np.log(129 / 105).round(6))
    True
    """

    def __init__(
        self,
        features: Callable[[BarTable], FeatureSet] = panel_features,
        names: Sequence[str] | None = None,
    ) -> None:
        self.features, self.names = features, names

    def fit(self, X: pd.DataFrame, y: object = None) -> FeatureTransformer:
        """Look at the bars.

        Parameters
        ----------
        X
            Columns timestamp (UTC, the bar's open), symbol, and those of `engine.bars.COLUMNS`; open, high, low and
            close stand for the last prices too where these have no column of their own. Any order of rows.
        y
            Not used.

        Raises
        ------
        InputError
            A column or bar that is missing or there twice, bars that are not equally spaced, a name that is no feature.
        """
        table, _ = _table_of(X)
        self.feature_set_ = self.features(table)
        self.columns_ = tuple(table.columns)
        self.names_ = tuple(self.feature_set_.names if self.names is None else self.names)
        strange = [name for name in self.names_ if name not in self.feature_set_.names]
        if strange:
            raise InputError("is not a feature of these bars", column="names", value=strange[0])
        self.step_ = table.step
        return self

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Features of each row of X, shape (len(X), len(names))."""
        check_is_fitted(self)
        table, places = _table_of(X)
        lacking = [name for name in self.columns_ if name not in table.columns]
        if lacking:
            raise InputError("was there at fit and is missing now", column=lacking[0])
        if table.step != self.step_:
            raise InputError(f"bars are {table.step} long, at fit they were {self.step_}", column="timestamp")
        columns = {name: table.columns[name] for name in self.columns_}
        frame = self.feature_set_.batch(BarTable(table.times, table.step, table.symbols, columns))
        kept = [self.feature_set_.names.index(name) for name in self.names_]
        values: npt.NDArray[np.float64] = frame.values[places[:, 0], places[:, 1]][:, kept]
        return values

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the columns of `transform`."""
        check_is_fitted(self)
        return np.array(self.names_, object)


def _table_of(frame: pd.DataFrame) -> tuple[BarTable, npt.NDArray[np.int64]]:
    """The bars as a table, and for each row of the frame its bar and symbol there."""
    for key in KEYS:
        if key not in frame:
            raise InputError("is missing", column=key)
    if frame.empty:
        raise InputError("needs rows", column="timestamp")
    if not isinstance(frame["timestamp"].dtype, pd.DatetimeTZDtype):
        raise InputError("timestamps need a time zone", column="timestamp", value=str(frame["timestamp"].iloc[0]))
    stamps = frame["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ns]")
    symbols, names = pd.factorize(frame["symbol"], sort=True)
    times = np.unique(stamps)
    step = np.diff(times).min() if len(times) > 1 else np.timedelta64(1, "h").astype("timedelta64[ns]")
    grid = times[0] + np.arange(int((times[-1] - times[0]) // step) + 1) * step
    bars = np.searchsorted(grid, stamps)
    _require_once(grid, stamps, bars, symbols, names)
    columns = {}
    for name in frame.columns.drop(list(KEYS)):
        values = np.full((len(grid), len(names)), np.nan)
        values[bars, symbols] = frame[name].to_numpy(np.float64)
        columns[str(name)] = values
    return BarTable(grid, step, tuple(map(str, names)), _with_last(columns)), np.stack([bars, symbols], axis=1)


def _require_once(grid: Any, stamps: Any, bars: Any, symbols: Any, names: Any) -> None:
    off = np.flatnonzero(grid[np.minimum(bars, len(grid) - 1)] != stamps)
    if len(off):
        raise InputError("bars are not equally spaced", row=int(off[0]), column="timestamp", value=str(stamps[off[0]]))
    twice = np.flatnonzero(pd.Series(bars * len(names) + symbols).duplicated().to_numpy())
    if len(twice):
        row = int(twice[0])
        raise InputError("timestamp and symbol stand there twice", row=row, column="timestamp", value=str(stamps[row]))


def _with_last(columns: Mapping[str, Any]) -> dict[str, Any]:
    own = {f"last_{name}": columns[name] for name in LAST if name in columns}
    return own | dict(columns)
