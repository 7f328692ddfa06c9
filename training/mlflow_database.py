"""The SQLite file of the MLflow store: made aside and renamed into place, so that a kill leaves none that is half made.

MLflow makes its tables in some thirty migrations, each committed by itself, and cannot go on where it was stopped.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ..riskcore.errors import MargincastError

DATABASE = "mlflow.db"
ASIDE = ".mlflow.db.new"
"""Under this name it is made; what a killed process left of it is thrown away."""


def make_database(folder: Path) -> None:
    """Make the database of `folder` unless it is there; of processes that ask at once one makes it, the others wait."""
    if (folder / DATABASE).exists():
        return
    with _alone_in(folder):
        if (folder / DATABASE).exists():  # another made it in the meantime
            return
        for stale in folder.glob(f"{ASIDE}*"):  # with SQLite's journal
            stale.unlink()
        _migrate(folder / ASIDE, folder / "artifacts")
        (folder / ASIDE).replace(folder / DATABASE)


@contextmanager
def opening(database: Path) -> Iterator[None]:
    """Say in one line that MLflow cannot open a database, and which file to delete if it was left half made.

    Raises
    ------
    MargincastError
        The tables are not those of this MLflow. Only of a file without a run is it said that it may be deleted.
    """
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, CommandError, MlflowException) as failure:
        if _holds_no_run(database):
            problem = "was left half made by a process that was stopped, and holds no run; delete this file"
            raise MargincastError(f"{database}: {problem}") from failure
        raise MargincastError(f"{database}: MLflow cannot open it ({str(failure).splitlines()[0]})") from failure


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder; it ends with the process, however that ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _migrate(database: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    opened: Any = SqlAlchemyStore  # MLflow's own is not typed
    store = opened(f"sqlite:///{database.absolute()}", artifacts.absolute().as_uri())
    store.engine.dispose()


def _holds_no_run(database: Path) -> bool:
    """Whether this is an SQLite file in which nothing was tracked; False where it cannot be read as one."""
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return "runs" not in tables or connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    except sqlite3.Error:
        return False
