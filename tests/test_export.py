"""Exported networks give, in other programs, the numbers that they give here."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from documents import blocks
from spotting.rivals import RIVALS

from aumer import registry
from aumer.cli import main
from aumer.errors import BackendUnavailable, UsageError, WeightsError
from aumer.export import TOLERANCE, export
from aumer.recognition import interface
from aumer.recognition.interface import Recognizer
from aumer.recognition.sequences.maps import flow_maps_of
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.ststnet import StstNet, StstNetRecognizer
from aumer.recognition.systems.system import SequenceSystem
from aumer.spotting.channels import CHANNELS
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.network import SHIPPED, NetSpotter

#: Networks that are exported in a moment; their layers are those of the published sizes.
SMALL: dict[str, dict[str, Any]] = {
    "cnn-lstm": {"length": 8, "windows": 0, "channels": (4, 8)},
    "mfem-mffm": {"steps": 2, "width": 8, "blocks": (1, 1, 1, 1), "hidden": 16},
    "mobilevit-v3": {},
    "se-resnext50": {"layers": (1, 1, 1, 1), "groups": 4, "reduction": 4},
}


def untrained(name: str) -> Recognizer:
    made: Any = interface.resolve(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if made is StstNetRecognizer:
            found = made()
            found.net = StstNet(3).eval()
        else:
            found = made(config=SMALL[name])
            found.net = found.build(3).eval()
    found.classes = ("negative", "positive", "surprise")
    return found  # type: ignore[no-any-return]


def is_network(name: str) -> bool:
    kind = interface.resolve(name)
    return issubclass(kind, (SequenceSystem, StstNetRecognizer))


def test_every_recognizer_is_tried() -> None:
    ours = {name for name in registry.names("recognizer") if is_network(name)}
    assert ours == {*SMALL, "ststnet"}
    others = set(registry.names("recognizer")) - ours
    assert others == {"graph", "graph-motion", "svm-cells"}


# -- spotting networks -----------------------------------------------------------------------------


def of_preset(name: str, **changes: Any) -> NetSpotter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = SpottingNetwork.from_preset(name)
    for parameter in net.parameters():  # zeros at the start hide whatever they multiply
        parameter.data += 0.05 * torch.randn_like(parameter)
    return NetSpotter(net.eval())


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.onnx, of the network that ships."""
    path = tmp_path_factory.mktemp("shipped") / "net.onnx"
    export("network", path)
    return path


#: Methods of others in the quicker format: in the other they are written by the same code.
SPOTTING = [(n, s) for n in ("published", "aumer") for s in (".onnx", ".pt")] + [
    (name, ".pt") for name in RIVALS
]


@pytest.mark.parametrize(("which", "suffix"), SPOTTING)
def test_a_spotting_network_gives_its_own_scores(which: str, suffix: str, tmp_path: Path) -> None:
    spotter = of_preset(which)
    path = tmp_path / f"net{suffix}"
    report = export(spotter, path)
    assert report.made.difference <= TOLERANCE and report.made.size == path.stat().st_size
    net = spotter.net
    wrapped = net.portable().net
    rng = torch.Generator().manual_seed(5)
    for batch, rows in ((1, 61), (3, 7), (2, 500)):
        nodes = net.portable().inputs["x"].shape[2]
        x = 0.02 * torch.randn((batch, rows, nodes, 2), generator=rng)
        valid = torch.rand((batch, rows), generator=rng) > 0.2
        if suffix == ".onnx":
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            found = session.run(None, {"x": x.numpy(), "valid": valid.numpy()})[0]
        else:
            found = torch.jit.load(path)(x, valid).detach().numpy()
        with torch.no_grad():
            expected = wrapped(x, valid).numpy()
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_the_page_of_the_documentation_reads_it(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shipped.parent)
    page = Path(__file__).resolve().parents[1] / "docs" / "export.md"
    (block,) = (b for b in blocks(page) if b.language == "python")
    action = block.run()["action"]
    assert action.shape == (300,) and (action >= 0).all() and (action <= 1).all()


