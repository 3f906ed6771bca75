"""`Motion`: units, displacement, the table, and files that read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import aumer
from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.motion.analysis import FEATURES_VERSION
from aumer.results import motion as module
from aumer.results.motion import Motion, load_features
from aumer.types import FaceTrack, Features, VideoInfo

ROIS = ("brow_r_mid", "nose_tip", "mouth_l")


def make(rows: int = 40, *, eye_distance: float = 64.0, name: str = "face.mp4") -> Motion:
    """Noise at 30 rows a second, without motion in rows 10 to 14."""
    rng = np.random.default_rng(0)
    valid = np.ones(rows, bool)
    valid[10:15] = False
    values = rng.normal(0, 0.7, (rows, len(ROIS), 2)).astype(np.float32)
    values[~valid] = np.nan
    times, frames = 1.0 + np.arange(rows) / 30, 25 + np.arange(rows)
    n = rows + 1
    return Motion(
        video=VideoInfo(name, "file", 640, 480, 30.0, n),
        features=Features(values, times, frames, valid, ROIS, 30.0, eye_distance),
        track=FaceTrack(
            times=1.0 + np.arange(n) / 30,
            frames=25 + np.arange(n),
            valid=np.ones(n, bool),
            boxes=np.zeros((n, 4), np.float32),
            landmarks=np.zeros((n, 68, 2), np.float32),
            number=2,
        ),
        settings={"motion": {"rate": 30.0}},
        digests={"settings": "5e77"},
        versions={"aumer": "9.9"},
    )


def same(a: Features, b: Features) -> bool:
    arrays = ("values", "times", "frames", "valid")
    return (a.rois, a.rate, a.eye_distance) == (b.rois, b.rate, b.eye_distance) and all(
        getattr(a, name).dtype == getattr(b, name).dtype
        and np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "values")
        for name in arrays
    )


# -- units and displacement ------------------------------------------------------------------------


def test_displacement_adds_up_within_a_run_and_begins_anew_after_it() -> None:
    motion = make()
    values, found = motion.features.values.astype(np.float64), motion.displacement("px")
    assert found.shape == (40, 3, 2) and found.dtype == np.float64
    np.testing.assert_allclose(found[0], values[0])
    np.testing.assert_allclose(found[9], values[:10].sum(axis=0))
    assert np.isnan(found[10:15]).all()
    np.testing.assert_allclose(found[15], values[15])
    np.testing.assert_allclose(found[-1], values[15:].sum(axis=0))


@pytest.mark.parametrize("eye_distance", [64.0, 50.5])
def test_the_units_differ_by_the_eye_distance(eye_distance: float) -> None:
    motion = make(eye_distance=eye_distance)
    np.testing.assert_allclose(motion.displacement() * eye_distance, motion.displacement("px"))
    assert list(motion.to_dataframe("px"))[-5:] == [
        *("dx_px", "dy_px", "displacement_x_px", "displacement_y_px", "confidence")
    ]
    assert list(motion.to_dataframe())[-5] == "dx_eye"


def test_an_unknown_unit_is_named(tmp_path: Path) -> None:
    motion = make()
    calls: list[Callable[[], Any]] = [
        lambda: motion.displacement("eyes"),
        lambda: motion.to_dataframe("eyes"),
        lambda: list(motion.csv_chunks("eyes")),
        lambda: motion.save(tmp_path / "m.csv", unit="eyes"),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=r"'eye' .*'px' .*found 'eyes'. Did you mean 'eye'\?"):
            call()
    assert list(tmp_path.iterdir()) == []


# -- tables ----------------------------------------------------------------------------------------


def test_the_csv_is_the_table(tmp_path: Path) -> None:
    motion = make(600)  # more than is turned into text at once
    motion.save(tmp_path / "m.csv")
    frame = motion.to_dataframe()
    read = pd.read_csv(tmp_path / "m.csv", float_precision="round_trip")
    assert list(read) == list(frame)
    assert len(read) == 600 * len(ROIS)
    assert read["face"].isna().all()
    np.testing.assert_array_equal(read["time_s"], frame["time_s"])  # in full
    np.testing.assert_array_equal(read["frame"], frame["frame"])
    np.testing.assert_array_equal(read["valid"], frame["valid"].astype(int))
    assert (read["roi"] == frame["roi"]).all()
    assert (read["video"] == "face.mp4").all()
    for name in list(frame)[-4:]:  # to the last bit of a float32
        np.testing.assert_array_equal(
            read[name].astype(np.float32), frame[name].astype(np.float32), err_msg=name
        )


def test_rows_without_motion_have_empty_cells() -> None:
    rows = list(csv.DictReader(io.StringIO("".join(make().csv_chunks()))))
    empty = [row for row in rows if row["valid"] == "0"]
    assert len(empty) == 5 * len(ROIS)
    for row in rows:
        cells = [row[f"{name}_eye"] for name in ("dx", "dy", "displacement_x", "displacement_y")]
        assert ([cell == "" for cell in cells] == [row["valid"] == "0"] * 4) and row["time_s"]


def test_a_table_without_rows_has_its_header() -> None:
    text = "".join(make(0).csv_chunks())
    assert text.startswith("video,face,time_s,frame,valid,roi,dx_eye,") and text.count("\n") == 1
    assert "".join(make(0).csv_chunks(header=False)) == ""
    assert len(make(0).to_dataframe()) == 0


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", module.UNITS)
@pytest.mark.parametrize("eye_distance", [64.0, 50.5, 37.0])
def test_features_read_back_bit_for_bit(unit: str, eye_distance: float, tmp_path: Path) -> None:
    motion = make(300, eye_distance=eye_distance)
    motion.save(tmp_path / "m.npz", unit=unit)
    read = aumer.load_features(tmp_path / "m.npz")
    assert same(read, motion.features)
    assert read.motion == motion.settings["motion"]


def test_a_file_says_what_it_holds(tmp_path: Path) -> None:
    motion = make()
    motion.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        kept = dict(arrays)
    said = {name: kept[name].item() for name in kept if kept[name].ndim == 0}
    assert said == {
        "format": "aumer.features",
        "version": 2,
        "motion_version": FEATURES_VERSION,
        "aumer": "9.9",
        "video": "face.mp4",
        "face": 2,
        "settings": '{"motion": {"rate": 30.0}}',
        "settings_digest": "5e77",
        "rate": 30.0,
        "eye_distance": 64.0,
        "unit": "eye",
    }
    assert tuple(kept["rois"]) == ROIS
    for name in ("dx", "dy", "displacement_x", "displacement_y", "confidence"):
        assert kept[name].shape == (40, 3)
    np.testing.assert_array_equal(
        np.stack([kept["displacement_x"], kept["displacement_y"]], axis=-1), motion.displacement()
    )
    np.testing.assert_array_equal(np.isnan(kept["dx"]).any(axis=1), ~kept["valid"])


def test_no_file_is_replaced_unasked(tmp_path: Path) -> None:
    for name in ("m.npz", "m.csv"):
        path = tmp_path / name
        path.write_text("mine")
        with pytest.raises(UsageError, match=r"exists already.*`overwrite=True`"):
            make().save(path)
        assert path.read_text() == "mine"
        make().save(path, overwrite=True)
        assert path.stat().st_size > 1000


def test_a_suffix_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'\.npy'; allowed are \.npz, \.csv\. Did you mean"):
        make().save(tmp_path / "m.npy")


def changed(path: Path, **changes: Any) -> Path:
    """The file with other arrays; `None` takes one away."""
    with np.load(path, allow_pickle=False) as arrays:
        kept = dict(arrays) | changes
    np.savez(path, **{name: value for name, value in kept.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"motion_version": FEATURES_VERSION - 1}, f"motion_version is {FEATURES_VERSION - 1}"),
        ({"motion_version": FEATURES_VERSION + 1}, f"this one reads {FEATURES_VERSION}"),
        ({"version": 7}, "version is 7"),
        ({"motion_version": None}, "motion_version is missing"),
    ],
)
def test_another_version_is_refused_with_the_way_to_make_it_anew(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    make().save(tmp_path / "m.npz")
    with pytest.raises(UsageError) as refused:
        load_features(changed(tmp_path / "m.npz", **changes))
    text = str(refused.value)
    for part in (said, "another aumer (9.9)", "Measure face.mp4 again", "with the same options"):
        assert part in text
    assert f"aumer features VIDEO -o {tmp_path}/m.npz --overwrite" in text


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.npz: No such file"):
        load_features(tmp_path / "none.npz")
    make().save(tmp_path / "m.npz")
    whole = (tmp_path / "m.npz").read_bytes()
    for name, content, said in [
        ("text.npz", b"Dear diary", "cannot read an .npz file"),
        ("cut.npz", whole[: len(whole) // 2], "cannot read an .npz file"),
        ("empty.npz", b"", "cannot read an .npz file"),
        ("table.csv", b"video,face\n", "cannot read an .npz file"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=said) as refused:
            load_features(tmp_path / name)
        stem = (tmp_path / name).with_suffix(".npz")
        assert f"aumer features VIDEO -o {stem}" in str(refused.value)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UsageError, match="cannot read an"):
        load_features(tmp_path / "one.npy")
    np.savez(tmp_path / "other.npz", feature=np.zeros(3))
    with pytest.raises(UsageError, match=r"does not hold aumer's features.*'missing'"):
        load_features(tmp_path / "other.npz")
    with pytest.raises(UsageError, match="is damaged"):
        load_features(changed(tmp_path / "m.npz", dx=np.zeros((3, 3))))


def test_a_file_makes_a_spotter_see_the_same(tmp_path: Path) -> None:
    from aumer.simulate.features import simulate_features

    video = next(iter(simulate_features(1, minutes=0.5, seed=3, level="easy")))
    track = make(len(video.features) - 1).track
    motion = Motion(VideoInfo("s", "features", 0, 0, 30.0), video.features, track)
    motion.save(tmp_path / "m.npz")
    spotted = aumer.spot(load_features(tmp_path / "m.npz"), model="rules")
    assert spotted == aumer.spot(video.features, model="rules")
    assert spotted.expressions


def test_a_network_refuses_a_file_of_motion_that_it_was_not_trained_on() -> None:
    (video,) = aumer.simulate_features(1, minutes=0.2, seed=1)
    settings = load_settings(overrides={"motion.preset": "published"})
    other = replace(video.features, motion=asdict(settings.motion))
    for model in ("network", "combined"):
        with pytest.raises(
            UsageError, match=r"trained on motion .* these settings measure it with .*published"
        ):
            aumer.spot(other, model=model)
    assert aumer.spot(other, model="rules").settings["motion"]["preset"] == "published"
    same = replace(video.features, motion=asdict(load_settings().motion))
    assert aumer.spot(same).expressions == aumer.spot(video.features).expressions
