"""Every data set in its owners' layout: the rows of the real tables join with their folders."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from data import trees
from hypothesis import given
from hypothesis import strategies as st

from aumer.data import labels, read_table_report
from aumer.data import load as load_data_set
from aumer.data.auwgcn_features import AuwgcnFeatures
from aumer.data.auwgcn_features import _truth as truth_of
from aumer.data.check import check
from aumer.data.dataset import DataSet
from aumer.data.folders import Media, scan
from aumer.data.megc2019 import Megc2019, action_units
from aumer.data.report import DataReport, Fault, TableReport
from aumer.errors import UsageError
from aumer.registry import names, resolve
from aumer.results.annotations import Annotated, AnnotationFile
from aumer.results.exchange import Timed, convert
from aumer.results.subtitles import WebVtt
from aumer.simulate import timeline, video
from aumer.simulate.features import simulate_features, write_features
from aumer.tables.cells import read
from aumer.testing import DataSetSuite
from aumer.types import Annotation, VideoRecord
from aumer.video import content_digest

Find = Callable[[str], Path]


def load(name: str, root: Path, **options: Any) -> DataSet:
    """A data set as aumer loads it, which passes the suite that users run on their own."""
    data = load_data_set(name, root, **options)

    class Suite(DataSetSuite):
        def make(self) -> DataSet:
            return data

    for test in (name for name in dir(Suite) if name.startswith("test_")):
        getattr(Suite(), test)()
    return data


def annotations(data: DataSet) -> list[Annotation]:
    return [a for record in data.records() for a in record.annotations]


def codes(faults: Iterable[Fault]) -> Counter[str]:
    return Counter(fault.code for fault in faults)


def check_numbers(data: DataSet, table: TableReport, root: Path, *, base: int = 1) -> None:
    """The image at an annotation's place is the one whose number the table gives."""
    rows = {a.row: a for a in table.annotations}
    numbers = {media.path: media.numbers for media in scan(root)}
    for record in data.records():
        assert record.path is not None
        own = numbers[record.path]
        assert own is not None and record.frames == len(own)
        for a in record.annotations:
            label = rows[a.row]
            assert own[a.onset] == label.onset + base
            for place, wanted in ((a.apex, label.apex), (a.offset, label.offset)):
                if place is not None:
                    assert wanted is not None and own[place] == wanted + base


def test_casme_sq(tmp_path: Path, shared_data: Find) -> None:
    table = read_table_report("casme-sq", shared_data("annotations/casme_sq_coding.xlsx"))
    data = load("casme-sq", trees.casme_sq(tmp_path, table))
    assert (len(data.records()), len(annotations(data))) == (95, 357)
    assert {record.fps for record in data.records()} == {30.0}
    check_numbers(data, table, tmp_path)
    assert set(codes(data.report.faults)) == {"missing-frames"}  # the tree is sparse
    film = {(r.subject, r.name): r for r in data.records()}["s15", "15_0101"]
    assert film.path is not None and film.path.name == "15_0101disgustingteeth"


def test_casme_sq_takes_the_version_asked_for(tmp_path: Path, shared_data: Find) -> None:
    table = read_table_report("casme-sq", shared_data("annotations/casme_sq_coding.xlsx"))
    trees.casme_sq(tmp_path, table)
    trees.casme_sq(tmp_path, table, crops=True)
    for images, part in (("rawpic", "rawpic"), ("Cropped", "longVideoFaceCropped")):
        data = load("casme-sq", tmp_path, images=images)
        assert all(part in str(record.path) for record in data.records())
        assert "several-videos" not in codes(data.report.faults)


def test_casme_sq_with_whole_folders(tmp_path: Path, shared_data: Find) -> None:
    """Where no image is missing, places are the numbers less 1, and nothing is wrong."""
    whole = read_table_report("casme-sq", shared_data("annotations/casme_sq_coding.xlsx"))
    trees.casme_sq(tmp_path, trees.some(whole, "s29", "s35"), whole=True)
    data = load("casme-sq", tmp_path)
    there = [record for record in data.records() if record.path is not None]
    assert [record.name for record in there] == ["29_0502", "35_0102"]
    for record in there:
        for a in record.annotations:
            assert a in whole.annotations
    assert codes(data.report.faults) == {"missing-video": 93}
    assert len(annotations(data)) == 357


def test_the_simulated_data_set_is_one(tmp_path: Path) -> None:
    """`aumer simulate video` writes CAS(ME)^2's layout; its truth comes back."""
    event = timeline.Event("micro", ((4, "both"),), 0.1, 0.2, 0.2, 0.3, 0.5)
    films = {(15, "0101disgust1"): timeline.Timeline(0.5, (event,))}
    video.write_casme_sq_layout(
        tmp_path / "set", films, fps=10.0, size=(160, 120), nuisance=video.Nuisance.none()
    )
    data = load("casme-sq", tmp_path / "set")
    (record,) = data.records()
    (truth,) = video.truth(films[15, "0101disgust1"], 10.0)
    (found,) = record.annotations
    assert (record.subject, record.name, record.frames) == ("s15", "15_0101", 5)
    assert (found.onset, found.apex, found.offset) == (truth.onset, truth.apex, truth.offset)
    assert (found.kind, found.aus) == ("micro", "4")
    assert data.report.faults == ()


