from __future__ import annotations

import functools
import importlib
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import aumer
from aumer import registry
from aumer.bench.protocol import load
from aumer.bench.task import Options
from aumer.bench.tasks.recognition import Recognition
from aumer.config import digest, load_settings
from aumer.identity import identities, identity
from aumer.motion.analysis import FEATURES_VERSION, cache_key, computed_by
from aumer.recognition.graph_kernel import GraphRecognizer
from aumer.testing.moving_face import film


@lru_cache(maxsize=1)
def performance() -> Any:
    """A face that keeps still."""
    return film(np.arange(12) / 30, scale=1.5, window=(130, 20, 320, 210), noise=1.0)


def made(source: str, name: str = "part", module: str = "somebodys") -> Any:
    """What a module of somebody else's calls `name`."""
    space: dict[str, Any] = {"__name__": module, "np": np, "cv2": cv2}
    exec(source, space)
    return space[name]


def known(source: str, name: str = "part") -> str:
    found = identity("flow", made(source, name))
    assert found is not None
    return found


@pytest.fixture
def forget() -> Iterator[None]:
    before = dict(registry._parts["flow"])
    yield
    registry._parts["flow"].clear()
    registry._parts["flow"].update(before)


def test_built_in_parts_are_their_names() -> None:
    for kind, name in (("flow", "dis"), ("detector", "blazeface"), ("roi-set", "published")):
        assert identity(kind, name) == name
    assert identities([("flow", "dis"), ("landmarker", "mesh"), ("apex", "midpoint")]) == {}


def test_a_name_that_there_is_not_is_somebody_elses_complaint() -> None:
    assert identity("flow", "nonesuch") == "nonesuch"


DIFFERENT = {
    "a constant": ("def part(a, b): return 1 * a", "def part(a, b): return 2 * a"),
    "what is called": ("def part(a, b): return np.sin(a)", "def part(a, b): return np.cos(a)"),
    "a default": ("def part(a, b, k=1): return k * a", "def part(a, b, k=2): return k * a"),
    "a keyword default": ("def part(a, *, k=1): return k", "def part(a, *, k=2): return k"),
    "a helper": (
        "def f(a): return a + 1\ndef part(a, b): return f(a)",
        "def f(a): return a + 2\ndef part(a, b): return f(a)",
    ),
    "a helper's helper": (
        "def g(a): return a\ndef f(a): return g(a)\ndef part(a, b): return f(a)",
        "def g(a): return -a\ndef f(a): return g(a)\ndef part(a, b): return f(a)",
    ),
    "a constant of the module": (
        "K = 1\ndef part(a, b): return K",
        "K = 2\ndef part(a, b): return K",
    ),
    "an array of the module": (
        "K = np.zeros(3)\ndef part(a, b): return K",
        "K = np.ones(3)\ndef part(a, b): return K",
    ),
    "a closure": (
        "def of(k):\n def f(a, b): return k * a\n return f\npart = of(1)",
        "def of(k):\n def f(a, b): return k * a\n return f\npart = of(2)",
    ),
    "a function in a function": (
        "def part(a, b): return [x + 1 for x in (lambda y: y)(a)]",
        "def part(a, b): return [x + 1 for x in (lambda y: -y)(a)]",
    ),
    "a global that only inner code reads": (
        "K = 1\ndef part(a, b): return (lambda: K)()",
        "K = 2\ndef part(a, b): return (lambda: K)()",
    ),
    "a method": (
        "class part:\n def __call__(self, a, b): return a",
        "class part:\n def __call__(self, a, b): return b",
    ),
    "a base's method": (
        "class B:\n def f(self): return 1\nclass part(B): pass",
        "class B:\n def f(self): return 2\nclass part(B): pass",
    ),
    "a class attribute": ("class part: k = 1", "class part: k = 2"),
    "an object's state": (
        "class C:\n def __init__(self, k): self.k = k\npart = C(1)",
        "class C:\n def __init__(self, k): self.k = k\npart = C(2)",
    ),
    "a partial's arguments": (
        "import functools\ndef f(k, a, b): return k\npart = functools.partial(f, 1)",
        "import functools\ndef f(k, a, b): return k\npart = functools.partial(f, 2)",
    ),
    "what a cache wraps": (
        "import functools\n@functools.lru_cache\ndef part(a, b): return a",
        "import functools\n@functools.lru_cache\ndef part(a, b): return b",
    ),
    "a declared version": ("class part: version = '1'", "class part: version = '2'"),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_another_code_is_another_identity(one: str, other: str) -> None:
    assert known(one) == known(one)
    assert known(one) != known(other)


def test_what_a_script_defines_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is run by a package, whose file __main__ is then."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", np.__file__, raising=False)
    one, other = (
        identity("flow", made(f"def part(a, b): return {k}", module="__main__")) for k in (1, 2)
    )
    assert None not in (one, other) and one != other


