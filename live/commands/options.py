"""What the verbs of the command line share: their options, progress on the terminal, and JSON."""

from __future__ import annotations

import datetime as dt
import errno
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Market = Annotated[Path, typer.Option(help="Market folder: perp.parquet and, if there, mark, funding, spot, ...")]
Accounts = Annotated[int, typer.Option(min=1, help="Simulated accounts to test on.")]
TrainAccounts = Annotated[
    int | None,
    typer.Option(min=1, help="Simulated accounts to train on; default: 200 a day of training, 300,000 at most."),
]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads; they change no result.")]
Horizons = Annotated[str, typer.Option(help='Horizons, rising, such as "1h,4h,24h".')]
Venue = Annotated[str, typer.Option(help="Rule-book: a venue that comes with margincast, or a TOML file.")]


def in_a_folder(path: Path | None) -> Path | None:
    """Refuse a file that could not be written before the work is done, not after."""
    if path is not None and (not path.parent.is_dir() or path.is_dir()):
        from ...riskcore.errors import MargincastError

        reason = os.strerror(errno.EISDIR if path.is_dir() else errno.ENOENT)
        raise MargincastError(f"{path}: could not be written ({reason})")
    return path


JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=in_a_folder, help="Write the result to this JSON file as well.")
]
Store = Annotated[Path, typer.Option(help="Folder of the MLflow store (SQLite) and of models.")]
Model = Annotated[str | None, typer.Option(help="Model folder, or models:/margincast/3; default: the champion.")]
At = Annotated[str | None, typer.Option(help="Instant to look at, UTC, on the market's bar grid; default: its end.")]
Generic = Annotated[bool, typer.Option(help="Margin unlisted contracts by a generic schedule; said aloud.")]
Target = Annotated[float, typer.Option(min=0.0001, max=0.9999, help="Probability that advice brings to.")]
FallBack = Annotated[
    str | None, typer.Option("--fall-back", help="Score by historical simulation (FHS) alone, for this reason.")
]
AccountFile = Annotated[Path, typer.Option(help="Accounts: JSON records or CSV.")]

STORE = Path("margincast-store")


def day_of(text: str) -> dt.date:
    """A day in ISO form."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2023-12-31") from None


TrainEnd = Annotated[
    Any, typer.Option(parser=day_of, metavar="DATE", help="Last day trained on, inclusive, UTC, such as 2023-12-31.")
]
TestStart = Annotated[
    Any, typer.Option(parser=day_of, metavar="DATE", help="First day tested on, inclusive, UTC; after --train-end.")
]
TestEnd = Annotated[
    Any,
    typer.Option(
        parser=day_of, metavar="DATE", help="Last day tested on, inclusive, UTC; default: the end of the market."
    ),
]
Start = Annotated[
    Any, typer.Option(parser=day_of, metavar="DATE", help="First day, inclusive, UTC, such as 2023-01-01.")
]
End = Annotated[Any, typer.Option(parser=day_of, metavar="DATE", help="Last day, inclusive, UTC, such as 2023-12-31.")]
Since = Annotated[
    Any,
    typer.Option(
        parser=day_of,
        metavar="DATE",
        help="First day looked at, inclusive, UTC, after the training; to the end of the market.",
    ),
]


def instant_of(text: str) -> int:
    """Milliseconds since 1970 of a date or a date and time, in UTC where it names no zone."""
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2023-12-31 or 2023-12-31T08:00") from None
    return round((instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp() * 1000)


@contextmanager
def blamed_on(option: str, value: object, *columns: str) -> Iterator[None]:
    """Let errors about values made from an option name that option and what was typed."""
    from ...riskcore.errors import InputError

    try:
        yield
    except InputError as error:
        if error.file is not None or error.row is not None or error.column not in columns:
            raise
        raise InputError(error.problem, column=option, value=value) from None


def names_of(text: str) -> tuple[str, ...]:
    """Names written one after the other with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _progress_console() -> Any:
    """A console on the error stream; when its reader goes away nothing more is told, and the work goes on."""
    from rich.console import Console

    class Progress(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    return Progress(stderr=True)


@contextmanager
def told() -> Iterator[Callable[[str], None]]:
    """Show progress on the terminal's error stream; without a terminal, a line a step."""
    from rich.text import Text

    console = _progress_console()
    if not console.is_terminal:
        yield lambda step: console.print(step, highlight=False, markup=False, soft_wrap=True)
        return
    with console.status("starting") as status:

        def say(step: str) -> None:
            console.print(f"- {step}", style="dim", highlight=False, markup=False)
            status.update(Text(step))

        yield say


@contextmanager
def told_as_it_goes() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """`told`, and a line that is written over as work goes on; without a terminal that line is not shown."""
    from rich.text import Text

    console = _progress_console()
    if not console.is_terminal:
        yield lambda step: console.print(step, highlight=False, markup=False, soft_wrap=True), lambda step: None
        return
    with console.status("starting") as status:
        yield (
            lambda step: console.print(f"- {step}", style="dim", highlight=False, markup=False),
            lambda step: status.update(Text(step)),
        )


def rules_of(venue: str, *, generic: bool = True) -> Any:
    """The rule-book of a venue or a TOML file; `generic` margins contracts it does not list."""
    from ...riskcore.rulebook_file import load_rulebook, read_rulebook, with_generic

    rules = read_rulebook(venue) if venue.endswith(".toml") else load_rulebook(venue)
    return with_generic(rules) if generic else rules


def write_json(path: Path | None, content: Any) -> None:
    """Write a result to the file asked for, if any, and say so."""
    if path is None:
        return
    from ...training.atomic import write_atomically

    text = json.dumps(_without_nan(content), indent=1, sort_keys=True, default=str, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())
    print(f"wrote {path}", file=sys.stderr)


def _without_nan(content: Any) -> Any:
    """The same with null for what is no finite number: JSON has no word for it."""
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
