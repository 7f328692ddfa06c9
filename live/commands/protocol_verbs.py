"""The verbs of the validation protocol: validate, ledger."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    STORE,
    Accounts,
    Horizons,
    JsonFile,
    Market,
    Store,
    Threads,
    TrainAccounts,
    Venue,
    blamed_on,
    names_of,
    rules_of,
    told,
    write_json,
)

verbs = typer.Typer()


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in names_of(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers such as 1,2,3") from None


@verbs.command()
def validate(
    market: Market,
    start_year: Annotated[int, typer.Option(min=1, max=9998, help="Year of the first tested block.")],
    folds: Annotated[str, typer.Option(help="Length of a tested block: year, half or quarter.")] = "year",
    seeds: Annotated[Any, typer.Option(parser=_seeds, metavar="NUMBERS", help="Seeds, such as 1,2,3.")] = "1",
    crashes: Annotated[bool, typer.Option(help="Leave out each crash of history, and test on it.")] = True,
    kinds: Annotated[bool, typer.Option(help="Leave out kinds of accounts, and test on them.")] = True,
    embargo_days: Annotated[int, typer.Option(min=0, help="Days left out between training and test.")] = 2,
    horizons: Horizons = "1h,4h,24h",
    accounts: Accounts = 20_000,
    train_accounts: TrainAccounts = None,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
    store: Store = STORE,
    parts: Annotated[
        Path | None, typer.Option(help="Folder of finished tests, not done again; default: in the store.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Walk forward, leave out crashes and kinds of accounts, hold it all to the goals; once stopped, it goes on."""
    from ...features.readers.folder import read_market_folder
    from ...training.console_protocol import show_validation
    from ...training.market_view import view_market
    from ...training.protocol import validate as run
    from ...training.protocol_runs import Protocol

    start = dt.date(start_year, 1, 1)
    protocol = Protocol(
        start,
        folds,
        seeds,
        crashes,
        kinds,
        horizons,
        accounts,
        threads,
        embargo_days=embargo_days,
        train_accounts=train_accounts,
    )
    folder = parts or store / "validation"
    with told() as say, blamed_on("start_year", start_year, "start", "train_end"):
        view = view_market(read_market_folder(market))
        result = run(view, rules_of(venue), protocol, folder, store=store, now=lambda: dt.datetime.now(dt.UTC), say=say)
    write_json(json_file, result)
    show_validation(result)


@verbs.command()
def ledger(
    store: Store = STORE,
    slice_name: Annotated[str, typer.Option("--slice", help='Slice, such as "all" or "regime/stressed".')] = "all",
    json_file: JsonFile = None,
) -> None:
    """Show the skill that every evaluation and test found, slice by slice."""
    from ...riskcore.errors import MargincastError
    from ...training.console_protocol import show_ledger
    from ...training.skill_ledger import ledger_table, read_ledger, slice_of

    if not store.is_dir():
        raise MargincastError(f"{store}: no store here; `evaluate --store` and `validate` make one")
    table = ledger_table(read_ledger(store))
    slice_of(table, slice_name)  # one that is not there is said before a file is written
    write_json(json_file, {"rows": table.to_dict("records")})
    show_ledger(table, slice_name)
