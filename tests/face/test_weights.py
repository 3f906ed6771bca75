"""Where weights are looked for, what is wrong with a file, and the explicit download."""

from __future__ import annotations

import collections
import dataclasses
import http.server
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import face_alignment.api
import pytest
import torch
from torch import nn

from aumer.errors import EXIT_WEIGHTS, UsageError, WeightsError
from aumer.face import retinaface, weights

NAMES = tuple(weights.TABLE)
CONTENT = bytes(range(256)) * 9000  # more than two chunks


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both packages' caches, empty, below one folder."""
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path / "deepface"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def test_the_table_says_what_the_packages_publish() -> None:
    assert list(weights.TABLE["retinaface"].urls) == retinaface._import_package()[0].WEIGHTS_URLS
    (url,) = weights.TABLE["face-alignment"].urls
    assert url == face_alignment.api.models_urls["2DFAN-4"]
    for w in weights.TABLE.values():
        assert all(url.startswith("https://") and url.endswith("/" + w.file) for url in w.urls)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"XDG_CACHE_HOME": "/elsewhere"},
        {"TORCH_HOME": "~/models", "XDG_CACHE_HOME": "/elsewhere"},
    ],
)
@pytest.mark.parametrize("torch_imported", [True, False])
def test_the_cache_of_torch_hub(
    environment: dict[str, str], torch_imported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    expected = Path(torch.hub.get_dir()) / "checkpoints" / "2DFAN4-11f355bf06.pth.tar"
    if not torch_imported:
        monkeypatch.delitem(sys.modules, "torch")
    assert weights.TABLE["face-alignment"].path == expected


def test_a_moved_torch_hub_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    assert weights.TABLE["face-alignment"].path.parent == tmp_path / "checkpoints"


def test_the_cache_of_retinaface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPFACE_HOME", "/models")
    assert weights.TABLE["retinaface"].path == Path("/models/.deepface/weights/retinaface.pth")
    monkeypatch.delenv("DEEPFACE_HOME")
    assert weights.TABLE["retinaface"].path == Path.home() / ".deepface/weights/retinaface.pth"


@pytest.mark.parametrize("name", NAMES)
def test_missing_weights_are_explained(name: str, home: Path) -> None:
    with pytest.raises(WeightsError) as error:
        weights.find(name)
    message = str(error.value)
    assert error.value.exit_code == EXIT_WEIGHTS == 5
    assert weights.TABLE[name].file in message
    assert f"Looked at: {weights.TABLE[name].path}." in message
    assert f"`aumer models fetch {name}`" in message
    assert not any(home.iterdir())  # looking creates nothing


@pytest.mark.parametrize("name", NAMES)
def test_a_given_path_is_the_only_place(name: str, home: Path) -> None:
    cached = weights.TABLE[name].path
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"x")
    assert weights.find(name) == cached
    mine = home / "mine.pth"
    with pytest.raises(WeightsError, match=r"mine\.pth"):
        weights.find(name, mine)
    mine.write_bytes(b"y")
    assert weights.find(name, mine) == weights.find(name, str(mine)) == mine
    with pytest.raises(WeightsError, match="a folder; give the file in it"):
        weights.find(name, home)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "w.pth").write_bytes(b"x")
    assert weights.find("retinaface", "~/w.pth") == tmp_path / "w.pth"


@pytest.mark.parametrize("ask", [weights.find, weights.fetch, weights.record])
def test_an_unknown_name_lists_the_names(ask) -> None:
    with pytest.raises(UsageError, match="Did you mean 'retinaface'"):
        ask("retina-face")


def test_available(home: Path) -> None:
    assert [(s.weights.name, s.present, s.size) for s in weights.available()] == [
        (name, False, None) for name in NAMES
    ]
    cached = weights.TABLE["face-alignment"].path
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"123")
    status = {s.weights.name: s for s in weights.available()}
    assert status["face-alignment"].present
    assert status["face-alignment"].size == 3
    assert status["face-alignment"].path == cached
    assert not status["retinaface"].present


# What is wrong with a file


def _network() -> nn.Module:
    return nn.Sequential(collections.OrderedDict(a=nn.Linear(2, 3), b=nn.BatchNorm1d(3)))


def _load(network: nn.Module, path: Path, state: object) -> None:
    torch.save(state, path)
    weights.load("retinaface", network, path)


def test_weights_are_read(tmp_path: Path) -> None:
    network, other = _network(), _network()
    _load(network, tmp_path / "w", other.state_dict())
    for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_weights_of_an_old_torch_are_read(tmp_path: Path) -> None:
    state = {k: v for k, v in _network().state_dict().items() if "num_batches" not in k}
    _load(_network(), tmp_path / "w", state)
    # With the metadata of a new torch, load_state_dict asks for the counters.
    state = _network().state_dict()
    del state["b.num_batches_tracked"]
    _load(_network(), tmp_path / "w", state)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    network = _network()
    before = [p.clone() for p in network.parameters()]
    state = network.state_dict()
    state["c.weight"] = state.pop("a.weight")
    state["a.bias"] = torch.zeros(7)
    with pytest.raises(WeightsError) as error:
        _load(network, tmp_path / "w", state)
    message = str(error.value)
    assert str(tmp_path / "w") in message
    assert "missing: a.weight;" in message
    assert "unexpected: c.weight;" in message
    assert "of another shape: a.bias (7,) instead of (3,)." in message
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_a_long_list_of_differences_is_cut(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"missing: a.weight, a.bias, b.weight and 3 more"):
        _load(_network(), tmp_path / "w", {})


