"""Estimators: arrays in, probabilities or quantiles out. None scores itself."""

from .account_boosting import AccountBooster
from .calibration import BetaCalibration
from .climatology import Climatology
from .historical import FilteredHistorical, TouchFrequency
from .liquidation_cost import execution_cost
from .margin_conformal import AdaptiveConformal, RollingConformal
from .margin_quantiles import EwmaNormal, HistoricalSimulation, LossSeries, QuantileModel, StaticRate
from .margin_quantiles import FilteredHistorical as FilteredHistoricalMargin
from .paths import PathLibrary, breach_probability, collect_paths
from .procyclicality import LongFloor, StepLimit, StressBuffer, StressWeight, Tempered
from .reflection import EwmaReflection, touch_probability
from .sample import AccountSample, ScaleField
from .scale import HarScale, LearnedScale

__all__ = [
    "AccountBooster",
    "AccountSample",
    "AdaptiveConformal",
    "BetaCalibration",
    "Climatology",
    "EwmaNormal",
    "EwmaReflection",
    "FilteredHistorical",
    "FilteredHistoricalMargin",
    "HarScale",
    "HistoricalSimulation",
    "LearnedScale",
    "LongFloor",
    "LossSeries",
    "PathLibrary",
    "QuantileModel",
    "RollingConformal",
    "ScaleField",
    "StaticRate",
    "StepLimit",
    "StressBuffer",
    "StressWeight",
    "Tempered",
    "TouchFrequency",
    "breach_probability",
    "collect_paths",
    "execution_cost",
    "touch_probability",
]
