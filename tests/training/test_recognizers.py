"""`aumer train` of a recognizer: every one that is registered, from frames to a named clip."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data import trees
from learning.test_log import events

import aumer
from aumer import cli, registry
from aumer.errors import ConfigError, UsageError, WeightsError
from aumer.recognition import interface
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.interface import Recognizer
from aumer.results.annotations import Annotated, AnnotationFile
from aumer.spotting.network import SHIPPED
from aumer.training.clip_run import run
from aumer.training.recognizers import read_config
from aumer.video import content_digest
from aumer.video.writer import VideoFile

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


def test_every_recognizer_can_be_trained() -> None:
    assert set(SMALL) == set(registry.names("recognizer"))


@pytest.mark.parametrize("name", SMALL)
def test_from_frames_to_weights_to_a_named_clip(
    name: str,
    root: Path,
    acts: list[trees.Act],
    tmp_path: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trained by the command, kept, loaded: it says of a new film what it said before; and a
    training that was interrupted gives the weights of one that was not."""
    path, kept = config(root, name), list[Recognizer]()
    kind = interface.resolve(name)
    save = kind.save

    def keep(self: Recognizer, *args: Any, **options: Any) -> None:
        kept.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(kind, "save", keep)
    words = ["train", str(path), "-o", str(tmp_path), "--cache", str(root / "cache")]
    assert cli.main(words) == 0
    weights = Path(capsys.readouterr().out.strip())
    assert weights == tmp_path / "model.safetensors"
    monkeypatch.undo()
    model = interface.load(weights)
    assert model.classes == SHOWN
    data = model.card["data"]
    assert data["clips"] == dict.fromkeys(SHOWN, 2) and data["excluded_subjects"] == ["sub03"]
    assert model.card["licence"] == "CC0-1.0" and model.card["classes"] == list(SHOWN)
    assert data["inputs"]["motion"]["flow"] == "tvl1" and model.motion is not None
    if model.reads[0] == "sequence":
        assert model.inputs is not None and model.inputs.size == 48
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    else:
        assert model.position == BY_LANDMARKS
    assert not list(tmp_path.glob("checkpoint*"))
    told = events(tmp_path / "tensorboard") if model.stopping()["epochs"] else {}
    assert (tmp_path / "tensorboard").exists() == bool(told)
    if told:
        log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        for key, drawn in told.items():
            assert drawn == [(r["epoch"], pytest.approx(r[key])) for r in log]
        assert {"loss", "lr", "accuracy"} <= set(told)
    unseen = [a for a in acts if a.subject == 3]
    frames = {"onset": 2, "apex": 6, "offset": 10, "fps": 200}
    found = [aumer.classify(a.frames, model=weights, **frames) for a in unseen]
    assert {p.recognizer for p in found} == {name}
    assert all(tuple(p.probs) == SHOWN and len(p.digests["recognizer"]) == 64 for p in found)
    if name in ("svm-cells", "graph"):
        assert [p.label for p in found] == [a.emotion for a in unseen]
    (fitted,) = kept
    before = [aumer.classify(a.frames, model=fitted, **frames) for a in unseen]
    assert [p.label for p in found] == [p.label for p in before]
    for one, other in zip(found, before, strict=True):
        assert one.probs == pytest.approx(other.probs, abs=1e-6)
    if model.stopping()["epochs"]:
        again = interrupted(path, root, tmp_path / "killed")
        one, two = (interface.read_weights(file).arrays for file in (weights, again))
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[key], two[key]) for key in one)
        assert events(again.parent / "tensorboard").keys() == told.keys()
        assert [k for k, _ in events(again.parent / "tensorboard")["lr"]] == [
            k for k, _ in told["lr"]
        ]


