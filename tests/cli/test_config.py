"""`aumer config show`, and `--set`: one grammar for every command that has it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from aumer import cli, plugins, registry, strict
from aumer.bench.protocol import load as load_protocol
from aumer.cli.options import SECTIONS, changed_settings
from aumer.config import Settings, load_settings
from aumer.errors import EXIT_OK, EXIT_USAGE
from aumer.spotting.net_config import NetConfig
from aumer.strict import plain
from aumer.training.settings import TrainSettings

#: Every command that has --set, with what it needs beside.
COMMANDS = {
    "spot": "@still.avi",
    "classify": "@still.avi",
    "features": "@still.avi",
    "config show": "",
    "bench run": "sim-casme-sq --data x",
    "bench study": "spotnet-graph --data x",
    "bench submission": "x --challenge megc2022",
    "live": "@still.avi",
    "train": "run.toml",
    "view": "@still.avi",
}


@pytest.fixture(autouse=True)
def _train(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('output = "o"\n[data]\nsource = "features"\nroot = "x"\n')


def parsers(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action._name_parser_map.items():
                yield from parsers(inner, f"{name} {word}".strip())


def setters() -> dict[str, argparse.Action]:
    found = {}
    for name, parser in parsers(cli.command_parser()):
        action = parser._option_string_actions.get("--set")
        if action is not None and action.help is not argparse.SUPPRESS:
            found[name] = action
    return found


# --set


def test_every_command_with_set_is_known_and_has_one_grammar() -> None:
    found = setters()
    assert set(found) == set(COMMANDS)
    for action in found.values():
        assert action.metavar == "PATH=VALUE"
        assert callable(action.type)
        assert action.type("rules.min_s=0.2") == ("rules.min_s", 0.2)
        assert action.type("motion.flow=dis") == ("motion.flow", "dis")
    assert set(SECTIONS) == set(get_type_hints(Settings))  # which help must not import


@pytest.mark.parametrize(("command", "needs"), COMMANDS.items())
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--set rules.min_s", r"must be PATH=VALUE.*'rules.min_s'"),
        ("--set rules.min_s=[0.2", r"'\[0.2' is not a TOML value"),
        ("--set rules.min_s=short", r"rules.min_s must be a number; found 'short'"),
        ("--set rules.mins=0.2", r"unknown key rules.mins\. Did you mean 'min_s'\?"),
        ("--set rules.min_s=9", r"rules.min_s must be less than rules.max_s; found 9.0"),
    ],
)
def test_one_path_in_every_command(
    command: str, needs: str, words: str, said: str, run: Any, tmp_path: Path
) -> None:
    """The same mistake is told in the same words, before anything is read or written."""
    ran = run(f"{command} {needs} {words}")
    assert ran.code == EXIT_USAGE and re.search(said, ran.err), ran.err
    assert ran.out == ""
    assert [p.name for p in tmp_path.iterdir()] == ["run.toml"]


@pytest.mark.parametrize(("command", "needs"), COMMANDS.items())
def test_the_path_is_taken_by_every_command(
    command: str, needs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = cli._parse([*command.split(), *needs.split(), "--set", "rules.min_s=0.2"])
    assert args.settings == [("rules.min_s", 0.2)]
    assert not getattr(args, "overrides", [])


def test_keys_of_a_command_are_its_own() -> None:
    words = ["--set", "epochs=3", "--set", "motion.rate=25", "--set", "net_overrides.layer=none"]
    args = cli._parse(["bench", "casme-sq", "--data", "x", *words])
    assert args.overrides == [("epochs", 3), ("net_overrides.layer", "none")]
    assert args.settings == [("motion.rate", 25)]


def test_bench_takes_settings_of_features() -> None:
    words = ["bench", "casme-sq", "--data", "x", "--model", "rules"]
    assert changed_settings(cli._parse(words)) is None
    found = changed_settings(cli._parse([*words, "--set", "rules.min_s=0.2"]))
    assert found == load_settings(overrides={"rules.min_s": 0.2})


# show


def shown(text: str, tmp_path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Values, and the comments, by path."""
    path = tmp_path / "shown.toml"
    path.write_text(text, encoding="utf-8")
    values = strict.read_toml(path)
    comments = [line.rpartition("  # ")[2] for line in text.splitlines() if "  # " in line]
    return values, dict(zip(strict.paths(values), comments, strict=True))


