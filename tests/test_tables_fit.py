"""Every table of intervals that aumer writes, or that its users have, is taken wherever aumer takes
one: each output by each input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from aumer.bench import submission
from aumer.cli import main
from aumer.data import load, read_table
from aumer.data.check import check
from aumer.errors import EXIT_OK
from aumer.evaluation.rows import PredictedInterval, Truth
from aumer.evaluation.tables import (
    as_dicts,
    read_labels,
    read_predictions,
    read_truths,
    read_videos,
    write_csv,
)
from aumer.results import InputRow, SpotResult, csv_text, inputs_csv
from aumer.simulate import tables, timeline
from aumer.simulate.features import SimulatedVideo, simulate_features, write_features
from aumer.simulate.video import Shot, write_truths
from aumer.training.videos import read_folder
from aumer.types import Expression, Kind, Scores, VideoInfo

#: Kind, onset, apex and offset of what is in the video ``s001_1.avi``; one lies inside another.
SPANS: tuple[tuple[Kind, int, int, int], ...] = (
    ("macro", 10, 20, 40),
    ("micro", 22, 25, 30),
    ("macro", 50, 55, 70),
)
FPS, FRAMES = 30.0, 100
NAME, EMPTY = "s001_1.avi", "s002_1.avi"

Found = list[tuple[str, int, int]]


def found(rows: Sequence[object]) -> Found:
    return sorted((r.kind, r.onset, r.offset) for r in rows)  # type: ignore[attr-defined]


EXPECTED: Found = sorted((kind, onset, offset) for kind, onset, _, offset in SPANS)


def expressions() -> tuple[Expression, ...]:
    return tuple(Expression(k, a, b, c, a / FPS, b / FPS, c / FPS, 0.5) for k, a, b, c in SPANS)


def result(name: str = NAME, spotted: Sequence[Expression] | None = None) -> SpotResult:
    times = np.arange(FRAMES) / FPS
    tracks = Scores(
        np.zeros((FRAMES, 1), np.float32), times, np.arange(FRAMES), np.ones(FRAMES, bool), ("a",)
    )
    info = VideoInfo(name, "file", 64, 48, FPS, FRAMES)
    return SpotResult(info, expressions() if spotted is None else tuple(spotted), tracks, 1.0, "x")


def acted() -> timeline.Timeline:
    events = [
        timeline.Event(k, ((12, "both"),), a / FPS, b / FPS, b / FPS, c / FPS, 0.5)
        for k, a, b, c in SPANS
    ]
    return timeline.Timeline(FRAMES / FPS, tuple(events))


def simulated() -> SimulatedVideo:
    (made,) = simulate_features(1, replayed={"s001_1": acted()}, rate=FPS, level="easy")
    return made


# -- outputs --------------------------------------------------------------------------------------


def spot_csv(path: Path) -> None:
    path.write_text(csv_text([result(), result(EMPTY, ())]))


def spot_json(path: Path) -> None:
    result().save(path)


def spot_json_lines(path: Path) -> None:
    lines = [json.dumps(r.to_dict()) for r in (result(), result(EMPTY, ()))]
    path.write_text("\n".join(lines) + "\n")


def simulated_film(path: Path) -> None:
    quiet = timeline.Timeline(FRAMES / FPS, ())
    shots = {
        n: Shot(t, FPS, (64, 48), lambda: iter(())) for n, t in ((NAME, acted()), (EMPTY, quiet))
    }
    write_truths(path, shots)


def simulated_features(path: Path) -> None:
    *_, truth = write_features(path.parent / "made", [simulated()])
    shutil.copy(truth, path)


def scored_predictions(path: Path) -> None:
    write_csv(path, [PredictedInterval("s001", NAME, k, a, c, b) for k, a, b, c in SPANS])


def scored_truths(path: Path) -> None:
    write_csv(path, [Truth("s001", NAME, k, a, c, b) for k, a, b, c in SPANS])


def stored_rows(path: Path) -> None:
    rows = [PredictedInterval("s001", NAME, k, a, c, b) for k, a, b, c in SPANS]
    path.write_text(json.dumps({"rows": as_dicts(rows)}))


def submitted(path: Path) -> None:
    rows = [PredictedInterval("s001", NAME, k, a, c, b) for k, a, b, c in SPANS]
    path.write_text(submission.written(submission.challenge("megc2022"), rows, 0))


def labels(path: Path) -> None:
    rows = [f"{NAME},s001,{k},{a},{b},{c},6+12" for k, a, b, c in SPANS]
    rows += [f"{EMPTY},s002,none,,,,"]
    path.write_text("\n".join(["file,subject,kind,onset,apex,offset,au", *rows]) + "\n")


def labels_in_seconds(path: Path) -> None:
    rows = [f"{NAME};{FPS:g};{k};" for k, *_ in SPANS]
    times = [";".join(f"{f / FPS:.4f}".replace(".", ",") for f in span) for _, *span in SPANS]
    rows = [f"{row}{seconds}" for row, seconds in zip(rows, times, strict=True)]
    text = "\r\n".join(["sep=;", "file;fps;kind;onset_s;apex_s;offset_s", *rows, ""])
    path.write_bytes(text.encode("utf-16"))


def labels_of_pandas(path: Path) -> None:
    rows = [f"{i},{NAME},{k}-expression,{a}.0,nan,{c}.0" for i, (k, a, _, c) in enumerate(SPANS)]
    path.write_text("\n".join([",Video,Type,Onset,Apex,Offset", *rows]) + "\n")


OUTPUTS: dict[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (
        *(spot_csv, spot_json, spot_json_lines, simulated_film, simulated_features),
        *(scored_predictions, scored_truths, stored_rows, submitted),
        *(labels, labels_in_seconds, labels_of_pandas),
    )
}
JSON = {"spot_json", "spot_json_lines", "stored_rows"}


def written(name: str, folder: Path) -> Path:
    path = folder / f"{name}.{'json' if name in JSON else 'csv'}"
    OUTPUTS[name](path)
    return path


# -- inputs ---------------------------------------------------------------------------------------


def film(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (64, 48))
    for k in range(FRAMES):
        writer.write(np.full((48, 64, 3), k, np.uint8))
    writer.release()


def as_predictions(path: Path) -> Found:
    return found(read_predictions(path))


def as_truths(path: Path) -> Found:
    return found(read_truths(path))


def as_labels(path: Path) -> Found:
    """Of videos of one's own, in a folder below their root."""
    root = path.parent / "root"
    (root / "deep").mkdir(parents=True)
    for name in (NAME, EMPTY):
        film(root / "deep" / name)
    data = load("own", root, table=path)
    assert not check(data).open or {f.code for f in check(data).open} == {"unannotated-video"}
    (record,) = [r for r in data.records() if r.annotations]
    assert record.path == root / "deep" / NAME and record.fps == FPS
    return found(record.annotations)


