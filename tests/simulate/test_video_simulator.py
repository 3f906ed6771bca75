"""The video simulator: exact warps, the same performance at any rate, files that read back."""

from __future__ import annotations

import ast
import csv
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import aumer
from aumer.errors import NoFaceError, UsageError
from aumer.flow.opencv import dis
from aumer.simulate import disturbances, nuisance, performance, warp
from aumer.simulate.disturbances import moved
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import (
    Film,
    Nuisance,
    Performance,
    frame_count,
    simulate_video,
    truth,
    write_casme_sq_layout,
    write_truth,
    write_video,
)
from aumer.simulate.warp import Face, Lattice, load_portrait, spline_coefficients
from aumer.video import open_video

SMALL = (320, 240)
STILL = Nuisance.none()


@pytest.fixture(scope="module")
def face() -> Face:
    return Face(None, SMALL)


def acted(
    *aus: int, intensity: float = 0.8, kind: str = "macro", duration: float = 3.0
) -> Timeline:
    actions = tuple((au, "both") for au in aus)
    return Timeline(duration, (Event(kind, actions, 0.8, 1.2, 1.6, 2.0, intensity),))  # type: ignore[arg-type]


REST = Timeline(3.0, ())


# -- the warp ----------------------------------------------------------------------------------


def gaussian(points: np.ndarray) -> np.ndarray:
    """A push of 9 px whose steepest slope is .47, and sway."""
    square = ((points - (81.3, 60.7)) ** 2).sum(axis=-1, keepdims=True)
    return np.array([9.0, -6.0]) * np.exp(-square / (2 * 14.0**2)) + (1.3, -0.4)


def test_the_inverse_of_a_warp_is_met_to_a_fiftieth_of_a_pixel() -> None:
    lattice = Lattice((160, 120), step=5.0, margin=48)
    p = lattice.inverse(gaussian(lattice.nodes))
    q = np.stack(np.meshgrid(np.arange(160), np.arange(120)), axis=-1)
    assert p.shape == (120, 160, 2)
    assert np.abs(p + gaussian(p) - q).max() < 0.02


def test_a_block_is_inverted_as_the_whole_is() -> None:
    lattice = Lattice((160, 120), step=4.0, margin=48)
    forward = gaussian(lattice.nodes)
    block = lattice.block(20, 10, 140, 110)
    rows, columns = lattice.pixels(block)
    assert rows.stop - rows.start > 60 and columns.stop - columns.start > 80
    part = lattice.inverse(forward, block)
    np.testing.assert_allclose(part, lattice.inverse(forward)[rows, columns], atol=0.02)


@pytest.mark.parametrize("aus", [(6, 12), (1, 2), (25, 26), (18,)])
def test_a_face_is_inverted_exactly(face: Face, aus: tuple[int, ...]) -> None:
    film = Film(acted(*aus, intensity=1.0), face=face, nuisance=Nuisance.none(sway=1, turns=1))
    q = np.stack(np.meshgrid(np.arange(320), np.arange(240)), axis=-1)
    for sheet in film.forward(1.3):
        p = face.lattice.inverse(sheet)
        there = face.lattice.at(spline_coefficients(sheet), p.reshape(-1, 2)).reshape(p.shape)
        assert np.abs(p + there - q).max() < 0.02


# -- what is seen --------------------------------------------------------------------------------

#: Landmarks that an AU moves most.
MOVED = {(12,): [48, 54], (1, 2): [19, 20, 23, 24], (4,): [21, 22], (25, 26): [57, 8]}


