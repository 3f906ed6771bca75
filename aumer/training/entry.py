"""`aumer.train`: trains a network, a recognizer or an AU reader on annotated videos.

Videos and clips come from files or as objects in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from aumer import strict
from aumer.cache import default_folder
from aumer.data.labels import LABEL_SETS
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.graph import AUGraph
from aumer.names import expanded, is_folder

if TYPE_CHECKING:  # these load torch, which must happen only when `aumer.train` is called
    from aumer.recognition.action_units import AUClips
    from aumer.recognition.labeled import LabeledClips
    from aumer.simulate.features import SimulatedVideo
    from aumer.training.clip_run import ClipRun, Task
    from aumer.training.run import RunConfig
    from aumer.training.videos import LabeledVideo
    from aumer.types import VideoRecord

Config: TypeAlias = "RunConfig | ClipRun"
#: Training data in memory: videos for a spotting network, clips for a recognizer or AU reader.
InMemory: TypeAlias = (
    "Sequence[LabeledVideo] | Sequence[SimulatedVideo] | Sequence[VideoRecord] | LabeledClips[Any]"
    " | AUClips"
)
#: Called after every epoch with its record.
Callback = Callable[[dict[str, Any]], object]
#: Called with the present step ("features" or "clips"), the number done, and the total.
TrainProgress = Callable[[str, int, int], object]


def train(
    data: StrPath | Config | InMemory,
    labels: StrPath | None = None,
    *,
    out: StrPath | None = None,
    source: str | None = None,
    recognizer: str | None = None,
    classes: str | Sequence[str] = (),
    au_reader: str | None = None,
    aus: Sequence[int] = (),
    graph: AUGraph | StrPath | None = None,
    exclude_subjects: Sequence[str] = (),
    seed: int | None = None,
    device: str | None = None,
    changes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    cache: StrPath | bool | None = None,
    callbacks: Sequence[Callback] = (),
    progress: TrainProgress | None = None,
) -> Path:
    """Train a spotting network, a recognizer, or an AU reader, on annotated videos.

    An interrupted training continues when the function is called again.

    Args:
        data: the folder of the videos; or the TOML file of a run, as for `aumer train`, or its
            configuration object. Further arguments override a file. Or training data in memory: a
            sequence of `aumer.training.videos.LabeledVideo` (features with annotations), of the
            result of `aumer.simulate_features`, or of `aumer.types.VideoRecord` (videos with
            annotations); for a recognizer `aumer.recognition.interface.Clips` or `MotionClips`, or
            `aumer.recognition.sequences.clips.SequenceClips`, depending on its input; how they were
            made is stated by ``options.inputs`` and ``options.position`` in `changes`, if not as by
            default; for an AU reader `aumer.recognition.action_units.AUClips`.
        labels: the table of the videos' expressions; by default that in the folder.
        out: folder for weights, log and loss curve; made if it is missing.
        source: "own" (the default; see `aumer.data.own.Own` for its table), another data set's
            name, or "features" for a folder of `aumer simulate features`.
        recognizer: name of a recognizer to train instead of a spotting network.
        classes: for a recognizer: "negative", "positive", "surprise", or words of the coders, or
            the name of a set ("megc", "casme2", "samm", "seven"); by default all classes in the
            table.
        au_reader: name of an AU reader to train ("graph" is the shipped one); the table needs a
            column ``au``.
        aus: for an AU reader: numbers of the AUs to read; by default 17 frequently coded ones. AUs
            coded in too few clips are left out.
        graph: AU prior of a spotting network: a graph, its name or file, or "from-data" to count it
            in the annotations; by default that of the preset.
        exclude_subjects: left out of everything, for testing.
        changes: further keys of the TOML file, with dots: ``{"preset": "published", "train.epochs":
            10}``, for a recognizer ``{"options.learning.epochs": 10}``.
        overwrite: replace the weights of an earlier run.
        cache: cache folder for features and clips; True for aumer's own folder, None or False for
            no cache.
        callbacks: called after every epoch with its record.

    Returns:
        the file of weights, for ``aumer.spot(video, model=path)`` or ``aumer.classify``; for an AU
        reader, for ``aus=path`` of either.

    Raises:
        UsageError: an argument cannot be used, there are no videos, or weights exist already.
        ConfigError: a key or a value is not allowed.
        VideoError, NoFaceError: a video cannot be read, or shows no face.

    Example:
        >>> from aumer.testing.clips import clips_for
        >>> from aumer.recognition.svm_cells import SvmCells
        >>> clips = clips_for(SvmCells(), seed=0)  # 12 clips or so of three classes
        >>> weights = aumer.train(clips, out="weights", recognizer="svm-cells")
        >>> weights.name
        'model.safetensors'
    """
    from aumer.training import clip_run
    from aumer.training import run as networks

    given = {
        "output": None if out is None else str(out),
        "data.table": None if labels is None else str(labels),
        "data.source": source,
        "recognizer": recognizer,
        "classes": _classes(classes),
        "au_reader": au_reader,
        "aus": list(aus) or None,
        "graph": None if graph is None or isinstance(graph, AUGraph) else str(graph),
        "data.exclude_subjects": _several("exclude_subjects", exclude_subjects) or None,
        "seed": seed,
        "device": device,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    settings = {**(changes or {}), **settings}
    if graph is not None and (task := _task(data, settings)) != "spotting":
        raise UsageError(f"`graph` applies to spotting networks, and this trains {_TRAINS[task]}")
    learnt_from = _in_memory(data)
    if learnt_from is not None and (labels is not None or source is not None):
        which = "source" if labels is None else "labels"
        raise UsageError(
            f"`{which}` applies to data in files, and these data are in memory; leave it out"
        )
    config = configured(data, settings)
    store = default_folder() if cache is True else cache or None
    if isinstance(config, clip_run.ClipRun):
        return clip_run.run(
            config,
            clips=learnt_from,
            overwrite=overwrite,
            cache=store,
            callbacks=callbacks,
            progress=progress and (lambda done, total: progress("clips", done, total)),
        )
    return networks.run(
        config,
        videos=learnt_from,
        graph=graph if isinstance(graph, AUGraph) else None,
        overwrite=overwrite,
        cache=store,
        callbacks=callbacks,
        progress=progress and (lambda done, total, name: progress("features", done, total)),
    )


def _classes(classes: str | Sequence[str]) -> str | list[str] | None:
    """The value for a file's ``classes``: the name of a set, or a list; `None` if not given."""
    if isinstance(classes, str) and classes in LABEL_SETS:
        return classes
    return _several("classes", classes) or None


