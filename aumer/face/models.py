"""The shipped face networks: BlazeFace (detection) and the face mesh (landmarks).

The three files in `networks/` are Google's, as MediaPipe carries them (Apache-2.0; `NOTICE` there
says from where). They are run by OpenCV, which every installation has; pre- and postprocessing
(boxes from anchors, crops, points in the image) follow the model cards:

- "MediaPipe BlazeFace Model Card (Short Range)" and "(Full Range)", 2021, and Bazarevsky et al.,
  "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019: anchors, boxes, blending.
- "MediaPipe Face Mesh Model Card", 2020, and Kartynnik et al., "Real-time Facial Surface Geometry
  from Monocular Video on Mobile GPUs", 2019: the crop, the 468 points, the face's score.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt

from aumer.errors import BackendUnavailable
from aumer.face import weights
from aumer.face.crop import Matrix, applied, chained, cut_out, inverse, similarity
from aumer.face.interface import Detector, Landmarker
from aumer.face.mean_face import MEAN_FACE, RIGID
from aumer.types import FloatArray, ImageArray

#: Face-mesh vertex for each iBUG-68 point. Jaw, nose, eyes and lips are the mesh's own contours at
#: the iBUG positions; brows follow the upper brow line, where iBUG annotators put them.
MESH_TO_IBUG68: tuple[int, ...] = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(70, 63, 105, 66, 107),  # right brow (image left)
    *(336, 296, 334, 293, 300),  # left brow
    *(168, 197, 5, 4),  # nose bridge to tip
    *(75, 97, 2, 326, 305),  # nostrils
    *(33, 160, 158, 133, 153, 144),  # right eye
    *(362, 385, 387, 263, 373, 380),  # left eye
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)


class _Network:
    """One network, read once per process; `run` returns the named outputs."""

    def __init__(self, name: str, outputs: tuple[str, ...]) -> None:
        path = weights.shipped(name)
        try:
            self._net = cv2.dnn.readNetFromTFLite(str(path))
        except (cv2.error, AttributeError) as error:
            raise BackendUnavailable(
                f"the face networks cannot run: OpenCV {cv2.__version__} does not read "
                f"{path} ({str(error).splitlines()[0]}). `aumer doctor` prints the command "
                "that installs OpenCV 4.11"
            ) from error
        self._outputs = outputs
        self._lock = Lock()  # OpenCV's networks are not thread-safe

    def run(self, blob: FloatArray) -> list[FloatArray]:
        """(1, 3, S, S) float32 -> outputs, squeezed."""
        with self._lock:
            self._net.setInput(blob)
            # By name: what an unnamed `forward` returns differs between OpenCV's releases.
            return [np.squeeze(out) for out in self._net.forward(self._outputs)]


def _blob(square: ImageArray, scale: float, shift: float) -> FloatArray:
    """(S, S, 3) uint8 RGB -> (1, 3, S, S) float32: values / 255 * scale + shift."""
    planes = square.transpose(2, 0, 1)[None].astype(np.float32)
    blob: FloatArray = planes * np.float32(scale / 255) + np.float32(shift)
    return blob


# -- BlazeFace ---------------------------------------------------------------------------------


class _BlazeFace:
    """One range of BlazeFace: raw boxes from an image.

    Args:
        name: name of the network.
        size: side of its square input, px.
        anchors: (stride, boxes per cell) of each grid, in the order of the output.
        outputs: names of its scores and its boxes.
    """

    def __init__(
        self,
        name: str,
        size: int,
        anchors: tuple[tuple[int, int], ...],
        outputs: tuple[str, str],
    ) -> None:
        self._network = _Network(name, outputs)
        self._size = size
        centers = []
        for stride, count in anchors:
            cells = (np.arange(size // stride) + 0.5) * stride
            grid = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)
            centers.append(np.repeat(grid, count, axis=0))
        self._anchors = np.concatenate(centers)

    def __call__(self, image: ImageArray, threshold: float) -> FloatArray:
        """(H, W, 3) uint8 RGB -> (N, 5) float32: boxes in px of the image, and their scores."""
        height, width = image.shape[:2]
        scale = self._size / max(height, width)
        # The whole image in the middle of a black square.
        shown = cv2.resize(
            image,
            (max(1, round(width * scale)), max(1, round(height * scale))),
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
        )
        left = (self._size - shown.shape[1]) // 2
        top = (self._size - shown.shape[0]) // 2
        square = np.zeros((self._size, self._size, 3), np.uint8)
        square[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
        scores, raw = self._network.run(_blob(square, 2.0, -1.0))
        scores = 1 / (1 + np.exp(-scores.astype(np.float64).clip(-80, 80)))
        good = scores >= threshold
        center = raw[good, 0:2] + self._anchors[good]
        half = np.abs(raw[good, 2:4]) / 2
        corners = np.concatenate([center - half, center + half], axis=1)
        corners = (corners - (left, top, left, top)) * np.tile(
            (width / shown.shape[1], height / shown.shape[0]), 2
        )
        return np.column_stack([corners, scores[good]]).astype(np.float32)


class BlazeFaceDetector(Detector):
    """BlazeFace: full range detects faces down to 1/20 of the image, short range those that fill
    it.

    Boxes extend from the forehead to the chin; overlapping ones are blended by their scores, as by
    BlazeFace's authors. Interface: `aumer.face.interface.Detector`.

    Args:
        threshold: least score, in [0, 1].

    Raises:
        BackendUnavailable: OpenCV cannot read the networks.
        WeightsError: a file of the networks is missing or damaged.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self._threshold = threshold
        self._full, self._short = _blaze_faces()

    def __call__(self, image: ImageArray) -> FloatArray:
        """(H, W, 3) uint8 RGB -> (N, 5) float32: x0, y0, x1, y1 in px and a score in [0, 1]."""
        image = np.ascontiguousarray(image)
        for network in (self._full, self._short):
            boxes = blended(network(image, self._threshold))
            if len(boxes):
                return boxes
        return np.empty((0, 5), np.float32)


