"""The spotters that ship: the rules, the network, and both together.

    python -m benchmarks.accuracy.spotters --overwrite \
        --train aumer/spotting/weights/network.safetensors
    python -m benchmarks.accuracy.spotters --save

After `--train` the judge that ships is fitted again (`python -m benchmarks.studies.judging
aumer/spotting/weights/judge.json --overwrite`), then `--card` tells the figures of all three.
Either takes `--set motion.preset=windows ...`, settings other than the default ones. `--card PATH`
writes the figures of the weights' card again, without training: those of the rules and of both
together change with the rules' constants.

`--train` makes the network's weights: the preset "aumer", with the graph layer "dense" (better on
films: `studies/preset.py films`), reading eyelids and head beside the ROIs, on simulated features
of a population of faces whose expressions and disturbances have very different sizes, as those of
real people before real cameras have, in part with any AUs and on faces that move unlike the
simulator's table. Its threshold is chosen on films as `aumer demo` makes them,
which go through camera, face and flow as a user's do: on features alone F1 is the same over a wide
range of thresholds. It prints nothing of the sets below, and chooses nothing on them.

Without it all three are judged on features of simulated subjects that none has seen, on each
disturbance without any expression, and on the shared real videos (IoU .5, one to one). The rules'
constants were set on those real videos; beside them stands leave-one-clip-out. `--save` also keeps
pictures of the scores over two real videos.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from aumer.cli.options import assignment
from aumer.config import Settings, load_settings
from aumer.files import check_target
from aumer.graph import AUGraph
from aumer.motion.analysis import analyze
from aumer.session import versions
from aumer.simulate import nuisance
from aumer.simulate.features import LEVELS, simulate_features
from aumer.simulate.population import Population
from aumer.spotting import judge
from aumer.spotting.combined import CombinedSpotter
from aumer.spotting.ensemble import EnsembleNetwork
from aumer.spotting.network import NetSpotter
from aumer.training.faces import Unlike
from aumer.training.loop import TrainedNetwork, best_threshold, train
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo, from_simulation
from aumer.types import Counts, Features
from benchmarks.data import test_data
from benchmarks.report import Report, options, save_picture
from benchmarks.score_curves import score_curves
from benchmarks.simulated import (
    CAMERAS,
    CUT,
    FILMS,
    PIECES,
    SLOW,
    WORLDS,
    Spots,
    World,
    alone,
    films,
    judged,
    spotters,
    training_videos,
)
from benchmarks.truth import (
    FOLDERS,
    WHAT,
    Truth,
    chosen_on_others,
    leave_one_out,
    line,
    read_truth,
)

Videos = tuple[LabeledVideo, ...]

#: "signs": eyelids and head tell what moves ROIs and is no expression. F1 on other simulated
#: subjects, levels easy, medium and hard: .83, .69, .67 after 12 epochs of 100 subjects, .85, .76,
#: .67 after 24, .86, .74, .72 after 24 of 160 (one seed each, which moves them by .03).
SHAPE = {"net_overrides": {"layer": "dense", "signs": True}, "epochs": 24}
#: Unseen subjects of that population: those of the weights' card, and more of them for the table.
CARD, UNSEEN = Population(8, 600_000), Population(30, 700_000)
#: As the population's, of the levels of `aumer simulate`, at the tables' rate of expressions.
LEVEL_SEED, LEVEL_SUBJECTS, LEVEL_MINUTES = 800_000, 30, 4.0


def told(member: int, record: Mapping[str, Any]) -> None:
    print(f"network {member}, epoch {record['epoch']}: loss {record['loss_total']:.4f}", flush=True)


def members(path: Path, settings: TrainSettings) -> Iterator[tuple[World, Videos, TrainedNetwork]]:
    """Train the networks one after another; a run that was stopped goes on after its last epoch,
    whose checkpoints lie beside the target.
    """
    graph = None
    for member, world in enumerate(WORLDS):
        videos = training_videos(world)
        graph = graph or AUGraph.from_annotations(
            [a for v in videos for a in v.annotations],
            au_map="facs",
            name="simulated population, facs",
        )
        trained = train(
            videos,
            settings,
            graph=graph,
            seed=world.seed,
            checkpoint=checkpoint(path, member),
            callbacks=[partial(told, member)],
        )
        yield world, videos, trained


def checkpoint(path: Path, member: int) -> Path:
    return path.with_name(f"{path.stem}-{member}.checkpoint")


def make(path: Path, overwrite: bool, measured: Settings) -> None:
    """Train, and write the weights with their card."""
    check_target(path, overwrite=overwrite)
    settings = TrainSettings.preset("aumer", SHAPE)
    begun = time.process_time()
    trained, about = [], []
    for world, videos, one in members(path, settings):
        trained.append(one)
        annotations = [a for v in videos for a in v.annotations]
        about.append(
            {
                "population": dict(vars(world.subjects)),
                "other_faces": {"share": world.unlike, **vars(Unlike())},
                "seed": world.seed,
                "minutes": round(sum(int(v.features.valid.sum()) for v in videos) / 30 / 60, 1),
                "micro": sum(a.kind == "micro" for a in annotations),
                "macro": sum(a.kind == "macro" for a in annotations),
            }
        )
    seconds = time.process_time() - begun
    net, decoder = EnsembleNetwork.of([one.net for one in trained]), trained[0].decoder
    threshold = best_threshold(net, decoder, films(FILMS, measured))
    network = NetSpotter(net, replace(decoder, threshold=threshold))
    card: dict[str, Any] = {
        "made_by": "python -m benchmarks.accuracy.spotters --train PATH",
        "licence": "Apache-2.0",
        "purpose": "aumer's spotting network for users who have no labeled videos of their own",
        "data": {
            "what": "simulated features (aumer.simulate): no real face is in them",
            "networks": about,
            "slower_cameras": {"share": SLOW, "fps": list(CAMERAS)},
            "cut_into_pieces": {"share": CUT, **{k: list(v) for k, v in PIECES.items()}},
        },
        "never_seen": "any real face, of CAS(ME)^2, SAMM-LV or another data set; the simulated "
        "subjects of aumer's benchmarks and the timelines that these replay",
        "has_seen": "how often and how long expressions are, and which AUs go together, in the "
        "coders' tables of CAS(ME)^2 and SAMM-LV, which the simulator draws from",
        "training": settings.to_dict(),
        "threshold": f"{threshold:g}, chosen on {len(FILMS)} films of `aumer demo`, seeds "
        f"{FILMS[0]} to {FILMS[-1]}",
        "cpu_seconds": round(seconds),
        "versions": versions(),
    }
    network.save(path, card, overwrite=True)
    for member in range(len(WORLDS)):
        checkpoint(path, member).unlink()
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {seconds:.0f} CPU seconds")
    print(f"threshold {threshold}; the judge that ships must be fitted with it now, see --card")


def tell(path: Path, settings: Settings) -> dict[str, float]:
    """Write into the weights' card how each spotter does on subjects that none has seen."""
    network = NetSpotter.load(path)
    unseen, made = from_simulation(CARD.draw()), spotters(settings, path)
    figures = {name: round(judged(spot, unseen).f1, 4) for name, spot in made.items()}
    told = {"population": dict(vars(CARD)), "f1": figures}
    network.save(path, {**network.net.card, "unseen_subjects": told}, overwrite=True)
    return figures


