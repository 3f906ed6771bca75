"""The data of a video on the page: frames, curves, the face's track, and sets of intervals."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import struct
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.errors import AumerError, UsageError
from aumer.evaluation.agreement import agreement
from aumer.files import atomic_write, exists
from aumer.motion.analysis import analyze_all
from aumer.pipeline import Spotter
from aumer.progress import Progress
from aumer.results import SpotResult
from aumer.results.annotations import (
    SUFFIX,
    Annotated,
    AnnotationFile,
    expression_of,
    in_frames,
    moments,
    of_result,
    path_for,
    read_any,
)
from aumer.results.displacement import by_group, distances
from aumer.results.exchange import Exchange, annotation_endings, bare
from aumer.results.formats import format_of, suffixes
from aumer.results.schema import Node, printable
from aumer.session import as_settings, cache_of
from aumer.types import FaceTrack, Features
from aumer.video.access import AnyFrame

#: Sections of a result's settings that belong to `Settings`.
_SECTIONS = ("face", "motion", "rules")


@dataclass(frozen=True)
class CoderLayer:
    """A set of intervals, from a result or a coder.

    Attributes:
        id: unique within its video.
        path: its file; None if it was spotted now.
        file: its content, with frames of this video.
        changed: whether the file is of another edition of the video; its frames are then those
            nearest to its times.
        revision: digest of the file when it was read.
        result: the result of the intervals; None for a coder's.
        features, track: of the result, if cached.
        alarms: false alarms per minute: available values and the present one; see
            `aumer.spotting.interface.SpotterModel.false_alarms`.
    """

    id: str
    path: Path | None
    file: AnnotationFile
    changed: bool = False
    revision: str | None = None
    result: SpotResult | None = None
    features: Features | None = None
    track: FaceTrack | None = None
    alarms: tuple[float, float, float] | None = None

    @property
    def name(self) -> str:
        """Its name on the page."""
        if self.result is not None:
            face = "" if self.result.face is None else f", face {self.result.face}"
            return f"{self.path.name if self.path else 'spotted now'}{face}"
        return self.file.coder or (self.path.name if self.path else "")


@dataclass
class Shown:
    """A video on the page.

    Attributes:
        path: the file or the folder of images.
        fps: the given frame rate; required for a folder.
        layers: in their order on the page; a coder starts from the first.
        notes: notes for the user.
    """

    path: Path
    frames: AnyFrame
    fps: float | None = None
    layers: list[CoderLayer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _curves: tuple[tuple[str, ...], bytes] | None = field(default=None, init=False, repr=False)
    _draft: AnnotationFile | None = field(default=None, init=False, repr=False)
    _saving: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def name(self) -> str:
        """The video's name."""
        return printable(self.path.name)

    def layer(self, id: str) -> CoderLayer:
        """The layer of this id; raises UsageError if there is none."""
        for one in self.layers:
            if one.id == id:
                return one
        raise UsageError(f"there is no set of intervals {id!r}")

    # -- sets of intervals -------------------------------------------------------------------------

    def add_result(self, result: SpotResult, path: Path | None) -> None:
        """Show a result."""
        file, changed = in_frames(of_result(result), self.frames.times, self.frames.content)
        results = sum(one.result is not None for one in self.layers)
        self.layers.insert(
            results,
            CoderLayer(
                f"r{len(self.layers)}",
                path,
                file,
                changed,
                result=result,
                features=result.features,
                track=result.track,
                alarms=None if result.features is None else _alarms(result),
            ),
        )

    def add_annotations(self, path: Path) -> None:
        """Show a coder's file.

        Raises:
            UsageError: it cannot be read.
        """
        file = read_any(path)
        file, changed = in_frames(file, self.frames.times, self.frames.content)
        self.layers.append(CoderLayer(f"a{len(self.layers)}", path, file, changed, _revision(path)))

    def use_kept(self, cache: Path | None) -> None:
        """Load motion and track of results from the cache, if they are there."""
        for k, layer in enumerate(self.layers):
            if layer.result is None or layer.features is not None or layer.changed:
                continue
            try:
                kept = _cached(self.path, layer.result, self.frames.content, cache)
            except AumerError:  # settings need parts that are not installed: it is shown without
                continue
            if kept is not None:
                features, track = kept
                alarms = _alarms(layer.result)
                self.layers[k] = replace(layer, features=features, track=track, alarms=alarms)

    # -- what the page asks for --------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """The video and its sets of intervals, as JSON values."""
        info = self.frames.info
        return {
            "name": self.name,
            "content": self.frames.content,
            "width": info.width,
            "height": info.height,
            "fps": info.fps,
            "count": len(self.frames),
            "playable": self.path.is_file() and self.fps is None,
            "notes": list(map(printable, self.notes)),
            "draft": self.draft(),
            "layers": [self._about(layer) for layer in self.layers],
        }

    def _about(self, layer: CoderLayer) -> dict[str, Any]:
        result = layer.result
        # One coder may have two files, and two coders the same name.
        alike = [one for one in self.layers if one.name == layer.name and one.id != layer.id]
        which = f" ({layer.path})" if alike and layer.path else ""
        return {
            "id": layer.id,
            "name": printable(f"{layer.name}{which}"),
            "source": "annotations" if result is None else "result",
            "file": printable(layer.path.name) if layer.path else None,
            "coder": layer.file.coder,
            "began": layer.file.source,
            "changed": layer.changed,
            "revision": layer.revision,
            "history": len(layer.file.history),
            "track": layer.track is not None,
            "alarms": layer.alarms,
            "notes": [] if result is None else list(result.notes),
            "summary": None if result is None else result.summary(),
            "expressions": [_for_page(e) for e in layer.file.expressions],
        }

    def data(self) -> bytes:
        """Times of all frames, and curves.

        The length of a JSON header (uint32), the header, padding to 8 bytes, then little-endian
        arrays at the offsets in the header. Made once: an hour of video takes a second.
        """
        results = tuple(one.id for one in self.layers if one.result is not None)
        if self._curves is None or self._curves[0] != results:
            self._curves = results, self._packed()
        return self._curves[1]

    def _packed(self) -> bytes:
        parts: list[bytes] = []
        size = 0

        def put(array: npt.NDArray[Any], kind: str) -> dict[str, int]:
            nonlocal size
            data = np.ascontiguousarray(array, kind).tobytes()
            data += b"\0" * (-len(data) % 8)
            parts.append(data)
            size += len(data)
            return {"at": size - len(data), "count": len(array)}

        head: dict[str, Any] = {"times": put(self.frames.times, "<f8"), "groups": []}
        for layer in self.layers:
            for title, unit, times, curves in _curves(layer):
                head["groups"].append(
                    {
                        "layer": layer.id,
                        "title": title,
                        "unit": unit,
                        "times": put(times, "<f8"),
                        "curves": [
                            {"name": name, "values": put(values, "<f4")}
                            for name, values in curves.items()
                        ],
                    }
                )
        text = json.dumps(head).encode()
        text += b" " * (-(len(text) + 4) % 8)
        return b"".join((struct.pack("<I", len(text)), text, *parts))

    def track(self, id: str, first: int, after: int) -> dict[str, Any]:
        """Box and landmarks of the analyzed frames from `first` to before `after`."""
        track = self.layer(id).track
        if track is None:
            raise UsageError(
                "the track of the face is not in the cache: open the video instead of the result"
            )
        rows = np.flatnonzero((track.frames >= first) & (track.frames < after) & track.valid)
        return {
            "frames": track.frames[rows].tolist(),
            "boxes": np.round(track.boxes[rows], 1).tolist(),
            "landmarks": [one.ravel().tolist() for one in np.round(track.landmarks[rows], 1)],
        }

    def box(self, id: str | None, frame: int) -> npt.NDArray[np.float32] | None:
        """The face's box in the nearest frame that has one."""
        tracks = [one.track for one in self.layers if one.track and id in (None, one.id)]
        if not tracks or not tracks[0].valid.any():
            return None
        rows = np.flatnonzero(tracks[0].valid)
        found: npt.NDArray[np.float32] = tracks[0].boxes[
            rows[np.abs(tracks[0].frames[rows] - frame).argmin()]
        ]
        return found

    def again(self, id: str, sensitivity: float) -> dict[str, Any]:
        """Spot again in a result's motion, with another sensitivity.

        Raises:
            UsageError: its motion is not cached, or the spotter has no such sensitivity.
        """
        layer = self.layer(id)
        if layer.features is None or layer.result is None:
            raise UsageError("the motion is not in the cache: open the video instead of the result")
        spotter = _again(layer.result, sensitivity)
        found = spotter(layer.features)
        file, _ = in_frames(of_result(found), self.frames.times, self.frames.content)
        return {
            "expressions": [_for_page(e) for e in file.expressions],
            "alarms": spotter.false_alarms,
        }

    def save(self, asked: Any) -> dict[str, Any]:
        """Save a coder's intervals beside the video.

        Args:
            asked: ``coder``, ``base`` (the set that the coder started from), ``revision`` (of the
                coder's file as the page knows it, or None), ``expressions``, and ``replace`` (the
                user confirmed that another's changes may be overwritten).

        Returns:
            The set of intervals, as in `about`; or ``{"conflict": why}``.

        Raises:
            UsageError: an invalid value, or the system refuses to write.
        """
        with self._saving:  # if two pages save at once, the second one is notified
            return self._save(asked)

    def _save(self, asked: Any) -> dict[str, Any]:
        root = Node(asked)
        coder = root["coder"].text().strip()
        path = path_for(self.path, coder)
        expressions = [expression_of(e, self.frames.times) for e in root["expressions"].elements()]
        before = self._begun(root["base"].text(), path)
        try:
            there = exists(path)
        except OSError as error:
            raise UsageError(f"cannot write {path.name}: {error.strerror or error}") from error
        if there and _revision(path) != root["revision"].value:
            if root["replace"].value is not True:
                other = AnnotationFile.load(path)
                last = f", last changed {other.history[-1].when}" if other.history else ""
                return {
                    "conflict": f"{path.name} was not loaded here, or was changed since: it holds "
                    f"{len(other.expressions)} expressions of {other.coder or 'somebody'}{last}"
                }
            # Lists the lost changes, too.
            before = in_frames(AnnotationFile.load(path), self.frames.times, self.frames.content)[0]
        saved = replace(
            before.changed(expressions, coder),
            video=self.path.name,
            content=self.frames.content,
            frames=len(self.frames),
            duration_s=float(self.frames.times[-1]),
        )
        saved.save(path, overwrite=True)
        made = CoderLayer(f"a{len(self.layers)}", path, saved, False, _revision(path))
        for k, one in enumerate(self.layers):
            if one.path == path:
                made = replace(made, id=one.id)
                self.layers[k] = made
                break
        else:
            self.layers.append(made)
        return self._about(made)

    # -- what is not saved yet ---------------------------------------------------------------------

    def keep_draft(self, asked: Any) -> dict[str, Any]:
        """Store a coder's unsaved changes in case the page, the browser or this program ends: in a
        file beside the video or, if it cannot be written, in memory.

        The browser's storage cannot be used: it belongs to a port, which differs the next time.

        Args:
            asked: ``coder``, ``base`` (the set that the coder started from), ``expressions`` (None
                to delete the draft).

        Returns:
            ``kept``: the file's name, if any.

        Raises:
            UsageError: something in it is wrong.
        """
        root = Node(asked)
        with self._saving:
            if root["expressions"].value is None:
                self._draft = None
                with contextlib.suppress(OSError):
                    self._drafted.unlink(missing_ok=True)
                return {"kept": None}
            found = [expression_of(e, self.frames.times) for e in root["expressions"].elements()]
            base = root["base"].text()
            self._draft = AnnotationFile(
                self.path.name,
                tuple(found),
                self.frames.content,
                len(self.frames),
                float(self.frames.times[-1]),
                root["coder"].text(),
                _origin(self.layer(base)) if base else "",
            )
            try:
                atomic_write(self._drafted, self._draft.to_json(), overwrite=True)
            except AumerError:  # saving would fail there, too, and report the error
                return {"kept": None}
            return {"kept": self._drafted.name}

    def draft(self) -> dict[str, Any] | None:
        """The unsaved changes, as the page shows them; None if there are none."""
        file, path = self._draft, self._drafted
        try:
            when = path.stat().st_mtime if path.is_file() else time.time()
            if file is None and path.is_file():
                file = AnnotationFile.load(path)
        except (AumerError, OSError):  # truncated by a crash: nothing useful is in it
            return None
        if file is None:
            return None
        file, changed = in_frames(file, self.frames.times, self.frames.content)
        base = next((one.id for one in self.layers if _origin(one) == file.source), "")
        return {
            "coder": file.coder,
            "when": when,
            "base": base,
            "changed": changed,
            "expressions": [_for_page(e) for e in file.expressions],
        }

    @property
    def _drafted(self) -> Path:
        return self.path.with_name(f"{self.path.name}{SUFFIX}~")

    def _begun(self, id: str, path: Path) -> AnnotationFile:
        """The reference for a coder's changes: their own file, or the set that they started
        from.
        """
        if not id:
            return AnnotationFile(self.path.name)
        base = self.layer(id)
        if base.path == path:
            return base.file
        return replace(base.file, source=_origin(base), history=(), coder="")

    def exported(self, asked: Any) -> tuple[str, str]:
        """A set of intervals in another format: the file's name, and its text.

        Args:
            asked: ``suffix``, ``expressions``.

        Raises:
            UsageError: no such format, or an invalid value.
        """
        root = Node(asked)
        suffix = root["suffix"].text()
        made = format_of(f"x{suffix}") if suffix in exports() else None  # a single text file
        if not isinstance(made, Exchange):
            root["suffix"].fail(f"one of {', '.join(exports())}")
        found = [expression_of(e, self.frames.times) for e in root["expressions"].elements()]
        return f"{Path(self.name).stem}{suffix}", made.text(self.name, found)

    def compared(self, first: str, second: str) -> dict[str, Any]:
        """Two sets of intervals: see `aumer.evaluation.agreement`."""
        a, b = (moments(self.layer(id).file.expressions) for id in (first, second))
        found = agreement(a, b, self.frames.times)
        return {name: one.to_dict() for name, one in found.items()}


