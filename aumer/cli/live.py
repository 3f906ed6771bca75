"""`aumer live`: reports expressions while a camera runs or a file plays."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.cli.options import (
    POSITIVE,
    SPOTTER,
    add_device,
    add_fps,
    add_settings,
    add_spotter,
    read_settings,
    require_web,
    whole,
)
from aumer.errors import EXIT_NO_FACE, EXIT_OK, UsageError

if TYPE_CHECKING:
    from aumer.streaming.events import LiveStep
    from aumer.streaming.live import Live

_EPILOG = """\
SOURCE is a camera (camera:0, the default, camera:1, ...), a video file, or with --fps a folder of
images. A file with --realtime plays as a camera would; without, it is read as fast as it can be.

Each expression is reported when it has just ended ("provisional"), may be "revised" or "withdrawn"
later, and is "final" after the spotter's look-ahead: 6 seconds later, and in the first half minute
after a face appears at the end of that half minute. The final ones are those of `aumer spot` for
the whole recording.

output:
  stdout gets one JSON object per line (JSON Lines): "started"; events of expressions (event, id,
  kind, onset, apex, offset in frames and onset_s, apex_s, offset_s in seconds, score, label, at_s,
  and delay_s, the seconds from offset to report); "dropped" for frames that there was no time to
  analyze; "ended" with totals. A terminal shows a view of face, curve and last expressions instead;
  --json prints the lines there, too.
  --page opens a local page with picture, curve and expressions; its /api/live/events has the same
  lines as Server-Sent Events.

Ctrl-C ends it: pending expressions are reported, the recording is completed, totals are printed.

exit codes:
    0  done, also by Ctrl-C
    2  an option or setting cannot be used
    3  the source cannot be read
    4  no face in any frame
  130  interrupted twice, and left at once
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``live`` to the command's parsers."""
    parser = commands.add_parser(
        "live",
        parents=[common],
        help="find expressions while a camera runs or a file plays",
        description="Finds micro- and macro-expressions while they happen.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run, parser=parser)
    add = parser.add_argument
    add("source", nargs="?", default="camera:0", metavar="SOURCE", help="(default: camera:0)")
    add("--realtime", action="store_true", help="play a file by the clock, as a camera runs")
    add("--end", type=POSITIVE, metavar="S", help="stop after so many seconds")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="JSON lines, on a terminal too")
    shown.add_argument("--terminal", action="store_true", help="the view, which needs a terminal")
    add("--page", action="store_true", help="show picture, curve and expressions in the browser")
    add(
        "--no-browser",
        action="store_true",
        help="with --page: print the address without opening a browser",
    )
    add("--record", metavar="PATH", help="write all frames and their times to a .mp4 or .mov")
    add("--overwrite", action="store_true", help="let --record replace a file")
    add_spotter(parser)
    add("--classify", action="store_true", help="label each expression by its motion")
    add(
        "--recognizer",
        metavar="NAME",
        help="recognizer by name or file of weights; it must read motion (default: graph-motion; "
        "implies --classify)",
    )
    add_fps(parser)
    add_device(parser)
    add_settings(parser)
    add("--workers", type=whole, metavar="N", help="threads that measure motion")


def _run(args: argparse.Namespace, console: Console) -> int:
    from aumer.cli.batch import options_given
    from aumer.cli.inputs import parse_input

    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    if args.terminal and not on_terminal:
        raise UsageError(
            "--terminal draws on a terminal, and stdout is none; leave it out, and JSON lines are "
            "written"
        )
    if args.no_browser and not args.page:
        raise UsageError("--no-browser is an option of --page; give that, too")
    if args.overwrite and args.record is None:
        raise UsageError("--overwrite is for --record, which is not given")
    if args.page:
        require_web("the page", "view")
    settings = read_settings(args)
    given = parse_input(args.source)

    from aumer.streaming.live import live

    recognizer = args.recognizer or ("default" if args.classify else None)
    run = live(
        given.source,
        realtime=args.realtime,
        recognizer=recognizer,
        settings=settings,
        overwrite=args.overwrite,
        **options_given(
            args, *SPOTTER, "end", "fps", "record", "workers"
        ),
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(run)
        stack.enter_context(_interrupts(run))
        shows: list[Callable[[LiveStep], object]] = []
        if args.page:
            shows.append(stack.enter_context(_page(run, console, browser=not args.no_browser)))
        if on_terminal and not args.json:
            from aumer.cli.live_terminal import TerminalView

            shows.append(stack.enter_context(TerminalView(run)).show)
            console.note("Ctrl-C ends it")
        else:
            from aumer.streaming.events import EventLines

            lines = EventLines(run.summary)

            def write(texts: list[dict[str, Any]]) -> None:
                for text in texts:
                    console.data(json.dumps(text, ensure_ascii=False) + "\n")

            write(lines.started())
            shows.append(lambda step: write(lines.of(step)))
            stack.callback(lambda: write(lines.ended()))
        for step in run.steps():
            for show in shows:
                show(step)
    console.note(str(run.summary))
    if run.summary.analyzed and not run.summary.seen:
        console.error("no face was seen in any frame, so nothing could be found")
        return EXIT_NO_FACE
    return EXIT_OK


@contextlib.contextmanager
def _interrupts(run: Live) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the run in order, a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, *_: object) -> None:
        run.stop()
        signal.signal(number, before[number])

    before: dict[int, Any] = {
        int(number): signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextlib.contextmanager
def _page(run: Live, console: Console, *, browser: bool) -> Iterator[Callable[[LiveStep], object]]:
    """Serve the page during the run; yields a function that receives the steps."""
    from aumer.view.live import LiveSite

    site = LiveSite(run.summary)
    console.note(f"the page: {site.address}")
    threads = [threading.Thread(target=site.run, name="aumer-page", daemon=True)]
    if browser:
        import webbrowser

        # Starting some browsers blocks until they end.
        threads.append(threading.Thread(target=webbrowser.open, args=(site.opening,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield site.show
    finally:
        site.end()
        threads[0].join(5.0)
