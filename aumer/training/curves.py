"""Nothing: for one release it says where its names have gone."""

from aumer._moved import moved

__getattr__ = moved(
    __name__, {"loss_plot": "aumer.learning.log", "tensorboard": "aumer.learning.log"}
)
