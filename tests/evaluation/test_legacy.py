"""Each published evaluator on cases whose counts were worked out by hand, and on published rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.evaluation import legacy
from aumer.evaluation.matching import match_matrix
from aumer.evaluation.rows import PredictedInterval, Truth, Video
from aumer.evaluation.spotting import evaluate
from aumer.evaluation.tables import read_predictions, read_truths
from aumer.types import Kind

OURS = "aumer"
Three = tuple[int, int, int]
#: TP, FP, FN of the macro and of the micro-expressions.
Outcome = tuple[Three, Three]
NONE: Three = (0, 0, 0)
#: What MULT says of micro-expressions where there is none: all of its own are missed.
NO_MICRO: Three = (0, 0, 84)
#: The organizers' script, now and as first released.
SCRIPTS = ("strs-official", "strs-official-1")
#: Give a video without predictions a false one.
PHANTOM = ("softnet", "mean", "sl-swin")


def P(
    video: str, onset: int, offset: int, kind: Kind = "macro", score: float = 1.0
) -> PredictedInterval:
    return PredictedInterval("s", video, kind, onset, offset, score=score)


def T(
    video: str, onset: int, offset: int | None, kind: Kind = "macro", apex: int | None = None
) -> Truth:
    return Truth("s", video, kind, onset, offset, apex)


def outcome(name: str, predictions: list[PredictedInterval], truths: list[Truth]) -> Outcome:
    if name == OURS:
        ours = evaluate(predictions, truths)
        macro, micro = ours.counts("macro"), ours.counts("micro")
        return (macro.tp, macro.fp, macro.fn), (micro.tp, micro.fp, micro.fn)
    report = legacy.score(name, predictions, truths)
    a, b = report.counts("macro"), report.counts("micro")
    return (a.tp, a.fp, a.fn), (b.tp, b.fp, b.fn)


# Lengths are chosen so that IoUs are plain fractions; "closed" counts both ends, "open" one.

#: One prediction over two truths: 10/20 closed, 9/19 open. LGSNet calls the truths micro (9 frames
#: from onset to offset) and the prediction macro (19).
OVER_TWO = (
    [P("v", 0, 19)],
    [T("v", 0, 9), T("v", 10, 19)],
    {
        OURS: ((1, 0, 1), NONE),
        "megc2020": ((2, -1, 0), NONE),
        "abpn": ((0, 1, 2), NONE),
        "auwgcn-2023": ((0, 1, 2), NONE),
        "auwgcn-2025": ((0, 1, 2), NONE),
        "softnet": ((1, 0, 1), NONE),
        "mean": ((1, 0, 1), NONE),
        "sl-swin": ((0, 1, 2), NONE),
        "lgsnet": ((0, 1, 2), (2, -2, -2)),
        "spotformer": ((0, 1, 2), NONE),
        "mult": ((2, -1, 280), NO_MICRO),
        "strs-official": ((2, 0, 0), NONE),
        "strs-official-1": ((2, 0, 0), NONE),
    },
)

#: Two predictions on one truth: .9 and .8.
TWO_ON_ONE = (
    [P("v", 0, 90), P("v", 0, 80)],
    [T("v", 0, 100)],
    {
        OURS: ((1, 1, 0), NONE),
        "megc2020": ((1, 1, 0), NONE),
        "abpn": ((2, 0, 0), NONE),  # 2 of 2 predictions hit, 1 of 1 truths is found
        "auwgcn-2023": ((2, 0, -1), NONE),
        "auwgcn-2025": ((1, 1, 0), NONE),
        "softnet": ((1, 1, 0), NONE),
        "mean": ((1, 1, 0), NONE),
        "sl-swin": ((1, 1, 0), NONE),
        "lgsnet": ((1, 1, 0), NONE),
        "spotformer": ((1, 1, 0), NONE),
        "mult": ((1, 1, 281), NO_MICRO),
        "strs-official": ((1, 1, 0), NONE),
        "strs-official-1": ((2, 0, 0), NONE),
    },
)

#: The same, and a pair of 6/11 closed and exactly 5/10 open.
TWO_ON_ONE_AND_A_HALF = (
    [P("v", 0, 90), P("v", 0, 80), P("v", 1000, 1005)],
    [T("v", 0, 100), T("v", 1000, 1010)],
    {
        OURS: ((2, 1, 0), NONE),
        "megc2020": ((2, 1, 0), NONE),
        "abpn": ((2, 1, 1), NONE),
        "auwgcn-2023": ((2, 1, 0), NONE),  # a hit too many hides the miss
        "auwgcn-2025": ((1, 2, 1), NONE),
        "softnet": ((2, 1, 0), NONE),
        "mean": ((2, 1, 0), NONE),
        "sl-swin": ((2, 1, 0), NONE),
        "lgsnet": ((1, 1, 1), (1, 0, -1)),
        "spotformer": ((2, 1, 0), NONE),  # 5/10 open is enough for >=
        "mult": ((2, 1, 280), NO_MICRO),
        "strs-official": ((2, 1, 0), NONE),
        "strs-official-1": ((3, 0, 0), NONE),
    },
)

#: v: 5/10 closed, 4/9 open. w: a truth alone. x: a prediction alone. y: the first prediction hits
#: both truths (90/110 and 70/130), the second (61/100) only the first truth.
BEST_TAKEN = (
    [P("v", 0, 4), P("x", 0, 50), P("y", 10, 109), P("y", 0, 60)],
    [T("v", 0, 9), T("w", 0, 99), T("y", 0, 99), T("y", 40, 139)],
    {
        OURS: ((3, 1, 1), NONE),
        "megc2020": ((3, 1, 1), NONE),
        # Both predictions of y hit; one is the best of both truths, and is flagged once.
        "abpn": ((2, 2, 3), NONE),
        "auwgcn-2023": ((2, 2, 2), NONE),
        "auwgcn-2025": ((1, 3, 3), NONE),  # one prediction is the best of both truths of y
        "softnet": ((2, 2, 2), NONE),  # x is dropped, w has [0, 0]; in y the second's is taken
        "mean": ((2, 2, 2), NONE),
        "sl-swin": ((1, 3, 3), NONE),
        "lgsnet": ((2, 1, 2), (1, 0, -1)),
        "spotformer": (
            (1, 3, 3),
            NONE,
        ),  # 60/100 open, but the first truth takes the first prediction
        "mult": ((3, 1, 279), NO_MICRO),
        "strs-official": ((3, 1, 1), NONE),  # in y the first takes both, the second is false
        "strs-official-1": ((4, 0, 1), NONE),
    },
)

#: 5/10 closed, 4/9 open, and a video without a truth.
HALF_AND_FREE = (
    [P("v", 0, 4), P("x", 0, 50)],
    [T("v", 0, 9)],
    {
        OURS: ((1, 1, 0), NONE),
        "megc2020": ((1, 1, 0), NONE),
        "abpn": ((0, 2, 1), NONE),
        "auwgcn-2023": ((0, 2, 1), NONE),
        "auwgcn-2025": ((0, 2, 1), NONE),
        "softnet": ((1, 0, 0), NONE),
        "mean": ((1, 0, 0), NONE),
        "sl-swin": ((0, 1, 1), NONE),
        "lgsnet": ((0, 1, 1), (1, 0, -1)),
        "spotformer": ((0, 2, 1), NONE),
        "mult": ((1, 1, 281), NO_MICRO),
        "strs-official": ((1, 0, 0), NONE),
        "strs-official-1": ((1, 0, 0), NONE),
    },
)

#: Nobody spotted anything in a subject's only video.
SILENT = (
    [],
    [T("v", 0, 99)],
    {
        **dict.fromkeys([OURS, *legacy.EVALUATORS], ((0, 0, 1), NONE)),
        **dict.fromkeys(PHANTOM, ((0, 1, 1), NONE)),
        "mult": ((0, 0, 282), NO_MICRO),
        **dict.fromkeys(SCRIPTS, (NONE, NONE)),
    },
)

#: Two of three videos have predictions.
SILENT_VIDEO = (
    [P("v", 0, 90), P("w", 500, 590)],
    [T("v", 0, 99), T("w", 0, 99), T("x", 0, 99)],
    {
        **dict.fromkeys([OURS, *legacy.EVALUATORS], ((1, 1, 2), NONE)),
        **dict.fromkeys(PHANTOM, ((1, 2, 2), NONE)),
        "mult": ((1, 1, 281), NO_MICRO),
    },
)

#: A macro prediction of 13 frames on the micro truth that has just them.
WRONG_KIND = (
    [P("v", 0, 12, "macro")],
    [T("v", 0, 12, "micro")],
    {
        **dict.fromkeys([OURS, *legacy.EVALUATORS], ((0, 1, 0), (0, 0, 1))),
        **dict.fromkeys(PHANTOM, (NONE, (0, 1, 1))),
        "lgsnet": (NONE, (1, 0, 0)),
        "mult": ((0, 1, 282), (0, 0, 84)),
        **dict.fromkeys(SCRIPTS, (NONE, NONE)),
    },
)

#: The same frame on both sides, and two frames on one: 1/1 and 1/2 closed, nothing open.
ONE_FRAME = (
    [P("v", 5, 5), P("v", 100, 101)],
    [T("v", 5, 5), T("v", 100, 100)],
    {
        OURS: ((2, 0, 0), NONE),
        "megc2020": ((0, 2, 2), NONE),
        **dict.fromkeys(("abpn", "auwgcn-2023", "auwgcn-2025", "sl-swin"), ((0, 2, 2), NONE)),
        "softnet": ((2, 0, 0), NONE),
        "mean": ((2, 0, 0), NONE),
        "lgsnet": ((0, 0, 2), (0, 2, 0)),
        "spotformer": ((0, 2, 2), NONE),
        "mult": ((2, 0, 280), NO_MICRO),
        "strs-official": ((2, 0, 0), NONE),
        "strs-official-1": ((2, 0, 0), NONE),
    },
)

#: The broad first prediction hits both truths (80/120 each), the second the first truth alone.
BROAD_FIRST = (
    [P("v", 20, 119), P("v", 0, 99)],
    [T("v", 0, 99), T("v", 40, 139)],
    {
        **dict.fromkeys([OURS, *legacy.EVALUATORS], ((2, 0, 0), NONE)),
        "mult": ((2, 0, 280), NO_MICRO),
        "strs-official": ((2, 1, 0), NONE),  # the first takes both
        "strs-official-1": ((3, 0, 0), NONE),  # three pairs hit
    },
)

#: v: the first truth's best (60/100) is the second's only one (70/110); the other (50/90) is free.
#: w: exactly 5/10, open. x: .9 and .8 on one truth.
ONLY_ONE_TAKEN = (
    [P("v", 30, 100), P("v", 0, 50), P("w", 0, 5), P("x", 0, 90), P("x", 0, 80)],
    [T("v", 0, 90), T("v", 20, 120), T("w", 0, 10), T("x", 0, 100)],
    {
        **dict.fromkeys([OURS, "megc2020"], ((4, 1, 0), NONE)),
        "abpn": ((4, 1, 2), NONE),
        "auwgcn-2023": ((4, 1, 0), NONE),
        "auwgcn-2025": ((2, 3, 2), NONE),
        **dict.fromkeys(PHANTOM, ((4, 1, 0), NONE)),
        "lgsnet": ((3, 1, 1), (1, 0, -1)),
        "spotformer": ((3, 2, 1), NONE),  # v's second truth is left without
        "mult": ((4, 1, 278), NO_MICRO),
        "strs-official": ((4, 2, 0), NONE),  # v's first takes both truths
        "strs-official-1": ((6, 0, 0), NONE),
    },
)

CASES: list[Any] = [
    pytest.param(OVER_TWO, ["megc2020", "lgsnet", "mult"], id="one over two truths"),
    pytest.param(TWO_ON_ONE, ["auwgcn-2023", "mult"], id="two on one truth"),
    pytest.param(TWO_ON_ONE_AND_A_HALF, ["auwgcn-2025", "abpn", "lgsnet"], id="and a half"),
    pytest.param(BEST_TAKEN, ["abpn", "lgsnet"], id="best taken"),
    pytest.param(HALF_AND_FREE, ["sl-swin", "lgsnet"], id="a half and free of truth"),
    pytest.param(SILENT, ["mult"], id="silent subject"),
    pytest.param(SILENT_VIDEO, [], id="silent video"),
    pytest.param(WRONG_KIND, ["lgsnet", "mult"], id="kind ignored"),
    pytest.param(BROAD_FIRST, ["strs-official", "strs-official-1"], id="the broad one first"),
    pytest.param(ONLY_ONE_TAKEN, ["spotformer", "auwgcn-2025"], id="the only one taken"),
    pytest.param(ONE_FRAME, ["lgsnet", "mult"], id="one frame"),
]


@pytest.mark.parametrize(("case", "alone"), CASES)
def test_counts_by_hand(
    case: tuple[list[PredictedInterval], list[Truth], dict[str, Outcome]], alone: list[str]
) -> None:
    predictions, truths, expected = case
    assert set(expected) == {OURS, *legacy.EVALUATORS}
    assert {name: outcome(name, predictions, truths) for name in expected} == expected
    for name in alone:
        assert list(expected.values()).count(expected[name]) == 1


def test_every_name_differs_from_all_others_somewhere() -> None:
    alone = {name for case in CASES for name in case.values[1]}
    # These two have one rule: their authors used one metric.
    assert alone == set(legacy.EVALUATORS) - {"softnet", "mean"}
    softnet, mean = legacy.find("softnet"), legacy.find("mean")
    assert softnet.to_dict() == mean.to_dict()
    assert "MTSN" not in softnet.what


def test_sl_swin_s_published_row_comes_out_with_the_false_ones() -> None:
    """CAS(ME)^2 macro at p = .60: TP 70, FP 258, FN 228, F1 .2236.

    Their predictions are not at hand. As many hits, misses and false ones are made up, with one
    video that has truths alone; without its [0, 0] FP is 257 and F1 .2240.
    """
    hits = [P("v", 1000 * k, 1000 * k + 90) for k in range(70)]
    false = [P("v", 1000 * k + 500, 1000 * k + 590) for k in range(257)]
    truths = [T("v", 1000 * k, 1000 * k + 99) for k in range(70)]
    truths += [T("w", 1000 * k, 1000 * k + 99) for k in range(228)]
    counts = legacy.score("sl-swin", [*hits, *false], truths).counts("macro")
    assert (counts.tp, counts.fp, counts.fn) == (70, 258, 228)
    assert f"{counts.f1:.4f}" == "0.2236"
    assert f"{2 * 70 / (2 * 70 + 257 + 228):.4f}" == "0.2240"


def test_a_false_one_that_hits_is_a_hit() -> None:
    """[0, 0] has half of the frames 0 and 1, with closed ends."""
    truths = [T("v", 0, 1)]
    assert outcome("softnet", [], truths) == ((1, 0, 0), NONE)
    assert outcome("sl-swin", [], truths) == ((0, 1, 1), NONE)


def test_abpn_counts_as_found_what_is_flagged() -> None:
    """One prediction over two truths, with more than half of each: FIND is 1, not 2."""
    predictions = [P("v", 0, 100), P("w", 0, 100), P("w", 500, 600)]
    truths = [T("v", 0, 90), T("v", 10, 100), T("w", 0, 90)]
    counts = legacy.score("abpn", predictions, truths).counts("macro")
    assert (counts.tp, counts.found, counts.predictions, counts.truths) == (2, 2, 3, 3)
    assert counts.f1 == pytest.approx(2 * 2 * 2 / (3 * 2 + 3 * 2))


def test_abpn_prints_a_second_block() -> None:
    told = legacy.score("abpn", *TWO_ON_ONE_AND_A_HALF[:2]).to_dict()["scores"]["overall"]
    # FIND 1, N 3, M 2.
    assert told["second_f1"] == pytest.approx(2 * 1 / (3 + 2))
    assert "second_f1" not in legacy.score("mean", *TWO_ON_ONE[:2]).to_dict()["scores"]["macro"]
    # 120 of 120: both blocks are 240 / (N + M), whatever the difference of N and M.
    tally = legacy.Tally(120, 120, 208, 357)
    assert tally.f1 == pytest.approx(tally.f1_of_finds) == pytest.approx(240 / 565)
    assert f"{tally.f1:.4f}" == "0.4248"


def test_of_equally_good_truths_the_last_is_taken() -> None:
    """70/130 and 70/130: the first takes the last of them, for which the second then comes late."""
    truths = [T("v", 0, 99), T("v", 60, 159)]
    tied, later = P("v", 30, 129), P("v", 60, 150)
    for name in ("softnet", "mean", "sl-swin"):
        assert outcome(name, [tied, later], truths) == ((1, 1, 1), NONE)
        assert outcome(name, [tied, P("v", 0, 90)], truths) == ((2, 0, 0), NONE)


def test_one_frame_matches_nothing_in_the_baseline() -> None:
    for p, t in (((5, 5), (5, 5)), ((5, 6), (5, 5)), ((5, 5), (5, 6))):
        assert outcome("megc2020", [P("v", *p)], [T("v", *t)]) == ((0, 1, 1), NONE)
        assert outcome("mean", [P("v", *p)], [T("v", *t)]) == ((1, 0, 0), NONE)
    assert outcome("megc2020", [P("v", 5, 6)], [T("v", 5, 6)]) == ((1, 0, 0), NONE)
    # An offset that is filled in with the apex may make one.
    missing = [T("v", 5, None, apex=5)]
    assert outcome("megc2020", [P("v", 5, 6)], missing) == ((0, 1, 1), NONE)


def test_how_they_divide() -> None:
    predictions, truths, _ = TWO_ON_ONE
    # ABPN: precision 2/2, recall 1/1. AUW-GCN: 2 x 2 / (2 + 1), more than everything.
    assert legacy.score("abpn", predictions, truths).f1() == 1.0
    assert legacy.score("auwgcn-2023", predictions, truths).f1() == pytest.approx(4 / 3)
    assert legacy.score("auwgcn-2025", predictions, truths).f1("macro") == pytest.approx(2 / 3)
    # ABPN with P = 2/3, R = 1/2: 2 FIND TP / (N FIND + M TP) = 2 x 1 x 2 / (3 x 1 + 2 x 2).
    predictions, truths, _ = TWO_ON_ONE_AND_A_HALF
    tally = legacy.score("abpn", predictions, truths).counts()
    assert (tally.precision, tally.recall, tally.f1) == pytest.approx((2 / 3, 1 / 2, 4 / 7))
    # LGSNet finds micro truths without one micro prediction: it prints 0.
    predictions, truths, _ = OVER_TWO
    assert legacy.score("lgsnet", predictions, truths).f1("micro") == 0.0
    assert legacy.score("lgsnet", predictions, truths).f1() == pytest.approx(2 * 2 / (1 + 2))


@pytest.mark.parametrize("name", legacy.EVALUATORS)
def test_what_they_make_of_a_missing_offset(name: str) -> None:
    """Onset 100, apex 140. Predicted are 41 and 121 frames; LGSNet's truth has 61, others' 41."""
    missing = [T("v", 100, None, apex=140)]
    at_apex, behind = [P("v", 100, 140)], [P("v", 100, 220)]
    found = [bool(legacy.score(name, p, missing).counts("macro").tp) for p in (at_apex, behind)]
    policy = legacy.find(name).missing_offset
    # 41/41 and 41/121; 41/61 and 61/121.
    assert (
        found
        == {
            "apex": [True, False],
            "apex+20": [True, True],
            "unmatchable": [False, False],
        }[policy]
    )
    assert legacy.score(name, at_apex, missing).counts().truths == (366 if name == "mult" else 1)


def test_lgsnet_takes_the_fourteen_best_of_a_video() -> None:
    truths = [T("v", 100 * k, 100 * k + 50) for k in range(20)]
    predictions = [P("v", t.onset, t.onset + 50, score=k / 20) for k, t in enumerate(truths)]
    tally = legacy.score("lgsnet", predictions, truths).counts("macro")
    assert (tally.tp, tally.fp, tally.fn) == (14, 0, 6)
    # Those of the highest score: the last fourteen.
    tally = legacy.score("lgsnet", predictions, truths[6:]).counts("macro")
    assert (tally.tp, tally.fp, tally.fn) == (14, 0, 0)


def test_lgsnet_tells_kinds_by_length() -> None:
    """15 frames from onset to offset are micro, 16 macro; none is nothing."""
    for length, expected in ((15, (NONE, (1, 0, -1))), (16, ((1, 0, 0), NONE))):
        rows = [P("v", 0, length)], [T("v", 0, length)]
        macro = expected[0] if expected[0] != NONE else (0, 0, 1)
        assert outcome("lgsnet", *rows) == (macro, expected[1])
    assert outcome("lgsnet", [P("v", 5, 5)], [T("v", 5, 5)]) == ((0, 0, 1), (0, 1, 0))


def test_order_in_the_file_matters_to_softnet_and_not_to_us() -> None:
    truths = [T("v", 0, 99), T("v", 40, 139)]
    first = [P("v", 50, 149), P("v", 30, 129)]
    # 50-149: best is truth 1 (90/110). 30-129: 70/130 and 90/110, best is truth 1, taken.
    assert outcome("softnet", first, truths) == ((1, 1, 1), NONE)
    assert outcome("softnet", first[::-1], truths) == ((1, 1, 1), NONE)
    assert outcome(OURS, first, truths) == outcome(OURS, first[::-1], truths) == ((2, 0, 0), NONE)
    # strs: the broad one first takes both truths and leaves none.
    broad = [P("v", 20, 119), P("v", 0, 99)]
    assert outcome("strs-official", broad, truths) == ((2, 1, 0), NONE)
    assert outcome("strs-official", broad[::-1], truths) == ((2, 0, 0), NONE)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'lgsnet2'.*megc2020.*Did you mean 'lgsnet'"):
        legacy.score("lgsnet2", [], [])


def test_rules_and_counts_are_told() -> None:
    predictions, truths, _ = TWO_ON_ONE
    told = legacy.score("abpn", predictions, truths).to_dict()
    assert told["settings"] == {
        "matching": "hits and finds",
        "iou": 0.5,
        "comparison": ">",
        "ends": "open",
        "missing_offset": "unmatchable",
        "videos_without_truth": "keep",
        "silent_subjects": "keep",
        "silent_videos": "none",
        "one_frame": "keep",
        "denominators": "the truths of the file",
    }
    assert told["scores"]["overall"] == {
        "tp": 2, "fp": 0, "fn": 0, "found": 1, "predictions": 2, "truths": 1,
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "second_f1": 2 / 3,
    }  # fmt: skip
    assert json.loads(json.dumps(told)) == told


# -- the organizers' spot-then-recognize score ----------------------------------------------------


def labeled(rows: list[tuple[str, str]]) -> tuple[list[PredictedInterval], list[Truth]]:
    """Pairs (truth, prediction) that all match."""
    ps = [
        PredictedInterval("s", "v", "micro", 100 * k, 100 * k + 9, label=p)
        for k, (_, p) in enumerate(rows)
    ]
    ts = [Truth("s", "v", "micro", 100 * k, 100 * k + 9, label=t) for k, (t, _) in enumerate(rows)]
    return ps, ts


def test_the_official_uar_is_a_mean_of_precisions() -> None:
    # Of 4 negatives 2 are called positive; of 2 positives both are.
    rows = [("neg", "neg")] * 2 + [("neg", "pos")] * 2 + [("pos", "pos")] * 2
    found = legacy.strs_official(*labeled(rows))
    precision, recall = (1 + 2 / 4) / 2, (2 / 4 + 1) / 2
    assert found.uar == precision == 0.75
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert found.uf1 == pytest.approx((2 * 2 / 6 + 2 * 2 / 6) / 2)
    assert found.strs == found.f1  # all was spotted
    assert found.to_dict()["spotting"]["f1"] == 1.0


def test_mult_divides_by_its_own_numbers() -> None:
    """What is not in the file counts as missed: 2 TP / (predictions + 282)."""
    predictions, truths, _ = OVER_TWO
    report = legacy.score("mult", predictions, truths)
    assert report.f1("macro") == pytest.approx(2 * 2 / (1 + 282))
    assert report.counts().truths == 366
    assert report.to_dict()["settings"]["denominators"] == "282 macro, 84 micro"
    # The baseline, whose rules are the same, divides by the two that there are.
    assert legacy.score("megc2020", predictions, truths).f1("macro") == pytest.approx(4 / 3)


def test_spotformer_s_truths_take_predictions() -> None:
    """In the truths' order each takes its best prediction, which then serves no other."""
    broad, first, second = P("v", 10, 110), T("v", 0, 90), T("v", 20, 120)
    assert outcome("spotformer", [broad], [first, second]) == ((1, 0, 1), NONE)
    assert outcome("megc2020", [broad], [first, second]) == ((2, -1, 0), NONE)
    # AUW-GCN flags the best of both truths once, whichever else would do; here the second truth
    # falls back on what is left.
    narrow = P("v", 40, 120)
    assert outcome("auwgcn-2025", [broad, narrow], [first, second]) == ((1, 1, 1), NONE)
    assert outcome("spotformer", [broad, narrow], [first, second]) == ((2, 0, 0), NONE)
    # Ours matches both in either order; SpotFormer's first truth may take the second's only one.
    assert outcome("spotformer", [P("v", 30, 100), P("v", 0, 50)], [first, second])[0][0] == 1
    assert outcome(OURS, [P("v", 30, 100), P("v", 0, 50)], [first, second])[0][0] == 2
    # Exactly one half of 10 frames, open.
    half = [P("v", 0, 5)], [T("v", 0, 10)]
    assert outcome("spotformer", *half) == ((1, 0, 0), NONE)
    assert outcome("auwgcn-2025", *half) == ((0, 1, 1), NONE)


