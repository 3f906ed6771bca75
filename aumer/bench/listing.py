"""Deprecated and empty: for one release its error names the new modules."""

from aumer._moved import moved

__getattr__ = moved(
    __name__,
    dict.fromkeys(("Example", "Listing", "Unseen", "listed"), "aumer.training.listing"),
)
