"""Where the files that ship with aumer lie: settings (`configs`) and graphs (`au_priors`).

In a wheel they lie inside the package; in a checkout (`pip install -e .`) beside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """The folder of shipped files called `name`.

    Raises:
        FileNotFoundError: neither the package nor the checkout has it; the message lists where it
            was searched.
    """
    places = [_PACKAGE / "_shipped" / name]
    # Without this check an incomplete wheel would read the `configs` of some other package.
    if (_PACKAGE.parent / "pyproject.toml").is_file():
        places.append(_PACKAGE.parent / name)
    for folder in places:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"aumer's folder {name!r} is missing; looked at {', '.join(map(str, places))}. "
        "The installation is damaged: install aumer again."
    )
