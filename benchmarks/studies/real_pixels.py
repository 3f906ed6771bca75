"""What a network gains by learning from real pixels: expressions played into neutral recordings.

    python -m benchmarks.studies.real_pixels [--jobs N] [--seeds N ...] [--save]

Five people of the shared recordings, in parts where they show no expression (some blink, turn or
talk), get expressions of the sizes of CASME II and the coders' tables played in
(`aumer.training.videos.NeutralFilms`, as `aumer train --augment-neutral` does), and the films are
measured as any video is. Each person is judged by networks that saw no frame of hers or his: they
learn from films of the other four, beside the simulated features of ``studies/ideas.py`` or
instead of them. One row also reads how well each ROI was measured, which only films tell apart.
What ships, which has seen no real face, is judged on the same films.

F1 at IoU .5 over the films of all five, and expressions a minute that are none. The films are made
of few seconds of each face, played to and fro: five people are five faces, and false alarms recur
with the recording. Making the films takes half an hour of one core, once: measured films are kept
in the cache.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from aumer import registry
from aumer.bench.figure import Figure
from aumer.bench.tasks.spotting_result import spotting_figure
from aumer.cache import default_folder
from aumer.config import load_settings
from aumer.evaluation.matching import count
from aumer.graph import AUGraph
from aumer.graph.au import parse
from aumer.spotting.net_config import NetConfig
from aumer.training.loop import train
from aumer.training.samples import truth_intervals
from aumer.training.settings import TrainSettings
from aumer.training.videos import Augment, LabeledVideo, NeutralFilms
from aumer.types import Counts, Expression, Features, FloatArray
from aumer.video.writer import VideoFile
from benchmarks.data import rate_of, read_clip
from benchmarks.report import Report, options
from benchmarks.simulated import Spots, chosen_on, counts, spotters

TRAINED, SEEDS = 17, (0, 1, 2)
#: (whom, file, first frame, last frame): `motion_films.NOISE` of a second and more; webcam_mixed
#: ends before the micro-expression of frames 65 to 75 begins to show, which films would repeat.
RECORDINGS = (
    ("red shirt", "still_neutral.mp4", 0, 300),
    ("fex", "fex_smile_still.mov", 0, 58),
    ("fex", "fex_two_smiles.mov", 0, 30),
    ("round glasses", "webcam_mixed.mp4", 0, 55),
    ("round glasses", "webcam_mixed.mp4", 386, 444),
    ("posed", "webcam_posed.mp4", 485, 640),
    ("posed", "webcam_posed.mp4", 695, 764),
    ("grid", "talking_neutral.mpg", 0, 74),
)
PEOPLE = tuple(dict.fromkeys(person for person, *_ in RECORDINGS))
#: Who holds still; the others turn, blink or talk.
STILL = ("red shirt", "fex")
#: Action units of lids and eyes, which move none of the 12 ROIs.
UNSEEN_AUS = {5, 7, 31, 43, 45, 61, 62, 63, 64}
#: Films of each person, shared among the recordings of one, and seconds of each.
FILMS, SECONDS = 8, 20.0
AUGMENT = Augment(seconds=SECONDS, rate_per_min=15.0)


# -- the confidence of each ROI --------------------------------------------------------------------

#: An ROI that was not recognized counts as motion of a usual size, in outer-eye distances a row.
_UNIT = 2e-3


@registry.register("network", "spotnet-confidence")
@dataclass(frozen=True)
class NetConfigWithConfidence(NetConfig):
    """`NetConfig` of a network that also reads how far each ROI's picture failed to match."""

    @property
    def extra_nodes(self) -> tuple[str, ...]:
        from aumer.motion.mdmo import ROIS

        return (*super().extra_nodes, *(f"{name}_doubt" for name in ROIS))

    def inputs(self, features: Features) -> FloatArray:
        doubt = np.zeros((*features.confidence.shape, 2), np.float32)
        doubt[..., 1] = _UNIT * (1 - features.confidence)  # y, which a mirror keeps
        doubt[~features.valid] = 0
        return np.concatenate([super().inputs(features), doubt], axis=1)


