"""Studies: rows that are ordinary runs, held to one of them, killed and gone on with."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.conftest import TINY

from aumer.bench import study as studies
from aumer.bench.figure import Figure
from aumer.bench.run import run, stored
from aumer.bench.studied import DONE, FAILED, LEFT_OUT, WAITING, Studied, StudiedRow
from aumer.bench.study import Changes, Study, load, plan_study, run_study, stored_study
from aumer.errors import ConfigError, UsageError
from aumer.evaluation.bootstrap import difference, holm
from aumer.evaluation.power import Power
from aumer.evaluation.recognition import uf1_of
from aumer.recognition.sequences.augment import Augmentation
from aumer.report import page as html
from aumer.strict import plain

#: Two rules that differ, and a row that the others are held to.
ROWS: dict[str, dict[str, Any]] = {
    "rules": {},
    "rules-again": {"note": "the same once more"},
    "aumer": {"model": "aumer", "set": TINY, "changes": {"prior": "identity"}},
}
#: What makes the protocol's data those of `write_tables`.
EASY = {
    "level": "easy",
    "seeds": [0],
    "scoring.expect_macro": 8,
    "scoring.expect_micro": 4,
}


def made(rows: Mapping[str, Any] = ROWS, **changes: Any) -> Study:
    values: dict[str, Any] = {"title": "Rules, twice", "protocol": "sim-casme-sq", "base": "rules"}
    return Study(name="mine", rows=rows, changes=EASY, **{**values, "model": "rules", **changes})


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "figure_bytes", lambda figure, kind: b"<svg/>")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Studied:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "figure_bytes", lambda figure, kind: b"<svg/>")
        return run_study(made(), tables, folder=tmp_path_factory.mktemp("study") / "out")


# -- what a study may be ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", studies.names())
def test_every_shipped_study_can_be_run(name: str) -> None:
    """Its rows' settings are good: not one names a key or value that there is not."""
    planned = plan_study(name)
    study = load(name)
    assert [row.name for row in planned] == list(study.rows) and study.base in study.rows
    told = [(row.model, row.description) for row in planned]
    assert len(set(told)) == len(told), "two rows are the same"


