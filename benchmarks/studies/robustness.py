"""Files that are damaged, foreign or made to harm: does every reader say so in one line?

    python -m benchmarks.studies.robustness [--cases N] [--seed S] [--only KIND ...] [--save]

A case is a whole file of a kind, spoiled by chance (bits, cuts, other bytes spliced in; a value of
its JSON or TOML, an array of its .npz, a part of its archive replaced by something absurd), or a
text or a number that somebody gives. Tried are the readers that commands use. A case fails that
raises anything but aumer's own errors, whose message names no file or has lines too many, or that
takes longer than `--slow` seconds. Exit code 1 if any fails; the seed and the number of a case make
it again.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from aumer import strict
from aumer._data import data_dir
from aumer.bench import protocol
from aumer.bench.store import Store, read_fold, sealed
from aumer.config import load_settings
from aumer.data import own
from aumer.errors import AumerError
from aumer.face import weights as face_weights
from aumer.graph import AUGraph, au
from aumer.names import FileNames, file_name, inside
from aumer.recognition.interface import load as load_recognizer
from aumer.results import Prediction, SpotResult
from aumer.results.motion import Motion, load_features
from aumer.simulate.features import read_features, simulate_features, write_features
from aumer.spotting.auwgcn.checkpoint import load_checkpoint
from aumer.spotting.judge import SHIPPED, Judge
from aumer.spotting.network import NetSpotter
from aumer.tables import cells, intervals
from aumer.training import recognizers, run
from aumer.types import Expression, FaceTrack, Scores, VideoInfo
from benchmarks.report import Report, options

#: What a part of a file is replaced by.
ABSURD: tuple[Any, ...] = (
    *(None, True, "", "x", "\0", "../../x", "~nobody", "x" * 70_000, "\x1b[31m\n", "=1+1"),
    *(0, -1, 1e-320, 1e10, 1e308, 2**63, 10**400, 0.5, float("nan"), float("inf")),
    *([], {}, [[]], {"x": 1}, [None], {"": {}}, [1e308] * 3),
)
#: Bytes that parsers stumble over, whatever stands round them.
BYTES = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"\xed\xa0\x80", b'"', b"'", b"\r", b"\n\n"),
    *(b"[" * 100_000, b'{"a":' * 50_000, b"(" * 50_000, b"9" * 5_000, b"1e999", b"-", b"PK\3\4"),
    *(b"NaN", b"a.b.c=1\n", b"[[x]]\n", b'sep="\n', b"\x80\x04\x95", b"\x93NUMPY", b"," * 9_000),
)
PATHS = ("~nobody/x", "x" * 300, "x\0y", "", "/", "no/such/file", "\udcff", "x" * 70_000, "con")


@dataclass(frozen=True)
class Kind:
    """One kind of case: `made` draws what `read` is given; bytes become a file of that name."""

    read: Callable[[Any], object]
    made: Callable[[random.Random], Any]
    file: str = ""
    whole: bytes = b""


def spoiled(content: bytes, chance: random.Random) -> bytes:
    """The bytes with one to three damages."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 4, 64, 4096)))
        damage = chance.randrange(8)
        if damage == 0 and data:
            for _ in range(chance.randint(1, 20)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif damage == 1:
            del data[at:]
        elif damage == 2:
            del data[at:end]
        elif damage == 3:
            data[at:end] = chance.randbytes(end - at)
        elif damage == 4:
            data[at:at] = data[at:end] * chance.randint(1, 50)
        elif damage == 5:
            data = bytearray(chance.choice((b"", chance.randbytes(500), chance.choice(BYTES))))
        else:
            data[at:at] = chance.choice(BYTES)
    return bytes(data)


def changed(value: Any, chance: random.Random) -> Any:
    """Plain values with one of them replaced, taken out, or put deeper."""
    if isinstance(value, Mapping) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        rest = {k: v for k, v in value.items() if k != key}
        return rest if chance.random() < 0.1 else {**rest, key: changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        k = chance.randrange(len(value))
        return [*value[:k], changed(value[k], chance), *value[k + 1 :]]
    return chance.choice(ABSURD)


def of_bytes(content: bytes) -> Callable[[random.Random], bytes]:
    return lambda chance: spoiled(content, chance)


def of_json(content: bytes) -> Callable[[random.Random], bytes]:
    plain = json.loads(content)

    def made(chance: random.Random) -> bytes:
        if chance.random() < 0.4:
            return spoiled(content, chance)
        values = changed(plain, chance)
        try:
            text = json.dumps(values)
            if isinstance(values, dict) and "sha256" in values and chance.random() < 0.8:
                text = json.dumps(sealed(values))
        except ValueError:  # digits without end, NaN under a seal
            text = "9" * 5_000
        return text.encode("utf-8", "surrogatepass")

    return made


def of_toml(content: bytes) -> Callable[[random.Random], bytes]:
    plain = strict.tomllib.loads(content.decode())

    def made(chance: random.Random) -> bytes:
        if chance.random() < 0.4:
            return spoiled(content, chance)
        values = changed(plain, chance)
        try:
            text = strict.to_toml(values if isinstance(values, dict) else {"x": values})
        except (ValueError, TypeError):
            text = "x = " + "9" * 5_000
        return text.encode("utf-8", "surrogatepass")

    return made


def of_archive(content: bytes) -> Callable[[random.Random], bytes]:
    """ZIP files (.xlsx, .npz, torch's), spoiled outside or in one member."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def made(chance: random.Random) -> bytes:
        if chance.random() < 0.3:
            return spoiled(content, chance)
        found = dict(members)
        name = chance.choice(list(found))
        if chance.random() < 0.1:
            del found[name]
        elif name.endswith("case.npy") and chance.random() < 0.7:
            file = io.BytesIO()
            np.save(file, chance.choice(ARRAYS), allow_pickle=True)
            found[name] = file.getvalue()
        elif chance.random() < 0.05:
            found[name] = b"\0" * (200 << 20)  # a bomb
        else:
            found[name] = spoiled(found[name], chance)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for one, data in found.items():
                archive.writestr(one, data)
        return file.getvalue()

    return made


#: In the place of an array of an .npz file.
ARRAYS: tuple[Any, ...] = (
    *(np.array(0), np.array(-1.0), np.array(np.nan), np.array(np.inf), np.array("x"), np.zeros(0)),
    *(np.zeros((2, 3)), np.full(90, np.nan), np.array([{}, None], object), np.arange(90)[::-1]),
    *(np.array(["x"] * 90), np.zeros((90, 12, 2), np.complex64), np.array("{}"), np.array("[" * 9)),
    *(np.array(1e308), np.array(2**63, np.uint64), np.zeros((90, 12, 2)), np.array(["2024"], "M8")),
)


def of_tensors(content: bytes) -> Callable[[random.Random], bytes]:
    """A file of weights, spoiled in its bytes, its card or its arrays."""
    arrays = load_tensors(content)
    length = int.from_bytes(content[:8], "little")
    card = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["aumer"])

    def made(chance: random.Random) -> bytes:
        how = chance.random()
        if how < 0.4:
            head = bytearray(spoiled(content[: 8 + length], chance))
            return bytes(head) + content[8 + length :]
        if how < 0.9:
            try:
                text = json.dumps(changed(card, chance))
            except ValueError:
                text = "9" * 5_000
            return save_tensors(arrays, {"aumer": text})
        found = dict(arrays)
        name = chance.choice(list(found))
        found[name] = np.zeros(chance.choice(((), (1,), (3, 3))), chance.choice(("f4", "i8", "?")))
        return save_tensors(found, {"aumer": json.dumps(card)})

    return made


def of_file(
    read: Callable[[Any], object],
    of: Callable[[bytes], Callable[[random.Random], bytes]],
    content: bytes,
    file: str,
) -> Kind:
    """Files of a kind: `content` is a whole one, and `of` damages it."""
    return Kind(read, of(content), file, content)


def text_of_aus(chance: random.Random) -> str:
    pieces = ("4", "L12", "R", "(", ")", "+", " or ", "ref(", "/", "?", "A", "7B", "\0", "9" * 50)
    if chance.random() < 0.1:
        return chance.choice(pieces) * chance.choice((1_000, 20_000))
    return "".join(chance.choice(pieces) for _ in range(chance.randint(0, 30)))


def value_of_a_setting(chance: random.Random) -> str:
    return spoiled(b"[1, 2.5, 'x']", chance).decode("latin-1")


def two_names(chance: random.Random) -> tuple[str, str]:
    letters = "aAbB01 _-./\\%~:*\0é张李\udc80"
    one, other = (
        "".join(chance.choice(letters) for _ in range(chance.choice((1, 2, 3, 150))))
        for _ in range(2)
    )
    return one, other if chance.random() < 0.5 else one.swapcase()


def apart(names: tuple[str, str]) -> None:
    """Different names are different files that lie where they should."""
    for rule in (file_name, FileNames(Path("/root/none"))):
        one, other = map(rule, names)
        assert (one.lower() == other.lower()) == (names[0] == names[1]), (names, one, other)
        assert inside("/root", one).parent == Path("/root"), one
        assert len(one.encode()) <= 100, one


def setting(chance: random.Random) -> dict[str, Any]:
    plain = load_settings().to_dict()
    section = chance.choice(list(plain))
    numbers = [v for v in ABSURD if isinstance(v, (int, float))]
    return {f"{section}.{chance.choice(list(plain[section]))}": chance.choice(numbers)}


def written(folder: Path) -> Iterator[tuple[str, Kind]]:
    """Every kind, with a whole file of it made in `folder`."""
    simulated = next(iter(simulate_features(1, minutes=0.05)))
    npz = write_features(folder / "simulated", [simulated])[0]
    features = simulated.features
    yield "simulated features", of_file(read_features, of_archive, npz.read_bytes(), "case.npz")

    scores = Scores(
        np.zeros((len(features), 2), np.float32),
        features.times,
        features.frames,
        features.valid,
        ("micro", "macro"),
    )
    result = SpotResult(
        video=VideoInfo("face.mp4", "file", 640, 480, 30.0, 90),
        expressions=(Expression("micro", 3, 5, 9, 0.1, 0.2, 0.3, 0.5),),
        scores=scores,
        coverage=1.0,
        spotter="rules",
        settings={},
        digests={},
        versions={},
        features=features,
    )
    yield "spot result", of_file(SpotResult.load, of_json, result.to_json().encode(), "case.json")
    motion = folder / "motion.npz"
    n, valid = len(features), features.valid
    boxes, points = np.full((n, 4), np.nan, "f4"), np.full((n, 68, 2), np.nan, "f4")
    track = FaceTrack(features.times, features.frames, valid, boxes, points)
    Motion(VideoInfo("face.mp4", "file", 640, 480, 30.0, n), features, track).save(motion)
    yield "motion", of_file(load_features, of_archive, motion.read_bytes(), "case.npz")

    graph = sorted(data_dir("au_priors").glob("*.json"))[0].read_bytes()
    yield "graph", of_file(AUGraph.load, of_json, graph, "case.json")
    matrix = io.BytesIO()
    np.save(matrix, np.eye(12))
    yield "graph matrix", of_file(AUGraph.load, of_bytes, matrix.getvalue(), "case.npy")

    header, first = b"file,subject,kind,onset,apex,offset,au", b"a.mp4,s1,micro,3,5,9,4+L12"
    table = b"\n".join((header, first, b"b.mp4,s2,none,,,,\n"))
    yield "table", of_file(intervals.read, of_bytes, table, "case.csv")
    yield "own table", of_file(own.read_table, of_bytes, table, "case.csv")
    wide = table.decode().encode("utf-16")
    yield "table in UTF-16", of_file(intervals.read, of_bytes, wide, "case.csv")
    rows = {"rows": [{"video": "a", "kind": "micro", "onset": 3, "apex": 5, "offset": 9}]}
    yield (
        "table in JSON",
        of_file(intervals.read, of_json, json.dumps(rows).encode(), "case.json"),
    )
    from openpyxl import Workbook

    book, file = Workbook(), io.BytesIO()
    for line in table.decode().splitlines():
        book.active.append(line.split(","))
    book.save(file)
    yield "workbook", of_file(cells.sheets, of_archive, file.getvalue(), "case.xlsx")

    toml = (data_dir("configs") / "default.toml").read_bytes()
    yield "settings", of_file(load_settings, of_toml, toml, "case.toml")
    yield "setting", Kind(lambda values: load_settings(overrides=values), setting)
    yield "assignment", Kind(lambda text: strict.assignment(f"a={text}"), value_of_a_setting)
    bench = (data_dir("configs") / "bench" / "casme-sq.toml").read_bytes()
    yield "protocol", of_file(protocol.load, of_toml, bench, "case.toml")
    training = (
        b'output = "y"\nseed = 1\n[data]\nsource = "features"\nroot = "x"\n[train]\nepochs = 3\n'
        b"lr = 0.01\n[train.net_overrides]\ngraph_width = 8\n[augment]\nfilms = 2\n"
    )
    yield "training run", of_file(run.read_config, of_toml, training, "case.toml")
    recognizing = b'recognizer = "svm-cells"\noutput = "y"\n[data]\nsource = "own"\nroot = "x"\n'
    yield "recognizer's run", of_file(recognizers.read_config, of_toml, recognizing, "case.toml")

    about = json.dumps(sealed({"format": "aumer-bench/1", "model": {"name": "rules"}})).encode()

    yield (
        "stored run",
        of_file(lambda path: Store(Path(path).parent).about(), of_json, about, "run.json"),
    )
    fold = {"format": "aumer-bench-fold/1", "fold": "s 1", "seed": 0, "depends": {"run": "x"}}
    yield (
        "stored fold",
        of_file(
            lambda path: read_fold(Path(path), lambda v: dict(v["depends"])),
            of_json,
            json.dumps(sealed(fold)).encode(),
            "case.json",
        ),
    )
    yield (
        "judge",
        of_file(lambda path: Judge.load(Path(path)), of_json, SHIPPED.read_bytes(), "case.json"),
    )

    probs = {"happiness": 0.75, "surprise": 0.25}
    moment = (3, 5, 9, 0.1, 0.2, 0.3)
    prediction = Prediction("x.mp4", "happiness", probs, *moment, {"nose_tip": 0.5}, "graph")
    yield (
        "prediction",
        of_file(Prediction.load, of_json, prediction.to_json().encode(), "case.json"),
    )
    network = SHIPPED.with_name("network.safetensors").read_bytes()
    yield "network", of_file(NetSpotter.load, of_tensors, network, "case.safetensors")
    from aumer.recognition import interface

    shipped = sorted((Path(interface.__file__).parent / "weights").glob("*.safetensors"))[0]
    yield (
        "recognizer",
        of_file(
            lambda path: load_recognizer(Path(path)),
            of_tensors,
            shipped.read_bytes(),
            "case.safetensors",
        ),
    )
    tensors = io.BytesIO()
    torch.save({"state_dict": {"graph_embedding.0.gc1.adj": torch.eye(12)}}, tensors)
    yield "checkpoint", of_file(load_checkpoint, of_archive, tensors.getvalue(), "case.pth.tar")
    name = next(iter(face_weights.TABLE))
    yield (
        "weights of a face network",
        of_file(
            lambda path: face_weights.load(name, torch.nn.Linear(1, 1), path),
            of_archive,
            tensors.getvalue(),
            "case.pth",
        ),
    )
    yield "action units", Kind(au.read, text_of_aus)
    yield "names", Kind(apart, two_names)


def fault(kind: Kind, case: Any, path: Path | None, slow: float) -> tuple[str, str | None]:
    """What became of a case ("taken", "refused") and what is wrong with that, if anything."""
    began = time.perf_counter()
    try:
        kind.read(case)
        what, wrong = "taken", None
    except AumerError as error:
        said, what, wrong = str(error), "refused", None
        if path is None and "\n" in said:
            wrong = f"has several lines: {said[:200]!r}"
        elif path is not None and path.name not in said.splitlines()[0]:
            wrong = f"names no file: {said[:200]!r}"
    except Exception as error:
        what, wrong = "failed", f"{type(error).__name__}: {str(error)[:200]!r}"
    spent = time.perf_counter() - began
    if wrong is None and spent > slow:
        wrong = f"took {spent:.1f} s"
    return what, wrong


#: What nobody damaged is not of the network that is asked for, in these.
OTHER = ("checkpoint", "weights of a face network")


def whole(name: str, kind: Kind, folder: Path) -> None:
    """Make sure that what nobody damaged is taken: else no case would tell anything."""
    if kind.file and name not in OTHER:
        (folder / kind.file).write_bytes(kind.whole)
        kind.read(folder / kind.file)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="of all kinds (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="KIND", help="these kinds alone")
    parser.add_argument("--slow", type=float, default=20.0, help="seconds a case may take (20)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    report = Report("Damaged, foreign and harmful files")
    report.line(f"{'kind':<28}{'tried':>7}{'refused':>9}{'taken':>7}{'failed':>8}")
    total: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kinds = dict(written(folder))
        if arguments.only:
            kinds = {name: kinds[name] for name in arguments.only}
        each = -(-arguments.cases // len(kinds))
        for name, kind in kinds.items():
            count: Counter[str] = Counter()
            whole(name, kind, folder)
            for number in range(each):
                chance = random.Random(f"{arguments.seed}/{name}/{number}")
                case, path = kind.made(chance), None
                if isinstance(case, bytes):
                    path = folder / kind.file
                    path.write_bytes(case)
                    case = path
                    if number % 50 == 49:  # a name that no file has
                        case, path = chance.choice(PATHS) + kind.file.removeprefix("case"), None
                what, wrong = fault(kind, case, path, arguments.slow)
                count["failed" if wrong else what] += 1
                if wrong:
                    seen[f"{name}: {wrong}"] += 1
                    if seen[f"{name}: {wrong}"] == 1:
                        print(f"{name}, case {number}: {wrong}", file=sys.stderr, flush=True)
            report.line(
                f"{name:<28}{each:7}{count['refused']:9}{count['taken']:7}{count['failed']:8}"
            )
            total += count
            total["tried"] += each
    report.line(f"{total['tried']} tried, {total['failed']} failed")
    if arguments.save:
        report.save("robustness.txt")
    sys.exit(1 if total["failed"] else 0)


if __name__ == "__main__":
    main()
