"""Batches: what is in them, and that nothing is lost or seen twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training.conftest import simulated, small

from aumer.errors import UsageError
from aumer.graph.rois import DEFAULT_ROIS
from aumer.spotting.spotnet import SpotNet
from aumer.spotting.targets import targets
from aumer.training.samples import (
    events_of,
    input_statistics,
    make_samples,
    mirrored_rois,
)
from aumer.training.settings import TrainSettings

PLAIN = {"mirror": False, "amplitude_jitter": 0.0}


def test_windows_hold_every_row_of_every_video_once() -> None:
    """Counted by the rows' own values: each video is made of numbers of its own."""
    videos = []
    for k, v in enumerate(simulated()):
        rows = np.arange(len(v.features)) + 10_000.0 * (k + 1)
        values = np.repeat(rows.astype(np.float32), 24).reshape(-1, 12, 2)
        features = replace(v.features, values=values, eye_distance=1.0)
        whole = np.ones(len(rows), bool)
        sure = np.ones(features.confidence.shape, np.float32)
        videos.append(replace(v, features=replace(features, valid=whole, confidence=sure)))
    settings = small(**PLAIN, missing_offset="mirror")
    samples = make_samples(videos, settings.net_config(), 7, settings)
    for seed in (0, 1):
        seen = torch.cat(
            [b.x[b.weight > 0][:, 0, 0] for b in samples.epoch(np.random.default_rng(seed))]
        )
        expected = np.concatenate([v.features.values[:, 0, 0] for v in videos])
        np.testing.assert_array_equal(np.sort(seen.numpy()), np.sort(expected))


def test_a_windows_scores_are_those_of_the_whole_video() -> None:
    """With the context that the network needs, a cut changes nothing."""
    settings = small(**PLAIN)
    net = SpotNet(settings.net_config()).eval()
    video = simulated()[0]
    samples = make_samples([video], net.config, net.half_width, settings)
    (x,) = torch.from_numpy(net.config.inputs(video.features))[None]
    valid = torch.from_numpy(video.features.valid)
    with torch.no_grad():
        whole = net(x[None], valid[None])[0]
        for batch in samples.epoch(np.random.default_rng(0)):
            logits = net(batch.x, batch.valid)
            for k in range(len(batch)):
                core = batch.weight[k] > 0
                row = batch.x[k][core][0]
                first = int((x == row).all(dim=(1, 2)).nonzero()[0, 0])
                part = logits[k][core]
                torch.testing.assert_close(
                    part[:50],
                    whole[valid.nonzero()[:, 0] >= 0][first : first + 50][: len(part)],
                    rtol=1e-4,
                    atol=1e-4,
                )


def test_targets_stand_beside_their_rows() -> None:
    settings = small(**PLAIN)
    video = simulated()[1]
    samples = make_samples([video], settings.net_config(), 5, settings)
    aim = targets(events_of(video, settings), len(video.features), 30.0)
    total = sum(
        float(b.targets[b.weight > 0][:, 6:].sum()) for b in samples.epoch(np.random.default_rng(3))
    )
    usable = (aim.weight * video.features.valid) > 0
    assert total == pytest.approx(float(aim.values[usable][:, 6:].sum()), rel=1e-5)
    assert total > 0


def test_mirrored_twice_is_the_same_and_sides_change_places() -> None:
    order = mirrored_rois(DEFAULT_ROIS.names)
    names = DEFAULT_ROIS.names
    assert [order[k] for k in order] == list(range(12))
    assert names[order[names.index("mouth_r")]] == "mouth_l"
    assert names[order[names.index("brow_r_mid_outer")]] == "brow_l_mid_outer"
    assert order[names.index("nose_tip")] == names.index("nose_tip")
    with pytest.raises(UsageError, match="mouth_l"):
        mirrored_rois(["mouth_r", "nose_tip"])


