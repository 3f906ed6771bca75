"""Deprecated and empty: for one release its error names the new modules."""

from aumer._moved import moved

_NAMES = ("Clips", "MotionClips", "Recognizer", "as_inputs", "column", "fitted", "load")
_FILES = ("read_weights", "resolve", "shipped", "write_weights")
__getattr__ = moved(__name__, dict.fromkeys((*_NAMES, *_FILES), "aumer.recognition.interface"))
