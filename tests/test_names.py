"""A public class is known by its name alone, whatever its module."""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from pathlib import Path

import pytest

import aumer.errors

PACKAGE = Path(aumer.errors.__file__).parent


def test_no_two_public_classes_are_called_the_same() -> None:
    where = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert len(where) > 200
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("evaluation.rows", "Prediction", "PredictedInterval"),
        ("evaluation.spotting", "Prediction", "PredictedInterval"),
        ("evaluation.spotting", "Fold", "SubjectPredictions"),
        ("spotting.targets", "Event", "TargetEvent"),
    ],
)
def test_a_class_that_was_renamed_says_what_it_is_called(module: str, old: str, new: str) -> None:
    with pytest.raises(ImportError, match=new):
        getattr(importlib.import_module(f"aumer.{module}"), old)
