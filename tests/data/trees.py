"""Folder trees in the owners' layouts, made from the real tables. Frames are empty files.

Only the images that a table names are made (first, onset, apex, offset), unless `whole`: counts
and gaps are then right, and a quarter of a million files would not be quick.

Trees of `acted` clips have tables of their own, and frames of a face that can be followed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from openpyxl import Workbook

from aumer.data.report import TableReport
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance
from aumer.simulate.warp import Face
from aumer.types import Annotation

#: CAS(ME)^2's videos by their code, as the folders of the owners spell them.
TITLES = {
    "0101": "disgustingteeth",
    "0102": "eatingworms",
    "0401": "girlcrashing",
    "0402": "beatingpregnantwoman",
    "0502": "funnyerrors",
    "0503": "unnyfarting",
    "0505": "funnyinnovations",
    "0507": "climbingthewall",
    "0508": "funnydunkey",
}


def numbers(own: Iterable[Annotation], *, first: int | None = 1, base: int = 1) -> list[int]:
    """Numbers of the images that these annotations name; from the first to the last of them."""
    named = {f + base for a in own for f in (a.onset, a.apex, a.offset) if f is not None}
    return sorted(named | ({first} if first is not None else set()))


def images(folder: Path, pattern: str, named: Iterable[int], *, whole: bool = False) -> None:
    folder.mkdir(parents=True)
    named = sorted(named)
    for number in range(named[0], named[-1] + 1) if whole else named:
        (folder / pattern.format(number)).touch()


def by_video(report: TableReport) -> dict[tuple[str, str], list[Annotation]]:
    found: dict[tuple[str, str], list[Annotation]] = {}
    for a in report.annotations:
        found.setdefault((a.subject, a.video), []).append(a)
    return found


def some(report: TableReport, *subjects: str) -> TableReport:
    """The report with the annotations of these subjects only."""
    own = tuple(a for a in report.annotations if a.subject in subjects)
    return replace(report, annotations=own)


def all_but(report: TableReport, *subjects: str) -> TableReport:
    """The report without the annotations of these subjects."""
    others = {a.subject for a in report.annotations} - set(subjects)
    return some(report, *others)


def casme_sq(root: Path, report: TableReport, *, crops: bool = False, whole: bool = False) -> Path:
    for (subject, video), own in by_video(report).items():
        name = video + TITLES[video.split("_")[1]]
        top = "CAS(ME)2_longVideoFaceCropped/longVideoFaceCropped" if crops else "rawpic"
        images(root / top / subject / name, "img_{}.jpg", numbers(own), whole=whole)
    return _with(root, report, "CAS(ME)^2code_final.xlsx")


def samm_lv(root: Path, report: TableReport, *, whole: bool = False) -> Path:
    for (_, video), own in by_video(report).items():
        folder = root / "SAMM_longvideos" / video
        images(folder, video + "_{:04d}.jpg", numbers(own), whole=whole)
    return _with(root, report, "SAMM_LongVideos_V1_Release.xlsx")


def casme2(root: Path, report: TableReport, *, whole: bool = False) -> Path:
    """A cropped clip's first image has the onset's number."""
    for (subject, video), own in by_video(report).items():
        folder = root / "Cropped" / subject / video
        images(folder, "reg_img{}.jpg", numbers(own, first=None), whole=whole)
    return _with(root, report, "CASME2-coding.xlsx")


def samm(root: Path, report: TableReport, *, whole: bool = False) -> Path:
    for (subject, video), own in by_video(report).items():
        named = numbers(own, first=None)
        images(root / subject / video, subject + "_{:05d}.jpg", named, whole=whole)
    return _with(root, report, "SAMM_Micro_FACS_Codes_v2.xlsx")


def casme3(root: Path, report: TableReport) -> Path:
    for (subject, video), own in by_video(report).items():
        for version in ("color", "depth"):
            images(root / "part_A" / subject / video / version, "{}.jpg", numbers(own))
    return _with(root, report, f"annotation{report.path.suffix}")


def dfme(root: Path, report: TableReport) -> Path:
    """Labels count from 0; how the owners number their images is not known, and does not matter."""
    for (subject, video), own in by_video(report).items():
        images(root / subject / video, "img{:05d}.png", numbers(own, base=0))
    return _with(root, report, "train.xlsx")


def smic_hs(root: Path, report: TableReport, firsts: dict[str, int], *, extended: bool) -> Path:
    """SMIC-HS (onset to offset; further intervals of a row are clips of their own) or SMIC-E-HS."""
    videos = by_video(report)
    for (subject, video), own in videos.items():
        stem, _, number = video.rpartition("_")
        for k, a in enumerate(own[:1] if extended else own):
            name = f"{stem}_{int(number) + k:02d}"
            if k and (subject, name) in videos:
                continue  # not among the 164
            first = firsts[video]
            named = numbers(own if extended else [a], first=None, base=first)
            short = re.sub("^s0", "s", name)
            folder = root / "HS" / subject / "micro" / a.emotion / short
            images(folder, "image{}.bmp", [first, *named] if extended else named)
    if not extended:
        for name in ("s1_ne_02", "s2_sur_05", "s3_ne_20"):
            emotion = "negative" if "_ne_" in name else "surprise"
            subject = f"s0{name[1]}"
            images(root / "HS" / subject / "micro" / emotion / name, "image{}.bmp", range(7, 17))
    return _with(root, report, "SMIC-HS-E_annotation.xlsx")


def _with(root: Path, report: TableReport, name: str) -> Path:
    shutil.copyfile(report.path, root / name)
    return root


# -- clips with faces ------------------------------------------------------------------------------

#: Both sides' action units of an emotion, as coders would note them.
ACTS: dict[str, tuple[int, ...]] = {
    "happiness": (6, 12),
    "surprise": (1, 2, 5),
    "disgust": (9, 10),
    "repression": (15, 17),
    "others": (4,),
}
#: Frames of an acted clip, and those of its onset, apex and offset.
LENGTH, ONSET, APEX, OFFSET = 12, 2, 6, 10
_SIDE = 192


@dataclass(frozen=True, eq=False)
class Act:
    """One clip: subject's number, number of the clip, emotion, and (T, H, W, 3) uint8 RGB."""

    subject: int
    clip: int
    emotion: str
    frames: npt.NDArray[np.uint8]


