"""Deprecated and empty: for one release its error names the new modules."""

from aumer._moved import moved

_NAMES = ("SpotterModel", "resolve", "spotted", "code_of")
__getattr__ = moved(__name__, dict.fromkeys(_NAMES, "aumer.spotting.interface"))
