"""`aumer doctor`: what works in this installation, and how to repair what does not.

A broken package must not crash the report: every check is guarded, and its error stands in the
report in one line.
"""

from __future__ import annotations

import base64
import contextlib
import getpass
import hashlib
import importlib
import json
import os
import platform
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any, TypeVar

from aumer import registry
from aumer.errors import EXIT_BUG, EXIT_OK, EXIT_WEIGHTS, AumerError
from aumer.missing import opencv_repair

T = TypeVar("T")

#: Packages whose versions change results or decide which parts run.
PACKAGES = (
    *("numpy", "scipy", "numba", "torch", "torch-geometric", "mediapipe", "face-alignment"),
    *("retina-face", "onnxruntime", "scikit-image", "scikit-learn", "pandas", "matplotlib"),
    "safetensors",
)
#: Back ends that an extra of the same name installs: their package, and on which platforms.
_EXTRAS = {"mediapipe": ("mediapipe", "for Python 3.10 to 3.12, on x86-64 and macOS")}


@dataclass(frozen=True)
class OpenCV:
    """Which of the wheels that write ``site-packages/cv2`` is installed.

    Attributes:
        version: version of the `cv2` that is imported.
        file: its path.
        installed: every installed opencv distribution, with its version.
        winner: the distribution that the compiled module belongs to; `None` if to none of them.
        gui: the window toolkit that it was built with; "NONE" for a headless build.
        optflow: whether flow 'tvl1-opencv' can run.
        problem, repair: what is wrong, and the command that repairs it.
    """

    version: str | None
    file: str | None
    installed: dict[str, str]
    winner: str | None
    gui: str | None
    optflow: bool
    problem: str | None
    repair: str | None


@dataclass(frozen=True)
class Backend:
    """One exchangeable part.

    Attributes:
        kind, name: its kind and name in `aumer.registry`.
        default: whether `spot` uses it by default.
        error: why it did not run; `None` if it ran.
        exit_code: exit code of a command that needs it.
        extra: the extra that would install it, if nothing else is missing.
    """

    kind: str
    name: str
    default: bool
    error: str | None
    exit_code: int
    extra: str | None

    def __str__(self) -> str:
        state = "ok" if self.error is None else f"cannot run: {self.error}"
        if self.extra is not None:
            where = _EXTRAS[self.extra][1]
            state = f'not installed, an extra {where}: pip install "aumer[{self.extra}]"'
        return f"{'*' if self.default else ' '} {self.kind} {self.name}: {state}"


@dataclass(frozen=True)
class Network:
    """A network that ships with aumer; `error` says if it is missing or damaged."""

    name: str
    path: str
    error: str | None


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights from elsewhere; `fetch` is the command that downloads a missing one."""

    name: str
    path: str
    present: bool
    fetch: str


@dataclass(frozen=True)
class DoctorReport:
    """Everything that `aumer doctor` prints. `problems` are failures outside the back ends."""

    aumer: str
    python: str
    platform: str
    packages: dict[str, str | None]
    devices: tuple[str, ...]
    opencv: OpenCV
    backends: tuple[Backend, ...]
    networks: tuple[Network, ...]
    weights: tuple[WeightsFile, ...]
    cache: str | None
    problems: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 if the default back ends run, else the exit code that `aumer spot` would end with."""
        failed = [b.exit_code for b in self.backends if b.default and b.error]
        if not failed and any(n.error for n in self.networks):
            return EXIT_WEIGHTS
        return failed[0] if failed else EXIT_BUG if self.problems else EXIT_OK

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        return {**asdict(self), "exit_code": self.exit_code}

    def __str__(self) -> str:
        cv = self.opencv
        optional = {package for package, _ in _EXTRAS.values()}
        versions = [
            f"{name} {found or 'not installed' + (' (an extra)' if name in optional else '')}"
            for name, found in self.packages.items()
        ]
        wheels = [f"{name} {found}" for name, found in cv.installed.items()]
        lines = [
            f"aumer {self.aumer}, Python {self.python}, {self.platform}",
            *_block("Packages", versions),
            *_block("Devices", self.devices),
            *_block(
                "OpenCV",
                [
                    f"cv2 {cv.version or 'does not run'} at {cv.file or '-'}",
                    f"wheels that write it: {', '.join(wheels) or 'none'}",
                    f"in place: {cv.winner or 'none of these'} (GUI {cv.gui or '-'}, "
                    f"optflow {'yes' if cv.optflow else 'no'})",
                    *([f"problem: {cv.problem}"] if cv.problem else []),
                    *([f"repair: {cv.repair}"] if cv.repair else []),
                ],
            ),
            *_block("Back ends (* default)", map(str, self.backends)),
            *_block(
                "Networks that ship with aumer",
                [f"{n.name}: {n.error or f'{n.path}, ok'}" for n in self.networks],
            ),
            *_block(
                "Weights of other people's networks",
                [
                    f"{w.name}: {w.path}" + ("" if w.present else f" is missing; `{w.fetch}`")
                    for w in self.weights
                ],
            ),
            f"Feature cache: {self.cache or 'unknown'}",
            *(f"Problem: {p}" for p in self.problems),
            "The default back ends run."
            if self.exit_code == EXIT_OK
            else f"`aumer spot` cannot run here (exit code {self.exit_code}).",
        ]
        return "\n".join(lines)


