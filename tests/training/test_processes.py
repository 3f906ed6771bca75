"""A spotting network trained by two processes, and in mixed precision."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training.conftest import simulated, small
from training.test_run import CONFIG

from aumer.simulate.features import simulate_features, write_features
from aumer.spotting.spotnet import SpotNet
from aumer.training.loop import train

#: Of 4 simulated minutes in windows of 10 s, 18 are for training: the last batch of 17 has one,
#: which leaves the second process none.
AUMER = {"epochs": 3, "batch": 17, "patience": 3, "amplitude_jitter": 0.0}
PUBLISHED = {"epochs": 3, "batch": 3}

_WORKER = """
import sys, torch
torch.set_num_threads(1)
sys.path[:0] = [sys.argv[1]]
from training.test_processes import steps
from aumer.learning.machine import torchrun
from aumer.training.run import read_config, run
with torchrun() as device:
    found = [steps(*case) for case in (("aumer", True), ("published", True), ("aumer", False))]
    torch.save(found, f"{sys.argv[2]}.{torch.distributed.get_rank()}")
run(read_config(sys.argv[3]))
"""


def steps(preset: str, frozen: bool) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Weights and log; frozen: batch norms do not learn, as they would see shares alone."""
    forward = torch.nn.Module.train
    if frozen:
        SpotNet.train = lambda net, mode=True: forward(net, False)  # type: ignore[method-assign]
    try:
        settings = small(preset, **(AUMER if preset == "aumer" else PUBLISHED))
        trained = train(simulated(), settings, seed=2)
    finally:
        if frozen:
            del SpotNet.train
    log = [{k: v for k, v in r.items() if k != "seconds"} for r in trained.log]
    return trained.net.state_dict(), log


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """By either loss, with shares that differ in size; and one of them alone writes a run."""
    write_features(tmp_path / "features", simulate_features(3, minutes=1.0, seed=5, level="easy"))
    (tmp_path / "config.toml").write_text(CONFIG)
    script, out = tmp_path / "worker.py", tmp_path / "state"
    script.write_text(_WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(script), str(Path(__file__).parents[1]), str(out), str(script.parent)]
    arguments[-1] += "/config.toml"
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(f"{out}.{rank}", weights_only=True) for rank in (0, 1))
    for (ours, log), (theirs, same) in zip(first, second, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert log == same
    for (ours, log), preset in zip(first, ("aumer", "published"), strict=False):
        alone, records = steps(preset, True)
        torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-5)
        for record, wanted in zip(log, records, strict=True):
            assert record == pytest.approx(wanted, rel=1e-4)
    losses = [record["loss_total"] for record in first[2][1]]
    assert losses[-1] < losses[0]
    written = {path.name for path in (tmp_path / "out").glob("*.*")}
    assert written == {"model.safetensors", "log.jsonl", "loss.png"}
    lines = (tmp_path / "out" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_mixed_precision_gives_nearly_the_same() -> None:
    exact, mixed = (
        train(simulated(), small(epochs=1, mixed_precision=flag)) for flag in (False, True)
    )
    ours, theirs = exact.log[0]["loss_total"], mixed.log[0]["loss_total"]
    assert ours != theirs, "nothing was rounded"
    assert ours == pytest.approx(theirs, rel=0.05)
    assert {value.dtype for value in mixed.net.parameters()} == {torch.float32}