@cache
def _face() -> Face:
    return Face(None, (_SIDE, _SIDE))


@cache
def _performance(aus: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    event = Event("micro", tuple((au, "both") for au in aus), ONSET, APEX, APEX, OFFSET, 0.9)
    film = Film(Timeline(float(LENGTH), (event,)), nuisance=Nuisance.none(), face=_face())
    return np.stack([film.frame(float(k), k) for k in range(LENGTH)])


def acted(
    subjects: int, emotions: Sequence[str], *, hidden: tuple[int, str] | None = None
) -> list[Act]:
    """A clip of every subject and emotion; of `hidden` no face can be seen.

    Subjects are one portrait in other light, elsewhere in the picture, with other noise.
    """
    clips = []
    for subject in range(1, subjects + 1):
        for number, emotion in enumerate(emotions, start=1):
            rng = np.random.default_rng([subject, number])
            frames = _performance(ACTS[emotion]).astype(np.float32)
            shift = np.float32([[1, 0, 3 * rng.uniform(-1, 1)], [0, 1, 3 * rng.uniform(-1, 1)]])
            light = 1 - 0.05 * subject
            made = np.empty(frames.shape, np.uint8)
            for k, frame in enumerate(frames):
                moved = cv2.warpAffine(
                    frame, shift, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE
                )
                noise = rng.normal(0, 1.5, frame.shape)
                made[k] = np.clip(light * moved + noise, 0, 255)
            if hidden == (subject, emotion):
                made[:] = rng.integers(90, 110, made.shape)
            clips.append(Act(subject, number, emotion, made))
    return clips


def _write(folder: Path, pattern: str, frames: npt.NDArray[np.uint8], first: int) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=first):
        assert cv2.imwrite(str(folder / pattern.format(number)), frame[..., ::-1])


