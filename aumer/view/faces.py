"""Face images for the page: cropped at a box, resized, with optional motion magnification."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aumer.errors import ConfigError, UsageError
from aumer.recognition.sequences.magnification import EulerianMagnifier, Magnification
from aumer.results.crops import crop_face
from aumer.types import ImageArray
from aumer.video.access import AnyFrame

#: Most frames over which motion is magnified, and the largest factor.
_LONGEST, MOST = 600, 40.0


def png(image: ImageArray) -> bytes:
    """(H, W, 3) uint8 RGB as PNG, lossless."""
    return _encoded(image, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1])


def jpeg(image: ImageArray) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG, for playback."""
    return _encoded(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92])


def _encoded(image: ImageArray, suffix: str, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    assert done, "OpenCV writes its own formats"
    return data.tobytes()


def face(
    frames: AnyFrame,
    number: int,
    box: npt.NDArray[np.float32] | None,
    size: int,
    *,
    since: int | None = None,
    alpha: float = 0.0,
) -> ImageArray:
    """The face of a frame, cropped at a box: (size, size, 3) uint8.

    Args:
        since: the reference frame of magnification, which is unchanged.
        alpha: the factor (Wu et al. 2012) for motion since then; 0 for none.

    Raises:
        UsageError: too many frames in between, or an invalid factor.
    """
    if not alpha or since is None or since >= number:
        return crop_face(frames[number], box, size)
    if not 0 < alpha <= MOST:
        raise UsageError(f"alpha must be above 0 and at most {MOST:g}; found {alpha:g}")
    if number - since > _LONGEST:
        raise UsageError(
            f"motion is magnified over {_LONGEST} frames at most; {number - since} lie between"
        )
    steps = np.diff(frames.times[since : number + 1])
    settings = Magnification(alpha=alpha)
    try:
        magnifier = EulerianMagnifier(1 / float(np.median(steps)), settings)
    except ConfigError as error:
        raise UsageError(f"its motion cannot be magnified: {error}") from error
    for k in range(since, number + 1):
        colors = np.asarray(cv2.cvtColor(crop_face(frames[k], box, size), cv2.COLOR_RGB2YCrCb))
        bright = magnifier(colors[..., 0])
    colors[..., 0] = np.clip(np.round(bright), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(colors, cv2.COLOR_YCrCb2RGB), np.uint8)
