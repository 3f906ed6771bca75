"""Action units read from flow maps: the prior, the reader, its file, and its place in a run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acted import APEX_S, SMILE, frames

import aumer
from aumer.cli import main
from aumer.cli.classify import table
from aumer.config import load_settings
from aumer.errors import UsageError, WeightsError
from aumer.recognition import action_units
from aumer.recognition.acted_maps import acted_map, acted_maps
from aumer.recognition.action_units import (
    BOTH,
    LEFT,
    RIGHT,
    ActionUnits,
    AUClips,
    AUReader,
    coded_units,
)
from aumer.recognition.au_graph import GraphAUReader
from aumer.recognition.au_prior import LabelPrior, PairCounts
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.features import mirrored
from aumer.recognition.flow_map import with_strain
from aumer.testing import AUReaderSuite
from aumer.types import FloatArray

AUS = (1, 2, 4, 12, 17)
FPS = 30

# -- the prior ---------------------------------------------------------------------------------


def expit(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_aus_that_are_independent_change_nothing() -> None:
    """Counts of which every pair is as frequent as chance makes it."""
    rates = np.array([0.5, 0.25, 0.125])
    pairs = 4096 * np.outer(rates, rates)
    np.fill_diagonal(pairs, 4096 * rates)
    coupling = PairCounts((1, 2, 4), pairs, 4096).couplings()
    np.testing.assert_allclose(coupling, 0, atol=0.01)
    evidence = np.array([[2.0, -1.0, 0.3], [0.0, 0.0, 0.0]])
    alone = expit(evidence + np.log(rates / (1 - rates)))
    found = LabelPrior(rates, coupling).posterior(evidence)
    np.testing.assert_allclose(found, alone, atol=0.005)
    np.testing.assert_allclose(LabelPrior(rates, np.zeros((3, 3))).posterior(evidence), alone)


def test_a_coupling_of_two_is_their_log_odds_ratio() -> None:
    both, first, second, none = 4000, 1000, 2000, 13000
    counts = PairCounts((6, 12), np.array([[both + first, both], [both, both + second]]), 20_000)
    expected = np.log(both * none / (first * second))
    np.testing.assert_allclose(counts.couplings(), [[0, expected], [expected, 0]], atol=0.02)


def test_what_acts_together_speaks_for_one_another_and_rates_stay() -> None:
    rates = np.array([0.1, 0.2, 0.3])
    coupling = np.array([[0, 3.0, 0], [3.0, 0, -2.0], [0, -2.0, 0]])
    prior = LabelPrior(rates, coupling)
    np.testing.assert_allclose(prior.posterior(np.zeros((1, 3)))[0], rates, atol=1e-5)
    seen = prior.posterior(np.array([[0.0, 6.0, 0.0]]))[0]
    assert seen[0] > 2 * rates[0]
    assert seen[2] < rates[2] / 2
    # By hand, over all eight sets.
    h = prior._fields + np.array([0, 6, 0])
    sets = np.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(8)])
    share = np.exp(sets @ h + ((sets @ coupling) * sets).sum(1) / 2)
    np.testing.assert_allclose(seen, share @ sets / share.sum())


def test_counts_of_aus_that_were_not_counted_are_none() -> None:
    acted = np.array([[1, 1], [1, 0], [0, 0]], bool)
    counts = PairCounts.of((6, 12), acted)
    assert counts.pairs.tolist() == [[2, 1], [1, 1]]
    assert counts.over((12, 99)).pairs.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: PairCounts((1, 1), np.eye(2), 5),
        lambda: PairCounts((1, 2), np.array([[1, 2], [2, 1]]), 5),
        lambda: PairCounts((1, 2), np.diag([6, 1]), 5),
        lambda: LabelPrior(np.array([0.5, 1.0]), np.zeros((2, 2))),
        lambda: LabelPrior(np.array([0.5, 0.5]), np.array([[0, 1], [2, 0]])),
        lambda: LabelPrior(np.full(18, 0.5), np.zeros((18, 18))),
    ],
)
def test_no_counts_and_no_prior(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


# -- what coders wrote -------------------------------------------------------------------------


def test_coded_units() -> None:
    acted, sides = coded_units(["4+L7", "R12", "L12+R12", "ref(4)+2 or 7", "", "A4"], (2, 4, 7, 12))
    assert acted.astype(int).tolist() == [
        [0, 1, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 1],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 1, 0, 0],
    ]
    assert sides[0].tolist() == [BOTH, BOTH, LEFT, BOTH]
    assert sides[1, 3] == RIGHT
    assert sides[2, 3] == BOTH


# -- the reader --------------------------------------------------------------------------------


def pure(au: int, side: str = "both") -> FloatArray:
    return with_strain(acted_map({(au, side): 1.0}, BY_LANDMARKS).astype(np.float32))


def acted_clips(seed: int, count: int = 150) -> AUClips:
    """Simulated clips of ten subjects; a third of AU12 is made by one side."""
    rng = np.random.default_rng(seed)
    acted = rng.random((count, len(AUS))) < 0.3
    inputs = acted_maps(rng, acted, AUS, BY_LANDMARKS)
    sides = np.zeros(acted.shape, np.int64)
    k = AUS.index(12)
    for row in np.flatnonzero(acted[:, k])[::3]:
        sides[row, k] = rng.choice([LEFT, RIGHT])
        side = "left" if sides[row, k] == LEFT else "right"
        inputs[row] = pure(12, side) + rng.normal(0, 0.01, inputs[row].shape)
        acted[row] = np.arange(len(AUS)) == k
    subjects = tuple(f"s{n % 10}" for n in range(count))
    return AUClips(inputs, AUS, acted, sides, subjects)


@pytest.fixture(scope="module")
def fitted() -> GraphAUReader:
    return GraphAUReader(position=BY_LANDMARKS, choice=(0.003, 0.3)).fit(acted_clips(0))


@pytest.fixture(scope="module", params=["fitted", "shipped"])
def reader(request: pytest.FixtureRequest, fitted: GraphAUReader) -> AUReader:
    return fitted if request.param == "fitted" else action_units.load()


def test_it_learns_what_can_be_learnt(fitted: GraphAUReader) -> None:
    test = acted_clips(1)
    right = (fitted.predict_proba(test.inputs) >= fitted.thresholds) == test.acted
    assert right.mean() > 0.9  # .7 by chance


@pytest.mark.parametrize("au", [1, 4, 12, 17])
def test_what_acts_alone_is_above_all(reader: AUReader, au: int) -> None:
    if reader.position != BY_LANDMARKS:
        moved = acted_map({(au, "both"): 1.0}, reader.position)
        made = with_strain(moved.astype(np.float32))
    else:
        made = pure(au)
    (said,) = reader.read(made[None])
    assert max(said, key=lambda unit: unit.probability).number == au
    assert next(unit for unit in said if unit.number == au).acts
    assert [unit.number for unit in said] == sorted(reader.aus)


def test_size_does_not_matter_and_mirror_images_are_alike(reader: AUReader) -> None:
    maps = acted_clips(1, 12).inputs
    shares = reader.predict_proba(maps)
    np.testing.assert_allclose(reader.predict_proba(3 * maps), shares, atol=1e-3)
    np.testing.assert_allclose(reader.predict_proba(mirrored(maps)), shares, atol=1e-4)
    alone = [reader.predict_proba(one[None])[0] for one in maps]
    np.testing.assert_allclose(alone, shares, atol=1e-9)


def test_a_side_is_told_and_mirrored(fitted: GraphAUReader) -> None:
    k = fitted.aus.index(12)
    made = np.stack([pure(12, side) for side in ("left", "right", "both")])
    assert [row[k] for row in fitted.sides(made)] == ["left", "right", "both"]
    assert [row[k] for row in fitted.sides(mirrored(made))] == ["right", "left", "both"]
    (left, *_), *_ = ([u for u in said if u.number == 12] for said in fitted.read(made))
    assert (left.acts, left.side, str(left)) == (True, "left", "L12")


def test_no_side_where_the_clips_do_not_bear_it_out(fitted: GraphAUReader) -> None:
    """AU1's are all coded on both sides."""
    assert [row[0] for row in fitted.sides(pure(1, "left")[None])] == [None]


