"""Depeg shocks: stablecoins, or any assets, that lose part of their value against the base asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..accounts import AccountBook
from ..arrays import FloatArray
from ..errors import InputError
from ..instruments import LINEAR, InstrumentTable
from ..margin import MarginState, evaluate
from ..market import MarketState
from ..rulebook import HaircutSchedule, RuleBook


@dataclass(frozen=True)
class DepegResult:
    """Margin before a depeg and after it.

    Parameters
    ----------
    before, after
        Margin of every pool.
    loss
        Equity lost by each pool, base asset, shape (n_pools,).
    """

    before: MarginState
    after: MarginState
    loss: FloatArray


def depegged_market(
    market: MarketState, table: InstrumentTable, moves: Mapping[str, float], *, marks_follow: bool = True
) -> MarketState:
    """The market after assets have moved by given fractions against everything else.

    Parameters
    ----------
    market, table
        Prices, and the contracts and assets they belong to.
    moves
        Asset to relative move: {"USDC": -0.1, "DAI": -0.1}. The base asset may be among them: the index of every
        other asset, told in it, then rises by 1 / (1 + move).
    marks_follow
        True: a linear contract settled in an asset that moves is quoted in it, so its mark is divided by 1 + move and
        the underlying keeps its worth. False: marks stay, as when the venue's index still takes the coin at par. An
        inverse contract is quoted in fiat: its mark moves only if the coin it settles in, its underlying, does. Quanto
        contracts are not told from linear ones: shock what they settle in with False.

    Raises
    ------
    InputError
        An unknown asset, a move that is not above -1.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"], base="USDT", collateral=["USDC"])
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0, 1.0])
    >>> depegged_market(market, table, {"USDC": -0.1}).index.tolist()
    [1.0, 0.9]
    >>> shocked = depegged_market(market, table, {"USDT": -0.2})
    >>> shocked.mark.tolist(), shocked.index.tolist()
    ([125.0], [1.0, 1.25])
    """
    place = table.asset_index_of(list(moves))
    factor = np.ones(len(table.assets))
    for asset, (name, move) in zip(place, moves.items(), strict=True):
        if not (np.isfinite(move) and move > -1):
            raise InputError("must be above -1", column=f"moves {name}", value=move)
        factor[asset] = 1 + move
    settled = factor[table.settlement]
    linear = np.where(marks_follow, 1 / settled, 1.0)
    mark = market.mark * np.where(table.kind == LINEAR, linear, settled)
    return MarketState(market.time, mark, market.index * factor / factor[0])


def with_haircuts(rules: RuleBook, haircuts: Mapping[str, HaircutSchedule]) -> RuleBook:
    """The rules with these haircut schedules instead of those they have for the same assets."""
    return replace(rules, haircuts={**rules.haircuts, **haircuts})


def depeg(
    book: AccountBook,
    market: MarketState,
    rules: RuleBook,
    moves: Mapping[str, float],
    *,
    haircuts: Mapping[str, HaircutSchedule] | None = None,
    marks_follow: bool = True,
) -> DepegResult:
    """Margin of every pool before and after a depeg.

    Parameters
    ----------
    book, market, rules, moves, marks_follow
        See `evaluate` and `depegged_market`.
    haircuts
        What the venue re-sets haircuts to in response; None leaves them as they are. The second blow often falls on
        those who would have survived the first.

    Raises
    ------
    InputError
        As `evaluate` and `depegged_market`.

    Examples
    --------
    1,000 USDC at 95%: 950; a fall by a tenth leaves 855, and 450 once the haircut is re-set to a half.

    >>> import datetime as dt
    >>> from ..rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"], collateral=["USDC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [1], [1000.0], [0, 0], [], [], [], [])
    >>> schedule = {"BTC": RateSchedule.marginal([0.0], [0.004], [125.0])}
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), schedule, {"USDC": HaircutSchedule([0.0], [0.95])})
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0, 1.0])
    >>> depeg(book, market, rules, {"USDC": -0.1}).loss.round(9).tolist()
    [95.0]
    >>> reset = {"USDC": HaircutSchedule([0.0], [0.5])}
    >>> depeg(book, market, rules, {"USDC": -0.1}, haircuts=reset).after.equity.tolist()
    [450.0]
    """
    before = evaluate(book, market, rules)
    shocked = depegged_market(market, book.instruments, moves, marks_follow=marks_follow)
    after = evaluate(book, shocked, with_haircuts(rules, haircuts or {}))
    return DepegResult(before, after, before.equity - after.equity)
