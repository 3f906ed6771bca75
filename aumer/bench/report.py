"""The report of a run's folder. Nothing is run or trained."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aumer.arguments import as_path
from aumer.bench.clips import ClipSet
from aumer.bench.pictures import Faces, faces_of_clips
from aumer.bench.result import Result
from aumer.bench.run import roots_by_name, stored
from aumer.bench.sources import SIMULATED
from aumer.bench.store import RESULT, Store
from aumer.bench.tasks.recognition import Recognition
from aumer.bench.tasks.recognition_result import RecognitionFold, RecognitionResult
from aumer.bench.tasks.spotting import Spotting
from aumer.bench.tasks.spotting_result import LITTLE, SELECTIONS, SpottingResult
from aumer.data.megc2019 import NAME as MEGC2019
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.names import without_folders
from aumer.report.runs import About, Clip, RecognitionRun, Spotted, SpottingRun, Training
from aumer.training.composite import composite
from aumer.types import ImageArray

if TYPE_CHECKING:
    from aumer.report.report import ReportPage


#: The folder of a data set, or of each data set by name.
Roots = StrPath | Mapping[str, StrPath]


def draw(folder: StrPath, *, data: Roots | None = None) -> ReportPage:
    """The report of a finished run of `aumer bench`.

    Args:
        folder: folder of the run.
        data: the folder of its data set, or of each by name, for pictures of misclassified clips:
            faces at onset, apex and offset; for MEGC 2019's composite the flow images, and the data
            set of each clip.

    Raises:
        UsageError: the folder has no finished run, its files are inconsistent, or `data` is not the
            run's data.
    """
    from aumer.report.report import report

    return report(read(folder, data=data))


def read(folder: StrPath, *, data: Roots | None = None) -> RecognitionRun | SpottingRun:
    """The input of `draw`."""
    folder = as_path("folder", folder, "the path of a run's folder")
    result, document = stored(folder), Store(folder).document(RESULT)
    if isinstance(result, RecognitionResult):
        return _recognition(result, document, data)
    if data is not None:
        raise UsageError(
            "the report of a spotting run needs no data, as the run holds its truth; leave "
            "`data` out"
        )
    assert isinstance(result, SpottingResult)
    return _spotting(result)


def events(folder: StrPath, to: StrPath, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Event files for TensorBoard of each fold's training, as ``TO/seed-N/FOLD``.

    Raises:
        BackendUnavailable: the extra "tensorboard" is not installed.
        UsageError: the folder has no finished run, or one without a log; or as
            `aumer.learning.log.write_events`.
    """
    from aumer.learning.log import write_events

    run = read(folder)
    training = run.training if isinstance(run, RecognitionRun) else ()
    if not training:
        raise UsageError(
            f"{folder} keeps no log of its folds' training: recognizers that are trained by epochs "
            "do. Leave `tensorboard` out"
        )
    logs = {f"seed-{one.seed}/{one.fold}": one.log for one in training}
    return write_events(as_path("to", to, "the path of a folder"), logs, overwrite=overwrite)


# -- recognition ----------------------------------------------------------------------------------


