"""Nothing: for one release it says where its name has gone."""

from aumer._moved import moved

__getattr__ = moved(__name__, {"composite": "aumer.training.composite"})