def report() -> DoctorReport:
    """Check everything. Takes some seconds: torch is imported and every back end is run."""
    problems: list[str] = []

    def guarded(what: str, look: Callable[[], T], otherwise: T) -> T:
        try:
            return look()
        except Exception as error:  # the report must work in a broken installation
            problems.append(f"{what}: {_one_line(error)}")
            return otherwise

    return DoctorReport(
        aumer=_version("aumer") or "(not installed)",
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: _version(name) for name in PACKAGES},
        devices=(f"cpu: {_cpus()} cores", *_accelerators()),
        opencv=look_at_opencv(),
        backends=_backends(guarded("settings", _defaults, frozenset())),
        networks=guarded("networks", _networks, ()),
        weights=guarded("weights", _weights, ()),
        cache=guarded("feature cache", _cache, None),
        problems=tuple(problems),
    )


def main(*, as_json: bool = False, as_report: bool = False) -> int:
    """Print the report on stdout; returns the exit code.

    Args:
        as_json: as JSON.
        as_report: in the form of `for_bug_report`.
    """
    found = report()
    if as_report:
        print(for_bug_report(found))
    else:
        print(json.dumps(found.to_dict(), indent=2) if as_json else found)
    return found.exit_code


_BUG_REPORT = """\
**What I ran** (without names of people and videos)

**What I expected, and what happened** (with the traceback that -v shows)

**The installation** (`aumer doctor --report`)

```text
{installation}
```"""


def for_bug_report(found: DoctorReport) -> str:
    """The report as Markdown to paste into an issue, with nothing private in it.

    It leaves out paths outside the folders of Python and aumer, names of the user and the host, and
    parts that are not aumer's, which are only counted.
    """
    own = tuple(b for b in found.backends if registry.built_in(b.kind, b.name))
    others = len(found.backends) - len(own)
    anonymized = replace(
        found,
        backends=own,
        weights=tuple(replace(w, path=Path(w.path).name) for w in found.weights),
        cache="where AUMER_CACHE says" if os.environ.get("AUMER_CACHE") else "the default folder",
    )
    more = f"\nBack ends of others, not listed: {others}" if others else ""
    return _BUG_REPORT.format(installation=anonymous(f"{anonymized}{more}"))


