"""Options that commands share: settings, the cache, and numbers in a range."""

from __future__ import annotations

import argparse
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aumer import strict
from aumer.errors import ConfigError, UsageError
from aumer.names import expanded

if TYPE_CHECKING:
    from aumer.config import Settings

_LOGGER = logging.getLogger("aumer")

#: Sections of `aumer.config.Settings`, which help must not import.
SECTIONS = ("face", "motion", "rules", "classify")


def real(allowed: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """An argparse type: a finite number that satisfies `fits`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and fits(value)):
            raise argparse.ArgumentTypeError(f"must be {allowed}; found {text!r}")
        return value

    return parse


def whole(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more; found {text!r}")
    return int(text)


#: Argparse types of numbers for several commands.
POSITIVE = real("a number above 0", lambda x: x > 0)
SECONDS = real("0 or more seconds", lambda x: x >= 0)
SHARE = real("a share from 0 to 1", lambda x: 0 <= x <= 1)
IOU = real("above 0 and at most 1", lambda x: 0 < x <= 1)


def seed(text: str) -> int:
    """An argparse type: an integer from 0 to the largest seed of torch."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more; found {text!r}")
    return int(text)


def sensitivity(text: str) -> str:
    """An argparse type: a sensitivity by name, or false alarms per minute."""
    names = ("low", "normal", "high")  # aumer.config.SENSITIVITIES, which help must not import
    if text in names:
        return text
    number = real(f"{', '.join(names)} or a number above 0", lambda x: x > 0)
    return f"{number(text):g}"


def add_sensitivity(parser: argparse.ArgumentParser) -> None:
    """``--sensitivity``."""
    parser.add_argument(
        "--sensitivity",
        type=sensitivity,
        metavar="HOW",
        help="low, normal (the default), high, or a number: false alarms per minute of rest",
    )


def add_spotter(parser: argparse.ArgumentParser) -> None:
    """What spots: ``--model``, ``--graph``, ``--sensitivity`` and ``--micro-max``, as keywords of
    `aumer.pipeline.Spotter`."""
    add = parser.add_argument
    add("--model", metavar="NAME", help="spotter (default: combined), or a file of weights")
    add("--graph", metavar="NAME", help="AU graph, by name or file, instead of the network's own")
    add_sensitivity(parser)
    add(
        "--micro-max",
        type=real("a number of seconds above 0", lambda x: x > 0),
        dest="micro_max_s",
        metavar="SECONDS",
        help="longest micro-expression, for every spotter (default: as the spotter says)",
    )


#: What `add_spotter` and `add_device` ask for, by keyword.
SPOTTER = ("model", "graph", "device", "sensitivity", "micro_max_s")


def add_abstain(parser: argparse.ArgumentParser) -> None:
    """``--abstain-below``, a shortcut to a setting like those of `add_settings`."""
    parser.add_argument(
        "--abstain-below",
        dest="settings",
        action="append",
        type=_abstain,
        metavar="P",
        help="give no label if the most probable class is less probable; the same as "
        "--set classify.abstain_below=P (default: 0, which names every expression)",
    )


def _abstain(text: str) -> tuple[str, Any]:
    return "classify.abstain_below", SHARE(text)


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="where networks run, such as cpu or cuda (default: auto, the fastest for each)",
    )


def add_range(parser: argparse.ArgumentParser) -> None:
    """``--start``, ``--end`` and ``--fps``; `check_range` checks them."""
    add = parser.add_argument
    add("--start", type=SECONDS, metavar="S", help="analyze from this time on, in seconds")
    add("--end", type=SECONDS, metavar="S", help="... and before this time")
    add_fps(parser)


def add_fps(parser: argparse.ArgumentParser) -> None:
    """``--fps``."""
    parser.add_argument(
        "--fps",
        type=POSITIVE,
        metavar="N",
        help="frames per second of a folder; for a file it replaces the file's own times",
    )


def check_range(args: argparse.Namespace) -> None:
    """Refuse an empty range before any video is opened.

    Raises:
        UsageError: ``--end`` is not after ``--start``.
    """
    if args.end is not None and args.end <= (args.start or 0.0):
        raise UsageError(
            f"--end must lie after --start; found {args.start or 0:g} and {args.end:g}"
        )


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """Options for measuring motion and for the least coverage, including `add_settings` and
    `add_cache`.
    """
    add = parser.add_argument
    add(
        "--min-coverage",
        type=SHARE,
        metavar="SHARE",
        help="least share of the time with measured motion (default: 0.1)",
    )
    add_settings(parser, several=True)
    add_cache(parser)
    add(
        "--workers",
        type=whole,
        metavar="N",
        help="threads that measure motion (default: one per core); results do not change",
    )


