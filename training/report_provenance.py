"""Nested values as nested definition lists: what the figures were measured on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .report_html import cell, escaped, quantity, table

HASH = re.compile(r"[0-9a-f]{32,128}")


def nested(values: Mapping[Any, Any]) -> str:
    """A definition list; mappings nest, lists of flat mappings become tables, hashes are set in a fixed width.

    Examples
    --------
    >>> nested({"seed": 1, "files": {"perp_rows": 5}})
    '<dl><dt>seed</dt><dd>1</dd><dt>files</dt><dd><dl><dt>perp rows</dt><dd>5</dd></dl></dd></dl>'
    """
    items = "".join(f"<dt>{escaped(_words(name))}</dt><dd>{_shown(value)}</dd>" for name, value in values.items())
    return f"<dl>{items}</dl>"


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return nested(value) if value else quantity(None)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _list(value)
    if isinstance(value, str) and HASH.fullmatch(value):
        return f"<code>{escaped(value)}</code>"
    return quantity(value)


def _list(values: Sequence[Any]) -> str:
    if not values:
        return quantity(None)
    if all(isinstance(value, Mapping) for value in values):
        flat = all(not isinstance(entry, Mapping | list | tuple) for value in values for entry in value.values())
        return _table(values) if flat else "".join(_folded(value) for value in values)
    if any(isinstance(value, Mapping | list | tuple) or len(str(value)) > 40 for value in values):
        return f"<ul>{''.join(f'<li>{_shown(value)}</li>' for value in values)}</ul>"
    return ", ".join(quantity(value) for value in values)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric = {name: all(isinstance(row.get(name), int | float | None) for row in rows) for name in names}
    heads = [(escaped(_words(name)), "num" if numeric[name] else "") for name in names]
    cells = [[cell(_shown(row.get(name)), kind="num" if numeric[name] else "") for name in names] for row in rows]
    return table(heads, cells, kind="plain")


def _folded(values: Mapping[str, Any]) -> str:
    title = next((str(value) for value in values.values() if isinstance(value, str)), "entry")
    return f"<details><summary>{escaped(title)}</summary>{nested(values)}</details>"
