"""Devices by name."""

from __future__ import annotations

import pytest
import torch

from aumer.errors import UsageError
from aumer.learning.machine import device_of, torchrun


def test_devices_that_are_here() -> None:
    assert device_of("cpu") == torch.device("cpu")
    assert device_of("auto").type in ("cpu", "cuda")
    with torchrun("cpu") as device:
        assert device.type == "cpu"


@pytest.mark.parametrize("name", ["nosuch", "cuda:99", "mps:9", "meta", "cpu:7"])
def test_a_device_that_is_not_here_is_told_before_any_work(name: str) -> None:
    told = f"device '{name}' cannot be used here .*give `device='cpu'`"
    with pytest.raises(UsageError, match=told) as raised, torchrun(name):
        raise AssertionError("it was entered")
    assert len(str(raised.value)) < 500  # torch may go on for a thousand words