def test_the_exported_scores_are_those_of_a_video(shipped: Path) -> None:
    """What a reader of the documentation does: inputs as they say, no other part of aumer."""
    from aumer import simulate_features

    spotter = NetSpotter.load(SHIPPED)
    (video,) = simulate_features(1, minutes=0.5, seed=3)
    expected = spotter.scores(video.features)
    session = onnxruntime.InferenceSession(shipped)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["aumer"])
    assert facts["columns"] == list(CHANNELS)
    assert facts["nodes"][:12] == list(video.features.rois)
    assert facts["card"]["motion"] == {"preset": "windows"}
    x = spotter.net.config.inputs(video.features)[None]
    (scores,) = session.run(["scores"], {"x": x, "valid": video.features.valid[None]})
    known = video.features.valid
    np.testing.assert_allclose(scores[0][known], expected.values[known], atol=TOLERANCE)


def test_the_network_itself_is_left_as_it_was(tmp_path: Path) -> None:
    spotter = of_preset("aumer")
    before = {k: v.clone() for k, v in spotter.net.state_dict().items()}
    export(spotter, tmp_path / "net.pt", precision="half")
    after = spotter.net.state_dict()
    assert all(
        torch.equal(before[k], after[k]) and before[k].dtype == after[k].dtype for k in before
    )


# -- recognizers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SMALL, "ststnet"])
@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_a_recognizer_gives_its_own_probabilities(name: str, suffix: str, tmp_path: Path) -> None:
    made = untrained(name)
    path = tmp_path / f"net{suffix}"
    assert export(made, path).made.difference <= TOLERANCE
    if suffix == ".onnx":
        onnx.checker.check_model(path)
        facts = {p.key: p.value for p in onnx.load(path).metadata_props}["aumer"]
    else:
        extra = {"aumer.json": ""}
        torch.jit.load(path, _extra_files=extra)
        facts = extra["aumer.json"]
    told = json.loads(facts)
    assert told["columns"] == ["negative", "positive", "surprise"]
    assert all(one["axes"][0] == "batch" for one in told["inputs"].values())


def comparing(name: str) -> Recognizer:
    """One that compares a map with those of its training, here simulated ones."""
    if name in interface.shipped():
        return interface.load(name)
    clips = flow_maps_of(simulated_clips(Simulation(4, 2), seed=4), "farneback")
    return interface.resolve(name)().fit(clips)


@pytest.mark.parametrize("name", ["graph", "graph-motion", "svm-cells"])
@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_one_that_compares_maps_is_a_network_too(name: str, suffix: str, tmp_path: Path) -> None:
    """Whatever the maps' unit, and of a face at rest, too."""
    made, path = comparing(name), tmp_path / f"net{suffix}"
    assert export(made, path).made.difference <= TOLERANCE
    rng = np.random.default_rng(6)
    maps = flow_maps_of(simulated_clips(Simulation(2, 1), seed=9), "farneback").inputs
    maps = np.concatenate([maps, 30 * maps[:2], np.zeros_like(maps[:1])])
    maps = np.concatenate([maps, rng.normal(0, 2, (3, 28, 28, 3)).astype(np.float32)])
    if suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (found,) = session.run(["probabilities"], {"map": maps})
    else:
        found = torch.jit.load(path)(torch.from_numpy(maps)).numpy()
    np.testing.assert_allclose(found, made.predict_proba(maps), atol=TOLERANCE)
    assert np.ptp(found[:, 0]) > 0.2


@pytest.mark.parametrize(
    ("name", "suffix", "precision"),
    [
        ("graph", ".onnx", "half"),
        ("ststnet", ".onnx", "int8"),
        ("ststnet", ".onnx", "half"),
        ("mobilevit-v3", ".safetensors", "half"),
        ("mobilevit-v3", ".safetensors", "int8"),
    ],
)
def test_fewer_bits_are_told_by_what_they_cost(
    name: str, suffix: str, precision: Any, tmp_path: Path
) -> None:
    made = comparing(name) if name == "graph" else untrained(name)
    report = export(made, tmp_path / f"net{suffix}", precision=precision, evaluate=1)
    assert report.what == "agreement" and report.original.score == 1.0
    assert report.made.score is not None and 0 <= report.made.score <= 1
    assert 0 < report.made.difference < 0.2
    if suffix == ".safetensors":
        assert report.made.size < (0.6 if precision == "half" else 0.35) * report.original.size
        assert interface.load(tmp_path / "net.safetensors").classes[0] == "negative"


