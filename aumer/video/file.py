"""A video file as a source of frames, and why a file cannot be read."""

from __future__ import annotations

import logging
import shlex
from array import array
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aumer.errors import VideoError
from aumer.files import TemporaryFolder
from aumer.types import ImageArray, VideoInfo
from aumer.video.capture import printable, quiet, readable, retrieved, sane_fps
from aumer.video.clock import PART_S, Clock
from aumer.video.container import Track, has_index, mp4_index, read_container
from aumer.video.seek import WALK, Decoded, Jumps, can_seek, picture_digest

logger = logging.getLogger("aumer")

#: A damaged packet makes one `grab` fail while the frames after it still decode; at the end of
#: the file every `grab` fails, at a microsecond each.
_TRIES = 256
#: A smaller delay of the picture after the sound is ignored: it comes from coding and is not
#: visible.
_DELAY_S = 0.1
#: Shortest gap of a regular video that is reported; shorter ones are single dropped frames.
_HOLE_S = 0.2
#: If more than this of a file's declared duration is missing, its end was not reached.
_REST_S = 0.5
#: More images than are decoded ahead of whoever reads them.
_AHEAD = 1024
#: Codecs whose pictures are cropped from larger ones, and how many equal pictures show that
#: cropping failed.
_CROPPING = frozenset(("h264", "avc1", "x264", "hevc", "hvc1", "hev1", "theo", "vp30", "vp6f"))
_SAME = 30
#: FFmpeg draws files of these names as pictures of letters (*.txt and others by a codec with a
#: name).
_DRAWN = frozenset((".idf", ".adf", ".bin", ".xb", ".cdg"))
#: Pixels with an aspect ratio beyond this are made square. Smaller differences are below those
#: between faces, and resampling loses sharpness, which motion estimation needs.
_LEAST_ASPECT, _MOST_ASPECT = 1.1, 4.0


