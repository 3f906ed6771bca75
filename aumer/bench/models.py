"""Models by name: a ready spotter, or a network that is trained in every fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from aumer import registry
from aumer.bench.protocol import FROM_PRESET, FROM_TRAINING, IDENTITY, NetModel, Protocol
from aumer.bench.task import require_keys
from aumer.config import Settings, load_settings
from aumer.errors import UsageError, did_you_mean
from aumer.files import TemporaryFolder
from aumer.graph import AUGraph
from aumer.graph.rois import DEFAULT_ROIS
from aumer.identity import recorded
from aumer.spotting import interface
from aumer.spotting.interface import SpotterModel
from aumer.spotting.parts import TrackDecoder
from aumer.strict import plain, presets
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo

#: For selection "inner", if the preset has no inner subjects: their share, and the patience in
#: epochs.
INNER_SHARE, PATIENCE = 0.2, 10


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fold's model.

    Attributes:
        about: stored facts: digests of graph and weights, epochs, threshold.
        candidates: models by epoch, for "oracle".
    """

    spotter: SpotterModel
    about: Mapping[str, Any]
    candidates: tuple[tuple[int, SpotterModel], ...] = ()


@dataclass(frozen=True, eq=False)
class Ready:
    """A spotter that is not trained here: rules, or existing weights.

    Attributes:
        rate: rows per second of the features that it reads; `None` for any.
    """

    name: str
    spotter: SpotterModel
    settings: Settings
    rate: float | None = None
    trains: bool = field(default=False, init=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything that its predictions depend on besides the data."""
        digests = dict(self.spotter.digests)
        about: dict[str, Any] = {"model": self.name, "trained": "elsewhere" if digests else "never"}
        if self.name in registry.names("spotter"):
            about |= _parts(("spotter", self.name))
        if digests:
            return {**about, "digests": digests, "card": dict(self.spotter.card)}
        return {**about, "rules": self.settings.to_dict()["rules"]}

    def parameters(self) -> int | None:
        """Number of parameters, if it is a network."""
        from aumer.spotting.network import NetSpotter

        return _learned_numbers(self.spotter.net) if isinstance(self.spotter, NetSpotter) else None

    def fit(
        self, videos: Sequence[LabeledVideo], seed: int, checkpoint: Path | None, *, every: bool
    ) -> Fitted:
        """The spotter itself, for every fold."""
        return Fitted(self.spotter, dict(self.spotter.digests))


@dataclass(frozen=True, eq=False)
class Trainable:
    """A network, its training and its decoder.

    Attributes:
        prior: see `aumer.bench.protocol.Protocol`.
    """

    name: str
    settings: TrainSettings
    decoder: str
    prior: str
    au_map: str
    trains: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self._decoder().check(self.rate)
        self.settings.require_parts()
        if self.prior not in (FROM_TRAINING, FROM_PRESET):
            self._named(DEFAULT_ROIS.names)

    @property
    def rate(self) -> float:
        """Rows per second of the features that it reads."""
        return self.settings.net_config().rate

    def to_dict(self) -> dict[str, Any]:
        """Everything that its predictions depend on, besides data and seed."""
        counted = self.prior == FROM_TRAINING
        fixed = None if counted else self._named(DEFAULT_ROIS.names)
        return {
            "model": self.name,
            "trained": "on every fold",
            "training": self.settings.to_dict(),
            "network": self.settings.net_config().to_dict(),
            "decoder": self.decoder,
            "decoder_settings": plain(self._decoder()),
            "prior": self.prior,
            **_parts(*self.settings.parts, ("decoder", self.decoder)),
            **({"au_map": self.au_map} if counted else {}),
            **({"graph": fixed.digest} if fixed is not None else {}),
        }

    def parameters(self) -> int:
        """Number of parameters of the network."""
        graph = None
        if self.prior not in (FROM_TRAINING, FROM_PRESET):
            graph = self._named(DEFAULT_ROIS.names)
        one = _learned_numbers(self.settings.net_config().network(graph))
        return one * self.settings.members

    def fit(
        self, videos: Sequence[LabeledVideo], seed: int, checkpoint: Path | None, *, every: bool
    ) -> Fitted:
        """Train the network of a fold on its training videos only.

        Args:
            checkpoint: file for continuing an interrupted training.
            every: store the network of every epoch; training can then not be continued.
        """
        from aumer.spotting.network import NetSpotter
        from aumer.training.loop import train

        graph = self._graph(videos)
        with TemporaryFolder() as folder:
            epochs = _Epochs(folder / "checkpoint.safetensors") if every else None
            trained = train(
                videos,
                self.settings,
                graph=graph,
                seed=seed,
                # The file has only the last epoch's weights; those before an interruption are lost.
                checkpoint=epochs.path if epochs else checkpoint,
                callbacks=[epochs] if epochs else (),
                decoder=self._decoder(),
            )
        used = trained.decoder
        spotter = NetSpotter(trained.net, used, name=self.name)
        about = {
            **spotter.digests,
            "graph_name": trained.net.graph.name,
            "graph_source": dict(trained.net.graph.source),
            "epochs": len(trained.log),
            "loss": trained.log[-1]["loss_total"],
            "inner_subjects": list(trained.inner_subjects),
            "threshold": used.threshold,
            "decoder": plain(used),
            "training_seconds": round(trained.seconds, 2),
        }
        candidates = epochs.spotters(trained.net, used, self.name) if epochs else ()
        return Fitted(spotter, about, candidates)

    def _decoder(self) -> TrackDecoder:
        return TrackDecoder.named(self.decoder)

    def _named(self, rois: Sequence[str]) -> AUGraph:
        if self.prior == IDENTITY:
            return AUGraph.identity(rois)
        preset = self.prior == FROM_PRESET
        return AUGraph.load(self.settings.net_config().graph if preset else self.prior)

    def _graph(self, videos: Sequence[LabeledVideo]) -> AUGraph:
        if self.prior != FROM_TRAINING:
            return self._named(videos[0].features.rois)
        annotations = [a for v in videos for a in v.annotations]
        if not any(a.aus for a in annotations):
            raise UsageError(
                "the prior is counted from the AUs of the training annotations, and they have "
                "none; choose `prior`: identity, or a graph by name (`aumer graph list`)"
            )
        return AUGraph.from_annotations(
            annotations,
            au_map=self.au_map,
            rois=videos[0].features.rois,
            name=f"{self.au_map}, from the training subjects",
        )


def _learned_numbers(net: Any) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def _parts(*named: tuple[str, Any]) -> dict[str, Any]:
    """The code of parts that are not built in; with other code it is another run."""
    parts = recorded(named)
    return {"parts": parts} if parts else {}


class _Epochs:
    """Stores the weights of every epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._snapshots: list[tuple[int, dict[str, Any]]] = []

    def __call__(self, record: Mapping[str, Any]) -> None:
        from aumer.learning.checkpoint import load_state

        self._snapshots.append((int(record["epoch"]), load_state(self.path).weights))

    def spotters(
        self, net: Any, decoder: TrackDecoder, name: str
    ) -> tuple[tuple[int, SpotterModel], ...]:
        from aumer.spotting.network import NetSpotter

        made = []
        for epoch, weights in self._snapshots:
            one = net.config.network(net.graph)
            one.load_state_dict(weights)
            made.append((epoch, NetSpotter(one.eval(), decoder, name=name)))
        return tuple(made)


Model = Ready | Trainable


def find(
    name: str,
    protocol: Protocol,
    *,
    overrides: Mapping[str, Any] | None = None,
    decoder: str | None = None,
    settings: Settings | None = None,
) -> Model:
    """The model called `name`: a protocol's network, a training preset (by name or file), a
    network's weights, or a registered spotter, in this order.

    Args:
        overrides: keys of the training preset; "net_overrides.layer" is the layer of the network.
        decoder: instead of the protocol's.
        settings: of features and rules.

    Raises:
        UsageError: unknown model, or options that it does not use.
        ConfigError, WeightsError: invalid settings or weights.
    """
    settings = settings or load_settings()
    net = protocol.net_model(name)
    if net is None and (name in presets("train") or name.endswith(".toml")):
        net = NetModel(name)
    if net is not None:
        require_keys(overrides, [one.name for one in fields(TrainSettings)], name)
        trained = TrainSettings.preset(net.preset, net.train, overrides)
        if protocol.selection == "inner":
            trained = replace(
                trained,
                inner_share=trained.inner_share or INNER_SHARE,
                patience=trained.patience or PATIENCE,
            )
        if protocol.selection == "oracle" and trained.members > 1:
            raise UsageError(
                "selection 'oracle' chooses an epoch of one network, and members = "
                f"{trained.members} trains several: set members = 1, or another selection"
            )
        decoder = decoder or net.decoder or trained.decoder
        return Trainable(name, trained, decoder, protocol.prior, net.au_map)
    require_keys(overrides, (), name)
    if decoder or protocol.selection != "fixed":
        what = "--decoder" if decoder else f"selection {protocol.selection!r}"
        raise UsageError(
            f"{what} applies to networks that are trained in the folds, and the model {name!r} is "
            "not trained: leave it out"
        )
    if name.endswith(".safetensors"):
        from aumer.spotting.network import NetSpotter

        loaded = NetSpotter.load(name)
        # By content: the same weights at another path are the same model.
        return Ready(f"weights {Path(name).name}", loaded, settings, loaded.rate)
    known = registry.names("spotter")
    if name not in known:
        choices = sorted({*protocol.models, *presets("train"), *known})
        raise UsageError(
            f"no model is called {name!r}; there are {', '.join(choices)}, and files of weights "
            f"(.safetensors) or of training settings (.toml).{did_you_mean(name, choices)}"
        )
    made = interface.resolve(name, settings)
    return Ready(name, made, settings, made.rate)
