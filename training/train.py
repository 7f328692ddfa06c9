"""Training a forecaster and keeping it: on disk, in the tracking store, in the registry."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..features.releases import outside_calendar
from ..riskcore.errors import CorruptModelError
from ..riskcore.rulebook import RuleBook
from ..riskcore.rulebook_file import rulebook_hash
from .atomic import require_new_folder
from .card_files import card_texts
from .fit import fit_forecaster
from .forecaster import LiquidationForecaster
from .market_view import MarketView
from .plan import Horizon, Plan, accounts_to_train_on, parse_horizons, training_bars
from .store import MANIFEST, load_state, save_state, state_hash
from .tracking import fetch_model, is_registered, log_run
from .workplace import Workplace


@dataclass(frozen=True)
class Trained:
    """A fitted forecaster and where it is kept."""

    model: LiquidationForecaster
    folder: Path
    fingerprint: str
    address: str | None


def train_model(
    view: MarketView,
    rules: RuleBook,
    plan: Plan,
    folder: Path,
    *,
    store: Path | None = None,
    place: Workplace | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Fit on a market up to `plan.train_end`, write the model to `folder` and, if asked, track and register it.

    A run that was killed before it registered goes on: a model that `folder` holds is registered as it is, if it says
    of itself what this one would, by this version of margincast from these files, rules and settings.

    Parameters
    ----------
    folder
        New folder for the model; the same inputs give the same bytes.
    store
        Folder of the MLflow store; None: not tracked.
    place
        Where accounts are labelled and boosters fitted; None: on this machine.

    Raises
    ------
    MargincastError
        `folder` is there already and holds anything else, or a model that is registered.
    """
    if store is None or not (folder / MANIFEST).is_file():
        require_new_folder(folder)
    horizons = parse_horizons(plan.horizons, view.history.step)
    described = describe_training(view, rules, plan, horizons)
    if store is not None and (state := _left_unregistered(folder, store, described)) is not None:
        say(f"{folder} holds this very model, fitted but not registered: it is not fitted anew")
        model = LiquidationForecaster.from_state(state, plan.threads)
    else:
        require_new_folder(folder)
        model = _fit(view, rules, plan, horizons, place, say)
        model.about_ |= described
        save_state(model.state(), folder)
    fingerprint = state_hash(folder)
    address = None
    if store is not None:
        say(f"tracking in {store}")
        address = _track(store, folder, plan, model.about_, fingerprint)
    return Trained(model, folder, fingerprint, address)


def _fit(
    view: MarketView,
    rules: RuleBook,
    plan: Plan,
    horizons: tuple[Horizon, ...],
    place: Workplace | None,
    say: Callable[[str], None],
) -> LiquidationForecaster:
    first, last = training_bars(plan, view.history, horizons[-1].bars)
    count = accounts_to_train_on(plan, (first, last), view.history.step)
    if strange_days := outside_calendar(view.history.times):
        say(strange_days)
    say(f"fitting on {count:,} simulated accounts seen up to {plan.train_end}")
    return fit_forecaster(view, rules, plan, first, last, tuple(h.bars for h in horizons), place)


def _left_unregistered(folder: Path, store: Path, described: Mapping[str, Any]) -> dict[str, Any] | None:
    """State of a whole model in `folder` that fits a description and is not registered; None: there is no such."""
    try:
        state = load_state(folder)
    except CorruptModelError:
        return None
    about = state.get("about") or {}
    kept, wanted = (json.dumps(part, sort_keys=True) for part in ({k: about.get(k) for k in described}, described))
    return None if kept != wanted or is_registered(store, state_hash(folder)) else state


def _track(store: Path, folder: Path, plan: Plan, about: Mapping[str, Any], fingerprint: str) -> str:
    settings = {k: str(v) for k, v in asdict(plan).items() if k not in ("test_start", "test_end")}
    return log_run(
        store,
        folder,
        parameters=settings | {"model_sha256": fingerprint},
        metrics=_metrics(about),
        documents={"about": about},
        texts=card_texts(about, sha256=fingerprint),
    )


def load_model(address: str, *, store: Path, threads: int = 1) -> LiquidationForecaster:
    """The model in a folder, or at a registry address such as "models:/margincast/3" or "champion"."""
    if Path(address).is_dir():
        return LiquidationForecaster.from_state(load_state(Path(address)), threads)
    with tempfile.TemporaryDirectory(prefix="margincast-") as scratch:
        return LiquidationForecaster.from_state(load_state(fetch_model(store, address, Path(scratch))), threads)


def _metrics(about: Mapping[str, Any]) -> dict[str, float]:
    """Training rows, and the log loss of each member on the validation block."""
    losses = {
        f"validation_log_loss.{name}.{horizon}": float(values[k])
        for name, values in about["validation_log_loss"].items()
        for k, horizon in enumerate(about["horizons"])
    }
    return {"training_rows": float(about["rows"]), **losses}


def describe_training(view: MarketView, rules: RuleBook, plan: Plan, horizons: tuple[Horizon, ...]) -> dict[str, Any]:
    """What a model was trained on, kept with it: whoever scores with it needs the names and says the rest."""
    bars = training_bars(plan, view.history, horizons[-1].bars)
    count = accounts_to_train_on(plan, bars, view.history.step)
    return {
        "margincast": __version__,
        "horizons": [h.name for h in horizons],
        "symbols": list(view.history.instruments.symbols),
        "bar_hours": view.data.bar_hours,
        "market": "simulated" if view.data.simulated else "real bars",
        "accounts": "simulated",
        "train_end": plan.train_end.isoformat(),
        "settings": {"seed": plan.seed, "rounds": plan.rounds, "accounts": count},
        "venue": rules.venue,
        "rulebook_sha256": rulebook_hash(rules),
        "data": {k: v for k, v in view.data.report.as_dict().items() if k != "folder"},
    }
