"""Who may import whom (design.md, section 2), and what must not be imported with what."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import aumer.errors

PACKAGE = Path(aumer.errors.__file__).parent

#: From the ground up. A unit (a module or a package of aumer) may import units of its own line and
#: of the lines above. Add a new one where its imports allow, as far up as they do.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split())
    for line in (
        "types errors arguments progress _data _moved",
        "foreign missing names registry identity log_capture plugins strict files process weights "
        "compiled tables workers remote",
        "web",
        "graph",
        "config cache video evaluation source_code",
        "learning flow",
        "face motion",
        "spotting recognition simulate results report",
        "session pipeline classification measure data scoring coders",
        "streaming",
        "training bench demo testing export view serve client",
        "aumer",  # imports them all, but on first use only
        "cli doctor",
        "__main__",
    )
)
FACADE = "aumer"


@dataclass(frozen=True)
class Import:
    """`importer` imports `imported` (modules by full name)."""

    importer: str
    imported: str
    at_import: bool  # and not in a function, nor for type checkers alone
    line: int


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("aumer", *path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[1] == "_shipped":
            continue
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(name: str) -> Iterator[Import]:
    """Every import of a module of aumer, wherever in the file it stands."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            at_import = False
        for imported in targets(node):
            yield Import(name, imported, at_import, getattr(node, "lineno", 0))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, at_import)

    def targets(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "aumer")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import; aumer's are absolute"
            if node.module and node.module.split(".")[0] == "aumer":
                for alias in node.names:  # `from aumer import registry` names a module
                    full = f"{node.module}.{alias.name}"
                    yield full if full in MODULES else node.module

    yield from walk(ast.parse(MODULES[name].read_text(encoding="utf-8")), at_import=True)


IMPORTS = [one for name in MODULES for one in imports_of(name)]


def unit(module: str) -> str:
    return FACADE if module == FACADE else module.split(".")[1]


def layer(module: str) -> int:
    for k, line in enumerate(LAYERS):
        if unit(module) in line:
            return k
    raise AssertionError(f"{module} is in no line of LAYERS; put it where it belongs")


def loaded(statement: str) -> set[str]:
    """Top-level packages that are loaded once a fresh interpreter has run `statement`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_imports_are_seen() -> None:
    """Otherwise nothing here could fail."""
    seen = {(i.importer, i.imported, i.at_import) for i in IMPORTS}
    assert ("aumer.spotting.rules", "aumer.types", True) in seen
    assert (
        "aumer.spotting.interface",
        "aumer.registry",
        True,
    ) in seen  # from aumer import registry
    assert ("aumer", "aumer.pipeline", False) in seen  # under TYPE_CHECKING
    assert any(not i.at_import for i in IMPORTS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name: str) -> None:
    """In functions too: what is imported later is depended on all the same."""
    for one in IMPORTS:
        if one.importer == name:
            where = f"{MODULES[name]}:{one.line}: {name} imports {one.imported}"
            assert layer(one.imported) <= layer(name), f"{where}, which stands above it"


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("types", set()),
        ("errors", set()),
        ("registry", {"aumer.errors"}),
        ("strict", {"aumer.errors", "aumer._data", "aumer.foreign", "aumer.names"}),
        ("config", {"aumer.strict"}),
    ],
)
def test_the_ground_stands_on_nothing(name: str, allowed: set[str]) -> None:
    assert {i.imported for i in IMPORTS if i.importer == f"aumer.{name}"} <= allowed


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The cycles found by walking the graph to its depths, each as the modules along it."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            for other in sorted(edges.get(name, ())):
                visit(other, [*path, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])
    return found


def graph(*, at_import_only: bool, of: dict[str, str] | None = None) -> dict[str, set[str]]:
    """Who imports whom, by module, or by the names that `of` gives to modules."""
    edges: dict[str, set[str]] = {}
    for one in IMPORTS:
        a, b = (of[m] if of else m for m in (one.importer, one.imported))
        if FACADE not in (a, b) and a != b and (one.at_import or not at_import_only):
            edges.setdefault(a, set()).add(b)
    return edges


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert cycles(graph(at_import_only=True)) == []


def test_no_units_depend_on_each_other_in_a_circle() -> None:
    """Not even by imports within functions: one of them could not be used without the other."""
    units = {name: unit(name) for name in MODULES}
    assert cycles(graph(at_import_only=False, of=units)) == []


def test_circles_are_seen() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"]]
    assert cycles({"a": {"b", "c"}, "b": {"c"}}) == []


# What a fresh interpreter loads


def test_import_aumer_loads_nothing_heavy() -> None:
    names = loaded("import aumer")
    assert "aumer" in names
    assert names.isdisjoint({"torch", "cv2", "numpy", "scipy", "pandas", "matplotlib", "mediapipe"})
    assert not [name for name in names if name.startswith("aumer.")]


@pytest.mark.parametrize("module", ["errors", "registry", "config"])
def test_the_ground_needs_no_numpy(module: str) -> None:
    names = loaded(f"import aumer.{module}")
    assert names.isdisjoint({"torch", "cv2", "numpy", "scipy", "pandas"})


@pytest.mark.parametrize(
    "statement",
    [
        "import aumer; aumer.Interval, aumer.Expression, aumer.UsageError, aumer.register",
        "import aumer.evaluation.matching, aumer.types",
        "import aumer.spotting.rules, aumer.cache",
        "import aumer; aumer.SpotResult",
    ],
)
def test_neither_torch_nor_cv2_is_loaded(statement: str) -> None:
    names = loaded(statement)
    assert "numpy" in names
    assert names.isdisjoint({"torch", "cv2", "mediapipe"})


def test_nor_by_any_module_of_the_evaluation() -> None:
    inside = [name for name in MODULES if name.startswith("aumer.evaluation")]
    names = loaded(f"import {', '.join(inside)}")
    assert names.isdisjoint({"torch", "cv2", "mediapipe"})


def test_every_public_name_is_there() -> None:
    """`aumer.x` for all that __all__ promises, and an error for what it does not."""
    code = (
        "import aumer\n"
        "for name in aumer.__all__: getattr(aumer, name)\n"
        "assert set(aumer.__all__) <= set(dir(aumer))\n"
        "assert sorted(aumer.__all__) == sorted(aumer._WHERE), 'two lists that disagree'\n"
        "try: aumer.no_such_name\n"
        "except AttributeError: pass\n"
        "else: raise SystemExit('no error')"
    )
    assert "torch" not in loaded(code)
