"""Protocols: everything that a benchmark fixes in advance, read strictly from TOML.

No torch. Shipped protocols lie in ``configs/bench/`` and state everything that affects a score.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from aumer import registry, strict
from aumer.bench.tasks import TASKS
from aumer.data.mismatch import DEFAULT, Mismatch
from aumer.errors import UsageError
from aumer.evaluation.rows import SpottingSettings
from aumer.strict import require, within

Split = Literal["loso", "k-fold", "hold-out", "cross-data-set", "unseen"]
Selection = Literal["fixed", "inner", "oracle"]

#: Special priors: counted from a fold's training annotations; or that of the network's preset,
#: which may have been counted on test subjects.
FROM_TRAINING, FROM_PRESET = "train", "preset"
#: The prior without edges between ROIs.
IDENTITY = "identity"


#: A split named at the end of a title.
_SPLIT_IN_TITLE = re.compile(r"[,;:]? *leave[- ]one[- ]subject[- ]out *$", re.IGNORECASE)


@dataclass(frozen=True)
class NetModel:
    """A network that is trained in every fold.

    Attributes:
        preset: of training (`aumer.training.settings`), `train` its keys to change.
        decoder: one that is registered as "decoder"; empty for the one that the preset names.
        au_map: AU map for counting a prior "train": "facs" or "published".
    """

    preset: str
    decoder: str = ""
    au_map: str = "facs"
    train: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """A benchmark.

    Attributes:
        name: the file's.
        title: title without the split, which `heading` adds.
        kind: what is predicted: one of `aumer.bench.tasks.TASKS`.
        datasets: the tested data sets, each scored separately.
        split: "loso": each subject is tested once, by a model of the others; "k-fold": so are
            `folds` disjoint groups of subjects; "hold-out" (recognition alone): one such group,
            1 / `folds` of the clips, is; "cross-data-set": each data set is tested by a model of
            the others; "unseen": `datasets` by a model of `train_datasets`, to be submitted.
        level: of simulated data sets.
        data_seed: of simulated data sets.
        seeds: of training.
        selection: the epoch that is used. "fixed": the last one; "inner": the best on inner
            subjects; "oracle": the best on the test subject, as in many papers, printed together
            with the last epoch's figure.
        prior: "train": counted from the training annotations of the fold, where they have AUs;
            "preset": the network's preset names it; "identity"; else a graph by name or file.
        train_subjects: number of training subjects in a fold, drawn for each fold; smaller sets are
            subsets of larger ones; 0 for all.
        matching: matching of predictions with truths; published evaluators differ
            (`aumer.evaluation.legacy`).
        scoring: the other rules of the comparison.
        published: benchmark in ``configs/published.toml`` whose rows are printed, too.
        submission_first_frame: number of a video's first frame in submissions.
        classes: recognized classes; empty for the data's classes, and for spotting. Those of MEGC
            2019 are derived from the coders' labels (`aumer.data.labels`); others are these labels.
        mismatch: policy for rows whose frames are not in their videos: "leave-out" (with a note),
            "clamp" (use the part in the video), or "refuse" (an error).
        min_clips: recognized classes with fewer clips in all of the data are left out; 0 for none.
        models: by name: `NetModel` as a table.
        recognition: by model, a table of the recognizer's options, with ``inputs`` (settings for
            making clips from frames), ``apex`` (settings for finding it) and ``apexes`` (coded or
            found); see `aumer.bench.tasks.recognition`.
    """

    name: str
    title: str
    kind: str
    datasets: tuple[str, ...]
    split: Split
    train_datasets: tuple[str, ...] = ()
    folds: int = 5
    level: Literal["easy", "medium", "hard"] = "medium"
    data_seed: int = 0
    seeds: tuple[int, ...] = (0,)
    selection: Selection = "fixed"
    prior: str = FROM_TRAINING
    train_subjects: int = 0
    matching: Literal["maximum one-to-one"] = "maximum one-to-one"
    scoring: SpottingSettings = field(default_factory=SpottingSettings)
    published: str = ""
    submission_first_frame: Literal[0, 1] = 1
    classes: tuple[str, ...] = ()
    mismatch: Mismatch = DEFAULT
    min_clips: int = 0
    models: Mapping[str, Any] = field(default_factory=dict)
    recognition: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.kind in TASKS, "kind", self.kind, f"one of {', '.join(TASKS)}")
        require(bool(self.datasets), "datasets", [], "one data set or more")
        require(bool(self.seeds), "seeds", [], "one seed or more")
        known = all(0 <= s < 2**63 for s in self.seeds)
        require(known, "seeds", list(self.seeds), "0 or more, and less than 2 to the 63rd")
        require(len(set(self.seeds)) == len(self.seeds), "seeds", list(self.seeds), "all different")
        within("folds", self.folds, 2, 1_000_000)
        require(
            self.split != "hold-out" or self.kind == "recognition",
            "split",
            self.split,
            'another if kind is not "recognition"',
        )
        require(
            self.kind != "spotting" or not self.classes,
            "classes",
            list(self.classes),
            'empty if kind is "spotting", which names nothing; "spot-then-recognize" does',
        )
        within("min_clips", self.min_clips, 0, 1_000_000)
        require(
            self.kind == "recognition" or not self.min_clips,
            "min_clips",
            self.min_clips,
            '0 if kind is not "recognition"',
        )
        require(self.train_subjects >= 0, "train_subjects", self.train_subjects, ">= 0")
        if self.split == "cross-data-set":
            require(
                len(self.datasets) >= 2, "datasets", list(self.datasets), "two or more to cross"
            )
        if self.split == "unseen":
            both = set(self.datasets) & set(self.train_datasets)
            require(not both, "train_datasets", sorted(both), "data sets that are not tested")
        else:
            require(
                not self.train_datasets,
                "train_datasets",
                list(self.train_datasets),
                'empty unless split is "unseen": in other splits the tested data sets are '
                "trained on",
            )
        for name, table in self.models.items():
            require(isinstance(table, Mapping), f"models.{name}", table, "a table")
            strict.build(NetModel, table, f"models.{name}")

    def net_model(self, name: str) -> NetModel | None:
        """The network that this protocol calls `name`, if it does."""
        table = self.models.get(name)
        return None if table is None else strict.build(NetModel, table, f"models.{name}")

    def require_parts(self) -> None:
        """Raise an error for unknown parts.

        Stored runs are read without this check, since a plugin may be absent.

        Raises:
            ConfigError, UsageError: there is none; the message lists the choices.
        """
        from aumer.bench.published import require_rows
        from aumer.bench.recognizers import factory
        from aumer.bench.sources import require_source
        from aumer.graph import AUGraph
        from aumer.graph.au import require_map
        from aumer.recognition import apex as apexes
        from aumer.training.clips import OWN_KEYS
        from aumer.training.settings import TrainSettings

        for dataset in (*self.datasets, *self.train_datasets):
            require_source(dataset)
        if self.prior not in (FROM_TRAINING, FROM_PRESET, IDENTITY):
            AUGraph.load(self.prior)
        for name in self.models:
            if (net := self.net_model(name)) is not None:
                TrainSettings.preset(net.preset, net.train).require_parts()
                require_map(net.au_map)
                if net.decoder:
                    registry.require("decoder", net.decoder)
        for name, table in self.recognition.items():
            require(isinstance(table, Mapping), f"recognition.{name}", table, "a table")
            factory(name, {k: v for k, v in table.items() if k not in OWN_KEYS})
            if "apex" in table:
                apexes.check(table["apex"])
        if self.published:
            require_rows(self.published)

    @property
    def heading(self) -> str:
        """The title with the present split."""
        return f"{_SPLIT_IN_TITLE.sub('', self.title)}, {self.split_in_words}"

    @property
    def split_in_words(self) -> str:
        """Description of the split into test and training subjects."""
        return {
            "loso": "leave one subject out",
            "k-fold": f"{self.folds} groups of subjects left out in turn",
            "hold-out": f"one of {self.folds} groups of subjects held out",
            "cross-data-set": "each data set by a model of the others",
            "unseen": "by a model of other data sets",
        }[self.split]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML."""
        return strict.plain(self)

    def changed(self, changes: Mapping[str, Any]) -> Protocol:
        """A copy with other values of its keys, also nested ones such as "scoring.iou".

        Raises:
            ConfigError: an unknown key, or a value that is not allowed.
        """
        own = strict.Layer(f"protocol {self.name}", self.to_dict())
        changed = strict.Layer(f"protocol {self.name} with changes", changes)
        return strict.layered(Protocol, own, changed)


