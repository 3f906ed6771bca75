"""Formats of one's own, by their suffix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import aumer
from aumer import registry
from aumer.cli import outputs
from aumer.errors import UsageError
from aumer.files import atomic_write
from aumer.results import Format, SpotResult, check_suffix, suffixes


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})


class Upside(Format):
    """JSON, written backward."""

    def write(self, result: SpotResult, path: Any, *, overwrite: bool = False, **_: Any) -> None:  # type: ignore[override]
        atomic_write(path, json.dumps(result.to_dict())[::-1], overwrite=overwrite)

    def read(self, path: Any) -> SpotResult:
        return SpotResult.from_json(Path(path).read_text()[::-1])


def test_a_registered_format_is_written_and_read(result: SpotResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"allowed are .json"):
        result.save(tmp_path / "out.ups")
    aumer.register("format", "ups")(Upside)
    result.save(tmp_path / "out.ups")
    assert SpotResult.load(tmp_path / "out.ups").to_dict() == result.to_dict()
    assert (tmp_path / "out.ups").read_text().startswith("}")
    assert check_suffix("x.UPS") == ".ups" and suffixes()[0] == ".json"
    assert "ups" in outputs.spotted().files


def test_what_holds_no_whole_result_cannot_be_loaded(result: SpotResult, tmp_path: Path) -> None:
    result.save(tmp_path / "out.csv")
    with pytest.raises(
        UsageError, match=r"out.csv cannot be read as a result.*Save results as .json"
    ):
        SpotResult.load(tmp_path / "out.csv")


def test_what_is_no_format_is_refused(result: SpotResult, tmp_path: Path) -> None:
    aumer.register("format", "odd")(len)
    with pytest.raises(UsageError, match=r"derived from aumer.results.formats.Format"):
        result.save(tmp_path / "out.odd")
