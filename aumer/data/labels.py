"""Mapping of coders' emotions to the classes of papers; `None` for excluded emotions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aumer.errors import ConfigError, did_you_mean
from aumer.types import Annotation

#: MEGC 2019's three classes, in the order of its labels.
MEGC_CLASSES = ("negative", "positive", "surprise")
CASME2_CLASSES = ("happiness", "disgust", "repression", "surprise", "others")
SAMM_CLASSES = ("anger", "happiness", "contempt", "surprise", "other")
#: DFME's seven classes: Ekman's six and contempt.
SEVEN_CLASSES = ("happiness", "anger", "contempt", "disgust", "fear", "sadness", "surprise")
#: Named sets of classes.
LABEL_SETS: Mapping[str, tuple[str, ...]] = {
    "megc": MEGC_CLASSES,
    "casme2": CASME2_CLASSES,
    "samm": SAMM_CLASSES,
    "seven": SEVEN_CLASSES,
}

_MEGC = {
    "happiness": "positive",
    "positive": "positive",
    "surprise": "surprise",
    "negative": "negative",
    "disgust": "negative",
    "repression": "negative",
    "anger": "negative",
    "contempt": "negative",
    "fear": "negative",
    "sadness": "negative",
}
_SAME = {"happy": "happiness", "sad": "sadness"}

#: Coded as disgust in the workbook of 2014, but not among the composite's 61.
_NOT_IN_COMPOSITE = {("sub04", "EP12_01f"), ("sub05", "EP09_05f")}


def word_of(emotion: str) -> str:
    """An emotion in normalized form: case-insensitive, "happy" for "happiness"."""
    word = emotion.strip().casefold()
    return _SAME.get(word, word)


def label_set(classes: str | Sequence[str]) -> tuple[str, ...]:
    """The classes of a set in `LABEL_SETS`, or the given ones unchanged; empty for none.

    Raises:
        ConfigError: unknown set, only one class, or two equal classes.
    """
    if isinstance(classes, str):
        if classes not in LABEL_SETS:
            told = "; ".join(f"{name} ({', '.join(s)})" for name, s in LABEL_SETS.items())
            raise ConfigError(
                f"classes must name two or more, such as classes = {list(MEGC_CLASSES)}, or be one "
                f"of the sets {told}; found {classes!r}.{did_you_mean(classes, LABEL_SETS)}"
            )
        return LABEL_SETS[classes]
    words = [word_of(one) for one in classes]
    if len(words) == 1 or len(set(words)) < len(words) or "" in words:
        raise ConfigError(
            f"classes must name two or more, all different, such as classes = "
            f"{list(MEGC_CLASSES)}; found {list(classes)}. Leave them out for those of the table"
        )
    return tuple(classes)


def megc_class(emotion: str) -> str | None:
    """negative, positive or surprise; `None` for others (MEGC 2019)."""
    return _MEGC.get(word_of(emotion))


def composite_class(dataset: str, annotation: Annotation) -> str | None:
    """The class of a clip of "smic-hs", "casme2" (2014 edition) or "samm" in MEGC 2019's composite.

    For CASME II it excludes more than `megc_class`: fear, sadness and two clips of disgust.
    """
    if dataset == "casme2" and (
        word_of(annotation.emotion) in ("fear", "sadness")
        or (annotation.subject, annotation.video) in _NOT_IN_COMPOSITE
    ):
        return None
    return megc_class(annotation.emotion)


def casme2_class(emotion: str) -> str | None:
    """One of `CASME2_CLASSES`; `None` for fear and sadness, which have too few clips."""
    word = word_of(emotion)
    return word if word in CASME2_CLASSES else None


def samm_class(emotion: str) -> str | None:
    """One of `SAMM_CLASSES`; `None` for disgust, fear and sadness, which have too few clips."""
    word = word_of(emotion)
    return word if word in SAMM_CLASSES else None
