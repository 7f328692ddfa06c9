"""Levels of an order-book message straight from its bytes: the compiled twin of reading them as JSON."""

from __future__ import annotations

import json
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError

POWERS_OF_TEN = 10.0 ** np.arange(16)
MOST_DIGITS = 15
"""Whole numbers of so many digits are doubles, and so is their quotient by a power of ten once rounded: no other way of
reading the decimal gives another double (W. Clinger, How to read floating point numbers accurately, PLDI 1990)."""

OPEN, CLOSE, COMMA, QUOTE, DOT, ZERO, NINE = (ord(c) for c in '[],".09')


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def parsed_message(line: bytes, sides: tuple[str, str]) -> tuple[Any, FloatArray | None, FloatArray | None]:
    """Read one JSON message; levels of its two sides come as arrays where they have the usual form.

    Parameters
    ----------
    line
        JSON text.
    sides
        Names of the bids and of the asks, as in ("b", "a").

    Returns
    -------
    message, bids, asks
        The message, and (k, 2) arrays of price and size. Where a side is not a list of [price, size] as quoted decimals
        of up to 15 digits without blanks between them, its array is None and the message holds it as JSON has it;
        otherwise the message holds an empty list in its place.

    Raises
    ------
    ValueError
        The text is not JSON (NaN and Infinity are not).

    Examples
    --------
    >>> message, bids, asks = parsed_message(b'{"u":3,"b":[["100.50","2"]],"a":[["101",0]]}', ("b", "a"))
    >>> message, bids.tolist(), asks
    ({'u': 3, 'b': [], 'a': [['101', 0]]}, [[100.5, 2.0]], None)
    """
    found: list[FloatArray | None] = []
    for side in sides:
        levels, line = _cut_out(line, b'"' + side.encode() + b'":[')
        found.append(levels)
    return DECODER.decode(line.decode()), found[0], found[1]


def levels_of(side: object, scanned: FloatArray | None, column: str) -> FloatArray:
    """The levels of one side: those that were scanned, or else read from JSON, shape (k, 2).

    Raises
    ------
    InputError
        Not a list of pairs of numbers.
    """
    if scanned is not None:
        return scanned
    if not isinstance(side, list):
        raise InputError("must be a list of [price, size]", column=column, value=side)
    for row, pair in enumerate(side):
        if not isinstance(pair, list) or len(pair) < 2:
            raise InputError("must be [price, size]", column=f"{column}[{row}]", value=pair)
    try:
        return np.array([[float(pair[0]), float(pair[1])] for pair in side], np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as failure:
        raise InputError(f"levels must be numbers: {failure}", column=column) from None


def _cut_out(line: bytes, key: bytes) -> tuple[FloatArray | None, bytes]:
    place = line.find(key)
    if place < 0:
        return None, line
    start = place + len(key) - 1
    text = np.frombuffer(line, np.uint8)
    levels = np.empty((len(line) // 8 + 1, 2))
    count, end = scan_levels(text, start, levels)
    if end < 0:
        return None, line
    return levels[:count].copy(), line[: start + 1] + line[end:]


@numba.njit(cache=True, nogil=True)
def scan_levels(text: NDArray[np.uint8], start: int, levels: FloatArray) -> tuple[int, int]:
    """Read `[["price","size"],...]` from `text[start]` on into `levels`.

    Returns
    -------
    count, end
        How many levels there were and the place of the closing bracket; end is -1 where the text has another form.
    """
    place, count = start + 1, 0
    if place < len(text) and text[place] == CLOSE:
        return 0, place
    while place < len(text) and count < len(levels):
        if text[place] != OPEN:
            return 0, -1
        price, place = _decimal(text, place + 1)
        if place < 0 or place >= len(text) or text[place] != COMMA:
            return 0, -1
        size, place = _decimal(text, place + 1)
        if place < 0 or place + 1 >= len(text) or text[place] != CLOSE:
            return 0, -1
        levels[count, 0], levels[count, 1] = price, size
        count += 1
        place += 2
        if text[place - 1] == CLOSE:
            return count, place - 1
        if text[place - 1] != COMMA:
            return 0, -1
    return 0, -1


@numba.njit(cache=True, nogil=True)
def _decimal(text: NDArray[np.uint8], place: int) -> tuple[float, int]:
    """A quoted decimal from its first quote on, and the place behind its last; -1 where it is something else."""
    if place >= len(text) or text[place] != QUOTE:
        return 0.0, -1
    digits, decimals, whole, pointed = 0, 0, np.int64(0), False
    for at in range(place + 1, len(text)):
        sign = text[at]
        if ZERO <= sign <= NINE:
            whole = whole * 10 + np.int64(sign - ZERO)
            digits += 1
            decimals += pointed
            if digits > MOST_DIGITS:
                return 0.0, -1
        elif sign == DOT and not pointed and digits > 0:
            pointed = True
        elif sign == QUOTE and digits > 0 and (decimals > 0 or not pointed):
            return whole / POWERS_OF_TEN[decimals], at + 1
        else:
            return 0.0, -1
    return 0.0, -1