def anonymous(text: str) -> str:
    """The text with folders, names of media files, and names of the user and the host removed."""
    installed = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    python = [sys.prefix, sys.base_prefix, str(Path(sys.executable).parent), *installed]
    code = dict.fromkeys([*python, *map(os.path.realpath, python)], "<python>")
    code[str(Path(__file__).resolve().parents[1])] = "<aumer>"
    # These folders are replaced by name, since `_PATH` ends a path at a blank.
    known = {**dict.fromkeys(_folders(), "<folder>"), **code}
    for path in sorted(known, key=len, reverse=True):
        if len(path) > 1:
            text = re.sub(rf"{re.escape(path)}(?![\w-])", known[path], text)
    text = _MEDIA.sub("<file>", _PATH.sub("<folder>", text))
    for name in sorted(_names(), key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "<name>", text)
    return text


#: A path below one of the folders that `anonymous` replaced, or an absolute path. Paths in folders
#: of code are not private.
_PATH = re.compile(
    r"<folder>[\\/][^\s\"'`,;:()]*|(?<![\w>/\\.:])(?:[A-Za-z]:[\\/]|~?/)[^\s\"'`,;:()]*[\w-]"
)
_MEDIA = re.compile(
    r"[^\s\"'`,;:()<>]+\.(?:mp4|m4v|mov|avi|mkv|webm|wmv|mpe?g|jpe?g|png|csv|json)\b"
)


def _folders() -> set[str]:
    """The user's folders, whose names may be private."""
    found = {str(Path("~").expanduser()), tempfile.gettempdir()}
    with contextlib.suppress(OSError):  # it was deleted
        found.add(str(Path.cwd()))
    # Folders in environment variables such as DEEPFACE_HOME; a value that is no path does no harm.
    found |= {
        value for value in os.environ.values() if ":" not in value and Path(value).is_absolute()
    }
    found |= {path for path in sys.path if Path(path).is_absolute()}
    return found | {os.path.realpath(path) for path in found}


def _names() -> set[str]:
    """Names of the user and the host."""
    found = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "HOSTNAME")}
    found |= {Path.home().name, platform.node(), socket.gethostname()}
    with contextlib.suppress(Exception):  # the system has no user of that id
        found.add(getpass.getuser())
    return {part for name in found for part in (name, name.partition(".")[0]) if len(part) > 1}


def look_at_opencv() -> OpenCV:
    """See `OpenCV`. Imports cv2."""
    wheels = {
        d.name.lower().replace("_", "-"): d
        for d in distributions()
        if d.name and d.name.lower().startswith("opencv")
    }
    installed = {name: wheels[name].version for name in sorted(wheels)}
    winner = owner_of_binary(wheels.values())
    try:
        cv2 = importlib.import_module("cv2")
        found, info = cv2.__version__, cv2.getBuildInformation()
    except Exception as error:
        hollow = isinstance(error, AttributeError) and winner is None
        return OpenCV(
            version=None,
            file=None,
            installed=installed,
            winner=winner,
            gui=None,
            optflow=False,
            problem=f"cv2 is an empty shell, as uninstalling one of its wheels leaves it ({error})"
            if hollow
            else _one_line(error),
            repair=opencv_repair(error, installed),
        )
    gui = next((x.split(":")[1].strip() for x in info.splitlines() if "GUI:" in x), None)
    from aumer.flow.opencv import has_tvl1  # imports cv2

    optflow = has_tvl1(cv2)
    problem = None
    reads_tflite = hasattr(getattr(cv2, "dnn", None), "readNetFromTFLite")
    if not reads_tflite:
        problem = f"the face networks cannot run: OpenCV {found} does not read TensorFlow Lite"
    elif not optflow:
        problem = "flow 'tvl1-opencv' cannot run: the OpenCV in place has no optflow module"
    elif len({v.rpartition(".")[0] for v in installed.values()}) > 1:
        problem = "the wheels are of different releases, so their shared files may not fit together"
    return OpenCV(
        version=found,
        file=getattr(cv2, "__file__", None),
        installed=installed,
        winner=winner,
        gui=gui,
        optflow=optflow,
        problem=problem,
        # If this release cannot read networks, another wheel of it would not help.
        repair=opencv_repair(None, installed if reads_tflite else {}) if problem else None,
    )


