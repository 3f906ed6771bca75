"""`aumer view`: look at results beside the video, and correct them, in the browser."""

from __future__ import annotations

import argparse
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.cli.options import (
    add_cache,
    add_fps,
    add_sensitivity,
    add_settings,
    cache_folder,
    read_settings,
    require_web,
)
from aumer.errors import EXIT_OK, NoFaceError

if TYPE_CHECKING:
    from pathlib import Path

    from aumer.view.shown import Shown

_EPILOG = """\
INPUT is a video (or, with --fps, a folder of images), a result of `aumer spot` (.json), or
annotations (.annotations, .eaf, ...). Give several to see them together: two coders' files of one
video are compared. With a video, NAME.json and coders' annotations beside it are shown, too;
without a result, expressions are spotted now, and the motion is stored for the next time.

A page opens in the browser; no data leave this machine, and the page can only be reached by the
printed address. Corrections are saved as VIDEO.CODER.annotations beside the video; results are
never changed. `aumer train` and `aumer bench` read that file, `aumer convert` converts it for ELAN,
and `aumer agreement` compares two. Press ? on the page for the keys. Ctrl-C ends it.
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``view`` to the command's parsers."""
    parser = commands.add_parser(
        "view",
        parents=[common],
        help="look at results beside the video, and correct them, in the browser",
        description="Shows videos with synchronized faces, curves and intervals in the browser, "
        "and lets you correct the intervals.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="video, result or annotations")
    add("--no-browser", action="store_true", help="print the address without opening a browser")
    add("--no-spot", action="store_true", help="do not spot in videos without a result")
    add("--model", metavar="NAME", help="spotter for a video without a result, as of `aumer spot`")
    add_sensitivity(parser)
    add_fps(parser)
    add_settings(parser, several=True)
    add_cache(parser)
    parser.set_defaults(run=_run, parser=parser)


def _run(args: argparse.Namespace, console: Console) -> int:
    require_web("the page", "view")
    settings = read_settings(args)
    cache = cache_folder(args)

    from aumer.view.shown import gather

    console.start("reading the times of the frames")
    shown = gather(args.inputs, fps=args.fps, cache=cache, progress=console.progress)
    console.finish()
    for one in shown:
        console.notes(one.name, one.notes)
        if not args.no_spot and all(layer.result is None for layer in one.layers):
            _spot(one, args, settings, cache, console)

    serve(shown, console, browser=not args.no_browser)
    return EXIT_OK


def serve(shown: list[Shown], console: Console, *, browser: bool = True) -> None:
    """Show videos on the page until Ctrl-C, then close them."""
    for one in shown:
        one.data()  # so that the page need not wait

    from aumer.view.server import Site

    site = Site(shown)
    console.data(f"{site.address}\n")
    console.note("Ctrl-C ends it")
    if browser:
        import webbrowser

        # Starting some browsers blocks until they end.
        threading.Thread(target=webbrowser.open, args=(site.opening,), daemon=True).start()
    # The server raises the interrupt again after it has ended, which is the normal way to stop.
    with contextlib.suppress(KeyboardInterrupt):
        site.run()
    for one in shown:
        one.frames.close()


def _spot(
    one: Shown, args: argparse.Namespace, settings: Any, cache: Path | None, console: Console
) -> None:
    """Spot in a video that has no result."""
    from aumer.cli.batch import options_given
    from aumer.pipeline import Spotter

    console.start(f"spotting in {one.name}")
    try:
        with Spotter(settings=settings, **options_given(args, "model", "sensitivity")) as spotter:
            found = spotter.each_face(
                one.path, fps=args.fps, cache=cache, progress=console.progress
            )
    except NoFaceError as error:  # the video can be shown without a result
        console.finish()
        console.note(f"{one.name} is shown without a result: {console.message(error)}")
        return
    finally:
        console.finish()
    for result in found:
        one.add_result(result, None)
        console.notes(one.name, result.notes)
