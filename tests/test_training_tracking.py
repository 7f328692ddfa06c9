"""Tracking and registry in an SQLite store, and training that writes to it; nothing lands where the user stands."""

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_market as small

from margincast.riskcore.errors import InputError, MargincastError
from margincast.training import train
from margincast.training.mlflow_store import default_tracking_uri
from margincast.training.registry import Registry, open_registry
from margincast.training.store import load_state, save_state, state_hash
from margincast.training.tracking import fetch_model, is_registered, log_run
from margincast.training.train import load_model, train_model

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:alembic"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Stand in an empty folder, with no tracking address in the environment, and leave it empty."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    assert list(here.iterdir()) == []


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A store with two versions of a model."""
    folder = tmp_path_factory.mktemp("tracking")
    for number in (1, 2):
        save_state({"number": number, "array": np.arange(number)}, folder / f"model{number}")
        address = log_run(
            folder / "store",
            folder / f"model{number}",
            parameters={"seed": number},
            metrics={"rows": 10.0 * number},
            documents={"about": {"number": number}},
        )
        assert address == f"models:/margincast/{number}"
    return folder / "store"


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("models:/margincast/1", 1),
        ("models:/margincast/2", 2),
        ("models:/margincast@champion", 1),
        ("champion", 1),
        ("margincast/2", 2),
    ],
)
def test_a_model_comes_back_by_version_or_alias(store, tmp_path, address, number):
    target = tmp_path / "fetched"
    target.mkdir()
    assert load_state(fetch_model(store, address, target))["number"] == number


def test_what_comes_back_is_what_was_logged_byte_for_byte(store, tmp_path):
    folder = fetch_model(store, "champion", tmp_path)
    assert state_hash(folder) == state_hash(store.parent / "model1")


def test_runs_keep_their_settings_figures_and_documents(store):
    from mlflow.tracking import MlflowClient

    uri = default_tracking_uri(store)
    client = MlflowClient(uri, uri)
    version = client.get_model_version("margincast", "2")
    run = client.get_run(str(version.run_id))
    assert run.data.params == {"seed": "2"} and run.data.metrics == {"rows": 20.0}
    assert run.info.status == "FINISHED"
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {"about.json", "model"}


@pytest.mark.parametrize(
    "address", ["models:/margincast/9", "models:/other/1", "margincast@previous", "nobody@champion"]
)
def test_an_unknown_model_is_said_in_one_line(store, tmp_path, address):
    with pytest.raises(MargincastError, match="no such model") as caught:
        fetch_model(store, address, tmp_path)
    assert "\n" not in str(caught.value) and str(store) in str(caught.value)


@pytest.mark.parametrize("address", ["margincast", "models:/margincast"])
def test_an_address_of_another_form_is_refused(store, tmp_path, address):
    with pytest.raises(MargincastError, match="is named like"):
        fetch_model(store, address, tmp_path)


def test_asking_a_store_that_is_not_there_does_not_make_one(tmp_path):
    with pytest.raises(MargincastError, match="no model store in"):
        load_model("models:/margincast/1", store=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_store_that_cannot_be_made_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    save_state({"a": 1}, tmp_path / "model")
    with pytest.raises(MargincastError, match="could not be tracked") as caught:
        log_run(tmp_path / "file" / "store", tmp_path / "model", parameters={}, metrics={}, documents={})
    assert "\n" not in str(caught.value)


def test_the_environment_may_name_another_store(monkeypatch, tmp_path):
    assert default_tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.invalid")
    assert default_tracking_uri(tmp_path) == "http://example.invalid"


def test_training_stores_tracks_and_registers_and_the_model_comes_back(store, tmp_path):
    plan = small.plan(rounds=3, horizons="1h")
    told = []
    trained = train_model(small.view(), small.RULES, plan, tmp_path / "model", store=store, say=told.append)
    assert trained.address == "models:/margincast/3" and trained.fingerprint == state_hash(tmp_path / "model")
    assert len(told) == 2
    again = load_model(trained.address, store=store)
    assert again.about_ == load_model(str(tmp_path / "model"), store=tmp_path).about_
    assert again.about_ == json.loads(json.dumps(trained.model.about_))
    about = again.about_
    assert about["train_end"] == small.TRAIN_END.isoformat() and about["symbols"] == list(small.SYMBOLS)
    assert about["market"] == "simulated" and about["accounts"] == "simulated"
    json.dumps(about, allow_nan=False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A model folder as a run leaves it that is killed before it registers."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train, "log_run", lambda *a, **k: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            train_again(folder)
    return folder / "model"


@pytest.fixture
def untracked(store, killed, tmp_path, monkeypatch):
    """That model in a folder of its own, beside a store; fitting fails."""
    shutil.copytree(killed, tmp_path / "model")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mlflow.db").write_bytes((store / "mlflow.db").read_bytes())
    monkeypatch.setattr(train, "fit_forecaster", lambda *a: pytest.fail("fitted anew"))
    return tmp_path


def train_again(folder, say=lambda _: None, **changes):
    plan = small.plan(**{"rounds": 3, "horizons": "1h", "seed": 7} | changes)
    return train_model(small.view(), small.RULES, plan, folder / "model", store=folder / "store", say=say)


def test_a_run_killed_before_it_registered_goes_on_without_fitting_anew(untracked):
    before, told = state_hash(untracked / "model"), []
    trained = train_again(untracked, told.append, threads=2)
    assert any("fitted but not registered" in line for line in told)
    assert trained.fingerprint == state_hash(untracked / "model") == before
    again = load_model(trained.address, store=untracked / "store")
    assert again.about_ == json.loads(json.dumps(trained.model.about_))
    assert is_registered(untracked / "store", before)
    with pytest.raises(MargincastError, match="is there already"):  # once it is registered
        train_again(untracked)


@pytest.mark.parametrize("changes", [{"seed": 2}, {"rounds": 4}, {"train_accounts": 401}])
def test_a_model_of_another_plan_is_refused(untracked, changes):
    with pytest.raises(MargincastError, match="is there already"):
        train_again(untracked, **changes)


def test_a_model_that_is_not_whole_is_refused(untracked):
    (untracked / "model" / "state.json").write_bytes(b"{}")
    with pytest.raises(MargincastError, match="is there already"):
        train_again(untracked)


def test_a_model_is_not_registered_where_nothing_may_be_tracked(untracked):
    with pytest.raises(MargincastError, match="is there already"):
        train_model(None, small.RULES, small.plan(), untracked / "model")


def test_a_registration_killed_before_there_was_a_champion_is_made_again(store, tmp_path, monkeypatch):
    """The version is there, its alias is not: nothing could be scored with."""
    save_state({"a": 1}, tmp_path / "model")
    sha256 = state_hash(tmp_path / "model")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mlflow.db").write_bytes((store / "mlflow.db").read_bytes())
    with open_registry(tmp_path / "store") as registry:
        registry.client.delete_registered_model("margincast")
    settings = {"parameters": {"model_sha256": sha256}, "metrics": {}, "documents": {}}
    with monkeypatch.context() as killed:
        killed.setattr(Registry, "_alias", lambda *a: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            log_run(tmp_path / "store", tmp_path / "model", **settings)
    assert not is_registered(tmp_path / "store", sha256)
    assert log_run(tmp_path / "store", tmp_path / "model", **settings) == "models:/margincast/2"
    assert is_registered(tmp_path / "store", sha256)
    with open_registry(tmp_path / "store") as registry:
        assert registry.champion() == "2"


def test_a_model_folder_that_is_taken_is_refused_before_anything_is_fitted(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_bytes(b"")
    with pytest.raises(MargincastError, match="is there already"):
        train_model(None, small.RULES, small.plan(), tmp_path / "model")


def test_a_period_the_market_does_not_cover_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match="too little to train on"):
        train_model(small.view(), small.RULES, small.plan(train_end=dt.date(2021, 1, 1)), tmp_path / "model")
    assert not (tmp_path / "model").exists()
