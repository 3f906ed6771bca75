"""`Prediction`: the class of one expression, and how it was obtained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, overload

from aumer.arguments import require_path
from aumer.errors import UsageError
from aumer.files import StrPath, atomic_write
from aumer.foreign import read_json
from aumer.results.schema import Node, jsonable, printable, units_read, units_written
from aumer.types import (
    NAMED,
    NO_EXPRESSION,
    OUTCOMES,
    UNCERTAIN,
    ActingUnit,
    FloatArray,
    Moment,
    Outcome,
    au_text,
)

SCHEMA = "aumer.prediction"
#: 2: the label may be null, and `doubt` says why. 3: `outcome`.
SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Prediction:
    """The class of one expression.

    Attributes:
        clip: name of the video, or "features".
        label: the most probable class; None if nothing moves, or if it is less probable than the
            setting classify.abstain_below.
        probs: probabilities of all classes, in the recognizer's order; they sum to 1.
        onset, apex, offset: frames (0-based, closed), as given or as found.
        onset_s, apex_s, offset_s: seconds from the first frame.
        attribution: contribution of each ROI to the label; negative: against it. Empty if the
            recognizer does not support it.
        recognizer: its name.
        settings: the settings of the run, and the arguments under ``input``.
        digests: digests of ``content``, ``settings`` and ``recognizer``.
        versions: of aumer and of the packages that can change results.
        devices: the torch device of "motion" and "recognizer", as far as they were at work: "cpu",
            "cuda", ... Not compared.
        notes: warnings of the run and other remarks: several faces, a rotated picture.
        doubt: why label and probabilities may be unreliable: nothing moves, no class is probable
            enough, or the clip is unlike the training clips; else None.
        outcome: "named"; or, if the label is None, "no expression" (nothing moves, and the
            probabilities are equal) or "uncertain" (the recognizer's probabilities).
        aus: all action units that the AU reader knows, by number, with probability, decision and
            side; empty if nothing moves, None if none were read.
        flow_map: (28, 28, 3) float32 the input of the recognizer; neither saved nor compared.

    Raises:
        ValueError: the label is not one of the classes, label and outcome disagree, onset <= apex
            <= offset is violated, or a value that JSON cannot hold.

    Example:
        >>> named = aumer.classify("interview.mp4", onset=18, offset=42)
        >>> named.onset, named.offset, named.recognizer
        (18, 42, 'graph')
        >>> sorted(named.probs)
        ['negative', 'positive', 'surprise']
    """

    clip: str
    label: str | None
    probs: Mapping[str, float]
    onset: int
    apex: int
    offset: int
    onset_s: float
    apex_s: float
    offset_s: float
    attribution: Mapping[str, float]
    recognizer: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = ()
    doubt: str | None = None
    aus: tuple[ActingUnit, ...] | None = None
    outcome: Outcome = NAMED
    flow_map: FloatArray | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.label is None and self.doubt is None:
            raise ValueError("a prediction without a label says why, as its doubt")
        if self.label is not None and self.label not in self.probs:
            raise ValueError(f"label {self.label!r} is none of {', '.join(self.probs)}")
        if self.outcome not in OUTCOMES or (self.outcome == NAMED) != (self.label is not None):
            raise ValueError(
                f"the outcome is {NAMED!r} where there is a label, {NO_EXPRESSION!r} or "
                f"{UNCERTAIN!r} where there is none; found {self.outcome!r} and {self.label!r}"
            )
        _ = self.moment  # raises ValueError
        for name in ("probs", "attribution", "settings", "digests", "versions", "devices"):
            object.__setattr__(self, name, jsonable(getattr(self, name), name))
        object.__setattr__(self, "notes", tuple(map(str, self.notes)))

    @property
    def moment(self) -> Moment:
        """Onset, apex and offset in frames."""
        return Moment(self.onset, self.offset, self.apex)

    @property
    def display_label(self) -> str:
        """The label, or the outcome if there is none."""
        return self.outcome if self.label is None else self.label

    def __repr__(self) -> str:
        return f"Prediction {self.summary()}"

    def to_dict(self) -> dict[str, Any]:
        """Everything except the flow map, as dict, list, str, int, float, bool and None."""
        members = {key: value for key, value in vars(self).items() if key != "flow_map"}
        members["aus"] = units_written(self.aus)
        head = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION}
        return {key: jsonable(value, key) for key, value in (head | members).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Prediction:
        """The inverse of `to_dict`; unknown members are ignored.

        Raises:
            UsageError: not a prediction, another schema version, or a member missing or wrong.
        """
        root = Node(data)
        if (schema := root["schema"]).text() != SCHEMA:
            schema.fail(repr(SCHEMA))
        if not 1 <= (version := root["schema_version"]).integer() <= SCHEMA_VERSION:
            version.fail(f"1 to {SCHEMA_VERSION}, which is what this aumer reads")
        return root.build(
            lambda: cls(
                clip=root["clip"].text(),
                label=root["label"].optional(Node.text),
                probs=root["probs"].mapping(Node.number),
                onset=root["onset"].integer(),
                apex=root["apex"].integer(),
                offset=root["offset"].integer(),
                onset_s=root["onset_s"].number(),
                apex_s=root["apex_s"].number(),
                offset_s=root["offset_s"].number(),
                attribution=root["attribution"].mapping(Node.number),
                recognizer=root["recognizer"].text(),
                digests=root["digests"].mapping(Node.text),
                versions=root["versions"].mapping(Node.text),
                settings=root["settings"].mapping(lambda node: node.value),
                # Older predictions lack these members.
                devices=root["devices"].mapping(Node.text) if "devices" in data else {},
                doubt=root["doubt"].optional(Node.text) if "doubt" in data else None,
                aus=units_read(root),
                outcome=_outcome(root, data),
                notes=tuple(n.text() for n in root["notes"].elements()) if "notes" in data else (),
            )
        )

    @overload
    def to_json(self, path: None = None, *, overwrite: bool = False) -> str: ...
    @overload
    def to_json(self, path: StrPath, *, overwrite: bool = False) -> None: ...
    def to_json(self, path: StrPath | None = None, *, overwrite: bool = False) -> str | None:
        """The JSON text (RFC 8259, ASCII), or, given a path, write it to this file, complete or not
        at all.

        Raises:
            UsageError: the file exists and `overwrite` is False, or it cannot be written.
        """
        text = json.dumps(self.to_dict(), allow_nan=False, indent=1) + "\n"
        if path is None:
            return text
        atomic_write(path, text, overwrite=overwrite)
        return None

    @classmethod
    def load(cls, path: StrPath) -> Prediction:
        """The prediction in a JSON file.

        Raises:
            UsageError: the file cannot be read or holds no prediction; the message names it.
        """
        require_path("path", path)
        data = read_json(path, "a prediction")
        try:
            return cls.from_dict(data)
        except ValueError as error:
            raise UsageError(f"{path} is not a prediction that aumer can read: {error}") from error

    def summary(self) -> str:
        """One line: clip, label, probabilities, the ROI with the largest contribution, and the
        acting action units.
        """
        probs = ", ".join(f"{name} {p:.2f}" for name, p in self.probs.items())
        spoke = max(self.attribution, key=self.attribution.__getitem__, default="")
        most = f"; most by {spoke}" if spoke else ""
        units = f"; AUs {au_text(self.aus)}" if au_text(self.aus) else ""
        doubt = f"; {self.doubt}" if self.doubt else ""
        return f"{printable(self.clip)}: {self.display_label} ({probs}{most}{units}{doubt})"


def _outcome(root: Node, data: Mapping[str, Any]) -> Outcome:
    if "outcome" not in data:  # before outcomes existed, a label was missing for only one reason
        return NAMED if data.get("label") is not None else NO_EXPRESSION
    return cast(Outcome, root["outcome"].text())
