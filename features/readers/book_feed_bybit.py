"""Bybit's order-book archives: a zip of one message a line, a snapshot and the changes since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...riskcore.errors import InputError
from .book_feed_events import UNKNOWN, BookUpdate
from .book_feed_fields import name_of, nanoseconds_of, whole_number
from .book_feed_lines import feed_lines
from .book_feed_scan import levels_of, parsed_message

KINDS = ("snapshot", "delta")


def read_bybit_archive(path: str | Path) -> Iterator[BookUpdate]:
    """Yield the messages of a Bybit archive (`DATE_SYMBOL_obDEPTH.data.zip`), one in memory at a time.

    `u` numbers the messages; `seq`, the matching engine's number, is kept as `engine_sequence`; the time is `ts`, when
    the message was made. An archive knows no receipt time.

    Raises
    ------
    InputError
        With file and row: see `feed_lines` and `BookUpdate`; text that is not JSON, a message that is neither snapshot
        nor delta, a field that is missing or of the wrong kind.
    """
    for row, line in feed_lines(path):
        try:
            yield _update(line)
        except InputError as fault:
            where = {"file": Path(path).name, "row": row, "column": fault.column, "value": fault.value}
            raise InputError(fault.problem, **where) from None


def _update(line: bytes) -> BookUpdate:
    try:
        message, bids, asks = parsed_message(line, ("b", "a"))
    except ValueError as failure:
        raise InputError(f"is not JSON: {failure}") from None
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict):
        raise InputError("must be a JSON object with data", column="data", value=data)
    kind = message.get("type")
    if kind not in KINDS:
        raise InputError("must be snapshot or delta", column="type", value=kind)
    number = whole_number(data, "u")
    return BookUpdate(
        name_of(data, "s"),
        "snapshot" if kind == "snapshot" else "diff",
        nanoseconds_of(message, "ts"),
        UNKNOWN,
        number,
        number,
        UNKNOWN,
        levels_of(data.get("b"), bids, "b"),
        levels_of(data.get("a"), asks, "a"),
        whole_number(data, "seq"),
    )
