"""Recognition: clips of flow maps or of sequences -> a recognizer of other subjects -> UF1, UAR.

Every clip is predicted once, by a model of other subjects: `fit` is given the training clips and no
others. All recognizers are run alike, whatever they read of a clip.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aumer.bench.clips import AnyClips, ClipSet, clip_set
from aumer.bench.folds import run_folds
from aumer.bench.protocol import Protocol
from aumer.bench.recognizers import Factory, factory, recognizers
from aumer.bench.result import Run
from aumer.bench.split import Fold, SubjectKey, plan
from aumer.bench.store import FORMAT, Store
from aumer.bench.task import Options, Progress, Task, Work, require_keys
from aumer.bench.tasks.recognition_result import (
    AT_HAND,
    RecognitionFold,
    RecognitionResult,
    designed_on,
    epoch_note,
    scored,
)
from aumer.config import digest, load_settings
from aumer.data.labels import MEGC_CLASSES
from aumer.data.megc2019 import NAME
from aumer.errors import UsageError
from aumer.files import StrPath, TemporaryFolder
from aumer.identity import recorded
from aumer.recognition.interface import Clips, MotionClips, Recognizer, resolve
from aumer.recognition.labeled import LabeledClips, without_rare
from aumer.training.clips import (
    OWN_KEYS,
    ClipReading,
    StoredClips,
    forget,
    options_of,
    parts_of,
    reading_of,
)
from aumer.training.composite import composite
from aumer.training.listing import Unseen, listed
from aumer.training.listing import without_rare as only_frequent
from aumer.training.recognizers import card
from aumer.workers import Workers

_log = logging.getLogger("aumer")

#: What of a protocol predictions depend on, besides the model's own table.
_PREDICTS = ("kind", "datasets", "split", "folds", "train_subjects", "selection", "classes")
_SPLITS = ("loso", "k-fold", "hold-out", "cross-data-set")
#: Of selection "inner", where a system keeps no subjects out of the training ones.
INNER_SHARE, PATIENCE = 0.2, 10


@dataclass(frozen=True, eq=False)
class ClipWork(Work):
    """A fold's clips, and from what its recognizer is made.

    Attributes:
        name: the fold's.
        test, train: which of the clips.
        unseen: further clips to test, of which there is no input.
        reading: how the inputs were made of frames; `None` for what was none.
        about: what the weights say of themselves, beside what a fold knows.
    """

    name: str
    clips: AnyClips
    test: tuple[int, ...]
    train: tuple[int, ...]
    unseen: tuple[Unseen, ...]
    factory: Factory
    reading: ClipReading | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tested(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._clip_subjects))

    @property
    def trained(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.clips.subjects[k] for k in self.train))

    @property
    def _clip_subjects(self) -> tuple[str, ...]:
        """The subject of each tested clip."""
        seen = (self.clips.subjects[k] for k in self.test)
        return (*seen, *(u.subject for u in self.unseen))

    def predict(
        self, seed: int, checkpoint: Path | None, weights: Path | None = None
    ) -> dict[str, Any]:
        clips = self.clips.load() if isinstance(self.clips, StoredClips) else self.clips
        train, test = (clips.take(_mask(rows, len(clips))) for rows in (self.train, self.test))
        shares = np.zeros((0, len(clips.classes)))
        embeddings: tuple[tuple[float, ...], ...] = ()
        attribution: tuple[tuple[float, ...], ...] = ()
        space: tuple[tuple[float, ...], ...] = ()
        phases: tuple[tuple[float, ...], ...] = ()
        seconds, model = 0.0, None
        chosen: Mapping[str, Any] = {}
        log: Sequence[Mapping[str, Any]] = ()
        if len(test) or weights is not None:
            begin = time.perf_counter()
            model = self.factory(seed)
            if self.reading is not None:
                self.reading.record_on(model)
            model.fit(train, checkpoint=checkpoint)
            seconds = time.perf_counter() - begin
            chosen, log = model.chosen, model.log
            if weights is not None:
                about = {**self.about["data"], "fold": self.name}
                told = card(model, train, about, self.tested, self.about["options"], seed)
                model.save(weights, told, overwrite=True)
        if model is not None and len(test):
            shares = model.predict_proba(test.inputs, test.sources)
            embeddings, attribution = _embedded(model, test), _attributed(model, test)
            space, phases = _salient(model, test)
        rest = len(self.unseen)
        frequency = np.bincount(train.labels, minlength=len(clips.classes)) / max(len(train), 1)
        shares = np.concatenate([shares, np.repeat(frequency[None], rest, axis=0)])
        labels = (*test.labels, *(u.label for u in self.unseen))
        fold = RecognitionFold(
            self.name,
            seed,
            (*test.names, *(u.name for u in self.unseen)),
            tuple(clips.classes[k] for k in labels),
            tuple(clips.classes[k] for k in shares.argmax(1)),
            _rounded(shares, 6),
            dict(chosen),
            round(seconds, 3),
            tuple(dict(record) for record in log),
            _filled(embeddings, rest),
            _filled(attribution, rest),
            tuple(model.rois) if model is not None and attribution else (),
            _filled(space, rest),
            _filled(phases, rest),
            () if self.tested == (self.name,) else self._clip_subjects,
            rest,
        )
        return fold.to_dict()


class Recognition(Task[ClipSet, ClipSet, RecognitionFold]):
    """See `Task`.

    A protocol's ``recognition`` holds, by model, a table of the recognizer's options; ``inputs`` in
    it changes how its clips are made of frames (keys of `SequenceSettings` for a recognizer of
    sequences, else of ``motion``), ``apex`` how one is found that the table does not give, and
    ``apexes = "found"`` has all found, none taken from the table.
    """

    kind: ClassVar[str] = "recognition"
    default_model = "graph"
    pooled = True
    no_use_for = ("decoder", "scoring", "level", "prior", "train_subjects")
    # Clips are known by their frames and settings, so what makes inputs of them counts, too.
    code = (
        "bench.recognizers",
        "bench.tasks.recognition",
        "evaluation.recognition",
        "face",
        "flow",
        "graph",
        "learning",
        "motion",
        "recognition",
        "training",
        "types",
        "video",
    )
    resumes = True

    def __init__(self, protocol: Protocol, model: str, options: Options) -> None:
        reads = resolve(model).reads[0]
        if options.decoder is not None:
            raise UsageError(
                f"`decoder` applies to spotting, and the protocol {protocol.name} is of "
                "recognition; leave it out"
            )
        require_keys(options.overrides, (*resolve(model).options, *OWN_KEYS), model)
        if options.overrides:
            protocol = protocol.changed(
                {f"recognition.{model}.{key}": value for key, value in options.overrides.items()}
            )
        if protocol.split not in _SPLITS:
            raise UsageError(
                f"recognition is run with split {', '.join(_SPLITS)}; found {protocol.split}"
            )
        if NAME in protocol.datasets and (protocol.datasets != (NAME,) or reads != "flow-map"):
            raise UsageError(
                f"{NAME} holds flow maps and no frames, so it can run only "
                f"{', '.join(recognizers(protocol))}; for {model} give a data set of "
                "frames, such as casme2, or take another protocol"
            )
        self.options = _selected(protocol, model)
        self.factory = factory(model, _without_own(self.options))
        made = self.factory(0)
        self.learning = made.stopping()
        settings = options.settings or load_settings()
        where = f"recognition.{model}"
        self.reading = reading_of(model, self.options, settings, where, made.rois)
        if "seed" not in resolve(model).options:
            if len(protocol.seeds) > 1:
                _log.log(25, "%s draws nothing: one seed stands for all", model)
            protocol = replace(protocol, seeds=protocol.seeds[:1])
        self.protocol, self.name = protocol, model
        self.saves_models = resolve(model).has_file()
        self._cache = options.cache
        self._temporary: TemporaryFolder | None = None

    @classmethod
    def models(cls, protocol: Protocol) -> str:
        return f"recognizers: {', '.join(recognizers(protocol))}"

    def about(self) -> dict[str, Any]:
        protocol = self.protocol.to_dict()
        return {
            "format": FORMAT,
            "protocol": {key: protocol[key] for key in _PREDICTS},
            "model": {
                "model": self.name,
                "trained": "on every fold",
                "options": self._options,
                "learning": self.learning,
            },
            **({} if NAME in self.protocol.datasets else {"features": self.reading.to_dict()}),
            **self._parts(),
        }

    @property
    def _options(self) -> dict[str, Any]:
        # The same numbers wherever they are computed, but for rounding.
        return {k: v for k, v in self.options.items() if k != "device"}

    def parts(self) -> tuple[object, ...]:
        return (resolve(self.name),)

    def in_force(self) -> Any:
        return {
            "options": self._options,
            "learning": self.learning,
            "reading": self.reading.to_dict(),
        }

    def _parts(self) -> dict[str, Any]:
        """The code of parts that are not built in: of another the folds are another run's."""
        made = {} if NAME in self.protocol.datasets else parts_of(self.reading)
        parts = {**made, **recorded([("recognizer", self.name)])}
        return {"parts": parts} if parts else {}

    def open(
        self, roots: Mapping[str, StrPath], workers: Workers, progress: Progress | None
    ) -> ClipSet:
        protocol = self.protocol
        wanted = self.needed(protocol.datasets, roots)
        if NAME in wanted:
            clips = without_rare(composite(wanted[NAME]), protocol.min_clips)
            return ClipSet(clips, clips.sources, digest=_digest(clips))
        if not protocol.classes:
            raise UsageError(f"protocol {protocol.name} must name its classes")
        every = listed(wanted, protocol.classes, mismatch=protocol.mismatch)
        listing = only_frequent(every, protocol.min_clips)
        self._require_subjects([(e.dataset, e.subject) for e in listing.examples])
        cache = self._cache
        if cache is None:
            self._temporary = TemporaryFolder()
            cache = self._temporary.path
        return clip_set(
            listing,
            self.reading,
            cache=cache,
            # The frames and the cache lie on this machine.
            workers=workers if workers.share_files else Workers(),
            progress=None if progress is None else lambda *step: progress("clips", *step),
        )

    def subject_keys(self, roots: Mapping[str, StrPath]) -> Sequence[SubjectKey]:
        if NAME in self.protocol.datasets or not self.protocol.classes:
            return super().subject_keys(roots)
        wanted = self.needed(self.protocol.datasets, roots)
        found = listed(wanted, self.protocol.classes, mismatch=self.protocol.mismatch)
        keys = [(e.dataset, e.subject) for e in found.examples]
        self._require_subjects(keys)
        return keys

    def _require_subjects(self, keys: Sequence[SubjectKey]) -> None:
        """Refuse, before a frame is read, folds that teach by too few subjects to choose on."""
        needed = self.factory(0).subjects_needed()
        for fold in plan(self.protocol, keys, pooled=self.pooled) if needed > 1 else ():
            names = list(dict.fromkeys(keys[k][1] for k in fold.trained))
            if fold.trained and len(names) < needed:
                raise UsageError(
                    f"the fold {fold.name} of {self.protocol.name} trains on clips of "
                    f"{', '.join(names)} alone, and {self.name} needs those of {needed} subjects "
                    "or more, for it leaves some out to choose on",
                    fixes=(
                        "give clips of more subjects",
                        *(
                            ["add `--set learning.inner_share=0 --set learning.patience=0`"]
                            if self.learning["inner_share"]
                            else []
                        ),
                    ),
                )

    def parameters(self) -> int | None:
        classes = len(self.protocol.classes) or len(MEGC_CLASSES)
        return self.factory(0).parameters(classes)

    def epochs(self) -> int | None:
        found: int | None = self.learning["epochs"]
        return found

    def prepare(self, truth: ClipSet, workers: Workers, progress: Progress | None) -> ClipSet:
        return truth

    def depends(self, fold: Fold, items: ClipSet) -> dict[str, str]:
        rows = items.rows
        known = items.digest or _content(items.clips)
        return {"data": known, "tested data": digest([rows[k] for k in fold.tested])}

    def work(self, fold: Fold, items: ClipSet, workers: Workers) -> ClipWork:
        clips, seen = items.clips, len(items.clips)
        if isinstance(clips, StoredClips) and not workers.share_files:
            clips = clips.load()
        return ClipWork(
            fold.name,
            clips,
            tuple(k for k in fold.tested if k < seen),
            tuple(k for k in fold.trained if k < seen),
            tuple(items.unseen[k - seen] for k in fold.tested if k >= seen),
            self.factory,
            *self._of_weights(),
        )

    def _of_weights(self) -> tuple[ClipReading | None, Mapping[str, Any]]:
        """`ClipWork.reading` and `ClipWork.about`."""
        data = {"source": ", ".join(self.protocol.datasets), "protocol": self.protocol.name}
        if NAME in self.protocol.datasets:  # of whose flow nobody knows
            return None, {"data": data, "options": self._options}
        made = {**data, "inputs": self.reading.to_dict()}
        return self.reading, {"data": made, "options": self._options}

    def close(self) -> None:
        forget()
        if self._temporary is not None:
            self._temporary.close()

    # -- of runs that are stored --------------------------------------------------------------

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> ClipSet:
        return ClipSet.of(document)

    @staticmethod
    def parse(found: Mapping[str, Any]) -> RecognitionFold:
        return RecognitionFold.of(found)

    @classmethod
    def scored(
        cls, run: Run, truth: ClipSet, folds: Sequence[RecognitionFold]
    ) -> RecognitionResult:
        known = {(subject, name): shown for name, shown, subject in truth.rows}
        for fold in folds:
            for row in fold.rows():
                if known.get((row.subject, row.clip)) != row.truth:
                    raise UsageError(
                        f"the fold {fold.subject} of {run.folder} does not fit the data of the "
                        f"run: the label of {row.subject}/{row.clip} is {row.truth} in the fold "
                        f"and {known.get((row.subject, row.clip), 'missing')} in the data. Delete "
                        "the fold, and run the benchmark again"
                    )
        return scored(
            run,
            folds,
            truth.clips,
            complete=run.protocol.split != "hold-out",
            sources=truth.sources if len(set(truth.sources)) > 1 else (),
            unseen=truth.unseen,
            split=_split_in_words(run.protocol),
            notes=(
                epoch_note(run.about["model"]["learning"]),
                *designed_on(run),
                *truth.notes,
                *_unseen_notes(truth.unseen),
            ),
        )