def _recognition(
    result: RecognitionResult, document: Mapping[str, Any], data: Roots | None
) -> RecognitionRun:
    for seed, report in result.reports.items():
        if report.confusion.tolist() != document["seeds"].get(str(seed), {}).get("confusion"):
            raise UsageError(
                f"the folds of seed {seed} in {result.folder} are not those from which its "
                f"{RESULT} was computed. Run the benchmark's command again: it scores the "
                "folds that are there"
            )
    folds = result.folds
    truth = Store(result.folder).read_data(Recognition.read)
    sources = {
        (subject, name): dataset
        for (dataset, subject), (name, _, _) in zip(truth.subject_keys, truth.rows, strict=True)
    }
    images: Mapping[tuple[str, str], ImageArray] = {}
    faces: Mapping[tuple[str, str], Faces] = {}
    if data is not None:
        roots = roots_by_name(result.protocol, data)
        if MEGC2019 in result.protocol.datasets:
            images, sources = _composite(roots[MEGC2019], result)
        else:
            faces = _mistaken(result, truth, roots)
    notes = [
        f"Split: {result.split}. Every clip was predicted by a model that was trained without its "
        "subject; whatever a model chose, it chose within its training subjects.",
        *result.notes,
        f"Training took {result.seconds:.0f} s for each seed, summed over folds.",
    ]
    return RecognitionRun(
        about=replace(_about(result), notes=notes),
        classes=tuple(next(iter(result.reports.values())).classes),
        clips=tuple(clip for fold in folds for clip in _clips(fold, sources)),
        training=tuple(Training(f.subject, f.seed, f.log) for f in folds if f.log),
        rois=_rois(folds),
        chosen=tuple(f.chosen for f in folds if f.chosen),
        images=images,
        faces=faces,
        picture="flow from onset to apex; red is u (to the right), green v (down), blue strain",
    )


def _clips(fold: RecognitionFold, sources: Mapping[tuple[str, str], str]) -> Iterator[Clip]:
    def row(rows: Sequence[tuple[float, ...]], k: int) -> tuple[float, ...]:
        return rows[k] if k < len(rows) else ()

    for k, (subject, name) in enumerate(zip(fold.clip_subjects, fold.clips, strict=True)):
        yield Clip(
            subject=subject,
            name=name,
            truth=fold.truths[k],
            predicted=fold.predicted[k],
            probabilities=row(fold.probabilities, k),
            embedding=row(fold.embeddings, k),
            attribution=row(fold.attribution, k),
            space=row(fold.space, k),
            time=row(fold.time, k),
            seed=fold.seed,
            source=sources.get((subject, name), ""),
            fold=fold.subject,
            seen=k < len(fold.clips) - fold.unseen,
        )


def _rois(folds: Sequence[RecognitionFold]) -> tuple[str, ...]:
    """The ROIs of all folds; empty if they differ."""
    found = {fold.rois for fold in folds if fold.unseen < len(fold.clips)}
    return found.pop() if len(found) == 1 else ()


def _mistaken(
    result: RecognitionResult, truth: ClipSet, roots: Mapping[str, StrPath]
) -> dict[tuple[str, str], Faces]:
    """Faces of the clips that were misclassified in at least one seed."""
    if missing := [name for name in result.protocol.datasets if name not in roots]:
        raise UsageError(
            f"the run is of {', '.join(result.protocol.datasets)}; give the folder of "
            f"{missing[0]}, too, or leave `data` out"
        )
    rows = [row for fold in result.folds for row in fold.rows()]
    keys = [(subject, name) for name, _, subject in truth.rows]
    return faces_of_clips(
        roots,
        result.protocol.classes,
        {(row.subject, row.clip): row.truth for row in rows},
        {(row.subject, row.clip) for row in rows if row.truth != row.predicted},
        dict(zip(keys, truth.frames, strict=False)),  # only for visible clips
        result.about.get("features", {}),
        result.protocol.mismatch,
    )


def _composite(
    root: StrPath, result: RecognitionResult
) -> tuple[dict[tuple[str, str], ImageArray], dict[tuple[str, str], str]]:
    """Flow images and data sets by (subject, clip)."""
    clips = composite(root)
    keys = list(zip(clips.subjects, clips.names, strict=True))
    truths = dict(zip(keys, (clips.classes[k] for k in clips.labels), strict=True))
    for fold in result.folds:
        for subject, name, truth in zip(fold.clip_subjects, fold.clips, fold.truths, strict=True):
            if (found := truths.get((subject, name))) != truth:
                raise UsageError(
                    f"{root} is not the data of this run: clip {name!r} of subject {subject} is "
                    f"{found or 'not there'}, where the run has {truth}"
                )
    images = np.rint(clips.inputs * 255).astype(np.uint8)
    return dict(zip(keys, images, strict=True)), dict(zip(keys, clips.sources, strict=True))