@pytest.mark.parametrize("aus", MOVED)
def test_measured_motion_is_the_rendered_one(face: Face, aus: tuple[int, ...]) -> None:
    film = Film(acted(*aus, intensity=0.5), face=face, nuisance=STILL)
    first, last = 0.8, 1.2
    gray = [cv2.cvtColor(film.frame(t), cv2.COLOR_RGB2GRAY) for t in (first, last)]
    seen = dis(*gray)
    true = film.motion(first, last)
    for k in MOVED[aus]:
        x, y = np.rint(film.landmarks(first)[k]).astype(int)
        box = slice(y - 4, y + 5), slice(x - 4, x + 5)
        mine, theirs = seen[box].mean(axis=(0, 1)), true[box].mean(axis=(0, 1))
        assert np.hypot(*theirs) > 0.5
        assert np.hypot(*(mine - theirs)) < 0.3 * np.hypot(*theirs), k


def test_nothing_moves_at_rest(face: Face) -> None:
    film = Film(REST, face=face, nuisance=STILL)
    np.testing.assert_array_equal(film.frame(0.0), film.frame(2.3))
    assert np.abs(film.motion(0.0, 1.0)).max() < 0.01
    np.testing.assert_allclose(film.landmarks(1.0), face.landmarks)


def test_sides_are_the_subjects(face: Face) -> None:
    left = Timeline(3.0, (Event("macro", ((12, "left"),), 0.8, 1.2, 1.6, 2.0, 0.8),))
    moved = Film(left, face=face, nuisance=STILL).landmarks(1.2) - face.landmarks
    assert np.hypot(*moved[54]) > 10 * np.hypot(*moved[48])  # 54 lies on the image's right


def test_a_dropped_jaw_shows_the_dark_inside(face: Face) -> None:
    film = Film(acted(25, 26, intensity=1.0), face=face, nuisance=STILL)
    (x, top), (_, bottom) = film.landmarks(1.2)[[62, 66]]  # the lips' inner edges
    between = slice(int(top), int(bottom) + 1), slice(int(x) - 1, int(x) + 2)
    before, after = (film.frame(t)[between].mean(axis=(1, 2)).min() for t in (0.5, 1.2))
    assert after < before / 2


def test_a_blink_hides_the_iris(face: Face) -> None:
    film = Film(REST, face=face, nuisance=Nuisance.none(blinks=3.0), seed=1)
    blink = film.performance.blinks[0]
    x, y = np.rint(face.landmarks[36:42].mean(axis=0)).astype(int)
    spot = slice(y - 1, y + 2), slice(x - 1, x + 2)
    shut = film.frame(blink.start_s + blink.closing_s + 0.01)[spot].mean()
    assert shut > film.frame(max(0.0, blink.start_s - 0.01))[spot].mean() + 30


# -- time, seed, nuisance --------------------------------------------------------------------------


def test_frames_are_a_function_of_seed_and_time() -> None:
    film = list(simulate_video(acted(12), fps=4.0, size=SMALL, seed=3))
    again = list(simulate_video(acted(12), fps=4.0, size=SMALL, seed=3))
    other = list(simulate_video(acted(12), fps=4.0, size=SMALL, seed=4))
    assert len(film) == 12 and film[0].shape == (240, 320, 3) and film[0].dtype == np.uint8
    np.testing.assert_array_equal(film, again)
    assert (np.array(film) != np.array(other)).any()


def test_a_negative_seed_is_refused(face: Face) -> None:
    with pytest.raises(UsageError, match="seed must be 0 or more; found -1"):
        Film(REST, face=face, seed=-1)


def test_a_performance_is_the_same_at_every_rate(face: Face) -> None:
    quiet = Nuisance(noise=0.0)
    slow, fast = (Film(acted(12), face=face, nuisance=quiet, seed=5) for _ in range(2))
    np.testing.assert_array_equal(slow.frame(45 / 30, 45), fast.frame(300 / 200, 300))


