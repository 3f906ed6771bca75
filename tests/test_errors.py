"""One error, two renderings: what the library says in Python's words, a command in its own."""

from __future__ import annotations

import argparse
import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import aumer
from aumer.cli import command_parser, main
from aumer.cli.console import Console
from aumer.errors import EXIT_USAGE, NoFaceError, UsageError, at_command_line
from aumer.simulate.tables import read_table

SOURCES = Path(aumer.__file__).parent
SPOT = ("--fps", "--overwrite", "--face", "--start", "--set", "--min-coverage", "--output")


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("use `overwrite=True` here", "use --overwrite here"),
        ("give `fps`, frames per second", "give --fps, frames per second"),
        ("`start=3.5` s is too late", "--start 3.5 s is too late"),
        ("`face='all'` gives all", "--face all gives all"),
        ("say `face='my face'`", "say --face 'my face'"),
        ("another `folder`", "another --output"),
        ("lower `min_coverage`", "lower --min-coverage"),
        ("set `motion.rate=60`", "set --set motion.rate=60"),
        ("look at `face.min_eye_distance`", "look at face.min_eye_distance"),
        # What this command has no option for.
        ("leave `workers=2` out", "leave workers=2 out"),
        # Other code is left as it is.
        ("`aumer doctor` or `aumer.spot(v, fps=30)`", "`aumer doctor` or `aumer.spot(v, fps=30)`"),
        ("fps=30.mp4 is no video", "fps=30.mp4 is no video"),
    ],
)
def test_renderings(python: str, shell: str) -> None:
    error = UsageError(python)
    assert str(error) == python
    assert error.at_command_line(SPOT) == shell
    # An error that was put into another's words keeps its own.
    assert at_command_line(f"data.csv: {error}", SPOT) == f"data.csv: {shell}"


def test_fixes_that_a_command_lacks_are_left_out() -> None:
    error = NoFaceError(
        "no face", fixes=("look", "choose `start` and `fps`", "lower `min_coverage`")
    )
    assert str(error) == "no face; look, choose `start` and `fps`, or lower `min_coverage`"
    assert error.at_command_line(SPOT) == (
        "no face; look, choose --start and --fps, or lower --min-coverage"
    )
    assert error.at_command_line(("--start", "--min-coverage")) == (
        "no face; look, or lower --min-coverage"
    )
    assert error.at_command_line(()) == "no face; look"
    again = pickle.loads(pickle.dumps(error))  # from a worker process
    assert (str(again), again.fixes) == (str(error), error.fixes)


def test_the_console_words_errors_notes_and_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    with Console(options=SPOT) as console:
        console.error(UsageError("there", fixes=("use `overwrite=True`", "give `workers`")))
        console.note("`face='all'` gives each")
        logging.getLogger("aumer").warning("give `fps`")
    assert capsys.readouterr().err.splitlines() == [
        "aumer: error: there; use --overwrite",
        "--face all gives each",
        "aumer: warning: give --fps",
    ]


# -- every command ------------------------------------------------------------------------------


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in dict.fromkeys(action._name_parser_map.values()):
                yield from _commands(one)


COMMANDS = list(_commands(command_parser()))


@pytest.mark.parametrize("command", COMMANDS, ids=[command.prog for command in COMMANDS])
def test_help(command: argparse.ArgumentParser) -> None:
    text = " ".join(command.format_help().split())
    assert "usage: " + command.prog in text
    # "%%" is one in an option's help, and two in a description.
    assert "%%" not in text


# -- every message ------------------------------------------------------------------------------


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text in a module but for what documents it; values stand as {}."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            aside.add(node.value)
        if isinstance(node, ast.JoinedStr):
            aside |= {part for value in node.values for part in ast.walk(value)}
    for node in ast.walk(tree):
        if node in aside:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values),
            )


OPTIONS = {option for command in COMMANDS for option in command._option_string_actions}

#: Options that functions have as arguments of the same name.
_SHARED = (
    *("overwrite", "fps", "start", "end", "min_coverage", "workers", "face", "graph", "device"),
    *("cache", "sensitivity", "model", "onset", "apex", "offset", "missing_offset", "score_only"),
)
_BARE = re.compile(rf"(?<![\w.])(?:{'|'.join(_SHARED)})=(?!=)|\bmin_coverage\b|=True\b")
_CODE = re.compile(r"`[^`]*`")


def test_each_message_of_the_library_is_worded_for_both() -> None:
    # In backticks, where `at_command_line` finds it, or as a whole command; never bare.
    wrong = []
    for path in sorted(SOURCES.rglob("*.py")):
        where = path.relative_to(SOURCES)
        if where.parts[0] == "cli" or where.name in ("errors.py", "doctor.py"):
            continue
        for line, text in _texts(path):
            if " " not in text or re.match(r"python -m |<", text):
                continue
            bare = _CODE.sub("", text)
            named = {f"--{option}" for option in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", bare)}
            if named & OPTIONS or _BARE.search(bare):
                wrong.append(f"{where}:{line}: {text}")
    assert not wrong, "\n".join(wrong)


def test_no_run_of_a_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, found in ((tmp_path, "no run.json."), (tmp_path / "none", "and is no folder.")):
        assert main(["bench", "compare", str(folder), str(tmp_path)]) == EXIT_USAGE
        said = capsys.readouterr().err
        assert f"{folder} holds no finished run" in said and found in said
        assert "Errno" not in said and "data.json, result.json and the folds" in said


def test_a_table_without_a_column(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("video_name,apex_frame,end_frame,type_idx,au\na,2,3,1,4\n")
    with pytest.raises(UsageError, match=r"no column 'onset' .*found video_name, apex_frame"):
        read_table(table)
    table.write_text("video_name,start_frame,apex_frame,end_frame,type_idx,au\na,x,2,3,1,4\n")
    with pytest.raises(UsageError, match=r"line 2, column start_frame: must be .*found 'x'"):
        read_table(table)
