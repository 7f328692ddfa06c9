"""The evaluation that a card shows: read from a file, and refused where it is of another model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..riskcore.errors import InputError
from .horizon_order import by_length

OF_THESE_BYTES = "Figures of these very bytes."
FITTED_THE_SAME_WAY = (
    "Figures of a model that `margincast evaluate` fitted the same way, to the same period, symbols and rules; "
    "not of these very bytes."
)


def read_evaluation(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """What `evaluate --json` wrote of a model that was fitted as this one was.

    Parameters
    ----------
    about
        What the model says of its training; what an older model does not say is not compared.

    Raises
    ------
    InputError
        The file is not there, is none of `evaluate`, or is of another model: each difference is named.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as failure:
        raise InputError("is not there", file=path) from failure
    except (OSError, ValueError) as failure:
        raise InputError("is not a JSON file that can be read", file=path) from failure
    if not (
        isinstance(found, dict) and isinstance(found.get("horizons"), dict) and isinstance(found.get("data"), dict)
    ):
        raise InputError("is not what `evaluate --json` writes", file=path)
    if said := differences(found, about):
        raise InputError(f"is not of this model: {'; '.join(said)}", file=path)
    return found


def differences(evaluation: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """What an evaluation says of the fitting otherwise than the model does, each in words.

    Examples
    --------
    >>> data = {"market": "real bars", "train": ["2022-02-01T00:00", "2022-04-20T23:00"]}
    >>> differences({"horizons": {"4h": {}, "24h": {}}, "data": data},
    ...             {"market": "real bars", "train_end": "2022-04-30", "horizons": ["4h", "24h"]})
    ['last day of training 2022-04-20, of the model 2022-04-30']
    """
    evaluated, trained = _evaluated(evaluation), _trained(about)
    return [
        f"{name} {_told(evaluated[name])}, of the model {_told(value)}"
        for name, value in trained.items()
        if value is not None and value != evaluated[name]
    ]


def whose(evaluation: Mapping[str, Any], sha256: str | None) -> str:
    """Whether the figures of an evaluation are of the stored model itself, in words."""
    known = sha256 is not None and evaluation["data"].get("model_sha256") == sha256
    return OF_THESE_BYTES if known else FITTED_THE_SAME_WAY


def _evaluated(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    data = evaluation["data"]
    last = (data.get("train") or [None])[-1]
    return {
        "market": data.get("market"),
        "symbols": data.get("symbols"),
        "bars of hours": data.get("bar_hours"),
        "first instant": (data.get("sources") or {}).get("first"),
        "last day of training": None if last is None else str(last)[:10],
        "horizons": list(by_length(evaluation["horizons"])),
        "seed": data.get("seed"),
        "accounts trained on": data.get("accounts_trained"),
        "rules": (data.get("rules") or {}).get("sha256"),
    }


def _trained(about: Mapping[str, Any]) -> dict[str, Any]:
    settings = about.get("settings") or {}
    return {
        "market": about.get("market"),
        "symbols": about.get("symbols"),
        "bars of hours": about.get("bar_hours"),
        "first instant": (about.get("data") or {}).get("first"),
        "last day of training": about.get("train_end"),
        "horizons": about.get("horizons"),
        "seed": settings.get("seed"),
        "accounts trained on": settings.get("accounts"),
        "rules": about.get("rulebook_sha256"),
    }


def _told(value: Any) -> str:
    if value is None:
        return "not said"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
