"""Suites that parts of your own must pass, as those that ship do: subclass one in a pytest file.

from aumer.testing import FlowSuite  # or DataSetSuite, RecognizerSuite, SpotterSuite

class TestMine(FlowSuite):
    def make(self):
        return mine
"""

from aumer.testing.data_sets import DataSetSuite
from aumer.testing.flows import FlowSuite
from aumer.testing.recognizers import RecognizerSuite
from aumer.testing.spotters import SpotterSuite

__all__ = ["DataSetSuite", "FlowSuite", "RecognizerSuite", "SpotterSuite"]
