"""`aumer data`: lists the supported data sets, and checks one for faults."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK, EXIT_PARTIAL, UsageError

if TYPE_CHECKING:
    from aumer.data.check import Check

#: Faults of each kind that are printed without --all.
EXAMPLES = 3


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``data list`` and ``data check`` to the command's parsers."""
    parser = commands.add_parser(
        "data",
        help="list the supported data sets, or check one for faults",
        description="Lists the supported data sets, in the form in which their owners distribute "
        "them, or checks one.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", parents=[common], help="list the data sets with their expected files and counts"
    )
    listing.set_defaults(run=_list, parser=listing)
    checking = actions.add_parser(
        "check",
        parents=[common],
        help="check a data set for faults",
        description="Compares a data set's table with its folders and lists faults. Exit code 0 "
        "if there are none, or if every fault has a policy; else 6. Advice does not count as "
        "a fault.",
    )
    checking.add_argument("dataset", metavar="SET", help="a name that `aumer data list` prints")
    checking.add_argument("root", metavar="ROOT", help="the folder it was unpacked into")
    checking.add_argument("--table", metavar="FILE", help="the table to use (default: found)")
    checking.add_argument(
        "--clips",
        action="store_true",
        help="of own: a table of labeled clips, which need no kind and no onset",
    )
    checking.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="FAULT=POLICY",
        help="how to use data with this fault (repeatable): missing-offset=mirror",
    )
    checking.add_argument("--all", action="store_true", help="print every fault, not examples")
    checking.add_argument("--json", metavar="FILE", help="write everything as JSON; - for stdout")
    checking.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    checking.set_defaults(run=_check, parser=checking)


def _list(args: argparse.Namespace, console: Console) -> int:
    from aumer import registry

    for name in registry.names("dataset"):
        kind = registry.resolve("dataset", name)
        counts = ", ".join(f"{number} {what}" for what, number in kind.expected.items() if number)
        layout = textwrap.fill(kind.layout, 96, initial_indent="  ", subsequent_indent="  ")
        console.data(f"{name}{f': {counts}' if counts else ''}\n{layout}\n")
    return EXIT_OK


def _check(args: argparse.Namespace, console: Console) -> int:
    from aumer import data
    from aumer.data import check
    from aumer.files import atomic_write, check_target

    policies = check.check_policies(_policies(args.policy))
    if args.json not in (None, "-"):
        check_target(args.json, overwrite=args.overwrite)
    console.start(f"checking {args.root}", unit="videos")
    options = {} if args.table is None else {"table": args.table}
    options |= {"clips": True} if args.clips else {}
    found = check.check(
        data.load(args.dataset, args.root, **options),
        root=args.root,
        policies=policies,
        progress=console.progress,
    )
    console.finish()
    text = json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n"
    if args.json == "-":
        console.data(text)
    else:
        console.data(summary(found, examples=None if args.all else EXAMPLES))
        if args.json is not None:
            atomic_write(args.json, text, overwrite=args.overwrite)
    return EXIT_PARTIAL if found.open else EXIT_OK


def _policies(given: Iterable[str]) -> dict[str, str]:
    found = {}
    for text in given:
        fault, equals, policy = text.partition("=")
        if not equals:
            raise UsageError(
                f"--policy must be FAULT=POLICY, such as missing-offset=mirror; found {text!r}"
            )
        found[fault.strip()] = policy.strip()
    return found


def summary(found: Check, *, examples: int | None = EXAMPLES) -> str:
    """The result as text: tables, counts, faults with examples, corrections.

    Args:
        examples: number of printed faults of each kind; all if `None`.
    """
    from aumer.data.check import FAULTS

    lines = [f"{found.dataset}: {found.root}"]
    for table in found.tables:
        location = f"{table.path}{f', sheet {table.sheet!r}' if table.sheet else ''}"
        lines.append(f"  {location}: {table.rows} rows, {len(table.annotations)} expressions")
    rows = [["", "found", "expected"]]
    rows += [[w, str(n), str(found.expected.get(w, "-"))] for w, n in found.counts.items()]
    lines += ["", *_aligned(rows)]
    if found.notes:
        lines += ["", *found.notes]
    faults = Counter(fault.code for fault in found.faults)
    if faults:
        rows = [["fault", "count", "policy", ""]]
        for code, count in faults.items():
            none = "advice" if FAULTS[code].advice else "none"
            policy = found.policies.get(code, none)
            rows.append([code, str(count), policy, FAULTS[code].meaning])
        lines += ["", *_aligned(rows), ""]
        for code in faults:
            own = [fault for fault in found.faults if fault.code == code]
            for fault in own[:examples]:
                row = f"row {fault.row}" if fault.row else ""
                where = " ".join(filter(None, (fault.subject, fault.video, row)))
                lines.append(f"{code}: {f'{where}: ' if where else ''}{fault.message}")
            if examples is not None and len(own) > examples:
                lines.append(f"{code}: ... and {len(own) - examples} more (--all)")
    corrected = Counter(c.rule for c in found.corrections)
    if corrected:
        lines += ["", "corrected:"]
        lines += [f"  {rule.name}, {count}: {rule.reason}" for rule, count in corrected.items()]
    return "\n".join([*lines, "", _verdict(found), ""])


def _verdict(found: Check) -> str:
    look = len(found.advice)
    also = f"; {look} to look at: {', '.join(dict.fromkeys(f.code for f in found.advice))}"
    return f"{_judged(found)}{also if look else ''}"


def _judged(found: Check) -> str:
    if len(found.faults) == len(found.advice):
        return "no fault"
    if not found.open:
        return "every fault has a policy"
    codes = Counter(fault.code for fault in found.open)
    count = len(found.open)
    return (
        f"{count} fault{'s' if count > 1 else ''} to be dealt with: {', '.join(codes)}. Correct "
        "the data, or say with --policy what to do"
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
