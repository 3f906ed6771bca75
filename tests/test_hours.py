"""Films of hours: what is lost by a kill, and that pieces give what the whole gives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import aumer
from aumer import cache as caches
from aumer import foreign
from aumer.cache import Arrays, FeatureCache, StageCache, parked, rested, roomy
from aumer.config import load_settings
from aumer.motion import analysis
from aumer.results import spot_result
from aumer.results.schema import compact, compact_text
from aumer.simulate.features import simulate_features
from aumer.spotting import decode, noise, stages
from aumer.spotting.interface import Spotted, resolve
from aumer.spotting.network import NetSpotter
from aumer.spotting.rules import RuleSpotter
from aumer.testing.moving_face import film, smile
from aumer.types import Features, runs

#: Frames that are kept together, at the most: ten seconds at 30 a second.
TEN_SECONDS = 300

_CHILD = """
import os, signal, sys, aumer
film, cache, told, at, how = sys.argv[1:]
def progress(done, estimate):
    with open(told, "a") as file:
        file.write(f"{done}\\n")
    if done == int(at):
        os.kill(os.getpid(), signal.Signals(int(how)))
aumer.spot(film, cache=cache, progress=progress, model="rules", workers=1)
"""


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 s at 15 frames a second, small: 340 frames, a piece of 300 and what is begun."""
    path = tmp_path_factory.mktemp("long") / "film.mp4"
    frames = film(np.arange(60) / 15, bumps=smile(1.0, 1.6, 2.4, px=4.0))
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*"mp4v"), 15, frames.shape[2:0:-1]
    )  # fmt: skip
    for number in range(340):
        lap = number % 118
        image = frames[lap if lap < 60 else 118 - lap]
        writer.write(np.ascontiguousarray(image[:, :, ::-1]))
    writer.release()
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_kill_costs_ten_seconds_of_work_at_most(long_film: Path, tmp_path: Path) -> None:
    """SIGKILL, and then Ctrl-C as it goes on: counted in frames that are analyzed again."""
    told = tmp_path / "told.txt"
    last: list[int] = []
    for at, how in ((325, signal.SIGKILL), (333, signal.SIGINT)):
        words = [str(long_film), str(tmp_path / "cache"), str(told), str(at), str(int(how))]
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, *words], capture_output=True, check=False
        )
        assert done.returncode, done.stderr.decode()[-300:]
        frames = [int(line) for line in told.read_text().split()]
        told.unlink()
        assert frames[-1] == at
        if last:
            assert 0 <= last[0] - frames[0] + 1 <= TEN_SECONDS
            assert frames[0] > 1  # it went on, and did not begin anew
        last = [frames[-1]]
    seen: list[int] = []
    found = aumer.spot(
        long_film,
        cache=tmp_path / "cache",
        model="rules",
        progress=lambda done, _: seen.append(done),
    )
    assert 0 <= last[0] - seen[0] + 1 <= TEN_SECONDS
    assert found == aumer.spot(long_film, model="rules")
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".npz"]


