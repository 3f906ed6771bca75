"""Names of exchangeable parts: `resolve(kind, name_or_object)`.

A part is found under its built-in name, under a name given to `register`, or under an entry point
of the group ``aumer.<kind>``; any other object is returned as it is, so a user may pass the part
itself. Built-in parts are listed by module path and imported on first use.

A part may be a function, or an object that does not derive from its interface. Which members of the
interface it has is checked only here (`offered`, `arguments`, `called`), once, when the `resolve`
of the interface wraps it; all later code sees the interface.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar, cast

from aumer.errors import UsageError, did_you_mean

T = TypeVar("T")

_parts: dict[str, dict[str, Any]] = {
    "flow": {
        "dis": "aumer.flow.opencv:dis",
        "farneback": "aumer.flow.opencv:farneback",
        "farneback-1.2": "aumer.flow.opencv:farneback_12",
        "tvl1": "aumer.flow.tvl1:tvl1",
        "tvl1-opencv": "aumer.flow.opencv:tvl1_opencv",
        "tvl1-torch": "aumer.flow.tvl1_torch:tvl1_torch",
    },
    "detector": {
        "blazeface": "aumer.face.models:BlazeFaceDetector",
        "mediapipe": "aumer.face.mediapipe:MediaPipeDetector",
        "retinaface": "aumer.face.retinaface:RetinaFaceDetector",
    },
    "landmarker": {
        "mesh": "aumer.face.models:MeshLandmarker",
        "mediapipe": "aumer.face.mediapipe:MediaPipeLandmarker",
        "face-alignment": "aumer.face.face_alignment:FaceAlignmentLandmarker",
    },
    "spotter": {
        "combined": "aumer.spotting.combined:CombinedSpotter",
        "he-2021-like": "aumer.spotting.rivals.rules:HeSpotter",
        "network": "aumer.spotting.network:NetSpotter",
        "rules": "aumer.spotting.rules:RuleSpotter",
        "zhao-2022-like": "aumer.spotting.rivals.rules:ZhaoSpotter",
    },
    # The registered class is the `Architecture`, which makes the network.
    "network": {
        "boosting-vrme-like": "aumer.spotting.rivals.vrme:VideoRegression",
        "ensemble": "aumer.spotting.ensemble:Ensemble",
        "lgsnet-like": "aumer.spotting.rivals.lgsnet:LgsnetLike",
        "me-tst-like": "aumer.spotting.rivals.metst:StateSpaceLike",
        "softnet-like": "aumer.spotting.rivals.softnet:SoftnetLike",
        "spotformer-like": "aumer.spotting.rivals.spotformer:SpotformerLike",
        "spotnet": "aumer.spotting.net_config:NetConfig",
    },
    # With their loss.
    "targets": {
        "aumer": "aumer.spotting.targets:AumerObjective",
        "contrast": "aumer.spotting.rivals.spotformer:ContrastObjective",
        "linear-regression": "aumer.spotting.rivals.regression:LinearRegressionObjective",
        "published": "aumer.spotting.auwgcn.targets:PublishedObjective",
        "regression": "aumer.spotting.rivals.regression:RegressionObjective",
    },
    "decoder": {
        "aumer": "aumer.spotting.decode:Decoder",
        "casme-sq": "aumer.spotting.auwgcn.decoder:CasmeSqDecoder",
        "growing": "aumer.spotting.rivals.decoders:GrowingDecoder",
        "peaks": "aumer.spotting.rivals.decoders:PeakDecoder",
        "samm-lv": "aumer.spotting.auwgcn.decoder:SammLvDecoder",
    },
    "recognizer": {
        "cnn-lstm": "aumer.recognition.systems.cnn_lstm:CnnLstmRecognizer",
        "graph": "aumer.recognition.graph_kernel:GraphRecognizer",
        "graph-motion": "aumer.recognition.graph_motion:GraphMotionRecognizer",
        "mfem-mffm": "aumer.recognition.systems.mfem_mffm:MfemMffmRecognizer",
        "mobilevit-v3": "aumer.recognition.systems.mobilevit_v3:MobileVitV3",
        "se-resnext50": "aumer.recognition.systems.se_resnext50:SeResNext50",
        "ststnet": "aumer.recognition.ststnet:StstNetRecognizer",
        "svm-cells": "aumer.recognition.svm_cells:SvmCells",
    },
    "au-reader": {"graph": "aumer.recognition.au_graph:GraphAUReader"},
    "dataset": {
        "4dme": "aumer.data.fourdme:FourDme",
        "auwgcn-features": "aumer.data.auwgcn_features:AuwgcnFeatures",
        "casme": "aumer.data.casme:Casme",
        "casme-sq": "aumer.data.casme_sq:CasmeSq",
        "casme2": "aumer.data.casme2:Casme2",
        "casme3": "aumer.data.casme3:Casme3",
        "casme3-b": "aumer.data.casme3_b:Casme3B",
        "casme3-c": "aumer.data.casme3_c:Casme3C",
        "dfme": "aumer.data.dfme:Dfme",
        "dfme-test": "aumer.data.dfme:DfmeTest",
        "megc-unseen": "aumer.data.megc_unseen:MegcUnseen",
        "megc2019": "aumer.data.megc2019:Megc2019",
        "meview": "aumer.data.meview:Meview",
        "mmew": "aumer.data.mmew:Mmew",
        "own": "aumer.data.own:Own",
        "samm": "aumer.data.samm:Samm",
        "samm-lv": "aumer.data.samm_lv:SammLv",
        "samm-lv-30": "aumer.data.samm_lv:SammLv30",
        "smic-hs": "aumer.data.smic_hs:SmicHs",
    },
    "graph": {},
    "roi-set": {},
    "apex": {
        "rise-and-fall": "aumer.recognition.apex:by_rise_and_fall",
        "flow-peak": "aumer.recognition.apex:by_flow_peak",
        "both-ends": "aumer.recognition.apex:by_both_ends",
        "roi-difference": "aumer.recognition.apex:by_roi_difference",
        "midpoint": "aumer.recognition.apex:by_midpoint",
    },
    "protocol": {},
    "evaluator": {"aumer": "aumer.evaluation.spotting:evaluate"},
    # Readers of files of intervals, also from other programs.
    "reader": {
        "table": "aumer.tables.readers.table:TableReader",
        "headerless": "aumer.tables.readers.text:HeaderlessReader",
        "json-lists": "aumer.tables.readers.json_lists:JsonListsReader",
        "mat": "aumer.tables.readers.arrays:MatReader",
        "npy": "aumer.tables.readers.arrays:NpyReader",
        "per-video": "aumer.tables.readers.per_video:PerVideoReader",
        "annotations": "aumer.results.interval_reader:AnnotationsReader",
    },
    # Named by the suffix of their files, without the dot.
    "format": {
        "json": "aumer.results.formats:Json",
        "csv": "aumer.results.expressions_csv:Csv",
        "png": "aumer.results.formats:TimelinePicture",
        "pdf": "aumer.results.formats:TimelinePicture",
        "svg": "aumer.results.formats:TimelinePicture",
        "html": "aumer.report.video:Html",
        "annotations": "aumer.results.annotations:Annotations",
        "eaf": "aumer.results.eaf:Eaf",
        "vtt": "aumer.results.subtitles:WebVtt",
        "srt": "aumer.results.subtitles:SubRip",
        "rttm": "aumer.results.rttm:Rttm",
        "textgrid": "aumer.results.textgrid:TextGrid",
        "tsv": "aumer.results.bids:Events",
        "txt": "aumer.results.mne:MneText",
    },
    # The registered function adds the parser of the command.
    "command": {
        "spot": "aumer.cli.spot:add_parser",
        "classify": "aumer.cli.classify:add_parser",
        "features": "aumer.cli.features:add_parser",
        "bench": "aumer.cli.bench:add_parser",
        "config": "aumer.cli.config:add_parser",
        "doctor": "aumer.cli.doctor:add_parser",
        "models": "aumer.cli.models:add_parser",
        "graph": "aumer.cli.graph:add_parser",
        "data": "aumer.cli.data:add_parser",
        "view": "aumer.cli.view:add_parser",
        "serve": "aumer.cli.serve:add_parser",
        "live": "aumer.cli.live:add_parser",
        "agreement": "aumer.cli.agreement:add_parser",
        "convert": "aumer.cli.convert:add_parser",
        "export": "aumer.cli.export:add_parser",
        "simulate": "aumer.cli.simulate:add_parser",
        "demo": "aumer.cli.simulate:add_demo_parser",
        "train": "aumer.cli.train:add_parser",
        "completion": "aumer.cli.completion:add_parser",
    },
    "graph-layer": {
        "dense": "aumer.spotting.layers:DenseLayer",
        "dense-self": "aumer.spotting.layers:DenseSelfLayer",
    },
}

#: What to do about a file that names a part which is not registered here.
REGISTERED_ELSEWHERE = (
    "If it is a part of your own, name the Python file that registers it with `--plugin`, or in "
    "Python import it"
)

#: Former kinds and their present names; the error message names them for one release.
_renamed = {"sequence-recognizer": "recognizer"}

#: Kinds with many built-in parts: module path of a mapping from name to part, imported when needed.
_shipped: dict[str, str] = {
    "graph": "aumer.graph:SHIPPED",
    "roi-set": "aumer.graph.rois:NAMED",
    "protocol": "aumer.bench.protocol:SHIPPED",
    "evaluator": "aumer.evaluation.legacy:EVALUATORS",
}


def register(kind: str, name: str) -> Callable[[T], T]:
    """Decorator: ``@register("flow", "mine")`` registers the decorated object under that name.

    Raises:
        UsageError: unknown kind, empty name, or another object has the name.

    Example:
        >>> @aumer.register("flow", "still")
        ... def still(previous, following):
        ...     return np.zeros((*previous.shape, 2), np.float32)
        >>> settings = {"motion": {"flow": "still"}}
        >>> motion = aumer.features("interview.mp4", settings=settings)
        >>> float(abs(motion.displacement()).max())
        0.0
    """
    known, given = _of(kind), cast(object, name)
    if not (isinstance(given, str) and given.strip() == given != ""):
        raise UsageError(
            f"the name of a {kind} is a text without blanks round it; found {name!r}: "
            f"@register({kind!r}, NAME)"
        )

    def add(part: T) -> T:
        taken = _shipped_parts(kind).get(name, known.get(name, part))
        if taken is not part:
            raise UsageError(f"a {kind} called {name!r} is registered already: {taken!r}")
        known[name] = part
        return part

    return add


def names(kind: str) -> tuple[str, ...]:
    """All names of a kind, sorted: built-in, registered, and from entry points."""
    entries = (e.name for e in entry_points(group=f"aumer.{kind}"))
    return tuple(sorted({*_of(kind), *_shipped_parts(kind), *entries}))


def resolve(kind: str, part: Any) -> Any:
    """The part of that name, or `part` itself if it is not a string.

    Raises:
        UsageError: unknown kind or name; the message lists the choices and the nearest match.
    """
    known = _of(kind)
    if not isinstance(part, str):
        return part
    if part in known:
        found = known[part]
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = getattr(importlib.import_module(module), attribute)
        return found
    if part in _shipped_parts(kind):
        return _shipped_parts(kind)[part]
    for entry in entry_points(group=f"aumer.{kind}", name=part):
        return entry.load()
    raise _unknown(kind, part)


def require(kind: str, name: str) -> None:
    """Raise the error of `resolve` for an unknown name, without importing any part.

    Raises:
        UsageError: as `resolve`.
    """
    if name not in names(kind):
        raise _unknown(kind, name)


def _unknown(kind: str, part: str) -> UsageError:
    choices = names(kind)
    elsewhere = [other for other in _parts if other != kind and part in names(other)]
    return UsageError(
        f"no {kind} is called {part!r}; there are {', '.join(choices) or 'none yet'}."
        + (f" There is a {elsewhere[0]} of that name." if elsewhere else "")
        + did_you_mean(part, choices)
    )


def kinds() -> tuple[str, ...]:
    """Every kind of part."""
    return tuple(_parts)


def sources(kind: str) -> dict[str, tuple[str, str]]:
    """By name, sorted, where the code of each part of a kind is and how it was registered.

    The first is ``module:attribute`` (for a registered object that of its class). The second is
    "built in", "registered", or "package NAME" for an entry point. No part is imported.
    """
    found = {
        e.name: (e.value, f"package {e.dist.name if e.dist else 'unknown'}")
        for e in entry_points(group=f"aumer.{kind}")
    }
    found |= dict.fromkeys(_shipped_parts(kind), (_shipped.get(kind, ""), "built in"))
    for name, part in _of(kind).items():
        if isinstance(part, str):
            found[name] = part, "built in"
        else:
            code = part if inspect.isroutine(part) or inspect.isclass(part) else type(part)
            found[name] = f"{code.__module__}:{code.__qualname__}", "registered"
    return dict(sorted(found.items()))


def built_in(kind: str, name: str) -> bool:
    """Whether the part of that name ships with aumer; imports no part."""
    return isinstance(_of(kind).get(name), str) or name in _shipped_parts(kind)


def name_of(kind: str, part: Any) -> str:
    """The registered name of a class or function: the inverse of `resolve`; imports nothing.

    Raises:
        UsageError: unknown kind, or it is not registered.
    """
    where = f"{part.__module__}:{part.__qualname__}"
    for name, known in _of(kind).items():
        if known is part or known == where:
            return name
    for entry in entry_points(group=f"aumer.{kind}"):
        if entry.value == where:
            return entry.name
    raise UsageError(
        f"{where} is not registered as a {kind}: register it under a name with "
        f"@register({kind!r}, NAME)"
    )


def offered(part: Any, interface: type) -> frozenset[str]:
    """The public members of an interface that a part has although it does not derive from it."""
    bases = inspect.getmro(interface)
    named = {*dir(interface), *(n for base in bases for n in inspect.get_annotations(base))}
    return frozenset(n for n in named if not n.startswith("_") and hasattr(part, n))


def arguments(call: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the arguments of a user's function."""
    return tuple(inspect.signature(call).parameters)


def called(part: Any) -> str:
    """The name of a part in messages: its own, or else that of its class."""
    own = getattr(part, "name", None) or getattr(part, "__qualname__", None)
    return str(own or type(part).__qualname__)


def _shipped_parts(kind: str) -> Mapping[str, Any]:
    if kind not in _shipped:
        return {}
    module, _, attribute = _shipped[kind].partition(":")
    parts: Mapping[str, Any] = getattr(importlib.import_module(module), attribute)
    return parts


def _of(kind: str) -> dict[str, Any]:
    if not isinstance(kind, str):
        raise UsageError(f"kind must be one of {', '.join(_parts)}; found {kind!r}")
    if kind in _renamed:
        raise UsageError(
            f"the kind {kind!r} is {_renamed[kind]!r} now: a part says itself what it reads "
            "(aumer.recognition.interface.Recognizer)"
        )
    if kind not in _parts:
        raise UsageError(
            f"unknown kind of part {kind!r}; there are {', '.join(_parts)}."
            + did_you_mean(kind, _parts)
        )
    return _parts[kind]
