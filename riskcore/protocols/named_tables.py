"""Tables of a rule-book file read into value objects: the fields of the dataclass are the keys and their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TypeVar, cast

from ..toml_section import Section, located

T = TypeVar("T")


def read_figures(section: Section, kind: type[T], *given: str) -> T:
    """The value object whose fields are the keys of a section.

    Parameters
    ----------
    section
        Where the figures stand; a key that is no field is refused, and every field must be there: none is filled in.
    kind
        A dataclass whose fields are annotated int, float, bool or str.
    given
        Fields a file does not hold, which keep their default.

    Examples
    --------
    >>> from .dydx import LiquidityTier
    >>> read_figures(Section("a.toml", "tier", {"initial_margin_ppm": 50_000, "maintenance_fraction_ppm": 600_000}),
    ...              LiquidityTier, "lower_cap", "upper_cap").maintenance_margin_ppm
    30000
    """
    known = {field.name: field for field in fields(cast(type, kind)) if field.init and field.name not in given}
    section.allow(*known, *(key for key in ("source", "date") if key in section.values))
    readers: Mapping[str, Callable[[str], object]] = {
        "int": section.whole,
        "float": section.number,
        "bool": lambda key: section.get(key, bool),
        "str": lambda key: section.get(key, str),
    }
    figures = {name: readers[str(field.type)](name) for name, field in known.items()}
    with located(section):
        return kind(**figures)


def read_named_tables(section: Section, key: str, kind: type[T], *given: str) -> Mapping[str, T]:
    """The value objects of all tables under a key, by name; at least one."""
    tables = section.part(key)
    if not tables.values:
        raise section.error("needs at least one table", key)
    return {name: read_figures(tables.part(name), kind, *given) for name in tables.values}
