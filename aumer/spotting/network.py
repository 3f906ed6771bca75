"""A trained network as a spotter: features in, scores and decoded expressions out."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aumer import weights
from aumer.config import MotionSettings, Settings
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.graph import AUGraph
from aumer.graph.rois import roi_set
from aumer.learning.machine import device_of
from aumer.log_capture import collected_warnings
from aumer.process import use_threads
from aumer.spotting.decode import Decoder
from aumer.spotting.interface import SpotterModel
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import TrackDecoder
from aumer.types import Expression, Features, Scores

#: Seconds of video that a network scores at a time: bounds the memory, changes no score.
CHUNK_S = 600.0
#: Seconds besides its look-ahead after which what is decoded stays.
_SETTLES_S = 2.0

#: The weights that ship: of the preset "aumer", trained on simulated faces; the card says how.
SHIPPED = Path(__file__).parent / "weights" / "network.safetensors"
#: The command that makes them anew.
_MADE_BY = "python -m benchmarks.accuracy.spotters --train PATH"

#: Other back ends of one flow, whose results are its own.
_SAME_FLOW = {"tvl1-opencv": "tvl1", "tvl1-torch": "tvl1"}

_log = logging.getLogger("aumer")


def motion_record(motion: MotionSettings) -> dict[str, Any]:
    """What of the settings makes other features: weights keep it of those they were trained on.

    The crop does not, as a network's inputs are in outer-eye distances, nor does another back end
    of the same. ROIs and rate are in a network's graph and configuration.
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
        name: as results state it; with the file's name where it was loaded from one.
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
        """From a file of `save`, with the decoder that it was trained for.

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
        advice = "If it is registered, import the module that does"
        with foreign(path, "a decoder that there is here", WeightsError, advice):
            decoder = TrackDecoder.from_dict(net.card.get("decoder", {}))
        made = cls(net, decoder, name=f"network {Path(path).name}", device=device)
        made.notes = tuple(logged)
        return made

    @classmethod
    def from_settings(
        cls, settings: Settings, *, graph: AUGraph | None = None, device: str = "cpu"
    ) -> NetSpotter:
        """The network that ships, with another graph where one is given; see `load`.

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
        """As far ahead as it looks, and what motion may change and a boundary may come later."""
        return self.net.half_width / self.rate + _SETTLES_S

    @property
    def threshold(self) -> float | None:
        """The decoder's."""
        return self.decoder.threshold

    @property
    def motion(self) -> dict[str, Any] | None:
        """`motion_record` of the features that it was trained on; None where nobody recorded it."""
        return self.net.card.get("motion")

    def save(
        self, path: StrPath, card: Mapping[str, Any] | None = None, *, overwrite: bool = False
    ) -> None:
        """Weights, decoder, what motion it was trained on, and card in one safetensors file.

        Raises:
            UsageError: the network or the decoder is not registered, so that no file can name it,
                the file exists and `overwrite` is False, or the card is not plain values.
        """
        about = {**(card or {}), "decoder": self.decoder.to_dict()}
        if "motion" in self.net.card:
            about["motion"] = self.motion
        self.net.save(path, about, overwrite=overwrite)

    def to(self, device: str) -> bool:
        """Run there from now on; "auto" leaves it where it is, which is the CPU by default.

        With 39 thousand parameters a GPU's start takes longer than its work.

        Raises:
            UsageError: there is no such device here.
        """
        if device != "auto":
            self._device = str(device_of(device))
        return True

    @property
    def card(self) -> Mapping[str, Any]:
        """What the weights say of themselves."""
        return self.net.card

    @property
    def digests(self) -> dict[str, str]:
        """What the scores depend on besides the features."""
        known = weights.digest(weights.arrays_of(self.net))
        return {"graph": self.net.graph.digest, "weights": known}

    def check(self, settings: Settings) -> None:
        """Refuse, before an hour of video is analyzed, settings whose features it cannot read.

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
        # Weights without the entry are older than presets, when all motion was of dense flow.
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
            WeightsError: what its weights make of the features is no number.
        """
        scores = self.scores(features)
        return scores, self.decoder(scores)

    def scores(self, features: Features) -> Scores:
        """The ten tracks alone.

        Raises:
            UsageError, WeightsError: as when it is called.
        """
        self._require_rate(features.rate, "the features' rate is")
        use_threads()
        found = self.net.scores(features, chunk_s=CHUNK_S, device=self._device)
        if not np.isfinite(found.values[found.valid]).all():
            # Finite weights can be too large for sums of 32 bits.
            raise WeightsError(
                f"{self.name} gives scores that are NaN or infinite: its weights are damaged, or "
                "its training failed. Train it again, or give other weights"
            )
        return found


def motion_text(record: Mapping[str, Any]) -> str:
    """A `motion_record` in words, its values as TOML has them."""
    return ", ".join(f"motion.{key} = {json.dumps(value)}" for key, value in record.items())
