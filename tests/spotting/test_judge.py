"""What is read of a proposal, what is made of it, and which proposals stay."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.config import load_settings
from aumer.errors import ConfigError, WeightsError
from aumer.simulate.features import simulate_features
from aumer.spotting import judge
from aumer.spotting.channels import CHANNELS
from aumer.spotting.combined import CombinedSpotter
from aumer.spotting.judge import READS, Judge, chosen, described
from aumer.spotting.network import SHIPPED, NetSpotter
from aumer.types import Expression, Features, Kind, Scores

RULES = load_settings().rules


def an(onset: int, offset: int, kind: Kind = "macro", score: float = 0.5) -> Expression:
    apex = (onset + offset) // 2
    return Expression(kind, onset, apex, offset, onset / 30, apex / 30, offset / 30, score)


def face(path: np.ndarray, rows: int) -> Features:
    """A face whose brow's middle is at `path` (rows + 1,) px, y down, above a little noise."""
    values = 0.01 * np.random.default_rng(0).standard_normal((rows, 12, 2)).astype(np.float32)
    values[:, 1:5, 1] += np.diff(path)[:, None].astype(np.float32)
    names = load_settings().motion.rois
    from aumer.graph.rois import roi_set

    frames = np.arange(rows)
    return Features(values, frames / 30, frames, np.ones(rows, bool), roi_set(names).names, 30.0)


def tracks(rows: int, **given: tuple[int, int, float]) -> Scores:
    """Scores of .001 but for some channels from a row to another."""
    values = np.full((rows, len(CHANNELS)), 1e-3, np.float32)
    for name, (first, last, score) in given.items():
        values[first : last + 1, CHANNELS.index(name)] = score
    frames = np.arange(rows)
    return Scores(values, frames / 30, frames, np.ones(rows, bool), CHANNELS)


def read_of(
    e: Expression, features: Features, scores: Scores, **others: object
) -> dict[str, float]:
    _, read = described(features, scores, [e], others.get("network", []), RULES)  # type: ignore[arg-type]
    return dict(zip(READS, read[0].tolist(), strict=True))


def only(whole: Features | Scores, rows: slice) -> Any:
    """What is in these rows, which keep their numbers."""
    made = {
        f.name: getattr(whole, f.name)[rows]
        for f in fields(whole)
        if isinstance(getattr(whole, f.name), np.ndarray)
    }
    return replace(whole, **made)


def test_what_is_read_of_a_movement_that_returns_and_of_one_that_stays() -> None:
    t = np.arange(301)
    rise = np.clip((t - 120) / 10, 0, 1)
    goes, comes = face(-2 * rise, 300), face(-2 * (rise - np.clip((t - 150) / 10, 0, 1)), 300)
    scores = tracks(300, macro_action=(118, 162, 0.9), micro_onset=(119, 121, 0.8))
    back, stays = (read_of(an(120, 160), f, scores) for f in (comes, goes))
    assert back["returns"] > 0.9 and stays["returns"] < 0.1
    assert back["unrest"] < 0.1
    assert back["action"] == pytest.approx(np.log(9), rel=1e-3)
    assert back["onset"] == pytest.approx(np.log(4), rel=1e-3)
    assert back["offset"] == pytest.approx(np.log(1e-3 / (1 - 1e-3)), rel=1e-3)
    assert back["around"] < 0 < back["action"]
    assert back["duration"] == pytest.approx(np.log(40 / 30))
    assert (back["by_rules"], back["rules"], back["network"]) == (1, 0, 0)
    assert back["peak"] > np.log(10)  # 2 px are .03 outer-eye distances, 20 units


@pytest.mark.parametrize("missing", ["before", "after"])
def test_what_a_video_cuts_off_is_not_held_to_return(missing: str) -> None:
    t = np.arange(301)
    path = -2 * (np.clip((t - 120) / 10, 0, 1) - np.clip((t - 150) / 10, 0, 1))
    scores = tracks(300, macro_action=(118, 162, 0.9))
    rows = slice(0, 146) if missing == "after" else slice(140, 300)
    part, seen = (only(x, rows) for x in (face(path, 300), scores))
    cut = read_of(an(120, 145) if missing == "after" else an(140, 160), part, seen)
    whole = read_of(an(120, 160), face(path, 300), scores)
    assert (whole["cut"], cut["cut"]) == (0, 1)
    assert whole["returns"] > 0.9 and cut["returns"] == 0  # not known, and not against it
    assert judge.shipped().weights["cut"] > 0


def test_where_a_face_is_lost_what_was_going_on_is_cut() -> None:
    t = np.arange(301)
    features = face(-2 * np.clip((t - 120) / 10, 0, 1), 300)
    valid = features.valid.copy()
    valid[146:220] = False
    assert read_of(an(120, 145), replace(features, valid=valid), tracks(300))["cut"] == 1


def test_a_proposal_agrees_with_the_other_spotters() -> None:
    still, scores = face(np.zeros(301), 300), tracks(300)
    near = [an(100, 119, score=0.8), an(100, 139, score=0.6)]
    assert len(described(still, scores, [an(100, 139)], near, RULES)[0]) == 1  # nothing moves there
    there = 2 * np.exp(-0.5 * ((np.arange(301) - 110) / 4) ** 2)
    moving = face(there, 300)
    both, read = described(moving, scores, [an(100, 139)], near, RULES)
    assert [e.score for e in both] == [0.5, 0.8, 0.6]
    agreement, other = read[:, READS.index("agreement")], read[:, READS.index("other")]
    assert agreement.tolist() == [1.0, 0.5, 1.0]
    assert other[0] == pytest.approx(np.log(0.6 / 0.4))  # of the one that agrees most
    assert other[1] == other[2] == 0  # odds of .5
    assert described(still, scores, [], [], RULES)[1].shape == (0, len(READS))


