"""The contract of spotters with any features, as tests to inherit."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from aumer.config import RuleSettings, Settings, load_settings
from aumer.errors import UsageError
from aumer.graph import AUGraph
from aumer.simulate.features import simulate_features
from aumer.spotting.interface import Spotted, SpotterModel, resolve, spotted
from aumer.types import KINDS, Features

#: Tolerance of scores between devices.
CLOSE = 1e-5


class SpotterSuite:
    """The contract of `aumer.spotting.interface.SpotterModel`, with a test for each requirement.

    A subclass whose name begins with "Test" is collected by pytest. It defines `make`, and
    `settings` if the default ones do not fit.
    """

    #: The features of `features`, by rate.
    _features: ClassVar[dict[float, Features]] = {}

    @abstractmethod
    def make(self) -> Any:
        """The spotter: its class, an object, a function, or its registered name."""

    def settings(self) -> Settings:
        """Settings for the spotter."""
        return load_settings()

    def features(self) -> Features:
        """One minute of features for the spotter, with expressions."""
        rate = self.made().rate or self.settings().motion.rate
        if rate not in self._features:
            (video,) = simulate_features(1, minutes=1.0, rate=rate, rate_per_min=8.0, level="easy")
            self._features[rate] = video.features
        return self._features[rate]

    def made(self) -> SpotterModel:
        """The spotter as aumer uses it."""
        return resolve(self.make(), self.settings())

    def test_it_says_what_it_is(self) -> None:
        made = self.made()
        assert made.name
        assert made.rate is None or made.rate > 0
        assert made.rules is None or isinstance(made.rules, RuleSettings)
        assert made.sensitivity is None or isinstance(made.sensitivity, str)
        assert all(isinstance(word, str) for pair in made.digests.items() for word in pair)
        assert dict(self.made().digests) == dict(made.digests), "one spotter, one digest"
        made.check(self.settings())

    def test_scores_lie_on_the_time_axis(self) -> None:
        features = self.features()
        scores, _ = spotted(self.made(), features)
        assert scores.values.shape == (len(features), len(scores.channels))
        np.testing.assert_array_equal(scores.times, features.times)
        np.testing.assert_array_equal(scores.frames, features.frames)

    def test_expressions_lie_in_the_video(self) -> None:
        features = self.features()
        _, found = spotted(self.made(), features)
        first, last = int(features.frames[0]), int(features.frames[-1])
        for e in found:
            assert e.kind in KINDS
            assert first <= e.onset <= e.apex <= e.offset <= last
            assert np.isfinite(e.score)
        assert [e.onset for e in found] == sorted(e.onset for e in found)

    def test_the_same_features_give_the_same_numbers(self) -> None:
        features, made = self.features(), self.made()
        before = features.values.copy()
        first = spotted(made, features)
        spotted(made, rows(features, len(features) // 2))
        _same(spotted(made, features), first)
        _same(spotted(self.made(), features), first)
        np.testing.assert_array_equal(features.values, before)

    def test_where_no_face_is_there_is_no_expression(self) -> None:
        features = self.features()
        hidden = replace(
            features,
            values=np.full_like(features.values, np.nan),
            valid=np.zeros(len(features), np.bool_),
        )
        scores, found = spotted(self.made(), hidden)
        assert len(scores.times) == len(features) and found == ()

    def test_however_short(self) -> None:
        features, made = self.features(), self.made()
        for length in (0, 1, 2, 5):
            scores, found = spotted(made, rows(features, length))
            assert len(scores.times) == length
            assert length > 1 or found == ()

    def test_a_graph_is_used_or_refused(self) -> None:
        features, part = self.features(), self.make()
        graph = AUGraph.identity(features.rois)
        try:
            other = resolve(part, self.settings(), graph=graph)
        except UsageError:
            assert not self.made().uses_graph or isinstance(part, SpotterModel)
            return
        assert len(spotted(other, features)[0].times) == len(features)
        assert dict(other.digests) != dict(self.made().digests), "results must tell the graph"

    def test_a_device_changes_no_number(self) -> None:
        features, made = self.features(), self.made()
        before = spotted(made, features)[0].values
        assert made.to("cpu") in (True, False)
        after = spotted(made, features)[0].values
        np.testing.assert_allclose(after, before, atol=CLOSE)


def rows(features: Features, length: int) -> Features:
    """Only the first rows."""
    changes = {
        name: getattr(features, name)[:length]
        for name in ("values", "times", "frames", "valid", "confidence", "eyelids", "head")
    }
    return replace(features, **changes)


def _same(one: Spotted, other: Spotted) -> None:
    np.testing.assert_array_equal(one[0].values, other[0].values)
    assert one[1] == other[1]