def exports() -> tuple[str, ...]:
    """File endings of other formats that need only intervals."""
    return tuple(s for s in annotation_endings() if s != SUFFIX)


def gather(
    paths: Sequence[str | Path],
    *,
    fps: float | None,
    cache: Path | None,
    progress: Progress | None = None,
) -> list[Shown]:
    """The given videos, and the videos of given results and annotations.

    A video's result (``NAME.json`` or ``STEM.json``) and coders' annotations are searched beside
    it.

    Raises:
        UsageError: a file cannot be read or its video is not found.
        VideoError: a video cannot be read.
    """
    videos: dict[Path, list[tuple[Path, SpotResult | None]]] = {}
    given: list[tuple[Path, SpotResult | None, str]] = []
    for path in map(Path, paths):
        kind = _kind(path)
        if kind == "video":
            videos.setdefault(path, [])
        elif kind == "result":
            loaded = SpotResult.load(path)
            given.append((path, loaded, loaded.video.name))
        else:
            given.append((path, None, read_any(path).video))
    for path, result, name in given:
        videos.setdefault(_video_of(path, name, list(videos)), []).append((path, result))
    kept = None if cache is None else str(cache)
    shown = []
    for video, given_files in videos.items():
        files = given_files
        if all(result is None for _, result in files):
            files = [*_beside(video), *files]
        # Frames and times are taken from the result.
        rates = (_section(r, "input").get("fps") for _, r in files if r is not None)
        rate = next(rates, None) if fps is None else fps
        one = Shown(video, AnyFrame(video, fps=rate, cache=kept, progress=progress), rate)
        named = [path.resolve() for path, _ in files]
        for path, result in files:
            if result is None:
                one.add_annotations(path)
            else:
                one.add_result(result, path)
        for path in _coders(video):
            if path.resolve() in named:
                continue
            try:
                one.add_annotations(path)
            except UsageError as error:  # it was not requested: the others are still shown
                one.notes.append(f"{path.name} is left out: {error}")
        one.use_kept(cache)
        shown.append(one)
    return shown


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if not path.is_dir() and suffix in suffixes():
        made = format_of(path)
        if isinstance(made, Exchange):
            return "annotations"
        if suffix == ".json":
            return "result"
        raise UsageError(
            f"{path} cannot be shown: it holds no times that are read back. Give the video, a "
            f"result (.json), or annotations ({', '.join((SUFFIX, *exports()))})"
        )
    return "video"