def test_samm_lv(tmp_path: Path, shared_data: Find) -> None:
    table = read_table_report("samm-lv", shared_data("annotations/samm_lv_coding.xlsx"))
    data = load("samm-lv", trees.samm_lv(tmp_path, table))
    assert (len(data.records()), len(annotations(data))) == (147, 502)
    check_numbers(data, table, tmp_path)
    assert set(codes(data.report.faults)) == {"missing-frames"}


def test_samm_lv_with_the_emotions_of_samm(tmp_path: Path, shared_data: Find) -> None:
    """The micro-expressions of the long videos are SAMM's, under the same names."""
    table = read_table_report("samm-lv", shared_data("annotations/samm_lv_coding.xlsx"))
    short = shared_data("annotations/samm_micro_facs_codes.xlsx")
    trees.samm_lv(tmp_path, table)
    emotions = {"micro": Counter[str](), "macro": Counter[str]()}
    for a in annotations(load("samm-lv", tmp_path, emotions=short)):
        emotions[a.kind][a.emotion] += 1
    coded = Counter(a.emotion for a in read_table_report("samm", short).annotations)
    assert emotions == {"micro": coded, "macro": {"": 343}}


@pytest.mark.parametrize("edition", ["casme2_coding.xlsx", "casme2_coding_2019.xlsx"])
def test_casme2(tmp_path: Path, shared_data: Find, edition: str) -> None:
    table = read_table_report("casme2", shared_data(f"annotations/{edition}"))
    data = load("casme2", trees.casme2(tmp_path, table))
    assert (len(data.records()), len(annotations(data))) == (255, 255)
    check_numbers(data, table, tmp_path)
    # A cropped clip begins with its onset.
    assert {a.onset for a in annotations(data)} == {0}


def test_samm(tmp_path: Path, shared_data: Find) -> None:
    table = read_table_report("samm", shared_data("annotations/samm_micro_facs_codes.xlsx"))
    data = load("samm", trees.samm(tmp_path, table))
    assert (len(data.records()), len(annotations(data))) == (159, 159)
    check_numbers(data, table, tmp_path)
    assert {a.onset for a in annotations(data)} == {0}


def test_casme3(tmp_path: Path, shared_data: Find) -> None:
    table = read_table_report("casme3", shared_data("annotations/casme3_part_a.xlsx"))
    data = load("casme3", trees.casme3(tmp_path, table))
    assert (len(data.records()), len(annotations(data))) == (463, 860)
    assert all(record.path is not None and record.path.name == "color" for record in data.records())
    check_numbers(data, table, tmp_path)


def test_casme3_to_spot(tmp_path: Path, shared_data: Find) -> None:
    table = read_table_report("casme3", shared_data("annotations/casme3_spotting.csv"))
    data = load("casme3", trees.casme3(tmp_path, table))
    assert (len(data.records()), len(annotations(data))) == (757, 2071 + 277)
    assert len({record.subject for record in data.records()}) == 97
    check_numbers(data, table, tmp_path)
    assert table.lengths["spNO.1", "a"] == 836


def test_dfme(tmp_path: Path, shared_data: Find) -> None:
    table = read_table_report("dfme", shared_data("annotations/dfme_train.xlsx"))
    data = load("dfme", trees.dfme(tmp_path, table))
    assert (len(data.records()), len(annotations(data))) == (1856, 1856)
    assert Counter(r.fps for r in data.records()) == {500.0: 695, 300.0: 605, 200.0: 556}
    assert {a.row: a for a in annotations(data)} == {a.row: a for a in table.annotations}


@pytest.fixture
def smic(shared_data: Find) -> tuple[TableReport, dict[str, int]]:
    path = shared_data("annotations/smic_hs_e_annotation.xlsx")
    rows = read(path, ("Subject", "Filename", "FirstF", "OnsetF"), sheet="HS")
    firsts = {}
    for row in rows:
        subject, _, rest = row.text("Filename").partition("_")
        firsts[f"s{int(subject[1:]):02d}_{rest}"] = row.whole("FirstF")
    return read_table_report("smic-hs", path), firsts


