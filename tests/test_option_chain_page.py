"""The page on option features: its example prints what it says, and its table names every feature."""

import re
from pathlib import Path

from margincast.features.options.declarations import NAMES

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "option_features.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says(capsys):
    ((code, said),) = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "option_features.md", "exec"), {})
    assert capsys.readouterr().out == said


def test_every_feature_is_in_the_table():
    told = set()
    for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE):
        names = re.findall(r"`(.*?)`", row)
        told |= {name for name in names if not name.startswith("_")}
        told |= {re.sub(r"(_\d+d)+$", name, names[0]) for name in names if name.startswith("_")}
    assert set(NAMES) == told
