"""Files and calls of recognizers and AU readers: one way for both; what is refused of either."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acted import APEX_S, SMILE, frames
from safetensors import safe_open
from safetensors.numpy import load_file, save

import aumer
from aumer.config import load_settings
from aumer.errors import AumerError, UsageError, WeightsError
from aumer.recognition import action_units, interface
from aumer.recognition.acted_maps import acted_maps
from aumer.recognition.au_graph import GraphAUReader
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.graph_kernel import GraphRecognizer
from aumer.recognition.graph_motion import GraphMotionRecognizer
from aumer.recognition.interface import Recognizer
from aumer.recognition.labeler import Labeler
from aumer.recognition.svm_cells import SvmCells
from aumer.recognition.trained import Trained
from aumer.testing import au_clips
from aumer.testing.clips import clips_for

Card, Arrays = dict[str, Any], dict[str, Any]
MADE: dict[str, Callable[[], Trained]] = {
    "graph": lambda: GraphRecognizer(position=BY_LANDMARKS),
    "graph-motion": GraphMotionRecognizer,
    "svm-cells": SvmCells,
    "AU reader": lambda: GraphAUReader(position=BY_LANDMARKS, choice=(0.003, 0.3)),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each."""
    folder = tmp_path_factory.mktemp("kept")
    found = {}
    for name, make in MADE.items():
        made = make()
        clips = au_clips(0, clips=60) if name == "AU reader" else clips_for(made, 0)  # type: ignore[arg-type]
        found[name] = folder / f"{name}.safetensors"
        made.fit(clips).save(found[name], {})
    return found


def load(name: str, path: Path) -> Trained:
    return action_units.load(path) if name == "AU reader" else interface.load(path)


def changed(source: Path, folder: Path, card: Card, arrays: Callable[[Arrays], Arrays]) -> Path:
    """The file with keys of its card and with arrays changed; its numbers stay numbers."""
    with safe_open(source, "numpy") as file:
        text = json.loads(file.metadata()["aumer"]) | card
    path = folder / "changed.safetensors"
    path.write_bytes(save(arrays(load_file(source)), {"aumer": json.dumps(text)}))
    return path


def same(arrays: Arrays) -> Arrays:
    return arrays


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("number", [0, 1, 2, 4, "text", "twice"])
def test_columns_that_are_not_those_of_the_weights(
    name: str, number: Any, kept: dict[str, Path], tmp_path: Path
) -> None:
    """Three classes, or five AUs, are in the files."""
    key = "aus" if name == "AU reader" else "classes"
    some: Any = [1, 2, 4, 12, 17] if key == "aus" else ["a", "b", "c"]
    there = {"text": "abc", "twice": [some[0], *some[:-1]]}
    found = there[number] if isinstance(number, str) else [*some, some[0]][:number]
    if number == 4 and key == "classes":
        found = [*some, "d"]
    path = changed(kept[name], tmp_path, {key: found}, same)
    with pytest.raises(WeightsError):
        load(name, path)


@pytest.mark.parametrize("name", ["graph", "graph-motion", "svm-cells"])
def test_numbers_that_divide_by_nothing(name: str, kept: dict[str, Path], tmp_path: Path) -> None:
    path = changed(kept[name], tmp_path, {}, lambda a: {k: 0 * v for k, v in a.items()})
    with pytest.raises(WeightsError):
        load(name, path)


def test_files_of_another_kind(kept: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"`aumer classify --au-reader`"):
        interface.load(kept["AU reader"])
    with pytest.raises(WeightsError, match=r"`aumer classify --recognizer`"):
        action_units.load(kept["graph"])
    swapped = changed(kept["graph-motion"], tmp_path, {"recognizer": "graph"}, same)
    with pytest.raises(WeightsError, match="its rows are of"):
        interface.load(swapped)
    strange = changed(kept["AU reader"], tmp_path, {"aus": [1, 2, 4, 12, 99]}, same)
    with pytest.raises(WeightsError, match="AU99"):
        action_units.load(strange)


