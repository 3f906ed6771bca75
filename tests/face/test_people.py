"""Several people in one film, composed of a real portrait: who is followed, and as whom.

All have the same face, so that nothing but place and movement can tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

import aumer
from aumer.cache import FeatureCache
from aumer.config import Settings, load_settings
from aumer.errors import NoFaceError, UsageError
from aumer.face.track import FaceTracker
from aumer.graph.rois import roi_set
from aumer.motion.analysis import analyze, analyze_all
from aumer.motion.joined import Analysis
from aumer.testing.moving_face import Bump, brow_raise, film, smile
from aumer.types import FaceTrack
from aumer.video import open_video

FPS = 30
ROIS = list(roi_set("published").landmarks)
#: The part of the portrait that a person is cut from, and where in it the face's middle lies.
WINDOW, MIDDLE = (145, 20, 305, 220), (78, 90)
HEIGHT, WIDTH = 260, 640


@dataclass(frozen=True)
class Person:
    """Where the face's middle is at each frame (`None`: not in the picture), and what it does."""

    path: Callable[[int], tuple[float, float] | None]
    bumps: tuple[Bump, ...] = ()
    scale: float = 1.0
    on_its_head: bool = False


def compose(
    frames: int, people: Sequence[Person], size: tuple[int, int] = (HEIGHT, WIDTH)
) -> np.ndarray:
    """(T, H, W, 3) uint8 RGB; who comes later in the list is in front."""
    times = np.arange(frames) / FPS
    seen = [  # of one who does nothing, a few frames with other noise are enough
        film(
            times if p.bumps else times[:10],
            bumps=p.bumps,
            scale=p.scale,
            window=WINDOW,
            noise=1.0,
            seed=k,
        )
        for k, p in enumerate(people)
    ]
    shown = np.full((frames, *size, 3), 90, np.uint8)
    for t in range(frames):
        for person, images in zip(people, seen, strict=True):
            place = person.path(t)
            if place is None:
                continue
            x, y = place[0] - MIDDLE[0] * person.scale, place[1] - MIDDLE[1] * person.scale
            # By parts of a pixel, as people move.
            cv2.warpAffine(
                images[t % len(images)][:: -1 if person.on_its_head else 1],
                np.array([(1, 0, x), (0, 1, y)], np.float64),
                size[::-1],
                dst=shown[t],
                borderMode=cv2.BORDER_TRANSPARENT,
            )
    return shown


def still(x: float, y: float = 120.0) -> Callable[[int], tuple[float, float]]:
    return lambda t: (x, y)


def settings(**face: object) -> Settings:
    return load_settings(overrides={"face": face, "motion": {"flow": "dis"}})


def middles(track: FaceTrack) -> np.ndarray:
    """(T,) x of the face's middle, NaN where it is not seen."""
    return np.asarray(track.landmarks[:, 27:48, 0].mean(axis=1))


# -- two people side by side ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def couple() -> np.ndarray:
    """The left one smiles at .8 to 2 s, the right one, who is larger, raises the brows at 2.6 s."""
    return compose(
        120,
        [
            Person(still(150), smile(0.8, 1.3, 2.0, 5.0)),
            Person(still(470, 110), brow_raise(2.6, 2.9, 3.5, 5.0), scale=1.2),
        ],
    )


def test_all_gives_a_result_for_each_face(couple: np.ndarray) -> None:
    left, right = aumer.spot(couple, fps=FPS, face="all", model="rules")
    assert (left.face, right.face) == (1, 2)
    assert left.track is not None
    assert right.track is not None
    assert middles(left.track) == pytest.approx(150, abs=12)
    assert middles(right.track) == pytest.approx(470, abs=12)
    (smiled,), (raised,) = left.expressions, right.expressions
    assert 0.6 < smiled.onset_s < 1.0
    assert 1.1 < smiled.apex_s < 1.6
    assert 2.4 < raised.onset_s < 2.8
    assert left.coverage == right.coverage == 1.0
    assert left.notes == right.notes == ()
    assert aumer.SpotResult.from_json(right.to_json()) == right
    assert right.to_dataframe()["face"].tolist() == [2]
    assert "face 2" in right.summary()


