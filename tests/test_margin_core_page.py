"""The page on the margin core: its example prints what it says, its links and names exist."""

import importlib
import re
from pathlib import Path

import QuantLib

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "margin_core.md").read_text(encoding="utf-8")
FACES = ("riskcore", *(f"riskcore.{path.parent.name}" for path in ROOT.glob("riskcore/*/__init__.py")))


def test_the_example_prints_what_the_page_says(capsys):
    code, said = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL).groups()
    exec(compile(code, "margin_core.md", "exec"), {})
    assert capsys.readouterr().out == said


def test_its_figures_are_those_of_quantlib_and_the_rule():
    call = QuantLib.blackFormula(QuantLib.Option.Call, 66_000.0, 60_000.0, 0.55 * (27 / 365) ** 0.5)
    assert f"worth {call:,.2f};" in PAGE
    assert f"[{25_000 - 2 * call:.2f}] [{2 * 0.075 * 60_000 + 0.02 * 30_000:.0f}.]" in PAGE


def test_every_name_and_link_exists():
    public = {name for face in FACES for name in getattr(importlib.import_module(f"margincast.{face}"), "__all__", ())}
    table = PAGE[PAGE.index("| you have") : PAGE.index("Rules are data")]
    for quoted in re.findall(r"`([^`]+)`", table):
        name = quoted.split("(")[0]
        if name.startswith("riskcore."):
            assert (ROOT / name.split(".<")[0].replace(".", "/")).is_dir(), name
        else:
            assert name.split(".")[-1] in public, name
    for link in re.findall(r"\]\(([\w.]+\.md)\)", PAGE):
        assert (ROOT / "docs" / link).is_file() or link == "stress.md", link
