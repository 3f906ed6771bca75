"""RetinaFace back end: the network and the decoding of the `retina-face` package, in PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from aumer.errors import BackendUnavailable, UsageError
from aumer.face import weights as _weights
from aumer.face.interface import Detector
from aumer.files import StrPath
from aumer.process import Momentary, environment
from aumer.types import FloatArray, ImageArray

#: Largest ratio of height to width; more elongated images fail inside the package.
_MAX_ASPECT = 100


class RetinaFaceDetector(Detector):
    """RetinaFace with a ResNet-50. Interface: `aumer.face.interface.Detector`.

    Boxes have whole-pixel corners inside the image, the best score first. They extend from the
    hairline to the chin, as in WIDER FACE.

    Args:
        weights: path of `retinaface.pth`; `None` uses the package's path
            (``$DEEPFACE_HOME/.deepface/weights``, by default in the home folder). Nothing is ever
            downloaded.
        threshold: least score, in (0, 1].
        upscale: enlarge images whose shorter side is below 1024 px to that size, as the package
            does by default. False is several times faster and misses small faces.

    Raises:
        WeightsError: the file is missing, damaged or another network's.
        BackendUnavailable: retina-face is not installed, or older than its PyTorch network.
        UsageError: the threshold is out of range.
    """

    def __init__(
        self, weights: StrPath | None = None, threshold: float = 0.9, *, upscale: bool = True
    ) -> None:
        if not 0.0 < threshold <= 1.0:
            raise UsageError(f"threshold must lie in (0, 1]; found {threshold}")
        _weights.find("retinaface", weights)  # before the slow import of torch
        network_module, self._package, engine = _import_package()
        network = network_module.RetinaFace()
        _weights.load("retinaface", network, weights)
        self._model = _as_model(network.eval(), engine)
        self._threshold = threshold
        self._upscale = upscale

    def __call__(self, image: ImageArray) -> FloatArray:
        """(H, W, 3) uint8 RGB -> (N, 5) float32: x0, y0, x1, y1 in px and a score in [0, 1]."""
        if max(image.shape[:2]) > _MAX_ASPECT * min(image.shape[:2]):
            return np.empty((0, 5), np.float32)
        found = self._package.detect_faces(
            image[:, :, ::-1],  # the package expects BGR arrays
            threshold=self._threshold,
            model=self._model,
            allow_upscaling=self._upscale,
        )
        rows = [(*face["facial_area"], face["score"]) for face in found.values()]
        boxes = np.asarray(rows, np.float32).reshape(-1, 5)
        # Clipping and rounding can leave boxes without area.
        return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]


#: The engine for the package.
_pytorch = environment("DEEPFACE_BACKEND_ENGINE", "pytorch")


@Momentary
def _warnings_kept() -> Callable[[], None]:
    """Restores the warning filters, which the package changes."""
    kept = warnings.catch_warnings()
    kept.__enter__()
    return lambda: kept.__exit__(None, None, None)


def _import_package() -> tuple[Any, Any, Any]:
    """The package's PyTorch network, its detection functions and its choice of an engine.

    The package prefers TensorFlow if installed, which costs seconds and memory, and silences all
    warnings of the process; both are prevented.
    """
    with _pytorch(), _warnings_kept():
        try:
            from retinaface import RetinaFace
            from retinaface.commons import backend_utils
            from retinaface.model import retinaface_pth_model
        except ImportError as error:
            raise BackendUnavailable(
                f"the retinaface back end cannot run: {error}. It needs retina-face 0.0.19 or "
                "newer: `pip install 'retina-face>=0.0.19,<0.1'` (`pip uninstall retinaface` "
                "first if that other package of the same import name is there)."
            ) from error
    return retinaface_pth_model, RetinaFace, backend_utils


def _as_model(network: Any, engine: Any) -> Callable[[Any], Any]:
    """The network in the form that `detect_faces` calls, for any engine.

    The first import of the package fixes the engine. `detect_faces` passes an array or tensor, and
    calls `.numpy()` on the output unless the engine is ONNX.
    """
    import torch

    def model(batch: Any) -> Any:
        with torch.inference_mode():
            outputs = network(torch.as_tensor(batch))
        return [o.numpy() for o in outputs] if engine.is_onnx() else outputs

    return model
