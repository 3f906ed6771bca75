"""Expressions as ELAN's annotation files, EAF 3.0, with curves for its viewer.

ELAN reads links as paths after ``file://`` without decoding, so they are written unencoded.
"""

from __future__ import annotations

import mimetypes
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from aumer.files import home_of
from aumer.graph.au import NAMES
from aumer.results.displacement import distances
from aumer.results.drawing import GROUP_COLORS, KIND_COLORS, group_of
from aumer.results.exchange import Apexes, Exchange, Timed, at, closed, heard, kinds_of, ms, tiers
from aumer.results.schema import printable
from aumer.results.spot_result import SpotResult
from aumer.types import FloatArray, TimeArray

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
#: Child tiers with their types (ELAN: constraint).
_CHILDREN = {
    "apex": "Included_In",
    "label": "Symbolic_Association",
    "score": "Symbolic_Association",
    "aus": "Symbolic_Subdivision",
    "comment": "Symbolic_Association",
}
_ABOUT = {
    "Included_In": "Time alignable annotations within the parent annotation's time interval",
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations refering to "
    "the same parent are ordered",
}
#: Types with a controlled vocabulary, and its name.
_WORDS = {"label": "labels", "aus": "action units"}
#: Characters that XML 1.0 cannot hold, and the carriage return, which it would turn into a line
#: feed.
_ILLEGAL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_CSV = "mpi.eudico.client.annotator.timeseries.csv.CSVServiceProvider"


class Eaf(Exchange):
    """Tiers micro and macro, each with child tiers apex, label, score, action units and comment.

    ELAN allows no overlap within a tier: overlapping expressions go to "micro 2" and so on. The
    video and the curves are linked by their absolute paths, if known, and by relative ones; a name
    without a suffix is not a file's and is not linked. Each action unit of an expression is an
    annotation, a word of the vocabulary "action units". Control characters of a label are written
    as \\xNN. A result's curves lie beside the file: ``NAME_curves.csv``, and ``NAME_tsconf.xml``,
    which configures ELAN's time series viewer for them. In a coder's own file the tiers micro and
    macro are read, with or without the others, at any level of the hierarchy: an annotation that
    refers to another has its times, and unaligned annotations in a time subdivision divide its
    interval evenly, as ELAN shows it. If no tier holds labels, the text of micro and macro is the
    label.
    """

    use = "ELAN"
    holds = (
        "tiers `micro`, `macro`, apex, label and action units, linked to the video; beside it the "
        "curves, `_curves.csv` and `_tsconf.xml`"
    )

    def companions(self, path: Path) -> tuple[Path, ...]:
        return tuple(path.with_name(f"{path.stem}{end}") for end in ("_curves.csv", "_tsconf.xml"))

    def files(
        self,
        path: Path,
        name: str,
        timed: Sequence[Timed],
        film: Path | None = None,
        result: SpotResult | None = None,
    ) -> dict[Path, str]:
        root = _document(timed)
        header = _header(root)
        home = home_of(path)
        _link_video(header, None if home is None else home.parent, name, film)
        curves = {} if result is None else _curves(result)
        made: dict[Path, str] = {}
        if result is not None and curves:
            table, viewer = self.companions(path)
            made = {
                table: _table(result.scores.times, curves),
                viewer: _written(_viewer(table, curves)),
            }
            for linked, kind in ((table, "unknown"), (viewer, "text/xml")):
                ET.SubElement(
                    header,
                    "LINKED_FILE_DESCRIPTOR",
                    {
                        "LINK_URL": _beside(linked),
                        "RELATIVE_LINK_URL": _legal(f"./{linked.name}"),
                        "MIME_TYPE": kind,
                    },
                )
        _number(header, root)
        return {**made, path: _written(root)}

    def unheld(self, result: SpotResult) -> Iterator[str]:
        yield from (what for what in super().unheld(result) if what != "scores over time")

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        root = _document(timed)
        header = _header(root)
        _link_video(header, None, name, None)
        _number(header, root)
        return _written(root)

    def parse(self, text: str) -> tuple[Timed, ...]:
        root = ET.fromstring(text)
        there = {tier.attrib["TIER_ID"]: tier for tier in root.iter("TIER")}
        spans = _spans(root)
        found, none = [], ET.Element("TIER")
        for name, kind in kinds_of(there).items():
            texts: dict[tuple[str, str], str] = {}
            for what in ("label", "score", "aus", "comment"):
                for parent, words in _words(there.get(f"{what}@{name}", none)).items():
                    texts[what, parent] = "+".join(words)
            apexes = Apexes(
                begin for _, (begin, _), _ in _annotations(there.get(f"apex@{name}", none), spans)
            )
            for own, (begin, end), word in _annotations(there[name], spans):
                with at(f"tier {name!r}, annotation {own}"):
                    values = heard(kind, word, [])
                    if values is None:  # a coder's own text
                        values = {"label": word} if word else {}
                    for what in ("label", "aus", "comment"):
                        if (what, own) in texts:
                            values[what] = texts[what, own]
                    if ("score", own) in texts:
                        values["score"] = float(texts["score", own])
                    values["apex_s"] = apexes.within(begin, end)
                    found.append(Timed(kind, *closed(begin, end), **values))
        return tuple(sorted(found, key=lambda e: (e.onset_s, e.offset_s)))