def test_smic_hs(tmp_path: Path, smic: tuple[TableReport, dict[str, int]]) -> None:
    """The 164 clips are the first intervals of the 157 rows, four further ones, and three more."""
    table, firsts = smic
    data = load("smic-hs", trees.smic_hs(tmp_path, table, firsts, extended=False))
    assert len(data.records()) == 164
    found = {record.name: record for record in data.records()}
    for record in data.records():
        assert len(record.annotations) == 1
        assert record.annotations[0].onset == 0
    assert found["s03_ne_03"].annotations[0].row == found["s03_ne_02"].annotations[0].row
    assert found["s01_ne_02"].annotations[0].row == 0
    # Five second intervals are in no clip: those of the next number have rows of their own.
    assert codes(data.report.faults)["unjoinable-row"] == 5
    emotions = Counter(record.annotations[0].emotion for record in data.records())
    assert emotions == {"negative": 70, "positive": 51, "surprise": 43}
    rules = Counter(c.rule.name for c in data.report.tables[0].corrections)
    assert rules == {"emotion-of-name": 1, "interval-with-clip": 4, "clip-without-row": 3}


def test_smic_of_other_cameras_is_no_smic_hs(
    tmp_path: Path, smic: tuple[TableReport, dict[str, int]]
) -> None:
    trees.smic_hs(tmp_path, *smic, extended=True)
    (tmp_path / "HS").rename(tmp_path / "VIS")
    with pytest.raises(UsageError, match=r"none of its 157 folders .* as those of smic-hs are; .*"):
        load("smic-hs", tmp_path)


def test_smic_extended(tmp_path: Path, smic: tuple[TableReport, dict[str, int]]) -> None:
    table, firsts = smic
    data = load("smic-hs", trees.smic_hs(tmp_path, table, firsts, extended=True))
    assert (len(data.records()), len(annotations(data))) == (157, 166)
    assert "unjoinable-row" not in codes(data.report.faults)
    numbers = {media.path: media.numbers for media in scan(tmp_path)}
    wanted = sorted((a.video, firsts[a.video] + a.onset) for a in table.annotations)
    got = []
    for record in data.records():
        own = numbers[record.path]  # type: ignore[index]
        assert own is not None
        got += [(a.video, own[a.onset]) for a in record.annotations]
    assert sorted(got) == wanted


# Recognition's composite


def test_megc2019_flow_images(shared_data: Find) -> None:
    data = load("megc2019", shared_data("megc2019"))
    assert isinstance(data, Megc2019)
    records = data.records()
    assert (len(records), len({r.subject for r in records})) == (442, 68)
    assert Counter(r.annotations[0].emotion for r in records) == {
        "negative": 250,
        "positive": 109,
        "surprise": 83,
    }
    assert data.report.faults == ()
    images = data.images()
    assert (images.shape, images.dtype) == ((442, 28, 28, 3), np.uint8)
    # cv2 reads blue first: strain, v, u.
    blue_first = cv2.imread(str(records[0].path))
    assert blue_first is not None
    np.testing.assert_array_equal(images[0, ..., 0], blue_first[..., 2])


def test_megc2019_clips(
    tmp_path: Path, shared_data: Find, smic: tuple[TableReport, dict[str, int]]
) -> None:
    roots = {name: tmp_path / name for name in ("casme2", "samm", "smic")}
    for root in roots.values():
        root.mkdir()
    casme2 = read_table_report("casme2", shared_data("annotations/casme2_coding.xlsx"))
    samm = read_table_report("samm", shared_data("annotations/samm_micro_facs_codes.xlsx"))
    clips = {
        "casme2": load("casme2", trees.casme2(roots["casme2"], casme2)),
        "samm": load("samm", trees.samm(roots["samm"], samm)),
        "smic": load("smic-hs", trees.smic_hs(roots["smic"], *smic, extended=False)),
    }
    data = load("megc2019", shared_data("megc2019"), clips=clips)
    assert len(data.records()) == 442
    assert data.report.faults == ()
    for record in data.records():
        assert record.path is not None and len(record.annotations) == 1
        assert record.annotations[0].offset is not None
    with pytest.raises(UsageError, match="casme2, samm missing"):
        load("megc2019", shared_data("megc2019"), clips={"smic": clips["smic"]})


def test_action_units_of_the_composite(shared_data: Find) -> None:
    found = action_units(
        shared_data("megc2019/labels.csv"),
        casme2=shared_data("annotations/casme2_coding.xlsx"),
        samm=shared_data("annotations/samm_micro_facs_codes.xlsx"),
    )
    assert len(found) == 278
    assert found["sub01", "EP02_01f"] == "12"
    assert found["006", "006_1_2"] == "4+7"
    assert all(found.values())


def test_the_composite_follows_from_the_workbooks(
    shared_data: Find, smic: tuple[TableReport, dict[str, int]]
) -> None:
    """Its classes are those that the emotions give, and its clips those that have a class."""
    labeled = {
        (a.subject, a.video): a.emotion
        for a in read_table_report("megc2019", shared_data("megc2019/labels.csv")).annotations
    }
    found = {}
    for name, file in (
        ("casme2", "casme2_coding.xlsx"),
        ("samm", "samm_micro_facs_codes.xlsx"),
        ("smic-hs", "smic_hs_e_annotation.xlsx"),
    ):
        for a in read_table_report(name, shared_data(f"annotations/{file}")).annotations:
            found[a.subject, a.video] = labels.composite_class(name, a)
    assert {key: value for key, value in found.items() if value} == {
        key: value for key, value in labeled.items() if key in found
    }
    assert len(labeled.keys() - found.keys()) == 7  # of SMIC: clips that share a row, or have none


