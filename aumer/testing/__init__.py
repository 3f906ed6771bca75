"""For tests of your own parts: what those that ship must pass, and pictures whose truth is known.

Subclass a suite in a pytest file:

from aumer.testing import FlowSuite  # or AUReaderSuite, DataSetSuite, RecognizerSuite, ...

class TestMine(FlowSuite):
    def make(self):
        return mine

`moving_face` films a real portrait whose every displacement is known, `turned_head` turns a head to
its profile, `decoding` makes scores of known expressions.
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