def simulated(report: Report, made: Mapping[str, Spots]) -> None:
    report.line("Simulated subjects that none has seen: F1 (precision, recall), kind required")
    sets = {"wide": from_simulation(UNSEEN.draw())}
    for level in LEVELS:
        every = simulate_features(
            LEVEL_SUBJECTS, minutes=LEVEL_MINUTES, seed=LEVEL_SEED, level=level
        )
        sets[level] = from_simulation(every)
    report.line(f"{'':10}" + "".join(f"{name:>24}" for name in sets))
    for name, spot in made.items():
        cells = [judged(spot, videos) for videos in sets.values()]
        report.line(
            f"{name:10}"
            + "".join(f"{c.f1:12.3f} ({c.precision:.2f}, {c.recall:.2f})" for c in cells)
        )
    report.line(
        f"wide: {UNSEEN}; the levels: {LEVEL_SUBJECTS} subjects, {LEVEL_MINUTES:g} minutes each, "
        f"seed {LEVEL_SEED}"
    )
    report.line()


def disturbed(report: Report, made: Mapping[str, Spots]) -> None:
    report.line(
        "Each disturbance alone: minutes of 100 in which anything is spotted, of faces with"
    )
    report.line("noise of the motion, as all real ones have, and (in brackets) without any")
    report.line(f"{'':18}" + "".join(f"{name:>14}" for name in made))
    for name in nuisance.USUAL:
        line = f"{name:18}"
        pairs = [[alone(name, k, noise=noise) for k in range(100)] for noise in (True, False)]
        for spot in made.values():
            with_noise, without = (sum(bool(spot(m)[1]) for m in minutes) for minutes in pairs)
            line += f"{with_noise:8} ({without:3})"
        report.line(line)
    report.line()


