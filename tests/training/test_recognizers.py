"""`aumer train` of a recogniser: every one that is registered, from frames to a named clip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from data import trees

import aumer
from aumer import cli, registry
from aumer.errors import ConfigError, UsageError
from aumer.recognition import seam
from aumer.recognition.place import BY_LANDMARKS
from aumer.recognition.seam import Recognizer
from aumer.training.recognizers import read_config, run

SHOWN = ("happiness", "surprise", "disgust")
#: Networks that learn in a second.
SMALL: dict[str, str] = {
    "cnn-lstm": """
config = { length = 8, windows = 0, channels = [4, 8] }
learning = { epochs = 2, inner_share = 0.0, patience = 0 }
inputs = { size = 48, margin = 1 }""",
    "mfem-mffm": """
config = { steps = 3, width = 8, blocks = [1, 1, 1, 1], hidden = 16 }
learning = { epochs = 2, batch = 4 }
inputs = { size = 48 }""",
    "mobilevit-v3": """
learning = { epochs = 2 }
inputs = { size = 48 }""",
    "se-resnext50": """
config = { layers = [1, 1, 1, 1], groups = 4, reduction = 4 }
learning = { epochs = 2 }
inputs = { size = 48 }""",
    "ststnet": "epochs = 20",
    "svm-cells": "",
    "graph": "",
    "graph-motion": "",
}
CONFIG = """
output = "out"
recognizer = "{name}"
classes = ["happiness", "surprise", "disgust"]
device = "cpu"
[data]
source = "casme2"
root = "CASME2"
exclude_subjects = ["sub03"]
[card]
licence = "CC0-1.0"
[options]
{options}
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def acts() -> list[trees.Act]:
    return trees.acted(3, SHOWN)


