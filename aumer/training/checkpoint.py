"""Deprecated and empty: for one release its error names the new modules."""

from aumer._moved import moved

__getattr__ = moved(
    __name__,
    {
        "State": "aumer.learning.checkpoint",
        "save_state": "aumer.learning.checkpoint",
        "load_state": "aumer.learning.checkpoint",
        "copied": "aumer.learning.engine, which keeps the best weights",
        "seeded": "aumer.learning.engine.LearningTask.torch_seed",
    },
)
