"""Any frame by its number is the one that a pass over the video gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.errors import UsageError, VideoError
from aumer.video import file, open_video
from aumer.video.access import AnyFrame
from aumer.video.seek import Decoded

COUNT = 120
UNEVEN = np.cumsum(np.random.default_rng(0).choice([20, 33, 40, 80, 120], COUNT)).tolist()


FILES = pytest.mark.parametrize(
    ("name", "how"),
    [
        ("constant.mp4", {}),
        ("variable.mp4", {"times_ms": UNEVEN}),
        ("variable.mkv", {"times_ms": UNEVEN}),
        # Frames before a key frame that are made of it, and key frames far apart.
        ("open.mp4", {"options": {"x264-params": "open-gop=1:keyint=24:bframes=3"}}),
        ("long.mp4", {"options": {"x264-params": "keyint=300:bframes=3:scenecut=0"}}),
        ("old.avi", {"codec": "mpeg4"}),
        ("program.mpg", {"codec": "mpeg2video"}),  # in which a seek cannot be trusted
        ("web.webm", {"codec": "libvpx-vp9", "times_ms": UNEVEN}),
    ],
)


@FILES
def test_every_frame_of_a_file(tmp_path: Path, make: Any, name: str, how: dict[str, Any]) -> None:
    path = make.video(tmp_path / name, make.pictures(COUNT), **how)
    with open_video(path) as video:
        wanted = list(video)
    frames = AnyFrame(path)
    assert len(frames) == len(wanted) == COUNT
    np.testing.assert_array_equal(frames.times, [f.time_s for f in wanted])
    order = [0, COUNT - 1, 1, COUNT - 2, *np.random.default_rng(1).permutation(COUNT)]
    wrong = [int(k) for k in order if not np.array_equal(frames[int(k)], wanted[int(k)].image)]
    assert wrong == []
    assert frames.at(frames.times[57] + 0.002) == 57
    frames.close()
    assert np.array_equal(frames[3], wanted[3].image)  # it opens itself again
    frames.close()


def test_a_seek_is_used_and_checked(tmp_path: Path, make: Any) -> None:
    """Else the test above would pass by walking from the first frame alone."""
    path = make.video(tmp_path / "a.mp4", make.pictures(COUNT))
    frames = AnyFrame(path)
    assert frames[100] is not None
    assert frames._jumps is not None and frames._walk is None
    frames._cached.clear()
    frames._marks[60] += 5.0  # now the decoder's time of it is another than was counted
    wanted = AnyFrame(path)[62]
    assert np.array_equal(frames[62], wanted)
    assert frames._walk is not None
    frames.close()
    # A format without an index of frames is not sought in.
    frames = AnyFrame(make.video(tmp_path / "a.ts", make.pictures(COUNT)))
    assert frames[100] is not None
    assert frames._jumps is None and frames._walk is not None
    frames.close()


@FILES
def test_frames_that_are_known_are_not_decoded_again(
    tmp_path: Path, make: Any, name: str, how: dict[str, Any]
) -> None:
    path = make.video(tmp_path / name, make.pictures(COUNT), **how)
    with open_video(path) as video:
        whole = list(video)
        known = video.decoded(whole[89])
        assert known is not None and len(known.marks) == 90
        assert video.decoded(whole[89], 60).marks.tolist() == known.marks[60:].tolist()
    asked: list[int] = []
    for since in (89, 90, 40):  # 40 is before the last known one: it is decoded up to

        def keep(index: int, _: float, since: int = since) -> bool:
            asked.append(index)
            return index >= since

        with open_video(path, keep=keep, known=known) as video:
            rest = list(video)
        assert asked == list(range(COUNT))
        asked.clear()
        assert [f.index for f in rest] == list(range(since, COUNT))
        for frame, wanted in zip(rest, whole[since:], strict=True):
            assert frame.time_s == wanted.time_s
            assert np.array_equal(frame.image, wanted.image), frame.index


class _Counting:
    """A capture that counts what it decodes, but for what OpenCV decodes within a seek."""

    def __init__(self, capture: Any) -> None:
        self._capture, self.grabs = capture, 0

    def grab(self) -> bool:
        there = bool(self._capture.grab())
        self.grabs += there
        return there

    def __getattr__(self, name: str) -> Any:
        return getattr(self._capture, name)


@pytest.mark.parametrize("spoiled", ["nothing", "picture", "marks", "equal marks"])
def test_a_seek_that_cannot_be_trusted_is_not_used(
    tmp_path: Path, make: Any, spoiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make.video(tmp_path / "a.mp4", make.pictures(COUNT))
    with open_video(path) as video:
        whole = list(video)
        known = video.decoded(whole[89])
    assert known is not None
    marks, picture = known.marks.copy(), known.picture
    if spoiled == "picture":
        picture = "of another"
    elif spoiled == "marks":
        marks[85] += 5.0
    elif spoiled == "equal marks":
        marks[3] = marks[2]
    opened: list[_Counting] = []
    real = file._open_capture

    def counted(path: Path) -> Any:
        capture, link = real(path)
        opened.append(_Counting(capture))
        return opened[-1], link

    monkeypatch.setattr(file, "_open_capture", counted)
    with open_video(
        path, keep=lambda index, _: index >= 89, known=Decoded(marks, picture)
    ) as video:
        rest = list(video)
    for frame, wanted in zip(rest, whole[89:], strict=True):
        assert np.array_equal(frame.image, wanted.image)
    grabs = sum(one.grabs for one in opened)
    if spoiled == "nothing":
        assert len(opened) == 1 and grabs < 60
    else:
        assert grabs >= COUNT


@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.mkv", "a.avi"])
def test_a_copy_of_the_known_frames_is_not_taken_for_them(
    tmp_path: Path, make: Any, name: str
) -> None:
    """A recording joined to itself: a seek by time reaches either, with equal pictures."""
    codec = {"a.ts": "libx264", "a.mkv": "libx264"}.get(name, "mpeg2video")
    path = make.video(tmp_path / name, make.pictures(240), codec=codec)
    path.write_bytes(path.read_bytes() * 2)
    with open_video(path) as video:
        whole = list(video)
        known = [video.decoded(whole[at]) for at in (139, 160, 178, 200, 213, 238)]
    for one in known:
        assert one is not None
        since = len(one.marks) - 1
        with open_video(path, keep=lambda index, _, n=since: index >= n, known=one) as video:
            rest = list(video)
        for frame, wanted in zip(rest, whole[since:], strict=True):
            assert frame.time_s == wanted.time_s
            assert np.array_equal(frame.image, wanted.image), frame.index


def test_a_frozen_picture_is_told_once(
    tmp_path: Path, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the freeze lies before, across or behind the last known frame."""
    images = make.pictures(170)
    images[20:60], images[100:140] = images[20], images[100]
    path = make.video(tmp_path / "a.mkv", images, codec="ffv1")
    with open_video(path) as video:
        known = [video.decoded(f) for f in video if f.index in (10, 22, 42, 70, 120)]
    (usual,) = caplog.messages
    assert "freezes at 0.80 s" in usual
    for one in known:
        assert one is not None and one.still is not None
        told = [usual] if one.still[2] else []
        since = len(one.marks) - 1
        caplog.clear()
        with open_video(path, keep=lambda index, _, n=since: index >= n, known=one) as video:
            assert len(list(video)) == 170 - since
        assert told + caplog.messages == [usual], since


