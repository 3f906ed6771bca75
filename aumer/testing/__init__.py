"""For tests of your own parts: what those that ship must pass, and pictures whose truth is known.

Subclass a suite in a pytest file:

from aumer.testing import RecognizerSuite

class TestMine(RecognizerSuite):
    def make(self):
        return Mine()

`moving_face` films a real portrait whose every displacement is known, `turned_head` turns a head to
its profile, `decoding` makes scores of known expressions.
"""

from aumer.testing.recognizers import RecognizerSuite

__all__ = ["RecognizerSuite"]
