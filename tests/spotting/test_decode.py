"""Decoders: the published one equal to the golden values, ours on perfect and on noisy scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aumer.errors import ConfigError, UsageError
from aumer.spotting.auwgcn.decoder import (
    CasmeSqDecoder,
    PublishedDecoder,
    SammLvDecoder,
)
from aumer.spotting.decode import Decoder, Proposal, probabilities
from aumer.spotting.targets import TargetEvent, targets
from aumer.testing.decoding import as_scores, counts, length_of, noisy, read_events
from aumer.types import KINDS, Counts, Expression, FloatArray, Scores
from tests.cost import cpu_seconds

SharedData = Callable[[str], Path]
PRESETS = ("casme-sq", "samm-lv")
TABLES = [("casme_sq_auwgcn.csv", 30.0), ("samm_lv_25fps_auwgcn.csv", 25.0)]
RATE = 30.0


def _scores(events: tuple[TargetEvent, ...], length: int, rate: float = RATE) -> Scores:
    return as_scores(targets(events, length, rate).values, rate)


def _rows(found: tuple[Expression, ...]) -> list[tuple[str, int, int, int]]:
    return [(e.kind, e.onset, e.apex, e.offset) for e in found]


@st.composite
def _apart(draw: st.DrawFn) -> tuple[tuple[TargetEvent, ...], int]:
    """Expressions of usual durations at least a second apart, and the length of their video."""
    events, row = [], draw(st.integers(0, 60))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(KINDS))
        low, high = (6, 14) if kind == "micro" else (18, 90)
        duration = draw(st.integers(low, high))
        apex = draw(st.integers(3, duration - 3))
        events.append(TargetEvent(row, row + duration, row + apex, kind))
        row += duration + draw(st.integers(31, 90))
    return tuple(events), row


# As published


@pytest.fixture(params=PRESETS)
def preset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _golden_rows(proposals: list[Proposal]) -> npt.NDArray[np.float64]:
    return np.array(
        [(p.onset + 1, p.offset + 1, 1 + (p.kind == "micro"), p.score) for p in proposals]
    )


def _in_order(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return rows[np.lexsort(rows.T)]


def test_published_decoder_is_the_golden_one(shared_data: SharedData, preset: str) -> None:
    prefix = f"decode/{preset.replace('-', '_')}"
    decoder = PublishedDecoder.named(preset)
    with np.load(shared_data("golden/auwgcn.npz")) as file:
        golden = {k.removeprefix(f"{prefix}/"): file[k] for k in file if k.startswith(prefix)}
    for video in ("v1", "v2"):
        logits = np.concatenate(list(golden["logits"][golden["video"] == video].swapaxes(1, 2)))
        proposals = decoder.proposals(probabilities(logits))
        wanted = golden["proposals"][golden["proposals_video"] == video]
        assert np.allclose(_in_order(_golden_rows(proposals)), _in_order(wanted), atol=1e-6)
        kept = golden["kept"][golden["kept_video"] == video]
        assert np.allclose(_golden_rows(decoder.nms(proposals)), kept, atol=1e-6)


def test_published_decoder_names_frames_from_0(preset: str) -> None:
    decoder = PublishedDecoder.named(preset)
    values = np.random.default_rng(0).random((300, 10)).astype(np.float32)
    found = decoder(as_scores(values, decoder.rate))
    kept = decoder.nms(decoder.proposals(values))
    assert kept
    assert sorted((e.onset, e.offset) for e in found) == sorted((p.onset, p.offset) for p in kept)


def test_published_decoder_insists_on_its_rate() -> None:
    with pytest.raises(UsageError, match="25 a second; these scores have 30"):
        SammLvDecoder()(as_scores(np.zeros((60, 10), np.float32), 30.0))


def test_published_presets_by_name() -> None:
    with pytest.raises(UsageError, match="Did you mean 'casme-sq'"):
        PublishedDecoder.named("casme_sq")


def test_published_decoder_of_little() -> None:
    decoder = CasmeSqDecoder()
    for length in (0, 1, 5):
        assert decoder(as_scores(np.ones((length, 10), np.float32), 30.0)) == ()


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_published_nms_leaves_no_two_alike_whatever_the_order(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    starts = rng.integers(1, 80, n)
    proposals = [
        Proposal(int(a), int(a + d), int(a), KINDS[k], float(s))
        for a, d, k, s in zip(
            starts,
            rng.integers(4, 40, n),
            rng.integers(0, 2, n),
            rng.permutation(n) / max(n, 1),
            strict=True,
        )
    ]
    decoder = CasmeSqDecoder()
    kept = decoder.nms(proposals)
    for i, p in enumerate(kept):
        for q in kept[:i]:
            shared = min(p.offset, q.offset) - max(p.onset, q.onset)
            union = p.offset - p.onset + q.offset - q.onset - shared
            assert p.kind != q.kind or shared <= 0.5 * union
    assert all(sum(p.kind == kind for p in kept) <= 5 for kind in KINDS)
    shuffled = [proposals[k] for k in rng.permutation(n)]
    assert decoder.nms(shuffled) == kept


# Ours, on perfect scores


@pytest.mark.parametrize(("table", "rate"), TABLES)
def test_perfect_scores_give_the_tables_back(
    shared_data: SharedData, table: str, rate: float
) -> None:
    total = Counts()
    for events in read_events(shared_data(f"annotations/{table}")).values():
        total += counts(Decoder()(_scores(events, length_of(events), rate)), events)
    assert total.tp + total.fn in (313, 502)
    assert total.f1 >= 0.99


@pytest.mark.parametrize(("table", "rate"), TABLES)
@pytest.mark.parametrize(
    ("sigma", "f1", "precision"), [(0.1, 0.98, 0.98), (0.2, 0.95, 0.95), (0.3, 0.90, 0.85)]
)
def test_noise_does_not_break_it(
    shared_data: SharedData, table: str, rate: float, sigma: float, f1: float, precision: float
) -> None:
    rng = np.random.default_rng(0)
    total = Counts()
    for events in read_events(shared_data(f"annotations/{table}")).values():
        values = noisy(targets(events, length_of(events), rate).values, sigma, rng)
        total += counts(Decoder()(as_scores(values, rate)), events)
    assert total.f1 >= f1
    assert total.precision >= precision


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_is_no_expression(seed: int) -> None:
    blank = targets((), 3000, RATE).values
    values = noisy(blank, 0.3, np.random.default_rng(seed))
    assert Decoder()(as_scores(values, RATE)) == ()


@given(_apart(), st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_expressions_apart_come_back_and_move_with_the_video(
    given_events: tuple[tuple[TargetEvent, ...], int], by: int
) -> None:
    events, length = given_events
    found = Decoder()(_scores(events, length))
    assert len(found) == len(events)
    for e, event in zip(found, sorted(events), strict=True):
        assert e.kind == event.kind
        for row in ("onset", "apex", "offset"):
            assert abs(getattr(e, row) - getattr(event, row)) <= 1
    moved = tuple(TargetEvent(e.onset + by, e.offset + by, e.apex + by, e.kind) for e in events)
    later = Decoder()(_scores(moved, length + by))
    if events[0].onset >= 20:  # else the first one's surroundings differ
        assert _rows(later) == [(k, a + by, p + by, b + by) for k, a, p, b in _rows(found)]
    assert len(later) == len(found)


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.floats(5, 200))
@settings(max_examples=40, deadline=None)
def test_any_scores_give_closed_intervals_within_range(seed: int, n: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((n, 10)).astype(np.float32)
    valid = rng.random(n) > 0.1
    values[~valid] = np.nan
    scores = Scores(
        values, np.arange(n) / rate, np.arange(n) + 7, valid, as_scores(values, 1).channels
    )
    found = Decoder(threshold=0.2)(scores)
    for e in found:
        assert 7 <= e.onset <= e.apex <= e.offset <= n + 6
        assert e.onset_s == pytest.approx((e.onset - 7) / rate)
        assert 0.2 <= e.score <= 1
    assert len({(e.kind, e.apex) for e in found}) == len(found)
    assert list(found) == sorted(found, key=lambda e: (e.onset, e.offset, e.kind, -e.score))


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 1.0))
@settings(max_examples=20, deadline=None)
def test_a_threshold_only_sorts_out(seed: int, threshold: float) -> None:
    events = (TargetEvent(50, 90, 60, "macro"), TargetEvent(120, 132, 124, "micro"))
    blurred = 0.6 * targets(events, 300, RATE).values
    scores = as_scores(noisy(blurred, 0.2, np.random.default_rng(seed)), RATE)
    low = Decoder(threshold=0.2)(scores)
    high = Decoder(threshold=threshold)(scores)
    assert high == tuple(e for e in low if e.score >= threshold)


@pytest.mark.parametrize(
    "event",
    [
        TargetEvent(0, 40, 12, "macro"),
        TargetEvent(0, 12, 0, "micro"),
        TargetEvent(0, 12, 5, "micro"),
        TargetEvent(260, 299, 280, "macro"),
        TargetEvent(288, 299, 293, "micro"),
        TargetEvent(290, 299, 299, "micro"),
    ],
)
def test_expressions_at_the_very_ends_survive(event: TargetEvent) -> None:
    (found,) = Decoder()(_scores((event,), 300))
    assert found.kind == event.kind
    assert abs(found.onset - event.onset) <= 1 and abs(found.offset - event.offset) <= 1


def test_micro_inside_macro_and_one_after_another() -> None:
    events = (
        TargetEvent(50, 110, 70, "macro"),
        TargetEvent(64, 76, 69, "micro"),
        TargetEvent(110, 160, 130, "macro"),  # begins on the row where the first ends
        TargetEvent(200, 400, 290, "macro"),
        TargetEvent(230, 270, 245, "macro"),  # inside another of its kind
    )
    found = Decoder()(_scores(events, 450))
    assert counts(found, events) == Counts(tp=5)


def test_more_than_five_of_a_kind() -> None:
    events = tuple(TargetEvent(k, k + 40, k + 15, "macro") for k in range(20, 2020, 100))
    assert counts(Decoder()(_scores(events, 2100)), events) == Counts(tp=20)


@pytest.mark.parametrize("rate", [15.0, 25.0, 60.0, 200.0])
def test_any_rate_is_decoded_alike(rate: float) -> None:
    times = ((1.0, 2.5, 1.5, "macro"), (4.0, 4.4, 4.2, "micro"))
    events = tuple(TargetEvent(*(round(t * rate) for t in row[:3]), row[3]) for row in times)
    found = Decoder()(_scores(events, round(6 * rate), rate))
    assert counts(found, events) == Counts(tp=2)
    assert [e.kind for e in found] == ["macro", "micro"]


# Ours, on imperfect ones


def test_a_short_loss_of_the_face_is_bridged_a_long_one_parts() -> None:
    event = TargetEvent(100, 160, 120, "macro")
    scores = _scores((event,), 300)
    for lost, left in ((slice(130, 135), 1), (slice(105, 155), 0)):
        values, valid = scores.values.copy(), scores.valid.copy()
        values[lost], valid[lost] = np.nan, False
        found = Decoder()(replace(scores, values=values, valid=valid))
        assert counts(found, (event,)).tp == left
        assert all(valid[e.apex] for e in found)


def test_no_valid_row_and_no_row() -> None:
    scores = _scores((TargetEvent(20, 50, 30, "macro"),), 100)
    nothing = replace(scores, values=np.full_like(scores.values, np.nan), valid=~scores.valid)
    assert Decoder()(nothing) == ()
    assert Decoder()(as_scores(np.zeros((0, 10), np.float32), RATE)) == ()
    Decoder()(as_scores(np.ones((1, 10), np.float32), RATE))


def test_growth_finds_boundaries_that_the_boundary_tracks_miss() -> None:
    event = TargetEvent(100, 160, 120, "macro")
    scores = _scores((event,), 300)
    values = scores.values.copy()
    values[:, :6] = targets((), 300, RATE).values[:, :6]
    (found,) = Decoder(threshold=0.4)(replace(scores, values=values))
    assert abs(found.onset - 100) <= 2 and abs(found.offset - 160) <= 2
    (sure,) = Decoder()(scores)
    assert found.score < sure.score


def test_a_micro_track_that_lasts_is_no_micro_expression() -> None:
    assert Decoder()(_scores((TargetEvent(100, 130, 112, "micro"),), 300)) == ()  # 1 s


def test_of_two_kinds_at_one_place_the_much_weaker_goes() -> None:
    both = (TargetEvent(100, 114, 106, "micro"), TargetEvent(100, 114, 106, "macro"))
    scores = _scores(both, 300)
    assert [e.kind for e in Decoder()(scores)] == ["macro", "micro"]
    weaker = scores.values.copy()
    weaker[:, [3, 4, 7, 9]] *= 0.4
    faint = replace(scores, values=weaker)
    assert [e.kind for e in Decoder(threshold=0.3)(faint)] == ["micro"]
    apart = replace(Decoder(threshold=0.3), rivalry=0.01)
    assert [e.kind for e in apart(faint)] == ["macro", "micro"]


def test_tracks_go_by_name() -> None:
    scores = _scores((TargetEvent(100, 160, 120, "macro"),), 300)
    order = np.random.default_rng(0).permutation(10)
    mixed = replace(
        scores,
        values=scores.values[:, order],
        channels=tuple(scores.channels[k] for k in order),
    )
    assert Decoder()(mixed) == Decoder()(scores)
    with pytest.raises(UsageError, match="lack macro_action"):
        Decoder()(replace(scores, values=scores.values[:, :9], channels=scores.channels[:9]))


# Settings


def test_settings_survive_as_plain_values() -> None:
    decoder = replace(Decoder(threshold=0.37), micro=replace(Decoder().micro, reach_s=0.5))
    plain = decoder.to_dict()
    plain["micro"]["usual_s"] = list(plain["micro"]["usual_s"])  # as JSON gives it back
    assert Decoder.from_dict(plain) == decoder
    assert Decoder.from_dict({}) == Decoder()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threshold": 0.0}, r"threshold must be in \(0, 1\]"),
        ({"threshold": float("nan")}, "threshold must be a number; found nan"),
        ({"bridge_s": -1.0}, "bridge_s must be from 0"),
        ({"boundaries": 0}, "must be from 1"),
        ({"treshold": 0.4}, "Did you mean 'threshold'"),
        ({"micro": {"reach": 1.0}}, "Did you mean 'reach_s'"),
        ({"micro": {"usual_s": [2.0, 1.0]}}, "from the shorter to the longer"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Decoder.from_dict(wrong)


def test_probabilities_are_stable() -> None:
    logits = np.array([[1e4, -1e4, 0, 0, 0, 0, 1e4, -1e4, 0, 2.0]])
    found: FloatArray = probabilities(logits)
    assert np.allclose(found[0], [1, 0, 0, *[1 / 3] * 3, 1, 0, 0.5, 1 / (1 + np.exp(-2))])


def test_an_hour_takes_well_under_a_second() -> None:
    events = tuple(TargetEvent(k, k + 40, k + 15, "macro") for k in range(100, 107_000, 400))
    scores = _scores(events, 108_000)
    assert len(Decoder()(scores)) == len(events)
    assert cpu_seconds(lambda: Decoder()(scores)) < 1