def test_a_folder_and_its_errors(tmp_path: Path, make: Any) -> None:
    images = make.pictures(9)
    folder = make.folder(tmp_path / "images", images)
    with pytest.raises(UsageError, match="fps"):
        AnyFrame(folder)
    frames = AnyFrame(folder, fps=10)
    assert [np.array_equal(frames[k], images[k]) for k in (8, 0, 4)] == [True] * 3
    assert not frames[4].flags.writeable
    for wrong in (-1, 9):
        with pytest.raises(UsageError, match=rf"no frame {wrong}: the video has 9, from 0"):
            frames[wrong]
    frames.close()
    with pytest.raises(UsageError, match="camera"):
        AnyFrame(0)
    with pytest.raises(VideoError):
        AnyFrame(tmp_path / "none.mp4")


def test_times_are_kept(tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make.video(tmp_path / "a.mp4", make.pictures(60), times_ms=UNEVEN[:60])
    told: list[int] = []
    first = AnyFrame(path, cache=str(tmp_path / "kept"))
    again = AnyFrame(path, cache=str(tmp_path / "kept"), progress=lambda k, _: told.append(k))
    assert not told
    np.testing.assert_array_equal(first.times, again.times)
    assert np.array_equal(first[50], again[50])
    first.close()
    again.close()
