"""Dense optical flow behind one signature.

A flow is ``f(previous, following) -> (H, W, 2) float32``: for each pixel of `previous` its
displacement (x to the right, y down) in px to `following`; both images are (H, W) uint8. Every
flow is pure: no call leaves anything behind for the next.
"""

from __future__ import annotations

from typing import Protocol

from aumer.types import FloatArray, ImageArray

#: A box of an image in px: left, top, right, bottom, the last two not in it.
Region = tuple[int, int, int, int]


class Flow(Protocol):
    """The flow seam: (H, W) uint8, (H, W) uint8 -> (H, W, 2) float32 px.

    A flow may offer more, and is used accordingly:

    - ``many(pairs)``: the flows of several pairs of one size, and ``batch``, how many it likes;
    - ``within(region)``: a flow of the same kind that seeks motion in `region` alone, from whole
      images, and is 0 outside. It must not matter who asks for which region, nor when.
    """

    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray: ...