@pytest.mark.parametrize(
    ("face", "x"),
    [(None, 470), ("largest", 470), ("left", 150), ("right", 470), (1, 150), (2, 470)],
)
def test_one_face_is_chosen_and_a_word_is_said_of_the_other(
    couple: np.ndarray, face: str | int | None, x: float
) -> None:
    result = aumer.spot(couple[:60], fps=FPS, face=face, model="rules")
    assert isinstance(result, aumer.SpotResult)
    assert result.track is not None
    assert middles(result.track) == pytest.approx(x, abs=12)
    assert result.face == (face if isinstance(face, int) else None)
    (note,) = result.notes
    assert "2 faces" in note
    assert "`face='all'`" in note


@pytest.mark.parametrize("frames", [1, 9])
def test_faces_are_counted_in_a_short_clip(couple: np.ndarray, frames: int) -> None:
    for width, faces in ((WIDTH, 2), (300, 1)):
        track = analyze(couple[:frames, :, :width], settings(), fps=FPS).track
        assert track.faces == faces


def test_a_face_that_never_comes(couple: np.ndarray) -> None:
    for share in (0.0, 0.1):
        with pytest.raises(NoFaceError, match=r"only 2 faces appear.*number 3 was asked for"):
            aumer.spot(couple[:30], fps=FPS, face=3, model="rules", min_coverage=share)
    with pytest.raises(NoFaceError, match="only 1 face appears"):
        aumer.classify(couple[:30, :, :300], fps=FPS, settings={"face": {"follow": 2}})
    with pytest.raises(NoFaceError, match="no frame holds a usable face"):
        aumer.spot(np.full((30, 200, 200, 3), 90, np.uint8), fps=FPS, face="all", model="rules")


def test_a_wrong_choice_is_refused(couple: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"largest, left, right, all or the number of a face"):
        aumer.spot(couple[:2], fps=FPS, face="middle")
    for face in (0, -1, "01", " 1 ", "1 ", "+1", "1.0", "²", "١", True, 1.0):
        with pytest.raises(UsageError, match=r"face\.follow must be .*number"):
            aumer.spot(couple[:2], fps=FPS, face=face)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="each_face"):
        aumer.spot(couple[:2], fps=FPS, settings={"face": {"follow": "all"}})
    with pytest.raises(UsageError, match="say which"):
        aumer.classify(couple[:2], fps=FPS, settings={"face": {"follow": "all"}})


# -- comings and goings --------------------------------------------------------------------------


def test_one_who_leaves_and_returns_is_waited_for() -> None:
    """The larger one on the left leaves for a second; the other is there all the time."""

    def leaves(t: int) -> tuple[float, float] | None:
        return (140.0 - 8 * max(0, t - 30) if t < 60 else 140.0 - 8 * max(0, 120 - t), 120.0)

    frames = compose(150, [Person(leaves, scale=1.2), Person(still(480))])
    track = analyze(frames, settings(), fps=FPS).track
    x = middles(track)
    assert np.nanmax(x) < 240, "somebody else's face in the name of the one who was followed"
    assert track.valid[:35].all()
    assert track.valid[130:].all()
    assert not track.valid[62:90].any()


def test_a_larger_face_for_a_moment_does_not_take_over() -> None:
    def passes(t: int) -> tuple[float, float] | None:
        return (470.0, 120.0) if 20 <= t < 70 else None

    frames = compose(90, [Person(still(150)), Person(passes, scale=1.3)])
    found = analyze(frames, settings(), fps=FPS).track
    assert found.valid.all()
    assert middles(found) == pytest.approx(150, abs=12)
    assert found.faces == 2


@pytest.mark.parametrize("front", [0, 1])
def test_two_who_cross_keep_their_numbers(front: int) -> None:
    """One walks in front of the other; while they overlap neither is measured."""

    def walks(way: int) -> Callable[[int], tuple[float, float]]:
        return lambda t: (320.0 - way * (200.0 - 4.0 * t), 120.0 + 8 * way)

    ways = [(1, -1), (-1, 1)][front]
    frames = compose(101, [Person(walks(way)) for way in ways])
    one, two = (a.track for a in analyze_all(frames, settings(follow="all"), fps=FPS))
    expected = [np.array([walks(way)(t)[0] for t in range(101)]) for way in (1, -1)]
    for track, place in ((one, expected[0]), (two, expected[1])):
        assert track.valid[:30].all()
        assert track.valid[-25:].all()
        assert np.nanmax(np.abs(middles(track) - place)) < 25
        assert not track.valid[47:54].any()
    followed = analyze(frames, settings(follow="left"), fps=FPS).track
    assert followed.valid[-20:].all()
    assert np.nanmax(np.abs(middles(followed) - expected[0])) < 25


