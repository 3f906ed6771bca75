"""What a `SpotNet` is made of: a frozen record, read from TOML by a strict loader. No torch.

Shipped presets lie in ``configs/spotnet/``; the values live there alone, each beside its reason.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from aumer._data import data_dir
from aumer.errors import ConfigError, did_you_mean
from aumer.graph import NORMALISATIONS
from aumer.types import Features, FloatArray

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Outer-eye distances per row below which a video's typical motion says nothing of its noise
#: (motion stored in 8 bits is mostly zero).
_STILL = 1e-4


@dataclass(frozen=True)
class NetConfig:
    """The shape of a spotting network.

    Attributes:
        graph: the prior over ROIs, by the name or path that `AUGraph.load` takes.
        normalisation: of the prior, by a name of `aumer.graph.NORMALISATIONS`.
        residual_edges: learn a bounded correction of every edge on top of the prior.
        layer: the graph layer: "dense", a name registered as "graph-layer", a message-passing layer
            of torch-geometric, or "none" for no graph at all.
        layer_options: further arguments of the layer, ``{"heads": 2}``.
        graph_width: channels per ROI after the graph layer.
        rate: rows per second of the features it reads; kernels and dilations count rows.
        motion_scales_s: beside the motion from row to row, the displacement over the last and over
            the next so many seconds.
        video_scaling: divide a video's motion by its median magnitude.
        widths, kernels, dilations: of the temporal convolutions, in order; kernels are odd.
        residual: add its input to the output of every convolution that keeps the width.
        head_kernel, head_dilation: of the convolution that gives the tracks.
        apex_branch: give the apex tracks a convolution and a head of their own.
        dropout: share of a convolution's outputs dropped in training.

    Raises:
        ConfigError: a value out of range, or tuples of unequal length.
    """

    graph: str
    normalisation: str
    residual_edges: bool
    layer: str
    layer_options: Mapping[str, Any]
    graph_width: int
    rate: float
    motion_scales_s: tuple[float, ...]
    video_scaling: bool
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    residual: bool
    head_kernel: int
    head_dilation: int
    apex_branch: bool
    dropout: float

    def __post_init__(self) -> None:
        _require(
            self.normalisation in NORMALISATIONS,
            "normalisation",
            self.normalisation,
            f"one of {', '.join(NORMALISATIONS)}",
        )
        _require(self.graph_width >= 1, "graph_width", self.graph_width, ">= 1")
        _require(1 <= self.rate <= 1000, "rate", self.rate, "from 1 to 1000 rows per second")
        _require(
            all(0 < s <= 60 for s in self.motion_scales_s),
            "motion_scales_s",
            list(self.motion_scales_s),
            "seconds above 0, at most 60",
        )
        n = len(self.widths)
        _require(n >= 1, "widths", [], "at least one number of channels")
        for name in ("kernels", "dilations"):
            value = getattr(self, name)
            _require(len(value) == n, name, list(value), f"as many numbers as widths, {n}")
        for name in ("widths", "kernels", "dilations", "head_kernel", "head_dilation"):
            value = getattr(self, name)
            each = value if isinstance(value, tuple) else (value,)
            _require(all(v >= 1 for v in each), name, value, ">= 1")
            odd = "kernel" not in name or all(v % 2 for v in each)
            _require(
                odd, name, value, "odd, so that a row is in the middle of what it is read from"
            )
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "from 0 to less than 1")
        _require(
            not (self.residual_edges and self.layer == "none"),
            "residual_edges",
            True,
            'false where layer is "none": there is no edge to correct',
        )

    @classmethod
    def preset(
        cls, name: str | PathLike[str], overrides: Mapping[str, Any] | None = None
    ) -> NetConfig:
        """A shipped preset by name, or the TOML file at a path, changed by `overrides`.

        Raises:
            ConfigError: no such preset or file, not TOML, or as for `from_dict`.
        """
        path = _find(Path(name).expanduser())
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"cannot read network settings from {path}: {error}") from error
        cls.from_dict(values, str(path))  # so that a fault is the file's and not the overrides'
        return cls.from_dict({**values, **(overrides or {})}, f"{name} with overrides")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "network settings") -> NetConfig:
        """The inverse of `to_dict`, strict: every key once, none unknown, each of its type.

        Raises:
            ConfigError: names every unknown, missing and mistyped key at once.
        """
        kinds = {f.name: str(f.type) for f in fields(cls)}
        wrong = []
        for key, value in values.items():
            if key not in kinds:
                wrong.append(f"unknown key {key}.{did_you_mean(key, kinds)}")
            elif not _READ[kinds[key]].fits(value):
                wrong.append(f"{key} must be {_READ[kinds[key]].words}; found {value!r}.")
        if missing := [key for key in kinds if key not in values]:
            wrong.append(f"missing {', '.join(missing)}.")
        if wrong:
            raise ConfigError(f"{source}: {' '.join(wrong)} Keys are: {', '.join(kinds)}.")
        return cls(**{key: _READ[kinds[key]].convert(value) for key, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and TOML have them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def motion_rows(self) -> tuple[int, ...]:
        """`motion_scales_s` in rows, at least one each."""
        return tuple(max(1, round(s * self.rate)) for s in self.motion_scales_s)

    def inputs(self, features: Features) -> FloatArray:
        """What the network reads of a whole video: (T, R, 2) float32, invalid rows 0.

        Motion in outer-eye distances per row; with `video_scaling`, in units of the video's median
        magnitude over valid rows, ROIs and axes.
        """
        x = np.where(features.valid[:, None, None], features.values, 0) / features.eye_distance
        if self.video_scaling and features.valid.any():
            x = x / max(float(np.median(np.abs(x[features.valid]))), _STILL)
        return x.astype(np.float32)


def presets() -> tuple[str, ...]:
    """Names of the shipped presets."""
    return tuple(sorted(p.stem for p in (data_dir("configs") / "spotnet").glob("*.toml")))


def _find(given: Path) -> Path:
    if given.parent == Path() and given.name in presets():
        return data_dir("configs") / "spotnet" / f"{given.name}.toml"
    if given.is_file():
        return given
    raise ConfigError(
        f"no network preset or file {str(given)!r}: give a path to a TOML file or one of "
        f"{', '.join(presets())}.{did_you_mean(given.name, presets())}"
    )


def _require(ok: bool, name: str, found: object, allowed: str) -> None:
    if not ok:
        raise ConfigError(f"{name} must be {allowed}; found {found!r}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: object) -> bool:
    # 1 is a fine float; True is not, nor are inf and nan, which JSON has not
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max


def _each(test: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(test(v) for v in value)


@dataclass(frozen=True)
class _Read:
    """How a field's type is told, tested and made from plain values."""

    words: str
    fits: Callable[[object], bool]
    convert: Callable[[Any], Any]


_READ: dict[str, _Read] = {
    "str": _Read("a text", lambda v: isinstance(v, str), str),
    "bool": _Read("true or false", lambda v: isinstance(v, bool), bool),
    "int": _Read("a whole number", _is_int, int),
    "float": _Read("a number", _is_float, float),
    "tuple[int, ...]": _Read("a list of whole numbers", _each(_is_int), tuple),
    "tuple[float, ...]": _Read(
        "a list of numbers", _each(_is_float), lambda v: tuple(float(x) for x in v)
    ),
    "Mapping[str, Any]": _Read("a table", lambda v: isinstance(v, Mapping), dict),
}
