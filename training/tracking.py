"""Runs and models in MLflow, on an SQLite file by default."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..riskcore.errors import MargincastError

REGISTERED = "margincast"
CHAMPION = "champion"
DATABASE = "mlflow.db"


def default_tracking_uri(folder: Path) -> str:
    """The tracking address that is used when MLFLOW_TRACKING_URI is not set: an SQLite file in `folder`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / DATABASE).absolute()}"


def log_run(
    store: Path,
    model_folder: Path,
    *,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    documents: Mapping[str, Any],
) -> str:
    """Log a run with its model folder and register the model; the first version of a registry becomes champion.

    Parameters
    ----------
    store
        Folder of the SQLite file and the artifacts, made if it is not there.
    model_folder
        What `store.save_state` wrote.
    parameters, metrics, documents
        Settings, figures, and things to keep as JSON, by name.

    Returns
    -------
    str
        The model's address, "models:/margincast/VERSION".
    """
    _quiet()
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        store.mkdir(parents=True, exist_ok=True)
        uri = default_tracking_uri(store)
        client = MlflowClient(uri, uri)
        experiment = client.get_experiment_by_name(REGISTERED)
        artifacts = (store / "artifacts").absolute().as_uri()
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(REGISTERED, artifacts)
        run = client.create_run(experiment_id)
        for name, value in parameters.items():
            client.log_param(run.info.run_id, name, value)
        for name, value in metrics.items():
            client.log_metric(run.info.run_id, name, value)
        for name, document in documents.items():
            client.log_dict(run.info.run_id, dict(document), f"{name}.json")
        client.log_artifacts(run.info.run_id, str(model_folder), "model")
        client.set_terminated(run.info.run_id)
        version = _register(client, run)
    except (MlflowException, OSError) as failure:
        raise MargincastError(f"{store}: the run could not be tracked ({str(failure).splitlines()[0]})") from failure
    return f"models:/{REGISTERED}/{version}"


def fetch_model(store: Path, address: str, target: Path) -> Path:
    """Copy a registered model into `target`: "models:/margincast/3", "models:/margincast@champion" or "champion".

    Returns
    -------
    Path
        The model's folder, inside `target`.
    """
    _quiet()
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    name, version, alias = _parse(address)
    if "MLFLOW_TRACKING_URI" not in os.environ and not (store / DATABASE).is_file():
        raise MargincastError(f"{address}: is no model folder, and there is no model store in {store}")
    try:
        uri = default_tracking_uri(store)
        client = MlflowClient(uri, uri)
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
        return Path(client.download_artifacts(str(found.run_id), "model", str(target)))
    except (MlflowException, OSError) as failure:
        raise MargincastError(f"{address}: no such model in {store} ({str(failure).splitlines()[0]})") from failure


def _register(client: Any, run: Any) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(REGISTERED)
    except MlflowException:
        pass  # it is there already
    created = client.create_model_version(REGISTERED, f"{run.info.artifact_uri}/model", run.info.run_id)
    if str(created.version) == "1":
        client.set_registered_model_alias(REGISTERED, CHAMPION, created.version)
    return str(created.version)


def _parse(address: str) -> tuple[str, str, str]:
    """Name, version and alias of an address; version or alias is empty."""
    text = address.removeprefix("models:/")
    if text == CHAMPION:
        return REGISTERED, "", CHAMPION
    if "@" in text:
        name, _, alias = text.partition("@")
        return name, "", alias
    name, _, version = text.partition("/")
    if not version:
        raise MargincastError(f'{address}: a registered model is named like "models:/margincast/3" or "champion"')
    return name, version, ""


def _quiet() -> None:
    # both are read when mlflow is imported, which sets its loggers anew
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    for name in ("mlflow", "alembic", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.ERROR)
