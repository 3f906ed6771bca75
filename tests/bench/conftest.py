"""A small data set of replayed timelines, and small networks, that runner tests share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aumer.bench.protocol import Protocol, load
from aumer.bench.run import run
from aumer.bench.store import sealed
from aumer.bench.tasks import recognition
from aumer.bench.tasks.recognition_result import RecognitionResult
from aumer.testing.clips import clips

SUBJECTS = ("casme_015", "casme_016", "casme_019", "casme_020")

#: Rows of one video: macro, micro, macro; onset, apex, offset in frames at 30 a second.
_ROWS = ((60, 75, 100, 1, "12"), (200, 205, 212, 2, "1+2"), (330, 350, 390, 1, "4+25"))


def write_tables(folder: Path, moved: Mapping[str, int] | None = None) -> Path:
    """Tables in the layout of the shared ones: a video of 15 s of each subject.

    Args:
        moved: by subject, frames by which its expressions are later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = ["subject,video_name,start_frame,apex_frame,end_frame,type_idx,au"]
    lengths = ["video,n_frames"]
    for k, subject in enumerate(SUBJECTS):
        by = 7 * k + (moved or {}).get(subject, 0)
        number = int(subject[-3:])
        lengths.append(f"s{number}/{number}_0401girlcrashing,450")
        table += [
            f"{subject},{subject}_0401,{onset + by},{apex + by},{offset + by},{kind},{aus}"
            for onset, apex, offset, kind, aus in _ROWS
        ]
    (folder / "casme_sq_auwgcn.csv").write_text("\n".join(table) + "\n")
    (folder / "casme_sq_video_lengths.csv").write_text("\n".join(lengths) + "\n")
    return folder


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tables(tmp_path_factory.mktemp("tables"))


def small(**changes: Any) -> Protocol:
    """sim-casme-sq, easy, with the number of truths that `write_tables` makes."""
    expected = {"scoring.expect_macro": 8, "scoring.expect_micro": 4}
    return load("sim-casme-sq").changed({"level": "easy", "seeds": [0], **expected, **changes})


#: Overrides that make "aumer" quick.
TINY: dict[str, Any] = {
    "epochs": 2,
    "window_s": 5.0,
    "inner_share": 0.0,
    "net_overrides": {
        "widths": [8, 8],
        "kernels": [1, 3],
        "dilations": [1, 2],
        "graph_width": 2,
        "motion_scales_s": [0.2],
    },
}


def recognize(folder: Path, model: str = "svm-cells", **changes: Any) -> RecognitionResult:
    """A run of MEGC 2019's composite, where that is made-up clips."""
    protocol = replace(load("megc2019-recognition"), seeds=(0,), **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognition, "composite", lambda root: clips(0, subjects=4, each=2))
        found = run(protocol, "root", model, folder=folder, command="aumer bench <x>")
    assert isinstance(found, RecognitionResult)
    return found


def rewritten(path: Path, **changes: Any) -> None:
    """Change values of a JSON file as if it had been made so: with a digest that fits."""
    path.write_text(json.dumps(sealed({**json.loads(path.read_text()), **changes})))


def to_old_layout(folder: Path) -> Path:
    """Give a run of recognition the files it had before it had those of every run."""
    run = json.loads((folder / "run.json").read_text())
    data = json.loads((folder / "data.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    about = {"model": run["model"]["model"], "options": run["model"]["options"]}
    about["data"] = data["digest"]
    if run["protocol"]["split"] != "loso":
        about["split"] = [run["protocol"]["split"], run["protocol"]["folds"]]
    for path in folder.glob("seed-*/*.json"):
        fold = json.loads(path.read_text())
        for key in ("dataset", "depends", "tested", "trained", "seconds"):
            del fold[key]
        fold |= {"format": "aumer-recognition-fold-1", "subject": fold.pop("fold")}
        fold["seconds"] = fold.pop("training_seconds")
        (folder / f"seed{fold['seed']}-{path.name}").write_text(json.dumps(fold))
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    for key in ("format", "run", "folds", "published"):
        del result[key]
    del data["format"]
    for name, value in (("about", about), ("data", data), ("result", result)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "run.json").unlink()
    return folder
