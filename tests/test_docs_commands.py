"""Commands of README and docs run as they are printed, on a film of two seconds.

What does not run here is in `NOT_RUN`, with the reason; that it parses is held by
test_documentation.py.
"""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_documentation import PAGES, commands, relative

import aumer
from aumer.cli import main
from aumer.recognition.action_units import load as au_reader
from aumer.session import load_recognizer as recognizer
from aumer.spotting.network import NetSpotter
from aumer.spotting.spotnet import SpotNet
from aumer.testing.moving_face import film, smile

#: Pages whose commands run.
RUN = (
    *("README.md", "docs/first-result.md", "docs/exchange.md", "docs/graphs.md", "docs/motion.md"),
    *("docs/many-videos.md", "docs/train.md", "docs/view.md", "docs/classify.md"),
    *("docs/protocols.md", "docs/simulation.md"),
)
#: Beginnings of commands that do not run here, and why.
NOT_RUN = {
    "aumer view": "is a server (tests/view)",
    "aumer live": "takes a camera (tests/cli/test_live.py)",
    "aumer spot recordings -o results/ -o all.csv --backend": "tests/cli/test_cluster.py",
    "aumer spot s3://": "tests/cli/test_addresses.py",
    "aumer spot file:///": "tests/cli/test_addresses.py",
    "aumer demo": "films for minutes (tests/test_demo.py)",
    "aumer spot interview.mp4 --classify": "tests/cli/test_spot.py",
    "aumer spot interview.mp4 --aus": "tests/cli/test_spot.py",
    "aumer spot interview.mp4 --au-reader": "tests/cli/test_spot.py",
    "aumer spot interview.mp4 --recognizer": "tests/cli/test_spot.py",
    "aumer train units.toml": "trains for minutes (tests/training)",
    "aumer train names.toml": "trains for minutes (tests/training)",
    "aumer train run.toml --augment-neutral": "films for minutes (tests/training)",
    "aumer data check casme-sq": "takes a data set (tests/data)",
    **dict.fromkeys(
        (
            *("aumer bench casme", "aumer bench strs", "aumer bench submission"),
            *("aumer bench study", "aumer bench compare", "aumer bench power"),
            "aumer bench report",
        ),
        "takes a data set, or a run (tests/bench)",
    ),
    "aumer simulate video": "films for minutes (tests/simulate)",
    "aumer train train.toml --augment-neutral": "films for minutes (tests/training)",
    "aumer train train.toml -o": "the same command as the one before, for longer",
    "aumer agreement interview.mp4.anna": "reads what the page of `aumer view` saved (tests/view)",
}
#: Numbers of the pages that are for longer films than the one here.
SHORTER = {
    "--fps 200 --start 10 --end 25": "--fps 30 --start .1 --end .5",
    "--onset 63 --offset 112": "--onset 18 --offset 42",
    "--subjects 10": "--subjects 1 --minutes .2",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages speak of."""
    root = tmp_path_factory.mktemp("project")
    frames = film(np.arange(60) / 30, bumps=smile(0.6, 1.0, 1.4, px=4.0))
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(
        str(root / "interview.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, height)
    )
    (root / "frames").mkdir()
    for number, frame in enumerate(frames):
        picture = np.ascontiguousarray(frame[:, :, ::-1])
        writer.write(picture)
        if number < 20:
            cv2.imwrite(str(root / "frames" / f"{number:04}.png"), picture)
    writer.release()
    for name in (
        *("recordings/a.mp4", "recordings/b.mp4", "s01/interview.mp4", "s02/interview.mp4"),
        *("videos/anna_1.mp4", "videos/ben_1.mp4", "videos/ben_2.mp4", "new.mp4"),
        *("clip.mp4", "clips/a.mp4", "new/a.mp4", "new/b.mp4"),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / "interview.mp4", root / name)
    for name in ("results", "runs/mine"):
        (root / name).mkdir(parents=True)
    NetSpotter(SpotNet.from_preset("aumer")).save(root / "runs/mine/model.safetensors")
    aumer.AUGraph.from_edges({("mouth_r", "mouth_l"): 1.0}).save(root / "mine.json")
    rows = "18,30,42,6+12\n"
    (root / "table.csv").write_text(
        f"file,subject,kind,onset,apex,offset,au\na.mp4,s15,macro,{rows}b.mp4,s16,macro,{rows}"
    )
    (root / "study.csv").write_text(
        "file,subject,condition,start,end\n"
        "s01/interview.mp4,s01,rest,0,1\ns02/interview.mp4,s02,film,1,2\n"
    )
    labels = ["file,subject,kind,onset,apex,offset,au"]
    labels += [f"anna_1.mp4,anna,{kind},{rows.strip()}" for kind in ("macro",)]
    (root / "ben_truth.csv").write_text(f"{labels[0]}\nben_1.mp4,ben,macro,{rows}")
    labels += [f"ben_1.mp4,ben,macro,{rows.strip()}", "ben_2.mp4,ben,none,,,,"]
    (root / "videos" / "labels.csv").write_text("\n".join(labels) + "\n")
    (root / "train.toml").write_text(
        'output = "runs/anew"\ngraph = "from-data"\n[data]\nsource = "own"\nroot = "videos"\n'
        "[train]\nepochs = 1\nbatch = 2\n"
    )
    (root / "mine.toml").write_text("[motion]\nrate = 30\n")
    for name, trained in (("names", recognizer("graph")), ("units", au_reader("graph"))):
        (root / "runs" / name).mkdir()
        trained.save(root / "runs" / name / "model.safetensors", card={})
    (root / "clips" / "table.csv").write_text(
        "file,subject,label,onset,apex,offset\na.mp4,s15,positive,18,30,42\n"
    )
    for name in ("predictions.csv", "truth.csv"):
        (root / name).write_text("video,kind,onset,apex,offset,label\na,micro,3,6,12,positive\n")
    (root / "casme_sq.csv").write_text(
        "video_name,start_frame,apex_frame,end_frame,type_idx,au\ns15_a,30,36,44,2,12\n"
    )
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def expanded(root: Path, word: str) -> list[str]:
    """A pattern as a shell expands it."""
    if "*" not in word:
        return [word]
    return sorted(path.relative_to(root).as_posix() for path in root.glob(word))


def prepared(root: Path) -> None:
    """What coders and earlier commands have left, made by the library."""
    result = aumer.spot("interview.mp4", model="rules")
    for name in ("interview.json", "corrected.eaf", "anna.eaf", "ben.eaf"):
        result.save(name)
    for coder in ("anna", "ben"):
        assert main(["convert", "interview.json", f"interview.mp4.{coder}.annotations"]) == 0
    assert json.loads(Path("interview.json").read_text())["expressions"]
    assert list(csv.reader((root / "study.csv").open()))


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if relative(p) in RUN], ids=relative)
def test_commands_run(
    page: Path, original: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    shutil.copytree(original, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("AUMER_CACHE", str(cache))
    prepared(root)
    ran = []
    for line in commands(page):
        if any(line.startswith(one) for one in NOT_RUN):
            continue
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        words = shlex.split(line, comments=True)[1:]
        words = [one for word in words for one in expanded(root, word)]
        if {"-o", "--output"} & set(words) or words[0] in ("convert", "simulate"):
            words.append("--overwrite")  # of a file that an earlier line of the page has written
        assert main(words) == 0, f"{relative(page)}: {line}"
        ran.append(line)
    assert ran, f"no command of {relative(page)} runs"
