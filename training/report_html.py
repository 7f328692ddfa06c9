"""Pieces of HTML: escaped text, numbers as readers want them, tables."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

MISSING = '<span class="none" title="not available">–</span>'
MINUS = "\N{MINUS SIGN}"


def escaped(value: object) -> str:
    """Text fit for HTML, quotes included.

    Examples
    --------
    >>> escaped('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(str(value), quote=True)


def is_missing(value: object) -> bool:
    """Whether there is nothing to show: None, NaN or infinite.

    Examples
    --------
    >>> is_missing(float("nan")), is_missing(None), is_missing(0.0), is_missing("")
    (True, True, False, False)
    """
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value: float | None, decimals: int = 2, *, sign: bool = False) -> str:
    """A number with grouped thousands and a true minus sign.

    Examples
    --------
    >>> number(-1234.5), number(0.25, 3, sign=True)
    ('−1,234.50', '+0.250')
    """
    if is_missing(value) or value is None:
        return MISSING
    return f"{value:{'+' if sign else ''},.{decimals}f}".replace("-", MINUS)


def percent(value: float | None, decimals: int = 1, *, sign: bool = False) -> str:
    """A fraction as a percentage.

    Examples
    --------
    >>> percent(0.0415), percent(-0.5, 0, sign=True)
    ('4.2%', '−50%')
    """
    if is_missing(value) or value is None:
        return MISSING
    return f"{value * 100:{'+' if sign else ''},.{decimals}f}%".replace("-", MINUS)


def probability(value: float | None) -> str:
    """A probability with as many decimals as it needs, never a false zero or one.

    Examples
    --------
    >>> probability(0.00002), probability(0.0042), probability(0.42), probability(0.99999), probability(1.0)
    ('&lt;0.01%', '0.42%', '42%', '&gt;99.9%', '100%')
    """
    if is_missing(value) or value is None:
        return MISSING
    if value in (0.0, 1.0):
        return f"{value:.0%}"
    if value < 1e-4:
        return "&lt;0.01%"
    if value > 0.999:
        return "&gt;99.9%"
    decimals = 2 if value < 0.01 else 1 if value < 0.1 or value > 0.99 else 0
    return f"{value * 100:.{decimals}f}%"


def quantity(value: object) -> str:
    """Anything that may stand in a provenance or an alert table, escaped.

    Examples
    --------
    >>> quantity(True), quantity(248050), quantity(0.1), quantity("a<b")
    ('yes', '248,050', '0.1', 'a&lt;b')
    """
    if is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return escaped(f"{value:,.6g}")
    return escaped(value)


def cell(content: str, *, sort: object = None, kind: str = "") -> str:
    """One table cell; `content` is HTML, `sort` what the column sorts by."""
    order = "" if is_missing(sort) else f' data-sort="{escaped(sort)}"'
    name = f' class="{kind}"' if kind else ""
    return f"<td{name}{order}>{content}</td>"


def table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """A table of cells (from `cell`) under heads given as (HTML, class)."""
    head = "".join(f'<th scope="col" class="{style}">{text}</th>' for text, style in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def absent(what: str) -> str:
    """A line that says a part of the report is not there."""
    return f'<p class="absent">Absent: {escaped(what)}.</p>'