class FileSource:
    """A video file: frames with the file's own times, or ``index / fps`` if `fps` is given.

    Times are those of a player: a picture that begins after the sound starts late.

    Args:
        known: of the same content: these first frames are not decoded, unless the image of one is
            requested.

    Attributes:
        marks: decoder time (ms) of every frame that `frames` has come to.
    """

    #: Tries before the declared end of a file, since a gap may be long.
    _TRIES_IN_A_HOLE = 1 << 16

    def __init__(self, path: Path, fps: float | None, known: Decoded | None = None) -> None:
        self._path, self._fps = path, fps
        self._known = known or Decoded(np.empty(0), "")
        self.marks = array("d")
        self._at = 0
        self._watch = _FreezeWatch(printable(path.name), self._known.still)
        self._stills: dict[int, tuple[float, float, float]] = {}
        self._declared_s: float | None = None
        with readable(str(path)):
            self._container = read_container(path)
        self._capture, self._link = _open_capture(path)
        try:
            _first_frame(path, self._capture)
            image = retrieved(self._capture, str(path))
            _check_odd(path, self._capture, image)
            self._square = _square_size(self._capture, image, printable(path.name))
            width, height = self._square or image.shape[1::-1]
        except BaseException:
            self.close()
            raise
        declared = self._capture.get(cv2.CAP_PROP_FPS)
        self._own_fps = sane_fps(declared) or (
            declared if _is_bare(path) and 0 < declared < 1e5 else None
        )
        # Without an index the count is invented, and may be hugely negative.
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        estimate = int(count) if 0 < count < 1e9 else None
        self._declared_s = self._length_of(estimate)
        if estimate and self._own_fps and self._declared_s:
            alone = round(self._declared_s * self._own_fps)
            estimate = alone if len(self._tracks) > 1 and estimate > 1.2 * alone else estimate
        rate = fps or self._own_fps
        self.info = VideoInfo(printable(path.name), "file", width, height, rate, estimate)
        self._delay = 0.0
        if fps is None and self._container and self._container.delay_s >= _DELAY_S:
            self._delay = self._container.delay_s
            logger.info(
                "%s: its picture begins %.2f s after its sound; times are those a player shows",
                self.info.name,
                self._delay,
            )
        self._say_tracks()

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        clock = Clock(1 / (self._own_fps or 25.0))
        index, time_s, more = 0, 0.0, True
        known = len(self._known.marks)
        steps, joints = array("d"), set[int]()
        while more:
            before, parts = clock.time, len(clock.parts)
            self.marks.append(self._known.marks[index] if index < known else self.position_ms)
            own_time = clock.at(self.marks[-1] / 1000)
            if index:
                steps.append(own_time - before)
            if len(clock.parts) > parts:
                joints.add(index - 1)
            time_s = self._delay + own_time if self._fps is None else index / self._fps
            yield time_s, partial(self._image, index, time_s)
            index += 1
            if index < known:
                continue
            self._go(index - 1)
            more = self._grab(own_time + clock.parted_s)
            self._at = index
        if self._fps is None:
            self._say_filled(clock.filled, index)
            self._say_parts(clock)
        if not clock.filled:
            self._say_holes(np.frombuffer(steps), joints)
        self._warn_if_short(index, clock.time + clock.parted_s)

    def _grab(self, time_s: float) -> bool:
        if any(self._capture.grab() for _ in range(_TRIES)):
            return True
        if self._declared_s is None or time_s > self._declared_s - _REST_S:
            return False
        return any(self._capture.grab() for _ in range(self._TRIES_IN_A_HOLE))

    def _image(self, index: int, time_s: float) -> ImageArray:
        self._go(index)
        image = retrieved(self._capture, str(self._path))
        if index == len(self._known.marks) - 1 and self._known.still:
            self._watch.go_on(image, self._known.still)
        else:
            self._watch.see(time_s, image)
        self._stills[index] = self._watch.state
        if len(self._stills) > _AHEAD:
            del self._stills[next(iter(self._stills))]
        return self._squared(image)

    def decoded(self, last: int, image: ImageArray, since: int) -> Decoded:
        """See `aumer.video.reader.VideoReader.decoded`."""
        return Decoded(
            np.array(self.marks[since : last + 1]), picture_digest(image), self._stills.get(last)
        )

    def _go(self, index: int) -> None:
        """Decode up to a frame; the last known one is reached by a seek, if that is certain."""
        if index == self._at:
            return
        is_far = not 0 <= index - self._at <= WALK
        if is_far and index == len(self._known.marks) - 1 and self._can_seek():
            there = Jumps(self, self._known.marks).to(index, index)
            if there and picture_digest(self.here()) == self._known.picture:
                self._at = index
                return
            self._close_capture()
            self._capture, self._link = _open_capture(self._path)
            self._at = -1
        while self._at < index:
            # There are as many frames, however many in between do not decode.
            if not any(self._capture.grab() for _ in range(self._TRIES_IN_A_HOLE)):
                raise VideoError(f"{self.info.name} ends before frame {index}: it has changed")
            self._at += 1

    def _can_seek(self) -> bool:
        # Without an index a copy of the known frames further on could be taken for them: only
        # their own times are known.
        return can_seek(self._known.marks) and has_index(self._path)

    def _squared(self, image: ImageArray) -> ImageArray:
        if self._square is not None:
            image = np.asarray(cv2.resize(image, self._square, interpolation=cv2.INTER_CUBIC))
        return image

    # `aumer.video.seek.Seekable`

    @property
    def position_ms(self) -> float:
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC))

    def jump(self, position_ms: float) -> bool:
        with quiet():
            self._capture.set(cv2.CAP_PROP_POS_MSEC, position_ms)
            return self._capture.grab()

    def step(self) -> bool:
        return any(self._capture.grab() for _ in range(_TRIES))

    def here(self) -> ImageArray:
        """The current frame, as in `frames`."""
        return self._squared(retrieved(self._capture, str(self._path)))

    @property
    def _tracks(self) -> tuple[Track, ...]:
        return self._container.tracks if self._container else ()

    def _length_of(self, estimate: int | None) -> float | None:
        """Seconds of picture that the file declares, if plausible."""
        if self._container and self._container.pictures:
            length = self._container.pictures[0].length_s
            # A Matroska file's count is computed from the duration of its longest track.
            if length is not None or (len(self._tracks) > 1 and not self._container.cut_short):
                return length
        return estimate / self._own_fps if estimate and self._own_fps else None

    def _say_tracks(self) -> None:
        pictures = self._container.pictures if self._container else ()
        if len(pictures) > 1:
            others = ", ".join(f"{t.width}x{t.height}" for t in pictures[1:])
            logger.warning(
                "%s holds %d video tracks, and the first (%dx%d) is read, the one that OpenCV can "
                "read; the others are %s. Take one out with "
                "ffmpeg -i %s -map 0:v:1 -c copy second%s (0:v:2 is the third)",
                self.info.name,
                len(pictures),
                pictures[0].width,
                pictures[0].height,
                others,
                _in_shell(self.info.name),
                self._path.suffix,
            )

    def _say_filled(self, filled: int, frames: int) -> None:
        if filled and filled == frames - 1 and _is_bare(self._path):
            logger.warning(
                "%s lacks the times of %d of %d frames: it is read at %.6g frames a second, "
                "which it declares or FFmpeg assumes; if that is wrong, give `fps`",
                self.info.name,
                filled,
                frames,
                self._own_fps or 25.0,
            )
        elif filled:
            logger.info(
                "%s: the times of %d of %d frames are missing or out of order; they were filled in "
                "from the frame rate",
                self.info.name,
                filled,
                frames,
            )

    def _say_parts(self, clock: Clock) -> None:
        if clock.parts:
            missing = clock.parted_s + PART_S * len(clock.parts)
            logger.warning(
                "%s: %.4g hours without frames lie in %d gaps, the first at %.2f s. What "
                "follows a gap is timed as if it came %g s later, and no motion is measured "
                "across gaps",
                self.info.name,
                missing / 3600,
                len(clock.parts),
                self._delay + clock.parts[0],
                PART_S,
            )

    def _say_holes(self, steps: npt.NDArray[np.float64], joints: Container[int]) -> None:
        """Warn of missing pictures in an otherwise regular video; joints of its parts have their
        own warning.
        """
        if len(steps) < 10:
            return
        usual = float(np.median(steps))
        if (np.abs(steps - usual) < 0.25 * usual + 1e-3).mean() < 0.95:
            return  # of variable rate
        long = np.flatnonzero(steps > max(_HOLE_S, 2.5 * usual))
        holes = np.array([k for k in long if k not in joints], np.intp)
        if len(holes):
            missing = float(steps[holes].sum() - len(holes) * usual)
            logger.warning(
                "%s: %.2f s of frames are missing, in %d gaps, the first at %.2f s; the "
                "file is damaged there, or its recording stalled. No motion is measured "
                "across gaps",
                self.info.name,
                missing,
                len(holes),
                self._delay + float(steps[: holes[0]].sum()),
            )

    def _warn_if_short(self, frames: int, last_time: float) -> None:
        # Counts alone give false alarms: a Matroska file of variable rate says 237 for 150 complete
        # frames. Its duration in seconds is right, so a file is short only if that is short, too.
        estimate, rate, declared = self.info.frames_estimate, self._own_fps, self._declared_s
        if estimate is None or rate is None or declared is None:
            return
        length = last_time + 1 / rate
        if frames < 0.9 * estimate and length < 0.9 * declared:
            logger.warning(
                "%s: %d frames (%.2f s) decoded of about %d (%.2f s) that the file "
                "declares; it may be cut short or damaged, and then the rest is missing "
                "from the result",
                self.info.name,
                frames,
                length,
                estimate,
                declared,
            )

    def close(self) -> None:
        self._close_capture()

    def _close_capture(self) -> None:
        self._capture.release()
        if self._link is not None:
            self._link.close()


