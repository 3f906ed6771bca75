"""Writes docs/reference/, the formats in docs/exchange.md, docs/evidence/selection.md, and pages of
docs/notebooks/.

    python docs/generate.py            # after a change of any of them
    python docs/generate.py --check    # exit code 1 if a page is stale
    python docs/generate.py --run      # docs/notebooks are run first, and their outputs kept

Python 3.11, which CI runs, as argparse lays its help out differently in others.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import os
import re
import sys
import tempfile
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

# Before a parser is made: help is wrapped to this width.
os.environ["COLUMNS"] = "100"

import aumer
import aumer.errors
from aumer._data import data_dir
from aumer.cli import command_parser
from aumer.config import Settings

PAGES = Path(__file__).resolve().parent / "reference"
NOTEBOOKS = PAGES.parent / "notebooks"
#: "    name (shape): what" of a section.
ENTRY = re.compile(r"    (?! )([\w*., ]+?)(?: (\(.*?\).*?))?: (.*)")
#: Sections of our docstrings.
SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields", "Shapes", "Example", "Source")


def commands() -> str:
    """Every command's own help."""
    lines = ["# Commands", "", "As `aumer COMMAND --help` prints them.", ""]
    for parser in _parsers(command_parser()):
        lines += [f"## {parser.prog}", "", "```text", parser.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in dict.fromkeys(action._name_parser_map.values()):
                yield from _parsers(one)


def settings() -> str:
    """What each setting is, and the file of defaults with its reasons."""
    lines = [
        "# Settings",
        "",
        "Defaults < `--config FILE` < `--set SECTION.NAME=VALUE`; in Python `settings=`. "
        "`aumer config show` prints those in force and where each comes from.",
        "",
    ]
    types = typing.get_type_hints(Settings)
    for field in dataclasses.fields(Settings):
        kind = types[field.name]
        if dataclasses.is_dataclass(kind):
            lines += [f"## {field.name}", "", *_prose(inspect.getdoc(kind) or ""), ""]
    defaults = (data_dir("configs") / "default.toml").read_text(encoding="utf-8")
    return "\n".join([*lines, "## Defaults", "", "```toml", defaults.rstrip(), "```", ""])


def api() -> str:
    """All of `aumer.__all__`."""
    lines = ["# Python API", "", "`import aumer`; everything is imported on first use.", ""]
    for name in sorted(aumer.__all__, key=str.lower):
        thing = getattr(aumer, name)
        lines += [f"## {name}", "", *_described(f"aumer.{name}", thing), ""]
        if inspect.isclass(thing):
            for member, own in _members(thing):
                lines += [f"### {name}.{member}", "", *_described(f"{name}.{member}", own), ""]
    return "\n".join(lines)


#: Calls whose texts a user reads: errors and what makes them, log lines, notes of the console.
_SAY = {
    *("ArgumentTypeError", "wrong", "require", "refuse", "fail"),
    *("warning", "error", "note", "NotImplementedError"),
}


def messages() -> str:
    """Every message to a user, by module, for reading them all aloud."""
    lines = [
        "# Messages",
        "",
        "Errors, warnings and notes that users read, by module. What stands in braces is filled in",
        "when the message is made. The page is for reviews: a message says what was wrong, what",
        "was found, what is allowed, and what to do.",
        "",
    ]
    package = Path(aumer.__file__).parent
    for path in sorted(package.rglob("*.py")):
        found = dict.fromkeys(_messages(ast.parse(path.read_text(encoding="utf-8"))))
        if found:
            lines += [f"## {path.relative_to(package).as_posix()}", ""]
            lines += [f"- {kind}: `{text}`" for kind, text in found]
            lines.append("")
    return "\n".join(lines)


def _messages(tree: ast.Module) -> Iterator[tuple[str, str]]:
    errors = {name for name in dir(aumer.errors) if name.endswith(("Error", "Unavailable"))}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = node.func
        call = named.attr if isinstance(named, ast.Attribute) else getattr(named, "id", "")
        if call not in errors and call not in _SAY:
            continue
        if call == "require" and len(node.args) == 4:  # of aumer.strict
            name, found, allowed = (_text(v) or _code(v) for v in node.args[1:])
            yield "require", f"{name} must be {allowed}; found {found}"
            continue
        values = [*node.args, *(k.value for k in node.keywords)]
        for value in (v for part in values for v in getattr(part, "elts", [part])):
            text = " ".join(_text(value).split()).replace("`", "'")
            if " " in re.sub(r"\{.*?\}", "", text).strip():
                yield call, text


def _text(node: ast.expr) -> str:
    """A text as it is written, with {expressions}; empty for what is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else _inserted(part)
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return (left or _code(node.left)) + (right or _code(node.right)) if left or right else ""
    if isinstance(node, ast.IfExp):
        return " | ".join(filter(None, (_text(node.body), _text(node.orelse))))
    return ""


def _code(node: ast.expr) -> str:
    return f"{{{ast.unparse(node)}}}"


def _inserted(part: ast.expr) -> str:
    return _code(part.value) if isinstance(part, ast.FormattedValue) else ""


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that the class itself documents."""
    for name, value in vars(cls).items():
        own = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        documented = isinstance(own, property) or inspect.isfunction(own)
        if not name.startswith("_") and documented and inspect.getdoc(own):
            yield name, own


def _described(name: str, thing: Any) -> list[str]:
    text = inspect.getdoc(thing) or ""
    if isinstance(thing, property):
        return _prose(text)
    try:
        signature = str(inspect.signature(thing))
    except (TypeError, ValueError):
        signature = ""
    # What a default's repr says of this machine says nothing to a reader.
    signature = re.sub(r"<[^<>]*>", "...", signature)
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)
    signature = re.sub(r"= RoiSet\(.*?\)\)", "= ...", signature)
    return ["```python", f"{name}{signature}", "```", "", *_prose(text)]


