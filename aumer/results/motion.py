"""`Motion`: the measured motion of one face in one video, its tables, files and films.

Files are self-contained: names of ROIs, rows per second, unit, settings and their digest, and the
version of aumer. Row i is the motion from its time to 1 / rate later; the displacement of row i is
the sum of the rows from the begin of its run (an unbroken sequence of valid rows) to row i. So a
displacement is the position of an ROI at the end of the row relative to the begin of the run.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer.arguments import require_path
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath, atomic_write
from aumer.foreign import foreign, read_arrays, shown, write_arrays
from aumer.results.formats import check_suffix
from aumer.results.schema import printable
from aumer.tables.cells import csv_line
from aumer.types import FaceTrack, Features, FloatArray, VideoInfo, runs

if TYPE_CHECKING:
    import pandas as pd

    from aumer.progress import Progress
    from aumer.video import Source

#: Units of length.
UNITS = {
    "eye": "distances between the outer eye corners",
    "px": "pixels of the aligned face crop",
}
#: Suffixes for `Motion.save`.
MOTION_SUFFIXES = (".npz", ".csv")
#: Format name and version of .npz files; the version increases when the arrays change.
FORMAT, FORMAT_VERSION = "aumer.features", 2

#: Columns with lengths; the unit is appended to their names.
_LENGTHS = ("dx", "dy", "displacement_x", "displacement_y")
#: Rows of features that are converted to text at a time.
_CHUNK = 256

Table = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, eq=False, repr=False)
class Motion:
    """The motion of the ROIs of one face in a video, and everything needed to repeat the
    measurement.

    Attributes:
        video: properties of the source.
        features: the motion, as the spotters read it.
        track: the face: boxes and landmarks in every analyzed frame.
        settings: the settings of the run, nested.
        digests: digests of the ``settings`` and, except for a camera, of the ``content``.
        versions: of aumer and of the packages that can change results.
        face: the face's number by first appearance, if all faces or a number were requested; else
            None.
        notes: warnings of the run and other remarks: several faces, a rotated picture.

    Example:
        >>> motion = aumer.features("interview.mp4")
        >>> motion
        Motion interview.mp4: 12 ROIs, 30 rows a second; 59 of 59 rows hold motion; coverage 100 %
        >>> motion.displacement(unit="px").shape  # (T, R, 2)
        (59, 12, 2)
    """

    video: VideoInfo
    features: Features
    track: FaceTrack
    settings: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    face: int | None = None
    notes: tuple[str, ...] = ()

    def displacement(self, unit: str = "eye") -> npt.NDArray[np.float64]:
        """Position of each ROI at the end of each row, relative to the begin of its run.

        Args:
            unit: "eye" (distances between the outer eye corners, independent of the crop) or "px"
                (pixels of the aligned face crop).

        Returns:
            (T, R, 2) float64, x to the right and y down, NaN in invalid rows.

        Raises:
            UsageError: unknown unit.
        """
        table = motion_table(self.features, unit)
        return np.stack([table["displacement_x"], table["displacement_y"]], axis=-1)

    def to_dataframe(self, unit: str = "eye") -> pd.DataFrame:
        """A row for each ROI of each row of the features.

        Columns: video (string); face (Int64: its number, if several are followed); time_s (float64,
        begin of the row); frame (int64, 0-based, the nearest); valid (bool); roi (string); and dx,
        dy, displacement_x, displacement_y (float64, NaN where not valid), each with the unit added
        to its name: ``dx_eye`` or ``dx_px``; confidence (float64 in [0, 1], 0 where not valid).

        Args:
            unit: as in `displacement`.

        Raises:
            UsageError: unknown unit.
        """
        import pandas as pd

        features, table = self.features, motion_table(self.features, unit)
        rows, rois = len(features), len(features.rois)
        count = rows * rois
        columns: dict[str, Any] = {
            "video": pd.Series([printable(self.video.name)] * count, dtype="string"),
            "face": pd.Series([self.face] * count, dtype="Int64"),
            "time_s": np.repeat(features.times, rois),
            "frame": np.repeat(features.frames, rois),
            "valid": np.repeat(features.valid, rois),
            "roi": pd.Series(list(features.rois) * rows, dtype="string"),
            **{_titled(name, unit): values.ravel() for name, values in table.items()},
        }
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame

    def csv_chunks(self, unit: str = "eye", *, header: bool = True) -> Iterator[str]:
        """The table of `to_dataframe` as CSV, in pieces of complete lines.

        Times are written exactly and lengths with the digits of a float32; ``valid`` is 1 or 0, and
        lengths of invalid rows are empty.

        Raises:
            UsageError: unknown unit.
        """
        features, table = self.features, motion_table(self.features, unit)
        rois = len(features.rois)
        (name,), face = csv_line([printable(self.video.name)]), self.face
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if header:
            columns = ("video", "face", "time_s", "frame", "valid", "roi")
            writer.writerow([*columns, *(_titled(column, unit) for column in table)])
        for begin in range(0, len(features), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            heads = zip(
                np.repeat(features.times[part], rois).tolist(),
                np.repeat(features.frames[part], rois).tolist(),
                np.repeat(features.valid[part].astype(int), rois).tolist(),
                list(features.rois) * len(features.times[part]),
                strict=True,
            )
            numbers = zip(*(_texts(values[part]) for values in table.values()), strict=True)
            writer.writerows(
                (name, face, *head, *cells) for head, cells in zip(heads, numbers, strict=True)
            )
            yield text.getvalue()
            text.seek(0)
            text.truncate()
        yield text.getvalue()  # the header, if there are no rows

    def save(self, path: StrPath, *, unit: str = "eye", overwrite: bool = False) -> None:
        """Write the motion in the format of the suffix, complete or not at all.

        Args:
            path: ends in .npz (arrays (T, R) with metadata, which `load_features` reads back) or
                .csv (the table of `to_dataframe`).
            unit: of lengths, as in `displacement`.
            overwrite: replace an existing file.

        Raises:
            UsageError: unknown suffix or unit, an existing file without `overwrite`, a missing
                folder, or the system refuses to write.
        """
        _check_unit(unit)
        if check_suffix(path, MOTION_SUFFIXES) == ".csv":

            def save(file: IO[bytes]) -> None:
                for chunk in self.csv_chunks(unit):
                    file.write(chunk.encode())
        else:

            def save(file: IO[bytes]) -> None:
                write_arrays(file, self._arrays(unit))

        atomic_write(path, save, overwrite=overwrite)

    def film(
        self,
        source: Source,
        *,
        crop: StrPath | None = None,
        flow: StrPath | None = None,
        fps: float | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Write films of the aligned face and of the flow.

        See `aumer.results.motion_film.write_films`.
        """
        from aumer.results.motion_film import write_films

        write_films(
            self,
            source,
            crop=crop,
            flow=flow,
            fps=fps,
            overwrite=overwrite,
            progress=progress,
        )

    def summary(self) -> str:
        """One line: video, number of measured rows, and coverage."""
        coverage = 100 * float(self.features.valid.mean()) if len(self.features) else 0.0
        rows = f"{int(self.features.valid.sum())} of {len(self.features)} rows hold motion"
        return (
            f"{self.title()}: {len(self.features.rois)} ROIs, {self.features.rate:g} rows a second;"
            f" {rows}; coverage {coverage:.4g} %"
        )

    def title(self) -> str:
        """The video's name, and the face's number if there may be several."""
        name = shown(printable(self.video.name))
        return name if self.face is None else f"{name}, face {self.face}"

    def __repr__(self) -> str:
        return f"Motion {self.summary()}"

    def _arrays(self, unit: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        from aumer.motion.analysis import FEATURES_VERSION

        features = self.features
        yield from {
            "format": np.array(FORMAT),
            "version": np.array(FORMAT_VERSION),
            "motion_version": np.array(FEATURES_VERSION),
            "aumer": np.array(self.versions.get("aumer", "")),
            "video": np.array(printable(self.video.name)),
            "face": np.array(self.track.number),
            "settings": np.array(json.dumps(self.settings, allow_nan=False)),
            "settings_digest": np.array(self.digests.get("settings", "")),
            "rois": np.array(features.rois),
            "rate": np.array(features.rate),
            "eye_distance": np.array(features.eye_distance),
            "unit": np.array(unit),
            "times": features.times,
            "frames": features.frames,
            "valid": features.valid,
            "eyelids": features.eyelids,
            "head": features.head,
        }.items()
        yield from _columns(features, unit)  # one at a time: ten hours would have half a gigabyte


def motion_table(features: Features, unit: str = "eye") -> Table:
    """The values of every row and ROI, by name: ``dx``, ``dy``, ``displacement_x``,
    ``displacement_y``, and ``confidence``.

    A float64 in this unit preserves the measured float32, so the conversion can be reversed.

    Args:
        unit: one of `UNITS`.

    Returns:
        (T, R) float64 each, x to the right and y down, NaN in invalid rows; there the confidence is
        0.

    Raises:
        UsageError: unknown unit.
    """
    return dict(_columns(features, unit))


def _columns(features: Features, unit: str) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """The items of `motion_table`, each computed as it is asked for."""
    px = _px(features, unit)

    def steps(axis: int) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = features.values[..., axis].astype(np.float64)
        found /= px
        return found

    def path(axis: int) -> npt.NDArray[np.float64]:
        found = steps(axis)
        for begin, end in spans:
            np.cumsum(found[begin:end], axis=0, out=found[begin:end])
        found[~features.valid] = np.nan
        return found

    spans = runs(features.valid)
    for kind, name in zip((steps, steps, path, path), _LENGTHS, strict=True):
        yield name, kind(int(name.endswith("y")))
    yield "confidence", features.confidence.astype(np.float64)


def load_features(path: StrPath) -> Features:
    """The `Features` in an .npz file of `Motion.save` (`aumer features`), bit for bit.

    Raises:
        UsageError: the file cannot be read, is not such a file, or holds motion of a version of
            aumer with other results.

    Example:
        >>> aumer.features("interview.mp4").save("interview.npz")
        >>> features = aumer.load_features("interview.npz")
        >>> aumer.spot(features).expressions[0].kind
        'macro'
    """
    require_path("path", path)
    arrays = _read(path)
    _check_version(path, arrays)
    with foreign(path, "features", advice=f"It is damaged. {_anew(path)}"):
        eye_distance = float(arrays["eye_distance"])
        px = {"eye": eye_distance, "px": 1.0}[str(arrays["unit"])]
        values: FloatArray = np.empty((*arrays["dx"].shape, 2), np.float32)
        for axis, name in enumerate(("dx", "dy")):
            values[..., axis] = arrays.pop(name) * px
        return Features(
            values=values,
            times=arrays["times"],
            frames=arrays["frames"],
            valid=arrays["valid"],
            rois=tuple(map(str, arrays["rois"])),
            rate=float(arrays["rate"]),
            eye_distance=eye_distance,
            confidence=arrays["confidence"].astype(np.float32),
            motion=json.loads(str(arrays["settings"])).get("motion"),
            # Older files do not have these arrays.
            **{name: arrays[name] for name in ("eyelids", "head") if name in arrays},
        )


def _read(path: StrPath) -> dict[str, npt.NDArray[Any]]:
    return read_arrays(path, "an .npz file of aumer's features", advice=_anew(path))


def _check_version(path: StrPath, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    from aumer.motion.analysis import FEATURES_VERSION

    if str(arrays.get("format")) != FORMAT:
        raise UsageError(
            f"{path} does not hold aumer's features: its 'format' is "
            f"{str(arrays['format']) if 'format' in arrays else 'missing'!r}, and {FORMAT!r} is "
            f"needed. {_anew(path)}"
        )
    for name, wanted in (("version", FORMAT_VERSION), ("motion_version", FEATURES_VERSION)):
        found = arrays.get(name)
        if found is not None and not (found.shape == () and found.dtype.kind in "iu"):
            raise UsageError(f"{path} is damaged: its {name} is not a whole number. {_anew(path)}")
        if found is None or int(found) != wanted:
            raise UsageError(
                f"{path} was written by another aumer ({arrays.get('aumer', 'unknown')}): its "
                f"{name} is {'missing' if found is None else int(found)}, and this one reads "
                f"{wanted}; features of two versions must not be mixed. Measure "
                f"{arrays.get('video', 'the video')} again, with the same options: "
                f"`aumer features VIDEO -o {path} --overwrite`"
            )


def _anew(path: StrPath) -> str:
    return f"`aumer features VIDEO -o {Path(path).with_suffix('.npz')}` writes one"


def _check_unit(unit: str) -> None:
    if unit not in UNITS:
        allowed = ", ".join(f"{name!r} ({meaning})" for name, meaning in UNITS.items())
        raise UsageError(
            f"the unit must be one of {allowed}; found {unit!r}.{did_you_mean(unit, UNITS)}"
        )


def _px(features: Features, unit: str) -> float:
    """Pixels of the crop per unit."""
    _check_unit(unit)
    return 1.0 if unit == "px" else features.eye_distance


def _titled(column: str, unit: str) -> str:
    return f"{column}_{unit}" if column in _LENGTHS else column


def _texts(values: npt.NDArray[np.float64]) -> list[str]:
    """The shortest decimals that round-trip as float32, in memory order; NaN is empty."""
    short = values.astype(np.float32).astype("U32").ravel()
    found: list[str] = np.where(np.isnan(values.ravel()), "", short).tolist()
    return found
