"""What a stress does to a book, its venue and the insurance funds, step by step through the default waterfall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..accounts import AccountBook
from ..arrays import BoolArray, FloatArray, frozen
from ..errors import InputError
from ..instruments import INVERSE, InstrumentTable
from ..margin import Stage, evaluate
from ..market import MarketState
from ..rulebook import RuleBook
from ..waterfall.depth import DepthBook
from ..waterfall.events import EventKind
from ..waterfall.funds import InsuranceFunds
from ..waterfall.money import UNIT
from ..waterfall.procedure import LiquidationProcedure
from ..waterfall.waterfall import WaterfallResult, run_waterfall
from .path import StressPath

CLOSED = (EventKind.FILL, EventKind.TAKEOVER, EventKind.ADL)
"""Events that close contracts of the pool they are told of."""


@dataclass(frozen=True)
class StressSetting:
    """Everything a stress is run on.

    Parameters
    ----------
    book, market, rules
        The pools, the market the stress starts from and the margin rules.
    procedure
        What the venue does with a pool in breach.
    depth
        The order books around the marks of `market`.
    funds
        The insurance funds.
    """

    book: AccountBook
    market: MarketState
    rules: RuleBook
    procedure: LiquidationProcedure
    depth: DepthBook
    funds: InsuranceFunds


@dataclass(frozen=True)
class StressOutcome:
    """What was left after a stress; money in the base asset.

    Parameters
    ----------
    path
        The stress.
    liquidated, bankrupt
        Whether each pool in breach was closed in part or whole, by orders, takeover or ADL, and whether it was ever
        worth less than nothing, shape (n_pools,).
    closed, deleveraged
        Value sold into or bought from order books, and closed against other positions by ADL, shape (n_steps,).
    fund
        Value of all funds after each step, their inventory at the mark, shape (n_steps,).
    fund_before
        The same before the first.
    paid_by_funds, socialised, uncovered
        Debts of bankrupt pools by who bore them: funds (what they gave for takeovers beyond the mark included),
        pools in profit, nobody; shape (n_steps,).
    equity_before, equity
        Sum of positive equity over pools before and after.
    settled
        No pool is in breach after the last step, at the prices the venue sees.
    """

    path: StressPath
    liquidated: BoolArray
    bankrupt: BoolArray
    closed: FloatArray
    deleveraged: FloatArray
    fund: FloatArray
    fund_before: float
    paid_by_funds: FloatArray
    socialised: FloatArray
    uncovered: FloatArray
    equity_before: float
    equity: float
    settled: bool

    def __post_init__(self) -> None:
        for name in ("closed", "deleveraged", "fund", "paid_by_funds", "socialised", "uncovered"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        for name in ("liquidated", "bankrupt"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.bool_))

    @property
    def fund_held(self) -> bool:
        """Whether the funds were enough: nobody was deleveraged, no debt shared or left, and money remains."""
        beyond = self.deleveraged.sum() + self.socialised.sum() + self.uncovered.sum()
        return bool(beyond == 0 and self.fund.min() > 0)


@dataclass(frozen=True)
class _Step:
    """Figures of one step, base asset."""

    closed: float
    deleveraged: float
    fund: float
    paid_by_funds: float
    socialised: float
    uncovered: float


def run_stress(setting: StressSetting, path: StressPath) -> StressOutcome:
    """Take a book through a stress.

    In each step the venue judges pools at the prices it sees; orders meet books centred on the true prices, thinned as
    the path says. Books are whole again at every step. Where nothing trades, nothing happens but to prices. Each step
    is a waterfall of its own: money is exact within it, and rounded to 1e-8 for each pool and position between two.

    Raises
    ------
    InputError
        A path of other instruments or assets, and what `run_waterfall` refuses.

    Examples
    --------
    A long of 1 bought at 100 with 20 of its own owes 10 more than it has at 70. The fund can bear 5 of it; for the rest
    the short on the other side is closed at the bankruptcy price of 80:

    >>> import datetime as dt
    >>> from ..instruments import InstrumentTable
    >>> from ..rulebook import RateSchedule
    >>> from .path import price_path
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["long", "short"], ["m"] * 2, [""] * 2, [0, 1, 2], [0, 0], [20.0, 100.0],
    ...     [0, 1, 2], [0, 0], [1.0, -1.0], [100.0, 100.0], [np.nan, np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> procedure = LiquidationProcedure("example", dt.date(2024, 1, 1), "whole", "absolute_profit")
    >>> depth = DepthBook.of(table, {"BTC": ([(99.9, 9.0)], [(100.1, 9.0)])})
    >>> funds = InsuranceFunds.by_settlement(table, {"USDT": 5.0})
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0])
    >>> setting = StressSetting(book, market, rules, procedure, depth, funds)
    >>> outcome = run_stress(setting, price_path("fall", "to 70", [0.7], table))
    >>> outcome.liquidated.tolist(), outcome.bankrupt.tolist(), outcome.fund_held
    ([True, False], [True, False], False)
    """
    _require_fit(setting, path)
    _require_funds_priced(setting)
    pools, table = len(setting.book), setting.book.instruments
    book, funds, settled = setting.book, setting.funds, True
    liquidated, bankrupt = np.zeros(pools, dtype=np.bool_), np.zeros(pools, dtype=np.bool_)
    steps = []
    for step in range(len(path)):
        true, seen = path.at(setting.market, step), path.seen(setting.market, step)
        if not path.trading[step]:
            steps.append(_Step(0.0, 0.0, float(fund_values(funds, table, true).sum()), 0.0, 0.0, 0.0))
            settled = bool((evaluate(book, seen, setting.rules).stage < Stage.LIQUIDATION).all())
            continue
        depth = depth_at(setting.depth, path.mark[step], float(path.depth[step]))
        result = run_waterfall(book, seen, setting.rules, setting.procedure, depth, funds)
        steps.append(_figures(result, true))
        touched = np.isin(result.events.kind, CLOSED)
        liquidated[result.events.pool[touched]] = True
        bankrupt |= result.worst_stage == Stage.BANKRUPT
        book, funds, settled = result.book, result.funds, result.settled
    columns = {name: [getattr(step, name) for step in steps] for name in _Step.__dataclass_fields__}
    return StressOutcome(
        path=path,
        liquidated=liquidated,
        bankrupt=bankrupt,
        fund_before=float(fund_values(setting.funds, table, setting.market).sum()),
        equity_before=_positive_equity(setting.book, setting.market, setting.rules),
        equity=_positive_equity(book, path.at(setting.market, len(path) - 1), setting.rules),
        settled=settled,
        **columns,  # type: ignore[arg-type]  # lists of numbers become arrays
    )


def run_stresses(setting: StressSetting, paths: Sequence[StressPath]) -> list[StressOutcome]:
    """Each stress on the same setting, one by one."""
    return [run_stress(setting, path) for path in paths]


def depth_at(depth: DepthBook, factor: FloatArray, share: float) -> DepthBook:
    """Order books moved with the price of each instrument and thinned; `share` may be above 1."""
    bid, ask = (np.repeat(factor, np.diff(pointer)) for pointer in (depth.bid_pointer, depth.ask_pointer))
    return replace(
        depth,
        bid_price=depth.bid_price * bid,
        ask_price=depth.ask_price * ask,
        bid_size=depth.bid_size * share,
        ask_size=depth.ask_size * share,
    )


def fund_values(funds: InsuranceFunds, table: InstrumentTable, market: MarketState) -> FloatArray:
    """What each fund is worth, base asset, with what it carries at the mark, shape (n_funds,).

    NaN where a fund holds something that has no price; what nobody holds needs none.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> funds = InsuranceFunds(("one",), [0], [[50.0]], [[2.0]], [[190.0]])
    >>> fund_values(funds, table, MarketState(np.datetime64("2024-01-01"), [90.0], [1.0])).tolist()
    [40.0]
    """
    held = np.where(funds.inventory == 0.0, 0.0, funds.inventory * _unit_values(table, market)) - funds.cost
    index, settled = market.index, market.index[table.settlement]
    money = np.where(funds.balance == 0.0, 0.0, funds.balance * index)
    return np.asarray(money.sum(axis=1) + np.where(held == 0.0, 0.0, held * settled).sum(axis=1))


def _unit_values(table: InstrumentTable, market: MarketState) -> FloatArray:
    """Value of one contract of each instrument, settlement asset."""
    inverse = table.kind == INVERSE
    return np.where(inverse, -table.multiplier / market.mark, table.multiplier * market.mark)


def _figures(result: WaterfallResult, market: MarketState) -> _Step:
    table, events = result.book.instruments, result.events
    amount, worth = events.units / UNIT * market.index[events.asset], _unit_values(table, market)
    notional = np.abs(events.contracts / UNIT * worth[events.instrument])
    notional = notional * market.index[table.settlement[events.instrument]]
    kinds = {kind: events.kind == kind for kind in EventKind}
    paid = -np.minimum(amount[kinds[EventKind.TAKEOVER]], 0.0).sum() + np.abs(amount[kinds[EventKind.FUND_PAID]]).sum()
    return _Step(
        closed=float(notional[kinds[EventKind.FILL]].sum()),
        deleveraged=float(notional[kinds[EventKind.ADL]].sum()),
        fund=float(fund_values(result.funds, table, market).sum()),
        paid_by_funds=float(paid),
        socialised=float(np.abs(amount[kinds[EventKind.SOCIALISED]]).sum()),
        uncovered=float(np.abs(amount[kinds[EventKind.UNCOVERED]]).sum()),
    )


def _require_fit(setting: StressSetting, path: StressPath) -> None:
    shapes = (("mark", len(setting.book.instruments)), ("index", len(setting.book.instruments.assets)))
    for name, wanted in shapes:
        if getattr(path, name).shape[1] != wanted:
            problem = f"the stress {path.name} has {getattr(path, name).shape[1]} columns, the book {wanted}"
            raise InputError(problem, column=name)


def _require_funds_priced(setting: StressSetting) -> None:
    worth = fund_values(setting.funds, setting.book.instruments, setting.market)
    if np.isnan(worth).any():
        name = setting.funds.names[int(np.argmax(np.isnan(worth)))]
        raise InputError(f"holds something without a price at {setting.market.time}", column="funds", value=name)


def _positive_equity(book: AccountBook, market: MarketState, rules: RuleBook) -> float:
    return float(np.maximum(evaluate(book, market, rules).equity, 0.0).sum())
