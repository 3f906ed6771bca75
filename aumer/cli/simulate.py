"""`aumer simulate` and `aumer demo`: data whose expressions are known exactly."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.cli.options import POSITIVE, SECONDS, SHARE, seed, whole
from aumer.errors import EXIT_OK, UsageError
from aumer.names import expanded, is_folder

if TYPE_CHECKING:
    from aumer.simulate.features import SimulatedVideo
    from aumer.simulate.timeline import Timeline


_NEUTRAL = """\
With --neutral nothing of the recording is changed but the skin that an expression moves: its noise,
blinks and sway stay. Somebody must have seen that the face is neutral, for what it does of itself
is not in the truth; --from and --to cut such a part out. The truth says micro of what lasts up to
.5 s, and how far the ROI moves that moves furthest (displacement, in outer-eye distances). mp4v and
MJPG compress the recording a second time; FFV1, in .avi or .mkv, keeps every pixel.
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``simulate features`` and ``simulate video`` to the command's parsers."""
    parser = commands.add_parser(
        "simulate",
        help="make features or videos whose expressions are known exactly",
        description="Makes data whose onsets, apexes and offsets are known. Durations, action "
        "units and rates follow CAS(ME)^2 and SAMM-LV, or a table is replayed.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_features(actions, common)
    _add_video(actions, common)


def add_demo_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``demo`` to the command's parsers."""
    demo = commands.add_parser(
        "demo",
        parents=[common],
        help="film a simulated face for 20 seconds, spot in it, and compare with the truth",
        description="Films a simulated face for 20 seconds, spots in the film, prints truth beside "
        "prediction, and writes film, tables and timeline.",
    )
    demo.add_argument(
        "--seed", type=seed, default=0, help="seed of the random performance (default: 0)"
    )
    demo.add_argument("-o", "--output", metavar="DIR", help="folder (default: ./aumer-demo)")
    demo.add_argument(
        "--open",
        action="store_true",
        help="show film, truth and result in the browser, with `aumer view`",
    )
    demo.add_argument("--overwrite", action="store_true", help="replace files that exist")
    demo.set_defaults(run=_demo, parser=demo)


def _add_features(actions: Any, common: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "features",
        parents=[common],
        help="ROI motion as aumer measures it, for many subjects",
        description="Writes simulated ROI motion (T, 12, 2) and truth.csv into a folder. Prints "
        "the number of videos and expressions.",
    )
    parser.add_argument("folder", metavar="DIR", help="output folder; made if missing")
    parser.add_argument("--subjects", type=whole, default=10, help="default: 10")
    parser.add_argument("--videos", type=whole, default=1, help="of each subject; default: 1")
    parser.add_argument("--minutes", type=POSITIVE, default=3.0, help="of each video; default: 3")
    parser.add_argument("--level", default="medium", help="easy, medium (default) or hard")
    parser.add_argument("--layout", default="aumer", help="aumer (default) or feature_segment")
    parser.add_argument(
        "--nuisance",
        action="append",
        metavar="NAME",
        help="only this disturbance (repeatable); 'none' for expressions only; default: all",
    )
    _add_timeline(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.set_defaults(run=_features, parser=parser)


def _add_video(actions: Any, common: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "video",
        parents=[common],
        help="film a face that makes known expressions",
        description="Films a talking, blinking, swaying face that makes known expressions, or "
        "plays them into a real recording of a neutral one (--neutral). Writes the film, and its "
        "truth beside it as STEM.csv; or, where OUT has no suffix, a data set in the folders and "
        "the workbook of CAS(ME)^2, with truth.csv.",
        epilog=_NEUTRAL,
    )
    parser.add_argument("out", metavar="OUT", help=".mp4, .mov, .mkv, .avi, or a new folder")
    parser.add_argument(
        "--seconds",
        type=POSITIVE,
        help="of each film; default: 20, or the recording's. A longer film plays its recording to "
        "and fro, a shorter one shows a part, drawn by the seed",
    )
    parser.add_argument("--fps", type=POSITIVE, help="default: 30, or the recording's")
    parser.add_argument("--size", metavar="WxH", help="default: 640x480, or the recording's")
    parser.add_argument(
        "--portrait", metavar="IMAGE", help="a neutral frontal face (default: NASA's astronaut)"
    )
    parser.add_argument(
        "--films",
        type=whole,
        default=1,
        help="films of a data set (OUT without suffix), or of each recording; default: 1",
    )
    parser.add_argument("--codec", help="mp4v, MJPG or FFV1 (default: what the container holds)")
    parser.add_argument("--no-nuisance", action="store_true", help="only the expressions move")
    parser.add_argument(
        "--neutral",
        action="append",
        metavar="CLIP",
        help="play the expressions into this recording of a neutral face, a file or (with --fps) a "
        "folder of frames; repeatable for a data set, where each is a subject",
    )
    parser.add_argument(
        "--from",
        type=SECONDS,
        dest="start",
        metavar="S",
        help="begin of the neutral part of a recording, in seconds",
    )
    parser.add_argument(
        "--to",
        type=SECONDS,
        dest="stop",
        metavar="S",
        help="end of the neutral part, in seconds; default: end of the recording",
    )
    parser.add_argument(
        "--amplitude",
        type=POSITIVE,
        metavar="X",
        help="with --neutral: how far every micro-expression moves the ROI that it moves furthest, "
        "in outer-eye distances (real ones: .003 to .03), instead of sizes as CASME II's",
    )
    parser.add_argument(
        "--strength",
        type=POSITIVE,
        default=1.0,
        metavar="X",
        help="factor of all sizes; default: 1",
    )
    parser.add_argument(
        "--held",
        type=SHARE,
        metavar="SHARE",
        help="of the micro-expressions, this share begins while a macro-expression is held, in the "
        "other half of the face (default: inside one as often as in the data sets)",
    )
    _add_timeline(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.set_defaults(run=_video, parser=parser)


def _add_timeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=seed, default=0, help="seed of all random numbers (default: 0)"
    )
    parser.add_argument(
        "--rate",
        type=POSITIVE,
        metavar="N",
        help="expressions per minute (default: as in the data sets)",
    )
    parser.add_argument(
        "--table",
        metavar="CSV",
        help="replay its expressions: columns video_name, start_frame, apex_frame, end_frame, "
        "type_idx (1 macro, 2 micro), au; options for random draws are ignored then",
    )
    parser.add_argument(
        "--table-fps", type=POSITIVE, metavar="N", help="frame rate of the table's frame numbers"
    )
    parser.add_argument(
        "--lengths", metavar="CSV", help="with --table: frames of each video (video, n_frames)"
    )


def _replayed(args: argparse.Namespace) -> dict[str, Timeline] | None:
    """The table's performances by video, or `None` if they are drawn randomly."""
    if args.table is None:
        if args.table_fps is not None or args.lengths is not None:
            raise UsageError("--table-fps and --lengths go with --table")
        return None
    from aumer.simulate import tables, timeline

    if args.table_fps is None:
        raise UsageError(
            "--table needs --table-fps: the frames a second that its frames count in "
            "(30 for CAS(ME)^2, 25 for the published SAMM-LV table)"
        )
    lengths = tables.read_lengths(args.lengths) if args.lengths else None
    rows = tables.read_table(args.table, fps=args.table_fps)
    return timeline.replay(rows, args.table_fps, seed=args.seed, lengths=lengths)


def _features(args: argparse.Namespace, console: Console) -> int:
    import aumer
    from aumer.simulate import features, nuisance

    names = args.nuisance or nuisance.USUAL
    videos = aumer.simulate_features(
        args.subjects,
        videos=args.videos,
        minutes=args.minutes,
        seed=args.seed,
        level=args.level,
        nuisances=() if names == ["none"] else names,
        rate_per_min=args.rate,
        replayed=_replayed(args),
    )
    made = expressions = 0

    def counted() -> Iterator[SimulatedVideo]:
        nonlocal made, expressions
        for video in videos:
            yield video
            made += 1
            expressions += len(video.expressions)
            console.progress(made, None)

    console.start("simulating", unit="videos")
    written = features.write_features(
        args.folder, counted(), layout=args.layout, overwrite=args.overwrite
    )
    console.finish()
    console.data(f"{made} videos with {expressions} expressions; truth in {written[-1]}\n")
    return EXIT_OK


def _video(args: argparse.Namespace, console: Console) -> int:
    import aumer

    if args.neutral:
        why = "says nothing with --neutral, which takes the recording as it is: leave it out"
        _refuse(args, why, "portrait", "size", "no_nuisance")
        if not any(is_folder(expanded(clip)) for clip in args.neutral):
            _refuse(args, "is for a folder of frames; a film has its recording's rate", "fps")
    else:
        _refuse(args, "goes with --neutral", "start", "stop", "amplitude")
    begun: list[str] = []

    def progress(what: str, done: int, total: int | None) -> None:
        if what not in begun:
            begun.append(what)
            console.start(what)
        console.progress(done, total)

    written = aumer.simulate_films(
        args.out,
        neutral=args.neutral or (),
        films=args.films,
        replayed=_replayed(args),
        seconds=args.seconds,
        rate_per_min=args.rate,
        held=args.held,
        strength=args.strength,
        amplitude=args.amplitude,
        portrait=args.portrait,
        nuisance=not args.no_nuisance,
        size=_size(args.size) if args.size else None,
        fps=args.fps,
        start_s=args.start,
        stop_s=args.stop,
        seed=args.seed,
        codec=args.codec,
        overwrite=args.overwrite,
        progress=progress,
    )
    console.finish()
    film, truth = written
    console.data(f"{film}\n{truth}\n" if Path(args.out).suffix else f"{film}\n")
    return EXIT_OK


def _refuse(args: argparse.Namespace, why: str, *names: str) -> None:
    """Raise an error for given options that have no effect here."""
    shown = {"start": "--from", "stop": "--to"}
    given = [
        shown.get(name, f"--{name.replace('_', '-')}")
        for name in names
        if getattr(args, name) not in (None, False)
    ]
    if given:
        raise UsageError(f"{' and '.join(given)}: {why}")


def _size(text: str) -> tuple[int, int]:
    width, x, height = text.lower().partition("x")
    if not (x and width.isdigit() and height.isdigit()):
        raise UsageError(f"--size is WIDTHxHEIGHT in px, such as 640x480; found {text!r}")
    return int(width), int(height)


def _demo(args: argparse.Namespace, console: Console) -> int:
    if args.open:
        from aumer.cli.options import require_web

        require_web("the page", "view")
    from aumer import demo

    film = expanded(args.output or demo.FOLDER) / demo.FILM
    if args.open and film.is_file() and not args.overwrite:
        console.note(f"{film} is there already and is shown; --overwrite makes it again")
        return _show(film, console)
    jobs = {"film": "filming", "spot": "spotting"}
    begun: set[str] = set()

    def progress(what: str, done: int, of: int) -> None:
        if what not in begun:
            begun.add(what)
            console.start(jobs[what])
        console.progress(done, of)

    report = demo.run(
        seed=args.seed,
        folder=args.output,
        overwrite=args.overwrite,
        progress=progress,
    )
    console.finish()
    console.data(demo.format_report(report) + "\n")
    return _show(report.video, console) if args.open else EXIT_OK


def _show(film: Path, console: Console) -> int:
    """Show the demo's film, result and truth on the page of `aumer view`."""
    from aumer.cache import default_folder
    from aumer.cli.view import serve
    from aumer.view.shown import gather

    serve(gather([film], fps=None, cache=default_folder()), console)
    return EXIT_OK