def _video_of(path: Path, name: str, videos: Sequence[Path]) -> Path:
    """The video of a result or annotations: a given one, or one beside it."""
    stem = bare(path.name)
    found = [video for video in videos if (video.name == name if name else video.stem == stem)]
    beside = path.with_name(name) if name and Path(name).name == name else None
    if len(found) > 1 and beside in found:  # several with the same name in different folders
        found = [beside]
    if not found and beside is not None and exists(beside):
        found = [beside]
    if not found and len(videos) == 1:  # it may have been renamed
        found = list(videos)
    if not found and not name:
        found = [p for p in sorted(path.parent.glob(f"{_escaped(stem)}.*")) if _is_film(p)]
    if len(found) != 1:
        what = f"the video {name}" if name else "a video of its name"
        raise UsageError(f"{path}: {what} is not beside it; give the video as well")
    return found[0]


def _origin(layer: CoderLayer) -> str:
    """The name that a coder's file gives for the set that it started from."""
    return layer.path.name if layer.path else layer.name


def _is_film(path: Path) -> bool:
    from aumer.video import VIDEO_SUFFIXES

    return path.suffix.lower() in VIDEO_SUFFIXES


def _beside(video: Path) -> Iterable[tuple[Path, SpotResult | None]]:
    """The result beside a video, if it is of exactly this name."""
    for path in dict.fromkeys((video.with_name(f"{video.name}.json"), video.with_suffix(".json"))):
        if not path.is_file():
            continue
        try:
            result = SpotResult.load(path)
        except UsageError:  # some other JSON
            continue
        if result.video.name == video.name:
            return [(path, result)]
    return []