def test_five_classes(shared_data: Find) -> None:
    casme2 = read_table_report("casme2", shared_data("annotations/casme2_coding_2019.xlsx"))
    found = Counter(labels.casme2_class(a.emotion) for a in casme2.annotations)
    assert found == {
        "happiness": 32,
        "disgust": 63,
        "repression": 27,
        "surprise": 28,
        "others": 99,
        None: 6,
    }
    samm = read_table_report("samm", shared_data("annotations/samm_micro_facs_codes.xlsx"))
    found = Counter(labels.samm_class(a.emotion) for a in samm.annotations)
    assert found == {
        "anger": 57,
        "happiness": 26,
        "contempt": 12,
        "surprise": 15,
        "other": 26,
        None: 23,
    }
    assert labels.megc_class(" Happy") == "positive"
    assert labels.megc_class("others") is None


# Unseen videos, features, one's own


def test_megc_unseen(tmp_path: Path) -> None:
    trees.images(tmp_path / "SAMM_Test_cropped" / "006_4", "006_4_{:05d}.jpg", range(1, 6))
    trees.images(tmp_path / "CAS_Test_cropped" / "1", "{}.jpg", range(4))
    trees.images(tmp_path / "other" / "1", "{}.jpg", range(4))
    data = load("megc-unseen", tmp_path)
    assert [(r.subject, r.name, r.fps, r.frames) for r in data.records()] == [
        ("CASME3", "1", 30.0, 4),
        ("SAMM", "006_4", 200.0, 5),
    ]
    assert annotations(data) == []
    (fault,) = data.report.faults
    assert fault.code == "unknown-rate" and fault.video == "other/1"


def test_auwgcn_features(tmp_path: Path) -> None:
    """Segments that the simulator cut become its videos again."""
    made = list(simulate_features(2, minutes=0.4, seed=3))
    write_features(tmp_path, made, layout="feature_segment")
    data = load("auwgcn-features", tmp_path, rate=30.0)
    assert isinstance(data, AuwgcnFeatures)
    for record, source in zip(data.records(), made, strict=True):
        assert (record.subject, record.name) == (source.subject, source.name)
        features = data.features(record)
        assert features.values.shape == source.features.values.shape == (720, 12, 2)
        assert features.valid.all()
        wanted = np.where(source.features.valid[:, None, None], source.features.values, 0.0)
        np.testing.assert_allclose(features.values, wanted, atol=1e-5)
        assert record.frames == 721
        truth = {(e.kind, e.onset, e.apex, e.offset) for e in source.expressions}
        found = {(a.kind, a.onset, a.apex, a.offset) for a in record.annotations}
        assert found == truth
    assert data.report.faults == ()
    every = np.concatenate([data.features(record).values for record in data.records()])
    x, y = data.report.notes
    assert x.startswith(f"values along x: mean {every[..., 0].mean():.4f}, deviation")
    assert f"median {np.median(every[..., 1]):.4f} (unit unresolved)" in y
    assert check(data).to_dict()["notes"] == [x, y]


def test_labels_of_published_segments_are_their_events(shared_data: Find) -> None:
    golden = np.load(shared_data("golden/auwgcn.npz"))
    found = []
    for sample, tracks in enumerate(golden["targets/labels"]):
        own, faults = truth_of(("s", "v"), tracks > 0)
        assert faults == []
        found += [(sample, a.onset, a.apex, a.offset, 1 if a.kind == "macro" else 2) for a in own]
    assert sorted(found) == sorted(map(tuple, golden["targets/events"].tolist()))


def test_labels_that_do_not_pair_are_said() -> None:
    tracks = np.zeros((30, 8), np.bool_)
    tracks[5:10, 3] = tracks[5, 0] = True  # an action of a start without an end
    own, faults = truth_of(("s", "v"), tracks)
    assert [(a.kind, a.onset, a.apex, a.offset) for a in own] == [("micro", 5, None, 9)]
    assert [fault.code for fault in faults] == ["unpaired-labels"]


def test_auwgcn_features_without_their_test_share(tmp_path: Path) -> None:
    """The segments for training alone have holes; they are not filled with numbers."""
    (made,) = simulate_features(1, minutes=1.0, seed=3)
    write_features(tmp_path, [made], layout="feature_segment")
    paths = sorted((tmp_path / "feature_segment" / "test").rglob("*.npz"))
    shutil.rmtree(tmp_path / "feature_segment" / "train")
    paths[2].unlink()
    data = load("auwgcn-features", tmp_path, rate=30.0)
    assert isinstance(data, AuwgcnFeatures)
    features = data.features(data.records()[0])
    assert np.flatnonzero(~features.valid).tolist() == list(range(512, 768))
    assert np.isnan(features.values[512:768]).all()
    assert codes(data.report.faults)["missing-frames"] == 1


