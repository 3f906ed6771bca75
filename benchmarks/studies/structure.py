"""What the code is made of: sizes, probes, repeated lines, files of extensions, what git keeps.

    python -m benchmarks.studies.structure [--at REV] [--save]

With `--at` it counts in another revision, as in 2e402b3 for ``docs/evidence/structure.md``.
Repeated lines are runs of six or more equal lines in two modules of the package; blank lines,
comments, imports and lone brackets do not count.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from benchmarks.probes import probes
from benchmarks.report import ROOT, Report, options

#: Fewest lines that make a repetition, and most places before it is taken for a common form.
LEAST, MOST = 6, 8


def functions(source: str) -> Iterator[tuple[int, str]]:
    """Length and name of each function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, node.name


def code_lines(source: str) -> list[tuple[int, str]]:
    """Number and text of the lines that count."""
    imports: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = ((k, " ".join(line.split())) for k, line in enumerate(source.splitlines(), 1))
    thin = re.compile(r"#.*|[\[\](){},:\"']*")
    return [(k, text) for k, text in lines if k not in imports and not thin.fullmatch(text)]


def repeated(sources: dict[str, str]) -> list[tuple[str, str]]:
    """The pairs of modules that share `LEAST` lines or more."""
    places = defaultdict(set)
    for name, source in sources.items():
        lines = code_lines(source)
        for k in range(len(lines) - LEAST + 1):
            places[tuple(text for _, text in lines[k : k + LEAST])].add(name)
    pairs = set()
    for where in places.values():
        if 2 <= len(where) <= MOST:
            pairs.update(combinations(sorted(where), 2))
    return sorted(pairs)


def extensions(page: str) -> Iterator[tuple[str, int]]:
    """Each kind of part in ``docs/extending.md``, and how many files its example takes."""
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        files = len(re.findall(r"^```(?:python|toml)$", section, re.M))
        if files:
            yield section.partition("\n")[0], files


def tracked(revision: str) -> list[tuple[str, int]]:
    """Path and bytes of the files of a revision."""
    listing = subprocess.run(
        ["git", "ls-tree", "-r", "-l", revision],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = (line.split(maxsplit=4) for line in listing.splitlines())
    return [(path, int(size)) for *_, size, path in rows]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--at", default="HEAD", metavar="REV", help="the revision (default: HEAD)")
    asked = parser.parse_args()
    report = Report(f"What the code is made of at {asked.at}")
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["git", "archive", asked.at], cwd=ROOT, capture_output=True, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        top = Path(folder)
        sources = {
            path.relative_to(top).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(top.glob("aumer/**/*.py"))
        }
        page = top / "docs" / "extending.md"
        kinds = list(extensions(page.read_text(encoding="utf-8"))) if page.is_file() else []
    lines = {name: source.count("\n") for name, source in sources.items()}
    longest = max(lines, key=lines.__getitem__)
    found = [(n, f"{name}:{f}") for name, text in sources.items() for n, f in functions(text)]
    length, function = max(found)
    probing = {name: len(probes(text)) for name, text in sources.items()}
    report.line(f"modules: {len(lines)}, {sum(lines.values())} lines")
    report.line(f"longest module: {longest}, {lines[longest]} lines")
    report.line(f"longest function: {function}, {length} lines")
    report.line(f"pairs of modules that share {LEAST} lines: {len(repeated(sources))}")
    report.line(
        f"probes: {sum(probing.values())} in {sum(map(bool, probing.values()))} modules, of which "
        f"{probing.get('aumer/registry.py', 0)} in the registry"
    )
    files = tracked(asked.at)
    results = [size for path, size in files if path.startswith("benchmarks/results")]
    report.line(f"files in git: {len(files)}, {sum(size for _, size in files):,} bytes")
    report.line(f"of these stored results: {len(results)}, {sum(results):,} bytes")
    for kind, number in kinds:
        report.line(f"files for {kind[0].lower()}{kind[1:]}: {number}")
    if asked.save:
        report.save("structure.txt")


if __name__ == "__main__":
    main()
