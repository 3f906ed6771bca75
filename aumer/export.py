"""Export of trained networks for other programs: ONNX and TorchScript, in single or lower
precision.

A file holds the network from its inputs to probabilities, and in its metadata (ONNX:
``metadata_props``; TorchScript: the extra file ``aumer.json``) the inputs, the outputs and the card
of the weights. The motion or the aligned faces that it reads are still made by aumer.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from aumer.arguments import as_path, whole
from aumer.errors import BackendUnavailable, UsageError, did_you_mean
from aumer.evaluation.matching import count
from aumer.files import StrPath, TemporaryFolder, atomic_write, check_target
from aumer.learning.portable import Portable
from aumer.recognition import interface
from aumer.recognition.interface import Recognizer
from aumer.recognition.systems.precision import PRECISIONS, Precision
from aumer.recognition.systems.system import SequenceSystem
from aumer.simulate.features import simulate_features
from aumer.spotting.channels import CHANNELS
from aumer.spotting.network import SHIPPED, NetSpotter
from aumer.types import KINDS, Counts, Features, Scores, by_kind

Array: TypeAlias = npt.NDArray[Any]
Target = Literal[".onnx", ".pt", ".safetensors"]
TARGETS: tuple[Target, ...] = get_args(Target)

#: Largest difference between a single-precision file's output and the network's.
TOLERANCE = 1e-5
#: An ONNX operator set that onnxruntime has supported for years.
_OPSET = 18
#: The key of aumer's entry in a file's metadata.
_FACTS = "aumer"
_REPEATS = 5


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes:
        size: size of the file in bytes.
        milliseconds: median duration of one call with the example inputs, on this machine.
        difference: largest absolute difference of any output from the network's own.
        score: the comparison that `evaluate` requests; None without it.
    """

    path: str
    precision: Precision
    size: int
    milliseconds: float
    difference: float
    score: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Comparison of a file with the network that it was made from.

    Attributes:
        what: the figure in `score`: "F1" of a spotting network on simulated faces, "agreement" of a
            recognizer's labels with its own.
        per: what one call processes.
    """

    original: Exported
    made: Exported
    what: str
    per: str


def export(
    weights: StrPath | NetSpotter | Recognizer,
    path: StrPath,
    *,
    precision: Precision = "single",
    evaluate: int = 0,
    overwrite: bool = False,
) -> Comparison:
    """Write a trained network for other programs, and compare the file with it.

    Args:
        weights: a file that `aumer train` wrote, the name "network" for the one that ships, or a
            spotter or recognizer in memory.
        path: ends in .onnx, .pt (TorchScript), or .safetensors (aumer's own, in a lower precision).
        precision: "single"; "half", 16 bits; or "int8": weights in 8 bits, activations quantized
            dynamically.
        evaluate: also compare on this many simulated subjects.
        overwrite: replace an existing file.

    Raises:
        UsageError: an unknown suffix or precision, a precision that the suffix does not support,
            weights that are not a network's, or as `aumer.files.atomic_write`.
        WeightsError: the weights cannot be read.
        BackendUnavailable: packages that the format needs are missing.
    """
    target = _target(as_path("path", path), precision)
    whole("evaluate", evaluate, least=0)
    check_target(path, overwrite=overwrite)
    if isinstance(weights, (str, os.PathLike)) and _same_file(weights, path):
        raise UsageError(
            f"{path} is the file of weights that is exported, and would be overwritten: choose "
            "another "
            "name"
        )
    model = _model(weights)
    portable = model.portable() if isinstance(model, Recognizer) else model.net.portable()
    if portable is None:
        raise UsageError(
            f"the recognizer {model.name!r} cannot be exported, as its class does not define "
            "`portable`",
            fixes=("define it", "train another, such as graph or mobilevit-v3"),
        )
    portable = Portable(
        portable.net.eval(),
        portable.inputs,
        portable.axes,
        portable.output,
        {**portable.about, "precision": precision, "card": dict(model.card)},
    )
    content = _written(model, portable, target, precision)
    run = _runner(content, portable, target, model)
    compared = Portable(portable.net, _longer(portable), portable.axes, portable.output)
    expected = _own(portable)(compared.inputs)
    difference = float(np.abs(run(compared.inputs) - expected).max())
    if not np.isfinite(difference):
        raise UsageError(
            f"{path} was not written: in {precision} precision the network gives numbers that are "
            "NaN or infinite. Use single"
        )
    if precision == "single" and not difference <= TOLERANCE:
        raise UsageError(
            f"{path} was not written: the exported network's outputs differ by {difference:.2g} "
            "from "
            f"those of the network, and at most {TOLERANCE:g} is allowed. Please report this"
        )
    what = "agreement" if isinstance(model, Recognizer) else "F1"
    scores = _scores(model, portable, run, evaluate) if evaluate else (None, None)
    atomic_write(path, content, overwrite=overwrite)
    own = _own(portable)
    kept = sum(t.numel() * t.element_size() for t in portable.net.state_dict().values())
    return Comparison(
        Exported(f"{model.name}", "single", kept, _time(own, portable.inputs), 0.0, scores[0]),
        Exported(
            os.fspath(path),
            precision,
            len(content),
            _time(run, portable.inputs),
            difference,
            scores[1],
        ),
        what,
        _per(portable),
    )


# -- what is exported ------------------------------------------------------------------------------


def _target(path: Path, precision: str) -> Target:
    suffix = path.suffix.lower()
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}; found {precision!r}")
    found = next((target for target in TARGETS if target == suffix), None)
    if found is None:
        raise UsageError(
            f"cannot tell the format of {path}: it has {f'the suffix {suffix!r}' * bool(suffix)}"
            f"{'no suffix' * (not suffix)}; allowed are {', '.join(TARGETS)}."
            f"{did_you_mean(suffix, TARGETS)}"
        )
    if found == ".pt" and precision == "int8":
        raise UsageError(
            "torch no longer maintains int8 for TorchScript: use .onnx or .safetensors for int8"
        )
    if found == ".safetensors" and precision == "single":
        raise UsageError(
            "a .safetensors file of single precision is the file that you have: choose half or "
            "int8, or .onnx or .pt"
        )
    _require(found)
    return found


def _same_file(one: StrPath, other: StrPath) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _require(target: Target) -> None:
    needed = ("onnx", "onnxscript", "onnxruntime") if target == ".onnx" else ()
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendUnavailable(
            f"ONNX needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed: `pip install 'aumer[export]'`"
        )


def _model(weights: StrPath | NetSpotter | Recognizer) -> NetSpotter | Recognizer:
    if isinstance(weights, (NetSpotter, Recognizer)):
        return weights
    if os.fspath(weights) == "network":
        return NetSpotter.load(SHIPPED)
    if os.fspath(weights) in interface.shipped():
        return interface.load(weights)
    return NetSpotter.load(weights) if _spots(weights) else interface.load(weights)


def _spots(path: StrPath) -> bool:
    """Whether a file says that it holds a spotting network; other files are left to their
    readers.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {}).get(_FACTS, "{}"))
    except (OSError, SafetensorError, ValueError):
        return False
    return isinstance(card, dict) and str(card.get("format", "")).startswith("aumer-spotnet")


