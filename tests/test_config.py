from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from aumer._data import data_dir
from aumer.config import FOLLOW, SENSITIVITIES, Settings, digest, load_settings
from aumer.errors import EXIT_USAGE, ConfigError

DEFAULT = load_settings().to_dict()
SECTIONS: dict[str, type] = get_type_hints(Settings)
EVERY = [(section, key) for section, values in DEFAULT.items() for key in values]
FLOATS = [(s, k) for s, k in EVERY if get_type_hints(SECTIONS[s])[k] is float]


def changed(value: Any) -> Any:
    """Another value that is in range as well."""
    if isinstance(value, str):
        if value in FOLLOW:
            return "left"
        if value in SENSITIVITIES:
            return "high"
        return "flow" if value == "windows" else value + "-other"
    if isinstance(value, bool):
        return not value
    return value - 1 if isinstance(value, int) else value * 0.9 or 0.1


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    def write(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(**source: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(**source)
    assert caught.value.exit_code == EXIT_USAGE
    return str(caught.value)


# What there is


def test_the_default_file_holds_exactly_what_the_classes_declare() -> None:
    assert list(DEFAULT) == list(SECTIONS)
    text = (data_dir("configs") / "default.toml").read_text(encoding="utf-8")
    assert re.findall(r"^\[(\w+)\]$", text, re.MULTILINE) == list(SECTIONS)
    for section, cls in SECTIONS.items():
        body = text.split(f"[{section}]\n")[1].split("\n[")[0]
        written = re.findall(r"^(\w+) *=", body, re.MULTILINE)
        assert written == [field.name for field in dataclasses.fields(cls)]


def test_no_class_has_a_default_of_its_own() -> None:
    """One place for a value: two would come to disagree."""
    for cls in SECTIONS.values():
        for field in dataclasses.fields(cls):
            assert field.default is dataclasses.MISSING
            assert field.default_factory is dataclasses.MISSING


@pytest.mark.parametrize(("section", "key"), EVERY)
def test_every_value_has_the_declared_type(section: str, key: str) -> None:
    assert type(DEFAULT[section][key]) is get_type_hints(SECTIONS[section])[key]


def test_settings_are_frozen_and_equal_by_value() -> None:
    settings = load_settings()
    assert settings == load_settings()
    assert len({settings, load_settings()}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.motion.rate = 1.0  # type: ignore[misc]
    settings.to_dict()["motion"]["rate"] = 1.0
    assert settings == load_settings()


def test_to_dict_is_what_overrides_take() -> None:
    settings = load_settings(overrides={"motion": {"rate": 50}, "rules": {"foot": 0.2}})
    assert load_settings(overrides=settings.to_dict()) == settings


# Precedence


def test_default_then_file_then_overrides(toml: Any) -> None:
    path = toml('[motion]\nrate = 25\ncrop = 96\n[face]\ndetector = "from-file"\n')
    overrides = {"motion": {"rate": 50}}
    settings = load_settings(path, overrides)
    assert settings.motion.rate == 50.0
    assert settings.motion.crop == 96
    assert settings.face.detector == "from-file"
    # All else stands at the default, within the same sections too.
    expected = load_settings().to_dict()
    expected["motion"] |= {"rate": 50.0, "crop": 96}
    expected["face"] |= {"detector": "from-file"}
    assert settings.to_dict() == expected
    assert overrides == {"motion": {"rate": 50}}


def test_nothing_is_left_for_the_next_call(toml: Any) -> None:
    before = load_settings()
    load_settings(toml("[motion]\nrate = 25\n"), {"rules": {"foot": 0.3}})
    assert load_settings() == before


@pytest.mark.parametrize("text", ["", "# nothing\n", "[motion]\n"])
def test_an_empty_file_changes_nothing(toml: Any, text: str) -> None:
    assert load_settings(toml(text)) == load_settings()
    assert load_settings(overrides={}) == load_settings()
    assert load_settings(overrides={"motion": {}}) == load_settings()


def test_numbers_as_people_write_them(toml: Any) -> None:
    settings = load_settings(
        toml("[rules]\nmin_height = 1e-4\nmax_s = 5\n[motion]\nrate = 200\ncrop = 2_56\n")
    )
    assert settings.rules.min_height == 0.0001  # YAML reads a string
    for value in (settings.rules.min_height, settings.rules.max_s, settings.motion.rate):
        assert type(value) is float
    assert settings.rules.max_s == 5.0
    assert settings.motion.crop == 256


# Where the file is


@pytest.mark.parametrize("name", ["default", "default.toml"])
def test_a_shipped_file_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(name) == load_settings()


def test_a_file_at_hand_goes_before_a_shipped_one(
    toml: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml("[motion]\nrate = 25\n", "default.toml")
    monkeypatch.chdir(tmp_path)
    assert load_settings("default.toml").motion.rate == 25.0
    assert load_settings(Path("default.toml")).motion.rate == 25.0


def test_a_path_is_never_replaced_by_a_shipped_file(tmp_path: Path) -> None:
    said = refused(path=tmp_path / "default.toml")
    assert str(tmp_path / "default.toml") in said


def test_the_home_folder_may_be_abbreviated(toml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toml("[motion]\nrate = 25\n")
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("USERPROFILE", str(path.parent))
    assert load_settings("~/mine.toml").motion.rate == 25.0


def test_a_missing_file_names_the_choices_and_the_nearest() -> None:
    said = refused(path="defualt")
    assert "'defualt'" in said
    assert "shipped default" in said
    assert "Did you mean 'default'?" in said
    assert "Did you mean" not in refused(path="xyzxyz")


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(path=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"[motion\nrate = 30\n",
        b"[motion]\nrate = 30\nrate = 25\n",  # twice
        b"[motion]\nflow = dis\n",  # no quotes
        b"motion:\n  rate: 30\n",  # YAML
        b"[motion]\nflow = '\xff\xfe'\n",  # not UTF-8
    ],
)
def test_what_is_not_toml_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    assert f"cannot read settings from {path}" in refused(path=path)


# What is wrong with a setting


def test_everything_wrong_is_said_at_once(toml: Any) -> None:
    text = """
    rate = 30
    [motion]
    flwo = "dis"
    rate = "30"
    crop = 128
    crop_size = 3
    [face]
    detecter = "mediapipe"
    min_eye_distance = true
    [rulez]
    foot = 0.1
    """
    path = toml(text)
    said = refused(path=path)
    assert str(path) in said
    for part in (
        "unknown key rate. Did you mean 'motion.rate'?",
        "unknown key motion.flwo. Did you mean 'flow'?",
        "motion.rate must be a number; found '30'",
        "unknown key motion.crop_size. Did you mean 'crop'?",
        "unknown key face.detecter. Did you mean 'detector'?",
        "face.min_eye_distance must be a number; found True",
        "unknown key rulez. Did you mean 'rules'?",
    ):
        assert part in said
    assert "motion.crop " not in said  # nothing is wrong with it
    # And what there is.
    for section, key in EVERY:
        assert f"{section}.{key}" in said


def test_overrides_are_checked_as_a_file_is() -> None:
    said = refused(overrides={"motion": {"flwo": "dis", "rate": None}, "faces": {}})
    assert said.startswith("overrides: ")
    assert "motion.flwo" in said
    assert "motion.rate must be a number; found None" in said
    assert "unknown key faces. Did you mean 'face'?" in said


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("motion", "rate", True),
        ("motion", "rate", "30"),
        ("motion", "rate", [30.0]),
        ("motion", "rate", None),
        ("motion", "crop", 128.0),
        ("motion", "crop", "128"),
        ("motion", "crop", True),
        ("motion", "roi_radius", 5.5),
        ("motion", "flow", 3),
        ("motion", "flow", True),
        ("motion", "flow", None),
        ("face", "detector", ["mediapipe"]),
        ("face", "carry", 0),
        ("face", "carry", 1),
        ("face", "carry", 1.0),
        ("face", "carry", "true"),
        ("face", "follow", 2.0),
        ("face", "follow", True),
        ("rules", "foot", {"value": 0.1}),
        ("rules", "foot", False),
    ],
)
def test_a_value_of_another_type_is_refused(section: str, key: str, value: Any) -> None:
    words = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    kind = words[type(DEFAULT[section][key])]
    if key == "follow":
        kind += " or a whole number"
    said = refused(overrides={section: {key: value}})
    assert f"{section}.{key} must be {kind}; found {value!r}" in said


@pytest.mark.parametrize("value", [3, "dis", None, [("rate", 30)]], ids=repr)
def test_a_section_is_a_table(value: Any) -> None:
    said = refused(overrides={"motion": value})
    assert f"motion must be a table; found {value!r}" in said


@pytest.mark.parametrize(("section", "key"), FLOATS)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 10**400])
def test_no_number_is_infinite(section: str, key: str, value: float) -> None:
    """TOML can say inf and nan. A result's settings are JSON, which cannot."""
    assert f"{section}.{key}" in refused(overrides={section: {key: value}})


