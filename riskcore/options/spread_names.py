"""What the field calls a spread, from its legs."""

from __future__ import annotations

import math

from .black76 import CALL
from .strategy_book import StrategyBook

VERTICALS = {
    (1, -1, 1): "bear call spread",
    (1, 1, -1): "bull call spread",
    (-1, 1, -1): "bull put spread",
    (-1, -1, 1): "bear put spread",
}
"""By right and the signs of the lower and the higher exercise price."""
IN_ONE_RIGHT = {(1, -2, 1): "butterfly", (1, -1, -1, 1): "condor"}
"""By signed quantities in the order of the exercise prices, when bought."""


def spread_name(book: StrategyBook, quantity: dict[int, int]) -> str:
    """Name of a spread by the signed contracts of its legs; "spread" where the field has none.

    Examples
    --------
    >>> day = "2023-05-19"
    >>> book = StrategyBook(410.0, [1, 1, 1], [300.0, 310.0, 320.0], [day] * 3, [1, -2, 1], [112.0, 100.0, 92.0])
    >>> spread_name(book, {0: 2, 1: -4, 2: 2}), spread_name(book, {1: -1, 2: 1})
    ('long call butterfly', 'bear call spread')
    """
    divisor = math.gcd(*quantity.values())
    rows = sorted(quantity, key=lambda row: (float(book.strike[row]), int(book.right[row])))
    strikes, counts = [float(book.strike[row]) for row in rows], [quantity[row] // divisor for row in rows]
    rights, expiries = [int(book.right[row]) for row in rows], [int(book.expiry[row].astype("int64")) for row in rows]
    if len(rows) == 2 and rights[0] == rights[1]:
        return _two_legs(strikes, rights[0], expiries, counts)
    if len(set(expiries)) > 1:
        return "spread"
    return _one_right(strikes, rights, counts) or _both_rights(strikes, rights, counts) or "spread"


def _word(right: int) -> str:
    return "call" if right == CALL else "put"


def _two_legs(strikes: list[float], right: int, expiries: list[int], counts: list[int]) -> str:
    if expiries[0] == expiries[1]:
        return VERTICALS.get((right, -1 if counts[0] < 0 else 1, -1 if counts[1] < 0 else 1), "spread")
    kind = "calendar" if strikes[0] == strikes[1] else "diagonal"
    return f"{_word(right)} {kind} spread"


def _one_right(strikes: list[float], rights: list[int], counts: list[int]) -> str | None:
    if len(set(rights)) > 1 or strikes[1] - strikes[0] != strikes[-1] - strikes[-2]:
        return None
    for way, side in ((1, "long"), (-1, "short")):
        shape = IN_ONE_RIGHT.get(tuple(way * count for count in counts))
        if shape:
            return f"{side} {_word(rights[0])} {shape}"
    return None


def _both_rights(strikes: list[float], rights: list[int], counts: list[int]) -> str | None:
    if len(counts) != 4 or sorted(rights) != [-1, -1, 1, 1] or {abs(count) for count in counts} != {1}:
        return None
    call, put = ([(k, c) for k, r, c in zip(strikes, rights, counts, strict=True) if r == way] for way in (1, -1))
    if (call[0][0], call[1][0]) == (put[0][0], put[1][0]) and call[0][1] == -put[0][1]:
        return "long box" if call[0][1] > 0 else "short box"
    if put[1][0] > call[0][0] or put[1][1] != call[0][1] or put[0][1] == put[1][1] or call[0][1] == call[1][1]:
        return None
    side = "short" if call[0][1] < 0 else "long"
    return f"{side} iron {'butterfly' if put[1][0] == call[0][0] else 'condor'}"
