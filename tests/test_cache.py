from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.cache import Arrays, FeatureCache, default_folder
from aumer.config import load_settings
from aumer.face import weights
from aumer.motion import analysis
from aumer.motion.analysis import cache_key

DEFAULT = load_settings().to_dict()


def some_arrays(seed: int = 0, rows: int = 40) -> Arrays:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 12, 2)).astype(np.float32)
    values[rows // 2] = np.nan
    return {
        "values": values,
        "times": np.arange(rows) / 30,
        "frames": np.arange(rows),
        "valid": np.isfinite(values).all(axis=(1, 2)),
        "rois": np.array(["brow_r", "mouth_l"]),
        "rate": np.array(30.0),
        "video": np.array('{"name": "é.mp4"}'),
    }


def same(a: Arrays | None, b: Arrays | None) -> bool:
    """Equal bit for bit, NaN included."""
    if a is None or b is None or a.keys() != b.keys():
        return False
    return all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes()
        for k in a
    )


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_what_is_finished_is_found_by_another_run(tmp_path: Path) -> None:
    FeatureCache(tmp_path, "key").finish(some_arrays())
    assert same(FeatureCache(tmp_path, "key").whole(), some_arrays())
    assert FeatureCache(tmp_path, "other").whole() is None
    assert FeatureCache(tmp_path / "elsewhere", "key").whole() is None


def test_nothing_is_made_before_there_is_something_to_keep(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "new", "key")
    assert cache.whole() is None
    assert cache.chunks() == 0
    assert not (tmp_path / "new").exists()
    cache.put(0, some_arrays())
    assert cache.chunks() == 1


def test_an_interrupted_run_finds_its_chunks(tmp_path: Path) -> None:
    first = FeatureCache(tmp_path, "key")
    for number in range(3):
        assert first.chunks() == number
        first.put(number, some_arrays(number))
    again = FeatureCache(str(tmp_path), "key")
    assert again.chunks() == 3
    assert again.whole() is None  # chunks are not the whole
    for number in range(3):
        assert same(again.get(number), some_arrays(number))
    assert FeatureCache(tmp_path, "other").chunks() == 0


def test_many_chunks_are_counted(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "key")
    for number in range(12):
        cache.put(number, {"a": np.array([number])})
    assert cache.chunks() == 12
    assert [int(cache.get(n)["a"][0]) for n in range(12)] == list(range(12))


def test_chunks_are_counted_up_to_the_first_that_is_missing(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "key")
    cache.put(0, some_arrays(0))
    cache.put(2, some_arrays(2))
    assert cache.chunks() == 1
    cache.put(1, some_arrays(1))
    assert cache.chunks() == 3


def test_finishing_leaves_one_file(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "key")
    other = FeatureCache(tmp_path, "other")
    other.put(0, some_arrays())
    for number in range(3):
        cache.put(number, some_arrays(number))
    cache.finish(some_arrays(9))
    assert files(tmp_path) == {"key.npz", str(Path("other.part") / "000000.npz")}
    assert cache.chunks() == 0
    assert same(cache.whole(), some_arrays(9))
    assert other.chunks() == 1


def test_finishing_again_replaces(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "key")
    cache.finish(some_arrays(1))
    cache.finish(some_arrays(2))
    assert same(cache.whole(), some_arrays(2))
    cache.put(0, some_arrays(3))
    cache.put(0, some_arrays(4))
    assert same(cache.get(0), some_arrays(4))


def test_without_a_folder_chunks_last_as_long_as_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUMER_CACHE", str(tmp_path))
    cache = FeatureCache(None, "key")
    for number in range(2):
        cache.put(number, some_arrays(number))
    assert same(cache.get(1), some_arrays(1))
    cache.finish(some_arrays())
    assert cache.whole() is None
    assert cache.chunks() == 0
    assert FeatureCache(None, "key").chunks() == 0
    assert files(tmp_path) == set()


# Damage


