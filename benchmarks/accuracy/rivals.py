"""Do the methods of others learn at all: each trained on ten simulated videos, and judged on these.

    python -m benchmarks.accuracy.rivals [--only NAME ...] [--seed 3] [--save]

With each preset's own settings but for what is there against overfitting (mirrored and scaled
samples, subjects kept out), more epochs (`EPOCHS`, times its own) and the decoder's usual
threshold. F1 at IoU .5, kind required. `tests/spotting/test_rivals.py` does the same in seconds,
with shorter videos.

A decoder may lose what a network has learned. So beside each F1 stand its "ceiling", the F1 of the
same decoder where it reads the targets that the network was trained for, and that of targets off by
up to `OFF`: SOFTNet's decoder finds the highest peak of every video, of whatever height. "r" is how
near the scores come to the targets: the correlation over all valid rows, of the action tracks and
of the least of the ten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aumer.simulate.features import simulate_features
from aumer.spotting.channels import CHANNELS, column
from aumer.spotting.net import parameter_count
from aumer.spotting.network import NetSpotter
from aumer.spotting.parts import TrackDecoder
from aumer.training.loop import train
from aumer.training.samples import events_of
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo, from_simulation
from aumer.types import KINDS, Counts, Scores
from benchmarks.report import Report, options
from benchmarks.simulated import counts, judged

#: By preset, how many times its own epochs. A recurrent network needs more steps; and one that sees
#: 19 rows can tell an expression's rows only by what it remembers of each.
EPOCHS = {
    "aumer": 5,
    "published": 5,
    "boosting-vrme-like": 5,
    "lgsnet-like": 5,
    "me-tst-like": 15,
    "softnet-like": 25,
    "spotformer-like": 5,
}
VIDEOS, MINUTES, SEED = 10, 1.0, 3
#: How far targets are off where it is asked what little faults do to a decoder.
OFF = 0.001


def perfect(video: LabeledVideo, settings: TrainSettings) -> Scores:
    """The targets as a network's scores, float32 (T, 10)."""
    features = video.features
    found = events_of(video, settings)
    values = settings.objective().targets(found, len(features), features.rate).values
    return Scores(values, features.times, features.frames, features.valid, CHANNELS)


def decoded(
    decoder: TrackDecoder, scores: Sequence[Scores], videos: Sequence[LabeledVideo]
) -> float:
    return Counts.total(counts(decoder(s), v) for s, v in zip(scores, videos, strict=True)).f1


def off(scores: Scores, rng: np.random.Generator) -> Scores:
    values = scores.values + OFF * rng.random(scores.values.shape)
    made = values.clip(0, 1).astype(np.float32)
    return Scores(made, scores.times, scores.frames, scores.valid, CHANNELS)


def nearness(aims: Sequence[Scores], found: Sequence[Scores]) -> npt.NDArray[np.float64]:
    """(10,) correlations of each track with its target."""
    wanted, given = (np.concatenate([s.values[s.valid] for s in each]) for each in (aims, found))
    return np.array([np.corrcoef(wanted[:, k], given[:, k])[0, 1] for k in range(len(CHANNELS))])


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", choices=EPOCHS, default=list(EPOCHS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=SEED, help="of the videos")
    asked = parser.parse_args()
    report = Report("Methods of others, judged on the ten videos that they were trained on")
    report.line(
        f"{VIDEOS} simulated videos of {MINUTES:g} minutes, level medium, seed {asked.seed}"
    )
    report.line(
        f"{'':20}{'parameters':>11}{'rows':>5}{'epochs':>7}{'TP':>4}{'FP':>4}{'FN':>4}{'F1':>7}"
        f"{'ceiling':>9}{'off':>7}{'r micro':>9}{'macro':>7}{'least':>7}"
    )
    made = simulate_features(VIDEOS, minutes=MINUTES, seed=asked.seed, level="medium")
    videos = from_simulation(made)
    plain = {"inner_share": 0.0, "mirror": False, "amplitude_jitter": 0.0}
    for name in asked.only:
        usual = TrainSettings.preset(name)
        settings = TrainSettings.preset(name, plain, {"epochs": EPOCHS[name] * usual.epochs})
        got = train(videos, settings, seed=0)
        spotter = NetSpotter(got.net, got.decoder)
        found = judged(spotter, videos)
        aims = [perfect(v, settings) for v in videos]
        rng = np.random.default_rng(0)
        best = decoded(got.decoder, aims, videos)
        nearly = decoded(got.decoder, [off(s, rng) for s in aims], videos)
        near = nearness(aims, [got.net.scores(v.features) for v in videos])
        micro, macro = (near[column(kind, "action")] for kind in KINDS)
        seen = 2 * got.net.half_width + 1
        report.line(
            f"{name:20}{parameter_count(got.net):11,}{seen:5}{settings.epochs:7}"
            f"{found.tp:4}{found.fp:4}{found.fn:4}{found.f1:7.3f}"
            f"{best:9.3f}{nearly:7.3f}{micro:9.2f}{macro:7.2f}{near.min():7.2f}"
        )
    if asked.save:
        report.save("rivals.txt")


if __name__ == "__main__":
    main()
