"""The networks as published: numbers of parameters, shapes of maps, what can be switched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
import torch

from aumer.errors import ConfigError
from aumer.recognition.learning import multiply_adds, parameter_count
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.sequences.texture import equalized, local_binary_patterns
from aumer.recognition.systems.cnn_lstm import (
    MODALITIES,
    CnnLstm,
    CnnLstmConfig,
    CnnLstmRecognizer,
    TimeModel,
)
from aumer.recognition.systems.mfem_mffm import (
    ComplementaryChannelAttention,
    GeneralizedMean,
    Mfem,
    MfemMffm,
    MfemMffmConfig,
    SpatialAttention,
)
from aumer.recognition.systems.mobilevit_v3 import (
    MobileVit,
    MobileVitBlock,
    MobileVitConfig,
    SeparableAttention,
    WideBlock,
    _patches,
    _unpatched,
)
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
    fused = 2 * (256 + 128 + 128)
    assert parameter_count(CnnLstm(CnnLstmConfig(fusion_norm=True), 5)) == 1_543_717 + fused
    two_layers = 4 * 128 * (512 + 128 + 2) + lstm
    alone = 1_543_717 - two_layers + (512 - 128) * 128  # the head then reads what was fused
    for time in ("mean", "none"):
        assert parameter_count(CnnLstm(CnnLstmConfig(time=time), 5)) == alone
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


def test_fusion_is_normed_by_modality() -> None:
    net = CnnLstm(CnnLstmConfig(fusion_norm=True, channels=(4,)), 3).train()
    parts = net.encoded(**inputs(side=16))
    for y in parts.values():
        assert float(y.flatten(0, 1).mean(0).abs().max()) < 1e-5
    assert parts["landmarks"].shape == (2, 4, 128)


def test_the_cnn_alone_reads_the_middle_frame() -> None:
    net = CnnLstm(CnnLstmConfig(time="none", channels=(4,)), 3).eval()
    some = inputs(frames=5, side=16)
    before = net(**some)
    for frame, seen in ((0, False), (2, True), (4, False)):
        other = {k: x.clone() for k, x in some.items()}
        other["gray"][:, frame] += 1
        assert torch.equal(net(**other), before) != seen


def test_textures_of_gray_frames() -> None:
    clip = simulated_clips(Simulation(subjects=1, per_class=1, size=32)).inputs[0]

    def read(**config: object) -> np.ndarray:
        system = CnnLstmRecognizer({"length": 8, **config})
        (place,) = system.windows_of([clip])
        return system.arrays(system.window(clip, place.start))["gray"][:, 0]

    (place,) = CnnLstmRecognizer({"length": 8}).windows_of([clip])
    plain = clip.gray[place.start : place.start + 8]
    np.testing.assert_allclose(read() * 255, plain, atol=1e-4)
    np.testing.assert_allclose(read(equalize=True) * 255, equalized(plain), atol=1e-4)
    np.testing.assert_allclose(read(texture="lbp") * 255, local_binary_patterns(plain), atol=1e-4)
    both = local_binary_patterns(equalized(plain))
    np.testing.assert_allclose(read(texture="lbp", equalize=True) * 255, both, atol=1e-4)
    with pytest.raises(ConfigError, match=r"texture must be .*'hog'"):
        CnnLstmRecognizer({"texture": "hog"})


def test_cnn_lstm_learns_as_published() -> None:
    """Sections 7.1, 7.2, 7.3, 7.5, 8.1 and 16.1, and the flow of 4.3."""
    made = CnnLstmRecognizer()
    learning = made.learning
    assert (learning.optimizer, learning.lr, learning.weight_decay) == ("adam", 1e-4, 1e-5)
    assert (learning.schedule, learning.factor, learning.plateau) == ("plateau", 0.5, 5)
    assert (learning.min_lr, learning.clip, learning.patience) == (1e-6, 1.0, 10)
    assert (learning.batch, learning.epochs, learning.rates) == (8, 100, {"time": 0.1})
    assert learning.class_weights and learning.divide_by == "samples"
    assert made.inputs.flow == "farneback-1.2" and made.inputs.size == 128
    a = made.augmentation
    assert (a.brightness, a.contrast, a.noise, a.flip, a.shift) == (0.2, 0.2, 0.01, 0.5, 2)
    assert (a.each, a.light_odds, a.noise_odds, a.about) == ("frame", 0.5, 0.3, "middle")
    with pytest.raises(ConfigError, match=r"rates\.lstm: .*encoders, projections, .*time, head"):
        CnnLstmRecognizer(None, {"rates": {"lstm": 0.1}})


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


@pytest.mark.parametrize(
    ("mfem", "mffm", "parameters"),
    [
        (True, True, 40_820_677),
        (True, False, 24_897_349),
        (False, True, 38_917_573),
        (False, False, 22_994_245),
    ],
)
def test_mfem_mffm_has_the_parameters_of_its_formulas(
    mfem: bool, mffm: bool, parameters: int
) -> None:
    """Counted from sections 2.1.1 to 2.1.4, for the four rows of table 3."""
    widths, hidden, classes = (64, 128, 256, 512), 256, 5
    count = 3 * 64 * 49 + 2 * 64
    entering = 64
    for stage, (width, blocks) in enumerate(zip(widths, (3, 4, 6, 3), strict=True)):
        for block in range(blocks):
            before = width if block else entering
            count += 9 * before * width + 9 * width * width + 4 * width
            if not block and (stage or before != width):
                count += before * width + 2 * width  # the way round
        entering = 2 * width if mfem else width
        if mfem:
            inner = width // 16
            attention = width + width * inner + inner + inner * width + width  # GeM, W0, W1
            count += 2 * (2 * 49 + 2 * attention)
    pooled = widths[-1]
    if mffm:
        pairs = [(64, 128), (128, 256), (256, 512), (64, 256), (128, 512)]
        count += sum(b * b + b + 9 * (a + b) ** 2 + 2 * (a + b) for a, b in pairs)
        pooled = sum(a + b for a, b in pairs)
    count += 2 * 4 * hidden * (pooled + hidden + 2)
    count += 2 * hidden * hidden + hidden + hidden * classes + classes
    assert count == parameters
    assert parameter_count(MfemMffm(MfemMffmConfig(mfem=mfem, mffm=mffm), classes)) == count


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
        ("v2-0.5", 1.4, (32, 64, 128, 192, 256)),
        ("v2-0.75", 3.0, (48, 96, 192, 288, 384)),
        ("v2-1.0", 5.1, (64, 128, 256, 384, 512)),
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
    last = maps[-1] if size.startswith("v2") else min(4 * maps[-1], 960)
    assert net.head.in_features == last


def test_separable_attention_is_that_of_its_formula() -> None:
    """MobileViTv2, formula 2: (sum over patches of soft-max(score) key) times relu(value), out."""
    module = SeparableAttention(5)
    x = torch.rand(2, 4, 6, 5)
    y = module(x)
    for n, place in ((0, 0), (1, 3)):
        row = x[n, place]
        score, key, value = module.enter(row).split([1, 5, 5], 1)
        context = (score.exp() / score.exp().sum() * key).sum(0)
        expected = (torch.relu(value) * context) @ module.leave.weight.T + module.leave.bias
        torch.testing.assert_close(y[n, place], expected)


def test_the_block_of_version_2_adds_its_input_and_keeps_odd_sides() -> None:
    block = WideBlock(4, 8, 2).eval()
    x = torch.rand(2, 4, 7, 5)
    assert block(x).shape == x.shape
    block.fuse[1].weight.fill_(0.0)
    torch.testing.assert_close(block(x), x)
    assert block.fuse[0].kernel_size == (1, 1) and block.fuse[0].in_channels == 2 * 8


def test_patches_are_put_back_where_they_were() -> None:
    x = torch.rand(2, 3, 6, 4)
    torch.testing.assert_close(_unpatched(_patches(x), (6, 4)), x)
    assert _patches(torch.rand(2, 3, 5, 4)).shape == (2, 4, 6, 3)


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
        SeResNext50({"frame": frame}).windows_of([clip])[0].start
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
