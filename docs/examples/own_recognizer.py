"""A recognizer of your own: register it, train it on your clips, keep it, name a new clip with it.

    python own_recognizer.py clips new.mp4 out

`clips` holds short videos and a table clips.csv with the columns file, subject and label
(docs/classify.md). On the command line: `aumer train names.toml --plugin own_recognizer.py`, and
`aumer classify new.mp4 --recognizer out/model.safetensors --plugin own_recognizer.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import aumer
from aumer.recognition import interface


@aumer.register("recognizer", "nearest-direction")
class NearestDirection(interface.Recognizer):
    """The class whose mean motion points most nearly where a clip's does; its size is left out.

    It reads how far each ROI moves from onset to apex: (N, R, 2) in outer-eye distances.
    """

    name = "nearest-direction"
    reads = ("motion",)
    rois = ("mouth_r", "mouth_l", "brow_r_mid_inner", "brow_l_mid_inner")

    def fit(self, clips: Any, *, checkpoint: Any = None, callbacks: Any = ()) -> NearestDirection:
        x = _directions(clips.inputs)
        self.classes = clips.classes
        self.means = np.stack([x[clips.labels == k].mean(0) for k in range(len(clips.classes))])
        return self

    def predict_proba(self, inputs: Any, sources: Any = ()) -> Any:
        interface.fitted(self)
        likeness = np.exp(5 * _directions(inputs) @ self.means.T)  # (N, classes)
        return likeness / likeness.sum(axis=1, keepdims=True)

    # These two keep it in a file.
    def save(self, path: Any, card: Any, *, overwrite: bool = False) -> None:
        interface.write_weights(path, self, {"means": self.means}, {}, card, overwrite=overwrite)

    @classmethod
    def load(cls, path: Any) -> NearestDirection:
        kept, made = interface.read_weights(path, cls.name), cls()
        made.means, made.classes, made.card = kept.arrays["means"], kept.classes, kept.card
        return made


def _directions(motion: Any) -> Any:
    """(N, R, 2) -> (N, 2 R) of length 1."""
    flat = np.asarray(motion, np.float64).reshape(len(motion), -1)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


def main(clips: str, new: str, out: str) -> None:
    table = Path(clips) / "clips.csv"
    weights = aumer.train(
        clips, table, out=out, recognizer=NearestDirection.name, overwrite=True, cache=True
    )
    named = aumer.classify(new, model=weights)
    print(named.label, {label: round(p, 2) for label, p in named.probs.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
