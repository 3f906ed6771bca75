"""Strict reading of settings into dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from aumer import strict
from aumer.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    width: int
    share: float = 0.5

    def __post_init__(self) -> None:
        strict.require(0 < self.share < 1, "share", self.share, "in (0, 1)")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str
    mode: Literal["a", "b"] = "a"
    scales: tuple[float, ...] = ()
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    deep: bool = False


WHOLE = {
    "inner": {"width": 3, "share": 0.25},
    "name": "x",
    "mode": "b",
    "scales": [1, 0.5],
    "seed": 7,
    "options": {"heads": 2},
    "deep": True,
}


def test_it_reads_what_plain_writes() -> None:
    made = strict.build(Outer, WHOLE, "file")
    assert made == Outer(Inner(3, 0.25), "x", "b", (1.0, 0.5), 7, {"heads": 2}, True)
    assert all(type(s) is float for s in made.scales)
    assert strict.plain(made) == {**WHOLE, "scales": [1.0, 0.5]}
    assert strict.build(Outer, strict.plain(made), "again") == made


def test_what_has_a_default_may_be_left_out_and_none_is() -> None:
    made = strict.build(Outer, {"inner": {"width": 1}, "name": "x"}, "file")
    assert made == Outer(Inner(1), "x")
    assert "seed" not in strict.plain(made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nmae": 1}, ["unknown key nmae", "Did you mean 'name'", "inner.width"]),
        ({"inner": {"widht": 3}}, ["inner.widht", "'width'", "missing inner.width"]),
        ({"inner": 3}, ["inner must be a table", "3"]),
        ({"name": 3}, ["name must be a text", "3"]),
        ({"deep": 1}, ["deep must be true or false"]),
        ({"seed": True}, ["seed must be a whole number", "True"]),
        ({"seed": 1.5}, ["seed must be a whole number", "1.5"]),
        ({"mode": "c"}, ["one of 'a', 'b'", "'c'"]),
        ({"scales": [1, "2"]}, ["scales must be a list, each a number"]),
        ({"scales": [float("nan")]}, ["scales"]),
        ({"options": []}, ["options must be a table"]),
        ({"inner": {"width": 1, "share": 2.0}}, ["share must be in (0, 1)", "2.0"]),
    ],
)
def test_faults_are_named(change: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        strict.build(Outer, {**WHOLE, **change}, "my.toml")
    assert all(part in str(error.value) for part in said), error.value


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        strict.build(Outer, {"inner": {}, "mode": 1, "x": 2}, "my.toml")
    for part in ("my.toml", "missing inner.width", "missing name", "mode", "unknown key x"):
        assert part in str(error.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("a = ")
    for path in (bad, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match=path.name):
            strict.read_toml(path)
