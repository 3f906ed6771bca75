"""What is kept of a run is used again only where it is what would be made now, as it was made."""

from __future__ import annotations

import json
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench.conftest import SUBJECTS, rewritten, small

import aumer.errors
from aumer import registry, source_code
from aumer.bench import folds
from aumer.bench.code import agreed, code_of_part
from aumer.bench.run import run, stored
from aumer.bench.store import intact, sealed
from aumer.bench.tasks.recognition import Recognition
from aumer.bench.tasks.spotting import Spotting
from aumer.config import digest
from aumer.errors import UsageError
from aumer.source_code import code_of, source_digest
from aumer.spotting.rules import RuleSpotter

SOURCE = '''"""A module."""

import math


def half(x: float) -> float:
    """Half of it."""
    return x / 2  # exactly
'''


# The code


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("  # exactly", ""),
        ('"""Half of it."""', '"""A half."""'),
        ("\n\n\ndef", "\n# Here.\n\ndef"),
        ("\n", "\r\n"),
    ],
)
def test_how_code_is_written_down_does_not_matter(was: str, now: str) -> None:
    assert was in SOURCE
    assert source_digest(SOURCE.replace(was, now)) == source_digest(SOURCE)


@pytest.mark.parametrize(
    ("was", "now"), [("x / 2", "x / 3"), ("import math", "import cmath"), ("half", "part")]
)
def test_what_it_does_matters(was: str, now: str) -> None:
    assert source_digest(SOURCE.replace(was, now)) != source_digest(SOURCE)


def test_the_modules_are_there() -> None:
    """One that was renamed must not be left out without a word."""
    assert len({code_of(task.code) for task in (Spotting, Recognition)}) == 2
    with pytest.raises(FileNotFoundError, match="no module spoting"):
        code_of(("spoting",))


class Held:
    """A part of a user's that holds something."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Versioned(Held):
    version = 3


def made(value: Any) -> Any:
    def recur(n: int) -> Any:
        return recur(n - 1) if n else value

    return recur


def test_a_part_is_known_by_its_source_and_what_it_holds() -> None:
    for one in (Held, Versioned, made, partial(made, 3)):
        assert code_of_part(one) == code_of_part(one)
    for make in (Held, Versioned, made, partial(partial, made)):
        for value, other in ((1, 2), ({"a": [1.5]}, {"a": [2.5]}), (np.eye(2), np.ones((2, 2)))):
            assert code_of_part(make(value)) == code_of_part(make(value))
            assert code_of_part(make(value)) != code_of_part(make(other))
    one, other = lambda: 1, lambda: 2
    assert code_of_part(one) != code_of_part(Held)
    assert code_of_part(one) == code_of_part(one) and other() == 2
    json.dumps(code_of_part(Held(np.eye(2))))


def test_a_version_stands_for_the_code_and_not_for_what_is_held() -> None:
    assert code_of_part(Versioned(1)) == code_of_part(Versioned(1)) != code_of_part(Versioned(2))
    threads = [threading.Lock(), threading.Lock()]  # which nothing tells apart
    assert code_of_part(Versioned(threads[0])) == code_of_part(Versioned(threads[1]))


def test_networks_are_known_by_their_weights() -> None:
    nets = [torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)]
    on = torch.device("cpu")
    assert code_of_part(Held([nets[0], on])) == code_of_part(Held([nets[0], on]))
    assert code_of_part(Held([nets[0], on])) != code_of_part(Held([nets[1], on]))
    assert code_of_part(Held(on)) != code_of_part(Held(torch.device("meta")))


def test_a_part_of_aumers_is_its_name_but_for_what_it_was_made_with() -> None:
    """The digests of stored folds hang on it."""
    assert code_of_part(RuleSpotter) == ["aumer.spotting.rules:RuleSpotter", []]
    one, other = (registry.register("flow", "of-a-test") for _ in range(2))
    assert code_of_part(one) == code_of_part(other)
    assert code_of_part(one) != code_of_part(registry.register("flow", "of-another-test"))


def test_a_part_that_cannot_be_known_is_like_no_other() -> None:
    generator = (k for k in range(3))
    assert code_of_part(Held(generator)) != code_of_part(Held(generator))


# Runs


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Path:
    folder = tmp_path_factory.mktemp("stale") / "run"
    run(small(), {"sim-casme-sq": tables}, "rules", folder=folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def again(folder: Path, tables: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the same again, and gives the folds that were made."""
    once = folds.run_fold

    def go() -> list[str]:
        ran: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(folds, "run_fold", lambda job: ran.append(job.fold) or once(job))
            run(small(), {"sim-casme-sq": tables}, "rules", folder=folder)
        return ran

    return go


