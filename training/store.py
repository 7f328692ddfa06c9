"""Models on disk: JSON, NumPy arrays and LightGBM text, each file with its hash. No pickle anywhere."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..riskcore.errors import CorruptModelError
from .atomic import folder_written_atomically

MANIFEST = "manifest.json"
FORMAT = 6
LONG_TEXT = 2000


def save_state(state: Mapping[str, Any], folder: Path) -> str:
    """Write nested state (dicts, lists, numbers, strings, arrays) to a new folder; returns the hash of its manifest.

    Arrays become .npy files, long strings .txt files, the rest state.json; manifest.json lists the SHA-256 of each.
    The same state gives the same bytes. Either the whole folder appears or nothing.
    """
    files: dict[str, bytes] = {}
    tree = _externalise(state, "state", files)
    files["state.json"] = _json_bytes(tree)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = _json_bytes({"format": FORMAT, "files": hashes})
    with folder_written_atomically(folder) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        (temporary / MANIFEST).write_bytes(manifest)
    return hashlib.sha256(manifest).hexdigest()


def load_state(folder: Path) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises
    ------
    CorruptModelError
        The folder, a file or the manifest is missing, or a byte of it is not as written.
    """
    manifest = _read_manifest(folder)
    contents: dict[str, bytes] = {}
    for name, expected in manifest["files"].items():
        content = _read(folder / name)
        if hashlib.sha256(content).hexdigest() != expected:
            raise CorruptModelError(f"{folder / name}: does not hold the bytes that were written (SHA-256 differs)")
        contents[name] = content
    tree: dict[str, Any] = _internalise(json.loads(contents["state.json"]), contents)
    return tree


def state_hash(folder: Path) -> str:
    """Hash of a stored model: of its manifest, which holds the hashes of all its files."""
    return hashlib.sha256(_read(folder / MANIFEST)).hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    if folder.is_dir() and not (folder / MANIFEST).exists():
        raise CorruptModelError(f"{folder}: is no model folder, it has no {MANIFEST}")
    content = _read(folder / MANIFEST)
    try:
        manifest = json.loads(content)
        if manifest["format"] != FORMAT or "state.json" not in manifest["files"]:
            raise CorruptModelError(f"{folder / MANIFEST}: is of another format than this version reads")
    except (ValueError, KeyError, TypeError) as failure:
        if isinstance(failure, CorruptModelError):
            raise
        raise CorruptModelError(f"{folder / MANIFEST}: is not a model manifest") from failure
    if content != _json_bytes(manifest):
        raise CorruptModelError(f"{folder / MANIFEST}: does not hold the bytes that were written")
    return dict(manifest)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise CorruptModelError(f"{path}: cannot be read ({failure.strerror})") from failure


def _externalise(value: Any, name: str, files: dict[str, bytes]) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _externalise(v, f"{name}.{k}", files) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_externalise(v, f"{name}.{i}", files) for i, v in enumerate(value)]
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        files[f"{name}.npy"] = buffer.getvalue()
        return {"$array": f"{name}.npy"}
    if isinstance(value, str) and len(value) > LONG_TEXT:
        files[f"{name}.txt"] = value.encode()
        return {"$text": f"{name}.txt"}
    return value.item() if isinstance(value, np.generic) else value


def _internalise(value: Any, contents: Mapping[str, bytes]) -> Any:
    if isinstance(value, list):
        return [_internalise(v, contents) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$array"}:
        return np.load(io.BytesIO(contents[value["$array"]]), allow_pickle=False)
    if set(value) == {"$text"}:
        return contents[value["$text"]].decode()
    return {k: _internalise(v, contents) for k, v in value.items()}


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=True) + "\n").encode()
