"""The one kind of error a user sees: a line that says where the bad value is and what it was."""

from __future__ import annotations


class MargincastError(ValueError):
    """Base of every error margincast raises on purpose; its text is one line, fit to be shown to a user."""


class InputError(MargincastError):
    """Input that cannot be used, located as exactly as the caller knows it.

    Parameters
    ----------
    problem
        What is wrong, in words.
    file, row, column, value
        Where it stands and what was found; each is left out of the text when it is None. `row` is the zero-based
        position in the table or list that was read.

    Examples
    --------
    >>> print(InputError("price must be positive", file="perp.parquet", row=7, column="low", value=-1.0))
    perp.parquet, row 7, column low: price must be positive (found -1.0)
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        row: object = None,
        column: object = None,
        value: object = None,
    ) -> None:
        self.problem, self.file, self.row, self.column, self.value = problem, file, row, column, value
        places = [str(file)] if file is not None else []
        places += [f"row {row}"] if row is not None else []
        places += [f"column {column}"] if column is not None else []
        found = f" (found {value!r})" if value is not None else ""
        super().__init__(f"{', '.join(places)}: {problem}{found}" if places else f"{problem}{found}")


class CorruptModelError(MargincastError):
    """A stored model whose bytes are not those that were written."""