def test_a_file_of_a_part_that_is_registered_elsewhere_says_how_to_name_it(tmp_path: Path) -> None:
    class Elsewhere(SvmCells):
        name = "elsewhere"

    path = tmp_path / "elsewhere.safetensors"
    made = Elsewhere()
    made.fit(clips_for(made, seed=0)).save(path, {"data": "made up"})
    said = "no recognizer is called 'elsewhere'; .* registers it with `--plugin`"
    with pytest.raises(WeightsError, match=said) as error:
        interface.load(path)
    assert ".." not in str(error.value).replace(str(path), "")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"predict_proba": lambda self, x, s=(): np.full((1, 3), 0.6)}, "sum is 1.8 and not 1"),
        ({"predict_proba": lambda self, x, s=(): np.array([[2.0, -1, 0]])}, "from -1 to 2"),
        ({"predict_proba": lambda self, x, s=(): np.full((1, 4), 0.25)}, r"shape \(1, 4\)"),
        ({"attribution": lambda self, x, label=None: np.zeros(3)}, "each of its 12 ROIs"),
        ({"attribution": lambda self, x, label=None: np.full(12, np.nan)}, "each of its 12 ROIs"),
    ],
)
def test_what_a_recognizer_must_not_say(
    fault: dict[str, Any], said: str, kept: dict[str, Path]
) -> None:
    whole = interface.load(kept["graph"])
    clip = clips_for(whole, 1).inputs[0]
    Labeler(whole, load_settings().motion).judge(clip)
    broken: Recognizer = type("Broken", (type(whole),), fault)()
    vars(broken).update(vars(whole))
    with pytest.raises(WeightsError, match=said):
        Labeler(broken, load_settings().motion).judge(clip)


def test_an_au_reader_that_says_too_much(kept: dict[str, Path]) -> None:
    whole = action_units.load(kept["AU reader"])
    maps = acted_maps(np.random.default_rng(0), np.ones((2, 1), bool), (12,), BY_LANDMARKS)
    fault = {"predict_proba": lambda self, x, s=(): np.ones((len(x), 2))}
    broken: Any = type("Broken", (GraphAUReader,), fault)()
    vars(broken).update(vars(whole))
    with pytest.raises(WeightsError, match=r"shape \(2, 2\) for 2 clips and 5 aus"):
        broken.read(maps)


def test_an_au_reader_reads_maps_made_as_it_has_learnt(tmp_path: Path) -> None:
    """Its file says how, as a recognizer's does; a recognizer beside it changes nothing."""
    motion = replace(load_settings().motion, crop=96, flow="dis")
    reader = GraphAUReader(position=BY_LANDMARKS, choice=(0.003, 0.3)).fit(au_clips(0, clips=60))
    reader.motion = motion
    reader.save(tmp_path / "mine.safetensors", {})
    again = action_units.load(tmp_path / "mine.safetensors")
    assert again.motion == motion
    given: dict[str, Any] = {"fps": 30, "onset": 3, "apex": round(30 * APEX_S), "offset": 30}
    clip = frames(SMILE)
    by_file = aumer.classify(clip, aus=again, **given).aus
    again.motion = None
    settings = {"motion": {"crop": 96, "flow": "dis"}}
    by_settings = aumer.classify(clip, aus=again, settings=settings, **given).aus
    usual = aumer.classify(clip, aus=again, **given).aus
    assert by_file is not None and by_settings is not None and usual is not None

    def shares(units: Any) -> list[float]:
        return [unit.probability for unit in units]

    assert shares(by_file) == pytest.approx(shares(by_settings), abs=1e-6)
    assert shares(by_file) != pytest.approx(shares(usual), abs=1e-6)


def test_names_that_moved() -> None:
    with pytest.raises(ImportError, match=r"action_units\.write_weights"):
        action_units.write_reader  # noqa: B018
    assert issubclass(Recognizer, Trained) and issubclass(action_units.AUReader, Trained)


def test_what_an_au_reader_cannot_learn() -> None:
    clips = au_clips(0, clips=40)
    with pytest.raises(UsageError, match="cannot read AU3; it reads 1, 2, 4"):
        GraphAUReader().fit(replace(clips, aus=(1, 2, 3, 12, 17)))
    always = clips.acted.copy()
    always[:, 3] = True
    with pytest.raises(UsageError, match="AU12 acts in all of the 40 clips"):
        GraphAUReader().fit(replace(clips, acted=always))
    with pytest.raises(AumerError, match="least"):
        GraphAUReader(least=-1)
    with pytest.raises(UsageError, match="above 0"):
        GraphAUReader(choice=(0.1, 0))
