"""Methods of others: shapes, what each is made of, that each learns, and how they decode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spotting.rivals import RIVALS, RULES
from torch import Tensor
from training.conftest import simulated

import aumer
from aumer.config import load_settings
from aumer.errors import ConfigError, UsageError
from aumer.evaluation.matching import count
from aumer.graph import AUGraph
from aumer.graph.rois import DEFAULT_ROIS
from aumer.simulate.features import simulate_features, write_features
from aumer.spotting.channels import CHANNELS, column
from aumer.spotting.interface import resolve
from aumer.spotting.net import SpottingNetwork, parameter_count
from aumer.spotting.network import NetSpotter
from aumer.spotting.parts import Architecture, Objective, TrackDecoder
from aumer.spotting.rivals.decoders import GrowingDecoder, PeakDecoder
from aumer.spotting.rivals.layers import (
    NodeAttention,
    TimeAttention,
    displaced,
    gradients,
    mean_around,
    places,
    regions,
    shifted,
)
from aumer.spotting.rivals.metst import StateSpace
from aumer.spotting.rivals.regression import (
    SPAN,
    LinearRegressionObjective,
    RegressionObjective,
)
from aumer.spotting.rivals.rules import WaveSettings, WaveSpotter
from aumer.spotting.rivals.softnet import SoftnetLikeNetwork
from aumer.spotting.rivals.spotformer import CONTRAST, ContrastObjective
from aumer.spotting.targets import TargetEvent, targets
from aumer.testing import SpotterSuite
from aumer.training.loop import train
from aumer.training.samples import truth_intervals
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo, from_simulation
from aumer.types import KINDS, Counts, Features, Scores

ROIS = DEFAULT_ROIS.names


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# -- shapes ----------------------------------------------------------------------------------------


def linear(channels: int, to: int) -> int:
    return channels * to + to


def normed(channels: int, to: int, kernel: int) -> int:
    """A `TemporalLayer`: a convolution without bias, a norm of two numbers a channel."""
    return channels * to * kernel + 2 * to


def attention(channels: int) -> int:
    return 2 * channels + linear(channels, 3 * channels) + linear(channels, channels)


#: By layer, as each module describes it; no paper at hand prints a count to hold these to.
PARAMETERS = {
    # For each kind: 3, 5 and 8 filters of five ROIs, 12 x 16 -> 400 -> 5.
    "softnet-like": 2 * (linear(5, 16) + linear(192, 400) + linear(400, 5)),
    # 24 -> 48, six times 3 rows of each channel, 48 -> 48 and a norm, 48 -> 10.
    "boosting-vrme-like": normed(24, 48, 1) + 6 * (48 * 4 + linear(48, 48) + 96) + linear(48, 10),
    # Two streams, of 2 and 12 numbers an ROI; in each two layers of three convolutions.
    "lgsnet-like": sum(
        normed(channels, 48, 1) + 2 * (3 * 48 * 48 * 3 + 96) + 48 + linear(48, 48)
        for channels in (24, 144)
    )
    + normed(96, 48, 3)
    + linear(48, 10),
    # Two blocks: norm, 24 -> 48, 3 rows of each channel, two state spaces of 4 states, 24 -> 24.
    "me-tst-like": normed(24, 24, 1)
    + 2
    * (
        48
        + linear(24, 48)
        + 24 * 4
        + 2 * (linear(24, 24) + linear(24, 8) + 24 * 4 + 24)
        + linear(24, 24)
    )
    + linear(24, 10),
    # 18 -> 16 an ROI and its place, attention twice; 4 parts -> 48; 17 rows each way, twice.
    "spotformer-like": linear(18, 16)
    + 12 * 16
    + 2 * attention(16)
    + normed(64, 48, 1)
    + 2 * (attention(48) + 2 * 17)
    + normed(48, 48, 3)
    + linear(96, 10)
    + linear(96, 32),
}


@pytest.mark.parametrize("name", RIVALS)
def test_parameters_are_those_of_the_layers_described(name: str) -> None:
    assert parameter_count(SpottingNetwork.from_preset(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", RIVALS)
def test_a_network_reads_the_rois_of_any_graph(name: str) -> None:
    rois = (*ROIS, "chin", "eye_r_upper_outer")
    net = Architecture.preset(name).network(AUGraph.identity(rois)).eval()
    with torch.no_grad():
        assert net(torch.randn(2, 50, len(rois), 2)).shape == (2, 50, len(CHANNELS))


def test_softnet_like_must_know_where_rois_lie() -> None:
    graph = AUGraph.identity(("left", "right"))
    with pytest.raises(
        UsageError, match=r"softnet-like must know where ROIs lie.*found left, right"
    ):
        Architecture.preset("softnet-like").network(graph)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("softnet-like", {"half_s": [0.1, 0.0]}, "half_s"),
        ("boosting-vrme-like", {"dilations": []}, "dilations"),
        ("lgsnet-like", {"global_s": 0.0}, "global_s"),
        ("me-tst-like", {"doublings": 13}, "doublings"),
        ("spotformer-like", {"width": 49}, "a multiple of heads"),
    ],
)
def test_shapes_that_cannot_be_are_refused(name: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Architecture.preset(name, changes)


# -- layers ----------------------------------------------------------------------------------------


def test_rows_are_shifted_and_summed_over_spans() -> None:
    x = torch.randn(2, 20, 3, 2)
    assert torch.equal(shifted(x, 2)[:, :18], x[:, 2:]) and not shifted(x, 2)[:, 18:].any()
    assert torch.equal(shifted(x, -3)[:, 3:], x[:, :17]) and not shifted(x, -3)[:, :3].any()
    # From 2 rows before row 10 until 3 rows after it: rows 8 to 12 move in between.
    torch.testing.assert_close(displaced(x, -2, 3)[:, 10], x[:, 8:13].sum(1) / 5**0.5)
    torch.testing.assert_close(displaced(x, -2, 3)[:, 0], x[:, :3].sum(1) / 5**0.5)


def test_a_mean_is_of_valid_rows() -> None:
    x, valid = (
        torch.arange(6.0).reshape(1, 6, 1),
        torch.tensor([[True, True, False, True, True, True]]),
    )
    found = mean_around(x * valid[..., None], valid, 1)
    torch.testing.assert_close(found[0, :, 0], torch.tensor([0.5, 0.5, 2, 3.5, 4, 4.5]))


def test_attention_sees_its_offsets_alone() -> None:
    torch.manual_seed(0)
    layer = TimeAttention(8, 2, (-6, -3, 0, 3, 6))
    x, valid = torch.randn(1, 40, 8, requires_grad=True), torch.ones(1, 40, dtype=torch.bool)
    valid[0, 23] = False
    (gradient,) = torch.autograd.grad(layer(x, valid)[0, 20].sum(), x)
    seen = gradient[0].abs().sum(1).nonzero()[:, 0].tolist()
    assert seen == [14, 17, 20, 26]  # not 23, which is invalid


def test_nodes_attend_within_their_part() -> None:
    parts = regions(ROIS)
    assert [len(part) for part in parts] == [3, 3, 2, 4]  # brows, nose, mouth
    assert regions(("cheek", "chin", "jaw_r_1")) == ((0,), (1, 2))
    among = torch.zeros(12, 12, dtype=torch.bool)
    for part in parts:
        among[np.ix_(part, part)] = True
    x = torch.randn(1, 12, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(NodeAttention(8, 2, among)(x)[0, 4].sum(), x)
    assert gradient[0].abs().sum(1).nonzero()[:, 0].tolist() == list(parts[1])


def test_strain_is_that_of_the_field() -> None:
    """Of an affine field the derivatives, and so the strain, are known."""
    where = places(ROIS, "softnet-like").double()
    slope = torch.tensor([[0.3, -0.2], [0.1, 0.4]], dtype=torch.float64)  # of (u, v) along (x, y)
    field = where @ slope.T + 0.7
    found = torch.einsum("rsd,sc->rcd", gradients(where.float(), 5, 0.0).double(), field)
    torch.testing.assert_close(found, slope.expand(12, 2, 2), atol=1e-3, rtol=1e-3)
    net = SpottingNetwork.from_preset("softnet-like")
    assert isinstance(net, SoftnetLikeNetwork)
    net.slopes = gradients(where.float(), 5, 0.0)
    expected = (0.3**2 + 0.4**2 + (-0.2 + 0.1) ** 2 / 2) ** 0.5
    strain = net.strain(field.float()[None, None])
    torch.testing.assert_close(strain, torch.full((1, 1, 12), expected), atol=1e-3, rtol=1e-3)


def test_the_scan_is_the_recurrence() -> None:
    torch.manual_seed(1)
    layer, x = StateSpace(3, 2, doublings=4), torch.randn(1, 40, 3)
    valid = torch.ones(1, 40, dtype=torch.bool)
    valid[0, 9] = False
    x = x * valid[..., None]
    step = torch.nn.functional.softplus(layer.step(x))
    taken, given = layer.inout(x).chunk(2, -1)

    def recurred(first: int, last: int) -> Tensor:
        state = torch.zeros(3, 2)
        for t in range(first, last + 1):
            decay = torch.exp(-step[0, t, :, None] * layer.rates.exp())
            state = decay * state + step[0, t, :, None] * taken[0, t] * x[0, t, :, None]
            state = state * valid[0, t]
        return (state * given[0, last]).sum(-1) + layer.direct * x[0, last]

    found = layer(x, valid)
    for t in (0, 5, 9, 10, 15, 39):  # it remembers 16 rows, and nothing from before a gap
        torch.testing.assert_close(found[0, t], recurred(max(0, t - 15), t))
    assert not torch.allclose(found[0, 39], recurred(30, 39))


# -- losses ----------------------------------------------------------------------------------------


def aims() -> tuple[Tensor, Tensor]:
    """Targets (2, 90, 10) of one of each kind, and weights; the last rows count nothing."""
    found = [TargetEvent(20, 30, 25, "micro"), TargetEvent(40, 75, 60, "macro")]
    one = torch.from_numpy(targets(found, 90, 30.0).values)
    weight = torch.ones(2, 90)
    weight[:, 80:] = 0
    return torch.stack([one, one]), weight


def as_logits(y: Tensor) -> Tensor:
    """Whose scores are the targets."""
    x = torch.logit(y, 1e-6)
    for kind in KINDS:
        columns = [column(kind, part) for part in ("onset", "offset", "neither")]
        x[..., columns] = y[..., columns].clamp(min=1e-9).log()
    return x


@pytest.mark.parametrize(
    "objective", [RegressionObjective(), LinearRegressionObjective()], ids=type
)
def test_regression_is_least_at_the_targets(objective: RegressionObjective) -> None:
    y, weight = aims()
    linear = isinstance(objective, LinearRegressionObjective)
    exact = SPAN * (2 * y - 1) if linear else as_logits(y)
    best = objective.loss(exact, y, weight)["total"]
    assert 0 <= best < 1e-9
    rest = torch.full_like(y, -SPAN)
    rest[..., [column(k, "neither") for k in KINDS]] = SPAN
    assert objective.loss(rest, y, weight)["total"] > 0.1  # although most rows are rest
    spoiled = exact.clone()
    spoiled[:, 80:] = 1e9  # rows of no weight
    torch.testing.assert_close(objective.loss(spoiled, y, weight)["total"], best)


def test_softnet_s_curves_are_called_back_from_rest() -> None:
    """The squared error of a score hardly changes there: tracks of micro-expressions died so."""
    (y, weight), objective = aims(), TrainSettings.preset("softnet-like").objective()
    action, pulls = column("micro", "action"), []
    for level in (-1.0, -12.0):
        logits = torch.full_like(y, level, requires_grad=True)
        objective.loss(logits, y, weight)["total"].backward()
        assert logits.grad is not None
        pulls.append(-logits.grad[0, 25, action])
    assert pulls[1] > pulls[0] > 0


@pytest.mark.parametrize("objective", [RegressionObjective(), ContrastObjective()], ids=type)
def test_shares_of_a_batch_add_up_to_it(objective: Objective) -> None:
    torch.manual_seed(0)
    y, weight = aims()
    weight[1, :35] = 0
    logits = torch.randn(2, 90, 10 + 6 * isinstance(objective, ContrastObjective))
    sums: list[Tensor] = []
    whole = objective.loss(logits, y, weight, across=lambda s: sums.append(s) or s)["total"]
    shares = []
    for part in (slice(0, 1), slice(1, 2)):
        given = iter(sums)  # what all processes have together, in the order it is asked for
        one = objective.loss(logits[part], y[part], weight[part], across=lambda _: next(given))  # noqa: B023
        shares.append(one["total"])
    torch.testing.assert_close(sum(shares), whole)


def test_the_contrast_parts_the_classes() -> None:
    torch.manual_seed(0)
    (y, weight), objective = aims(), ContrastObjective()
    acts = y[..., [column("micro", "action"), column("macro", "action")]]
    apart = torch.cat([1 - acts.sum(-1, keepdim=True), acts], -1)
    tracks = torch.randn(2, 90, 10)
    good, bad, none = (
        objective.loss(torch.cat([tracks, z], -1), y, weight)
        for z in (apart, torch.randn(2, 90, 3), torch.zeros(2, 90, 0))
    )
    assert good["contrast"] < 0.9 * bad["contrast"]
    assert "contrast" not in none  # a network that is judged gives no embedding
    torch.testing.assert_close(good["total"], none["total"] + CONTRAST * good["contrast"])
    alike = objective.loss(torch.cat([tracks, apart], -1), y * 0, weight)
    assert alike["contrast"] == 0  # of one class nothing can be told apart


# -- learning --------------------------------------------------------------------------------------


def ten() -> tuple[LabeledVideo, ...]:
    return from_simulation(
        simulate_features(10, minutes=0.12, seed=3, level="easy", rate_per_min=25.0)
    )


def f1(spotter: NetSpotter, videos: tuple[LabeledVideo, ...]) -> float:
    counts = [
        count([e.interval for e in spotter(v.features)[1] if e.kind == kind], truth)
        for v in videos
        for kind, truth in truth_intervals(v).items()
    ]
    return Counts.total(counts).f1


#: Epochs, and the least F1 and `told_apart` on what was trained on. SOFTNet's decoder gives all of
#: a kind one length (of perfect tracks it makes .73), and its network sees how far ROIs go within a
#: span, not where they are. With presets' own settings: ``python -m benchmarks.accuracy.rivals``.
OVERFIT = {
    "boosting-vrme-like": (80, 0.7, 0.9),
    "lgsnet-like": (40, 0.9, 0.95),
    "me-tst-like": (80, 0.8, 0.9),
    "softnet-like": (80, 0.3, 0.8),
    "spotformer-like": (40, 0.9, 0.95),
}


@pytest.mark.parametrize("name", RIVALS)
def test_it_overfits_ten_videos(name: str) -> None:
    videos, (epochs, least, least_apart) = ten(), OVERFIT[name]
    changes = {"inner_share": 0.0, "mirror": False, "amplitude_jitter": 0.0, "batch": 5}
    settings = TrainSettings.preset(name, {**changes, "epochs": epochs, "lr": 0.01})
    torch.manual_seed(0)
    untrained = settings.net_config().network().eval()
    got = train(videos, settings, seed=0)
    losses = [record["loss_total"] for record in got.log]
    assert losses[-1] < 0.6 * losses[0]
    assert f1(NetSpotter(got.net, got.decoder), videos) >= least
    assert told_apart(got.net, videos) >= least_apart > told_apart(untrained, videos)


def told_apart(net: SpottingNetwork, videos: tuple[LabeledVideo, ...]) -> float:
    """How probably a row within an expression scores higher than one outside (area under ROC)."""
    scores, acts = [], []
    for v in videos:
        within = np.zeros(len(v.features), np.bool_)
        for one in (i for found in truth_intervals(v).values() for i in found):
            within[one.onset : one.offset + 1] = True
        action = net.scores(v.features).values[:, [column(k, "action") for k in KINDS]].max(axis=1)
        scores.append(action[v.features.valid])
        acts.append(within[v.features.valid])
    order, positive = np.concatenate(scores).argsort(), np.concatenate(acts)
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(order) - n)))


@pytest.mark.parametrize("name", RIVALS)
def test_it_is_trained_and_used_as_any_network(name: str, tmp_path: Path) -> None:
    """From a folder of features to weights that spot; `tests/test_export.py` exports them."""
    made = list(simulate_features(2, minutes=0.2, seed=4, level="easy"))
    write_features(tmp_path / "features", made)
    weights = aumer.train(
        tmp_path / "features",
        out=tmp_path / "out",
        source="features",
        changes={"preset": name, "train.epochs": 1},
    )
    result = aumer.spot(made[0].features, model=weights)
    loaded = NetSpotter.load(weights)
    assert result.scores.channels == CHANNELS
    assert type(loaded.decoder) is type(TrackDecoder.named(TrainSettings.preset(name).decoder))
    found, own = result.scores, loaded.scores(made[0].features)
    np.testing.assert_array_equal(found.values, own.values)


# -- decoding --------------------------------------------------------------------------------------


def scores_of(values: np.ndarray, rate: float = 30.0) -> Scores:
    rows = np.arange(len(values))
    return Scores(
        values.astype(np.float32), rows / rate, rows, np.ones(len(rows), np.bool_), CHANNELS
    )


def test_growing_finds_what_perfect_tracks_show() -> None:
    """Of every length, unlike `PeakDecoder`; what overlaps another of its kind may be lost."""
    found, there = Counts(0, 0, 0), GrowingDecoder()
    for video in simulated():
        events = [
            TargetEvent(a.onset, a.offset, a.apex, a.kind)
            for a in video.annotations
            if a.offset is not None and a.apex is not None
        ]
        spotted = there(scores_of(targets(events, len(video.features), 30.0).values))
        for kind, truth in truth_intervals(video).items():
            found += count([e.interval for e in spotted if e.kind == kind], truth)
    assert found.f1 > 0.9


def test_growing_takes_the_length_that_suits_the_curve() -> None:
    values = np.zeros((200, len(CHANNELS)))
    values[:, [column(k, "neither") for k in KINDS]] = 1
    for onset, offset in ((40, 50), (90, 108)):
        values[onset : offset + 1, column("micro", "action")] = 0.9
        values[(onset + offset) // 2, column("micro", "apex")] = 1.0
        values[(onset + offset) // 2 + np.array([-1, 1]), column("micro", "apex")] = 0.8
    spotted = GrowingDecoder()(scores_of(values))
    assert [e.kind for e in spotted] == ["micro", "micro"]
    for e, (onset, offset) in zip(spotted, ((40, 50), (90, 108)), strict=True):
        assert abs(e.onset - onset) <= 2 and abs(e.offset - offset) <= 2
    assert not GrowingDecoder(threshold=1.0)(scores_of(values))
    assert not GrowingDecoder()(scores_of(values * 0))
    assert not GrowingDecoder()(scores_of(values[:0]))


def test_peaks_have_the_usual_length() -> None:
    values = np.zeros((300, len(CHANNELS)))
    values[100:111, column("micro", "action")] = 0.8
    values[200:211, column("micro", "action")] = 0.3
    (one,) = PeakDecoder()(scores_of(values))
    assert (one.kind, one.onset, one.apex, one.offset) == ("micro", 98, 105, 112)
    assert one.score == pytest.approx(1.0)
    both = PeakDecoder(threshold=0.2)(scores_of(values))
    assert [e.apex for e in both] == [105, 205] and both[1].score < 0.5
    assert not PeakDecoder()(scores_of(values * 0))  # without a peak there is none
    assert not PeakDecoder()(scores_of(values[:0]))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PeakDecoder(threshold=0.0), "threshold"),
        (lambda: PeakDecoder(half_s=(0.0, 1.0)), "half_s"),
        (lambda: GrowingDecoder(shares=()), "shares"),
        (lambda: GrowingDecoder(nms_iou=2.0), "nms_iou"),
    ],
)
def test_decoders_refuse_what_cannot_be(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


# -- rules -----------------------------------------------------------------------------------------


class TestHe(SpotterSuite):
    def make(self) -> str:
        return "he-2021-like"


class TestZhao(SpotterSuite):
    def make(self) -> str:
        return "zhao-2022-like"


def bumped(height: float, rise: int, hold: int, at: int = 100) -> Features:
    """The mouth's corners go so far (outer-eye distances) in `rise` rows, hold, and come back."""
    path = np.zeros((501, 12, 2))
    up = np.linspace(0, height, rise + 1)
    flank = np.concatenate([up, np.full(hold, height), up[::-1]])
    path[at : at + len(flank), [8, 10], 0] = flank[:, None] * 0.6
    path[at : at + len(flank), [8, 10], 1] = flank[:, None] * -0.8
    rows = np.arange(500)
    moved = np.diff(path, axis=0).astype(np.float32) * 64
    return Features(moved, rows / 30, rows, np.ones(500, np.bool_), ROIS, 30.0)


