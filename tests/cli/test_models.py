"""`aumer models` and `aumer doctor`."""

from __future__ import annotations

import io
import json
import urllib.error
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from aumer import doctor
from aumer.errors import EXIT_WEIGHTS
from aumer.face import weights
from aumer.recognition import interface
from aumer.spotting.network import SHIPPED

CONTENT = b"weights" * 1000


class Answer(io.BytesIO):
    def __init__(self) -> None:
        super().__init__(CONTENT)
        self.headers = Message()
        self.headers["Content-Type"] = "application/octet-stream"
        self.headers["Content-Length"] = str(len(CONTENT))


def test_show_prints_a_card(run: Any, tmp_path: Path) -> None:
    ran = run(f"models show {SHIPPED}")
    assert ran.code == 0 and json.loads(ran.out)["format"] == "aumer-spotnet-1"
    recognizer = Path(interface.__file__).parent / "weights" / "graph.safetensors"
    card = json.loads(run(f"models show {recognizer}").out)
    assert card["classes"] == ["negative", "positive", "surprise"] and card["card"]["licence"]
    (tmp_path / "other.safetensors").write_bytes(save({"x": np.zeros(2)}))
    for file in ("other.safetensors", "nowhere.safetensors"):
        ran = run(f"models show {file}")
        assert ran.code == EXIT_WEIGHTS and file in ran.err


def test_list_says_what_is_missing_and_where(run: Any, tmp_path: Path) -> None:
    ran = run("models list")
    assert (ran.code, ran.err) == (0, "")
    for name, record in weights.TABLE.items():
        assert f"{name}: missing\n" in ran.out
        assert str(record.path).startswith(str(tmp_path))
        assert str(record.path) in ran.out
        assert f"aumer models fetch {name}\n" in ran.out
        assert record.license in ran.out


def test_list_says_what_ships_and_where_it_is_from(run: Any) -> None:
    listed = run("models list").out
    for name, network in weights.SHIPPED.items():
        size = f"{network.path.stat().st_size / 1e6:.1f} MB"
        assert (
            f"{name}: ships with aumer, {size}\n"
            f"  what     {network.source}\n"
            f"  license  {network.license}\n"
            f"  file     {network.path}\n"
            f"  sha256   {network.sha256}\n"
            f"  from     {network.found_in}\n"
        ) in listed


def test_damaged_network(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network = replace(weights.SHIPPED["face-mesh"], sha256="0" * 64)
    monkeypatch.setitem(weights.SHIPPED, "face-mesh", network)
    monkeypatch.setattr(weights, "shipped", weights.shipped.__wrapped__)  # keeps what it saw whole
    ran = run("models list")
    assert ran.code == 0
    assert (
        "face-mesh: ships with aumer, but is missing or damaged: install aumer again\n" in ran.out
    )
    ran = run("models fetch face-mesh")
    assert (ran.code, ran.out) == (EXIT_WEIGHTS, "")
    assert "Install aumer again" in ran.err


@pytest.mark.parametrize("name", weights.SHIPPED)
def test_what_ships_is_not_fetched(name: str, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("urllib.request.urlopen")
    ran = run(f"models fetch {name}")
    assert (ran.code, ran.out) == (0, f"{weights.SHIPPED[name].path}\n")
    assert f"{name}: ships with aumer, nothing to download" in ran.err


def test_fetch(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **options: Answer())
    path = weights.TABLE["retinaface"].path
    ran = run("models fetch retinaface")
    assert (ran.code, ran.out) == (0, f"{path}\n")
    assert path.read_bytes() == CONTENT
    assert "license" in ran.err
    assert "downloading retinaface.pth" in ran.err
    ran = run("models fetch retinaface")
    assert (ran.code, ran.out) == (0, f"{path}\n")
    assert "already" in ran.err
    assert "retinaface: here, 0.0 MB\n" in run("models list").out


def test_fetch_without_a_network(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    ran = run("models fetch face-alignment")
    assert (ran.code, ran.out) == (EXIT_WEIGHTS, "")
    for part in ("aumer: error: could not download", "no network", "by hand"):
        assert part in ran.err
    assert not weights.TABLE["face-alignment"].path.exists()


@pytest.mark.parametrize("code", [0, 5])
def test_doctor(code: int, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Report:
        exit_code = code

        def to_dict(self) -> dict[str, Any]:
            return {"exit_code": code}

        def __str__(self) -> str:
            return "all about it"

    monkeypatch.setattr(doctor, "report", Report)
    ran = run("doctor")
    assert (ran.code, ran.out, ran.err) == (code, "all about it\n", "")
    ran = run("doctor --json")
    assert (ran.code, json.loads(ran.out)) == (code, {"exit_code": code})
