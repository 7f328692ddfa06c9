"""The page on calibration: its examples print what it says, and what it names is there."""

import importlib
import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "calibration.md").read_text(encoding="utf-8")


def test_the_examples_print_what_the_page_says(capsys):
    blocks = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == PAGE.count("```python") == 3
    names = {}
    for code, said in blocks:
        exec(compile(code, "calibration.md", "exec"), names)
        assert capsys.readouterr().out == said


def test_what_the_page_names_is_public():
    models = importlib.import_module("margincast.models")
    named = {name.split(".")[0] for name in re.findall(r"`([A-Z][A-Za-z]+[a-z]\w*)(?:\.\w+)?`", PAGE)}
    spikes = importlib.import_module("margincast.training.volatility_spikes")
    features = importlib.import_module("margincast.features.volatility.spike")
    assert len(named) >= 10
    assert [n for n in named if not any(hasattr(place, n) for place in (models, spikes, features))] == []
