"""BIDS, MNE and what lies beside ELAN's files, as their own readers see them."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aumer.cli import main
from aumer.errors import BackendUnavailable, UsageError
from aumer.results.annotations import Annotations
from aumer.results.bids import Events
from aumer.results.displacement import distances
from aumer.results.eaf import Eaf
from aumer.results.exchange import (
    Exchange,
    Timed,
    annotation_ending,
    annotation_endings,
    convert,
    described,
    read_annotations,
    timed_of,
)
from aumer.results.formats import ending, format_named, suffixes, table
from aumer.results.mne import MneText, from_mne, to_mne
from aumer.types import ActingUnit
from tests.results.conftest import expression, make
from tests.results.test_exchange import timed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mne
    import pympi
    import xmlschema

BOTH = [expression("micro", 3, 6, 9), replace(expression("macro", 6, 20, 40), label="joy, 50 % #1")]


def same_times(e: Timed, other: Timed) -> bool:
    """To a millisecond, and rounding."""
    return all(
        getattr(e, name) == pytest.approx(getattr(other, name), abs=0.00101)
        for name in ("onset_s", "apex_s", "offset_s")
    )


def told(e: Timed) -> tuple[object, ...]:
    """What is the same after a round trip in which no time moves by a millisecond."""
    label = e.label if e.label not in ("", "n/a") else None
    return e.kind, label, e.score, e.aus


def near(found: Timed, given_: Timed) -> bool:
    ours = found.onset_s, found.apex_s, found.offset_s
    theirs = given_.onset_s, given_.apex_s, given_.offset_s
    return all(a == pytest.approx(b, abs=0.001) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    "kind", [Events(), MneText(), Annotations()], ids=lambda k: type(k).__name__
)
@settings(max_examples=60, deadline=None)
@given(given_=st.lists(timed(), max_size=5))
def test_round_trip(kind: Exchange, given_: list[Timed]) -> None:
    found = kind.parse(kind.text("x", given_))
    labels = [told(g) if isinstance(kind, Events) else (*told(g)[:1], g.label, *told(g)[2:])
              for g in given_]  # fmt: skip
    assert [(f.kind, f.label, f.score, f.aus) for f in found] == labels
    assert all(near(f, g) for f, g in zip(found, given_, strict=True))
    assert kind.text("x", found) == kind.text("x", kind.parse(kind.text("x", found)))


@settings(max_examples=30, deadline=None)
@given(given_=st.lists(timed(), max_size=4), name=st.text(max_size=8))
def test_an_eaf_comes_back_whole(given_: list[Timed], name: str) -> None:
    """Tiers give another order; a control character of a label is written as \\xNN."""

    def key(e: Timed) -> tuple[object, ...]:
        return (
            e.kind,
            e.onset_s,
            e.offset_s,
            e.apex_s or 0,
            e.score or 0,
            e.label or "",
            e.aus or "",
        )

    plain = [replace(g, label=None if g.label is None else "".join(
        c for c in g.label if c.isprintable())) for g in given_]  # fmt: skip
    once = Eaf().parse(Eaf().text(name, plain))
    assert sorted(map(key, once)) == sorted(map(key, Eaf().parse(Eaf().text(name, once))))
    left = list(plain)
    for f in once:
        fits = [
            g
            for g in left
            if (f.kind, f.label, f.score, f.aus) == (g.kind, g.label, g.score, g.aus)
        ]
        match = next((g for g in fits if same_times(f, g)), None)
        assert match is not None, (f, fits)
        left.remove(match)
    assert not left


# -- BIDS


def test_a_table_of_events_and_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_task-rest_events.tsv"
    make(60, BOTH).save(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["trial_type"] for row in rows] == ["micro", "macro/joy, 50 % #1"]
    assert float(rows[1]["onset"]) == pytest.approx(0.2)
    assert float(rows[1]["duration"]) == pytest.approx(34 / 30, abs=1e-6)
    assert rows[0]["label"] == "n/a" and rows[0]["aus"] == "n/a"
    about = json.loads((tmp_path / "sub-01_task-rest_events.json").read_text("utf-8"))
    assert list(about) == list(rows[0])
    assert set(about["trial_type"]["Levels"]) == {"micro", "macro", "macro/joy, 50 % #1"}
    assert about["onset"]["Units"] == about["duration"]["Units"] == about["apex"]["Units"] == "s"
    assert all(one["Description"] for one in about.values())


def test_other_peoples_events_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x_events.tsv"
    path.write_text(
        "onset\tduration\ttrial_type\tvalue\n1.5\t0.25\tMicro/anger\t3\n2\tn/a\tgo\t1\n"
        "4\t1\tmacro\tn/a\n"
    )
    assert read_annotations(path) == (
        Timed("micro", 1.5, 1.75, None, "anger"),
        Timed("macro", 4.0, 5.0),
    )
    for text, why in (
        ("onset\tduration\ttrial_type\n2\t1\tgo\n", "its types are 'go'"),
        ("onset,duration,trial_type\n2,1,micro\n", "with tabs"),
        ("onset\tduration\ttrial_type\nn/a\t1\tmicro\n", "0 <= onset"),
        ("", "found none"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=why):
            read_annotations(path)


def test_names_that_do_not_tell_are_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = make(60, BOTH)
    for name, better in (("r.tsv", "r_events.tsv"), ("r.txt", "r-annot.txt")):
        with pytest.raises(UsageError, match=f"Call it {better}"):
            result.save(tmp_path / name)
        assert main(["spot", str(tmp_path / "x.mp4"), "-o", str(tmp_path / name)]) == 2
        assert better in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_beside_is_replaced_unasked(tmp_path: Path) -> None:
    result = make(60, BOTH)
    for name, beside in (
        ("r_events.tsv", "r_events.json"), ("r.eaf", "r_tsconf.xml"), ("r.eaf", "r_curves.csv"),
    ):  # fmt: skip
        (tmp_path / beside).write_text("mine")
        with pytest.raises(UsageError, match=f"{beside} exists already"):
            result.save(tmp_path / name)
        assert [p.name for p in tmp_path.iterdir()] == [beside]
        result.save(tmp_path / name, overwrite=True)
        assert (tmp_path / beside).read_text() != "mine"
        for path in tmp_path.iterdir():
            path.unlink()


def test_a_folder_gets_names_that_tell(tmp_path: Path) -> None:
    from aumer.cli.inputs import Input
    from aumer.cli.outputs import plan

    inputs = [Input(str(tmp_path / f"{name}.mp4"), tmp_path / f"{name}.mp4", name) for name in "ab"]
    planned = plan(inputs, [f"{tmp_path}/"], ["tsv", "txt", "eaf"])
    assert [p.name for p in planned.files[0]] == ["a_events.tsv", "a-annot.txt", "a.eaf"]
    faces = replace(planned, faces=True).of(1, 2)
    assert [p.name for p in faces] == ["b-face2_events.tsv", "b-face2-annot.txt", "b-face2.eaf"]
    faces[0].write_text("")
    assert replace(planned, faces=True).stale(1, [1]) == [faces[0]]
    faces[0].unlink()
    (tmp_path / "b_tsconf.xml").write_text("")
    with pytest.raises(UsageError, match=r"b_tsconf\.xml exists already"):
        plan(inputs, [f"{tmp_path}/"], ["eaf"])


def test_letters_that_are_none_are_written_as_codes(tmp_path: Path) -> None:
    """Of a file's name, as Python has what is no UTF-8 of it, and of a label."""
    result = make(60, [replace(BOTH[0], label="a\udcff")], name="\udcff.mp4")
    for end in annotation_endings():
        path = tmp_path / f"x{end}"
        replace(result, source=tmp_path / "\udcff.mp4").save(path)
        assert read_annotations(path)[0].label == "a\\udcff"