def test_show_prints_all_settings_and_where_they_come_from(run: Any, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[motion]\nflow = "dis"\nrate = 25\n')
    words = "--config c.toml --set motion.rate=20 --set rules.min_s=0.2 --face 2"
    ran = run(f"config show {words}")
    assert ran.code == EXIT_OK and ran.err == ""
    values, origins = shown(ran.out, tmp_path)
    overrides = {"motion.rate": 20, "rules.min_s": 0.2, "face.follow": 2}
    assert values == load_settings(tmp_path / "c.toml", overrides).to_dict()
    assert origins.pop("motion.flow") == "c.toml"
    assert origins.pop("motion.preset") == "c.toml, by motion.flow"
    assert {origins.pop(key) for key in overrides} == {"--set"}
    assert set(origins.values()) == {"default.toml"}
    # And it is a file of settings itself.
    assert load_settings(tmp_path / "shown.toml").to_dict() == values


def test_show_of_a_sensitivity(run: Any, tmp_path: Path) -> None:
    """It wins over --set, as where it is spotted with."""
    ran = run("config show --sensitivity 2 --set rules.sensitivity=high")
    values, origins = shown(ran.out, tmp_path)
    assert values["rules"]["sensitivity"] == "2"
    assert origins["rules.sensitivity"] == "--sensitivity"


def test_show_of_nothing_is_the_defaults(run: Any, tmp_path: Path) -> None:
    values, origins = shown(run("config show").out, tmp_path)
    assert values == load_settings().to_dict()
    assert set(origins.values()) == {"default.toml"}


def test_show_of_presets(run: Any, tmp_path: Path) -> None:
    ran = run("config show training published --set epochs=3 --set net_overrides.dropout=0.3")
    values, origins = shown(ran.out, tmp_path)
    wanted = {"epochs": 3, "net_overrides": {"dropout": 0.3}}
    assert values == plain(TrainSettings.preset("published", wanted))
    assert origins["epochs"] == origins["net_overrides.dropout"] == "--set"
    assert origins["lr"] == "published" and origins["warmup"] == "built in"
    made = NetConfig.from_dict(shown(run("config show network aumer").out, tmp_path)[0])
    assert made == NetConfig.preset("aumer")
    assert 'name = "casme-sq"' in run("config show protocol casme-sq --set scoring.iou=0.3").out


PLUGIN = """
from dataclasses import replace

import aumer
from aumer.bench.protocol import load

aumer.register("protocol", "of-mine")(replace(load("casme-sq"), name="of-mine"))
aumer.register("flow", "of-mine")(lambda before, after: None)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # Workers of later tests load what is loaded here.
    monkeypatch.setattr(plugins, "_loaded", list(plugins._loaded))
    name = f"{tmp_path.name}.py"  # a module is loaded once in a process
    (tmp_path / name).write_text(PLUGIN)
    yield f"--plugin {name}"
    for kind in ("protocol", "flow"):
        registry._parts[kind].pop("of-mine", None)


def test_show_of_parts_lists_every_kind(run: Any, tmp_path: Path, plugin: str) -> None:
    values, origins = shown(run("config show parts").out, tmp_path)
    assert {kind: set(of) for kind, of in values.items() if of} == {
        kind: set(registry.names(kind)) for kind in registry.kinds() if registry.names(kind)
    }
    assert {"casme-sq", "samm-lv"} <= set(values["protocol"])
    assert values["flow"]["tvl1"] == "aumer.flow.tvl1:tvl1"
    assert origins["flow.tvl1"] == origins["protocol.casme-sq"] == "built in"
    assert "of-mine" not in values["flow"]
    values, origins = shown(run(f"config show parts flow protocol {plugin}").out, tmp_path)
    assert set(values) == {"flow", "protocol"}
    assert origins["flow.of-mine"] == origins["protocol.of-mine"] == "registered"
    assert values["protocol"]["of-mine"] == "aumer.bench.protocol:Protocol"


def test_show_names_the_parts_behind_the_settings(run: Any, plugin: str) -> None:
    lines = run(f"config show {plugin}").out.splitlines()
    for kind in registry.kinds():
        assert f"# {kind}: {', '.join(registry.names(kind)) or 'none'}" in lines
    assert any(line.startswith("# flow: ") and "of-mine" in line for line in lines)


def test_show_of_a_registered_protocol(run: Any, tmp_path: Path, plugin: str) -> None:
    words = f"config show protocol of-mine --set scoring.iou=0.3 {plugin}"
    values, origins = shown(run(words).out, tmp_path)
    wanted = plain(load_protocol("casme-sq"))
    wanted["scoring"]["iou"] = 0.3
    assert values["scoring"] == wanted["scoring"] and values["name"] == "of-mine"
    assert origins["scoring.iou"] == "--set" and origins["name"] == "of-mine, registered"
    assert "of-mine" in run(f"config show protocol {plugin}").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("parts flw", "Did you mean 'flow'?"),
        ("parts --set motion.rate=20", "--set does not apply to parts"),
        ("parts --config default", "--config does not apply to parts"),
        ("netwrk aumer", "Did you mean 'network'?"),
        ("network", "one network must be named: aumer, "),
        ("network aumer published", "one network must be named"),
        ("network aumr", "Did you mean 'aumer'?"),
        ("training aumer --config default", "does not have"),
        ("training aumer --set epoch=3", "Did you mean 'epochs'?"),
        ("training aumer --flow dis", "unknown key motion"),
        ("--config absent.toml", "no settings file 'absent.toml'"),
        # Names of parts, in whatever is shown.
        ("network aumer --set layer=foo", "no graph layer is called 'foo'; there are dense,"),
        ("network aumer --set graph=foo", "no graph is called 'foo'; there are casme-sq-facs,"),
        ("training aumer --set net_overrides.layer=foo", "no graph layer is called 'foo'"),
        ("training aumer --set missing_offset=foo", "missing_offset: the missing-offset policy"),
        ("protocol casme-sq --set datasets=['foo']", "no data set is called 'foo'; there are"),
        ("protocol casme-sq --set prior=foo", "no graph is called 'foo'; there are"),
        ("protocol casme-sq --set published=foo", "figures for the benchmark 'foo'; there are"),
        ("protocol casme-sq --set models.aumer.preset=foo", "no training preset or file 'foo'"),
        ("protocol casme-sq --set models.aumer.decoder=foo", "no decoder is called 'foo'"),
        ("protocol casme-sq --set models.aumer.au_map=foo", "no AU map is called 'foo'; there"),
        ("protocol casme-sq --set models.aumer.train.net_overrides.layer=foo", "no graph layer"),
        ("protocol casme2-5class --set recognition.foo.x=1", "no recognizer is called 'foo'"),
        ("protocol casme2-5class --set recognition.graph.x=1", "has no option 'x'; it has"),
        (
            "protocol casme2-5class --set recognition.graph.apex=foo",
            "apex must be a frame, 0 or more, or one of both-ends",
        ),
        ("--set motion.flow=foo", "no flow is called 'foo'; there are dis,"),
        ("--set motion.rois=foo", "no ROI or landmark is called 'foo'; sets are"),
        ("--set face.detector=foo", "no detector is called 'foo'; there are blazeface,"),
        ("--set face.landmarker=foo", "no landmarker is called 'foo'; there are"),
    ],
)
def test_show_refuses(words: str, said: str, run: Any) -> None:
    ran = run(f"config show {words}")
    assert ran.code == EXIT_USAGE and said in ran.err and ran.out == "", ran.err


@pytest.mark.parametrize("kind", ["network", "training", "protocol"])
def test_everything_that_ships_can_be_shown(kind: str, run: Any) -> None:
    """The parts that presets name are there."""
    folder = {"network": "spotnet", "training": "train", "protocol": "bench"}[kind]
    for name in strict.presets(folder):
        ran = run(f"config show {kind} {name}")
        assert ran.code == EXIT_OK and ran.err == "", name


@pytest.mark.parametrize(
    "command", ["bench run sim-casme-sq --data x --model aumer", "train run.toml"]
)
def test_a_layer_that_there_is_not_is_told_before_the_data(command: str, run: Any) -> None:
    key = "net_overrides" if command.startswith("bench") else "train.net_overrides"
    ran = run(f"{command} --set {key}.layer=foo")
    assert ran.code == EXIT_USAGE and "no graph layer is called 'foo'" in ran.err, ran.err
