from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from aumer import doctor, registry
from aumer.errors import EXIT_BUG, EXIT_OK, EXIT_USAGE, EXIT_WEIGHTS, BackendUnavailable

CONTRIB, HEADLESS = "opencv-contrib-python", "opencv-contrib-python-headless"


@pytest.fixture(scope="module")
def real() -> doctor.Report:
    return doctor.report()


def test_default_back_ends_run_here(real: doctor.Report) -> None:
    defaults = {(b.kind, b.name): b.error for b in real.backends if b.default}
    assert len(defaults) == 4
    assert set(defaults.values()) == {None}
    assert real.problems == ()
    assert real.exit_code == EXIT_OK


def test_every_back_end_is_listed_with_its_reason(real: doctor.Report) -> None:
    kinds = ("detector", "landmarker", "flow", "spotter")
    assert [(b.kind, b.name) for b in real.backends] == [
        (kind, name) for kind in kinds for name in registry.names(kind)
    ]
    for backend in real.backends:
        assert (backend.error is None) == (backend.exit_code == EXIT_OK)
        assert f"{backend.kind} {backend.name}: " in str(real)


def test_opencv_in_place_is_one_of_the_wheels_and_has_optflow(real: doctor.Report) -> None:
    found = real.opencv
    assert found.winner in found.installed
    assert found.optflow
    assert found.problem is found.repair is None
    assert found.version is not None
    assert found.installed[CONTRIB].startswith(found.version)
    assert f"in place: {found.winner} (GUI " in str(real)


def test_json_is_the_whole_report(real: doctor.Report, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(doctor, "report", lambda: real)
    assert doctor.main(as_json=True) == EXIT_OK
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(real.to_dict()))
    assert printed["exit_code"] == EXIT_OK
    assert doctor.main() == EXIT_OK
    assert capsys.readouterr().out == f"{real}\n"


def fake_wheel(site: Path, name: str, binary: bytes, version: str = "4.11.0.86") -> Any:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(binary).digest()).rstrip(b"=").decode()
    (info / "RECORD").write_text(
        f"cv2/cv2.abi3.so,sha256={digest},{len(binary)}\ncv2/__init__.py,,\n"
    )
    (site / "cv2").mkdir(exist_ok=True)
    (site / "cv2" / "cv2.abi3.so").write_bytes(binary)  # the last one written stays
    return PathDistribution(info)


def fake_cv2(*, optflow: bool) -> ModuleType:
    cv2: Any = ModuleType("cv2")
    cv2.__version__ = "4.11.0"
    cv2.getBuildInformation = lambda: "\n  GUI:                           NONE\n"
    cv2.optflow = SimpleNamespace()  # other wheels' type stubs make this name in any case
    if optflow:
        cv2.optflow.DualTVL1OpticalFlow_create = object
    return cv2


@pytest.mark.parametrize("order", [("opencv-python", CONTRIB), (CONTRIB, "opencv-python")])
def test_the_last_wheel_written_won(order: tuple[str, str], tmp_path: Path) -> None:
    wheels = [fake_wheel(tmp_path, name, name.encode()) for name in order]
    assert doctor.owner_of_binary(wheels) == order[-1]
    (tmp_path / "cv2" / "cv2.abi3.so").write_bytes(b"built by hand")
    assert doctor.owner_of_binary(wheels) is None
    (tmp_path / "cv2" / "cv2.abi3.so").unlink()
    assert doctor.owner_of_binary(wheels) is None