def test_one_table_serves_all() -> None:
    endings = [end for own, _, _ in table() for end in own]
    assert sorted(endings) == sorted(ending(s[1:]) for s in suffixes())
    assert all(use and holds for _, use, holds in table())
    for suffix in suffixes():
        name = f"x{ending(suffix[1:])}"
        is_one = isinstance(format_named(suffix[1:]), Exchange)
        end = ending(suffix[1:])
        assert annotation_ending(name) == (end if is_one else None)
        assert is_one == (end in annotation_endings())
    assert not annotation_ending("README.txt") and not annotation_ending("table.tsv")
    assert not annotation_ending("x.mp4") and not annotation_ending("x")


# -- MNE


@settings(max_examples=25, deadline=None)
@given(given_=st.lists(timed(), max_size=5), begins=st.floats(0, 100))
def test_annotations_of_mne_go_to_and_fro(given_: list[Timed], begins: float) -> None:
    annotations = to_mne(given_, begins_s=begins)
    assert isinstance(annotations, mne.Annotations)
    found = sorted(from_mne(annotations, begins_s=begins), key=repr)
    for f in found:
        assert any(
            (f.kind, f.label, f.score, f.aus) == (g.kind, g.label, g.score, g.aus) and near(f, g)
            for g in given_
        )
    assert len(found) == len(given_)