@pytest.mark.slow
def test_intervals_are_the_same_at_30_and_200_fps(face: Face) -> None:
    film = Film(acted(1, 2), face=face, nuisance=Nuisance(noise=0.0), seed=2)
    spotted = []
    for fps in (30.0, 200.0):
        frames = np.zeros((frame_count(REST, fps), 240, 320, 3), np.uint8)
        slot = -1
        for k in range(len(frames)):
            # The analysis looks at one frame for each 30th of a second: only those are drawn.
            if (now := int(k / fps * 30 + 0.45)) > slot:
                slot, frames[k] = now, film.frame(k / fps, k)
        spotted.append(aumer.spot(frames, fps=fps).expressions)
    assert [e.kind for e in spotted[0]] == [e.kind for e in spotted[1]] == ["macro"]
    a, b = (e[0] for e in spotted)
    assert abs(a.onset_s - b.onset_s) <= 1 / 30 + 1e-6
    assert abs(a.offset_s - b.offset_s) <= 1 / 30 + 1e-6


def test_no_nuisance_changes_an_expression() -> None:
    timeline = acted(12, duration=20.0)
    loud = Performance(timeline, Nuisance(talking=5.0, blinks=3.0), 1)
    assert loud.talking
    for t in np.linspace(0.81, 1.99, 20):
        assert loud.actions(float(t)) == timeline.intensities(float(t))


def test_nuisances_are_drawn_apart() -> None:
    """Switching one off changes no other."""
    all_, few = (Performance(REST, n, 7) for n in (Nuisance(), Nuisance(sway=0, talking=0)))
    assert all_.blinks == few.blinks and all_.gaze(1.7) == few.gaze(1.7)
    assert all_.pose(1.0).yaw == few.pose(1.0).yaw and few.pose(1.0).x == 0


def test_the_head_turns_in_films_as_in_features() -> None:
    """What is drawn is the same: turns aside come back, those of posture stay."""
    rest = Timeline(events=(), duration_s=600.0)
    for name, kind in (("aside", "head_turns"), ("posture", "posture")):
        film = Performance(rest, Nuisance.none(**{name: 5.0}), 2)
        drawn = nuisance.load([kind])[kind]
        drawn = replace(drawn, per_min=5 * drawn.per_min)
        stream = np.random.default_rng([2, {"aside": 7, "posture": 8}[name]])
        moves = list(drawn.moves(stream, np.array([0.0, 600.0])))
        for t in (0.0, 30.0, 123.0, 599.0):
            pose = film.pose(t)
            assert [pose.yaw, pose.pitch] == moved(moves, t, 2).tolist()
        returns = abs(film.pose(610.0).yaw) < 1e-12
        assert len(moves) > 20 and returns == (name == "aside")


@pytest.mark.parametrize(
    ("cause", "drawn_by", "method", "kind"),
    [
        ("head_sway", disturbances.Sway, "drawn", "sway"),
        ("gaze_shifts", disturbances.Gaze, "moves", "gaze"),
        ("lighting_drift", disturbances.Light, "drawn", "light"),
        ("head_turns", disturbances.HeadTurns, "moves", "aside"),
        ("posture", disturbances.Posture, "moves", "posture"),
        ("blinks", disturbances.Lids, "drawn", "blinks"),
        ("remarks", disturbances.Remarks, "drawn", "talking"),
    ],
)
def test_films_and_features_draw_the_same_curves(
    monkeypatch: pytest.MonkeyPatch, cause: str, drawn_by: type, method: str, kind: str
) -> None:
    asked = []
    draw = vars(drawn_by)[method]

    def watched(self: object, *given: Any) -> Any:
        asked.append(self)
        return draw(self, *given)

    monkeypatch.setattr(drawn_by, method, watched)
    nuisance.load([cause])[cause].path(np.random.default_rng(0), np.arange(300) / 30)
    assert len(asked) == 1, "features draw it otherwise"
    Performance(Timeline(10.0, ()), Nuisance.none(**{kind: 1.0}), 0)
    assert len(asked) > 1, "films draw it otherwise"