def test_auwgcn_features_that_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "feature_segment" / "test" / "casme_015"
    folder.mkdir(parents=True)
    with pytest.raises(UsageError, match="no segments; it must hold feature_segment/test"):
        load("auwgcn-features", tmp_path)
    np.savez(folder / "casme_015_0401_0000.npz", feature=np.zeros((270, 10, 2)))
    with pytest.raises(UsageError, match=r"a segment of features from .*0000\.npz"):
        load("auwgcn-features", tmp_path)
    empty = np.zeros((270, 10, 2)), np.zeros((270, 8))
    np.savez(folder / "casme_015_0401_0000.npz", feature=empty[0], label=empty[1])
    with pytest.raises(UsageError, match=r"feature must be \(270, 12, 2\), found \(270, 10, 2\)"):
        load("auwgcn-features", tmp_path)


def film(path: Path, frames: int, fps: float = 20.0) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (32, 24))
    for k in range(frames):
        writer.write(np.full((24, 32, 3), 5 * k, np.uint8))
    writer.release()


def test_own_in_frames(tmp_path: Path) -> None:
    film(tmp_path / "a.avi", 30)
    trees.images(tmp_path / "more" / "b", "{}.png", range(10))
    (tmp_path / "mine.csv").write_text(
        "file,subject,fps,kind,onset,apex,offset,au,emotion\n"
        "a.avi,anna,,micro,3,5,9,4+7,anger\n"
        "a.avi,anna,,macro,10,,20,12,\n"
        "a.avi,anna,,macro,22,,,12,\n"
        "more/b,bert,25,none,,,,,\n"
        "a.avi,anna,,ignore,1,,2,,\n"
    )
    data = load("own", tmp_path)
    a, b = data.records()
    assert (a.subject, a.name, a.fps, len(a.annotations)) == ("anna", "a.avi", 20.0, 3)
    assert (b.subject, b.name, b.fps, b.frames) == ("bert", "more/b", 25.0, 10)
    assert b.annotations == ()
    first = a.annotations[0]
    assert (first.onset, first.apex, first.offset, first.aus) == (3, 5, 9, "4+7")
    assert a.annotations[2].offset is None
    (refused,) = data.report.tables[0].refusals
    assert (refused.row, refused.text) == (6, "ignore")


def test_own_clips_need_a_file_and_a_label(tmp_path: Path) -> None:
    """For those who spot, a table without kinds and onsets stays an error."""
    film(tmp_path / "a.avi", 30)
    trees.images(tmp_path / "b", "{}.png", range(10))
    (tmp_path / "mine.csv").write_text(
        "file,fps,label,onset,apex,offset\na.avi,,Smile,,,\na.avi,,Frown,3,,\na.avi,,Smile,,5,\n"
        "b,25,Frown,,,\n"
    )
    with pytest.raises(UsageError, match="no column 'kind'"):
        load("own", tmp_path)
    a, b = load("own", tmp_path, clips=True).records()
    found = [(x.kind, x.emotion, x.onset, x.apex, x.offset) for x in a.annotations]
    assert found == [
        ("micro", "Smile", 0, None, 29),
        ("micro", "Frown", 3, None, 29),
        ("micro", "Smile", 0, 5, None),
    ]
    (one,) = b.annotations
    assert (one.onset, one.offset, b.frames) == (0, None, 10)  # which its images tell
    (tmp_path / "mine.csv").write_text("video,label\na.avi,Smile\n")
    (bare,) = load("own", tmp_path, clips=True).records()
    assert [(x.onset, x.offset) for x in bare.annotations] == [(0, 29)]


def test_own_in_seconds(tmp_path: Path) -> None:
    """The nearest frame, by the video's own times or by the rate that is given."""
    film(tmp_path / "a.avi", 30, fps=20.0)
    trees.images(tmp_path / "b", "{}.png", range(10))
    (tmp_path / "mine.csv").write_text(
        "file,fps,kind,onset_s,apex_s,offset_s\na.avi,,micro,0.11,0.24,0.5\nb,10,macro,0.1,,0.62\n"
    )
    a, b = load("own", tmp_path).records()
    assert [(x.onset, x.apex, x.offset) for x in a.annotations] == [(2, 5, 10)]
    assert [(x.onset, x.apex, x.offset) for x in b.annotations] == [(1, None, 6)]
    assert (a.subject, b.subject) == ("a.avi", "b")  # nobody said who


def coded(path: Path, video: Path, coder: str, found: Sequence[Annotated]) -> None:
    file = AnnotationFile(video.name, content=content_digest(video), frames=30, duration_s=1.45)
    file.changed(found, coder).save(path)