class _FreezeWatch:
    """Warns once when the picture was exactly the same for a second.

    OpenCV's FFmpeg cannot follow a change of picture size within a video (video calls that adapt to
    their network): it reports success and repeats the last image of the old size.
    """

    def __init__(self, name: str, before: tuple[float, float, float] | None = None) -> None:
        self._name = name
        self._sample: ImageArray | None = None
        self._since, self._repeats = 0.0, 0
        self._warned = before is not None and bool(before[2])

    @property
    def state(self) -> tuple[float, float, float]:
        """See `Decoded.still`."""
        return self._since, float(self._repeats), float(self._warned)

    def go_on(self, image: ImageArray, state: tuple[float, float, float]) -> None:
        """Be as after this image in an earlier pass."""
        self._sample = image[::8, ::8].copy()
        self._since, self._repeats, self._warned = state[0], int(state[1]), bool(state[2])

    def see(self, time_s: float, image: ImageArray) -> None:
        sample = image[::8, ::8]
        if self._sample is None or not np.array_equal(sample, self._sample):
            self._sample, self._since, self._repeats = sample.copy(), time_s, 0
            return
        self._repeats += 1
        if self._repeats >= 10 and time_s - self._since >= 1 and not self._warned:
            self._warned = True
            logger.warning(
                "%s: the picture freezes at %.2f s. If the video does not, its size changes there, "
                "which OpenCV cannot follow: write it at one size first, for instance with "
                "ffmpeg -i %s -vf scale=1280:720 one_size.mp4",
                self._name,
                self._since,
                _in_shell(self._name),
            )


def _in_shell(name: str) -> str:
    """A file's name quoted for a command line."""
    return shlex.quote(printable(name))