def test_what_fits_is_not_made_again(again: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert again() == [] and not caplog.text


def test_other_code_makes_folds_again(
    again: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    package = tmp_path / "aumer"
    shutil.copytree(Path(aumer.errors.__file__).parent, package)
    monkeypatch.setattr(source_code, "_PACKAGE", package)
    rules, scoring = package / "spotting" / "rules.py", package / "evaluation" / "tables.py"
    # Whatever fails below, later tests read the package itself again.
    request.addfinalizer(code_of.cache_clear)
    for path, added, expected in (
        (rules, "# said otherwise\n", []),
        (scoring, "ADDED = 1\n", []),  # makes no prediction
        (rules, "ADDED = 1\n", list(SUBJECTS)),
    ):
        path.write_text(path.read_text() + added)
        code_of.cache_clear()
        assert again() == expected
    assert (
        "4 of 4 folds in" in caplog.text and "computed again: 4 made of other code" in caplog.text
    )
    assert again() == []


def test_other_versions_make_folds_again_and_the_result_says_whose_they_are(
    again: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    today = folds.versions()
    monkeypatch.setattr(folds, "versions", lambda: {**today, "numpy": "99.0"})
    # Scored again, the folds are still those of before.
    run(small(), None, "rules", folder=folder, score_only=True)
    assert f"numpy {today['numpy']}," in (folder / "result.md").read_text()
    assert again() == list(SUBJECTS) and "4 made of other versions" in caplog.text
    assert "numpy 99.0," in (folder / "result.md").read_text()
    assert agreed([{"a": "1"}, {"a": "2", "b": "3"}]) == {"a": "1 and 2", "b": "none and 3"}


def test_an_altered_fold_is_not_taken(
    again: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = json.loads((folder / "result.json").read_text())
    path = folder / "seed-0" / f"{SUBJECTS[1]}.json"
    fold = json.loads(path.read_text())
    assert intact(fold)
    fold["predictions"] = fold["predictions"][1:]
    path.write_text(json.dumps(fold))
    with pytest.raises(UsageError, match=r"not as it was written.*digest.*Delete it"):
        stored(folder)
    assert again() == [SUBJECTS[1]]
    assert "1 of 4 folds in" in caplog.text and "1 damaged or altered since" in caplog.text
    assert json.loads((folder / "result.json").read_text())["scores"] == before["scores"]


@pytest.mark.parametrize("name", ["data.json", "result.json"])
def test_nor_is_another_file(again: Any, folder: Path, name: str) -> None:
    path = folder / name
    path.write_text(path.read_text().replace("casme_015", "casme_515"))
    with pytest.raises(UsageError, match=rf"{name} was changed after it was written"):
        stored(folder)
    assert again() == []
    stored(folder)


def test_settings_in_force_count_where_they_were_not_given(
    again: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usual = Spotting.in_force
    monkeypatch.setattr(Spotting, "in_force", lambda self: [usual(self), "another default"])
    assert again() == list(SUBJECTS) and "4 made of other settings" in caplog.text


def test_runs_of_before_are_scored_and_made_again_when_they_go_on(
    again: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their ``run.json`` held versions, and their folds neither code nor a digest."""
    kept = json.loads((folder / "result.json").read_text())
    about = json.loads((folder / "run.json").read_text()) | {"versions": {"aumer": "0.0"}}
    (folder / "run.json").write_text(json.dumps(about))
    for path in folder.glob("seed-0/*.json"):
        depends = json.loads(path.read_text())["depends"]
        depends = {k: v for k, v in depends.items() if k.endswith(" data")}
        rewritten(path, depends={"run": digest(about), **depends})
        fold = json.loads(path.read_text())
        del fold["sha256"], fold["versions"], fold["machine"]
        path.write_text(json.dumps(fold))
    assert stored(folder).to_dict()["scores"] == kept["scores"]
    scored = run(small(), None, "rules", folder=folder, score_only=True)
    assert scored.to_dict()["scores"] == kept["scores"]
    assert again() == list(SUBJECTS)
    assert "4 from before it was kept what made them (settings, code, versions)" in caplog.text


def test_a_seal_is_of_all_values_in_any_order() -> None:
    values = {"a": (1, 2.5), "b": {"c": None}}
    found = json.loads(json.dumps(sealed(values)))
    assert intact(found) and intact(dict(reversed(found.items()))) and intact(values)
    assert sealed(found) == found
    assert not intact({**found, "a": [1, 2.4]}) and not intact({**found, "d": 1})
