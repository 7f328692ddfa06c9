"""Portfolio margin: risk arrays over scenarios, SPAN, ISDA SIMM, value at risk and expected shortfall."""

from .attribution import MarginAttribution, attribute_margin
from .contracts import (
    INVERSE,
    INVERSE_OPTION,
    LINEAR,
    OPTION,
    SPOT,
    ContractPrices,
    ContractTable,
    PositionBook,
    contract_prices,
    contract_table,
    contracts_of_instruments,
    contracts_of_options,
)
from .correlation_breakdown import CorrelationBreakdown, correlation_breakdown
from .deribit_pm import DeribitMargin, DeribitRules, DeribitUnit, deribit_margin
from .deribit_pm_file import load_deribit_rules, read_deribit_rules
from .liquidity_addon import (
    ClosingCost,
    ClosingRule,
    ConcentrationAddon,
    MarketDepth,
    closing_cost,
    concentration_addon,
)
from .margin_comparison import MarginComparison, compare_margins
from .okx_pm import OkxMargin, okx_margin
from .okx_pm_file import load_okx_rules, read_okx_rules
from .okx_pm_rules import OkxRules, OkxUnit
from .paradex_pm import ParadexMargin, ParadexRules, load_paradex_rules, paradex_margin, read_paradex_rules
from .portfolio_rule import Charges, CorrelationTable, OffsetGroup, PortfolioRule, UnitRule
from .portfolio_rule_file import load_portfolio_rule, read_portfolio_rule
from .risk_arrays import RiskArrays, reprice, risk_arrays
from .scenario_grid import ScenarioGrid, VolatilityShock
from .scenario_margin import ScenarioMargin, scenario_margin
from .simm import SimmAddOns, SimmMargin, simm_margin
from .simm_parameters import SimmParameters
from .simm_rules_file import load_simm_rules, read_simm_rules
from .simm_sensitivities import Sensitivities
from .span import SpanMargin, SpanPositions, scan_risk, span_margin, span_positions
from .span_arrays import SpanScan, futures_array, options_array
from .span_file import load_span_rules, read_span_rules
from .span_rules import SpanRules
from .value_at_risk import expected_shortfall, shortfall_by_leg, value_at_risk
from .value_at_risk_margin import TailMargin, TailRule, pool_profits, tail_margin
from .value_at_risk_scenarios import (
    ScenarioSet,
    filtered_returns,
    forecast_volatility,
    linear_scenarios,
    overlapping_returns,
)

__all__ = [
    "Charges",
    "ClosingCost",
    "ClosingRule",
    "ConcentrationAddon",
    "ContractPrices",
    "ContractTable",
    "CorrelationBreakdown",
    "CorrelationTable",
    "DeribitMargin",
    "DeribitRules",
    "DeribitUnit",
    "INVERSE",
    "INVERSE_OPTION",
    "LINEAR",
    "MarginAttribution",
    "MarginComparison",
    "MarketDepth",
    "OPTION",
    "OffsetGroup",
    "OkxMargin",
    "OkxRules",
    "OkxUnit",
    "ParadexMargin",
    "ParadexRules",
    "PortfolioRule",
    "PositionBook",
    "RiskArrays",
    "SPOT",
    "ScenarioGrid",
    "ScenarioMargin",
    "ScenarioSet",
    "Sensitivities",
    "SimmAddOns",
    "SimmMargin",
    "SimmParameters",
    "SpanMargin",
    "SpanPositions",
    "SpanRules",
    "SpanScan",
    "TailMargin",
    "TailRule",
    "UnitRule",
    "VolatilityShock",
    "attribute_margin",
    "closing_cost",
    "compare_margins",
    "concentration_addon",
    "contract_prices",
    "contract_table",
    "contracts_of_instruments",
    "contracts_of_options",
    "correlation_breakdown",
    "deribit_margin",
    "expected_shortfall",
    "filtered_returns",
    "forecast_volatility",
    "futures_array",
    "linear_scenarios",
    "load_deribit_rules",
    "load_okx_rules",
    "load_paradex_rules",
    "load_portfolio_rule",
    "load_simm_rules",
    "load_span_rules",
    "okx_margin",
    "options_array",
    "overlapping_returns",
    "paradex_margin",
    "pool_profits",
    "read_deribit_rules",
    "read_okx_rules",
    "read_paradex_rules",
    "read_portfolio_rule",
    "read_simm_rules",
    "read_span_rules",
    "reprice",
    "risk_arrays",
    "scan_risk",
    "scenario_margin",
    "shortfall_by_leg",
    "simm_margin",
    "span_margin",
    "span_positions",
    "tail_margin",
    "value_at_risk",
]
