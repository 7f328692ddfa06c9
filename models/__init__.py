"""Estimators: arrays in, probabilities or quantiles out. None scores itself."""

from .account_boosting import AccountBooster
from .calibration import BetaCalibration, Calibrator, PlattScaling, TemperatureScaling
from .climatology import Climatology
from .historical import FilteredHistorical, TouchFrequency
from .liquidation_cost import execution_cost
from .margin_conformal import AdaptiveConformal, RollingConformal
from .margin_quantiles import EwmaNormal, HistoricalSimulation, LossSeries, QuantileModel, StaticRate
from .margin_quantiles import FilteredHistorical as FilteredHistoricalMargin
from .paths import PathLibrary, breach_probability, collect_paths
from .procyclicality import LongFloor, StepLimit, StressBuffer, StressWeight, Tempered
from .reflection import EwmaReflection, touch_probability
from .rolling_calibration import RollingCalibration
from .sample import AccountSample, ScaleField
from .scale import HarScale, LearnedScale
from .stress_weights import stress_weights
from .venn_abers import VennAbers

__all__ = [
    "AccountBooster",
    "AccountSample",
    "AdaptiveConformal",
    "BetaCalibration",
    "Calibrator",
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
    "PlattScaling",
    "QuantileModel",
    "RollingCalibration",
    "RollingConformal",
    "ScaleField",
    "StaticRate",
    "StepLimit",
    "StressBuffer",
    "StressWeight",
    "TemperatureScaling",
    "Tempered",
    "TouchFrequency",
    "VennAbers",
    "breach_probability",
    "collect_paths",
    "execution_cost",
    "stress_weights",
    "touch_probability",
]