@pytest.mark.parametrize("speed", [10, 16])
def test_one_who_passes_in_front_is_not_taken_for_the_one_behind(speed: float) -> None:
    """Nobody knew of the one who passes. While the face is covered, its rows are not valid."""

    def passes(t: int) -> tuple[float, float]:
        return speed * (t - 8) - 80.0, 115.0

    frames = compose(100, [Person(still(320)), Person(passes, scale=1.1)])
    track = analyze(frames, settings(), fps=FPS).track
    assert np.nanmax(np.abs(middles(track) - 320)) < 25
    assert track.valid[:15].all()
    assert track.valid[-10:].all()
    assert not track.valid[round(8 + 400 / speed)]


# Faces about 150 px wide, as large as each other.
LARGE, LARGE_FACE, LARGE_SIZE = 1.6, 150, (340, 960)


def x_of(path: Callable[[int], tuple[float, float] | None], frames: int) -> np.ndarray:
    places = [path(t) for t in range(frames)]
    return np.array([np.nan if place is None else place[0] for place in places])


@pytest.mark.parametrize(
    ("speed", "known"), [*((v, False) for v in (4, 8, 16, 25, 40)), (8, True), (25, True)]
)
def test_the_followed_face_is_found_again_after_somebody_passed(speed: int, known: bool) -> None:
    """One who was there from the beginning, or appeared a moment ago."""

    def passes(t: int) -> tuple[float, float] | None:
        return (100.0 + speed * max(0, t - 12), 162.0) if known or t >= 8 else None

    frames = round(700 / speed) + 40
    people = [Person(still(480, 170), scale=LARGE), Person(passes, scale=LARGE)]
    film_ = compose(frames, people, LARGE_SIZE)
    track = analyze(film_, settings(follow="right"), fps=FPS).track
    apart = np.abs(x_of(passes, frames) - 480)
    assert np.nanmax(np.abs(middles(track) - 480)) < 0.3 * LARGE_FACE
    assert not track.valid[apart < 0.3 * LARGE_FACE].any()
    away = np.isnan(apart) | (apart > 1.3 * LARGE_FACE)
    assert track.valid[away].mean() > 0.95
    assert track.valid[-10:].all()


@pytest.mark.parametrize(
    ("speed", "in_front"), [*((v, False) for v in (4, 8, 16, 25, 40)), (8, True), (25, True)]
)
def test_two_who_cross_at_any_speed(speed: int, in_front: bool) -> None:
    """The followed face comes from the right, in front of the other or behind."""
    ends = 10 + 560 // speed

    def walks(way: int) -> Callable[[int], tuple[float, float]]:
        def path(t: int) -> tuple[float, float]:
            return 480.0 - way * (280.0 - speed * (min(max(t, 10), ends) - 10)), 170.0 + 5 * way

        return path

    frames = ends + 30
    ways = (1, -1) if in_front else (-1, 1)
    people = [Person(walks(way), scale=LARGE) for way in ways]
    tracker = FaceTracker.from_settings(settings(follow="right").face)
    found = [tracker(image) for image in compose(frames, people, LARGE_SIZE)]
    mine, others = x_of(walks(-1), frames), x_of(walks(1), frames)
    hidden = np.abs(mine - others) < 0.3 * LARGE_FACE
    first, last = found[0], found[-1]
    assert first is not None
    assert last is not None
    if not in_front:
        assert not any(found[k] for k in np.flatnonzero(hidden))
        assert last.run > first.run
    seen = np.array([np.nan if f is None else f.landmarks[27:48, 0].mean() for f in found])
    assert np.isfinite(seen[-15:]).all()
    if speed < 40:  # faster, geometry need not tell: who was whom may be mistaken, in a run anew
        assert np.nanmax(np.abs(seen - mine)) < 0.3 * LARGE_FACE


