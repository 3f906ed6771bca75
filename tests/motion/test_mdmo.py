"""MDMO against the published code's numbers, a slow loop made from the text, and closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aumer.motion.mdmo import (
    HEAD_BINS,
    ROI_BINS,
    ROIS,
    Bins,
    boxes,
    main_direction_mean,
    published_mdmo,
)

QUARTERS = Bins(edges=(0.0, 90.0, 180.0, 270.0), strongest=1.0)


def mdmo(
    vectors: list[tuple[float, float]], bins: Bins = QUARTERS, inside: list[bool] | None = None
) -> np.ndarray:
    """MDMO of one region, (2,)."""
    region = np.array(vectors, np.float32).reshape(1, -1, 2)
    mask = np.array(inside or [True] * len(vectors))[None]
    result = main_direction_mean(region, mask, bins)
    assert result.shape == (1, 2)
    assert result.dtype == np.float32
    return np.asarray(result[0])


def polar(angle: float, length: float = 1.0) -> tuple[float, float]:
    return length * math.cos(math.radians(angle)), length * math.sin(math.radians(angle))


# Closed forms


@pytest.mark.parametrize("bins", [HEAD_BINS, ROI_BINS, QUARTERS])
@given(st.floats(-180, 180), st.floats(0.01, 50))
def test_equal_vectors_give_that_vector(bins: Bins, angle: float, length: float) -> None:
    vector = polar(angle, length)
    # 1e-6 in the norm of the sum of 60 or more vectors: a share of under 1e-6 / (60 length).
    np.testing.assert_allclose(mdmo([vector] * 121, bins), vector, atol=1e-5 * max(1, length))


def test_the_length_is_the_mean_length_and_not_the_length_of_the_mean() -> None:
    """Vectors 60 degrees apart: their mean is shorter than they are, MDMO is not."""
    x, y = mdmo([polar(15, 2.0), polar(75, 2.0)])
    assert math.hypot(x, y) == pytest.approx(2.0, abs=1e-5)
    assert math.degrees(math.atan2(y, x)) == pytest.approx(45.0, abs=1e-3)


def test_the_direction_is_that_of_the_sum_and_longer_vectors_weigh_more() -> None:
    x, y = mdmo([polar(0.1, 3.0), polar(89.9, 1.0)])
    assert math.degrees(math.atan2(y, x)) == pytest.approx(math.degrees(math.atan2(1, 3)), abs=0.1)
    assert math.hypot(x, y) == pytest.approx(2.0, abs=1e-5)


def test_the_norm_is_cushioned_as_published() -> None:
    tiny = 1e-6
    # Sum of 4 is 4e-6; the unit vector is 4 / (4 + 1) long.
    np.testing.assert_allclose(mdmo([(tiny, 0.0)] * 4), (0.8 * tiny, 0.0), rtol=1e-5)


@pytest.mark.parametrize("bins", [HEAD_BINS, ROI_BINS])
def test_no_motion_gives_zero(bins: Bins) -> None:
    np.testing.assert_array_equal(mdmo([(0.0, 0.0)] * 121, bins), (0.0, 0.0))
    np.testing.assert_array_equal(mdmo([(-0.0, -0.0)] * 121, bins), (0.0, 0.0))


# Bins


@pytest.mark.parametrize("bins", [HEAD_BINS, ROI_BINS, QUARTERS])
@pytest.mark.parametrize("k", range(4))
def test_the_fullest_bin_speaks_alone(bins: Bins, k: int) -> None:
    begin, end = bins.edges[k], (*bins.edges, bins.edges[0] + 360)[k + 1]
    middle = (begin + end) / 2
    few = [polar(middle + 180, 9.0)] * 3 + [polar(middle + 90, 9.0)] * 3  # long, but fewer
    many = [polar(begin + 1)] * 3 + [polar(end - 1)] * 3
    x, y = mdmo(few + many, Bins(bins.edges, 1.0))
    assert math.degrees(math.atan2(y, x)) % 360 == pytest.approx(middle % 360, abs=1e-3)
    assert math.hypot(x, y) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("on_edge", "opens"),
    [((1, 1), 45), ((-1, 1), 135), ((-1, -1), 225), ((1, -1), 315)],
)
def test_an_angle_on_an_edge_belongs_to_the_bin_that_begins_there(
    on_edge: tuple[float, float], opens: float
) -> None:
    """Exact in float32: these angles are multiples of 45 degrees."""
    after, before = polar(opens + 20), polar(opens - 20)
    bins = Bins(HEAD_BINS.edges, 1.0)
    # 2 + 1 on the one side against 2 on the other: the vector on the edge decides.
    vectors = [after] * 2 + [before] * 2 + [on_edge]
    expected = np.array(after) * 2 + on_edge
    found = mdmo(vectors, bins)  # type: ignore[arg-type]
    np.testing.assert_allclose(
        found / np.linalg.norm(found), expected / np.linalg.norm(expected), atol=1e-6
    )


@pytest.mark.parametrize("on_edge", [(1.0, 0.0), (1.0, -0.0), (1.0, -1e-12), (1.0, -1e-20)])
def test_angle_zero_and_a_hair_below_it(on_edge: tuple[float, float]) -> None:
    """The angle of (1, -1e-20) modulo 360 rounds to 360, which no bin names."""
    found = mdmo([on_edge] * 5, QUARTERS)
    np.testing.assert_allclose(found, (1.0, 0.0), atol=1e-6)
    round_zero = mdmo([on_edge] * 3 + [polar(60)] * 4 + [polar(330)] * 2, HEAD_BINS)
    # In the head's bins 0 lies inside the last one (315 to 45), with 330: 5 against 4.
    assert round_zero[1] < 0.2


@pytest.mark.parametrize(
    ("angles", "winner"),
    [
        ((60, 120), None),  # one bin of the ROIs: no tie at all
        ((90, 180), 90),
        ((270, 90), 90),
        ((0, 270), 270),
        ((0, 180), 180),
        ((180, 270), 180),
        ((0, 90, 180, 270), 90),
    ],
)
def test_of_equally_full_bins_the_first_wins(angles: tuple[float, ...], winner: float) -> None:
    for order in (angles, angles[::-1]):
        x, y = mdmo([polar(a, 1 + k) for a in order for k in range(3)], Bins(ROI_BINS.edges, 1.0))
        expected = winner if winner is not None else 90
        assert math.degrees(math.atan2(y, x)) % 360 == pytest.approx(expected, abs=1e-3)


def test_a_tie_is_not_broken_by_length() -> None:
    x, y = mdmo([polar(90, 0.1)] * 5 + [polar(180, 100.0)] * 5, Bins(ROI_BINS.edges, 1.0))
    assert (x, y) == pytest.approx((0.0, 0.1), abs=1e-5)


# The strongest share


@pytest.mark.parametrize(
    ("n", "share", "kept"),
    [(10, 0.6, 6), (9, 0.6, 5), (4, 0.6, 2), (2, 0.6, 1), (121, 0.6, 72), (8, 0.88, 7)],
)
def test_the_number_kept_is_floored(n: int, share: float, kept: int) -> None:
    lengths = np.arange(1.0, n + 1)
    expected = lengths[::-1][:kept].mean()
    vectors = [polar(90, length) for length in np.random.default_rng(0).permutation(lengths)]
    assert mdmo(vectors, Bins(ROI_BINS.edges, share))[1] == pytest.approx(expected, rel=1e-5)


def test_the_share_is_of_the_fullest_bin_and_not_of_the_region() -> None:
    vectors = [polar(90, k) for k in range(1, 6)] + [polar(0, 1.0)] * 4 + [polar(180, 1.0)] * 4
    # 3 of the 5 upward vectors; 7 of all 13 would take in all five.
    assert mdmo(vectors, ROI_BINS) == pytest.approx((0.0, 4.0), abs=1e-5)


@pytest.mark.parametrize("bins", [HEAD_BINS, ROI_BINS])
def test_fewer_than_two_vectors_in_the_fullest_bin_give_zero(bins: Bins) -> None:
    """floor(1 * .6) = floor(1 * .88) = 0 vectors are kept."""
    np.testing.assert_array_equal(mdmo([polar(90, 5.0)], bins), (0, 0))
    one_each = [polar(a, 5.0) for a in (0, 90, 180, 270)]
    np.testing.assert_array_equal(mdmo(one_each, bins), (0, 0))
    assert np.linalg.norm(mdmo([*one_each, polar(90, 5.0)], bins)) == pytest.approx(5.0, abs=1e-4)


# Pixels that do not count


def test_what_lies_outside_has_no_say() -> None:
    vectors = [polar(90, 2.0)] * 3 + [polar(0, 9.0)] * 7
    inside = [True] * 3 + [False] * 7
    np.testing.assert_array_equal(mdmo(vectors, ROI_BINS, inside), mdmo(vectors[:3], ROI_BINS))
    assert mdmo(vectors, ROI_BINS, inside)[1] == pytest.approx(2.0, abs=1e-5)
    np.testing.assert_array_equal(mdmo(vectors, ROI_BINS, [False] * 10), (0, 0))


def test_flow_that_is_unknown_gives_no_number_and_spoils_no_other_region() -> None:
    vectors = np.tile(np.float32([0.0, 1.0]), (3, 20, 1))
    vectors[1, 7] = np.nan
    found = main_direction_mean(vectors, np.ones((3, 20), bool), ROI_BINS)
    assert np.isnan(found[1]).any()  # a number here would be made up
    np.testing.assert_allclose(found[[0, 2]], [(0, 1)] * 2, atol=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_regions_do_not_see_each_other_and_the_order_of_pixels_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(5, 30, 2)).astype(np.float32)
    inside = rng.random((5, 30)) < 0.8
    together = main_direction_mean(vectors, inside, ROI_BINS)
    for k in range(5):
        shuffled = rng.permutation(30)
        alone = main_direction_mean(
            vectors[k : k + 1, shuffled], inside[k : k + 1, shuffled], ROI_BINS
        )
        np.testing.assert_allclose(alone[0], together[k], atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
@settings(max_examples=30)
def test_quarter_turns_turn_the_head_motion(seed: int, turns: int) -> None:
    """The head's bins are alike, but of a tie the first of them is the winner."""
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(1, 31, 2)) + rng.normal(size=2) * 3).astype(np.float32)
    angles = np.degrees(np.arctan2(*vectors[0].astype(float).T[::-1]))
    sizes = np.bincount(np.floor((angles + 45) / 90).astype(int) % 4, minlength=4)
    assume((sizes == sizes.max()).sum() == 1)
    turned = vectors
    for _ in range(turns):
        turned = np.stack([-turned[..., 1], turned[..., 0]], axis=-1)
    inside = np.ones((1, 31), bool)
    before = main_direction_mean(vectors, inside, HEAD_BINS)[0]
    for _ in range(turns):
        before = np.array([-before[1], before[0]])
    np.testing.assert_allclose(main_direction_mean(turned, inside, HEAD_BINS)[0], before, atol=1e-4)


