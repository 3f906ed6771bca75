"""Settings: frozen dataclasses read from TOML by a strict loader.

All values stand in ``configs/default.toml``, each with its reason; the classes here define names,
types and ranges. Precedence: default file < user's file < overrides.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from numbers import Integral
from os import PathLike
from typing import Any

from aumer.strict import ALSO, Layer, layered, nested, preset, read_toml, require, within

#: Ways to choose the face, other than by its number.
FOLLOW = ("largest", "left", "right", "all")
#: A number with one spelling only, since it goes into cache keys.
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class FaceSettings:
    """Detection and landmarks.

    Attributes:
        detector, landmarker: names of back ends.
        carry: true: landmarks are detected on key frames and carried by flow between them; false:
            they are detected on every frame.
        follow: which face: "largest" (of the first frame that shows any), "left", "right" (as the
            picture shows them), a number (2 is the second face that appeared; stored as text), or
            "all".
        min_eye_distance: smallest distance of the outer eye corners of a usable face, in px.
        restart_s: seconds of video in one cached chunk; an interrupted run continues after the last
            complete chunk.
    """

    detector: str
    landmarker: str
    carry: bool
    follow: str = field(metadata={ALSO: int})
    min_eye_distance: float
    restart_s: float

    def __post_init__(self) -> None:
        follow: object = self.follow  # callers may pass an int
        if not isinstance(follow, bool) and isinstance(follow, Integral):
            follow = str(follow)
            object.__setattr__(self, "follow", follow)
        require(
            isinstance(follow, str) and (follow in FOLLOW or bool(_NUMBER.fullmatch(follow))),
            "face.follow",
            self.follow,
            f"{', '.join(FOLLOW)} or the number of a face, from 1, in plain digits",
        )
        within("face.min_eye_distance", self.min_eye_distance, 1, 10_000, "px")
        within("face.restart_s", self.restart_s, 1, DAY_S, "seconds")


#: Named sensitivities; a number means false alarms per minute of rest.
SENSITIVITIES = ("low", "normal", "high")

#: Upper limit of motion.rate, rows per second.
MAX_RATE = 1000.0
#: Upper limit of every duration in settings; seconds.
DAY_S = 86_400.0

#: How the motion of ROIs is measured: by matching windows (aumer's method, `aumer.motion.windows`;
#: also with torch, for a GPU), from dense flow on aligned crops with MDMO (`aumer.motion.dense`),
#: or as AUW-GCN's authors did (`aumer.motion.published`).
PRESETS = ("windows", "windows-torch", "flow", "published")
#: The presets that read dense flow.
DENSE = ("flow", "published")


@dataclass(frozen=True)
class MotionSettings:
    """Measurement of motion. Lengths are in px of the canonical crop.

    Attributes:
        preset: how ROIs' motion is measured, one of `PRESETS`.
        flow: name of a dense optical flow, for all presets but "windows" and for recognizers' flow
            maps. Given without a preset it selects the preset "flow".
        rate: analysis rate, rows per second, whatever the video's frame rate.
        crop: side of the square canonical crop; the outer eye corners lie crop / 2 apart.
        rois: which ROIs, as `aumer.graph.rois.roi_set` reads it: the name of a set, or indices or
            names of landmarks, separated by blanks.
        roi_radius: with dense flow an ROI is the square of 2 roi_radius + 1 px around its landmark.
        max_gap_s: no motion is measured between frames that are further apart; seconds.
        max_head_residual: median misfit (px) of the head-motion fit above which two frames do not
            show the same face (a cut, a lost landmark) and the row is invalid.
        published_8bit: pass the flow through 8-bit images of +-10 px, as AUW-GCN's authors did;
            only for the preset "published", which True selects if no preset is given.
    """

    preset: str
    flow: str
    rate: float
    crop: int
    rois: str
    roi_radius: int
    max_gap_s: float
    max_head_residual: float
    published_8bit: bool

    def __post_init__(self) -> None:
        allowed = "one of " + ", ".join(f"{name!r}" for name in PRESETS)
        require(self.preset in PRESETS, "motion.preset", self.preset, allowed)
        require(1 <= self.rate <= MAX_RATE, "motion.rate", self.rate, "from 1 to 1000 per second")
        require(32 <= self.crop <= 1024, "motion.crop", self.crop, "from 32 to 1024 px")
        require(
            1 <= self.roi_radius <= self.crop // 8,
            "motion.roi_radius",
            self.roi_radius,
            "from 1 px to an eighth of motion.crop",
        )
        within("motion.max_gap_s", self.max_gap_s, 0.001, 60, "seconds")
        within("motion.max_head_residual", self.max_head_residual, 0.001, 1024, "px")
        require(
            self.preset == "published" or not self.published_8bit,
            "motion.published_8bit",
            self.published_8bit,
            f"false where motion.preset is {self.preset!r}: it is of the preset 'published'",
        )


@dataclass(frozen=True)
class RuleSettings:
    """Constants of the rule-based spotter; `aumer.spotting.rules` explains each.

    Times are in seconds, lengths in outer-eye distances (the crop's half side).

    Attributes:
        sensitivity: one of `SENSITIVITIES`, or the accepted number of false alarms per minute of
            rest (stored as text); `aumer.spotting.noise` has the measurements and the allowed
            range.
        noise_window_s, lookahead_s: seconds before and after a movement from which its noise is
            estimated; a window of 0 takes the whole unbroken run.
    """

    sensitivity: str = field(metadata={ALSO: float})
    smooth_s: float
    noise_s: float
    reference_s: float
    noise_factor: float
    drift_s: float
    drift_factor: float
    min_height: float
    turn: float
    blink: float
    noise_window_s: float
    lookahead_s: float
    trust: float
    foot: float
    slow: float
    rest_level_s: float
    at_rest: float
    complete: float
    min_s: float
    max_s: float
    micro_max_s: float
    hold: float
    hold_s: float
    rest: float
    rest_s: float
    overlap: float

    def __post_init__(self) -> None:
        for name in ("smooth_s", "noise_s", "reference_s", "drift_s", "rest_level_s"):
            within(f"rules.{name}", getattr(self, name), 0.001, 3600, "seconds")
        for name in ("min_s", "max_s", "micro_max_s"):
            within(f"rules.{name}", getattr(self, name), 0.001, DAY_S, "seconds")
        within("rules.min_height", self.min_height, 1e-6, 10, "outer-eye distances")
        for name in ("lookahead_s", "hold_s", "rest_s"):
            within(f"rules.{name}", getattr(self, name), 0, 3600, "seconds")
        within("rules.noise_window_s", self.noise_window_s, 0, DAY_S, "seconds")
        for name in ("noise_factor", "drift_factor", "turn", "blink", "rest"):
            within(f"rules.{name}", getattr(self, name), 0, 1e6)
        object.__setattr__(self, "sensitivity", _sensitivity(self.sensitivity))
        window = self.noise_window_s
        # In a shorter window one expression leaves no rest.
        allowed = f"0 (the whole run) or more than 5 times rules.drift_s, {5 * self.drift_s:g} s"
        require(window == 0 or window > 5 * self.drift_s, "rules.noise_window_s", window, allowed)
        require(self.min_s < self.max_s, "rules.min_s", self.min_s, "less than rules.max_s")
        for name in ("trust", "foot", "slow", "complete", "at_rest", "hold", "overlap"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"rules.{name}", value, "between 0 and 1")


@dataclass(frozen=True)
class ClassifySettings:
    """When a recognizer's answer is accepted.

    Attributes:
        abstain_below: an expression whose most probable class is less probable than this gets no
            label and is "uncertain". 0 accepts every answer.
    """

    abstain_below: float

    def __post_init__(self) -> None:
        within("classify.abstain_below", self.abstain_below, 0, 1)


def _sensitivity(given: object) -> str:
    """As `RuleSettings` stores it: a number has one spelling only, since it goes into digests."""
    if given in SENSITIVITIES:
        return str(given)
    try:
        number = math.nan if isinstance(given, bool) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    allowed = f"{', '.join(SENSITIVITIES)} or a number above 0, false alarms a minute of rest"
    require(math.isfinite(number) and number > 0, "rules.sensitivity", given, allowed)
    return f"{number:g}"


#: Name of the file in ``configs/`` that holds every value.
DEFAULT = "default"


@dataclass(frozen=True)
class Settings:
    """All settings of a run; every result holds them.

    Example:
        >>> settings = aumer.load_settings()
        >>> settings.motion.rate, settings.face.detector
        (30.0, 'blazeface')
        >>> aumer.spot("interview.mp4", settings=settings).coverage
        1.0
    """

    face: FaceSettings
    motion: MotionSettings
    rules: RuleSettings
    classify: ClassifySettings

    def to_dict(self) -> dict[str, dict[str, Any]]:
        return asdict(self)


def load_settings(
    path: str | PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The default settings, changed by a TOML file and then by `overrides`.

    Args:
        path: a TOML file with any of the sections and keys of ``configs/default.toml``, or the name
            of a file in ``configs/``.
        overrides: ``{"motion": {"flow": "farneback"}}``, or ``{"motion.flow": "farneback"}``.

    Raises:
        ConfigError: the file is missing or not TOML, or any key is unknown, of the wrong type or
            out of range. Unknown and mistyped keys are reported all at once.

    Example:
        >>> settings = aumer.load_settings(overrides={"motion.rate": 60})
        >>> settings.motion.rate
        60.0
        >>> aumer.load_settings(overrides={"motion.rte": 60})
        Traceback (most recent call last):
            ...
        aumer.errors.ConfigError: overrides: unknown key motion.rte. Did you mean 'rate'? ...
    """
    return layered(Settings, *layers(path, overrides))


def layers(
    path: str | PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    called: str = "overrides",
) -> tuple[Layer, ...]:
    """The sources of settings, for the arguments of `load_settings`; later ones take precedence.

    Args:
        called: name of the overrides in messages.
    """
    allowed = "a TOML file, or the name of one that ships; a table is given as `overrides`"
    require(path is None or isinstance(path, (str, PathLike)), "path", path, allowed)
    given: Any = overrides  # callers may pass anything
    is_table = given is None or isinstance(given, Mapping)
    require(is_table, called, given, "a table such as {'motion': {'rate': 60}}")
    made = [Layer(f"{DEFAULT}.toml", read_toml(preset("", DEFAULT)))]
    if path is not None:
        made += _with_implied(str(path), read_toml(preset("", path, "settings file")))
    return (*made, *_with_implied(called, overrides or {}))


def _with_implied(source: str, changes: Mapping[str, Any]) -> Iterator[Layer]:
    """The changes, with the preset of motion that they imply."""
    yield Layer(source, changes)
    motion = nested(changes).get("motion")
    named = motion if isinstance(motion, Mapping) else {}
    if "preset" in named:
        return
    if "flow" in named:  # otherwise the requested flow would have no effect
        yield Layer(f"{source}, by motion.flow", {"motion.preset": "flow"})
    if named.get("published_8bit"):
        yield Layer(f"{source}, by motion.published_8bit", {"motion.preset": "published"})


def digest(value: Any) -> str:
    """Hex SHA-256 of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
