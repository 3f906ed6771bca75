"""Text tables as programs write them: encodings, separators, decimal commas, and their errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from openpyxl import Workbook

from aumer.errors import UsageError
from aumer.tables.cells import number_of, read, sheets

TEXT = "file,onset\nMüller.mp4,1\n"


def written(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_encoding_and_separator(
    tmp_path: Path, encoding: str, separator: str, ending: str
) -> None:
    text = TEXT.replace(",", separator).replace("\n", ending)
    (sheet,) = sheets(written(tmp_path, text.encode(encoding)))
    assert [list(line) for line in sheet.lines] == [["file", "onset"], ["Müller.mp4", "1"]]
    assert sheet.decimal_comma == (separator != ",")


@pytest.mark.parametrize("said", ["sep=|", '"sep=|"', "SEP=|"])
def test_a_separator_may_be_said(tmp_path: Path, said: str) -> None:
    (row,) = read(written(tmp_path, f"{said}\r\na,b|c\r\n1,5|2\r\n"), ["a,b", "c"])
    assert (row.number, row.number_in("a,b"), row.whole("c")) == (3, 1.5, 2)


def test_lines_keep_the_numbers_that_an_editor_shows(tmp_path: Path) -> None:
    text = 'a,b\n\n1,"two\nlines"\n2,x\n'
    rows = read(written(tmp_path, text), ["a", "b"])
    assert [(row.number, row.text("b")) for row in rows] == [(3, "two\nlines"), (5, "x")]


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    latin = TEXT.encode("cp1252")
    with pytest.raises(UsageError, match=r"line 2 reads 'Müller\.mp4,1' in Windows-1252.*UTF-8"):
        sheets(written(tmp_path, latin))
    with pytest.raises(UsageError, match="is neither a text file in UTF-8 nor one in UTF-16"):
        sheets(written(tmp_path, TEXT.encode("utf-16")[:-1]))
    with pytest.raises(UsageError, match="null bytes"):
        sheets(written(tmp_path, b"file,onset\n\0,1\n"))
    with pytest.raises(UsageError, match=r"old kind \(\.xls\)"):
        sheets(written(tmp_path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "t.xls"))


def test_a_workbook_is_one_whatever_it_is_called(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["a", 12.0])
    book.save(tmp_path / "t.xlsx")
    renamed = written(tmp_path, (tmp_path / "t.xlsx").read_bytes())
    assert [list(line) for line in sheets(renamed)[0].lines] == [["a", 12]]


@pytest.mark.parametrize(
    ("text", "comma", "value"),
    [
        ("10.0", False, 10), ("-.5", False, -0.5), ("1e+02", False, 100), ("0,467", True, 0.467),
        ("0,467", False, None), ("1.234,5", True, None), ("1,2,3", True, None),
        ("1_0", False, None), ("nan", False, None), ("inf", False, None), ("1e999", False, None),
        ("", False, None), ("0x10", False, None), ("10 ", False, None),
    ],
)  # fmt: skip
def test_numbers(text: str, comma: bool, value: float | None) -> None:
    assert number_of(text, decimal_comma=comma) == value