def as_a_table_alone(path: Path) -> Found:
    return found(read_table("own", path))


def as_labels_of_features(path: Path) -> Found:
    """Of `aumer simulate features`."""
    folder = path.parent / "features"
    write_features(folder, [simulated()])
    shutil.copy(path, folder / "truth.csv")
    (video,) = read_folder(folder)
    return found(video.annotations)


def as_performances(path: Path) -> Found:
    """To replay: `aumer simulate ... --table`."""
    rows = tables.read_table(path, fps=FPS)
    assert timeline.replay(rows, FPS)
    return found(rows)


INPUTS: tuple[Callable[[Path], Found], ...] = (
    as_predictions,
    as_truths,
    as_labels,
    as_a_table_alone,
    as_labels_of_features,
    as_performances,
)


@pytest.mark.parametrize(
    ("name", "take"),
    # The labels of features are called truth.csv, and are no JSON.
    [(n, t) for n in OUTPUTS for t in INPUTS if n not in JSON or t is not as_labels_of_features],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_each_output_by_each_input(
    name: str, take: Callable[[Path], Found], tmp_path: Path
) -> None:
    assert take(written(name, tmp_path)) == EXPECTED


@pytest.mark.parametrize("truth", OUTPUTS)
@pytest.mark.parametrize("predictions", OUTPUTS)
def test_each_is_scored_against_each(
    predictions: str, truth: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for what, name in (("predictions", predictions), ("truth", truth)):
        (tmp_path / what).mkdir()
        files.append(str(written(name, tmp_path / what)))
    assert main(["bench", "score", *files, "--json"]) == EXIT_OK
    done = capsys.readouterr()
    if not {predictions, truth} & {"labels_of_pandas"}:  # whose index is somebody else's
        assert "not used" not in done.err  # aumer knows its own columns
    (told,) = json.loads(done.out)["evaluators"]
    counts = told["scores"]["overall"]
    assert (counts["tp"], counts["fp"], counts["fn"]) == (3, 0, 0)


def test_a_video_without_expressions_is_among_the_videos(tmp_path: Path) -> None:
    for name in ("simulated_film", "labels"):
        read = read_labels(written(name, tmp_path))
        assert [v.name for v in read.videos] == [NAME, EMPTY]
        assert {t.video for t in read.truths} == {NAME}


def test_the_table_of_inputs_is_a_list_of_videos(tmp_path: Path) -> None:
    path = tmp_path / "all.inputs.csv"
    rows = [InputRow.of("a/b.mp4", result("b.mp4")), InputRow.of("c.mp4", ValueError("no"))]
    path.write_text(inputs_csv(rows))
    assert [(v.name, v.fps) for v in read_videos(path)] == [("b.mp4", FPS), ("c.mp4", None)]


def test_tables_of_european_excel_are_labels(
    tmp_path: Path, shared_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "anna_1.mp4.avi")
    (tmp_path / "anna_1.mp4.avi").rename(tmp_path / "anna_1.mp4")
    for name in ("semicolon", "semicolon_decimalcomma", "excel_unicode_text"):
        table = shared_data(f"faults/own_{name}.csv")
        assert main(["data", "check", "own", str(tmp_path), "--table", str(table)]) == EXIT_OK
        assert capsys.readouterr().out.endswith("\nno fault\n")
        (record,) = load("own", tmp_path, table=table).records()
        assert found(record.annotations) == [("macro", 14, 70)]


def test_submissions_of_others_are_predictions(
    tmp_path: Path, shared_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, counts in (("megc2023_submission", (1, 4)), ("strs_layout", (5, 0))):
        path = shared_data(f"faults/{name}_head.csv")
        rows = read_predictions(path)
        assert tuple(sum(r.kind == k for r in rows) for k in ("micro", "macro")) == counts
        assert main(["bench", "score", str(path), str(path), "--json"]) == EXIT_OK
        (told,) = json.loads(capsys.readouterr().out)["evaluators"]
        assert told["scores"]["overall"]["tp"] == 5
