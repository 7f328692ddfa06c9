"""HARQ: heterogeneous autoregression that trusts the last day less when it was badly measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .scale import HarScale


@dataclass(frozen=True)
class RealisedMeasures:
    """What a forecast of volatility starts from; rows are one series at one time, windows rise in length.

    Parameters
    ----------
    variance
        Mean realised variance of a bar over each trailing window, positive, shape (m, n_windows).
    quarticity
        Mean realised quarticity of a bar, estimating the integrated fourth power of volatility, shape (m, n_windows).
    other
        Further regressors, such as logs of volatility by another estimator, shape (m, k).
    names
        Of the windows and of the others, in this order.
    """

    variance: FloatArray
    quarticity: FloatArray
    other: FloatArray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        rows, windows = self.variance.shape
        if windows < 2 or self.quarticity.shape != (rows, windows) or len(self.other) != rows:
            problem = f"needs two windows or more of variance and quarticity, got shapes {self.variance.shape}"
            raise InputError(f"{problem} and {self.quarticity.shape}", column="variance")
        if len(self.names) != windows + self.other.shape[1]:
            raise InputError("must name each window and each other regressor", column="names", value=self.names)

    def __len__(self) -> int:
        return len(self.variance)


def harq_regressors(measures: RealisedMeasures) -> tuple[FloatArray, list[str]]:
    """Log volatility of each window, the error term of each but the longest, and the others; (m, k) and their names.

    The error term of a window is sqrt(quarticity) / variance, its relative error of measurement but for a constant,
    times how far its log volatility is from the longest window's: a negative coefficient shrinks a badly measured
    window towards the long one. In the levels of the source the term is sqrt(quarticity) * variance.

    Source: T. Bollerslev, A. Patton and R. Quaedvlieg, Exploiting the errors: a simple approach for improved volatility
    forecasting, J. Econometrics 192 (2016): "HARQ-F", here in logs so that units do not matter.

    Examples
    --------
    Log volatilities 1 and 0, relative error 0.5:

    >>> two = np.array([[np.e**2, 1.0]])
    >>> measures = RealisedMeasures(two, np.array([[0.25 * np.e**4, 1.0]]), np.zeros((1, 0)), ("24h", "720h"))
    >>> harq_regressors(measures)[0].round(6).tolist()
    [[1.0, 0.0, 0.5]]
    """
    windows = measures.variance.shape[1]
    logs = 0.5 * np.log(measures.variance)
    error = np.sqrt(measures.quarticity) / measures.variance
    terms = error[:, :-1] * (logs[:, :-1] - logs[:, -1:])
    named, others = measures.names[:windows], measures.names[windows:]
    names = [f"log_realised_{name}" for name in named] + [f"error_{name}" for name in named[:-1]]
    return np.hstack((logs, terms, measures.other)), [*names, *others]


class HarqScale:
    """Log of the coming scale by least squares on realised measures, pooled over series.

    Attributes
    ----------
    regression_
        The fitted regression; its `names_` and `coefficients_` (intercept first) belong together.
    """

    regression_: HarScale

    def fit(self, measures: RealisedMeasures, target: FloatArray) -> HarqScale:
        """Fit to the log scale that came, shape (m,); rows with a NaN are left out, too few left raise InputError."""
        columns, names = harq_regressors(measures)
        self.regression_ = HarScale().fit(columns, target, names)
        return self

    def predict(self, measures: RealisedMeasures) -> FloatArray:
        """Log scale of each row, shape (m,); NaN where a measure is NaN."""
        return self.regression_.predict(harq_regressors(measures)[0])

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"regression": self.regression_.state()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> HarqScale:
        """The model as it was when `state` was taken."""
        model = cls()
        model.regression_ = HarScale.from_state(state["regression"])
        return model
