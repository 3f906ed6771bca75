from __future__ import annotations

import base64
import contextlib
import copy
import dataclasses
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aumer.errors import UsageError
from aumer.results import SpotResult
from aumer.types import KINDS, SIDES, ActingUnit, Expression, Scores, VideoInfo

finite = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(-1e6, 1e6)
share = st.floats(0, 1)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
texts = st.dictionaries(st.text(), st.text(), max_size=3)


@st.composite
def some_units(draw: st.DrawFn) -> ActingUnit:
    acts = draw(st.booleans())
    side = draw(st.none() | st.sampled_from(SIDES)) if acts else None
    return ActingUnit(draw(st.integers(1, 46)), draw(share), acts, side)


@st.composite
def some_expressions(draw: st.DrawFn) -> Expression:
    onset, apex, offset = sorted(draw(st.tuples(*[st.integers(0, 2**40)] * 3)))
    onset_s, apex_s, offset_s = sorted(draw(st.tuples(*[seconds] * 3)))
    probs = draw(st.none() | st.dictionaries(st.text(), share, max_size=3))
    label = draw(st.none() | st.text())
    kind = draw(st.sampled_from(KINDS))
    return Expression(
        kind,
        onset,
        apex,
        offset,
        onset_s,
        apex_s,
        offset_s,
        draw(share),
        label,
        probs,
        aus=draw(st.none() | st.lists(some_units(), max_size=3).map(tuple)),
    )


@st.composite
def some_results(draw: st.DrawFn) -> SpotResult:
    rows = draw(st.integers(0, 8))
    channels = tuple(draw(st.lists(st.text(), max_size=3, unique=True)))
    numbers = st.floats(width=32, allow_infinity=False) | st.floats(0, 1, width=32)
    scores = Scores(
        values=draw(arrays(np.float32, (rows, len(channels)), elements=numbers)),
        times=draw(arrays(np.float64, rows, elements=finite)),
        frames=draw(arrays(np.int64, rows)),
        valid=draw(arrays(np.bool_, rows)),
        channels=channels,
    )
    size = st.integers(1, 10**4)
    video = VideoInfo(
        name=draw(st.text(st.characters())),  # lone surrogates too: file names that are no UTF-8
        source=draw(st.sampled_from(["file", "folder", "array", "camera"])),
        width=draw(size),
        height=draw(size),
        fps=draw(st.none() | st.floats(1, 1000)),
        frames_estimate=draw(st.none() | size),
    )
    return SpotResult(
        video=video,
        expressions=tuple(draw(st.lists(some_expressions(), max_size=3))),
        scores=scores,
        coverage=draw(share),
        spotter=draw(st.text()),
        settings=draw(st.dictionaries(st.text(), jsons, max_size=3)),
        digests=draw(texts),
        versions=draw(texts),
    )


@settings(max_examples=100, deadline=None)
@given(some_results())
def test_json_round_trip_is_exact(result: SpotResult) -> None:
    data = result.to_dict()
    assert SpotResult.from_dict(data) == result
    text = result.to_json()
    assert text.isascii()
    assert json.loads(text, parse_constant=pytest.fail) == data
    again = SpotResult.from_json(text)
    assert again == result
    for name in ("values", "times", "frames", "valid"):
        before, after = getattr(result.scores, name), getattr(again.scores, name)
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    assert again.to_json() == text


def test_every_float32_survives_in_its_shortest_form() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint64).astype(np.uint32)
    values = bits.view(np.float32)[:, None]
    values = np.concatenate([values[np.isfinite(values[:, 0])], np.float32([[0.1], [1 / 3]])])
    rows = len(values)
    scores = Scores(values, np.zeros(rows), np.arange(rows), np.ones(rows, bool), ("x",))
    result = SpotResult(VideoInfo("a", "array", 1, 1, None), (), scores, 1.0, "rules")
    written = result.to_dict()["scores"]["channels"]["x"]
    np.testing.assert_array_equal(np.float32(written), values[:, 0])
    assert written[-2:] == [0.1, 0.33333334]


