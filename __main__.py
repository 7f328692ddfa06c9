"""The command line: each verb parses its options, calls one function and prints what it found."""

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

app = typer.Typer(
    name="margincast",
    help="Forecast which margin accounts will be liquidated, and propose margin that keeps them and the venue solvent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Market = Annotated[Path, typer.Option(help="Market folder: perp.parquet and, if there, mark, funding, spot, ...")]
Accounts = Annotated[int, typer.Option(min=1, help="Simulated accounts to test on, and as many to train on.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads; they change no result.")]
Horizons = Annotated[str, typer.Option(help='Horizons, rising, such as "1h,4h,24h".')]
Venue = Annotated[str, typer.Option(help="Rule-book: a venue that comes with margincast, or a TOML file.")]


def _in_a_folder(path: Path | None) -> Path | None:
    """Refuse a file that could not be written before the work is done, not after."""
    if path is not None and (not path.parent.is_dir() or path.is_dir()):
        from .riskcore.errors import MargincastError

        reason = os.strerror(errno.EISDIR if path.is_dir() else errno.ENOENT)
        raise MargincastError(f"{path}: could not be written ({reason})")
    return path


JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=_in_a_folder, help="Write the result to this JSON file as well.")
]
Store = Annotated[Path, typer.Option(help="Folder of the MLflow store (SQLite) and of models.")]
Model = Annotated[
    str | None, typer.Option(help='Model folder or registry address ("models:/margincast/3", "champion").')
]
At = Annotated[str | None, typer.Option(help="Instant to look at, UTC, on the market's bar grid; default: its end.")]
Generic = Annotated[bool, typer.Option(help="Margin unlisted contracts by a generic schedule; said aloud.")]
Target = Annotated[float, typer.Option(min=0.0001, max=0.9999, help="Probability that advice brings to.")]
AccountFile = Annotated[Path, typer.Option(help="Accounts: JSON records or CSV.")]

STORE = Path("margincast-store")


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2023-12-31") from None


Day = Annotated[Any, typer.Option(parser=_day, metavar="DATE")]


