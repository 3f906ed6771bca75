"""`aumer.classify` and `aumer.spot(recognizer=...)`: from film to a label."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from acted import APEX_S, BROWS_DOWN, BROWS_UP, OFFSET_S, ONSET_S, SMILE, frames

import aumer
from aumer.cli.classify import table
from aumer.config import load_settings
from aumer.errors import NoFaceError, UsageError, WeightsError
from aumer.evaluation import rows
from aumer.evaluation.strs import evaluate_strs
from aumer.motion.analysis import analyze
from aumer.motion.frames import FrameRange
from aumer.motion.runs import motion_device
from aumer.recognition import interface
from aumer.recognition.clips import ClipMaker
from aumer.recognition.features import ROI_CENTERS
from aumer.recognition.frames import Kept, aligned_faces
from aumer.recognition.graph_kernel import GraphRecognizer
from aumer.recognition.interface import Clips, Floats, Recognizer
from aumer.recognition.labeler import UNLIKE, Labeler
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.inputs import SequenceSettings, sequence_inputs
from aumer.results import Prediction
from aumer.session import tell_devices
from aumer.simulate import nuisance
from aumer.simulate.anatomy import ACTION_UNITS
from aumer.simulate.features import Subject, render
from aumer.simulate.timeline import Event, Timeline
from aumer.spotting import noise
from aumer.spotting.network import SHIPPED, NetSpotter
from aumer.types import FloatArray, Moment
from aumer.video import VideoReader

CLASSES = ("positive", "surprise", "negative")
FPS = 30
ONSET, APEX = round(ONSET_S * FPS), round(APEX_S * FPS)


def at(maps: FloatArray, roi: str) -> Floats:
    """(N, 2): mean motion of 5 x 5 px round a ROI."""
    x, y = (round(c) for c in ROI_CENTERS[roi])
    patch = maps[:, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3, :2]
    return np.asarray(patch.mean(axis=(1, 2)), np.float64)


@dataclass
class BySigns(Recognizer):
    """Names an expression by what field.md says of the classes: corners out, brows up or down."""

    name: ClassVar[str] = "by-signs"
    classes: tuple[str, ...] = CLASSES
    rois: tuple[str, ...] = ("mouth", "brows")
    card: dict[str, Any] = field(default_factory=dict)
    seen: list[FloatArray] = field(default_factory=list)

    def fit(self, clips: Clips, **options: Any) -> BySigns:  # type: ignore[override]
        return self

    def predict_proba(self, inputs: FloatArray, sources: Any = ()) -> Floats:
        self.seen.extend(inputs)
        mouth = at(inputs, "mouth_l")[:, 0] - at(inputs, "mouth_r")[:, 0]
        brows = at(inputs, "brow_r_mid_inner")[:, 1] + at(inputs, "brow_l_mid_inner")[:, 1]
        raised = np.exp(np.stack([mouth, -brows, brows], axis=1))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def attribution(self, flow_map: FloatArray, label: str | None = None) -> Floats:
        return np.array([1.0, 0.0] if label == "positive" else [0.0, 1.0])


@dataclass
class ByMotion(BySigns):
    """Reads the motion of ROIs alone."""

    reads = ("flow-map", "motion")
    rois: tuple[str, ...] = ("mouth_r", "mouth_l", "brow_r_mid")

    def predict_motion(self, motion: FloatArray) -> Floats:
        assert motion.shape == (1, 3, 2)
        spread, brow = motion[:, 1, 0] - motion[:, 0, 0], motion[:, 2, 1]
        raised = np.exp(50 * np.stack([spread, -brow, brow], axis=1))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def classify(aus: tuple[int, ...], **options: Any) -> Prediction:
    return aumer.classify(frames(aus), **({"model": BySigns(), "fps": FPS} | options))


@pytest.mark.parametrize(
    ("aus", "label"), [(SMILE, "positive"), (BROWS_UP, "surprise"), (BROWS_DOWN, "negative")]
)
def test_known_action_units(aus: tuple[int, ...], label: str) -> None:
    found = classify(aus)
    assert found.label == label
    assert tuple(found.probs) == CLASSES
    assert sum(found.probs.values()) == pytest.approx(1)
    assert found.probs[label] == max(found.probs.values())
    assert found.attribution == {
        "mouth": float(label == "positive"),
        "brows": float(label != "positive"),
    }
    assert (found.onset, found.offset) == (0, len(frames(aus)) - 1)
    assert APEX - 2 <= found.apex <= APEX + 8  # held for 6 frames
    assert found.apex_s == pytest.approx(found.apex / FPS)
    assert found.flow_map is not None
    assert found.flow_map.shape == (28, 28, 3)


def test_frames_given_are_the_frames_used() -> None:
    recognizer = BySigns()
    found = classify(SMILE, model=recognizer, onset=ONSET, apex=APEX, offset=25)
    assert (found.onset, found.apex, found.offset) == (ONSET, APEX, 25)
    assert found.settings["input"] == {"onset": ONSET, "apex": APEX, "offset": 25, "fps": FPS}
    # Frames outside the interval change nothing.
    film = frames(SMILE).copy()
    film[: ONSET - 3] = 0
    film[28:] = 0
    again = aumer.classify(film, model=recognizer, fps=FPS, onset=ONSET, apex=APEX, offset=25)
    assert again.probs == pytest.approx(found.probs, abs=0.02)
    earlier = classify(SMILE, onset=ONSET, apex=ONSET + 3, offset=25)
    assert earlier.probs["positive"] < found.probs["positive"]


@pytest.mark.parametrize("apex", ["flow-peak", "roi-difference:3", "midpoint"])
def test_ways_to_the_apex(apex: str) -> None:
    found = classify(SMILE, onset=ONSET, offset=30, apex=apex)
    assert found.settings["input"]["apex"] == apex
    assert ONSET < found.apex <= 30
    if apex == "midpoint":
        assert found.apex == (ONSET + 30) // 2
    else:
        assert APEX - 2 <= found.apex <= APEX + 8


@pytest.mark.parametrize("fps", [FPS, 200])
def test_two_frames_are_onset_and_apex(fps: int) -> None:
    """However fast the camera was, of which 30 frames a second are looked at by default."""
    film = frames(SMILE)[[ONSET, APEX]]
    found = aumer.classify(film, model=BySigns(), fps=fps)
    assert (found.onset, found.apex, found.offset) == (0, 1, 1)
    assert found.label == "positive"


def test_file_folder_and_array_are_one(tmp_path: Path) -> None:
    film = frames(SMILE)
    folder = tmp_path / "clip"
    folder.mkdir()
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"FFV1"), FPS, film.shape[2:0:-1]
    )
    for k, image in enumerate(film):
        cv2.imwrite(str(folder / f"{k}.png"), image[..., ::-1])
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    array = classify(SMILE)
    in_folder = aumer.classify(folder, model=BySigns(), fps=FPS)
    assert (in_folder.probs, in_folder.apex) == (array.probs, array.apex)
    assert in_folder.clip == "clip"
    in_file = aumer.classify(tmp_path / "clip.avi", model=BySigns())
    # FFV1 holds YUV: colors are rounded.
    assert in_file.label == array.label
    assert in_file.probs == pytest.approx(array.probs, abs=0.05)


def test_a_fast_video_is_read_at_the_very_frames_asked_for() -> None:
    """150 fps, analyzed at 30: the apex lies between two analyzed frames."""
    film = frames(SMILE, fps=150)
    fast = aumer.classify(film, model=BySigns(), fps=150, onset=30, apex=77, offset=140)
    slow = classify(SMILE, onset=6, apex=15, offset=28)
    assert fast.apex == 77
    assert fast.probs == pytest.approx(slow.probs, abs=0.1)
    one_off = aumer.classify(film, model=BySigns(), fps=150, onset=30, apex=76, offset=140)
    assert one_off.probs != fast.probs


def test_features_for_a_recognizer_that_reads_motion() -> None:
    motion = aumer.spot(frames(BROWS_UP), fps=FPS).features
    assert motion is not None
    found = aumer.classify(motion, model=ByMotion(), onset=ONSET, apex=APEX)
    assert (found.label, found.clip) == ("surprise", "features")
    assert (found.onset, found.apex) == (ONSET, APEX)
    assert found.flow_map is None
    assert found.attribution == {}
    with pytest.raises(UsageError, match="reads flow maps, which features do not hold"):
        aumer.classify(motion, model=BySigns())
    with pytest.raises(UsageError, match="'roi-difference'` needs the video's frames"):
        aumer.classify(motion, model=ByMotion(), apex="roi-difference")
    few = replace(
        motion,
        values=motion.values[:, :3],
        rois=motion.rois[:3],
        confidence=motion.confidence[:, :3],
    )
    with pytest.raises(UsageError, match="the features lack mouth_r, mouth_l"):
        aumer.classify(few, model=ByMotion())


def test_a_prediction_comes_back_from_json(tmp_path: Path) -> None:
    found = classify(SMILE)
    found.to_json(tmp_path / "p.json")
    assert Prediction.load(tmp_path / "p.json") == found
    assert json.loads(found.to_json()) == found.to_dict()
    # It cannot be saved, so that only its code has a digest.
    assert found.digests.keys() == {"content", "settings", "parts", "aus"}
    assert {"aumer", "numpy"} <= found.versions.keys()
    with pytest.raises(UsageError, match="exists"):
        found.to_json(tmp_path / "p.json")
    (tmp_path / "bad.json").write_text(found.to_json().replace('"apex":', '"apexx":'))
    with pytest.raises(UsageError, match=r"bad\.json .* apex is missing"):
        Prediction.load(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"apex": "flowpeak"}, "Did you mean 'flow-peak'"),
        ({"apex": "flow-peak:3"}, "only 'roi-difference' takes a number"),
        ({"onset": 99}, "frames 0 to 35; found onset 99"),
        ({"offset": -1}, "found offset -1"),
        ({"onset": 9, "offset": 9}, "two frames or more"),
        ({"onset": 9, "apex": 9}, "apex must lie after the onset"),
        ({"apex": 99}, "not after the offset; found onset 0, apex 99"),
        ({"fps": None}, "fps"),
        ({"settings": {"motion": {"flow": "nope"}}}, "no flow is called 'nope'"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        classify(SMILE, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offset": 3000}, "the features have frames 0 to 359; found 3000"),
        ({"onset": 5.5}, "onset must be a frame, which is a whole number, found 5.5"),
        ({"onset": "5"}, "onset must be a frame, which is a whole number, found '5'"),
        ({"offset": True}, "offset must be a frame, which is a whole number, found True"),
        ({"apex": 20.5}, "apex must be a frame, which is a whole number, found 20.5"),
    ],
)
def test_frames_of_features_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    (video,) = aumer.simulate_features(1, minutes=0.2, seed=1)
    with pytest.raises(UsageError, match=message):
        aumer.classify(video.features, **options)
    onset, apex, offset = np.array([20, 30, 80])
    found = aumer.classify(video.features, onset=onset, apex=apex, offset=offset)
    assert (found.onset, found.apex, found.offset) == (20, 30, 80)


def test_a_device_that_is_of_no_use_is_left_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    aumer.Spotter(model="rules", recognizer="graph", device="cuda")
    classify(SMILE, onset=ONSET, apex=APEX, offset=25, device="cuda")
    told = [r.getMessage() for r in caplog.records]
    for who, said in zip(("'rules'", "'graph'", "'by-signs'"), told, strict=True):
        assert who in said
    assert all("runs on the CPU alone: the device 'cuda' is not used for it" in t for t in told)
    caplog.clear()
    for device in ("auto", "cpu"):
        aumer.Spotter(recognizer="graph", device=device)
    aumer.Spotter(recognizer="graph")
    assert not caplog.records


@pytest.mark.parametrize("model", ["combined", "network", "rules"])
def test_a_device_that_nobody_knows_is_refused_before_a_frame_is_read(model: str) -> None:
    """Whether a part could use it or not."""
    with pytest.raises(UsageError, match=r"device 'cudda' cannot be used.*give `device='cpu'"):
        aumer.spot("no such file.mp4", model=model, device="cudda")
    with pytest.raises(UsageError, match="device 'cudda' cannot be used here"):
        aumer.classify("no such file.mp4", model="graph", device="cudda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(
    "model",
    ["combined", "network", NetSpotter.load(SHIPPED), SHIPPED],
    ids=["combined", "network", "spotter", "path"],
)
def test_a_gpu_that_is_not_here_is_refused_before_a_frame_is_read(model: Any) -> None:
    with pytest.raises(UsageError, match="device 'cuda' cannot be used here"):
        aumer.spot("no such file.mp4", model=model, device="cuda")


def test_where_it_ran_is_said_and_stored(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "aumer")
    recognizer: Any = BySigns()
    found = aumer.spot(frames(SMILE), fps=FPS, recognizer=recognizer, device="cpu")
    assert found.devices == {"motion": "cpu", "spotter": "cpu", "recognizer": "cpu"}
    assert "devices: motion cpu, spotter cpu, recognizer cpu" in caplog.messages
    read = aumer.SpotResult.from_json(found.to_json())
    assert read.devices == found.devices
    # The same numbers are the same result, wherever they were computed.
    assert read == replace(found, devices={"spotter": "cuda"})
    assert found.to_json() != replace(found, devices={"spotter": "cuda"}).to_json()
    named = classify(SMILE, onset=ONSET, apex=APEX, offset=25)
    assert named.devices == {"motion": "cpu", "recognizer": "cpu"}
    assert aumer.Prediction.from_dict(named.to_dict()).devices == named.devices


def test_a_device_that_is_no_cpu_is_said_unasked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(25, "aumer")  # what the command line shows
    tell_devices({"motion": "cuda", "spotter": "cpu"})
    tell_devices({"motion": "cpu"})
    assert [one.levelno for one in caplog.records] == [25]
    assert caplog.messages == ["devices: motion cuda, spotter cpu"]


def test_the_device_of_motion_is_that_of_its_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for preset, flow, device in (
        ("windows", "tvl1-torch", "cpu"),
        ("windows-torch", "tvl1", "cuda"),
        ("flow", "tvl1", "cpu"),
        ("flow", "tvl1-torch", "cuda"),
    ):
        motion = load_settings(overrides={"motion": {"preset": preset, "flow": flow}}).motion
        assert motion_device(motion) == device


def test_spot_and_classify_take_a_device_alike(sequence_weights: Path) -> None:
    """The same default, the same words for what is not here, and auto where a part runs best."""
    usual = {signature(f).parameters["device"].default for f in (aumer.spot, aumer.classify)}
    assert usual == {signature(aumer.Spotter).parameters["device"].default} == {"auto"}
    said = []
    for call in (aumer.spot, aumer.classify):
        key = "model" if call is aumer.classify else "recognizer"
        with pytest.raises(UsageError) as caught:
            call("no such file.mp4", **{key: sequence_weights}, device="nowhere")
        said.append(str(caught.value))
    assert said[0] == said[1]
    best = "cuda" if torch.cuda.is_available() else "cpu"
    recognizer: Any = interface.load(sequence_weights)
    assert recognizer.to("auto") and recognizer.device.type == best


def test_an_object_that_keeps_no_contract_is_refused() -> None:
    class Duck:
        name, classes = "duck", ("a", "b")

    with pytest.raises(UsageError, match=r"derive from aumer\.recognition\.interface\.Recognizer"):
        classify(SMILE, model=Duck())


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no trained recognizer is called 'nope'"):
        classify(SMILE, model="nope")
    with pytest.raises(WeightsError, match=r"mine\.safetensors"):
        classify(SMILE, model=tmp_path / "mine.safetensors")
    with pytest.raises(UsageError, match="is not trained"):
        classify(SMILE, model=BySigns(classes=()))


def test_no_face() -> None:
    gray = np.full((9, 120, 160, 3), 90, np.uint8)
    with pytest.raises(NoFaceError, match="usable face"):
        aumer.classify(gray, model=BySigns(), fps=FPS)
    film = frames(SMILE).copy()
    film[APEX - 1 : APEX + 2] = 90
    with pytest.raises(NoFaceError, match=f"from frame {ONSET} to {APEX}"):
        aumer.classify(
            film,
            model=BySigns(),
            fps=FPS,
            onset=ONSET,
            apex=APEX,
            settings={"motion": {"max_gap_s": 0.05}},
        )


# -- how often a clip is decoded -------------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A name for each pass over a video's frames."""
    begun: list[str] = []
    once = VideoReader.__iter__

    def counted(self: VideoReader) -> Any:
        begun.append(self.info.name)
        return once(self)

    monkeypatch.setattr(VideoReader, "__iter__", counted)
    return begun


