"""`aumer bench`: scores with the rules by which they were counted. See also `bench_run`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aumer.cli import bench_run, bench_study, bench_submission
from aumer.cli.console import Console
from aumer.cli.options import IOU, POSITIVE, seed, whole
from aumer.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from aumer.evaluation.rows import SpottingSettings, Truth
    from aumer.evaluation.spotting import SpottingReport
    from aumer.scoring import Rows
    from aumer.tables.intervals import IntervalTable
    from aumer.tables.reading import IntervalReading

#: Name of aumer's evaluator, and the word for all evaluators.
OURS = "aumer"
ALL = "all"
#: For evaluators that divide by the number of truths in the file.
OF_FILE = "the truths of the file"
#: Shown instead of 0 / 0.
UNDEFINED = "undefined"


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``bench score``, ``bench PROTOCOL`` and further actions to the command's parsers."""
    parser = commands.add_parser(
        "bench",
        help="run a benchmark, or score predictions by named rules",
        description="Runs a benchmark, or scores spotted expressions against annotated ones, and "
        "prints the rules beside the score. `aumer bench PROTOCOL` runs a protocol.",
    )
    actions = parser.add_subparsers(
        metavar="PROTOCOL|ACTION", required=True, action=bench_run.Actions
    )
    bench_run.add_parsers(actions, common)
    bench_study.add_parser(actions, common)
    bench_submission.add_parser(actions, common)
    _add_score(actions, common)
    readers = actions.add_parser(
        "readers",
        parents=[common],
        help="the file formats of `aumer bench score`",
        description="Prints the readers of files of intervals by name.",
    )
    readers.set_defaults(run=_readers, parser=readers)


def _readers(args: argparse.Namespace, console: Console) -> int:
    from aumer import registry
    from aumer.tables.reading import reader_of

    names = registry.names("reader")
    width = max(map(len, names))
    console.data("".join(f"{name.ljust(width)}  {reader_of(name).what}\n" for name in names))
    return EXIT_OK


