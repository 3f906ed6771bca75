"""Equalized histograms and local binary patterns, against what they are defined as."""

from __future__ import annotations

import numpy as np

from aumer.recognition.sequences.texture import equalized, local_binary_patterns


def test_a_histogram_is_made_even() -> None:
    narrow = np.random.default_rng(0).integers(100, 120, (3, 32, 32)).astype(np.uint8)
    even = equalized(narrow)
    assert even.dtype == np.uint8 and even.shape == narrow.shape
    assert even.min() == 0 and even.max() == 255
    for before, after in zip(narrow, even, strict=True):  # no order is turned round
        order = np.argsort(before.ravel(), kind="stable")
        assert (np.diff(after.ravel()[order].astype(int)) >= 0).all()
    np.testing.assert_array_equal(equalized(narrow[:1]), even[:1])


def test_patterns_are_those_of_the_definition() -> None:
    gray = np.random.default_rng(1).integers(0, 5, (2, 7, 6)).astype(np.uint8)
    found = local_binary_patterns(gray)
    wide = np.pad(gray, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(int)
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    for t, y, x in np.ndindex(*gray.shape):
        bits = [wide[t, y + 1 + a, x + 1 + b] >= gray[t, y, x] for a, b in ring]
        assert found[t, y, x] == int("".join(str(int(b)) for b in bits), 2)


def test_patterns_do_not_see_the_light() -> None:
    gray = np.random.default_rng(2).integers(0, 100, (1, 9, 9)).astype(np.uint8)
    np.testing.assert_array_equal(local_binary_patterns(2 * gray + 7), local_binary_patterns(gray))
    assert (local_binary_patterns(np.full((1, 4, 4), 9, np.uint8)) == 255).all()
