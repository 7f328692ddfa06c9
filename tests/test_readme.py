"""The README's Python example prints what it says, and the commands it names exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_prints_the_price_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    exec(compile(code[1], "README.md", "exec"), {})
    said = re.search(r"# \[([\d.]+)\]", code[1])
    assert said is not None
    printed = float(capsys.readouterr().out.strip(" []\n"))
    np.testing.assert_allclose(printed, float(said[1]), rtol=1e-8)
    # the rule by hand: a long of 1 BTC from 30,000 with 2,000 at 0.4% in the first tier
    np.testing.assert_allclose(printed, (30_000 - 2_000) / (1 - 0.004), rtol=1e-12)


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"\$ margincast (\w+)", README))))
def test_every_verb_the_readme_names_exists(verb: str) -> None:
    from margincast.__main__ import app

    assert verb in typer.main.get_command(app).commands


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make (\w+)", README))))
def test_every_target_the_readme_names_exists(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_table_of_venue_cases_is_that_of_a_run() -> None:
    """Passed of all, source by source, in the order of the table's two columns."""
    vectors = Path(os.environ.get("MARGINCAST_SHARED", ROOT.parent / "shared")) / "vectors"
    if not vectors.is_dir():
        pytest.skip(f"no venue vectors at {vectors}")
    done = subprocess.run([sys.executable, ROOT / "tests" / "verify.py", vectors], capture_output=True, text=True)
    rows = [line.strip("│").split("│") for line in done.stdout.splitlines() if line.startswith("│")]
    ran = sorted(f"{int(row[1])}/{sum(map(int, row[1:4]))}" for row in rows if row[1].strip().isdigit())
    table = README[README.index("| source | passed") :]
    said = re.findall(r"(\d+/\d+)", table[: table.index("\n\n")])
    assert sorted(said) == ran
    total = sum(int(one.split("/")[0]) for one in said)
    assert (
        done.stdout.splitlines()[-1] == f"{total} passed, 0 failed, 0 unsupported"
        and f"{total} numeric cases" in README
    )


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(((?:docs/)?[\w.]+\.md)\)", README))))
def test_every_page_the_readme_links_to_exists(link: str) -> None:
    assert (ROOT / link).is_file()
