"""`aumer train` of an AU reader: a folder of videos and a table of one's own, to a named clip."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acted import APEX_S, BROWS_DOWN, SMILE, film

import aumer
from aumer.cli import main
from aumer.errors import AumerError, ConfigError, UsageError
from aumer.recognition import action_units
from aumer.recognition.au_graph import GraphAUReader
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.testing import au_clips
from aumer.training import au_readers
from aumer.video.writer import VideoFile

FPS, APEX = 30, round(APEX_S * 30) - 5
CODES = {
    "a1": ("a", SMILE, "6+12"),
    "a2": ("a", BROWS_DOWN, "4"),
    "b1": ("b", SMILE, "L12+6+smirk"),
    "b2": ("b", BROWS_DOWN, "4"),
    "c1": ("c", SMILE, "no code"),
    "c2": ("c", SMILE, "6+12"),
}
CONFIG = """
output = "out"
task = "action-units"
aus = [1, 4, 12]
[data]
source = "own"
root = "own"
{data}
[card]
licence = "CC0-1.0"
[options]
choice = [0.003, 1.0]
least = {least}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """own/ with its films and a table of file, subject and au alone; a training file beside it."""
    folder = tmp_path_factory.mktemp("units")
    (folder / "own").mkdir()
    rows = ["file,subject,au"]
    for number, (name, (subject, acted, code)) in enumerate(CODES.items()):
        made = film(acted, seed=number)
        with VideoFile(folder / "own" / f"{name}.avi", fps=FPS, size=(320, 240)) as writer:
            for k in range(5, APEX + 8):
                writer.write(made.frame(k / FPS, k))
        rows.append(f"{name}.avi,{subject},{code}")
    (folder / "own" / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def config(root: Path, data: str = "", least: int = 2) -> Path:
    path = root / "units.toml"
    path.write_text(CONFIG.format(data=data, least=least))
    return path


def test_from_a_table_to_the_aus_of_a_clip(root: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["train", str(config(root, 'exclude_subjects = ["c"]')), "-o", str(tmp_path)]
    words += ["--cache", str(root / "cache"), "--set", "motion.flow=dis"]
    assert main(words) == 0
    said = capsys.readouterr()
    weights = said.out.strip()
    assert weights == str(tmp_path / "model.safetensors")
    reader = action_units.load(weights)
    assert reader.aus == (4, 12)
    assert reader.motion is not None and reader.motion.flow == "dis"
    card = reader.card
    assert card["aus"] == [4, 12] and card["licence"] == "CC0-1.0"
    assert card["chosen"]["cost"] == 0.003
    data = card["data"]
    assert (data["source"], data["subjects"], data["clips"]) == ("own", 2, 4)
    assert data["coded"] == {"1": 0, "4": 2, "12": 2} and data["not_read"] == [1]
    assert data["excluded_subjects"] == ["c"] and data["inputs"]["motion"]["flow"] == "dis"
    assert "a piece is no code, and counts for nothing: b/b1.avi (L12+6+smirk: " in said.err
    # The clips that it never saw, named by it.
    given = [str(root / "own" / "c2.avi"), "--au-reader", weights, "--no-cache"]
    assert main(["classify", *given, "-o", str(tmp_path / "all.csv")]) == 0
    (row,) = csv.DictReader((tmp_path / "all.csv").open())
    assert row["aus"] == "12" and '"4": ' in row["au_probs"]
    assert main(["spot", *given, "--model", "rules"]) == 0
    assert main(words) == 2  # it is there
    assert "exists already" in capsys.readouterr().err


def test_python_and_the_command_train_the_same(root: Path, tmp_path: Path) -> None:
    """And rows without a code, and another subject's, are as if they were not there."""
    words = ["train", str(config(root, 'exclude_subjects = ["c"]')), "-o", str(tmp_path / "one")]
    assert main([*words, "--cache", str(root / "cache")]) == 0
    table = root / "few.csv"
    lines = (root / "own" / "table.csv").read_text().splitlines()
    table.write_text("\n".join(line for line in lines if ",c," not in line) + "\n")
    path = aumer.train(
        root / "own",
        table,
        out=tmp_path / "two",
        au_reader="graph",
        aus=[1, 4, 12],
        changes={"options": {"choice": [0.003, 1.0], "least": 2}},
        cache=root / "cache",
    )
    one, two = (action_units.read_weights(p) for p in (tmp_path / "one/model.safetensors", path))
    assert one.aus == two.aus and one.about == two.about
    assert all(np.array_equal(one.arrays[key], two.arrays[key]) for key in one.arrays)


def test_what_was_made_of_clips_is_kept_when_it_is_interrupted(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the same weights, and makes no clip twice."""
    from aumer.training import clips

    made: list[str] = []
    really = clips._inputs

    def counted(example: Any, *rest: Any) -> Any:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(example.name)
        return really(example, *rest)

    monkeypatch.setattr(clips, "_inputs", counted)
    run: dict[str, Any] = {"cache": tmp_path / "cache"}
    with pytest.raises(KeyboardInterrupt):
        aumer.train(config(root), out=tmp_path / "out", **run)
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.setattr(clips, "_inputs", lambda *a: made.append(a[0].name) or really(*a))
    again = aumer.train(config(root), out=tmp_path / "out", **run)
    assert sorted(made) == sorted(f"{name}.avi" for name in CODES if name != "c1")
    whole = aumer.train(config(root), out=tmp_path / "whole", cache=root / "cache")
    assert again.read_bytes() == whole.read_bytes()


def test_clips_in_memory(tmp_path: Path) -> None:
    clips = au_clips(0, clips=60)
    options = {"choice": [0.003, 0.3], "position": dict(vars(BY_LANDMARKS))}
    path = aumer.train(
        clips,
        out=tmp_path,
        au_reader="graph",
        exclude_subjects=["s3"],
        changes={"options": options},
    )
    made = action_units.load(path)
    left = clips.take(np.array([s != "s3" for s in clips.subjects]))
    usual = GraphAUReader(position=BY_LANDMARKS, choice=(0.003, 0.3)).fit(left)
    np.testing.assert_array_equal(
        made.predict_proba(clips.inputs), usual.predict_proba(clips.inputs)
    )
    with pytest.raises(UsageError, match="give its name, au_reader="):
        aumer.train(clips, out=tmp_path / "none")
    with pytest.raises(UsageError, match="learns from `LabeledClips`, and these are `AUClips`"):
        aumer.train(clips, out=tmp_path / "none", recognizer="graph")
    with pytest.raises(ConfigError, match="names nobody"):
        aumer.train(clips, out=tmp_path / "no", au_reader="graph", exclude_subjects=["nobody"])


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        ("", {"aus": [12, 12]}, "different action units"),
        ("", {"aus": [3]}, "'graph' cannot read AU3"),
        ("", {"au_reader": "grpah"}, "no au-reader is called 'grpah'"),
        ("", {"options.leest": 3}, "has no option 'leest'.*'least'"),
        ("", {"options.choice": [1]}, "choice is the cost and the weight"),
        ("", {"options.position": "here"}, "`position` is a table"),
        ("", {"classes": ["a", "b"]}, "unknown key classes"),
        ("", {"task": "action-unit"}, "Did you mean 'action-units'"),
        ('exclude_subjects = ["z"]', {}, "the subjects are a, b, c"),
        ('kinds = ["macro"]', {}, "of other kinds are left out"),
        ('exclude_subjects = ["a", "b", "c"]', {}, "no clip is left"),
        (
            'exclude_subjects = ["a", "c"]',
            {},
            "of b, and the AU reader 'graph' needs",
        ),
    ],
)
def test_what_cannot_be_learnt_is_told(
    data: str, changes: dict[str, Any], message: str, root: Path, tmp_path: Path
) -> None:
    with pytest.raises(AumerError, match=message):
        aumer.train(config(root, data), out=tmp_path, changes=changes, cache=root / "cache")


def test_a_table_without_codes(root: Path, tmp_path: Path) -> None:
    table = root / "bare.csv"
    table.write_text("file,subject,label,au\na1.avi,a,smile,\nb1.avi,b,frown,none\n")
    run: dict[str, Any] = {"au_reader": "graph", "out": tmp_path}
    with pytest.raises(UsageError, match=r"no clip has action units: a/a1\.avi \(empty\).*`au`"):
        aumer.train(root / "own", table, **run)
    with pytest.raises(UsageError, match="megc2019 holds classes and no action units"):
        aumer.train(root / "own", source="megc2019", **run)
    with pytest.raises(UsageError, match="this trains an AU reader"):
        aumer.train(root / "own", graph="facs", **run)


def test_where_the_function_of_before_is() -> None:
    with pytest.raises(ImportError, match="au_reader='graph'"):
        au_readers.train_au_reader  # noqa: B018
