"""The weights that ship: what they say of themselves; that their command makes them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from aumer.bench.recognizers import factory
from aumer.errors import WeightsError
from aumer.flow import resolve
from aumer.recognition import interface
from aumer.recognition.acted_maps import simulated_maps
from aumer.recognition.features import of_one_size
from aumer.recognition.graph_kernel import GraphRecognizer
from aumer.recognition.interface import Recognizer
from aumer.recognition.registration import applied
from aumer.session import load_recognizer
from aumer.testing.clips import CLASSES, MOVES, clips
from aumer.training.composite import composite
from tests.cost import cpu_seconds


@pytest.fixture(scope="module")
def shipped() -> Recognizer:
    return interface.load()


def test_what_ships() -> None:
    assert interface.shipped() == ("graph", "graph-motion")
    with pytest.raises(WeightsError, match="called 'svm-cells'; there are graph, graph-motion"):
        interface.load("svm-cells")


@pytest.mark.parametrize("name", ["graph", "graph-motion"])
def test_its_card(name: str) -> None:
    made = interface.load(name)
    card = made.card
    assert {
        "fitted_on",
        "holds",
        "protocol",
        "reads",
        "uf1",
        "uar",
        "limits",
        "licence",
        "made",
    } <= set(card)
    assert card["uf1"]["low"] < card["uf1"]["value"] < card["uf1"]["high"]
    # The honest figure, below what was promised at the choice.
    assert 0.65 < card["uf1"]["value"] < card["chosen_on_all"]["uf1_left_out"]
    assert "research" in card["licence"] and "442" in card["fitted_on"]
    assert "No clip" in card["holds"] and card["calibration_error"]["value"] < 0.1
    assert made.classes == CLASSES


@pytest.mark.parametrize("name", ["graph", "graph-motion"])
def test_it_holds_parameters_and_no_sample(
    name: str, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """No array has a row for each clip; what has rows at all is of simulated faces, and made anew
    from the place alone; and none of them is a clip."""
    made = interface.load(name)
    assert isinstance(made, GraphRecognizer)
    path = tmp_path / "shipped.safetensors"
    made.save(path, made.card)
    arrays = interface.read_weights(path).arrays
    data = composite(shared_data("megc2019"))
    for number in (len(data), len(data) - 1, 2 * len(data)):
        assert all(number not in array.shape for array in arrays.values())
    assert set(arrays) == {
        "likeness",
        *(f"{what}_{m.scale}" for m in made._members for what in ("rows", "mean", "deviation")),
        *(f"{what}_{k}" for k in range(len(made._members)) for what in ("weights", "bias")),
    }
    maps = of_one_size(simulated_maps(made.position, made.landmarks))
    clips_read = applied(of_one_size(data.inputs), data.sources, made._affines)
    for scale in {m.scale for m in made._members}:
        mean, deviation = arrays[f"mean_{scale}"], arrays[f"deviation_{scale}"]
        rows = arrays[f"rows_{scale}"].astype(float)
        again = (made._read(maps, scale, made.position) - mean) / deviation
        np.testing.assert_allclose(rows, again, atol=0.01)
        real = (made._read(clips_read, scale, made.position) - mean) / deviation
        apart = cdist(rows.reshape(len(rows), -1), real.reshape(len(real), -1), "chebyshev")
        assert apart.min() > 0.1


def test_it_is_the_default() -> None:
    assert load_recognizer("default").card == interface.load("graph").card
    assert load_recognizer("default")._arrays.keys() == interface.load("graph")._arrays.keys()  # type: ignore[attr-defined]


def test_it_is_small_and_quick(shipped: Recognizer, tmp_path: Path) -> None:
    path = tmp_path / "again.safetensors"
    shipped.save(path, shipped.card)
    assert path.stat().st_size < 500_000
    flow_map = clips(0).inputs[:1]
    frames = np.random.default_rng(0).integers(0, 255, (2, 256, 256)).astype(np.uint8)
    flow = resolve("farneback")  # the quickest one, of a face as large as it is analyzed at
    reading = cpu_seconds(lambda: shipped.predict_proba(flow_map), repeats=7)
    assert reading < cpu_seconds(lambda: flow(*frames), repeats=7)


def test_made_up_faces_are_read_rightly(shipped: Recognizer) -> None:
    """Brows drawn together, corners of the mouth up, brows up: it was trained on none of them."""
    assert isinstance(shipped, GraphRecognizer)
    faces = clips(7, subjects=8, position=shipped.position)
    shares = shipped.predict_proba(faces.inputs)
    hits = shares.argmax(1) == faces.labels
    for k, label in enumerate(CLASSES):
        assert hits[faces.labels == k].mean() > 0.8, label
        spoken = np.mean(
            [shipped.attribution(x, label) for x in faces.inputs[faces.labels == k]], 0
        )
        moving = np.isin(shipped.rois, list(MOVES[k]))
        assert spoken[moving].min() > 0
        assert spoken[moving].mean() > spoken[~moving].mean() + 0.02


def test_its_command_makes_it_again(
    shipped: Recognizer, shared_data: Callable[[str], Path]
) -> None:
    """Trained on the composite's 442 clips, with what is chosen on them."""
    data = composite(shared_data("megc2019"))
    made = factory("graph", {"landmarks": 128})(0).fit(data)
    assert isinstance(made, GraphRecognizer) and isinstance(shipped, GraphRecognizer)
    assert made.chosen == shipped.chosen == shipped.card["chosen_on_all"]
    assert made.graph.digest == shipped.graph.digest
    np.testing.assert_allclose(
        shipped.predict_proba(data.inputs, data.sources),
        made.predict_proba(data.inputs, data.sources),
        atol=1e-4,
    )
    hits = shipped.predict_proba(data.inputs, data.sources).argmax(1) == data.labels
    assert hits.mean() > 0.85  # clips it was trained on


@pytest.mark.slow
def test_a_sample_of_folds_of_the_honest_figure(shared_data: Callable[[str], Path]) -> None:
    """Nested selection of some subjects' folds, as the figure on the card was measured."""
    from aumer.bench.tasks.recognition import loso

    data = composite(shared_data("megc2019"))
    folds = loso(data, factory("graph", {"landmarks": 128}), subjects=["sub17", "s03", "006"])
    pairs = [p for fold in folds for p in zip(fold.truths, fold.predicted, strict=True)]
    assert len(pairs) > 60 and np.mean([t == p for t, p in pairs]) > 0.7
    assert all(fold.chosen["target"] != "none" for fold in folds)
