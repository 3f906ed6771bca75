"""The wheel, the editable install, the bounds and the pins. Builds in process: no network."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hatchling import build
from packaging.requirements import Requirement

from aumer import _data, doctor
from aumer.face import weights
from aumer.strict import read_toml

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
    return read_toml(ROOT / "pyproject.toml")["project"]


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


def test_wheel_ships_the_face_networks_with_their_notice(wheel: Path) -> None:
    networks = files(wheel / "aumer" / "face" / "networks")
    notice = networks.pop("NOTICE").decode()
    assert sum(map(len, networks.values())) <= 4e6
    shipped = {s.file: s for s in weights.SHIPPED.values()}
    assert set(networks) == set(shipped)  # no file without its license and source, and none missing
    for name, content in networks.items():
        assert hashlib.sha256(content).hexdigest() == shipped[name].sha256
        package, release = re.findall(r"^(\S+) (\S+),", shipped[name].found_in)[0]
        _, listed, entry = notice.partition(f"\n{name}\n")
        assert listed, f"NOTICE does not name {name}"
        assert f"sha256 {shipped[name].sha256}\n" in entry
        assert f"{package} {release} on PyPI" in notice
    (info,) = wheel.glob("*.dist-info")
    copied = info / "licenses" / "aumer" / "face" / "networks" / "NOTICE"
    assert copied.read_text(encoding="utf-8") == notice


@pytest.mark.parametrize("command", ["view", "serve"])
def test_wheel_ships_the_page(wheel: Path, command: str) -> None:
    """It loads nothing from elsewhere."""
    page = files(wheel / "aumer" / command / "page")
    assert page == files(ROOT / "aumer" / command / "page")
    asked = {
        name.decode()
        for content in page.values()
        for name in re.findall(rb"[\"'](?:https?:/)?/?(?:/assets/)([\w.]+)[\"']", content)
    }
    assert asked and asked <= set(page)
    for name, content in page.items():
        content = re.sub(rb"^/\*!.*?\*/", b"", content)  # where uPlot comes from
        addresses = set(re.findall(rb"(?:https?:)?//[\w.]+\.\w+", content))
        assert addresses <= {b"http://www.w3.org"}, name  # a name space, in the icon


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


HERE = {"python_version": "3.11", "sys_platform": "linux", "platform_machine": "x86_64"}


def pins(file: str) -> dict[str, str]:
    """What a file of constraints allows on CI's Python."""
    found = {}
    for line in (ROOT / ".ci" / file).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pin = Requirement(line)
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            assert pin.marker is not None
            assert pin.marker.evaluate(HERE)
            found[re.sub(r"[-_.]+", "-", pin.name).lower()] = specifier.version
    return found


def wanted(requirements: Iterable[str], environment: dict[str, str] = HERE) -> list[Requirement]:
    return [
        r
        for r in map(Requirement, requirements)
        if r.marker is None or r.marker.evaluate(environment)
    ]


def test_pins_keep_within_the_bounds(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    found = pins("constraints.txt")
    ordinary = [rs for name, rs in extras.items() if name != "mediapipe"]  # it has its own
    for requirement in wanted(chain(project["dependencies"], *ordinary)):
        assert requirement.specifier.contains(found[requirement.name]), str(requirement)


def test_pins_of_the_mediapipe_extra_keep_within_all_bounds(project: dict[str, Any]) -> None:
    found = pins("constraints-mediapipe.txt")
    both = {**pins("constraints.txt"), **found}
    extra = project["optional-dependencies"]["mediapipe"]
    assert {r.name for r in wanted(extra)} <= set(found)
    for requirement in wanted([*project["dependencies"], *extra]):
        assert requirement.specifier.contains(both[requirement.name]), str(requirement)


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(
    ("system", "machine"), [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
)
def test_mediapipe_comes_with_its_extra_alone_and_where_it_has_wheels(
    project: dict[str, Any], version: str, system: str, machine: str
) -> None:
    there = {"python_version": version, "sys_platform": system, "platform_machine": machine}
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    names = [r.name for r in wanted(project["dependencies"], there)]
    assert not {"mediapipe", "jax"} & set(names)
    (numpy,) = (r for r in wanted(project["dependencies"], there) if r.name == "numpy")
    assert numpy.specifier.contains("1.26.4")
    assert numpy.specifier.contains("2.4.6")
    extra = {r.name for r in wanted(project["optional-dependencies"]["mediapipe"], there)}
    has_wheel = version in ("3.10", "3.11", "3.12") and (system, machine) != ("linux", "aarch64")
    assert extra == ({"mediapipe", "numpy"} if has_wheel else set())


def test_extras_that_doctor_names_exist(project: dict[str, Any]) -> None:
    assert set(doctor._EXTRAS) <= set(project["optional-dependencies"])
