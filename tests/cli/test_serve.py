"""`aumer serve`, with the real work."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import aumer
from aumer import registry
from aumer.client import Client
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_results_are_those_of_spot(videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    line = [sys.executable, "-m", "aumer", "serve", "--port", "0", "--state", str(tmp_path / "s")]
    process = subprocess.Popen(
        [*line, "--root", str(videos)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        page = opener.open(address, timeout=20).read().decode()
        assert "<title>aumer</title>" in page
        client = Client(address, token="")
        formats = client.about()["formats"]
        assert formats == sorted(registry.names("format"))
        uploaded = client.submit(videos / "smile.mp4", faces=True, formats=formats)
        named = client.submit_path(videos / "smile.mp4", formats=["json"], sensitivity="high")
        gray = client.submit(videos / "gray.avi")
        text = client.submit_path(videos / "text.mp4")
        expected = aumer.spot(videos / "smile.mp4", cache=tmp_path)
        uploaded.wait(120)
        assert uploaded.read("json").decode() == expected.to_json()
        assert uploaded.result() == expected
        expected.save(tmp_path / "x.csv")
        assert uploaded.read("csv") == (tmp_path / "x.csv").read_bytes()
        # What other programs read names the video, and no place of the service's.
        for suffix in formats:
            assert str(tmp_path).encode() not in uploaded.read(suffix), suffix
        for name in ("x.eaf", "x_events.tsv", "x.annotations"):
            uploaded.save(tmp_path / name)
            expected.save(tmp_path / f"own{name[1:]}")
            read = aumer.read_annotations(tmp_path / name)
            assert read and read == aumer.read_annotations(tmp_path / f"own{name[1:]}")
        assert b"data:image/" in uploaded.read("html")
        high = aumer.spot(videos / "smile.mp4", sensitivity="high", cache=tmp_path)
        assert named.wait(120).read("json").decode() == high.to_json()
        with pytest.raises(aumer.NoFaceError):
            gray.wait(120)
        with pytest.raises(aumer.VideoError, match=r"text\.mp4"):
            text.wait(120)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert "keeps the uploaded video" in said and "Traceback" not in said
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("serve --host 0.0.0.0", "--token-file"),
        ("serve --token-file short", "16 or more"),
        ("serve --token-file none", "none"),
        ("serve --root none", "none, which is not a folder"),
        ("serve --purge", "holds no jobs"),
        ("serve --port 99999", "from 0 to 65535"),
        ("serve --jobs 0", "1 or more"),
    ],
)
def test_what_cannot_be_served(run: Run, tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "short").write_text("abc\n")
    ran = run(f"{line} --state state")
    assert ran.code == 2 and said in ran.err


def test_without_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    ran = run("serve --state state")
    assert ran.code == 2 and 'pip install "aumer[serve]"' in ran.err


def test_a_port_in_use_leaves_no_folder(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = run(f"serve --port {taken.getsockname()[1]} --state {tmp_path}/new")
    assert ran.code == 2 and "choose another" in ran.err
    assert not (tmp_path / "new").exists()