def test_the_first_release_of_the_script_pairs_all_that_hits() -> None:
    ps, ts = labeled([("neg", "neg"), ("pos", "neg")])
    again = replace(ps[0], onset=1, label="pos")
    now = legacy.strs_official([*ps, again], ts)
    first = legacy.strs_official([*ps, again], ts, release="strs-official-1")
    assert (now.spotting.tp, now.spotting.fp) == (2, 1)
    assert (first.spotting.tp, first.spotting.fp, first.spotting.fn) == (3, 0, 0)
    # An emotion that was only predicted pulls the first release's means down.
    odd = replace(ps[1], label="odd")
    assert legacy.strs_official([ps[0], odd], ts).uar == pytest.approx(1 / 2)
    found = legacy.strs_official([ps[0], odd], ts, release="strs-official-1")
    assert found.uar == pytest.approx(1 / 3)
    # Of given emotions alone: the second pair's truth is none of them.
    only = legacy.strs_official(ps, ts, emotions=("neg", "sur"))
    assert (only.spotting.tp, only.uar) == (2, 0.0)
    for wrong in ({"release": "mult"}, {"release": "strs-official-1", "emotions": ("neg",)}):
        with pytest.raises(UsageError, match="must be"):
            legacy.strs_official(ps, ts, **wrong)


