"""The contract of recognizers with any input, as tests to inherit."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np

from aumer.recognition import interface
from aumer.recognition.interface import Reads, Recognizer
from aumer.recognition.labeled import LabeledClips
from aumer.testing.clips import clips_for
from aumer.testing.refusing import refuses
from aumer.types import FloatArray

#: Tolerance of probabilities between batches, and after saving and loading.
CLOSE = 1e-5


class RecognizerSuite:
    """The contract of `aumer.recognition.interface.Recognizer`, with a test for each requirement.

    A subclass whose name begins with "Test" is collected by pytest. It defines `make`, and `clips`
    if the recognizer cannot learn from `aumer.testing.clips.clips_for`.
    """

    #: The recognizer of `fitted`; one for each subclass.
    _fitted: ClassVar[dict[type, Recognizer]] = {}

    @abstractmethod
    def make(self) -> Recognizer:
        """A new, untrained recognizer that trains in seconds; with the same settings in every
        call.
        """

    def clips(self, seed: int) -> LabeledClips[Any]:
        """Labeled clips with its kind of input, of three classes and several subjects."""
        return clips_for(self.make(), seed)

    def fitted(self) -> Recognizer:
        """A recognizer trained on the clips of seed 0."""
        if type(self) not in self._fitted:
            self._fitted[type(self)] = self.make().fit(self.clips(0))
        return self._fitted[type(self)]

    def test_it_says_what_it_is(self) -> None:
        made = self.make()
        assert isinstance(made, Recognizer), "derive it from aumer.recognition.interface.Recognizer"
        assert made.name
        assert made.reads and set(made.reads) <= set(get_args(Reads))
        assert made.reads_to in ("apex", "offset")
        assert not made.classes, "before fit it knows no class"
        assert {"epochs", "patience", "inner_share"} <= made.stopping().keys()

    def test_fit_gives_itself_and_knows_the_classes(self) -> None:
        made, clips = self.make(), self.clips(0)
        with tempfile.TemporaryDirectory() as folder:
            records: list[dict[str, Any]] = []
            path = Path(folder) / "checkpoint"
            assert made.fit(clips, checkpoint=path, callbacks=[records.append]) is made
        assert made.classes == clips.classes
        assert len(records) in (0, len(made.log))

    def test_probabilities(self) -> None:
        made, clips = self.fitted(), self.clips(1)
        shares = made.predict_proba(clips.inputs)
        assert shares.shape == (len(clips), len(clips.classes)) and shares.dtype == np.float64
        assert (shares >= 0).all() and np.allclose(shares.sum(1), 1, atol=1e-6)

    def test_a_clip_is_judged_by_itself(self) -> None:
        made, clips = self.fitted(), self.clips(1)
        whole = made.predict_proba(clips.inputs)
        alone = [made.predict_proba(clips.inputs[k : k + 1])[0] for k in range(len(clips))]
        assert np.allclose(alone, whole, atol=CLOSE)

    def test_the_same_clips_give_the_same_numbers(self) -> None:
        inputs = self.clips(1).inputs
        again = self.make().fit(self.clips(0))
        assert np.array_equal(again.predict_proba(inputs), self.fitted().predict_proba(inputs))

    def test_attribution_is_a_number_for_each_roi(self) -> None:
        made, inputs = self.fitted(), self.clips(1).inputs
        clip = inputs[0]
        spoke = made.attribution(clip)
        if spoke is None:
            return
        assert spoke.shape == (len(made.rois),) and np.isfinite(spoke).all()
        probable = made.classes[int(made.predict_proba(inputs[:1])[0].argmax())]
        best = made.attribution(clip, probable)
        assert best is not None and np.array_equal(spoke, best)
        refuses(lambda: made.attribution(clip, "no such class"), "a class that it does not know")

    def test_embeddings_are_a_row_for_each_clip(self) -> None:
        inputs = self.clips(1).inputs
        rows = self.fitted().embeddings(inputs)
        assert rows is None or (rows.ndim == 2 and len(rows) == len(inputs))

    def test_motion_is_judged_where_it_says_so(self) -> None:
        made = self.fitted()
        motion: FloatArray = np.zeros((2, len(made.rois), 2), np.float32)
        motion[1, 0] = 0.02
        if "motion" not in made.reads:
            return refuses(lambda: made.predict_motion(motion), "motion, which it does not read")
        assert made.rois, "of motion it says which ROIs it reads"
        shares = made.predict_motion(motion)
        assert shares.shape == (2, len(made.classes)) and np.isfinite(shares).all()
        spoke = made.motion_attribution(motion[1])
        assert spoke is None or spoke.shape == (len(made.rois),)

    def test_one_that_is_not_trained_says_so(self) -> None:
        inputs = self.clips(1).inputs
        refuses(lambda: self.make().predict_proba(inputs), "clips before it has learned")

    def test_a_device_changes_no_number(self) -> None:
        made, inputs = self.fitted(), self.clips(1).inputs
        before = made.predict_proba(inputs)
        assert made.to("cpu") in (True, False)
        assert np.allclose(made.predict_proba(inputs), before, atol=CLOSE)

    def test_two_classes_will_do(self) -> None:
        clips = self.clips(0)
        some = clips.take(clips.labels < 2)
        two = type(some)(some.inputs, some.labels, some.subjects, some.classes[:2])
        assert self.make().fit(two).predict_proba(two.inputs).shape == (len(two), 2)

    def test_a_file_gives_it_back(self) -> None:
        made, inputs = self.fitted(), self.clips(1).inputs
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "recognizer.safetensors"
            if not made.has_file():
                return refuses(lambda: made.save(path, {}), "saving, which it does not define")
            made.save(path, {"data": "made up"})
            refuses(lambda: made.save(path, {}), "a file that is there")
            again = type(made).load(path)
            assert again.classes == made.classes and dict(again.card) == {"data": "made up"}
            assert again.position == made.position and again.inputs == made.inputs
            shares = again.predict_proba(inputs)
            assert np.allclose(shares, made.predict_proba(inputs), atol=CLOSE)
            if interface.read_weights(path).name != made.name:
                raise AssertionError(
                    "write the file with aumer.recognition.interface.write_weights"
                )
