"""Card and validation report of a stored model as files: in a folder, and beside the model in the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .atomic import make_folder, write_atomically
from .card_evaluation import read_evaluation
from .model_card import card_json, model_card
from .model_card_text import card_markdown
from .registry import open_registry
from .store import load_state, state_hash
from .tracking import fetch_model
from .validation_report import validation_html

GATE_FOLDER = "gate"


def card_texts(
    about: Mapping[str, Any],
    *,
    address: str | None = None,
    sha256: str | None = None,
    evaluation: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
    rolled_back: str | None = None,
) -> dict[str, str]:
    """Card (Markdown and JSON) and validation report (HTML) by file name; see `model_card.model_card`."""
    card = model_card(
        about, address=address, sha256=sha256, evaluation=evaluation, verdict=verdict, rolled_back=rolled_back
    )
    return {
        "model_card.json": card_json(card),
        "model_card.md": card_markdown(card),
        "validation_report.html": validation_html(card, evaluation=evaluation, verdict=verdict),
    }


def write_cards(model: str, store: Path, out: Path, evaluation: Path | None = None) -> list[Path]:
    """Write card and report of a model into a folder.

    Parameters
    ----------
    model
        Model folder or registry address; of a registered one the newest verdict, its evaluation and, if it was rolled
        back, when and why are taken.
    store
        Folder of the model store.
    out
        Folder to write to, made where it is missing.
    evaluation
        What `evaluate --json` wrote of a model fitted as this one was; None: what the registry holds.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        The evaluation is not there, or of another model (`read_evaluation`).
    """
    about, sha256 = about_model(model, store)
    found = None if evaluation is None else read_evaluation(evaluation, about)
    verdict = rolled_back = None
    if not Path(model).is_dir():
        with open_registry(store) as registry:
            version = str(registry.find(model).version)
            found = found or registry.document(version, "evaluation.json")
            verdict = registry.newest_document(version, GATE_FOLDER)
            rolled_back = registry.tags(version).get("rolled_back")
    texts = card_texts(about, address=model, sha256=sha256, evaluation=found, verdict=verdict, rolled_back=rolled_back)
    make_folder(out)
    for name, text in texts.items():
        write_atomically(out / name, text.encode())
    return [out / name for name in texts]


def about_model(model: str, store: Path) -> tuple[dict[str, Any], str]:
    """What a stored model says of its training, and the hash of its bytes."""
    with tempfile.TemporaryDirectory(prefix="margincast-") as scratch:
        folder = Path(model) if Path(model).is_dir() else fetch_model(store, model, Path(scratch))
        return dict(load_state(folder)["about"]), state_hash(folder)