def test_a_film_draws_nothing_by_itself() -> None:
    """Its one number of its own is the depth of the face, which no feature has."""
    source = Path(performance.__file__).read_text(encoding="utf-8")
    calls = {
        node.func.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    draws = {name for name in dir(np.random.Generator) if not name.startswith("_")}
    assert calls & draws == {"standard_normal"} and source.count("standard_normal") == 1


def test_the_head_and_the_eyes_move_as_measured() -> None:
    """Speed and spread of the head held still, and how often and how far eyes move."""
    performances = [Performance(Timeline(30.0, ()), Nuisance(), seed) for seed in range(20)]
    times = np.arange(900) / 30
    speeds, shifts, gazes = [], [], []
    for one in performances:
        poses = [one.pose(t) for t in times.tolist()]
        place = np.array([(p.x, p.y) for p in poses])
        speeds.append(np.median(np.hypot(*np.diff(place, axis=0).T)) * 30)
        shifts.append(place)
        gazes.append([one.gaze(t) for t in times.tolist()])
    assert np.median(speeds) == pytest.approx(0.025, abs=0.002)
    assert np.std(shifts) == pytest.approx(0.015, abs=0.002)
    moves = (np.abs(np.diff(gazes, axis=1)).max(axis=2) > 1e-6).mean()
    # 52 saccades a minute of .02 to .04 s, each of which two frames at 30 a second see or one.
    assert 52 / 1800 < moves < 2.2 * 52 / 1800
    spread = np.degrees(np.arcsin(np.array(gazes) / nuisance.of_films().eyeball)).std(axis=(0, 1))
    np.testing.assert_allclose(spread, (3.5, 1.75), rtol=0.2)  # of 4 and 2, cut at twice as much


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nuisance", "seed"),
    [
        (Nuisance.none(blinks=2.0, gaze=1.0), 1),
        (Nuisance.none(sway=1.0, turns=1.0), 5),
        (Nuisance.none(talking=2.0), 1),
    ],
    ids=["blinks", "sway", "talking"],
)
def test_a_nuisance_alone_is_no_expression(nuisance: Nuisance, seed: int) -> None:
    timeline = Timeline(4.5 if nuisance.talking else 3.0, ())
    assert not nuisance.talking or Performance(timeline, nuisance, seed).talking
    film = np.stack(list(simulate_video(timeline, size=SMALL, nuisance=nuisance, seed=seed)))
    # Of syllables as quick and large as expressions the network reports some.
    model = "rules" if nuisance.talking else "combined"
    assert aumer.spot(film, fps=30.0, model=model).expressions == ()


# -- files -----------------------------------------------------------------------------------------


def test_a_film_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    timeline = acted(12, duration=2.5)
    write_video(path, timeline, fps=6.0, size=SMALL, codec="FFV1", seed=2)
    expected = list(simulate_video(timeline, fps=6.0, size=SMALL, seed=2))
    with closing(open_video(path)) as video:
        frames = list(video)
        assert (video.info.width, video.info.height, video.info.fps) == (320, 240, 6.0)
    assert len(frames) == frame_count(timeline, 6.0) == 15
    np.testing.assert_array_equal([f.image for f in frames], expected)
    kept = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        write_video(path, timeline, size=SMALL)
    assert path.read_bytes() == kept and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "codec", "said"),
    [("film.gif", None, "found '.gif'"), ("film.mp4", "FFV1", "does not fit .mp4")],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, name: str, codec: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        write_video(tmp_path / name, REST, codec=codec)


def test_truth_reads_back(tmp_path: Path) -> None:
    timeline = Timeline(
        4.0,
        (
            Event("macro", ((6, "both"), (12, "left")), 0.5, 1.0, 1.5, 2.0, 0.7),
            Event("micro", ((4, "both"),), 3.6, 3.8, 3.8, 4.0, 0.4),
        ),
    )
    path = tmp_path / "truth.csv"
    write_truth(path, timeline, 30.0, file="film.mp4")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["au"] for r in rows] == ["6+L12", "4"]
    found = [(r["kind"], *(int(r[k]) for k in ("onset", "apex", "offset"))) for r in rows]
    assert found == [("macro", 15, 30, 60), ("micro", 108, 114, 119)]  # frame 120 there is none
    assert found == [(e.kind, e.onset, e.apex, e.offset) for e in truth(timeline, 30.0)]
    assert float(rows[0]["offset_s"]) == 2.0 and rows[0]["n_frames"] == "120"
    with pytest.raises(UsageError, match="exists already"):
        write_truth(path, timeline, 30.0, file="film.mp4")
    write_truth(path, REST, 30.0, file="film.mp4", overwrite=True)
    assert path.read_text(encoding="utf-8").splitlines()[1].startswith("film.mp4,30,90,0,,,,none,")


