"""Estimators: arrays in, probabilities or quantiles out. None scores itself."""

from .abstention import Answer, answer, risk_coverage
from .account_boosting import AccountBooster
from .behavioural import Standing, behavioural_probability, behavioural_share, moving_columns
from .calibration import BetaCalibration, Calibrator, PlattScaling, TemperatureScaling
from .climatology import Climatology
from .closing_cost import DepthLadder, depth_closing_cost
from .competing_risks import CauseHazards, Incidence, accumulated, cumulative_incidence
from .frailty import FactorFrailty
from .garch_fit import GarchFit, fit_garch_t
from .garch_paths import GarchPaths
from .harq_scale import HarqScale, RealisedMeasures
from .health_factor import HealthFactor, health_factor, is_alarmed
from .historical import FilteredHistorical, TouchFrequency
from .intervals import DayBlockInterval
from .joint_losses import JointLosses, joint_losses
from .joint_paths import path_probabilities, path_severity, with_marginals
from .liquidation_cost import execution_cost
from .margin_conformal import AdaptiveConformal, RollingConformal
from .margin_quantiles import EwmaNormal, HistoricalSimulation, LossSeries, QuantileModel, StaticRate
from .margin_quantiles import FilteredHistorical as FilteredHistoricalMargin
from .paths import PathLibrary, breach_probability, collect_paths
from .procyclicality import LongFloor, StepLimit, StressBuffer, StressWeight, Tempered
from .realized_garch import RealizedGarchFit, RealizedGarchScale, fit_realized_garch
from .reflection import EwmaReflection, touch_probability
from .rolling_calibration import RollingCalibration
from .row_file import RowFile
from .sample import AccountSample, ScaleField
from .scale import HarScale, LearnedScale
from .scenario_passage import ScenarioPassage, option_scenario_passage, passage_by_evaluation, scenario_passage
from .scenario_paths import ScenarioPaths, funding_ahead, scenario_paths
from .severity import Severity, equity_weights, linear_severity, severity_of
from .spike import SpikeBooster, SpikeErrors
from .streamed_booster import fit_account_booster_on_file, train_booster_on_file
from .stress_weights import stress_weights
from .structural_logit import StructuralLogit
from .tree_scorer import TreeScorer
from .venn_abers import VennAbers

__all__ = [
    "AccountBooster",
    "AccountSample",
    "AdaptiveConformal",
    "Answer",
    "BetaCalibration",
    "Calibrator",
    "CauseHazards",
    "Climatology",
    "DayBlockInterval",
    "DepthLadder",
    "EwmaNormal",
    "EwmaReflection",
    "FactorFrailty",
    "FilteredHistorical",
    "FilteredHistoricalMargin",
    "GarchFit",
    "GarchPaths",
    "HarScale",
    "HarqScale",
    "HealthFactor",
    "HistoricalSimulation",
    "Incidence",
    "JointLosses",
    "LearnedScale",
    "LongFloor",
    "LossSeries",
    "PathLibrary",
    "PlattScaling",
    "QuantileModel",
    "RealisedMeasures",
    "RealizedGarchFit",
    "RealizedGarchScale",
    "RollingCalibration",
    "RollingConformal",
    "RowFile",
    "ScaleField",
    "ScenarioPassage",
    "ScenarioPaths",
    "Severity",
    "SpikeBooster",
    "SpikeErrors",
    "Standing",
    "StaticRate",
    "StepLimit",
    "StressBuffer",
    "StressWeight",
    "StructuralLogit",
    "TemperatureScaling",
    "Tempered",
    "TouchFrequency",
    "TreeScorer",
    "VennAbers",
    "accumulated",
    "answer",
    "behavioural_probability",
    "behavioural_share",
    "breach_probability",
    "collect_paths",
    "cumulative_incidence",
    "depth_closing_cost",
    "equity_weights",
    "execution_cost",
    "fit_account_booster_on_file",
    "fit_garch_t",
    "fit_realized_garch",
    "funding_ahead",
    "health_factor",
    "is_alarmed",
    "joint_losses",
    "linear_severity",
    "moving_columns",
    "option_scenario_passage",
    "passage_by_evaluation",
    "path_probabilities",
    "path_severity",
    "risk_coverage",
    "scenario_passage",
    "scenario_paths",
    "severity_of",
    "stress_weights",
    "touch_probability",
    "train_booster_on_file",
    "with_marginals",
]