def _coders(video: Path) -> list[Path]:
    return sorted(video.parent.glob(f"{_escaped(video.name)}.*{SUFFIX}"))


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _revision(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _section(result: SpotResult, name: str) -> Mapping[str, Any]:
    """A section of a result's settings; empty if missing or invalid."""
    found = result.settings.get(name)
    return found if isinstance(found, Mapping) else {}


def _settings(result: SpotResult) -> Mapping[str, Any]:
    return {name: result.settings[name] for name in _SECTIONS if name in result.settings}


def _again(result: SpotResult, sensitivity: float | None) -> Spotter:
    """The spotter of a result with its settings and, if given, another sensitivity."""
    micro = _section(result, "kind").get("micro_max_s")
    settings = as_settings(_settings(result))
    settings = replace(settings, face=replace(settings.face, follow="largest"))
    return Spotter(
        model=result.spotter, settings=settings, sensitivity=sensitivity, micro_max_s=micro
    )


def _alarms(result: SpotResult) -> tuple[float, float, float] | None:
    try:
        spotter = _again(result, None)
        # Another network, graph or version would spot differently at the same sensitivity.
        return spotter.false_alarms if spotter.made(result) else None
    except AumerError:  # the plugin or the weights of the spotter are not available
        return None


def _cached(
    video: Path, result: SpotResult, content: str, cache: Path | None
) -> tuple[Features, FaceTrack] | None:
    """Motion and track of a result, if an earlier run cached them."""
    given = _section(result, "input")
    start, end, fps = (given.get(name) for name in ("start", "end", "fps"))
    if result.digests.get("content") != content:
        return None
    settings = as_settings(_settings(result))
    kept = cache_of(str(cache) if cache else None, content, settings, start, end)
    if kept is None or kept.whole() is None:
        return None
    found = analyze_all(video, settings, fps=fps, start=start, end=end, cache=kept)
    for one in found:
        if result.face in (None, one.track.number):
            motion = result.settings["motion"]
            return replace(one.features, motion=motion), one.track
    return None


def _curves(
    layer: CoderLayer,
) -> Iterable[tuple[str, str, npt.NDArray[np.float64], dict[str, npt.NDArray[Any]]]]:
    """Title, unit, times and named curves of each group."""
    features, result = layer.features, layer.result
    if features is not None and len(features):
        at = features.times + 1 / features.rate  # the motion of a row is complete at its end
        share = 100 / features.eye_distance
        each = distances(features) * share
        unit = "% of eye distance"
        yield "displacement", unit, at, by_group(each, features.rois)
        yield "displacement by ROI", unit, at, dict(zip(features.rois, each.T, strict=True))
    if result is not None and len(result.scores):
        scores = result.scores
        yield "scores", "", scores.times, {n: scores.channel(n) for n in scores.channels}
    if result is not None and (units := _unit_curves(result)):
        yield "AU probabilities", "", result.scores.times, units


def _unit_curves(result: SpotResult) -> dict[str, npt.NDArray[np.float32]]:
    """Probability of each action unit that was read, during each expression; NaN in between."""
    times = result.scores.times
    curves: dict[str, npt.NDArray[np.float32]] = {}
    for e in result.expressions:
        lasts = slice(*np.searchsorted(times, (e.onset_s - 1e-9, e.offset_s + 1e-9)))
        for unit in e.aus or ():
            curve = curves.setdefault(f"AU{unit.number}", np.full(len(times), np.nan, np.float32))
            curve[lasts] = unit.probability
    return dict(sorted(curves.items(), key=lambda one: int(one[0][2:])))


def _for_page(e: Annotated) -> dict[str, Any]:
    names = ("id", "kind", "onset", "apex", "offset", "label", "score", "aus", "comment")
    return {name: getattr(e, name) for name in (*names, "confirmed")}
