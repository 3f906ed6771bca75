"""Modules of the user's: imported before names are looked up, here and in worker processes."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doomed import ends, killed

from aumer import plugins, registry
from aumer.cli import main
from aumer.errors import EXIT_BUG, EXIT_OK, EXIT_USAGE, AumerError, UsageError
from aumer.workers import Workers

PARTS = """
import aumer
from aumer.graph.rois import RoiSet

aumer.register("roi-set", "plugged")(RoiSet(("a", "b"), (48, 54)))

@aumer.register("evaluator", "plugged")
def evaluator(predictions, truths, videos=None):
    return aumer.evaluate(predictions, truths, videos=videos)

@aumer.register("command", "plugged")
def add_parser(commands, common):
    parser = commands.add_parser("plugged", parents=[common], help="of a plugin")
    parser.set_defaults(run=run, parser=parser)

def run(args, console):
    console.data("it runs\\n")
    return 0

def twice(number):
    return 2 * number
"""


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test loads is gone after it."""
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})
    monkeypatch.setattr(plugins, "_loaded", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in {"mine", "helper", "broken", "wrong"} & (set(sys.modules) - before):
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PARTS)
    return path


def test_a_file_is_imported_once(plugin: Path) -> None:
    module = plugins.load(plugin)
    assert plugins.load(str(plugin)) is module is sys.modules["mine"]
    assert "plugged" in registry.names("roi-set")


def test_a_module_is_loaded_by_its_name_and_a_file_finds_its_neighbors(tmp_path: Path) -> None:
    assert plugins.load("json").__name__ == "json"
    (tmp_path / "helper.py").write_text("ANSWER = 42\n")
    (tmp_path / "mine.py").write_text("from helper import ANSWER\n")
    assert plugins.load(tmp_path / "mine.py").ANSWER == 42


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("broken.py", "import aumer\n\n1 / 0\n", r"broken.py, line 3: ZeroDivisionError: division"),
        ("broken.py", "def f(:\n", r"broken.py, line 1: SyntaxError"),
        ("broken.py", "import no_such_thing\n", r"broken.py, line 1: ModuleNotFoundError.*no_such"),
        ("broken.py", "\nraise SystemExit(3)\n", r"broken.py, line 2: SystemExit"),
        (
            "broken.py",
            'import aumer\naumer.register("flow", "dis")(len)\n',
            r"broken.py, line 2: a flow called 'dis' is registered already",
        ),
        ("json.py", "", r"has the name of another module, json .*: rename the file"),
        ("sys.py", "", r"another module, sys \(built in\): rename"),
        ("not-a-name.py", "", "of letters, digits and _; found 'not-a-name'"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_told(
    name: str, text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=says):
        plugins.load(tmp_path / name)
    assert main(["doctor", "--plugin", str(tmp_path / name)]) == EXIT_USAGE
    said = capsys.readouterr()
    assert said.err.startswith("aumer: error: ") and "Traceback" not in said.err and not said.out


@pytest.mark.parametrize("name", ["nowhere.py", "no_such_module", "no_such.module", "json.nothing"])
def test_a_plugin_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(UsageError, match=r"there is no plugin .*give a Python file"):
        plugins.load(name)


def test_another_file_of_a_loaded_name_is_refused(plugin: Path, tmp_path: Path) -> None:
    plugins.load(plugin)
    (tmp_path / "other").mkdir()
    again = tmp_path / "other" / "mine.py"
    again.write_text("")
    with pytest.raises(UsageError, match="has the name of another module"):
        plugins.load(again)


def test_an_error_of_a_plugin_is_not_ours_to_be_reported(
    plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin.write_text(PARTS.replace('console.data("it runs\\n")', "1 / 0"))
    assert main(["plugged", "--plugin", str(plugin)]) == EXIT_BUG
    said = capsys.readouterr().err
    assert "mine.py, line 17: ZeroDivisionError: division by zero. Its author can" in said
    assert "Please report" not in said


@pytest.mark.parametrize("first", [True, False])
def test_the_command_line_knows_its_parts(
    first: bool, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option = ["--plugin", str(plugin)]
    assert main([*option, "plugged"] if first else ["plugged", *option]) == EXIT_OK
    assert capsys.readouterr().out == "it runs\n"
    assert main([*option, "--help"]) == EXIT_OK
    assert "of a plugin" in capsys.readouterr().out
    assert main(["config", "show", "--set", "motion.rois=plugged", *option]) == EXIT_OK


def test_scores_by_an_evaluator_of_a_plugin(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "subject,video,kind,onset,offset\na,v,micro,0,9\n"
    (tmp_path / "rows.csv").write_text(rows)
    words = ["bench", "score", *[str(tmp_path / "rows.csv")] * 2, f"--plugin={plugin}"]
    for name in ("plugged", "all"):
        assert main([*words, "--evaluator", name]) == EXIT_OK
        (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("| plugged ")]
        assert "1/0/0" in line


def test_plugin_needs_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--plugin"]) == EXIT_USAGE
    assert "argument --plugin: expected one argument" in capsys.readouterr().err


def test_a_command_that_cannot_be_loaded_takes_no_other_away(
    plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry._parts["command"]["theirs"] = "no_such_module_anywhere:add_parser"
    assert main(["--plugin", str(plugin), "plugged"]) == EXIT_OK
    said = capsys.readouterr()
    assert said.out == "it runs\n"
    assert "warning: no command 'theirs': ModuleNotFoundError" in said.err


def test_workers_load_it_first(plugin: Path) -> None:
    twice: Any = plugins.load(plugin).twice  # type: ignore[attr-defined]
    assert sorted(Workers(2).run(twice, [1, 2, 3])) == [2, 4, 6]


def test_a_plugin_that_a_worker_cannot_load_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not called a want of memory."""
    monkeypatch.setattr(plugins, "_loaded", [])
    path = tmp_path / "only_here.py"
    path.write_text("def twice(number):\n    return 2 * number\n")
    twice = plugins.load(path).twice
    path.write_text("raise RuntimeError('no licence here')\n")
    said = (
        r"^a worker process cannot load what it is sent: the plugin .*only_here.py fails: "
        r".*line 1: RuntimeError: no licence here\. What was finished is kept"
    )
    with pytest.raises(AumerError, match=said):
        list(Workers(2).run(twice, [1, 2, 3]))


@pytest.mark.skipif(sys.platform == "win32", reason="joblib gives no exit codes there")
@pytest.mark.parametrize(
    ("job", "said"),
    [
        (ends, r"ended before its job was done: .*EXIT\(3\).*\. What was finished is kept"),
        (killed, "was killed, most often for lack of memory.*with fewer workers"),
    ],
)
def test_how_a_worker_ended_is_told(job: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_loaded", [])
    with pytest.raises(AumerError, match=said):
        list(Workers(2).run(job, [3, 3]))


def test_another_process_knows_the_parts_before_its_job(plugin: Path, tmp_path: Path) -> None:
    plugins.load(plugin)
    (tmp_path / "job").write_bytes(pickle.dumps(plugins.there(sys.modules["mine"].twice)))
    code = (
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "function = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "from aumer.graph.rois import roi_set\n"
        "print(function(4), roi_set('plugged').names)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "job")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(plugins.__file__).parents[1],
    )
    assert done.stdout == "8 ('a', 'b')\n"