class _ByPlace(nn.Module):
    """A module that takes its inputs by position, as exporters pass them."""

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        found: Tensor = self.net(**dict(zip(self.names, inputs, strict=True)))
        return found


class _Half(nn.Module):
    """16 bits inside, 32 bits for inputs and outputs."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).half()

    def forward(self, *inputs: Tensor) -> Tensor:
        narrow = (x.half() if x.is_floating_point() else x for x in inputs)
        found: Tensor = self.net(*narrow)
        return found.float()


@contextmanager
def _in_silence() -> Iterator[None]:
    """Silences exporters' long warnings about omitted parts, branches and deprecation."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# -- files -----------------------------------------------------------------------------------------


def _written(
    model: NetSpotter | Recognizer, portable: Portable, target: Target, precision: Precision
) -> bytes:
    if target == ".safetensors":
        if not isinstance(model, SequenceSystem):
            raise UsageError(
                f"{model.name} has no file of lower precision: .safetensors of half or int8 is for "
                "recognizers of sequences; use .onnx, or .pt with half"
            )
        with TemporaryFolder() as folder:
            small = Path(folder) / "small.safetensors"
            model.save(small, model.card, precision=precision)
            return small.read_bytes()
    net: nn.Module = _ByPlace(portable.net, list(portable.inputs))
    if precision == "half":
        net = _Half(net)
    net.eval()
    if target == ".pt":
        return _torchscript(net, portable)
    content = _onnx(net, portable)
    return _in_8_bits(content) if precision == "int8" else content


def _facts(portable: Portable) -> str:
    inputs = {
        name: {"axes": [portable.axes[name].get(k, n) for k, n in enumerate(x.shape)]}
        for name, x in portable.inputs.items()
    }
    facts = {"inputs": inputs, "output": portable.output, **portable.about}
    return json.dumps(facts, allow_nan=False)


def _torchscript(net: nn.Module, portable: Portable) -> bytes:
    content = io.BytesIO()
    with _in_silence():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            net, tuple(portable.inputs.values()), check_trace=False
        )
        torch.jit.save(traced, content, _extra_files={f"{_FACTS}.json": _facts(portable)})
    return content.getvalue()