def _instant(text: str) -> int:
    """Milliseconds since 1970 of a date or a date and time, in UTC where it names no zone."""
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2023-12-31 or 2023-12-31T08:00") from None
    return round((instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@contextmanager
def _told() -> Iterator[Callable[[str], None]]:
    """Show progress on the terminal's error stream; without a terminal, a line a step."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: console.print(step, highlight=False, markup=False, soft_wrap=True)
        return
    with console.status("starting") as status:

        def say(step: str) -> None:
            console.print(f"- {step}", style="dim", highlight=False, markup=False)
            status.update(Text(step))

        yield say


@contextmanager
def _told_as_it_goes() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """`_told`, and a line that is written over as work goes on; without a terminal that line is not shown."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: console.print(step, highlight=False, markup=False, soft_wrap=True), lambda step: None
        return
    with console.status("starting") as status:
        yield (
            lambda step: console.print(f"- {step}", style="dim", highlight=False, markup=False),
            lambda step: status.update(Text(step)),
        )


def _rules(venue: str, *, generic: bool = True) -> Any:
    from .riskcore.rulebook_file import load_rulebook, read_rulebook, with_generic

    rules = read_rulebook(venue) if venue.endswith(".toml") else load_rulebook(venue)
    return with_generic(rules) if generic else rules


def _write_json(path: Path | None, content: Any) -> None:
    if path is None:
        return
    from .training.atomic import write_atomically

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


def _version(asked: bool) -> None:
    if asked:
        from . import __version__

        print(f"margincast {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
]


@app.callback()
def _options(version: Version = False) -> None:
    """Forecast which margin accounts will be liquidated, and propose margin that keeps them and the venue solvent."""


@app.command()
def demo(
    market: Annotated[Path | None, typer.Option(help="Market folder with real bars; left out: simulate one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report and the simulated market.")] = Path(
        "margincast-demo"
    ),
    accounts: Accounts = 10_000,
    seed: Seed = 1,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
) -> None:
    """Do the whole job offline, on a simulated market or a real one, and write one HTML report."""
    from .training.console import show_demo
    from .training.demo import run_demo

    with _told() as say:
        result = run_demo(out, market, _rules(venue), accounts=accounts, seed=seed, threads=threads, say=say)
    show_demo(result)


@app.command()
def train(
    market: Market,
    train_end: Day,
    horizons: Horizons = "1h,4h,24h",
    accounts: Accounts = 20_000,
    seed: Seed = 1,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
    store: Store = STORE,
    out: Annotated[Path | None, typer.Option(help="New folder for the model; default: in the store.")] = None,
    track: Annotated[bool, typer.Option(help="Log the run to MLflow and register the model.")] = True,
    json_file: JsonFile = None,
) -> None:
    """Fit a forecaster on history, store it, track it and register it."""
    from .features.readers.folder import read_market_folder
    from .training.console import show_trained
    from .training.market_view import view_market
    from .training.plan import Plan
    from .training.train import train_model

    plan = Plan(train_end, horizons=horizons, accounts=accounts, seed=seed, threads=threads)
    folder = out or store / "models" / f"{train_end}-seed{seed}"
    with _told() as say:
        view = view_market(read_market_folder(market))
        trained = train_model(view, _rules(venue), plan, folder, store=store if track else None, say=say)
    show_trained(trained)
    _write_json(json_file, {"folder": str(folder), "sha256": trained.fingerprint, "address": trained.address})


@app.command()
def evaluate(
    market: Market,
    train_end: Day,
    test_start: Day,
    test_end: Day = None,
    horizons: Horizons = "1h,4h,24h",
    accounts: Accounts = 20_000,
    seed: Seed = 1,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
    json_file: JsonFile = None,
) -> None:
    """Fit up to one day, score every model on simulated accounts seen after it, against every baseline."""
    from .features.readers.folder import read_market_folder
    from .training.console import show_evaluation
    from .training.evaluate import evaluate_market
    from .training.market_view import view_market
    from .training.plan import Plan

    plan = Plan(train_end, test_start, test_end, horizons, accounts, seed, threads)
    with _told() as say:
        view = view_market(read_market_folder(market))
        evaluation = evaluate_market(view, _rules(venue), plan, say=say)
    show_evaluation(evaluation.scores)
    _write_json(json_file, evaluation.scores)


@app.command()
def score(
    accounts: AccountFile,
    market: Market,
    at: At = None,
    model: Model = None,
    venue: Venue = "binance_usdm",
    generic: Generic = False,
    target: Target = 0.05,
    top: Annotated[int, typer.Option(min=1, help="How many of the most endangered to explain and advise.")] = 10,
    store: Store = STORE,
    threads: Threads = 1,
    json_file: JsonFile = None,
) -> None:
    """Score accounts: probability of liquidation, reasons, and the smallest deposit or cut that helps."""
    from .training.console import show_scores
    from .training.scoring import ScoreRequest, score_file

    request = ScoreRequest(accounts, market, at, model, store, target, top, threads)
    with _told() as say:
        result = score_file(request, _rules(venue, generic=generic), say=say)
    show_scores(result, top)
    _write_json(json_file, result)


@app.command()
def explain(
    account: Annotated[str, typer.Argument(help="Name of the account.")],
    accounts: AccountFile,
    market: Market,
    at: At = None,
    model: Model = None,
    venue: Venue = "binance_usdm",
    generic: Generic = False,
    target: Target = 0.05,
    store: Store = STORE,
    threads: Threads = 1,
    json_file: JsonFile = None,
) -> None:
    """Say why one account is in danger, at every horizon, and what would help."""
    from .training.console import show_explanation
    from .training.scoring import ScoreRequest, explain_account

    request = ScoreRequest(accounts, market, at, model, store, target, 1, threads)
    with _told() as say:
        result = explain_account(request, _rules(venue, generic=generic), account, say=say)
    show_explanation(result)
    _write_json(json_file, result)


@app.command()
def stress(
    accounts: AccountFile,
    market: Market,
    at: At = None,
    fund: Annotated[float | None, typer.Option(help="Insurance fund, base asset; default: 1% of the notional.")] = None,
    replay: Annotated[list[str] | None, typer.Option(help="START/END of the market's own history; repeatable.")] = None,
    depeg: Annotated[list[str] | None, typer.Option(help="Asset held that falls 13%; repeatable.")] = None,
    reverse: Annotated[bool, typer.Option(help="Seek the smallest shocks that drain the fund.")] = True,
    venue: Venue = "binance_usdm",
    generic: Generic = False,
    json_file: JsonFile = None,
) -> None:
    """Take accounts and fund through crashes, droughts, outages and replays, down to who bears the loss."""
    from .training.console import show_stress
    from .training.stress_file import StressRequest, stress_file

    request = StressRequest(accounts, market, at, fund, tuple(replay or ()), tuple(depeg or ()), reverse)
    with _told() as say:
        result = stress_file(request, _rules(venue, generic=generic), say=say)
    show_stress(result)
    _write_json(json_file, result)


@app.command()
def features(
    market: Market,
    out: Annotated[
        Path | None, typer.Option(callback=_in_a_folder, help="Parquet file: a row an instant and symbol.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Distance between rows, bars.")] = 1,
    json_file: JsonFile = None,
) -> None:
    """Compute every feature of a market, as known at each instant; say what each is and which it does not allow."""
    from .training.console import show_features
    from .training.feature_export import export_features

    with _told() as say:
        result = export_features(market, out, every, say=say)
    show_features(result)
    _write_json(json_file, result.as_dict())


@app.command(name="tune")
def tune_margin(
    market: Market,
    start: Day,
    end: Day,
    level: Annotated[float, typer.Option(help="Coverage asked of each side.")] = 0.99,
    mpor_hours: Annotated[float, typer.Option(help="Margin period of risk, hours.")] = 8.0,
    max_rise: Annotated[float, typer.Option(help="Largest relative rise of a rate within a day.")] = 0.1,
    venue: Venue = "binance_usdm",
    json_file: JsonFile = None,
) -> None:
    """Propose maintenance margin rates against the current tiers, with coverage, Kupiec test and procyclicality."""
    import numpy as np

    from .features.readers.folder import read_market_folder
    from .training.console import show_proposal
    from .training.tune import tune
    from .training.tune_settings import TuneSettings

    settings = TuneSettings(level=level, mpor_hours=mpor_hours, max_rise=max_rise)
    with _told() as say:
        say(f"reading {market}")
        data = read_market_folder(market)
        first, last = np.datetime64(start, "ns"), np.datetime64(end + dt.timedelta(days=1), "ns")
        proposal = tune(data, _rules(venue), first, last, settings=settings, progress=say)
    show_proposal(proposal)
    _write_json(json_file, proposal.as_dict())


@app.command()
def backtest(
    returns: Annotated[Path, typer.Option(help="Daily returns, one column an instrument (Parquet or CSV).")],
    level: Annotated[float, typer.Option(help="Tail probability, such as 0.01.")] = 0.01,
    json_file: JsonFile = None,
) -> None:
    """Back-test one-day margin quantiles on daily returns: violations, Kupiec, conformal shift, quantile score."""
    from .training.console import show_backtest
    from .training.margin_backtest import backtest as run

    with _told() as say:
        say(f"back-testing {returns}")
        result = run(returns, level)
    show_backtest(result)
    _write_json(json_file, result)


@app.command()
def fetch(
    exchange: Annotated[str, typer.Option(help="Venue by its ccxt name: binanceusdm, bybit, okx, hyperliquid, ...")],
    out: Annotated[Path, typer.Option(help="Folder of the store; it only grows.")],
    symbols: Annotated[
        Any, typer.Option(parser=_names, metavar="NAMES", help="Such as BTC,ETH or BTC/USDT:USDT.")
    ] = "",
    tables: Annotated[
        Any,
        typer.Option(
            parser=_names,
            metavar="NAMES",
            help="Some of perp, mark, index, funding, open_interest, depth, tiers, account.",
        ),
    ] = "perp,mark,funding",
    since: Annotated[
        Any, typer.Option(parser=_instant, metavar="DATE", help="First instant, UTC; default: the last stored row.")
    ] = None,
    until: Annotated[
        Any, typer.Option(parser=_instant, metavar="DATE", help="Stop before it, UTC; default: now.")
    ] = None,
    step: Annotated[str, typer.Option(help="Length of a bar: 1m, 5m, 1h, ...")] = "1h",
    quote: Annotated[str, typer.Option(help="Asset that perpetuals of a coin are quoted and settled in.")] = "USDT",
    account: Annotated[str, typer.Option(help="Name to keep the account of the keys under.")] = "main",
    base_url: Annotated[str | None, typer.Option(help="Ask this address instead of the venue's.")] = None,
) -> None:
    """Download a market from a venue into a local store; run again, it goes on where it stopped."""
    from .live.console import show_fetched
    from .live.exchange import open_exchange
    from .live.fetch import fetch as run
    from .live.fetch_plan import FetchPlan

    plan = FetchPlan(symbols, tables, since, until, step, quote, account)
    private = bool({"tiers", "account"} & set(tables))
    with open_exchange(exchange, base_url=base_url, private=private) as venue, _told_as_it_goes() as (say, show):
        try:
            report = run(plan, venue, out, say=say, show=show)
        except KeyboardInterrupt:
            print("margincast: stopped; what was read is stored, the same command goes on from there", file=sys.stderr)
            raise typer.Exit(130) from None
    show_fetched(report)


@app.command(name="import")
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Archive files, or folders that are searched for them.")],
    out: Annotated[Path, typer.Option(help="Folder of the store; it only grows.")],
    quote: Annotated[str, typer.Option(help="Asset that perpetuals of a coin are quoted and settled in.")] = "USDT",
    kind: Annotated[
        str | None, typer.Option(help="Binance files without their folders: market and kind, such as um/klines.")
    ] = None,
) -> None:
    """Read files of the public archives of Binance, Bybit and OKX into a local store."""
    from .live.console import show_imported
    from .training.import_archives import import_archives
    from .training.table_store import TableStore

    def progress(done: int, of: int, file: Any) -> None:
        show(f"{done} of {of}: {file.file}")

    with _told_as_it_goes() as (_, show):
        report = import_archives(files, TableStore(out), quote=quote, kind=kind, progress=progress)
    show_imported(report, out)
    if report.count("refused"):
        raise typer.Exit(1)


@app.command()
def selfcheck(
    shared: Annotated[Path | None, typer.Option(help="Folder with var_tables, to reproduce published figures.")] = None,
) -> None:
    """Recompute figures published by venues and papers on this machine and print the deviations."""
    from .training.console import show_selfcheck
    from .training.selfcheck import run_selfcheck

    findings = run_selfcheck(shared)
    show_selfcheck(findings)
    if not all(finding.agrees for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; an error margincast raises on purpose is one line and exit code 2."""
    try:
        app()
    except ValueError as error:
        # imported here only: the package would load numba before --help is shown
        from .riskcore.errors import MargincastError

        if not isinstance(error, MargincastError):
            raise
        print(f"margincast: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
