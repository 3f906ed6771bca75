"""An AU reader from a folder of videos and a table of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from acted import APEX_S, BROWS_DOWN, SMILE, film

from aumer.errors import UsageError
from aumer.recognition import action_units
from aumer.recognition.au_graph import GraphAUReader
from aumer.recognition.place import BY_LANDMARKS
from aumer.training.au_readers import train_au_reader
from aumer.video.writer import VideoFile

FPS = 30
CODES = {
    "a1": ("a", SMILE, "6+12"),
    "a2": ("a", BROWS_DOWN, "4"),
    "b1": ("b", SMILE, "L12+6"),
    "b2": ("b", BROWS_DOWN, "4"),
    "c1": ("c", SMILE, "no code"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    rows = ["subject,video,kind,onset,apex,offset,aus"]
    apex = round(APEX_S * FPS)
    for number, (name, (subject, acted, code)) in enumerate(CODES.items()):
        made = film(acted, seed=number)
        with VideoFile(folder / f"{name}.avi", fps=FPS, size=(320, 240)) as writer:
            for k in range(5, apex + 3):
                writer.write(made.frame(k / FPS, k))
        rows.append(f"{subject},{name}.avi,macro,0,{apex - 5},{apex - 3},{code}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_it_learns_from_a_table_of_aus(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    learner = GraphAUReader(place=BY_LANDMARKS, choice=(0.003, 1.0), least=2)
    done: list[tuple[int, int]] = []
    found = train_au_reader(
        root,
        out=out,
        kinds=("macro",),
        aus=(1, 4, 12),
        reader=learner,
        progress=lambda *step: done.append(step),
    )
    assert found == out
    assert done[-1] == (4, 4)  # the fifth has no code
    reader = action_units.load(out)
    assert reader.aus == (4, 12)
    data = reader.card["data"]
    assert (data["subjects"], data["clips"]) == (2, 4)
    assert data["coded"] == {"1": 0, "4": 2, "12": 2}
    with pytest.raises(UsageError, match="exists"):
        train_au_reader(root, out=out, kinds=("macro",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": "mine.txt"}, r"\.safetensors"),
        ({"aus": (12, 12)}, "different action units"),
        ({"kinds": ("micro",)}, "of other kinds are left out"),
        ({"exclude_subjects": ("a", "b", "c")}, "no clip is of the classes coded"),
    ],
)
def test_what_cannot_be_learnt_is_told_first(
    root: Path,
    change: dict[str, object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"out": "mine.safetensors", "kinds": ("macro",), **change}
    with pytest.raises(UsageError, match=message):
        train_au_reader(root, **options)  # type: ignore[arg-type]
