"""Training: what it depends on, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors import torch as safetensors
from training.conftest import simulated, small

from aumer.config import load_settings
from aumer.errors import UsageError, WeightsError
from aumer.evaluation.matching import count
from aumer.graph import AUGraph
from aumer.learning.checkpoint import load_state
from aumer.learning.machine import Machine
from aumer.simulate.features import IMITATED, simulate_features
from aumer.spotting.rules import RuleSpotter
from aumer.training.loop import TrainedNetwork, _Spotting, best_threshold, train
from aumer.training.samples import truth_intervals
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo, from_simulation
from aumer.types import KINDS, Annotation, Counts, Expression


def same(a: TrainedNetwork, b: TrainedNetwork) -> bool:
    """Weights equal to the last bit, and the same threshold."""
    ours, theirs = a.net.state_dict(), b.net.state_dict()
    return a.decoder == b.decoder and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("preset", ["aumer", "published"])
def test_the_seed_decides_and_nothing_else_does(preset: str) -> None:
    videos, settings = simulated(), small(preset)
    first = train(videos, settings, seed=3)
    torch.manual_seed(99)
    np.random.default_rng(99)
    assert same(first, train(videos, settings, seed=3))
    assert not same(first, train(videos, settings, seed=4))


def test_the_callers_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(simulated(), small(epochs=1))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("aumer", {"patience": 3}),
        ("published", {}),
        # What recognizers are trained by as well.
        ("aumer", {"optimizer": "sgd", "momentum": 0.9, "schedule": "plateau", "plateau": 0}),
    ],
)
def test_a_killed_run_goes_on_to_the_weights_of_an_unbroken_one(
    preset: str, more: dict[str, Any], tmp_path: Path
) -> None:
    settings = small(preset, epochs=4, **more)
    unbroken = train(simulated(), settings)

    class Killed(Exception):
        pass

    def kill(record: dict[str, Any]) -> None:
        if record["epoch"] == 2:
            raise Killed

    checkpoint = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        train(simulated(), settings, checkpoint=checkpoint, callbacks=[kill])
    seen: list[int] = []
    resumed = train(
        simulated(),
        settings,
        checkpoint=checkpoint,
        callbacks=[lambda record: seen.append(record["epoch"])],
    )
    assert seen == [3, 4]
    assert same(unbroken, resumed)
    assert [r["loss_total"] for r in resumed.log] == [r["loss_total"] for r in unbroken.log]


def test_a_run_goes_on_that_was_begun_before_its_optimizer_was_spelled_so(tmp_path: Path) -> None:
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    train(simulated(), small(epochs=1), checkpoint=new)
    with safe_open(new, framework="pt") as file:
        tensors = {k.replace("optimizer.", "optimizer."): file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        assert any(name.startswith("optimizer.") for name in tensors)
        safetensors.save_file(tensors, old, file.metadata())
    slots = [load_state(path).optimizer["state"] for path in (new, old)]
    assert slots[0].keys() == slots[1].keys() != set()
    for number, slot in slots[0].items():
        assert all(torch.equal(value, slots[1][number][key]) for key, value in slot.items())


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    train(simulated(), small(epochs=1), checkpoint=checkpoint)
    for change in ({"lr": 0.1}, {"epochs": 2}):
        with pytest.raises(UsageError, match="another run"):
            train(simulated(), small(**{"epochs": 1, **change}), checkpoint=checkpoint)
    with pytest.raises(UsageError, match="another run"):
        train(simulated(), small(epochs=1), seed=1, checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(WeightsError, match="checkpoint"):
        train(simulated(), small(epochs=1), checkpoint=checkpoint)


def test_inner_subjects_teach_nothing_but_the_threshold() -> None:
    """Their labels and features changed, the weights stay as they were."""
    videos, settings = simulated(), small()
    first = train(videos, settings)
    assert len(first.inner_subjects) == 1
    changed = tuple(
        replace(v, features=replace(v.features, values=v.features.values * 3), annotations=())
        if v.subject in first.inner_subjects
        else v
        for v in videos
    )
    second = train(changed, settings)
    weights = first.net.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in second.net.state_dict().items())


def test_early_stopping_keeps_the_best_epoch_on_inner_subjects() -> None:
    settings = small(epochs=8, patience=2, lr=0.05, schedule="exponential")
    trained = train(simulated(), settings)
    losses = [r["inner_loss"] for r in trained.log]
    best = int(np.argmin(losses))
    assert len(losses) == min(8, best + 3)
    fewer = train(simulated(), replace(settings, epochs=best + 1))
    weights = fewer.net.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in trained.net.state_dict().items())


def test_weights_decay_and_biases_do_not() -> None:
    """With a huge decay and no gradient to speak of only what decays shrinks."""
    from aumer.spotting.spotnet import SpotNet

    net = SpotNet.from_preset("published")
    task = _Spotting(net, small("published"), simulated(), (), 0, Machine())
    decays, stays = (group["params"] for group in task.groups(0.1))
    assert {p.ndim for p in decays} == {2, 3}
    assert {p.ndim for p in stays} == {1}
    assert len(decays) + len(stays) == len(list(net.parameters()))


def test_it_learns_what_rules_do_not_find() -> None:
    """Overall F1 on unseen simulated subjects as restless as life, after a few epochs, above the
    rules'."""
    net = {
        "widths": [32, 32, 32, 32],
        "kernels": [1, 5, 5, 5],
        "dilations": [1, 1, 4, 16],
        "graph_width": 8,
        "motion_scales_s": [0.5, 2.0],
    }
    changes = {"epochs": 9, "batch": 4, "lr": 0.006, "window_s": 40.0, "inner_share": 0.0}
    settings = TrainSettings.preset("aumer", {"net_overrides": net, **changes})
    # Ten expressions a minute to learn from, as many as there really are to be tested on.
    taught = from_simulation(
        simulate_features(20, minutes=3.0, seed=11, level="hard", rate_per_min=10)
    )
    tested = from_simulation(simulate_features(6, minutes=3.0, seed=12, level="hard"))
    trained = train(taught, settings)
    rules = RuleSpotter(load_settings().rules)

    def f1(spotted: Callable[[LabeledVideo], Sequence[Expression]]) -> float:
        return Counts.total(
            count([e.interval for e in spotted(v) if e.kind == k], truth_intervals(v)[k])
            for v in tested
            for k in KINDS
        ).f1

    learned = f1(lambda v: trained.decoder(trained.net.scores(v.features)))
    by_rules = f1(lambda v: rules(v.features)[1])
    assert learned > by_rules + 0.05, (learned, by_rules)


