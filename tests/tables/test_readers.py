"""Readers of other people's files: what was written comes back, by every reader and convention."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from aumer import registry
from aumer.errors import UsageError
from aumer.evaluation.rows import PredictedInterval
from aumer.evaluation.tables import read_labels, read_predictions
from aumer.tables.lines import ROLES
from aumer.tables.reading import IntervalReading, choose, reader_of

#: video, kind, onset, offset (from 0, included).
Interval = tuple[str, str, int, int]
CODES = {"macro": 1, "micro": 2}
NAMES = ("a1", "b2", "c3")
LENGTH = 120


@st.composite
def intervals(draw: st.DrawFn) -> list[Interval]:
    """Intervals that a mask can hold: none touches another of its video."""
    found = []
    for name in NAMES:
        at = draw(st.integers(0, 20))
        while at < LENGTH - 10 and draw(st.booleans()):
            end = at + draw(st.integers(0, 15))
            found.append(
                (name, draw(st.sampled_from(["macro", "micro"])), at, min(end, LENGTH - 1))
            )
            at = end + draw(st.integers(2, 30))
    return found


def moved(rows: Sequence[Interval], reading: IntervalReading) -> list[Interval]:
    """As a file of other conventions has them."""
    first, behind = reading.first_frame or 0, int(reading.offset == "excluded")
    return [(v, k, a + first, b + first + behind) for v, k, a, b in rows]


Written = tuple[Path, str]


def headerless(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    path = folder / "p.csv"
    lines = (f"{v},{a},{b},{k}\n" for v, k, a, b in moved(rows, reading))
    path.write_text("".join(lines))
    return path, "headerless"


def tabs_with_scores(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    path = folder / "p.txt"
    lines = (f"{v}\t{a}\t{b}\t{CODES[k]}\t0.9{n}\n"
             for n, (v, k, a, b) in enumerate(moved(rows, reading)))  # fmt: skip
    path.write_text("".join(lines))
    return path, "headerless"


def blanks(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    path = folder / "p.txt"
    path.write_text("".join(f"{v} {k} {a} {b}\n" for v, k, a, b in moved(rows, reading)))
    return path, "headerless"


def under_videos(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    held: dict[str, list[Any]] = {name: [] for name in NAMES}
    for v, k, a, b in moved(rows, reading):
        held[v].append([a, b, k])
    (folder / "p.json").write_text(json.dumps(held))
    return folder / "p.json", "json-lists"


def json_rows(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    (folder / "p.json").write_text(
        json.dumps([[v, a, b, k] for v, k, a, b in moved(rows, reading)])
    )
    return folder / "p.json", "json-lists"


def json_objects(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    names = ("vid", "type", "pred_onset", "pred_offset")
    held = [dict(zip(names, row, strict=True)) for row in moved(rows, reading)]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))
    return folder / "p.jsonl", "json-lists"


def activity_net(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    held: dict[str, list[Any]] = {name: [] for name in NAMES}
    for v, k, a, b in moved(rows, reading):
        held[v].append({"segment": [a, b], "label": k, "score": 0.5})
    (folder / "p.json").write_text(json.dumps({"version": "1", "results": held}))
    return folder / "p.json", "json-lists"


def masks(rows: Sequence[Interval]) -> dict[str, np.ndarray[Any, Any]]:
    found = {name: np.zeros(LENGTH, np.uint8) for name in NAMES}
    for v, k, a, b in rows:
        found[v][a : b + 1] = CODES[k]
    return found


def npz_masks(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    np.savez(folder / "p.npz", **masks(rows))
    return folder / "p.npz", "npy"


def mat_masks(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    savemat(folder / "p.mat", masks(rows))
    return folder / "p.mat", "mat"


def mat_cells(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    names, held = np.empty(3, object), np.empty(3, object)
    for k, (name, mask) in enumerate(masks(rows).items()):
        names[k], held[k] = name, mask
    savemat(folder / "p.mat", {"videos": names, "masks": held})
    return folder / "p.mat", "mat"


def mat_fields(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    held = {
        name: {kind: (mask == CODES[kind]).astype(float) for kind in CODES}
        for name, mask in masks(rows).items()
    }
    savemat(folder / "p.mat", held)
    return folder / "p.mat", "mat"


def arrays(rows: Sequence[Interval], reading: IntervalReading) -> dict[str, np.ndarray[Any, Any]]:
    """Intervals in rows; the third column is what makes three numbers no mask."""
    held: dict[str, list[Any]] = {}
    for v, k, a, b in moved(rows, reading):
        held.setdefault(v, []).append([a, b, CODES[k]])
    return {name: np.array(lines, np.int32) for name, lines in held.items()}


def mat_intervals(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    said = IntervalReading(first_frame=1 if reading.first_frame is None else reading.first_frame,
                   offset=reading.offset)  # fmt: skip
    savemat(folder / "p.mat", arrays(rows, said))
    return folder / "p.mat", "mat"


def npz_intervals(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    np.savez(folder / "p.npz", **arrays(rows, reading))
    return folder / "p.npz", "npy"


def a_file_each(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    (folder / "p").mkdir(exist_ok=True)
    for name in NAMES:
        own = (f"{a} {b} {k}\n" for v, k, a, b in moved(rows, reading) if v == name)
        (folder / "p" / f"{name}.txt").write_text("".join(own))
    return folder / "p", "per-video"


def an_array_each(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    (folder / "p").mkdir(exist_ok=True)
    for name, mask in masks(rows).items():
        np.save(folder / "p" / f"{name}.npy", mask)
    return folder / "p", "per-video"


def with_header(folder: Path, rows: Sequence[Interval], reading: IntervalReading) -> Written:
    path = folder / "p.csv"
    lines = (f"{v},{k},{a},{b}\n" for v, k, a, b in moved(rows, reading))
    path.write_text("video,kind,onset,offset\n" + "".join(lines))
    return path, "table"


WRITERS: list[Callable[[Path, Sequence[Interval], IntervalReading], Written]] = [
    *(headerless, tabs_with_scores, blanks, under_videos, json_rows, json_objects, activity_net),
    *(npz_masks, mat_masks, mat_cells, mat_fields, mat_intervals, npz_intervals, a_file_each),
    *(an_array_each, with_header),
]
MASKS = (npz_masks, mat_masks, mat_cells, mat_fields, an_array_each)


@pytest.mark.parametrize("write", WRITERS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=intervals(),
    first=st.sampled_from([None, 0, 1]),
    offset=st.sampled_from([None, "included", "excluded"]),
)
def test_what_was_written_is_read(
    write: Any, rows: list[Interval], first: int | None, offset: Any, tmp_path: Path
) -> None:
    kinds = {k for _, k, _, _ in rows}
    # 0 and 1 alone do not say of what kind.
    kind: Any = (
        "macro" if write in MASKS and write is not mat_fields and kinds == {"macro"} else None
    )
    reading = IntervalReading(first_frame=first, offset=offset, kind=kind)
    path, name = write(tmp_path, rows, reading)
    if not rows and path.is_file() and not (write in MASKS or path.suffix == ".json"):
        return  # an empty file says nothing
    if write is json_rows and not rows:
        return
    assert choose(path, reading) == name
    found = read_predictions(path, reading=reading)
    assert sorted((p.video, p.kind, p.onset, p.offset) for p in found) == sorted(rows)
    # A named reader reads the same.
    named = replace(reading, reader=name)
    assert read_predictions(path, reading=named) == found
    if write in MASKS:
        labels = read_labels(path, reading=reading)
        assert {v.name: v.frames for v in labels.videos} == dict.fromkeys(NAMES, LENGTH)


def read_or_refused(path: Path, reading: IntervalReading | None = None) -> list[PredictedInterval]:
    """What is read; none where it is refused with an error that names the file."""
    refused = ""
    try:
        return read_predictions(path, reading=reading)
    except UsageError as error:
        refused = str(error)
    assert str(path) in refused
    return []


@given(
    st.lists(
        st.lists(st.sampled_from(["v", "w1", "3", "7.5", "0.25", "micro", "2", "", "-1", "x y"])),
        max_size=5,
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused(tmp_path: Path, lines: list[list[str]]) -> None:
    """Never another error than ours, and never a row that is not in the file."""
    path = tmp_path / "p.txt"
    path.write_text("\n".join(",".join(line) for line in lines))
    found = read_or_refused(path)
    assert len(found) <= len(lines)
    assert all(p.video in ("v", "w1", "x y") and p.onset <= p.offset for p in found)


@given(st.recursive(st.none() | st.integers(-2, 9) | st.sampled_from(["v", "micro"]),
                    lambda inner: st.lists(inner, max_size=4)
                    | st.dictionaries(st.sampled_from(["video", "onset", "offset", "kind", "v",
                                                       "results", "segment", "annotations"]),
                                      inner, max_size=4), max_leaves=12))  # fmt: skip
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_or_refused(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    for name in ("", "json-lists"):
        read_or_refused(path, IntervalReading(name))


@given(st.integers(0, 3), st.integers(0, 3), st.integers(-1, 4), st.sampled_from("ifb"))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_array_is_read_or_refused(
    tmp_path: Path, height: int, width: int, value: int, kind: str
) -> None:
    shape = (height, width) if width else (height,)
    np.save(tmp_path / "v.npy", np.full(shape, value).astype(kind))
    savemat(tmp_path / "v.mat", {"v": np.full(shape, value).astype(kind)})
    for path in (tmp_path / "v.npy", tmp_path / "v.mat"):
        for said in (None, "micro"):
            read_or_refused(path, IntervalReading(kind=said))  # type: ignore[arg-type]


def text(folder: Path, content: str, name: str = "p.csv") -> Path:
    (folder / name).write_text(content)
    return folder / name


def test_lgsnet_s_detections(tmp_path: Path) -> None:
    """Tabs, fractional frames and a score, as its repository has them."""
    path = text(tmp_path, "15_0102eatingworms\t797.818\t808.174\t0.9796\n", "test_00.txt")
    with pytest.raises(UsageError, match=r"797\.818.*say which with `unit`: frames"):
        read_predictions(path)
    (found,) = read_predictions(path, reading=IntervalReading(unit="frames", kind="macro"))
    assert found == PredictedInterval(
        "15", "15_0102eatingworms", "macro", 798, 808, None, 0.9796, row=1
    )
    (found,) = read_predictions(path, fps=10, reading=IntervalReading(unit="seconds", kind="micro"))
    assert (found.onset, found.offset) == (7978, 8082)
    with pytest.raises(UsageError, match="no column 'kind'"):
        read_predictions(path, reading=IntervalReading(unit="frames"))


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("v,3,9,micro", ("video", "onset", "offset", "kind")),
        ("v,3,5,9,macro,.5", ("video", "onset", "apex", "offset", "kind", "score")),
        ("v,3,9,2", ("video", "onset", "offset", "type_idx")),
        ("3,9,me,v", ("onset", "offset", "kind", "video")),
        ("v,30,5,9,macro", None),  # onset, apex, offset would not be in order
        ("a,v,3,9,micro", None),  # two texts: which is the video?
        ("3,9,micro", None),  # none
        ("v,3,micro", None),
        ("v,3,9,12,15,micro", None),
    ],
)
def test_columns_are_told_or_asked_for(
    tmp_path: Path, line: str, columns: tuple[str, ...] | None
) -> None:
    path = text(tmp_path, line + "\n")
    reader = reader_of("headerless")
    if columns is None:
        with pytest.raises(UsageError, match=r"cannot tell what its \d columns are.*`columns`"):
            reader.find(path, IntervalReading())
    else:
        assert reader.find(path, IntervalReading())[0].names == columns


def test_columns_may_be_named(tmp_path: Path) -> None:
    path = text(tmp_path, "s7,v,9,3,x,micro\n")
    named = IntervalReading(columns=("subject", "video", "offset", "onset", "-", "kind"))
    assert read_predictions(path, reading=named) == [
        PredictedInterval("s7", "v", "micro", 3, 9, row=1)
    ]
    with pytest.raises(UsageError, match="names 'onst'"):
        read_predictions(path, reading=IntervalReading(columns=("video", "onst", "offset")))
    with pytest.raises(UsageError, match="6 cells where the header has 3"):
        read_predictions(
            path, reading=IntervalReading(columns=("video", "onset", "offset"), kind="micro")
        )


def test_columns_are_not_named_twice(tmp_path: Path) -> None:
    path = text(tmp_path, "video,kind,onset,offset\nv,micro,3,9\n")
    with pytest.raises(UsageError, match=r"the reader table knows them by itself.*headerless"):
        read_predictions(path, reading=IntervalReading(columns=("video", "onset", "offset")))
    # What stands above a header does not make a file one without.
    path = text(tmp_path, "release,2,2016,3\nvideo,kind,onset,offset\nv,micro,3,9\n")
    assert choose(path, IntervalReading()) == "table"
    assert len(read_predictions(path)) == 1


def test_what_masks_and_arrays_must_say(tmp_path: Path) -> None:
    def refused(array: Any, part: str, **said: Any) -> None:
        np.save(tmp_path / "v.npy", array)
        with pytest.raises(UsageError, match=part):
            read_predictions(tmp_path / "v.npy", reading=IntervalReading(**said))

    refused(np.array([0, 1, 1, 0]), "does not say of what kind")
    refused(np.array([0, 3, 3, 0]), r"0, 1 and 2 alone; found 0, 3")
    refused(np.array([[3, 9]]), "two columns do not say")
    refused(np.array([[3, 9, 4]]), "third column must hold 1 .* found 4")
    refused(np.array([[3.5, 9, 1]]), r"'3\.5' may be fractions of frames or seconds")
    refused(np.zeros((2, 3, 4)), "must be a mask")
    refused(np.array(["a"]), "something else than numbers")
    refused(np.array([{"a": 1}], object), "something else than plain numbers")  # a pickle
    np.save(tmp_path / "v.npy", np.array([0, 1, 1, 0]))
    (found,) = read_predictions(tmp_path / "v.npy", reading=IntervalReading(kind="micro"))
    assert (found.video, found.kind, found.onset, found.offset) == ("v", "micro", 1, 2)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "v.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    with pytest.raises(UsageError, match=r"7\.3.*'-v7'"):
        read_predictions(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="cannot read a MATLAB file"):
        read_predictions(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no \.txt"):
        read_predictions(tmp_path / "empty", reading=IntervalReading("per-video"))
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    text(mixed, "1 2 micro\n", "a.txt")
    np.save(mixed / "b.npy", np.zeros(3))
    with pytest.raises(UsageError, match="texts and arrays"):
        read_predictions(mixed)
    with pytest.raises(UsageError, match=r"no reader is called 'hedless'.*Did you mean"):
        IntervalReading("hedless")
    for wrong in ({"unit": "ms"}, {"offset": "open"}, {"kind": "mirco"}, {"first_frame": 2}):
        with pytest.raises(UsageError):
            IntervalReading(**wrong)  # type: ignore[arg-type]


def test_empty_files_are_videos_without_an_expression(tmp_path: Path) -> None:
    text(tmp_path, "3 9 micro\n", "a.txt")
    text(tmp_path, "", "b.txt")
    labels = read_labels(tmp_path)
    assert [v.name for v in labels.videos] == ["a", "b"] and len(labels.truths) == 1
    # The kind may be said beside the files.
    text(tmp_path, "3 9\n", "a.txt")
    labels = read_labels(tmp_path, reading=IntervalReading(kind="micro"))
    assert [v.name for v in labels.videos] == ["a", "b"] and len(labels.truths) == 1
    # Where a code says it there is no word for none.
    text(tmp_path, "3 9 2\n", "a.txt")
    labels = read_labels(tmp_path)
    assert [v.name for v in labels.videos] == ["a"]
    assert any("1 videos without an interval, such as b" in n for n in labels.table.notes)


def test_a_file_of_two_readers_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})

    @registry.register("reader", "mine")
    class Mine(type(reader_of("headerless"))):  # type: ignore[misc]
        what = "the same"

    path = text(tmp_path, "v,3,9,micro\n")
    with pytest.raises(UsageError, match="in 2 ways: name one of the readers headerless, mine"):
        read_predictions(path)
    assert len(read_predictions(path, reading=IntervalReading("mine"))) == 1
    registry.register("reader", "wrong")(len)
    with pytest.raises(UsageError, match="must be a class derived from"):
        reader_of("wrong")


def test_every_reader_says_what_it_reads() -> None:
    for name in registry.names("reader"):
        assert reader_of(name).what
    assert "onset" in ROLES
