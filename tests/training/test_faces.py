"""The same performance on another face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.simulate.timeline import MICRO_S
from aumer.training.faces import Unlike, another_face
from aumer.training.recordings import interrupted
from aumer.training.videos import LabeledVideo

SAME = Unlike(size=0, gain=0, mix=0, pace=0, drift=0)


def path_of(video: LabeledVideo) -> np.ndarray:
    return np.cumsum(video.features.values.astype(np.float64), axis=0)


def test_a_face_that_differs_by_nothing_is_the_same(video: LabeledVideo) -> None:
    same = another_face(video, np.random.default_rng(1), SAME)
    np.testing.assert_allclose(same.features.values, video.features.values, atol=1e-5)
    np.testing.assert_array_equal(same.features.valid, video.features.valid)
    np.testing.assert_array_equal(same.features.head, video.features.head)
    assert same.annotations == video.annotations


def test_movements_and_truth_keep_step(video: LabeledVideo) -> None:
    """At any pace the path is the same, read at the truth's own moments."""
    rng = np.random.default_rng(2)
    for _ in range(5):
        made = another_face(video, rng, Unlike(size=0, gain=0, mix=0, drift=0))
        pace = len(made.features) / len(video.features)
        old, new = path_of(video), path_of(made)
        for a, b in zip(video.annotations, made.annotations, strict=True):
            assert a.offset is not None and b.offset is not None and b.apex is not None
            assert b.onset <= b.apex <= b.offset
            assert abs(b.onset - a.onset * pace) <= 1 and abs(b.offset - a.offset * pace) <= 1
            lasts = (b.offset - b.onset) / made.features.rate
            assert b.kind == ("micro" if lasts <= MICRO_S else "macro")
            if a.onset > 1:  # half a row of movement at most
                step = np.abs(video.features.values[a.onset - 2 : a.onset + 2]).max()
                assert np.abs(new[b.onset - 1] - old[a.onset - 1]).max() <= 2 * step + 1e-3


def test_rois_take_on_what_others_of_their_region_do(video: LabeledVideo) -> None:
    f = video.features
    brows = np.where(np.arange(12)[:, None] < 6, f.values, 0).astype(np.float32)
    raised = LabeledVideo(
        video.subject,
        video.name,
        type(f)(**{**vars(f), "values": brows}),
        video.annotations,
        video.motion,
    )
    made = another_face(raised, np.random.default_rng(3), Unlike(pace=0, drift=0))
    assert not made.features.values[:, 6:].any()
    assert not np.allclose(made.features.values[:, :6], brows[:, :6], atol=0.01)


def test_what_a_gap_is_made_of_is_no_motion(video: LabeledVideo) -> None:
    gaps = interrupted(video, ((30, 300), (360, 900)))
    rng = np.random.default_rng(4)
    for _ in range(5):
        made = another_face(gaps, rng).features
        whole = another_face(video, np.random.default_rng(0), SAME).features
        share = gaps.features.valid.mean()
        assert made.valid.mean() == pytest.approx(share, abs=0.01)
        assert whole.valid.all()
        assert np.isfinite(made.values[made.valid]).all()
        assert np.isnan(made.values[~made.valid]).all()
        assert np.isnan(made.head[~made.valid]).all()
        assert not made.confidence[~made.valid].any()
    # A row that is partly made of a gap would begin with half a step.
    same = another_face(gaps, rng, SAME).features
    np.testing.assert_array_equal(same.valid, gaps.features.valid)


@pytest.mark.parametrize("wrong", ["rois", "offset"])
def test_what_no_other_face_can_show_is_refused(video: LabeledVideo, wrong: str) -> None:
    rng = np.random.default_rng(5)
    if wrong == "rois":
        named = replace(video.features, rois=tuple(f"r{k}" for k in range(12)))
        video = replace(video, features=named)
    else:
        video = replace(video, annotations=(replace(video.annotations[0], offset=None),))
    with pytest.raises(
        UsageError, match="published 12 ROIs; found" if wrong == "rois" else "without an offset"
    ):
        another_face(video, rng)