def _prose(text: str) -> list[str]:
    """A docstring as Markdown: its sections as bold words, their entries as lists."""
    lines: list[str] = []
    entries = example = False
    for line in text.splitlines():
        title = re.fullmatch(r"(\w+):", line)
        if example and (line.startswith("    ") or not line.strip()):
            lines.append(line[4:])  # a session of Python, as it was typed
            continue
        if example:
            lines += ["```", ""]
            example = False
        if title and title[1] in SECTIONS:
            lines += [f"**{title[1]}**", ""]
            entries = title[1] != "Example"
            if example := not entries:
                lines.append("```python")
        elif entries and (entry := ENTRY.match(line)):
            name, shape, what = entry.groups()
            lines.append(f"- `{name}`{f' {shape}' if shape else ''}: {what}")
        elif entries and line.startswith("    "):
            lines.append(f"  {line.strip()}" if lines[-1] else line.strip())
        else:
            entries = entries and not line.strip()
            lines.append(line)
    return [*lines, "```"] if example else lines


def formats() -> str:
    """The page on exchange, its table of formats made anew."""
    from aumer.results.exchange import annotation_ending
    from aumer.results.formats import table

    lines = ["| name ends in | for | holds | read back |", "|---|---|---|---|"]
    for endings, use, holds in table():
        names = ", ".join(f"`{end}`" for end in endings)
        read = "yes" if annotation_ending(f"x{endings[0]}") or endings == (".json",) else ""
        lines.append(f"| {names} | {use} | {holds} | {read} |")
    text = (PAGES.parent / "exchange.md").read_text("utf-8")
    before, _, rest = text.partition("<!-- formats -->\n")
    return f"{before}<!-- formats -->\n{chr(10).join(lines)}\n{rest[rest.index(chr(10) * 2) :][1:]}"


#: What is said of a figure whose publication nobody looked into.
NOT_AT_HAND = "not at hand"


