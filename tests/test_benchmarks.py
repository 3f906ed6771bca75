"""The package of benchmarks: who imports whom, what its README lists, that every script starts."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks"
ROOMS = ("speed", "accuracy", "studies")

if not (FOLDER / "README.md").is_file():
    pytest.skip("no checkout: its benchmarks are not here", allow_module_level=True)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(FOLDER.rglob("*.py"))}
SCRIPTS = sorted(
    name for name in MODULES if name.count(".") == 2 and name.split(".")[1] in ROOMS
)  # fmt: skip
#: Modules that tests have for themselves.
OF_TESTS = {"tests", "conftest"} | {p.stem for p in (ROOT / "tests").glob("*.py")}


def imported(name: str) -> Iterator[str]:
    """What a module imports, wherever in the file it stands."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}, line {node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:  # `from benchmarks import films` names a module
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def test_the_scripts_are_seen() -> None:
    """Otherwise nothing here could fail."""
    assert {"benchmarks.speed.pipeline", "benchmarks.accuracy.motion"} < set(SCRIPTS)
    assert "benchmarks.report" in set(imported("benchmarks.accuracy.motion"))


def test_every_module_beside_the_package_lies_in_a_room() -> None:
    inside = {path.parent for path in MODULES.values()}
    assert inside == {FOLDER, *(FOLDER / room for room in ROOMS)}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_the_package_by_its_full_name_and_no_script_and_no_test(name: str) -> None:
    bare = {module.rpartition(".")[2] for module in MODULES} - {"benchmarks"}
    for module in imported(name):
        first = module.split(".")[0]
        assert first not in OF_TESTS, f"{name} imports {module} of the tests"
        # Such a name is found beside the script alone, or names something else.
        assert first not in bare, f"{name} imports {module} by its bare name"
        assert module not in SCRIPTS, (
            f"{name} imports the script {module}; share it beside the rooms"
        )
        assert first != "benchmarks" or module in MODULES, (
            f"{name} imports {module}: no such module"
        )


def test_no_script_changes_where_python_looks_for_modules() -> None:
    """But for a user's own prototype, which `motion --estimator` names."""
    changing = {name for name in MODULES if "sys.path" in MODULES[name].read_text(encoding="utf-8")}
    assert changing <= {"benchmarks.accuracy.motion"}


def test_the_readme_lists_every_script_in_its_room() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for room, part in zip(ROOMS, re.split(r"^## ", text, flags=re.MULTILINE)[1:], strict=True):
        listed = re.findall(r"^\| `(\w+)\.(\w+)", part, re.MULTILINE)
        there = {name.split(".")[2] for name in SCRIPTS if name.split(".")[1] == room}
        assert {where for where, _ in listed} == {room}
        assert {name for _, name in listed} == there


HELP = """
import runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as done:
        assert not done.code, name
    else:
        raise AssertionError(f"{name} did more than help")
"""


@pytest.mark.slow
def test_every_script_tells_how_it_is_called() -> None:
    """All in one interpreter: what they import is loaded once."""
    done = subprocess.run(
        [sys.executable, "-c", HELP, *SCRIPTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in SCRIPTS:
        assert f"usage: python -m {name} " in done.stdout
        takes_a_path = name == "benchmarks.studies.judging"
        told = done.stdout.split(f"usage: python -m {name} ")[1].split("usage: ")[0]
        assert ("--save" in told) != takes_a_path, name


def test_results_stay_small() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    kept = subprocess.run(
        ["git", "ls-files", "-z", "benchmarks/results"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    sizes = {name: (ROOT / name).stat().st_size for name in kept if (ROOT / name).is_file()}
    assert "benchmarks/results/apex.txt" in sizes
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    assert sum(sizes.values()) < 1_000_000, f"the largest are {', '.join(largest)}"
