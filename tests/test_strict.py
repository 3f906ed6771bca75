"""The settings machine: dataclasses from layers of TOML, presets, `--set`, and TOML out again."""

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
    pair: tuple[float, int] = (1.0, 2)
    modes: tuple[tuple[float, ...], ...] = ()
    tuned: Inner = field(default=Inner(5, 0.75), metadata={strict.KEEPS: True})
    whole: Inner = field(default=Inner(5, 0.75))
    which: str = field(default="left", metadata={strict.ALSO: int})


WHOLE = {
    "inner": {"width": 3, "share": 0.25},
    "name": "x",
    "mode": "b",
    "scales": [1, 0.5],
    "seed": 7,
    "options": {"heads": 2},
    "deep": True,
    "pair": [0.5, 3],
    "modes": [[1, 2.5], []],
    "tuned": {"width": 6, "share": 0.75},
    "whole": {"width": 4, "share": 0.5},
    "which": "right",
}


def test_it_reads_what_plain_writes() -> None:
    made = strict.build(Outer, WHOLE, "file")
    options = {"heads": 2}
    assert made == Outer(
        Inner(3, 0.25),
        "x",
        "b",
        (1.0, 0.5),
        7,
        options,
        True,
        (0.5, 3),
        ((1.0, 2.5), ()),
        Inner(6, 0.75),
        Inner(4, 0.5),
        "right",
    )
    assert all(type(s) is float for s in (*made.scales, made.modes[0][0]))
    assert type(made.pair[1]) is int
    assert strict.plain(made) == WHOLE  # 1 == 1.0
    assert strict.build(Outer, strict.plain(made), "again") == made


def test_what_has_a_default_may_be_left_out_and_none_is() -> None:
    made = strict.build(Outer, {"inner": {"width": 1}, "name": "x"}, "file")
    assert made == Outer(Inner(1), "x")
    assert "seed" not in strict.plain(made)


def test_what_is_left_out_of_a_table_keeps_the_values_of_its_default() -> None:
    """Where a field says so, a decoder's kinds; else those of its class: {} is no augmentation."""
    given = {"inner": {"width": 1}, "name": "x", "tuned": {"share": 0.1}, "whole": {"width": 2}}
    made = strict.build(Outer, given, "f")
    assert made.tuned == Inner(5, 0.1)
    assert made.whole == Inner(2)
    with pytest.raises(ConfigError, match=r"missing whole\.width"):
        strict.build(Outer, {**given, "whole": {}}, "f")


def test_another_type_is_let_through_where_a_field_says_so() -> None:
    assert strict.build(Outer, {**WHOLE, "which": 2}, "file").which == 2  # type: ignore[comparison-overlap]
    with pytest.raises(ConfigError, match="which must be a text or a whole number; found True"):
        strict.build(Outer, {**WHOLE, "which": True}, "file")


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
        ({"pair": [1, 2, 3]}, ["pair must be a list of 2, each a number", "[1, 2, 3]"]),
        ({"pair": [1, 2.5]}, ["pair must be a list of 2"]),
        ({"modes": [[1], 2]}, ["modes must be a list, each a list, each a number"]),
        ({"modes": [["x"]]}, ["modes must be", "'x'"]),
        ({"width": 3}, ["unknown key width", "Did you mean 'inner.width'?"]),
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


# Layers


def layers(*values: Mapping[str, Any]) -> list[strict.Layer]:
    return [
        strict.Layer(name, v) for name, v in zip(("first", "second", "third"), values, strict=False)
    ]


def test_later_layers_go_before_earlier_ones() -> None:
    given = layers(WHOLE, {"name": "y", "inner": {"width": 4}}, {"inner.share": 0.5, "deep": False})
    made = strict.layered(Outer, *given)
    assert (made.name, made.inner, made.deep) == ("y", Inner(4, 0.5), False)
    assert WHOLE["inner"] == {"width": 3, "share": 0.25}  # nothing was changed in place
    found = strict.origins(Outer, *given)
    assert found["name"] == found["inner.width"] == "second"
    assert found["inner.share"] == found["deep"] == "third"
    assert found["mode"] == found["options.heads"] == "first"
    assert set(found) == set(strict.paths(strict.plain(made)))


def test_a_free_table_is_replaced_and_a_path_reaches_into_it() -> None:
    for change, options in (
        ({"options": {"b": 1}}, {"b": 1}),
        ({"options": {}}, {}),
        ({"options.b": 1}, {"heads": 2, "b": 1}),
        ({"options.b.c": 1}, {"heads": 2, "b": {"c": 1}}),
    ):
        given = layers(WHOLE, change)
        assert strict.layered(Outer, *given).options == options
        paths = {k for k in strict.origins(Outer, *given) if k.startswith("options.")}
        assert paths == {f"options.{k}" for k in strict.paths(options)}
    with pytest.raises(ConfigError, match=r"heads must be a table, to hold heads\.x; found 2"):
        strict.layered(Outer, *layers(WHOLE, {"options.heads.x": 1}))


