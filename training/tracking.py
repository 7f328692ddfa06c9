"""Runs and models in MLflow, on an SQLite file by default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..riskcore.errors import MargincastError
from .mlflow_store import failures_as, is_there, open_client
from .registry import REGISTERED, Registry, parse_address


def log_run(
    store: Path,
    model_folder: Path,
    *,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    documents: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> str:
    """Log a run with its model folder and register the model (`Registry.register`).

    Parameters
    ----------
    store
        Folder of the SQLite file and the artifacts, made if it is not there.
    model_folder
        What `store.save_state` wrote.
    parameters, metrics, documents
        Settings, figures, and things to keep as JSON, by name.
    texts
        Further files to keep, by file name.

    Returns
    -------
    str
        The model's address, "models:/margincast/VERSION".
    """
    with failures_as(f"{store}: the run could not be tracked"):
        store.mkdir(parents=True, exist_ok=True)
        client = open_client(store)
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
        for name, text in (texts or {}).items():
            client.log_text(run.info.run_id, text, name)
        client.log_artifacts(run.info.run_id, str(model_folder), "model")
        client.set_terminated(run.info.run_id)
        version = Registry(client).register(f"{run.info.artifact_uri}/model", run.info.run_id)
    return f"models:/{REGISTERED}/{version}"


def is_registered(store: Path, sha256: str) -> bool:
    """Whether a model with this hash, logged as the parameter model_sha256, is a version of a registry with a champion.

    Without a champion the first registration was killed half way, and is to be made again.
    """
    if not is_there(store):
        return False
    with failures_as(f"{store}: the registry could not be read"):
        client = open_client(store)
        experiment = client.get_experiment_by_name(REGISTERED)
        if experiment is None:
            return False
        runs = client.search_runs([experiment.experiment_id], f"params.model_sha256 = '{sha256}'")
        found = any(client.search_model_versions(f"run_id = '{run.info.run_id}'") for run in runs)
        return found and Registry(client, str(store)).champion() is not None


def fetch_model(store: Path, address: str, target: Path) -> Path:
    """Copy a registered model into `target`: "models:/margincast/3", "models:/margincast@champion" or "champion".

    Returns
    -------
    Path
        The model's folder, inside `target`.
    """
    parse_address(address)
    if not is_there(store):
        raise MargincastError(f"{address}: is no model folder, and there is no model store in {store}")
    with failures_as(f"{store}: the registry could not be read"):
        client = open_client(store)
        found = Registry(client, str(store)).find(address)
    with failures_as(f"{address}: the files of the model are gone; {store} knows them by the path it was made at"):
        return Path(client.download_artifacts(str(found.run_id), "model", str(target)))
