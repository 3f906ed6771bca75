"""Heads that turn into a profile, rendered from real faces: rows end where landmarks are invented.

By the default face stage, from the detector on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from aumer.config import load_settings
from aumer.face.models import BlazeFaceDetector, MeshLandmarker
from aumer.face.track import FaceTracker
from aumer.testing.turned_head import turned_head
from aumer.video import open_video

CLIPS = ("still_neutral.mp4", "fex_smile_still.mov", "webcam_mixed.mp4")


@pytest.mark.parametrize("name", CLIPS)
def test_a_head_that_turns_away_is_not_followed_into_its_profile(
    name: str, shared_data: Callable[[str], Path]
) -> None:
    """Led there frame by frame, as in a real turn, a second at 90 degrees, and back."""
    places = [shared_data(folder) / name for folder in ("videos", "videos_more")]
    path = next(place for place in places if place.is_file())
    with closing(open_video(path, keep=lambda index, _: index == 55)) as video:
        image = next(iter(video)).image
    detector, mesh = BlazeFaceDetector(), MeshLandmarker()
    boxes = detector(image)
    points = mesh(image, boxes[np.argmax(boxes[:, 2] - boxes[:, 0]), :4])
    assert points is not None
    yaws = [*range(0, 90, 3), *[90] * 30, *range(87, -1, -3), *[0] * 5]
    tracker = FaceTracker.from_settings(load_settings().face)
    seen = []
    for k, yaw in enumerate(yaws):
        found = tracker(turned_head(image, points.astype(np.float64), yaw), k / 30)
        seen.append(found is not None)
    assert all(seen[:10])  # to 27 degrees
    assert not any(seen[40:60])  # noticed within the third of a second between two looks
    assert all(seen[-10:])