@pytest.fixture(params=["whole", "chunk"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    """A file of the cache, and how to read what the cache holds of it."""
    cache = FeatureCache(tmp_path, "key")
    arrays = some_arrays(rows=6)
    if request.param == "whole":
        cache.finish(arrays)
        path = tmp_path / "key.npz"

        def read() -> Arrays | None:
            return FeatureCache(tmp_path, "key").whole()
    else:
        cache.put(0, arrays)
        path = tmp_path / "key.part" / "000000.npz"

        def read() -> Arrays | None:  # type: ignore[no-redef]
            again = FeatureCache(tmp_path, "key")
            return again.get(0) if again.chunks() else None

    assert same(read(), arrays)
    return path, read


def test_a_file_cut_anywhere_is_absent(stored: tuple[Path, Any]) -> None:
    path, read = stored
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:size])
        assert read() is None, f"cut at {size} of {len(whole)}"


def test_a_file_with_a_wrong_byte_is_absent_unless_it_reads_the_same(
    stored: tuple[Path, Any],
) -> None:
    path, read = stored
    whole = path.read_bytes()
    directory = whole.index(b"PK\x01\x02")  # what follows are the zip's own entries
    absent = 0
    for at in range(0, directory, 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        found = read()
        assert found is None or same(found, some_arrays(rows=6)), f"byte {at} of {directory}"
        absent += found is None
    assert absent > 50


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\0" * 4096, b"PK\x03\x04" + b"\0" * 100, b"\x80\x04K\x01."],
    ids=["empty", "text", "zeros", "a zip's beginning", "a pickle"],
)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")  # nor left open
def test_a_file_of_something_else_is_absent(stored: tuple[Path, Any], content: bytes) -> None:
    path, read = stored
    path.write_bytes(content)
    assert read() is None


def test_a_blank_sector_is_damage(stored: tuple[Path, Any]) -> None:
    path, read = stored
    whole = bytearray(path.read_bytes())
    whole[300:812] = bytes(512)
    path.write_bytes(whole)
    assert read() is None


def test_nothing_in_a_cache_is_ever_executed(tmp_path: Path) -> None:
    """A cache folder may be shared; a pickled object in it must not be loaded."""
    np.savez(tmp_path / "key.npz", values=np.array([print], dtype=object))
    assert FeatureCache(tmp_path, "key").whole() is None


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "key")
    cache.finish(some_arrays(1))
    (tmp_path / "key.npz").write_bytes(b"damaged")
    cache.put(0, some_arrays(2))
    cache.put(1, some_arrays(3))
    (tmp_path / "key.part" / "000001.npz").write_bytes(b"damaged")
    assert cache.chunks() == 1
    cache.put(1, some_arrays(3))
    assert cache.chunks() == 2
    cache.finish(some_arrays(4))
    assert same(cache.whole(), some_arrays(4))


# A cache may slow a run down, never fail it


def test_what_another_run_removes_is_still_there(tmp_path: Path) -> None:
    FeatureCache(tmp_path, "key").put(0, some_arrays(0))
    slower = FeatureCache(tmp_path, "key")
    assert slower.chunks() == 1
    slower.put(1, some_arrays(1))
    FeatureCache(tmp_path, "key").finish(some_arrays(9))
    assert not (tmp_path / "key.part").exists()
    slower.put(2, some_arrays(2))
    for number in range(3):
        assert same(slower.get(number), some_arrays(number))
    slower.finish(some_arrays(9))
    assert files(tmp_path) == {"key.npz"}
    assert same(FeatureCache(tmp_path, "key").whole(), some_arrays(9))


def test_what_was_found_once_stays_for_whoever_found_it(tmp_path: Path) -> None:
    """Who has looked goes on from that: a film that is there need not be made, for instance."""
    FeatureCache(tmp_path, "key").finish(some_arrays())
    cache = FeatureCache(tmp_path, "key")
    assert same(cache.whole(), some_arrays())
    (tmp_path / "key.npz").unlink()
    assert same(cache.whole(), some_arrays())


def test_chunks_of_a_run_that_was_killed_late_do_not_stay(tmp_path: Path) -> None:
    FeatureCache(tmp_path, "key").finish(some_arrays())
    FeatureCache(tmp_path, "key").put(4, some_arrays())
    (tmp_path / "key.part" / ".aumer-0123.tmp").write_bytes(b"half")
    assert same(FeatureCache(tmp_path, "key").whole(), some_arrays())
    assert {p.name for p in tmp_path.iterdir()} == {"key.npz"}


