"""Deprecated and empty: for one release its error names the new modules."""

from aumer._moved import moved

__getattr__ = moved(
    __name__, {"loss_plot": "aumer.learning.log", "tensorboard": "aumer.learning.log"}
)
