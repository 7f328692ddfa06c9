"""The page on fetching: its commands and its example print what it says, on the recorded venue."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from recorded_venue import BinanceUsdm, Time

from margincast import __main__ as command_line
from margincast.live import exchange as exchanges

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "fetch.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```console\n\$ (.*?)\n(.*?)```", PAGE, re.DOTALL)
EXAMPLE = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)


def unpadded(text):
    return [line.rstrip() for line in text.splitlines()]


def test_the_page_prints_what_it_says(monkeypatch, capsys, tmp_path):
    time, opened = Time(), exchanges.open_exchange
    monkeypatch.setattr(
        exchanges, "open_exchange", lambda name, **rest: opened(name, sleep=lambda s: None, clock=time.clock, **rest)
    )
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 3 and len(EXAMPLE) == 1
    with BinanceUsdm(time) as venue:
        for command, said in COMMANDS:
            words = shlex.split(command.replace("$URL", venue.url))
            for word in words[: words.index("margincast")]:
                monkeypatch.setenv(*word.split("=", 1))
            monkeypatch.setattr(sys, "argv", words[words.index("margincast") :])
            with pytest.raises(SystemExit) as ended:
                command_line.main()
            out, err = capsys.readouterr()
            assert not ended.value.code, err
            assert unpadded(out) == unpadded(said)
    code, said = EXAMPLE[0]
    exec(compile(code, "fetch.md", "exec"), {})
    assert capsys.readouterr().out == said
