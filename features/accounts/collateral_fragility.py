"""What falling collateral coins and wider haircuts take of a pool's headroom when the market falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...riskcore.accounts import AccountBook
from ...riskcore.arrays import FloatArray, require, require_shape
from ...riskcore.errors import InputError
from ...riskcore.instruments import InstrumentTable
from ...riskcore.margin import MarginState, evaluate
from ...riskcore.market import MarketState
from ...riskcore.rulebook import HaircutSchedule, RuleBook
from ..engine.step import Declaration


@dataclass(frozen=True)
class CollateralShock:
    """A fall of the market together with its collateral.

    Parameters
    ----------
    marks
        Relative move of each instrument's mark, shape (n_instruments,).
    assets
        Relative move of each asset's price in the base asset, shape (n_assets,); 0 for the base asset.
    wider
        By how much the haircut of each asset widens, as by a venue in stress, shape (n_assets,); 0 for the base asset.

    Raises
    ------
    InputError
        A move that is not above -1, a haircut that narrows or widens by more than 1.
    """

    marks: FloatArray
    assets: FloatArray
    wider: FloatArray

    def __post_init__(self) -> None:
        for name in ("marks", "assets"):
            move = np.asarray(getattr(self, name), np.float64)
            require((move > -1.0) & np.isfinite(move), move, "must be above -1", name)
            object.__setattr__(self, name, move)
        wider = np.asarray(self.wider, np.float64)
        require((wider >= 0.0) & (wider <= 1.0), wider, "must be in [0, 1]", "wider")
        object.__setattr__(self, "wider", wider)
        for name in ("assets", "wider"):
            if getattr(self, name)[0] != 0.0:
                raise InputError("the base asset neither moves nor has its haircut widened", row=0, column=name)

    @classmethod
    def fall(
        cls, table: InstrumentTable, size: float, wider: float = 0.0, stable: tuple[str, ...] = ()
    ) -> CollateralShock:
        """Every mark and every asset but the base asset and stable coins falls by `size`, haircuts widen by `wider`.

        Examples
        --------
        >>> table = InstrumentTable.linear_perpetuals(["BTC"], collateral=["BTC", "USDC"])
        >>> shock = CollateralShock.fall(table, 0.2, 0.05, stable=("USDC",))
        >>> shock.marks.tolist(), shock.assets.tolist(), shock.wider.tolist()
        ([-0.2], [0.0, -0.2, 0.0], [0.0, 0.05, 0.0])
        """
        falls = np.array([asset not in (table.base, *stable) for asset in table.assets])
        return cls(np.full(len(table), -size), np.where(falls, -size, 0.0), np.where(falls, wider, 0.0))


@dataclass(frozen=True)
class CollateralFragility:
    """Headroom of each pool and what the shock leaves of it, base asset, shape (p,).

    Parameters
    ----------
    headroom
        Before the shock.
    marks_only
        After it, had collateral kept its value and haircuts their width.
    whole
        After it.
    """

    headroom: FloatArray
    marks_only: FloatArray
    whole: FloatArray

    @property
    def loss(self) -> FloatArray:
        """What the fall of the collateral and its haircuts costs beside the fall of the positions; base asset."""
        return self.marks_only - self.whole

    @property
    def share(self) -> FloatArray:
        """The loss over the headroom before; infinite where there is a loss and no headroom, 0 without a loss."""
        positive = self.headroom > 0.0
        beyond = np.where(self.loss == 0.0, 0.0, np.copysign(np.inf, self.loss))
        return np.where(positive, self.loss / np.where(positive, self.headroom, 1.0), beyond)


def collateral_fragility(
    book: AccountBook, market: MarketState, rules: RuleBook, shock: CollateralShock
) -> CollateralFragility:
    """What the fall of collateral takes of every pool's headroom, beside what the fall of positions takes.

    Three evaluations of the whole book: now, with the marks fallen, and with the assets fallen and haircuts wider too.
    Profit that is paid in a coin is worth less with it; it counts as collateral.

    Raises
    ------
    InputError
        A shock of other instruments or assets, what `evaluate` refuses.

    Examples
    --------
    20 of collateral in BTC at a haircut of 10% and a long of 1 ETH at 100: a fall of 20% takes 20 of the position and
    20 * 0.9 - 16 * 0.8 = 5.2 of the collateral, if the haircut grows to 20%.

    >>> import datetime as dt
    >>> from ...riskcore.rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["ETH"], collateral=["BTC"])
    >>> book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [1], [0.2], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"ETH": RateSchedule.cliff([0.0], [0.05], [20.0])},
    ...     {"BTC": HaircutSchedule([0.0], [0.9])})
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0, 100.0])
    >>> found = collateral_fragility(book, market, rules, CollateralShock.fall(table, 0.2, 0.1))
    >>> found.headroom.round(6).tolist(), found.loss.round(6).tolist(), found.share.round(6).tolist()
    ([13.0], [5.2], [0.4])
    """
    table = book.instruments
    require_shape(shock.marks, (len(table),), "marks")
    require_shape(shock.assets, (len(table.assets),), "assets")
    require_shape(shock.wider, (len(table.assets),), "wider")
    mark = market.mark * (1.0 + shock.marks)
    fallen = MarketState(market.time, mark, market.index * (1.0 + shock.assets))
    states: list[MarginState] = [
        evaluate(book, market, rules),
        evaluate(book, MarketState(market.time, mark, market.index), rules),
        evaluate(book, fallen, _widened(rules, table, shock.wider)),
    ]
    return CollateralFragility(*(state.headroom for state in states))


def _widened(rules: RuleBook, table: InstrumentTable, wider: FloatArray) -> RuleBook:
    """The rules with less of each asset counting; assets that are not accepted stay so."""
    haircuts: Mapping[str, HaircutSchedule] = {
        asset: replace(schedule, rates=np.maximum(schedule.rates - more, 0.0))
        for asset, more in zip(table.assets, wider, strict=True)
        if (schedule := _haircut_of(rules, asset)) is not None
    }
    return replace(rules, haircuts={**rules.haircuts, **haircuts})


def _haircut_of(rules: RuleBook, asset: str) -> HaircutSchedule | None:
    return rules.haircuts.get(asset, rules.generic_haircut)


DECLARATIONS = (
    Declaration(
        "collateral_fragility",
        "Loss from falling collateral and wider haircuts in a fall of the market, over the headroom",
        "fraction of headroom",
        ("close",),
        0.0,
        "infinite without headroom; a missing price is an error of `evaluate`",
    ),
)
"""What `CollateralFragility.share` says of itself."""
