from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from aumer import doctor, missing, registry
from aumer.errors import EXIT_BUG, EXIT_OK, EXIT_USAGE, EXIT_WEIGHTS, BackendUnavailable
from aumer.face import weights

CONTRIB, HEADLESS = "opencv-contrib-python", "opencv-contrib-python-headless"


@pytest.fixture(scope="module")
def real() -> doctor.DoctorReport:
    return doctor.report()


def test_default_back_ends_run_here(real: doctor.DoctorReport) -> None:
    defaults = {(b.kind, b.name): b.error for b in real.backends if b.default}
    assert len(defaults) == 4
    assert set(defaults.values()) == {None}
    assert real.problems == ()
    assert real.exit_code == EXIT_OK


def test_networks_that_ship_are_whole(real: doctor.DoctorReport) -> None:
    assert [n.name for n in real.networks] == list(weights.SHIPPED)
    for network in real.networks:
        assert network.error is None
        assert f"{network.name}: {network.path}, ok\n" in str(real)


def test_damaged_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = weights.SHIPPED["face-mesh"]
    monkeypatch.setitem(weights.SHIPPED, "face-mesh", replace(mesh, sha256="0" * 64))
    monkeypatch.setattr(weights, "shipped", weights.shipped.__wrapped__)  # keeps what it saw whole
    found = doctor.report()
    errors = {n.name: n.error for n in found.networks}
    assert "is damaged" in (errors.pop("face-mesh") or "")
    assert set(errors.values()) == {None}
    assert found.exit_code == EXIT_WEIGHTS
    assert f"face-mesh: {mesh.path}, which ships with aumer, is damaged" in str(found)
    assert f"`aumer spot` cannot run here (exit code {EXIT_WEIGHTS})." in str(found)


def test_back_end_of_an_extra_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)  # importing it fails
    installed = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: None if n == "mediapipe" else installed(n))
    found = doctor.report()
    assert "  mediapipe not installed (an extra)\n" in str(found)
    for kind in ("detector", "landmarker"):
        (backend,) = (b for b in found.backends if (b.kind, b.name) == (kind, "mediapipe"))
        assert (backend.extra, backend.default) == ("mediapipe", False)
        assert "mediapipe" in (backend.error or "")
        (line,) = (x for x in str(found).splitlines() if f"{kind} mediapipe:" in x)
        assert "not installed, an extra for Python 3.10 to 3.12, on x86-64 and macOS: pip" in line
        assert line.endswith('pip install "aumer[mediapipe]"')
        assert "cannot run" not in line
    assert found.exit_code == EXIT_OK


def test_broken_back_end_of_an_extra_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    installed = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: "0.10" if n == "mediapipe" else installed(n))
    found = doctor.report()
    (detector,) = (b for b in found.backends if (b.kind, b.name) == ("detector", "mediapipe"))
    assert detector.extra is None
    assert str(detector).startswith("  detector mediapipe: cannot run: the mediapipe face back end")


def test_every_back_end_is_listed_with_its_reason(real: doctor.DoctorReport) -> None:
    kinds = ("detector", "landmarker", "flow", "spotter")
    assert [(b.kind, b.name) for b in real.backends] == [
        (kind, name) for kind in kinds for name in registry.names(kind)
    ]
    for backend in real.backends:
        assert (backend.error is None) == (backend.exit_code == EXIT_OK)
        assert f"{backend.kind} {backend.name}: " in str(real)


def test_opencv_in_place_is_one_of_the_wheels_and_has_optflow(real: doctor.DoctorReport) -> None:
    found = real.opencv
    assert found.winner in found.installed
    assert found.optflow
    assert found.problem is found.repair is None
    assert found.version is not None
    assert found.installed[CONTRIB].startswith(found.version)
    assert f"in place: {found.winner} (GUI " in str(real)


def test_json_is_the_whole_report(real: doctor.DoctorReport, monkeypatch: Any, capsys: Any) -> None:
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


