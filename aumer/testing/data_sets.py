"""The contract of data sets, as tests to inherit."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from aumer.data.dataset import DataSet, taken_in
from aumer.data.report import DataReport
from aumer.testing.refusing import refuses


class DataSetSuite:
    """The contract of `aumer.data.dataset.DataSet`, with a test for each requirement.

    A subclass whose name begins with "Test" is collected by pytest. It defines `make`.
    """

    @abstractmethod
    def make(self) -> Any:
        """The data set of an existing folder, which may be a small one made for the test."""

    def made(self) -> DataSet:
        """The data set as aumer uses it."""
        return taken_in(self.make())

    def test_it_says_what_it_is(self) -> None:
        made = self.made()
        assert made.name and made.layout
        assert set(made.expected) <= {"subjects", "videos", "micro", "macro"}
        assert made.comes_as in ("videos", "features")
        assert isinstance(made.report, DataReport)

    def test_records_are_sorted_and_there_once(self) -> None:
        made = self.made()
        keys = [(r.subject, r.name) for r in made.records()]
        assert keys and keys == sorted(set(keys))
        for record in made.records():
            assert record.dataset == made.name
            assert record.fps > 0 or record.path is None

    def test_the_same_folder_gives_the_same_records(self) -> None:
        assert self.made().records() == self.made().records()

    def test_features_are_there_where_it_says_so(self) -> None:
        made = self.made()
        record = made.records()[0]
        if made.comes_as == "videos":
            return refuses(lambda: made.features(record), "features, as it comes as videos")
        features = made.features(record)
        assert len(features) and np.isclose(features.rate, record.fps)

    def test_a_folder_that_is_not_there_is_refused(self) -> None:
        kind = type(self.make())
        with tempfile.TemporaryDirectory() as folder:
            refuses(lambda: kind.from_root(Path(folder) / "none"), "a folder that is not there")
