"""Writing files so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..riskcore.errors import MargincastError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file beside it; a full disk or a kill leaves `path` as it was.

    Raises
    ------
    MargincastError
        The folder is not there, is not writable, or the disk is full.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as failure:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise MargincastError(f"{path}: could not be written ({failure.strerror or failure})") from failure


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are not there; MargincastError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise MargincastError(f"{path}: could not be written ({failure.strerror or failure})") from failure


def require_new_folder(path: Path) -> None:
    """Raise MargincastError if `path` is there already and is not an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise MargincastError(f"{path}: is there already; name a new folder with --out")


@contextmanager
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends well, and vanishes otherwise.

    Raises
    ------
    MargincastError
        `path` is there already and is not empty, or cannot be written.
    """
    require_new_folder(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as failure:
        raise MargincastError(f"{path}: could not be written ({failure.strerror or failure})") from failure
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            path.rmdir()
        temporary.replace(path)
    except OSError as failure:
        raise MargincastError(f"{path}: could not be written ({failure.strerror or failure})") from failure
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
