"""The whole forecaster: every baseline and the hybrid, fitted to one market and able to forecast any book on it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from ..features.market_data import MarketData
from ..models.account_boosting import AccountBooster, logit
from ..models.calibration import TemperatureScaling
from ..models.climatology import Climatology
from ..models.historical import FilteredHistorical, TouchFrequency
from ..models.intervals import DayBlockInterval
from ..models.reflection import EwmaReflection
from ..models.sample import AccountSample, ScaleField, certain_where_breached, never_falling
from ..models.spike import SpikeErrors
from ..models.structural_logit import StructuralLogit
from ..riskcore.arrays import FloatArray
from .reference import Reference
from .scales import ScaleForecaster
from .structural_models import STRUCTURAL_MODELS, StructuralModels

STRUCTURAL = {"fhs": "blend", "fhs_har": "har", "fhs_learned": "learned"}
"""Historical simulations by name, and the scale each is filtered by."""
NAMES = ("climatology", "touch_366d", "ewma_reflection", *STRUCTURAL, *STRUCTURAL_MODELS, "lightgbm", "hybrid")
ONLY_COMPARED = ("touch_366d", *STRUCTURAL_MODELS)
"""Baselines the hybrid does not need: forecast only where a whole market is given, for evaluations."""
STACKED = ("fhs_learned", "fhs_har", "fhs")
"""Structural models whose log odds the stacked forecast is made of; the first is bent by BENDING."""
HYBRID_WEIGHTS = {"stacked": 0.4, "correction": 0.4, "lightgbm": 0.2}
"""Weights of log odds in the hybrid, fixed in advance: picking the best member on a validation block was less safe."""


class LiquidationForecaster:
    """Fitted models, with one way to ask all of them; made by `fit_forecaster` or from a stored state.

    Attributes
    ----------
    horizons
        In bars.
    scales_, historical_, climatology_, stack_, lightgbm_, correction_, calibration_
        The fitted parts; `stack_` is one logistic regression a horizon, `correction_` boosts on top of its log odds.
    columns_
        Features of the accounts it was fitted on, by name; boosters are fed some of them.
    baselines_
        Structural models that the hybrid is compared with and has no part in.
    intervals_
        Of the hybrid's probabilities, one a horizon.
    spike_errors_
        How the learned scale erred over each horizon, from which the probability of a volatility spike follows.
    reference_
        The training sample in short, which drift and range are judged by.
    about_
        What it was fitted on, for provenance.
    """

    def __init__(self, horizons: tuple[int, ...], threads: int = 1) -> None:
        self.horizons, self.threads = horizons, threads
        self.scales_: ScaleForecaster
        self.historical_: dict[str, FilteredHistorical] = {}
        self.climatology_: Climatology
        self.columns_: tuple[str, ...]
        self.baselines_: StructuralModels
        self.stack_: list[StructuralLogit] = []
        self.lightgbm_: AccountBooster
        self.correction_: AccountBooster
        self.calibration_: list[TemperatureScaling] = []
        self.intervals_: list[DayBlockInterval] = []
        self.spike_errors_: list[SpikeErrors] = []
        self.about_: dict[str, Any] = {}
        self.reference_: Reference | None = None

    def structural(self, sample: AccountSample, fields: Mapping[str, ScaleField]) -> dict[str, FloatArray]:
        """Probabilities of the historical simulations, by name, each (n, n_horizons)."""
        return {name: self.historical_[name].predict(sample, fields[scale]) for name, scale in STRUCTURAL.items()}

    def predict(
        self,
        sample: AccountSample,
        fields: Mapping[str, ScaleField],
        market: MarketData | None = None,
    ) -> dict[str, FloatArray]:
        """Probabilities of every model, by name, each (n, n_horizons), never falling with the horizon.

        `market` is what the pools are seen on; it is needed for ONLY_COMPARED, which are left out without it.
        """
        out = {"climatology": self.climatology_.predict(sample), "ewma_reflection": EwmaReflection().predict(sample)}
        if market is not None:
            out["touch_366d"] = TouchFrequency(threads=self.threads).predict(sample, market.history)
            out |= self.baselines_.predict(sample, market)
        out |= self.structural(sample, fields)
        rich = with_structural(sample, out)
        out["lightgbm"] = self.lightgbm_.predict(sample)
        start = self.stacked(sample, out)
        stacked = certain_where_breached(never_falling(expit(start)), sample.exposure)
        members = {"stacked": stacked, "lightgbm": out["lightgbm"], "correction": self.correction_.predict(rich, start)}
        out["hybrid"] = self.calibrated(self.mix(members), sample)
        return out

    def stacked(self, sample: AccountSample, structural: Mapping[str, FloatArray]) -> FloatArray:
        """Log odds of the stacked forecast, (n, n_horizons)."""
        return stacked_scores(self.stack_, sample, structural)

    @staticmethod
    def mix(members: Mapping[str, FloatArray]) -> FloatArray:
        """Weighted mean of the members' log odds, as probabilities that never fall with the horizon."""
        scores = [weight * logit(members[name]) for name, weight in HYBRID_WEIGHTS.items()]
        return never_falling(expit(np.sum(scores, axis=0)))

    def calibrated(self, probability: FloatArray, sample: AccountSample) -> FloatArray:
        """Calibrated probabilities, still never falling with the horizon; 1 where already in breach."""
        columns = [c.predict(probability[:, k]) for k, c in enumerate(self.calibration_)]
        return certain_where_breached(never_falling(np.column_stack(columns)), sample.exposure)

    def aligned(self, symbols: Sequence[str]) -> LiquidationForecaster:
        """The forecaster for a market with these series, in this order.

        A series it was not fitted on borrows the standardised paths of others (`PathLibrary.standardised`).
        """
        fitted = list(self.about_["symbols"])
        if fitted == list(symbols):
            return self
        places = np.array([fitted.index(s) if s in fitted else -1 for s in symbols])
        out = copy.copy(self)
        out.historical_ = {name: model.reordered(places) for name, model in self.historical_.items()}
        out.climatology_ = self.climatology_.reordered(places)
        out.baselines_ = self.baselines_.aligned(symbols)
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs: numbers, arrays and text."""
        return {
            "horizons": list(self.horizons),
            "scales": self.scales_.state(),
            "historical": {name: model.state() for name, model in self.historical_.items()},
            "climatology": self.climatology_.state(),
            "columns": list(self.columns_),
            "baselines": self.baselines_.state(),
            "stack": [one.state() for one in self.stack_],
            "lightgbm": self.lightgbm_.state(),
            "correction": self.correction_.state(),
            "calibration": [c.state() for c in self.calibration_],
            "intervals": [i.state() for i in self.intervals_],
            "spike_errors": [e.state() for e in self.spike_errors_],
            "about": self.about_,
            "reference": None if self.reference_ is None else self.reference_.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], threads: int = 1) -> LiquidationForecaster:
        """The forecaster as it was when `state` was taken."""
        model = cls(tuple(int(h) for h in state["horizons"]), threads)
        model.scales_ = ScaleForecaster.from_state(state["scales"])
        model.historical_ = {n: FilteredHistorical.from_state(s) for n, s in state["historical"].items()}
        model.scales_.set_threads(threads)
        for simulation in model.historical_.values():
            simulation.threads = threads
        model.climatology_ = Climatology.from_state(state["climatology"])
        model.columns_ = tuple(state["columns"])
        model.baselines_ = StructuralModels.from_state(state["baselines"], threads)
        model.stack_ = [StructuralLogit.from_state(s) for s in state["stack"]]
        model.lightgbm_ = AccountBooster.from_state(state["lightgbm"])
        model.correction_ = AccountBooster.from_state(state["correction"])
        model.lightgbm_.threads = model.correction_.threads = threads
        model.calibration_ = [TemperatureScaling.from_state(s) for s in state["calibration"]]
        model.intervals_ = [DayBlockInterval.from_state(s) for s in state["intervals"]]
        model.spike_errors_ = [SpikeErrors.from_state(s) for s in state["spike_errors"]]
        model.about_ = dict(state["about"])
        reference = state.get("reference")
        model.reference_ = None if reference is None else Reference.from_state(reference)
        return model


def stacked_scores(
    stack: Sequence[StructuralLogit], sample: AccountSample, structural: Mapping[str, FloatArray]
) -> FloatArray:
    """Log odds of fitted regressions, one a horizon, on probabilities of the STACKED models, (n, n_horizons)."""
    columns = [one.scores(structural_odds(structural, k), sample.columns(one.columns_)) for k, one in enumerate(stack)]
    return np.column_stack(columns)


def structural_odds(structural: Mapping[str, FloatArray], horizon: int) -> FloatArray:
    """Log odds of the STACKED models at a horizon, (n, n_models)."""
    return np.column_stack([logit(structural[name][:, horizon]) for name in STACKED])


def with_structural(sample: AccountSample, probabilities: Mapping[str, FloatArray]) -> AccountSample:
    """The sample with the log odds of the historical simulations as further features."""
    names, columns = list(sample.feature_names), [sample.features]
    for model in STRUCTURAL:
        for k, horizon in enumerate(sample.horizons):
            names.append(f"logit_{model}_{horizon}")
            columns.append(logit(probabilities[model][:, k])[:, None])
    return AccountSample(sample.bar, sample.exposure, sample.horizons, np.hstack(columns), tuple(names))
