"""Expressions played into neutral recordings: the truth holds, and nothing else is changed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import aumer
from aumer.errors import NoFaceError, UsageError, VideoError
from aumer.face.crop import applied
from aumer.simulate.neutral import Neutral, NeutralFilm, names_of
from aumer.simulate.neutral_motion import dithered
from aumer.simulate.timeline import UPPER, Event, Timeline, draw
from aumer.simulate.video import Film, Nuisance, Shot, write_truths
from aumer.simulate.warp import Face
from aumer.video import ArraySource

BROWS, SMILE = ((4, "both"),), ((12, "both"),)
#: Half of what a micro-expression rises and falls in, seconds.
RISE = 0.165


def micro(at: float, aus: tuple[tuple[int, str], ...] = BROWS, intensity: float = 0.2) -> Event:
    """A micro-expression whose apex is at a time."""
    return Event("micro", aus, at - RISE, at, at, at + 0.3, intensity)


@lru_cache(maxsize=1)
def recording() -> npt.NDArray[np.uint8]:
    """36 frames at 30/s of a still face in a sensor's noise."""
    rest = Film(
        Timeline(1.2, ()),
        nuisance=Nuisance.none(noise=1.0, sway=0.3),
        seed=3,
        face=Face(None, (320, 240)),
    )
    return np.stack([rest.frame(k / 30, k) for k in range(36)])


@lru_cache(maxsize=1)
def neutral() -> Neutral:
    return Neutral.open(recording(), fps=30.0)


def shown(film: NeutralFilm) -> npt.NDArray[np.uint8]:
    return np.stack(list(film.frames()))


def test_a_recording_knows_where_its_face_is() -> None:
    found = neutral()
    assert (found.count, found.fps, found.size, found.first) == (36, 30.0, (320, 240), 0)
    assert found.duration_s == pytest.approx(1.2) and found.notes == ()
    assert found.range_text == "array 0-35"
    eyes = found.skin.mean[45] - found.skin.mean[36]
    assert eyes == pytest.approx([1, 0], abs=0.15)


def test_only_the_moving_skin_is_changed() -> None:
    """Before, after and away from an expression each pixel is the recording's."""
    film = neutral().film(Timeline(1.2, (micro(0.6),)))
    frames = shown(film)
    same = (frames == recording()).all(axis=(1, 2, 3))
    acting = [bool(film.timeline.intensities(k / 30)) for k in range(36)]
    assert not any(same[acting]) and all(same[~np.array(acting)])
    changed = (frames[18] != recording()[18]).any(axis=-1)
    y, x = np.nonzero(changed)
    upright = applied(film.neutral.skin.to_face[18], np.stack([x, y], axis=-1).astype(float))
    assert upright[:, 1].max() < 0.1 and np.abs(upright[:, 0]).max() < 1.0  # brows: no mouth


@pytest.mark.parametrize("aus", [BROWS, SMILE], ids=["4", "12"])
def test_what_is_played_in_is_what_is_measured(aus: tuple[tuple[int, str], ...]) -> None:
    """The displacement that aumer measures at the apex, less that of the recording."""
    line = neutral().sized(Timeline(1.2, (micro(0.6, aus),)), amplitude=0.015)
    film = neutral().film(line)
    assert film.displacements == pytest.approx((0.015,))
    motion, rest = (
        aumer.features(frames, fps=30.0).displacement() for frames in (shown(film), recording())
    )
    measured = (motion - rest)[18] - (motion - rest)[12]
    true = film.displacement(np.array([0.4, 0.6]))
    true = true[1] - true[0]
    largest = int(np.hypot(*true.T).argmax())
    along = true[largest] / np.hypot(*true[largest])
    assert measured[largest] @ along == pytest.approx(0.015, abs=0.004)
    assert np.hypot(*(measured - true).T).max() < 0.006


def test_an_event_rises_from_nothing_to_its_size_and_back() -> None:
    film = neutral().film(Timeline(1.2, (micro(0.6),)))
    times = np.array([0.0, 0.6 - RISE, 0.6 - RISE / 2, 0.6, 0.9, 1.1])
    size = np.hypot(*np.moveaxis(film.displacement(times), -1, 0)).max(axis=1)
    assert size == pytest.approx(
        [0, 0, film.displacements[0] / 2, film.displacements[0], 0, 0], abs=1e-9
    )


