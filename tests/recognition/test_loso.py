"""Leave-one-subject-out: nothing is learned of a test subject, and folds resume from files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.bench import folds as folds_module
from aumer.bench.recognizers import factory
from aumer.bench.store import sealed
from aumer.bench.tasks.recognition import loso
from aumer.bench.tasks.recognition_result import scored
from aumer.errors import UsageError
from aumer.recognition.interface import Clips, Recognizer
from aumer.recognition.svm_cells import SvmCells
from aumer.testing.clips import CLASSES, clips
from aumer.training.composite import composite
from aumer.workers import Workers

SVM = factory("svm-cells")


def test_each_clip_is_predicted_once_by_a_model_of_the_others() -> None:
    data = clips(0)
    seen: list[tuple[str, ...]] = []

    class Watched(SvmCells):
        def fit(self, clips: Clips, **options: Any) -> Watched:  # type: ignore[override]
            seen.append(clips.subjects)
            return super().fit(clips, **options)

    folds = loso(data, lambda seed: Watched())
    tested = [fold.subject for fold in folds]
    assert tested == list(dict.fromkeys(data.subjects))
    for subject, subjects in zip(tested, seen, strict=True):
        assert subject not in subjects and set(subjects) | {subject} == set(data.subjects)
    assert sorted(name for fold in folds for name in fold.clips) == sorted(data.names)


@pytest.mark.parametrize("model", ["svm-cells", "graph"])
def test_a_subject_s_clips_change_nothing_in_its_own_fold(model: str) -> None:
    """Labels of the held-out subject turned round, its other clips' maps too: the same model."""
    data = clips(0, subjects=6)
    mask = data.of_subject("s2")
    first = int(np.flatnonzero(mask)[0])
    changed = data.inputs.copy()
    changed[mask] = changed[mask][:, ::-1]
    changed[first] = data.inputs[first]
    labels = np.where(mask, (data.labels + 1) % 3, data.labels)
    other = replace(data, inputs=changed, labels=labels)
    (ours,) = loso(data, factory(model), subjects=["s2"])
    (theirs,) = loso(other, factory(model), subjects=["s2"])
    assert ours.probabilities[0] == theirs.probabilities[0]
    assert ours.truths != theirs.truths and ours.chosen == theirs.chosen


def test_workers_change_nothing() -> None:
    data = clips(0, subjects=3)
    one, two = (loso(data, SVM, workers=Workers(n)) for n in (1, 2))
    assert [replace(f, seconds=0) for f in one] == [replace(f, seconds=0) for f in two]


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = clips(0, subjects=3)
    loso(data, SVM, subjects=["s1"], folder=tmp_path)
    (kept,) = tmp_path.glob("seed-0/*.json")
    before = kept.read_text()
    told: list[tuple[str, int, int]] = []
    folds = loso(data, SVM, folder=tmp_path, progress=lambda *n: told.append(n))
    assert kept.read_text() == before and told == [("folds", n, 3) for n in (1, 2, 3)]
    with monkeypatch.context() as patch:
        patch.setattr(folds_module, "run_fold", _never)
        assert loso(data, SVM, folder=tmp_path) == folds


@pytest.mark.parametrize("what", ["labels", "inputs", "options", "function", "damaged"])
def test_folds_that_do_not_fit_are_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    data, model, why = clips(0, subjects=3), SVM, "3 of 3 folds"
    loso(data, SVM, folder=tmp_path)
    if what == "labels":
        data, why = replace(data, labels=(data.labels + 1) % 3), "made of other data and tested da"
    elif what == "inputs":
        data, why = replace(data, inputs=data.inputs * 2 + 1), "3 made of other data$"
    elif what == "options":
        model, why = factory("svm-cells", {"cells": 3}), "3 made of other code"
    elif what == "function":
        model = lambda seed: SvmCells()  # noqa: E731
        why = "3 made of other code"
    else:
        (tmp_path / "seed-0" / "s1.json").write_text(json.dumps({"format": "other"}))
        why = "1 of 3 folds in .* computed again: 1 damaged or altered since"
    again = loso(data, model, folder=tmp_path)
    assert re.search(why, caplog.text, re.MULTILINE)
    fresh = loso(data, model)
    assert [replace(f, seconds=0) for f in again] == [replace(f, seconds=0) for f in fresh]
    caplog.clear()
    loso(data, model, folder=tmp_path)
    assert not caplog.text


def _never(job: Any) -> Any:
    raise AssertionError("a fold that was done is trained again")


def test_scores() -> None:
    data = clips(0, subjects=3)
    result = scored("svm-cells", loso(data, SVM, seeds=(0, 1)), data)
    assert set(result.reports) == {0, 1} and set(result.parts) == {"one", "two"}
    assert result.mean("uf1") == pytest.approx(result.reports[0].uf1)  # it draws nothing
    assert result.bootstrap("uf1", replicates=200).value == pytest.approx(result.mean("uf1"))
    assert result.compare(result, replicates=200).value == 0
    one = scored("svm-cells", loso(data, SVM), data)
    assert one.compare(result, replicates=200).value == 0  # a model that draws nothing: one seed
    assert "| all |" in result.to_markdown() and json.dumps(result.to_dict())