@settings(max_examples=25, deadline=None)
@given(given_=st.lists(timed(), min_size=1, max_size=4))
def test_mne_reads_our_text_and_we_read_its(given_: list[Timed], tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("mne")
    ours, theirs = folder / "x-annot.txt", folder / "y-annot.txt"
    ours.write_text(MneText().text("x", given_), encoding="utf-8")
    read = mne.read_annotations(ours)
    assert len(read) == len(given_)
    assert sorted(d.partition("/")[0] for d in read.description) == sorted(g.kind for g in given_)
    np.testing.assert_allclose(sorted(read.onset), sorted(g.onset_s for g in given_), atol=1e-3)
    read.save(theirs)
    back = sorted(read_annotations(theirs), key=lambda e: e.onset_s)
    for f, onset in zip(back, sorted(g.onset_s for g in given_), strict=True):
        assert f.onset_s == pytest.approx(onset, abs=0.001) and f.apex_s is not None
    labels = {described(g) for g in given_}
    assert {described(f) for f in back} == labels


def test_a_recording_of_an_eeg_takes_a_result() -> None:
    info = mne.create_info(["Cz"], 100.0, "eeg", verbose=False)
    raw = mne.io.RawArray(np.zeros((1, 1000)), info, verbose=False)
    raw.set_annotations(raw.annotations + to_mne(make(60, BOTH), begins_s=2.0))
    events, names = mne.events_from_annotations(raw, regexp="^micro", verbose=False)
    assert events[:, 0].tolist() == [210] and list(names) == ["micro"]
    assert from_mne(raw.annotations, begins_s=2.0)[0].apex_s == pytest.approx(0.2)


def test_old_and_other_texts_of_mne_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x_annot.txt"
    path.write_text("# MNE-Annotations\n# onset, duration, description\n1.5,.25,micro\n3,1,BAD\n")
    assert read_annotations(path) == (Timed("micro", 1.5, 1.75),)
    path.write_text("# MNE-Annotations\n# onset, duration, description\n3,1,BAD\n")
    with pytest.raises(UsageError, match="its descriptions are 'BAD'"):
        read_annotations(path)
    path.write_text("notes\n")
    with pytest.raises(UsageError, match="the first line is not"):
        read_annotations(path)


def test_without_mne_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mne", None)
    with pytest.raises(BackendUnavailable, match=r"aumer\[mne\].*-annot.txt"):
        to_mne([])


@pytest.mark.parametrize("name", ["x_events.tsv", "x-annot.txt"])
def test_what_is_damaged_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    make(60, BOTH).save(path)
    whole = path.read_bytes()
    noise = bytes(range(256))
    for content in (noise, b"\xff\xfe\x00", *(whole[: len(whole) * k // 19] for k in range(19))):
        path.write_bytes(content)
        with contextlib.suppress(UsageError):
            assert len(read_annotations(path)) <= 2


# -- ELAN


@pytest.fixture
def elan(tmp_path: Path) -> Path:
    """A result beside curves, its video in a folder of another name."""
    film = tmp_path / "the videos" / "ü & 100%.mp4"
    film.parent.mkdir()
    film.write_bytes(b"")
    (tmp_path / "coding").mkdir()
    result = make(60, BOTH, missing=slice(12, 27), name=film.name)
    path = tmp_path / "coding" / "r.eaf"
    replace(result, source=film).save(path)
    return path


def test_the_video_is_linked_both_ways_as_elan_reads_links(elan: Path) -> None:
    """Whose paths are what stands after file://, decoded by nobody."""
    (media,) = ET.parse(elan).getroot().iter("MEDIA_DESCRIPTOR")
    assert media.get("MIME_TYPE") == "video/mp4"
    absolute = str(media.get("MEDIA_URL"))
    assert absolute.startswith("file:///") and Path(absolute[7:]).is_file()
    relative = str(media.get("RELATIVE_MEDIA_URL"))
    assert relative == "../the videos/ü & 100%.mp4" and (elan.parent / relative).is_file()


def test_the_curves_are_where_the_viewer_looks_for_them(elan: Path) -> None:
    root = ET.parse(elan).getroot()
    links = {str(f.get("MIME_TYPE")): f for f in root.iter("LINKED_FILE_DESCRIPTOR")}
    for one in links.values():
        assert (elan.parent / str(one.get("RELATIVE_LINK_URL"))).is_file()
        assert Path(str(one.get("LINK_URL"))[7:]).is_file()
    told = elan.with_name("r_tsconf.xml")  # the name that ELAN looks for
    assert Path(str(links["text/xml"].get("LINK_URL"))[7:]) == told
    (source,) = ET.parse(told).getroot()
    curves = Path(str(source.get("source-url"))[7:])
    assert str(source.get("source-url")) == links["unknown"].get("LINK_URL")
    rows = [line.split(",") for line in curves.read_text("utf-8").splitlines()]
    head, body = rows[0], np.array(rows[1:], float)
    assert head[0].startswith("#")  # ELAN leaves such lines aside
    result = make(60, BOTH, missing=slice(12, 27))
    features = result.features
    assert features is not None and len(body) == 60
    seconds = body[:, int(str(source.get("time-column")))]
    np.testing.assert_allclose(seconds, result.scores.times, atol=1e-6)
    moved = distances(features) / features.eye_distance * 100
    for track in source.iter("track"):
        (place,) = track.iter("pos")
        column, name = int(str(place.get("col"))), str(track.get("name"))
        want = (
            result.scores.channel(name.removeprefix("score "))
            if name.startswith("score ")
            else moved[:, features.rois.index(name)]
        )
        assert head[column] == name
        np.testing.assert_allclose(body[:, column], want, atol=1e-4)
        (bounds,) = track.iter("range")
        assert (
            float(str(bounds.get("min"))) < float(str(bounds.get("max"))) >= np.nanmax(want) - 1e-3
        )
        assert len(str(track.findtext("color")).split(",")) == 3
    assert len({t.get("name") for t in source.iter("track")}) == len(features.rois) + 2


#: EAF 3.0: the children of each element, in their order.
ORDER = {
    "ANNOTATION_DOCUMENT": (
        "LICENSE HEADER TIME_ORDER TIER LINGUISTIC_TYPE LOCALE LANGUAGE CONSTRAINT "
        "CONTROLLED_VOCABULARY LEXICON_REF REF_LINK_SET EXTERNAL_REF"
    ),
    "HEADER": "MEDIA_DESCRIPTOR LINKED_FILE_DESCRIPTOR PROPERTY",
    "TIME_ORDER": "TIME_SLOT",
    "TIER": "ANNOTATION",
    "CONTROLLED_VOCABULARY": "DESCRIPTION CV_ENTRY_ML",
    "CV_ENTRY_ML": "CVE_VALUE",
}


def test_elements_stand_in_the_order_of_the_format(elan: Path) -> None:
    for element in ET.parse(elan).getroot().iter():
        if element.tag in ORDER:
            order = ORDER[element.tag].split()
            places = [order.index(child.tag) for child in element]
            assert places == sorted(places)
    times = [int(s.attrib["TIME_VALUE"]) for s in ET.parse(elan).getroot().iter("TIME_SLOT")]
    assert min(times) >= 0


def test_pympi_reads_what_elan_would(tmp_path: Path) -> None:
    given_ = [
        Timed("micro", 0.1, 0.3, 0.2, "dégoût <1>", 0.5, aus="L4+9"),
        Timed("micro", 0.2, 0.4, 0.3, None, 0.25),  # overlaps
        Timed("macro", 1.0, 2.5, 1.5, "joy", 1.0, aus="6+12+R99x"),
    ]
    path = tmp_path / "x.eaf"
    path.write_text(Eaf().text("x.mp4", given_), encoding="utf-8")
    read = pympi.Elan.Eaf(str(path))
    assert read.get_annotation_data_for_tier("micro") == [(100, 301, "micro")]
    assert read.get_annotation_data_for_tier("micro 2") == [(200, 401, "micro")]
    assert read.get_annotation_data_for_tier("macro") == [(1000, 2501, "macro")]
    assert read.get_annotation_data_for_tier("apex@macro") == [(1500, 1501, "apex")]
    labels = read.get_ref_annotation_data_for_tier("label@micro")
    assert [(a[0], a[1], a[2]) for a in labels] == [(100, 301, "dégoût <1>")]
    units = read.get_ref_annotation_data_for_tier("aus@macro")
    assert [a[2] for a in units] == ["6", "12", "R99x"]
    entries = read.get_cv_entries("action units")
    words = {value[0] for values, _ in entries.values() for value in values}
    assert {"6", "12", "L12", "R12", "R99x"} <= words
    assert read.get_parameters_for_tier("aus@macro")["LINGUISTIC_TYPE_REF"] == "aus"
    assert (
        read.get_parameters_for_linguistic_type("aus")["CONTROLLED_VOCABULARY_REF"]
        == "action units"
    )
    # Saved by another program, it is still read.
    read.to_file(str(tmp_path / "y.eaf"))
    key = lambda e: (e.kind, e.onset_s)  # noqa: E731
    assert sorted(read_annotations(tmp_path / "y.eaf"), key=key) == sorted(
        read_annotations(path), key=key
    )


def test_action_units_come_in_their_order_whatever_the_files(tmp_path: Path) -> None:
    text = Eaf().text("x", [Timed("micro", 0.1, 0.3, aus="9+4+1")])
    root = ET.fromstring(text)
    (tier,) = (t for t in root.iter("TIER") if t.get("TIER_ID") == "aus@micro")
    tier[:] = reversed(tier[:])
    (found,) = Eaf().parse(ET.tostring(root, encoding="unicode"))
    assert found.aus == "9+4+1"


def test_convert_finds_the_video_beside(tmp_path: Path) -> None:
    result = make(60, BOTH, name="film.mp4")
    result.save(tmp_path / "any name.json")
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "film.eaf"
    convert(tmp_path / "any name.json", target)
    (media,) = ET.parse(target).getroot().iter("MEDIA_DESCRIPTOR")
    assert media.get("RELATIVE_MEDIA_URL") == "../film.mp4"
    timed_ = timed_of(result)
    for end in ("_events.tsv", ".vtt"):
        made = format_named(end[-3:])
        assert isinstance(made, Exchange)
        (tmp_path / f"film{end}").write_text(made.text("film.mp4", timed_), encoding="utf-8")
        target.unlink()
        for old in format_named("eaf").companions(target):
            old.unlink(missing_ok=True)
        convert(tmp_path / f"film{end}", target)
        (media,) = ET.parse(target).getroot().iter("MEDIA_DESCRIPTOR")
        assert media.get("RELATIVE_MEDIA_URL") == "../film.mp4"
        assert list(target.parent.iterdir()) == [target]  # times alone have no curves


# -- aumer's own readers of them


def test_a_coders_file_keeps_action_units(tmp_path: Path) -> None:
    """From a result through other programs' files into aumer's own, and out again."""
    acting = (
        ActingUnit(6, 0.9, True),
        ActingUnit(12, 0.9, True, "left"),
        ActingUnit(4, 0.1, False),
    )
    result = make(60, [replace(expression("micro", 3, 6, 9), aus=acting)])
    names = ["r.json", "a.annotations", "b_events.tsv", "c.annotations", "d-annot.txt", "e.eaf"]
    result.save(tmp_path / "r.json")
    for source, target in itertools.pairwise(names):
        convert(tmp_path / source, tmp_path / target)
        assert read_annotations(tmp_path / target)[0].aus == "6+L12"


SCHEMA = os.environ.get("AUMER_EAF_SCHEMA", "")


@pytest.mark.skipif(not SCHEMA, reason="AUMER_EAF_SCHEMA names no EAFv3.0.xsd (see .ci/run)")
def test_a_file_is_valid_by_elans_schema(elan: Path, tmp_path: Path) -> None:
    schema = xmlschema.XMLSchema(SCHEMA)
    schema.validate(elan)
    given_ = [replace(e, comment="a,\t\n'\"") for e in timed_of(make(60, BOTH)) for _ in range(3)]
    for some in (given_, [], [Timed("micro", 0.0, 0.0)]):
        path = tmp_path / "x.eaf"
        path.write_text(Eaf().text("a & <b>.mp4", some), encoding="utf-8")
        schema.validate(path)
    root = ET.parse(elan)
    root.getroot().find("TIME_ORDER")[0].set("TIME_VALUE", "x")  # type: ignore[index]
    root.write(path)
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema.validate(path)
