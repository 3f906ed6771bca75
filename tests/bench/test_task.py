"""A task of one's own is one file: folds, files, resuming and comparing are those of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.bench import folds
from aumer.bench.figure import Figure
from aumer.bench.protocol import Protocol
from aumer.bench.result import Result, Run, comparison_table
from aumer.bench.run import run, stored
from aumer.bench.split import Fold
from aumer.bench.store import FORMAT
from aumer.bench.task import Options, Task, TaskTruth, Work
from aumer.bench.tasks import TASKS
from aumer.errors import ConfigError, UsageError
from aumer.workers import Workers


@dataclass(frozen=True)
class Coins(TaskTruth):
    """Who threw heads (1) or tails (0)."""

    throws: tuple[tuple[str, int], ...]

    @property
    def subject_keys(self) -> list[tuple[str, str]]:
        return [("coins", who) for who, _ in self.throws]

    def to_dict(self) -> dict[str, Any]:
        return {"throws": self.throws}


@dataclass(frozen=True)
class Guess(Work):
    train: Coins
    test: Coins
    always: str

    @property
    def tested(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(who for who, _ in self.test.throws))

    @property
    def trained(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(who for who, _ in self.train.throws))

    def predict(self, seed: int, checkpoint: Path | None) -> dict[str, Any]:
        seen = Counter(side for _, side in self.train.throws)
        guess = int(self.always) if self.always else seen.most_common(1)[0][0]
        return {"guessed": [guess] * len(self.test.throws)}


@dataclass(frozen=True, eq=False)
class Guessed(Result[Mapping[str, Any]]):
    truth: Coins

    def figure(self) -> Figure:
        guessed = {f["fold"]: f["guessed"][0] for f in self.folds}
        own = {who: [s for w, s in self.truth.throws if w == who] for who in guessed}
        counts = [[[g in own[w], own[w].count(g), len(own[w])]] for w, g in guessed.items()]
        array = np.array(counts, np.int64)
        return Figure(tuple(guessed), array, array[:, 0, 2], lambda c: c[:, 1] / c[:, 2])

    def figures(self) -> dict[str, Any]:
        return {"accuracy": self.figure().bootstrap(replicates=20).to_dict()}

    def fold_facts(self, fold: Mapping[str, Any]) -> dict[str, Any]:
        return {"fold": fold["fold"], "tested": fold["tested"]}

    def tables(self) -> list[str]:
        return [f"accuracy {self.figure().value:.4f}"]

    def compared_figures(self) -> dict[tuple[str, str], Figure]:
        return {("coins", "accuracy"): self.figure()}


class Guessing(Task[Coins, Coins, Mapping[str, Any]]):
    """A model is "most", or the side that it always says."""

    kind = "coins"
    default_model = "most"
    resumes = False

    def __init__(self, protocol: Protocol, model: str, options: Options) -> None:
        self.protocol, self.name = protocol, model

    @classmethod
    def models(cls, protocol: Protocol) -> str:
        return "models: most, 0, 1"

    def about(self) -> dict[str, Any]:
        return {"format": FORMAT, "protocol": {"split": "loso"}, "model": {"model": self.name}}

    def open(self, roots: Mapping[str, Any], workers: Workers, progress: Any) -> Coins:
        lines = Path(self.needed(["coins"], roots)["coins"]).read_text().split()
        return Coins(tuple((line[0], int(line[1])) for line in lines))

    def prepare(self, truth: Coins, workers: Workers, progress: Any) -> Coins:
        return truth

    def depends(self, fold: Fold, items: Coins) -> dict[str, str]:
        return {"throws": str(items.throws)}

    def work(self, fold: Fold, items: Coins, workers: Workers) -> Guess:
        train, test = (
            Coins(tuple(items.throws[k] for k in rows)) for rows in (fold.trained, fold.tested)
        )
        return Guess(train, test, self.name.removeprefix("most"))

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Coins:
        return Coins(tuple((who, side) for who, side in document["throws"]))

    @staticmethod
    def parse(found: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**found, "guessed": list(found["guessed"])}

    @classmethod
    def scored(cls, run: Run, truth: Coins, folds: Sequence[Mapping[str, Any]]) -> Guessed:
        return Guessed(run, tuple(folds), truth)


def test_a_task_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="kind must be one of spotting, recognition, spot-then"):
        Protocol("mine", "Coins", "coins", ("coins",), "loso")
    monkeypatch.setitem(TASKS, "coins", f"{__name__}:{Guessing.__name__}")
    protocol = Protocol("mine", "Coins", "coins", ("coins",), "loso")
    (tmp_path / "throws").write_text("a1 a1 a0 b1 b0 c1 c1 c1")
    made = run(protocol, tmp_path / "throws", folder=tmp_path / "most")
    assert isinstance(made, Guessed) and made.figure().value == 6 / 8
    assert [(f["tested"], f["trained"]) for f in made.folds] == [
        (["a"], ["b", "c"]),
        (["b"], ["a", "c"]),
        (["c"], ["a", "b"]),
    ]
    assert "accuracy 0.7500" in (tmp_path / "most" / "result.md").read_text()
    tails = run(protocol, tmp_path / "throws", "0", folder=tmp_path / "0", workers=Workers(1))
    (row,) = stored(tmp_path / "most").compared(stored(tmp_path / "0"))
    assert row.difference.value == 6 / 8 - 2 / 8
    assert "| coins | accuracy | 0.7500 | 0.2500 | +0.5000 |" in comparison_table(
        made, tails, [row]
    )

    ran: list[str] = []
    once = folds.run_fold
    monkeypatch.setattr(folds, "run_fold", lambda job: ran.append(job.fold) or once(job))
    (tmp_path / "most" / "seed-0" / "b.json").unlink()
    with pytest.raises(UsageError, match="there is no fold of b"):
        run(protocol, None, folder=tmp_path / "most", score_only=True)
    again = run(protocol, tmp_path / "throws", folder=tmp_path / "most")
    assert ran == ["b"] and again.figures() == made.figures()
    (tmp_path / "throws").write_text("a1 a0 b1 c1")
    ran.clear()
    run(protocol, tmp_path / "throws", folder=tmp_path / "most")
    assert ran == ["a", "b", "c"]
    assert (
        "3 of 3 folds in" in caplog.text and "computed again: 3 made of other throws" in caplog.text
    )
