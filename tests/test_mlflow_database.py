"""The database of the MLflow store: killed while it is made, asked for by two at once, half made before."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from margincast.riskcore.errors import MargincastError
from margincast.training.mlflow_database import ASIDE, make_database
from margincast.training.mlflow_store import open_client
from margincast.training.registry import open_registry

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:alembic"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]
MAKE = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from margincast.training.mlflow_store import open_client
open_client(Path(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def tables(path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A store whose maker was killed between two migrations, and opened again since; what was there in between."""
    folder = tmp_path_factory.mktemp("killed")
    process = subprocess.Popen([sys.executable, "-c", MAKE, str(folder)])
    stopped_by = time.monotonic() + 60
    while not ((folder / ASIDE).exists() and "runs" in tables(folder / ASIDE)):
        assert time.monotonic() < stopped_by and process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = {path.name for path in folder.iterdir()}
    client = open_client(folder)
    return folder, left, client


def test_a_kill_leaves_no_half_made_database_and_what_it_leaves_is_thrown_away(killed):
    folder, left, client = killed
    assert ASIDE in left and "mlflow.db" not in left
    assert client.search_registered_models() == []
    assert {path.name for path in folder.iterdir()} == {"mlflow.db"}


def test_a_database_that_another_process_makes_is_waited_for_and_kept(tmp_path):
    """The other one holds the lock: what it puts in place meanwhile is not made anew."""
    other = """
import sys, fcntl, os, time
from pathlib import Path
folder = Path(sys.argv[1])
handle = os.open(folder, os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
(folder / "locked").touch()
time.sleep(0.5)
(folder / "mlflow.db").write_bytes(b"of the other one")
"""
    process = subprocess.Popen([sys.executable, "-c", other, str(tmp_path)])
    while not (tmp_path / "locked").exists():
        time.sleep(0.01)
    make_database(tmp_path)
    assert process.wait() == 0 and (tmp_path / "mlflow.db").read_bytes() == b"of the other one"


def half_made(killed, folder, *statements):
    """A copy of a whole database, put back to what a stopped migration leaves: tables there, revision behind."""
    (folder / "mlflow.db").write_bytes((killed[0] / "mlflow.db").read_bytes())
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        for statement in ("DELETE FROM alembic_version", *statements):
            connection.execute(statement)
        connection.commit()
    return folder


@pytest.mark.parametrize("statements", [("DROP TABLE webhooks",), ()], ids=["table missing", "revision behind"])
def test_a_half_made_database_is_said_in_one_line_that_names_the_file_to_delete(killed, tmp_path, statements):
    store = half_made(killed, tmp_path, *statements)
    with pytest.raises(MargincastError, match="was left half made .* delete this file") as caught, open_registry(store):
        pass
    assert str(caught.value).startswith(f"{store / 'mlflow.db'}: ") and "\n" not in str(caught.value)


def test_a_database_that_holds_a_run_is_never_said_to_be_deleted(killed, tmp_path):
    run = "INSERT INTO runs (run_uuid, experiment_id) VALUES ('a', 0)"
    store = half_made(killed, tmp_path, "DROP TABLE webhooks", run)
    with pytest.raises(MargincastError, match="MLflow cannot open it") as caught, open_registry(store):
        pass
    assert "delete" not in str(caught.value) and "\n" not in str(caught.value)
