"""face-alignment back end: the package's 2D FAN-4 network, cropping and mirroring."""

from __future__ import annotations

from typing import Any

import numpy as np

from aumer.errors import BackendUnavailable
from aumer.face import weights as _weights
from aumer.face.interface import Landmarker
from aumer.files import StrPath
from aumer.types import FloatArray, ImageArray

#: Smallest side of a box, px.
_MIN_BOX = 4.0
#: Largest ratio of the crop's width to the image's.
_MAX_CROP = 4.0


class FaceAlignmentLandmarker(Landmarker):
    """2D FAN-4. Interface: `aumer.face.interface.Landmarker`. Keeps no state between frames.

    **Box.** FAN sees a square 2.05 times as wide as the box (the mean of its sides), its center 12
    % of the box's height above the box's. The authors' own evaluation builds this square from the
    extent of the 68 points, brows to chin, which is the box that the face tracker passes from frame
    to frame; so boxes are used unchanged. A detector's box on a first frame (from the hairline, or
    of the eyes and mouth only) may be a fifth larger or smaller.

    **Points** are the peaks of the heatmaps, interpolated between cells (1/64 of the square wide).
    The package's `get_landmarks_from_image` has a resolution of half a cell, truncates to integer
    pixels, and ignores that the square's corners are integers, too: its points jump when a face or
    box moves slowly, which would be taken for motion here.

    Args:
        weights: path of `2DFAN4-11f355bf06.pth.tar`; `None` uses the package's path (the
            checkpoints folder of torch hub). Nothing is ever downloaded.
        device: a torch device.
        flip: average with the mirrored image, as the package does by default. False halves the
            time.
        min_score: the box holds no face if the 68 heatmap peaks are lower than this on average.
            Peaks were trained to be 1; on clear faces they are near 0.9.

    Raises:
        WeightsError: the file is missing, damaged or another network's.
        BackendUnavailable: face-alignment is not installed, or older than 1.5 (whose network came
            as a compiled program); or the device cannot be used.
    """

    def __init__(
        self,
        weights: StrPath | None = None,
        device: str = "cpu",
        *,
        flip: bool = True,
        min_score: float = 0.3,
    ) -> None:
        _weights.find("face-alignment", weights)  # before the slow import of torch
        try:
            # The package's FaceAlignment class would download weights, also of a detector.
            from face_alignment import utils
            from face_alignment.models import FAN
        except ImportError as error:
            raise BackendUnavailable(
                f"the face-alignment back end cannot run: {error}. It needs face-alignment 1.5 or "
                "newer: `pip install 'face-alignment>=1.5,<2'`."
            ) from error
        network = FAN(4)
        _weights.load("face-alignment", network, weights)
        try:
            self._network = network.eval().to(device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise BackendUnavailable(
                f"the face-alignment back end cannot run on device {device!r}: "
                f"{str(error).splitlines()[0]}; `device='cpu'` always works."
            ) from error
        self._device = device
        self._utils = utils
        self._flip = flip
        self._min_score = min_score

    def reset(self) -> None:
        """Nothing to do: calls are independent."""

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        """(H, W, 3) uint8 RGB and a (4,) box -> (68, 2) float32 px, iBUG-68 order.

        `None` if the peaks are too low, the square lies outside the image, or the box is below 4 px
        or much larger than the image.
        """
        x0, y0, x1, y1 = (float(v) for v in box)
        width, height = x1 - x0, y1 - y0
        utils = self._utils
        scale = (width + height) / utils.REFERENCE_SCALE
        # NaN fails the first comparison.
        if not min(width, height) >= _MIN_BOX or (
            scale * utils.SCALE_FACTOR > _MAX_CROP * max(image.shape[:2])
        ):
            return None
        center = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - utils.CENTER_Y_OFFSET * height])
        res = utils.CROP_RESOLUTION
        # As in the package's `crop`: integer pixels, the second corner excluded.
        first, last = (utils.transform([p, p], center, scale, res, True).numpy() for p in (1, res))
        if (last < 1).any() or (first >= image.shape[1::-1]).any():
            return None
        heatmaps = self._heatmaps(utils.crop(image, center, scale, res))
        if not heatmaps.max(axis=(1, 2)).mean() >= self._min_score:
            return None
        cells = _peaks(heatmaps) / np.float32(utils.HEATMAP_RESOLUTION)
        points: FloatArray = (first + cells * (last - first) - 0.5).astype(np.float32)
        return points

    def _heatmaps(self, crop: ImageArray) -> FloatArray:
        """(256, 256, 3) uint8 RGB -> (68, 64, 64) float32."""
        import torch

        flip = self._utils.flip
        with torch.inference_mode():
            batch = torch.from_numpy(crop.transpose(2, 0, 1)[None].astype(np.float32) / 255.0)
            if self._flip:
                batch = torch.cat([batch, flip(batch)])
            out: Any = self._network(batch.to(self._device))[-1].cpu()
            if self._flip:
                out = (out[:1] + flip(out[1:], is_label=True)) / 2
            heatmaps: FloatArray = out[0].numpy()
        return heatmaps


def _peaks(heatmaps: FloatArray) -> FloatArray:
    """(K, H, W) float32 -> (K, 2) float32 x, y of the peaks in cells; a cell's center is at .5.

    The peak is that of the parabola through the highest cell and its two neighbors, along x and y
    each; at the edge it is the cell's center.
    """
    count, height, width = heatmaps.shape
    y, x = np.divmod(heatmaps.reshape(count, -1).argmax(axis=1), width)
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    k, row, column = np.arange(count)[inner], y[inner], x[inner]
    peaks: FloatArray = np.stack([x, y], axis=1).astype(np.float32) + np.float32(0.5)
    top = heatmaps[k, row, column]
    for axis, (down, right) in enumerate([(0, 1), (1, 0)]):
        before = heatmaps[k, row - down, column - right]
        after = heatmaps[k, row + down, column + right]
        bend = 2 * top - before - after  # 0 if all three are equal
        # The top is the highest of the three, so the shift is at most half a cell.
        peaks[k, axis] += (after - before) / np.where(bend > 0, 2 * bend, 1)
    return peaks
