"""The graph recognizer: its kernel and head by their definitions, registration by known crops."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.bench.recognizers import factory
from aumer.errors import ConfigError, UsageError, WeightsError
from aumer.graph import AUGraph
from aumer.graph.rois import DEFAULT_ROIS
from aumer.recognition import interface
from aumer.recognition.acted_maps import simulated_maps
from aumer.recognition.calibration import soft_max
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.features import centered, mirrored
from aumer.recognition.graph_kernel import (
    GAMMAS,
    Choice,
    GraphRecognizer,
    edge_weights,
    gram_of,
    node_distances,
    parts,
)
from aumer.recognition.kernel_ridge import BALANCES, RIDGES, Factor, without_each
from aumer.recognition.registration import (
    IDENTITY,
    MEAN,
    NONE,
    applied,
    energy,
    register,
    resampled,
)
from aumer.testing.clips import CLASSES, clips
from aumer.types import FloatArray

CHOICE = Choice(NONE, 0.3, 0.2, 0.75)
NAMES = DEFAULT_ROIS.names


@pytest.fixture(scope="module")
def fitted() -> GraphRecognizer:
    return GraphRecognizer(choice=CHOICE).fit(clips(0, subjects=8))


def rows(seed: int, number: int) -> Any:
    return np.random.default_rng(seed).normal(size=(number, 81, 3))


# The kernel


def test_every_cell_is_shared_out_and_left_as_right() -> None:
    shares = parts(NAMES, 9)
    assert shares.shape == (12, 81) and (shares.sum(1) > 0).all()
    np.testing.assert_allclose(shares.sum(0), 1)
    twin = [
        NAMES.index(n.replace("_r", "_*").replace("_l", "_r").replace("_*", "_l"))
        if n.startswith(("brow", "mouth"))
        else k
        for k, n in enumerate(NAMES)
    ]
    flipped = shares[twin].reshape(12, 9, 9)[:, :, ::-1].reshape(12, 81)
    np.testing.assert_allclose(flipped, shares)


def test_kernel_by_its_definition() -> None:
    graph = AUGraph.load("dfme-facs-micro")
    gamma = 0.4
    a, b = rows(0, 4), rows(1, 3)
    shares = parts(graph.rois, 9)
    weights = graph.normalized("symmetric")
    weights = weights / weights.sum()
    expected = np.zeros((4, 3))
    for i in range(4):
        for j in range(3):
            apart = abs(a[i] - b[j]).mean(1)
            alike = np.exp(-gamma * (shares @ apart) / shares.sum(1))
            expected[i, j] = alike @ weights @ alike
    found = gram_of([node_distances(shares, a, b)], edge_weights(graph), gamma)
    np.testing.assert_allclose(found, expected)


def test_an_identity_graph_sees_every_roi_by_itself() -> None:
    distances = node_distances(parts(NAMES, 9), rows(0, 5), rows(1, 5))
    alone = (np.exp(-0.3 * distances) ** 2).mean(0)
    np.testing.assert_allclose(gram_of([distances], edge_weights(AUGraph.identity()), 0.3), alone)


@pytest.mark.parametrize("graph", ["identity", "dfme-facs-micro", "samm-lv-published"])
def test_it_is_a_kernel(graph: str) -> None:
    """Symmetric, 1 on the diagonal; positive where the graph's weights are a kernel too."""
    edges = edge_weights(AUGraph.identity() if graph == "identity" else AUGraph.load(graph))
    x = rows(0, 40)
    gram = gram_of([node_distances(parts(NAMES, 9), x, x)], edges, 0.3)
    np.testing.assert_allclose(gram, gram.T)
    np.testing.assert_allclose(np.diag(gram), 1)
    assert np.linalg.eigvalsh(gram).min() > -1e-6


# The head


