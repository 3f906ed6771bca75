"""Folder trees in the owners' layouts, made from the real tables. Frames are empty files.

Only the images that a table names are made (first, onset, apex, offset), unless `whole`: counts
and gaps are then right, and a quarter of a million files would not be quick.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aumer.data.report import TableReport
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