@pytest.mark.parametrize(
    ("cv2", "wheels", "problem", "repair"),
    [
        pytest.param(
            fake_cv2(optflow=True),
            {"opencv-python": "4.11.0.86", CONTRIB: "4.11.0.86"},
            None,
            None,
            id="contrib won",
        ),
        pytest.param(
            fake_cv2(optflow=False),
            {CONTRIB: "4.11.0.86", "opencv-python": "4.11.0.86"},
            "no optflow",
            f"{CONTRIB}==4.11.0.86",
            id="plain won",
        ),
        pytest.param(
            fake_cv2(optflow=False),
            {"opencv-python": "4.11.0.86"},
            "no optflow",
            f"{CONTRIB}>=4.11,<4.12",
            id="contrib never there",
        ),
        pytest.param(
            fake_cv2(optflow=True),
            {"opencv-python": "4.12.0.88", CONTRIB: "4.11.0.86"},
            "different releases",
            f"{CONTRIB}==4.11.0.86",
            id="mixed releases",
        ),
    ],
)
def test_state_of_opencv(
    cv2: ModuleType,
    wheels: dict[str, str],
    problem: str | None,
    repair: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [fake_wheel(tmp_path, name, name.encode(), version) for name, version in wheels.items()]
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    monkeypatch.setattr(doctor, "distributions", lambda: made)
    found = doctor.look_at_opencv()
    assert found.installed == wheels
    assert found.winner == list(wheels)[-1]
    if problem is None or repair is None:
        assert found.problem is found.repair is None
        assert found.gui == "NONE"
    else:
        assert problem in (found.problem or "")
        assert found.repair == (
            f'"{sys.executable}" -m pip install --force-reinstall --no-deps "{repair}"'
        )


def test_hollow_cv2_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = fake_wheel(tmp_path, CONTRIB, b"")
    (tmp_path / "cv2" / "cv2.abi3.so").unlink()
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    monkeypatch.setattr(doctor, "distributions", lambda: [wheel])
    found = doctor.look_at_opencv()
    assert found.winner is None
    assert "empty shell" in (found.problem or "")
    assert f"{CONTRIB}==4.11.0.86" in (found.repair or "")


def test_missing_system_library_is_repaired_with_the_headless_wheel() -> None:
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    assert f'"{HEADLESS}==4.11.0.86"' in doctor.opencv_repair(
        error, {CONTRIB: "4.11.0.86", HEADLESS: "4.11.0.86"}
    )


def test_broken_packages_are_reported_in_a_line_each() -> None:
    # In a process of its own: nothing that is imported already gets in the way, or is spoilt.
    code = """
import sys
sys.modules.update(dict.fromkeys(["cv2", "torch", "mediapipe"]))  # importing them fails
from aumer import doctor
sys.exit(doctor.main(as_json=True))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    found = json.loads(run.stdout)
    errors = {(b["kind"], b["name"]): b["error"] for b in found["backends"]}
    assert "cv2" in errors["flow", "dis"]
    assert "mediapipe" in errors["detector", "mediapipe"]
    assert all("\n" not in (error or "") for error in errors.values())
    assert found["opencv"]["version"] is None
    assert CONTRIB in found["opencv"]["repair"]
    assert "torch does not run" in found["devices"][-1]
    assert run.returncode == found["exit_code"] != EXIT_OK


@pytest.mark.parametrize(
    ("failure", "code", "line"),
    [
        (BackendUnavailable("needs a thing:\n  get it"), EXIT_USAGE, "needs a thing: get it"),
        (RuntimeError("boom"), EXIT_BUG, "RuntimeError: boom"),
        (KeyError(), EXIT_BUG, "KeyError"),
    ],
)
def test_exit_code_is_what_spot_would_end_with(
    failure: Exception, code: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable(*_: object) -> None:
        raise failure

    monkeypatch.setitem(registry._parts["flow"], "tvl1", unusable)
    found = doctor.report()
    (tvl1,) = (b for b in found.backends if b.name == "tvl1")
    assert (tvl1.error, tvl1.exit_code) == (line, code)
    assert found.exit_code == code
    assert f"* flow tvl1: cannot run: {line}" in str(found)


def test_missing_weights_are_no_failure_of_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    found = doctor.report()
    (retinaface,) = (b for b in found.backends if b.name == "retinaface")
    assert retinaface.exit_code == EXIT_WEIGHTS
    assert "aumer models fetch retinaface" in (retinaface.error or "")
    (weights,) = (w for w in found.weights if w.name == "retinaface")
    assert not weights.present
    assert str(tmp_path) in weights.path
    assert found.exit_code == EXIT_OK
