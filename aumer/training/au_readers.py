"""An AU reader from annotated clips: `train_au_reader`."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from aumer.errors import UsageError
from aumer.files import StrPath, TemporaryFolder, check_target
from aumer.graph import au
from aumer.recognition.action_units import AUClips, AUReader
from aumer.recognition.au_graph import GraphAUReader
from aumer.recognition.au_prior import MOST
from aumer.recognition.interface import Clips
from aumer.recognition.place import BY_LANDMARKS
from aumer.session import SettingsLike, as_settings, versions
from aumer.training.clips import ClipReading, Progress, extract
from aumer.training.listing import listed
from aumer.types import Annotation

_log = logging.getLogger("aumer")

#: AUs that are looked for where nobody says which.
AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)
_CODED = ("coded", "not coded")


def train_au_reader(
    root: StrPath,
    *,
    out: StrPath,
    source: str = "own",
    table: StrPath | None = None,
    kinds: Collection[str] = ("micro",),
    aus: Sequence[int] = AUS,
    exclude_subjects: Collection[str] = (),
    reader: AUReader | None = None,
    settings: SettingsLike = None,
    card: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    cache: StrPath | None = None,
    progress: Progress | None = None,
) -> Path:
    """Learn to read action units off clips whose table has a column of them.

    Args:
        root: the folder of a data set.
        out: the file of weights, ending in .safetensors; ``aumer classify --au-reader`` takes it.
        source: the data set's name ("own", "casme2", "samm", ...).
        table: its table, where the root holds several.
        kinds: of expressions: "micro", "macro", or both.
        aus: the action units to read; those coded in too few clips are left out.
        exclude_subjects: left out of everything, to be tested on.
        reader: what learns, not trained; by default the kind that ships.
        settings: of faces and motion, as `aumer.spot` takes them.
        card: what the file should say beside what aumer knows: licence, purpose, ...
        overwrite: replace a file that is there.
        cache: folder for what is made of frames, for the next run.
        progress: called with the clips that are made and all there are.

    Returns:
        The file of weights.

    Raises:
        UsageError: an argument cannot be used, no clip is coded, there are fewer than two subjects,
            or the file exists and `overwrite` is False.
        VideoError, NoFaceError: a clip cannot be read, or shows no face.
    """
    path = check_target(out, overwrite=overwrite)
    if path.suffix != ".safetensors":
        raise UsageError(f"weights are kept in a .safetensors file; found `out` {str(path)!r}")
    if not 1 <= len(set(aus)) == len(aus) <= MOST:
        raise UsageError(f"`aus` are 1 to {MOST} different action units; found {tuple(aus)}")
    learner = reader or GraphAUReader(place=BY_LANDMARKS)

    def coded(dataset: str, a: Annotation, classes: Sequence[str]) -> str | None:
        out_of = a.subject in exclude_subjects
        return None if out_of or not au.read(a.aus).units else _CODED[0]

    tables = {} if table is None else {source: table}
    listing = listed({source: root}, _CODED, kinds=kinds, tables=tables, of=coded)
    reading = ClipReading(as_settings(settings))
    with TemporaryFolder() as kept:
        stored, seen, unseen = extract(listing, reading, cache=cache or kept, progress=progress)
        maps = stored.load()
    assert isinstance(maps, Clips)
    notes = list(listing.notes)
    if unseen:
        told = "; ".join(f"{u.subject}/{u.name} ({u.reason})" for u in unseen)
        notes.append(f"{len(unseen)} clips cannot be learned from: {told}")
    for note in notes:
        _log.warning("%s", note)
    clips = AUClips.coded(
        maps.inputs, [one.example.aus for one in seen], maps.subjects, aus=tuple(aus)
    )
    learner.fit(clips)
    counts = clips.acted.sum(0)
    about = {
        **(card or {}),
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "data": {
            "source": source,
            "subjects": len(set(clips.subjects)),
            "excluded_subjects": sorted(exclude_subjects),
            "clips": len(clips),
            "coded": {str(number): int(n) for number, n in zip(aus, counts, strict=True)},
            "notes": notes,
        },
        "versions": versions(),
    }
    learner.save(path, about, overwrite=overwrite)
    return path