@pytest.mark.parametrize("state", [[1.0], {"a.weight": 1.0}, {"state_dict": {}}, torch.zeros(2)])
def test_a_file_of_something_else_is_refused(tmp_path: Path, state: object) -> None:
    with pytest.raises(WeightsError, match="holds no table of named tensors"):
        _load(_network(), tmp_path / "w", state)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["a.weight", "b.running_var"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, name: str, bad: float) -> None:
    network = _network()
    before = [p.clone() for p in network.parameters()]
    state = {k: v.clone() for k, v in _network().state_dict().items()}
    state[name].view(-1)[0] = bad
    with pytest.raises(WeightsError, match=f"w: 1 of the .* numbers of {name} are NaN or infinite"):
        _load(network, tmp_path / "w", state)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "code"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "w"
    torch.save(_network().state_dict(), file)
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "text":
        file.write_text("<html>Not Found</html>")
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        torch.save(_Code(), file)
    with pytest.raises(WeightsError, match="cannot read weights from") as error:
        weights.load("retinaface", _network(), file)
    assert "\n" not in str(error.value)
    assert "`aumer models fetch retinaface`" in str(error.value)


class _Code:
    """Unpickling runs what it says."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.abort, ())


# The download


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        self.server.requests.append(self.path)
        if kind == "absent":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if kind == "page" else "application/x-tar")
        if kind != "unsized":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if kind != "nothing":
            self.wfile.write(CONTENT[: len(CONTENT) // 2] if kind == "cut" else CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def publish(server, home: Path, monkeypatch: pytest.MonkeyPatch):
    """Call it with the kinds of answer the sources of retinaface shall give; -> the target."""

    def published(*kinds: str) -> Path:
        urls = tuple(f"http://127.0.0.1:{server.server_port}/{kind}/f" for kind in kinds)
        changed = dataclasses.replace(weights.TABLE["retinaface"], urls=urls)
        monkeypatch.setitem(weights.TABLE, "retinaface", changed)
        return changed.path

    return published


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def test_fetch(publish, home: Path) -> None:
    target = publish("whole")
    seen: list[tuple[int, int | None]] = []
    assert weights.fetch("retinaface", progress=lambda *s: seen.append(s)) == target
    assert target.read_bytes() == CONTENT
    assert _files(home) == [target]
    done = [d for d, _ in seen]
    assert len(done) > 1
    assert done == sorted(done)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert weights.find("retinaface") == target


def test_fetch_without_a_stated_size(publish) -> None:
    target = publish("unsized")
    seen: list[tuple[int, int | None]] = []
    weights.fetch("retinaface", progress=lambda *s: seen.append(s))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), None)


def test_fetch_turns_to_the_next_source(publish, server) -> None:
    target = publish("absent", "cut", "whole", "page")
    weights.fetch("retinaface")
    assert target.read_bytes() == CONTENT
    assert server.requests == ["/absent/f", "/cut/f", "/whole/f"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("absent", "404"),
        ("cut", f"ended after {len(CONTENT) // 2} of {len(CONTENT)} bytes"),
        ("nothing", f"ended after 0 of {len(CONTENT)} bytes"),
        ("page", "text page"),
    ],
)
def test_a_failed_fetch_leaves_nothing(kind: str, reason: str, publish, home: Path) -> None:
    target = publish(kind)
    with pytest.raises(WeightsError) as error:
        weights.fetch("retinaface")
    message = str(error.value)
    assert weights.TABLE["retinaface"].urls[0] in message
    assert reason in message
    assert f"by hand and put it there: {target}" in message
    assert _files(home) == []


def test_fetch_without_a_network(publish, server, home: Path) -> None:
    publish("whole")
    server.server_close()
    with pytest.raises(WeightsError, match=r"refused|reset"):
        weights.fetch("retinaface")
    assert _files(home) == []


def test_an_interrupted_fetch_leaves_nothing(publish, home: Path) -> None:
    publish("whole", "whole")

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.fetch("retinaface", progress=interrupt)
    assert _files(home) == []


def test_fetch_leaves_a_file_alone(publish, server) -> None:
    target = publish("whole")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"mine")
    assert weights.fetch("retinaface") == target
    assert target.read_bytes() == b"mine"
    assert server.requests == []


def test_fetch_leaves_a_file_alone_that_came_meanwhile(publish, home: Path) -> None:
    target = publish("whole")
    assert weights.fetch("retinaface", progress=lambda *_: target.write_bytes(b"other")) == target
    assert target.read_bytes() == b"other"
    assert _files(home) == [target]


def test_fetch_where_nothing_can_be_written(publish, home: Path) -> None:
    publish("whole")
    (home / "deepface").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match="cannot create"):
        weights.fetch("retinaface")
