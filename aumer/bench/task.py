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

#: Called with the present step ("features", "clips", "folds"), the amount done, and the total.
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Options:
    """Options of a run besides protocol and model.

    Attributes:
        overrides: keys of the model's training preset, or of the recognizer's options.
        decoder: decoder instead of the protocol's.
        settings: of features, rules, faces and motion; `None` for the default ones.
        cache: folder for inputs computed from frames; `None` for no cache.
    """

    overrides: Mapping[str, Any] | None = None
    decoder: str | None = None
    settings: Settings | None = None
    cache: StrPath | None = None


def require_keys(overrides: Mapping[str, Any] | None, known: Sequence[str], model: str) -> None:
    """Raise for the first of `Options.overrides` that a model does not have.

    Args:
        known: keys that it has; keys nested in one of them are also allowed.

    Raises:
        UsageError: the message lists the keys of the model and of the settings.
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
        """Everything but the models' inputs, as JSON values: a run's ``data.json``."""


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
        """Fit and predict; the result as JSON values.

        Args:
            checkpoint: file for continuing an interrupted training; `None` for none.
            weights: file for the fold's model, replacing an existing one; only for a task that
                `saves_models`.
        """


class TaskItems(Protocol):
    """The items of folds.

    Attributes:
        whose: data set and subject of each item.
    """

    @property
    def subject_keys(self) -> Sequence[SubjectKey]: ...


Truth_ = TypeVar("Truth_", bound=TaskTruth)
Items_ = TypeVar("Items_", bound=TaskItems)
#: A fold's result as read from its file.
Done = TypeVar("Done")


class Task(ABC, Generic[Truth_, Items_, Done]):
    """A kind of benchmark, with one model under one protocol.

    Attributes:
        kind: its name in protocols.
        default_model: the model if none is requested.
        pooled: see `aumer.bench.split.plan`.
        no_use_for: keys of protocols, and options of the command line, that have no effect here.
        code: modules and packages of aumer, by their names below ``aumer``, that affect
            predictions; if they change, folds are run again.
        protocol: as it is run: a deterministic model has one seed.
        name: the model's, for people.
        resumes: whether an interrupted fold can be continued from a file.
        saves_models: whether a fold's model can be saved in a file of weights.
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
        """Find the model, and check the settings before anything is read or written.

        Raises:
            UsageError: unknown model, or options or a protocol that do not fit it.
            ConfigError, WeightsError: invalid settings or weights.
        """

    @classmethod
    @abstractmethod
    def models(cls, protocol: BenchProtocol) -> str:
        """Description of a protocol's models for `aumer bench list`."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Everything that the predictions of all folds depend on except the data; "model" is a
        table in it.
        """

    @abstractmethod
    def open(
        self, roots: Mapping[str, StrPath], workers: Workers, progress: Progress | None
    ) -> Truth_:
        """The truth.

        Raises:
            UsageError: unreadable data.
        """

    @abstractmethod
    def prepare(self, truth: Truth_, workers: Workers, progress: Progress | None) -> Items_:
        """The models' inputs for a truth from `open`."""

    @abstractmethod
    def depends(self, fold: Fold, items: Items_) -> dict[str, str]:
        """By name, digests of the data that a fold's result depends on."""

    @abstractmethod
    def work(self, fold: Fold, items: Items_, workers: Workers) -> Work:
        """The work of a fold for these workers."""

    def parts(self) -> tuple[object, ...]:
        """Other parts that predictions depend on, such as a user's model."""
        return ()

    def in_force(self) -> Any:
        """Every setting that predictions depend on, including defaults, as JSON values."""
        return {}

    def close(self) -> None:
        """Release resources of the folds."""

    # -- before anything is run ---------------------------------------------------------------

    def subject_keys(self, roots: Mapping[str, StrPath]) -> Sequence[SubjectKey]:
        """Data set and subject of each item, from tables only: no video is read.

        Raises:
            UsageError: data that cannot be read.
        """
        return self.open(roots, Workers(), None).subject_keys

    def parameters(self) -> int | None:
        """Number of parameters of the network; `None` if there is none or it is unknown."""
        return None

    def epochs(self) -> int | None:
        """Largest number of training epochs; `None` if there are none."""
        return None

    def needed(self, names: Sequence[str], roots: Mapping[str, StrPath]) -> dict[str, StrPath]:
        """The folders of these data sets.

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
        """The inverse of a truth's `to_dict`.

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
