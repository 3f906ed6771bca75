"""`aumer.simulate_films`: films and truths, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import aumer
from aumer.data import load
from aumer.errors import UsageError


def test_a_film_and_its_truth(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    film, truth = aumer.simulate_films(
        tmp_path / "film.avi",
        seconds=1.5,
        fps=10,
        size=(160, 120),
        rate_per_min=60,
        nuisance=False,
        progress=lambda *said: told.append(said),
    )
    assert (film, truth) == (tmp_path / "film.avi", tmp_path / "film.csv")
    assert told[-1] == (f"filming {film}", 15, 15)
    (record,) = load("own", tmp_path, table=truth).records()
    assert record.annotations and record.fps == 10
    with pytest.raises(UsageError, match="exists already"):
        aumer.simulate_films(film)


def test_a_folder_becomes_a_data_set(tmp_path: Path) -> None:
    folder, truth = aumer.simulate_films(
        tmp_path / "set", films=2, seconds=0.3, fps=10, size=(160, 120), nuisance=False
    )
    assert truth == folder / "truth.csv" and truth.is_file()
    assert len(list(folder.rglob("*.jpg"))) == 6


@pytest.mark.parametrize(
    ("out", "arguments", "says"),
    [
        ("film.mp4", {"films": 0}, "films must be a whole number of 1 or more"),
        ("film.mp4", {"films": 1.5}, "films must be a whole number of 1 or more"),
        ("film.mp4", {"seed": -1}, "seed must be a whole number of 0 or more"),
        ("film.mp4", {"films": 2}, "holds one film"),
        ("film.mp4", {"neutral": ["a.avi", "b.avi"]}, "holds one film"),
        (
            "film.mp4",
            {"amplitude": 0.1, "start_s": 1.0},
            "start_s and amplitude applies to neutral",
        ),
        ("film.mp4", {"neutral": "a.avi", "nuisance": False}, "nuisance does not apply to neutral"),
        ("film.mp4", {"neutral": "a.avi", "fps": 30.0}, "`fps` is for a folder of frames"),
        ("film.mp4", {"codec": "FFV1"}, "does not fit .mp4"),
        (".", {}, "exists already"),
    ],
)
def test_what_says_nothing_is_refused(
    out: str, arguments: dict[str, Any], says: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        aumer.simulate_films(out, **arguments)
    assert not list(tmp_path.iterdir())