def test_an_emotion_that_none_or_all_of_the_pairs_have_counts_as_zero() -> None:
    found = legacy.strs_official(*labeled([("neg", "neg")] * 3))
    assert (found.f1, found.uar, found.strs, found.spotting.f1) == (0.0, 0.0, 0.0, 1.0)
    # An emotion among the truths that was never spotted pulls the means down.
    ps, ts = labeled([("neg", "neg"), ("pos", "pos"), ("sur", "sur")])
    found = legacy.strs_official(ps[:2], ts)
    assert found.uar == pytest.approx(2 / 3)
    with pytest.raises(UsageError, match="no label"):
        legacy.strs_official([], [Truth("s", "v", "micro", 0, 9)])


# -- published rows -------------------------------------------------------------------------------

ROWS = [
    f"{method}_{dataset}_{kind}"
    for method in ("mdmd", "tsmsnet")
    for dataset in ("casme_sq", "samm_lv")
    for kind in ("macro", "micro")
]


@pytest.mark.parametrize("row", ROWS)
def test_published_counts_come_out(row: str, shared_data: Callable[[str], Path]) -> None:
    expected = json.loads(shared_data("evaluator/expected.json").read_text())[row]
    predictions = read_predictions(shared_data(f"evaluator/{row}_predictions.csv"))
    truths = read_truths(shared_data(f"evaluator/{row}_truth.csv"))
    kind: Kind = "macro" if row.endswith("macro") else "micro"
    assert (len(predictions), len(truths)) == (expected["n_pred"], expected["n_gt"])
    ours = evaluate(predictions, truths).counts(kind)
    assert ours.tp == expected["one_to_one_tp"]
    published = legacy.score("megc2020", predictions, truths)
    assert published.counts(kind).tp == expected["gt_centric_tp"]
    if row == "tsmsnet_samm_lv_micro":  # printed as .1899, by its own counts 2 x 58 / (451 + 159)
        assert published.f1(kind) == pytest.approx(116 / 610)
    else:
        assert published.f1(kind) == pytest.approx(expected["published_f1"], abs=1e-4)