def test_comments_and_places_are_no_code() -> None:
    assert known("def part(a, b): return a") == known(
        "# why\n\ndef part(a, b):\n    return a  # so"
    )


def test_a_declared_version_is_taken_at_its_word() -> None:
    assert known("class part:\n version = '1'\n k = 1") == known(
        "class part:\n version = '1'\n k = 2"
    )


def test_functions_that_call_one_another() -> None:
    source = (
        "def f(n): return g(n - 1) if n else {}\ndef g(n): return f(n)\ndef part(a, b): return f(a)"
    )
    assert known(source.format(1)) == known(source.format(1)) != known(source.format(2))


def test_weights_at_a_path_are_told_by_what_lies_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.bin"
    path.write_bytes(b"one")
    part = made(f"class C:\n def __init__(self, p): self.p = p\npart = C({str(path)!r})")
    before = identity("flow", part)
    path.write_bytes(b"two")
    assert identity("flow", part) not in (None, before)


def test_another_module_of_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "helpers_of_mine.py"
    monkeypatch.syspath_prepend(str(tmp_path))

    def now(source: str) -> str:
        path.write_text(source)
        sys.modules.pop("helpers_of_mine", None)
        space: dict[str, Any] = {"__name__": "mine"}
        module = types.ModuleType("helpers_of_mine")
        module.__file__ = str(path)
        exec(source, vars(module))
        space["helpers"] = module
        exec("def part(a, b): return helpers.f(a)", space)
        found = identity("flow", space["part"])
        assert found is not None
        return found

    assert now("def f(a): return a") == now("def f(a): return a") != now("def f(a): return -a")


@pytest.mark.parametrize(
    "inside",
    [threading.Lock(), object(), iter(()), (n for n in range(3))],
    ids=lambda it: type(it).__name__,
)
def test_what_cannot_be_told_has_no_identity(
    inside: object, caplog: pytest.LogCaptureFixture
) -> None:
    def part(a: Any, b: Any) -> Any:
        return inside

    assert identity("flow", part) is None
    assert identities([("flow", "dis"), ("flow", part)]) is None
    assert "nothing that it computes is cached" in caplog.text and "version" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "from scale_of_mine import scale; return scale(a)",
        "import scale_of_mine; return scale_of_mine.scale(a)",
        "import folder_of_mine; return a",
        "return a * float((Path(__file__).parent / 'gain.txt').read_text())",
        "return a * np.loadtxt(HERE / 'gain.txt')",
    ],
)
def test_what_code_reads_while_it_runs_is_a_part_of_it(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imports within a function, and files that lie beside the code, from any working folder."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    home = tmp_path / "plugin"
    home.mkdir()
    source = f"from pathlib import Path\nHERE = Path(__file__).parent\ndef part(a, b): {line}"

    def now(gain: int) -> str | None:
        (home / "gain.txt").write_text(f"{gain}")
        (tmp_path / "scale_of_mine.py").write_text(f"def scale(a): return {gain} * a")
        (tmp_path / "folder_of_mine.py").write_text("def f():\n    import scale_of_mine")
        for name in ("scale_of_mine", "folder_of_mine"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        space: dict[str, Any] = {"__name__": "mine", "np": np, "__file__": str(home / "x.py")}
        exec(compile(source, str(home / "x.py"), "exec"), space)
        return identity("flow", space["part"])

    one = now(1)
    assert one is not None and now(1) == one
    assert now(22) not in (None, one)


@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef part(a, b): return a * float(os.environ['GAIN'])",
        "from os import environ\ndef part(a, b): return a * float(environ['GAIN'])",
        "from os import getenv as g\ndef part(a, b): return a * float(g('GAIN'))",
        "def part(a, b):\n import os\n return a * float(os.getenv('GAIN'))",
        "import importlib\ndef part(a, b): return importlib.import_module('x').f(a)",
        "def part(a, b): return [__import__('x') for _ in a]",
        "def part(a, b): return eval('a * 2')",
        "from pathlib import Path\nHERE = Path.cwd()\ndef part(a, b): return (HERE / b).open()",
        "class part:\n def __call__(self, a, b): return open(__file__ + b)",
    ],
)
def test_code_that_something_else_chooses_has_no_identity(source: str) -> None:
    space: dict[str, Any] = {"__name__": "mine", "__file__": "x.py"}
    exec(source, space)
    assert identity("flow", space["part"]) is None
    space["part"].version = "1"
    assert identity("flow", space["part"]) is not None


