"""Shared by all drawings: files, colors, and shortening of texts."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath, atomic_write, check_target
from aumer.types import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Suffixes of figures.
IMAGE_SUFFIXES = (".png", ".pdf", ".svg")

#: Okabe and Ito's colors, which color-blind people can distinguish; the markers can be
#: distinguished in black and white. The colors of the kinds are used for nothing else.
KIND_COLORS: dict[Kind, str] = {"micro": "#D55E00", "macro": "#0072B2"}
GROUP_COLORS = {"brow": "#009E73", "nose": "#8C8C8C", "mouth": "#9C4F96", "other": "#000000"}
GRAY = "0.35"

#: A keyword in files of pictures that were made without faces.
FACELESS = "aumer:no-faces"

_DPI, _SCREEN_DPI = 200, 100


def check_picture(path: StrPath, *, overwrite: bool) -> None:
    """Check a path before anything is drawn.

    Raises:
        UsageError: unknown suffix, an existing file without `overwrite`, or a missing folder.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise UsageError(
            f"cannot draw {path}: a figure is written as {', '.join(IMAGE_SUFFIXES)}; found "
            f"{suffix or 'no suffix'!r}.{did_you_mean(suffix, IMAGE_SUFFIXES)}"
        )
    check_target(path, overwrite=overwrite)


def write_picture(
    figure: Figure, path: StrPath, *, overwrite: bool, faceless: bool = False
) -> None:
    """Write a figure in the format of the suffix, complete or not at all.

    Args:
        faceless: mark the file as showing no face.

    Raises:
        UsageError: an existing file without `overwrite`, or the system refuses to write.
    """
    image = io.BytesIO()
    marks = {"Keywords": FACELESS} if faceless else None  # a field of all three formats
    figure.savefig(image, format=Path(path).suffix.lower()[1:], dpi=_DPI, metadata=marks)
    atomic_write(path, image.getvalue(), overwrite=overwrite)


def png(figure: Figure) -> bytes:
    """The figure as PNG, for notebooks."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=_SCREEN_DPI)
    return image.getvalue()


def group_of(roi: str) -> str:
    """The group of an ROI, a key of `GROUP_COLORS`, from its name."""
    part = roi.split("_")[0]
    return {"brow": "brow", "nose": "nose", "mouth": "mouth", "lip": "mouth"}.get(part, "other")


def cut(text: str, most: int, *, tail: int) -> str:
    """The text shortened to at most `most` characters, with an ellipsis before the last `tail`."""
    return text if len(text) <= most else f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
