"""Data sets: from tables and folders to records."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aumer import registry
from aumer.arguments import wrong
from aumer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from aumer.data.dataset import DataSet
    from aumer.data.report import TableReport
    from aumer.files import StrPath
    from aumer.types import Annotation

#: The module that reads a data set's tables.
_TABLES = {
    "casme-sq": "casme_sq",
    "samm-lv": "samm_lv",
    "casme3": "casme3",
    "casme2": "casme2",
    "samm": "samm",
    "smic-hs": "smic_hs",
    "casme": "casme",
    "casme3-c": "casme3_c",
    "mmew": "mmew",
    "4dme": "fourdme",
    "meview": "meview",
    "dfme": "dfme",
    "megc2019": "megc2019",
    "auwgcn-csv": "auwgcn",
    "own": "own",
}
TABLES: tuple[str, ...] = tuple(_TABLES)


def read_table(dataset: str, path: StrPath) -> tuple[Annotation, ...]:
    """The annotations of a data set's table, one of `TABLES`, without its videos.

    Frames are 0-based and intervals closed, whatever number the table starts from; see each
    module's `read_table`. `read_table_report` also says what was corrected and refused.

    Raises:
        UsageError: unknown data set; the file is missing or not a workbook or CSV; a sheet or
            column is missing, or a cell is invalid. The message says where.
    """
    return read_table_report(dataset, path).annotations


def read_table_report(dataset: str, path: StrPath) -> TableReport:
    """`read_table` with the corrections and refusals, by row and column.

    Raises:
        UsageError: as for `read_table`.
    """
    if dataset not in _TABLES:
        raise UsageError(
            f"no data set's table is called {dataset!r}; there are {', '.join(TABLES)}."
            + did_you_mean(dataset, TABLES)
        )
    module = importlib.import_module(f"aumer.data.{_TABLES[dataset]}")
    report: TableReport = module.read_table(path)
    return report


def load(name: str | type[DataSet], root: StrPath, **options: Any) -> DataSet:
    """The data set called `name` (of the registry's kind "dataset") below `root`.

    Args:
        root: the folder with the unpacked files of the data set.
        options: arguments of its `from_root`, usually `table`, the path of the table to use.

    Raises:
        UsageError: unknown data set or option; or as its `from_root`.
    """
    from aumer.data.dataset import DataSet, taken_in

    kind: Any = registry.resolve("dataset", name)
    if "from_root" not in registry.offered(kind, DataSet):
        raise wrong("name", name, "the name of a data set, or a class derived from DataSet")
    allowed = [option for option in registry.arguments(kind.from_root) if option != "root"]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise UsageError(
            f"{kind.name} has no option {unknown[0]!r}; its options are "
            f"{', '.join(allowed) or 'none'}.{did_you_mean(unknown[0], allowed)}"
        )
    return taken_in(kind.from_root(root, **options))