def test_a_mirrored_smile_is_still_a_smile() -> None:
    """Both corners out and up: mirrored, the features stay as they are."""
    settings = small(mirror=True, amplitude_jitter=0.0)
    video = simulated()[0]
    values = np.zeros_like(video.features.values)
    names = list(video.features.rois)
    values[:, names.index("mouth_r")] = (-1, -2)
    values[:, names.index("mouth_l")] = (1, -2)
    video = replace(video, features=replace(video.features, values=values))
    samples = make_samples([video], settings.net_config(), 0, settings)
    for batch in samples.epoch(np.random.default_rng(0)):
        inside = batch.x[batch.valid]
        corners = inside[:, [names.index("mouth_r"), names.index("mouth_l")], 0]
        assert (corners[:, 0] <= 0).all() and (corners[:, 1] >= 0).all()


def test_a_mirrored_wink_is_the_other_eye_s_and_a_mirrored_turn_goes_the_other_way() -> None:
    settings = small(mirror=True, amplitude_jitter=0.0)
    settings = replace(settings, net_overrides={**settings.net_overrides, "signs": True})
    video = simulated()[0]
    t = len(video.features)
    lids, head = np.zeros((t, 2), np.float32), np.zeros((t, 3), np.float32)
    lids[:, 0], head[:, 0], head[:, 1] = np.arange(t), 2 * np.arange(t), 3 * np.arange(t)
    video = replace(video, features=replace(video.features, eyelids=lids, head=head))
    samples = make_samples([video], settings.net_config(), 0, settings)
    ways = set()
    for batch in (b for k in range(9) for b in samples.epoch(np.random.default_rng(k))):
        for x, valid in zip(batch.x, batch.valid, strict=True):
            right, left, turn, _ = x[valid][0, 12:].tolist()
            ways.add((right[1], left[1], *turn))
    assert ways == {(1, 0, 2, 3), (0, 1, -2, 3)}
    # What is divided by is of the ROIs alone.
    plain = input_statistics([video], small().net_config())
    np.testing.assert_array_equal(input_statistics([video], settings.net_config()), plain)


def test_statistics_are_of_valid_rows() -> None:
    settings = small()
    video = simulated()[0]
    valid = video.features.valid.copy()
    valid[:100] = False
    values = video.features.values.copy()
    values[:100] = np.nan
    hidden = replace(video, features=replace(video.features, values=values, valid=valid))
    mean, std = input_statistics([hidden], settings.net_config())
    rows = video.features.values[valid] / video.features.eye_distance
    np.testing.assert_allclose(mean, rows.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(std, rows.std(axis=(0, 1)), rtol=1e-4)


def test_segments_are_those_with_an_expression() -> None:
    settings = small("published")
    samples = make_samples(simulated(), settings.net_config(), 0, settings)
    batches = list(samples.epoch(np.random.default_rng(0)))
    assert len(batches) == len(samples)
    for batch in batches:
        assert batch.x.shape[1:] == (270, 12, 2)
        assert (batch.targets[..., 6:].amax(dim=(1, 2)) > 0).all()
        assert (batch.weight.sum(1) == 256).all()


def test_features_that_do_not_fit_are_named() -> None:
    settings = small()
    one, other = simulated()[:2]
    coarse = replace(other, features=replace(other.features, rate=25.0))
    with pytest.raises(UsageError, match=r"25 rows per second.*motion.rate=30"):
        make_samples([one, coarse], settings.net_config(), 0, settings)
    renamed = tuple(f"x{name}" for name in other.features.rois)
    strange = replace(other, features=replace(other.features, rois=renamed))
    with pytest.raises(UsageError, match=r"motion\.rois"):
        make_samples([one, strange], settings.net_config(), 0, settings)


def test_segments_without_any_expression_are_refused() -> None:
    settings = TrainSettings.preset("published")
    quiet = [replace(v, annotations=()) for v in simulated()]
    with pytest.raises(UsageError, match="windows"):
        make_samples(quiet, settings.net_config(), 0, settings)