# -- the command, and what is refused --------------------------------------------------------------


def test_the_command_prints_the_network_beside_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.pt"
    assert main(["export", "network", "-o", str(path), "--evaluate", "1"]) == 0
    said = capsys.readouterr()
    header, own, made = said.out.splitlines()
    assert header.split() == ["precision", "bytes", "ms", "largest", "difference", "F1"]
    assert own.split()[-1] == made.split()[-1]  # the same F1
    assert made.startswith(str(path)) and "written" in said.err
    assert main(["export", "network", "-o", str(path)]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "precision", "said"),
    [
        ("net.bin", "single", "allowed are .onnx, .pt, .safetensors"),
        ("net", "single", "no suffix"),
        ("net.onnx", "quarter", "precision must be one of"),
        ("net.pt", "int8", "use .onnx or .safetensors"),
        ("net.safetensors", "single", "the file that you have"),
        ("net.safetensors", "half", "recognizers of sequences"),
    ],
)
def test_what_cannot_be_written_is_said_before(
    name: str, precision: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        export("network", tmp_path / name, precision=precision)
    assert not list(tmp_path.iterdir())


class Unportable(StstNetRecognizer):
    """One of one's own that says nothing of export."""

    name = "unportable"
    portable = Recognizer.portable  # type: ignore[assignment]


def test_weights_that_are_no_network(tmp_path: Path) -> None:
    made = Unportable()
    made.classes = ("negative", "positive")
    with pytest.raises(UsageError, match=r"'unportable' cannot be exported.*define it"):
        export(made, tmp_path / "net.onnx")
    with pytest.raises(WeightsError):
        export(tmp_path / "nothing.safetensors", tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'aumer\[export\]'"):
        export("network", tmp_path / "net.onnx")


def test_a_file_that_gives_other_numbers_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import aumer.export

    content = io.BytesIO()
    wrong = torch.jit.trace(_Wrong(), (torch.zeros(2, 3, 16, 2), torch.ones(2, 3).bool()))
    torch.jit.save(wrong, content)
    monkeypatch.setattr(aumer.export, "_torchscript", lambda *_: content.getvalue())
    with pytest.raises(UsageError, match="was not written"):
        export("network", tmp_path / "net.pt")
    assert not list(tmp_path.iterdir())


class _Wrong(torch.nn.Module):
    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return x[..., 0, :1].expand(-1, -1, 10) + 1


def test_the_shortcut_of_whole_videos_changes_no_score() -> None:
    net = SpottingNetwork.load(SHIPPED)
    x = net.portable().inputs["x"]
    valid = torch.ones(x.shape[:2], dtype=torch.bool)
    with torch.no_grad():
        assert torch.equal(net(x), net(x, valid))


def test_a_file_is_not_exported_over_itself(tmp_path: Path) -> None:
    path, link = tmp_path / "net.safetensors", tmp_path / "link.safetensors"
    untrained("mobilevit-v3").save(path, {})
    before = path.read_bytes()
    link.symlink_to(path)
    for target in (path, link):
        with pytest.raises(UsageError, match="is the file of weights that is exported"):
            export(path, target, precision="half", overwrite=True)
    assert path.read_bytes() == before


def test_a_generalized_mean_has_room_in_16_bits() -> None:
    """The cube of 41 has none; in 32 bits nothing is another number than it was."""
    from aumer.recognition.systems.mfem_mffm import GeneralizedMean

    pool = GeneralizedMean(2)
    x = torch.stack([torch.full((3, 3), 60.0), torch.zeros(3, 3)])[None]
    p = pool.power[:, None, None]
    assert torch.equal(pool(x), x.clamp(min=1e-6).pow(p).mean((2, 3)).pow(1 / p[:, 0, 0]))
    found = pool.half()(x.half())
    assert found.dtype == torch.float16
    assert found[0].tolist() == pytest.approx([60.0, 0.0], abs=0.1)
