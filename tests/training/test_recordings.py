"""Other recordings of one face: slower cameras, and pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.motion import resample
from aumer.training.recordings import by_camera, interrupted, separated, spans
from aumer.training.videos import LabeledVideo


def path_of(video: LabeledVideo) -> np.ndarray:
    return np.cumsum(np.nan_to_num(video.features.values).astype(np.float64), axis=0)


def test_a_camera_of_the_same_rate_changes_nothing(video: LabeledVideo) -> None:
    same = by_camera(video, video.features.rate)
    assert np.array_equal(same.features.valid, video.features.valid)
    assert np.allclose(same.features.values, video.features.values, atol=1e-5, equal_nan=True)
    assert np.allclose(same.features.head, video.features.head, atol=1e-6, equal_nan=True)
    assert same.annotations == video.annotations


def test_a_slower_camera_gives_what_the_motion_stage_would(video: LabeledVideo) -> None:
    """Against `resample`, which is what features of a slow video go through."""
    f = video.features
    assert f.valid.all()  # so that it is one run
    slow = by_camera(video, 10.0)
    path = np.concatenate([np.zeros((1, 12, 2)), path_of(video)])[::3]
    steps = np.diff(path, axis=0).astype(np.float32)
    times = np.arange(len(path)) / 10.0
    _, values, valid = resample(times, steps, np.ones(len(steps), np.bool_), f.rate)
    assert np.allclose(slow.features.values[: len(values)][valid], values[valid], atol=1e-4)


def test_what_is_quicker_than_a_camera_is_not_seen_by_it(video: LabeledVideo) -> None:
    slow, whole = by_camera(video, 10.0), video.features
    steps = slow.features.values[: len(whole) // 3 * 3].reshape(-1, 3, 12, 2)
    assert np.allclose(steps, steps[:, :1], atol=1e-4)  # even between two of its frames
    assert np.allclose(path_of(slow)[2:-3:3], path_of(video)[2:-3:3], atol=1e-2)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), 1e-3])
def test_a_camera_without_frames_is_refused(video: LabeledVideo, fps: float) -> None:
    with pytest.raises(UsageError, match=r"fps must be > 0|two frames or more"):
        by_camera(video, fps)


def test_of_an_expression_that_is_cut_half_and_the_apex_are_seen(video: LabeledVideo) -> None:
    rng = np.random.default_rng(0)
    cut = 0
    for _ in range(50):
        kept = spans(video, rng, seconds=(1.5, 8.0), gap_s=(0.5, 2.0))
        assert all(a < b <= len(video.features) for a, b in kept)
        assert all(b < c for (_, b), (c, _) in pairwise(kept))
        pieces = separated(video, kept)
        for (begin, end), piece in zip(kept, pieces, strict=True):
            told = iter(piece.annotations)
            for a in video.annotations:
                assert a.offset is not None and a.apex is not None
                seen = min(a.offset, end - 1) - max(a.onset, begin) + 1
                length = a.offset - a.onset + 1
                if seen <= 0:
                    continue
                shown = next(told)
                assert shown.offset is not None
                assert shown.onset <= (shown.apex or 0) <= shown.offset < len(piece.features)
                assert shown.offset - shown.onset + 1 == seen >= length // 2
                cut += seen < length
            assert next(told, None) is None
    assert cut > 50  # or nothing was tried


def test_pieces_are_the_rows_and_gaps_are_faces_that_are_not_seen(video: LabeledVideo) -> None:
    kept = ((30, 120), (200, 260))
    first, second = separated(video, kept)
    assert (first.name, second.name) == (f"{video.name}-1", f"{video.name}-2")
    assert np.array_equal(second.features.values, video.features.values[200:260])
    assert second.features.times[0] == 0 and second.features.frames[0] == 0
    gaps = interrupted(video, kept)
    assert gaps.features.valid.sum() == video.features.valid[30:120].sum() + 60
    assert np.isnan(gaps.features.values[120:200]).all()
    assert np.array_equal(gaps.features.values[200:260], second.features.values)
    assert [a.onset for a in gaps.annotations] == [
        a.onset + begin
        for piece, (begin, _) in zip((first, second), kept, strict=True)
        for a in piece.annotations
    ]
