"""Back-test of one-day quantile methods on tables of returns, with a conformal shift learned on the first 70%."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..models.margin_conformal import AdaptiveConformal, RollingConformal, conformal_shift
from ..models.margin_quantiles import (
    EwmaNormal,
    FilteredHistorical,
    HistoricalSimulation,
    LossSeries,
    QuantileModel,
)
from ..models.procyclicality import LongFloor, StressBuffer, StressWeight, Tempered
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .coverage_tests import Zone, basel_zone, christoffersen, kupiec, pinball
from .return_table import read_frame, read_returns

CALIBRATION_SHARE = 0.7

METHODS: Mapping[str, QuantileModel] = {
    "Hist-Sim": HistoricalSimulation(250),
    "EWMA": EwmaNormal(),
    "HS-500": HistoricalSimulation(500, minimum=250),
    "FHS-.97": FilteredHistorical(decay=0.97),
    "FHS-.99": FilteredHistorical(decay=0.99),
    "FHS-.97 tail": FilteredHistorical(decay=0.97, tail_share=0.1),
    "FHS-.97+buffer": Tempered(FilteredHistorical(decay=0.97), StressBuffer()),
    "FHS-.97+stress": Tempered(FilteredHistorical(decay=0.97), StressWeight()),
    "FHS-.97+floor": Tempered(FilteredHistorical(decay=0.97), LongFloor(2520)),
    "RC-250": RollingConformal(EwmaNormal()),
    "ACI-.01": AdaptiveConformal(EwmaNormal()),
}
"""Methods by the name they have in the result; Hist-Sim and EWMA as in published results."""


@dataclass(frozen=True)
class BacktestRow:
    """One method on one symbol. The suffix _conformal is the quantile moved by `conformal_shift`.

    Parameters
    ----------
    n_calibration, n_test
        Forecast days that the shift is learned on, and the later ones that everything else is measured on.
    violations, violations_conformal
        Days whose return fell below the quantile.
    conformal_shift
        What is taken off the quantile of the return, log return.
    kupiec_p, kupiec_p_conformal, independence_p, basel_zone
        Tests, see `coverage_tests`; the last two of the quantile as it was.
    quantile_score, quantile_score_conformal
        Mean pinball loss.
    """

    n_calibration: int
    n_test: int
    violations: int
    violations_conformal: int
    conformal_shift: float
    kupiec_p: float
    kupiec_p_conformal: float
    independence_p: float
    basel_zone: Zone
    quantile_score: float
    quantile_score_conformal: float


def backtest_series(returns: FloatArray, model: QuantileModel, tail: float) -> BacktestRow:
    """Walk a model forward over one series of returns.

    Parameters
    ----------
    returns
        Log returns, oldest first, shape (m,).
    model
        What forecasts the loss of the next period.
    tail
        Probability of the lower tail, such as 0.01.

    Raises
    ------
    InputError
        Too few returns for a calibration and a test part, a tail outside (0, 0.5).
    """
    if not 0 < tail < 0.5:
        raise InputError("must be in (0, 0.5), such as 0.01", column="level", value=tail)
    level = 1 - tail
    series = LossSeries.of_returns(returns)
    margin = model.predict(series, level)[:-1]
    known = np.flatnonzero(np.isfinite(margin))
    split = int(len(known) * CALIBRATION_SHARE)
    if split < 1 or split == len(known):
        problem = f"{len(known)} forecast days are too few to calibrate and test {model.name}"
        raise InputError(problem, column="log_return", value=len(returns))
    calibration, test = known[:split], known[split:]
    shift = conformal_shift(series.losses[calibration], margin[calibration], level)
    losses, quantile = series.losses[test], margin[test]
    misses, misses_conformal = losses > quantile, losses > quantile + shift
    count, count_conformal, n = int(misses.sum()), int(misses_conformal.sum()), len(test)
    return BacktestRow(
        n_calibration=split,
        n_test=n,
        violations=count,
        violations_conformal=count_conformal,
        conformal_shift=shift,
        kupiec_p=kupiec(count, n, tail).p_value,
        kupiec_p_conformal=kupiec(count_conformal, n, tail).p_value,
        independence_p=christoffersen(misses, tail).independence.p_value,
        basel_zone=basel_zone(count, n, tail),
        quantile_score=float(pinball(losses, quantile, level).mean()),
        quantile_score_conformal=float(pinball(losses, quantile + shift, level).mean()),
    )


def backtest(
    returns: str | Path, level: float = 0.01, methods: Mapping[str, QuantileModel] | None = None
) -> dict[str, dict[str, dict[str, object]]]:
    """Back-test methods on every symbol of a table of returns.

    Parameters
    ----------
    returns
        File with columns symbol, date, log_return; see `read_returns`.
    level
        Probability of the lower tail: 0.01 for a 99% one-day VaR.
    methods
        Models by name; None takes `METHODS`.

    Returns
    -------
    dict
        {SYMBOL: {METHOD: fields of `BacktestRow`}}, fit for JSON.
    """
    table = read_returns(returns)
    models = METHODS if methods is None else methods
    return {
        symbol: {name: _row(symbol, values, model, level) for name, model in models.items()}
        for symbol, values in table.returns.items()
    }


def _row(symbol: str, values: FloatArray, model: QuantileModel, level: float) -> dict[str, object]:
    try:
        return asdict(backtest_series(values, model, level))
    except InputError as failure:
        raise InputError(f"{symbol}: {failure.problem}", column=failure.column, value=failure.value) from None


@dataclass(frozen=True)
class VarTableDifference:
    """How far one published row is from ours: counts and p-values by their difference, the rest relatively."""

    symbol: str
    method: str
    violations: int
    violations_conformal: int
    conformal_shift: float
    kupiec_p: float
    quantile_score: float

    @property
    def agrees(self) -> bool:
        """Counts equal, the shift and the p-value within 1e-6, and the score relatively."""
        return (
            self.violations == self.violations_conformal == 0
            and max(abs(self.conformal_shift), abs(self.kupiec_p), abs(self.quantile_score)) < 1e-6
        )


def var_table_check(folder: str | Path, methods: Sequence[str] = ("Hist-Sim", "EWMA")) -> list[VarTableDifference]:
    """Compare with published one-day VaR results: ours minus theirs for every symbol and method they have.

    Parameters
    ----------
    folder
        Holds returns.parquet and published.csv.
    methods
        Methods whose published rows can be reproduced exactly.
    """
    published = read_frame(Path(folder) / "published.csv")
    rows = published[published["model"].isin(methods)].to_dict("records")
    models = {name: METHODS[name] for name in methods}
    tails = sorted({float(row["alpha"]) for row in rows})
    ours = {tail: backtest(Path(folder) / "returns.parquet", tail, models) for tail in tails}
    return [_difference(row, ours[float(row["alpha"])][row["symbol"]][row["model"]]) for row in rows]


def _difference(theirs: Mapping[Hashable, object], ours: Mapping[str, object]) -> VarTableDifference:
    def gap(mine: str, published: str) -> float:
        return float(str(ours[mine])) - float(str(theirs[published]))

    score = float(str(theirs["quantile_score_raw"]))
    return VarTableDifference(
        str(theirs["symbol"]),
        str(theirs["model"]),
        int(gap("violations", "violations_raw")),
        int(gap("violations_conformal", "violations_conformal")),
        gap("conformal_shift", "conformal_shift"),
        gap("kupiec_p", "kupiec_p_raw"),
        gap("quantile_score", "quantile_score_raw") / score,
    )