def test_one_who_passes_gets_a_number_and_takes_none() -> None:
    def passes(t: int) -> tuple[float, float] | None:
        return (100.0 + 12 * (t - 12), 162.0) if t >= 12 else None

    people = [Person(still(480, 170), scale=LARGE), Person(passes, scale=LARGE)]
    film_ = compose(90, people, LARGE_SIZE)
    one, two = (a.track for a in analyze_all(film_, settings(follow="all"), fps=FPS))
    assert np.nanmax(np.abs(middles(one) - 480)) < 0.3 * LARGE_FACE
    assert np.nanmax(np.abs(middles(two) - x_of(passes, 90))) < 0.3 * LARGE_FACE
    assert one.valid[-10:].all()


def test_one_who_was_taken_for_the_followed_is_let_go_of() -> None:
    """The followed face is gone for a moment, in which another comes, and stays."""

    def gone(t: int) -> tuple[float, float] | None:
        return None if 20 <= t < 50 else (480.0, 120.0)

    def comes(t: int) -> tuple[float, float] | None:
        return None if t < 24 else (150.0, 120.0)

    found = analyze(compose(100, [Person(gone), Person(comes)]), settings(), fps=FPS)
    x = middles(found.track)
    assert x[:20] == pytest.approx(480, abs=12)
    assert x[54:] == pytest.approx(480, abs=12)
    assert not found.features.valid[19]
    assert not found.features.valid[50:53].all()


def test_no_motion_is_measured_across_a_cut() -> None:
    """To another place in the picture, and back."""

    def jumps(t: int) -> tuple[float, float]:
        return (150.0, 120.0) if t < 30 or t >= 60 else (480.0, 110.0)

    found = analyze(compose(90, [Person(jumps)]), settings(), fps=FPS)
    assert found.track.valid.all()
    assert np.flatnonzero(~found.features.valid).tolist() == [29, 59]


def test_no_motion_is_measured_across_a_cut_to_another_person(
    shared_data: Callable[[str], Path],
) -> None:
    """At the same place and of the same size."""
    people = []
    for name in ("videos/fex_smile_still.mov", "videos/smile_512.mp4"):
        video = [frame.image for frame in open_video(shared_data(name), end=1.0)][:24]
        track = analyze(np.stack(video), settings(), fps=FPS).track
        right, left = track.landmarks[0, 36], track.landmarks[0, 45]
        scale = 90 / float(np.hypot(*(left - right)))
        middle = (left + right) / 2 * scale
        shift = np.array([(scale, 0, 160 - middle[0]), (0, scale, 120 - middle[1])])
        people.append([cv2.warpAffine(image, shift, (320, 320)) for image in video])
    frames = np.stack([*people[0], *people[1]])
    found = analyze(frames, settings(), fps=FPS)
    assert found.track.valid.all()
    assert np.flatnonzero(~found.features.valid).tolist() == [23]


@pytest.mark.parametrize("growth", [2.0, 0.5])
def test_a_cut_to_a_close_up_is_followed_in_a_new_run(growth: float) -> None:
    wide = min(1.0, 1 / growth) * 2
    people = [
        Person(lambda t: (300, 200) if t < 30 else None, scale=wide),
        Person(lambda t: (310, 200) if t >= 30 else None, scale=wide * growth),
    ]
    found = analyze(compose(80, people, (480, WIDTH)), settings(), fps=FPS)
    assert found.track.valid[:30].all()
    assert found.track.valid[-25:].all()
    assert not found.features.valid[29]


# -- pieces --------------------------------------------------------------------------------------