def test_a_fault_is_the_layers_that_has_it() -> None:
    for values, said in (
        ((WHOLE, {"nmae": 1}), "second: unknown key nmae."),
        (({**WHOLE, "nmae": 1}, {"mode": 3}), "first: unknown key nmae."),
        (({"inner": {}}, {"name": "x"}), "first: missing inner.width."),
        ((WHOLE, {"inner.width.x": 1}), "second: inner.width must be a whole number; found {'x'"),
        ((WHOLE, {"inner.widht": 1, "inner": {"width": 2}}), "second: unknown key inner.widht."),
    ):
        with pytest.raises(ConfigError) as error:
            strict.layered(Outer, *layers(*values))
        assert str(error.value).startswith(said)
    # What one layer lacks another may have.
    assert strict.layered(Outer, *layers({"inner": {}}, {"name": "x", "inner.width": 1}))


# PATH=VALUE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("motion.rate=60", ("motion.rate", 60)),
        (" motion.rate = 6e1 ", ("motion.rate", 60.0)),
        ("epochs=3", ("epochs", 3)),
        ("a.b-c.d_e=true", ("a.b-c.d_e", True)),
        ("a=.3", ("a", 0.3)),
        ("a=-.5e-3", ("a", -0.0005)),
        ("a=3.", ("a", 3.0)),
        ("layer=none", ("layer", "none")),
        ("layer='none'", ("layer", "none")),
        ('layer="a=b"', ("layer", "a=b")),
        ("missing_offset=apex+20", ("missing_offset", "apex+20")),
        ("comparison=>=", ("comparison", ">=")),
        ("rois=30 31", ("rois", "30 31")),
        ("widths=[1, 2]", ("widths", [1, 2])),
        ("motion={rate=60}", ("motion", {"rate": 60})),
    ],
)
def test_path_and_value(text: str, expected: tuple[str, Any]) -> None:
    found = strict.assignment(text)
    assert found == expected and type(found[1]) is type(expected[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("motion.rate", "PATH=VALUE"),
        ("=3", "PATH=VALUE"),
        ("a..b=3", "PATH=VALUE"),
        (".a=3", "PATH=VALUE"),
        ("a b=3", "PATH=VALUE"),
        ("a=", "TOML value"),
        ("a=[3", "'[3' is not a TOML value"),
        ("a={b", "TOML value"),
        ("a='x", "TOML value"),
        ("a=3\nb=4", "one setting"),
        ("a=x\nb=4", "TOML value"),
    ],
)
def test_what_is_no_path_and_value(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        strict.assignment(text)
    assert said in str(error.value) and repr(text) in str(error.value)


# Files


@pytest.mark.parametrize("folder", ["", "spotnet", "train", "bench", "studies"])
def test_shipped_presets_are_found_by_name(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = strict.presets(folder)
    assert names == tuple(sorted(names)) and names
    for name in names:
        path = strict.preset(folder, name)
        assert path.stem == name and strict.read_toml(path)
        assert strict.preset(folder, f"{name}.toml") == path
    # A file at hand goes before it, a name alone does not mean one.
    mine = tmp_path / f"{names[0]}.toml"
    mine.write_text("x = 1\n")
    assert strict.preset(folder, mine.name) == Path(mine.name)
    assert strict.preset(folder, names[0]).parent != tmp_path
    assert strict.preset(folder, mine) == mine


def test_a_preset_that_is_not_there_is_told_with_the_choices(tmp_path: Path) -> None:
    for name in ("publishd", tmp_path / "published.toml", tmp_path):
        with pytest.raises(ConfigError) as error:
            strict.preset("train", name, "training preset or file")
        said = str(error.value)
        assert f"no training preset or file '{name}'" in said and "me-tst-like, published" in said
    with pytest.raises(ConfigError, match="Did you mean 'published'"):
        strict.preset("train", "publishd")


def test_one_module_reads_toml() -> None:
    package = Path(strict.__file__).parent
    found = [p for p in package.rglob("*.py") if "import tomllib" in p.read_text(encoding="utf-8")]
    assert found == [Path(strict.__file__)]


def test_toml_comes_back_as_it_was(tmp_path: Path) -> None:
    values = {
        "text": 'a "b" \\ \n\t\x7f é 😀',
        "numbers": [1, 1.5, 1e-05, 1e22, -3],
        "yes": True,
        "empty": [],
        "two words": [{"a": 1, "b c": "x"}],
        "table": {"x": 1, "inner": {"y": [["a"], []]}, "none": {}},
        "a.b": {"c.d": {"e": 1}},
    }
    path = tmp_path / "x.toml"
    path.write_text(strict.to_toml(values, {"yes": "why", "table.x": "how"}), encoding="utf-8")
    assert strict.read_toml(path) == values
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.rpartition("  # ")[2] for line in lines if line.startswith(("yes", "x"))] == [
        "why",
        "how",
    ]


def test_a_file_of_every_preset_says_the_same_again(tmp_path: Path) -> None:
    for folder in ("spotnet", "train", "bench", "studies"):
        for name in strict.presets(folder):
            values = strict.read_toml(strict.preset(folder, name))
            (tmp_path / "x.toml").write_text(strict.to_toml(values), encoding="utf-8")
            assert strict.read_toml(tmp_path / "x.toml") == values


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("a = ")
    for path in (bad, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match=path.name):
            strict.read_toml(path)
