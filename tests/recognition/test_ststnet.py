"""The shallow network of flow maps by the common loop: killed and resumed, alone and by two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aumer.errors import UsageError
from aumer.recognition.interface import Clips
from aumer.recognition.ststnet import StstNetRecognizer


def clips(count: int = 19) -> Clips:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(count, 28, 28, 3)).astype(np.float32)
    subjects = tuple(f"s{k % 4}" for k in range(count))
    return Clips(maps, np.arange(count) % 3, subjects, ("a", "b", "c"))


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(record: dict[str, Any]) -> None:
        if record["epoch"] == 2:
            raise Killed

    path = tmp_path / "checkpoint.safetensors"
    # Of batches of 6 the last one has a single clip, which is left out.
    whole = StstNetRecognizer(epochs=4, batch=6, seed=2).fit(clips())
    with pytest.raises(Killed):
        StstNetRecognizer(epochs=4, batch=6, seed=2).fit(clips(), checkpoint=path, callbacks=[kill])
    resumed = StstNetRecognizer(epochs=4, batch=6, seed=2).fit(clips(), checkpoint=path)
    torch.testing.assert_close(resumed.net.state_dict(), whole.net.state_dict(), rtol=0, atol=0)
    losses = [r["loss"] for r in whole.log]
    assert len(losses) == 4 and [r["loss"] for r in resumed.log] == losses
    with pytest.raises(UsageError, match="checkpoint of another run"):
        StstNetRecognizer(epochs=4, batch=6, seed=3).fit(clips(), checkpoint=path)

    class Mine(StstNetRecognizer):
        pass

    with pytest.raises(UsageError, match="checkpoint of another run"):
        Mine(epochs=4, batch=6, seed=2).fit(clips(), checkpoint=path)


_WORKER = """
import sys, torch
torch.set_num_threads(1)
sys.path[:0] = [sys.argv[1]]
from recognition.test_ststnet import clips
from aumer.learning.machine import torchrun
from aumer.recognition.ststnet import StstNetRecognizer
with torchrun():
    made = StstNetRecognizer(epochs=8, batch=6).fit(clips())
    state = made.net.state_dict(), [r["loss"] for r in made.log]
    torch.save(state, f"{sys.argv[2]}.{torch.distributed.get_rank()}")
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights(tmp_path: Path) -> None:
    script, out = tmp_path / "worker.py", tmp_path / "state"
    script.write_text(_WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(Path(__file__).parents[1]), str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (net, log), (other, same) = (torch.load(f"{out}.{k}", weights_only=True) for k in (0, 1))
    torch.testing.assert_close(net, other, rtol=0, atol=0)
    assert log == same and log[-1] < log[0]
