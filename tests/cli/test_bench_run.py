"""`aumer bench PROTOCOL`, as it is typed: from pictures to the table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from bench.conftest import TINY, recognize, to_old_layout, write_tables
from data import trees

from aumer.errors import EXIT_OK, EXIT_USAGE
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Nuisance, write_casme_sq_layout

#: CAS(ME)^2 as its protocol has it, but for the number of expressions; flow that is quick.
PROTOCOL = """
title = "Two small films"
kind = "spotting"
datasets = ["casme-sq"]
split = "loso"

[scoring]
missing_offset = "refuse"
expect_macro = 2
expect_micro = 2

[models.aumer]
preset = "aumer"
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects in the folders and the workbook of CAS(ME)^2: a smile, then the brows."""
    folder = tmp_path_factory.mktemp("films") / "CASME_sq"
    smile, brows = ((12, "both"),), ((1, "both"), (2, "both"))

    def performance(begin: float) -> Timeline:
        return Timeline(
            4.0,
            (
                Event("macro", smile, begin, begin + 0.4, begin + 0.9, begin + 1.3, 0.9),
                Event("micro", brows, begin + 2.0, begin + 2.15, begin + 2.2, begin + 2.4, 0.9),
            ),
        )

    named = {(15, "0101disgust1"): performance(0.5), (16, "0101disgust1"): performance(0.9)}
    write_casme_sq_layout(folder, named, size=(256, 256), nuisance=Nuisance.none())
    return folder


def settings(folder: Path) -> None:
    (folder / "small.toml").write_text(PROTOCOL)
    (folder / "quick.toml").write_text('[motion]\nflow = "dis"\n')


@pytest.mark.slow
def test_from_pictures_to_the_table(run: Any, films: Path, tmp_path: Path) -> None:
    """The whole protocol: rules, then a network, over two subjects' frames and the workbook."""
    settings(tmp_path)
    rules = run(f"bench small.toml --data {films} --config quick.toml -o rules")
    assert rules.code == EXIT_OK, rules.err
    assert "about" in rules.err and "written to rules" in rules.err
    (row,) = re.findall(r"\| casme-sq \| 0 \| fixed \|.*", rules.out)
    tp, _, fn = map(int, row.split("|")[8].split("/"))
    assert tp + fn == 4 and tp >= 2  # a smile as broad as this is found in both

    tiny = " ".join(f"--set {k}={json.dumps(v).replace(' ', '')}" for k, v in flat(TINY))
    line = f"bench small.toml --data {films} --config quick.toml --model aumer {tiny} -o net"
    net = run(f"{line} --json")
    assert net.code == EXIT_OK, net.err
    result = json.loads(net.out)
    assert [f["tested"] for f in result["folds"]] == [["s15"], ["s16"]]
    assert [f["trained"] for f in result["folds"]] == [["s16"], ["s15"]]
    scores = result["scores"][0]["report"]["scores"]
    assert (scores["macro"]["truths"], scores["micro"]["truths"]) == (2, 2)
    assert result == json.loads((tmp_path / "net" / "result.json").read_text())

    again = json.loads(run(f"{line} --json").out)  # everything is there
    assert again["folds"] == result["folds"]
    scored = run("bench small.toml --config quick.toml -o rules --score-only --scoring iou=0.9")
    assert scored.code == EXIT_OK and "IoU >= 0.9" in scored.out


def flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found


def test_simulated_sets_run_like_any_other(run: Any, tmp_path: Path) -> None:
    write_tables(tmp_path / "tables")
    line = "bench sim-casme-sq --data tables --level easy --model rules"
    expected = "--scoring expect_macro=8 --scoring expect_micro=4"
    done = run(f"{line} {expected}")
    assert done.code == EXIT_OK, done.err
    (folder,) = (tmp_path / "aumer-bench").iterdir()
    assert folder.name.startswith("sim-casme-sq-rules-")
    # The same line finds the same folder; another level is another run.
    assert run(f"{line} {expected} -q").err == ""
    hard = line.replace("easy", "hard")
    assert run(f"{hard} {expected}").code == EXIT_OK
    folders = sorted((tmp_path / "aumer-bench").iterdir())
    assert len(folders) == 2
    compared = run(f"bench compare {folder} {next(f for f in folders if f != folder)}")
    assert compared.code == EXIT_OK
    assert "| sim-casme-sq | overall |" in compared.out
    assert "a difference is found 80% of the time from" in compared.out
    two = [str(f) for f in folders]
    plain = json.loads(run(f"bench compare {' '.join(two)} --json").out)
    assert [row["subjects"] for row in plain] == [4, 4, 4] and plain[2]["detectable"] > 0
    assert plain[0]["chosen_on"] == ["nothing is trained on these data"] * 2
    # Few subjects are told of, and what never moves is no sure find.
    assert "as few as 4 subjects are too narrow" in compared.out
    same = run(f"bench compare {two[0]} {two[0]}").out
    assert "nothing is known of what could be found" in same and "from 0.0000 on" not in same
    table = run(f"bench power {two[0]} {two[0]}").out
    assert "| 0.0000 | - | - | - |" in table and "nothing is known" in table
    (row, *_) = json.loads(run(f"bench power {two[0]} {two[0]} --json").out)
    assert row["detectable"] is None and row["subjects_for_asked"] is None
    told = json.loads(run(f"bench power {' '.join(two)} --difference .1 --json").out)
    assert [row["row"] for row in told] == ["macro", "micro", "overall"] and told[0]["paired"]
    assert told[0]["clips"] == 8 and told[2]["clips"] == 12
    alone = run(f"bench power {folder}")
    assert alone.code == EXIT_OK and "nobody knows what another one gets right" in alone.out
    assert run(f"bench power {folder} --difference 0").code == EXIT_USAGE
    wrong = run(line)
    assert wrong.code == EXIT_USAGE and "300 are expected" in wrong.err