# -- spotting -------------------------------------------------------------------------------------

_SPLITS = {
    "loso": "Leave one subject out: each subject was tested once, by a model of the others.",
    "k-fold": "Groups of subjects were left out in turn: each was tested once, by a model of the "
    "others.",
    "cross-data-set": "Each data set was tested by a model of the others.",
    "unseen": "The videos are of subjects that no model has seen.",
}
#: Texts for models that are not trained here, by when they were trained.
_READY = {
    "never": "The model has rules and no weights: nothing is trained, and it is the same in every "
    "fold. Which data its constants were set on, its own documentation says.",
    "elsewhere": "The model was trained elsewhere and is the same in every fold: whether tested "
    "subjects were among those it learned from, its card says (in the settings below).",
}


def _spotting(result: SpottingResult) -> SpottingRun:
    truths = Store(result.folder).read_data(Spotting.read).truths
    notes, words = [], dict(SELECTIONS)
    trained = result.about["model"]["trained"]
    if trained == "on every fold":
        notes.append(_SPLITS[result.protocol.split])
        notes += [f"Selection {name}: {SELECTIONS[name]}." for name in result.selections]
    else:
        words = dict.fromkeys(words, f"nothing is trained on these data: trained {trained}")
        notes.append(_READY[trained])
    notes += [f"{name}: {note}" for name, own in result.notes.items() for note in own]
    coverage = {name: share for fold in result.folds for name, share in fold["coverage"].items()}
    if little := [f"{name} ({share:.0%})" for name, share in coverage.items() if share < LITTLE]:
        notes.append(f"Videos with a usable face less than half the time: {', '.join(little)}")
    return SpottingRun(
        replace(_about(result), notes=notes),
        tuple(
            Spotted(
                one.dataset,
                one.seed,
                words[one.selection],
                one.selection != "oracle",
                one.predictions,
                truths[one.dataset],
                one.report,
                one.strs.recognition if one.strs else None,
                one.strs.strs if one.strs else None,
            )
            for one in result.scored
        ),
        tuple(_facts(fold["model"]) for fold in result.folds if fold["model"]),
    )


def _facts(model: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a fold's model for the reader; digests are in the folds' files."""
    names = ("epochs", "loss", "threshold", "graph_name", "inner_subjects", "training_seconds")
    found = {name: model[name] for name in names if model.get(name) not in (None, [])}
    if "graph" in model:
        found["graph"] = str(model["graph"])[:12]
    return found


# -- both -----------------------------------------------------------------------------------------


def _about(result: Result[Any]) -> About:
    protocol = result.protocol
    simulated = [d for d in protocol.datasets if d in SIMULATED or re.match("sim(ulated)?-", d)]
    warnings = []
    if simulated:
        warnings.append(
            f"SIMULATED DATA ({', '.join(simulated)}): no figure on this page was measured on real "
            "faces."
        )
    if protocol.selection == "oracle":
        warnings.append(
            "Figures marked as chosen on the test subject are upper bounds and no results."
        )
    published = []
    for row in result.published:
        said = {"chosen on": row.selection, "note": row.note}
        published.append({"method": row.method, **row.figures, **said})
    settings = {
        "protocol": protocol.to_dict(),
        "run": result.about,
        "folder": result.folder.resolve().name,
    }
    model = without_folders(result.model)
    return About(
        f"{protocol.heading} – {model}",
        model,
        _mailed_command(result.run.command),
        result.run.versions,
        warnings,
        (),
        _mailed(settings),
        published,
    )


def _mailed(value: Any) -> Any:
    """A value of the settings for a page that may be mailed: without paths."""
    if isinstance(value, Mapping):
        return {key: _mailed(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mailed(one) for one in value]
    return without_folders(value) if isinstance(value, str) else value


def _mailed_command(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:  # not a command line: a name with an apostrophe
        return command
    told = []
    for word in words:
        option, equals, value = word.rpartition("=")
        told.append(f"{option}{equals}{without_folders(value)}")
    return command if told == words else shlex.join(told)
