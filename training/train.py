"""Training a forecaster and keeping it: on disk, in the tracking store, in the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..features.releases import outside_calendar
from ..riskcore.rulebook import RuleBook
from ..riskcore.rulebook_file import rulebook_hash
from .atomic import require_new_folder
from .card_files import card_texts
from .fit import fit_forecaster
from .forecaster import LiquidationForecaster
from .market_view import MarketView
from .plan import Horizon, Plan, accounts_to_train_on, parse_horizons, training_bars
from .store import load_state, save_state
from .tracking import fetch_model, log_run
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

    Parameters
    ----------
    folder
        New folder for the model; the same inputs give the same bytes.
    store
        Folder of the MLflow store; None: not tracked.
    place
        Where accounts are labelled and boosters fitted; None: on this machine.
    """
    require_new_folder(folder)
    horizons = parse_horizons(plan.horizons, view.history.step)
    first, last = training_bars(plan, view.history, horizons[-1].bars)
    count = accounts_to_train_on(plan, (first, last), view.history.step)
    if strange_days := outside_calendar(view.history.times):
        say(strange_days)
    say(f"fitting on {count:,} simulated accounts seen up to {plan.train_end}")
    model = fit_forecaster(view, rules, plan, first, last, tuple(h.bars for h in horizons), place)
    model.about_ |= describe_training(view, rules, plan, horizons)
    fingerprint = save_state(model.state(), folder)
    address = None
    if store is not None:
        say(f"tracking in {store}")
        settings = {k: str(v) for k, v in asdict(plan).items() if k not in ("test_start", "test_end")}
        address = log_run(
            store,
            folder,
            parameters=settings | {"model_sha256": fingerprint},
            metrics=_metrics(model.about_),
            documents={"about": model.about_},
            texts=card_texts(model.about_, sha256=fingerprint),
        )
    return Trained(model, folder, fingerprint, address)


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
    return {
        "horizons": [h.name for h in horizons],
        "symbols": list(view.history.instruments.symbols),
        "bar_hours": view.data.bar_hours,
        "market": "simulated" if view.data.simulated else "real bars",
        "accounts": "simulated",
        "train_end": plan.train_end.isoformat(),
        "venue": rules.venue,
        "rulebook_sha256": rulebook_hash(rules),
        "data": {k: v for k, v in view.data.report.as_dict().items() if k != "folder"},
    }
