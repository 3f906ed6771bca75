"""What the columns of a text without a header are, from what their cells hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aumer.errors import UsageError
from aumer.tables.cells import number_of, plain, text_of
from aumer.tables.lines import COLUMNS, KIND_WORDS, MISSING, ROLES
from aumer.tables.reading import IntervalReading

#: The header is searched in the first lines; below the first it needs several column names.
_HEADER_WITHIN = 40


def names_columns(lines: Sequence[Sequence[Any]]) -> bool:
    """Whether one of the first lines is a header: column names and no number."""
    return any(
        sum(plain(cell) in ROLES for cell in line) > (k > 0) and not _numbers(line)
        for k, line in enumerate(lines[:_HEADER_WITHIN])
    )


def _numbers(line: Sequence[Any]) -> int:
    return sum(number_of(text_of(cell)) is not None for cell in line)


def begins_with_numbers(line: Sequence[Any]) -> bool:
    """Whether a line has two or more numbers, one of which may be missing, such as nan."""
    missing = sum(text_of(cell).casefold() in MISSING - {""} for cell in line)
    return _numbers(line) >= 1 and _numbers(line) + missing >= 2


def column_names(
    where: str,
    lines: Sequence[Sequence[Any]],
    reading: IntervalReading,
    *,
    video_first: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Roles of the columns, given or found from the cells; and a note for the user.

    Args:
        video_first: whether the first column is the video, which is then not among the given ones.

    Raises:
        UsageError: the roles are neither given nor clear.
    """
    width = max(len(line) for line in lines)
    own = ("video",) if video_first else ()
    if reading.columns:
        names = (*own, *(COLUMNS.get(n, (n,))[0] for n in reading.columns))
        unknown = [n for n in names if plain(n) not in ROLES and n not in ("", "-")]
        if unknown:
            raise UsageError(
                f"{where}: `columns` names {unknown[0]!r}; a column is one of "
                f"{', '.join(COLUMNS)}, or - for one that is left aside"
            )
        return names, ()
    columns = [[text_of(line[k]) if k < len(line) else "" for line in lines] for k in range(width)]
    guessed = _guessed(columns, video_first)
    if guessed is None:
        odd = next((line for line in lines if len(line) != len(lines[0])), None)
        uneven = ""
        if odd is not None:
            cells = (f"{odd[0]}: " if own else "") + ", ".join(map(text_of, odd[len(own) :]))
            uneven = f"; not all its lines have {len(lines[0]) - len(own)} cells: {cells}"
        begin = f"{lines[0][0]}: " if own else ""
        raise UsageError(
            f"{where}: cannot tell what its {width - len(own)} columns are, such as "
            f"{begin}{', '.join(map(text_of, lines[0][len(own) :]))}{uneven}; name them with "
            "`columns`, such as video,onset,offset,kind (- for one that is left aside)"
        )
    guesses = ", ".join(guessed[len(own) :])
    return guessed, (f"taken without a header, from what the cells hold: {guesses}",)


def _guessed(columns: Sequence[Sequence[str]], video_first: bool) -> tuple[str, ...] | None:
    """The roles of columns; `None` if the cells are ambiguous."""
    kinds, texts, numbers = [], [], []
    for index, cells in enumerate(columns):
        if index == 0 and video_first:
            texts.append(index)
        elif all(c.casefold() in MISSING or number_of(c) is not None for c in cells):
            numbers.append(index)
        elif all(plain(c) in KIND_WORDS for c in cells):
            kinds.append(index)
        else:
            texts.append(index)
    if len(texts) != 1 or len(kinds) > 1:
        return None
    values = {k: [number_of(c) for c in columns[k]] for k in numbers}
    found = _number_roles(values, coded=not kinds)
    first = int(video_first)
    if first in values:
        # pandas' index column numbers the lines; it is not an onset.
        counts, sure = _line_numbers(values[first], columns[0] if video_first else [""])
        apart = not video_first and numbers[0] < texts[0] < numbers[-1]
        if counts or apart:
            others = {k: v for k, v in values.items() if k != first}
            without = _number_roles(others, coded=not kinds)
            if apart or sure or found is None:
                found = without if counts else None
            elif without is not None:
                return None  # ambiguous: an onset or the number of the only line
    if found is None:
        return None
    roles = dict.fromkeys(texts, "video") | dict.fromkeys(kinds, "kind") | found
    names = (roles.get(index, "-") for index in range(len(columns)))
    return tuple(name if name == "-" else COLUMNS[name][0] for name in names)


def _number_roles(
    columns: Mapping[int, Sequence[float | None]], *, coded: bool
) -> dict[int, str] | None:
    """The roles of columns of numbers; `None` if they are ambiguous.

    Args:
        coded: whether one of them may be the kind.
    """
    roles: dict[int, str] = {}
    left = dict(columns)

    def take_code() -> None:
        if coded and "code" not in roles.values() and len(left) > 2:
            last = max(left)
            if all(v in (1, 2) for v in left[last]):
                roles[last] = "code"
                del left[last]

    take_code()
    if len(left) > 2 and _is_score(left[max(left)]):
        roles[max(left)] = "score"
        del left[max(left)]
        take_code()
    spans = list(zip(*left.values(), strict=True))
    if len(left) == 2:
        return roles | dict(zip(left, ("onset", "offset"), strict=True))
    if len(left) == 3 and all(
        a is not None and b is not None and (c is None or a <= b <= c) for a, b, c in spans
    ):
        return roles | dict(zip(left, ("onset", "apex", "offset"), strict=True))
    return None


def _line_numbers(values: Sequence[float | None], groups: Sequence[str]) -> tuple[bool, bool]:
    """Whether a column numbers the lines of each group from 0 or from 1; and whether this is
    certain because some group has several lines.

    Args:
        groups: group of each line, or one for all.
    """
    own: dict[str, list[float | None]] = {}
    for k, value in enumerate(values):
        own.setdefault(groups[k % len(groups)], []).append(value)
    starts = {numbers[0] for numbers in own.values()}
    counts = len(starts) == 1 and starts <= {0, 1}
    for numbers in own.values():
        counts = counts and numbers == [(numbers[0] or 0) + k for k in range(len(numbers))]
    return counts, counts and max(map(len, own.values())) > 1


def _is_score(values: Sequence[float | None]) -> bool:
    """Whether these are scores: all from 0 to 1 with a fraction. Frames are whole numbers, and some
    second exceeds 1.
    """
    known = [v for v in values if v is not None]
    return bool(known) and all(0 <= v <= 1 for v in known) and any(v % 1 for v in known)
