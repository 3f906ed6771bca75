"""A run as one page and as figures: `report(run).save("report.html")`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aumer.errors import UsageError
from aumer.files import StrPath, atomic_write, check_target
from aumer.names import inside
from aumer.report.page import GENERATOR, Drawing, figure_bytes, page
from aumer.report.recognition import recognition_facts, recognition_sections
from aumer.report.runs import RecognitionRun, SpottingRun
from aumer.report.spotting import spotting_facts, spotting_sections

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Formats of figures written beside the page.
FIGURE_SUFFIXES = (".svg", ".png")


@dataclass(frozen=True, eq=False)
class ReportPage:
    """A page and its figures.

    Attributes:
        html: the self-contained page, written as UTF-8.
        figures: by name, for your own changes and ``figure.savefig``.
    """

    html: str
    figures: Mapping[str, Figure]

    def save(
        self, path: StrPath, *, figures: StrPath | None = None, overwrite: bool = False
    ) -> tuple[Path, ...]:
        """Write the page and, if a folder is given, each figure as SVG and PNG (200 dpi).

        Args:
            figures: the folder; created if missing.
            overwrite: replace existing files. A page made by aumer is always replaced.

        Returns:
            The written files, the page first.

        Raises:
            UsageError: a suffix other than .html, a file exists, or the system refuses to write.
                Only in the last case some files may have been written.
        """
        path = Path(path)
        if path.suffix.lower() != ".html":
            raise UsageError(f"cannot write {path}: a report is a file that ends in .html")
        ours = is_report(path)
        check_target(path, overwrite=overwrite or ours)
        targets: list[tuple[Path, Figure]] = []
        if figures is not None:
            folder = Path(figures)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error
            targets = [
                (inside(folder, f"{name}{suffix}"), figure)
                for name, figure in self.figures.items()
                for suffix in FIGURE_SUFFIXES
            ]
            for target, _ in targets:
                check_target(target, overwrite=overwrite)
        atomic_write(path, self.html, overwrite=overwrite or ours)
        for target, figure in targets:
            atomic_write(target, figure_bytes(figure, target.suffix[1:]), overwrite=overwrite)
        return (path, *(target for target, _ in targets))


def report(run: RecognitionRun | SpottingRun) -> ReportPage:
    """The report of a run: scores with their intervals, figures with captions, mistakes, settings.

    Nothing is trained. Missing data is replaced by a line that says why.

    Raises:
        UsageError: the run has no prediction, or rows that cannot be scored.
    """
    if isinstance(run, RecognitionRun):
        facts, sections = recognition_facts(run), recognition_sections(run)
    else:
        facts, sections = spotting_facts(run), spotting_sections(run)
    drawn = {
        block.name: block.figure
        for section in sections
        for block in section.blocks
        if isinstance(block, Drawing)
    }
    return ReportPage(page(run.about.title, facts, run.about.warnings, sections), drawn)


def is_report(path: StrPath) -> bool:
    """Whether a file is a page made by aumer, by its first bytes."""
    try:
        with Path(path).open("rb") as file:
            return f'content="{GENERATOR}"'.encode() in file.read(1000)
    except OSError:
        return False