def test_faces_keep_their_numbers_from_piece_to_piece(couple: np.ndarray, tmp_path: Path) -> None:
    """And an interrupted run, which goes on after the last whole piece, gives the same bits."""
    chosen = settings(follow="all", restart_s=1.0)
    whole = analyze_all(couple, chosen, fps=FPS)
    assert [a.track.number for a in whole] == [1, 2]

    class Stopped(Exception):
        pass

    def stop(done: int, _: int | None) -> None:
        if done > 80:
            raise Stopped

    cache = FeatureCache(tmp_path, "couple")
    with pytest.raises(Stopped):
        analyze_all(couple, chosen, fps=FPS, cache=cache, progress=stop)
    assert cache.chunks() == 2
    resumed = analyze_all(couple, chosen, fps=FPS, cache=cache)
    kept = analyze_all(couple, chosen, fps=FPS, cache=cache)
    for other in (resumed, kept):
        for a, b in zip(whole, other, strict=True):
            same(a, b)
    # A piece's end is nothing that a face does.
    long = analyze_all(couple, settings(follow="all"), fps=FPS)
    for a, b in zip(whole, long, strict=True):
        assert np.abs(a.track.landmarks - b.track.landmarks)[:, 17:].mean() < 0.15
    for one in whole:
        step = np.abs(np.diff(one.track.landmarks[:, ROIS], axis=0)).max(axis=(1, 2))
        assert step[[29, 59, 89]].max() < 0.5


def same(a: Analysis, b: Analysis) -> None:
    for one, other in ((a.track, b.track), (a.features, b.features)):
        assert vars(one).keys() == vars(other).keys()
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


# -- pictures that lie on their side ---------------------------------------------------------------


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_is_found_and_said(turns: int) -> None:
    upright = compose(75, [Person(still(320), smile(0.6, 1.1, 1.9, 5.0))])[:, :, 190:450]
    turned = np.ascontiguousarray(np.rot90(upright, -turns, axes=(1, 2)))
    plain = aumer.spot(upright, fps=FPS, model="rules")
    result = aumer.spot(turned, fps=FPS, model="rules")
    assert result.track is not None
    assert plain.track is not None
    assert result.track.turned == 90 * turns
    (note,) = result.notes
    assert f"turned by {90 * turns} degrees clockwise" in note
    assert result.coverage == 1.0
    (one,), (other,) = plain.expressions, result.expressions
    assert abs(one.onset - other.onset) <= 3  # rounding turns with the picture
    assert abs(one.offset - other.offset) <= 3
    # Landmarks are those of the picture as it came: back upright they are the plain film's.
    height, width = upright.shape[1:3]
    x, y = result.track.landmarks[..., 0], result.track.landmarks[..., 1]
    back = {1: (y, height - 1 - x), 2: (width - 1 - x, height - 1 - y), 3: (width - 1 - y, x)}[
        turns
    ]
    assert np.abs(np.stack(back, axis=-1) - plain.track.landmarks).max() < 0.5


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize(
    ("name", "at"), [("videos/fex_two_smiles.mov", 0), ("videos_more/webcam_posed.mp4", 20)]
)
def test_a_picture_in_which_the_detector_likes_faces_that_lie_is_turned(
    shared_data: Callable[[str], Path], name: str, at: int, turns: int
) -> None:
    """Of the one its box scores .87, with no landmarks the right way up; of the other, made up."""
    with open_video(shared_data(name)) as video:
        image = next(frame.image for frame in video if frame.index == at)
    tracker = FaceTracker.from_settings(settings().face)
    assert tracker(np.ascontiguousarray(np.rot90(image, -turns))) is not None
    assert tracker.turns == turns


@pytest.mark.parametrize("pause", [0, 40])
@pytest.mark.parametrize("x", [150, 400])
def test_a_photo_that_stands_on_its_head_turns_the_picture_for_its_own_time_only(
    pause: int, x: float
) -> None:
    """A second of it alone, then a moving face the right way up, there or elsewhere."""

    def photo(t: int) -> tuple[float, float] | None:
        return (400.0, 140.0) if t < 30 else None

    def moves(t: int) -> tuple[float, float] | None:
        return (x + 15 * float(np.sin(t / 8)), 120.0) if t >= 30 + pause else None

    frames = compose(130, [Person(photo, on_its_head=True), Person(moves)])
    tracker = FaceTracker.from_settings(settings().face)
    turns, faces = [], []
    for image in frames:
        faces.append(tracker(image))
        turns.append(tracker.turns)
    assert turns[:30] == [2] * 30
    assert turns[-60:] == [0] * 60
    expected = x_of(moves, 130)
    for face, there in zip(faces[-45:], expected[-45:], strict=True):
        assert face is not None
        assert face.landmarks[27:48, 0].mean() == pytest.approx(there, abs=12)
        assert face.landmarks[36:48, 1].mean() < face.landmarks[48:68, 1].mean() - 15