@pytest.mark.parametrize("seed", range(3))
def test_leaving_out_is_exact(seed: int) -> None:
    """Equal to solving again without the group's rows."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 5))
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1))
    goals = rng.normal(size=(30, 3))
    noise = rng.uniform(0.1, 1, 30)
    groups = [f"g{k}" for k in rng.integers(0, 6, 30)]
    found = without_each(gram, goals, noise, groups)
    for name in set(groups):
        own = np.array([g == name for g in groups])
        kept = gram[np.ix_(~own, ~own)] + 1 + np.diag(noise[~own])
        again = (gram[np.ix_(own, ~own)] + 1) @ np.linalg.solve(kept, goals[~own])
        np.testing.assert_allclose(found[own], again, atol=1e-9)


def test_a_kernel_of_low_rank_is_the_same_kernel() -> None:
    rng = np.random.default_rng(0)
    features, goals, noise = (
        rng.normal(size=(30, 4)),
        rng.normal(size=(30, 3)),
        rng.random(30) + 0.1,
    )
    groups = [str(k % 7) for k in range(30)]
    whole = Factor(features)
    np.testing.assert_allclose(
        whole.without_each(goals, noise, groups),
        without_each(whole.gram(), goals, noise, groups),
        atol=1e-9,
    )


# Without clips


@pytest.fixture(scope="module")
def parametric() -> GraphRecognizer:
    return GraphRecognizer(choice=CHOICE, landmarks=24).fit(clips(0, subjects=8))


def test_what_is_learnt_without_clips_says_the_same(
    fitted: GraphRecognizer, parametric: GraphRecognizer, tmp_path: Path
) -> None:
    """As right as with them; the file holds none of them, and nothing of their number."""
    test = clips(1)
    shares = parametric.predict_proba(test.inputs)
    assert (shares.argmax(1) == test.labels).mean() > 0.9
    path = tmp_path / "parameters.safetensors"
    parametric.save(path, {})
    arrays = interface.read_weights(path).arrays
    assert all(len(clips(0, subjects=8)) not in array.shape for array in arrays.values())
    again = GraphRecognizer.load(path)
    assert again.landmarks == 24
    assert np.array_equal(again.predict_proba(test.inputs), shares)
    assert again.familiarity(test.inputs[0]) == parametric.familiarity(test.inputs[0])
    spoken = parametric.attribution(test.inputs[0])
    assert spoken.shape == (12,) and spoken.any()


def test_landmarks_are_the_same_whatever_the_clips() -> None:
    """They hang on the place and the cells' scale, and on no clip: other clips, the same maps."""
    maps = simulated_maps(BY_LANDMARKS, 12)
    assert maps.shape == (12, 28, 28, 3) and np.isfinite(maps).all() and maps[..., 2].min() >= 0
    assert np.array_equal(maps, simulated_maps(BY_LANDMARKS, 12))
    assert np.array_equal(maps[:5], simulated_maps(BY_LANDMARKS, 5))
    assert not np.array_equal(maps, simulated_maps(BY_LANDMARKS, 12, seed=1))
    made = [
        GraphRecognizer(choice=CHOICE, position=BY_LANDMARKS, landmarks=12).fit(
            clips(k, subjects=6)
        )
        for k in (0, 2)
    ]
    scale = made[0]._members[0].scale
    shown = [
        m._arrays[f"rows_{scale}"] * m._arrays[f"deviation_{scale}"] + m._arrays[f"mean_{scale}"]
        for m in made
    ]
    np.testing.assert_allclose(shown[0], shown[1], atol=0.02)  # rounded to half precision


@pytest.mark.parametrize("landmarks", [-1, 1.5, True, 20_000])
def test_numbers_of_landmarks_that_are_none(landmarks: object) -> None:
    with pytest.raises(UsageError, match="landmarks must be"):
        GraphRecognizer(landmarks=landmarks)  # type: ignore[arg-type]


def test_what_is_chosen_is_the_best_on_training_subjects_left_out() -> None:
    """The promised UF1 is what retraining without each subject gives, for the whole grid's best."""
    data = clips(2, subjects=5, each=2)
    data = replace(data, inputs=_noisy(data.inputs), sources=())
    made = GraphRecognizer().fit(data)
    assert made.chosen["target"] == NONE  # there is but one crop
    members = made.chosen["members"]
    assert len({(m["scale"], m["edges"]) for m in members}) == len(members)
    promised = [m["uf1_left_out"] for m in members]
    assert promised == sorted(promised, reverse=True)
    best = members[0]
    assert best["gamma"] in GAMMAS and best["ridge"] in RIDGES and best["balance"] in BALANCES
    structure = best["scale"], best["edges"]
    grid = [
        GraphRecognizer(
            choice=Choice(NONE, gamma, ridge, balance, *structure), position=made.position
        )
        .fit(data)
        .chosen["uf1_left_out"]
        for gamma in GAMMAS
        for ridge in RIDGES
        for balance in BALANCES
    ]
    assert promised[0] == max(grid) > min(grid)
    assert made.chosen["uf1_left_out"] >= promised[0]