def test_another_graph_gives_other_weights() -> None:
    settings = small(epochs=1)
    graph = AUGraph.identity()
    first, second = train(simulated(), settings), train(simulated(), settings, graph=graph)
    assert second.net.graph.digest == graph.digest
    assert not same(first, second)


def test_the_threshold_is_the_one_that_scores_best() -> None:
    trained = train(simulated(), small(epochs=4))
    chosen = best_threshold(trained.net, trained.decoder, simulated())

    def f1(threshold: float) -> float:
        decoder = replace(trained.decoder, threshold=threshold)
        return Counts.total(
            count(
                [e.interval for e in decoder(trained.net.scores(v.features)) if e.kind == k],
                truth_intervals(v)[k],
            )
            for v in simulated()
            for k in KINDS
        ).f1

    assert f1(chosen) >= max(map(f1, (0.2, 0.5, 0.9))) - 0.05


@pytest.mark.parametrize(
    ("videos", "said"),
    [
        ((), "no video is left"),
        (simulated()[:1], "inner_share"),
    ],
)
def test_what_cannot_be_trained_on_is_said(videos: tuple[LabeledVideo, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        train(videos, small())


def test_divergence_is_an_error_and_no_weights() -> None:
    with pytest.raises(UsageError, match="lr"):
        train(simulated(), small(lr=1e30, clip=0.0, epochs=3, warmup=0.0))


def test_annotations_without_an_offset_are_no_truth_to_count() -> None:
    video = simulated()[0]
    missing = Annotation(video.subject, video.name, "macro", 10, 20, None)
    assert truth_intervals(replace(video, annotations=(missing,))) == {"micro": [], "macro": []}


def test_the_net_says_what_motion_it_was_trained_on() -> None:
    """Of all videos, inner subjects' too; nothing where one does not say."""
    videos, settings = simulated(), small(epochs=1)
    assert train(videos, settings).net.card["motion"] == IMITATED
    silent = [*videos[:-1], replace(videos[-1], motion=None)]
    assert train(silent, settings).net.card["motion"] is None
    other = load_settings(overrides={"motion": {"preset": "published"}}).motion
    for k in range(len(videos)):
        mixed = [replace(v, motion=other) if n == k else v for n, v in enumerate(videos)]
        with pytest.raises(UsageError, match=r"measured with motion\.preset = .*same settings"):
            train(mixed, settings)
    back_ends = [
        replace(v, motion=load_settings(overrides={"motion": {"flow": name}}).motion)
        for v, name in zip(videos, ("tvl1", "tvl1-opencv", "tvl1-torch", "tvl1"), strict=True)
    ]
    dense = {"preset": "flow", "flow": "tvl1"}
    assert train(back_ends, settings).net.card["motion"] == dense
