"""The least requirement of a book of options and shares, over all ways to cut it into strategies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from ..arrays import IntArray
from ..errors import InputError
from .black76 import CALL, PUT
from .spread_names import spread_name
from .strategies import intrinsic, spread
from .strategy_book import StrategyBook
from .strategy_pieces import Piece, pieces
from .strategy_rules import INITIAL, MAINTENANCE, StrategyRules

NODES = 2_000
"""Branches looked at before a cut that is not proved the best is taken; a count, so that runs do not differ."""


@dataclass(frozen=True)
class Strategy:
    """Contracts of a book that are margined together.

    Parameters
    ----------
    name
        What the field calls it.
    quantity
        Signed contracts of each leg of the book that belong to it, shape (n legs,).
    shares
        Signed shares that belong to it.
    requirement
        Money.
    """

    name: str
    quantity: tuple[int, ...]
    shares: float
    requirement: float


@dataclass(frozen=True)
class StrategyMatch:
    """How a book is cut, and what it requires.

    Parameters
    ----------
    requirement
        Sum over the strategies, money; long options are paid for apart.
    strategies
        The cut; legs of the book in none of them are long options on their own, which need nothing.
    proved
        Whether no other cut requires less; False when the search was given up and the best cut found was taken.
    """

    requirement: float
    strategies: tuple[Strategy, ...]
    proved: bool


class Group(NamedTuple):
    """Spreads whose short options expire by a day, and whose long ones then or later."""

    short: list[int]
    long: list[int]

    @property
    def legs(self) -> list[int]:
        """Rows of the book, short ones first."""
        return self.short + self.long


def match_strategies(book: StrategyBook, rules: StrategyRules, phase: str = MAINTENANCE) -> StrategyMatch:
    """Cut a book so that it requires least, "initial" or "maintenance".

    The choice is a whole-number linear programme over the `pieces` of the book and over spreads, solved by the HiGHS
    that comes with scipy. Spreads that may stand in one group (their short options expire no later than any of their
    long ones) are margined together, since the largest loss of a sum is never above the sum of largest losses; a
    group's requirement is above its loss at every exercise price. As many long as short contracts of either right
    belong to a spread (FINRA 4210(f)(2)). The order of the legs makes no difference, to the bit. Books of up to some
    thirty series are proved in a tenth of a second; a search that looks at `NODES` branches is given up and says so.

    Raises
    ------
    InputError
        A phase other than those two.

    Examples
    --------
    >>> from .strategy_rules import load_strategy_rules
    >>> day = "2023-05-19"
    >>> book = StrategyBook(410.0, [1, 1], [300.0, 310.0], [day, day], [-1, 1], [112.0, 100.0])
    >>> found = match_strategies(book, load_strategy_rules())
    >>> found.requirement, [strategy.name for strategy in found.strategies]
    (1000.0, ['bear call spread'])
    """
    if phase not in (INITIAL, MAINTENANCE):
        raise InputError(f"must be {INITIAL} or {MAINTENANCE}", column="phase", value=phase)
    order = sorted(range(len(book)), key=book.series)
    ordered = book.rows(order)
    fixed, groups = list(pieces(ordered, rules, phase)), spread_groups(ordered)
    counts, proved = solve(ordered, fixed, groups)
    cut = [*_of_pieces(ordered, fixed, counts), *_of_groups(ordered, groups, counts[len(fixed) :])]
    cut += _odd_lot(ordered, rules, phase)
    back = np.argsort(order).tolist()
    told = tuple(replace(part, quantity=tuple(part.quantity[row] for row in back)) for part in cut)
    return StrategyMatch(math.fsum(part.requirement for part in cut), told, proved)


def spread_groups(book: StrategyBook) -> list[Group]:
    """One group for each expiry of a short option that some long option outlives; legs in the order of their series.

    Examples
    --------
    >>> days = ["2023-05-19", "2023-06-16", "2023-04-21"]
    >>> spread_groups(StrategyBook(410.0, [1, 1, 1], [300.0] * 3, days, [-1, 1, 1], [112.0, 113.0, 111.0]))
    [Group(short=[0], long=[1])]
    """
    rows = sorted(range(len(book)), key=book.series)
    short, long = ([row for row in rows if sign * book.quantity[row] > 0] for sign in (-1, 1))
    found = [
        Group([row for row in short if book.expiry[row] <= day], [row for row in long if book.expiry[row] >= day])
        for day in sorted({book.expiry[row] for row in short})
    ]
    return [group for group in found if group.long]


def solve(book: StrategyBook, fixed: list[Piece], groups: list[Group]) -> tuple[IntArray, bool]:
    """Contracts of each piece, then of the legs of each group; and whether no other choice requires less."""
    columns = len(fixed) + sum(len(group.legs) for group in groups)
    if not columns:
        return np.zeros(0, np.int64), True
    cost = [piece.requirement for piece in fixed] + [0.0] * (columns - len(fixed)) + [book.multiplier] * len(groups)
    whole = np.arange(len(cost)) < columns
    most = max(np.abs(book.quantity).max(initial=0), book.lots)
    found = milp(
        cost,
        integrality=whole.astype(np.int64),
        bounds=Bounds(0, np.where(whole, most, np.inf)),
        constraints=[used(book, fixed, groups), *bounded(book, len(fixed), groups)],
        options={"mip_rel_gap": 0.0, "node_limit": NODES},
    )
    if found.x is None:
        return np.array([_all_alone(book, piece) for piece in fixed] + [0] * (columns - len(fixed))), False
    return np.round(found.x[:columns]).astype(np.int64), bool(found.status == 0)


def _all_alone(book: StrategyBook, piece: Piece) -> int:
    """Contracts of a piece when every short option is naked and every share bare: the choice that always stands."""
    if len(piece.legs) == 1 and not piece.lots:
        return int(abs(book.quantity[piece.legs[0]]))
    return 0 if piece.legs else book.lots


def used(book: StrategyBook, fixed: list[Piece], groups: list[Group]) -> LinearConstraint:
    """Every short contract and every lot of shares is used once, every long contract at most once."""
    taken = [(piece.legs, piece.lots) for piece in fixed] + [((row,), 0) for group in groups for row in group.legs]
    matrix = np.zeros((len(book) + 1, len(taken) + len(groups)))
    for column, (legs, lots) in enumerate(taken):
        matrix[list(legs), column] = 1.0
        matrix[-1, column] = lots
    most = np.append(np.abs(book.quantity), book.lots)
    return LinearConstraint(matrix, np.where(np.append(book.quantity, -1) < 0, most, 0), most)


def bounded(book: StrategyBook, start: int, groups: list[Group]) -> Iterator[LinearConstraint]:
    """Groups hold as many long as short contracts of either right, and require at least each of their losses."""
    width = start + sum(len(group.legs) for group in groups)
    for place, group in enumerate(groups):
        sign, right, strike = (column[group.legs] for column in (np.sign(book.quantity), book.right, book.strike))
        part = slice(start, start + len(strike))
        balance, loss = np.zeros((2, width + len(groups))), np.zeros((len(strike), width + len(groups)))
        balance[:, part] = sign * np.equal(right, [[CALL], [PUT]])
        loss[:, part] = -sign * intrinsic(right, strike, strike)
        loss[:, width + place] = -1.0
        yield LinearConstraint(balance, 0, 0)
        yield LinearConstraint(loss, -np.inf, 0)
        start = part.stop


def _of_pieces(book: StrategyBook, fixed: list[Piece], counts: IntArray) -> Iterator[Strategy]:
    for piece, count in zip(fixed, counts[: len(fixed)].tolist(), strict=True):
        if count:
            quantity = _signed(book, dict.fromkeys(piece.legs, count))
            shares = math.copysign(count * piece.lots * book.multiplier, book.shares)
            yield Strategy(piece.name, quantity, shares if piece.lots else 0.0, count * piece.requirement)


def _of_groups(book: StrategyBook, groups: list[Group], counts: IntArray) -> Iterator[Strategy]:
    start = 0
    for group in groups:
        taken = dict(zip(group.legs, counts[start : start + len(group.legs)].tolist(), strict=True))
        start += len(group.legs)
        quantity = _signed(book, taken)
        legs = [row for row, contracts in enumerate(quantity) if contracts]
        if legs:
            held = {row: quantity[row] for row in legs}
            loss = spread(book.right[legs], book.strike[legs], list(held.values()))
            yield Strategy(spread_name(book, held), quantity, 0.0, loss * book.multiplier)


def _signed(book: StrategyBook, contracts: dict[int, int]) -> tuple[int, ...]:
    return tuple(int(np.sign(book.quantity[row])) * contracts.get(row, 0) for row in range(len(book)))


def _odd_lot(book: StrategyBook, rules: StrategyRules, phase: str) -> Iterator[Strategy]:
    """Shares beyond whole lots, which no option covers."""
    left = abs(book.shares) - book.lots * book.multiplier
    if left > 0:
        held = book.shares > 0
        name, per_share = ("shares held", rules.long_share) if held else ("shares owed", rules.short_share)
        yield Strategy(name, (0,) * len(book), math.copysign(left, book.shares), left * per_share(book.spot, phase))
