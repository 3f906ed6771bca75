"""Every recognizer that ships passes the suite that users run on their own; and it sees faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recognition.systems.conftest import REDUCED

from aumer import registry
from aumer.recognition import interface
from aumer.recognition.interface import Floats, MotionClips, Recognizer
from aumer.testing import RecognizerSuite
from aumer.types import FloatArray

#: Options with which each learns in a second or two.
QUICK: dict[str, dict[str, Any]] = {
    "svm-cells": {},
    "ststnet": {"epochs": 5, "batch": 16},
    "graph": {},
    "graph-motion": {},
    **{
        name: {"config": config, "learning": {**learning, "epochs": 1}}
        for name, (_, config, learning) in REDUCED.items()
    },
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def suite(name: str) -> type[RecognizerSuite]:
    class Suite(RecognizerSuite):
        def make(self) -> Recognizer:
            return interface.resolve(name)(**QUICK[name])

    return Suite


class NearestMean(Recognizer):
    """The least that a recognizer can be."""

    name = "nearest-mean"
    reads = ("motion",)
    rois = ("mouth_r", "mouth_l", "brow_r_mid_inner", "brow_l_mid_inner")

    def fit(self, clips: MotionClips, **options: Any) -> NearestMean:  # type: ignore[override]
        self.means = [clips.inputs[clips.labels == k].mean(0) for k in range(len(clips.classes))]
        self.classes = clips.classes
        return self

    def predict_proba(self, inputs: FloatArray, sources: Any = ()) -> Floats:
        interface.fitted(self)
        far = np.array([[((x - m) ** 2).sum() for m in self.means] for x in inputs], np.float64)
        near = np.exp(-1e3 * far)
        return np.asarray(near / near.sum(1, keepdims=True))


class TestNearestMean(RecognizerSuite):
    def make(self) -> Recognizer:
        return NearestMean()


TestGraph, TestGraphMotion = suite("graph"), suite("graph-motion")
TestSvmCells, TestStstNet = suite("svm-cells"), suite("ststnet")
TestCnnLstm, TestMfemMffm = suite("cnn-lstm"), suite("mfem-mffm")
TestMobileVit, TestSeResNext = suite("mobilevit-v3"), suite("se-resnext50")


def test_every_recognizer_is_tested() -> None:
    assert set(QUICK) == set(registry.names("recognizer"))


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ({"reads": ("pictures",)}, "test_it_says_what_it_is"),
        ({"fit": lambda self, clips, **_: None}, "test_fit_gives_itself_and_knows_the_classes"),
        ({"predict_proba": lambda self, x, s=(): np.ones((len(x), 3))}, "test_probabilities"),
        (
            {"predict_proba": lambda self, x, s=(): np.full((len(x), 3), 1 / len(x))},
            "test_a_clip_is_judged_by_itself",
        ),
        (
            {"predict_proba": lambda self, x, s=(): np.random.default_rng().random((len(x), 3))},
            "test_the_same_clips_give_the_same_numbers",
        ),
        (
            {"attribution": lambda self, clip, label=None: np.zeros(4)},
            "test_attribution_is_a_number_for_each_roi",
        ),
        (
            {"embeddings": lambda self, x: np.zeros((1, 3), np.float32)},
            "test_embeddings_are_a_row_for_each_clip",
        ),
        (
            {"predict_proba": lambda self, x, s=(): np.full((len(x), 3), 1 / 3)},
            "test_one_that_is_not_trained_says_so",
        ),
        ({"save": lambda self, path, card, **_: path.touch()}, "test_a_file_gives_it_back"),
    ],
)
def test_the_suite_sees_what_is_wrong(fault: dict[str, Any], test: str) -> None:
    class Wrong(RecognizerSuite):
        def make(self) -> Recognizer:
            made: Recognizer = type("Wrong", (NearestMean,), fault)()
            return made

    with pytest.raises((AssertionError, AttributeError)):
        getattr(Wrong(), test)()


def test_a_class_that_keeps_no_contract_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from aumer.errors import UsageError

    class Half(Recognizer):
        name = "half"

        def predict_proba(self, inputs: Any, sources: Any = ()) -> Floats:
            return np.zeros((1, 2))

    parts = registry._parts["recognizer"]
    for part, said in ((Half, "does not define fit"), (object, "not a class derived from it")):
        monkeypatch.setitem(parts, "half", part)
        with pytest.raises(UsageError, match=said):
            interface.resolve("half")
