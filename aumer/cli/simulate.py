"""`aumer simulate` and `aumer demo`: data whose expressions are known exactly."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from aumer.simulate.features import SimulatedVideo
    from aumer.simulate.timeline import Timeline
    from aumer.simulate.video import Nuisance


def add_parsers(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``simulate features``, ``simulate video`` and ``demo`` to the command's parsers."""
    parser = commands.add_parser(
        "simulate",
        help="make features or videos whose expressions are known exactly",
        description="Makes data whose every onset, apex and offset is known: durations, action "
        "units and rates follow CAS(ME)^2 and SAMM-LV, or a table is replayed.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_features(actions, common)
    _add_video(actions, common)

    demo = commands.add_parser(
        "demo",
        parents=[common],
        help="film a simulated face for 20 seconds, spot in it, and compare with the truth",
        description="Films a simulated face for 20 seconds, spots in the film, prints truth beside "
        "prediction, and writes film, tables and timeline.",
    )
    demo.add_argument("--seed", type=int, default=0, help="draws the performance (default: 0)")
    demo.add_argument("-o", "--output", metavar="DIR", help="folder (default: ./aumer-demo)")
    demo.add_argument("--open", action="store_true", help="show picture and film when done")
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
    parser.add_argument("folder", metavar="DIR", help="where to write; made if it is missing")
    parser.add_argument("--subjects", type=int, default=10, help="default: 10")
    parser.add_argument("--videos", type=int, default=1, help="of each subject; default: 1")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each video; default: 3")
    parser.add_argument("--level", default="medium", help="easy, medium (default) or hard")
    parser.add_argument("--layout", default="aumer", help="aumer (default) or feature_segment")
    parser.add_argument(
        "--nuisance",
        action="append",
        metavar="NAME",
        help="only this nuisance (repeatable); 'none' for expressions alone; default: all",
    )
    _add_timeline(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.set_defaults(run=_features, parser=parser)


def _add_video(actions: Any, common: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "video",
        parents=[common],
        help="film a face that makes known expressions",
        description="Films a talking, blinking, swaying face that makes known expressions. Writes "
        "the film, and its truth beside it as STEM.csv; or, where OUT has no suffix, a data set in "
        "the folders and the workbook of CAS(ME)^2.",
    )
    parser.add_argument("out", metavar="OUT", help=".mp4, .mov, .mkv, .avi, or a new folder")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each film; default: 20")
    parser.add_argument("--fps", type=float, default=30.0, help="default: 30")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="default: 640x480")
    parser.add_argument(
        "--portrait", metavar="IMAGE", help="a neutral frontal face (default: NASA's astronaut)"
    )
    parser.add_argument(
        "--films", type=int, default=1, help="films of a data set (OUT without suffix); default: 1"
    )
    parser.add_argument("--codec", help="mp4v, MJPG or FFV1 (default: what the container holds)")
    parser.add_argument(
        "--no-nuisance", action="store_true", help="nothing moves but the expressions"
    )
    _add_timeline(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.set_defaults(run=_video, parser=parser)


def _add_timeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="draws everything (default: 0)")
    parser.add_argument(
        "--rate", type=float, metavar="N", help="expressions a minute (default: the data sets')"
    )
    parser.add_argument(
        "--table",
        metavar="CSV",
        help="replay its expressions: columns video_name, start_frame, apex_frame, end_frame, "
        "type_idx (1 macro, 2 micro), au; drawing options then say nothing",
    )
    parser.add_argument(
        "--table-fps", type=float, metavar="N", help="frames a second that the table counts in"
    )
    parser.add_argument(
        "--lengths", metavar="CSV", help="with --table: frames of each video (video, n_frames)"
    )


def _replayed(args: argparse.Namespace) -> dict[str, Timeline] | None:
    """The table's performances by video, or `None` where they are to be drawn."""
    if args.table is None:
        if args.table_fps is not None or args.lengths is not None:
            raise UsageError("--table-fps and --lengths go with --table")
        return None
    from aumer.simulate import timeline

    if args.table_fps is None:
        raise UsageError(
            "--table needs --table-fps: the frames a second that its frames count in "
            "(30 for CAS(ME)^2, 25 for the published SAMM-LV table)"
        )
    lengths = timeline.read_lengths(args.lengths) if args.lengths else None
    rows = timeline.read_table(args.table)
    return timeline.replay(rows, args.table_fps, seed=args.seed, lengths=lengths)


def _features(args: argparse.Namespace, console: Console) -> int:
    from aumer.simulate import features, nuisance

    names = args.nuisance or nuisance.USUAL
    videos = features.simulate_features(
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
    import numpy as np

    from aumer.files import check_target
    from aumer.simulate import timeline, video

    out = Path(args.out)
    size = _size(args.size)
    nuisance: Nuisance = video.Nuisance.none() if args.no_nuisance else video.Nuisance()
    if args.films < 1:
        raise UsageError(f"--films must be 1 or more; found {args.films}")
    performances = _replayed(args) or {
        f"film{number:02d}": timeline.draw(
            np.random.default_rng([args.seed, number]), args.seconds, rate_per_min=args.rate
        )
        for number in range(args.films)
    }
    if not out.suffix:
        # Every film is a clip of one code of one subject, as in CAS(ME)^2's names: 15_0101name.
        named = {
            (number + 1, f"0101{''.join(filter(str.isalnum, name))}"): performance
            for number, (name, performance) in enumerate(performances.items())
        }
        console.start(f"filming {len(named)} videos into {out}")
        video.write_casme_sq_layout(
            out,
            named,
            portrait=args.portrait,
            fps=args.fps,
            size=size,
            nuisance=nuisance,
            seed=args.seed,
        )
        console.finish()
        console.data(f"{out}\n")
        return EXIT_OK
    if len(performances) > 1:
        raise UsageError(
            f"{out} holds one film, and there are {len(performances)}; for a data set give a "
            "folder's name, without a suffix"
        )
    (performance,) = performances.values()
    truth = out.with_suffix(".csv")
    for target in (out, truth):
        check_target(target, overwrite=args.overwrite)
    console.start(f"filming {out}")
    video.write_video(
        out,
        performance,
        portrait=args.portrait,
        fps=args.fps,
        size=size,
        nuisance=nuisance,
        seed=args.seed,
        codec=args.codec,
        overwrite=args.overwrite,
        progress=console.progress,
    )
    video.write_truth(truth, performance, args.fps, file=out.name, overwrite=args.overwrite)
    console.finish()
    console.data(f"{out}\n{truth}\n")
    return EXIT_OK


def _size(text: str) -> tuple[int, int]:
    width, x, height = text.lower().partition("x")
    if not (x and width.isdigit() and height.isdigit()):
        raise UsageError(f"--size is WIDTHxHEIGHT in px, such as 640x480; found {text!r}")
    return int(width), int(height)


def _demo(args: argparse.Namespace, console: Console) -> int:
    from aumer import demo

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
        open_=args.open,
        overwrite=args.overwrite,
        progress=progress,
    )
    console.finish()
    console.data(demo.format_report(report) + "\n")
    return EXIT_OK
