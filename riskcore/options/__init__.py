"""European options: values, sensitivities, and what venues and regulators ask for short ones."""

from .black76 import value
from .black_scholes import SpotGreeks, spot_greeks, spot_value
from .greeks import Greeks, greeks
from .implied_volatility import implied_volatility
from .option_holdings import OptionHoldings, OptionMargin, evaluate_options
from .option_table import OptionTable
from .passage import OptionSeries, option_first_passage
from .short_option import ShortOptionRules, ShortRate, load_short_option_rules, read_short_option_rules
from .strategy_book import StrategyBook
from .strategy_matcher import Strategy, StrategyMatch, match_strategies
from .strategy_rules import StrategyRules, load_strategy_rules, read_strategy_rules

__all__ = [
    "Greeks",
    "OptionHoldings",
    "OptionMargin",
    "OptionSeries",
    "OptionTable",
    "ShortOptionRules",
    "ShortRate",
    "SpotGreeks",
    "Strategy",
    "StrategyBook",
    "StrategyMatch",
    "StrategyRules",
    "evaluate_options",
    "greeks",
    "implied_volatility",
    "load_short_option_rules",
    "load_strategy_rules",
    "match_strategies",
    "option_first_passage",
    "read_short_option_rules",
    "read_strategy_rules",
    "spot_greeks",
    "spot_value",
    "value",
]