def film_of(folder: Path, fps: int) -> Path:
    film = frames(SMILE, fps=fps)
    path = folder / f"{fps}.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), fps, film.shape[2:0:-1])
    for image in film:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    return path


@pytest.mark.parametrize("fps", [30, 150])
@pytest.mark.parametrize("apex", [None, "roi-difference", "midpoint", 0.5])
def test_a_clip_is_decoded_once(
    fps: int, apex: str | float | None, passes: list[str], tmp_path: Path
) -> None:
    """A file that says its own times, of which onset and offset are given as frames."""
    path, k = film_of(tmp_path, fps), fps // FPS
    chosen = 15 * k + 1 if apex == 0.5 else apex
    options: dict[str, Any] = {"onset": ONSET * k, "apex": chosen, "offset": 28 * k}
    found = aumer.classify(path, model=BySigns(), cache=tmp_path / "cache", **options)
    assert passes == [path.name]
    # Of a clip whose analysis was kept, the frames that the map is made of are.
    again = aumer.classify(path, model=BySigns(), cache=tmp_path / "cache", **options)
    assert len(passes) <= (3 if apex == "roi-difference" else 2)
    assert (again.probs, again.apex, again.onset_s) == (found.probs, found.apex, found.onset_s)
    np.testing.assert_array_equal(again.flow_map, found.flow_map)