def interrupted(path: Path, root: Path, folder: Path) -> Path:
    """The weights of a run that is killed after its first epoch and begun again."""

    def kill(record: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    again = read_config(path, {"output": str(folder)})
    with pytest.raises(KeyboardInterrupt):
        run(again, cache=root / "cache", callbacks=[kill])
    assert (folder / "checkpoint.safetensors").exists()
    records: list[dict[str, Any]] = []
    weights = run(again, cache=root / "cache", callbacks=[records.append])
    assert records[0]["epoch"] == 2
    return weights


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


class OfMotion(Recognizer):
    """A nearest mean of motion; the least that a recognizer of one's own can be."""

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

    monkeypatch.setitem(registry._parts["recognizer"], "of-motion", OfMotion)
    monkeypatch.setitem(SMALL, "of-motion", "")
    with pytest.raises(UsageError, match="'of-motion' cannot be saved"):
        read_config(config(root, "of-motion"))
    read = read_config(config(root, "svm-cells"))
    reading = reading_of("of-motion", {}, aumer.load_settings(), "options", OfMotion.rois)
    clips, _ = read.read(reading, root / "cache")
    assert clips.inputs.shape == (6, 4, 2)
    model = OfMotion().fit(clips)
    unseen = [a for a in acts if a.subject == 3]
    named = [aumer.classify(a.frames, model=model, onset=2, apex=6, fps=30) for a in unseen]
    assert [p.label for p in named] == [a.emotion for a in unseen]


# -- a table of one's own --------------------------------------------------------------------------

OWN = """
output = "out"
task = "recognition"
recognizer = "svm-cells"
[data]
source = "own"
root = "own"
table = "{table}"
exclude_subjects = ["s3"]
"""
#: What users may call the three.
WORDS = {"happiness": "Smile", "surprise": "Brows up", "disgust": "Nose"}


@pytest.fixture(scope="module")
def own(root: Path, acts: list[trees.Act]) -> Path:
    """A folder beside own/, which has the clips; its tables say file, subject and label alone."""
    (root / "own").mkdir()
    lines = []
    for act in acts:
        path = root / "own" / f"{act.subject}-{act.emotion}.avi"
        with VideoFile(path, fps=30, size=act.frames.shape[2:0:-1], codec="FFV1") as file:
            for image in act.frames:
                file.write(image)
        lines.append(f"{path.name},s{act.subject},{WORDS[act.emotion]}")
    for name, changed in {
        "clips": lines,
        "one": [line.rpartition(",")[0] + ",Smile" for line in lines],
        "slip": [line.replace("Nose", "Noze") if "s1" in line else line for line in lines],
        "none": [line.rpartition(",")[0] + "," for line in lines],
    }.items():
        (root / f"{name}.csv").write_text("file,subject,label\n" + "\n".join(changed) + "\n")
    for table in ("clips", "one", "slip", "none"):
        (root / f"{table}.toml").write_text(OWN.format(table=f"{table}.csv"))
    told = (
        "file,subject,kind,onset,offset\n1-disgust.avi,s1,micro,2,10\n3-disgust.avi,s3,micro,2,10"
    )
    (root / "bare.csv").write_text(told)
    (root / "bare.toml").write_text(OWN.format(table="bare.csv"))
    (root / "own" / "left.csv").write_text(
        "file,label,onset,apex,offset\n"
        + "".join(f"3-{emotion}.avi,,2,6,10\n" for emotion in WORDS)
    )
    return root


def test_labels_of_ones_own_become_weights_and_a_table_of_names(
    own: Path, tmp_path: Path, capsys: Any
) -> None:
    """Whole clips with labels as they are spelled; and clips of a table named in one command."""
    words = ["train", str(own / "clips.toml"), "-o", str(tmp_path), "--cache", str(own / "cache")]
    assert cli.main(words) == 0
    weights = capsys.readouterr().out.strip()
    card = interface.load(weights).card
    assert card["classes"] == ["Brows up", "Nose", "Smile"]  # as nobody gave an order
    assert card["data"]["clips"] == dict.fromkeys(card["classes"], 2)
    words = [
        "classify",
        "--manifest",
        str(own / "own" / "left.csv"),
        "--recognizer",
        weights,
        "--no-cache",
    ]
    assert cli.main([*words, "-o", str(tmp_path / "all.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert {row["clip"]: row["label"] for row in rows} == {
        f"3-{emotion}.avi": word for emotion, word in WORDS.items()
    }
    for row in rows:
        shares = [float(row[f"p_{word}"]) for word in card["classes"]]
        assert sum(shares) == pytest.approx(1) and max(shares) == float(row["probability"])
        assert [row[k] for k in ("status", "onset", "apex", "offset")] == ["ok", "2", "6", "10"]
    assert cli.main([*words, "-o", str(tmp_path / "all.csv")]) == 2  # it is there
    assert cli.main([*words, "--offset", "9"]) == 2
    assert "--offset applies to one clip, and" in capsys.readouterr().err.replace("`", "")


@pytest.mark.parametrize(
    ("name", "number", "first"),
    [("megc", 3, "negative"), ("casme2", 5, "happiness"), ("seven", 7, "")],
)
def test_classes_by_the_name_of_their_set(name: str, number: int, first: str, root: Path) -> None:
    text = CONFIG.replace('["happiness", "surprise", "disgust"]', f'"{name}"')
    labels = read_config(config(root, "svm-cells", text)).labels
    assert len(set(labels)) == number and labels[0].startswith(first)
    if name == "casme2":  # of which these clips show three
        with pytest.raises(
            UsageError, match="of the class repression, others; there are happiness 2"
        ):
            aumer.train(root / "svm-cells.toml", out=root / "sets", cache=root / "cache")


@pytest.mark.parametrize(
    ("table", "changes", "said"),
    [
        ("bare", {}, r"none of its 2 clips has a label .*a column `label`"),
        ("none", {}, r"none of its 9 clips has a label"),
        ("one", {}, r"all clips are of one class \(Smile 6\)"),
        ("clips", {"classes": ["Smile", "noes"]}, r"no clip is of the class noes.*'Nose'\?"),
        ("clips", {"classes": ["Smile"]}, r"two or more, .*found \['Smile'\]"),
        ("clips", {"classes": ["Happy", "happiness"]}, "all different"),
        ("clips", {"classes": "sevn"}, r"seven \(happiness, .*Did you mean 'seven'"),
        ("clips", {"data.kinds": ["macro"]}, r"no clip to learn from\. own: .*`kinds`.*micro 9"),
        ("clips", {"task": "recogniton"}, "found 'recogniton'. Did you mean 'recognition'"),
        ("clips", {"task": "spotting"}, "unknown key recognizer"),
    ],
)
def test_labels_that_nothing_can_be_learnt_from(
    table: str, changes: dict[str, Any], said: str, own: Path, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, ConfigError), match=said):
        aumer.train(own / f"{table}.toml", out=tmp_path, changes=changes, cache=own / "cache")


def test_the_checkpoint_of_another_run_is_left_alone(own: Path, root: Path, tmp_path: Path) -> None:
    """One that learns at once needs none, and must not take away what was interrupted."""

    def kill(record: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    config(root, "cnn-lstm")
    with pytest.raises(KeyboardInterrupt):
        aumer.train(root / "cnn-lstm.toml", out=tmp_path, cache=root / "cache", callbacks=[kill])
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    aumer.train(own / "clips.toml", out=tmp_path, cache=own / "cache")
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_rows_that_are_slips(own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Frames beyond the film, one frame alone, the same row twice: the rest is learned from."""
    rows = (own / "clips.csv").read_text().splitlines()
    table = own / "slips.csv"

    def written(*more: str) -> Path:
        lines = [f"{rows[0]},onset,offset", *(f"{row},," for row in rows[1:]), *more]
        table.write_text("\n".join(lines) + "\n")
        return table

    run: dict[str, Any] = {"recognizer": "svm-cells", "cache": own / "cache"}
    slips = ["1-disgust.avi,s1,Nose,900,910", "1-disgust.avi,s1,Nose,5,5", f"{rows[1]},,"]
    weights = aumer.train(own / "own", written(*slips), out=tmp_path, **run)
    clips = interface.load(weights).card["data"]["clips"]
    assert clips == {"Brows up": 3, "Nose": 3, "Smile": 3}
    assert "1 row left out, with frames that the video does not have (`mismatch`): " in caplog.text
    assert "the onset is frame 900, and the last of" in caplog.text
    assert "1 clip cannot be learned from: " in caplog.text
    assert "it is one frame long" in caplog.text
    assert f"two rows are taken once: s1/{rows[1].split(',')[0]}" in caplog.text
    whose, word = rows[1].rpartition(",")[0], "Nose" if "Nose" not in rows[1] else "Smile"
    with pytest.raises(UsageError, match=f"two rows contradict .* and '{word}' .row 11."):
        aumer.train(own / "own", written(f"{whose},{word},,"), out=tmp_path / "other", **run)


def test_what_coders_corrected_is_trained_on_as_it_is(own: Path, tmp_path: Path) -> None:
    """Files of `aumer view` beside the videos, each in its subject's folder; and no table."""
    for path in (own / "own").glob("*.avi"):
        subject, emotion = path.stem.split("-")
        video = tmp_path / f"s{subject}" / path.name
        video.parent.mkdir(exist_ok=True)
        shutil.copy(path, video)
        label = WORDS[emotion]
        found = Annotated("micro", 2 / 30, 10 / 30, 6 / 30, label, None, "e1", 2, 6, 10)
        begun = AnnotationFile(video.name, content=content_digest(video), frames=12)
        begun.changed([found], "Ann").save(f"{video}.ann.annotations")
    cache, out = tmp_path / "cache", tmp_path / "out"
    weights = aumer.train(tmp_path, recognizer="svm-cells", out=out, cache=cache)
    assert interface.load(weights).card["data"]["clips"] == dict.fromkeys(WORDS.values(), 3)


@pytest.mark.parametrize("name", ["graph", "graph-motion", "cnn-lstm"])
def test_one_subject_alone_is_told_before_its_clips_are_made(
    name: str, own: Path, tmp_path: Path
) -> None:
    """Others learn from one, as nothing is chosen."""
    lines = (own / "clips.csv").read_text().replace(",s2,", ",s1,")
    (own / "alone.csv").write_text(lines)
    made: list[int] = []
    with pytest.raises(UsageError, match=f"all clips are of s1, and the recognizer '{name}' needs"):
        aumer.train(
            own / "clips.toml",
            out=tmp_path,
            changes={"data.table": str(own / "alone.csv"), "recognizer": name},
            progress=lambda *step: made.append(1),
        )
    assert not made


def test_classes_with_few_clips_can_be_left_out(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"min_clips": 2}
    weights = aumer.train(own / "slip.toml", out=tmp_path, changes=changes, cache=own / "cache")
    assert "of classes with fewer than 2 clips (min_clips): Nose 1, Noze 1" in caplog.text
    assert interface.load(weights).card["classes"] == ["Brows up", "Smile"]
    with pytest.raises(UsageError, match="must have 9 clips or more; found Brows up 2, Nose 1"):
        aumer.train(
            own / "slip.toml",
            out=tmp_path / "none",
            changes={"min_clips": 9},
            cache=own / "cache",
        )


def test_an_apex_is_looked_for_as_it_was_in_training(own: Path, tmp_path: Path) -> None:
    weights = aumer.train(
        own / "clips.toml",
        out=tmp_path,
        changes={"options.apex": "midpoint"},
        cache=own / "cache",
    )
    made = interface.load(weights)
    assert made.apex == "midpoint"
    film = own / "own" / "1-happiness.avi"
    found = aumer.classify(film, model=weights, onset=2, offset=11)
    assert found.apex == 6 and found.settings["input"]["apex"] is None
    kept = weights.read_bytes()
    (tmp_path / "before.safetensors").write_bytes(kept.replace(b"apex", b"apax"))
    assert interface.load(tmp_path / "before.safetensors").apex == "rise-and-fall"
    assert interface.resolve("se-resnext50").apex == "roi-difference:3"


def test_labels_of_no_class_are_left_out_with_a_word(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The classes' case does not matter, and their order is the one given."""
    classes = ["SMILE", "brows up", "nose"]
    weights = aumer.train(own / "slip.toml", out=tmp_path, classes=classes, cache=own / "cache")
    assert "of none of the classes SMILE, brows up, nose: own Noze 1. Did you mean 'nose'" in (
        caplog.text
    )
    card = interface.load(weights).card
    assert card["classes"] == classes and card["data"]["left_out"] == {"own Noze": 1}
    assert card["data"]["clips"] == {"SMILE": 2, "brows up": 2, "nose": 1}


def test_weights_of_something_else(own: Path, tmp_path: Path) -> None:
    film = str(own / "own" / "3-disgust.avi")
    with pytest.raises(WeightsError, match="it holds a spotting network, which `aumer spot --mod"):
        aumer.classify(film, model=SHIPPED)
    weights = aumer.train(own / "clips.toml", out=tmp_path, cache=own / "cache")
    with pytest.raises(WeightsError, match="it holds a recognizer, which `aumer classify --rec"):
        aumer.spot(film, model=weights)
    with pytest.raises(WeightsError, match="holds a recognizer 'svm-cells', not 'graph'"):
        interface.resolve("graph").load(weights)
    (video,) = aumer.simulate_features(1, minutes=0.2, seed=1)
    with pytest.raises(UsageError, match="reads flow maps, which features do not hold"):
        aumer.classify(video.features, model=weights)


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


def test_flow_images_are_for_recognizers_of_flow_maps(root: Path) -> None:
    text = CONFIG.replace('"casme2"', '"megc2019"')
    with pytest.raises(UsageError, match="holds flow maps and no frames, and cnn-lstm reads seq"):
        read_config(config(root, "cnn-lstm", text))
