"""Flow maps of aligned sequences, for recognizers of flow maps."""

from __future__ import annotations

import numpy as np

from aumer.errors import NoFaceError
from aumer.flow import Flow, FlowFunction
from aumer.flow import resolve as resolve_flow
from aumer.motion import AlignedFace
from aumer.recognition.flow_map import flow_map
from aumer.recognition.interface import Clips
from aumer.recognition.sequences.clips import ClipSequence, SequenceClips


def flow_maps_of(
    clips: SequenceClips,
    flow: str | Flow | FlowFunction = "tvl1",
    *,
    max_head_residual: float = 1.0,
) -> Clips:
    """The motion of each clip from onset to apex, via the frame in between.

    Args:
        flow: name or function; a clip's own flow is from frame to frame and is not used.
        max_head_residual: see `aumer.motion.without_head`.

    Raises:
        UsageError: unknown flow.
        NoFaceError: a clip does not show one face in motion.
    """
    function = resolve_flow(flow)
    maps = []
    for number, clip in enumerate(clips.inputs):
        between = (clip.onset + clip.apex) // 2
        via = [_face(clip, between)] if clip.onset < between < clip.apex else []
        found = flow_map(
            _face(clip, clip.onset),
            _face(clip, clip.apex),
            function,
            via=via,
            max_head_residual=max_head_residual,
        )
        if found is None:
            name = clips.names[number] if clips.names else str(number)
            raise NoFaceError(
                f"clip {name} of subject {clips.subjects[number]} does not show one face in motion "
                "between onset and apex"
            )
        maps.append(found)
    return Clips(
        np.stack(maps), clips.labels, clips.subjects, clips.classes, clips.names, clips.sources
    )


def _face(clip: ClipSequence, frame: int) -> AlignedFace:
    points = (clip.landmarks[frame] + 0.5) * clip.size - 0.5
    return AlignedFace(clip.gray[frame], points.astype(np.float32))
