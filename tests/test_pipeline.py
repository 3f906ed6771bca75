"""From film to expressions: what must hold of the whole, on a real face in known motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

import aumer
from aumer import registry
from aumer.config import load_settings
from aumer.errors import NoFaceError, NoMotionError, UsageError, WeightsError
from aumer.face.track import FaceTracker
from aumer.motion import analysis
from aumer.testing.moving_face import Bump, brow_raise, film, smile
from aumer.types import Interval

#: The face with little round it: quick to film and to search.
WINDOW = (130, 20, 320, 210)
SMILE_S, BROW_S = (1.0, 1.35, 2.0), (2.6, 2.75, 2.95)
LENGTH_S = 3.6


@lru_cache(maxsize=8)
def performance(fps: int = 30, scale: float = 1.5) -> npt.NDArray[np.uint8]:
    """A slow smile, then a quick raise of the brows."""
    times = np.arange(round(LENGTH_S * fps)) / fps
    bumps = smile(*SMILE_S, px=4.0) + brow_raise(*BROW_S)
    return film(times, bumps=bumps, scale=scale, window=WINDOW, noise=1.0)


@lru_cache(maxsize=1)
def result() -> aumer.SpotResult:
    return aumer.spot(performance(), fps=30)


def same(a: aumer.SpotResult, b: aumer.SpotResult) -> None:
    """Equal to the last bit: features, track, scores and expressions."""
    assert a.features is not None and b.features is not None
    assert a.track is not None and b.track is not None
    np.testing.assert_array_equal(a.features.values, b.features.values)
    np.testing.assert_array_equal(a.features.frames, b.features.frames)
    np.testing.assert_array_equal(a.track.landmarks, b.track.landmarks)
    np.testing.assert_array_equal(a.scores.values, b.scores.values)
    assert a.expressions == b.expressions


def write_folder(frames: npt.NDArray[np.uint8], folder: Path) -> Path:
    folder.mkdir()
    for k, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"img_{k}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder


def magnitude(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    features = analysis.analyze(frames, load_settings(), fps=30).features
    assert features.valid.all()
    return np.hypot(features.values[..., 0], features.values[..., 1]).astype(np.float64)


# ------------------------------------------------------------------------------ what is found


def test_finds_a_smile_and_a_brow_raise_with_their_kinds() -> None:
    found = result().expressions
    assert [e.kind for e in found] == ["macro", "micro"]
    for e, (onset, apex, offset) in zip(found, (SMILE_S, BROW_S), strict=True):
        assert e.interval.iou(Interval(round(onset * 30), round(offset * 30))) > 0.8
        assert abs(e.apex_s - apex) <= 0.1
    assert result().coverage == 1.0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_still_face_has_no_expression(seed: int) -> None:
    frames = film(np.arange(75) / 30, scale=1.5, window=WINDOW, noise=2.0, seed=seed)
    assert aumer.spot(frames, fps=30).expressions == ()


def test_a_blink_is_no_expression() -> None:
    def lids(t: float) -> float:
        return float(np.exp(-(((t - 1.2) / 0.06) ** 2)))

    bumps = tuple(Bump(eye, (0.0, 5.0), lids, 5.0) for eye in ((205.0, 100.0), (244.0, 102.0)))
    frames = film(np.arange(75) / 30, bumps=bumps, scale=1.5, window=WINDOW, noise=1.0)
    assert aumer.spot(frames, fps=30).expressions == ()


def test_a_swaying_head_has_no_expression() -> None:
    def sway(t: float) -> tuple[float, float, float, float]:
        return (
            4 * np.sin(4.0 * t),
            3 * np.sin(5.0 * t + 1),
            0.01 * np.sin(3 * t),
            3 * np.sin(2.5 * t),
        )

    frames = film(np.arange(120) / 30, head=sway, scale=1.5, window=(100, 0, 350, 240), noise=1.0)
    assert aumer.spot(frames, fps=30).expressions == ()


def frames_of(path: Path, shape: tuple[int, int], every: int) -> npt.NDArray[np.uint8]:
    """A video's frames, as large as will go into a black picture of that shape."""
    made = []
    for frame in list(aumer.open_video(path))[::every]:
        scale = min(np.divide(shape, frame.image.shape[:2]))
        image = cv2.resize(frame.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        room = np.subtract(shape, image.shape[:2])
        sides = [(int(r) // 2, int(r) - int(r) // 2) for r in room]
        made.append(np.pad(image, (*sides, (0, 0))))
    return np.stack(made)


def test_the_pause_between_two_smiles_is_no_expression(
    shared_data: Callable[[str], Path],
) -> None:
    """Rest is not a departure from a smile, whatever follows, and whatever is cut off before."""
    smiles = frames_of(shared_data("videos/fex_two_smiles.mov"), (480, 720), 1)
    other = frames_of(shared_data("videos/smile_512.mp4"), (480, 720), 2)
    for cut in (0, 1, 2):  # none, .07 and .14 s
        found = aumer.spot(np.concatenate([smiles[cut:], other]), fps=14.25).expressions
        first, second = (e for e in found if e.offset + cut < len(smiles))
        for e, truth in ((first, Interval(34, 64)), (second, Interval(96, 146))):
            assert e.kind == "macro"
            assert Interval(e.onset + cut, e.offset + cut).iou(truth) > 0.8


# ------------------------------------------------------------------------------ invariances


@pytest.mark.parametrize("fps", [24, 60, 100, 200])
def test_one_performance_at_any_frame_rate(fps: int) -> None:
    """To a frame of the coarser rate, and a row, to which every end is rounded."""
    within = max(1 / fps, 1 / 30) + 1 / 30 + 1e-6
    found = aumer.spot(performance(fps), fps=fps).expressions
    assert [e.kind for e in found] == [e.kind for e in result().expressions]
    for ours, reference in zip(found, result().expressions, strict=True):
        assert abs(ours.onset_s - reference.onset_s) <= within
        assert abs(ours.offset_s - reference.offset_s) <= within
        assert ours.onset == pytest.approx(ours.onset_s * fps, abs=1)


def test_features_do_not_depend_on_the_size_of_the_face() -> None:
    times = np.arange(45) / 30
    bumps = smile(0.2, 0.5, 1.0) + brow_raise(0.9, 1.1, 1.4)
    sizes = []
    for width in (120, 600):  # of a face that is 95 px wide in the portrait
        frames = film(times, bumps=bumps, scale=width / 95, window=WINDOW)
        sizes.append(analysis.analyze(frames, load_settings(), fps=30).features.values)
    for rows, rois in ((slice(5, 31), [8, 10]), (slice(26, 43), range(6))):
        small, large = (np.linalg.norm(values[rows][:, list(rois)]) for values in sizes)
        assert small == pytest.approx(large, rel=0.15)


def test_rigid_head_motion_stays_out_of_the_features() -> None:
    """Up to 2 px, 0.5 % and 0.5 degrees a frame, at most doubles what a still face shows."""
    times, scale = np.arange(60) / 30, 1.5
    window = (90, 0, 360, 250)
    frequency = np.array([0.7, 0.9, 0.5, 0.6])
    most = np.array([2 / scale, 2 / scale, 0.005, 0.5])  # per frame, where the sine is steepest

    def head(t: float) -> tuple[float, float, float, float]:
        swing = most * 30 / (2 * np.pi * frequency) * np.sin(2 * np.pi * frequency * t + 1.0)
        return tuple(swing)  # type: ignore[return-value]

    still = magnitude(film(times, scale=scale, window=window, noise=1.0))
    moving = magnitude(film(times, scale=scale, window=window, noise=1.0, head=head))
    assert moving.mean() <= 2 * still.mean()
    assert np.quantile(moving, 0.95) <= 2 * np.quantile(still, 0.95)
    assert np.quantile(moving, 0.95) < 0.1  # px of the 128 px crop


def test_array_folder_and_file_give_the_same(tmp_path: Path) -> None:
    frames = performance()[:60]
    expected = aumer.spot(frames, fps=30)
    same(expected, aumer.spot(write_folder(frames, tmp_path / "frames"), fps=30))

    # FFV1 in BGR0 loses nothing, and AVI counts time in frames (Matroska in milliseconds).
    with av.open(str(tmp_path / "film.avi"), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    from_file = aumer.spot(tmp_path / "film.avi")
    same(expected, from_file)
    assert from_file.digests["content"] != expected.digests["content"]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(workers: int) -> None:
    same(result(), aumer.spot(performance(), fps=30, workers=workers))


def test_nothing_leaks_from_one_video_into_the_next() -> None:
    spotter = aumer.Spotter()
    spotter(performance()[::-1][:45], fps=30)
    same(result(), spotter(performance(), fps=30))


def test_a_range_keeps_the_ordinals_of_the_whole() -> None:
    found = aumer.spot(performance(), fps=30, start=2.2).expressions
    (reference,) = result().micro
    assert [e.kind for e in found] == ["micro"]
    assert abs(found[0].onset - reference.onset) <= 1
    assert abs(found[0].offset_s - reference.offset_s) <= 1 / 30 + 1e-6


# ------------------------------------------------------------------------------ faces and gaps


def test_no_face_is_not_no_expression() -> None:
    gray = np.full((20, 200, 200, 3), 128, np.uint8)
    with pytest.raises(NoFaceError, match="0 of 20"):
        aumer.spot(gray, fps=30)
    with pytest.raises(NoFaceError, match=r"min_coverage"):
        aumer.spot(np.concatenate([performance()[:20], np.zeros_like(performance()[:40])]), fps=30,
                   min_coverage=0.5)  # fmt: skip


def test_a_gap_without_a_face_is_nan_and_no_expression_crosses_it() -> None:
    frames = performance().copy()
    frames[40:50] = 0  # in the middle of the smile
    spotted = aumer.spot(frames, fps=30)
    features, track = spotted.features, spotted.track
    assert features is not None and track is not None
    assert len(features) == len(frames) - 1
    np.testing.assert_array_equal(np.flatnonzero(~track.valid), np.arange(40, 50))
    np.testing.assert_array_equal(np.flatnonzero(~features.valid), np.arange(39, 50))
    assert np.isnan(features.values[~features.valid]).all()
    assert np.isnan(spotted.scores.values[~features.valid]).all()
    assert spotted.coverage == pytest.approx(1 - 11 / (len(frames) - 1))  # of the time
    assert not any(e.onset < 40 and e.offset >= 50 for e in spotted.expressions)


def test_no_motion_is_not_no_expression() -> None:
    frames = performance()
    with pytest.raises(NoMotionError, match="one frame was analyzed"):
        aumer.spot(frames[:1], fps=30)
    # At 4 frames a second they lie further apart than motion is measured over.
    with pytest.raises(NoMotionError, match=r"0\.25 s apart.*motion\.max_gap_s.*above 0\.25"):
        aumer.features(frames[::8], fps=4)
    features = aumer.spot(frames[::6], fps=5).features  # .2 s, whatever rounding makes of it
    assert features is not None
    assert features.valid.all()


# ------------------------------------------------------------------------------ the cache


class Stop(Exception):
    pass


def interrupt(after: int) -> Callable[[int, int | None], None]:
    def progress(done: int, estimate: int | None) -> None:
        if done == after:
            raise Stop

    return progress


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    options: dict[str, Any] = {"fps": 30, "settings": {"face": {"restart_s": 1.0}}}
    expected = aumer.spot(performance(), **options)
    with pytest.raises(Stop):
        aumer.spot(performance(), cache=tmp_path, progress=interrupt(80), **options)
    seen: list[int] = []
    resumed = aumer.spot(
        performance(), cache=tmp_path, progress=lambda done, _: seen.append(done), **options
    )
    same(expected, resumed)
    assert seen[0] == 61  # two chunks of a second were whole; the third begins at frame 60
    assert [p.suffix for p in tmp_path.iterdir()] == [".npz"]  # the chunks are gone


def test_a_second_run_reads_the_cache_and_follows_no_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = aumer.spot(performance(), fps=30, cache=tmp_path)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("analyzed again")

    monkeypatch.setattr(FaceTracker, "from_settings", never)
    second = aumer.spot(performance(), fps=30, cache=tmp_path)
    same(first, second)
    assert first == second
    # The rules are applied to features; another rule needs no new ones.
    strict = {"rules": {"min_height": 0.2}}
    found = aumer.spot(performance(), model="rules", fps=30, cache=tmp_path, settings=strict)
    assert found.expressions == ()
    for changed in ({"motion": {"roi_radius": 6}}, {"face": {"restart_s": 5.0}}):
        with pytest.raises(AssertionError, match="analyzed again"):
            aumer.spot(performance(), fps=30, cache=tmp_path, settings=changed)
    with pytest.raises(AssertionError, match="analyzed again"):
        aumer.spot(performance(), fps=30, end=2.0, cache=tmp_path)
    with pytest.raises(AssertionError, match="analyzed again"):
        aumer.spot(performance()[:-1], fps=30, cache=tmp_path)


# ------------------------------------------------------------------------------ the surface


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "workers must be a whole number of 1 or more"),
        ({"workers": -2}, "workers must be a whole number of 1 or more"),
        ({"workers": 1.5}, "workers must be a whole number of 1 or more"),
        ({"device": "nope"}, "device 'nope' cannot be used"),
        ({"device": "cuda:99", "model": "network"}, "device 'cuda:99' cannot be used"),
        ({"recognizer": "nobody"}, "nobody"),
        ({"settings": {"face": {"detector": "nobody"}}}, "no detector is called 'nobody'"),
        ({"settings": {"face": {"landmarker": "nobody"}}}, "no landmarker is called 'nobody'"),
        ({"settings": {"face": {"detector": "retinaface"}}}, "weights of retinaface.* missing"),
        ({"settings": {"motion": {"flow": "nobody", "preset": "flow"}}}, "nobody"),
        ({"model": "nowhere/net.safetensors"}, "no weights at"),
        ({"graph": "nobody"}, "nobody"),
    ],
)
def test_what_cannot_work_is_told_before_the_video_is_read(
    options: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "DEEPFACE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("aumer.pipeline.content_digest", lambda *_, **__: pytest.fail("read"))
    monkeypatch.setattr(analysis, "open_video", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises((UsageError, WeightsError), match=said):
        aumer.spot(performance(), fps=30, **options)
    shared = {"workers", "settings"} if "flow" not in str(options) else set()
    if options.get("device") == "nope":
        shared.add("device")
    for name in shared & options.keys():
        with pytest.raises((UsageError, WeightsError), match=said):
            aumer.classify(performance(), fps=30, **{name: options[name]})


def test_hooks_and_progress_see_the_stages() -> None:
    stages: list[str] = []
    frames: list[int] = []
    aumer.spot(
        performance()[:10],
        fps=30,
        hook=lambda name, value: stages.append(name),
        progress=lambda done, estimate: frames.append(done),
    )
    assert stages == ["track", "features", "scores"]
    assert frames == list(range(1, 11))


def test_a_spotter_of_ones_own_is_used_as_it_is() -> None:
    class Silent:
        name = "silent"

        def __call__(self, features: aumer.Features) -> tuple[aumer.Scores, tuple[()]]:
            scores = aumer.Scores(
                np.zeros((len(features), 1), np.float32),
                features.times,
                features.frames,
                features.valid,
                ("nothing",),
            )
            return scores, ()

    spotted = aumer.spot(performance()[:10], fps=30, model=Silent())
    assert spotted.spotter == "silent" and spotted.scores.channels == ("nothing",)


def test_unknown_names_are_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match="Did you mean 'rules'"):
        aumer.spot("no such file.mp4", model="rule")
    with pytest.raises(UsageError, match="Did you mean 'flow'"):
        aumer.spot("no such file.mp4", settings={"motion": {"flo": "dis"}})
    with pytest.raises(UsageError, match="Did you mean 'farneback'"):
        aumer.spot(performance()[:5], fps=30, settings={"motion": {"flow": "farnebak"}})


def test_a_flow_that_takes_pairs_together_gives_the_same_features() -> None:
    """In batches that a chunk does not divide by, the last one part full, and with a lost face."""
    frames = performance()[:50].copy()
    frames[20:23] = 0
    settings = load_settings()
    dis = registry.resolve("flow", "dis")
    sizes = []

    class Together:
        batch = 7

        def __call__(self, previous: Any, following: Any) -> Any:
            raise AssertionError("one by one")

        def many(self, pairs: Any) -> Any:
            sizes.append(len(pairs))
            return np.stack([dis(*pair) for pair in pairs])

    registry.register("flow", "together")(together := Together())
    try:
        both = [
            analysis.analyze(
                frames,
                replace(settings, motion=replace(settings.motion, preset="flow", flow=name)),
                fps=30,
            ).features
            for name in ("dis", "together")
        ]
    finally:
        del registry._parts["flow"]["together"]
    assert registry.resolve("flow", together) is together
    np.testing.assert_array_equal(both[0].values, both[1].values)
    assert max(sizes) == 7 and min(sizes) < 7


def test_dense_features_by_torch_are_those_of_the_default_flow() -> None:
    frames = performance()[28:44]
    settings = load_settings()
    ours, torchs = (
        analysis.analyze(
            frames,
            replace(settings, motion=replace(settings.motion, preset="flow", flow=name)),
            fps=30,
        ).features.values
        for name in ("tvl1", "tvl1-torch")
    )
    assert np.abs(ours - torchs).mean() < 0.01
    # Rounding decides which of two main directions a still ROI has.
    assert np.corrcoef(ours.ravel(), torchs.ravel())[0, 1] > 0.95


WRONG: dict[str, tuple[Any, ...]] = {
    "device": (3, None, []),
    "min_coverage": ("x", None, [], True),
    "micro_max_s": ("x", [], True),
    "start": ("x", []),
    "fps": ("x", [], True),
    "face": (3.5, [], b"1"),
    "cache": (3, [], 3.5),
    "progress": (3, "x", []),
    "hook": (3, "x", []),
    "workers": ("x", 1.5, True),
    "settings": (3, [], object()),
    "model": (3, None, []),
    "graph": (3, []),
    "recognizer": (3, []),
}
WRONG_OF_CLIPS: dict[str, tuple[Any, ...]] = {
    "onset": ("x", [], 1.5, True),
    "apex": ([], 1.5, True),
    "offset": ("x", [], 1.5),
    **{name: WRONG[name] for name in ("cache", "progress", "workers", "settings", "model")},
}


@pytest.mark.parametrize(
    ("call", "name", "value"),
    [
        (call, name, value)
        for call, wrong in ((aumer.spot, WRONG), (aumer.classify, WRONG_OF_CLIPS))
        for name, values in wrong.items()
        for value in values
    ],
)
def test_arguments_of_the_wrong_type_are_told_by_our_errors(
    call: Callable[..., Any], name: str, value: Any
) -> None:
    with pytest.raises((UsageError, WeightsError)):
        call(np.zeros((3, 48, 64, 3), np.uint8), **{"fps": 30, name: value})


@pytest.mark.parametrize("call", [aumer.spot, aumer.classify, aumer.features])
@pytest.mark.parametrize("video", [3.5, None, b"x", [], {}, True, ()])
def test_what_is_no_video_is_told_by_our_error(call: Callable[..., Any], video: Any) -> None:
    with pytest.raises(UsageError, match="a video is a file"):
        call(video)


@pytest.mark.parametrize("value", [3.5, [], b"x", object()])
@pytest.mark.parametrize(
    "call",
    [
        aumer.load_settings,
        lambda value: aumer.load_settings(overrides=value if value != [] else 3),
        aumer.load_features,
        aumer.SpotResult.load,
        aumer.Prediction.load,
        aumer.AUGraph.load,
        aumer.AUGraph.from_edges,
        aumer.train,
        lambda value: list(aumer.simulate_features(value)),
        lambda value: list(aumer.simulate_features(1, seed=value)),
        lambda value: list(aumer.simulate_features(1, level=value)),
        aumer.simulate_films,
        lambda value: aumer.register("detector", value),
    ],
)
def test_other_calls_tell_wrong_types_by_our_errors(call: Callable[..., Any], value: Any) -> None:
    with pytest.raises(aumer.AumerError):
        call(value)


def test_a_gap_of_days_is_said_and_costs_nothing(tmp_path: Path) -> None:
    """It was filled with five million rows once."""
    frames, path = performance(), tmp_path / "gap.mkv"
    height, width = (side // 2 * 2 for side in frames.shape[1:3])  # as the codec needs them
    frames = frames[:, :height, :width]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for k, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = round(1000 * k / 30) + (48 * 3_600_000 if k >= 30 else 0)
            frame.time_base = Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    found = aumer.spot(path)
    (said,) = (note for note in found.notes if "hours" in note)
    assert "48 hours without frames lie in 1 gaps" in said
    assert found.features is not None
    assert len(found.features) == pytest.approx(len(frames) + 30, abs=2)
    gap = (found.features.times > 1.0) & (found.features.times < 1.9)
    assert not found.features.valid[gap].any() and gap.sum() > 20
    assert found.coverage == pytest.approx(len(frames) / (len(frames) + 30), abs=0.05)
