"""What an import that failed tells a user to do."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import aumer
from aumer.cli import main
from aumer.errors import EXIT_BUG, EXIT_USAGE, BackendUnavailable
from aumer.missing import explained

GL = "libGL.so.1: cannot open shared object file: No such file or directory"


def test_a_system_library() -> None:
    told = str(explained(ImportError(GL)))
    assert "libGL.so.1 is missing" in told and "`apt-get install libgl1 libglib2.0-0`" in told
    assert "dnf install mesa-libGL glib2" in told
    assert "Without root" in told and "opencv-contrib-python-headless==4.11" in told


@pytest.mark.parametrize(
    ("module", "requirement"),
    [
        ("numpy", '"numpy>=1.26,<3"'),
        ("sklearn.svm", '"scikit-learn>=1.3,<2"'),
        ("torch_geometric", '"torch-geometric>=2.5,<3"'),
        ("cv2", '"opencv-contrib-python<4.12,>=4.11"'),
    ],
)
def test_a_package_of_ours(module: str, requirement: str) -> None:
    error = RuntimeError("something else")
    error.__cause__ = ModuleNotFoundError(f"No module named {module!r}", name=module)
    told = explained(error)
    assert isinstance(told, BackendUnavailable) and told.exit_code == EXIT_USAGE
    name, bounds = requirement.strip('"'), str(told)
    assert f'"{sys.executable}" -m pip install "' in bounds
    for part in name.replace(",", " ").replace("<", " <").replace(">=", " >=").split():
        assert part in bounds
    assert "activate that one" in bounds


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'mine'", name="mine"),
        ModuleNotFoundError("No module named 'aumer.none'", name="aumer.none"),
        ImportError("cannot import name 'x' from 'numpy'"),
        ValueError(GL),
    ],
)
def test_other_errors_are_not_explained(error: Exception) -> None:
    assert explained(error) is None


@pytest.fixture
def without_gl(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a server: importing what imports OpenCV fails."""

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "aumer.pipeline":
                raise ImportError(GL)

    monkeypatch.delitem(sys.modules, "aumer.pipeline", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])


def test_python_and_the_command_say_it(
    without_gl: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BackendUnavailable, match="apt-get install"):
        _ = aumer.Spotter
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert main(["spot", str(tmp_path / "a.mp4"), "--no-cache"]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert "libGL.so.1 is missing" in said and "internal error" not in said


def test_a_fault_of_ours_stays_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ImportError("cannot import name 'x' from 'aumer.types'")

    monkeypatch.setattr("aumer.doctor.main", broken)
    assert main(["doctor"]) == EXIT_BUG
    assert "internal error" in capsys.readouterr().err


def test_an_old_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(aumer.__file__)
    ast.parse(path.read_text("utf-8"), feature_version=(3, 8))  # it gets as far as to say it
    spec = importlib.util.spec_from_file_location("aumer_of_old", path)
    assert spec is not None and spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "version_info", (3, 8, 10, "final", 0))
    with pytest.raises(ImportError, match=r"3\.10 or newer, and this is Python 3\.8\.10 .*venv"):
        spec.loader.exec_module(module)
