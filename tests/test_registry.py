from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from types import ModuleType
from typing import Any

import pytest

from aumer import registry
from aumer.bench.protocol import Protocol
from aumer.errors import EXIT_USAGE, UsageError
from aumer.graph import SHIPPED, AUGraph
from aumer.graph.rois import RoiSet
from aumer.registry import names, register, resolve

#: The interfaces that others may rely on (design.md, section 4).
KINDS = (
    "flow",
    "detector",
    "landmarker",
    "spotter",
    "network",
    "targets",
    "decoder",
    "recognizer",
    "au-reader",
    "dataset",
    "graph",
    "graph-layer",
    "roi-set",
    "apex",
    "protocol",
    "evaluator",
    "format",
    "command",
)

#: Those whose parts are values.
VALUES = {"graph": AUGraph, "roi-set": RoiSet, "protocol": Protocol}


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})


def entries(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    """Pretend that installed packages declare these entry points, and no others."""

    def entry_points(**selection: Any) -> EntryPoints:
        return EntryPoints(points).select(**selection)

    monkeypatch.setattr(registry, "entry_points", entry_points)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An importable module that somebody else's package might hold."""
    made = ModuleType("somebodys_flow")
    made.mine = lambda previous, following: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "somebodys_flow", made)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_every_interface_is_there(kind: str) -> None:
    assert list(names(kind)) == sorted(set(names(kind)))


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in KINDS for n in names(k)])
def test_every_built_in_resolves_to_what_it_names(kind: str, name: str) -> None:
    part = resolve(kind, name)
    assert isinstance(part, VALUES[kind]) if kind in VALUES else callable(part)
    assert resolve(kind, name) is part


def test_names_that_others_rely_on() -> None:
    assert {"dis", "farneback", "tvl1-opencv"} <= set(names("flow"))
    assert {"blazeface", "mediapipe"} <= set(names("detector"))
    assert {"mesh", "mediapipe"} <= set(names("landmarker"))
    assert "rules" in names("spotter")


def test_shipped_graphs_have_names_that_stay_theirs() -> None:
    assert set(names("graph")) == set(SHIPPED)
    mine = AUGraph.empty()
    register("graph", "mine")(mine)
    assert set(names("graph")) == {"mine", *SHIPPED}
    assert resolve("graph", "mine") is mine
    with pytest.raises(UsageError, match="registered already"):
        register("graph", "casme-sq-facs")(mine)
    with pytest.raises(UsageError, match="Did you mean 'casme-sq-facs'"):
        resolve("graph", "casme-sq-fac")


def test_a_registered_part_is_found_by_its_name() -> None:
    @register("flow", "mine")
    def flow(previous: Any, following: Any) -> None: ...

    assert resolve("flow", "mine") is flow
    assert "mine" in names("flow")
    assert list(names("flow")) == sorted(names("flow"))
    assert "mine" not in names("detector")
    with pytest.raises(UsageError):
        resolve("detector", "mine")


def test_register_returns_the_part_unchanged() -> None:
    class Part: ...

    assert register("spotter", "mine")(Part) is Part


def test_registering_the_same_part_again_is_no_error() -> None:
    part = object()
    register("flow", "mine")(part)
    register("flow", "mine")(part)
    register("flow", "also-mine")(part)  # nor are two names
    assert resolve("flow", "mine") is resolve("flow", "also-mine") is part


@pytest.mark.parametrize("name", ["mine", "dis"])
def test_a_name_is_not_taken_away(name: str) -> None:
    first = object()
    register("flow", "mine")(first)
    before = resolve("flow", name)
    with pytest.raises(UsageError, match=f"'{name}' is registered already"):
        register("flow", name)(object())
    assert resolve("flow", name) is before


def test_equal_parts_are_not_the_same_part() -> None:
    register("graph", "mine")([1])
    with pytest.raises(UsageError, match="registered already"):
        register("graph", "mine")([1])


@pytest.mark.parametrize(
    "part", [len, object(), 3, None, ["dis"]], ids=lambda it: type(it).__name__
)
def test_an_object_is_passed_through(part: object) -> None:
    assert resolve("flow", part) is part


