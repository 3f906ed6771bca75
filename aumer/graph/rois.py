"""Regions of interest (ROIs): the landmarks around which motion is measured.

Names end in the subject's side: `_r` is the subject's right, the image's left.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aumer import registry
from aumer.arguments import wrong
from aumer.errors import UsageError

_ORDERED = """
    jaw_r_1 jaw_r_2 jaw_r_3 jaw_r_4 jaw_r_5 jaw_r_6 jaw_r_7 jaw_r_8 chin
    jaw_l_8 jaw_l_7 jaw_l_6 jaw_l_5 jaw_l_4 jaw_l_3 jaw_l_2 jaw_l_1
    brow_r_outer brow_r_mid_outer brow_r_mid brow_r_mid_inner brow_r_inner
    brow_l_inner brow_l_mid_inner brow_l_mid brow_l_mid_outer brow_l_outer
    nose_root nose_bridge nose_ridge nose_tip
    nose_wing_r nostril_r nose_base nostril_l nose_wing_l
    eye_r_outer eye_r_upper_outer eye_r_upper_inner
    eye_r_inner eye_r_lower_inner eye_r_lower_outer
    eye_l_inner eye_l_upper_inner eye_l_upper_outer
    eye_l_outer eye_l_lower_outer eye_l_lower_inner
    mouth_r lip_upper_r_outer lip_upper_r lip_upper lip_upper_l lip_upper_l_outer
    mouth_l lip_lower_l_outer lip_lower_l lip_lower lip_lower_r lip_lower_r_outer
    mouth_r_inner lip_upper_r_inner lip_upper_inner lip_upper_l_inner
    mouth_l_inner lip_lower_l_inner lip_lower_inner lip_lower_r_inner
"""
#: Names of the iBUG-68 landmarks, in order. An ROI of this name lies around the landmark.
LANDMARK_NAMES: tuple[str, ...] = tuple(_ORDERED.split())


@dataclass(frozen=True)
class RoiSet:
    """Named ROIs in node order, each around a landmark (iBUG-68, 0-based).

    Raises:
        UsageError: no ROIs, a repeated name or landmark, or a landmark outside 0 to 67.
    """

    names: tuple[str, ...]
    landmarks: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.landmarks):
            raise UsageError(
                f"each ROI needs a landmark; found {len(self.names)} names and "
                f"{len(self.landmarks)} landmarks"
            )
        check_names(self.names)
        for landmark in self.landmarks:
            _check_landmark(landmark)
        _check_once("landmark", self.landmarks)

    def __len__(self) -> int:
        return len(self.names)


RoiSpec = RoiSet | str | Iterable[str | int] | Mapping[str, int]


def roi_set(spec: RoiSpec) -> RoiSet:
    """The ROIs that `spec` names.

    Args:
        spec: the name of a set (`NAMED`, or registered as "roi-set"); landmark indices or names, in
            node order, as a string ("18 19 mouth_r", commas allowed) or an iterable; or a mapping
            from your own ROI names to landmarks.

    Raises:
        UsageError: an unknown or repeated landmark.
    """
    if isinstance(spec, RoiSet):
        return spec
    if isinstance(spec, str):
        words = spec.replace(",", " ").split()
        if len(words) == 1 and not (words[0].isdecimal() or words[0] in LANDMARK_NAMES):
            found = _registered(words[0])
            if found is not None:
                return found
        spec = words  # `landmark` raises the error
    if isinstance(spec, Mapping):
        return RoiSet(tuple(spec), tuple(spec.values()))
    if not isinstance(spec, Iterable):
        raise wrong("spec", spec, "the name of a set of ROIs, or several landmarks")
    landmarks = tuple(map(landmark, spec))
    return RoiSet(tuple(LANDMARK_NAMES[k] for k in landmarks), landmarks)


def landmark(which: str | int) -> int:
    """The index of a landmark given by name or index, also as a string.

    Raises:
        UsageError: unknown landmark; the message names the nearest.
    """
    if isinstance(which, str) and not which.strip().isdecimal():
        if which in LANDMARK_NAMES:
            return LANDMARK_NAMES.index(which)
        sets = registry.names("roi-set")
        raise UsageError(
            f"no ROI or landmark is called {which!r}; sets are {', '.join(sets)}; a landmark is "
            f"an index from 0 to 67 or its name.{nearest_name(which, (*sets, *LANDMARK_NAMES))}"
        )
    return _check_landmark(int(which) if isinstance(which, str) else which)


def _registered(name: str) -> RoiSet | None:
    try:
        found = registry.resolve("roi-set", name)
    except UsageError:  # unknown name
        return None
    if not isinstance(found, RoiSet):
        raise UsageError(f"the ROI set registered as {name!r} is not a RoiSet: {found!r}")
    return found


def check_names(names: Sequence[str]) -> None:
    """Check names of nodes: at least one, none empty or repeated.

    Raises:
        UsageError: names the wrong one.
    """
    if not names:
        raise UsageError("there must be one ROI at least; found none")
    for name in names:
        if not name or not isinstance(name, str):
            raise UsageError(f"the name of a ROI is a text that is not empty; found {name!r}")
    _check_once("ROI", names)


def nearest_name(name: str, choices: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest of `choices`, ignoring the order of words."""

    def words(text: str) -> str:
        return "_".join(sorted(text.lower().split("_")))

    by_words = {words(c): c for c in choices}
    near = difflib.get_close_matches(words(str(name)), by_words, n=1, cutoff=0.5)
    return f" Did you mean {by_words[near[0]]!r}?" if near else ""


def _check_landmark(index: object) -> int:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 68:
        raise UsageError(f"a landmark is an index from 0 to 67 (iBUG-68); found {index!r}")
    return index


def _check_once(what: str, values: Sequence[object]) -> None:
    twice = [v for k, v in enumerate(values) if v in values[:k]]
    if twice:
        raise UsageError(f"each {what} may be given once; {twice[0]!r} is given more often")


def _named(*landmarks: int) -> RoiSet:
    return RoiSet(tuple(LANDMARK_NAMES[k] for k in landmarks), landmarks)


#: The 12 of ABPN (2022) and AUW-GCN (2023): three on each brow, two on the nose, four on the mouth.
DEFAULT_ROIS = _named(18, 19, 20, 23, 24, 25, 28, 30, 48, 51, 54, 57)

#: ROI sets by name: the 12 published ones, all landmarks except the jaw's, and all. Kind "roi-set"
#: in `aumer.registry`.
NAMED: dict[str, RoiSet] = {
    "published": DEFAULT_ROIS,
    "inner51": _named(*range(17, 68)),
    "ibug68": _named(*range(68)),
}
