"""The margin core: what an account is worth, when it is liquidated. Same input, same bits."""

from .account_summary import AccountSummary, summarise
from .accounts import CROSS, AccountBook
from .dated_files import RuleBookFile, list_rulebooks
from .errors import CorruptModelError, InputError, MargincastError
from .exposure import Exposure, linearise, linearise_at
from .first_passage import Outcome, first_passage
from .instruments import INVERSE, LINEAR, InstrumentTable
from .interest import hourly_interest, rollover_interest
from .liquidation_price import cross_liquidation_price, liquidation_price
from .margin import MarginState, Stage, evaluate, is_breached
from .market import UNIT_INDEX, MarketHistory, MarketState
from .price_pyramid import PricePyramid, build_pyramid
from .records import book_from_records
from .rulebook import HaircutSchedule, RateSchedule, RuleBook
from .rulebook_file import load_rulebook, read_rulebook, rulebook_hash, with_generic
from .tier_tables import Tier, schedule_from_leverage, schedule_from_tiers, schedules_from_brackets
from .what_if import with_deposit, with_reduction

__all__ = [
    "AccountBook",
    "AccountSummary",
    "CROSS",
    "CorruptModelError",
    "Exposure",
    "HaircutSchedule",
    "INVERSE",
    "InputError",
    "InstrumentTable",
    "LINEAR",
    "MarginState",
    "MargincastError",
    "MarketHistory",
    "MarketState",
    "Outcome",
    "PricePyramid",
    "RateSchedule",
    "RuleBook",
    "RuleBookFile",
    "Stage",
    "Tier",
    "UNIT_INDEX",
    "book_from_records",
    "build_pyramid",
    "cross_liquidation_price",
    "evaluate",
    "first_passage",
    "hourly_interest",
    "is_breached",
    "linearise",
    "linearise_at",
    "liquidation_price",
    "list_rulebooks",
    "load_rulebook",
    "read_rulebook",
    "rollover_interest",
    "rulebook_hash",
    "schedule_from_leverage",
    "schedule_from_tiers",
    "schedules_from_brackets",
    "summarise",
    "with_deposit",
    "with_generic",
    "with_reduction",
]
