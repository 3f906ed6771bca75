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


# -- sets whose tables are not at hand: a few rows in the owners' columns -------------------------


@dataclass(frozen=True)
class Clip:
    """A row: subject and clip by number, images' numbers as the table has them."""

    subject: int
    clip: int
    onset: int
    apex: int | None
    offset: int | None
    aus: str = "4+7"
    emotion: str = "surprise"

    @property
    def end(self) -> int:
        return self.offset or self.onset


#: Rows of any of these sets.
CLIPS = (
    Clip(1, 1, 11, 14, 20),
    Clip(1, 2, 31, 35, 41, "12", "happiness"),
    Clip(2, 3, 51, 55, 60, "1+2"),
)


def book(path: Path, columns: str, rows: Iterable[Sequence[object]], sheet: str = "Sheet1") -> Path:
    made = Workbook()
    made.active.title = sheet
    made.active.append([name or None for name in columns.split(",")])
    for row in rows:
        made.active.append(list(row))
    made.save(path)
    return path


def casme(root: Path, clips: Sequence[Clip] = CLIPS, media: Sequence[Clip] = CLIPS) -> Path:
    """Clips are cropped from onset to offset; ``\\`` stands for no second apex."""
    for c in media:
        folder = root / "Cropped" / f"sub{c.subject:02d}" / f"EP{c.clip:02d}_1"
        images(folder, "reg_EP01_1-{:05d}.jpg", (c.onset, c.end), whole=True)
    columns = "Subject,Filename,,OnsetF,ApexF1,ApexF2,OffsetF,,AU,Emotion"
    rows = [
        (
            c.subject,
            f"EP{c.clip:02d}_1",
            None,
            c.onset,
            c.apex,
            "\\",
            c.offset,
            None,
            c.aus,
            c.emotion,
        )
        for c in clips
    ]
    book(root / "CASME-coded-20190721.xlsx", columns, rows)
    return root


def mmew(root: Path, clips: Sequence[Clip] = CLIPS, media: Sequence[Clip] = CLIPS) -> Path:
    """Micro-expressions in folders by emotion, numbered from 1; single images of macro ones."""
    for c in media:
        folder = root / "Micro_Expression" / c.emotion / f"S{c.subject:02d}-07-{c.clip:03d}"
        images(folder, "{}.jpg", (1, c.end + 5), whole=True)
    images(root / "Macro_Expression" / "S01" / "anger", "S01-07-{:03d}.jpg", (1, 2, 3))
    columns = (
        "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion,remarks"
    )
    rows = [
        (
            c.subject,
            f"S{c.subject:02d}-07-{c.clip:03d}",
            c.onset,
            c.apex,
            c.offset,
            c.aus,
            c.emotion,
        )
        for c in clips
    ]
    book(root / "MMEW_Micro_Exp.xlsx", columns, rows)
    return root


def fourdme(root: Path, clips: Sequence[Clip] = CLIPS, media: Sequence[Clip] = CLIPS) -> Path:
    """Gray clips that keep the numbers of the long videos; color ones beside them."""
    for c in media:
        for camera in ("RGB_micro", "gray_micro"):
            folder = root / camera / f"S{c.subject:02d}" / f"{c.clip:03d}_01"
            images(folder, "Frame_{:09d}.jpg", (c.onset, c.end), whole=True)
    columns = "sub_ID,fold_name,Onset,Apex,Offset,Length,AUs,Emotion"
    rows = [
        (f"S{c.subject:02d}", f"{c.clip:03d}_01", c.onset, c.apex, c.offset, 9, c.aus, c.emotion)
        for c in clips
    ]
    book(root / "4DME_Labelling_Micro_release v1.xlsx", columns, rows)
    return root


def casme3_c(root: Path, clips: Sequence[Clip] = CLIPS, media: Sequence[Clip] = CLIPS) -> Path:
    """One long video of each subject, in color and depth; no apex, action units by commas."""
    ends: dict[int, int] = {}
    for c in media:
        ends[c.subject] = max(ends.get(c.subject, 0), c.end)
    for subject, end in ends.items():
        for version, suffix in (("color", "jpg"), ("depth", "png")):
            folder = root / "part_C" / f"{subject:02d}" / "a" / version
            images(folder, "{}." + suffix, (1, end + 5), whole=True)
    rows = [
        (c.subject, c.clip, c.onset, c.offset, c.aus.replace("+", ","), c.emotion, f"{c.clip}_phy")
        for c in clips
    ]
    columns = "sub,count,onset,offset,au,emotion,PHY"
    book(root / "CAS(ME)3_part_C_ME.xlsx", columns, rows)
    return root


def dfme_test(root: Path, clips: Sequence[Clip] = CLIPS, media: Sequence[Clip] = CLIPS) -> Path:
    """Workbook A without, B with labels."""
    for c in media:
        name = f"sub{c.subject:04d}_{c.clip:02d}"
        images(root / "test" / name, "img{:05d}.png", (0, c.end + 5), whole=True)
    named = [(f"sub{c.subject:04d}", f"sub{c.subject:04d}_{c.clip:02d}", c) for c in clips]
    blind = [(s, n, c.onset, c.apex, c.offset, 200) for s, n, c in named[:1]]
    told = [(s, n, c.onset, c.apex, c.offset, c.emotion, 300, c.aus) for s, n, c in named[1:]]
    book(root / "testA.xlsx", "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Fps", blind)
    columns = "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Emotion,Fps,AU"
    book(root / "testB.xlsx", columns, told)
    return root


def meview(root: Path, clips: Sequence[Clip] = CLIPS, media: Sequence[Clip] = CLIPS) -> Path:
    """Video files, which can be read; columns as a table of one's own would have them."""
    cuts = root / "me-cuts" / "cuts"
    cuts.mkdir(parents=True)
    for c in media:
        path = cuts / f"sub{c.subject:02d}-{c.clip}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (32, 24))
        for k in range(c.end + 5):
            writer.write(np.full((24, 32, 3), 2 * k, np.uint8))
        writer.release()
    rows = [
        (f"sub{c.subject:02d}", f"sub{c.subject:02d}-{c.clip}", c.onset, c.offset, c.aus, c.emotion)
        for c in clips
    ]
    book(root / "MEVIEW_v2.xlsx", "Subject,File,Onset,Offset,AU,Emotion", rows)
    return root


def casme3_b(root: Path) -> Path:
    for subject in ("spNO.101", "spNO.102"):
        for video in "ab":
            for version in ("color", "depth"):
                images(root / "part_B" / subject / video / version, "{}.jpg", (1, 9), whole=True)
    images(root / "part_A" / "spNO.1" / "a" / "color", "{}.jpg", (1, 2))
    return root


def samm_lv_30(root: Path, report: TableReport) -> Path:
    """The same videos, every 200/30th image."""
    for (_, video), own in by_video(report).items():
        named = [1 + int((n - 1) * 30 / 200 + 0.5) for n in numbers(own)]
        images(root / "SAMM_30fps" / video, video + "_{:04d}.jpg", [1, *named])
    return _with(root, report, "SAMM_LongVideos_V3_Release.xlsx")


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