@pytest.mark.parametrize("name", RULES)
def test_a_wave_is_found_where_it_is(name: str) -> None:
    spotter = resolve(name, load_settings())
    (micro,) = spotter(bumped(0.12, 4, 2))[1]
    if name == "zhao-2022-like":  # constants for the F1 over both kinds: its wider low pass wins
        assert micro.kind == "macro" and micro.onset < 105 < micro.offset
    else:
        assert micro.kind == "micro"
        assert abs(micro.onset - 100) <= 4 and abs(micro.offset - 110) <= 4
    (macro,) = spotter(bumped(0.12, 10, 10))[1]
    assert macro.kind == "macro"
    assert abs(macro.onset - 100) <= 5 and abs(macro.offset - 130) <= 5
    assert macro.score > 0.5 and 110 <= macro.apex <= 120
    assert not spotter(bumped(0.006, 10, 10))[1]
    assert not spotter(bumped(0.12, 10, 190))[1]  # a new posture comes back too late


def test_waves_need_no_particular_rois() -> None:
    f = bumped(0.12, 10, 10)
    other = Features(f.values[:, 8:9], f.times, f.frames, f.valid, ("cheek",), f.rate)
    assert len(WaveSpotter()(other)[1]) == 1
    for values, said in (
        ({"height": (0.0, 1.0)}, "height"),
        ({"smooth_s": (0.05, 0.0)}, "smooth_s"),
        ({"rois": (2, 0)}, "rois"),
        ({"foot": 1.0}, "foot"),
        ({"window_s": 0.0}, "window_s"),
    ):
        with pytest.raises(ConfigError, match=said):
            WaveSettings(**values)


def test_what_one_roi_alone_shows_is_noise() -> None:
    f = bumped(0.12, 10, 10)
    alone = f.values.copy()
    alone[:, 10] = 0
    one = replace(f, values=alone)
    assert not WaveSpotter()(one)[1]
    assert len(WaveSpotter(WaveSettings(rois=(1, 1)))(one)[1]) == 1


@pytest.mark.parametrize("name", RULES)
def test_rules_are_no_weaker_than_careless_constants_make_them(name: str) -> None:
    """With one low pass for both kinds, and any ROI's wave, this was below .3, most of it false."""
    videos = from_simulation(
        simulate_features(4, minutes=2.0, seed=95_000, level="medium", rate_per_min=6.0)
    )
    spotter = resolve(name, load_settings())
    assert isinstance(spotter, WaveSpotter)
    found = Counts.total(
        count([e.interval for e in spotter.expressions(v.features) if e.kind == kind], truth)
        for v in videos
        for kind, truth in truth_intervals(v).items()
    )
    assert found.f1 > 0.45 and found.fp < found.tp + found.fn
