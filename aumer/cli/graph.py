"""`aumer graph`: list, show, check and build graphs over facial ROIs."""

from __future__ import annotations

import argparse
import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.cli.options import Appending
from aumer.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from aumer.graph import AUGraph
    from aumer.types import Annotation

#: Edges that are printed unless all are requested.
_EDGES_SHOWN = 20


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``graph list``, ``show``, ``check`` and ``build`` to the command's parsers."""
    parser = commands.add_parser(
        "graph",
        help="list, draw, check or build the AU graphs that networks read",
        description="Graphs over facial ROIs, weighted by how action units occur together. GRAPH "
        "is a name that `aumer graph list` prints, or a file (.json, or a .npy matrix).",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", parents=[common], help="the graphs that ship with aumer")
    listing.set_defaults(run=_list, parser=listing)

    show = actions.add_parser(
        "show",
        parents=[common],
        help="print a graph, or draw it on a face",
        description="Prints ROIs, origin and the strongest edges of a graph; -o draws it on a "
        "face, edges as wide as their weights.",
    )
    show.add_argument("graph", metavar="GRAPH")
    show.add_argument("-o", "--output", metavar="FILE", help="draw it: .png, .pdf or .svg")
    show.add_argument(
        "--normalization",
        default="none",
        metavar="NAME",
        help="weights as a network reads them: l1-rows, symmetric or none (raw, the default)",
    )
    show.add_argument("--all", action="store_true", help="print every edge")
    show.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    show.set_defaults(run=_show, parser=show)

    check = actions.add_parser(
        "check",
        parents=[common],
        help="check whether a file holds a valid graph, and warn of oddities",
        description="Exit code 0 if the file holds a graph that a network can read, with a line "
        "for whatever is odd; 2 with the fault if not.",
    )
    check.add_argument("graph", metavar="GRAPH")
    check.set_defaults(run=_check, parser=check)

    _add_build(actions, common)


def _add_build(actions: Any, common: argparse.ArgumentParser) -> None:
    build = actions.add_parser(
        "build",
        parents=[common],
        help="count a graph from annotation tables",
        description="Counts in annotated expressions which ROIs action units move together. "
        "Unreadable rows of a table are listed on stderr.",
        epilog="Example: aumer graph build --dataset casme-sq --table CAS\\(ME\\)2code_final.xlsx "
        "--kind micro --exclude-subject s15 -o mine.json",
    )
    build.add_argument(
        "--dataset",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME",
        help="data set of the table, as `aumer data` knows it (casme-sq, samm-lv, auwgcn-csv, ...)",
    )
    build.add_argument("--set", dest="sets", action=_Renamed, help=argparse.SUPPRESS)
    build.set_defaults(renamed=False)
    build.add_argument(
        "--table",
        dest="tables",
        action="append",
        required=True,
        metavar="PATH",
        help="its workbook or CSV; repeat --dataset and --table to count several together",
    )
    build.add_argument("--kind", choices=("micro", "macro"), help="count only these")
    build.add_argument(
        "--map", default="facs", metavar="NAME", help="AUs to ROIs: facs (default) or published"
    )
    build.add_argument(
        "--weighting",
        default="counts",
        metavar="NAME",
        help="counts (default), conditional, lift or binary",
    )
    build.add_argument(
        "--threshold", type=float, default=0.2, help="of --weighting binary; default: 0.2"
    )
    build.add_argument(
        "--exclude-subject",
        dest="excluded",
        action="append",
        default=[],
        metavar="NAME",
        help="leave a test subject out (repeatable)",
    )
    build.add_argument("--name", help="of the graph (default: the file's)")
    build.add_argument("-o", "--output", metavar="FILE", help=".json (default: print it)")
    build.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    build.set_defaults(run=_build, parser=build)


class _Renamed(Appending):
    """The former name of an option, accepted for one release with a note."""

    def destination(self, namespace: argparse.Namespace, values: Any) -> str:
        namespace.renamed = True
        return self.dest


def _list(args: argparse.Namespace, console: Console) -> int:
    from aumer import registry
    from aumer.graph import AUGraph

    names = registry.names("graph")
    width = max(map(len, names), default=0)
    for name in names:
        graph = AUGraph.load(name)
        source = graph.source
        origin = "+".join(t["file"] for t in source.get("tables", ())) or source.get("made", "")
        rows = f"{source['rows_used']} rows, " if "rows_used" in source else ""
        console.data(f"{name:{width}}  {len(graph)} ROIs, {rows}{origin}, {graph.digest[:12]}\n")
    return EXIT_OK


def _show(args: argparse.Namespace, console: Console) -> int:
    from aumer.graph import AUGraph

    graph = AUGraph.load(args.graph)
    if args.output is not None:
        from aumer.results.graph_plot import plot_graph

        plot_graph(
            graph,
            normalization=args.normalization,
            path=args.output,
            overwrite=args.overwrite,
        )
        console.data(f"{args.output}\n")
        return EXIT_OK
    facts = {
        "name": graph.name,
        "digest": graph.digest,
        "ROIs": graph.rois,
        "normalization": args.normalization,
        **graph.source,
    }
    width = max(map(len, facts))
    lines = [f"{key:{width}}  {_text(value)}" for key, value in facts.items()]
    console.data("\n".join([*lines, "", *_edge_lines(graph, args.normalization, args.all), ""]))
    return EXIT_OK


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ("; " if isinstance(next(iter(value), ""), dict) else ", ").join(
            map(_text, value)
        ) or "-"
    return str(value)


def _edge_lines(graph: AUGraph, normalization: str, everything: bool) -> list[str]:
    from aumer.graph import AUGraph

    shown = AUGraph(graph.rois, graph.normalized(normalization))
    edges = shown.edges()
    if not shown.directed:
        order = {roi: k for k, roi in enumerate(graph.rois)}
        edges = {(a, b): w for (a, b), w in edges.items() if order[a] <= order[b]}
    ranked = sorted(edges.items(), key=lambda e: -e[1])
    count = len(ranked) if everything else _EDGES_SHOWN
    arrow = "->" if shown.directed else "--"
    width = max(map(len, graph.rois))
    lines = [f"{a:>{width}} {arrow} {b:<{width}}  {w:.4g}" for (a, b), w in ranked[:count]]
    if len(ranked) > count:
        lines.append(f"... and {len(ranked) - count} weaker; --all prints them")
    return lines or ["no edge"]


def _check(args: argparse.Namespace, console: Console) -> int:
    from aumer.graph import AUGraph
    from aumer.graph.rois import DEFAULT_ROIS, LANDMARK_NAMES

    graph = AUGraph.load(args.graph)
    edges = sum(a != b for a, b in graph.edges())
    kind = "directed" if graph.directed else "undirected"
    console.data(
        f"{graph.name}: {len(graph)} ROIs, {edges if graph.directed else edges // 2} {kind} "
        f"edges, digest {graph.digest}\n"
    )
    odd = []
    if lonely := graph.unconnected():
        odd.append(f"no edge joins {', '.join(lonely)} to another ROI")
    if silent := [roi for roi, row in zip(graph.rois, graph.weights, strict=True) if not row.any()]:
        odd.append(
            f"{', '.join(silent)} take nothing, not even from themselves: under l1-rows a network "
            "does not see their motion (symmetric adds self-loops)"
        )
    if unknown := [roi for roi in graph.rois if roi not in LANDMARK_NAMES]:
        odd.append(f"{', '.join(unknown)} are no landmarks' names: aumer measures no such ROI")
    elif graph.rois != DEFAULT_ROIS.names:
        odd.append(
            "not the 12 published ROIs: features need the setting motion.rois = "
            f'"{" ".join(graph.rois)}"'
        )
    console.data("".join(f"note: {line}\n" for line in odd))
    return EXIT_OK


def _build(args: argparse.Namespace, console: Console) -> int:
    from aumer.data import read_table
    from aumer.files import check_target
    from aumer.graph import AUGraph, au

    if args.renamed:
        console.note(
            "--set is called --dataset now, and is refused from the next release on: in all other "
            "commands --set PATH=VALUE changes a setting"
        )
    if len(args.sets) != len(args.tables):
        raise UsageError(
            "each --table needs a --dataset, which names its layout, such as --dataset own; found "
            f"{len(args.tables)} tables and {len(args.sets)} data sets"
        )
    if args.output is not None:
        if Path(args.output).suffix != ".json":
            raise UsageError(f"a graph is saved as .json; found {args.output}")
        check_target(args.output, overwrite=args.overwrite)
    annotations: list[Annotation] = []
    for name, table in zip(args.sets, args.tables, strict=True):
        rows = read_table(name, table)
        for refused in au.read_annotations(rows)[1]:
            console.note(f"{table}, {refused}")
        annotations += rows
    graph = AUGraph.from_annotations(
        annotations,
        exclude_subjects=args.excluded,
        kind=args.kind,
        au_map=args.map,
        weighting=args.weighting,
        threshold=args.threshold,
        name=args.name or (Path(args.output).stem if args.output else "mine"),
    )
    tables = [
        {
            "set": name,
            "file": Path(table).name,
            "sha256": hashlib.sha256(Path(table).read_bytes()).hexdigest(),
        }
        for name, table in zip(args.sets, args.tables, strict=True)
    ]
    source = {"command": _command(args), "tables": tables, **graph.source}
    graph = AUGraph(graph.rois, graph.weights, graph.name, source)
    if lonely := graph.unconnected():
        console.note(f"no edge joins {', '.join(lonely)} to another ROI")
    if args.output is None:
        console.data(graph.to_json())
        return EXIT_OK
    graph.save(args.output, overwrite=args.overwrite)
    console.data(f"{args.output}\n")
    return EXIT_OK


def _command(args: argparse.Namespace) -> str:
    """The command that builds the same graph, for the graph's description."""
    words = ["aumer", "graph", "build"]
    for name, table in zip(args.sets, args.tables, strict=True):
        words += ["--dataset", name, "--table", Path(table).name]
    if args.kind:
        words += ["--kind", args.kind]
    words += ["--map", args.map, "--weighting", args.weighting]
    if args.weighting == "binary":
        words += ["--threshold", str(args.threshold)]
    for subject in args.excluded:
        words += ["--exclude-subject", subject]
    if args.name:
        words += ["--name", args.name]
    if args.output:
        words += ["-o", Path(args.output).name]
    return shlex.join(words)