def test_the_baseline_s_overall_score_comes_out(shared_data: Callable[[str], Path]) -> None:
    """MEGC 2020 printed .0376 (CAS(ME)^2) and .0445 (SAMM-LV), pooled over both kinds."""
    for dataset, published in (("casme_sq", 0.0376), ("samm_lv", 0.0445)):
        names = [f"evaluator/mdmd_{dataset}_{kind}" for kind in ("macro", "micro")]
        predictions = [
            p for n in names for p in read_predictions(shared_data(f"{n}_predictions.csv"))
        ]
        truths = [t for n in names for t in read_truths(shared_data(f"{n}_truth.csv"))]
        report = legacy.score("megc2020", predictions, truths)
        assert report.f1() == pytest.approx(published, abs=1e-4)


def test_what_is_left_out_is_counted() -> None:
    """Predictions where there is no truth, what is over fourteen, and subjects that are silent."""
    free, hit = P("x", 0, 50), P("v", 0, 90)
    silent = Truth("r", "w", "macro", 0, 99)
    for name in legacy.EVALUATORS:
        report = legacy.score(name, [hit, free], [T("v", 0, 99), silent])
        drops = legacy.find(name).videos_without_truth == "drop"
        assert report.dropped_predictions == int(drops)
        assert report.dropped_truths == int(name in SCRIPTS)
        assert report.to_dict()["dropped_predictions"] == int(drops)
    many = [P("v", 100 * k, 100 * k + 50) for k in range(20)]
    assert legacy.score("lgsnet", many, [T("v", 0, 50)]).dropped_predictions == 6