# -- clips at hand ---------------------------------------------------------------------------------


class _AtHand(Recognition):
    """Without a data set's folder; the recognizer is what a function makes."""

    def __init__(self, factory: Factory) -> None:
        self.protocol, self.name, self.factory = AT_HAND, "", factory

    def parts(self) -> tuple[object, ...]:
        return (self.factory,)

    def in_force(self) -> Any:
        return {}

    def _of_weights(self) -> tuple[ClipReading | None, Mapping[str, Any]]:
        return None, {}


def loso(
    clips: AnyClips,
    factory: Factory,
    *,
    seeds: Sequence[int] = (0,),
    subjects: Sequence[str] | None = None,
    workers: Workers | None = None,
    folder: StrPath | None = None,
    progress: Progress | None = None,
) -> tuple[RecognitionFold, ...]:
    """Leave one subject out, for each subject and seed; in the order of seeds, then subjects.

    Args:
        subjects: only these folds.
        folder: where each fold is kept as it ends; one that is there is not run again, unless it is
            of other clips, code or versions, and a network's training goes on from the epoch at
            which it was killed.

    Raises:
        UsageError: clips without names, fewer than two subjects, or an unknown one.
    """
    items = ClipSet(clips)
    everyone = {fold.name: fold for fold in plan(AT_HAND, items.subject_keys, pooled=True)}
    for subject in set(subjects or ()) - set(everyone):
        raise UsageError(f"no clip is of subject {subject!r}; there are {', '.join(everyone)}")
    folds = [everyone[s] for s in (everyone if subjects is None else subjects)]
    with TemporaryFolder() as temporary:
        store = Store(Path(temporary if folder is None else folder))
        run_folds(
            _AtHand(factory),
            folds,
            items,
            seeds,
            run="",
            store=store,
            workers=workers or Workers(),
            progress=progress,
        )
        return tuple(
            store.finished(s, fold.name, "", RecognitionFold.of) for s in seeds for fold in folds
        )


