"""The contract of AU readers, as tests to inherit."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from aumer.recognition import action_units
from aumer.recognition.acted_maps import acted_maps
from aumer.recognition.action_units import AUClips, AUReader
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.types import SIDES


def au_clips(
    seed: int, *, clips: int = 150, subjects: int = 10, aus: tuple[int, ...] = (1, 2, 4, 12, 17)
) -> AUClips:
    """Simulated flow maps; each AU is active in three of ten, on both sides."""
    rng = np.random.default_rng(seed)
    acted = rng.random((clips, len(aus))) < 0.3
    return AUClips(
        acted_maps(rng, acted, aus, BY_LANDMARKS),
        aus,
        acted,
        np.zeros(acted.shape, np.int64),
        tuple(f"s{k % subjects}" for k in range(clips)),
    )


class AUReaderSuite:
    """The contract of `aumer.recognition.action_units.AUReader`, with a test for each requirement.

    A subclass whose name begins with "Test" is collected by pytest. It defines `make`.
    """

    #: The reader of `fitted`; one for each subclass.
    _fitted: ClassVar[dict[type, AUReader]] = {}

    @abstractmethod
    def make(self) -> AUReader:
        """A new, untrained reader that trains in seconds; with the same settings in every call."""

    def fitted(self) -> AUReader:
        """A reader trained on the clips of seed 0."""
        if type(self) not in self._fitted:
            self._fitted[type(self)] = self.make().fit(au_clips(0))
        return self._fitted[type(self)]

    def test_it_says_what_it_is(self) -> None:
        made = self.make()
        assert isinstance(made, AUReader), "derive it from action_units.AUReader"
        assert made.name
        assert not made.aus, "before fit it reads no AU"

    def test_fit_gives_itself_and_knows_the_aus(self) -> None:
        made, clips = self.make(), au_clips(0)
        assert made.fit(clips) is made
        assert set(made.aus) <= set(clips.aus) and made.aus
        assert made.thresholds.shape == (len(made.aus),)

    def test_probabilities_of_each_clip_by_itself(self) -> None:
        made, clips = self.fitted(), au_clips(1, clips=12)
        shares = made.predict_proba(clips.inputs)
        assert shares.shape == (len(clips), len(made.aus)) and shares.dtype == np.float64
        assert ((shares >= 0) & (shares <= 1)).all()
        alone = [made.predict_proba(one[None])[0] for one in clips.inputs]
        assert np.allclose(alone, shares, atol=1e-6)

    def test_the_same_clips_give_the_same_numbers(self) -> None:
        inputs = au_clips(1, clips=12).inputs
        again = self.make().fit(au_clips(0))
        assert np.array_equal(again.predict_proba(inputs), self.fitted().predict_proba(inputs))

    def test_sides(self) -> None:
        made, clips = self.fitted(), au_clips(1, clips=12)
        sides = made.sides(clips.inputs)
        assert len(sides) == len(clips)
        for row in sides:
            assert len(row) == len(made.aus)
            assert all(side is None or side in SIDES for side in row)

    def test_its_file(self) -> None:
        made, clips = self.fitted(), au_clips(1, clips=12)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "reader.safetensors"
            made.save(path, {"data": "made up"})
            again = type(made).load(path)
            assert action_units.read_weights(path).name == made.name
        assert again.card["data"] == "made up"
        assert again.read(clips.inputs) == made.read(clips.inputs)