def casme2_acted(root: Path, clips: Iterable[Act]) -> Path:
    """CASME II's raw clips; the images carry the recording's numbers, which the workbook uses."""
    book = Workbook()
    columns = "Subject,Filename,,OnsetFrame,ApexFrame,OffsetFrame,,Action Units,Estimated Emotion"
    book.active.append(columns.split(","))
    for act in clips:
        first = 40 + 10 * act.clip
        name = f"EP{act.clip:02d}_01"
        folder = root / "CASME2_RAW_selected" / f"sub{act.subject:02d}" / name
        _write(folder, "img{}.jpg", act.frames, first)
        frames = [first + frame for frame in (ONSET, APEX, OFFSET)]
        if act.clip == 1:
            frames[1] = "/"  # type: ignore[call-overload]
        aus = "+".join(map(str, ACTS[act.emotion]))
        book.active.append([act.subject, name, None, *frames, None, aus, act.emotion])
    book.save(root / "CASME2-coding-20140508.xlsx")
    return root


def samm_acted(root: Path, clips: Iterable[Act]) -> Path:
    """SAMM's clips: five digits, and a block of text above the table."""
    book = Workbook()
    sheet = book.active
    sheet.title = "MICRO_ONLY"
    for line in range(13):
        sheet.append([f"About the data, line {line + 1}"])
    columns = "Subject,Filename,Inducement Code,Onset Frame,Apex Frame,Offset Frame,Duration,Micro"
    sheet.append([*columns.split(","), "Action Units", "Estimated Emotion"])
    words = {"surprise": "Surprise", "happiness": "Happiness", "others": "Other"}
    for act in clips:
        subject, first = f"{act.subject + 5:03d}", 5000 + 100 * act.clip
        name = f"{subject}_{act.clip}_1"
        _write(root / subject / name, f"{subject}_{{:05d}}.jpg", act.frames, first)
        frames = [first + frame for frame in (ONSET, APEX, OFFSET)]
        aus = "+".join(map(str, ACTS[act.emotion]))
        word = words.get(act.emotion, "Anger" if act.emotion == "disgust" else "Contempt")
        sheet.append([subject, name, act.clip, *frames, 9, "Micro", aus, word])
    book.save(root / "SAMM_Micro_FACS_Codes_v2.xlsx")
    return root


def smic_acted(root: Path, clips: Iterable[Act]) -> Path:
    """SMIC-HS: clips cut from onset to offset, without an apex; disgust is negative."""
    book = Workbook()
    sheet = book.active
    sheet.title = "HS"
    columns = ["Subject", "Filename", "OnsetF", "OffsetF", "Onset2F", "Offset2F"]
    sheet.append([*columns, "Onset3F", "Offset3F", "FirstF", "LastF", "Emotion"])
    words = {"happiness": ("po", "positive"), "surprise": ("sur", "surprise")}
    for act in clips:
        short, word = words.get(act.emotion, ("ne", "negative"))
        name, first = f"s{act.subject}_{short}_{act.clip:02d}", 3000 * act.clip
        folder = root / "HS" / f"s{act.subject:02d}" / "micro" / word / name
        _write(folder, "image{}.bmp", act.frames[ONSET : OFFSET + 1], first + ONSET)
        row = [act.subject, name, first + ONSET, first + OFFSET, None, None, None, None]
        sheet.append([*row, first, first + LENGTH - 1, word])
    book.save(root / "SMIC-HS-E_annotation.xlsx")
    return root