def fake_cv2(*, optflow: bool, release: str = "4.11.0") -> ModuleType:
    cv2: Any = ModuleType("cv2")
    cv2.__version__ = release
    cv2.dnn = SimpleNamespace()
    if release != "4.5.5":
        cv2.dnn.readNetFromTFLite = object
    cv2.getBuildInformation = lambda: "\n  GUI:                           NONE\n"
    cv2.optflow = SimpleNamespace()  # other wheels' type stubs make this name in any case
    if optflow:
        cv2.optflow.DualTVL1OpticalFlow = object
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
        pytest.param(
            fake_cv2(optflow=True, release="4.5.5"),
            {CONTRIB: "4.5.5.64"},
            "the face networks cannot run: OpenCV 4.5.5 does not read TensorFlow Lite",
            f"{CONTRIB}>=4.11,<4.12",
            id="too old for the face networks",
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
    assert f'"{HEADLESS}==4.11.0.86"' in missing.opencv_repair(
        error, {CONTRIB: "4.11.0.86", HEADLESS: "4.11.0.86"}
    )


def told_without(*packages: str) -> tuple[dict[str, Any], dict[tuple[str, str], str | None], int]:
    """What the doctor finds where importing these packages fails, its back ends' errors by kind and
    name, and its exit code."""
    # In a process of its own: nothing that is imported already gets in the way, or is spoiled.
    code = f"""
import sys
sys.modules.update(dict.fromkeys({packages!r}))
from aumer import doctor
sys.exit(doctor.main(as_json=True))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    found = json.loads(run.stdout)
    return found, {(b["kind"], b["name"]): b["error"] for b in found["backends"]}, run.returncode


def test_broken_packages_are_reported_in_a_line_each() -> None:
    found, errors, code = told_without("cv2", "torch", "mediapipe")
    for broken in (("flow", "dis"), ("detector", "blazeface"), ("landmarker", "mesh")):
        assert "cv2" in (errors[broken] or "")
    assert all("\n" not in (error or "") for error in errors.values())
    assert found["opencv"]["version"] is None
    assert CONTRIB in found["opencv"]["repair"]
    assert "torch does not run" in found["devices"][-1]
    assert code == found["exit_code"] != EXIT_OK


def test_without_mediapipe_its_back_ends_alone_are_missing() -> None:
    _, errors, _ = told_without("mediapipe")
    for kind in ("detector", "landmarker"):
        assert "mediapipe" in (errors[kind, "mediapipe"] or "")
    for fine in (("flow", "dis"), ("detector", "blazeface"), ("landmarker", "mesh")):
        assert errors[fine] is None


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
    (missing,) = (w for w in found.weights if w.name == "retinaface")
    assert not missing.present
    assert str(tmp_path) in missing.path
    assert found.exit_code == EXIT_OK


PLANTED = "zephyrine"


def test_a_bug_report_holds_nothing_private(tmp_path: Path) -> None:
    """Of an installation, a home, a host, a plugin and videos that are called by a name."""
    home = tmp_path / "home" / f"Anna {PLANTED}"
    folder = home / f"videos of {PLANTED}"
    folder.mkdir(parents=True)
    (folder / f"flow_{PLANTED}.py").write_text(
        f"import aumer\n@aumer.register('flow', '{PLANTED}-flow')\n"
        f"def flow(a, b): raise RuntimeError('no {folder}/interview_{PLANTED}.mp4')\n"
    )
    script = f"""
import os, platform, socket, sys
socket.gethostname = platform.node = lambda: "{PLANTED}-pc.lab.example"
sys.executable = "{home}/my venv/bin/python"
from aumer import doctor, plugins, registry
plugins.load("flow_{PLANTED}.py")
def broken(*_):
    raise RuntimeError(
        "{folder}/interview_{PLANTED}.mp4, D:\\\\{PLANTED}\\\\x.dat, interview_{PLANTED}.mov, "
        "/mnt/{PLANTED}/data and {PLANTED}-pc cannot be read by {PLANTED}"
    )
registry._parts["flow"]["dis"] = broken
doctor.registry.built_in = lambda kind, name, known=registry.built_in: (
    name == "dis" or known(kind, name)
)
sys.exit(doctor.main(as_report=True))
"""
    env = {
        **{k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LD_LIBRARY_PATH")},
        "PYTHONPATH": str(Path(doctor.__file__).parents[1]),
        "HOME": str(home),
        "USER": PLANTED,
        "AUMER_CACHE": str(folder / "cache"),
        "DEEPFACE_HOME": str(home / "weights"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, env=env
    )
    assert ran.returncode == EXIT_OK, ran.stderr
    assert PLANTED not in ran.stdout.lower() and "Anna" not in ran.stdout
    assert "videos of" not in ran.stdout and "interview" not in ran.stdout
    # What helps is there: versions, and how a part fails.
    for part in ("aumer ", "Python ", "numpy ", "flow dis: cannot run: RuntimeError:", "cannot be"):
        assert part in ran.stdout
    assert "Back ends of others, not listed: 1" in ran.stdout
    assert "Feature cache: where AUMER_CACHE says" in ran.stdout


def test_a_bug_report_is_markdown(real: doctor.DoctorReport) -> None:
    text = doctor.for_bug_report(real)
    assert text.count("```") == 2 and "What I ran" in text
    assert f"aumer {real.aumer}, Python {real.python}" in text
    assert "/cv2/" in text and str(Path.home()) not in text