def _onnx(net: nn.Module, portable: Portable) -> bytes:
    import onnx

    names = {name for axes in portable.axes.values() for name in axes.values()}
    dims = {name: torch.export.Dim(name) for name in sorted(names)}
    shapes = tuple({k: dims[n] for k, n in portable.axes[name].items()} for name in portable.inputs)
    with _in_silence():
        program = torch.onnx.export(
            net,
            tuple(portable.inputs.values()),
            dynamo=True,
            dynamic_shapes=(shapes,),  # the shapes of the one `*inputs` argument
            input_names=list(portable.inputs),
            output_names=[portable.output],
            opset_version=_OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {_FACTS: _facts(portable)})
    content: bytes = model.SerializeToString()
    return content


def _in_8_bits(content: bytes) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryFolder() as folder, _in_silence():
        whole, ready, small = (Path(folder) / f"{n}.onnx" for n in ("whole", "ready", "small"))
        model = onnx.load_from_string(content)
        del model.graph.value_info[:]  # recorded shapes are wrong for transposed weights
        onnx.save(model, whole)
        quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
        # onnxruntime supports 8-bit convolutions only unsigned.
        quantize_dynamic(str(ready), str(small), weight_type=QuantType.QUInt8)
        return small.read_bytes()


# -- running them ----------------------------------------------------------------------------------

Run: TypeAlias = Callable[[Mapping[str, Tensor]], Array]


def _own(portable: Portable) -> Run:
    def run(inputs: Mapping[str, Tensor]) -> Array:
        with torch.no_grad():
            return np.asarray(portable.net(**inputs).numpy())

    return run


def _runner(
    content: bytes, portable: Portable, target: Target, model: NetSpotter | Recognizer
) -> Run:
    """A function that runs a file as another program would."""
    if target == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])

        def run(inputs: Mapping[str, Tensor]) -> Array:
            given = {name: x.numpy() for name, x in inputs.items()}
            return np.asarray(session.run([portable.output], given)[0])

        return run
    if target == ".pt":
        loaded = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]

        def script(inputs: Mapping[str, Tensor]) -> Array:
            with torch.no_grad():
                return np.asarray(loaded(*inputs.values()).numpy())

        return script
    with TemporaryFolder() as folder:
        path = Path(folder) / "small.safetensors"
        path.write_bytes(content)
        again = type(model).load(path) if isinstance(model, Recognizer) else None
    assert again is not None
    small = again.portable()
    assert small is not None
    return _own(small)


def _longer(portable: Portable) -> dict[str, Tensor]:
    """The example inputs with other lengths than those of the export: one sample more, and half as
    many rows.
    """
    found = dict(portable.inputs)
    for name, x in portable.inputs.items():
        for axis, what in portable.axes[name].items():
            many = torch.arange(x.shape[axis] + 1) % x.shape[axis]
            few = torch.arange(max(1, x.shape[axis] // 2))
            found[name] = found[name].index_select(axis, many if what == "batch" else few)
    return found


def _time(run: Run, inputs: Mapping[str, Tensor]) -> float:
    run(inputs)
    seconds = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        run(inputs)
        seconds.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(seconds)


def _per(portable: Portable) -> str:
    shown = ", ".join(f"{name} {tuple(x.shape)}" for name, x in portable.inputs.items())
    return f"one call with {shown}"


# -- what a lower precision costs ------------------------------------------------------------------


def _scores(
    model: NetSpotter | Recognizer, portable: Portable, run: Run, subjects: int
) -> tuple[float, float]:
    """The score of the network itself, and of the file."""
    if isinstance(model, NetSpotter):
        videos = list(simulate_features(subjects, minutes=1.0, seed=977, rate=model.rate))
        return _f1(model, videos, _own(portable)), _f1(model, videos, run)
    assert isinstance(model, Recognizer)
    examples = model.examples(subjects)
    assert examples is not None  # a portable network has examples
    own = np.concatenate([_own(portable)(one).argmax(1) for one in examples])
    there = np.concatenate([run(one).argmax(1) for one in examples])
    return 1.0, float((own == there).mean())


def _f1(model: NetSpotter, videos: Sequence[Any], run: Run) -> float:
    counts = []
    for video in videos:
        found = model.decoder(_tracks(model, video.features, run))
        for kind in KINDS:
            spotted, true = by_kind(found, kind), by_kind(video.expressions, kind)
            counts.append(count([e.interval for e in spotted], [e.interval for e in true]))
    return Counts.total(counts).f1


def _tracks(model: NetSpotter, features: Features, run: Run) -> Scores:
    x = torch.from_numpy(model.net.config.inputs(features))[None]
    valid = torch.from_numpy(features.valid)[None]
    values = run({"x": x, "valid": valid})[0].astype(np.float32)
    values[~features.valid] = np.nan
    return Scores(values, features.times, features.frames, features.valid, CHANNELS)
