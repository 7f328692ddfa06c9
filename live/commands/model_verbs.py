"""The verbs of the registry: promote, rollback, monitor, card."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    STORE,
    End,
    JsonFile,
    Market,
    Seed,
    Since,
    Start,
    Store,
    Threads,
    Venue,
    blamed_on,
    day_of,
    rules_of,
    told,
    write_json,
)

verbs = typer.Typer()

Registered = Annotated[str, typer.Option("--model", help="Registered model, such as models:/margincast/3.")]
Judged = Annotated[int, typer.Option(min=1, help="Simulated accounts to look at.")]
FirstJudged = Annotated[
    Any, typer.Option(parser=day_of, metavar="DATE", help="First day judged on; default: the newest neither has seen.")
]
ChampionModel = Annotated[str, typer.Option("--model", help='Model folder or registry address, such as "champion".')]


@verbs.command()
def promote(
    market: Market,
    model: Registered = "challenger",
    start: FirstJudged = None,
    accounts: Judged = 20_000,
    seed: Seed = 1001,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
    store: Store = STORE,
    json_file: JsonFile = None,
) -> None:
    """Judge a challenger on the newest days: it becomes champion, or is refused and the reason kept (exit code 1)."""
    from ...training.champions import PromotionRequest, promote_model
    from ...training.console_models import show_promotion

    request = PromotionRequest(market, store, model, start, accounts, seed, threads)
    with told() as say:
        promotion = promote_model(request, rules_of(venue), dt.datetime.now(dt.UTC), say=say)
    write_json(json_file, promotion.as_dict())
    show_promotion(promotion)
    if not promotion.verdict.promoted:
        raise typer.Exit(1)


@verbs.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    store: Store = STORE,
) -> None:
    """Make the champion before the present one champion again."""
    from ...training.champions import registry_history, rollback_model
    from ...training.console_models import show_rollback

    event = rollback_model(store, dt.datetime.now(dt.UTC), reason)
    show_rollback(event, registry_history(store))


@verbs.command()
def monitor(
    market: Market,
    since: Since,
    model: ChampionModel = "champion",
    accounts: Judged = 20_000,
    seed: Seed = 2001,
    threads: Threads = 2,
    venue: Venue = "binance_usdm",
    store: Store = STORE,
    json_file: JsonFile = None,
) -> None:
    """Look for drift since a day; one that alarms (exit code 1) falls back to FHS until a later look is calm."""
    from ...training.console_models import show_drift
    from ...training.monitor import MonitorRequest, monitor_model

    request = MonitorRequest(market, store, model, since, accounts, seed, threads)
    with told() as say, blamed_on("since", str(since), "start"):
        report = monitor_model(request, rules_of(venue), dt.datetime.now(dt.UTC), say=say)
    write_json(json_file, report)
    show_drift(report)
    if report["fall_back"]:
        raise typer.Exit(1)


@verbs.command()
def card(
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    model: ChampionModel = "champion",
    evaluation: Annotated[Path | None, typer.Option(help="What evaluate --json wrote of this model.")] = None,
    store: Store = STORE,
) -> None:
    """Write the card (Markdown, JSON) and the validation report (HTML) of a model."""
    from ...training.card_files import write_cards
    from ...training.console_models import show_cards

    show_cards(write_cards(model, store, out, evaluation))


@verbs.command()
def behaviour(
    history: Annotated[Path, typer.Option(help="Folder of account events: trades and, if there, transfers, ...")],
    market: Market,
    start: Start,
    end: End,
    out: Annotated[Path, typer.Option(help="New folder for what is learned.")],
    venue: Venue = "binance_usdm",
) -> None:
    """Learn from account histories when owners close, reduce or deposit; score --behaviour uses it."""
    import numpy as np

    from ...training.behaviour_files import learn_behaviour
    from ...training.console_models import show_behaviour

    first, last = np.datetime64(start, "ns"), np.datetime64(end + dt.timedelta(days=1), "ns")
    with told() as say:
        say(f"learning from {history}")
        learned = learn_behaviour(history, market, rules_of(venue), first, last, out)
    show_behaviour(learned)
