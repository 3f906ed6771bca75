from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from aumer.errors import UsageError
from aumer.results import SpotResult, check_suffix, csv_text, dataframe, suffixes
from aumer.results.formats import ending, format_of
from aumer.results.writers import COLUMNS


def test_csv_reads_back_as_the_dataframe(result: SpotResult, tmp_path: Path) -> None:
    odd = dataclasses.replace(
        result,
        video=dataclasses.replace(result.video, name='a,"b"\n.mp4'),
        expressions=(result.micro[0], dataclasses.replace(result.macro[0], label="glad")),
    )
    odd.to_csv(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes().decode() == odd.to_csv()
    read = pd.read_csv(tmp_path / "out.csv", dtype=COLUMNS, float_precision="round_trip")
    pd.testing.assert_frame_equal(read, odd.to_dataframe())
    assert read["label"].isna().tolist() == [True, False]
    assert read["duration_s"].tolist() == [e.duration_s for e in odd.expressions]


def test_dtypes_are_the_same_without_rows(
    result: SpotResult, make_result: Callable[..., SpotResult]
) -> None:
    full, empty = result.to_dataframe(), make_result().to_dataframe()
    assert len(full) == 2
    assert len(empty) == 0
    pd.testing.assert_series_equal(full.dtypes, empty.dtypes)
    assert empty.dtypes.astype(str).to_dict() == COLUMNS
    assert make_result().to_csv() == ",".join(COLUMNS) + "\n"


def test_many_videos_in_one_table(result: SpotResult) -> None:
    other = dataclasses.replace(result, video=dataclasses.replace(result.video, name="\udcff.mp4"))
    table = dataframe([result, other])
    assert table["video"].tolist() == ["face.mp4"] * 2 + ["\\udcff.mp4"] * 2
    read = pd.read_csv(io.StringIO(csv_text([result, other])), dtype=COLUMNS)
    assert read["video"].tolist() == table["video"].tolist()
    assert len(dataframe([])) == 0


@pytest.mark.parametrize("suffix", suffixes())
def test_save_goes_by_the_suffix_and_never_overwrites_by_itself(
    result: SpotResult, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"out{ending(suffix[1:]).upper()}"
    result.save(str(path))
    first = path.read_bytes()
    signs = {
        ".json": b"{",
        ".csv": b"video,",
        ".png": b"\x89PNG",
        ".pdf": b"%PDF",
        ".svg": b"<?xml",
        ".html": b"<!DOCTYPE html>",
        ".annotations": b'{\n "schema": "aumer.annotations"',
        ".eaf": b"<?xml",
        ".vtt": b"WEBVTT\n",
        ".srt": b"1\n00:",
        ".rttm": b"SPEAKER ",
        ".textgrid": b'File type = "ooTextFile"',
        ".tsv": b"onset\tduration\ttrial_type\t",
        ".txt": b"# MNE-Annotations\n",
    }
    assert first.startswith(signs[suffix])
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"exists already.*`overwrite=True`"):
        result.save(path)
    assert path.read_bytes() == b"mine"
    result.save(path, overwrite=True)
    assert path.read_bytes().startswith(signs[suffix])
    with pytest.raises(UsageError, match="does not exist"):
        result.save(tmp_path / "absent" / path.name)
    written = {path, *format_of(path).companions(path)}
    assert set(tmp_path.iterdir()) == written


def test_a_failing_write_leaves_the_old_file(
    result: SpotResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(UsageError, match="No space left"):
        result.save(path, overwrite=True)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "found", "hint"),
    [("out.jsn", "the suffix '.jsn'", "Did you mean '.json'"), ("out", "no suffix", "")],
)
def test_other_suffixes_are_refused(
    result: SpotResult, tmp_path: Path, name: str, found: str, hint: str
) -> None:
    for call in (check_suffix, result.save):
        with pytest.raises(UsageError, match=rf"{name}: it has {found}; allowed are .json") as e:
            call(tmp_path / name)
        assert hint in str(e.value)
    assert list(tmp_path.iterdir()) == []
