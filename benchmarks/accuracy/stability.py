"""Whether what is spotted survives what nobody can see.

    python -m benchmarks.accuracy.stability [--model NAME] [--quick] [--cache FOLDER] [--save]

Each annotated video of the shared data is spotted as it is, and again after each of ten harmless
changes: up to .2 s cut off its beginning, one frame, .1 s off its end, written by another codec,
one percent brighter, a pixel of its rim cut off, 2 % smaller, every second frame alone. An
interval survives where one of the same kind is spotted that overlaps it by an IoU of .5 or more, in
seconds of the video as it is; of those that a cut shortens, what is left of them counts, and those
that lose half are left out. The goal is .95 of all intervals in all changes. What appears beside
them is counted, too. No constant of a spotter is chosen by this.

Beside it stands by how much the motion itself changes, which spotters read: where it is measured
anew, no spotter reads the same twice.

Frames are taken at the mean rate of their video, changed or not, so that a codec's timestamps play
no part. `--quick` takes the two shortest videos and four changes. All of them take most of an hour;
with `--cache` the motion is kept, and a run that was cut short goes on where it stopped. A folder
is for one state of the code: the key of what is kept knows aumer's version alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from aumer.pipeline import Spotter
from aumer.types import Features
from aumer.video import open_video
from benchmarks.data import rate_of, read_clip
from benchmarks.report import Report, options
from benchmarks.survival import Compared, Film, Images, Spotted, compared, differs, meet
from benchmarks.truth import FOLDERS, IOU, read_truth

GOAL = 0.95


def cut(seconds: float) -> Callable[[Film], Film]:
    """Without so much of the beginning, in whole frames and one at least."""

    def change(film: Film) -> Film:
        frames = max(1, round(seconds * film.rate))
        return Film(film.frames[frames:], film.rate, film.start_s + frames / film.rate)

    return change


def cut_end(film: Film) -> Film:
    return Film(film.frames[: -max(1, round(0.1 * film.rate))], film.rate, film.start_s)


def rewritten(film: Film) -> Film:
    """As Motion-JPEG gives it back: another color sampling, and other losses."""
    height, width = film.frames.shape[1:3]
    with tempfile.TemporaryDirectory(prefix="aumer-") as folder:
        path = Path(folder) / "film.avi"
        size = width - width % 2, height - height % 2
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), film.rate, size)
        for frame in film.frames:
            writer.write(cv2.cvtColor(frame[: size[1], : size[0]], cv2.COLOR_RGB2BGR))
        writer.release()
        with closing(open_video(path)) as video:
            read = np.stack([frame.image for frame in video])
    return Film(read, film.rate, film.start_s)


def of_images(change: Callable[[Images], Images]) -> Callable[[Film], Film]:
    return lambda film: Film(np.stack(list(map(change, film.frames))), film.rate, film.start_s)


def brighter(image: Images) -> Images:
    return np.rint(np.minimum(image * 1.01, 255)).astype(np.uint8)


def smaller(image: Images) -> Images:
    made = cv2.resize(image, None, fx=0.98, fy=0.98, interpolation=cv2.INTER_AREA)
    return np.asarray(made, np.uint8)


def half_as_many(film: Film) -> Film:
    return Film(film.frames[::2], film.rate / 2, film.start_s)


CHANGES: Mapping[str, Callable[[Film], Film]] = {
    "first .05 s": cut(0.05),
    "first .1 s": cut(0.1),
    "first .2 s": cut(0.2),
    "first frame": cut(0.0),
    "last .1 s": cut_end,
    "another codec": rewritten,
    "1 % brighter": of_images(brighter),
    "1 px of the rim": of_images(lambda image: image[1:-1, 1:-1]),
    "2 % smaller": of_images(smaller),
    "half the frames": half_as_many,
}
QUICK = ("first .1 s", "first frame", "another codec", "1 % brighter")


def spotted_in(film: Film, spotter: Spotter, cache: str | None) -> tuple[list[Spotted], Features]:
    """The intervals, and the motion that they were spotted in, in seconds of the film."""
    found = spotter(film.frames, fps=film.rate, min_coverage=0.0, cache=cache)
    assert found.features is not None  # a result that was not read from a file has them
    spotted = [
        Spotted(
            e.kind,
            film.start_s + e.onset / film.rate,
            film.start_s + (e.offset + 1) / film.rate,
        )
        for e in found.expressions
    ]
    return spotted, found.features


def _detail(found: Compared, after: Iterable[Spotted]) -> str:
    """Which intervals are lost, with what is there in their places, and which appear."""
    words = []
    for one in found.lost:
        there = ", ".join(str(other) for other in after if meet(one, other))
        words.append(f"{one} became {there or 'nothing'}")
    words += [f"{one} appears" for one in found.new]
    return "; ".join(words)


def clips() -> list[str]:
    """The annotated clips; those without any face say nothing of intervals."""
    return [name for folder in FOLDERS for name in read_truth(folder) if name != "no_face.mp4"]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", default="combined", help="spotter (default: combined)")
    parser.add_argument("--quick", action="store_true", help="two videos, four changes")
    parser.add_argument("--cache", metavar="FOLDER", help="keep the motion here, and go on from it")
    arguments = parser.parse_args()
    report = Report(f"Intervals of {arguments.model} that survive harmless changes, IoU {IOU}")
    spotter = Spotter(model=arguments.model)
    chosen = {name: CHANGES[name] for name in (QUICK if arguments.quick else CHANGES)}
    names = clips()
    if arguments.quick:
        names = sorted(names, key=lambda name: len(read_clip(name)))[:2]
    totals = {name: np.zeros(3, np.int64) for name in chosen}
    details, motions = [], []
    report.line(f"{'':22} intervals  survive (+ appear) " + ", ".join(chosen))
    for name in names:
        film = Film(np.stack(read_clip(name)), rate_of(name))
        before, motion = spotted_in(film, spotter, arguments.cache)
        cells, shares = [], []
        for what, change in chosen.items():
            made = change(film)
            after, again = spotted_in(made, spotter, arguments.cache)
            shares.append(differs(motion, again, made.start_s))
            found = compared(before, after, made)
            there, survived, new = found.counts
            totals[what] += found.counts
            cells.append(f"{survived}/{there}" + (f"+{new}" if new else ""))
            if found.lost or found.new:
                details.append(f"{name}, {what}: {_detail(found, after)}")
        report.line(f"{name:22} {len(before):>9}  " + "  ".join(cells))
        motions.append(f"{name:22} " + "".join(f"{100 * share:5.0f}" for share in shares))
    report.line()
    report.line("by how much the motion itself changes, % of what moves (rms), in the same order")
    for line in motions:
        report.line(line)
    report.line()
    for what, (there, survived, new) in totals.items():
        share = f"{survived / there:.3f}" if there else "-"
        report.line(f"{what:18} {survived:>3} of {there:>3} survive ({share}), {new} appear")
    there, survived, new = sum(totals.values(), np.zeros(3, np.int64))
    share = survived / max(there, 1)
    report.line()
    for detail in details:
        report.line(detail)
    report.line()
    report.line(
        f"all: {survived} of {there} survive ({share:.3f}; goal {GOAL}: "
        f"{'reached' if share >= GOAL else 'not reached'}), {new} appear"
    )
    if arguments.save:
        report.save("stability.txt")


if __name__ == "__main__":
    main()
