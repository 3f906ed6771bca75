"""The folder of a run, with one layout for all tasks.

``run.json`` holds everything that the run depends on, ``data.json`` the truth, ``seed-0/FOLD.json``
the result of each fold, ``seed-0/FOLD.safetensors`` its model, if stored, and ``result.json`` and
``result.md`` the score. After an interruption the same command continues. A fold's file states how
it was made (settings, data, code, package versions) and contains its own digest: one that does not
match is run again.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aumer.config import digest
from aumer.errors import UsageError
from aumer.files import atomic_write, check_folder
from aumer.foreign import foreign, read_json
from aumer.names import FileNames, file_name

RUN, DATA, RESULT, TABLE = "run.json", "data.json", "result.json", "result.md"
#: The report's name in a run's folder.
REPORT = "report.html"
#: The identity file of recognition runs before this layout.
OLD = "about.json"
FORMAT, FOLD_FORMAT = "aumer-bench/1", "aumer-bench-fold/1"
#: Key of the digest of the rest of a file. Old files have none.
SEAL = "sha256"
#: Key of a fold's record of its file of weights, if any.
WEIGHTS = "weights"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Store:
    """The folder of one run.

    Raises:
        UsageError: in every method that reads: the file is missing or damaged.
    """

    folder: Path

    # -- whose it is ----------------------------------------------------------------------------

    def check(self, about: Mapping[str, Any], *, overwrite: bool, score_only: bool) -> None:
        """Check that the folder can be used for this run, without writing.

        Raises:
            UsageError: it holds another run or other files, or if `score_only` nothing; or nothing
                can be written there.
        """
        check_folder(self.folder)
        self.check_layout()
        if not (self.folder / RUN).exists():
            if score_only:
                raise UsageError(
                    f"{self.folder} holds no run of this protocol with this model and these "
                    "settings: there is nothing to score. Run it without `score_only`, or give "
                    "its `folder`"
                )
            if self.folder.exists() and any(self.folder.iterdir()):
                raise UsageError(
                    f"{self.folder} holds other files; give an empty or a new `folder`"
                )
            return
        before = self.about()
        if not _fit(before, about) and (score_only or not overwrite):
            differ = ", ".join(differences(_unversioned(before), about))
            raise UsageError(
                f"{self.folder} holds another run, which differs in {differ}",
                fixes=("give another `folder`", "use `overwrite=True` to run it again"),
            )

    @property
    def claimed(self) -> bool:
        """Whether the folder has a run, finished or not."""
        return (self.folder / RUN).exists()

    def check_layout(self) -> None:
        """Raise for a folder with the old layout of recognition.

        Raises:
            UsageError: the message says how to convert it.
        """
        if (self.folder / OLD).exists():
            raise UsageError(
                f"{self.folder} is a recognition run in the layout of an earlier version "
                f"({OLD}); `aumer bench convert {self.folder}` converts it, and runs "
                "nothing again"
            )

    def claim(self, about: Mapping[str, Any]) -> None:
        """Mark the folder as this run's."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {self.folder}: {error.strerror}") from error
        if not (self.folder / RUN).exists() or not _fit(self._read(RUN), about):
            write_json(self.folder / RUN, about)

    def about(self) -> dict[str, Any]:
        """The content written by `claim`."""
        return self.document(RUN)

    def document(self, name: str) -> dict[str, Any]:
        """The JSON file of that name."""
        self.check_layout()
        return self._read(name)

    def _read(self, name: str) -> dict[str, Any]:
        if not (self.folder / name).exists():
            what = "" if self.folder.is_dir() else ", and is no folder"
            raise UsageError(
                f"{self.folder} holds no finished run of `aumer bench`: it has no {name}{what}. "
                f"Give the folder that a run wrote (it is named where the run ends), with {RUN}, "
                f"{DATA}, {RESULT} and the folds in it"
            )
        found: dict[str, Any] = read_json(self.folder / name, "a run of `aumer bench`")
        if not isinstance(found, dict):
            raise UsageError(f"{self.folder / name} holds no JSON object: it is damaged")
        with foreign(self.folder / name, "a run of `aumer bench`"):  # no digest contains 1e999
            whole = intact(found)
        if not whole:
            raise UsageError(
                f"{self.folder / name} was changed after it was written: its digest does "
                "not match. Run the benchmark's command again to rewrite it"
            )
        return found

    # -- data -----------------------------------------------------------------------------------

    def write_data(self, values: Mapping[str, Any]) -> None:
        """Store the truth."""
        write_json(self.folder / DATA, sealed({"format": FORMAT, **values}))

    def read_data(self, read: Callable[[Mapping[str, Any]], Parsed]) -> Parsed:
        """The truth, parsed by `read`."""
        found = self.document(DATA)
        with foreign(self.folder / DATA, "what was scored"):
            return read(found)

    # -- folds ----------------------------------------------------------------------------------

    def fold_path(self, seed: int, name: str) -> Path:
        """Path of a fold's result."""
        folder = self.folder / f"seed-{seed}"
        path = folder / FileNames(folder)(name, ".json")
        # The old naming rule gave several folds one file; the content says which fold it is.
        before = folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}.json"
        if before != path and before.exists() and not path.exists():
            # A damaged one is made again, under its own name.
            with contextlib.suppress(UsageError):
                if read_fold(before, lambda v: (v["fold"], v["seed"])) == (name, seed):
                    return before
        return path

    def state_path(self, seed: int, name: str, made_by: str) -> Path:
        """Path of the state of a fold's training, until its result exists.

        Args:
            made_by: digest of everything that the fold depends on.
        """
        return self.folder / f"seed-{seed}" / f"{file_name(name)}.{made_by[:12]}.checkpoint"

    def weights_path(self, seed: int, name: str) -> Path:
        """Path of a fold's model, if stored."""
        return self.fold_path(seed, name).with_suffix(".safetensors")

    def has_weights(self, seed: int, name: str) -> bool:
        """Whether the model of a fold's result exists unchanged."""
        path = self.weights_path(seed, name)
        said = read_fold(self.fold_path(seed, name), lambda values: values.get(WEIGHTS))
        return path.is_file() and said == weights_record(path)

    def write_fold(self, result: Mapping[str, Any]) -> None:
        """Store a fold's result, and delete the state of its training."""
        path = self.fold_path(result["seed"], result["fold"])
        path.parent.mkdir(parents=True, exist_ok=True)
        # One line per key: one line per number would make long files.
        lines = ",\n".join(
            f" {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in sealed(result).items()
        )
        atomic_write(path, f"{{\n{lines}\n}}\n", overwrite=True)
        if WEIGHTS not in result:  # existing weights belong to an earlier result
            self.weights_path(result["seed"], result["fold"]).unlink(missing_ok=True)
        self._forget_states(result["seed"], result["fold"])

    def stale(self, seed: int, name: str, depends: Mapping[str, str]) -> str | None:
        """Why a fold's result is outdated; "" if it is valid, `None` if missing."""
        path = self.fold_path(seed, name)
        if not path.exists():
            return None
        try:
            before = read_fold(path, lambda values: dict(values["depends"]))
        except UsageError:
            return "damaged or altered since"
        unknown = [k for k in depends if k not in before]
        changed = [k for k, v in depends.items() if k in before and before[k] != v]
        if changed:
            return f"made of other {' and '.join(changed)}"
        if unknown:
            return f"from before it was kept what made them ({', '.join(unknown)})"
        # Interrupted between the result and this step, the state would stay forever.
        self._forget_states(seed, name)
        return ""

    def _forget_states(self, seed: int, name: str) -> None:
        one = self.state_path(seed, name, "")
        for state in one.parent.glob(f"{glob.escape(file_name(name))}.*.checkpoint"):
            state.unlink(missing_ok=True)

    def finished(
        self, seed: int, name: str, run: str, parse: Callable[[Mapping[str, Any]], Parsed]
    ) -> Parsed:
        """A fold's result.

        Args:
            run: the digest of everything that the run depends on.
            parse: parser of the file's values.
        """
        path = self.fold_path(seed, name)
        if not path.exists():
            raise UsageError(
                f"there is no fold of {name} with seed {seed} in {self.folder}, and its "
                "misses would go uncounted; run it without `score_only` to compute it"
            )
        kept, found = read_fold(path, lambda values: (values, parse(values)))
        if (kept["fold"], kept["seed"], kept["depends"]["run"]) != (name, seed, run):
            raise UsageError(
                f"{path} belongs to another run or fold; delete it, and run the benchmark again"
            )
        return found


