"""What each trap is worth on the real table of CAS(ME)^2, with synthetic predictions.

The truths, the 98 videos and the 44 missing offsets are real; the predictions are drawn: most
expressions with jittered ends, some twice, and false ones, in videos without expressions too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aumer.evaluation import legacy
from aumer.evaluation.rows import PredictedInterval, SpottingSettings, Truth, Video
from aumer.evaluation.spotting import evaluate
from aumer.evaluation.tables import read_truths
from aumer.types import Kind

Rows = tuple[list[PredictedInterval], list[Truth], list[Video]]


def spot(
    rng: np.random.Generator, truths: list[Truth], videos: list[Video]
) -> list[PredictedInterval]:
    found = []
    for t in truths:
        # Of an expression without an offset a spotter sees about as much again after the apex.
        offset = 2 * (t.apex or t.onset) - t.onset if t.offset is None else t.offset
        length = max(offset - t.onset, 4)
        for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.4, 0.2]))):
            a, b = (rng.normal(0, 0.25 * length, 2)).round().astype(int)
            onset = t.onset + int(a)
            end = max(onset, t.onset + length + int(b))
            found.append(
                PredictedInterval(t.subject, t.video, t.kind, onset, end, score=rng.random())
            )
    for video in videos:
        kinds: tuple[tuple[Kind, int], ...] = (("macro", 35), ("micro", 10))
        for kind, length in kinds:
            for _ in range(int(rng.poisson(1.0))):
                onset = int(rng.integers(3000, 9000))  # behind every expression
                found.append(PredictedInterval(*video.key, kind, onset, onset + length, score=0.1))
    return found


@pytest.fixture(scope="module")
def rows(shared_data: Callable[[str], Path]) -> Rows:
    truths = read_truths(shared_data("annotations/casme_sq_auwgcn.csv"))
    videos = [Video(*key) for key in dict.fromkeys(t.key for t in truths)]
    videos += [Video(videos[k].subject, f"silent_{k}") for k in range(98 - len(videos))]
    return spot(np.random.default_rng(0), truths, videos), truths, videos


def f1(rows: Rows, kind: Kind | None = None, **rules: str) -> float:
    settings = SpottingSettings(**{"missing_offset": "unmatchable", **rules})  # type: ignore[arg-type]
    return evaluate(*rows, settings).f1(kind)


def test_counting_every_hit_raises_the_score(rows: Rows) -> None:
    fair = f1(rows, ends="open", comparison=">")
    assert legacy.score("auwgcn-2023", *rows).f1() > fair + 0.01
    assert legacy.score("auwgcn-2025", *rows).f1() == pytest.approx(fair, abs=0.01)


def test_dropping_videos_without_truth_raises_it_and_micro_most(rows: Rows) -> None:
    gain = f1(rows, videos_without_truth="drop") - f1(rows)
    micro = f1(rows, "micro", videos_without_truth="drop") - f1(rows, "micro")
    assert micro > gain > 0.01
    assert micro > 0.1


def test_open_ends_and_a_strict_comparison_lower_it(rows: Rows) -> None:
    assert f1(rows, ends="open", comparison=">") < f1(rows)
    assert f1(rows, comparison=">") <= f1(rows)


@pytest.mark.parametrize("policy", ["apex+20", "onset+20", "mirror"])
def test_filling_missing_offsets_raises_it(rows: Rows, policy: str) -> None:
    assert f1(rows, missing_offset=policy) > f1(rows) + 0.005


def test_a_fold_that_is_left_out_takes_its_misses_with_it(rows: Rows) -> None:
    predictions, truths, videos = rows
    full = evaluate(*rows, SpottingSettings(missing_offset="unmatchable"))
    table = full.per_subject()
    worst = str(table["subject"][int(table["overall_fn"].idxmax())])
    without = [[r for r in part if r.subject != worst] for part in (predictions, truths, videos)]
    assert f1((without[0], without[1], without[2])) != full.f1()  # type: ignore[arg-type]
    # What ours does with a fold that predicted nothing: its misses stay.
    crashed = f1((without[0], truths, videos))  # type: ignore[arg-type]
    assert crashed < full.f1()
    lost = legacy.score("strs-official", without[0], truths, videos).counts()  # type: ignore[arg-type]
    assert lost.truths < len(truths)