@lru_cache(maxsize=1)
def _blaze_faces() -> tuple[_BlazeFace, _BlazeFace]:
    return (
        _BlazeFace(
            "blazeface-full-range",
            192,
            ((4, 1),),
            ("reshaped_classifier_face_4", "reshaped_regressor_face_4"),
        ),
        _BlazeFace(
            "blazeface-short-range", 128, ((8, 2), (16, 6)), ("classificators", "regressors")
        ),
    )


def blended(boxes: FloatArray, overlap: float = 0.3) -> FloatArray:
    """(N, 5) boxes with scores -> one box for each face, the best first.

    Boxes with an IoU above `overlap` with the best one belong to the same face; their mean,
    weighted by score, is more stable than the best box.
    """
    left = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    found = []
    while len(left):
        same = iou(left[0, :4], left[:, :4]) > overlap
        same[0] = True
        weight = left[same, 4:].astype(np.float64)
        mean = (left[same, :4] * weight).sum(axis=0) / weight.sum()
        if mean[2] > mean[0] and mean[3] > mean[1]:
            found.append((*mean, left[0, 4]))
        left = left[~same]
    return np.array(found, np.float32).reshape(-1, 5)


def iou(box: FloatArray, boxes: FloatArray) -> npt.NDArray[np.float64]:
    """Intersection over union of a box (4,) with each of (N, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).astype(np.float64).prod(axis=1)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).astype(np.float64).prod(axis=1)
    own = max(0.0, float(np.prod(np.clip(box[2:] - box[:2], 0, None).astype(np.float64))))
    whole = own + area - shared
    shares: npt.NDArray[np.float64] = np.divide(
        shared, whole, out=np.zeros_like(shared), where=whole > 0
    )
    return shares


# -- the face mesh -----------------------------------------------------------------------------


#: Side of the mesh's input, and the factor from the box of the whole mesh, forehead to chin, to the
#: input square (model card).
_MESH_PX, _MESH_ROOM = 192, 1.5
#: Input square for the first estimate: a box's longer side times this ...
_FIRST_LOOK = 1.6
#: ... and for a face with known landmarks, center and side in units of `MEAN_FACE`.
_MESH_MIDDLE, _MESH_SIDE = (0.0, 0.2), 3.0
#: Shifts (shares of the side) and scales of the squares for a face's first estimates. The mesh's
#: output varies with the position in its square by .3 % of the outer-eye distance; the mean of
#: several varies less.
_FIRST_LOOKS = (
    (0, 0, 1),
    *((x, y, s) for s in (0.98, 1.02) for x in (-0.02, 0.02) for y in (-0.02, 0.02)),
)
#: If these estimates differ by more than this (mean standard deviation of a point, in shares of the
#: square's side), the landmarks are invented. For 153 real frames it is at most .0036, for degraded
#: faces (dark, small, sunglasses, a mask, turned by up to 55 degrees) .0082; for faces turned by 75
#: degrees and more with a centered nose at least .0090.
_INVENTED = 0.0085
#: Vertices at the outer corners of the eyes: the square is upright where they are level.
_LEVEL = (33, 263)


class MeshLandmarker(Landmarker):
    """The face mesh, 468 points, read at those nearest to iBUG-68.

    Each estimate determines the next input square; there is no other state. Interface:
    `aumer.face.interface.Landmarker`.

    Args:
        min_score: the mesh's own score, in [0, 1], below which the box holds no face.

    Raises:
        BackendUnavailable: OpenCV cannot read the network.
        WeightsError: its file is missing or damaged.
    """

    def __init__(self, min_score: float = 0.5) -> None:
        self._network = _face_mesh()
        self._min_score = min_score
        self.reset()

    def reset(self) -> None:
        scale = _MESH_PX / _MESH_SIDE
        x, y = _MESH_MIDDLE
        #: From the mean face to the input square.
        self._square = np.array(
            [(scale, 0, _MESH_PX / 2 - scale * x), (0, scale, _MESH_PX / 2 - scale * y)]
        )

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        x0, y0, x1, y1 = (float(v) for v in box)
        size = max(x1 - x0, y1 - y0)
        if not size >= 2 or not np.isfinite((x0, y0)).all():
            return None
        # A box does not determine position and rotation of the face exactly, so the score of the
        # first estimate is ignored. The second estimate uses the position of the first.
        mesh, _ = self._look(image, _upright((x0 + x1) / 2, (y0 + y1) / 2, _FIRST_LOOK * size, 0.0))
        look = _look_at(mesh)
        if look is None:
            return None
        meshes = []
        for right, down, growth in _FIRST_LOOKS:
            linear = growth * look[:, :2]
            middle = np.array([0.5 + right, 0.5 + down]) * _MESH_PX
            shift = middle - growth * (_MESH_PX / 2 - look[:, 2])
            mesh, score = self._look(image, np.column_stack([linear, shift]))
            if score < self._min_score:
                return None
            meshes.append(mesh)
        spread = np.hypot(*np.std([m[list(MESH_TO_IBUG68)] for m in meshes], axis=0).T).mean()
        if spread * np.hypot(*look[:, 0]) > _INVENTED * _MESH_PX:
            return None
        return self._taken(np.mean(meshes, axis=0))

    def near(self, image: ImageArray, landmarks: FloatArray) -> FloatArray | None:
        transform = _mean_face_transform(landmarks)
        return (
            None
            if transform is None
            else self._read(image, chained(self._square, inverse(transform)))
        )

    def _read(self, image: ImageArray, look: Matrix) -> FloatArray | None:
        """The 68 points, if the mesh's score is sufficient."""
        mesh, score = self._look(image, look)
        return self._taken(mesh) if score >= self._min_score else None

    def _taken(self, mesh: Matrix) -> FloatArray | None:
        """The 68 points of a mesh; updates the next input square."""
        points: FloatArray = mesh[list(MESH_TO_IBUG68)].astype(np.float32)
        transform, following = _mean_face_transform(points), _look_at(mesh)
        if transform is None or following is None:
            return None
        self._square = chained(following, transform)
        return points

    def _look(self, image: ImageArray, look: Matrix) -> tuple[Matrix, float]:
        """The whole mesh (468, 2) in the image, from the square of the transform `look`."""
        square = cut_out(image, look, _MESH_PX, gray=False, black_outside=True)
        mesh, logit = self._network.run(_blob(square, 1.0, 0.0))
        points = applied(inverse(look), mesh.reshape(-1, 3)[:, :2].astype(np.float64))
        return points, float(1 / (1 + np.exp(-np.clip(float(logit), -80, 80))))