# Boxes


def test_boxes_hold_their_corners() -> None:
    flow = np.random.default_rng(0).normal(size=(20, 30, 2)).astype(np.float32)
    low, high = np.array([(3, 4), (10, 2)]), np.array([(7, 6), (14, 4)])
    vectors, inside = boxes(flow, low, high)
    assert vectors.shape == (2, 15, 2)
    assert inside.all()
    for k, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True)):
        np.testing.assert_array_equal(
            vectors[k], flow[y0 : y1 + 1, x0 : x1 + 1].reshape(-1, 2), strict=True
        )


@pytest.mark.parametrize("x", [-20, -3, 0, 5, 26, 29, 50])
@pytest.mark.parametrize("y", [-20, -3, 0, 5, 16, 19, 50])
def test_a_box_is_cut_at_the_edge_of_the_image(x: int, y: int) -> None:
    flow = np.random.default_rng(0).normal(size=(20, 30, 2)).astype(np.float32)
    before = flow.copy()
    vectors, inside = boxes(flow, np.array([(x, y)]), np.array([(x + 4, y + 2)]))
    rows, columns = range(max(0, y), min(20, y + 3)), range(max(0, x), min(30, x + 5))
    expected = [flow[r, c] for r in rows for c in columns]
    assert inside.sum() == len(expected)
    np.testing.assert_array_equal(vectors[inside], np.reshape(expected, (-1, 2)))
    np.testing.assert_array_equal(flow, before)


