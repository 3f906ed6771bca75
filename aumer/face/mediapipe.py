"""MediaPipe back ends, for comparison; earlier versions of aumer used them.

`MediaPipeDetector` is BlazeFace (full range, then short range for faces that fill the image);
`MediaPipeLandmarker` is the 468-point face mesh, read at the points nearest to iBUG-68.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from aumer.errors import BackendUnavailable
from aumer.face.interface import Detector, Landmarker
from aumer.face.models import MESH_TO_IBUG68
from aumer.process import Momentary, unannounced
from aumer.types import FloatArray, ImageArray


@Momentary
def _without_sound() -> Callable[[], None]:
    """Prevents MediaPipe from importing `sounddevice`, which searches a system library by starting
    ldconfig, a linker and a compiler; MediaPipe works without it.
    """
    name = "sounddevice"
    if name in sys.modules or "mediapipe" in sys.modules:
        return lambda: None
    sys.modules[name] = None  # type: ignore[assignment]

    def undo() -> None:
        if sys.modules.get(name) is None:
            sys.modules.pop(name, None)

    return undo


def _solutions() -> Any:
    # MediaPipe logs at every graph start, by glog and TensorFlow's copy of it, which read these
    # variables once when loaded; only errors matter to users. Values set by the user are kept.
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _without_sound():
            import mediapipe

        return mediapipe.solutions
    except (ImportError, AttributeError) as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error  # Ctrl-C while a compiled module loads
        raise BackendUnavailable(
            f"the mediapipe face back end cannot run: {error}. It needs mediapipe 0.10.21, which "
            "exists for Python 3.10 to 3.12 on x86-64 and macOS: `pip install 'aumer[mediapipe]'`. "
            "The default back ends, 'blazeface' and 'mesh', need nothing."
        ) from error


class MediaPipeDetector(Detector):
    """BlazeFace. Interface: `aumer.face.interface.Detector`.

    Args:
        threshold: least detection score, in [0, 1].

    Raises:
        BackendUnavailable: MediaPipe is not installed or has no built-in models.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        detection = _solutions().face_detection
        with unannounced():
            # The graphs' threads print messages until the first result. Full range detects faces
            # down to about 1/20 of the image, short range those that fill it.
            self._models = [
                detection.FaceDetection(min_detection_confidence=threshold, model_selection=m)
                for m in (1, 0)
            ]
            for model in self._models:
                model.process(np.zeros((8, 8, 3), np.uint8))

    def __call__(self, image: ImageArray) -> FloatArray:
        height, width = image.shape[:2]
        image = np.ascontiguousarray(image)
        for model in self._models:
            found = model.process(image).detections or []
            rows = []
            for face in found:
                box = face.location_data.relative_bounding_box
                x, y = box.xmin * width, box.ymin * height
                w, h = box.width * width, box.height * height
                if w > 0 and h > 0:
                    rows.append((x, y, x + w, y + h, min(1.0, max(0.0, face.score[0]))))
            if rows:
                return np.asarray(rows, np.float32)
        return np.empty((0, 5), np.float32)

    def close(self) -> None:
        for model in self._models:
            model.close()
        self._models = []


class MediaPipeLandmarker(Landmarker):
    """The face mesh in its tracking mode, run inside a window around the face.

    The mesh's own detector takes the most certain face, not the requested one, and reads 128 px;
    the window leaves one face with enough pixels. The window is fixed while the face stays in
    place, because moving it breaks the mesh's tracking. Interface:
    `aumer.face.interface.Landmarker`.

    Raises:
        BackendUnavailable: MediaPipe is not installed or has no built-in models.
    """

    #: Window side and least distance of the face to the window's edge, in face sizes.
    _WINDOW, _MARGIN = 2.2, 0.15
    #: A face that shrinks or grows beyond these factors of the window's face gets a new window.
    _SHRINK, _GROW = 0.6, 1.5

    def __init__(self) -> None:
        self._face_mesh = _solutions().face_mesh
        self._mesh: Any = None
        self._window = (0, 0, 0)  # x0, y0, side
        self._size = 0.0

    def reset(self) -> None:
        if self._mesh is not None:
            self._mesh.close()
            self._mesh = None

    def close(self) -> None:
        self.reset()  # closes the mesh

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        fresh = self._mesh is None or not self._holds(box)
        if fresh:
            self._open_window(box)
        x0, y0, side = self._window
        crop = _square(image, x0, y0, side)
        # The graph's threads print messages until the first result.
        with unannounced() if fresh else contextlib.nullcontext():
            found = self._mesh.process(crop).multi_face_landmarks
        if not found:
            return None
        mesh = found[0].landmark
        points = np.array([(mesh[i].x, mesh[i].y) for i in MESH_TO_IBUG68], np.float32)
        placed: FloatArray = points * np.float32(side) + np.array([x0, y0], np.float32)
        return placed

    def _open_window(self, box: FloatArray) -> None:
        self.reset()
        self._size = float(max(box[2] - box[0], box[3] - box[1]))
        side = max(8, round(self._size * self._WINDOW))
        self._window = (
            round(float(box[0] + box[2] - side) / 2),
            round(float(box[1] + box[3] - side) / 2),
            side,
        )
        with unannounced():
            self._mesh = self._face_mesh.FaceMesh(max_num_faces=1)

    def _holds(self, box: FloatArray) -> bool:
        size = float(max(box[2] - box[0], box[3] - box[1]))
        if not self._SHRINK * self._size <= size <= self._GROW * self._size:
            return False
        x0, y0, side = self._window
        inside = (box[0] - x0, box[1] - y0, x0 + side - box[2], y0 + side - box[3])
        return float(min(inside)) >= self._MARGIN * size


def _square(image: ImageArray, x0: int, y0: int, side: int) -> ImageArray:
    """The (side, side, 3) window at x0, y0, black outside the image.

    The mesh projects its landmarks correctly from square images only.
    """
    height, width = image.shape[:2]
    window = np.zeros((side, side, 3), np.uint8)
    left, top = max(0, x0), max(0, y0)
    right, bottom = min(width, x0 + side), min(height, y0 + side)
    if right > left and bottom > top:
        window[top - y0 : bottom - y0, left - x0 : right - x0] = image[top:bottom, left:right]
    return window