def _add_score(actions: Any, common: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "score",
        parents=[common],
        help="score a file of predictions by aumer's rules or those of published evaluators",
        description="Scores predictions against truths: TP, FP, FN and F1 of macro- and micro-"
        "expressions and of both. Files are tables (CSV, tab-separated or .xlsx) or JSON with "
        "video, kind, onset, offset (frames; or onset_s, offset_s) and, if wanted, subject, apex, "
        "score, label, fps; also by the names of MEGC submissions (vid, pred_onset, pred_offset, "
        "type), AUW-GCN's tables, labels for training (file, kind none) and what aumer itself "
        "writes. Text without a header, lists in JSON, MATLAB's and numpy's masks and folders with "
        "a file for each video are read, too (`aumer bench readers`). Intervals hold both ends, "
        "unless said otherwise.",
        epilog="Published evaluators keep their own rules, whatever the options say.",
    )
    parser.add_argument("predictions", metavar="PREDICTIONS", help="file of spotted expressions")
    parser.add_argument("truth", metavar="TRUTH", help="file of annotated expressions")
    parser.add_argument(
        "--also",
        nargs=2,
        action="append",
        default=[],
        metavar=("PREDICTIONS", "TRUTH"),
        help="further files of the same videos, such as those of the other kind (repeatable)",
    )
    parser.add_argument(
        "--evaluator",
        default=OURS,
        metavar="NAME",
        help="aumer (default), all, megc2020, abpn, auwgcn-2023, auwgcn-2025, softnet, mean, "
        "sl-swin, lgsnet, spotformer, mult, strs-official or strs-official-1",
    )
    parser.add_argument(
        "--videos",
        metavar="FILE",
        help="CSV of all evaluated videos (video and, if wanted, subject, fps); without it a video "
        "with neither truth nor prediction is not known",
    )
    parser.add_argument("--fps", type=POSITIVE, metavar="N", help="frame rate, for errors in ms")
    _add_reading(parser)
    _add_rules(parser.add_argument_group("rules of aumer's evaluator"))
    _add_more(parser.add_argument_group("more about aumer's score"))
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(run=_score, parser=parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add options for reading files that do not state their layout."""
    group = parser.add_argument_group(
        "what files do not say", "Readers and what they read: `aumer bench readers`."
    )
    for what in ("predictions", "truth"):
        names = [f"--{what}-reader", *(["--reader"] if what == "predictions" else [])]
        group.add_argument(
            *names, metavar="NAME", help=f"what reads the {what} (default: told by the file)"
        )
        group.add_argument(
            f"--{what}-first-frame",
            type=int,
            choices=(0, 1),
            help=f"what the {what} call the first frame (default: 0; lists in .mat: 1)",
        )
        group.add_argument(
            f"--{what}-offset",
            metavar="WORD",
            help="included (default), or excluded: it is the first frame behind the interval",
        )
        group.add_argument(
            f"--{what}-unit",
            metavar="WORD",
            help="frames (fractions are rounded) or seconds, where no column says it",
        )
        group.add_argument(
            f"--{what}-columns",
            metavar="NAME,NAME",
            help="names of columns that have none, such as video,onset,offset,kind",
        )
        group.add_argument(
            f"--{what}-kind", metavar="WORD", help="micro or macro, of all rows of such a file"
        )
    group.add_argument(
        "--unplaced",
        metavar="WORD",
        default="refuse",
        help="refuse (default) predictions of unknown videos and such as end before they begin; or "
        "drop them, those outside their video and duplicates. How many of each is said",
    )


def _reading(args: argparse.Namespace, what: str) -> IntervalReading:
    from aumer.tables.reading import IntervalReading

    given = {
        name: getattr(args, f"{what}_{name}")
        for name in ("reader", "first_frame", "offset", "unit", "columns", "kind")
    }
    if given["columns"] is not None:
        given["columns"] = tuple(name.strip() for name in given["columns"].split(","))
    return IntervalReading(**{name: value for name, value in given.items() if value is not None})


def _add_rules(rules: Any) -> None:
    rules.add_argument("--iou", type=IOU, help="overlap of a hit (default: 0.5)")
    rules.add_argument(
        "--comparison", metavar="OP", help="whether the IoU must be '>=' (default) or '>' than that"
    )
    rules.add_argument(
        "--ends", metavar="WORD", help="intervals with closed (default) or open ends"
    )
    rules.add_argument(
        "--missing-offset",
        metavar="WORD",
        help="refuse (default), drop, unmatchable, apex, apex+20, onset+20 or mirror",
    )
    rules.add_argument(
        "--videos-without-truth",
        metavar="WORD",
        help="keep (default) or drop the predictions in videos without a truth of their kind",
    )
    rules.add_argument("--expect-macro", type=int, metavar="N", help="refuse other denominators")
    rules.add_argument("--expect-micro", type=int, metavar="N", help="refuse other denominators")


def _add_more(more: Any) -> None:
    more.add_argument("--iou-sweep", action="store_true", help="F1 at IoU 0.2 to 0.7")
    more.add_argument("--per-subject", action="store_true", help="counts and F1 of each subject")
    more.add_argument(
        "--errors", action="store_true", help="onset, apex and offset errors of the true positives"
    )
    more.add_argument(
        "--bootstrap",
        type=whole,
        metavar="N",
        help="95 %% intervals from N resamples of the subjects",
    )
    more.add_argument("--seed", type=seed, default=0, help="of the resamples (default: 0)")
    more.add_argument(
        "--against",
        metavar="PREDICTIONS",
        help="with --bootstrap: the difference to another method's predictions",
    )
    more.add_argument(
        "--strs",
        action="store_true",
        help="the spot-then-recognize score of the micro-expressions; needs labels",
    )


def _settings(args: argparse.Namespace) -> SpottingSettings:
    from aumer.evaluation.rows import SpottingSettings

    names = (
        "iou",
        "comparison",
        "ends",
        "missing_offset",
        "videos_without_truth",
        "expect_macro",
        "expect_micro",
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if given and args.evaluator not in (OURS, ALL):
        option = "--" + next(iter(given)).replace("_", "-")
        raise UsageError(
            f"{option} applies to the evaluator aumer alone, and --evaluator is "
            f"{args.evaluator}: leave "
            f"one of them out"
        )
    return SpottingSettings(**given)


def _score(args: argparse.Namespace, console: Console) -> int:
    from aumer import registry, scoring

    if args.against is not None and args.bootstrap is None:
        raise UsageError(
            "--against compares by bootstrap: give --bootstrap N, such as --bootstrap 1000"
        )
    if args.evaluator not in (OURS, ALL):
        registry.resolve("evaluator", args.evaluator)
        wanted = ("iou_sweep", "per_subject", "errors", "bootstrap", "strs")
        asked = [name for name in wanted if getattr(args, name)]
        if asked:
            raise UsageError(
                f"--{asked[0].replace('_', '-')} applies to the evaluator aumer alone, and "
                "--evaluator "
                f"is {args.evaluator}: leave one of them out"
            )
    settings = _settings(args)
    files = [(args.predictions, args.truth), *args.also]
    rows = scoring.rows(
        [predictions for predictions, _ in files],
        [truth for _, truth in files],
        videos=args.videos,
        fps=args.fps,
        predictions_reading=_reading(args, "predictions"),
        truth_reading=_reading(args, "truth"),
        unplaced=args.unplaced,
    )
    found, report = _evaluated(args, rows, settings)
    out: dict[str, Any] = {
        "predictions": args.predictions,
        "truth": args.truth,
        "also": args.also,
        "read": {what: list(map(_read_as, tables)) for what, tables in rows.read.items()},
        "placement": rows.placement.to_dict(),
        "evaluators": found,
    }
    sections = [_side_by_side(found), _as_read(rows)]
    if report is not None:
        sections += _more_of(args, report, rows.truths, out)
    if report is not None and args.strs:
        out["strs"], text = _strs(rows, settings)
        sections.append(text)
    console.data(json.dumps(out, indent=1) + "\n" if args.json else "\n".join(sections))
    return EXIT_OK


def _evaluated(
    args: argparse.Namespace, rows: Rows, settings: SpottingSettings
) -> tuple[list[dict[str, Any]], SpottingReport | None]:
    """The reports of all requested evaluators, and aumer's own if requested."""
    import aumer
    from aumer.scoring import evaluators

    ours: SpottingReport | None = None
    found: list[dict[str, Any]] = []
    given = rows.predictions, rows.truths
    for name in evaluators() if args.evaluator == ALL else [args.evaluator]:
        if name == OURS:
            ours = aumer.evaluate(*given, videos=rows.videos, settings=settings)
            found.append(ours.to_dict())
            continue
        try:
            report = aumer.evaluate(*given, videos=rows.videos, evaluator=name)
        except UsageError as error:
            if args.evaluator != ALL:
                raise
            found.append({"evaluator": name, "refused": str(error)})
        else:
            found.append({**report.to_dict(), "evaluator": name})
    return found, ours


def _more_of(
    args: argparse.Namespace,
    report: SpottingReport,
    truths: Sequence[Truth],
    out: dict[str, Any],
) -> list[str]:
    """The requested tables of aumer's report; their JSON values are added to `out`."""
    from aumer.evaluation.spotting import evaluate
    from aumer.evaluation.tables import read_predictions

    sections = []
    if args.iou_sweep:
        sections.append(_sweep(report))
    if args.per_subject:
        table = report.per_subject()
        # NaN (no truths and predictions) is not valid JSON.
        lines = [[None if v != v else v for v in row] for row in table.to_numpy().tolist()]
        out["per_subject"] = [dict(zip(table.columns, line, strict=True)) for line in lines]
        sections.append(_table([list(table.columns), *lines]))
    if args.errors:
        sections.append(_errors(report))
    if args.bootstrap is not None:
        other = None
        if args.against is not None:
            reading = _reading(args, "predictions")
            rows = read_predictions(
                args.against, reading=reading, videos=report.videos, fps=args.fps
            )
            other = evaluate(rows, truths, report.videos, report.settings)
        out["bootstrap"], text = _bootstrap(args, report, other)
        sections.append(text)
    return sections


def _read_as(table: IntervalTable) -> dict[str, Any]:
    """How a file was read, as plain values."""
    return {
        "path": str(table.path),
        "reader": table.reader,
        "columns": dict(table.columns),
        "unit": table.unit,
        "first_frame": table.first_frame,
        "offset": table.offset,
        "rows": len(table),
        "notes": list(table.notes),
    }


def _as_read(rows: Rows) -> str:
    """How files were read, as lines, with predictions that do not fit the videos."""
    lines = [
        f"{what}: {'; or '.join(dict.fromkeys(table.describe() for table in tables))}"
        for what, tables in rows.read.items()
        if tables
    ]
    return "\n".join([*lines, rows.placement.describe()]) + "\n"


# -- tables ---------------------------------------------------------------------------------------


def _table(rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table with aligned columns; numbers on the right."""
    cells = [[_cell(c) for c in row] for row in rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    right = [
        all(row[k] is None or isinstance(row[k], (int, float)) for row in rows[1:])
        for k in range(len(widths))
    ]

    def line(row: Sequence[str]) -> str:
        padded = (
            c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
        )
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(
        "-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)
    )
    return "\n".join([line(cells[0]), rule + "|", *map(line, cells[1:])]) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return UNDEFINED
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _side_by_side(found: Sequence[dict[str, Any]]) -> str:
    kinds = ("macro", "micro", "overall")
    rows: list[list[Any]] = [
        [
            "evaluator",
            *(head for kind in kinds for head in (f"{kind} TP/FP/FN", "F1")),
            "left out",
            "rules",
        ]
    ]
    for one in found:
        if "refused" in one:
            rows.append([one["evaluator"], *["-"] * 7, one["refused"]])
            continue
        row = [one["evaluator"]]
        for kind in kinds:
            s = one["scores"][kind]
            # Not 0, which would mean that everything was missed.
            f1 = s["f1"] if s["truths"] or s["predictions"] else None
            row += [f"{s['tp']}/{s['fp']}/{s['fn']}", UNDEFINED if f1 is None else f"{f1:.4f}"]
        dropped = {what: one.get(f"dropped_{what}", 0) for what in ("truths", "predictions")}
        left = ", ".join(f"{n} {what}" for what, n in dropped.items() if n) or "nothing"
        rows.append([*row, left, _rules(one)])
    return _table(rows)


#: Rules besides the matching that aumer's and published evaluators have.
_USUAL = ("ends", "missing_offset", "videos_without_truth")


def _rules(one: dict[str, Any]) -> str:
    s = one["settings"]
    if not s.keys() >= {"matching", "iou", "comparison", *_USUAL}:
        return "; ".join(f"{name.replace('_', ' ')}: {rule}" for name, rule in s.items())
    said = [
        s["matching"],
        f"IoU {s['comparison']} {s['iou']:g}",
        f"{s['ends']} ends",
        f"missing offset: {s['missing_offset']}",
        f"videos without truth: {s['videos_without_truth']}",
    ]
    if s.get("silent_subjects") == "drop":
        said.append("subjects without predictions: drop")
    if s.get("silent_videos", "none") != "none":
        said.append(f"videos without predictions: one, {s['silent_videos']}")
    if s.get("one_frame") == "drop":
        said.append("intervals of one frame match nothing")
    if s.get("denominators", OF_FILE) != OF_FILE:
        said.append(f"truths whatever the file has: {s['denominators']}")
    if "second_f1" in one["scores"]["overall"]:
        kinds = ("macro", "micro", "overall")
        seconds = " / ".join(f"{one['scores'][kind]['second_f1']:.4f}" for kind in kinds)
        said.append(f"its second block, 2 found / (predictions + truths): {seconds}")
    return "; ".join(said)


def _sweep(report: SpottingReport) -> str:
    from aumer.evaluation.interface import ROWS, ratios
    from aumer.evaluation.spotting import SWEEP

    rows: list[list[Any]] = [["F1 at IoU", *(f"{iou:g}" for iou in SWEEP)]]
    for name, kind in ROWS:
        rows.append([name, *(ratios(counts)[2] for counts in report.sweep(kind).values())])
    return _table(rows)


def _errors(report: SpottingReport) -> str:
    from aumer.evaluation.interface import ROWS

    rows: list[list[Any]] = [["error", "of", "unit", "pairs", "bias", "mean abs.", "median abs."]]
    for name, kind in ROWS:
        for unit in ("frames", "ms"):
            for what, e in report.boundary_errors(kind, unit=unit).items():
                figures = (e.bias, e.mae, e.median)
                if e.pairs:
                    rows.append([what, name, unit, e.pairs, *(f"{v:.1f}" for v in figures)])
    return _table(rows) if len(rows) > 1 else "no true positive whose ends could be compared\n"


def _bootstrap(
    args: argparse.Namespace, report: SpottingReport, other: SpottingReport | None
) -> tuple[dict[str, Any], str]:
    from aumer.evaluation.interface import ROWS, ratios

    options = {"replicates": args.bootstrap, "seed": args.seed}
    out: dict[str, Any] = {}
    rows: list[list[Any]] = [["F1", "value", "95 % from", "to"]]
    for name, kind in ROWS:
        e = report.bootstrap(kind, **options)
        found = ratios(report.counts(kind))[2] is not None
        out[name] = e.to_dict() if found else None
        rows.append([name, *((e.value, e.low, e.high) if found else [None] * 3)])
    text = _table(rows)
    if other is not None:
        out["against"] = {"predictions": args.against}
        rows = [["F1 minus that of " + args.against, "value", "95 % from", "to", "p"]]
        for name, kind in ROWS:
            d = report.compare(other, kind, **options)
            out["against"][name] = d.to_dict()
            rows.append([name, d.value, d.low, d.high, d.p])
        text += "\n" + _table(rows)
    note = f"{args.bootstrap} resamples of {len(report.subjects)} subjects, seed {args.seed}\n"
    return out, text + note


def _strs(rows: Rows, settings: SpottingSettings) -> tuple[dict[str, Any], str]:
    from aumer.evaluation.legacy import STRS, STRS_FIRST, strs_official
    from aumer.evaluation.strs import evaluate_strs

    given = rows.predictions, rows.truths, rows.videos
    ours = evaluate_strs(*given, settings)
    official = {name: strs_official(*given, release=name) for name in (STRS, STRS_FIRST)}
    recognition = ours.recognition
    table: list[list[Any]] = [
        ["evaluator", "STRS", "spotting F1", "recognition F1", "UF1", "UAR"],
        [
            OURS,
            ours.strs,
            ours.spotting_f1,
            ours.recognition_f1,
            recognition.uf1 if recognition else 0.0,
            recognition.uar if recognition else 0.0,
        ],
        *([name, o.strs, o.spotting.f1, o.f1, o.uf1, o.uar] for name, o in official.items()),
    ]
    text = _table(table) + "of micro-expressions; the official UAR is a mean of precisions\n"
    return {OURS: ours.to_dict(), **{name: o.to_dict() for name, o in official.items()}}, text
