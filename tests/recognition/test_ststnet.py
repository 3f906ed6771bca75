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
from aumer.recognition.learning import parameter_count
from aumer.recognition.ststnet import StstNet, StstNetRecognizer


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


def test_it_has_the_published_parameters() -> None:
    """Three streams of 3 x 3 convolutions with batch norm, and 400 numbers to 3 classes."""
    streams = sum(3 * 9 * f + f + 2 * f for f in (3, 5, 8))
    assert parameter_count(StstNet(3)) == streams + 400 * 3 + 3 == 1_683


def test_classes_need_not_be_weighed(tmp_path: Path) -> None:
    """As in the released training, whose settings these are but for the epochs."""
    uneven = clips().take(np.array([0, 1, 2, 3, 6, 9, 12, 15]))
    path = tmp_path / "plain.safetensors"
    shares = []
    for weighed in (True, False):
        made = StstNetRecognizer(epochs=3, batch=256, rate=5e-5, class_weights=weighed, seed=1)
        made.fit(uneven)
        shares.append(made.predict_proba(uneven.inputs))
    assert not np.array_equal(*shares)
    made.save(path, {})
    assert not StstNetRecognizer.load(path).class_weights
    with pytest.raises(UsageError, match="class_weights must be true or false; found 'no'"):
        StstNetRecognizer(class_weights="no")  # type: ignore[arg-type]
