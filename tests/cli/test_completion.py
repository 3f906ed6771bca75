"""`aumer completion`: the scripts, run in the shells that are here."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aumer.cli import command_parser
from aumer.cli.completion import SHELLS, levels
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


def run_in(shell: str, script: str, folder: Path) -> list[str]:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [program, *plain, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    found = list(levels(command_parser()))
    for shell, make in SHELLS.items():
        (folder / shell).write_text(make(found), encoding="utf-8")
    (folder / "a film.mp4").touch()
    (folder / "a folder").mkdir()
    return folder


CASES = [
    ("aumer ben", {"bench"}),
    ("aumer bench sc", {"score"}),
    ("aumer bench score --ev", {"--evaluator"}),
    ("aumer spot --overw", {"--overwrite"}),
    ("aumer spot --quiet x.mp4 --format js", {"json"}),
    ("aumer spot --format=js", {"json"}),
    ("aumer completion f", {"fish"}),
    ("aumer models ", {"list", "show", "fetch"}),
    ("aumer spot -o a", {"a film.mp4", "a folder"}),
    ("aumer spot a", {"a film.mp4", "a folder"}),
    ("aumer config show --no-such", set()),
]


@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
def test_bash(line: str, expected: set[str], scripts: Path) -> None:
    # As readline parts a line: at blanks, and round "=".
    words = line.replace("=", " = ").split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
source ./bash
complete -p aumer >/dev/null
COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}
_aumer
for one in "${{COMPREPLY[@]}}"; do printf '%s\\n' "$one"; done
"""
    assert set(run_in("bash", script, scripts)) == expected


@pytest.mark.parametrize(("line", "expected"), CASES[:7], ids=[line for line, _ in CASES[:7]])
def test_fish(line: str, expected: set[str], scripts: Path) -> None:
    told = run_in("fish", f"source ./fish; complete -C '{line}'", scripts)
    found = {one.split("\t")[0].rpartition("=")[2] for one in told}
    assert found == expected


def test_zsh(scripts: Path) -> None:
    script = """
autoload -Uz compinit; compinit -u -D
source ./zsh
print -r -- "$_comps[aumer]"
_files() { print -r -- FILES }
compadd() { shift; print -r -- "$@" }
at() { words=("$@"); CURRENT=$#; _aumer }
at aumer models ''
at aumer spot x.mp4 --format ''
at aumer spot -o ''
at aumer bench score -
"""
    told = run_in("zsh", script, scripts)
    assert told[:2] == ["_aumer", "list show fetch"]
    assert "json" in told[2].split() and told[3] == "FILES" and "--evaluator" in told[4].split()


def test_every_option_of_every_command_is_there(scripts: Path) -> None:
    def walk(parser: argparse.ArgumentParser) -> set[str]:
        names = set(parser._option_string_actions)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, other in action._name_parser_map.items():
                    names |= {name, *walk(other)}
        return names

    expected = walk(command_parser())
    assert len(expected) > 100
    for shell in SHELLS:
        text = (scripts / shell).read_text("utf-8")
        for name in expected:
            short = name.lstrip("-")
            assert (name if shell != "fish" else short) in text, f"{shell}: {name}"


def test_the_command(run: Run) -> None:
    ran = run("completion bash")
    assert (ran.code, ran.err) == (0, "") and "complete -o filenames -F _aumer aumer" in ran.out
    ran = run("completion tcsh")
    assert ran.code == 2 and "bash" in ran.err


def test_it_is_made_without_numpy() -> None:
    code = (
        "import sys; from aumer.cli import main; code = main(['completion', 'bash'])\n"
        "assert not {'numpy', 'torch', 'cv2'} & set(sys.modules), sys.modules.keys()\n"
        "sys.exit(code)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