@pytest.mark.parametrize(
    ("section", "key", "values"),
    [
        (
            "face",
            "follow",
            ["", "0", "-1", "+1", "1.0", "01", " 1 ", "²", "١", "Left", "largest ", "biggest"],
        ),
        ("face", "min_eye_distance", [0, -1.0]),
        ("face", "restart_s", [0.99, 0, -3]),
        ("motion", "rate", [0, 0.99, -30, 1000.1]),
        ("motion", "crop", [0, 31, 1025, -128]),
        ("motion", "roi_radius", [0, -1, 17]),
        ("motion", "max_gap_s", [0, -0.2]),
        ("motion", "max_head_residual", [0, -1]),
        *[
            ("rules", key, [0, -0.1])
            for key in (
                "smooth_s",
                "noise_s",
                "reference_s",
                "drift_s",
                "min_height",
                "min_s",
                "micro_max_s",
            )
        ],
        *[("rules", key, [-0.1]) for key in ("noise_factor", "drift_factor", "rest", "rest_s")],
        ("rules", "lookahead_s", [-0.1]),
        ("rules", "noise_window_s", [-1, 0.1, 5.0]),
        ("rules", "sensitivity", ["", "hi", "Low", "0", "-1", "nan", "inf", "1e999", "0.0"]),
        ("classify", "abstain_below", [-0.01, 1.01]),
        *[("rules", k, [-0.01, 1.01]) for k in ("foot", "slow", "complete", "hold", "overlap")],
    ],
)
def test_a_value_out_of_range_is_refused(section: str, key: str, values: list[Any]) -> None:
    for value in values:
        said = refused(overrides={section: {key: value}})
        assert f"{section}.{key} must be " in said
        found = float(value) if (section, key) in FLOATS else value
        assert f"found {found!r}" in said


