"""Interfaces say all they ask for: nothing looks whether a part has this or that.

An interface is a base class, whose optional methods have defaults. What a user hands over that does
not derive from it is looked at in `aumer.registry`, once.
"""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path

import pytest

import aumer.errors

PACKAGE = Path(aumer.errors.__file__).parent
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "probes.py"

if not SCRIPT.is_file():
    pytest.skip("no checkout: its benchmarks are not here", allow_module_level=True)

probes = runpy.run_path(str(SCRIPT))["probes"]

#: How many probes a module may hold, and why. No part of ours is among what they look at.
ALLOWED: dict[str, tuple[int, str]] = {
    "registry": (4, "the one place where what users hand over is looked at"),
    "face.backend": (1, "whether a user's class can be made, before it is; its answers later"),
    "spotting.layers": (1, "torch-geometric's layers keep no contract but their signature"),
    "graph.graph": (5, "tensors and graphs of torch-geometric, without importing it"),
    "flow.opencv": (2, "an OpenCV may be built without its optional modules"),
    "doctor": (4, "what this machine and its OpenCV have"),
    "identity": (7, "what a user's code is made of, which no interface says"),
    "process": (1, "a system without forks"),
    "progress": (1, "what runs in a notebook's kernel, without importing IPython"),
    "results.mne": (1, "annotations of MNE below 1.11 have no extras"),
}


def test_nothing_looks_what_a_part_has() -> None:
    found: Counter[str] = Counter()
    where: dict[str, list[int]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if lines := probes(path.read_text(encoding="utf-8")):
            found[name], where[name] = len(lines), lines
    allowed = {name: number for name, (number, _) in ALLOWED.items()}
    more = {name: where[name] for name in found if found[name] > allowed.get(name, 0)}
    assert not more, (
        f"probes in lines {more}: give the interface a method with a default, and let its "
        "`resolve` take in what does not derive from it"
    )
    assert allowed.keys() <= found.keys(), "a module that has none any more needs no leave"


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("hasattr(part, 'many')", 1),
        ("getattr(part, 'batch', 1)", 1),
        ("inspect.signature(part.from_settings)", 1),
        ("x = {f: getattr(self, f) for f in fields}", 0),
        ("part.many(pairs)", 0),
    ],
)
def test_probes_are_seen(source: str, number: int) -> None:
    assert len(probes(source)) == number