def test_casme_layout_reads_back(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    folder = tmp_path / "set"
    videos = {(15, "0101disgust1"): acted(12), (16, "0502happy1"): acted(4, kind="macro")}
    write_casme_sq_layout(folder, videos, fps=2.0, size=SMALL)
    frames = sorted((folder / "rawpic" / "s15" / "15_0101disgust1").iterdir())
    assert [f.name for f in frames] == [f"img_{k:04d}.jpg" for k in range(1, 7)]
    image = cv2.imread(str(frames[0]))
    assert image is not None and image.shape == (240, 320, 3)
    book = load_workbook(folder / "CAS(ME)^2code_final.xlsx")
    assert book.sheetnames == ["CASFEcode_final", "naming rule1", "naming rule2"]
    codes, folders, names = (list(sheet.iter_rows(values_only=True)) for sheet in book)
    assert codes[1:] == [
        (1, "disgust1_1", 3, 3, 5, 12, "positive", "macro-expression", "happiness", "=E2-C2"),
        (2, "happy1_1", 3, 3, 5, 4, "negative", "macro-expression", "anger", "=E3-C3"),
    ]
    assert folders[1:] == [(15, "s15", 1), (16, "s16", 2)]
    assert names[1:] == [("0101", "disgust1"), ("0502", "happy1")]
    with pytest.raises(UsageError, match="exists already"):
        write_casme_sq_layout(folder, videos)
    with pytest.raises(UsageError, match="four digits"):
        write_casme_sq_layout(tmp_path / "other", {(15, "disgust1"): REST})


# -- portraits and other arguments -----------------------------------------------------------------


def test_a_portrait_of_the_users(tmp_path: Path) -> None:
    from skimage.data import astronaut

    path = tmp_path / "me.png"
    cv2.imwrite(str(path), astronaut()[:300, 80:380, ::-1])
    frame = next(simulate_video(REST, portrait=path, size=SMALL))
    assert frame.shape == (240, 320, 3)


def test_beyond_a_tight_portrait_there_are_no_stripes() -> None:
    portrait = load_portrait(None)[20:220, 130:330]
    made = Face(portrait, SMALL).texture
    # Six tenths of it lie beyond; the portrait's columns would be drawn out to its upper edge.
    across = np.abs(np.diff(made, axis=1)).max(axis=2)
    assert across[:40].max() < 3 < across[300:].max()
    # That of aumer's own is as it was: the films of before are made again as they were.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warp, "_unsmeared", lambda texture, *given: texture)
        before = Face(None, SMALL).texture
    np.testing.assert_array_equal(Face(None, SMALL).texture, before)


def test_a_portrait_without_a_face() -> None:
    with pytest.raises(NoFaceError, match="no face in the portrait"):
        simulate_video(REST, portrait=np.full((200, 200, 3), 128, np.uint8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"portrait": "nowhere.png"}, "does not exist: give a portrait"),
        ({"portrait": np.zeros((9, 9), np.uint8)}, "must be an"),
        ({"size": (321, 240)}, "even numbers"),
        ({"fps": 0.0}, "fps must be > 0"),
        ({"fps": 0.1}, "hold no frame"),
    ],
)
def test_arguments_are_checked_at_the_call(change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        simulate_video(REST, **change)  # type: ignore[arg-type]


def test_nuisances_are_checked() -> None:
    with pytest.raises(UsageError, match="sway must be >= 0"):
        Nuisance(sway=-1.0)
    with pytest.raises(UsageError, match="quality must lie"):
        Nuisance(quality=0)
