"""Files of weights: what is written is read, and what is no such file is told alike everywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from aumer import weights
from aumer.errors import UsageError, WeightsError

KITES = weights.ArrayFormat("kites-2", "a kite", "a file that `aumer fly` wrote", ("kites-1",))
ARRAYS = {
    "one": np.array(3, np.int64),
    "wide": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "half": np.ones(2, np.float16),
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kite.safetensors"
    KITES.write(path, ARRAYS, {"tail": [1, 2]})
    about, arrays = KITES.read(path)
    assert about == {"format": "kites-2", "tail": [1, 2]}
    assert arrays.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == value.dtype and arrays[name].shape == value.shape
        np.testing.assert_array_equal(arrays[name], value)
    with pytest.raises(UsageError, match="exists already"):
        KITES.write(path, ARRAYS, {})
    with pytest.raises(UsageError, match="plain values"):
        KITES.write(path, ARRAYS, {"tail": float("nan")}, overwrite=True)
    assert KITES.read(path)[0] == about


def test_an_earlier_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    weights.ArrayFormat("kites-1", "a kite", "").write(path, ARRAYS, {})
    assert KITES.read(path)[0] == {"format": "kites-1"}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["wide", "half"])
def test_numbers_that_are_none_are_told_with_file_and_array(
    tmp_path: Path, name: str, bad: float
) -> None:
    path = tmp_path / "kite.safetensors"
    array = ARRAYS[name].copy()
    array.flat[-1] = bad
    KITES.write(path, {**ARRAYS, name: array}, {})
    with pytest.raises(WeightsError, match=rf"kite\.safetensors: 1 of the {array.size} .* {name} "):
        KITES.read(path)


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "kite.safetensors"
    with pytest.raises(WeightsError, match=r"no weights at .*kite\.safetensors: give .*aumer fly"):
        KITES.read(path)
    save_file(ARRAYS, path)
    with pytest.raises(WeightsError, match=r"without the card of a kite \(kites-2\);.*aumer fly"):
        KITES.read(path)
    for metadata in ("no JSON", "[1]", '{"format": "ships-1"}'):
        save_file(ARRAYS, path, {"aumer": metadata})
        with pytest.raises(WeightsError, match="not written by this version of aumer"):
            KITES.read(path)
    with pytest.raises(WeightsError, match="but one of 'ships-1'"):
        KITES.read(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(WeightsError, match=r"cannot read weights.*must hold a kite"):
        KITES.read(path)


def test_the_digest_is_of_names_and_numbers() -> None:
    known = weights.digest(ARRAYS)
    assert known == weights.digest(dict(reversed(ARRAYS.items())))
    assert known != weights.digest({**ARRAYS, "half": np.zeros(2, np.float16)})
    assert known != weights.digest(
        {**{k: v for k, v in ARRAYS.items() if k != "one"}, "two": np.array(3)}
    )


def test_a_network_takes_what_fits_it() -> None:
    net, other = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
    weights.fill(other, weights.arrays_of(net), "")
    assert weights.digest(weights.arrays_of(other)) == weights.digest(weights.arrays_of(net))
    found = weights.arrays_of(net)
    # As older files have it, or do not.
    weights.fill(other, {**found, "1.num_batches_tracked": np.array([7])}, "")
    assert int(other[1].num_batches_tracked) == 7  # type: ignore[arg-type]
    weights.fill(other, {k: v for k, v in found.items() if "tracked" not in k}, "")
    wrong = {**found, "2.bias": found["0.bias"], "0.weight": torch.zeros(3, 1)}
    del wrong["0.bias"]
    said = (
        r"no kite; missing: 0\.bias; unexpected: 2\.bias; "
        r"of another shape: 0\.weight \(3, 1\) instead of \(3, 2\)\. Fly"
    )
    with pytest.raises(WeightsError, match=said):
        weights.fill(other, wrong, "no kite", " Fly.")


def test_torch_is_not_needed_to_read(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from aumer import weights\n"
        "made = weights.ArrayFormat('a-1', 'a', 'b')\n"
        "made.write(sys.argv[1], {'x': np.zeros(2)}, {})\n"
        "made.read(sys.argv[1])\n"
        "assert 'torch' not in sys.modules"
    )
    made = [sys.executable, "-c", code, str(tmp_path / "a.safetensors")]
    assert subprocess.run(made, check=False).returncode == 0


def test_numbers_that_numpy_has_not_are_told(tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_tensors

    for dtype in (torch.bfloat16, torch.float8_e4m3fn):
        foreign, ours = tmp_path / "foreign.safetensors", tmp_path / "ours.safetensors"
        tensors = {"a": torch.zeros(3).to(dtype)}
        save_tensors(tensors, foreign)
        with pytest.raises(WeightsError, match="without the card of a kite"):
            KITES.read(foreign)
        save_tensors(tensors, ours, {"aumer": '{"format": "kites-2"}'})
        with pytest.raises(WeightsError, match="cannot read weights"):
            KITES.read(ours)
