"""What all drawings share: where they go, their colors, and what fits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath, atomic_write, check_target
from aumer.types import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The formats that a figure is written in.
IMAGE_SUFFIXES = (".png", ".pdf", ".svg")

#: Okabe and Ito's colors, which stay apart for the color-blind; the shapes do so in black on
#: white. Those of the kinds are used for nothing else.
KIND_COLORS: dict[Kind, str] = {"micro": "#D55E00", "macro": "#0072B2"}
GROUP_COLORS = {"brow": "#009E73", "nose": "#8C8C8C", "mouth": "#9C4F96", "other": "#000000"}
GRAY = "0.35"

#: A word in files of pictures that were made without any face, which tells them from others.
FACELESS = "aumer:no-faces"

_DPI, _SCREEN_DPI = 200, 100


def check_picture(path: StrPath, *, overwrite: bool) -> None:
    """Complain of a path before anything is drawn.

    Raises:
        UsageError: another suffix, an existing file without `overwrite`, or no such folder.
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
    """Write a figure in the format of the suffix, whole or not at all.

    Args:
        faceless: mark the file as one that shows no face.

    Raises:
        UsageError: an existing file without `overwrite`, or the system refuses to write.
    """
    image = io.BytesIO()
    marks = {"Keywords": FACELESS} if faceless else None  # a word that all three formats have
    figure.savefig(image, format=Path(path).suffix.lower()[1:], dpi=_DPI, metadata=marks)
    atomic_write(path, image.getvalue(), overwrite=overwrite)


def png(figure: Figure) -> bytes:
    """The figure as a notebook shows it."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=_SCREEN_DPI)
    return image.getvalue()


def group_of(roi: str) -> str:
    """The group of a ROI by its name, a key of `GROUP_COLORS`."""
    part = roi.split("_")[0]
    return {"brow": "brow", "nose": "nose", "mouth": "mouth", "lip": "mouth"}.get(part, "other")


def cut(text: str, most: int, *, tail: int) -> str:
    """At most `most` characters of `text`: an ellipsis stands for what precedes the last `tail`."""
    return text if len(text) <= most else f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
