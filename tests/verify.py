"""Run margincast against numeric cases of venues: `make verify VECTORS=FOLDER`.

Every *.json of the folder that holds cases is read. An adapter turns the inputs of a case into a book, prices and rules
and asks riskcore; it does no arithmetic of its own, so that what passes is what users get. Cases no adapter covers are
counted as unsupported, known misprints of a source (`reproduced` false) apart. Exit code 1 when a case failed, 2 when
there is nothing to run.
"""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import venue_cases
from rich.console import Console
from rich.table import Column, Table
from venue_cases.cases import Inputs, Unsupported

Adapter = Callable[[Inputs], dict[str, Any]]


def adapters() -> dict[tuple[str, str], Adapter]:
    """What the modules of venue_cases cover, by source and kind of case."""
    names = sorted(found.name for found in pkgutil.iter_modules(venue_cases.__path__))
    modules = [importlib.import_module(f"venue_cases.{name}") for name in names]
    return {key: adapter for module in modules for key, adapter in getattr(module, "ADAPTERS", {}).items()}


ADAPTERS: Mapping[tuple[str, str], Adapter] = adapters()


class Result(NamedTuple):
    verdict: str  # passed, failed, unsupported or misprint
    what: str = ""


def agrees(expected: Any, found: Any, tolerance: Any) -> bool:
    """Whether a figure is within tolerance; null stands for none, which is NaN here. Words must be the same."""
    if isinstance(expected, str):
        return bool(expected == found)
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(agrees, expected, found, [tolerance] * len(expected)))
    if expected is None or math.isnan(found):
        return expected is None and math.isnan(found)
    given = tolerance if isinstance(tolerance, Mapping) else {"abs": tolerance}
    allowed = max(given.get("abs", 0.0), given.get("rel", 0.0) * abs(expected))
    return bool(abs(expected - found) <= allowed)


def run_case(source: str, case: Mapping[str, Any]) -> Result:
    adapter = ADAPTERS.get((source, case["kind"]))
    if adapter is None:
        return Result("unsupported", case["kind"])
    try:
        found = adapter(Inputs(case["inputs"], case.get("shared", {}), str(case.get("rule", ""))))
    except Unsupported as reason:
        return Result("unsupported", f"{case['kind']}: {reason}")
    except Exception as error:  # noqa: BLE001 - any error is the case's failure, not the run's
        return Result("failed", f"{type(error).__name__}: {error}")
    missing = case["expected"].keys() - found.keys()
    if missing:
        return Result("unsupported", f"{case['kind']}: no figure {', '.join(sorted(missing))}")
    wrong = [k for k, figure in case["expected"].items() if not agrees(figure, found[k], case["tolerance"])]
    if not wrong:
        return Result("passed")
    told = "; ".join(f"{name} expected {case['expected'][name]}, found {found[name]}" for name in wrong)
    return Result("misprint" if case.get("reproduced") is False else "failed", told)


def read_sources(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Cases of every source in the folder."""
    files = sorted(folder.glob("*.json"))
    contents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    return {
        str(content.get("source_key", stem)): [
            case | {"shared": content.get("shared", {})} for case in content["cases"]
        ]
        for stem, content in contents.items()
        if "cases" in content
    }


def main(arguments: Sequence[str]) -> int:
    console = Console(width=None if sys.stdout.isatty() else 120)
    sources = read_sources(Path(arguments[0])) if arguments else {}
    if not sources:
        console.print("verify: needs a folder with *.json files of cases", style="red")
        return 2
    table = Table(Column("source", no_wrap=True), "passed", "failed", "unsupported", "misprints", "kinds not covered")
    total: Counter[str] = Counter()
    for source, cases in sources.items():
        results = [run_case(source, case) for case in cases]
        counts = Counter(result.verdict for result in results)
        total += counts
        kinds = sorted({result.what.split(":")[0] for result in results if result.verdict == "unsupported"})
        figures = [str(counts[verdict]) for verdict in ("passed", "failed", "unsupported", "misprint")]
        table.add_row(source, *figures, ", ".join(kinds))
        for case, result in zip(cases, results, strict=True):
            if result.verdict in ("failed", "misprint"):
                console.print(f"{result.verdict}: {case['id']}: {result.what}", soft_wrap=True, markup=False)
    console.print(table)
    print(f"{total['passed']} passed, {total['failed']} failed, {total['unsupported']} unsupported")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
