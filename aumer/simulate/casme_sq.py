"""Writes videos as a data set in the layout of CAS(ME)^2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2

from aumer.errors import UsageError
from aumer.files import StrPath, TemporaryFolder
from aumer.simulate.timeline import Event
from aumer.simulate.truth import Shot, au_text, truth, write_truths

#: JPEG quality of the frames: OpenCV's own default.
_QUALITY = 95


def check_new_folder(folder: StrPath) -> Path:
    """Check the folder of a new data set.

    Raises:
        UsageError: it exists, or its parent does not.
    """
    folder = Path(folder)
    if folder.exists():
        raise UsageError(f"{folder} exists already: give the name of a new folder")
    if not folder.parent.is_dir():
        raise UsageError(f"cannot write {folder}: {folder.parent} is not a folder")
    return folder


def write_shots_as_casme_sq(
    folder: StrPath,
    shots: Mapping[tuple[int, str], Shot],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write films as a data set; see `write_casme_sq_layout`.

    Args:
        progress: called with the number of written frames and the total.
    """
    folder = check_new_folder(folder)
    for _, name in shots:
        if not (name[:4].isdigit() and name[:4].isascii() and name[4:].isalnum()):
            raise UsageError(
                "a video's name must be four digits and a name, such as 0101disgust1; found "
                f"{name!r}"
            )
    total, done = sum(shot.count for shot in shots.values()), 0
    with TemporaryFolder(beside=folder.parent) as temporary:
        made = temporary / "set"
        named = {}
        for (subject, name), shot in shots.items():
            below = f"rawpic/s{subject}/{subject}_{name}"
            named[below] = shot
            (made / below).mkdir(parents=True)
            for k, frame in enumerate(shot.frames()):
                _, packed = cv2.imencode(
                    ".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
                )
                (made / below / f"img_{k + 1:04d}.jpg").write_bytes(packed.tobytes())
                done += 1
                if progress:
                    progress(done, total)
        _casme_workbook(shots).save(made / "CAS(ME)^2code_final.xlsx")
        write_truths(made / "truth.csv", named)
        made.rename(folder)


def _casme_workbook(shots: Mapping[tuple[int, str], Shot]) -> Any:
    from openpyxl import Workbook

    subjects = sorted({subject for subject, _ in shots})
    book = Workbook()
    codes = book.active
    codes.title = "CASFEcode_final"
    codes.append(["###"] * 10)
    for (subject, name), shot in sorted(shots.items(), key=lambda item: item[0]):
        seen_events = zip(truth(shot.timeline, shot.fps), shot.timeline.events, strict=True)
        for k, (seen, event) in enumerate(seen_events, start=1):
            aus = au_text(event)
            group, emotion = _emotion(event)
            row = codes.max_row + 1
            codes.append(
                [
                    subjects.index(subject) + 1,
                    f"{name[4:]}_{k}",
                    *(frame + 1 for frame in (seen.onset, seen.apex, seen.offset)),
                    int(aus) if aus.isdigit() else aus,
                    group,
                    f"{event.kind}-expression",
                    emotion,
                    f"=E{row}-C{row}",
                ]
            )
    folders = book.create_sheet("naming rule1")
    folders.append(["###"] * 3)
    for number, subject in enumerate(subjects, start=1):
        folders.append([subject, f"s{subject}", number])
    names = book.create_sheet("naming rule2")
    names.append(["###"] * 2)
    for name in sorted({name for _, name in shots}):
        names.append([name[:4], name[4:]])
    return book


def _emotion(event: Event) -> tuple[str, str]:
    """Group and emotion of these AUs, by the simplest combinations of EMFACS."""
    aus = {au for au, _ in event.aus}
    if 12 in aus:
        return "positive", "happiness"
    if aus & {1, 2} and not aus & {4, 15}:
        return "surprise", "surprise"
    if aus & {9, 10}:
        return "negative", "disgust"
    if aus & {4, 7, 23}:
        return "negative", "anger"
    return ("negative", "sadness") if aus & {1, 15} else ("others", "others")
