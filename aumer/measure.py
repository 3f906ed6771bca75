"""Motion of a face without spotting: `aumer.features`."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from aumer.errors import UsageError
from aumer.pipeline import Spotter
from aumer.progress import Progress
from aumer.results import SpotResult
from aumer.results.motion import Motion
from aumer.session import MIN_COVERAGE, RunOptions, SettingsLike
from aumer.spotting.interface import SpotterModel
from aumer.types import Expression, Features, Scores
from aumer.video import Source

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class _SpotsNothing(SpotterModel):
    """A placeholder for the spotter; all earlier stages run as for `aumer.spot`."""

    name = "none"

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        empty = np.empty((len(features), 0), np.float32)
        return Scores(empty, features.times, features.frames, features.valid, ()), ()


class _Options(RunOptions, total=False):
    """Arguments of `features` except the video and the face, for its overloads."""

    settings: SettingsLike


@overload
def features(
    video: Source,
    *,
    face: Literal["largest", "left", "right"] | int | None = ...,
    **options: Unpack[_Options],
) -> Motion: ...
@overload
def features(
    video: Source, *, face: Literal["all"], **options: Unpack[_Options]
) -> tuple[Motion, ...]: ...
@overload
def features(
    video: Source, *, face: str, **options: Unpack[_Options]
) -> Motion | tuple[Motion, ...]: ...
def features(
    video: Source,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    face: str | int | None = None,
    min_coverage: float = MIN_COVERAGE,
    cache: str | PathLike[str] | bool | None = None,
    progress: Progress | bool | None = None,
    settings: SettingsLike = None,
    workers: int | None = None,
) -> Motion | tuple[Motion, ...]:
    """Measure how a face moves: the `Features` that spotters read, and the face's track.

    docs/motion.md and benchmarks/results/motion-after.txt say how accurate the default lengths are,
    and how large the noise. Dense flow (settings motion.flow) reports about half of a movement.

    Args:
        video: a file, a folder of frames, an array (T, H, W, 3) uint8 RGB, or a camera's index.
        start, end, fps, face, min_coverage, cache, progress, settings, workers: as in `aumer.spot`;
            both use the same cached features.

    Returns:
        The motion; with face="all" a tuple with the motion of each face, by first appearance.

    Raises:
        UsageError: an argument or a setting cannot be used.
        VideoError: the video cannot be read.
        NoFaceError: fewer than `min_coverage` of the frames hold a usable face.
        WeightsError: weights of the face networks are missing.

    Example:
        >>> motion = aumer.features("interview.mp4")
        >>> motion.features.values.shape
        (59, 12, 2)
        >>> motion.displacement().shape
        (59, 12, 2)
    """
    if isinstance(video, Features):
        raise UsageError("these are features already; give the video that they come from")
    with Meter(face=face, settings=settings) as meter:
        motions = meter.each_face(
            video,
            start=start,
            end=end,
            fps=fps,
            min_coverage=min_coverage,
            cache=cache,
            progress=progress,
            workers=workers,
        )
    return motions if face == "all" else motions[0]


class Meter:
    """Measures the motion in any number of videos with one set of settings; `features` measures
    one.

    Args:
        face, settings: see `features`.

    Raises:
        UsageError: the settings cannot be used, or request all faces although `face` does not.
    """

    def __init__(self, *, face: str | int | None = None, settings: SettingsLike = None) -> None:
        self._spotter = Spotter(model=_SpotsNothing(), face=face, settings=settings)
        if self._spotter.settings.face.follow == "all" and face != "all":
            raise UsageError(
                "the settings say face.follow = 'all', which gives motion for each face; one is "
                "given here",
                fixes=("use `aumer.features(..., face='all')`", "say which face"),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release detectors and landmarkers."""
        self._spotter.close()

    def each_face(self, video: Source, **options: Unpack[RunOptions]) -> tuple[Motion, ...]:
        """The motion of each face that the settings select; options and errors as `features`."""
        return tuple(map(_motion, self._spotter.each_face(video, **options)))


def _motion(result: SpotResult) -> Motion:
    assert result.features is not None
    assert result.track is not None
    return Motion(
        video=result.video,
        features=result.features,
        track=result.track,
        settings=result.settings,
        digests=result.digests,
        versions=result.versions,
        face=result.face,
        notes=result.notes,
    )