def real(report: Report, settings: Settings, made: Mapping[str, Spots], pictures: bool) -> None:
    truth: dict[str, Truth] = {}
    features: dict[str, Features] = {}
    folders: dict[str, list[str]] = {}
    for folder in FOLDERS:
        there = read_truth(folder)
        truth |= there
        folders[folder] = list(there)
        features |= {n: analyze(test_data() / folder / n, settings).features for n in there}
    report.line("Real videos, spotted (truth first)")
    found = {who: {name: spot(features[name])[1] for name in truth} for who, spot in made.items()}
    for name in truth:
        report.line(name)
        known = ", ".join(f"{k} {i.onset}-{i.offset}" for k, i in truth[name].expressions)
        report.line(f"  {'truth':10}{known or 'none'}")
        for who in made:
            spotted = truth[name].judged(found[who][name])
            shown = ", ".join(f"{e.kind} {e.onset}-{e.offset} ({e.score:.2f})" for e in spotted)
            report.line(f"  {who:10}{shown or 'none'}")
    combined = made["combined"]
    assert isinstance(combined, CombinedSpotter)
    for kinds, what in WHAT.items():
        alone = {
            "rules": leave_one_out(features, truth, settings.rules, kinds=kinds),
            "combined": chosen_on_others(thresholds(combined, features, truth, kinds)),
        }
        for folder, names in {**folders, "all": list(truth)}.items():
            report.line()
            report.line(f"{folder}, {what}:")
            for who in made:
                counted = [truth[n].counts(found[who][n], kinds=kinds) for n in names]
                report.line(line(who, Counts.total(counted)))
            for who, by_clip in alone.items():
                total = Counts.total(by_clip[n] for n in names)
                report.line(line(f"{who}, leave-one-clip-out", total))
    report.line("(leave-one-clip-out: the rules' constants, or combined's threshold, chosen on the")
    report.line("other clips; no real video was in the network's or the judge's training)")
    if pictures:
        for name in ("webcam_mixed.mp4", "fex_two_smiles.mov"):
            figure = score_curves(name, features[name], truth[name], made)
            save_picture(figure, f"spotters-{Path(name).stem}.png", 110)


def thresholds(
    combined: CombinedSpotter,
    features: Mapping[str, Features],
    truth: Mapping[str, Truth],
    kinds: bool,
) -> list[tuple[float, dict[str, Counts]]]:
    """Counts by clip at thresholds of the judge, as `chosen_on_others` takes them."""
    by = judge.shipped()
    usual = by.threshold(combined.sensitivity)
    read = {name: combined.proposals(f)[1:] for name, f in features.items()}
    runs = []
    for threshold in sorted({usual, *(t for t, _ in by.false_alarms)}):
        counted = {
            name: truth[name].counts(
                judge.chosen(proposals, by.probabilities(what), threshold), kinds=kinds
            )
            for name, (proposals, what) in read.items()
        }
        runs.append((abs(threshold - usual), counted))
    return runs


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--train", type=Path, metavar="PATH", help="make weights, and stop")
    parser.add_argument("--overwrite", action="store_true", help="with --train")
    parser.add_argument("--card", type=Path, metavar="PATH", help="figures of the card, and stop")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], type=assignment, metavar="PATH=VALUE"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_settings(overrides=dict(asked.set))
    if asked.train:
        make(asked.train, asked.overwrite, settings)
        return
    if asked.card:
        print(tell(asked.card, settings))
        return
    report = Report("The spotters that ship")
    made = spotters(settings)
    simulated(report, made)
    disturbed(report, made)
    real(report, settings, made, asked.save)
    if asked.save:
        report.save("spotters.txt")


if __name__ == "__main__":
    main()
