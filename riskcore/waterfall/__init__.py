"""From the first warning to socialised loss: closing positions, insurance funds, auto-deleveraging."""

from .adl import AdlCandidates, adl_order
from .bankruptcy import bankruptcy_price, share_equity
from .cascade import CascadeResult, SingleLegPools, run_cascade
from .depth import DepthBook
from .events import EventKind, EventLog
from .funds import InsuranceFunds
from .ledger import Ledger
from .partial_close import ClosingLeg, remaining_share, step_down_share
from .procedure import LiquidationProcedure
from .procedure_file import load_procedure, read_procedure
from .waterfall import WaterfallResult, run_waterfall

__all__ = [
    "AdlCandidates",
    "CascadeResult",
    "ClosingLeg",
    "DepthBook",
    "EventKind",
    "EventLog",
    "InsuranceFunds",
    "Ledger",
    "LiquidationProcedure",
    "SingleLegPools",
    "WaterfallResult",
    "adl_order",
    "bankruptcy_price",
    "load_procedure",
    "read_procedure",
    "remaining_share",
    "run_cascade",
    "run_waterfall",
    "share_equity",
    "step_down_share",
]
