"""The networks as published: numbers of parameters, shapes of maps, what can be switched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
import torch

from aumer.errors import ConfigError
from aumer.recognition.learning import multiply_adds, parameter_count
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.systems.cnn_lstm import MODALITIES, CnnLstm, CnnLstmConfig, TimeModel
from aumer.recognition.systems.mfem_mffm import (
    ComplementaryChannelAttention,
    GeneralizedMean,
    Mfem,
    MfemMffm,
    MfemMffmConfig,
    SpatialAttention,
)
from aumer.recognition.systems.mobilevit_v3 import MobileVit, MobileVitBlock, MobileVitConfig
from aumer.recognition.systems.se_resnext50 import SeResNext, SeResNext50, SeResNextConfig

SUBSETS = [m for n in (1, 2, 3) for m in combinations(MODALITIES, n)]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def inputs(frames: int = 4, side: int = 32) -> dict[str, torch.Tensor]:
    return {
        "gray": torch.rand(2, frames, 1, side, side),
        "landmarks": torch.rand(2, frames, 136),
        "flow": torch.rand(2, frames - 1, 2, side, side),
    }


# cnn-lstm


def test_cnn_lstm_has_the_published_number_of_parameters() -> None:
    assert parameter_count(CnnLstm(CnnLstmConfig(), 5)) == 1_543_717
    lstm = 4 * 128 * (128 + 128 + 2)  # one layer more or less
    assert parameter_count(CnnLstm(CnnLstmConfig(layers=1), 5)) == 1_543_717 - lstm
    assert parameter_count(CnnLstm(CnnLstmConfig(layers=3), 5)) == 1_543_717 + lstm
    norms = 2 * 2 * (32 + 64 + 128)
    assert parameter_count(CnnLstm(CnnLstmConfig(batch_norm=False), 5)) == 1_543_717 - norms
    attention = (512 + 1) * 256 + (256 + 1) * 3
    assert parameter_count(CnnLstm(CnnLstmConfig(fusion="attention"), 5)) == 1_543_717 + attention


def test_cnn_lstm_maps() -> None:
    net = CnnLstm(CnnLstmConfig(), 5).eval()
    some = inputs(side=128)
    assert net.encoders["gray"](some["gray"]).shape == (2, 4, 2048)
    assert net.encoders["flow"](some["flow"]).shape == (2, 3, 2048)
    parts = net.encoded(**some)
    assert {m: tuple(y.shape) for m, y in parts.items()} == {
        "gray": (2, 4, 256),
        "landmarks": (2, 4, 128),
        "flow": (2, 4, 128),
    }
    assert net.embed(**some).shape == (2, 128) and net(**some).shape == (2, 5)


def test_flow_gets_a_step_of_zeros_in_front() -> None:
    net = CnnLstm(CnnLstmConfig(), 5).eval()
    some = inputs()
    first = net.encoded(**some)["flow"][:, 0]
    expected = net.projections["flow"](torch.zeros(2, 2048))
    torch.testing.assert_close(first, expected)
    other = net.encoded(**{**some, "flow": some["flow"] + 1})["flow"][:, 0]
    torch.testing.assert_close(first, other)


@pytest.mark.parametrize("modalities", SUBSETS, ids="+".join)
@pytest.mark.parametrize("fusion", ["concatenation", "attention"])
def test_any_subset_of_modalities(modalities: tuple[str, ...], fusion: str) -> None:
    net = CnnLstm(CnnLstmConfig(modalities=modalities, fusion=fusion, channels=(4,)), 3)  # type: ignore[arg-type]
    some = {m: x for m, x in inputs(side=16).items() if m in modalities}
    assert net.eval()(**some).shape == (2, 3)
    assert set(net.encoders) == set(modalities)


def test_attention_weighs_modalities_and_can_drop_one() -> None:
    net = CnnLstm(CnnLstmConfig(fusion="attention", channels=(4,)), 3).eval()
    some = inputs(side=16)
    before = net(**some)
    net.scores[2].weight.fill_(0.0)  # type: ignore[operator]
    net.scores[2].bias[0] = -1e4  # type: ignore[index]
    dropped = net(**some)
    assert not torch.allclose(before, dropped)
    torch.testing.assert_close(net(**{**some, "gray": torch.rand_like(some["gray"])}), dropped)


@pytest.mark.parametrize("kind", ["lstm", "gru", "transformer", "mean"])
def test_time_models_read_order_all_but_the_mean(kind: str) -> None:
    model = TimeModel(kind, 24, 0.3).eval()
    x = torch.rand(2, 6, 24)
    forth, back = model(x), model(x.flip(1))
    assert forth.shape == (2, model.width)
    assert torch.allclose(forth, back, atol=1e-6) == (kind == "mean")


def test_cnn_lstm_settings() -> None:
    with pytest.raises(ConfigError, match="modalities must be one or more of gray, landmarks"):
        CnnLstmConfig(modalities=("gray", "gray"))


# mfem-mffm


@pytest.mark.parametrize("mfem", [True, False])
@pytest.mark.parametrize("mffm", [True, False])
def test_mfem_mffm_maps_with_either_module_off(mfem: bool, mffm: bool) -> None:
    """At 64 px and the published widths: halves from stage to stage; MFFM has C1 + C2 channels."""
    net = MfemMffm(MfemMffmConfig(mfem=mfem, mffm=mffm), 5).eval()
    levels = net.levels(torch.rand(1, 3, 64, 64))
    assert [tuple(x.shape[1:]) for x in levels] == [
        (64, 16, 16),
        (128, 8, 8),
        (256, 4, 4),
        (512, 2, 2),
    ]
    assert net.stages[1][0].body[0].in_channels == (128 if mfem else 64)  # type: ignore[index,union-attr]
    maps = net.fused(levels)
    assert [m.shape[1] for m in maps] == ([192, 384, 768, 320, 640] if mffm else [512])
    if mffm:
        assert min(float(m.min()) for m in maps) < 0  # formula 12 ends in batch norm, without ReLU
    assert net(torch.rand(2, 3, 3, 64, 64)).shape == (2, 5)


def test_the_trunk_is_resnet34() -> None:
    """21,797,672 parameters with 1000 classes, of which 513,000 are the classifier's."""
    net = MfemMffm(MfemMffmConfig(mfem=False, mffm=False), 5)
    trunk = parameter_count(net) - parameter_count(net.lstm) - parameter_count(net.head)
    assert trunk == 21_797_672 - 513_000


