"""TV-L1 in torch on a device: pairs a second, beside the compiled one on all cores of the CPU.

    python -m benchmarks.speed.flow_device [--device NAME] [--batches N ...] [--repeats N] [--save]

The bound is what memory alone allows: an iteration must read u, p and the linearized data and write
u and p, 16 floats a pixel, at the speed at which the device copies a large array; counted as if
every iteration ran, so that the early stop can beat it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from aumer.flow import tvl1 as constants
from aumer.flow.tvl1 import tvl1_pairs
from aumer.flow.tvl1_torch import TorchTvl1
from benchmarks.flows import face_pairs
from benchmarks.report import Report, options

FRAMES = 250_000  # of CAS(ME)^2
FLOATS = 16


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of `repeats` runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def bandwidth(device: torch.device, repeats: int) -> float:
    """Bytes a second, read and written, of a large copy."""
    a = torch.zeros(64 << 20, device=device)
    b = torch.empty_like(a)

    def copy() -> None:
        b.copy_(a)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return 2 * a.numel() * 4 / fastest(copy, repeats)


def bound(size: int, speed: float) -> float:
    """Pairs a second if nothing but memory took time."""
    iterations = constants.WARPS * constants.OUTER_ITERATIONS * constants.INNER_ITERATIONS
    pixels, side = 0.0, float(size)
    for _ in range(constants.SCALES):
        if side < constants.MIN_SIDE:
            break
        pixels += side * side
        side *= constants.SCALE_STEP
    return speed / (4 * FLOATS * iterations * pixels)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    report = Report(f"TV-L1 in torch on {name}")
    speed = bandwidth(device, arguments.repeats)
    report.line(f"copies {speed / 1e9:.0f} GB a second")
    report.line(
        "   px  batch  pairs/s  bound/s  CPU, numba /s  ratio  250,000 frames  difference px"
    )
    faces = face_pairs(2)
    for size in (128, 256):
        few = [(a.gray, b.gray) for a, b in faces[size]]
        a, b = (np.stack([pair[k] for pair in few]) for k in range(2))
        reference = tvl1_pairs(a, b)
        ours = len(few) / fastest(lambda a=a, b=b: tvl1_pairs(a, b), arguments.repeats)
        for batch in arguments.batches:
            pairs = (few * -(-batch // len(few)))[:batch]
            flow = TorchTvl1(device)
            rate = batch / fastest(lambda f=flow, p=pairs: f.many(p), arguments.repeats)
            found = flow.many(few)
            apart = float(np.hypot(*np.moveaxis(found - reference, -1, 0)).mean())
            report.line(
                f"{size:5}{batch:7}{rate:9.0f}{bound(size, speed):9.0f}{ours:15.0f}"
                f"{rate / ours:7.1f}{FRAMES / rate / 60:12.1f} min{apart:15.4f}"
            )
    if arguments.save:
        report.save(f"flow_device-{device.type}.txt")


if __name__ == "__main__":
    main()