def _open_capture(path: Path) -> tuple[cv2.VideoCapture, TemporaryFolder | None]:
    """The capture, and an object that must live as long as it is used."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((b"#EXTM3U", b"ffconcat", b"v=0")):
        raise VideoError(f"{path} is a playlist; give the video it names")
    # An absolute path, since FFmpeg takes "a:b.mp4" for a protocol.
    name, link = str(path.absolute()), None
    try:
        name.encode()
    except UnicodeEncodeError:  # OpenCV does not accept a name that is not UTF-8
        link = TemporaryFolder()
        name = str(link.path / ("video" + printable(path.suffix)))
        Path(name).symlink_to(path.absolute())
    with quiet():
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        if link is not None:
            link.close()
        raise VideoError(f"{printable(str(path))}: {_why_unreadable(path, head)}")
    codec = _codec(capture)
    if codec == "ansi" or (codec == "\0\0\0\0" and path.suffix.lower() in _DRAWN):
        capture.release()
        if link is not None:
            link.close()
        raise VideoError(
            f"{path} is not a video: FFmpeg reads files of this suffix as text, and draws the text"
        )
    # Off by default: phones store portrait video rotated by 90 degrees.
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture, link


def _first_frame(path: Path, capture: cv2.VideoCapture) -> None:
    if not any(capture.grab() for _ in range(_TRIES)):
        raise VideoError(
            f"{path}: no frame decodes; the file is damaged, or its video track is empty. "
            "Export or download it again"
        )


def check_file(path: Path) -> None:
    """Check that a file is a video, before any long work.

    Raises:
        VideoError: it cannot be read, with the reason.
    """
    with readable(str(path)), _closing_capture(path) as capture:
        _first_frame(path, capture)


def _is_bare(path: Path) -> bool:
    """Whether the file is a raw stream without container and times."""
    with path.open("rb") as file:
        head = file.read(5)
    start = head.find(b"\1") if head.startswith(b"\0\0") else -1
    # After a start code: 0xBA begins an MPEG program stream, which has times.
    return start in (2, 3) and head[start + 1 : start + 2] != b"\xba"


def _check_odd(path: Path, capture: cv2.VideoCapture, image: ImageArray) -> None:
    """Raise if OpenCV's FFmpeg decodes the pictures but cannot convert them.

    This happens to odd heights cropped from a larger picture (H.264, HEVC, Theora): the conversion
    fails, and the same uninitialized memory is returned for every picture.
    """
    if not (image.shape[0] % 2 or image.shape[1] % 2) or _codec(capture) not in _CROPPING:
        return
    with _closing_capture(path) as again:  # its memory differs from the first one's
        first: ImageArray | None = None
        for _ in range(_SAME):
            if not again.grab():
                break
            now = retrieved(again, str(path))
            if first is not None and not np.array_equal(now, first):
                return
            first = now
    raise VideoError(
        f"{path} cannot be read: its frames are {image.shape[1]}x{image.shape[0]} px, and this "
        "OpenCV "
        "decodes frames of an odd width or height to empty ones. Convert it to even sizes first: "
        f"ffmpeg -i {_in_shell(path.name)} "
        "-vf 'pad=ceil(iw/2)*2:ceil(ih/2)*2' even.mp4"
    )


@contextmanager
def _closing_capture(path: Path) -> Iterator[cv2.VideoCapture]:
    capture, link = _open_capture(path)
    try:
        yield capture
    finally:
        capture.release()
        if link is not None:
            link.close()


def _codec(capture: cv2.VideoCapture) -> str:
    return int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1").lower()


def _square_size(capture: cv2.VideoCapture, image: ImageArray, name: str) -> tuple[int, int] | None:
    """(width, height) with square pixels, as in players; `None` if no change is needed."""
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if not (across > 0 and down > 0):
        return None
    aspect = across / down
    if round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180:
        aspect = 1 / aspect
    if not _MOST_ASPECT >= max(aspect, 1 / aspect) > _LEAST_ASPECT:
        return None
    height, width = image.shape[:2]
    size = (round(width * max(aspect, 1)), round(height * max(1 / aspect, 1)))
    logger.info(
        "%s: its pixels are %.4g times as wide as high; its pictures of %dx%d px are analyzed, as "
        "players show them, at %dx%d",
        name,
        aspect,
        width,
        height,
        *size,
    )
    return size


def _why_unreadable(path: Path, head: bytes) -> str:
    """Why OpenCV cannot open a file."""
    again = "copy or download it again"
    if head[4:8] == b"ftyp":
        moov = mp4_index(path)
        if moov is None:
            return f"the file is cut short: its index (the 'moov' atom) is missing; {again}"
        if b"vide" not in moov:
            return f"it has no video track, {'only sound' if b'soun' in moov else 'nor sound'}"
    if head.startswith((b"ID3", b"fLaC", b"OggS")) or head[8:12] == b"WAVE":
        return "it is a sound recording without video"
    if not head.strip(b"\0"):
        return f"it holds nothing but zeros; {again}"
    try:
        if "\0" not in head.decode():
            return "it is text, not a video; give a video file"
    except UnicodeDecodeError:
        pass
    return (
        f"OpenCV finds no video in it that it can decode (it begins with {head[:8]!r}); it is "
        "damaged, holds no video, or needs another codec. Try: "
        f"ffmpeg -i {_in_shell(path.name)} -c:v libx264 -crf 16 readable.mp4"
    )
