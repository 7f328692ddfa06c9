"""Every benchmark in one run: `make bench`. With --write the ratios go to docs/speed.md."""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "speed.md"
SCRIPTS = (
    "margin_pass",
    "live_tick",
    "first_passage",
    "first_passage_books",
    "scenario_margin",
    "liquidation_cascade",
    "features",
    "correlation",
    "order_book",
    "scoring",
    "historical_simulation",
)
INTRO = """# Speed

Every ratio below is of two ways timed in turn in one run of `make bench` on one machine, giving the same answers
(each script checks that first); medians of several rounds, one thread. Neighbours on the machine move absolute
numbers by a factor, ratios by much less. `python benchmarks/NAME.py --json FILE` gives all figures behind a row, and
the head of each script says what exactly both sides do. Data are drawn at random; where the slow side was timed on a
sample and extrapolated, the script says so.
"""


def run(name: str, quick: bool, folder: Path) -> dict[str, Any]:
    """Run one script, its output shown as it comes, and return the figures it wrote."""
    print(f"\n== {name}", flush=True)
    written = folder / f"{name}.json"
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(written), *(["--quick"] if quick else [])]
    subprocess.run(command, check=True)
    figures: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return figures


def head_of(name: str) -> str:
    """First sentence of what a script says of itself."""
    told = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return told.split("\n\n")[0].replace("\n", " ")


def page_of(results: dict[str, dict[str, Any]]) -> str:
    """The page: machine, a table a script, memory."""
    machine = results[SCRIPTS[0]]["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "numpy", "pandas", "numba", "margincast"))
    parts = [INTRO, f"Machine of this run: {machine['processor']}, {machine['cores']} cores; {versions}.\n"]
    for name, figures in results.items():
        load = figures["machine"]["load"]
        parts.append(f"## {head_of(name)}\n")
        parts.append(f"`benchmarks/{name}.py`, load {load} when it began\n")
        parts.append("| against | times as fast | goal |\n|---|---|---|")
        for rival, judged in figures["goals"].items():
            short = "" if judged["met"] else " (not reached)"
            parts.append(f"| {rival} | {judged['ratio']:,.1f} | {judged['goal']:,.0f}{short} |")
        parts.append("")
    memory = results["live_tick"]["memory"]
    parts.append(
        f"A million accounts of five positions and two collaterals take {memory['columns_mb_per_million']:,.0f} MB as "
        f"columns and {memory['layout_mb_per_million']:,.0f} MB laid out to be marked on every tick.\n"
    )
    streams = results["features"]["streams_us"]
    told = "; ".join(f"{name}: {spent['p50']:.1f} us, p99 {spent['p99']:.1f} us" for name, spent in streams.items())
    parts.append(
        f"A tick of 50 assets takes, by features: {told}. The stream of the eight keeps "
        f"{results['features']['state_mb']:.1f} MB; the year's batch takes "
        f"{max(results['features']['beyond_mb'], 0):.0f} MB beside its bars and its features.\n"
    )
    return "\n".join(parts)


def main() -> None:
    """Run every script; exit code 1 when a goal is not reached at full size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all run")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {name: run(name, asked.quick, Path(folder)) for name in SCRIPTS}
    if asked.write:
        PAGE.write_text(page_of(results), encoding="utf-8")
        print(f"wrote {PAGE}")
    short = [f"{name}: {goal}" for name, found in results.items() for goal, j in found["goals"].items() if not j["met"]]
    if short and not asked.quick:
        sys.exit("goals not reached: " + "; ".join(short))


if __name__ == "__main__":
    main()
