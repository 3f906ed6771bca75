"""aumer finds facial micro- and macro-expressions in long videos.

``aumer.spot("interview.mp4")`` returns the onset, apex and offset of each expression, with its kind
and score; ``aumer.live(0)`` reports expressions while a camera runs. ``aumer.classify("clip.mp4")``
names one expression, and ``aumer.features("interview.mp4")`` measures the motion of the face.
``aumer.evaluate("predictions.csv", "truth.csv")`` scores predictions, ``aumer.train("my_videos",
"table.csv", out="runs/mine")`` trains weights, and ``aumer.simulate_features`` and
``aumer.simulate_films`` make data whose expressions are known exactly. ``aumer.register`` adds your
own parts.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

# pip refuses an older Python; a checkout on PYTHONPATH does not.
if sys.version_info < (3, 10):  # noqa: UP036
    raise ImportError(
        "aumer needs Python 3.10 or newer, and this is Python "
        + ".".join(map(str, sys.version_info[:3]))
        + " ("
        + sys.executable
        + "). Make an environment of a newer one, such as python3.12 -m venv .venv, activate it "
        "(. .venv/bin/activate), and install aumer in it"
    )

# Everything here is imported on first use: `import aumer` takes milliseconds and loads no torch.
_WHERE = {
    "spot": "aumer.pipeline",
    "live": "aumer.streaming.live",
    "classify": "aumer.classification",
    "features": "aumer.measure",
    "evaluate": "aumer.scoring",
    "agreement": "aumer.coders",
    "train": "aumer.training.entry",
    "simulate_features": "aumer.simulate.features",
    "simulate_films": "aumer.simulate.films",
    "load_features": "aumer.results.motion",
    "Spotter": "aumer.pipeline",
    "open_video": "aumer.video",
    "load_settings": "aumer.config",
    "Settings": "aumer.config",
    "Live": "aumer.streaming.live",
    "LiveEvent": "aumer.streaming.events",
    "SpotResult": "aumer.results",
    "Prediction": "aumer.results",
    "read_annotations": "aumer.results.exchange",
    "Motion": "aumer.results.motion",
    "AUGraph": "aumer.graph",
    "Interval": "aumer.types",
    "Expression": "aumer.types",
    "ActingUnit": "aumer.types",
    "Frame": "aumer.types",
    "FaceTrack": "aumer.types",
    "Features": "aumer.types",
    "Scores": "aumer.types",
    "Counts": "aumer.types",
    "AumerError": "aumer.errors",
    "UsageError": "aumer.errors",
    "ConfigError": "aumer.errors",
    "BackendUnavailable": "aumer.errors",
    "VideoError": "aumer.errors",
    "NoFaceError": "aumer.errors",
    "NoMotionError": "aumer.errors",
    "WeightsError": "aumer.errors",
    "register": "aumer.registry",
}

if TYPE_CHECKING:
    from aumer.classification import classify
    from aumer.coders import agreement
    from aumer.config import Settings, load_settings
    from aumer.errors import (
        AumerError,
        BackendUnavailable,
        ConfigError,
        NoFaceError,
        NoMotionError,
        UsageError,
        VideoError,
        WeightsError,
    )
    from aumer.graph import AUGraph
    from aumer.measure import features
    from aumer.pipeline import Spotter, spot
    from aumer.registry import register
    from aumer.results import Prediction, SpotResult
    from aumer.results.exchange import read_annotations
    from aumer.results.motion import Motion, load_features
    from aumer.scoring import evaluate
    from aumer.simulate.features import simulate_features
    from aumer.simulate.films import simulate_films
    from aumer.streaming.events import LiveEvent
    from aumer.streaming.live import Live, live
    from aumer.training.entry import train
    from aumer.types import (
        ActingUnit,
        Counts,
        Expression,
        FaceTrack,
        Features,
        Frame,
        Interval,
        Scores,
    )
    from aumer.video import open_video

__all__ = [
    "AUGraph",
    "ActingUnit",
    "AumerError",
    "BackendUnavailable",
    "ConfigError",
    "Counts",
    "Expression",
    "FaceTrack",
    "Features",
    "Frame",
    "Interval",
    "Motion",
    "Live",
    "LiveEvent",
    "NoFaceError",
    "NoMotionError",
    "Prediction",
    "Scores",
    "Settings",
    "SpotResult",
    "Spotter",
    "UsageError",
    "VideoError",
    "WeightsError",
    "agreement",
    "classify",
    "evaluate",
    "features",
    "live",
    "load_features",
    "load_settings",
    "open_video",
    "register",
    "simulate_features",
    "simulate_films",
    "spot",
    "train",
    "read_annotations",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("aumer")
    if name in _WHERE:
        try:
            return getattr(importlib.import_module(_WHERE[name]), name)
        except ImportError as error:
            from aumer.missing import explained

            if (known := explained(error)) is not None:
                raise known from error
            raise
    raise AttributeError(f"module 'aumer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
