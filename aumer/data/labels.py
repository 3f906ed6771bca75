"""Classes that papers make of the coders' emotions; `None` is what they leave out."""

from __future__ import annotations

from aumer.types import Annotation

#: MEGC 2019's three classes, in the order of its labels.
MEGC_CLASSES = ("negative", "positive", "surprise")
CASME2_CLASSES = ("happiness", "disgust", "repression", "surprise", "others")
SAMM_CLASSES = ("anger", "happiness", "contempt", "surprise", "other")

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

#: Disgust in the workbook of 2014, and not among the composite's 61.
_NOT_IN_COMPOSITE = {("sub04", "EP12_01f"), ("sub05", "EP09_05f")}


def _word(emotion: str) -> str:
    word = emotion.strip().casefold()
    return _SAME.get(word, word)


def megc_class(emotion: str) -> str | None:
    """negative, positive or surprise; `None` for others (MEGC 2019)."""
    return _MEGC.get(_word(emotion))


def composite_class(dataset: str, annotation: Annotation) -> str | None:
    """The class of a clip of "smic-hs", "casme2" (2014 edition) or "samm" in MEGC 2019's composite.

    Its CASME II part is narrower than `megc_class`: fear, sadness and two of disgust are out.
    """
    if dataset == "casme2" and (
        _word(annotation.emotion) in ("fear", "sadness")
        or (annotation.subject, annotation.video) in _NOT_IN_COMPOSITE
    ):
        return None
    return megc_class(annotation.emotion)


def casme2_class(emotion: str) -> str | None:
    """One of `CASME2_CLASSES`; `None` for fear and sadness, which have too few clips."""
    word = _word(emotion)
    return word if word in CASME2_CLASSES else None


def samm_class(emotion: str) -> str | None:
    """One of `SAMM_CLASSES`; `None` for disgust, fear and sadness, which have too few clips."""
    word = _word(emotion)
    return word if word in SAMM_CLASSES else None