def test_an_object_of_an_unknown_kind_is_an_error_all_the_same() -> None:
    with pytest.raises(UsageError, match="unknown kind"):
        resolve("flows", len)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("diss", "dis"), ("tvl1-opncv", "tvl1-opencv"), ("Farneback", "farneback")],
)
def test_an_unknown_name_lists_the_choices_and_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve("flow", typed)
    said = str(caught.value)
    assert repr(typed) in said
    assert f"Did you mean {meant!r}?" in said
    assert all(name in said for name in names("flow"))
    assert caught.value.exit_code == EXIT_USAGE


def test_nothing_is_guessed_where_nothing_is_near() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("flow", "xyzxyz")
    assert "Did you mean" not in str(caught.value)


def test_a_kind_without_parts_says_so() -> None:
    registry._parts["dataset"].clear()
    with pytest.raises(UsageError, match="no dataset is called 'casme'; there are none yet"):
        resolve("dataset", "casme")


@pytest.mark.parametrize(
    "use", [names, lambda kind: resolve(kind, "dis"), lambda k: register(k, "x")(1)]
)
def test_an_unknown_kind_lists_the_kinds_and_the_nearest(use: Any) -> None:
    with pytest.raises(UsageError) as caught:
        use("detectors")
    said = str(caught.value)
    assert "Did you mean 'detector'?" in said
    assert all(kind in said for kind in KINDS)


def test_a_part_named_by_its_place_is_imported_on_first_use(module: ModuleType) -> None:
    registry._parts["flow"]["lazy"] = "somebodys_flow:mine"
    registry._parts["flow"]["broken"] = "no_such_module_anywhere:mine"
    assert "broken" in names("flow")  # listing imports nothing
    assert resolve("flow", "lazy") is module.mine
    with pytest.raises(ImportError, match="no_such_module_anywhere"):
        resolve("flow", "broken")


def test_an_entry_point_is_found(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    entries(
        monkeypatch,
        EntryPoint("theirs", "somebodys_flow:mine", "aumer.flow"),
        EntryPoint("broken", "no_such_module_anywhere:x", "aumer.flow"),
        EntryPoint("elsewhere", "somebodys_flow:mine", "aumer.detector"),
        EntryPoint("stranger", "somebodys_flow:mine", "console_scripts"),
    )
    assert resolve("flow", "theirs") is module.mine
    assert {"theirs", "broken", "dis"} <= set(names("flow"))  # listing imports nothing
    assert not {"elsewhere", "stranger"} & set(names("flow"))
    with pytest.raises(UsageError, match="Did you mean 'theirs'"):
        resolve("flow", "their")


def test_what_is_named_here_goes_before_an_entry_point(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    """No installed package can change what a built-in's name means."""
    entries(
        monkeypatch,
        EntryPoint("dis", "somebodys_flow:mine", "aumer.flow"),
        EntryPoint("mine", "somebodys_flow:mine", "aumer.flow"),
    )
    here = register("flow", "mine")(object())
    assert resolve("flow", "mine") is here
    assert resolve("flow", "dis") is not module.mine
    assert names("flow").count("dis") == 1


def test_a_name_of_another_kind_is_told() -> None:
    with pytest.raises(UsageError, match=r"called .mesh.; .* There is a landmarker of that name"):
        registry.resolve("recognizer", "mesh")


def test_a_kind_of_before_says_what_it_is_now() -> None:
    with pytest.raises(UsageError, match="kind 'sequence-recognizer' is 'recognizer' now"):
        registry.resolve("sequence-recognizer", "cnn-lstm")


@pytest.mark.parametrize("name", ["", " mine", 3, None])
def test_a_part_needs_a_name_that_can_be_typed(name: Any) -> None:
    with pytest.raises(UsageError, match=r"the name of a flow is a text .*; found"):
        register("flow", name)
    with pytest.raises(UsageError, match="unknown kind of part 'flw'"):
        register("flw", "mine")
