"""From a video to spotted expressions: the one place that wires the stages together."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from typing import Any, Protocol

from aumer import registry
from aumer.analysis import Progress, analyse, cache_key
from aumer.cache import FeatureCache, default_folder
from aumer.config import Settings, digest, load_settings
from aumer.errors import NoFaceError, UsageError
from aumer.graph import AUGraph
from aumer.results import SpotResult
from aumer.types import Expression, FaceTrack, Features, Scores
from aumer.video import Source, content_digest

#: Packages whose version can change the numbers.
_NUMERIC = ("aumer", "mediapipe", "numpy", "opencv-contrib-python", "scipy")

Hook = Callable[[str, Any], None]
SettingsLike = Settings | str | PathLike[str] | Mapping[str, Mapping[str, Any]] | None


class SpotterModel(Protocol):
    """The spotter seam: features in, scores on their time axis and expressions out.

    A registered spotter is a class with ``from_settings(settings)``; an object is used as it is.
    It may also have ``check(settings)``, which raises before anything is analysed where it could
    not read the features, and ``digests``, what its scores depend on, by name.
    """

    name: str

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]: ...


class Spotter:
    """Spots in any number of videos with one model and one set of settings.

    Args:
        model: a spotter's name, the path of a network's weights (``aumer train`` writes them), or
            an object that keeps the `SpotterModel` contract.
        graph: an `AUGraph`, or the name or path of one, for a network in place of the one that it
            was trained with; over the same ROIs.
        device: where a network runs, as torch names it.
        settings: a `Settings`, a TOML file, or ``{"section": {"key": value}}``; what it leaves out
            stands at the default.

    Raises:
        UsageError: unknown model, a graph for a model that uses none, settings that are unknown,
            mistyped or out of range, or that the network cannot work with.
        WeightsError: the weights are missing or damaged, or are for other ROIs.
    """

    def __init__(
        self,
        *,
        model: str | PathLike[str] | SpotterModel = "rules",
        graph: AUGraph | str | PathLike[str] | None = None,
        device: str = "cpu",
        settings: SettingsLike = None,
    ) -> None:
        self.settings = as_settings(settings)
        self._model: SpotterModel = _model(model, graph, device, self.settings)
        if hasattr(self._model, "check"):
            self._model.check(self.settings)

    def __call__(
        self,
        video: Source,
        *,
        start: float | None = None,
        end: float | None = None,
        fps: float | None = None,
        min_coverage: float = 0.1,
        cache: str | PathLike[str] | bool | None = None,
        progress: Progress | None = None,
        hook: Hook | None = None,
        workers: int | None = None,
    ) -> SpotResult:
        """Spot in one video; see `spot`."""
        if not 0.0 <= min_coverage <= 1.0:
            raise UsageError(f"min_coverage must lie in [0, 1]; found {min_coverage}")
        content = content_digest(video, fps=fps)
        analysis = analyse(
            video,
            self.settings,
            fps=fps,
            start=start,
            end=end,
            cache=self._cache(cache, content, start, end),
            progress=progress,
            workers=workers,
        )
        track, features = analysis.track, analysis.features
        _require_face(analysis.video.name, track, min_coverage)
        if hook:
            hook("track", track)
            hook("features", features)
        scores, expressions = self._model(features)
        if hook:
            hook("scores", scores)
        settings = self.settings.to_dict()
        return SpotResult(
            video=analysis.video,
            expressions=expressions,
            scores=scores,
            coverage=track.coverage,
            spotter=self._model.name,
            settings={**settings, "input": {"start": start, "end": end, "fps": fps}},
            digests={
                "settings": digest(settings),
                **({"content": content} if content else {}),
                **getattr(self._model, "digests", {}),
            },
            versions=versions(),
            features=features,
            track=track,
        )

    def _cache(
        self,
        cache: str | PathLike[str] | bool | None,
        content: str | None,
        start: float | None,
        end: float | None,
    ) -> FeatureCache | None:
        if cache is None or cache is False or content is None:
            return None
        folder = default_folder() if cache is True else cache
        return FeatureCache(folder, cache_key(content, self.settings, start, end))


def spot(
    video: Source,
    *,
    model: str | PathLike[str] | SpotterModel = "rules",
    graph: AUGraph | str | PathLike[str] | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    device: str = "cpu",
    min_coverage: float = 0.1,
    cache: str | PathLike[str] | bool | None = None,
    progress: Progress | None = None,
    hook: Hook | None = None,
    settings: SettingsLike = None,
    workers: int | None = None,
) -> SpotResult:
    """Find the micro- and macro-expressions in a video.

    Args:
        video: a file, a folder of frames, an array (T, H, W, 3) uint8 RGB, or a camera's index.
        model: a spotter's name, the path of a network's weights, or an object that keeps the
            `SpotterModel` contract.
        graph: an `AUGraph`, or the name or path of one, for a network in place of its own.
        start, end: seconds; frames with start <= time < end are analysed.
        fps: frames per second; needed for folders and arrays.
        device: where a network runs, as torch names it.
        min_coverage: least share of frames with a usable face, in [0, 1].
        cache: a folder where features are kept for the next run, or True for aumer's own; an
            interrupted run goes on where it stopped.
        progress: called with the number of frames decoded and the container's estimate, if any.
        hook: called with ("track" | "features" | "scores", value) as these are ready.
        settings: a `Settings`, a TOML file, or ``{"section": {"key": value}}``.
        workers: threads that measure motion; never changes a number.

    Raises:
        UsageError: an argument or a setting cannot be used.
        VideoError: the video cannot be read.
        NoFaceError: fewer than `min_coverage` of the frames hold a usable face.
        WeightsError: weights are missing, damaged, or for other ROIs than the graph's.
    """
    return Spotter(model=model, graph=graph, device=device, settings=settings)(
        video,
        start=start,
        end=end,
        fps=fps,
        min_coverage=min_coverage,
        cache=cache,
        progress=progress,
        hook=hook,
        workers=workers,
    )


def _model(
    model: str | PathLike[str] | SpotterModel,
    graph: AUGraph | str | PathLike[str] | None,
    device: str,
    settings: Settings,
) -> SpotterModel:
    if isinstance(model, PathLike) or (isinstance(model, str) and _names_a_file(model)):
        from aumer.spotting.network import NetSpotter

        prior = AUGraph.load(graph) if isinstance(graph, (str, PathLike)) else graph
        return NetSpotter.load(model, graph=prior, device=device)
    part = registry.resolve("spotter", model)
    if graph is not None:
        raise UsageError(
            f"the spotter {getattr(part, 'name', model)!r} uses no graph. Give graph= together "
            "with a network's weights, model='PATH.safetensors' (`aumer train` writes them)"
        )
    made: SpotterModel = part.from_settings(settings) if hasattr(part, "from_settings") else part
    return made


def _names_a_file(model: str) -> bool:
    return model.endswith(".safetensors") or "/" in model or os.sep in model


def as_settings(settings: SettingsLike) -> Settings:
    """Whatever a user may give as settings, as `Settings`."""
    if isinstance(settings, Settings):
        return settings
    if isinstance(settings, Mapping):
        return load_settings(overrides=settings)
    return load_settings(settings)


def versions() -> dict[str, str]:
    """Python's version and those of the packages that can change the numbers."""
    found = {"python": platform.python_version()}
    for name in _NUMERIC:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _require_face(name: str, track: FaceTrack, min_coverage: float) -> None:
    if track.coverage < min_coverage or not track.valid.any():
        raise NoFaceError(
            f"{name}: {int(track.valid.sum())} of {len(track)} analysed frames hold a usable face "
            f"({track.coverage:.0%}), and at least {min_coverage:.0%} and one frame are needed. "
            "Nothing is said about expressions. Check that a face is in view and large enough "
            "(face.min_eye_distance), choose a range with start and end, or lower min_coverage."
        )
