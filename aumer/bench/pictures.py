"""The faces of clips at onset, apex and offset, read again from the frames of their data sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Any

from aumer import strict
from aumer.config import FaceSettings, load_settings
from aumer.data.mismatch import DEFAULT, Mismatch
from aumer.errors import UsageError, VideoError
from aumer.face.trackers import Trackers
from aumer.files import StrPath
from aumer.results.crops import crop_face
from aumer.training.listing import Example, listed
from aumer.types import ImageArray
from aumer.video import open_video

#: Side of a face image, px; it is shown 76 px high.
_SIZE = 128
#: Faces at onset, apex and offset; `None` if the frame is unknown or missing.
Faces = tuple[ImageArray | None, ImageArray | None, ImageArray | None]


def faces_of_clips(
    roots: Mapping[str, StrPath],
    classes: Sequence[str],
    truths: Mapping[tuple[str, str], str],
    wanted: Collection[tuple[str, str]],
    frames: Mapping[tuple[str, str], tuple[int, int, int]],
    features: Mapping[str, Any],
    mismatch: Mismatch = DEFAULT,
) -> dict[tuple[str, str], Faces]:
    """Faces by subject and clip.

    Args:
        roots: of every data set of the run.
        classes, truths: those of the run; `truths` by subject and clip.
        wanted: the clips to show.
        frames: onset, apex and offset as used by the run, including found apexes; if the run did
            not store them, those of the table are shown.
        features: the run's settings of its inputs.
        mismatch: the run's policy.

    Raises:
        UsageError: the folders have no such data, or other clips than the run.
    """
    listing = listed(roots, classes, mismatch=mismatch)
    found = {(e.subject, e.name): e for e in listing.examples}
    for (subject, name), truth in truths.items():
        one = found.get((subject, name))
        label = None if one is None else listing.classes[one.label]
        if label != truth:
            raise UsageError(
                f"{', '.join(map(str, roots.values()))}: not the data of this run: clip {name!r} "
                f"of subject {subject} is {label or 'not there'}, where the run has {truth}"
            )
    face = strict.build(FaceSettings, features["face"], "the run's face") if features else None
    trackers = Trackers(face or load_settings().face)
    try:
        return {
            key: _faces(found[key], frames.get(key), trackers)
            for key in sorted(wanted)
            if key in found
        }
    finally:
        trackers.close()


def _faces(e: Example, frames: tuple[int, int, int] | None, trackers: Trackers) -> Faces:
    onset, apex, offset = frames or (e.onset, e.apex, e.offset)
    wanted = {frame for frame in (onset, apex, offset) if frame is not None}
    images: dict[int, ImageArray] = {}
    try:
        with (
            trackers.lent() as tracker,
            closing(open_video(e.path, fps=e.fps, keep=lambda k, _: k in wanted)) as video,
        ):
            for frame in video:
                tracker.reset()  # the frames are far apart: the last position is not useful
                seen = tracker(frame.image)
                box = None if seen is None else seen.box
                images[frame.index] = crop_face(frame.image, box, _SIZE)
                if len(images) == len(wanted):
                    break
    except VideoError:  # its row still shows the prediction
        return None, None, None
    return images.get(onset), None if apex is None else images.get(apex), images.get(offset)