def test_the_published_ablations_ship() -> None:
    wanted = {"cnn-lstm-modalities", "cnn-lstm-time", "cnn-lstm-training", "mfem-mffm"}
    assert wanted | {"se-resnext50", "spotnet-graph"} <= set(studies.names())
    parameters = {row.name: row.parameters for row in plan_study("se-resnext50")}
    # torchvision's ResNet-50 and ResNeXt-50 32 x 4d with five classes instead of a thousand.
    assert parameters["resnet50"] == 25_557_032 - 995 * 2049
    assert parameters["resnext50"] == 25_028_904 - 995 * 2049


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": "none"}, "base must be a row: rules, rules-again"),
        ({"rows": {"rules": {}}}, "rows must be two rows or more"),
        ({"rows": {"a": {}, "b": {"models": "x"}}}, "rows.b: unknown key models"),
        ({"rows": {"a/b": {}, "c": {}}}, "each has a folder"),
        ({"rows": {"a": {}, "A": {}}}, "capitals are ignored"),
        ({"rows": {"a": {}, "b": {"changes": {"split": "k-fold"}}}}, "the same test data"),
        ({"rows": {"a": {}, "b": {"published": {"f1": "high"}}}}, "published.f1 must be a number"),
        ({"rows": {"a": {}, "b": {"changes": {"selection": "oracle"}}}, "base": "a"}, "chosen on"),
    ],
)
def test_what_no_study_is(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(**{"base": "a", **changes} if "rows" in changes else changes)


@pytest.mark.parametrize(
    ("study", "changes", "said"),
    [
        (made({"a": {}, "b": {"model": "rulez"}}, base="a"), Changes(), "row b of the study mine"),
        (made({"a": {}, "b": {"set": {"epochs": 3}}}, base="a"), Changes(), "row b.*epochs"),
        (made(), Changes(of_protocol={"selection": "oracle"}), "chosen on test subjects"),
        (made(protocol="casmesq"), Changes(), "casme-sq"),
    ],
)
def test_a_row_at_fault_is_told_before_anything_is_run(
    study: Study, changes: Changes, said: str, tables: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        run_study(study, tables, changes=changes, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    values = plain(made()) | {"protocol": "own.toml"}
    del values["name"]
    from aumer.strict import to_toml

    (tmp_path / "mine.toml").write_text(to_toml(values))
    protocol = "title = 'x'\nkind = 'spotting'\ndatasets = ['sim-casme-sq']\nsplit = 'loso'\n"
    (tmp_path / "own.toml").write_text(protocol)
    study = load(tmp_path / "mine.toml")
    assert study.name == "mine" and study.row("aumer").set["epochs"] == TINY["epochs"]
    assert study.protocol == str(tmp_path / "own.toml")  # beside the study's file
    with pytest.raises(ConfigError, match="cnn-lstm-modalities"):
        load("cnn-lstm-modality")


def test_a_row_goes_before_what_is_asked_for_and_that_before_the_study() -> None:
    study = load("cnn-lstm-training")
    study = replace(study, set={"learning.epochs": 7, "learning.batch": 4})
    asked = Changes(overrides={"learning.batch": 6, "learning.class_weights": True})
    ready = studies._ready(study, asked, Path("x"), ["whole", "no-class-weights"])
    whole, without = (one.task.factory(0).learning for one in ready)
    assert (whole.epochs, whole.batch, whole.class_weights) == (7, 6, True)
    assert (without.epochs, without.batch, without.class_weights) == (7, 6, False)
    (bare,) = studies._ready(study, asked, Path("x"), ["no-augmentation"])
    used = bare.task.factory(0).config.augmentation
    assert used == Augmentation()  # which changes nothing


# -- running ---------------------------------------------------------------------------------------


def test_rows_are_ordinary_runs_held_to_the_base(
    done: Studied, tables: Path, tmp_path: Path
) -> None:
    assert [row.status for row in done.rows] == [DONE] * 3 and done.folder is not None
    alone = run(load_protocol(), tables, "aumer", overrides=TINY, folder=tmp_path / "alone")
    first, base = stored(done.folder / "aumer"), stored(done.folder / "rules")
    assert alone.to_dict()["scores"] == first.to_dict()["scores"]
    assert alone.about == first.about
    expected = {(c.dataset, c.row): c for c in first.compared(base)}
    lines = {(line.row, line.score): line for line in done.lines()}
    for (data_set, score), c in expected.items():
        line = lines["aumer", score]
        assert (line.data_set, line.value, line.less_base) == (
            data_set,
            c.first,
            c.difference.value,
        )
        assert (line.less_base_low, line.less_base_high) == (c.difference.low, c.difference.high)
        assert line.p == c.difference.p and line.p_holm is not None and line.p_holm >= line.p
        same = lines["rules-again", score]
        assert (same.less_base, same.less_base_low, same.less_base_high) == (0, 0, 0)
        assert lines["rules", score].less_base is None
        # From which difference on one would be found, but of what never moves.
        assert (
            line.detectable
            == Power.of(c.difference, *first.compared_figures()[data_set, score].size).detectable()
        )
        assert same.detectable is None and line.subjects == 4
    assert lines["aumer", "overall"].parameters and lines["rules", "overall"].parameters is None


def load_protocol() -> Any:
    from aumer.bench import protocol

    return protocol.load("sim-casme-sq").changed({**EASY, "prior": "identity"})


def test_the_files_say_the_same(done: Studied) -> None:
    assert done.folder is not None
    rows = list(csv.DictReader(io.StringIO((done.folder / "study.csv").read_text())))
    assert len(rows) == len(done.lines()) == 9
    for row, line in zip(rows, done.lines(), strict=True):
        assert (row["row"], row["score"], row["status"]) == (line.row, line.score, DONE)
        assert float(row["value"]) == line.value
    text = (done.folder / "study.md").read_text()
    assert "less rules [95 %]" in text and "rules-again: the same once more" in text
    assert "with these 4 subjects a difference to rules is found 80 % of the time from" in text
    assert "as few as 4 subjects are too narrow" in text
    assert "| aumer | aumer; epochs=2" in text and "nothing chosen on the test subject" in text
    page = (done.folder / "study.html").read_text()
    assert "Differences to rules" in page and "3 of 3 rows are done" in page
    again = stored_study(done.folder)
    assert again.lines() == done.lines() and again.to_markdown() == done.to_markdown()
    assert again.page().html == page


def test_a_failing_row_does_not_stop_the_others_and_is_told_in_words(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aumer.bench.models import Trainable

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no memory is left on the device")

    rows = {"net": ROWS["aumer"], "rules": {}}
    with monkeypatch.context() as patch:
        patch.setattr(Trainable, "fit", fails)
        found = run_study(made(rows), tables, folder=tmp_path / "out")
    assert [row.status for row in found.rows] == [FAILED, DONE] and found.failed == ("net",)
    words = "RuntimeError: no memory is left on the device"
    assert f"net: failed: {words}" in found.to_markdown()
    assert words in (tmp_path / "out" / "study.csv").read_text()
    # What failed is remembered by a call that leaves it out, and made by one that does not.
    left = run_study(made(rows), tables, folder=tmp_path / "out", rows=["rules"])
    assert [row.words for row in left.rows] == [words, ""]
    whole = run_study(made(rows), tables, folder=tmp_path / "out")
    assert [row.status for row in whole.rows] == [DONE, DONE] and not whole.failed


def test_some_rows_and_the_plan(tables: Path, tmp_path: Path) -> None:
    place = tmp_path / "out"
    planned = plan_study(made(), tables, folder=place)
    assert [(row.folds, row.done, row.seconds) for row in planned] == [(4, 0, None)] * 3
    assert [row.epochs for row in planned] == [None, None, 2] and not place.exists()
    told = planned[2].description
    assert "epochs=2" in told and 'prior="identity"' in told and planned[2].parameters
    found = run_study(made(), tables, folder=place, rows=["rules-again"])
    assert [row.status for row in found.rows] == [LEFT_OUT, DONE, LEFT_OUT]
    assert [line.words for line in found.lines() if line.row == "rules-again"] == [
        "no difference: rules is left out"
    ] * 3
    planned = plan_study(made(), tables, folder=place)
    assert [row.done for row in planned] == [0, 4, 0] and planned[1].seconds == 0
    more = run_study(made(), None, folder=place, score_only=True)
    assert [row.status for row in more.rows] == [WAITING, DONE, WAITING]
    with pytest.raises(UsageError, match=r"has no row 'rule'.*Did you mean 'rules'"):
        run_study(made(), tables, folder=place, rows=["rule"])


def test_a_study_that_was_killed_goes_on(done: Studied, tables: Path, tmp_path: Path) -> None:
    """By SIGKILL, once the second row's folds begin to be written."""
    place = tmp_path / "out"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom bench.test_study import made, run_study\n"
        "run_study(made(), Path(sys.argv[3]), folder=Path(sys.argv[2]))"
    )
    here = str(Path(__file__).parents[1])
    process = subprocess.Popen([sys.executable, "-c", code, here, str(place), str(tables)])
    deadline = time.monotonic() + 120
    while not list(place.glob("aumer/seed-0/*.json")) and time.monotonic() < deadline:
        assert process.poll() in (None, 0)
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {p: p.stat().st_mtime_ns for p in place.glob("*/seed-0/*.json")}
    assert 9 <= len(before) <= 12
    document = json.loads((place / "study.json").read_text())
    assert [document["rows"][n]["status"] for n in ("rules", "rules-again")] == [DONE, DONE]
    begun: list[tuple[str, int, int]] = []
    whole = run_study(made(), tables, folder=place, begins=lambda *row: begun.append(row))
    assert [row[0] for row in begun] == list(ROWS)
    assert all(p.stat().st_mtime_ns == when for p, when in before.items())
    figures = [(x.row, x.score, x.value, x.less_base, x.less_base_low, x.p) for x in whole.lines()]
    assert figures == [
        (x.row, x.score, x.value, x.less_base, x.less_base_low, x.p) for x in done.lines()
    ]


def test_a_folder_of_something_else_is_left_alone(
    done: Studied, tables: Path, tmp_path: Path
) -> None:
    assert done.folder is not None
    with pytest.raises(UsageError, match="a study has one for every row"):
        run_study(made(), tables, folder=done.folder / "rules")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("diary")
    with pytest.raises(UsageError, match=r"other files, such as dear.txt"):
        run_study(made(), tables, folder=tmp_path / "letters")
    other = made({**ROWS, "aumer": {"model": "aumer", "set": {**TINY, "epochs": 3}}})
    with pytest.raises(UsageError, match=r"row aumer .* another run"):
        run_study(other, tables, folder=done.folder)
    study = json.loads((done.folder / "study.json").read_text())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "study.json").write_text(json.dumps({**study, "command": "other"}))
    with pytest.raises(UsageError, match="not as it was written"):
        stored_study(tmp_path / "bad")


# -- the table -------------------------------------------------------------------------------------


def figure(hits: list[int], subjects: int = 6) -> Figure:
    counts = np.zeros((subjects, 1, 2, 2), np.int64)
    for k, n in enumerate(hits):
        counts[k, 0, 0] = n, 10 - n
        counts[k, 0, 1] = 10 - n, n
    names = tuple(f"s{k}" for k in range(subjects))
    return Figure(names, counts, counts[:, 0].sum(2), uf1_of)


def row(name: str, hits: list[int] | None = None, **more: Any) -> StudiedRow:
    figures = {} if hits is None else {("all", "uf1"): figure(hits)}
    return StudiedRow(name, "m", "", DONE if hits else WAITING, figures=figures, **more)


def test_differences_are_paired_over_subjects() -> None:
    base, better = [1, 6, 4, 8, 0, 6], [3, 8, 6, 10, 2, 8]
    found = Studied("x", "X", "b", (row("b", base), row("a", better)))
    line = found.lines()[1]
    expected = difference(
        figure(better).counts[:, 0], figure(base).counts[:, 0], uf1_of,
        replicates=2000, level=0.95, seed=0,
    )  # fmt: skip
    assert (line.less_base, line.less_base_low) == (expected.value, expected.low)
    # Every subject is better by the same: paired, that is certain; apart it would not be.
    assert line.less_base_low is not None and line.less_base_low > 0.15
    assert line.low is not None and found.lines()[0].high is not None
    assert line.low < found.lines()[0].high


def test_subjects_that_differ_are_told_and_not_compared() -> None:
    other = replace(row("a"), status=DONE, figures={("all", "uf1"): figure([5] * 5, 5)})
    found = Studied("x", "X", "b", (row("b", [5] * 6), other, row("c")))
    line = found.lines()[1]
    assert line.value is not None and line.less_base is None
    assert "only one of them has subject s5" in line.words
    assert line.words in found.to_markdown()
    assert found.lines()[2].value is None and "| c |" in found.to_markdown()
    assert "s5" in found.page().html


def test_holm() -> None:
    assert holm([]) == []
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0]


def test_a_folder_is_of_one_study(done: Studied, tables: Path, tmp_path: Path) -> None:
    """Another one's rows would have left nothing of its table; the same may have other rows now."""
    place = tmp_path / "out"
    shutil.copytree(done.folder or "", place)
    before = (place / "study.csv").read_bytes()
    other = replace(made({"one": {}, "two": {"set": {"rules.min_s": 0.2}}}, base="one"), name="b")
    with pytest.raises(UsageError, match=r"holds the study mine, whose table b would replace"):
        run_study(other, tables, folder=place)
    assert (place / "study.csv").read_bytes() == before
    more = made({**ROWS, "more": {"set": {"rules.min_s": 0.2}}})
    assert run_study(more, tables, folder=place, rows=["more"]).rows[-1].status == DONE
    assert [row.status for row in stored_study(place).rows] == [DONE] * 4
    run_study(other, tables, folder=place, rows=["one"], overwrite=True)
    assert stored_study(place).name == "b" and (place / "aumer").is_dir()


def test_who_ends_it_early_still_sees_what_was_done(
    done: Studied, tables: Path, tmp_path: Path
) -> None:
    def end(row: str, number: int, count: int) -> None:
        raise KeyboardInterrupt

    place = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):  # before its first row is there
        run_study(made(), tables, folder=place, begins=end)
    assert [row.status for row in stored_study(place).rows] == [WAITING] * 3
    shutil.rmtree(place)
    shutil.copytree(done.folder or "", place)
    with pytest.raises(KeyboardInterrupt):
        run_study(made(), tables, folder=place, begins=end)
    assert [row.status for row in stored_study(place).rows] == [DONE] * 3


def test_words_of_several_lines_stay_in_their_place(done: Studied) -> None:
    said = replace(done, title="a | b\nc", notes=("one\n\n# two",))
    lines = said.to_markdown().splitlines()
    assert lines[0].startswith("## a | b c.") and "- one # two" in lines
