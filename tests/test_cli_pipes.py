"""A reader that goes away: files are written before anything is printed, and the end is quiet."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import margincast.__main__ as command_line

ROOT = Path(command_line.__file__).parent
FILES = (ROOT / "__main__.py", *sorted((ROOT / "live" / "commands").glob("*.py")))


def called(function: ast.FunctionDef, start: str) -> list[int]:
    """Lines of a function that call something whose name begins so."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [call.lineno for call in calls if call.func.id.startswith(start)]


def writers() -> Iterator[tuple[str, int, int]]:
    """Every verb that writes JSON: its name, the line of that and the first line that prints the result."""
    for file in FILES:
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and (written := called(function, "write_json")):
                yield function.name, max(written), min(called(function, "show_"))


def test_every_verb_writes_its_json_before_it_prints():
    found = list(writers())
    assert len(found) >= 11
    assert [name for name, written, printed in found if written > printed] == []


@pytest.fixture
def command(tmp_path) -> list[str]:
    frame = pd.DataFrame({"symbol": "AAA", "date": pd.date_range("2015-01-01", periods=600, freq="D")})
    frame["log_return"] = 0.01 * np.random.default_rng(0).standard_normal(600)
    frame.to_parquet(tmp_path / "returns.parquet")
    verb = ["backtest", "--returns", str(tmp_path / "returns.parquet"), "--json", str(tmp_path / "out.json")]
    return [sys.executable, "-m", "margincast", *verb]


@pytest.fixture
def closed() -> Iterator[int]:
    """The end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_closed_pipe_ends_quietly_with_the_code_of_one(command, closed, tmp_path):
    done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert done.returncode == command_line.PIPE_CLOSED == 141
    assert done.stderr.splitlines()[-1] == f"wrote {tmp_path / 'out.json'}" and "Error" not in done.stderr
    assert (tmp_path / "out.json").stat().st_size > 100


def test_progress_that_nobody_reads_does_not_stop_the_work(command, closed, tmp_path):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=closed, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "AAA" in done.stdout
    assert (tmp_path / "out.json").is_file()


def test_an_exit_of_another_cause_keeps_its_code(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["margincast", "no-such-verb"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