def owner_of_binary(wheels: Iterable[Distribution]) -> str | None:
    """Among the distributions that claim cv2's compiled module, the one whose file is on disk."""
    for wheel in wheels:
        for file in wheel.files or ():
            if file.parent.name != "cv2" or file.suffix not in (".so", ".pyd") or not file.hash:
                continue
            try:
                data = Path(str(file.locate())).read_bytes()
            except OSError:
                continue
            found = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, data).digest())
            if found.rstrip(b"=").decode() == file.hash.value:
                return wheel.name.lower().replace("_", "-")
    return None


def _backends(defaults: frozenset[tuple[str, str]]) -> tuple[Backend, ...]:
    found = []
    for kind, check in _CHECKS.items():
        for name in registry.names(kind):
            error, code = None, EXIT_OK
            try:
                check(registry.resolve(kind, name))
            except Exception as failure:
                error = _one_line(failure)
                code = failure.exit_code if isinstance(failure, AumerError) else EXIT_BUG
            missing = error is not None and name in _EXTRAS and _version(_EXTRAS[name][0]) is None
            extra = name if missing else None
            found.append(Backend(kind, name, (kind, name) in defaults, error, code, extra))
    return tuple(found)


def _check_flow(flow: Any) -> None:
    import numpy as np

    image = np.zeros((64, 64), np.uint8)
    flow(image, image)


def _check_detector(make: Any) -> None:
    import numpy as np

    make()(np.zeros((64, 64, 3), np.uint8))


def _check_landmarker(make: Any) -> None:
    import numpy as np

    landmarker = make()
    landmarker(np.zeros((64, 64, 3), np.uint8), np.array([16, 16, 48, 48], np.float32))
    landmarker.reset()


def _check_spotter(part: Any) -> None:
    from aumer.pipeline import Spotter

    Spotter(model=part)


_CHECKS: dict[str, Callable[[Any], None]] = {
    "detector": _check_detector,
    "landmarker": _check_landmarker,
    "flow": _check_flow,
    "spotter": _check_spotter,
}


def _defaults() -> frozenset[tuple[str, str]]:
    from aumer.config import load_settings
    from aumer.pipeline import DEFAULT_MODEL

    settings = load_settings()
    return frozenset(
        {
            ("detector", settings.face.detector),
            ("landmarker", settings.face.landmarker),
            ("flow", settings.motion.flow),
            ("spotter", DEFAULT_MODEL),
        }
    )


def _networks() -> tuple[Network, ...]:
    from aumer.face import weights

    found = []
    for name, network in weights.SHIPPED.items():
        error = None
        try:
            weights.shipped(name)
        except AumerError as failure:
            error = _one_line(failure)
        found.append(Network(name, str(network.path), error))
    return tuple(found)


def _weights() -> tuple[WeightsFile, ...]:
    from aumer.face import weights

    return tuple(
        WeightsFile(s.weights.name, str(s.path), s.present, f"aumer models fetch {s.weights.name}")
        for s in weights.available()
    )


def _cache() -> str | None:
    from aumer.cache import default_folder

    return str(default_folder())


def _cpus() -> int:
    # The CPUs that this process may use: fewer than the machine has, under taskset or in a
    # container.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _accelerators() -> tuple[str, ...]:
    try:
        import torch

        cuda = [
            f"cuda:{i}: {torch.cuda.get_device_name(i)}"
            for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
        ]
        mps = ["mps: Apple GPU"] if torch.backends.mps.is_available() else []
        return (*cuda, *mps) or ("no GPU that torch can use",)
    except Exception as error:
        return (f"GPU unknown, torch does not run: {_one_line(error)}",)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _one_line(error: Exception) -> str:
    """aumer's errors are complete sentences; others need their type in front."""
    text = " ".join(str(error).split())
    return text if isinstance(error, AumerError) else f"{type(error).__name__}: {text}".rstrip(": ")


def _block(title: str, lines: Iterable[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines)]