def add_settings(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """``--config``, ``--set`` and shortcuts that choose a part; `read_settings` reads them."""
    add = parser.add_argument
    add("--config", metavar="FILE", help="TOML file of settings, or the name of a shipped one")
    add_set(parser, "change one setting (repeatable); `aumer config show` prints them all")
    for option, section, what in (
        ("flow", "motion", "optical flow"),
        ("detector", "face", "face detector"),
        ("landmarker", "face", "landmark finder"),
    ):
        add(
            f"--{option}",
            dest="settings",
            action="append",
            type=_named(f"{section}.{option}"),
            metavar="NAME",
            help=f"{what}, the same as --set {section}.{option}=NAME; `aumer doctor` lists them",
        )
    add(
        "--face",
        dest="settings",
        action="append",
        type=_named("face.follow"),
        metavar="WHICH",
        help="which face: largest (the default), left, right, a number (1 is the first face that "
        "appears)" + (", or all, with a separate result for each" if several else ""),
    )


def add_set(parser: argparse._ActionsContainer, what: str, *, others: bool = False) -> None:
    """``--set PATH=VALUE``, with the same grammar in every command (`strict.assignment`).

    Pairs of path and value are collected in ``settings``.

    Args:
        others: the command has further keys besides `aumer.config.Settings`, collected in
            ``overrides``.
    """
    parser.add_argument(
        "--set",
        dest="overrides" if others else "settings",
        action=_Set if others else "append",
        type=assignment,
        default=[],
        metavar="PATH=VALUE",
        help=what,
    )
    parser.set_defaults(settings=[])


class Appending(argparse.Action):
    """Appends to a list, like "append"; may be extended."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        dest = self.destination(namespace, values)
        setattr(namespace, dest, [*getattr(namespace, dest), values])

    def destination(self, namespace: argparse.Namespace, values: Any) -> str:
        """The list in the namespace for these values."""
        return self.dest


class _Set(Appending):
    """Separates keys of `aumer.config.Settings` from a command's own keys."""

    def destination(self, namespace: argparse.Namespace, values: Any) -> str:
        return "settings" if values[0].partition(".")[0] in SECTIONS else self.dest


def assignment(text: str) -> tuple[str, Any]:
    """An argparse type: ``motion.rate=60`` -> ("motion.rate", 60)."""
    try:
        return strict.assignment(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def settings_layers(args: argparse.Namespace) -> tuple[strict.Layer, ...]:
    """The layers of settings: default file, ``--config``, ``--set`` and shortcuts.

    Raises:
        ConfigError: the file is missing or unreadable.
    """
    from aumer.config import layers

    return layers(args.config, dict(args.settings), "--set")


def changed_settings(args: argparse.Namespace) -> Settings | None:
    """The settings, if ``--config`` or ``--set`` changes them.

    Raises:
        ConfigError: they cannot be used.
    """
    from aumer.config import Settings

    if not (args.config or args.settings):
        return None
    return strict.layered(Settings, *settings_layers(args))


def read_settings(args: argparse.Namespace) -> Settings:
    """The settings from the options of `add_settings`, with their parts checked.

    Raises:
        ConfigError, UsageError, WeightsError: they cannot be used here.
    """
    from aumer import registry
    from aumer.config import Settings
    from aumer.face import weights
    from aumer.flow import resolve as resolve_flow

    settings = strict.layered(Settings, *settings_layers(args))
    require_parts(settings)
    # Errors that would affect every video are raised once, before the first.
    resolve_flow(settings.motion.flow)
    for kind, name in (
        ("detector", settings.face.detector),
        ("landmarker", settings.face.landmarker),
    ):
        registry.resolve(kind, name)
        if name in weights.TABLE:
            weights.find(name)
    return settings


def require_parts(settings: Settings) -> None:
    """Raise an error for unknown parts in the settings, without making any.

    Raises:
        UsageError: unknown part; the message lists the choices.
    """
    from aumer import registry
    from aumer.graph.rois import roi_set

    registry.require("flow", settings.motion.flow)
    registry.require("detector", settings.face.detector)
    registry.require("landmarker", settings.face.landmarker)
    roi_set(settings.motion.rois)


def add_cluster(parser: Any) -> None:
    """``--backend`` and ``--scheduler``; `aumer.workers.Workers` takes them."""
    parser.add_argument(
        "--backend", default="local", metavar="NAME", help="local (default) or dask"
    )
    parser.add_argument("--scheduler", default="", metavar="ADDRESS", help="of the Dask cluster")


def add_cache(parser: argparse.ArgumentParser) -> None:
    """``--cache`` and ``--no-cache``; `cache_folder` reads them."""
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument(
        "--cache",
        metavar="DIR",
        help="where features are stored for the next run (default: $AUMER_CACHE, or aumer's folder "
        "in the user's cache)",
    )
    cache.add_argument("--no-cache", action="store_true", help="store no features")


def cache_folder(args: argparse.Namespace) -> Path | None:
    """The cache folder, made if necessary; `None` without a cache."""
    from aumer.cache import default_folder

    if args.no_cache:
        return None
    try:
        folder = expanded(args.cache) if args.cache else default_folder()
        folder.mkdir(parents=True, exist_ok=True)
        # Tested by writing: permissions are not sufficient (read-only mounts, a full disk).
        probe = folder / f".aumer-{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except (OSError, RuntimeError) as error:
        if args.cache:
            raise UsageError(f"cannot keep features in {args.cache}: {error}") from error
        _LOGGER.warning("the features are not kept in the cache: %s", error)
        return None
    _LOGGER.info("features are kept in %s", folder)
    return folder


def require_web(what: str, extra: str) -> None:
    """Raise an error if the packages of the servers are not installed.

    Raises:
        UsageError: `what` needs the extra.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f'{what} needs {error.name}, an extra: pip install "aumer[{extra}]"'
        ) from error


def _named(path: str) -> Callable[[str], tuple[str, Any]]:
    return lambda name: (path, name)