# The whole of it, once more and slowly


def slow_region(
    flow: np.ndarray, x0: int, y0: int, x1: int, y1: int, edges: list[int], share: float
) -> np.ndarray:
    """One region by the text of field.md, section 2: one pixel, one bin, one vector at a time."""
    bins: list[list[tuple[float, float, float]]] = [[], [], [], []]
    for y in range(y0, y1 + 1):
        for x in range(x0, x1 + 1):
            if not (0 <= y < flow.shape[0] and 0 <= x < flow.shape[1]):
                continue
            u, v = map(float, flow[y, x])
            angle = math.degrees(math.atan2(v, u)) % 360
            for k in range(3):
                if edges[k] <= angle < edges[k + 1]:
                    bins[k].append((math.hypot(u, v), u, v))
                    break
            else:
                bins[3].append((math.hypot(u, v), u, v))
    fullest = bins[0]
    for other in bins[1:]:
        if len(other) > len(fullest):
            fullest = other
    kept = sorted(fullest, reverse=True)[: math.floor(len(fullest) * share)]
    if not kept:
        return np.zeros(2)
    mean = sum(m for m, _, _ in kept) / len(kept)
    total = np.array([sum(u for _, u, _ in kept), sum(v for _, _, v in kept)])
    unit: np.ndarray = total / (math.hypot(*total) + 1e-6)
    return unit * mean