def selection() -> str:
    """On what every published figure was chosen, and what such a choice is worth on our own run."""
    from aumer.bench.published import every_row, every_system

    systems = {one.name: one for one in every_system()}
    rows = every_row()
    lines = [
        "<!-- made of configs/published.toml and benchmarks/results/selection.json by "
        "docs/generate.py -->",
        "",
        "# Selection audit",
        "",
        "A figure is worth what it was chosen on. Where the epoch, or a threshold, is the one that",
        "is best on the subject that is tested, the figure is an upper bound and no estimate. This",
        "page says so of every figure in `configs/published.toml`, as far as it could be read;",
        'what could not be says "not at hand". None of it is a judgment of a method.',
        "",
        "## Systems",
        "",
        "| system | task | chosen on | verdict | denominators | evaluator | code | got by aumer "
        "| |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in systems.values():
        cells = (one.task, one.chosen, one.verdict, one.denominators, one.evaluator, one.code)
        lines.append(f"| **{one.name}** | {' | '.join(cells)} | {one.rederived} | {one.note} |")
    counted = Counter(one.verdict for one in systems.values())
    told = ", ".join(f"{n} {verdict}" for verdict, n in counted.most_common())
    lines += ["", f"{len(systems)} systems: {told}.", "", *_worth(), "", *_evaluators()]
    lines += ["", "## Every figure", ""]
    for benchmark in dict.fromkeys(row.benchmark for row in rows):
        lines += [
            f"### {benchmark}",
            "",
            "| method | figures | selection | evaluator | got by aumer | |",
            "|---|---|---|---|---|---|",
        ]
        for row in (r for r in rows if r.benchmark == benchmark):
            system = systems.get(row.system)
            figures = ", ".join(f"{k} {v:.4f}".rstrip("0") for k, v in row.figures.items())
            cells = (
                row.method,
                figures,
                row.selection,
                system.evaluator if system else NOT_AT_HAND,
                _rederived(row, system),
                row.note,
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _rederived(row: Any, system: Any) -> str:
    """Whether aumer gets the figure itself; F1 that follow from printed counts are made here."""
    if found := row.f1_of_counts():
        same = all(abs(found[k] - v) < 6e-5 for k, v in row.figures.items())
        made = ", ".join(f"{k} {v:.4f}" for k, v in found.items())
        return f"{'yes' if same else 'NO'}, from its counts: {made}"
    if row.selection == "nothing chosen":
        return "measured by us"
    return system.rederived if system else NOT_AT_HAND


def _worth() -> list[str]:
    """What test-subject selection is worth on our own run."""
    stored = PAGES.parent.parent / "benchmarks" / "results" / "selection.json"
    run = json.loads(stored.read_text("utf-8"))
    lines = [
        "## What it is worth",
        "",
        f"**{run['protocol']}**: simulated faces, no real one. Model {run['model']}, "
        f"{run['subjects']} subjects in {run['groups']} groups that are left out in turn, "
        f"{run['seeds']} seed, {run['epochs']} epochs. Trained once, scored twice: by the last "
        "epoch, and by the epoch of each group that is best on the group itself "
        f"({', '.join(map(str, run['chosen_epochs']))}).",
        "",
        "| F1 | last epoch | best epoch on the test subjects | difference |",
        "|---|---|---|---|",
    ]
    for kind in ("macro", "micro", "overall"):
        cells = [
            f"{v['value']:{sign}.4f} [{v['low']:{sign}.4f}, {v['high']:{sign}.4f}]"
            for key, sign in (("fixed", ""), ("oracle", ""), ("gain", "+"))
            for v in (run[kind][key],)
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "In brackets 95 % intervals over resampled subjects, of the difference over the same "
        "resamples. Nothing is better about the second column: the networks are the same. Papers "
        "choose for each subject, not for groups of four or five, and some a threshold, too; both "
        "are worth more than this. On the images of MEGC 2019 the best test epoch of each fold "
        "adds .10 to .12 UF1 (field notes), and on CAS(ME)^2 the best of 20 epochs has taken .464 "
        "to .638 with synthetic predictions.",
        "",
        "```bash",
        run["command"],
        "python -m benchmarks.studies.selection runs/oracle --save",
        "```",
    ]


def _evaluators() -> list[str]:
    """What each evaluator makes of the same made-up rows, in which they differ."""
    from aumer.evaluation import legacy, spotting
    from aumer.evaluation.rows import PredictedInterval, Truth

    # Onset and offset, by video: predictions, then truths.
    cases: dict[str, dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]]] = {
        "one over two": {"v": ([(0, 19)], [(0, 9), (10, 19)])},
        "two on one": {"v": ([(0, 90), (0, 80)], [(0, 100)])},
        "broad one first": {"v": ([(20, 119), (0, 99)], [(0, 99), (40, 139)])},
        "only one taken": {"v": ([(30, 100), (0, 50)], [(0, 90), (20, 120)])},
        "half, and a video without truth": {"v": ([(0, 4)], [(0, 9)]), "x": ([(0, 50)], [])},
        "nothing predicted": {"v": ([], [(0, 99)])},
    }
    lines = [
        "## Evaluators",
        "",
        "TP/FP/FN that each makes of the same made-up macro-expressions, in frames, ends included:",
        "",
    ]
    for name, case in cases.items():
        told = "; ".join(
            f"{video}: predicted {', '.join(f'{a}-{b}' for a, b in found) or 'nothing'}, "
            f"annotated {', '.join(f'{a}-{b}' for a, b in truth) or 'nothing'}"
            for video, (found, truth) in case.items()
        )
        lines.append(f"- **{name}**: {told}")
    lines += ["", f"| evaluator | of | {' | '.join(cases)} |", f"|---|---{'|---' * len(cases)}|"]
    for evaluator in ("aumer", *legacy.EVALUATORS):
        cells = []
        for case in cases.values():
            rows = [
                PredictedInterval("s", video, "macro", *span)
                for video, (found, _) in case.items()
                for span in found
            ]
            truths = [
                Truth("s", video, "macro", *span)
                for video, (_, truth) in case.items()
                for span in truth
            ]
            ours = evaluator == "aumer"
            report: Any = (spotting.evaluate if ours else legacy.find(evaluator))(rows, truths)
            counts = report.counts("macro")
            cells.append(f"{counts.tp}/{counts.fp}/{counts.fn}")
        what = "ours, one-to-one" if evaluator == "aumer" else legacy.find(evaluator).what
        lines.append(f"| {evaluator} | {what} | {' | '.join(cells)} |")
    return lines