# -- films -----------------------------------------------------------------------------------------


def films() -> tuple[LabeledVideo, ...]:
    """Of all recordings, each named after whom it shows."""
    settings, made = load_settings(), []
    with tempfile.TemporaryDirectory() as folder:
        for number, (person, name, first, last) in enumerate(RECORDINGS):
            cut = Path(folder) / f"{person.replace(' ', '-')}-{number}.avi"
            frames = read_clip(name, first, last)
            size = frames[0].shape[1::-1]
            with VideoFile(cut, fps=rate_of(name), size=size, codec="FFV1") as file:
                for frame in frames:
                    file.write(frame)
            share = FILMS // sum(person == p for p, *_ in RECORDINGS)
            played = NeutralFilms([cut], settings, replace(AUGMENT, films=share), seed=number)
            for film in played.extract(cache=default_folder()):
                made.append(replace(film, subject=person))
            print(f"{cut.stem}: {share} films", flush=True)
    return tuple(made)


# -- rows ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What a network learns from, and the training preset's keys that differ."""

    simulated: bool = True
    played: bool = True
    confidence: bool = False

    def videos(self, people: Sequence[str], played: Sequence[LabeledVideo]) -> list[LabeledVideo]:
        """For the judgment of `people`. Where there is nothing else, films choose the threshold."""
        seen = [v for v in played if v.subject not in people] if self.played else []
        some = chosen_on(TRAINED)[0] if self.simulated else []
        return [*some, *(replace(v, played=self.simulated) for v in seen)]

    @property
    def settings(self) -> TrainSettings:
        shape = {"network": "spotnet-confidence"} if self.confidence else {}
        return TrainSettings.preset("aumer", {"net_overrides": shape})


ROWS = {
    "simulated features": Row(played=False),
    "films of others": Row(simulated=False),
    "films, with confidence": Row(simulated=False, confidence=True),
    "both": Row(),
    "both, with confidence": Row(confidence=True),
}


def outcome(
    row: Row, played: Sequence[LabeledVideo], task: tuple[int, tuple[str, ...]]
) -> dict[str, Judged]:
    """Of each of some people, by a network that was trained without them."""
    torch.set_num_threads(1)
    seed, people = task
    videos = row.videos(people, played)
    graph = AUGraph.from_annotations([a for v in videos for a in v.annotations], au_map="facs")
    made = train(videos, row.settings, graph=graph, seed=seed)
    return of_people(lambda f: made.decoder(made.net.scores(f)), played, people)


def tasks(row: Row, seeds: Sequence[int]) -> list[tuple[int, tuple[str, ...]]]:
    """A network for each person, or for all where it sees nobody."""
    people = [(person,) for person in PEOPLE] if row.played else [PEOPLE]
    return [(seed, together) for seed in seeds for together in people]


# -- the table -------------------------------------------------------------------------------------

Spot = Callable[[Features], Sequence[Expression]]
#: Counts with kinds required, and with kinds ignored.
Judged = tuple[Counts, Counts]


def judged(spot: Spot, video: LabeledVideo) -> Judged:
    found = spot(video.features)
    truth = [i for intervals in truth_intervals(video).values() for i in intervals]
    return counts(found, video), count([e.interval for e in found], truth)


def plain(spot: Spots) -> Spot:
    """Without the scores."""
    return lambda features: spot(features)[1]


def of_people(
    spot: Spot, played: Sequence[LabeledVideo], people: Sequence[str]
) -> dict[str, Judged]:
    """The sums over each one's films."""
    found = {}
    for person in people:
        each = [judged(spot, v) for v in played if v.subject == person]
        kinds, any_kind = zip(*each, strict=True)
        found[person] = Counts.total(kinds), Counts.total(any_kind)
    return found


def figures(by_seed: Sequence[Mapping[str, Judged]]) -> tuple[Figure, Figure]:
    """F1 with kinds required, and with kinds ignored."""
    made = []
    for which in range(2):
        of_all = [[found[p][which] for found in by_seed] for p in PEOPLE]
        rows = [[(c.tp, c.fp, c.fn) for c in seeds] for seeds in of_all]
        made.append(spotting_figure(PEOPLE, np.array(rows)))
    return made[0], made[1]


