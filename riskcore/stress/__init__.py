"""Shocks to prices, volatility, depth, correlation, pegs and oracles, and what they do to books and funds."""

from .library import (
    correlation_reversed,
    correlation_to_one,
    depeg,
    exchange_outage,
    flash_crash,
    historical_replay,
    liquidity_drought,
    oracle_outage,
    standard_stresses,
    volatility_spike,
)
from .option_books import OptionSetting, OptionStressOutcome, stress_options
from .path import StressPath, price_path
from .reverse import ReverseStress, reverse_stress
from .run import StressOutcome, StressSetting, fund_values, run_stress, run_stresses

__all__ = [
    "OptionSetting",
    "OptionStressOutcome",
    "ReverseStress",
    "StressOutcome",
    "StressPath",
    "StressSetting",
    "correlation_reversed",
    "correlation_to_one",
    "depeg",
    "exchange_outage",
    "flash_crash",
    "fund_values",
    "historical_replay",
    "liquidity_drought",
    "oracle_outage",
    "price_path",
    "reverse_stress",
    "run_stress",
    "run_stresses",
    "standard_stresses",
    "stress_options",
    "volatility_spike",
]