def _annotations(
    tier: ET.Element, spans: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[str, tuple[int, int], str]]:
    """Id, milliseconds and text of each annotation of a tier."""
    for one in tier.iter():
        if one.tag in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
            own = one.attrib["ANNOTATION_ID"]
            if own not in spans:
                raise ValueError(f"annotation {own} refers to none that has times")
            yield own, spans[own], (one.findtext("ANNOTATION_VALUE") or "").strip()


def _spans(root: ET.Element) -> dict[str, tuple[int, int]]:
    """The milliseconds of every annotation by id, except those with dangling references."""
    when = {
        s.attrib["TIME_SLOT_ID"]: int(s.attrib["TIME_VALUE"])
        for s in root.iter("TIME_SLOT")
        if "TIME_VALUE" in s.attrib
    }
    slots: dict[str, tuple[str, str]] = {}
    parents: dict[str, str] = {}
    for tier in root.iter("TIER"):
        follows: dict[str, str] = {}
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            first, last = one.attrib["TIME_SLOT_REF1"], one.attrib["TIME_SLOT_REF2"]
            slots[one.attrib["ANNOTATION_ID"]] = first, last
            follows[first] = last
        for first in [slot for slot in follows if slot in when]:
            chain, last = [first], follows[first]
            while last not in when and last in follows and len(chain) <= len(follows):
                chain.append(last)
                last = follows[last]
            if last in when:  # intermediate annotations have no times
                begin, end = when[first], when[last]
                for k, slot in enumerate(chain[1:], 1):
                    when[slot] = round(begin + k * (end - begin) / len(chain))
        for one in tier.iter("REF_ANNOTATION"):
            parents[one.attrib["ANNOTATION_ID"]] = one.attrib["ANNOTATION_REF"]
    found = {}
    for own in (*slots, *parents):
        top = own
        for _ in range(len(parents)):
            if top not in parents:
                break
            top = parents[top]
        begin_, end_ = (when.get(slot) for slot in slots.get(top, ("", "")))
        if begin_ is not None and end_ is not None:
            found[own] = begin_, end_
    return found


def _header(root: ET.Element) -> ET.Element:
    found = root.find("HEADER")
    assert found is not None, "it was made with the document"
    return found


def _number(header: ET.Element, root: ET.Element) -> None:
    """Store the last used annotation number for ELAN."""
    count = sum(1 for _ in root.iter("ANNOTATION"))
    ET.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(count)