HEAD = f"{'':24}{'kind':>6}{'any kind':>9}{'':>14}{'found':>7}{'others':>8}   "


def tell(report: Report, name: str, kinds: Figure, any_kind: Figure, minutes: float) -> None:
    found = any_kind.counts.mean(axis=1)
    tp, fp, fn = found.sum(axis=0)
    one, estimate = f"{kinds.value:6.3f}", any_kind.bootstrap()
    each = any_kind.metric(any_kind.counts.sum(axis=1))
    report.line(
        f"{name:24}{one}{any_kind.value:9.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
        f"{tp / (tp + fn):7.2f}{fp / minutes:8.2f}   " + "".join(f"{v:15.2f}" for v in each)
    )


def found_of(report: Report, spot: Spot, played: Sequence[LabeledVideo]) -> None:
    """What of the truth is found, by whether the face holds still and an ROI moves."""
    found: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for video in played:
        spans = [e.interval for e in spot(video.features)]
        for a in video.annotations:
            assert a.interval is not None
            moves = not {unit.number for unit in parse(a.aus)} <= UNSEEN_AUS
            hit = any(span.iou(a.interval) >= 0.5 for span in spans)
            for what in (a.kind, "an ROI moves" if moves else "lids and eyes alone"):
                found[what, video.subject in STILL].append(hit)
    for what in ("macro", "micro", "an ROI moves", "lids and eyes alone"):
        still, other = (f"{sum(found[what, k])} of {len(found[what, k])}" for k in (True, False))
        report.line(f"{what:24}still faces {still:>10}, others {other:>10}")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="networks at a time (default: 1)")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--shipped", action="store_true", help="train nothing")
    asked = parser.parse_args()
    report = Report("Expressions of usual sizes played into recordings of five real faces")
    played = films()
    minutes = float(sum(v.features.valid.sum() / v.features.rate for v in played) / 60)
    truth = [a.kind for v in played for a in v.annotations]
    sure = np.mean([v.features.confidence[v.features.valid].mean() for v in played])
    report.line(
        f"{len(played)} films, {minutes:.1f} minutes: {truth.count('micro')} micro- and "
        f"{truth.count('macro')} macro-expressions; mean confidence of ROIs {sure:.3f}"
    )
    report.line(
        "F1 at IoU .5, kind required; and ignored, with its 95 % interval over five people;"
    )
    report.line(
        "the share found and others a minute, kind ignored; and F1 of each person. Networks"
    )
    report.line(f"trained here, in the last rows: means over {len(asked.seeds)} seeds.")
    report.line()
    report.line(HEAD + "".join(f"{p:>15}" for p in PEOPLE))
    ships = {name: plain(spot) for name, spot in spotters(load_settings()).items()}
    for dial in ("low", "high"):
        other = spotters(load_settings(overrides={"rules": {"sensitivity": dial}}))
        ships[f"combined, {dial}"] = plain(other["combined"])
    for name, spotted in ships.items():
        one = figures([of_people(spotted, played, PEOPLE)])
        tell(report, name, *one, minutes)
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        first: Figure | None = None
        for name, row in ROWS.items() if not asked.shipped else ():
            work = tasks(row, asked.seeds)
            by_seed: dict[int, dict[str, Judged]] = {seed: {} for seed in asked.seeds}
            done = pool.map(partial(outcome, row, played), work)
            for (seed, _), found in zip(work, done, strict=True):
                by_seed[seed] |= found
            kinds, any_kind = figures([*by_seed.values()])
            tell(report, name, kinds, any_kind, minutes)
            if first is not None:
                less = any_kind.compare(first)
                report.line(
                    f"{'':24}less the first, any kind: {less.value:+.3f} "
                    f"[{less.low:+.3f}, {less.high:+.3f}]"
                )
            first = first or any_kind
    report.line()
    report.line("combined: what of the truth it overlaps by half or more")
    found_of(report, ships["combined"], played)
    if asked.save:
        report.save("real_pixels.txt")


if __name__ == "__main__":
    main()