def test_every_number_has_a_range() -> None:
    for section, key in EVERY:
        if not isinstance(DEFAULT[section][key], (str, bool)):
            refused(overrides={section: {key: type(DEFAULT[section][key])(-1000)}})


def test_ranges_of_one_setting_by_another() -> None:
    assert "rules.min_s" in refused(overrides={"rules": {"min_s": 2.0, "max_s": 2.0}})
    load_settings(overrides={"rules": {"min_s": 1.9, "max_s": 2.0}})
    assert "motion.roi_radius" in refused(overrides={"motion": {"crop": 64, "roi_radius": 9}})
    load_settings(overrides={"motion": {"crop": 64, "roi_radius": 8}})


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("face", "restart_s", 1),
        *[("face", "follow", which) for which in (*FOLLOW, "1", "12")],
        ("motion", "rate", 1),
        ("motion", "rate", 1000),
        ("motion", "crop", 40),
        ("motion", "crop", 1024),
        ("motion", "roi_radius", 1),
        ("motion", "roi_radius", 16),
        ("rules", "noise_factor", 0),
        ("rules", "overlap", 0),
        ("rules", "overlap", 1),
        ("rules", "noise_window_s", 0),
        ("rules", "lookahead_s", 0),
        *[("rules", "sensitivity", which) for which in (*SENSITIVITIES, "2.5", "12")],
    ],
)
def test_the_ends_of_a_range_belong_to_it(section: str, key: str, value: Any) -> None:
    settings = load_settings(overrides={section: {key: value}})
    assert settings.to_dict()[section][key] == value


def test_a_face_s_number_may_be_written_as_one(tmp_path: Path) -> None:
    """And is the same setting however it was written."""
    path = tmp_path / "mine.toml"
    path.write_text("[face]\nfollow = 2\n")
    text = load_settings(overrides={"face": {"follow": "2"}})
    assert text.face.follow == "2"
    for other in (
        load_settings(path),
        load_settings(overrides={"face": {"follow": 2}}),
        dataclasses.replace(text, face=dataclasses.replace(text.face, follow=2)),  # type: ignore[arg-type]
    ):
        assert other == text
        assert digest(other.to_dict()) == digest(text.to_dict())
    for wrong in (0, -3):
        assert f"found '{wrong}'" in refused(overrides={"face": {"follow": wrong}})


def test_a_sensitivity_may_be_a_number() -> None:
    """And is the same setting however it was written."""
    text = load_settings(overrides={"rules": {"sensitivity": "2"}})
    assert text.rules.sensitivity == "2"
    for value in (2, 2.0, "2.0", "2e0"):
        assert load_settings(overrides={"rules": {"sensitivity": value}}) == text


# Digest


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    turned = {s: dict(reversed(v.items())) for s, v in reversed(DEFAULT.items())}
    assert list(turned) != list(DEFAULT)
    assert digest(turned) == digest(DEFAULT)
    assert re.fullmatch("[0-9a-f]{64}", digest(DEFAULT))


def test_digest_depends_on_the_order_of_a_list() -> None:
    assert digest([1, 2]) != digest([2, 1])


def test_digest_changes_with_every_single_setting() -> None:
    digests = {digest(DEFAULT)}
    for section, key in EVERY:
        other = load_settings(overrides={section: {key: changed(DEFAULT[section][key])}})
        assert other.to_dict()[section][key] != DEFAULT[section][key]
        digests.add(digest(other.to_dict()))
    assert len(digests) == len(EVERY) + 1


def test_digest_is_of_the_value_and_not_of_how_it_was_written(toml: Any) -> None:
    ways = (
        load_settings(overrides={"motion": {"rate": 25}}),
        load_settings(overrides={"motion": {"rate": 25.0}}),
        load_settings(toml("[motion]\nrate = 2.5e1\n")),
    )
    for a, b in itertools.pairwise(ways):
        assert digest(a.to_dict()) == digest(b.to_dict())


def test_digest_takes_nothing_that_json_has_not() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            digest({"value": value})
    with pytest.raises(TypeError):
        digest({"value": object()})