# -- what a run is made of -------------------------------------------------------------------------


def _selected(protocol: Protocol, model: str) -> dict[str, Any]:
    """The model's table, with what the protocol's data and its way to choose an epoch ask for."""
    table = dict(protocol.recognition.get(model, {}))
    table |= options_of(model, table, of_frames=NAME not in protocol.datasets)
    if protocol.selection == "fixed":
        return table
    if protocol.selection == "oracle" or "learning" not in resolve(model).options:
        raise UsageError(
            f"selection must be fixed, or inner for a recognizer of sequences; found "
            f"{protocol.selection!r} with the model {model}. No recognizer may choose its epoch "
            "on the test subjects"
        )
    usual = factory(model, _without_own(table))(0).stopping()
    changed = dict(table.get("learning", {}))
    if not usual["inner_share"]:
        changed["inner_share"] = INNER_SHARE
    if not usual["patience"]:
        changed["patience"] = PATIENCE
    return {**table, "learning": changed}


def _without_own(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in table.items() if k not in OWN_KEYS}


def _split_in_words(protocol: Protocol) -> str:
    return {
        "loso": "leave-one-subject-out",
        "k-fold": f"{protocol.folds} groups of subjects",
        "hold-out": f"one of {protocol.folds} groups of subjects held out, scored",
        "cross-data-set": "each data set by a model of the others",
    }[protocol.split]