def test_an_hour_takes_a_few_megabytes(make_result: Callable[..., SpotResult]) -> None:
    assert len(make_result(108_000, features=False).to_json()) < 6e6


def test_nan_is_null_and_stays_where_it_was(result: SpotResult) -> None:
    track = json.loads(result.to_json())["scores"]["channels"]["micro"]
    assert [v is None for v in track] == [12 <= i < 27 for i in range(60)]


def test_the_head_of_the_file_reads_line_by_line(result: SpotResult) -> None:
    lines = result.to_json().splitlines()
    assert json.loads("{" + lines[1].rstrip(",") + "}") == {"schema": "aumer.spot_result"}
    assert sum('"kind"' in line for line in lines) == 2


def test_equality_is_of_what_is_saved(
    result: SpotResult, make_result: Callable[..., SpotResult]
) -> None:
    assert result == dataclasses.replace(result, features=None)
    assert result != "face.mp4"
    for change in (
        {"spotter": "net"},
        {"coverage": 0.5},
        {"expressions": result.expressions[:1]},
        {"settings": {}},
        {"video": dataclasses.replace(result.video, fps=None)},
        {"scores": make_result(60).scores},
        {"scores": make_result(59).scores},
        {"scores": dataclasses.replace(result.scores, channels=("macro", "micro"))},
        {"scores": dataclasses.replace(result.scores, times=result.scores.times + 1)},
        {"scores": dataclasses.replace(result.scores, frames=result.scores.frames + 1)},
        {"scores": dataclasses.replace(result.scores, valid=~result.scores.valid)},
    ):
        assert result != dataclasses.replace(result, **change), change
    with pytest.raises(TypeError, match="unhashable"):
        hash(result)
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result


