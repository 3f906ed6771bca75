"""Parsing of coders' action units (AUs), and the ROIs that each AU moves.

Codes are those of the Facial Action Coding System (Ekman, Friesen and Hager, 2002).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from aumer.errors import UsageError, did_you_mean
from aumer.types import Annotation, Side

#: Action unit, action descriptor, gaze, head, visibility of a part of the face, gross behavior.
CodeKind = Literal["AU", "AD", "eye", "head", "visibility", "gross"]

_CODES: dict[CodeKind, tuple[int, ...]] = {
    "AU": (1, 2, *range(4, 19), *range(20, 29), 38, 39, *range(41, 47)),
    "AD": (19, *range(29, 38)),
    "eye": tuple(range(61, 70)),
    "head": tuple(range(51, 61)),
    "visibility": tuple(range(70, 75)),
    "gross": (40, 50, *range(80, 99)),
}
#: Names of the action units in FACS.
NAMES: Mapping[int, str] = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    8: "lips toward each other",
    9: "nose wrinkler",
    10: "upper lip raiser",
    11: "nasolabial furrow deepener",
    12: "lip corner puller",
    13: "sharp lip puller",
    14: "dimpler",
    15: "lip corner depressor",
    16: "lower lip depressor",
    17: "chin raiser",
    18: "lip pucker",
    20: "lip stretcher",
    21: "neck tightener",
    22: "lip funneler",
    23: "lip tightener",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
    27: "mouth stretch",
    28: "lips suck",
    38: "nostril dilator",
    39: "nostril compressor",
    41: "lid droop",
    42: "slit",
    43: "eyes closed",
    44: "squint",
    45: "blink",
    46: "wink",
}
_KIND: dict[int, CodeKind] = {n: kind for kind, numbers in _CODES.items() for n in numbers}


@dataclass(frozen=True)
class ActionUnit:
    """One code of a coder's string.

    Attributes:
        number: number in FACS.
        kind: its kind in FACS, whatever letters the coder wrote before it.
        side: side of the subject; "both" also for A, asymmetric.
        intensity: A to E, as written: "B", or "B/C" if the coder was undecided.
        uncertain: marked "?", one of several alternatives, or with an uncertain side ("(L/A)4").
        asymmetric: marked A: on both sides, more on one.
        part: "top" or "bottom" of the lips (T18, B23), else "".
        reflected: within "ref(...)": a passive movement by another action.
        alternative: index among alternatives: "12 or 14" are 0 and 1.
        text: as written.
    """

    number: int
    kind: CodeKind = "AU"
    side: Side = "both"
    intensity: str = ""
    uncertain: bool = False
    asymmetric: bool = False
    part: str = ""
    reflected: bool = False
    alternative: int = 0
    text: str = ""

    @property
    def made(self) -> bool:
        """Whether it counts: not reflected, and the first of its alternatives."""
        return not self.reflected and self.alternative == 0


@dataclass(frozen=True)
class Reading:
    """A parsed string: codes in order, and (piece, reason) of invalid pieces."""

    units: tuple[ActionUnit, ...]
    unread: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Coded:
    """An annotation with at least one code."""

    annotation: Annotation
    units: tuple[ActionUnit, ...]


@dataclass(frozen=True)
class Refused:
    """An unreadable piece in a row; `piece` is `text` if nothing could be read."""

    row: int
    subject: str
    video: str
    text: str
    piece: str
    reason: str

    def __str__(self) -> str:
        where = f"row {self.row} ({self.subject}/{self.video})"
        return f"{where}: {self.reason}: {self.piece!r} in {self.text!r}"


def read(text: str | float | None) -> Reading:
    """The codes in one cell of a table.

    Understood are ``4+10+14``, ``L12`` and ``R12`` (the subject's sides), ``A`` asymmetric, ``T``
    and ``B`` of the lips, levels ``7B`` and ``4(B/C)``, ``12?``, ``AU4``, ``AD38``, ``M58``, ``12
    or 14``, ``(23/24)``, ``ref(7B)``, and numbers that a spreadsheet turned into floats. Cells that
    are empty, null or nan contain no code.
    """
    if text is None or (isinstance(text, float) and math.isnan(text)):
        return Reading((), ())
    parser = _Parser(str(text))
    if parser.text.strip().lower() in ("", "null", "nan", "none"):
        return Reading((), ())
    units = parser.sum()
    return Reading(tuple(units), tuple(parser.unread))


def parse(text: str | float | None) -> tuple[ActionUnit, ...]:
    """The codes in one cell of a table, see `read`.

    Raises:
        UsageError: a piece is not a code; the message names it.
    """
    found = read(text)
    if found.unread:
        piece, reason = found.unread[0]
        raise UsageError(f"{reason}: {piece!r} in the action units {text!r}")
    return found.units


def read_annotations(
    annotations: Iterable[Annotation],
) -> tuple[tuple[Coded, ...], tuple[Refused, ...]]:
    """The codes of every annotation, and the unreadable pieces.

    Annotations without any code are only among the refused; those with an unreadable piece are in
    both.
    """
    coded, refused = [], []
    for a in annotations:
        found = read(a.aus)
        unread = found.unread
        if found.units:
            coded.append(Coded(a, found.units))
        elif not unread:
            unread = (("", "no action unit is coded"),)
        refused += [Refused(a.row, a.subject, a.video, a.aus, *piece) for piece in unread]
    return tuple(coded), tuple(refused)


_SIDES: dict[str, Side] = {"L": "left", "R": "right"}
_PARTS = {"T": "top", "B": "bottom"}
_END = r"(?![A-Za-z]|\d|\.\d)"
_OR = r"or(?=[\s(\dLRATB])"
_LEVELS = r"\(\s*[A-E]\s*(?:/|-|or|and\ then)\s*[A-E]\s*\)"

_CODE = re.compile(
    rf"""
    (?P<doubt>\([LRATB]/[LRATB]\)|[LRATB]/(?=[LRATB]))?
    (?P<mark>[LRATB])?
    (?:AU|AD|EM|M)?
    (?P<after>[LR])?                                       # ADR30
    (?P<number>\d{{1,2}})(?:\.0+)?(?!\d|\.\d)
    (?P<level>[A-E](?:/[A-E])?(?={_OR}|[^A-Za-z]|$)|{_LEVELS})?
    (?={_OR}|[^A-Za-z]|$)
    (?P<doubted>\s*\?)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_REF = re.compile(r"ref(?=[\s(])\s*", re.IGNORECASE)
_LOSES = re.compile(r"loses\s+(?:AU)?\d+(?:\+\d+)*", re.IGNORECASE)
_MARKED_GROUP = re.compile(r"([LRATB])(?=\()", re.IGNORECASE)
_GROUP_LEVEL = re.compile(rf"[A-E](?:/[A-E])?{_END}", re.IGNORECASE)
_ALTERNATIVE = re.compile(rf"\s*(?:/|{_OR})\s*", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s+,;&]+")
_WORD = re.compile(r"[^\s+()/,;&]+")
#: Most nested brackets; coders use two.
_DEEPEST = 20


class _Parser:
    """sum = choice {"+" choice}; choice = term {("or" | "/") term};
    term = code | ["ref" | side] "(" sum ")" [level] | "ref" code
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.unread: list[tuple[str, str]] = []
        self._depth = 0
        self._words: list[str] = []

    def sum(self, *, inner: bool = False) -> list[ActionUnit]:
        units: list[ActionUnit] = []
        while self.at < len(self.text):
            if self._take(_BETWEEN):
                continue
            if self.text[self.at] == ")":
                if inner:
                    break
                self.at += 1  # an unmatched closing bracket
                continue
            units += self._choice()
        self._end_of_words()
        return units

    def _choice(self) -> list[ActionUnit]:
        alternatives = [self._term()]
        while self._take(_ALTERNATIVE):
            alternatives.append(self._term())
        if len(alternatives) == 1:
            return alternatives[0]
        return [
            replace(unit, uncertain=True, alternative=max(unit.alternative, number))
            for number, units in enumerate(alternatives)
            for unit in units
        ]

    def _term(self) -> list[ActionUnit]:
        if found := self._take(_CODE):
            return self._code(found)
        if found := self._take(_LOSES):
            self._end_of_words()
            self.unread.append((found[0], "the end of an action is none"))
            return []
        if self._take(_REF):
            while self._take(_REF):  # repetitions count once
                pass
            return [replace(u, reflected=True) for u in self._term()]
        mark = self._take(_MARKED_GROUP)
        if self.at < len(self.text) and self.text[self.at] == "(":
            return self._group(mark[1].upper() if mark else "")
        if found := self._take(_WORD):
            self._words.append(found[0])
        else:
            self.at += 1
        return []

    def _group(self, mark: str) -> list[ActionUnit]:
        self._end_of_words()
        begin = self.at
        if self._depth == _DEEPEST:
            self.unread.append((self.text[begin : begin + 20], "too many brackets within brackets"))
            self.at = len(self.text)
            return []
        self._depth += 1
        self.at += 1
        units = self.sum(inner=True)
        self._depth -= 1
        self.at += 1
        # A comment in brackets has no level.
        level = self._take(_GROUP_LEVEL) if units else None
        if mark:
            units = [_marked(u, mark) for u in units]
        if level:
            units = [replace(u, intensity=u.intensity or level[0].upper()) for u in units]
        if mark or level:
            whole = self.text[begin - len(mark) : self.at]
            units = [replace(u, text=whole) for u in units]
        return units

    def _code(self, found: re.Match[str]) -> list[ActionUnit]:
        self._end_of_words()
        number, text = int(found["number"]), found[0].strip()
        if number not in _KIND:
            self.unread.append((text, f"FACS has no code {number}"))
            return []
        level = "/".join(re.findall(r"\b[A-E]\b", (found["level"] or "").upper()))
        unit = ActionUnit(
            number,
            _KIND[number],
            intensity=level,
            uncertain=bool(found["doubt"] or found["doubted"]),
            text=text,
        )
        for mark in (found["mark"], found["after"]):
            unit = _marked(unit, (mark or "").upper())
        return [unit]

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def _end_of_words(self) -> None:
        if self._words:
            self.unread.append((" ".join(self._words), "no code"))
            self._words = []


def _marked(unit: ActionUnit, mark: str) -> ActionUnit:
    """The unit with the letter before it: L, R, A, T, B or none."""
    return replace(
        unit,
        side=_SIDES.get(mark, unit.side),
        asymmetric=unit.asymmetric or mark == "A",
        part=_PARTS.get(mark, unit.part),
    )


# ROIs moved by AUs


@dataclass(frozen=True)
class AUMap:
    """The ROIs that each two-sided AU moves.

    Attributes:
        moves: ROI names by AU.
        still: reasons for AUs that are known to move no ROI.
        exact: read AU strings like the published script: split at "+", only exact numbers count.
    """

    name: str
    moves: Mapping[int, tuple[str, ...]]
    still: Mapping[int, str] = field(default_factory=dict)
    exact: bool = False

    def moved(self, unit: ActionUnit) -> tuple[str, ...]:
        """ROIs that the action moves; for a one-sided action, none of the other side."""
        rois = self.moves.get(unit.number, ()) if unit.kind == "AU" else ()
        if unit.side == "both":
            return rois
        other = "r" if unit.side == "left" else "l"
        return tuple(roi for roi in rois if other not in roi.split("_"))


def _both(*parts: str) -> tuple[str, ...]:
    return tuple(f"{p.replace('*', side)}" for p in parts for side in "rl")


_INNER, _MIDDLE, _OUTER = _both("brow_*_mid_inner"), _both("brow_*_mid"), _both("brow_*_mid_outer")
_CORNERS, _LIPS = _both("mouth_*"), ("lip_upper", "lip_lower")

#: AUW-GCN's map. It exchanges 1 and 2 of FACS, where 1 is the inner brow raiser.
PUBLISHED = AUMap(
    "published",
    {
        1: (*_OUTER, *_MIDDLE),
        2: _INNER,
        12: _CORNERS,
        14: _CORNERS,
        25: _LIPS,
        26: _LIPS,
    },
    exact=True,
)

#: By anatomy; ``au_priors/README.md`` gives reasons for each line.
FACS = AUMap(
    "facs",
    {
        1: _INNER,
        2: (*_MIDDLE, *_OUTER),
        4: (*_INNER, *_MIDDLE, *_OUTER, "nose_bridge"),
        6: _OUTER,
        7: ("nose_bridge",),
        8: _LIPS,
        9: (*_INNER, "nose_bridge", "nose_tip", "lip_upper"),
        10: ("lip_upper",),
        12: _CORNERS,
        13: _CORNERS,
        14: _CORNERS,
        15: _CORNERS,
        16: ("lip_lower",),
        17: ("lip_lower",),
        18: (*_CORNERS, *_LIPS),
        20: _CORNERS,
        22: (*_CORNERS, *_LIPS),
        23: (*_CORNERS, *_LIPS),
        24: _LIPS,
        25: _LIPS,
        26: ("lip_lower",),
        27: (*_CORNERS, "lip_lower"),
        28: _LIPS,
        38: ("nose_tip",),
        39: ("nose_tip",),
    },
    still={
        5: "the upper lid rises; brow and nose stay",
        11: "the fold beside the nose deepens; the lip's middle and corner stay",
        21: "the skin of the neck and over the jaw's edge",
        41: "the upper lid droops",
        42: "the lids narrow to a slit",
        43: "the eyes close",
        44: "the lids narrow: squint",
        45: "the eyes close and open: blink",
        46: "one eye closes: wink",
    },
)

MAPS: dict[str, AUMap] = {m.name: m for m in (PUBLISHED, FACS)}


def require_map(name: str) -> None:
    """Raise an error for an unknown map.

    Raises:
        UsageError: not in `MAPS`; the message lists the choices.
    """
    if name not in MAPS:
        raise UsageError(
            f"no AU map is called {name!r}; there are {', '.join(MAPS)}.{did_you_mean(name, MAPS)}"
        )