def _document(timed: Sequence[Timed]) -> ET.Element:
    """The document, without links."""
    root = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "aumer",
            "DATE": _now(),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _XSI,
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    order = ET.SubElement(root, "TIME_ORDER")
    words = {"label": _labels(timed), "aus": _units(timed)}
    ids = {
        what: {word: f"{what}{k}" for k, word in enumerate(own, 1)} for what, own in words.items()
    }
    count = 0

    def add(tier: ET.Element, value: str, **where: str) -> str:
        nonlocal count
        count += 1
        name = "REF_ANNOTATION" if "ANNOTATION_REF" in where else "ALIGNABLE_ANNOTATION"
        where = {"ANNOTATION_ID": f"a{count}", **where}
        one = ET.SubElement(ET.SubElement(tier, "ANNOTATION"), name, where)
        ET.SubElement(one, "ANNOTATION_VALUE").text = value
        return f"a{count}"

    def slots(begin: int, end: int) -> dict[str, str]:
        made = []
        for when in (begin, end):
            made.append(f"ts{len(order) + 1}")
            ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=made[-1], TIME_VALUE=str(when))
        return {"TIME_SLOT_REF1": made[0], "TIME_SLOT_REF2": made[1]}

    for main, lane in tiers(timed):
        tier = ET.SubElement(root, "TIER", LINGUISTIC_TYPE_REF="expression", TIER_ID=main)
        child = {
            what: ET.SubElement(
                root, "TIER", LINGUISTIC_TYPE_REF=what, PARENT_REF=main, TIER_ID=f"{what}@{main}"
            )
            for what in _CHILDREN
        }
        for e in lane:
            own = add(tier, e.kind, **slots(ms(e.onset_s), ms(e.offset_s) + 1))
            if e.apex_s is not None:
                add(child["apex"], "apex", **slots(ms(e.apex_s), ms(e.apex_s) + 1))
            if e.label is not None:
                word = _legal(e.label)
                add(child["label"], word, ANNOTATION_REF=own, CVE_REF=ids["label"][word])
            if e.score is not None:
                add(child["score"], repr(float(e.score)), ANNOTATION_REF=own)
            if e.comment:
                add(child["comment"], _legal(e.comment), ANNOTATION_REF=own)
            before: dict[str, str] = {}
            for word in [] if e.aus is None else _legal(e.aus).split("+"):
                where = {"ANNOTATION_REF": own, "CVE_REF": ids["aus"][word], **before}
                before = {"PREVIOUS_ANNOTATION": add(child["aus"], word, **where)}
    order[:] = sorted(order, key=lambda slot: int(slot.attrib["TIME_VALUE"]))  # as in ELAN's files
    _add_types(root)
    for what, vocabulary in _WORDS.items():
        listed = ET.SubElement(root, "CONTROLLED_VOCABULARY", CV_ID=vocabulary)
        ET.SubElement(listed, "DESCRIPTION", LANG_REF="und")
        for word, about in words[what].items():
            entry = ET.SubElement(listed, "CV_ENTRY_ML", CVE_ID=ids[what][word])
            more = {"DESCRIPTION": about} if about else {}
            ET.SubElement(entry, "CVE_VALUE", {"LANG_REF": "und", **more}).text = word
    return root


def _add_types(root: ET.Element) -> None:
    """Add the types of the tiers and their constraints."""
    common = {"GRAPHIC_REFERENCES": "false"}
    about = {"LINGUISTIC_TYPE_ID": "expression", "TIME_ALIGNABLE": "true"}
    ET.SubElement(root, "LINGUISTIC_TYPE", {**common, **about})
    for what, constraint in _CHILDREN.items():
        kept = {"CONTROLLED_VOCABULARY_REF": _WORDS[what]} if what in _WORDS else {}
        alignable = str(constraint == "Included_In").lower()
        about = {"LINGUISTIC_TYPE_ID": what, "TIME_ALIGNABLE": alignable}
        ET.SubElement(
            root, "LINGUISTIC_TYPE", {**common, **kept, **about, "CONSTRAINTS": constraint}
        )
    ET.SubElement(root, "LANGUAGE", LANG_ID="und", LANG_LABEL="undetermined (und)")
    for constraint, about_it in _ABOUT.items():
        ET.SubElement(root, "CONSTRAINT", STEREOTYPE=constraint, DESCRIPTION=about_it)


def _labels(timed: Iterable[Timed]) -> dict[str, str]:
    return dict.fromkeys(sorted({_legal(e.label) for e in timed if e.label is not None}), "")


def _units(timed: Iterable[Timed]) -> dict[str, str]:
    """The action units of FACS, two-sided and one-sided, and other texts of coders."""
    found = {
        f"{side}{number}": f"{name}{where}"
        for number, name in NAMES.items()
        for side, where in (("", ""), ("L", ", left"), ("R", ", right"))
    }
    used = {word for e in timed if e.aus is not None for word in _legal(e.aus).split("+")}
    return found | dict.fromkeys(sorted(used - set(found)), "")


def _words(tier: ET.Element) -> dict[str, list[str]]:
    """By parent id the texts of the annotations that refer to it, in their linked order."""
    refs: dict[str, dict[str | None, list[ET.Element]]] = {}
    for one in tier.iter("REF_ANNOTATION"):
        of = refs.setdefault(one.attrib["ANNOTATION_REF"], {})
        of.setdefault(one.get("PREVIOUS_ANNOTATION"), []).append(one)
    found = {}
    for parent, after in refs.items():
        left, texts = after.pop(None, []), []
        while left:
            one = left.pop(0)
            texts.append(one.findtext("ANNOTATION_VALUE") or "")
            left = after.pop(one.attrib["ANNOTATION_ID"], []) + left
        found[parent] = texts
    return found


