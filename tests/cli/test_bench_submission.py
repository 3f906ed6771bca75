"""`aumer bench submission`, as it is typed."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from aumer.errors import EXIT_OK, EXIT_PARTIAL, EXIT_USAGE, NoFaceError
from aumer.types import KINDS, Expression


class FakeSpotter:
    """Finds one micro-expression in each video, whatever it shows."""

    def __init__(self, **options: Any) -> None:
        self.recognizer = options["recognizer"]

    def __enter__(self) -> FakeSpotter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, path: Path, **options: Any) -> Any:
        assert options["fps"] in (30.0, 200.0)
        if "hidden" in str(path):
            raise NoFaceError(f"{path}: no face")
        # The recognizer leaves what SAMM shows without a class.
        label = "positive" if self.recognizer and "CAS" in str(path) else None
        kinds = itertools.cycle(KINDS)
        found = [
            Expression(next(kinds), k, k + 2, k + 4, k, k + 2, k + 4, 1.0, label) for k in (1, 3)
        ]
        return type("Result", (), {"expressions": tuple(found)})()


@pytest.fixture
def unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import aumer.pipeline

    monkeypatch.setattr(aumer.pipeline, "Spotter", FakeSpotter)
    for folder in ("SAMM_Test_cropped/006_1", "CAS_Test_cropped/5/anger1"):
        (tmp_path / "v" / folder).mkdir(parents=True)
        for k in range(1, 31):
            (tmp_path / "v" / folder / f"{k:04d}.jpg").touch()
    (tmp_path / "out").mkdir()
    return tmp_path / "v"


def test_one_command_from_videos_to_a_submission(unseen: Path, tmp_path: Path, run: Any) -> None:
    done = run(f"bench submission {unseen} --challenge megc2025 -o {tmp_path}/out")
    assert done.code == EXIT_OK, done.err
    assert (tmp_path / "out" / "samm_pred.csv").read_text() == (
        "subject,video,onset,offset,emotion\n6,006_1,2,6,negative\n"
    )
    assert (tmp_path / "out" / "cas_pred.csv").read_text().endswith("\n5,anger1,2,6,positive\n")
    assert (
        done.out.count("no fault") == 2
        and "nowhere said, done here: a video's first frame" in done.out
    )
    assert "macro-expressions are not asked for: 2 left out" in done.err
    assert "1 expressions without a class are called negative" in done.err
    # Nothing is replaced unasked, and what is there can be checked.
    done = run(f"bench submission {unseen} --challenge megc2025 -o {tmp_path}/out")
    assert done.code == EXIT_USAGE and "exists already" in done.err
    files = f"{tmp_path}/out/samm_pred.csv {tmp_path}/out/cas_pred.csv"
    done = run(f"bench submission {unseen} --challenge megc2024 --check {files}")
    assert done.code == EXIT_OK and done.out.count("no fault") == 2
    done = run(f"bench submission --challenge megc2022 --check {files}")
    assert done.code == EXIT_PARTIAL and done.out.count("faults: 1 header") == 2


def test_what_fails_is_told_and_the_rest_is_written(unseen: Path, tmp_path: Path, run: Any) -> None:
    (unseen / "SAMM_Test_cropped" / "hidden_1").mkdir()
    (unseen / "SAMM_Test_cropped" / "hidden_1" / "0001.jpg").touch()
    command = f"bench submission {unseen} --challenge megc2022"
    done = run(f"{command} -o {tmp_path}/out")
    assert done.code == EXIT_PARTIAL and "SAMM/hidden_1" in done.err
    text = (tmp_path / "out" / "samm_pred.csv").read_text()
    assert text == "vid,pred_onset,pred_offset,type\n006_1,2,6,me\n006_1,4,8,mae\n"
    assert "1 of 2 videos have no row" in done.out
    for options, message in (
        ("", "are needed"),
        (f"-o {tmp_path}/out --overwrite --recognizer graph", "asks for none"),
        (f"-o {tmp_path}/nowhere", "nowhere"),
    ):
        done = run(f"{command} {options}")
        assert done.code == EXIT_USAGE and message in done.err


def test_what_is_wrong_with_the_videos_is_said_first(
    unseen: Path, tmp_path: Path, run: Any
) -> None:
    """One that is in neither folder, one that is there twice, images that count from 0, and a file
    of another rate: none of these was said."""
    import cv2
    import numpy as np

    for folder, first in (
        ("other/x", 1),
        ("SAMM_Test_cropped_2/006_1", 1),
        ("CAS_Test_cropped/7", 0),
    ):
        (unseen / folder).mkdir(parents=True)
        for k in range(first, first + 9):
            (unseen / folder / f"{k:04d}.jpg").touch()
    path = str(unseen / "SAMM_Test_cropped" / "009_2.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (32, 24))
    for _ in range(5):
        writer.write(np.zeros((24, 32, 3), np.uint8))
    writer.release()
    done = run(f"bench submission {unseen} --challenge megc2022 -o {tmp_path}/out")
    assert done.code == EXIT_OK, done.err
    assert "other/x: neither samm nor cas in its path below the root; left out" in done.err
    assert "SAMM_Test_cropped/006_1 is used, not" in done.err
    assert "do not begin with number 1, such as those of CASME3/7, which begin with 0" in done.err
    assert "009_2.avi has 25 frames a second, not 200; taken as 200, the rate of SAMM" in done.err
    lines = (tmp_path / "out" / "samm_pred.csv").read_text().splitlines()
    assert lines[1:] == ["006_1,2,6,me", "006_1,4,8,mae", "009_2,2,6,me", "009_2,4,8,mae"]


def test_a_folder_is_no_file_to_check(run: Any, unseen: Path, tmp_path: Path) -> None:
    done = run(f"bench submission --challenge megc2025 --check {tmp_path}/cas_pred.csv {unseen}")
    assert done.code == 2
    assert f"{unseen} is a folder" in done.err and "put ROOT before --check" in done.err
