"""Display in notebooks: tables, and expressions as small animated pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aumer.errors import AumerError
from aumer.results.crops import thumbnails
from aumer.results.gallery import best
from aumer.types import Expression, FaceTrack, ImageArray, Kind

if TYPE_CHECKING:
    from aumer.results.spot_result import SpotResult

#: Side in px, most pictures of a clip, and seconds shown before the onset and after the offset.
SIDE, PICTURES, _AROUND_S = 96, 24, 0.2
#: Most bytes of a clip.
MOST_BYTES = 40_000
#: Slow-motion factor of clips, since a micro-expression is too short to see at normal speed.
SLOWER: Mapping[Kind, int] = {"micro": 4, "macro": 2}
#: Most seconds spent on reading the video; later expressions are not shown.
_READ_S = 10.0
#: Milliseconds for which the last picture is shown before the loop restarts.
_PAUSE_MS = 600
#: WebP qualities, tried until a clip is small enough.
_QUALITIES = (80, 60, 40, 20, 5)


@dataclass(frozen=True)
class LoopingClip:
    """An expression as a small looping film.

    Attributes:
        expression: the expression.
        webp: an animated WebP.
    """

    expression: Expression
    webp: bytes

    @property
    def html(self) -> str:
        e = self.expression
        caption = f"{e.kind} at {e.apex_s:.2f} s{f', {e.label}' if e.label else ''}"
        picture = base64.b64encode(self.webp).decode("ascii")
        return (
            '<figure style="margin:0 8px 8px 0;display:inline-block;text-align:center">'
            f'<img width="{SIDE}" height="{SIDE}" alt="Face: {html.escape(caption)}" '
            f'src="data:image/webp;base64,{picture}">'
            f'<figcaption style="font-size:smaller">{html.escape(caption)}<br>'
            f"{SLOWER[e.kind]} times slower</figcaption></figure>"
        )


def clips(result: SpotResult) -> tuple[LoopingClip, ...]:
    """Films of at most five expressions with the highest scores, in order.

    The video is read a second time, for at most ten seconds. Empty if the video's file is unknown
    (`SpotResult.source`) or missing, or if the result was loaded and has no `track`.
    """
    track = result.track
    if track is None or result.source is None or not result.expressions:
        return ()
    shown = best(result.expressions)
    frames = {id(e): _frames(e, result) for e in shown}
    steady = _steady(track, list(frames.values()))
    wanted = {frame for own in frames.values() for frame in own}
    try:
        faces = thumbnails(
            result.source, wanted, steady, size=SIDE, fps=result.video.fps, within_s=_READ_S
        )
    except AumerError:  # moved or changed
        return ()
    found = []
    for e in shown:
        pictures = [faces[frame] for frame in frames[id(e)] if frame in faces]
        if len(pictures) == len(frames[id(e)]) > 1:
            seconds = e.duration_s + 2 * _AROUND_S
            found.append(LoopingClip(e, _film(pictures, 1000 * seconds * SLOWER[e.kind])))
    return tuple(clip for clip in found if clip.webp)


def _frames(e: Expression, result: SpotResult) -> list[int]:
    """The frames of the video that are shown for an expression."""
    scores = result.scores
    around = 0
    if len(scores.times) > 1 and scores.times[-1] > scores.times[0]:
        rate = (scores.frames[-1] - scores.frames[0]) / (scores.times[-1] - scores.times[0])
        around = round(_AROUND_S * float(rate))
    last = max(e.offset, int(scores.frames[-1])) if len(scores.frames) else e.offset
    first, end = max(0, e.onset - around), min(last, e.offset + around)
    count = min(PICTURES, end - first + 1)
    return [int(f) for f in np.linspace(first, end, count).round()]


def _steady(track: FaceTrack, clips: Sequence[Sequence[int]]) -> FaceTrack:
    """The track with one constant box for each clip, so that the face moves and not the crop.

    Clips with common frames share a box.
    """
    parts: list[list[int]] = []
    for first, last in sorted((frames[0], frames[-1]) for frames in clips):
        if parts and first <= parts[-1][1]:
            parts[-1][1] = max(parts[-1][1], last)
        else:
            parts.append([first, last])
    boxes = track.boxes.copy()
    for first, last in parts:
        rows = (track.frames >= first) & (track.frames <= last) & track.valid
        if rows.any():
            boxes[rows] = np.median(boxes[rows], axis=0)
    return replace(track, boxes=boxes)


def _film(pictures: Sequence[ImageArray], milliseconds: float) -> bytes:
    """An animated WebP of at most `MOST_BYTES`; None if impossible."""
    from PIL import Image

    images = [Image.fromarray(picture) for picture in pictures]
    each = [max(20, round(milliseconds / len(images)))] * (len(images) - 1) + [_PAUSE_MS]
    for quality in _QUALITIES:
        file = io.BytesIO()
        images[0].save(
            file,
            format="WEBP",
            save_all=True,
            append_images=images[1:],
            duration=each,
            loop=0,
            quality=quality,
        )
        if len(file.getvalue()) <= MOST_BYTES:
            return file.getvalue()
    return b""


def table_html(rows: Sequence[Sequence[str]]) -> str:
    """Texts as an HTML table; the first row is the header."""
    body = "".join(
        "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for tag, row in zip(["th"] + ["td"] * len(rows), rows, strict=False)
    )
    return f"<table>{body}</table>"
