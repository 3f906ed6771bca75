"""A trained network as a spotter: features in, scores and decoded expressions out."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aumer import weights
from aumer.cache import rested
from aumer.config import MotionSettings, Settings
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.graph import AUGraph
from aumer.graph.rois import roi_set
from aumer.learning.machine import device_of
from aumer.log_capture import collected_warnings
from aumer.process import give_back_memory, use_threads
from aumer.registry import REGISTERED_ELSEWHERE
from aumer.spotting import stages
from aumer.spotting.channels import CHANNELS
from aumer.spotting.decode import Decoder
from aumer.spotting.interface import SpotterModel
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import TrackDecoder
from aumer.spotting.stages import LONG_ROWS
from aumer.types import Expression, Features, FloatArray, Scores

#: Seconds of video that a network scores at a time: bounds the memory, does not change scores.
CHUNK_S = 120.0
#: Seconds after its look-ahead from which on decoded expressions no longer change.
_SETTLES_S = 2.0

#: The shipped weights: preset "aumer", trained on simulated faces; see their card.
SHIPPED = Path(__file__).parent / "weights" / "network.safetensors"
#: The command that trains them again.
_MADE_BY = "python -m benchmarks.accuracy.spotters --train PATH"

#: Back ends of the same flow with equal results.
_SAME_FLOW = {"tvl1-opencv": "tvl1", "tvl1-torch": "tvl1"}

_log = logging.getLogger("aumer")


def motion_record(motion: MotionSettings) -> dict[str, Any]:
    """The motion settings that change features; files of weights record them.

    The size of the crop does not count, since a network's inputs are in outer-eye distances, nor
    does another back end of the same flow. ROIs and rate are in the network's graph and
    configuration.
    """
    if motion.preset in ("windows", "windows-torch"):
        return {"preset": "windows"}
    record: dict[str, Any] = {"preset": motion.preset}
    record["flow"] = _SAME_FLOW.get(motion.flow, motion.flow)
    if motion.preset == "published":
        record["published_8bit"] = motion.published_8bit
    return record


class NetSpotter(SpotterModel):
    """Spots with a network of any architecture and a decoder.

    Attributes:
        name: stands in results; includes the name of the file that it was loaded from.
    """

    uses_graph = True

    def __init__(
        self,
        net: SpottingNetwork,
        decoder: TrackDecoder | None = None,
        *,
        name: str = "network",
        device: str = "cpu",
    ) -> None:
        self.net = net
        self.decoder: TrackDecoder = decoder or Decoder()
        self.name = name
        self._device = device
        self._noted = False

    @classmethod
    def load(
        cls, path: StrPath, *, graph: AUGraph | None = None, device: str = "cpu"
    ) -> NetSpotter:
        """Load a file of `save`, with the decoder that the network was trained for.

        Args:
            graph: another graph over the same ROIs; see `SpottingNetwork.load`.

        Raises:
            WeightsError: the file is missing, damaged, or not a spotting network's, or the graph
                has other ROIs.
        """
        with collected_warnings() as logged:
            net = SpottingNetwork.load(path, graph)
        if not isinstance(net.card.get("motion"), (dict, type(None))):
            raise WeightsError(
                f"{path}: its card says that it was trained on the motion "
                f"{net.card['motion']!r}, which is not a table of settings"
            )
        with foreign(path, "a decoder that there is here", WeightsError, REGISTERED_ELSEWHERE):
            decoder = TrackDecoder.from_dict(net.card.get("decoder", {}))
        made = cls(net, decoder, name=f"network {Path(path).name}", device=device)
        made.notes = tuple(logged)
        return made

    @classmethod
    def from_settings(
        cls, settings: Settings, *, graph: AUGraph | None = None, device: str = "cpu"
    ) -> NetSpotter:
        """The network that ships, optionally with another graph; see `load`.

        Raises:
            UsageError: settings whose features it cannot read.
            WeightsError: the graph has other ROIs.
        """
        made = cls.load(SHIPPED, graph=graph, device=device)
        made.name = "network"
        made.check(settings)
        return made

    @property
    def rate(self) -> float:
        """Rows per second that it reads."""
        return self.net.config.rate

    @property
    def settles_s(self) -> float:
        """Its look-ahead plus a margin for late changes of motion and boundaries."""
        return self.net.half_width / self.rate + _SETTLES_S

    @property
    def threshold(self) -> float | None:
        """The threshold of the decoder."""
        return self.decoder.threshold

    @property
    def motion(self) -> dict[str, Any] | None:
        """`motion_record` of the features that it was trained on; None if not recorded."""
        return self.net.card.get("motion")

    def save(
        self, path: StrPath, card: Mapping[str, Any] | None = None, *, overwrite: bool = False
    ) -> None:
        """Write weights, decoder, motion record and card to one safetensors file.

        Raises:
            UsageError: the network or the decoder is not registered, so that a file cannot name it;
                the file exists and `overwrite` is False; or the card holds other than plain values.
        """
        about = {**(card or {}), "decoder": self.decoder.to_dict()}
        if "motion" in self.net.card:
            about["motion"] = self.motion
        self.net.save(path, about, overwrite=overwrite)

    def to(self, device: str) -> bool:
        """Run on this device from now on; "auto" leaves it where it is, by default on the CPU.

        For a network this small starting a GPU takes longer than the work.

        Raises:
            UsageError: there is no such device here.
        """
        if device != "auto":
            self._device = str(device_of(device))
        return True

    @property
    def device(self) -> str:
        """See `SpotterModel.device`."""
        return self._device

    @property
    def card(self) -> Mapping[str, Any]:
        """The card of the weights."""
        return self.net.card

    @property
    def digests(self) -> dict[str, str]:
        """Everything that the scores depend on besides the features."""
        known = weights.digest(weights.arrays_of(self.net))
        return {"graph": self.net.graph.digest, "weights": known}

    def check(self, settings: Settings) -> None:
        """Refuse settings whose features it cannot read, before a video is analyzed.

        Raises:
            UsageError: motion.rois, motion.rate or how motion is measured (`motion_record`) differ
                from what the network was trained on.
        """
        rois, reads = roi_set(settings.motion.rois).names, self.net.graph.rois
        if rois != reads:
            raise UsageError(
                f"{self.name} reads the {len(reads)} ROIs {', '.join(reads)}; motion.rois gives "
                f"{len(rois)}: {', '.join(rois)}. Set motion.rois to the network's, or train a "
                "network on features of yours with `aumer train`"
            )
        self._require_rate(settings.motion.rate, "motion.rate is")
        self._require_motion(settings.motion)

    def _require_motion(self, motion: MotionSettings) -> None:
        found = motion_record(motion)
        if self.motion is None:
            self._note_unknown_motion(found)
        elif found != self.motion:
            trained_on = ", ".join(
                f"`motion.{key}={json.dumps(value)}`" for key, value in self.motion.items()
            )
            raise UsageError(
                f"{self.name} was trained on motion measured with "
                f"{motion_text(self.motion)}, and these settings measure it with "
                f"{motion_text(found)}",
                fixes=(
                    f"use the settings of its training ({trained_on})",
                    "spot with the rules (`model='rules'`)",
                    "train a network on features of these settings with `aumer train`",
                ),
            )

    def _note_unknown_motion(self, found: Mapping[str, Any]) -> None:
        # Weights without this entry are from before there were presets, when all motion was dense
        # flow.
        older = "motion" not in self.net.card
        if self._noted or not self.net.card or (older and found["preset"] == "flow"):
            return
        self._noted = True
        older_ones = ' (older weights: that of motion.preset = "flow")' if older else ""
        made_by = _MADE_BY if self.name == "network" else "aumer train CONFIG"
        note = (
            f"{self.name} does not say what motion it was trained on{older_ones}; the settings say "
            f"{motion_text(found)}. Train it again, on features of these: `{made_by}`"
        )
        self.notes = (*self.notes, note)
        _log.warning("%s", note)

    def _require_rate(self, found: float, where: str) -> None:
        if not math.isclose(found, self.rate, rel_tol=1e-3):
            raise UsageError(
                f"{self.name} reads {self.rate:g} rows per second and {where} {found:g}",
                fixes=(
                    f"set `motion.rate={self.rate:g}`",
                    "spot with the rules (`model='rules'`), which read any rate",
                ),
            )

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        """Scores of the ten tracks, and the expressions decoded from them.

        Raises:
            UsageError: the features are of other ROIs or at another rate than the network reads.
            WeightsError: the scores are NaN or infinite.
        """
        scores = self.scores(features)
        return scores, self.decoder(scores)

    def scores(self, features: Features) -> Scores:
        """The ten tracks, without decoding.

        Raises:
            UsageError, WeightsError: as when it is called.
        """
        self._require_rate(features.rate, "the features' rate is")
        use_threads()
        self.net.check(features)
        parts = stages.parts(len(features))
        edges = [len(features) * part // parts for part in range(parts + 1)]

        @cache
        def inputs() -> Tensor:
            made = torch.from_numpy(self.net.config.inputs(features))
            rested(features.values)
            return made

        def part(begin: int, end: int) -> FloatArray:
            return self.net.values(
                inputs(), features.valid, begin, end, chunk_s=CHUNK_S, device=self._device
            )

        values = [
            stages.kept(
                "scores",
                (features,),
                (self.net.config, *self.net.modules()),
                {
                    **self.digests,
                    "config": self.net.config.to_dict(),
                    "device": self._device,
                    "chunk_s": CHUNK_S,
                    "rows": [begin, end],
                },
                partial(part, begin, end),
                lambda made: {"values": made},
                lambda arrays: np.asarray(arrays["values"]),
            )
            for begin, end in pairwise(edges)
        ]
        found = Scores(
            values[0] if parts == 1 else np.concatenate(values),
            features.times,
            features.frames,
            features.valid,
            CHANNELS,
        )
        del values
        inputs.cache_clear()
        if len(found) > LONG_ROWS:
            give_back_memory()
        if not np.isfinite(found.values[found.valid]).all():
            # Finite weights can overflow 32-bit sums.
            raise WeightsError(
                f"{self.name} gives scores that are NaN or infinite: its weights are damaged, or "
                "its training failed. Train it again, or give other weights"
            )
        return found


def motion_text(record: Mapping[str, Any]) -> str:
    """A `motion_record` as text, with values in TOML."""
    return ", ".join(f"motion.{key} = {json.dumps(value)}" for key, value in record.items())