@pytest.fixture(scope="module")
def root(acts: list[trees.Act], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    (folder / "CASME2").mkdir()
    trees.casme2_acted(folder / "CASME2", acts)
    return folder


def config(root: Path, name: str, text: str = CONFIG) -> Path:
    path = root / f"{name}.toml"
    path.write_text(text.format(name=name, options=SMALL[name]))
    return path


def test_every_recogniser_can_be_trained() -> None:
    assert set(SMALL) == set(registry.names("recognizer"))


@pytest.mark.parametrize("name", SMALL)
def test_from_frames_to_a_named_clip(
    name: str, root: Path, acts: list[trees.Act], tmp_path: Path, capsys: Any
) -> None:
    path = config(root, name)
    words = ["train", str(path), "-o", str(tmp_path), "--cache", str(root / "cache")]
    assert cli.main(words) == 0
    weights = Path(capsys.readouterr().out.strip())
    assert weights == tmp_path / "model.safetensors"
    model = seam.load(weights)
    assert model.classes == SHOWN
    data = model.card["data"]
    assert data["clips"] == dict.fromkeys(SHOWN, 2) and data["excluded_subjects"] == ["sub03"]
    assert model.card["licence"] == "CC0-1.0"
    if model.reads[0] == "sequence":
        assert model.inputs is not None and model.inputs.size == 48
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    else:
        assert model.place == BY_LANDMARKS
    assert not list(tmp_path.glob("checkpoint*"))
    unseen = [a for a in acts if a.subject == 3]
    found = [
        aumer.classify(a.frames, model=weights, onset=2, apex=6, offset=10, fps=200) for a in unseen
    ]
    assert {p.recognizer for p in found} == {name}
    assert all(tuple(p.probs) == SHOWN and len(p.digests["recognizer"]) == 64 for p in found)
    if name in ("svm-cells", "graph"):
        assert [p.label for p in found] == [a.emotion for a in unseen]


def test_the_command_names_what_it_trained(root: Path, acts: list[trees.Act], capsys: Any) -> None:
    """`classify` and `spot --recognizer` take the same file; a second run does not overwrite it."""
    path = config(root, "cnn-lstm")
    words = ["train", str(path), "--cache", str(root / "cache")]
    assert cli.main(words) == 0
    weights = capsys.readouterr().out.strip()
    clip = root / "CASME2" / "CASME2_RAW_selected" / "sub03" / "EP01_01"
    given = ["--fps", "30", "--recognizer", weights, "--no-cache"]
    assert cli.main(["classify", str(clip), "--onset", "2", "--offset", "10", *given]) == 0
    assert any(word in capsys.readouterr().out for word in SHOWN)
    assert cli.main(["spot", str(clip), "--model", "rules", *given]) == 0
    assert cli.main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_interrupted_run_goes_on(root: Path, tmp_path: Path) -> None:
    changes = {"output": str(tmp_path / "whole")}
    whole = run(read_config(config(root, "se-resnext50"), changes), cache=root / "cache")

    def kill(record: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    killed = read_config(config(root, "se-resnext50"), {"output": str(tmp_path / "killed")})
    with pytest.raises(KeyboardInterrupt):
        run(killed, cache=root / "cache", callbacks=[kill])
    assert (tmp_path / "killed" / "checkpoint.safetensors").exists()
    again = run(killed, cache=root / "cache")
    one, two = (seam.read_weights(path).arrays for path in (whole, again))
    assert all((one[key] == two[key]).all() for key in one)


class OfMotion(Recognizer):
    """A nearest mean of motion; the least that a recogniser of one's own can be."""

    name = "of-motion"
    reads = ("motion",)
    rois = ("mouth_r", "mouth_l", "brow_r_mid", "brow_l_mid")

    def fit(self, clips: Any, **options: Any) -> OfMotion:  # type: ignore[override]
        self.means = [clips.inputs[clips.labels == k].mean(0) for k in range(len(clips.classes))]
        self.classes = clips.classes
        return self

    def predict_proba(self, inputs: Any, sources: Any = ()) -> Any:
        far = torch.tensor([[float(((x - m) ** 2).sum()) for m in self.means] for x in inputs])
        return torch.softmax(-1e4 * far.double(), 1).numpy()


def test_motion_alone_is_learnt_by_one_without_a_file(
    root: Path, acts: list[trees.Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aumer.training.clips import reading_of
    from aumer.training.recognizers import read_clips

    monkeypatch.setitem(registry._parts["recognizer"], "of-motion", OfMotion)
    monkeypatch.setitem(SMALL, "of-motion", "")
    with pytest.raises(UsageError, match="'of-motion' cannot be kept in a file"):
        read_config(config(root, "of-motion"))
    read = read_config(config(root, "svm-cells"))
    reading = reading_of("of-motion", {}, aumer.load_settings(), "options", OfMotion.rois)
    clips, _ = read_clips(read, reading, root / "cache")
    assert clips.inputs.shape == (6, 4, 2)
    model = OfMotion().fit(clips)
    unseen = [a for a in acts if a.subject == 3]
    named = [aumer.classify(a.frames, model=model, onset=2, apex=6, fps=30) for a in unseen]
    assert [p.label for p in named] == [a.emotion for a in unseen]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (("recognizer = ", 'recognizer = "cnn-lst" #'), UsageError, "Did you mean 'cnn-lstm'"),
        (("classes = ", "clases = "), ConfigError, "Did you mean 'classes'"),
        (
            ("[options]", "[options]\ncel = 3"),
            UsageError,
            "no option 'cel'; it has c,",
        ),
        (("[options]", "[options]\napex = 'peak'"), ConfigError, "apex must be one of"),
        (("[options]", "[options.inputs]\ncrob = 3"), ConfigError, "Did you mean 'crop'"),
        (('source = "casme2"', 'source = "casme9"'), UsageError, "no dataset is called 'casme9'"),
        (('["sub03"]', '["sub9"]'), ConfigError, "exclude_subjects names sub9; the subjects are"),
        (('["happiness", "surprise", "disgust"]', '["joy"]'), ConfigError, "two or more"),
        (('["happiness", "surprise", "disgust"]', '["joy", "awe"]'), UsageError, "no clip is of"),
    ],
)
def test_what_cannot_be_trained(
    change: tuple[str, str], error: type[Exception], said: str, root: Path
) -> None:
    assert change[0] in CONFIG
    path = config(root, "svm-cells", CONFIG.replace(*change))
    with pytest.raises(error, match=said):
        run(read_config(path, {"output": str(root / "none")}), cache=root / "cache")


def test_flow_images_are_for_recognisers_of_flow_maps(root: Path) -> None:
    text = CONFIG.replace('"casme2"', '"megc2019"')
    with pytest.raises(UsageError, match="holds flow maps and no frames, and cnn-lstm reads seq"):
        read_config(config(root, "cnn-lstm", text))