@pytest.mark.slow
def test_frames_are_not_decoded_again_to_be_joined(
    long_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the motion is joined and stored: the next run joins, and decodes nothing."""
    monkeypatch.setattr(analysis, "_LONG_CHUNKS", 0)
    whole = aumer.spot(long_film, model="rules")

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(FeatureCache, "finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            aumer.spot(long_film, model="rules", cache=tmp_path)

    def decoded(done: int, estimate: int | None) -> None:
        raise AssertionError(f"frame {done} was decoded again")

    (end,) = tmp_path.rglob("end.npz")
    again = aumer.spot(long_film, model="rules", cache=tmp_path, progress=decoded)
    assert again == whole
    assert again.features is not None and whole.features is not None
    for name in ("values", "times", "frames", "confidence", "eyelids", "head"):
        np.testing.assert_array_equal(
            getattr(again.features, name), getattr(whole.features, name), err_msg=name
        )
    assert not end.exists()


def chunk(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=(30, 68, 2)).astype(np.float32), "numbers": np.array([1, seed])}


@pytest.mark.parametrize("folder", [True, False])
def test_chunks_beyond_what_memory_holds_are_the_same(
    folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "_IN_MEMORY", 40_000)  # two of them
    cache = FeatureCache(tmp_path if folder else None, "key")
    for number in range(6):
        cache.put(number, chunk(number), {"state": np.array([number])})
    held: Any = cache._held
    assert sorted(held._memory) == [0, 1]
    for number in range(6):
        found = cache.get(number)
        assert (found["a"] == chunk(number)["a"]).all()
        assert found["numbers"].tolist() == [1, number]
        assert ("state" in found) == (number == 5)
    if folder:
        again = FeatureCache(tmp_path, "key")
        assert again.chunks() == 6
        assert (again.get(4)["a"] == chunk(4)["a"]).all()
        # What another run that has finished takes away is there all the same.
        FeatureCache(tmp_path, "key").finish(chunk(9))
        assert (again.get(5)["a"] == chunk(5)["a"]).all()


def test_chunks_stay_in_memory_where_no_file_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError("no room")

    monkeypatch.setattr(caches, "_IN_MEMORY", 0)
    monkeypatch.setattr(caches.tempfile, "TemporaryFile", full)
    cache = FeatureCache(None, None)
    cache.put(0, chunk(0))
    assert (cache.get(0)["a"] == chunk(0)["a"]).all()
    monkeypatch.setattr(caches, "_WORTH_PARKING", 0)
    array = chunk(0)["a"]
    assert parked(array) is array


def test_an_array_that_is_parked_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    array = chunk(1)["a"]
    assert parked(array) is array  # too small to be worth it
    monkeypatch.setattr(caches, "_WORTH_PARKING", 0)
    other = parked(array)
    assert other is not array and not other.flags.writeable
    assert (other == array).all()
    rested(other)
    rested(array)
    assert (other[3:9] == array[3:9]).all()


def test_an_array_that_is_filled_in_a_file_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    array = chunk(1)["a"]
    assert roomy(array.shape, array.dtype).base is None  # too small to be worth it
    monkeypatch.setattr(caches, "_WORTH_PARKING", 0)
    other = roomy(array.shape, array.dtype)
    for begin in range(0, len(array), 7):
        other[begin : begin + 7] = array[begin : begin + 7]
        rested(other)
    assert (other == array).all()
    assert not parked(other).flags.writeable


def test_arrays_are_written_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_AT_ONCE", 1000)
    arrays = {
        "a": chunk(1)["a"],
        "face": chunk(1)["a"][None],
        "every_other": chunk(1)["a"][::2],
        "column": chunk(1)["a"][..., 1],
        "text": np.array("a text"),
        "none": np.empty((0, 3)),
        "flags": np.arange(5000) % 3 == 0,
    }
    seen = 0

    def count(array: np.ndarray) -> None:
        nonlocal seen
        seen += 1

    with (tmp_path / "a.npz").open("wb") as file:
        foreign.write_arrays(file, arrays.items(), written=count)
    assert seen > 30
    for found in (foreign.read_arrays(tmp_path / "a.npz", "arrays"), np.load(tmp_path / "a.npz")):
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        stored = {m.filename for m in archive.infolist() if m.compress_type == zipfile.ZIP_STORED}
    assert stored == {"a.npy", "face.npy", "every_other.npy", "column.npy"}  # noise stays as large


@pytest.fixture(scope="module")
def minutes() -> Features:
    """Three of a simulated face, with a gap in the middle."""
    (video,) = simulate_features(1, minutes=3.0, seed=5)
    features = video.features
    valid = features.valid.copy()
    valid[2000:2010] = False
    values = features.values.copy()
    values[~valid] = np.nan
    confidence = features.confidence * valid[:, None]
    return replace(features, values=values, valid=valid, confidence=confidence)


def test_spotting_in_pieces_is_spotting(minutes: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    model = resolve("combined", load_settings())
    scores, whole = model(minutes)
    assert len(whole) >= 5
    monkeypatch.setattr(decode, "_TOGETHER", 7)
    monkeypatch.setattr(noise, "_ADDED", 256)
    monkeypatch.setattr(noise, "_AT_ONCE", 5000)  # less than the runs have: one movement at a time
    again, pieces = model(minutes)
    assert [(e.kind, e.onset, e.apex, e.offset) for e in whole] == [
        (e.kind, e.onset, e.apex, e.offset) for e in pieces
    ]
    np.testing.assert_allclose(
        [(e.score, e.peak or 0) for e in whole], [(e.score, e.peak or 0) for e in pieces], rtol=1e-9
    )
    np.testing.assert_allclose(scores.values, again.values, atol=1e-6)


def test_runs_of_one_length_are_spotted_as_each_alone(minutes: Features) -> None:
    """Many short runs, some of equal length: bit by bit what each is by itself."""
    valid = minutes.valid.copy()
    valid[np.array([0, 300, 600, 850, 1100, 1101, 1103, 1400, 2900])] = False
    spotter = resolve("rules", load_settings())

    def of(valid: np.ndarray) -> Features:
        values = minutes.values.copy()
        values[~valid] = np.nan
        known = minutes.confidence * valid[:, None]
        return replace(minutes, values=values, valid=valid, confidence=known)

    scores, found = spotter(of(valid))
    alone = []
    for begin, end in runs(valid):
        mine = np.zeros(len(valid), bool)
        mine[begin:end] = True
        own, expressions = spotter(of(mine))
        np.testing.assert_array_equal(own.values[begin:end], scores.values[begin:end])
        alone += expressions
    assert len(found) > 3
    assert found == tuple(sorted(alone, key=lambda e: (e.onset, e.offset)))


def test_the_noise_of_a_face_is_computed_once(
    minutes: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    kept = noise.FaceMovements.__init__

    def count(self: noise.FaceMovements, *arguments: Any) -> None:
        made.append(1)
        kept(self, *arguments)

    monkeypatch.setattr(noise.FaceMovements, "__init__", count)
    aumer.spot(minutes)
    assert len(made) == 1
    with noise.computed_once():
        first = noise.movements_of(minutes, load_settings().rules)
        assert noise.movements_of(minutes, load_settings().rules) is first
        other = load_settings(overrides={"rules": {"trust": 0.1}}).rules
        assert noise.movements_of(minutes, other) is not first
    assert noise.movements_of(minutes, load_settings().rules) is not first  # nothing is kept


# What the stages after the motion have given


class Noted(StageCache):
    """Says what it is asked for, and raises after it has stored so many."""

    def __init__(self, folder: Path, most: int = 100) -> None:
        super().__init__(folder, "key")
        self.most = most
        self.read: list[str] = []
        self.made: list[str] = []

    def get(self, name: str) -> Arrays | None:
        found = super().get(name)
        if found is not None:
            self.read.append(name)
        return found

    def put(self, name: str, arrays: Arrays) -> None:
        if len(self.made) == self.most:
            raise KeyboardInterrupt
        super().put(name, arrays)
        self.made.append(name)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three minutes are long."""
    monkeypatch.setattr(stages, "LONG_ROWS", 1000)
    monkeypatch.setattr(stages, "PART_ROWS", 2000)


def decided(store: StageCache | None, features: Features, **changes: Any) -> Spotted:
    model = resolve("combined", load_settings(overrides=changes))
    with stages.kept_in(store):
        return model(features)


def assert_same(a: Spotted, b: Spotted) -> None:
    assert a[1] == b[1]
    assert a[0].values.tobytes() == b[0].values.tobytes()
    assert a[0].channels == b[0].channels


@pytest.mark.usefixtures("long")
def test_a_run_goes_on_after_the_last_stage(minutes: Features, tmp_path: Path) -> None:
    """Stopped after every stage in turn: none is computed again, and the result is the same."""
    usual = decided(None, minutes)
    assert len(usual[1]) >= 5
    made: list[str] = []
    for _ in range(20):
        store = Noted(tmp_path, most=1)
        try:
            found = decided(store, minutes)
        except KeyboardInterrupt:
            made += store.made
            continue
        break
    made += store.made
    # Two parts of the scores, the decoder's two kinds, two parts of the rules and all of them, the
    # judge.
    assert len(made) == len(set(made)) == 8
    assert_same(found, usual)
    again = Noted(tmp_path)
    assert_same(decided(again, minutes), usual)
    assert not again.made and len(again.read) == 6  # no parts of the rules
    assert len(list((tmp_path / "key.stages").iterdir())) == 6


_DECIDES = """
import os, signal, sys
from pathlib import Path
from aumer.cache import StageCache
from aumer.config import load_settings
from aumer.simulate.features import simulate_features
from aumer.spotting import stages
from aumer.spotting.interface import resolve
stages.LONG_ROWS, stages.PART_ROWS = 1000, 2000
put, left = StageCache.put, [int(sys.argv[2])]
def counted(self, name, arrays):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, name, arrays)
    print(name, flush=True)
StageCache.put = counted
(video,) = simulate_features(1, minutes=3.0, seed=5)
with stages.kept_in(StageCache(Path(sys.argv[1]), "key")):
    resolve("combined", load_settings())(video.features)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("long")
@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_kill_among_the_stages_costs_one_of_them(tmp_path: Path) -> None:
    """SIGKILL in another process, and what this one makes of what that one has left."""
    done = subprocess.run(
        [sys.executable, "-c", _DECIDES, str(tmp_path), "3"], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-300:]
    (video,) = simulate_features(1, minutes=3.0, seed=5)
    store = Noted(tmp_path)
    found = decided(store, video.features)
    assert store.read == done.stdout.decode().split()
    assert len(store.read) == 3 and len(store.made) == 5
    assert_same(found, decided(None, video.features))


@pytest.mark.usefixtures("long")
def test_nothing_stale_is_taken(
    minutes: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After other settings, other motion, other code: what does not depend on it, and no more."""
    first = Noted(tmp_path)
    decided(first, minutes)
    other = {"rules": {"min_height": 0.01}}
    store = Noted(tmp_path)
    assert_same(decided(store, minutes, **other), decided(None, minutes, **other))
    assert store.read == first.made[:4]  # scores and decoder
    assert not set(store.made) & set(first.made)

    values = minutes.values.copy()
    values[100, 3, 1] += 0.01
    moved = replace(minutes, values=values)
    store = Noted(tmp_path)
    assert_same(decided(store, moved), decided(None, moved))
    assert not store.read

    monkeypatch.setattr(stages, "_made_by", lambda: {"code": "other"})
    store = Noted(tmp_path)
    decided(store, moved)
    assert not store.read and len(store.made) == 8


@pytest.mark.usefixtures("long")
def test_a_damaged_stage_is_made_anew(
    minutes: Features, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual = decided(Noted(tmp_path), minutes)
    paths = sorted((tmp_path / "key.stages").iterdir())
    for path in paths:
        path.write_bytes(path.read_bytes()[:-40])
    store = Noted(tmp_path)
    with caplog.at_level("INFO", logger="aumer"):
        assert_same(decided(store, minutes), usual)
    assert len(store.made) == len(paths) and not store.read
    assert sum("is made anew" in r.getMessage() for r in caplog.records) == len(paths)
    # One that was put in another's place is none of its own.
    paths[0].write_bytes(paths[1].read_bytes())
    assert_same(decided(Noted(tmp_path), minutes), usual)


def test_stages_of_short_videos_and_of_own_parts_are_not_kept(
    minutes: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(Noted(tmp_path), minutes)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(stages, "LONG_ROWS", 1000)

    class Mine(RuleSpotter):
        pass

    store = Noted(tmp_path)
    with stages.kept_in(store):
        found = Mine.from_settings(load_settings())(minutes)
    assert not store.made
    assert found[1] == resolve("rules", load_settings())(minutes)[1]

    class MyLayer(torch.nn.Identity):
        """A layer inside a network of aumer's: its weights say nothing of its code."""

    network = NetSpotter.from_settings(load_settings())
    with stages.kept_in(store):
        scores = network.scores(minutes)
    assert store.made
    store = Noted(tmp_path)
    network.net.add_module("mine", MyLayer())
    with stages.kept_in(store):
        again = network.scores(minutes)
    assert not store.made and not store.read
    assert again.values.tobytes() == scores.values.tobytes()


@pytest.mark.usefixtures("long")
def test_where_nothing_can_be_kept_the_run_goes_on(
    minutes: Features, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "key.stages").write_text("a file where the folder should be")
    with caplog.at_level("WARNING", logger="aumer"):
        assert_same(decided(Noted(tmp_path), minutes), decided(None, minutes))
    assert sum("cannot be kept" in r.getMessage() for r in caplog.records) == 1


def test_numbers_are_written_as_json_writes_them() -> None:
    rng = np.random.default_rng(0)
    odd = [0, -0.0, 1, 1e-4, 9.9e-5, np.nan, 1e15, 1e16, 123456789, 3.0e-45, 3.4e38, 0.1, 0.01]
    short = [k / 10**d for d in range(1, 7) for k in (1, 3, 9, 10**d - 1)]
    values = np.concatenate(
        [
            rng.random(100_000),
            10 ** rng.uniform(-12, 9, 5000),
            10 ** rng.uniform(-4, 0, 50_000),
            rng.integers(0, 1000, 5000) / 1000,
            -rng.random(50),
            0.5 ** np.arange(20),
            short,
            np.nextafter(np.array(short, np.float32), np.float32(1)),
            odd,
        ]
    ).astype(np.float32)
    assert compact_text(values) == json.dumps(compact(values), separators=(",", ":"))[1:-1]


def test_json_in_pieces_is_json(minutes: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    result = aumer.spot(minutes, model="rules")
    whole = result.to_json()
    assert aumer.SpotResult.from_json(whole) == result
    monkeypatch.setattr(spot_result, "_AT_ONCE", 11)
    assert result.to_json() == whole
