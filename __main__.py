"""The command line: each verb parses its options, calls one function and prints what it found."""

from __future__ import annotations

import datetime as dt
import math
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from .live.commands.model_verbs import verbs as model_verbs
from .live.commands.options import (
    STORE,
    AccountFile,
    Accounts,
    At,
    End,
    FallBack,
    Generic,
    Horizons,
    JsonFile,
    Market,
    Model,
    Seed,
    Start,
    Store,
    Target,
    TestEnd,
    TestStart,
    Threads,
    TrainAccounts,
    TrainEnd,
    Venue,
    in_a_folder,
    instant_of,
    names_of,
    rules_of,
    told,
    told_as_it_goes,
    write_json,
)
from .live.commands.protocol_verbs import verbs as protocol_verbs

app = typer.Typer(
    name="margincast",
    help="Forecast which margin accounts will be liquidated, and propose margin that keeps them and the venue solvent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    accounts: Annotated[
        int, typer.Option(min=1, help="Simulated accounts to test on, and as many to train on.")
    ] = 10_000,
    seed: Seed = 1,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
) -> None:
    """Do the whole job offline, on a simulated market or a real one, and write one HTML report."""
    from .training.console import show_demo
    from .training.demo import run_demo

    with told() as say:
        result = run_demo(out, market, rules_of(venue), accounts=accounts, seed=seed, threads=threads, say=say)
    show_demo(result)


@app.command()
def train(
    market: Market,
    train_end: TrainEnd,
    horizons: Horizons = "1h,4h,24h",
    accounts: TrainAccounts = None,
    seed: Seed = 1,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
    store: Store = STORE,
    out: Annotated[Path | None, typer.Option(help="New folder for the model; default: in the store.")] = None,
    track: Annotated[bool, typer.Option(help="Log the run to MLflow and register the model.")] = True,
    dask: Annotated[
        str | None, typer.Option(help='Label and fit over Dask: a scheduler\'s address, or "local".')
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Fit a forecaster on history, store it, track it and register it."""
    from .features.readers.folder import read_market_folder
    from .training.cluster import dask_cluster
    from .training.console import show_trained
    from .training.market_view import view_market
    from .training.plan import Plan, require_trainable
    from .training.train import train_model
    from .training.workplace import OverCluster

    plan = Plan(train_end, horizons=horizons, seed=seed, threads=threads, train_accounts=accounts)
    folder = out or store / "models" / f"{train_end}-seed{seed}"
    with told() as say, dask_cluster(dask, threads) if dask else nullcontext() as cluster:
        data = read_market_folder(market)
        require_trainable(plan, data.history)
        view = view_market(data)
        place = OverCluster(cluster) if cluster else None
        trained = train_model(view, rules_of(venue), plan, folder, store=store if track else None, place=place, say=say)
    write_json(json_file, {"folder": str(folder), "sha256": trained.fingerprint, "address": trained.address})
    show_trained(trained)


@app.command()
def evaluate(
    market: Market,
    train_end: TrainEnd,
    test_start: TestStart,
    test_end: TestEnd = None,
    horizons: Horizons = "1h,4h,24h",
    accounts: Accounts = 20_000,
    train_accounts: TrainAccounts = None,
    seed: Seed = 1,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
    store: Annotated[Path | None, typer.Option(help="Store whose skill ledger this enters.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Fit up to one day, score every model on simulated accounts seen after it, against every baseline."""
    from .features.readers.folder import read_market_folder
    from .training.console import show_evaluation
    from .training.evaluate import evaluate_market
    from .training.market_view import view_market
    from .training.plan import Plan
    from .training.skill_ledger import enter_evaluation

    plan = Plan(train_end, test_start, test_end, horizons, accounts, seed, threads, train_accounts=train_accounts)
    with told() as say:
        view = view_market(read_market_folder(market))
        evaluation = evaluate_market(view, rules_of(venue), plan, say=say)
    if store is not None:
        enter_evaluation(store, evaluation.scores, evaluation.model, plan, dt.datetime.now(dt.UTC))
    write_json(json_file, evaluation.scores)
    show_evaluation(evaluation.scores)


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
    fall_back: FallBack = None,
    history: Annotated[Path | None, typer.Option(help="Folder of account events, for --behaviour.")] = None,
    behaviour: Annotated[Path | None, typer.Option(help="Hazards learned by `margincast behaviour`.")] = None,
    cash: Annotated[float, typer.Option(min=0.0, help="Most an account can deposit; default: no limit.")] = math.inf,
    json_file: JsonFile = None,
) -> None:
    """Score accounts: probability of liquidation, reasons, and the smallest deposit or cut that helps."""
    from .training.console import show_scores
    from .training.scoring import ScoreRequest, score_file

    request = ScoreRequest(
        accounts, market, at, model, store, target, top, threads, fall_back, history, behaviour, cash
    )
    with told() as say:
        result = score_file(request, rules_of(venue, generic=generic), say=say)
    write_json(json_file, result)
    show_scores(result, top)


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
    fall_back: FallBack = None,
    json_file: JsonFile = None,
) -> None:
    """Say why one account is in danger, at every horizon, and what would help."""
    from .training.console import show_explanation
    from .training.scoring import ScoreRequest, explain_account

    request = ScoreRequest(accounts, market, at, model, store, target, 1, threads, fall_back)
    with told() as say:
        result = explain_account(request, rules_of(venue, generic=generic), account, say=say)
    write_json(json_file, result)
    show_explanation(result)


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
    with told() as say:
        result = stress_file(request, rules_of(venue, generic=generic), say=say)
    write_json(json_file, result)
    show_stress(result)