def test_scores_of_structures_are_averaged() -> None:
    data = replace(clips(2, subjects=4, each=2), sources=())
    made = GraphRecognizer(position=BY_LANDMARKS).fit(data)
    assert len(made._members) > 1  # all are as good: the mean of more is the steadier
    test = clips(1)
    alone = [
        GraphRecognizer(choice=Choice(NONE, **asdict(member)), position=BY_LANDMARKS).fit(data)
        for member in made._members
    ]
    scores = np.mean([np.log(one.predict_proba(test.inputs)) / one._sharpness for one in alone], 0)
    shares = soft_max(made._sharpness * scores)
    np.testing.assert_allclose(made.predict_proba(test.inputs), shares, atol=1e-9)


def test_subjects_left_out_are_in_nothing_that_is_learnt() -> None:
    """Position, registration, settings and weights come from the clips given to `fit` alone."""
    data = clips(0, subjects=6)
    own = data.of_subject("s3")
    other = data.inputs.copy()
    other[own] = np.random.default_rng(1).normal(size=other[own].shape)
    changed = replace(data, inputs=other, labels=np.where(own, 0, data.labels))
    one, two = (factory("graph")(0).fit(d.take(~own)) for d in (data, changed))
    assert one.chosen == two.chosen
    test = data.take(own)
    assert np.array_equal(one.predict_proba(test.inputs), two.predict_proba(test.inputs))


def _noisy(inputs: FloatArray) -> FloatArray:
    view = centered(inputs)
    return (view + np.random.default_rng(5).normal(0, 1.5, view.shape)).astype(np.float32)


def test_a_mirror_image_is_the_same_face(fitted: GraphRecognizer) -> None:
    maps = centered(clips(1).inputs)
    np.testing.assert_allclose(
        fitted.predict_proba(mirrored(maps)), fitted.predict_proba(maps), atol=1e-5
    )
    twin = {"mouth_r": "mouth_l", "brow_r_mid": "brow_l_mid", "nose_tip": "nose_tip"}
    ours = dict(zip(NAMES, fitted.attribution(maps[4], "positive"), strict=True))
    theirs = dict(zip(NAMES, fitted.attribution(mirrored(maps)[4], "positive"), strict=True))
    for name, other in twin.items():
        assert ours[name] == pytest.approx(theirs[other], abs=1e-4)


def test_attributions_add_up_to_what_the_motion_adds_to_the_score(fitted: GraphRecognizer) -> None:
    flow_map = clips(1).inputs[0]
    maps = np.stack([flow_map, np.zeros_like(flow_map)])
    scores = np.log(fitted.predict_proba(maps)) / fitted._sharpness
    scores -= scores.mean(1, keepdims=True)
    for k, label in enumerate(CLASSES):
        total = fitted.attribution(flow_map, label).sum()
        assert total == pytest.approx(scores[0, k] - scores[1, k], abs=1e-9)
    assert not fitted.attribution(maps[1]).any()


def test_probabilities_are_honest_about_what_cannot_be_told() -> None:
    """Trained on noise it must not be sure: the sharpness is chosen on subjects left out."""
    data = clips(0, subjects=8)
    noise = np.random.default_rng(0).normal(size=data.inputs.shape).astype(np.float32)
    made = GraphRecognizer(choice=CHOICE).fit(replace(data, inputs=noise))
    unsure = made.predict_proba(noise[::-1] + noise)
    sure = GraphRecognizer(choice=CHOICE).fit(data).predict_proba(data.inputs)
    assert unsure.max(1).mean() < 0.6 < sure.max(1).mean()


# Registration


AFFINE = (0.9, 1.1, -1.5)


def test_resampling_by_its_definition() -> None:
    ramp = np.zeros((1, 28, 28, 3), np.float32)
    ramp[..., 0] = np.arange(28)
    ramp[..., 1] = np.arange(28)[:, None]
    out = resampled(ramp, AFFINE)[0]
    at = np.arange(28) - 13.5
    np.testing.assert_allclose(out[0, :, 0], np.clip(13.5 + 0.9 * at, 0, 27), atol=1e-4)
    np.testing.assert_allclose(out[:, 0, 1], np.clip(12 + 1.1 * at, 0, 27), atol=1e-4)
    maps = np.random.default_rng(0).normal(size=(2, 28, 28, 3)).astype(np.float32)
    np.testing.assert_allclose(resampled(maps, IDENTITY), maps, atol=1e-6)