def test_whole_clips_are_decoded_once(passes: list[str], tmp_path: Path) -> None:
    aumer.classify(film_of(tmp_path, 30), model=BySigns())
    classify(SMILE)
    assert len(passes) == 2


@pytest.mark.parametrize("fps", [30, 150])
@pytest.mark.parametrize(("onset", "offset"), [(6, 28), (0, 20), (10, None), (None, 25), (6, 35)])
def test_a_range_of_frames_is_the_range_of_their_times(
    fps: int, onset: int | None, offset: int | None, tmp_path: Path
) -> None:
    """A step of the analysis before the onset and one and a half after the offset."""
    path, k = film_of(tmp_path, fps), fps // FPS
    first, last = (None if f is None else f * k for f in (onset, offset))
    settings = aumer.load_settings()
    by_frames = analyze(path, settings, frames=FrameRange(first, last))
    by_times = analyze(
        path,
        settings,
        start=None if not first else first / fps - 1 / 30,
        end=None if last is None else last / fps + 1.5 / 30,
    )
    for name in ("values", "times", "frames", "valid"):
        np.testing.assert_array_equal(
            getattr(by_frames.features, name), getattr(by_times.features, name)
        )
    for name in ("landmarks", "times", "frames"):
        np.testing.assert_array_equal(getattr(by_frames.track, name), getattr(by_times.track, name))


