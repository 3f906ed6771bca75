"""The presets of `aumer.spotting.rivals`, for the tests of several modules."""

from __future__ import annotations

#: Of networks; rules are `RULES`.
RIVALS = (
    "boosting-vrme-like",
    "lgsnet-like",
    "me-tst-like",
    "softnet-like",
    "spotformer-like",
)
RULES = ("he-2021-like", "zhao-2022-like")
