"""What holds for every recognizer of flow maps, beside what `aumer.testing` asks of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer import registry
from aumer.errors import UsageError, WeightsError
from aumer.recognition import interface
from aumer.recognition.interface import Clips, Recognizer
from aumer.testing.clips import CLASSES, clips

#: Small enough to train in a second; of "ststnet" only the epochs matter for that.
MAKE: dict[str, Callable[[], Any]] = {
    "svm-cells": lambda: registry.resolve("recognizer", "svm-cells")(),
    "ststnet": lambda: registry.resolve("recognizer", "ststnet")(epochs=30, batch=16),
    "graph": lambda: registry.resolve("recognizer", "graph")(),
    "graph-motion": lambda: registry.resolve("recognizer", "graph-motion")(),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Such small networks are slower on several, much slower where others compute too."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def train() -> Clips:
    return clips(0, subjects=8)


@pytest.fixture(scope="module", params=sorted(MAKE))
def fitted(request: pytest.FixtureRequest, train: Clips) -> Recognizer:
    made: Recognizer = MAKE[request.param]().fit(train)
    return made


def test_every_recognizer_of_flow_maps_is_tested() -> None:
    of_maps = {
        n for n in registry.names("recognizer") if interface.resolve(n).reads[0] == "flow-map"
    }
    assert set(MAKE) == of_maps


def test_it_learns_what_can_be_learnt(fitted: Recognizer) -> None:
    test = clips(1, subjects=10)
    hits = fitted.predict_proba(test.inputs).argmax(1) == test.labels
    assert hits.mean() > 0.8  # a third by chance


def test_pixels_or_the_min_max_view_give_the_same(fitted: Recognizer) -> None:
    """The scale and the zero level of each channel are lost in the composite's images."""
    test = clips(1)
    scaled = test.inputs * np.float32([4.0, 0.5, 2.0]) + np.float32([1.0, -3.0, 0.25])
    np.testing.assert_allclose(
        fitted.predict_proba(scaled), fitted.predict_proba(test.inputs), atol=1e-3
    )


def test_files(fitted: Recognizer, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    fitted.save(path, {"data": "simulated"})
    again = interface.load(path)
    assert type(again) is type(fitted)
    assert again.classes == fitted.classes == CLASSES and again.card == {"data": "simulated"}
    test = clips(1)
    np.testing.assert_allclose(
        again.predict_proba(test.inputs), fitted.predict_proba(test.inputs), atol=1e-6
    )
    with pytest.raises(UsageError, match="exists already"):
        fitted.save(path, {})
    assert type(fitted).load(path).classes == CLASSES


def test_two_classes_will_do(fitted: Recognizer, train: Clips) -> None:
    keep = train.labels < 2
    two = Clips(
        train.inputs[keep],
        train.labels[keep],
        tuple(s for s, k in zip(train.subjects, keep, strict=True) if k),
        CLASSES[:2],
    )
    made = MAKE[fitted.name]().fit(two)
    assert (made.predict_proba(two.inputs).argmax(1) == two.labels).mean() > 0.8


def test_attribution_names_the_part_of_the_face_that_moved(fitted: Recognizer) -> None:
    test = clips(3, subjects=10)
    for label, part in ((1, "mouth"), (2, "brow")):
        spoken = [
            fitted.attribution(x, CLASSES[label])
            for x, y in zip(test.inputs, test.labels, strict=True)
            if y == label
        ]
        mean = np.mean(spoken, 0)
        assert mean.shape == (len(fitted.rois),)
        assert fitted.rois[int(mean.argmax())].startswith((part, "lip"))


def test_attribution_is_of_the_most_probable_class_unless_asked(fitted: Recognizer) -> None:
    flow_map = clips(1).inputs[0]
    best = fitted.classes[int(fitted.predict_proba(flow_map[None])[0].argmax())]
    assert np.array_equal(fitted.attribution(flow_map), fitted.attribution(flow_map, best))
    with pytest.raises(UsageError, match="no class is called 'smile'"):
        fitted.attribution(flow_map, "smile")


@pytest.mark.parametrize("name", sorted(MAKE))
def test_untrained(name: str, tmp_path: Path) -> None:
    made = MAKE[name]()
    with pytest.raises(UsageError, match="not trained"):
        made.predict_proba(clips(0).inputs)
    with pytest.raises(UsageError, match="not trained"):
        made.save(tmp_path / "x.safetensors", {})
    assert not list(tmp_path.iterdir())


def test_inputs_that_are_none(fitted: Recognizer) -> None:
    with pytest.raises(UsageError, match=r"\(N, 28, 28, 3\); found \(2, 28, 28\)"):
        fitted.predict_proba(np.zeros((2, 28, 28), np.float32))
    bad = np.zeros((1, 28, 28, 3), np.float32)
    bad[0, 3, 3, 1] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        fitted.predict_proba(bad)


def test_a_face_at_rest_has_finite_probabilities(fitted: Recognizer) -> None:
    shares = fitted.predict_proba(np.zeros((1, 28, 28, 3), np.float32))
    assert np.isfinite(shares).all()


def test_foreign_files(fitted: Recognizer, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot read weights"):
        interface.load(damaged)
    with pytest.raises(WeightsError, match="no weights at"):
        interface.load(tmp_path / "absent.safetensors")
    from safetensors.numpy import save_file

    other = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3)}, other)
    with pytest.raises(WeightsError, match="without the card of a recognizer"):
        interface.load(other)
    of_another = tmp_path / "kind.safetensors"
    fitted.save(of_another, {})
    strange = next(k for k in MAKE if k != fitted.name)
    with pytest.raises(WeightsError, match=f"not '{strange}'"):
        registry.resolve("recognizer", strange).load(of_another)


def test_unknown_names() -> None:
    with pytest.raises(WeightsError, match="no trained recognizer is called 'grpah'"):
        interface.load("grpah")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(3, np.int64)}, "as many labels; found 3"),
        ({"subjects": ("a",)}, "as many subjects; found 1"),
        ({"names": ("a",)}, "as many names; found 1"),
        ({"sources": ("a",)}, "as many sources; found 1"),
        ({"classes": ("negative",)}, "two different classes"),
        ({"classes": ("a", "a", "b")}, "two different classes"),
        ({"classes": ("a", "b")}, "indices of 2 classes; found 0 to 2"),
    ],
)
def test_clips_that_do_not_fit_together(change: dict[str, Any], message: str) -> None:
    whole = clips(0, subjects=2)
    given = {
        "inputs": whole.inputs,
        "labels": whole.labels,
        "subjects": whole.subjects,
        "classes": whole.classes,
    }
    with pytest.raises(UsageError, match=message):
        Clips(**{**given, **change})


def test_taking_some_clips() -> None:
    whole = clips(0, subjects=3)
    mask = whole.of_subject("s1")
    some = whole.take(mask)
    assert set(some.subjects) == {"s1"} and len(some) == mask.sum() == 9
    assert np.array_equal(some.inputs, whole.inputs[mask])
    assert np.array_equal(whole.take(np.array([4, 2])).labels, whole.labels[[4, 2]])
