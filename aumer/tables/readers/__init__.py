"""The built-in readers of files of intervals, by format. See `aumer.tables.reading`."""

from __future__ import annotations

from aumer._moved import moved

__getattr__ = moved(  # for one release
    __name__,
    {
        "TableReader": "aumer.tables.readers.table.TableReader",
        "HeaderlessReader": "aumer.tables.readers.text.HeaderlessReader",
        "JsonListsReader": "aumer.tables.readers.json_lists.JsonListsReader",
        "MatReader": "aumer.tables.readers.arrays.MatReader",
        "NpyReader": "aumer.tables.readers.arrays.NpyReader",
        "PerVideoReader": "aumer.tables.readers.per_video.PerVideoReader",
    },
)
