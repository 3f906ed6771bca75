"""A recognition protocol from images to scores, on a small composite of made-up faces."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from recognition.faces import clips

from aumer.bench import protocol as protocols
from aumer.bench.protocol import Protocol
from aumer.bench.recognition import composite, run
from aumer.errors import UsageError
from aumer.recognition.features import min_max

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
    with pytest.raises(UsageError, match=r"holds the folds of svm-cells .*, not of graph"):
        run(PROTOCOL, root, "graph", folder=folder)
    next(folder.glob("seed*-s2.json")).unlink()
    with pytest.raises(UsageError, match="lacks the folds of 1 subjects"):
        run(PROTOCOL, root, "svm-cells", folder=folder, score_only=True)


def test_options_and_seeds(root: Path, tmp_path: Path) -> None:
    made = replace(PROTOCOL, recognition={"ststnet": {"epochs": 2, "batch": 8}})
    result = run(made, root, "ststnet", seeds=(3, 4), folder=tmp_path)
    assert list(result.reports) == [3, 4] and len(result.folds) == 8
    assert result.mean("uf1") == pytest.approx(np.mean([r.uf1 for r in result.reports.values()]))


@pytest.mark.parametrize(
    "change", [{"datasets": ("casme2",)}, {"split": "k-fold"}], ids=["data set", "split"]
)
def test_what_it_does_not_run(root: Path, tmp_path: Path, change: dict[str, object]) -> None:
    other: Protocol = replace(PROTOCOL, **change)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="run on megc2019 with split loso"):
        run(other, root, "svm-cells", folder=tmp_path / "x")
    assert not (tmp_path / "x").exists()
