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


# What laboratories' files have: each of these was misread, dropped or ended in a traceback


@pytest.mark.parametrize(
    ("lines", "columns"),
    [
        ("0,v,10,20,micro\n1,w,3,9,micro\n", ("-", "video", "onset", "offset", "kind")),
        ("1,v,10,20,micro\n2,w,3,9,micro\n", ("-", "video", "onset", "offset", "kind")),
        ("0,v,10,20,micro\n", ("-", "video", "onset", "offset", "kind")),  # one line alone
        ("0,v,10,15,20,2,.5\n", ("-", "video", "onset", "apex", "offset", "type_idx", "score")),
        ("0,10,20,me,v\n1,3,9,me,w\n", ("-", "onset", "offset", "kind", "video")),
        ("3,v,10,20,micro\n8,w,13,29,micro\n", None),  # no numbers of lines: what is it?
        ("0,10,20,me,v\n", None),  # an onset, or the number of the only line?
        ("3,10,20,me,v\n4,11,29,me,w\n", ("onset", "apex", "offset", "kind", "video")),
    ],
)
def test_numbers_of_lines_are_no_onsets(
    tmp_path: Path, lines: str, columns: tuple[str, ...] | None
) -> None:
    """As ``DataFrame.to_csv(header=False)`` writes them."""
    path = text(tmp_path, lines)
    if columns is None:
        with pytest.raises(UsageError, match="cannot tell"):
            read_predictions(path)
        return
    assert reader_of("headerless").find(path, IntervalReading())[0].names == columns


def test_numbers_of_lines_in_a_file_for_each_video(tmp_path: Path) -> None:
    text(tmp_path, "0,10,20\n1,30,40\n", "a.csv")
    text(tmp_path, "0,3,9\n", "b.csv")
    found = read_predictions(tmp_path, reading=IntervalReading(kind="micro"))
    assert [(p.video, p.onset, p.apex, p.offset) for p in found] == [
        ("a", 10, None, 20),
        ("a", 30, None, 40),
        ("b", 3, None, 9),
    ]
    text(tmp_path, "0,10,20\n", "a.csv")  # of each video one line: is 0 its number or its onset?
    with pytest.raises(UsageError, match="cannot tell"):
        read_predictions(tmp_path, reading=IntervalReading(kind="micro"))


