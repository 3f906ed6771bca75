"""Every spotter that ships passes the suite that users run on their own; and it sees faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import aumer
from aumer import registry
from aumer.config import Settings, load_settings
from aumer.errors import UsageError
from aumer.graph import AUGraph
from aumer.spotting.interface import Spotted, SpotterModel, resolve, spotted
from aumer.spotting.rules import RuleSpotter
from aumer.testing import SpotterSuite
from aumer.types import Expression, Features, Scores

SETTINGS = load_settings()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def suite(name: str) -> type[SpotterSuite]:
    class Suite(SpotterSuite):
        def make(self) -> str:
            return name

    return Suite


# A new one needs no line here.
globals().update({f"Test_{name}": suite(name) for name in registry.names("spotter")})


def quiet(features: Features) -> Spotted:
    """The least that a spotter can be."""
    still = np.zeros((len(features), 1), np.float32)
    return Scores(still, features.times, features.frames, features.valid, ("moves",)), ()


class Quiet(SpotterModel):
    name = "quiet"

    def __call__(self, features: Features) -> Spotted:
        return quiet(features)


def one(features: Features, **changes: Any) -> Expression:
    found = Expression("micro", 1, 2, 3, 0.1, 0.2, 0.3, 0.5)
    return replace(found, **changes)


class TestFunction(SpotterSuite):
    def make(self) -> Any:
        return quiet


class TestClass(SpotterSuite):
    def make(self) -> Any:
        return Quiet


class TestObject(SpotterSuite):
    def make(self) -> Any:
        return Quiet()


def noisy(self: Any, features: Features) -> Spotted:
    scores, _ = quiet(features)
    return replace(scores, values=np.random.default_rng().random((len(features), 1))), ()


def late(self: Any, features: Features) -> Spotted:
    last = int(features.frames[-1]) + 5 if len(features) else 5
    return quiet(features)[0], (one(features, offset=last),)


def always(self: Any, features: Features) -> Spotted:
    return quiet(features)[0], (one(features),)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ({"name": ""}, "test_it_says_what_it_is"),
        ({"rate": -1.0}, "test_it_says_what_it_is"),
        ({"rules": {"foot": 1}}, "test_it_says_what_it_is"),
        ({"digests": {"weights": 3}}, "test_it_says_what_it_is"),
        ({"__call__": lambda self, f: quiet(rest(f))}, "test_scores_lie_on_the_time_axis"),
        ({"__call__": lambda self, f: None}, "test_scores_lie_on_the_time_axis"),
        ({"__call__": late}, "test_expressions_lie_in_the_video"),
        ({"__call__": noisy}, "test_the_same_features_give_the_same_numbers"),
        ({"__call__": always}, "test_where_no_face_is_there_is_no_expression"),
        ({"__call__": always}, "test_however_short"),
        ({"uses_graph": True}, "test_a_graph_is_used_or_refused"),
        ({"to": lambda self, device: None}, "test_a_device_changes_no_number"),
    ],
)
def test_the_suite_sees_what_is_wrong(fault: dict[str, Any], test: str) -> None:
    class Wrong(SpotterSuite):
        def make(self) -> Any:
            return type("Wrong", (Quiet,), fault)

    with pytest.raises((AssertionError, AttributeError, UsageError)):
        getattr(Wrong(), test)()


def features() -> Features:
    return TestObject().features()


def rest(features: Features) -> Features:
    return replace(
        features,
        **{
            name: getattr(features, name)[1:]
            for name in ("values", "times", "frames", "valid", "confidence", "eyelids", "head")
        },
    )


# Taking in what a user gives


def test_what_an_object_has_without_deriving_is_used() -> None:
    checked: list[Settings] = []

    class Duck:
        name = "duck"
        rules = replace(SETTINGS.rules, foot=0.3)
        sensitivity = "low"
        rate = 25.0

        @property
        def digests(self) -> dict[str, str]:
            return {"weights": "12"}

        def check(self, settings: Settings) -> None:
            checked.append(settings)

        def __call__(self, features: Features) -> Spotted:
            return quiet(features)

    made = resolve(Duck(), SETTINGS)
    assert (made.name, made.digests, made.rate, made.sensitivity) == (
        "duck",
        {"weights": "12"},
        25.0,
        "low",
    )
    assert made.rules == Duck.rules
    made.check(SETTINGS)
    assert checked == [SETTINGS]
    with pytest.raises(UsageError, match="duck is given as an object, which was made with low"):
        aumer.Spotter(model=Duck(), sensitivity="high")  # type: ignore[arg-type]


def test_a_class_of_before_is_given_what_its_from_settings_takes() -> None:
    class Old:
        name = "old"

        def __init__(self, *given: Any) -> None:
            self.given = given

        def __call__(self, features: Features) -> Spotted:
            return quiet(features)

        @classmethod
        def from_settings(cls, settings: Settings, *, graph: Any, device: str) -> Old:
            return cls(settings, graph, device)

    graph = AUGraph.identity()
    made: Any = resolve(Old, SETTINGS, graph=graph)
    assert made._part.given == (SETTINGS, graph, "cpu")
    placed: Any = resolve(Old, SETTINGS, device="cuda")
    assert placed._part.given == (SETTINGS, None, "cuda") and placed.to("cuda")


@pytest.mark.parametrize(
    "part",
    ["rules", RuleSpotter, Quiet, Quiet(), quiet],
    ids=["name", "class", "own-class", "object", "function"],
)
def test_a_graph_for_one_that_uses_none_is_an_error(part: Any) -> None:
    with pytest.raises(UsageError, match=r"the spotter '\w+' uses no graph"):
        resolve(part, SETTINGS, graph=AUGraph.identity())


def test_what_is_no_spotter_is_refused() -> None:
    class Half(SpotterModel):
        name = "half"

    with pytest.raises(UsageError, match="'half' cannot be used: it does not define __call__"):
        resolve(Half, SETTINGS)
    with pytest.raises(UsageError, match="'int' cannot be used: it cannot be called"):
        resolve(3, SETTINGS)


@pytest.mark.parametrize("found", [None, (None, ()), 3, "scores"], ids=repr)
def test_answers_that_are_no_scores_are_refused_by_name(found: Any) -> None:
    def mine(features: Features) -> Any:
        return found

    message = r"'.*mine' must return \(Scores, tuple of Expression\); found"
    with pytest.raises(UsageError, match=message):
        spotted(resolve(mine, SETTINGS), features())


def test_a_list_of_expressions_will_do_and_other_things_will_not() -> None:
    scores = quiet(features())[0]
    made = resolve(lambda f: (scores, [one(f)]), SETTINGS)
    assert spotted(made, features()) == (scores, (one(features()),))
    with pytest.raises(UsageError, match=r"must return \(Scores.*found 'smile'"):
        spotted(resolve(lambda f: (scores, ["smile"]), SETTINGS), features())


def test_scores_that_are_no_numbers_are_refused() -> None:
    def broken(given: Features) -> Spotted:
        scores, found = quiet(given)
        values = scores.values.copy()
        values[len(values) // 2] = np.nan
        return replace(scores, values=values), found

    model = resolve(broken, load_settings())
    with pytest.raises(UsageError, match="finite scores"):
        spotted(model, features())