def slow_mdmo(flow: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    eyes = abs(int(landmarks[42][0]) - int(landmarks[39][0]))
    margin = int(eyes / 2 * 0.35)
    (xa, ya), (xb, yb) = landmarks[29].tolist(), landmarks[30].tolist()
    head = slow_region(
        flow,
        min(xa, xb) - margin,
        min(ya, yb) - margin,
        max(xa, xb) + margin,
        max(ya, yb) + margin,
        [45, 135, 225, 315],
        0.88,
    )
    still = flow - head.astype(np.float32)
    rows = []
    for landmark in (18, 19, 20, 23, 24, 25, 28, 30, 48, 51, 54, 57):
        x, y = landmarks[landmark].tolist()
        rows.append(slow_region(still, x - 5, y - 5, x + 5, y + 5, [30, 150, 210, 330], 0.6))
    return np.array(rows)


def a_face(rng: np.random.Generator, height: int, width: int, reach: int) -> np.ndarray:
    """68 landmarks anywhere in the image, and up to `reach` px outside of it."""
    low, high = -reach, np.array([width, height]) + reach
    return rng.integers(low, high, size=(68, 2))


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(40, 90)), int(rng.integers(40, 90))
    shape = (height, width, 2)
    flow = rng.normal(size=shape) * rng.uniform(0.01, 3) + rng.normal(size=2) * (seed % 3)
    if seed % 2:
        flow[rng.random(shape[:2]) < 0.5] = 0  # most of a face is at rest
    flow = flow.astype(np.float32)
    landmarks = a_face(rng, height, width, reach=12 if seed > 2 else 0)
    landmarks[[29, 30]] = landmarks[29] + [(0, 0), (2, 9)]
    landmarks[[39, 42]] = [(20, 30), (20 + 4 * seed, 30)]
    before = flow.copy()
    np.testing.assert_allclose(
        published_mdmo(flow, landmarks), slow_mdmo(flow, landmarks), atol=1e-5
    )
    np.testing.assert_array_equal(flow, before)


def test_equals_what_the_published_code_computes(shared_data: Callable[[str], Path]) -> None:
    golden = np.load(shared_data("golden/auwgcn.npz"))
    flows, faces = golden["mdmo/flow"], golden["mdmo/landmarks"]
    expected = golden["mdmo/features"]
    assert len(flows) == 12
    assert np.abs(expected).max() > 0.1  # it is not about zeros
    found = np.stack([published_mdmo(f, p) for f, p in zip(flows, faces, strict=True)])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_the_slow_loop_is_the_published_code_too(shared_data: Callable[[str], Path]) -> None:
    """Or the loop and the fast code might share a mistake."""
    golden = np.load(shared_data("golden/auwgcn.npz"))
    found = slow_mdmo(golden["mdmo/flow"][0], golden["mdmo/landmarks"][0])
    np.testing.assert_allclose(found, golden["mdmo/features"][0], atol=1e-5)


def test_head_motion_is_taken_out() -> None:
    rng = np.random.default_rng(1)
    landmarks = a_face(rng, 90, 90, reach=0)
    head = np.float32([1.5, -0.7])
    flow = np.tile(head, (90, 90, 1))
    np.testing.assert_allclose(published_mdmo(flow, landmarks), 0, atol=1e-5)
    for roi, own in (("mouth_l", (0.3, -0.8)), ("brow_r_mid", (0.0, 0.6))):
        x, y = np.array([45, 45]) if roi == "mouth_l" else np.array([20, 20])
        landmarks[:] = (70, 70)
        landmarks[ROIS[roi]] = (x, y)
        landmarks[[39, 42]] = [(58, 70), (82, 70)]  # the head is read from 9 x 9 px
        moved = flow.copy()
        moved[y - 6 : y + 7, x - 6 : x + 7] += np.float32(own)
        found = dict(zip(ROIS, published_mdmo(moved, landmarks), strict=True))
        np.testing.assert_allclose(found.pop(roi), own, atol=1e-5)
        np.testing.assert_allclose(list(found.values()), 0, atol=1e-5)


def test_the_nodes_are_the_published_ones_in_their_order() -> None:
    assert list(ROIS.values()) == [18, 19, 20, 23, 24, 25, 28, 30, 48, 51, 54, 57]
    assert len(set(ROIS)) == 12