@given(rows=intervals(), orient=st.sampled_from(["columns", "index", "records", "split", "table"]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_pandas_writes_as_json_is_read(
    tmp_path: Path, rows: list[Interval], orient: Any
) -> None:
    """Its default was read as a file without a row."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["video", "kind", "onset", "offset"])
    frame.to_json(tmp_path / "p.json", orient=orient)
    found = (
        read_or_refused(tmp_path / "p.json") if not rows else read_predictions(tmp_path / "p.json")
    )
    assert [(p.video, p.kind, p.onset, p.offset) for p in found] == rows


@pytest.mark.parametrize(
    ("held", "rows"),
    [
        ({"v": {"micro": [[3, 9]], "macro": [[10, 40]]}}, [("micro", 3, 9), ("macro", 10, 40)]),
        ({"me": {"v": [[3, 9]]}, "mae": {"v": [[10, 40]]}}, [("micro", 3, 9), ("macro", 10, 40)]),
        ({"v": {"micro": [{"onset": 3, "offset": 9}], "macro": []}}, [("micro", 3, 9)]),
        ({"v": {"micro": [], "macro": []}}, []),
        ({}, []),
        ([], []),
        ({"version": "1", "results": {}}, []),
    ],
)
def test_json_by_kind_and_json_of_nothing(tmp_path: Path, held: Any, rows: list[Any]) -> None:
    path = text(tmp_path, json.dumps(held), "p.json")
    assert [(p.kind, p.onset, p.offset) for p in read_predictions(path)] == rows


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"v": [[1, 2, "me"]], "v": [[3, 4, "me"]]}', "the name 'v' twice"),
        ('[["v", 1, [2], "micro"]]', r"row 1: must be a text or a number; found \[2\]"),
        (
            '[{"video": "v", "onset": 1, "offset": [2], "kind": "micro"}]',
            r"row 1, column offset: must be a text or a number; found \[2\]",
        ),
        ('{"s": {"v": [[1, 2, "micro"]]}}', r"needs an object .* or JSON lists: "),
        ('{"v": [[1, 2]]}', r"no column 'kind'.*say it with `kind`"),
        ('{"v": [[1, 2, "me"], [9, 3, "me"]]}', r"row 2 \(v\), column offset"),
        ('{"v": [[1, 2, "me"], [9, 12]]}', "not all its lines have 4 cells: v, 9, 12"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, document: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_predictions(text(tmp_path, document, "p.json"))


@pytest.mark.parametrize("empty", [np.zeros((0, 2)), np.zeros((0, 3)), np.array([])])
def test_an_empty_array_is_a_video_without_an_expression(tmp_path: Path, empty: Any) -> None:
    """As numpy and MATLAB write an empty list."""
    held = {"a": np.array([[3, 9]]), "b": empty}
    np.savez(tmp_path / "p.npz", **held)
    savemat(tmp_path / "p.mat", held)
    for name, first in (("p.npz", 0), ("p.mat", 1)):
        reading = IntervalReading(kind="micro")
        labels = read_labels(tmp_path / name, reading=reading)
        assert [v.name for v in labels.videos] == ["a", "b"]
        assert [(t.video, t.onset, t.offset) for t in labels.truths] == [
            ("a", 3 - first, 9 - first)
        ]


@pytest.mark.parametrize(
    ("array", "said", "message"),
    [
        (np.array(5), {}, r"is an array of \(\)"),
        (np.array([[3, 9, np.nan]]), {}, "third column must hold 1 .* found nan"),
        (np.array([[np.nan, 9]]), {}, "interval 1, column onset: the cell is empty"),
        (np.array([[np.inf, 9]]), {}, "column onset: must be a finite number"),
        (np.array([[3.0, 1e30]]), {}, r"at most 1,000,000,000 are read"),
        (np.array([0, 1, 0]), {"unit": "seconds"}, "an element for each frame; leave out `unit`"),
    ],
)
def test_arrays_that_are_refused(
    tmp_path: Path, array: Any, said: dict[str, Any], message: str
) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(UsageError, match=message):
        read_predictions(tmp_path / "v.npy", fps=30, reading=IntervalReading(kind="micro", **said))


def test_arrays_in_seconds_and_in_fractions_of_frames(tmp_path: Path) -> None:
    """A list of MATLAB's counts frames from 1, and seconds from 0."""
    for array in (np.array([[1, 2]]), np.array([[0.5, 1.5]])):
        savemat(tmp_path / "p.mat", {"v": array})
        for offset, last in (("included", 0), ("excluded", 1)):
            reading = IntervalReading(kind="micro", unit="seconds", offset=offset)  # type: ignore[arg-type]
            (found,) = read_predictions(tmp_path / "p.mat", fps=30, reading=reading)
            assert [found.onset, found.offset + last] == (array[0] * 30).tolist()
    savemat(tmp_path / "p.mat", {"v": np.array([[3.5, 9.2]])})
    reading = IntervalReading(kind="micro", unit="frames")
    (found,) = read_predictions(tmp_path / "p.mat", reading=reading)
    assert (found.onset, found.offset) == (3, 8)
    (truth,) = read_labels(
        tmp_path / "p.mat", reading=replace(reading, first_frame=0)
    ).truths  # halves upward
    assert (truth.onset, truth.offset) == (4, 9)


def test_a_list_of_matlab_s_that_cannot_count_from_1(tmp_path: Path) -> None:
    savemat(tmp_path / "p.mat", {"v": np.array([[0, 9]])})
    with pytest.raises(UsageError, match=r"begins at frame 0.*say with `first_frame`"):
        read_predictions(tmp_path / "p.mat", reading=IntervalReading(kind="micro"))
    reading = IntervalReading(kind="micro", first_frame=0)
    (found,) = read_predictions(tmp_path / "p.mat", reading=reading)
    assert (found.onset, found.offset) == (0, 9)


def test_files_of_videos_with_a_header(tmp_path: Path) -> None:
    text(tmp_path, ",onset,offset,kind\n0,3,9,micro\n", "a.csv")
    text(tmp_path, ",onset,offset,kind\n", "b.csv")
    labels = read_labels(tmp_path)
    assert [(t.video, t.onset, t.offset) for t in labels.truths] == [("a", 3, 9)]
    assert [v.name for v in labels.videos] == ["a", "b"]
    text(tmp_path, "3,9,micro\n", "b.csv")
    with pytest.raises(
        UsageError, match=r"a\.csv begins with .* and b\.csv begins with an interval"
    ):
        read_labels(tmp_path)


def test_folders_that_are_refused_say_where(tmp_path: Path) -> None:
    text(tmp_path, "3 9 micro\n\n9 3 micro\n", "a.txt")
    with pytest.raises(UsageError, match=r"a\.txt, line 3, column offset: offset 3 lies before"):
        read_predictions(tmp_path)
    text(tmp_path, "This is about the files\n", "README.txt")
    with pytest.raises(UsageError, match="README: This, is, about"):
        read_predictions(tmp_path)
    (tmp_path / "README.txt").unlink()
    text(tmp_path, "3,9,micro\n", "a.csv")
    with pytest.raises(UsageError, match=r"a\.csv and a\.txt are both of the video a"):
        read_predictions(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="is a folder without files of intervals"):
        read_predictions(tmp_path / "none")


def test_what_is_missing_in_the_first_line_makes_no_header_of_it(tmp_path: Path) -> None:
    path = text(tmp_path, "v,nan,9,micro\nw,3,9,micro\n")
    with pytest.raises(UsageError, match="line 1, column onset: the cell is empty"):
        read_predictions(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08\x08", "compressed by gzip"),
        (b"\x80\x04\x95\x10", "pickle, which may run code, is not read"),
        (b"PAR1\x15\x04\x00", "Parquet"),
    ],
)
def test_files_that_are_no_text_are_called_what_they_are(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_predictions(tmp_path / "p.csv")


@pytest.mark.parametrize("column", ["onset", "onset_s"])
def test_frames_that_no_video_has(tmp_path: Path, column: str) -> None:
    """An integer of any size would end in an overflow where intervals are compared."""
    offset = column.replace("on", "off")
    path = text(tmp_path, f"video,kind,{column},{offset}\nv,micro,1,1e300\n")
    with pytest.raises(UsageError, match=rf"line 2, column {offset}: .* more than any video has"):
        read_predictions(path, fps=30)
    path = text(tmp_path, "video,kind,onset_s,offset_s\nv,micro,1,100000000\n")
    with pytest.raises(UsageError, match=r"column offset_s: 1e.08 s at 30 frames a second"):
        read_predictions(path, fps=30)
    with pytest.raises(ValueError, match="more than any video has"):
        PredictedInterval("s", "v", "micro", 0, 10**30)
    text(tmp_path, "v,1,1000000000,micro\n")
    assert read_predictions(tmp_path / "p.csv")[0].offset == 10**9


def test_a_date_is_no_name(tmp_path: Path) -> None:
    import datetime

    from openpyxl import Workbook

    book = Workbook()
    for line in (["video", "kind", "onset", "offset"], [datetime.date(2026, 1, 2), "micro", 1, 2]):
        book.active.append(line)
    book.save(tmp_path / "p.xlsx")
    with pytest.raises(UsageError, match="row 2, column video: holds the date or time 2026-01-02"):
        read_predictions(tmp_path / "p.xlsx")
