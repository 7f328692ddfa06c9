"""Guards of the layout: floors of imports, what ships, the faces, the doctests, a start without heavy libraries."""

from __future__ import annotations

import ast
import doctest
import fnmatch
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import margincast

ROOT = Path(__file__).resolve().parents[1]
FLOOR = {"riskcore": 1, "features": 2, "models": 2, "training": 3, "live": 4, "__main__": 5}
FOLDERS = [name for name in FLOOR if name != "__main__"]
HEAVY = ("lightgbm", "mlflow", "numba", "sklearn")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("margincast", *(part for part in parts if part != "__init__")))


def package_of(path: Path) -> tuple[str, ...]:
    return ("margincast", *path.relative_to(ROOT).parent.parts)


def absolute(node: ast.ImportFrom, package: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return what a relative `from ... import` names, as parts from the root package."""
    base = package[: max(0, len(package) - node.level + 1)]
    module = tuple(node.module.split(".")) if node.module else ()
    return [(*base, *module, alias.name) for alias in node.names]


def is_module(parts: tuple[str, ...]) -> bool:
    return ROOT.joinpath(*parts[1:-1], f"{parts[-1]}.py").is_file()


def floor_of(path: Path) -> str:
    """Return the floor of a file; the verbs are the command line's, wherever they stand: they import as they run."""
    parts = path.relative_to(ROOT).parts
    return "__main__" if parts[:2] == ("live", "commands") else parts[0]


def faults(source: str, package: tuple[str, ...], floor: str) -> Iterator[str]:
    """Yield what is wrong with the imports of one file of the package."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).endswith("TYPE_CHECKING"):
            yield f"line {node.lineno}: TYPE_CHECKING"
        elif isinstance(node, ast.Import | ast.ImportFrom) and by_absolute_name(node):
            yield f"line {node.lineno}: relative imports only"
        elif isinstance(node, ast.ImportFrom) and node.level:
            if node not in tree.body and floor != "__main__":
                yield f"line {node.lineno}: package import hidden in a function or block"
            for parts in absolute(node, package):
                yield from (f"line {node.lineno}: {fault}" for fault in faults_of_target(parts, floor))


def by_absolute_name(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [] if node.level else [str(node.module)]
    return any(name.split(".")[0] in {"margincast", *FOLDERS} for name in names)


def faults_of_target(parts: tuple[str, ...], floor: str) -> Iterator[str]:
    if parts[0] != "margincast" or len(parts) < 2:
        yield "reaches outside the package"
    elif (target := parts[1]) in FLOOR:
        if target != floor and FLOOR[target] >= FLOOR[floor]:
            yield f"imports upward or sideways: {target}"
        if ROOT.joinpath(*parts[1:-1]).is_dir() and not is_module(parts):
            yield f"imports {parts[-1]} through the face of {'.'.join(parts[:-1])}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downhill(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"), package_of(path), floor_of(path))) == []


def test_main_imports_by_relative_paths_to_files() -> None:
    source = (ROOT / "__main__.py").read_text(encoding="utf-8")
    assert list(faults(source, ("margincast",), "__main__")) == []


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("from ..training.labels import label", "upward"),
        ("from ..models.fhs import FHS", "sideways"),
        ("def f():\n    from ..riskcore.errors import InputError", "hidden"),
        ("if True:\n    from ..riskcore.errors import InputError", "hidden"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    x = 1", "TYPE_CHECKING"),
        ("import typing\nif typing.TYPE_CHECKING:\n    x = 1", "TYPE_CHECKING"),
        ("from ..riskcore import InputError", "face"),
        ("from .. import riskcore", "face"),
        ("from . import build_features", "face"),
        ("from .. import __version__", ""),
        ("from margincast.riskcore.errors import InputError", "relative"),
        ("import riskcore.errors", "relative"),
        ("from ...else_where import x", "outside"),
        ("from ..riskcore.errors import InputError", ""),
        ("from ..riskcore import errors", ""),
        ("def f():\n    import numba", ""),
    ],
)
def test_the_import_guard_sees_what_it_should(source: str, word: str) -> None:
    found = list(faults(source, ("margincast", "features"), "features"))
    assert bool(found) == bool(word)
    assert all(word in fault for fault in found)


def test_packages_in_pyproject_are_the_tree() -> None:
    folders = {path.parent for path in SOURCES}
    tree = {"margincast", *(".".join(("margincast", *folder.relative_to(ROOT).parts)) for folder in folders)}
    assert set(CONFIG["tool"]["setuptools"]["packages"]) == tree
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_data_file_of_the_package_is_shipped() -> None:
    patterns = [
        "/".join((*package.split(".")[1:], pattern))
        for package, listed in CONFIG["tool"]["setuptools"]["package-data"].items()
        for pattern in listed
    ]
    data = [
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc", ".nbi", ".nbc"}
    ]
    assert [name for name in data if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)] == []
    assert any(name.endswith(".toml") for name in data)
    assert (ROOT / "py.typed").is_file()


def test_no_stray_python_at_the_root() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_root_init_imports_nothing() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] == []


def test_the_package_under_test_is_this_tree() -> None:
    assert Path(str(margincast.__file__)).resolve().parent == ROOT


FACES = [*FOLDERS, *(str(path.parent.relative_to(ROOT)) for path in sorted(ROOT.glob("riskcore/*/__init__.py")))]


def public_names(folder: str) -> set[str]:
    """Return what the folder's face imports by name from its own files or defines."""
    tree = ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return {name for name in imported | defined if not name.startswith("_")}


@pytest.mark.parametrize("folder", FACES)
def test_the_face_of_each_folder_is_complete_and_sorted(folder: str) -> None:
    face = importlib.import_module(f"margincast.{folder.replace('/', '.')}")
    names = list(getattr(face, "__all__", ()))
    assert names == sorted(set(names))
    assert set(names) >= public_names(folder)
    assert [name for name in names if not hasattr(face, name)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_doctests(path: Path) -> None:
    result = doctest.testmod(importlib.import_module(module_name(path)), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0, f"{result.failed} of {result.attempted} doctest lines failed: see the captured output"


def run(code: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_bare_folder_becomes_a_module(tmp_path: Path) -> None:
    names = [module_name(path) for path in SOURCES]
    code = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
    code += f"print(sorted(set(sys.modules) & set({FOLDERS!r})))"
    assert run(code, tmp_path).strip() == "[]"


def test_works_beside_a_users_own_models_folder(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("mine = True\n", encoding="utf-8")
    code = "import models, margincast.models; print(models.mine, margincast.models.__name__)"
    assert run(code, tmp_path).strip() == "True margincast.models"


def test_the_command_line_starts_without_heavy_libraries(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "margincast", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "typer" in imported
    assert imported.isdisjoint(HEAVY)


def test_the_lock_pins_every_requirement_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if line.count("==") != 1 or set(line) & set("@/ ;")] == []
    names = {line.split("==")[0].lower().replace("_", "-") for line in pins}
    project = CONFIG["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert {requirement.split(">=")[0].lower() for requirement in asked} <= names
