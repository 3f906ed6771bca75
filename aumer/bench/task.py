"""Base classes of benchmark tasks: data, prediction of a fold, scoring.

A new task is a subclass of `Task` in ``aumer/bench/tasks/``; folds, files, resuming, processes and
commands are shared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from aumer import strict
from aumer.bench.protocol import Protocol as BenchProtocol
from aumer.bench.result import Result, Run
from aumer.bench.split import Fold, SubjectKey
from aumer.config import Settings, load_settings
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath
from aumer.workers import Workers

#: Called with what is being done ("features", "clips", "folds"), how much of it is done, and how
#: much there is.
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Options:
    """Options of a run besides protocol and model.

    Attributes:
        overrides: keys of the model's training preset, or of the recognizer's options.
        decoder: instead of the protocol's.
        settings: of features, rules, faces and motion; `None` for the default ones.
        cache: folder for what is made of frames; `None` keeps nothing for another run.
    """

    overrides: Mapping[str, Any] | None = None
    decoder: str | None = None
    settings: Settings | None = None
    cache: StrPath | None = None


def require_keys(overrides: Mapping[str, Any] | None, known: Sequence[str], model: str) -> None:
    """Complain of the first of `Options.overrides` that a model has no use for.

    Args:
        known: keys that it has; those that are reached through one of them need no mention.

    Raises:
        UsageError: says what can be set, of the model and of the settings.
    """
    settings = tuple(strict.paths(load_settings().to_dict()))
    for key in overrides or {}:
        if key.partition(".")[0] in known:
            continue
        near = [path for path in settings if key == path or key.endswith(f".{path}")]
        near += [path for path in settings if path.endswith(f".{key}")]
        guess = f" Did you mean {near[0]!r}?" if near else did_you_mean(key, (*known, *settings))
        raise UsageError(
            f"no setting is called {key!r}: what can be set is the settings of face, motion and "
            "rules, such as rules.min_s (`aumer config show` prints them all); and of the model "
            f"{model!r} {', '.join(known) or 'nothing, as it is not trained here'}.{guess}"
        )


class TaskTruth(ABC):
    """The truth of a run: all items (videos, clips) with annotations.

    Attributes:
        whose: data set and subject of each item.
    """

    @property
    @abstractmethod
    def subject_keys(self) -> Sequence[SubjectKey]: ...

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All of it but what models read, as JSON has it: a run's ``data.json``."""


class Work(ABC):
    """Everything that a worker needs to predict one fold; sent to other processes.

    Attributes:
        tested, trained: the subjects, each once.
    """

    @property
    @abstractmethod
    def tested(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def trained(self) -> tuple[str, ...]: ...

    @abstractmethod
    def predict(
        self, seed: int, checkpoint: Path | None, weights: Path | None = None
    ) -> dict[str, Any]:
        """Fit and predict; the result in what JSON can hold.

        Args:
            checkpoint: from which a killed training goes on; `None` keeps none.
            weights: where the fold's model is to be kept, over one that is there; given to those
                alone whose task `keeps` one.
        """


class TaskItems(Protocol):
    """What folds are made of.

    Attributes:
        whose: data set and subject of each item.
    """

    @property
    def subject_keys(self) -> Sequence[SubjectKey]: ...


Truth_ = TypeVar("Truth_", bound=TaskTruth)
Items_ = TypeVar("Items_", bound=TaskItems)
#: A fold's result as its file gives it back.
Done = TypeVar("Done")


class Task(ABC, Generic[Truth_, Items_, Done]):
    """A kind of benchmark, with one model under one protocol.

    Attributes:
        kind: as protocols call it.
        default_model: where none is asked for.
        pooled: how `aumer.bench.split.plan` parts subjects.
        no_use_for: keys of protocols, and options of the command line, that change nothing here.
        code: modules and packages of aumer, by their names below ``aumer``, that predictions are
            made by; a fold that others made is made again.
        protocol: as it is run: a model that draws nothing at random has one seed.
        name: the model's, for people.
        resumes: whether a killed fold goes on from a file.
        saves_models: whether a fold's model can be kept in a file of weights.
    """

    kind: ClassVar[str]
    default_model: ClassVar[str]
    pooled: ClassVar[bool] = False
    no_use_for: ClassVar[tuple[str, ...]] = ()
    code: ClassVar[tuple[str, ...]] = ()

    protocol: BenchProtocol
    name: str
    resumes: bool
    saves_models: bool = False

    @abstractmethod
    def __init__(self, protocol: BenchProtocol, model: str, options: Options) -> None:
        """Find the model, and complain of settings before anything is read or written.

        Raises:
            UsageError: unknown model, or options or a protocol that it has no use for.
            ConfigError, WeightsError: settings or weights that cannot be used.
        """

    @classmethod
    @abstractmethod
    def models(cls, protocol: BenchProtocol) -> str:
        """What `aumer bench list` says of a protocol's models."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the predictions of all folds depend on, but the data; "model" is a table of it."""

    @abstractmethod
    def open(
        self, roots: Mapping[str, StrPath], workers: Workers, progress: Progress | None
    ) -> Truth_:
        """What is scored.

        Raises:
            UsageError: data that cannot be read.
        """

    @abstractmethod
    def prepare(self, truth: Truth_, workers: Workers, progress: Progress | None) -> Items_:
        """What models read, of a truth that `open` gave."""

    @abstractmethod
    def depends(self, fold: Fold, items: Items_) -> dict[str, str]:
        """By name, digests of the data that a fold's result depends on."""

    @abstractmethod
    def work(self, fold: Fold, items: Items_, workers: Workers) -> Work:
        """A fold's work, for those workers."""

    def parts(self) -> tuple[object, ...]:
        """What else predictions are made by, such as a model of the user's own."""
        return ()

    def in_force(self) -> Any:
        """Every setting that predictions depend on, given or not, in what JSON can hold."""
        return {}

    def close(self) -> None:
        """Let go of what was held for the folds."""

    # -- before anything is run ---------------------------------------------------------------

    def subject_keys(self, roots: Mapping[str, StrPath]) -> Sequence[SubjectKey]:
        """Data set and subject of each item, by the tables alone: no video is read.

        Raises:
            UsageError: data that cannot be read.
        """
        return self.open(roots, Workers(), None).subject_keys

    def parameters(self) -> int | None:
        """Learned numbers of the network; `None` where there is none, or nobody knows."""
        return None

    def epochs(self) -> int | None:
        """Of training, at most; `None` where none are counted."""
        return None

    def needed(self, names: Sequence[str], roots: Mapping[str, StrPath]) -> dict[str, StrPath]:
        """The roots of these data sets.

        Raises:
            UsageError: one is missing.
        """
        if missing := [name for name in names if name not in roots]:
            raise UsageError(
                f"protocol {self.protocol.name} needs the data set {missing[0]}; give its folder "
                f"with `roots={missing[0]}=FOLDER`"
            )
        return {name: roots[name] for name in names}

    # -- of runs that are stored: no model is there -------------------------------------------

    @classmethod
    @abstractmethod
    def read(cls, document: Mapping[str, Any]) -> Truth_:
        """A truth from what its `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """

    @staticmethod
    @abstractmethod
    def parse(found: Mapping[str, Any]) -> Done:
        """A fold's result from its file.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """

    @classmethod
    @abstractmethod
    def scored(cls, run: Run, truth: Truth_, folds: Sequence[Done]) -> Result[Any]:
        """The score of all folds, in the order of seeds, then of the plan.

        Raises:
            UsageError: folds of other data, or a missing one.
        """
