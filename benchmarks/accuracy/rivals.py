"""Do the methods of others learn at all: each trained on ten simulated videos, and judged on these.

    python -m benchmarks.accuracy.rivals [--save]

With each preset's own settings but for what is there against overfitting (mirrored and scaled
samples, subjects kept out), five times its epochs, and the decoder's usual threshold. F1 at IoU .5,
kind required. `tests/spotting/test_rivals.py` does the same in seconds, with shorter videos.
"""

from __future__ import annotations

from aumer.simulate.features import simulate_features
from aumer.spotting.net import parameter_count
from aumer.spotting.network import NetSpotter
from aumer.training.loop import train
from aumer.training.settings import TrainSettings
from aumer.training.videos import from_simulation
from benchmarks.report import Report, options
from benchmarks.simulated import judged

PRESETS = (
    "aumer",
    "published",
    "boosting-vrme-like",
    "lgsnet-like",
    "me-tst-like",
    "softnet-like",
    "spotformer-like",
)
VIDEOS, MINUTES, SEED, LONGER = 10, 1.0, 3, 5


def main() -> None:
    asked = options(__doc__).parse_args()
    report = Report("Methods of others, judged on the ten videos that they were trained on")
    report.line(f"{VIDEOS} simulated videos of {MINUTES:g} minutes, level medium, seed {SEED}")
    report.line(f"{'':20}{'parameters':>12}{'rows seen':>11}{'TP':>5}{'FP':>5}{'FN':>5}{'F1':>8}")
    videos = from_simulation(simulate_features(VIDEOS, minutes=MINUTES, seed=SEED, level="medium"))
    plain = {"inner_share": 0.0, "mirror": False, "amplitude_jitter": 0.0}
    for name in PRESETS:
        usual = TrainSettings.preset(name)
        many = {"epochs": LONGER * usual.epochs}
        got = train(videos, TrainSettings.preset(name, plain, many), seed=0)
        counts = judged(NetSpotter(got.net, got.decoder), videos)
        seen = 2 * got.net.half_width + 1
        report.line(
            f"{name:20}{parameter_count(got.net):12,}{seen:11}{counts.tp:5}{counts.fp:5}"
            f"{counts.fn:5}{counts.f1:8.3f}"
        )
    if asked.save:
        report.save("rivals.txt")


if __name__ == "__main__":
    main()