def test_crops_that_differ_are_put_over_one_another() -> None:
    data = clips(0, subjects=20)
    maps = centered(data.inputs)
    other = np.array(data.sources) == "two"
    maps[other] = resampled(maps[other], (1.0, 1.1, 1.5))
    found = register(maps, data.sources, "one")
    assert found["one"] == IDENTITY
    again = applied(maps, data.sources, found)

    def alike(m: FloatArray) -> float:
        return float(np.corrcoef(energy(m[other]).ravel(), energy(m[~other]).ravel())[0, 1])

    assert alike(maps) < 0.9 < 0.97 < alike(again)
    assert found["two"][1] == pytest.approx(1 / 1.1, abs=0.05)
    assert found["two"][2] == pytest.approx(-1.5 / 1.1, abs=0.5)


def test_one_crop_or_none_asked_for_is_left_alone() -> None:
    data = clips(0)
    maps = centered(data.inputs)
    assert set(register(maps, ["one"] * len(data), MEAN).values()) == {IDENTITY}
    assert set(register(maps, data.sources, NONE).values()) == {IDENTITY}
    assert np.array_equal(applied(maps, (), {"one": AFFINE}), maps)
    assert np.array_equal(applied(maps, ["three"] * len(data), {"one": AFFINE}), maps)


def test_classes_are_not_looked_at() -> None:
    """Registration may use what a fold's training clips show, but not what they are called."""
    data = clips(0, subjects=6)
    choice = replace(CHOICE, target=MEAN)
    one = GraphRecognizer(choice=choice).fit(data)
    two = GraphRecognizer(choice=choice).fit(replace(data, labels=(data.labels + 1) % 3))
    assert one._affines == two._affines != dict.fromkeys(("one", "two"), IDENTITY)


def test_the_source_of_a_clip_puts_its_crop_right(fitted: GraphRecognizer) -> None:
    data = clips(0, subjects=8)
    made = GraphRecognizer(choice=replace(CHOICE, target="one")).fit(data)
    test = clips(1)
    plain = made.predict_proba(test.inputs)
    assert np.array_equal(made.predict_proba(test.inputs, ["one"] * len(test)), plain)
    assert not np.array_equal(made.predict_proba(test.inputs, ["two"] * len(test)), plain)


# What cannot be


def test_graphs_over_anything_but_landmarks() -> None:
    graph = AUGraph.from_edges({("cheek_r", "cheek_l"): 1.0}, rois=("cheek_r", "cheek_l"))
    with pytest.raises(UsageError, match="position of ROI 'cheek_r'"):
        GraphRecognizer(graph)


def test_graphs_over_other_landmarks() -> None:
    graph = AUGraph.identity(("brow_r_inner", "brow_l_inner", "mouth_r", "mouth_l"))
    made = GraphRecognizer(graph, CHOICE).fit(clips(0, subjects=8))
    test = clips(1)
    assert (made.predict_proba(test.inputs).argmax(1) == test.labels).mean() > 0.8
    assert made.attribution(test.inputs[0]).shape == (4,)


def test_choices_that_are_none() -> None:
    with pytest.raises(ConfigError, match=r"unknown key gama\. Did you mean 'gamma'"):
        GraphRecognizer(choice={"target": NONE, "gama": 0.3, "ridge": 0.2, "balance": 1.0})


def test_too_little_to_learn_from() -> None:
    data = clips(0)
    with pytest.raises(UsageError, match="without one: surprise"):
        GraphRecognizer().fit(data.take(data.labels < 2))
    with pytest.raises(UsageError, match="clips of two subjects or more"):
        GraphRecognizer().fit(data.take(data.of_subject("s0")))


def test_a_file_that_lacks_an_array(fitted: GraphRecognizer, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    fitted.save(whole, {})
    found = interface.read_weights(whole)
    arrays = {k: v for k, v in found.arrays.items() if k != "rows_9"}
    interface.write_weights(half, fitted, arrays, found.about, {}, overwrite=False)
    with pytest.raises(WeightsError, match=r"cannot read a whole graph recognizer .*: .rows_9"):
        GraphRecognizer.load(half)
    again = GraphRecognizer.load(whole)
    assert again.graph.digest == fitted.graph.digest and again.chosen == fitted.chosen
    assert again.position == fitted.position
    test = clips(1)
    assert np.array_equal(again.predict_proba(test.inputs), fitted.predict_proba(test.inputs))
