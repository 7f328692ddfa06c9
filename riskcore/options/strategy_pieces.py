"""Strategies of fixed shape that a book could be cut into: single legs, pairs of shorts, and options on shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .black76 import CALL, PUT
from .strategies import (
    collar,
    conversion,
    covered_call,
    covered_put,
    naked,
    protective_call,
    protective_put,
    reverse_conversion,
    short_pair,
)
from .strategy_book import StrategyBook
from .strategy_rules import StrategyRules


class Piece(NamedTuple):
    """A strategy of one contract of each of its legs, and a contract's worth of shares where it has them."""

    name: str
    legs: tuple[int, ...]
    lots: int
    requirement: float


class Sides(NamedTuple):
    """Rows of the short and long calls and puts of a book, in the order of their series."""

    short_calls: list[int]
    short_puts: list[int]
    long_calls: list[int]
    long_puts: list[int]


def sides(book: StrategyBook) -> Sides:
    """Rows by side and right.

    Examples
    --------
    >>> day = "2023-05-19"
    >>> sides(StrategyBook(410.0, [1, -1], [310.0, 300.0], [day, day], [-1, 1], [100.0, 0.02]))
    Sides(short_calls=[0], short_puts=[], long_calls=[], long_puts=[1])
    """
    rows = sorted(range(len(book)), key=book.series)
    short, long = ([row for row in rows if sign * book.quantity[row] > 0] for sign in (-1, 1))
    return Sides(
        *([row for row in part if book.right[row] == right] for part in (short, long) for right in (CALL, PUT))
    )


def pieces(book: StrategyBook, rules: StrategyRules, phase: str) -> Iterator[Piece]:
    """Every strategy of fixed shape whose legs the book has, money per contract; spreads are not among them.

    Examples
    --------
    >>> from .strategy_rules import load_strategy_rules
    >>> day = "2023-05-19"
    >>> book = StrategyBook(410.0, [1, -1], [310.0, 300.0], [day, day], [-1, -1], [100.0, 0.02])
    >>> for piece in pieces(book, load_strategy_rules(), "maintenance"):
    ...     print(piece.name, piece.legs, round(piece.requirement, 6))
    naked call (0,) 18200.0
    naked put (1,) 3002.0
    short strangle (0, 1) 18202.0
    """
    rows = sides(book)
    alone = {row: _naked(book, rules, phase, row) for row in (*rows.short_calls, *rows.short_puts)}
    yield from (Piece("naked call", (row,), 0, alone[row]) for row in rows.short_calls)
    yield from (Piece("naked put", (row,), 0, alone[row]) for row in rows.short_puts)
    for call in rows.short_calls:
        for put in rows.short_puts:
            prices = (float(book.price[row]) * book.multiplier for row in (call, put))
            name = "short straddle" if _same(book, call, put) else "short strangle"
            yield Piece(name, (call, put), 0, short_pair(alone[call], alone[put], *prices))
    if book.lots:
        held = _on_shares_held if book.shares > 0 else _on_shares_owed
        for name, legs, per_share in held(book, rows, rules, phase):
            yield Piece(name, legs, 1, per_share * book.multiplier)


def _naked(book: StrategyBook, rules: StrategyRules, phase: str, row: int) -> float:
    series = int(book.right[row]), float(book.strike[row]), book.spot, float(book.price[row])
    return naked(rules, phase, *series) * book.multiplier


def _same(book: StrategyBook, one: int, other: int) -> bool:
    return bool(book.strike[one] == book.strike[other] and book.expiry[one] == book.expiry[other])


Offer = tuple[str, tuple[int, ...], float]


def _on_shares_held(book: StrategyBook, rows: Sides, rules: StrategyRules, phase: str) -> Iterator[Offer]:
    spot, strike = book.spot, [float(k) for k in book.strike]
    yield "shares held", (), rules.long_share(spot, phase)
    for call in rows.short_calls:
        yield "covered call", (call,), covered_call(rules, phase, strike[call], spot)
    for put in rows.long_puts:
        yield "protective put", (put,), protective_put(rules, phase, strike[put], spot)
    for call in rows.short_calls:
        for put in rows.long_puts:
            if _same(book, call, put):
                yield "conversion", (call, put), conversion(rules, phase, strike[put], spot)
            elif book.expiry[call] == book.expiry[put] and strike[put] < strike[call]:
                yield "collar", (call, put), collar(rules, phase, strike[put], strike[call], spot)


def _on_shares_owed(book: StrategyBook, rows: Sides, rules: StrategyRules, phase: str) -> Iterator[Offer]:
    spot, strike = book.spot, [float(k) for k in book.strike]
    yield "shares owed", (), rules.short_share(spot, phase)
    for put in rows.short_puts:
        yield "covered put", (put,), covered_put(rules, phase, strike[put], spot)
    for call in rows.long_calls:
        yield "protective call", (call,), protective_call(rules, phase, strike[call], spot)
    for put in rows.short_puts:
        for call in rows.long_calls:
            if _same(book, put, call):
                yield "reverse conversion", (put, call), reverse_conversion(rules, phase, strike[put], spot)
