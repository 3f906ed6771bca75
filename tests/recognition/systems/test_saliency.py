"""Where in the picture and when: the place and the phase that a recognizer looks at are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from aumer.recognition.interface import Saliency
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.systems.cnn_lstm import CnnLstmRecognizer
from aumer.recognition.systems.system import at_rest, resting_phases, resting_squares

#: Row and column of the one square, and the phase, that `_Looks` sees.
ROW, COLUMN, PHASE = 2, 4, 6


class _Looks(CnnLstmRecognizer):
    """Sees gray values of one square in one phase, and nothing else."""

    classes = ("moves", "rests")

    def predict_proba(self, inputs: Sequence[ClipSequence], sources: Sequence[str] = ()) -> Any:
        shares = []
        for clip in inputs:
            rows, columns = (
                slice(k * clip.size // 7, (k + 1) * clip.size // 7) for k in (ROW, COLUMN)
            )
            edges = np.linspace(clip.apex, clip.offset, 5)[PHASE - 4 :]
            seen = range(int(edges[0]) + 1, int(edges[1]) + 1)
            moved = clip.gray[list(seen), rows, columns].astype(float)
            moved -= clip.gray[clip.onset, rows, columns]
            p = 0.1 + 0.8 * min(1.0, np.abs(moved).mean() / 20)
            shares.append([p, 1 - p])
        return np.array(shares)


@pytest.fixture
def clip() -> ClipSequence:
    """Noise, so that every pixel of every frame differs from the onset's."""
    rng = np.random.default_rng(0)
    landmarks = np.repeat(rng.uniform(-0.45, 0.45, (1, 68, 2)), 42, 0).astype(np.float32)
    landmarks += np.linspace(0, 0.01, 42, dtype=np.float32)[:, None, None]
    return ClipSequence(
        rng.integers(0, 256, (42, 56, 56), np.uint8),
        landmarks,
        rng.normal(0, 1, (41, 56, 56, 2)).astype(np.float32),
        onset=0,
        apex=20,
        offset=40,
        fps=100.0,
    )


def test_the_place_and_the_phase_are_found(clip: ClipSequence) -> None:
    found = _Looks().saliency(clip)
    assert found.space.shape == (Saliency.GRID,) * 2 and found.time.shape == (8,)
    expected = np.zeros((7, 7))
    expected[ROW, COLUMN] = 0.8  # all that it had moved for it
    assert found.space == pytest.approx(expected)
    assert found.time == pytest.approx(0.8 * np.eye(8)[PHASE])
    # Of the other class the same speaks against it.
    assert _Looks().saliency(clip, "rests").time == pytest.approx(-0.8 * np.eye(8)[PHASE])


def test_squares_and_phases_cover_the_clip_once(clip: ClipSequence) -> None:
    pixels = np.zeros(clip.gray.shape, int)
    points, flows = np.zeros(68, int), np.zeros(clip.flow_fields().shape[:3], int)
    for one in resting_squares(clip):
        pixels += (one.gray != clip.gray) | (one.gray == clip.gray[clip.onset])
        points += (one.landmarks[-1] == clip.landmarks[clip.onset]).all(1)
        flows += ~one.flow_fields().any(-1)
    frames = pixels[1:]
    rare = clip.gray[1:] == clip.gray[0]  # noise that is equal by chance is counted in each
    assert (frames[~rare] == 1).all() and (points == 1).all() and (flows == 1).all()
    when = np.zeros(len(clip), int)
    for phase in resting_phases(clip):
        assert phase is not None
        rested = (phase.gray == clip.gray[clip.onset]).all((1, 2))
        assert (rested[1:] == (~phase.flow_fields().any((1, 2, 3)))).all()
        when += rested
    assert when.tolist() == [8, *[1] * 40, 0]


def test_a_phase_without_a_frame_says_nothing(clip: ClipSequence) -> None:
    from dataclasses import replace

    short = replace(clip, apex=2)  # two of its four quarters hold no frame
    assert [one is None for one in resting_phases(short)][:4] == [True, False, True, False]
    found = _Looks().saliency(replace(clip, onset=20, apex=20))
    assert not found.time[:4].any() and found.time[PHASE] > 0.5


def test_what_lies_round_a_landmark_is_put_to_rest_as_before(clip: ClipSequence) -> None:
    rested = at_rest(clip, 30)
    x, y = ((clip.landmarks[0, 30] + 0.5) * clip.size).astype(int)
    assert (rested.gray[:, y, x] == clip.gray[0, y, x]).all()
    assert not rested.flow_fields()[:, y, x].any()
    assert (rested.landmarks[:, 30] == clip.landmarks[0, 30]).all()
    assert (rested.gray != clip.gray).mean() < 0.06  # a square of a fifth of the side