def test_the_seed_is_the_film() -> None:
    line = Timeline(1.2, (micro(0.6),))
    once, again, other = (shown(neutral().film(line, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any() and np.abs(once.astype(int) - other).max() <= 1  # roundings alone


def test_a_longer_film_goes_to_and_fro_and_a_shorter_one_shows_a_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = [*range(36), *range(34, -1, -1), *range(1, 20)]
    seen = list(neutral().images(0, 90))
    assert [place for place, _ in seen] == places[:90]
    monkeypatch.setattr("aumer.simulate.neutral._BACKWARDS", 5 * 320 * 240 * 3)
    blocks = list(neutral().images(0, 90))  # backward by five frames
    for (place, image), (same, again) in zip(seen, blocks, strict=True):
        assert place == same
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(image, recording()[place])
    films = [neutral().film(Timeline(1.0, ()), seed=s) for s in range(20)]
    assert {film.start for film in films} <= set(range(7)) and len({f.start for f in films}) > 2
    film = films[3]
    np.testing.assert_array_equal(shown(film), recording()[film.start : film.start + 30])


def test_strength_scales_and_an_amplitude_is_met() -> None:
    line = Timeline(3.0, (micro(0.6), Event("macro", SMILE, 1.0, 1.4, 1.8, 2.2, 0.3)))
    once, twice = (neutral().film(neutral().sized(line, strength=s)) for s in (1.0, 2.0))
    assert twice.displacements == pytest.approx([2 * d for d in once.displacements])
    most = neutral().sized(line, strength=100.0)
    assert [e.intensity for e in most.events] == [1.0, 1.0]
    given = neutral().film(neutral().sized(line, amplitude=0.01))
    assert given.displacements == pytest.approx((0.01, once.displacements[1]))  # micro alone
    lids = Timeline(3.0, (micro(0.6, ((43, "both"),), 0.1),))
    assert neutral().sized(lids, amplitude=0.01).events[0].intensity == 0.1


def test_micro_is_what_is_short() -> None:
    line = Timeline(
        3.0,
        (
            Event("macro", BROWS, 0.1, 0.3, 0.3, 0.6, 0.2),
            Event("micro", SMILE, 1.0, 1.2, 1.3, 1.6, 0.2),
        ),
    )
    assert [e.kind for e in neutral().film(neutral().sized(line)).expressions] == ["micro", "macro"]


def test_a_micro_expression_begins_while_a_macro_expression_is_held() -> None:
    """In the other half of the face; both are played in at once."""
    lines = [
        draw(np.random.default_rng([11, k]), 60.0, rate_per_min=20.0, held=1.0) for k in range(20)
    ]
    nested = 0
    for line in lines:
        hosts = [e for e in line.events if e.kind == "macro"]
        inside = [e for e in line.events if e.kind == "micro"]
        for e in inside:
            around = [h for h in hosts if h.onset_s <= e.onset_s < h.offset_s]
            for host in around:
                nested += 1
                assert host.apex_s <= e.onset_s <= host.release_s and e.offset_s <= host.offset_s
                upper = {au in UPPER for au, _ in e.aus if au not in (6, 9)}
                assert upper.isdisjoint({au in UPPER for au, _ in host.aus if au not in (6, 9)})
        for a, b in pairwise(inside):
            assert a.offset_s <= b.onset_s
    assert nested > 40
    both = Timeline(1.2, (Event("macro", SMILE, 0.05, 0.3, 0.9, 1.15, 0.3), micro(0.6)))
    film = neutral().film(both)
    smile = neutral().film(Timeline(1.2, both.events[:1]))
    at = np.array([0.6])
    gained = film.displacement(at) - smile.displacement(at)
    assert np.hypot(*gained[0].T).max() == pytest.approx(film.displacements[1])
    one, other = (next(islice(f.frames(), 18, None)) for f in (film, smile))
    changed = (one != other).any(axis=-1)
    assert changed[: changed.shape[0] // 2].any()


@pytest.mark.parametrize("held", [-0.1, 1.1])
def test_a_share_is_a_share(held: float) -> None:
    with pytest.raises(UsageError, match="0 to 1"):
        draw(np.random.default_rng(0), 10.0, held=held)


def test_draws_are_for_the_face_and_by_seed() -> None:
    lines = [
        neutral().draw((s,), seconds=60.0, rate_per_min=20.0, amplitude=0.02) for s in (1, 1, 2)
    ]
    assert lines[0] == lines[1] != lines[2]
    assert lines[0].duration_s == 60.0 and neutral().draw((1,)).duration_s == pytest.approx(1.2)
    micros = [e for e in lines[0].events if e.kind == "micro"]
    assert micros and all(e.offset_s - e.onset_s <= 0.5 + 1e-6 for e in micros)


def test_rounding_is_true_in_the_mean() -> None:
    values = np.full((200, 200, 3), 100.25)
    assert dithered(values, (1,)).mean() == pytest.approx(100.25, abs=0.01)
    np.testing.assert_array_equal(dithered(np.arange(256.0), (1,)), np.arange(256))


def test_the_truth_says_how_far_skin_moves(tmp_path: Path) -> None:
    film = neutral().film(Timeline(1.2, (micro(0.6),)))
    still = neutral().film(Timeline(1.2, ()))
    write_truths(tmp_path / "truth.csv", {"a.avi": film.shot(), "b.avi": still.shot()})
    with (tmp_path / "truth.csv").open(newline="", encoding="utf-8") as file:
        acted, rest = csv.DictReader(file)
    assert float(acted["displacement"]) == pytest.approx(film.displacements[0], abs=1e-6)
    assert acted["note"] == "played into array 0-35"
    assert (rest["file"], rest["kind"], rest["displacement"]) == ("b.avi", "none", "")
    plain = Shot(film.timeline, 30.0, (2, 2), lambda: iter(()))
    write_truths(tmp_path / "plain.csv", {"a.avi": plain})
    assert "displacement" not in (tmp_path / "plain.csv").read_text()


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    gray = np.full((40, 240, 320, 3), 120, np.uint8)
    with pytest.raises(NoFaceError, match=r"array: no usable face is seen from 0\.00 to 1\.30 s"):
        Neutral.open(gray, fps=30.0)
    with pytest.raises(UsageError, match=r"array is too short for expressions.*found 0\.33 s"):
        Neutral.open(recording()[:10], fps=30.0)
    with pytest.raises(UsageError, match=r"must last .* found 0\.50 s"):
        Neutral.open(recording(), fps=30.0, start_s=0.2, stop_s=0.7)
    short = np.concatenate([recording()[:20], gray[:20]])
    with pytest.raises(NoFaceError, match=r"the longest is 0\.\d+ s .frames 0 to \d+ of array"):
        Neutral.open(short, fps=30.0)
    with pytest.raises(VideoError, match=r"none\.mp4"):
        Neutral.open(tmp_path / "none.mp4")
    with pytest.raises(UsageError, match="camera"):
        Neutral.open(0)
    for change, said in (
        ({"amplitude": 0.0}, "amplitude"),
        ({"strength": -1.0}, "strength"),
        ({"seconds": 0.5}, r"found 0\.5 s"),
    ):
        with pytest.raises(UsageError, match=said):
            neutral().draw((0,), **change)  # type: ignore[arg-type]


def test_the_longest_stretch_with_a_face_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    gray = np.full((12, 240, 320, 3), 120, np.uint8)
    found = Neutral.open(np.concatenate([gray, recording()]), fps=30.0)
    assert found.first >= 12 and found.count > 30
    (note,) = found.notes
    assert note.startswith(f"only frames {found.first} to 47 of array are used")
    shows = next(iter(found.film(Timeline(1.0, ())).frames()))
    film = found.film(Timeline(1.0, ()))
    np.testing.assert_array_equal(shows, recording()[found.first - 12 + film.start])
    monkeypatch.setattr(ArraySource, "frames", lambda self: iter([(0.0, recording()[0].copy)]))
    with pytest.raises(VideoError, match="changed meanwhile"):
        list(found.images(5, 3))


def test_recordings_have_names_of_their_own() -> None:
    assert names_of([Path("a/x.mp4"), Path("b/y.mp4")]) == ("x", "y")
    assert names_of([Path("a/x.mp4"), Path("b/x.mp4")]) == ("a/x.mp4", "b/x.mp4")
    with pytest.raises(UsageError, match="twice"):
        names_of([Path("a/x.mp4"), Path("a/../a/x.mp4")])


@pytest.mark.slow
def test_in_a_real_recording(shared_data: Callable[[str], Path]) -> None:
    """Measured motion agrees with the truth: a micro-expression while a smile is held."""
    found = Neutral.open(shared_data("videos/fex_smile_still.mov"), stop_s=1.96)
    assert found.fps == 30.0 and found.count >= 55
    events = (micro(0.6), Event("macro", SMILE, 0.1, 0.3, 1.2, 1.6, 0.1))
    line = found.sized(Timeline(1.8, tuple(sorted(events, key=lambda e: e.onset_s))))
    film, rest = found.film(line, seed=2), found.film(Timeline(1.8, ()), seed=2)
    assert film.start == rest.start
    motion, base = (aumer.features(shown(f), fps=30.0).displacement() for f in (film, rest))
    apart = (motion - base) - (motion - base)[0]
    true = film.displacement(np.arange(len(apart)) / 30)
    error = np.hypot(*np.moveaxis(apart - true, -1, 0))
    assert np.sqrt((error**2).mean()) < 0.002 and error.max() < 0.012
