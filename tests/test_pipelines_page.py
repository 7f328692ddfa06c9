"""The page on pipelines: its examples print what it says, on real bars."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
SHARED = Path(os.environ.get("MARGINCAST_SHARED", ROOT.parent / "shared"))


def test_the_examples_print_what_the_page_says(capsys):
    if not (SHARED / "data" / "binance_1h").is_dir():
        pytest.skip(f"no market data at {SHARED / 'data'}")
    examples = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 3
    names: dict[str, object] = {}
    for code, said in examples:
        exec(compile(code.replace("../shared", str(SHARED)), "pipelines.md", "exec"), names)
        assert capsys.readouterr().out == said