def test_faces_that_were_kept_are_those_that_a_second_pass_gives() -> None:
    """Between analyzed frames, where the face is gone for a while, and no others."""
    film = frames(SMILE, fps=150).copy()
    film[60:75] = 90  # for .1 s, as long as landmarks are interpolated over
    film[100:130] = 90
    settings = aumer.load_settings()
    kept = Kept(range(len(film)), settings.motion, 10_000)
    track = analyze(film, settings, fps=150, watch=kept).track
    again = aligned_faces(film, range(len(film)), track, settings.motion, fps=150)
    assert 60 < len(kept.faces) <= len(again) < len(film) - 20
    for frame, face in kept.faces.items():
        np.testing.assert_array_equal(face.gray, again[frame].gray)
        np.testing.assert_array_equal(face.landmarks, again[frame].landmarks)
    missing = sorted(set(again) - set(kept.faces))
    assert all(frame < min(kept.faces) or frame > max(kept.faces) for frame in missing)
    few = Kept(range(10, 50), settings.motion, 7)
    analyze(film, settings, fps=150, watch=few)
    assert sorted(few.faces) == list(range(10, 17))


@pytest.mark.parametrize(
    ("fps", "ends"), [(30, (None, None)), (30, (6, 25)), (150, (31, 120)), (150, (None, 120))]
)
def test_so_are_the_frames_of_a_sequence(
    fps: int, ends: tuple[int | None, int | None], passes: list[str]
) -> None:
    """Onset and offset given or found, also between frames that are analyzed."""
    film, settings = frames(SMILE, fps=fps).copy(), aumer.load_settings()
    film[: fps // 10] = 90  # no face yet
    maker = ClipMaker("sequence", settings.motion, sequences=SequenceSettings(48, "none", margin=4))
    kept = maker.keeper(ends[0], None, ends[1])
    within = FrameRange(*ends, maker.margin)
    found = analyze(film, settings, fps=fps, frames=within, watch=kept)
    seen = found.track.frames[found.track.valid]
    onset, offset = (
        int(seen[k]) if end is None else end for k, end in zip((0, -1), ends, strict=True)
    )
    moment = Moment(onset, offset, (onset + offset) // 2)
    kept.video = found.video
    passes.clear()
    (one,) = maker(film, [moment], found.track, fps=fps, kept=kept)
    assert not passes
    (other,) = maker(film, [moment], found.track, fps=fps)
    assert len(passes) == 1
    assert isinstance(one.clip, ClipSequence) and isinstance(other.clip, ClipSequence)
    np.testing.assert_array_equal(one.clip.gray, other.clip.gray)
    np.testing.assert_array_equal(one.clip.landmarks, other.clip.landmarks)
    assert (one.clip.onset, one.clip.offset) == (other.clip.onset, other.clip.offset)
    # Of another moment they are not those that it needs.
    passes.clear()
    others = [replace(moment, onset=onset + 3)]
    others += [replace(moment, offset=offset + 2)] if ends[1] else []
    for another in others:
        list(maker(film, [another], found.track, fps=fps, kept=kept))
    assert len(passes) == len(others)


# -- spot, then recognize --------------------------------------------------------------------------


def performance() -> np.ndarray[Any, Any]:
    """A smile, then raised brows."""
    return np.concatenate([frames(SMILE, 0.8), frames(BROWS_UP, 0.8)])


def test_spotted_expressions_are_labeled() -> None:
    seen: dict[str, Any] = {}
    bare = aumer.spot(performance(), fps=FPS)
    found = aumer.spot(performance(), fps=FPS, recognizer=BySigns(), hook=seen.__setitem__)
    assert [e.interval for e in found.expressions] == [e.interval for e in bare.expressions]
    labels = (
        {e.label for e in found.expressions if e.apex < 36},
        {e.label for e in found.expressions if e.apex >= 36},
    )
    assert labels == ({"positive"}, {"surprise"})
    assert all(e.label is None and e.probs is None for e in bare.expressions)
    for expression, verdict in zip(found.expressions, seen["verdicts"], strict=True):
        assert expression.probs == verdict.probs
        assert set(verdict.attribution) == {"mouth", "brows"}
    assert found.settings["recognition"] == {"recognizer": "by-signs"}
    assert aumer.SpotResult.from_json(found.to_json()) == found
    assert "positive" in repr(found)


def test_only_the_frames_needed_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from aumer.recognition import frames as read_again

    read: list[int] = []
    original = read_again.align

    def align(*args: Any) -> Any:
        read.append(1)
        return original(*args)

    monkeypatch.setattr(read_again, "align", align)
    found = aumer.spot(performance(), fps=FPS, recognizer=BySigns())
    assert 0 < len(read) <= 3 * len(found.expressions)


def test_a_camera_is_refused_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aumer.video.sources.open_camera", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(UsageError, match="record a file"):
        aumer.spot(0, end=1.0, recognizer=BySigns())
    with pytest.raises(UsageError, match="record a file"):
        aumer.classify(0, model=BySigns())


def test_spot_then_recognize_is_scored_on_a_simulated_video() -> None:
    """STRS: the video's truth on one side, what `spot` says on the other."""
    truths = [
        rows.Truth(
            "sim", "film", "macro", first + ONSET, first + round(OFFSET_S * FPS), label=label
        )
        for first, label in ((0, "positive"), (len(frames(SMILE, 0.8)), "surprise"))
    ]
    result = aumer.spot(performance(), fps=FPS, recognizer=BySigns())
    said = [rows.PredictedInterval.of("sim", "film", e) for e in result.expressions]
    report = evaluate_strs(said, truths, kind=None)
    assert report.recognition_f1 == 1.0
    assert report.strs == report.spotting_f1 > 0.6
    # The other way round both are spotted, and no name is right.
    swapped = {"positive": "surprise", "surprise": "positive"}
    wrong = [replace(p, label=swapped[p.label]) for p in said]
    assert evaluate_strs(wrong, truths, kind=None).strs == 0


# -- the recognizer that ships ---------------------------------------------------------------------


def shipped() -> str:
    if not interface.shipped():
        pytest.skip("no recognizer's weights ship yet")
    return "default"


@pytest.mark.parametrize(
    ("aus", "label"), [(SMILE, "positive"), (BROWS_UP, "surprise"), (BROWS_DOWN, "negative")]
)
def test_the_shipped_recognizer_names_known_action_units(aus: tuple[int, ...], label: str) -> None:
    found = classify(aus, model=shipped(), onset=ONSET, apex=APEX)
    assert found.label == label
    assert len(found.digests["recognizer"]) == 64


@pytest.mark.parametrize(
    ("video", "onset", "offset", "label", "doubt"),
    [
        ("fex_smile_still.mov", 0, 40, None, "nothing moves"),
        # A face at rest that is measured with more noise than others: it is doubted.
        ("fex_two_smiles.mov", 75, 95, "negative", "not back at the offset"),
        ("fex_smile_still.mov", 31, 74, "positive", "not back at the offset"),
        ("smile_512.mp4", 31, 74, "negative", "not back at the offset"),  # its plateau and end
        ("fex_smile_still.mov", 63, 112, "positive", None),
    ],
)
def test_what_is_no_whole_expression_is_doubted(
    shared_data: Callable[[str], Path],
    tmp_path: Path,
    video: str,
    onset: int,
    offset: int,
    label: str | None,
    doubt: str | None,
) -> None:
    """Where nothing moves nothing is named; the middle of a smile moves the other way, and who did
    not see the face at rest cannot know."""
    path = shared_data("videos") / video
    found = aumer.classify(path, onset=onset, offset=offset)
    assert found.label == label
    assert (found.doubt is None) == (doubt is None) and (doubt or "") in (found.doubt or "")
    assert found.outcome == ("named" if label else "no expression")
    if label is None:
        assert found.display_label == "no expression" and "no expression" in table([found])
        assert set(found.probs.values()) == {1 / 3} and not found.attribution
    assert Prediction.from_dict(found.to_dict()) == found
    assert (doubt or "") in found.summary() and (doubt or "") in table([found])


def test_predictions_of_before_there_was_doubt_are_read() -> None:
    found = classify(SMILE)
    older = {k: v for k, v in found.to_dict().items() if k not in ("doubt", "notes")}
    assert Prediction.from_dict({**older, "schema_version": 1}) == found
    with pytest.raises(ValueError, match="says why"):
        replace(found, label=None)
    with pytest.raises(ValueError, match="the outcome is 'named' where there is a label"):
        replace(found, label=None, doubt="none")
    mute = replace(found, label=None, doubt="nothing moves", outcome="no expression")
    older = {k: v for k, v in mute.to_dict().items() if k != "outcome"}
    assert Prediction.from_dict({**older, "schema_version": 2}) == mute


def test_an_answer_that_is_not_sure_enough_is_withheld() -> None:
    """The probabilities stay the recognizer's; the limit itself is sure enough."""
    sure = classify(SMILE)
    most = max(sure.probs.values())
    assert sure.outcome == "named" and 0.34 < most < 1
    found = classify(SMILE, settings={"classify": {"abstain_below": most + 1e-6}})
    assert found.label is None and found.outcome == found.display_label == "uncertain"
    assert found.probs == sure.probs and found.attribution == sure.attribution
    assert found.doubt is not None and "classify.abstain_below" in found.doubt
    assert "uncertain" in table([found]) and "uncertain" in found.summary()
    assert Prediction.from_dict(found.to_dict()) == found
    assert classify(SMILE, settings={"classify.abstain_below": most}).label == sure.label
    spotted = aumer.spot(
        performance(), fps=FPS, recognizer=BySigns(), settings={"classify.abstain_below": 1.0}
    )
    assert spotted.expressions and all(e.label is None for e in spotted.expressions)
    assert all(e.probs for e in spotted.expressions)
    assert any("classify.abstain_below" in note for note in spotted.notes)


@pytest.mark.parametrize("loudness", [1.0, 3.0])
def test_rest_is_told_in_units_of_the_face_s_own_noise(loudness: float) -> None:
    """A loud face at rest has no expression, though it moves as far as others' expressions; twice
    the smallest movement that stands out is named, on either face."""
    subject = Subject(dict.fromkeys(ACTION_UNITS, (1.0, 1.0)), 1.0)
    causes = nuisance.load(nuisance.STILL)
    settings = load_settings()
    at_rest, moves, named = [], [], []
    for seed in range(4):
        rest = render(Timeline(20.0, ()), subject, causes, seed=seed, loudness=loudness)
        spans = [(first, first + 30) for first in range(60, 540, 40)]
        at_rest += [aumer.classify(rest, onset=a, offset=b).outcome for a, b in spans]
        moves += noise.moved(rest, settings.rules, spans)
        limit, _ = noise.limits(rest, settings.rules)
        assert limit is not None
        smile = Event("micro", ((12, "both"),), 10.0, 10.2, 10.2, 10.4, 1.0)
        alone = render(Timeline(20.0, (smile,)), subject, {}, seed=seed)
        (height,) = noise.moved(alone, settings.rules, [(299, 307)])
        assert height is not None
        acted = render(
            Timeline(20.0, (smile,)),
            subject,
            causes,
            seed=seed,
            loudness=loudness,
            strength=2 * limit / height,
        )
        named.append(aumer.classify(acted, onset=299, apex=307, offset=313).outcome)
    assert np.mean([outcome == "no expression" for outcome in at_rest]) > 0.7
    assert set(named) == {"named"}
    # By one length for all faces, .0032, the loud one would never be at rest.
    assert loudness == 1 or np.mean([m is not None and m > 0.0032 for m in moves]) > 0.3


def test_a_real_face_at_rest_has_no_expression(shared_data: Callable[[str], Path]) -> None:
    found = aumer.classify(shared_data("videos_more/still_neutral.mp4"), onset=60, offset=120)
    assert found.outcome == found.display_label == "no expression" and found.label is None
    # Nor has all of it, ten seconds in which it wanders.
    for part in ({}, {"onset": 100}, {"onset": 10, "offset": 200}):
        assert aumer.classify(shared_data("videos_more/still_neutral.mp4"), **part).label is None


def test_what_is_unlike_all_training_is_doubted() -> None:
    """A map of coarse noise, to a recognizer of faces; and one that it compares with is not."""
    recognizer = interface.load("graph")
    assert isinstance(recognizer, GraphRecognizer)
    rng = np.random.default_rng(0)
    coarse = [rng.normal(size=(10, 10, 3)).astype(np.float32) for _ in range(12)]
    maps = [c.repeat(3, axis=0).repeat(3, axis=1)[:28, :28] for c in coarse]
    like = [recognizer.familiarity(one) for one in maps]
    assert max(like) < 0.05 and np.mean([x < 0.01 for x in like]) >= 0.5
    labeler = Labeler(recognizer, load_settings().motion)
    assert labeler.judge(maps[int(np.argmin(like))]).doubt == UNLIKE
    (member,) = recognizer._members
    shown = (
        recognizer._arrays[f"rows_{member.scale}"] * recognizer._arrays[f"deviation_{member.scale}"]
        + (recognizer._arrays[f"mean_{member.scale}"])
    )
    blocks = shown[0].reshape(9, 9, 3).astype(np.float32)
    known = cv2.resize(blocks, (28, 28), interpolation=cv2.INTER_NEAREST)
    assert recognizer.familiarity(known) > 0.5


def test_a_labeled_spot_that_does_not_move_keeps_no_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moving = aumer.spot(performance(), fps=FPS, recognizer=BySigns())
    assert moving.expressions and all(e.label is not None for e in moving.expressions)
    monkeypatch.setattr("aumer.spotting.noise.over_rest", lambda f, r, spans: [0.9] * len(spans))
    still = aumer.spot(performance(), fps=FPS, recognizer=BySigns())
    assert [e.interval for e in still.expressions] == [e.interval for e in moving.expressions]
    assert all(e.label is None for e in still.expressions)
    assert any("nothing moves from onset to apex" in note for note in still.notes)


def test_the_shipped_recognizer_on_real_smiles(shared_data: Callable[[str], Path]) -> None:
    found = aumer.classify(
        shared_data("videos/fex_smile_still.mov"), model=shipped(), onset=63, apex=76, offset=112
    )
    assert found.label == "positive"


# -- recognizers of sequences and of motion --------------------------------------------------------


@pytest.fixture(scope="module")
def sequence_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small cnn-lstm: it has seen simulated clips at 48 px, with four frames beside them."""
    from aumer.recognition.sequences.simulated import Simulation, simulated_clips
    from aumer.recognition.systems.cnn_lstm import CnnLstmRecognizer

    made = CnnLstmRecognizer(
        {"length": 8, "windows": 0, "channels": (4, 8)},
        {"epochs": 1, "inner_share": 0.0, "patience": 0},
        inputs=SequenceSettings(size=48, flow="farneback", margin=4),
    )
    made.fit(simulated_clips(Simulation(2, 1, size=48, fps=FPS)))
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    made.save(path, {"data": "simulated"})
    return path


def test_a_recognizer_of_sequences_is_given_what_it_learnt_from(
    sequence_weights: Path, passes: list[str]
) -> None:
    model = interface.load(sequence_weights)
    assert model.inputs == SequenceSettings(size=48, flow="farneback", margin=4)
    found = classify(SMILE, model=sequence_weights, onset=ONSET, apex=APEX, offset=25)
    assert (found.recognizer, found.onset, found.apex, found.offset) == ("cnn-lstm", 6, APEX, 25)
    assert found.flow_map is None and len(found.attribution) == 12
    assert len(passes) == 1
    clip = sequence_inputs(
        frames(SMILE), onset=ONSET, apex=APEX, offset=25, fps=FPS, settings=model.inputs
    )
    expected = model.predict_proba([clip])[0]
    assert list(found.probs.values()) == pytest.approx(expected.tolist(), abs=1e-3)
    assert len(found.digests["recognizer"]) == 64


def test_spotted_expressions_are_labeled_by_sequences(sequence_weights: Path) -> None:
    found = aumer.spot(performance(), fps=FPS, recognizer=sequence_weights, device="auto")
    assert len(found.expressions) >= 2
    assert all(e.label in ("negative", "positive", "surprise") for e in found.expressions)
    assert found.settings["recognition"] == {"recognizer": "cnn-lstm"}
    assert found.features is not None
    with pytest.raises(UsageError, match="'cnn-lstm' reads sequences of frames, which features"):
        aumer.spot(found.features, recognizer=sequence_weights)
    with pytest.raises(UsageError, match="device 'nowhere' cannot be used here"):
        aumer.Spotter(model="rules", recognizer=sequence_weights, device="nowhere")


@dataclass
class OfMotion(ByMotion):
    """Reads nothing else."""

    reads = ("motion",)

    def predict_proba(self, inputs: FloatArray, sources: Any = ()) -> Floats:
        return self.predict_motion(inputs)

    def attribution(self, clip: FloatArray, label: str | None = None) -> Floats | None:
        return None


def test_a_recognizer_of_motion_alone_names_what_a_video_shows() -> None:
    found = classify(BROWS_UP, model=OfMotion(), onset=ONSET, apex=APEX, offset=25)
    assert (found.label, found.attribution, found.flow_map) == ("surprise", {}, None)
    labels = {
        e.label for e in aumer.spot(performance(), fps=FPS, recognizer=OfMotion()).expressions
    }
    assert labels == {"positive", "surprise"}
