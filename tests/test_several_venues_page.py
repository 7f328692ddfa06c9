"""The page on several venues: its example prints what it says, on real bars."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "several_venues.md").read_text(encoding="utf-8")
SHARED = Path(os.environ.get("MARGINCAST_SHARED", ROOT.parent / "shared"))


def test_the_example_prints_what_the_page_says(capsys):
    if not (SHARED / "data" / "binance_1h").is_dir():
        pytest.skip(f"no market data at {SHARED / 'data'}")
    code, said = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL).groups()
    exec(compile(code.replace("../shared", str(SHARED)), "several_venues.md", "exec"), {})
    assert capsys.readouterr().out == said
