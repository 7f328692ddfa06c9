"""Where a book of options loses most on a grid of price and volatility, and its gamma and vega there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...riskcore.arrays import FloatArray, IntArray, group_sums
from ...riskcore.stress.option_books import OptionSetting, stress_options
from ...riskcore.stress.path import price_path
from ..engine.step import Declaration

PRICE_MOVES = (-0.16, -0.12, -0.08, -0.04, 0.0, 0.04, 0.08, 0.12, 0.16)
VOLATILITY_FACTORS = (0.7, 1.0, 1.45)
"""Down and up by the shocks of 30 days of Deribit's and Derive's portfolio margin, see `VolatilityShock`."""
POINT = 0.01


@dataclass(frozen=True)
class OptionWorstPoint:
    """The worst point of the grid for each pool, and the options' sensitivities there; shape (p,).

    Parameters
    ----------
    move, volatility
        Price move and volatility factor of the point, the first of equals.
    loss
        Headroom lost there, base asset; 0 where no point costs anything.
    usage
        Loss over headroom now; infinite for a pool without headroom that can lose.
    gamma
        Change of the options' delta (value for a move by the whole price) for a move of 1% at that point, base asset:
        negative for short gamma.
    vega
        Change of the options' value for a point of volatility (1%) there, base asset.
    """

    move: FloatArray
    volatility: FloatArray
    loss: FloatArray
    usage: FloatArray
    gamma: FloatArray
    vega: FloatArray

    def over_headroom(self, headroom: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gamma and vega over the headroom now, NaN where there is none: what does not grow with the account."""
        base = np.where(headroom > 0.0, headroom, np.nan)
        return self.gamma / base, self.vega / base


def option_worst_point(
    setting: OptionSetting, moves: ArrayLike = PRICE_MOVES, factors: ArrayLike = VOLATILITY_FACTORS
) -> OptionWorstPoint:
    """Margin of pools that hold options on a grid of moves of all prices and factors of all volatilities.

    Every point is margined in full (`stress_options`: Black-76 on the mark of the underlying, no time passes). At each
    pool's worst point the Greeks of its options are added up; futures and perpetuals have neither gamma nor vega but
    count in the headroom.

    Parameters
    ----------
    setting
        Book, options, market, volatilities and rules.
    moves
        Relative moves of all marks together.
    factors
        By which every implied volatility is multiplied.

    Raises
    ------
    InputError
        What `stress_options` refuses.

    Examples
    --------
    A call sold at the money loses most at the highest price and volatility:

    >>> import datetime as dt
    >>> from ...riskcore.accounts import AccountBook
    >>> from ...riskcore.instruments import InstrumentTable
    >>> from ...riskcore.market import MarketState
    >>> from ...riskcore.options.option_holdings import OptionHoldings
    >>> from ...riskcore.options.option_table import OptionTable
    >>> from ...riskcore.options.short_option import load_short_option_rules
    >>> from ...riskcore.rulebook import RateSchedule, RuleBook
    >>> futures = InstrumentTable.linear_perpetuals(["BTC"], base="USD")
    >>> book = AccountBook(futures, ["a"], ["m"], [""], [0, 1], [0], [60.0], [0, 0], [], [], [], [])
    >>> calls = OptionTable(("C",), ("BTC",), [np.datetime64("2025-01-01")], [100.0], [1], [1.0])
    >>> held = OptionHoldings(calls, [0, 1], [0], [-1.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])}, base="USD")
    >>> market = MarketState(np.datetime64("2024-01-02"), [100.0], [1.0])
    >>> setting = OptionSetting(book, held, market, [0.5], rules, load_short_option_rules("deribit_options"))
    >>> found = option_worst_point(setting)
    >>> float(found.move[0]), float(found.volatility[0]), bool(found.gamma[0] < 0.0 > found.vega[0])
    (0.16, 1.45, True)
    """
    table, size, each = setting.book.instruments, np.atleast_1d(moves), np.atleast_1d(factors)
    move, volatility = np.repeat(size, len(each)), np.tile(each, len(size))
    path = price_path("grid", "price and volatility", 1.0 + move, table, volatility=volatility)
    headroom = stress_options(setting, path).headroom
    now = stress_options(setting, price_path("now", "as it is", [1.0], table)).headroom[0]
    worst = np.argmin(headroom, axis=0)
    loss = np.maximum(now - headroom[worst, np.arange(len(now))], 0.0)
    positive = now > 0.0
    usage = np.where(positive, loss / np.where(positive, now, 1.0), np.where(loss > 0.0, np.inf, 0.0))
    gamma, vega = _greeks(setting, move, volatility, worst)
    return OptionWorstPoint(move[worst], volatility[worst], loss, usage, gamma, vega)


def _greeks(
    setting: OptionSetting, move: FloatArray, factor: FloatArray, worst: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Gamma and vega of each pool's options at its own point, added up over its positions."""
    held, spot = setting.held, setting.market.mark[setting.underlying]
    volatility = np.asarray(setting.volatility, np.float64)
    pool, gamma, vega = held.pool, np.zeros(len(held.units)), np.zeros(len(held.units))
    for point in np.unique(worst[pool]):
        mine = worst[pool] == point
        forward = spot * (1.0 + move[point])
        one = held.contracts.greeks(setting.market.time, forward, volatility * factor[point])
        rows = held.contract[mine]
        gamma[mine] = held.units[mine] * one.gamma[rows] * forward[rows] ** 2 * POINT
        vega[mine] = held.units[mine] * one.vega[rows] * POINT
    return group_sums(pool, gamma, len(worst)), group_sums(pool, vega, len(worst))


DECLARATIONS = tuple(
    Declaration(name, summary, unit, ("close",), 0.0, missing)
    for name, summary, unit, missing in (
        (
            "option_scenario_usage",
            "Loss of headroom at the worst point of a grid of price and volatility, over the headroom",
            "fraction of headroom",
            "infinite without headroom",
        ),
        (
            "worst_gamma",
            "Change of the options' delta for 1% at that point, over the headroom",
            "fraction of headroom",
            "NaN without headroom",
        ),
        (
            "worst_vega",
            "Change of the options' value for a point of volatility at that point, over the headroom",
            "fraction of headroom",
            "NaN without headroom",
        ),
    )
)
"""What usage, gamma and vega over headroom say of themselves."""