def test_own_by_files_of_annotations(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What `aumer view` saved is trained on as it is; other programs' files, too."""
    (tmp_path / "bert").mkdir()
    film(tmp_path / "a.avi", 30, fps=20.0)
    film(tmp_path / "bert" / "b.avi", 30, fps=20.0)
    film(tmp_path / "bert" / "c.avi", 30, fps=20.0)
    # Its frames count, where it is of this video; its times are another's on purpose.
    found = [Annotated("micro", 9.0, 9.2, None, "joy", None, "e1", 3, None, 9)]
    coded(tmp_path / "a.avi.ann.annotations", tmp_path / "a.avi", "Ann", found)
    coded(tmp_path / "bert" / "c.avi.ann.annotations", tmp_path / "bert" / "c.avi", "Ann", [])
    times = [Timed("macro", 0.11, 0.5, 0.24)]
    text = WebVtt().text("b.avi", times)
    (tmp_path / "bert" / "b.vtt").write_text(text)
    with pytest.raises(UsageError, match="no file is called"):
        load("own", tmp_path, table="*.nobody.annotations")
    a, b = load("own", tmp_path).records()  # aumer's own alone, where there are some
    assert [(r.subject, r.name) for r in (a, b)] == [("a.avi", "a.avi"), ("bert", "bert/c.avi")]
    assert [(x.onset, x.apex, x.offset, x.emotion) for x in a.annotations] == [(3, None, 9, "joy")]
    assert b.annotations == ()  # looked through, and empty
    (only,) = load("own", tmp_path, table="*.vtt").records()
    assert [(x.kind, x.onset, x.apex, x.offset) for x in only.annotations] == [("macro", 2, 5, 10)]
    (named,) = load("own", tmp_path, table=tmp_path / "bert" / "b.vtt").records()
    assert named == only
    # Other formats' names, too, and a text or a table that is none of them.
    convert(tmp_path / "bert" / "b.vtt", tmp_path / "bert" / "b_events.tsv")
    (tmp_path / "bert" / "README.txt").write_text("no annotations")
    (events,) = load("own", tmp_path, table="*_events.tsv").records()
    assert events == only
    assert [r.name for r in load("own", tmp_path).records()] == [a.name, b.name]
    (tmp_path / "bert" / "b_events.tsv").unlink()
    assert not caplog.records

    # Of another edition of the video the times count, and it is told.
    film(tmp_path / "a.avi", 40, fps=20.0)
    again = load("own", tmp_path, table="*.ann.annotations")
    assert [x.onset for x in again.records()[0].annotations] == [39]
    assert [f.code for f in again.report.faults if f.video == "a.avi"] == ["changed-video"]
    assert "another edition of a.avi" in caplog.text

    coded(tmp_path / "a.avi.bob.annotations", tmp_path / "a.avi", "Bob", found)
    with pytest.raises(UsageError, match=r"both of a\.avi: say which is meant"):
        load("own", tmp_path)
    assert load("own", tmp_path, table="*.bob.annotations").records()[0].annotations
    caplog.clear()
    (tmp_path / "t.csv").write_text("file,kind,onset,offset\na.avi,micro,1,2\n")
    assert [x.onset for x in load("own", tmp_path).records()[0].annotations] == [1]
    assert "4 files of annotations are not used" not in caplog.text
    assert "3 files of annotations are not used, since there is t.csv" in caplog.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.avi,micro,5,9,3", "line 2, column offset: offset 3 lies before onset 5"),
        ("a.avi,micro,-1,9,3", "line 2, column onset: frames count from 0, found -1"),
        ("a.avi,micro,1.5,9,3", "line 2, column onset: a frame is a whole number; found '1.5'"),
        ("a.avi,micro,,9,30", "line 2, column onset: the cell is empty"),
    ],
)
def test_own_that_is_wrong(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text(f"file,kind,onset,apex,offset\n{row}\n")
    with pytest.raises(UsageError, match=message):
        load("own", tmp_path, table=tmp_path / "mine.csv")


def test_the_shared_videos_are_ones_own(shared_data: Find) -> None:
    data = load("own", shared_data("videos"))
    kinds = Counter(a.kind for a in annotations(data))
    assert (len(data.records()), kinds["micro"] > 0, kinds["macro"] > 0) == (9, True, True)
    assert all(record.path is not None for record in data.records())
    assert [refused.text for refused in data.report.tables[0].refusals] == ["ignore"]


# Places of images


@given(st.sets(st.integers(0, 300), min_size=1))
def test_an_image_has_the_place_of_its_number(numbers: set[int]) -> None:
    ordered = sorted(numbers)
    media = Media(Path("v"), ("v",), tuple(ordered))
    assert [media.index(n) for n in ordered] == list(range(len(ordered)))
    places = [media.index(n) for n in range(-5, 310)]
    assert places == sorted(places)
    assert all((place < 0) == (n < ordered[0]) for n, place in enumerate(places, start=-5))
    assert all((place >= len(ordered)) == (n > ordered[-1]) for n, place in enumerate(places, -5))
    missing = ordered[-1] - ordered[0] + 1 - len(ordered)
    assert bool(media.faults(("s", "v"))) == bool(missing)


def test_two_images_of_one_number_are_said(tmp_path: Path) -> None:
    for name in ("img_1.jpg", "img_2.jpg", "img_02.png"):
        (tmp_path / name).touch()
    (media,) = scan(tmp_path)
    assert [fault.code for fault in media.faults(("s", "v"))] == ["repeated-frames"]


def test_hidden_files_are_left_out_and_links_are_followed_once(tmp_path: Path) -> None:
    trees.images(tmp_path / "real" / "v", "{}.jpg", range(3))
    (tmp_path / "real" / "v" / "._0.jpg").touch()
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "1.jpg").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "loop").symlink_to(root, target_is_directory=True)
    (media,) = scan(root)
    assert (media.parts, media.numbers) == (("link", "v"), (0, 1, 2))