def _several(name: str, texts: Sequence[str]) -> list[str]:
    """A list of strings; refuses a single string, which would be split into letters."""
    if isinstance(texts, str):
        raise UsageError(f"`{name}` is a sequence of texts; found {texts!r}: give [{texts!r}]")
    return list(texts)


def configured(
    data: StrPath | Config | InMemory, changes: Mapping[str, Any] | None = None
) -> Config:
    """The configuration of a run: from a folder, a TOML file, data in memory, or another
    configuration.

    Args:
        changes: keys that replace those of the file, with dots for nested tables.

    Raises:
        ConfigError: the file is missing or not TOML, or a key or a value is not allowed.
        UsageError: no output folder is given, or the recognizer, AU reader or option is unknown.
    """
    from aumer.training import clip_run
    from aumer.training import run as networks

    changes = dict(changes or {})
    task = _task(data, changes)
    values: Mapping[str, Any]
    if isinstance(data, (networks.RunConfig, clip_run.ClipRun)):
        if not changes:
            return data
        what, values = "the configuration", strict.plain(data)
    elif isinstance(data, (str, PathLike)) and not is_folder(expanded(data)):
        if task == "spotting":
            return networks.read_config(expanded(data), changes)
        return clip_run.read_config(_kind(task), expanded(data), changes)
    else:
        if "output" not in changes:
            raise UsageError("train needs a folder for the weights: give out=")
        if isinstance(data, (str, PathLike)):
            what, source, root = f"the folder {data}", "own", str(expanded(data))
        else:
            what, source, root = "the data", networks.MEMORY, ""
        values = {"data": {"source": source, "root": root}}
    layers = strict.Layer(what, values), strict.Layer("the arguments", changes)
    if task != "spotting":
        config = strict.layered(_kind(task), *layers)
        config.untrained()  # raises errors before clips are made
        return config
    made = strict.layered(networks.RunConfig, *layers)
    networks.check(made)
    return made