def names() -> tuple[str, ...]:
    """The built-in and the registered protocols."""
    return registry.names("protocol")


def load(which: str | PathLike[str] | Protocol) -> Protocol:
    """A protocol by name (of the registry's kind "protocol"), or the TOML file at a path.

    Raises:
        ConfigError: no such protocol or file, not TOML, or a key or value that is not allowed.
        UsageError: the registered object is not a protocol.
    """
    if isinstance(which, Protocol):
        return which
    known = names()
    if which not in known:
        return _read(strict.preset("bench", which, "protocol or file", known), which)
    found = registry.resolve("protocol", which)
    if not isinstance(found, Protocol):
        raise UsageError(f"the protocol registered as {which!r} is not a Protocol: {found!r}")
    return found


def _read(path: Path, which: str | PathLike[str]) -> Protocol:
    values = {"name": path.stem, **strict.read_toml(path)}
    return replace(strict.build(Protocol, values, str(which)), name=path.stem)


class _Shipped(Mapping[str, Protocol]):
    """The files of ``configs/bench``, each read at first use."""

    def __iter__(self) -> Iterator[str]:
        return iter(strict.presets("bench"))

    def __len__(self) -> int:
        return len(strict.presets("bench"))

    def __getitem__(self, name: str) -> Protocol:
        if name not in strict.presets("bench"):
            raise KeyError(name)
        return _shipped(name)


@cache
def _shipped(name: str) -> Protocol:
    return _read(strict.preset("bench", name), name)


#: Read at first use; `aumer.registry` finds them as kind "protocol".
SHIPPED: Mapping[str, Protocol] = _Shipped()