def _taken(folder: Path, _: pytest.MonkeyPatch) -> Path:
    (folder / "taken").write_text("a file")
    return folder / "taken"


def _full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    return folder / "full"


def _full_in_the_middle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def save(file: Any, *_: Any, **__: Any) -> None:
        file.write(b"PK and so on")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("aumer.cache.write_arrays", save)
    return folder / "full"


def _read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def mkdir(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    return folder / "read-only"


def _no_rename(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kept = Path.replace

    def replace(self: Path, target: Any) -> Path:
        if self.name == "whole.npz":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return kept(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    return folder / "fixed"


@pytest.mark.parametrize("trouble", [_taken, _full, _full_in_the_middle, _read_only, _no_rename])
def test_a_folder_that_takes_nothing_is_told_once_and_the_run_goes_on(
    trouble: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = trouble(tmp_path, monkeypatch)
    cache = FeatureCache(folder, "key")
    for number in range(3):
        cache.put(number, some_arrays(number))
    for number in range(3):
        assert same(cache.get(number), some_arrays(number))
    cache.finish(some_arrays(9))
    assert cache.whole() is None
    (told,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert str(folder) in told
    assert not [name for name in files(tmp_path) if ".tmp" in name]
    if trouble in (_full, _full_in_the_middle):
        assert not (folder / "key.part").exists()


def test_a_swapped_file_is_made_anew(tmp_path: Path) -> None:
    one, other = FeatureCache(tmp_path, "one"), FeatureCache(tmp_path, "other")
    one.finish(some_arrays(1))
    other.finish(some_arrays(2))
    (tmp_path / "one.npz").replace(tmp_path / "other.npz")
    assert other.whole() is None
    one.put(0, some_arrays(0))
    one.put(1, some_arrays(1))
    (tmp_path / "one.part" / "000001.npz").replace(tmp_path / "one.part" / "000000.npz")
    assert FeatureCache(tmp_path, "one").chunks() == 0


@pytest.mark.parametrize("lacks", [*some_arrays(), "__holds__"])
def test_a_file_without_an_array_is_made_anew(stored: tuple[Path, Any], lacks: str) -> None:
    path, read = stored
    with np.load(path) as whole:
        arrays = {name: whole[name] for name in whole.files if name != lacks}
        assert len(arrays) == len(whole.files) - 1
    np.savez_compressed(path, **arrays)
    assert read() is None


_TOGETHER = """
import sys
import numpy as np
from aumer.cache import FeatureCache
for key in range(5):
    arrays = {"a": np.arange(4000) + key}
    cache = FeatureCache(sys.argv[1], str(key))
    kept = cache.whole()
    if kept is None:
        for number in range(cache.chunks(), 6):
            cache.put(number, {"a": arrays["a"] + number}, {"state": np.arange(9)})
        for number in range(6):
            assert (cache.get(number)["a"] == arrays["a"] + number).all()
        cache.finish(arrays)
        kept = arrays
    assert (kept["a"] == arrays["a"]).all()
"""


def test_many_processes_use_one_cache(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", _TOGETHER, str(tmp_path)]
    at_work = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in at_work:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert said == ""
    assert {p.name for p in tmp_path.iterdir()} == {f"{key}.npz" for key in range(5)}
    for key in range(5):
        kept = FeatureCache(tmp_path, str(key)).whole()
        assert kept is not None
        np.testing.assert_array_equal(kept["a"], np.arange(4000) + key)


def test_many_threads_use_one_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def work(_: int) -> bool:
        cache = FeatureCache(tmp_path, "key")
        for number in range(cache.chunks(), 4):
            cache.put(number, some_arrays(number))
        right = all(same(cache.get(n), some_arrays(n)) for n in range(4))
        cache.finish(some_arrays(9))
        return right

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(24)))
    assert {p.name for p in tmp_path.iterdir()} == {"key.npz"}
    assert same(FeatureCache(tmp_path, "key").whole(), some_arrays(9))
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_a_run_killed_while_writing_leaves_no_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FeatureCache(tmp_path, "key")
    cache.put(0, some_arrays(0))

    def half(file: Any, *_: Any, **__: Any) -> None:
        file.write(b"PK\x03\x04 and so on")
        raise KeyboardInterrupt

    monkeypatch.setattr("aumer.cache.write_arrays", half)
    with pytest.raises(KeyboardInterrupt):
        cache.put(1, some_arrays(1))
    with pytest.raises(KeyboardInterrupt):
        cache.finish(some_arrays(2))
    assert cache.chunks() == 1
    assert cache.whole() is None
    assert files(tmp_path) == {str(Path("key.part") / "000000.npz")}


# Where


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUMER_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    monkeypatch.delenv("AUMER_CACHE")
    assert default_folder().name == "aumer"
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert default_folder() == tmp_path / "xdg" / "aumer"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert default_folder() == Path.home() / ".cache" / "aumer"


def test_the_home_folder_may_be_abbreviated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    FeatureCache("~/features", "key").finish(some_arrays())
    assert files(tmp_path) == {str(Path("features") / "key.npz")}


# The key


def key(
    content: str = "abc",
    overrides: dict[str, dict[str, Any]] | None = None,
    start: float | None = None,
    end: float | None = None,
) -> str:
    return cache_key(content, load_settings(overrides=overrides), start, end)


def test_key_is_the_same_for_the_same() -> None:
    assert key() == key()
    assert key(overrides={"motion": {"rate": 30}}) == key()
    assert key().isalnum()  # it names a file


def another(name: str, value: Any) -> Any:
    """A value that the setting of that name may have as well."""
    some = {"follow": "left", "preset": "published"}  # which do not take any text
    if name in some:
        return some[name]
    if isinstance(value, bool):
        return not value
    return value + "-other" if isinstance(value, str) else type(value)(value * 0.9)


def test_key_changes_with_whatever_changes_the_features() -> None:
    keys = [
        key(),
        key("abd"),
        key(start=1.0),
        key(end=1.0),
        key(start=1.0, end=2.0),
        key(start=1.0, end=2.5),
    ]
    for section in ("face", "motion"):
        for name, value in DEFAULT[section].items():
            other = another(name, value)
            assert other != value
            keys.append(key(overrides={section: {name: other}}))
    assert len(set(keys)) == len(keys) == 6 + len(DEFAULT["face"]) + len(DEFAULT["motion"])


def test_key_does_not_change_with_the_spotters_constants() -> None:
    """Tuning them must not analyze every video again."""
    for name, value in DEFAULT["rules"].items():
        other = "high" if name == "sensitivity" else value * 0.9
        assert key(overrides={"rules": {name: other}}) == key()


def test_key_changes_with_the_version_of_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(analysis, "FEATURES_VERSION", analysis.FEATURES_VERSION + 1)
    assert key() != before
    monkeypatch.undo()
    for name, entry in weights.SHIPPED.items():
        with monkeypatch.context() as patch:
            patch.setitem(weights.SHIPPED, name, replace(entry, sha256="0" * 64))
            assert key() != before


@pytest.mark.parametrize(
    ("face", "library", "changes"),
    [
        ({}, "opencv-contrib-python", True),
        ({"detector": "mediapipe"}, "opencv-contrib-python", True),
        ({"detector": "mediapipe"}, "mediapipe", True),
        ({"landmarker": "mediapipe"}, "mediapipe", True),
        ({"detector": "mediapipe", "landmarker": "mediapipe"}, "mediapipe", True),
        ({}, "mediapipe", False),  # it need not even be installed
    ],
)
def test_key_changes_with_the_libraries_that_the_back_ends_run(
    face: dict[str, str], library: str, changes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for number in ("0.0", "0.1"):
        monkeypatch.setattr(analysis, "_version", lambda name, n=number: name == library and n)
        seen.add(key(overrides={"face": face}))
    assert (len(seen) == 2) is changes


def test_in_memory_only_the_last_state_is_kept(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        cache = FeatureCache(folder, "k")
        for number in range(3):
            cache.put(number, {"a": np.full(2, number)}, {"state": np.full(3, number)})
        for number in range(3):
            np.testing.assert_array_equal(cache.get(number)["a"], np.full(2, number))
            assert ("state" in cache.get(number)) == (number == 2)
        np.testing.assert_array_equal(cache.get(2)["state"], np.full(3, 2))
    again = FeatureCache(tmp_path, "k")
    assert again.chunks() == 3
    np.testing.assert_array_equal(again.get(2)["state"], np.full(3, 2))
