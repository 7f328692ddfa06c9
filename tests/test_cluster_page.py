"""The page on clusters: its examples print what it says."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")


def test_the_examples_print_what_the_page_says(capsys, monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="needs the extra scale: pip install margincast[scale]")
    examples = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code, said in examples:
        exec(compile(code, "cluster.md", "exec"), names)
        printed = [line for line in capsys.readouterr().out.splitlines() if "random open ports" not in line]
        assert printed == said.splitlines()