def notebook(name: str) -> str:
    """A notebook with its outputs, as a page."""
    path = NOTEBOOKS / name
    lines = [f"<!-- made of {name} by docs/generate.py -->", ""]
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"]).rstrip()
        if cell["cell_type"] == "markdown":
            lines += [source, ""]
            if source.startswith("# "):
                lines += [f"This page is a notebook: [{name}]({name}).", ""]
            continue
        lines += ["```python", source, "```", ""]
        for output in cell["outputs"]:
            data = output.get("data", {})
            if html := "".join(data.get("text/html", "")):
                html = re.sub(r"<style.*?</style>", "", html, flags=re.S)  # pandas'
                # A blank line would end the HTML.
                lines += ["<div>", re.sub(r"\n\s*", "\n", html).strip(), "</div>", ""]
            elif markdown := "".join(data.get("text/markdown", "")):
                lines += [re.sub(r"^#", "###", markdown, flags=re.M).strip(), ""]
            else:
                text = "".join(output.get("text", data.get("text/plain", "")))
                lines += ["```text", text.rstrip(), "```", ""]
    return "\n".join(lines)


def run_notebooks() -> None:
    """Run the notebooks, each in a folder of its own, and keep their outputs."""
    import nbformat
    from nbclient import NotebookClient

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        found = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(found, resources={"metadata": {"path": folder}}).execute()
        for cell in found.cells:
            cell.metadata = {}
            if "outputs" in cell:  # what else is on stderr is other packages' advice
                cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for output in cell.get("outputs", ()):
                if "text/html" in (data := output.get("data", {})):  # which is what is shown
                    output["data"] = {k: data[k] for k in ("text/html", "text/plain")}
        found.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        nbformat.write(found, path)


WRITERS: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "settings.md": settings,
    "api.md": api,
    "messages.md": messages,
    "../exchange.md": formats,
    "../evidence/selection.md": selection,
    **{f"../notebooks/{p.stem}.md": partial(notebook, p.name) for p in NOTEBOOKS.glob("*.ipynb")},
}


def stale() -> list[str]:
    """Pages that do not say what the code says."""
    return [
        name
        for name, write in WRITERS.items()
        if not (PAGES / name).is_file() or (PAGES / name).read_text("utf-8") != write()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--run", action="store_true", help="run the notebooks first")
    args = parser.parse_args()
    if args.run:
        run_notebooks()
    if args.check:
        for name in (found := stale()):
            print(f"docs/reference/{name} is stale: run `python docs/generate.py`")
        return 1 if found else 0
    PAGES.mkdir(exist_ok=True)
    for name, write in WRITERS.items():
        (PAGES / name).write_text(write(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
