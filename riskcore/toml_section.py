"""Sections of a TOML rule-book: keys asked for by type and range, every group of figures with its source and date."""

from __future__ import annotations

import datetime as dt
import math
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Section:
    """A table of a file, and how its keys are asked for.

    Parameters
    ----------
    file, name
        What errors call it; the name of the whole file is "".
    values
        What the table holds.

    Examples
    --------
    >>> section = Section("venue.toml", "margin", {"rate": 0.05, "kind": "cliff"})
    >>> section.number("rate", 0, 1), section.get("kind", str)
    (0.05, 'cliff')
    >>> section.number("rate", 1, 2)
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: venue.toml, column margin rate: must be in [1, 2] (found 0.05)
    """

    file: object
    name: str
    values: Mapping[str, Any]

    def error(self, problem: str, key: str, value: object = None) -> InputError:
        """The error to raise about a key of this section."""
        return InputError(problem, file=self.file, column=" ".join(filter(None, (self.name, key))) or None, value=value)

    def allow(self, *keys: str) -> None:
        """Refuse keys other than these."""
        unknown = sorted(self.values.keys() - set(keys))
        if unknown:
            raise self.error(f"unknown key; known are {', '.join(keys)}", unknown[0], self.values[unknown[0]])

    def get(self, key: str, kind: type[T]) -> T:
        """The value of a key, which must be there and of this type; a whole number serves as a float."""
        value = self.values.get(key)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or value == "":
            found = "nothing" if value is None else value
            raise self.error(f"must be given as a {'number' if kind is float else kind.__name__}", key, found)
        return value

    def number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number in [low, high]."""
        return self._in_range(key, self.get(key, float), low, high)

    def whole(self, key: str, low: float = -math.inf, high: float = math.inf) -> int:
        """A whole number in [low, high], exact however large."""
        value = self.get(key, int)
        self._in_range(key, value, low, high)
        return value

    def numbers(self, key: str, low: float = -math.inf, high: float = math.inf) -> tuple[float, ...]:
        """A list of at least one finite number in [low, high]."""
        entries = self.get(key, list)
        if not entries:
            raise self.error("needs at least one number", key, entries)
        numbers = replace_values(self, {f"{key}[{place}]": entry for place, entry in enumerate(entries)})
        return tuple(numbers.number(name, low, high) for name in numbers.values)

    def _in_range(self, key: str, value: float, low: float, high: float) -> float:
        if not (low <= value <= high and math.isfinite(value)):
            raise self.error(f"must be in [{low:g}, {high:g}]", key, value)
        return value

    def part(self, key: str) -> Section:
        """The table under a key."""
        return Section(self.file, f"{self.name}.{key}".lstrip("."), self.get(key, dict))

    def sourced(self, key: str, *keys: str) -> Section:
        """The table under a key, which may hold these keys and must say the source and date of its figures."""
        section = self.part(key)
        section.allow(*keys, "source", "date")
        section.get("source", str)
        section.get("date", dt.date)
        return section

    @property
    def told(self) -> str:
        """Source and date in one line."""
        return f"{' '.join(self.get('source', str).split())} ({self.get('date', dt.date)})"


def replace_values(section: Section, values: Mapping[str, Any]) -> Section:
    """A section of the same file and name that holds other values."""
    return Section(section.file, section.name, values)


@contextmanager
def located(section: Section) -> Iterator[None]:
    """Give errors of the value objects the file and section they came from."""
    try:
        yield
    except InputError as error:
        if error.file is not None:
            raise
        column = f"{section.name} {error.column or ''}".strip() or None
        raise InputError(error.problem, file=section.file, row=error.row, column=column, value=error.value) from None


def read_toml(path: str | Path) -> Section:
    """The whole of a file as one section; what cannot be read is an InputError that names the file."""
    try:
        return Section(path, "", tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not valid TOML: {error}", file=path) from None
