"""Deprecated and empty: for one release its error names the new modules."""

from aumer._moved import moved

__getattr__ = moved(
    __name__,
    {
        "run": "aumer.bench.run (the fields of Options are its arguments)",
        "stored": "aumer.bench.run",
        "Options": "aumer.bench.run.run, as its arguments",
        "versions": "aumer.bench.result",
        "RUN": "aumer.bench.store",
        "DATA": "aumer.bench.store",
    },
)
