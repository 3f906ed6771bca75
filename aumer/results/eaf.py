"""Expressions as ELAN's annotation files, EAF 3.0."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import datetime, timezone
from urllib.parse import quote

from aumer.results.exchange import Exchange, Timed, kinds_of, ms, tiers

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
#: Child tiers and their types: what ELAN calls their constraint.
_CHILDREN = {
    "apex": "Included_In",
    "label": "Symbolic_Association",
    "score": "Symbolic_Association",
    "aus": "Symbolic_Association",
}
_ABOUT = {
    "Included_In": "Time alignable annotations within the parent annotation's time interval",
    "Symbolic_Association": "1-1 association with a parent annotation",
}
#: What XML 1.0 cannot hold, and a carriage return, which it would turn into a line feed.
_ILLEGAL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")


class Eaf(Exchange):
    """Tiers micro and macro, and on each apex, label, score and action units.

    ELAN allows no overlap within a tier: what overlaps goes to "micro 2" and so on. The video is
    linked by its name, beside the file. Control characters of a label are written as \\xNN.
    Of a coder's own file the tiers micro and macro are read, with or without the others; what is
    written in them is the label, where no tier has one.
    """

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        root = ET.Element(
            "ANNOTATION_DOCUMENT",
            {
                "AUTHOR": "aumer",
                "DATE": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "FORMAT": "3.0",
                "VERSION": "3.0",
                "xmlns:xsi": _XSI,
                "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
            },
        )
        header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
        link = f"./{quote(name)}"
        media = {"MEDIA_URL": link, "RELATIVE_MEDIA_URL": link, "MIME_TYPE": "video/*"}
        ET.SubElement(header, "MEDIA_DESCRIPTOR", media)
        order = ET.SubElement(root, "TIME_ORDER")
        labels = sorted({_legal(e.label) for e in timed if e.label is not None})
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
            ids = []
            for at in (begin, end):
                ids.append(f"ts{len(order) + 1}")
                ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=ids[-1], TIME_VALUE=str(at))
            return {"TIME_SLOT_REF1": ids[0], "TIME_SLOT_REF2": ids[1]}

        for main, lane in tiers(timed):
            tier = ET.SubElement(root, "TIER", LINGUISTIC_TYPE_REF="expression", TIER_ID=main)
            child = {
                what: ET.SubElement(
                    root,
                    "TIER",
                    LINGUISTIC_TYPE_REF=what,
                    PARENT_REF=main,
                    TIER_ID=f"{what}@{main}",
                )
                for what in _CHILDREN
            }
            for e in lane:
                own = add(tier, e.kind, **slots(ms(e.onset_s), ms(e.offset_s) + 1))
                if e.apex_s is not None:
                    add(child["apex"], "apex", **slots(ms(e.apex_s), ms(e.apex_s) + 1))
                if e.label is not None:
                    value = _legal(e.label)
                    entry = f"label{labels.index(value) + 1}"
                    add(child["label"], value, ANNOTATION_REF=own, CVE_REF=entry)
                if e.score is not None:
                    add(child["score"], repr(float(e.score)), ANNOTATION_REF=own)
                if e.aus is not None:
                    add(child["aus"], _legal(e.aus), ANNOTATION_REF=own)
        common = {"GRAPHIC_REFERENCES": "false"}
        ET.SubElement(
            root,
            "LINGUISTIC_TYPE",
            {**common, "LINGUISTIC_TYPE_ID": "expression", "TIME_ALIGNABLE": "true"},
        )
        for what, constraint in _CHILDREN.items():
            kept = {"CONTROLLED_VOCABULARY_REF": "labels"} if what == "label" else {}
            alignable = str(constraint == "Included_In").lower()
            about = {"LINGUISTIC_TYPE_ID": what, "TIME_ALIGNABLE": alignable}
            ET.SubElement(
                root, "LINGUISTIC_TYPE", {**common, **kept, **about, "CONSTRAINTS": constraint}
            )
        ET.SubElement(root, "LANGUAGE", LANG_ID="und", LANG_LABEL="undetermined (und)")
        for constraint, about_it in _ABOUT.items():
            ET.SubElement(root, "CONSTRAINT", STEREOTYPE=constraint, DESCRIPTION=about_it)
        words = ET.SubElement(root, "CONTROLLED_VOCABULARY", CV_ID="labels")
        ET.SubElement(words, "DESCRIPTION", LANG_REF="und")
        for k, label in enumerate(labels, 1):
            entry_ = ET.SubElement(words, "CV_ENTRY_ML", CVE_ID=f"label{k}")
            ET.SubElement(entry_, "CVE_VALUE", LANG_REF="und").text = label
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")

    def parse(self, text: str) -> tuple[Timed, ...]:
        root = ET.fromstring(text)
        # A slot without a value is of an annotation that a coder has not aligned, on other tiers.
        at = {
            s.attrib["TIME_SLOT_ID"]: int(s.attrib["TIME_VALUE"])
            for s in root.iter("TIME_SLOT")
            if "TIME_VALUE" in s.attrib
        }
        there = {tier.attrib["TIER_ID"]: tier for tier in root.iter("TIER")}
        found, none = [], ET.Element("TIER")
        for name, kind in kinds_of(there).items():
            said: dict[tuple[str, str], str] = {}
            for what in ("label", "score", "aus"):
                for ref in there.get(f"{what}@{name}", none).iter("REF_ANNOTATION"):
                    key = what, ref.attrib["ANNOTATION_REF"]
                    said[key] = ref.findtext("ANNOTATION_VALUE") or ""
            apexes = [
                at[one.attrib["TIME_SLOT_REF1"]]
                for one in there.get(f"apex@{name}", none).iter("ALIGNABLE_ANNOTATION")
            ]
            for one in there[name].iter("ALIGNABLE_ANNOTATION"):
                begin, end = (at[one.attrib[f"TIME_SLOT_REF{k}"]] for k in (1, 2))
                own = one.attrib["ANNOTATION_ID"]
                apex = next((a / 1000 for a in apexes if begin <= a < end), None)
                score = said.get(("score", own))
                word = (one.findtext("ANNOTATION_VALUE") or "").strip()  # a coder's own, if another
                label = said.get(("label", own), word if word not in ("", kind) else None)
                found.append(
                    Timed(
                        kind,
                        begin / 1000,
                        max(begin, end - 1) / 1000,
                        apex,
                        label,
                        None if score is None else float(score),
                        aus=said.get(("aus", own)),
                    )
                )
        return tuple(sorted(found, key=lambda e: (e.onset_s, e.offset_s)))


def _legal(label: str) -> str:
    return _ILLEGAL.sub(lambda m: f"\\x{ord(m[0]):02x}", label)
