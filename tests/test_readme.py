"""The README's Python example prints what it says, and the commands it names exist."""

import re
from pathlib import Path

import numpy as np
import pytest

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


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

    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert verb in names


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make (\w+)", README))))
def test_every_target_the_readme_names_exists(target: str) -> None:
    makefile = (Path(__file__).resolve().parents[1] / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
