"""The page on severity: its examples print what it says, and the names it gives exist."""

import os
import re
from pathlib import Path

import pytest

import margincast.models
from margincast.models.severity import Severity

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "severity.md").read_text(encoding="utf-8")
SHARED = Path(os.environ.get("MARGINCAST_SHARED", ROOT.parent / "shared"))


def test_the_examples_print_what_the_page_says(capsys):
    if not (SHARED / "data" / "binance_1h").is_dir():
        pytest.skip(f"no market data at {SHARED / 'data'}")
    examples = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    names: dict[str, object] = {}
    for code, said in examples:
        exec(compile(code.replace("../shared", str(SHARED)), "severity.md", "exec"), names)
        assert capsys.readouterr().out == said
    found = names["found"]
    assert (abs(found.probability * found.expected_loss - found.premium) < 1e-9).all()


def test_every_function_it_names_exists():
    told = set(re.findall(r"`(\w+_\w+)`", PAGE)) - {field for field in dir(Severity) if "_" in field}
    figures = {"expected_shortfall", "standard_error"}
    assert figures <= set(Severity.__dataclass_fields__)
    assert told - figures <= set(margincast.models.__all__)
    assert len(told & set(margincast.models.__all__)) >= 4