def _unseen_notes(unseen: Sequence[Unseen]) -> list[str]:
    if not unseen:
        return []
    told = "; ".join(f"{u.subject}/{u.name} ({u.reason})" for u in unseen)
    count = "1 clip" if len(unseen) == 1 else f"{len(unseen)} clips"
    return [
        f"{count} without a face that can be followed: no model learns from it, and it is scored "
        f"as the class most frequent in training: {told}"
    ]


def _content(clips: AnyClips) -> str:
    """Of clips at hand; "" where their inputs are no one array, so that it cannot be said."""
    return _digest(clips) if isinstance(clips, (Clips, MotionClips)) else ""


def _digest(clips: Clips | MotionClips) -> str:
    known = hashlib.sha256(clips.inputs.tobytes() + clips.labels.tobytes())
    known.update(json.dumps([clips.subjects, clips.names, clips.sources]).encode())
    return known.hexdigest()


def _mask(rows: Sequence[int], number: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(number, np.bool_)
    mask[list(rows)] = True
    return mask


def _embedded(model: Recognizer, clips: LabeledClips[Any]) -> tuple[tuple[float, ...], ...]:
    rows = model.embeddings(clips.inputs)
    return () if rows is None else _rounded(rows, 5)


def _attributed(model: Recognizer, clips: LabeledClips[Any]) -> tuple[tuple[float, ...], ...]:
    rows = [spoke for clip in clips.inputs if (spoke := model.attribution(clip)) is not None]
    return _rounded(rows, 5) if len(rows) == len(clips) else ()


def _salient(
    model: Recognizer, clips: LabeledClips[Any]
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    found = [one for clip in clips.inputs if (one := model.saliency(clip)) is not None]
    if len(found) < len(clips):
        return (), ()
    return _rounded([o.space.ravel() for o in found], 5), _rounded([o.time for o in found], 5)


def _rounded(rows: Iterable[npt.ArrayLike], digits: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(np.round(np.asarray(row, np.float64), digits).tolist()) for row in rows)


def _filled(rows: tuple[tuple[float, ...], ...], further: int) -> tuple[tuple[float, ...], ...]:
    return rows + ((0.0,) * len(rows[0]),) * further if rows else ()
