"""Tests for your own parts: the suites of the built-in parts, and images with known truth.

Subclass a suite in a pytest file:

from aumer.testing import FlowSuite  # or AUReaderSuite, DataSetSuite, RecognizerSuite, ...

class TestMine(FlowSuite):
    def make(self):
        return mine

`moving_face` renders a real portrait with known displacements, `turned_head` turns a head to its
profile, `bumps` moves an ROI of a real face, `decoding` makes scores of known expressions,
`two_methods` counts of two methods.
"""

from aumer.testing.au_readers import AUReaderSuite, au_clips
from aumer.testing.data_sets import DataSetSuite
from aumer.testing.flows import FlowSuite
from aumer.testing.recognizers import RecognizerSuite
from aumer.testing.spotters import SpotterSuite

__all__ = [
    "AUReaderSuite",
    "DataSetSuite",
    "FlowSuite",
    "RecognizerSuite",
    "SpotterSuite",
    "au_clips",
]
