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
from .engine.bars import BarTable, nanoseconds
from .engine.feature_set import FeatureSet
from .engine.feed import PRICES
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
            close stand for the last prices too where these have no column of their own. Any order of rows; two instants
            at least, which say how far bars are apart.
        y
            Not used.

        Raises
        ------
        InputError
            A column or bar that is missing or there twice, bars that are not equally spaced, a value that is no number
            or infinite, a price that is not positive, a name that is no feature.
        """
        table, _ = _table_of(X, None)
        self.feature_set_ = self.features(table)
        self.columns_ = tuple(str(name) for name in X.columns.drop(list(KEYS)))
        self.names_ = tuple(self.feature_set_.names if self.names is None else self.names)
        strange = [name for name in self.names_ if name not in self.feature_set_.names]
        if strange:
            raise InputError("is not a feature of these bars", column="names", value=strange[0])
        self.step_ = table.step
        return self

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Features of each row of X, shape (len(X), len(names))."""
        check_is_fitted(self)
        lacking = [name for name in self.columns_ if name not in X]
        if lacking:
            raise InputError("was there at fit and is missing now", column=lacking[0])
        table, places = _table_of(X[[*(key for key in KEYS if key in X), *self.columns_]], self.step_)
        if table.step != self.step_:
            found, fitted = (f"{nanoseconds(step) / 3.6e12:g} h" for step in (table.step, self.step_))
            raise InputError(f"bars are {found} long, at fit they were {fitted}", column="timestamp")
        frame = self.feature_set_.batch(table)
        kept = [self.feature_set_.names.index(name) for name in self.names_]
        values: npt.NDArray[np.float64] = frame.values[places[:, 0], places[:, 1]][:, kept]
        return values

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the columns of `transform`."""
        check_is_fitted(self)
        return np.array(self.names_, object)


def _table_of(frame: pd.DataFrame, usual: np.timedelta64 | None) -> tuple[BarTable, npt.NDArray[np.int64]]:
    """The bars as a table, and for each row of the frame its bar and symbol there; `usual`: the step of a lone bar."""
    stamps, symbols, names = _keys_of(frame)
    times = np.unique(stamps)
    if len(times) < 2 and usual is None:
        raise InputError("needs two instants, to see how far bars are apart", column="timestamp", value=str(times[0]))
    step: Any = usual if len(times) < 2 else _most_frequent(np.diff(times))
    off = np.flatnonzero((stamps - times[0]) % step != np.timedelta64(0, "ns"))
    if len(off):
        raise InputError("bars are not equally spaced", row=int(off[0]), column="timestamp", value=str(stamps[off[0]]))
    bars = (stamps - times[0]) // step
    _require_once(stamps, bars, symbols, names)
    grid = times[0] + np.arange(int(bars.max()) + 1) * step
    columns = {}
    for name in frame.columns.drop(list(KEYS)):
        values = np.full((len(grid), len(names)), np.nan)
        values[bars, symbols] = _numbers_of(frame[name], str(name))
        columns[str(name)] = values
    return BarTable(grid, step, tuple(map(str, names)), _with_last(columns)), np.stack([bars, symbols], axis=1)


def _most_frequent(values: Any) -> Any:
    found, counts = np.unique(values, return_counts=True)
    return found[np.argmax(counts)]


def _keys_of(frame: pd.DataFrame) -> tuple[Any, Any, Any]:
    """Instants in UTC, the place of each row's symbol among the symbols, and these."""
    for key in KEYS:
        if key not in frame:
            raise InputError("is missing", column=key)
    if frame.empty:
        raise InputError("needs rows", column="timestamp")
    if not isinstance(frame["timestamp"].dtype, pd.DatetimeTZDtype):
        raise InputError("timestamps need a time zone", column="timestamp", value=str(frame["timestamp"].iloc[0]))
    for key in KEYS:
        unknown = np.flatnonzero(frame[key].isna())
        if len(unknown):
            raise InputError("is missing", row=int(unknown[0]), column=key)
    stamps = frame["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ns]")
    return stamps, *pd.factorize(frame["symbol"], sort=True)


def _numbers_of(column: pd.Series, name: str) -> npt.NDArray[np.float64]:
    """A column of bars as numbers; NaN is a gap."""
    try:
        values: npt.NDArray[np.float64] = column.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise InputError("must be numbers", column=name, value=str(column.iloc[0])) from None
    wrong, problem = np.isinf(values), "must be finite"
    if name in PRICES and not wrong.any():
        wrong, problem = values <= 0.0, "price must be positive"
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(problem, row=row, column=name, value=float(values[row]))
    return values


def _require_once(stamps: Any, bars: Any, symbols: Any, names: Any) -> None:
    twice = np.flatnonzero(pd.Series(bars * len(names) + symbols).duplicated().to_numpy())
    if len(twice):
        row = int(twice[0])
        raise InputError("timestamp and symbol stand there twice", row=row, column="timestamp", value=str(stamps[row]))


def _with_last(columns: Mapping[str, Any]) -> dict[str, Any]:
    own = {f"last_{name}": columns[name] for name in LAST if name in columns}
    return own | dict(columns)