@app.command()
def features(
    market: Market,
    out: Annotated[
        Path | None, typer.Option(callback=in_a_folder, help="Parquet file: a row an instant and symbol.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Distance between rows, bars.")] = 1,
    json_file: JsonFile = None,
) -> None:
    """Compute every feature of a market, as known at each instant; say what each is and which it does not allow."""
    from .training.console import show_features
    from .training.feature_export import export_features

    with told() as say:
        result = export_features(market, out, every, say=say)
    write_json(json_file, result.as_dict())
    show_features(result)


@app.command(name="tune")
def tune_margin(
    market: Market,
    start: Start,
    end: End,
    level: Annotated[float, typer.Option(help="Coverage asked of each side.")] = 0.99,
    mpor_hours: Annotated[float, typer.Option(help="Margin period of risk, hours.")] = 8.0,
    max_rise: Annotated[float, typer.Option(help="Largest relative rise of a rate within a day.")] = 0.1,
    venue: Venue = "binance_usdm",
    json_file: JsonFile = None,
) -> None:
    """Propose maintenance margin rates against the current tiers, with coverage, Kupiec test and procyclicality."""
    from .features.readers.folder import read_market_folder
    from .training.console import show_proposal
    from .training.tune import span_of_days, tune
    from .training.tune_settings import TuneSettings

    settings = TuneSettings(level=level, mpor_hours=mpor_hours, max_rise=max_rise)
    with told() as say:
        say(f"reading {market}")
        data = read_market_folder(market)
        first, last = span_of_days(data, start, end)
        proposal = tune(data, rules_of(venue), first, last, settings=settings, progress=say)
    write_json(json_file, proposal.as_dict())
    show_proposal(proposal)


@app.command()
def backtest(
    returns: Annotated[Path, typer.Option(help="Daily returns, one column an instrument (Parquet or CSV).")],
    level: Annotated[float, typer.Option(help="Tail probability, such as 0.01.")] = 0.01,
    json_file: JsonFile = None,
) -> None:
    """Back-test one-day margin quantiles on daily returns: violations, Kupiec, conformal shift, quantile score."""
    from .training.console import show_backtest
    from .training.margin_backtest import backtest as run

    with told() as say:
        say(f"back-testing {returns}")
        result = run(returns, level)
    write_json(json_file, result)
    show_backtest(result)


@app.command()
def fetch(
    exchange: Annotated[str, typer.Option(help="Venue by its ccxt name: binanceusdm, bybit, okx, hyperliquid, ...")],
    out: Annotated[Path, typer.Option(help="Folder of the store; it only grows.")],
    symbols: Annotated[
        Any, typer.Option(parser=names_of, metavar="NAMES", help="Such as BTC,ETH or BTC/USDT:USDT.")
    ] = "",
    tables: Annotated[
        Any,
        typer.Option(
            parser=names_of,
            metavar="NAMES",
            help="Some of perp, mark, index, funding, open_interest, depth, tiers, account.",
        ),
    ] = "perp,mark,funding",
    since: Annotated[
        Any, typer.Option(parser=instant_of, metavar="DATE", help="First instant, UTC; default: the last stored row.")
    ] = None,
    until: Annotated[
        Any, typer.Option(parser=instant_of, metavar="DATE", help="Stop before it, UTC; default: now.")
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
    with open_exchange(exchange, base_url=base_url, private=private) as venue, told_as_it_goes() as (say, show):
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

    with told_as_it_goes() as (_, show):
        report = import_archives(files, TableStore(out), quote=quote, kind=kind, progress=progress)
    show_imported(report, out)
    if report.count("refused"):
        raise typer.Exit(1)


@app.command()
def selfcheck(
    shared: Annotated[
        Path | None,
        typer.Option(help="Folder with var_tables (returns.parquet, published.csv): published back-tests as well."),
    ] = None,
) -> None:
    """Recompute figures published by venues and papers on this machine and print the deviations."""
    from .training.console import show_selfcheck
    from .training.selfcheck import run_selfcheck

    findings = run_selfcheck(shared)
    show_selfcheck(findings)
    if not all(finding.agrees for finding in findings):
        raise typer.Exit(1)


app.add_typer(model_verbs)
app.add_typer(protocol_verbs)


PIPE_CLOSED = 128 + 13
"""Exit code when the reader of the output goes away, as a shell tells it of a program that SIGPIPE ended."""


def main() -> None:
    """Run the command line; an error margincast raises on purpose is one line and exit code 2."""
    try:
        app()
    except SystemExit as ended:
        # both rich and typer end with 1, which some verbs say of what they found
        if isinstance(ended.__context__, BrokenPipeError):
            ended.code = PIPE_CLOSED
        raise
    except ValueError as error:
        # imported here only: the package would load numba before --help is shown
        from .riskcore.errors import MargincastError

        if not isinstance(error, MargincastError):
            raise
        print(f"margincast: {_named_as_typed(error)}", file=sys.stderr)
        sys.exit(2)


def _named_as_typed(error: Exception) -> str:
    """The error's text; a value that is in no file is called by its option, if the verb has one of that name."""
    column = getattr(error, "column", None)
    if column is None or getattr(error, "file", None) is not None or getattr(error, "row", None) is not None:
        return str(error)
    verb = getattr(typer.main.get_command(app), "commands", {}).get(next(iter(sys.argv[1:]), ""))
    named = [one for one in getattr(verb, "params", ()) if one.name == column and one.opts[0].startswith("--")]
    return str(error).replace(f"column {column}", named[0].opts[0], 1) if named else str(error)


if __name__ == "__main__":
    main()