def test_protocols_are_listed(run: Any) -> None:
    done = run("bench list")
    assert done.code == EXIT_OK
    names = ("casme-sq", "samm-lv", "megc2019-recognition", "megc-unseen", "sim-casme-sq")
    for name in names:
        assert re.search(rf"^{name} ", done.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bench casmesq --data x", "Did you mean 'casme-sq'"),
        ("bench casme-sq", "--data"),
        ("bench casme-sq --data nowhere", "nowhere"),
        ("bench casme-sq --data a --data b", "twice"),
        ("bench cross-data-set --data a", "SET=ROOT"),
        ("bench sim-casme-sq --data x --seeds 0,a", "whole numbers"),
        ("bench sim-casme-sq --data x --set epochs", "PATH=VALUE"),
        ("bench sim-casme-sq --data x --scoring ious=1", "iou"),
        ("bench sim-casme-sq --data x --model aumer --set epoch=1", "epochs"),
        ("bench sim-casme-sq --data x --selection best", "oracle"),
        ("bench sim-casme-sq --data x --workers 0", "workers"),
        ("bench sim-casme-sq --data x --backend dask", "scheduler"),
        ("bench sim-casme-sq --model aumer --score-only -o none", "nothing to score"),
        ("bench compare none none", "no finished run"),
        ("bench casme-sq --bogus", "--bogus"),
        ("bench", "PROTOCOL"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_written(
    run: Any, tmp_path: Path, line: str, said: str
) -> None:
    done = run(line)
    assert done.code == EXIT_USAGE
    assert said in done.err
    assert not list(tmp_path.iterdir())


def test_recognition_from_the_frames_of_a_data_set(run: Any, tmp_path: Path) -> None:
    """One command from the owners' layout to the table; and what it says of mistakes."""
    (tmp_path / "CASME2").mkdir()
    acts = trees.acted(3, ["happiness", "surprise", "others"], hidden=(1, "others"))
    trees.casme2_acted(tmp_path / "CASME2", acts)
    changed = ("inputs.size=48", "learning.epochs=1", "config.layers=[1,1,1,1]")
    changed += ("config.groups=4", "config.reduction=4")
    cut = " ".join(f"--set {setting}" for setting in changed)
    line = f"bench casme2-5class --data CASME2 --model se-resnext50 {cut} -o out"
    done = run(line)
    assert done.code == EXIT_OK, done.err
    assert "| all | " in done.out and "published" in done.out.lower()
    assert "MFEM + MFFM" in done.out and "sub01/EP03_01 (no face in any" in done.out
    assert "clips without a face that can be followed: 1," in done.err
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["unseen"][0]["name"] == "EP03_01" and document["accuracy"]["value"] >= 0
    again = run("bench casme2-5class --model se-resnext50 " + cut + " -o out --score-only --json")
    assert again.code == EXIT_OK, again.err
    assert json.loads(again.out)["seeds"] == document["seeds"]
    same = run("bench compare out out")
    assert same.code == EXIT_OK and "| uar | " in same.out and "+0.0000" in same.out
    inner = run(line.replace("-o out", "-o in") + " --selection inner --folds 3")
    assert inner.code == EXIT_OK, inner.err
    assert "epoch: the best on inner subjects (20% of the training ones" in inner.out
    assert "3 groups of subjects over 3 subjects" in inner.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--model se-resnext", "there are cnn-lstm.*Did you mean 'se-resnext50'"),
        ("--model cnn-lstm --decoder aumer", "--decoder applies to spotting alone"),
        ("--model cnn-lstm --train-subjects 3", "--train-subjects applies to spotting alone"),
        ("--model cnn-lstm --set config.lenght=3", "unknown key lenght"),
        ("--model cnn-lstm --set inputs.sizes=3", "unknown key sizes"),
        ("--model graph --set inputs.crops=3", "unknown key crops"),
        ("--model graph --selection oracle", "on the test subjects"),
    ],
)
def test_wrong_recognition_is_told(run: Any, tmp_path: Path, line: str, said: str) -> None:
    done = run(f"bench casme2-5class --data {tmp_path} {line}")
    assert done.code == EXIT_USAGE and re.search(said, done.err, re.DOTALL), done.err


def test_a_run_of_before_is_converted(run: Any, tmp_path: Path) -> None:
    folder = to_old_layout(recognize(tmp_path / "old").folder)
    refused = run("bench compare old old")
    assert refused.code == EXIT_USAGE and "aumer bench convert old" in refused.err
    done = run("bench convert old")
    assert done.code == EXIT_OK, done.err
    same = run("bench compare old old")
    assert same.code == EXIT_OK and "| all | uf1 |" in same.out
    assert not (folder / "about.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sim-casme-sq --model rules", "nothing, as it is not trained here"),
        ("sim-casme-sq --model aumer", "epochs, batch,"),
        ("casme2-5class --model graph", "choice, registered, position, landmarks, inputs, apex"),
    ],
)
@pytest.mark.parametrize("key", ["settings.rules.min_s", "min_s"])
def test_what_can_be_set_is_told_where_a_key_is_not(
    words: str, said: str, key: str, run: Any
) -> None:
    ran = run(f"bench {words} --data x --set {key}=0.2")
    assert ran.code == EXIT_USAGE and said in ran.err, ran.err
    assert (
        f"no setting is called {key!r}: what can be set is the settings of face, motion and rules"
        in ran.err
    )
    assert "Did you mean 'rules.min_s'?" in ran.err