def test_where_nothing_is_known_numbers_stay_finite() -> None:
    rows = 40
    still = face(np.zeros(rows + 1), rows)
    valid = still.valid.copy()
    valid[:15] = False
    gone = replace(still, valid=valid)
    scores = tracks(rows)
    scores.values[:15] = np.nan
    for e in (an(0, 39), an(0, 1), an(38, 39), an(20, 20)):
        _, read = described(gone, scores, [e], [e], RULES)
        assert np.isfinite(read).all()


def test_the_likeliest_of_those_that_are_one_expression_stays() -> None:
    wide, narrow, apart = an(100, 160), an(102, 150), an(161, 200)
    inside, same_kind = an(110, 118, "micro"), an(110, 118, "macro")
    p = np.array([0.6, 0.9, 0.5, 0.7, 0.65])
    kept = chosen([wide, narrow, apart, inside, same_kind], p, 0.5)
    assert [(e.onset, e.offset, e.kind, e.score) for e in kept] == [
        (102, 150, "macro", 0.9),
        (110, 118, "micro", 0.7),
        (161, 200, "macro", 0.5),
    ]
    assert chosen([wide], np.array([0.4]), 0.5) == ()


def test_thresholds_by_name_and_by_false_alarms() -> None:
    made = replace(
        judge.shipped(), named={"normal": 0.2}, false_alarms=((0.1, 2.0), (0.5, 0.5), (0.9, 0.125))
    )
    assert made.threshold("normal") == 0.2
    assert made.threshold("2") == pytest.approx(0.1)
    assert made.threshold("1") == pytest.approx(0.25)  # half way, in log odds and log rate
    assert made.threshold("0.125") == pytest.approx(0.9)
    assert made.alarms(0.25) == pytest.approx(1.0)
    for beyond in ("0.1", "3"):
        with pytest.raises(ConfigError, match=r"must be from 0\.125 to 2 false alarms"):
            made.threshold(beyond)


def test_what_ships_is_of_the_network_that_ships() -> None:
    made = judge.shipped()
    assert made.network == NetSpotter.load(SHIPPED).digests["weights"]
    assert set(made.named) == {"low", "normal", "high"}
    assert made.named["low"] > made.named["normal"] > made.named["high"]
    rates = [rate for _, rate in made.false_alarms]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == len(rates)
    assert made.threshold("1") > made.threshold("1.2")
    assert "no real face" in made.card["data"]["what"]


def test_a_file_is_read_back_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "judge.json"
    path.write_text(json.dumps(judge.shipped().to_dict()))
    assert Judge.load(path) == judge.shipped()
    lacking = judge.shipped().to_dict()
    del lacking["weights"]["peak"]
    for text in ("{}", "[1]", "nothing", json.dumps(lacking)):
        path.write_text(text)
        with pytest.raises(WeightsError, match=r"a judge of proposals|this version"):
            Judge.load(path)
    for where in ("weights", "named", None):
        for bad in (float("nan"), float("inf"), 1e999):
            about = judge.shipped().to_dict()
            place = about if where is None else about[where]
            name = "bias" if where is None else next(iter(place))
            place[name] = bad
            path.write_text(json.dumps(about))
            with pytest.raises(WeightsError, match=r"judge\.json: .*(NaN|nfinit)"):
                Judge.load(path)
    path.write_text(json.dumps({**judge.shipped().to_dict(), "format": "aumer-judge-9"}))
    with pytest.raises(WeightsError, match="aumer-judge-9"):
        Judge.load(path)
    with pytest.raises(WeightsError, match="cannot read a judge"):
        Judge.load(tmp_path / "missing.json")


def test_scores_are_probabilities_on_faces_like_those_it_was_fitted_on() -> None:
    """Simulated subjects: of proposals with a score, that share is right, by a wide margin."""
    spotter = CombinedSpotter.from_settings(load_settings())
    weights = judge.shipped()
    said, correct = [], []
    for video in simulate_features(6, minutes=3, seed=77, level="medium"):
        _, proposals, read = spotter.proposals(video.features)
        said += weights.probabilities(read).tolist()
        truth = [e.interval for e in video.expressions]
        correct += [any(e.interval.iou(t) >= 0.5 for t in truth) for e in proposals]
    p, right = np.array(said), np.array(correct)
    assert right[p < 0.1].mean() < 0.2
    assert right[p > 0.7].mean() > 0.8


def test_the_other_spotter_s_nearest_is_found_among_those_that_overlap() -> None:
    """As by comparing each with all; ties go to the higher score, then to the later one."""
    rng = np.random.default_rng(0)

    def some(count: int) -> list[Expression]:
        onsets = rng.integers(0, 400, count)
        lengths = rng.integers(0, 30, count)
        scores = rng.integers(1, 4, count) / 4
        return [
            Expression("macro", int(a), int(a), int(a + n), a / 30, a / 30, (a + n) / 30, float(s))
            for a, n, s in zip(onsets, lengths, scores, strict=True)
        ]

    for own, others in ((some(40), some(60)), (some(1), some(1)), (some(5), [])):
        wanted = []
        for e in own:
            every = [(e.interval.iou(o.interval), o.score, k) for k, o in enumerate(others)]
            iou, score, _ = max(every, default=(0.0, 0.5, 0))
            wanted.append([iou, np.log(score / (1 - score)) if iou else 0.0])
        np.testing.assert_allclose(judge._others(own, others), wanted, rtol=1e-12)