def test_ccam_keeps_the_suppressed_part() -> None:
    """x g1 + x (1 - g1) g2: where g1 shuts, g2 alone decides; between 0 and x."""
    attention = ComplementaryChannelAttention(8, 4).eval()
    x = torch.rand(2, 8, 5, 5)
    y = attention(x)
    assert ((y > 0) & (y < x)).all()
    attention.main[2].bias.fill_(-50.0)  # type: ignore[operator,union-attr]
    attention.second[2].bias.fill_(50.0)  # type: ignore[operator,union-attr]
    torch.testing.assert_close(attention(x), x)
    attention.second[2].bias.fill_(-50.0)  # type: ignore[operator,union-attr]
    torch.testing.assert_close(attention(x), torch.zeros_like(x))


def test_generalized_mean() -> None:
    """p = 1 is the mean; a large p tends to the maximum; each channel has its own."""
    pool = GeneralizedMean(2)
    pool.power.copy_(torch.tensor([1.0, 200.0]))
    x = torch.rand(3, 2, 6, 6)
    out = pool(x)
    torch.testing.assert_close(out[:, 0], x[:, 0].mean((1, 2)))
    torch.testing.assert_close(out[:, 1], x[:, 1].amax((1, 2)), rtol=0.03, atol=0.0)


def test_mfem_adds_both_orders() -> None:
    module, x = Mfem(8, 4).eval(), torch.rand(1, 8, 6, 6)
    torch.testing.assert_close(module(x), module.place_first(x) + module.channel_first(x))
    kinds = [type(m) for m in (*module.place_first, *module.channel_first)]
    sam, ccam = SpatialAttention, ComplementaryChannelAttention
    assert kinds == [sam, ccam, ccam, sam]


