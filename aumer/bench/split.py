"""Splits into training and test subjects. A test subject is never among its model's training
subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aumer.bench.protocol import Protocol
from aumer.errors import UsageError
from aumer.recognition.sequences.splits import hold_out, k_fold

#: Data set and subject of a video or clip.
SubjectKey = tuple[str, str]
#: From the keys of all items and a number of groups to the groups of subjects tested together.
Draw = Callable[[Sequence[SubjectKey], int], list[set[SubjectKey]]]

#: Seed of the groups of subjects, independent of the seed of training.
_GROUPS_SEED = 0


@dataclass(frozen=True)
class Fold:
    """Indices of the test and training items (videos, clips) of a fold.

    Attributes:
        dataset: data set whose score it belongs to; "" for a split without data sets.
    """

    name: str
    dataset: str
    tested: tuple[int, ...]
    trained: tuple[int, ...]


def plan(
    protocol: Protocol, subject_keys: Sequence[SubjectKey], *, pooled: bool = False
) -> tuple[Fold, ...]:
    """The folds of a protocol.

    Args:
        subject_keys: data set and subject of each item.
        pooled: split the subjects of all data sets together, into groups of similar numbers of
            items. Otherwise each data set is split, into groups of similar numbers of subjects.

    Raises:
        UsageError: fewer subjects than groups or than `train_subjects`; if pooled, fewer than two
            subjects, only one data set for a cross-data-set split, or only one subject for a
            hold-out.
    """
    if pooled:
        groups, subject_keys = _pooled_groups(protocol, subject_keys)
    else:
        groups = _groups(protocol, subject_keys, protocol.datasets, _equal_in_subjects)
    folds = []
    for name, dataset, out in groups:
        # A subject with the same name in another data set may be the same or another person.
        names = {subject for _, subject in out}
        trained = [
            k
            for k, (d, subject) in enumerate(subject_keys)
            if subject not in names
            and (d != dataset or protocol.split not in ("cross-data-set", "unseen"))
            and (protocol.split != "unseen" or d in protocol.train_datasets)
        ]
        trained = _fewer(name, trained, subject_keys, protocol.train_subjects)
        held_out = [k for k, w in enumerate(subject_keys) if w in out]
        folds.append(Fold(name, dataset, tuple(held_out), tuple(trained)))
    return tuple(folds)


#: A fold's name, data set and test subjects.
_Group = tuple[str, str, set[SubjectKey]]


def _groups(
    protocol: Protocol, subject_keys: Sequence[SubjectKey], datasets: Sequence[str], draw: Draw
) -> list[_Group]:
    tested = [w for w in dict.fromkeys(subject_keys) if w[0] in datasets]
    if protocol.split in ("cross-data-set", "unseen"):
        return [(d, d, {w for w in tested if w[0] == d}) for d in datasets]
    if protocol.split == "loso":
        several = len(datasets) > 1
        return [(f"{d} {s}" if several else s, d, {(d, s)}) for d, s in tested]
    n = protocol.folds
    return [
        (f"{d} {k} of {n}".strip(), d, group)
        for d in datasets
        for k, group in enumerate(draw([w for w in subject_keys if w[0] == d], n), start=1)
    ]


def _pooled_groups(
    protocol: Protocol, subject_keys: Sequence[SubjectKey]
) -> tuple[list[_Group], Sequence[SubjectKey]]:
    """The groups, and the items' keys as in the groups: without data sets, except across data
    sets.
    """
    subjects = tuple(dict.fromkeys(s for _, s in subject_keys))
    if len(subjects) < 2:
        raise UsageError(f"leave-one-subject-out needs two subjects or more; found {subjects}")
    datasets = tuple(dict.fromkeys(d for d, _ in subject_keys))
    if protocol.split == "cross-data-set":
        if len(datasets) < 2:
            raise UsageError(f"crossing needs two data sets or more; found {datasets}")
        return _groups(protocol, subject_keys, datasets, _equal_in_items), subject_keys
    subject_keys = [("", subject) for _, subject in subject_keys]
    if protocol.split == "hold-out":
        return [("hold-out", "", _held_out(subject_keys, protocol.folds))], subject_keys
    return _groups(protocol, subject_keys, ("",), _equal_in_items), subject_keys


def _equal_in_subjects(subject_keys: Sequence[SubjectKey], folds: int) -> list[set[SubjectKey]]:
    own = sorted(set(subject_keys))
    if len(own) < folds:
        dataset = next((d for d, _ in subject_keys), "a data set")
        raise UsageError(f"{dataset} has {len(own)} subjects, too few for {folds} groups of them")
    order = np.random.default_rng(_GROUPS_SEED).permutation(len(own))
    return [{own[i] for i in order[k::folds]} for k in range(folds)]


def _equal_in_items(subject_keys: Sequence[SubjectKey], folds: int) -> list[set[SubjectKey]]:
    return [
        {subject_keys[i] for i in test} for _, test in k_fold(subject_keys, folds, _GROUPS_SEED)
    ]


def _held_out(subject_keys: Sequence[SubjectKey], folds: int) -> set[SubjectKey]:
    _, test = hold_out(subject_keys, 1 / folds, _GROUPS_SEED)
    held = {subject_keys[i] for i in test}
    if len(held) < 2:
        ((_, alone),) = held
        raise UsageError(
            f"every group must have two subjects or more, as one gives no interval; of {folds} "
            "groups "
            f"of {len(set(subject_keys))} subjects one is {alone} alone. Use fewer folds"
        )
    return held


def _fewer(
    fold: str, trained: list[int], subject_keys: Sequence[SubjectKey], subjects: int
) -> list[int]:
    """The items of a drawn number of the subjects; smaller sets are subsets of larger ones."""
    everyone = sorted({subject_keys[k] for k in trained})
    if not subjects or not everyone:
        return trained
    if subjects > len(everyone):
        raise UsageError(
            f"train_subjects must be at most the number of subjects to train on, "
            f"{len(everyone)} in fold {fold}; found {subjects}"
        )
    rng = np.random.default_rng([_GROUPS_SEED, *fold.encode()])
    chosen = {everyone[i] for i in rng.permutation(len(everyone))[:subjects]}
    return [k for k in trained if subject_keys[k] in chosen]
