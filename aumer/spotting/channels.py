"""The ten tracks of a spotting network, in the published order (AUW-GCN, ABPN)."""

from __future__ import annotations

from aumer.types import Kind

#: Two soft-maxes of three classes (onset, offset, neither), one for each kind, then four sigmoids.
CHANNELS: tuple[str, ...] = (
    "micro_onset",
    "micro_offset",
    "micro_neither",
    "macro_onset",
    "macro_offset",
    "macro_neither",
    "micro_apex",
    "macro_apex",
    "micro_action",
    "macro_action",
)


def column(kind: Kind, track: str) -> int:
    """Column of a track ("onset", "offset", "neither", "apex" or "action") of `kind`."""
    return CHANNELS.index(f"{kind}_{track}")


def classes(kind: Kind) -> list[int]:
    """Columns of the three classes of `kind`'s soft-max: onset, offset, neither."""
    return [column(kind, part) for part in ("onset", "offset", "neither")]