def test_what_is_imported_while_it_runs_may_be_absent_or_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package is told by its version and not loaded; what fails tells nothing."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "fails_of_mine.py").write_text("1 / 0")
    importlib.invalidate_caches()
    absent = made("def part(a, b):\n import nobodys_module\n return a")
    assert identity("flow", absent) is not None
    assert identity("flow", made("def part(a, b):\n import fails_of_mine\n return a")) is None
    monkeypatch.setattr(importlib, "import_module", None)  # whatever would load anything
    assert identity("flow", made("def part(a, b):\n import skimage.io\n return a")) is not None


def test_a_method_called_eval_is_no_built_in() -> None:
    assert identity("flow", made("def part(a, b): return a.eval(b)")) is not None


def test_code_of_packages_is_told_by_their_version() -> None:
    for part in (cv2.GaussianBlur, np.sin, functools.partial(np.clip, a_min=0)):
        assert identity("flow", part) == identity("flow", part) is not None


@pytest.mark.usefixtures("forget")
def test_a_registered_part_is_told_by_its_code() -> None:
    found = []
    for source in ("def part(a, b): return a", "def part(a, b): return b"):
        registry._parts["flow"]["mine"] = made(source)
        found.append(identities([("flow", "mine"), ("detector", "blazeface")]))
    assert found[0] != found[1]
    assert all(one is not None and one.keys() == {"flow"} for one in found)


FLOWS = tuple(
    f"""
def part(a, b):
    return np.full((*a.shape, 2), {k}, np.float32)
"""
    for k in (0.0, 0.5)
)


@pytest.mark.usefixtures("forget")
def test_changed_code_under_one_name_is_measured_again(tmp_path: Path) -> None:
    frames = performance()
    settings = {"motion": {"preset": "flow", "flow": "mine"}}

    def run() -> aumer.SpotResult:
        return aumer.spot(frames, fps=30, model="rules", settings=settings, cache=tmp_path)

    results = []
    for source in FLOWS:
        registry._parts["flow"]["mine"] = made(source)
        results.append(run())
        kept = sorted(tmp_path.iterdir())
        assert run() == results[-1]
        assert sorted(tmp_path.iterdir()) == kept  # found, not made again
    one, other = results
    assert one.digests["parts"] != other.digests["parts"]
    assert one.features is not None and other.features is not None
    assert not np.array_equal(one.features.values, other.features.values)


@pytest.mark.usefixtures("forget")
def test_what_code_without_identity_measures_is_not_kept(tmp_path: Path) -> None:
    numbers = iter([0.0, *[0.5] * 1000])

    def flow(a: Any, b: Any) -> Any:
        return np.full((*a.shape, 2), next(numbers), np.float32)

    registry._parts["flow"]["mine"] = flow
    settings = {"motion": {"preset": "flow", "flow": "mine"}}
    aumer.spot(performance(), fps=30, model="rules", settings=settings, cache=tmp_path)
    assert not list(tmp_path.rglob("*.npz"))


def test_a_landmarker_and_a_recognizer_of_ones_own_are_told_by_their_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = load_settings(overrides={"face": {"landmarker": "mine"}})
    keys, runs = set(), []
    for k in (0, 1):
        landmarker = made(f"class part:\n def __call__(self, image, box): return {k}")
        monkeypatch.setitem(registry._parts["landmarker"], "mine", landmarker)
        keys.add(cache_key("content", chosen, None, None))
        space = {"__name__": "somebodys", "Base": GraphRecognizer}
        exec(f"class part(Base):\n name = 'mine'\n def extra(self): return {k}", space)
        monkeypatch.setitem(registry._parts["recognizer"], "mine", space["part"])
        runs.append(Recognition(load("megc2019-recognition"), "mine", Options()).about())
    assert len(keys) == 2 and None not in keys
    assert runs[0]["parts"] != runs[1]["parts"]
    assert {**runs[0], "parts": 0} == {**runs[1], "parts": 0}


def test_ordinary_runs_have_the_keys_that_they_had() -> None:
    """Nothing that was kept before parts were told is measured again."""
    settings = load_settings()
    before = digest(
        {
            "version": FEATURES_VERSION,
            "content": "content",
            "face": asdict(settings.face),
            "motion": asdict(settings.motion),
            "range": [None, None],
            **computed_by(settings.face),
        }
    )
    assert cache_key("content", settings, None, None) == before
    assert "parts" not in Recognition(load("megc2019-recognition"), "graph", Options()).about()
