"""Films whose frames carry their number as pixels, and the way to read it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

#: Squares of so many pixels a side, black or white, one a bit, the lowest first, in two rows; the
#: last of each row is the other's opposite, so that a picture without a number is told.
BITS, SIDE = 10, 16
WIDTH, HEIGHT = 192, 96


def numbered(number: int) -> npt.NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) uint8 RGB."""
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    bits = [number >> k & 1 for k in range(BITS)]
    for row, marks in enumerate((bits, [1 - b for b in bits])):
        for k, bit in enumerate(marks):
            x, y = 8 + k * SIDE, 16 + row * 2 * SIDE
            image[y : y + SIDE, x : x + SIDE] = 255 * bit
    return image


#: In the browser: the number in the canvas, -1 for none.
READ = f"""
const c = document.getElementById("frame");
const p = c.getContext("2d").getImageData(0, 0, c.width, c.height);
const y = (row) => 16 + row * {2 * SIDE} + {SIDE // 2};
const at = (k, row) => p.data[4 * (y(row) * c.width + 8 + k * {SIDE} + {SIDE // 2})];
let n = 0;
for (let k = 0; k < {BITS}; k++) {{
  const [a, b] = [at(k, 0) > 127, at(k, 1) > 127];
  if (a === b) return -1;
  n += a ? 2 ** k : 0;
}}
return n;
"""


def write(
    path: Path,
    count: int,
    *,
    times_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    rate: int = 25,
    options: dict[str, str] | None = None,
    turns: int = 0,
) -> Path:
    """A film of `count` numbered frames, at `times_ms` where given and else at `rate` a second.

    Args:
        turns: quarters by which its pictures lie turned counterclockwise.
    """
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        size = (WIDTH, HEIGHT) if turns % 2 == 0 else (HEIGHT, WIDTH)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(np.rot90(numbered(k), turns)), format="rgb24"
            )
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[k], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def uneven(count: int) -> list[int]:
    """Times (ms) of a variable rate, from 20 to 120 ms apart."""
    steps = np.random.default_rng(3).choice([20, 33, 40, 80, 120], count)
    return [int(t) for t in np.cumsum(steps) - steps[0]]