def weights_record(path: Path) -> dict[str, str]:
    """A fold's record of its file of weights."""
    return {"file": path.name, SEAL: hashlib.sha256(path.read_bytes()).hexdigest()}


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, replacing an existing one."""
    atomic_write(path, json.dumps(value, indent=1, allow_nan=False) + "\n", overwrite=True)


def read_fold(path: Path, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed:
    """A fold's result from its file, parsed by `parse`.

    Raises:
        UsageError: it is missing, damaged or has another form.
    """
    advice = "Delete it, and the next run makes it anew"
    found: dict[str, Any] = read_json(path, "a fold of aumer's", advice=advice)
    with foreign(path, "a fold of aumer's", advice=advice):
        if found["format"] != FOLD_FORMAT:
            raise ValueError(f"its format is {found['format']!r}")
        if not intact(found):
            raise ValueError("it is not as it was written, as its digest does not fit")
        _ = found["fold"], found["seed"], found["depends"]
        return parse(found)


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with a digest of all of them, as read back from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps({k: v for k, v in values.items() if k != SEAL}))
    return {**values, SEAL: digest(plain)}


def intact(found: Any) -> bool:
    """Whether nothing was changed since `sealed`; True without a digest."""
    if not isinstance(found, dict) or SEAL not in found:
        return True
    return bool(found[SEAL] == digest({k: v for k, v in found.items() if k != SEAL}))


def _fit(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two runs are the same; versions, which old runs contain, belong to each fold."""
    return _unversioned(before) == now


def _unversioned(about: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in about.items() if k != "versions"}


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """The paths at which two tables differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*now, *(k for k in before if k not in now)]
        return [
            d
            for k in keys
            for d in differences(before.get(k), now.get(k), f"{name}.{k}" if name else str(k))
        ]
    return [] if json.dumps(before) == json.dumps(now) else [name]