def test_a_missing_fold_is_not_scored_over() -> None:
    data = clips(0, subjects=3)
    with pytest.raises(UsageError, match="without one: s2"):
        scored("svm-cells", loso(data, SVM, subjects=["s0", "s1"]), data)


def test_what_cannot_be_run() -> None:
    data = clips(0, subjects=3)
    with pytest.raises(UsageError, match="no clip is of subject 's9'"):
        loso(data, SVM, subjects=["s9"])
    with pytest.raises(UsageError, match="two subjects"):
        loso(data.take(data.of_subject("s0")), SVM)
    with pytest.raises(UsageError, match="needs a name"):
        loso(replace(data, names=()), SVM)
    with pytest.raises(UsageError, match=r"has no option .cels."):
        factory("svm-cells", {"cels": 3})


def test_options_and_seeds_reach_the_recognizer() -> None:
    assert factory("svm-cells", {"cells": 3})(7).cells == 3  # type: ignore[attr-defined]
    assert factory("ststnet", {"epochs": 2})(7).seed == 7  # type: ignore[attr-defined]


def test_svm_cells_on_the_composite(shared_data: Callable[[str], Path]) -> None:
    """The reference figures: UF1 .7425, UAR .7554."""
    data = composite(shared_data("megc2019"))
    result = scored("svm-cells", loso(data, SVM), data)
    assert result.mean("uf1") == pytest.approx(0.7425, abs=5e-4)
    assert result.mean("uar") == pytest.approx(0.7554, abs=5e-4)
    parts = {part: result.mean("uf1", part) for part in result.parts}
    assert parts == pytest.approx({"smic": 0.681, "casme2": 0.884, "samm": 0.643}, abs=1e-3)
    interval = result.bootstrap("uf1")
    assert 0.05 < interval.value - interval.low < 0.08


@pytest.mark.slow
def test_stst_net_learns_a_fold_of_the_composite(shared_data: Callable[[str], Path]) -> None:
    data = composite(shared_data("megc2019"))
    fold, *_ = loso(data, partial(_short), subjects=["sub17"])
    hits = np.mean([t == p for t, p in zip(fold.truths, fold.predicted, strict=True)])
    assert len(fold.truths) > 20 and hits > 0.5


def _short(seed: int) -> Recognizer:
    return factory("ststnet", {"epochs": 30})(seed)


def test_svm_s_arrays_are_scikit_learn_s_machine() -> None:
    """The kernel expansion that is kept gives libsvm's own margins and predictions."""
    from sklearn.svm import SVC

    data, test = clips(0, subjects=8), clips(1, subjects=8)
    made = SvmCells().fit(data)
    x, z = made._features(data.inputs), made._features(test.inputs)
    mean, deviation = x.mean(0), x.std(0) + 1e-8
    machine = SVC(gamma=1 / 147, class_weight="balanced", decision_function_shape="ovo")
    machine.fit((x - mean) / deviation, data.labels)
    z = (z - mean) / deviation
    np.testing.assert_allclose(made.margins(test.inputs), machine.decision_function(z), atol=1e-9)
    ours = made.predict_proba(test.inputs).argmax(1)
    assert (ours == machine.predict(z)).mean() > 0.98
    assert made.classes == CLASSES


def test_a_fold_keeps_what_reports_are_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attribution, losses and embeddings; and a file from before they were kept is still read."""
    data = clips(0, subjects=3)

    class Telling(SvmCells):
        log = ({"epoch": 1, "loss": 0.5, "inner_loss": 0.7},)

        def embeddings(self, inputs: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
            return inputs.mean((1, 2))

    def telling(seed: int) -> Recognizer:
        return Telling()

    (fold,) = loso(data, telling, subjects=["s1"], folder=tmp_path)
    monkeypatch.setattr(folds_module, "run_fold", _never)
    own = data.inputs[data.of_subject("s1")]
    assert fold.log == Telling.log and fold.rois == SvmCells().rois
    np.testing.assert_allclose(fold.embeddings, own.mean((1, 2)), atol=1e-5)
    model = Telling().fit(data.take(~data.of_subject("s1")))
    np.testing.assert_allclose(fold.attribution[0], model.attribution(own[0]), atol=1e-5)
    assert loso(data, telling, subjects=["s1"], folder=tmp_path) == (fold,)
    (kept,) = tmp_path.glob("seed-0/*.json")
    old = json.loads(kept.read_text())
    for key in ("log", "embeddings", "attribution", "rois"):
        del old[key]
    kept.write_text(json.dumps(sealed(old)))
    (read,) = loso(data, telling, subjects=["s1"], folder=tmp_path)
    assert read == replace(fold, log=(), embeddings=(), attribution=(), rois=())
