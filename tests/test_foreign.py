"""Bytes, names and numbers that others made: each is an error in one line, or is taken."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer import strict
from aumer.bench.store import Store, read_fold
from aumer.config import load_settings
from aumer.data.own import Own
from aumer.errors import AumerError, ConfigError, UsageError, WeightsError
from aumer.foreign import check_archive, foreign, named, read_arrays, read_json, reason, shown
from aumer.graph import AUGraph, au
from aumer.names import FileNames, expanded, file_name, inside, is_file, is_folder, name_of
from aumer.results import Prediction, SpotResult
from aumer.results.motion import load_features
from aumer.simulate.features import read_features, simulate_features, write_features
from aumer.spotting.decode import Decoder
from aumer.spotting.judge import Judge
from aumer.tables import cells, intervals
from aumer.training.videos import read_folder
from aumer.types import MAX_RATE, Features
from aumer.video import open_video
from aumer.weights import ArrayFormat

ROOT = Path(__file__).parents[1]

# -- whatever a parser raises ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RecursionError("maximum recursion depth"), "nested too deep"),
        (MemoryError(), "more memory"),
        (KeyError("x"), "'x' is missing"),
        (OverflowError("int too large"), "int too large"),
        (AttributeError("no attribute 'get'"), r"made in another way \(AttributeError"),
        (RuntimeError("a\nb\x1b[31m"), "a b\ufffd\\[31m"),
        (FileNotFoundError(2, "No such file"), "No such file"),
        (AssertionError(), r"\(AssertionError\)"),
    ],
)
def test_whatever_is_raised_is_one_line_that_names_the_file(error: Exception, said: str) -> None:
    match = rf"^cannot read a thing from a\.x: .*{said}"
    with (
        pytest.raises(WeightsError, match=match) as found,
        foreign("a.x", "a thing", WeightsError, "Do this."),
    ):
        raise error
    assert "\n" not in str(found.value) and str(found.value).endswith(". Do this.")
    assert found.value.__cause__ is error


def test_an_interrupt_and_an_error_that_names_the_file_pass() -> None:
    with pytest.raises(KeyboardInterrupt), foreign("a.x", "a thing"):
        raise KeyboardInterrupt
    with pytest.raises(UsageError, match=r"^a\.x is bad$"), foreign("a.x", "a thing"):
        raise UsageError("a.x is bad")
    with pytest.raises(ConfigError, match=r"^a\.x: bad$"), named("a.x"):
        raise ConfigError("bad")
    with pytest.raises(ZeroDivisionError), named("a.x"):  # a slip of our own is not hidden
        _ = 1 / 0


def test_reasons_are_short_and_show_nothing_that_steers_a_terminal() -> None:
    assert len(reason(ValueError("x" * 10_000_000))) < 400
    assert shown("a\nb\x1b[2J张.mp4") == "a\ufffdb\ufffd[2J张.mp4"


DEEP = b"[" * 100_000
DIGITS = b"9" * 5_000
READERS: dict[str, Callable[[Path], object]] = {
    ".toml": load_settings,
    ".json": SpotResult.load,
    "graph.json": AUGraph.load,
    "table.json": intervals.read,
    "prediction.json": Prediction.load,
    "judge.json": Judge.load,
    "fold.json": lambda path: read_fold(path, dict),
    ".csv": intervals.read,
    ".xlsx": cells.sheets,
    ".npz": load_features,
    "simulated.npz": read_features,
    ".npy": AUGraph.load,
    ".safetensors": ArrayFormat("x", "x", "x").read,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff\xfe\x00", b"caf\xe9\n", DEEP, b'{"format": ' + DEEP, b"x = " + DEEP),
        *(DIGITS, b'{"a": %s}' % DIGITS, b"x = %s" % DIGITS, b"PK\3\4" + b"\0" * 99),
        *(b"a" * 200_000, b'sep="\na"b', b"[]", b"7", b"null", b'{"format": {}, "rois": 7}'),
        *(b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'shape': (9,)}", b"\xff" * 64, b"\0" * 64),
    ],
)
def test_a_file_of_anything_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / f"x{name}"
    path.write_bytes(content)
    if name == ".toml" and not content:
        return  # no settings are changed
    with pytest.raises(AumerError) as found:
        READERS[name](path)
    assert path.name in str(found.value)
    assert "\x1b" not in str(found.value) and "allow_pickle" not in str(found.value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("given", ["~nobody/x", "x" * 300, "x\0y", "no/such/place"])
def test_a_path_that_no_file_has_is_refused(name: str, given: str) -> None:
    with pytest.raises(AumerError):
        READERS[name](Path(given + name))


def test_deep_brackets_of_action_units_are_no_code() -> None:
    for text in ("(" * 50_000 + "4", "ref(" * 5_000 + "4", "ref " * 50_000 + "4", "L(" * 9_000):
        au.read(text)
    assert au.read("(" * 30 + "4" + ")" * 30).unread[0][1] == "too many brackets within brackets"
    assert au.read("((4)) + ref ref 7").units[-1].reflected


@pytest.mark.parametrize("text", ["a=" + "[" * 50_000, "a=[" + "9" * 5_000 + "]"])
def test_endless_values_of_an_assignment(text: str) -> None:
    with pytest.raises(ConfigError, match="not a TOML value"):
        strict.assignment(text)


# -- archives and arrays --------------------------------------------------------------------------


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def test_an_archive_that_would_unpack_to_absurd_sizes_is_refused_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "x.npz", a=b"\0" * (100 << 20))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it was unpacked"))
    for read in (load_features, read_features):
        with pytest.raises(UsageError, match=r"x\.npz: .*taken for a trap"):
            read(path)
    path.rename(tmp_path / "x.xlsx")
    with pytest.raises(UsageError, match=r"x\.xlsx: .*taken for a trap"):
        cells.sheets(tmp_path / "x.xlsx")


def test_an_array_that_is_shorter_than_it_says(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 80
    with pytest.raises(UsageError, match=r"x\.npz: a\.npy is shorter than it says"):
        read_arrays(archive(tmp_path / "x.npz", a=content), "features")


def test_arrays_that_are_whole_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    made = {"a": np.arange(6.0).reshape(2, 3, order="F"), "b": np.array("x"), "c": np.zeros(0, "?")}
    np.savez_compressed(tmp_path / "x.npz", **made)
    found = read_arrays(tmp_path / "x.npz", "features")
    assert found.keys() == made.keys()
    assert all(np.array_equal(found[k], v) and found[k].dtype == v.dtype for k, v in made.items())


def test_a_year_without_a_face_is_no_trap(tmp_path: Path) -> None:
    """Rows of NaN shrink as nothing else does."""
    rows = 30 * 3600
    np.savez_compressed(
        tmp_path / "x.npz",
        times=np.arange(rows) / 30,
        frames=np.arange(rows),
        landmarks=np.full((rows, 68, 2), np.nan, np.float32),
    )
    with (tmp_path / "x.npz").open("rb") as file:
        check_archive(file)


def test_a_workbook_with_one_cell_in_its_last_row(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["file", "kind", "onset"])
    book.active.append(["a.mp4", "micro", 3])
    book.active["A1048576"].number_format = "0.00"  # blank, but there
    book.save(tmp_path / "x.xlsx")
    (sheet,) = cells.sheets(tmp_path / "x.xlsx")
    assert list(sheet.lines) == [["file", "kind", "onset"], ["a.mp4", "micro", 3]]
    book.active["C5"] = 7
    book.save(tmp_path / "x.xlsx")
    (sheet,) = cells.sheets(tmp_path / "x.xlsx")
    assert [len(line) for line in sheet.lines] == [3, 3, 0, 0, 3]


# -- numbers --------------------------------------------------------------------------------------


def test_no_setting_is_endless() -> None:
    """Of every number there is one that is too small or too large."""
    plain = load_settings().to_dict()
    for section, values in plain.items():
        for name, value in values.items():
            if isinstance(value, (bool, str)):
                continue
            for absurd in (1e10, 10**9, 1e308):
                given = absurd if isinstance(value, float) else int(absurd)
                with pytest.raises(ConfigError, match=rf"^overrides: {section}\.{name}"):
                    load_settings(overrides={section: {name: given}})


@pytest.mark.parametrize("name", ["smooth_s", "noise_s", "min_s", "max_s", "min_height"])
def test_what_is_divided_by_is_no_denormal(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings(overrides={"rules": {name: 1e-320}})


def test_a_file_of_settings_out_of_range_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[face]\nrestart_s = 1e308\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: face\.restart_s must be from 1 to 86400"):
        load_settings(tmp_path / "mine.toml")


def test_settings_of_weights_have_ends() -> None:
    with pytest.raises(ConfigError, match="boundaries must be from 1 to 1000"):
        Decoder(boundaries=1_000_000_000)
    with pytest.raises(ConfigError, match=r"0\.001 to 3600"):
        Decoder(micro=replace(Decoder().micro, smooth_s=1e-320))


@pytest.mark.parametrize("fps", [1e-9, 1e300, float("nan"), float("inf"), 0, -1, "30", True])
def test_rates_that_no_camera_has(fps: Any) -> None:
    with pytest.raises(UsageError, match="fps must be a number"):
        open_video(np.zeros((3, 8, 8, 3), np.uint8), fps=fps)


def test_features_are_checked_when_they_are_made() -> None:
    n, rois = 4, ("a",)
    good: dict[str, Any] = {
        "values": np.zeros((n, 1, 2), np.float32),
        "times": np.arange(n) / 30,
        "frames": np.arange(n),
        "valid": np.ones(n, bool),
        "rois": rois,
        "rate": 30.0,
    }
    Features(**good)
    for wrong in (
        *({"rate": r} for r in (0.0, -1.0, float("nan"), float("inf"), 2 * MAX_RATE)),
        *({"times": np.array(t)} for t in ([0, 1, 0.5, 2], [0, 1, np.nan, 2], [0, 1, 2, np.inf])),
        *({"eye_distance": d} for d in (0.0, float("nan"))),
    ):
        with pytest.raises(ValueError, match=f"Features: {next(iter(wrong))}"):
            Features(**{**good, **wrong})


# -- names ----------------------------------------------------------------------------------------

NAMES = (
    *("s 1", "s_1", "a/b", "a_b", "a\\b", "张", "李", "", ".", "..", "_", "a.", "a", "A", "%41"),
    *("anna", "Anna", "ANNA", "con", "con.txt", "CON", "x" * 300, "x" * 301, "x\0", "\udc80"),
    *("é", "e\u0301", "a~1", "a%7E1", " a", "a ", "-a", "~", "~1", "nul", "aux.json"),
)


def test_different_names_are_different_files() -> None:
    made = [file_name(name) for name in NAMES]
    assert len({one.lower() for one in made}) == len(NAMES)
    for one in made:
        assert one.isascii() and 0 < len(one) <= 100
        assert not set(one) & set('/\\:*?"<>|\0')
        assert one[0] not in ".- " and one[-1] not in ". "


@pytest.mark.parametrize(
    "name", ["s15", "15_0101disgustingteeth", "006_1_2", "casme2-sub01", "a.b"]
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert file_name(name) == name


def test_in_a_folder_names_are_marked_only_where_they_would_meet(tmp_path: Path) -> None:
    files = FileNames(tmp_path)
    made = [files(name, ".npz") for name in ("Anna", "Bo", "anna", "ANNA", "S_1")]
    assert made == ["Anna.npz", "Bo.npz", "anna~0.npz", "ANNA~f.npz", "S_1.npz"]
    assert [files(name, ".npz") for name in ("anna", "Anna")] == ["anna~0.npz", "Anna.npz"]
    files = FileNames(tmp_path)
    made = [files(name) for name in (*NAMES, *reversed(NAMES))]
    assert len({one.lower() for one in made}) == len(NAMES)
    assert made[: len(NAMES)] == made[: len(NAMES) - 1 : -1]


def test_what_is_there_keeps_its_name_whatever_comes_later(tmp_path: Path) -> None:
    for there in ("Anna.json", "Bo~1.json"):  # the second as it always was, before
        (tmp_path / there).touch()
    for name, file in (("anna", "anna~0.json"), ("Anna", "Anna.json"), ("Bo", "Bo~1.json")):
        assert FileNames(tmp_path)(name, ".json") == file
        (tmp_path / file).touch()
    assert FileNames(tmp_path)("anna", ".json") == "anna~0.json"


def test_names_are_read_back(tmp_path: Path) -> None:
    files = FileNames(tmp_path)
    for name in NAMES:
        if len(name) < 100 and name != "\udc80":
            assert name_of(files(name)) == name
    for name in NAMES:
        if len(name) < 100 and name != "\udc80":
            assert name_of(file_name(name)) == name
    for file in ("50%41", "Anna", "a%zz"):  # made by hand
        assert name_of(file) == file


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/abs/x", "C:\\x", "C:x", "\\\\host\\x", "..\\x", "x\0", ".."]
)
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="must lie in"):
        inside(tmp_path, name)


def test_a_link_that_leads_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to(root)
    with pytest.raises(UsageError, match="must lie in"):
        inside(root, "out/x")
    assert inside(root, "out/x", links=True) == root / "out/x"  # its owner's own
    assert inside(root, "in/x/y.npz") == root / "in/x/y.npz"


def test_users_and_names_that_there_are_not() -> None:
    assert expanded("~nobody-there/x") == Path("~nobody-there/x")
    assert expanded("~") == Path.home()
    assert not is_file("x" * 300) and not is_folder("x\0")


def test_simulated_videos_stay_in_their_folder(tmp_path: Path) -> None:
    (video,) = simulate_features(1, minutes=0.05)
    pairs = (("../../evil", "/abs/x"), ("s 1", "a/b"), ("s_1", "a_b"), ("张", "李"), ("李", "张"))
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    files = write_features(folder, [replace(video, subject=s, name=n) for s, n in pairs])
    assert len(set(files)) == len(pairs) + 1
    assert all(file.resolve().is_relative_to(folder) for file in files)
    assert {p.name for p in tmp_path.iterdir()} == {"deep"}
    found = read_folder(folder)
    assert {(one.subject, one.name) for one in found} == set(pairs)
    long = [replace(video, subject="s" * 150, name="v" * 150)]
    write_features(tmp_path / "long", long)
    assert len(read_folder(tmp_path / "long")) == 1


def test_a_table_names_no_video_outside_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (root / "table.csv").write_text("file,kind,onset_s,offset_s\n../secret.mp4,micro,0.1,0.3\n")
    with pytest.raises(UsageError, match=r"secret\.mp4' must lie in"):
        Own.from_root(root)


def fold(store: Store, name: str) -> dict[str, Any]:
    return {"format": "aumer-bench-fold/1", "fold": name, "seed": 0, "depends": {"run": "r"}}


def test_folds_of_like_names_do_not_meet(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = ("张", "李", "s 1", "S_1", "s_1", "Anna")
    for name in names:
        store.write_fold(fold(store, name))
    for name in names:
        assert store.stale(0, name, {"run": "r"}) == ""
        assert store.finished(0, name, "r", lambda v: v["fold"]) == name
    assert store.stale(0, "王", {"run": "r"}) is None
    assert {"S_1.json", "s_1~0.json", "Anna.json"} < {
        p.name for p in (tmp_path / "seed-0").iterdir()
    }


def test_a_fold_of_before_is_found_by_whose_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_fold(fold(store, "s 1"))
    written = store.fold_path(0, "s 1")
    written.rename(written.with_name("s_1.json"))  # as the rule of before had it
    assert store.finished(0, "s 1", "r", lambda v: v["fold"]) == "s 1"
    assert store.stale(0, "s+1", {"run": "r"}) is None  # not that one's
    store.write_fold(fold(store, "s 1"))  # in its place, and no second one
    assert [p.name for p in written.parent.iterdir()] == ["s_1.json"]


# -- what is shown --------------------------------------------------------------------------------


def test_cells_that_begin_like_formulas_read_back(tmp_path: Path) -> None:
    texts = ["=1+1", "@x", "-1.5", "+3", "-x", "'=x", "'x", "a=b", "", "''+1"]
    written = cells.csv_line([*texts, -2.5, None])
    assert written[:5] == ["'=1+1", "'@x", "-1.5", "+3", "'-x"]
    assert written[-2:] == [-2.5, None]
    import csv

    file = io.StringIO()
    csv.writer(file).writerow(["h"] * len(texts))
    csv.writer(file).writerow(cells.csv_line(texts))
    (tmp_path / "x.csv").write_text(file.getvalue())
    (sheet,) = cells.sheets(tmp_path / "x.csv")
    assert list(sheet.lines[1]) == texts


def test_an_image_whose_name_is_a_pattern_reads_no_other_files(tmp_path: Path) -> None:
    import cv2

    for name in ("f001.png", "f002.png", "f%03d.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(AumerError, match="pattern of other files"):
        open_video(tmp_path / "f%03d.png")


@pytest.mark.parametrize("number", [10**9, 10**20])
def test_cameras_that_no_machine_has(number: int) -> None:
    with pytest.raises(UsageError, match="at most it is 9999"):
        open_video(number)


def test_the_fuzzer_finds_nothing() -> None:
    """A few cases of each kind; the long run is a command."""
    if not (ROOT / "benchmarks" / "studies" / "robustness.py").is_file():
        pytest.skip("no checkout")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.studies.robustness", "--cases", "200", "--seed", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(" tried, 0 failed")


def test_json_is_read_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([1]))
    assert read_json(tmp_path / "x.json", "a list") == [1]