def epochs(config: Config) -> int:
    """Most epochs; 0 if unknown."""
    from aumer.training.clip_run import ClipRun

    if isinstance(config, ClipRun):
        return config.untrained()[0].stopping()["epochs"] or 0
    settings = config.train_settings()
    return settings.epochs * settings.members


#: Word for the trained part of each task, for messages.
_TRAINS: Mapping[str, str] = {"recognition": "a recognizer", "action-units": "an AU reader"}


def _kind(task: Task) -> type[ClipRun]:
    from aumer.training.au_readers import AUReaderConfig
    from aumer.training.recognizers import RecognizerConfig

    return AUReaderConfig if task == "action-units" else RecognizerConfig


def _task(data: StrPath | Config | InMemory, changes: Mapping[str, Any]) -> Task:
    from aumer.recognition.action_units import AUClips
    from aumer.recognition.labeled import LabeledClips
    from aumer.training import clip_run
    from aumer.training import run as networks

    if isinstance(data, (networks.RunConfig, clip_run.ClipRun)):
        return clip_run.task_of({"task": data.task})
    if isinstance(data, (str, PathLike)) and not is_folder(expanded(data)):
        return clip_run.task_of_file(data, changes)
    asked = clip_run.task_of(changes)
    if _in_memory(data) is None:
        return asked
    of_aus, of_classes = isinstance(data, AUClips), isinstance(data, LabeledClips)
    if asked == "action-units" and not of_aus:
        raise UsageError("an AU reader learns from `AUClips`, and these are none")
    if asked == "recognition" and not of_classes:
        raise UsageError(
            "a recognizer learns from clips, and this is a sequence of videos: give `LabeledClips`"
            if not of_aus
            else "a recognizer learns from `LabeledClips`, and these are `AUClips`"
        )
    if asked == "spotting" and (of_aus or of_classes):
        what = (
            "an AU reader learns: give its name, au_reader="
            if of_aus
            else ("a recognizer learns: give its name, recognizer=")
        )
        raise UsageError(f"these are clips, from which {what}")
    return asked


def _in_memory(data: object) -> Any:
    """The training data in memory; `None` if `data` is a path.

    Raises:
        UsageError: it is neither.
    """
    from aumer.recognition.action_units import AUClips
    from aumer.recognition.labeled import LabeledClips
    from aumer.simulate.features import SimulatedVideo
    from aumer.training import clip_run
    from aumer.training import run as networks
    from aumer.training.videos import LabeledVideo, from_simulation
    from aumer.types import VideoRecord

    if isinstance(data, (str, PathLike, networks.RunConfig, clip_run.ClipRun)):
        return None
    if isinstance(data, (LabeledClips, AUClips)):
        return data
    if isinstance(data, Sequence) and data:
        if all(isinstance(one, SimulatedVideo) for one in data):
            return from_simulation(data)
        for kind in (LabeledVideo, VideoRecord):
            if all(isinstance(one, kind) for one in data):
                return data
    raise UsageError(
        "train takes a folder of videos or a TOML file; or, in memory, one or more LabeledVideo, "
        f"SimulatedVideo or VideoRecord, or LabeledClips or AUClips; found {data!r}"[:400]
    )
