"""The runner behind `make verify`: it passes what it should, and fails what is one per cent off."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import verify

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("MARGINCAST_SHARED", HERE.parents[1] / "shared"))
REFERENCE = HERE / "reference"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "verify.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def vectors() -> Path:
    folder = SHARED / "vectors"
    if not folder.is_dir():
        pytest.skip(f"no venue vectors at {folder}")
    return folder


def off_by_one_per_cent(figure):
    if isinstance(figure, list):
        return [off_by_one_per_cent(entry) for entry in figure]
    if isinstance(figure, str):
        return figure + "x"
    return 1.0 if figure is None else figure * 1.01 if figure else 0.02


def test_documentation_cases_pass():
    done = run(REFERENCE)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "19 passed, 0 failed, 0 unsupported"


def test_every_case_of_every_source_passes():
    sources = verify.read_sources(vectors())
    assert len(sources) >= 18 and sum(map(len, sources.values())) >= 500
    for source, cases in sources.items():
        results = {case["id"]: verify.run_case(source, case) for case in cases}
        assert {name: r for name, r in results.items() if r.verdict not in ("passed", "misprint")} == {}


@pytest.mark.parametrize("folder", [REFERENCE, SHARED / "vectors"])
def test_one_per_cent_off_fails(folder):
    if not folder.is_dir():
        pytest.skip(f"no venue vectors at {folder}")
    tried = 0
    for source, cases in verify.read_sources(folder).items():
        for case in cases:
            if case.get("detects_1pct") and verify.run_case(source, case).verdict == "passed":
                wrong = copy.deepcopy(case)
                wrong["expected"] = {name: off_by_one_per_cent(figure) for name, figure in case["expected"].items()}
                assert verify.run_case(source, wrong).verdict == "failed", case["id"]
                tried += 1
    assert tried > 10


def test_failed_case_sets_exit_code_and_is_named(tmp_path):
    content = json.loads((REFERENCE / "binance_documentation.json").read_text())
    content["cases"][0]["expected"]["cum"] = 1301.0
    content["cases"][1]["kind"] = "something new"
    content["cases"][2] |= {"reproduced": False, "expected": {"mmr": 0.02}}
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    done = run(tmp_path)
    assert done.returncode == 1
    assert "failed: binance_documentation/usdm_level_3: cum expected 1301.0, found 1300.0" in done.stdout
    assert "misprint: binance_documentation/rate_of_264000" in done.stdout
    assert done.stdout.splitlines()[-1] == "5 passed, 1 failed, 1 unsupported"


def test_nothing_to_run_is_an_error(tmp_path):
    assert run(tmp_path).returncode == 2
    assert run().returncode == 2


def test_missing_input_or_figure_is_unsupported_and_an_error_fails():
    case = {"kind": "pnl", "inputs": {"side": 1}, "expected": {"upnl": 1.0}, "tolerance": 1e-9, "id": "x"}
    assert verify.run_case("exchange_docs", case) == ("unsupported", "pnl: no input qty")
    case["inputs"] = {"side": 1, "qty": 1.0, "entry": 10.0, "mark": 11.0}
    assert verify.run_case("exchange_docs", case).verdict == "passed"
    assert verify.run_case("exchange_docs", case | {"expected": {"roe": 1.0}}).verdict == "unsupported"
    case["inputs"]["mark"] = -11.0
    assert verify.run_case("exchange_docs", case) == (
        "failed",
        "InputError: row 0, column mark: price must be positive (found -11.0)",
    )


@pytest.mark.parametrize(
    ("expected", "found", "tolerance", "agree"),
    [
        (None, float("nan"), 0, True),
        (None, 1.0, 5, False),
        (1.0, float("nan"), 5, False),
        (100.0, 100.9, {"rel": 0.01}, True),
        (100.0, 101.1, {"rel": 0.01}, False),
        (100.0, 101.1, {"rel": 0.01, "abs": 2}, True),
        (100.0, 100.1, 0.05, False),
        ([1.0, 2.0], [1.0, 2.0], 0, True),
        ([1.0, 2.0], [1.0, 2.1], 0.05, False),
        ([1.0, 2.0], [1.0], 1, False),
    ],
)
def test_tolerances(expected, found, tolerance, agree):
    assert verify.agrees(expected, found, tolerance) is agree
