"""The margin core: what an account is worth, when it is liquidated. Same input, same bits."""

from .account_summary import AccountSummary, summarise
from .accounts import CROSS, AccountBook
from .dated_files import RuleBookFile, list_rulebooks
from .distance_to_bankruptcy import LiquidationGap, liquidation_gap, zero_equity_price
from .errors import CorruptModelError, InputError, MargincastError
from .exposure import Exposure, linearise, linearise_at
from .first_passage import Outcome, first_passage
from .funding import FundingSchedule, accrued_funding, continuous_funding, funding_payment, predicted_rate
from .instruments import INVERSE, LINEAR, InstrumentTable
from .interest import compound_interest, hourly_interest, rollover_interest, simple_interest, with_interest
from .largest_order import largest_order
from .liquidation_price import cross_liquidation_price, liquidation_price
from .live_margin import LiveMargin
from .margin import MarginState, Stage, evaluate, is_breached
from .market import UNIT_INDEX, MarketHistory, MarketState
from .open_orders import OpenOrders, reserved_balance, with_orders_filled, worst_contribution, worst_quantity
from .pre_trade import OrderPreview, Orders, Refusal, preview_orders
from .price_pyramid import PricePyramid, build_pyramid
from .price_surface import PriceAxis, PriceSurface, price_surface
from .priced_bars import priced_bars
from .priced_tiers import priced_rules
from .records import book_from_records
from .result_stamp import Stamp, stamp_of
from .rulebook import HaircutSchedule, RateSchedule, RuleBook
from .rulebook_file import load_rulebook, read_rulebook, rulebook_hash, with_generic
from .size_rates import SizeRate, SizeRateRules, evaluate_by_size, load_size_rates, read_size_rates
from .solvency import (
    InclusionProof,
    LiabilitiesRoot,
    LiabilitiesTree,
    Liability,
    SolvencyReport,
    solvency_report,
    verify_inclusion,
)
from .sub_accounts import merged, netted, split, transfer, withdrawable
from .tier_tables import Tier, schedule_from_leverage, schedule_from_tiers, schedules_from_brackets
from .unified_file import load_unified, read_unified
from .unified_margin import UnifiedRules, UnifiedState, evaluate_unified
from .what_if import with_deposit, with_fill, with_hedge, with_leg_reduction, with_reduction, with_transfer

__all__ = [
    "AccountBook",
    "AccountSummary",
    "CROSS",
    "CorruptModelError",
    "Exposure",
    "FundingSchedule",
    "HaircutSchedule",
    "INVERSE",
    "InclusionProof",
    "InputError",
    "InstrumentTable",
    "LINEAR",
    "LiabilitiesRoot",
    "LiabilitiesTree",
    "Liability",
    "LiquidationGap",
    "LiveMargin",
    "MarginState",
    "MargincastError",
    "MarketHistory",
    "MarketState",
    "OpenOrders",
    "OrderPreview",
    "Orders",
    "Outcome",
    "PriceAxis",
    "PricePyramid",
    "PriceSurface",
    "RateSchedule",
    "Refusal",
    "RuleBook",
    "RuleBookFile",
    "SizeRate",
    "SizeRateRules",
    "SolvencyReport",
    "Stage",
    "Stamp",
    "Tier",
    "UNIT_INDEX",
    "UnifiedRules",
    "UnifiedState",
    "accrued_funding",
    "book_from_records",
    "build_pyramid",
    "compound_interest",
    "continuous_funding",
    "cross_liquidation_price",
    "evaluate",
    "evaluate_by_size",
    "evaluate_unified",
    "first_passage",
    "funding_payment",
    "hourly_interest",
    "is_breached",
    "largest_order",
    "linearise",
    "linearise_at",
    "liquidation_gap",
    "liquidation_price",
    "list_rulebooks",
    "load_rulebook",
    "load_size_rates",
    "load_unified",
    "merged",
    "netted",
    "predicted_rate",
    "preview_orders",
    "price_surface",
    "priced_bars",
    "priced_rules",
    "read_rulebook",
    "read_size_rates",
    "read_unified",
    "reserved_balance",
    "rollover_interest",
    "rulebook_hash",
    "schedule_from_leverage",
    "schedule_from_tiers",
    "schedules_from_brackets",
    "simple_interest",
    "solvency_report",
    "split",
    "stamp_of",
    "summarise",
    "transfer",
    "verify_inclusion",
    "with_deposit",
    "with_fill",
    "with_generic",
    "with_hedge",
    "with_interest",
    "with_leg_reduction",
    "with_orders_filled",
    "with_reduction",
    "with_transfer",
    "withdrawable",
    "worst_contribution",
    "worst_quantity",
    "zero_equity_price",
]