def test_what_is_handed_over_is_copied_and_made_plain(
    make_result: Callable[..., SpotResult],
) -> None:
    given = {"a": (np.float32(0.5), np.int64(3)), "b": MappingProxyType({"c": np.True_})}
    e = Expression("micro", *np.array([1, 2, 3]), *np.array([0.1, 0.2, 0.3]), np.float32(0.5))
    result = dataclasses.replace(make_result(), settings=given, expressions=[e])
    given["a"] = ()
    assert result.settings == {"a": [0.5, 3], "b": {"c": True}}
    assert result.expressions == (e,)
    assert SpotResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coverage": 1.5}, r"coverage must lie in \[0, 1\]; found 1.5"),
        ({"coverage": float("nan")}, "coverage"),
        ({"settings": {"a": [{"b": float("inf")}]}}, r"settings\.a\[0\]\.b is inf"),
        ({"settings": {"a": Path("x")}}, r"settings\.a is a \w*Path, which JSON cannot hold"),
        ({"settings": {1: 2}}, "settings has the key 1"),
        ({"versions": {"a": object()}}, r"versions\.a"),
        ({"video": VideoInfo("a", "file", 1, 1, float("nan"))}, r"video\.fps is nan"),
    ],
)
def test_refuses_what_json_cannot_hold(
    result: SpotResult, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(result, **change)


def test_refuses_scores_it_could_not_save(result: SpotResult) -> None:
    def with_scores(**change: Any) -> None:
        dataclasses.replace(result, scores=dataclasses.replace(result.scores, **change))

    with pytest.raises(ValueError, match="share a name"):
        with_scores(channels=("a", "a"))
    with pytest.raises(ValueError, match="finite"):
        with_scores(values=np.full((60, 2), np.inf, np.float32))
    with pytest.raises(ValueError, match="float32, found float64"):
        with_scores(values=np.zeros((60, 2)))


def put(data: dict[str, Any], path: str, value: Any) -> None:
    *folders, last = path.split("/")
    node: Any = data
    for key in folders:
        node = node[int(key) if isinstance(node, list) else key]
    if value is ...:
        del node[last]
    else:
        node[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", ..., "schema is missing"),
        ("schema", "aumer.other", "schema must be 'aumer.spot_result'; found 'aumer.other'"),
        ("schema_version", 2, r"schema_version is 2, .* newer aumer; update"),
        ("schema_version", 0, "schema_version must be 1; found 0"),
        ("schema_version", "1", "schema_version must be an integer; found '1'"),
        ("spotter", None, "spotter must be a string; found None"),
        ("coverage", 7, r"coverage must lie in \[0, 1\]"),
        ("coverage", True, "coverage must be a number"),
        ("coverage", 10**400, "coverage must be a finite number"),
        ("video", [], "video must be an object"),
        ("video/width", 1.5, r"video\.width must be an integer; found 1.5"),
        ("video/source", "tape", r"video\.source must be one of file, folder, array, camera"),
        ("expressions", {}, "expressions must be an array"),
        ("expressions/1/onset_s", ..., r"expressions\[1\]\.onset_s is missing"),
        ("expressions/1/kind", "nano", r"expressions\[1\]: kind must be one of"),
        ("expressions/0/apex", 0, r"expressions\[0\]: an expression needs 0 <= onset <= apex"),
        ("expressions/0/probs", {"a": "b"}, r"expressions\[0\]\.probs\.a must be a number"),
        ("settings", 3, "settings must be an object"),
        ("digests", {"a": 1}, r"digests\.a must be a string; found 1"),
        ("scores/times", ..., r"scores\.times is missing"),
        ("scores/times", [None] * 60, r"scores\.times must be an array of numbers"),
        ("scores/times", [10**400] * 60, r"scores\.times must be an array of numbers of at most"),
        ("scores/frames", [0.0] * 60, r"scores\.frames must be an array of integers"),
        ("scores/frames", [2**70] * 60, r"scores\.frames must be an array of integers of at most"),
        ("scores/frames", [0] * 59, r"scores: .*every array needs 60 rows"),
        ("scores/valid", [0] * 60, r"scores\.valid must be an array of booleans"),
        ("scores/channels/micro", ["1"] * 60, r"scores\.channels\.micro must be an array of num"),
        ("scores/channels/micro", [1e300] * 60, r"scores\.channels\.micro must .* float32 can"),
        ("scores/channels/micro", [], r"scores\.channels\.micro has 0 values, scores\.times 60"),
    ],
)
def test_a_wrong_document_says_what_is_wrong(
    result: SpotResult, tmp_path: Path, path: str, value: Any, message: str
) -> None:
    data = result.to_dict()
    put(data, path, value)
    with pytest.raises(UsageError, match=message):
        SpotResult.from_dict(data)
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=rf"wrong\.json is not a spot result .*{message}"):
        SpotResult.load(file)


@pytest.mark.parametrize("data", [None, 3, "text", [], [1]])
def test_a_document_of_another_kind(data: Any) -> None:
    with pytest.raises(UsageError, match="the document must be an object"):
        SpotResult.from_json(json.dumps(data))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_is_anything_but_a_usage_error(data: st.DataObject) -> None:
    result = data.draw(some_results()).to_dict()
    path: list[Any] = []
    node: Any = result
    while isinstance(node, (dict, list)) and node and (not path or data.draw(st.booleans())):
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else [0]))
        path.append(key)
        parent, node = node, node[key]
    parent[path[-1]] = data.draw(jsons)
    with contextlib.suppress(UsageError):
        SpotResult.from_dict(result)


def test_members_from_a_later_aumer_are_left_out(result: SpotResult) -> None:
    data = result.to_dict()
    for path in ("later", "video/later", "expressions/0/later", "scores/later"):
        put(data, path, 1)
    assert SpotResult.from_dict(data) == result