# The interface


def test_every_data_set_keeps_to_the_interface() -> None:
    for name in names("dataset"):
        kind = resolve("dataset", name)
        assert kind.name == name
        assert kind.layout
        assert set(kind.expected) <= {"subjects", "videos", "micro", "macro"}


def test_roots_and_options_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'casme-sq'"):
        load("casme_sq", tmp_path)
    with pytest.raises(UsageError, match=r"no option 'tabel'.*Did you mean 'table'"):
        load("samm-lv", tmp_path, tabel="x")
    for name in names("dataset"):
        with pytest.raises(UsageError, match=r"none does not exist; give the folder"):
            load(name, tmp_path / "none")
        with pytest.raises(UsageError):
            load(name, tmp_path)  # empty


def test_a_root_with_a_broken_table_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "codes.xlsx").write_bytes(b"no zip")
    with pytest.raises(UsageError, match=r"cannot read an \.xlsx workbook from .*codes\.xlsx"):
        load("samm", tmp_path)


def test_a_clip_in_two_places_is_said(tmp_path: Path, shared_data: Find) -> None:
    whole = read_table_report("samm", shared_data("annotations/samm_micro_facs_codes.xlsx"))
    one = trees.some(whole, "006")
    trees.samm(tmp_path, one)
    shutil.copytree(tmp_path / "006", tmp_path / "copy" / "006")
    faults = [f for f in load("samm", tmp_path).report.faults if f.code == "several-videos"]
    assert len(faults) == len(one.annotations)
    assert f"{Path('006', '006_1_2')} is used, not" in faults[0].message


def test_images_out_of_reach_are_said(tmp_path: Path, shared_data: Find) -> None:
    """A clip whose first image comes after the onset."""
    whole = read_table_report("samm", shared_data("annotations/samm_micro_facs_codes.xlsx"))
    one = trees.some(whole, "006")
    trees.samm(tmp_path, one, whole=True)
    (tmp_path / "006" / "006_1_2" / "006_05562.jpg").unlink()
    (fault,) = [f for f in load("samm", tmp_path).report.faults if f.code == "unjoinable-row"]
    assert (fault.subject, fault.video, fault.row) == ("006", "006_1_2", 15)
    assert "image 5562 lies before the first, 5563" in fault.message


def test_own_in_seconds_of_a_video_that_is_missing(tmp_path: Path) -> None:
    """No error: the row is refused, and the video is listed."""
    (tmp_path / "mine.csv").write_text("file,kind,onset_s,offset_s\na.avi,micro,0.1,0.5\n")
    data = load("own", tmp_path)
    (record,) = data.records()
    assert record.path is None
    (refused,) = data.report.tables[0].refusals
    assert (refused.row, refused.text) == (2, "a.avi")
    assert codes(data.report.faults) == {"missing-video": 1}


@pytest.mark.parametrize(("column", "one", "other"), [("subject", "anna", "bert"), ("fps", 25, 30)])
def test_own_that_contradicts_itself(
    tmp_path: Path, column: str, one: object, other: object
) -> None:
    rows = f"a,{one},micro,1,2,3\na,{other},micro,5,6,7\n"
    (tmp_path / "mine.csv").write_text(f"file,{column},kind,onset,apex,offset\n{rows}")
    with pytest.raises(
        UsageError, match=f"line 3, column {column}: found '{other}', but line 2 has"
    ):
        load("own", tmp_path)


