"""A recognition protocol from images to scores, on a small composite of made-up faces."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from aumer.bench import protocol as protocols
from aumer.bench.protocol import Protocol
from aumer.bench.run import run, stored
from aumer.bench.split import Fold, plan
from aumer.errors import UsageError
from aumer.recognition.features import min_max
from aumer.testing.clips import clips
from aumer.training.composite import composite

PROTOCOL = protocols.load("megc2019-recognition")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("megc2019")
    data = clips(0, subjects=4, each=2)
    (folder / "flow").mkdir()
    images = np.rint(255 * min_max(data.inputs)).astype(np.uint8)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["dataset", "sub", "filename_o", "label"])
        for image, label, subject, name in zip(
            images, data.labels, data.subjects, data.names, strict=True
        ):
            cv2.imwrite(str(folder / "flow" / f"{subject}_{name}.png"), image[..., ::-1])
            source = ("smic", "casme2", "samm")[int(subject[1]) % 3]
            table.writerow([source, subject, name, label])
    return folder


def test_images_become_clips(root: Path) -> None:
    data = composite(root)
    ours = clips(0, subjects=4, each=2)
    at = {key: k for k, key in enumerate(zip(ours.subjects, ours.names, strict=True))}
    order = [at[key] for key in zip(data.subjects, data.names, strict=True)]
    np.testing.assert_allclose(data.inputs, min_max(ours.inputs[order]), atol=0.003)
    assert data.labels.tolist() == ours.labels[order].tolist()
    assert set(data.sources) == {"smic", "casme2", "samm"}


def test_run_and_score_again(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    result = run(PROTOCOL, root, "svm-cells", folder=folder)
    assert list(result.reports) == [PROTOCOL.seeds[0]]  # it draws nothing: one seed is all
    assert result.mean("uf1") > 0.8 and set(result.parts) == {"smic", "casme2", "samm"}
    again = run(PROTOCOL, root, "svm-cells", folder=folder, score_only=True)
    assert again.folds == result.folds
    with pytest.raises(UsageError, match=r"which differs in model\.model"):
        run(PROTOCOL, root, "graph", folder=folder)
    (folder / "seed-0" / "s2.json").unlink()
    with pytest.raises(UsageError, match="there is no fold of s2"):
        run(PROTOCOL, root, "svm-cells", folder=folder, score_only=True)


def test_what_is_stored_compares_and_may_be_overwritten(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = run(PROTOCOL, root, "svm-cells", folder=folder)
    written = json.loads((folder / "result.json").read_text())
    assert written.pop("sha256")  # the seal of the file
    assert written == json.loads(json.dumps(first.to_dict()))
    again = stored(folder)  # from Python, too: no command line wrote it
    assert again.to_dict() == first.to_dict() and again.compare(first).value == 0
    worse = PROTOCOL.changed({"recognition.svm-cells.cells": 1})
    with pytest.raises(UsageError, match="use `overwrite=True` to run it again"):
        run(worse, root, "svm-cells", folder=folder)
    other = run(worse, root, "svm-cells", folder=folder, overwrite=True)
    assert [f.probabilities for f in other.folds] != [f.probabilities for f in first.folds]
    with pytest.raises(UsageError, match="holds another run"):
        run(PROTOCOL, root, "svm-cells", folder=folder, score_only=True, overwrite=True)
    (report,) = other.reports.values()
    truths = replace(report, table=2 * report.table)
    with pytest.raises(UsageError, match="annotations differ"):
        first.compare(replace(other, reports={0: truths}))


def test_options_and_seeds(root: Path, tmp_path: Path) -> None:
    made = replace(PROTOCOL, recognition={"ststnet": {"epochs": 2, "batch": 8}})
    result = run(replace(made, seeds=(3, 4)), root, "ststnet", folder=tmp_path)
    assert list(result.reports) == [3, 4] and len(result.folds) == 8
    assert result.mean("uf1") == pytest.approx(np.mean([r.uf1 for r in result.reports.values()]))


@pytest.mark.parametrize(
    ("change", "model", "said"),
    [
        ({"datasets": ("megc2019", "samm")}, "svm-cells", "root of each by its name"),
        ({"split": "unseen"}, "svm-cells", "recognition is run with split loso, k-fold"),
        ({"split": "cross-data-set", "datasets": ("a", "b")}, "svm-cells", "root of each"),
        ({"selection": "oracle"}, "svm-cells", "on the test subjects"),
        ({"selection": "inner"}, "svm-cells", "inner for a recognizer of sequences"),
        ({}, "cnn-lstm", "holds flow maps and no frames.*it can run only graph"),
        ({}, "cnn-lstn", "no recognizer is called 'cnn-lstn'; there are .*Did you mean 'cnn-lstm"),
        ({"recognition": {"svm-cells": {"cell": 3}}}, "svm-cells", "no option 'cell'"),
    ],
)
def test_what_it_does_not_run(
    root: Path, tmp_path: Path, change: dict[str, object], model: str, said: str
) -> None:
    other: Protocol = replace(PROTOCOL, **change)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=said):
        run(other, root, model, folder=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_other_splits(root: Path, tmp_path: Path) -> None:
    """Groups of subjects, one group held out, and data sets crossed: nobody is on both sides."""
    data = composite(root)
    two = replace(PROTOCOL, split="k-fold", folds=2)
    result = run(two, root, "svm-cells", folder=tmp_path / "k")
    assert len(result.folds) == 2 and result.split == "2 groups of subjects"
    assert all(len(set(fold.subjects)) == 2 for fold in result.folds)
    told = [pair for f in result.folds for pair in zip(f.clip_subjects, f.clips, strict=True)]
    assert sorted(told) == sorted(zip(data.subjects, data.names, strict=True))
    assert run(two, root, "svm-cells", folder=tmp_path / "k", score_only=True).folds == result.folds
    with pytest.raises(UsageError, match="holds another run"):
        run(replace(two, folds=3), root, "svm-cells", folder=tmp_path / "k")
    held = run(
        replace(PROTOCOL, split="hold-out", folds=2), root, "svm-cells", folder=tmp_path / "h"
    )
    (fold,) = held.folds
    assert (
        len(set(fold.clip_subjects)) == 2
        and len(fold.clips) == 12
        and "| all | " in held.to_markdown()
    )
    with pytest.raises(UsageError, match=r"one is s\d alone\. Use fewer folds"):
        run(replace(PROTOCOL, split="hold-out", folds=4), root, "svm-cells", folder=tmp_path / "x")
    crossed = replace(PROTOCOL, split="cross-data-set", datasets=("a", "b"))
    whose = [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b1")]
    assert plan(crossed, whose, pooled=True) == (
        Fold("a", "a", (0, 2), (1, 3)),
        Fold("b", "b", (1, 3), (0, 2)),
    )


def test_the_folder_is_enough_to_score_again(root: Path, tmp_path: Path) -> None:
    first = run(PROTOCOL, root, "svm-cells", folder=tmp_path)
    again = run(PROTOCOL, None, "svm-cells", folder=tmp_path, score_only=True)
    assert again.to_dict() == first.to_dict() and again.to_markdown() == first.to_markdown()
    assert "settings: fixed, or chosen within the training subjects" in first.to_markdown()
    (tmp_path / "data.json").unlink()  # as in a folder of before
    assert run(PROTOCOL, root, "svm-cells", folder=tmp_path, score_only=True).folds == first.folds


def test_a_score_says_what_its_recognizer_was_designed_on(root: Path, tmp_path: Path) -> None:
    fixed = {"target": "none", "gamma": 0.3, "ridge": 0.2, "balance": 0.75}
    plain = replace(PROTOCOL, recognition={"graph": {"choice": fixed}})
    told = run(plain, root, "graph", folder=tmp_path / "graph").to_markdown()
    assert "not for the design" in told
    told = run(PROTOCOL, root, "svm-cells", folder=tmp_path / "svm").to_markdown()
    assert "not for the design" not in told
