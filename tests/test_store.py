"""Files and models on disk: the same bytes for the same state, nothing half-written, every changed byte noticed."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from margincast.riskcore.errors import CorruptModelError, MargincastError
from margincast.training.atomic import folder_written_atomically, write_atomically
from margincast.training.store import MANIFEST, load_state, save_state, state_hash

STATE = {
    "whole": 3,
    "share": 0.1,
    "nothing": None,
    "missing": float("nan"),
    "names": ["BTC", "ETH"],
    "trees": "tree\n" * 600,
    "nested": {"moves": np.arange(6, dtype=np.float32).reshape(2, 3), "bars": [np.array([1, 2]), np.int64(5)]},
}
LIMIT = 64 * 1024


def same(one: object, other: object) -> bool:
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one == other or (one != one and other != other)


def limited(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process that may not write files beyond 64 KiB, as on a disk that fills up."""

    def full_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # write then fails with EFBIG in place of a signal

    lines = ["import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)", "from pathlib import Path", code]
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=folder,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=full_disk,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- models -------------------------------------------------------------------------------------------------------


def test_what_is_read_is_what_was_written(tmp_path):
    save_state(STATE, tmp_path / "model")
    assert same(load_state(tmp_path / "model"), STATE)


def test_the_same_state_gives_the_same_bytes_whatever_the_order_of_its_keys(tmp_path):
    first = save_state(STATE, tmp_path / "one")
    second = save_state(dict(reversed(STATE.items())), tmp_path / "two")
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert first == second == state_hash(tmp_path / "one")
    assert files == sorted(p.name for p in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in files)


def test_nothing_is_pickled(tmp_path):
    save_state(STATE, tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} == {".json", ".npy", ".txt"}
    with pytest.raises(ValueError, match="allow_pickle"):
        save_state({"thing": np.array([object()])}, tmp_path / "other")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_every_changed_byte_of_every_file_is_noticed(tmp_path):
    folder = tmp_path / "model"
    save_state({"a": np.arange(3.0), "text": "word " * 500, "n": 1}, folder)
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        for place in range(0, len(good), 1 if path.suffix == ".json" else 37):
            path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            with pytest.raises(CorruptModelError) as caught:
                load_state(folder)
            assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
        for wrong in (good[:-1], good + b"\n", b""):
            path.write_bytes(wrong)
            with pytest.raises(CorruptModelError):
                load_state(folder)
        path.write_bytes(good)
    assert load_state(folder)["n"] == 1


def test_a_missing_file_is_named(tmp_path):
    folder = tmp_path / "model"
    save_state(STATE, folder)
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        path.unlink()
        told = "it has no manifest.json" if path.name == "manifest.json" else f"{path.name}: cannot be read"
        with pytest.raises(CorruptModelError, match=told):
            load_state(folder)
        path.write_bytes(good)


def test_another_format_is_refused(tmp_path):
    save_state(STATE, tmp_path / "model")
    path = tmp_path / "model" / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(CorruptModelError, match="another format"):
        load_state(tmp_path / "model")


@pytest.mark.parametrize("content", ["", "{}", "[]", "3", '{"format": 3}', '{"format": 3, "files": {}}', "\xff"])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content.encode("latin-1"))
    with pytest.raises(CorruptModelError, match="manifest.json"):
        load_state(tmp_path)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(CorruptModelError, match=r"is no model folder, it has no manifest\.json"):
        load_state(tmp_path)
    with pytest.raises(CorruptModelError, match="cannot be read"):
        state_hash(tmp_path / "nowhere")


# -- writing ------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "out.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and [p.name for p in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failure_at_any_step_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = tmp_path / "out.json"
    path.write_bytes(b"old")

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(MargincastError) as caught:
        write_atomically(path, b"new")
    assert str(caught.value) == f"{path}: could not be written (No space left on device)"
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    (tmp_path / "out.json").write_bytes(b"old")
    code = """
from margincast.training.atomic import write_atomically
from margincast.riskcore.errors import MargincastError
try:
    write_atomically(Path("out.json"), bytes(1_000_000))
except MargincastError as error:
    print(error)
"""
    done = limited(code, tmp_path)
    assert done.stdout == "out.json: could not be written (File too large)\n", done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
    assert (tmp_path / "out.json").read_bytes() == b"old"


def test_a_full_disk_leaves_no_model(tmp_path):
    code = """
import numpy as np
from margincast.training.store import save_state
from margincast.riskcore.errors import MargincastError
try:
    save_state({"small": np.zeros(9), "large": np.zeros(1_000_000)}, Path("models/new"))
except MargincastError as error:
    print(error)
"""
    done = limited(code, tmp_path)
    assert done.stdout == "models/new: could not be written (File too large)\n", done.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_a_killed_process_leaves_nothing_under_the_final_names(tmp_path):
    code = """
import os, signal
from pathlib import Path
from margincast.training import atomic
from margincast.training.store import save_state
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if WHAT == "file":
    atomic.os.fsync = killed
    atomic.write_atomically(Path("out.json"), bytes(100_000))
else:
    written, write = [], Path.write_bytes
    def third(self, content):
        written.append(self)
        return killed() if len(written) == 3 else write(self, content)
    Path.write_bytes = third
    save_state({"a": "x" * 9000, "b": "y" * 9000, "c": "z" * 9000}, Path("model"))
"""
    (tmp_path / "out.json").write_bytes(b"old")
    for what in ("file", "model"):
        done = subprocess.run(
            [sys.executable, "-c", f"WHAT = {what!r}\n{code}"],
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "out.json").read_bytes() == b"old"
    assert not (tmp_path / "model").exists()
    assert all(p.name == "out.json" or p.name.startswith(".") for p in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["nowhere/out.json", "file/out.json", ""])
def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MargincastError, match="could not be written") as caught:
        write_atomically(tmp_path / name, b"new")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), folder_written_atomically(tmp_path / "new") as temporary:
        (temporary / "half").write_bytes(b"")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with folder_written_atomically(tmp_path / "deep" / "new") as temporary:
        (temporary / "whole").write_bytes(b"")
        assert not (tmp_path / "deep" / "new").exists()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["new"]


def test_an_empty_folder_is_filled_and_one_that_holds_something_is_left_alone(tmp_path):
    with folder_written_atomically(tmp_path) as temporary:
        (temporary / "mine").write_bytes(b"")
    with pytest.raises(MargincastError, match="is there already"), folder_written_atomically(tmp_path):
        pass
    with pytest.raises(MargincastError, match="is there already"), folder_written_atomically(tmp_path / "mine"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(MargincastError, match="could not be written"),
        folder_written_atomically(tmp_path / "file" / "x"),
    ):
        pass