def _mean_face_transform(landmarks: FloatArray) -> Matrix | None:
    """The transform from the mean face to the face; `None` if it is degenerate."""
    rigid = list(RIGID)
    transform = similarity(MEAN_FACE[rigid, :2], landmarks[rigid].astype(np.float64))
    return transform if np.isfinite(transform).all() and np.hypot(*transform[:, 0]) >= 1 else None


def _look_at(mesh: Matrix) -> Matrix | None:
    """The best input square for the face of this mesh; `None` if it is degenerate."""
    low, high = mesh.min(axis=0), mesh.max(axis=0)
    side = _MESH_ROOM * float(max(high - low))
    if not (np.isfinite(mesh).all() and side >= 2):
        return None
    right, left = mesh[list(_LEVEL)]
    x, y = (low + high) / 2
    return _upright(x, y, side, float(np.arctan2(left[1] - right[1], left[0] - right[0])))


def _upright(x: float, y: float, side: float, turn: float) -> Matrix:
    """The transform from the image to a square around x, y, rotated by `turn` (radians)."""
    scale = _MESH_PX / side
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([(cos, sin), (-sin, cos)])
    return np.column_stack([linear, _MESH_PX / 2 - linear @ (x, y)])


@lru_cache(maxsize=1)
def _face_mesh() -> _Network:
    return _Network("face-mesh", ("conv2d_21", "conv2d_31"))
