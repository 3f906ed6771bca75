"""The wheel, the editable install, the bounds and the pins. Builds in process: no network."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hatchling import build
from packaging.requirements import Requirement

from aumer import _data

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SHIPPED = ("configs", "au_priors")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # build backends work on the current folder
        name = build.build_wheel(str(folder))
    with zipfile.ZipFile(folder / name) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_wheel_ships_the_data(wheel: Path, name: str) -> None:
    assert files(ROOT / name)
    assert files(wheel / "aumer" / "_shipped" / name) == files(ROOT / name)


@pytest.mark.parametrize("name", SHIPPED)
def test_data_is_found_from_a_wheel(wheel: Path, name: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); from aumer import _data; "
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}print(_data.data_dir({name!r}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(run.stdout.strip()) == (wheel / "aumer" / "_shipped" / name).resolve()


@pytest.mark.parametrize("name", SHIPPED)
def test_data_is_found_from_a_checkout(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(_data, "_PACKAGE", ROOT / "aumer")
    assert _data.data_dir(name) == ROOT / name


def test_missing_data_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()  # some other package's, beside aumer in site-packages
    monkeypatch.setattr(_data, "_PACKAGE", tmp_path / "aumer")
    with pytest.raises(FileNotFoundError, match=r"'configs' is missing.*install aumer again"):
        _data.data_dir("configs")


def test_wheel_is_typed_licensed_and_has_its_command(wheel: Path) -> None:
    (info,) = wheel.glob("*.dist-info")
    assert (wheel / "aumer" / "py.typed").is_file()
    assert "Apache License" in (info / "licenses" / "LICENSE").read_text(encoding="utf-8")
    commands = (info / "entry_points.txt").read_text(encoding="utf-8")
    assert "aumer = aumer.cli:main" in commands
    assert {p.name for p in wheel.iterdir()} == {"aumer", info.name}  # no tests, no benchmarks


def test_editable_install_copies_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / build.build_editable(str(tmp_path))) as archive:
        names = [n for n in archive.namelist() if ".dist-info/" not in n]
        assert [archive.read(n).decode().strip() for n in names] == [str(ROOT)]


def requirements(project: dict[str, Any]) -> list[Requirement]:
    extras = project["optional-dependencies"]
    return [Requirement(r) for r in chain(project["dependencies"], *extras.values())]


def test_every_dependency_is_bounded_on_both_sides(project: dict[str, Any]) -> None:
    for requirement in requirements(project):
        operators = {s.operator for s in requirement.specifier}
        assert "==" in operators or {">=", "<"} <= operators, str(requirement)


def test_wheels_that_share_cv2_are_of_one_release(project: dict[str, Any]) -> None:
    bounds = {r.name: str(r.specifier) for r in requirements(project) if "opencv" in r.name}
    assert len(bounds) == 3
    assert len(set(bounds.values())) == 1


def test_pins_keep_within_the_bounds(project: dict[str, Any]) -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {}
    for line in lines:
        if not line.startswith("#"):
            pin = Requirement(line)
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            pins[re.sub(r"[-_.]+", "-", pin.name).lower()] = specifier.version
    environment = {"python_version": "3.11", "sys_platform": "linux", "platform_machine": "x86_64"}
    for requirement in requirements(project):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.specifier.contains(pins[requirement.name]), str(requirement)
