"""Explains missing packages and system libraries, with the command that installs them.

A new installation meets these errors first. This module imports only the standard library, since
anything else may be broken.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distributions, requires

from aumer.errors import BackendUnavailable

CONTRIB = "opencv-contrib-python"
HEADLESS = "opencv-contrib-python-headless"

#: Packages whose import name differs from their distribution's.
_DISTRIBUTIONS = {
    "cv2": CONTRIB,
    "face_alignment": "face-alignment",
    "retinaface": "retina-face",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "torch_geometric": "torch-geometric",
}
_LIBRARY = re.compile(r"(lib[\w.+-]+?\.so[\d.]*): cannot open shared object file")


def explained(error: BaseException) -> BackendUnavailable | None:
    """The meaning of a failed import, with the next command; `None` for other errors.

    Args:
        error: an unexpected error, or one that was caused by such an error.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, ImportError):
        found = found.__cause__ or found.__context__
    if not isinstance(found, ImportError):
        return None
    if library := _LIBRARY.search(str(found)):
        return BackendUnavailable(
            f"OpenCV cannot start: the system library {library[1]} is missing. As root, run "
            "`apt-get install libgl1 libglib2.0-0` (Debian, Ubuntu) or `dnf install mesa-libGL "
            f"glib2` (Fedora). Without root, run `{opencv_repair(found, opencv_wheels())}`"
        )
    if isinstance(found, ModuleNotFoundError) and found.name:
        return _missing(found.name.partition(".")[0])
    return None


def _missing(module: str) -> BackendUnavailable | None:
    name = _DISTRIBUTIONS.get(module, module).lower()
    try:
        listed = requires("aumer") or []
    except PackageNotFoundError:  # run from a checkout
        listed = []
    for requirement in listed:
        plain = requirement.partition(";")[0].strip()
        if re.split(r"[\s<>=!~\[(]", plain, maxsplit=1)[0].lower() == name:
            return BackendUnavailable(
                f"aumer needs the package {name}, which is missing from this Python "
                f"({sys.executable}). If aumer was installed in another environment, activate that "
                f'one. Otherwise run `"{sys.executable}" -m pip install "{plain}"`'
            )
    return None  # from a plugin, or a bug of aumer


def opencv_wheels() -> dict[str, str]:
    """The versions of the installed opencv distributions, by name."""
    found = {(d.name or "").lower().replace("_", "-"): d.version for d in distributions()}
    return {name: found[name] for name in sorted(found) if name.startswith("opencv")}


def opencv_repair(error: Exception | None, installed: dict[str, str]) -> str:
    """The command that repairs a cv2 which raised `error` or lacks modules.

    Args:
        installed: the version of each opencv distribution.
    """
    # The GUI wheel needs system libraries that servers lack; the headless wheel does not.
    wheel = HEADLESS if error is not None and "cannot open shared object" in str(error) else CONTRIB
    release = installed.get(wheel)
    target = f"{wheel}=={release}" if release else f"{wheel}>=4.11,<4.12"
    return f'"{sys.executable}" -m pip install --force-reinstall --no-deps "{target}"'
