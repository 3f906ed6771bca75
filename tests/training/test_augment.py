"""Training videos made of neutral recordings: `augment_neutral`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.conftest import simulated, small

from aumer import cli
from aumer.config import load_settings
from aumer.errors import ConfigError, UsageError, VideoError
from aumer.simulate.features import simulate_features, write_features
from aumer.simulate.timeline import Timeline
from aumer.simulate.video import Nuisance, write_video
from aumer.spotting.network import NetSpotter
from aumer.training import videos as training_videos
from aumer.training.loop import train
from aumer.training.run import read_config
from aumer.training.videos import Augment, NeutralFilms, observed, subjects_of

CONFIG = """
output = "out"
graph = "from-data"
augment_neutral = ["me.avi"]
[augment]
films = 2
seconds = 3
rate_per_min = 60
[data]
source = "features"
root = "features"
[train]
epochs = 1
window_s = 10.0
net_overrides = { widths = [16, 16], kernels = [1, 3], dilations = [1, 2], graph_width = 4 }
"""
FEW = Augment(films=1, seconds=3.0, rate_per_min=60.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a face at rest, 1.2 s at 15/s."""
    path = tmp_path_factory.mktemp("clips") / "me.avi"
    nuisance = Nuisance.none(noise=1.0)
    write_video(path, Timeline(1.2, ()), fps=15.0, size=(160, 120), nuisance=nuisance, codec="FFV1")
    return path


def test_films_are_labeled_videos_of_a_subject_of_their_own(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    films = NeutralFilms([clip], settings, FEW, seed=4)
    assert len(films) == 1
    (video,) = films.extract(cache=tmp_path / "cache")
    assert (video.subject, video.name, video.played) == ("neutral:me", "1", True)
    assert video.motion == settings.motion
    assert 86 <= len(video.features) <= 90 and video.features.rate == 30.0
    assert video.annotations and all(a.offset is not None for a in video.annotations)
    assert {a.subject for a in video.annotations} == {"neutral:me"}
    assert max(a.offset or 0 for a in video.annotations) < 45  # frames of the film

    # What was measured is not filmed again; another seed is another film.
    def never(*args: Any, **options: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(training_videos, "write_shot", never)
    (again,) = NeutralFilms([clip], settings, FEW, seed=4).extract(cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.features.values, video.features.values)
    assert again.annotations == video.annotations
    with pytest.raises(AssertionError):
        NeutralFilms([clip], settings, FEW, seed=5).extract(cache=tmp_path / "cache")


def test_nothing_is_chosen_on_what_was_played_in() -> None:
    real = simulated(3)
    played = tuple(
        replace(v, subject=f"neutral:{v.subject}", played=True) for v in simulated(4, seed=6)
    )
    assert observed([*played, *real]) == real
    assert observed([real[0], *played]) == (real[0], *played)  # one subject cannot be parted
    assert observed(played) == played
    for seed in range(4):
        settings = small(inner_share=0.5, epochs=1)
        trained = train([*real, *played], settings, seed=seed)
        assert trained.inner_subjects and set(trained.inner_subjects) <= set(subjects_of(real))
    assert set(train(played, small(inner_share=0.5, epochs=1)).inner_subjects) < set(
        subjects_of(played)
    )


@pytest.fixture
def project(clip: Path, tmp_path: Path) -> Path:
    made = simulate_features(3, minutes=0.5, seed=5, level="easy")
    write_features(tmp_path / "features", made)
    (tmp_path / "me.avi").write_bytes(clip.read_bytes())
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path / "config.toml"


def test_a_run_learns_from_recordings_and_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUMER_CACHE", str(project.parent / "cache"))
    config = read_config(project)
    assert config.augment_neutral == (str(project.parent / "me.avi"),)
    assert cli.main(["train", str(project)]) == 0
    first = NetSpotter.load(capsys.readouterr().out.strip())
    card = first.net.card
    assert card["augment_neutral"] == {
        "recordings": [{"name": "neutral:me", "seconds": 1.2}],
        "films": 2,
        "seconds": 3.0,
        "rate_per_min": 60.0,
        "strength": 1.0,
        "held": 0.2,
    }
    # What was observed and what was played in are never one figure.
    assert card["data"]["subjects"] == 3 and card["data"]["videos"] == 3
    assert set(card["inner_subjects"]) <= {"s001", "s002", "s003"}
    json.dumps(card)

    text = project.read_text().replace('augment_neutral = ["me.avi"]\n', "")
    project.write_text(text)
    out = project.parent / "plain"
    assert cli.main(["train", str(project), "-o", str(out)]) == 0
    plain = NetSpotter.load(out / "model.safetensors")
    assert "augment_neutral" not in plain.net.card
    assert plain.digests["graph"] == first.digests["graph"]  # the prior is the coders'
    assert plain.digests != first.digests
    monkeypatch.chdir(project.parent)
    words = ["train", str(project), "-o", "third", "--augment-neutral", "me.avi"]
    assert cli.main(words) == 0
    third = NetSpotter.load(project.parent / "third" / "model.safetensors")
    assert third.digests == first.digests


def test_what_cannot_be_used_is_told_before_any_training(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aumer.training.run.read_videos", lambda *a, **k: pytest.fail("too late"))
    monkeypatch.setenv("AUMER_CACHE", str(project.parent / "cache"))
    assert cli.main(["train", str(project), "--augment-neutral", "none.mp4"]) == 3
    assert "none.mp4" in capsys.readouterr().err
    settings = load_settings()
    me = project.parent / "me.avi"
    with pytest.raises(VideoError, match=r"none\.avi"):
        NeutralFilms([me, "none.avi"], settings, FEW)
    with pytest.raises(UsageError, match="given twice"):
        NeutralFilms([me, me], settings, FEW)
    with pytest.raises(UsageError, match="is a folder"):
        NeutralFilms([project.parent], settings, FEW)
    for change, said in (
        ({"films": 0}, "augment.films"),
        ({"seconds": 0.5}, "augment.seconds"),
        ({"strength": 0.0}, "augment.strength"),
        ({"rate_per_min": -1.0}, "augment.rate_per_min"),
        ({"held": 2.0}, "augment.held"),
    ):
        with pytest.raises(ConfigError, match=said):
            Augment(**change)  # type: ignore[arg-type]
    project.write_text(CONFIG.replace("films = 2", "film = 2"))
    with pytest.raises(ConfigError, match=r"augment\.film.*Did you mean 'films'"):
        read_config(project)