def test_all_evaluators_accept_a_list_of_videos() -> None:
    videos = [Video("s", "v"), Video("t", "w")]
    for name in legacy.EVALUATORS:
        report = legacy.score(name, [P("v", 0, 90)], [T("v", 0, 90)], videos)
        assert report.counts("macro").tp == 1


def test_no_way_of_counting_is_out_of_its_bounds() -> None:
    """On the same hits: what takes each row once is at most the maximum matching, what does not at
    least."""
    rng = np.random.default_rng(0)
    differed = dict.fromkeys(COUNTINGS, 0)
    for _ in range(500):
        overlaps = rng.random(rng.integers(1, 6, 2)).round(1)
        hits = overlaps >= rng.choice([0.3, 0.6])
        most = len(match_matrix(overlaps, hits))
        found = {counting: getattr(legacy, counting)(overlaps, hits) for counting in COUNTINGS}
        for counting in ("best_predictions", "best_truth_in_order"):
            assert found[counting].tp == found[counting].found <= most
        assert found["truths_found"].tp == hits.any(0).sum() >= most
        assert found["predictions_that_hit"].tp == hits.any(1).sum() >= most
        # Whatever the order, each truth that is hit is taken, by the first that hits it.
        assert found["free_truths_in_order"].tp == found["truths_found"].tp
        both = found["hits_and_finds"]
        assert (both.tp, both.found) == (
            found["predictions_that_hit"].tp,
            found["best_predictions"].tp,
        )
        for counting, tally in found.items():
            differed[counting] += (tally.tp, tally.found) != (most, most)
    assert min(differed.values()) > 50  # and none is the maximum matching


COUNTINGS = (
    "truths_found",
    "predictions_that_hit",
    "hits_and_finds",
    "best_predictions",
    "best_truth_in_order",
    "free_truths_in_order",
)