def test_the_file_holds_weights_and_no_clip(fitted: GraphAUReader, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    more = acted_clips(0, 90)
    other = GraphAUReader(position=BY_LANDMARKS, choice=(0.003, 0.3)).fit(more)
    shapes = []
    for number, one in enumerate((fitted, other)):
        path = tmp_path / f"{number}.safetensors"
        one.save(path, {"made": "here"})
        shapes.append({name: value.shape for name, value in load_file(path).items()})
        text = path.read_bytes()
        assert not any(f'"{name}"'.encode() in text for name in more.subjects)
    assert shapes[0] == shapes[1]  # whatever the number of clips
    features = 3 * (81 + 12)
    assert shapes[0]["weights"] == (len(AUS), features)
    assert sum(int(np.prod(shape)) for shape in shapes[0].values()) < len(AUS) * (features + 20)
    again = action_units.load(tmp_path / "0.safetensors")
    test = acted_clips(1, 20)
    np.testing.assert_array_equal(
        again.predict_proba(test.inputs), fitted.predict_proba(test.inputs)
    )
    assert again.read(test.inputs) == fitted.read(test.inputs)
    assert again.card == {"made": "here"}
    first, second = (ActionUnits(one, load_settings().motion).digest for one in (fitted, again))
    assert first is not None and len(first) == 64 and first != second  # the cards differ


def test_what_ships_holds_no_row_of_the_278() -> None:
    shipped = action_units.load()
    assert set(shipped.aus) == {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 25, 26}
    path = Path(action_units.__file__).parent / "weights" / "aus" / "graph.safetensors"
    assert path.stat().st_size < 4 * 15 * 300 + 16_000  # the head, and the card
    assert "no clip" in shipped.card["holds"]
    assert {"figures", "f1", "protocol", "limits", "licence", "made"} <= shipped.card.keys()


def test_a_prior_moves_what_is_said(fitted: GraphAUReader) -> None:
    acted = np.zeros((400, len(AUS)), bool)
    acted[:100, [0, 1]] = True  # 1 and 2 never part
    acted[100:300, 2] = True
    counts = PairCounts.of(AUS, acted)
    coupled = GraphAUReader(counts, position=BY_LANDMARKS, choice=(0.003, 0.3)).fit(acted_clips(0))
    np.testing.assert_allclose(
        coupled.evidence(acted_clips(1, 5).inputs), fitted.evidence(acted_clips(1, 5).inputs)
    )
    assert coupled.chosen["strength"] == 0  # for in the clips AUs part as they like


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (acted_clips(0, 3), "an AU is learned if 5 clips or more have it"),
        (
            dataclasses.replace(acted_clips(0, 40), subjects=("s1",) * 40),
            "clips of two subjects or more",
        ),
    ],
)
def test_too_little_to_learn_from(clips: AUClips, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GraphAUReader().fit(clips)


def test_clips_that_do_not_go_together() -> None:
    good = acted_clips(0, 5)
    with pytest.raises(UsageError, match="acted and sides of shape"):
        dataclasses.replace(good, aus=(1, 2))
    with pytest.raises(UsageError, match="as many subjects"):
        dataclasses.replace(good, subjects=("a",))
    assert good.take(np.array([2, 0])).subjects == ("s2", "s0")


def test_files_and_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no trained AU reader is called 'grpah'"):
        action_units.load("grpah")
    with pytest.raises(WeightsError, match="no weights at"):
        action_units.load(tmp_path / "none.safetensors")
    other = Path(action_units.__file__).parent / "weights" / "graph.safetensors"
    with pytest.raises(WeightsError, match="without the card of an AU reader"):
        action_units.load(other)
    with pytest.raises(UsageError, match="is not trained"):
        action_units.load(GraphAUReader())
    with pytest.raises(UsageError, match="AU readers derive from"):
        action_units.resolve(object)  # type: ignore[arg-type]


class TestGraph(AUReaderSuite):
    def make(self) -> AUReader:
        return GraphAUReader(position=BY_LANDMARKS, choice=(0.003, 0.3))


# -- in a run ----------------------------------------------------------------------------------


def smile() -> dict[str, Any]:
    return {"clip": frames(SMILE), "fps": FPS, "apex": round(APEX_S * FPS)}


def test_classify_reads_them_and_json_keeps_them() -> None:
    found = aumer.classify(**smile())
    assert found.aus is not None
    assert "12" in (aumer.types.au_text(found.aus) or "").split("+")
    assert found.settings["aus"] == {"reader": "graph"}
    assert len(found.digests["aus"]) == 64
    assert aumer.Prediction.from_dict(json.loads(found.to_json())) == found
    assert "12" in table([found]).splitlines()[1].split("  ")[-1]
    assert "AUs" in table([found]).splitlines()[0]
    assert "AUs" in found.summary()
    without = aumer.classify(**smile(), aus=False)
    assert without.aus is None
    assert (without.label, without.probs) == (found.label, found.probs)
    assert "AUs" not in table([without])
    old = without.to_dict()
    del old["aus"]
    assert aumer.Prediction.from_dict(old) == without


def test_no_au_acts_in_a_face_at_rest() -> None:
    still = np.repeat(frames(SMILE)[:1], 20, axis=0)
    found = aumer.classify(still, fps=FPS, apex=10)
    assert found.label is None
    assert found.aus == ()


def test_spot_reads_them(fitted: GraphAUReader) -> None:
    result = aumer.spot(frames(SMILE), fps=FPS, aus=fitted)
    assert result.expressions
    assert all(e.aus is not None for e in result.expressions)
    assert result.settings["aus"] == {"reader": "graph"}
    assert aumer.SpotResult.from_dict(json.loads(result.to_json())) == result
    rows = result.to_dataframe()
    assert rows["aus"].str.contains("12").any()
    assert set(json.loads(rows["au_probs"][0])) == {str(au) for au in AUS}
    assert aumer.spot(frames(SMILE), fps=FPS).expressions[0].aus is None


def test_features_hold_no_maps(fitted: GraphAUReader) -> None:
    features = aumer.features(frames(SMILE), fps=FPS)
    motion = getattr(features, "features", features)
    assert aumer.classify(motion, apex=round(APEX_S * FPS)).aus is None
    with pytest.raises(UsageError, match="read from flow maps"):
        aumer.classify(motion, apex=round(APEX_S * FPS), aus=fitted)
    with pytest.raises(UsageError, match="read from flow maps"):
        aumer.spot(motion, aus=True)


def test_a_camera_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spot", "camera:0", "--end", "1", "--aus"]) == 2
    assert "--classify and --aus" in capsys.readouterr().err


def test_labels_and_action_units_take_one_pass(
    monkeypatch: pytest.MonkeyPatch, fitted: GraphAUReader
) -> None:
    from aumer.recognition import frames as reading

    opened: list[str] = []
    really = reading.open_video

    def counted(*args: Any, **options: Any) -> Any:
        opened.append("once")
        return really(*args, **options)

    monkeypatch.setattr(reading, "open_video", counted)
    result = aumer.spot(frames(SMILE), fps=FPS, aus=fitted, recognizer="graph")
    assert result.expressions[0].aus is not None
    assert result.expressions[0].label is not None
    assert opened == ["once"]