# mobilevit-v3


@pytest.mark.parametrize(
    ("size", "million", "maps"),
    [
        ("xxs", 1.2, (16, 24, 64, 80, 128)),
        ("xs", 2.5, (32, 48, 96, 160, 160)),
        ("s", 5.8, (32, 64, 128, 256, 320)),
    ],
)
def test_mobilevit_sizes(size: str, million: float, maps: tuple[int, ...]) -> None:
    config = MobileVitConfig(size=size)  # type: ignore[arg-type]
    net = MobileVit(config, 1000).eval()
    assert round(parameter_count(net) / 1e6, 1) == million
    found = net.feature_maps(torch.rand(1, 3, 64, 64))
    assert [tuple(x.shape[1:]) for x in found] == [
        (c, s, s) for c, s in zip(maps, (32, 16, 8, 4, 2), strict=True)
    ]
    assert net.head.in_features == min(4 * maps[-1], 960)


def test_pixels_attend_to_those_of_the_same_place_in_other_patches() -> None:
    """Change one pixel: with the local part and the fusion 1 x 1, only its class changes."""
    block = MobileVitBlock(4, 8, 1).eval()
    block.local[0] = torch.nn.Identity()  # no 3 x 3: nothing but attention carries
    x = torch.rand(1, 4, 8, 8)
    other = x.clone()
    other[:, :, 2, 5] += 1
    moved = (block(x) - block(other)).abs().sum((0, 1)) > 1e-6
    same_place = torch.zeros(8, 8, dtype=torch.bool)
    same_place[0::2, 1::2] = True
    assert torch.equal(moved, same_place)


def test_odd_sides_keep_their_shape() -> None:
    block = MobileVitBlock(4, 8, 1).eval()
    assert block(torch.rand(2, 4, 7, 5)).shape == (2, 4, 7, 5)


# se-resnext50


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (SeResNextConfig(excitation=False), 25_028_904),
        (SeResNextConfig(excitation=False, groups=1, group_width=64), 25_557_032),
    ],
    ids=["ResNeXt-50", "ResNet-50"],
)
def test_the_networks_of_the_published_ablation_have_their_known_sizes(
    config: SeResNextConfig, parameters: int
) -> None:
    assert parameter_count(SeResNext(config, 1000)) == parameters


def test_se_resnext50_has_the_published_numbers_of_parameters() -> None:
    net = SeResNext(SeResNextConfig(), 1000)
    assert parameter_count(net) == 27_559_896
    net.head = torch.nn.Linear(2048, 5)
    assert parameter_count(net) == 25_521_141


def test_se_resnext50_maps() -> None:
    net = SeResNext(SeResNextConfig(), 5).eval()
    found = net.feature_maps(torch.rand(1, 3, 64, 64))
    assert [tuple(x.shape[1:]) for x in found] == [
        (256, 16, 16),
        (512, 8, 8),
        (1024, 4, 4),
        (2048, 2, 2),
    ]


def test_the_frame_that_is_read() -> None:
    clip = simulated_clips(Simulation(subjects=1, per_class=1, size=32, flow="none")).inputs[0]
    found = [
        SeResNext50({"frame": frame}).places([clip])[0].start
        for frame in ("apex", "middle", "rise")
    ]
    assert found == [
        clip.apex,
        (clip.onset + clip.offset) // 2,
        (clip.onset + clip.apex) // 2,
    ]
    with pytest.raises(ConfigError, match="frame must be one of apex, middle, rise"):
        SeResNext50({"frame": "offset"})


def test_multiply_adds_of_a_known_layer() -> None:
    conv = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1, bias=False))

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.conv(image))

    assert multiply_adds(Named(), {"image": torch.rand(1, 3, 10, 10)}) == 3 * 8 * 9 * 100
