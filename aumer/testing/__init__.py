"""Suites that parts of your own must pass, as those that ship do: subclass one in a pytest file.

from aumer.testing import RecognizerSuite

class TestMine(RecognizerSuite):
    def make(self):
        return Mine()
"""

from aumer.testing.recognizers import RecognizerSuite

__all__ = ["RecognizerSuite"]