def test_files_that_hold_no_result(result: SpotResult, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    result.save(file)
    assert SpotResult.load(file) == SpotResult.load(str(file)) == result
    whole = file.read_bytes()
    deep = b"[" * 100_000
    for content in (b"", whole[:500], b"a,b\n", whole.replace(b"null", b"NaN", 1), deep):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=r"x\.json is not a spot result .*not JSON: "):
            SpotResult.load(file)
    file.write_bytes(b"\x89PNG\xff")
    with pytest.raises(UsageError, match=r"spot result from .*x\.json: it is not a text file"):
        SpotResult.load(file)
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(UsageError, match=f"cannot read .*{path.name}"):
            SpotResult.load(path)


def test_what_could_have_been_seen_is_kept(result: SpotResult) -> None:
    first, second = result.expressions
    told = dataclasses.replace(
        result,
        expressions=(
            dataclasses.replace(
                first, peak=7.25, duration_sd_s=0.07, duration_bias_s=0.04, micro_max_s=0.6
            ),
            second,
        ),
        limit=0.0081,
        limits={"brow": 0.008, "mouth": 0.0125},
    )
    again = SpotResult.from_json(told.to_json())
    assert again == told
    assert again != result
    assert again.limits == {"brow": 0.008, "mouth": 0.0125}
    assert told.seen() == (
        "smallest movement that stands out from noise: 0.81 % of the outer-eye distance"
    )
    assert result.seen() is None
    table = told.to_dataframe()
    assert table["peak"].tolist()[0] == 7.25
    assert table["micro_probability"].tolist()[0] == again.expressions[0].micro_probability
    assert table["peak"].isna().tolist() == [False, True]
    assert table["limit"].tolist() == [0.0081, 0.0081]
    for limits in ({"limit": 0.0}, {"limits": {"brow": -1.0}}):
        with pytest.raises(ValueError, match="limits must be > 0"):
            dataclasses.replace(result, **limits)


def test_a_result_of_before_these_members_is_read(result: SpotResult) -> None:
    old = result.to_dict()
    del old["limit"], old["limits"]
    for e in old["expressions"]:
        for name in ("peak", "duration_sd_s", "duration_bias_s", "micro_max_s"):
            del e[name]
    read = SpotResult.from_dict(old)
    assert read == result
    assert (read.limit, read.limits, read.expressions[0].peak) == (None, {}, None)


def test_by_kind_and_the_look_in_a_notebook(
    result: SpotResult, make_result: Callable[..., SpotResult]
) -> None:
    assert [e.onset for e in result.micro] == [3]
    assert [e.onset for e in result.macro] == [30]
    assert repr(result) == str(result)
    assert repr(result).splitlines() == [
        "SpotResult face.mp4: 1 micro, 1 macro; coverage 75 %; spotter rules",
        "   kind  onset  apex  offset  onset_s  duration_s  score",
        "  micro      3     6      10    0.100       0.233  0.250",
        "  macro     30    41      55    1.000       0.833  0.750",
    ]
    assert "0 micro, 0 macro" in repr(make_result())
    many = dataclasses.replace(result, expressions=result.expressions * 30)
    assert repr(many).splitlines()[-1] == "  ... and 30 more"
    labeled = dataclasses.replace(
        result,
        video=dataclasses.replace(result.video, name="<b>\udcff"),
        expressions=[dataclasses.replace(result.micro[0], label="x & y")],
    )
    assert "label" in repr(labeled)
    page = labeled._repr_html_()
    assert "&lt;b&gt;\\udcff" in page
    assert "<td>x &amp; y</td>" in page
    assert page.count("<tr>") == 2


def test_a_notebook_shows_the_timeline_unasked(make_result: Any) -> None:
    result = make_result(40)
    assert not hasattr(result, "_repr_png_")  # a notebook would draw and keep both
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', result._repr_html_())
    assert picture and base64.b64decode(picture[1]).startswith(b"\x89PNG")
    # So does the figure, though pyplot knows nothing of it.
    assert result.plot()._repr_png_().startswith(b"\x89PNG")


def test_importing_results_is_light() -> None:
    code = (
        "import sys, aumer.results; "
        "print([m for m in ('torch', 'cv2', 'matplotlib', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
