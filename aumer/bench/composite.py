"""Deprecated and empty: for one release its error names the new module."""

from aumer._moved import moved

__getattr__ = moved(__name__, {"composite": "aumer.training.composite"})