def _link_video(header: ET.Element, folder: Path | None, name: str, film: Path | None) -> None:
    """Link the video, relative to the file's folder if both are known."""
    if film is None and not Path(name).suffix:
        return
    if film is not None and film.is_dir():  # ELAN cannot play a folder of frames
        return
    link = f"./{name}" if film is None or folder is None else _relative(film, folder)
    media = {
        "MEDIA_URL": _legal(link) if film is None else _url(film),
        "RELATIVE_MEDIA_URL": _legal(link),
        "MIME_TYPE": mimetypes.guess_type(name)[0] or "video/*",
    }
    ET.SubElement(header, "MEDIA_DESCRIPTOR", media)


def _relative(path: Path, folder: Path) -> str:
    try:
        found = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return f"./{path.name}"
    return found if found.startswith("../") else f"./{found}"


def _url(path: Path) -> str:
    return _legal(f"file:///{path.resolve().as_posix().lstrip('/')}")


def _beside(path: Path) -> str:
    """Link a file that is written beside the annotations: relative if its path is not known."""
    home = home_of(path)
    return _legal(f"./{path.name}") if home is None else _url(home)


def _curves(result: SpotResult) -> dict[str, tuple[FloatArray, str, str]]:
    """The distance of each ROI from rest, and the scores.

    Returns:
        By name: (T,) values, unit and color.
    """
    scores, features = result.scores, result.features
    found: dict[str, tuple[FloatArray, str, str]] = {}
    if not len(scores.times):
        return found
    if features is not None and len(features) == len(scores.times):
        moved = (100 / features.eye_distance * distances(features)).astype(np.float32)
        for k, roi in enumerate(features.rois):
            found[roi] = moved[:, k], "% of the outer-eye distance", GROUP_COLORS[group_of(roi)]
    for name in scores.channels:
        kind = next((kind for kind in KIND_COLORS if name.startswith(kind)), None)
        color = GROUP_COLORS["other"] if kind is None else KIND_COLORS[kind]
        found[f"score {name}"] = scores.channel(name), "0 to 1", color
    return found


def _table(times: TimeArray, curves: Mapping[str, tuple[FloatArray, str, str]]) -> str:
    """A table of seconds and curves. ELAN ignores text after a number sign and does not draw
    NaN.
    """
    rows = np.column_stack([times, *(values for values, _, _ in curves.values())])
    head = "# time," + ",".join(name.replace(",", ";").replace("\n", " ") for name in curves)
    lines = (
        ",".join([f"{row[0]:.6f}", *(f"{v:.4f}" if v == v else "NaN" for v in row[1:])])
        for row in rows.tolist()
    )
    return "\n".join([head, *lines]) + "\n"


def _viewer(table: Path, curves: Mapping[str, tuple[FloatArray, str, str]]) -> ET.Element:
    """The configuration of ELAN's time series viewer for the columns."""
    root = ET.Element("timeseries", date=_now(), version="1.0")
    # Discontinuous: for continuous data ELAN rounds the rate to an integer.
    about = {"source-url": _beside(table), "sample-type": "Discontinuous Rate", "time-column": "0"}
    source = ET.SubElement(root, "tracksource", about)
    ET.SubElement(source, "property", key="provider", value=_CSV)
    for column, (name, (values, unit, color)) in enumerate(curves.items(), 1):
        track = ET.SubElement(source, "track", name=_legal(name), derivative="0")
        ET.SubElement(track, "property", key="detect-range", value="false")
        position = ET.SubElement(track, "sample-position")
        ET.SubElement(position, "pos", row="0", col=str(column))
        ET.SubElement(track, "description")
        ET.SubElement(track, "units").text = unit
        finite = values[np.isfinite(values)]
        top = 1.0 if unit == "0 to 1" or not finite.size else max(1.0, float(finite.max()))
        ET.SubElement(track, "range", min="0.0", max=f"{top:.4f}")
        rgb = (int(color[k : k + 2], 16) for k in (1, 3, 5))
        ET.SubElement(track, "color").text = ",".join(map(str, rgb))
    return root


def _written(root: ET.Element) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _legal(label: str) -> str:
    return _ILLEGAL.sub(lambda m: f"\\x{ord(m[0]):02x}", printable(label))