def test_which_of_several_tables_must_be_said(tmp_path: Path, shared_data: Find) -> None:
    row = "a.avi,micro,1,2,3\n"
    for name in ("labels.csv", "spotted.csv"):
        (tmp_path / name).write_text(f"file,kind,onset,apex,offset\n{row}")
    (tmp_path / "inputs.csv").write_text("video,status\na.avi,ok\n")  # no table of intervals
    with pytest.raises(UsageError, match=r"labels\.csv, spotted\.csv can all .*`table`"):
        load("own", tmp_path)
    assert annotations(load("own", tmp_path, table=tmp_path / "labels.csv"))
    # A slip in one does not make the other be taken.
    (tmp_path / "labels.csv").write_text("file,kind,onset,apex,offset\na.avi,mirco,1,2,3\n")
    with pytest.raises(UsageError, match="can all be its table"):
        load("own", tmp_path)
    (tmp_path / "spotted.csv").unlink()
    with pytest.raises(UsageError, match=r"line 2, column kind: .*Did you mean 'micro'"):
        load("own", tmp_path)
    # Nor do the owners' sets choose between two CSV files; a workbook is read before them.
    root = tmp_path / "casme3"
    root.mkdir()
    for name in ("a.csv", "b.csv"):
        shutil.copy(shared_data("annotations/casme3_spotting.csv"), root / name)
    with pytest.raises(UsageError, match=r"a\.csv, b\.csv can all be its table"):
        load("casme3", root)
    shutil.copy(shared_data("annotations/casme3_part_a.xlsx"), root)
    assert load("casme3", root).report.tables[0].path.name == "casme3_part_a.xlsx"


def test_own_videos_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    for folder in ("anna", "ben"):
        (tmp_path / folder).mkdir()
        film(tmp_path / folder / "x.avi", 30)
    film(tmp_path / "ben" / "y.avi", 30)
    (tmp_path / "mine.csv").write_text(
        "video,kind,onset,offset\ny.avi,micro,1,3\n/data/anna/x.avi,macro,4,9\nx.avi,none,,\n"
    )
    data = load("own", tmp_path)
    assert [(r.name, len(r.annotations), r.path is not None) for r in data.records()] == [
        ("anna/x.avi", 1, True),
        ("ben/y.avi", 1, True),
        ("x.avi", 0, False),  # there are two
    ]


def test_a_data_set_of_ones_own_class(tmp_path: Path) -> None:
    """Nothing need be inherited."""

    class Mine:
        name: ClassVar[str] = "mine"
        layout: ClassVar[str] = "a folder"
        expected: ClassVar[Mapping[str, int]] = {"videos": 1}
        report = DataReport()

        @classmethod
        def from_root(cls, root: Path, *, fps: float = 10.0) -> Mine:
            mine = cls()
            mine.rate, mine.path = fps, root
            return mine

        rate: float
        path: Path

        def records(self) -> tuple[VideoRecord, ...]:
            return (VideoRecord("mine", "s", "v", self.rate, self.path, 7),)

    data = load(Mine, tmp_path, fps=12.0)
    assert data.records()[0].fps == 12.0
    assert check(data).faults == ()
    with pytest.raises(UsageError, match=r"mine has no option 'rate'; its options are fps"):
        load(Mine, tmp_path, rate=12.0)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ({"layout": ""}, "test_it_says_what_it_is"),
        ({"report": None}, "test_it_says_what_it_is"),
        ({"comes_as": "tables"}, "test_it_says_what_it_is"),
        ({"name": "other"}, "test_records_are_sorted_and_there_once"),
        ({"shown": ("b", "a")}, "test_records_are_sorted_and_there_once"),
        ({"shown": ("a", "a")}, "test_records_are_sorted_and_there_once"),
        (
            {"fps": property(lambda self: next(RATES))},
            "test_the_same_folder_gives_the_same_records",
        ),
        ({"comes_as": "features"}, "test_features_are_there_where_it_says_so"),
        ({"features": lambda self, r: None}, "test_features_are_there_where_it_says_so"),
        (
            {"from_root": classmethod(lambda cls, root: cls())},
            "test_a_folder_that_is_not_there_is_refused",
        ),
    ],
)
def test_the_suite_sees_what_is_wrong(fault: dict[str, Any], test: str) -> None:
    class Wrong(DataSetSuite):
        def make(self) -> DataSet:
            made: DataSet = type("Wrong", (Two,), fault)()
            return made

    class Right(DataSetSuite):
        def make(self) -> DataSet:
            return Two()

    getattr(Right(), test)()
    with pytest.raises((AssertionError, UsageError)):
        getattr(Wrong(), test)()


RATES = iter(range(10, 100))


class Two(DataSet):
    """The least that a data set can be."""

    name = "two"
    layout = "none"
    shown = ("a", "b")
    fps = 10.0
    report = DataReport()

    @classmethod
    def from_root(cls, root: Path) -> DataSet:  # type: ignore[override]
        raise UsageError(f"{root} is not there")

    def records(self) -> tuple[VideoRecord, ...]:
        return tuple(
            VideoRecord(
                "two",
                "s",
                each,
                self.fps,
                Path("v"),
                9,
                (Annotation("s", each, "micro", 1, 2, 3),),
            )
            for each in self.shown
        )
