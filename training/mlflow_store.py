"""The MLflow store: an SQLite file by default, opened quietly, its failures said in one line."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..riskcore.errors import MargincastError
from .mlflow_database import DATABASE, make_database, opening


def default_tracking_uri(folder: Path) -> str:
    """The tracking address that is used when MLFLOW_TRACKING_URI is not set: an SQLite file in `folder`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / DATABASE).absolute()}"


def is_there(folder: Path) -> bool:
    """Whether a store can be asked without being made: the environment names one, or the SQLite file exists."""
    return "MLFLOW_TRACKING_URI" in os.environ or (folder / DATABASE).is_file()


def open_client(folder: Path) -> Any:
    """An MLflow client on the store of `folder`, made if it is not there; MLflow is imported here and kept quiet."""
    _quiet()
    from mlflow.tracking import MlflowClient

    uri = default_tracking_uri(folder)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return MlflowClient(uri, uri)
    make_database(folder)
    with opening(folder / DATABASE):
        return MlflowClient(uri, uri)


@contextmanager
def failures_as(problem: str) -> Iterator[None]:
    """Turn what MLflow and the disk raise into a MargincastError: `problem`, and the first line of the cause."""
    _quiet()
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as failure:
        raise MargincastError(f"{problem} ({str(failure).splitlines()[0]})") from failure


def _quiet() -> None:
    # both are read when mlflow is imported, which sets its loggers anew
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    for name in ("mlflow", "alembic", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.ERROR)
